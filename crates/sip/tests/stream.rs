//! Where a message ends in a stream (row N37): one message or a fault, never two, however it is cut.

#![allow(clippy::unwrap_used, missing_docs)]

use sip::{Fault, Frame, Framer, Limits, Message, Reason, Status};

/// What a stream was understood as.
#[derive(Debug, Eq, PartialEq)]
enum Told {
    Message(Vec<u8>),
    Ping,
    Pong,
    Fault(Reason, usize),
}

fn tell(framer: &mut Framer, pieces: &[&[u8]]) -> Vec<Told> {
    let mut told = Vec::new();
    for piece in pieces {
        framer.handle_input(piece);
        loop {
            match framer.poll_frame() {
                Ok(None) => break,
                Ok(Some(Frame::Message(message))) => told.push(Told::Message(message.as_bytes().to_vec())),
                Ok(Some(Frame::Ping)) => told.push(Told::Ping),
                Ok(Some(Frame::Pong)) => told.push(Told::Pong),
                Err(Fault { reason, at }) => {
                    told.push(Told::Fault(reason, at));
                    assert!(matches!(framer.poll_frame(), Err(again) if again.reason == reason), "a fault is the end");
                    return told;
                }
            }
        }
    }
    told
}

fn tell_whole(bytes: &[u8]) -> Vec<Told> {
    tell(&mut Framer::new(Limits::DEFAULT), &[bytes])
}

/// A CR LF that stood alone for a moment is told as a pong before its second half makes it a ping.
fn without_half_pings(told: Vec<Told>) -> Vec<Told> {
    let mut kept: Vec<Told> = Vec::new();
    for one in told {
        if one == Told::Ping && kept.last() == Some(&Told::Pong) {
            kept.pop();
        }
        kept.push(one);
    }
    kept
}

/// Whole, in two pieces at every place, and byte by byte: always the same.
fn check_cuts(bytes: &[u8]) -> Vec<Told> {
    let wanted = tell_whole(bytes);
    for at in 0..=bytes.len() {
        let (front, back) = bytes.split_at(at);
        let told = tell(&mut Framer::new(Limits::DEFAULT), &[front, back]);
        assert_eq!(without_half_pings(told), wanted, "cut at {at}: {}", String::from_utf8_lossy(bytes));
    }
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    let told = tell(&mut Framer::new(Limits::DEFAULT), &single);
    assert_eq!(without_half_pings(told), wanted, "byte by byte: {}", String::from_utf8_lossy(bytes));
    wanted
}

const START: &str = "MESSAGE sip:b@example.com SIP/2.0\r\nCall-ID: 1\r\n";
const SECOND: &str = "BYE sip:victim@example.com SIP/2.0\r\nContent-Length: 0\r\n\r\n";

/// These length lines, in front of a body of five bytes and a second message.
fn with_length(lines: &str) -> Vec<u8> {
    format!("{START}{lines}\r\n\r\nhello{SECOND}").into_bytes()
}

fn check_framed(lines: &str) {
    let bytes = with_length(lines);
    let end = bytes.len() - SECOND.len();
    let wanted = vec![Told::Message(bytes[..end].to_vec()), Told::Message(SECOND.into())];
    assert_eq!(check_cuts(&bytes), wanted, "{lines}");
}

fn check_fault(lines: &str, reason: Reason) {
    let told = check_cuts(&with_length(lines));
    assert!(matches!(told[..], [Told::Fault(found, _)] if found == reason), "{lines:?}: {told:?}");
}

#[test]
fn a_legal_length_frames_right_in_any_spelling() {
    for line in ["Content-Length: 5", "Content-Length : 5", "Content-Length\t :\t5 ", "CONTENT-LENGTH:5", "l: 5", "L:5", "l : 5"] {
        check_framed(line);
    }
    for line in ["Content-Length:\r\n 5", "Content-Length: 0005", "Content-Length: 5\r\nX: y", "X: y\r\nContent-Length: 5", "l:\r\n\t5\t"] {
        check_framed(line);
    }
}

#[test]
fn a_length_that_can_be_read_in_two_ways_is_a_fault() {
    for value in ["-5", "+5", "5, 5", "5,5", "5 5", "0x5", "5;x", "5.0", "", "five", "5\u{b}", "\u{665}", "5\0", "\"5\"", "(5)"] {
        check_fault(&format!("Content-Length: {value}"), Reason::ContentLength);
    }
    check_fault("Content-Length: 5\r\n 5", Reason::ContentLength);
    for lines in ["Content-Length: 5\r\nContent-Length: 5", "l: 5\r\nContent-Length: 0", "Content-Length: 0\r\nl: 5", "l: 5\r\nL : 5"] {
        check_fault(lines, Reason::ContentLengthTwice);
    }
}

#[test]
fn a_length_that_is_too_large_is_a_fault_and_not_a_wait() {
    for value in ["262145", "4294967301", "18446744073709551621", "99999999999999999999999999999999999999999"] {
        check_fault(&format!("Content-Length: {value}"), Reason::BodyTooLarge);
    }
}

#[test]
fn no_length_is_a_fault_on_a_stream() {
    check_fault("X: y", Reason::ContentLengthMissing);
    check_fault("Content_Length: 5", Reason::ContentLengthMissing);
    check_fault("Content-Length-: 5", Reason::ContentLengthMissing);
    // To the framer it is a part of another header's value.
    check_fault("Subject: x\r\n Content-Length: 5", Reason::ContentLengthMissing);
}

#[test]
fn a_line_ends_in_one_way_only() {
    for lines in
        ["X: y\rContent-Length: 5", "X: y\nContent-Length: 5", "Content-Length: 5\n", "Content-Length: 5\r\r", "\nContent-Length: 5"]
    {
        check_fault(lines, Reason::BareLineEnd);
    }
    check_fault("X: y\0\r\nContent-Length: 5", Reason::Nul);
    check_fault("X: \u{fffd}y\r\n \r\nContent-Length: 5", Reason::BlankFold);
    check_fault("X: y\r\n\t \r\n\r\nContent-Length: 5", Reason::BlankFold);
}

#[test]
fn a_header_line_has_a_name_and_a_colon() {
    for lines in ["Content-Length 5", ": 5", "Content Length: 5", "Content-Length\r\n : 5", "Content-Length\u{a0}: 5", "(x): 5"] {
        check_fault(&format!("{lines}\r\nContent-Length: 5"), Reason::HeaderLine);
    }
}

#[test]
fn a_fold_needs_a_header_above_it() {
    let told = check_cuts(b"BYE sip:b@h SIP/2.0\r\n Content-Length: 0\r\n\r\n");
    assert!(matches!(told[..], [Told::Fault(Reason::HeaderLine, 21)]), "{told:?}");
}

#[test]
fn a_body_that_looks_like_a_request_is_a_body() {
    let text = format!("{START}Content-Length: {}\r\n\r\n{SECOND}", SECOND.len());
    assert_eq!(check_cuts(text.as_bytes()), [Told::Message(text.clone().into())]);
    let twice = format!("{text}{text}");
    assert_eq!(check_cuts(twice.as_bytes()), [Told::Message(text.clone().into()), Told::Message(text.into())]);
}

#[test]
fn a_body_that_is_shorter_than_it_says_is_waited_for() {
    let text = format!("{START}Content-Length: 60\r\n\r\nhello");
    assert_eq!(check_cuts(text.as_bytes()), []);
}

#[test]
fn what_is_no_start_line_ends_the_stream() {
    for text in ["hello\r\n", "GET / HTTP/1.1\r\n\r\n", " BYE sip:b@h SIP/2.0\r\n\r\n", "\0\r\n", "\x16\x03\x01\x02\0\r\n"] {
        let told = check_cuts(text.as_bytes());
        assert!(matches!(told[..], [Told::Fault(..)]), "{text:?}: {told:?}");
    }
    let told = check_cuts(format!("x: y\r\n{SECOND}").as_bytes());
    assert!(matches!(told[..], [Told::Fault(Reason::StartLine, 1)]), "{told:?}");
}

#[test]
fn a_ping_is_a_ping_however_it_is_cut() {
    assert_eq!(check_cuts(b"\r\n\r\n"), [Told::Ping]);
    assert_eq!(check_cuts(b"\r\n\r\n\r\n\r\n"), [Told::Ping, Told::Ping]);
    for at in 0..=4 {
        let (front, back) = b"\r\n\r\n".split_at(at);
        let told = tell(&mut Framer::new(Limits::DEFAULT), &[front, back]);
        assert_eq!(told.iter().filter(|one| **one == Told::Ping).count(), 1, "cut at {at}");
    }
}

#[test]
fn a_pong_is_told_at_once_and_may_stand_before_a_message() {
    assert_eq!(tell_whole(b"\r\n"), [Told::Pong]);
    let text = format!("\r\n{SECOND}\r\n\r\n{SECOND}\r\n");
    let message = || Told::Message(SECOND.into());
    assert_eq!(check_cuts(text.as_bytes()), [Told::Pong, message(), Told::Ping, message(), Told::Pong]);
}

#[test]
fn a_half_ping_leaves_the_stream_between_messages() {
    let mut framer = Framer::new(Limits::DEFAULT);
    assert_eq!(tell(&mut framer, &[b"\r\n"]), [Told::Pong]);
    assert!(framer.is_between_messages());
    assert_eq!(tell(&mut framer, &[SECOND.as_bytes()]), [Told::Message(SECOND.into())]);
    // The CR LF of long ago is no half of this one.
    assert_eq!(tell(&mut framer, &[b"\r\n"]), [Told::Pong]);
}

#[test]
fn a_bare_line_end_between_messages_is_a_fault() {
    for text in ["\n", "\r\r", "\rx", "\r\n\n", "\r\n\r\r"] {
        let told = check_cuts(text.as_bytes());
        assert!(matches!(told.last(), Some(Told::Fault(Reason::BareLineEnd, _))), "{text:?}: {told:?}");
    }
}

mod limits {
    use super::*;

    const SMALL: Limits = Limits { head_bytes_max: 200, body_bytes_max: 10, fields_max: 4 };

    fn told(text: &str) -> Vec<Told> {
        let whole = tell(&mut Framer::new(SMALL), &[text.as_bytes()]);
        let single: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
        assert_eq!(tell(&mut Framer::new(SMALL), &single), whole, "{text}");
        whole
    }

    #[test]
    fn a_head_has_a_largest_size() {
        let fill = |n: usize| format!("BYE sip:b@h SIP/2.0\r\nl: 0\r\nX: {}\r\n\r\n", "y".repeat(n));
        let room = 200 - fill(0).len();
        assert!(matches!(told(&fill(room))[..], [Told::Message(_)]));
        assert!(matches!(told(&fill(room + 1))[..], [Told::Fault(Reason::HeadTooLarge, 200)]));
        assert!(matches!(told(&"x".repeat(300))[..], [Told::Fault(Reason::HeadTooLarge, 200)]));
        assert!(matches!(told(&format!("{}\n", "x".repeat(200)))[..], [Told::Fault(Reason::HeadTooLarge, 200)]));
    }

    #[test]
    fn a_body_has_a_largest_size() {
        assert!(matches!(told("BYE sip:b@h SIP/2.0\r\nl: 10\r\n\r\n0123456789")[..], [Told::Message(_)]));
        assert!(matches!(told("BYE sip:b@h SIP/2.0\r\nl: 11\r\n\r\n0123456789x")[..], [Told::Fault(Reason::BodyTooLarge, 24)]));
    }

    #[test]
    fn fields_have_a_largest_number() {
        let fill = |n: usize| format!("BYE sip:b@h SIP/2.0\r\nl: 0\r\n{}\r\n", "X: y\r\n".repeat(n));
        assert!(matches!(told(&fill(3))[..], [Told::Message(_)]));
        assert!(matches!(told(&fill(4))[..], [Told::Fault(Reason::TooManyFields, _)]));
    }

    #[test]
    fn what_is_too_large_is_told_so() {
        for reason in [Reason::HeadTooLarge, Reason::BodyTooLarge, Reason::TooManyFields] {
            assert_eq!(Fault { reason, at: 0 }.status(), Status::MESSAGE_TOO_LARGE);
        }
    }
}

#[test]
fn a_slow_sender_costs_no_second_look() {
    let text = format!("{START}X: {}\r\nContent-Length: 100000\r\n\r\n{}", "y".repeat(30_000), "z".repeat(100_000));
    let single: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
    let begun = std::time::Instant::now();
    assert_eq!(tell(&mut Framer::new(Limits::DEFAULT), &single).len(), 1);
    // Quadratic work would be 10^10 steps.
    assert!(begun.elapsed() < std::time::Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[test]
fn every_torture_message_is_framed_the_same_however_it_is_cut() {
    let beside_the_project = || std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus");
    let folder = std::env::var_os("VERBUND_CORPUS").map_or_else(beside_the_project, Into::into).join("rfc4475");
    let Ok(entries) = std::fs::read_dir(&folder) else {
        #[allow(clippy::print_stderr)]
        {
            eprintln!("passed over: no RFC 4475 messages at {} (VERBUND_CORPUS names another place)", folder.display());
        }
        return;
    };
    for path in entries.map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some_and(|e| e == "dat")) {
        let bytes = std::fs::read(&path).unwrap();
        let told = check_cuts(&bytes);
        // Framer and parser are one scan: what the one refuses for its structure, the other refuses too.
        if let Some(Told::Message(first)) = told.first() {
            assert_eq!(Message::parse(bytes.into()).unwrap().as_bytes(), first, "{}", path.display());
        }
    }
}

/// The same for messages of our own, which are always here.
#[test]
fn own_messages_are_framed_the_same_however_they_are_cut() {
    let head = "Via: SIP/2.0/TLS a.example;branch=z9hG4bK1\r\nFrom: <sip:a@example.com>;tag=1\r\nTo: <sip:b@example.com>\r\nCall-ID: 1\r\n";
    let ordinary = format!("INVITE sip:b@example.com SIP/2.0\r\n{head}CSeq: 1 INVITE\r\nContent-Length: 5\r\n\r\nv=0\r\n");
    let folded = format!("MESSAGE sip:b@example.com SIP/2.0\r\n{head}CSeq: 1\r\n  MESSAGE\r\nSubject : one\r\n\ttwo\r\nl:\r\n 2\r\n\r\nhi");
    let response = format!("SIP/2.0 200 \r\n{head}CSeq: 1 BYE\r\nContent-Length: 0\r\n\r\n");
    let text =
        format!("MESSAGE sip:b@example.com SIP/2.0\r\n{head}Subject: \u{e4}\u{20ac}\r\nCSeq: 1 MESSAGE\r\nContent-Length: 4\r\n\r\n");
    let binary = [text.as_bytes(), b"\r\n\0\xff"].concat();
    for message in [ordinary.as_bytes(), folded.as_bytes(), response.as_bytes(), &binary] {
        assert_eq!(check_cuts(message), [Told::Message(message.to_vec())]);
        let told = check_cuts(&[message, SECOND.as_bytes()].concat());
        assert_eq!(told, [Told::Message(message.to_vec()), Told::Message(SECOND.into())]);
    }
}
