//! What forwarding changes in a request and a response, and what it leaves alone.

use sip::{Message, Name};

use crate::scene::{ALICE, Ask, BOB, Scene, device, text_of};

/// The request as Bob gets it.
fn forwarded(ask: &Ask) -> Message {
    let mut scene = Scene::new();
    scene.send(ALICE, ask, &[device(BOB, 1000)]);
    scene.expect_method(BOB, ask.method)
}

fn values(message: &Message, name: Name) -> Vec<&str> {
    message.all(name).collect()
}

#[test]
fn everything_not_planned_stays_byte_for_byte() {
    let odd = "X-Odd :  a ,b\r\nsubject:  Hello\r\nUser-Agent: Phone/1.0\r\n folded\r\n";
    let mut ask = Ask::new("MESSAGE").with(odd);
    ask.body = "Hi Bob".to_owned();
    let sent = text_of(&forwarded(&ask));
    assert!(sent.contains(odd), "{sent}");
    assert!(sent.ends_with("\r\n\r\nHi Bob"), "{sent}");
}

#[test]
fn our_via_stands_on_top() {
    let sent = forwarded(&Ask::new("MESSAGE"));
    let vias = values(&sent, Name::Via);
    assert_eq!(vias.len(), 2);
    assert!(vias[0].starts_with("SIP/2.0/TLS sip.verbund.test:5061;branch=z9hG4bK"), "{}", vias[0]);
    assert_eq!(vias[1], "SIP/2.0/TLS phone.invalid;branch=z9hG4bK-MESSAGE-1");
}

#[test]
fn a_hop_is_counted() {
    assert_eq!(values(&forwarded(&Ask::new("MESSAGE")), Name::MaxForwards), ["69"]);
}

#[test]
fn a_request_without_max_forwards_gets_seventy() {
    assert_eq!(values(&forwarded(&Ask::new("MESSAGE").without_hops()), Name::MaxForwards), ["70"]);
}

#[test]
fn what_a_client_asserts_about_itself_is_replaced_by_what_we_know() {
    let ask = Ask::new("MESSAGE")
        .with("P-Asserted-Identity: <sip:boss@verbund.test>\r\nP-Asserted-Identity: <tel:+1>\r\nP-Preferred-Identity: <sip:boss@verbund.test>\r\n");
    let sent = forwarded(&ask);
    assert_eq!(values(&sent, Name::PAssertedIdentity), ["<sip:alice@verbund.test>"]);
    assert!(values(&sent, Name::PPreferredIdentity).is_empty());
}

#[test]
fn who_asks_for_privacy_is_not_named() {
    for privacy in ["id", "header;ID", "user ; id", "id, critical"] {
        let sent = forwarded(&Ask::new("MESSAGE").with(&format!("Privacy: {privacy}\r\n")));
        assert!(values(&sent, Name::PAssertedIdentity).is_empty(), "{privacy}");
        assert_eq!(values(&sent, Name::Privacy), [privacy]);
    }
}

#[test]
fn other_privacy_hides_no_identity() {
    let sent = forwarded(&Ask::new("MESSAGE").with("Privacy: none\r\n"));
    assert_eq!(values(&sent, Name::PAssertedIdentity), ["<sip:alice@verbund.test>"]);
}

#[test]
fn credentials_for_us_go_no_further() {
    let ours = "Digest username=\"alice\", realm=\"Verbund.test\", nonce=\"n\", uri=\"sip:bob@verbund.test\", response=\"r\"";
    let ask = Ask::new("MESSAGE").with(&format!("Proxy-Authorization: {ours}\r\nAuthorization: {ours}\r\nProxy-Authorization: Basic\r\n"));
    let sent = forwarded(&ask);
    assert!(values(&sent, Name::ProxyAuthorization).is_empty());
    assert!(values(&sent, Name::Authorization).is_empty());
}

#[test]
fn credentials_for_the_other_side_pass() {
    let theirs = "Digest username=\"alice\", realm=\"bobs-phone\", nonce=\"n\", uri=\"sip:bob@192.0.2.2\", response=\"r\"";
    let sent = forwarded(&Ask::new("MESSAGE").with(&format!("Authorization: {theirs}\r\n")));
    assert_eq!(values(&sent, Name::Authorization), [theirs]);
}

#[test]
fn without_a_realm_of_ours_no_credentials_pass_at_all() {
    let mut scene = Scene::with(|settings| settings.realm = None);
    let ask = Ask::new("MESSAGE").with("Authorization: Digest username=\"alice\", realm=\"bobs-phone\", nonce=\"n\", response=\"r\"\r\n");
    scene.send(ALICE, &ask, &[device(BOB, 1000)]);
    assert_eq!(scene.expect_method(BOB, "MESSAGE").first(Name::Authorization), None);
}

#[test]
fn the_path_a_device_registered_with_becomes_its_route() {
    let mut scene = Scene::new();
    let mut target = device(BOB, 1000);
    target.path = vec!["<sip:edge1.verbund.test;lr>".to_owned(), "<sip:edge2.verbund.test;lr>".to_owned()];
    scene.send(ALICE, &Ask::new("MESSAGE").with("Route: <sip:sip.verbund.test:5061;lr>\r\n"), &[target]);
    let sent = scene.expect_method(BOB, "MESSAGE");
    assert_eq!(values(&sent, Name::Route), ["<sip:edge1.verbund.test;lr>", "<sip:edge2.verbund.test;lr>"]);
}

#[test]
fn our_own_routes_on_top_are_popped_and_the_others_stay() {
    let ask = Ask::new("MESSAGE").with(
        "Route: <sip:sip.verbund.test:5061;lr>, <sip:verbund.test;lr>\r\nRoute: <sip:127.0.0.1:5061;transport=tls;lr>, <sip:far.example;lr>\r\n\
         Route: <sip:sip.verbund.test:5061;lr>\r\n",
    );
    assert_eq!(values(&forwarded(&ask), Name::Route), ["<sip:far.example;lr>", "<sip:sip.verbund.test:5061;lr>"]);
}

#[test]
fn a_record_route_is_set_only_where_asked() {
    assert_eq!(values(&forwarded(&Ask::new("MESSAGE")), Name::RecordRoute).len(), 1);
    let mut scene = Scene::new();
    let request = scene.ask(ALICE, &Ask::new("MESSAGE"));
    scene.proxy.forward(request, proxy::Forward { record_route: false, ..crate::scene::plan(&[device(BOB, 1000)]) }, scene.now);
    assert_eq!(scene.expect_method(BOB, "MESSAGE").first(Name::RecordRoute), None);
}

#[test]
fn a_record_route_of_somebody_else_stays_below_ours() {
    let sent = forwarded(&Ask::new("SUBSCRIBE").with("Record-Route: <sip:inner.example;lr>\r\n"));
    let routes = values(&sent, Name::RecordRoute);
    assert!(routes[0].contains("@sip.verbund.test:5061;transport=tls;lr>"), "{routes:?}");
    assert_eq!(routes[1], "<sip:inner.example;lr>");
}

/// The response as Alice gets it.
fn answered(headers: &str) -> Message {
    let mut scene = Scene::new();
    scene.send(ALICE, &Ask::new("MESSAGE"), &[device(BOB, 1000)]);
    let sent = scene.expect_method(BOB, "MESSAGE");
    scene.reply_with(BOB, &sent, "200 OK", headers, "");
    scene.expect_status(ALICE, 200)
}

#[test]
fn what_a_callee_asserts_about_itself_is_stripped() {
    let answer = answered("P-Asserted-Identity: <sip:boss@verbund.test>\r\nP-Preferred-Identity: <sip:boss@verbund.test>\r\n");
    assert_eq!(answer.first(Name::PAssertedIdentity), None);
    assert_eq!(answer.first(Name::PPreferredIdentity), None);
}

#[test]
fn unknown_headers_of_a_response_pass() {
    let text = text_of(&answered("X-Mood: good\r\n"));
    assert!(text.contains("\r\nX-Mood: good\r\n"), "{text}");
}
