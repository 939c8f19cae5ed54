//! A JSON Web Signature in its flattened form (RFC 7515 §7.2.2), as ACME wants it (RFC 8555 §6.2).

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use super::{AccountKey, Algorithm, KeyFault};

/// Why bytes are no signed message.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SignedFault {
    /// No JSON, or another shape.
    #[error("the message is no flattened JWS with protected, payload and signature: {0}")]
    Shape(String),
    /// A part is no base64url without padding.
    #[error("the message's {0} is not base64url without padding")]
    Base64(&'static str),
    /// The protected header is not what it must be.
    #[error("the protected header is not understood: {0}")]
    Header(String),
    /// Extensions that must be understood (RFC 7515 §4.1.11); none is.
    #[error("the protected header has crit, and no extension is understood here")]
    Critical,
    /// RFC 8555 §6.2: one of the two.
    #[error("the protected header has either jwk or kid, never both, never neither")]
    NotOneKey,
    /// The key in it is not taken.
    #[error(transparent)]
    Key(#[from] KeyFault),
    /// The payload is not what is wanted.
    #[error("the payload is not what is wanted here: {0}")]
    Payload(String),
}

/// How the signer is named.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Signer {
    /// By the key itself (`jwk`).
    Key(AccountKey),
    /// By a name (`kid`): an account's URL, or a ticket's name.
    Name(String),
}

/// A message that was taken apart. Nothing is believed before the signature was checked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Signed {
    /// `alg`, as it stands.
    pub algorithm: String,
    /// `nonce`.
    pub nonce: Option<String>,
    /// `url`.
    pub url: Option<String>,
    /// `jwk` or `kid`.
    pub signer: Signer,
    /// The payload; empty for POST-as-GET (RFC 8555 §6.3).
    pub payload: Vec<u8>,
    /// What was signed.
    input: String,
    signature: Vec<u8>,
}

/// serde refuses a member that comes twice, and every member besides these: an unprotected header, several signatures.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Flattened {
    protected: String,
    payload: String,
    signature: String,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    nonce: Option<String>,
    url: Option<String>,
    jwk: Option<Map<String, Value>>,
    kid: Option<String>,
    crit: Option<IgnoredAny>,
}

impl Signed {
    /// Takes a message apart.
    ///
    /// # Errors
    /// It is not one, or asks for what is not understood.
    pub fn parse(bytes: &[u8]) -> Result<Self, SignedFault> {
        let message = serde_json::from_slice(bytes).map_err(|error| SignedFault::Shape(error.to_string()))?;
        Self::of(message)
    }

    /// The same for a message inside another one.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn from_value(value: Value) -> Result<Self, SignedFault> {
        let message = serde_json::from_value(value).map_err(|error| SignedFault::Shape(error.to_string()))?;
        Self::of(message)
    }

    fn of(Flattened { protected, payload, signature }: Flattened) -> Result<Self, SignedFault> {
        let decode = |text: &str, part| URL_SAFE_NO_PAD.decode(text).map_err(|_| SignedFault::Base64(part));
        let header: Header =
            serde_json::from_slice(&decode(&protected, "protected")?).map_err(|error| SignedFault::Header(error.to_string()))?;
        if header.crit.is_some() {
            return Err(SignedFault::Critical);
        }
        let signer = match (header.jwk, header.kid) {
            (Some(jwk), None) => Signer::Key(AccountKey::read(&jwk)?),
            (None, Some(kid)) => Signer::Name(kid),
            (Some(_), Some(_)) | (None, None) => return Err(SignedFault::NotOneKey),
        };
        Ok(Self {
            algorithm: header.alg,
            nonce: header.nonce,
            url: header.url,
            signer,
            payload: decode(&payload, "payload")?,
            input: format!("{protected}.{payload}"),
            signature: decode(&signature, "signature")?,
        })
    }

    /// The payload as JSON of this shape.
    ///
    /// # Errors
    /// It is something else.
    pub fn read<'a, T: Deserialize<'a>>(&'a self) -> Result<T, SignedFault> {
        serde_json::from_slice(&self.payload).map_err(|error| SignedFault::Payload(error.to_string()))
    }

    /// Whether `key` signed this, by its own algorithm.
    pub(crate) fn is_signed_by(&self, key: &AccountKey) -> bool {
        Algorithm::named(&self.algorithm).is_some_and(|algorithm| key.has_signed(algorithm, self.input.as_bytes(), &self.signature))
    }

    /// Whether this is an HMAC under the ticket's key (RFC 8555 §7.3.4).
    pub(crate) fn is_signed_with(&self, key: &crate::enrolment::TicketKey) -> bool {
        self.algorithm == "HS256" && key.has_signed(self.input.as_bytes(), &self.signature)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn code(value: &Value) -> String {
        URL_SAFE_NO_PAD.encode(value.to_string())
    }

    fn message(header: &Value) -> Value {
        json!({ "protected": code(header), "payload": "", "signature": "" })
    }

    #[track_caller]
    fn check(value: &Value, fault: SignedFault) {
        assert_eq!(Signed::parse(value.to_string().as_bytes()), Err(fault), "{value}");
    }

    #[test]
    fn a_message_is_taken_apart() {
        let value = json!({ "protected": code(&json!({ "alg": "ES256", "kid": "x", "url": "u", "nonce": "n", "typ": "t" })), "payload": "e30", "signature": "AA" });
        let signed = Signed::parse(value.to_string().as_bytes()).unwrap();
        assert_eq!((signed.signer.clone(), signed.payload.as_slice()), (Signer::Name("x".into()), &b"{}"[..]));
        assert!(signed.read::<Map<String, Value>>().unwrap().is_empty());
    }

    #[test]
    fn both_keys_or_none_are_refused() {
        let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode([1; 32]) });
        check(&message(&json!({ "alg": "EdDSA", "kid": "x", "jwk": jwk })), SignedFault::NotOneKey);
        check(&message(&json!({ "alg": "EdDSA" })), SignedFault::NotOneKey);
    }

    #[test]
    fn what_is_critical_is_not_passed_over() {
        check(&message(&json!({ "alg": "ES256", "kid": "x", "crit": ["b64"], "b64": false })), SignedFault::Critical);
    }

    #[test]
    fn other_shapes_are_refused() {
        let good = message(&json!({ "alg": "ES256", "kid": "x" }));
        for (member, value) in [("header", json!({})), ("signatures", json!([])), ("extra", json!(1))] {
            let mut bad = good.clone();
            bad[member] = value;
            assert!(matches!(Signed::parse(bad.to_string().as_bytes()), Err(SignedFault::Shape(_))), "{member}");
        }
        for text in ["", "[]", "null", "{}", "\"a.b.c\"", r#"{"protected":"","protected":"","payload":"","signature":""}"#] {
            assert!(matches!(Signed::parse(text.as_bytes()), Err(SignedFault::Shape(_))), "{text}");
        }
    }

    #[test]
    fn a_header_member_that_comes_twice_is_refused() {
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"ES256","alg":"none","kid":"x"}"#);
        let value = json!({ "protected": header, "payload": "", "signature": "" });
        assert!(matches!(Signed::parse(value.to_string().as_bytes()), Err(SignedFault::Header(_))));
    }

    #[test]
    fn padding_is_refused() {
        let mut value = message(&json!({ "alg": "ES256", "kid": "x" }));
        value["payload"] = json!("e30=");
        check(&value, SignedFault::Base64("payload"));
        value["payload"] = json!("e3");
        check(&value, SignedFault::Base64("payload"));
    }
}
