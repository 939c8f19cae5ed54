//! Linphone (belle-sip, mbedTLS, TLS 1.2) and a baresip, and servers that Linphone must not trust.

use interop::{Baresip, Impostor, Lab, Linphone, Media, Server, in_own_network};

const LINPHONE_HZ: u32 = 700;
const BARESIP_HZ: u32 = 1000;

#[test]
fn linphone_and_baresip_write_and_talk_both_ways() {
    in_own_network(|lab| {
        let server = Server::start(lab);
        let (alice, bob) = (server.account("alice"), server.account("bob"));
        let mut linphone = Linphone::start(lab, &alice, &server.site(), LINPHONE_HZ);
        let mut baresip = Baresip::start(lab, 1, &bob, &server.site(), Media::Sdes, BARESIP_HZ, &alice.aor());
        linphone.sign_in();
        baresip.sign_in();

        linphone.write(&bob.aor(), "Greetings from Linphone");
        baresip.wait_for_message("Greetings from Linphone");
        baresip.write("Greetings from baresip");
        linphone.wait_for_message("Greetings from baresip");

        let call = linphone.dial(&bob.aor());
        baresip.wait_for_ring();
        baresip.answer();
        baresip.wait_for_call();
        linphone.wait_for_call(call);
        baresip.wait_to_hear_tone(LINPHONE_HZ);
        linphone.hang_up(call);
        baresip.wait_for_call_end();
        linphone.wait_for_call_end();

        baresip.dial(&alice.aor());
        let call = linphone.wait_for_ring();
        linphone.answer(call);
        linphone.wait_for_call(call);
        baresip.wait_for_call();
        baresip.wait_to_hear_tone(LINPHONE_HZ);
        baresip.hang_up();
        linphone.wait_for_call_end();
        assert!(baresip.printed().contains("SRTP is Enabled"), "media is protected");
        assert!(linphone.media_bytes_taken() > 16_000, "Linphone took {} bytes of media", linphone.media_bytes_taken());
    });
}

/// By its right name and with its own certificate the server is trusted, so that it is those two that the other tests refuse.
fn sign_in_properly(lab: &Lab, server: &Server) {
    Linphone::start(lab, &server.account("bob"), &server.site(), LINPHONE_HZ).sign_in();
}

#[test]
fn linphone_refuses_a_server_whose_name_does_not_match() {
    in_own_network(|lab| {
        let server = Server::start(lab);
        sign_in_properly(lab, &server);
        let mut phone = Linphone::start(lab, &server.account("alice"), &server.site_by_another_name(), LINPHONE_HZ);
        phone.try_sign_in().expect_err("the name differs");
        assert!(!phone.trace().contains("nonce="), "no sign-in was begun");
    });
}

#[test]
fn linphone_refuses_an_impostor() {
    in_own_network(|lab| {
        let server = Server::start(lab);
        sign_in_properly(lab, &server);
        let impostor = Impostor::start(lab, &server.site());
        let mut phone = Linphone::start(lab, &server.account("alice"), impostor.site(), LINPHONE_HZ);
        phone.try_sign_in().expect_err("the certificate is of another authority");
        assert!(!impostor.received_sip());
    });
}
