//! What happens when nothing happens.

use crate::scene::{ALICE, Ask, BOB, CAROL, SRTP, Scene, device};

#[test]
fn a_device_that_says_nothing_times_out_after_32_seconds() {
    let mut scene = Scene::new();
    scene.call(&Ask::invite(), &[device(BOB, 1000)]);
    scene.pass(31);
    scene.silence();
    scene.pass(1);
    scene.expect_status(ALICE, 408);
    scene.silence();
}

#[test]
fn a_device_that_times_out_makes_room_for_the_next() {
    let mut scene = Scene::new();
    scene.call(&Ask::invite(), &[device(BOB, 1000), device(CAROL, 500)]);
    scene.pass(32);
    let second = scene.expect_method(CAROL, "INVITE");
    scene.reply_with(CAROL, &second, "200 OK", "", SRTP);
    scene.expect_status(ALICE, 200);
}

#[test]
fn a_message_that_nobody_answers_fails_before_the_sender_gives_up() {
    let mut scene = Scene::new();
    scene.send(ALICE, &Ask::new("MESSAGE"), &[device(BOB, 1000)]);
    scene.expect_method(BOB, "MESSAGE");
    scene.pass(29);
    scene.silence();
    scene.pass(1);
    // Never 408: RFC 4320 §4.1.
    scene.expect_status(ALICE, 480);
    assert!(scene.proxy.is_idle());
}

#[test]
fn a_provisional_answer_does_not_keep_a_message_waiting_for_ever() {
    let mut scene = Scene::new();
    scene.send(ALICE, &Ask::new("MESSAGE"), &[device(BOB, 1000)]);
    let sent = scene.expect_method(BOB, "MESSAGE");
    scene.reply(BOB, &sent, "100 Trying");
    scene.pass(30);
    scene.expect_status(ALICE, 480);
    scene.silence();
}

#[test]
fn a_call_rings_for_more_than_three_minutes_and_then_ends() {
    let mut scene = Scene::new();
    let sent = scene.call(&Ask::invite(), &[device(BOB, 1000)]);
    scene.reply(BOB, &sent[0], "180 Ringing");
    scene.expect_status(ALICE, 180);
    scene.pass(189);
    scene.silence();
    scene.pass(1);
    scene.expect_method(BOB, "CANCEL");
    scene.silence();
    scene.reply(BOB, &sent[0], "487 Request Terminated");
    scene.expect_method(BOB, "ACK");
    // The device's own word; the caller did not cancel.
    scene.expect_status(ALICE, 487);
}

#[test]
fn a_ringing_device_that_is_dead_ends_with_408() {
    let mut scene = Scene::new();
    let sent = scene.call(&Ask::invite(), &[device(BOB, 1000)]);
    scene.reply(BOB, &sent[0], "180 Ringing");
    scene.expect_status(ALICE, 180);
    scene.pass(190);
    scene.expect_method(BOB, "CANCEL");
    scene.pass(32);
    scene.expect_status(ALICE, 408);
    scene.pass(33);
    assert!(scene.proxy.is_idle());
}

#[test]
fn each_sign_of_life_starts_the_ringing_time_anew_but_a_100_does_not() {
    let mut scene = Scene::new();
    let sent = scene.call(&Ask::invite(), &[device(BOB, 1000)]);
    scene.reply(BOB, &sent[0], "180 Ringing");
    scene.expect_status(ALICE, 180);
    scene.pass(180);
    scene.reply(BOB, &sent[0], "180 Ringing");
    scene.expect_status(ALICE, 180);
    scene.pass(180);
    scene.reply(BOB, &sent[0], "100 Trying");
    scene.silence();
    scene.pass(10);
    scene.expect_method(BOB, "CANCEL");
}

#[test]
fn a_refused_caller_who_never_acknowledges_is_forgotten_after_32_seconds() {
    let mut scene = Scene::new();
    let sent = scene.call(&Ask::invite(), &[device(BOB, 1000)]);
    scene.reply(BOB, &sent[0], "486 Busy Here");
    scene.expect_method(BOB, "ACK");
    scene.expect_status(ALICE, 486);
    scene.pass(31);
    assert_eq!(scene.proxy.transactions(), 1);
    scene.pass(1);
    assert!(scene.proxy.is_idle());
    assert_eq!(scene.proxy.poll_timeout(), None);
}

#[test]
fn a_device_that_answers_after_it_was_given_up_is_hung_up() {
    let mut scene = Scene::new();
    let sent = scene.call(&Ask::invite(), &[device(BOB, 1000), device(CAROL, 500)]);
    scene.pass(32);
    let second = scene.expect_method(CAROL, "INVITE");
    scene.reply_with(BOB, &sent[0], "200 OK", "", SRTP);
    scene.expect_method(BOB, "ACK");
    scene.expect_method(BOB, "BYE");
    scene.silence();
    scene.reply_with(CAROL, &second, "200 OK", "", SRTP);
    scene.expect_status(ALICE, 200);
}
