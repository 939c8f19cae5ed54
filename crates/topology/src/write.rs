//! The topology as a text for an administrator, with the words that explain it.

use std::fmt::Write as _;

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
        text.push_str("# Added, but not joined yet.\nexpected = true\n");
    }
    for (key, address) in server.listeners().by_key() {
        if let Some(address) = address {
            let _ = write!(text, "# {}\n{key} = \"{address}\"\n", purpose(key));
        }
    }
}

/// What a listener is there for.
fn purpose(key: &str) -> &'static str {
    match key {
        "sip" => "SIP over TLS, for clients.",
        "servers" => "SIP over mutual TLS, for the other servers.",
        "https" => "HTTPS.",
        _ => "HTTP, for revocation lists and the root only: they are signed and public.",
    }
}

/// A TOML basic string.
fn quoted(text: &str) -> String {
    toml::Value::String(text.into()).to_string()
}
