//! Topologies in any signed form: none is believed that the authority did not sign, and what it signed is taken or refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pki::DocumentKind;
use topology::SignedTopology;
use verbund_fuzz::WORLD;
use web::control::Update;

fuzz_target!(|bytes: &[u8]| {
    let world = &*WORLD;
    if let Ok(text) = std::str::from_utf8(bytes) {
        assert!(SignedTopology::accept(text, None, &world.anchors, &world.revocation(), world.now).is_err(), "nobody guesses a signature");
    }
    let Some(document) = world.document(DocumentKind::Topology, bytes) else { return };
    let mut holdings = world.holdings.clone();
    match holdings.take(&Update::Topology { document }, world.now) {
        Ok(_) => assert!(holdings.held().topology >= world.holdings.held().topology && holdings.policy(world.now).is_ok()),
        Err(_) => assert_eq!(holdings.held(), world.holdings.held(), "what is refused changes nothing"),
    }
});
