//! What a member makes of a feed that broke off.

#![allow(clippy::unwrap_used)]

mod world;

use std::time::SystemTime;

use web::control::{Update, UserRecord};
use world::{DOMAIN, World};

fn part(revision: u64, users: &[&str], more: bool) -> Update {
    let record = |name: &&str| UserRecord { name: (*name).into(), domain: DOMAIN.into(), pool: "sip.a.test".into(), credential: None };
    Update::Users { revision, from_scratch: true, more, put: users.iter().map(record).collect(), gone: Vec::new() }
}

#[tokio::test]
async fn a_user_taken_out_while_the_feed_was_broken_does_not_come_back_by_its_first_half() {
    let world = World::new().await;
    let member = world.authority.member();
    let now = SystemTime::now();
    member.take(&part(1, &["anna", "gone"], true), now).await.unwrap();
    // The line breaks, the authority removes a user, and the line is there again.
    assert_eq!(member.begin_feed().await.topology, 1);
    member.take(&part(2, &["anna"], true), now).await.unwrap();
    member.take(&part(2, &["bert"], false), now).await.unwrap();
    let mut users: Vec<String> = member.holdings().users().iter().map(|(name, _)| name.to_string()).collect();
    users.sort();
    assert_eq!(users, ["anna", "bert"]);
}
