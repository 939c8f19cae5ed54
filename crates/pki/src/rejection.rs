//! Why a chain of certificates is not believed.

use crate::{CHAIN_BYTES_MAX, CHAIN_CERTIFICATES_MAX, Fqdn, Purpose, Serial, describe::rfc3339, describe::system_time, lint::RSA_BITS_MIN};

/// Why a chain of certificates is not believed: the fact, then the cure. For our own log and
/// records; what the peer is told is less.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Rejection {
    /// An empty chain.
    #[error("no certificate was sent; the peer needs one of this organisation's CA")]
    Empty,
    /// Nobody is believed here.
    #[error("no root is trusted here, so nobody can be verified; the list of roots has to be filled first")]
    NoAnchors,
    /// Too many certificates. Looked at before anything is parsed.
    #[error("the chain has {count} certificates, at most {CHAIN_CERTIFICATES_MAX} are looked at; send the leaf and its intermediates only")]
    TooLong {
        /// How many came.
        count: usize,
    },
    /// Too many bytes. Looked at before anything is parsed.
    #[error("the chain has {bytes} bytes, at most {CHAIN_BYTES_MAX} are looked at; send the leaf and its intermediates only")]
    TooLarge {
        /// How many came.
        bytes: usize,
    },
    /// Not a certificate.
    #[error("certificate {position} of the chain is damaged ({detail}); have it issued again")]
    Malformed {
        /// Its place, the leaf is 0.
        position: usize,
        /// What the parser said.
        detail: String,
    },
    /// Row N14.
    #[error("{subject} is signed with {algorithm}, which can be forged; have it issued again with SHA-256 or better")]
    WeakSignature {
        /// Whom the certificate names.
        subject: String,
        /// The algorithm.
        algorithm: String,
    },
    /// Row N14.
    #[error(
        "{subject} has the key {key}, and P-256, P-384, Ed25519 or RSA of at least {RSA_BITS_MIN} bits is needed; make a new key and have it certified"
    )]
    WeakKey {
        /// Whom the certificate names.
        subject: String,
        /// The key's kind and size.
        key: String,
    },
    /// Row N3.
    #[error("the certificate of {subject} expired at {not_after}, the clock says {now}; renew it, or set the clock")]
    Expired {
        /// Whom the certificate names.
        subject: String,
        /// Its end.
        not_after: String,
        /// Our time.
        now: String,
    },
    /// Row N4.
    #[error("the certificate of {subject} counts only from {not_before}, the clock says {now}; set the clock on one of the two sides")]
    NotYetValid {
        /// Whom the certificate names.
        subject: String,
        /// Its start.
        not_before: String,
        /// Our time.
        now: String,
    },
    /// A root that we hold does not count now.
    #[error("the root {anchor} counts from {not_before} to {not_after}, the clock says {now}; replace the root, or set the clock")]
    AnchorOutOfTime {
        /// The root.
        anchor: String,
        /// Its start.
        not_before: String,
        /// Its end.
        not_after: String,
        /// Our time.
        now: String,
    },
    /// Row N2: a foreign CA, or a missing intermediate.
    #[error(
        "{subject} was issued by {issuer}, which no trusted root vouches for; use a certificate of this organisation's CA, sent with its intermediates"
    )]
    UnknownIssuer {
        /// Whom the certificate names.
        subject: String,
        /// Whom it names as its issuer.
        issuer: String,
    },
    /// Row N2: the issuer's name is right, its key is not.
    #[error(
        "{subject} says {issuer} issued it, but the signature is not of that CA; the certificate is forged or of another CA of the same name"
    )]
    BadSignature {
        /// Whom the certificate names.
        subject: String,
        /// Whom it names as its issuer.
        issuer: String,
    },
    /// Row N7.
    #[error("the chain is not for the purpose {wanted} (the certificate lists: {}); have it issued with that purpose", list(shown))]
    WrongPurpose {
        /// What was needed.
        wanted: Purpose,
        /// What the certificate lists.
        shown: Vec<String>,
    },
    /// A certificate that may sign certificates, or may not sign handshakes.
    #[error("{subject} has a key usage that does not fit somebody who shows it (digitalSignature, no keyCertSign); have it issued again")]
    KeyUsage {
        /// Whom the certificate names.
        subject: String,
    },
    /// It says something that no certificate may say, or that can be read in two ways.
    #[error("the certificate of {subject} {rule}; have it issued again")]
    Shape {
        /// Whom the certificate names.
        subject: String,
        /// What it does, as a verb phrase with its clause.
        rule: &'static str,
    },
    /// A CA's own certificate, or one issued by something that is no CA or not so deep.
    #[error("the chain misuses a certificate ({detail}); use one that a CA issued for this purpose")]
    BrokenPath {
        /// What path building said.
        detail: String,
    },
    /// A name that the issuing CA may not vouch for.
    #[error("{subject} bears a name that its CA may not vouch for ({}); have it issued by the CA of that domain", list(names))]
    NameConstraint {
        /// Whom the certificate names.
        subject: String,
        /// The names shown.
        names: Vec<String>,
    },
    /// Row N10.
    #[error(
        "the certificate names {name}, and a wildcard proves nobody's name for SIP (RFC 5922 section 7.2); have it issued to the full name"
    )]
    Wildcard {
        /// The wildcard.
        name: String,
    },
    /// Rows N8, N9.
    #[error(
        "{subject} has no subject alternative name that names a host, a SIP domain or a user (a common name does not count); have it issued with one"
    )]
    NoIdentity {
        /// Whom the certificate names.
        subject: String,
    },
    /// Row N8: believed, but somebody else.
    #[error(
        "the certificate names {}, not {wanted}; the address leads to the wrong server, or its certificate lacks the name",
        list(shown)
    )]
    WrongName {
        /// Who was wanted.
        wanted: Fqdn,
        /// Who answered.
        shown: Vec<String>,
    },
    /// Row N5, N28.
    #[error("certificate {serial} of {subject} was revoked; a new one has to be issued if that was a mistake")]
    Revoked {
        /// Whom the certificate names.
        subject: String,
        /// Its serial number.
        serial: Serial,
    },
    /// Row N6. Whether it was revoked cannot be known.
    #[error(
        "there is no revocation list of {issuer} here, so nobody can tell whether {subject} was revoked; have that CA publish one, and fetch it"
    )]
    NoRevocationList {
        /// Whom the certificate names.
        subject: String,
        /// Whom it names as its issuer.
        issuer: String,
    },
    /// Row N31.
    #[error(
        "the revocation list number {number} of {issuer} was good until {next_update}, the clock says {now}; fetch a newer one (is the authority reachable?), or set the clock"
    )]
    StaleRevocationList {
        /// Whose list.
        issuer: String,
        /// Its number.
        number: u64,
        /// Its end, without the grace.
        next_update: String,
        /// Our time.
        now: String,
    },
    /// Anything else that path building refuses.
    #[error("the chain is not acceptable ({detail}); have the certificate issued again")]
    Other {
        /// What path building said.
        detail: String,
    },
}

/// How many names or purposes of a stranger's certificate a rejection keeps.
pub(crate) const SHOWN_MAX: usize = 16;

fn list(words: &[String]) -> String {
    if words.is_empty() { "nothing".into() } else { words.join(", ") }
}

/// What the refused certificate said, for the text of a rejection.
pub(crate) struct Shown {
    pub(crate) subject: String,
    pub(crate) issuer: String,
    pub(crate) names: Vec<String>,
    pub(crate) purposes: Vec<String>,
}

impl Rejection {
    /// In our words what path building found.
    pub(crate) fn of(error: webpki::Error, shown: Shown, wanted: Purpose) -> Self {
        use webpki::Error as E;
        let Shown { subject, issuer, mut names, mut purposes } = shown;
        names.truncate(SHOWN_MAX);
        purposes.truncate(SHOWN_MAX);
        let moment = |time: rustls_pki_types::UnixTime| rfc3339(system_time(i64::try_from(time.as_secs()).unwrap_or(i64::MAX)));
        match error {
            E::CertExpired { time, not_after } => Self::Expired { subject, not_after: moment(not_after), now: moment(time) },
            E::CertNotValidYet { time, not_before } => Self::NotYetValid { subject, not_before: moment(not_before), now: moment(time) },
            E::UnknownIssuer => Self::UnknownIssuer { subject, issuer },
            E::InvalidSignatureForPublicKey => Self::BadSignature { subject, issuer },
            E::RequiredEkuNotFoundContext(_) | E::EmptyEkuExtension => Self::WrongPurpose { wanted, shown: purposes },
            E::NameConstraintViolation => Self::NameConstraint { subject, names },
            E::CaUsedAsEndEntity | E::EndEntityUsedAsCa | E::PathLenConstraintViolated => Self::BrokenPath { detail: error.to_string() },
            // Everything else is a defect of the certificate, whatever future versions call it.
            other => Self::Other { detail: other.to_string() },
        }
    }
}
