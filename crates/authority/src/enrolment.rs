//! The policy under every enrolment protocol: who may have which certificate.
//!
//! Names come from the topology entry of whoever proved to be that server, never from what was asked; of a request only the public
//! key is used.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use pki::{CertificateDer, CertificateRequest, Fqdn};
use store::{Account as Kept, AccountStatus, Actor, Asked, Enrolment as KeptTicket, Enrolments as _, IssuanceLedger as _, NewAccount};
use web::{
    Answer,
    enrolment::{
        Account, AccountId, AccountState, Applicant, CertificateId, Enrolment, Fault, RenewalWindow, Revoker, Ticket, TicketId, TicketKey,
        TicketState,
    },
    jose::AccountKey,
};

use crate::{
    Authority,
    keys::second_key,
    publish::Change,
    revoke::{Holder, STANDING_MAX},
};

/// On whose word a certificate was issued, as the ledger has it: a ticket, or an account.
pub(crate) const TICKET: &str = "ticket ";
const ACCOUNT: &str = "account ";

const DAY: Duration = Duration::from_hours(24);
/// The most certificates that a server is issued in a day, revoked or not: it needs one in three days. With the life of a
/// certificate this bounds what one server ever has in a revocation list.
const ISSUED_PER_SERVER_AND_DAY_MAX: usize = 48;
/// The most certificates of a server that are looked at: an administrator may have carried requests of his own.
const ISSUED_LOOKED_AT_MAX: usize = 1000;

pub(crate) type Outcome<T> = Result<T, Fault>;

pub(crate) fn unavailable(error: impl std::fmt::Display) -> Fault {
    tracing::error!(%error, "the authority cannot answer an enrolment");
    Fault::Unavailable { reason: error.to_string() }
}

pub(crate) fn store_id(id: &AccountId) -> Outcome<store::AccountId> {
    id.as_str().parse().map(store::AccountId).map_err(|_| Fault::NoAccount)
}

fn ticket(kept: KeptTicket, now: SystemTime) -> Outcome<Option<Ticket>> {
    let state = match (kept.burnt_at, kept.voided_at) {
        (Some(at), _) => TicketState::Used { at },
        (None, Some(_)) => TicketState::Withdrawn,
        (None, None) if now >= kept.expires => TicketState::Expired { at: kept.expires },
        (None, None) => TicketState::Open,
    };
    // A ticket that was spent has no key any more, so nobody can prove to hold it.
    let Some(key) = kept.key else { return Ok(None) };
    let key = TicketKey::new(*key.expose()).map_err(unavailable)?;
    Ok(Some(Ticket { id: TicketId::parse(&kept.kid).map_err(unavailable)?, key, member: kept.server, state }))
}

fn account(kept: &Kept) -> Outcome<Account> {
    let state = match kept.status {
        AccountStatus::Valid => AccountState::Valid,
        AccountStatus::Deactivated => AccountState::Revoked,
    };
    Ok(Account {
        id: AccountId::parse(&kept.id.to_string()).map_err(unavailable)?,
        key: AccountKey::from_text(&kept.jwk).map_err(unavailable)?,
        member: kept.server.clone(),
        state,
    })
}

impl Authority {
    async fn find_account(&self, id: &AccountId) -> Outcome<Kept> {
        self.store.account(store_id(id)?).await.map_err(unavailable)?.ok_or(Fault::NoAccount)
    }

    async fn open_ticket(&self, id: &TicketId) -> Outcome<KeptTicket> {
        let kept = self.store.enrolment(id.as_str()).await.map_err(unavailable)?.ok_or(Fault::TicketUnknown)?;
        if let Some(at) = kept.burnt_at {
            return Err(Fault::TicketUsed { at });
        }
        if kept.voided_at.is_some() {
            return Err(Fault::TicketWithdrawn);
        }
        if SystemTime::now() >= kept.expires { Err(Fault::TicketExpired { at: kept.expires }) } else { Ok(kept) }
    }

    /// Whom the applicant stands for, and on whose word.
    async fn standing_of(&self, applicant: &Applicant) -> Outcome<Standing> {
        match applicant {
            Applicant::Account(id) => {
                let kept = self.find_account(id).await?;
                match kept.status {
                    AccountStatus::Valid => {}
                    AccountStatus::Deactivated => return Err(Fault::AccountClosed { member: kept.server }),
                }
                let ticket = self.store.enrolment(&kept.kid).await.map_err(unavailable)?;
                Ok(Standing { member: kept.server, by: format!("{ACCOUNT}{}", kept.id), ticket })
            }
            Applicant::Ticket(id) => {
                let kept = self.open_ticket(id).await?;
                Ok(Standing { member: kept.server.clone(), by: format!("{TICKET}{}", kept.kid), ticket: Some(kept) })
            }
            Applicant::Member(member) => Ok(Standing { member: member.clone(), by: format!("certificate of {member}"), ticket: None }),
        }
    }

    fn names_of(&self, member: &Fqdn) -> Outcome<Vec<Fqdn>> {
        let names = self.member.holdings().topology().certificate_names(member);
        names.map(|names| names.dns()).ok_or_else(|| Fault::NotInTopology { member: member.clone() })
    }

    async fn authorize_names(&self, applicant: &Applicant, names: &[Fqdn]) -> Outcome<()> {
        let member = self.standing_of(applicant).await?.member;
        let allowed = self.names_of(&member)?;
        let outside: Vec<Fqdn> = names.iter().filter(|name| !allowed.contains(name)).cloned().collect();
        if outside.is_empty() { Ok(()) } else { Err(Fault::NamesOutside { member, names: outside, allowed }) }
    }

    async fn issue_to(&self, applicant: &Applicant, der: &[u8]) -> Outcome<Vec<CertificateDer<'static>>> {
        // Before there is work, and before others wait for it.
        let Standing { member, .. } = self.standing_of(applicant).await?;
        self.pace.ask(&member, Instant::now()).map_err(|wait| Fault::TooMany { wait })?;
        let request = CertificateRequest::read(der).map_err(|fault| match fault {
            pki::RequestFault::KeyKind { .. } => Fault::BadPublicKey { detail: fault.to_string() },
            fault => Fault::BadRequest { detail: fault.to_string() },
        })?;
        // Whoever was revoked a moment ago gets nothing, and a revocation finds everything that was issued before it (row N5).
        let change = self.change().await.map_err(unavailable)?;
        let standing = self.standing_of(applicant).await?;
        if let Applicant::Member(member) = applicant {
            self.check_not_revoked(member).await?;
        }
        if let Some(ticket) = standing.ticket.as_ref().filter(|_| standing.by.starts_with(TICKET)) {
            self.check_first_key(ticket, request.key()).await?;
        }
        self.check_day(&standing, SystemTime::now()).await?;
        let asked = Asked { by: Some(standing.by), request_sha256: Some(*request.fingerprint().as_bytes()) };
        let actor = Actor::Member(standing.member.clone());
        self.issue_for(&change, &standing.member, &request, asked, actor).await.map_err(|fault| match fault {
            crate::Fault::NoSuchServer(member) => Fault::NotInTopology { member },
            crate::Fault::TooManyCertificates { wait, .. } => Fault::TooMany { wait },
            crate::Fault::KeyRefused(detail) => Fault::BadPublicKey { detail: detail.to_owned() },
            fault => unavailable(fault),
        })
    }

    /// Who renews by its certificate has one: a request may have been on its way when it was revoked.
    async fn check_not_revoked(&self, member: &Fqdn) -> Outcome<()> {
        let standing = self.standing(&Holder::Server(member.clone()), SystemTime::now()).await.map_err(unavailable)?;
        if standing.is_empty() { Err(Fault::MemberRevoked { member: member.clone() }) } else { Ok(()) }
    }

    /// How much a member gets in a day counts whether it gave it up since or not: what it gave up is in a list. A ticket is an
    /// administrator's word that a server begins anew.
    async fn check_day(&self, standing: &Standing, now: SystemTime) -> Outcome<()> {
        let (begin, opened) = (now - DAY, standing.ticket.as_ref().map(|ticket| ticket.opened_at));
        let issued = self.issued_since(&standing.member, opened.map_or(begin, |opened| opened.max(begin))).await?;
        match issued.first() {
            Some(first) if issued.len() >= ISSUED_PER_SERVER_AND_DAY_MAX => {
                let wait = (first.not_before + pki::BACKDATE + DAY).duration_since(now).unwrap_or_default();
                Err(self.too_many(&standing.member, "asks for more certificates", wait))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// What was issued to a server from then on, revoked or not, the oldest first.
    pub(crate) async fn issued_since(&self, server: &Fqdn, since: SystemTime) -> Outcome<Vec<store::Issued>> {
        // Validity begins a little before the issuing; what is too old is no harm.
        let since = since - pki::BACKDATE - Duration::from_secs(1);
        self.store.issued_to(server.as_str(), since, ISSUED_LOOKED_AT_MAX).await.map_err(unavailable)
    }

    pub(crate) async fn check_room(&self, holder: &Holder, name: &str, now: SystemTime) -> Result<(), crate::Fault> {
        let standing = self.standing(holder, now).await?;
        match standing.first() {
            Some(first) if standing.len() >= STANDING_MAX => {
                let wait = first.not_after.duration_since(now).unwrap_or_default();
                Err(crate::Fault::TooManyCertificates { holder: name.to_owned(), wait })
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Issues, and enters into the ledger before anybody sees it.
    pub(crate) async fn issue_for(
        &self,
        change: &Change<'_>,
        server: &Fqdn,
        request: &CertificateRequest,
        asked: Asked,
        actor: Actor,
    ) -> Result<Vec<CertificateDer<'static>>, crate::Fault> {
        let now = SystemTime::now();
        self.check_room(&Holder::Server(server.clone()), server.as_str(), now).await?;
        self.check_key(change, request.key()).await?;
        let holdings = self.member.holdings();
        let names = holdings.topology().certificate_names(server).ok_or_else(|| crate::Fault::NoSuchServer(server.clone()))?;
        let issued = self.ca().authority().issue_server(&names, request.key(), now)?;
        self.record(store::Role::Server, &issued.chain, asked, actor, now).await?;
        Ok(issued.chain)
    }

    /// Enters a certificate into the ledger.
    pub(crate) async fn record(
        &self,
        role: store::Role,
        chain: &[CertificateDer<'static>],
        asked: Asked,
        actor: Actor,
        now: SystemTime,
    ) -> Result<(), crate::Fault> {
        let entry = chain.first().and_then(|leaf| store::Issued::read(role, leaf));
        let entry = entry.ok_or(crate::Fault::Damaged("a CA that issues what cannot be read"))?;
        self.store.acting_as(actor).record_issued(&store::Issued { asked, ..entry }, now).await?;
        metrics::counter!("verbund_certificates_issued_total").increment(1);
        Ok(())
    }

    async fn open_account(&self, id: &TicketId, key: &AccountKey) -> Outcome<Account> {
        let _change = self.change().await.map_err(unavailable)?;
        let now = SystemTime::now();
        let kept = self.open_ticket(id).await?;
        self.pace.ask(&kept.server, Instant::now()).map_err(|wait| Fault::TooMany { wait })?;
        if let Some(before) = self.store.account_of_key(&key.thumbprint()).await.map_err(unavailable)? {
            // The first answer was lost: the same key with the same ticket has its account already.
            return if before.kid == kept.kid && before.status == AccountStatus::Valid { account(&before) } else { Err(Fault::KeyInUse) };
        }
        let accounts = self.store.accounts_of(&kept.server).await.map_err(unavailable)?;
        if accounts.iter().any(|account| account.kid == kept.kid) || self.first_certificate(&kept).await?.is_some() {
            return Err(second_key(&kept));
        }
        // One server, one account: a newer key takes the place of the one before.
        self.store.deactivate_accounts_of(&kept.server, now).await.map_err(unavailable)?;
        let new = NewAccount { jwk: key.as_text().to_owned(), thumbprint: key.thumbprint(), server: kept.server.clone(), kid: kept.kid };
        let store = self.store.acting_as(Actor::Member(kept.server));
        let made = store.add_account(&new, now).await.map_err(|error| match error {
            store::Error::KeyTaken { .. } => Fault::KeyInUse,
            error => unavailable(error),
        })?;
        self.find_account(&AccountId::parse(&made.to_string()).map_err(unavailable)?).await.and_then(|kept| account(&kept))
    }

    /// Burns what a certificate was issued for, before anybody gets it: a ticket is good for one. On whose word it was issued is
    /// in the ledger, so this holds however many were issued meanwhile, and after a restart.
    async fn hand_over(&self, leaf: &CertificateDer<'_>) -> Outcome<()> {
        let _change = self.change().await.map_err(unavailable)?;
        let facts = pki::facts(leaf).ok_or(Fault::ForeignCertificate)?;
        let issued = self.store.certificate(&facts.serial).await.map_err(unavailable)?.ok_or(Fault::ForeignCertificate)?;
        let by = issued.asked.by.unwrap_or_default();
        if let Some(kid) = by.strip_prefix(TICKET) {
            self.open_ticket(&TicketId::parse(kid).map_err(unavailable)?).await?;
            let burnt = self.burn(kid).await?;
            // Were an account of before, or one that was opened with the same ticket, to count on, the ticket would be good twice.
            self.store.deactivate_accounts_of(&burnt.server, SystemTime::now()).await.map_err(unavailable)?;
        } else if let Some(id) = by.strip_prefix(ACCOUNT) {
            let account = self.find_account(&AccountId::parse(id).map_err(unavailable)?).await?;
            if account.status != AccountStatus::Valid {
                return Err(Fault::AccountClosed { member: account.server });
            }
            // After the first one its ticket is burnt, and it goes on by itself.
            let kept = self.store.enrolment(&account.kid).await.map_err(unavailable)?;
            if kept.is_some_and(|ticket| ticket.is_open(SystemTime::now())) {
                self.burn(&account.kid).await?;
            }
        }
        Ok(())
    }

    async fn burn(&self, kid: &str) -> Outcome<KeptTicket> {
        let burnt = self.store.burn(kid, SystemTime::now()).await.map_err(unavailable)?;
        tracing::info!(server = %burnt.server, "the ticket is burnt: its certificate is fetched");
        Ok(burnt)
    }

    /// Whether a server's certificate names what the topology gives to that server by now.
    pub(crate) fn is_named_as_listed(&self, certificate: &store::Issued) -> bool {
        let owner = certificate.names.first().and_then(|name| Fqdn::parse(name).ok());
        let wanted = owner.and_then(|owner| self.names_of(&owner).ok()).unwrap_or_default();
        let shown = certificate.names.iter().filter(|name| !name.contains(':'));
        wanted.iter().map(Fqdn::as_str).eq(shown.map(String::as_str))
    }

    /// RFC 9773 §4.2: around half of the life; at once when the topology gives other names by now, or it was revoked.
    async fn window(&self, certificate: &CertificateId) -> Outcome<Option<RenewalWindow>> {
        let Some(kept) = self.store.certificate(&certificate.serial).await.map_err(unavailable)? else { return Ok(None) };
        let past = RenewalWindow { start: kept.not_before, end: kept.not_before + Duration::from_secs(1) };
        if self.store.revocation(&kept.serial).await.map_err(unavailable)?.is_some() {
            return Ok(Some(past));
        }
        // Another CA has taken the place of the one that issued it.
        if kept.role == store::Role::Server && !self.ca().active().issuers().contains(&kept.issuer) {
            return Ok(Some(past));
        }
        if !self.is_named_as_listed(&kept) {
            return Ok(Some(past));
        }
        let start = pki::renew_at(kept.not_before, kept.not_after);
        let slack = kept.not_after.duration_since(start).unwrap_or_default() / 5;
        Ok(Some(RenewalWindow { start, end: start + slack.max(Duration::from_secs(1)) }))
    }
}

/// For whom, and on whose word.
struct Standing {
    member: Fqdn,
    by: String,
    /// The ticket that is shown, or that the account was opened with, whatever became of it.
    ticket: Option<KeptTicket>,
}

impl Enrolment for Authority {
    fn ticket<'a>(&'a self, id: &'a TicketId) -> Answer<'a, Outcome<Option<Ticket>>> {
        Box::pin(async move {
            let kept = self.store.enrolment(id.as_str()).await.map_err(unavailable)?;
            kept.map_or(Ok(None), |kept| ticket(kept, SystemTime::now()))
        })
    }

    fn account_of<'a>(&'a self, key: &'a AccountKey) -> Answer<'a, Outcome<Option<Account>>> {
        Box::pin(async move {
            let kept = self.store.account_of_key(&key.thumbprint()).await.map_err(unavailable)?;
            kept.as_ref().map(account).transpose()
        })
    }

    fn account<'a>(&'a self, id: &'a AccountId) -> Answer<'a, Outcome<Option<Account>>> {
        Box::pin(async move {
            let Ok(id) = store_id(id) else { return Ok(None) };
            let kept = self.store.account(id).await.map_err(unavailable)?;
            kept.as_ref().map(account).transpose()
        })
    }

    fn create_account(&self, ticket: TicketId, key: AccountKey) -> Answer<'_, Outcome<Account>> {
        Box::pin(async move { self.open_account(&ticket, &key).await })
    }

    fn deactivate_account(&self, id: AccountId) -> Answer<'_, Outcome<Account>> {
        Box::pin(async move {
            let kept = self.find_account(&id).await?;
            let store = self.store.acting_as(Actor::Member(kept.server.clone()));
            store.deactivate_account(kept.id, SystemTime::now()).await.map_err(unavailable)?;
            Ok(Account { state: AccountState::Deactivated, ..account(&kept)? })
        })
    }

    fn change_key(&self, id: AccountId, key: AccountKey) -> Answer<'_, Outcome<Account>> {
        Box::pin(async move {
            let kept = self.find_account(&id).await?;
            let store = self.store.acting_as(Actor::Member(kept.server.clone()));
            let replaced = store.replace_account_key(kept.id, key.as_text(), &key.thumbprint(), SystemTime::now()).await;
            replaced.map_err(|error| match error {
                store::Error::KeyTaken { .. } => Fault::KeyInUse,
                store::Error::NoSuchAccount { .. } => Fault::NoAccount,
                error => unavailable(error),
            })?;
            account(&self.find_account(&id).await?)
        })
    }

    fn authorize<'a>(&'a self, applicant: &'a Applicant, names: &'a [Fqdn]) -> Answer<'a, Outcome<()>> {
        Box::pin(self.authorize_names(applicant, names))
    }

    fn issue(&self, applicant: Applicant, request: Vec<u8>) -> Answer<'_, Outcome<Vec<CertificateDer<'static>>>> {
        Box::pin(async move { self.issue_to(&applicant, &request).await })
    }

    fn fetched(&self, leaf: CertificateDer<'static>) -> Answer<'_, Outcome<()>> {
        Box::pin(async move { self.hand_over(&leaf).await })
    }

    fn is_ours<'a>(&'a self, certificate: &'a CertificateDer<'static>) -> Answer<'a, Outcome<bool>> {
        Box::pin(async move { Ok(self.ours(certificate).await?.is_some()) })
    }

    fn revoke(self: Arc<Self>, by: Revoker, certificate: CertificateDer<'static>, reason: u8) -> Answer<'static, Outcome<()>> {
        let change = async move { self.revoke_asked(&by, &certificate, reason).await };
        web::to_the_end(change, || unavailable("it broke off"))
    }

    fn renewal_window<'a>(&'a self, certificate: &'a CertificateId) -> Answer<'a, Outcome<Option<RenewalWindow>>> {
        Box::pin(self.window(certificate))
    }
}
