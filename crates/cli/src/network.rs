//! The network of trusted servers from the command line: servers, topology, revocation.
//!
//! What counts is the authority's; files are only read here, and what is answered becomes tables or JSON.

use std::{fs, path::Path, process::ExitCode};

use anyhow::Context as _;
use web::admin::{Member, PublishedTopology, Spread};

use crate::{
    args::{Admin, Data, Server, Topology},
    files,
    output::{self, Paint, printable, table},
    remote::{answer, ask, client, request_text},
};

/// Exit code when there was nothing to judge.
const UNREADABLE: u8 = 2;
/// How many versions are listed.
const HISTORY: usize = 100;

/// `verbund server …`
///
/// # Errors
/// No server runs, or it says no; both with the cure.
pub(crate) fn server(data: &Data, command: &Server) -> anyhow::Result<()> {
    match command {
        Server::Add { name, role, pool, admin } => {
            let added = ask(client(data)?.add_server(name, role.as_str(), pool.as_ref()))?;
            if admin.json {
                return output::say_json(
                    &serde_json::json!({ "join": added.join.expose(), "version": added.version, "expires": added.expires }),
                );
            }
            output::say(format!(
                "{name} is listed (topology version {}). On its machine, before {}, run:\n\n  verbund join {}\n\nThe string is a secret, and good once.\n",
                added.version,
                added.expires,
                added.join.expose()
            ))
        }
        Server::Sign { name, request, admin } => {
            let signed = ask(client(data)?.sign(name, request_text(request)?))?;
            answer(admin, &signed, |_| signed.chain.clone())
        }
        Server::List(admin) => status(data, admin),
    }
}

/// `verbund cert revoke`
///
/// # Errors
/// As [`server`].
pub(crate) fn revoke(data: &Data, name: &str, admin: &Admin) -> anyhow::Result<()> {
    let spread = ask(client(data)?.revoke(name))?;
    answer(admin, &spread, |_| {
        let what = match spread.revoked.len() {
            1 => "1 certificate".to_owned(),
            count => format!("{count} certificates"),
        };
        format!("{} revoked {}\n", what, everywhere(&spread))
    })
}

fn everywhere(spread: &Spread) -> String {
    let Spread { members, acknowledged, ms, missing, .. } = spread;
    let seconds = std::time::Duration::from_millis(*ms).as_secs_f64();
    if missing.is_empty() {
        return format!("everywhere: {acknowledged}/{members} in {seconds:.1} s");
    }
    format!("at {acknowledged}/{members} in {seconds:.1} s; not yet at {}, who learn when they come back", printable(&missing.join(", ")))
}

/// `verbund topology …`
///
/// # Errors
/// As [`server`]; or a file cannot be read.
pub(crate) fn topology(data: &Data, command: &Topology) -> anyhow::Result<ExitCode> {
    match command {
        Topology::Check { file, json } => return check(file, *json),
        Topology::Plan { file, admin } => plan(data, file, admin)?,
        Topology::Publish { file, admin } => {
            let spread = ask(client(data)?.publish(read(file)?))?;
            answer(admin, &spread, |_| published(&spread))?;
        }
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
            let text = topology::diff((&names[0], &older.document), (&names[1], &newer.document));
            answer(admin, &serde_json::json!({ "from": older.version, "to": newer.version, "diff": text }), |_| text.clone())?;
        }
        Topology::Export { version, admin } => {
            let topology = ask(client(data)?.topology(*version))?;
            answer(admin, &topology, |_| format!("{}\n", topology.signed))?;
        }
        Topology::Graph { file, out } => {
            let text = match file {
                Some(file) => read(file)?,
                None => ask(client(data)?.topology(None))?.document,
            };
            let picture = topology::graph(&topology::Topology::parse(&text)?);
            match out {
                Some(out) => files::write(out, picture, files::Readers::Everyone)?,
                None => output::say(picture)?,
            }
        }
        Topology::Status(admin) => status(data, admin)?,
        Topology::Remove { name, admin } => {
            let spread = ask(client(data)?.remove_server(name))?;
            answer(admin, &spread, |_| format!("{name} is removed. {}", published(&spread)))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn published(spread: &Spread) -> String {
    format!("Topology version {} is in force {}\n", spread.version.unwrap_or_default(), everywhere(spread))
}

fn read(file: &Path) -> anyhow::Result<String> {
    fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
}

/// Every fault with its place, as compilers print them; exit code 1 if there is one.
fn check(file: &Path, json: bool) -> anyhow::Result<ExitCode> {
    let text = match read(file) {
        Ok(text) => text,
        Err(error) => {
            output::complain(&error);
            return Ok(ExitCode::from(UNREADABLE));
        }
    };
    let faults = topology::Topology::parse(&text).err().map(|faults| faults.0).unwrap_or_default();
    if json {
        let fault =
            |fault: &topology::Fault| serde_json::json!({ "line": fault.line, "column": fault.column, "fault": fault.rule.to_string() });
        output::say_json(&serde_json::json!({ "ok": faults.is_empty(), "faults": faults.iter().map(fault).collect::<Vec<_>>() }))?;
    } else {
        let line = |fault: &topology::Fault| format!("{}:{}:{}: {}\n", file.display(), fault.line, fault.column, fault.rule);
        let text: String = faults.iter().map(line).collect();
        output::say(if faults.is_empty() { format!("{}: no faults\n", file.display()) } else { text })?;
    }
    Ok(if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn plan(data: &Data, file: &Path, admin: &Admin) -> anyhow::Result<()> {
    let new = topology::Topology::parse(&read(file)?).with_context(|| format!("{} cannot be published", file.display()))?;
    let old = topology::Topology::parse(&ask(client(data)?.topology(None))?.document)?;
    let plan = topology::plan(&old, &new);
    answer(admin, &plan, |_| format!("{plan}\n"))
}

fn status(data: &Data, admin: &Admin) -> anyhow::Result<()> {
    let members = ask(client(data)?.members())?;
    let rows: Vec<Vec<String>> = members.iter().map(row).collect();
    answer(admin, &members, |paint: Paint| {
        table(paint, &["SERVER", "ROLES", "STATE", "TOPOLOGY", "LAG", "SEEN", "CERTIFICATE UNTIL"], &rows)
    })
}

fn row(member: &Member) -> Vec<String> {
    let seen = member.seen_seconds_ago.map_or_else(|| "never".to_owned(), |seconds| format!("{seconds} s ago"));
    let (topology, lag) = (member.topology.to_string(), member.lag.to_string());
    [&member.name, &member.roles.join(", "), &member.state, &topology, &lag, &seen, &member.certificate_until]
        .map(|cell| printable(cell))
        .into()
}
