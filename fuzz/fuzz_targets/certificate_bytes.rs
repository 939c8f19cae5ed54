//! A certificate as a stranger sends it, any bytes: refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pki::{CertificateDer, Purpose, verify};
use verbund_fuzz::WORLD;

fuzz_target!(|bytes: &[u8]| {
    let world = &*WORLD;
    let chain = [CertificateDer::from(bytes), world.authority.issuing().clone()];
    assert!(verify(&chain, &world.anchors, &world.revocation(), Purpose::Server, world.now).is_err());
    let _ = pki::certificates_from_pem(&String::from_utf8_lossy(bytes));
    let _ = pki::CertificateRequest::read(bytes);
});
