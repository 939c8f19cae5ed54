//! The HTTPS listener: accepts, shakes hands, serves, and ends in order.
//!
//! There is no clear text: bytes that are not TLS end the connection before anything of them is parsed (row N12).

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use metrics::{counter, gauge};
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::connection::{self, Protocol, Stop};
use crate::metrics::Metrics;
use crate::places::Places;
use crate::{Limits, Site, pages};

/// How long to rest when the system has no more file descriptors.
const ACCEPT_REST: Duration = Duration::from_millis(100);
/// How often observations are folded.
const KEEP_SMALL_EVERY: Duration = Duration::from_secs(10);

/// Serves HTTPS on `listener` until `shutdown` is done; returns when the last connection has ended, at the latest
/// [`Limits::closing_deadline`] later. `tls` decides on versions, suites, the certificate, and offers `h2` and
/// `http/1.1` (`trust::tls::web_config`).
pub async fn serve(listener: TcpListener, tls: Arc<ServerConfig>, site: Site, limits: Limits, shutdown: impl Future<Output = ()> + Send) {
    let metrics = site.metrics.clone();
    let host = Arc::new(Host { acceptor: TlsAcceptor::from(tls), router: pages::router(site, limits), limits });
    let (stop, stopped) = watch::channel(false);
    let mut connections = JoinSet::new();
    tokio::select! {
        () = shutdown => {}
        () = accept(&listener, &host, &stopped, &mut connections) => {}
        () = keep_small(&metrics) => {}
    }
    drop(listener);
    let _ = stop.send(true);
    // Each connection ends by itself in time; this bound is for one that is still in its handshake.
    let all_ended = async { while connections.join_next().await.is_some() {} };
    let _ = timeout(limits.closing_deadline, all_ended).await;
}

struct Host {
    acceptor: TlsAcceptor,
    router: Router,
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

async fn accept(listener: &TcpListener, host: &Arc<Host>, stop: &Stop, connections: &mut JoinSet<()>) {
    let places = Places::new(&host.limits);
    loop {
        let (stream, source) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "HTTPS connection not accepted");
                sleep(ACCEPT_REST).await;
                continue;
            }
        };
        // Those that have ended leave no trace.
        while connections.try_join_next().is_some() {}
        let Some(place) = places.take(source.ip()) else {
            counter!("verbund_https_handshakes_total", "result" => "too_many").increment(1);
            continue;
        };
        let (host, stop) = (host.clone(), stop.clone());
        connections.spawn(async move {
            gauge!("verbund_https_connections").increment(1.0);
            serve_one(&host, stream, source, stop).await;
            gauge!("verbund_https_connections").decrement(1.0);
            drop(place);
        });
    }
}

async fn serve_one(host: &Host, stream: TcpStream, source: SocketAddr, mut stop: Stop) {
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
        Ok(Ok((stream, protocol))) => connection::serve(stream, protocol, host.router.clone(), &host.limits, stop).await,
        Ok(Err(error)) => tracing::info!(%source, %error, "HTTPS handshake failed"),
        Err(_) => tracing::info!(%source, "HTTPS handshake took too long"),
    }
}

async fn shake_hands(host: &Host, stream: TcpStream) -> io::Result<(TlsStream<TcpStream>, Protocol)> {
    stream.set_nodelay(true)?;
    let stream = host.acceptor.accept(stream).await?;
    let protocol = match stream.get_ref().1.alpn_protocol() {
        Some(b"h2") => Protocol::Http2,
        // The TLS library chose from the two we offer; who named none speaks HTTP/1.1.
        Some(_) | None => Protocol::Http1,
    };
    Ok((stream, protocol))
}
