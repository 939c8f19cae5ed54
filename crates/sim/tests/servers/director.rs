//! A director proves who users are, tells them where their home is, and passes on what they send.

use sim::{ENCRYPTED, Line, Organisation, Phone};
use sip::{Name, Status};

use crate::cast::*;

/// Anna connected to the director, where she is not at home; Bert at fe2.
fn at_the_director() -> (Organisation, (Phone, Line), (Phone, Line)) {
    let (mut scene, anna, bert) = many();
    let line = scene.connect("dir");
    (scene, (anna.0, line), bert)
}

#[test]
fn a_user_is_told_where_home_is() {
    let (mut scene, mut anna, _) = at_the_director();
    let answer = scene.register(anna.1, &mut anna.0, "");
    assert_eq!(status(&answer), Status::MOVED_TEMPORARILY);
    assert_eq!(answer.first(Name::Contact), Some("<sip:fe1.contoso.example:5061;transport=tls>"));
    let mut bert = scene.phone("bert");
    let line = scene.connect("dir");
    let answer = scene.register(line, &mut bert, "");
    let ways: Vec<&str> = answer.list(Name::Contact).collect();
    assert_eq!(ways, [2, 3, 4].map(|number| format!("<sip:fe{number}.contoso.example:5061;transport=tls>")));
}

#[test]
fn only_who_proved_who_they_are_is_told_anything() {
    let (mut scene, ..) = many();
    let mut mallory = Phone::new("anna", "contoso.example", "guessed");
    let line = scene.connect("dir");
    let request = mallory.register("");
    scene.say(line, &request);
    assert_eq!(status(&scene.heard_one(line)), Status::UNAUTHORIZED);
    let answer = scene.ask(line, &mut mallory, &request);
    assert_eq!(status(&answer), Status::FORBIDDEN);
    assert_eq!(answer.first(Name::Contact), None);
}

#[test]
fn what_a_user_sends_over_a_director_reaches_the_other_ones_home() {
    let (mut scene, mut anna, bert) = at_the_director();
    let message = anna.0.request("MESSAGE", BERT, "", "Hello");
    scene.say(anna.1, &message);
    let challenge = scene.heard_one(anna.1);
    assert_eq!(status(&challenge), Status::PROXY_AUTHENTICATION_REQUIRED);
    let again = anna.0.authorized(&message, &challenge, "SHA-256").unwrap();
    scene.say(anna.1, &again);
    let got = scene.heard_one(bert.1);
    assert_eq!(got.first(Name::PAssertedIdentity), Some("<sip:anna@contoso.example>"));
    assert_eq!(got.first(Name::ProxyAuthorization), None, "a password's proof goes no further");
    scene.say(bert.1, &bert.0.response(&got, Status::OK, ""));
    assert_eq!(status(&scene.heard_one(anna.1)), Status::OK);
    // Proved once, proved for the connection; also for a call, in both directions.
    let (invite, ok) = call(&mut scene, &mut anna, &bert);
    scene.say(bert.1, &bert.0.in_dialog_as_callee("INVITE", &invite, 5, ENCRYPTED));
    let again = scene.heard_one(anna.1);
    scene.say(anna.1, &anna.0.response(&again, Status::OK, ENCRYPTED));
    assert_eq!(answers(&scene.heard(bert.1)), [Status::TRYING, Status::OK]);
    caller_hangs_up(&mut scene, &anna, &bert, &ok);
}

#[test]
fn a_director_is_home_of_nobody() {
    let (mut scene, mut anna, _) = at_the_director();
    scene.register(anna.1, &mut anna.0, "");
    assert!(scene.node("dir").0.registrations(std::time::Instant::now()).is_empty());
}

#[test]
fn a_front_end_does_not_know_the_passwords_of_other_pools() {
    let (mut scene, mut anna, _) = many();
    let line = scene.connect("fe2");
    assert_eq!(status(&scene.register(line, &mut anna.0, "")), Status::FORBIDDEN);
}
