//! The CA is replaced while it works: nobody is left without trust in anybody, and nobody can hurry it or turn it back.

#![allow(clippy::unwrap_used)]

mod world;

use std::time::{Duration, SystemTime};

use authority::{Fault, Order, ReplacementFault, ReplacementStatus, Signed, What};
use pki::{Anchors, CertificateDer, EMERGENCY_WAIT, Fingerprint, Pace, Purpose, Revocation, verify};
use store::{IssuanceLedger as _, Reason, Replacements as _};
use web::{
    Published as _,
    control::{InForce, Update},
    enrolment::{Applicant, CertificateId, Enrolment as _},
};
use world::{World, fqdn, issue, servers::Server};

fn order(what: What) -> Order {
    Order { what, pace: Pace::Ordinary, domains: Vec::new() }
}

async fn status(world: &World) -> ReplacementStatus {
    world.authority.replacement().await.unwrap().unwrap()
}

async fn waits(world: &World, phase: &str, members: &[&str]) {
    let status = status(world).await;
    assert_eq!((status.phase, status.members), (phase, members.iter().map(|name| fqdn(name)).collect()));
}

fn root(world: &World) -> Fingerprint {
    Fingerprint::of(world.authority.ca().authority().root())
}

/// Whether this server believes that chain.
fn believes(server: &Server, chain: &[CertificateDer<'static>]) -> bool {
    let policy = server.holdings.policy(SystemTime::now()).unwrap();
    verify(chain, &policy.anchors, &policy.revocation, Purpose::Server, SystemTime::now())
        .is_ok_and(|one| policy.issuing.iter().any(|pinned| Some(pinned.fingerprint) == one.issuer_fingerprint()))
}

/// A world with two members.
async fn three() -> (World, Server, Server) {
    let world = World::new().await;
    let (two, three) = (world.server("fe2.a.test", 22_000).await, world.server("fe3.a.test", 22_010).await);
    (world, two, three)
}

#[tokio::test]
async fn nobody_is_switched_before_every_member_knows_the_new_root() {
    let (world, mut two, mut three) = three().await;
    let before = root(&world);
    world.authority.replace_ca(&order(What::Root), None).await.unwrap();
    waits(&world, "distributing", &["fe2.a.test", "fe3.a.test"]).await;
    two.obey(&world).await;
    for _ in 0..3 {
        world.advance().await;
        waits(&world, "distributing", &["fe3.a.test"]).await;
        let chain = issue(&world.authority, &Applicant::Member(two.name.clone())).await.unwrap();
        assert_eq!((root(&world), chain.len()), (before, 2), "still of the old root");
        assert!(believes(&three, &chain), "also the one that is late");
    }
    // The bundle alone is not enough: without the lists of the new CAs nothing of theirs would be believed.
    three.listen().unwrap();
    three.says(&world, InForce { lists: Vec::new(), ..three.holdings.in_force() }).await;
    world.advance().await;
    waits(&world, "distributing", &["fe3.a.test"]).await;
    three.report(&world).await;
    world.advance().await;
    waits(&world, "renewing", &["fe2.a.test", "fe3.a.test", "sip.a.test"]).await;
    assert_ne!(root(&world), before);
    let chain = issue(&world.authority, &Applicant::Member(two.name.clone())).await.unwrap();
    assert_eq!(chain.len(), 3, "with the link, for those who know the old root only");
    assert!(believes(&three, &chain) && believes(&three, &two.chain));
}

/// Everything up to the end, by members that do as they are told.
async fn to_the_end(world: &World, servers: &mut [&mut Server]) {
    for _ in 0..10 {
        for server in servers.iter_mut() {
            server.obey(world).await;
        }
        if world.authority.replacement().await.unwrap().is_some_and(|status| status.phase == "renewing") {
            world.renew_own().await;
        }
        world.advance().await;
        if world.authority.replacement().await.unwrap().is_none() {
            return;
        }
    }
    panic!("{:?}", world.authority.replacement().await.unwrap());
}

#[tokio::test]
async fn at_the_end_nobody_believes_the_old_root_and_everybody_everybody() {
    let (world, mut two, mut three) = three().await;
    let (before, old_chain, old) = (root(&world), two.chain.clone(), world.authority.ca().authority().root().clone());
    let old_ids = [&two.chain, &three.chain].map(|chain| pki::facts(&chain[0]).unwrap().serial);
    world.authority.replace_ca(&order(What::Root), None).await.unwrap();
    to_the_end(&world, &mut [&mut two, &mut three]).await;
    assert_ne!(root(&world), before);
    for server in [&mut two, &mut three] {
        server.listen().unwrap();
        assert_eq!(server.holdings.bundle().roots, [world.authority.ca().authority().root().clone()]);
        assert!(!believes(server, &old_chain), "{}", server.name);
    }
    assert!(believes(&two, &three.chain) && believes(&three, &two.chain));
    for serial in old_ids {
        let revoked = world.authority.store().revocation(&serial).await.unwrap().unwrap();
        assert_eq!(revoked.reason, Reason::Superseded);
    }
    // Who trusts the old root yet can still ask what of it was revoked.
    let list = world.authority.revocation_list(&Fingerprint::of(&old_chain[1]).to_string()).unwrap();
    let list = pki::RevocationList::read(&list, &[old_chain[1].clone()]).unwrap();
    assert!(list.contains(&pki::facts(&old_chain[0]).unwrap().serial));
    assert!(world.authority.revocation_list(&Fingerprint::of(&old).to_string()).is_some());
    assert_eq!(world.vault.state().settled.len(), 1);
    assert_eq!(world.authority.store().replacement().await.unwrap(), None);
}

#[tokio::test]
async fn the_issuing_cas_are_replaced_below_a_root_that_stays() {
    let (world, mut two, mut three) = three().await;
    let (before, old_chain) = (root(&world), two.chain.clone());
    let id = CertificateId { authority_key: Vec::new(), serial: pki::facts(&old_chain[0]).unwrap().serial };
    let more = Order { domains: vec![fqdn("b.test")], ..order(What::Issuing) };
    world.authority.replace_ca(&more, None).await.unwrap();
    to_the_end(&world, &mut [&mut two, &mut three]).await;
    assert_eq!(root(&world), before);
    three.listen().unwrap();
    assert!(believes(&three, &two.chain) && !believes(&three, &old_chain));
    assert_eq!(two.chain.len(), 2, "no link is needed");
    let ca = world.authority.ca();
    assert!(ca.authority().domains().contains(&fqdn("b.test")), "{:?}", ca.authority().domains());
    let names = [&old_chain[1], &two.chain[1]].map(|ca| pki::facts(ca).unwrap().subject);
    assert_ne!(names[0], names[1], "two CAs of one name cannot be told apart");
    let window = world.authority.renewal_window(&id).await.unwrap().unwrap();
    assert!(window.end < SystemTime::now(), "whoever asks by ARI is told to renew at once");
    // And again: the numbers go on.
    world.authority.replace_ca(&order(What::Issuing), None).await.unwrap();
    to_the_end(&world, &mut [&mut two, &mut three]).await;
    assert!(!names.contains(&pki::facts(&two.chain[1]).unwrap().subject));
}

#[tokio::test]
async fn a_link_that_shows_an_old_certificate_is_waited_for() {
    let (world, mut two, mut three) = three().await;
    world.authority.replace_ca(&order(What::Issuing), None).await.unwrap();
    two.outdated_links = 1;
    for _ in 0..5 {
        two.obey(&world).await;
        three.obey(&world).await;
        world.renew_own().await;
        world.advance().await;
    }
    waits(&world, "renewing", &["fe2.a.test"]).await;
    assert_eq!(status(&world).await.certificates, ["fe2.a.test"], "nor is its certificate taken from under it");
    two.outdated_links = 0;
    to_the_end(&world, &mut [&mut two, &mut three]).await;
}

#[tokio::test]
async fn n29_what_was_never_told_cannot_be_acknowledged() {
    let (world, mut two, mut three) = three().await;
    let newest = || world.authority.member().holdings().bundle().sequence;
    for claimed in [newest() + 1, newest() + 2, u64::MAX >> 1] {
        three.says(&world, InForce { bundle: claimed, ..three.holdings.in_force() }).await;
    }
    // A claim that was made before there was such a bundle counts no more when there is one.
    three.says(&world, InForce { bundle: newest() + 1, ..three.holdings.in_force() }).await;
    world.authority.replace_ca(&order(What::Root), None).await.unwrap();
    two.obey(&world).await;
    world.advance().await;
    waits(&world, "distributing", &["fe3.a.test"]).await;
    three.says(&world, InForce { bundle: u64::MAX >> 1, ..three.holdings.in_force() }).await;
    world.advance().await;
    waits(&world, "distributing", &["fe3.a.test"]).await;
    for _ in 0..2 {
        two.obey(&world).await;
        three.obey(&world).await;
        world.advance().await;
    }
    for server in [&mut two, &mut three] {
        server.obey(&world).await;
    }
    // That it knows of the drop already, before there is one.
    let serial = pki::facts(&three.chain[0]).unwrap().serial.to_string();
    three.says(&world, InForce { bundle: newest() + 1, serial, ..three.holdings.in_force() }).await;
    world.renew_own().await;
    for _ in 0..2 {
        world.advance().await;
    }
    two.obey(&world).await;
    world.advance().await;
    waits(&world, "dropping", &["fe3.a.test"]).await;
    // Nor does it hold anything up once the truth is told.
    to_the_end(&world, &mut [&mut two, &mut three]).await;
}

#[tokio::test]
async fn a_certificate_of_somebody_else_proves_no_renewal() {
    let (world, mut two, mut three) = three().await;
    world.authority.replace_ca(&order(What::Root), None).await.unwrap();
    for server in [&mut two, &mut three] {
        server.obey(&world).await;
    }
    world.advance().await;
    two.obey(&world).await;
    world.renew_own().await;
    let stolen = pki::facts(&two.chain[0]).unwrap().serial.to_string();
    three.listen().unwrap();
    for serial in [stolen, String::new(), "zz".into(), "00".repeat(16)] {
        three.says(&world, InForce { serial, ..three.holdings.in_force() }).await;
        world.advance().await;
        waits(&world, "renewing", &["fe3.a.test"]).await;
    }
}

#[tokio::test]
async fn n29_a_bundle_of_the_old_root_is_refused_after_the_drop() {
    let (world, mut two, mut three) = three().await;
    let old = two.holdings.bundle_text().text.clone();
    world.authority.replace_ca(&order(What::Root), None).await.unwrap();
    two.listen().unwrap();
    let both = two.holdings.bundle_text().text.clone();
    to_the_end(&world, &mut [&mut two, &mut three]).await;
    two.listen().unwrap();
    let held = two.holdings.bundle().sequence;
    for document in [old, both] {
        assert!(two.holdings.take(&Update::Bundle { document }, SystemTime::now()).is_err());
    }
    assert_eq!(two.holdings.bundle().sequence, held);
}

#[tokio::test]
async fn n29_who_stole_the_old_ca_cannot_bring_it_back_by_a_newer_bundle() {
    let world = World::new().await;
    let mut two = world.server("fe2.a.test", 22_000).await;
    let thief = world.authority.ca();
    let bundle = two.holdings.bundle().clone();
    world.authority.replace_ca(&order(What::Root), None).await.unwrap();
    to_the_end(&world, &mut [&mut two]).await;
    two.listen().unwrap();
    let key = pki::Key::generate().unwrap();
    let issued = thief.authority().issue_document_signer(&fqdn("sip.a.test"), &key.public(), SystemTime::now()).unwrap();
    let forged = pki::Bundle { sequence: 1000, previous: None, ..bundle };
    let signer = pki::DocumentSigner::new(issued.chain, key).unwrap();
    let document = signer.sign(pki::DocumentKind::Bundle, &forged.to_payload().unwrap()).unwrap();
    assert!(two.holdings.take(&Update::Bundle { document }, SystemTime::now()).is_err());
}

/// Rows N29, P9: the bundles that lead over the replacement are kept.
#[tokio::test]
async fn p9_a_member_that_held_an_old_bundle_all_the_time_is_led_to_the_new_one_step_by_step() {
    let (world, mut two, mut three) = three().await;
    // What it holds before anything happens, as a disk that was put back.
    let restored = three.holdings.clone();
    for what in [What::Root, What::Issuing, What::Root] {
        world.authority.replace_ca(&order(what), None).await.unwrap();
        to_the_end(&world, &mut [&mut two, &mut three]).await;
    }
    three.holdings = restored;
    assert!(!believes(&three, &two.chain));
    three.call_again(&world).await;
    three.is_led_over_several = true;
    three.listen().unwrap();
    assert_eq!(three.holdings.bundle(), two.holdings.bundle());
    assert!(believes(&three, &two.chain));
    // And without a line, by what everybody may fetch.
    let newest = two.holdings.bundle().sequence;
    let (mut held, mut steps) = (1, 0);
    while let Some(text) = world.authority.bundle_after(held).await {
        (held, steps) = (pki::Bundle::unchecked(&text).unwrap().sequence, steps + 1);
    }
    assert_eq!((held, steps), (newest, 4));
}

#[tokio::test]
async fn it_can_be_given_up_until_somebody_was_switched() {
    let (world, mut two, mut three) = three().await;
    assert!(matches!(give_up(&world).await, Err(ReplacementFault::NoneUnderWay)));
    let before = root(&world);
    world.authority.replace_ca(&order(What::Root), None).await.unwrap();
    let twice = world.authority.replace_ca(&order(What::Issuing), None).await;
    assert!(matches!(twice, Err(Fault::Replacement(ReplacementFault::UnderWay))));
    two.obey(&world).await;
    assert_eq!(two.holdings.bundle().roots.len(), 2);
    give_up(&world).await.unwrap();
    for server in [&mut two, &mut three] {
        server.obey(&world).await;
        assert_eq!(server.holdings.bundle().roots.len(), 1);
    }
    assert!(root(&world) == before && world.vault.state().keys.is_none());
    world.authority.replace_ca(&order(What::Issuing), None).await.unwrap();
    for server in [&mut two, &mut three] {
        server.obey(&world).await;
    }
    world.advance().await;
    assert!(matches!(give_up(&world).await, Err(ReplacementFault::TooLate)));
    to_the_end(&world, &mut [&mut two, &mut three]).await;
}

async fn give_up(world: &World) -> Result<(), ReplacementFault> {
    world.authority.give_up_replacement().await.map_err(|fault| match fault {
        Fault::Replacement(fault) => fault,
        other => panic!("{other}"),
    })
}

#[tokio::test]
async fn an_emergency_waits_a_moment_and_leaves_no_way_over_for_those_who_were_away() {
    let (world, mut two, three) = three().await;
    let urgent = Order { pace: Pace::Emergency, ..order(What::Root) };
    world.authority.replace_ca(&urgent, None).await.unwrap();
    two.obey(&world).await;
    world.advance().await;
    let status = status(&world).await;
    assert_eq!((status.members, status.until.is_some()), (vec![three.name.clone()], true));
    let mut now = SystemTime::now();
    for _ in 0..4 {
        now += EMERGENCY_WAIT + Duration::from_secs(1);
        world.authority.advance(now).await.unwrap();
        two.obey(&world).await;
        if world.authority.replacement().await.unwrap().is_some() {
            world.renew_own().await;
        }
    }
    assert_eq!(world.authority.replacement().await.unwrap(), None);
    assert_eq!(world.authority.store().bridge_after(0).await.unwrap(), None);
    let before = three.holdings.bundle().sequence;
    let newest = world.authority.bundle_after(before).await.unwrap();
    let offline = Anchors::of(three.holdings.bundle().roots.clone()).unwrap();
    let read = pki::read_signed(pki::DocumentKind::Bundle, &newest, &offline, &Revocation::none(), SystemTime::now());
    drop(read);
    let mut left = three;
    assert!(left.holdings.take(&Update::Bundle { document: newest }, SystemTime::now()).is_err(), "it has to join anew");
}

#[tokio::test]
async fn without_the_roots_key_keys_wait_for_what_an_offline_root_signs() {
    let world = World::new().await;
    let nothing = Signed::default();
    let fault = |result: Result<ReplacementStatus, Fault>| match result.unwrap_err() {
        Fault::Replacement(fault) => fault,
        other => panic!("{other}"),
    };
    assert!(matches!(fault(world.authority.replace_ca(&order(What::Issuing), Some(&nothing)).await), ReplacementFault::NoKeys));
    let requests = world.authority.request_ca(&order(What::Issuing)).await.unwrap();
    assert_eq!(requests.len(), 2);
    assert!(matches!(fault(world.authority.replace_ca(&order(What::Issuing), None).await), ReplacementFault::Waiting));
    assert!(matches!(world.authority.request_ca(&order(What::Issuing)).await, Err(Fault::Replacement(ReplacementFault::Waiting))));
    assert!(matches!(fault(world.authority.replace_ca(&order(What::Issuing), Some(&nothing)).await), ReplacementFault::NotSigned { .. }));
    // Signed by a stranger, for these very keys.
    let stranger = pki::Root::create("A", SystemTime::now()).unwrap();
    let mut register = pki::RootRegister::new("A", stranger.certificate());
    let mut sign = |text: &str| {
        let request = pki::IssuingRequest::read(text).unwrap();
        pki::certificates_to_pem([&register.sign(&stranger, &request, SystemTime::now()).unwrap()])
    };
    let (servers, users) = (sign(&requests[0].1), sign(&requests[1].1));
    let list = stranger.revocation_list(&[], 1, SystemTime::now()).unwrap();
    let signed = Signed { root: stranger.certificate_pem(), list, servers, users, link: None };
    for what in [What::Issuing, What::Root] {
        let refused = fault(world.authority.replace_ca(&order(what), Some(&signed)).await);
        assert!(!matches!(refused, ReplacementFault::UnderWay), "{refused}");
    }
    assert!(world.authority.replacement().await.unwrap().is_none());
    give_up(&world).await.unwrap();
    world.authority.replace_ca(&order(What::Issuing), None).await.unwrap();
}
