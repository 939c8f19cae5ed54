//! An ACME client that says what it is told to, right or wrong.

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use pki::{Fqdn, Key, certificate_request};
use serde_json::{Value, json};
use web::client::{Response, Target};

pub(crate) fn code(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A client with one key.
pub(crate) struct Client {
    pub(crate) target: Target,
    pair: EcdsaKeyPair,
    /// Its account's URL, once it has one.
    pub(crate) kid: String,
    pub(crate) nonce: String,
}

/// An answer, read.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) location: String,
    pub(crate) json: Value,
    pub(crate) text: String,
    pub(crate) raw: Response,
}

impl Reply {
    /// The last part of the problem's type.
    pub(crate) fn problem(&self) -> &str {
        self.json["type"].as_str().unwrap_or_default().trim_start_matches("urn:ietf:params:acme:error:")
    }

    fn of(raw: Response) -> Self {
        let text = String::from_utf8_lossy(&raw.body).into_owned();
        let location = raw.headers.get("location").map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
        Self { status: raw.status, location, json: serde_json::from_str(&text).unwrap_or_default(), text, raw }
    }
}

impl Client {
    pub(crate) async fn new(target: Target) -> Self {
        Self::with_pair(target, EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap()).await
    }

    /// A client that signs with a server's key.
    pub(crate) async fn with_key(target: Target, key: &Key) -> Self {
        let der = key.to_der().unwrap();
        Self::with_pair(target, EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der.secret_pkcs8_der()).unwrap()).await
    }

    async fn with_pair(target: Target, pair: EcdsaKeyPair) -> Self {
        let mut client = Self { target, pair, kid: String::new(), nonce: String::new() };
        client.nonce = client.fresh_nonce().await;
        client
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.target.authority())
    }

    pub(crate) async fn fresh_nonce(&self) -> String {
        let request = Request::builder().method(Method::HEAD).uri("/acme/new-nonce").body(Body::empty()).unwrap();
        let answer = self.target.call(request).await.unwrap();
        assert_eq!(answer.status, StatusCode::OK);
        answer.headers["replay-nonce"].to_str().unwrap().to_owned()
    }

    pub(crate) fn jwk(&self) -> Value {
        let point = self.pair.public_key().as_ref();
        json!({ "kty": "EC", "crv": "P-256", "x": code(&point[1..33]), "y": code(&point[33..]) })
    }

    /// The header of a good message: by the account if there is one, by the key if not.
    pub(crate) fn header(&self, path: &str) -> Value {
        let mut header = json!({ "alg": "ES256", "nonce": self.nonce, "url": self.url(path) });
        if self.kid.is_empty() {
            header["jwk"] = self.jwk();
        } else {
            header["kid"] = json!(self.kid);
        }
        header
    }

    pub(crate) fn sign(&self, header: &Value, payload: &str) -> Value {
        let (protected, payload) = (code(header.to_string()), code(payload));
        let input = format!("{protected}.{payload}");
        let signature = self.pair.sign(&SystemRandom::new(), input.as_bytes()).unwrap();
        json!({ "protected": protected, "payload": payload, "signature": code(signature) })
    }

    /// What the ticket signs (RFC 8555 §7.3.4).
    pub(crate) fn binding(&self, (kid, key): &(String, String)) -> Value {
        let header = json!({ "alg": "HS256", "kid": kid, "url": self.url("/acme/new-account") });
        bind(&header, &self.jwk().to_string(), key)
    }

    pub(crate) async fn send(&mut self, path: &str, message: &Value) -> Reply {
        self.send_as(path, message.to_string(), "application/jose+json").await
    }

    pub(crate) async fn send_as(&mut self, path: &str, body: String, media_type: &str) -> Reply {
        let request = Request::post(path).header("content-type", media_type).body(Body::from(body)).unwrap();
        let answer = self.target.call(request).await.unwrap();
        if let Some(nonce) = answer.headers.get("replay-nonce") {
            self.nonce = nonce.to_str().unwrap().to_owned();
        }
        Reply::of(answer)
    }

    /// A good message; an empty payload reads (POST-as-GET).
    pub(crate) async fn post(&mut self, path: &str, payload: &str) -> Reply {
        let message = self.sign(&self.header(path), payload);
        self.send(path, &message).await
    }

    /// A good message to a URL of ours.
    pub(crate) async fn post_url(&mut self, url: &str, payload: &str) -> Reply {
        let path = url.strip_prefix(&self.url("")).expect("a URL of this server").to_owned();
        self.post(&path, payload).await
    }

    pub(crate) async fn register(&mut self, ticket: &(String, String)) -> Reply {
        let payload = json!({ "termsOfServiceAgreed": true, "externalAccountBinding": self.binding(ticket) });
        let reply = self.post("/acme/new-account", &payload.to_string()).await;
        if reply.status.is_success() {
            self.kid.clone_from(&reply.location);
        }
        reply
    }

    pub(crate) async fn order(&mut self, names: &[&str]) -> Reply {
        let identifiers: Vec<_> = names.iter().map(|name| json!({ "type": "dns", "value": name })).collect();
        self.post("/acme/new-order", &json!({ "identifiers": identifiers }).to_string()).await
    }

    pub(crate) async fn finalize(&mut self, order: &Reply, key: &Key, names: &[&str]) -> Reply {
        let names: Vec<_> = names.iter().map(|name| Fqdn::parse(name).unwrap()).collect();
        let csr = code(certificate_request(key, &names).unwrap());
        let url = order.json["finalize"].as_str().unwrap().to_owned();
        self.post_url(&url, &json!({ "csr": csr }).to_string()).await
    }

    /// From the ticket to the certificate: the chain in PEM.
    pub(crate) async fn enrol(&mut self, ticket: &(String, String), key: &Key, names: &[&str]) -> String {
        assert_eq!(self.register(ticket).await.status, StatusCode::CREATED);
        let order = self.order(names).await;
        let order = self.finalize(&order, key, names).await;
        assert_eq!(order.json["status"], "valid", "{}", order.text);
        self.post_url(order.json["certificate"].as_str().unwrap(), "").await.text
    }
}

/// An HMAC with a ticket's key.
pub(crate) fn bind(header: &Value, payload: &str, key: &str) -> Value {
    let (protected, payload) = (code(header.to_string()), code(payload));
    let key = hmac::Key::new(hmac::HMAC_SHA256, &URL_SAFE_NO_PAD.decode(key).unwrap());
    let tag = hmac::sign(&key, format!("{protected}.{payload}").as_bytes());
    json!({ "protected": protected, "payload": payload, "signature": code(tag) })
}
