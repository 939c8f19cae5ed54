//! Why a CA could not be made, loaded, or did not issue.

use crate::{IssuerKind, KeyFault, NoRandomness, PemFault};

/// The longest name of an organisation, so that every common name made of it fits.
pub(crate) const ORGANISATION_CHARS_MAX: usize = 40;

/// Why the CA could not be made, loaded, or did not issue.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum AuthorityFault {
    /// No name of an organisation.
    #[error("the organisation's name needs 1 to {ORGANISATION_CHARS_MAX} printable characters")]
    Organisation,
    /// An issuing CA without a domain could issue for anybody.
    #[error("an issuing CA needs at least one domain that it may issue for")]
    NoDomain,
    /// A name that the CA may not issue for.
    #[error("{name} lies outside the domains of this CA ({domains}); a CA for that domain has to be made first")]
    OutsideDomains {
        /// The name asked for.
        name: String,
        /// What the CA may issue for.
        domains: String,
    },
    /// The clock is wrong, or the CA has had its time.
    #[error("{what} counts from {not_before} to {not_after} and the clock says {now}; set the clock, or make a new CA")]
    NotValidNow {
        /// The certificate meant.
        what: String,
        /// Its start.
        not_before: String,
        /// Its end.
        not_after: String,
        /// Our time.
        now: String,
    },
    /// A certificate file of the CA is not usable.
    #[error("the {which} certificate is unusable: {fault}; restore it from a backup")]
    Pem {
        /// Which of them.
        which: &'static str,
        /// What is wrong.
        fault: PemFault,
    },
    /// A certificate that is no certificate or not the CA we expect there.
    #[error("the {which} certificate is not one of a CA made here; restore it from a backup")]
    Foreign {
        /// Which of them.
        which: &'static str,
    },
    /// The key file belongs to another certificate.
    #[error("the {which} key does not belong to the {which} certificate; restore both from one backup")]
    KeyMismatch {
        /// Which of them.
        which: &'static str,
    },
    /// Made before there were two kinds of issuing CAs.
    #[error(
        "this organisation has no issuing CA for users yet; with the root's key in its place one is made at the next start, or by `verbund ca request`"
    )]
    NoUsersCa,
    /// A CA of one kind where the other one belongs.
    #[error("this is no issuing CA for {wanted}: its certificate does not allow that; restore the right one from a backup")]
    WrongKind {
        /// What it should be for.
        wanted: IssuerKind,
    },
    /// Made before documents were signed.
    #[error("the issuing CA may not vouch for who signs documents: it was made before there were any, and the root has to renew it")]
    NoDocuments,
    /// Two CAs of one name break path building.
    #[error("there is a CA named {name} already, and two of one name are taken for each other; raise its generation")]
    SameName {
        /// The name.
        name: String,
    },
    /// An address that cannot stand in a certificate.
    #[error("{url:?} is no plain http:// address for revocation lists (no path, no blank); write it like http://sip.contoso.example:8080")]
    Url {
        /// What was written.
        url: String,
    },
    /// A key is unusable.
    #[error(transparent)]
    Key(#[from] KeyFault),
    /// No randomness.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
    /// The library below refused.
    #[error("the certificate could not be made: {0}")]
    NotIssued(String),
}

impl From<rcgen::Error> for AuthorityFault {
    fn from(error: rcgen::Error) -> Self {
        match error {
            // A token that is gone; the library only knows that the key is not its own.
            rcgen::Error::RemoteKeyError => Self::Key(KeyFault::NotSigned),
            error => Self::NotIssued(error.to_string()),
        }
    }
}

pub(crate) fn check_organisation(name: &str) -> Result<(), AuthorityFault> {
    let fits = (1..=ORGANISATION_CHARS_MAX).contains(&name.chars().count());
    if fits && !name.trim().is_empty() && !name.chars().any(char::is_control) { Ok(()) } else { Err(AuthorityFault::Organisation) }
}
