//! Several machines in one test: each is a network namespace with a card of its own, and all cards are on one bridge.
//!
//! The test itself sits on the bridge too, answers DNS there and is no machine of the organisation. What a machine runs is started
//! with [`Host::command`]; two machines share nothing but the wire and the test's file system.

use std::net::Ipv4Addr;
use std::process::Command;

use crate::Lab;
use crate::names;
use crate::process::must_run;

/// Where the test is on the bridge, and the name server with it.
const BRIDGE: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 254);

/// The port for servers that a server takes beside the usual one for phones.
const SERVERS_PORT: u16 = 5062;

/// One machine.
#[derive(Clone)]
pub struct Host {
    name: String,
    address: Ipv4Addr,
}

/// Machines on one wire.
pub struct Network {
    hosts: Vec<Host>,
}

impl Network {
    /// Lays the wire and puts a machine on it for each of `names`. Each is called `name.verbund.test` from then on.
    pub fn of(lab: &Lab, names: &[&str]) -> Self {
        // The kernel's list of named namespaces is a folder, and this test's is its own.
        must_run(Command::new("mount").args(["-t", "tmpfs", "none", "/run"]));
        ip("link add bridge0 type bridge");
        ip(&format!("address add {BRIDGE}/24 dev bridge0"));
        ip("link set bridge0 up");
        let hosts: Vec<Host> = (1..).zip(names).map(|(number, name)| Host::plugged_in(name, number)).collect();
        lab.file(names::SERVERS_FILE, &names::servers(BRIDGE));
        names::publish(lab, hosts.iter().map(|host| (host.fqdn(), host.address)));
        Self { hosts }
    }

    /// The machine of that name.
    pub fn host(&self, name: &str) -> &Host {
        self.hosts.iter().find(|host| host.name == name).unwrap_or_else(|| panic!("no machine is called {name}"))
    }
}

impl Host {
    fn plugged_in(name: &str, number: u8) -> Self {
        let address = Ipv4Addr::new(10, 77, 0, number);
        ip(&format!("netns add {name}"));
        ip(&format!("link add wire{number} type veth peer name card0 netns {name}"));
        ip(&format!("link set wire{number} master bridge0 up"));
        ip(&format!("-netns {name} address add {address}/24 dev card0"));
        ip(&format!("-netns {name} link set card0 up"));
        ip(&format!("-netns {name} link set lo up"));
        Self { name: name.to_owned(), address }
    }

    /// Its short name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its name in full.
    pub fn fqdn(&self) -> String {
        format!("{}.{}", self.name, names::DOMAIN)
    }

    /// Its address.
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// The name server it asks.
    pub fn name_server(&self) -> Ipv4Addr {
        BRIDGE
    }

    /// `program` on this machine. The process is that of the program: signals reach it.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, program]);
        command
    }

    /// How many TCP connections stand here with that machine, as the kernel counts them.
    pub fn connections_with(&self, other: &Self) -> usize {
        self.connections(&["dst", &other.address.to_string()])
    }

    /// The same, only those to a port for servers at either end: the links between two servers.
    pub fn links_with(&self, other: &Self) -> usize {
        let port = format!(":{SERVERS_PORT}");
        self.connections(&["dst", &other.address.to_string(), "and", "(", "sport", "=", &port, "or", "dport", "=", &port, ")"])
    }

    fn connections(&self, filter: &[&str]) -> usize {
        must_run(self.command("ss").args(["-Htn", "state", "established"]).args(filter)).lines().count()
    }

    /// How many UDP datagrams came in here so far, as the kernel counts them: on a phone's machine that is media.
    pub fn datagrams_received(&self) -> u64 {
        let counters = must_run(self.command("cat").arg("/proc/net/snmp"));
        let mut rows = counters.lines().filter_map(|line| line.strip_prefix("Udp: ")).map(|row| row.split(' '));
        let (mut names, mut values) = (rows.next().expect("names of counters"), rows.next().expect("counters"));
        let at = names.position(|name| name == "InDatagrams").expect("the kernel counts datagrams");
        values.nth(at).and_then(|value| value.parse().ok()).expect("a number")
    }
}

fn ip(line: &str) {
    must_run(Command::new("ip").args(line.split(' ')));
}
