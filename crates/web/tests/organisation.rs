//! The authority's side of the admin API: what the command asks is what the authority hears, and back.
#![allow(clippy::unwrap_used)]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex};

use pki::Fqdn;
use registrar::UserName;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use web::admin::{
    Added, Admin, AuditLink, AuditVerdict, Certificate, Chain, Client, ClientError, Created, Decision, Expiry, Judgement, Member, Moved,
    Organisation, Password, Problem, PublishedTopology, SOCKET, Socket, Spread, Status, User, serve,
};
use web::{Answer, Limits};

/// An authority that notes what it hears, or a server that is none.
#[derive(Default)]
struct Desk {
    is_authority: bool,
    heard: Mutex<Vec<String>>,
}

impl Desk {
    fn hears<T: Send + 'static>(&self, words: String, answer: T) -> Answer<'_, Result<T, Problem>> {
        self.heard.lock().unwrap().push(words);
        Box::pin(async move { Ok(answer) })
    }
}

fn elsewhere() -> Problem {
    Problem::not_found("this server is no authority", "ask sip.verbund.test")
}

fn nothing<'a, T: Send + 'a>() -> Answer<'a, Result<T, Problem>> {
    Box::pin(async { Err(elsewhere()) })
}

impl Admin for Desk {
    fn status(&self) -> Answer<'_, Result<Status, Problem>> {
        nothing()
    }
    fn users(&self) -> Answer<'_, Result<Vec<User>, Problem>> {
        nothing()
    }
    fn add_user(&self, user: UserName, _: Option<Password>, pool: Option<Fqdn>) -> Answer<'_, Result<Created, Problem>> {
        let pool = pool.map_or("here".into(), |pool| pool.to_string());
        self.hears(format!("user {user} at {pool}"), Created { aor: format!("sip:{user}@verbund.test"), password: Password::new("p") })
    }
    fn set_password(&self, _: UserName, _: Option<Password>) -> Answer<'_, Result<Created, Problem>> {
        nothing()
    }
    fn remove_user(&self, _: UserName) -> Answer<'_, Result<(), Problem>> {
        nothing()
    }
    fn certificates(&self) -> Answer<'_, Result<Vec<Certificate>, Problem>> {
        nothing()
    }
    fn decisions(&self, _: usize) -> Answer<'_, Result<Vec<Decision>, Problem>> {
        nothing()
    }
    fn authority(&self) -> Result<&dyn Organisation, Problem> {
        if self.is_authority { Ok(self) } else { Err(elsewhere()) }
    }
}

fn published(version: u64) -> PublishedTopology {
    PublishedTopology { version, published_at: "2027-01-15T08:00:00Z".into(), document: String::new(), signed: String::new() }
}

impl Organisation for Desk {
    fn add_server(&self, name: Fqdn, role: String, pool: Option<Fqdn>, new_pool: bool) -> Answer<'_, Result<Added, Problem>> {
        let pool = format!("{}{}", if new_pool { "new " } else { "" }, pool.map_or("its own".into(), |pool| pool.to_string()));
        let added = Added { join: Password::new("verbund-join:v1:secret"), version: 2, expires: "2027-01-16T08:00:00Z".into() };
        self.hears(format!("add {name} {role} {pool}"), added)
    }
    fn remove_server(&self, name: Fqdn) -> Answer<'_, Result<Spread, Problem>> {
        self.hears(format!("remove {name}"), Spread { version: Some(3), members: 2, acknowledged: 2, ..Spread::default() })
    }
    fn publish(&self, document: String) -> Answer<'_, Result<Spread, Problem>> {
        self.hears(format!("publish {}", document.len()), Spread::default())
    }
    fn judge(&self, document: String) -> Answer<'_, Result<Judgement, Problem>> {
        self.hears(format!("judge {}", document.len()), Judgement { obstacles: vec!["no".into()] })
    }
    fn topology(&self, version: Option<u64>) -> Answer<'_, Result<PublishedTopology, Problem>> {
        self.hears(format!("topology {version:?}"), published(version.unwrap_or(9)))
    }
    fn history(&self, limit: usize) -> Answer<'_, Result<Vec<PublishedTopology>, Problem>> {
        self.hears(format!("history {limit}"), vec![published(2), published(1)])
    }
    fn members(&self) -> Answer<'_, Result<Vec<Member>, Problem>> {
        self.hears("members".into(), Vec::new())
    }
    fn revoke(&self, name: String) -> Answer<'_, Result<Spread, Problem>> {
        self.hears(format!("revoke {name}"), Spread { members: 3, acknowledged: 3, ms: 200, ..Spread::default() })
    }
    fn ledger(&self, limit: usize) -> Answer<'_, Result<Vec<Certificate>, Problem>> {
        self.hears(format!("ledger {limit}"), Vec::new())
    }
    fn expiries(&self) -> Answer<'_, Result<Vec<Expiry>, Problem>> {
        self.hears("expiries".into(), Vec::new())
    }
    fn sign(&self, server: Fqdn, request: String) -> Answer<'_, Result<Chain, Problem>> {
        self.hears(format!("sign {server} {request}"), Chain { chain: "PEM".into() })
    }
    fn move_user(&self, user: UserName, pool: Fqdn) -> Answer<'_, Result<Moved, Problem>> {
        self.hears(format!("move {user} to {pool}"), Moved { aor: user.to_string(), pool: pool.to_string() })
    }
    fn sign_user(&self, user: UserName, request: String) -> Answer<'_, Result<Chain, Problem>> {
        self.hears(format!("sign user {user} {request}"), Chain { chain: "PEM".into() })
    }
    fn audit(&self, limit: usize) -> Answer<'_, Result<Vec<AuditLink>, Problem>> {
        let link =
            AuditLink { number: 1, at: String::new(), actor: "x".into(), event: serde_json::json!({ "kind": "y" }), hash: "00".into() };
        self.hears(format!("audit {limit}"), vec![link])
    }
    fn verify_audit(&self, noted: Vec<String>) -> Answer<'_, Result<AuditVerdict, Problem>> {
        let verdict = AuditVerdict { intact: false, head: None, checkpoint: None, fault: Some("link 2 was altered".into()) };
        self.hears(format!("verify {}", noted.join(" ")), verdict)
    }
}

async fn running(is_authority: bool) -> (TempDir, Arc<Desk>, Client) {
    let data = tempfile::tempdir().unwrap();
    fs::set_permissions(data.path(), Permissions::from_mode(0o700)).unwrap();
    let desk = Arc::new(Desk { is_authority, ..Desk::default() });
    let socket = Socket::bind(data.path()).await.unwrap();
    tokio::spawn(serve(socket, desk.clone(), Limits::ADMIN, std::future::pending()));
    let client = Client::new(data.path());
    (data, desk, client)
}

fn fqdn(text: &str) -> Fqdn {
    Fqdn::parse(text).unwrap()
}

#[tokio::test]
async fn what_the_command_asks_is_what_the_authority_hears() {
    let (_data, desk, client) = running(true).await;
    let (fe2, pool) = (fqdn("fe2.verbund.test"), fqdn("pool.verbund.test"));
    let added = client.add_server(&fe2, "front-end", Some(&pool), true).await.unwrap();
    assert_eq!(added.join.expose(), "verbund-join:v1:secret");
    assert!(!format!("{added:?}").contains("secret"), "a join string is a secret");
    client.add_server(&fe2, "director", None, false).await.unwrap();
    client.add_user(&UserName::parse("carol").unwrap(), None, Some(&pool)).await.unwrap();
    assert_eq!(client.remove_server(&fe2).await.unwrap().version, Some(3));
    client.publish("x".repeat(1 << 20)).await.unwrap();
    assert_eq!(client.judge("x".repeat(1 << 20)).await.unwrap().obstacles, ["no"]);
    assert_eq!(client.topology(None).await.unwrap().version, 9);
    assert_eq!(client.topology(Some(4)).await.unwrap().version, 4);
    assert_eq!(client.history(7).await.unwrap().len(), 2);
    client.members().await.unwrap();
    let revoked = client.revoke("fe2.verbund.test").await.unwrap();
    assert_eq!((revoked.members, revoked.acknowledged, revoked.ms), (3, 3, 200));
    client.ledger(5).await.unwrap();
    client.expiries().await.unwrap();
    assert_eq!(client.sign(&fe2, "CSR".into()).await.unwrap().chain, "PEM");
    let carol = UserName::parse("carol").unwrap();
    assert_eq!(client.move_user(&carol, &pool).await.unwrap().pool, "pool.verbund.test");
    assert_eq!(client.sign_user(&carol, "CSR".into()).await.unwrap().chain, "PEM");
    assert_eq!(client.audit(3).await.unwrap()[0].event["kind"], "y");
    assert!(!client.verify_audit(vec!["12:0af3".into()]).await.unwrap().intact);
    let heard = desk.heard.lock().unwrap().join(", ");
    assert_eq!(
        heard,
        "add fe2.verbund.test front-end new pool.verbund.test, add fe2.verbund.test director its own, user carol at pool.verbund.test, \
         remove fe2.verbund.test, publish 1048576, judge 1048576, topology None, topology Some(4), history 7, members, revoke fe2.verbund.test, \
         ledger 5, expiries, sign fe2.verbund.test CSR, move carol to pool.verbund.test, sign user carol CSR, audit 3, verify 12:0af3"
    );
}

#[tokio::test]
async fn a_server_that_is_no_authority_says_so_to_each_question() {
    let (_data, desk, client) = running(false).await;
    let (fe2, carol) = (fqdn("fe2.verbund.test"), UserName::parse("carol").unwrap());
    for refused in [
        client.add_server(&fe2, "front-end", None, false).await.map(drop),
        client.remove_server(&fe2).await.map(drop),
        client.publish(String::new()).await.map(drop),
        client.judge(String::new()).await.map(drop),
        client.expiries().await.map(drop),
        client.topology(None).await.map(drop),
        client.history(1).await.map(drop),
        client.members().await.map(drop),
        client.revoke("x").await.map(drop),
        client.ledger(1).await.map(drop),
        client.sign(&fe2, String::new()).await.map(drop),
        client.move_user(&carol, &fe2).await.map(drop),
        client.sign_user(&carol, String::new()).await.map(drop),
        client.audit(1).await.map(drop),
        client.verify_audit(Vec::new()).await.map(drop),
    ] {
        assert!(matches!(&refused, Err(ClientError::Refused(problem)) if *problem == elsewhere()), "{refused:?}");
    }
    assert!(desk.heard.lock().unwrap().is_empty());
}

/// A raw request; the status of the answer.
async fn raw(data: &TempDir, method: &str, path: &str, body: &str) -> String {
    let mut stream = UnixStream::connect(data.path().join(SOCKET)).await.unwrap();
    let head = format!("{method} /v1{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n");
    stream.write_all(format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer.split(' ').nth(1).unwrap().to_owned()
}

#[tokio::test]
async fn what_is_not_understood_exactly_is_not_done() {
    let (data, desk, _) = running(true).await;
    for (method, path, body) in [
        ("POST", "/servers", "{}"),
        ("POST", "/servers", r#"{"name":"fe2","role":"front-end"}"#),
        ("POST", "/servers", r#"{"name":"fe2.a.test","role":"front-end","force":true}"#),
        ("POST", "/servers", r#"{"name":"fe2.a.test","role":"front-end","pool":"a b"}"#),
        ("DELETE", "/servers/10.0.0.1", ""),
        ("POST", "/servers/short/certificate", r#"{"document":""}"#),
        ("POST", "/topology", r#"{"document":1}"#),
        ("GET", "/topology/history?limit=0", ""),
        ("GET", "/topology/-1", ""),
        ("POST", "/revocations", r#"{"name":["x"]}"#),
        ("GET", "/audit?limit=x", ""),
        ("POST", "/audit/verification", r#"{"heads":"x"}"#),
    ] {
        assert_eq!(raw(&data, method, path, body).await, "400", "{method} {path} {body}");
    }
    let many = format!(r#"{{"heads":[{}]}}"#, vec![r#""1:00""#; 101].join(","));
    assert_eq!(raw(&data, "POST", "/audit/verification", &many).await, "400");
    assert_eq!(raw(&data, "POST", "/audit/verification", &"x".repeat(20_000)).await, "413");
    assert_eq!(raw(&data, "POST", "/ledger", "{}").await, "405");
    assert!(desk.heard.lock().unwrap().is_empty());
}
