//! Two baresips (libre 1.x, OpenSSL, TLS 1.3), and what is refused to them.

use interop::{Account, Baresip, Lab, Media, Server, in_own_network};

const ALICE_HZ: u32 = 440;
const BOB_HZ: u32 = 1000;

fn two_phones(lab: &Lab, server: &Server, media: Media) -> (Baresip, Baresip) {
    let (alice, bob) = (server.account("alice"), server.account("bob"));
    let mut phones = (
        Baresip::start(lab, 1, &alice, &server.site(), media, ALICE_HZ, &bob.aor()),
        Baresip::start(lab, 2, &bob, &server.site(), media, BOB_HZ, &alice.aor()),
    );
    phones.0.sign_in();
    phones.1.sign_in();
    phones
}

/// A whole conversation: messages both ways, a call in which each hears the other's tone, hang-up.
fn converse(lab: &Lab, media: Media, protected: &str) {
    let server = Server::start(lab);
    let (mut alice, mut bob) = two_phones(lab, &server, media);

    alice.write("Good morning from Alice");
    bob.wait_for_message("Good morning from Alice");
    bob.write("Good evening from Bob");
    alice.wait_for_message("Good evening from Bob");

    alice.dial(&server.account("bob").aor());
    bob.wait_for_ring();
    bob.answer();
    alice.wait_for_call();
    bob.wait_for_call();
    alice.wait_to_hear(2.0);
    bob.wait_to_hear(2.0);
    alice.hang_up();
    bob.wait_for_call_end();

    let (alice_heard, bob_heard) = (alice.heard().expect("Alice heard"), bob.heard().expect("Bob heard"));
    assert!(alice_heard.is_tone(BOB_HZ), "Alice heard {alice_heard:?}");
    assert!(bob_heard.is_tone(ALICE_HZ), "Bob heard {bob_heard:?}");
    assert!(alice.printed().contains(protected) && bob.printed().contains(protected), "media is protected: {protected}");
    drop((alice, bob));
    assert!(server.stop().success(), "SIGTERM ends the server in order");
}

#[test]
fn two_baresips_write_and_talk_over_srtp_with_keys_in_the_sdp() {
    in_own_network(|lab| converse(lab, Media::Sdes, "SRTP is Enabled"));
}

#[test]
fn two_baresips_write_and_talk_over_dtls_srtp() {
    in_own_network(|lab| converse(lab, Media::Dtls, "DTLS-SRTP complete"));
}

#[test]
fn whoever_calls_also_ends_the_call_or_is_hung_up_on() {
    in_own_network(|lab| {
        let server = Server::start(lab);
        let (mut alice, mut bob) = two_phones(lab, &server, Media::Sdes);
        bob.dial(&server.account("alice").aor());
        alice.wait_for_ring();
        alice.answer();
        bob.wait_for_call();
        alice.wait_for_call();
        // The one who was called hangs up: a BYE against the direction of the INVITE.
        alice.hang_up();
        bob.wait_for_call_end();
    });
}

#[test]
fn a_call_that_is_given_up_stops_ringing() {
    in_own_network(|lab| {
        let server = Server::start(lab);
        let (mut alice, mut bob) = two_phones(lab, &server, Media::Sdes);
        alice.dial(&server.account("bob").aor());
        bob.wait_for_ring();
        alice.hang_up();
        bob.wait_for_call_end();
    });
}

#[test]
fn a_wrong_password_and_an_unknown_user_get_the_same_refusal() {
    in_own_network(|lab| {
        let server = Server::start(lab);
        let alice = server.account("alice");
        let refusal = |seat, account: &Account| {
            let mut phone = Baresip::start(lab, seat, account, &server.site(), Media::Sdes, ALICE_HZ, &alice.aor());
            phone.try_sign_in().expect_err("nobody signs in with a wrong password")
        };
        let wrong = refusal(1, &alice.with_password("not-the-password"));
        let unknown = refusal(2, &alice.with_user("mallory"));
        assert_eq!(wrong, unknown, "strangers do not learn who has an account");
        assert!(wrong.starts_with("401") || wrong.starts_with("403"), "{wrong}");
    });
}

#[test]
fn an_offer_without_encryption_is_refused_with_488() {
    in_own_network(|lab| {
        let server = Server::start(lab);
        let (alice, bob) = (server.account("alice"), server.account("bob"));
        let mut caller = Baresip::start(lab, 1, &alice, &server.site(), Media::Clear, ALICE_HZ, &bob.aor());
        let mut callee = Baresip::start(lab, 2, &bob, &server.site(), Media::Sdes, BOB_HZ, &alice.aor());
        caller.sign_in();
        callee.sign_in();
        caller.dial(&bob.aor());
        let why = caller.wait_for_call_end();
        assert!(why.starts_with("488"), "{why}");
        assert!(caller.printed().contains("media must be encrypted"), "the Warning says why");
        assert!(callee.stayed_silent(), "the phone of the callee did not ring");
    });
}
