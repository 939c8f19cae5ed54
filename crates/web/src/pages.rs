//! What HTTPS shows: whether the server works, its numbers, the root certificate, and one page for people.

use std::sync::Arc;
use std::time::Duration;

use axum::body::HttpBody as _;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use metrics::counter;
use pki::Fqdn;
use serde_json::json;
use tokio::time::timeout;

use crate::acme::{self, Acme};
use crate::control::{self, Control};
use crate::enrolment::Enrolment;
use crate::est::{self, Est};
use crate::metrics::Metrics;
use crate::{Answer, Limits, Published, connection, public};

/// How long the signalling core may take to say that it is there.
const HEALTH_DEADLINE: Duration = Duration::from_secs(2);

/// Whoever can ask the signalling core whether it is there.
pub trait Health: Send + Sync + 'static {
    /// Asks it: an answer, any answer, is `true`. Waiting too long counts as `false`.
    fn node_answers(&self) -> Answer<'_, bool>;
}

/// What the front page tells a stranger; nothing that a handshake would not tell.
#[derive(Clone, Debug)]
pub struct About {
    /// The SIP domain.
    pub domain: String,
    /// The name that the server's certificate bears.
    pub server_name: String,
    /// Where SIP over TLS is served, as `host:port`.
    pub sip: String,
}

/// All that HTTPS shows.
#[derive(Clone)]
pub struct Site {
    /// For people.
    pub about: About,
    /// Roots, revocation lists and what else is public and signed.
    pub published: Arc<dyn Published>,
    /// Who knows whether the server works.
    pub health: Arc<dyn Health>,
    /// The numbers.
    pub metrics: Metrics,
    /// What only the authority serves.
    pub authority: Option<Desk>,
}

/// What only the authority serves: enrolment, and the control channel.
#[derive(Clone)]
pub struct Desk {
    /// The name in the URLs that it gives out.
    pub name: Fqdn,
    /// The port in these URLs.
    pub port: u16,
    /// Who decides about certificates.
    pub enrolment: Arc<dyn Enrolment>,
    /// Who feeds the members.
    pub control: Arc<dyn Control>,
}

/// Strict headers for every answer: nothing is loaded, framed, sniffed, cached or sent elsewhere.
const HEADERS: [(HeaderName, &str); 8] = [
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::STRICT_TRANSPORT_SECURITY, "max-age=31536000"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::CACHE_CONTROL, "no-store"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
];

pub(crate) fn router(site: Site, limits: Limits) -> Router {
    let late = |status| refusal(status, "this took too long");
    let (published, authority) = (Arc::clone(&site.published), site.authority.clone());
    let mut router = Router::new()
        .route("/", get(front))
        .route("/health", get(health))
        .route("/metrics", get(metrics))
        .with_state(Arc::new(site))
        .merge(public::signed_router(Arc::clone(&published)))
        .merge(public::router(Arc::clone(&published)));
    if let Some(desk) = authority {
        router = router.merge(control::router(desk.control, limits));
        router = router.merge(est::router(Est { enrolment: Arc::clone(&desk.enrolment), published: Arc::clone(&published) }));
        match Acme::new(&desk.name, desk.port, desk.enrolment) {
            Ok(acme) => router = router.merge(acme::router(acme)),
            Err(error) => tracing::error!(%error, "nobody can enrol by ACME"),
        }
    }
    router
        .fallback(|| async { refusal(StatusCode::NOT_FOUND, "there is nothing here; see /") })
        .method_not_allowed_fallback(|| async { refusal(StatusCode::METHOD_NOT_ALLOWED, "this can only be read (GET)") })
        .layer(middleware::from_fn(without_body))
        .layer(middleware::from_fn(move |request: Request, next: Next| connection::within(limits, late, request, next)))
        .layer(middleware::from_fn(strictly))
}

pub(crate) fn refusal(status: StatusCode, error: &str) -> Response {
    (status, Json(json!({ "error": error }))).into_response()
}

/// What is only read takes no body, so none is read; what takes one has a limit of its own.
async fn without_body(request: Request, next: Next) -> Response {
    if request.body().is_end_stream() || request.method() == Method::POST {
        return next.run(request).await;
    }
    let mut response = refusal(StatusCode::PAYLOAD_TOO_LARGE, "no body is wanted here");
    if request.version() < axum::http::Version::HTTP_2 {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Sets the strict headers and counts.
pub(crate) async fn strictly(request: Request, next: Next) -> Response {
    let path = label(&request);
    let mut response = next.run(request).await;
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    counter!("verbund_https_requests_total", "path" => path, "status" => response.status().as_str().to_owned()).increment(1);
    response
}

/// The route that was found. A stranger's path never becomes a label.
fn label(request: &Request) -> String {
    request.extensions().get::<MatchedPath>().map_or("other", MatchedPath::as_str).to_owned()
}

async fn health(State(site): State<Arc<Site>>) -> Response {
    let (status, word) = match timeout(HEALTH_DEADLINE, site.health.node_answers()).await {
        Ok(true) => (StatusCode::OK, "ok"),
        Ok(false) | Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "the signalling core does not answer"),
    };
    (status, Json(json!({ "status": word, "version": env!("CARGO_PKG_VERSION") }))).into_response()
}

async fn metrics(State(site): State<Arc<Site>>) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], site.metrics.render()).into_response()
}

async fn front(State(site): State<Arc<Site>>) -> Html<String> {
    Html(page(&site.about))
}

fn page(about: &About) -> String {
    let [domain, server_name, sip] = [&about.domain, &about.server_name, &about.sip].map(|text| escape(text));
    format!(
        "<!doctype html>
<html lang=\"en\">
<meta charset=\"utf-8\">
<title>verbund at {domain}</title>
<h1>verbund at {domain}</h1>
<p>This is a SIP server. Phones sign in at <code>{sip}</code> over TLS, as <code>sip:name@{domain}</code>;
the certificate that they must see bears the name <code>{server_name}</code>.</p>
<p>To check that certificate a phone needs the root of this organisation: <a href=\"/ca.pem\">ca.pem</a>.
Compare its fingerprint with the one your administrator gave you before you trust it.</p>
<p>For machines: <a href=\"/health\">health</a>, <a href=\"/metrics\">metrics</a>.</p>
</html>
"
    )
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_page_names_cannot_become_markup() {
        let about = About { domain: "<script>alert(1)</script>".into(), server_name: "a\"b".into(), sip: "x&y".into() };
        let page = page(&about);
        assert!(!page.contains("<script") && page.contains("&lt;script&gt;") && page.contains("a&quot;b") && page.contains("x&amp;y"));
    }

    #[test]
    fn a_strangers_path_is_no_label() {
        assert_eq!(label(&Request::get("/etc/passwd").body(axum::body::Body::empty()).unwrap_or_default()), "other");
    }
}
