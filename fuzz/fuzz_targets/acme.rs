//! Messages to the ACME server: whatever comes is taken apart or refused, and a key has one spelling.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value};
use web::jose::{AccountKey, Signed, Signer};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(Value::Object(jwk)) = serde_json::from_slice(bytes)
        && let Ok(key) = AccountKey::read(&jwk)
    {
        assert_eq!(AccountKey::from_text(key.as_text()).as_ref(), Ok(&key), "a key is read as it was written");
    }
    let Ok(message) = Signed::parse(bytes) else { return };
    match &message.signer {
        Signer::Key(key) => assert_eq!(key.thumbprint().len(), 43),
        Signer::Name(_) => {}
    }
    // A message inside another one: key change, external account binding.
    if let Ok(inner) = Signed::parse(&message.payload) {
        let _ = inner.read::<Map<String, Value>>();
    }
    if let Ok(payload) = message.read::<Map<String, Value>>()
        && let Some(binding) = payload.get("externalAccountBinding")
    {
        let _ = Signed::from_value(binding.clone());
    }
});
