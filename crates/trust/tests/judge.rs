//! The one question, without a network: each yes has its no.
#![allow(clippy::unwrap_used)]

mod world;

use std::time::Duration;

use pki::{CertificateDer, Key, Rejection, ServerNames, SipUser};
use topology::{Role, Topology};
use trust::{Contact, Decision, Listener, Peer, Policy, Records, Refusal, judge};
use world::*;

fn contact(listener: Listener) -> Contact {
    Contact { listener, source: source(), sni: None, tls: None }
}

fn ask(world: &World, listener: Listener, chain: &[CertificateDer<'_>]) -> Decision {
    judge(&world.policy.current(), contact(listener), chain, now())
}

/// What becomes of a certificate of our CA with these names on a server port; `None` shows nothing.
fn check(names: Option<&[&str]>, expected: Result<&str, &str>) {
    let world = World::new();
    let chain = names.map_or_else(Vec::new, |names| {
        let names = ServerNames { server: fqdn(names[0]), aliases: names[1..].iter().map(|name| fqdn(name)).collect(), domains: vec![] };
        world.authority.issue_server(&names, &Key::generate().unwrap().public(), now()).unwrap().chain
    });
    let found = match ask(&world, Listener::Servers, &chain).verdict {
        Ok(Peer::TrustedServer { name, .. }) => Ok(name.to_string()),
        Ok(Peer::Client { .. }) => panic!("a client on a server port"),
        Err(refusal) => Err(refusal.label().to_owned()),
    };
    assert_eq!(found.as_deref().map_err(String::as_str), expected, "{names:?}");
}

#[test]
fn a_server_in_the_topology_is_trusted() {
    check(Some(&["fe1.contoso.example"]), Ok("fe1.contoso.example"));
    check(Some(&["FE2.Contoso.Example"]), Ok("fe2.contoso.example"));
}

#[test]
fn n11_mutual_means_both() {
    check(None, Err("no_certificate"));
}

#[test]
fn n1_a_certificate_of_our_ca_is_not_enough() {
    check(Some(&["fe9.contoso.example"]), Err("not_in_topology"));
}

#[test]
fn a_pool_is_no_server_and_a_domain_is_none_either() {
    check(Some(&["pool.contoso.example"]), Err("not_in_topology"));
    check(Some(&["contoso.example"]), Err("not_in_topology"));
}

#[test]
fn every_name_of_a_certificate_is_looked_at() {
    check(Some(&["web.contoso.example", "pool.contoso.example", "fe2.contoso.example"]), Ok("fe2.contoso.example"));
}

#[test]
fn one_certificate_is_one_server() {
    check(Some(&["fe1.contoso.example", "fe2.contoso.example"]), Err("several_servers"));
}

#[test]
fn a_trusted_server_has_the_roles_of_the_topology() {
    let world = World::new();
    match ask(&world, Listener::Servers, &server(&world.authority, "fe2.contoso.example").chain).verdict {
        Ok(Peer::TrustedServer { roles, certificate, .. }) => {
            assert_eq!(roles, [Role::FrontEnd]);
            assert!(certificate.prove(&fqdn("fe2.contoso.example")).is_ok());
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn n2_a_listed_name_is_not_enough() {
    let fabrikam = authority("Fabrikam");
    let decision = ask(&World::new(), Listener::Servers, &server(&fabrikam, "fe1.contoso.example").chain);
    assert!(matches!(decision.verdict, Err(Refusal::Certificate(Rejection::UnknownIssuer { .. }))), "{decision:?}");
}

#[test]
fn n3_n4_a_certificate_out_of_time_is_refused() {
    let world = World::new();
    let chain = server(&world.authority, "fe1.contoso.example").chain;
    let day = Duration::from_hours(24);
    for (at, label) in [(now() - day, "not_yet_valid"), (now() + 5 * day, "accepted"), (now() + 8 * day, "expired")] {
        assert_eq!(judge(&world.policy.current(), contact(Listener::Servers), &chain, at).record.label, label);
    }
}

#[test]
fn a_user_is_no_server() {
    let world = World::new();
    let decision = ask(&world, Listener::Servers, &user(&world.authority, "anna").chain);
    assert_eq!(decision.record.label, "wrong_purpose");
}

#[test]
fn n11_a_server_is_no_user() {
    let world = World::new();
    let decision = ask(&world, Listener::Clients, &server(&world.authority, "fe1.contoso.example").chain);
    assert_eq!(decision.record.label, "server_on_client_port");
}

#[test]
fn who_shows_nothing_on_a_client_port_is_nobody_yet() {
    let decision = ask(&World::new(), Listener::Clients, &[]);
    assert!(matches!(decision.verdict, Ok(Peer::Client { user: None, certificate: None, .. })));
}

/// What becomes of a certificate for these users on a client port.
fn check_users(users: &[&str], expected: Result<&str, &str>) {
    let world = World::new();
    let root = Ca::new();
    let mut params = root.leaf(&[], rcgen::ExtendedKeyUsagePurpose::ClientAuth);
    params.subject_alt_names = users.iter().map(|uri| rcgen::SanType::URI((*uri).try_into().unwrap())).collect();
    let policy = root.policy(Policy::clone(&world.policy.current()));
    let chain = root.issue(&params).chain;
    let found = match judge(&policy, contact(Listener::Clients), &chain, now()).verdict {
        Ok(Peer::Client { user: Some(user), .. }) => Ok(user.to_string()),
        Ok(other) => panic!("{other:?}"),
        Err(refusal) => Err(refusal.label().to_owned()),
    };
    assert_eq!(found.as_deref().map_err(String::as_str), expected, "{users:?}");
}

#[test]
fn a_user_of_a_domain_of_ours_signs_in_by_certificate() {
    check_users(&["sip:anna@contoso.example"], Ok("anna"));
    check_users(&["urn:x:y", "SIP:Anna@CONTOSO.example"], Ok("anna"));
}

#[test]
fn a_user_of_another_domain_does_not() {
    check_users(&["sip:anna@fabrikam.example"], Err("foreign_user"));
    check_users(&["sip:anna@fe1.contoso.example"], Err("foreign_user"));
}

#[test]
fn a_certificate_names_exactly_one_user() {
    check_users(&["sip:anna@contoso.example", "sip:bert@contoso.example"], Err("not_one_user"));
    check_users(&["sip:anna@contoso.example", "sip:anna@fabrikam.example"], Err("not_one_user"));
    check_users(&["sip:an~na@contoso.example"], Err("not_one_user"));
    check_users(&["sip:anna@contoso.example", "sip:contoso.example"], Err("server_on_client_port"));
    check_users(&["sips:anna@contoso.example"], Err("no_identity"));
}

#[test]
fn n28_a_revoked_user_is_refused_not_asked_for_a_password() {
    let world = World::new();
    let anna = user(&world.authority, "anna");
    assert!(ask(&world, Listener::Clients, &anna.chain).verdict.is_ok());
    world.revoke(&anna);
    assert_eq!(ask(&world, Listener::Clients, &anna.chain).record.label, "revoked");
    let bert = user(&world.authority, "bert");
    assert!(ask(&world, Listener::Clients, &bert.chain).verdict.is_ok(), "others go on");
}

#[test]
fn n15_a_server_removed_from_the_topology_is_refused_when_asked_again() {
    let world = World::new();
    let chain = server(&world.authority, "fe2.contoso.example").chain;
    assert!(ask(&world, Listener::Servers, &chain).verdict.is_ok());
    let mut policy = Policy::clone(&world.policy.current());
    let text =
        policy.topology.to_commented_toml().replace("fe2.contoso.example", "fe3.contoso.example").replace("version = 12", "version = 13");
    policy.topology = Topology::parse(&text).unwrap();
    world.policy.replace(policy);
    let refusal = ask(&world, Listener::Servers, &chain).verdict.unwrap_err();
    let presented = ["fe2.contoso.example", "pool.contoso.example", "contoso.example"].map(fqdn).to_vec();
    assert_eq!(refusal, Refusal::NotInTopology { presented, version: 13 });
    assert_eq!(
        refusal.to_string(),
        "the certificate names fe2.contoso.example, pool.contoso.example, contoso.example, which topology version 13 does not list; add it and \
         publish, or check that the server joined the right organisation"
    );
}

#[test]
fn nobody_trusted_means_nobody() {
    let world = World::new();
    let mut policy = Policy::clone(&world.policy.current());
    policy.anchors = pki::Anchors::nobody();
    world.policy.replace(policy);
    for (listener, holder) in
        [(Listener::Servers, server(&world.authority, "fe1.contoso.example")), (Listener::Clients, user(&world.authority, "anna"))]
    {
        assert_eq!(ask(&world, listener, &holder.chain).record.label, "no_anchors");
    }
}

#[test]
fn yes_and_no_leave_a_record_with_the_evidence() {
    let world = World::new();
    let fe2 = server(&world.authority, "fe2.contoso.example");
    let yes = ask(&world, Listener::Servers, &fe2.chain).record;
    assert!(yes.accepted());
    assert_eq!((yes.at, yes.contact.source, yes.topology_version), (now(), source(), 12));
    assert_eq!(yes.verdict, "server fe2.contoso.example");
    assert_eq!(yes.wanted, "a server listed in the topology");
    assert_eq!(yes.anchor.as_deref(), Some("O=Contoso, CN=Contoso Root CA 2027"));
    assert_eq!(
        yes.chain.iter().map(|shown| shown.fingerprint).collect::<Vec<_>>(),
        fe2.chain.iter().map(|der| pki::Fingerprint::of(der)).collect::<Vec<_>>()
    );
    assert_eq!(yes.chain[0].subject, "CN=fe2.contoso.example");
    let no = ask(&world, Listener::Servers, &[CertificateDer::from(vec![1; 100_000])]).record;
    assert!(!no.accepted());
    assert_eq!((no.label, no.chain[0].subject.as_str()), ("chain_too_large", "(unreadable)"));
}

#[test]
fn no_refusal_is_forgotten_for_those_who_were_let_in() {
    let world = World::new();
    let (no, yes) = (ask(&world, Listener::Servers, &[]).record, ask(&world, Listener::Clients, &[]).record);
    let mut records = Records::default();
    records.push(no.clone());
    (0..2 * Records::ACCEPTED_MAX).for_each(|_| records.push(yes.clone()));
    let kept: Vec<bool> = records.newest_first(usize::MAX).map(trust::DecisionRecord::accepted).collect();
    assert_eq!(kept.len(), Records::ACCEPTED_MAX + 1);
    assert_eq!(kept.iter().position(|accepted| !accepted), Some(Records::ACCEPTED_MAX), "the oldest comes last");
    assert_eq!(records.newest_first(1).map(|record| record.label).collect::<Vec<_>>(), [yes.label, no.label], "of each");
}

#[test]
fn what_is_kept_of_decisions_is_bounded_and_told_in_the_order_of_time() {
    let world = World::new();
    let (no, yes) = (ask(&world, Listener::Servers, &[]).record, ask(&world, Listener::Clients, &[]).record);
    let mut records = Records::default();
    for _ in 0..2 * Records::REFUSED_MAX {
        records.push(no.clone());
        records.push(yes.clone());
    }
    let kept: Vec<bool> = records.newest_first(usize::MAX).map(trust::DecisionRecord::accepted).collect();
    assert_eq!(kept.len(), Records::REFUSED_MAX + Records::ACCEPTED_MAX);
    assert!(kept.chunks(2).all(|pair| pair == [true, false]));
}

#[test]
fn a_refusal_says_the_fact_and_the_cure() {
    let user = SipUser::new("anna", fqdn("fabrikam.example")).unwrap();
    let refusals = [
        Refusal::NoCertificate,
        Refusal::Certificate(Rejection::Empty),
        Refusal::NotPinned { issuer: "x".into(), kind: pki::IssuerKind::Servers },
        Refusal::SeveralServers { presented: vec![fqdn("a.test")] },
        Refusal::ServerOnClientPort { presented: vec![fqdn("a.test")] },
        Refusal::UserOnServerPort { presented: vec![user.clone()] },
        Refusal::ForeignUser { presented: user },
        Refusal::NotOneUser { presented: vec![] },
        Refusal::NotTls,
        Refusal::NoCommonTls { detail: "x".into() },
        Refusal::Alert { detail: "x".into() },
        Refusal::RefusedByServer { server: fqdn("a.test"), detail: "x".into() },
        Refusal::Handshake { detail: "x".into() },
    ];
    for refusal in refusals {
        let text = refusal.to_string();
        assert!(text.contains(';') || text.contains(':'), "{text}");
    }
}

#[test]
fn revocation_is_by_serial_not_by_name() {
    let world = World::new();
    let (old, new) = (server(&world.authority, "fe2.contoso.example"), server(&world.authority, "fe2.contoso.example"));
    world.revoke(&old);
    assert_eq!(ask(&world, Listener::Servers, &old.chain).record.label, "revoked");
    assert!(ask(&world, Listener::Servers, &new.chain).verdict.is_ok(), "a new certificate for the same server counts");
}

#[test]
fn a_record_stays_small_whatever_was_shown() {
    let world = World::new();
    let names: Vec<_> = (0..150).map(|number| format!("a-rather-long-name-{number}.contoso.example")).collect();
    let ca = Ca::new();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let policy = ca.policy(Policy::clone(&world.policy.current()));
    let chain = ca.issue(&ca.leaf(&names, rcgen::ExtendedKeyUsagePurpose::ServerAuth)).chain;
    let record = judge(&policy, contact(Listener::Servers), &chain, now()).record;
    assert_eq!((record.label, record.verdict.len()), ("not_in_topology", trust::DecisionRecord::VERDICT_CHARS_MAX));
}
