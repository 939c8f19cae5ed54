//! A TCP listener: accepts within its limits, and ends in order.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use metrics::counter;
use registrar::Source;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::Limits;
use crate::connection::Stop;
use crate::places::{Place, Places};

/// How long to rest when the system has no more file descriptors.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// A connection that was accepted, and its place.
pub(crate) struct Accepted {
    pub(crate) stream: TcpStream,
    pub(crate) source: SocketAddr,
    pub(crate) place: Place<Source>,
    pub(crate) stop: Stop,
}

/// Says of a source whether a server of the organisation is to be found there.
pub(crate) type Expects<'a> = &'a (dyn Fn(IpAddr) -> bool + Send + Sync);

/// Accepts until `shutdown` is done; returns when the last connection has ended, at the latest
/// [`Limits::closing_deadline`] later.
pub(crate) async fn run<F>(
    listener: TcpListener,
    limits: Limits,
    expects: Expects<'_>,
    shutdown: impl Future<Output = ()> + Send,
    serve_one: impl Fn(Accepted) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let (stop, stopped) = watch::channel(false);
    let mut connections = JoinSet::new();
    tokio::select! {
        () = shutdown => {}
        () = accept(&listener, &limits, expects, &stopped, &mut connections, &serve_one) => {}
    }
    drop(listener);
    let _ = stop.send(true);
    // Each connection ends by itself in time; this bound is for one that is still in its handshake.
    let all_ended = async { while connections.join_next().await.is_some() {} };
    let _ = timeout(limits.closing_deadline, all_ended).await;
}

async fn accept<F>(
    listener: &TcpListener,
    limits: &Limits,
    expects: Expects<'_>,
    stop: &Stop,
    connections: &mut JoinSet<()>,
    serve_one: &impl Fn(Accepted) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let (places, kept) = (Places::of_sources(limits), Places::of_expected(limits));
    loop {
        let (stream, source) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "HTTP connection not accepted");
                sleep(ACCEPT_REST).await;
                continue;
            }
        };
        // Those that have ended leave no trace.
        while connections.try_join_next().is_some() {}
        let expected = expects(source.ip()).then(|| kept.take(source.ip().into())).flatten();
        let Some(place) = expected.or_else(|| places.take(source.ip().into())) else {
            counter!("verbund_https_handshakes_total", "result" => "too_many").increment(1);
            continue;
        };
        connections.spawn(serve_one(Accepted { stream, source, place, stop: stop.clone() }));
    }
}
