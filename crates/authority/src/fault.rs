//! Why the authority did not do what it was asked.

use pki::Fqdn;
use registrar::UserName;

/// How many pools an error names; `topology show` has them all.
const POOLS_TOLD: usize = 10;

fn pools_text(pools: &[Fqdn]) -> String {
    let told = pools.iter().take(POOLS_TOLD).map(Fqdn::as_str).collect::<Vec<_>>().join(", ");
    match pools.len() {
        1 => format!("is {told}"),
        count @ ..=POOLS_TOLD if count > 1 => format!("are {told}"),
        count => format!("are {told} and {} more", count.saturating_sub(POOLS_TOLD)),
    }
}

/// Why the authority did not do what it was asked: the fact, then the cure.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The text is no topology.
    #[error("the topology has faults:\n{0}")]
    Topology(#[from] topology::Faults),
    /// An edit of ours does not fit the topology.
    #[error(transparent)]
    Edit(#[from] topology::edit::EditFault),
    /// The next version must be higher.
    #[error("this topology has version {offered} and version {current} is in force: raise `version` to {} or more", current + 1)]
    Version {
        /// The version offered.
        offered: u64,
        /// The one in force.
        current: u64,
    },
    /// The authority may not publish itself away.
    #[error("this topology gives the role authority to {listed}, and {own} is the authority: it cannot publish itself away")]
    OtherAuthority {
        /// Who is listed as authority.
        listed: Fqdn,
        /// Who we are.
        own: Fqdn,
    },
    /// The issuing CA may not issue for it.
    #[error(
        "{name} lies outside the domains of the issuing CA ({domains}): an issuing CA for that domain has to be made first (verbund ca)"
    )]
    OutsideCa {
        /// Which name.
        name: Fqdn,
        /// What the CA may issue for.
        domains: String,
    },
    /// Users would have no home.
    #[error("{count} users are at home in {pool}, which this topology does not list as the home of users: move or remove them first")]
    Homeless {
        /// The pool.
        pool: Fqdn,
        /// How many.
        count: usize,
    },
    /// A pool that is none.
    #[error("the topology lists no pool {0} where users can be at home: verbund topology show lists the pools")]
    NoSuchPool(Fqdn),
    /// A certificate names a user by a SIP URI in which nothing is escaped.
    #[error("the name of {0} cannot stand in a certificate: only letters, digits and -_.!~*'()+ can")]
    Unwritable(UserName),
    /// Perhaps mistyped: a pool does not come about by accident.
    #[error(
        "the topology lists no pool {name}{}; there {}. To make a new pool of that name, add --new-pool",
        like.as_ref().map(|like| format!(" (did you mean {like}?)")).unwrap_or_default(),
        pools_text(known)
    )]
    UnknownPool {
        /// What was written.
        name: Fqdn,
        /// The pool that was perhaps meant.
        like: Option<Fqdn>,
        /// Those there are.
        known: Vec<Fqdn>,
    },
    /// Listed in another pool.
    #[error("{name} is listed in the pool {pool}: leave --pool out, or remove it first (verbund topology remove {name})")]
    OtherPool {
        /// Who.
        name: Fqdn,
        /// Where.
        pool: Fqdn,
    },
    /// This server is no home of users and no pool was named.
    #[error("{0} is not the home of users: say which pool is, with --pool")]
    NoHome(Fqdn),
    /// Not listed.
    #[error("the topology lists no server {0}: verbund topology show lists those there are")]
    NoSuchServer(Fqdn),
    /// Listed otherwise.
    #[error("{name} is listed with other roles ({roles}): remove it first (verbund topology remove {name}), or leave --role out")]
    OtherRoles {
        /// Who.
        name: Fqdn,
        /// As what.
        roles: String,
    },
    /// Each move is a version of the topology.
    #[error(
        "{0} says again that it listens elsewhere: no more often than twice a minute and {max} times a day; if nobody restarts it so often, \
         look after it, or write its addresses into the topology (verbund topology publish)",
        max = crate::pace::MOVES_PER_DAY_MAX
    )]
    MovesTooOften(Fqdn),
    /// Every password would be for nothing (RFC 7616 §3.4.2: the realm is part of its digest).
    #[error("domains has no {0} any more, which every password is bound to, so nobody could sign in: keep it, among others if you like")]
    RealmLost(String),
    /// Other servers could not reach us.
    #[error("this server's HTTPS listens on {0}, where no other machine can reach it: start it with --https ADDRESS:PORT of this machine")]
    Unreachable(std::net::SocketAddr),
    /// It would cut the branch it sits on.
    #[error("{0} is the authority itself: its certificate is replaced by it at half of its life; to revoke it, move the authority first")]
    Own(Fqdn),
    /// More than a server needs.
    #[error(
        "{holder} holds {} certificates that count, the most that one may: revoke them (verbund cert revoke {holder}) if they were not \
         asked for, or wait until the first ends",
        crate::revoke::STANDING_MAX
    )]
    TooManyCertificates {
        /// Who.
        holder: String,
        /// Until the first of them ends.
        wait: std::time::Duration,
    },
    /// A key that is never certified (again).
    #[error("no certificate is issued for this key: {0}; make a new key")]
    KeyRefused(&'static str),
    /// Nobody takes in a longer one.
    #[error(
        "the revocation list of {issuer} is full: {entries} certificates would be in it, and of {} bytes at the most members take it; \
         replace the issuing CAs (verbund ca issuing renew), the lists of the new ones are empty",
        pki::REVOCATION_LIST_BYTES_MAX
    )]
    ListFull {
        /// Whose list.
        issuer: String,
        /// How many it would have.
        entries: usize,
    },
    /// An address that is not known to be the server's own.
    #[error(
        "{server} says that it listens on {address}, and comes from {source_address}: a server says so of the address it comes from, or of \
         one that the topology lists for it; write the other one into the topology (verbund topology publish)"
    )]
    NotItsAddress {
        /// Who.
        server: Fqdn,
        /// What it said.
        address: std::net::IpAddr,
        /// Where it comes from.
        source_address: std::net::IpAddr,
    },
    /// No certificate bears the name.
    #[error("there is no certificate of {0} that counts and was not revoked: verbund cert list shows those there are")]
    NoCertificate(String),
    /// In the ledger, and in no list.
    #[error(
        "it is revoked, but no revocation list could be signed that says so, and it is believed until one is: {0}; the authority tries \
         again by itself, and at once when the command is given again"
    )]
    NotTold(Box<Fault>),
    /// A text that is no name of a server, of a user, or a serial number.
    #[error("{0:?} is no name of a server, no user and no serial number")]
    NoName(String),
    /// The request for a certificate.
    #[error(transparent)]
    Request(#[from] pki::RequestFault),
    /// The CA did not issue.
    #[error(transparent)]
    Ca(#[from] pki::AuthorityFault),
    /// A document could not be signed.
    #[error(transparent)]
    Document(#[from] pki::DocumentFault),
    /// A bundle could not be made.
    #[error(transparent)]
    Bundle(#[from] pki::BundleFault),
    /// What is to be published would be refused wherever it comes.
    #[error("members would not take what is to be published: {0}")]
    MembersRefuse(#[source] member::Refused),
    /// What was published was not put into force here.
    #[error("it was published, but this server itself did not take it: {0}")]
    NotInForce(#[from] member::Refused),
    /// The topology could not be signed or read back.
    #[error(transparent)]
    Signed(#[from] topology::TopologyRefusal),
    /// Signing now could undo what was done after the backup.
    #[error(
        "this authority was put back from a backup and waits for what its members hold, to undo nothing of it; missing: {missing}; start          them, or leave them behind, to join anew: verbund restore --go-on"
    )]
    Recovering {
        /// Who has not shown what it holds.
        missing: String,
    },
    /// There is nothing to go on with.
    #[error("this authority waits for nobody: it was not put back from a backup, or has caught up already")]
    NotRecovering,
    /// The CAs of the backup were replaced since.
    #[error(
        "the trust bundle {sequence} that members hold speaks of other CAs than this backup: restore a backup that was made after they          were replaced, for without their keys nothing can go on"
    )]
    OtherGeneration {
        /// Its number.
        sequence: u64,
    },
    /// The recovery would begin anew with the next start.
    #[error("cannot remove {}: {error}; remove it, or the next start waits for members again", path.display())]
    Marker {
        /// The file.
        path: std::path::PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// What a restore left unknown could be forgotten.
    #[error("cannot read or write {}: {error}; it names the issuing CAs that have to be replaced: make room for it, it is tried again", path.display())]
    Gaps {
        /// The file.
        path: std::path::PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// No randomness.
    #[error(transparent)]
    Randomness(#[from] pki::NoRandomness),
    /// A replacement of the CA.
    #[error(transparent)]
    Replacement(#[from] crate::ReplacementFault),
    /// A request to an offline root could not be written.
    #[error(transparent)]
    Ceremony(#[from] pki::CeremonyFault),
    /// A key could not be made.
    #[error(transparent)]
    Key(#[from] pki::KeyFault),
    /// Nobody can answer for a CA.
    #[error(transparent)]
    Responder(#[from] ocsp::ResponderFault),
    /// The store.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The store holds what nobody put there.
    #[error("the state file holds {0}, which is not what was put there: put it back from a backup")]
    Damaged(&'static str),
}
