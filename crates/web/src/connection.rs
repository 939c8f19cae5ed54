//! One HTTP connection, from the first request to an orderly end, whatever carries it.

use std::future::Future;
use std::pin::{Pin, pin};

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::Response;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::Limits;

/// What the two sides agreed to speak.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Protocol {
    /// HTTP/1.1 (RFC 9112).
    Http1,
    /// HTTP/2 (RFC 9113).
    Http2,
}

/// Tells all connections of a listener to end.
pub(crate) type Stop = watch::Receiver<bool>;

/// Serves until the other side ends, the connection is too old, or `stop` says so.
pub(crate) async fn serve<Io>(io: Io, protocol: Protocol, router: Router, limits: &Limits, stop: Stop)
where
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (io, service) = (TokioIo::new(io), TowerToHyperService::new(router));
    match protocol {
        Protocol::Http1 => {
            let mut builder = http1::Builder::new();
            builder.timer(TokioTimer::new()).header_read_timeout(limits.head_deadline);
            builder.max_buf_size(limits.head_bytes_max).max_headers(limits.head_fields_max);
            drive(builder.serve_connection(io, service), |connection| connection.graceful_shutdown(), limits, stop).await;
        }
        Protocol::Http2 => {
            let mut builder = http2::Builder::new(TokioExecutor::new());
            builder.timer(TokioTimer::new()).max_concurrent_streams(limits.streams_max);
            builder.max_header_list_size(u32::try_from(limits.head_bytes_max).unwrap_or(u32::MAX));
            builder.keep_alive_interval(limits.head_deadline).keep_alive_timeout(limits.head_deadline);
            drive(builder.serve_connection(io, service), |connection| connection.graceful_shutdown(), limits, stop).await;
        }
    }
}

async fn drive<C>(connection: C, tell: impl Fn(Pin<&mut C>), limits: &Limits, mut stop: Stop)
where
    C: Future<Output = hyper::Result<()>>,
{
    let mut connection = pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => return log(ended),
        _ = stop.wait_for(|stop| *stop) => {}
        () = sleep(limits.connection_lifetime_max) => {}
    }
    tell(connection.as_mut());
    if let Ok(ended) = timeout(limits.closing_deadline, connection).await {
        log(ended);
    }
}

fn log(ended: hyper::Result<()>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "HTTP connection ended out of order");
    }
}

/// Ends a request that takes too long with `late`.
pub(crate) async fn within(limits: Limits, late: fn(StatusCode) -> Response, request: Request, next: Next) -> Response {
    match timeout(limits.request_deadline, next.run(request)).await {
        Ok(response) => response,
        Err(_) => late(StatusCode::REQUEST_TIMEOUT),
    }
}
