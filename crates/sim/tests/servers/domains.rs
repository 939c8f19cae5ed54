//! Several SIP domains: a user has the same name in each, and is the same user.

use sim::{Line, OTHER_DOMAIN, Organisation, Phone, Sim};
use sip::{Name, Status};

use crate::cast::*;

fn phone(user: &str, domain: &str) -> Phone {
    Phone::new(user, domain, &format!("{user}{}", Sim::PASSWORD))
}

/// Anna at fe1 and Bert at fe2, both by their addresses in the other domain.
fn elsewhere() -> (Organisation, (Phone, Line), (Phone, Line)) {
    let mut scene = Organisation::new(TWO, &[("anna", "fe1"), ("bert", "fe2")]);
    let (mut anna, mut bert) = (phone("anna", OTHER_DOMAIN), phone("bert", OTHER_DOMAIN));
    let (a, b) = (scene.sign_in(&mut anna, "fe1"), scene.sign_in(&mut bert, "fe2"));
    (scene, (anna, a), (bert, b))
}

#[test]
fn users_sign_in_write_and_call_by_their_addresses_in_every_domain() {
    let (mut scene, mut anna, mut bert) = elsewhere();
    let got = writes(&mut scene, &mut anna, &bert);
    assert!(got.first(Name::From).unwrap().contains("anna@contoso.test"), "as she wrote it");
    assert_eq!(got.first(Name::PAssertedIdentity), Some("<sip:anna@contoso.example>"), "as we know her");
    writes(&mut scene, &mut bert, &anna);
    let (invite, _) = call(&mut scene, &mut anna, &bert);
    callee_hangs_up(&mut scene, &anna, &bert, &invite);
}

#[test]
fn a_user_is_reached_by_every_address_wherever_the_phone_signed_in() {
    for (signed_in, written) in [(OTHER_DOMAIN, Sim::DOMAIN), (Sim::DOMAIN, OTHER_DOMAIN)] {
        let mut scene = Organisation::new(TWO, &[("anna", "fe1"), ("bert", "fe2")]);
        let (mut anna, mut bert) = (phone("anna", written), phone("bert", signed_in));
        let (a, b) = (scene.sign_in(&mut anna, "fe1"), scene.sign_in(&mut bert, "fe2"));
        let message = anna.request("MESSAGE", &format!("sip:bert@{written}"), "", "Hello");
        scene.say(a, &message);
        let got = scene.heard_one(b);
        scene.say(b, &bert.response(&got, Status::OK, ""));
        assert_eq!(status(&scene.heard_one(a)), Status::OK, "{signed_in} {written}");
    }
}

#[test]
fn a_second_phone_under_another_address_is_a_phone_of_the_same_user() {
    let (mut scene, mut anna, bert) = two();
    let mut second = phone("bert", OTHER_DOMAIN).device(2);
    let other = scene.sign_in(&mut second, "fe2");
    let message = anna.0.request("MESSAGE", BERT, "", "Hello");
    scene.say(anna.1, &message);
    assert_eq!((scene.heard(bert.1).len(), scene.heard(other).len()), (1, 1));
}

#[test]
fn n16_in_no_domain_is_somebody_another_user() {
    // On one server, so that no other one refuses it in our place.
    let mut scene = Organisation::new(TWO, &[("anna", "fe1"), ("bert", "fe1")]);
    let (mut anna, mut bert) = (phone("anna", OTHER_DOMAIN), phone("bert", OTHER_DOMAIN));
    let (a, b) = (scene.sign_in(&mut anna, "fe1"), scene.sign_in(&mut bert, "fe1"));
    for from in ["bert@contoso.test", "bert@contoso.example", "anna@fabrikam.example", "anna@sub.contoso.test"] {
        let message = anna.request("MESSAGE", "sip:bert@contoso.test", "", "Hello");
        scene.say(a, &message.replace("From: <sip:anna@contoso.test>", &format!("From: <sip:{from}>")));
        assert_eq!(answers(&scene.heard(a)), [Status::FORBIDDEN], "{from}");
    }
    assert!(scene.heard(b).is_empty());
}

#[test]
fn n19_who_signs_in_by_an_address_in_a_domain_that_is_not_ours_is_refused() {
    let mut scene = Organisation::new(TWO, &[("anna", "fe1")]);
    let mut anna = phone("anna", "fabrikam.example");
    let line = scene.connect("fe1");
    assert_eq!(status(&scene.register(line, &mut anna, "")), Status::FORBIDDEN);
    // Nor with a Request-URI of ours and only the address in To another one.
    let request = anna.register("").replacen("REGISTER sip:fabrikam.example", "REGISTER sip:contoso.test", 1);
    let answer = scene.ask(line, &mut anna, &request);
    assert!(status(&answer).code() >= 400, "{answer:?}");
}
