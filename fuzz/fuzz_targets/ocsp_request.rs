//! OCSP requests, as a body and as a path: each is answered, and no answer is long.
#![no_main]

use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use ocsp::{Responder, Status, answer, request_of_path};
use pki::Key;
use verbund_fuzz::WORLD;

static RESPONDERS: LazyLock<Vec<Responder>> = LazyLock::new(|| {
    let responder = |ca: &pki::IssuingAuthority| {
        let key = Key::generate().expect("a key");
        let signer = ca.issue_ocsp_signer(&key.public(), WORLD.now).expect("a certificate");
        Responder::new(ca.certificate(), &signer.chain[0], Arc::new(key)).expect("a responder")
    };
    WORLD.authority.issuing_authorities().map(responder).collect()
});

/// An answer repeats what it was asked, with times and a status each, and shows its signer.
const ANSWER_BYTES_MAX: usize = 8 * ocsp::REQUEST_BYTES_MAX;

fuzz_target!(|bytes: &[u8]| {
    let answered = |request: &[u8]| answer(request, &RESPONDERS, |_, _| Status::Good, WORLD.now);
    let said = answered(bytes);
    assert!(!said.is_empty() && said.len() < ANSWER_BYTES_MAX);
    if let Some(request) = std::str::from_utf8(bytes).ok().and_then(request_of_path) {
        answered(&request);
    }
});
