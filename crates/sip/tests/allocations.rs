//! An ordinary request is read, looked at, changed and written without one allocation.

#![allow(clippy::unwrap_used, missing_docs)]
// A counting allocator is the one thing that cannot be written without it.
#![allow(unsafe_code)]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

use bytes::{Bytes, BytesMut};
use sip::{Message, Name, Rewrite, sdp};

mod common;

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call is handed to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations<T>(work: impl FnOnce() -> T) -> (usize, T) {
    let before = ALLOCATIONS.get();
    let told = work();
    (ALLOCATIONS.get() - before, told)
}

/// What a proxy looks at.
fn look(message: &Message) {
    message.validate().unwrap();
    sdp::check(message).unwrap();
    let uri = message.request_uri().unwrap();
    assert!(uri.host.is_name("example.com") && uri.same_as(&uri));
    assert!(message.via().unwrap().unique_branch().is_some());
    assert!(message.from().unwrap().tag().is_some() && message.to().unwrap().tag().is_none());
    assert_eq!((message.call_id().unwrap().len(), message.cseq().unwrap().number), (31, 27182));
    assert_eq!(message.max_forwards(), Ok(Some(70)));
    assert_eq!(message.addresses(Name::Route).filter(|route| route.as_ref().is_ok_and(|r| r.uri.params.has("lr"))).count(), 2);
    assert!(message.lists(Name::Supported, "outbound") && !message.lists(Name::Require, "x"));
}

fn forward(message: &Message, out: &mut BytesMut) {
    let mut rewrite = Rewrite::of(message);
    rewrite.request_uri("sip:bert@192.0.2.30:50123;transport=tls").push(Name::Via, "SIP/2.0/TLS us;branch=z9hG4bK1").pop(Name::Route);
    rewrite.push(Name::RecordRoute, "<sip:token@us;lr>").set(Name::MaxForwards, "69").remove(Name::PAssertedIdentity);
    rewrite.push(Name::PAssertedIdentity, "<sip:anna@example.com>");
    rewrite.write(out);
}

#[test]
fn an_ordinary_request_is_forwarded_without_an_allocation() {
    let text = common::invite();
    assert!((2_000..3_400).contains(&text.len()), "{}", text.len());
    let bytes = Bytes::from(text);
    // The first clone of such bytes makes their reference count.
    let shared = bytes.clone();
    let mut out = BytesMut::with_capacity(4096);
    let (count, message) = allocations(|| Message::parse(shared).unwrap());
    assert_eq!(count, 0, "reading");
    assert!((20..=30).contains(&message.fields().count()));
    assert_eq!(allocations(|| look(&message)).0, 0, "looking");
    assert_eq!(allocations(|| forward(&message, &mut out)).0, 0, "writing");
    let written = Message::parse(out.freeze()).unwrap();
    assert_eq!((written.validate(), written.max_forwards()), (Ok(()), Ok(Some(69))));
    assert_eq!(written.body(), message.body());
}

#[test]
fn the_count_counts() {
    assert_eq!(allocations(|| Box::new(1)).0, 1);
}
