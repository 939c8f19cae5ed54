//! What the proxy's share of a message and of a whole call costs: parsing and sockets are not in it, the
//! media policy is.
#![allow(clippy::unwrap_used, missing_docs)]

use std::{hint::black_box, time::Instant};

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use proxy::{End, Flow, Forward, MediaPolicy, Proxy, Settings, Target, UserName};
use sip::{Message, Name};

const ALICE: Flow = Flow(1);
const BOB: Flow = Flow(2);
const SDP: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/SAVP 0 8 101\r\n\
    a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz\r\na=rtpmap:0 PCMU/8000\r\na=sendrecv\r\n";

struct Wire {
    proxy: Proxy,
    now: Instant,
    calls: u64,
}

impl Wire {
    fn new() -> Self {
        let now = Instant::now();
        let mut settings = Settings::new("sip.verbund.test:5061".to_owned(), MediaPolicy::Require);
        settings.realm = Some("verbund.test".to_owned());
        Self { proxy: Proxy::new(settings, &[7; 32], now), now, calls: 0 }
    }

    fn request(&self, method: &str, route: &str, body: &str) -> Message {
        let n = self.calls;
        let text = format!(
            "{method} sip:bob@verbund.test SIP/2.0\r\nVia: SIP/2.0/TLS 192.0.2.1:40000;rport;branch=z9hG4bK{method}{n}\r\nMax-Forwards: 70\r\n\
             From: \"Alice\" <sip:alice@verbund.test>;tag=a{n}\r\nTo: <sip:bob@verbund.test>\r\nCall-ID: {n}@phone\r\nCSeq: 1 {method}\r\n\
             Contact: <sip:alice@192.0.2.1:40000;transport=tls>\r\nUser-Agent: Phone/1.0\r\nAllow: INVITE, ACK, CANCEL, BYE, OPTIONS\r\n\
             Supported: replaces, outbound\r\n{route}Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        Message::parse(Bytes::from(text)).unwrap()
    }

    fn forward(&mut self, message: Message) -> Message {
        let request = self.proxy.handle_message(ALICE, message, self.now).unwrap();
        let user = |name| Some(UserName::parse(name).unwrap());
        let uri = "sip:bob@192.0.2.2:40000;transport=tls".to_owned();
        let target = Target {
            hop: locate::NextHop::Flow(BOB),
            uri,
            q: 1000,
            path: Vec::new(),
            user: user("bob"),
            reached_as: None,
            otherwise: Vec::new(),
        };
        let record_route = request.message.method() == "INVITE";
        let asserted = Some("<sip:alice@verbund.test>".to_owned());
        self.proxy.forward(
            request,
            Forward { targets: vec![target], caller: user("alice").map(End::User), asserted, reached_as: None, record_route },
            self.now,
        );
        self.last()
    }

    fn last(&mut self) -> Message {
        let mut last = None;
        while let Some((_, bytes)) = self.proxy.poll_output() {
            last = Some(bytes);
        }
        Message::parse(last.unwrap()).unwrap()
    }

    fn reply(request: &Message, start: &str, body: &str) -> Message {
        let mut text = format!("SIP/2.0 {start}\r\n");
        for field in request.fields() {
            if matches!(field.name, Name::Via | Name::RecordRoute | Name::From | Name::CallId | Name::CSeq) {
                text.push_str(&format!("{}: {}\r\n", field.raw_name, field.value));
            }
        }
        text.push_str("To: <sip:bob@verbund.test>;tag=b\r\nContact: <sip:bob@192.0.2.2:40000;transport=tls>\r\n");
        text.push_str(&format!("Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
        Message::parse(Bytes::from(text)).unwrap()
    }

    /// A MESSAGE and its 200; the time of the proxy alone.
    fn message(&mut self, spent: &mut std::time::Duration) {
        self.calls += 1;
        let request = self.request("MESSAGE", "", "Hello Bob, how are you?");
        let start = Instant::now();
        let sent = self.forward(request);
        *spent += start.elapsed();
        let answer = Self::reply(&sent, "200 OK", "");
        let start = Instant::now();
        self.proxy.handle_message(BOB, answer, self.now);
        black_box(self.proxy.poll_output());
        *spent += start.elapsed();
    }

    /// INVITE, 180, 200, ACK, BYE, 200; the time of the proxy alone.
    fn call(&mut self, spent: &mut std::time::Duration) {
        self.calls += 1;
        self.now += std::time::Duration::from_millis(1);
        let request = self.request("INVITE", "", SDP);
        let start = Instant::now();
        self.proxy.handle_timeout(self.now);
        let sent = self.forward(request);
        *spent += start.elapsed();
        let route = format!("Route: {}\r\n", sent.first(Name::RecordRoute).unwrap());
        for (start_line, body) in [("180 Ringing", ""), ("200 OK", SDP)] {
            let answer = Self::reply(&sent, start_line, body);
            let start = Instant::now();
            self.proxy.handle_message(BOB, answer, self.now);
            black_box(self.proxy.poll_output());
            *spent += start.elapsed();
        }
        let (ack, bye) = (self.request("ACK", &route, ""), self.request("BYE", &route, ""));
        let start = Instant::now();
        black_box(self.proxy.dialog_of(&ack));
        self.forward(ack);
        black_box(self.proxy.dialog_of(&bye));
        let sent = self.forward(bye);
        *spent += start.elapsed();
        let answer = Self::reply(&sent, "200 OK", "");
        let start = Instant::now();
        self.proxy.handle_message(BOB, answer, self.now);
        black_box(self.proxy.poll_output());
        *spent += start.elapsed();
    }
}

fn traffic(criterion: &mut Criterion) {
    let mut timed = |name: &str, turn: fn(&mut Wire, &mut std::time::Duration)| {
        criterion.bench_function(name, |bencher| {
            bencher.iter_custom(|rounds| {
                let (mut wire, mut spent) = (Wire::new(), std::time::Duration::ZERO);
                (0..rounds).for_each(|_| turn(&mut wire, &mut spent));
                spent
            });
        });
    };
    timed("MESSAGE and 200", Wire::message);
    timed("a whole call", Wire::call);
}

criterion_group!(benches, traffic);
criterion_main!(benches);
