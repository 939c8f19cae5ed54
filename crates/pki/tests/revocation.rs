//! Revocation lists: what is no list, which of two is believed, and what a path without one is worth.
#![allow(clippy::unwrap_used)]

use std::time::{Duration, SystemTime};

use pki::{
    Authority, CertificateDer, Fqdn, Issued, Key, Purpose, REVOCATION_LIST_BYTES_MAX, Rejection, Revocation, RevocationList,
    RevocationListFault as Fault, RevocationLists, RevocationReason, RevokedCertificate, Root, Serial, ServerNames, VerifiedCertificate,
    verify,
};
use rcgen::{
    CertificateRevocationListParams, CrlDistributionPoint, CrlIssuingDistributionPoint, CrlScope, Issuer, KeyIdMethod, SerialNumber,
};

const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

fn fqdn(text: &str) -> Fqdn {
    Fqdn::parse(text).unwrap()
}

struct World {
    root: Root,
    authority: Authority,
    issued: Issued,
}

fn server(authority: &Authority) -> Issued {
    let names = ServerNames { server: fqdn("fe1.contoso.example"), aliases: vec![], domains: vec![] };
    authority.issue_server(&names, &Key::generate().unwrap().public(), now()).unwrap()
}

impl World {
    fn new() -> Self {
        let (root, authority) = Authority::create("Contoso", &[fqdn("contoso.example")], now()).unwrap();
        let issued = server(&authority);
        Self { root, authority, issued }
    }

    fn issuers(&self) -> [CertificateDer<'static>; 2] {
        [self.authority.root().clone(), self.authority.issuing().clone()]
    }

    /// The issuing CA's list: this number, these revoked, made now, good for a day.
    fn list(&self, number: u64, revoked: &[&Serial]) -> RevocationList {
        self.read(&self.authority.servers().revocation_list_until(&entries(revoked), number, now(), now() + DAY).unwrap()).unwrap()
    }

    /// The root's list, good for ten days.
    fn root_list(&self, revoked: &[&Serial]) -> RevocationList {
        self.read(&self.root.revocation_list_until(&entries(revoked), 1, now(), now() + 10 * DAY).unwrap()).unwrap()
    }

    fn read(&self, der: &[u8]) -> Result<RevocationList, Fault> {
        RevocationList::read(der, &self.issuers())
    }

    fn judge(&self, revocation: &Revocation, at: SystemTime) -> Result<VerifiedCertificate, Rejection> {
        verify(&self.issued.chain, &self.authority.anchors(), revocation, Purpose::Server, at)
    }

    /// The serial number of the issuing CA.
    fn issuing_serial(&self) -> Serial {
        pki::facts(self.authority.issuing()).unwrap().serial
    }
}

fn entries(serials: &[&Serial]) -> Vec<RevokedCertificate> {
    let entry = |serial: &&Serial| RevokedCertificate { serial: (*serial).clone(), at: now(), reason: RevocationReason::KeyCompromise };
    serials.iter().map(entry).collect()
}

fn lists(all: impl IntoIterator<Item = RevocationList>) -> RevocationLists {
    let mut lists = RevocationLists::new();
    all.into_iter().for_each(|list| assert!(lists.take(list, now()).unwrap()));
    lists
}

fn strict(all: impl IntoIterator<Item = RevocationList>) -> Revocation {
    Revocation::strict(lists(all), HOUR)
}

#[test]
fn what_is_signed_is_read_back() {
    let world = World::new();
    let serials: Vec<_> = (1..=300u16).map(|number| Serial::from_be_bytes(&number.to_be_bytes())).collect();
    let list = world.list(7, &serials.iter().collect::<Vec<_>>());
    assert_eq!((list.number(), list.len()), (7, 300));
    assert_eq!((list.this_update(), list.next_update()), (now(), now() + DAY));
    assert!(serials.iter().all(|serial| list.contains(serial)) && !list.contains(&world.issued.serial));
    assert_eq!(list.issuer_text(), "O=Contoso, CN=Contoso Issuing CA 2027-1");
    assert_eq!(world.read(list.as_der()).unwrap(), list);
    let empty = world.list(u64::MAX, &[]);
    assert_eq!((empty.number(), empty.is_empty()), (u64::MAX, true));
}

#[test]
fn n29_a_list_tampered_with_is_no_list() {
    let world = World::new();
    let good = world.list(7, &[&world.issued.serial]).as_der().to_vec();
    for bit in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert!(world.read(&bad).is_err(), "bit {bit}");
    }
    for cut in [0, 1, good.len() / 2, good.len() - 1] {
        assert!(matches!(world.read(&good[..cut]), Err(Fault::Malformed { .. })), "{cut}");
    }
    let longer = [&good[..], &[0]].concat();
    assert!(matches!(world.read(&longer), Err(Fault::Malformed { .. })));
}

#[test]
fn a_list_is_its_issuers_and_nobody_elses() {
    let (ours, theirs) = (World::new(), World::new());
    let foreign = theirs.list(9, &[]);
    // Same name, another key.
    assert!(matches!(ours.read(foreign.as_der()), Err(Fault::BadSignature { .. })));
    assert!(matches!(RevocationList::read(foreign.as_der(), &[]), Err(Fault::UnknownIssuer { .. })));
    // A leaf signs no lists, whatever its name.
    let leaf = std::slice::from_ref(&theirs.issued.chain[0]);
    assert!(matches!(RevocationList::read(foreign.as_der(), leaf), Err(Fault::UnknownIssuer { .. })));
    // Nor does a list of a CA of the same name cover our path.
    let other = lists([RevocationList::read(foreign.as_der(), &theirs.issuers()).unwrap(), ours.root_list(&[])]);
    let found = ours.judge(&Revocation::strict(other, HOUR), now());
    assert!(matches!(found, Err(Rejection::NoRevocationList { .. })), "{found:?}");
}

/// What becomes of a list of the issuing CA made by these parameters.
fn odd(spoil: impl FnOnce(&mut CertificateRevocationListParams)) -> Result<RevocationList, Fault> {
    let world = World::new();
    let key = Key::from_pem(world.authority.key_pem().unwrap().expose()).unwrap();
    let mut params = CertificateRevocationListParams {
        this_update: now().into(),
        next_update: (now() + DAY).into(),
        crl_number: SerialNumber::from(3),
        issuing_distribution_point: None,
        revoked_certs: vec![],
        key_identifier_method: KeyIdMethod::Sha256,
    };
    spoil(&mut params);
    let issuer = Issuer::from_ca_cert_der(world.authority.issuing(), &key).unwrap();
    world.read(params.signed_by(&issuer).unwrap().der())
}

#[test]
fn a_part_never_passes_for_the_whole() {
    assert_eq!(odd(|_| {}).unwrap().number(), 3);
    for scope in [None, Some(CrlScope::UserCertsOnly), Some(CrlScope::CaCertsOnly)] {
        let distribution_point = CrlDistributionPoint { uris: vec!["http://a.test/1.crl".into()] };
        let found = odd(|params| params.issuing_distribution_point = Some(CrlIssuingDistributionPoint { distribution_point, scope }));
        assert!(matches!(found, Err(Fault::Partial { .. })), "{scope:?} {found:?}");
    }
}

#[test]
fn a_number_that_no_counter_reaches_is_refused() {
    assert!(matches!(odd(|params| params.crl_number = SerialNumber::from_slice(&[1; 9])), Err(Fault::NumberTooLarge { .. })));
}

#[test]
fn the_size_of_a_list_is_bounded_before_it_is_read() {
    let bytes = REVOCATION_LIST_BYTES_MAX + 1;
    assert_eq!(RevocationList::read(&vec![0; bytes], &[]), Err(Fault::TooLarge { bytes }));
}

#[test]
fn n29_the_newest_list_counts_and_there_is_no_way_back() {
    let world = World::new();
    let revoking = world.list(8, &[&world.issued.serial]);
    let mut held = lists([world.list(7, &[]), world.root_list(&[])]);
    assert!(held.take(revoking.clone(), now()).unwrap(), "news");
    assert!(!held.take(revoking.clone(), now()).unwrap(), "no news");
    let older = held.take(world.list(7, &[]), now());
    assert!(matches!(older, Err(Fault::Older { number: 7, held: 8, .. })), "{older:?}");
    let other = held.take(world.list(8, &[]), now());
    assert!(matches!(other, Err(Fault::Conflict { number: 8, .. })), "{other:?}");
    assert!(matches!(world.judge(&Revocation::strict(held, HOUR), now()), Err(Rejection::Revoked { .. })));
}

#[test]
fn n29_a_list_past_its_next_update_is_not_taken_in() {
    let world = World::new();
    let mut held = RevocationLists::new();
    let later = now() + DAY + Duration::from_secs(1);
    assert!(matches!(held.take(world.list(7, &[]), later), Err(Fault::Expired { number: 7, .. })));
    let earlier = now() - RevocationLists::CLOCK_SKEW_MAX - Duration::from_secs(1);
    assert!(matches!(held.take(world.list(7, &[]), earlier), Err(Fault::NotYet { number: 7, .. })));
    assert!(held.is_empty());
    assert!(held.take(world.list(7, &[]), now() - RevocationLists::CLOCK_SKEW_MAX).unwrap(), "clocks differ a little");
}

#[test]
fn the_number_of_issuers_is_bounded() {
    let mut held = RevocationLists::new();
    for _ in 0..RevocationLists::ISSUERS_MAX {
        held.take(World::new().list(1, &[]), now()).unwrap();
    }
    assert_eq!(held.take(World::new().list(1, &[]), now()), Err(Fault::TooMany));
}

#[test]
fn n5_revoked_leaves_and_revoked_authorities_are_refused() {
    let world = World::new();
    assert!(world.judge(&strict([world.list(1, &[]), world.root_list(&[])]), now()).is_ok());
    let leaf = world.judge(&strict([world.list(1, &[&world.issued.serial]), world.root_list(&[])]), now()).unwrap_err();
    assert_eq!(leaf, Rejection::Revoked { subject: "CN=fe1.contoso.example".into(), serial: world.issued.serial.clone() });
    let serial = world.issuing_serial();
    let ca = world.judge(&strict([world.list(1, &[]), world.root_list(&[&serial])]), now()).unwrap_err();
    assert_eq!(ca, Rejection::Revoked { subject: "O=Contoso, CN=Contoso Issuing CA 2027-1".into(), serial });
    // The number alone means nothing: it is the issuer's.
    let swapped = strict([world.list(1, &[&world.issuing_serial()]), world.root_list(&[&world.issued.serial])]);
    assert!(world.judge(&swapped, now()).is_ok());
}

#[test]
fn n6_a_path_without_lists_is_refused() {
    let world = World::new();
    let refused = |revocation: &Revocation| world.judge(revocation, now()).unwrap_err();
    let leaf =
        "there is no revocation list of O=Contoso, CN=Contoso Issuing CA 2027-1 here, so nobody can tell whether CN=fe1.contoso.example";
    assert!(refused(&strict([])).to_string().starts_with(leaf), "{}", refused(&strict([])));
    assert!(refused(&strict([world.root_list(&[])])).to_string().starts_with(leaf));
    let ca = refused(&strict([world.list(1, &[])]));
    assert!(matches!(&ca, Rejection::NoRevocationList { subject, .. } if subject.contains("Issuing CA 2027-1")), "{ca}");
}

#[test]
fn n31_a_stale_list_is_believed_until_the_grace_ends() {
    let world = World::new();
    let revocation = strict([world.list(1, &[]), world.root_list(&[])]);
    assert!(world.judge(&revocation, now() + DAY + HOUR).is_ok());
    let refused = world.judge(&revocation, now() + DAY + HOUR + Duration::from_secs(1)).unwrap_err();
    assert!(matches!(&refused, Rejection::StaleRevocationList { number: 1, .. }), "{refused}");
    assert!(refused.to_string().contains("was good until 2027-01-16T08:00:00Z"), "{refused}");
    // A revoked certificate does not come back when the list that says so gets old.
    let revocation = strict([world.list(1, &[&world.issued.serial]), world.root_list(&[])]);
    assert!(matches!(world.judge(&revocation, now() + 3 * DAY), Err(Rejection::Revoked { .. })));
}

#[test]
fn n31_no_grace_is_longer_than_the_longest() {
    let world = World::new();
    let lists = lists([world.list(1, &[]), world.root_list(&[])]);
    let revocation = Revocation::strict(lists, 365 * DAY);
    assert_eq!(revocation.grace(), Revocation::GRACE_MAX);
    let end = now() + DAY + Revocation::GRACE_MAX;
    assert!(world.judge(&revocation, end).is_ok());
    assert!(matches!(world.judge(&revocation, end + Duration::from_secs(1)), Err(Rejection::StaleRevocationList { .. })));
}

#[test]
fn given_lists_have_to_speak_of_the_leaf_and_to_be_fresh() {
    let world = World::new();
    let listed = |all: Vec<RevocationList>| Revocation::listed(lists(all));
    assert!(world.judge(&Revocation::none(), now()).is_ok());
    assert!(world.judge(&listed(vec![world.list(1, &[])]), now()).is_ok(), "the root's list is not demanded");
    assert!(matches!(world.judge(&listed(vec![world.root_list(&[])]), now()), Err(Rejection::NoRevocationList { .. })));
    assert!(matches!(world.judge(&listed(vec![world.list(1, &[&world.issued.serial])]), now()), Err(Rejection::Revoked { .. })));
    let late = now() + DAY + Duration::from_secs(1);
    assert!(matches!(world.judge(&listed(vec![world.list(1, &[])]), late), Err(Rejection::StaleRevocationList { .. })));
}

#[test]
fn who_only_fetches_what_proves_itself_still_refuses_whom_an_old_list_revokes() {
    let world = World::new();
    let (years, known) = (now() + 3 * DAY, |all: Vec<RevocationList>| Revocation::known(lists(all)));
    assert!(!known(vec![]).is_strict(), "no listener takes it");
    assert!(world.judge(&known(vec![]), years).is_ok());
    assert!(world.judge(&known(vec![world.list(1, &[]), world.root_list(&[])]), years).is_ok());
    let revoked = known(vec![world.list(1, &[&world.issued.serial])]);
    assert!(matches!(world.judge(&revoked, years), Err(Rejection::Revoked { .. })));
    let ca_revoked = known(vec![world.root_list(&[&world.issuing_serial()])]);
    assert!(matches!(world.judge(&ca_revoked, years), Err(Rejection::Revoked { .. })));
}

#[test]
fn who_was_believed_knows_the_list_and_the_issuer() {
    let world = World::new();
    let verified = world.judge(&strict([world.list(5, &[]), world.root_list(&[])]), now()).unwrap();
    let used = verified.revocation_list().unwrap();
    assert_eq!((used.number, used.this_update), (5, now()));
    assert_eq!(verified.issuer_fingerprint(), Some(pki::Fingerprint::of(world.authority.issuing())));
    assert_eq!(verified.issuer_text(), "O=Contoso, CN=Contoso Issuing CA 2027-1");
}

#[test]
fn openssl_reads_the_lists_too() {
    let world = World::new();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("list.der");
    let start = SystemTime::now() - HOUR;
    std::fs::write(
        &file,
        world.authority.servers().revocation_list_until(&entries(&[&world.issued.serial]), 4711, start, start + DAY).unwrap(),
    )
    .unwrap();
    let Ok(shown) = std::process::Command::new("openssl").args(["crl", "-inform", "DER", "-noout", "-text", "-in"]).arg(&file).output()
    else {
        return;
    };
    let shown = String::from_utf8(shown.stdout).unwrap();
    for words in ["4711", "Key Compromise", &world.issued.serial.to_string().to_uppercase()] {
        assert!(shown.contains(words), "{shown}\n  lacks: {words}");
    }
}
