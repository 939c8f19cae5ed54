//! Writes `seeds/`: for each target some input of the kind it wants, so that a run of seconds begins where it is interesting.
//! `cargo run --example seeds`

use std::{fs, path::Path, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use member::JoinString;
use pki::{Fingerprint, Key, SipUser, certificate_request};
use topology::SignedTopology;
use verbund_fuzz::{WORLD, World, bundle, fqdn, to_be_signed, topology_text};
use web::control::{Hello, InForce, Update, UserRecord};

fn seed(target: &str, name: &str, content: impl AsRef<[u8]>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(target);
    fs::create_dir_all(&folder).expect("the folder of seeds can be made");
    fs::write(folder.join(name), content).expect("a seed can be written");
}

fn main() {
    let world = &*WORLD;
    certificates(world);
    documents(world);
    enrolment(world);
    control(world);
}

fn certificates(world: &World) {
    let key = Key::generate().expect("a key");
    let user = "sip:anna@contoso.example".parse::<SipUser>().expect("a user");
    let user = world.authority.issue_user(&user, &key.public(), world.now).expect("a certificate");
    let leaves = [("server", &world.leaf, 0), ("user", &user.chain[0], 0), ("signer", &world.signer.chain()[0], 0)];
    for (name, certificate, kind) in leaves.into_iter().chain([("issuing", world.authority.issuing(), 1)]) {
        seed("chain", name, [&[kind], to_be_signed(certificate)].concat());
        seed("certificate_bytes", name, certificate);
    }
    seed("certificate_bytes", "pem", world.authority.root_pem());
    for list in world.lists.iter() {
        let issuer: String = list.issuer_key().to_string().chars().take(8).collect();
        seed("revocation_list", &issuer, list.as_der());
    }
}

fn documents(world: &World) {
    seed("topology", "one", topology_text());
    seed("topology", "five", include_str!("../../crates/topology/tests/five.toml"));
    let signed = SignedTopology::sign(&topology_text(), None, &world.signer, world.now, world.now + Duration::from_hours(24));
    let signed = signed.expect("a document");
    let payload = signed.split('.').nth(1).and_then(|part| base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part).ok());
    seed("signed_topology", "jws", &signed);
    seed("signed_topology", "payload", payload.expect("a payload"));
    seed("bundle", "payload", bundle(&world.authority, world.now));
    seed("bundle", "jws", world.document(pki::DocumentKind::Bundle, &bundle(&world.authority, world.now)).expect("a document"));
}

fn enrolment(world: &World) {
    let request = certificate_request(&Key::generate().expect("a key"), &[fqdn("fe2.contoso.example")]).expect("a request");
    seed("est_body", "der", &request);
    seed("est_body", "base64", STANDARD.encode(&request));
    let account = r#"{"protected":"eyJhbGciOiJFUzI1NiIsIm5vbmNlIjoibiIsInVybCI6InUiLCJqd2siOnsia3R5IjoiRUMiLCJjcnYiOiJQLTI1NiIsIngiOiJmODNPSjNEMnhGMUJnOHZ1YjlUTGUxZ0hNelY3NmU4VHVzOXVQSHZSVkVVIiwieSI6InhfRkV6UnU5bTM2SExOX3R1ZTY1OUxOcFhXNnBDeVN0aWtZaktJV0k1YTAifX0","payload":"e30","signature":"AA"}"#;
    seed("acme_body", "jwk", account);
    seed(
        "acme_body",
        "kid",
        r#"{"protected":"eyJhbGciOiJFUzI1NiIsImtpZCI6IngiLCJ1cmwiOiJ1Iiwibm9uY2UiOiJuIn0","payload":"","signature":"AA"}"#,
    );
    let join = JoinString {
        authority: fqdn("sip.contoso.example"),
        address: "192.0.2.1:8443".parse().expect("an address"),
        root: Fingerprint::of(world.authority.root()),
        server: fqdn("fe2.contoso.example"),
        kid: "kid1".into(),
        key: zeroize::Zeroizing::new("c2VjcmV0LXNlY3JldA".into()),
    };
    seed("join_string", "whole", &*join.expose());
    // RFC 6960 §4.1.1: one certificate by the hashes of its issuer, SHA-1 as `openssl ocsp` asks.
    let asked = b"\x30\x43\x30\x41\x30\x3f\x30\x3d\x30\x3b\x30\x09\x06\x05\x2b\x0e\x03\x02\x1a\x05\x00\x04\x14aaaaaaaaaaaaaaaaaaaa\x04\x14bbbbbbbbbbbbbbbbbbbb\x02\x02\x01\x00";
    seed("ocsp_request", "one", asked);
}

fn control(world: &World) {
    let user = UserRecord { name: "anna".into(), domain: "contoso.example".into(), pool: "sip.contoso.example".into(), credential: None };
    let updates = [
        Update::Topology { document: world.holdings.topology_text().text.clone() },
        Update::Bundle { document: world.holdings.bundle_text().text.clone() },
        Update::RevocationLists { lists: world.lists.iter().map(|list| list.as_der().to_vec()).collect() },
        Update::Users { revision: 2, from_scratch: true, more: false, put: vec![user], gone: vec!["bert".into()] },
        Update::Renew,
    ];
    for (number, update) in updates.iter().enumerate() {
        seed("control_line", &format!("update_{number}"), serde_json::to_vec(update).expect("a record"));
    }
    seed("control_line", "hello", serde_json::to_vec(&Hello::default()).expect("a record"));
    seed("control_line", "in_force", serde_json::to_vec(&InForce { topology: 7, ..world.holdings.in_force() }).expect("a record"));
}
