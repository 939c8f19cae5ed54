//! Record-Route tokens: who may use one, and what else a Route can say.

use proxy::{Route, Settings};
use sip::{Message, Name};

use crate::scene::{ALICE, Ask, BOB, CAROL, Scene, device, following, leg, message, route_of, user};

/// A scene in which Alice reached Bob, and what Bob got.
fn met() -> (Scene, Message) {
    let mut scene = Scene::new();
    let sent = scene.call(&Ask::invite(), &[device(BOB, 1000)]).remove(0);
    (scene, sent)
}

fn with_route(value: &str) -> Ask {
    Ask::new("BYE").with(&format!("Route: {value}\r\n")).within("tag-2")
}

fn check(value: &str, expected: &Route) {
    assert_eq!(&route_of(&Scene::new(), &with_route(value)), expected, "{value}");
}

#[test]
fn no_route_is_none() {
    assert_eq!(route_of(&Scene::new(), &Ask::new("BYE")), Route::None);
}

#[test]
fn our_names_without_a_token_are_preloaded() {
    for value in [
        "<sip:sip.verbund.test:5061;lr>",
        "<sip:sip.verbund.test;transport=tls;lr>",
        "<sips:SIP.Verbund.Test;lr>",
        "<sip:verbund.test;lr>",
        "<sip:127.0.0.1:5061;transport=tls;lr>",
        "<sip:192.0.2.200:443;transport=tls;lr>",
        "<sip:192.0.2.77:40000;lr>",
        "<sip:[2001:db8::1];lr>",
        "<sip:sip.verbund.test;lr>, <sip:far.example;lr>",
    ] {
        check(value, &Route::Preloaded);
    }
}

#[test]
fn another_host_or_port_is_foreign() {
    for value in ["<sip:far.example;lr>", "<sip:sip.verbund.test:5062;lr>", "<sip:sip.verbund.test.evil.example;lr>", "nonsense"] {
        check(value, &Route::Foreign);
    }
}

#[test]
fn a_made_up_token_is_forged() {
    for value in [
        "<sip:alice@sip.verbund.test:5061;lr>",
        "<sip:AAAA@sip.verbund.test;lr>",
        "<sip:%41@verbund.test;lr>",
        "<sip:AAAA@127.0.0.1:5061;lr>",
    ] {
        check(value, &Route::Forged);
    }
}

#[test]
fn a_token_says_which_leg_speaks() {
    let (scene, sent) = met();
    let caller = following(Ask::new("BYE").within("tag-2"), &sent);
    assert_eq!(route_of(&scene, &caller), Route::Dialog { from: leg(ALICE, "alice"), to: leg(BOB, "bob") });
    let mut callee = following(Ask::new("BYE"), &sent);
    std::mem::swap(&mut callee.from, &mut callee.to);
    callee.from.push_str(";tag=tag-2");
    assert_eq!(route_of(&scene, &callee), Route::Dialog { from: leg(BOB, "bob"), to: leg(ALICE, "alice") });
}

#[test]
fn each_side_finds_us_by_what_it_calls_us() {
    let mut scene = Scene::new();
    let target = proxy::Target { reached_as: Some("sip.verbund.test:5061".into()), ..device(BOB, 1000) };
    let plan = proxy::Forward { reached_as: Some("198.51.100.7:5061".into()), ..crate::scene::plan(&[target]) };
    let request = scene.ask(ALICE, &Ask::invite());
    scene.proxy.forward(request, plan, scene.now);
    scene.expect_status(ALICE, 100);
    let sent = scene.expect_method(BOB, "INVITE");
    let hosts: Vec<_> = sent.addresses(Name::RecordRoute).map(|route| route.unwrap().uri.host.to_string()).collect();
    assert_eq!(hosts, ["sip.verbund.test", "198.51.100.7"], "the callee's neighbour is the topmost");
    // The caller's route set is the other way round; both values are ours and are popped.
    let routes: Vec<_> = sent.list(Name::RecordRoute).map(str::to_owned).collect();
    let backwards: String = routes.iter().rev().map(|route| format!("Route: {route}\r\n")).collect();
    let bye = Ask::new("BYE").within("tag-2").with(&backwards);
    assert_eq!(route_of(&scene, &bye), Route::Dialog { from: leg(ALICE, "alice"), to: leg(BOB, "bob") });
    let request = scene.ask(ALICE, &bye);
    scene.proxy.forward(request, crate::scene::plan(&[device(BOB, 1000)]), scene.now);
    assert_eq!(scene.expect_method(BOB, "BYE").first(Name::Route), None);
}

#[test]
fn a_token_counts_behind_a_preloaded_route_too() {
    let (scene, sent) = met();
    let ask = following(Ask::new("BYE").within("tag-2").with("Route: <sip:sip.verbund.test;lr>\r\n"), &sent);
    assert_eq!(route_of(&scene, &ask), Route::Dialog { from: leg(ALICE, "alice"), to: leg(BOB, "bob") });
}

#[test]
fn a_token_is_good_for_its_own_dialog_only() {
    let (scene, sent) = met();
    let mut other_call = following(Ask::new("BYE").within("tag-2"), &sent);
    other_call.call_id = "call-2".to_owned();
    assert_eq!(route_of(&scene, &other_call), Route::Forged);
    let mut other_tag = following(Ask::new("BYE").within("tag-2"), &sent);
    other_tag.from = "<sip:alice@verbund.test>;tag=zz".to_owned();
    assert_eq!(route_of(&scene, &other_tag), Route::Forged);
}

#[test]
fn no_character_of_a_token_can_be_changed_or_left_out() {
    let (scene, sent) = met();
    let route = sent.first(Name::RecordRoute).unwrap();
    let (start, end) = (route.find(':').unwrap() + 1, route.find('@').unwrap());
    for at in start..end {
        let other = if route.as_bytes()[at] == b'A' { "B" } else { "A" };
        let changed = [&route[..at], other, &route[at + 1..]].concat();
        assert_eq!(route_of(&scene, &with_route(&changed)), Route::Forged, "{at}");
        let shorter = [&route[..at], &route[at + 1..]].concat();
        assert_eq!(route_of(&scene, &with_route(&shorter)), Route::Forged, "{at}");
    }
}

#[test]
fn a_token_of_another_key_is_forged() {
    let (_, sent) = met();
    let other = Scene::keyed([8; 32], |_: &mut Settings| {});
    assert_eq!(route_of(&other, &following(Ask::new("BYE").within("tag-2"), &sent)), Route::Forged);
}

#[test]
fn a_token_grows_too_old() {
    let (mut scene, sent) = met();
    let bye = following(Ask::new("BYE").within("tag-2"), &sent);
    scene.pass(7 * 24 * 3600);
    assert!(matches!(route_of(&scene, &bye), Route::Dialog { .. }));
    scene.pass(1);
    assert_eq!(route_of(&scene, &bye), Route::Forged);
}

#[test]
fn a_token_tells_nobody_who_called() {
    let (_, sent) = met();
    let route = sent.first(Name::RecordRoute).unwrap();
    assert!(!route.contains("alice") && !route.contains("bob"), "{route}");
}

#[test]
fn each_branch_has_a_token_of_its_own() {
    let mut scene = Scene::new();
    let sent = scene.call(&Ask::invite(), &[device(BOB, 1000), device(CAROL, 1000)]);
    let to = |sent: &Message| route_of(&scene, &following(Ask::new("BYE").within("x"), sent));
    assert_eq!(to(&sent[0]), Route::Dialog { from: leg(ALICE, "alice"), to: leg(BOB, "bob") });
    assert_eq!(to(&sent[1]), Route::Dialog { from: leg(ALICE, "alice"), to: leg(CAROL, "bob") });
}

#[test]
fn a_dialog_between_two_users_of_one_connection_knows_its_direction() {
    let mut scene = Scene::new();
    let sent = scene.call(&Ask::invite(), &[device(ALICE, 1000)]).remove(0);
    let mut callee = following(Ask::new("BYE"), &sent);
    std::mem::swap(&mut callee.from, &mut callee.to);
    callee.from.push_str(";tag=tag-1");
    assert_eq!(route_of(&scene, &callee), Route::Dialog { from: leg(ALICE, "bob"), to: leg(ALICE, "alice") });
}

#[test]
fn the_longest_names_still_fit() {
    let long = "x".repeat(64);
    let mut scene = Scene::new();
    let request = scene.ask(ALICE, &Ask::invite());
    let mut target = device(BOB, 1000);
    target.user = Some(user(&long));
    let plan = proxy::Forward { caller: Some(proxy::End::User(user(&long))), ..crate::scene::plan(&[target]) };
    scene.proxy.forward(request, plan, scene.now);
    scene.expect_status(ALICE, 100);
    let sent = scene.expect_method(BOB, "INVITE");
    let route = route_of(&scene, &following(Ask::new("BYE").within("x"), &sent));
    assert_eq!(route, Route::Dialog { from: leg(ALICE, &long), to: leg(BOB, &long) });
}

#[test]
fn what_is_left_behind_our_own_routes_is_counted() {
    let scene = Scene::new();
    let count = |headers: &str| scene.proxy.foreign_routes(&message(&Ask::new("MESSAGE").with(headers).text()));
    assert_eq!(count(""), 0);
    assert_eq!(count("Route: <sip:sip.verbund.test;lr>\r\n"), 0);
    assert_eq!(count("Route: <sip:sip.verbund.test;lr>, <sip:far.example;lr>\r\n"), 1);
    assert_eq!(count("Route: <sip:far.example;lr>, <sip:sip.verbund.test;lr>\r\n"), 2);
    assert_eq!(count("Route: <sip:sip.verbund.test;lr>\r\nRoute: garbage\r\n"), 1);
}
