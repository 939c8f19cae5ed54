//! What becomes of a server's account when another ticket is made for it.

#![allow(clippy::unwrap_used)]

mod world;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
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
