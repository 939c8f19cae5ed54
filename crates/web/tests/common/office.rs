//! An enrolment policy in memory, as the authority has it on disk.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use pki::{Authority, CertificateDer, CertificateRequest, Fingerprint, Fqdn};
use topology::Topology;
use web::Answer;
use web::enrolment::{
    Account, AccountId, AccountState, Applicant, CertificateId, Enrolment, Fault, RenewalWindow, Revoker, Ticket, TicketId, TicketKey,
    TicketState,
};
use web::jose::AccountKey;

pub(crate) struct Office {
    authority: Authority,
    pub(crate) topology: Mutex<Topology>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    tickets: HashMap<TicketId, Ticket>,
    /// With the ticket that each came with.
    accounts: HashMap<AccountId, (Account, TicketId)>,
    issued: Vec<Issued>,
    revoked: Vec<(Fingerprint, u8)>,
    /// How often a ticket was asked for.
    asked: usize,
    /// Whether the store is away when a ticket is to be burnt.
    cannot_burn: bool,
}

struct Issued {
    fingerprint: Fingerprint,
    member: Fqdn,
    ticket: Option<TicketId>,
    fetched: bool,
}

impl Office {
    pub(crate) fn new(authority: Authority, topology: Topology) -> Self {
        Self { authority, topology: Mutex::new(topology), state: Mutex::default() }
    }

    /// A ticket for a server: its name and its key as text.
    pub(crate) fn ticket(&self, member: &str) -> (String, String) {
        self.ticket_in(member, TicketState::Open)
    }

    pub(crate) fn ticket_in(&self, member: &str, state: TicketState) -> (String, String) {
        let mut all = self.state.lock().unwrap();
        let id = TicketId::parse(&format!("ticket-{}", all.tickets.len())).unwrap();
        let key = TicketKey::new(pki::random::<32>().unwrap()).unwrap();
        let ticket = Ticket { id: id.clone(), key: key.clone(), member: Fqdn::parse(member).unwrap(), state };
        all.tickets.insert(id.clone(), ticket);
        (id.to_string(), key.to_text().to_string())
    }

    pub(crate) fn cannot_burn(&self, cannot: bool) {
        self.state.lock().unwrap().cannot_burn = cannot;
    }

    pub(crate) fn is_burnt(&self, ticket: &str) -> bool {
        matches!(self.state.lock().unwrap().tickets[&TicketId::parse(ticket).unwrap()].state, TicketState::Used { .. })
    }

    /// How many certificates were issued, fetched, and the reasons of those revoked.
    pub(crate) fn figures(&self) -> (usize, usize, Vec<u8>) {
        let state = self.state.lock().unwrap();
        let reasons = state.revoked.iter().map(|(_, reason)| *reason).collect();
        (state.issued.len(), state.issued.iter().filter(|issued| issued.fetched).count(), reasons)
    }

    /// How often a ticket was asked for: whoever was refused before did not get that far.
    pub(crate) fn asked(&self) -> usize {
        self.state.lock().unwrap().asked
    }

    /// Takes the accounts of a member away.
    pub(crate) fn close_accounts(&self) {
        self.state.lock().unwrap().accounts.values_mut().for_each(|(account, _)| account.state = AccountState::Revoked);
    }

    fn member_of(&self, applicant: &Applicant) -> Result<(Fqdn, Option<TicketId>), Fault> {
        let state = self.state.lock().unwrap();
        match applicant {
            Applicant::Account(id) => {
                let (account, ticket) = state.accounts.get(id).ok_or(Fault::NoAccount)?;
                Ok((account.member.clone(), Some(ticket.clone())))
            }
            Applicant::Ticket(id) => {
                let ticket = state.tickets.get(id).ok_or(Fault::TicketUnknown)?;
                ticket.check()?;
                Ok((ticket.member.clone(), Some(id.clone())))
            }
            Applicant::Member(name) => Ok((name.clone(), None)),
        }
    }

    fn authorize_now(&self, applicant: &Applicant, names: &[Fqdn]) -> Result<(), Fault> {
        let (member, _) = self.member_of(applicant)?;
        let entry = self.topology.lock().unwrap().certificate_names(&member).ok_or(Fault::NotInTopology { member: member.clone() })?;
        let allowed = entry.dns();
        let names: Vec<_> = names.iter().filter(|name| !allowed.contains(name)).cloned().collect();
        if names.is_empty() { Ok(()) } else { Err(Fault::NamesOutside { member, names, allowed }) }
    }

    fn issue_now(&self, applicant: &Applicant, request: &[u8]) -> Result<Vec<CertificateDer<'static>>, Fault> {
        let (member, ticket) = self.member_of(applicant)?;
        let names = self.topology.lock().unwrap().certificate_names(&member).ok_or(Fault::NotInTopology { member: member.clone() })?;
        let request = CertificateRequest::from_der(request).map_err(|fault| Fault::BadRequest { detail: fault.to_string() })?;
        let unavailable = |fault: pki::AuthorityFault| Fault::Unavailable { reason: fault.to_string() };
        let issued = self.authority.issue_server(&names, request.key(), SystemTime::now()).map_err(unavailable)?;
        let fingerprint = Fingerprint::of(&issued.chain[0]);
        self.state.lock().unwrap().issued.push(Issued { fingerprint, member, ticket, fetched: false });
        Ok(issued.chain)
    }

    fn revoke_now(&self, by: &Revoker, certificate: &CertificateDer<'_>, reason: u8) -> Result<(), Fault> {
        let mut state = self.state.lock().unwrap();
        let fingerprint = Fingerprint::of(certificate);
        let issued = state.issued.iter().find(|issued| issued.fingerprint == fingerprint).ok_or(Fault::ForeignCertificate)?;
        match by {
            Revoker::Account(id) if state.accounts[id].0.member != issued.member => return Err(Fault::NotYourCertificate),
            Revoker::Account(_) | Revoker::CertificateKey => {}
        }
        if state.revoked.iter().any(|(revoked, _)| *revoked == fingerprint) {
            return Err(Fault::AlreadyRevoked);
        }
        state.revoked.push((fingerprint, reason));
        Ok(())
    }
}

/// An answer that is there already.
fn now<'a, T: Send + 'a>(answer: T) -> Answer<'a, T> {
    Box::pin(async { answer })
}

impl Enrolment for Office {
    fn ticket<'a>(&'a self, id: &'a TicketId) -> Answer<'a, Result<Option<Ticket>, Fault>> {
        let mut state = self.state.lock().unwrap();
        state.asked += 1;
        now(Ok(state.tickets.get(id).cloned()))
    }

    fn account_of<'a>(&'a self, key: &'a AccountKey) -> Answer<'a, Result<Option<Account>, Fault>> {
        let state = self.state.lock().unwrap();
        now(Ok(state.accounts.values().map(|(account, _)| account).find(|account| account.key == *key).cloned()))
    }

    fn account<'a>(&'a self, id: &'a AccountId) -> Answer<'a, Result<Option<Account>, Fault>> {
        now(Ok(self.state.lock().unwrap().accounts.get(id).map(|(account, _)| account.clone())))
    }

    fn create_account(&self, ticket: TicketId, key: AccountKey) -> Answer<'_, Result<Account, Fault>> {
        let mut state = self.state.lock().unwrap();
        let Some(found) = state.tickets.get(&ticket).cloned() else { return now(Err(Fault::TicketUnknown)) };
        if let Err(fault) = found.check() {
            return now(Err(fault));
        }
        let id = AccountId::parse(&format!("account-{}", state.accounts.len())).unwrap();
        let account = Account { id: id.clone(), key, member: found.member, state: AccountState::Valid };
        state.accounts.insert(id, (account.clone(), ticket));
        now(Ok(account))
    }

    fn deactivate_account(&self, id: AccountId) -> Answer<'_, Result<Account, Fault>> {
        let mut state = self.state.lock().unwrap();
        let (account, _) = state.accounts.get_mut(&id).unwrap();
        account.state = AccountState::Deactivated;
        now(Ok(account.clone()))
    }

    fn change_key(&self, id: AccountId, key: AccountKey) -> Answer<'_, Result<Account, Fault>> {
        let mut state = self.state.lock().unwrap();
        let (account, _) = state.accounts.get_mut(&id).unwrap();
        account.key = key;
        now(Ok(account.clone()))
    }

    fn authorize<'a>(&'a self, applicant: &'a Applicant, names: &'a [Fqdn]) -> Answer<'a, Result<(), Fault>> {
        now(self.authorize_now(applicant, names))
    }

    fn issue(&self, applicant: Applicant, request: Vec<u8>) -> Answer<'_, Result<Vec<CertificateDer<'static>>, Fault>> {
        now(self.issue_now(&applicant, &request))
    }

    fn fetched(&self, leaf: CertificateDer<'static>) -> Answer<'_, Result<(), Fault>> {
        let certificate = Fingerprint::of(&leaf);
        let mut state = self.state.lock().unwrap();
        if state.cannot_burn {
            return now(Err(Fault::Unavailable { reason: "the store is away".into() }));
        }
        let issued = state.issued.iter_mut().find(|issued| issued.fingerprint == certificate).unwrap();
        issued.fetched = true;
        if let Some(ticket) = issued.ticket.clone() {
            state.tickets.get_mut(&ticket).unwrap().state = TicketState::Used { at: SystemTime::now() };
        }
        now(Ok(()))
    }

    fn is_ours<'a>(&'a self, certificate: &'a CertificateDer<'static>) -> Answer<'a, Result<bool, Fault>> {
        let certificate = Fingerprint::of(certificate);
        now(Ok(self.state.lock().unwrap().issued.iter().any(|issued| issued.fingerprint == certificate)))
    }

    fn revoke(self: Arc<Self>, by: Revoker, certificate: CertificateDer<'static>, reason: u8) -> Answer<'static, Result<(), Fault>> {
        now(self.revoke_now(&by, &certificate, reason))
    }

    fn renewal_window<'a>(&'a self, certificate: &'a CertificateId) -> Answer<'a, Result<Option<RenewalWindow>, Fault>> {
        let start = SystemTime::now() + Duration::from_secs(3600);
        let ours = certificate.authority_key == [1; 20];
        now(Ok(ours.then_some(RenewalWindow { start, end: start + Duration::from_secs(3600) })))
    }
}
