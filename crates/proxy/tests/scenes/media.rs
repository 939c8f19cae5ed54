//! Unencrypted media stop here in answers too (P3, row N26).

use proxy::MediaPolicy;
use sip::Name;

use crate::scene::{ALICE, Ask, BOB, CAROL, CLEAR, SRTP, Scene, device, message};

#[test]
fn an_unencrypted_answer_is_hung_up_and_the_caller_gets_488_with_the_reason() {
    let mut scene = Scene::new();
    let sent = scene.call(&Ask::invite(), &[device(BOB, 1000)]);
    scene.reply_with(BOB, &sent[0], "200 OK", "", CLEAR);
    scene.expect_method(BOB, "ACK");
    let bye = scene.expect_method(BOB, "BYE");
    assert!(bye.first(Name::Reason).unwrap().contains("cause=488"));
    let refused = scene.expect_status(ALICE, 488);
    assert!(refused.first(Name::Warning).unwrap().starts_with("399 sip.verbund.test:5061 \""), "{:?}", refused.first(Name::Warning));
    scene.silence();
    assert_eq!(scene.proxy.counters().unprotected_answers, 1);
}

#[test]
fn an_encrypted_answer_passes() {
    let mut scene = Scene::new();
    let sent = scene.call(&Ask::invite(), &[device(BOB, 1000)]);
    scene.reply_with(BOB, &sent[0], "183 Session Progress", "", SRTP);
    scene.expect_status(ALICE, 183);
    scene.reply_with(BOB, &sent[0], "200 OK", "", SRTP);
    scene.expect_status(ALICE, 200);
    scene.silence();
}

#[test]
fn an_encrypted_answer_wins_after_an_unencrypted_one() {
    let mut scene = Scene::new();
    let sent = scene.call(&Ask::invite(), &[device(BOB, 1000), device(CAROL, 1000)]);
    scene.reply_with(BOB, &sent[0], "200 OK", "", CLEAR);
    scene.expect_method(BOB, "ACK");
    scene.expect_method(BOB, "BYE");
    scene.silence();
    scene.reply_with(CAROL, &sent[1], "200 OK", "", SRTP);
    scene.expect_status(ALICE, 200);
    scene.silence();
}

#[test]
fn an_unencrypted_answer_after_an_encrypted_one_is_hung_up() {
    let mut scene = Scene::new();
    let sent = scene.call(&Ask::invite(), &[device(BOB, 1000), device(CAROL, 1000)]);
    scene.reply_with(CAROL, &sent[1], "200 OK", "", SRTP);
    scene.expect_status(ALICE, 200);
    scene.reply_with(BOB, &sent[0], "200 OK", "", CLEAR);
    scene.expect_method(BOB, "ACK");
    scene.expect_method(BOB, "BYE");
    scene.silence();
}

#[test]
fn an_unencrypted_early_answer_does_not_reach_the_caller() {
    let mut scene = Scene::new();
    let sent = scene.call(&Ask::invite(), &[device(BOB, 1000)]);
    scene.reply_with(BOB, &sent[0], "183 Session Progress", "", CLEAR);
    scene.silence();
    assert_eq!(scene.proxy.counters().unprotected_provisionals, 1);
    scene.reply(BOB, &sent[0], "180 Ringing");
    scene.expect_status(ALICE, 180);
}

#[test]
fn an_unencrypted_answer_within_a_dialog_ends_the_dialog() {
    let mut scene = Scene::new();
    let sent = scene.call(&Ask::invite().within("tag-2"), &[device(BOB, 1000)]);
    scene.reply_with(BOB, &sent[0], "200 OK", "", CLEAR);
    scene.expect_method(BOB, "ACK");
    scene.expect_method(BOB, "BYE");
    // 481 tells the caller's phone that this dialog is over.
    scene.expect_status(ALICE, 481);
}

#[test]
fn an_unencrypted_answer_to_an_update_is_refused() {
    let mut scene = Scene::new();
    scene.send(ALICE, &Ask::new("UPDATE").within("tag-2"), &[device(BOB, 1000)]);
    let sent = scene.expect_method(BOB, "UPDATE");
    scene.reply_with(BOB, &sent, "200 OK", "", CLEAR);
    scene.expect_status(ALICE, 488);
    scene.silence();
}

#[test]
fn what_a_device_can_do_is_no_answer() {
    let mut scene = Scene::new();
    scene.send(ALICE, &Ask::new("OPTIONS"), &[device(BOB, 1000)]);
    let sent = scene.expect_method(BOB, "OPTIONS");
    scene.reply_with(BOB, &sent, "200 OK", "", CLEAR);
    scene.expect_status(ALICE, 200);
}

#[test]
fn where_encryption_is_not_required_everything_passes() {
    let mut scene = Scene::with(|settings| settings.media = MediaPolicy::Support);
    let sent = scene.call(&Ask::invite(), &[device(BOB, 1000)]);
    scene.reply_with(BOB, &sent[0], "200 OK", "", CLEAR);
    scene.expect_status(ALICE, 200);
}

#[test]
fn the_question_is_the_same_for_requests() {
    let scene = Scene::new();
    let mut offer = Ask::invite();
    assert_eq!(scene.proxy.check_media(&message(&offer.text())), Ok(()));
    offer.body = CLEAR.to_owned();
    assert!(scene.proxy.check_media(&message(&offer.text())).is_err());
    offer.body = String::new();
    assert_eq!(scene.proxy.check_media(&message(&offer.text())), Ok(()), "an INVITE without an offer");
}

#[test]
fn the_callee_is_hung_up_along_the_way_behind_us() {
    let mut scene = Scene::new();
    let sent = scene.call(&Ask::invite(), &[device(BOB, 1000)]);
    let text = crate::scene::response(&sent[0], "200 OK", "t", "", CLEAR);
    let behind = "Record-Route: <sip:far.example;lr>\r\nRecord-Route: <sip:near.example;lr>\r\nRecord-Route: ";
    assert!(scene.hear(BOB, &text.replacen("Record-Route: ", behind, 1)).is_none());
    let ack = scene.expect_method(BOB, "ACK");
    assert_eq!(ack.all(Name::Route).collect::<Vec<_>>(), ["<sip:near.example;lr>", "<sip:far.example;lr>"]);
}
