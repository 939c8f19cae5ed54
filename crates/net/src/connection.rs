//! An open connection: bytes in, messages to the core; messages from the core, bytes out.
//!
//! Written as one poll function so that an idle connection holds its keys and nothing else: buffers are the thread's
//! (`scratch`), timers exist only while something is half done. Each poll works in turns of read, deliver, write; all
//! that is due goes out in one run of records and one system call.

use std::{
    future::{Future, poll_fn},
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use sip::{Frame, Framer};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::mpsc::{OwnedPermit, error::SendError, error::TrySendError},
    time::{Sleep, sleep_until},
};

use crate::{
    core::Event,
    farewell::{Presence, farewell, write_at_once},
    fault,
    handshake::Established,
    link::{Closing, Due, Link},
    scratch::{self, READ_BYTES, Scratch},
    shared::Shared,
    sources::Seat,
    tls::{Failure, Step, Tls},
    way::{End, Kind},
};

/// Turns in one poll; after them other connections have theirs.
const TURNS_MAX: usize = 8;

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Ended {
    #[error("the other side closed it")]
    ByPeer,
    #[error("the other side went away without a word")]
    Eof,
    #[error("{0}")]
    Ours(&'static str),
    #[error("cut: {0}")]
    Cut(&'static str),
    #[error("the outbox is full: the other side reads too slowly")]
    Overflow,
    #[error("nothing of what waits was taken in time: the other side does not read")]
    NotReading,
    #[error("a message begun was not finished in time")]
    SlowMessage,
    #[error("too much is held of messages that are not finished")]
    TooMuchUnfinished,
    #[error("the stream cannot be framed: {0}")]
    Unframed(sip::Fault),
    #[error("TLS: {0}")]
    Tls(#[from] Failure),
    #[error("socket: {0}")]
    Socket(#[from] io::Error),
    #[error("the core is gone")]
    NoCore,
}

impl Ended {
    /// Whether an encrypted `close_notify` can be said: after a failure of TLS there is an alert instead.
    fn may_say_goodbye(&self) -> bool {
        self.is_orderly() && !matches!(self, Self::Tls(_))
    }

    /// Whether the other side may still be told.
    fn is_orderly(&self) -> bool {
        match self {
            Self::ByPeer
            | Self::Ours(_)
            | Self::Cut(_)
            | Self::SlowMessage
            | Self::TooMuchUnfinished
            | Self::Unframed(_)
            | Self::Tls(_)
            | Self::NoCore => true,
            Self::Eof | Self::Overflow | Self::NotReading | Self::Socket(_) => false,
        }
    }
}

type Reservation = Pin<Box<dyn Future<Output = Result<OwnedPermit<Event>, SendError<()>>> + Send>>;

/// One connection that `trust` let in.
pub(crate) struct Connection {
    stream: TcpStream,
    tls: Tls,
    link: Arc<Link>,
    shared: Arc<Shared>,
    /// Holds a message that is not whole, or remembers half a ping; otherwise there is none.
    framer: Option<Box<Framer>>,
    /// Ciphertext that the socket did not take yet.
    pending: Vec<u8>,
    /// The core's queue is full; this becomes a place in it.
    reservation: Option<Reservation>,
    /// Rings when something half done should be done.
    alarm: Option<Pin<Box<Sleep>>>,
    message_since: Option<Instant>,
    write_since: Option<Instant>,
    /// Nothing more comes in; what came is delivered first.
    over: Option<Ended>,
    /// The other side has said something.
    heard: bool,
    presence: Presence,
    seat: Seat,
}

/// Whether everything received so far is with the core.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Delivered {
    All,
    /// The core has enough of this connection, or of all; reading waits.
    Waiting,
}

impl Connection {
    pub(crate) fn new(
        stream: TcpStream,
        established: Established,
        link: Arc<Link>,
        shared: Arc<Shared>,
        seat: Seat,
        mut presence: Presence,
    ) -> Self {
        presence.opened();
        let Established { tls, early, .. } = established;
        let framer = (!early.is_empty()).then(|| {
            let mut framer = Box::new(Framer::new(shared.limits.message));
            framer.handle_input(&early);
            framer
        });
        let over = tls.is_peer_closed().then_some(Ended::ByPeer);
        Self {
            stream,
            tls,
            link,
            shared,
            framer,
            pending: Vec::new(),
            reservation: None,
            alarm: None,
            message_since: None,
            write_since: None,
            over,
            heard: !early.is_empty(),
            presence,
            seat,
        }
    }

    /// Until it is to end.
    pub(crate) async fn serve(&mut self) -> Ended {
        poll_fn(|cx| self.poll(cx)).await
    }

    /// Says the last words as far as `ended` allows, tells the core, and lets the other side read. Bounded by the limit
    /// on closing.
    pub(crate) async fn end(mut self, ended: Ended) {
        self.note_end(&ended);
        if ended.may_say_goodbye() {
            let notify = self.tls.goodbye();
            self.pending.extend_from_slice(&notify);
        }
        if ended.is_orderly() {
            // Before the core hears of it: when the last connection is gone, the process may be.
            write_at_once(&self.stream, &mut self.pending);
        }
        self.presence.report().await;
        if ended.is_orderly() {
            farewell(&mut self.stream, &self.pending, self.shared.limits.closing()).await;
        }
    }

    /// In TLS 1.3 whoever calls has finished before the called server has judged: an end before its first word is most
    /// likely its verdict on us, and is kept as one.
    fn note_end(&self, ended: &Ended) {
        let Some(facts) = self.link.facts() else { return };
        tracing::debug!(flow = self.link.flow.0, remote = %facts.remote, reason = %ended, "connection ended");
        let end = match ended {
            Ended::Tls(Failure::Tls(error)) => End::Late(error),
            Ended::ByPeer | Ended::Eof | Ended::Socket(_) => End::Lost("the server that was called ended it before it said anything"),
            _ => return,
        };
        if self.link.kind == Kind::Dialled && !self.heard {
            self.shared.verdicts.note_failure(&facts.way, Some(self.link.flow), facts.remote, end);
        }
    }

    /// Does what can be done now; ready when the connection is to end.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        if let Some(Closing::Cut(reason)) = self.link.register(cx.waker()) {
            return Poll::Ready(Ended::Cut(reason));
        }
        for _ in 0..TURNS_MAX {
            match scratch::with(|scratch| self.turn(cx, scratch)) {
                Ok(true) => {}
                Ok(false) => return self.poll_alarm(cx),
                Err(ended) => return Poll::Ready(ended),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Read, deliver, write. Says whether anything moved.
    fn turn(&mut self, cx: &mut Context<'_>, scratch: &mut Scratch) -> Result<bool, Ended> {
        let free = self.poll_pending(cx)?;
        if !free && !self.link.is_closing() {
            // Who does not read is not listened to.
            return Ok(false);
        }
        let mut moved = false;
        let mut delivered = self.deliver(cx, scratch)?;
        if free && delivered == Delivered::All {
            moved = self.poll_input(cx, scratch)?;
            if moved {
                delivered = self.deliver(cx, scratch)?;
            }
        }
        if !self.seat.hold_unfinished(self.unfinished_bytes()) {
            return Err(Ended::TooMuchUnfinished);
        }
        let due = self.link.take_into(&mut scratch.plain);
        if !scratch.plain.is_empty() {
            self.tls.seal(&scratch.plain, &mut scratch.output)?;
        }
        moved |= due == Due::More;
        self.transmit(cx, scratch.output.filled())?;
        match due {
            Due::Close(Closing::Orderly(reason)) => Err(Ended::Ours(reason)),
            Due::Close(Closing::Cut(reason)) => Err(Ended::Cut(reason)),
            Due::Close(Closing::Overflow) => {
                self.shared.meters.outbox_overflows.increment(1);
                Err(Ended::Overflow)
            }
            Due::Nothing | Due::More => match self.over.take_if(|_| delivered == Delivered::All) {
                Some(over) => Err(over),
                None => Ok(moved),
            },
        }
    }

    /// One read from the socket, through TLS, to the framer.
    fn poll_input(&mut self, cx: &mut Context<'_>, scratch: &mut Scratch) -> Result<bool, Ended> {
        if self.over.is_some() {
            return Ok(false);
        }
        let held = self.tls.release(&mut scratch.input, READ_BYTES);
        let mut space = ReadBuf::new(&mut scratch.input[held..held + READ_BYTES]);
        match Pin::new(&mut self.stream).poll_read(cx, &mut space) {
            Poll::Pending => return Ok(false),
            Poll::Ready(read) => read?,
        }
        let read = space.filled().len();
        if read == 0 {
            self.over = Some(Ended::Eof);
            return Ok(true);
        }
        let limits = self.shared.limits.message;
        let framer = self.framer.get_or_insert_with(|| scratch.framer.take().unwrap_or_else(|| Box::new(Framer::new(limits))));
        let input = &mut scratch.input[..held + read];
        let received = self.tls.receive(input, &mut scratch.output, |data| framer.handle_input(data));
        self.heard |= !framer.buffer_mut().is_empty();
        match received {
            Ok(Step::Open | Step::Handshaking) => {}
            Ok(Step::PeerClosed) => self.over = Some(Ended::ByPeer),
            Err(failure) => {
                // The alert is in the output; the other side shall read it.
                self.transmit(cx, scratch.output.filled())?;
                return Err(failure.into());
            }
        }
        Ok(true)
    }

    /// Hands whole messages to the core, as many as it takes. Pings are answered here (RFC 5626 §3.5.1).
    fn deliver(&mut self, cx: &mut Context<'_>, scratch: &mut Scratch) -> Result<Delivered, Ended> {
        let Some(mut framer) = self.framer.take_if(|framer| !framer.is_between_messages()) else { return Ok(Delivered::All) };
        let mut half_ping = false;
        let delivered = loop {
            if framer.is_between_messages() {
                break Delivered::All;
            }
            let Some(place) = self.poll_place(cx)? else {
                self.message_since = None;
                break Delivered::Waiting;
            };
            let frame = framer.poll_frame();
            // The other half may be in the next segment; the framer remembers.
            half_ping = matches!(frame, Ok(Some(Frame::Pong)));
            match frame {
                Ok(Some(Frame::Message(message))) => {
                    self.message_since = None;
                    self.link.begin_message();
                    self.shared.meters.received(&message);
                    place.send(Event::Message { flow: self.link.flow, message });
                }
                // One answers all that came together: two in a row would look like a ping of ours.
                Ok(Some(Frame::Ping)) if scratch.plain.is_empty() => scratch.plain.extend_from_slice(b"\r\n"),
                Ok(Some(Frame::Ping)) => {}
                Ok(Some(Frame::Pong)) => {}
                Ok(None) => break Delivered::All,
                Err(fault) => return Err(self.refuse_stream(cx, scratch, framer.buffer_mut(), fault)),
            }
        };
        if framer.is_between_messages() {
            framer.shrink();
        }
        if framer.is_between_messages() && !half_ping {
            scratch.framer = Some(framer);
        } else {
            self.framer = Some(framer);
        }
        Ok(delivered)
    }

    /// What is held of things that are not whole: of a message, and of a record that cannot be decrypted yet.
    fn unfinished_bytes(&self) -> usize {
        self.framer.as_ref().map_or(0, |framer| framer.held_bytes()) + self.tls.held_bytes()
    }

    /// A place for one message: in this connection's own share, and in the core's queue.
    fn poll_place(&mut self, cx: &mut Context<'_>) -> Result<Option<OwnedPermit<Event>>, Ended> {
        if self.link.in_flight() >= self.shared.limits.messages_in_flight_max {
            return Ok(None);
        }
        if self.reservation.is_none() {
            match self.shared.share(self.link.kind).events.clone().try_reserve_owned() {
                Ok(place) => return Ok(Some(place)),
                Err(TrySendError::Closed(_)) => return Err(Ended::NoCore),
                Err(TrySendError::Full(events)) => self.reservation = Some(Box::pin(events.reserve_owned())),
            }
        }
        let Some(reservation) = &mut self.reservation else { return Ok(None) };
        match reservation.as_mut().poll(cx) {
            Poll::Pending => Ok(None),
            Poll::Ready(place) => {
                self.reservation = None;
                place.map(Some).map_err(|_| Ended::NoCore)
            }
        }
    }

    fn refuse_stream(&mut self, cx: &mut Context<'_>, scratch: &mut Scratch, unread: &[u8], fault: sip::Fault) -> Ended {
        if let Some(answer) = fault::answer(unread, &fault) {
            scratch.plain.extend_from_slice(&answer);
        }
        let told = self.tls.seal(&scratch.plain, &mut scratch.output).map_err(Ended::from);
        match told.and_then(|()| self.transmit(cx, scratch.output.filled())) {
            Ok(()) => Ended::Unframed(fault),
            Err(ended) => ended,
        }
    }

    /// Writes ciphertext; what the socket does not take now is kept.
    fn transmit(&mut self, cx: &mut Context<'_>, mut output: &[u8]) -> Result<(), Ended> {
        while !output.is_empty() && self.pending.is_empty() {
            match Pin::new(&mut self.stream).poll_write(cx, output) {
                Poll::Ready(written) => output = &output[written?..],
                Poll::Pending => {
                    self.write_since = Some(Instant::now());
                    break;
                }
            }
        }
        self.pending.extend_from_slice(output);
        Ok(())
    }

    /// Writes what was kept. Says whether the way is free.
    fn poll_pending(&mut self, cx: &mut Context<'_>) -> Result<bool, Ended> {
        while !self.pending.is_empty() {
            match Pin::new(&mut self.stream).poll_write(cx, &self.pending) {
                Poll::Ready(written) => {
                    self.pending.drain(..written?);
                    self.write_since = Some(Instant::now());
                }
                Poll::Pending => return Ok(false),
            }
        }
        if self.write_since.take().is_some() {
            self.pending = Vec::new();
        }
        Ok(true)
    }

    /// Keeps a timer exactly while a message or a write is half done.
    fn poll_alarm(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        let now = Instant::now;
        let half_framed = self.framer.as_ref().is_some_and(|framer| !framer.is_between_messages());
        let half_received = self.reservation.is_none() && (half_framed || self.tls.held_bytes() > 0);
        if !half_received || self.link.in_flight() >= self.shared.limits.messages_in_flight_max {
            self.message_since = None;
        } else {
            self.message_since.get_or_insert_with(now);
        }
        loop {
            let limits = &self.shared.limits;
            let message = self.message_since.map(|since| (since + limits.message_time(), Ended::SlowMessage));
            let write = self.write_since.map(|since| (since + limits.write_stall(), Ended::NotReading));
            let Some((due, ended)) = [message, write].into_iter().flatten().min_by_key(|(due, _)| *due) else {
                self.alarm = None;
                return Poll::Pending;
            };
            if due <= now() {
                return Poll::Ready(ended);
            }
            let due = tokio::time::Instant::from_std(due);
            let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep_until(due)));
            if alarm.is_elapsed() || alarm.deadline() > due {
                alarm.as_mut().reset(due);
            }
            if alarm.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }
}
