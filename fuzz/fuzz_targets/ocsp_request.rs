//! OCSP requests: each that is read is answered, and no answer is long.
#![no_main]

use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use ocsp::{Question, Responder, Status};
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
    let Some(question) = Question::read(bytes) else { return };
    for responder in RESPONDERS.iter() {
        let answer = responder.answer(&question, |_| Status::Good, WORLD.now).expect("every question that is read has an answer");
        assert!(answer.len() < ANSWER_BYTES_MAX && responder.asked(&question).len() <= ocsp::REQUEST_CERTIFICATES_MAX);
    }
    let _ = (question.key(), question.has_nonce());
});
