//! What ends next in the organisation, as months pass.

#![allow(clippy::unwrap_used)]

mod world;

use std::time::{Duration, SystemTime};

use authority::{Ending, Expiry, Urgency};
use world::{World, fqdn, hello, listeners};

const DAY: Duration = Duration::from_hours(24);
const FE2: &str = "fe2.a.test";

/// A server that has joined, with its certificate.
async fn world() -> World {
    let world = World::new().await;
    world.joined(FE2).await;
    hello(&world.authority, FE2, listeners(22_000)).await.unwrap();
    world
}

async fn of_fe2(world: &World, now: SystemTime) -> Option<Expiry> {
    world.authority.expiries(now).await.unwrap().into_iter().find(|one| one.name == FE2)
}

#[tokio::test]
async fn the_board_has_everything_that_ends_the_first_to_end_first() {
    let world = world().await;
    let all = world.authority.expiries(SystemTime::now()).await.unwrap();
    let kinds =
        [Ending::Root, Ending::IssuingCa, Ending::DocumentSigner, Ending::Server, Ending::RevocationList, Ending::Bundle, Ending::Topology];
    for kind in kinds {
        assert!(all.iter().any(|one| one.kind == kind), "{kind:?} is not on the board");
    }
    let ends: Vec<SystemTime> = all.iter().filter_map(|one| one.ends).collect();
    assert!(ends.is_sorted());
    assert!(!all.iter().any(|one| one.urgency.is_alarm()), "{all:?}");
}

#[tokio::test]
async fn a_server_that_does_not_renew_is_due_then_overdue_then_ended() {
    let (world, now) = (world().await, SystemTime::now());
    for (days, urgency) in [(0, Urgency::Fine), (4, Urgency::Due), (6, Urgency::Overdue), (8, Urgency::Ended), (300, Urgency::Ended)] {
        let fe2 = of_fe2(&world, now + days * DAY).await.unwrap();
        assert_eq!((fe2.kind, fe2.urgency), (Ending::Server, urgency), "after {days} days");
    }
}

#[tokio::test]
async fn who_was_revoked_or_removed_is_no_alarm() {
    let (world, now) = (world().await, SystemTime::now());
    world.authority.revoke(FE2).await.unwrap();
    let fe2 = of_fe2(&world, now + 8 * DAY).await.unwrap();
    assert_eq!((fe2.urgency, fe2.ends), (Urgency::Absent, None));
    world.authority.remove_server(&fqdn(FE2)).await.unwrap();
    assert_eq!(of_fe2(&world, now + 8 * DAY).await, None);
}

#[tokio::test]
async fn lists_that_nobody_signs_anew_and_cas_that_nobody_replaces_are_alarms() {
    let (world, now) = (world().await, SystemTime::now());
    let alarms = |all: Vec<Expiry>| all.into_iter().filter(|one| one.urgency.is_alarm()).map(|one| one.kind).collect::<Vec<_>>();
    let after = async |days: u32| alarms(world.authority.expiries(now + days * DAY).await.unwrap());
    assert!(after(30).await.contains(&Ending::RevocationList));
    let years = after(3 * 365 - 60).await;
    assert!(years.contains(&Ending::IssuingCa) && !years.contains(&Ending::Root), "{years:?}");
    assert!(after(20 * 365).await.contains(&Ending::Root));
}
