//! The authority's side of the control channel: who may speak, and what becomes of it.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use pki::Fqdn;
use serde::de::DeserializeOwned;

use super::feeds::Feeds;
use super::{ACK_PATH, Control, ControlFault, FEED_PATH, HELLO_PATH, Held, SHOW_PATH};
use crate::Limits;
use crate::connection;
use crate::gate::Caller;
use crate::pages::refusal;

/// The longest thing a member says.
const WORDS_BYTES_MAX: usize = 64 * 1024;
/// All that a member holds: two documents and the lists, the largest there may be, in base64.
const SHOWN_BYTES_MAX: usize = 32 << 20;

#[derive(Clone)]
struct Channel {
    control: Arc<dyn Control>,
    feeds: Feeds,
}

pub(crate) fn router(control: Arc<dyn Control>, limits: Limits) -> Router {
    let channel = Channel { control, feeds: Feeds::new(limits.feeds_per_member_max) };
    Router::new()
        .route(HELLO_PATH, post(hello))
        .route(FEED_PATH, get(feed))
        .route(ACK_PATH, post(ack))
        .route(SHOW_PATH, post(show))
        .with_state(channel)
}

/// Why a request is not done.
struct Refused {
    status: StatusCode,
    words: String,
}

impl Refused {
    fn new(status: StatusCode, words: impl Into<String>) -> Self {
        Self { status, words: words.into() }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        refusal(self.status, &self.words)
    }
}

/// Row N30: whoever is no member hears that, and nothing else.
fn member(caller: &Caller) -> Result<Fqdn, Refused> {
    caller.member().cloned().ok_or_else(stranger)
}

fn stranger() -> Refused {
    Refused::new(StatusCode::FORBIDDEN, "this is for servers of the organisation, which show their certificate")
}

async fn hello(State(channel): State<Channel>, Extension(caller): Extension<Caller>, request: Request) -> Result<StatusCode, Refused> {
    let (peer, source) = caller.member_at().map(|(peer, source)| (peer.clone(), source)).ok_or_else(stranger)?;
    let hello = read(request, WORDS_BYTES_MAX).await?;
    Arc::clone(&channel.control).hello(peer.clone(), source, hello).await.map_err(|fault| answer(&peer, &fault))?;
    Ok(StatusCode::NO_CONTENT)
}

async fn ack(State(channel): State<Channel>, Extension(caller): Extension<Caller>, request: Request) -> Result<StatusCode, Refused> {
    let peer = member(&caller)?;
    let in_force = read(request, WORDS_BYTES_MAX).await?;
    channel.control.ack(&peer, in_force).await.map_err(|fault| answer(&peer, &fault))?;
    Ok(StatusCode::NO_CONTENT)
}

async fn show(State(channel): State<Channel>, Extension(caller): Extension<Caller>, request: Request) -> Result<StatusCode, Refused> {
    let peer = member(&caller)?;
    if !channel.control.expects(&peer) {
        return Err(Refused::new(StatusCode::CONFLICT, "nobody asked for what you hold"));
    }
    let shown = read(request, SHOWN_BYTES_MAX).await?;
    Arc::clone(&channel.control).show(peer.clone(), shown).await.map_err(|fault| answer(&peer, &fault))?;
    Ok(StatusCode::NO_CONTENT)
}

async fn feed(State(channel): State<Channel>, Extension(caller): Extension<Caller>, request: Request) -> Result<Response, Refused> {
    let peer = member(&caller)?;
    let held = held(request.uri().query().unwrap_or_default())
        .ok_or_else(|| Refused::new(StatusCode::BAD_REQUEST, "write topology=N&bundle=N&users=N, each a number"))?;
    let updates = channel.control.feed(&peer, held).await.map_err(|fault| answer(&peer, &fault))?;
    let body = channel.feeds.start(peer, updates, caller.ties.hold());
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], Body::new(body)).into_response())
}

fn answer(peer: &Fqdn, fault: &ControlFault) -> Refused {
    let status = match fault {
        ControlFault::NotInTopology(_) => StatusCode::FORBIDDEN,
        ControlFault::Contradiction(_) => StatusCode::CONFLICT,
        ControlFault::Unavailable(reason) => {
            tracing::error!(%peer, reason, "a member's request was not done");
            StatusCode::SERVICE_UNAVAILABLE
        }
    };
    Refused::new(status, fault.to_string())
}

async fn read<T: DeserializeOwned>(request: Request, bytes_max: usize) -> Result<T, Refused> {
    let body = connection::body(request, bytes_max).await;
    let body = body.map_err(|_| Refused::new(StatusCode::PAYLOAD_TOO_LARGE, "this is too long, or broke off"))?;
    serde_json::from_slice(&body)
        .map_err(|error| Refused::new(StatusCode::BAD_REQUEST, format!("this is not what is wanted here: {error}")))
}

/// What a member says that it holds; what it leaves out, it lacks.
fn held(query: &str) -> Option<Held> {
    let mut held = Held::default();
    for part in query.split('&').filter(|part| !part.is_empty()) {
        let (name, number) = part.split_once('=')?;
        let number = number.parse().ok()?;
        match name {
            "topology" => held.topology = number,
            "bundle" => held.bundle = number,
            "users" => held.users = number,
            // A newer member has more to say.
            _ => {}
        }
    }
    Some(held)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(query: &str, wanted: Option<(u64, u64, u64)>) {
        assert_eq!(held(query).map(|held| (held.topology, held.bundle, held.users)), wanted, "{query}");
    }

    #[test]
    fn what_a_member_holds_is_three_numbers() {
        check("", Some((0, 0, 0)));
        check("topology=12&bundle=3&users=4", Some((12, 3, 4)));
        check("users=4&later=1", Some((0, 0, 4)));
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for query in ["topology", "topology=", "topology=-1", "topology=x", "topology=99999999999999999999"] {
            check(query, None);
        }
    }
}
