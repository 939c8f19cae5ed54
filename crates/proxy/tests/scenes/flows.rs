//! Connections that die under a request.

use crate::scene::{ALICE, Ask, BOB, CAROL, SRTP, Scene, device};

#[test]
fn a_device_whose_connection_dies_has_failed() {
    let mut scene = Scene::new();
    scene.call(&Ask::invite(), &[device(BOB, 1000)]);
    scene.close(BOB);
    scene.expect_status(ALICE, 480);
    scene.silence();
}

#[test]
fn a_device_whose_connection_dies_makes_room_for_the_next() {
    let mut scene = Scene::new();
    scene.call(&Ask::invite(), &[device(BOB, 1000), device(CAROL, 500)]);
    scene.close(BOB);
    scene.expect_method(CAROL, "INVITE");
    scene.silence();
}

#[test]
fn the_other_devices_ring_on_when_one_dies() {
    let mut scene = Scene::new();
    let sent = scene.call(&Ask::invite(), &[device(BOB, 1000), device(CAROL, 1000)]);
    scene.close(BOB);
    scene.silence();
    scene.reply(CAROL, &sent[1], "486 Busy Here");
    scene.expect_method(CAROL, "ACK");
    scene.expect_status(ALICE, 486);
}

#[test]
fn a_call_whose_caller_is_gone_stops_ringing() {
    let mut scene = Scene::new();
    let sent = scene.call(&Ask::invite(), &[device(BOB, 1000), device(CAROL, 1000)]);
    scene.reply(BOB, &sent[0], "180 Ringing");
    scene.expect_status(ALICE, 180);
    scene.close(ALICE);
    scene.expect_method(BOB, "CANCEL");
    scene.silence();
    scene.reply(CAROL, &sent[1], "180 Ringing");
    scene.expect_method(CAROL, "CANCEL");
    scene.reply(BOB, &sent[0], "487 Request Terminated");
    scene.expect_method(BOB, "ACK");
    scene.reply(CAROL, &sent[1], "487 Request Terminated");
    scene.expect_method(CAROL, "ACK");
    scene.silence();
    assert!(scene.proxy.is_idle());
}

#[test]
fn a_call_answered_after_its_caller_is_gone_is_hung_up() {
    let mut scene = Scene::new();
    let sent = scene.call(&Ask::invite(), &[device(BOB, 1000)]);
    scene.close(ALICE);
    scene.silence();
    scene.reply_with(BOB, &sent[0], "200 OK", "", SRTP);
    let ack = scene.expect_method(BOB, "ACK");
    assert_eq!(ack.request_uri_text(), "sip:bob@192.0.2.2:5061;transport=tls");
    assert_eq!(ack.cseq().unwrap().number, 1);
    let bye = scene.expect_method(BOB, "BYE");
    assert_eq!(bye.cseq().unwrap().number, 2);
    assert_eq!(bye.to().unwrap().tag(), Some("tag-2"));
    assert_eq!(bye.from().unwrap().tag(), Some("a1"));
    scene.reply(BOB, &bye, "200 OK");
    scene.silence();
    assert!(scene.proxy.is_idle());
    assert_eq!(scene.proxy.counters().late_answers, 1);
}

#[test]
fn a_message_whose_sender_is_gone_is_forgotten() {
    let mut scene = Scene::new();
    scene.send(ALICE, &Ask::new("MESSAGE"), &[device(BOB, 1000)]);
    let sent = scene.expect_method(BOB, "MESSAGE");
    scene.close(ALICE);
    assert!(scene.proxy.is_idle());
    scene.reply(BOB, &sent, "200 OK");
    scene.silence();
}

#[test]
fn an_answer_that_arrives_after_its_connection_died_is_nobodys() {
    let mut scene = Scene::new();
    scene.send(ALICE, &Ask::new("MESSAGE"), &[device(BOB, 1000), device(CAROL, 1000)]);
    let sent = scene.expect_method(BOB, "MESSAGE");
    scene.expect_method(CAROL, "MESSAGE");
    scene.close(BOB);
    scene.reply(BOB, &sent, "200 OK");
    scene.silence();
    assert_eq!(scene.proxy.counters().stray_responses, 1);
}

#[test]
fn a_refused_call_of_a_dead_connection_is_forgotten_at_once() {
    let mut scene = Scene::new();
    scene.call(&Ask::invite(), &[device(BOB, 1000)]);
    scene.close(BOB);
    scene.expect_status(ALICE, 480);
    scene.close(ALICE);
    assert!(scene.proxy.is_idle());
}

#[test]
fn caller_and_callee_on_one_connection_die_together() {
    let mut scene = Scene::new();
    scene.call(&Ask::invite(), &[device(ALICE, 1000)]);
    scene.close(ALICE);
    scene.silence();
    assert!(scene.proxy.is_idle());
}
