//! Requests that go to other servers: which one is asked next, when none is any more, and what servers are told.

use std::time::Duration;

use proxy::{End, Flow, Forward, Leg, Route};
use sip::{Message, Name};

use crate::scene::{ALICE, Ask, BOB, CAROL, DAVE, SRTP, Scene, device, following, fqdn, leg, message, plan, route_of, server, text_of};

/// Carol and Dave are links with the servers fe2 and fe3 here.
const FE2: Flow = CAROL;
const FE3: Flow = DAVE;

fn scene() -> Scene {
    let mut scene = Scene::with(|settings| settings.sent_by_to_servers = "sip.verbund.test:5062".to_owned());
    scene.proxy.handle_link(FE2);
    scene.proxy.handle_link(FE3);
    scene
}

/// Alice's request goes to fe2, or else to fe3; what fe2 got.
fn asked(scene: &mut Scene, ask: &Ask) -> Message {
    scene.send(ALICE, ask, &[server(FE2, "fe2", &["fe3"])]);
    if ask.method == "INVITE" {
        scene.expect_status(ALICE, 100);
    }
    scene.expect_method(FE2, ask.method)
}

/// Whoever opens links answers for the one server that is wanted.
fn find(scene: &mut Scene, name: &str, flow: Option<Flow>) {
    let wanted = scene.proxy.poll_wanted().expect("another server is wanted");
    assert_eq!(wanted.server, fqdn(name));
    assert!(wanted.size > 100);
    scene.proxy.reached(wanted, flow, scene.now);
}

fn wants_nobody(scene: &mut Scene) {
    if let Some(wanted) = scene.proxy.poll_wanted() {
        panic!("{} is wanted", wanted.server);
    }
}

#[test]
fn a_server_that_is_lost_before_it_said_anything_makes_room_for_the_next() {
    for ask in [Ask::invite(), Ask::new("MESSAGE")] {
        let mut scene = scene();
        asked(&mut scene, &ask);
        scene.close(FE2);
        scene.silence();
        find(&mut scene, "fe3", Some(FE3));
        let sent = scene.expect_method(FE3, ask.method);
        scene.reply_with(FE3, &sent, "200 OK", "", if ask.method == "INVITE" { SRTP } else { "" });
        scene.expect_status(ALICE, 200);
        scene.silence();
    }
}

#[test]
fn a_request_that_begins_anew_is_answered_while_its_caller_waits() {
    let mut scene = scene();
    asked(&mut scene, &Ask::new("MESSAGE"));
    scene.pass(20);
    scene.close(FE2);
    find(&mut scene, "fe3", Some(FE3));
    scene.expect_method(FE3, "MESSAGE");
    scene.pass(9);
    scene.silence();
    scene.pass(1);
    scene.expect_status(ALICE, 480);
}

#[test]
fn a_server_that_answers_503_makes_room_for_the_next() {
    let mut scene = scene();
    let sent = asked(&mut scene, &Ask::invite());
    scene.reply(FE2, &sent, "100 Trying");
    scene.reply(FE2, &sent, "503 Service Unavailable");
    scene.expect_method(FE2, "ACK");
    find(&mut scene, "fe3", Some(FE3));
    let sent = scene.expect_method(FE3, "INVITE");
    scene.reply(FE3, &sent, "486 Busy Here");
    scene.expect_method(FE3, "ACK");
    scene.expect_status(ALICE, 486);
    scene.silence();
}

#[test]
fn a_server_that_says_nothing_to_a_call_makes_room_for_the_next_and_is_told_to_stop_when_it_wakes_up() {
    let mut scene = scene();
    let sent = asked(&mut scene, &Ask::invite());
    scene.pass(9);
    find(&mut scene, "fe3", Some(FE3));
    let again = scene.expect_method(FE3, "INVITE");
    scene.reply(FE3, &again, "180 Ringing");
    scene.expect_status(ALICE, 180);
    // The first one has slept.
    scene.reply(FE2, &sent, "180 Ringing");
    scene.expect_method(FE2, "CANCEL");
    scene.reply(FE2, &sent, "487 Request Terminated");
    scene.expect_method(FE2, "ACK");
    scene.silence();
    scene.reply_with(FE3, &again, "200 OK", "", SRTP);
    scene.expect_status(ALICE, 200);
    scene.silence();
}

#[test]
fn a_call_answered_by_a_server_that_was_given_up_is_hung_up_there() {
    let mut scene = scene();
    let sent = asked(&mut scene, &Ask::invite());
    scene.pass(9);
    find(&mut scene, "fe3", Some(FE3));
    scene.expect_method(FE3, "INVITE");
    scene.reply_with(FE2, &sent, "200 OK", "", SRTP);
    scene.expect_method(FE2, "ACK");
    scene.expect_method(FE2, "BYE");
    scene.silence();
}

#[test]
fn nobody_is_asked_again_once_a_user_may_have_been_rung() {
    let mut scene = scene();
    let sent = asked(&mut scene, &Ask::invite());
    scene.reply(FE2, &sent, "180 Ringing");
    scene.expect_status(ALICE, 180);
    scene.reply(FE2, &sent, "503 Service Unavailable");
    scene.expect_method(FE2, "ACK");
    wants_nobody(&mut scene);
    scene.expect_status(ALICE, 500);
}

#[test]
fn nobody_is_asked_again_when_the_link_is_lost_after_a_first_word() {
    let mut scene = scene();
    let sent = asked(&mut scene, &Ask::invite());
    scene.reply(FE2, &sent, "100 Trying");
    scene.close(FE2);
    wants_nobody(&mut scene);
    scene.expect_status(ALICE, 480);
}

#[test]
fn nobody_is_asked_again_after_a_users_no() {
    for status in ["486 Busy Here", "603 Decline", "480 Temporarily Unavailable", "404 Not Found", "500 Server Internal Error"] {
        let mut scene = scene();
        let sent = asked(&mut scene, &Ask::new("MESSAGE"));
        scene.reply(FE2, &sent, status);
        wants_nobody(&mut scene);
        scene.expect_status(ALICE, status[..3].parse().unwrap());
        scene.silence();
    }
}

#[test]
fn nobody_is_asked_again_for_a_call_that_was_taken_back() {
    let mut scene = scene();
    let ask = Ask::invite();
    asked(&mut scene, &ask);
    scene.hear(ALICE, &ask.hop("CANCEL").text());
    scene.expect_status(ALICE, 200);
    scene.close(FE2);
    wants_nobody(&mut scene);
    scene.expect_status(ALICE, 487);
}

#[test]
fn a_call_that_is_taken_back_while_a_server_is_looked_for_goes_nowhere() {
    let mut scene = scene();
    let ask = Ask::invite();
    asked(&mut scene, &ask);
    scene.close(FE2);
    scene.hear(ALICE, &ask.hop("CANCEL").text());
    scene.expect_status(ALICE, 200);
    scene.expect_status(ALICE, 487);
    find(&mut scene, "fe3", Some(FE3));
    scene.silence();
}

#[test]
fn nobody_is_asked_again_for_a_caller_who_is_gone() {
    let mut scene = scene();
    asked(&mut scene, &Ask::new("MESSAGE"));
    scene.close(FE2);
    scene.close(ALICE);
    find(&mut scene, "fe3", Some(FE3));
    scene.silence();
    assert!(scene.proxy.is_idle());
}

#[test]
fn when_no_server_can_be_reached_the_caller_is_told_when_to_try_again() {
    for ask in [Ask::invite(), Ask::new("MESSAGE")] {
        let mut scene = scene();
        scene.send(ALICE, &ask, &[server(FE2, "fe2", &["fe3", "fe4"])]);
        if ask.method == "INVITE" {
            scene.expect_status(ALICE, 100);
        }
        scene.expect_method(FE2, ask.method);
        scene.close(FE2);
        find(&mut scene, "fe3", None);
        find(&mut scene, "fe4", Some(FE3));
        scene.expect_method(FE3, ask.method);
        scene.close(FE3);
        wants_nobody(&mut scene);
        let answer = scene.expect_status(ALICE, 503);
        assert_eq!(answer.first(Name::RetryAfter), Some("5"));
        scene.silence();
    }
}

#[test]
fn each_server_of_a_fork_is_replaced_by_itself() {
    let mut scene = scene();
    let targets = [device(BOB, 1000), server(FE2, "fe2", &["fe3"])];
    scene.send(ALICE, &Ask::new("MESSAGE"), &targets);
    let first = scene.expect_method(BOB, "MESSAGE");
    scene.expect_method(FE2, "MESSAGE");
    scene.close(FE2);
    find(&mut scene, "fe3", Some(FE3));
    let second = scene.expect_method(FE3, "MESSAGE");
    scene.reply(FE3, &second, "480 Temporarily Unavailable");
    scene.silence();
    scene.reply(BOB, &first, "200 OK");
    scene.expect_status(ALICE, 200);
    scene.silence();
    assert!(scene.proxy.is_idle());
}

#[test]
fn a_server_knows_us_by_the_port_for_servers_and_a_phone_by_its_own() {
    let mut scene = scene();
    let sent = asked(&mut scene, &Ask::invite());
    assert!(sent.first(Name::Via).unwrap().starts_with("SIP/2.0/TLS sip.verbund.test:5062;branch="), "{}", text_of(&sent));
    let routes: Vec<&str> = sent.list(Name::RecordRoute).collect();
    assert_eq!(routes.len(), 2);
    assert!(routes[0].contains("@sip.verbund.test:5062;"), "{routes:?}");
    assert!(routes[1].contains("@sip.verbund.test:5061;"), "{routes:?}");
    // A CANCEL says what the INVITE said (RFC 3261 §9.1).
    scene.reply(FE2, &sent, "180 Ringing");
    scene.expect_status(ALICE, 180);
    scene.hear(ALICE, &Ask::invite().hop("CANCEL").text());
    scene.expect_status(ALICE, 200);
    assert_eq!(scene.expect_method(FE2, "CANCEL").first(Name::Via), sent.first(Name::Via));
}

#[test]
fn a_dialog_names_the_server_at_its_end() {
    let mut scene = scene();
    let sent = asked(&mut scene, &Ask::invite());
    let there = Leg { flow: FE2, end: End::Server(fqdn("fe2")) };
    let bye = following(Ask::new("BYE"), &sent);
    assert_eq!(route_of(&scene, &bye), Route::Dialog { from: leg(ALICE, "alice"), to: there });
}

#[test]
fn the_token_of_a_server_that_was_asked_second_names_that_one() {
    let mut scene = scene();
    asked(&mut scene, &Ask::invite());
    scene.close(FE2);
    find(&mut scene, "fe3", Some(FE3));
    let sent = scene.expect_method(FE3, "INVITE");
    let bye = following(Ask::new("BYE"), &sent);
    let there = Leg { flow: FE3, end: End::Server(fqdn("fe3")) };
    assert_eq!(route_of(&scene, &bye), Route::Dialog { from: leg(ALICE, "alice"), to: there });
}

#[test]
fn a_server_is_told_who_calls_even_if_the_other_user_must_not_be() {
    for (headers, to_phone) in [("", Some("<sip:alice@verbund.test>")), ("Privacy: id\r\n", None)] {
        let mut scene = scene();
        scene.send(ALICE, &Ask::new("MESSAGE").with(headers), &[device(BOB, 1000), server(FE2, "fe2", &[])]);
        assert_eq!(scene.expect_method(BOB, "MESSAGE").first(Name::PAssertedIdentity), to_phone);
        let sent = scene.expect_method(FE2, "MESSAGE");
        assert_eq!(sent.first(Name::PAssertedIdentity), Some("<sip:alice@verbund.test>"));
        assert_eq!(sent.first(Name::Privacy), Some("id").filter(|_| to_phone.is_none()));
    }
}

#[test]
fn an_address_behind_our_token_is_somebody_elses_unless_it_bears_the_same_token() {
    let mut scene = scene();
    let sent = asked(&mut scene, &Ask::invite());
    let ours: Vec<&str> = sent.list(Name::RecordRoute).collect();
    let [theirs, same] =
        [ours[0].replace(ours[0].split(['@', ':']).nth(1).unwrap(), "other"), ours[0].replace("sip.verbund.test", "192.0.2.9")];
    let bye = |more: &str| Ask::new("BYE").with(&format!("Route: {}, {}, {more}\r\n", ours[1], ours[0]));
    let left = |ask: &Ask| scene.proxy.foreign_routes(&message(&ask.text()));
    assert_eq!(left(&bye("<sip:192.0.2.9:5061;lr>")), 1);
    assert_eq!(left(&bye(&theirs.replace("sip.verbund.test", "192.0.2.9"))), 1);
    assert_eq!(left(&bye(&same)), 0);
}

#[test]
fn an_answer_that_must_not_be_is_hung_up_along_the_way_it_came() {
    let mut scene = scene();
    let sent = asked(&mut scene, &Ask::invite());
    let recorded: Vec<&str> = sent.list(Name::RecordRoute).collect();
    // The other server and its phone call each other by an address and a name.
    let theirs = ["<sip:T@192.0.2.7:5061;transport=tls;lr>", "<sip:T@fe2.verbund.test:5062;transport=tls;lr>"];
    let all = [&theirs[..], &recorded[..]].concat().join(", ");
    let text = crate::scene::response(&sent, "200 OK", "b", "", crate::scene::CLEAR);
    let text = text.lines().filter(|line| !line.starts_with("Record-Route")).collect::<Vec<_>>().join("\r\n");
    let text = text.replacen("\r\n", &format!("\r\nRecord-Route: {all}\r\n"), 1);
    scene.hear(FE2, &(text + "\r\n"));
    scene.expect_method(FE2, "ACK");
    let bye = scene.expect_method(FE2, "BYE");
    assert_eq!(bye.list(Name::Route).collect::<Vec<_>>(), [theirs[1], theirs[0]]);
    scene.expect_status(ALICE, 488);
}

#[test]
fn a_link_carries_more_than_a_phones_connection() {
    for (linked, let_through) in [(false, 3), (true, 5)] {
        let mut scene = Scene::with(|settings| {
            settings.limits.client.transactions_max = 3;
            settings.limits.link.transactions_max = 5;
        });
        if linked {
            scene.proxy.handle_link(FE2);
        }
        for number in 0..7 {
            let mut ask = Ask::new("MESSAGE");
            ask.call_id = format!("call-{number}");
            scene.send(FE2, &ask, &[device(BOB, 1000)]);
            if number < let_through {
                scene.expect_method(BOB, "MESSAGE");
            } else {
                scene.expect_status(FE2, 503);
            }
        }
        // Nobody else suffers.
        scene.send(ALICE, &Ask::new("MESSAGE"), &[device(BOB, 1000)]);
        scene.expect_method(BOB, "MESSAGE");
    }
}

#[test]
fn what_a_slow_link_has_not_heard_yet_is_bounded_and_told() {
    let mut scene = Scene::with(|settings| settings.limits.link.unheard_bytes_max = 1000);
    scene.proxy.handle_link(FE2);
    assert!(scene.proxy.has_room(FE2, 1000) && !scene.proxy.has_room(FE2, 1001));
    scene.send(ALICE, &Ask::new("MESSAGE"), &[server(FE2, "fe2", &[])]);
    let sent = scene.expect_method(FE2, "MESSAGE");
    assert!(!scene.proxy.has_room(FE2, 1000));
    assert!(scene.proxy.has_room(FE3, 1000));
    scene.reply(FE2, &sent, "200 OK");
    scene.expect_status(ALICE, 200);
    assert!(scene.proxy.has_room(FE2, 1000));
}

#[test]
fn a_link_that_is_closed_is_a_link_no_more() {
    let mut scene = Scene::with(|settings| settings.limits.link.transactions_max = 0);
    scene.proxy.handle_link(FE2);
    scene.send(FE2, &Ask::new("MESSAGE"), &[device(BOB, 1000)]);
    scene.expect_status(FE2, 503);
    scene.close(FE2);
    scene.send(FE2, &Ask::new("MESSAGE"), &[device(BOB, 1000)]);
    scene.expect_method(BOB, "MESSAGE");
}

#[test]
fn a_server_with_nobody_to_take_its_place_has_the_whole_time() {
    let mut scene = scene();
    scene.send(ALICE, &Ask::invite(), &[server(FE2, "fe2", &[])]);
    scene.expect_status(ALICE, 100);
    scene.expect_method(FE2, "INVITE");
    scene.pass(31);
    scene.silence();
    scene.pass(2);
    scene.expect_status(ALICE, 408);
}

#[test]
fn a_server_as_caller_stands_in_the_token() {
    let mut scene = scene();
    let request = scene.ask(FE2, &Ask::invite());
    let caller = End::Server(fqdn("fe2"));
    scene.proxy.forward(request, Forward { caller: Some(caller.clone()), ..plan(&[device(BOB, 1000)]) }, scene.now);
    scene.expect_status(FE2, 100);
    let sent = scene.expect_method(BOB, "INVITE");
    let bye = following(Ask::new("BYE"), &sent);
    assert_eq!(route_of(&scene, &bye), Route::Dialog { from: Leg { flow: FE2, end: caller }, to: leg(BOB, "bob") });
    assert_eq!(scene.proxy.poll_timeout().unwrap() - scene.now, Duration::from_secs(32));
}
