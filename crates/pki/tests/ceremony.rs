//! The root ceremony: keys stay where they were made, names never come twice, the root remembers.
#![allow(clippy::unwrap_used)]

mod support;

use pki::{
    Authority, AuthorityFault, CEREMONY_BYTES_MAX, CaSigner, CeremonyFault, Fingerprint, IssuerKind, IssuingAuthority, IssuingRequest, Key,
    Purpose, Revocation, RevocationList, RevocationReason, Root, RootRegister, Serial, ServerNames, Urls, facts, verify,
};
use support::{DAY, fqdn, now};

/// The safe: a root and what it remembers.
struct Safe {
    root: Root,
    register: RootRegister,
}

impl Safe {
    fn new(organisation: &str) -> Self {
        let root = Root::create(organisation, now()).unwrap();
        let register = RootRegister::new(organisation, root.certificate());
        Self { root, register }
    }
}

fn signer() -> CaSigner {
    Key::generate().unwrap().into()
}

fn request(kind: IssuerKind, key: &CaSigner) -> String {
    IssuingRequest::write("Contoso", kind, &[fqdn("contoso.example")], None, key).unwrap()
}

#[test]
fn a_whole_ceremony_makes_an_authority_whose_root_is_never_online() {
    let mut safe = Safe::new("Contoso");
    let (servers, users) = (signer(), signer());
    let mut sign = |kind, key: &CaSigner| {
        let request = IssuingRequest::read(&request(kind, key)).unwrap();
        assert_eq!(request.key_fingerprint(), Fingerprint::of(key.public().as_der()));
        let certificate = safe.register.sign(&safe.root, &request, now()).unwrap();
        IssuingAuthority::of(kind, certificate, key.clone()).unwrap()
    };
    let (servers, users) = (sign(IssuerKind::Servers, &servers), sign(IssuerKind::Users, &users));
    let list = safe.register.next_list(&safe.root, now()).unwrap();
    let root = safe.root.certificate().clone();
    assert_eq!(RevocationList::read(&list, std::slice::from_ref(&root)).unwrap().number(), 1);
    let authority = Authority::of(root, servers, Some(users)).unwrap();
    let names = ServerNames { server: fqdn("fe1.contoso.example"), aliases: vec![], domains: vec![] };
    let issued = authority.issue_server(&names, &Key::generate().unwrap().public(), now()).unwrap();
    assert!(verify(&issued.chain, &authority.anchors(), &Revocation::none(), Purpose::Server, now()).is_ok());
    assert!(authority.servers().signs_documents());
}

#[test]
fn no_name_comes_twice() {
    let mut safe = Safe::new("Contoso");
    let mut name = |kind, at| {
        let request = IssuingRequest::read(&request(kind, &signer())).unwrap();
        facts(&safe.register.sign(&safe.root, &request, at).unwrap()).unwrap().subject.replace("O=Contoso, CN=Contoso ", "")
    };
    let next_year = now() + 365 * DAY;
    let asked = [(IssuerKind::Servers, now()), (IssuerKind::Users, now()), (IssuerKind::Servers, now()), (IssuerKind::Servers, next_year)];
    let names = asked.map(|(kind, at)| name(kind, at));
    assert_eq!(names, ["Issuing CA 2027-1", "User CA 2027-1", "Issuing CA 2027-2", "Issuing CA 2028-1"]);
}

#[test]
fn the_root_remembers_what_it_signed_and_took_back() {
    let mut safe = Safe::new("Contoso");
    let first = IssuingRequest::read(&request(IssuerKind::Servers, &signer())).unwrap();
    let certificate = safe.register.sign(&safe.root, &first, now()).unwrap();
    let serial = facts(&certificate).unwrap().serial;
    assert_eq!(safe.register.issued()[0].serial, serial);
    safe.register.next_list(&safe.root, now()).unwrap();
    assert_eq!(safe.register.revoke(&serial, RevocationReason::KeyCompromise, now()), Ok(true));
    assert_eq!(safe.register.revoke(&serial, RevocationReason::Superseded, now()), Ok(false));
    let stranger = Serial::parse("4711").unwrap();
    assert!(matches!(safe.register.revoke(&stranger, RevocationReason::Superseded, now()), Err(CeremonyFault::NotIssued { .. })));
    let mut again = RootRegister::read(&safe.register.to_json().unwrap()).unwrap();
    assert_eq!(again, safe.register);
    let list = again.next_list(&safe.root, now()).unwrap();
    let list = RevocationList::read(&list, &[safe.root.certificate().clone()]).unwrap();
    assert_eq!((list.number(), list.contains(&serial)), (2, true));
}

#[test]
fn a_request_carries_its_wishes_and_nobody_elses_key() {
    let urls = Urls::below("http://sip.contoso.example:8080").unwrap();
    let domains = [fqdn("contoso.example"), fqdn("contoso.test")];
    let text = IssuingRequest::write("Contoso", IssuerKind::Users, &domains, Some(&urls), &signer()).unwrap();
    let read = IssuingRequest::read(&text).unwrap();
    assert_eq!((read.organisation(), read.kind(), read.domains()), ("Contoso", IssuerKind::Users, &domains[..]));
    assert!(!text.contains("PRIVATE"), "{text}");
    let mut safe = Safe::new("Contoso");
    let certificate = safe.register.sign(&safe.root, &read, now()).unwrap();
    let place = urls.list(safe.root.certificate());
    assert!(certificate.windows(place.len()).any(|bytes| bytes == place.as_bytes()));
}

#[test]
fn a_root_signs_for_its_own_organisation_and_each_key_once() {
    let mut safe = Safe::new("Contoso");
    let text = IssuingRequest::write("Fabrikam", IssuerKind::Servers, &[fqdn("contoso.example")], None, &signer()).unwrap();
    let other = safe.register.sign(&safe.root, &IssuingRequest::read(&text).unwrap(), now());
    assert_eq!(other, Err(CeremonyFault::OtherOrganisation { asked: "Fabrikam".into(), ours: "Contoso".into() }));
    let key = signer();
    let first = IssuingRequest::read(&request(IssuerKind::Servers, &key)).unwrap();
    safe.register.sign(&safe.root, &first, now()).unwrap();
    let second = IssuingRequest::read(&request(IssuerKind::Users, &key)).unwrap();
    let fault = safe.register.sign(&safe.root, &second, now()).unwrap_err();
    assert_eq!(fault, CeremonyFault::KeyTaken { name: "O=Contoso, CN=Contoso Issuing CA 2027-1".into() });
    let stranger = Safe::new("Contoso");
    assert_eq!(safe.register.sign(&stranger.root, &first, now()), Err(CeremonyFault::OtherRoot));
    assert_eq!(safe.register.next_list(&stranger.root, now()), Err(CeremonyFault::OtherRoot));
    let late = safe.register.sign(&safe.root, &IssuingRequest::read(&request(IssuerKind::Users, &signer())).unwrap(), now() - 365 * DAY);
    assert!(matches!(late, Err(CeremonyFault::Authority(AuthorityFault::NotValidNow { .. }))), "{late:?}");
}

#[test]
fn damaged_files_are_refused() {
    let text = request(IssuerKind::Servers, &signer());
    for (from, to) in [
        ("\"format\": 1", "\"format\": 2"),
        ("\"servers\"", "\"everybody\""),
        ("\"contoso.example\"", ""),
        ("\"contoso.example\"", "\"contoso\""),
        ("\"kind\"", "\"more\": 1, \"kind\""),
    ] {
        let spoilt = text.replacen(from, to, 1);
        assert_ne!(spoilt, text, "{from}");
        assert!(matches!(IssuingRequest::read(&spoilt), Err(CeremonyFault::Malformed { what: "request", .. })), "{to}");
    }
    let other = request(IssuerKind::Servers, &signer());
    let spki = |text: &str| text.split_once("REQUEST-----\\n").unwrap().1[..120].to_owned();
    let swapped = text.replace(&spki(&text), &spki(&other));
    assert!(matches!(IssuingRequest::read(&swapped), Err(CeremonyFault::Request(_))));
    for bad in ["", "{}", &" ".repeat(CEREMONY_BYTES_MAX + 1)] {
        assert!(matches!(RootRegister::read(bad), Err(CeremonyFault::Malformed { what: "register", .. })));
    }
}

/// An organisation that had a root before this one: no name may come twice, though the registers know nothing of each other.
#[test]
fn a_request_may_ask_for_a_number_above_those_of_another_root() {
    let root = Root::create("Contoso", now()).unwrap();
    let mut register = RootRegister::new("Contoso", root.certificate());
    let mut sign = |number: u16| {
        let key = pki::CaSigner::from(pki::Key::generate().unwrap());
        let text = IssuingRequest::write_numbered("Contoso", IssuerKind::Servers, &[fqdn("contoso.example")], None, number, &key).unwrap();
        let certificate = register.sign(&root, &IssuingRequest::read(&text).unwrap(), now()).unwrap();
        pki::facts(&certificate).unwrap().subject
    };
    let names = [3, 1, 5, 1].map(&mut sign);
    for (name, number) in names.iter().zip([3, 4, 5, 6]) {
        assert!(name.ends_with(&format!("-{number}")), "{names:?}");
    }
}
