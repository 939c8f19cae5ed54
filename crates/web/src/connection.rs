//! One HTTP connection, from the first request to an orderly end, whatever carries it.

use std::convert::Infallible;
use std::future::Future;
use std::pin::{Pin, pin};

use axum::Router;
use axum::body::{Bytes, HttpBody as _, to_bytes};
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::Service;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::Limits;
use crate::gate::Caller;

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

/// The routes, with the caller put into each request.
struct Routes {
    router: Router,
    caller: Caller,
}

impl Service<hyper::Request<Incoming>> for Routes {
    type Response = Response;
    type Error = Infallible;
    type Future = <TowerToHyperService<Router> as Service<hyper::Request<Incoming>>>::Future;

    fn call(&self, mut request: hyper::Request<Incoming>) -> Self::Future {
        request.extensions_mut().insert(self.caller.clone());
        TowerToHyperService::new(self.router.clone()).call(request)
    }
}

/// Serves until the other side ends, the connection is too old and nothing holds it, `stop` says so, or it is cut.
pub(crate) async fn serve<Io>(io: Io, protocol: Protocol, router: Router, caller: Caller, limits: &Limits, stop: Stop)
where
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let ties = caller.ties.clone();
    let served = serve_uncut(io, protocol, Routes { router, caller }, limits, stop);
    tokio::select! {
        () = served => {}
        () = ties.until_cut() => {}
    }
}

async fn serve_uncut<Io>(io: Io, protocol: Protocol, routes: Routes, limits: &Limits, mut stop: Stop)
where
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (io, ties) = (TokioIo::new(io), routes.caller.ties.clone());
    let old = async {
        sleep(limits.connection_lifetime_max).await;
        ties.until_free().await;
    };
    let end = async {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => {}
            () = old => {}
        }
        ties.end();
    };
    match protocol {
        Protocol::Http1 => {
            let mut builder = http1::Builder::new();
            builder.timer(TokioTimer::new()).header_read_timeout(limits.head_deadline);
            builder.max_buf_size(limits.head_bytes_max).max_headers(limits.head_fields_max);
            drive(builder.serve_connection(io, routes), |connection| connection.graceful_shutdown(), limits, end).await;
        }
        Protocol::Http2 => {
            let mut builder = http2::Builder::new(TokioExecutor::new());
            builder.timer(TokioTimer::new()).max_concurrent_streams(limits.streams_max);
            builder.max_header_list_size(u32::try_from(limits.head_bytes_max).unwrap_or(u32::MAX));
            builder.keep_alive_interval(limits.head_deadline).keep_alive_timeout(limits.head_deadline);
            drive(builder.serve_connection(io, routes), |connection| connection.graceful_shutdown(), limits, end).await;
        }
    }
}

async fn drive<C>(connection: C, tell: impl Fn(Pin<&mut C>), limits: &Limits, end: impl Future<Output = ()>)
where
    C: Future<Output = hyper::Result<()>>,
{
    let mut connection = pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => return log(ended),
        () = end => {}
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

/// The body of a request is longer than it may be, or broke off.
pub(crate) struct NoBody;

/// The body of a request. One that says to be too long is not waited for.
pub(crate) async fn body(request: Request, bytes_max: usize) -> Result<Bytes, NoBody> {
    if request.body().size_hint().lower() > bytes_max as u64 {
        return Err(NoBody);
    }
    to_bytes(request.into_body(), bytes_max).await.map_err(|_| NoBody)
}
