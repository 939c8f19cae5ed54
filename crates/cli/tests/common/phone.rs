//! A phone of a few lines: one TLS connection, blocking, verifying by the CA file as any client does.
//!
//! It signs in by digest (RFC 7616, SHA-256), writes, calls and answers. What it receives is read with the
//! `sip` crate; what it sends is written out here by hand.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::TcpStream,
    sync::Arc,
    time::{Duration, Instant},
};

use aws_lc_rs::digest::{SHA256, digest};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _};
use sip::{Frame, Framer, Limits, Message, Name};

use super::verbund::{PATIENCE, Verbund};

/// An offer that nobody has to refuse: SDES over TLS.
pub const SDP: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 40000 RTP/SAVP 0\r\n\
    a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz\r\na=rtpmap:0 PCMU/8000\r\n";

/// The same without encryption.
pub const CLEAR_SDP: &str =
    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n";

/// One user's phone on one connection.
pub struct Phone {
    stream: StreamOwned<ClientConnection, TcpStream>,
    framer: Framer,
    user: String,
    domain: String,
    password: String,
    /// Makes branches, tags and call identifiers differ.
    count: u32,
}

/// How a dialog is called, as the caller sees it.
pub struct Call {
    peer: String,
    id: String,
    from: String,
    to: String,
    target: String,
    routes: Vec<String>,
}

impl Phone {
    /// Connects and verifies the server's name. No sign-in yet.
    pub fn connect(server: &Verbund, user: &str, password: &str) -> Self {
        Self::try_connect(server, user, password, server.said("server_name")).unwrap()
    }

    /// The same, expecting `name` in the certificate.
    pub fn try_connect(server: &Verbund, user: &str, password: &str, name: &str) -> std::io::Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(server.said("ca")).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        Self::over(server, user, password, name, config.with_root_certificates(roots).with_no_client_auth())
    }

    /// Connects with a user's certificate, which is judged only after the handshake is done on this side: whether it was believed
    /// shows with the first answer.
    pub fn with_certificate(server: &Verbund, user: &str, password: &str, chain_pem: &str, key_pem: &str) -> std::io::Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(server.said("ca")).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let chain = CertificateDer::pem_slice_iter(chain_pem.as_bytes()).map(Result::unwrap).collect();
        let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes()).unwrap();
        let config = config.with_root_certificates(roots).with_client_auth_cert(chain, key).unwrap();
        Self::over(server, user, password, server.said("server_name"), config)
    }

    fn over(server: &Verbund, user: &str, password: &str, name: &str, config: ClientConfig) -> std::io::Result<Self> {
        let connection = ClientConnection::new(Arc::new(config), ServerName::try_from(name.to_owned()).unwrap()).unwrap();
        let tcp = TcpStream::connect(server.said("sip"))?;
        tcp.set_nodelay(true)?;
        tcp.set_read_timeout(Some(Duration::from_millis(50)))?;
        let mut stream = StreamOwned::new(connection, tcp);
        let end = Instant::now() + PATIENCE;
        while stream.conn.is_handshaking() {
            match stream.conn.complete_io(&mut stream.sock) {
                Err(error) if is_quiet(&error) && Instant::now() < end => {}
                result => drop(result?),
            }
        }
        let (user, domain, password) = (user.to_owned(), server.said("domain").to_owned(), password.to_owned());
        Ok(Self { stream, framer: Framer::new(Limits::DEFAULT), user, domain, password, count: 0 })
    }

    /// Connects as a user of the ready line and signs in.
    pub fn signed_in(server: &Verbund, user: &str) -> Self {
        let mut phone = Self::connect(server, user, &server.password(user));
        assert_eq!(phone.register(600), 200, "{user} signs in");
        phone
    }

    pub fn aor(&self) -> String {
        format!("sip:{}@{}", self.user, self.domain)
    }

    fn contact(&self) -> String {
        format!("<sip:{}@127.0.0.1:{};transport=tls>", self.user, self.stream.sock.local_addr().unwrap().port())
    }

    /// What the handshake settled: version and key exchange.
    pub fn tls(&self) -> (String, String) {
        let connection = &self.stream.conn;
        let group = connection.negotiated_key_exchange_group().map(|group| format!("{:?}", group.name())).unwrap_or_default();
        (format!("{:?}", connection.protocol_version().unwrap()), group)
    }

    /// Signs in (or out, with 0 seconds); the final status.
    pub fn register(&mut self, expires: u32) -> u16 {
        let (aor, contact) = (self.aor(), self.contact());
        let more = format!("Contact: {contact}\r\nExpires: {expires}\r\nUser-Agent: test phone\r\n");
        self.transaction("REGISTER", &format!("sip:{}", self.domain), &aor, &more, "").status().unwrap().code()
    }

    /// Whether the server ends the connection before it answers anything, the right password at hand or not.
    pub fn hears_nothing(mut self) -> bool {
        let (aor, uri, call_id) = (self.aor(), format!("sip:{}", self.domain), self.unique("id"));
        let contact = format!("Contact: {}\r\n", self.contact());
        let request = self.request("REGISTER", &uri, &aor, &call_id, 1, &contact, "");
        // Writing into a connection that was ended fails, and says the same.
        let sent = self.stream.write_all(request.as_bytes()).and_then(|()| self.stream.flush());
        sent.is_err() || self.next().is_none()
    }

    /// Writes to somebody; the final status.
    pub fn write(&mut self, to: &str, text: &str) -> u16 {
        let reply = self.transaction("MESSAGE", to, to, "Content-Type: text/plain\r\n", text);
        reply.status().unwrap().code()
    }

    /// Calls somebody; the INVITE is under way when this returns, or its failure is returned.
    pub fn invite(&mut self, to: &str, sdp: &str) -> String {
        let more = format!("Contact: {}\r\nContent-Type: application/sdp\r\n", self.contact());
        let call_id = self.unique("call");
        let request = self.request("INVITE", to, to, &call_id, 1, &more, sdp);
        self.send(&request);
        request
    }

    /// The final response to an INVITE sent with [`invite`](Self::invite), provisional ones skipped.
    pub fn final_response(&mut self) -> Message {
        loop {
            let message = self.next().expect("a response");
            if message.status().is_some_and(sip::Status::is_final) {
                return message;
            }
        }
    }

    /// Acknowledges a 200 and gives the dialog.
    pub fn establish(&mut self, response: &Message) -> Call {
        let routes: Vec<String> = response.list(Name::RecordRoute).map(str::to_owned).collect();
        let call = Call {
            peer: String::new(),
            id: response.call_id().unwrap().to_owned(),
            from: response.first(Name::From).unwrap().to_owned(),
            to: response.first(Name::To).unwrap().to_owned(),
            target: uri_of(response.first(Name::Contact).unwrap()),
            routes: routes.into_iter().rev().collect(),
        };
        let ack = self.in_dialog("ACK", &call, 1);
        self.send(&ack);
        call
    }

    /// Hangs up; the final status.
    pub fn hang_up(&mut self, call: &Call) -> u16 {
        let bye = self.in_dialog("BYE", call, 2);
        self.send(&bye);
        self.final_response().status().unwrap().code()
    }

    fn in_dialog(&mut self, method: &str, call: &Call, cseq: u32) -> String {
        let routes: String = call.routes.iter().map(|route| format!("Route: {route}\r\n")).collect();
        let branch = self.unique("z9hG4bK");
        format!(
            "{method} {} SIP/2.0\r\nVia: SIP/2.0/TLS 127.0.0.1;branch={branch}\r\nMax-Forwards: 70\r\n{routes}From: {}\r\nTo: {}\r\n\
             Call-ID: {}\r\nCSeq: {cseq} {method}\r\nContent-Length: 0\r\n\r\n",
            call.target, call.from, call.to, call.id
        )
    }

    /// Answers a request that came in.
    pub fn answer(&mut self, request: &Message, status: &str, more: &str, body: &str) {
        let mut text = format!("SIP/2.0 {status}\r\n");
        for field in request.fields() {
            match field.name {
                Name::Via | Name::From | Name::CallId | Name::CSeq | Name::RecordRoute => {
                    text += &format!("{}: {}\r\n", field.raw_name, field.value);
                }
                Name::To if field.value.contains(";tag=") => text += &format!("To: {}\r\n", field.value),
                Name::To => text += &format!("To: {};tag={}\r\n", field.value, self.user),
                _ => {}
            }
        }
        text += &format!("Contact: {}\r\n{more}Content-Length: {}\r\n\r\n{body}", self.contact(), body.len());
        self.send(&text);
    }

    /// Sends a request and gives its final response; a challenge is answered once.
    pub fn transaction(&mut self, method: &str, uri: &str, to: &str, more: &str, body: &str) -> Message {
        let call_id = self.unique("id");
        let request = self.request(method, uri, to, &call_id, 1, more, body);
        self.send(&request);
        let response = self.final_response();
        let (challenge, header) = match response.status().unwrap().code() {
            401 => (Name::WwwAuthenticate, "Authorization"),
            407 => (Name::ProxyAuthenticate, "Proxy-Authorization"),
            _ => return response,
        };
        let credentials = self.credentials(&response, challenge, method, uri);
        let request = self.request(method, uri, to, &call_id, 2, &format!("{header}: {credentials}\r\n{more}"), body);
        self.send(&request);
        self.final_response()
    }

    /// The digest for the SHA-256 challenge (RFC 7616 §3.4).
    fn credentials(&self, response: &Message, challenge: Name, method: &str, uri: &str) -> String {
        let offered = response.all(challenge).find(|value| value.contains("SHA-256")).expect("SHA-256 is offered");
        let (realm, nonce) = (parameter(offered, "realm"), parameter(offered, "nonce"));
        let ha1 = hash(&format!("{}:{realm}:{}", self.user, self.password));
        let ha2 = hash(&format!("{method}:{uri}"));
        let answer = hash(&format!("{ha1}:{nonce}:00000001:c0ffee:auth:{ha2}"));
        let opaque = if offered.contains("opaque=") { format!(", opaque=\"{}\"", parameter(offered, "opaque")) } else { String::new() };
        format!(
            "Digest username=\"{}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{uri}\", algorithm=SHA-256, response=\"{answer}\", \
             qop=auth, nc=00000001, cnonce=\"c0ffee\"{opaque}",
            self.user
        )
    }

    #[allow(clippy::too_many_arguments)]
    fn request(&mut self, method: &str, uri: &str, to: &str, call_id: &str, cseq: u32, more: &str, body: &str) -> String {
        let branch = self.unique("z9hG4bK");
        format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/TLS 127.0.0.1;branch={branch}\r\nMax-Forwards: 70\r\nFrom: <{}>;tag={}\r\n\
             To: <{to}>\r\nCall-ID: {call_id}\r\nCSeq: {cseq} {method}\r\nSupported: outbound\r\n{more}Content-Length: {}\r\n\r\n{body}",
            self.aor(),
            self.user,
            body.len()
        )
    }

    fn unique(&mut self, what: &str) -> String {
        self.count += 1;
        format!("{what}{}x{}", self.stream.sock.local_addr().unwrap().port(), self.count)
    }

    /// Sends text as it is.
    pub fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).unwrap();
        self.stream.flush().unwrap();
    }

    /// The next message; `None` when the server ended the connection.
    pub fn next(&mut self) -> Option<Message> {
        let end = Instant::now() + PATIENCE;
        loop {
            match self.framer.poll_frame().unwrap() {
                Some(Frame::Message(message)) => return Some(message),
                Some(Frame::Ping | Frame::Pong) => continue,
                None => {}
            }
            let mut buffer = [0; 4096];
            match self.stream.read(&mut buffer) {
                Ok(0) => return None,
                Ok(read) => self.framer.handle_input(&buffer[..read]),
                Err(error) if is_quiet(&error) => assert!(Instant::now() < end, "{} hears nothing", self.user),
                Err(_) => return None,
            }
        }
    }

    /// The next request.
    pub fn next_request(&mut self) -> Message {
        loop {
            let message = self.next().expect("a request");
            if message.is_request() {
                return message;
            }
        }
    }
}

fn is_quiet(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

fn uri_of(contact: &str) -> String {
    contact.split(['<', '>']).nth(1).unwrap().to_owned()
}

fn parameter(text: &str, name: &str) -> String {
    let start = text.find(&format!("{name}=\"")).unwrap() + name.len() + 2;
    text[start..].split('"').next().unwrap().to_owned()
}

fn hash(text: &str) -> String {
    digest(&SHA256, text.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
