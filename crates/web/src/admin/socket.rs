//! The admin socket: made so that nobody but the owner ever can open it, and served to the owner and root alone.

use std::fs::{self, DirBuilder, Permissions};
use std::future::Future;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::{UnixListener, UnixStream, unix::UCred};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::{Admin, for_caller, routes};
use crate::Limits;
use crate::connection::{self, Protocol, Stop};
use crate::gate::{Caller, Ties};

/// The socket's name in the data directory.
pub const SOCKET: &str = "admin.sock";
/// Where it is made before it gets its name: a directory that only the owner may enter.
const CRADLE: &str = ".admin";
/// How long a server that may be there has to take our call.
const KNOCK_DEADLINE: Duration = Duration::from_secs(2);
/// How long to rest when the system has no more file descriptors.
const ACCEPT_REST: Duration = Duration::from_millis(100);
const ROOT: u32 = 0;

/// Why there is no admin socket.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SocketError {
    /// A server answers on it.
    #[error("another verbund serves {}: stop it first, or choose another directory with --data", data.display())]
    InUse {
        /// The data directory.
        data: PathBuf,
    },
    /// Others may enter the directory.
    #[error("{} is open to others (mode {mode:o}): make it the owner's alone with `chmod 700 {}`", data.display(), data.display())]
    Open {
        /// The data directory.
        data: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// Something else bears the name.
    #[error("{} is in the way and is not a socket: move it away", path.display())]
    InTheWay {
        /// Where the socket was to be.
        path: PathBuf,
    },
    /// The kernel takes short paths only.
    #[error("{} is too long for a socket's path: choose a data directory with a shorter path", path.display())]
    TooLong {
        /// Where the socket was to be.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("cannot make the admin socket {}: {source}", path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
}

/// The admin socket of a data directory, listening but not served yet. Its file goes when this is dropped.
#[derive(Debug)]
pub struct Socket {
    listener: UnixListener,
    path: PathBuf,
    /// Tells our file from that of a later server.
    inode: u64,
    owner: u32,
}

impl Socket {
    /// Makes `admin.sock` (mode 0600) in `data`, which must be the owner's alone. The socket of a dead server is
    /// replaced, that of a living one is [`SocketError::InUse`]. The caller holds the directory's lock, so two
    /// starts at once do not meet here.
    pub async fn bind(data: &Path) -> Result<Self, SocketError> {
        let path = data.join(SOCKET);
        closed_to_others(data)?;
        clear(data, &path).await?;
        let failed = |source: io::Error| fault(&path, source);
        let cradle = data.join(CRADLE);
        let unnamed = cradle.join("s");
        sweep(&cradle).map_err(failed)?;
        DirBuilder::new().mode(0o700).create(&cradle).map_err(failed)?;
        let made = settle(&unnamed, &path);
        let swept = sweep(&cradle);
        let (listener, facts) = made.map_err(failed)?;
        swept.map_err(failed)?;
        Ok(Self { listener, path: path.clone(), inode: facts.ino(), owner: facts.uid() })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let ours = fs::symlink_metadata(&self.path).is_ok_and(|facts| facts.ino() == self.inode);
        if ours && let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "admin socket not removed");
        }
    }
}

fn fault(path: &Path, source: io::Error) -> SocketError {
    let path = path.to_owned();
    // The standard library says this of a path that does not fit `sun_path`.
    if source.kind() == ErrorKind::InvalidInput { SocketError::TooLong { path } } else { SocketError::Io { path, source } }
}

fn closed_to_others(data: &Path) -> Result<(), SocketError> {
    let facts = fs::metadata(data).map_err(|source| SocketError::Io { path: data.to_owned(), source })?;
    match facts.permissions().mode() & 0o777 {
        mode if mode & 0o077 == 0 => Ok(()),
        mode => Err(SocketError::Open { data: data.to_owned(), mode }),
    }
}

/// Removes the socket of a dead server. A living one is left alone, and so is what is no socket.
async fn clear(data: &Path, path: &Path) -> Result<(), SocketError> {
    let facts = match fs::symlink_metadata(path) {
        Ok(facts) => facts,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(fault(path, source)),
    };
    if !facts.file_type().is_socket() {
        return Err(SocketError::InTheWay { path: path.to_owned() });
    }
    match timeout(KNOCK_DEADLINE, UnixStream::connect(path)).await {
        Ok(Err(error)) if error.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path).map_err(|source| fault(path, source)),
        Ok(Err(source)) if source.kind() != ErrorKind::WouldBlock => Err(fault(path, source)),
        // Someone took the call, or is too busy to.
        Ok(_) | Err(_) => Err(SocketError::InUse { data: data.to_owned() }),
    }
}

/// Removes what an interrupted start left of the cradle.
fn sweep(cradle: &Path) -> io::Result<()> {
    match fs::remove_dir_all(cradle) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Binds where nobody else can look, narrows the mode, and only then gives the socket its name.
fn settle(unnamed: &Path, path: &Path) -> io::Result<(UnixListener, fs::Metadata)> {
    let listener = UnixListener::bind(unnamed)?;
    fs::set_permissions(unnamed, Permissions::from_mode(0o600))?;
    fs::rename(unnamed, path)?;
    Ok((listener, fs::symlink_metadata(path)?))
}

/// Serves the admin API on `socket` until `shutdown` is done; then removes the socket and lets open requests finish, at
/// the latest [`Limits::closing_deadline`] later.
pub async fn serve(socket: Socket, admin: Arc<dyn Admin>, limits: Limits, shutdown: impl Future<Output = ()> + Send) {
    let router = routes::router(admin, limits);
    let (stop, stopped) = watch::channel(false);
    let mut connections = JoinSet::new();
    tokio::select! {
        () = shutdown => {}
        () = accept(&socket, &router, limits, &stopped, &mut connections) => {}
    }
    drop(socket);
    let _ = stop.send(true);
    let all_ended = async { while connections.join_next().await.is_some() {} };
    let _ = timeout(limits.closing_deadline, all_ended).await;
}

async fn accept(socket: &Socket, router: &Router, limits: Limits, stop: &Stop, connections: &mut JoinSet<()>) {
    let places = Arc::new(Semaphore::new(limits.connections_max));
    loop {
        let stream = match socket.listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "admin connection not accepted");
                sleep(ACCEPT_REST).await;
                continue;
            }
        };
        while connections.try_join_next().is_some() {}
        let Some(peer) = admitted(&stream, socket.owner) else { continue };
        let Ok(place) = places.clone().try_acquire_owned() else { continue };
        let (router, stop) = (router.clone(), stop.clone());
        connections.spawn(async move {
            let caller = Caller { peer: None, source: None, ties: Ties::new() };
            for_caller(&peer, connection::serve(stream, Protocol::Http1, router, caller, &limits, stop)).await;
            drop(place);
        });
    }
}

/// Only processes of the owner and of root are heard; the kernel says whose the other one is (`SO_PEERCRED`).
fn admitted(stream: &UnixStream, owner: u32) -> Option<UCred> {
    match stream.peer_cred() {
        Ok(peer) if may_speak(peer.uid(), owner) => Some(peer),
        Ok(peer) => {
            tracing::warn!(uid = peer.uid(), owner, "admin connection of another user closed");
            None
        }
        Err(error) => {
            tracing::warn!(%error, "admin connection of an unknown user closed");
            None
        }
    }
}

fn may_speak(uid: u32, owner: u32) -> bool {
    uid == owner || uid == ROOT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_and_root_are_heard_and_nobody_else() {
        assert!(may_speak(1000, 1000) && may_speak(0, 1000));
        assert!(!may_speak(1001, 1000) && !may_speak(1000, 0) && !may_speak(65534, 1000));
    }
}
