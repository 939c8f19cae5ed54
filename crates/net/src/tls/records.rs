//! rustls' unbuffered interface, the same for both sides of a connection.

use rustls::{
    CommonState,
    client::{ClientConnectionData, UnbufferedClientConnection},
    server::{ServerConnectionData, UnbufferedServerConnection},
    unbuffered::{ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus},
};

use super::Failure;
use crate::scratch::Output;

/// Overhead of one record: header, explicit nonce (TLS 1.2), content type, tag.
const RECORD_OVERHEAD_BYTES: usize = 5 + 8 + 1 + 16;
/// The largest plaintext of a record (RFC 8446 §5.1).
const RECORD_BYTES: usize = 16 * 1024;
/// An alert record with room for queued messages before it.
const ALERT_BYTES: usize = 1024;
/// More steps than an alert can take; a bound where the library promises one.
const ALERT_STEPS_MAX: usize = 16;

/// One side of a connection: who accepted it, or who opened it.
pub(super) trait Side {
    type Data;
    fn process<'c, 'i>(&'c mut self, input: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data>;
    fn state(&self) -> &CommonState;
}

impl Side for UnbufferedServerConnection {
    type Data = ServerConnectionData;

    fn process<'c, 'i>(&'c mut self, input: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(input)
    }

    fn state(&self) -> &CommonState {
        self
    }
}

impl Side for UnbufferedClientConnection {
    type Data = ClientConnectionData;

    fn process<'c, 'i>(&'c mut self, input: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(input)
    }

    fn state(&self) -> &CommonState {
        self
    }
}

/// What became of some input.
pub(super) struct Received {
    /// Bytes worked off; what lies behind them is an unfinished record.
    pub(super) used: usize,
    /// The other side said `close_notify`.
    pub(super) peer_closed: bool,
}

/// Works off `input`: plaintext goes to `data`, answers of the protocol (an alert, if it fails) to `output`.
pub(super) fn receive(
    side: &mut impl Side,
    input: &mut [u8],
    output: &mut Output,
    mut data: impl FnMut(&[u8]),
) -> Result<Received, Failure> {
    let mut received = Received { used: 0, peer_closed: false };
    loop {
        let UnbufferedStatus { mut discard, state } = side.process(&mut input[received.used..]);
        let mut done = false;
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
            Ok(ConnectionState::BlockedHandshake | ConnectionState::WriteTraffic(_)) => done = true,
            Ok(ConnectionState::PeerClosed) => received.peer_closed = true,
            Ok(ConnectionState::Closed) => (received.peer_closed, done) = (true, true),
            // Early data is never offered; whatever else comes is no state a connection of ours can be in.
            Ok(_) => return Err(rustls::Error::HandshakeNotComplete.into()),
            Err(error) => {
                alert(side, output);
                return Err(error.into());
            }
        }
        received.used += discard;
        if done {
            return Ok(received);
        }
    }
}

/// Encrypts `plain` to the end of `output`. `held` is input that makes up no record yet. Says whether the other side is
/// now known to have said `close_notify`.
pub(super) fn seal(side: &mut impl Side, held: &mut [u8], plain: &[u8], output: &mut Output) -> Result<bool, Failure> {
    let records = plain.len() / RECORD_BYTES + 1;
    let mut room = plain.len() + records * RECORD_OVERHEAD_BYTES;
    let mut peer_closed = false;
    loop {
        match side.process(held).state? {
            ConnectionState::EncodeTlsData(mut message) => encode(&mut message, output),
            ConnectionState::TransmitTlsData(transmit) => transmit.done(),
            ConnectionState::WriteTraffic(mut traffic) => match traffic.encrypt(plain, output.spare(room)) {
                Ok(written) => {
                    output.advance(written);
                    return Ok(peer_closed);
                }
                Err(EncryptError::InsufficientSize(needed)) => room = needed.required_size,
                Err(EncryptError::EncryptExhausted) => return Err(Failure::WornOut),
            },
            ConnectionState::PeerClosed => peer_closed = true,
            _ => return Err(rustls::Error::HandshakeNotComplete.into()),
        }
    }
}

/// Tells the other side that nothing more comes (RFC 8446 §6.1).
pub(super) fn close_notify(side: &mut impl Side, held: &mut [u8], output: &mut Output) {
    for _ in 0..ALERT_STEPS_MAX {
        match side.process(held).state {
            Ok(ConnectionState::EncodeTlsData(mut message)) => encode(&mut message, output),
            Ok(ConnectionState::TransmitTlsData(transmit)) => transmit.done(),
            Ok(ConnectionState::PeerClosed) => {}
            Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                let written = traffic.queue_close_notify(output.spare(ALERT_BYTES)).unwrap_or_default();
                return output.advance(written);
            }
            _ => return,
        }
    }
}

/// Moves the alert that an error left behind into `output`. Asked only while something waits: after an error the
/// library must not be given input again.
fn alert(side: &mut impl Side, output: &mut Output) {
    while side.state().wants_write() {
        match side.process(&mut []).state {
            Ok(ConnectionState::EncodeTlsData(mut message)) => encode(&mut message, output),
            Ok(ConnectionState::ReadTraffic(mut unread)) => while unread.next_record().is_some() {},
            _ => return,
        }
    }
}

fn encode<Data>(message: &mut EncodeTlsData<'_, Data>, output: &mut Output) {
    let mut room = 0;
    loop {
        match message.encode(output.spare(room)) {
            Ok(written) => return output.advance(written),
            Err(EncodeError::InsufficientSize(needed)) => room = needed.required_size,
            Err(EncodeError::AlreadyEncoded) => return,
        }
    }
}
