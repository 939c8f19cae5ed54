//! What a member makes of a feed that broke off, and what it is told when it comes back.

#![allow(clippy::unwrap_used)]

mod world;

use std::time::SystemTime;

use web::{
    control::{Control as _, Held, Update, UserRecord},
    enrolment::Applicant,
};
use world::{DOMAIN, World, fqdn, issue};

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

#[tokio::test]
async fn a_server_that_got_other_names_while_it_was_away_is_told_to_renew() {
    let world = World::new().await;
    world.joined("fe2.a.test").await;
    let is_told = async || {
        let mut feed = world.authority.feed(&fqdn("fe2.a.test"), Held::default()).await.unwrap();
        let mut told = false;
        while let Ok(update) = feed.try_recv() {
            told |= *update == Update::Renew;
        }
        told
    };
    assert!(!is_told().await);
    let text = world.authority.topology(None).await.unwrap().unwrap().document;
    let version = world.authority.member().holdings().topology().version();
    let text = text.replace(&format!("\nversion = {version}\n"), &format!("\nversion = {}\n", version + 1));
    // Nobody reads the feed of before: that is being away.
    world.authority.publish(&text.replace("domains = [\"a.test\"]", "domains = [\"a.test\", \"voice.a.test\"]")).await.unwrap();
    assert!(is_told().await);
    issue(&world.authority, &Applicant::Member(fqdn("fe2.a.test"))).await.unwrap();
    assert!(!is_told().await, "it has a certificate with them by now");
}
