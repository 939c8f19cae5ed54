//! The command's side of the admin API: typed questions, and errors that say what to do.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::body::Body;
use http_body_util::{BodyExt as _, Limited};
use hyper::client::conn::http1;
use hyper::{Method, Request, Response, StatusCode, body::Incoming, header};
use hyper_util::rt::TokioIo;
use pki::Fqdn;
use registrar::UserName;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::{
    Added, AuditLink, AuditVerdict, BackupNote, CaReplacement, CaRequest, Certificate, Chain, Created, Decision, Document, Expiry,
    Judgement, LeftBehind, Member, Moved, NewHome, NewPassword, NewReplacement, NewServer, NewUser, Noted, Password, Problem,
    PublishedTopology, Revocation, SOCKET, Spread, Status, User, VERSION,
};

/// How long a server may take for an answer; its own limit is shorter.
const ANSWER_DEADLINE: Duration = Duration::from_secs(20);
/// The longest answer.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// Nobody listens.
    #[error("no server runs on {}: start it with `verbund up --data {}`", data.display(), data.display())]
    NoServer {
        /// The data directory.
        data: PathBuf,
    },
    /// It is someone else's.
    #[error("permission denied: only the owner of {} (or root) administers its server; use that account", data.display())]
    NotOwner {
        /// The data directory.
        data: PathBuf,
    },
    /// The server said no.
    #[error(transparent)]
    Refused(Problem),
    /// The server is there, but silent.
    #[error("the server on {} does not answer: look at its log, or restart it", data.display())]
    Silent {
        /// The data directory.
        data: PathBuf,
    },
    /// The answer is not one.
    #[error("the server on {} answered something this command does not understand ({detail}): are both of the same version?", data.display())]
    Strange {
        /// The data directory.
        data: PathBuf,
        /// What was wrong with it.
        detail: String,
    },
    /// The operating system refused.
    #[error("cannot reach the server on {}: {source}", data.display())]
    Io {
        /// The data directory.
        data: PathBuf,
        /// What it said.
        source: io::Error,
    },
}

/// Asks the server that runs on a data directory. Each question is a connection of its own.
#[derive(Clone, Debug)]
pub struct Client {
    data: PathBuf,
}

impl Client {
    /// For the server on `data`; nothing is opened yet.
    pub fn new(data: &Path) -> Self {
        Self { data: data.to_owned() }
    }

    /// See [`Admin::status`](super::Admin::status); so with the others.
    pub async fn status(&self) -> Result<Status, ClientError> {
        self.read(Method::GET, "/status", None::<()>).await
    }

    /// All users.
    pub async fn users(&self) -> Result<Vec<User>, ClientError> {
        self.read(Method::GET, "/users", None::<()>).await
    }

    /// Makes a user.
    pub async fn add_user(&self, user: &UserName, password: Option<Password>, pool: Option<&Fqdn>) -> Result<Created, ClientError> {
        let pool = pool.map(Fqdn::to_string);
        self.read(Method::POST, "/users", Some(NewUser { name: user.to_string(), password, pool })).await
    }

    /// Sets a password.
    pub async fn set_password(&self, user: &UserName, password: Option<Password>) -> Result<Created, ClientError> {
        self.read(Method::PUT, &format!("/users/{user}/password"), Some(NewPassword { password })).await
    }

    /// Takes a user out.
    pub async fn remove_user(&self, user: &UserName) -> Result<(), ClientError> {
        self.ask(Method::DELETE, &format!("/users/{user}"), None::<()>).await.map(drop)
    }

    /// Gives a user another home.
    pub async fn move_user(&self, user: &UserName, pool: &Fqdn) -> Result<Moved, ClientError> {
        self.read(Method::PUT, &format!("/users/{user}/pool"), Some(NewHome { pool: pool.to_string() })).await
    }

    /// Has a certificate issued for a user's request in PEM.
    pub async fn sign_user(&self, user: &UserName, request: String) -> Result<Chain, ClientError> {
        self.read(Method::POST, &format!("/users/{user}/certificate"), Some(Document { document: request })).await
    }

    /// The certificates in force.
    pub async fn certificates(&self) -> Result<Vec<Certificate>, ClientError> {
        self.read(Method::GET, "/certificates", None::<()>).await
    }

    /// The latest verdicts, the newest first: at most `limit` that said yes, and as many that said no.
    pub async fn decisions(&self, limit: usize) -> Result<Vec<Decision>, ClientError> {
        self.read(Method::GET, &format!("/decisions?limit={limit}"), None::<()>).await
    }

    /// See [`Organisation::add_server`](super::Organisation::add_server); so with the others.
    pub async fn add_server(&self, name: &Fqdn, role: &str, pool: Option<&Fqdn>, new_pool: bool) -> Result<Added, ClientError> {
        let server = NewServer { name: name.to_string(), role: role.to_owned(), pool: pool.map(Fqdn::to_string), new_pool };
        self.read(Method::POST, "/servers", Some(server)).await
    }

    /// Takes a server out of the topology.
    pub async fn remove_server(&self, name: &Fqdn) -> Result<Spread, ClientError> {
        self.read(Method::DELETE, &format!("/servers/{name}"), None::<()>).await
    }

    /// Every listed server, and what is in force there.
    pub async fn members(&self) -> Result<Vec<Member>, ClientError> {
        self.read(Method::GET, "/servers", None::<()>).await
    }

    /// Has a certificate issued for a request in PEM.
    pub async fn sign(&self, server: &Fqdn, request: String) -> Result<Chain, ClientError> {
        self.read(Method::POST, &format!("/servers/{server}/certificate"), Some(Document { document: request })).await
    }

    /// Signs and publishes a topology.
    pub async fn publish(&self, document: String) -> Result<Spread, ClientError> {
        self.read(Method::POST, "/topology", Some(Document { document })).await
    }

    /// Asks why a topology could not be published now.
    pub async fn judge(&self, document: String) -> Result<Judgement, ClientError> {
        self.read(Method::POST, "/topology/judgement", Some(Document { document })).await
    }

    /// The topology of this version, or the one in force.
    pub async fn topology(&self, version: Option<u64>) -> Result<PublishedTopology, ClientError> {
        let path = version.map_or_else(|| "/topology".to_owned(), |version| format!("/topology/{version}"));
        self.read(Method::GET, &path, None::<()>).await
    }

    /// The versions published so far, the newest first.
    pub async fn history(&self, limit: usize) -> Result<Vec<PublishedTopology>, ClientError> {
        self.read(Method::GET, &format!("/topology/history?limit={limit}"), None::<()>).await
    }

    /// Every certificate that counts now or later, the first to end first.
    pub async fn ledger(&self, limit: usize) -> Result<Vec<Certificate>, ClientError> {
        self.read(Method::GET, &format!("/ledger?limit={limit}"), None::<()>).await
    }

    /// Everything in the organisation that ends, the first to end first.
    pub async fn expiries(&self) -> Result<Vec<Expiry>, ClientError> {
        self.read(Method::GET, "/expiries", None::<()>).await
    }

    /// Revokes every certificate of this name.
    pub async fn revoke(&self, name: &str) -> Result<Spread, ClientError> {
        self.read(Method::POST, "/revocations", Some(Revocation { name: name.to_owned() })).await
    }

    /// Begins to replace the CA.
    pub async fn replace_ca(&self, new: NewReplacement) -> Result<CaReplacement, ClientError> {
        self.read(Method::POST, "/ca/replacement", Some(new)).await
    }

    /// Makes the keys of new issuing CAs, and what an offline root has to sign.
    pub async fn request_ca(&self, new: NewReplacement) -> Result<Vec<CaRequest>, ClientError> {
        self.read(Method::POST, "/ca/requests", Some(new)).await
    }

    /// How far a replacement of the CA has come.
    pub async fn ca_replacement(&self) -> Result<Option<CaReplacement>, ClientError> {
        self.read(Method::GET, "/ca/replacement", None::<()>).await
    }

    /// Gives it up.
    pub async fn give_up_ca_replacement(&self) -> Result<(), ClientError> {
        self.ask(Method::DELETE, "/ca/replacement", None::<()>).await.map(drop)
    }

    /// Ends the waiting of an authority that was put back from a backup.
    pub async fn go_on(&self) -> Result<LeftBehind, ClientError> {
        self.read(Method::POST, "/recovery", None::<()>).await
    }

    /// Has it entered into the audit log that a backup was written.
    pub async fn backed_up(&self, sha256: &str) -> Result<(), ClientError> {
        self.ask(Method::POST, "/backups", Some(BackupNote { sha256: sha256.to_owned() })).await.map(drop)
    }

    /// The newest links of the audit log first.
    pub async fn audit(&self, limit: usize) -> Result<Vec<AuditLink>, ClientError> {
        self.read(Method::GET, &format!("/audit?limit={limit}"), None::<()>).await
    }

    /// Has the whole audit log read.
    pub async fn verify_audit(&self, noted: Vec<String>) -> Result<AuditVerdict, ClientError> {
        self.read(Method::POST, "/audit/verification", Some(Noted { heads: noted })).await
    }

    async fn read<T: DeserializeOwned>(&self, method: Method, path: &str, body: Option<impl Serialize>) -> Result<T, ClientError> {
        let answer = self.ask(method, path, body).await?;
        serde_json::from_slice(&answer).map_err(|error| self.strange(error.to_string()))
    }

    /// One request; the body of a good answer, or the problem that a bad one tells.
    async fn ask(&self, method: Method, path: &str, body: Option<impl Serialize>) -> Result<Vec<u8>, ClientError> {
        let request = self.request(method, path, body)?;
        let answer = timeout(ANSWER_DEADLINE, self.exchange(request)).await;
        let (status, body) = answer.map_err(|_| ClientError::Silent { data: self.data.clone() })??;
        if status.is_success() {
            return Ok(body);
        }
        let problem = serde_json::from_slice(&body).map_err(|_| self.strange(format!("status {status}")))?;
        Err(ClientError::Refused(problem))
    }

    fn request(&self, method: Method, path: &str, body: Option<impl Serialize>) -> Result<Request<Body>, ClientError> {
        let builder = Request::builder().method(method).uri(format!("{VERSION}{path}")).header(header::HOST, "localhost");
        let request = match body {
            None => builder.body(Body::empty()),
            Some(body) => {
                let json = serde_json::to_vec(&body).map_err(|error| self.strange(error.to_string()))?;
                builder.header(header::CONTENT_TYPE, "application/json").body(Body::from(json))
            }
        };
        request.map_err(|error| self.strange(error.to_string()))
    }

    async fn exchange(&self, request: Request<Body>) -> Result<(StatusCode, Vec<u8>), ClientError> {
        let stream = UnixStream::connect(self.data.join(SOCKET)).await.map_err(|error| self.unreached(error))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| self.broken(&error))?;
        let talk = async {
            let response = sender.send_request(request).await.map_err(|error| self.broken(&error))?;
            self.body(response).await
        };
        let mut talk = std::pin::pin!(talk);
        // The connection must be polled for the exchange to go on, and may end before the exchange does.
        tokio::select! {
            answer = &mut talk => answer,
            _ = connection => talk.await,
        }
    }

    async fn body(&self, response: Response<Incoming>) -> Result<(StatusCode, Vec<u8>), ClientError> {
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|error| self.strange(error.to_string()))?;
        Ok((status, body.to_bytes().to_vec()))
    }

    fn unreached(&self, source: io::Error) -> ClientError {
        let data = self.data.clone();
        match source.kind() {
            ErrorKind::NotFound | ErrorKind::ConnectionRefused | ErrorKind::NotADirectory => ClientError::NoServer { data },
            ErrorKind::PermissionDenied => ClientError::NotOwner { data },
            _ => ClientError::Io { data, source },
        }
    }

    /// A server that hangs up without a word does so because of who we are.
    fn broken(&self, error: &hyper::Error) -> ClientError {
        let hung_up = error.is_incomplete_message() || error.is_canceled() || error.is_closed();
        let reset = std::error::Error::source(error).and_then(|source| source.downcast_ref::<io::Error>()).is_some();
        if hung_up || reset { ClientError::NotOwner { data: self.data.clone() } } else { self.strange(error.to_string()) }
    }

    fn strange(&self, detail: String) -> ClientError {
        ClientError::Strange { data: self.data.clone(), detail }
    }
}
