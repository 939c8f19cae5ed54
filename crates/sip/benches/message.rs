//! What one ordinary INVITE costs: framing, reading, forwarding, judging its description.

#![allow(clippy::unwrap_used, missing_docs)]

use std::hint::black_box;

use bytes::{Bytes, BytesMut};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sip::{Frame, Framer, Limits, Message, sdp};

#[path = "../tests/common/mod.rs"]
mod common;
mod forward;

use forward::forward;

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
