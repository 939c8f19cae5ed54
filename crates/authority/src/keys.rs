//! Which keys are certified: under every protocol the same, and also for a request that an administrator carried here; and which
//! one is the first that comes with a ticket.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
};

use pki::{Fingerprint, PublicKey};
use store::{Enrolment, Enrolments as _, IssuanceLedger as _, Revision};
use web::jose::AccountKey;

use crate::{
    Authority, Fault,
    enrolment::{Outcome, TICKET, unavailable},
    publish::Change,
};

/// The keys of certificates that were taken back, as far as they were read out of the ledger.
pub(crate) struct TakenBack(Mutex<(HashSet<Fingerprint>, Revision)>);

impl Default for TakenBack {
    fn default() -> Self {
        Self(Mutex::new((HashSet::new(), Revision(0))))
    }
}

impl Authority {
    /// A key has one purpose and one life: none of an account (RFC 8555 §11.1), of a CA, or of a certificate that was taken back
    /// is certified. Whoever gave a key up may have said why it must not count, and whoever stole it must gain nothing by a new
    /// certificate.
    pub(crate) async fn check_key(&self, _change: &Change<'_>, key: &PublicKey) -> Result<(), Fault> {
        let fingerprint = Fingerprint::of(key.as_der());
        if self.was_taken_back(&fingerprint).await? {
            return Err(Fault::KeyRefused("a certificate of it was revoked or given up"));
        }
        if self.is_of_ca(&fingerprint) {
            return Err(Fault::KeyRefused("it is a CA's"));
        }
        let thumbprint = AccountKey::of_request(key).map(|key| key.thumbprint());
        let account = match thumbprint {
            Some(thumbprint) => self.store.account_of_key(&thumbprint).await?,
            None => None,
        };
        if account.is_some() { Err(Fault::KeyRefused("it is an account's")) } else { Ok(()) }
    }

    fn is_of_ca(&self, key: &Fingerprint) -> bool {
        let holdings = self.member.holdings();
        let mut authorities = holdings.bundle().list_issuers();
        authorities.any(|ca| pki::facts(ca).is_none_or(|facts| facts.public_key_fingerprint() == *key))
    }

    async fn was_taken_back(&self, key: &Fingerprint) -> Result<bool, Fault> {
        let known = || self.taken_back.0.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = known().1;
        // Whoever took one back, and whenever: what counts is the ledger.
        let (keys, seen) = self.store.keys_taken_back(seen).await?;
        let mut known = known();
        known.0.extend(keys);
        known.1 = known.1.max(seen);
        Ok(known.0.contains(key))
    }

    /// A ticket is tied to the first key that comes with it: were it copied, two would hold a certificate of the same server, and
    /// nobody would notice (row N33). Fetched again is what the first one lost on its way.
    pub(crate) async fn check_first_key(&self, ticket: &Enrolment, key: &PublicKey) -> Outcome<()> {
        let first = self.first_certificate(ticket).await?.and_then(|first| pki::facts(&first.der.into()));
        let is_another = first.is_some_and(|first| first.public_key_fingerprint() != Fingerprint::of(key.as_der()));
        let has_account = self.store.accounts_of(&ticket.server).await.map_err(unavailable)?.iter().any(|one| one.kid == ticket.kid);
        if is_another || has_account { Err(second_key(ticket)) } else { Ok(()) }
    }

    /// The first certificate that was issued for a ticket itself.
    pub(crate) async fn first_certificate(&self, ticket: &Enrolment) -> Outcome<Option<store::Issued>> {
        let by = format!("{TICKET}{}", ticket.kid);
        let issued = self.issued_since(&ticket.server, ticket.opened_at).await?;
        Ok(issued.into_iter().find(|issued| issued.asked.by.as_ref() == Some(&by)))
    }
}

pub(crate) fn second_key(ticket: &Enrolment) -> web::enrolment::Fault {
    tracing::warn!(server = %ticket.server, ticket = ticket.kid, "a ticket came with a second key: if nobody tried again, somebody has copied it");
    web::enrolment::Fault::TicketOfAnotherKey
}
