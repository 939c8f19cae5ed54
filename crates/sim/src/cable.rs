//! A connection between any two parties: both ends of a TLS session, and what has arrived at each.

use std::{io::Read, sync::Arc};

use pki::CertificateDer;
use rustls::{ClientConfig, ClientConnection, Connection, Error, ServerConfig, ServerConnection};
use rustls_pki_types::ServerName;
use sip::{Frame, Framer, Limits, Message};

/// One end: TLS, and the framer behind it.
struct End {
    tls: Connection,
    framer: Framer,
}

/// Which end of a cable.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Side {
    /// The one that called.
    Calling,
    /// The one that was called.
    Called,
}

impl Side {
    pub(crate) const BOTH: [Self; 2] = [Self::Calling, Self::Called];
}

/// Two ends and what is between them.
pub(crate) struct Cable {
    calling: End,
    called: End,
    /// What went wrong, and on which end.
    pub(crate) faults: Vec<(Side, Error)>,
    /// Bytes go in and do not come out.
    pub(crate) silent: bool,
}

impl Cable {
    pub(crate) fn new(client: Arc<ClientConfig>, server: Arc<ServerConfig>, name: &str) -> Self {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        Self {
            calling: End::new(ClientConnection::new(client, name).unwrap().into()),
            called: End::new(ServerConnection::new(server).unwrap().into()),
            faults: Vec::new(),
            silent: false,
        }
    }

    fn end(&mut self, side: Side) -> &mut End {
        match side {
            Side::Calling => &mut self.calling,
            Side::Called => &mut self.called,
        }
    }

    /// Carries records both ways until neither side has anything to say.
    pub(crate) fn carry(&mut self) {
        let mut moved = true;
        while moved {
            moved = false;
            for (from, to) in [(Side::Calling, Side::Called), (Side::Called, Side::Calling)] {
                let bytes = self.end(from).take();
                moved |= !bytes.is_empty();
                if self.silent || self.faults.iter().any(|(side, _)| *side == to) {
                    continue;
                }
                if let Err(error) = self.end(to).give(&bytes) {
                    self.faults.push((to, error));
                }
            }
        }
    }

    pub(crate) fn write(&mut self, side: Side, bytes: &[u8]) {
        use std::io::Write as _;
        self.end(side).tls.writer().write_all(bytes).unwrap();
    }

    /// Whole messages that have arrived on this side.
    pub(crate) fn arrived(&mut self, side: Side) -> Vec<Message> {
        self.end(side).messages()
    }

    /// What the other side showed.
    pub(crate) fn shown(&mut self, side: Side) -> Vec<CertificateDer<'static>> {
        self.end(side).tls.peer_certificates().unwrap_or_default().to_vec()
    }

    pub(crate) fn fault(&self, side: Side) -> Option<&Error> {
        self.faults.iter().find(|(at, _)| *at == side).map(|(_, error)| error)
    }

    pub(crate) fn calling(&self) -> Option<&ClientConnection> {
        match &self.calling.tls {
            Connection::Client(client) => Some(client),
            Connection::Server(_) => None,
        }
    }

    pub(crate) fn called(&self) -> Option<&ServerConnection> {
        match &self.called.tls {
            Connection::Server(server) => Some(server),
            Connection::Client(_) => None,
        }
    }
}

impl End {
    fn new(tls: Connection) -> Self {
        Self { tls, framer: Framer::new(Limits::DEFAULT) }
    }

    fn take(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut bytes).unwrap();
        }
        bytes
    }

    fn give(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        while !bytes.is_empty() {
            self.tls.read_tls(&mut bytes).unwrap();
            self.tls.process_new_packets()?;
            let mut buffer = [0; 16 * 1024];
            while let Ok(read) = self.tls.reader().read(&mut buffer) {
                if read == 0 {
                    break;
                }
                self.framer.handle_input(&buffer[..read]);
            }
        }
        Ok(())
    }

    fn messages(&mut self) -> Vec<Message> {
        let mut messages = Vec::new();
        while let Some(frame) = self.framer.poll_frame().expect("a stream that can be framed") {
            if let Frame::Message(message) = frame {
                messages.push(message);
            }
        }
        messages
    }
}
