//! Several devices: at once, one group after the other, and which answer wins (RFC 3261 §16.7).

use sip::{Message, Name};

use crate::scene::{ALICE, Ask, BOB, CAROL, DAVE, SRTP, Scene, device, text_of};

#[test]
fn devices_of_equal_q_ring_at_once() {
    let mut scene = Scene::new();
    let sent = scene.call(&Ask::invite(), &[device(BOB, 1000), device(CAROL, 1000), device(DAVE, 1000)]);
    assert_eq!(sent.len(), 3);
    let branches: std::collections::HashSet<_> = sent.iter().map(|m| m.via().unwrap().branch().unwrap().to_owned()).collect();
    assert_eq!(branches.len(), 3, "each branch has its own Via");
}

#[test]
fn a_lower_q_rings_only_after_the_higher_ones_failed() {
    let mut scene = Scene::new();
    let sent = scene.call(&Ask::invite(), &[device(CAROL, 500), device(BOB, 1000), device(DAVE, 100)]);
    scene.reply(BOB, &sent[0], "486 Busy Here");
    scene.expect_method(BOB, "ACK");
    let second = scene.expect_method(CAROL, "INVITE");
    scene.silence();
    scene.reply(CAROL, &second, "480 Temporarily Unavailable");
    scene.expect_method(CAROL, "ACK");
    let third = scene.expect_method(DAVE, "INVITE");
    scene.reply_with(DAVE, &third, "200 OK", "", SRTP);
    scene.expect_status(ALICE, 200);
    scene.silence();
}

#[test]
fn the_first_answer_wins_and_the_others_are_told_why() {
    let mut scene = Scene::new();
    let sent = scene.call(&Ask::invite(), &[device(BOB, 1000), device(CAROL, 1000)]);
    scene.reply(BOB, &sent[0], "180 Ringing");
    scene.expect_status(ALICE, 180);
    scene.reply(CAROL, &sent[1], "180 Ringing");
    scene.expect_status(ALICE, 180);
    scene.reply_with(BOB, &sent[0], "200 OK", "", SRTP);
    scene.expect_status(ALICE, 200);
    let cancel = scene.expect_method(CAROL, "CANCEL");
    assert_eq!(cancel.first(Name::Reason), Some("SIP;cause=200;text=\"Call completed elsewhere\""));
    scene.reply(CAROL, &cancel, "200 OK");
    scene.reply(CAROL, &sent[1], "487 Request Terminated");
    scene.expect_method(CAROL, "ACK");
    scene.silence();
    scene.pass(33);
    assert!(scene.proxy.is_idle());
}

#[test]
fn a_losing_device_that_said_nothing_yet_is_cancelled_when_it_does() {
    let mut scene = Scene::new();
    let sent = scene.call(&Ask::invite(), &[device(BOB, 1000), device(CAROL, 1000)]);
    scene.reply_with(BOB, &sent[0], "200 OK", "", SRTP);
    scene.expect_status(ALICE, 200);
    scene.silence();
    scene.reply(CAROL, &sent[1], "180 Ringing");
    scene.expect_method(CAROL, "CANCEL");
    scene.silence();
}

#[test]
fn two_answers_at_the_same_moment_both_reach_the_caller() {
    let mut scene = Scene::new();
    let sent = scene.call(&Ask::invite(), &[device(BOB, 1000), device(CAROL, 1000)]);
    scene.reply_with(BOB, &sent[0], "200 OK", "", SRTP);
    scene.reply_with(CAROL, &sent[1], "200 OK", "", SRTP);
    scene.expect_status(ALICE, 200);
    scene.expect_status(ALICE, 200);
    scene.silence();
}

#[test]
fn an_answer_that_is_repeated_is_repeated_to_the_caller() {
    let mut scene = Scene::new();
    let sent = scene.call(&Ask::invite(), &[device(BOB, 1000)]);
    for _ in 0..3 {
        scene.reply_with(BOB, &sent[0], "200 OK", "", SRTP);
        scene.expect_status(ALICE, 200);
        scene.pass(8);
    }
    scene.pass(20);
    scene.reply_with(BOB, &sent[0], "200 OK", "", SRTP);
    scene.silence();
    assert!(scene.proxy.is_idle());
}

#[test]
fn a_decline_for_all_ends_the_ringing_and_reaches_the_caller() {
    let mut scene = Scene::new();
    let sent = scene.call(&Ask::invite(), &[device(BOB, 1000), device(CAROL, 1000), device(DAVE, 100)]);
    scene.reply(CAROL, &sent[1], "180 Ringing");
    scene.expect_status(ALICE, 180);
    scene.reply(BOB, &sent[0], "603 Decline");
    scene.expect_method(BOB, "ACK");
    let cancel = scene.expect_method(CAROL, "CANCEL");
    assert!(cancel.first(Name::Reason).unwrap().contains("cause=603"));
    scene.silence();
    scene.reply(CAROL, &sent[1], "487 Request Terminated");
    scene.expect_method(CAROL, "ACK");
    scene.expect_status(ALICE, 603);
    scene.silence();
}

#[test]
fn an_answer_beats_a_decline_that_came_before_it() {
    let mut scene = Scene::new();
    let sent = scene.call(&Ask::invite(), &[device(BOB, 1000), device(CAROL, 1000)]);
    scene.reply(BOB, &sent[0], "603 Decline");
    scene.expect_method(BOB, "ACK");
    scene.reply_with(CAROL, &sent[1], "200 OK", "", SRTP);
    scene.expect_status(ALICE, 200);
    scene.silence();
}

/// What Alice gets when her devices' answers are these.
fn best_of(method: &'static str, statuses: &[&str]) -> Message {
    let mut scene = Scene::new();
    let ask = if method == "INVITE" { Ask::invite() } else { Ask::new(method) };
    let flows = [BOB, CAROL, DAVE];
    let targets: Vec<_> = flows.iter().take(statuses.len()).map(|flow| device(*flow, 1000)).collect();
    scene.send(ALICE, &ask, &targets);
    if method == "INVITE" {
        scene.expect_status(ALICE, 100);
    }
    let sent: Vec<Message> = targets.iter().map(|target| scene.expect_method(crate::scene::flow_of(target), method)).collect();
    for ((status, target), request) in statuses.iter().zip(&targets).zip(&sent) {
        let challenge = format!("WWW-Authenticate: Digest realm=\"{}\", nonce=\"1\"\r\n", crate::scene::flow_of(target).0);
        let headers = if status.starts_with("401") { challenge.as_str() } else { "" };
        scene.reply_with(crate::scene::flow_of(target), request, status, headers, "");
        if method == "INVITE" {
            scene.expect_method(crate::scene::flow_of(target), "ACK");
        }
    }
    let answer = scene.expect(ALICE);
    scene.silence();
    answer
}

fn check_best(method: &'static str, statuses: &[&str], expected: u16) {
    let answer = best_of(method, statuses);
    assert_eq!(answer.status().unwrap().code(), expected, "{statuses:?}: {}", text_of(&answer));
    assert_eq!(answer.all(Name::Via).count(), 1);
}

#[test]
fn one_busy_device_is_busy() {
    check_best("INVITE", &["486 Busy Here"], 486);
}

#[test]
fn six_hundreds_win_over_everything() {
    check_best("INVITE", &["404 Not Found", "603 Decline", "302 Moved"], 603);
    check_best("MESSAGE", &["404 Not Found", "600 Busy Everywhere", "302 Moved"], 600);
}

#[test]
fn the_lowest_class_wins() {
    check_best("INVITE", &["500 Server Error", "486 Busy Here"], 486);
    check_best("INVITE", &["486 Busy Here", "302 Moved"], 302);
}

#[test]
fn within_a_class_what_the_caller_can_act_on_wins() {
    check_best("INVITE", &["486 Busy Here", "415 Unsupported Media Type"], 415);
    check_best("INVITE", &["420 Bad Extension", "404 Not Found"], 420);
}

#[test]
fn a_device_that_says_something_wins_over_one_that_is_not_there() {
    check_best("INVITE", &["480 Temporarily Unavailable", "486 Busy Here"], 486);
    check_best("INVITE", &["486 Busy Here", "408 Request Timeout"], 486);
}

#[test]
fn an_overloaded_device_does_not_make_this_server_unavailable() {
    check_best("INVITE", &["503 Service Unavailable"], 500);
    check_best("MESSAGE", &["503 Service Unavailable"], 500);
    check_best("INVITE", &["503 Service Unavailable", "486 Busy Here"], 486);
}

#[test]
fn the_challenges_of_all_devices_are_merged() {
    let answer = best_of("INVITE", &["401 Unauthorized", "486 Busy Here", "401 Unauthorized"]);
    assert_eq!(answer.status().unwrap().code(), 401);
    let challenges: Vec<_> = answer.all(Name::WwwAuthenticate).collect();
    assert_eq!(challenges, ["Digest realm=\"2\", nonce=\"1\"", "Digest realm=\"4\", nonce=\"1\""]);
}

#[test]
fn a_message_goes_to_every_device_and_the_first_yes_counts() {
    let mut scene = Scene::new();
    scene.send(ALICE, &Ask::new("MESSAGE"), &[device(BOB, 1000), device(CAROL, 1000)]);
    let (bob, carol) = (scene.expect_method(BOB, "MESSAGE"), scene.expect_method(CAROL, "MESSAGE"));
    scene.reply(BOB, &bob, "486 Busy Here");
    scene.silence();
    scene.reply(CAROL, &carol, "200 OK");
    scene.expect_status(ALICE, 200);
    scene.reply(CAROL, &carol, "200 OK");
    scene.silence();
    assert!(scene.proxy.is_idle());
    assert_eq!(scene.proxy.counters().stray_responses, 1);
}

#[test]
fn a_device_listed_twice_rings_once() {
    let mut scene = Scene::new();
    scene.send(ALICE, &Ask::invite(), &[device(BOB, 1000), device(BOB, 1000), device(BOB, 500)]);
    scene.expect_status(ALICE, 100);
    scene.expect_method(BOB, "INVITE");
    scene.silence();
}

#[test]
fn no_device_at_all_is_temporarily_unavailable() {
    let mut scene = Scene::new();
    scene.send(ALICE, &Ask::invite(), &[]);
    scene.expect_status(ALICE, 480);
    scene.silence();
}
