//! A small core in place of `node::Node`: it notes what it is told and says what a test wants said.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use bytes::Bytes;
use net::Core;
use node::{Arrival, Output};
use registrar::Flow;
use sip::{Message, Reply, Status};
use trust::Peer;

/// What the core was told, in order.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Said {
    Connected(Flow),
    Message(Flow, String),
    Closed(Flow),
    Shutdown,
}

/// The core's diary, shared with the test.
#[derive(Clone)]
pub struct Log(Option<Arc<Mutex<Vec<Said>>>>);

impl Default for Log {
    fn default() -> Self {
        Self(Some(Arc::default()))
    }
}

impl Log {
    /// Notes nothing.
    pub fn quiet() -> Self {
        Self(None)
    }

    pub fn all(&self) -> Vec<Said> {
        self.0.as_ref().map(|said| said.lock().unwrap().clone()).unwrap_or_default()
    }

    pub fn count(&self, wanted: impl Fn(&Said) -> bool) -> usize {
        self.all().iter().filter(|said| wanted(said)).count()
    }

    pub fn connected(&self) -> usize {
        self.count(|said| matches!(said, Said::Connected(_)))
    }

    pub fn closed(&self) -> usize {
        self.count(|said| matches!(said, Said::Closed(_)))
    }

    pub fn messages(&self) -> usize {
        self.count(|said| matches!(said, Said::Message(..)))
    }

    /// Waits until `wanted` holds.
    pub async fn until(&self, what: &str, wanted: impl Fn(&Self) -> bool) {
        let end = Instant::now() + super::PATIENCE;
        while !wanted(self) {
            assert!(Instant::now() < end, "never came: {what}; the core was told {:?}", self.all());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn note(&self, said: Said) {
        if let Some(diary) = &self.0 {
            diary.lock().unwrap().push(said);
        }
    }
}

/// Answers every request with 200. The user of the Request-URI may ask for more: `close`, `panic`, `late` (a timer that panics
/// once), `broken` (one that always does), `slow`, `stop`, `pour`, `relay`.
pub struct TestCore {
    log: Log,
    output: VecDeque<Output>,
    timer: Option<Instant>,
    is_broken: bool,
}

impl TestCore {
    pub fn new(log: Log) -> Self {
        Self { log, output: VecDeque::new(), timer: None, is_broken: false }
    }

    /// Wants a server called.
    pub fn connect(&mut self, flow: Flow, server: &str, addresses: Vec<SocketAddr>) {
        self.output.push_back(Output::Connect { flow, server: super::fqdn(server), addresses });
    }

    /// Wants a connection ended.
    pub fn close(&mut self, flow: Flow) {
        self.output.push_back(Output::Close { flow, reason: "asked to" });
    }

    pub fn send(&mut self, flow: Flow, bytes: Bytes) {
        self.output.push_back(Output::Send { flow, bytes });
    }
}

impl Core for TestCore {
    fn handle_connected(&mut self, flow: Flow, _: Peer, arrival: Arrival, _: Instant) {
        assert!(arrival.source.is_loopback() && arrival.local.ip().is_loopback());
        self.log.note(Said::Connected(flow));
    }

    fn handle_message(&mut self, flow: Flow, message: Message, now: Instant) {
        let uri = message.request_uri_text().to_owned();
        if !message.is_request() || uri.starts_with("sip:relay@") {
            // The connections stand in pairs.
            return self.send(Flow(((flow.0 - 1) ^ 1) + 1), message.as_bytes().clone());
        }
        self.log.note(Said::Message(flow, uri.clone()));
        let wish = uri.trim_start_matches("sip:").split('@').next().unwrap_or_default();
        match wish {
            "close" => self.output.push_back(Output::Close { flow, reason: "asked to" }),
            "panic" => panic!("asked to"),
            "late" => self.timer = Some(now),
            "broken" => (self.timer, self.is_broken) = (Some(now), true),
            "slow" => std::thread::sleep(Duration::from_millis(5)),
            "stop" => std::thread::sleep(Duration::from_millis(1_000)),
            // More than any socket buffer takes.
            "pour" => (0..100).for_each(|_| self.send(flow, Bytes::from(vec![b' '; 200_000]))),
            _ => {}
        }
        self.send(flow, Reply::to(&message, Status::OK, "tag").finish());
    }

    fn handle_closed(&mut self, flow: Flow, _: Instant) {
        self.log.note(Said::Closed(flow));
    }

    fn handle_timeout(&mut self, _: Instant) {
        self.timer = self.timer.filter(|_| self.is_broken);
        panic!("asked to");
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.timer
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.output.pop_front()
    }

    fn handle_shutdown(&mut self, _: Instant) {
        self.log.note(Said::Shutdown);
    }
}
