//! Names that a peer asks for or speaks of, against the name that its certificate proves: rows N27 and N35.

use interop::{Forged, Forger, Lab, SClient, Server, Shown, Site, in_own_network, wait_until};

use crate::certificates::{Case, VERSIONS, application, check_at, organisation};

/// Names that a peer may ask for in its greeting (SNI, RFC 6066 §3); the first asks for none.
const ASKED_FOR: [&str; 6] = ["", "elsewhere.test", "verbund.test", "SIP.Verbund.Test", "app1.verbund.test", "localhost"];

const ALICE: &str = "sip:alice@verbund.test";
/// A user of the application app2.
const BOT: &str = "sip:bot@app2.verbund.test";

fn asking_for(name: &str, server: &Server) -> Site {
    Site { name: name.to_owned(), ..server.servers_site() }
}

#[test]
fn n35_whatever_name_is_asked_for_nothing_is_judged_more_weakly_and_an_empty_list_is_nobody() {
    in_own_network(|lab| {
        let server = organisation(lab);
        let (thief, stranger) = (Forger::with_key_of(lab, &server), Forger::stranger(lab, &server));
        let good = Forged { subject: "app1.verbund.test", names: "DNS:app1.verbund.test", ..Forged::GOOD };
        let shown = thief.forge("good", &good);
        // Nobody is listed yet but the server itself, so nobody is let in.
        for name in ASKED_FOR {
            let case = Case { name: "n35-empty-list", shown: Some(shown.clone()), reasons: &["not_in_topology"] };
            check_at(lab, &server, &asking_for(name, &server), &case);
        }
        server.add_server("app1.verbund.test", &["--role", "application"]);
        let cases = [
            Case { name: "n35-none", shown: None, reasons: &["no_certificate"] },
            Case { name: "n35-foreign", shown: Some(stranger.forge("foreign", &good)), reasons: &["unknown_issuer", "bad_signature"] },
            Case {
                name: "n35-wildcard",
                shown: Some(thief.forge("wildcard", &Forged { names: "DNS:*.verbund.test", ..good })),
                reasons: &["wildcard"],
            },
        ];
        for name in ASKED_FOR {
            let site = asking_for(name, &server);
            cases.iter().for_each(|case| check_at(lab, &server, &site, case));
            for (number, version) in VERSIONS.into_iter().enumerate() {
                let mut client = SClient::connect(lab, &format!("good-{name}{version}"), &site, Some(&shown), &[version]);
                assert!(client.is_answered(number), "asked for {name:?}: {}", client.printed());
                client.leave();
            }
        }
    });
}

/// What app1 and Alice write: the first line's method and target, whom it is from, further lines of the head, and a body.
fn request(first: [&str; 2], from: &str, id: &str, more: &str, body: &str) -> String {
    let [method, target] = first;
    format!(
        "{method} {target} SIP/2.0\r\nMax-Forwards: 70\r\nFrom: <{from}>;tag=t1\r\nTo: <{from}>\r\nCall-ID: {id}\r\n\
         CSeq: 1 {method}\r\n{more}Content-Type: text/plain\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Says on `one` in every way there is that it is reached by the name of app2.
fn claim_to_be_app2(one: &mut SClient, round: &str) {
    let answered = |one: &SClient, id: &str| wait_until("an answer", || one.printed().contains(&format!("Call-ID: {id}")).then_some(()));
    let claims = [["OPTIONS", "sip:sip.verbund.test"], ["MESSAGE", "sip:alice@verbund.test"], ["REGISTER", "sip:verbund.test"]];
    for first in claims {
        let id = format!("{}{round}", first[0]);
        let more = format!(
            "Via: SIP/2.0/TLS app2.verbund.test:5062;branch=z9hG4bK{id};alias;received=127.0.0.1;rport=5062\r\n\
             Contact: <sip:app2.verbund.test:5062;transport=tls>\r\nPath: <sip:app2.verbund.test;lr>\r\n\
             Record-Route: <sip:app2.verbund.test:5062;lr>\r\nP-Asserted-Identity: <{BOT}>\r\n"
        );
        one.say(&request(first, BOT, &id, &more, "claim"));
        answered(one, &id);
    }
}

/// Alice's phone, which proves itself by a certificate and is registered.
fn alice(lab: &Lab, server: &Server) -> SClient {
    let user = Forged { subject: "alice", names: "URI:sip:alice@verbund.test", purposes: "clientAuth", ..Forged::GOOD };
    let shown = Forger::with_users_key_of(lab, server).forge("alice", &user);
    let mut phone = SClient::connect(lab, "alice", &server.site(), Some(&shown), &[]);
    let head = "Via: SIP/2.0/TLS 127.0.0.1;branch=z9hG4bKreg\r\nContact: <sip:alice@127.0.0.1;transport=tls>\r\n";
    phone.say(&request(["REGISTER", "sip:verbund.test"], ALICE, "sign-in", head, ""));
    wait_until("alice is registered", || phone.printed().contains("SIP/2.0 200").then_some(()));
    phone
}

/// Alice writes these words to app2's user, and hears nothing yet.
fn write_to_bot(phone: &mut SClient, words: &str) {
    let via = format!("Via: SIP/2.0/TLS 127.0.0.1;branch=z9hG4bK{words}\r\n");
    phone.say(&request(["MESSAGE", BOT], ALICE, words, &via, words));
}

#[test]
fn n27_a_server_that_claims_another_ones_name_gets_nothing_that_is_for_the_other_one() {
    in_own_network(|lab| {
        let server = organisation(lab);
        let shown: [Shown; 2] = ["app1.verbund.test", "app2.verbund.test"].map(|name| application(lab, &server, name));
        let connect = |name: &str, shown| SClient::connect(lab, name, &server.servers_site(), Some(shown), &[]);
        let (mut one, mut phone) = (connect("one", &shown[0]), alice(lab, &server));
        assert!(one.is_answered(1));
        claim_to_be_app2(&mut one, "first");
        // The other one is not there: nobody is taken for it.
        write_to_bot(&mut phone, "nobody-home");
        wait_until("alice is told", || phone.printed().contains("Call-ID: nobody-home").then_some(()));
        // It comes, and what is for it goes to it and to nobody else.
        let mut other = connect("other", &shown[1]);
        assert!(other.is_answered(2));
        claim_to_be_app2(&mut one, "second");
        write_to_bot(&mut phone, "for-app2");
        wait_until("the other one has it", || other.printed().contains("for-app2").then_some(()));
        assert!(one.is_answered(3), "it is a trusted server all the same");
        assert_eq!(one.printed().matches("SIP/2.0 403").count(), 4, "no word and no binding for the other one: {}", one.printed());
        assert!(!one.printed().contains("MESSAGE sip:bot@") && !one.printed().contains("for-app2"), "{}", one.printed());
        assert!(!phone.printed().contains("claim"), "nor does alice hear of it: {}", phone.printed());
    });
}
