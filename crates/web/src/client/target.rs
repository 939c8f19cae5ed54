//! One server to be called, and one request to it.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http_body_util::{BodyExt as _, Limited};
use hyper::client::conn::http1;
use hyper::{Request, StatusCode, header, http};
use hyper_util::rt::TokioIo;
use pki::Fqdn;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use trust::tls::refusal_of;

/// How long connecting and the handshake may take.
const CONNECT_DEADLINE: Duration = Duration::from_secs(10);
/// How long the answer may take.
const ANSWER_DEADLINE: Duration = Duration::from_secs(20);
/// The longest answer: a revocation list is the longest that anybody asks for.
const ANSWER_BYTES_MAX: usize = pki::REVOCATION_LIST_BYTES_MAX;

/// A server: where it is, the name it must prove, and how its certificate is judged.
#[derive(Clone)]
pub struct Target {
    /// Where to connect to; nothing is believed because of it.
    pub address: SocketAddr,
    /// The name that the server's certificate must prove.
    pub name: Fqdn,
    /// The port in the URLs of this server; usually the one of `address`.
    pub port: u16,
    /// How the certificate is judged, and what is shown of ourselves.
    pub tls: Arc<ClientConfig>,
}

impl fmt::Debug for Target {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Target({} at {})", self.authority(), self.address)
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// No connection, or it broke.
    #[error("{name} at {address} cannot be reached: {detail}")]
    Io {
        /// Whom we called.
        name: Fqdn,
        /// Where.
        address: SocketAddr,
        /// What the system said, or why the server is not believed. No `source`, which would say it once more.
        detail: String,
    },
    /// It took too long.
    #[error("{name} at {address} does not answer in time")]
    Late {
        /// Whom we called.
        name: Fqdn,
        /// Where.
        address: SocketAddr,
    },
    /// What came is no HTTP, or too much.
    #[error("{name} at {address} answered something that is not understood: {detail}")]
    Strange {
        /// Whom we called.
        name: Fqdn,
        /// Where.
        address: SocketAddr,
        /// What was wrong with it.
        detail: String,
    },
}

/// An answer, whole.
#[derive(Clone, Debug)]
pub struct Response {
    /// Its status.
    pub status: StatusCode,
    /// Its header fields.
    pub headers: http::HeaderMap,
    /// Its body.
    pub body: Vec<u8>,
}

impl Target {
    /// `name:port`, as URLs and the Host field have it.
    pub fn authority(&self) -> String {
        format!("{}:{}", self.name, self.port)
    }

    /// GET of a path.
    ///
    /// # Errors
    /// No connection, no belief in the certificate, no answer in time, or too long a one.
    pub async fn get(&self, path: &str) -> Result<Response, CallError> {
        self.get_up_to(path, ANSWER_BYTES_MAX).await
    }

    /// The same for an answer of at most so many bytes.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn get_up_to(&self, path: &str, bytes_max: usize) -> Result<Response, CallError> {
        let request = Request::get(path).body(Body::empty());
        self.call_for(request.map_err(|error| self.strange(error.to_string()))?, bytes_max).await
    }

    /// POST of these octets to a path, for an answer of at most so many bytes.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn post(&self, path: &str, media_type: &'static str, body: Vec<u8>, bytes_max: usize) -> Result<Response, CallError> {
        let request = Request::post(path).header(header::CONTENT_TYPE, media_type).body(Body::from(body));
        self.call_for(request.map_err(|error| self.strange(error.to_string()))?, bytes_max).await
    }

    /// One request over a connection of its own. The URI is a path; the Host field is set here.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn call(&self, request: Request<Body>) -> Result<Response, CallError> {
        self.call_for(request, ANSWER_BYTES_MAX).await
    }

    /// The same for an answer of at most so many bytes.
    pub(super) async fn call_for(&self, request: Request<Body>, bytes_max: usize) -> Result<Response, CallError> {
        let stream = self.connect(&[]).await?;
        timeout(ANSWER_DEADLINE, self.exchange(stream, request, bytes_max)).await.map_err(|_| self.late())?
    }

    /// A verified connection that speaks one of these protocols (ALPN).
    pub(crate) async fn connect(&self, protocols: &[&[u8]]) -> Result<TlsStream<TcpStream>, CallError> {
        let mut tls = (*self.tls).clone();
        tls.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        let name = ServerName::try_from(self.name.to_string()).map_err(|error| self.strange(error.to_string()))?;
        let shake_hands = async {
            let stream = TcpStream::connect(self.address).await?;
            stream.set_nodelay(true)?;
            TlsConnector::from(Arc::new(tls)).connect(name, stream).await
        };
        let done = timeout(CONNECT_DEADLINE, shake_hands).await.map_err(|_| self.late())?;
        done.map_err(|error| self.io(&error))
    }

    async fn exchange(&self, stream: TlsStream<TcpStream>, mut request: Request<Body>, bytes_max: usize) -> Result<Response, CallError> {
        let host = self.authority().parse().map_err(|_| self.strange("the name fits no header".into()))?;
        request.headers_mut().insert(header::HOST, host);
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| self.broken(error))?;
        let talk = async {
            let answer = sender.send_request(request).await.map_err(|error| self.broken(error))?;
            let (head, body) = answer.into_parts();
            let body = Limited::new(body, bytes_max).collect().await.map_err(|error| self.strange(error.to_string()))?;
            Ok(Response { status: head.status, headers: head.headers, body: body.to_bytes().to_vec() })
        };
        let mut talk = std::pin::pin!(talk);
        // The connection must be polled for the exchange to go on, and may end before the exchange does.
        tokio::select! {
            answer = &mut talk => answer,
            _ = connection => talk.await,
        }
    }

    /// In TLS 1.3 a server that refuses our certificate says so only now: that is an error of the connection.
    pub(crate) fn broken(&self, error: hyper::Error) -> CallError {
        let io = std::error::Error::source(&error).and_then(|source| source.downcast_ref::<io::Error>());
        match io {
            Some(io) => self.io(io),
            None => self.strange(error.to_string()),
        }
    }

    /// Our own verdict comes out of the TLS library's error in our own words.
    pub(crate) fn io(&self, error: &io::Error) -> CallError {
        let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        let detail = tls.map_or_else(|| error.to_string(), |error| refusal_of(error).to_string());
        CallError::Io { name: self.name.clone(), address: self.address, detail }
    }

    pub(crate) fn late(&self) -> CallError {
        CallError::Late { name: self.name.clone(), address: self.address }
    }

    pub(crate) fn strange(&self, detail: String) -> CallError {
        CallError::Strange { name: self.name.clone(), address: self.address, detail }
    }
}
