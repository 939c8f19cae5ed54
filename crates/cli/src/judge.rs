//! `verbund cert verify`: the verifier's face for administrators.
//!
//! The verdict is `pki`'s, the same that guards the listeners; here it only gets files, words and an exit code.

use std::{
    fmt::{self, Write as _},
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
    process::ExitCode,
    time::SystemTime,
};

use clap::{Args as Group, ValueEnum, ValueHint};
use pki::{
    AnchorFault, Anchors, CertificateDer, Fqdn, PemFault, Purpose, Rejection, Revocation, RevocationList, RevocationListFault,
    RevocationLists, SipUser, VerifiedCertificate, certificates_from_pem, revocation_lists_from, verify,
};
use serde::Serialize;
use trust::Refusal;

use crate::output;

/// Exit codes: accepted, refused, and "there was nothing to judge".
const REFUSED: u8 = 1;
const UNREADABLE: u8 = 2;

/// The most bytes of a file of certificates; a file of revocation lists may have as many as a list.
const CHAIN_FILE_BYTES_MAX: usize = 1024 * 1024;

/// `verbund cert verify`
#[derive(Debug, Group)]
pub(crate) struct Verify {
    /// The chain in PEM: the certificate to be judged first, then its intermediates
    #[arg(value_name = "CHAIN", value_hint = ValueHint::FilePath)]
    chain: PathBuf,
    /// The root, or several, in PEM; nobody else is believed
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    root: PathBuf,
    /// Who it has to be: a host, a SIP domain, or a user (sip:anna@example.com)
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// What it has to be good for
    #[arg(long, value_enum, value_name = "PURPOSE", default_value_t = Wanted::Server)]
    purpose: Wanted,
    /// A revocation list (PEM or DER); may be given more than once, and then one of them has to be of the issuer
    #[arg(long = "crl", value_name = "FILE", value_hint = ValueHint::FilePath)]
    lists: Vec<PathBuf>,
    /// Judge as of this moment instead of now, like 2027-01-15T08:00:00Z
    #[arg(long, value_name = "RFC3339", value_parser = moment)]
    at: Option<SystemTime>,
    /// Answer as one line of JSON
    #[arg(long)]
    json: bool,
}

/// What a certificate may have to be good for.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Wanted {
    /// A server, whether it calls or is called
    Server,
    /// A user's program
    Client,
}

impl Wanted {
    fn purpose(self) -> Purpose {
        match self {
            Self::Server => Purpose::Server,
            Self::Client => Purpose::Client,
        }
    }
}

fn moment(text: &str) -> Result<SystemTime, &'static str> {
    pki::moment(text).ok_or("write a moment as RFC 3339 has it, such as 2027-01-15T08:00:00Z")
}

/// Judges one chain.
///
/// # Errors
/// Standard output is closed. A file that cannot be read is complained about here, with exit code 2.
pub(crate) fn run(command: &Verify) -> anyhow::Result<ExitCode> {
    let verdict = match judge(command) {
        Ok(certificate) => Ok(certificate),
        Err(No::Refused(refused)) => Err(refused),
        Err(No::Unreadable(error)) => {
            output::complain(&error);
            return Ok(ExitCode::from(UNREADABLE));
        }
    };
    match command.json {
        true => output::say_json(&Report::of(&verdict))?,
        false => output::say(for_people(&verdict))?,
    }
    Ok(if verdict.is_ok() { ExitCode::SUCCESS } else { ExitCode::from(REFUSED) })
}

/// Why there is no yes.
enum No {
    /// There was something to judge, and it was judged.
    Refused(Refused),
    /// There was nothing to judge.
    Unreadable(anyhow::Error),
}

/// A refusal: its rule in a word, the fact and the cure.
struct Refused {
    rule: &'static str,
    text: String,
}

impl Refused {
    /// Every reason is told as a fact and a cure with a semicolon between.
    fn parts(&self) -> (&str, Option<&str>) {
        self.text.rsplit_once("; ").map_or((&self.text, None), |(fact, cure)| (fact, Some(cure)))
    }
}

impl From<Rejection> for No {
    fn from(rejection: Rejection) -> Self {
        let refusal = Refusal::Certificate(rejection.clone());
        Self::Refused(Refused { rule: refusal.label(), text: rejection.to_string() })
    }
}

impl From<AnchorFault> for No {
    fn from(fault: AnchorFault) -> Self {
        Self::Refused(Refused { rule: "root", text: fault.to_string() })
    }
}

impl From<RevocationListFault> for No {
    fn from(fault: RevocationListFault) -> Self {
        Self::Refused(Refused { rule: "revocation_list", text: fault.to_string() })
    }
}

fn judge(command: &Verify) -> Result<VerifiedCertificate, No> {
    let now = command.at.unwrap_or_else(SystemTime::now);
    let (chain, roots) = (certificates(&command.chain)?, certificates(&command.root)?);
    let anchors = Anchors::of(roots.clone())?;
    let lists = lists(&command.lists, &chain, &roots, now)?;
    let certificate = verify(&chain, &anchors, &Revocation::listed(lists), command.purpose.purpose(), now)?;
    if let Some(name) = &command.name {
        prove(&certificate, name)?;
    }
    Ok(certificate)
}

/// Whether it is who it has to be. Something that is no name at all is proved by nobody.
fn prove(certificate: &VerifiedCertificate, name: &str) -> Result<(), No> {
    let uri = if name.contains(':') { name.to_owned() } else { format!("sip:{name}") };
    if let (true, Ok(user)) = (name.contains('@'), uri.parse::<SipUser>()) {
        let proved = certificate.users().contains(&user);
        let text = || format!("the certificate names {}, not {user}; have one issued to that user", certificate.shown().join(", "));
        return if proved { Ok(()) } else { Err(No::Refused(Refused { rule: "wrong_name", text: text() })) };
    }
    match Fqdn::parse(name) {
        // A SIP domain is proved by its URI too (RFC 5922 §7.1).
        Ok(wanted) if certificate.domains().contains(&wanted) => Ok(()),
        Ok(wanted) => Ok(certificate.prove(&wanted)?),
        Err(fault) => {
            let text =
                format!("no certificate proves {name:?}, which is no name of a host, a SIP domain or a user ({fault}); give the full name");
            Err(No::Refused(Refused { rule: "wrong_name", text }))
        }
    }
}

/// The newest list of each issuer. One whose issuer is not at hand says nothing; if none is left, that is the reason.
fn lists(files: &[PathBuf], chain: &[CertificateDer<'_>], roots: &[CertificateDer<'_>], now: SystemTime) -> Result<RevocationLists, No> {
    let issuers: Vec<_> = roots.iter().chain(chain).cloned().collect();
    let (mut lists, mut strangers) = (RevocationLists::new(), None);
    for file in files {
        let bytes = read(file, pki::REVOCATION_LIST_BYTES_MAX * 2)?;
        let ders = revocation_lists_from(&bytes).map_err(|fault| unreadable(file, &fault))?;
        for der in ders {
            let taken = RevocationList::read(&der, &issuers).and_then(|list| lists.take(list, now));
            match taken {
                // An older list beside a newer one changes nothing.
                Ok(_) | Err(RevocationListFault::Older { .. }) => {}
                Err(fault @ RevocationListFault::UnknownIssuer { .. }) => strangers = Some(fault),
                Err(fault) => return Err(fault.into()),
            }
        }
    }
    match strangers {
        Some(fault) if lists.is_empty() => Err(fault.into()),
        Some(_) | None => Ok(lists),
    }
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, No> {
    let bytes = read(file, CHAIN_FILE_BYTES_MAX)?;
    // Certificates in DER are not asked for, but a single one is no riddle.
    if bytes.first() == Some(&0x30) {
        return Ok(vec![CertificateDer::from(bytes)]);
    }
    match certificates_from_pem(&String::from_utf8_lossy(&bytes)) {
        Ok(chain) => Ok(chain),
        Err(PemFault::TooMany) => Err(Rejection::TooLong { count: pki::PEM_CERTIFICATES_MAX + 1 }.into()),
        Err(fault @ (PemFault::Empty | PemFault::Damaged(_))) => Err(unreadable(file, &fault)),
    }
}

fn read(file: &Path, bytes_max: usize) -> Result<Vec<u8>, No> {
    let mut bytes = Vec::new();
    let read = File::open(file).and_then(|opened| opened.take(bytes_max as u64 + 1).read_to_end(&mut bytes));
    match read {
        Ok(length) if length > bytes_max => Err(unreadable(file, &io::Error::other(format!("it has more than {bytes_max} bytes")))),
        Ok(_) => Ok(bytes),
        Err(error) => Err(unreadable(file, &error)),
    }
}

fn unreadable(file: &Path, fault: &dyn fmt::Display) -> No {
    No::Unreadable(anyhow::anyhow!("cannot read {}: {fault}", file.display()))
}

/// What `--json` prints; the keys stay as they are. What does not apply is `null`.
#[derive(Debug, Default, Serialize)]
struct Report {
    verdict: &'static str,
    /// What is the case.
    reason: Option<String>,
    /// What to do about it.
    cure: Option<String>,
    /// The reason in a word.
    rule: Option<&'static str>,
    subject: Option<String>,
    names: Vec<String>,
    issuer: Option<String>,
    serial: Option<String>,
    not_before: Option<String>,
    not_after: Option<String>,
    fingerprint: Option<String>,
    root: Option<String>,
    /// The number of the revocation list that it was looked up in.
    revocation_list: Option<u64>,
}

impl Report {
    fn of(verdict: &Result<VerifiedCertificate, Refused>) -> Self {
        match verdict {
            Ok(certificate) => Self {
                verdict: "accepted",
                subject: Some(certificate.subject().to_owned()),
                names: certificate.shown(),
                issuer: Some(certificate.issuer_text().to_owned()),
                serial: Some(certificate.serial().to_string()),
                not_before: Some(pki::rfc3339(certificate.not_before())),
                not_after: Some(pki::rfc3339(certificate.not_after())),
                fingerprint: Some(certificate.fingerprint().to_string()),
                root: Some(certificate.anchor().to_owned()),
                revocation_list: certificate.revocation_list().map(|list| list.number),
                ..Self::default()
            },
            Err(refused) => {
                let (fact, cure) = refused.parts();
                Self {
                    verdict: "refused",
                    reason: Some(fact.to_owned()),
                    cure: cure.map(str::to_owned),
                    rule: Some(refused.rule),
                    ..Self::default()
                }
            }
        }
    }
}

fn for_people(verdict: &Result<VerifiedCertificate, Refused>) -> String {
    let mut out = String::new();
    // Writing to a text cannot fail.
    let _ = match verdict {
        Ok(certificate) => {
            let list =
                certificate.revocation_list().map_or_else(|| "no list was looked at".into(), |list| format!("list number {}", list.number));
            write!(
                out,
                "accepted: {}\n  issued by {}, root {}\n  good until {}, revocation: {list}\n",
                certificate.shown().join(", "),
                certificate.issuer_text(),
                certificate.anchor(),
                pki::rfc3339(certificate.not_after()),
            )
        }
        Err(refused) => {
            let (fact, cure) = refused.parts();
            writeln!(out, "refused: {fact}").and_then(|()| cure.map_or(Ok(()), |cure| writeln!(out, "  what to do: {cure}")))
        }
    };
    out
}
