//! Trust bundles of any content that the authority signed, and in any form that it did not: taken whole or refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pki::{Bundle, DocumentKind, Fingerprint, HeldBundle};
use verbund_fuzz::WORLD;
use web::control::Update;

fuzz_target!(|bytes: &[u8]| {
    let world = &*WORLD;
    if let Ok(text) = std::str::from_utf8(bytes) {
        let root = Fingerprint::of(world.authority.root());
        assert!(Bundle::read_pinned(text, root, world.now).is_err(), "nobody guesses a signature");
        let _ = HeldBundle::unchecked(text);
    }
    if let Ok(bundle) = Bundle::from_payload(bytes) {
        assert_eq!(Bundle::from_payload(&bundle.to_payload().expect("what was read can be written")), Ok(bundle));
    }
    let Some(document) = world.document(DocumentKind::Bundle, bytes) else { return };
    let mut holdings = world.holdings.clone();
    match holdings.take(&Update::Bundle { document }, world.now) {
        Ok(_) => assert!(holdings.held().bundle >= world.holdings.held().bundle && holdings.policy(world.now).is_ok()),
        Err(_) => assert_eq!(holdings.held(), world.holdings.held(), "what is refused changes nothing"),
    }
});
