//! What ends next in the whole organisation: certificates of members and of the CAs, lists, signed documents; and what should have been
//! replaced by now.
//!
//! Nearly all of it is replaced unattended, at half of its life or earlier. So whatever reaches three quarters of it has
//! failed for a long time, and there is still a quarter left to do something about that.

use std::time::{Duration, SystemTime};

use pki::{CertificateDer, Fqdn, IssuerKind};
use store::RevocationListStore as _;
use topology::Server;

use crate::{Authority, Fault, revoke::Holder};

/// How long a certificate that ended is remembered here, so that a server which nobody misses is told of for a year.
const ENDED_AGO_MAX: Duration = Duration::from_hours(366 * 24);

/// What ends.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Ending {
    /// A root of the organisation.
    Root,
    /// An issuing CA.
    IssuingCa,
    /// Who signs topology and trust bundle.
    DocumentSigner,
    /// A server's certificate.
    Server,
    /// A CA's revocation list.
    RevocationList,
    /// The trust bundle.
    Bundle,
    /// The topology.
    Topology,
}

impl Ending {
    /// As it is printed, and as a label of metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::IssuingCa => "issuing-ca",
            Self::DocumentSigner => "document-signer",
            Self::Server => "server",
            Self::RevocationList => "revocation-list",
            Self::Bundle => "bundle",
            Self::Topology => "topology",
        }
    }

    /// How much of its life, in twelfths, may be over before it is due and before it is overdue. A CA is replaced by people, who
    /// are told when a quarter of its life is left.
    const fn twelfths(self) -> (u32, u32) {
        match self {
            Self::Root | Self::IssuingCa => (9, 11),
            Self::DocumentSigner | Self::Server | Self::RevocationList | Self::Bundle | Self::Topology => (6, 9),
        }
    }
}

/// How urgent it is.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Urgency {
    /// There is time.
    Fine,
    /// There is no certificate that counts: it was revoked, or none was fetched yet. Somebody wanted it so.
    Absent,
    /// It is being replaced about now.
    Due,
    /// It should have been replaced.
    Overdue,
    /// It counts no more.
    Ended,
}

impl Urgency {
    /// As it is printed.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fine => "fine",
            Self::Absent => "absent",
            Self::Due => "due",
            Self::Overdue => "overdue",
            Self::Ended => "ended",
        }
    }

    /// Whether somebody has to do something.
    #[must_use]
    pub fn is_alarm(self) -> bool {
        self >= Self::Overdue
    }

    fn of(kind: Ending, from: SystemTime, until: SystemTime, now: SystemTime) -> Self {
        let life = until.duration_since(from).unwrap_or_default();
        let (due, overdue) = kind.twelfths();
        match now {
            now if now > until => Self::Ended,
            now if now >= from + life * overdue / 12 => Self::Overdue,
            now if now >= from + life * due / 12 => Self::Due,
            _ => Self::Fine,
        }
    }
}

/// Something that ends, and when.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Expiry {
    /// What it is.
    pub kind: Ending,
    /// Whose.
    pub name: String,
    /// When it ends; `None` where there is none.
    pub ends: Option<SystemTime>,
    /// How urgent that is.
    pub urgency: Urgency,
}

impl Expiry {
    fn new(kind: Ending, name: impl Into<String>, from: SystemTime, until: SystemTime, now: SystemTime) -> Self {
        Self { kind, name: name.into(), ends: Some(until), urgency: Urgency::of(kind, from, until, now) }
    }

    fn of_certificate(kind: Ending, der: &CertificateDer<'_>, now: SystemTime) -> Option<Self> {
        let facts = pki::facts(der)?;
        Some(Self::new(kind, facts.subject, facts.not_before, facts.not_after, now))
    }
}

impl Authority {
    /// Everything that ends, the first to end first; what is absent comes last.
    ///
    /// # Errors
    /// The store.
    pub async fn expiries(&self, now: SystemTime) -> Result<Vec<Expiry>, Fault> {
        let holdings = self.member.holdings();
        let bundle = holdings.bundle();
        let roots = bundle.roots.iter().filter_map(|root| Expiry::of_certificate(Ending::Root, root, now));
        let issuing = bundle.issuing.iter().filter_map(|ca| Expiry::of_certificate(Ending::IssuingCa, &ca.certificate, now));
        let mut all: Vec<Expiry> = roots.chain(issuing).collect();
        all.extend(self.ca().signer.chain().first().and_then(|signer| Expiry::of_certificate(Ending::DocumentSigner, signer, now)));
        all.extend(self.list_expiries(now).await?);
        all.push(Expiry::new(Ending::Bundle, format!("sequence {}", bundle.sequence), bundle.issued_at, bundle.valid_until, now));
        all.extend(self.topology_expiry(now).await?);
        for server in holdings.topology().servers().filter(|server| !server.is_expected()) {
            all.push(self.server_expiry(server, now).await?);
        }
        all.sort_by_key(|one| (one.ends.is_none(), one.ends));
        Ok(all)
    }

    async fn list_expiries(&self, now: SystemTime) -> Result<Vec<Expiry>, Fault> {
        let mut all = Vec::new();
        let ca = self.ca();
        for lister in ca.listers() {
            let Some(list) = self.store.list(&lister.key()).await? else { continue };
            let whose = match lister.kind() {
                None => "of the root",
                Some(IssuerKind::Servers) => "of the CA for servers",
                Some(IssuerKind::Users) => "of the CA for users",
            };
            let name = format!("{whose}, number {}", list.number);
            all.push(Expiry::new(Ending::RevocationList, name, list.this_update, list.next_update, now));
        }
        Ok(all)
    }

    async fn topology_expiry(&self, now: SystemTime) -> Result<Option<Expiry>, Fault> {
        let Some(published) = self.topology(None).await? else { return Ok(None) };
        let until = self.member.holdings().held_topology().valid_until;
        Ok(Some(Expiry::new(Ending::Topology, format!("version {}", published.version.0), published.published_at, until, now)))
    }

    /// The newest certificate of a server: the one it shows, or will.
    async fn server_expiry(&self, server: &Server, now: SystemTime) -> Result<Expiry, Fault> {
        let name = server.fqdn();
        let newest = match self.newest_of(name, now).await? {
            Some(newest) => Some(newest),
            None => self.newest_of(name, now - ENDED_AGO_MAX).await?,
        };
        let expiry = |newest: store::Issued| Expiry::new(Ending::Server, name.as_str(), newest.not_before, newest.not_after, now);
        let absent = || Expiry { kind: Ending::Server, name: name.to_string(), ends: None, urgency: Urgency::Absent };
        Ok(newest.map_or_else(absent, expiry))
    }

    async fn newest_of(&self, server: &Fqdn, since: SystemTime) -> Result<Option<store::Issued>, Fault> {
        let standing = self.standing(&Holder::Server(server.clone()), since).await?;
        Ok(standing.into_iter().max_by_key(|certificate| certificate.not_after))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_hours(24);

    #[track_caller]
    fn check(kind: Ending, life: u32, age: u32, urgency: Urgency) {
        let from = SystemTime::UNIX_EPOCH + 10_000 * DAY;
        assert_eq!(Urgency::of(kind, from, from + life * DAY, from + age * DAY), urgency, "{kind:?} of {life} days after {age}");
    }

    #[test]
    fn what_is_replaced_unattended_is_due_at_half_and_overdue_at_three_quarters() {
        for (age, urgency) in [
            (0, Urgency::Fine),
            (5, Urgency::Fine),
            (6, Urgency::Due),
            (8, Urgency::Due),
            (9, Urgency::Overdue),
            (12, Urgency::Overdue),
            (13, Urgency::Ended),
        ] {
            check(Ending::Server, 12, age, urgency);
            check(Ending::RevocationList, 12, age, urgency);
        }
    }

    #[test]
    fn people_have_more_notice_than_programs_need() {
        check(Ending::IssuingCa, 1095, 800, Urgency::Fine);
        check(Ending::IssuingCa, 1095, 822, Urgency::Due);
        check(Ending::IssuingCa, 1095, 1004, Urgency::Overdue);
        check(Ending::Root, 7300, 7301, Urgency::Ended);
    }

    #[test]
    fn only_what_nobody_wanted_is_an_alarm() {
        let alarms = [Urgency::Fine, Urgency::Absent, Urgency::Due, Urgency::Overdue, Urgency::Ended].map(Urgency::is_alarm);
        assert_eq!(alarms, [false, false, false, true, true]);
    }
}
