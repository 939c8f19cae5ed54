//! What a member makes of a feed that broke off or brings what is not to be believed, how the authority hears of it, and what
//! a member is told when it comes back.

#![allow(clippy::unwrap_used)]

mod world;

use std::time::SystemTime;

use web::{
    control::{Control as _, Held, InForce, RefusedDocument, Update, UserRecord},
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

#[tokio::test]
async fn the_domain_that_passwords_are_bound_to_stays_whatever_its_place() {
    let world = World::new().await;
    let lost = async |text: String| {
        let obstacles = world.authority.obstacles_to(&text).await.unwrap();
        obstacles.iter().any(|fault| matches!(fault, authority::Fault::RealmLost(domain) if domain == "a.test"))
    };
    let text = world.authority.topology(None).await.unwrap().unwrap().document;
    assert!(!lost(text.replace("[\"a.test\"]", "[\"voice.a.test\", \"a.test\"]")).await);
    assert!(lost(text.replace("a.test", "b.test")).await);
}

#[tokio::test]
async fn what_is_in_force_and_not_on_disk_is_told() {
    let world = World::new().await;
    let (member, now) = (world.authority.member(), SystemTime::now());
    member.take(&part(2, &["anna"], false), now).await.unwrap();
    assert!(refused(member).is_empty());
    // The disk is gone: nobody is kept out for that, and the board shows it.
    world.authority.store().close().await;
    let taken = member.take(&part(3, &["anna", "bert"], false), now).await.unwrap();
    assert_eq!(taken.in_force.users, 3);
    assert_eq!(refused(member), ["copy on its disk"]);
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

fn refused(member: &member::Member) -> Vec<String> {
    member.in_force().borrow().refused.iter().map(|one| one.document.clone()).collect()
}

#[tokio::test]
async fn n29_what_a_member_refused_is_reported_until_a_better_one_has_come() {
    let world = World::new().await;
    let (member, now) = (world.authority.member(), SystemTime::now());
    let held = member.holdings().held();
    let good = member.holdings().bundle_text().text.clone();
    let bad = format!("{}AAAA", &good[..good.len() - 4]);
    for _ in 0..3 {
        assert!(member.take(&Update::Bundle { document: bad.clone() }, now).await.is_err());
    }
    assert!(member.take(&Update::Topology { document: "a.b.c".into() }, now).await.is_err());
    assert_eq!(refused(member), ["bundle", "topology"], "each kind once");
    let told = member.in_force().borrow().refused[0].clone();
    assert!(told.reason.contains("changed after it was signed") && !told.at.is_empty(), "{told:?}");
    assert_eq!(member.holdings().held(), held, "the last good ones stay");
    member.take(&Update::Bundle { document: good }, now).await.unwrap();
    assert_eq!(refused(member), ["topology"]);
}

#[tokio::test]
async fn what_a_member_says_that_it_refused_is_shown_and_has_an_end() {
    let world = World::new().await;
    world.joined("fe2.a.test").await;
    let fe2 = fqdn("fe2.a.test");
    let one = |n: usize| RefusedDocument { document: format!("topology {n}"), reason: "x".repeat(50_000), at: "now".into() };
    let in_force = InForce { topology: 1, refused: (0..100).map(one).collect(), ..InForce::default() };
    world.authority.ack(&fe2, in_force).await.unwrap();
    let known = world.authority.known().await.unwrap().into_iter().find(|known| known.name == fe2).unwrap();
    let refused = known.in_force.unwrap().refused;
    assert_eq!((refused.len(), refused[0].reason.len()), (8, 1000));
    assert!(known.topology_published_at.is_some(), "version 1 was published at some time");
    // A version that never was has no age.
    world.authority.ack(&fe2, InForce { topology: 7_000, ..InForce::default() }).await.unwrap();
    let known = world.authority.known().await.unwrap().into_iter().find(|known| known.name == fe2).unwrap();
    assert_eq!(known.topology_published_at, None);
}
