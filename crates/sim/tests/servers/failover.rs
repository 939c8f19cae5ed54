//! A pool of several servers: one takes the other's place, nobody is answered twice, nothing goes in circles.

use std::time::Duration;

use sim::{ENCRYPTED, Organisation};
use sip::Status;

use crate::cast::*;

#[test]
fn any_server_of_the_pool_will_do() {
    for lost in ["fe3", "fe4"] {
        let (mut scene, mut anna, bert) = many();
        scene.stop(lost);
        for _ in 0..3 {
            writes(&mut scene, &mut anna, &bert);
        }
        let (invite, _) = call(&mut scene, &mut anna, &bert);
        callee_hangs_up(&mut scene, &anna, &bert, &invite);
    }
}

#[test]
fn the_pool_serves_on_when_all_but_one_server_are_lost() {
    let (mut scene, mut anna, bert) = many();
    scene.stop("fe3");
    scene.stop("fe4");
    writes(&mut scene, &mut anna, &bert);
    scene.stop("fe2");
    assert_eq!(status(&answered(&mut scene, &mut anna, BERT)), Status::SERVICE_UNAVAILABLE);
}

#[test]
fn a_user_whose_server_is_lost_comes_back_at_another_one() {
    let (mut scene, mut anna, mut bert) = many();
    scene.stop("fe2");
    assert_eq!(status(&answered(&mut scene, &mut anna, BERT)), Status::TEMPORARILY_UNAVAILABLE);
    bert.1 = scene.sign_in(&mut bert.0, "fe4");
    writes(&mut scene, &mut anna, &bert);
}

#[test]
fn a_request_on_its_way_to_a_server_that_is_lost_goes_to_the_next_and_is_answered_once() {
    // Whichever server of the pool is asked, it must be lost while the request is under way.
    let mut failed_over = 0;
    for server in ["fe2", "fe3", "fe4"] {
        let home = if server == "fe2" { "fe3" } else { "fe2" };
        let mut scene = Organisation::new(MANY, &[("anna", "fe1"), ("bert", "pool")]);
        let (mut anna, mut bert) = (scene.phone("anna"), scene.phone("bert"));
        let (a, b) = (scene.sign_in(&mut anna, "fe1"), scene.sign_in(&mut bert, home));
        scene.silence("fe1", server);
        let message = anna.request("MESSAGE", BERT, "", "Hello");
        scene.say(a, &message);
        failed_over += usize::from(scene.heard(b).is_empty());
        let (mut anna, bert) = ((anna, a), (bert, b));
        if scene.heard(a).is_empty() {
            scene.stop(server);
            let got = scene.heard(bert.1);
            for message in &got {
                scene.say(bert.1, &bert.0.response(message, Status::OK, ""));
            }
            assert_eq!(answers(&scene.heard(anna.1)).len(), got.len().min(1), "{server}");
        }
        writes(&mut scene, &mut anna, &bert);
    }
    assert_eq!(failed_over, 1, "all requests for one user go the same way, so one server of the three was asked");
}

#[test]
fn a_call_to_a_server_that_says_nothing_goes_to_the_next() {
    for server in ["fe2", "fe3", "fe4"] {
        let home = if server == "fe2" { "fe3" } else { "fe2" };
        let mut scene = Organisation::new(MANY, &[("anna", "fe1"), ("bert", "pool")]);
        let (mut anna, mut bert) = (scene.phone("anna"), scene.phone("bert"));
        let (a, b) = (scene.sign_in(&mut anna, "fe1"), scene.sign_in(&mut bert, home));
        scene.silence("fe1", server);
        let invite = anna.request("INVITE", BERT, "", ENCRYPTED);
        scene.say(a, &invite);
        scene.run_for(Duration::from_secs(9));
        let got = scene.heard_one(b);
        scene.say(b, &bert.response(&got, Status::RINGING, ""));
        scene.say(b, &bert.response(&got, Status::OK, ENCRYPTED));
        assert_eq!(answers(&scene.heard(a)), [Status::TRYING, Status::RINGING, Status::OK], "{server}");
        scene.run_for(Duration::from_secs(60));
        assert!(answers(&scene.heard(a)).is_empty());
    }
}

#[test]
fn a_call_that_rings_is_not_begun_again_elsewhere() {
    let (mut scene, mut anna, bert) = many();
    let mut second = scene.phone("bert").device(2);
    let other = scene.sign_in(&mut second, "fe3");
    let invite = anna.0.request("INVITE", BERT, "", ENCRYPTED);
    scene.say(anna.1, &invite);
    for line in [bert.1, other] {
        let got = scene.heard_one(line);
        scene.say(line, &bert.0.response(&got, Status::RINGING, ""));
    }
    scene.unplug("fe1", "fe2");
    scene.unplug("fe1", "fe3");
    scene.unplug("fe1", "fe4");
    for line in [bert.1, other] {
        assert_eq!(scene.heard(line).iter().filter(|message| message.method() == "INVITE").count(), 0);
    }
    let heard = answers(&scene.heard(anna.1));
    assert_eq!(heard.iter().filter(|status| status.code() >= 200).count(), 1, "{heard:?}");
}

#[test]
fn servers_that_send_a_user_to_each_other_do_so_once() {
    let (mut scene, mut anna, bert) = two();
    // fe1 believes that Bert is at home with fe2, which believes the opposite.
    scene.move_home("fe2", "bert", "fe1");
    assert!(!scene.is_open(bert.1), "whose home is elsewhere now is not served here any more");
    assert_eq!(status(&answered(&mut scene, &mut anna, BERT)), Status::LOOP_DETECTED);
    let invite = anna.0.request("INVITE", BERT, "", ENCRYPTED);
    scene.say(anna.1, &invite);
    assert_eq!(answers(&scene.heard(anna.1)), [Status::TRYING, Status::LOOP_DETECTED]);
}

#[test]
fn three_servers_that_send_a_user_round_in_a_circle_end_it() {
    let mut scene = Organisation::new(
        &[("ca", "ca", "authority"), ("fe1", "fe1", "front-end"), ("fe2", "fe2", "front-end"), ("fe3", "fe3", "front-end")],
        &[("anna", "fe1"), ("bert", "fe2")],
    );
    let mut anna = scene.phone("anna");
    let mut anna = (anna.clone(), scene.sign_in(&mut anna, "fe1"));
    scene.move_home("fe2", "bert", "fe3");
    scene.move_home("fe3", "bert", "fe1");
    assert_eq!(status(&answered(&mut scene, &mut anna, BERT)), Status::LOOP_DETECTED);
}
