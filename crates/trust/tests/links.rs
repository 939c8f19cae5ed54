//! Links between servers: the same defect is refused whether it calls or answers, and the two ends
//! of one link judge alike.
#![allow(clippy::unwrap_used)]

mod world;

use std::{sync::Arc, time::Duration};

use pki::{IssuerKind, Key, PinnedIssuer, Rejection, Revocation, RevocationLists};
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection};
use topology::{Role, Topology};
use trust::{
    Decision, DecisionRecord, Direction, Listener, LivePolicy, Peer, Policy, Refusal, judge, judge_answer,
    tls::{AnswerOutcome, Outcome, ServerIdentity, decide, decide_answer, link_config, server_config},
};
use world::*;

const FE1: &str = "fe1.contoso.example";
const FE2: &str = "fe2.contoso.example";

/// How a link looks from its two ends.
struct Link {
    caller: Decision,
    answerer: Decision,
}

/// The end that calls, as fe1 with this policy, and the end that answers.
fn connect(calling: &LivePolicy, client: Arc<ClientConfig>, wanted: &str, answering: &LivePolicy, server: Arc<ServerConfig>) -> Link {
    let mut client = ClientConnection::new(client, wanted.to_owned().try_into().unwrap()).unwrap();
    let mut server = ServerConnection::new(server).unwrap();
    let (client_result, server_result) = shake(&mut client, &mut server);
    let outcome = match &client_result {
        Ok(()) => AnswerOutcome::Finished(&client),
        // It was finished before the alert came: TLS 1.3.
        Err(error) if !client.is_handshaking() => AnswerOutcome::Late(error),
        Err(error) => AnswerOutcome::Failed(error),
    };
    let caller = decide_answer(&calling.current(), &fqdn(wanted), source(), outcome, now());
    let outcome = match &server_result {
        Ok(()) => Outcome::Finished(&server),
        Err(error) => Outcome::Failed(error),
    };
    let answerer = decide(&answering.current(), Listener::Servers, source(), outcome, now());
    Link { caller, answerer }
}

fn identity(holder: &Holder) -> Arc<ServerIdentity> {
    ServerIdentity::new(holder.chain.clone(), &holder.key).unwrap()
}

fn caller(world: &World, holder: &Holder) -> Arc<ClientConfig> {
    link_config(identity(holder), world.policy.clone(), clock(now())).unwrap()
}

fn answerer(world: &World, holder: &Holder) -> Arc<ServerConfig> {
    server_config(Listener::Servers, identity(holder), world.policy.clone(), clock(now())).unwrap()
}

/// fe1 calls fe2, each showing this.
fn link(world: &World, fe1: &Holder, fe2: &Holder) -> Link {
    connect(&world.policy, caller(world, fe1), FE2, &world.policy, answerer(world, fe2))
}

/// Somebody shows `holder` on both ends of a link with a good server: called and calling it is
/// refused for this reason. Returns what the good end that was called said.
fn check_both(world: &World, holder: &Holder, label: &str) -> Refusal {
    let good = server(&world.authority, FE1);
    let answered = link(world, &good, holder).caller;
    assert_eq!(answered.record.label, label, "when it answers: {}", answered.record.verdict);
    assert!(matches!(answered.record.direction, Direction::Outgoing { .. }));
    // What calls need not judge whom it calls.
    let called = meet(
        &world.policy,
        Listener::Servers,
        answerer(world, &good),
        lax_client(&rustls::version::TLS13, Some(Holder { chain: holder.chain.clone(), key: copy(&holder.key) })),
        FE1,
        now(),
    );
    assert_eq!(called.decision.record.label, label, "when it calls: {}", called.decision.record.verdict);
    called.decision.verdict.unwrap_err()
}

#[test]
fn two_listed_servers_believe_each_other() {
    let world = World::new();
    let link = link(&world, &server(&world.authority, FE1), &server(&world.authority, FE2));
    match (link.caller.verdict.unwrap(), link.answerer.verdict.unwrap()) {
        (Peer::TrustedServer { name: fe2, roles: of_fe2, .. }, Peer::TrustedServer { name: fe1, roles: of_fe1, .. }) => {
            assert_eq!((fe1.as_str(), fe2.as_str()), (FE1, FE2));
            assert_eq!((&of_fe1[..], &of_fe2[..]), (&[Role::Authority, Role::FrontEnd][..], &[Role::FrontEnd][..]));
        }
        other => panic!("{other:?}"),
    }
    let record = link.caller.record;
    assert_eq!((record.direction.as_str(), record.wanted.as_ref()), ("outgoing", "the server fe2.contoso.example"));
    assert_eq!(record.contact.sni.as_deref(), Some(FE2));
    assert_eq!(record.contact.tls.unwrap().version, "TLSv1_3");
    assert_eq!(record.revocation_list.unwrap().number, 1);
    assert_eq!(link.answerer.record.direction, Direction::Incoming);
}

#[test]
fn n1_listed_by_nobody_on_either_end() {
    let world = World::new();
    let fe9 = server(&world.authority, "fe9.contoso.example");
    let called = meet(&world.policy, Listener::Servers, answerer(&world, &server(&world.authority, FE1)), caller(&world, &fe9), FE1, now());
    assert_eq!(called.decision.record.label, "not_in_topology");
    let good = server(&world.authority, FE1);
    let link = connect(&world.policy, caller(&world, &good), "fe9.contoso.example", &world.policy, answerer(&world, &fe9));
    assert_eq!(link.caller.record.label, "not_in_topology", "its name is right, but nobody lists it");
}

#[test]
fn n2_a_foreign_ca_on_either_end() {
    check_both(&World::new(), &server(&authority("Fabrikam"), FE2), "unknown_issuer");
}

#[test]
fn n3_n4_out_of_time_on_either_end() {
    let (world, day) = (World::new(), Duration::from_hours(24));
    let issued_at = |at| {
        let key = Key::generate().unwrap();
        let names = pki::ServerNames { server: fqdn(FE2), aliases: vec![], domains: vec![] };
        Holder { chain: world.authority.issue_server(&names, &key.public(), at).unwrap().chain, key }
    };
    // The CA is as old as the world, so what ran out before now comes from one that is older.
    check_both(&world, &issued_at(now() + day), "not_yet_valid");
    let ca = Ca::new();
    let world = World::of(&ca);
    let mut leaf = ca.leaf(&[FE2], rcgen::ExtendedKeyUsagePurpose::ServerAuth);
    leaf.not_after = (now() - day).into();
    check_both(&world, &ca.issue(&leaf), "expired");
}

#[test]
fn n5_revoked_on_either_end() {
    let world = World::new();
    let fe2 = server(&world.authority, FE2);
    world.revoke(&fe2);
    check_both(&world, &fe2, "revoked");
    let link = link(&world, &server(&world.authority, FE1), &server(&world.authority, FE2));
    assert!(link.caller.verdict.is_ok() && link.answerer.verdict.is_ok(), "its next certificate counts");
}

#[test]
fn n6_without_revocation_lists_on_either_end() {
    let world = World::new();
    let fe2 = server(&world.authority, FE2);
    for revocation in [Revocation::strict(RevocationLists::new(), GRACE), Revocation::none()] {
        let mut policy = Policy::clone(&world.policy.current());
        policy.revocation = revocation;
        world.policy.replace(policy);
        check_both(&world, &fe2, "no_revocation_list");
    }
}

#[test]
fn n31_with_stale_lists_on_either_end() {
    let world = World::new();
    let fe2 = server(&world.authority, FE2);
    let policy = world.policy.current();
    let before = judge_answer(&policy, &fqdn(FE2), source(), &fe2.chain, now() + Duration::from_hours(96) + GRACE);
    assert!(before.record.accepted());
    let at = now() + Duration::from_hours(96) + GRACE + Duration::from_secs(1);
    assert_eq!(judge_answer(&policy, &fqdn(FE2), source(), &fe2.chain, at).record.label, "stale_revocation_list");
    let contact = trust::Contact { listener: Listener::Servers, source: source(), sni: None, tls: None };
    assert_eq!(trust::judge(&policy, contact, &fe2.chain, at).record.label, "stale_revocation_list");
}

#[test]
fn n7_purposes_on_either_end() {
    let ca = Ca::new();
    let world = World::of(&ca);
    let purpose = |purpose| ca.issue(&ca.leaf(&[FE2], purpose));
    check_both(&world, &purpose(rcgen::ExtendedKeyUsagePurpose::ClientAuth), "wrong_purpose");
    check_both(&world, &purpose(rcgen::ExtendedKeyUsagePurpose::CodeSigning), "wrong_purpose");
    // serverAuth alone is enough in both directions.
    let (fe1, fe2) =
        (ca.issue(&ca.leaf(&[FE1], rcgen::ExtendedKeyUsagePurpose::ServerAuth)), purpose(rcgen::ExtendedKeyUsagePurpose::ServerAuth));
    let link = link(&world, &fe1, &fe2);
    assert!(link.caller.verdict.is_ok() && link.answerer.verdict.is_ok());
}

#[test]
fn n8_the_address_led_to_another_server() {
    let world = World::new();
    let (fe1, fe2) = (server(&world.authority, FE1), server(&world.authority, FE2));
    // fe2 calls fe2 and fe1 answers: listed, good, and not the one that was wanted.
    let link = connect(&world.policy, caller(&world, &fe2), FE2, &world.policy, answerer(&world, &fe1));
    match link.caller.verdict.unwrap_err() {
        Refusal::Certificate(Rejection::WrongName { wanted, shown }) => {
            assert_eq!((wanted.as_str(), shown[0].as_str()), (FE2, FE1));
        }
        other => panic!("{other}"),
    }
}

#[test]
fn n8_a_name_that_several_servers_bear_is_nobodys() {
    let world = World::new();
    let good = server(&world.authority, FE1);
    // The pool's name and the domain stand in the certificate of each of its servers.
    for wanted in ["pool.contoso.example", "contoso.example"] {
        let link = connect(&world.policy, caller(&world, &good), wanted, &world.policy, answerer(&world, &server(&world.authority, FE2)));
        assert_eq!(link.caller.record.label, "not_in_topology", "{wanted}");
    }
    let address = connect(&world.policy, caller(&world, &good), FE2, &world.policy, answerer(&world, &good));
    assert_eq!(address.caller.record.label, "wrong_name");
}

#[test]
fn n9_n10_n36_names_on_either_end() {
    let ca = Ca::new();
    let world = World::of(&ca);
    let check = |names: &[&str], uris: &[&str], when_it_answers: &str, when_it_calls: &str| {
        let mut leaf = ca.leaf(names, rcgen::ExtendedKeyUsagePurpose::ServerAuth);
        leaf.subject_alt_names.extend(uris.iter().map(|uri| rcgen::SanType::URI((*uri).try_into().unwrap())));
        let (holder, good) = (ca.issue(&leaf), ca.issue(&ca.leaf(&[FE1], rcgen::ExtendedKeyUsagePurpose::ServerAuth)));
        let answered = link(&world, &good, &holder).caller.record.label;
        let called =
            meet(&world.policy, Listener::Servers, answerer(&world, &good), caller(&world, &holder), FE1, now()).decision.record.label;
        assert_eq!((answered, called), (when_it_answers, when_it_calls), "{names:?} {uris:?}");
    };
    check(&[FE2], &[], "accepted", "accepted");
    check(&["x", "urn.test", "FE2.Contoso.Example"], &["urn:x:y"], "accepted", "accepted");
    // The common name is fe1's.
    check(&[], &[], "no_identity", "no_identity");
    check(&["*.contoso.example"], &[], "wildcard", "wildcard");
    check(&["*.contoso.example", "elsewhere.test"], &[], "wrong_name", "not_in_topology");
    check(&["fe2.contoso.example."], &[], "no_identity", "no_identity");
    check(&["xn--f2-nja.contoso.example"], &[], "wrong_name", "not_in_topology");
    check(&["fe2.contoso.example.test"], &[], "wrong_name", "not_in_topology");
    // Domains and users are no hosts, whatever the scheme.
    check(&[], &["sip:fe2.contoso.example"], "wrong_name", "not_in_topology");
    check(&[], &["sip:anna@fe2.contoso.example"], "wrong_name", "user_on_server_port");
    check(&[], &["sips:fe2.contoso.example"], "no_identity", "no_identity");
    check(&[], &["https://fe2.contoso.example/"], "no_identity", "no_identity");
    // One certificate for two servers is nobody's.
    check(&[FE1, FE2], &[], "several_servers", "several_servers");
}

#[test]
fn n11_a_server_link_without_a_certificate() {
    let world = World::new();
    let met = meet(
        &world.policy,
        Listener::Servers,
        answerer(&world, &server(&world.authority, FE1)),
        world.client_config(None, now()),
        FE1,
        now(),
    );
    assert_eq!(met.decision.verdict, Err(Refusal::NoCertificate));
}

#[test]
fn a_client_port_is_no_server_port() {
    let world = World::new();
    let (fe1, fe2) = (server(&world.authority, FE1), server(&world.authority, FE2));
    let clients = server_config(Listener::Clients, identity(&fe2), world.policy.clone(), clock(now())).unwrap();
    let met = meet(&world.policy, Listener::Clients, clients, caller(&world, &fe1), FE2, now());
    assert_eq!(met.decision.record.label, "server_on_client_port");
}

#[test]
fn a_ca_that_is_not_pinned_vouches_for_nobody() {
    let world = World::new();
    let (fe1, fe2) = (server(&world.authority, FE1), server(&world.authority, FE2));
    let pinned_as = |issuing: Vec<PinnedIssuer>| {
        let mut policy = Policy::clone(&world.policy.current());
        policy.issuing = issuing;
        world.policy.replace(policy);
        let refusal = check_both(&world, &fe2, "not_pinned");
        assert!(refusal.to_string().contains("Contoso Issuing CA 2027-1"), "{refusal}");
    };
    let users = world.authority.users().unwrap();
    // An empty list is nobody (row N35).
    pinned_as(vec![]);
    // The servers' CA, pinned for users only; and the users' CA, pinned for servers.
    let servers = world.authority.servers().pinned();
    pinned_as(vec![PinnedIssuer { kind: IssuerKind::Users, ..servers }]);
    pinned_as(vec![PinnedIssuer { kind: IssuerKind::Servers, ..users.pinned() }]);
    let mut policy = Policy::clone(&world.policy.current());
    policy.issuing = vec![servers];
    world.policy.replace(policy);
    assert!(link(&world, &fe1, &fe2).caller.verdict.is_ok());
    assert_eq!(world.meet(Listener::Clients, Some(&user(&world.authority, "anna")), now()).decision.record.label, "not_pinned");
}

#[test]
fn n28_n35_a_users_certificate_is_no_way_in_for_a_server() {
    let world = World::new();
    let anna = user(&world.authority, "anna");
    check_both(&world, &anna, "wrong_purpose");
    // Not even one that has the purpose, from the CA of servers.
    let ca = Ca::new();
    let world = World::of(&ca);
    let mut leaf = ca.leaf(&[], rcgen::ExtendedKeyUsagePurpose::ServerAuth);
    leaf.subject_alt_names = vec![rcgen::SanType::URI("sip:anna@contoso.example".try_into().unwrap())];
    let good = ca.issue(&ca.leaf(&[FE1], rcgen::ExtendedKeyUsagePurpose::ServerAuth));
    let met = meet(&world.policy, Listener::Servers, answerer(&world, &good), caller(&world, &ca.issue(&leaf)), FE1, now());
    assert_eq!(met.decision.record.label, "user_on_server_port");
}

#[test]
fn a_caller_that_is_refused_hears_of_it_after_its_own_handshake() {
    let world = World::new();
    let fe2 = server(&world.authority, FE2);
    world.revoke(&fe2);
    // fe2 does not know yet; fe1 does.
    let unaware = World { policy: LivePolicy::new(world.unrevoked()), ..World::new() };
    let client = link_config(identity(&fe2), unaware.policy.clone(), clock(now())).unwrap();
    let link = connect(&unaware.policy, client, FE1, &world.policy, answerer(&world, &server(&world.authority, FE1)));
    assert_eq!(link.answerer.record.label, "revoked");
    let refusal = link.caller.verdict.unwrap_err();
    assert_eq!(refusal.label(), "refused_by_server");
    assert!(
        refusal.to_string().starts_with("fe1.contoso.example refused this server after the handshake (received fatal alert"),
        "{refusal}"
    );
}

#[test]
fn n5_n15_an_open_link_is_judged_again_on_both_ends() {
    let world = World::new();
    let (fe1, fe2) = (server(&world.authority, FE1), server(&world.authority, FE2));
    let link = link(&world, &fe1, &fe2);
    let again = |before: &DecisionRecord, holder: &Holder, at| {
        let (policy, contact) = (world.policy.current(), before.contact.clone());
        let record = match &before.direction {
            Direction::Incoming => judge(&policy, contact.clone(), &holder.chain, at).record,
            Direction::Outgoing { wanted } => judge_answer(&policy, wanted, contact.source, &holder.chain, at).record,
        };
        DecisionRecord { contact, ..record }
    };
    let (ours, theirs) = (&link.caller.record, &link.answerer.record);
    for (record, holder) in [(ours, &fe2), (theirs, &fe1)] {
        let same = again(record, holder, now());
        assert_eq!(&same, record, "as long as nothing changed");
        assert_eq!(again(record, holder, now() + Duration::from_hours(8 * 24)).label, "expired");
    }
    world.revoke(&fe2);
    assert_eq!(again(ours, &fe2, now()).label, "revoked");
    assert_eq!(again(theirs, &fe1, now()).label, "accepted");
    world.remove(FE1);
    assert_eq!(again(theirs, &fe1, now()).label, "not_in_topology");
    assert_eq!(again(ours, &server(&world.authority, FE2), now()).label, "accepted");
}

#[test]
fn the_policy_of_that_moment_counts_for_the_next_call() {
    let world = World::new();
    let (fe1, fe2) = (server(&world.authority, FE1), server(&world.authority, FE2));
    let (client, server) = (caller(&world, &fe1), answerer(&world, &fe2));
    let call = || connect(&world.policy, client.clone(), FE2, &world.policy, server.clone());
    assert!(call().caller.verdict.is_ok());
    let before = Policy::clone(&world.policy.current());
    world.remove(FE2);
    assert_eq!(call().caller.record.label, "not_in_topology");
    world.policy.replace(before);
    assert!(call().caller.verdict.is_ok());
}

#[test]
fn a_new_certificate_is_shown_by_the_next_call() {
    let world = World::new();
    let mine = identity(&server(&world.authority, FE1));
    let client = link_config(mine.clone(), world.policy.clone(), clock(now())).unwrap();
    let fe2 = answerer(&world, &server(&world.authority, FE2));
    let shown = || connect(&world.policy, client.clone(), FE2, &world.policy, fe2.clone()).answerer.record.chain[0].fingerprint;
    let before = shown();
    let next = server(&world.authority, FE1);
    mine.replace(next.chain.clone(), &next.key).unwrap();
    assert_ne!(before, shown());
    assert_eq!(shown(), pki::Fingerprint::of(&next.chain[0]));
}

#[test]
fn https_asks_for_a_certificate_and_judges_it() {
    let world = World::new();
    let config = trust::tls::web_config(world.identity.clone(), world.policy.clone(), clock(now())).unwrap();
    assert_eq!(config.alpn_protocols, [b"h2".to_vec(), b"http/1.1".to_vec()]);
    let meet = |client: Arc<ClientConfig>| meet(&world.policy, Listener::Web, config.clone(), client, FE1, now()).decision;
    let nobody = meet(world.client_config(None, now()));
    assert!(matches!(nobody.verdict, Ok(Peer::Client { user: None, certificate: None, .. })), "{nobody:?}");
    assert_eq!(nobody.record.contact.listener.as_str(), "web");
    let fe2 = server(&world.authority, FE2);
    match meet(caller(&world, &fe2)).verdict {
        Ok(Peer::TrustedServer { name, .. }) => assert_eq!(name, fqdn(FE2)),
        other => panic!("{other:?}"),
    }
    // A bad certificate never becomes an anonymous client (row N28).
    for (holder, label) in [
        (user(&world.authority, "anna"), "wrong_purpose"),
        (server(&authority("Fabrikam"), FE2), "unknown_issuer"),
        (server(&world.authority, "fe9.contoso.example"), "not_in_topology"),
    ] {
        assert_eq!(meet(caller(&world, &holder)).record.label, label);
    }
    world.revoke(&fe2);
    assert_eq!(meet(caller(&world, &fe2)).record.label, "revoked");
}

#[test]
fn n35_the_answerer_is_the_same_whatever_name_is_called() {
    let world = World::new();
    let fe2 = answerer(&world, &server(&world.authority, FE2));
    for name in [FE2, "elsewhere.test"] {
        let met = meet(&world.policy, Listener::Servers, fe2.clone(), lax_client(&rustls::version::TLS13, None), name, now());
        assert_eq!(met.decision.verdict, Err(Refusal::NoCertificate), "{name}");
    }
    let nobody = Topology::parse(&world.policy.current().topology.to_commented_toml()).unwrap();
    assert!(nobody.server(&fqdn("elsewhere.test")).is_none());
}
