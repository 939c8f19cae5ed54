//! Who is believed, and who only says so: rows N16 and N27.

use sim::{ENCRYPTED, Organisation, Phone};
use sip::{Name, Status};

use crate::cast::*;

const TWO_USERS: &[(&str, &str)] = &[("anna", "fe1"), ("bert", "pool")];

/// A server played by the test connects to fe1 and sends this; what it is answered, and whether Bert got anything.
fn sends(server: &str, text: &str) -> (Vec<Status>, bool) {
    let (mut scene, _, bert) = many();
    let line = scene.connect_as_server(server, "fe1").unwrap();
    scene.say(line, text);
    let reached = requests(scene.heard(bert.1));
    for message in &reached {
        scene.say(bert.1, &bert.0.response(message, Status::OK, ENCRYPTED));
    }
    (answers(&scene.heard(line)), !reached.is_empty())
}

#[test]
fn a_trusted_application_is_served_without_a_challenge() {
    for from in [ANNA, "sip:bot@app.contoso.example"] {
        let (mut scene, _, bert) = many();
        let line = scene.connect_as_server("app", "fe1").unwrap();
        scene.say(line, &from_server("app", "MESSAGE", BERT, from, ""));
        let got = scene.heard_one(bert.1);
        assert_eq!(got.first(Name::PAssertedIdentity), Some(format!("<{from}>").as_str()));
        scene.say(bert.1, &bert.0.response(&got, Status::OK, ""));
        assert_eq!(answers(&scene.heard(line)), [Status::OK]);
    }
}

#[test]
fn an_application_calls_and_is_called() {
    let (mut scene, mut anna, bert) = many();
    let line = scene.connect_as_server("app", "fe1").unwrap();
    scene.say(line, &from_server("app", "INVITE", BERT, "sip:bot@app.contoso.example", ""));
    let invite = scene.heard_one(bert.1);
    scene.say(bert.1, &bert.0.response(&invite, Status::OK, ENCRYPTED));
    assert_eq!(answers(&scene.heard(line)), [Status::TRYING, Status::OK]);
    scene.say(bert.1, &bert.0.in_dialog_as_callee("BYE", &invite, 1, ""));
    let bye = requests(scene.heard(line)).pop().unwrap();
    assert_eq!(bye.method(), "BYE");
    scene.say(line, &anna.0.response(&bye, Status::OK, ""));
    assert_eq!(answers(&scene.heard(bert.1)), [Status::OK]);
    // Users reach it by any name it likes, over the connection it opened: nobody dials.
    let message = anna.0.request("MESSAGE", "sip:anything@app.contoso.example", "", "Hello");
    scene.say(anna.1, &message);
    let got = requests(scene.heard(line)).pop().unwrap();
    assert_eq!(got.request_uri_text(), "sip:anything@app.contoso.example");
    assert_eq!(got.first(Name::PAssertedIdentity), Some("<sip:anna@contoso.example>"));
    scene.say(line, &anna.0.response(&got, Status::OK, ""));
    assert_eq!(answers(&scene.heard(anna.1)), [Status::OK]);
    assert!(!scene.dials.contains_key(&("fe1".into(), "app".into())));
}

#[test]
fn an_application_is_called_at_its_own_address_when_it_is_not_connected() {
    let mut scene = Organisation::new(MANY, TWO_USERS);
    scene.answer_as("app", "app");
    let mut anna = scene.phone("anna");
    let line = scene.sign_in(&mut anna, "fe1");
    let invite = anna.request("INVITE", "sip:conference@app.contoso.example", "", ENCRYPTED);
    scene.say(line, &invite);
    let app = scene.answered();
    let got = requests(scene.heard(app)).pop().unwrap();
    scene.say(app, &anna.response(&got, Status::OK, ENCRYPTED));
    let heard = scene.heard(line);
    assert_eq!(answers(&heard), [Status::TRYING, Status::OK]);
    scene.say(line, &anna.in_dialog_as_caller("BYE", &heard[1], 2, ""));
    let bye = requests(scene.heard(app)).pop().unwrap();
    assert_eq!(bye.method(), "BYE");
}

#[test]
fn n16_what_a_client_says_in_a_servers_place_is_taken_out() {
    let (mut scene, mut anna, bert) = two();
    let forged = "P-Asserted-Identity: <sip:boss@contoso.example>\r\nP-Served-User: <sip:boss@contoso.example>\r\nRemote-Party-ID: <sip:boss@contoso.example>\r\n";
    let message = anna.0.request("MESSAGE", BERT, forged, "Hello");
    scene.say(anna.1, &message);
    let got = scene.heard_one(bert.1);
    let text = String::from_utf8_lossy(got.as_bytes()).into_owned();
    assert!(!text.contains("boss"), "{text}");
    assert_eq!(got.first(Name::PAssertedIdentity), Some("<sip:anna@contoso.example>"));
}

#[test]
fn n16_a_client_that_speaks_for_somebody_else_is_refused_whatever_it_adds() {
    let (mut scene, mut anna, bert) = two();
    for more in ["", "P-Asserted-Identity: <sip:bert@contoso.example>\r\n", "Route: <sip:fe2.contoso.example:5062;lr>\r\n"] {
        let message = anna.0.request("MESSAGE", BERT, more, "Hello").replace("From: <sip:anna@", "From: <sip:boss@");
        scene.say(anna.1, &message);
        assert_eq!(answers(&scene.heard(anna.1)), [Status::FORBIDDEN]);
    }
    assert!(scene.heard(bert.1).is_empty());
}

#[test]
fn n16_a_clients_route_past_its_server_is_refused() {
    let (mut scene, mut anna, bert) = two();
    for route in [
        "<sip:fe2.contoso.example:5062;lr>",
        "<sip:fe1.contoso.example;lr>, <sip:fe2.contoso.example:5062;lr>",
        "<sip:TOKEN@fe1.contoso.example:5062;lr>",
    ] {
        let message = anna.0.request("MESSAGE", BERT, &format!("Route: {route}\r\n"), "Hello");
        scene.say(anna.1, &message);
        assert_eq!(answers(&scene.heard(anna.1)), [Status::FORBIDDEN], "{route}");
    }
    assert!(scene.heard(bert.1).is_empty());
}

#[test]
fn n16_a_dialogs_token_is_good_for_its_two_ends_only() {
    let (mut scene, mut anna, bert) = many();
    let (invite, ok) = call(&mut scene, &mut anna, &bert);
    // Carl has seen everything, and is signed in at Anna's server.
    let mut carl = scene.phone("carl");
    let line = scene.sign_in(&mut carl, "fe1");
    scene.say(line, &anna.0.in_dialog_as_caller("BYE", &ok, 2, ""));
    assert_eq!(answers(&scene.heard(line)), [Status::FORBIDDEN]);
    scene.say(line, &bert.0.in_dialog_as_callee("BYE", &invite, 2, ""));
    assert_eq!(answers(&scene.heard(line)), [Status::FORBIDDEN]);
    // A server that is not on the way has seen it as well.
    let app = scene.connect_as_server("app", "fe1").unwrap();
    scene.say(app, &anna.0.in_dialog_as_caller("BYE", &ok, 2, ""));
    assert_eq!(answers(&scene.heard(app)), [Status::FORBIDDEN]);
    let routes: Vec<&str> = invite.list(Name::RecordRoute).skip(2).collect();
    let text = bert.0.in_dialog_as_callee("BYE", &invite, 2, "");
    let head: String =
        text.lines().filter(|line| !line.starts_with("Route:") && !line.is_empty()).map(|line| format!("{line}\r\n")).collect();
    let text = head.replacen("Max-Forwards", &format!("Route: {}\r\nMax-Forwards", routes.join(", ")), 1) + "\r\n";
    scene.say(app, &text);
    assert_eq!(answers(&scene.heard(app)), [Status::FORBIDDEN]);
    assert!(scene.heard(anna.1).is_empty() && scene.heard(bert.1).is_empty());
    caller_hangs_up(&mut scene, &anna, &bert, &ok);
}

#[test]
fn n16_a_server_of_the_wrong_role_sends_nothing_for_users() {
    for server in ["ca", "relay"] {
        for method in ["MESSAGE", "INVITE"] {
            let text = from_server(server, method, BERT, ANNA, &format!("P-Asserted-Identity: <{ANNA}>\r\n"));
            assert_eq!(sends(server, &text), (vec![Status::FORBIDDEN], false), "{server} {method}");
        }
    }
}

#[test]
fn n16_no_server_speaks_for_users_of_domains_that_are_not_ours() {
    for server in ["app", "edge", "fe3", "dir"] {
        for (from, more) in [
            ("sip:mallory@evil.example", ""),
            (ANNA, "P-Asserted-Identity: <sip:mallory@evil.example>\r\n"),
            ("sip:mallory@evil.example", "P-Asserted-Identity: <sip:anna@contoso.example>\r\n"),
        ] {
            let text = from_server(server, "MESSAGE", BERT, from, more);
            assert_eq!(sends(server, &text), (vec![Status::FORBIDDEN], false), "{server} {from} {more}");
        }
    }
}

/// Somebody has a front end's key: a server of that name says this at fe1, where Anna is.
#[track_caller]
fn says_to_anna(server: &str, from: &str, more: &str, expected: Status) {
    for method in ["MESSAGE", "INVITE"] {
        let (mut scene, anna, _) = many();
        let line = scene.connect_as_server(server, "fe1").unwrap();
        scene.say(line, &from_server(server, method, ANNA, from, more));
        let reached = requests(scene.heard(anna.1));
        reached.iter().for_each(|message| scene.say(anna.1, &anna.0.response(message, Status::OK, ENCRYPTED)));
        assert_eq!(answers(&scene.heard(line)).last(), Some(&expected), "{server} {method} {from} {more}");
        assert_eq!(!reached.is_empty(), expected == Status::OK);
        let asserted = reached.first().and_then(|message| message.first(Name::PAssertedIdentity));
        assert!(asserted.is_none_or(|asserted| asserted == format!("<{BERT}>")), "{asserted:?}");
    }
}

#[test]
fn n16_a_front_end_speaks_for_the_users_of_its_own_pool_and_for_no_others() {
    says_to_anna("fe3", BERT, "", Status::OK);
    says_to_anna("fe3", BERT, &format!("P-Asserted-Identity: <{BERT}>\r\n"), Status::OK);
    for (from, more) in [
        ("sip:carl@contoso.example", ""),
        ("sip:nobody@contoso.example", ""),
        (BERT, "P-Asserted-Identity: <sip:carl@contoso.example>\r\n"),
        ("sip:carl@contoso.example", "P-Asserted-Identity: <sip:bert@contoso.example>\r\n"),
        ("sip:anonymous@anonymous.invalid", "P-Asserted-Identity: <sip:carl@contoso.example>\r\nPrivacy: id\r\n"),
    ] {
        says_to_anna("fe3", from, more, Status::FORBIDDEN);
    }
}

#[test]
fn p6_a_director_speaks_for_everybody_and_an_edge_for_nobody() {
    says_to_anna("dir", BERT, "", Status::OK);
    says_to_anna("edge", BERT, "", Status::FORBIDDEN);
}

#[test]
fn n16_a_server_of_the_same_pool_passes_on_what_came_to_it_and_gets_no_further_with_it() {
    let (mut scene, anna, bert) = many();
    let line = scene.connect_as_server("fe3", "fe2").unwrap();
    scene.say(line, &from_server("fe3", "MESSAGE", BERT, ANNA, ""));
    let got = scene.heard_one(bert.1);
    assert_eq!(got.first(Name::PAssertedIdentity), Some("<sip:anna@contoso.example>"));
    scene.say(bert.1, &bert.0.response(&got, Status::OK, ""));
    assert_eq!(answers(&scene.heard(line)), [Status::OK]);
    // Its mate does not lend it a voice in other pools, nor with applications.
    for to in [ANNA, "sip:bot@app.contoso.example"] {
        let (mut scene, anna, _) = many();
        let line = scene.connect_as_server("fe3", "fe2").unwrap();
        scene.say(line, &from_server("fe3", "MESSAGE", to, "sip:carl@contoso.example", ""));
        assert_eq!(answers(&scene.heard(line)), [Status::FORBIDDEN], "{to}");
        assert!(scene.heard(anna.1).is_empty());
    }
    assert!(scene.heard(anna.1).is_empty());
}

#[test]
fn an_application_speaks_for_users_at_their_home_pool_or_over_a_director_and_nowhere_else() {
    let reaches_bert = |at: &str, expected: Status| {
        let (mut scene, _, bert) = many();
        let line = scene.connect_as_server("app", at).unwrap();
        scene.say(line, &from_server("app", "MESSAGE", BERT, ANNA, ""));
        for message in scene.heard(bert.1) {
            scene.say(bert.1, &bert.0.response(&message, Status::OK, ""));
        }
        assert_eq!(answers(&scene.heard(line)), [expected], "{at}");
    };
    // Anna's home, Bert's home, and who may speak for everybody.
    ["fe1", "fe2", "fe3", "dir"].into_iter().for_each(|at| reaches_bert(at, Status::OK));
    let (mut scene, anna, _) = many();
    let line = scene.connect_as_server("app", "fe2").unwrap();
    scene.say(line, &from_server("app", "MESSAGE", ANNA, "sip:carl@contoso.example", ""));
    assert_eq!(answers(&scene.heard(line)), [Status::FORBIDDEN], "fe2 cannot know what Carl said");
    assert!(scene.heard(anna.1).is_empty());
}

#[test]
fn where_a_call_has_been_is_an_applications_to_say() {
    let (mut scene, _, bert) = many();
    let line = scene.connect_as_server("app", "fe1").unwrap();
    let said = "History-Info: <sip:help@app.contoso.example>;index=1\r\nDiversion: <sip:help@app.contoso.example>;reason=no-answer\r\n";
    scene.say(line, &from_server("app", "INVITE", BERT, "sip:bot@app.contoso.example", said));
    let got = scene.heard_one(bert.1);
    assert!(String::from_utf8_lossy(got.as_bytes()).contains(said));
    scene.say(bert.1, &bert.0.response(&got, Status::BUSY_HERE, "").replace("Contact:", &format!("{said}Contact:")));
    let answer = scene.heard(line).pop().unwrap();
    assert!(!String::from_utf8_lossy(answer.as_bytes()).contains("help@"), "Bert's phone has no say in it: {answer:?}");
}

#[test]
fn n16_one_application_does_not_speak_for_another() {
    let text = from_server("app2", "MESSAGE", BERT, "sip:bot@app.contoso.example", "");
    assert_eq!(sends("app2", &text), (vec![Status::FORBIDDEN], false));
}

#[test]
fn a_binding_is_made_over_a_phones_own_connection_only() {
    for server in ["app", "edge", "dir", "fe3"] {
        let text = from_server(server, "REGISTER", ANNA, ANNA, "");
        assert_eq!(sends(server, &text), (vec![Status::FORBIDDEN], false), "{server}");
    }
}

#[test]
fn every_listed_server_may_ask_whether_somebody_is_there() {
    for server in ["ca", "relay", "edge", "app"] {
        let text = from_server(server, "OPTIONS", "sip:fe1.contoso.example", &format!("sip:{server}.contoso.example"), "");
        assert_eq!(sends(server, &text).0, [Status::OK], "{server}");
    }
}

#[test]
fn n26_a_server_is_no_way_around_encrypted_media() {
    let text = from_server("app", "INVITE", BERT, ANNA, "").replace("RTP/SAVP", "RTP/AVP ");
    assert_eq!(sends("app", &text), (vec![Status::NOT_ACCEPTABLE_HERE], false));
}

#[test]
fn n27_a_name_in_a_header_gives_nobody_another_ones_connection() {
    let mut scene = Organisation::new(MANY, TWO_USERS);
    let evil = scene.connect_as_server("app2", "fe1").unwrap();
    // It claims to be reached by the other application's name, in every way there is (RFC 5923 alias, Via, Contact, Path).
    let text =
        from_server("app2", "OPTIONS", "sip:fe1.contoso.example", "sip:app2.contoso.example", "Path: <sip:app.contoso.example;lr>\r\n");
    let text = text.replace("TLS app2.contoso.example:5062;", "TLS app.contoso.example:5062;alias;received=192.0.2.18;rport=5062;");
    let text = text.replace("<sip:app2.contoso.example:5062;transport=tls>", "<sip:app.contoso.example:5062;transport=tls>");
    scene.say(evil, &text);
    assert_eq!(answers(&scene.heard(evil)), [Status::OK]);
    let mut anna = scene.phone("anna");
    let line = scene.sign_in(&mut anna, "fe1");
    let message = anna.request("MESSAGE", "sip:bot@app.contoso.example", "", "secret");
    scene.say(line, &message);
    assert!(requests(scene.heard(evil)).is_empty());
    assert_eq!(answers(&scene.heard(line)), [Status::SERVICE_UNAVAILABLE], "the right one is called, and is not there");
    assert_eq!(scene.dials[&("fe1".to_owned(), "app".to_owned())], 1);
}

#[test]
fn n1_n27_whoever_answers_at_a_servers_address_with_another_name_gets_nothing() {
    let mut scene = Organisation::new(MANY, TWO_USERS);
    scene.answer_as("app2", "app");
    let mut anna = scene.phone("anna");
    let line = scene.sign_in(&mut anna, "fe1");
    let message = anna.request("MESSAGE", "sip:bot@app.contoso.example", "", "secret");
    scene.say(line, &message);
    let impostor = scene.answered();
    assert!(scene.heard(impostor).is_empty() && !scene.is_open(impostor));
    assert_eq!(answers(&scene.heard(line)), [Status::SERVICE_UNAVAILABLE]);
    assert_eq!(scene.records("fe1").last().unwrap().label, "wrong_name");
}

#[test]
fn n16_a_response_counts_on_the_connection_it_belongs_to_only() {
    let (mut scene, mut anna, bert) = two();
    let invite = anna.0.request("INVITE", BERT, "", ENCRYPTED);
    scene.say(anna.1, &invite);
    scene.heard(anna.1);
    let got = scene.heard_one(bert.1);
    // Another server has seen the request, and answers in Bert's place.
    let other = scene.connect_as_server("ca", "fe1").unwrap();
    let forged = bert.0.response(&got, Status::DECLINE, "");
    let (start, rest) = forged.split_once("\r\n").unwrap();
    let without_top_via = rest.split_once("\r\n").unwrap().1;
    scene.say(other, &format!("{start}\r\n{without_top_via}"));
    assert!(scene.heard(anna.1).is_empty());
    scene.say(bert.1, &bert.0.response(&got, Status::OK, ENCRYPTED));
    assert_eq!(answers(&scene.heard(anna.1)), [Status::OK]);
}

#[test]
fn n11_a_phone_with_a_password_is_not_let_in_where_servers_are() {
    let (mut scene, ..) = two();
    let mut carl = Phone::new("carl", "contoso.example", "none");
    let line = scene.connect("fe1");
    // The client port knows no servers' words: what only they may say is a stranger's.
    let text = from_server("fe2", "MESSAGE", BERT, ANNA, &format!("P-Asserted-Identity: <{ANNA}>\r\n"));
    scene.say(line, &text);
    assert_eq!(answers(&scene.heard(line)), [Status::PROXY_AUTHENTICATION_REQUIRED]);
    let _ = carl.register("");
}
