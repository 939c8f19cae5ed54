//! The trust bundle: what is written is read, a newer one is taken, an older or changed one is not.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::{Duration, SystemTime};

use pki::{
    Authority, Bundle, BundleFault, DocumentFault, DocumentKind, DocumentSigner, Fingerprint, HeldBundle, IssuerKind, IssuingCa, Key,
    ListPlace, PartnerAnchors, Rejection, Revocation, SignedDocument, read_signed,
};
use support::{DAY, fqdn, now};

struct World {
    authority: Authority,
    signer: DocumentSigner,
}

impl World {
    fn new(organisation: &str) -> Self {
        let (_, authority) = Authority::create(organisation, &[fqdn("contoso.example")], now()).unwrap();
        let key = Key::generate().unwrap();
        let issued = authority.issue_document_signer(&fqdn("sip.contoso.example"), &key.public(), now()).unwrap();
        Self { authority, signer: DocumentSigner::new(issued.chain, key).unwrap() }
    }

    fn bundle(&self, sequence: u64) -> Bundle {
        let issuing = self.authority.issuing().clone();
        Bundle {
            sequence,
            previous: None,
            issued_at: now(),
            valid_until: now() + 30 * DAY,
            refresh: Duration::from_mins(5),
            roots: vec![self.authority.root().clone()],
            lists: vec![ListPlace {
                issuer: Fingerprint::of(&issuing),
                url: Some("http://sip.contoso.example:8080/servers.crl".into()),
                number: 7,
            }],
            issuing: vec![IssuingCa { kind: IssuerKind::Servers, certificate: issuing }],
            partners: vec![],
        }
    }

    fn signed(&self, bundle: &Bundle) -> SignedDocument {
        let text = self.signer.sign(DocumentKind::Bundle, &bundle.to_payload().unwrap()).unwrap();
        read_signed(DocumentKind::Bundle, &text, &self.authority.anchors(), &Revocation::none(), now()).unwrap()
    }

    fn held(&self, bundle: &Bundle) -> HeldBundle {
        Bundle::accept(None, &self.signed(bundle), now()).unwrap().1
    }

    fn accept(&self, held: Option<&HeldBundle>, bundle: &Bundle, at: SystemTime) -> Result<HeldBundle, BundleFault> {
        Bundle::accept(held, &self.signed(bundle), at).map(|(_, held)| held)
    }
}

/// This bundle, changed like this, is refused for this.
fn check(spoil: impl FnOnce(&mut Bundle), expected: impl FnOnce(&BundleFault) -> bool) {
    let world = World::new("Contoso");
    let mut bundle = world.bundle(1);
    spoil(&mut bundle);
    let fault = world.accept(None, &bundle, now()).unwrap_err();
    assert!(expected(&fault), "{fault}");
}

#[test]
fn what_is_written_is_read_back() {
    let world = World::new("Contoso");
    let mut bundle = world.bundle(3);
    bundle.previous = Some(Fingerprint::of(b"the one before"));
    bundle.lists[0].url = None;
    bundle.partners = vec![PartnerAnchors { domains: vec![fqdn("fabrikam.example")], roots: bundle.roots.clone() }];
    let (read, held) = Bundle::accept(None, &world.signed(&bundle), now()).unwrap();
    assert_eq!((read.clone(), held.sequence), (bundle, 3));
    assert_eq!(read.anchors().unwrap().subjects(), world.authority.anchors().subjects());
    assert_eq!(read.roots_pem(), world.authority.root_pem());
    assert_eq!(read.list_issuers().count(), 2);
}

#[test]
fn the_next_one_is_taken_and_so_is_one_after_a_gap_and_the_same_again() {
    let world = World::new("Contoso");
    let first = world.bundle(1);
    let held = world.held(&first);
    let next = Bundle { previous: Some(held.digest), ..world.bundle(2) };
    assert_eq!(world.accept(Some(&held), &next, now()).unwrap().sequence, 2);
    assert_eq!(world.accept(Some(&held), &world.bundle(9), now()).unwrap().sequence, 9);
    assert_eq!(world.accept(Some(&held), &first, now()).unwrap(), held);
}

#[test]
fn n29_an_older_one_is_refused() {
    let world = World::new("Contoso");
    let held = world.held(&world.bundle(5));
    assert_eq!(world.accept(Some(&held), &world.bundle(4), now()), Err(BundleFault::Older { offered: 4, held: 5 }));
}

#[test]
fn n29_two_of_one_number_and_one_that_does_not_follow_are_refused() {
    let world = World::new("Contoso");
    let held = world.held(&world.bundle(5));
    let other = Bundle { refresh: Duration::from_mins(6), ..world.bundle(5) };
    assert_eq!(world.accept(Some(&held), &other, now()), Err(BundleFault::Forked { sequence: 5 }));
    for previous in [None, Some(Fingerprint::of(b"another"))] {
        let next = Bundle { previous, ..world.bundle(6) };
        assert_eq!(world.accept(Some(&held), &next, now()), Err(BundleFault::NotLinked { sequence: 6 }));
    }
}

#[test]
fn n29_an_expired_one_and_one_of_the_future_are_refused() {
    let world = World::new("Contoso");
    let bundle = world.bundle(1);
    assert!(world.accept(None, &bundle, now() + 30 * DAY).is_ok());
    let late = world.accept(None, &bundle, now() + 31 * DAY);
    assert!(matches!(late, Err(BundleFault::Expired { sequence: 1, .. })), "{late:?}");
    assert!(world.accept(None, &bundle, now() - pki::BACKDATE).is_ok(), "clocks differ a little");
    let early = world.accept(None, &bundle, now() - DAY);
    assert!(matches!(early, Err(BundleFault::NotYetValid { sequence: 1, .. })), "{early:?}");
}

#[test]
fn a_bundle_that_believes_nobody_is_refused() {
    check(|bundle| bundle.roots.clear(), |fault| matches!(fault, BundleFault::Nobody { what: "root" }));
    check(|bundle| bundle.issuing.clear(), |fault| matches!(fault, BundleFault::Nobody { what: "issuing CA for servers" }));
    check(|bundle| bundle.issuing[0].kind = IssuerKind::Users, |fault| matches!(fault, BundleFault::Nobody { .. }));
}

#[test]
fn strangers_among_the_cas_are_refused() {
    let stranger = World::new("Fabrikam");
    let issuing = stranger.authority.issuing().clone();
    check(
        |bundle| bundle.issuing.push(IssuingCa { kind: IssuerKind::Users, certificate: issuing }),
        |fault| matches!(fault, BundleFault::Stray { subject } if subject.contains("Fabrikam Issuing CA")),
    );
    let leaf = stranger.signer.chain()[0].clone();
    check(
        |bundle| bundle.issuing.push(IssuingCa { kind: IssuerKind::Servers, certificate: leaf.clone() }),
        |fault| matches!(fault, BundleFault::Stray { .. }),
    );
    check(|bundle| bundle.roots.push(stranger.signer.chain()[0].clone()), |fault| matches!(fault, BundleFault::Malformed { .. }));
    check(|bundle| bundle.lists[0].issuer = Fingerprint::of(b"x"), |fault| matches!(fault, BundleFault::StrayList { .. }));
}

#[test]
fn addresses_are_plain_web_addresses() {
    let long = format!("http://{}", "a".repeat(2048));
    for url in ["", "ftp://a.example/", "http://", "http:///x", "http://a.example/ x", "http://a.example/\n", "javascript:alert(1)", &long]
    {
        check(|bundle| bundle.lists[0].url = Some(url.into()), |fault| matches!(fault, BundleFault::Malformed { .. }));
    }
}

#[test]
fn everything_in_a_bundle_has_a_limit() {
    let many = |what: &'static str| move |fault: &BundleFault| matches!(fault, BundleFault::TooMany { what: found, .. } if *found == what);
    check(|bundle| bundle.roots = vec![bundle.roots[0].clone(); 17], many("roots"));
    check(|bundle| bundle.issuing = vec![bundle.issuing[0].clone(); 65], many("issuing CAs"));
    check(|bundle| bundle.lists = vec![bundle.lists[0].clone(); 81], many("revocation lists"));
    let partner = PartnerAnchors { domains: vec![], roots: vec![] };
    check(|bundle| bundle.partners = vec![partner.clone(); 1001], many("partners"));
    let wide = PartnerAnchors { domains: vec![fqdn("a.example"); 1001], roots: vec![] };
    check(|bundle| bundle.partners = vec![wide], many("domains of a partner"));
}

#[test]
fn another_form_is_not_guessed_at() {
    let payload = String::from_utf8(World::new("Contoso").bundle(1).to_payload().unwrap()).unwrap();
    for (from, to) in [
        ("\"format\":1", "\"format\":2"),
        ("\"sequence\":1", "\"sequence\":-1"),
        ("\"sequence\":1", "\"sequence\":1,\"sequence\":2"),
        ("\"sequence\":1", "\"sequence\":1,\"more\":2"),
        ("\"servers\"", "\"everybody\""),
        ("2027-01-15T", "2027-13-15T"),
        ("\"roots\":[\"", "\"roots\":[\"*"),
    ] {
        let spoilt = payload.replacen(from, to, 1);
        assert_ne!(spoilt, payload, "{from}");
        assert!(matches!(Bundle::from_payload(spoilt.as_bytes()), Err(BundleFault::Malformed { .. })), "{to}");
    }
}

#[test]
fn who_joins_believes_the_pinned_root_and_nobody_else() {
    let (world, stranger) = (World::new("Contoso"), World::new("Fabrikam"));
    let text = world.signer.sign(DocumentKind::Bundle, &world.bundle(1).to_payload().unwrap()).unwrap();
    let pinned = Fingerprint::of(world.authority.root());
    assert_eq!(Bundle::read_pinned(&text, pinned, now()).unwrap().0, world.bundle(1));
    let other = Fingerprint::of(stranger.authority.root());
    assert_eq!(Bundle::read_pinned(&text, other, now()), Err(BundleFault::OtherRoot { pinned: other }));
    // A man in the middle shows the right root and signs with his own.
    let forged = stranger.signer.sign(DocumentKind::Bundle, &world.bundle(1).to_payload().unwrap()).unwrap();
    let found = Bundle::read_pinned(&forged, pinned, now());
    assert!(matches!(found, Err(BundleFault::Document(DocumentFault::Signer(Rejection::UnknownIssuer { .. })))), "{found:?}");
    assert!(matches!(Bundle::read_pinned("x", pinned, now()), Err(BundleFault::Document(DocumentFault::Malformed { .. }))));
}

#[test]
fn a_topology_is_taken_for_no_bundle() {
    let world = World::new("Contoso");
    let text = world.signer.sign(DocumentKind::Topology, &world.bundle(1).to_payload().unwrap()).unwrap();
    let document = read_signed(DocumentKind::Topology, &text, &world.authority.anchors(), &Revocation::none(), now()).unwrap();
    let found = Bundle::accept(None, &document, now());
    assert!(matches!(found, Err(BundleFault::Document(DocumentFault::Kind { .. }))), "{found:?}");
}

/// The signer's certificate ends after months; the chain of bundles does not.
#[test]
fn an_authority_goes_on_where_it_stopped_whoever_signed_then() {
    let world = World::new("Contoso");
    let text = world.signer.sign(DocumentKind::Bundle, &world.bundle(7).to_payload().unwrap()).unwrap();
    let held = world.held(&world.bundle(7));
    assert_eq!(HeldBundle::unchecked(&text), Some(held));
    let next = Bundle { previous: Some(held.digest), ..world.bundle(8) };
    assert!(world.accept(Some(&held), &next, now()).is_ok());
    for bad in ["", "a.b.c", &text[..text.len() / 2]] {
        assert_eq!(HeldBundle::unchecked(bad), None);
    }
}

#[test]
fn spiffe_software_finds_the_roots() {
    let world = World::new("Contoso");
    let read: serde_json::Value = serde_json::from_str(&world.bundle(4).to_spiffe().unwrap()).unwrap();
    assert_eq!((&read["spiffe_sequence"], &read["spiffe_refresh_hint"]), (&4.into(), &300.into()));
    let key = &read["keys"][0];
    assert_eq!((&key["kty"], &key["crv"], &key["use"]), (&"EC".into(), &"P-256".into(), &"x509-svid".into()));
    assert_eq!(key["x"].as_str().unwrap().len(), 43);
    assert_eq!(key["x5c"].as_array().unwrap().len(), 1);
}
