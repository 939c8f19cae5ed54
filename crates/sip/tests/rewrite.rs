//! Forwarding copies through and changes only what was planned; what is written can be read again.

#![allow(clippy::unwrap_used, missing_docs)]

use sip::{Message, Name, Reply, Rewrite, Status, ack_for_failure, cancel};

const REQUEST: &str = "INVITE sip:b@h SIP/2.0\r\n\
    Via: SIP/2.0/TLS p;branch=z9hG4bKa\r\n\
    v: SIP/2.0/TLS q;branch=z9hG4bKb, SIP/2.0/TLS r;branch=z9hG4bKc\r\n\
    Route: <sip:s1;lr>, <sip:s2;lr>,\r\n <sip:s3;lr>\r\n\
    ROUTE : <sip:s4;lr>\r\n\
    Max-Forwards: 70\r\n\
    f: <sip:a@h>;tag=1\r\n\
    To: <sip:b@h>\r\n\
    i: 1\r\n\
    CSeq: 1 INVITE\r\n\
    P-Asserted-Identity: <sip:x@h>\r\n\
    x-ODD:   kept as is  \r\n\
    p-asserted-identity: <tel:1>\r\n\
    l: 4\r\n\
    \r\n\
    body";

fn message() -> Message {
    Message::parse(REQUEST.into()).unwrap()
}

/// The request after the changes is the request with these texts exchanged.
#[track_caller]
fn check(change: impl for<'m> FnOnce(&mut Rewrite<'m>), exchanged: &[(&str, &str)]) {
    let message = message();
    let mut rewrite = Rewrite::of(&message);
    change(&mut rewrite);
    let wanted = exchanged.iter().fold(REQUEST.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from}");
        text.replacen(from, to, 1)
    });
    assert_eq!(String::from_utf8(rewrite.to_bytes().to_vec()).unwrap(), wanted);
}

macro_rules! change {
    ($($call:tt)*) => { |rewrite| { rewrite.$($call)*; } };
}

#[test]
fn without_a_change_all_bytes_are_the_same() {
    check(|_| {}, &[]);
}

#[test]
fn new_fields_stand_above_their_kind_or_at_the_end() {
    check(change!(push(Name::Via, "new")), &[("Via: SIP", "Via: new\r\nVia: SIP")]);
    check(change!(push(Name::Route, "new")), &[("Route: <", "Route: new\r\nRoute: <")]);
    check(
        change!(push(Name::RecordRoute, "1").push(Name::RecordRoute, "2")),
        &[("l: 4\r\n", "l: 4\r\nRecord-Route: 1\r\nRecord-Route: 2\r\n")],
    );
    check(change!(push(Name::Via, "1").push(Name::Via, "2")), &[("Via: SIP", "Via: 1\r\nVia: 2\r\nVia: SIP")]);
    check(change!(push_named("X-New", "1").push(Name::Path, "2")), &[("l: 4\r\n", "l: 4\r\nX-New: 1\r\nPath: 2\r\n")]);
}

#[test]
fn values_are_popped_one_by_one() {
    check(change!(pop(Name::Via)), &[("Via: SIP/2.0/TLS p;branch=z9hG4bKa\r\n", "")]);
    check(
        change!(pop(Name::Via).pop(Name::Via)),
        &[("Via: SIP/2.0/TLS p;branch=z9hG4bKa\r\n", ""), ("SIP/2.0/TLS q;branch=z9hG4bKb, ", "")],
    );
    check(change!(pop(Name::Route)), &[("<sip:s1;lr>, ", "")]);
    check(change!(pop(Name::Route).pop(Name::Route)), &[("<sip:s1;lr>, <sip:s2;lr>,\r\n ", "")]);
    let all_of_the_first = ("Route: <sip:s1;lr>, <sip:s2;lr>,\r\n <sip:s3;lr>\r\n", "");
    check(change!(pop(Name::Route).pop(Name::Route).pop(Name::Route)), &[all_of_the_first]);
    let every = [all_of_the_first, ("ROUTE : <sip:s4;lr>\r\n", "")];
    check(change!(pop(Name::Route).pop(Name::Route).pop(Name::Route).pop(Name::Route)), &every);
    check(change!(pop(Name::Route).pop(Name::Route).pop(Name::Route).pop(Name::Route).pop(Name::Route)), &every);
    check(change!(pop(Name::Path)), &[]);
}

#[test]
fn every_spelling_of_a_name_is_removed() {
    let gone = [("P-Asserted-Identity: <sip:x@h>\r\n", ""), ("p-asserted-identity: <tel:1>\r\n", "")];
    check(change!(remove(Name::PAssertedIdentity)), &gone);
    check(change!(remove(Name::PAssertedIdentity).remove(Name::PAssertedIdentity)), &gone);
    check(change!(remove(Name::From)), &[("f: <sip:a@h>;tag=1\r\n", "")]);
    check(change!(remove_named("X-Odd")), &[("x-ODD:   kept as is  \r\n", "")]);
    check(change!(remove_where(Name::PAssertedIdentity, |value| value.contains("tel"))), &gone[1..]);
    check(change!(remove(Name::Other)), &[]);
}

#[test]
fn of_two_changes_to_one_field_the_later_counts() {
    check(change!(set(Name::MaxForwards, "69").set(Name::MaxForwards, "68")), &[("70", "68")]);
    check(change!(remove(Name::MaxForwards).set(Name::MaxForwards, "68")), &[("70", "68")]);
    check(change!(set(Name::MaxForwards, "68").remove(Name::MaxForwards)), &[("Max-Forwards: 70\r\n", "")]);
    check(
        change!(set(Name::Route, "<sip:z>").pop(Name::Route)),
        &[("Route: <sip:s1;lr>, <sip:s2;lr>,\r\n <sip:s3;lr>\r\n", "")].map(|(from, _)| (from, "Route: <sip:s2;lr>,\r\n <sip:s3;lr>\r\n")),
    );
    check(change!(pop(Name::Route).set(Name::Route, "<sip:z>")), &[("<sip:s1;lr>, <sip:s2;lr>,\r\n <sip:s3;lr>", "<sip:z>")]);
    check(change!(request_uri("sip:c@h").request_uri("sip:d@h")), &[("sip:b@h SIP", "sip:d@h SIP")]);
}

#[test]
fn changes_of_one_place_keep_their_order() {
    check(change!(pop(Name::Via).push(Name::Via, "new")), &[("SIP/2.0/TLS p;branch=z9hG4bKa", "new")]);
    check(change!(push(Name::Via, "new").pop(Name::Via)), &[("SIP/2.0/TLS p;branch=z9hG4bKa", "new")]);
    check(
        change!(remove(Name::Route).push(Name::Route, "new")),
        &[("Route: <sip:s1;lr>, <sip:s2;lr>,\r\n <sip:s3;lr>\r\n", "Route: new\r\n"), ("ROUTE : <sip:s4;lr>\r\n", "")],
    );
    check(change!(push(Name::MaxForwards, "1").set(Name::MaxForwards, "2")), &[("Max-Forwards: 70", "Max-Forwards: 1\r\nMax-Forwards: 2")]);
    check(change!(set(Name::Expires, "5")), &[("l: 4\r\n", "l: 4\r\nExpires: 5\r\n")]);
}

#[test]
fn an_unusual_length_leaves_in_plain_spelling() {
    for line in ["Content-Length : 4", "l\t:4", "L:\r\n 4", "Content-Length: 0004", "content-length:  4", "l: 4 "] {
        let text = REQUEST.replace("l: 4", line);
        let message = Message::parse(text.clone().into()).unwrap();
        let written = Rewrite::of(&message).to_bytes();
        let plain = if line == "Content-Length: 0004" { "Content-Length: 0004" } else { "Content-Length: 4" };
        assert_eq!(written, text.replace(line, plain), "{line}");
    }
    for line in ["Content-Length: 4", "content-length:4", "L: 4"] {
        let text = REQUEST.replace("l: 4", line);
        assert_eq!(Rewrite::of(&Message::parse(text.clone().into()).unwrap()).to_bytes(), text);
    }
}

#[test]
fn no_value_adds_a_line() {
    let message = message();
    for evil in ["x\r\nEvil: 1", "x\nEvil: 1", "x\rEvil: 1", "\r\n\r\nBYE", "x\r\n \r\nEvil: 1", "x\r\n\r\n y"] {
        let mut rewrite = Rewrite::of(&message);
        rewrite.push(Name::Path, evil).set(Name::MaxForwards, evil).push_named("X", evil).push_named(evil, "y").request_uri(evil);
        let changed = Message::parse(rewrite.to_bytes()).unwrap();
        assert_eq!(changed.fields().count(), message.fields().count() + 2, "{evil:?}");
        assert!(changed.fields().all(|field| field.raw_name != "Evil"));
        assert_eq!(changed.body(), message.body());
        let reply = Reply::with_phrase(&message, Status::OK, evil, evil).header(Name::Contact, evil).header_named("X", evil);
        let reply = Message::parse(reply.header_named(evil, "y").header(Name::Other, "y").finish()).unwrap();
        assert!(reply.fields().all(|field| field.raw_name != "Evil"), "{evil:?}");
        assert!(reply.body().is_empty());
    }
}

#[test]
fn folds_are_no_injection() {
    let message = message();
    let mut rewrite = Rewrite::of(&message);
    rewrite.push(Name::Path, "<sip:a>,\r\n <sip:b>");
    assert_eq!(Message::parse(rewrite.to_bytes()).unwrap().list(Name::Path).collect::<Vec<_>>(), ["<sip:a>", "<sip:b>"]);
}

mod replies {
    use super::*;

    #[test]
    fn a_reply_bears_what_ties_it_to_its_request() {
        let message = message();
        let reply = Message::parse(Reply::to(&message, Status::NOT_FOUND, "t1").finish()).unwrap();
        reply.validate().unwrap();
        assert_eq!(reply.status(), Some(Status::NOT_FOUND));
        assert_eq!(reply.reason_phrase(), "Not Found");
        assert_eq!(reply.list(Name::Via).collect::<Vec<_>>(), message.list(Name::Via).collect::<Vec<_>>());
        assert_eq!((reply.first(Name::To), reply.first(Name::From)), (Some("<sip:b@h>;tag=t1"), Some("<sip:a@h>;tag=1")));
        assert_eq!((reply.call_id(), reply.method()), (Ok("1"), "INVITE"));
    }

    #[test]
    fn a_tag_is_added_once_and_not_to_100() {
        let message = message();
        let to = |reply: Reply<'_>| Message::parse(reply.finish()).unwrap().first(Name::To).unwrap().to_owned();
        assert_eq!(to(Reply::to(&message, Status::TRYING, "t1")), "<sip:b@h>");
        let tagged = Message::parse(REQUEST.replace("To: <sip:b@h>", "To: <sip:b@h>;tag=9").into()).unwrap();
        assert_eq!(to(Reply::to(&tagged, Status::OK, "t1")), "<sip:b@h>;tag=9");
    }

    #[test]
    fn headers_and_bodies_are_added() {
        let message = message();
        let reply = Reply::to(&message, Status::OK, "t").header(Name::Contact, "<sip:c@h>").header_named("X-Y", "z").copy(Name::Route);
        let reply = Message::parse(reply.header_named("content-length", "7").finish_with("text/plain", b"hello\0")).unwrap();
        assert_eq!((reply.first(Name::Contact), reply.body()), (Some("<sip:c@h>"), &b"hello\0"[..]));
        assert_eq!(reply.list(Name::Route).count(), 4);
        assert!(reply.fields().any(|field| field.raw_name == "X-Y"));
        reply.validate().unwrap();
    }
}

mod hop_requests {
    use super::*;

    #[test]
    fn a_cancel_is_its_requests_twin() {
        let message = message();
        let cancel = Message::parse(cancel(&message)).unwrap();
        cancel.validate().unwrap();
        assert_eq!((cancel.method(), cancel.request_uri_text()), ("CANCEL", "sip:b@h"));
        assert_eq!(cancel.list(Name::Via).collect::<Vec<_>>(), ["SIP/2.0/TLS p;branch=z9hG4bKa"]);
        assert_eq!(cancel.list(Name::Route).count(), 4);
        assert_eq!((cancel.cseq().unwrap().number, cancel.first(Name::To)), (1, Some("<sip:b@h>")));
    }

    #[test]
    fn an_ack_bears_the_tag_of_the_answer() {
        let message = message();
        let reply = Message::parse(Reply::to(&message, Status::BUSY_HERE, "t1").finish()).unwrap();
        let ack = Message::parse(ack_for_failure(&message, &reply)).unwrap();
        ack.validate().unwrap();
        assert_eq!((ack.method(), ack.to().unwrap().tag()), ("ACK", Some("t1")));
    }
}
