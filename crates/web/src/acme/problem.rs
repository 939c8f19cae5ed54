//! What ACME says when it says no (RFC 8555 §6.7): a problem document with a type of its own registry.

use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::enrolment::Fault;
use crate::jose::{Algorithm, SignedFault};

/// The error types that we use (RFC 8555 §6.7, RFC 9773 §5, profiles draft).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    AccountDoesNotExist,
    AlreadyRevoked,
    BadCsr,
    BadNonce,
    BadPublicKey,
    BadRevocationReason,
    BadSignatureAlgorithm,
    ExternalAccountRequired,
    InvalidProfile,
    Malformed,
    /// 404, in the words that clients know for a request that cannot be done.
    OrderGone,
    OrderNotReady,
    RateLimited,
    RejectedIdentifier,
    ServerInternal,
    Unauthorized,
    UnsupportedIdentifier,
    /// No error of ACME's own: the status says it all.
    Other(StatusCode),
}

impl Kind {
    fn word(self) -> Option<&'static str> {
        Some(match self {
            Self::AccountDoesNotExist => "accountDoesNotExist",
            Self::AlreadyRevoked => "alreadyRevoked",
            Self::BadCsr => "badCSR",
            Self::BadNonce => "badNonce",
            Self::BadPublicKey => "badPublicKey",
            Self::BadRevocationReason => "badRevocationReason",
            Self::BadSignatureAlgorithm => "badSignatureAlgorithm",
            Self::ExternalAccountRequired => "externalAccountRequired",
            Self::InvalidProfile => "invalidProfile",
            Self::Malformed | Self::OrderGone => "malformed",
            Self::OrderNotReady => "orderNotReady",
            Self::RateLimited => "rateLimited",
            Self::RejectedIdentifier => "rejectedIdentifier",
            Self::ServerInternal => "serverInternal",
            Self::Unauthorized => "unauthorized",
            Self::UnsupportedIdentifier => "unsupportedIdentifier",
            Self::Other(_) => return None,
        })
    }

    fn status(self) -> StatusCode {
        match self {
            Self::ExternalAccountRequired | Self::OrderNotReady | Self::RejectedIdentifier | Self::Unauthorized => StatusCode::FORBIDDEN,
            Self::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            Self::ServerInternal => StatusCode::SERVICE_UNAVAILABLE,
            Self::OrderGone => StatusCode::NOT_FOUND,
            Self::Other(status) => status,
            Self::AccountDoesNotExist
            | Self::AlreadyRevoked
            | Self::BadCsr
            | Self::BadNonce
            | Self::BadPublicKey
            | Self::BadRevocationReason
            | Self::BadSignatureAlgorithm
            | Self::InvalidProfile
            | Self::Malformed
            | Self::UnsupportedIdentifier => StatusCode::BAD_REQUEST,
        }
    }
}

/// Why a request is not done.
#[derive(Clone, Debug)]
pub(super) struct Problem {
    kind: Kind,
    detail: String,
    /// Names with a problem of their own (RFC 8555 §6.7.1).
    names: Vec<(Kind, String)>,
    retry_after: Option<Duration>,
    location: Option<String>,
}

impl Problem {
    pub(super) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), names: Vec::new(), retry_after: None, location: None }
    }

    pub(super) fn malformed(detail: impl Into<String>) -> Self {
        Self::new(Kind::Malformed, detail)
    }

    pub(super) fn unauthorized(detail: impl Into<String>) -> Self {
        Self::new(Kind::Unauthorized, detail)
    }

    pub(super) fn not_found() -> Self {
        Self::new(Kind::Other(StatusCode::NOT_FOUND), "there is no such thing here")
    }

    /// An order that never was, or is no more. Clients make another by themselves, at their next run.
    pub(super) fn no_order() -> Self {
        Self::new(
            Kind::OrderGone,
            "there is no such order here: one lives an hour, and not over a restart of the authority; make a new order",
        )
    }

    pub(super) fn rate_limited(wait: Duration) -> Self {
        let detail = format!("too many requests; come back in {} s", wait.as_secs().max(1));
        Self { retry_after: Some(wait), ..Self::new(Kind::RateLimited, detail) }
    }

    /// Names that are refused, each for its reason.
    pub(super) fn of_names(detail: impl Into<String>, names: Vec<(Kind, String)>) -> Self {
        let kind = names.first().map_or(Kind::RejectedIdentifier, |(kind, _)| *kind);
        Self { names, ..Self::new(kind, detail) }
    }

    /// RFC 8555 §7.3.5: the key is another account's.
    pub(super) fn conflict(detail: impl Into<String>, location: String) -> Self {
        Self { location: Some(location), ..Self::new(Kind::Other(StatusCode::CONFLICT), detail) }
    }

    /// For the order that failed because of it.
    pub(super) fn to_json(&self) -> Value {
        let mut json = json!({ "type": kind_uri(self.kind), "detail": self.detail, "status": self.kind.status().as_u16() });
        if self.kind == Kind::BadSignatureAlgorithm {
            json["algorithms"] = json!(Algorithm::NAMES);
        }
        if !self.names.is_empty() {
            let one = |(kind, name): &(Kind, String)| json!({ "type": kind_uri(*kind), "detail": "no certificate is issued for this name", "identifier": { "type": "dns", "value": name } });
            json["subproblems"] = self.names.iter().map(one).collect();
        }
        json
    }
}

fn kind_uri(kind: Kind) -> String {
    kind.word().map_or_else(|| "about:blank".into(), |word| format!("urn:ietf:params:acme:error:{word}"))
}

impl From<SignedFault> for Problem {
    fn from(fault: SignedFault) -> Self {
        let kind = match &fault {
            SignedFault::Key(_) => Kind::BadPublicKey,
            SignedFault::Shape(_)
            | SignedFault::Base64(_)
            | SignedFault::Header(_)
            | SignedFault::Critical
            | SignedFault::NotOneKey
            | SignedFault::Payload(_) => Kind::Malformed,
        };
        Self::new(kind, fault.to_string())
    }
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Self {
        let detail = fault.to_string();
        match fault {
            Fault::TicketUnknown | Fault::TicketUsed { .. } | Fault::TicketExpired { .. } | Fault::TicketWithdrawn => {
                Self::unauthorized(detail)
            }
            Fault::TicketOfAnotherKey => Self::unauthorized(detail),
            Fault::AccountClosed { .. } | Fault::NotInTopology { .. } | Fault::MemberRevoked { .. } => Self::unauthorized(detail),
            Fault::ForeignCertificate | Fault::NotYourCertificate => Self::unauthorized(detail),
            Fault::NoAccount => Self::new(Kind::AccountDoesNotExist, detail),
            Fault::KeyInUse => Self::new(Kind::Other(StatusCode::CONFLICT), detail),
            Fault::NamesOutside { names, .. } => {
                Self::of_names(detail, names.iter().map(|name| (Kind::RejectedIdentifier, name.to_string())).collect())
            }
            Fault::BadRequest { .. } => Self::new(Kind::BadCsr, detail),
            Fault::BadPublicKey { .. } => Self::new(Kind::BadPublicKey, detail),
            Fault::AlreadyRevoked => Self::new(Kind::AlreadyRevoked, detail),
            Fault::TooMany { wait } => Self::rate_limited(wait),
            Fault::Unavailable { reason } => {
                tracing::error!(reason, "enrolment is not possible");
                Self::new(Kind::ServerInternal, detail)
            }
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.kind.status(), Json(self.to_json())).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(wait) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
        }
        if let Some(location) = self.location.and_then(|location| location.parse().ok()) {
            headers.insert(header::LOCATION, location);
        }
        response
    }
}
