//! Revocation lists of anybody, in DER or PEM: none is believed that our CA did not sign, and what is read says one thing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pki::RevocationList;
use verbund_fuzz::WORLD;

fuzz_target!(|bytes: &[u8]| {
    let issuers = [WORLD.authority.root().clone(), WORLD.authority.issuing().clone()];
    for der in pki::revocation_lists_from(bytes).unwrap_or_default() {
        assert!(RevocationList::read(&der, &issuers).is_err(), "nobody guesses a signature");
    }
    assert!(RevocationList::read(bytes, &issuers).is_err(), "nobody guesses a signature");
});
