//! What an attacker who signed in could try (row N16).

use sip::Name;

use crate::scene::{ALICE, Ask, BOB, CAROL, DAVE, MALLORY, SRTP, Scene, device, message, response, text_of};

#[test]
fn a_response_on_another_connection_is_dropped() {
    let mut scene = Scene::new();
    let sent = scene.call(&Ask::invite(), &[device(BOB, 1000)]);
    for start in ["180 Ringing", "200 OK", "603 Decline"] {
        scene.reply_with(MALLORY, &sent[0], start, "", SRTP);
        scene.silence();
    }
    assert_eq!(scene.proxy.counters().forged_responses, 3);
}

#[test]
fn a_device_cannot_speak_for_another_branch() {
    let mut scene = Scene::new();
    let sent = scene.call(&Ask::invite(), &[device(BOB, 1000), device(CAROL, 1000)]);
    scene.reply(CAROL, &sent[0], "603 Decline");
    scene.silence();
    assert_eq!(scene.proxy.counters().forged_responses, 1);
}

#[test]
fn a_response_to_a_made_up_branch_is_dropped() {
    let mut scene = Scene::new();
    let sent = scene.call(&Ask::invite(), &[device(BOB, 1000)]);
    for branch in ["z9hG4bK", "z9hG4bKAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "x", "z9hG4bK-INVITE-1"] {
        let forged = format!("SIP/2.0/TLS sip.verbund.test:5061;branch={branch}");
        let text = response(&sent[0], "200 OK", "t", "", SRTP).replacen(sent[0].first(Name::Via).unwrap(), &forged, 1);
        assert!(scene.hear(BOB, &text).is_none());
        scene.silence();
    }
    assert_eq!(scene.proxy.counters().forged_responses, 4);
}

#[test]
fn a_response_without_our_via_is_dropped() {
    let mut scene = Scene::new();
    let text = response(&message(&Ask::new("MESSAGE").text()), "200 OK", "t", "", "");
    assert!(scene.hear(BOB, &text).is_none());
    scene.silence();
}

#[test]
fn a_branch_whose_transaction_is_over_is_worth_nothing() {
    let mut scene = Scene::new();
    scene.send(ALICE, &Ask::new("MESSAGE"), &[device(BOB, 1000)]);
    let sent = scene.expect_method(BOB, "MESSAGE");
    scene.reply(BOB, &sent, "200 OK");
    scene.expect_status(ALICE, 200);
    scene.reply(BOB, &sent, "200 OK");
    scene.silence();
    assert_eq!(scene.proxy.counters().stray_responses, 1);
}

#[test]
fn a_response_with_another_method_is_dropped() {
    let mut scene = Scene::new();
    scene.send(ALICE, &Ask::new("MESSAGE"), &[device(BOB, 1000)]);
    let sent = scene.expect_method(BOB, "MESSAGE");
    for method in ["INVITE", "MESS", "CANCEL", "MESSAGES"] {
        let text = response(&sent, "200 OK", "t", "", "").replace("CSeq: 1 MESSAGE", &format!("CSeq: 1 {method}"));
        assert!(scene.hear(BOB, &text).is_none());
        scene.silence();
    }
    assert_eq!(scene.proxy.counters().stray_responses, 4);
}

#[test]
fn an_answer_to_a_cancel_ends_no_call() {
    let mut scene = Scene::new();
    let sent = scene.call(&Ask::invite(), &[device(BOB, 1000)]);
    let text = response(&sent[0], "200 OK", "t", "", "").replace("CSeq: 1 INVITE", "CSeq: 1 CANCEL");
    assert!(scene.hear(BOB, &text).is_none());
    scene.silence();
    scene.reply_with(BOB, &sent[0], "200 OK", "", SRTP);
    scene.expect_status(ALICE, 200);
}

#[test]
fn a_flood_of_acks_leaves_nothing_behind() {
    let mut scene = Scene::new();
    for n in 0..1000 {
        let mut ask = Ask::new("ACK");
        ask.cseq = n + 1;
        scene.send(MALLORY, &ask, &[device(BOB, 1000)]);
        scene.expect_method(BOB, "ACK");
    }
    assert!(scene.proxy.is_idle());
}

#[test]
fn an_ack_from_another_connection_settles_nothing() {
    let mut scene = Scene::new();
    let ask = Ask::invite();
    let sent = scene.call(&ask, &[device(BOB, 1000)]);
    scene.reply(BOB, &sent[0], "486 Busy Here");
    scene.expect_method(BOB, "ACK");
    scene.expect_status(ALICE, 486);
    assert!(scene.hear(MALLORY, &ask.hop("ACK").text()).is_some(), "handed out: it belongs to nothing");
    assert_eq!(scene.proxy.transactions(), 1);
    assert!(scene.hear(ALICE, &ask.hop("ACK").text()).is_none());
    assert!(scene.proxy.is_idle());
}

#[test]
fn sixty_devices_one_decline() {
    let mut scene = Scene::new();
    let flows: Vec<_> = (100..160).map(proxy::Flow).collect();
    let targets: Vec<_> = flows.iter().map(|flow| device(*flow, 1000)).collect();
    scene.send(ALICE, &Ask::invite(), &targets);
    scene.expect_status(ALICE, 100);
    let sent: Vec<_> = flows.iter().map(|flow| scene.expect_method(*flow, "INVITE")).collect();
    for (flow, request) in flows.iter().zip(&sent) {
        scene.reply(*flow, request, "180 Ringing");
        scene.expect_status(ALICE, 180);
    }
    scene.reply(flows[30], &sent[30], "603 Decline");
    scene.expect_method(flows[30], "ACK");
    for flow in flows.iter().filter(|flow| **flow != flows[30]) {
        scene.expect_method(*flow, "CANCEL");
    }
    scene.silence();
    for (flow, request) in flows.iter().zip(&sent).filter(|(flow, _)| **flow != flows[30]) {
        scene.reply(*flow, request, "487 Request Terminated");
        scene.expect_method(*flow, "ACK");
    }
    scene.expect_status(ALICE, 603);
    scene.silence();
}

#[test]
fn a_header_value_cannot_smuggle_a_line_into_a_cancel() {
    let mut scene = Scene::new();
    let ask = Ask::invite();
    let sent = scene.call(&ask, &[device(BOB, 1000)]);
    scene.reply(BOB, &sent[0], "180 Ringing");
    scene.expect_status(ALICE, 180);
    scene.hear(ALICE, &ask.hop("CANCEL").with("Reason: SIP;cause=200\r\n X-Smuggled: yes\r\n").text());
    scene.expect_status(ALICE, 200);
    let cancel = scene.expect_method(BOB, "CANCEL");
    assert!(!text_of(&cancel).contains("\r\nX-Smuggled"), "{}", text_of(&cancel));
}

#[test]
fn a_caller_who_forges_our_via_reaches_nobody_elses_transaction() {
    let mut scene = Scene::new();
    let sent = scene.call(&Ask::invite(), &[device(BOB, 1000)]);
    // Bob copies our Via into a request of his own; Carol's response goes to Bob, not to Alice.
    let mut ask = Ask::new("MESSAGE");
    ask.via = sent[0].first(Name::Via).unwrap().to_owned();
    ask.call_id = "call-b".to_owned();
    scene.send(BOB, &ask, &[device(DAVE, 1000)]);
    let passed = scene.expect_method(DAVE, "MESSAGE");
    scene.reply(DAVE, &passed, "200 OK");
    scene.expect_status(BOB, 200);
    scene.silence();
}
