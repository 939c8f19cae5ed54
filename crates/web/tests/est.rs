//! EST as clients speak it, well and badly (RFC 7030); row N33 among it.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod common;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use common::{Lab, Member, Server};
use pki::{Fqdn, Key, certificate_request};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use web::Limits;
use web::client::Response;
use web::enrolment::TicketState;

const FE1: &str = "fe1.verbund.test";
const ENROL: &str = "/.well-known/est/simpleenroll";
const AGAIN: &str = "/.well-known/est/simplereenroll";

async fn ready() -> (Lab, Server) {
    let lab = Lab::new();
    let server = lab.serve_authority(Limits::HTTPS).await;
    (lab, server)
}

fn request(key: &Key, names: &[&str]) -> String {
    let names: Vec<_> = names.iter().map(|name| Fqdn::parse(name).unwrap()).collect();
    STANDARD.encode(certificate_request(key, &names).unwrap())
}

fn basic((id, key): &(String, String)) -> String {
    format!("Basic {}", STANDARD.encode(format!("{id}:{key}")))
}

async fn post(
    lab: &Lab,
    server: &Server,
    path: &str,
    member: Option<&Member>,
    ticket: Option<&(String, String)>,
    body: String,
) -> Response {
    let mut request = Request::post(path).header("content-type", "application/pkcs10");
    if let Some(ticket) = ticket {
        request = request.header("authorization", basic(ticket));
    }
    lab.target(server, member).call(request.body(Body::from(body)).unwrap()).await.unwrap()
}

#[track_caller]
fn check(answer: &Response, status: StatusCode, words: &str) {
    let text = String::from_utf8_lossy(&answer.body);
    assert_eq!(answer.status, status, "{text}");
    assert!(text.contains(words), "{text}");
    assert_eq!(answer.headers.contains_key("www-authenticate"), status == StatusCode::UNAUTHORIZED);
}

/// What openssl finds in a certs-only message: subjects. `None` where it is not installed.
async fn subjects(answer: &Response) -> Option<String> {
    let der = STANDARD.decode(&answer.body).expect("base64 without line breaks");
    let mut command = Command::new("openssl");
    command.args(["pkcs7", "-inform", "DER", "-print_certs", "-noout"]).stdin(std::process::Stdio::piped());
    let Ok(mut openssl) = command.stdout(std::process::Stdio::piped()).spawn() else {
        assert!(std::env::var_os("CI").is_none(), "openssl is not installed, and in CI nothing is passed over");
        eprintln!("skipped: openssl is not installed");
        return None;
    };
    openssl.stdin.take().unwrap().write_all(&der).await.unwrap();
    let output = openssl.wait_with_output().await.unwrap();
    assert!(output.status.success());
    Some(String::from_utf8(output.stdout).unwrap())
}

#[tokio::test]
async fn a_ticket_becomes_a_certificate_and_is_burnt() {
    let (lab, server) = ready().await;
    let (ticket, key) = (lab.office.ticket(FE1), Key::generate().unwrap());
    let answer = post(&lab, &server, ENROL, None, Some(&ticket), request(&key, &[FE1])).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.headers["content-type"], "application/pkcs7-mime; smime-type=certs-only");
    assert_eq!(answer.headers["content-transfer-encoding"], "base64");
    assert!(lab.office.is_burnt(&ticket.0));
    if let Some(subjects) = subjects(&answer).await {
        assert_eq!(subjects.matches("subject=").count(), 1, "the certificate alone: {subjects}");
        assert!(subjects.contains("CN = fe1.verbund.test") || subjects.contains("CN=fe1.verbund.test"), "{subjects}");
    }
    let again = post(&lab, &server, ENROL, None, Some(&ticket), request(&key, &[FE1])).await;
    check(&again, StatusCode::UNAUTHORIZED, "was used at");
}

#[tokio::test]
async fn a_request_without_names_gets_the_topologys() {
    let (lab, server) = ready().await;
    let answer = post(&lab, &server, ENROL, None, Some(&lab.office.ticket(FE1)), request(&Key::generate().unwrap(), &[])).await;
    assert_eq!(answer.status, StatusCode::OK);
}

#[tokio::test]
async fn n33_other_names_ended_tickets_and_wrong_keys_are_refused() {
    let (lab, server) = ready().await;
    let (ticket, body) = (lab.office.ticket(FE1), request(&Key::generate().unwrap(), &[FE1]));
    let others = request(&Key::generate().unwrap(), &[FE1, "fe2.verbund.test"]);
    let answer = post(&lab, &server, ENROL, None, Some(&ticket), others).await;
    check(&answer, StatusCode::FORBIDDEN, "fe1.verbund.test may not have a certificate for fe2.verbund.test");
    let wrong_key = (ticket.0.clone(), "x".repeat(43));
    let one = post(&lab, &server, ENROL, None, Some(&wrong_key), body.clone()).await;
    let other = post(&lab, &server, ENROL, None, Some(&("nobody".into(), "x".repeat(43))), body.clone()).await;
    check(&one, StatusCode::UNAUTHORIZED, "no ticket with its key");
    assert_eq!(one.body, other.body, "who does not know the key learns nothing");
    let withdrawn = lab.office.ticket_in(FE1, TicketState::Withdrawn);
    check(&post(&lab, &server, ENROL, None, Some(&withdrawn), body.clone()).await, StatusCode::UNAUTHORIZED, "withdrawn");
    let mut absent = lab.office.ticket("fe2.verbund.test");
    lab.remove_fe2();
    let body_fe2 = request(&Key::generate().unwrap(), &["fe2.verbund.test"]);
    check(&post(&lab, &server, ENROL, None, Some(&absent), body_fe2).await, StatusCode::FORBIDDEN, "lists no server named");
    absent.1.clear();
    check(&post(&lab, &server, ENROL, None, Some(&absent), body).await, StatusCode::UNAUTHORIZED, "no ticket");
    assert_eq!(lab.office.figures().0, 0);
}

#[tokio::test]
async fn nobody_enrols_without_a_ticket_or_a_certificate() {
    let (lab, server) = ready().await;
    let body = request(&Key::generate().unwrap(), &[FE1]);
    check(&post(&lab, &server, ENROL, None, None, body.clone()).await, StatusCode::UNAUTHORIZED, "enrol with a ticket");
    check(&post(&lab, &server, AGAIN, None, None, body.clone()).await, StatusCode::FORBIDDEN, "renew with the certificate");
    // A ticket is for the first certificate only.
    check(&post(&lab, &server, AGAIN, None, Some(&lab.office.ticket(FE1)), body).await, StatusCode::FORBIDDEN, "renew with");
}

#[tokio::test]
async fn a_member_renews_with_its_certificate_for_its_own_names() {
    let (lab, server) = ready().await;
    let fe1 = lab.member(FE1);
    let answer = post(&lab, &server, AGAIN, Some(&fe1), None, request(&Key::generate().unwrap(), &[FE1])).await;
    assert_eq!(answer.status, StatusCode::OK);
    let other = request(&Key::generate().unwrap(), &["fe2.verbund.test"]);
    check(&post(&lab, &server, AGAIN, Some(&fe1), None, other).await, StatusCode::FORBIDDEN, "may not have");
    // A certificate does not make up for a wrong password.
    let wrong = ("nobody".to_owned(), "x".to_owned());
    let body = request(&Key::generate().unwrap(), &[FE1]);
    check(&post(&lab, &server, ENROL, Some(&fe1), Some(&wrong), body).await, StatusCode::UNAUTHORIZED, "no ticket");
}

#[tokio::test]
async fn what_is_no_request_is_refused() {
    let (lab, server) = ready().await;
    let ticket = lab.office.ticket(FE1);
    for body in ["", "AAAA", "!", "-----BEGIN CERTIFICATE REQUEST-----"] {
        check(&post(&lab, &server, ENROL, None, Some(&ticket), body.into()).await, StatusCode::BAD_REQUEST, "request");
    }
    let long = post(&lab, &server, ENROL, None, Some(&ticket), "A".repeat(40_000)).await;
    check(&long, StatusCode::PAYLOAD_TOO_LARGE, "longer than");
    let mut other = Request::post(ENROL).header("authorization", basic(&ticket));
    other = other.header("content-type", "application/json");
    let answer = lab.target(&server, None).call(other.body(Body::from("{}")).unwrap()).await.unwrap();
    check(&answer, StatusCode::UNSUPPORTED_MEDIA_TYPE, "application/pkcs10");
    assert!(!lab.office.is_burnt(&ticket.0));
}

#[tokio::test]
async fn the_certificates_of_the_ca_are_for_everyone() {
    let (lab, server) = ready().await;
    let answer = lab.target(&server, None).get("/.well-known/est/cacerts").await.unwrap();
    assert_eq!((answer.status, &answer.headers["content-type"]), (StatusCode::OK, &"application/pkcs7-mime".parse().unwrap()));
    if let Some(subjects) = subjects(&answer).await {
        assert!(subjects.contains("Root CA") && subjects.contains("Issuing CA"), "{subjects}");
    }
    let attributes = lab.target(&server, None).get("/.well-known/est/csrattrs").await.unwrap();
    assert_eq!(attributes.headers["content-type"], "application/csrattrs");
    assert_eq!(STANDARD.decode(&attributes.body).unwrap().len(), 35);
}

#[tokio::test]
async fn other_operations_are_not_there() {
    let (lab, server) = ready().await;
    for path in ["/.well-known/est/serverkeygen", "/.well-known/est/fullcmc", "/.well-known/est/label/cacerts"] {
        assert_eq!(lab.target(&server, None).get(path).await.unwrap().status, StatusCode::NOT_FOUND, "{path}");
    }
}
