//! One TLS connection without buffers of its own, from whichever side it was opened.
//!
//! rustls' unbuffered interface works in the caller's memory: the thread's scratch space. What stays with the
//! connection between two polls is the keys and, rarely, the bytes of an unfinished record. Sockets are left to
//! `connection` and `handshake`, verdicts to `trust`.

mod records;

use std::sync::Arc;

use pki::Fqdn;
use rustls::{
    ClientConfig, CommonState, NamedGroup, ProtocolVersion, ServerConfig, SupportedCipherSuite,
    client::UnbufferedClientConnection,
    pki_types::{CertificateDer, ServerName},
    server::UnbufferedServerConnection,
};

use crate::scratch::{self, Output};
use records::{Received, Side as _};

/// Unfinished bytes held once the handshake is over: one record and its overhead, rounded up.
const HELD_BYTES_MAX: usize = 20 * 1024;

/// What went wrong inside TLS. An alert that tells the other side is already in the output.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Tls(#[from] rustls::Error),
    #[error("the name of the server is none that TLS can ask for")]
    NoServerName,
    #[error("more unfinished handshake bytes than the limit")]
    TooMuchHeld,
    #[error("the TLS keys are worn out")]
    WornOut,
}

/// Where the connection stands after a step.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Step {
    /// Handshake unfinished: more input is needed.
    Handshaking,
    /// Open in both directions.
    Open,
    /// The other side said `close_notify`.
    PeerClosed,
}

pub(crate) struct Tls {
    side: Side,
    /// Input that does not make up a whole record yet.
    held: Vec<u8>,
    held_max: usize,
    peer_closed: bool,
}

/// Links that we open are few; the thousands that came in stand where they are.
#[expect(clippy::large_enum_variant)]
enum Side {
    Accepted(UnbufferedServerConnection),
    Dialled(Box<UnbufferedClientConnection>),
}

impl Tls {
    /// For a connection that came in.
    pub(crate) fn accepting(config: Arc<ServerConfig>, handshake_bytes_max: usize) -> Result<Self, Failure> {
        Ok(Self::new(Side::Accepted(UnbufferedServerConnection::new(config)?), handshake_bytes_max))
    }

    /// For a connection that we open to `server`; its name is asked for (SNI) and must be proved.
    pub(crate) fn dialling(config: Arc<ClientConfig>, server: &Fqdn, handshake_bytes_max: usize) -> Result<Self, Failure> {
        let name = ServerName::try_from(server.as_str().to_owned()).map_err(|_| Failure::NoServerName)?;
        Ok(Self::new(Side::Dialled(Box::new(UnbufferedClientConnection::new(config, name)?)), handshake_bytes_max))
    }

    fn new(side: Side, held_max: usize) -> Self {
        Self { side, held: Vec::new(), held_max, peer_closed: false }
    }

    fn state(&self) -> &CommonState {
        match &self.side {
            Side::Accepted(connection) => connection.state(),
            Side::Dialled(connection) => connection.state(),
        }
    }

    /// What we say first on a connection that we open.
    pub(crate) fn first_word(&mut self) -> Result<Vec<u8>, Failure> {
        scratch::with(|scratch| {
            self.receive(&mut [], &mut scratch.output, |_| {})?;
            Ok(scratch.output.filled().to_vec())
        })
    }

    /// Puts what is held to the front of `input` and says how much that is; new bytes are read behind it and the whole
    /// is given to [`receive`](Self::receive).
    pub(crate) fn release(&mut self, input: &mut Vec<u8>, more: usize) -> usize {
        let held = self.held.len();
        if input.len() < held + more {
            input.resize(held + more, 0);
        }
        input[..held].copy_from_slice(&self.held);
        held
    }

    /// Works off `input`: plaintext goes to `data`, answers of the protocol to `output`.
    pub(crate) fn receive(&mut self, input: &mut [u8], output: &mut Output, data: impl FnMut(&[u8])) -> Result<Step, Failure> {
        let Received { used, peer_closed } = match &mut self.side {
            Side::Accepted(connection) => records::receive(connection, input, output, data)?,
            Side::Dialled(connection) => records::receive(&mut **connection, input, output, data)?,
        };
        self.peer_closed |= peer_closed;
        self.hold(&input[used..])?;
        Ok(self.step())
    }

    /// Keeps the bytes of an unfinished record until the rest is there.
    fn hold(&mut self, rest: &[u8]) -> Result<(), Failure> {
        if rest.len() > self.held_max {
            return Err(Failure::TooMuchHeld);
        }
        if rest.is_empty() {
            self.held = Vec::new();
        } else {
            self.held.clear();
            self.held.extend_from_slice(rest);
        }
        Ok(())
    }

    fn step(&self) -> Step {
        if self.peer_closed {
            Step::PeerClosed
        } else if self.state().is_handshaking() {
            Step::Handshaking
        } else {
            Step::Open
        }
    }

    /// Whether the handshake is done; from then on one record is all that may be held.
    pub(crate) fn finish_handshake(&mut self) -> bool {
        let done = !self.state().is_handshaking();
        if done {
            self.held_max = HELD_BYTES_MAX;
        }
        done
    }

    /// The other side said `close_notify`.
    pub(crate) fn is_peer_closed(&self) -> bool {
        self.peer_closed
    }

    /// How much there is of a record that is half received.
    pub(crate) fn held_bytes(&self) -> usize {
        self.held.len()
    }

    /// Encrypts `plain` to the end of `output`.
    pub(crate) fn seal(&mut self, plain: &[u8], output: &mut Output) -> Result<(), Failure> {
        self.peer_closed |= match &mut self.side {
            Side::Accepted(connection) => records::seal(connection, &mut self.held, plain, output)?,
            Side::Dialled(connection) => records::seal(&mut **connection, &mut self.held, plain, output)?,
        };
        Ok(())
    }

    /// That nothing more comes (RFC 8446 §6.1), to be sent later.
    pub(crate) fn goodbye(&mut self) -> Vec<u8> {
        scratch::with(|scratch| {
            match &mut self.side {
                Side::Accepted(connection) => records::close_notify(connection, &mut self.held, &mut scratch.output),
                Side::Dialled(connection) => records::close_notify(&mut **connection, &mut self.held, &mut scratch.output),
            }
            scratch.output.filled().to_vec()
        })
    }

    /// The chain the other side showed and proved to hold the key of; leaf first.
    pub(crate) fn peer_chain(&self) -> Option<&[CertificateDer<'static>]> {
        self.state().peer_certificates()
    }

    /// Protocol version, once agreed.
    pub(crate) fn version(&self) -> Option<ProtocolVersion> {
        self.state().protocol_version()
    }

    /// Cipher suite, once agreed.
    pub(crate) fn suite(&self) -> Option<SupportedCipherSuite> {
        self.state().negotiated_cipher_suite()
    }

    /// Key exchange group, once agreed.
    pub(crate) fn group(&self) -> Option<NamedGroup> {
        self.state().negotiated_key_exchange_group().map(|group| group.name())
    }
}
