//! What one signed-in user tries against another.
#![allow(clippy::unwrap_used)]

use sim::{CLEAR, ENCRYPTED, Line, Phone, Sim};
use sip::{Message, Name, Status};

const BERT: &str = "sip:bert@contoso.example";

fn two() -> (Sim, (Phone, Line), (Phone, Line)) {
    let mut sim = Sim::new(&["anna", "bert"]);
    let (mut anna, mut bert) = (sim.phone("anna"), sim.phone("bert"));
    let (a, b) = (sim.sign_in(&mut anna), sim.sign_in(&mut bert));
    (sim, (anna, a), (bert, b))
}

fn last_status(sim: &mut Sim, line: Line) -> Option<Status> {
    sim.heard(line).last().and_then(Message::status)
}

/// Some phones read method names without regard to case, or only their beginning.
#[test]
fn n26_a_method_of_another_spelling_carries_no_clear_media() {
    for method in ["invite", "Invite", "INVIT", "uPDATE", "NEWTHING"] {
        let (mut sim, mut anna, bert) = two();
        let clear = anna.0.request("INVITE", BERT, "", CLEAR).replace("INVITE", method);
        sim.say(anna.1, &clear);
        assert_eq!(last_status(&mut sim, anna.1), Some(Status::NOT_ACCEPTABLE_HERE), "{method}");
        assert!(sim.heard(bert.1).is_empty(), "{method}");
        let encrypted = anna.0.request("INVITE", BERT, "", ENCRYPTED).replace("INVITE", method);
        sim.say(anna.1, &encrypted);
        assert_eq!(sim.heard(bert.1).len(), 1, "an unknown method itself may pass: {method}");
    }
}

/// And what such a request is answered with is judged like any answer.
#[test]
fn n26_the_answer_to_a_method_of_another_spelling_carries_no_clear_media() {
    let (mut sim, mut anna, bert) = two();
    let request = anna.0.request("INVITE", BERT, "", ENCRYPTED).replace("INVITE", "invite");
    sim.say(anna.1, &request);
    let got = sim.heard_one(bert.1);
    sim.say(bert.1, &bert.0.response(&got, Status::OK, CLEAR));
    assert_eq!(last_status(&mut sim, anna.1), Some(Status::NOT_ACCEPTABLE_HERE));
}

#[test]
fn n16_no_older_header_says_who_calls() {
    let (mut sim, mut anna, bert) = two();
    let forged = "Remote-Party-ID: \"Boss\" <sip:boss@contoso.example>;party=calling;screen=yes\r\n\
        P-Asserted-Service: urn:urn-7:boss\r\np-served-user: <sip:boss@contoso.example>\r\n\
        P-Called-Party-ID: <sip:boss@contoso.example>\r\n";
    let message = anna.0.request("MESSAGE", BERT, forged, "Hello");
    sim.say(anna.1, &message);
    let got = sim.heard_one(bert.1);
    assert!(!String::from_utf8_lossy(got.as_bytes()).contains("boss"));
    sim.say(bert.1, &bert.0.response(&got, Status::OK, "").replace("Contact:", &format!("{forged}Contact:")));
    let answer = sim.heard_one(anna.1);
    assert_eq!(answer.status(), Some(Status::OK));
    assert!(!String::from_utf8_lossy(answer.as_bytes()).contains("boss"));
}

/// A callee who writes another transaction's words into their answer would answer for somebody else.
#[test]
fn a_response_answers_the_request_it_was_asked_and_no_other() {
    for (own, other) in [
        ("branch=z9hG4bK-anna1-", "branch=z9hG4bK-anna1-9"),
        ("Call-ID: c", "Call-ID: x"),
        ("From: <sip:anna@contoso.example>;tag=", "From: <sip:anna@contoso.example>;tag=x"),
    ] {
        let (mut sim, mut anna, bert) = two();
        let invite = anna.0.request("INVITE", BERT, "", ENCRYPTED);
        sim.say(anna.1, &invite);
        let got = sim.heard_one(bert.1);
        sim.heard(anna.1);
        let answer = bert.0.response(&got, Status::OK, ENCRYPTED);
        let forged = answer.replace(own, other);
        assert_ne!(answer, forged);
        sim.say(bert.1, &forged);
        assert!(sim.heard(anna.1).is_empty(), "{other}");
        sim.say(bert.1, &answer);
        assert_eq!(last_status(&mut sim, anna.1), Some(Status::OK));
    }
}

/// With a Record-Route of their own a callee would lead the caller's phone to any address, over any transport (P2).
#[test]
fn a_callee_cannot_lead_the_dialog_past_us() {
    for way in ["", "Record-Route: <sip:192.0.2.66:5060;transport=udp;lr>\r\n", "ours, <sip:192.0.2.66:5060;transport=udp;lr>\r\n"] {
        let (mut sim, mut anna, bert) = two();
        let invite = anna.0.request("INVITE", BERT, "", ENCRYPTED);
        sim.say(anna.1, &invite);
        let got = sim.heard_one(bert.1);
        sim.heard(anna.1);
        let answer = bert.0.response(&got, Status::OK, ENCRYPTED);
        let ours = answer.lines().find(|line| line.starts_with("Record-Route:")).unwrap();
        let forged = answer.replace(&format!("{ours}\r\n"), &way.replace("ours", ours));
        assert_ne!(answer, forged);
        sim.say(bert.1, &forged);
        let heard = sim.heard(bert.1);
        assert_eq!(heard.iter().map(Message::method).collect::<Vec<_>>(), ["ACK", "BYE"], "{way}");
        let refused = sim.heard_one(anna.1);
        assert_eq!(refused.status().map(Status::code), Some(502), "{way}");
        assert_eq!(refused.first(Name::RecordRoute), None);
    }
}

/// A phone believes that whatever comes over its server's connection is its server's word.
#[test]
fn n16_nobody_restarts_another_phone_by_an_unasked_notify() {
    let (mut sim, mut anna, bert) = two();
    for event in ["check-sync;reboot=true", "message-summary"] {
        for more in ["", "Route: <sip:fe1.contoso.example:5061;transport=tls;lr>\r\n"] {
            let headers = format!("{more}Event: {event}\r\nSubscription-State: active\r\n");
            let notify = anna.0.request("NOTIFY", BERT, &headers, "");
            sim.say(anna.1, &notify);
            assert_eq!(last_status(&mut sim, anna.1), Some(Status::CALL_DOES_NOT_EXIST), "{event}");
        }
    }
    assert!(sim.heard(bert.1).is_empty());
}

#[test]
fn a_notify_of_a_subscription_arrives() {
    let (mut sim, mut anna, bert) = two();
    let subscribe = anna.0.request("SUBSCRIBE", BERT, "Event: presence\r\n", "");
    sim.say(anna.1, &subscribe);
    let got = sim.heard_one(bert.1);
    let notify = bert.0.in_dialog_as_callee("NOTIFY", &got, 1, "").replace("Content-Length", "Event: presence\r\nContent-Length");
    sim.say(bert.1, &notify);
    assert_eq!(sim.heard_one(anna.1).method(), "NOTIFY");
}

fn notify(text: &str, headers: &str) -> String {
    text.replacen("Content-Length", &format!("{headers}Content-Length"), 1)
}

/// Anna and Bert in a call; the INVITE as Bert got it, the 200 as Anna did.
fn in_a_call() -> (Sim, (Phone, Line), (Phone, Line), Message, Message) {
    let (mut sim, mut anna, bert) = two();
    let invite = anna.0.request("INVITE", BERT, "", ENCRYPTED);
    sim.say(anna.1, &invite);
    let invite = sim.heard_one(bert.1);
    sim.say(bert.1, &bert.0.response(&invite, Status::OK, ENCRYPTED));
    let ok = sim.heard(anna.1).pop().unwrap();
    (sim, anna, bert, invite, ok)
}

/// What a phone obeys from its server, it obeys in a call too.
#[test]
fn n16_in_a_call_nobody_tells_the_other_phone_what_was_not_asked_for() {
    let (mut sim, anna, bert, invite, ok) = in_a_call();
    for headers in [
        "Event: check-sync;reboot=true\r\n",
        "o: check-sync;reboot=true\r\n",
        "Event: message-summary\r\n",
        "Event: refer\r\nEvent: check-sync\r\n",
        "Event: refer.check-sync\r\n",
        "Event: \r\n",
        "",
    ] {
        for (line, text) in
            [(anna.1, anna.0.in_dialog_as_caller("NOTIFY", &ok, 5, "")), (bert.1, bert.0.in_dialog_as_callee("NOTIFY", &invite, 5, ""))]
        {
            sim.say(line, &notify(&text, headers));
            let refused = last_status(&mut sim, line).map(Status::code);
            assert!(matches!(refused, Some(400 | 481)), "{headers} {refused:?}");
        }
        assert!(sim.heard(anna.1).is_empty() && sim.heard(bert.1).is_empty(), "{headers}");
    }
}

#[test]
fn in_a_call_either_side_tells_what_became_of_a_transfer() {
    let (mut sim, anna, bert, invite, ok) = in_a_call();
    let told = "Event: refer;id=93\r\nSubscription-State: active\r\n";
    sim.say(anna.1, &notify(&anna.0.in_dialog_as_caller("NOTIFY", &ok, 5, ""), told));
    assert_eq!(sim.heard(bert.1).pop().unwrap().method(), "NOTIFY");
    sim.say(bert.1, &notify(&bert.0.in_dialog_as_callee("NOTIFY", &invite, 5, ""), told));
    assert_eq!(sim.heard(anna.1).pop().unwrap().method(), "NOTIFY");
}

/// Whoever subscribes may listen, not talk; and is told of that one thing.
#[test]
fn n16_in_a_subscription_only_the_one_who_was_asked_tells_and_only_of_that() {
    let (mut sim, mut anna, bert) = two();
    let subscribe = anna.0.request("SUBSCRIBE", BERT, "Event: check-sync\r\n", "");
    sim.say(anna.1, &subscribe);
    let got = sim.heard_one(bert.1);
    sim.say(bert.1, &bert.0.response(&got, Status::OK, ""));
    let ok = sim.heard_one(anna.1);
    for event in ["check-sync", "refer"] {
        sim.say(anna.1, &notify(&anna.0.in_dialog_as_caller("NOTIFY", &ok, 5, ""), &format!("Event: {event}\r\n")));
        assert_eq!(last_status(&mut sim, anna.1), Some(Status::CALL_DOES_NOT_EXIST), "{event}");
    }
    sim.say(bert.1, &notify(&bert.0.in_dialog_as_callee("NOTIFY", &got, 5, ""), "Event: message-summary\r\n"));
    assert_eq!(last_status(&mut sim, bert.1), Some(Status::CALL_DOES_NOT_EXIST));
    sim.say(bert.1, &notify(&bert.0.in_dialog_as_callee("NOTIFY", &got, 6, ""), "Event: check-sync\r\n"));
    assert_eq!(sim.heard_one(anna.1).method(), "NOTIFY");
}

/// Where a call has been, who answers for a number: servers say that, and phones show it.
#[test]
fn n16_what_only_servers_on_the_way_say_is_not_said_by_a_phone() {
    let forged = "History-Info: <sip:boss@contoso.example>;index=1\r\nDiversion: <sip:boss@contoso.example>;reason=unconditional\r\n\
        cc-diversion: <sip:boss@contoso.example>\r\nIdentity: boss;info=<https://evil.example/boss>\r\ny: boss\r\n\
        Identity-Info: <https://evil.example/boss>\r\nPath: <sip:boss@192.0.2.66;lr>\r\n";
    for (method, body) in [("MESSAGE", "Hello"), ("INVITE", ENCRYPTED)] {
        let (mut sim, mut anna, bert) = two();
        let request = anna.0.request(method, BERT, &format!("{forged}Referred-By: <sip:carl@contoso.example>\r\n"), body);
        sim.say(anna.1, &request);
        let got = sim.heard_one(bert.1);
        assert!(!String::from_utf8_lossy(got.as_bytes()).contains("boss"), "{got:?}");
        assert_eq!(got.first(Name::ReferredBy), Some("<sip:carl@contoso.example>"), "who was transferred says by whom");
        for status in [Status::RINGING, Status::BUSY_HERE] {
            sim.say(bert.1, &bert.0.response(&got, status, "").replace("Contact:", &format!("{forged}Contact:")));
            let answer = sim.heard(anna.1).pop().unwrap();
            assert_eq!(answer.status(), Some(status));
            assert!(!String::from_utf8_lossy(answer.as_bytes()).contains("boss"), "{answer:?}");
        }
    }
}

/// A phone that takes a method of another spelling for INVITE would send all that follows where the caller says.
#[test]
fn a_caller_cannot_lead_the_dialog_past_us() {
    let way = "Record-Route: <sip:192.0.2.66:5060;transport=udp;lr>\r\n";
    for method in ["invite", "MESSAGE", "OPTIONS"] {
        let (mut sim, mut anna, bert) = two();
        let request = anna.0.request("INVITE", BERT, way, ENCRYPTED).replace("INVITE", method);
        sim.say(anna.1, &request);
        assert_eq!(sim.heard_one(bert.1).first(Name::RecordRoute), None, "{method}");
    }
    let (mut sim, mut anna, bert) = two();
    let request = anna.0.request("INVITE", BERT, way, ENCRYPTED);
    sim.say(anna.1, &request);
    let got = sim.heard_one(bert.1);
    let nearest = got.list(Name::RecordRoute).next().unwrap();
    assert!(nearest.contains("@fe1.contoso.example:5061"), "Bert's phone comes to its own server first: {nearest}");
}

/// Many phones answer any challenge with their one password, whoever asks. The answer would let the asker guess it.
#[test]
fn a_phone_cannot_ask_another_for_its_password() {
    for (status, challenge, answer) in [
        (Status::PROXY_AUTHENTICATION_REQUIRED, "Proxy-Authenticate", Name::ProxyAuthorization),
        (Status::UNAUTHORIZED, "WWW-Authenticate", Name::Authorization),
    ] {
        for realm in ["evil.example", Sim::DOMAIN] {
            let (mut sim, mut anna, bert) = two();
            let message = anna.0.request("MESSAGE", BERT, "", "Hello");
            sim.say(anna.1, &message);
            let got = sim.heard_one(bert.1);
            let asks = format!("{challenge}: Digest realm=\"{realm}\", nonce=\"n\", algorithm=MD5, qop=\"auth\"\r\nContact:");
            sim.say(bert.1, &bert.0.response(&got, status, "").replace("Contact:", &asks));
            let asked = sim.heard_one(anna.1);
            let again = anna.0.authorized(&message, &asked, "MD5").unwrap();
            sim.say(anna.1, &again);
            let got = sim.heard_one(bert.1);
            assert_eq!(got.first(answer), None, "{realm}");
        }
    }
}
