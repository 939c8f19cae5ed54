//! Join strings: what is read is written again the same way, and its secret is in no printed form.
#![no_main]

use libfuzzer_sys::fuzz_target;
use member::JoinString;

fuzz_target!(|text: &str| {
    let Ok(join) = text.parse::<JoinString>() else { return };
    assert_eq!(join.expose().parse::<JoinString>().as_ref(), Ok(&join));
    assert!(join.key.len() < 8 || !format!("{join:?}").contains(&*join.key));
});
