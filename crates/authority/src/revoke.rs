//! Revoking: ledger, numbered list, members, and the word of each that its connections are cut (row N5).

use std::time::{Instant, SystemTime};

use pki::{Fqdn, Serial};
use registrar::UserName;
use store::{Actor, IssuanceLedger as _, Reason};
use web::control::Update;

use crate::{Authority, Ca, Fault, Spread, publish::Change};

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
    /// them. Returns when every member has cut what was open, or patience ended.
    ///
    /// # Errors
    /// Nobody of that name, nothing to revoke, or it is the authority's own.
    pub async fn revoke(&self, name: &str) -> Result<Spread, Fault> {
        let _change = self.changing.lock().await;
        let (began, now) = (Instant::now(), SystemTime::now());
        let holder = Holder::parse(name, &self.domain)?;
        if let Holder::Server(server) = &holder
            && server == self.member.name()
        {
            return Err(Fault::Own(server.clone()));
        }
        let certificates = self.standing(&holder, now).await?;
        if certificates.is_empty() {
            return Err(Fault::NoCertificate(name.to_owned()));
        }
        if let Holder::Server(server) = &holder {
            self.close_enrolments(server, now).await?;
        }
        self.take_back(&certificates, Reason::Unspecified, Actor::Administrator("socket".into()), now).await?;
        let wanted = self.member.in_force().borrow().lists.clone();
        let has_them = |in_force: &web::control::InForce| {
            wanted.iter().all(|list| in_force.lists.iter().any(|held| held.issuer == list.issuer && held.number >= list.number))
        };
        let spread = self.spread(&self.joined().await?, began, has_them).await;
        let revoked = certificates.iter().map(|certificate| certificate.serial.to_string()).collect();
        tracing::warn!(name, certificates = certificates.len(), acknowledged = spread.acknowledged, members = spread.members, "revoked");
        Ok(Spread { revoked, ..spread })
    }

    /// The certificates of a holder that count and were not revoked yet.
    pub(crate) async fn standing(&self, holder: &Holder, now: SystemTime) -> Result<Vec<store::Issued>, Fault> {
        let found = match holder {
            Holder::Server(server) => {
                let all = self.store.standing_of(server.as_str(), now, CERTIFICATES_MAX).await?;
                // A pool's name stands in its members' certificates too: meant is who has it first.
                all.into_iter().filter(|certificate| certificate.names.first().is_some_and(|first| first == server.as_str())).collect()
            }
            Holder::User(uri) => self.store.standing_of(uri, now, CERTIFICATES_MAX).await?,
            Holder::Certificate(serial) if self.store.revocation(serial).await?.is_none() => {
                self.store.certificate(serial).await?.into_iter().collect()
            }
            Holder::Certificate(_) => Vec::new(),
        };
        let is_leaf = |certificate: &store::Issued| matches!(certificate.role, store::Role::Server | store::Role::User);
        Ok(found.into_iter().filter(is_leaf).collect())
    }

    async fn publish_lists_of(&self, certificates: &[store::Issued], now: SystemTime) -> Result<(), Fault> {
        let mut lists = Vec::new();
        let ca = self.ca();
        for lister in ca.listers() {
            let subject = pki::facts(lister.certificate).map(|facts| facts.subject);
            let concerned = certificates.iter().any(|certificate| Some(&certificate.issuer) == subject.as_ref());
            if concerned && lister.kind().is_some() {
                lists.extend(Ca::sign_list(&self.store, &lister, now).await?);
            }
        }
        self.publish_lists(lists, now).await
    }

    /// Puts lists into force here, then tells members.
    pub(crate) async fn publish_lists(&self, lists: Vec<Vec<u8>>, now: SystemTime) -> Result<(), Fault> {
        for list in lists {
            let update = Update::RevocationLists { lists: vec![list] };
            self.member.take(&update, now).await?;
            self.hub.broadcast(update);
        }
        Ok(())
    }

    /// A certificate that its own holder gives up (RFC 8555 §7.6).
    pub(crate) async fn revoke_own(&self, certificate: &store::Issued, reason: Reason, by: Actor) -> Result<(), Fault> {
        let _change = self.changing.lock().await;
        self.take_back(std::slice::from_ref(certificate), reason, by, SystemTime::now()).await
    }

    /// A server that leaves the topology leaves nothing behind: were its name listed again, whoever kept the old key would be
    /// trusted with it.
    pub(crate) async fn take_back_all_of(&self, _change: &Change<'_>, server: &Fqdn, by: Actor, now: SystemTime) -> Result<(), Fault> {
        let certificates = self.standing(&Holder::Server(server.clone()), now).await?;
        self.take_back(&certificates, Reason::CessationOfOperation, by, now).await
    }

    async fn take_back(&self, certificates: &[store::Issued], reason: Reason, by: Actor, now: SystemTime) -> Result<(), Fault> {
        let store = self.store.acting_as(by);
        for certificate in certificates {
            let revoked = store.revoke(&certificate.serial, reason, now).await;
            // Also where it failed: what became of it is asked anew.
            self.inquiries.forget();
            revoked?;
        }
        self.publish_lists_of(certificates, now).await
    }
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
