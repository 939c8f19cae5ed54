//! How the trust bundle is written: JSON with RFC 3339 times, hexadecimal digests and certificates in
//! base64; and the form in which SPIFFE software takes it.

use std::time::{Duration, SystemTime};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use rustls_pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    BUNDLE_PARTNERS_MAX, Bundle, BundleFault, Curve, Fingerprint, Fqdn, IssuerKind, IssuingCa, ListPlace, PartnerAnchors, PublicKey,
    URL_BYTES_MAX,
    describe::{facts, printable, rfc3339},
};

/// The form of the payload. One that a member does not know is refused, not guessed at.
const FORMAT: u32 = 1;
/// The most certificates of one partner.
const PARTNER_ROOTS_MAX: usize = 16;
/// The most domains of one partner.
const PARTNER_DOMAINS_MAX: usize = 1000;

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Written {
    format: u32,
    sequence: u64,
    previous: Option<String>,
    issued_at: String,
    valid_until: String,
    refresh_seconds: u64,
    roots: Vec<String>,
    issuing: Vec<WrittenCa>,
    lists: Vec<WrittenList>,
    #[serde(default)]
    partners: Vec<WrittenPartner>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct WrittenCa {
    kind: WrittenKind,
    certificate: String,
}

#[derive(Clone, Copy, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum WrittenKind {
    Servers,
    Users,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct WrittenList {
    issuer: String,
    url: Option<String>,
    number: u64,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct WrittenPartner {
    domains: Vec<String>,
    roots: Vec<String>,
}

impl Written {
    pub(crate) fn of(bundle: &Bundle) -> Self {
        let kind = |kind| match kind {
            IssuerKind::Servers => WrittenKind::Servers,
            IssuerKind::Users => WrittenKind::Users,
        };
        let issuing = bundle.issuing.iter().map(|ca| WrittenCa { kind: kind(ca.kind), certificate: coded(&ca.certificate) });
        let list = |list: &ListPlace| WrittenList { issuer: list.issuer.to_string(), url: list.url.clone(), number: list.number };
        let partner = |partner: &PartnerAnchors| WrittenPartner {
            domains: partner.domains.iter().map(Fqdn::to_string).collect(),
            roots: partner.roots.iter().map(coded).collect(),
        };
        Self {
            format: FORMAT,
            sequence: bundle.sequence,
            previous: bundle.previous.map(|digest| digest.to_string()),
            issued_at: rfc3339(bundle.issued_at),
            valid_until: rfc3339(bundle.valid_until),
            refresh_seconds: bundle.refresh.as_secs(),
            roots: bundle.roots.iter().map(coded).collect(),
            issuing: issuing.collect(),
            lists: bundle.lists.iter().map(list).collect(),
            partners: bundle.partners.iter().map(partner).collect(),
        }
    }

    pub(crate) fn to_json(&self) -> Result<Vec<u8>, BundleFault> {
        serde_json::to_vec(self).map_err(|error| malformed(&error.to_string()))
    }

    pub(crate) fn from_json(payload: &[u8]) -> Result<Self, BundleFault> {
        serde_json::from_slice(payload).map_err(|error| malformed(&error.to_string()))
    }

    pub(crate) fn read(self) -> Result<Bundle, BundleFault> {
        if self.format != FORMAT {
            return Err(malformed(&format!("its format is {}, this server knows {FORMAT}", self.format)));
        }
        if self.partners.len() > BUNDLE_PARTNERS_MAX {
            return Err(BundleFault::TooMany { what: "partners", max: BUNDLE_PARTNERS_MAX });
        }
        Ok(Bundle {
            sequence: self.sequence,
            previous: self.previous.as_deref().map(digest).transpose()?,
            issued_at: moment(&self.issued_at)?,
            valid_until: moment(&self.valid_until)?,
            refresh: Duration::from_secs(self.refresh_seconds),
            roots: certificates(&self.roots)?,
            issuing: self.issuing.into_iter().map(WrittenCa::read).collect::<Result<_, _>>()?,
            lists: self.lists.into_iter().map(WrittenList::read).collect::<Result<_, _>>()?,
            partners: self.partners.into_iter().map(WrittenPartner::read).collect::<Result<_, _>>()?,
        })
    }
}

impl WrittenCa {
    fn read(self) -> Result<IssuingCa, BundleFault> {
        let kind = match self.kind {
            WrittenKind::Servers => IssuerKind::Servers,
            WrittenKind::Users => IssuerKind::Users,
        };
        Ok(IssuingCa { kind, certificate: certificate(&self.certificate)? })
    }
}

impl WrittenList {
    fn read(self) -> Result<ListPlace, BundleFault> {
        if let Some(url) = &self.url {
            check_url(url).ok_or_else(|| malformed(&format!("{url:?} is no http or https address of a revocation list")))?;
        }
        Ok(ListPlace { issuer: digest(&self.issuer)?, url: self.url, number: self.number })
    }
}

impl WrittenPartner {
    fn read(self) -> Result<PartnerAnchors, BundleFault> {
        let limits = [
            ("domains of a partner", self.domains.len(), PARTNER_DOMAINS_MAX),
            ("roots of a partner", self.roots.len(), PARTNER_ROOTS_MAX),
        ];
        if let Some((what, _, max)) = limits.into_iter().find(|(_, size, max)| size > max) {
            return Err(BundleFault::TooMany { what, max });
        }
        let domains = self.domains.iter().map(|name| Fqdn::parse(name).map_err(|fault| malformed(&fault.to_string())));
        Ok(PartnerAnchors { domains: domains.collect::<Result<_, _>>()?, roots: certificates(&self.roots)? })
    }
}

/// A plain web address: printable ASCII, no blank, no quote, not endless.
pub(crate) fn check_url(url: &str) -> Option<()> {
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"))?;
    let plain = rest.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte));
    (!rest.is_empty() && !rest.starts_with('/') && plain && url.len() <= URL_BYTES_MAX).then_some(())
}

fn coded(certificate: &CertificateDer<'_>) -> String {
    STANDARD.encode(certificate)
}

fn certificate(text: &str) -> Result<CertificateDer<'static>, BundleFault> {
    let der = STANDARD.decode(text).map_err(|_| malformed("a certificate in it is no base64"))?;
    Ok(CertificateDer::from(der))
}

fn certificates(all: &[String]) -> Result<Vec<CertificateDer<'static>>, BundleFault> {
    all.iter().map(|text| certificate(text)).collect()
}

fn digest(text: &str) -> Result<Fingerprint, BundleFault> {
    Fingerprint::parse(text).ok_or_else(|| malformed(&format!("{text:?} is no SHA-256 digest in 64 hexadecimal digits")))
}

fn moment(text: &str) -> Result<SystemTime, BundleFault> {
    let moment = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| malformed(&format!("{text:?} is no moment of RFC 3339")))?;
    Ok(moment.into())
}

fn malformed(detail: &str) -> BundleFault {
    BundleFault::Malformed { detail: printable(detail) }
}

/// The bundle as SPIFFE software takes it (SPIFFE Trust Domain and Bundle §4): a set of JSON Web Keys.
#[derive(Serialize)]
struct Spiffe {
    keys: Vec<SpiffeKey>,
    spiffe_sequence: u64,
    spiffe_refresh_hint: u64,
}

#[derive(Serialize)]
struct SpiffeKey {
    kty: &'static str,
    crv: &'static str,
    x: String,
    y: String,
    #[serde(rename = "use")]
    purpose: &'static str,
    x5c: [String; 1],
}

impl Bundle {
    /// The roots as a SPIFFE bundle. A root whose key is of no curve that we issue for is left out.
    pub fn to_spiffe(&self) -> Result<String, BundleFault> {
        let bundle = Spiffe {
            keys: self.roots.iter().filter_map(spiffe_key).collect(),
            spiffe_sequence: self.sequence,
            spiffe_refresh_hint: self.refresh.as_secs(),
        };
        serde_json::to_string(&bundle).map_err(|error| malformed(&error.to_string()))
    }
}

fn spiffe_key(root: &CertificateDer<'static>) -> Option<SpiffeKey> {
    let key = PublicKey::from_der(&facts(root)?.public_key).ok()?;
    let crv = match key.curve() {
        Curve::P256 => "P-256",
        Curve::P384 => "P-384",
    };
    // An uncompressed point: a 4, then both coordinates.
    let (_, both) = key.point().split_first()?;
    let (x, y) = both.split_at(both.len() / 2);
    let [x, y] = [x, y].map(|number| URL_SAFE_NO_PAD.encode(number));
    Some(SpiffeKey { kty: "EC", crv, x, y, purpose: "x509-svid", x5c: [coded(root)] })
}
