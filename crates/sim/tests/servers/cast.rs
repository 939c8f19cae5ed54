//! Who is on the stage.

use sim::{ENCRYPTED, Entry, Line, Organisation, Phone};
use sip::{Message, Status};

pub(crate) const ANNA: &str = "sip:anna@contoso.example";
pub(crate) const BERT: &str = "sip:bert@contoso.example";

/// Two front ends with a pool each, and the authority.
pub(crate) const TWO: &[Entry<'static>] = &[("ca", "ca", "authority"), ("fe1", "fe1", "front-end"), ("fe2", "fe2", "front-end")];

/// A front end, a pool of three, a director, an edge, a media relay, two applications.
pub(crate) const MANY: &[Entry<'static>] = &[
    ("ca", "ca", "authority"),
    ("fe1", "fe1", "front-end"),
    ("pool", "fe2", "front-end"),
    ("pool", "fe3", "front-end"),
    ("pool", "fe4", "front-end"),
    ("dir", "dir", "director"),
    ("edge", "edge", "edge"),
    ("relay", "relay", "media-relay"),
    ("app", "app", "application"),
    ("app2", "app2", "application"),
];

/// Anna at fe1, Bert at fe2.
pub(crate) fn two() -> (Organisation, (Phone, Line), (Phone, Line)) {
    signed_in(Organisation::new(TWO, &[("anna", "fe1"), ("bert", "fe2")]))
}

/// Anna at fe1; Bert at home in the pool, connected to fe2.
pub(crate) fn many() -> (Organisation, (Phone, Line), (Phone, Line)) {
    signed_in(Organisation::new(MANY, &[("anna", "fe1"), ("bert", "pool"), ("carl", "fe1")]))
}

fn signed_in(mut scene: Organisation) -> (Organisation, (Phone, Line), (Phone, Line)) {
    let (mut anna, mut bert) = (scene.phone("anna"), scene.phone("bert"));
    let (a, b) = (scene.sign_in(&mut anna, "fe1"), scene.sign_in(&mut bert, "fe2"));
    (scene, (anna, a), (bert, b))
}

#[track_caller]
pub(crate) fn status(message: &Message) -> Status {
    message.status().unwrap_or_else(|| panic!("a response expected, not {message:?}"))
}

/// One writes to the other; the answer is 200 and the words arrived.
#[track_caller]
pub(crate) fn writes(scene: &mut Organisation, from: &mut (Phone, Line), to: &(Phone, Line)) -> Message {
    let message = from.0.request("MESSAGE", &to.0.aor(), "", "Hello");
    scene.say(from.1, &message);
    let got = scene.heard_one(to.1);
    assert_eq!((got.method(), got.body()), ("MESSAGE", &b"Hello"[..]));
    scene.say(to.1, &to.0.response(&got, Status::OK, ""));
    assert_eq!(status(&scene.heard_one(from.1)), Status::OK);
    got
}

/// What the sender of a MESSAGE is answered.
#[track_caller]
pub(crate) fn answered(scene: &mut Organisation, from: &mut (Phone, Line), to: &str) -> Message {
    let message = from.0.request("MESSAGE", to, "", "Hello");
    scene.say(from.1, &message);
    scene.heard_one(from.1)
}

/// A call, answered. The INVITE as the callee got it and the 200 as the caller got it.
#[track_caller]
pub(crate) fn call(scene: &mut Organisation, from: &mut (Phone, Line), to: &(Phone, Line)) -> (Message, Message) {
    let invite = from.0.request("INVITE", &to.0.aor(), "", ENCRYPTED);
    call_by(scene, from, to, &invite)
}

/// The same with an INVITE that is written already.
#[track_caller]
pub(crate) fn call_by(scene: &mut Organisation, from: &(Phone, Line), to: &(Phone, Line), invite: &str) -> (Message, Message) {
    scene.say(from.1, invite);
    assert_eq!(status(&scene.heard_one(from.1)), Status::TRYING);
    let invite = scene.heard_one(to.1);
    scene.say(to.1, &to.0.response(&invite, Status::RINGING, ""));
    assert_eq!(status(&scene.heard_one(from.1)), Status::RINGING);
    scene.say(to.1, &to.0.response(&invite, Status::OK, ENCRYPTED));
    let ok = scene.heard_one(from.1);
    assert_eq!(status(&ok), Status::OK);
    scene.say(from.1, &from.0.in_dialog_as_caller("ACK", &ok, 1, ""));
    assert_eq!(scene.heard_one(to.1).method(), "ACK");
    (invite, ok)
}

/// The callee ends the call.
#[track_caller]
pub(crate) fn callee_hangs_up(scene: &mut Organisation, caller: &(Phone, Line), callee: &(Phone, Line), invite: &Message) {
    scene.say(callee.1, &callee.0.in_dialog_as_callee("BYE", invite, 1, ""));
    let bye = scene.heard_one(caller.1);
    assert_eq!(bye.method(), "BYE");
    scene.say(caller.1, &caller.0.response(&bye, Status::OK, ""));
    assert_eq!(status(&scene.heard_one(callee.1)), Status::OK);
}

/// The caller ends the call.
#[track_caller]
pub(crate) fn caller_hangs_up(scene: &mut Organisation, caller: &(Phone, Line), callee: &(Phone, Line), ok: &Message) {
    scene.say(caller.1, &caller.0.in_dialog_as_caller("BYE", ok, 2, ""));
    let bye = scene.heard_one(callee.1);
    assert_eq!(bye.method(), "BYE");
    scene.say(callee.1, &callee.0.response(&bye, Status::OK, ""));
    assert_eq!(status(&scene.heard_one(caller.1)), Status::OK);
}

/// A request as a server writes it, with what it says about its user.
pub(crate) fn from_server(server: &str, method: &str, to: &str, from: &str, more: &str) -> String {
    let body = if method == "INVITE" { ENCRYPTED } else { "Hello" };
    let kind = if method == "INVITE" { "application/sdp" } else { "text/plain" };
    format!(
        "{method} {to} SIP/2.0\r\nVia: SIP/2.0/TLS {server}.contoso.example:5062;branch=z9hG4bK-{server}-1\r\nMax-Forwards: 70\r\n\
         From: <{from}>;tag=t-{server}\r\nTo: <{to}>\r\nCall-ID: c-{server}\r\nCSeq: 1 {method}\r\n\
         Contact: <sip:{server}.contoso.example:5062;transport=tls>\r\n{more}Content-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// The answers among what was heard, without what servers ask each other for.
pub(crate) fn answers(heard: &[Message]) -> Vec<Status> {
    heard.iter().filter_map(Message::status).collect()
}

/// The requests among what was heard, without what servers ask each other for.
pub(crate) fn requests(heard: Vec<Message>) -> Vec<Message> {
    heard.into_iter().filter(|message| message.is_request() && message.method() != "OPTIONS").collect()
}
