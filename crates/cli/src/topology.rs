//! The published list of trusted servers from the command line: looked at, planned, published, looked back on.
//!
//! The rules are the crate `topology`'s and what counts is the authority's; here files are read, faults get their place, and
//! answers become text or JSON.

use std::{
    io::{self, Read as _},
    path::Path,
    process::ExitCode,
};

use ::topology::{Fault, Plan};
use anyhow::Context as _;
use serde::Serialize;
use web::admin::{Judgement, PublishedTopology};

use crate::{
    args::{Admin, Data, Topology},
    files, network,
    output::{self, printable, table},
    remote::{answer, ask, client},
};

/// Exit code when there was nothing to judge.
const UNREADABLE: u8 = 2;
/// How many versions are listed.
const HISTORY: usize = 100;

/// `verbund topology …`
///
/// # Errors
/// No server runs, or it says no; both with the cure.
pub(crate) fn run(data: &Data, command: &Topology) -> anyhow::Result<ExitCode> {
    match command {
        Topology::Check { file, json } => return check(file, *json),
        Topology::Plan { file, admin } => return plan(data, file, admin),
        Topology::Publish { file, admin } => return publish(data, file, admin),
        Topology::Graph { file, out, admin } => return graph(data, file.as_deref(), out.as_deref(), admin),
        Topology::Show { version, admin } => {
            let topology = ask(client(data)?.topology(*version))?;
            answer(admin, &topology, |_| topology.document.clone())?;
        }
        Topology::History(admin) => {
            let history = ask(client(data)?.history(HISTORY))?;
            let row = |one: &PublishedTopology| vec![one.version.to_string(), one.published_at.clone()];
            answer(admin, &history, |paint| table(paint, &["VERSION", "PUBLISHED"], &history.iter().map(row).collect::<Vec<_>>()))?;
        }
        Topology::Diff { from, to, admin } => {
            let (older, newer) = (ask(client(data)?.topology(Some(*from)))?, ask(client(data)?.topology(*to))?);
            let names = [older.version, newer.version].map(|version| format!("version {version}"));
            let text = ::topology::diff((&names[0], &older.document), (&names[1], &newer.document));
            answer(admin, &serde_json::json!({ "from": older.version, "to": newer.version, "diff": text }), |_| text.clone())?;
        }
        Topology::Export { version, admin } => {
            let topology = ask(client(data)?.topology(*version))?;
            answer(admin, &topology, |_| format!("{}\n", topology.signed))?;
        }
        Topology::Status(admin) => network::status(data, admin)?,
        Topology::Remove { name, admin } => {
            let spread = ask(client(data)?.remove_server(name))?;
            answer(admin, &spread, |_| format!("{name} is removed. {}", network::published(&spread)))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn check(file: &Path, json: bool) -> anyhow::Result<ExitCode> {
    let (_, faults) = match read(file) {
        Ok(read) => read,
        Err(error) => return Ok(unreadable(&error)),
    };
    if !faults.is_empty() {
        return tell(file, json, &faults);
    }
    if json {
        output::say_json(&faults_json(&[]))?
    } else {
        output::say(format!("{}: no faults\n", file.display()))?
    }
    Ok(ExitCode::SUCCESS)
}

/// What a plan says, and whether anybody would refuse it.
#[derive(Serialize)]
struct Planned<'a> {
    #[serde(flatten)]
    plan: &'a Plan,
    #[serde(flatten)]
    judgement: &'a Judgement,
}

fn plan(data: &Data, file: &Path, admin: &Admin) -> anyhow::Result<ExitCode> {
    let (text, faults) = match read(file) {
        Ok(read) => read,
        Err(error) => return Ok(unreadable(&error)),
    };
    let (Ok(new), []) = (::topology::Topology::parse(&text), faults.as_slice()) else { return tell(file, admin.json, &faults) };
    let old = ::topology::Topology::parse(&ask(client(data)?.topology(None))?.document)?;
    let judgement = ask(client(data)?.judge(text))?;
    let plan = ::topology::plan(&old, &new);
    answer(admin, &Planned { plan: &plan, judgement: &judgement }, |paint| {
        let refusal = |obstacle: &String| format!("{}: {}\n", paint.red("cannot be published"), printable(obstacle));
        plan.to_string() + &judgement.obstacles.iter().map(refusal).collect::<String>()
    })?;
    Ok(if judgement.obstacles.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn publish(data: &Data, file: &Path, admin: &Admin) -> anyhow::Result<ExitCode> {
    let (text, faults) = match read(file) {
        Ok(read) => read,
        Err(error) => return Ok(unreadable(&error)),
    };
    if !faults.is_empty() {
        return tell(file, admin.json, &faults);
    }
    let spread = ask(client(data)?.publish(text)).with_context(|| format!("{} was not published", file.display()))?;
    answer(admin, &spread, |_| network::published(&spread))?;
    Ok(ExitCode::SUCCESS)
}

fn graph(data: &Data, file: Option<&Path>, out: Option<&Path>, admin: &Admin) -> anyhow::Result<ExitCode> {
    let text = match file.map(|file| (file, read(file))) {
        None => ask(client(data)?.topology(None))?.document,
        Some((_, Err(error))) => return Ok(unreadable(&error)),
        Some((_, Ok((text, faults)))) if faults.is_empty() => text,
        // Standard output is for the picture.
        Some((file, Ok((_, faults)))) => anyhow::bail!("{}", lines(file, &faults).trim_end()),
    };
    let picture = ::topology::graph(&::topology::Topology::parse(&text)?);
    match out {
        Some(out) => {
            files::write(out, picture, files::Readers::Everyone)?;
            // Scripts hear where it is, people have said so themselves.
            answer(admin, &serde_json::json!({ "file": out }), |_| String::new())?;
        }
        None => answer(admin, &serde_json::json!({ "svg": picture }), |_| picture.clone())?,
    }
    Ok(ExitCode::SUCCESS)
}

/// A file, or standard input for `-`, and the faults in it. No more is read than a topology may have: one byte over tells it.
fn read(file: &Path) -> anyhow::Result<(String, Vec<Fault>)> {
    let source: io::Result<Box<dyn io::Read>> =
        if file == Path::new("-") { Ok(Box::new(io::stdin())) } else { std::fs::File::open(file).map(|file| Box::new(file) as _) };
    let mut bytes = Vec::new();
    let limit = ::topology::Topology::FILE_BYTES_MAX as u64 + 1;
    let read = source.and_then(|source| source.take(limit).read_to_end(&mut bytes));
    read.with_context(|| format!("cannot read {}", file.display()))?;
    let text = if bytes.len() as u64 == limit {
        // It has a fault already, and may have been cut within a character.
        String::from_utf8_lossy(&bytes).into_owned()
    } else {
        String::from_utf8(bytes).with_context(|| format!("{} is no text in UTF-8", file.display()))?
    };
    let faults = ::topology::Topology::parse(&text).err().map(|faults| faults.0).unwrap_or_default();
    Ok((text, faults))
}

fn unreadable(error: &anyhow::Error) -> ExitCode {
    output::complain(error);
    ExitCode::from(UNREADABLE)
}

/// Every fault with its place, as compilers print them.
fn tell(file: &Path, json: bool, faults: &[Fault]) -> anyhow::Result<ExitCode> {
    if json {
        output::say_json(&faults_json(faults))?
    } else {
        output::say(lines(file, faults))?
    }
    Ok(ExitCode::FAILURE)
}

fn lines(file: &Path, faults: &[Fault]) -> String {
    let line = |fault: &Fault| format!("{}:{}:{}: {}\n", file.display(), fault.line, fault.column, printable(&fault.rule.to_string()));
    faults.iter().map(line).collect()
}

fn faults_json(faults: &[Fault]) -> serde_json::Value {
    let fault = |fault: &Fault| serde_json::json!({ "line": fault.line, "column": fault.column, "fault": fault.rule.to_string() });
    serde_json::json!({ "ok": faults.is_empty(), "faults": faults.iter().map(fault).collect::<Vec<_>>() })
}
