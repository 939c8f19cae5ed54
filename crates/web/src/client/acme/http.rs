//! The HTTP below ACME: requests to one server, whatever URLs it gives.

use std::future::Future;
use std::pin::Pin;

use axum::body::Body;
use bytes::Bytes;
use hyper::http::uri::PathAndQuery;
use hyper::{Request, Response, Uri, header};
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};

use super::super::{CallError, Target};

/// The longest answer: a certificate and its chain.
const ANSWER_BYTES_MAX: usize = 256 << 10;
/// What an ACME server says no with (RFC 9457).
const PROBLEM: &str = "application/problem+json";

/// The beginning of the authority's URLs, written as it writes them: without the default port.
pub(super) fn base(target: &Target) -> String {
    match target.port {
        443 => format!("https://{}", target.name),
        port => format!("https://{}:{port}", target.name),
    }
}

/// One server as `instant-acme` calls it.
pub(super) struct Http(pub(super) Target);

impl HttpClient for Http {
    fn request(&self, request: Request<BodyWrapper<Bytes>>) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let target = self.0.clone();
        Box::pin(async move { call(&target, request).await.map_err(|error| Error::Other(Box::new(error))) })
    }
}

async fn call(target: &Target, request: Request<BodyWrapper<Bytes>>) -> Result<BytesResponse, CallError> {
    let (mut head, body) = request.into_parts();
    head.uri = Uri::from(path_here(target, &head.uri)?);
    let answer = target.call_for(Request::from_parts(head, Body::new(body)), ANSWER_BYTES_MAX).await?;
    let kind = answer.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !answer.status.is_success() && !kind.starts_with(PROBLEM) {
        return Err(target.strange(format!("{} without a reason", answer.status)));
    }
    let mut response = Response::new(Body::from(answer.body));
    (*response.status_mut(), *response.headers_mut()) = (answer.status, answer.headers);
    Ok(BytesResponse::from(response))
}

/// The path of a URL of this server; another server's URL is refused before anything is sent.
fn path_here(target: &Target, uri: &Uri) -> Result<PathAndQuery, CallError> {
    let here = uri.scheme_str() == Some("https")
        && uri.host().is_some_and(|host| host.eq_ignore_ascii_case(target.name.as_str()))
        && uri.port_u16().unwrap_or(443) == target.port;
    match uri.path_and_query() {
        Some(path) if here => Ok(path.clone()),
        Some(_) | None => Err(target.strange(format!("a URL that leads away from {}; only that server is called", base(target)))),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use pki::{Anchors, Fqdn, Revocation};
    use rustls::time_provider::DefaultTimeProvider;

    use super::*;

    fn target(port: u16) -> Target {
        let tls = trust::tls::client_config(Anchors::nobody(), Revocation::none(), None, Arc::new(DefaultTimeProvider)).unwrap();
        Target { address: ([127, 0, 0, 1], port).into(), name: Fqdn::parse("ca.contoso.example").unwrap(), port, tls }
    }

    fn check(port: u16, url: &str, path: Option<&str>) {
        let found = path_here(&target(port), &url.parse().unwrap()).ok();
        assert_eq!(found.as_ref().map(PathAndQuery::as_str), path, "{url}");
    }

    #[test]
    fn a_url_of_the_server_gives_its_path() {
        check(8443, "https://ca.contoso.example:8443/acme/x", Some("/acme/x"));
        check(443, "https://CA.contoso.example/acme/x?y", Some("/acme/x?y"));
        check(443, "https://ca.contoso.example:443/", Some("/"));
    }

    #[test]
    fn a_url_that_leads_elsewhere_is_not_followed() {
        for url in [
            "https://ca.contoso.example/acme/x",
            "http://ca.contoso.example:8443/acme/x",
            "https://evil.example:8443/acme/x",
            "https://ca.contoso.example.evil.example:8443/acme/x",
            "https://ca.contoso.example:8443@evil.example/acme/x",
            "/acme/x",
        ] {
            check(8443, url, None);
        }
    }
}
