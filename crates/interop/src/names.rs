//! The names of a test's network, as /etc/hosts and as a name server: some phones ask the one, some the other.

use std::net::UdpSocket;
use std::thread;

/// The name that the server's certificate bears.
pub(crate) const SERVER_NAME: &str = "sip.verbund.test";
/// A name that leads to the server but that its certificate does not bear.
pub(crate) const OTHER_NAME: &str = "other.verbund.test";
/// The SIP domain.
pub(crate) const DOMAIN: &str = "verbund.test";

/// Every name leads to loopback: there is no other network in here.
const NAMES: [&str; 4] = ["localhost", SERVER_NAME, OTHER_NAME, DOMAIN];

/// The content of /etc/hosts.
pub(crate) fn hosts() -> String {
    format!("127.0.0.1 {}\n", NAMES.join(" "))
}

/// Starts answering DNS on 127.0.0.1:53 for as long as the test runs.
pub(crate) fn answer() {
    let socket = UdpSocket::bind("127.0.0.1:53").expect("port 53 of an own network is free");
    thread::spawn(move || {
        let mut query = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut query) {
            if let Some(reply) = reply_to(&query[..length]) {
                let _ = socket.send_to(&reply, from);
            }
        }
    });
}

/// The answer to one query (RFC 1035 §4): an address for our names, "no such name" for all others.
fn reply_to(query: &[u8]) -> Option<Vec<u8>> {
    let (name, question_end) = question_name(query)?;
    let kind = u16::from_be_bytes([*query.get(question_end)?, *query.get(question_end + 1)?]);
    let known = NAMES.iter().any(|ours| ours.eq_ignore_ascii_case(&name));
    let address = known && kind == 1;
    let mut reply = query[..2].to_vec();
    // A response, authoritative, recursion available; code 3 is "no such name".
    reply.extend([0x85, if known { 0x80 } else { 0x83 }, 0, 1, 0, u8::from(address), 0, 0, 0, 0]);
    reply.extend(query.get(12..question_end + 4)?);
    if address {
        // The name by reference to the question, type A, class IN, 60 s, four bytes.
        reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1]);
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
        let reply = reply_to(&query("SIP.verbund.test", 1)).expect("a reply");
        assert_eq!((reply[0], reply[3], reply[7]), (7, 0x80, 1));
        assert_eq!(reply[reply.len() - 4..], [127, 0, 0, 1]);
    }

    #[test]
    fn a_name_of_ours_has_no_service_record() {
        let reply = reply_to(&query("verbund.test", 33)).expect("a reply");
        assert_eq!((reply[3], reply[7]), (0x80, 0));
    }

    #[test]
    fn any_other_name_does_not_exist() {
        assert_eq!(reply_to(&query("example.com", 1)).expect("a reply")[3], 0x83);
    }
}
