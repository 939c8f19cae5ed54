//! The HTTPS listener: accepts, shakes hands, asks the gate, serves, and ends in order.
//!
//! There is no clear text: bytes that are not TLS end the connection before anything of them is parsed (row N12).

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use metrics::{counter, gauge};
use pki::{CertificateDer, Fqdn};
use registrar::Source;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use trust::tls::Outcome;
use trust::{Peer, Refusal};

use crate::connection::{self, Protocol, Stop};
use crate::gate::{Caller, Gate, Ties};
use crate::listener::{self, Accepted};
use crate::metrics::Metrics;
use crate::places::{Place, Places};
use crate::{Limits, Site, pages};

/// How often observations are folded.
const KEEP_SMALL_EVERY: Duration = Duration::from_secs(10);

/// How strangers become callers.
#[derive(Clone)]
pub struct Door {
    /// Versions, suites, the certificate, whether one is asked for; offers `h2` and `http/1.1`
    /// (`trust::tls::web_config`).
    pub tls: Arc<ServerConfig>,
    /// Who judges the certificates that are shown; `None` where none is asked for.
    pub gate: Option<Arc<dyn Gate>>,
}

/// Serves HTTPS on `listener` until `shutdown` is done; returns when the last connection has ended, at the latest
/// [`Limits::closing_deadline`] later.
pub async fn serve(listener: TcpListener, door: Door, site: Site, limits: Limits, shutdown: impl Future<Output = ()> + Send) {
    let (metrics, gate) = (site.metrics.clone(), door.gate.clone());
    let host = Arc::new(Host {
        acceptor: TlsAcceptor::from(door.tls),
        gate: door.gate,
        router: pages::router(site, limits),
        members: Places::of_members(&limits),
        limits,
    });
    let shutdown = async {
        tokio::select! {
            () = shutdown => {}
            () = keep_small(&metrics) => {}
        }
    };
    let serve_one = |accepted| {
        let host = Arc::clone(&host);
        async move {
            gauge!("verbund_https_connections").increment(1.0);
            serve_one(&host, accepted).await;
            gauge!("verbund_https_connections").decrement(1.0);
        }
    };
    let expects = |address| gate.as_ref().is_some_and(|gate| gate.expects(address));
    listener::run(listener, limits, &expects, shutdown, serve_one).await;
}

struct Host {
    acceptor: TlsAcceptor,
    gate: Option<Arc<dyn Gate>>,
    router: Router,
    members: Places<Fqdn>,
    limits: Limits,
}

async fn keep_small(metrics: &Metrics) {
    let mut ticks = interval(KEEP_SMALL_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        metrics.keep_small();
    }
}

async fn serve_one(host: &Host, Accepted { stream, source, place, mut stop }: Accepted) {
    let handshake = tokio::select! {
        handshake = timeout(host.limits.handshake_deadline, shake_hands(host, stream)) => handshake,
        _ = stop.wait_for(|stop| *stop) => return,
    };
    let result = match &handshake {
        Ok(Ok(_)) => "ok",
        Ok(Err(_)) => "failed",
        Err(_) => "too_slow",
    };
    counter!("verbund_https_handshakes_total", "result" => result).increment(1);
    match handshake {
        Ok(Ok(stream)) => admit(host, stream, source, place, stop).await,
        Ok(Err(error)) => {
            tracing::info!(%source, %error, "HTTPS handshake failed");
            tell_of_failure(host, source, &error);
        }
        Err(_) => tracing::info!(%source, "HTTPS handshake took too long"),
    }
}

async fn shake_hands(host: &Host, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
    stream.set_nodelay(true)?;
    host.acceptor.accept(stream).await
}

/// A certificate that was refused in the handshake is a verdict, and leaves its record.
fn tell_of_failure(host: &Host, source: SocketAddr, error: &io::Error) {
    let of_tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    if let (Some(gate), Some(error)) = (&host.gate, of_tls) {
        let _ = gate.admit(source, Outcome::Failed(error));
    }
}

/// Asks who is there, and serves him.
async fn admit(host: &Host, stream: TlsStream<TcpStream>, source: SocketAddr, place: Place<Source>, stop: Stop) {
    let tls = stream.get_ref().1;
    let protocol = match tls.alpn_protocol() {
        Some(b"h2") => Protocol::Http2,
        // The TLS library chose from the two we offer; who named none speaks HTTP/1.1.
        Some(_) | None => Protocol::Http1,
    };
    let chain: Vec<_> = tls.peer_certificates().unwrap_or_default().iter().map(|der| der.clone().into_owned()).collect();
    let peer = match &host.gate {
        None => None,
        Some(gate) => match gate.admit(source, Outcome::Finished(tls)) {
            Ok(peer) => Some(peer),
            Err(refusal) => return tracing::warn!(%source, %refusal, "HTTPS peer refused"),
        },
    };
    let Some(_place) = seat(host, peer.as_ref(), place) else {
        return tracing::warn!(%source, "HTTPS connection of a member closed: it has too many");
    };
    let caller = Caller { peer, source: Some(source.ip().to_canonical()), ties: Ties::new() };
    let served = connection::serve(stream, protocol, host.router.clone(), caller, &host.limits, stop);
    tokio::select! {
        () = served => {}
        refusal = until_refused(host, source, &chain) => tracing::warn!(%source, %refusal, "HTTPS connection cut"),
    }
}

/// The place of a connection: a stranger's, or one of the member's own.
enum Seat {
    Stranger { _place: Place<Source> },
    Member { _place: Place<Fqdn> },
}

fn seat(host: &Host, peer: Option<&Peer>, place: Place<Source>) -> Option<Seat> {
    match peer {
        Some(Peer::TrustedServer { name, .. }) => host.members.take(name.clone()).map(|place| Seat::Member { _place: place }),
        Some(Peer::Client { .. }) | None => Some(Seat::Stranger { _place: place }),
    }
}

/// Judges again whenever the policy changes; done when the answer is no. Who showed no certificate has
/// nothing that could be taken from him.
async fn until_refused(host: &Host, source: SocketAddr, chain: &[CertificateDer<'static>]) -> Refusal {
    let Some(gate) = host.gate.as_ref().filter(|_| !chain.is_empty()) else { return std::future::pending().await };
    let mut changed = gate.changed();
    loop {
        // Once before the first wait: the policy may have changed since the handshake.
        changed.mark_unchanged();
        if let Err(refusal) = gate.still_admits(source, chain) {
            return refusal;
        }
        if changed.changed().await.is_err() {
            // Whoever held the policy is gone, and so will we be.
            return std::future::pending().await;
        }
    }
}
