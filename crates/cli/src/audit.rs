//! `verbund audit …`: what was done in this organisation, and whether the record of it is whole.
//!
//! The state file is only read, so this works while the server runs, after it was stopped, and on a file taken from a backup. How the
//! chain is made is said in `store`.

use std::{fs, process::ExitCode, time::SystemTime};

use anyhow::Context as _;
use clap::{Args as Group, Subcommand};
use pki::Anchors;
use serde_json::{Map, Value, json};
use store::{AuditLog as _, Break, BreakKind, Checkpoint, Embedded, Head, Link, Verdict};
use web::admin::rfc3339;

use crate::{
    args::Data,
    organisation::Layout,
    output::{self, Paint, printable, table},
    up,
};

/// How many events are listed when nothing is said.
const LISTED: usize = 50;

/// `verbund audit …`
#[derive(Debug, Subcommand)]
pub(crate) enum Audit {
    /// Reads the whole log and says whether it is as it was written (exit 0) or not (exit 1)
    Verify(Verify),
    /// Lists the newest events, the oldest of them first
    List(List),
}

/// `verbund audit verify`
#[derive(Debug, Group)]
pub(crate) struct Verify {
    /// An end of the log that was noted earlier, as this command printed it; may be given more than once
    #[arg(long = "expect", value_name = "NUMBER:HASH")]
    noted: Vec<Head>,
    /// Answer as one line of JSON
    #[arg(long)]
    json: bool,
}

/// `verbund audit list`
#[derive(Debug, Group)]
pub(crate) struct List {
    /// Begin with the event of this number [default: the newest are listed]
    #[arg(long, value_name = "NUMBER")]
    from: Option<u64>,
    /// At most so many
    #[arg(long, value_name = "COUNT", default_value_t = LISTED)]
    limit: usize,
    /// Answer as JSON
    #[arg(long)]
    json: bool,
}

/// Does what was typed; the code is the verdict.
///
/// # Errors
/// There is no state file that can be read, with the cure.
pub(crate) fn run(data: &Data, command: &Audit) -> anyhow::Result<ExitCode> {
    let layout = Layout::of(&up::data_dir(data)?);
    let store = Embedded::open_to_read(&layout.file(Layout::STATE))?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    runtime.block_on(async {
        let code = match command {
            Audit::Verify(verify) => say_verdict(&verdict(&layout, &store, &verify.noted).await?, verify.json)?,
            Audit::List(list) => {
                say_events(&links(&store, list).await?, list.json)?;
                ExitCode::SUCCESS
            }
        };
        store.close().await;
        Ok(code)
    })
}

/// The chain is whole, goes through what was noted and what was signed, and the signature is our signer's.
async fn verdict(layout: &Layout, store: &Embedded, noted: &[Head]) -> anyhow::Result<Verdict> {
    let anchors = read_anchors(layout)?;
    let mut noted = noted.to_vec();
    let mirror = layout.file(::authority::AUDIT_HEAD);
    // Of which moment it is, it does not say to those who do not believe it yet: now, or it is of a signer that has ended.
    if let (Some(anchors), Ok(text)) = (&anchors, fs::read_to_string(&mirror)) {
        noted.extend(::authority::read_checkpoint(&text, anchors, SystemTime::now()).ok());
    }
    let verdict = store.verify(&noted).await?;
    let Verdict::Intact { checkpoint: Some(checkpoint), .. } = &verdict else { return Ok(verdict) };
    let Some(anchors) = anchors else { return Ok(verdict) };
    // The newest speaks for all before it.
    match ::authority::read_checkpoint(&checkpoint.signed, &anchors, checkpoint.at) {
        Ok(head) if head == checkpoint.head => Ok(verdict),
        Ok(_) | Err(_) => Ok(Verdict::Broken(Break { number: checkpoint.head.number, kind: BreakKind::Unsigned })),
    }
}

/// The organisation's root; none where only the state file lies, as out of a backup.
fn read_anchors(layout: &Layout) -> anyhow::Result<Option<Anchors>> {
    let path = layout.file(Layout::ROOT);
    if !path.exists() {
        return Ok(None);
    }
    let unusable = || format!("cannot use {}", path.display());
    let roots = pki::certificates_from_pem(&fs::read_to_string(&path).with_context(unusable)?).with_context(unusable)?;
    Ok(Some(Anchors::of(roots).with_context(unusable)?))
}

async fn links(store: &Embedded, list: &List) -> anyhow::Result<Vec<Link>> {
    let last = store.head().await?.map_or(0, |head| head.number);
    let newest = last.saturating_sub(u64::try_from(list.limit).unwrap_or(u64::MAX)).saturating_add(1);
    Ok(store.links(list.from.unwrap_or(newest), list.limit).await?)
}

fn say_verdict(verdict: &Verdict, as_json: bool) -> anyhow::Result<ExitCode> {
    match verdict {
        Verdict::Intact { head, checkpoint } => {
            let (value, text) = (intact_json(head.as_ref(), checkpoint.as_ref()), intact_text(head.as_ref(), checkpoint.as_ref()));
            say(as_json, &value, text)?;
            Ok(ExitCode::SUCCESS)
        }
        Verdict::Broken(broken) => {
            let value = json!({ "intact": false, "link": broken.number, "reason": broken.to_string(), "cure": cure(broken) });
            let text = format!("{} {broken}\n{}\n", Paint::for_stdout().red("The audit log is broken:"), cure(broken));
            say(as_json, &value, text)?;
            Ok(ExitCode::FAILURE)
        }
    }
}

fn say(as_json: bool, value: &Value, text: String) -> anyhow::Result<()> {
    if as_json { output::say_json(value) } else { output::say(text) }
}

fn intact_json(head: Option<&Head>, checkpoint: Option<&Checkpoint>) -> Value {
    json!({
        "intact": true,
        "links": head.map_or(0, |head| head.number),
        "head": head.map(Head::to_string),
        "checkpoint": checkpoint.map(|one| json!({ "head": one.head.to_string(), "at": rfc3339(one.at), "signed": one.signed })),
    })
}

fn intact_text(head: Option<&Head>, checkpoint: Option<&Checkpoint>) -> String {
    let Some(head) = head else { return "The audit log is empty.\n".to_owned() };
    let whole = Paint::for_stdout().green("The audit log is whole:");
    let mut text = format!("{whole} {} events, each as it was written.\n", head.number);
    if let Some(checkpoint) = checkpoint {
        text += &format!("It goes through the end that was signed at {}: {}\n", rfc3339(checkpoint.at), checkpoint.head);
    }
    text + &format!(
        "It ends with {head}\nNote this elsewhere; `verbund audit verify --expect {head}` tells later whether it was cut or written anew.\n"
    )
}

/// What to do about it. The file is evidence: nothing here mends it.
fn cure(broken: &Break) -> String {
    let known = match broken.kind {
        BreakKind::Altered | BreakKind::Unlinked | BreakKind::Missing | BreakKind::Truncated | BreakKind::Unrecorded
            if broken.number > 1 =>
        {
            format!("Events 1 to {} are whole. ", broken.number - 1)
        }
        BreakKind::Altered
        | BreakKind::Unlinked
        | BreakKind::Missing
        | BreakKind::Truncated
        | BreakKind::Unrecorded
        | BreakKind::Replaced
        | BreakKind::Unsigned => String::new(),
    };
    format!(
        "{known}Somebody wrote to {} without verbund: keep a copy of it as evidence, find out who can write it, compare with a backup, \
         and revoke what was issued since.",
        Layout::STATE
    )
}

fn say_events(links: &[Link], as_json: bool) -> anyhow::Result<()> {
    if as_json {
        return output::say_json(&links.iter().map(event_json).collect::<Vec<_>>());
    }
    if links.is_empty() {
        return output::say("The audit log has no such events.\n");
    }
    let rows: Vec<Vec<String>> = links.iter().map(event_row).collect();
    output::say(table(Paint::for_stdout(), &["NUMBER", "AT", "BY", "EVENT", "WHAT"], &rows))
}

fn event_json(link: &Link) -> Value {
    let hash = link.head().to_string().split_once(':').map(|(_, hash)| hash.to_owned());
    // What is no JSON was put there by somebody else; it is shown as it is.
    let event = serde_json::from_str(&link.event).unwrap_or_else(|_| Value::String(link.event.clone()));
    json!({ "number": link.number, "at": rfc3339(link.at), "actor": link.actor, "event": event, "hash": hash })
}

fn event_row(link: &Link) -> Vec<String> {
    let fields: Map<String, Value> = serde_json::from_str(&link.event).unwrap_or_default();
    let name = fields.get("event").and_then(Value::as_str).unwrap_or("?");
    let what: Vec<String> =
        fields.iter().filter(|(key, _)| *key != "event").map(|(key, value)| format!("{key}={}", plain(value))).collect();
    vec![link.number.to_string(), rfc3339(link.at), printable(&link.actor), printable(name), printable(&what.join(" "))]
}

/// A value without the quotes of JSON.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(plain).collect::<Vec<_>>().join(","),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => value.to_string(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    fn link(event: &str) -> Link {
        Link { number: 3, previous: [0; 32], hash: [0xab; 32], at: UNIX_EPOCH, actor: "server".to_owned(), event: event.to_owned() }
    }

    #[test]
    fn an_event_is_one_row_and_steers_no_terminal() {
        let row = event_row(&link(r#"{"event":"issued","serial":"0a","names":["a.test","sip:a.test"],"not_after":7}"#));
        assert_eq!(row, ["3", "1970-01-01T00:00:00Z", "server", "issued", "names=a.test,sip:a.test not_after=7 serial=0a"]);
        assert!(!event_row(&link("{\"event\":\"\\u001b[2J\"}")).concat().contains('\x1b'));
        assert_eq!(event_row(&link("no json"))[3], "?");
    }

    #[test]
    fn an_event_as_json_has_its_hash_and_what_is_no_json_is_a_text() {
        assert_eq!(event_json(&link(r#"{"event":"x"}"#))["event"]["event"], "x");
        let value = event_json(&link("no json"));
        assert_eq!((value["event"].as_str(), value["hash"].as_str()), (Some("no json"), Some("ab".repeat(32).as_str())));
    }

    #[test]
    fn the_cure_says_what_can_still_be_believed() {
        let said = |number, kind| cure(&Break { number, kind });
        assert!(said(5, BreakKind::Altered).starts_with("Events 1 to 4 are whole. "));
        for (number, kind) in [(1, BreakKind::Altered), (5, BreakKind::Replaced)] {
            assert!(said(number, kind).starts_with("Somebody wrote to state.sqlite"), "{number}");
        }
    }
}
