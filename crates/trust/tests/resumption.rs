//! A session never revives who was revoked, removed or ran out: clients that keep every ticket and
//! session id, in both versions, against our servers; and our callers against servers that hand
//! tickets out. A control shows that these clients do resume where they can.
#![allow(clippy::unwrap_used)]

mod world;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use pki::Anchors;
use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, ServerConfig, ServerConnection, SupportedProtocolVersion,
    client::{ClientSessionMemoryCache, Resumption, Tls12Resumption},
    pki_types::UnixTime,
    version::{TLS12, TLS13},
};
use trust::{
    Listener, Policy,
    tls::{AnswerOutcome, Outcome, ServerIdentity, decide, decide_answer, link_config, server_config, web_config},
};
use world::*;

const FE1: &str = "fe1.contoso.example";
const FE2: &str = "fe2.contoso.example";

/// A clock that both ends share and that a test sets.
#[derive(Debug)]
struct Hand(AtomicU64);

impl Hand {
    fn new() -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(1_800_000_000)))
    }

    fn forward(&self, by: Duration) {
        self.0.fetch_add(by.as_secs(), Ordering::Relaxed);
    }

    fn now(&self) -> std::time::SystemTime {
        std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(self.0.load(Ordering::Relaxed))
    }
}

impl rustls::time_provider::TimeProvider for Hand {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(self.0.load(Ordering::Relaxed))))
    }
}

/// What a client remembers.
#[derive(Clone, Copy, Debug)]
enum Memory {
    Tickets,
    SessionIds,
}

const KINDS: [(&SupportedProtocolVersion, Memory); 3] =
    [(&TLS13, Memory::Tickets), (&TLS12, Memory::Tickets), (&TLS12, Memory::SessionIds)];

/// A client that shows this and remembers whatever it is given.
fn rememberer(version: &'static SupportedProtocolVersion, memory: Memory, holder: &Holder) -> Arc<ClientConfig> {
    let holder = Holder { chain: holder.chain.clone(), key: copy(&holder.key) };
    let mut config = ClientConfig::clone(&lax_client(version, Some(holder)));
    config.enable_early_data = true;
    config.resumption = Resumption::store(Arc::new(ClientSessionMemoryCache::new(8))).tls12_resumption(match memory {
        Memory::Tickets => Tls12Resumption::SessionIdOrTickets,
        Memory::SessionIds => Tls12Resumption::SessionIdOnly,
    });
    Arc::new(config)
}

/// What becomes of a peer between its first and its second connection.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Revoked,
    Removed,
    RanOut,
    RootGone,
    CaUnpinned,
    ListStale,
}

const FATES: [(Fate, &str); 6] = [
    (Fate::Revoked, "revoked"),
    (Fate::Removed, "not_in_topology"),
    (Fate::RanOut, "expired"),
    (Fate::RootGone, "no_anchors"),
    (Fate::CaUnpinned, "not_pinned"),
    (Fate::ListStale, "stale_revocation_list"),
];

fn befall(fate: Fate, world: &World, holder: &Holder, clock: &Hand) {
    let mut policy = Policy::clone(&world.policy.current());
    match fate {
        Fate::Revoked => return world.revoke(holder),
        Fate::Removed => return world.remove(FE2),
        Fate::RanOut => return clock.forward(Duration::from_hours(31 * 24)),
        Fate::ListStale => return clock.forward(Duration::from_hours(96) + GRACE + Duration::from_secs(1)),
        Fate::RootGone => policy.anchors = Anchors::nobody(),
        Fate::CaUnpinned => policy.issuing.clear(),
    }
    world.policy.replace(policy);
}

/// One connection with our server: how it was judged and whether it was resumed.
fn visit(world: &World, listener: Listener, server: &Arc<ServerConfig>, client: &Arc<ClientConfig>, clock: &Hand) -> (&'static str, bool) {
    let met = meet(&world.policy, listener, server.clone(), client.clone(), FE1, clock.now());
    let resumed =
        met.server.handshake_kind() == Some(HandshakeKind::Resumed) || met.client.handshake_kind() == Some(HandshakeKind::Resumed);
    (met.decision.record.label, resumed)
}

/// On this port nobody whom the fate befell comes back.
fn check(listener: Listener, fates: &[(Fate, &str)], config: impl Fn(&World, Arc<Hand>) -> Arc<ServerConfig>) {
    for (version, memory) in KINDS {
        for (fate, label) in fates {
            let (world, clock) = (World::new(), Hand::new());
            let holder = match listener {
                Listener::Clients => user(&world.authority, "anna"),
                Listener::Servers | Listener::Web => server(&world.authority, FE2),
            };
            let (server, client) = (config(&world, clock.clone()), rememberer(version, memory, &holder));
            for _ in 0..2 {
                assert_eq!(visit(&world, listener, &server, &client, &clock), ("accepted", false), "{listener:?} {version:?} {memory:?}");
            }
            befall(*fate, &world, &holder, &clock);
            assert_eq!(visit(&world, listener, &server, &client, &clock), (*label, false), "{listener:?} {version:?} {memory:?} {fate:?}");
        }
    }
}

#[test]
fn n5_n15_no_session_revives_a_server() {
    check(Listener::Servers, &FATES, |world, clock| {
        server_config(Listener::Servers, world.identity.clone(), world.policy.clone(), clock).unwrap()
    });
}

#[test]
fn n5_n15_no_session_revives_a_server_on_https() {
    check(Listener::Web, &FATES, |world, clock| web_config(world.identity.clone(), world.policy.clone(), clock).unwrap());
}

#[test]
fn n5_n28_no_session_revives_a_user() {
    let fates = FATES.iter().copied().filter(|(fate, _)| !matches!(fate, Fate::Removed)).collect::<Vec<_>>();
    check(Listener::Clients, &fates, |world, clock| {
        server_config(Listener::Clients, world.identity.clone(), world.policy.clone(), clock).unwrap()
    });
}

/// The same server, but with the sessions of the library's default switched on again.
fn keeping_sessions(config: &ServerConfig, memory: Memory) -> Arc<ServerConfig> {
    let mut config = config.clone();
    config.send_tls13_tickets = 2;
    config.max_tls13_tickets = 8;
    match memory {
        Memory::Tickets => config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new().unwrap(),
        Memory::SessionIds => config.session_storage = rustls::server::ServerSessionMemoryCache::new(8),
    }
    Arc::new(config)
}

/// The control: without our settings these very clients are resumed, past every check.
#[test]
fn where_sessions_are_kept_the_revoked_come_back() {
    for (version, memory) in KINDS {
        let (world, clock) = (World::new(), Hand::new());
        let fe2 = server(&world.authority, FE2);
        let ours = server_config(Listener::Servers, world.identity.clone(), world.policy.clone(), clock.clone()).unwrap();
        let (server, client) = (keeping_sessions(&ours, memory), rememberer(version, memory, &fe2));
        assert_eq!(visit(&world, Listener::Servers, &server, &client, &clock), ("accepted", false), "{version:?} {memory:?}");
        world.revoke(&fe2);
        let (label, resumed) = visit(&world, Listener::Servers, &server, &client, &clock);
        assert!(resumed, "{version:?} {memory:?}");
        // The handshake let it in; only that a finished one is judged again keeps it out even so.
        assert_eq!(label, "revoked", "{version:?} {memory:?}");
    }
}

/// A caller of ours takes no ticket from anybody.
#[test]
fn n5_n15_no_session_revives_an_answerer() {
    for (version, memory) in KINDS {
        for (fate, label) in FATES {
            let (world, clock) = (World::new(), Hand::new());
            let (fe1, fe2) = (server(&world.authority, FE1), server(&world.authority, FE2));
            let identity = ServerIdentity::new(fe1.chain, &fe1.key).unwrap();
            let client = link_config(identity, world.policy.clone(), clock.clone()).unwrap();
            // It knows nothing of what happens here, and asks for nothing.
            let server = ServerConfig::builder_with_details(Arc::new(rustls::crypto::aws_lc_rs::default_provider()), clock.clone())
                .with_protocol_versions(&[version])
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(fe2.chain.clone(), fe2.key.to_der().unwrap().into())
                .unwrap();
            let server = keeping_sessions(&server, memory);
            let call = || {
                let mut client = ClientConnection::new(client.clone(), FE2.try_into().unwrap()).unwrap();
                let mut server = ServerConnection::new(server.clone()).unwrap();
                let (client_result, _) = shake(&mut client, &mut server);
                let outcome = match &client_result {
                    Ok(()) => AnswerOutcome::Finished(&client),
                    Err(error) => AnswerOutcome::Failed(error),
                };
                let decision = decide_answer(&world.policy.current(), &fqdn(FE2), source(), outcome, clock.now());
                (decision.record.label, client.handshake_kind() == Some(HandshakeKind::Resumed))
            };
            assert_eq!(call(), ("accepted", false), "{version:?} {memory:?}");
            assert_eq!(call(), ("accepted", false), "{version:?} {memory:?}");
            befall(fate, &world, &fe2, &clock);
            assert_eq!(call(), (label, false), "{version:?} {memory:?} {fate:?}");
        }
    }
}

#[test]
fn a_ticket_of_one_port_opens_no_other() {
    let (world, clock) = (World::new(), Hand::new());
    let fe2 = server(&world.authority, FE2);
    let client = rememberer(&TLS13, Memory::Tickets, &fe2);
    let servers = server_config(Listener::Servers, world.identity.clone(), world.policy.clone(), clock.clone()).unwrap();
    let clients = server_config(Listener::Clients, world.identity.clone(), world.policy.clone(), clock.clone()).unwrap();
    assert_eq!(visit(&world, Listener::Servers, &servers, &client, &clock), ("accepted", false));
    assert_eq!(visit(&world, Listener::Clients, &clients, &client, &clock), ("server_on_client_port", false));
    let lost = decide(&world.policy.current(), Listener::Clients, source(), Outcome::Lost("it left"), clock.now());
    assert_eq!(lost.record.label, "lost");
}
