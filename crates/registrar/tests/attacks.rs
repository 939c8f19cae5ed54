//! Password guessing in virtual time: the attacker gets little, the user is never locked out.
#![allow(clippy::unwrap_used)]

mod common;

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::{Duration, Instant},
};

use common::{DOMAIN, request, start, user};
use registrar::{Challenger, Credential, Denied, Directory, Flow, ThrottleLimits, respond};

const PASSWORD: &str = "correct horse";
const HOME: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 10));
const EVIL: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 66));

struct Scene {
    challenger: Challenger,
    directory: Directory,
    now: Instant,
}

impl Scene {
    fn new() -> Self {
        Self::within(ThrottleLimits::DEFAULT)
    }

    fn within(limits: ThrottleLimits) -> Self {
        let now = start();
        let mut directory = Directory::new();
        for name in ["alice", "mallory"] {
            directory.put(user(name), Credential::new(&user(name), DOMAIN, PASSWORD)).unwrap();
        }
        Self { challenger: Challenger::new(&[3; 32], DOMAIN, &[], limits, now), directory, now }
    }

    /// One try on a fresh nonce.
    fn attempt(&mut self, name: &str, password: &str, source: IpAddr) -> Result<(), Denied> {
        let bare = request("REGISTER", "alice", "alice", 1, &[]);
        let challenge = self.challenger.challenge(&bare, Flow(1), false, self.now);
        let value = respond(&challenge.values[0], name, password, "REGISTER", "sip:verbund.test", 1, "c").unwrap();
        let full = request("REGISTER", "alice", "alice", 2, &[&format!("Authorization: {value}")]);
        self.challenger.check(&full, &self.directory, Flow(1), source, self.now).map(drop)
    }

    /// Whether a wrong guess was looked at.
    fn guess(&mut self, name: &str, source: IpAddr) -> bool {
        match self.attempt(name, "guess", source) {
            Err(Denied::Wrong) => true,
            Err(Denied::Throttled { retry_after }) => {
                assert!(retry_after >= Duration::from_secs(1) && retry_after <= Duration::from_secs(3600), "{retry_after:?}");
                false
            }
            other => panic!("{other:?}"),
        }
    }

    fn signs_in(&mut self, name: &str, source: IpAddr) -> bool {
        self.attempt(name, PASSWORD, source).is_ok()
    }

    fn wait(&mut self, secs: u64) {
        self.now += Duration::from_secs(secs);
    }
}

fn v4(n: u32) -> IpAddr {
    Ipv4Addr::from_bits(0x0a00_0000 + n).into()
}

#[test]
fn a_machine_that_tries_many_words_is_slowed_down() {
    let mut scene = Scene::new();
    let looked_at = (0..24 * 360).filter(|_| {
        scene.wait(10);
        scene.guess("alice", EVIL)
    });
    let looked_at = looked_at.count();
    assert!((2_000..=24 * 120 + 40).contains(&looked_at), "one user, one day, one source: {looked_at}");
}

#[test]
fn a_machine_that_tries_many_names_is_slowed_down() {
    let mut scene = Scene::new();
    let looked_at = (0..3600).filter(|n| {
        scene.wait(1);
        scene.guess(&format!("user{n}"), EVIL)
    });
    assert!(looked_at.count() <= 600 + 20);
}

#[test]
fn after_waiting_as_told_the_next_try_is_looked_at() {
    let mut scene = Scene::new();
    while scene.guess("alice", EVIL) {}
    let Err(Denied::Throttled { retry_after }) = scene.attempt("alice", "guess", EVIL) else { panic!() };
    scene.now += retry_after - Duration::from_secs(1);
    assert!(!scene.guess("alice", EVIL));
    scene.wait(1);
    assert!(scene.guess("alice", EVIL));
    assert!(!scene.guess("alice", EVIL));
}

#[test]
fn a_throttled_source_is_not_believed_even_with_the_right_password() {
    let mut scene = Scene::new();
    while scene.guess("alice", EVIL) {}
    assert!(!scene.signs_in("alice", EVIL), "or the answer would tell the right guess from the wrong ones");
}

#[test]
fn many_machines_that_try_one_name_are_slowed_down_together() {
    let mut scene = Scene::new();
    let mut looked_at = 0;
    for round in 0..600 {
        scene.wait(1);
        for machine in 0..20 {
            looked_at += u32::from(scene.guess("alice", v4(machine)));
        }
        assert!(looked_at <= 20 + 20 + round / 30 + 1, "20 at once, one for each machine, then one in 30 s: {looked_at}");
    }
}

#[test]
fn a_user_is_not_locked_out_where_they_signed_in_before() {
    let mut scene = Scene::new();
    assert!(scene.signs_in("alice", HOME));
    for round in 0..60 {
        scene.wait(3600);
        for machine in 0..50 {
            scene.guess("alice", v4(round * 50 + machine));
        }
        assert!(scene.signs_in("alice", HOME));
    }
}

#[test]
fn a_user_is_not_locked_out_behind_an_address_they_share_with_the_attacker() {
    let mut scene = Scene::new();
    assert!(scene.signs_in("alice", HOME));
    for n in 0..100 {
        scene.guess(&format!("user{n}"), HOME);
    }
    assert!(!scene.guess("bob", HOME), "the source is out of guesses");
    assert!(scene.signs_in("alice", HOME));
}

#[test]
fn a_user_is_not_locked_out_at_a_new_place() {
    let mut scene = Scene::new();
    for machine in 0..1000 {
        scene.guess("alice", v4(machine));
    }
    assert!(scene.signs_in("alice", HOME), "a source without a wrong guess has one try");
}

#[test]
fn an_hour_after_many_mistakes_a_source_has_its_first_try_again() {
    let mut scene = Scene::new();
    for n in 0..20 {
        assert!(scene.guess(&format!("user{n}"), HOME));
    }
    scene.wait(3600);
    for machine in 0..100 {
        scene.guess("alice", v4(machine));
    }
    assert!(scene.signs_in("alice", HOME), "debts have an upper end");
}

#[test]
fn where_a_user_signed_in_guesses_are_counted_too() {
    let mut scene = Scene::new();
    assert!(scene.signs_in("alice", HOME));
    let looked_at = (0..1000).filter(|_| scene.guess("alice", HOME)).count();
    assert_eq!(looked_at, 10);
}

#[test]
fn success_with_an_account_of_ones_own_does_not_wash_a_source_clean() {
    let mut scene = Scene::new();
    assert!(scene.signs_in("mallory", EVIL));
    let mut looked_at = 0;
    for _ in 0..500 {
        assert!(scene.signs_in("mallory", EVIL));
        looked_at += u32::from(scene.guess("alice", EVIL));
    }
    assert_eq!(looked_at, 20);
}

#[test]
fn a_new_password_forgets_where_the_old_one_was_used() {
    let mut scene = Scene::new();
    assert!(scene.signs_in("alice", EVIL));
    scene.challenger.forget(&user("alice"));
    let looked_at = (0..100).filter(|_| scene.guess("alice", EVIL)).count();
    assert_eq!(looked_at, 20, "as any stranger");
}

#[test]
fn junk_does_not_push_a_guesser_out_of_the_tables() {
    let mut scene = Scene::within(ThrottleLimits { rows_max: 100, ..ThrottleLimits::DEFAULT });
    while scene.guess("alice", EVIL) {}
    for n in 0..2_000 {
        scene.guess(&format!("junk{n}"), v4(n));
    }
    assert!(!scene.guess("alice", EVIL), "who owes least is forgotten first");
}

#[test]
fn the_tables_are_bounded_and_still_count_when_full() {
    let mut scene = Scene::within(ThrottleLimits { rows_max: 4, ..ThrottleLimits::DEFAULT });
    for n in 0..8 {
        for _ in 0..30 {
            scene.guess(&format!("user{n}"), v4(n));
        }
    }
    let looked_at = (0..100).filter(|_| scene.guess("alice", EVIL)).count();
    assert_eq!(looked_at, 20);
}

#[test]
fn names_that_do_not_exist_are_throttled_like_those_that_do() {
    let told = |name: &str| {
        let mut scene = Scene::new();
        (0..60).map(|n| scene.attempt(name, "guess", v4(n % 2))).collect::<Vec<_>>()
    };
    assert_eq!(told("alice"), told("nobody"));
}

#[test]
fn an_ipv6_network_is_one_source() {
    let mut scene = Scene::new();
    let address = |network: u64, host: u64| IpAddr::V6(Ipv6Addr::from_bits(u128::from(network) << 64 | u128::from(host)));
    let looked_at = (0..500).filter(|n| scene.guess(&format!("user{n}"), address(0x2001_0db8_0000_0001, *n))).count();
    assert_eq!(looked_at, 20);
    assert!(scene.guess("carol", address(0x2001_0db8_0000_0002, 1)));
    let mapped = (0..500).filter(|n| scene.guess(&format!("user{n}"), format!("::ffff:203.0.113.{}", n % 250).parse().unwrap())).count();
    assert!(mapped > 250, "a mapped IPv4 address is that address: {mapped}");
}

#[test]
fn guesses_on_nonces_that_are_no_good_count() {
    let mut scene = Scene::new();
    let junk = "Digest realm=\"verbund.test\", nonce=\"junk\", algorithm=MD5, qop=\"auth\"";
    let mut looked_at = 0;
    for n in 0..100 {
        let value = respond(junk, "alice", &format!("guess{n}"), "REGISTER", "sip:verbund.test", 1, "c").unwrap();
        let full = request("REGISTER", "alice", "alice", 2, &[&format!("Authorization: {value}")]);
        let verdict = scene.challenger.check(&full, &scene.directory, Flow(1), EVIL, scene.now);
        looked_at += u32::from(verdict == Err(Denied::Wrong));
    }
    assert_eq!(looked_at, 20);
}
