//! How a request finds its server transaction (RFC 3261 §17.2.3).

use std::hash::{DefaultHasher, Hasher};

use sip::{Host, Message, Name, Via};

use crate::{Flow, secret::Secret};

/// What a stranger writes becomes a number through a keyed hash, so nobody can choose which numbers meet.
pub(crate) struct Seed {
    low: DefaultHasher,
    high: DefaultHasher,
}

/// Which server transaction a request belongs to (RFC 3261 §17.2.3), and the flow it came in on: the same
/// words on another flow are another transaction.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct ServerKey {
    pub(crate) flow: Flow,
    hash: (u64, u64),
}

impl Seed {
    pub(crate) fn new(secret: &Secret) -> Self {
        // A hasher that has swallowed a key is a keyed hasher.
        let keyed = |purpose: &str| {
            let mut hasher = DefaultHasher::new();
            hasher.write(secret.derive(purpose).as_slice());
            hasher
        };
        Self { low: keyed("hash, low"), high: keyed("hash, high") }
    }

    /// A keyed hash of some texts; where one ends and the next begins counts.
    pub(crate) fn hash<'a>(&self, parts: impl IntoIterator<Item = &'a str>) -> u64 {
        let mut hasher = self.low.clone();
        parts.into_iter().for_each(|part| put(&mut hasher, part.as_bytes()));
        hasher.finish()
    }

    /// The key of the server transaction this request opens or, for ACK and CANCEL, means.
    pub(crate) fn server_key(&self, flow: Flow, message: &Message) -> Option<ServerKey> {
        let via = message.via().ok()?;
        let cseq = message.cseq().ok()?;
        let method = match message.method() {
            "ACK" | "CANCEL" => "INVITE",
            method => method,
        };
        let (mut low, mut high) = (self.low.clone(), self.high.clone());
        let mut both = |bytes: &[u8]| {
            put(&mut low, bytes);
            put(&mut high, bytes);
        };
        both(method.as_bytes());
        // More than the standard's key, and the same for every request that repeats or means this one: a
        // client that reuses its branches does not lose requests.
        both(message.call_id().ok()?.as_bytes());
        both(&cseq.number.to_be_bytes());
        sent_by(&via, &mut both);
        match via.branch().filter(|branch| is_rfc_3261(branch)) {
            Some(branch) => both(branch.as_bytes()),
            None => {
                // RFC 2543 had no branch to go by.
                both(message.list(Name::Via).next()?.as_bytes());
                both(message.request_uri_text().as_bytes());
                both(message.from().ok()?.tag().unwrap_or_default().as_bytes());
            }
        }
        Some(ServerKey { flow, hash: (low.finish(), high.finish()) })
    }
}

fn put(hasher: &mut DefaultHasher, bytes: &[u8]) {
    hasher.write_usize(bytes.len());
    hasher.write(bytes);
}

/// The magic cookie, and something behind it.
fn is_rfc_3261(branch: &str) -> bool {
    branch.len() > 7 && branch.as_bytes()[..7].eq_ignore_ascii_case(b"z9hG4bK")
}

fn sent_by(via: &Via<'_>, put: &mut impl FnMut(&[u8])) {
    match via.host {
        Host::Name(name) => {
            let mut lower = [0; 64];
            name.as_bytes().chunks(64).for_each(|chunk| {
                lower[..chunk.len()].copy_from_slice(chunk);
                lower[..chunk.len()].make_ascii_lowercase();
                put(&lower[..chunk.len()]);
            });
        }
        Host::V4(address) => put(&address.octets()),
        Host::V6(address) => put(&address.octets()),
    }
    put(&via.port.unwrap_or(0).to_be_bytes());
}
