//! Session descriptions and the multipart bodies around them. A verdict of "encrypted" must not depend on
//! white space at the end of the body.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sip::{Message, sdp};

fuzz_target!(|bytes: &[u8]| {
    // A CR at the end would become one inside a line, and a line more could be one too many.
    if !bytes.ends_with(b"\r") && bytes.len() < 3_000 {
        assert_eq!(sdp::check_description(bytes), sdp::check_description(&[bytes, b"\r\n"].concat()));
    }
    for kind in ["application/sdp", "multipart/mixed;boundary=x"] {
        let text = [format!("INVITE sip:b@h SIP/2.0\r\nc: {kind}\r\n\r\n").as_bytes(), bytes].concat();
        let message = Message::parse(text.into()).expect("the head is fixed");
        let _ = sdp::check(&message);
    }
});
