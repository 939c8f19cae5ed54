//! The CA of a running organisation replaced: the root with everything below it, or the issuing CAs alone. What is done, the
//! authority does; files of an offline root are only read and written here.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use clap::{Args as Group, Subcommand, ValueEnum, ValueHint};
use pki::{Fqdn, IssuerKind};
use web::admin::{CaReplacement, CaRequest, NewReplacement, SignedCa};

use super::root::file_name;
use crate::{
    args::{Admin, Data},
    files::{self, Readers},
    output::{Paint, printable},
    remote::{answer, ask, client},
};

/// `verbund ca rollover …`
#[derive(Debug, Subcommand)]
pub(crate) enum Rollover {
    /// Replaces the root and all issuing CAs below it while everything works; old and new are believed until everybody has switched
    Start {
        /// Wait for each step a minute only: the old root's key may be somebody else's. Whoever is away then has to join anew
        #[arg(long)]
        emergency: bool,
        /// Where the new root's key is: made here, or offline, where it has signed what `verbund ca rollover request` wrote
        #[arg(long, value_enum, value_name = "PLACE", default_value_t = RootKey::Here)]
        root_key: RootKey,
        /// The folder that the new root wrote (`verbund ca root sign`)
        #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, required_if_eq("root_key", "offline"))]
        signed: Option<PathBuf>,
        /// The old root's word for the new one (`verbund ca root cross`) [default: given here, if the old root's key is here]
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "signed")]
        link: Option<PathBuf>,
        #[command(flatten)]
        admin: Admin,
    },
    /// Makes the keys of new issuing CAs and writes what a new offline root has to sign
    Request(Request),
    /// Says how far a replacement of root or issuing CAs has come, and what it waits for
    Status(Admin),
    /// Gives a replacement up, as long as nobody was switched
    Abort(Admin),
}

/// `verbund ca issuing …`
#[derive(Debug, Subcommand)]
pub(crate) enum Issuing {
    /// Replaces the issuing CAs below a root that stays; `verbund ca rollover status` says how far it is
    Renew {
        /// A domain that the new CAs may issue for, besides those of today; may be given more than once
        #[arg(long = "domain", value_name = "DOMAIN", value_parser = Fqdn::parse)]
        domains: Vec<Fqdn>,
        /// The folder that an offline root wrote (`verbund ca root sign`) [default: the root's key is here]
        #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
        signed: Option<PathBuf>,
        #[command(flatten)]
        admin: Admin,
    },
    /// Makes the keys of new issuing CAs and writes what the offline root has to sign
    Request(Request),
}

/// What an offline root is asked.
#[derive(Debug, Group)]
pub(crate) struct Request {
    /// The folder for the requests
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    out: PathBuf,
    /// A domain that the new CAs shall issue for, besides those of today; may be given more than once
    #[arg(long = "domain", value_name = "DOMAIN", value_parser = Fqdn::parse)]
    domains: Vec<Fqdn>,
    #[command(flatten)]
    admin: Admin,
}

/// Where a root's key is.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum RootKey {
    /// Made by the authority, in its data directory or token
    Here,
    /// On a machine without a network
    Offline,
}

/// `verbund ca rollover …`
///
/// # Errors
/// No server runs, or it says no; both with the cure. Or a file cannot be read or written.
pub(super) fn rollover(data: &Data, command: &Rollover) -> anyhow::Result<()> {
    match command {
        Rollover::Start { emergency, root_key, signed, link, admin } => {
            let signed = match root_key {
                RootKey::Here => None,
                RootKey::Offline => Some(read(signed.as_deref().unwrap_or(Path::new(".")), link.as_deref())?),
            };
            let new = NewReplacement { what: "root".into(), emergency: *emergency, domains: Vec::new(), signed };
            told(admin, &ask(client(data)?.replace_ca(new))?)
        }
        Rollover::Request(request) => requests(data, "root", request),
        Rollover::Status(admin) => {
            let replacement = ask(client(data)?.ca_replacement())?;
            answer(admin, &replacement, |paint| match &replacement {
                Some(replacement) => text(replacement, paint),
                None => "No replacement of the CA is under way.\n".to_owned(),
            })
        }
        Rollover::Abort(admin) => {
            ask(client(data)?.give_up_ca_replacement())?;
            answer(admin, &serde_json::json!({ "given_up": true }), |_| "The replacement is given up; the CA stays as it is.\n".to_owned())
        }
    }
}

/// `verbund ca issuing …`
///
/// # Errors
/// As [`rollover`].
pub(super) fn issuing(data: &Data, command: &Issuing) -> anyhow::Result<()> {
    match command {
        Issuing::Renew { domains, signed, admin } => {
            let signed = signed.as_deref().map(|folder| read(folder, None)).transpose()?;
            let domains = domains.iter().map(Fqdn::to_string).collect();
            let new = NewReplacement { what: "issuing".into(), emergency: false, domains, signed };
            told(admin, &ask(client(data)?.replace_ca(new))?)
        }
        Issuing::Request(request) => requests(data, "issuing", request),
    }
}

/// What `verbund ca root sign` and `verbund ca root cross` wrote. The authority checks all of it.
fn read(folder: &Path, link: Option<&Path>) -> anyhow::Result<SignedCa> {
    let list = folder.join("root.crl");
    let list = fs::read(&list).with_context(|| format!("cannot read {}", list.display()))?;
    Ok(SignedCa {
        root: files::read(&folder.join("root.pem"))?,
        list,
        servers: files::read(&folder.join(file_name(IssuerKind::Servers)))?,
        users: files::read(&folder.join(file_name(IssuerKind::Users)))?,
        link: link.map(files::read).transpose()?,
    })
}

fn requests(data: &Data, what: &str, request: &Request) -> anyhow::Result<()> {
    let domains = request.domains.iter().map(Fqdn::to_string).collect();
    let new = NewReplacement { what: what.to_owned(), domains, ..NewReplacement::default() };
    let requests = ask(client(data)?.request_ca(new))?;
    files::make_dir(&request.out)?;
    let path = |one: &CaRequest| request.out.join(format!("{}.request", one.kind));
    for one in &requests {
        files::write(&path(one), &one.request, Readers::Everyone)?;
    }
    let paths: Vec<String> = requests.iter().map(|one| path(one).display().to_string()).collect();
    answer(&request.admin, &serde_json::json!({ "requests": paths }), |_| {
        format!(
            "{}\n\nTake these files to the root: verbund ca root sign FILE... --root DIR --out DIR\nThen give back what it wrote with --signed.\n",
            paths.join("\n")
        )
    })
}

fn told(admin: &Admin, replacement: &CaReplacement) -> anyhow::Result<()> {
    answer(admin, replacement, |paint| text(replacement, paint))
}

fn text(replacement: &CaReplacement, paint: Paint) -> String {
    let CaReplacement { old, new, new_fingerprint, phase, since, .. } = replacement;
    let mut text = format!(
        "{}\n  goes      {}\n  comes     {}\n            SHA-256 {new_fingerprint}\n  since     {since}\n",
        paint.bold(words(phase)),
        printable(old),
        printable(new)
    );
    let mut line = |what: &str, names: &[String]| {
        if !names.is_empty() {
            text += &format!("  {what}{}\n", printable(&names.join(", ")));
        }
    };
    line("waits for ", &replacement.members);
    line("old certificates of ", &replacement.certificates);
    line("left behind, to join anew: ", &replacement.left_behind);
    if let Some(until) = &replacement.until {
        text += &format!("  goes on without them at {until}\n");
    }
    text
}

/// A phase in words.
fn words(phase: &str) -> &str {
    match phase {
        "staged" => "The new CA is made",
        "distributing" => "Members learn of the new CA; nothing is issued by it yet",
        "switching" => "The new CA begins to issue",
        "renewing" => "Servers get certificates of the new CA",
        "retiring" => "Nothing of the old CA is in use any more",
        "dropping" => "Members forget the old CA",
        "done" => "The new CA takes its place",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_phase_has_words() {
        for phase in ["staged", "distributing", "switching", "renewing", "retiring", "dropping", "done"] {
            assert_ne!(words(phase), phase);
        }
    }

    #[test]
    fn what_it_waits_for_is_named() {
        let replacement = CaReplacement {
            what: "root".into(),
            emergency: false,
            phase: "renewing".into(),
            since: "2027-01-15T08:00:00Z".into(),
            old: "CN=old".into(),
            new: "CN=new".into(),
            new_fingerprint: "ab".into(),
            members: vec!["fe2.a.test".into()],
            certificates: vec!["app.a.test\u{1b}".into()],
            until: None,
            left_behind: Vec::new(),
        };
        let text = text(&replacement, Paint::for_stdout());
        assert!(text.contains("waits for fe2.a.test\n") && text.contains("app.a.test"), "{text}");
        assert!(!text.contains('\u{1b}'), "{text:?}");
    }
}
