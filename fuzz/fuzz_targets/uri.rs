//! URIs and the header values around them, read from any text.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sip::{Credentials, NameAddr, Uri, Via};

fuzz_target!(|text: &str| {
    if let Some(uri) = Uri::parse(text) {
        assert!(uri.same_as(&uri), "a URI is what it is");
    }
    if let Some(address) = NameAddr::parse(text) {
        let _ = (address.tag(), address.params.iter().count());
    }
    let _ = Via::parse(text).map(|via| via.unique_branch().is_some());
    let _ = Credentials::parse(text).map(|credentials| credentials.unquoted("username").is_some());
});
