//! Chains with one defect each, made here, and the rejection that each of them meets.
#![allow(clippy::unwrap_used)]

use std::{
    process::Command,
    time::{Duration, SystemTime},
};

use pki::{
    AnchorFault, Anchors, CHAIN_BYTES_MAX, CertificateDer, Fingerprint, Key, Purpose, Rejection, Revocation, VerifiedCertificate,
    certificates_from_pem, verify,
};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose as Eku, GeneralSubtree, IsCa, Issuer,
    KeyUsagePurpose, NameConstraints, SanType,
};

const DAY: Duration = Duration::from_hours(24);

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

/// A root, an issuing CA and a leaf. Each test spoils one of them.
struct Plan {
    root: CertificateParams,
    issuing: CertificateParams,
    leaf: CertificateParams,
}

/// What was made of a plan.
struct Made {
    root: CertificateDer<'static>,
    /// The leaf, then the issuing CA.
    chain: Vec<CertificateDer<'static>>,
}

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = (now() - DAY).into();
    params.not_after = (now() + DAY).into();
    params
}

impl Plan {
    fn new() -> Self {
        let mut root = params("Defect Root");
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let mut issuing = params("Defect Issuing");
        issuing.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        issuing.extended_key_usages = vec![Eku::ServerAuth, Eku::ClientAuth];
        let mut leaf = params("fe1.contoso.example");
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        leaf.extended_key_usages = vec![Eku::ServerAuth];
        leaf.subject_alt_names = vec![dns("fe1.contoso.example")];
        Self { root, issuing, leaf }
    }

    fn make(self) -> Made {
        let [root_key, issuing_key, leaf_key] = [(); 3].map(|()| Key::generate().unwrap());
        let root = self.root.self_signed(&root_key).unwrap().der().clone();
        let issuing = self.issuing.signed_by(&issuing_key, &Issuer::from_params(&self.root, &root_key)).unwrap().der().clone();
        let leaf = self.leaf.signed_by(&leaf_key, &Issuer::from_params(&self.issuing, &issuing_key)).unwrap().der().clone();
        Made { root, chain: vec![leaf, issuing] }
    }
}

impl Made {
    fn anchors(&self) -> Anchors {
        Anchors::of([self.root.clone()]).unwrap()
    }

    fn verify(&self) -> Result<VerifiedCertificate, Rejection> {
        verify(&self.chain, &self.anchors(), &Revocation::none(), Purpose::Server, now())
    }
}

fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().unwrap())
}

fn uri(uri: &str) -> SanType {
    SanType::URI(uri.try_into().unwrap())
}

/// The plan, spoilt like this, is refused with these words.
fn check(spoil: impl FnOnce(&mut Plan), words: &str) {
    let mut plan = Plan::new();
    spoil(&mut plan);
    let rejection = plan.make().verify().unwrap_err().to_string();
    assert!(rejection.contains(words), "{rejection}\n  lacks: {words}");
}

#[test]
fn without_a_defect_the_chain_is_believed() {
    let made = Plan::new().make();
    let verified = made.verify().unwrap();
    assert_eq!(verified.shown(), ["fe1.contoso.example"]);
    assert_eq!(verified.fingerprint(), Fingerprint::of(&made.chain[0]));
    assert_eq!(verified.anchor_fingerprint(), Some(Fingerprint::of(&made.root)));
}

#[test]
fn n3_expired() {
    check(|plan| plan.leaf.not_after = (now() - Duration::from_secs(1)).into(), "CN=fe1.contoso.example expired at 2027-01-15T07:59:59Z");
    check(|plan| plan.issuing.not_after = (now() - Duration::from_secs(1)).into(), "expired at");
    check(|plan| plan.root.not_after = (now() - Duration::from_secs(1)).into(), "the root CN=Defect Root counts from");
}

#[test]
fn n4_not_yet_valid() {
    let later = now() + Duration::from_secs(1);
    check(|plan| plan.leaf.not_before = later.into(), "counts only from 2027-01-15T08:00:01Z");
    check(|plan| plan.issuing.not_before = later.into(), "counts only from");
    check(|plan| plan.root.not_before = later.into(), "the root CN=Defect Root counts from 2027-01-15T08:00:01Z");
}

#[test]
fn validity_is_inclusive_at_both_ends() {
    let mut plan = Plan::new();
    plan.leaf.not_before = now().into();
    plan.leaf.not_after = now().into();
    assert!(plan.make().verify().is_ok());
}

#[test]
fn an_expired_root_does_not_spoil_the_others() {
    let (mut old, good) = (Plan::new(), Plan::new().make());
    old.root.distinguished_name.push(DnType::OrganizationName, "Old");
    old.root.not_after = (now() - DAY / 2).into();
    let both = Anchors::of([old.make().root, good.root.clone()]).unwrap();
    let judge = |chain: &[CertificateDer<'_>]| verify(chain, &both, &Revocation::none(), Purpose::Server, now());
    assert!(judge(&good.chain).is_ok());
    assert!(matches!(judge(&Plan::new().make().chain), Err(Rejection::BadSignature { .. })));
}

#[test]
fn n2_a_foreign_ca_is_not_believed() {
    let (ours, mut theirs) = (Plan::new().make(), Plan::new());
    theirs.root.distinguished_name.push(DnType::OrganizationName, "Fabrikam");
    let theirs = theirs.make();
    let rejection = verify(&theirs.chain, &ours.anchors(), &Revocation::none(), Purpose::Server, now()).unwrap_err();
    let expected = Rejection::UnknownIssuer { subject: "CN=fe1.contoso.example".into(), issuer: "CN=Defect Issuing".into() };
    assert_eq!(rejection, expected);
}

#[test]
fn n2_a_foreign_ca_of_the_same_name_is_not_believed() {
    let (ours, theirs) = (Plan::new().make(), Plan::new().make());
    let rejection = verify(&theirs.chain, &ours.anchors(), &Revocation::none(), Purpose::Server, now()).unwrap_err();
    assert!(matches!(rejection, Rejection::BadSignature { .. }), "{rejection}");
}

#[test]
fn a_chain_without_its_intermediate_is_not_believed() {
    let mut made = Plan::new().make();
    made.chain.pop();
    assert!(matches!(made.verify(), Err(Rejection::UnknownIssuer { .. })));
}

#[test]
fn nobody_trusted_means_nobody() {
    let made = Plan::new().make();
    let judge =
        |chain: &[CertificateDer<'_>], anchors: &Anchors| verify(chain, anchors, &Revocation::none(), Purpose::Server, now()).unwrap_err();
    assert_eq!(judge(&made.chain, &Anchors::nobody()), Rejection::NoAnchors);
    assert_eq!(judge(&[], &made.anchors()), Rejection::Empty);
    // A root that the peer brings along does not make itself trusted.
    let with_root = [made.chain[0].clone(), made.chain[1].clone(), made.root.clone()];
    let other = Plan::new().make();
    assert!(matches!(judge(&with_root, &other.anchors()), Rejection::BadSignature { .. }));
}

#[test]
fn n7_wrong_purpose() {
    check(
        |plan| plan.leaf.extended_key_usages = vec![Eku::ClientAuth],
        "not for the purpose serverAuth (the certificate lists: clientAuth)",
    );
    check(|plan| plan.leaf.extended_key_usages = vec![Eku::CodeSigning], "lists: codeSigning");
    check(|plan| plan.leaf.extended_key_usages = vec![Eku::Any], "lists: any");
    check(|plan| plan.leaf.extended_key_usages = vec![], "lists: nothing");
    check(|plan| plan.issuing.extended_key_usages = vec![Eku::ClientAuth], "not for the purpose serverAuth");
}

#[test]
fn n7_server_auth_is_enough_between_servers() {
    let made = Plan::new().make();
    assert!(made.verify().is_ok());
    let client = verify(&made.chain, &made.anchors(), &Revocation::none(), Purpose::Client, now());
    assert!(matches!(client, Err(Rejection::WrongPurpose { wanted: Purpose::Client, .. })));
}

#[test]
fn n9_the_common_name_proves_nothing() {
    check(|plan| plan.leaf.subject_alt_names = vec![], "a common name does not count");
    check(|plan| plan.leaf.subject_alt_names = vec![uri("https://fe1.contoso.example/")], "a common name does not count");
    check(|plan| plan.leaf.subject_alt_names = vec![SanType::IpAddress([192, 0, 2, 1].into())], "a common name does not count");
}

#[test]
fn n10_a_wildcard_proves_nothing() {
    check(
        |plan| plan.leaf.subject_alt_names = vec![dns("*.contoso.example")],
        "the certificate names *.contoso.example, and a wildcard proves",
    );
    let mut plan = Plan::new();
    plan.leaf.subject_alt_names.push(dns("*.contoso.example"));
    let verified = plan.make().verify().unwrap();
    assert_eq!(verified.shown(), ["fe1.contoso.example"], "only the exact name counts");
    assert!(verified.prove(&pki::Fqdn::parse("fe2.contoso.example").unwrap()).is_err());
}

#[test]
fn n36_every_name_is_looked_at_and_only_exact_ones_count() {
    let mut plan = Plan::new();
    plan.leaf.subject_alt_names = vec![
        uri("urn:x:y"),
        dns("FE1.Contoso.Example"),
        dns("fe9.contoso.example."),
        uri("sips:contoso.example"),
        uri("sip:eve@fabrikam.example"),
        uri("sip:Contoso.Example"),
        uri("sip:contoso.example:5061"),
        dns("fe2.contoso.example"),
    ];
    let verified = plan.make().verify().unwrap();
    let shown = ["fe1.contoso.example", "fe2.contoso.example", "sip:contoso.example", "sip:eve@fabrikam.example"];
    assert_eq!(verified.shown(), shown);
}

#[test]
fn the_length_of_a_chain_is_bounded_before_it_is_read() {
    let mut made = Plan::new().make();
    made.chain.extend([made.root.clone(), made.root.clone()]);
    assert!(made.verify().is_ok(), "four are fine");
    made.chain.push(CertificateDer::from(vec![0; 10]));
    assert_eq!(made.verify(), Err(Rejection::TooLong { count: 5 }));
    let mut made = Plan::new().make();
    made.chain.push(CertificateDer::from(vec![0; CHAIN_BYTES_MAX]));
    assert!(matches!(made.verify(), Err(Rejection::TooLarge { .. })));
}

#[test]
fn damage_anywhere_is_refused() {
    for position in 0..2 {
        let good = Plan::new().make();
        let length = good.chain[position].len();
        for cut in [0, 1, length / 2, length - 1] {
            let mut made = Made { root: good.root.clone(), chain: good.chain.clone() };
            made.chain[position] = CertificateDer::from(good.chain[position][..cut].to_vec());
            assert!(matches!(made.verify(), Err(Rejection::Malformed { .. })), "{position} {cut}");
        }
        let mut made = Made { root: good.root.clone(), chain: good.chain.clone() };
        let mut longer = good.chain[position].to_vec();
        longer.push(0);
        made.chain[position] = longer.into();
        assert!(matches!(made.verify(), Err(Rejection::Malformed { .. })), "{position} longer");
    }
}

#[test]
fn no_single_flipped_bit_is_believed() {
    let good = Plan::new().make();
    for bit in 0..good.chain[0].len() * 8 {
        let mut made = Made { root: good.root.clone(), chain: good.chain.clone() };
        let mut leaf = good.chain[0].to_vec();
        leaf[bit / 8] ^= 1 << (bit % 8);
        made.chain[0] = leaf.into();
        // Whatever it says now, reading it harms nobody.
        let _ = pki::facts(&made.chain[0]);
        assert!(made.verify().is_err(), "bit {bit}");
    }
}

#[test]
fn a_leaf_signs_nobody_and_a_ca_is_nobody() {
    check(|plan| plan.issuing.is_ca = IsCa::ExplicitNoCa, "misuses a certificate");
    check(|plan| plan.issuing.is_ca = IsCa::NoCa, "misuses a certificate");
    check(|plan| plan.leaf.is_ca = IsCa::Ca(BasicConstraints::Unconstrained), "misuses a certificate");
    check(
        |plan| plan.leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign],
        "key usage that does not fit",
    );
    check(|plan| plan.leaf.key_usages = vec![KeyUsagePurpose::KeyAgreement], "key usage that does not fit");
}

#[test]
fn a_ca_below_a_ca_without_room_is_refused() {
    let mut plan = Plan::new();
    plan.leaf = plan.issuing.clone();
    plan.leaf.distinguished_name = DistinguishedName::new();
    plan.leaf.distinguished_name.push(DnType::CommonName, "Smuggled CA");
    let [root_key, issuing_key, smuggled_key, leaf_key] = [(); 4].map(|()| Key::generate().unwrap());
    let root = plan.root.self_signed(&root_key).unwrap().der().clone();
    let issuing = plan.issuing.signed_by(&issuing_key, &Issuer::from_params(&plan.root, &root_key)).unwrap().der().clone();
    let smuggled = plan.leaf.signed_by(&smuggled_key, &Issuer::from_params(&plan.issuing, &issuing_key)).unwrap().der().clone();
    let leaf = Plan::new().leaf.signed_by(&leaf_key, &Issuer::from_params(&plan.leaf, &smuggled_key)).unwrap().der().clone();
    let made = Made { root, chain: vec![leaf, smuggled, issuing] };
    assert!(matches!(made.verify(), Err(Rejection::BrokenPath { .. })), "{:?}", made.verify());
}

#[test]
fn a_ca_vouches_for_its_own_domains_only() {
    let constraints = |plan: &mut Plan| {
        plan.issuing.name_constraints = Some(NameConstraints {
            permitted_subtrees: vec![GeneralSubtree::DnsName("contoso.example".into())],
            excluded_subtrees: vec![],
        });
    };
    let mut plan = Plan::new();
    constraints(&mut plan);
    assert!(plan.make().verify().is_ok());
    check(
        |plan| {
            constraints(plan);
            plan.leaf.subject_alt_names.push(dns("fe1.victim.example"));
        },
        "bears a name that its CA may not vouch for (fe1.contoso.example, fe1.victim.example)",
    );
}

#[test]
fn an_anchor_is_looked_at_before_it_is_believed() {
    let made = Plan::new().make();
    assert!(matches!(Anchors::of([made.chain[0].clone()]), Err(AnchorFault::NotCa { .. })));
    assert!(matches!(Anchors::of([CertificateDer::from(vec![1, 2, 3])]), Err(AnchorFault::Rejected(_))));
    assert!(matches!(Anchors::from_pem("no"), Err(AnchorFault::Pem(_))));
    let mut odd = Plan::new();
    let mut extension = rcgen::CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99999, 1], vec![5, 0]);
    odd.root.custom_extensions = vec![extension.clone()];
    assert!(Anchors::of([odd.make().root]).is_ok(), "unknown, but not critical");
    extension.set_criticality(true);
    let mut odd = Plan::new();
    odd.root.custom_extensions = vec![extension];
    assert!(matches!(Anchors::of([odd.make().root]), Err(AnchorFault::Critical { oid, .. }) if oid == "1.3.6.1.4.1.99999.1"));
    let again = Anchors::from_pem(&made.anchors().to_pem()).unwrap();
    assert_eq!(again.subjects().len(), 1);
}

/// A self-signed certificate by the `openssl` program: it makes what our library refuses to make.
fn openssl(arguments: &[&str]) -> Option<CertificateDer<'static>> {
    let fixed = ["req", "-x509", "-nodes", "-keyout", "/dev/null", "-days", "3650", "-subj", "/CN=weak.example"];
    let made = Command::new("openssl").args(fixed).args(arguments).args(["-addext", "subjectAltName=DNS:weak.example"]).output();
    let Ok(made) = made else {
        eprintln_skip();
        return None;
    };
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    certificates_from_pem(&String::from_utf8(made.stdout).unwrap()).unwrap().pop()
}

#[allow(clippy::print_stderr)]
fn eprintln_skip() {
    assert!(std::env::var_os("CI").is_none(), "no openssl program here, and in CI nothing is passed over");
    eprintln!("skipped: no openssl program here");
}

#[test]
fn n14_weak_keys_and_signatures_are_refused_anywhere_in_the_chain() {
    let cases: [(&[&str], &str); 4] = [
        (&["-newkey", "rsa:1024", "-sha256"], "has the key RSA 1024"),
        (&["-newkey", "rsa:2048", "-sha1"], "is signed with sha1WithRSAEncryption"),
        (&["-newkey", "rsa:2048", "-md5"], "is signed with md5WithRSAEncryption"),
        (&["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:secp256k1", "-sha256"], "has the key another curve"),
    ];
    for (arguments, words) in cases {
        let Some(weak) = openssl(arguments) else { return };
        let made = Plan::new().make();
        for chain in [vec![weak.clone()], vec![made.chain[0].clone(), made.chain[1].clone(), weak.clone()]] {
            let rejection = verify(&chain, &made.anchors(), &Revocation::none(), Purpose::Server, now()).unwrap_err().to_string();
            assert!(rejection.contains(words), "{rejection}\n  lacks: {words}");
        }
        assert!(matches!(Anchors::of([weak]), Err(AnchorFault::Rejected(_))), "nor is it a root");
    }
}

#[test]
fn strong_rsa_is_not_refused_for_its_strength() {
    let Some(strong) = openssl(&["-newkey", "rsa:2048", "-sha256"]) else { return };
    let made = Plan::new().make();
    let rejection = verify(std::slice::from_ref(&strong), &made.anchors(), &Revocation::none(), Purpose::Server, now()).unwrap_err();
    assert!(matches!(rejection, Rejection::BrokenPath { .. }), "a root shown as a leaf, but not weak: {rejection}");
    assert!(Anchors::of([strong]).is_ok());
}

#[test]
fn what_a_stranger_writes_cannot_break_a_log_line() {
    let (ours, mut theirs) = (Plan::new().make(), Plan::new());
    theirs.leaf.distinguished_name = DistinguishedName::new();
    theirs.leaf.distinguished_name.push(DnType::CommonName, format!("x\nverdict=accepted\u{1b}[2J{}", "y".repeat(5000)));
    theirs.root.distinguished_name.push(DnType::OrganizationName, "Fabrikam");
    let rejection = verify(&theirs.make().chain, &ours.anchors(), &Revocation::none(), Purpose::Server, now()).unwrap_err().to_string();
    assert!(!rejection.contains(char::is_control) && rejection.len() < 1000, "{rejection:?}");
}

#[test]
fn what_we_issue_openssl_believes() {
    let (root, authority) =
        pki::Authority::create("Openssl Check", &[pki::Fqdn::parse("contoso.example").unwrap()], SystemTime::now()).unwrap();
    let names = pki::ServerNames {
        server: pki::Fqdn::parse("fe1.contoso.example").unwrap(),
        aliases: vec![],
        domains: vec![pki::Fqdn::parse("contoso.example").unwrap()],
    };
    let issued = authority.issue_server(&names, &Key::generate().unwrap().public(), SystemTime::now()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path("root.pem"), root.certificate_pem()).unwrap();
    std::fs::write(path("chain.pem"), issued.chain_pem()).unwrap();
    let [root, chain] = [path("root.pem"), path("chain.pem")];
    for (purpose, name, believed) in
        [("sslserver", "fe1.contoso.example", true), ("sslclient", "contoso.example", true), ("sslserver", "fe2.contoso.example", false)]
    {
        let arguments =
            ["verify", "-x509_strict", "-CAfile", &root, "-untrusted", &chain, "-purpose", purpose, "-verify_hostname", name, &chain];
        let Ok(output) = Command::new("openssl").args(arguments).output() else { return eprintln_skip() };
        assert_eq!(output.status.success(), believed, "{purpose} {name}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn a_certificate_full_of_purposes_makes_no_endless_reason() {
    let mut plan = Plan::new();
    plan.leaf.extended_key_usages = (0..600).map(|last| Eku::Other(vec![1, 3, 6, 1, 4, 1, 99999, last])).collect();
    let rejection = plan.make().verify().unwrap_err();
    assert!(matches!(&rejection, Rejection::WrongPurpose { shown, .. } if shown.len() == 16), "{rejection}");
}

/// An extension of any content.
fn extension(oid: &[u64], critical: bool, content: &[u8]) -> rcgen::CustomExtension {
    let mut extension = rcgen::CustomExtension::from_oid_content(oid, content.to_vec());
    extension.set_criticality(critical);
    extension
}

const NAME_CONSTRAINTS: &[u64] = &[2, 5, 29, 30];
/// Permitted: the dNSName "contoso.example".
const PERMITTED: &[u8] = b"\x30\x15\xa0\x13\x30\x11\x82\x0fcontoso.example";

#[test]
fn serial_numbers_are_positive_and_not_endless() {
    let serial = |bytes: Vec<u8>| move |plan: &mut Plan| plan.leaf.serial_number = Some(bytes.into());
    for length in [1, 16, 20] {
        let mut plan = Plan::new();
        serial(vec![0x41; length])(&mut plan);
        assert!(plan.make().verify().is_ok(), "{length}");
    }
    for bytes in [vec![0], vec![0x41; 21]] {
        check(serial(bytes), "a serial number that is not positive or has more than 20 octets");
    }
    check(|plan| plan.issuing.serial_number = Some(vec![0].into()), "CN=Defect Issuing has a serial number");
}

#[test]
fn a_leaf_has_no_limits_for_others() {
    for critical in [false, true] {
        let spoil = |plan: &mut Plan| plan.leaf.custom_extensions = vec![extension(NAME_CONSTRAINTS, critical, PERMITTED)];
        check(spoil, "name constraints without being a CA");
    }
}

#[test]
fn limits_that_limit_nothing_or_are_read_in_many_ways_are_refused() {
    for content in [&b"\x30\x00"[..], b"\x30\x02\xa0\x00", b"\x30\x04\xa0\x00\xa1\x00"] {
        let found = {
            let mut plan = Plan::new();
            plan.issuing.custom_extensions = vec![extension(NAME_CONSTRAINTS, true, content)];
            plan.make().verify()
        };
        assert!(found.is_err(), "{content:?}");
    }
    let dotted = b"\x30\x16\xa0\x14\x30\x12\x82\x10.contoso.example";
    check(
        |plan| plan.issuing.custom_extensions = vec![extension(NAME_CONSTRAINTS, true, dotted)],
        "a name constraint that begins with a dot",
    );
    // Marked critical or not, what is limited stays limited (docs/decisions/0004).
    for critical in [false, true] {
        let mut plan = Plan::new();
        plan.issuing.custom_extensions = vec![extension(NAME_CONSTRAINTS, critical, PERMITTED)];
        assert!(plan.make().verify().is_ok(), "{critical}");
        check(
            |plan| {
                plan.issuing.custom_extensions = vec![extension(NAME_CONSTRAINTS, critical, PERMITTED)];
                plan.leaf.subject_alt_names = vec![dns("fe1.victim.example")];
            },
            "a name that its CA may not vouch for",
        );
    }
}

#[test]
fn rules_for_policies_are_not_followed_so_they_are_refused() {
    // requireExplicitPolicy: 0
    let content = b"\x30\x03\x80\x01\x00";
    check(|plan| plan.issuing.custom_extensions = vec![extension(&[2, 5, 29, 36], false, content)], "has policy constraints");
    check(|plan| plan.issuing.custom_extensions = vec![extension(&[2, 5, 29, 36], true, content)], "not acceptable");
}

#[test]
fn an_extension_that_cannot_be_read_is_refused() {
    // Authority information access: an empty octet string in place of a sequence.
    let odd = |plan: &mut Plan| plan.leaf.custom_extensions = vec![extension(&[1, 3, 6, 1, 5, 5, 7, 1, 1], false, b"\x04\x00")];
    check(odd, "an extension that cannot be read");
    // One that nobody here knows may say what it likes, unless it is critical.
    let mut plan = Plan::new();
    plan.leaf.custom_extensions = vec![extension(&[1, 3, 6, 1, 4, 1, 99999, 1], false, b"\x04\x00")];
    assert!(plan.make().verify().is_ok());
    check(|plan| plan.leaf.custom_extensions = vec![extension(&[1, 3, 6, 1, 4, 1, 99999, 1], true, b"\x04\x00")], "not acceptable");
}

#[test]
fn a_ca_has_a_name() {
    check(|plan| plan.issuing.distinguished_name = DistinguishedName::new(), "is that of a CA without a name");
    let mut plan = Plan::new();
    plan.root.distinguished_name = DistinguishedName::new();
    assert!(matches!(Anchors::of([plan.make().root]), Err(AnchorFault::Rejected(Rejection::Shape { .. }))));
}

#[test]
fn without_a_subject_the_alternative_names_are_critical() {
    let mut plan = Plan::new();
    plan.leaf.distinguished_name = DistinguishedName::new();
    assert!(plan.make().verify().is_ok(), "rcgen marks them");
    check(
        |plan| {
            plan.leaf.distinguished_name = DistinguishedName::new();
            plan.leaf.subject_alt_names = vec![];
            let names = b"\x30\x15\x82\x13fe1.contoso.example";
            plan.leaf.custom_extensions = vec![extension(&[2, 5, 29, 17], false, names)];
        },
        "alternative names that are not marked critical",
    );
}

#[test]
fn any_purpose_is_no_purpose() {
    check(|plan| plan.leaf.extended_key_usages = vec![Eku::ServerAuth, Eku::Any], "lists: any, serverAuth");
}

#[test]
fn a_root_says_in_a_critical_extension_that_it_may_sign() {
    let refused = |spoil: &dyn Fn(&mut CertificateParams), words: &str| {
        let mut plan = Plan::new();
        spoil(&mut plan.root);
        let fault = Anchors::of([plan.make().root]).unwrap_err().to_string();
        assert!(fault.contains(words), "{fault}\n  lacks: {words}");
    };
    refused(&|root| root.key_usages = vec![KeyUsagePurpose::CrlSign], "a CA that may not sign certificates");
    refused(
        &|root| {
            root.is_ca = IsCa::NoCa;
            root.custom_extensions = vec![extension(&[2, 5, 29, 19], false, b"\x30\x03\x01\x01\xff")];
        },
        "basic constraints that are not marked critical",
    );
}

#[test]
fn the_last_second_counts_to_its_end() {
    let mut plan = Plan::new();
    plan.leaf.not_after = now().into();
    let made = plan.make();
    let judge = |at| verify(&made.chain, &made.anchors(), &Revocation::none(), Purpose::Server, at);
    assert!(judge(now() + Duration::from_millis(999)).is_ok());
    assert!(matches!(judge(now() + Duration::from_secs(1)), Err(Rejection::Expired { .. })));
}

#[test]
fn documents_are_signed_with_a_purpose_of_their_own() {
    let mut plan = Plan::new();
    plan.issuing.extended_key_usages = vec![];
    plan.leaf.extended_key_usages = vec![];
    plan.leaf.subject_alt_names = vec![];
    plan.leaf.custom_extensions = vec![Purpose::extension(&[Purpose::Documents])];
    let made = plan.make();
    let judge = |purpose| verify(&made.chain, &made.anchors(), &Revocation::none(), purpose, now());
    assert_eq!(judge(Purpose::Documents).unwrap().purpose(), Purpose::Documents);
    for purpose in [Purpose::Server, Purpose::Client] {
        assert!(matches!(judge(purpose), Err(Rejection::WrongPurpose { .. })), "{purpose}");
    }
    let server = Plan::new().make();
    let found = verify(&server.chain, &server.anchors(), &Revocation::none(), Purpose::Documents, now());
    assert!(matches!(found, Err(Rejection::WrongPurpose { wanted: Purpose::Documents, .. })), "{found:?}");
}

#[test]
fn every_reason_is_a_fact_and_a_cure() {
    let made = |spoil: &dyn Fn(&mut Plan)| {
        let mut plan = Plan::new();
        spoil(&mut plan);
        plan.make().verify().unwrap_err()
    };
    let reasons = [
        made(&|plan| plan.leaf.not_after = (now() - DAY / 2).into()),
        made(&|plan| plan.leaf.not_before = (now() + DAY / 2).into()),
        made(&|plan| plan.root.not_after = (now() - DAY / 2).into()),
        made(&|plan| plan.leaf.extended_key_usages = vec![]),
        made(&|plan| plan.leaf.subject_alt_names = vec![]),
        made(&|plan| plan.leaf.subject_alt_names = vec![dns("*.contoso.example")]),
        made(&|plan| plan.leaf.key_usages = vec![KeyUsagePurpose::KeyAgreement]),
        made(&|plan| plan.leaf.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)),
        made(&|plan| plan.leaf.serial_number = Some(vec![0].into())),
        Rejection::Empty,
        Rejection::NoAnchors,
        Rejection::TooLong { count: 5 },
        Rejection::TooLarge { bytes: 5 },
        Rejection::WeakKey { subject: "x".into(), key: "RSA 1024".into() },
        Rejection::WeakSignature { subject: "x".into(), algorithm: "MD5".into() },
        Rejection::NoRevocationList { subject: "x".into(), issuer: "y".into() },
        Rejection::Other { detail: "x".into() },
    ];
    for reason in reasons {
        let text = reason.to_string();
        assert!(text.rsplit_once("; ").is_some_and(|(fact, cure)| fact.len() > 10 && cure.len() > 10), "{text}");
    }
}
