//! An authority that came out of a backup, and members that tell it more than is true.
#![allow(clippy::unwrap_used)]

mod world;

use std::{path::PathBuf, time::SystemTime};

use authority::Fault;
use pki::{RevocationReason, RevokedCertificate, Serial};
use store::{IssuanceLedger as _, RevocationListStore as _};
use web::{
    control::{Control as _, InForce, Shown},
    enrolment::Applicant,
};
use world::{World, fqdn, hello, issue, listeners};

const FE1: &str = "fe1.a.test";

/// An authority that waits, with a server that has joined; and the file that says that it waits.
async fn recovering() -> (World, Applicant, tempfile::TempDir, PathBuf) {
    let (world, dir) = (World::new().await, tempfile::tempdir().unwrap());
    let applicant = world.joined(FE1).await;
    hello(&world.authority, FE1, listeners(6061)).await.unwrap();
    let marker = dir.path().join("restored.json");
    std::fs::write(&marker, "{}").unwrap();
    world.authority.recover(marker.clone());
    (world, applicant, dir, marker)
}

/// What a server shows that holds exactly what this authority published.
fn holdings(world: &World) -> Shown {
    let holdings = world.authority.member().holdings();
    Shown {
        topology: holdings.topology_text().text.clone(),
        bundle: holdings.bundle_text().text.clone(),
        lists: holdings.lists().iter().map(|list| list.as_der().to_vec()).collect(),
        certificates: Vec::new(),
    }
}

async fn revocations(world: &World) -> usize {
    world.authority.store().revoked(None, SystemTime::now()).await.unwrap().len()
}

#[tokio::test]
async fn nothing_is_signed_for_others_before_the_end() {
    let (world, applicant, _dir, marker) = recovering().await;
    let name = fqdn(FE1);
    assert!(issue(&world.authority, &applicant).await.is_err(), "a certificate for one who may have been revoked");
    for refused in [
        world.authority.revoke(FE1).await.map(drop),
        world.authority.remove_server(&name).await.map(drop),
        world.authority.publish("").await.map(drop),
        world.authority.remove_user(&"anna".parse().unwrap()).await.map(drop),
    ] {
        assert!(matches!(refused, Err(Fault::Recovering { .. })), "{refused:?}");
    }
    let lists = world.authority.store().lists().await.unwrap();
    assert_eq!(world.authority.go_on().await.unwrap(), [name]);
    assert!(!marker.exists() && !world.authority.is_recovering());
    for before in lists {
        let after = world.authority.store().list(&before.issuer).await.unwrap().unwrap();
        assert!(after.number > before.number, "members take what follows");
    }
    assert!(matches!(world.authority.go_on().await, Err(Fault::NotRecovering)));
    assert!(world.authority.revoke(FE1).await.is_ok());
}

#[tokio::test]
async fn a_member_that_claims_impossible_numbers_hides_nothing_from_the_administrator() {
    let (world, _applicant, _dir, _marker) = recovering().await;
    let claim = InForce { topology: u64::MAX, ..InForce::default() };
    assert!(world.authority.ack(&fqdn(FE1), claim).await.is_err());
    assert!(world.authority.known().await.unwrap().iter().any(|known| known.name == fqdn(FE1)));
}

#[tokio::test]
async fn certificates_that_nobody_shows_end_with_the_cas_that_issued_them() {
    let (world, _applicant, _dir, _marker) = recovering().await;
    world.authority.go_on().await.unwrap();
    let replacement = world.authority.replacement().await.unwrap();
    assert!(replacement.is_some(), "the issuing CAs are being replaced");
    // Giving it up does not make the forgotten known: it begins again.
    world.authority.give_up_replacement().await.unwrap();
    assert!(world.authority.replacement().await.unwrap().is_none());
    assert!(world.authority.freshen(SystemTime::now()).await.is_empty());
    assert!(world.authority.replacement().await.unwrap().is_some());
}

#[tokio::test]
async fn what_bears_another_signature_says_nothing() {
    let (world, _, _dir, _marker) = recovering().await;
    let other = World::new().await;
    other.joined(FE1).await;
    other.authority.revoke(FE1).await.unwrap();
    let (ours, theirs) = (holdings(&world), holdings(&other));
    let foreign_lists = Shown { lists: theirs.lists.clone(), ..ours.clone() };
    assert!(world.authority.clone().show(fqdn(FE1), foreign_lists).await.is_ok());
    assert_eq!(revocations(&world).await, 0, "the lists of a CA of the same name are another's");
    let mut damaged = ours.lists[1].clone();
    let last = damaged.len() - 1;
    damaged[last] ^= 1;
    for bad in [
        Shown { topology: theirs.topology, ..ours.clone() },
        Shown { bundle: theirs.bundle, ..ours.clone() },
        Shown { topology: "a.b.c".into(), ..ours.clone() },
        Shown { bundle: String::new(), ..ours.clone() },
        Shown { topology: ours.bundle.clone(), bundle: ours.topology.clone(), ..ours.clone() },
        Shown { lists: vec![damaged, vec![], vec![0x30; 100]], topology: String::new(), ..ours.clone() },
    ] {
        assert!(world.authority.clone().show(fqdn(FE1), bad).await.is_err());
        assert_eq!(revocations(&world).await, 0);
    }
    assert!(world.authority.clone().show(fqdn("nobody.a.test"), ours).await.is_err(), "only members are heard");
}

/// A list of ours with a lower number than ours may know of somebody whom the backup has forgotten.
#[tokio::test]
async fn revocations_are_added_up_whatever_the_numbers_say() {
    let (world, applicant, _dir, _marker) = recovering().await;
    let now = SystemTime::now();
    let ca = world.authority.ca();
    let issuing = ca.authority().servers();
    let list = |serials: &[&Serial], number| {
        let entry = |serial: &&Serial| RevokedCertificate { serial: (*serial).clone(), at: now, reason: RevocationReason::Unspecified };
        issuing.revocation_list(&serials.iter().map(entry).collect::<Vec<_>>(), number, now).unwrap()
    };
    let standing = world.authority.store().standing_of(FE1, now, 10).await.unwrap();
    let known = &standing[0].serial;
    let (forgotten, other) = (Serial::from_be_bytes(&[7; 16]), Serial::from_be_bytes(&[8; 16]));
    for lists in [vec![list(&[&forgotten], 1)], vec![list(&[], 901)], vec![list(&[known, &other], 900)]] {
        assert!(world.authority.is_recovering());
        let shown = Shown { lists, ..holdings(&world) };
        world.authority.clone().show(fqdn(FE1), shown).await.unwrap();
    }
    assert_eq!(revocations(&world).await, 3);
    assert!(!world.authority.is_recovering(), "nobody is left who could be expected");
    let holdings = world.authority.member().holdings();
    let published = holdings.lists().iter().find(|list| list.contains(&forgotten)).unwrap();
    assert!(published.contains(known) && published.contains(&other) && published.number() == 902, "{published:?}");
    assert!(issue(&world.authority, &applicant).await.is_err(), "its account and ticket are closed");
}
