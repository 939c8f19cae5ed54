//! The topology as a text for an administrator, with the words that explain it.

use std::fmt::Write as _;

use crate::edit::EXPECTED;
use crate::{Pool, Role, Server, Topology};

const HEAD: &str = "\
# The topology: who belongs to this organisation, and what each is there for.
# Only servers listed here are trusted, and only if their certificate proves the name as well.
# This file is yours: our commands change single lines of it and leave your words alone.
";

impl Topology {
    /// The text of a new topology file. An administrator's file is never rewritten with it.
    pub fn to_commented_toml(&self) -> String {
        let domains: Vec<_> = self.domains().iter().map(|domain| quoted(domain.as_str())).collect();
        let mut text = String::from(HEAD);
        let lines = [
            String::new(),
            "# Raised with every change.".into(),
            format!("version = {}", self.version()),
            "# The organisation's name, for people.".into(),
            format!("organisation = {}", quoted(self.organisation())),
            "# The SIP domains: what stands behind the @ in the addresses of your users.".into(),
            format!("domains = [{}]", domains.join(", ")),
            "# Media between users: \"require\" lets only encrypted media (SRTP) through, \"support\" lets".into(),
            "# unencrypted calls through as well.".into(),
            format!("media = {}", quoted(self.media().as_str())),
            String::new(),
            "# The roles of servers:".into(),
        ];
        for line in lines.into_iter().chain(Role::ALL.map(|role| format!("#   {role}: {}", role.meaning()))) {
            text.push_str(&line);
            text.push('\n');
        }
        self.pools().iter().for_each(|pool| write_pool(&mut text, pool));
        text
    }
}

// Writing to a String cannot fail, hence the results that are let go below.

fn write_pool(text: &mut String, pool: &Pool) {
    let _ = write!(text, "\n# A pool: servers that share one name and one user base.\n[[pool]]\nname = {}\n", quoted(pool.name().as_str()));
    if let Some(hop) = pool.next_hop() {
        let _ = write!(text, "# Where its servers pass requests on.\nnext-hop = {}\n", quoted(hop.as_str()));
    }
    pool.servers().iter().for_each(|server| write_server(text, server));
}

fn write_server(text: &mut String, server: &Server) {
    let roles: Vec<_> = server.roles().iter().map(|role| quoted(role.as_str())).collect();
    let _ = write!(text, "\n[[pool.server]]\n# The name that its certificate must prove.\nfqdn = {}\n", quoted(server.fqdn().as_str()));
    let _ = writeln!(text, "roles = [{}]", roles.join(", "));
    if server.is_expected() {
        let _ = write!(text, "{EXPECTED}\nexpected = true\n");
    }
    for ((key, address), purpose) in server.listeners().by_key().into_iter().zip(LISTENERS) {
        if let Some(address) = address {
            let _ = write!(text, "{purpose}\n{key} = \"{address}\"\n");
        }
    }
}

/// What each listener is there for, in the order of [`Listeners::by_key`](crate::Listeners::by_key).
const LISTENERS: [&str; 4] = [
    "# SIP over TLS, for clients.",
    "# SIP over mutual TLS, for the other servers.",
    "# HTTPS.",
    "# HTTP, for revocation lists and the root only: they are signed and public.",
];

/// Whether a line is an explanation that we wrote above a key, and no administrator's remark.
pub(crate) fn is_our_comment(line: &str) -> bool {
    line == EXPECTED || LISTENERS.contains(&line)
}

/// A TOML basic string.
fn quoted(text: &str) -> String {
    toml::Value::String(text.into()).to_string()
}
