//! The `openssl` program asks, we answer, and it believes the answers.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

use std::{
    path::PathBuf,
    process::Command,
    sync::Arc,
    time::{Duration, SystemTime},
};

use ocsp::{ANSWER_VALIDITY, REQUEST_BYTES_MAX, Responder, ResponderFault, Status, answer};
use pki::{
    Authority, CertificateDer, Fingerprint, Fqdn, Issued, IssuingAuthority, Key, OCSP_SIGNER_VALIDITY, RevocationReason, Serial,
    ServerNames, certificates_to_pem,
};
use x509_cert::der::{Decode as _, Encode as _};
use x509_ocsp::{BasicOcspResponse, CertStatus, OcspRequest, OcspResponse, OcspResponseStatus};

struct World {
    authority: Authority,
    responders: Vec<Responder>,
    server: Issued,
    revoked: Issued,
    folder: tempfile::TempDir,
    now: SystemTime,
}

fn fqdn(text: &str) -> Fqdn {
    Fqdn::parse(text).unwrap()
}

fn issued(authority: &Authority, name: &str, now: SystemTime) -> Issued {
    let names = ServerNames { server: fqdn(name), aliases: vec![], domains: vec![] };
    authority.issue_server(&names, &Key::generate().unwrap().public(), now).unwrap()
}

fn responder(ca: &IssuingAuthority, now: SystemTime) -> Responder {
    let key = Key::generate().unwrap();
    let signer = ca.issue_ocsp_signer(&key.public(), now).unwrap();
    Responder::new(ca.certificate(), &signer.chain[0], Arc::new(key)).unwrap()
}

impl World {
    fn new() -> Self {
        // The real clock: the program has no other.
        let now = SystemTime::now();
        let (_, authority) = Authority::create("Contoso", &[fqdn("contoso.example")], now).unwrap();
        let responders = authority.issuing_authorities().map(|ca| responder(ca, now)).collect();
        let (server, revoked) = (issued(&authority, "fe1.contoso.example", now), issued(&authority, "fe2.contoso.example", now));
        let world = Self { authority, responders, server, revoked, folder: tempfile::tempdir().unwrap(), now };
        world.write("root.pem", world.authority.root_pem());
        world.write("issuing.pem", world.authority.issuing_pem());
        world.write("server.pem", certificates_to_pem(&world.server.chain[..1]));
        world.write("revoked.pem", certificates_to_pem(&world.revoked.chain[..1]));
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), content).unwrap();
    }

    /// Runs `openssl ocsp` here: whether it was content, and what it said. `None`, and a line, where there is no such program.
    fn openssl(&self, line: &str) -> Option<(bool, String)> {
        let output = Command::new("openssl").arg("ocsp").args(line.split_whitespace()).current_dir(self.folder.path()).output();
        let Ok(output) = output else {
            eprintln!("skipped: no openssl program here");
            return None;
        };
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        Some((output.status.success(), said))
    }

    fn status(&self, ca: Fingerprint, serial: &Serial) -> Status {
        let ours = ca == Fingerprint::of(self.authority.issuing());
        match serial {
            _ if !ours => Status::Unknown,
            serial if *serial == self.server.serial => Status::Good,
            serial if *serial == self.revoked.serial => Status::Revoked { at: self.now, reason: RevocationReason::KeyCompromise },
            _ => Status::Unknown,
        }
    }

    fn answer(&self, request: &[u8]) -> Vec<u8> {
        answer(request, &self.responders, |ca, serial| self.status(ca, serial), self.now)
    }

    /// A request as the program writes it, about these files.
    fn request(&self, line: &str) -> Option<Vec<u8>> {
        let (well, said) = self.openssl(&format!("{line} -reqout request.der"))?;
        assert!(well, "{said}");
        Some(std::fs::read(self.path("request.der")).unwrap())
    }
}

/// What the response says about each certificate, without a look at its signature.
fn statuses(response: &[u8]) -> Vec<CertStatus> {
    let response = OcspResponse::from_der(response).unwrap();
    let basic = BasicOcspResponse::from_der(response.response_bytes.unwrap().response.as_bytes()).unwrap();
    basic.tbs_response_data.responses.into_iter().map(|single| single.cert_status).collect()
}

fn outcome(response: &[u8]) -> OcspResponseStatus {
    OcspResponse::from_der(response).unwrap().response_status
}

#[test]
fn good_revoked_and_unknown_are_believed_with_the_nonce_that_was_sent() {
    let world = World::new();
    let (stranger, reason) = (issued(&world.authority, "fe3.contoso.example", world.now), "keyCompromise");
    world.write("unknown.pem", certificates_to_pem(&stranger.chain[..1]));
    for digest in ["", "-sha256"] {
        for (file, expected) in [("server.pem", "good"), ("revoked.pem", "revoked"), ("unknown.pem", "unknown")] {
            let asked = format!("{digest} -issuer issuing.pem -cert {file}");
            let Some(request) = world.request(&format!("{asked} -nonce")) else { return };
            world.write("response.der", world.answer(&request));
            let (well, said) =
                world.openssl(&format!("{asked} -no_nonce -reqin request.der -respin response.der -CAfile root.pem")).unwrap();
            assert!(well && said.contains("Response verify OK") && said.contains(&format!("{file}: {expected}")), "{said}");
            assert!(!said.to_lowercase().contains("nonce"), "{said}");
            assert_eq!(said.contains(reason), expected == "revoked", "{said}");
        }
    }
}

#[test]
fn several_certificates_are_answered_in_one_go() {
    let world = World::new();
    let Some(request) = world.request("-issuer issuing.pem -cert server.pem -cert revoked.pem -serial 0x4711 -no_nonce") else { return };
    let said = statuses(&world.answer(&request));
    assert!(matches!(said[..], [CertStatus::Good(_), CertStatus::Revoked(_), CertStatus::Unknown(_)]), "{said:?}");
}

#[test]
fn a_responder_answers_for_its_own_ca_only() {
    let world = World::new();
    let users = world.authority.users().unwrap();
    world.write("users.pem", users.certificate_pem());
    // The serial number of a server, asked for as one of the users' CA.
    let Some(request) = world.request(&format!("-issuer users.pem -serial 0x{} -no_nonce", world.server.serial)) else { return };
    assert!(matches!(statuses(&world.answer(&request))[..], [CertStatus::Unknown(_)]));
    let request = world.request("-issuer issuing.pem -cert server.pem -issuer users.pem -serial 1 -no_nonce").unwrap();
    assert!(matches!(statuses(&world.answer(&request))[..], [CertStatus::Good(_), CertStatus::Unknown(_)]));
    let request = world.request("-issuer root.pem -cert issuing.pem -no_nonce").unwrap();
    assert_eq!(outcome(&world.answer(&request)), OcspResponseStatus::Unauthorized);
}

#[test]
fn a_staple_needs_no_question_and_counts_for_some_hours() {
    let world = World::new();
    let staple = world.responders[0].staple(&world.server.serial, Status::Good, world.now).unwrap();
    world.write("response.der", &staple);
    let Some((well, said)) = world.openssl("-issuer issuing.pem -cert server.pem -respin response.der -CAfile root.pem -no_nonce") else {
        return;
    };
    assert!(well && said.contains("server.pem: good") && said.contains("Response verify OK"), "{said}");
    let response = OcspResponse::from_der(&staple).unwrap().response_bytes.unwrap();
    let single = BasicOcspResponse::from_der(response.response.as_bytes()).unwrap().tbs_response_data.responses.remove(0);
    let length = single.next_update.unwrap().0.to_unix_duration() - single.this_update.0.to_unix_duration();
    assert_eq!(length, ANSWER_VALIDITY);
    let late = world.now + OCSP_SIGNER_VALIDITY + Duration::from_secs(2);
    assert_eq!(world.responders[0].staple(&world.server.serial, Status::Good, late), Err(ResponderFault::NotValidNow));
}

#[test]
fn a_changed_answer_is_not_believed() {
    let world = World::new();
    let Some(request) = world.request("-issuer issuing.pem -cert revoked.pem -no_nonce") else { return };
    let mut response = world.answer(&request);
    let serial = world.revoked.serial.as_bytes();
    let at = response.windows(serial.len()).position(|bytes| bytes == serial).unwrap();
    response[at..at + serial.len()].copy_from_slice(world.server.serial.as_bytes());
    world.write("response.der", response);
    let (_, said) = world.openssl("-issuer issuing.pem -cert server.pem -respin response.der -CAfile root.pem").unwrap();
    assert!(said.contains("Response Verify Failure"), "{said}");
}

#[test]
fn what_is_no_request_or_too_much_is_told_so() {
    let world = World::new();
    let malformed = |request: &[u8]| assert_eq!(outcome(&world.answer(request)), OcspResponseStatus::MalformedRequest);
    for bad in [&b""[..], b"hello", &[0x30, 0], &vec![0x30; REQUEST_BYTES_MAX + 1]] {
        malformed(bad);
    }
    let Some(request) = world.request("-issuer issuing.pem -cert server.pem -no_nonce") else { return };
    malformed(&request[..request.len() - 1]);
    malformed(&[&request[..], &[0]].concat());
    let parsed = OcspRequest::from_der(&request).unwrap();
    let many = |count: usize| {
        let mut many = parsed.clone();
        many.tbs_request.request_list = vec![many.tbs_request.request_list[0].clone(); count];
        many.to_der().unwrap()
    };
    assert_eq!(statuses(&world.answer(&many(16))).len(), 16);
    malformed(&many(17));
    malformed(&many(0));
}

#[test]
fn a_nonce_is_repeated_within_limits_and_critical_rules_are_understood_or_refused() {
    use x509_cert::{
        der::asn1::{ObjectIdentifier, OctetString},
        ext::Extension,
    };
    let world = World::new();
    let Some(request) = world.request("-issuer issuing.pem -cert server.pem -no_nonce") else { return };
    let nonce = "1.3.6.1.5.5.7.48.1.2";
    let value = |length: usize| OctetString::new(vec![7; length]).unwrap().to_der().unwrap();
    let with = |extensions: &[(&str, bool, Vec<u8>)]| {
        let mut request = OcspRequest::from_der(&request).unwrap();
        let extension = |(id, critical, value): &(&str, bool, Vec<u8>)| Extension {
            extn_id: ObjectIdentifier::new(id).unwrap(),
            critical: *critical,
            extn_value: OctetString::new(value.clone()).unwrap(),
        };
        request.tbs_request.request_extensions = Some(extensions.iter().map(extension).collect());
        world.answer(&request.to_der().unwrap())
    };
    for (length, taken) in [(0, false), (1, true), (32, true), (128, true), (129, false)] {
        let response = with(&[(nonce, false, value(length))]);
        assert_eq!(outcome(&response) == OcspResponseStatus::Successful, taken, "{length}");
        let repeated = response.windows(value(length).len()).any(|bytes| bytes == value(length));
        assert_eq!(repeated, taken, "{length}");
    }
    let refused = |response: Vec<u8>| assert_eq!(outcome(&response), OcspResponseStatus::MalformedRequest);
    refused(with(&[(nonce, false, value(8)), (nonce, false, value(8))]));
    refused(with(&[("1.3.6.1.4.1.99999.1", true, vec![5, 0])]));
    assert_eq!(outcome(&with(&[("1.3.6.1.4.1.99999.1", false, vec![5, 0])])), OcspResponseStatus::Successful);
}

#[test]
fn who_answers_must_be_the_ca_or_have_its_word() {
    let world = World::new();
    let issuing = world.authority.issuing();
    let key = || Arc::new(Key::generate().unwrap());
    let fault = |certificate: &CertificateDer<'_>, key: Arc<Key>| Responder::new(issuing, certificate, key).unwrap_err();
    assert_eq!(fault(&world.server.chain[0], key()), ResponderFault::NotDelegated, "a server is no responder");
    let users = world.authority.users().unwrap().issue_ocsp_signer(&key().public(), world.now).unwrap();
    assert_eq!(fault(&users.chain[0], key()), ResponderFault::NotDelegated, "nor is the other CA's");
    let ours = world.authority.servers().issue_ocsp_signer(&key().public(), world.now).unwrap();
    assert_eq!(fault(&ours.chain[0], key()), ResponderFault::KeyMismatch);
    assert_eq!(fault(&CertificateDer::from(vec![1]), key()), ResponderFault::Malformed);
    let itself = Arc::new(Key::from_pem(world.authority.key_pem().unwrap().expose()).unwrap());
    let itself = Responder::new(issuing, issuing, itself).unwrap();
    world.write("response.der", itself.staple(&world.server.serial, Status::Good, world.now).unwrap());
    let asked = "-issuer issuing.pem -cert server.pem -respin response.der -CAfile root.pem -no_nonce";
    let Some((well, said)) = world.openssl(asked) else { return };
    assert!(well && said.contains("Response verify OK"), "{said}");
}
