//! Questions to the running server: users, status, certificates, decisions.
//!
//! The server answers over its admin socket; here the answers become tables, or JSON as they came.

use std::{fs::File, io::Read, path::Path, process::ExitCode};

use anyhow::{Context as _, ensure};
use serde::Serialize;
use web::admin::{self, Certificate, Client, Created, Decision, Expiry, Status};

use crate::{
    args::{Admin, Data, Secret, User},
    output::{self, Paint, printable, table},
    up,
};

/// Longest password line that is read from standard input.
const PASSWORD_INPUT_BYTES_MAX: u64 = 1024;

/// Longest request for a certificate that is read: PEM is base64, and people put words before it.
const REQUEST_TEXT_BYTES_MAX: u64 = 4 * pki::REQUEST_BYTES_MAX as u64;

/// How many certificates of the ledger are listed.
const CERTIFICATES: usize = 1000;

/// How many decisions of each verdict are listed: those who are let in all day hide nobody who was refused.
const DECISIONS: usize = 50;

pub(crate) fn client(data: &Data) -> anyhow::Result<Client> {
    Ok(Client::new(&up::data_dir(data)?))
}

/// Runs one question; there is no other work, so one thread will do.
pub(crate) fn ask<T>(question: impl Future<Output = Result<T, admin::ClientError>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(question)?)
}

pub(crate) fn answer(admin: &Admin, value: &impl Serialize, text: impl FnOnce(Paint) -> String) -> anyhow::Result<()> {
    if admin.json { output::say_json(value) } else { output::say(text(Paint::for_stdout())) }
}

/// `verbund user …`
///
/// # Errors
/// No server runs, or it says no; both with the cure.
pub(crate) fn user(data: &Data, command: &User) -> anyhow::Result<()> {
    match command {
        User::Add { user, pool } => {
            let password = chosen_password(user)?;
            created(user, &ask(client(data)?.add_user(&user.name, password, pool.as_ref()))?)
        }
        User::Password(user) => {
            let password = chosen_password(user)?;
            created(user, &ask(client(data)?.set_password(&user.name, password))?)
        }
        User::Move { name, pool, admin } => {
            let moved = ask(client(data)?.move_user(name, pool))?;
            answer(admin, &moved, |_| {
                format!(
                    "{} is at home in {} now. Signed in elsewhere, they were signed out and sign in again there.\n",
                    printable(&moved.aor),
                    moved.pool
                )
            })
        }
        User::Sign { name, request, admin } => {
            let signed = ask(client(data)?.sign_user(name, request_text(request)?))?;
            answer(admin, &signed, |_| signed.chain.clone())
        }
        User::List(admin) => {
            let users = ask(client(data)?.users())?;
            answer(admin, &users, |_| users.iter().map(|user| printable(&user.aor) + "\n").collect())
        }
        User::Remove { name, admin } => {
            ask(client(data)?.remove_user(name))?;
            answer(admin, &serde_json::json!({ "removed": name.as_str() }), |_| format!("{name} is removed and signed out.\n"))
        }
    }
}

/// A request for a certificate in PEM, out of a file or standard input.
///
/// # Errors
/// It cannot be read, or is longer than one.
pub(crate) fn request_text(path: &Path) -> anyhow::Result<String> {
    let from: Box<dyn Read> = if path == Path::new("-") {
        Box::new(std::io::stdin())
    } else {
        Box::new(File::open(path).with_context(|| format!("cannot read {}", path.display()))?)
    };
    let mut text = String::new();
    let read =
        from.take(REQUEST_TEXT_BYTES_MAX + 1).read_to_string(&mut text).with_context(|| format!("cannot read {}", path.display()))?;
    ensure!(read as u64 <= REQUEST_TEXT_BYTES_MAX, "{} is longer than a request for a certificate", path.display());
    Ok(text)
}

fn chosen_password(named: &Secret) -> anyhow::Result<Option<admin::Password>> {
    if !named.password_stdin {
        return Ok(None);
    }
    let mut text = zeroize::Zeroizing::new(String::new());
    std::io::stdin().take(PASSWORD_INPUT_BYTES_MAX).read_to_string(&mut text)?;
    Ok(Some(admin::Password::new(text.trim_end_matches(['\r', '\n']))))
}

/// A generated password is shown this once; one that was typed is known already.
fn created(named: &Secret, created: &Created) -> anyhow::Result<()> {
    let aor = printable(&created.aor);
    if !named.password_stdin {
        return answer(&named.admin, created, |paint| {
            format!("{}\npassword {}   (shown this once)\n", paint.bold(aor), printable(created.password.expose()))
        });
    }
    answer(&named.admin, &serde_json::json!({ "aor": created.aor }), |_| format!("{aor} has the password you gave.\n"))
}

/// `verbund status`
///
/// # Errors
/// No server runs.
pub(crate) fn status(data: &Data, admin: &Admin) -> anyhow::Result<()> {
    let status = ask(client(data)?.status())?;
    answer(admin, &status, |paint| status_text(&status, paint))
}

fn status_text(status: &Status, paint: Paint) -> String {
    let Status { domain, server_name, version, started, sip, https, .. } = status;
    let mut text = format!("{}  {server_name}, verbund {version}, since {started}\n", paint.bold(printable(domain)));
    text += &format!("SIP over TLS {sip}, HTTPS {https}\n\n");
    for trouble in &status.troubles {
        text += &format!("{} {}\n\n", paint.bold("Trouble:".to_owned()), printable(trouble));
    }
    let registrations: Vec<Vec<String>> = status.registrations.iter().map(registration_row).collect();
    text += &chapter(paint, &["REACHABLE", "FROM", "EXPIRES", "PHONE", "CONTACT"], &registrations, "No phone can be reached.");
    let connections: Vec<Vec<String>> = status.connections.iter().map(connection_row).collect();
    text += &chapter(
        paint,
        &["CONNECTION", "SIGNED IN", "FROM", "TLS", "SUITE", "KEY EXCHANGE", "SINCE"],
        &connections,
        "Nobody is connected.",
    );
    let certificates: Vec<Vec<String>> = status.certificates.iter().map(certificate_row).collect();
    text + &table(paint, &["CERTIFICATE", "DAYS LEFT", "UNTIL"], &certificates)
}

fn chapter(paint: Paint, headings: &[&str], rows: &[Vec<String>], none: &str) -> String {
    if rows.is_empty() { format!("{none}\n\n") } else { table(paint, headings, rows) + "\n" }
}

fn registration_row(one: &admin::Registration) -> Vec<String> {
    let cells = [&one.aor, &one.remote, &format!("{} s", one.expires_in_seconds), &one.user_agent, &one.contact];
    cells.map(|cell| printable(cell)).into()
}

fn connection_row(one: &admin::Connection) -> Vec<String> {
    let (flow, users) = (one.flow.to_string(), users_text(&one.users));
    [&flow, &users, &one.remote, &one.tls_version, &one.suite, &one.key_exchange, &one.since].map(|cell| printable(cell)).into()
}

/// Gateways sign in hundreds on one connection; a table is for looking at.
fn users_text(users: &[String]) -> String {
    match users {
        [] => "nobody yet".to_owned(),
        [user] => user.clone(),
        [user, others @ ..] => format!("{user} and {} more", others.len()),
    }
}

fn certificate_row(one: &Certificate) -> Vec<String> {
    vec![printable(&one.name), one.days_left.to_string(), one.not_after.clone()]
}

/// `verbund cert show`
///
/// # Errors
/// No server runs.
pub(crate) fn certificates(data: &Data, admin: &Admin) -> anyhow::Result<()> {
    show_certificates(admin, &ask(client(data)?.certificates())?)
}

/// `verbund cert list`
///
/// # Errors
/// No server runs, or it is no authority.
pub(crate) fn ledger(data: &Data, admin: &Admin) -> anyhow::Result<()> {
    show_certificates(admin, &ask(client(data)?.ledger(CERTIFICATES))?)
}

/// `verbund cert due`: an alarm is exit code 1, for monitoring.
///
/// # Errors
/// No server runs, or it is no authority.
pub(crate) fn due(data: &Data, admin: &Admin) -> anyhow::Result<ExitCode> {
    let expiries = ask(client(data)?.expiries())?;
    answer(admin, &expiries, |paint| {
        let days = |one: &Expiry| one.days_left.map(|days| days.to_string()).unwrap_or_default();
        let row = |one: &Expiry| [&one.kind, &one.name, &one.urgency, &days(one), &one.ends].map(|cell| printable(cell)).to_vec();
        table(paint, &["WHAT", "WHOSE", "IS", "DAYS LEFT", "ENDS"], &expiries.iter().map(row).collect::<Vec<_>>())
    })?;
    Ok(if expiries.iter().any(Expiry::is_alarm) { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn show_certificates(admin: &Admin, certificates: &[Certificate]) -> anyhow::Result<()> {
    answer(admin, &certificates, |paint| certificates.iter().map(|one| certificate_text(one, paint)).collect::<Vec<_>>().join("\n"))
}

fn certificate_text(one: &Certificate, paint: Paint) -> String {
    let Certificate { serial, issuer, not_before, not_after, days_left, fingerprint, .. } = one;
    let names = if one.names.is_empty() { String::new() } else { format!("  names    {}\n", printable(&one.names.join(", "))) };
    format!(
        "{}\n{names}  issuer   {}\n  valid    {not_before} to {not_after} ({days_left} days left)\n  serial   {serial}\n  SHA-256  {fingerprint}\n",
        paint.bold(printable(&one.name)),
        printable(issuer)
    )
}

/// `verbund decisions`
///
/// # Errors
/// No server runs.
pub(crate) fn decisions(data: &Data, admin: &Admin) -> anyhow::Result<()> {
    let decisions = ask(client(data)?.decisions(DECISIONS))?;
    let row = |one: &Decision| [&one.at, &one.listener, &one.remote, &one.verdict, &one.reason].map(|cell| printable(cell)).to_vec();
    let rows: Vec<Vec<String>> = decisions.iter().map(row).collect();
    answer(admin, &decisions, |paint| chapter(paint, &["AT", "PORT", "FROM", "VERDICT", "WHO OR WHY"], &rows, "Nobody has knocked yet."))
}
