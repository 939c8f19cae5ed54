//! Requests that go in circles or spread too wide (RFC 3261 §16.3, RFC 5393).

use sip::{Message, Name};

use crate::scene::{ALICE, Ask, BOB, CAROL, DAVE, Scene, device, plan, text_of};

#[test]
fn a_request_with_no_hops_left_is_483() {
    let mut scene = Scene::new();
    let ask = Ask::new("MESSAGE").without_hops().with("Max-Forwards: 0\r\n");
    scene.send(ALICE, &ask, &[device(BOB, 1000)]);
    scene.expect_status(ALICE, 483);
    scene.silence();
}

#[test]
fn the_last_hop_is_still_taken() {
    let mut scene = Scene::new();
    let ask = Ask::new("MESSAGE").without_hops().with("Max-Forwards: 1\r\n");
    scene.send(ALICE, &ask, &[device(BOB, 1000)]);
    assert_eq!(scene.expect_method(BOB, "MESSAGE").first(Name::MaxForwards), Some("0"));
}

/// Bob's phone sends what it got back to us, addressed as it likes.
fn returned(sent: &Message, uri: &str) -> String {
    let text = text_of(sent).replacen(sent.request_uri_text(), uri, 1);
    text.replacen("Via: ", "Via: SIP/2.0/TLS bob.invalid;branch=z9hG4bK-back\r\nVia: ", 1)
}

#[test]
fn a_request_that_comes_back_unchanged_is_a_loop() {
    let mut scene = Scene::new();
    scene.send(ALICE, &Ask::new("MESSAGE"), &[device(BOB, 1000)]);
    let sent = scene.expect_method(BOB, "MESSAGE");
    let back = scene.hear(BOB, &returned(&sent, "sip:bob@verbund.test")).unwrap();
    scene.proxy.forward(back, plan(&[device(BOB, 1000)]), scene.now);
    scene.expect_status(BOB, 482);
    scene.silence();
}

#[test]
fn a_request_that_comes_back_for_somebody_else_is_a_spiral_and_passes() {
    let mut scene = Scene::new();
    scene.send(ALICE, &Ask::new("MESSAGE"), &[device(BOB, 1000)]);
    let sent = scene.expect_method(BOB, "MESSAGE");
    let back = scene.hear(BOB, &returned(&sent, "sip:carol@verbund.test")).unwrap();
    scene.proxy.forward(back, plan(&[device(CAROL, 1000)]), scene.now);
    scene.expect_method(CAROL, "MESSAGE");
    scene.silence();
}

#[test]
fn a_request_has_a_breadth_of_sixty_to_spend() {
    let mut scene = Scene::new();
    scene.send(ALICE, &Ask::new("MESSAGE"), &[device(BOB, 1000)]);
    assert_eq!(scene.expect_method(BOB, "MESSAGE").first(Name::MaxBreadth), Some("60"));
}

#[test]
fn open_branches_share_the_breadth() {
    let mut scene = Scene::new();
    let ask = Ask::new("MESSAGE").with("Max-Breadth: 7\r\n");
    scene.send(ALICE, &ask, &[device(BOB, 1000), device(CAROL, 1000), device(DAVE, 1000)]);
    let shares: Vec<u32> = (0..3).map(|_| scene.expect_any().first(Name::MaxBreadth).unwrap().parse().unwrap()).collect();
    assert_eq!(shares, [3, 2, 2]);
}

#[test]
fn nobody_gains_breadth_by_asking_for_more() {
    let mut scene = Scene::new();
    scene.send(ALICE, &Ask::new("MESSAGE").with("Max-Breadth: 100000\r\n"), &[device(BOB, 1000)]);
    assert_eq!(scene.expect_method(BOB, "MESSAGE").first(Name::MaxBreadth), Some("60"));
}

#[test]
fn a_fork_wider_than_its_breadth_is_440() {
    for breadth in ["1", "0"] {
        let mut scene = Scene::new();
        let ask = Ask::new("MESSAGE").with(&format!("Max-Breadth: {breadth}\r\n"));
        scene.send(ALICE, &ask, &[device(BOB, 1000), device(CAROL, 1000)]);
        scene.expect_status(ALICE, 440);
        scene.silence();
        assert!(scene.proxy.is_idle());
    }
}

#[test]
fn one_after_the_other_needs_a_breadth_of_one() {
    let mut scene = Scene::new();
    let ask = Ask::new("MESSAGE").with("Max-Breadth: 1\r\n");
    scene.send(ALICE, &ask, &[device(BOB, 1000), device(CAROL, 500)]);
    let sent = scene.expect_method(BOB, "MESSAGE");
    scene.reply(BOB, &sent, "480 Temporarily Unavailable");
    assert_eq!(scene.expect_method(CAROL, "MESSAGE").first(Name::MaxBreadth), Some("1"));
}

#[test]
fn an_ack_with_no_hops_left_is_dropped_in_silence() {
    let mut scene = Scene::new();
    scene.send(ALICE, &Ask::new("ACK").without_hops().with("Max-Forwards: 0\r\n"), &[device(BOB, 1000)]);
    scene.silence();
}
