//! Users of different servers write to each other and call each other.

use sim::{CLEAR, ENCRYPTED};
use sip::{Name, Status};

use crate::cast::*;

#[test]
fn a_message_reaches_a_user_of_another_pool_and_back() {
    let (mut scene, mut anna, mut bert) = two();
    let got = writes(&mut scene, &mut anna, &bert);
    assert_eq!(got.first(Name::PAssertedIdentity), Some("<sip:anna@contoso.example>"));
    let got = writes(&mut scene, &mut bert, &anna);
    assert_eq!(got.first(Name::PAssertedIdentity), Some("<sip:bert@contoso.example>"));
}

#[test]
fn a_caller_who_wants_privacy_is_not_named_to_the_other_phone() {
    let (mut scene, mut anna, bert) = two();
    let message = anna.0.request("MESSAGE", BERT, "Privacy: id\r\n", "Hello");
    scene.say(anna.1, &message);
    let got = scene.heard_one(bert.1);
    assert_eq!(got.first(Name::PAssertedIdentity), None);
}

#[test]
fn a_call_over_two_servers_is_ended_by_the_caller() {
    let (mut scene, mut anna, bert) = two();
    let (_, ok) = call(&mut scene, &mut anna, &bert);
    caller_hangs_up(&mut scene, &anna, &bert, &ok);
}

#[test]
fn a_call_over_two_servers_is_ended_by_the_callee() {
    let (mut scene, anna, mut bert) = two();
    let (invite, _) = call(&mut scene, &mut bert, &anna);
    callee_hangs_up(&mut scene, &bert, &anna, &invite);
}

/// An INVITE to Bert whose To says something else, as when a server sent a call on, or the caller wrote an address.
fn called_by_another_name(anna: &mut (sim::Phone, sim::Line), name: &str) -> String {
    anna.0.request("INVITE", BERT, "", ENCRYPTED).replace(&format!("To: <{BERT}>"), &format!("To: <{name}>"))
}

#[test]
fn who_was_called_by_another_name_ends_the_call_by_that_name() {
    for name in ["sip:help@app.contoso.example", "sip:bert@192.0.2.10", "sip:boss@elsewhere.example;user=phone"] {
        let (mut scene, mut anna, bert) = two();
        let invite = called_by_another_name(&mut anna, name);
        let (invite, _) = call_by(&mut scene, &anna, &bert, &invite);
        scene.say(bert.1, &bert.0.in_dialog_as_callee("BYE", &invite, 1, ""));
        let bye = scene.heard_one(anna.1);
        assert!(bye.first(Name::From).unwrap().contains(name));
        assert_eq!(bye.first(Name::PAssertedIdentity), Some("<sip:bert@contoso.example>"), "who it is, is said all the same");
    }
}

#[test]
fn n16_who_was_called_by_another_name_has_no_other_one() {
    let (mut scene, mut anna, bert) = two();
    let invite = called_by_another_name(&mut anna, "sip:help@app.contoso.example");
    let (invite, ok) = call_by(&mut scene, &anna, &bert, &invite);
    let bye = bert.0.in_dialog_as_callee("BYE", &invite, 1, "");
    for lie in ["sip:anna@contoso.example", "sip:help@app2.contoso.example", "sip:helper@app.contoso.example"] {
        scene.say(bert.1, &bye.replacen("From: <sip:help@app.contoso.example>", &format!("From: <{lie}>"), 1));
        assert_eq!(status(&scene.heard_one(bert.1)), Status::FORBIDDEN, "{lie}");
    }
    // Nor outside the call, nor does the caller have it.
    let message = bert
        .0
        .clone()
        .request("MESSAGE", ANNA, "", "Hello")
        .replace("From: <sip:bert@contoso.example>", "From: <sip:help@app.contoso.example>");
    scene.say(bert.1, &message);
    assert_eq!(status(&scene.heard_one(bert.1)), Status::FORBIDDEN);
    let bye = anna.0.in_dialog_as_caller("BYE", &ok, 2, "");
    scene.say(anna.1, &bye.replacen("From: <sip:anna@contoso.example>", "From: <sip:help@app.contoso.example>", 1));
    assert_eq!(status(&scene.heard_one(anna.1)), Status::FORBIDDEN);
    assert!(requests(scene.heard(anna.1)).is_empty() && requests(scene.heard(bert.1)).is_empty());
}

#[test]
fn each_side_is_told_the_name_that_it_can_find_its_own_server_by() {
    let (mut scene, mut anna, bert) = two();
    let (invite, ok) = call(&mut scene, &mut anna, &bert);
    let routes: Vec<&str> = invite.list(Name::RecordRoute).map(|route| route.split(['@', ';']).nth(1).unwrap()).collect();
    let [fe1, fe1_link] = ["fe1.contoso.example:5061", "fe1.contoso.example:5062"];
    let [fe2, fe2_link] = ["fe2.contoso.example:5061", "fe2.contoso.example:5062"];
    assert_eq!(routes, [fe2, fe2_link, fe1_link, fe1]);
    assert_eq!(ok.list(Name::RecordRoute).count(), 4);
    let via: Vec<&str> = invite.list(Name::Via).map(|via| via.split([' ', ';']).nth(1).unwrap()).collect();
    assert_eq!(via[..2], [fe2, fe1_link]);
}

#[test]
fn a_call_is_held_and_media_are_renegotiated_by_either_side() {
    let (mut scene, mut anna, bert) = two();
    let (invite, ok) = call(&mut scene, &mut anna, &bert);
    scene.say(anna.1, &anna.0.in_dialog_as_caller("INVITE", &ok, 7, ENCRYPTED));
    let again = scene.heard_one(bert.1);
    scene.say(bert.1, &bert.0.response(&again, Status::OK, ENCRYPTED));
    assert_eq!(answers(&scene.heard(anna.1)), [Status::TRYING, Status::OK]);
    scene.say(anna.1, &anna.0.in_dialog_as_caller("ACK", &ok, 7, ""));
    assert_eq!(scene.heard_one(bert.1).method(), "ACK");
    scene.say(bert.1, &bert.0.in_dialog_as_callee("UPDATE", &invite, 2, ENCRYPTED));
    let update = scene.heard_one(anna.1);
    assert_eq!(update.method(), "UPDATE");
    scene.say(anna.1, &anna.0.response(&update, Status::OK, ENCRYPTED));
    assert_eq!(status(&scene.heard_one(bert.1)), Status::OK);
}

#[test]
fn a_reliable_provisional_answer_is_acknowledged_across_servers() {
    let (mut scene, mut anna, bert) = two();
    let invite = anna.0.request("INVITE", BERT, "", ENCRYPTED);
    scene.say(anna.1, &invite);
    scene.heard(anna.1);
    let got = scene.heard_one(bert.1);
    let ringing =
        bert.0.response(&got, Status::SESSION_PROGRESS, ENCRYPTED).replacen("Contact:", "Require: 100rel\r\nRSeq: 1\r\nContact:", 1);
    scene.say(bert.1, &ringing);
    let ringing = scene.heard_one(anna.1);
    scene.say(anna.1, &anna.0.in_dialog_as_caller("PRACK", &ringing, 2, ""));
    let prack = scene.heard_one(bert.1);
    assert_eq!(prack.method(), "PRACK");
    scene.say(bert.1, &bert.0.response(&prack, Status::OK, ""));
    assert_eq!(status(&scene.heard_one(anna.1)), Status::OK);
}

#[test]
fn a_caller_who_gives_up_stops_the_phone_at_the_other_server() {
    let (mut scene, mut anna, bert) = two();
    let invite = anna.0.request("INVITE", BERT, "", ENCRYPTED);
    scene.say(anna.1, &invite);
    let ringing = scene.heard_one(bert.1);
    scene.say(bert.1, &bert.0.response(&ringing, Status::RINGING, ""));
    scene.heard(anna.1);
    let (head, _) = invite.split_once("Contact:").unwrap();
    scene.say(anna.1, &(head.replace("INVITE", "CANCEL") + "Content-Length: 0\r\n\r\n"));
    let cancel = scene.heard_one(bert.1);
    assert_eq!(cancel.method(), "CANCEL");
    assert_eq!(status(&scene.heard_one(anna.1)), Status::OK);
    scene.say(bert.1, &bert.0.response(&cancel, Status::OK, ""));
    scene.say(bert.1, &bert.0.response(&ringing, Status::REQUEST_TERMINATED, ""));
    assert_eq!(status(&scene.heard_one(anna.1)), Status::REQUEST_TERMINATED);
    assert_eq!(scene.heard_one(bert.1).method(), "ACK");
}

#[test]
fn busy_and_declined_reach_the_caller_once() {
    for answer in [Status::BUSY_HERE, Status::DECLINE] {
        let (mut scene, mut anna, bert) = two();
        let invite = anna.0.request("INVITE", BERT, "", ENCRYPTED);
        scene.say(anna.1, &invite);
        let got = scene.heard_one(bert.1);
        scene.say(bert.1, &bert.0.response(&got, answer, ""));
        assert_eq!(answers(&scene.heard(anna.1)), [Status::TRYING, answer]);
        assert_eq!(scene.heard_one(bert.1).method(), "ACK");
    }
}

#[test]
fn whoever_is_not_there_is_told_apart_from_whoever_does_not_exist() {
    let (mut scene, mut anna, bert) = two();
    scene.hang_up(bert.1);
    assert_eq!(status(&answered(&mut scene, &mut anna, BERT)), Status::TEMPORARILY_UNAVAILABLE);
    assert_eq!(status(&answered(&mut scene, &mut anna, "sip:carl@contoso.example")), Status::NOT_FOUND);
    assert_eq!(status(&answered(&mut scene, &mut anna, "sip:fe2.contoso.example")), Status::NOT_FOUND);
    assert_eq!(status(&answered(&mut scene, &mut anna, "sip:bert@fabrikam.example")), Status::FORBIDDEN);
}

#[test]
fn a_user_may_be_named_by_any_server_of_ours() {
    let (mut scene, mut anna, bert) = two();
    for name in ["fe1.contoso.example", "fe2.contoso.example", "192.0.2.11:5061"] {
        let message = anna.0.request("MESSAGE", &format!("sip:bert@{name}"), "", "Hello");
        scene.say(anna.1, &message);
        let got = scene.heard_one(bert.1);
        scene.say(bert.1, &bert.0.response(&got, Status::OK, ""));
        assert_eq!(status(&scene.heard_one(anna.1)), Status::OK, "{name}");
    }
}

#[test]
fn n26_media_that_anybody_could_hear_are_refused_between_servers_too() {
    let (mut scene, mut anna, bert) = two();
    let invite = anna.0.request("INVITE", BERT, "", CLEAR);
    scene.say(anna.1, &invite);
    assert_eq!(answers(&scene.heard(anna.1)), [Status::NOT_ACCEPTABLE_HERE]);
    assert!(scene.heard(bert.1).is_empty());
    // An answer, too: Bert is hung up along the way that the call came.
    let invite = anna.0.request("INVITE", BERT, "", ENCRYPTED);
    scene.say(anna.1, &invite);
    let got = scene.heard_one(bert.1);
    scene.say(bert.1, &bert.0.response(&got, Status::OK, CLEAR));
    assert_eq!(answers(&scene.heard(anna.1)), [Status::TRYING, Status::NOT_ACCEPTABLE_HERE]);
    let methods: Vec<String> = scene.heard(bert.1).iter().map(|message| message.method().to_owned()).collect();
    assert_eq!(methods, ["ACK", "BYE"]);
}

#[test]
fn a_call_goes_to_every_phone_of_the_user_in_whichever_server_of_the_pool() {
    let (mut scene, mut anna, bert) = many();
    let mut second = scene.phone("bert").device(2);
    let other = scene.sign_in(&mut second, "fe3");
    let invite = anna.0.request("INVITE", BERT, "", ENCRYPTED);
    scene.say(anna.1, &invite);
    let (first_got, second_got) = (scene.heard_one(bert.1), scene.heard_one(other));
    scene.say(bert.1, &bert.0.response(&first_got, Status::RINGING, ""));
    scene.say(other, &second.response(&second_got, Status::RINGING, ""));
    scene.say(other, &second.response(&second_got, Status::OK, ENCRYPTED));
    assert_eq!(scene.heard_one(bert.1).method(), "CANCEL");
    let heard = scene.heard(anna.1);
    assert_eq!(answers(&heard), [Status::TRYING, Status::RINGING, Status::RINGING, Status::OK]);
    // The dialog goes by the server that the answer came over.
    let ok = heard.last().unwrap();
    scene.say(anna.1, &anna.0.in_dialog_as_caller("ACK", ok, 1, ""));
    assert_eq!(scene.heard_one(other).method(), "ACK");
    caller_hangs_up(&mut scene, &anna, &(second, other), ok);
}

#[test]
fn a_message_is_answered_once_however_many_phones_there_are() {
    let (mut scene, mut anna, bert) = many();
    let mut second = scene.phone("bert").device(2);
    let other = scene.sign_in(&mut second, "fe4");
    let message = anna.0.request("MESSAGE", BERT, "", "Hello");
    scene.say(anna.1, &message);
    for line in [bert.1, other] {
        let got = scene.heard_one(line);
        scene.say(line, &bert.0.response(&got, Status::OK, ""));
    }
    assert_eq!(answers(&scene.heard(anna.1)), [Status::OK]);
}

#[test]
fn users_of_one_pool_on_different_servers_reach_each_other() {
    let mut scene = sim::Organisation::new(MANY, &[("anna", "pool"), ("bert", "pool")]);
    let (mut anna, mut bert) = (scene.phone("anna"), scene.phone("bert"));
    let (a, b) = (scene.sign_in(&mut anna, "fe2"), scene.sign_in(&mut bert, "fe4"));
    let (mut anna, mut bert) = ((anna, a), (bert, b));
    writes(&mut scene, &mut anna, &bert);
    writes(&mut scene, &mut bert, &anna);
    let (invite, _) = call(&mut scene, &mut anna, &bert);
    callee_hangs_up(&mut scene, &anna, &bert, &invite);
}

#[test]
fn a_certain_phone_of_a_user_is_reached_across_servers() {
    let (mut scene, mut anna, mut bert) = two();
    let instance = "Contact: <sip:bert@192.0.2.9:5061;transport=tls>;+sip.instance=\"<urn:uuid:00000000-0000-1000-8000-000000000001>\"";
    let register = |phone: &mut sim::Phone| {
        let text = phone.register("");
        let contact = format!("Contact: <{}>", phone.contact());
        text.replace(&contact, instance)
    };
    let line = scene.connect("fe2");
    let text = register(&mut bert.0);
    let answer = scene.ask(line, &mut bert.0, &text);
    assert_eq!(status(&answer), Status::OK);
    let uri = "sip:bert@contoso.example;gr=urn:uuid:00000000-0000-1000-8000-000000000001";
    let message = anna.0.request("MESSAGE", uri, "", "Hello");
    scene.say(anna.1, &message);
    assert_eq!(scene.heard_one(line).body(), b"Hello");
    assert!(scene.heard(bert.1).is_empty(), "the other phone is not meant");
    let message = anna.0.request("MESSAGE", &uri.replace("0001", "0002"), "", "Hello");
    scene.say(anna.1, &message);
    assert_eq!(answers(&scene.heard(anna.1)), [Status::TEMPORARILY_UNAVAILABLE]);
}

#[test]
fn a_subscription_and_its_notifications_cross_servers() {
    let (mut scene, mut anna, bert) = two();
    let subscribe = anna.0.request("SUBSCRIBE", BERT, "Event: dialog\r\n", "");
    scene.say(anna.1, &subscribe);
    let got = scene.heard_one(bert.1);
    scene.say(bert.1, &bert.0.response(&got, Status::OK, ""));
    assert_eq!(status(&scene.heard_one(anna.1)), Status::OK);
    let notify = bert.0.in_dialog_as_callee("NOTIFY", &got, 1, "").replacen("Contact:", "Event: dialog\r\nContact:", 1);
    scene.say(bert.1, &notify);
    let notify = scene.heard_one(anna.1);
    assert_eq!(notify.method(), "NOTIFY");
    scene.say(anna.1, &anna.0.response(&notify, Status::OK, ""));
    assert_eq!(status(&scene.heard_one(bert.1)), Status::OK);
}

#[test]
fn a_call_is_transferred_across_servers() {
    let (mut scene, mut anna, bert) = two();
    let (invite, ok) = call(&mut scene, &mut anna, &bert);
    let refer =
        bert.0.in_dialog_as_callee("REFER", &invite, 2, "").replacen("Contact:", "Refer-To: <sip:carl@contoso.example>\r\nContact:", 1);
    scene.say(bert.1, &refer);
    let refer = scene.heard_one(anna.1);
    assert_eq!((refer.method(), refer.first(Name::ReferTo)), ("REFER", Some("<sip:carl@contoso.example>")));
    scene.say(anna.1, &anna.0.response(&refer, Status::ACCEPTED, ""));
    assert_eq!(status(&scene.heard_one(bert.1)), Status::ACCEPTED);
    let notify = anna.0.in_dialog_as_caller("NOTIFY", &ok, 3, "").replacen("Contact:", "Event: refer;id=2\r\nContact:", 1);
    scene.say(anna.1, &notify);
    assert_eq!(scene.heard_one(bert.1).method(), "NOTIFY", "what became of it");
}
