//! Encrypted key files and the `openssl` program: each reads what the other wrote.
#![allow(clippy::unwrap_used)]

mod support;

use pki::{Key, KeyFault, Passphrase};
use support::OpenSsl;

const SECRET: &str = "correct-horse-battery";

fn passphrase() -> Option<Passphrase> {
    Passphrase::new(SECRET.to_owned().into())
}

#[test]
fn openssl_reads_our_encrypted_keys() {
    let Some(openssl) = OpenSsl::find() else { return };
    let key = Key::generate().unwrap();
    openssl.write("key.pem", key.to_encrypted_pem(&passphrase().unwrap()).unwrap().expose());
    openssl.run(&format!("pkey -in key.pem -passin pass:{SECRET} -pubout -outform DER -out public.der"));
    assert_eq!(openssl.read("public.der"), key.public().as_der());
    openssl.fails("pkey -in key.pem -passin pass:wrong-horse-battery -noout");
}

#[test]
fn we_read_openssls_encrypted_keys_unless_they_are_weak() {
    let Some(openssl) = OpenSsl::find() else { return };
    openssl.run("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out plain.pem");
    openssl.run("pkey -in plain.pem -pubout -outform DER -out public.der");
    for how in ["-scrypt", "-v2 aes-256-cbc", "-v2 aes-128-cbc -v2prf hmacWithSHA256"] {
        openssl.run(&format!("pkcs8 -topk8 -in plain.pem -out key.pem -passout pass:{SECRET} {how}"));
        let text = String::from_utf8(openssl.read("key.pem")).unwrap();
        let key = Key::from_pem_with(&text, passphrase).unwrap();
        assert_eq!(key.public().as_der(), openssl.read("public.der"), "{how}");
    }
    openssl.run(&format!("pkcs8 -topk8 -in plain.pem -out key.pem -passout pass:{SECRET} -v1 PBE-SHA1-3DES"));
    let text = String::from_utf8(openssl.read("key.pem")).unwrap();
    assert_eq!(Key::from_pem_with(&text, passphrase).unwrap_err(), KeyFault::Encryption);
}
