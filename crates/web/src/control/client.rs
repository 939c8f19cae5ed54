//! The member's side of the control channel: one HTTP/2 connection for the feed and all that is said on it.

use std::collections::VecDeque;
use std::time::Duration;

use axum::body::{Body, Bytes};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper::{Method, Request, StatusCode, header};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use serde::Serialize;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::{ACK_PATH, FEED_PATH, HEARTBEAT_EVERY, HELLO_PATH, Held, Hello, InForce, SHOW_PATH, SILENCE_MAX, Shown, Update};
use crate::client::{CallError, Target};

/// The longest line of the feed: a revocation list or a topology of the largest size allowed, and its coding.
pub const LINE_BYTES_MAX: usize = 8 << 20;
/// How long an answer may take.
const ANSWER_DEADLINE: Duration = Duration::from_secs(10);
/// The longest answer besides the feed.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Why the control channel ended or did not begin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// No connection, or no answer.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The authority does not take us for a member (row N30).
    #[error("the authority refuses us ({status}): {detail}")]
    Refused {
        /// Its status.
        status: StatusCode,
        /// Its words.
        detail: String,
    },
    /// It was silent for longer than its heartbeat allows.
    #[error("the authority was silent for {} s", SILENCE_MAX.as_secs())]
    Silent,
    /// It ended the feed.
    #[error("the authority ended the feed")]
    Ended,
    /// A line that is none of ours, or too long.
    #[error("the feed is not understood: {0}")]
    Strange(String),
}

/// A connection to the authority. Dropping it ends it and the feed.
#[derive(Debug)]
pub struct ControlClient {
    target: Target,
    sender: http2::SendRequest<Body>,
    driver: JoinHandle<()>,
}

impl Drop for ControlClient {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl ControlClient {
    /// Connects and proves who we are (the target's TLS configuration shows our certificate). In TLS 1.3 that
    /// we are believed is known only after the first answer.
    ///
    /// # Errors
    /// The authority is not there, or is not the authority.
    pub async fn connect(target: Target) -> Result<Self, ControlError> {
        let stream = target.connect(&[b"h2"]).await?;
        let mut builder = http2::Builder::new(TokioExecutor::new());
        // Pings notice a dead authority also where nothing is said.
        builder.timer(TokioTimer::new()).keep_alive_interval(HEARTBEAT_EVERY).keep_alive_timeout(SILENCE_MAX).keep_alive_while_idle(true);
        let handshake = timeout(ANSWER_DEADLINE, builder.handshake(TokioIo::new(stream))).await.map_err(|_| target.late())?;
        let (sender, connection) = handshake.map_err(|error| target.broken(error))?;
        let driver = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "control connection ended out of order");
            }
        });
        Ok(Self { target, sender, driver })
    }

    /// Says what we are.
    ///
    /// # Errors
    /// The authority refuses, or is gone.
    pub async fn hello(&self, hello: &Hello) -> Result<(), ControlError> {
        self.post(HELLO_PATH, hello).await
    }

    /// Says what is in force here. To be repeated every [`HEARTBEAT_EVERY`], which is how the authority knows
    /// that we are there.
    ///
    /// # Errors
    /// The authority refuses, or is gone.
    pub async fn ack(&self, in_force: &InForce) -> Result<(), ControlError> {
        self.post(ACK_PATH, in_force).await
    }

    /// Shows what we hold, as the authority asked for ([`Update::Show`]).
    ///
    /// # Errors
    /// The authority refuses, or is gone.
    pub async fn show(&self, shown: &Shown) -> Result<(), ControlError> {
        self.post(SHOW_PATH, shown).await
    }

    /// Asks for all that we lack and every change from now on.
    ///
    /// # Errors
    /// The authority refuses, or is gone.
    pub async fn feed(&self, held: &Held) -> Result<Feed, ControlError> {
        let path = format!("{FEED_PATH}?topology={}&bundle={}&users={}", held.topology, held.bundle, held.users);
        let body = self.ask(Method::GET, &path, Body::empty()).await?;
        Ok(Feed { body, unread: Vec::new(), searched: 0, updates: VecDeque::new() })
    }

    async fn post(&self, path: &str, record: &impl Serialize) -> Result<(), ControlError> {
        let json = serde_json::to_vec(record).map_err(|error| ControlError::Strange(error.to_string()))?;
        self.ask(Method::POST, path, Body::from(json)).await.map(drop)
    }

    async fn ask(&self, method: Method, path: &str, body: Body) -> Result<Incoming, ControlError> {
        let uri = format!("https://{}{path}", self.target.authority());
        let request = Request::builder().method(method).uri(uri).header(header::CONTENT_TYPE, "application/json").body(body);
        let request = request.map_err(|error| ControlError::Strange(error.to_string()))?;
        let mut sender = self.sender.clone();
        let answer = timeout(ANSWER_DEADLINE, sender.send_request(request)).await.map_err(|_| self.target.late())?;
        let answer = answer.map_err(|error| self.target.broken(error))?;
        if answer.status().is_success() {
            return Ok(answer.into_body());
        }
        let status = answer.status();
        let words = timeout(ANSWER_DEADLINE, Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect()).await;
        let detail = words.ok().and_then(Result::ok).map(|words| detail(&words.to_bytes())).unwrap_or_default();
        Err(ControlError::Refused { status, detail })
    }
}

/// The words of a refusal, without what might harm a log.
fn detail(body: &[u8]) -> String {
    let json: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let text = json.get("error").or_else(|| json.get("detail")).and_then(serde_json::Value::as_str).unwrap_or_default();
    text.chars().filter(|character| !character.is_control()).take(200).collect()
}

/// The feed: one [`Update`] after the other.
#[derive(Debug)]
pub struct Feed {
    body: Incoming,
    unread: Vec<u8>,
    /// How much of `unread` was searched for the end of a line.
    searched: usize,
    updates: VecDeque<Update>,
}

impl Feed {
    /// The next change. Heartbeats are not told, but a silence longer than [`SILENCE_MAX`] ends the feed.
    ///
    /// # Errors
    /// The authority is gone, silent, or not understood. The feed is of no more use then.
    pub async fn next(&mut self) -> Result<Update, ControlError> {
        loop {
            match self.updates.pop_front() {
                Some(Update::Heartbeat) => {}
                Some(Update::Unknown) => tracing::info!("the authority says something that this version does not know"),
                Some(update) => return Ok(update),
                None => self.read().await?,
            }
        }
    }

    async fn read(&mut self) -> Result<(), ControlError> {
        let frame = timeout(SILENCE_MAX, self.body.frame()).await.map_err(|_| ControlError::Silent)?;
        let frame = frame.ok_or(ControlError::Ended)?.map_err(|_| ControlError::Ended)?;
        if let Ok(data) = frame.into_data() {
            self.take(&data)?;
        }
        Ok(())
    }

    fn take(&mut self, data: &Bytes) -> Result<(), ControlError> {
        self.unread.extend_from_slice(data);
        while let Some(length) = self.unread[self.searched..].iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.unread.drain(..=self.searched + length).collect();
            self.searched = 0;
            // serde names the place, never a value.
            self.updates.push_back(serde_json::from_slice(&line).map_err(|error| ControlError::Strange(error.to_string()))?);
        }
        self.searched = self.unread.len();
        if self.searched > LINE_BYTES_MAX {
            return Err(ControlError::Strange(format!("a line is longer than {LINE_BYTES_MAX} bytes")));
        }
        Ok(())
    }
}
