//! Revoking: ledger, numbered list, members, and the word of each that its connections are cut (row N5).

use std::time::{Instant, SystemTime};

use pki::{Fqdn, Serial};
use registrar::UserName;
use store::{Actor, IssuanceLedger as _, Reason};
use web::control::Update;

use crate::{Authority, Fault, Spread, administrator, lists::SignedLists, publish::Change};

/// The most certificates that a server holds at a time: a hostile one must not have more than a revocation finds. One that
/// renews in time holds two or three.
pub(crate) const STANDING_MAX: usize = 100;
/// The most certificates of one name that are looked at: those of a server, and those of the servers of a pool of that name.
const CERTIFICATES_MAX: usize = 1000 * STANDING_MAX;

/// Whose certificates are meant.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Holder {
    Server(Fqdn),
    /// `sip:user@domain`
    User(String),
    Certificate(Serial),
}

impl Holder {
    /// Whether this is a certificate of theirs. A pool's name stands in its servers' certificates too: meant is who has it first.
    fn holds(&self, certificate: &store::Issued) -> bool {
        match (self, certificate.role) {
            (Self::Server(server), store::Role::Server) => certificate.names.first().is_some_and(|first| first == server.as_str()),
            (Self::User(uri), store::Role::User) => certificate.names.iter().any(|name| name.eq_ignore_ascii_case(uri)),
            (Self::Certificate(serial), store::Role::Server | store::Role::User) => certificate.serial == *serial,
            (Self::Server(_) | Self::User(_) | Self::Certificate(_), _) => false,
        }
    }

    fn parse(text: &str, domain: &str) -> Result<Self, Fault> {
        let fault = || Fault::NoName(text.to_owned());
        let plain = text.strip_prefix("sip:").unwrap_or(text);
        if let Some((user, at)) = plain.split_once('@') {
            let name = UserName::parse(user).map_err(|_| fault())?;
            return if at.eq_ignore_ascii_case(domain) { Ok(Self::User(format!("sip:{name}@{domain}"))) } else { Err(fault()) };
        }
        if let Ok(server) = Fqdn::parse(plain) {
            return Ok(Self::Server(server));
        }
        if let Some(serial) = serial(plain) {
            return Ok(Self::Certificate(serial));
        }
        let name = UserName::parse(plain).map_err(|_| fault())?;
        Ok(Self::User(format!("sip:{name}@{domain}")))
    }
}

/// A serial number as it is printed: hexadecimal, of the size that ours have.
fn serial(text: &str) -> Option<Serial> {
    if text.len() != 2 * Serial::ISSUED_BYTES || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let octets = (0..text.len()).step_by(2).map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok());
    Some(Serial::from_be_bytes(&octets.collect::<Option<Vec<u8>>>()?))
}

impl Authority {
    /// Revokes every certificate of a server, of a user, or one by its serial number; a server's tickets and accounts go with
    /// them. Returns when every member has cut what was open, or patience ended. Once more where no list could be signed: then
    /// the list is what is made up for.
    ///
    /// # Errors
    /// Nobody of that name, nothing to revoke, or it is the authority's own; or it is revoked, and no list says so yet.
    pub async fn revoke(&self, name: &str) -> Result<Spread, Fault> {
        let (began, now) = (Instant::now(), SystemTime::now());
        let holder = Holder::parse(name, &self.domain)?;
        let change = self.change().await?;
        let certificates = self.to_revoke(&holder, now).await?;
        if certificates.is_empty() {
            return Err(Fault::NoCertificate(name.to_owned()));
        }
        if let Holder::Server(server) = &holder {
            self.close_enrolments(server, now).await?;
        }
        self.take_back(&change, &certificates, Reason::Unspecified, administrator(), now).await?;
        for server in self.cut_off(now).await? {
            // Nothing is known any more of a server that may come back from elsewhere.
            self.hub.close(&server);
        }
        let wanted = self.member.in_force().borrow().lists.clone();
        // Whoever comes back, joins or renews while members are waited for must not have to wait with us.
        drop(change);
        let has_them = |in_force: &web::control::InForce| {
            wanted.iter().all(|list| in_force.lists.iter().any(|held| held.issuer == list.issuer && held.number >= list.number))
        };
        let spread = self.spread(&self.joined().await?, began, has_them).await;
        let revoked = certificates.iter().map(|certificate| certificate.serial.to_string()).collect();
        tracing::warn!(name, certificates = certificates.len(), acknowledged = spread.acknowledged, members = spread.members, "revoked");
        Ok(Spread { revoked, ..spread })
    }

    /// What revoking this holder is about: what counts, or else what was revoked and no list tells.
    async fn to_revoke(&self, holder: &Holder, now: SystemTime) -> Result<Vec<store::Issued>, Fault> {
        if let Holder::Server(server) = holder {
            self.check_not_own(server)?;
        }
        let standing = self.standing(holder, now).await?;
        standing.iter().filter_map(server_of).try_for_each(|server| self.check_not_own(&server))?;
        if standing.is_empty() { self.owed_of(holder, now).await } else { Ok(standing) }
    }

    /// Nobody would believe the authority any more, nor what it signs.
    fn check_not_own(&self, server: &Fqdn) -> Result<(), Fault> {
        if server == self.member.name() { Err(Fault::Own(server.clone())) } else { Ok(()) }
    }

    /// The certificates of a holder that were revoked while no list could be signed that says so.
    async fn owed_of(&self, holder: &Holder, now: SystemTime) -> Result<Vec<store::Issued>, Fault> {
        let mut owed = Vec::new();
        for lister in self.ca().listers() {
            for serial in lister.owed(&self.store, now).await? {
                owed.extend(self.store.certificate(&serial).await?.filter(|certificate| holder.holds(certificate)));
            }
        }
        Ok(owed)
    }

    /// The certificates of a holder that count and were not revoked yet.
    pub(crate) async fn standing(&self, holder: &Holder, now: SystemTime) -> Result<Vec<store::Issued>, Fault> {
        let found = match holder {
            Holder::Server(server) => self.store.standing_of(server.as_str(), now, CERTIFICATES_MAX).await?,
            Holder::User(uri) => self.store.standing_of(uri, now, CERTIFICATES_MAX).await?,
            Holder::Certificate(serial) if self.store.revocation(serial).await?.is_none() => {
                self.store.certificate(serial).await?.into_iter().collect()
            }
            Holder::Certificate(_) => Vec::new(),
        };
        Ok(found.into_iter().filter(|certificate| holder.holds(certificate)).collect())
    }

    /// Signs every list that is due and puts it into force, here and at members. What could not be signed keeps back no other.
    pub(crate) async fn publish_due_lists(&self, _change: &Change<'_>, now: SystemTime) -> Result<SignedLists, Fault> {
        let mut signed = self.ca().sign_due_lists(&self.store, now).await;
        signed.tell();
        self.shelve().await?;
        self.publish_lists(std::mem::take(&mut signed.lists), now).await?;
        Ok(signed)
    }

    /// Puts lists into force here, then tells members.
    pub(crate) async fn publish_lists(&self, lists: Vec<Vec<u8>>, now: SystemTime) -> Result<(), Fault> {
        if !lists.is_empty() {
            // Whoever is asked says what the lists say, also where these make up for something.
            self.inquiries.forget();
        }
        let holdings = self.member.holdings();
        let issuers: Vec<_> = holdings.bundle().list_issuers().cloned().collect();
        // Members know the CAs of the bundle; lists of those of before are shown to whoever fetches them.
        for list in lists.into_iter().filter(|list| pki::RevocationList::read(list, &issuers).is_ok()) {
            let update = Update::RevocationLists { lists: vec![list] };
            self.member.take(&update, now).await?;
            if !self.is_recovering() {
                // Until then they are for our own server only: it must not go by lists that have run out.
                self.hub.broadcast(update);
            }
        }
        Ok(())
    }

    /// A certificate that its own holder gives up (RFC 8555 §7.6).
    pub(crate) async fn revoke_own(&self, certificate: &store::Issued, reason: Reason, by: Actor) -> Result<(), Fault> {
        if let Some(server) = server_of(certificate) {
            self.check_not_own(&server)?;
        }
        let change = self.change().await?;
        self.take_back(&change, std::slice::from_ref(certificate), reason, by, SystemTime::now()).await
    }

    /// Who leaves leaves nothing behind: were a server listed again, or a user made again, whoever kept the old key would be
    /// trusted with it.
    pub(crate) async fn take_back_all_of(&self, change: &Change<'_>, holder: &Holder, by: Actor, now: SystemTime) -> Result<(), Fault> {
        let certificates = self.standing(holder, now).await?;
        self.take_back(change, &certificates, Reason::CessationOfOperation, by, now).await
    }

    /// Into the ledger, then into a list: what is in the ledger is owed until a list tells it.
    pub(crate) async fn take_back(
        &self,
        change: &Change<'_>,
        certificates: &[store::Issued],
        reason: Reason,
        by: Actor,
        now: SystemTime,
    ) -> Result<(), Fault> {
        if certificates.is_empty() {
            return Ok(());
        }
        let store = self.store.acting_as(by);
        for certificate in certificates {
            let revoked = store.revoke(&certificate.serial, reason, now).await;
            // Also where it failed: what became of it is asked anew.
            self.inquiries.forget();
            revoked?;
        }
        self.publish_due_lists(change, now).await?.told()
    }
}

/// The server whose certificate it is.
fn server_of(certificate: &store::Issued) -> Option<Fqdn> {
    let first = certificate.names.first().filter(|_| certificate.role == store::Role::Server)?;
    Fqdn::parse(first).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<Holder>) {
        assert_eq!(Holder::parse(text, "contoso.example").ok(), expected, "{text}");
    }

    #[test]
    fn a_name_says_whose_certificates_are_meant() {
        check("FE2.contoso.example", Some(Holder::Server("fe2.contoso.example".parse().unwrap())));
        check("anna", Some(Holder::User("sip:anna@contoso.example".into())));
        check("sip:Anna@Contoso.example", Some(Holder::User("sip:anna@contoso.example".into())));
        check("4a0102030405060708090a0b0c0d0e0f", Some(Holder::Certificate(serial("4a0102030405060708090a0b0c0d0e0f").unwrap())));
    }

    #[test]
    fn what_names_nobody_of_ours_is_told() {
        check("anna@fabrikam.example", None);
        check("a b", None);
        check("", None);
    }
}
