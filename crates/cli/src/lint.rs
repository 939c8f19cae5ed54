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
use sip::{Accepted, Note, Rejected, Verdict};

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
    let verdict = sip::lint(&bytes);
    match json {
        true => output::say_json(&Report::of(&verdict))?,
        false => output::say(for_people(&verdict, &file.display().to_string(), &bytes, Paint::for_stdout()))?,
    }
    Ok(if verdict.is_accepted() { ExitCode::SUCCESS } else { ExitCode::from(REJECTED) })
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

/// What `--json` prints; the keys stay as they are.
#[derive(Debug, Default, Serialize)]
struct Report {
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
    /// From 0, in bytes from the start of the file.
    offset: Option<usize>,
    /// What a server answers. `null` for a broken response: it is dropped (RFC 3261 §18.1.2).
    status: Option<u16>,
    phrase: Option<&'static str>,
    /// What is worth knowing about an accepted message.
    notes: Vec<String>,
}

impl Report {
    fn of(verdict: &Verdict) -> Self {
        match verdict {
            Verdict::Accepted(accepted) => Self {
                verdict: "accepted",
                kind: kind(accepted),
                method: Some(accepted.method.clone()),
                notes: accepted.notes.iter().map(note).collect(),
                ..Self::default()
            },
            Verdict::Rejected(Rejected { reason, at, line, column, status }) => Self {
                verdict: "rejected",
                kind: if status.is_some() { "request" } else { "response" },
                reason: Some(reason.to_string()),
                rule: Some(rule(*reason)),
                line: Some(*line),
                column: Some(*column),
                offset: Some(*at),
                status: status.map(sip::Status::code),
                phrase: status.map(sip::Status::phrase),
                ..Self::default()
            },
        }
    }
}

fn kind(accepted: &Accepted) -> &'static str {
    if accepted.status.is_some() { "response" } else { "request" }
}

/// The rule without the header it is about, which the reason names.
fn rule(reason: sip::Reason) -> String {
    format!("{reason:?}").split('(').next().unwrap_or_default().to_owned()
}

fn note(note: &Note) -> String {
    note.status.map_or_else(|| note.text.clone(), |status| format!("{}; a server answers {status}", note.text))
}

fn for_people(verdict: &Verdict, file: &str, bytes: &[u8], paint: Paint) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    match verdict {
        Verdict::Accepted(accepted) => {
            let method = output::printable(&accepted.method);
            let _ = writeln!(text, "{file}: {} ({} {method})", paint.green("accepted"), kind(accepted));
            for told in &accepted.notes {
                let _ = writeln!(text, "  note: {}", output::printable(&note(told)));
            }
        }
        Verdict::Rejected(Rejected { reason, at, line, column, status }) => {
            let _ = writeln!(text, "{file}:{line}:{column}: {}: {reason}", paint.red("rejected"));
            text += &shown(bytes, *line, *column, paint);
            let answer = status.map_or_else(|| "a server drops such a response".to_owned(), |status| format!("a server answers {status}"));
            let _ = writeln!(text, "  byte {at}; {answer}");
        }
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
