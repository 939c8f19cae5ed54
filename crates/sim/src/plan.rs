//! A topology for scenes: who there is, in a few words; where each listens follows from its place in the list.

use std::{fmt::Write as _, net::SocketAddr};

use pki::Fqdn;
use topology::Topology;

use crate::Sim;

/// Pool, server and role, all by their first label.
pub type Entry<'a> = (&'a str, &'a str, &'a str);

/// Users have their addresses in this domain as well.
pub const OTHER_DOMAIN: &str = "contoso.test";

/// The whole name of a server or pool.
pub(crate) fn fqdn(label: &str) -> Fqdn {
    format!("{label}.{}", Sim::DOMAIN).parse().unwrap()
}

/// Where the servers so listed listen, now and after any change of the list.
#[derive(Default)]
pub(crate) struct Places(Vec<String>);

impl Places {
    /// The number of a server, the same for ever.
    fn number(&mut self, server: &str) -> usize {
        let at = self.0.iter().position(|known| known == server).unwrap_or_else(|| {
            self.0.push(server.into());
            self.0.len() - 1
        });
        at + 10
    }

    pub(crate) fn sip(&mut self, server: &str) -> SocketAddr {
        format!("192.0.2.{}:5061", self.number(server)).parse().unwrap()
    }

    pub(crate) fn servers(&mut self, server: &str) -> SocketAddr {
        format!("192.0.2.{}:5062", self.number(server)).parse().unwrap()
    }

    /// The topology with these servers.
    pub(crate) fn topology(&mut self, version: u64, entries: &[Entry<'_>]) -> Topology {
        let domain = Sim::DOMAIN;
        let mut text = format!("version = {version}\norganisation = \"Contoso\"\ndomains = [\"{domain}\", \"{OTHER_DOMAIN}\"]\n");
        let mut last = "";
        for (pool, server, role) in entries {
            if last != *pool {
                writeln!(text, "[[pool]]\nname = \"{pool}.{domain}\"").unwrap();
            }
            last = pool;
            writeln!(text, "[[pool.server]]\nfqdn = \"{server}.{domain}\"\nroles = [\"{role}\"]").unwrap();
            writeln!(text, "servers = \"{}\"", self.servers(server)).unwrap();
            if ["front-end", "director"].contains(role) {
                writeln!(text, "sip = \"{}\"", self.sip(server)).unwrap();
            }
            if *role == "authority" {
                writeln!(text, "https = \"192.0.2.{}:443\"", self.number(server)).unwrap();
            }
        }
        Topology::parse(&text).unwrap_or_else(|faults| panic!("{faults}\n{text}"))
    }
}
