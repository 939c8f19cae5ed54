//! What users do, and what becomes of it.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use sim::{ENCRYPTED, Line, Phone, Sim};
use sip::{Message, Name, Status};

const BERT: &str = "sip:bert@contoso.example";

/// Anna and Bert, signed in.
fn two() -> (Sim, (Phone, Line), (Phone, Line)) {
    let mut sim = Sim::new(&["anna", "bert"]);
    let (mut anna, mut bert) = (sim.phone("anna"), sim.phone("bert"));
    let (a, b) = (sim.sign_in(&mut anna), sim.sign_in(&mut bert));
    (sim, (anna, a), (bert, b))
}

fn status(message: &Message) -> Status {
    message.status().unwrap_or_else(|| panic!("a response expected, not {message:?}"))
}

/// Anna calls Bert, Bert answers. The INVITE as Bert got it and the 200 as Anna got it.
fn call(sim: &mut Sim, anna: &mut (Phone, Line), bert: &(Phone, Line)) -> (Message, Message) {
    let invite = anna.0.request("INVITE", BERT, "", ENCRYPTED);
    sim.say(anna.1, &invite);
    assert_eq!(status(&sim.heard_one(anna.1)), Status::TRYING);
    let invite = sim.heard_one(bert.1);
    sim.say(bert.1, &bert.0.response(&invite, Status::RINGING, ""));
    assert_eq!(status(&sim.heard_one(anna.1)), Status::RINGING);
    sim.say(bert.1, &bert.0.response(&invite, Status::OK, ENCRYPTED));
    let ok = sim.heard_one(anna.1);
    assert_eq!(status(&ok), Status::OK);
    sim.say(anna.1, &anna.0.in_dialog_as_caller("ACK", &ok, 1, ""));
    assert_eq!(sim.heard_one(bert.1).method(), "ACK");
    (invite, ok)
}

#[test]
fn a_user_signs_in_with_sha_256_and_with_md5() {
    for algorithm in ["SHA-256", "MD5"] {
        let mut sim = Sim::new(&["anna"]);
        let mut anna = sim.phone("anna");
        let line = sim.connect();
        assert_eq!(status(&sim.register(line, &mut anna, "", algorithm)), Status::OK);
        assert_eq!(sim.registrations().len(), 1);
    }
}

#[test]
fn a_user_with_a_certificate_needs_no_password() {
    let mut sim = Sim::new(&["anna", "bert"]);
    let mut anna = sim.phone("anna");
    let line = sim.connect_certified("anna").unwrap();
    let register = anna.register("");
    sim.say(line, &register);
    assert_eq!(status(&sim.heard_one(line)), Status::OK);
    let message = anna.request("MESSAGE", BERT, "", "Hello");
    sim.say(line, &message);
    assert_eq!(status(&sim.heard_one(line)), Status::TEMPORARILY_UNAVAILABLE);
    // It is Anna's, and nobody else's.
    let other = sim.phone("bert").register("");
    sim.say(line, &other);
    assert_eq!(status(&sim.heard_one(line)), Status::UNAUTHORIZED);
}

#[test]
fn a_binding_asks_for_the_password_each_time_and_a_message_does_not() {
    let (mut sim, mut anna, bert) = two();
    let register = anna.0.register("");
    sim.say(anna.1, &register);
    assert_eq!(status(&sim.heard_one(anna.1)), Status::UNAUTHORIZED);
    let message = anna.0.request("MESSAGE", BERT, "", "Hello");
    sim.say(anna.1, &message);
    assert_eq!(sim.heard_one(bert.1).method(), "MESSAGE");
}

#[test]
fn a_message_reaches_every_device_and_its_answer_comes_back() {
    let (mut sim, mut anna, bert) = two();
    let mut second = sim.phone("bert").device(2);
    let other = sim.sign_in(&mut second);
    let message = anna.0.request("MESSAGE", BERT, "", "Hello");
    sim.say(anna.1, &message);
    for line in [bert.1, other] {
        let got = sim.heard_one(line);
        assert_eq!(got.body(), b"Hello");
        assert_eq!(got.first(Name::PAssertedIdentity), Some("<sip:anna@contoso.example>"));
        sim.say(line, &bert.0.response(&got, Status::OK, ""));
    }
    assert_eq!(status(&sim.heard_one(anna.1)), Status::OK);
}

#[test]
fn the_phone_that_answers_first_has_the_call_and_the_others_stop_ringing() {
    let (mut sim, mut anna, bert) = two();
    let mut second = sim.phone("bert").device(2);
    let other = sim.sign_in(&mut second);
    let invite = anna.0.request("INVITE", BERT, "", ENCRYPTED);
    sim.say(anna.1, &invite);
    let (first_got, second_got) = (sim.heard_one(bert.1), sim.heard_one(other));
    sim.say(bert.1, &bert.0.response(&first_got, Status::RINGING, ""));
    sim.say(other, &second.response(&second_got, Status::RINGING, ""));
    sim.say(other, &second.response(&second_got, Status::OK, ENCRYPTED));
    assert_eq!(sim.heard_one(bert.1).method(), "CANCEL");
    let seen: Vec<_> = sim.heard(anna.1).iter().map(status).collect();
    assert_eq!(seen, [Status::TRYING, Status::RINGING, Status::RINGING, Status::OK]);
}

#[test]
fn a_call_is_made_held_and_ended_by_either_side() {
    let (mut sim, mut anna, bert) = two();
    let (invite, ok) = call(&mut sim, &mut anna, &bert);
    // Hold: a re-INVITE by the caller.
    sim.say(anna.1, &anna.0.in_dialog_as_caller("INVITE", &ok, 7, ENCRYPTED));
    let again = sim.heard_one(bert.1);
    sim.say(bert.1, &bert.0.response(&again, Status::OK, ENCRYPTED));
    assert_eq!(sim.heard(anna.1).iter().map(status).collect::<Vec<_>>(), [Status::TRYING, Status::OK]);
    sim.say(anna.1, &anna.0.in_dialog_as_caller("ACK", &ok, 7, ""));
    assert_eq!(sim.heard_one(bert.1).method(), "ACK");
    // Bert hangs up.
    sim.say(bert.1, &bert.0.in_dialog_as_callee("BYE", &invite, 1, ""));
    let bye = sim.heard_one(anna.1);
    assert_eq!(bye.method(), "BYE");
    sim.say(anna.1, &anna.0.response(&bye, Status::OK, ""));
    assert_eq!(status(&sim.heard_one(bert.1)), Status::OK);
}

#[test]
fn a_caller_who_gives_up_cancels_the_ringing_phone() {
    let (mut sim, mut anna, bert) = two();
    let invite = anna.0.request("INVITE", BERT, "", ENCRYPTED);
    sim.say(anna.1, &invite);
    let ringing = sim.heard_one(bert.1);
    sim.say(bert.1, &bert.0.response(&ringing, Status::RINGING, ""));
    sim.heard(anna.1);
    let (head, _) = invite.split_once("Contact:").unwrap();
    let cancel = head.replace("INVITE", "CANCEL") + "Content-Length: 0\r\n\r\n";
    sim.say(anna.1, &cancel);
    let cancelled = sim.heard_one(bert.1);
    assert_eq!(cancelled.method(), "CANCEL");
    assert_eq!(status(&sim.heard_one(anna.1)), Status::OK);
    sim.say(bert.1, &bert.0.response(&cancelled, Status::OK, ""));
    sim.say(bert.1, &bert.0.response(&ringing, Status::REQUEST_TERMINATED, ""));
    assert_eq!(status(&sim.heard_one(anna.1)), Status::REQUEST_TERMINATED);
    assert_eq!(sim.heard_one(bert.1).method(), "ACK");
}

#[test]
fn nobody_answers_for_three_minutes() {
    let (mut sim, mut anna, bert) = two();
    let invite = anna.0.request("INVITE", BERT, "", ENCRYPTED);
    sim.say(anna.1, &invite);
    let ringing = sim.heard_one(bert.1);
    sim.say(bert.1, &bert.0.response(&ringing, Status::RINGING, ""));
    sim.heard(anna.1);
    sim.run_for(Duration::from_secs(170));
    assert!(sim.heard(anna.1).is_empty());
    sim.run_for(Duration::from_secs(30));
    assert_eq!(sim.heard_one(bert.1).method(), "CANCEL");
    sim.run_for(Duration::from_secs(40));
    assert_eq!(status(&sim.heard_one(anna.1)), Status::REQUEST_TIMEOUT);
}

#[test]
fn whoever_is_not_there_is_told_apart_from_whoever_does_not_exist() {
    let mut sim = Sim::new(&["anna", "bert"]);
    let mut anna = sim.phone("anna");
    let line = sim.sign_in(&mut anna);
    for (to, expected) in [
        (BERT, Status::TEMPORARILY_UNAVAILABLE),
        ("sip:carl@contoso.example", Status::NOT_FOUND),
        ("sip:bert@fabrikam.example", Status::FORBIDDEN),
        ("sip:bert@192.0.2.10:5061", Status::TEMPORARILY_UNAVAILABLE), // the address that was reached
        ("sip:bert@192.0.2.11:5061", Status::FORBIDDEN),
        ("tel:+4930123456", Status::UNSUPPORTED_URI_SCHEME),
    ] {
        let message = anna.request("MESSAGE", to, "", "Hello");
        sim.say(line, &message);
        assert_eq!(status(&sim.heard_one(line)), expected, "{to}");
    }
}

#[test]
fn busy_and_declined_reach_the_caller() {
    for answer in [Status::BUSY_HERE, Status::DECLINE] {
        let (mut sim, mut anna, bert) = two();
        let invite = anna.0.request("INVITE", BERT, "", ENCRYPTED);
        sim.say(anna.1, &invite);
        let got = sim.heard_one(bert.1);
        sim.say(bert.1, &bert.0.response(&got, answer, ""));
        assert_eq!(sim.heard(anna.1).iter().map(status).collect::<Vec<_>>(), [Status::TRYING, answer]);
        assert_eq!(sim.heard_one(bert.1).method(), "ACK");
    }
}

#[test]
fn a_flow_that_dies_takes_its_bindings_with_it() {
    let (mut sim, mut anna, bert) = two();
    sim.cut(bert.1);
    assert!(sim.registrations().iter().all(|r| r.aor != BERT));
    let message = anna.0.request("MESSAGE", BERT, "", "Hello");
    sim.say(anna.1, &message);
    assert_eq!(status(&sim.heard_one(anna.1)), Status::TEMPORARILY_UNAVAILABLE);
}

#[test]
fn a_call_survives_a_phone_that_comes_back_on_another_connection() {
    let (mut sim, mut anna, mut bert) = two();
    let (_, ok) = call(&mut sim, &mut anna, &bert);
    sim.cut(bert.1);
    let back = sim.sign_in(&mut bert.0);
    sim.say(anna.1, &anna.0.in_dialog_as_caller("BYE", &ok, 8, ""));
    let bye = sim.heard_one(back);
    assert_eq!(bye.method(), "BYE");
    sim.say(back, &bert.0.response(&bye, Status::OK, ""));
    assert_eq!(status(&sim.heard_one(anna.1)), Status::OK);
}

#[test]
fn a_gruu_reaches_the_one_device_that_it_names() {
    let (mut sim, mut anna, _) = two();
    let mut desk = sim.phone("bert");
    let line = sim.connect();
    let contact = "Contact: <sip:bert@192.0.2.1:5061;transport=tls>\r\n";
    let with = "Contact: <sip:bert@192.0.2.77:5061;transport=tls>;+sip.instance=\"<urn:uuid:00000000-0000-1000-8000-000A95A0E128>\"\r\n";
    let request = desk.register("").replace(contact, with);
    sim.say(line, &request);
    let challenge = sim.heard_one(line);
    let again = desk.authorized(&request, &challenge, "SHA-256").unwrap();
    sim.say(line, &again);
    let ok = sim.heard_one(line);
    let gruu = ok.addresses(Name::Contact).find_map(|c| c.unwrap().params.value("pub-gruu").map(str::to_owned)).unwrap();
    let message = anna.0.request("MESSAGE", &gruu, "", "Hello");
    sim.say(anna.1, &message);
    assert_eq!(sim.heard_one(line).request_uri_text(), "sip:bert@192.0.2.77:5061;transport=tls");
}

#[test]
fn a_phone_asks_the_server_what_it_can() {
    let mut sim = Sim::new(&[]);
    let mut stranger = Phone::new("nobody", Sim::DOMAIN, "x");
    let line = sim.connect();
    let options = stranger.request("OPTIONS", "sip:contoso.example", "", "");
    sim.say(line, &options);
    let answer = sim.heard_one(line);
    assert_eq!(status(&answer), Status::OK);
    assert!(answer.lists(Name::Allow, "MESSAGE"));
}

#[test]
fn unknown_extensions_that_the_proxy_must_know_are_named() {
    let (mut sim, mut anna, _) = two();
    let invite = anna.0.request("INVITE", BERT, "Proxy-Require: nothingSupportsThis\r\n", ENCRYPTED);
    sim.say(anna.1, &invite);
    let heard = sim.heard(anna.1);
    let last = heard.last().unwrap();
    assert_eq!((status(last), last.first(Name::Unsupported)), (Status::BAD_EXTENSION, Some("nothingSupportsThis")));
}

#[test]
fn an_expired_binding_is_gone() {
    let mut sim = Sim::new(&["anna"]);
    let mut anna = sim.phone("anna");
    sim.sign_in_saying(&mut anna, "Expires: 120\r\n");
    sim.run_for(Duration::from_secs(119));
    assert_eq!(sim.registrations().len(), 1);
    sim.run_for(Duration::from_secs(2));
    assert_eq!(sim.registrations().len(), 0);
}

#[test]
fn a_user_who_is_removed_or_gets_a_new_password_is_cut_off() {
    let (mut sim, anna, bert) = two();
    let (node, now) = sim.node();
    assert!(node.remove_user(&"anna".parse().unwrap(), now));
    assert!(!node.remove_user(&"carl".parse().unwrap(), now));
    let name = "bert".parse().unwrap();
    let credential = registrar::Credential::new(&name, Sim::DOMAIN, "another");
    assert!(node.put_user(name, credential, now));
    sim.settle();
    assert!(!sim.is_open(anna.1) && !sim.is_open(bert.1));
    assert!(sim.registrations().is_empty());
}
