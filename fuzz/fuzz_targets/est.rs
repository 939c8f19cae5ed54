//! Bodies of EST: base64 or DER, a certificate request or nothing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pki::CertificateRequest;

fuzz_target!(|bytes: &[u8]| {
    let Some(der) = web::est::request_of(bytes) else { return };
    assert!(!der.is_empty() && der.len() <= bytes.len(), "nothing is made up");
    if let Ok(request) = CertificateRequest::from_der(&der) {
        assert!(request.names().len() <= pki::REQUEST_NAMES_MAX);
    }
});
