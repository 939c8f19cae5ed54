//! The member's side of the control channel: one HTTP/2 connection for the feed and all that is said on it.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use axum::body::{Body, Bytes};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper::{Method, Request, StatusCode, header};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use pki::{CertificateDer, Fqdn};
use serde::Serialize;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};

use super::{ACK_PATH, FEED_PATH, HEARTBEAT_EVERY, HELLO_PATH, Held, Hello, InForce, SHOW_PATH, SILENCE_MAX, Shown, Update};
use crate::client::{CallError, Target};

/// The longest line of the feed: one revocation list of the largest size allowed, in base64, and what stands around it.
pub const LINE_BYTES_MAX: usize = pki::REVOCATION_LIST_BYTES_MAX / 3 * 4 + 64 * 1024;
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
    chain: Vec<CertificateDer<'static>>,
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
        let chain = stream.get_ref().1.peer_certificates().unwrap_or_default().iter().map(|der| der.clone().into_owned()).collect();
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
        Ok(Self { target, sender, driver, chain })
    }

    /// What the authority showed in the handshake: so that it can be judged again while the connection is open (rows N5, N15).
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    /// Whom we called, and where.
    pub fn called(&self) -> (&Fqdn, SocketAddr) {
        (&self.target.name, self.target.address)
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
        Ok(Feed::of(Body::new(body), SILENCE_MAX))
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
    body: Body,
    /// When the authority said something last. Kept here: whoever waits for [`next`](Self::next) may give up and wait anew at each
    /// heartbeat of its own, and the silence goes on all the same.
    heard: Instant,
    silence_max: Duration,
    unread: Vec<u8>,
    /// How much of `unread` was searched for the end of a line.
    searched: usize,
    updates: VecDeque<Update>,
}

impl Feed {
    fn of(body: Body, silence_max: Duration) -> Self {
        Self { body, heard: Instant::now(), silence_max, unread: Vec::new(), searched: 0, updates: VecDeque::new() }
    }

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
        let frame = timeout_at(self.heard + self.silence_max, self.body.frame()).await.map_err(|_| ControlError::Silent)?;
        let frame = frame.ok_or(ControlError::Ended)?.map_err(|_| ControlError::Ended)?;
        self.heard = Instant::now();
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::convert::Infallible;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use axum::body::HttpBody;
    use hyper::body::Frame;
    use tokio::sync::mpsc;

    use super::*;

    /// A feed whose lines the test sends.
    struct Lines(mpsc::Receiver<Bytes>);

    impl HttpBody for Lines {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            self.0.poll_recv(context).map(|line| line.map(|line| Ok(Frame::data(line))))
        }
    }

    const SILENCE: Duration = Duration::from_secs(2);

    fn feed() -> (mpsc::Sender<Bytes>, Feed) {
        let (sender, lines) = mpsc::channel(8);
        (sender, Feed::of(Body::new(Lines(lines)), SILENCE))
    }

    /// Waits as a member does: it looks up at each heartbeat of its own, and waits anew.
    async fn wait(feed: &mut Feed, most: Duration) -> Option<ControlError> {
        let end = Instant::now() + most;
        while Instant::now() < end {
            match timeout(SILENCE / 10, feed.next()).await {
                Ok(Ok(_)) | Err(_) => {}
                Ok(Err(error)) => return Some(error),
            }
        }
        None
    }

    #[tokio::test]
    async fn an_authority_that_feeds_nothing_is_noticed_though_the_member_looks_up_at_its_own_heartbeats() {
        let (_authority, mut feed) = feed();
        assert!(matches!(wait(&mut feed, 5 * SILENCE).await, Some(ControlError::Silent)));
    }

    #[tokio::test]
    async fn one_whose_heart_beats_is_there() {
        let (authority, mut feed) = feed();
        tokio::spawn(async move {
            while authority.send(Bytes::from_static(b"{\"kind\":\"heartbeat\"}\n")).await.is_ok() {
                tokio::time::sleep(SILENCE / 20).await;
            }
        });
        assert!(wait(&mut feed, SILENCE + SILENCE / 4).await.is_none());
    }
}
