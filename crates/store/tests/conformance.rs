//! One battery for every implementation of the store's traits.
#![allow(clippy::unwrap_used)]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pki::{Fqdn, Serial};
use registrar::{Aor, Credential, UserName};
use store::{
    Actor, Asked, AuditLog, Bundles, Directory, Embedded, Enrolments, Error, Event, Held, IssuanceLedger, Issued, Members, Reason,
    Replacements, Revision, RevocationListStore, Role, TopologyStore, Verdict, Version,
};

#[path = "conformance/audit.rs"]
mod audit;
#[path = "conformance/enrolments.rs"]
mod enrolments;
#[path = "conformance/published.rs"]
mod published;
#[path = "conformance/replacement.rs"]
mod replacement;

const DOMAIN: &str = "verbund.test";

fn aor(name: &str) -> Aor {
    Aor::new(UserName::parse(name).unwrap(), DOMAIN)
}

fn credential(name: &str, password: &str) -> Credential {
    Credential::new(&UserName::parse(name).unwrap(), DOMAIN, password)
}

fn fqdn(name: &str) -> Fqdn {
    Fqdn::parse(name).unwrap()
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn issued(number: u8, not_before: u64, not_after: u64) -> Issued {
    Issued {
        serial: Serial::from_be_bytes(&[number]),
        role: Role::Server,
        subject: "CN=sip.verbund.test".to_owned(),
        names: vec!["sip.verbund.test".to_owned(), "sip:verbund.test".to_owned()],
        issuer: "CN=issuing".to_owned(),
        not_before: at(not_before),
        not_after: at(not_after),
        der: vec![0x30, number],
        asked: Asked::default(),
    }
}

fn serials(found: &[Issued]) -> Vec<String> {
    found.iter().map(|issued| issued.serial.to_string()).collect()
}

/// What every implementation promises; the store comes empty and is left used.
async fn battery<
    S: Directory + IssuanceLedger + TopologyStore + Enrolments + Bundles + RevocationListStore + Members + Held + AuditLog + Replacements,
>(
    store: &S,
) {
    users_are_made_once(store).await;
    users_have_a_home_and_may_move(store).await;
    credentials_are_replaced_only_for_those_who_exist(store).await;
    names_of_other_domains_are_other_users(store).await;
    users_leave_and_come_back(store).await;
    revisions_have_no_gaps(store).await;
    serials_are_used_once(store).await;
    certificates_are_listed_by_urgency(store).await;
    topologies_go_forward_only(store).await;
    what_cannot_be_kept_is_refused(store).await;
    certificates_say_who_asked_and_are_found_by_name(store).await;
    revocation_is_for_good_and_said_once(store).await;
    who_was_cut_off_is_known_until_something_new_is_issued(store).await;
    published::battery(store).await;
    enrolments::battery(store).await;
    audit::battery(store).await;
    replacement::battery(store).await;
}

async fn users_are_made_once(store: &impl Directory) {
    assert!(store.users().await.unwrap().is_empty());
    store.add_user(&aor("bob"), &credential("bob", "b"), None, at(10)).await.unwrap();
    store.add_user(&aor("alice"), &credential("alice", "a"), None, at(11)).await.unwrap();
    let again = store.add_user(&aor("alice"), &credential("alice", "other"), None, at(12)).await;
    assert!(matches!(again, Err(Error::UserExists(user)) if user == aor("alice")));
    let users = store.users().await.unwrap();
    let names: Vec<_> = users.iter().map(|user| user.aor.to_string()).collect();
    assert_eq!(names, ["sip:alice@verbund.test", "sip:bob@verbund.test"]);
    assert!(users[0].credential == credential("alice", "a") && users[0].created == at(11));
}

async fn users_have_a_home_and_may_move(store: &impl Directory) {
    assert_eq!(store.user(&aor("alice")).await.unwrap().unwrap().pool, None);
    let (one, two) = (fqdn("pool1.verbund.test"), fqdn("pool2.verbund.test"));
    store.add_user(&aor("erin"), &credential("erin", "e"), Some(&one), at(12)).await.unwrap();
    let before = store.user(&aor("erin")).await.unwrap().unwrap();
    let revision = store.move_user(&aor("erin"), Some(&two), at(13)).await.unwrap();
    let after = store.user(&aor("erin")).await.unwrap().unwrap();
    assert_eq!((before.pool, after.pool, after.revision), (Some(one), Some(two), revision));
    assert!(after.credential == before.credential && after.created == before.created);
    store.move_user(&aor("erin"), None, at(14)).await.unwrap();
    assert_eq!(store.user(&aor("erin")).await.unwrap().unwrap().pool, None);
    assert!(matches!(store.move_user(&aor("nobody"), None, at(15)).await, Err(Error::NoSuchUser(user)) if user == aor("nobody")));
    store.remove_user(&aor("erin"), at(16)).await.unwrap();
}

async fn credentials_are_replaced_only_for_those_who_exist(store: &impl Directory) {
    let before = store.user(&aor("alice")).await.unwrap().unwrap();
    let revision = store.replace_credential(&aor("alice"), &credential("alice", "new"), at(30)).await.unwrap();
    let after = store.user(&aor("alice")).await.unwrap().unwrap();
    assert!(after.credential == credential("alice", "new"));
    assert!(after.created == before.created && after.revision == revision && revision > before.revision);
    let nobody = store.replace_credential(&aor("nobody"), &credential("nobody", "x"), at(30)).await;
    assert!(matches!(nobody, Err(Error::NoSuchUser(user)) if user == aor("nobody")));
    assert!(store.user(&aor("nobody")).await.unwrap().is_none());
}

async fn names_of_other_domains_are_other_users(store: &impl Directory) {
    let elsewhere = Aor::new(UserName::parse("alice").unwrap(), "other.test");
    assert!(store.user(&elsewhere).await.unwrap().is_none());
    store.add_user(&elsewhere, &credential("alice", "x"), None, at(1)).await.unwrap();
    store.remove_user(&elsewhere, at(31)).await.unwrap();
    assert!(store.user(&aor("alice")).await.unwrap().is_some());
}

async fn users_leave_and_come_back(store: &impl Directory) {
    store.remove_user(&aor("bob"), at(31)).await.unwrap();
    assert!(store.user(&aor("bob")).await.unwrap().is_none());
    assert!(matches!(store.remove_user(&aor("bob"), at(31)).await, Err(Error::NoSuchUser(_))));
    store.add_user(&aor("bob"), &credential("bob", "second"), None, at(20)).await.unwrap();
    assert!(store.user(&aor("bob")).await.unwrap().unwrap().credential == credential("bob", "second"));
}

async fn revisions_have_no_gaps(store: &impl Directory) {
    let Revision(first) = store.add_user(&aor("carol"), &credential("carol", "c"), None, at(1)).await.unwrap();
    assert!(store.add_user(&aor("carol"), &credential("carol", "c"), None, at(1)).await.is_err());
    assert!(store.remove_user(&aor("nobody"), at(31)).await.is_err());
    assert_eq!(store.remove_user(&aor("carol"), at(31)).await.unwrap(), Revision(first + 1));
}

async fn serials_are_used_once(store: &impl IssuanceLedger) {
    store.record_issued(&issued(1, 100, 200), at(100)).await.unwrap();
    let again = store.record_issued(&issued(1, 500, 600), at(100)).await;
    assert!(matches!(again, Err(Error::SerialTaken(serial)) if serial == Serial::from_be_bytes(&[1])));
    assert_eq!(store.certificate(&Serial::from_be_bytes(&[1])).await.unwrap(), Some(issued(1, 100, 200)));
    assert_eq!(store.certificate(&Serial::from_be_bytes(&[9])).await.unwrap(), None);
}

async fn certificates_are_listed_by_urgency(store: &impl IssuanceLedger) {
    for (number, not_before, not_after) in [(2, 100, 900), (3, 100, 300), (4, 250, 400)] {
        store.record_issued(&issued(number, not_before, not_after), at(100)).await.unwrap();
    }
    assert_eq!(serials(&store.certificates(at(150), 10).await.unwrap()), ["01", "03", "04", "02"]);
    assert_eq!(serials(&store.certificates(at(150), 2).await.unwrap()), ["01", "03"]);
    assert_eq!(serials(&store.certificates(at(301), 10).await.unwrap()), ["04", "02"]);
    assert_eq!(serials(&store.expiring(at(150), at(500), 10).await.unwrap()), ["01", "03"]);
    assert_eq!(serials(&store.expiring(at(260), at(500), 10).await.unwrap()), ["03", "04"]);
    assert_eq!(serials(&store.expiring(at(260), at(300), 10).await.unwrap()), Vec::<String>::new());
}

async fn topologies_go_forward_only(store: &impl TopologyStore) {
    assert_eq!(store.current().await.unwrap(), None);
    let early = store.publish("too early", None, Version(2), Some(Version(1)), at(1)).await;
    assert!(matches!(early, Err(Error::Conflict { found: None, .. })));
    store.publish("one", None, Version(1), None, at(1)).await.unwrap();
    for (version, expect) in [(2, None), (1, Some(1)), (0, Some(1)), (3, Some(2))] {
        let refused = store.publish("no", None, Version(version), expect.map(Version), at(2)).await;
        assert!(matches!(refused, Err(Error::Conflict { found: Some(Version(1)), .. })), "{version} {expect:?}");
    }
    store.publish("two", None, Version(5), Some(Version(1)), at(3)).await.unwrap();
    let current = store.current().await.unwrap().unwrap();
    assert_eq!((current.document.as_str(), current.version, current.published_at), ("two", Version(5), at(3)));
}

async fn what_cannot_be_kept_is_refused<S: Directory + TopologyStore>(store: &S) {
    let before_time = UNIX_EPOCH - Duration::from_secs(1);
    assert!(matches!(store.add_user(&aor("dora"), &credential("dora", "d"), None, before_time).await, Err(Error::Time)));
    assert!(store.publish("huge", None, Version(u64::MAX), Some(Version(5)), at(1)).await.is_err());
    assert_eq!(store.current().await.unwrap().unwrap().version, Version(5));
}

async fn certificates_say_who_asked_and_are_found_by_name(store: &impl IssuanceLedger) {
    let asked = Issued { names: vec!["FE2.verbund.test".to_owned()], ..issued(20, 100, 900) }.asked("ticket abc", Some([7; 32]));
    store.record_issued(&asked, at(100)).await.unwrap();
    assert_eq!(store.certificate(&asked.serial).await.unwrap(), Some(asked.clone()));
    let of = async |name, now, limit| serials(&store.standing_of(name, at(now), limit).await.unwrap());
    assert_eq!(of("fe2.verbund.test", 150, 10).await, ["14"]);
    assert_eq!(of("fe2.verbund.test", 901, 10).await, [""; 0]);
    assert_eq!(of("fe2.verbund", 150, 10).await, [""; 0]);
    assert_eq!(of("SIP.verbund.test", 150, 10).await, ["01", "03", "04", "02"]);
    assert_eq!(of("sip:verbund.test", 150, 2).await, ["01", "03"]);
    let to = async |name, since, limit| serials(&store.issued_to(name, at(since), limit).await.unwrap());
    assert_eq!(to("FE2.verbund.test", 100, 10).await, ["14"]);
    assert_eq!(to("fe2.verbund.test", 101, 10).await, [""; 0]);
    assert_eq!(to("sip:verbund.test", 0, 10).await, [""; 0], "another name comes first");
    assert_eq!(to("sip.verbund.test", 0, 2).await.len(), 2);
}

async fn revocation_is_for_good_and_said_once(store: &impl IssuanceLedger) {
    let (first, second) = (Serial::from_be_bytes(&[2]), Serial::from_be_bytes(&[3]));
    assert!(store.revoked(None, at(0)).await.unwrap().is_empty() && store.revocation(&first).await.unwrap().is_none());
    let done = store.revoke(&first, Reason::KeyCompromise, at(150)).await.unwrap();
    let again = store.revoke(&first, Reason::Superseded, at(160)).await.unwrap();
    assert!(done.is_new && !again.is_new && done.revision == again.revision);
    let kept = store.revocation(&first).await.unwrap().unwrap();
    assert_eq!((kept.reason, kept.revoked_at, kept.not_after), (Reason::KeyCompromise, at(150), at(900)));
    store.revoke(&second, Reason::CessationOfOperation, at(149)).await.unwrap();
    let of = async |issuer, since| {
        let all: Vec<_> = store.revoked(issuer, at(since)).await.unwrap();
        all.iter().map(|one| one.serial.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(of(None, 0).await, ["03", "02"]);
    assert_eq!(of(Some("CN=issuing"), 300).await, ["03", "02"]);
    assert_eq!(of(Some("CN=issuing"), 301).await, ["02"]);
    assert_eq!(of(Some("CN=other"), 0).await, [""; 0]);
    let unknown = store.revoke(&Serial::from_be_bytes(&[99]), Reason::Unspecified, at(150)).await;
    assert!(matches!(unknown, Err(Error::NoSuchCertificate(serial)) if serial == Serial::from_be_bytes(&[99])));
    let standing = serials(&store.standing_of("sip.verbund.test", at(150), 10).await.unwrap());
    assert_eq!(standing, ["01", "04"]);
    assert!(store.certificate(&first).await.unwrap().is_some(), "the ledger forgets nothing");
}

async fn who_was_cut_off_is_known_until_something_new_is_issued(store: &impl IssuanceLedger) {
    let of = |number, names: &[&str], not_after| Issued {
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        ..issued(number, 100, not_after)
    };
    let cut_off = async |now| store.cut_off(at(now)).await.unwrap();
    let revoke = async |number: u8| store.revoke(&Serial::from_be_bytes(&[number]), Reason::Superseded, at(150)).await.unwrap();
    for one in [of(30, &["Fe7.verbund.test"], 900), of(31, &["fe7.verbund.test"], 950)] {
        store.record_issued(&one, at(100)).await.unwrap();
    }
    assert_eq!(cut_off(160).await, [""; 0]);
    // The older one alone: that is a renewal, also when the newer one has ended long ago.
    revoke(30).await;
    assert_eq!((cut_off(160).await, cut_off(5000).await), (vec![], vec![]));
    revoke(31).await;
    // Whoever has its name as a second one (that of a pool) speaks for itself only.
    store.record_issued(&of(32, &["fe8.verbund.test", "fe7.verbund.test"], 9000), at(200)).await.unwrap();
    assert_eq!((cut_off(160).await, cut_off(5000).await), (vec!["fe7.verbund.test".to_owned()], vec!["fe7.verbund.test".to_owned()]));
    store.record_issued(&of(33, &["fe7.verbund.test"], 990), at(200)).await.unwrap();
    assert_eq!((cut_off(160).await, cut_off(5000).await), (vec![], vec![]));
    revoke(33).await;
    assert_eq!(cut_off(160).await, ["fe7.verbund.test"]);
    let holders = async |now| store.holders(Role::Server, at(now)).await.unwrap();
    let holds = async |name: &str, now| holders(now).await.iter().any(|holder| holder == name);
    assert!(!holds("fe7.verbund.test", 160).await, "what was revoked is not held, nor what names it second");
    assert!(holds("fe8.verbund.test", 160).await && !holds("fe8.verbund.test", 9001).await);
    // The newest is gone, and an older one still stands.
    for one in [of(34, &["fe9.verbund.test"], 900), of(35, &["fe9.verbund.test"], 950)] {
        store.record_issued(&one, at(100)).await.unwrap();
    }
    revoke(35).await;
    assert_eq!(cut_off(160).await, ["fe7.verbund.test"]);
    assert_eq!(cut_off(901).await, ["fe7.verbund.test", "fe9.verbund.test"]);
}

#[tokio::test]
async fn the_embedded_store_in_memory_keeps_its_promises() {
    battery(&Embedded::in_memory().unwrap()).await;
}

#[tokio::test]
async fn the_embedded_store_on_disk_keeps_its_promises() {
    let directory = tempfile::tempdir().unwrap();
    let store = Embedded::create(&directory.path().join("state.sqlite")).unwrap();
    battery(&store).await;
    store.close().await;
    assert!(matches!(store.users().await, Err(Error::Closed)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_callers_at_once_each_get_their_own_answer() {
    let directory = tempfile::tempdir().unwrap();
    let store = Embedded::create(&directory.path().join("state.sqlite")).unwrap();
    let tasks: Vec<_> = (0..600)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move {
                let name = format!("user{}", n % 300);
                store.add_user(&aor(&name), &credential(&name, "p"), None, at(n)).await
            })
        })
        .collect();
    let mut made = 0;
    for task in tasks {
        match task.await.unwrap() {
            Ok(_) => made += 1,
            Err(error) => assert!(matches!(error, Error::UserExists(_)), "{error}"),
        }
    }
    assert_eq!((made, store.users().await.unwrap().len()), (300, 300));
}
