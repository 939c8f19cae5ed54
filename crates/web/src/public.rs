//! Signed public data over HTTP or HTTPS: roots, issuing CAs, revocation lists, OCSP, the bundle.
//!
//! Over clear text too, and nothing else is served so (the exception of promise P3): who checks a
//! revocation list cannot be asked to check a certificate for it first. All of it is signed by the CA, and
//! none of it is secret.

use std::future::Future;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use pki::{Fingerprint, certificates_to_pem};
use tokio::net::TcpListener;

use crate::connection::{self, Protocol};
use crate::gate::{Caller, Ties};
use crate::listener::{self, Accepted};
use crate::pages::{refusal, strictly};
use crate::{Limits, Published};

/// The longest OCSP request: some hundred certificates.
const OCSP_BYTES_MAX: usize = 8 * 1024;

type Shelf = Arc<dyn Published>;

/// The routes that are served in clear text too.
pub(crate) fn router(published: Shelf) -> Router {
    Router::new()
        .route("/ca.pem", get(roots))
        .route("/issuing.pem", get(issuing))
        .route("/ca/{file}", get(certificate))
        .route("/crl/{file}", get(revocation_list))
        .route("/ocsp/{*request}", get(ocsp_by_get))
        .route("/ocsp", axum::routing::post(ocsp_by_post))
        .with_state(published)
}

/// Those that are served over TLS only.
pub(crate) fn signed_router(published: Shelf) -> Router {
    Router::new().route("/.well-known/verbund/bundle", get(bundle)).with_state(published)
}

/// Serves what is public and signed in clear text: revocation lists, OCSP, roots, CA certificates; nothing
/// else, whoever asks. Ends as [`serve`](crate::serve) does.
pub async fn serve_public_http(listener: TcpListener, published: Shelf, limits: Limits, shutdown: impl Future<Output = ()> + Send) {
    let late = |status| refusal(status, "this took too long");
    let router = router(published)
        .fallback(|| async { refusal(StatusCode::NOT_FOUND, "there is nothing here") })
        .method_not_allowed_fallback(|| async { refusal(StatusCode::METHOD_NOT_ALLOWED, "this method does nothing here") })
        .layer(middleware::from_fn(move |request: Request, next: Next| connection::within(limits, late, request, next)))
        .layer(middleware::from_fn(strictly));
    let serve_one = |Accepted { stream, source: _, place, stop }| {
        let (router, caller) = (router.clone(), Caller { peer: None, source: None, ties: Ties::new() });
        async move {
            connection::serve(stream, Protocol::Http1, router, caller, &limits, stop).await;
            drop(place);
        }
    };
    listener::run(listener, limits, &|_| false, shutdown, serve_one).await;
}

fn nothing() -> Response {
    refusal(StatusCode::NOT_FOUND, "there is no such thing here")
}

async fn roots(State(shelf): State<Shelf>) -> Response {
    let headers =
        [(header::CONTENT_TYPE, "application/x-pem-file"), (header::CONTENT_DISPOSITION, "attachment; filename=\"verbund-root.pem\"")];
    (headers, shelf.root_pem()).into_response()
}

async fn issuing(State(shelf): State<Shelf>) -> Response {
    ([(header::CONTENT_TYPE, "application/pem-certificate-chain")], certificates_to_pem(&shelf.issuing())).into_response()
}

/// One certificate of a CA in DER, by its fingerprint (the target of `caIssuers`, RFC 5280 §4.2.2.1).
async fn certificate(State(shelf): State<Shelf>, Path(file): Path<String>) -> Response {
    let Some(wanted) = file.strip_suffix(".cer") else { return nothing() };
    let all = shelf.issuing().into_iter().chain(shelf.roots());
    match all.into_iter().find(|der| Fingerprint::of(der).to_string() == wanted) {
        Some(der) => ([(header::CONTENT_TYPE, "application/pkix-cert")], der.to_vec()).into_response(),
        None => nothing(),
    }
}

async fn revocation_list(State(shelf): State<Shelf>, Path(file): Path<String>) -> Response {
    match file.strip_suffix(".crl").and_then(|name| shelf.revocation_list(name)) {
        Some(der) => ([(header::CONTENT_TYPE, "application/pkix-crl")], der).into_response(),
        None => nothing(),
    }
}

/// `?after=N`: what whoever holds bundle N should take next. Signed as the others are, so that anybody may ask.
async fn bundle(State(shelf): State<Shelf>, request: Request) -> Response {
    let document = match request.uri().query().map(after) {
        None => shelf.bundle(),
        Some(Some(held)) => shelf.bundle_after(held).await,
        Some(None) => return refusal(StatusCode::BAD_REQUEST, "write after=N, with the number of a bundle"),
    };
    match document {
        Some(document) => ([(header::CONTENT_TYPE, "application/jose")], document).into_response(),
        None => nothing(),
    }
}

fn after(query: &str) -> Option<u64> {
    query.strip_prefix("after=")?.parse().ok()
}

/// RFC 6960 appendix A.1: the request in base64, as a path.
async fn ocsp_by_get(State(shelf): State<Shelf>, Path(request): Path<String>) -> Response {
    match STANDARD.decode(request.trim_start_matches('/')) {
        Ok(request) if request.len() <= OCSP_BYTES_MAX => ocsp(&shelf, &request).await,
        Ok(_) | Err(_) => refusal(StatusCode::BAD_REQUEST, "an OCSP request in base64 is wanted after /ocsp/"),
    }
}

async fn ocsp_by_post(State(shelf): State<Shelf>, request: Request) -> Response {
    let media_type = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if !media_type.is_some_and(|value| value.eq_ignore_ascii_case("application/ocsp-request")) {
        return refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, "send an application/ocsp-request");
    }
    match connection::body(request, OCSP_BYTES_MAX).await {
        Ok(request) => ocsp(&shelf, &request).await,
        Err(connection::NoBody) => refusal(StatusCode::PAYLOAD_TOO_LARGE, "this request is too long, or broke off"),
    }
}

async fn ocsp(shelf: &Shelf, request: &[u8]) -> Response {
    match shelf.ocsp(request).await {
        // Nothing on the way keeps it (RFC 5019 §6 would let caches): a revocation counts with the next answer.
        Some(answer) => ([(header::CONTENT_TYPE, "application/ocsp-response")], answer).into_response(),
        None => nothing(),
    }
}
