//! A signed list is taken if it may follow the one held, and refused with reason and cure otherwise (row N29).
#![allow(clippy::unwrap_used)]

use std::time::{Duration, SystemTime};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use pki::{Authority, DocumentKind, DocumentSigner, Fqdn, Key, Revocation, ServerNames};
use topology::{HeldTopology, SignedTopology, Topology, TopologyRefusal};

const FIVE: &str = include_str!("five.toml");
const DAY: Duration = Duration::from_hours(24);
const YEAR: Duration = Duration::from_hours(365 * 24);

fn now() -> SystemTime {
    // 2026-01-05T00:00:00Z
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_571_200)
}

fn fqdn(text: &str) -> Fqdn {
    Fqdn::parse(text).unwrap()
}

/// `FIVE` in another version.
fn version(version: u64) -> String {
    FIVE.replace("version = 7", &format!("version = {version}"))
}

struct World {
    authority: Authority,
    signer: DocumentSigner,
}

fn signer(authority: &Authority) -> DocumentSigner {
    let key = Key::generate().unwrap();
    let issued = authority.issue_document_signer(&fqdn("sip.contoso.example"), &key.public(), now()).unwrap();
    DocumentSigner::new(issued.chain, key).unwrap()
}

impl World {
    fn new() -> Self {
        let (_, authority) = Authority::create("Contoso", &[fqdn("contoso.example")], now()).unwrap();
        Self { signer: signer(&authority), authority }
    }

    fn sign(&self, document: &str, held: Option<&HeldTopology>) -> String {
        SignedTopology::sign(document, held, &self.signer, now(), now() + YEAR).unwrap()
    }

    fn accept(&self, text: &str, held: Option<&HeldTopology>) -> Result<SignedTopology, TopologyRefusal> {
        self.accept_at(text, held, now())
    }

    fn accept_at(&self, text: &str, held: Option<&HeldTopology>, now: SystemTime) -> Result<SignedTopology, TopologyRefusal> {
        SignedTopology::accept(text, held, &self.authority.anchors(), &Revocation::none(), now)
    }

    /// What a member holds after these versions, one after the other.
    fn held(&self, versions: &[u64]) -> HeldTopology {
        let mut held = None;
        for number in versions {
            let signed = self.sign(&version(*number), held.as_ref());
            held = Some(self.accept(&signed, held.as_ref()).unwrap().held());
        }
        held.unwrap()
    }

    /// Any payload, signed by somebody who may.
    fn sign_payload(&self, payload: &str) -> String {
        self.signer.sign(DocumentKind::Topology, payload.as_bytes()).unwrap()
    }
}

/// The payload of a signed list.
fn payload(signed: &str) -> String {
    String::from_utf8(URL_SAFE_NO_PAD.decode(signed.split('.').nth(1).unwrap()).unwrap()).unwrap()
}

#[test]
fn what_was_published_arrives_word_for_word() {
    let world = World::new();
    let signed = world.accept(&world.sign(FIVE, None), None).unwrap();
    assert_eq!(signed.document(), FIVE);
    assert_eq!(signed.topology(), &Topology::parse(FIVE).unwrap());
    assert_eq!((signed.published_at(), signed.valid_until()), (now(), now() + YEAR));
    assert_eq!(signed.held().version, 7);
}

#[test]
fn the_next_one_follows_and_a_member_that_slept_catches_up() {
    let world = World::new();
    let held = world.held(&[7]);
    let eight = world.sign(&version(8), Some(&held));
    let held_eight = world.accept(&eight, Some(&held)).unwrap().held();
    let nine = world.sign(&version(9), Some(&held_eight));
    assert!(world.accept(&nine, Some(&held_eight)).is_ok());
    assert!(world.accept(&nine, Some(&held)).is_ok(), "what lies between cannot be known");
    let jump = world.sign(&version(20), Some(&held_eight));
    assert!(world.accept(&jump, Some(&held_eight)).is_ok());
}

#[test]
fn n29_tampered_with_is_refused() {
    let world = World::new();
    let signed = world.sign(FIVE, None);
    let (header, rest) = signed.split_once('.').unwrap();
    let (_, signature) = rest.split_once('.').unwrap();
    let other = payload(&signed).replace("fe1.contoso.example", "fe9.contoso.example");
    let tampered = format!("{header}.{}.{signature}", URL_SAFE_NO_PAD.encode(other));
    let refusal = world.accept(&tampered, None).unwrap_err().to_string();
    assert_eq!(refusal, "the document was changed after it was signed; fetch it again from the authority, and find out who changed it");
}

#[test]
fn n29_somebody_elses_signature_is_refused() {
    let (world, other) = (World::new(), World::new());
    assert!(matches!(world.accept(&other.sign(FIVE, None), None), Err(TopologyRefusal::Document(_))));
    // A server of ours is trusted, and still may not say who is.
    let key = Key::generate().unwrap();
    let names = ServerNames { server: fqdn("fe1.contoso.example"), aliases: vec![], domains: vec![] };
    let issued = world.authority.issue_server(&names, &key.public(), now()).unwrap();
    let server = DocumentSigner::new(issued.chain, key).unwrap();
    let signed = server.sign(DocumentKind::Topology, payload(&world.sign(FIVE, None)).as_bytes()).unwrap();
    assert!(matches!(world.accept(&signed, None), Err(TopologyRefusal::Document(_))));
    // Another kind of document by the right signer.
    let bundle = world.signer.sign(DocumentKind::Bundle, payload(&world.sign(FIVE, None)).as_bytes()).unwrap();
    assert!(world.accept(&bundle, None).unwrap_err().to_string().contains("this document is a \"verbund-bundle\""));
}

#[test]
fn n29_older_than_the_one_held_is_refused() {
    let world = World::new();
    let seven = world.sign(FIVE, None);
    let held = world.held(&[7, 8]);
    assert_eq!(world.accept(&seven, Some(&held)).unwrap_err(), TopologyRefusal::Older { offered: 7, held: 8 });
    assert!(world.accept(&seven, None).is_ok(), "who holds nothing cannot know");
    let refusal = SignedTopology::sign(FIVE, Some(&held), &world.signer, now(), now() + YEAR).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "topology version 7 is older than version 8, which is held; nothing is done, but whoever sent it is behind or plays back old ones: \
         publish a version above 8"
    );
}

#[test]
fn n29_two_lists_of_one_version_are_refused() {
    let world = World::new();
    let held = world.held(&[7]);
    let other = world.sign(&FIVE.replace("\"Contoso\"", "\"Fabrikam\""), None);
    assert_eq!(world.accept(&other, Some(&held)).unwrap_err(), TopologyRefusal::Differs { version: 7 });
    let remark = world.sign(&FIVE.replace("# headquarters", "# the new building"), None);
    assert_eq!(world.accept(&remark, Some(&held)).unwrap_err(), TopologyRefusal::Differs { version: 7 }, "a remark is a difference");
    let again = SignedTopology::sign(FIVE, Some(&held), &world.signer, now(), now() + YEAR).unwrap_err();
    assert_eq!(again, TopologyRefusal::Differs { version: 7 }, "the authority makes none either");
    assert!(world.accept(&world.sign(FIVE, None), Some(&held)).is_ok(), "the very same again is no news and no harm");
}

#[test]
fn n29_the_next_one_of_another_history_is_refused() {
    let world = World::new();
    let held = world.held(&[7]);
    let elsewhere = world.held(&[6]);
    let eight = world.sign(&version(8), Some(&elsewhere));
    let refusal = world.accept(&eight, Some(&held)).unwrap_err();
    assert_eq!(refusal, TopologyRefusal::NotLinked { version: 8, held: 7 });
    assert_eq!(
        refusal.to_string(),
        "topology version 8 does not follow the version 7 that is held; the authority was restored from an old backup, or there are two: \
         publish once more"
    );
    let first = world.sign(&version(8), None);
    assert_eq!(world.accept(&first, Some(&held)).unwrap_err(), TopologyRefusal::NotLinked { version: 8, held: 7 });
}

#[test]
fn n29_a_link_covers_everything_before() {
    let world = World::new();
    let digests = [world.held(&[5, 6, 7]).digest, world.held(&[6, 7]).digest, world.held(&[7]).digest];
    assert!(digests[0] != digests[1] && digests[1] != digests[2] && digests[0] != digests[2]);
}

#[test]
fn n29_expired_is_refused_and_so_is_the_future() {
    let world = World::new();
    let signed = SignedTopology::sign(FIVE, None, &world.signer, now(), now() + 3 * DAY).unwrap();
    assert!(world.accept_at(&signed, None, now() + 3 * DAY).is_ok());
    let late = world.accept_at(&signed, None, now() + 3 * DAY + Duration::from_secs(1)).unwrap_err();
    assert_eq!(
        late.to_string(),
        "topology version 7 counted until 2026-01-08T00:00:00Z and the clock says 2026-01-08T00:00:01Z; fetch a newer one from the authority, \
         or set the clock"
    );
    let ahead = SignedTopology::sign(FIVE, None, &world.signer, now() + DAY, now() + YEAR).unwrap();
    assert!(matches!(world.accept(&ahead, None), Err(TopologyRefusal::NotYetValid { version: 7, .. })));
    let little = SignedTopology::sign(FIVE, None, &world.signer, now() + pki::BACKDATE, now() + YEAR).unwrap();
    assert!(world.accept(&little, None).is_ok(), "clocks may differ a little");
}

#[test]
fn a_longer_life_is_no_new_version_and_a_shorter_one_is_refused() {
    let world = World::new();
    let old = SignedTopology::sign(FIVE, None, &world.signer, now(), now() + 3 * DAY).unwrap();
    let held = world.accept(&old, None).unwrap().held();
    let successor = signer(&world.authority);
    assert!(SignedTopology::is_signed_by(&old, &world.signer) && !SignedTopology::is_signed_by(&old, &successor));
    let again = SignedTopology::sign_again(&old, &successor).unwrap();
    assert!(SignedTopology::is_signed_by(&again, &successor));
    let longer = world.accept_at(&again, Some(&held), now() + DAY).unwrap();
    assert_eq!((longer.held().version, longer.held().digest), (held.version, held.digest));
    assert_eq!(longer.valid_until(), successor.not_after(), "as long as anything that this signer signs");
    let refusal = world.accept_at(&old, Some(&longer.held()), now() + DAY).unwrap_err();
    assert!(matches!(refusal, TopologyRefusal::ShorterLife { version: 7, .. }));
    let eight = world.sign(&version(8), Some(&longer.held()));
    assert!(world.accept(&eight, Some(&held)).is_ok(), "who missed the longer life can follow all the same");
    let year = SignedTopology::sign_again(&world.sign(FIVE, None), &successor).unwrap();
    assert_eq!(world.accept(&year, None).unwrap().valid_until(), now() + YEAR, "signing again takes nothing away");
}

#[test]
fn the_authority_finds_the_link_in_its_own_text() {
    let world = World::new();
    let signed = world.sign(FIVE, None);
    assert_eq!(SignedTopology::link_of(&signed), Some(world.accept(&signed, None).unwrap().held()));
    assert_eq!(SignedTopology::link_of("nothing"), None);
}

#[test]
fn what_is_signed_and_still_no_list_is_refused() {
    let world = World::new();
    let good = payload(&world.sign(FIVE, None));
    assert!(world.accept(&world.sign_payload(&good), None).is_ok());
    for (from, to, refusal) in [
        ("\"format\":1", "\"format\":2", "its form is 2, not 1"),
        ("\"version\":7", "\"version\":8", "travels as version 8 and says version 7 itself"),
        ("\"previous\":null", "\"previous\":\"12\"", "its link is no SHA-256 digest"),
        ("\"previous\":null", "\"trust\":\"all\"", "unknown field `trust`"),
        ("2026-01-05T00:00:00Z", "yesterday", "a time in it is not of RFC 3339"),
        ("fe1.contoso.example", "fe_1.contoso.example", "\nline 23, column 8: \"fe_1.contoso.example\" is not a host name"),
        ("{", "", "the signed topology cannot be read"),
    ] {
        assert!(good.contains(from), "{from}");
        let shown = world.accept(&world.sign_payload(&good.replacen(from, to, 1)), None).unwrap_err().to_string();
        assert!(shown.contains(refusal), "{shown}");
    }
    assert!(SignedTopology::sign_again("nothing.of.ours", &world.signer).is_err());
    assert!(!SignedTopology::is_signed_by("nothing", &world.signer));
}

#[test]
fn what_has_faults_is_not_signed() {
    let world = World::new();
    let faulty = FIVE.replace("version = 7", "version = 0");
    let refusal = SignedTopology::sign(&faulty, None, &world.signer, now(), now() + YEAR).unwrap_err();
    assert!(matches!(refusal, TopologyRefusal::Faulty(_)));
}

#[test]
fn the_longest_list_can_be_signed() {
    let world = World::new();
    // A quotation mark takes most room when it is written twice over: as JSON and as base64.
    let longest = format!("{FIVE}#{}", "\"".repeat(Topology::FILE_BYTES_MAX - FIVE.len() - 1));
    let signed = world.sign(&longest, None);
    assert!(world.accept(&signed, None).is_ok());
}
