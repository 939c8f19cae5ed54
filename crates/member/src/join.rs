//! The one string that a new server needs: where the authority is, how it is recognised, and the ticket.

use std::{fmt, net::SocketAddr, str::FromStr};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use pki::{Fingerprint, Fqdn};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize as _, Zeroizing};

/// What `verbund server add` prints and `verbund join` takes. It holds a secret, the ticket's key: `Debug` does not show it.
#[derive(Clone, Eq, PartialEq)]
pub struct JoinString {
    /// The authority's name, which its certificate must prove.
    pub authority: Fqdn,
    /// Where its HTTPS is reached. It says where to go, never whom to trust (P16).
    pub address: SocketAddr,
    /// SHA-256 of the organisation's root: by it the authority is recognised.
    pub root: Fingerprint,
    /// The server that may join with it, and no other (N33).
    pub server: Fqdn,
    /// Which ticket.
    pub kid: String,
    /// Its key (RFC 8555 §7.3.4), base64url.
    pub key: Zeroizing<String>,
}

/// Why a text is no join string.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum JoinFault {
    /// It begins otherwise.
    #[error("this is no join string (it begins with {PREFIX}); copy all of the line that `verbund server add` printed")]
    Prefix,
    /// A part of it is missing or changed.
    #[error("the join string is damaged ({0}); copy all of the line that `verbund server add` printed")]
    Damaged(&'static str),
}

const PREFIX: &str = "verbund-join:v1:";
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    authority: String,
    address: SocketAddr,
    root: String,
    server: String,
    kid: String,
    key: String,
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

impl JoinString {
    /// The longest join string, in bytes.
    pub const BYTES_MAX: usize = 4096;
}

impl FromStr for JoinString {
    type Err = JoinFault;

    fn from_str(text: &str) -> Result<Self, JoinFault> {
        let coded = text.trim().strip_prefix(PREFIX).ok_or(JoinFault::Prefix)?;
        if coded.len() > Self::BYTES_MAX {
            return Err(JoinFault::Damaged("it is too long"));
        }
        let json = Zeroizing::new(URL_SAFE_NO_PAD.decode(coded).map_err(|_| JoinFault::Damaged("a character is missing or wrong"))?);
        let wire: Wire = serde_json::from_slice(&json).map_err(|_| JoinFault::Damaged("its parts cannot be read"))?;
        let name = |text: &str| Fqdn::parse(text).map_err(|_| JoinFault::Damaged("a name in it is no host name"));
        Ok(Self {
            authority: name(&wire.authority)?,
            address: wire.address,
            root: wire.root.parse().map_err(|_| JoinFault::Damaged("the fingerprint is none"))?,
            server: name(&wire.server)?,
            kid: wire.kid.clone(),
            key: Zeroizing::new(wire.key.clone()),
        })
    }
}

impl JoinString {
    /// The text, to be shown once to whoever adds the server.
    #[must_use]
    pub fn expose(&self) -> Zeroizing<String> {
        let wire = Wire {
            authority: self.authority.to_string(),
            address: self.address,
            root: self.root.to_string(),
            server: self.server.to_string(),
            kid: self.kid.clone(),
            key: self.key.to_string(),
        };
        let json = Zeroizing::new(serde_json::to_vec(&wire).unwrap_or_default());
        let mut text = Zeroizing::new(String::from(PREFIX));
        URL_SAFE_NO_PAD.encode_string(&*json, &mut text);
        text
    }
}

impl fmt::Debug for JoinString {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "JoinString({} at {} for {})", self.authority, self.address, self.server)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn join() -> JoinString {
        JoinString {
            authority: "sip.contoso.example".parse().unwrap(),
            address: "192.0.2.1:8443".parse().unwrap(),
            root: Fingerprint::of(b"root"),
            server: "fe2.contoso.example".parse().unwrap(),
            kid: "kid1".into(),
            key: Zeroizing::new("c2VjcmV0".into()),
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let text = join().expose();
        assert_eq!(text.parse::<JoinString>().unwrap(), join());
        assert_eq!(format!(" {}\n", *text).parse::<JoinString>().unwrap(), join());
    }

    #[test]
    fn its_secret_is_not_printed_by_accident() {
        assert!(!format!("{:?}", join()).contains("c2VjcmV0"));
    }

    #[test]
    fn what_was_cut_or_changed_is_told() {
        let text = join().expose();
        assert_eq!("hello".parse::<JoinString>().unwrap_err(), JoinFault::Prefix);
        for bad in [&text[..text.len() - 3], &text[..PREFIX.len()], &format!("{}!", *text)] {
            assert!(matches!(bad.parse::<JoinString>(), Err(JoinFault::Damaged(_))), "{bad}");
        }
    }
}
