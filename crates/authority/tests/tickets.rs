//! What becomes of a server's account when another ticket is made for it.

#![allow(clippy::unwrap_used)]

mod world;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use member::JoinString;
use pki::CertificateDer;
use web::{
    enrolment::{AccountId, Applicant, Enrolment as _, Fault, TicketId},
    jose::AccountKey,
};
use world::{World, fqdn, issue};

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
    let join = world.add(FE2).await;
    let [first, second] = [issued(&world, &by_ticket(&join)).await, issued(&world, &by_ticket(&join)).await];
    assert_eq!(world.authority.fetched(second).await, Ok(()));
    assert!(matches!(world.authority.fetched(first).await, Err(Fault::TicketUsed { .. })));
}

#[tokio::test]
async fn n33_a_ticket_is_not_good_for_an_account_and_for_a_certificate_besides() {
    let world = World::new().await;
    let join = world.add(FE2).await;
    let id = TicketId::parse(&join.kid).unwrap();
    let by_account = Applicant::Account(world.authority.create_account(id, account_key()).await.unwrap().id);
    let [one, other] = [issued(&world, &by_account).await, issued(&world, &by_ticket(&join)).await];
    assert_eq!(world.authority.fetched(other).await, Ok(()));
    assert_eq!(world.authority.fetched(one).await, Err(Fault::AccountClosed { member: fqdn(FE2) }));
    assert_eq!(issue(&world.authority, &by_account).await, Err(Fault::AccountClosed { member: fqdn(FE2) }));
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
    world.authority.store().close().await;
    assert!(matches!(world.authority.fetched(leaf).await, Err(Fault::Unavailable { .. })));
}
