//! Answers about single certificates to whoever asks (OCSP): who signs them, where they are kept, and how many are signed.
//!
//! What is known about a certificate comes from the ledger, of which the revocation lists are made too. Each CA delegates to a key
//! that is made here, lies in memory only, and is replaced long before its certificate ends: the CA's own key signs as seldom as it
//! can, though anybody may ask at any time.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use metrics::counter;
use ocsp::{Kept, NoAnswer, Question, Responder, Status};
use pki::{Fingerprint, Key, Serial};
use store::{Actor, Asked, IssuanceLedger as _, Role};
use tokio::sync::Mutex as AsyncMutex;

use crate::{
    Authority, Ca, Fault, documents,
    generation::{Lister, Signs},
};

/// How many answers are signed in a second, of each kind of question: that is 1 % of a core. What is kept is given out beyond it.
const SIGNATURES_PER_SECOND_MAX: u32 = 100;
/// How long after a failure a CA is asked again for its word: it may have to fetch its key from a token.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(30);

/// What is needed to answer.
#[derive(Default)]
pub(crate) struct Inquiries {
    responders: Mutex<Vec<Arc<Responder>>>,
    /// One delegates at a time; when that failed last.
    delegating: AsyncMutex<Option<Instant>>,
    kept: Mutex<Kept>,
    paces: Mutex<Paces>,
}

/// Kinds of questions that cost a signature, counted apart: so that nobody who asks for one kind is in the way of the others.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// Shall repeat something, so its answer can be given to nobody else.
    Fresh,
    /// About certificates that were issued: there are only so many.
    Known,
    /// About numbers that somebody made up.
    Unknown,
}

#[derive(Default)]
struct Paces {
    /// Which second of our running is counted, by kind, and how many there were.
    counts: [(u64, u32); 3],
    began: Option<Instant>,
}

impl Paces {
    /// Counts one; whether there was room for it.
    fn count(&mut self, kind: Kind, now: Instant) -> bool {
        let second = now.saturating_duration_since(*self.began.get_or_insert(now)).as_secs();
        let (counted, count) = &mut self.counts[kind as usize];
        if *counted != second {
            (*counted, *count) = (second, 0);
        }
        *count += 1;
        *count <= SIGNATURES_PER_SECOND_MAX
    }
}

impl Inquiries {
    fn responders(&self) -> MutexGuard<'_, Vec<Arc<Responder>>> {
        self.responders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn may_sign(&self, kind: Kind) -> bool {
        self.paces.lock().unwrap_or_else(PoisonError::into_inner).count(kind, Instant::now())
    }

    /// Something was revoked: nothing that was signed before is given out any more.
    pub(crate) fn forget(&self) {
        self.kept().forget();
    }
}

/// Why somebody gets no answer, or the answer.
type Answered = Result<Vec<u8>, NoAnswer>;

impl Authority {
    /// Answers an OCSP request (RFC 6960), both in DER. Everybody gets an answer, if only one that says that there is none.
    pub async fn inquire(&self, request: &[u8], now: SystemTime) -> Vec<u8> {
        let answered = self.answer(request, now).await;
        let outcome = match &answered {
            Ok(_) => "answered",
            Err(NoAnswer::Malformed) => "malformed",
            Err(NoAnswer::Unauthorized) => "other_ca",
            Err(NoAnswer::TryLater) => "try_later",
        };
        counter!("verbund_ocsp_requests_total", "outcome" => outcome).increment(1);
        answered.unwrap_or_else(NoAnswer::to_der)
    }

    async fn answer(&self, request: &[u8], now: SystemTime) -> Answered {
        let question = Question::read(request).ok_or(NoAnswer::Malformed)?;
        if self.is_recovering() {
            // The ledger may have forgotten that somebody was revoked.
            return Err(NoAnswer::TryLater);
        }
        // Who wants it fresh and asks too much gets what everybody gets: RFC 5019 §4 lets us, and he sees that it is not repeated.
        let is_fresh = question.has_nonce() && self.inquiries.may_sign(Kind::Fresh);
        let question = if is_fresh { question } else { question.without_nonce() };
        let key = question.key();
        if let Some(kept) = key.as_ref().and_then(|key| self.inquiries.kept().get(key, now).map(<[u8]>::to_vec)) {
            return Ok(kept);
        }
        let responders = self.responders(now).await;
        let Some(responder) = responders.iter().find(|responder| responder.is_asked(&question)) else {
            // It may be meant for a CA whose key is away.
            return Err(if self.due(&self.ca(), now).is_empty() { NoAnswer::Unauthorized } else { NoAnswer::TryLater });
        };
        // Before anything is looked up: whatever is revoked meanwhile makes it worthless.
        let era = self.inquiries.kept().era();
        let statuses = self.statuses(responder, &question).await.map_err(|error| {
            tracing::error!(%error, "an OCSP request is not answered");
            NoAnswer::TryLater
        })?;
        let is_known = !statuses.values().any(|status| *status == Status::Unknown);
        let kind = if is_known { Kind::Known } else { Kind::Unknown };
        if !is_fresh && !self.inquiries.may_sign(kind) {
            return Err(NoAnswer::TryLater);
        }
        let signed = responder.answer(&question, |serial| statuses.get(serial).copied().unwrap_or(Status::Unknown), now);
        let signed = signed.map_err(|error| {
            tracing::error!(%error, "an OCSP request is not answered");
            NoAnswer::TryLater
        })?;
        counter!("verbund_ocsp_signatures_total").increment(1);
        // Numbers that somebody made up would crowd the others out.
        if let Some(key) = key.filter(|_| is_known) {
            self.inquiries.kept().put(key, signed.clone(), era, now);
        }
        Ok(signed)
    }

    async fn statuses(&self, responder: &Responder, question: &Question) -> Result<HashMap<Serial, Status>, Fault> {
        let mut statuses = HashMap::new();
        for serial in responder.asked(question) {
            let status = self.status(responder.issuer(), &serial).await?;
            statuses.insert(serial, status);
        }
        Ok(statuses)
    }

    /// What the ledger says of the certificate with this number, if this CA (as text) issued it.
    async fn status(&self, issuer: &str, serial: &Serial) -> Result<Status, Fault> {
        if self.store.certificate(serial).await?.is_none_or(|issued| issued.issuer != issuer) {
            return Ok(Status::Unknown);
        }
        let revocation = self.store.revocation(serial).await?;
        let revoked = revocation.map(|one| Status::Revoked { at: one.revoked_at, reason: documents::reason(one.reason) });
        Ok(revoked.unwrap_or(Status::Good))
    }

    /// Those who answer, one for each CA whose key is here, and for those of before until their word ends. Whoever is missing or
    /// due is made first, unless that failed a moment ago.
    async fn responders(&self, now: SystemTime) -> Vec<Arc<Responder>> {
        if !self.due(&self.ca(), now).is_empty() {
            let failed = *self.inquiries.delegating.lock().await;
            if failed.is_none_or(|at| at.elapsed() >= ASK_AGAIN_AFTER)
                && let Err(error) = self.delegate_due(now).await
            {
                tracing::error!(%error, "a CA could not delegate OCSP answers; it is tried again");
            }
        }
        self.inquiries.responders().clone()
    }

    /// Has every CA delegate for which nobody answers, or not for long.
    ///
    /// # Errors
    /// One of them did not; the others have.
    pub(crate) async fn delegate_due(&self, now: SystemTime) -> Result<(), Fault> {
        let mut failed = self.inquiries.delegating.lock().await;
        let (ca, mut done) = (self.ca(), Ok(()));
        // Somebody else may have made them while we waited.
        for lister in self.due(&ca, now) {
            match self.delegate(&lister, now).await {
                Ok(new) => self.install(new, now),
                Err(fault) => done = Err(fault),
            }
        }
        *failed = done.is_err().then(Instant::now);
        done
    }

    /// CAs that sign lists, and for which nobody answers, or not for long.
    fn due<'a>(&self, ca: &'a Ca, now: SystemTime) -> Vec<Lister<'a>> {
        let responders = self.inquiries.responders();
        let is_served = |ca: Fingerprint| responders.iter().any(|responder| responder.ca() == ca && now < responder.renew_at());
        let can_sign = |lister: &Lister<'_>| !matches!(lister.signs, Signs::Root(None));
        ca.listers().into_iter().filter(can_sign).filter(|lister| !is_served(Fingerprint::of(lister.certificate))).collect()
    }

    async fn delegate(&self, ca: &Lister<'_>, now: SystemTime) -> Result<Responder, Fault> {
        let key = Key::generate()?;
        let certificate = match ca.signs {
            Signs::Issuing(ca) => ca.issue_ocsp_signer(&key.public(), now)?.chain.into_iter().next(),
            Signs::Root(root) => root.map(|root| root.issue_ocsp_signer(&key.public(), now)).transpose()?,
        };
        let certificate = certificate.ok_or(Fault::Damaged("a CA that issues nothing"))?;
        self.record(Role::Ocsp, std::slice::from_ref(&certificate), Asked::default(), Actor::Server, now).await?;
        Ok(Responder::new(ca.certificate, &certificate, Arc::new(key))?)
    }

    fn install(&self, new: Responder, now: SystemTime) {
        let mut responders = self.inquiries.responders();
        responders.retain(|responder| responder.ca() != new.ca() && now < responder.not_after());
        responders.push(Arc::new(new));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_question_has_a_pace_of_its_own() {
        let (mut paces, now) = (Paces::default(), Instant::now());
        assert!((0..SIGNATURES_PER_SECOND_MAX).all(|_| paces.count(Kind::Unknown, now)));
        assert!(!paces.count(Kind::Unknown, now));
        assert!(paces.count(Kind::Known, now) && paces.count(Kind::Fresh, now));
        assert!(paces.count(Kind::Unknown, now + Duration::from_secs(1)));
    }
}
