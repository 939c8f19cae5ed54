//! The network of trusted servers from the command line: servers added and looked at, certificates revoked.
//!
//! What counts is the authority's; what it answers becomes tables or JSON. The list of servers is in [`topology`](crate::topology).

use web::admin::{Member, Spread};

use crate::{
    args::{Admin, Data, Server},
    output::{self, printable, table},
    remote::{answer, ask, client, request_text},
};

/// `verbund server …`
///
/// # Errors
/// No server runs, or it says no; both with the cure.
pub(crate) fn server(data: &Data, command: &Server) -> anyhow::Result<()> {
    match command {
        Server::Add { name, role, pool, new_pool, admin } => {
            let added = ask(client(data)?.add_server(name, role.as_str(), pool.as_ref(), *new_pool))?;
            if admin.json {
                return output::say_json(
                    &serde_json::json!({ "join": added.join.expose(), "version": added.version, "expires": added.expires }),
                );
            }
            output::say(format!(
                "{name} is listed (topology version {}). On its machine, before {}, run `verbund join` and give it this string:\n\n{}\n\nIt is a secret, and good once.\n",
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

/// How far a topology has spread, for people.
pub(crate) fn published(spread: &Spread) -> String {
    format!("Topology version {} is in force {}\n", spread.version.unwrap_or_default(), everywhere(spread))
}

/// `verbund topology status` and `verbund server list`
///
/// # Errors
/// As [`server`].
pub(crate) fn status(data: &Data, admin: &Admin) -> anyhow::Result<()> {
    let members = ask(client(data)?.members())?;
    let rows: Vec<Vec<String>> = members.iter().map(row).collect();
    answer(admin, &members, |paint| {
        let refused = members.iter().flat_map(refusals).map(|line| paint.red(line) + "\n");
        table(paint, &HEADINGS, &rows) + &refused.collect::<String>()
    })
}

const HEADINGS: [&str; 9] = ["SERVER", "ROLES", "STATE", "TOPOLOGY", "AGE", "LAG", "SEEN", "CERTIFICATE UNTIL", "PROGRAM"];

fn row(member: &Member) -> Vec<String> {
    let Member { name, state, certificate_until, version, .. } = member;
    let seen = member.seen_seconds_ago.map_or_else(|| "never".to_owned(), |seconds| format!("{} ago", span(seconds)));
    let age = member.topology_age_seconds.map(span).unwrap_or_default();
    let (topology, lag) = (member.topology.to_string(), member.lag.to_string());
    [name, &member.roles.join(", "), state, &topology, &age, &lag, &seen, certificate_until, version].map(|cell| printable(cell)).into()
}

/// What a member refused stays here until a better one has come: that is an alarm (row N29).
fn refusals(member: &Member) -> Vec<String> {
    let line = |one: &web::control::RefusedDocument| {
        printable(&format!("{} refused the {} at {}: {}", member.name, one.document, one.at, one.reason))
    };
    member.refused.iter().map(line).collect()
}

/// A span of time in its largest unit.
fn span(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}
