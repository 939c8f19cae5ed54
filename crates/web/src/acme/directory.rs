//! What may be read without an account: the directory, nonces, when to renew.

use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use pki::Serial;
use serde_json::json;

use super::problem::Problem;
use super::{Shared, path};
use crate::admin::rfc3339;
use crate::enrolment::CertificateId;

/// How often to ask when to renew (RFC 9773 §4.3).
const ASK_AGAIN: Duration = Duration::from_mins(60);
/// The longest key identifier and the longest serial number that are looked at.
const PART_BYTES_MAX: usize = 64;

/// RFC 8555 §7.1.1. There is no `newAuthz`: names are authorized with an order only.
pub(super) async fn directory(State(acme): Shared) -> Response {
    let url = |path| acme.urls.of(path);
    let directory = json!({
        "newNonce": url(path::NEW_NONCE),
        "newAccount": url(path::NEW_ACCOUNT),
        "newOrder": url(path::NEW_ORDER),
        "revokeCert": url(path::REVOKE),
        "keyChange": url(path::KEY_CHANGE),
        "renewalInfo": url(path::RENEWAL_INFO),
        "meta": { "externalAccountRequired": true },
    });
    Json(directory).into_response()
}

/// RFC 8555 §7.2: the nonce itself is added to every answer.
pub(super) async fn new_nonce(method: Method) -> StatusCode {
    if method == Method::HEAD { StatusCode::OK } else { StatusCode::NO_CONTENT }
}

/// RFC 9773 §4.2.
pub(super) async fn renewal_info(State(acme): Shared, Path(id): Path<String>) -> Result<Response, Problem> {
    let id = certificate_id(&id).ok_or_else(|| Problem::malformed("this names no certificate (RFC 9773 §4.1)"))?;
    let window = acme.enrolment.renewal_window(&id).await?.ok_or_else(Problem::not_found)?;
    let window = json!({ "suggestedWindow": { "start": rfc3339(window.start), "end": rfc3339(window.end) } });
    Ok(([(header::RETRY_AFTER, ASK_AGAIN.as_secs().to_string())], Json(window)).into_response())
}

/// RFC 9773 §4.1: key identifier and serial number, each in base64url, with a dot in between.
fn certificate_id(text: &str) -> Option<CertificateId> {
    let (authority_key, serial) = text.split_once('.')?;
    let part = |text: &str| URL_SAFE_NO_PAD.decode(text).ok().filter(|part| (1..=PART_BYTES_MAX).contains(&part.len()));
    Some(CertificateId { authority_key: part(authority_key)?, serial: Serial::from_be_bytes(&part(serial)?) })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_identifier_of_the_rfc_is_read() {
        // RFC 9773 §4.1: the serial number's leading zero is part of the text, not of the number.
        let id = certificate_id("aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE").unwrap();
        assert_eq!(id.serial.to_string(), "87654321");
        assert_eq!(id.authority_key.len(), 20);
    }

    #[test]
    fn anything_else_names_no_certificate() {
        for text in ["", ".", "AA.", ".AA", "AA", "A=.AA", "AA.AA.AA", "A A.AA"] {
            assert_eq!(certificate_id(text), None, "{text}");
        }
        assert_eq!(certificate_id(&format!("{}.AA", "A".repeat(400))), None);
    }
}
