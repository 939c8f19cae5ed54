//! The admin socket: whom it hears, what it refuses, and what the command is told.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use registrar::UserName;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::process::Command;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use web::admin::{
    Admin, Certificate, Client, ClientError, Created, Decision, Password, Problem, SOCKET, Socket, SocketError, Status, User, serve,
};
use web::{Answer, Limits};

const PATIENCE: Duration = Duration::from_secs(8);

/// A server that only remembers.
#[derive(Default)]
struct Memory(Mutex<BTreeMap<UserName, String>>);

fn aor(user: &UserName) -> String {
    format!("sip:{user}@verbund.test")
}

impl Memory {
    fn put(&self, user: &UserName, password: Option<Password>) -> Created {
        let password = password.unwrap_or_else(|| Password::new("made-up"));
        self.0.lock().unwrap().insert(user.clone(), password.expose().to_owned());
        Created { aor: aor(user), password }
    }

    fn has(&self, user: &UserName) -> Result<(), Problem> {
        let known = self.0.lock().unwrap().contains_key(user);
        if known { Ok(()) } else { Err(Problem::not_found(format!("there is no user {user}"), "see `verbund user list`")) }
    }
}

impl Admin for Memory {
    fn status(&self) -> Answer<'_, Result<Status, Problem>> {
        let text = |text: &str| text.to_owned();
        let status = Status {
            domain: text("verbund.test"),
            server_name: text("sip.verbund.test"),
            version: text("1"),
            started: text("2027-01-15T08:00:00Z"),
            sip: text("127.0.0.1:5061"),
            https: text("127.0.0.1:8443"),
            connections: vec![],
            registrations: vec![],
            certificates: vec![],
            links: Vec::new(),
            troubles: Vec::new(),
        };
        Box::pin(async { Ok(status) })
    }

    fn users(&self) -> Answer<'_, Result<Vec<User>, Problem>> {
        Box::pin(async { Ok(self.0.lock().unwrap().keys().map(|user| User { aor: aor(user) }).collect()) })
    }

    fn add_user(&self, user: UserName, password: Option<Password>, _pool: Option<pki::Fqdn>) -> Answer<'_, Result<Created, Problem>> {
        Box::pin(async move {
            match self.has(&user) {
                Ok(()) => Err(Problem::conflict(format!("there is a user {user} already"), "choose another name")),
                Err(_) => Ok(self.put(&user, password)),
            }
        })
    }

    fn set_password(&self, user: UserName, password: Option<Password>) -> Answer<'_, Result<Created, Problem>> {
        Box::pin(async move { self.has(&user).map(|()| self.put(&user, password)) })
    }

    fn remove_user(&self, user: UserName) -> Answer<'_, Result<(), Problem>> {
        Box::pin(async move { self.has(&user).map(|()| drop(self.0.lock().unwrap().remove(&user))) })
    }

    fn certificates(&self) -> Answer<'_, Result<Vec<Certificate>, Problem>> {
        Box::pin(async { Err(Problem::unavailable("the ledger is closed", "wait for the server to start")) })
    }

    fn decisions(&self, limit: usize) -> Answer<'_, Result<Vec<Decision>, Problem>> {
        let decision = |n: usize| Decision {
            at: "2027-01-15T08:00:00Z".into(),
            listener: "clients".into(),
            remote: format!("127.0.0.1:{n}"),
            verdict: "accepted".into(),
            reason: "client".into(),
            evidence: serde_json::Map::new(),
        };
        Box::pin(async move { Ok((0..limit).map(decision).collect()) })
    }

    fn authority(&self) -> Result<&dyn web::admin::Organisation, Problem> {
        Err(Problem::not_found("this server is no authority", "ask sip.verbund.test"))
    }
}

struct Running {
    data: TempDir,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

fn data() -> TempDir {
    // As the data directory: the owner's alone.
    let data = tempfile::tempdir().unwrap();
    fs::set_permissions(data.path(), Permissions::from_mode(0o700)).unwrap();
    data
}

async fn running() -> Running {
    let data = data();
    let socket = Socket::bind(data.path()).await.unwrap();
    let (stop, task) = start(socket);
    Running { data, stop, task }
}

fn start(socket: Socket) -> (oneshot::Sender<()>, JoinHandle<()>) {
    let (stop, stopped) = oneshot::channel::<()>();
    let shutdown = async { stopped.await.unwrap_or(()) };
    (stop, tokio::spawn(serve(socket, Arc::new(Memory::default()), Limits::ADMIN, shutdown)))
}

impl Running {
    fn client(&self) -> Client {
        Client::new(self.data.path())
    }

    fn socket(&self) -> std::path::PathBuf {
        self.data.path().join(SOCKET)
    }

    /// One raw request on a connection of its own.
    async fn raw(&self, request: &str) -> String {
        let mut stream = UnixStream::connect(self.socket()).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut bytes = Vec::new();
        let _ = timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.unwrap();
        String::from_utf8(bytes).unwrap()
    }

    async fn send(&self, method: &str, path: &str, media_type: &str, body: &str) -> String {
        let length = body.len();
        let head =
            format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: {media_type}\r\nContent-Length: {length}");
        self.raw(&format!("{head}\r\n\r\n{body}")).await
    }
}

/// The answer is a problem of this status.
#[track_caller]
fn problem(answer: &str, status: u16) {
    assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    assert!(answer.contains("content-type: application/problem+json"), "{answer}");
    let body: serde_json::Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
    assert_eq!((body["type"].as_str(), body["status"].as_u64()), (Some("about:blank"), Some(status.into())));
    assert!(body["detail"].is_string() && body["cure"].is_string() && body["title"].is_string(), "{body}");
}

fn name(text: &str) -> UserName {
    UserName::parse(text).unwrap()
}

#[tokio::test]
async fn users_come_change_and_go() {
    let server = running().await;
    let client = server.client();
    let made = client.add_user(&name("carol"), None, None).await.unwrap();
    assert_eq!((made.aor.as_str(), made.password.expose()), ("sip:carol@verbund.test", "made-up"));
    let chosen = client.add_user(&name("dan"), Some(Password::new("chosen by dan")), None).await.unwrap();
    assert_eq!(chosen.password.expose(), "chosen by dan");
    let changed = client.set_password(&name("carol"), Some(Password::new("another"))).await.unwrap();
    assert_eq!(changed.password.expose(), "another");
    client.remove_user(&name("dan")).await.unwrap();
    assert_eq!(client.users().await.unwrap(), [User { aor: "sip:carol@verbund.test".into() }]);
    assert_eq!(client.status().await.unwrap().domain, "verbund.test");
    assert_eq!(client.decisions(3).await.unwrap().len(), 3);
}

#[tokio::test]
async fn a_no_comes_with_its_reason_and_cure() {
    let server = running().await;
    let client = server.client();
    client.add_user(&name("carol"), None, None).await.unwrap();
    let twice = client.add_user(&name("carol"), None, None).await.unwrap_err();
    assert!(matches!(&twice, ClientError::Refused(problem) if problem.status == 409));
    assert_eq!(twice.to_string(), "there is a user carol already: choose another name");
    assert!(matches!(client.remove_user(&name("x")).await, Err(ClientError::Refused(Problem { status: 404, .. }))));
    assert!(matches!(client.set_password(&name("x"), None).await, Err(ClientError::Refused(Problem { status: 404, .. }))));
    assert!(matches!(client.certificates().await, Err(ClientError::Refused(Problem { status: 503, .. }))));
    assert!(matches!(client.decisions(0).await, Err(ClientError::Refused(Problem { status: 400, .. }))));
}

#[tokio::test]
async fn malformed_json_is_a_problem_and_no_user() {
    let server = running().await;
    for body in [
        "",
        "{",
        "[]",
        "null",
        "{\"name\":1}",
        "{\"user\":\"carol\"}",
        "{\"name\":\"carol\",\"admin\":true}",
        "{\"name\":\"carol\",\"name\":\"dan\"}",
        "{\"name\":\"carol\"}{\"name\":\"dan\"}",
        "{\"name\":\"carol\",\"password\":7}",
    ] {
        problem(&server.send("POST", "/v1/users", "application/json", body).await, 400);
    }
    problem(&server.send("PUT", "/v1/users/carol/password", "application/json", "{\"pass\":\"x\"}").await, 400);
    assert!(server.client().users().await.unwrap().is_empty());
}

#[tokio::test]
async fn names_that_are_none_are_refused() {
    let server = running().await;
    for wrong in ["", "a b", "a@b", "a' OR 1=1 --", "../etc", "a\\u0000", "a\\r\\nX: y", "<a>", "sip:a@b", "älice", "a\\u202e", "a%40b"] {
        problem(&server.send("POST", "/v1/users", "application/json", &format!("{{\"name\":\"{wrong}\"}}")).await, 400);
    }
    for wrong in ["a%20b", "a%40b", "%00", "..%2f..%2fetc", "a%0d%0ab", "%27%3b--", "%c3%a4", "%1b%5b2J"] {
        let answer = server.send("DELETE", &format!("/v1/users/{wrong}"), "application/json", "").await;
        problem(&answer, 400);
        assert!(!answer.split_once("\r\n\r\n").unwrap().1.contains(['\u{1b}', '\n', '\0']), "{answer:?}");
        problem(&server.send("PUT", &format!("/v1/users/{wrong}/password"), "application/json", "{}").await, 400);
    }
    assert!(server.client().users().await.unwrap().is_empty());
}

#[tokio::test]
async fn what_is_too_much_or_not_json_is_refused() {
    let server = running().await;
    let long = format!("{{\"name\":\"carol\",\"password\":\"{}\"}}", "x".repeat(10_000));
    problem(&server.send("POST", "/v1/users", "application/json", &long).await, 413);
    problem(&server.send("POST", "/v1/users", "text/plain", "{\"name\":\"carol\"}").await, 415);
    problem(&server.send("GET", "/v2/users", "application/json", "").await, 404);
    problem(&server.send("GET", "/v1/nothing", "application/json", "").await, 404);
    problem(&server.send("PATCH", "/v1/users", "application/json", "").await, 405);
    problem(&server.send("GET", "/v1/decisions?limit=all", "application/json", "").await, 400);
    assert!(server.client().users().await.unwrap().is_empty());
}

#[tokio::test]
async fn the_socket_is_the_owners_alone() {
    let server = running().await;
    let facts = fs::symlink_metadata(server.socket()).unwrap();
    assert!(facts.file_type().is_socket());
    assert_eq!(facts.permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(server.data.path()).unwrap().count(), 1, "nothing else is left in the directory");
}

#[tokio::test]
async fn a_directory_open_to_others_gets_no_socket() {
    let data = data();
    for mode in [0o755, 0o750, 0o701] {
        fs::set_permissions(data.path(), Permissions::from_mode(mode)).unwrap();
        assert!(matches!(Socket::bind(data.path()).await, Err(SocketError::Open { .. })), "{mode:o}");
    }
}

/// Asks as the user `nobody`; `None` where that cannot be tried.
async fn as_nobody(path: &Path) -> Option<(i32, String)> {
    let mut command = Command::new("setpriv");
    command.args([
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        "curl",
        "--silent",
        "--show-error",
        "--max-time",
        "5",
        "--unix-socket",
    ]);
    let output = command.arg(path).arg("http://localhost/v1/users").output().await.ok()?;
    let code = output.status.code()?;
    eprintln!("curl as nobody: {}", String::from_utf8_lossy(&output.stderr).trim());
    // 127: there is no curl.
    (code != 127).then(|| (code, String::from_utf8_lossy(&output.stdout).into_owned()))
}

/// Whether `nobody` can talk to a socket in this directory whose server does not ask who calls.
async fn reaches(directory: &Path) -> bool {
    let path = directory.join("open.sock");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
    let answer = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        assert!(stream.read(&mut [0; 4096]).await.unwrap() > 0);
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi").await.unwrap();
    };
    let (_, asked) = tokio::join!(timeout(PATIENCE, answer), as_nobody(&path));
    asked == Some((0, "hi".to_owned()))
}

#[tokio::test]
async fn another_users_process_is_not_heard() {
    let server = running().await;
    if fs::metadata(server.data.path()).unwrap().uid() != 0 {
        eprintln!("skipped: only root can become another user");
        return;
    }
    let Some((code, said)) = as_nobody(&server.socket()).await else {
        assert!(std::env::var_os("CI").is_none(), "setpriv or curl is not installed, and in CI nothing is passed over");
        eprintln!("skipped: setpriv or curl is not installed");
        return;
    };
    assert_eq!((code, said.as_str()), (7, ""), "curl: cannot connect");
    // Even if someone opens directory and socket by mistake, the kernel tells us who calls.
    fs::set_permissions(server.data.path(), Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(server.socket(), Permissions::from_mode(0o666)).unwrap();
    assert!(reaches(server.data.path()).await, "the file system is no obstacle now");
    let (code, said) = as_nobody(&server.socket()).await.unwrap();
    assert!(code != 0 && said.is_empty(), "{code} {said}");
    assert!(server.client().users().await.is_ok(), "the owner is still heard");
}

#[tokio::test]
async fn a_living_server_is_not_displaced() {
    let server = running().await;
    let error = Socket::bind(server.data.path()).await.unwrap_err();
    assert!(matches!(error, SocketError::InUse { .. }), "{error}");
    assert!(server.client().users().await.is_ok());
}

#[tokio::test]
async fn the_socket_of_a_dead_server_is_replaced() {
    let data = data();
    drop(std::os::unix::net::UnixListener::bind(data.path().join(SOCKET)).unwrap());
    assert!(data.path().join(SOCKET).exists());
    let (_stop, _task) = start(Socket::bind(data.path()).await.unwrap());
    assert!(Client::new(data.path()).users().await.is_ok());
}

#[tokio::test]
async fn what_is_no_socket_is_left_alone() {
    let data = data();
    fs::write(data.path().join(SOCKET), "mine").unwrap();
    assert!(matches!(Socket::bind(data.path()).await, Err(SocketError::InTheWay { .. })));
    assert_eq!(fs::read(data.path().join(SOCKET)).unwrap(), b"mine");
}

#[tokio::test]
async fn an_interrupted_start_is_no_obstacle() {
    let data = data();
    fs::create_dir(data.path().join(".admin")).unwrap();
    drop(std::os::unix::net::UnixListener::bind(data.path().join(".admin/s")).unwrap());
    let _socket = Socket::bind(data.path()).await.unwrap();
    assert_eq!(fs::read_dir(data.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn a_path_too_long_for_a_socket_is_said_to_be_so() {
    let data = data();
    let deep = data.path().join("d".repeat(120));
    fs::create_dir(&deep).unwrap();
    fs::set_permissions(&deep, Permissions::from_mode(0o700)).unwrap();
    let error = Socket::bind(&deep).await.unwrap_err();
    assert!(matches!(error, SocketError::TooLong { .. }), "{error}");
}

#[tokio::test]
async fn the_socket_goes_with_its_server_and_no_other() {
    let server = running().await;
    let (socket, data) = (server.socket(), server.data);
    server.stop.send(()).unwrap();
    server.task.await.unwrap();
    assert!(!socket.exists());
    let first = Socket::bind(data.path()).await.unwrap();
    fs::remove_file(&socket).unwrap();
    let _second = Socket::bind(data.path()).await.unwrap();
    drop(first);
    assert!(socket.exists(), "the second server's socket is still there");
}

#[tokio::test]
async fn without_a_server_the_command_is_told_how_to_start_one() {
    let data = data();
    let error = Client::new(data.path()).status().await.unwrap_err();
    let path = data.path().display();
    assert_eq!(error.to_string(), format!("no server runs on {path}: start it with `verbund up --data {path}`"));
    drop(std::os::unix::net::UnixListener::bind(data.path().join(SOCKET)).unwrap());
    assert!(matches!(Client::new(data.path()).status().await, Err(ClientError::NoServer { .. })));
    assert!(matches!(Client::new(Path::new("/nowhere")).status().await, Err(ClientError::NoServer { .. })));
}

#[tokio::test]
async fn a_server_that_hangs_up_or_talks_nonsense_is_told_apart() {
    let data = data();
    let listener = tokio::net::UnixListener::bind(data.path().join(SOCKET)).unwrap();
    let answers =
        ["", "SSH-2.0-OpenSSH\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "HTTP/1.1 500 x\r\nContent-Length: 0\r\n\r\n"];
    let server = tokio::spawn(async move {
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            if !answer.is_empty() {
                assert!(stream.read(&mut [0; 4096]).await.unwrap() > 0);
            }
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    let client = Client::new(data.path());
    assert!(matches!(client.status().await, Err(ClientError::NotOwner { .. })));
    for _ in 1..answers.len() {
        let error = client.status().await.unwrap_err();
        assert!(matches!(error, ClientError::Strange { .. }), "{error:?}");
    }
    server.await.unwrap();
}
