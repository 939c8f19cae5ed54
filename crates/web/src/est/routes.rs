//! The four operations (RFC 7030 §4.1, §4.2, §4.5). Bodies are base64 without line breaks, which is what all clients take.

use axum::Extension;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use pki::{CertificateRequest, Fqdn, REQUEST_BYTES_MAX, RequestFault};

use super::{Est, applicant, certs_only::certs_only};
use crate::connection;
use crate::enrolment::{Applicant, Fault};
use crate::gate::Caller;
use crate::handing::HandedOver;

/// The longest body: a request of the largest size in base64, with line breaks.
const BODY_BYTES_MAX: usize = REQUEST_BYTES_MAX * 3 / 2;
const TRANSFER_ENCODING: (HeaderName, &str) = (HeaderName::from_static("content-transfer-encoding"), "base64");
/// What a request should be like (RFC 7030 §4.5.2): a key of P-256 (id-ecPublicKey with prime256v1), signed by
/// ecdsa-with-SHA256.
const ATTRIBUTES: [u8; 35] = *b"\x30\x21\x30\x15\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x31\x0a\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02";

/// Why a request is not done: a status, and words for people (RFC 7030 §4.2.3).
#[derive(Debug)]
pub(super) struct Refused {
    status: StatusCode,
    words: String,
    wait: Option<u64>,
}

impl Refused {
    pub(super) fn new(status: StatusCode, words: impl Into<String>) -> Self {
        Self { status, words: words.into(), wait: None }
    }

    fn bad(words: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, words)
    }
}

impl From<Fault> for Refused {
    fn from(fault: Fault) -> Self {
        let words = fault.to_string();
        let status = match &fault {
            Fault::TicketUnknown | Fault::TicketUsed { .. } | Fault::TicketExpired { .. } | Fault::TicketWithdrawn => {
                StatusCode::UNAUTHORIZED
            }
            Fault::TicketOfAnotherKey => StatusCode::FORBIDDEN,
            Fault::NoAccount | Fault::AccountClosed { .. } | Fault::KeyInUse => StatusCode::FORBIDDEN,
            Fault::NotInTopology { .. } | Fault::MemberRevoked { .. } | Fault::NamesOutside { .. } => StatusCode::FORBIDDEN,
            Fault::ForeignCertificate | Fault::NotYourCertificate | Fault::AlreadyRevoked => StatusCode::FORBIDDEN,
            Fault::BadRequest { .. } | Fault::BadPublicKey { .. } => StatusCode::BAD_REQUEST,
            Fault::TooMany { wait } => {
                return Self { wait: Some(wait.as_secs().max(1)), ..Self::new(StatusCode::TOO_MANY_REQUESTS, words) };
            }
            Fault::Unavailable { reason } => {
                tracing::error!(reason, "enrolment is not possible");
                StatusCode::SERVICE_UNAVAILABLE
            }
        };
        Self::new(status, words)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let mut response = (self.status, format!("{}\n", self.words)).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"verbund tickets\""));
        }
        if let Some(wait) = self.wait {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait));
        }
        response
    }
}

/// Roots and issuing CAs (RFC 7030 §4.1).
pub(super) async fn ca_certificates(State(est): State<Est>) -> Response {
    let all: Vec<_> = est.published.roots().into_iter().chain(est.published.issuing()).collect();
    ([(header::CONTENT_TYPE, "application/pkcs7-mime"), TRANSFER_ENCODING], STANDARD.encode(certs_only(&all))).into_response()
}

/// What a request should be like (RFC 7030 §4.5).
pub(super) async fn attributes() -> Response {
    ([(header::CONTENT_TYPE, "application/csrattrs"), TRANSFER_ENCODING], STANDARD.encode(ATTRIBUTES)).into_response()
}

/// The first certificate (RFC 7030 §4.2.1).
pub(super) async fn enrol(State(est): State<Est>, Extension(caller): Extension<Caller>, request: Request) -> Result<Response, Refused> {
    let applicant = applicant::newcomer(&*est.enrolment, request.headers(), &caller).await?;
    issue(est, applicant, request).await
}

/// The next one (RFC 7030 §4.2.2).
pub(super) async fn enrol_again(
    State(est): State<Est>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Response, Refused> {
    let applicant = applicant::member(&caller)?;
    issue(est, applicant, request).await
}

async fn issue(est: Est, applicant: Applicant, request: Request) -> Result<Response, Refused> {
    let media_type = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !media_type.split(';').next().is_some_and(|value| value.trim().eq_ignore_ascii_case("application/pkcs10")) {
        return Err(Refused::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "send a certificate request as application/pkcs10"));
    }
    let body = connection::body(request, BODY_BYTES_MAX).await.map_err(|_| {
        let words = format!("the request is longer than {BODY_BYTES_MAX} bytes, or broke off");
        Refused::new(StatusCode::PAYLOAD_TOO_LARGE, words)
    })?;
    let der = request_of(&body).ok_or_else(|| Refused::bad("send the certificate request in base64 (RFC 7030 §4.2.1)"))?;
    let names = names(&CertificateRequest::from_der(&der).map_err(|fault| Refused::bad(words(&fault)))?)?;
    est.enrolment.authorize(&applicant, &names).await?;
    let chain = est.enrolment.issue(applicant, der).await?;
    let leaf = chain.into_iter().next().ok_or(Fault::Unavailable { reason: "an empty chain was issued".into() })?;
    let coded = STANDARD.encode(certs_only([&leaf]));
    let body = HandedOver::new(coded, async move { est.enrolment.fetched(leaf).await });
    let headers = [(header::CONTENT_TYPE, "application/pkcs7-mime; smime-type=certs-only"), TRANSFER_ENCODING];
    Ok((headers, Body::new(body)).into_response())
}

fn words(fault: &RequestFault) -> String {
    fault.to_string()
}

/// The certificate request in a body: base64, in one line or many, or DER as it is, which some clients send.
pub fn request_of(body: &[u8]) -> Option<Vec<u8>> {
    const DER_SEQUENCE: u8 = 0x30;
    // In base64 a SEQUENCE begins with M.
    if body.first() == Some(&DER_SEQUENCE) && body.iter().any(|byte| !byte.is_ascii()) {
        return Some(body.to_vec());
    }
    let text: Vec<u8> = body.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    STANDARD.decode(text).ok().filter(|der| !der.is_empty())
}

/// The names that a request asks for: hosts, and `sip:domain` as our certificates have it. A common name that is
/// no host's is a label for people.
fn names(request: &CertificateRequest) -> Result<Vec<Fqdn>, Refused> {
    let mut names = Vec::new();
    for asked in request.names() {
        let host = asked.strip_prefix("sip:").unwrap_or(asked);
        names.push(Fqdn::parse(host).map_err(|fault| Refused::bad(format!("the request asks for a name that no server has: {fault}")))?);
    }
    names.extend(request.common_name().and_then(|name| Fqdn::parse(name).ok()));
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(body: &[u8], wanted: Option<&[u8]>) {
        assert_eq!(request_of(body).as_deref(), wanted, "{body:?}");
    }

    #[test]
    fn base64_comes_in_one_line_or_many_and_der_as_it_is() {
        check(b"MIIB", Some(&[0x30, 0x82, 1]));
        check(b"MI\r\nIB\n", Some(&[0x30, 0x82, 1]));
        check(&[0x30, 0x82, 1], Some(&[0x30, 0x82, 1]));
    }

    #[test]
    fn anything_else_is_no_request() {
        for body in [&b""[..], b"\n", b"0", b"-----BEGIN CERTIFICATE REQUEST-----", b"M", &[0xff, 0xfe]] {
            check(body, None);
        }
    }
}
