//! Media must be encrypted (P3, row N26): every yes and every no, and the ways around it that were tried.

#![allow(clippy::unwrap_used, missing_docs)]

use sip::sdp::{self, Unprotected};

const KEY: &str = "inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj";
const SESSION: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n";

/// A fingerprint attribute of this hash with so many bytes.
fn fingerprint(hash: &str, bytes: usize) -> String {
    format!("a=fingerprint:{hash} {}\r\n", vec!["4A"; bytes].join(":"))
}

fn crypto(suite: &str, params: &str) -> String {
    format!("a=crypto:1 {suite} {params}\r\n")
}

fn sdes() -> String {
    crypto("AES_CM_128_HMAC_SHA1_80", KEY)
}

fn sha256() -> String {
    fingerprint("SHA-256", 32)
}

type Told = Result<(), Unprotected>;

/// The session lines, then these.
fn check(lines: &str, wanted: Told) {
    check_whole(&format!("{SESSION}{lines}"), wanted);
}

fn check_whole(text: &str, wanted: Told) {
    assert_eq!(sdp::check_description(text.as_bytes()), wanted, "{text}");
    // Line ends are the sender's taste.
    assert_eq!(sdp::check_description(text.replace("\r\n", "\n").as_bytes()), wanted, "LF only: {text}");
    assert_eq!(sdp::check_description(format!("{text}\r\n").as_bytes()), wanted, "an empty line more: {text}");
}

fn medium(proto: &str, attributes: &str) -> String {
    format!("m=audio 4000 {proto} 0\r\n{attributes}")
}

const CLEAR: Told = Err(Unprotected::ClearMedia);
const NO_KEY: Told = Err(Unprotected::NoKey);
const OFF: Told = Err(Unprotected::ProtectionOff);
const UNREADABLE: Told = Err(Unprotected::Unreadable);
const OPAQUE: Told = Err(Unprotected::Opaque);

mod profiles {
    use super::*;

    #[test]
    fn clear_rtp_is_refused_whatever_its_spelling() {
        for proto in
            ["RTP/AVP", "RTP/AVPF", "rtp/avp", "udp", "UDP", "udptl", "TCP/MSRP", "TCP/BFCP", "TCP/RTP/AVP", "XRTP/SAVP", "RTP/SAVPX", ""]
        {
            if proto.is_empty() {
                check("m=audio 4000 \r\n", UNREADABLE);
            } else {
                check(&medium(proto, ""), CLEAR);
            }
        }
    }

    #[test]
    fn opportunistic_encryption_is_none() {
        check(&medium("RTP/AVP", &sdes()), CLEAR);
        check(&medium("RTP/AVPF", &sha256()), CLEAR);
    }

    #[test]
    fn srtp_needs_a_key() {
        for proto in ["RTP/SAVP", "RTP/SAVPF", "rtp/savp"] {
            check(&medium(proto, &sdes()), Ok(()));
            check(&medium(proto, &sha256()), Ok(()));
            check(&medium(proto, ""), NO_KEY);
        }
    }

    #[test]
    fn what_runs_in_tls_needs_a_fingerprint() {
        for proto in [
            "UDP/TLS/RTP/SAVP",
            "UDP/TLS/RTP/SAVPF",
            "TCP/TLS/RTP/SAVP",
            "TCP/TLS/RTP/SAVPF",
            "TCP/DTLS/RTP/SAVPF",
            "UDP/DTLS/SCTP",
            "TCP/DTLS/SCTP",
            "DTLS/SCTP",
            "TCP/TLS/MSRP",
            "TCP/TLS/BFCP",
            "UDP/TLS/BFCP",
            "UDP/TLS/UDPTL",
            "udp/tls/rtp/savpf",
        ] {
            check(&medium(proto, &sha256()), Ok(()));
            check(&medium(proto, ""), NO_KEY);
            check(&medium(proto, &sdes()), NO_KEY);
        }
    }

    #[test]
    fn a_name_that_only_sounds_like_tls_is_clear() {
        for proto in ["UDP/TLS/RTP/AVP", "UDP/TLS/RTP/AVPF", "TLS/RTP/SAVP", "UDP/TLSX/RTP/SAVP", "SCTP", "TCP/SCTP", "UDP/DTLS/RTP/AVP"] {
            check(&medium(proto, &sha256()), CLEAR);
        }
    }

    #[test]
    fn every_medium_counts() {
        let good = medium("RTP/SAVP", &sdes());
        check(&format!("{good}{}", medium("RTP/AVP", "")), CLEAR);
        check(&format!("{}{good}", medium("RTP/AVP", "")), CLEAR);
        check(&format!("{good}{}", medium("RTP/SAVP", "")), NO_KEY);
        check(&format!("{good}{good}"), Ok(()));
    }

    #[test]
    fn a_description_without_media_passes() {
        check("", Ok(()));
        check("a=sendrecv\r\n", Ok(()));
    }

    #[test]
    fn port_0_is_off_but_not_in_a_bundle() {
        check("m=audio 0 RTP/AVP 0\r\n", Ok(()));
        check("m=audio 00 RTP/AVP 0\r\n", Ok(()));
        check("m=audio 0/2 RTP/AVP 0\r\n", Ok(()));
        check("m=audio 0 RTP/AVP 0\r\na=bundle-only\r\n", CLEAR);
        check(&format!("m=audio 0 UDP/TLS/RTP/SAVPF 0\r\na=bundle-only\r\n{}", sha256()), Ok(()));
        check(&format!("m=audio 0 RTP/AVP 0\r\n{}", medium("RTP/AVP", "")), CLEAR);
    }

    #[test]
    fn inactive_media_may_be_woken_and_are_judged() {
        check(&medium("RTP/AVP", "a=inactive\r\n"), CLEAR);
    }

    #[test]
    fn other_transports_on_offer_are_judged_too() {
        check(&medium("RTP/SAVP", &format!("{}a=tcap:1 RTP/AVP\r\na=pcfg:1 t=1\r\n", sdes())), CLEAR);
        check(&medium("RTP/SAVP", &format!("{}a=tcap:1 UDP/TLS/RTP/SAVP RTP/SAVPF\r\n", sdes())), Ok(()));
        check(&format!("a=tcap:1 RTP/SAVP RTP/AVP\r\n{}", medium("RTP/SAVP", &sdes())), CLEAR);
    }
}

mod keys {
    use super::*;

    fn check_key(attribute: &str, wanted: Told) {
        check(&medium("RTP/SAVP", attribute), wanted);
    }

    #[test]
    fn known_suites_with_a_whole_key_count() {
        let key = |chars: usize| format!("inline:{}", "A".repeat(chars));
        for (suite, chars) in [
            ("AES_CM_128_HMAC_SHA1_80", 40),
            ("AES_CM_128_HMAC_SHA1_32", 40),
            ("aes_cm_128_hmac_sha1_80", 40),
            ("F8_128_HMAC_SHA1_80", 40),
            ("AES_192_CM_HMAC_SHA1_80", 51),
            ("AES_256_CM_HMAC_SHA1_80", 62),
            ("AES_256_CM_HMAC_SHA1_32", 62),
            ("AES_CM_256_HMAC_SHA1_80", 62),
            ("AEAD_AES_128_GCM", 38),
            ("AEAD_AES_256_GCM", 59),
        ] {
            check_key(&crypto(suite, &key(chars)), Ok(()));
            check_key(&crypto(suite, &format!("{}|2^20|1:4", key(chars))), Ok(()));
            check_key(&crypto(suite, &key(chars - 1)), NO_KEY);
        }
        check_key(&crypto("AEAD_AES_128_GCM", &format!("{}==", key(38))), Ok(()));
        check_key(&crypto("AES_CM_128_HMAC_SHA1_80", &format!("{KEY};{KEY} KDR=1 WSH=64")), Ok(()));
    }

    #[test]
    fn null_and_unknown_suites_do_not_count() {
        for suite in ["NULL_HMAC_SHA1_80", "AES_CM_128_NULL_AUTH", "NULL_CIPHER_HMAC_SHA1_80", "ROT13_80", "AES_CM_128_HMAC_SHA1_8"] {
            check_key(&crypto(suite, KEY), NO_KEY);
        }
        check_key(&format!("{}{}", crypto("ROT13_80", KEY), sdes()), Ok(()));
    }

    #[test]
    fn what_is_no_key_does_not_count() {
        for params in
            ["inline:", "inline", "clear:x", "inline:short", &format!("{KEY};"), &format!("{KEY};other:x"), &KEY.replace('d', "*")]
        {
            check_key(&crypto("AES_CM_128_HMAC_SHA1_80", params), NO_KEY);
        }
        for attribute in
            ["a=crypto:\r\n", "a=crypto\r\n", "a=crypto:1\r\n", "a=crypto:x AES_CM_128_HMAC_SHA1_80 inline:A\r\n", "k=clear:secret\r\n"]
        {
            check_key(attribute, NO_KEY);
        }
        check_key("a=key-mgmt:mikey AQAFgM0XflABAAAAAAAAAAAAAAsAyO==\r\n", NO_KEY);
    }

    #[test]
    fn one_line_that_switches_protection_off_spoils_all() {
        for switch in ["UNENCRYPTED_SRTP", "UNENCRYPTED_SRTCP", "UNAUTHENTICATED_SRTP", "unencrypted_srtp", "KDR=1 UNENCRYPTED_SRTCP"] {
            let off = crypto("AES_CM_128_HMAC_SHA1_80", &format!("{KEY} {switch}"));
            check_key(&off, OFF);
            check_key(&format!("{}{off}", sdes()), OFF);
            check_key(&format!("{off}{}", sdes()), OFF);
        }
        check_key(&crypto("AES_CM_128_HMAC_SHA1_80", &format!("{KEY}\tUNENCRYPTED_SRTP")), OFF);
        check_key(&crypto("AES_CM_128_HMAC_SHA1_80", &format!("{KEY};UNENCRYPTED_SRTP")), OFF);
        let potential = format!("{}a=acap:1 crypto:1 AES_CM_128_HMAC_SHA1_80 {KEY} UNENCRYPTED_SRTP\r\n", sdes());
        check_key(&potential, OFF);
    }

    #[test]
    fn a_session_has_fingerprints_but_no_sdes_keys() {
        check(&format!("{}{}", sha256(), medium("RTP/SAVP", "")), Ok(()));
        check(&format!("{}{}{}", sha256(), medium("RTP/SAVP", ""), medium("UDP/TLS/RTP/SAVP", "")), Ok(()));
        check(&format!("{}{}", sdes(), medium("RTP/SAVP", "")), NO_KEY);
    }

    #[test]
    fn a_key_belongs_to_its_medium_alone() {
        check(&format!("{}{}", medium("RTP/SAVP", &sdes()), medium("RTP/SAVP", "")), NO_KEY);
        check(&format!("{}{}", medium("RTP/SAVP", ""), medium("RTP/SAVP", &sha256())), NO_KEY);
    }

    #[test]
    fn fingerprints_need_a_hash_that_holds() {
        for (hash, bytes) in [("sha-1", 20), ("SHA-1", 20), ("sha-224", 28), ("sha-256", 32), ("sha-384", 48), ("sha-512", 64)] {
            check_key(&fingerprint(hash, bytes), Ok(()));
            check_key(&fingerprint(hash, bytes - 1), NO_KEY);
        }
        check_key(&fingerprint("md5", 16), NO_KEY);
        check_key(&fingerprint("md2", 16), NO_KEY);
        check_key(&fingerprint("sha-0", 20), NO_KEY);
        check_key("a=fingerprint:sha-256\r\n", NO_KEY);
        check_key(&fingerprint("sha-1", 20).replace("4A", "4G"), NO_KEY);
    }
}

mod readers_that_differ {
    use super::*;

    fn refused(text: &str) {
        assert_eq!(sdp::check_description(text.as_bytes()), UNREADABLE, "{text:?}");
    }

    #[test]
    fn several_sessions_in_one_body() {
        refused(&format!("{SESSION}{}{SESSION}{}", medium("RTP/SAVP", &sdes()), medium("RTP/AVP", "")));
        refused(&format!("{SESSION}{SESSION}"));
    }

    #[test]
    fn a_session_begins_with_its_version() {
        refused(&format!("{}{SESSION}", medium("RTP/AVP", "")));
        refused(&medium("RTP/SAVP", &sdes()));
        refused(&SESSION.replace("v=0", "v=1"));
        refused(&format!("\u{feff}{SESSION}"));
    }

    #[test]
    fn lines_that_only_some_see() {
        let good = medium("RTP/SAVP", &sdes());
        for line in [
            " m=audio 4000 RTP/AVP 0",
            "M=audio 4000 RTP/AVP 0",
            "garbage",
            "m =audio 1 RTP/AVP 0",
            "\u{b}m=audio 1 RTP/AVP 0",
            "  ",
            "--x",
        ] {
            refused(&format!("{SESSION}{good}{line}\r\n"));
        }
        refused(&format!("{SESSION}{good}a=x\rm=audio 4000 RTP/AVP 0\r\n"));
        refused(&format!("{SESSION}{good}s=\0\r\n"));
        refused(&format!("{SESSION}{good}a=x\r\r\n"));
    }

    #[test]
    fn a_medium_is_named_with_a_port_and_a_protocol() {
        for line in [
            "m=",
            "m=audio",
            "m=audio 4000",
            "m=audio x RTP/SAVP 0",
            "m=audio -1 RTP/SAVP 0",
            "m=audio 65536 RTP/AVP 0",
            "m=audio 0x0 RTP/AVP 0",
        ] {
            refused(&format!("{SESSION}{line}\r\n"));
        }
        refused(&format!("{SESSION}m=audio 0/x RTP/AVP 0\r\n"));
        check("m=audio  4000\tRTP/AVP  0\r\n", CLEAR);
    }

    #[test]
    fn a_session_name_may_be_in_any_character_set() {
        let text = [b"v=0\r\ns=caf\xe9\r\n", medium("RTP/SAVP", &sdes()).as_bytes()].concat();
        assert_eq!(sdp::check_description(&text), Ok(()));
        let text = b"v=0\r\nm=audio 1 RTP/SAVP\xe9 0\r\n";
        assert_eq!(sdp::check_description(text), UNREADABLE);
    }

    #[test]
    fn size_is_bounded() {
        let lines = "a=x\r\n".repeat(sdp::DESCRIPTION_LINES_MAX);
        refused(&format!("{SESSION}{lines}"));
        refused(&format!("{SESSION}a={}\r\n", "x".repeat(sdp::DESCRIPTION_BYTES_MAX)));
    }
}

mod bodies {
    use super::*;
    use sip::Message;

    fn message(headers: &str, body: &str) -> Message {
        let text = format!("INVITE sip:b@h SIP/2.0\r\n{headers}\r\n{body}");
        Message::parse(text.into()).unwrap()
    }

    fn check_body(headers: &str, body: &str, wanted: Told) {
        assert_eq!(sdp::check(&message(headers, body)), wanted, "{headers}\n{body}");
    }

    fn good() -> String {
        format!("{SESSION}{}", medium("RTP/SAVP", &sdes()))
    }

    fn bad() -> String {
        format!("{SESSION}{}", medium("RTP/AVP", ""))
    }

    const SDP: &str = "Content-Type: application/sdp\r\n";
    const MIXED: &str = "Content-Type: multipart/mixed;boundary=x\r\n";

    fn part(labels: &str, body: &str) -> String {
        format!("--x\r\n{labels}\r\n{body}\r\n")
    }

    #[test]
    fn no_body_no_question() {
        check_body("", "", Ok(()));
        check_body(SDP, "", Ok(()));
        check_body("Content-Encoding: gzip\r\n", "", Ok(()));
    }

    #[test]
    fn the_type_is_read_in_every_spelling() {
        for label in [
            "Content-Type: application/sdp",
            "c: application/sdp",
            "CONTENT-TYPE : Application/SDP ; charset=\"utf-8\"",
            "C:\r\n application\r\n / sdp",
            "Content-Type: application/SDP;x",
            "Content-Type: text/sdp",
        ] {
            check_body(&format!("{label}\r\n"), &bad(), CLEAR);
            check_body(&format!("{label}\r\n"), &good(), Ok(()));
        }
    }

    #[test]
    fn a_description_is_known_by_its_looks() {
        check_body("", &bad(), CLEAR);
        check_body("", &format!("\r\n {}", bad()), UNREADABLE);
        check_body("", &good(), Ok(()));
        check_body("", "m=audio 4000 RTP/AVP 0\r\n", UNREADABLE);
        check_body("Content-Type: application/octet-stream\r\n", &bad(), CLEAR);
        check_body("", "hello", Ok(()));
    }

    #[test]
    fn people_may_write_about_it() {
        check_body("Content-Type: text/plain\r\n", &bad(), Ok(()));
        check_body("Content-Type: application/dtmf-relay\r\n", "Signal=5\r\n", Ok(()));
        check_body("Content-Type: message/cpim\r\n", "From: <sip:a@b>\r\n\r\nContent-Type: text/plain\r\n\r\nhello\r\n", Ok(()));
        check_body("Content-Type: message/sipfrag\r\n", "SIP/2.0 200 OK\r\n", Ok(()));
        check_body("Content-Type: text/plain\r\nContent-Encoding: gzip\r\n", "x", Ok(()));
    }

    #[test]
    fn two_types_or_none_that_can_be_read_is_refused() {
        check_body(&format!("{SDP}Content-Type: text/plain\r\n"), &bad(), UNREADABLE);
        check_body("Content-Type: text/plain\r\nc: application/sdp\r\n", &bad(), UNREADABLE);
        for label in
            ["Content-Type:\r\n", "Content-Type: sdp\r\n", "Content-Type: application/sdp, text/plain\r\n", "Content-Type: text/plain;\r\n"]
        {
            check_body(label, &bad(), UNREADABLE);
        }
    }

    #[test]
    fn what_is_packed_cannot_be_judged() {
        for coding in ["gzip", "identity, gzip", "GZIP", "x"] {
            check_body(&format!("{SDP}Content-Encoding: {coding}\r\n"), &good(), OPAQUE);
            check_body(&format!("{SDP}e: {coding}\r\n"), &good(), OPAQUE);
            check_body(&format!("{MIXED}Content-Encoding: {coding}\r\n"), "--x--\r\n", OPAQUE);
            check_body(&format!("Content-Encoding: {coding}\r\n"), "?", OPAQUE);
        }
        check_body(&format!("{SDP}Content-Encoding: identity\r\n"), &good(), Ok(()));
        for kind in [
            "application/pkcs7-mime;smime-type=enveloped-data",
            "application/x-pkcs7-mime",
            "Multipart/Encrypted;boundary=x",
            "message/partial",
        ] {
            check_body(&format!("Content-Type: {kind}\r\n"), "?", OPAQUE);
            check_body(MIXED, &format!("{}--x--\r\n", part(&format!("Content-Type: {kind}\r\n"), "?")), OPAQUE);
        }
    }

    #[test]
    fn every_part_is_judged() {
        let clear = part(SDP, &bad());
        let fine = part(SDP, &good());
        let text = part("Content-Type: text/plain\r\n", "hello");
        check_body(MIXED, &format!("{text}{fine}--x--\r\n"), Ok(()));
        check_body(MIXED, &format!("{fine}{text}{clear}--x--\r\n"), CLEAR);
        check_body(MIXED, &format!("{clear}{fine}--x--\r\n"), CLEAR);
        check_body(MIXED, &format!("{fine}{clear}"), CLEAR);
        check_body(MIXED, &format!("{fine}{clear}--x--\r\n").replace("\r\n", "\n"), CLEAR);
        check_body(&MIXED.replace("mixed", "alternative"), &format!("{fine}{clear}--x--\r\n"), CLEAR);
        check_body(MIXED, &format!("{}--x--\r\n", part("", &bad())), CLEAR);
        check_body(MIXED, &format!("--x\r\n{}\r\n--x--\r\n", bad()), CLEAR);
        check_body(MIXED, &format!("{}--x--\r\n", part("c: Application/SDP;a=b\r\n", &bad())), CLEAR);
        check_body(MIXED, &format!("{}--x--\r\n", part("content-type:\r\n application/sdp\r\n", &bad())), CLEAR);
    }

    #[test]
    fn a_part_cannot_hide_where_only_others_look() {
        check_body(MIXED, &format!("{}\r\n{}--x--\r\n", bad(), part(SDP, &good())), UNREADABLE);
        check_body(MIXED, &format!("{}--x--\r\n{}", part(SDP, &good()), bad()), UNREADABLE);
        check_body(MIXED, &format!("{}--x--\r\n{}", part(SDP, &good()), part(SDP, &bad())), UNREADABLE);
        check_body(MIXED, &format!("{}--x--\r\n", part("Content-Type: text/plain\r\n", &bad())), UNREADABLE);
        check_body(
            MIXED,
            &format!("{}--x--\r\n", part("Content-Type: text/plain\r\nContent-Type: application/sdp\r\n", &bad())),
            UNREADABLE,
        );
        check_body(MIXED, &bad(), UNREADABLE);
    }

    #[test]
    fn a_packed_part_cannot_be_judged() {
        for coding in ["base64", "quoted-printable", "Base64", "x"] {
            let labels = format!("{SDP}Content-Transfer-Encoding: {coding}\r\n");
            check_body(MIXED, &format!("{}--x--\r\n", part(&labels, "dj0wDQo=")), OPAQUE);
        }
        let plain = format!("{SDP}Content-Transfer-Encoding: Binary\r\n");
        check_body(MIXED, &format!("{}--x--\r\n", part(&plain, &good())), Ok(()));
        let text = "Content-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n";
        check_body(MIXED, &format!("{}--x--\r\n", part(text, "dj0wDQo=")), Ok(()));
    }

    #[test]
    fn boundaries_are_read_as_written() {
        let quoted = "Content-Type: multipart/mixed; boundary=\"a b:\\x\"\r\n";
        check_body(quoted, &format!("--a b:x\r\n{SDP}\r\n{}\r\n--a b:x--\r\n", bad()), CLEAR);
        check_body(MIXED, &format!("--x  \t\r\n{SDP}\r\n{}\r\n--x--\r\n", bad()), CLEAR);
        check_body("Content-Type: multipart/mixed\r\n", &part(SDP, &good()), UNREADABLE);
        check_body("Content-Type: multipart/mixed;boundary=\"\"\r\n", &part(SDP, &good()), UNREADABLE);
        check_body("Content-Type: multipart/mixed;boundary=x;boundary=y\r\n", &part(SDP, &good()), UNREADABLE);
        let long = format!("Content-Type: multipart/mixed;boundary={}\r\n", "x".repeat(71));
        check_body(&long, "", Ok(()));
        check_body(&long, "?", UNREADABLE);
    }

    /// Multipart in multipart, `depth` times, around a part.
    fn nested(depth: usize, inner: &str) -> (String, String) {
        (1..=depth).fold((SDP.to_owned(), inner.to_owned()), |(labels, body), level| {
            let body = format!("--b{level}\r\n{labels}\r\n{body}\r\n--b{level}--\r\n");
            (format!("Content-Type: multipart/mixed;boundary=b{level}\r\n"), body)
        })
    }

    #[test]
    fn nesting_is_followed_to_a_depth() {
        for depth in 1..=sdp::MULTIPART_DEPTH_MAX {
            let (labels, body) = nested(depth, &bad());
            check_body(&labels, &body, CLEAR);
            let (labels, body) = nested(depth, &good());
            check_body(&labels, &body, Ok(()));
        }
        let (labels, body) = nested(sdp::MULTIPART_DEPTH_MAX + 1, &good());
        check_body(&labels, &body, UNREADABLE);
    }

    #[test]
    fn parts_are_counted() {
        let text = part("Content-Type: text/plain\r\n", "hello");
        check_body(MIXED, &format!("{}--x--\r\n", text.repeat(sdp::PARTS_MAX - 1)), Ok(()));
        check_body(MIXED, &format!("{}--x--\r\n", text.repeat(sdp::PARTS_MAX)), UNREADABLE);
    }

    #[test]
    fn a_message_in_a_message_is_looked_into() {
        let inner = format!("INVITE sip:b@h SIP/2.0\r\nc: application/sdp\r\n\r\n{}", bad());
        check_body("Content-Type: message/sip\r\n", &inner, CLEAR);
        check_body(MIXED, &format!("{}--x--\r\n", part("Content-Type: message/sipfrag\r\n", &inner)), CLEAR);
    }
}
