//! The names of a test's network, as /etc/hosts and as a name server: some phones ask the one, some the other.

use std::fs;
use std::net::{Ipv4Addr, UdpSocket};
use std::thread;

use crate::Lab;

/// The name that the server's certificate bears.
pub(crate) const SERVER_NAME: &str = "sip.verbund.test";
/// A name that leads to the server but that its certificate does not bear.
pub(crate) const OTHER_NAME: &str = "other.verbund.test";
/// The SIP domain.
pub(crate) const DOMAIN: &str = "verbund.test";

/// The names of a network that is loopback and nothing else.
const NAMES: [&str; 4] = ["localhost", SERVER_NAME, OTHER_NAME, DOMAIN];
/// The file of the lab that stands in the place of /etc/hosts.
pub(crate) const FILE: &str = "hosts";
/// The one that stands in the place of /etc/resolv.conf.
pub(crate) const SERVERS_FILE: &str = "resolv.conf";

/// The content of /etc/resolv.conf where the name server has this address.
pub(crate) fn servers(address: Ipv4Addr) -> String {
    format!("nameserver {address}\n")
}

/// The content of /etc/hosts where every name leads to loopback.
pub(crate) fn hosts() -> String {
    format!("127.0.0.1 {}\n", NAMES.join(" "))
}

/// These names lead to these addresses from now on, and no others but localhost to anywhere.
pub(crate) fn publish(lab: &Lab, names: impl Iterator<Item = (String, Ipv4Addr)>) {
    let lines: String = names.map(|(name, address)| format!("{address} {name}\n")).collect();
    lab.file(FILE, &format!("127.0.0.1 localhost\n{lines}"));
}

/// Starts answering DNS on port 53 of every address for as long as the test runs, out of /etc/hosts as it then is.
pub(crate) fn answer() {
    let socket = UdpSocket::bind("0.0.0.0:53").expect("port 53 of an own network is free");
    thread::spawn(move || {
        let mut query = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut query) {
            let hosts = fs::read_to_string("/etc/hosts").unwrap_or_default();
            if let Some(reply) = reply_to(&query[..length], &hosts) {
                let _ = socket.send_to(&reply, from);
            }
        }
    });
}

/// Where `hosts` says that this name leads.
fn address_of(name: &str, hosts: &str) -> Option<Ipv4Addr> {
    let mut lines = hosts.lines().map(str::split_whitespace);
    lines.find_map(|mut line| {
        let address = line.next()?.parse().ok()?;
        line.any(|other| other.eq_ignore_ascii_case(name)).then_some(address)
    })
}

/// The answer to one query (RFC 1035 §4): an address for names in `hosts`, "no such name" for all others.
fn reply_to(query: &[u8], hosts: &str) -> Option<Vec<u8>> {
    let (name, question_end) = question_name(query)?;
    let kind = u16::from_be_bytes([*query.get(question_end)?, *query.get(question_end + 1)?]);
    let known = address_of(&name, hosts);
    let address = known.filter(|_| kind == 1);
    let mut reply = query[..2].to_vec();
    // A response, authoritative, recursion available; code 3 is "no such name".
    reply.extend([0x85, if known.is_some() { 0x80 } else { 0x83 }, 0, 1, 0, u8::from(address.is_some()), 0, 0, 0, 0]);
    reply.extend(query.get(12..question_end + 4)?);
    if let Some(address) = address {
        // The name by reference to the question, type A, class IN, 60 s, four bytes.
        reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
        reply.extend(address.octets());
    }
    Some(reply)
}

fn question_name(query: &[u8]) -> Option<(String, usize)> {
    let mut labels = Vec::new();
    let mut at = 12;
    loop {
        let length = usize::from(*query.get(at)?);
        at += 1;
        if length == 0 {
            return Some((labels.join("."), at));
        }
        labels.push(String::from_utf8_lossy(query.get(at..at + length)?).into_owned());
        at += length;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(name: &str, kind: u8) -> Vec<u8> {
        let mut bytes = vec![7, 9, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.split('.') {
            bytes.push(u8::try_from(label.len()).expect("a short label"));
            bytes.extend(label.as_bytes());
        }
        bytes.extend([0, 0, kind, 0, 1]);
        bytes
    }

    #[test]
    fn a_name_of_ours_has_an_address() {
        let reply = reply_to(&query("SIP.verbund.test", 1), &hosts()).expect("a reply");
        assert_eq!((reply[0], reply[3], reply[7]), (7, 0x80, 1));
        assert_eq!(reply[reply.len() - 4..], [127, 0, 0, 1]);
    }

    #[test]
    fn each_machine_has_its_own_address() {
        let hosts = "127.0.0.1 localhost\n10.77.0.1 sip.verbund.test\n10.77.0.2 fe1.verbund.test\n";
        let reply = reply_to(&query("fe1.verbund.test", 1), hosts).expect("a reply");
        assert_eq!(reply[reply.len() - 4..], [10, 77, 0, 2]);
    }

    #[test]
    fn a_name_of_ours_has_no_service_record() {
        let reply = reply_to(&query("verbund.test", 33), &hosts()).expect("a reply");
        assert_eq!((reply[3], reply[7]), (0x80, 0));
    }

    #[test]
    fn any_other_name_does_not_exist() {
        assert_eq!(reply_to(&query("example.com", 1), &hosts()).expect("a reply")[3], 0x83);
    }
}
