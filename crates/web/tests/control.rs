//! The control channel over real mutual TLS: who may read it (row N30), how it is cut (rows N5, N15), and its bounds.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use common::{Lab, Member, Server};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use trust::Refusal;
use web::Limits;
use web::control::{ControlClient, ControlError, Feed, Held, Hello, InForce, Update};

const PATIENCE: Duration = Duration::from_secs(8);

async fn ready(limits: Limits) -> (Lab, Server) {
    let lab = Lab::new();
    let server = lab.serve_authority(limits).await;
    (lab, server)
}

async fn call(lab: &Lab, server: &Server, member: &Member) -> ControlClient {
    ControlClient::connect(lab.target(server, Some(member))).await.unwrap()
}

/// The sender of the newest feed.
fn sender(lab: &Lab) -> mpsc::Sender<Arc<Update>> {
    lab.channel.feeds.lock().unwrap().last().unwrap().2.clone()
}

fn topology(document: &str) -> Update {
    Update::Topology { document: document.into() }
}

async fn next(feed: &mut Feed) -> Result<Update, ControlError> {
    timeout(PATIENCE, feed.next()).await.expect("nothing comes")
}

#[tokio::test]
async fn a_member_says_what_it_is_and_hears_what_changes() {
    let (lab, server) = ready(Limits::HTTPS).await;
    let client = call(&lab, &server, &lab.member("fe1.verbund.test")).await;
    client.hello(&Hello { version: "0.1".into(), ..Hello::default() }).await.unwrap();
    let held = Held { topology: 3, bundle: 2, users: 1 };
    let mut feed = client.feed(&held).await.unwrap();
    {
        let feeds = lab.channel.feeds.lock().unwrap();
        assert_eq!((feeds[0].0.as_str(), &feeds[0].1), ("fe1.verbund.test", &held));
    }
    sender(&lab).send(Arc::new(topology("one"))).await.unwrap();
    sender(&lab).send(Arc::new(Update::Heartbeat)).await.unwrap();
    let long = "x".repeat(1 << 20);
    sender(&lab).send(Arc::new(topology(&long))).await.unwrap();
    assert_eq!(next(&mut feed).await.unwrap(), topology("one"));
    assert_eq!(next(&mut feed).await.unwrap(), topology(&long));
    client.ack(&InForce { topology: 4, ..InForce::default() }).await.unwrap();
    assert_eq!(*lab.channel.said.lock().unwrap(), ["fe1.verbund.test hello 0.1", "fe1.verbund.test ack 4"]);
}

#[tokio::test]
async fn n30_whoever_shows_no_certificate_hears_nothing() {
    let (lab, server) = ready(Limits::HTTPS).await;
    for path in ["/control/v1/feed", "/control/v1/hello", "/control/v1/ack"] {
        let status = lab.target(&server, None).get(path).await.unwrap().status;
        let wanted = if path.ends_with("feed") { StatusCode::FORBIDDEN } else { StatusCode::METHOD_NOT_ALLOWED };
        assert_eq!(status, wanted, "{path}");
    }
    let client = ControlClient::connect(lab.target(&server, None)).await.unwrap();
    for refused in
        [client.feed(&Held::default()).await.map(drop), client.hello(&Hello::default()).await, client.ack(&InForce::default()).await]
    {
        assert!(matches!(refused, Err(ControlError::Refused { status: StatusCode::FORBIDDEN, .. })), "{refused:?}");
    }
    assert!(lab.channel.said.lock().unwrap().is_empty() && lab.channel.feeds.lock().unwrap().is_empty());
}

#[tokio::test]
async fn n30_a_certificate_of_ours_that_the_topology_does_not_list_gets_no_connection() {
    let (lab, server) = ready(Limits::HTTPS).await;
    let stranger = lab.member("fe9.verbund.test");
    let refused = match ControlClient::connect(lab.target(&server, Some(&stranger))).await {
        // In TLS 1.3 a client believes itself connected before it was judged.
        Ok(client) => client.feed(&Held::default()).await.map(drop),
        Err(error) => Err(error),
    };
    assert!(matches!(refused, Err(ControlError::Call(_))), "{refused:?}");
    let refusals = lab.refusals.lock().unwrap();
    assert!(matches!(&refusals[..], [Refusal::NotInTopology { .. }]), "{refusals:?}");
}

#[tokio::test]
async fn n15_a_server_that_leaves_the_topology_is_cut_and_the_others_stay() {
    let (lab, server) = ready(Limits::HTTPS).await;
    let (one, two) =
        (call(&lab, &server, &lab.member("fe1.verbund.test")).await, call(&lab, &server, &lab.member("fe2.verbund.test")).await);
    let (mut kept, mut cut) = (one.feed(&Held::default()).await.unwrap(), two.feed(&Held::default()).await.unwrap());
    let kept_sender = lab.channel.feeds.lock().unwrap()[0].2.clone();
    lab.publish_again();
    sender(&lab).send(Arc::new(topology("before"))).await.unwrap();
    assert_eq!(next(&mut cut).await.unwrap(), topology("before"), "the same policy cuts nobody");
    let begin = Instant::now();
    lab.remove_fe2();
    assert!(matches!(next(&mut cut).await, Err(ControlError::Ended)));
    assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());
    kept_sender.send(Arc::new(topology("after"))).await.unwrap();
    assert_eq!(next(&mut kept).await.unwrap(), topology("after"));
    assert!(two.ack(&InForce::default()).await.is_err());
    one.ack(&InForce::default()).await.unwrap();
}

#[tokio::test]
async fn a_feed_outlives_the_age_at_which_other_connections_end() {
    let age = Duration::from_millis(300);
    let (lab, server) = ready(Limits { connection_lifetime_max: age, ..Limits::HTTPS }).await;
    let client = call(&lab, &server, &lab.member("fe1.verbund.test")).await;
    let mut feed = client.feed(&Held::default()).await.unwrap();
    sleep(3 * age).await;
    sender(&lab).send(Arc::new(topology("late"))).await.unwrap();
    assert_eq!(next(&mut feed).await.unwrap(), topology("late"));
    // Without a feed it ends like any other.
    let idle = call(&lab, &server, &lab.member("fe2.verbund.test")).await;
    let begin = Instant::now();
    while idle.ack(&InForce::default()).await.is_ok() {
        assert!(begin.elapsed() < PATIENCE);
        sleep(age / 4).await;
    }
}

#[tokio::test]
async fn a_member_has_few_feeds_and_the_newest_count() {
    let (lab, server) = ready(Limits { feeds_per_member_max: 2, ..Limits::HTTPS }).await;
    let fe1 = lab.member("fe1.verbund.test");
    let mut clients = Vec::new();
    let mut feeds = Vec::new();
    for _ in 0..3 {
        let client = call(&lab, &server, &fe1).await;
        feeds.push(client.feed(&Held::default()).await.unwrap());
        clients.push(client);
    }
    assert!(matches!(next(&mut feeds[0]).await, Err(ControlError::Ended)), "the oldest gives way");
    sender(&lab).send(Arc::new(topology("x"))).await.unwrap();
    assert_eq!(next(&mut feeds[2]).await.unwrap(), topology("x"));
    let second = lab.channel.feeds.lock().unwrap()[1].2.clone();
    second.send(Arc::new(topology("y"))).await.unwrap();
    assert_eq!(next(&mut feeds[1]).await.unwrap(), topology("y"));
}

#[tokio::test]
async fn a_member_has_places_that_strangers_cannot_take_and_not_all_of_them() {
    let limits = Limits { connections_per_source_max: 2, connections_per_member_max: 3, ..Limits::HTTPS };
    let (lab, server) = ready(limits).await;
    let (fe1, fe2) = (lab.member("fe1.verbund.test"), lab.member("fe2.verbund.test"));
    let mut held = Vec::new();
    for _ in 0..3 {
        let client = call(&lab, &server, &fe1).await;
        client.ack(&InForce::default()).await.unwrap();
        held.push(client);
    }
    let one_more = match ControlClient::connect(lab.target(&server, Some(&fe1))).await {
        Ok(client) => client.ack(&InForce::default()).await,
        Err(error) => Err(error),
    };
    assert!(one_more.is_err());
    call(&lab, &server, &fe2).await.ack(&InForce::default()).await.unwrap();
    assert_eq!(lab.target(&server, None).get("/health").await.unwrap().status, StatusCode::OK);
}

#[tokio::test]
async fn a_feed_ends_when_the_authority_drops_it_and_when_the_member_is_gone() {
    let (lab, server) = ready(Limits::HTTPS).await;
    let client = call(&lab, &server, &lab.member("fe1.verbund.test")).await;
    let mut feed = client.feed(&Held::default()).await.unwrap();
    lab.channel.feeds.lock().unwrap().clear();
    assert!(matches!(next(&mut feed).await, Err(ControlError::Ended)));
    let feed = client.feed(&Held::default()).await.unwrap();
    let sender = sender(&lab);
    drop(feed);
    drop(client);
    timeout(PATIENCE, sender.closed()).await.expect("the authority hears that the member is gone");
}

#[tokio::test]
async fn shutdown_ends_the_feeds_in_order() {
    let (lab, server) = ready(Limits { closing_deadline: PATIENCE, ..Limits::HTTPS }).await;
    let client = call(&lab, &server, &lab.member("fe1.verbund.test")).await;
    let mut feed = client.feed(&Held::default()).await.unwrap();
    assert!(server.end().await < PATIENCE / 2);
    assert!(matches!(next(&mut feed).await, Err(ControlError::Ended)));
}

#[tokio::test]
async fn what_a_member_says_is_bounded_and_read_exactly() {
    let (lab, server) = ready(Limits::HTTPS).await;
    let fe1 = lab.member("fe1.verbund.test");
    for (body, status) in
        [("null".to_owned(), "400"), ("{\"topology\":\"x\"}".into(), "400"), (format!("\"{}\"", "x".repeat(70_000)), "413")]
    {
        let mut stream = lab.connect_as(&server, Some(&fe1), &[]).await;
        let head = format!("POST /control/v1/ack HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all(head.as_bytes()).await.unwrap();
        let _ = stream.write_all(body.as_bytes()).await;
        let mut answer = Vec::new();
        let _ = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.unwrap();
        assert!(answer.starts_with(format!("HTTP/1.1 {status}").as_bytes()), "{}", String::from_utf8_lossy(&answer));
    }
}
