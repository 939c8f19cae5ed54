//! The chains of x509-limbo (bettertls among them), read from where the corpora lie, through our own
//! `verify`. Where our answer differs from theirs, `limbo/divergences.txt` says why; a difference
//! that is not listed there, or one listed that is none, fails.
#![allow(clippy::unwrap_used, clippy::print_stderr, clippy::print_stdout)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::BufReader,
    path::PathBuf,
    time::SystemTime,
};

use pki::{Anchors, CertificateDer, Fqdn, Purpose, Revocation, RevocationList, RevocationLists, verify};
use rustls_pki_types::{CertificateRevocationListDer, ServerName, UnixTime, pem::PemObject};
use serde::Deserialize;

#[derive(Deserialize)]
struct Corpus {
    testcases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    id: String,
    validation_kind: Kind,
    trusted_certs: Vec<String>,
    untrusted_intermediates: Vec<String>,
    peer_certificate: String,
    validation_time: Option<String>,
    expected_result: Expected,
    expected_peer_name: Option<Name>,
    #[serde(default)]
    crls: Vec<String>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum Kind {
    Server,
    Client,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "UPPERCASE")]
enum Expected {
    Success,
    Failure,
}

#[derive(Deserialize)]
struct Name {
    kind: String,
    value: String,
}

/// When a case does not say when it is judged: the corpus was made then.
const CORPUS_MADE: &str = "2026-11-22T16:21:15+00:00";

fn corpus() -> Option<Corpus> {
    let beside_the_project = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus");
    let corpus = std::env::var_os("VERBUND_CORPUS").map_or_else(beside_the_project, PathBuf::from);
    let file = corpus.join("limbo/limbo.json.xz");
    let Ok(packed) = fs::File::open(&file) else {
        eprintln!("passed over: no x509-limbo at {} (VERBUND_CORPUS names another place)", file.display());
        return None;
    };
    let mut json = Vec::new();
    lzma_rs::xz_decompress(&mut BufReader::new(packed), &mut json).unwrap();
    Some(serde_json::from_slice(&json).unwrap())
}

impl Case {
    fn at(&self) -> SystemTime {
        let text = self.validation_time.as_deref().unwrap_or(CORPUS_MADE);
        time::OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339).unwrap().into()
    }

    fn purpose(&self) -> Purpose {
        match self.validation_kind {
            Kind::Server => Purpose::Server,
            Kind::Client => Purpose::Client,
        }
    }

    fn chain(&self) -> Vec<CertificateDer<'static>> {
        let all = std::iter::once(&self.peer_certificate).chain(&self.untrusted_intermediates);
        all.map(|pem| der(pem)).collect()
    }

    fn anchors(&self) -> impl Iterator<Item = CertificateDer<'static>> {
        self.trusted_certs.iter().map(|pem| der(pem))
    }

    /// Ours: the lists, the whole of `verify`, then the name.
    fn ours(&self) -> Result<(), String> {
        let anchors = Anchors::of(self.anchors()).map_err(words)?;
        let chain = self.chain();
        let certificate = verify(&chain, &anchors, &self.revocation(&chain)?, self.purpose(), self.at()).map_err(words)?;
        match &self.expected_peer_name {
            None => Ok(()),
            Some(Name { kind, value }) if kind == "DNS" => certificate.prove(&Fqdn::parse(value).map_err(words)?).map_err(words),
            Some(_) => Err("an address proves nobody".into()),
        }
    }

    fn revocation(&self, chain: &[CertificateDer<'static>]) -> Result<Revocation, String> {
        let issuers: Vec<_> = self.anchors().chain(chain[1..].iter().cloned()).collect();
        let mut lists = RevocationLists::new();
        for pem in &self.crls {
            let list = CertificateRevocationListDer::from_pem_slice(pem.as_bytes()).map_err(words)?;
            RevocationList::read(&list, &issuers).and_then(|list| lists.take(list, self.at())).map_err(words)?;
        }
        Ok(Revocation::listed(lists))
    }

    /// The library below alone, as a server or client would usually set it up.
    fn library(&self) -> Result<(), String> {
        let anchors: Vec<_> = self.anchors().collect();
        let anchors = anchors.iter().map(webpki::anchor_from_trusted_cert).collect::<Result<Vec<_>, _>>().map_err(words)?;
        let chain = self.chain();
        let leaf = webpki::EndEntityCert::try_from(&chain[0]).map_err(words)?;
        let usage = match self.validation_kind {
            Kind::Server => webpki::KeyUsage::server_auth(),
            Kind::Client => webpki::KeyUsage::client_auth(),
        };
        let ders: Vec<_> = self.crls.iter().map(|pem| CertificateRevocationListDer::from_pem_slice(pem.as_bytes()).unwrap()).collect();
        let lists = ders.iter().map(|der| webpki::OwnedCertRevocationList::from_der(der)).collect::<Result<Vec<_>, _>>().map_err(words)?;
        let lists: Vec<_> = lists.into_iter().map(webpki::CertRevocationList::from).collect();
        let references: Vec<_> = lists.iter().collect();
        let revocation = webpki::RevocationOptionsBuilder::new(&references).ok().map(|builder| {
            builder.with_status_policy(webpki::UnknownStatusPolicy::Allow).with_expiration_policy(webpki::ExpirationPolicy::Enforce).build()
        });
        let at = UnixTime::since_unix_epoch(self.at().duration_since(SystemTime::UNIX_EPOCH).unwrap());
        leaf.verify_for_usage(webpki::ALL_VERIFICATION_ALGS, &anchors, &chain[1..], at, usage, revocation, None).map_err(words)?;
        let Some(name) = &self.expected_peer_name else { return Ok(()) };
        leaf.verify_is_valid_for_subject_name(&ServerName::try_from(name.value.as_str()).map_err(words)?).map_err(words)
    }

    fn differs(&self, answer: &Result<(), String>) -> bool {
        answer.is_ok() != (self.expected_result == Expected::Success)
    }
}

fn words(fault: impl std::fmt::Display) -> String {
    fault.to_string()
}

fn der(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}

/// The list: which case, and the reason (the heading of its section).
fn listed() -> BTreeMap<&'static str, &'static str> {
    let (mut reason, mut all) = ("", BTreeMap::new());
    for line in include_str!("limbo/divergences.txt").lines() {
        match line.strip_prefix("## ") {
            Some(heading) => reason = heading,
            None if line.is_empty() || line.starts_with('#') => {}
            None => assert!(all.insert(line, reason).is_none(), "{line} is listed twice"),
        }
    }
    all
}

#[test]
fn every_chain_of_x509_limbo_is_answered_as_expected_or_as_listed() {
    let Some(corpus) = corpus() else { return };
    let listed = listed();
    let (mut differing, mut news, mut accepted, mut library, mut library_accepted) = (BTreeSet::new(), Vec::new(), 0, 0, 0);
    for case in &corpus.testcases {
        let answer = case.ours();
        if case.differs(&answer) {
            differing.insert(case.id.as_str());
            accepted += usize::from(answer.is_ok());
            let verb = if answer.is_ok() { "accepted" } else { "refused" };
            if !listed.get(case.id.as_str()).is_some_and(|reason| reason.starts_with(verb)) {
                news.push(format!("{} {answer:?}", case.id));
            }
        }
        let answer = case.library();
        library += usize::from(case.differs(&answer));
        library_accepted += usize::from(case.differs(&answer) && answer.is_ok());
    }
    let gone: Vec<_> = listed.keys().filter(|id| !differing.contains(*id)).collect();
    let by_design = listed.values().filter(|reason| reason.starts_with("refused by design")).count();
    let ours = differing.len() - by_design;
    println!(
        "{} chains: {ours} answers differ ({accepted} accepted), {by_design} refused by design; the library alone: {library} ({library_accepted} accepted)",
        corpus.testcases.len(),
    );
    assert!(news.is_empty(), "not in limbo/divergences.txt:\n{}", news.join("\n"));
    assert!(gone.is_empty(), "listed, but answered as expected now: {gone:?}");
    assert!(ours < library && accepted < library_accepted, "{ours} {library} {accepted} {library_accepted}");
}
