//! RFC 3261 §10.3: what a REGISTER does, and what it must not.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod common;

use std::time::{Duration, Instant};

use bytes::Bytes;
use common::{DOMAIN, register, request, start, user};
use registrar::{Flow, Limits, RegisterFault, Registered, Registrar};
use sip::{Message, Name, Status};

const FLOW: Flow = Flow(1);

/// One registrar, one user, one flow, and a clock that stands until moved.
struct Desk {
    registrar: Registrar,
    now: Instant,
    cseq: u32,
}

impl Desk {
    fn new() -> Self {
        Self { registrar: Registrar::new(DOMAIN, Limits::DEFAULT), now: start(), cseq: 0 }
    }

    fn register_over(&mut self, flow: Flow, lines: &[&str]) -> Result<Registered, RegisterFault> {
        self.cseq += 1;
        self.registrar.register(&register(self.cseq, lines), &user("alice"), flow, self.now)
    }

    fn register(&mut self, lines: &[&str]) -> Result<Registered, RegisterFault> {
        self.register_over(FLOW, lines)
    }

    fn after(&mut self, secs: u64) -> &mut Self {
        self.now += Duration::from_secs(secs);
        self
    }

    /// The targets' URIs, best first.
    fn uris(&self) -> Vec<String> {
        self.registrar.targets(&user("alice"), None, self.now).into_iter().map(|target| target.uri).collect()
    }
}

/// A first REGISTER with these lines is answered with these Contact values.
fn check(lines: &[&str], contacts: &[&str]) {
    let mut desk = Desk::new();
    assert_eq!(desk.register(lines).map(|ok| ok.contacts), Ok(contacts.iter().map(|&c| c.to_owned()).collect()), "{lines:?}");
}

/// A first REGISTER with these lines is refused with this status, and nothing is bound.
fn check_refused(lines: &[&str], status: Status) -> RegisterFault {
    let mut desk = Desk::new();
    let fault = desk.register(lines).unwrap_err();
    assert_eq!(fault.status(), status, "{lines:?}: {fault}");
    assert!(desk.registrar.is_empty() && desk.registrar.poll_timeout().is_none());
    assert_eq!(desk.registrar.counters().refused, 1);
    fault
}

#[test]
fn a_contact_is_bound_for_an_hour_unless_it_says_otherwise() {
    check(&["Contact: <sip:alice@192.0.2.4>"], &["<sip:alice@192.0.2.4>;expires=3600"]);
    check(&["Contact: <sip:alice@192.0.2.4>", "Expires: 600"], &["<sip:alice@192.0.2.4>;expires=600"]);
    check(&["Contact: <sip:alice@192.0.2.4>;expires=120", "Expires: 600"], &["<sip:alice@192.0.2.4>;expires=120"]);
}

#[test]
fn a_malformed_lifetime_counts_as_an_hour() {
    check(&["Contact: <sip:a@192.0.2.4>;expires=soon", "Expires: 600"], &["<sip:a@192.0.2.4>;expires=3600"]);
    check(&["Contact: <sip:a@192.0.2.4>", "Expires: -1"], &["<sip:a@192.0.2.4>;expires=3600"]);
    check(&["Contact: <sip:a@192.0.2.4>;expires=99999999999999999999"], &["<sip:a@192.0.2.4>;expires=3600"]);
}

#[test]
fn a_long_lifetime_is_shortened_and_a_short_one_refused() {
    check(&["Contact: <sip:a@192.0.2.4>;expires=86400"], &["<sip:a@192.0.2.4>;expires=3600"]);
    check(&["Contact: <sip:a@192.0.2.4>;expires=60"], &["<sip:a@192.0.2.4>;expires=60"]);
    let fault = check_refused(&["Contact: <sip:a@192.0.2.4>;expires=59"], Status::INTERVAL_TOO_BRIEF);
    assert_eq!(fault.header(), Some((Name::MinExpires, "60".to_owned())));
}

#[test]
fn several_contacts_are_bound_at_once() {
    check(
        &["Contact: <sip:a@192.0.2.4>;q=0.5, \"A, B\" <sip:b@192.0.2.5>", "m: sip:c@192.0.2.6;expires=60"],
        &["<sip:a@192.0.2.4>;expires=3600;q=0.500", "<sip:b@192.0.2.5>;expires=3600", "<sip:c@192.0.2.6>;expires=60"],
    );
}

#[test]
fn one_bad_contact_and_none_is_bound() {
    check_refused(&["Contact: <sip:a@192.0.2.4>, <sip:b@192.0.2.5>;expires=5"], Status::INTERVAL_TOO_BRIEF);
    check_refused(&["Contact: <sip:a@192.0.2.4>, <sip:b@192.0.2.5>;q=2"], Status::BAD_REQUEST);
    check_refused(&["Contact: <sip:a@192.0.2.4>, <mailto:a@verbund.test>"], Status::BAD_REQUEST);
}

#[test]
fn q_is_a_number_from_0_to_1() {
    for (text, shown) in [("0", ";q=0.000"), ("0.", ";q=0.000"), ("0.7", ";q=0.700"), ("0.123", ";q=0.123"), ("1", ""), ("1.000", "")] {
        let contact = format!("Contact: <sip:a@192.0.2.4>;q={text}");
        check(&[&contact], &[&format!("<sip:a@192.0.2.4>;expires=3600{shown}")]);
    }
    for text in ["1.1", "2", "-1", "0.1234", "0,5", "", "a", "00.5", "0.5e1", "1.001"] {
        let contact = format!("Contact: <sip:a@192.0.2.4>;q=\"{text}\"");
        check_refused(&[&contact.replace('"', "")], Status::BAD_REQUEST);
    }
}

#[test]
fn without_contact_the_bindings_are_told_and_nothing_changes() {
    let mut desk = Desk::new();
    assert_eq!(desk.register(&[]).unwrap().contacts, Vec::<String>::new());
    desk.register(&["Contact: <sip:a@192.0.2.4>"]).unwrap();
    assert_eq!(desk.after(100).register(&["Expires: 0"]).unwrap().contacts, ["<sip:a@192.0.2.4>;expires=3500"]);
}

#[test]
fn star_removes_everything() {
    let mut desk = Desk::new();
    desk.register(&["Contact: <sip:a@192.0.2.4>, <sip:b@192.0.2.4>"]).unwrap();
    assert_eq!(desk.register(&["Contact: *", "Expires: 0"]).unwrap().contacts, Vec::<String>::new());
    assert!(desk.registrar.is_empty());
}

#[test]
fn star_stands_alone_and_with_expires_0_only() {
    check_refused(&["Contact: *"], Status::BAD_REQUEST);
    check_refused(&["Contact: *", "Expires: 60"], Status::BAD_REQUEST);
    check_refused(&["Contact: *, <sip:a@192.0.2.4>", "Expires: 0"], Status::BAD_REQUEST);
    check_refused(&["Contact: <sip:a@192.0.2.4>", "Contact: *", "Expires: 0"], Status::BAD_REQUEST);
    check_refused(&["Contact: *, *", "Expires: 0"], Status::BAD_REQUEST);
    check_refused(&["Contact: *;expires=0"], Status::BAD_REQUEST);
}

#[test]
fn expires_0_removes_that_contact_only() {
    let mut desk = Desk::new();
    desk.register(&["Contact: <sip:a@192.0.2.4>, <sip:b@192.0.2.4>"]).unwrap();
    desk.register(&["Contact: <sip:A@192.0.2.4>;expires=0"]).unwrap();
    assert_eq!(desk.uris().len(), 2, "the user part of a URI has case");
    desk.register(&["Contact: <sip:a@192.0.2.4;x=y>;expires=0"]).unwrap();
    assert_eq!(desk.uris(), ["sip:b@192.0.2.4"], "an unknown parameter does not make another URI (RFC 3261 §19.1.4)");
    desk.register(&["Contact: <sip:nobody@192.0.2.4>;expires=0"]).unwrap();
    assert_eq!(desk.registrar.len(), 1);
}

#[test]
fn the_same_contact_by_rfc_3261_19_1_4_is_refreshed_not_doubled() {
    let mut desk = Desk::new();
    desk.register(&["Contact: <sip:%61@Phone.Example:5070;x=1>;expires=60"]).unwrap();
    assert_eq!(desk.register(&["Contact: <SIP:a@phone.example:5070>"]).unwrap().contacts, ["<SIP:a@phone.example:5070>;expires=3600"]);
    desk.register(&["Contact: <sip:a@phone.example>"]).unwrap();
    assert_eq!(desk.registrar.len(), 2, "without the port it is another URI");
    let counters = desk.registrar.counters();
    assert_eq!((counters.bound, counters.refreshed), (2, 1));
}

#[test]
fn an_older_request_of_the_same_call_changes_nothing() {
    let mut desk = Desk::new();
    let alice = user("alice");
    let mut send = |cseq, lines: &[&str]| {
        let request = register(cseq, lines);
        desk.registrar.register(&request, &alice, FLOW, desk.now).map(|ok| ok.contacts.len()).map_err(|fault| fault.status())
    };
    assert_eq!(send(5, &["Contact: <sip:a@192.0.2.4>"]), Ok(1));
    assert_eq!(send(5, &["Contact: <sip:a@192.0.2.4>;expires=0"]), Err(Status::SERVER_INTERNAL_ERROR));
    assert_eq!(send(4, &["Contact: *", "Expires: 0"]), Err(Status::SERVER_INTERNAL_ERROR));
    assert_eq!(send(4, &["Contact: <sip:b@192.0.2.4>, <sip:a@192.0.2.4>"]), Err(Status::SERVER_INTERNAL_ERROR), "all or nothing");
    assert_eq!(send(4, &["Contact: <sip:b@192.0.2.4>"]), Ok(2), "the rule is about one binding");
    assert_eq!(send(1, &["Call-ID: other", "Contact: <sip:a@192.0.2.4>;expires=0"]), Ok(1), "another Call-ID is another client run");
}

#[test]
fn a_user_has_a_bounded_number_of_contacts() {
    let mut desk = Desk::new();
    for n in 0..10 {
        desk.register(&[&format!("Contact: <sip:a{n}@192.0.2.4>")]).unwrap();
    }
    let fault = desk.register(&["Contact: <sip:more@192.0.2.4>"]).unwrap_err();
    assert_eq!(fault, RegisterFault::TooManyBindings { bindings_max: 10 });
    assert_eq!(fault.status(), Status::FORBIDDEN);
    desk.register(&["Contact: <sip:a3@192.0.2.4>"]).unwrap();
    desk.register(&["Contact: <sip:a3@192.0.2.4>;expires=0, <sip:more@192.0.2.4>"]).unwrap();
    assert_eq!(desk.registrar.len(), 10);
    let eleven: Vec<String> = (0..11).map(|n| format!("<sip:b{n}@192.0.2.4>")).collect();
    check_refused(&[&format!("Contact: {}", eleven.join(","))], Status::FORBIDDEN);
}

#[test]
fn expired_contacts_do_not_count() {
    let mut desk = Desk::new();
    for n in 0..10 {
        desk.register(&[&format!("Contact: <sip:a{n}@192.0.2.4>;expires=60")]).unwrap();
    }
    assert_eq!(desk.after(60).register(&["Contact: <sip:more@192.0.2.4>"]).unwrap().contacts.len(), 1);
    assert_eq!(desk.registrar.counters().expired, 10);
}

#[test]
fn what_is_too_long_is_refused() {
    let long = "a".repeat(600);
    check_refused(&[&format!("Contact: <sip:{long}@192.0.2.4>")], Status::BAD_REQUEST);
    check_refused(&["Contact: <sip:a@192.0.2.4>", &format!("Call-ID: {long}")], Status::BAD_REQUEST);
    check_refused(&[&format!("Contact: <sip:a@192.0.2.4>;+sip.instance=\"<urn:{long}>\"")], Status::BAD_REQUEST);
    let path = format!("Path: <sip:{long}@192.0.2.1;lr>");
    check_refused(&["Contact: <sip:a@192.0.2.4>", "Supported: path", &path, &path], Status::BAD_REQUEST);
}

#[test]
fn contacts_that_are_not_sip_are_refused() {
    for contact in ["<tel:+4912345>", "<mailto:a@verbund.test>", "<http://verbund.test/>", "sip:", "<sip:a@b", "<sip:ä@192.0.2.4>", "<>"] {
        check_refused(&[&format!("Contact: {contact}")], Status::BAD_REQUEST);
    }
    check(&["Contact: <sips:a@192.0.2.4>"], &["<sips:a@192.0.2.4>;expires=3600"]);
}

#[test]
fn users_register_their_own_address_only() {
    let mut desk = Desk::new();
    for (to, status) in [("bob", Status::FORBIDDEN), ("nobody-at-all", Status::FORBIDDEN), ("a%00b", Status::FORBIDDEN)] {
        let request = request("REGISTER", "alice", to, 1, &["Contact: <sip:a@192.0.2.4>"]);
        let fault = desk.registrar.register(&request, &user("alice"), FLOW, desk.now).unwrap_err();
        assert_eq!(fault.status(), status, "{to}");
    }
    let text = register(1, &["Contact: <sip:a@192.0.2.4>"]).as_bytes().clone();
    let foreign = String::from_utf8(text.to_vec()).unwrap().replace("To: <sip:alice@verbund.test>", "To: <sip:alice@other.test>");
    let foreign = Message::parse(Bytes::from(foreign)).unwrap();
    let fault = desk.registrar.register(&foreign, &user("alice"), FLOW, desk.now).unwrap_err();
    assert_eq!((fault.status(), desk.registrar.len()), (Status::NOT_FOUND, 0));
}

#[test]
fn extensions_we_do_not_know_are_named() {
    let fault = check_refused(&["Require: path, foo, outbound", "Require: bar"], Status::BAD_EXTENSION);
    assert_eq!(fault.header(), Some((Name::Unsupported, "foo, bar".to_owned())));
    check(&["Require: path, gruu"], &[]);
}

#[test]
fn the_path_is_kept_in_order_and_given_back() {
    let mut desk = Desk::new();
    let path = ["Path: <sip:p2.verbund.test;lr>, <sip:p1.verbund.test;lr;ob>;x=\"a, b\"", "Path: <sip:p0.verbund.test;lr>"];
    let expected = ["<sip:p2.verbund.test;lr>", "<sip:p1.verbund.test;lr;ob>", "<sip:p0.verbund.test;lr>"];
    let registered = desk.register(&[path[0], path[1], "Supported: path", "Contact: <sip:a@192.0.2.4>"]).unwrap();
    assert_eq!(registered.path, expected);
    assert_eq!(desk.registrar.targets(&user("alice"), None, desk.now)[0].path, expected);
    let names: Vec<Name> = registered.headers().map(|(name, _)| name).collect();
    assert_eq!(names, [Name::Contact, Name::Path, Name::Path, Name::Path, Name::Supported]);
    desk.register(&["Contact: <sip:a@192.0.2.4>"]).unwrap();
    assert!(desk.registrar.targets(&user("alice"), None, desk.now)[0].path.is_empty(), "a refresh without Path takes it away");
}

#[test]
fn a_path_for_a_client_that_does_not_know_of_it_is_refused() {
    let fault = check_refused(&["Path: <sip:p1.verbund.test;lr>", "Contact: <sip:a@192.0.2.4>"], Status::EXTENSION_REQUIRED);
    assert_eq!(fault.header(), Some((Name::Require, "path".to_owned())));
    check_refused(&["Path: sip", "Supported: path", "Contact: <sip:a@192.0.2.4>"], Status::BAD_REQUEST);
}

#[test]
fn a_binding_ends_when_its_time_is_over() {
    let mut desk = Desk::new();
    assert_eq!(desk.registrar.poll_timeout(), None);
    desk.register(&["Contact: <sip:a@192.0.2.4>;expires=60, <sip:b@192.0.2.4>;expires=90"]).unwrap();
    assert_eq!(desk.registrar.poll_timeout(), Some(desk.now + Duration::from_secs(60)));
    desk.after(59);
    desk.registrar.handle_timeout(desk.now);
    assert_eq!(desk.registrar.len(), 2);
    desk.after(1);
    assert_eq!(desk.uris(), ["sip:b@192.0.2.4"], "even before anybody cleaned up");
    desk.registrar.handle_timeout(desk.now);
    assert_eq!((desk.registrar.len(), desk.registrar.counters().expired), (1, 1));
    assert_eq!(desk.registrar.poll_timeout(), Some(desk.now + Duration::from_secs(30)));
    desk.register(&["Contact: <sip:b@192.0.2.4>;expires=3600"]).unwrap();
    assert_eq!(desk.registrar.poll_timeout(), Some(desk.now + Duration::from_secs(3600)));
}

#[test]
fn targets_are_sorted_by_preference_then_by_how_new_they_are() {
    let mut desk = Desk::new();
    desk.register(&["Contact: <sip:low@192.0.2.4>;q=0.1, <sip:high@192.0.2.4>;q=0.9"]).unwrap();
    desk.register(&["Contact: <sip:old@192.0.2.4>;q=0.5"]).unwrap();
    desk.register(&["Contact: <sip:new@192.0.2.4>;q=0.5"]).unwrap();
    let users: Vec<String> = desk.uris().iter().map(|uri| uri[4..uri.len() - 10].to_owned()).collect();
    assert_eq!(users, ["high", "new", "old", "low"]);
    assert!(desk.registrar.targets(&user("bob"), None, desk.now).is_empty());
}

#[test]
fn a_removed_user_is_reached_no_more() {
    let mut desk = Desk::new();
    desk.register(&["Contact: <sip:a@192.0.2.4>, <sip:b@192.0.2.4>"]).unwrap();
    assert_eq!(desk.registrar.drop_user(&user("bob")), 0);
    assert_eq!(desk.registrar.drop_user(&user("alice")), 2);
    assert!(desk.uris().is_empty() && desk.registrar.is_empty() && desk.registrar.poll_timeout().is_none());
    assert_eq!(desk.registrar.drop_flow(FLOW), 0);
}

#[test]
fn the_administrator_sees_who_is_where() {
    let mut desk = Desk::new();
    desk.register(&["Contact: <sip:a@192.0.2.4;x=y>", "User-Agent: Phone/1.0 (a\tb)"]).unwrap();
    desk.after(10);
    let rows = desk.registrar.registrations(desk.now);
    assert_eq!(rows.len(), 1);
    assert_eq!((rows[0].aor.as_str(), rows[0].contact.as_str()), ("sip:alice@verbund.test", "sip:a@192.0.2.4;x=y"));
    assert_eq!((rows[0].flow, rows[0].expires_in.as_secs(), rows[0].user_agent.as_str()), (FLOW, 3590, "Phone/1.0 (a"));
    desk.after(3590);
    assert!(desk.registrar.registrations(desk.now).is_empty());
}

// The three REGISTERs of RFC 4475 that are about contacts, in words of our own.

#[test]
fn a_parameter_after_a_bare_uri_is_the_headers_not_the_uris() {
    check(&["Contact: sip:+19725552222@gw.example;strange"], &["<sip:+19725552222@gw.example>;expires=3600"]);
}

#[test]
fn a_parameter_inside_the_brackets_is_the_uris_and_is_kept() {
    check(&["Contact: <sip:+19725552222@gw.example;strange>"], &["<sip:+19725552222@gw.example;strange>;expires=3600"]);
}

#[test]
fn headers_in_a_contact_are_kept_but_never_steer_a_request() {
    let mut desk = Desk::new();
    let registered = desk.register(&["Contact: <sip:a@192.0.2.4?Route=%3Csip:evil.example%3E>"]).unwrap();
    assert_eq!(registered.contacts, ["<sip:a@192.0.2.4?Route=%3Csip:evil.example%3E>;expires=3600"]);
    assert_eq!(desk.uris(), ["sip:a@192.0.2.4"]);
    desk.register(&["Contact: <sip:b@192.0.2.4;method=INVITE;x=\"y\";ob?a=b>;q=0.1"]).unwrap_err();
    desk.register(&["Contact: <sip:b@192.0.2.4;method=INVITE;x=y;ob?a=b>;q=0.1"]).unwrap();
    assert_eq!(desk.uris(), ["sip:a@192.0.2.4", "sip:b@192.0.2.4;x=y;ob"]);
}

#[test]
fn headers_in_a_contact_without_brackets_are_refused() {
    check_refused(&["Contact: sip:a@192.0.2.4?Route=%3Csip:evil.example%3E"], Status::BAD_REQUEST);
}

/// The corpus is not part of this repository: `VERBUND_CORPUS`, or `../shared/corpus` beside it.
#[test]
fn the_registers_of_rfc_4475_are_taken_as_it_says() {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/corpus");
    let corpus = std::env::var("VERBUND_CORPUS").unwrap_or_else(|_| beside.to_owned());
    let contacts = |file: &str, name: &str| {
        let bytes = std::fs::read(format!("{corpus}/rfc4475/{file}.dat")).ok()?;
        let message = Message::parse(Bytes::from(bytes)).unwrap();
        let mut registrar = Registrar::new("example.com", Limits::DEFAULT);
        Some(registrar.register(&message, &user(name), FLOW, start()).map(|ok| ok.contacts.join("")).map_err(|fault| fault.status()))
    };
    let Some(first) = contacts("cparam01", "watson") else {
        return eprintln!("skipped: no corpus in {corpus}");
    };
    assert_eq!(first, Ok("<sip:+19725552222@gw1.example.net>;expires=3600".to_owned()));
    let second = "<sip:+19725552222@gw1.example.net;unknownparam>;expires=3600";
    assert_eq!(contacts("cparam02", "watson"), Some(Ok(second.to_owned())));
    let escaped = "<sip:user@example.com?Route=%3Csip:sip.example.com%3E>;expires=3600";
    assert_eq!(contacts("regescrt", "user"), Some(Ok(escaped.to_owned())));
    assert_eq!(contacts("regbadct", "user"), Some(Err(Status::BAD_REQUEST)));
}
