//! A call and a message from end to end.

use proxy::Route;
use sip::Name;

use crate::scene::{ALICE, Ask, BOB, SRTP, Scene, device, following, leg, route_of};

#[test]
fn a_message_reaches_its_device_and_the_answer_comes_back() {
    let mut scene = Scene::new();
    scene.send(ALICE, &Ask::new("MESSAGE"), &[device(BOB, 1000)]);
    let sent = scene.expect_method(BOB, "MESSAGE");
    assert_eq!(sent.request_uri_text(), "sip:bob@192.0.2.2:5061;transport=tls");
    scene.silence();
    scene.reply(BOB, &sent, "200 OK");
    let answer = scene.expect_status(ALICE, 200);
    assert_eq!(answer.all(Name::Via).collect::<Vec<_>>(), ["SIP/2.0/TLS phone.invalid;branch=z9hG4bK-MESSAGE-1"]);
    scene.silence();
    assert!(scene.proxy.is_idle());
}

#[test]
fn a_call_rings_is_answered_acknowledged_and_ended() {
    let mut scene = Scene::new();
    let invite = scene.call(&Ask::invite(), &[device(BOB, 1000)]).remove(0);
    scene.reply(BOB, &invite, "180 Ringing");
    scene.expect_status(ALICE, 180);
    scene.reply_with(BOB, &invite, "200 OK", "", SRTP);
    let answer = scene.expect_status(ALICE, 200);

    let mut ack = following(Ask::new("ACK").within("tag-2"), &answer);
    ack.uri = "sip:bob@192.0.2.2:5061;transport=tls".to_owned();
    assert_eq!(route_of(&scene, &ack), Route::Dialog { from: leg(ALICE, "alice"), to: leg(BOB, "bob") });
    scene.send(ALICE, &ack, &[device(BOB, 1000)]);
    let acknowledged = scene.expect_method(BOB, "ACK");
    assert_eq!(acknowledged.first(Name::Route), None, "our own Route is popped");

    let mut bye = following(Ask::new("BYE"), &invite);
    bye.from = "<sip:bob@verbund.test>;tag=tag-2".to_owned();
    bye.to = "<sip:alice@verbund.test>;tag=a1".to_owned();
    assert_eq!(route_of(&scene, &bye), Route::Dialog { from: leg(BOB, "bob"), to: leg(ALICE, "alice") });
    scene.send(BOB, &bye, &[device(ALICE, 1000)]);
    let ended = scene.expect_method(ALICE, "BYE");
    scene.reply(ALICE, &ended, "200 OK");
    scene.expect_status(BOB, 200);
    scene.silence();
    scene.pass(33);
    assert!(scene.proxy.is_idle());
}
