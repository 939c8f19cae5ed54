//! Two current baresips (libre 4.10), which check the server's certificate.

use interop::{Impostor, Libre, Server, in_own_network};

#[test]
fn two_verifying_libres_sign_in_and_talk() {
    in_own_network(|lab| {
        let server = Server::start(lab);
        let (alice, bob) = (server.account("alice"), server.account("bob"));
        let mut callee = Libre::answering(lab, &bob, &server.site(), 1000);
        let mut caller = Libre::calling(lab, &alice, &server.site(), 440, &bob.aor());
        caller.wait_for_call();
        callee.wait_for_call();
        let (by_caller, by_callee) = (caller.heard(), callee.heard());
        assert!(by_caller.is_tone(1000), "the caller heard {by_caller:?}");
        assert!(by_callee.is_tone(440), "the callee heard {by_callee:?}");
    });
}

#[test]
fn libre_refuses_a_server_whose_name_does_not_match() {
    in_own_network(|lab| {
        let server = Server::start(lab);
        let alice = server.account("alice");
        Libre::sign_in(lab, &alice, &server.site()).expect("the control: by its right name it is trusted");
        Libre::sign_in(lab, &alice, &server.site_by_another_name()).expect_err("the name differs");
    });
}

#[test]
fn libre_refuses_an_impostor() {
    in_own_network(|lab| {
        let server = Server::start(lab);
        let (alice, impostor) = (server.account("alice"), Impostor::start(lab, &server.site()));
        Libre::sign_in(lab, &alice, impostor.site()).expect_err("the certificate is of another authority");
        assert!(!impostor.received_sip());
        // The counter-proof: who trusts the impostor does talk to it, so it is the certificate that was refused.
        Libre::sign_in(lab, &alice, &impostor.trusted_site(lab)).expect_err("an impostor gives no answer");
        assert!(impostor.received_sip());
    });
}
