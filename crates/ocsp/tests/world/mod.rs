//! An organisation whose responders answer, and the `openssl` program, which asks.

#![allow(dead_code, clippy::unwrap_used, clippy::print_stderr)]

use std::{path::PathBuf, process::Command, sync::Arc, time::SystemTime};

use ocsp::{NoAnswer, Question, Responder, Status};
use pki::{Authority, Fingerprint, Fqdn, Issued, IssuingAuthority, Key, RevocationReason, Root, Serial, ServerNames, certificates_to_pem};

pub(crate) struct World {
    pub(crate) root: Root,
    pub(crate) authority: Authority,
    pub(crate) responders: Vec<Responder>,
    pub(crate) server: Issued,
    pub(crate) revoked: Issued,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) now: SystemTime,
}

pub(crate) fn fqdn(text: &str) -> Fqdn {
    Fqdn::parse(text).unwrap()
}

pub(crate) fn issued(authority: &Authority, name: &str, now: SystemTime) -> Issued {
    let names = ServerNames { server: fqdn(name), aliases: vec![], domains: vec![] };
    authority.issue_server(&names, &Key::generate().unwrap().public(), now).unwrap()
}

pub(crate) fn responder(ca: &IssuingAuthority, now: SystemTime) -> Responder {
    let key = Key::generate().unwrap();
    let signer = ca.issue_ocsp_signer(&key.public(), now).unwrap();
    Responder::new(ca.certificate(), &signer.chain[0], Arc::new(key)).unwrap()
}

impl World {
    pub(crate) fn new() -> Self {
        // The real clock: the program has no other.
        let now = SystemTime::now();
        let (root, authority) = Authority::create("Contoso", &[fqdn("contoso.example")], now).unwrap();
        let responders = authority.issuing_authorities().map(|ca| responder(ca, now)).collect();
        let (server, revoked) = (issued(&authority, "fe1.contoso.example", now), issued(&authority, "fe2.contoso.example", now));
        let world = Self { root, authority, responders, server, revoked, folder: tempfile::tempdir().unwrap(), now };
        world.write("root.pem", world.authority.root_pem());
        world.write("issuing.pem", world.authority.issuing_pem());
        world.write("server.pem", certificates_to_pem(&world.server.chain[..1]));
        world.write("revoked.pem", certificates_to_pem(&world.revoked.chain[..1]));
        world
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), content).unwrap();
    }

    /// Runs `openssl ocsp` here: whether it was content, and what it said. `None`, and a line, where there is no such program.
    pub(crate) fn openssl(&self, line: &str) -> Option<(bool, String)> {
        let output = Command::new("openssl").arg("ocsp").args(line.split_whitespace()).current_dir(self.folder.path()).output();
        let Ok(output) = output else {
            assert!(std::env::var_os("CI").is_none(), "no openssl program here, and in CI nothing is passed over");
            eprintln!("skipped: no openssl program here");
            return None;
        };
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        Some((output.status.success(), said))
    }

    pub(crate) fn status(&self, ca: Fingerprint, serial: &Serial) -> Status {
        let ours = ca == Fingerprint::of(self.authority.issuing());
        match serial {
            _ if !ours => Status::Unknown,
            serial if *serial == self.server.serial => Status::Good,
            serial if *serial == self.revoked.serial => Status::Revoked { at: self.now, reason: RevocationReason::KeyCompromise },
            _ => Status::Unknown,
        }
    }

    /// As whoever runs a responder does it: read, find who answers, look up, answer.
    pub(crate) fn answer(&self, request: &[u8]) -> Vec<u8> {
        let Some(question) = Question::read(request) else { return NoAnswer::Malformed.to_der() };
        let Some(responder) = self.responders.iter().find(|responder| responder.is_asked(&question)) else {
            return NoAnswer::Unauthorized.to_der();
        };
        responder.answer(&question, |serial| self.status(responder.ca(), serial), self.now).unwrap()
    }

    /// A request as the program writes it, about these files.
    pub(crate) fn request(&self, line: &str) -> Option<Vec<u8>> {
        let (well, said) = self.openssl(&format!("{line} -reqout request.der"))?;
        assert!(well, "{said}");
        Some(std::fs::read(self.path("request.der")).unwrap())
    }
}
