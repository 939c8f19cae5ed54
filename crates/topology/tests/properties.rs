//! What holds for every list, whoever wrote it and however it is laid out.
#![allow(clippy::unwrap_used)]

use std::{fmt::Write as _, net::SocketAddr};

use pki::Fqdn;
use proptest::prelude::*;
use topology::{
    Listeners, MediaPolicy, Role, Topology,
    edit::{NewServer, add_server, remove_server, set_listeners},
};

fn fqdn(text: &str) -> Fqdn {
    Fqdn::parse(text).unwrap()
}

/// What all servers of a pool are, besides the authority in the first.
#[derive(Clone, Copy, Debug)]
enum Kind {
    FrontEnds,
    Directors,
    Edges,
    Relays,
    Applications,
}

/// A list in a few numbers.
#[derive(Clone, Debug)]
struct Sketch {
    domains: usize,
    support: bool,
    hops: bool,
    pools: Vec<(Kind, Vec<bool>)>,
    /// What an administrator strews between the lines, used over and over.
    remarks: Vec<u8>,
}

fn sketches() -> impl Strategy<Value = Sketch> {
    let kind = prop_oneof![Just(Kind::FrontEnds), Just(Kind::Directors), Just(Kind::Edges), Just(Kind::Relays), Just(Kind::Applications)];
    let pool = (kind, prop::collection::vec(any::<bool>(), 1..4));
    let pools = prop::collection::vec(pool, 0..6);
    (1..4usize, any::<bool>(), any::<bool>(), pools, prop::collection::vec(0..9u8, 1..30))
        .prop_map(|(domains, support, hops, pools, remarks)| Sketch { domains, support, hops, pools, remarks })
}

/// Writes a sketch down as an administrator might.
struct Writer<'a> {
    text: String,
    remarks: std::iter::Cycle<std::slice::Iter<'a, u8>>,
    notes: usize,
}

impl Writer<'_> {
    fn note(&mut self, before: &str, after: &str) {
        self.notes += 1;
        write!(self.text, "{before}# note {} [[pool]] \"{after}", self.notes).unwrap();
    }

    fn line(&mut self, line: &str) {
        match self.remarks.next().unwrap() {
            0 => self.text.push('\n'),
            1 => self.note("", "\n"),
            2 => self.note("\n", "\n\n"),
            3 => self.text.push_str("  "),
            _ => {}
        }
        self.text.push_str(line);
        match self.remarks.next().unwrap() {
            0 => self.note("  ", ""),
            1 => self.text.push('\t'),
            _ => {}
        }
        self.text.push('\n');
    }

    fn server(&mut self, name: &str, roles: &[Role], expected: bool, number: usize) {
        self.line("[[pool.server]]");
        self.line(&format!("fqdn = '{name}'"));
        let roles: Vec<_> = roles.iter().map(|role| format!("\"{role}\"")).collect();
        self.line(&format!("roles = [{}]", roles.join(" , ")));
        if expected {
            return self.line("expected = true");
        }
        for (port, key) in ["servers", "sip", "https"].iter().enumerate() {
            self.line(&format!("{key} = \"192.0.2.{number}:{}\"", 5060 + port));
        }
    }
}

impl Sketch {
    fn text(&self) -> String {
        let mut writer = Writer { text: String::new(), remarks: self.remarks.iter().cycle(), notes: 0 };
        let domains: Vec<_> = (0..self.domains).map(|number| format!("\"d{number}.example\"")).collect();
        writer.line("version = 3");
        writer.line("organisation = \"Büro & Söhne\"");
        writer.line(&format!("domains = [{}]", domains.join(",")));
        if self.support {
            writer.line("media = \"support\"");
        }
        writer.line("[[pool]]");
        writer.line("name = \"home.d0.example\"");
        writer.server("ca.d0.example", &[Role::Authority], false, 1);
        writer.server("fe.d0.example", &[Role::FrontEnd], false, 2);
        for (number, (kind, servers)) in self.pools.iter().enumerate() {
            self.pool(&mut writer, number, *kind, servers);
        }
        writer.note("", "\n");
        writer.text
    }

    fn pool(&self, writer: &mut Writer<'_>, number: usize, kind: Kind, servers: &[bool]) {
        writer.line("[[pool]]");
        writer.line(&format!("name = \"P{number}.d0.example\""));
        let roles: &[Role] = match kind {
            Kind::FrontEnds => &[Role::FrontEnd],
            Kind::Directors => &[Role::Director],
            Kind::Edges => &[Role::MediaRelay, Role::Edge],
            Kind::Relays => &[Role::MediaRelay],
            Kind::Applications => &[Role::Application],
        };
        if self.hops && matches!(kind, Kind::Directors | Kind::Edges) {
            writer.line("next-hop = \"home.d0.example\"");
        }
        for (place, expected) in servers.iter().enumerate() {
            writer.server(&format!("s{number}-{place}.d0.example"), roles, *expected, 10 * (number + 1) + place);
        }
    }
}

/// Every remark, in order.
fn notes(text: &str) -> Vec<&str> {
    text.lines().filter_map(|line| line.split_once('#')).map(|(_, note)| note).filter(|note| note.starts_with(" note")).collect()
}

/// Whether every line is still there, in order.
fn keeps_lines(before: &str, after: &str) -> bool {
    let mut lines = after.lines();
    before.lines().filter(|line| !line.trim_start().starts_with("version")).all(|line| lines.any(|other| other == line))
}

fn new_server(pool: Option<Fqdn>) -> NewServer {
    NewServer { name: fqdn("new.d0.example"), roles: vec![Role::FrontEnd], pool, listeners: Listeners::default(), expected: true }
}

proptest! {
    #[test]
    fn what_we_write_is_read_back(sketch in sketches()) {
        let topology = Topology::parse(&sketch.text()).unwrap();
        prop_assert_eq!(topology.media() == MediaPolicy::Support, sketch.support);
        prop_assert_eq!(Topology::parse(&topology.to_commented_toml()).unwrap(), topology);
    }

    #[test]
    fn adding_keeps_every_line_and_removing_undoes_it(sketch in sketches(), pool in any::<prop::sample::Index>()) {
        let text = sketch.text();
        let topology = Topology::parse(&text).unwrap();
        let pools: Vec<_> = topology.pools().iter().filter(|pool| pool.is_home()).collect();
        for pool in [None, Some(pools[pool.index(pools.len())].name().clone())] {
            let added = add_server(&text, &new_server(pool.clone())).unwrap();
            prop_assert!(keeps_lines(&text, &added), "{}", added);
            let listed = Topology::parse(&added).unwrap();
            prop_assert_eq!(listed.servers().count(), topology.servers().count() + 1);
            prop_assert_eq!(listed.pool_of(&fqdn("new.d0.example")).unwrap().name().clone(), pool.unwrap_or(fqdn("new.d0.example")));
            let removed = remove_server(&added, &fqdn("new.d0.example")).unwrap();
            prop_assert_eq!(removed, text.replacen("version = 3", "version = 5", 1));
        }
    }

    #[test]
    fn joining_keeps_every_remark(sketch in sketches(), server in any::<prop::sample::Index>(), given in 0..8u8) {
        let text = sketch.text();
        let topology = Topology::parse(&text).unwrap();
        let servers: Vec<_> = topology.servers().collect();
        let server = servers[server.index(servers.len())];
        let at = |port: u16| Some(SocketAddr::from(([198, 51, 100, 1], port)));
        let listeners = Listeners { sip: at(1), servers: at(2), https: at(3).filter(|_| given & 1 == 0), http: at(4).filter(|_| given & 2 == 0) };
        let Ok(changed) = set_listeners(&text, server.fqdn(), &listeners, given & 4 == 0) else {
            let clear_text_elsewhere = listeners.http.is_some() && !server.has(Role::Authority);
            prop_assert!(clear_text_elsewhere || (listeners.https.is_none() && server.has(Role::Authority)));
            return Ok(());
        };
        prop_assert_eq!(notes(&changed), notes(&text));
        let changed = Topology::parse(&changed).unwrap();
        let after = changed.server(server.fqdn()).unwrap();
        prop_assert_eq!(after.listeners(), &listeners);
        prop_assert_eq!(after.is_expected(), server.is_expected() && given & 4 != 0);
        let others = |topology: &Topology| topology.servers().filter(|other| other.fqdn() != server.fqdn()).cloned().collect::<Vec<_>>();
        prop_assert_eq!(others(&changed), others(&topology));
    }

    #[test]
    fn removing_leaves_the_others_and_their_remarks(sketch in sketches(), server in any::<prop::sample::Index>()) {
        let text = sketch.text();
        let topology = Topology::parse(&text).unwrap();
        let servers: Vec<_> = topology.servers().filter(|server| !server.has(Role::Authority)).collect();
        let server = servers[server.index(servers.len())].fqdn();
        let Ok(changed) = remove_server(&text, server) else {
            // The home pool has no front end left, and somebody's next hop leads there.
            prop_assert!(sketch.hops && *server == fqdn("fe.d0.example"));
            return Ok(());
        };
        prop_assert!(keeps_lines(&changed, &text));
        let others: Vec<_> = topology.servers().filter(|other| other.fqdn() != server).cloned().collect();
        prop_assert_eq!(Topology::parse(&changed).unwrap().servers().cloned().collect::<Vec<_>>(), others);
        prop_assert!(notes(&changed).last() == notes(&text).last(), "what stands at the end is nobody's");
    }
}
