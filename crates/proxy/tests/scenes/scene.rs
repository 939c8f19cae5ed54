//! The stage: a proxy, flows with phones at their ends, and a clock that jumps.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use locate::NextHop;
use proxy::{End, Flow, Forward, Leg, MediaPolicy, NewRequest, Proxy, Route, Settings, Target, UserName};
use sip::{Message, Name};

pub(crate) const ALICE: Flow = Flow(1);
pub(crate) const BOB: Flow = Flow(2);
pub(crate) const CAROL: Flow = Flow(3);
pub(crate) const DAVE: Flow = Flow(4);
pub(crate) const MALLORY: Flow = Flow(66);

pub(crate) struct Scene {
    pub(crate) proxy: Proxy,
    pub(crate) now: Instant,
}

impl Scene {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut Settings)) -> Self {
        Self::keyed([7; 32], change)
    }

    pub(crate) fn keyed(key: [u8; 32], change: impl FnOnce(&mut Settings)) -> Self {
        let now = Instant::now();
        let mut settings = Settings::new("sip.verbund.test:5061".to_owned(), MediaPolicy::Require);
        settings.realm = Some("verbund.test".to_owned());
        settings.aliases = vec!["verbund.test".to_owned()];
        change(&mut settings);
        Self { proxy: Proxy::new(settings, &key, now), now }
    }

    /// A message comes in on a flow.
    pub(crate) fn hear(&mut self, flow: Flow, text: &str) -> Option<NewRequest> {
        self.proxy.handle_message(flow, message(text), self.now)
    }

    /// A new request comes in.
    pub(crate) fn ask(&mut self, flow: Flow, ask: &Ask) -> NewRequest {
        self.hear(flow, &ask.text()).expect("a new request")
    }

    /// A new request comes in and goes to these devices.
    pub(crate) fn send(&mut self, flow: Flow, ask: &Ask, targets: &[Target]) {
        let request = self.ask(flow, ask);
        self.proxy.forward(request, plan(targets), self.now);
    }

    /// A response comes in.
    pub(crate) fn reply(&mut self, flow: Flow, request: &Message, start: &str) {
        self.reply_with(flow, request, start, "", "");
    }

    pub(crate) fn reply_with(&mut self, flow: Flow, request: &Message, start: &str, headers: &str, body: &str) {
        let text = response(request, start, &format!("tag-{}", flow.0), headers, body);
        assert!(self.hear(flow, &text).is_none(), "a response is never handed out");
    }

    /// The next message out goes to `flow`.
    #[track_caller]
    pub(crate) fn expect(&mut self, flow: Flow) -> Message {
        let (to, bytes) = self.proxy.poll_output().unwrap_or_else(|| panic!("nothing comes out, {flow:?} expected"));
        let text = String::from_utf8_lossy(&bytes).into_owned();
        assert_eq!(to, flow, "{text}");
        Message::parse(bytes).unwrap_or_else(|fault| panic!("{fault}\n{text}"))
    }

    /// The next message out is this response to `flow`.
    #[track_caller]
    pub(crate) fn expect_status(&mut self, flow: Flow, code: u16) -> Message {
        let message = self.expect(flow);
        assert_eq!(message.status().map(|status| status.code()), Some(code), "{}", text_of(&message));
        message
    }

    /// The next message out is a request of this method to `flow`.
    #[track_caller]
    pub(crate) fn expect_method(&mut self, flow: Flow, method: &str) -> Message {
        let message = self.expect(flow);
        assert!(message.is_request(), "{}", text_of(&message));
        assert_eq!(message.method(), method, "{}", text_of(&message));
        message.validate().unwrap();
        message
    }

    /// Nothing more comes out.
    #[track_caller]
    pub(crate) fn silence(&mut self) {
        if let Some((flow, bytes)) = self.proxy.poll_output() {
            panic!("to {flow:?}: {}", String::from_utf8_lossy(&bytes));
        }
    }

    /// Time passes, every timer in its turn.
    pub(crate) fn pass(&mut self, seconds: u64) {
        let end = self.now + Duration::from_secs(seconds);
        while let Some(due) = self.proxy.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.proxy.handle_timeout(self.now);
        }
        self.now = end;
        self.proxy.handle_timeout(end);
    }

    pub(crate) fn close(&mut self, flow: Flow) {
        self.proxy.handle_closed(flow, self.now);
    }

    /// Alice calls; the INVITE as each device gets it.
    #[track_caller]
    pub(crate) fn call(&mut self, ask: &Ask, targets: &[Target]) -> Vec<Message> {
        self.send(ALICE, ask, targets);
        self.expect_status(ALICE, 100);
        let first = targets.iter().map(|target| target.q).max();
        let mut sent: Vec<Message> = targets.iter().filter(|target| Some(target.q) == first).map(|_| self.expect_any()).collect();
        sent.sort_by_key(|message| message.request_uri_text().to_owned());
        self.silence();
        sent
    }

    #[track_caller]
    pub(crate) fn expect_any(&mut self) -> Message {
        let (_, bytes) = self.proxy.poll_output().expect("something comes out");
        Message::parse(bytes).unwrap()
    }
}

/// A request as a phone writes it.
#[derive(Clone)]
pub(crate) struct Ask {
    pub(crate) method: &'static str,
    pub(crate) uri: String,
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) call_id: String,
    pub(crate) cseq: u32,
    pub(crate) via: String,
    pub(crate) headers: String,
    pub(crate) body: String,
}

pub(crate) const SRTP: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/SAVP 0\r\n\
    a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz\r\n";
pub(crate) const CLEAR: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n";

impl Ask {
    pub(crate) fn new(method: &'static str) -> Self {
        Self {
            method,
            uri: "sip:bob@verbund.test".to_owned(),
            from: "<sip:alice@verbund.test>;tag=a1".to_owned(),
            to: "<sip:bob@verbund.test>".to_owned(),
            call_id: "call-1".to_owned(),
            cseq: 1,
            via: format!("SIP/2.0/TLS phone.invalid;branch=z9hG4bK-{method}-1"),
            headers: "Max-Forwards: 70\r\n".to_owned(),
            body: String::new(),
        }
    }

    pub(crate) fn invite() -> Self {
        let mut ask = Self::new("INVITE").with("Contact: <sip:alice@192.0.2.1:5061;transport=tls>\r\nContent-Type: application/sdp\r\n");
        ask.body = SRTP.to_owned();
        ask
    }

    pub(crate) fn with(mut self, headers: &str) -> Self {
        self.headers.push_str(headers);
        self
    }

    pub(crate) fn without_hops(mut self) -> Self {
        self.headers = self.headers.replace("Max-Forwards: 70\r\n", "");
        self
    }

    pub(crate) fn within(mut self, tag: &str) -> Self {
        self.to = format!("<sip:bob@verbund.test>;tag={tag}");
        self
    }

    /// The CANCEL or the ACK for a failure that belongs to it.
    pub(crate) fn hop(&self, method: &'static str) -> Self {
        Self { method, headers: "Max-Forwards: 70\r\n".to_owned(), body: String::new(), ..self.clone() }
    }

    pub(crate) fn text(&self) -> String {
        let Self { method, uri, from, to, call_id, cseq, via, headers, body } = self;
        let length = body.len();
        format!(
            "{method} {uri} SIP/2.0\r\nVia: {via}\r\nFrom: {from}\r\nTo: {to}\r\nCall-ID: {call_id}\r\nCSeq: {cseq} {method}\r\n\
             {headers}Content-Length: {length}\r\n\r\n{body}"
        )
    }
}

/// What a phone answers to a request as it got it.
pub(crate) fn response(request: &Message, start: &str, tag: &str, headers: &str, body: &str) -> String {
    let mut text = format!("SIP/2.0 {start}\r\n");
    for field in request.fields() {
        match field.name {
            Name::Via | Name::RecordRoute | Name::From | Name::CallId | Name::CSeq => {
                text.push_str(&format!("{}: {}\r\n", field.raw_name, field.value));
            }
            Name::To if field.value.contains(";tag=") => text.push_str(&format!("To: {}\r\n", field.value)),
            Name::To => text.push_str(&format!("To: {};tag={tag}\r\n", field.value)),
            _ => {}
        }
    }
    let contact = if start.starts_with('2') { "Contact: <sip:bob@192.0.2.2:5061;transport=tls>\r\n" } else { "" };
    let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
    text.push_str(&format!("{contact}{headers}{kind}Content-Length: {}\r\n\r\n{body}", body.len()));
    text
}

pub(crate) fn message(text: &str) -> Message {
    Message::parse(Bytes::copy_from_slice(text.as_bytes())).unwrap_or_else(|fault| panic!("{fault}\n{text}"))
}

pub(crate) fn text_of(message: &Message) -> String {
    String::from_utf8_lossy(message.as_bytes()).into_owned()
}

pub(crate) fn user(name: &str) -> UserName {
    UserName::parse(name).unwrap()
}

/// A device of Bob's.
pub(crate) fn device(flow: Flow, q: u16) -> Target {
    Target {
        hop: NextHop::Flow(flow),
        uri: format!("sip:bob@192.0.2.{}:5061;transport=tls", flow.0),
        q,
        path: Vec::new(),
        user: Some(user("bob")),
        reached_as: None,
        otherwise: Vec::new(),
    }
}

/// A link with a server that knows where Bob is, and others that do as well.
pub(crate) fn server(flow: Flow, name: &str, otherwise: &[&str]) -> Target {
    Target {
        hop: NextHop::Server { name: fqdn(name), flow },
        uri: "sip:bob@verbund.test".to_owned(),
        q: 1000,
        path: Vec::new(),
        user: None,
        reached_as: None,
        otherwise: otherwise.iter().map(|name| fqdn(name)).collect(),
    }
}

pub(crate) fn fqdn(name: &str) -> Arc<pki::Fqdn> {
    Arc::new(pki::Fqdn::parse(&format!("{name}.verbund.test")).unwrap())
}

/// The connection a target is reached on.
pub(crate) fn flow_of(target: &Target) -> Flow {
    target.hop.flow()
}

pub(crate) fn plan(targets: &[Target]) -> Forward {
    Forward {
        targets: targets.to_vec(),
        caller: Some(End::User(user("alice"))),
        asserted: Some("<sip:alice@verbund.test>".to_owned()),
        reached_as: None,
        record_route: true,
    }
}

pub(crate) fn leg(flow: Flow, name: &str) -> Leg {
    Leg { flow, end: End::User(user(name)) }
}

/// A request that follows the Record-Route of a message it learnt it from.
pub(crate) fn following(ask: Ask, learnt: &Message) -> Ask {
    let routes: Vec<&str> = learnt.list(Name::RecordRoute).collect();
    let headers: String = routes.iter().map(|route| format!("Route: {route}\r\n")).collect();
    ask.with(&headers)
}

/// What the proxy reads in its own Route.
pub(crate) fn route_of(scene: &Scene, ask: &Ask) -> Route {
    scene.proxy.dialog_of(&message(&ask.text()))
}
