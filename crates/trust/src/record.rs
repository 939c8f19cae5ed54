//! What is kept of each decision, so that it can be asked for later.

use std::{borrow::Cow, cmp::Reverse, collections::VecDeque, net::SocketAddr, time::SystemTime};

use pki::{CertificateDer, Fingerprint, Fqdn, ListUsed, Purpose, facts};

use crate::Listener;

/// Who called whom.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Direction {
    /// We were called.
    Incoming,
    /// We called.
    Outgoing {
        /// Which server of the topology.
        wanted: Fqdn,
    },
}

impl Direction {
    /// As records call it.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Incoming => "incoming",
            Self::Outgoing { .. } => "outgoing",
        }
    }
}

/// Where a connection comes from and what is known of it besides certificates. None of it makes
/// anybody trusted; it is evidence.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Contact {
    /// Which kind of port was reached: ours, or that of the server we called.
    pub listener: Listener,
    /// From where, or where we called.
    pub source: SocketAddr,
    /// The name that was asked for (RFC 6066 §3).
    pub sni: Option<String>,
    /// What was negotiated, once it is.
    pub tls: Option<TlsFacts>,
}

/// What a handshake negotiated.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct TlsFacts {
    /// `TLSv1_3` or `TLSv1_2`.
    pub version: &'static str,
    /// The cipher suite.
    pub suite: &'static str,
    /// The key exchange.
    pub key_exchange: &'static str,
}

/// One certificate as it was shown.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ShownCertificate {
    /// Whom it names as holder; what cannot be read says so.
    pub subject: String,
    /// SHA-256 of it.
    pub fingerprint: Fingerprint,
}

impl ShownCertificate {
    /// How many certificates of a chain are kept, however many were shown.
    pub(crate) const KEPT_MAX: usize = pki::CHAIN_CERTIFICATES_MAX;

    /// A chain as it was shown. Parses nothing that is larger than what would be judged.
    pub(crate) fn of(chain: &[CertificateDer<'_>]) -> Vec<Self> {
        let read = |der: &CertificateDer<'_>| {
            let readable = der.len() <= pki::CHAIN_BYTES_MAX;
            let subject = readable.then(|| facts(der)).flatten().map(|facts| facts.subject);
            Self { subject: subject.unwrap_or_else(|| "(unreadable)".into()), fingerprint: Fingerprint::of(der) }
        };
        chain.iter().take(Self::KEPT_MAX).map(read).collect()
    }
}

/// One decision, yes or no, with its evidence.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DecisionRecord {
    /// When it was made.
    pub at: SystemTime,
    /// Who called.
    pub direction: Direction,
    /// Where the connection came from.
    pub contact: Contact,
    /// The chain shown, the leaf first.
    pub chain: Vec<ShownCertificate>,
    /// The root that vouched for it, if one did.
    pub anchor: Option<String>,
    /// What a certificate had to be good for.
    pub purpose: Purpose,
    /// Whose certificate would have done.
    pub wanted: Cow<'static, str>,
    /// Whom the certificate names, if it was believed.
    pub shown: Vec<String>,
    /// The version of the topology that was asked.
    pub topology_version: u64,
    /// The revocation list that the certificate was looked up in, if it was believed.
    pub revocation_list: Option<ListUsed>,
    /// How many certificates were known to be revoked.
    pub revoked: usize,
    /// `accepted`, or the refusal's label.
    pub label: &'static str,
    /// As whom, or why not.
    pub verdict: String,
}

impl DecisionRecord {
    /// The longest verdict kept, in characters: a certificate may list thousands of names.
    pub const VERDICT_CHARS_MAX: usize = 1000;

    /// Whether the answer was yes.
    pub fn accepted(&self) -> bool {
        self.label == Self::ACCEPTED
    }

    pub(crate) const ACCEPTED: &'static str = "accepted";
}

/// The last decisions: a ring of fixed size for each verdict. Whoever may come in can do so as often as they like, and no
/// refusal is forgotten for it.
#[derive(Debug, Default)]
pub struct Records {
    accepted: VecDeque<(u64, DecisionRecord)>,
    refused: VecDeque<(u64, DecisionRecord)>,
    made: u64,
}

impl Records {
    /// How many of those that said yes are kept.
    pub const ACCEPTED_MAX: usize = 1000;
    /// How many of those that said no are kept.
    pub const REFUSED_MAX: usize = 1000;

    /// Keeps one; the oldest of the same verdict gives way.
    pub fn push(&mut self, record: DecisionRecord) {
        let (ring, max) = match record.accepted() {
            true => (&mut self.accepted, Self::ACCEPTED_MAX),
            false => (&mut self.refused, Self::REFUSED_MAX),
        };
        if ring.len() == max {
            ring.pop_front();
        }
        ring.push_back((self.made, record));
        self.made += 1;
    }

    /// The newest of each verdict, at most so many of each: together in their order, the newest first.
    pub fn newest_first(&self, of_each: usize) -> impl Iterator<Item = &DecisionRecord> {
        let newest = |ring: &'_ VecDeque<_>| ring.len().saturating_sub(of_each);
        let (accepted, refused) = (self.accepted.range(newest(&self.accepted)..), self.refused.range(newest(&self.refused)..));
        let mut records: Vec<&(u64, DecisionRecord)> = accepted.chain(refused).collect();
        records.sort_unstable_by_key(|(number, _)| Reverse(*number));
        records.into_iter().map(|(_, record)| record)
    }
}
