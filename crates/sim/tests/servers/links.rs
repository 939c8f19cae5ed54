//! Connections between servers: few, kept, found by who proved the name, opened again.

use std::time::Duration;

use node::{LinkLimits, LinkState};
use sim::{ENCRYPTED, Entry, Organisation};
use sip::{Name, Status};

use crate::cast::*;

const LIMITS: LinkLimits = LinkLimits::DEFAULT;

#[test]
fn servers_that_route_link_up_by_themselves_and_others_do_not() {
    let scene = Organisation::new(MANY, &[]);
    for (a, b) in [("fe1", "fe2"), ("fe2", "fe1"), ("dir", "fe3"), ("fe4", "dir")] {
        assert!((1..=LIMITS.links_per_server_max).contains(&scene.links_up(a, b)), "{a} {b}: {:?}", scene.links(a));
    }
    for other in ["ca", "edge", "relay", "app"] {
        assert_eq!(scene.links_up("fe1", other), 0, "{other}");
    }
    assert_eq!(scene.dials.keys().filter(|(who, _)| ["ca", "edge", "relay"].contains(&who.as_str())).count(), 0);
}

#[test]
fn a_link_serves_many_requests_and_no_more_are_opened() {
    let (mut scene, mut anna, mut bert) = two();
    let before = scene.dials.clone();
    for _ in 0..20 {
        writes(&mut scene, &mut anna, &bert);
        writes(&mut scene, &mut bert, &anna);
    }
    assert_eq!(scene.dials, before);
}

#[test]
fn a_link_that_is_lost_is_opened_again() {
    let (mut scene, mut anna, bert) = two();
    scene.unplug("fe1", "fe2");
    assert_eq!(scene.links_up("fe1", "fe2"), 0);
    assert!(matches!(scene.links("fe1")[..], [.., ref link] if matches!(link.state, LinkState::Waiting(_))), "{:?}", scene.links("fe1"));
    scene.plug("fe1", "fe2");
    scene.run_for(LIMITS.wait_min);
    assert!(scene.links_up("fe1", "fe2") >= 1);
    writes(&mut scene, &mut anna, &bert);
}

#[test]
fn the_longer_a_server_is_away_the_less_often_it_is_called() {
    let (mut scene, ..) = two();
    scene.stop("fe2");
    let dials = |scene: &Organisation| scene.dials[&("fe1".to_owned(), "fe2".to_owned())];
    let start = dials(&scene);
    scene.run_for(Duration::from_secs(60));
    let first = dials(&scene) - start;
    assert!((6..=14).contains(&first), "{first} in the first minute");
    scene.run_for(Duration::from_secs(600));
    let start = dials(&scene);
    scene.run_for(Duration::from_secs(600));
    let later = dials(&scene) - start;
    assert!((10..=20).contains(&later), "{later} in ten minutes");
    // It comes back, and is found within the longest wait.
    scene.start("fe2");
    scene.run_for(LIMITS.wait_max);
    assert!(scene.links_up("fe1", "fe2") >= 1);
}

#[test]
fn whoever_needs_a_server_that_is_back_need_not_wait() {
    let (mut scene, mut anna, mut bert) = two();
    scene.stop("fe2");
    scene.run_for(Duration::from_secs(300));
    scene.start("fe2");
    // fe2 has linked up already; cut that, and nobody dials but for the message.
    bert.1 = scene.sign_in(&mut bert.0, "fe2");
    writes(&mut scene, &mut anna, &bert);
}

#[test]
fn right_after_a_failure_nobody_is_called_in_vain_and_the_sender_is_told_when_to_come_again() {
    let (mut scene, mut anna, _) = two();
    scene.stop("fe2");
    let before = scene.dials.clone();
    let answer = answered(&mut scene, &mut anna, BERT);
    assert_eq!((status(&answer), answer.first(Name::RetryAfter)), (Status::SERVICE_UNAVAILABLE, Some("5")));
    assert_eq!(scene.dials, before);
    scene.run_for(Duration::from_secs(40));
    let before = scene.dials.clone();
    assert_eq!(status(&answered(&mut scene, &mut anna, BERT)), Status::SERVICE_UNAVAILABLE);
    assert_ne!(scene.dials, before, "an older failure does not keep anybody from trying");
}

#[test]
fn a_dead_wire_is_noticed_and_what_waited_is_told() {
    let (mut scene, mut anna, _bert) = two();
    scene.silence("fe1", "fe2");
    let message = anna.0.request("MESSAGE", BERT, "", "Hello");
    scene.say(anna.1, &message);
    assert!(scene.heard(anna.1).is_empty());
    scene.run_for(LIMITS.check_after + LIMITS.check_within);
    assert_eq!(answers(&scene.heard(anna.1)), [Status::SERVICE_UNAVAILABLE]);
    scene.run_for(Duration::from_secs(2));
    assert!(scene.links_up("fe1", "fe2") >= 1, "new ones come up: {:?}", scene.links("fe1"));
}

#[test]
fn an_idle_link_is_asked_whether_somebody_is_there_and_stays() {
    let (mut scene, mut anna, bert) = two();
    let before = scene.dials.clone();
    scene.run_for(Duration::from_secs(1800));
    assert_eq!(scene.dials, before);
    writes(&mut scene, &mut anna, &bert);
}

#[test]
fn messages_wait_while_a_link_is_being_opened_and_come_in_order() {
    let mut scene =
        Organisation::new(&[("ca", "ca", "authority"), ("fe1", "fe1", "front-end"), ("app", "app", "application")], &[("anna", "fe1")]);
    scene.answer_as("app", "app");
    let mut phone = scene.phone("anna");
    let line = scene.sign_in(&mut phone, "fe1");
    scene.hold_dials();
    for number in 0..100 {
        let message = phone.request("MESSAGE", "sip:bot@app.contoso.example", "", &format!("number {number}"));
        scene.say(line, &message);
    }
    assert!(scene.heard(line).is_empty());
    scene.release();
    let app = scene.answered();
    let got = requests(scene.heard(app));
    let words: Vec<String> = got.iter().map(|message| String::from_utf8_lossy(message.body()).into_owned()).collect();
    assert_eq!(words, (0..100).map(|number| format!("number {number}")).collect::<Vec<_>>());
    assert_eq!(scene.dials[&("fe1".to_owned(), "app".to_owned())], 1);
}

#[test]
fn a_link_counts_as_up_only_when_the_other_side_has_answered() {
    let mut scene =
        Organisation::new(&[("ca", "ca", "authority"), ("fe1", "fe1", "front-end"), ("app", "app", "application")], &[("anna", "fe1")]);
    scene.answer_as("app", "app");
    let mut phone = scene.phone("anna");
    let line = scene.sign_in(&mut phone, "fe1");
    let message = phone.request("MESSAGE", "sip:bot@app.contoso.example", "", "Hello");
    scene.say(line, &message);
    assert_eq!(scene.links("fe1")[0].state, LinkState::Connecting);
    let app = scene.answered();
    let options = scene.heard(app).into_iter().find(|message| message.method() == "OPTIONS").unwrap();
    assert_eq!(options.request_uri_text(), "sip:app.contoso.example");
    scene.say(app, &phone.response(&options, Status::METHOD_NOT_ALLOWED, ""));
    assert_eq!(scene.links_up("fe1", "app"), 1);
}

#[test]
fn a_server_that_never_answers_is_given_up() {
    let mut scene =
        Organisation::new(&[("ca", "ca", "authority"), ("fe1", "fe1", "front-end"), ("app", "app", "application")], &[("anna", "fe1")]);
    scene.answer_as("app", "app");
    let mut phone = scene.phone("anna");
    let line = scene.sign_in(&mut phone, "fe1");
    let message = phone.request("MESSAGE", "sip:bot@app.contoso.example", "", "Hello");
    scene.say(line, &message);
    scene.run_for(LIMITS.check_within);
    assert_eq!(answers(&scene.heard(line)), [Status::SERVICE_UNAVAILABLE]);
    let app = scene.answered();
    assert!(!scene.is_open(app));
}

#[test]
fn more_connections_than_four_with_one_server_are_closed() {
    let (mut scene, ..) = many();
    // All with one certificate: who shows another one each time is counted apart, in the tests of `node::links`.
    let app = scene.holder("app");
    let lines: Vec<_> = (0..6).map(|_| scene.connect_showing(&app, "fe1").unwrap()).collect();
    let open: Vec<bool> = lines.iter().map(|line| scene.is_open(*line)).collect();
    assert_eq!(open, [true, true, true, true, false, false]);
    // One goes, and there is room for one.
    scene.hang_up(lines[0]);
    let line = scene.connect_showing(&app, "fe1").unwrap();
    assert!(scene.is_open(line));
    let line = scene.connect_as_server("app2", "fe1").unwrap();
    assert!(scene.is_open(line), "another server has its own four");
}

#[test]
fn a_call_goes_on_over_the_link_that_was_opened_again() {
    for ended_by_caller in [true, false] {
        let (mut scene, mut anna, bert) = two();
        let (invite, ok) = call(&mut scene, &mut anna, &bert);
        scene.unplug("fe1", "fe2");
        scene.plug("fe1", "fe2");
        scene.run_for(Duration::from_secs(5));
        if ended_by_caller {
            caller_hangs_up(&mut scene, &anna, &bert, &ok);
        } else {
            callee_hangs_up(&mut scene, &anna, &bert, &invite);
        }
    }
}

#[test]
fn a_call_goes_on_when_a_third_server_is_lost() {
    let (mut scene, mut anna, bert) = many();
    let (invite, ok) = call(&mut scene, &mut anna, &bert);
    for server in ["ca", "fe3", "fe4", "dir", "edge", "relay"] {
        scene.stop(server);
    }
    scene.run_for(Duration::from_secs(300));
    scene.say(anna.1, &anna.0.in_dialog_as_caller("INVITE", &ok, 7, ENCRYPTED));
    let again = scene.heard_one(bert.1);
    scene.say(bert.1, &bert.0.response(&again, Status::OK, ENCRYPTED));
    assert_eq!(answers(&scene.heard(anna.1)), [Status::TRYING, Status::OK]);
    callee_hangs_up(&mut scene, &anna, &bert, &invite);
}

#[test]
fn a_ringing_phone_stops_when_the_link_to_its_caller_is_lost() {
    let (mut scene, mut anna, bert) = two();
    let invite = anna.0.request("INVITE", BERT, "", ENCRYPTED);
    scene.say(anna.1, &invite);
    let got = scene.heard_one(bert.1);
    scene.say(bert.1, &bert.0.response(&got, Status::RINGING, ""));
    scene.unplug("fe1", "fe2");
    assert_eq!(scene.heard_one(bert.1).method(), "CANCEL");
    assert_eq!(answers(&scene.heard(anna.1)), [Status::TRYING, Status::RINGING, Status::TEMPORARILY_UNAVAILABLE]);
}

#[test]
fn one_link_that_is_dead_harms_no_other() {
    let (mut scene, mut anna, bert) = many();
    let mut carl = scene.phone("carl");
    let line = scene.sign_in(&mut carl, "fe1");
    scene.silence("fe1", "dir");
    scene.silence("fe1", "fe3");
    for _ in 0..50 {
        writes(&mut scene, &mut anna, &bert);
        writes(&mut scene, &mut (carl.clone(), line), &anna);
    }
}

#[test]
fn servers_that_are_added_are_linked_and_their_users_reached() {
    let mut scene = Organisation::new(&TWO[..2], &[("anna", "fe1"), ("bert", "fe2")]);
    let mut anna = scene.phone("anna");
    let mut anna = (anna.clone(), scene.sign_in(&mut anna, "fe1"));
    assert_eq!(status(&answered(&mut scene, &mut anna, BERT)), Status::SERVICE_UNAVAILABLE);
    scene.publish(TWO);
    scene.start("fe2");
    scene.run_for(Duration::from_secs(2));
    assert!(scene.links_up("fe1", "fe2") >= 1 && scene.links_up("fe2", "fe1") >= 1);
    let mut bert = scene.phone("bert");
    let bert = (bert.clone(), scene.sign_in(&mut bert, "fe2"));
    writes(&mut scene, &mut anna, &bert);
}

#[test]
fn in_a_large_organisation_links_are_kept_with_some_and_made_with_the_others() {
    let names: Vec<String> = (0..40).map(|number| format!("s{number}")).collect();
    let mut entries: Vec<Entry<'_>> = vec![("ca", "ca", "authority")];
    entries.extend(names.iter().map(|name| (name.as_str(), name.as_str(), "front-end")));
    // Only two of them run: the list is what counts.
    let mut scene = Organisation::new(&TWO[..1], &[("anna", "s0"), ("bert", "s39")]);
    scene.publish(&entries);
    scene.start("s0");
    scene.start("s39");
    let dialled = scene.dials.keys().filter(|(who, _)| who == "s0").count();
    assert_eq!(dialled, LIMITS.kept_servers_max);
    let (mut anna, mut bert) = (scene.phone("anna"), scene.phone("bert"));
    let (a, b) = (scene.sign_in(&mut anna, "s0"), scene.sign_in(&mut bert, "s39"));
    writes(&mut scene, &mut (anna, a), &(bert, b));
}
