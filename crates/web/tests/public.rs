//! What is published: over HTTPS, and the part of it that is served in clear text (the exception of promise P3).
#![allow(clippy::unwrap_used)]

mod common;

use std::net::SocketAddr;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use common::{Lab, NAME, Server};
use pki::{Fingerprint, certificates_from_pem};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use web::{Limits, serve_public_http};

const PATIENCE: Duration = Duration::from_secs(8);

async fn ready() -> (Lab, Server) {
    let lab = Lab::new();
    let server = lab.serve_authority(Limits::HTTPS).await;
    (lab, server)
}

/// The clear-text listener on a free port.
async fn clear(lab: &Lab, limits: Limits) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve_public_http(listener, lab.shelf(), limits, std::future::pending()));
    address
}

/// Sends raw bytes in clear text and reads until the end.
async fn raw(address: SocketAddr, request: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut bytes = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("the server keeps the connection");
    bytes
}

async fn get(address: SocketAddr, path: &str) -> String {
    let bytes = raw(address, format!("GET {path} HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n\r\n").as_bytes()).await;
    String::from_utf8_lossy(&bytes).into_owned()
}

#[tokio::test]
async fn each_thing_has_its_media_type() {
    let (lab, server) = ready().await;
    let target = lab.target(&server, None);
    let root = certificates_from_pem(&lab.root_pem()).unwrap().remove(0);
    for (path, media_type) in [
        ("/ca.pem".to_owned(), "application/x-pem-file"),
        ("/issuing.pem".into(), "application/pem-certificate-chain"),
        (format!("/ca/{}.cer", Fingerprint::of(&root)), "application/pkix-cert"),
        ("/crl/servers.crl".into(), "application/pkix-crl"),
        ("/.well-known/verbund/bundle".into(), "application/jose"),
    ] {
        let answer = target.get(&path).await.unwrap();
        assert_eq!((answer.status, answer.headers["content-type"].to_str().unwrap()), (StatusCode::OK, media_type), "{path}");
        assert!(!answer.body.is_empty());
    }
    for path in ["/crl/other.crl", "/crl/servers", "/crl/..%2fx.crl", "/ca/00.cer", "/ca/x", "/crl/", "/ocsp"] {
        let status = target.get(path).await.unwrap().status;
        assert!(matches!(status, StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED), "{path}: {status}");
    }
}

#[tokio::test]
async fn ocsp_is_asked_by_post_or_by_get() {
    let (lab, server) = ready().await;
    let target = lab.target(&server, None);
    let post = |media_type: &str, body: Vec<u8>| Request::post("/ocsp").header("content-type", media_type).body(Body::from(body)).unwrap();
    let answer = target.call(post("application/ocsp-request", vec![0x30, 0])).await.unwrap();
    assert_eq!(
        (answer.headers["content-type"].to_str().unwrap(), answer.body.as_slice()),
        ("application/ocsp-response", &b"answer to 0\0"[..])
    );
    let coded = STANDARD.encode([0x30, 0xff, 0xfe, 0xff]).replace('/', "%2F").replace('+', "%2B");
    let answer = target.get(&format!("/ocsp/{coded}")).await.unwrap();
    assert_eq!(answer.body, b"answer to 0\xff\xfe\xff");
    assert_eq!(target.get("/ocsp/not!base64").await.unwrap().status, StatusCode::BAD_REQUEST);
    assert_eq!(target.call(post("text/plain", vec![])).await.unwrap().status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let long = target.call(post("application/ocsp-request", vec![0; 10_000])).await.unwrap();
    assert_eq!(long.status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn a_server_that_holds_only_roots_shows_only_roots() {
    let lab = Lab::new();
    let server = lab.serve(Limits::HTTPS).await;
    let target = lab.target(&server, None);
    assert_eq!(target.get("/ca.pem").await.unwrap().status, StatusCode::OK);
    for path in ["/crl/servers.crl", "/.well-known/verbund/bundle", "/ocsp/MAA="] {
        assert_eq!(target.get(path).await.unwrap().status, StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn clear_text_has_what_the_ca_signed_and_nothing_else() {
    let lab = Lab::new();
    let address = clear(&lab, Limits::PUBLIC_HTTP).await;
    for path in ["/ca.pem", "/issuing.pem", "/crl/servers.crl", "/ocsp/MAA="] {
        assert!(get(address, path).await.starts_with("HTTP/1.1 200"), "{path}");
    }
    for path in
        ["/", "/health", "/metrics", "/acme/directory", "/.well-known/est/cacerts", "/.well-known/verbund/bundle", "/control/v1/feed"]
    {
        let answer = get(address, path).await;
        assert!(answer.starts_with("HTTP/1.1 404") && !answer.to_ascii_lowercase().contains("location:"), "{path}: {answer}");
    }
}

#[tokio::test]
async fn clear_text_takes_no_body_but_that_of_ocsp() {
    let lab = Lab::new();
    let address = clear(&lab, Limits::PUBLIC_HTTP).await;
    let head = |path: &str, length: usize| {
        format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/ocsp-request\r\nContent-Length: {length}\r\n\r\n"
        )
    };
    let answer = raw(address, [head("/ocsp", 2).as_bytes(), &[0x30, 0]].concat().as_slice()).await;
    assert!(answer.starts_with(b"HTTP/1.1 200") && answer.ends_with(b"answer to 0\0"));
    for (path, status) in [("/ocsp", "413"), ("/ca.pem", "405"), ("/acme/new-account", "404")] {
        let answer = raw(address, head(path, 1_000_000).as_bytes()).await;
        assert!(answer.starts_with(format!("HTTP/1.1 {status}").as_bytes()), "{path}: {}", String::from_utf8_lossy(&answer));
    }
}

#[tokio::test]
async fn clear_text_ends_whoever_dawdles() {
    let lab = Lab::new();
    let limits = Limits { head_deadline: Duration::from_millis(200), connections_per_source_max: 2, ..Limits::PUBLIC_HTTP };
    let address = clear(&lab, limits).await;
    assert!(!raw(address, b"GET /ca.pem HTT").await.starts_with(b"HTTP/1.1 200"));
    let _held = [TcpStream::connect(address).await.unwrap(), TcpStream::connect(address).await.unwrap()];
    assert!(raw(address, b"").await.is_empty(), "one more from this address is closed at once");
}
