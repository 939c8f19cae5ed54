//! What peers can make grow, and where it ends.

use sip::{Name, Reply, Status};

use crate::scene::{ALICE, Ask, BOB, CAROL, Scene, device, message};

fn numbered(method: &'static str, n: u32) -> Ask {
    let mut ask = if method == "INVITE" { Ask::invite() } else { Ask::new(method) };
    ask.cseq = n;
    ask
}

#[test]
fn a_full_server_says_so_and_when_to_come_back() {
    let mut scene = Scene::with(|settings| settings.limits.transactions_max = 2);
    for n in 1..=2 {
        scene.send(ALICE, &numbered("MESSAGE", n), &[device(BOB, 1000)]);
        scene.expect_method(BOB, "MESSAGE");
    }
    scene.send(CAROL, &numbered("MESSAGE", 3), &[device(BOB, 1000)]);
    let refused = scene.expect_status(CAROL, 503);
    assert_eq!(refused.first(Name::RetryAfter), Some("5"));
    scene.silence();
    assert_eq!(scene.proxy.counters().refused_full, 1);
}

#[test]
fn one_connection_cannot_fill_the_server() {
    let mut scene = Scene::with(|settings| settings.limits.client.transactions_max = 2);
    for n in 1..=2 {
        scene.send(ALICE, &numbered("MESSAGE", n), &[device(BOB, 1000)]);
        scene.expect_method(BOB, "MESSAGE");
    }
    scene.send(ALICE, &numbered("MESSAGE", 3), &[device(BOB, 1000)]);
    scene.expect_status(ALICE, 503);
    scene.send(CAROL, &numbered("MESSAGE", 3), &[device(BOB, 1000)]);
    scene.expect_method(BOB, "MESSAGE");
}

#[test]
fn large_requests_fill_a_server_sooner() {
    let mut scene = Scene::with(|settings| settings.limits.client.bytes_max = 4000);
    let mut large = numbered("MESSAGE", 1);
    large.body = "x".repeat(3000);
    scene.send(ALICE, &large, &[device(BOB, 1000)]);
    let sent = scene.expect_method(BOB, "MESSAGE");
    large.cseq = 2;
    scene.send(ALICE, &large, &[device(BOB, 1000)]);
    scene.expect_status(ALICE, 503);
    scene.send(CAROL, &large, &[device(BOB, 1000)]);
    scene.expect_method(BOB, "MESSAGE");
    scene.reply(BOB, &sent, "200 OK");
    scene.expect_status(ALICE, 200);
    large.cseq = 3;
    scene.send(ALICE, &large, &[device(BOB, 1000)]);
    scene.expect_method(BOB, "MESSAGE");
}

#[test]
fn a_full_server_still_lets_an_ack_through() {
    let mut scene = Scene::with(|settings| settings.limits.transactions_max = 0);
    scene.send(ALICE, &Ask::new("ACK"), &[device(BOB, 1000)]);
    scene.expect_method(BOB, "ACK");
}

#[test]
fn a_stranger_who_never_acknowledges_costs_a_bounded_amount() {
    let mut scene = Scene::with(|settings| settings.limits.client.answers_max = 3);
    for n in 1..=10 {
        let ask = numbered("INVITE", n);
        let request = scene.ask(ALICE, &ask);
        let response = Reply::to(&message(&ask.text()), Status::PROXY_AUTHENTICATION_REQUIRED, "t").finish();
        scene.proxy.answer(request, response, scene.now);
        scene.expect_status(ALICE, 407);
    }
    assert_eq!(scene.proxy.transactions(), 3);
}

#[test]
fn a_fork_leaves_out_the_least_wanted_devices() {
    let mut scene = Scene::with(|settings| settings.limits.branches_max = 2);
    let targets: Vec<_> = (1..=5).map(|n| device(proxy::Flow(10 + n), n as u16 * 100)).collect();
    scene.send(ALICE, &Ask::new("MESSAGE"), &targets);
    for flow in [15, 14] {
        let sent = scene.expect_method(proxy::Flow(flow), "MESSAGE");
        scene.reply(proxy::Flow(flow), &sent, "480 Temporarily Unavailable");
    }
    scene.expect_status(ALICE, 480);
    assert_eq!(scene.proxy.counters().targets_left_out, 3);
}

#[test]
fn what_nobody_polls_does_not_pile_up() {
    let mut scene = Scene::with(|settings| settings.limits.outputs_max = 1);
    scene.send(ALICE, &Ask::invite(), &[device(BOB, 1000)]);
    scene.expect_status(ALICE, 100);
    scene.silence();
    assert_eq!(scene.proxy.counters().outputs_dropped, 1);
}

#[test]
fn challenges_of_a_fork_are_bounded() {
    let mut scene = Scene::with(|settings| settings.limits.challenges_max = 2);
    scene.send(ALICE, &Ask::new("MESSAGE"), &[device(BOB, 1000), device(CAROL, 1000)]);
    let many = "WWW-Authenticate: Digest realm=\"x\", nonce=\"1\"\r\n".repeat(5);
    let sent = [BOB, CAROL].map(|flow| (flow, scene.expect_method(flow, "MESSAGE")));
    for (flow, request) in &sent {
        scene.reply_with(*flow, request, "401 Unauthorized", &many, "");
    }
    assert_eq!(scene.expect_status(ALICE, 401).all(Name::WwwAuthenticate).count(), 2);
}

#[test]
fn refusals_that_wait_for_an_ack_are_bounded_in_bytes() {
    let mut scene = Scene::with(|settings| settings.limits.answers_bytes_max = 20_000);
    for n in 1..=10 {
        let ask = numbered("INVITE", n).with(&format!("X: {}\r\n", "x".repeat(6000)));
        let request = scene.ask(ALICE, &ask);
        let sent = message(&ask.text());
        let response = Reply::to(&sent, Status::PROXY_AUTHENTICATION_REQUIRED, "t").header(Name::Warning, &"x".repeat(6000));
        scene.proxy.answer(request, response.finish(), scene.now);
        scene.expect_status(ALICE, 407);
    }
    assert_eq!(scene.proxy.transactions(), 3);
    scene.pass(33);
    assert!(scene.proxy.is_idle());
}

#[test]
fn nobody_is_written_to_faster_than_they_listen() {
    let mut scene = Scene::with(|settings| settings.limits.client.unheard_bytes_max = 8000);
    let mut large = numbered("MESSAGE", 1);
    large.body = "x".repeat(3000);
    let mut sent = Vec::new();
    for n in 1..=3 {
        large.cseq = n;
        scene.send(if n == 1 { ALICE } else { CAROL }, &large, &[device(BOB, 1000)]);
        match n {
            3 => drop(scene.expect_status(CAROL, 503)),
            _ => sent.push(scene.expect_method(BOB, "MESSAGE")),
        }
    }
    // Another device has room of its own, and so does this one when it has heard something.
    large.cseq = 4;
    scene.send(CAROL, &large, &[device(BOB, 1000), device(proxy::Flow(77), 1000)]);
    scene.expect_method(proxy::Flow(77), "MESSAGE");
    scene.silence();
    scene.reply(BOB, &sent[0], "100 Trying");
    large.cseq = 5;
    scene.send(CAROL, &large, &[device(BOB, 1000)]);
    scene.expect_method(BOB, "MESSAGE");
}

#[test]
fn an_ack_that_nothing_is_ever_heard_of_is_small() {
    let mut scene = Scene::with(|settings| settings.limits.ack_bytes_max = 2000);
    let mut ack = Ask::new("ACK");
    ack.body = "x".repeat(3000);
    scene.send(ALICE, &ack, &[device(BOB, 1000)]);
    scene.silence();
    ack.body = "x".repeat(300);
    scene.send(ALICE, &ack, &[device(BOB, 1000)]);
    scene.expect_method(BOB, "ACK");
}

#[test]
fn a_callee_cannot_flood_a_caller_with_provisional_responses() {
    let mut scene = Scene::with(|settings| settings.limits.told_bytes_max = 5000);
    let sent = scene.call(&Ask::invite(), &[device(BOB, 1000)]);
    let large = format!("X: {}\r\n", "x".repeat(2000));
    for n in 1..=10 {
        scene.reply_with(BOB, &sent[0], "180 Ringing", &large, "");
        if n <= 3 {
            scene.expect_status(ALICE, 180);
        }
    }
    scene.silence();
    scene.reply(BOB, &sent[0], "200 OK");
    scene.expect_status(ALICE, 200);
}
