//! Lines of the control channel, both ways: what an authority says is taken whole or changes nothing; what a member says is a record.
#![no_main]

use libfuzzer_sys::fuzz_target;
use verbund_fuzz::WORLD;
use web::control::{Hello, InForce, Update};

fuzz_target!(|bytes: &[u8]| {
    let _ = serde_json::from_slice::<Hello>(bytes);
    if let Ok(in_force) = serde_json::from_slice::<InForce>(bytes) {
        let again = serde_json::to_vec(&in_force).expect("a record can be written");
        assert_eq!(serde_json::from_slice::<InForce>(&again).expect("and read"), in_force);
    }
    let Ok(update) = serde_json::from_slice::<Update>(bytes) else { return };
    let mut holdings = WORLD.holdings.clone();
    let before = holdings.held();
    if holdings.take(&update, WORLD.now).is_err() {
        assert_eq!(holdings.held(), before, "what is refused changes nothing");
    }
    assert!(holdings.policy(WORLD.now).is_ok());
});
