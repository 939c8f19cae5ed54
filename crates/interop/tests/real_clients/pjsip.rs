//! PJSIP (pjsua2, OpenSSL, TLS 1.2): two phones in one process, and servers that PJSIP must not trust.

use interop::{Impostor, Lab, Pjsip, Server, in_own_network};

#[test]
fn two_pjsips_write_talk_hold_and_resume() {
    in_own_network(|lab| {
        let server = Server::start(lab);
        let (alice, bob) = (server.account("alice"), server.account("bob"));
        let mut phones = Pjsip::conversation(lab, &alice, &bob, &server.site());
        for user in ["alice", "bob"] {
            let event = phones.wait_for("signed-in");
            assert_eq!((event["user"].as_str(), event["code"].as_i64()), (Some(user), Some(200)), "{event}");
        }
        for _direction in 0..2 {
            let event = phones.wait_for("message");
            assert_eq!(event["code"].as_i64(), Some(200), "{event}");
        }
        let event = phones.wait_for("established");
        assert!(event["media"].to_string().contains("SRTP status: Active"), "{event}");
        phones.wait_for("resumed");
        phones.wait_for("hung-up");
        for (user, hz) in [("alice", Pjsip::TONES_HZ[1]), ("bob", Pjsip::TONES_HZ[0])] {
            let (who, heard) = phones.heard();
            assert!(who == user && heard.is_tone(hz), "{who} heard {heard:?}");
        }
    });
}

#[test]
fn pjsip_is_refused_with_a_wrong_password() {
    in_own_network(|lab| {
        let server = Server::start(lab);
        let (code, reason) = Pjsip::sign_in(lab, &server.account("alice").with_password("not-the-password"), &server.site());
        assert!([401, 403].contains(&code), "{code} {reason}");
    });
}

/// By its right name and with its own certificate the server is trusted, so that it is those two that the other tests refuse.
fn sign_in_properly(lab: &Lab, server: &Server) {
    let (code, reason) = Pjsip::sign_in(lab, &server.account("alice"), &server.site());
    assert_eq!(code, 200, "{reason}");
}

#[test]
fn pjsip_refuses_a_server_whose_name_does_not_match() {
    in_own_network(|lab| {
        let server = Server::start(lab);
        sign_in_properly(lab, &server);
        let (code, reason) = Pjsip::sign_in(lab, &server.account("alice"), &server.site_by_another_name());
        assert_eq!(code, 503, "PJSIP's own code for a connection that failed: {reason}");
    });
}

#[test]
fn pjsip_refuses_an_impostor() {
    in_own_network(|lab| {
        let server = Server::start(lab);
        sign_in_properly(lab, &server);
        let impostor = Impostor::start(lab, &server.site());
        let (code, reason) = Pjsip::sign_in(lab, &server.account("alice"), impostor.site());
        assert_eq!(code, 503, "PJSIP's own code for a connection that failed: {reason}");
        assert!(!impostor.received_sip());
    });
}
