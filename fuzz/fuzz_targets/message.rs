//! Whatever the bytes, reading them is a verdict and never a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sip::{Message, Reply, Status};

fuzz_target!(|bytes: &[u8]| {
    let _ = sip::lint(bytes);
    let Ok(message) = Message::parse(bytes::Bytes::copy_from_slice(bytes)) else { return };
    if message.validate().is_ok() && message.is_request() {
        let reply = Reply::to(&message, Status::OK, "tag").finish();
        let reply = Message::parse(reply).expect("what we write can be read");
        assert_eq!(reply.validate(), Ok(()), "and is in order");
    }
});
