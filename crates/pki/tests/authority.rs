//! The CA issues what its profiles say and nothing else, and what it issues is believed.
#![allow(clippy::unwrap_used)]

use std::time::{Duration, SystemTime};

use pki::{
    Authority, AuthorityFault, BACKDATE, CertificateDer, Fqdn, Issued, Key, Purpose, Rejection, Revocation, Root, SERVER_VALIDITY,
    ServerNames, SipUser, VerifiedCertificate, certificates_from_pem, facts, renew_at, verify,
};

const DAY: Duration = Duration::from_hours(24);

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

fn fqdn(text: &str) -> Fqdn {
    Fqdn::parse(text).unwrap()
}

fn authority() -> (Root, Authority) {
    Authority::create("Contoso", &[fqdn("contoso.example")], now()).unwrap()
}

fn names() -> ServerNames {
    ServerNames { server: fqdn("fe1.contoso.example"), aliases: vec![fqdn("pool.contoso.example")], domains: vec![fqdn("contoso.example")] }
}

fn issued(authority: &Authority) -> Issued {
    authority.issue_server(&names(), &Key::generate().unwrap().public(), now()).unwrap()
}

fn judge(authority: &Authority, chain: &[CertificateDer<'_>], purpose: Purpose, at: SystemTime) -> Result<VerifiedCertificate, Rejection> {
    verify(chain, &authority.anchors(), &Revocation::none(), purpose, at)
}

#[test]
fn a_server_certificate_is_believed_and_names_the_server_and_its_domains() {
    let (_, authority) = authority();
    let issued = issued(&authority);
    let verified = judge(&authority, &issued.chain, Purpose::Server, now()).unwrap();
    assert_eq!(verified.names(), [fqdn("fe1.contoso.example"), fqdn("pool.contoso.example"), fqdn("contoso.example")]);
    assert_eq!(verified.domains(), [fqdn("contoso.example")]);
    assert_eq!(verified.users(), []);
    assert_eq!(verified.serial(), &issued.serial);
    assert_eq!((verified.not_before(), verified.not_after()), (issued.not_before, issued.not_after));
    assert_eq!(verified.shown(), issued.names);
    assert!(verified.anchor().contains("Contoso Root CA 2027"), "{}", verified.anchor());
    assert!(verified.prove(&fqdn("FE1.contoso.example")).is_ok());
    assert!(judge(&authority, &issued.chain, Purpose::Client, now()).is_ok(), "servers are clients of each other");
}

#[test]
fn n8_a_certificate_proves_its_names_only() {
    let (_, authority) = authority();
    let verified = judge(&authority, &issued(&authority).chain, Purpose::Server, now()).unwrap();
    let refused = verified.prove(&fqdn("fe2.contoso.example")).unwrap_err();
    assert!(matches!(&refused, Rejection::WrongName { wanted, .. } if wanted.as_str() == "fe2.contoso.example"), "{refused}");
}

#[test]
fn a_server_certificate_lasts_seven_days_and_is_backdated_a_little() {
    let (_, authority) = authority();
    let issued = issued(&authority);
    assert_eq!(issued.not_before, now() - BACKDATE);
    assert_eq!(issued.not_after, now() + SERVER_VALIDITY);
    let half = renew_at(issued.not_before, issued.not_after);
    assert!(half > now() + 3 * DAY && half < now() + 4 * DAY);
}

#[test]
fn the_server_profile_has_no_address_no_wildcard_and_a_random_serial() {
    let (_, authority) = authority();
    let (one, two) = (issued(&authority), issued(&authority));
    assert_ne!(one.serial, two.serial);
    let read = facts(&one.chain[0]).unwrap();
    assert_eq!(read.names, ["fe1.contoso.example", "pool.contoso.example", "contoso.example", "sip:contoso.example"]);
    assert_eq!(read.purposes, ["serverAuth", "clientAuth", "sipDomain"]);
    let behind = ServerNames { domains: vec![], ..names() };
    let behind = authority.issue_server(&behind, &Key::generate().unwrap().public(), now()).unwrap();
    assert_eq!(facts(&behind.chain[0]).unwrap().purposes, ["serverAuth", "clientAuth"], "it serves no SIP domain to clients");
    assert_eq!((read.subject.as_str(), read.key.as_str(), read.is_ca), ("CN=fe1.contoso.example", "P-256", false));
    assert_eq!(read.serial.as_bytes().len(), 16);
}

#[test]
fn the_authority_is_written_and_loaded() {
    let (root, authority) = authority();
    let key = authority.key_pem().unwrap();
    let loaded = Authority::load(&authority.root_pem(), &authority.issuing_pem(), key.expose()).unwrap();
    assert_eq!(loaded.domains(), authority.domains());
    assert_eq!(root.certificate_pem(), loaded.root_pem());
    let issued = issued(&loaded);
    assert!(judge(&authority, &issued.chain, Purpose::Server, now()).is_ok());
    assert_eq!(certificates_from_pem(&issued.chain_pem()).unwrap(), issued.chain);
    let root = Root::load(&root.certificate_pem(), root.key_pem().unwrap().expose()).unwrap();
    let next = root.issue_authority("Contoso", 2, &[fqdn("contoso.example")], now()).unwrap();
    assert!(judge(&authority, &self::issued(&next).chain, Purpose::Server, now()).is_ok());
    let name = |authority: &Authority| facts(authority.issuing()).unwrap().subject;
    assert_eq!(name(&next), "O=Contoso, CN=Contoso Issuing CA 2027-2");
    assert_ne!(name(&next), name(&authority), "every generation has a name of its own");
}

#[test]
fn files_that_do_not_belong_together_are_refused() {
    let (root, one) = authority();
    let (_, two) = authority();
    let load = |root: &Authority, issuing: &Authority, key: &Authority| {
        Authority::load(&root.root_pem(), &issuing.issuing_pem(), key.key_pem().unwrap().expose()).unwrap_err()
    };
    assert_eq!(load(&two, &one, &one), AuthorityFault::Foreign { which: "issuing" });
    assert_eq!(load(&one, &one, &two), AuthorityFault::KeyMismatch { which: "issuing" });
    let leaf = issued(&one).chain_pem();
    assert!(matches!(Authority::load(&one.root_pem(), &leaf, one.key_pem().unwrap().expose()), Err(AuthorityFault::Foreign { .. })));
    assert!(matches!(
        Authority::load(&leaf, &one.issuing_pem(), one.key_pem().unwrap().expose()),
        Err(AuthorityFault::Foreign { which: "root" })
    ));
    assert!(matches!(Authority::load("", "", ""), Err(AuthorityFault::Pem { which: "root", .. })));
    assert!(matches!(
        Root::load(&root.certificate_pem(), one.key_pem().unwrap().expose()),
        Err(AuthorityFault::KeyMismatch { which: "root" })
    ));
}

#[test]
fn nothing_is_issued_outside_the_domains_of_the_ca() {
    let (_, authority) = authority();
    let key = Key::generate().unwrap().public();
    for (server, domain) in [
        ("fe1.fabrikam.example", "contoso.example"),
        ("fe1.contoso.example", "fabrikam.example"),
        ("fe1.notcontoso.example", "contoso.example"),
    ] {
        let names = ServerNames { server: fqdn(server), aliases: vec![], domains: vec![fqdn(domain)] };
        let fault = authority.issue_server(&names, &key, now()).unwrap_err();
        assert!(matches!(fault, AuthorityFault::OutsideDomains { .. }), "{fault}");
    }
    let user = SipUser::new("anna", fqdn("fabrikam.example")).unwrap();
    assert!(matches!(authority.issue_user(&user, &key, now()), Err(AuthorityFault::OutsideDomains { .. })));
}

#[test]
fn a_clock_outside_the_life_of_the_ca_is_told() {
    let (_, authority) = authority();
    let key = Key::generate().unwrap().public();
    for at in [now() - DAY, now() + 4 * 365 * DAY, SystemTime::UNIX_EPOCH] {
        let fault = authority.issue_server(&names(), &key, at).unwrap_err();
        assert!(matches!(fault, AuthorityFault::NotValidNow { .. }), "{fault}");
    }
}

#[test]
fn a_certificate_never_outlives_its_ca() {
    let (_, authority) = authority();
    let late = now() + pki::ISSUING_VALIDITY - DAY;
    let issued = authority.issue_server(&names(), &Key::generate().unwrap().public(), late).unwrap();
    assert_eq!(issued.not_after, now() + pki::ISSUING_VALIDITY);
    assert!(judge(&authority, &issued.chain, Purpose::Server, late).is_ok());
}

#[test]
fn a_user_certificate_names_the_user_and_is_no_server() {
    let (_, authority) = authority();
    let user = SipUser::new("anna", fqdn("contoso.example")).unwrap();
    let issued = authority.issue_user(&user, &Key::generate().unwrap().public(), now()).unwrap();
    let verified = judge(&authority, &issued.chain, Purpose::Client, now()).unwrap();
    assert_eq!((verified.users(), verified.names(), verified.domains()), (&[user][..], &[][..], &[][..]));
    let refused = judge(&authority, &issued.chain, Purpose::Server, now()).unwrap_err();
    assert_eq!(refused, Rejection::WrongPurpose { wanted: Purpose::Server, shown: vec!["clientAuth".into()] });
}

#[test]
fn an_organisation_has_a_printable_name_and_a_domain() {
    for name in ["", "  ", "a\nb", &"a".repeat(41)] {
        assert_eq!(Root::create(name, now()).unwrap_err(), AuthorityFault::Organisation, "{name:?}");
    }
    assert_eq!(Authority::create("Contoso", &[], now()).unwrap_err(), AuthorityFault::NoDomain);
    assert!(Authority::create("Bücher & Söhne GmbH", &[fqdn("contoso.example")], now()).is_ok());
}

/// Row N25's idea inside the house: even with the CA's key, only names of its domains are believed.
#[test]
fn the_issuing_ca_is_caged_by_its_own_certificate() {
    let many: Vec<_> = (0..40).map(|number| fqdn(&format!("domain-{number}.contoso.example"))).collect();
    for domains in [vec![fqdn("contoso.example")], many] {
        let (_, authority) = Authority::create("Contoso", &domains, now()).unwrap();
        let key = Key::from_pem(authority.key_pem().unwrap().expose()).unwrap();
        let issuer = rcgen::Issuer::from_ca_cert_der(authority.issuing(), &key).unwrap();
        let inside = format!("fe1.{}", domains[0]);
        for (name, believed) in [(inside.as_str(), true), ("fe1.victim.example", false), ("example", false), ("192.0.2.1", false)] {
            let mut params = rcgen::CertificateParams::new([inside.clone(), name.to_owned()]).unwrap();
            params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
            let leaf = params.signed_by(&Key::generate().unwrap(), &issuer).unwrap().der().clone();
            let found = judge(&authority, &[leaf, authority.issuing().clone()], Purpose::Server, now());
            assert_eq!(found.is_ok(), believed, "{name}");
            assert!(believed || matches!(found, Err(Rejection::NameConstraint { .. })), "{name}: {found:?}");
        }
        let reloaded = Authority::load(&authority.root_pem(), &authority.issuing_pem(), key.to_pem().unwrap().expose()).unwrap();
        assert_eq!(reloaded.domains(), domains);
    }
}

/// Mbed TLS drops a CA with an extension that it does not know and that is marked critical.
#[test]
fn phones_on_simple_tls_libraries_can_read_the_ca() {
    let (_, authority) = authority();
    let known = ["2.5.29.15", "2.5.29.19", "2.5.29.37", "2.5.29.17"];
    for der in [authority.root(), authority.issuing(), &issued(&authority).chain[0]] {
        let (_, certificate) = x509_parser::parse_x509_certificate(der).unwrap();
        for extension in certificate.extensions().iter().filter(|extension| extension.critical) {
            assert!(known.contains(&extension.oid.to_id_string().as_str()), "{}", extension.oid);
        }
    }
}
