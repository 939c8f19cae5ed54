//! Bodies of EST requests, and certificate requests in them: a request that its own key signed, or a fault.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pki::CertificateRequest;
use web::est::request_of;

fuzz_target!(|bytes: &[u8]| {
    for der in [request_of(bytes), Some(bytes.to_vec())].into_iter().flatten() {
        if let Ok(request) = CertificateRequest::from_der(&der) {
            assert_eq!(request.fingerprint(), CertificateRequest::from_der(&der).expect("the same bytes").fingerprint());
            assert!(request.names().len() <= pki::REQUEST_NAMES_MAX);
        }
    }
});
