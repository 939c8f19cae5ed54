//! Certificates of any content that our own CA signed: a verdict, never a panic, and nobody is named whom the certificate does not name.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pki::{Purpose, verify};
use verbund_fuzz::WORLD;

fuzz_target!(|bytes: &[u8]| {
    let Some((above, to_be_signed)) = bytes.split_first() else { return };
    let world = &*WORLD;
    // As a leaf below the issuing CA, or as the CA above a good leaf.
    let chain = match above % 2 {
        0 => [world.signed_by_issuing(to_be_signed), world.authority.issuing().clone()],
        _ => [world.leaf.clone(), world.signed_by_root(to_be_signed)],
    };
    let _ = pki::facts(&chain[usize::from(above % 2)]);
    for purpose in [Purpose::Server, Purpose::Client, Purpose::Documents] {
        if let Ok(verified) = verify(&chain, &world.anchors, &world.revocation(), purpose, world.now) {
            for name in verified.names() {
                assert_eq!(verified.prove(name), Ok(()));
            }
            assert!(verified.not_before() <= world.now && world.now <= verified.not_after());
        }
    }
});
