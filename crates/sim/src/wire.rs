//! One connection: both ends of a TLS session, and what was said over it.

use std::{collections::VecDeque, io::Read, sync::Arc};

use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection};
use rustls_pki_types::ServerName;
use sip::{Frame, Framer, Limits, Message};

/// A phone's connection to the server, both ends of it.
pub(crate) struct Wire {
    client: ClientConnection,
    pub(crate) server: ServerConnection,
    /// What the server reads.
    incoming: Framer,
    /// What the phone reads.
    outgoing: Framer,
    pub(crate) inbox: VecDeque<Message>,
}

impl Wire {
    pub(crate) fn new(client: Arc<ClientConfig>, server: Arc<ServerConfig>, name: &str) -> Self {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        Self {
            client: ClientConnection::new(client, name).unwrap(),
            server: ServerConnection::new(server).unwrap(),
            incoming: Framer::new(Limits::DEFAULT),
            outgoing: Framer::new(Limits::DEFAULT),
            inbox: VecDeque::new(),
        }
    }

    /// Carries records both ways until neither side has anything to say.
    pub(crate) fn carry(&mut self) -> Result<(), rustls::Error> {
        loop {
            let mut moved = false;
            let mut cable = Vec::new();
            while self.client.wants_write() {
                self.client.write_tls(&mut cable).unwrap();
            }
            moved |= !cable.is_empty();
            feed(&cable, |part| {
                self.server.read_tls(part).unwrap();
                self.server.process_new_packets().map(|_| ())
            })?;
            cable.clear();
            while self.server.wants_write() {
                self.server.write_tls(&mut cable).unwrap();
            }
            moved |= !cable.is_empty();
            feed(&cable, |part| {
                self.client.read_tls(part).unwrap();
                self.client.process_new_packets().map(|_| ())
            })?;
            if !moved {
                return Ok(());
            }
        }
    }

    pub(crate) fn say(&mut self, text: &str) {
        use std::io::Write as _;
        self.client.writer().write_all(text.as_bytes()).unwrap();
    }

    pub(crate) fn answer(&mut self, bytes: &[u8]) {
        use std::io::Write as _;
        self.server.writer().write_all(bytes).unwrap();
    }

    /// Whole messages that reached the server.
    pub(crate) fn arrived(&mut self) -> Vec<Message> {
        drain(&mut self.server.reader(), &mut self.incoming)
    }

    /// Moves what reached the phone into its inbox.
    pub(crate) fn collect(&mut self) {
        let messages = drain(&mut self.client.reader(), &mut self.outgoing);
        self.inbox.extend(messages);
    }
}

fn feed(mut cable: &[u8], mut take: impl FnMut(&mut &[u8]) -> Result<(), rustls::Error>) -> Result<(), rustls::Error> {
    while !cable.is_empty() {
        take(&mut cable)?;
    }
    Ok(())
}

fn drain(reader: &mut impl Read, framer: &mut Framer) -> Vec<Message> {
    let mut buffer = [0; 16 * 1024];
    while let Ok(read) = reader.read(&mut buffer) {
        if read == 0 {
            break;
        }
        framer.handle_input(&buffer[..read]);
    }
    let mut messages = Vec::new();
    while let Some(frame) = framer.poll_frame().expect("a stream that can be framed") {
        if let Frame::Message(message) = frame {
            messages.push(message);
        }
    }
    messages
}
