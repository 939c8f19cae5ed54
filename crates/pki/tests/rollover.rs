//! A root is replaced under everybody's feet, and at every moment every server believes every other.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::{Duration, SystemTime};

use pki::{
    Anchors, Authority, AuthorityFault, Bundle, CertificateDer, DocumentKind, DocumentSigner, EMERGENCY_WAIT, Fingerprint, Fqdn,
    HeldBundle, IssuingAuthority, IssuingCa, Key, Pace, Phase, Purpose, Rejection, Revocation, RevocationList, RevocationLists, Rollover,
    RolloverFault, Root, ServerNames, Side, Step, VerifiedCertificate, Waiting, certificates_to_pem, facts, read_signed, verify,
};
use support::{DAY, OpenSsl, fqdn, now};

/// Two generations of one organisation, and the link certificates between them.
struct Roots {
    old: (Root, Authority),
    new: (Root, Authority),
    new_by_old: CertificateDer<'static>,
    old_by_new: CertificateDer<'static>,
}

fn roots(at: SystemTime) -> Roots {
    let domains = [fqdn("contoso.example")];
    let (g1, i1) = Authority::create("Contoso", &domains, at).unwrap();
    let g2 = Root::create_with("Contoso", 2, Key::generate().unwrap().into(), at).unwrap();
    let i2 = g2.issue_authority("Contoso", 2, &domains, at).unwrap();
    let new_by_old = g1.cross_sign(g2.certificate(), at).unwrap();
    let old_by_new = g2.cross_sign(g1.certificate(), at).unwrap();
    Roots { old: (g1, i1), new: (g2, i2.with_cross(std::slice::from_ref(&new_by_old))), new_by_old, old_by_new }
}

fn server(authority: &Authority, name: &str, at: SystemTime) -> Vec<CertificateDer<'static>> {
    let names = ServerNames { server: fqdn(name), aliases: vec![], domains: vec![] };
    authority.issue_server(&names, &Key::generate().unwrap().public(), at).unwrap().chain
}

fn trusting(roots: &[&Root]) -> Anchors {
    Anchors::of(roots.iter().map(|root| root.certificate().clone())).unwrap()
}

/// Whether somebody who trusts these roots, and holds the lists of all CAs there are, believes this chain.
fn judge(all: &Roots, anchors: &Anchors, chain: &[CertificateDer<'_>]) -> Result<VerifiedCertificate, Rejection> {
    verify(chain, anchors, &Revocation::strict(lists(all, now()), Duration::ZERO), Purpose::Server, now())
}

fn lists(all: &Roots, at: SystemTime) -> RevocationLists {
    let mut lists = RevocationLists::new();
    for (root, authority) in [&all.old, &all.new] {
        let mut take = |der: Vec<u8>, ca: &CertificateDer<'static>| {
            lists.take(RevocationList::read(&der, std::slice::from_ref(ca)).unwrap(), at).unwrap();
        };
        take(root.revocation_list(&[], 1, at).unwrap(), root.certificate());
        authority.issuing_authorities().for_each(|ca| take(ca.revocation_list(&[], 1, at).unwrap(), ca.certificate()));
    }
    lists
}

#[test]
fn who_trusts_the_old_root_only_believes_the_new_one_by_its_link() {
    let all = roots(now());
    let chain = server(&all.new.1, "fe1.contoso.example", now());
    assert_eq!(chain.len(), 3);
    let old = trusting(&[&all.old.0]);
    let verified = judge(&all, &old, &chain).unwrap();
    assert!(verified.anchor().ends_with("Contoso Root CA 2027"), "{}", verified.anchor());
    assert_eq!(verified.issuer_fingerprint(), Some(Fingerprint::of(all.new.1.issuing())), "pinned by the CA, not by the link");
    assert!(matches!(judge(&all, &old, &chain[..2]), Err(Rejection::UnknownIssuer { .. })), "and not without it");
}

#[test]
fn who_trusts_both_believes_both() {
    let all = roots(now());
    let both = trusting(&[&all.old.0, &all.new.0]);
    for authority in [&all.old.1, &all.new.1] {
        assert!(judge(&all, &both, &server(authority, "fe1.contoso.example", now())).is_ok());
    }
}

#[test]
fn who_trusts_the_new_root_only_needs_no_link_and_refuses_the_old() {
    let all = roots(now());
    let new = trusting(&[&all.new.0]);
    let chain = server(&all.new.1, "fe1.contoso.example", now());
    assert!(judge(&all, &new, &chain).is_ok(), "a superfluous link harms nobody");
    assert!(judge(&all, &new, &chain[..2]).is_ok());
    let old = server(&all.old.1, "fe1.contoso.example", now());
    assert!(matches!(judge(&all, &new, &old), Err(Rejection::UnknownIssuer { .. })));
    let linked = [&old[..], std::slice::from_ref(&all.old_by_new)].concat();
    assert!(judge(&all, &new, &linked).is_ok(), "unless the new root vouches for the old one");
}

#[test]
fn n5_a_link_can_be_taken_back() {
    let all = roots(now());
    let chain = server(&all.new.1, "fe1.contoso.example", now());
    let serial = facts(&all.new_by_old).unwrap().serial;
    let entry = pki::RevokedCertificate { serial, at: now(), reason: pki::RevocationReason::KeyCompromise };
    let mut lists = lists(&all, now());
    let list = all.old.0.revocation_list(&[entry], 2, now()).unwrap();
    lists.take(RevocationList::read(&list, &[all.old.0.certificate().clone()]).unwrap(), now()).unwrap();
    let strict = Revocation::strict(lists, Duration::ZERO);
    let found = verify(&chain, &trusting(&[&all.old.0]), &strict, Purpose::Server, now());
    assert!(matches!(found, Err(Rejection::Revoked { .. })), "{found:?}");
    assert!(verify(&chain, &trusting(&[&all.new.0]), &strict, Purpose::Server, now()).is_ok());
}

/// Equal names of different keys break path building and revocation lists.
#[test]
fn two_roots_of_one_name_are_refused() {
    let all = roots(now());
    let twin = Root::create_with("Contoso", 2, Key::generate().unwrap().into(), now()).unwrap();
    let fault = all.new.0.cross_sign(twin.certificate(), now()).unwrap_err();
    assert_eq!(fault, AuthorityFault::SameName { name: "O=Contoso, CN=Contoso Root CA 2027-2".into() });
    let leaf = server(&all.new.1, "fe1.contoso.example", now()).swap_remove(0);
    assert!(matches!(all.old.0.cross_sign(&leaf, now()), Err(AuthorityFault::Foreign { .. })), "a server is no root");
}

#[test]
fn a_link_bears_the_name_and_the_key_of_the_other_root() {
    let all = roots(now());
    let (link, root) = (facts(&all.new_by_old).unwrap(), facts(all.new.0.certificate()).unwrap());
    assert_eq!((&link.subject, link.is_ca), (&root.subject, true));
    assert_eq!(link.issuer, facts(all.old.0.certificate()).unwrap().subject);
    assert!(link.not_after <= facts(all.old.0.certificate()).unwrap().not_after);
}

#[test]
fn a_link_is_the_old_roots_word_for_the_new_one_and_nothing_else() {
    let all = roots(now());
    let (old, new) = (all.old.0.certificate(), all.new.0.certificate());
    assert_eq!(pki::check_link(&all.new_by_old, old, new, now()), Ok(()));
    let foreign = Err(AuthorityFault::Foreign { which: "link" });
    assert_eq!(pki::check_link(&all.old_by_new, old, new, now()), foreign, "the other way round");
    assert_eq!(pki::check_link(new, old, new, now()), foreign, "the new root's own word");
    assert_eq!(pki::check_link(all.old.1.issuing(), old, new, now()), foreign, "another CA of the old root");
    let stranger = roots(now());
    assert_eq!(pki::check_link(&stranger.new_by_old, old, new, now()), foreign, "of others with the same names");
    let late = pki::check_link(&all.new_by_old, old, new, now() + pki::ROOT_VALIDITY + 2 * DAY);
    assert!(matches!(late, Err(AuthorityFault::NotValidNow { .. })), "{late:?}");
    assert_eq!(pki::organisation_of(new).as_deref(), Some("Contoso"));
}

#[test]
fn openssl_walks_the_same_paths() {
    let Some(openssl) = OpenSsl::find() else { return };
    let at = SystemTime::now();
    let all = roots(at);
    openssl.write("old.pem", all.old.0.certificate_pem());
    openssl.write("new.pem", all.new.0.certificate_pem());
    openssl.write("chain.pem", certificates_to_pem(&server(&all.new.1, "fe1.contoso.example", at)));
    openssl.write("unlinked.pem", certificates_to_pem(&server(&all.new.1, "fe1.contoso.example", at)[..2]));
    openssl.write("before.pem", certificates_to_pem(&server(&all.old.1, "fe1.contoso.example", at)));
    let line = |root: &str, chain: &str| format!("verify -x509_strict -no-CApath -no-CAstore -CAfile {root} -untrusted {chain} {chain}");
    openssl.run(&line("old.pem", "chain.pem"));
    openssl.run(&line("new.pem", "chain.pem"));
    openssl.run(&line("old.pem", "before.pem"));
    openssl.fails(&line("old.pem", "unlinked.pem"));
    openssl.fails(&line("new.pem", "before.pem"));
}

/// A member: what it believes, and what it shows.
struct Member {
    name: Fqdn,
    bundle: Bundle,
    held: HeldBundle,
    chain: Vec<CertificateDer<'static>>,
    /// Cut off: hears nothing.
    deaf: bool,
}

/// An organisation that replaces its root: an authority that does what it is told, and members.
struct Scene {
    all: Roots,
    rollover: Rollover,
    members: Vec<Member>,
    sequence: u64,
    newest: Option<HeldBundle>,
    issues_new: bool,
    now: SystemTime,
}

impl Scene {
    fn new(names: &[&str], pace: Pace) -> Self {
        let all = roots(now());
        let fingerprints = [&all.old, &all.new].map(|(root, _)| Fingerprint::of(root.certificate()));
        let rollover = Rollover::stage(fingerprints[0], fingerprints[1], pace, names.iter().map(|name| fqdn(name)), now()).unwrap();
        let mut scene = Self { all, rollover, members: vec![], sequence: 1, newest: None, issues_new: false, now: now() };
        let text = scene.signed(&[Side::Old]);
        for name in names {
            let pinned = Fingerprint::of(scene.all.old.0.certificate());
            let (bundle, held) = Bundle::read_pinned(&text, pinned, scene.now).unwrap();
            let chain = server(&scene.all.old.1, name, scene.now);
            scene.members.push(Member { name: fqdn(name), bundle, held, chain, deaf: false });
        }
        scene
    }

    fn side(&self, side: Side) -> &(Root, Authority) {
        match side {
            Side::Old => &self.all.old,
            Side::New => &self.all.new,
        }
    }

    /// The next bundle, with these roots, signed below the root that issues now.
    fn signed(&mut self, sides: &[Side]) -> String {
        let of = |side: &Side| self.side(*side);
        let issuing = |ca: &IssuingAuthority| IssuingCa { kind: ca.kind(), certificate: ca.certificate().clone() };
        let bundle = Bundle {
            sequence: self.sequence,
            previous: self.newest.map(|held| held.digest),
            issued_at: self.now,
            valid_until: self.now + 30 * DAY,
            refresh: Duration::from_mins(5),
            roots: sides.iter().map(|side| of(side).0.certificate().clone()).collect(),
            issuing: sides.iter().flat_map(|side| of(side).1.issuing_authorities().map(issuing)).collect(),
            lists: vec![],
            partners: vec![],
        };
        let payload = bundle.to_payload().unwrap();
        self.newest = Some(HeldBundle { sequence: self.sequence, digest: Fingerprint::of(&payload) });
        self.sequence += 1;
        let issuer = if self.issues_new { &self.all.new.1 } else { &self.all.old.1 };
        let key = Key::generate().unwrap();
        let issued = issuer.issue_document_signer(&fqdn("sip.contoso.example"), &key.public(), self.now).unwrap();
        DocumentSigner::new(issued.chain, key).unwrap().sign(DocumentKind::Bundle, &payload).unwrap()
    }

    /// Publishes to everybody who hears it; those acknowledge.
    fn publish(&mut self, sides: &[Side]) {
        let text = self.signed(sides);
        let sequence = self.sequence - 1;
        self.rollover.handle_published(sequence, self.now).unwrap();
        for member in self.members.iter_mut().filter(|member| !member.deaf) {
            let anchors = member.bundle.anchors().unwrap();
            let document = read_signed(DocumentKind::Bundle, &text, &anchors, &Revocation::none(), self.now).unwrap();
            (member.bundle, member.held) = Bundle::accept(Some(&member.held), &document, self.now).unwrap();
            self.rollover.handle_acknowledged(&member.name, sequence);
        }
    }

    /// Does what is to be done, once. What was it?
    fn step(&mut self) -> Step {
        let step = self.rollover.poll(self.now);
        match &step {
            Step::PublishBoth => self.publish(&[Side::Old, Side::New]),
            Step::PublishNew => self.publish(&[Side::New]),
            Step::Switch => {
                self.issues_new = true;
                self.rollover.handle_switched(self.now).unwrap();
            }
            Step::Wait(_) | Step::Finished => {}
        }
        step
    }

    fn renew(&mut self, name: &str) {
        assert!(self.issues_new);
        let chain = server(&self.all.new.1, name, self.now);
        self.members.iter_mut().find(|member| member.name == fqdn(name)).unwrap().chain = chain;
        self.rollover.handle_certificate(&fqdn(name), Fingerprint::of(self.all.new.0.certificate()));
    }

    /// Every member believes every other: the path, its lists, and the list of issuing CAs.
    fn everybody_believes_everybody(&self) {
        let revocation = Revocation::strict(lists(&self.all, self.now), Duration::ZERO);
        for judge in &self.members {
            for judged in &self.members {
                let verified = verify(&judged.chain, &judge.bundle.anchors().unwrap(), &revocation, Purpose::Server, self.now);
                let verified = verified.unwrap_or_else(|why| panic!("{} refuses {}: {why}", judge.name, judged.name));
                let pinned = judge.bundle.pinned().iter().any(|pin| Some(pin.fingerprint) == verified.issuer_fingerprint());
                assert!(pinned, "{} does not know the CA of {}", judge.name, judged.name);
            }
        }
    }

    fn deafen(&mut self, name: &str, deaf: bool) {
        self.members.iter_mut().find(|member| member.name == fqdn(name)).unwrap().deaf = deaf;
    }
}

fn waits_for(step: &Step, names: &[&str], certificates: u64) {
    let members = names.iter().map(|name| fqdn(name)).collect();
    assert_eq!(*step, Step::Wait(Waiting { members, certificates, until: None }));
}

const THREE: [&str; 3] = ["fe1.contoso.example", "fe2.contoso.example", "fe3.contoso.example"];

#[test]
fn at_every_moment_of_a_replacement_everybody_believes_everybody() {
    let mut scene = Scene::new(&THREE, Pace::Ordinary);
    scene.everybody_believes_everybody();
    assert_eq!(scene.step(), Step::PublishBoth);
    scene.everybody_believes_everybody();
    assert_eq!(scene.step(), Step::Switch);
    assert_eq!((scene.rollover.issues_from(), scene.rollover.sends_cross()), (Side::New, true));
    for (renewed, name) in THREE.iter().enumerate() {
        waits_for(&scene.step(), &THREE[renewed..], 0);
        scene.renew(name);
        scene.everybody_believes_everybody();
    }
    waits_for(&scene.step(), &[], 1);
    scene.rollover.handle_outstanding(2);
    waits_for(&scene.step(), &[], 2);
    scene.rollover.handle_outstanding(0);
    assert_eq!(scene.step(), Step::PublishNew);
    scene.everybody_believes_everybody();
    assert_eq!(scene.step(), Step::Finished);
    assert!(!scene.rollover.believes(Side::Old) && !scene.rollover.sends_cross());
    assert_eq!(scene.rollover.left_behind().count(), 0);
    let old = server(&scene.all.old.1, "fe1.contoso.example", scene.now);
    let anchors = scene.members[0].bundle.anchors().unwrap();
    assert!(verify(&old, &anchors, &Revocation::none(), Purpose::Server, scene.now).is_err(), "the old root is nobody now");
}

#[test]
fn one_member_that_hears_nothing_holds_up_everything_for_years() {
    let mut scene = Scene::new(&THREE, Pace::Ordinary);
    scene.deafen("fe2.contoso.example", true);
    assert_eq!(scene.step(), Step::PublishBoth);
    scene.now += 2 * DAY;
    assert_eq!(scene.rollover.poll_timeout(), None);
    waits_for(&scene.step(), &["fe2.contoso.example"], 0);
    assert_eq!(scene.rollover.issues_from(), Side::Old);
    scene.everybody_believes_everybody();
    scene.rollover.handle_acknowledged(&fqdn("fe2.contoso.example"), 1);
    waits_for(&scene.step(), &["fe2.contoso.example"], 0);
    scene.rollover.handle_acknowledged(&fqdn("fe2.contoso.example"), 2);
    assert_eq!(scene.step(), Step::Switch);
}

#[test]
fn who_is_removed_is_waited_for_no_longer_and_who_joins_is() {
    let mut scene = Scene::new(&THREE, Pace::Ordinary);
    scene.deafen("fe2.contoso.example", true);
    scene.step();
    waits_for(&scene.step(), &["fe2.contoso.example"], 0);
    let members = ["fe1.contoso.example", "fe3.contoso.example", "fe4.contoso.example"];
    scene.rollover.handle_members(members.map(fqdn));
    waits_for(&scene.step(), &["fe4.contoso.example"], 0);
    scene.rollover.handle_acknowledged(&fqdn("fe4.contoso.example"), 2);
    scene.rollover.handle_acknowledged(&fqdn("mallory.contoso.example"), 2);
    assert_eq!(scene.step(), Step::Switch);
}

#[test]
fn an_acknowledgement_is_never_taken_back() {
    let mut scene = Scene::new(&THREE[..1], Pace::Ordinary);
    scene.step();
    scene.rollover.handle_acknowledged(&fqdn("fe1.contoso.example"), 1);
    assert_eq!(scene.step(), Step::Switch);
}

/// A restored server that shows its old certificate again is waited for again.
#[test]
fn a_member_that_goes_back_to_its_old_certificate_is_waited_for() {
    let mut scene = Scene::new(&THREE[..1], Pace::Ordinary);
    scene.step();
    scene.step();
    scene.renew("fe1.contoso.example");
    scene.rollover.handle_certificate(&fqdn("fe1.contoso.example"), Fingerprint::of(scene.all.old.0.certificate()));
    scene.rollover.handle_outstanding(0);
    waits_for(&scene.step(), &["fe1.contoso.example"], 0);
}

#[test]
fn an_emergency_waits_a_moment_and_says_who_was_left_behind() {
    let mut scene = Scene::new(&THREE, Pace::Emergency);
    scene.deafen("fe2.contoso.example", true);
    assert_eq!(scene.step(), Step::PublishBoth);
    let Step::Wait(waiting) = scene.step() else { panic!("there is a moment") };
    assert_eq!((waiting.members, waiting.until), (vec![fqdn("fe2.contoso.example")], Some(scene.now + EMERGENCY_WAIT)));
    assert_eq!(scene.rollover.poll_timeout(), Some(scene.now + EMERGENCY_WAIT));
    scene.now += EMERGENCY_WAIT;
    assert_eq!(scene.step(), Step::Switch);
    for name in ["fe1.contoso.example", "fe3.contoso.example"] {
        scene.renew(name);
    }
    scene.rollover.handle_outstanding(0);
    assert_eq!(scene.step(), Step::PublishNew, "fe2 is not waited for a second time");
    assert_eq!(scene.step(), Step::Finished);
    assert_eq!(scene.rollover.left_behind().collect::<Vec<_>>(), [&fqdn("fe2.contoso.example")]);
    scene.members.retain(|member| !member.deaf);
    scene.everybody_believes_everybody();
}

#[test]
fn a_replacement_survives_a_restart_at_every_step() {
    let mut scene = Scene::new(&THREE, Pace::Ordinary);
    let mut phases = vec![];
    loop {
        let again = Rollover::from_json(&scene.rollover.to_json().unwrap()).unwrap();
        assert_eq!(again, scene.rollover);
        scene.rollover = again;
        phases.push(scene.rollover.phase());
        match scene.step() {
            Step::Wait(waiting) if waiting.members.is_empty() => scene.rollover.handle_outstanding(0),
            Step::Wait(waiting) => scene.renew(waiting.members[0].as_str()),
            Step::Finished => break,
            Step::PublishBoth | Step::PublishNew | Step::Switch => {}
        }
    }
    phases.dedup();
    let dropping = Phase::Dropping { sequence: 3 };
    assert_eq!(phases, [Phase::Staged, Phase::Distributing { sequence: 2 }, Phase::Renewing, dropping]);
    for bad in ["", "{}", "{\"format\":2}"] {
        assert!(Rollover::from_json(bad).is_err(), "{bad}");
    }
}

#[test]
fn steps_out_of_turn_are_refused() {
    let [old, new] = [b"old", b"new"].map(|bytes| Fingerprint::of(bytes));
    let member = || [fqdn("fe1.contoso.example")];
    assert_eq!(Rollover::stage(old, old, Pace::Ordinary, member(), now()), Err(RolloverFault::SameRoot));
    let mut rollover = Rollover::stage(old, new, Pace::Ordinary, member(), now()).unwrap();
    assert_eq!(rollover.handle_switched(now()), Err(RolloverFault::OutOfTurn));
    rollover.handle_acknowledged(&member()[0], 7);
    assert_eq!(rollover.handle_published(7, now()), Err(RolloverFault::Sequence(7)), "that number means something else already");
    assert_eq!(rollover.handle_published(8, now()), Ok(()));
    assert_eq!(rollover.handle_published(9, now()), Ok(()), "another bundle may come out meanwhile");
    assert_eq!(rollover.phase(), Phase::Distributing { sequence: 8 });
    assert_eq!(rollover.handle_switched(now()), Err(RolloverFault::OutOfTurn));
    rollover.handle_acknowledged(&member()[0], 9);
    assert_eq!(rollover.poll(now()), Step::Switch);
    assert_eq!(rollover.handle_published(10, now()), Err(RolloverFault::OutOfTurn));
    assert_eq!(rollover.poll(now()), Step::Switch, "it is said until it is done");
}
