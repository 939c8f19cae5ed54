//! Our own messages for every point that RFC 4475 makes, and for those it leaves out: each yes has its no.

#![allow(clippy::unwrap_used, missing_docs)]

use bytes::Bytes;
use sip::{Fault, Message, Name, Reason, Scheme, Status};

/// A request in order; the cases change a line of it.
const REQUEST: &str = "INVITE sip:bert@example.com SIP/2.0\r\n\
    Via: SIP/2.0/TLS phone.example.com:5061;branch=z9hG4bKa1\r\n\
    Max-Forwards: 70\r\n\
    From: \"Anna\" <sip:anna@example.com>;tag=a1\r\n\
    To: <sip:bert@example.com>\r\n\
    Call-ID: a1@phone.example.com\r\n\
    CSeq: 1 INVITE\r\n\
    Contact: <sip:anna@phone.example.com:5061;transport=tls>\r\n\
    Content-Length: 0\r\n\r\n";

/// A response in order.
fn response() -> String {
    REQUEST.replace("INVITE sip:bert@example.com SIP/2.0", "SIP/2.0 200 OK").replace("Max-Forwards: 70\r\n", "")
}

fn register() -> String {
    REQUEST.replace("INVITE", "REGISTER")
}

fn read(text: &str) -> Result<Message, Fault> {
    let message = Message::parse(Bytes::copy_from_slice(text.as_bytes()))?;
    message.validate().map(|()| message)
}

#[track_caller]
fn accepted(text: &str) -> Message {
    read(text).unwrap_or_else(|fault| panic!("{fault}: {text}"))
}

#[track_caller]
fn refused(text: &str, reason: Reason) {
    assert_eq!(read(text).map_err(|fault| fault.reason).err(), Some(reason), "{text}");
}

/// The request with one text in it changed.
fn with(from: &str, to: &str) -> String {
    assert!(REQUEST.contains(from), "{from}");
    REQUEST.replace(from, to)
}

/// The request with a line more.
fn and(line: &str) -> String {
    with("Content-Length", &format!("{line}\r\nContent-Length"))
}

mod accepted_whatever_the_spelling {
    use super::*;

    #[test]
    fn folds_white_space_and_compact_forms() {
        let text = "INVITE sip:b@example.com;x SIP/2.0\r\nt :\r\n sip:b@example.com ;  tag  = 1n\r\n\
            F : \"A \\\\\\\"\"    <sip:a@example.com>\r\n  ;\r\n  tag = 9\r\nmAX-fORWARDS: 0068\r\ni: x\r\ncseq: 0009\r\n  INVITE\r\n\
            V  : SIP  /   2.0\r\n /TLS\r\n    h;branch=z9hG4bKx ,\r\n SIP / 2.0 / TCP 192.0.2.1\r\ns :\r\nnew: a\r\n b\r\n\
            odd: ;;,,;;,;\r\nRoute:\r\n <sip:s;lr>\r\nl : 0\r\nm:\"Q \\\"\\\"\" <sip:a@h> ; p =\r\n  v ;\r\n  s ; q = 0.33\r\n\r\n";
        let message = accepted(text);
        assert_eq!(message.max_forwards(), Ok(Some(68)));
        assert_eq!(message.cseq().unwrap().number, 9);
        assert_eq!(message.to().unwrap().tag(), Some("1n"));
        assert_eq!(message.from().unwrap().tag(), Some("9"));
        assert_eq!(message.vias().count(), 2);
        assert_eq!(message.via().unwrap().branch(), Some("z9hG4bKx"));
        let contact = message.addresses(Name::Contact).next().unwrap().unwrap();
        assert_eq!((contact.params.value("q"), contact.params.value("p")), (Some("0.33"), Some("v")));
        assert_eq!(message.fields().find(|field| field.raw_name == "odd").unwrap().value, ";;,,;;,;");
        assert_eq!(message.first(Name::Subject), Some(""));
    }

    #[test]
    fn every_character_that_a_token_may_have() {
        let method = "!odd-Method0123456789_*+`.%indeed'~";
        let text = REQUEST.replace("INVITE", method).replace("sip:bert@", "sip:1_odd~(a!b)&c+d$/e?f,/;;*:&g+h=1,i!*j$k~l_m.(n'o)@");
        assert_eq!(accepted(&text).method(), method);
        let text = and("odd-!.%*+_`'~: \u{fffd}\u{5927}").replace("To: <", "To: \"\\\u{7}\\\0\\\u{7f}\" <");
        accepted(&text);
        let text = with("Call-ID: a1@phone.example.com", "Call-ID: a%ZK-!.*_+'@b`~)(><:\\/\"][?}{");
        accepted(&text);
    }

    #[test]
    fn escapes_are_data() {
        let message = accepted(&with("sip:bert@example.com SIP", "sip:sips%3Ab%40example.com@example.com SIP"));
        assert_eq!(message.request_uri().unwrap().user, Some("sips%3Ab%40example.com"));
        accepted(&with("sip:bert@example.com SIP", "sip:null-%00-null@example.com SIP"));
        let message = accepted(&REQUEST.replace("INVITE", "IN%56ITE"));
        assert_eq!(message.method(), "IN%56ITE");
        let message = accepted(&and("C%6Fntact: <sip:x@y>"));
        assert_eq!(message.all(Name::Contact).count(), 1);
        assert_eq!(accepted(&with("\"Anna\"", "\"%Z%45\"")).from().unwrap().display, "\"%Z%45\"");
    }

    #[test]
    fn a_name_may_touch_its_bracket() {
        assert_eq!(accepted(&with("\"Anna\" <", "caller<")).from().unwrap().display, "caller");
    }

    #[test]
    fn long_values_and_many_hops() {
        let vias: String = (0..60).map(|n| format!("{}: SIP/2.0/TCP h{n}.example.com\r\n", ["Via", "v", "V ", "ViA"][n % 4])).collect();
        let text = with("Max-Forwards", &format!("{vias}Max-Forwards")).replace("Anna", &"extreme".repeat(200));
        let message = accepted(&text.replace("a1@phone", &"long".repeat(300)));
        assert_eq!(message.vias().flatten().count(), 61);
    }

    #[test]
    fn marks_in_the_user_part() {
        let message = accepted(&with("sip:bert@example.com SIP", "sip:user;par=u%40example.net@example.com SIP"));
        assert_eq!(message.request_uri().unwrap().user, Some("user;par=u%40example.net"));
    }

    #[test]
    fn transports_nobody_here_speaks() {
        for transport in ["UDP", "SCTP", "TLS", "UNKNOWN", "TCP", "WSS"] {
            assert_eq!(accepted(&with("2.0/TLS", &format!("2.0/{transport}"))).via().unwrap().transport, transport);
        }
    }

    #[test]
    fn bodies_are_bytes() {
        let mut bytes = with("Length: 0", "Length: 4").into_bytes();
        bytes.extend(b"\xff\0\r\n");
        let message = Message::parse(bytes.clone().into()).unwrap();
        assert_eq!((message.validate(), message.body()), (Ok(()), &b"\xff\0\r\n"[..]));
        bytes.extend(b"INVITE more");
        assert_eq!(Message::parse(bytes.into()).unwrap().as_bytes(), message.as_bytes());
    }

    #[test]
    fn reason_phrases_of_any_kind() {
        assert_eq!(accepted(&response().replace("200 OK", "200 = 2**3 * 5**2 \u{441}\u{442}\u{43e}")).status(), Some(Status::OK));
        assert_eq!(accepted(&response().replace("200 OK", "100 ")).reason_phrase(), "");
    }

    #[test]
    fn clients_of_rfc_2543() {
        let text =
            with(";branch=z9hG4bKa1", "").replace("Max-Forwards: 70\r\n", "").replace(";tag=a1", "").replace("Content-Length: 0\r\n", "");
        let message = accepted(&text);
        assert_eq!((message.max_forwards(), message.from().unwrap().tag()), (Ok(None), None));
        assert_eq!(accepted(&with("z9hG4bKa1", "z9hG4bK")).via().unwrap().unique_branch(), None);
    }

    #[test]
    fn schemes_that_cannot_be_routed() {
        let message = accepted(&with("sip:bert@example.com SIP", "nobodyKnows:opaque SIP"));
        assert_eq!(message.request_uri().unwrap().scheme, Scheme::Other("nobodyKnows"));
        accepted(&with("sip:bert@example.com SIP", "soap.beep://192.0.2.103:3002 SIP"));
        accepted(&register().replace("<sip:bert@example.com>", "isbn:2983792873").replace("<sip:anna@phone", "<name:J"));
    }

    #[test]
    fn extensions_are_for_others_to_judge() {
        for line in [
            "Require: nothingSupportsThis",
            "Proxy-Require: a, b",
            "Authorization: NoOneKnows opaque=x",
            "Accept: text/nobody",
            "Max-Breadth: 60",
        ] {
            accepted(&and(line));
        }
        accepted(&with("Content-Length: 0", "Content-Type: application/unknown\r\nContent-Length: 0"));
        accepted(&with("Forwards: 70", "Forwards: 0"));
        accepted(&with("Forwards: 70", "Forwards: 255"));
    }

    #[test]
    fn parameters_without_brackets_are_the_headers() {
        let contact = |value: &str| {
            let message = accepted(&with("<sip:anna@phone.example.com:5061;transport=tls>", value));
            let contact = message.addresses(Name::Contact).next().unwrap().unwrap();
            (contact.params.has("x"), contact.uri.params.has("x"))
        };
        assert_eq!(contact("sip:a@h;x"), (true, false));
        assert_eq!(contact("<sip:a@h;x>"), (false, true));
        assert_eq!(contact("<sip:a@h?Route=%3Csip:s%3E>;x"), (true, false));
    }
}

mod refused_by_structure {
    use super::*;

    #[test]
    fn lengths() {
        refused(&with("Length: 0", "Length: 9999"), Reason::BodyShort);
        refused(&with("Length: 0", "Length: -999"), Reason::ContentLength);
        refused(&and("l: 5"), Reason::ContentLengthTwice);
    }

    #[test]
    fn start_lines() {
        refused(&with("sip:bert@example.com SIP", "<sip:bert@example.com> SIP"), Reason::RequestUri);
        refused(&with("sip:bert@example.com SIP", "sip:bert@example.com; lr SIP"), Reason::StartLine);
        refused(&with("INVITE sip:bert@example.com SIP", "INVITE  sip:bert@example.com  SIP"), Reason::StartLine);
        refused(&with("SIP/2.0\r\nVia", "SIP/2.0  \r\nVia"), Reason::StartLine);
        refused(&response().replace("200 OK", "4294967301 better not"), Reason::StatusCode);
        refused(&with("SIP/2.0\r\nVia", "SIP/7.0\r\nVia"), Reason::Version);
    }

    #[test]
    fn heads_without_an_end() {
        refused(REQUEST.strip_suffix("\r\n").unwrap(), Reason::Unterminated);
        refused("", Reason::Unterminated);
    }

    #[test]
    fn heads_that_are_not_text() {
        let mut bytes = REQUEST.as_bytes().to_vec();
        bytes[150] = 0xff;
        assert_eq!(Message::parse(bytes.into()).unwrap_err().reason, Reason::NotUtf8);
        refused(&and("X: a\0b"), Reason::Nul);
    }
}

mod refused_by_value {
    use super::*;

    #[test]
    fn vias() {
        for params in [";;,;,,", ";;", ";", ", ", ";branch=1;branch=2", ";a b"] {
            refused(&with(";branch=z9hG4bKa1", params), Reason::Malformed(Name::Via));
        }
        refused(&with("SIP/2.0/TLS", "SIP/7.0/TLS"), Reason::Malformed(Name::Via));
        refused(&and("Via: SIP/2.0/TLS"), Reason::Malformed(Name::Via));
        refused(&and("Via:"), Reason::Malformed(Name::Via));
    }

    #[test]
    fn numbers_out_of_range() {
        refused(&with("CSeq: 1 ", "CSeq: 36893488147419103232 "), Reason::OutOfRange(Name::CSeq));
        refused(&with("CSeq: 1 ", "CSeq: 2147483648 "), Reason::OutOfRange(Name::CSeq));
        accepted(&with("CSeq: 1 ", "CSeq: 2147483647 "));
        refused(&with("Forwards: 70", "Forwards: 300"), Reason::OutOfRange(Name::MaxForwards));
        refused(&with("Forwards: 70", "Forwards: -1"), Reason::Malformed(Name::MaxForwards));
        refused(&with("Forwards: 70", "Forwards:"), Reason::Malformed(Name::MaxForwards));
        refused(&and("Expires: 10000000000000000000"), Reason::OutOfRange(Name::Expires));
        refused(&and("Expires: soon"), Reason::Malformed(Name::Expires));
        accepted(&and("Expires: 4294967295"));
        refused(&with("transport=tls>", "transport=tls>;expires=280297596632815"), Reason::OutOfRange(Name::Contact));
        refused(&with("transport=tls>", "transport=tls>;expires=x"), Reason::Malformed(Name::Contact));
        refused(&with("transport=tls>", "transport=tls>;expires=1;expires=2"), Reason::Malformed(Name::Contact));
        refused(&with("transport=tls>", "transport=tls>;q=1.5"), Reason::Malformed(Name::Contact));
        accepted(&with("transport=tls>", "transport=tls>;q=0.5;expires=\"60\""));
    }

    #[test]
    fn numbers_in_responses() {
        let and = |line: &str| response().replace("Content-Length", &format!("{line}\r\nContent-Length"));
        refused(&and("Retry-After: 949302838503028349304023988"), Reason::OutOfRange(Name::RetryAfter));
        refused(&and("Retry-After: later"), Reason::Malformed(Name::RetryAfter));
        accepted(&and("Retry-After: 5 (in a meeting);duration=3600"));
        refused(&and("Warning: 1812 overture \"In Progress\""), Reason::Malformed(Name::Warning));
        accepted(&and("Warning: 399 example.com \"a, b\", 307 x \"y\""));
        refused(&response().replace("CSeq: 1 ", "CSeq: 9292394834772304023312 "), Reason::OutOfRange(Name::CSeq));
    }

    #[test]
    fn addresses() {
        refused(&with("<sip:bert@example.com>\r", "\"Mr. B <sip:bert@example.com>\r"), Reason::Malformed(Name::To));
        refused(&with("<sip:bert@example.com>\r", "\"B\" < sip:bert@example.com >\r"), Reason::Malformed(Name::To));
        refused(&with("\"Anna\"", "Bell, Anna"), Reason::Malformed(Name::From));
        refused(&with("tag=a1", "tag=a1;tag=b2"), Reason::Malformed(Name::From));
        refused(&with("<sip:anna@phone.example.com:5061;transport=tls>", "sip:a@h?Route=%3Csip:s%3E"), Reason::Malformed(Name::Contact));
        refused(&with("transport=tls>", "transport=tls>;;;;"), Reason::Malformed(Name::Contact));
        for name in ["Route", "Record-Route", "Path", "Service-Route"] {
            refused(&and(&format!("{name}: sip:s;lr")), Reason::Malformed(Name::of(name)));
            refused(&and(&format!("{name}: <sip:s;lr>,")), Reason::Malformed(Name::of(name)));
            refused(&and(&format!("{name}:")), Reason::Malformed(Name::of(name)));
            accepted(&and(&format!("{name}: <sip:s;lr>, <sip:t;lr>;x=y")));
        }
        refused(&and("Refer-To: "), Reason::Malformed(Name::ReferTo));
        refused(&and("r: <sip:a@b"), Reason::Malformed(Name::ReferTo));
        refused(&and("P-Asserted-Identity: nonsense"), Reason::Malformed(Name::PAssertedIdentity));
        accepted(&and("P-Asserted-Identity: \"A\" <sip:a@b>, <tel:+4930>"));
    }

    #[test]
    fn dates_and_types() {
        refused(&and("Date: Fri, 01 Jan 2010 16:00:00 EST"), Reason::Malformed(Name::Date));
        accepted(&and("Date: Fri, 01 Jan 2010 16:00:00 GMT"));
        refused(&and("c: sdp"), Reason::Malformed(Name::ContentType));
        refused(&and("e: gzip;x"), Reason::Malformed(Name::ContentEncoding));
        refused(&and("Event: "), Reason::Malformed(Name::Event));
        accepted(&and("o: presence;id=1"));
        refused(&and("Require: a b"), Reason::Malformed(Name::Require));
        refused(&and("Proxy-Require: \"a\""), Reason::Malformed(Name::ProxyRequire));
    }

    #[test]
    fn request_uris() {
        refused(&with("bert@example.com SIP", "bert@example.com?Route=%3Csip:x%3E SIP"), Reason::RequestUri);
        for uri in ["sip:", "sip:@", "bert", "sip:a%4@h", "sip:a@b;lr;lr", "sip:\u{e4}@b", "sip:a@b:99999"] {
            refused(&with("sip:bert@example.com SIP", &format!("{uri} SIP")), Reason::RequestUri);
        }
    }

    #[test]
    fn methods_that_differ() {
        refused(&with("CSeq: 1 INVITE", "CSeq: 1 OPTIONS"), Reason::MethodMismatch);
        refused(&with("CSeq: 1 INVITE", "CSeq: 1 invite"), Reason::MethodMismatch);
        refused(&with("INVITE sip", "NEWMETHOD sip"), Reason::MethodMismatch);
        accepted(&response().replace("CSeq: 1 INVITE", "CSeq: 1 OPTIONS"));
    }

    #[test]
    fn mandatory_headers() {
        for (line, name) in [("To", Name::To), ("From", Name::From), ("Call-ID", Name::CallId), ("CSeq", Name::CSeq), ("Via", Name::Via)] {
            refused(&with(&format!("{line}: "), &format!("X-{line}: ")), Reason::Missing(name));
        }
        refused(&with("Call-ID: a1@phone.example.com", "Call-ID: "), Reason::Malformed(Name::CallId));
        refused(&with("Call-ID: a1@phone.example.com", "Call-ID: a b"), Reason::Malformed(Name::CallId));
    }

    #[test]
    fn headers_that_stand_once() {
        for line in [
            "f: sip:x@y;tag=2",
            "To: sip:x@y",
            "i: 2",
            "CSeq: 2 INVITE",
            "Max-Forwards: 5",
            "Expires: 1\r\nExpires: 1",
            "c: text/plain\r\nContent-Type: text/plain",
            "Date: Fri, 01 Jan 2010 16:00:00 GMT\r\nDate: Fri, 01 Jan 2010 16:00:00 GMT",
            "o: presence\r\nEvent: presence",
            "Refer-To: <sip:a@b>\r\nr: <sip:a@c>",
        ] {
            let told = read(&and(line)).map_err(|fault| fault.reason);
            assert!(matches!(told, Err(Reason::Twice(_))), "{line}: {told:?}");
        }
        accepted(&and("Subject: a\r\ns: b\r\nRoute: <sip:a>\r\nRoute: <sip:b>\r\nAuthorization: X y\r\nAuthorization: X z"));
    }
}

mod contacts {
    use super::*;

    const CONTACT: &str = "<sip:anna@phone.example.com:5061;transport=tls>";

    #[test]
    fn a_star_means_all_and_stands_alone_in_register() {
        let message = accepted(&register().replace(CONTACT, "*"));
        assert!(message.is_contact_star());
        assert!(!accepted(&register()).is_contact_star());
        for value in ["*, <sip:a@b>", "<sip:a@b>, *", "*;expires=0", "*\r\nContact: <sip:a@b>", "<sip:a@b>\r\nm: *", "*\r\nContact: *"] {
            refused(&register().replace(CONTACT, value), Reason::Malformed(Name::Contact));
        }
        refused(&with(CONTACT, "*"), Reason::Malformed(Name::Contact));
        refused(&response().replace(CONTACT, "*"), Reason::Malformed(Name::Contact));
    }

    #[test]
    fn a_list_may_be_cut_into_fields() {
        let message = accepted(&with(CONTACT, "<sip:a@b>, \"x, y\" <sip:c@d>;q=1\r\nm: sip:e@f"));
        let users: Vec<_> = message.addresses(Name::Contact).map(|contact| contact.unwrap().uri.user.unwrap()).collect();
        assert_eq!(users, ["a", "c", "e"]);
    }
}

#[test]
fn a_fault_names_its_place() {
    let text = with("CSeq: 1 INVITE", "CSeq: x INVITE");
    let fault = read(&text).unwrap_err();
    assert_eq!(fault.place(text.as_bytes()), (7, 7));
    assert_eq!(&text[fault.at..fault.at + 1], "x");
}

#[test]
fn hostile_lists_stay_cheap() {
    let text = and(&format!("Via: {}", "SIP/2.0/TLS h,".repeat(1_500)));
    let begun = std::time::Instant::now();
    refused(&text, Reason::Malformed(Name::Via));
    let text = and(&format!("Contact: <sip:a@b{}>", ";a".repeat(10_000)));
    refused(&text, Reason::Malformed(Name::Contact));
    assert!(begun.elapsed() < std::time::Duration::from_secs(1));
}

#[test]
fn debug_shows_the_first_line_only() {
    let shown = format!("{:?}", accepted(REQUEST));
    assert!(shown.contains("INVITE") && !shown.contains("Anna"));
}
