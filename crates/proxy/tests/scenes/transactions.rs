//! Server transactions: repeated requests, ACKs, answers of our own (RFC 3261 §17.2).

use bytes::Bytes;
use sip::{Reply, Status};

use crate::scene::{ALICE, Ask, BOB, MALLORY, Scene, device, message};

#[test]
fn a_repeated_call_gets_the_last_word_again_and_goes_nowhere() {
    let mut scene = Scene::new();
    let ask = Ask::invite();
    let sent = scene.call(&ask, &[device(BOB, 1000)]);
    assert!(scene.hear(ALICE, &ask.text()).is_none());
    scene.expect_status(ALICE, 100);
    scene.reply(BOB, &sent[0], "180 Ringing");
    scene.expect_status(ALICE, 180);
    assert!(scene.hear(ALICE, &ask.text()).is_none());
    scene.expect_status(ALICE, 180);
    scene.silence();
    assert_eq!(scene.proxy.counters().repeated_requests, 2);
}

#[test]
fn a_repeated_message_is_absorbed() {
    let mut scene = Scene::new();
    scene.send(ALICE, &Ask::new("MESSAGE"), &[device(BOB, 1000)]);
    scene.expect_method(BOB, "MESSAGE");
    assert!(scene.hear(ALICE, &Ask::new("MESSAGE").text()).is_none());
    scene.silence();
}

#[test]
fn the_same_words_on_another_connection_are_another_request() {
    let mut scene = Scene::new();
    scene.send(ALICE, &Ask::new("MESSAGE"), &[device(BOB, 1000)]);
    assert!(scene.hear(MALLORY, &Ask::new("MESSAGE").text()).is_some());
}

#[test]
fn a_client_that_reuses_its_branches_loses_no_request() {
    let mut scene = Scene::new();
    scene.send(ALICE, &Ask::new("MESSAGE"), &[device(BOB, 1000)]);
    let mut second = Ask::new("MESSAGE");
    second.cseq = 2;
    assert!(scene.hear(ALICE, &second.text()).is_some());
    let mut third = Ask::new("MESSAGE");
    third.call_id = "call-2".to_owned();
    assert!(scene.hear(ALICE, &third.text()).is_some());
}

/// Answers a request ourselves.
fn refuse(scene: &mut Scene, ask: &Ask, status: Status) -> Bytes {
    let request = scene.ask(ALICE, ask);
    let response = Reply::to(&message(&ask.text()), status, "ours").finish();
    scene.proxy.answer(request, response.clone(), scene.now);
    response
}

#[test]
fn our_own_refusal_of_a_call_waits_for_its_ack() {
    let mut scene = Scene::new();
    let ask = Ask::invite();
    refuse(&mut scene, &ask, Status::NOT_FOUND);
    scene.expect_status(ALICE, 404);
    assert!(scene.hear(ALICE, &ask.text()).is_none(), "repeated");
    scene.expect_status(ALICE, 404);
    assert!(scene.hear(ALICE, &ask.hop("ACK").within("ours").text()).is_none());
    scene.silence();
    assert!(scene.proxy.is_idle());
}

#[test]
fn our_own_answer_to_anything_else_is_sent_and_done() {
    let mut scene = Scene::new();
    refuse(&mut scene, &Ask::new("REGISTER"), Status::UNAUTHORIZED);
    scene.expect_status(ALICE, 401);
    assert!(scene.proxy.is_idle());
}

#[test]
fn an_ack_is_never_answered() {
    let mut scene = Scene::new();
    let request = scene.ask(ALICE, &Ask::new("ACK"));
    scene.proxy.answer(request, Bytes::from_static(b"SIP/2.0 403 Forbidden\r\n\r\n"), scene.now);
    scene.silence();
}

#[test]
fn an_ack_that_comes_too_early_is_dropped() {
    let mut scene = Scene::new();
    let ask = Ask::invite();
    scene.call(&ask, &[device(BOB, 1000)]);
    assert!(scene.hear(ALICE, &ask.hop("ACK").text()).is_none());
    scene.silence();
    assert_eq!(scene.proxy.counters().stray_acks, 1);
}

#[test]
fn a_request_that_cannot_be_told_apart_from_others_is_answered_400() {
    let mut scene = Scene::new();
    let text = Ask::new("MESSAGE").text().replace("CSeq: 1 MESSAGE", "CSeq: one MESSAGE");
    assert!(scene.hear(ALICE, &text).is_none());
    scene.expect_status(ALICE, 400);
    let text = Ask::new("MESSAGE").text().replace("Via: SIP/2.0/TLS phone.invalid", "Via: nonsense");
    assert!(scene.hear(ALICE, &text).is_none());
    scene.silence();
    assert_eq!(scene.proxy.counters().malformed_requests, 2);
}

#[test]
fn provisional_answers_pass_but_a_100_stays_here() {
    let mut scene = Scene::new();
    let sent = scene.call(&Ask::invite(), &[device(BOB, 1000)]);
    scene.reply(BOB, &sent[0], "100 Trying");
    scene.silence();
    scene.reply(BOB, &sent[0], "181 Call Is Being Forwarded");
    scene.expect_status(ALICE, 181);
}

#[test]
fn a_failure_is_acknowledged_by_us_with_the_callees_tag() {
    let mut scene = Scene::new();
    let ask = Ask::invite().with("Route: <sip:sip.verbund.test;lr>, <sip:far.example;lr>\r\n");
    let sent = scene.call(&ask, &[device(BOB, 1000)]);
    scene.reply(BOB, &sent[0], "486 Busy Here");
    let ack = scene.expect_method(BOB, "ACK");
    assert_eq!(ack.to().unwrap().tag(), Some("tag-2"));
    assert_eq!(ack.request_uri_text(), sent[0].request_uri_text());
    assert_eq!(ack.first(sip::Name::Via), sent[0].first(sip::Name::Via));
    assert_eq!(ack.all(sip::Name::Route).collect::<Vec<_>>(), sent[0].all(sip::Name::Route).collect::<Vec<_>>());
    assert_eq!(ack.cseq().unwrap().number, 1);
}
