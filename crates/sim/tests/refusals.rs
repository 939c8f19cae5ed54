//! What must fail, each named after its row.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use sim::{CLEAR, ENCRYPTED, Line, Phone, Sim};
use sip::{Message, Name, Status};
use trust::Refusal;

const BERT: &str = "sip:bert@contoso.example";

fn two() -> (Sim, (Phone, Line), (Phone, Line)) {
    let mut sim = Sim::new(&["anna", "bert", "mallory"]);
    let (mut anna, mut bert) = (sim.phone("anna"), sim.phone("bert"));
    let (a, b) = (sim.sign_in(&mut anna), sim.sign_in(&mut bert));
    (sim, (anna, a), (bert, b))
}

fn last_status(sim: &mut Sim, line: Line) -> Option<Status> {
    sim.heard(line).last().and_then(Message::status)
}

#[test]
fn a_wrong_password_and_an_unknown_user_get_the_same_answer() {
    let mut answers = Vec::new();
    for user in ["anna", "nobody"] {
        let mut sim = Sim::new(&["anna"]);
        let mut phone = Phone::new(user, Sim::DOMAIN, "guess");
        let line = sim.connect();
        let answer = sim.register(line, &mut phone, "", "SHA-256");
        let text = String::from_utf8_lossy(answer.as_bytes()).replace(user, "USER");
        let text = text.lines().filter(|line| !line.starts_with("To:")).collect::<Vec<_>>().join("\n");
        assert_eq!(answer.status(), Some(Status::FORBIDDEN));
        assert!(sim.registrations().is_empty());
        answers.push(text);
    }
    assert_eq!(answers[0], answers[1]);
}

#[test]
fn a_stranger_learns_nothing_about_who_exists() {
    let mut sim = Sim::new(&["bert"]);
    let line = sim.connect();
    let mut stranger = Phone::new("stranger", Sim::DOMAIN, "x");
    for to in [BERT, "sip:nobody@contoso.example"] {
        let message = stranger.request("MESSAGE", to, "", "Hello");
        sim.say(line, &message);
        assert_eq!(last_status(&mut sim, line), Some(Status::PROXY_AUTHENTICATION_REQUIRED), "{to}");
    }
}

#[test]
fn from_must_be_the_user_who_signed_in() {
    let (mut sim, mut anna, bert) = two();
    for from in ["sip:mallory@contoso.example", "sip:anna@fabrikam.example", "sip:anonymous@anonymous.invalid"] {
        let message = anna.0.request("MESSAGE", BERT, "", "Hello").replace("From: <sip:anna@contoso.example>", &format!("From: <{from}>"));
        sim.say(anna.1, &message);
        assert_eq!(last_status(&mut sim, anna.1), Some(Status::FORBIDDEN), "{from}");
    }
    assert!(sim.heard(bert.1).is_empty());
}

#[test]
fn n16_a_client_cannot_assert_an_identity() {
    let (mut sim, mut anna, bert) = two();
    let forged = "P-Asserted-Identity: <sip:boss@contoso.example>\r\nP-Preferred-Identity: <sip:boss@contoso.example>\r\n\
        Remote-Party-ID: <sip:boss@contoso.example>\r\n";
    let message = anna.0.request("MESSAGE", BERT, forged, "Hello");
    sim.say(anna.1, &message);
    let got = sim.heard_one(bert.1);
    assert_eq!(got.all(Name::PAssertedIdentity).collect::<Vec<_>>(), ["<sip:anna@contoso.example>"]);
    assert_eq!(got.first(Name::PPreferredIdentity), None);
    assert_eq!(got.first(Name::RemotePartyId), None);
}

#[test]
fn nobody_makes_another_phone_answer_by_itself() {
    let (mut sim, mut anna, bert) = two();
    let commands = "Answer-Mode: Auto\r\nPriv-Answer-Mode: Auto\r\nCall-Info: <sip:x>;answer-after=0\r\nAlert-Info: <http://x>;info=alert-autoanswer\r\n";
    let invite = anna.0.request("INVITE", BERT, &format!("{commands}Call-Info: <http://x/icon.png>;purpose=icon\r\n"), ENCRYPTED);
    sim.say(anna.1, &invite);
    let text = String::from_utf8_lossy(sim.heard_one(bert.1).as_bytes()).to_ascii_lowercase();
    assert!(!text.contains("answer"), "{text}");
    assert!(text.contains("icon.png"));
}

#[test]
fn n16_a_to_tag_skips_no_check() {
    let mut sim = Sim::new(&["bert"]);
    let mut bert = sim.phone("bert");
    let b = sim.sign_in(&mut bert);
    let line = sim.connect();
    let mut stranger = Phone::new("stranger", Sim::DOMAIN, "x");
    let message =
        stranger.request("MESSAGE", BERT, "", "Hello").replace("To: <sip:bert@contoso.example>", "To: <sip:bert@contoso.example>;tag=1");
    sim.say(line, &message);
    assert_eq!(last_status(&mut sim, line), Some(Status::PROXY_AUTHENTICATION_REQUIRED));
    assert!(sim.heard(b).is_empty());
}

#[test]
fn n16_a_route_that_is_not_ours_to_follow_is_refused() {
    let (mut sim, mut anna, bert) = two();
    for route in [
        "<sip:evil.example;lr>",
        "<sip:fe1.contoso.example;lr>, <sip:evil.example;lr>",
        "<sip:Zm9yZ2Vk@fe1.contoso.example:5061;transport=tls;lr>",
    ] {
        let message = anna.0.request("MESSAGE", BERT, &format!("Route: {route}\r\n"), "Hello");
        sim.say(anna.1, &message);
        assert_eq!(last_status(&mut sim, anna.1), Some(Status::FORBIDDEN), "{route}");
    }
    assert!(sim.heard(bert.1).is_empty());
}

/// The 200 of a call from Anna to Bert, as Anna got it.
fn established(sim: &mut Sim, anna: &mut (Phone, Line), bert: &(Phone, Line)) -> Message {
    let invite = anna.0.request("INVITE", BERT, "", ENCRYPTED);
    sim.say(anna.1, &invite);
    let got = sim.heard_one(bert.1);
    sim.say(bert.1, &bert.0.response(&got, Status::OK, ENCRYPTED));
    let ok = sim.heard(anna.1).pop().unwrap();
    sim.say(anna.1, &anna.0.in_dialog_as_caller("ACK", &ok, 1, ""));
    sim.heard(bert.1);
    ok
}

#[test]
fn n16_a_third_user_cannot_use_the_token_of_a_call() {
    let (mut sim, mut anna, bert) = two();
    let ok = established(&mut sim, &mut anna, &bert);
    let mut mallory = sim.phone("mallory");
    let m = sim.sign_in(&mut mallory);
    let borrowed = anna.0.in_dialog_as_caller("BYE", &ok, 9, "");
    for bye in [borrowed.clone(), borrowed.replace("From: <sip:anna@", "From: <sip:mallory@")] {
        sim.say(m, &bye);
        assert_eq!(last_status(&mut sim, m), Some(Status::FORBIDDEN));
    }
    assert!(sim.heard(bert.1).is_empty());
    sim.say(anna.1, &borrowed);
    assert_eq!(sim.heard_one(bert.1).method(), "BYE");
}

#[test]
fn n16_a_response_from_somebody_else_dies() {
    let (mut sim, mut anna, bert) = two();
    let mut mallory = sim.phone("mallory");
    let m = sim.sign_in(&mut mallory);
    let invite = anna.0.request("INVITE", BERT, "", ENCRYPTED);
    sim.say(anna.1, &invite);
    let got = sim.heard_one(bert.1);
    sim.heard(anna.1);
    sim.say(m, &mallory.response(&got, Status::OK, ENCRYPTED));
    assert!(sim.heard(anna.1).is_empty());
    sim.say(bert.1, &bert.0.response(&got, Status::OK, ENCRYPTED));
    assert_eq!(last_status(&mut sim, anna.1), Some(Status::OK));
}

#[test]
fn n19_a_fresh_organisation_federates_with_nobody() {
    let (mut sim, mut anna, _) = two();
    let message = anna.0.request("MESSAGE", "sip:carl@fabrikam.example", "", "Hello");
    sim.say(anna.1, &message);
    assert_eq!(last_status(&mut sim, anna.1), Some(Status::FORBIDDEN));
}

#[test]
fn n26_an_offer_without_encryption_gets_488_and_says_why() {
    let (mut sim, mut anna, bert) = two();
    let invite = anna.0.request("INVITE", BERT, "", CLEAR);
    sim.say(anna.1, &invite);
    let heard = sim.heard(anna.1);
    let answer = heard.last().unwrap();
    assert_eq!(answer.status(), Some(Status::NOT_ACCEPTABLE_HERE));
    assert!(answer.first(Name::Warning).is_some_and(|warning| warning.starts_with("399 ")));
    assert!(sim.heard(bert.1).is_empty());
}

#[test]
fn n26_an_answer_without_encryption_never_reaches_the_caller() {
    let (mut sim, mut anna, bert) = two();
    let invite = anna.0.request("INVITE", BERT, "", ENCRYPTED);
    sim.say(anna.1, &invite);
    let got = sim.heard_one(bert.1);
    sim.say(bert.1, &bert.0.response(&got, Status::OK, CLEAR));
    assert_eq!(sim.heard(anna.1).iter().filter_map(Message::status).collect::<Vec<_>>(), [Status::TRYING, Status::NOT_ACCEPTABLE_HERE]);
    assert_eq!(sim.heard(bert.1).iter().map(|m| m.method().to_owned()).collect::<Vec<_>>(), ["ACK", "BYE"]);
}

#[test]
fn n26_a_re_invite_cannot_switch_encryption_off() {
    let (mut sim, mut anna, bert) = two();
    let ok = established(&mut sim, &mut anna, &bert);
    for method in ["INVITE", "UPDATE"] {
        sim.say(anna.1, &anna.0.in_dialog_as_caller(method, &ok, 9, CLEAR));
        assert_eq!(last_status(&mut sim, anna.1), Some(Status::NOT_ACCEPTABLE_HERE), "{method}");
    }
    assert!(sim.heard(bert.1).is_empty());
}

#[test]
fn n28_a_bad_certificate_never_falls_back_to_a_password() {
    let mut sim = Sim::new(&["anna"]);
    let domain = Sim::DOMAIN.parse().unwrap();
    let start = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let (_, stranger) = pki::Authority::create("Mallory", &[domain], start).unwrap();
    assert!(sim.connect_with_certificate(&stranger, "anna").is_err());
    assert_ne!(sim.records.last().unwrap().label, "accepted");
}

#[test]
fn n28_the_certificate_of_a_user_who_is_no_more_opens_nothing() {
    let mut sim = Sim::new(&["anna"]);
    let line = sim.connect_certified("carl").unwrap();
    assert!(!sim.is_open(line));
}

#[test]
fn n11_a_server_on_the_client_port_is_refused() {
    let mut sim = Sim::new(&["anna"]);
    let refusal = sim.connect_as_server("fe9.contoso.example").unwrap_err();
    assert!(matches!(refusal, Refusal::ServerOnClientPort { .. }), "{refusal}");
}

#[test]
fn n38_a_stranger_who_never_signs_in_is_shown_out() {
    let mut sim = Sim::new(&["anna"]);
    let idle = sim.connect();
    let mut anna = sim.phone("anna");
    let line = sim.sign_in(&mut anna);
    sim.run_for(Duration::from_secs(61));
    assert!(!sim.is_open(idle));
    assert!(sim.is_open(line));
}

#[test]
fn guessing_is_slowed_down() {
    let mut sim = Sim::new(&["anna"]);
    let line = sim.connect();
    let mut last = None;
    for _ in 0..40 {
        let mut thief = Phone::new("anna", Sim::DOMAIN, "guess");
        last = sim.register(line, &mut thief, "", "SHA-256").status();
    }
    assert_eq!(last, Some(Status::SERVICE_UNAVAILABLE));
}

#[test]
fn every_verdict_leaves_a_record() {
    let mut sim = Sim::new(&["anna"]);
    sim.connect();
    let _ = sim.connect_as_server("fe9.contoso.example");
    let labels: Vec<_> = sim.records.iter().map(|record| record.label).collect();
    assert_eq!(labels.len(), 2);
    assert_eq!(labels[0], "accepted");
    assert_ne!(labels[1], "accepted");
}
