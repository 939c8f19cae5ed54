//! The caller thinks better of it (RFC 3261 §9 and §16.10).

use sip::Name;

use crate::scene::{ALICE, Ask, BOB, CAROL, MALLORY, SRTP, Scene, device};

#[test]
fn a_cancelled_call_stops_ringing_and_ends_with_487() {
    let mut scene = Scene::new();
    let ask = Ask::invite();
    let sent = scene.call(&ask, &[device(BOB, 1000)]);
    scene.reply(BOB, &sent[0], "180 Ringing");
    scene.expect_status(ALICE, 180);
    assert!(scene.hear(ALICE, &ask.hop("CANCEL").text()).is_none());
    let cancelled = scene.expect_status(ALICE, 200);
    assert_eq!(cancelled.method(), "CANCEL");
    let cancel = scene.expect_method(BOB, "CANCEL");
    assert_eq!(cancel.all(Name::Via).collect::<Vec<_>>(), [sent[0].first(Name::Via).unwrap()], "the Via of the INVITE, alone");
    assert_eq!(cancel.request_uri_text(), sent[0].request_uri_text());
    scene.reply(BOB, &cancel, "200 OK");
    scene.silence();
    scene.reply(BOB, &sent[0], "487 Request Terminated");
    let ack = scene.expect_method(BOB, "ACK");
    assert_eq!(ack.to().unwrap().tag(), Some("tag-2"));
    let ended = scene.expect_status(ALICE, 487);
    assert_eq!(ended.to().unwrap().tag(), cancelled.to().unwrap().tag(), "RFC 3261 §9.2: the same tag");
    assert!(scene.hear(ALICE, &ask.hop("ACK").text()).is_none());
    scene.silence();
    assert!(scene.proxy.is_idle());
}

#[test]
fn a_cancel_waits_for_the_first_provisional_response() {
    let mut scene = Scene::new();
    let ask = Ask::invite();
    let sent = scene.call(&ask, &[device(BOB, 1000)]);
    scene.hear(ALICE, &ask.hop("CANCEL").text());
    scene.expect_status(ALICE, 200);
    scene.silence();
    scene.reply(BOB, &sent[0], "100 Trying");
    scene.expect_method(BOB, "CANCEL");
    scene.reply(BOB, &sent[0], "180 Ringing");
    scene.silence();
    scene.reply(BOB, &sent[0], "487 Request Terminated");
    scene.expect_method(BOB, "ACK");
    scene.expect_status(ALICE, 487);
}

#[test]
fn a_cancelled_call_does_not_try_the_next_device() {
    let mut scene = Scene::new();
    let ask = Ask::invite();
    let sent = scene.call(&ask, &[device(BOB, 1000), device(CAROL, 500)]);
    scene.hear(ALICE, &ask.hop("CANCEL").text());
    scene.expect_status(ALICE, 200);
    scene.reply(BOB, &sent[0], "486 Busy Here");
    scene.expect_method(BOB, "ACK");
    scene.expect_status(ALICE, 487);
    scene.silence();
}

#[test]
fn the_callers_reason_goes_along() {
    let mut scene = Scene::new();
    let ask = Ask::invite();
    let sent = scene.call(&ask, &[device(BOB, 1000)]);
    scene.reply(BOB, &sent[0], "180 Ringing");
    scene.expect_status(ALICE, 180);
    scene.hear(ALICE, &ask.hop("CANCEL").with("Reason: SIP;cause=600;text=\"Enough\"\r\n").text());
    scene.expect_status(ALICE, 200);
    assert_eq!(scene.expect_method(BOB, "CANCEL").first(Name::Reason), Some("SIP;cause=600;text=\"Enough\""));
}

#[test]
fn an_answer_that_crosses_the_cancel_reaches_the_caller() {
    let mut scene = Scene::new();
    let ask = Ask::invite();
    let sent = scene.call(&ask, &[device(BOB, 1000)]);
    scene.reply(BOB, &sent[0], "180 Ringing");
    scene.expect_status(ALICE, 180);
    scene.hear(ALICE, &ask.hop("CANCEL").text());
    scene.expect_status(ALICE, 200);
    let cancel = scene.expect_method(BOB, "CANCEL");
    scene.reply_with(BOB, &sent[0], "200 OK", "", SRTP);
    assert_eq!(scene.expect_status(ALICE, 200).method(), "INVITE");
    scene.reply(BOB, &cancel, "481 Call/Transaction Does Not Exist");
    scene.silence();
}

#[test]
fn a_cancel_from_another_connection_cancels_nothing() {
    let mut scene = Scene::new();
    let ask = Ask::invite();
    let sent = scene.call(&ask, &[device(BOB, 1000)]);
    scene.reply(BOB, &sent[0], "180 Ringing");
    scene.expect_status(ALICE, 180);
    assert!(scene.hear(MALLORY, &ask.hop("CANCEL").text()).is_none());
    scene.expect_status(MALLORY, 481);
    scene.silence();
    scene.reply_with(BOB, &sent[0], "200 OK", "", SRTP);
    scene.expect_status(ALICE, 200);
}

#[test]
fn a_cancel_for_nothing_is_481() {
    let mut scene = Scene::new();
    assert!(scene.hear(ALICE, &Ask::invite().hop("CANCEL").text()).is_none());
    scene.expect_status(ALICE, 481);
    assert_eq!(scene.proxy.counters().stray_cancels, 1);
}

#[test]
fn a_cancel_after_the_answer_changes_nothing() {
    let mut scene = Scene::new();
    let ask = Ask::invite();
    let sent = scene.call(&ask, &[device(BOB, 1000)]);
    scene.reply_with(BOB, &sent[0], "200 OK", "", SRTP);
    scene.expect_status(ALICE, 200);
    scene.hear(ALICE, &ask.hop("CANCEL").text());
    scene.expect_status(ALICE, 200);
    scene.silence();
}

#[test]
fn a_second_cancel_is_answered_but_not_passed_on() {
    let mut scene = Scene::new();
    let ask = Ask::invite();
    let sent = scene.call(&ask, &[device(BOB, 1000)]);
    scene.reply(BOB, &sent[0], "180 Ringing");
    scene.expect_status(ALICE, 180);
    scene.hear(ALICE, &ask.hop("CANCEL").text());
    scene.expect_status(ALICE, 200);
    scene.expect_method(BOB, "CANCEL");
    scene.hear(ALICE, &ask.hop("CANCEL").text());
    scene.expect_status(ALICE, 200);
    scene.silence();
}

#[test]
fn a_device_that_never_answers_a_cancel_is_given_up() {
    let mut scene = Scene::new();
    let ask = Ask::invite();
    let sent = scene.call(&ask, &[device(BOB, 1000)]);
    scene.reply(BOB, &sent[0], "180 Ringing");
    scene.expect_status(ALICE, 180);
    scene.hear(ALICE, &ask.hop("CANCEL").text());
    scene.expect_status(ALICE, 200);
    scene.expect_method(BOB, "CANCEL");
    scene.pass(31);
    scene.silence();
    scene.pass(1);
    scene.expect_status(ALICE, 487);
    // The phone answers after all, and must not be left talking to nobody.
    scene.reply_with(BOB, &sent[0], "200 OK", "", SRTP);
    scene.expect_method(BOB, "ACK");
    scene.expect_method(BOB, "BYE");
    scene.silence();
}

#[test]
fn the_cancel_of_an_old_client_without_branches_finds_its_call() {
    let mut scene = Scene::new();
    let mut ask = Ask::invite();
    ask.via = "SIP/2.0/TLS old.invalid:5061".to_owned();
    let sent = scene.call(&ask, &[device(BOB, 1000)]);
    scene.reply(BOB, &sent[0], "180 Ringing");
    scene.expect_status(ALICE, 180);
    let mut other = ask.hop("CANCEL");
    other.cseq = 2;
    scene.hear(ALICE, &other.text());
    scene.expect_status(ALICE, 481);
    scene.hear(ALICE, &ask.hop("CANCEL").text());
    scene.expect_status(ALICE, 200);
    scene.expect_method(BOB, "CANCEL");
}
