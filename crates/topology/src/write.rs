//! The topology as a text for an administrator, with the words that explain it.

use std::fmt::Write as _;

use crate::{Pool, Role, Server, Topology};

const HEAD: &str = "\
# The topology: who belongs to this organisation, and what each is there for.
# Only servers listed here are trusted, and only if their certificate proves the name as well.
# This file is yours: it is written once, when the organisation is made, and only read afterwards.
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
        ];
        for line in lines {
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
    pool.servers().iter().for_each(|server| write_server(text, server));
}

fn write_server(text: &mut String, server: &Server) {
    let roles: Vec<_> = server.roles().iter().map(|role: &Role| quoted(role.as_str())).collect();
    let _ = write!(text, "\n[[pool.server]]\n# The name that its certificate must prove.\nfqdn = {}\n", quoted(server.fqdn().as_str()));
    let _ = write!(text, "# authority: holds the CA and this list; front-end: clients sign in here.\nroles = [{}]\n", roles.join(", "));
    let listeners = [("sip", "SIP over TLS", server.listeners().sip), ("https", "HTTPS", server.listeners().https)];
    for (key, what, address) in listeners {
        if let Some(address) = address {
            let _ = write!(text, "# {what}.\n{key} = \"{address}\"\n");
        }
    }
}

/// A TOML basic string.
fn quoted(text: &str) -> String {
    toml::Value::String(text.into()).to_string()
}
