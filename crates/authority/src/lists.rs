//! Revocation lists: what each still owes, and what became of signing them.

use std::time::{Duration, SystemTime};

use pki::{RevocationList, Serial};
use store::{Embedded, IssuanceLedger as _, RevocationListStore as _};

use crate::{Fault, generation::Lister};

/// How old a revocation list becomes before it is signed anew. What it says must be known for the next days (RFC 5280 §5.1.2.5).
const LIST_AGE_MAX: Duration = Duration::from_hours(1);
/// A root signs its list anew when half of its life is over: its key may have to be fetched from a safe.
const ROOT_LIST_AGE_PART: u32 = 2;

impl Lister<'_> {
    /// Whether its newest list is older than it should become, or there is none.
    pub(crate) async fn is_old(&self, store: &Embedded, now: SystemTime) -> Result<bool, Fault> {
        let Some(list) = store.list(&self.key()).await? else { return Ok(true) };
        let life = list.next_update.duration_since(list.this_update).unwrap_or_default();
        let is_root = self.kind().is_none();
        Ok(now >= list.this_update + if is_root { life / ROOT_LIST_AGE_PART } else { LIST_AGE_MAX.min(life / 2) })
    }

    /// What was revoked and is not told by the newest list: a list could not be signed at that moment, or the authority ended
    /// between the two.
    pub(crate) async fn owed(&self, store: &Embedded, now: SystemTime) -> Result<Vec<Serial>, Fault> {
        let facts = pki::facts(self.certificate).ok_or(Fault::Damaged("a CA's certificate"))?;
        let revoked = store.revoked(Some(&facts.subject), now).await?.into_iter().map(|revocation| revocation.serial);
        let told =
            store.list(&self.key()).await?.and_then(|list| RevocationList::read(&list.der, std::slice::from_ref(self.certificate)).ok());
        Ok(revoked.filter(|serial| told.as_ref().is_none_or(|told| !told.contains(serial))).collect())
    }
}

/// A list that could not be signed.
#[derive(Debug)]
pub(crate) struct Unsigned {
    /// Whose (SHA-256 of the CA's certificate in hexadecimal).
    pub(crate) issuer: String,
    /// Whether somebody is revoked and believed still; otherwise the list has only become old.
    pub(crate) is_owed: bool,
    pub(crate) fault: Fault,
}

/// What became of signing lists.
#[derive(Debug, Default)]
pub(crate) struct SignedLists {
    /// In DER.
    pub(crate) lists: Vec<Vec<u8>>,
    pub(crate) failed: Vec<Unsigned>,
}

impl SignedLists {
    /// Says in the log what failed.
    pub(crate) fn tell(&self) {
        for Unsigned { issuer, is_owed, fault } in &self.failed {
            tracing::error!(issuer, is_owed, %fault, "a revocation list could not be signed; the one before stays, and it is tried again");
        }
    }

    /// Whether every revocation is told by a list.
    pub(crate) fn told(self) -> Result<(), Fault> {
        let owed = self.failed.into_iter().find(|failed| failed.is_owed);
        owed.map_or(Ok(()), |owed| Err(Fault::NotTold(Box::new(owed.fault))))
    }
}
