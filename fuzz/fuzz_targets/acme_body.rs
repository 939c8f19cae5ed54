//! Bodies of ACME requests: a flattened JWS or a fault, and whoever signs one is named in exactly one way.
#![no_main]

use libfuzzer_sys::fuzz_target;
use web::jose::{AccountKey, Signed, Signer};

fuzz_target!(|bytes: &[u8]| {
    let Ok(signed) = Signed::parse(bytes) else { return };
    let _ = signed.read::<serde_json::Value>();
    if let Signer::Key(key) = &signed.signer {
        assert_eq!(AccountKey::from_text(key.as_text()).map(|again| again.thumbprint()), Ok(key.thumbprint()));
    }
});
