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

#[tokio::test]
async fn what_is_in_force_and_not_on_disk_is_told_and_so_is_what_was_refused_until_it_is_mended() {
    let world = World::new().await;
    let (member, now) = (world.authority.member(), SystemTime::now());
    let refused = || member.in_force().borrow().refused.clone();
    // A document that is none, again and again: it is told once, and until a good one of its kind came.
    for _ in 0..20 {
        assert!(member.take(&Update::Bundle { document: "nonsense".into() }, now).await.is_err());
    }
    assert_eq!(refused().len(), 1);
    member.take(&part(2, &["anna"], false), now).await.unwrap();
    assert_eq!(refused().len(), 1, "one of another kind mends nothing");
    let good = member.holdings().bundle_text().text.clone();
    member.take(&Update::Bundle { document: good }, now).await.unwrap();
    assert_eq!(refused(), Vec::<String>::new());

    // The disk is gone: nobody is kept out for that, and the board shows it.
    world.authority.store().close().await;
    let taken = member.take(&part(3, &["anna", "bert"], false), now).await.unwrap();
    assert_eq!(taken.in_force.users, 3);
    assert!(matches!(&refused()[..], [told] if told.contains("not on this server's disk")), "{:?}", refused());
}

#[tokio::test]
async fn users_of_another_domain_whose_passwords_would_not_fit_are_refused() {
    let world = World::new().await;
    let member = world.authority.member();
    let mut other = part(2, &["anna"], false);
    if let Update::Users { put, .. } = &mut other {
        put[0].domain = "b.test".into();
    }
    let refused = member.take(&other, SystemTime::now()).await.unwrap_err().to_string();
    assert!(refused.contains("b.test") && refused.contains("join again"), "{refused}");
    assert!(member.holdings().users().is_empty());
}
