//! One server-side TLS connection without buffers of its own.
//!
//! rustls' unbuffered interface works in the caller's memory: the thread's scratch space. What stays with the
//! connection between two polls is the keys and, rarely, the bytes of an unfinished record. Sockets are left to
//! `connection` and `handshake`, verdicts to `trust`.

use std::sync::Arc;

use rustls::{
    NamedGroup, ProtocolVersion, ServerConfig, SupportedCipherSuite,
    pki_types::CertificateDer,
    server::{ServerConnectionData, UnbufferedServerConnection},
    unbuffered::{ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus},
};

use crate::scratch::{self, Output};

/// Overhead of one record: header, explicit nonce (TLS 1.2), content type, tag.
const RECORD_OVERHEAD_BYTES: usize = 5 + 8 + 1 + 16;
/// The largest plaintext of a record (RFC 8446 §5.1).
const RECORD_BYTES: usize = 16 * 1024;
/// Unfinished bytes held once the handshake is over: one record and its overhead, rounded up.
const HELD_BYTES_MAX: usize = 20 * 1024;

/// What went wrong inside TLS. An alert that tells the other side is already in the output.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Tls(#[from] rustls::Error),
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
    connection: UnbufferedServerConnection,
    /// Input that does not make up a whole record yet.
    held: Vec<u8>,
    held_max: usize,
    peer_closed: bool,
}

impl Tls {
    pub(crate) fn new(config: Arc<ServerConfig>, handshake_bytes_max: usize) -> Result<Self, Failure> {
        let connection = UnbufferedServerConnection::new(config)?;
        Ok(Self { connection, held: Vec::new(), held_max: handshake_bytes_max, peer_closed: false })
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
    pub(crate) fn receive(&mut self, input: &mut [u8], output: &mut Output, mut data: impl FnMut(&[u8])) -> Result<Step, Failure> {
        let mut at = 0;
        let mut step = None;
        while step.is_none() {
            let UnbufferedStatus { mut discard, state } = self.connection.process_tls_records(&mut input[at..]);
            match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record?;
                        discard += record.discard;
                        data(record.payload);
                    }
                }
                Ok(ConnectionState::EncodeTlsData(mut message)) => encode(&mut message, output),
                Ok(ConnectionState::TransmitTlsData(transmit)) => transmit.done(),
                Ok(ConnectionState::BlockedHandshake | ConnectionState::WriteTraffic(_)) => step = Some(self.step()),
                Ok(ConnectionState::PeerClosed) => self.peer_closed = true,
                Ok(ConnectionState::Closed) => step = Some(Step::PeerClosed),
                // Early data is never offered; whatever else comes is no state a server of ours can be in.
                Ok(_) => return Err(rustls::Error::HandshakeNotComplete.into()),
                Err(error) => {
                    self.alert(output);
                    return Err(error.into());
                }
            }
            at += discard;
        }
        self.hold(&input[at..])?;
        Ok(step.unwrap_or(Step::PeerClosed))
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
        } else if self.connection.is_handshaking() {
            Step::Handshaking
        } else {
            Step::Open
        }
    }

    /// Whether the handshake is done; from then on one record is all that may be held.
    pub(crate) fn finish_handshake(&mut self) -> bool {
        let done = !self.connection.is_handshaking();
        if done {
            self.held_max = HELD_BYTES_MAX;
        }
        done
    }

    /// The other side said `close_notify`.
    pub(crate) fn is_peer_closed(&self) -> bool {
        self.peer_closed
    }

    /// A record is half received.
    pub(crate) fn holds_input(&self) -> bool {
        !self.held.is_empty()
    }

    /// Encrypts `plain` to the end of `output`.
    pub(crate) fn seal(&mut self, plain: &[u8], output: &mut Output) -> Result<(), Failure> {
        let records = plain.len() / RECORD_BYTES + 1;
        let mut room = plain.len() + records * RECORD_OVERHEAD_BYTES;
        loop {
            match self.connection.process_tls_records(&mut self.held).state? {
                ConnectionState::EncodeTlsData(mut message) => encode(&mut message, output),
                ConnectionState::TransmitTlsData(transmit) => transmit.done(),
                ConnectionState::WriteTraffic(mut traffic) => match traffic.encrypt(plain, output.spare(room)) {
                    Ok(written) => {
                        output.advance(written);
                        return Ok(());
                    }
                    Err(EncryptError::InsufficientSize(needed)) => room = needed.required_size,
                    Err(EncryptError::EncryptExhausted) => return Err(Failure::WornOut),
                },
                ConnectionState::PeerClosed => self.peer_closed = true,
                _ => return Err(rustls::Error::HandshakeNotComplete.into()),
            }
        }
    }

    /// Tells the other side that nothing more comes (RFC 8446 §6.1).
    fn close_notify(&mut self, output: &mut Output) {
        for _ in 0..ALERT_STEPS_MAX {
            match self.connection.process_tls_records(&mut self.held).state {
                Ok(ConnectionState::EncodeTlsData(mut message)) => encode(&mut message, output),
                Ok(ConnectionState::TransmitTlsData(transmit)) => transmit.done(),
                Ok(ConnectionState::PeerClosed) => self.peer_closed = true,
                Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                    let written = traffic.queue_close_notify(output.spare(ALERT_BYTES)).unwrap_or_default();
                    return output.advance(written);
                }
                _ => return,
            }
        }
    }

    /// [`close_notify`](Self::close_notify), to be sent later.
    pub(crate) fn goodbye(&mut self) -> Vec<u8> {
        scratch::with(|scratch| {
            self.close_notify(&mut scratch.output);
            scratch.output.filled().to_vec()
        })
    }

    /// Moves the alert that an error left behind into `output`. Asked only while something waits: after an error the
    /// library must not be given input again.
    fn alert(&mut self, output: &mut Output) {
        while self.connection.wants_write() {
            match self.connection.process_tls_records(&mut []).state {
                Ok(ConnectionState::EncodeTlsData(mut message)) => encode(&mut message, output),
                Ok(ConnectionState::ReadTraffic(mut unread)) => while unread.next_record().is_some() {},
                _ => return,
            }
        }
    }

    /// The chain the other side showed and proved to hold the key of; leaf first.
    pub(crate) fn peer_chain(&self) -> Option<&[CertificateDer<'static>]> {
        self.connection.peer_certificates()
    }

    /// Protocol version, once agreed.
    pub(crate) fn version(&self) -> Option<ProtocolVersion> {
        self.connection.protocol_version()
    }

    /// Cipher suite, once agreed.
    pub(crate) fn suite(&self) -> Option<SupportedCipherSuite> {
        self.connection.negotiated_cipher_suite()
    }

    /// Key exchange group, once agreed.
    pub(crate) fn group(&self) -> Option<NamedGroup> {
        self.connection.negotiated_key_exchange_group().map(|group| group.name())
    }
}

/// An alert record with room for queued messages before it.
const ALERT_BYTES: usize = 1024;
/// More steps than an alert can take; a bound where the library promises one.
const ALERT_STEPS_MAX: usize = 16;

fn encode(message: &mut EncodeTlsData<'_, ServerConnectionData>, output: &mut Output) {
    let mut room = 0;
    loop {
        match message.encode(output.spare(room)) {
            Ok(written) => return output.advance(written),
            Err(EncodeError::InsufficientSize(needed)) => room = needed.required_size,
            Err(EncodeError::AlreadyEncoded) => return,
        }
    }
}
