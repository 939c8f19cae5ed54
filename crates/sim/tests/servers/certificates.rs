//! Certificates that prove nothing, in both directions of a link: rows N2 to N4, N6 to N10, N14, N31, N34 to N36. Whoever shows one is
//! refused, hears nothing, and takes nobody else's link with it. Lists that are no longer the newest: row N29.

use std::{fs, process::Command, time::Duration};

use pki::{Authority, CaSigner, Key, Revocation, RevocationList, RevocationLists};
use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose as Purpose, Issuer, KeyUsagePurpose, SanType};
use sim::{Entry, Holder, Line, Organisation, Phone};
use sip::Status;

use crate::cast::*;

const THREE: &[Entry<'static>] =
    &[("ca", "ca", "authority"), ("fe1", "fe1", "front-end"), ("fe2", "fe2", "front-end"), ("fe3", "fe3", "front-end")];
const FE2: &str = "fe2.contoso.example";
const HOUR: Duration = Duration::from_hours(1);

/// Anna at fe1, Carl at fe3; Bert at home at fe2, which somebody else will pretend to be.
fn three() -> (Organisation, (Phone, Line), (Phone, Line)) {
    let mut scene = Organisation::new(THREE, &[("anna", "fe1"), ("bert", "fe2"), ("carl", "fe3")]);
    let (mut anna, mut carl) = (scene.phone("anna"), scene.phone("carl"));
    let (a, c) = (scene.sign_in(&mut anna, "fe1"), scene.sign_in(&mut carl, "fe3"));
    (scene, (anna, a), (carl, c))
}

/// A certificate below the organisation's own CA, of whatever content.
fn leaf(scene: &Organisation, change: impl FnOnce(&mut CertificateParams)) -> Holder {
    let ca = scene.authority();
    let ca_key = CaSigner::from(Key::from_pem(ca.key_pem().unwrap().expose()).unwrap());
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, FE2);
    params.not_before = (scene.wall() - HOUR).into();
    params.not_after = (scene.wall() + 24 * HOUR).into();
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![Purpose::ServerAuth];
    params.subject_alt_names = vec![dns(FE2)];
    params.use_authority_key_identifier_extension = true;
    change(&mut params);
    let key = Key::generate().unwrap();
    let issuer = Issuer::from_ca_cert_der(ca.issuing(), ca_key).unwrap();
    let public = rcgen::SubjectPublicKeyInfo::from_der(key.public().as_der()).unwrap();
    let certificate = params.signed_by(&public, &issuer).unwrap();
    Holder { chain: vec![certificate.der().clone(), ca.issuing().clone()], key }
}

fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().unwrap())
}

fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

/// Calling and called, who shows this is refused for this reason; Anna's words for Bert reach nobody, those for Carl do.
#[track_caller]
fn check(label: &str, holder: impl FnOnce(&Organisation) -> Holder) {
    let (mut scene, mut anna, carl) = three();
    let holder = holder(&scene);
    assert_eq!(scene.connect_showing(&holder, "fe1").unwrap_err().label(), label, "when it calls");
    scene.stop("fe2");
    scene.answer_showing(&holder, "fe2");
    scene.run_for(Duration::from_secs(60));
    let verdicts: Vec<&str> = scene.records("fe1").iter().map(|record| record.label).collect();
    assert_eq!(verdicts.iter().rev().find(|label| **label != "trusted_server"), Some(&label), "when it answers: {verdicts:?}");
    assert_eq!(status(&answered(&mut scene, &mut anna, BERT)), Status::SERVICE_UNAVAILABLE);
    let called = scene.answered();
    assert!(scene.heard(called).is_empty(), "nothing is said to somebody who proved nothing");
    writes(&mut scene, &mut anna, &carl);
}

#[test]
fn a_certificate_as_it_should_be_is_taken_though_it_was_made_by_hand() {
    let (mut scene, ..) = three();
    let holder = leaf(&scene, |_| {});
    assert!(scene.connect_showing(&holder, "fe1").is_ok());
}

#[test]
fn n2_a_listed_name_below_a_foreign_ca() {
    check("unknown_issuer", |scene| {
        let fabrikam = Authority::create("Fabrikam", &["contoso.example".parse().unwrap()], scene.wall()).unwrap().1;
        Holder::server(&fabrikam, &FE2.parse().unwrap(), scene.wall())
    });
}

#[test]
fn n3_expired() {
    check("expired", |scene| {
        leaf(scene, |params| {
            params.not_before = (scene.wall() - 48 * HOUR).into();
            params.not_after = (scene.wall() - HOUR).into();
        })
    });
}

#[test]
fn n3_a_certificate_that_ends_while_its_server_runs_opens_no_link_any_more() {
    let (mut scene, ..) = three();
    let holder = leaf(&scene, |params| params.not_after = (scene.wall() + HOUR).into());
    assert!(scene.connect_showing(&holder, "fe1").is_ok());
    scene.run_for(2 * HOUR);
    assert_eq!(scene.connect_showing(&holder, "fe1").unwrap_err().label(), "expired");
}

#[test]
fn n4_not_yet_valid() {
    check("not_yet_valid", |scene| leaf(scene, |params| params.not_before = (scene.wall() + HOUR).into()));
}

#[test]
fn n6_without_revocation_lists_no_server_is_believed_and_phones_go_on() {
    let (mut scene, mut anna, carl) = three();
    scene.believe(|policy| policy.revocation = Revocation::strict(RevocationLists::new(), Duration::ZERO));
    assert_eq!(scene.connect_as_server("fe2", "fe1").unwrap_err().label(), "no_revocation_list");
    assert!(scene.links_up("fe1", "fe3") == 0, "what was open is judged by it too");
    assert_eq!(status(&answered(&mut scene, &mut anna, "sip:carl@contoso.example")), Status::SERVICE_UNAVAILABLE);
    assert!(scene.is_open(anna.1) && scene.is_open(carl.1));
}

#[test]
fn n7_a_certificate_for_clients_only() {
    check("wrong_purpose", |scene| leaf(scene, |params| params.extended_key_usages = vec![Purpose::ClientAuth]));
}

#[test]
fn n8_no_alternative_name_is_the_one_wanted() {
    let (mut scene, mut anna, _) = three();
    scene.stop("fe2");
    // A good server, but not the one that was called.
    scene.answer_as("fe3", "fe2");
    scene.run_for(Duration::from_secs(60));
    assert_eq!(status(&answered(&mut scene, &mut anna, BERT)), Status::SERVICE_UNAVAILABLE);
    let labels: Vec<&str> = scene.records("fe1").iter().map(|record| record.label).collect();
    assert!(labels.contains(&"wrong_name"), "{labels:?}");
}

#[test]
fn n9_the_name_stands_in_the_common_name_only() {
    check("no_identity", |scene| leaf(scene, |params| params.subject_alt_names = Vec::new()));
}

#[test]
fn n10_a_wildcard() {
    check("wildcard", |scene| leaf(scene, |params| params.subject_alt_names = vec![dns("*.contoso.example")]));
}

#[test]
fn n31_with_stale_lists_no_server_is_believed_after_the_grace_and_phones_go_on() {
    let (mut scene, anna, _) = three();
    let (minutes, now) = (Duration::from_mins(10), scene.wall());
    let ca = scene.authority().servers();
    let list = ca.revocation_list_until(&[], 2, now, now + minutes).unwrap();
    let list = RevocationList::read(&list, std::slice::from_ref(ca.certificate())).unwrap();
    scene.believe(|policy| {
        let mut lists = policy.revocation.lists().clone();
        lists.take(list, now).unwrap();
        policy.revocation = Revocation::strict(lists, minutes);
    });
    scene.run_for(minutes + minutes / 2);
    assert!(scene.connect_as_server("fe2", "fe1").is_ok(), "within the grace");
    scene.run_for(minutes);
    assert_eq!(scene.connect_as_server("fe2", "fe1").unwrap_err().label(), "stale_revocation_list");
    assert!(scene.is_open(anna.1));
    let another = scene.connect("fe1");
    assert!(scene.is_open(another), "who shows no certificate needs no list");
}

#[test]
fn n36_a_name_in_any_case_counts_and_one_of_another_scheme_or_with_a_user_does_not() {
    let (mut scene, ..) = three();
    let several = leaf(&scene, |params| params.subject_alt_names = vec![uri("https://fe9.contoso.example"), dns("FE2.Contoso.EXAMPLE")]);
    assert!(scene.connect_showing(&several, "fe1").is_ok(), "every name is looked at, whatever its case");
    for text in ["https://fe2.contoso.example", "sip:alice@fe2.contoso.example", "im:fe2.contoso.example"] {
        let (mut scene, ..) = three();
        let holder = leaf(&scene, |params| params.subject_alt_names = vec![uri(text)]);
        assert!(scene.connect_showing(&holder, "fe1").is_err(), "{text}");
    }
}

/// The leaf once more, signed by the organisation's own CA with the `openssl` program: our library refuses to hash by SHA-1.
fn hashed_by(scene: &Organisation, digest: &str) -> Holder {
    let (key, dir) = (Key::generate().unwrap(), tempfile::tempdir().unwrap());
    let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
    write("csr", &pki::certificate_request_pem(&key, &[FE2.parse().unwrap()]).unwrap());
    write("ca.pem", &scene.authority().issuing_pem());
    write("ca.key", scene.authority().key_pem().unwrap().expose());
    let extensions = "keyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth\nauthorityKeyIdentifier=keyid\n";
    write("ext", &format!("{extensions}subjectAltName=critical,DNS:{FE2}\n"));
    let words = ["x509", "-req", "-in", "csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-set_serial", "77", "-days", "3650"];
    let made = Command::new("openssl").args(words).args(["-extfile", "ext", &format!("-{digest}")]).current_dir(&dir).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let leaf = pki::certificates_from_pem(&String::from_utf8(made.stdout).unwrap()).unwrap().remove(0);
    Holder { chain: vec![leaf, scene.authority().issuing().clone()], key }
}

#[test]
fn n14_a_signature_by_sha_1_is_refused_though_our_own_ca_made_it() {
    check("weak", |scene| hashed_by(scene, "sha1"));
    let (mut scene, ..) = three();
    let strong = hashed_by(&scene, "sha256");
    assert_eq!(scene.connect_showing(&strong, "fe1").err(), None, "nothing else is wrong with it");
}

/// What a member does with a list that comes: one that is refused changes nothing.
fn takes(scene: &mut Organisation, der: &[u8]) -> bool {
    let (now, issuer) = (scene.wall(), scene.authority().servers().certificate().clone());
    let mut taken = false;
    scene.believe(|policy| {
        let (mut lists, grace) = (policy.revocation.lists().clone(), policy.revocation.grace());
        taken = RevocationList::read(der, std::slice::from_ref(&issuer)).and_then(|list| lists.take(list, now)).is_ok();
        policy.revocation = Revocation::strict(lists, grace);
    });
    taken
}

#[test]
fn n29_an_older_a_damaged_and_an_expired_revocation_list_bring_nobody_back() {
    let (mut scene, mut anna, carl) = three();
    let now = scene.wall();
    let ca = scene.authority().servers();
    let made = |number, until| ca.revocation_list_until(&[], number, now, until).unwrap();
    let (older, expired, newer) = (made(1, now + 24 * HOUR), made(9, now + Duration::from_secs(1)), made(9, now + 24 * HOUR));
    let mut damaged = newer.clone();
    *damaged.last_mut().unwrap() ^= 1;
    scene.revoke("fe2");
    scene.run_for(Duration::from_secs(5));
    for list in [older, damaged, expired] {
        assert!(!takes(&mut scene, &list));
        scene.run_for(Duration::from_secs(60));
        assert_eq!(scene.links_up("fe1", "fe2"), 0);
        assert_eq!(status(&answered(&mut scene, &mut anna, BERT)), Status::SERVICE_UNAVAILABLE);
        writes(&mut scene, &mut anna, &carl);
    }
    // What kept fe2 out was the list that is held, and nothing else.
    assert!(takes(&mut scene, &newer));
    scene.run_for(Duration::from_secs(60));
    assert!(scene.links_up("fe1", "fe2") > 0);
}

/// Twenty applications with four connections each at fe1, and every one of them is answered.
struct Eighty {
    lines: Vec<(String, Line)>,
}

impl Eighty {
    fn connect(scene: &mut Organisation, applications: &[String]) -> Self {
        let mut lines = Vec::new();
        for name in applications {
            let holder = scene.holder(name);
            lines.extend((0..4).map(|_| (name.clone(), scene.connect_showing(&holder, "fe1").unwrap())));
        }
        Self { lines }
    }

    #[track_caller]
    fn all_answer(&self, scene: &mut Organisation) {
        assert_eq!(self.lines.len(), 80);
        for (name, line) in &self.lines {
            let from = format!("sip:{name}.contoso.example");
            scene.heard(*line);
            scene.say(*line, &from_server(name, "OPTIONS", "sip:fe1.contoso.example", &from, ""));
            assert_eq!(answers(&scene.heard(*line)), [Status::OK], "{name}");
        }
    }
}

#[test]
fn n34_whoever_fails_leaves_eighty_others_connected() {
    let applications: Vec<String> = (0..20).map(|number| format!("app{number}")).collect();
    let mut entries: Vec<Entry<'_>> = TWO.to_vec();
    entries.extend(applications.iter().map(|name| (name.as_str(), name.as_str(), "application")));
    let mut scene = Organisation::new(&entries, &[]);
    let eighty = Eighty::connect(&mut scene, &applications);
    eighty.all_answer(&mut scene);
    let foreign = Authority::create("Fabrikam", &["contoso.example".parse().unwrap()], scene.wall()).unwrap().1;
    let bad = [
        ("unknown_issuer", Holder::server(&foreign, &FE2.parse().unwrap(), scene.wall())),
        ("not_in_topology", scene.holder("fe9")),
        ("expired", leaf(&scene, |params| params.not_after = (scene.wall() - HOUR / 2).into())),
        ("wildcard", leaf(&scene, |params| params.subject_alt_names = vec![dns("*.contoso.example")])),
        ("wrong_purpose", leaf(&scene, |params| params.extended_key_usages = vec![Purpose::ClientAuth])),
    ];
    for (label, holder) in bad {
        assert_eq!(scene.connect_showing(&holder, "fe1").unwrap_err().label(), label);
        eighty.all_answer(&mut scene);
    }
}

#[test]
fn n35_whatever_name_is_asked_for_the_same_is_demanded() {
    let (mut scene, ..) = three();
    let foreign = Authority::create("Fabrikam", &["contoso.example".parse().unwrap()], scene.wall()).unwrap().1;
    let (foreign, unlisted) = (Holder::server(&foreign, &FE2.parse().unwrap(), scene.wall()), scene.holder("fe9"));
    let wildcard = leaf(&scene, |params| params.subject_alt_names = vec![dns("*.contoso.example")]);
    let good = leaf(&scene, |_| {});
    for name in [Some("fe1.contoso.example"), Some("FE1.Contoso.Example"), Some("contoso.example"), None] {
        for (label, holder) in [("unknown_issuer", &foreign), ("not_in_topology", &unlisted), ("wildcard", &wildcard)] {
            assert_eq!(scene.connect_asking_for(name, holder, "fe1").unwrap_err().label(), label, "{name:?}");
        }
        let line = scene.connect_asking_for(name, &good, "fe1").unwrap();
        let asked_for = scene.records("fe1").last().unwrap().contact.sni.clone();
        assert_eq!(asked_for, name.map(str::to_ascii_lowercase));
        scene.hang_up(line);
    }
}
