//! Servers that are not trusted (any more): rows N1, N5, N11, N15.

use std::time::Duration;

use sim::{Entry, Organisation};
use sip::Status;

use crate::cast::*;

const THREE: &[Entry<'static>] =
    &[("ca", "ca", "authority"), ("fe1", "fe1", "front-end"), ("fe2", "fe2", "front-end"), ("fe3", "fe3", "front-end")];

#[test]
fn n1_a_server_that_nobody_lists_is_refused() {
    let (mut scene, ..) = two();
    let refusal = scene.connect_as_server("fe9", "fe1").unwrap_err();
    assert_eq!(refusal.label(), "not_in_topology");
}

#[test]
fn n1_an_application_without_an_entry_is_refused() {
    let (mut scene, mut anna, _) = two();
    assert_eq!(scene.connect_as_server("app", "fe1").unwrap_err().label(), "not_in_topology");
    assert_eq!(status(&answered(&mut scene, &mut anna, "sip:bot@app.contoso.example")), Status::FORBIDDEN);
}

#[test]
fn n15_a_server_that_is_taken_off_the_list_is_cut_in_both_directions() {
    let (mut scene, mut anna, mut bert) = two();
    writes(&mut scene, &mut anna, &bert);
    scene.publish(&TWO[..2]);
    assert!(scene.links("fe1").is_empty() && scene.links("fe2").is_empty());
    assert_eq!(status(&answered(&mut scene, &mut anna, BERT)), Status::SERVICE_UNAVAILABLE);
    assert_eq!(status(&answered(&mut scene, &mut bert, ANNA)), Status::SERVICE_UNAVAILABLE);
    // Nor does anybody try again.
    let before = scene.dials.clone();
    scene.run_for(Duration::from_secs(300));
    assert_eq!(scene.dials, before);
    assert_eq!(scene.connect_as_server("fe2", "fe1").unwrap_err().label(), "not_in_topology");
}

#[test]
fn n15_a_call_over_a_server_that_was_taken_off_the_list_ends_here() {
    let (mut scene, mut anna, bert) = two();
    let (_, ok) = call(&mut scene, &mut anna, &bert);
    scene.publish(&TWO[..2]);
    scene.say(anna.1, &anna.0.in_dialog_as_caller("BYE", &ok, 2, ""));
    assert_eq!(answers(&scene.heard(anna.1)), [Status::SERVICE_UNAVAILABLE]);
    assert!(scene.heard(bert.1).is_empty());
    // Listed again, it goes on.
    scene.publish(TWO);
    scene.run_for(Duration::from_secs(2));
    scene.say(anna.1, &anna.0.in_dialog_as_caller("BYE", &ok, 3, ""));
    assert_eq!(scene.heard_one(bert.1).method(), "BYE");
}

#[test]
fn n5_a_revoked_server_is_cut_everywhere_and_calls_of_others_go_on() {
    let mut scene = Organisation::new(THREE, &[("anna", "fe1"), ("bert", "fe2"), ("carl", "fe3")]);
    let [mut anna, mut bert, mut carl] = ["anna", "bert", "carl"].map(|user| scene.phone(user));
    let (a, b, c) = (scene.sign_in(&mut anna, "fe1"), scene.sign_in(&mut bert, "fe2"), scene.sign_in(&mut carl, "fe3"));
    let (mut anna, bert, carl) = ((anna, a), (bert, b), (carl, c));
    let (invite, _) = call(&mut scene, &mut anna, &bert);
    writes(&mut scene, &mut anna, &carl);
    scene.revoke("fe3");
    for server in ["fe1", "fe2"] {
        assert_eq!(scene.links_up(server, "fe3"), 0);
    }
    scene.run_for(Duration::from_secs(100));
    for server in ["fe1", "fe2"] {
        assert_eq!(scene.links_up(server, "fe3"), 0, "it comes back in vain");
        assert!(scene.records(server).iter().rev().take(20).any(|record| record.label == "revoked"));
    }
    assert_eq!(status(&answered(&mut scene, &mut anna, "sip:carl@contoso.example")), Status::SERVICE_UNAVAILABLE);
    callee_hangs_up(&mut scene, &anna, &bert, &invite);
}

#[test]
fn n5_a_call_over_a_revoked_server_is_not_kept_by_its_token() {
    let (mut scene, mut anna, bert) = two();
    let (invite, _) = call(&mut scene, &mut anna, &bert);
    scene.revoke("fe2");
    scene.run_for(Duration::from_secs(5));
    scene.say(bert.1, &bert.0.in_dialog_as_callee("BYE", &invite, 1, ""));
    assert!(scene.heard(anna.1).is_empty());
    assert_eq!(answers(&scene.heard(bert.1)), [Status::SERVICE_UNAVAILABLE]);
}

#[test]
fn a_server_that_loses_its_role_loses_what_came_with_it() {
    let entries = |role: &'static str| -> Vec<Entry<'static>> { [TWO, &[("app", "app", role)]].concat() };
    let mut scene = Organisation::new(&entries("application"), &[("anna", "fe1"), ("bert", "fe2")]);
    let mut bert = scene.phone("bert");
    let bert = (bert.clone(), scene.sign_in(&mut bert, "fe2"));
    let line = scene.connect_as_server("app", "fe2").unwrap();
    scene.publish(&entries("media-relay"));
    assert!(scene.is_open(line), "it is listed all the same");
    scene.say(line, &from_server("app", "MESSAGE", BERT, ANNA, ""));
    assert_eq!(answers(&scene.heard(line)), [Status::FORBIDDEN]);
    assert!(scene.heard(bert.1).is_empty());
}

#[test]
fn a_phone_is_no_server_because_it_speaks_like_one() {
    let (mut scene, mut anna, bert) = two();
    // OPTIONS as servers ask each other, on a phone's connection: answered, and nothing comes of it.
    let text = from_server("fe2", "OPTIONS", "sip:fe1.contoso.example", "sip:fe2.contoso.example:5062", "");
    scene.say(anna.1, &text);
    assert_eq!(answers(&scene.heard(anna.1)), [Status::OK]);
    let got = writes(&mut scene, &mut anna, &bert);
    assert_eq!(got.list(sip::Name::Via).count(), 3);
}
