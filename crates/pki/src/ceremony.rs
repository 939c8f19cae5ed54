//! The root ceremony by files: what goes to the offline root, and what the root remembers.
//!
//! Online, an authority makes keys for its issuing CAs and writes an [`IssuingRequest`] each. Offline,
//! the [`RootRegister`] signs them and the root's revocation list. What comes back are certificates in
//! PEM and a list: all of it public. No private key travels.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    AuthorityFault, CaSigner, CertificateDer, CertificateRequest, Fingerprint, Fqdn, IssuerKind, IssuingPlan, RequestFault,
    RevocationReason, RevokedCertificate, Root, Serial, Urls,
    csr::certificate_request_by,
    describe::{facts, printable, rfc3339},
    pem,
};

/// The form of both files. Another one is refused, not guessed at.
const FORMAT: u32 = 1;
/// The most bytes of a request file or a register that are looked at.
pub const CEREMONY_BYTES_MAX: usize = 1024 * 1024;
/// The most domains of one issuing CA.
const DOMAINS_MAX: usize = 1000;

/// Why a file of the ceremony is not taken, or nothing was signed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum CeremonyFault {
    /// Damaged, or something else.
    #[error("the {what} cannot be read ({detail}); copy it again, with the same version of verbund on both sides")]
    Malformed {
        /// Which file.
        what: &'static str,
        /// What is wrong.
        detail: String,
    },
    /// The key in it.
    #[error("the request for an issuing CA is not acceptable: {0}")]
    Request(#[from] RequestFault),
    /// A root signs for its own organisation.
    #[error("the request is of {asked:?}, and this is the root of {ours:?}; take it to the right root")]
    OtherOrganisation {
        /// Whose the request is.
        asked: String,
        /// Whose the root is.
        ours: String,
    },
    /// The register belongs to another root.
    #[error("the register is not that of this root; put root.pem, root.key and register.json of one folder together")]
    OtherRoot,
    /// One key, two CAs: they could not be told apart by their revocation lists.
    #[error("there is a CA with this very key already ({name}); have a new key made by `verbund ca request`")]
    KeyTaken {
        /// Its name.
        name: String,
    },
    /// Not one that this root signed.
    #[error("this root signed no CA with the serial number {serial}; see register.json for those it did sign")]
    NotIssued {
        /// The number.
        serial: String,
    },
    /// It was not signed.
    #[error(transparent)]
    Authority(#[from] AuthorityFault),
}

/// What an authority asks the root for: an issuing CA of this kind, for these domains, with this key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct IssuingRequest {
    organisation: String,
    kind: IssuerKind,
    domains: Vec<Fqdn>,
    urls: Option<Urls>,
    /// The least number that its name may bear.
    number: u16,
    request: CertificateRequest,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct WrittenRequest {
    format: u32,
    organisation: String,
    kind: Kind,
    domains: Vec<String>,
    urls: Option<String>,
    /// 0 in requests from before there was one.
    #[serde(default)]
    number: u16,
    request: String,
}

#[derive(Clone, Copy, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Servers,
    Users,
}

impl From<IssuerKind> for Kind {
    fn from(kind: IssuerKind) -> Self {
        match kind {
            IssuerKind::Servers => Self::Servers,
            IssuerKind::Users => Self::Users,
        }
    }
}

impl From<Kind> for IssuerKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Servers => Self::Servers,
            Kind::Users => Self::Users,
        }
    }
}

impl IssuingRequest {
    /// The text of a request for an issuing CA with this key.
    pub fn write(
        organisation: &str,
        kind: IssuerKind,
        domains: &[Fqdn],
        urls: Option<&Urls>,
        key: &CaSigner,
    ) -> Result<String, CeremonyFault> {
        Self::write_numbered(organisation, kind, domains, urls, 1, key)
    }

    /// The same for an organisation that had issuing CAs before, maybe of another root: the name of the new one bears this number
    /// or a higher one, for no two may have one name.
    pub fn write_numbered(
        organisation: &str,
        kind: IssuerKind,
        domains: &[Fqdn],
        urls: Option<&Urls>,
        number: u16,
        key: &CaSigner,
    ) -> Result<String, CeremonyFault> {
        let der = certificate_request_by(key, &[]).map_err(AuthorityFault::Key)?;
        let written = WrittenRequest {
            format: FORMAT,
            organisation: organisation.into(),
            kind: kind.into(),
            domains: domains.iter().map(Fqdn::to_string).collect(),
            urls: urls.map(Urls::to_string),
            number,
            request: pem::section("CERTIFICATE REQUEST", &der).to_string(),
        };
        // What would be refused over there is refused here.
        let text = json("request", &written)?;
        Self::read(&text).map(|_| text)
    }

    /// Reads a request and checks that whoever made it holds the key.
    pub fn read(text: &str) -> Result<Self, CeremonyFault> {
        let written: WrittenRequest = of_json("request", text)?;
        check_format("request", written.format)?;
        if written.domains.is_empty() || written.domains.len() > DOMAINS_MAX {
            return Err(malformed("request", &format!("it names no domain, or more than {DOMAINS_MAX}")));
        }
        let domain = |name: &String| Fqdn::parse(name).map_err(|fault| malformed("request", &fault.to_string()));
        Ok(Self {
            organisation: written.organisation,
            kind: written.kind.into(),
            domains: written.domains.iter().map(domain).collect::<Result<_, _>>()?,
            urls: written.urls.as_deref().map(Urls::below).transpose()?,
            number: written.number,
            request: CertificateRequest::read(written.request.as_bytes())?,
        })
    }

    /// Whose CA it shall be.
    pub fn organisation(&self) -> &str {
        &self.organisation
    }

    /// Whom it shall issue for.
    pub fn kind(&self) -> IssuerKind {
        self.kind
    }

    /// The domains that it shall issue for.
    pub fn domains(&self) -> &[Fqdn] {
        &self.domains
    }

    /// SHA-256 of the key: to be compared by people on both sides of the gap.
    pub fn key_fingerprint(&self) -> Fingerprint {
        Fingerprint::of(self.request.key().as_der())
    }
}

/// What the offline root remembers, beside its key: what it signed, what it took back, and how often.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RootRegister {
    organisation: String,
    root: Fingerprint,
    list_number: u64,
    issued: Vec<IssuedCa>,
    revoked: Vec<RevokedCertificate>,
}

/// An issuing CA that a root signed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct IssuedCa {
    /// Whom it issues for.
    pub kind: IssuerKind,
    /// Its name.
    pub name: String,
    /// Its serial number.
    pub serial: Serial,
    /// SHA-256 of its key.
    pub key: Fingerprint,
    /// When it was signed.
    pub at: SystemTime,
    /// When it ends.
    pub not_after: SystemTime,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct WrittenRegister {
    format: u32,
    organisation: String,
    root: String,
    list_number: u64,
    issued: Vec<WrittenCa>,
    revoked: Vec<WrittenRevoked>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct WrittenCa {
    kind: Kind,
    name: String,
    serial: String,
    key: String,
    at: String,
    not_after: String,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct WrittenRevoked {
    serial: String,
    at: String,
    reason: Reason,
}

#[derive(Clone, Copy, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Reason {
    Unspecified,
    KeyCompromise,
    AffiliationChanged,
    Superseded,
    CessationOfOperation,
    PrivilegeWithdrawn,
}

impl RootRegister {
    /// The register of a root that has signed nothing yet.
    pub fn new(organisation: &str, root: &CertificateDer<'_>) -> Self {
        Self { organisation: organisation.into(), root: Fingerprint::of(root), list_number: 0, issued: Vec::new(), revoked: Vec::new() }
    }

    /// Reads what [`to_json`](Self::to_json) wrote.
    pub fn read(text: &str) -> Result<Self, CeremonyFault> {
        let written: WrittenRegister = of_json("register", text)?;
        check_format("register", written.format)?;
        let root = Fingerprint::parse(&written.root).ok_or_else(|| malformed("register", "its root is no digest"))?;
        let issued = written.issued.into_iter().map(WrittenCa::read).collect::<Result<_, _>>()?;
        let revoked = written.revoked.into_iter().map(WrittenRevoked::read).collect::<Result<_, _>>()?;
        Ok(Self { organisation: written.organisation, root, list_number: written.list_number, issued, revoked })
    }

    /// The register as text, for the folder in which the root lies.
    pub fn to_json(&self) -> Result<String, CeremonyFault> {
        let written = WrittenRegister {
            format: FORMAT,
            organisation: self.organisation.clone(),
            root: self.root.to_string(),
            list_number: self.list_number,
            issued: self.issued.iter().map(WrittenCa::of).collect(),
            revoked: self.revoked.iter().map(WrittenRevoked::of).collect(),
        };
        json("register", &written)
    }

    /// Whose root it is.
    pub fn organisation(&self) -> &str {
        &self.organisation
    }

    /// The issuing CAs that were signed.
    pub fn issued(&self) -> &[IssuedCa] {
        &self.issued
    }

    /// The issuing CAs that were taken back.
    pub fn revoked(&self) -> &[RevokedCertificate] {
        &self.revoked
    }

    /// Signs an issuing CA. It gets a name that no other one of this root has.
    pub fn sign(&mut self, root: &Root, request: &IssuingRequest, now: SystemTime) -> Result<CertificateDer<'static>, CeremonyFault> {
        self.check_root(root)?;
        if request.organisation != self.organisation {
            return Err(CeremonyFault::OtherOrganisation { asked: printable(&request.organisation), ours: self.organisation.clone() });
        }
        let key = request.key_fingerprint();
        if let Some(taken) = self.issued.iter().find(|issued| issued.key == key) {
            return Err(CeremonyFault::KeyTaken { name: taken.name.clone() });
        }
        let plan = IssuingPlan {
            organisation: &self.organisation,
            generation: self.next_generation(request.kind, now).max(request.number),
            kind: request.kind,
            domains: &request.domains,
            urls: request.urls.as_ref(),
        };
        let certificate = root.issue(&plan, request.request.key(), now)?;
        let facts = facts(&certificate).ok_or(AuthorityFault::Foreign { which: "issuing" })?;
        self.issued.push(IssuedCa {
            kind: request.kind,
            name: facts.subject,
            serial: facts.serial,
            key,
            at: now,
            not_after: facts.not_after,
        });
        Ok(certificate)
    }

    /// Takes an issuing CA back: it will be on every list from now on. Whether that is news.
    pub fn revoke(&mut self, serial: &Serial, reason: RevocationReason, at: SystemTime) -> Result<bool, CeremonyFault> {
        if !self.issued.iter().any(|issued| issued.serial == *serial) {
            return Err(CeremonyFault::NotIssued { serial: serial.to_string() });
        }
        if self.revoked.iter().any(|revoked| revoked.serial == *serial) {
            return Ok(false);
        }
        self.revoked.push(RevokedCertificate { serial: serial.clone(), at, reason });
        Ok(true)
    }

    /// Signs the root's next revocation list.
    pub fn next_list(&mut self, root: &Root, now: SystemTime) -> Result<Vec<u8>, CeremonyFault> {
        self.check_root(root)?;
        let number = self.list_number + 1;
        let list = root.revocation_list(&self.revoked, number, now)?;
        self.list_number = number;
        Ok(list)
    }

    fn check_root(&self, root: &Root) -> Result<(), CeremonyFault> {
        if self.root == Fingerprint::of(root.certificate()) { Ok(()) } else { Err(CeremonyFault::OtherRoot) }
    }

    /// One more than the highest of this kind and year, so no name comes twice: names may begin above 1, and leave numbers out.
    fn next_generation(&self, kind: IssuerKind, now: SystemTime) -> u16 {
        let year = |moment: SystemTime| OffsetDateTime::from(moment).year();
        let same = self.issued.iter().filter(|issued| issued.kind == kind && year(issued.at) == year(now));
        let number = |issued: &IssuedCa| issued.name.rsplit('-').next().and_then(|number| number.parse::<u16>().ok());
        let (count, highest) =
            same.fold((0_u16, 0), |(count, highest), issued| (count.saturating_add(1), highest.max(number(issued).unwrap_or(0))));
        count.max(highest).saturating_add(1)
    }
}

impl WrittenCa {
    fn of(ca: &IssuedCa) -> Self {
        Self {
            kind: ca.kind.into(),
            name: ca.name.clone(),
            serial: ca.serial.to_string(),
            key: ca.key.to_string(),
            at: rfc3339(ca.at),
            not_after: rfc3339(ca.not_after),
        }
    }

    fn read(self) -> Result<IssuedCa, CeremonyFault> {
        let key = Fingerprint::parse(&self.key).ok_or_else(|| malformed("register", "a key in it is no digest"))?;
        let (at, not_after) = (moment(&self.at)?, moment(&self.not_after)?);
        Ok(IssuedCa { kind: self.kind.into(), name: self.name, serial: serial(&self.serial)?, key, at, not_after })
    }
}

impl WrittenRevoked {
    fn of(revoked: &RevokedCertificate) -> Self {
        let reason = match revoked.reason {
            RevocationReason::Unspecified => Reason::Unspecified,
            RevocationReason::KeyCompromise => Reason::KeyCompromise,
            RevocationReason::AffiliationChanged => Reason::AffiliationChanged,
            RevocationReason::Superseded => Reason::Superseded,
            RevocationReason::CessationOfOperation => Reason::CessationOfOperation,
            RevocationReason::PrivilegeWithdrawn => Reason::PrivilegeWithdrawn,
        };
        Self { serial: revoked.serial.to_string(), at: rfc3339(revoked.at), reason }
    }

    fn read(self) -> Result<RevokedCertificate, CeremonyFault> {
        let reason = match self.reason {
            Reason::Unspecified => RevocationReason::Unspecified,
            Reason::KeyCompromise => RevocationReason::KeyCompromise,
            Reason::AffiliationChanged => RevocationReason::AffiliationChanged,
            Reason::Superseded => RevocationReason::Superseded,
            Reason::CessationOfOperation => RevocationReason::CessationOfOperation,
            Reason::PrivilegeWithdrawn => RevocationReason::PrivilegeWithdrawn,
        };
        Ok(RevokedCertificate { serial: serial(&self.serial)?, at: moment(&self.at)?, reason })
    }
}

fn json(what: &'static str, value: &impl Serialize) -> Result<String, CeremonyFault> {
    serde_json::to_string_pretty(value).map(|text| text + "\n").map_err(|error| malformed(what, &error.to_string()))
}

fn of_json<'a, T: Deserialize<'a>>(what: &'static str, text: &'a str) -> Result<T, CeremonyFault> {
    if text.len() > CEREMONY_BYTES_MAX {
        return Err(malformed(what, &format!("it is longer than {CEREMONY_BYTES_MAX} bytes")));
    }
    serde_json::from_str(text).map_err(|error| malformed(what, &error.to_string()))
}

fn check_format(what: &'static str, format: u32) -> Result<(), CeremonyFault> {
    if format == FORMAT { Ok(()) } else { Err(malformed(what, &format!("its format is {format}, known is {FORMAT}"))) }
}

fn malformed(what: &'static str, detail: &str) -> CeremonyFault {
    CeremonyFault::Malformed { what, detail: printable(detail) }
}

fn serial(text: &str) -> Result<Serial, CeremonyFault> {
    Serial::parse(text).ok_or_else(|| malformed("register", "a serial number in it is no hexadecimal number"))
}

fn moment(text: &str) -> Result<SystemTime, CeremonyFault> {
    let moment = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| malformed("register", "a moment in it is none of RFC 3339"))?;
    Ok(moment.into())
}
