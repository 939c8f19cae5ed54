//! The root: what every member and every phone trusts.

use std::time::{Duration, SystemTime};

use rcgen::Issuer;
use rustls_pki_types::CertificateDer;
use time::OffsetDateTime;

use super::{
    Authority, IssuingAuthority, Urls,
    fault::check_organisation,
    files::{ca_facts, check_key, checked_validity, only_certificate},
};
use crate::{
    AuthorityFault, CaSigner, Fqdn, IssuerKind, Key, KeyFault, OCSP_SIGNER_VALIDITY, PublicKey, RevokedCertificate, SecretPem, Serial,
    certificates_to_pem,
    describe::signed_by,
    profile::{self, Places, Validity},
    sign_revocation_list,
};

/// How long a root lasts.
pub const ROOT_VALIDITY: Duration = Duration::from_hours(20 * 365 * 24);
/// How long an issuing CA lasts.
pub const ISSUING_VALIDITY: Duration = Duration::from_hours(3 * 365 * 24);
/// How long a root's revocation list counts: 13 months, so that the ceremony is a yearly one.
pub const ROOT_LIST_VALIDITY: Duration = Duration::from_hours(396 * 24);

/// The root: what every member and every phone trusts. It signs issuing CAs and the list of those
/// that no longer count, so its key may lie in a safe.
#[derive(Clone, Debug)]
pub struct Root {
    certificate: CertificateDer<'static>,
    key: CaSigner,
}

/// What an issuing CA shall be.
#[derive(Clone, Copy, Debug)]
pub struct IssuingPlan<'a> {
    /// The organisation, in its names.
    pub organisation: &'a str,
    /// Its number in this year. No two of a kind may have the same: equal names of different keys break
    /// path building.
    pub generation: u16,
    /// Whom it issues for.
    pub kind: IssuerKind,
    /// The domains whose hosts and users it may name.
    pub domains: &'a [Fqdn],
    /// Where the root's revocation list can be fetched.
    pub urls: Option<&'a Urls>,
}

impl IssuingPlan<'_> {
    fn common_name(&self, now: SystemTime) -> String {
        let what = match self.kind {
            IssuerKind::Servers => "Issuing CA",
            IssuerKind::Users => "User CA",
        };
        format!("{} {what} {}-{}", self.organisation, OffsetDateTime::from(now).year(), self.generation)
    }

    fn check(&self) -> Result<(), AuthorityFault> {
        check_organisation(self.organisation)?;
        if self.domains.is_empty() { Err(AuthorityFault::NoDomain) } else { Ok(()) }
    }
}

impl Root {
    /// A new root for an organisation, its first one.
    pub fn create(organisation: &str, now: SystemTime) -> Result<Self, AuthorityFault> {
        Self::create_with(organisation, 1, Key::generate()?.into(), now)
    }

    /// A new root with this key, number `generation` of this year. No two may have the same name.
    pub fn create_with(organisation: &str, generation: u16, key: CaSigner, now: SystemTime) -> Result<Self, AuthorityFault> {
        check_organisation(organisation)?;
        let year = OffsetDateTime::from(now).year();
        let name = match generation {
            0 | 1 => format!("{organisation} Root CA {year}"),
            later => format!("{organisation} Root CA {year}-{later}"),
        };
        let params = profile::root(&name, organisation, &Serial::generate()?, Validity::starting(now, ROOT_VALIDITY));
        let certificate = params.self_signed(&key)?.der().clone();
        Ok(Self { certificate, key })
    }

    /// The root as its files have it.
    pub fn load(certificate: &str, key: &str) -> Result<Self, AuthorityFault> {
        Self::load_with(certificate, Key::from_pem(key)?.into())
    }

    /// The root with a key that lies elsewhere.
    pub fn load_with(certificate: &str, key: CaSigner) -> Result<Self, AuthorityFault> {
        let certificate = only_certificate("root", certificate)?;
        check_key("root", &certificate, key.public())?;
        Ok(Self { certificate, key })
    }

    /// The certificate.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// The certificate in PEM: what phones get.
    pub fn certificate_pem(&self) -> String {
        certificates_to_pem([&self.certificate])
    }

    /// The private key in PEM, if it is one that can be shown.
    pub fn key_pem(&self) -> Result<SecretPem, KeyFault> {
        self.key.to_pem()
    }

    /// Signs an issuing CA for a key whose private half stays where it was made.
    pub fn issue(&self, plan: &IssuingPlan<'_>, key: &PublicKey, now: SystemTime) -> Result<CertificateDer<'static>, AuthorityFault> {
        plan.check()?;
        let validity = checked_validity("the root", &self.certificate, now, ISSUING_VALIDITY)?;
        let name = plan.common_name(now);
        let mut params = profile::issuing(&name, plan.organisation, plan.kind, plan.domains, &Serial::generate()?, validity);
        if let Some(urls) = plan.urls {
            // No OCSP responder is promised: the root may go offline any day.
            profile::add_places(&mut params, Places { ocsp: None, ..urls.places(&self.certificate) });
        }
        let issuer = Issuer::from_ca_cert_der(&self.certificate, &self.key)?;
        Ok(params.signed_by(&key.for_issuing()?, &issuer)?.der().clone())
    }

    /// Issues the certificate of who answers OCSP requests about what this root issued (RFC 6960 §4.2.2.2), as long as its key is
    /// at hand.
    pub fn issue_ocsp_signer(&self, key: &PublicKey, now: SystemTime) -> Result<CertificateDer<'static>, AuthorityFault> {
        let validity = checked_validity("the root", &self.certificate, now, OCSP_SIGNER_VALIDITY)?;
        let issuer = Issuer::from_ca_cert_der(&self.certificate, &self.key)?;
        Ok(profile::ocsp_signer(&Serial::generate()?, validity).signed_by(&key.for_issuing()?, &issuer)?.der().clone())
    }

    /// Makes the issuing CA of this plan, with a key of its own.
    pub fn issue_issuing(&self, plan: &IssuingPlan<'_>, now: SystemTime) -> Result<IssuingAuthority, AuthorityFault> {
        let key = Key::generate()?;
        let certificate = self.issue(plan, &key.public(), now)?;
        IssuingAuthority::of(plan.kind, certificate, key.into())
    }

    /// Makes the issuing CAs number `generation` of this year, one for servers and one for users, which may
    /// name hosts and users of `domains` only.
    pub fn issue_authority(
        &self,
        organisation: &str,
        generation: u16,
        domains: &[Fqdn],
        now: SystemTime,
    ) -> Result<Authority, AuthorityFault> {
        let plan = |kind| IssuingPlan { organisation, generation, kind, domains, urls: None };
        let servers = self.issue_issuing(&plan(IssuerKind::Servers), now)?;
        let users = self.issue_issuing(&plan(IssuerKind::Users), now)?;
        Authority::of(self.certificate.clone(), servers, Some(users))
    }

    /// Signs the root's list of revoked issuing CAs: number `number`, counted up by the caller, good for
    /// [`ROOT_LIST_VALIDITY`].
    pub fn revocation_list(&self, revoked: &[RevokedCertificate], number: u64, now: SystemTime) -> Result<Vec<u8>, AuthorityFault> {
        self.revocation_list_until(revoked, number, now, now + ROOT_LIST_VALIDITY)
    }

    /// The same, good until another moment.
    pub fn revocation_list_until(
        &self,
        revoked: &[RevokedCertificate],
        number: u64,
        this_update: SystemTime,
        next_update: SystemTime,
    ) -> Result<Vec<u8>, AuthorityFault> {
        sign_revocation_list(&self.certificate, &self.key, revoked, number, this_update, next_update)
    }

    /// Vouches for another root: who trusts this one only then believes what that one issued. For the time
    /// in which one root replaces the other (RFC 4210 §4.4 calls it a link certificate).
    pub fn cross_sign(&self, other: &CertificateDer<'_>, now: SystemTime) -> Result<CertificateDer<'static>, AuthorityFault> {
        let (mine, theirs) = (ca_facts("root", &self.certificate)?, ca_facts("root", other)?);
        if mine.subject == theirs.subject {
            return Err(AuthorityFault::SameName { name: theirs.subject });
        }
        let validity = checked_validity("the root", &self.certificate, now, ROOT_VALIDITY)?;
        let theirs_validity = Validity { not_before: theirs.not_before.into(), not_after: theirs.not_after.into() };
        let params = profile::cross(other, &Serial::generate()?, validity.within(theirs_validity))?;
        let key = PublicKey::from_der(&theirs.public_key)?;
        let issuer = Issuer::from_ca_cert_der(&self.certificate, &self.key)?;
        Ok(params.signed_by(&key.for_issuing()?, &issuer)?.der().clone())
    }
}

/// Whether `link` is the old root's word for the new one ([`Root::cross_sign`]): the new root's name and key, signed by the old
/// root, good now.
///
/// # Errors
/// It is something else, or out of its time.
pub fn check_link(
    link: &CertificateDer<'static>,
    old: &CertificateDer<'_>,
    new: &CertificateDer<'_>,
    now: SystemTime,
) -> Result<(), AuthorityFault> {
    let (said, root) = (ca_facts("link", link)?, ca_facts("root", new)?);
    if said.subject != root.subject || said.public_key != root.public_key || !signed_by(link, old) {
        return Err(AuthorityFault::Foreign { which: "link" });
    }
    checked_validity("the link certificate", link, now, Duration::ZERO).map(drop)
}
