//! `verbund sip lint`: the parser's face for administrators.
//!
//! The verdict is the `sip` crate's; here it only gets words, a place and an exit code.

use std::{
    fmt::Write as _,
    io::{self, Read as _},
    path::Path,
    process::ExitCode,
};

use serde::Serialize;
use sip::{Fault, Message, Name};

use crate::output::{self, Paint};

/// Exit codes: accepted, rejected, and "there was nothing to judge".
const REJECTED: u8 = 1;
const UNREADABLE: u8 = 2;

/// More than the largest message that a server accepts is not read.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// How much of a line is shown on either side of the fault.
const SHOWN_CHARS_MAX: usize = 60;

/// Judges one file, or standard input for `-`.
///
/// # Errors
/// Standard output is closed. A file that cannot be read is complained about here, with exit code 2.
pub(crate) fn run(file: &Path, json: bool) -> anyhow::Result<ExitCode> {
    let bytes = match read(file) {
        Ok(bytes) => bytes,
        Err(error) => {
            output::complain(&anyhow::anyhow!("cannot read {}: {error}", file.display()));
            return Ok(ExitCode::from(UNREADABLE));
        }
    };
    let verdict = judge(&bytes);
    match json {
        true => output::say_json(&verdict)?,
        false => output::say(for_people(&verdict, &file.display().to_string(), &bytes, Paint::for_stdout()))?,
    }
    Ok(if verdict.verdict == ACCEPTED { ExitCode::SUCCESS } else { ExitCode::from(REJECTED) })
}

fn read(file: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if file == Path::new("-") {
        io::stdin().take(FILE_BYTES_MAX).read_to_end(&mut bytes)?;
    } else {
        std::fs::File::open(file)?.take(FILE_BYTES_MAX).read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

const ACCEPTED: &str = "accepted";

/// What `--json` prints; the keys stay as they are.
#[derive(Debug, Serialize)]
struct Verdict {
    verdict: &'static str,
    /// `request` or `response`, as its first line has it.
    kind: &'static str,
    /// The request's method, or of a response the one in CSeq.
    method: Option<String>,
    /// The rule that was broken, in words; `null` when accepted, as the rest.
    reason: Option<String>,
    /// The same for programs: the rule's name.
    rule: Option<String>,
    /// From 1.
    line: Option<usize>,
    /// From 1, in bytes.
    column: Option<usize>,
    /// From 0, in bytes from the start of the message.
    offset: Option<usize>,
    /// What a server answers. `null` for a broken response: it is dropped (RFC 3261 §18.1.2).
    status: Option<u16>,
    phrase: Option<&'static str>,
    /// What is worth knowing about an accepted message.
    notes: Vec<String>,
}

fn judge(bytes: &[u8]) -> Verdict {
    let kind = if bytes.get(..4).is_some_and(|start| start.eq_ignore_ascii_case(b"SIP/")) { "response" } else { "request" };
    let parsed = Message::parse(bytes::Bytes::copy_from_slice(bytes));
    match parsed.and_then(|message| message.validate().map(|()| message)) {
        Ok(message) => Verdict {
            verdict: ACCEPTED,
            kind,
            method: Some(message.method().to_owned()),
            reason: None,
            rule: None,
            line: None,
            column: None,
            offset: None,
            status: None,
            phrase: None,
            notes: notes(&message, bytes.len()),
        },
        Err(fault) => rejected(fault, kind, bytes),
    }
}

fn rejected(fault: Fault, kind: &'static str, bytes: &[u8]) -> Verdict {
    let (line, column) = fault.place(bytes);
    let answer = (kind == "request").then(|| fault.status());
    Verdict {
        verdict: "rejected",
        kind,
        method: None,
        reason: Some(fault.reason.to_string()),
        rule: Some(rule(&fault)),
        line: Some(line),
        column: Some(column),
        offset: Some(fault.at),
        status: answer.map(sip::Status::code),
        phrase: answer.map(sip::Status::phrase),
        notes: Vec::new(),
    }
}

/// The rule without the header it is about, which the reason names.
fn rule(fault: &Fault) -> String {
    format!("{:?}", fault.reason).split('(').next().unwrap_or_default().to_owned()
}

/// A message from a file may be fine and still not pass a stream.
fn notes(message: &Message, file_len: usize) -> Vec<String> {
    let mut notes = Vec::new();
    if message.first(Name::ContentLength).is_none() {
        notes.push("no Content-Length: over TLS a server cannot tell where this message ends, answers 400 and closes".to_owned());
    }
    let rest = file_len.saturating_sub(message.as_bytes().len());
    if rest > 0 {
        notes.push(format!("{rest} bytes follow the message; over TLS they are the start of the next one"));
    }
    notes
}

fn for_people(verdict: &Verdict, file: &str, bytes: &[u8], paint: Paint) -> String {
    let mut text = String::new();
    let method = verdict.method.as_deref().map(output::printable).unwrap_or_default();
    match (verdict.line, verdict.column) {
        (Some(line), Some(column)) => {
            let reason = verdict.reason.as_deref().unwrap_or_default();
            let _ = writeln!(text, "{file}:{line}:{column}: {}: {reason}", paint.red("rejected"));
            text += &shown(bytes, line, column, paint);
            let _ = match (verdict.status, verdict.phrase) {
                (Some(status), Some(phrase)) => {
                    writeln!(text, "  byte {}; a server answers {status} {phrase}", verdict.offset.unwrap_or(0))
                }
                _ => writeln!(text, "  byte {}; a server drops such a response", verdict.offset.unwrap_or(0)),
            };
        }
        _ => {
            let _ = writeln!(text, "{file}: {} ({} {method})", paint.green(ACCEPTED), verdict.kind);
        }
    }
    for note in &verdict.notes {
        let _ = writeln!(text, "  note: {note}");
    }
    text
}

/// The line of the fault with a caret under the byte.
fn shown(bytes: &[u8], line: usize, column: usize, paint: Paint) -> String {
    let whole = bytes.split(|b| *b == b'\n').nth(line - 1).unwrap_or_default();
    let (before, after) = whole.split_at((column - 1).min(whole.len()));
    let before = output::printable(&String::from_utf8_lossy(before));
    let after = output::printable(String::from_utf8_lossy(after).trim_end_matches('\r'));
    let skipped = before.chars().count().saturating_sub(SHOWN_CHARS_MAX);
    let before: String = before.chars().skip(skipped).collect();
    let after: String = after.chars().take(SHOWN_CHARS_MAX).collect();
    let dots = if skipped > 0 { "…" } else { "" };
    let margin = format!("{line:>5} | ");
    let gap = " ".repeat(margin.chars().count() + dots.chars().count() + before.chars().count());
    format!("{margin}{dots}{before}{after}\n{gap}{}\n", paint.red("^"))
}
