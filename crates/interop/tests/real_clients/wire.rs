//! What an eavesdropper on the wire reads: nothing.

use interop::{Baresip, Capture, Media, Server, entropy_of, in_own_network};

/// A request that must be seen, to know that the search would have found the others.
const CONTROL: &str = "REGISTER sip:verbund.test SIP/2.0\r\nFrom: <sip:alice@verbund.test>;tag=1\r\n\r\n";
const MARKER: &str = "The meeting is at 47.11 hours";
/// RTP goes over even ports; the next odd one is RTCP's (RFC 3550 §11).
const RTP_PORTS: std::ops::Range<u16> = 20_000..20_400;

#[test]
fn nothing_of_a_whole_conversation_can_be_read_on_the_wire() {
    in_own_network(|lab| {
        let capture = Capture::start(lab);
        let server = Server::start(lab);
        let (alice, bob) = (server.account("alice"), server.account("bob"));
        {
            let mut caller = Baresip::start(lab, 1, &alice, &server.site(), Media::Sdes, 440, &bob.aor());
            let mut callee = Baresip::start(lab, 2, &bob, &server.site(), Media::Sdes, 1000, &alice.aor());
            caller.sign_in();
            callee.sign_in();
            caller.write(MARKER);
            callee.wait_for_message(MARKER);
            caller.dial(&bob.aor());
            callee.wait_for_ring();
            callee.answer();
            caller.wait_to_hear(2.0);
            callee.wait_to_hear(2.0);
            caller.hang_up();
            callee.wait_for_call_end();
        }
        server.stop();
        Capture::say_in_clear(CONTROL);
        let wire = capture.stop();

        let secrets = ["a=crypto", "inline:", "nonce=", MARKER, &alice.password, &bob.password];
        let words = ["SIP/2.0", "INVITE", "REGISTER", "MESSAGE", "alice", "bob@", "m=audio"];
        for text in words.into_iter().chain(secrets) {
            let seen: Vec<_> = wire.in_clear(text).into_iter().filter(|ports| !expected(*ports)).collect();
            assert!(seen.is_empty(), "{text:?} crossed the wire in clear between the ports {seen:?}");
        }
        for text in ["SIP/2.0", "REGISTER", "alice"] {
            assert!(wire.in_clear(text).iter().any(|(_, to)| *to == Capture::CONTROL_PORT), "the search finds {text:?}");
        }
        assert!(wire.tcp.iter().any(|((_, to), _)| *to == 5061), "the conversation was captured");
        let media = wire.media();
        assert!(media.len() > 20_000, "only {} bytes of media were captured", media.len());
        assert!(entropy_of(&media) > 7.9, "media of {} bits a byte is not encrypted", entropy_of(&media));
    });
}

/// Our own control, and one leak that is baresip 1.0's: the RTCP BYE at the end of its calls goes out unprotected and names the
/// account (its CNAME is the address of record). The server never sees that packet.
fn expected((from, to): (u16, u16)) -> bool {
    let rtcp_of_baresip = RTP_PORTS.contains(&from) && RTP_PORTS.contains(&to) && from % 2 == 1 && to % 2 == 1;
    to == Capture::CONTROL_PORT || rtcp_of_baresip
}
