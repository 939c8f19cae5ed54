//! From a TCP connection to a TLS connection, within bounds (row N38).
//!
//! A silent connection holds no place among the handshakes; a slow one holds its place until the deadline; and only a
//! few compute at a time, so that signed-in users do not wait behind a flood of strangers.

use std::{
    future::poll_fn,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
};

use registrar::Flow;
use rustls::InvalidMessage;
use tokio::{
    io::{AsyncRead, AsyncWriteExt, ReadBuf},
    net::TcpStream,
    sync::SemaphorePermit,
    time::timeout,
};

use crate::{
    meters::HandshakeEnd,
    scratch::{self, READ_BYTES},
    server_name,
    shared::Shared,
    sources::Seat,
    tls::{Failure, Step, Tls},
    way::{End, Kind, Way},
};

/// What the first byte of a TLS connection is: the record type `handshake` (RFC 8446 §5.1).
const RECORD_TYPE_HANDSHAKE: u8 = 22;
/// Or, from whom we called, the type `alert`: it wants nothing to do with us.
const RECORD_TYPE_ALERT: u8 = 21;
/// What is told of a connection that ended too early.
const CLOSED: &str = "the other side closed it";

/// A finished handshake.
pub(crate) struct Established {
    pub(crate) tls: Tls,
    /// The name the client asked for.
    pub(crate) server_name: Option<Box<str>>,
    /// Which certificate of ours was shown.
    pub(crate) edition: u64,
    /// What the client already said; nobody may look at it before `trust` spoke.
    pub(crate) early: Vec<u8>,
}

/// Why there is none.
#[derive(Debug)]
pub(crate) enum Unfinished {
    /// No TLS at all (row N12).
    ClearText,
    /// The deadline came first (row N38).
    Slow,
    /// The other side went away, or we do.
    Gone(String),
    /// TLS broke it off; an alert is on its way, and closing at once could overtake it.
    Broken(Failure),
}

impl Unfinished {
    /// The label of the counter.
    pub(crate) fn end(&self) -> HandshakeEnd {
        match self {
            Self::ClearText => HandshakeEnd::ClearText,
            Self::Slow => HandshakeEnd::Slow,
            Self::Gone(_) => HandshakeEnd::Gone,
            Self::Broken(Failure::Tls(rustls::Error::InvalidCertificate(_))) => HandshakeEnd::Certificate,
            Self::Broken(_) => HandshakeEnd::Protocol,
        }
    }

    /// Gives `trust` its reason.
    pub(crate) fn note(&self, shared: &Shared, way: &Way, flow: Option<Flow>, remote: SocketAddr) {
        let note = |end: End<'_>| shared.verdicts.note_failure(way, flow, remote, end);
        match self {
            Self::ClearText => note(End::Failed(&InvalidMessage::InvalidContentType.into())),
            Self::Slow => note(End::Lost("it took longer than a handshake may")),
            Self::Gone(detail) => note(End::Lost(detail)),
            Self::Broken(Failure::Tls(error)) => note(End::Failed(error)),
            Self::Broken(failure @ (Failure::NoServerName | Failure::TooMuchHeld | Failure::WornOut)) => {
                note(End::Lost(&failure.to_string()));
            }
        }
    }
}

impl From<std::io::Error> for Unfinished {
    fn from(error: std::io::Error) -> Self {
        Self::Gone(error.to_string())
    }
}

/// Runs the handshake; waiting for a place counts against its deadline.
pub(crate) async fn handshake(stream: &mut TcpStream, way: &Way, shared: &Shared, seat: &Seat) -> Result<Established, Unfinished> {
    let time = shared.limits.handshake(way.kind());
    tokio::select! {
        finished = timeout(time, in_turn(stream, way, shared, seat)) => finished.unwrap_or(Err(Unfinished::Slow)),
        () = shared.ended() => Err(Unfinished::Gone("the server shuts down".into())),
    }
}

async fn in_turn(stream: &mut TcpStream, way: &Way, shared: &Shared, seat: &Seat) -> Result<Established, Unfinished> {
    let share = shared.share(way.kind());
    let speaks_first = way.kind() == Kind::Dialled;
    if !speaks_first {
        input_is_there(stream).await?;
    }
    let _places: [Option<SemaphorePermit<'_>>; 2] = [seat.handshakes().acquire().await.ok(), share.handshakes.acquire().await.ok()];
    let edition = way.edition();
    let tls = way.tls(shared.limits.handshake_bytes_max).map_err(Unfinished::Broken)?;
    let mut established = Established { tls, server_name: None, edition, early: Vec::new() };
    if speaks_first {
        stream.write_all(&established.tls.first_word().map_err(Unfinished::Broken)?).await?;
    }
    let mut first_types: &[u8] = if speaks_first { &[RECORD_TYPE_HANDSHAKE, RECORD_TYPE_ALERT] } else { &[RECORD_TYPE_HANDSHAKE] };
    loop {
        input_is_there(stream).await?;
        let turn = share.computing.acquire().await;
        let (step, output) = poll_fn(|cx| step(stream, cx, &mut established, first_types)).await?;
        drop(turn);
        first_types = &[];
        stream.write_all(&output).await?;
        match step {
            Ok(Step::Handshaking) => {}
            // Who says everything at once and goes is heard all the same.
            Ok(Step::Open | Step::PeerClosed) if established.tls.finish_handshake() => return Ok(established),
            Ok(Step::Open | Step::PeerClosed) => return Err(Unfinished::Gone(CLOSED.into())),
            Err(failure) => return Err(Unfinished::Broken(failure)),
        }
    }
}

/// Waits until a read would not wait: places are taken, and computing begins, only then. Readiness alone may be a
/// mistake of the runtime's; a byte (or the end) that can be looked at is none.
async fn input_is_there(stream: &TcpStream) -> Result<(), Unfinished> {
    stream.peek(&mut [0]).await?;
    Ok(())
}

/// A step of the protocol, and what is to be sent whether it succeeded or not.
type Stepped = (Result<Step, Failure>, Vec<u8>);

/// Reads what is there and works it off. Where the connection begins, it begins with one of `first_types`.
fn step(
    stream: &mut TcpStream,
    cx: &mut Context<'_>,
    established: &mut Established,
    first_types: &[u8],
) -> Poll<Result<Stepped, Unfinished>> {
    scratch::with(|scratch| {
        let held = established.tls.release(&mut scratch.input, READ_BYTES);
        let mut space = ReadBuf::new(&mut scratch.input[held..held + READ_BYTES]);
        std::task::ready!(Pin::new(stream).poll_read(cx, &mut space))?;
        let read = space.filled();
        match read.first() {
            None => return Poll::Ready(Err(Unfinished::Gone(CLOSED.into()))),
            Some(byte) if first_types.is_empty() || first_types.contains(byte) => {}
            Some(_) => return Poll::Ready(Err(Unfinished::ClearText)),
        }
        let end = held + read.len();
        let early = &mut established.early;
        let step = established.tls.receive(&mut scratch.input[..end], &mut scratch.output, |data| early.extend_from_slice(data));
        if let Some(name) = server_name::take() {
            established.server_name = Some(name);
        }
        Poll::Ready(Ok((step, scratch.output.filled().to_vec())))
    })
}
