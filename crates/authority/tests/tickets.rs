//! What becomes of a server's account when another ticket is made for it.

#![allow(clippy::unwrap_used)]

mod world;

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use member::JoinString;
use pki::{CertificateDer, Key};
use web::{
    enrolment::{AccountId, Applicant, Enrolment as _, Fault, TicketId},
    jose::AccountKey,
};
use world::{World, fqdn, issue, issue_for};

const FE2: &str = "fe2.a.test";

/// The key of a new account.
fn account_key() -> AccountKey {
    let key = pki::Key::generate().unwrap().public();
    // The last 64 bytes of the SubjectPublicKeyInfo of a P-256 key are its two coordinates.
    let point = &key.as_der()[key.as_der().len() - 64..];
    let [x, y] = [&point[..32], &point[32..]].map(|part| URL_SAFE_NO_PAD.encode(part));
    AccountKey::from_text(&format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#)).unwrap()
}

async fn account(world: &World) -> AccountId {
    let join = world.add(FE2).await;
    world.authority.create_account(TicketId::parse(&join.kid).unwrap(), account_key()).await.unwrap().id
}

#[tokio::test]
async fn an_account_counts_until_its_server_joins_anew_and_no_longer() {
    let world = World::new().await;
    let first = account(&world).await;
    assert!(issue(&world.authority, &Applicant::Account(first.clone())).await.is_ok());
    world.add(FE2).await;
    assert!(issue(&world.authority, &Applicant::Account(first.clone())).await.is_ok(), "a ticket alone changes nothing");
    let second = account(&world).await;
    assert!(issue(&world.authority, &Applicant::Account(second)).await.is_ok());
    assert_eq!(issue(&world.authority, &Applicant::Account(first)).await, Err(Fault::AccountClosed { member: fqdn(FE2) }));
}

/// The first certificate of each of these, whoever fetches it.
async fn issued(world: &World, by: &Applicant) -> CertificateDer<'static> {
    issue(&world.authority, by).await.unwrap().remove(0)
}

fn by_ticket(join: &JoinString) -> Applicant {
    Applicant::Ticket(TicketId::parse(&join.kid).unwrap())
}

#[tokio::test]
async fn n33_of_several_certificates_for_one_ticket_one_is_handed_over() {
    let world = World::new().await;
    let (join, key) = (world.add(FE2).await, Key::generate().unwrap());
    // The first answer was lost, and the same server asks again.
    let ticket = by_ticket(&join);
    let first = issue_for(&world.authority, &ticket, &key).await.unwrap().remove(0);
    let second = issue_for(&world.authority, &ticket, &key).await.unwrap().remove(0);
    assert_eq!(world.authority.fetched(second).await, Ok(()));
    assert!(matches!(world.authority.fetched(first).await, Err(Fault::TicketUsed { .. })));
}

#[tokio::test]
async fn n33_a_ticket_is_not_good_for_an_account_and_for_a_certificate_besides() {
    let world = World::new().await;
    let join = world.add(FE2).await;
    let id = TicketId::parse(&join.kid).unwrap();
    let by_account = Applicant::Account(world.authority.create_account(id, account_key()).await.unwrap().id);
    assert_eq!(issue(&world.authority, &by_ticket(&join)).await, Err(Fault::TicketOfAnotherKey));
    assert_eq!(world.authority.fetched(issued(&world, &by_account).await).await, Ok(()));
    let join = world.add(FE2).await;
    issued(&world, &by_ticket(&join)).await;
    let account = world.authority.create_account(TicketId::parse(&join.kid).unwrap(), account_key()).await;
    assert_eq!(account.unwrap_err(), Fault::TicketOfAnotherKey);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn n33_of_all_who_come_with_one_ticket_at_once_one_gets_a_certificate() {
    let world = World::new().await;
    let join = world.add(FE2).await;
    let asking: Vec<_> = (0..8)
        .map(|_| {
            let (authority, ticket) = (Arc::clone(&world.authority), by_ticket(&join));
            tokio::spawn(async move { issue(&authority, &ticket).await })
        })
        .collect();
    let mut chains = Vec::new();
    for asked in asking {
        match asked.await.unwrap() {
            Ok(chain) => chains.push(chain),
            Err(fault) => assert_eq!(fault, Fault::TicketOfAnotherKey),
        }
    }
    assert_eq!(chains.len(), 1);
    assert_eq!(world.authority.fetched(chains[0][0].clone()).await, Ok(()));
}

#[tokio::test]
async fn n33_a_ticket_opens_one_account_whichever_key_comes_next() {
    let world = World::new().await;
    let id = TicketId::parse(&world.add(FE2).await.kid).unwrap();
    let first = account_key();
    let opened = world.authority.create_account(id.clone(), first.clone()).await.unwrap();
    assert_eq!(world.authority.create_account(id.clone(), first).await.unwrap().id, opened.id, "the answer was lost");
    assert_eq!(world.authority.create_account(id, account_key()).await.unwrap_err(), Fault::TicketOfAnotherKey);
    assert!(issue(&world.authority, &Applicant::Account(opened.id)).await.is_ok(), "the first one keeps what it has");
}

#[tokio::test]
async fn n33_a_certificate_is_fetched_again_by_the_account_it_was_issued_to() {
    let world = World::new().await;
    let by_account = Applicant::Account(account(&world).await);
    let (first, next) = (issued(&world, &by_account).await, issued(&world, &by_account).await);
    for leaf in [first.clone(), first, next] {
        assert_eq!(world.authority.fetched(leaf).await, Ok(()));
    }
}

#[tokio::test]
async fn n33_nothing_is_handed_over_while_a_ticket_cannot_be_burnt() {
    let world = World::new().await;
    let join = world.add(FE2).await;
    let leaf = issued(&world, &by_ticket(&join)).await;
    // Another ticket takes its place.
    let join = world.add(FE2).await;
    assert_eq!(world.authority.fetched(leaf).await, Err(Fault::TicketWithdrawn));
    let leaf = issued(&world, &by_ticket(&join)).await;
    world.authority.store().close().await;
    assert!(matches!(world.authority.fetched(leaf).await, Err(Fault::Unavailable { .. })));
}
