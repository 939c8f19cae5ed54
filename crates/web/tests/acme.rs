//! ACME as clients speak it, well and badly (RFC 8555, RFC 9773); row N33 among it.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::{Duration, SystemTime};

use axum::body::Body;
use axum::http::{Request, StatusCode};
use common::acme::{Client, Reply, bind, code};
use common::{Lab, Server};
use pki::{Key, certificates_from_pem, facts};
use serde_json::{Value, json};
use web::Limits;
use web::enrolment::TicketState;

const FE1: &str = "fe1.verbund.test";

async fn ready() -> (Lab, Server) {
    let lab = Lab::new();
    let server = lab.serve_authority(Limits::HTTPS).await;
    (lab, server)
}

async fn newcomer(lab: &Lab, server: &Server) -> Client {
    Client::new(lab.target(server, None)).await
}

/// A client with an account for FE1.
async fn member(lab: &Lab, server: &Server) -> Client {
    let mut client = newcomer(lab, server).await;
    assert_eq!(client.register(&lab.office.ticket(FE1)).await.status, StatusCode::CREATED);
    client
}

#[track_caller]
fn check(reply: &Reply, status: u16, problem: &str) {
    assert_eq!((reply.status.as_u16(), reply.problem()), (status, problem), "{}", reply.text);
    assert_eq!(reply.raw.headers["content-type"], "application/problem+json");
    assert!(reply.raw.headers.contains_key("replay-nonce"), "a nonce for the next try");
    assert_eq!(reply.json["status"], status);
}

#[tokio::test]
async fn the_directory_says_that_a_ticket_is_needed() {
    let (lab, server) = ready().await;
    let answer = lab.target(&server, None).get("/acme/directory").await.unwrap();
    let directory: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(directory["meta"]["externalAccountRequired"], true);
    let base = format!("https://sip.verbund.test:{}/acme/", server.address.port());
    for name in ["newNonce", "newAccount", "newOrder", "revokeCert", "keyChange", "renewalInfo"] {
        assert!(directory[name].as_str().unwrap().starts_with(&base), "{name}");
    }
    assert!(answer.headers["link"].to_str().unwrap().ends_with("rel=\"index\""));
}

#[tokio::test]
async fn a_ticket_becomes_a_certificate_and_burns_when_it_is_fetched() {
    let (lab, server) = ready().await;
    let (ticket, key) = (lab.office.ticket(FE1), Key::generate().unwrap());
    let mut client = newcomer(&lab, &server).await;
    assert_eq!(client.register(&ticket).await.status, StatusCode::CREATED);
    let order = client.order(&[FE1]).await;
    assert_eq!((order.status, &order.json["status"]), (StatusCode::CREATED, &json!("ready")));
    let order = client.finalize(&order, &key, &[FE1]).await;
    assert_eq!(order.json["status"], "valid");
    assert!(!lab.office.is_burnt(&ticket.0), "issued is not fetched");
    let answer = client.post_url(order.json["certificate"].as_str().unwrap(), "").await;
    assert_eq!(answer.raw.headers["content-type"], "application/pem-certificate-chain");
    assert!(lab.office.is_burnt(&ticket.0));
    let chain = certificates_from_pem(&answer.text).unwrap();
    assert_eq!(chain.len(), 2, "the leaf and its issuer, without the root");
    // The names are the topology's: one was asked for.
    assert_eq!(facts(&chain[0]).unwrap().names, [FE1, "verbund.test", "sip:verbund.test"]);
    assert_eq!(client.post_url(order.json["certificate"].as_str().unwrap(), "").await.text, answer.text, "it may be fetched again");
}

#[tokio::test]
async fn n33_a_certificate_whose_ticket_cannot_be_burnt_is_not_handed_over() {
    let (lab, server) = ready().await;
    let (ticket, key) = (lab.office.ticket(FE1), Key::generate().unwrap());
    let mut client = newcomer(&lab, &server).await;
    client.register(&ticket).await;
    let order = client.order(&[FE1]).await;
    let order = client.finalize(&order, &key, &[FE1]).await;
    let url = order.json["certificate"].as_str().unwrap();
    let path = url.strip_prefix(&client.url("")).unwrap();
    let message = client.sign(&client.header(path), "").to_string();
    lab.office.cannot_burn(true);
    let request = Request::post(path).header("content-type", "application/jose+json").body(Body::from(message)).unwrap();
    let answer = client.target.call(request).await;
    assert!(answer.is_err_and(|error| !format!("{error:?}").contains("BEGIN CERTIFICATE")));
    lab.office.cannot_burn(false);
    client.nonce = client.fresh_nonce().await;
    assert!(client.post_url(url, "").await.text.contains("BEGIN CERTIFICATE"), "later it is");
}

#[tokio::test]
async fn an_order_and_what_belongs_to_it_can_be_read() {
    let (lab, server) = ready().await;
    let mut client = member(&lab, &server).await;
    let order = client.order(&[FE1, "Verbund.Test", FE1]).await;
    assert_eq!(order.json["identifiers"].as_array().unwrap().len(), 2);
    assert_eq!(client.post_url(&order.location.clone(), "").await.json["status"], "ready");
    let url = order.json["authorizations"][1].as_str().unwrap().to_owned();
    let authorization = client.post_url(&url, "").await;
    assert_eq!((&authorization.json["status"], &authorization.json["identifier"]["value"]), (&json!("valid"), &json!("verbund.test")));
    let challenge = authorization.json["challenges"][0].clone();
    assert_eq!(challenge["status"], "valid");
    // certbot dies of a token that is no base64url.
    assert_eq!(challenge["token"].as_str().unwrap().len() % 4, 2);
    let answered = client.post_url(challenge["url"].as_str().unwrap(), "{}").await;
    assert_eq!(answered.json, challenge);
    assert!(answered.raw.headers.get_all("link").iter().any(|link| link.to_str().unwrap().contains("rel=\"up\"")));
    let account = client.post_url(&client.kid.clone(), "").await;
    let orders = client.post_url(account.json["orders"].as_str().unwrap(), "").await;
    assert_eq!(orders.json["orders"], json!([order.location]));
}

/// Orders live an hour and in memory: a client that waits through a restart hears so in the words of the protocol, and begins
/// anew with the account and the ticket that it has.
#[tokio::test]
async fn after_a_restart_an_order_is_gone_and_account_and_ticket_are_not() {
    let (lab, server) = ready().await;
    let (ticket, key) = (lab.office.ticket(FE1), Key::generate().unwrap());
    let mut client = newcomer(&lab, &server).await;
    client.register(&ticket).await;
    let (early, late) = (client.order(&[FE1]).await, client.order(&[FE1]).await);
    let late = client.finalize(&late, &key, &[FE1]).await;
    assert_eq!(late.json["status"], "valid", "issued, and not fetched yet");
    let server = lab.restart_authority(server).await;
    // A nonce of before counts no more; the refusal brings one that does (RFC 8555 §6.5), so clients try again by themselves.
    check(&client.post_url(&early.location, "").await, 400, "badNonce");
    for url in [&early.location, early.json["finalize"].as_str().unwrap(), late.json["certificate"].as_str().unwrap()] {
        let reply = client.post_url(url, if url.contains("finalize") { r#"{"csr":"AAAA"}"# } else { "" }).await;
        check(&reply, 404, "malformed");
        assert!(reply.json["detail"].as_str().unwrap().contains("make a new order"), "{}", reply.text);
    }
    assert!(!lab.office.is_burnt(&ticket.0), "what was never fetched burns nothing");
    let order = client.order(&[FE1]).await;
    let order = client.finalize(&order, &key, &[FE1]).await;
    let chain = client.post_url(order.json["certificate"].as_str().unwrap(), "").await;
    assert_eq!(certificates_from_pem(&chain.text).unwrap().len(), 2);
    assert!(lab.office.is_burnt(&ticket.0));
    drop(server);
}

#[tokio::test]
async fn no_account_without_a_ticket() {
    let (lab, server) = ready().await;
    let mut client = newcomer(&lab, &server).await;
    let reply = client.post("/acme/new-account", "{\"termsOfServiceAgreed\":true}").await;
    check(&reply, 403, "externalAccountRequired");
    check(&client.post("/acme/new-account", "{\"onlyReturnExisting\":true}").await, 400, "accountDoesNotExist");
}

#[tokio::test]
async fn n33_a_ticket_of_nobody_and_a_wrong_key_are_told_apart_by_nobody() {
    let (lab, server) = ready().await;
    let (kid, _) = lab.office.ticket(FE1);
    let wrong_key = (kid, code([7; 32]));
    let mut client = newcomer(&lab, &server).await;
    let one = client.register(&wrong_key).await;
    check(&one, 403, "unauthorized");
    let other = client.register(&("nobody".into(), code([7; 32]))).await;
    assert_eq!(one.text, other.text);
}

#[tokio::test]
async fn n33_a_ticket_counts_once() {
    let (lab, server) = ready().await;
    let ticket = lab.office.ticket(FE1);
    newcomer(&lab, &server).await.enrol(&ticket, &Key::generate().unwrap(), &[FE1]).await;
    let reply = newcomer(&lab, &server).await.register(&ticket).await;
    check(&reply, 403, "unauthorized");
    assert!(reply.json["detail"].as_str().unwrap().contains("was used at"), "{}", reply.text);
}

#[tokio::test]
async fn n33_a_ticket_ends_and_can_be_withdrawn() {
    let (lab, server) = ready().await;
    let at = SystemTime::now() - Duration::from_secs(1);
    for (state, words) in [(TicketState::Expired { at }, "ended at"), (TicketState::Withdrawn, "was withdrawn")] {
        let reply = newcomer(&lab, &server).await.register(&lab.office.ticket_in(FE1, state)).await;
        check(&reply, 403, "unauthorized");
        assert!(reply.json["detail"].as_str().unwrap().contains(words), "{}", reply.text);
    }
}

#[tokio::test]
async fn n33_other_names_than_the_topologys_are_refused_by_name() {
    let (lab, server) = ready().await;
    let mut client = member(&lab, &server).await;
    let reply = client.order(&[FE1, "fe2.verbund.test", "evil.example"]).await;
    check(&reply, 403, "rejectedIdentifier");
    let named: Vec<_> = reply.json["subproblems"].as_array().unwrap().iter().map(|one| one["identifier"]["value"].clone()).collect();
    assert_eq!(named, ["fe2.verbund.test", "evil.example"]);
}

#[tokio::test]
async fn n33_a_server_that_left_the_topology_gets_no_certificate() {
    let (lab, server) = ready().await;
    let mut client = newcomer(&lab, &server).await;
    client.register(&lab.office.ticket("fe2.verbund.test")).await;
    let order = client.order(&["fe2.verbund.test"]).await;
    lab.remove_fe2();
    check(&client.order(&["fe2.verbund.test"]).await, 403, "unauthorized");
    // Also when it left between the order and the issuing; the order ends with the reason.
    check(&client.finalize(&order, &Key::generate().unwrap(), &["fe2.verbund.test"]).await, 403, "unauthorized");
    let order = client.post_url(&order.location.clone(), "").await;
    assert_eq!((&order.json["status"], &order.json["error"]["status"]), (&json!("invalid"), &json!(403)));
    assert_eq!(lab.office.figures().0, 0);
}

#[tokio::test]
async fn only_dns_names_of_hosts_are_taken() {
    let (lab, server) = ready().await;
    let mut client = member(&lab, &server).await;
    for (identifiers, status, problem) in [
        (json!([{ "type": "dns", "value": "*.verbund.test" }]), 403, "rejectedIdentifier"),
        (json!([{ "type": "dns", "value": "fe1" }]), 403, "rejectedIdentifier"),
        (json!([{ "type": "dns", "value": "10.0.0.1" }]), 403, "rejectedIdentifier"),
        (json!([{ "type": "ip", "value": "10.0.0.1" }]), 400, "unsupportedIdentifier"),
        (json!([]), 400, "malformed"),
        (json!("fe1.verbund.test"), 400, "malformed"),
        (json!((0..101).map(|n| json!({ "type": "dns", "value": format!("a{n}.verbund.test") })).collect::<Vec<_>>()), 400, "malformed"),
    ] {
        let payload = json!({ "identifiers": identifiers }).to_string();
        check(&client.post("/acme/new-order", &payload).await, status, problem);
    }
}

#[tokio::test]
async fn an_order_cannot_choose_what_is_not_its_to_choose() {
    let (lab, server) = ready().await;
    let mut client = member(&lab, &server).await;
    let names = json!([{ "type": "dns", "value": FE1 }]);
    for (member, problem) in [("notBefore", "malformed"), ("notAfter", "malformed"), ("profile", "invalidProfile")] {
        let payload = json!({ "identifiers": names, member: "2030-01-01T00:00:00Z" }).to_string();
        check(&client.post("/acme/new-order", &payload).await, 400, problem);
    }
    let payload = json!({ "identifiers": names, "replaces": "AAAA.AAAA" }).to_string();
    assert_eq!(client.post("/acme/new-order", &payload).await.json["replaces"], "AAAA.AAAA");
}

#[tokio::test]
async fn the_request_asks_for_what_was_ordered() {
    let (lab, server) = ready().await;
    let mut client = member(&lab, &server).await;
    let key = Key::generate().unwrap();
    let order = client.order(&[FE1, "verbund.test"]).await;
    for names in [&[FE1][..], &[FE1, "verbund.test", "fe2.verbund.test"], &["fe2.verbund.test"]] {
        check(&client.finalize(&order, &key, names).await, 400, "badCSR");
    }
    let url = order.json["finalize"].as_str().unwrap().to_owned();
    for csr in ["", "AAAA", "!", &code([0x30; 20_000])] {
        check(&client.post_url(&url, &json!({ "csr": csr }).to_string()).await, 400, "badCSR");
    }
    check(&client.post_url(&url, "{}").await, 400, "malformed");
    // A wrong request leaves the order as it was.
    let order = client.finalize(&order, &key, &["verbund.test", FE1]).await;
    assert_eq!(order.json["status"], "valid", "{}", order.text);
    check(&client.finalize(&order, &key, &["verbund.test", FE1]).await, 403, "orderNotReady");
    assert_eq!(lab.office.figures().0, 1);
}

#[tokio::test]
async fn what_is_not_issued_cannot_be_fetched() {
    let (lab, server) = ready().await;
    let mut client = member(&lab, &server).await;
    let order = client.order(&[FE1]).await;
    let certificate = order.location.replace("/order/", "/certificate/");
    assert_eq!(client.post_url(&certificate, "").await.status, StatusCode::NOT_FOUND);
    assert_eq!(client.post("/acme/certificate/nothing", "").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn an_account_sees_nothing_of_another() {
    let (lab, server) = ready().await;
    let (mut one, mut other) = (member(&lab, &server).await, member(&lab, &server).await);
    let order = one.order(&[FE1]).await;
    let order = one.finalize(&order, &Key::generate().unwrap(), &[FE1]).await;
    let account = one.post_url(&one.kid.clone(), "").await;
    for url in [&order.location, &one.kid, order.json["certificate"].as_str().unwrap(), account.json["orders"].as_str().unwrap()] {
        check(&other.post_url(url, "").await, 403, "unauthorized");
    }
    assert!(!order.text.is_empty() && lab.office.figures().1 == 0);
}

#[tokio::test]
async fn a_nonce_counts_once_and_must_be_ours() {
    let (lab, server) = ready().await;
    let mut client = member(&lab, &server).await;
    let path = "/acme/new-order";
    let payload = json!({ "identifiers": [{ "type": "dns", "value": FE1 }] }).to_string();
    let message = client.sign(&client.header(path), &payload);
    assert_eq!(client.send(path, &message).await.status, StatusCode::CREATED);
    check(&client.send(path, &message).await, 400, "badNonce");
    for nonce in ["", "AAAA", &code([1; 36]), "not base64!"] {
        let mut header = client.header(path);
        header["nonce"] = json!(nonce);
        let message = client.sign(&header, &payload);
        check(&client.send(path, &message).await, 400, "badNonce");
    }
    let mut header = client.header(path);
    header.as_object_mut().unwrap().remove("nonce");
    let message = client.sign(&header, &payload);
    check(&client.send(path, &message).await, 400, "malformed");
}

#[tokio::test]
async fn a_message_is_for_one_url() {
    let (lab, server) = ready().await;
    let mut client = member(&lab, &server).await;
    for url in [client.url("/acme/key-change"), "https://evil.example/acme/new-order".into(), String::new()] {
        let mut header = client.header("/acme/new-order");
        header["url"] = json!(url);
        let message = client.sign(&header, "{}");
        check(&client.send("/acme/new-order", &message).await, 403, "unauthorized");
    }
}

#[tokio::test]
async fn a_signature_is_checked_with_the_accounts_key_and_its_algorithm() {
    let (lab, server) = ready().await;
    let mut client = member(&lab, &server).await;
    let path = "/acme/new-order";
    let mut forged = client.sign(&client.header(path), "{}");
    forged["payload"] = json!(code("{ }"));
    check(&client.send(path, &forged).await, 403, "unauthorized");
    let mut stranger = newcomer(&lab, &server).await;
    stranger.kid.clone_from(&client.kid);
    check(&stranger.post(path, "{}").await, 403, "unauthorized");
    for (algorithm, status, problem) in [
        ("none", 400, "badSignatureAlgorithm"),
        ("HS256", 400, "badSignatureAlgorithm"),
        ("RS512", 400, "badSignatureAlgorithm"),
        ("ES384", 403, "unauthorized"),
        ("EdDSA", 403, "unauthorized"),
    ] {
        let mut header = client.header(path);
        header["alg"] = json!(algorithm);
        let message = client.sign(&header, "{}");
        let reply = client.send(path, &message).await;
        check(&reply, status, problem);
        assert_eq!(reply.json.get("algorithms").is_some(), problem == "badSignatureAlgorithm");
    }
}

#[tokio::test]
async fn an_account_is_named_by_its_url_and_nothing_else() {
    let (lab, server) = ready().await;
    let mut client = member(&lab, &server).await;
    let path = "/acme/new-order";
    for kid in ["account-0".to_owned(), client.url("/acme/account/nobody"), client.url("/acme/account/"), String::new()] {
        let mut header = client.header(path);
        header["kid"] = json!(kid);
        let message = client.sign(&header, "{}");
        check(&client.send(path, &message).await, 400, "accountDoesNotExist");
    }
    let mut header = client.header(path);
    header["jwk"] = client.jwk();
    let message = client.sign(&header, "{}");
    check(&client.send(path, &message).await, 400, "malformed");
    header.as_object_mut().unwrap().remove("kid");
    let message = client.sign(&header, "{}");
    check(&client.send(path, &message).await, 400, "malformed");
}

#[tokio::test]
async fn other_shapes_are_no_messages() {
    let (lab, server) = ready().await;
    let mut client = member(&lab, &server).await;
    let path = "/acme/new-order";
    let good = client.sign(&client.header(path), "{}").to_string();
    let reply = client.send_as(path, good.clone(), "application/json").await;
    assert_eq!(reply.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    for body in [String::new(), "x".into(), "[]".into(), "{}".into(), good.replace("signature", "signatures"), good[..40].to_owned()] {
        check(&client.send_as(path, body, "application/jose+json").await, 400, "malformed");
    }
    let reply = client.send_as(path, "x".repeat(60_000), "application/jose+json").await;
    assert_eq!(reply.status, StatusCode::PAYLOAD_TOO_LARGE);
    let answer = lab.target(&server, None).get(path).await.unwrap();
    assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
    let order = client.order(&[FE1]).await;
    check(&client.post_url(&order.location.clone(), "{}").await, 400, "malformed");
}

#[tokio::test]
async fn the_binding_is_for_this_key_and_this_url() {
    let (lab, server) = ready().await;
    let (kid, key) = lab.office.ticket(FE1);
    let (mut client, other) = (newcomer(&lab, &server).await, newcomer(&lab, &server).await);
    let header = json!({ "alg": "HS256", "kid": kid, "url": client.url("/acme/new-account") });
    let with = |member: &str, value: Value| {
        let mut header = header.clone();
        header[member] = value;
        header
    };
    let jwk = client.jwk().to_string();
    for (binding, status, problem) in [
        (bind(&header, &other.jwk().to_string(), &key), 400, "malformed"),
        (bind(&with("url", json!("https://evil.example/")), &jwk, &key), 400, "malformed"),
        (bind(&with("nonce", json!("x")), &jwk, &key), 400, "malformed"),
        (bind(&with("alg", json!("HS512")), &jwk, &key), 400, "malformed"),
        (bind(&with("kid", json!("../x")), &jwk, &key), 403, "unauthorized"),
        (json!("x"), 400, "malformed"),
        (client.sign(&header, &jwk), 403, "unauthorized"),
    ] {
        let payload = json!({ "externalAccountBinding": binding }).to_string();
        check(&client.post("/acme/new-account", &payload).await, status, problem);
    }
    assert_eq!(client.register(&(kid, key)).await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn the_same_key_finds_its_account_again() {
    let (lab, server) = ready().await;
    let mut client = member(&lab, &server).await;
    let kid = std::mem::take(&mut client.kid);
    let reply = client.post("/acme/new-account", "{\"onlyReturnExisting\":true}").await;
    assert_eq!((reply.status, &reply.location), (StatusCode::OK, &kid));
}

#[tokio::test]
async fn an_account_that_was_given_up_or_taken_away_can_do_nothing() {
    let (lab, server) = ready().await;
    let mut client = member(&lab, &server).await;
    let reply = client.post_url(&client.kid.clone(), "{\"status\":\"deactivated\"}").await;
    assert_eq!(reply.json["status"], "deactivated");
    check(&client.order(&[FE1]).await, 403, "unauthorized");
    client.kid.clear();
    check(&client.post("/acme/new-account", "{\"onlyReturnExisting\":true}").await, 403, "unauthorized");
    let mut other = member(&lab, &server).await;
    lab.office.close_accounts();
    check(&other.order(&[FE1]).await, 403, "unauthorized");
}

#[tokio::test]
async fn an_accounts_key_is_changed_by_both_keys() {
    let (lab, server) = ready().await;
    let (mut client, mut new) = (member(&lab, &server).await, newcomer(&lab, &server).await);
    let path = "/acme/key-change";
    let inner = |url: &str, account: &str, old: Value| {
        (json!({ "alg": "ES256", "jwk": new.jwk(), "url": url }), json!({ "account": account, "oldKey": old }).to_string())
    };
    let (kid, url, jwk) = (client.kid.clone(), client.url(path), client.jwk());
    for (header, payload) in
        [inner("https://evil.example/", &kid, jwk.clone()), inner(&url, "https://evil.example/", jwk.clone()), inner(&url, &kid, new.jwk())]
    {
        let payload = new.sign(&header, &payload).to_string();
        check(&client.post(path, &payload).await, 400, "malformed");
    }
    let (header, payload) = inner(&url, &kid, jwk);
    // Signed by the old key in the name of the new one.
    let forged = client.sign(&header, &payload).to_string();
    check(&client.post(path, &forged).await, 403, "unauthorized");
    let good = new.sign(&header, &payload).to_string();
    assert_eq!(client.post(path, &good).await.status, StatusCode::OK);
    check(&client.order(&[FE1]).await, 403, "unauthorized");
    new.kid = kid;
    assert_eq!(new.order(&[FE1]).await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn two_accounts_never_have_one_key() {
    let (lab, server) = ready().await;
    let (mut client, other) = (member(&lab, &server).await, member(&lab, &server).await);
    let header = json!({ "alg": "ES256", "jwk": other.jwk(), "url": client.url("/acme/key-change") });
    let inner = other.sign(&header, &json!({ "account": client.kid, "oldKey": client.jwk() }).to_string()).to_string();
    let reply = client.post("/acme/key-change", &inner).await;
    assert_eq!((reply.status, &reply.location), (StatusCode::CONFLICT, &other.kid));
}

/// A member's certificate in base64url, and its key.
async fn certified(lab: &Lab, server: &Server) -> (Client, String, Key) {
    let (mut client, key) = (newcomer(lab, server).await, Key::generate().unwrap());
    let chain = client.enrol(&lab.office.ticket(FE1), &key, &[FE1]).await;
    (client, code(&certificates_from_pem(&chain).unwrap()[0]), key)
}

#[tokio::test]
async fn an_account_revokes_its_certificate_for_a_reason_of_its_own() {
    let (lab, server) = ready().await;
    let (mut client, certificate, _) = certified(&lab, &server).await;
    for reason in [2, 6, 7, 8, 9, 10] {
        let payload = json!({ "certificate": certificate, "reason": reason }).to_string();
        check(&client.post("/acme/revoke-cert", &payload).await, 400, "badRevocationReason");
    }
    let payload = json!({ "certificate": certificate, "reason": 1 }).to_string();
    assert_eq!(client.post("/acme/revoke-cert", &payload).await.status, StatusCode::OK);
    assert_eq!(lab.office.figures().2, [1]);
    check(&client.post("/acme/revoke-cert", &payload).await, 400, "alreadyRevoked");
}

#[tokio::test]
async fn a_strangers_certificate_is_not_revoked() {
    let (lab, server) = ready().await;
    let (_, certificate, _) = certified(&lab, &server).await;
    let mut other = newcomer(&lab, &server).await;
    other.register(&lab.office.ticket("fe2.verbund.test")).await;
    let payload = json!({ "certificate": certificate }).to_string();
    check(&other.post("/acme/revoke-cert", &payload).await, 403, "unauthorized");
    // Nor by a key that is not the certificate's.
    other.kid.clear();
    check(&other.post("/acme/revoke-cert", &payload).await, 403, "unauthorized");
    for certificate in [code("x"), "!".into()] {
        let payload = json!({ "certificate": certificate }).to_string();
        assert!(other.post("/acme/revoke-cert", &payload).await.status.is_client_error());
    }
    assert!(lab.office.figures().2.is_empty());
}

#[tokio::test]
async fn a_certificate_is_revoked_by_its_own_key() {
    let (lab, server) = ready().await;
    let (client, certificate, key) = certified(&lab, &server).await;
    let mut holder = Client::with_key(client.target.clone(), &key).await;
    let payload = json!({ "certificate": certificate, "reason": 4 }).to_string();
    assert_eq!(holder.post("/acme/revoke-cert", &payload).await.status, StatusCode::OK);
    assert_eq!(lab.office.figures().2, [4]);
}

#[tokio::test]
async fn a_stranger_with_a_certificate_of_his_own_uses_up_no_nonce() {
    let (lab, server) = ready().await;
    let key = Key::generate().unwrap();
    let (_, foreign) = pki::Authority::create("Elsewhere", &["verbund.test".parse().unwrap()], std::time::SystemTime::now()).unwrap();
    let names = pki::ServerNames { server: FE1.parse().unwrap(), aliases: vec![], domains: vec![] };
    let chain = foreign.issue_server(&names, &key.public(), std::time::SystemTime::now()).unwrap().chain;
    let mut stranger = Client::with_key(lab.target(&server, None), &key).await;
    let path = "/acme/revoke-cert";
    let message = stranger.sign(&stranger.header(path), &json!({ "certificate": code(&chain[0]) }).to_string());
    for _ in 0..2 {
        // The second time it would be badNonce, had the first one been remembered.
        check(&stranger.send(path, &message).await, 403, "unauthorized");
    }
}

#[tokio::test]
async fn a_certificate_is_not_for_the_accounts_key() {
    let (lab, server) = ready().await;
    let key = Key::generate().unwrap();
    let mut client = Client::with_key(lab.target(&server, None), &key).await;
    client.register(&lab.office.ticket(FE1)).await;
    let order = client.order(&[FE1]).await;
    check(&client.finalize(&order, &key, &[FE1]).await, 400, "badPublicKey");
}

#[tokio::test]
async fn renewal_information_is_for_everyone() {
    let (lab, server) = ready().await;
    let target = lab.target(&server, None);
    let answer = target.get(&format!("/acme/renewal-info/{}.AIdlQyE", code([1; 20]))).await.unwrap();
    let info: Value = serde_json::from_slice(&answer.body).unwrap();
    assert!(info["suggestedWindow"]["start"].as_str() < info["suggestedWindow"]["end"].as_str(), "{info}");
    assert_eq!(answer.headers["retry-after"], "3600");
    let unknown = target.get(&format!("/acme/renewal-info/{}.AIdlQyE", code([2; 20]))).await.unwrap();
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    assert_eq!(target.get("/acme/renewal-info/x").await.unwrap().status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_server_that_is_no_authority_enrols_nobody() {
    let lab = Lab::new();
    let server = lab.serve(Limits::HTTPS).await;
    let request = Request::post("/acme/new-account").body(Body::empty()).unwrap();
    assert_eq!(lab.target(&server, None).call(request).await.unwrap().status, StatusCode::NOT_FOUND);
    assert_eq!(lab.target(&server, None).get("/acme/directory").await.unwrap().status, StatusCode::NOT_FOUND);
}
