//! What the admin API says when it says no: problem details (RFC 9457) with a cure.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

/// The media type of a problem (RFC 9457 §6.1).
pub(super) const MEDIA_TYPE: &str = "application/problem+json";

/// Why something was not done, and what to do about it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, thiserror::Error)]
#[serde(from = "Wire", into = "Wire")]
#[error("{error}{}{cure}", if cure.is_empty() { "" } else { ": " })]
pub struct Problem {
    /// The HTTP status.
    pub status: u16,
    /// What happened, to what.
    pub error: String,
    /// What to do; empty when there is nothing.
    pub cure: String,
}

/// As it travels.
#[derive(Deserialize, Serialize)]
struct Wire {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    title: String,
    status: u16,
    detail: String,
    #[serde(default)]
    cure: String,
}

impl Problem {
    /// Any status.
    pub fn new(status: StatusCode, error: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { status: status.as_u16(), error: error.into(), cure: cure.into() }
    }

    /// 400: the request is wrong.
    pub fn bad_request(error: impl Into<String>, cure: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error, cure)
    }

    /// 404: there is no such thing.
    pub fn not_found(error: impl Into<String>, cure: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, error, cure)
    }

    /// 409: it contradicts what is there.
    pub fn conflict(error: impl Into<String>, cure: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, error, cure)
    }

    /// 503: not now.
    pub fn unavailable(error: impl Into<String>, cure: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, error, cure)
    }

    fn code(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

impl From<Problem> for Wire {
    fn from(problem: Problem) -> Self {
        let title = problem.code().canonical_reason().unwrap_or_default().to_owned();
        Self { kind: "about:blank".to_owned(), title, status: problem.status, detail: problem.error, cure: problem.cure }
    }
}

impl From<Wire> for Problem {
    fn from(wire: Wire) -> Self {
        Self { status: wire.status, error: wire.detail, cure: wire.cure }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::to_vec(&self).unwrap_or_default();
        (self.code(), [(header::CONTENT_TYPE, MEDIA_TYPE)], body).into_response()
    }
}
