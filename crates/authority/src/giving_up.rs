//! Certificates that members give up (RFC 8555 §7.6), and how much room for it there is in a revocation list.
//!
//! An entry stays until its certificate would have ended, every member carries it, and a list that is full can tell of nobody
//! any more. So members fill no more than a part of a list: the rest is kept for what an administrator revokes.

use std::time::{Duration, Instant};

use pki::{CertificateDer, Fqdn, REVOCATION_LIST_BYTES_MAX};
use store::{Actor, Enrolments as _, IssuanceLedger as _, Issued, Reason, RevocationListStore as _};
use web::enrolment::{Fault, Revoker};

use crate::{
    Authority,
    enrolment::{Outcome, store_id, unavailable},
    generation::Lister,
};

/// From this size of a list on members give up only keys that somebody else may have, and the administrator is alarmed.
const ALARM_BYTES: usize = REVOCATION_LIST_BYTES_MAX / 2;
/// From this size on members give up nothing.
const RESERVED_BYTES: usize = REVOCATION_LIST_BYTES_MAX / 4 * 3;

/// How much room is left in a revocation list.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Room {
    /// For everybody.
    Ample,
    /// Somebody has to look at it.
    Alarm,
    /// For the administrator only.
    Reserved,
}

impl Room {
    pub(crate) fn of(list_bytes: usize) -> Self {
        match list_bytes {
            RESERVED_BYTES.. => Self::Reserved,
            ALARM_BYTES.. => Self::Alarm,
            _ => Self::Ample,
        }
    }

    /// Whether a member may have an entry of its own made in it.
    fn is_for(self, reason: Reason) -> bool {
        match self {
            Self::Ample => true,
            Self::Alarm => reason == Reason::KeyCompromise,
            Self::Reserved => false,
        }
    }
}

impl Authority {
    /// A certificate of ours, as the ledger has it.
    pub(crate) async fn ours(&self, der: &CertificateDer<'_>) -> Outcome<Option<Issued>> {
        let Some(facts) = pki::facts(der) else { return Ok(None) };
        let kept = self.store.certificate(&facts.serial).await.map_err(unavailable)?;
        Ok(kept.filter(|kept| kept.der == der.as_ref()))
    }

    pub(crate) async fn revoke_asked(&self, by: &Revoker, der: &CertificateDer<'static>, reason: u8) -> Outcome<()> {
        let kept = self.ours(der).await?.ok_or(Fault::ForeignCertificate)?;
        let owner = kept.names.first().and_then(|name| Fqdn::parse(name).ok()).ok_or(Fault::ForeignCertificate)?;
        self.pace.ask(&owner, Instant::now()).map_err(|wait| Fault::TooMany { wait })?;
        if let Revoker::Account(id) = by
            && self.store.account(store_id(id)?).await.map_err(unavailable)?.ok_or(Fault::NoAccount)?.server != owner
        {
            return Err(Fault::NotYourCertificate);
        }
        if self.store.revocation(&kept.serial).await.map_err(unavailable)?.is_some() {
            return Err(Fault::AlreadyRevoked);
        }
        let reason = reason_of(reason);
        self.check_may_give_up(&kept, &owner, reason).await?;
        self.revoke_own(&kept, reason, Actor::Member(owner)).await.map_err(|fault| match fault {
            crate::Fault::Own(_) => Fault::NotYourCertificate,
            fault => unavailable(fault),
        })
    }

    /// A key that somebody else may have is given up whenever there is room: of those there are no more than certificates were
    /// issued. Everything else waits, or ends by itself within days.
    async fn check_may_give_up(&self, certificate: &Issued, owner: &Fqdn, reason: Reason) -> Outcome<()> {
        if !self.room_of(certificate).await?.is_for(reason) {
            let reason = format!(
                "the revocation list of {} is too full for what members give up, and {owner} gives up {} ({reason}): replace the issuing CAs \
                 (verbund ca issuing renew), and revoke it by hand (verbund cert revoke {}) if somebody else has its key",
                certificate.issuer, certificate.serial, certificate.serial
            );
            return Err(Fault::Unavailable { reason });
        }
        if reason == Reason::KeyCompromise {
            return Ok(());
        }
        self.pace.give_up(owner, Instant::now()).map_err(|wait| self.too_many(owner, "gives up more certificates", wait))
    }

    /// Too many, said in the log from time to time.
    pub(crate) fn too_many(&self, member: &Fqdn, what: &'static str, wait: Duration) -> Fault {
        metrics::counter!("verbund_enrolments_too_many_total").increment(1);
        if self.pace.may_tell(member, Instant::now()) {
            tracing::warn!(server = %member, wait_seconds = wait.as_secs(), "a server {what} in a day than it may: look after it");
        }
        Fault::TooMany { wait }
    }

    /// The room in the list that this certificate would be told by.
    async fn room_of(&self, certificate: &Issued) -> Outcome<Room> {
        let ca = self.ca();
        let is_its = |lister: &&Lister<'_>| pki::facts(lister.certificate).is_some_and(|facts| facts.subject == certificate.issuer);
        let Some(key) = ca.all_listers().iter().find(is_its).map(Lister::key) else { return Ok(Room::Ample) };
        let list = self.store.list(&key).await.map_err(unavailable)?;
        Ok(list.map_or(Room::Ample, |list| Room::of(list.der.len())))
    }

    /// Lists that an administrator has to look at, in words.
    pub(crate) async fn filling_lists(&self) -> Result<Vec<String>, crate::Fault> {
        let (mut alarms, ca) = (Vec::new(), self.ca());
        for lister in ca.all_listers() {
            let Some(list) = self.store.list(&lister.key()).await? else { continue };
            if Room::of(list.der.len()) == Room::Ample {
                continue;
            }
            let issuer = pki::facts(lister.certificate).map(|facts| facts.subject).unwrap_or_default();
            alarms.push(format!(
                "the revocation list of {issuer} has {} of {REVOCATION_LIST_BYTES_MAX} bytes: replace the issuing CAs before it is full \
                 (verbund ca issuing renew), the lists of the new ones are empty",
                list.der.len()
            ));
        }
        Ok(alarms)
    }
}

/// What a requester may say (RFC 5280 §5.3.1).
fn reason_of(code: u8) -> Reason {
    match code {
        1 => Reason::KeyCompromise,
        3 => Reason::AffiliationChanged,
        4 => Reason::Superseded,
        5 => Reason::CessationOfOperation,
        _ => Reason::Unspecified,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_quarter_of_a_list_is_the_administrators() {
        let may = |bytes, reason| Room::of(bytes).is_for(reason);
        assert!(Reason::ALL.into_iter().all(|reason| may(ALARM_BYTES - 1, reason)));
        assert!(Reason::ALL.into_iter().all(|reason| may(ALARM_BYTES, reason) == (reason == Reason::KeyCompromise)));
        assert!(Reason::ALL.into_iter().all(|reason| !may(RESERVED_BYTES, reason)));
    }
}
