//! An ACME server (RFC 8555) with renewal information (RFC 9773), for servers of the organisation only.
//!
//! An account needs a ticket (external account binding, RFC 8555 §7.3.4). Authorizations are born valid: the
//! topology says who may have which names, so there is nothing to challenge. Who may have what is left to
//! [`Enrolment`]; here is the protocol: every message is read, its URL, nonce and signature are checked, then
//! the policy is asked.

mod accounts;
mod directory;
mod issuing;
mod nonces;
mod ordering;
mod orders;
mod pace;
mod problem;
mod request;
mod revoking;
mod urls;

use std::sync::Arc;
use std::time::SystemTime;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use pki::{Fqdn, NoRandomness};

use crate::enrolment::Enrolment;
use nonces::Nonces;
use orders::Orders;
use pace::Pace;
use problem::{Kind, Problem};
use urls::{Urls, path};

/// The path of the directory, for those who are told where to enrol.
pub const DIRECTORY_PATH: &str = path::DIRECTORY;

const REPLAY_NONCE: HeaderName = HeaderName::from_static("replay-nonce");

/// The server's state.
pub(crate) struct Acme {
    urls: Urls,
    enrolment: Arc<dyn Enrolment>,
    nonces: Nonces,
    orders: Orders,
    pace: Pace,
}

type Shared = State<Arc<Acme>>;

impl Acme {
    /// Serves at `https://name:port`.
    ///
    /// # Errors
    /// No randomness, so no nonces.
    pub(crate) fn new(name: &Fqdn, port: u16, enrolment: Arc<dyn Enrolment>) -> Result<Self, NoRandomness> {
        let urls = Urls::new(name, port);
        Ok(Self { urls, enrolment, nonces: Nonces::new()?, orders: Orders::default(), pace: Pace::default() })
    }
}

pub(crate) fn router(acme: Acme) -> Router {
    let acme = Arc::new(acme);
    let one = |path: &str| format!("{path}/{{id}}");
    Router::new()
        .route(path::DIRECTORY, get(directory::directory))
        .route(path::NEW_NONCE, get(directory::new_nonce))
        .route(&one(path::RENEWAL_INFO), get(directory::renewal_info))
        .route(path::NEW_ACCOUNT, post(accounts::new_account))
        .route(&one(path::ACCOUNT), post(accounts::account))
        .route(path::KEY_CHANGE, post(accounts::key_change))
        .route(path::NEW_ORDER, post(ordering::new_order))
        .route(&one(path::ORDERS), post(ordering::orders))
        .route(&one(path::ORDER), post(ordering::order))
        .route(&format!("{}/{{id}}/{{number}}", path::AUTHORIZATION), post(ordering::authorization))
        .route(&format!("{}/{{id}}/{{number}}", path::CHALLENGE), post(ordering::challenge))
        .route(&one(path::FINALIZE), post(issuing::finalize))
        .route(&one(path::CERTIFICATE), post(issuing::certificate))
        .route(path::REVOKE, post(revoking::revoke))
        .method_not_allowed_fallback(|| async {
            Problem::new(Kind::Other(StatusCode::METHOD_NOT_ALLOWED), "ACME is spoken by POST; to read is POST-as-GET (RFC 8555 §6.3)")
        })
        .with_state(Arc::clone(&acme))
        .layer(middleware::from_fn_with_state(acme, with_nonce))
}

/// Every answer leads back to the directory (RFC 8555 §7.1), and every answer to a POST, good or bad, brings the
/// nonce for the next one (§6.5).
async fn with_nonce(State(acme): Shared, request: Request, next: Next) -> Response {
    let wants_nonce = request.method() == Method::POST || request.uri().path() == path::NEW_NONCE;
    let mut response = next.run(request).await;
    let link = format!("<{}>;rel=\"index\"", acme.urls.of(path::DIRECTORY));
    if let Ok(link) = HeaderValue::from_str(&link) {
        response.headers_mut().append(header::LINK, link);
    }
    if wants_nonce {
        match acme.nonces.make(SystemTime::now()).ok().and_then(|nonce| HeaderValue::from_str(&nonce).ok()) {
            Some(nonce) => drop(response.headers_mut().insert(REPLAY_NONCE, nonce)),
            None => return Problem::new(Kind::ServerInternal, "there are no nonces; look at the authority's log").into_response(),
        }
    }
    response
}
