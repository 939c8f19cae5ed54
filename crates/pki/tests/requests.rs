//! Certificate requests made by the `openssl` program: the key is taken, the wishes are not.
#![allow(clippy::unwrap_used)]

mod support;

use pki::{Authority, CertificateRequest, RequestFault, ServerNames, facts};
use support::{OpenSsl, fqdn, now};

/// A request for a key of this kind, with these further arguments.
fn request(openssl: &OpenSsl, key: &str, more: &str) -> Result<CertificateRequest, RequestFault> {
    openssl.run(&format!("genpkey {key} -out key.pem"));
    openssl.run(&format!("req -new -key key.pem -out csr.pem {more}"));
    openssl.run("req -in csr.pem -outform DER -out csr.der");
    let read = CertificateRequest::read(&openssl.read("csr.pem"));
    assert_eq!(read, CertificateRequest::read(&openssl.read("csr.der")));
    read
}

const P256: &str = "-algorithm EC -pkeyopt ec_paramgen_curve:P-256";
const P384: &str = "-algorithm EC -pkeyopt ec_paramgen_curve:P-384";

#[test]
fn p256_and_p384_are_taken() {
    let Some(openssl) = OpenSsl::find() else { return };
    for (key, digest) in [(P256, "-sha256"), (P256, "-sha384"), (P384, "-sha256"), (P384, "-sha384")] {
        let read = request(&openssl, key, &format!("-subj /CN=fe1.contoso.example {digest}")).unwrap();
        assert_eq!(read.common_name(), Some("fe1.contoso.example"));
    }
}

#[test]
fn other_keys_and_weak_signatures_are_refused_with_the_cure() {
    let Some(openssl) = OpenSsl::find() else { return };
    let cases = [
        ("-algorithm RSA -pkeyopt rsa_keygen_bits:2048", "RSA 2048"),
        ("-algorithm ED25519", "Ed25519"),
        ("-algorithm EC -pkeyopt ec_paramgen_curve:P-521", "another curve"),
        ("-algorithm EC -pkeyopt ec_paramgen_curve:secp256k1", "another curve"),
    ];
    for (key, kind) in cases {
        let fault = request(&openssl, key, "-subj /CN=fe1.contoso.example").unwrap_err();
        assert_eq!(fault, RequestFault::KeyKind { kind: kind.into() });
        assert!(fault.to_string().contains("openssl genpkey"), "{fault}");
    }
    assert_eq!(request(&openssl, P256, "-subj / -sha1"), Err(RequestFault::NoProofOfPossession));
}

/// The classic way to become somebody else is to ask for it.
#[test]
fn odd_wishes_are_read_over_and_never_issued() {
    let Some(openssl) = OpenSsl::find() else { return };
    let wishes = "-subj /CN=evil.example/O=Evil \
                  -addext subjectAltName=DNS:evil.example,IP:192.0.2.1,email:a@evil.example,URI:sip:evil.example,otherName:1.2.3.4;UTF8:x \
                  -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign \
                  -addext extendedKeyUsage=1.3.6.1.5.5.7.3.20,codeSigning -addext tlsfeature=status_request \
                  -addext 1.3.6.1.4.1.99999.1=critical,DER:0500 -addext nameConstraints=permitted;DNS:evil.example";
    let read = request(&openssl, P384, wishes).unwrap();
    assert_eq!(read.names(), ["evil.example", "sip:evil.example"]);
    let (_, authority) = Authority::create("Contoso", &[fqdn("contoso.example")], now()).unwrap();
    let names = ServerNames { server: fqdn("fe1.contoso.example"), aliases: vec![], domains: vec![] };
    let issued = authority.issue_server(&names, read.key(), now()).unwrap();
    let said = facts(&issued.chain[0]).unwrap();
    assert_eq!((said.names, said.is_ca, said.key.as_str()), (vec!["fe1.contoso.example".to_owned()], false, "P-384"));
    assert_eq!(said.subject, "CN=fe1.contoso.example");
    assert_eq!(&said.purposes[..2], ["serverAuth", "clientAuth"]);
}
