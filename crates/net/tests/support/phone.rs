//! A phone over a real socket: connects, sends, and waits for what comes.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use rustls::{ClientConfig, pki_types::ServerName};
use sip::{Frame, Framer, Message};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// How long a test waits for what must come; generous, because nothing is proved by it.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The client's end of one connection.
pub struct Phone {
    pub stream: TlsStream<TcpStream>,
    framer: Framer,
}

impl Phone {
    pub async fn connect(address: SocketAddr, config: Arc<ClientConfig>) -> io::Result<Self> {
        Self::over(TcpStream::connect(address).await?, config).await
    }

    pub async fn over(stream: TcpStream, config: Arc<ClientConfig>) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        let name = ServerName::try_from(super::SERVER_NAME).unwrap();
        let stream = TlsConnector::from(config).connect(name, stream).await?;
        Ok(Self { stream, framer: Framer::default() })
    }

    pub async fn send(&mut self, text: impl AsRef<[u8]>) {
        self.stream.write_all(text.as_ref()).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// The next frame; `None` at an orderly end (`close_notify`), an error at any other.
    pub async fn frame(&mut self) -> io::Result<Option<Frame>> {
        loop {
            if let Some(frame) = self.framer.poll_frame().unwrap() {
                return Ok(Some(frame));
            }
            let mut bytes = [0; 4096];
            let read = timeout(PATIENCE, self.stream.read(&mut bytes)).await.expect("the server stays silent")?;
            if read == 0 {
                return Ok(None);
            }
            self.framer.handle_input(&bytes[..read]);
        }
    }

    pub async fn response(&mut self) -> Message {
        match self.frame().await.unwrap() {
            Some(Frame::Message(message)) => message,
            other => panic!("a response should come, not {other:?}"),
        }
    }

    /// The status of the next response.
    pub async fn status(&mut self) -> u16 {
        self.response().await.status().unwrap().code()
    }

    /// The server ends the connection with `close_notify`.
    pub async fn expect_farewell(&mut self) {
        match self.frame().await {
            Ok(None) => {}
            other => panic!("close_notify should come, not {other:?}"),
        }
    }

    /// The connection ends, orderly or not.
    pub async fn expect_end(&mut self) {
        while let Ok(Some(_)) = self.frame().await {}
    }

    /// What TLS knows of it.
    pub fn tls(&self) -> &rustls::ClientConnection {
        self.stream.get_ref().1
    }

    /// Says something and hears the answer.
    pub async fn check_alive(&mut self) {
        self.send(request("alice", 1)).await;
        assert_eq!(self.status().await, 200);
    }
}

/// A request to `user`.
pub fn request(user: &str, number: u32) -> String {
    format!(
        "OPTIONS sip:{user}@verbund.test SIP/2.0\r\nVia: SIP/2.0/TLS 127.0.0.1:5061;branch=z9hG4bK{number}\r\n\
         From: <sip:alice@verbund.test>;tag=a\r\nTo: <sip:{user}@verbund.test>\r\nCall-ID: c{number}\r\n\
         CSeq: {number} OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
    )
}
