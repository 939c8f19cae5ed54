//! What holds whatever happens: the registrar against a list that remembers everything.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::{DOMAIN, request, start, user};
use proptest::prelude::*;
use registrar::{Flow, Limits, Registrar};

const USERS: [&str; 3] = ["alice", "bob", "carol"];

#[derive(Clone, Debug)]
enum Step {
    Register { user: usize, contact: u8, flow: u64, expires: u32, outbound: bool },
    Star { user: usize },
    DropFlow(u64),
    DropUser(usize),
    Wait { secs: u64, clean: bool },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let register = (0usize..3, 0u8..6, 0u64..5, prop_oneof![Just(0u32), 60u32..4000], any::<bool>())
        .prop_map(|(user, contact, flow, expires, outbound)| Step::Register { user, contact, flow, expires, outbound });
    let step = prop_oneof![
        6 => register,
        1 => (0usize..3).prop_map(|user| Step::Star { user }),
        1 => (0u64..5).prop_map(Step::DropFlow),
        1 => (0usize..3).prop_map(Step::DropUser),
        2 => (1u64..2000, any::<bool>()).prop_map(|(secs, clean)| Step::Wait { secs, clean }),
    ];
    prop::collection::vec(step, 1..80)
}

/// What a simple reading of the standard keeps: user, key, flow, second of expiry.
type Row = (usize, (u8, bool), u64, u64);

proptest! {
    #[test]
    fn the_registrar_agrees_with_a_plain_list(steps in steps()) {
        let begin = start();
        let limits = Limits { bindings_per_user_max: 5, ..Limits::DEFAULT };
        let mut registrar = Registrar::new(DOMAIN, limits);
        let mut model: Vec<Row> = Vec::new();
        let mut clock = 0;
        for (cseq, step) in (1u32..).zip(steps) {
            let now = begin + Duration::from_secs(clock);
            match step {
                Step::Register { user: who, contact, flow, expires, outbound } => {
                    // Outbound and plain contacts have URIs of their own, so removal by URI does not cross over.
                    let reg = if outbound { format!(";reg-id={};+sip.instance=\"<urn:x:1>\"", contact + 1) } else { String::new() };
                    let line = format!("Contact: <sip:c{contact}{outbound}@192.0.2.4>{reg};expires={expires}");
                    let message = request("REGISTER", USERS[who], USERS[who], cseq, &["Supported: outbound", &line]);
                    let result = registrar.register(&message, &user(USERS[who]), Flow(flow), now);
                    model.retain(|row| row.3 > clock);
                    let key = (contact, outbound);
                    let known = model.iter().any(|row| row.0 == who && row.1 == key);
                    let full = model.iter().filter(|row| row.0 == who).count() == 5 && !known && expires > 0;
                    prop_assert_eq!(result.is_err(), full);
                    if !full {
                        model.retain(|row| !(row.0 == who && row.1 == key));
                        if expires > 0 {
                            model.push((who, key, flow, clock + u64::from(expires.min(3600))));
                        }
                    }
                }
                Step::Star { user: who } => {
                    let message = request("REGISTER", USERS[who], USERS[who], cseq, &["Contact: *", "Expires: 0"]);
                    registrar.register(&message, &user(USERS[who]), Flow(9), now).unwrap();
                    model.retain(|row| row.0 != who);
                }
                Step::DropFlow(flow) => {
                    registrar.drop_flow(Flow(flow));
                    model.retain(|row| row.2 != flow);
                    for name in USERS {
                        prop_assert!(registrar.targets(&user(name), None, now).iter().all(|target| target.flow != Flow(flow)));
                    }
                }
                Step::DropUser(who) => {
                    registrar.drop_user(&user(USERS[who]));
                    model.retain(|row| row.0 != who);
                    prop_assert!(registrar.targets(&user(USERS[who]), None, now).is_empty());
                }
                Step::Wait { secs, clean } => {
                    clock += secs;
                    if clean {
                        registrar.handle_timeout(begin + Duration::from_secs(clock));
                    }
                }
            }
            let now = begin + Duration::from_secs(clock);
            let mut expected: Vec<(usize, u64, u64)> =
                model.iter().filter(|row| row.3 > clock).map(|row| (row.0, row.2, row.3 - clock)).collect();
            let rows = registrar.registrations(now);
            let aor = |name: &str| format!("sip:{name}@{DOMAIN}");
            let mut found: Vec<(usize, u64, u64)> = rows
                .iter()
                .map(|row| (USERS.iter().position(|name| aor(name) == row.aor).unwrap(), row.flow.0, row.expires_in.as_secs()))
                .collect();
            expected.sort_unstable();
            found.sort_unstable();
            prop_assert_eq!(&found, &expected);
            prop_assert!(registrar.len() >= found.len() && registrar.len() <= 15);
            // Nothing runs out before the registrar asks to be woken.
            let next = expected.iter().map(|row| row.2).min();
            prop_assert!(next.is_none_or(|secs| registrar.poll_timeout().is_some_and(|at| at <= now + Duration::from_secs(secs))));
        }
        // In the end everything can be cleaned away, and the indexes with it.
        registrar.handle_timeout(begin + Duration::from_secs(clock + 3600));
        prop_assert!(registrar.is_empty());
        prop_assert_eq!(registrar.poll_timeout(), None);
        for flow in 0..10 {
            prop_assert_eq!(registrar.drop_flow(Flow(flow)), 0);
        }
    }

    /// Whatever stands in a Contact: it is refused, or it comes back in a line that reads as one Contact.
    #[test]
    fn no_contact_breaks_the_answer(contact in "[ -~]{0,40}|<sip:[ -~]{0,40}>[;=a-z\"<>:.]{0,20}") {
        let mut registrar = Registrar::new(DOMAIN, Limits::DEFAULT);
        let message = request("REGISTER", "alice", "alice", 1, &["Supported: gruu, outbound", &format!("Contact: {contact}")]);
        let alice = user("alice");
        if let Ok(registered) = registrar.register(&message, &alice, Flow(1), start()) {
            let targets = registrar.targets(&alice, None, start());
            prop_assert_eq!(registered.contacts.len(), targets.len());
            for value in &registered.contacts {
                prop_assert!(sip::NameAddr::parse(value).is_some_and(|contact| contact.params.has("expires")), "{}", value);
            }
            for target in targets {
                let uri = sip::Uri::parse(&target.uri);
                prop_assert!(uri.is_some_and(|uri| uri.headers.is_none() && !uri.params.has("method")), "{}", target.uri);
            }
        }
    }

    #[test]
    fn no_authorization_makes_the_challenger_panic_or_believe(text in "(Digest )?([ -~]|realm=\"verbund\\.test\"|, |nc=00000001|qop=auth|username=\"alice\"){0,30}") {
        let now = start();
        let mut challenger = registrar::Challenger::new(&[1; 32], DOMAIN, &[], registrar::ThrottleLimits::DEFAULT, now);
        let mut directory = registrar::Directory::new();
        directory.put(user("alice"), registrar::Credential::new(&user("alice"), DOMAIN, "x")).unwrap();
        let message = request("REGISTER", "alice", "alice", 1, &[&format!("Authorization: {text}")]);
        prop_assert!(challenger.check(&message, &directory, Flow(1), "192.0.2.1".parse().unwrap(), now).is_err());
    }
}
