//! What one ordinary INVITE costs: framing, reading, forwarding, judging its description.

#![allow(clippy::unwrap_used, missing_docs)]

use std::hint::black_box;

use bytes::{Bytes, BytesMut};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sip::{Frame, Framer, Limits, Message, Name, Rewrite, sdp};

#[path = "../tests/common/mod.rs"]
mod common;

const VIA: &str = "SIP/2.0/TLS sip.example.com:5061;branch=z9hG4bK0123456789abcdef0123456789abcdef";
const RECORD_ROUTE: &str = "<sip:0123456789abcdef0123456789abcdef@sip.example.com:5061;transport=tls;lr>";

fn forward(message: &Message, out: &mut BytesMut) {
    let mut rewrite = Rewrite::of(message);
    rewrite.request_uri("sip:bert@192.0.2.30:50123;transport=tls;ob").push(Name::Via, VIA).push(Name::RecordRoute, RECORD_ROUTE);
    rewrite
        .pop(Name::Route)
        .set(Name::MaxForwards, "69")
        .remove(Name::PAssertedIdentity)
        .push(Name::PAssertedIdentity, "<sip:anna@example.com>");
    rewrite.write(out);
}

fn benches(c: &mut Criterion) {
    let text = common::invite();
    let bytes = Bytes::from(text.clone());
    let message = Message::parse(bytes.clone()).unwrap();
    message.validate().unwrap();
    let mut out = BytesMut::with_capacity(4096);
    let mut group = c.benchmark_group("invite");
    group.throughput(Throughput::Bytes(text.len() as u64));

    let mut framer = Framer::new(Limits::DEFAULT);
    group.bench_function("frame", |b| {
        b.iter(|| {
            framer.handle_input(text.as_bytes());
            assert!(matches!(framer.poll_frame(), Ok(Some(Frame::Message(_)))));
        });
    });
    group.bench_function("parse", |b| b.iter(|| Message::parse(black_box(bytes.clone())).unwrap()));
    group.bench_function("validate", |b| b.iter(|| black_box(&message).validate().unwrap()));
    group.bench_function("forward", |b| {
        b.iter(|| {
            out.clear();
            forward(black_box(&message), &mut out);
        });
    });
    group.bench_function("parse and forward", |b| {
        b.iter(|| {
            out.clear();
            forward(&Message::parse(black_box(bytes.clone())).unwrap(), &mut out);
        });
    });
    group.bench_function("sdp", |b| b.iter(|| sdp::check(black_box(&message)).unwrap()));
    group.finish();
}

criterion_group!(all, benches);
criterion_main!(all);
