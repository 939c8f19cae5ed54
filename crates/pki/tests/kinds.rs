//! Two kinds of issuing CAs below one root, each good for its own, and every certificate of all kinds
//! read by the `openssl` program.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::SystemTime;

use pki::{
    Authority, AuthorityFault, CertificateDer, DOCUMENT_SIGNER_VALIDITY, Fingerprint, ISSUING_VALIDITY, Issued, IssuerKind,
    IssuingAuthority, IssuingPlan, Key, PublicKey, Purpose, ROOT_LIST_VALIDITY, Rejection, Revocation, RevocationList, RevocationLists,
    RevocationReason, RevokedCertificate, Root, ServerNames, SipUser, Urls, certificates_to_pem, facts, verify,
};
use support::{DAY, OpenSsl, fqdn, now};

fn key() -> PublicKey {
    Key::generate().unwrap().public()
}

fn server() -> ServerNames {
    ServerNames { server: fqdn("fe1.contoso.example"), aliases: vec![], domains: vec![fqdn("contoso.example")] }
}

fn anna() -> SipUser {
    SipUser::new("anna", fqdn("contoso.example")).unwrap()
}

fn made(at: SystemTime) -> (Root, Authority) {
    Authority::create("Contoso", &[fqdn("contoso.example")], at).unwrap()
}

/// One of each kind: server, user, signer of documents, OCSP responders.
fn one_of_each(authority: &Authority, at: SystemTime) -> Vec<(&'static str, Issued)> {
    vec![
        ("server", authority.issue_server(&server(), &key(), at).unwrap()),
        ("user", authority.issue_user(&anna(), &key(), at).unwrap()),
        ("documents", authority.issue_document_signer(&fqdn("sip.contoso.example"), &key(), at).unwrap()),
        ("ocsp-servers", authority.servers().issue_ocsp_signer(&key(), at).unwrap()),
        ("ocsp-users", authority.users().unwrap().issue_ocsp_signer(&key(), at).unwrap()),
    ]
}

#[test]
fn users_have_an_issuing_ca_of_their_own() {
    let (_, authority) = made(now());
    let user = authority.issue_user(&anna(), &key(), now()).unwrap();
    let server = authority.issue_server(&server(), &key(), now()).unwrap();
    assert_eq!(user.chain[1], *authority.users().unwrap().certificate());
    assert_eq!(server.chain[1], *authority.issuing());
    assert_ne!(user.chain[1], server.chain[1]);
    let names: Vec<_> = authority.issuing_authorities().map(|ca| facts(ca.certificate()).unwrap().subject).collect();
    assert_eq!(names, ["O=Contoso, CN=Contoso Issuing CA 2027-1", "O=Contoso, CN=Contoso User CA 2027-1"]);
    let pins: Vec<_> = authority.pinned().into_iter().map(|pin| (pin.kind, pin.fingerprint)).collect();
    let expected = [(IssuerKind::Servers, Fingerprint::of(&server.chain[1])), (IssuerKind::Users, Fingerprint::of(&user.chain[1]))];
    assert_eq!(pins, expected);
}

#[test]
fn each_ca_issues_for_its_own_kind_only() {
    let (_, authority) = made(now());
    let users = authority.users().unwrap();
    let wrong = |wanted| Err(AuthorityFault::WrongKind { wanted });
    assert_eq!(users.issue_server(&server(), &key(), now()), wrong(IssuerKind::Servers));
    assert_eq!(users.issue_document_signer(&fqdn("sip.contoso.example"), &key(), now()), wrong(IssuerKind::Servers));
    assert_eq!(authority.servers().issue_user(&anna(), &key(), now()), wrong(IssuerKind::Users));
}

/// Even somebody who has the key of the users' CA makes no server that is believed.
#[test]
fn n7_a_server_below_the_users_ca_is_not_believed() {
    let (_, authority) = made(now());
    let users = authority.users().unwrap();
    let stolen = Key::from_pem(users.key_pem().unwrap().expose()).unwrap();
    let issuer = rcgen::Issuer::from_ca_cert_der(users.certificate(), &stolen).unwrap();
    for (purpose, extension) in
        [(Purpose::Server, Purpose::extension(&[Purpose::Server])), (Purpose::Documents, Purpose::extension(&[Purpose::Documents]))]
    {
        let mut params = rcgen::CertificateParams::new(["fe1.contoso.example".to_owned()]).unwrap();
        params.custom_extensions = vec![extension];
        let leaf = params.signed_by(&Key::generate().unwrap(), &issuer).unwrap().der().clone();
        let chain = [leaf, users.certificate().clone()];
        let found = verify(&chain, &authority.anchors(), &Revocation::none(), purpose, now());
        assert!(matches!(found, Err(Rejection::WrongPurpose { .. })), "{found:?}");
    }
}

#[test]
fn a_document_signer_is_known_by_its_purpose_and_its_role() {
    let (_, authority) = made(now());
    let issued = authority.issue_document_signer(&fqdn("sip.contoso.example"), &key(), now()).unwrap();
    let said = facts(&issued.chain[0]).unwrap();
    assert_eq!(said.purposes, ["documents"]);
    assert_eq!(said.names, ["sip.contoso.example", "urn:verbund:role:documents"]);
    assert_eq!((said.names, issued.not_after), (issued.names, now() + DOCUMENT_SIGNER_VALIDITY));
    let outside = authority.issue_document_signer(&fqdn("sip.fabrikam.example"), &key(), now());
    assert!(matches!(outside, Err(AuthorityFault::OutsideDomains { .. })), "{outside:?}");
}

#[test]
fn both_cas_are_written_and_loaded_and_not_mistaken_for_each_other() {
    let (_, authority) = made(now());
    let pem = |ca: &IssuingAuthority| (ca.certificate_pem(), ca.key_pem().unwrap());
    let ((servers, servers_key), (users, users_key)) = (pem(authority.servers()), pem(authority.users().unwrap()));
    let load = |certificate: &str, key: &str| Authority::load(&authority.root_pem(), certificate, key);
    let loaded = load(&servers, servers_key.expose()).unwrap().with_users(&users, users_key.expose()).unwrap();
    assert_eq!(loaded.pinned(), authority.pinned());
    assert_eq!(load(&users, users_key.expose()).unwrap_err(), AuthorityFault::WrongKind { wanted: IssuerKind::Servers });
    let swapped = load(&servers, servers_key.expose()).unwrap().with_users(&servers, servers_key.expose());
    assert_eq!(swapped.unwrap_err(), AuthorityFault::WrongKind { wanted: IssuerKind::Users });
    let crossed = load(&servers, servers_key.expose()).unwrap().with_users(&users, servers_key.expose());
    assert_eq!(crossed.unwrap_err(), AuthorityFault::KeyMismatch { which: "user CA's" });
    let (_, stranger) = made(now());
    let (users, users_key) = pem(stranger.users().unwrap());
    let foreign = load(&servers, servers_key.expose()).unwrap().with_users(&users, users_key.expose());
    assert_eq!(foreign.unwrap_err(), AuthorityFault::Foreign { which: "user CA's" });
}

#[test]
fn an_organisation_without_a_users_ca_says_what_to_do() {
    let (root, whole) = made(now());
    let old = Authority::load(&whole.root_pem(), &whole.issuing_pem(), whole.key_pem().unwrap().expose()).unwrap();
    assert!(old.issue_server(&server(), &key(), now()).is_ok(), "the rest goes on");
    let fault = old.issue_user(&anna(), &key(), now()).unwrap_err();
    assert_eq!(fault, AuthorityFault::NoUsersCa);
    assert!(fault.to_string().contains("root's key"), "{fault}");
    assert_eq!((old.pinned().len(), old.revocation_list(IssuerKind::Users, &[], 1, now())), (1, Err(AuthorityFault::NoUsersCa)));
    let domains = [fqdn("contoso.example")];
    let plan = IssuingPlan { organisation: "Contoso", generation: 1, kind: IssuerKind::Users, domains: &domains, urls: None };
    let users = root.issue_issuing(&plan, now()).unwrap();
    let healed = old.with_users(&users.certificate_pem(), users.key_pem().unwrap().expose()).unwrap();
    assert!(healed.issue_user(&anna(), &key(), now()).is_ok());
}

/// What an issuing CA looked like before documents were signed.
#[test]
fn a_ca_made_before_there_were_documents_says_what_to_do() {
    let (root, _) = made(now());
    let root_key = Key::from_pem(root.key_pem().unwrap().expose()).unwrap();
    let issuer = rcgen::Issuer::from_ca_cert_der(root.certificate(), &root_key).unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name.push(rcgen::DnType::CommonName, "Contoso Issuing CA 2026-1");
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Constrained(0));
    params.custom_extensions = vec![Purpose::extension(&[Purpose::Server, Purpose::Client])];
    let contoso = rcgen::GeneralSubtree::DnsName("contoso.example".into());
    params.name_constraints = Some(rcgen::NameConstraints { permitted_subtrees: vec![contoso], excluded_subtrees: vec![] });
    let old = Key::generate().unwrap();
    let certificate = params.signed_by(&old, &issuer).unwrap().der().clone();
    let authority = Authority::load(&root.certificate_pem(), &certificates_to_pem([&certificate]), old.to_pem().unwrap().expose()).unwrap();
    assert!(authority.issue_server(&server(), &key(), now()).is_ok(), "the rest goes on");
    assert!(!authority.servers().signs_documents());
    let fault = authority.issue_document_signer(&fqdn("sip.contoso.example"), &key(), now()).unwrap_err();
    assert_eq!(fault, AuthorityFault::NoDocuments);
}

#[test]
fn lists_are_good_for_the_longest_harmless_outage() {
    let (root, authority) = made(now());
    let issuers = [root.certificate().clone(), authority.issuing().clone(), authority.users().unwrap().certificate().clone()];
    let read = |der: Vec<u8>| RevocationList::read(&der, &issuers).unwrap();
    for kind in [IssuerKind::Servers, IssuerKind::Users] {
        let list = read(authority.revocation_list(kind, &[], 7, now()).unwrap());
        assert_eq!((list.number(), list.this_update(), list.next_update()), (7, now(), now() + 4 * DAY));
    }
    let list = read(root.revocation_list(&[], 1, now()).unwrap());
    assert_eq!(list.next_update(), now() + ROOT_LIST_VALIDITY);
    assert!(ROOT_LIST_VALIDITY > 395 * DAY && ROOT_LIST_VALIDITY < ISSUING_VALIDITY);
}

/// With addresses, every certificate below the root says where to look; without, none does.
#[test]
fn certificates_say_where_their_lists_are() {
    let (root, authority) = made(now());
    for (_, issued) in one_of_each(&authority, now()) {
        assert_eq!(addresses(&issued.chain[0]), Vec::<String>::new());
    }
    let urls = Urls::below("http://sip.contoso.example:8080").unwrap();
    let domains = [fqdn("contoso.example")];
    let plan = IssuingPlan { organisation: "Contoso", generation: 2, kind: IssuerKind::Servers, domains: &domains, urls: Some(&urls) };
    let servers = root.issue(&plan, &key(), now()).unwrap();
    assert_eq!(addresses(&servers), [urls.list(root.certificate()), urls.certificate(root.certificate())]);
    let authority = authority.with_urls(Some(&urls));
    for (what, issued) in one_of_each(&authority, now()) {
        let above = &issued.chain[1];
        assert_eq!(addresses(&issued.chain[0]), [urls.list(above), urls.ocsp(), urls.certificate(above)], "{what}");
    }
}

/// The addresses in a certificate, in their order.
fn addresses(der: &CertificateDer<'_>) -> Vec<String> {
    use x509_parser::extensions::{DistributionPointName, GeneralName, ParsedExtension};
    let (_, certificate) = x509_parser::parse_x509_certificate(der).unwrap();
    let text = |name: &GeneralName<'_>| match name {
        GeneralName::URI(url) => Some((*url).to_owned()),
        _ => None,
    };
    let mut all = Vec::new();
    for extension in certificate.extensions() {
        match extension.parsed_extension() {
            ParsedExtension::CRLDistributionPoints(points) => {
                for point in &points.points {
                    let Some(DistributionPointName::FullName(names)) = &point.distribution_point else { continue };
                    all.extend(names.iter().filter_map(text));
                }
            }
            ParsedExtension::AuthorityInfoAccess(access) => {
                all.extend(access.accessdescs.iter().filter_map(|one| text(&one.access_location)));
            }
            _ => {}
        }
    }
    all
}

#[test]
fn a_ca_can_lie_offline_and_sign_for_a_key_it_never_sees() {
    let root = Root::create("Contoso", now()).unwrap();
    let domains = [fqdn("contoso.example")];
    let online = Key::generate().unwrap();
    let plan = IssuingPlan { organisation: "Contoso", generation: 1, kind: IssuerKind::Servers, domains: &domains, urls: None };
    let certificate = root.issue(&plan, &online.public(), now()).unwrap();
    let servers = IssuingAuthority::of(IssuerKind::Servers, certificate, online.into()).unwrap();
    let authority = Authority::of(root.certificate().clone(), servers, None).unwrap();
    let issued = authority.issue_server(&server(), &key(), now()).unwrap();
    assert!(verify(&issued.chain, &authority.anchors(), &Revocation::none(), Purpose::Server, now()).is_ok());
    for (organisation, domains) in [("", &domains[..]), ("Contoso", &[])] {
        assert!(root.issue(&IssuingPlan { organisation, domains, ..plan }, &key(), now()).is_err());
    }
}

#[test]
fn roots_of_one_year_have_different_names() {
    let names = [1, 2, 3].map(|generation| {
        let root = Root::create_with("Contoso", generation, Key::generate().unwrap().into(), now()).unwrap();
        facts(root.certificate()).unwrap().subject
    });
    assert_eq!(
        names,
        ["O=Contoso, CN=Contoso Root CA 2027", "O=Contoso, CN=Contoso Root CA 2027-2", "O=Contoso, CN=Contoso Root CA 2027-3"]
    );
}

/// The lists of all three CAs, as strict members want them.
fn strict(root: &Root, authority: &Authority, revoked: &[RevokedCertificate], at: SystemTime) -> Revocation {
    let mut lists = RevocationLists::new();
    let issuers: Vec<_> =
        std::iter::once(root.certificate()).chain(authority.issuing_authorities().map(IssuingAuthority::certificate)).cloned().collect();
    for der in [
        root.revocation_list(&[], 1, at).unwrap(),
        authority.revocation_list(IssuerKind::Servers, revoked, 1, at).unwrap(),
        authority.revocation_list(IssuerKind::Users, revoked, 1, at).unwrap(),
    ] {
        lists.take(RevocationList::read(&der, &issuers).unwrap(), at).unwrap();
    }
    Revocation::strict(lists, std::time::Duration::ZERO)
}

#[test]
fn n5_what_was_revoked_is_refused_by_our_lists_and_the_rest_is_not() {
    let (root, authority) = made(now());
    for ((what, issued), purpose) in one_of_each(&authority, now()).into_iter().zip([Purpose::Server, Purpose::Client, Purpose::Documents])
    {
        let entry = RevokedCertificate { serial: issued.serial.clone(), at: now(), reason: RevocationReason::KeyCompromise };
        let judge = |revoked: &[RevokedCertificate]| {
            verify(&issued.chain, &authority.anchors(), &strict(&root, &authority, revoked, now()), purpose, now())
        };
        assert!(judge(&[]).is_ok(), "{what}");
        assert!(matches!(judge(&[entry]), Err(Rejection::Revoked { .. })), "{what}");
    }
}

#[test]
fn openssl_believes_everything_we_issue_with_all_lists_checked() {
    let Some(openssl) = OpenSsl::find() else { return };
    let at = SystemTime::now();
    let urls = Urls::below("http://sip.contoso.example:8080").unwrap();
    let (root, authority) = made(at);
    let authority = authority.with_urls(Some(&urls));
    let revoked = authority.issue_server(&server(), &key(), at).unwrap();
    let entry = RevokedCertificate { serial: revoked.serial.clone(), at, reason: RevocationReason::Superseded };
    let lists = [
        ("root.crl", root.revocation_list(&[], 1, at).unwrap()),
        ("servers.crl", authority.revocation_list(IssuerKind::Servers, &[entry], 1, at).unwrap()),
        ("users.crl", authority.revocation_list(IssuerKind::Users, &[], 1, at).unwrap()),
    ];
    let mut trusted = authority.root_pem();
    for (name, der) in lists {
        openssl.write(name, der);
        openssl.run(&format!("crl -inform DER -in {name} -out {name}.pem"));
        trusted.push_str(&String::from_utf8(openssl.read(&format!("{name}.pem"))).unwrap());
    }
    openssl.write("trusted.pem", trusted);
    let check = |issued: &Issued, more: &str| {
        openssl.write("chain.pem", issued.chain_pem());
        format!("verify -x509_strict -crl_check_all -CAfile trusted.pem -untrusted chain.pem {more} chain.pem")
    };
    for (what, issued) in one_of_each(&authority, at) {
        let purpose = match what {
            "server" => "-purpose sslserver -verify_hostname fe1.contoso.example",
            "user" => "-purpose sslclient",
            _ => "",
        };
        let said = openssl.run(&check(&issued, purpose));
        assert!(said.contains("chain.pem: OK"), "{what}: {said}");
    }
    let said = openssl.fails(&check(&revoked, "-purpose sslserver"));
    assert!(said.contains("certificate revoked"), "{said}");
    let (_, user) = one_of_each(&authority, at).swap_remove(1);
    openssl.fails(&check(&user, "-purpose sslserver"));
}
