//! HTTPS as strict clients see it, and as attackers do.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod common;

use std::process::Output;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use common::{EXPECTED, Lab, NAME, Server};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::process::Command;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;
use web::Limits;

/// Limits that a test can wait for.
const HASTY: Limits = Limits {
    handshake_deadline: Duration::from_millis(300),
    head_deadline: Duration::from_millis(300),
    connection_lifetime_max: Duration::from_millis(900),
    closing_deadline: Duration::from_millis(500),
    connections_per_source_max: 8,
    ..Limits::HTTPS
};
/// The same, where not the connection's age is to end it.
const LASTING: Limits = Limits { connection_lifetime_max: Duration::from_secs(3600), ..HASTY };
/// Long enough for a busy machine, too short for a limit that does not work.
const PATIENCE: Duration = Duration::from_secs(8);

/// Asks by the server's name, verified strictly; `None` where the program is not installed.
async fn curl(lab: &Lab, server: &Server, name: &str, arguments: &[&str], path: &str) -> Option<Output> {
    let port = server.address.port();
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--noproxy", "*", "--max-time", "10", "--resolve"]);
    command.arg(format!("{name}:{port}:127.0.0.1")).arg("--cacert").arg(lab.root.path()).args(arguments);
    match command.arg(format!("https://{name}:{port}{path}")).output().await {
        Ok(output) => Some(output),
        Err(_) => {
            assert!(std::env::var_os("CI").is_none(), "curl is not installed, and in CI nothing is passed over");
            eprintln!("skipped: curl is not installed");
            None
        }
    }
}

/// Sends raw bytes over a verified connection and reads until the server ends it.
async fn raw(lab: &Lab, server: &Server, request: &str) -> String {
    let mut stream = lab.connect(server).await;
    stream.write_all(request.as_bytes()).await.unwrap();
    until_the_end(&mut stream).await
}

async fn until_the_end(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut bytes = Vec::new();
    // A connection may also be cut without a farewell.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("the server keeps the connection");
    String::from_utf8_lossy(&bytes).into_owned()
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n\r\n")
}

#[tokio::test]
async fn a_strict_client_reads_health_over_either_protocol() {
    let (lab, server) = ready(Limits::HTTPS).await;
    for (protocol, version) in [("--http1.1", "1.1"), ("--http2", "2")] {
        let arguments = [protocol, "--write-out", " %{http_version} %{http_code} %{content_type}"];
        let Some(output) = curl(&lab, &server, NAME, &arguments, "/health").await else { return };
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(text.contains("\"status\":\"ok\"") && text.ends_with(&format!(" {version} 200 application/json")), "{text}");
    }
}

async fn ready(limits: Limits) -> (Lab, Server) {
    let lab = Lab::new();
    let server = lab.serve(limits).await;
    (lab, server)
}

#[tokio::test]
async fn a_client_that_wants_another_name_does_not_talk() {
    let (lab, server) = ready(Limits::HTTPS).await;
    let Some(output) = curl(&lab, &server, "evil.verbund.test", &[], "/health").await else { return };
    assert!(!output.status.success() && output.stdout.is_empty());
}

#[tokio::test]
async fn a_client_that_trusts_another_authority_does_not_talk() {
    let (_, server) = ready(Limits::HTTPS).await;
    let Some(output) = curl(&Lab::new(), &server, NAME, &[], "/health").await else { return };
    assert!(!output.status.success() && output.stdout.is_empty());
}

#[tokio::test]
async fn old_tls_gets_no_handshake() {
    let (lab, server) = ready(Limits::HTTPS).await;
    let Some(output) = curl(&lab, &server, NAME, &["--tls-max", "1.1"], "/health").await else { return };
    assert!(!output.status.success() && output.stdout.is_empty());
}

#[tokio::test]
async fn clear_text_is_not_answered() {
    let (_lab, server) = ready(Limits::HTTPS).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(get("/health").as_bytes()).await.unwrap();
    let answer = until_the_end(&mut stream).await;
    assert!(!answer.contains("HTTP") && answer.len() <= 7, "at most a TLS alert: {answer:?}");
}

#[tokio::test]
async fn health_is_red_when_the_core_is_silent() {
    let (lab, server) = ready(Limits::HTTPS).await;
    server.core.answers.store(false, Ordering::Relaxed);
    assert!(raw(&lab, &server, &get("/health")).await.starts_with("HTTP/1.1 503"));
    server.core.hangs.store(true, Ordering::Relaxed);
    let begin = Instant::now();
    assert!(raw(&lab, &server, &get("/health")).await.starts_with("HTTP/1.1 503"));
    assert!(begin.elapsed() < PATIENCE);
}

#[tokio::test]
async fn the_root_is_handed_out_as_it_is() {
    let (lab, server) = ready(Limits::HTTPS).await;
    let answer = raw(&lab, &server, &get("/ca.pem")).await;
    assert!(answer.contains("content-type: application/x-pem-file") && answer.ends_with(&lab.root_pem()), "{answer}");
    assert!(!answer.contains("PRIVATE"));
}

#[tokio::test]
async fn metrics_are_text_for_prometheus() {
    let (lab, server) = ready(Limits::HTTPS).await;
    raw(&lab, &server, &get("/health?user=alice")).await;
    let answer = raw(&lab, &server, &get("/metrics")).await;
    assert!(answer.contains("content-type: text/plain; version=0.0.4"));
    assert!(answer.contains("verbund_build_info{version=\"") && answer.contains("# HELP verbund_https_requests_total"), "{answer}");
    assert!(answer.contains("verbund_https_requests_total{path=\"/health\",status=\"200\"}") && !answer.contains("alice"));
}

#[tokio::test]
async fn the_page_for_people_has_no_script_and_strict_headers() {
    let (lab, server) = ready(Limits::HTTPS).await;
    for path in ["/", "/nothing", "/metrics"] {
        let answer = raw(&lab, &server, &get(path)).await.to_ascii_lowercase();
        for header in
            ["content-security-policy: default-src 'none'", "x-content-type-options: nosniff", "strict-transport-security: max-age="]
        {
            assert!(answer.contains(header), "{path}: {header}");
        }
        assert!(!answer.contains("<script") && !answer.contains("server:"), "{path}");
    }
    assert!(raw(&lab, &server, &get("/")).await.contains("sip:name@verbund.test"));
}

#[tokio::test]
async fn what_is_not_there_is_told_in_json() {
    let (lab, server) = ready(Limits::HTTPS).await;
    for path in ["/nothing", "/health/", "//", "/v1/users", "/ca.key", "/%2e%2e/ca.pem", "/../ca.pem"] {
        let answer = raw(&lab, &server, &get(path)).await;
        assert!(
            answer.starts_with("HTTP/1.1 404") && answer.contains("application/json") && answer.contains("{\"error\":"),
            "{path}: {answer}"
        );
    }
    let answer = raw(&lab, &server, &get("/health").replace("GET", "DELETE")).await;
    assert!(answer.starts_with("HTTP/1.1 405") && answer.contains("allow: GET,HEAD") && answer.contains("{\"error\":"), "{answer}");
}

#[tokio::test]
async fn a_body_is_not_read() {
    let (lab, server) = ready(Limits::HTTPS).await;
    for body in ["Content-Length: 1000000000\r\n\r\nx", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"] {
        let answer = raw(&lab, &server, &format!("GET /health HTTP/1.1\r\nHost: {NAME}\r\n{body}")).await;
        assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("connection: close"), "{answer}");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
    }
}

#[tokio::test]
async fn two_lengths_are_one_request_or_none() {
    let (lab, server) = ready(Limits::HTTPS).await;
    let smuggled = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";
    for head in [
        "Content-Length: 0\r\nContent-Length: 36",
        "Content-Length : 0",
        "Content-Length: 36\r\nTransfer-Encoding: chunked",
        "Content-Length: -1",
    ] {
        let answer = raw(&lab, &server, &format!("GET /health HTTP/1.1\r\nHost: {NAME}\r\n{head}\r\n\r\n{smuggled}")).await;
        assert!(answer.starts_with("HTTP/1.1 4") && !answer.contains("# HELP"), "{head}: {answer}");
    }
}

#[tokio::test]
async fn an_endless_head_is_refused() {
    let (lab, server) = ready(Limits::HTTPS).await;
    let long = format!("GET /health HTTP/1.1\r\nHost: {NAME}\r\nX-Long: {}\r\n\r\n", "x".repeat(20_000));
    assert!(raw(&lab, &server, &long).await.starts_with("HTTP/1.1 431"));
    let many = format!("GET /health HTTP/1.1\r\nHost: {NAME}\r\n{}\r\n", "X: y\r\n".repeat(100));
    assert!(raw(&lab, &server, &many).await.starts_with("HTTP/1.1 431"));
}

#[tokio::test]
async fn a_handshake_that_does_not_come_is_ended() {
    let (_lab, server) = ready(LASTING).await;
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    until_the_end(&mut silent).await;
    let mut slow = TcpStream::connect(server.address).await.unwrap();
    // The beginning of a record that never ends.
    slow.write_all(&[0x16, 0x03, 0x01, 0x02, 0x00]).await.unwrap();
    until_the_end(&mut slow).await;
}

#[tokio::test]
async fn a_head_that_drips_is_ended() {
    let (lab, server) = ready(LASTING).await;
    let mut stream = lab.connect(&server).await;
    let begin = Instant::now();
    let drip = async {
        for byte in get("/health").bytes() {
            if stream.write_all(&[byte]).await.is_err() || stream.flush().await.is_err() {
                return;
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, drip).await.unwrap();
    assert!(!until_the_end(&mut stream).await.contains("200 OK"));
    assert!(begin.elapsed() < PATIENCE);
}

#[tokio::test]
async fn a_connection_that_is_silent_after_its_handshake_is_ended() {
    let (lab, server) = ready(LASTING).await;
    let mut stream = lab.connect(&server).await;
    until_the_end(&mut stream).await;
}

#[tokio::test]
async fn a_connection_that_keeps_asking_ends_too() {
    let (lab, server) = ready(HASTY).await;
    let mut stream = lab.connect(&server).await;
    let request = get("/health").replace("Connection: close\r\n", "");
    let mut bytes = [0; 4096];
    let begin = Instant::now();
    loop {
        let asked = stream.write_all(request.as_bytes()).await;
        let read = timeout(PATIENCE, stream.read(&mut bytes)).await.unwrap();
        if asked.is_err() || !matches!(read, Ok(1..)) {
            break;
        }
        assert!(begin.elapsed() < PATIENCE);
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_silent_http2_connection_is_ended() {
    let (lab, server) = ready(HASTY).await;
    let arguments = ["--http2", "--output", "/dev/null", "--write-out", "%{http_version}"];
    let Some(output) = curl(&lab, &server, NAME, &arguments, "/health").await else { return };
    assert_eq!(output.stdout, b"2");
    let mut stream = lab.connect_h2(&server).await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    stream.write_all(b"PRI * HTTP/2.0\r\n").await.unwrap();
    until_the_end(&mut stream).await;
}

#[tokio::test]
async fn one_address_cannot_take_all_connections() {
    let (lab, server) = ready(Limits { handshake_deadline: PATIENCE, ..LASTING }).await;
    let mut held = Vec::new();
    for _ in 0..HASTY.connections_per_source_max {
        held.push(TcpStream::connect(server.address).await.unwrap());
    }
    let mut one_more = TcpStream::connect(server.address).await.unwrap();
    assert_eq!(until_the_end(&mut one_more).await, "");
    drop(held);
    // The places are given back, and an honest client is served.
    let begin = Instant::now();
    while begin.elapsed() < PATIENCE {
        let mut probe = TcpStream::connect(server.address).await.unwrap();
        let mut byte = [0];
        if timeout(Duration::from_millis(100), probe.read(&mut byte)).await.is_err() {
            break;
        }
    }
    sleep(Duration::from_millis(100)).await;
    assert!(raw(&lab, &server, &get("/health")).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn n38_strangers_cannot_keep_out_who_comes_from_where_a_member_is_expected() {
    let limits = Limits { handshake_deadline: PATIENCE, connections_max: 4, ..LASTING };
    let (lab, server) = ready(limits).await;
    let mut held = Vec::new();
    for _ in 0..limits.connections_max {
        held.push(TcpStream::connect(server.address).await.unwrap());
    }
    let mut stranger = TcpStream::connect(server.address).await.unwrap();
    assert_eq!(until_the_end(&mut stranger).await, "");
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((EXPECTED, 0).into()).unwrap();
    let expected = socket.connect(server.address).await.unwrap();
    let config = lab.target(&server, None).tls;
    timeout(PATIENCE, TlsConnector::from(config).connect(NAME.try_into().unwrap(), expected)).await.unwrap().unwrap();
}

#[tokio::test]
async fn shutdown_waits_for_nobody_who_is_idle_and_not_long_for_anyone() {
    let (lab, server) =
        ready(Limits { head_deadline: PATIENCE, handshake_deadline: PATIENCE, closing_deadline: Duration::from_secs(2), ..HASTY }).await;
    let mut idle = lab.connect(&server).await;
    let unfinished = TcpStream::connect(server.address).await.unwrap();
    sleep(Duration::from_millis(100)).await;
    let address = server.address;
    assert!(server.end().await < Duration::from_secs(2) + PATIENCE / 2);
    until_the_end(&mut idle).await;
    drop(unfinished);
    assert!(TcpStream::connect(address).await.is_err(), "the port is free again");
}
