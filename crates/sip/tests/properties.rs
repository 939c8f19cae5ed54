//! What holds for every message, found by making many: reading is copying, writing changes what was
//! planned and nothing else, and no bytes make the reader panic.

#![allow(clippy::unwrap_used, missing_docs)]

use proptest::prelude::*;
use sip::{Credentials, Frame, Framer, Limits, Message, Name, NameAddr, Reply, Rewrite, Status, Uri, Via, sdp};

fn token() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9.!%*_+`'~-]{1,12}"
}

fn uri() -> impl Strategy<Value = String> {
    "sips?:([a-z0-9;?/&=+$,._~-]{1,8}(:[a-z0-9]{1,4})?@)?(h[a-z0-9]{0,5}\\.example|192\\.0\\.2\\.[0-9]|\\[2001:db8::[0-9a-f]\\])(:[1-9][0-9]{1,3})?(;lr)?(;transport=tls)?"
}

fn address() -> impl Strategy<Value = String> {
    let display = prop_oneof![Just(String::new()), token(), "\"([a-zA-Z ,;<>@\u{e4}\u{5927}]|\\\\[\"\\\\]){0,12}\""];
    (display, uri()).prop_map(|(display, uri)| format!("{display} <{uri}>"))
}

/// A name the parser does not know, and a value without structure.
fn other_field() -> impl Strategy<Value = String> {
    ("X-[a-zA-Z0-9.!%*_+~-]{1,10}", "[ -~\u{e4}\u{5927}]{0,40}").prop_map(|(name, value)| format!("{name}: {value}"))
}

fn spelled(names: &'static [&'static str]) -> impl Strategy<Value = String> {
    let colon = prop_oneof![Just(": "), Just(":"), Just(" : "), Just("\t:\r\n ")];
    (prop::sample::select(names), any::<bool>(), colon).prop_map(|(name, upper, colon)| {
        let name = if upper { name.to_uppercase() } else { name.to_owned() };
        format!("{name}{colon}")
    })
}

/// A request in order, in all kinds of spelling, with a body of any bytes.
fn request() -> impl Strategy<Value = Vec<u8>> {
    let via = (token(), "h[a-z]{0,5}", "[a-zA-Z0-9]{1,12}").prop_map(|(t, h, b)| format!("SIP/2.0/{t} {h}.example;branch=z9hG4bK{b}"));
    let fields = (
        (spelled(&["Via", "v"]), prop::collection::vec(via, 1..4).prop_map(|vias| vias.join(", "))),
        (spelled(&["From", "f"]), (address(), "[a-z0-9]{1,8}").prop_map(|(a, tag)| format!("{a};tag={tag}"))),
        (spelled(&["To", "t"]), address()),
        (spelled(&["Call-ID", "i"]), "[a-zA-Z0-9]{1,12}(@[a-z0-9]{1,8})?"),
        (spelled(&["Max-Forwards"]), (0..=255_u8).prop_map(|n| n.to_string())),
        (spelled(&["Route"]), prop::collection::vec(uri().prop_map(|u| format!("<{u}>")), 1..4).prop_map(|routes| routes.join(" ,\r\n "))),
    );
    let others = prop::collection::vec(other_field(), 0..6);
    let length = spelled(&["Content-Length", "l"]);
    let start = (token(), uri(), 0..(1_u32 << 31));
    (start, fields, others, length, prop::collection::vec(any::<u8>(), 0..60), any::<prop::sample::Index>()).prop_map(
        |((method, uri, number), (via, from, to, call_id, hops, route), others, length, body, turn)| {
            let mut lines: Vec<String> = [via, from, to, call_id, hops, route].into_iter().map(|(name, value)| name + &value).collect();
            lines.push(format!("CSeq: {number} {method}"));
            lines.push(format!("{length}{}", body.len()));
            lines.extend(others);
            let turn = turn.index(lines.len());
            lines.rotate_left(turn);
            [format!("{method} {uri} SIP/2.0\r\n{}\r\n\r\n", lines.join("\r\n")).into_bytes(), body].concat()
        },
    )
}

fn read(bytes: &[u8]) -> Message {
    let message = Message::parse(bytes.to_vec().into()).unwrap();
    message.validate().unwrap_or_else(|fault| panic!("{fault}: {}", String::from_utf8_lossy(bytes)));
    message
}

fn pairs(message: &Message) -> Vec<(String, String)> {
    message.fields().map(|field| (field.raw_name.to_owned(), field.value.to_owned())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn reading_and_writing_is_copying(bytes in request()) {
        let message = read(&bytes);
        prop_assert_eq!(&message.as_bytes()[..], &bytes[..]);
        let mut framer = Framer::new(Limits::DEFAULT);
        framer.handle_input(&bytes);
        let Ok(Some(Frame::Message(framed))) = framer.poll_frame() else { panic!("no message") };
        prop_assert_eq!(framed.as_bytes(), message.as_bytes());
        prop_assert!(framer.is_between_messages());
        prop_assert_eq!(pairs(&framed), pairs(&message));
        // Writing changes nothing but an unusual spelling of the length.
        let written = Message::parse(Rewrite::of(&message).to_bytes()).unwrap();
        let plain = |pairs: Vec<(String, String)>| pairs.into_iter().filter(|(name, _)| Name::of(name) != Name::ContentLength).collect::<Vec<_>>();
        prop_assert_eq!(plain(pairs(&written)), plain(pairs(&message)));
        prop_assert_eq!(written.body(), message.body());
    }

    #[test]
    fn forwarding_changes_what_was_planned_and_nothing_else(bytes in request(), uri in uri(), hops in 0..=255_u8) {
        let message = read(&bytes);
        let (via, hops) = ("SIP/2.0/TLS us.example;branch=z9hG4bKus", hops.to_string());
        let mut rewrite = Rewrite::of(&message);
        rewrite.request_uri(&uri).push(Name::Via, via).set(Name::MaxForwards, &hops).pop(Name::Route);
        rewrite.push(Name::RecordRoute, "<sip:us.example;lr>").remove(Name::Timestamp);
        let changed = read(&rewrite.to_bytes());

        prop_assert_eq!(changed.request_uri_text(), &uri);
        prop_assert_eq!(changed.method(), message.method());
        let vias: Vec<&str> = std::iter::once(via).chain(message.list(Name::Via)).collect();
        prop_assert_eq!(changed.list(Name::Via).collect::<Vec<_>>(), vias);
        prop_assert_eq!(changed.list(Name::Route).collect::<Vec<_>>(), message.list(Name::Route).skip(1).collect::<Vec<_>>());
        prop_assert_eq!(changed.first(Name::MaxForwards), Some(&hops[..]));
        prop_assert_eq!(changed.list(Name::RecordRoute).count(), 1);
        prop_assert_eq!(changed.body(), message.body());
        // All that was not named, in its order and spelling.
        let untouched = |message: &Message| {
            let named = [Name::Via, Name::Route, Name::MaxForwards, Name::RecordRoute, Name::ContentLength];
            pairs(message).into_iter().filter(|(name, _)| !named.contains(&Name::of(name))).collect::<Vec<_>>()
        };
        prop_assert_eq!(untouched(&changed), untouched(&message));
    }

    #[test]
    fn every_request_can_be_answered(bytes in request(), code in 100..700_u16) {
        let message = read(&bytes);
        let reply = read(&Reply::to(&message, Status::new(code).unwrap(), "t").finish());
        prop_assert_eq!(reply.status().map(Status::code), Some(code));
        prop_assert_eq!((reply.call_id(), reply.cseq()), (message.call_id(), message.cseq()));
    }

    #[test]
    fn a_stream_of_messages_is_cut_where_they_end(all in prop::collection::vec(request(), 1..5), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6)) {
        let stream = all.concat();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len())).chain([0, stream.len()]).collect();
        cuts.sort_unstable();
        let (mut framer, mut told) = (Framer::new(Limits::DEFAULT), Vec::new());
        for piece in cuts.windows(2) {
            framer.handle_input(&stream[piece[0]..piece[1]]);
            while let Some(frame) = framer.poll_frame().unwrap() {
                let Frame::Message(message) = frame else { panic!("no message") };
                told.push(message.as_bytes().to_vec());
            }
        }
        prop_assert_eq!(told, all);
    }

    #[test]
    fn a_message_with_a_byte_changed_is_one_message_or_a_fault(bytes in request(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = bytes;
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let mut framer = Framer::new(Limits::DEFAULT);
        framer.handle_input(&bytes);
        if let Ok(Some(Frame::Message(message))) = framer.poll_frame() {
            let told = message.validate();
            let parsed = Message::parse(bytes.clone().into()).unwrap();
            prop_assert_eq!(parsed.as_bytes(), message.as_bytes());
            prop_assert_eq!(parsed.validate(), told);
        }
        let _ = sip::lint(&bytes);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn no_bytes_make_the_framer_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut framer = Framer::new(Limits::DEFAULT);
        framer.handle_input(&bytes);
        while let Ok(Some(_)) = framer.poll_frame() {}
        let _ = sip::lint(&bytes);
        let _ = sdp::check_description(&bytes);
    }

    #[test]
    fn no_head_makes_the_reader_panic(lines in "((Via|v|From|To|t|Call-ID|CSeq|Contact|m|Route|Date|Warning|Retry-After|Event|c|e|Expires|l|X)[ :;,<>\"\\\\@/0-9a-z=\r\n\t%\\[\\]?\u{e4}-]{0,30}\r\n){0,8}") {
        let text = format!("INVITE sip:b@h SIP/2.0\r\n{lines}\r\nv=0");
        if let Ok(message) = Message::parse(text.into()) {
            let _ = message.validate();
            let _ = sdp::check(&message);
            let _ = (message.via().is_ok(), message.max_forwards().is_ok(), message.is_contact_star());
            for name in [Name::Contact, Name::Route, Name::Via] {
                let _ = message.addresses(name).count();
                let mut rewrite = Rewrite::of(&message);
                rewrite.pop(name).push(name, "x").pop(name).set(name, "y").pop(name).remove(name).pop(name);
                let _ = rewrite.to_bytes();
            }
        }
    }

    #[test]
    fn no_text_makes_the_values_panic(text in "[ -~\u{e4}\r\n\t\0]{0,60}") {
        let _ = Uri::parse(&text).map(|uri| uri.same_as(&uri));
        let _ = NameAddr::parse(&text).map(|address| address.tag().map(str::len));
        let _ = Via::parse(&text).map(|via| via.branch());
        let _ = Credentials::parse(&text).map(|credentials| credentials.unquoted("x").is_some());
    }

    #[test]
    fn no_description_makes_the_judge_panic(text in "(v=0\r?\n)?([msa]=?(audio|crypto:|fingerprint:|bundle-only|tcap:| |[0-9]{1,6}|RTP/S?AVPF?|inline:|sha-256|[A-F:]{1,9}){0,8}\r?\n){0,6}") {
        let told = sdp::check_description(text.as_bytes());
        // Whoever says yes has seen a version, and no medium in clear.
        if told.is_ok() && text.contains("m=") {
            prop_assert!(text.starts_with("v=0"));
        }
    }

    #[test]
    fn a_uri_that_is_read_is_itself(text in uri()) {
        let uri = Uri::parse(&text).unwrap_or_else(|| panic!("{text}"));
        prop_assert_eq!(uri.to_string(), &text[..]);
        prop_assert!(uri.same_as(&uri));
        let address = format!("\"x\" <{text}>;tag=1");
        prop_assert_eq!(NameAddr::parse(&address).unwrap().uri, uri);
    }
}
