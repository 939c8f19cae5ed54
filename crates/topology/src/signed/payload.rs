//! What is signed: JSON with the list as the administrator wrote it, its number, its link and its times.

use std::{fmt::Display, time::SystemTime};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use pki::{CertificateDer, Fingerprint};
use serde::{Deserialize, Serialize};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{HeldTopology, TopologyRefusal};

/// The form of the payload. One that a member does not know is refused, not guessed at.
const FORMAT: u32 = 1;

/// A list on its way.
pub(super) struct Payload {
    pub(super) version: u64,
    /// The digest of the one before; none for the first.
    pub(super) previous: Option<Fingerprint>,
    pub(super) published_at: SystemTime,
    pub(super) valid_until: SystemTime,
    pub(super) document: String,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Written {
    format: u32,
    version: u64,
    previous: Option<String>,
    published_at: String,
    valid_until: String,
    document: String,
}

/// The part of a document's header that names its signer.
#[derive(Deserialize)]
struct Header {
    x5c: Vec<String>,
}

impl Payload {
    /// What the next one has to follow.
    pub(super) fn link(&self) -> HeldTopology {
        HeldTopology { version: self.version, digest: self.digest(), valid_until: self.valid_until }
    }

    /// SHA-256 of the list with its number and its link, hence of everything before it. Signature and
    /// times do not count: the same list signed anew is the same.
    fn digest(&self) -> Fingerprint {
        let previous = self.previous.map(|previous| previous.to_string()).unwrap_or_default();
        Fingerprint::of(format!("verbund-topology\n{}\n{previous}\n{}", self.version, self.document).as_bytes())
    }

    pub(super) fn to_json(&self) -> Result<Vec<u8>, TopologyRefusal> {
        let written = Written {
            format: FORMAT,
            version: self.version,
            previous: self.previous.map(|previous| previous.to_string()),
            published_at: rfc3339(self.published_at),
            valid_until: rfc3339(self.valid_until),
            document: self.document.clone(),
        };
        serde_json::to_vec(&written).map_err(malformed)
    }

    pub(super) fn from_json(json: &[u8]) -> Result<Self, TopologyRefusal> {
        let written: Written = serde_json::from_slice(json).map_err(malformed)?;
        if written.format != FORMAT {
            return Err(malformed(format!("its form is {}, not {FORMAT}", written.format)));
        }
        let previous = match &written.previous {
            Some(text) => Some(Fingerprint::parse(text).ok_or_else(|| malformed("its link is no SHA-256 digest"))?),
            None => None,
        };
        Ok(Self {
            version: written.version,
            previous,
            published_at: moment(&written.published_at)?,
            valid_until: moment(&written.valid_until)?,
            document: written.document,
        })
    }
}

fn malformed(detail: impl Display) -> TopologyRefusal {
    // Parts of what was sent may be in it; what could steer a terminal is escaped.
    let shown = detail.to_string().chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect();
    TopologyRefusal::Malformed { detail: shown }
}

fn moment(text: &str) -> Result<SystemTime, TopologyRefusal> {
    let moment = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| malformed("a time in it is not of RFC 3339"))?;
    Ok(moment.into())
}

/// A moment in whole seconds.
pub(super) fn rfc3339(moment: SystemTime) -> String {
    let moment = OffsetDateTime::from(moment);
    moment.replace_nanosecond(0).unwrap_or(moment).format(&Rfc3339).unwrap_or_else(|_| moment.unix_timestamp().to_string())
}

/// What a document says, whoever signed it.
pub(super) fn unchecked(signed: &str) -> Result<Vec<u8>, TopologyRefusal> {
    let payload = signed.split('.').nth(1).ok_or_else(|| malformed("not three parts with dots between"))?;
    URL_SAFE_NO_PAD.decode(payload).map_err(|_| malformed("its payload is no base64url"))
}

/// The chain that a document carries, whoever signed it.
pub(super) fn signing_chain(signed: &str) -> Option<Vec<CertificateDer<'static>>> {
    let header: Header = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(signed.split('.').next()?).ok()?).ok()?;
    header.x5c.iter().map(|text| STANDARD.decode(text).ok().map(CertificateDer::from)).collect()
}
