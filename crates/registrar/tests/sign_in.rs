//! Digest sign-in: each yes with its no.
#![allow(clippy::unwrap_used)]

mod common;

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use common::{DOMAIN, request, start, user};
use registrar::{Challenger, Credential, Denied, Directory, Flow, NONCE_LIFETIME, ThrottleLimits, UserName, respond};
use sip::{Message, Name, Status};

const FLOW: Flow = Flow(7);
const PASSWORD: &str = "correct horse";

struct Door {
    challenger: Challenger,
    directory: Directory,
    now: Instant,
    source: IpAddr,
}

impl Door {
    fn new() -> Self {
        let now = start();
        let mut directory = Directory::new();
        for name in ["alice", "bob"] {
            directory.put(user(name), Credential::new(&user(name), DOMAIN, PASSWORD)).unwrap();
        }
        let names = ["sip.verbund.test", "192.0.2.1", "[2001:db8::1]"];
        let challenger = Challenger::new(&[3; 32], DOMAIN, &names, ThrottleLimits::DEFAULT, now);
        Self { challenger, directory, now, source: "198.51.100.7".parse().unwrap() }
    }

    /// The challenge values for a REGISTER on a flow: SHA-256, MD5.
    fn challenge(&mut self, flow: Flow) -> [String; 2] {
        let asked = request("REGISTER", "alice", "alice", 1, &["Supported: path"]);
        self.challenger.challenge(&asked, flow, false, self.now).values.try_into().unwrap()
    }

    fn check(&mut self, request: &Message, flow: Flow) -> Result<UserName, Denied> {
        self.challenger.check(request, &self.directory, flow, self.source, self.now)
    }

    /// A REGISTER with this Authorization value.
    fn register(&mut self, authorization: &str) -> Result<UserName, Denied> {
        self.check(&request("REGISTER", "alice", "alice", 2, &[&format!("Authorization: {authorization}")]), FLOW)
    }

    /// Challenge and right answer, then `change` it.
    fn changed(change: impl FnOnce(String) -> String) -> Result<UserName, Denied> {
        let mut door = Self::new();
        let challenge = door.challenge(FLOW);
        let answer = change(answer(&challenge[0], "alice", PASSWORD, 1));
        door.register(&answer)
    }
}

fn answer(challenge: &str, name: &str, password: &str, count: u32) -> String {
    respond(challenge, name, password, "REGISTER", "sip:verbund.test", count, "f00").unwrap()
}

#[test]
fn the_right_password_signs_in_with_either_algorithm() {
    for at in [0, 1] {
        let mut door = Door::new();
        let challenge = door.challenge(FLOW);
        let answer = answer(&challenge[at], "alice", PASSWORD, 1);
        assert_eq!(door.register(&answer), Ok(user("alice")));
        assert_eq!(door.challenger.counters().accepted, 1);
    }
}

#[test]
fn without_an_algorithm_it_is_md5() {
    let mut door = Door::new();
    let challenge = door.challenge(FLOW);
    let answer = answer(&challenge[1], "alice", PASSWORD, 1).replace(" algorithm=MD5,", "");
    assert_eq!(door.register(&answer), Ok(user("alice")));
}

#[test]
fn phones_may_quote_and_order_as_they_like() {
    let ok = |change: &dyn Fn(String) -> String| assert_eq!(Door::changed(change), Ok(user("alice")));
    ok(&|a| a.replace("qop=auth", "qop=\"auth\""));
    ok(&|a| a.replace("algorithm=SHA-256", "algorithm=\"sha-256\""));
    ok(&|a| a.replace("Digest ", "digest  ").replace(", ", " ,\r\n  "));
    ok(&|a| a + ", opaque=\"\", extra=\"a, \\\" b\"");
    ok(&|a| a + ", userhash=false");
    ok(&|a| format!("Digest {}, {}", a.rsplit_once(", ").unwrap().1, a.rsplit_once(", ").unwrap().0.trim_start_matches("Digest ")));
}

#[test]
fn the_challenge_fits_the_method() {
    let mut door = Door::new();
    let mut ask =
        |method: &str, lines: &[&str]| door.challenger.challenge(&request(method, "alice", "bob", 1, lines), FLOW, false, door.now);
    let register = ask("REGISTER", &["Supported: path"]);
    assert_eq!((register.status, register.name), (Status::UNAUTHORIZED, Name::WwwAuthenticate));
    let invite = ask("INVITE", &["Supported: path"]);
    assert_eq!((invite.status, invite.name), (Status::PROXY_AUTHENTICATION_REQUIRED, Name::ProxyAuthenticate));
    assert_ne!(register.values, invite.values, "no nonce is made twice");
    let are_md5 = |values: &[String]| values.iter().map(|value| value.contains("algorithm=MD5")).collect::<Vec<_>>();
    assert_eq!(are_md5(&register.values), [false, true]);
    assert_eq!(are_md5(&ask("REGISTER", &[]).values), [true, false], "old tools read the first one only");
    assert_eq!(are_md5(&ask("REGISTER", &["User-Agent: old phone"]).values), [true], "old phones give up on any other");
    for value in &register.values {
        assert!(value.starts_with("Digest realm=\"verbund.test\", nonce=\"") && value.contains("qop=\"auth\""), "{value}");
        assert!(!value.contains("stale"));
    }
    let nonce = |value: &str| value.split('"').nth(3).unwrap().to_owned();
    assert_eq!(nonce(&register.values[0]), nonce(&register.values[1]));
    assert!(
        door.challenger.challenge(&request("INVITE", "alice", "bob", 1, &[]), FLOW, true, door.now).values[0].ends_with(", stale=true")
    );
}

#[test]
fn each_method_has_its_own_header() {
    let mut door = Door::new();
    let challenge = door.challenge(FLOW);
    let value = respond(&challenge[0], "alice", PASSWORD, "INVITE", "sip:bob@verbund.test", 1, "f00").unwrap();
    let invite = |name: &str| request("INVITE", "alice", "bob", 2, &[&format!("{name}: {value}")]);
    assert_eq!(door.check(&invite("Authorization"), FLOW), Err(Denied::NoCredentials));
    assert_eq!(door.check(&invite("Proxy-Authorization"), FLOW), Ok(user("alice")));
}

#[test]
fn a_response_is_good_for_its_method_only() {
    let mut door = Door::new();
    let challenge = door.challenge(FLOW);
    let value = respond(&challenge[0], "alice", PASSWORD, "MESSAGE", "sip:bob@verbund.test", 1, "f00").unwrap();
    let invite = request("INVITE", "alice", "bob", 2, &[&format!("Proxy-Authorization: {value}")]);
    assert_eq!(door.check(&invite, FLOW), Err(Denied::Wrong));
}

#[test]
fn credentials_for_others_are_no_credentials() {
    let mut door = Door::new();
    for value in ["NoOneKnowsThisScheme opaque-data=here", "Basic YWxpY2U6c2VjcmV0", "Digest realm=\"other.test\", username=\"alice\"", "x"]
    {
        assert_eq!(door.register(value), Err(Denied::NoCredentials), "{value}");
    }
    assert_eq!(door.check(&request("REGISTER", "alice", "alice", 1, &[]), FLOW), Err(Denied::NoCredentials));
    let challenge = door.challenge(FLOW);
    let ours = format!("Authorization: {}", answer(&challenge[0], "alice", PASSWORD, 1));
    let both =
        request("REGISTER", "alice", "alice", 1, &["Authorization: Basic eDp5", "Authorization: Digest realm=\"other.test\"", &ours]);
    assert_eq!(door.check(&both, FLOW), Ok(user("alice")));
}

#[test]
fn what_was_not_offered_is_malformed() {
    let malformed = |name: &str, change: &dyn Fn(String) -> String| {
        assert!(matches!(Door::changed(change), Err(Denied::Malformed(_))), "{name}");
    };
    malformed("MD5-sess", &|a| a.replace("algorithm=SHA-256", "algorithm=MD5-sess"));
    malformed("SHA-512-256", &|a| a.replace("algorithm=SHA-256", "algorithm=SHA-512-256"));
    malformed("no qop (RFC 2069)", &|a| a.replace(" qop=auth,", ""));
    malformed("qop=auth-int", &|a| a.replace("qop=auth", "qop=auth-int"));
    malformed("userhash", &|a| a + ", userhash=true");
    malformed("username*", &|a| a.replace("username=\"alice\"", "username*=UTF-8''alice"));
    malformed("both usernames", &|a| a + ", username*=UTF-8''bob");
}

#[test]
fn what_is_broken_is_malformed() {
    for part in ["username=\"alice\", ", "realm=\"verbund.test\", ", "uri=\"sip:verbund.test\", ", "nc=00000001, ", ", cnonce=\"f00\""] {
        let verdict = Door::changed(|a| a.replace(part, ""));
        assert!(matches!(verdict, Err(Denied::Malformed(_))), "without {part}: {verdict:?}");
    }
    let mut cases: Vec<Box<dyn Fn(String) -> String>> = Vec::new();
    for nc in ["1", "0000001", "000000001", "0000000g", "00000000", "+0000001", "\"\""] {
        cases.push(Box::new(move |a| a.replace("nc=00000001", &format!("nc={nc}"))));
    }
    cases.push(Box::new(|a| a + ", username=\"bob\""));
    cases.push(Box::new(|a| a + ", uri=\"sip:verbund.test\""));
    cases.push(Box::new(|a| a + " , ,"));
    cases.push(Box::new(|a| a + ", x"));
    cases.push(Box::new(|a| a + ", x=\"open"));
    cases.push(Box::new(|a| a.replace("username=\"alice\"", "username=\"alice\"x")));
    cases.push(Box::new(|a| a.replace("username=\"alice\"", "username=\"\"")));
    cases.push(Box::new(|_| "Digest".to_owned()));
    for (at, case) in cases.into_iter().enumerate() {
        let verdict = Door::changed(case);
        assert!(matches!(verdict, Err(Denied::Malformed(_))), "case {at}: {verdict:?}");
    }
}

#[test]
fn the_uri_of_a_digest_names_this_server() {
    let with = |uri: &str, source: &str| {
        let mut door = Door::new();
        door.source = source.parse().unwrap();
        let challenge = door.challenge(FLOW);
        let answer = respond(&challenge[0], "alice", PASSWORD, "REGISTER", uri, 1, "f00").unwrap();
        door.register(&answer)
    };
    let (far, near) = ("198.51.100.7", "127.0.0.1");
    for uri in
        ["sip:verbund.test", "sips:VERBUND.test", "sip:sip.verbund.test:5061;transport=tls", "sip:bob@verbund.test", "sip:192.0.2.1:5061"]
    {
        assert_eq!(with(uri, far), Ok(user("alice")), "{uri}");
    }
    assert_eq!(with("sip:[2001:db8::1]:5061", far), Ok(user("alice")));
    assert_eq!(with("sip:127.0.0.1:40000", near), Ok(user("alice")), "through a TLS helper on this machine");
    for uri in [
        "sip:evil.example",
        "sip:verbund.test.evil.example",
        "sip:verbund.test@evil.example",
        "sip:192.0.2.2",
        "verbund.test",
        "http://verbund.test/",
        "*",
        "",
    ] {
        assert!(matches!(with(uri, far), Err(Denied::Malformed(_))), "{uri}");
    }
    assert!(matches!(with("sip:127.0.0.1:40000", far), Err(Denied::Malformed(_))));
}

#[test]
fn a_wrong_password_and_an_unknown_user_are_the_same() {
    let denied = |name: &str, password: &str| {
        let mut door = Door::new();
        let challenge = door.challenge(FLOW);
        door.register(&answer(&challenge[0], name, password, 1))
    };
    assert_eq!(denied("alice", "guess"), Err(Denied::Wrong));
    for stranger in ["nobody", "alice@verbund.test", "sip:alice@verbund.test", "ALICE", "al%69ce", "a b", "💥"] {
        assert_eq!(denied(stranger, PASSWORD), Err(Denied::Wrong), "{stranger}");
    }
    assert_eq!(denied("bob", PASSWORD), Ok(user("bob")));
    assert_eq!(denied("nobody", ""), Err(Denied::Wrong));
}

#[test]
fn a_nonce_is_good_on_its_own_flow_only() {
    let mut door = Door::new();
    let challenge = door.challenge(Flow(8));
    let right = answer(&challenge[0], "alice", PASSWORD, 1);
    assert_eq!(door.register(&right), Err(Denied::Stale));
    let wrong = answer(&challenge[0], "alice", "guess", 1);
    assert_eq!(door.register(&wrong), Err(Denied::Wrong), "only who knows the password hears that the nonce is stale");
}

#[test]
fn a_nonce_of_an_attackers_making_is_stale() {
    let mut door = Door::new();
    let challenge = door.challenge(FLOW);
    let nonce = challenge[0].split('"').nth(3).unwrap();
    for forged in ["", "x", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", &nonce[1..], &format!("{nonce}=")] {
        let answer = answer(&challenge[0].replace(nonce, forged), "alice", PASSWORD, 1);
        assert_eq!(door.register(&answer), Err(Denied::Stale), "{forged}");
    }
}

#[test]
fn a_nonce_lives_five_minutes() {
    let mut door = Door::new();
    let challenge = door.challenge(FLOW);
    door.now += NONCE_LIFETIME;
    assert_eq!(door.register(&answer(&challenge[0], "alice", PASSWORD, 1)), Ok(user("alice")));
    door.now += Duration::from_secs(1);
    assert_eq!(door.register(&answer(&challenge[0], "alice", PASSWORD, 2)), Err(Denied::Stale));
}

#[test]
fn a_nonce_that_was_never_used_grows_old_all_the_same() {
    let mut door = Door::new();
    let challenge = door.challenge(FLOW);
    door.now += NONCE_LIFETIME + Duration::from_secs(1);
    assert_eq!(door.register(&answer(&challenge[0], "alice", PASSWORD, 1)), Err(Denied::Stale));
}

#[test]
fn a_restart_makes_every_nonce_stale() {
    let mut door = Door::new();
    let challenge = door.challenge(FLOW);
    door.challenger = Challenger::new(&[4; 32], DOMAIN, &[], ThrottleLimits::DEFAULT, door.now);
    assert_eq!(door.register(&answer(&challenge[0], "alice", PASSWORD, 1)), Err(Denied::Stale));
}

#[test]
fn a_replayed_request_is_stale_and_pipelined_ones_are_not() {
    let mut door = Door::new();
    let challenge = door.challenge(FLOW);
    let mut send = |count| door.register(&answer(&challenge[0], "alice", PASSWORD, count)).is_ok();
    assert!(send(1) && send(3) && send(2));
    assert!(!send(1) && !send(2) && !send(3));
    assert!(send(4));
    assert_eq!(door.challenger.counters().stale, 3);
}

#[test]
fn users_that_share_a_connection_share_nothing_else() {
    let mut door = Door::new();
    let challenge = door.challenge(FLOW);
    let bob = request("REGISTER", "bob", "bob", 2, &[&format!("Authorization: {}", answer(&door.challenge(FLOW)[0], "bob", PASSWORD, 1))]);
    assert_eq!(door.register(&answer(&challenge[0], "alice", PASSWORD, 1)), Ok(user("alice")));
    assert_eq!(door.check(&bob, FLOW), Ok(user("bob")));
}

#[test]
fn a_removed_user_and_an_old_password_are_refused() {
    let mut door = Door::new();
    let challenge = door.challenge(FLOW);
    assert!(door.directory.remove(&user("bob")));
    assert_eq!(door.register(&answer(&challenge[0], "bob", PASSWORD, 1)), Err(Denied::Wrong));
    door.directory.put(user("alice"), Credential::new(&user("alice"), DOMAIN, "new")).unwrap();
    assert_eq!(door.register(&answer(&challenge[0], "alice", PASSWORD, 1)), Err(Denied::Wrong));
    assert_eq!(door.register(&answer(&challenge[0], "alice", "new", 1)), Ok(user("alice")));
}

#[test]
fn an_empty_directory_is_nobody() {
    let mut door = Door::new();
    door.directory = Directory::new();
    let challenge = door.challenge(FLOW);
    assert_eq!(door.register(&answer(&challenge[0], "alice", PASSWORD, 1)), Err(Denied::Wrong));
}

#[test]
fn the_response_is_the_one_of_rfc_7616() {
    // §3.9.1: the same numbers, with the request of the standard in place of ours.
    let challenge = |algorithm: &str| {
        format!(
            "Digest realm=\"http-auth@example.org\", qop=\"auth\", algorithm={algorithm}, nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\""
        )
    };
    let cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
    let of = |algorithm: &str| respond(&challenge(algorithm), "Mufasa", "Circle of Life", "GET", "/dir/index.html", 1, cnonce).unwrap();
    assert!(of("MD5").contains("response=\"8ca523f5e9506fed4657c9700eebdbec\""));
    assert!(of("SHA-256").contains("response=\"753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1\""));
}
