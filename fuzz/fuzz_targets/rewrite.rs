//! A changed message can be read again, as one message, whatever came in and whatever was put in.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sip::{Frame, Framer, Limits, Message, Name, Rewrite};

fuzz_target!(|input: (&str, &str, &[u8])| {
    let (value, uri, bytes) = input;
    let Ok(message) = Message::parse(bytes::Bytes::copy_from_slice(bytes)) else { return };
    if message.first(Name::ContentLength).is_none() {
        return;
    }
    let mut rewrite = Rewrite::of(&message);
    rewrite.push(Name::Via, value).pop(Name::Route).pop(Name::Route).push(Name::RecordRoute, value);
    rewrite.remove(Name::PAssertedIdentity).set(Name::MaxForwards, value).set(Name::MaxForwards, "69").push_named(uri, value);
    if !uri.is_empty() {
        rewrite.request_uri(uri);
    }
    let mut framer = Framer::new(Limits { head_bytes_max: u16::MAX, fields_max: u16::MAX, ..Limits::DEFAULT });
    framer.handle_input(&rewrite.to_bytes());
    match framer.poll_frame() {
        Ok(Some(Frame::Message(changed))) => assert_eq!(changed.body(), message.body()),
        // What was put in may make the head too large, or hold a NUL; it must not make it two.
        Err(_) | Ok(None) => {}
        Ok(Some(Frame::Ping | Frame::Pong)) => panic!("a message, not a ping"),
    }
    assert!(!matches!(framer.poll_frame(), Ok(Some(_))), "one message, never two");
});
