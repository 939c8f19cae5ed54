//! A small organisation for tests: its CA, its topology, its clock, and handshakes in memory.
#![allow(clippy::unwrap_used, dead_code, unreachable_pub)]

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use pki::{Anchors, Authority, CertificateDer, Fqdn, Key, Revoked, ServerNames, SipUser};
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection, pki_types::UnixTime};
use topology::Topology;
use trust::{
    Decision, Listener, LivePolicy, Policy,
    tls::{ClientIdentity, Clock, Outcome, ServerIdentity, client_config, decide, server_config},
};

pub fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

#[derive(Debug)]
struct At(SystemTime);

impl rustls::time_provider::TimeProvider for At {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(self.0.duration_since(SystemTime::UNIX_EPOCH).unwrap()))
    }
}

pub fn clock(at: SystemTime) -> Clock {
    Arc::new(At(at))
}

pub fn fqdn(text: &str) -> Fqdn {
    Fqdn::parse(text).unwrap()
}

/// Two servers in one pool.
pub fn topology() -> Topology {
    Topology::parse(
        r#"
        version = 12
        organisation = "Contoso"
        domains = ["contoso.example"]
        [[pool]]
        name = "pool.contoso.example"
        [[pool.server]]
        fqdn = "fe1.contoso.example"
        roles = ["authority", "front-end"]
        sip = "127.0.0.1:5061"
        [[pool.server]]
        fqdn = "fe2.contoso.example"
        roles = ["front-end"]
        sip = "127.0.0.1:5062"
        "#,
    )
    .unwrap()
}

/// A chain and its key.
pub struct Holder {
    pub chain: Vec<CertificateDer<'static>>,
    pub key: Key,
}

impl Holder {
    pub fn identity(&self) -> ClientIdentity<'_> {
        ClientIdentity { chain: self.chain.clone(), key: &self.key }
    }
}

pub struct World {
    pub authority: Authority,
    pub policy: Arc<LivePolicy>,
    pub identity: Arc<ServerIdentity>,
}

impl World {
    pub fn new() -> Self {
        let authority = authority("Contoso");
        let policy = Policy { topology: topology(), anchors: authority.anchors(), revoked: Revoked::none() };
        let fe1 = server(&authority, "fe1.contoso.example");
        let identity = ServerIdentity::new(fe1.chain, &fe1.key).unwrap();
        Self { authority, policy: LivePolicy::new(policy), identity }
    }

    pub fn server_config(&self, listener: Listener, at: SystemTime) -> Arc<ServerConfig> {
        server_config(listener, self.identity.clone(), self.policy.clone(), clock(at)).unwrap()
    }

    pub fn client_config(&self, holder: Option<&Holder>, at: SystemTime) -> Arc<ClientConfig> {
        client(self.authority.anchors(), holder, at)
    }

    /// One handshake with our own client, judged.
    pub fn meet(&self, listener: Listener, holder: Option<&Holder>, at: SystemTime) -> Met {
        meet(&self.policy, listener, self.server_config(listener, at), self.client_config(holder, at), "fe1.contoso.example", at)
    }
}

pub fn authority(organisation: &str) -> Authority {
    Authority::create(organisation, &[fqdn("contoso.example")], now()).unwrap().1
}

pub fn server(authority: &Authority, name: &str) -> Holder {
    let key = Key::generate().unwrap();
    let names = ServerNames { server: fqdn(name), aliases: vec![fqdn("pool.contoso.example")], domains: vec![fqdn("contoso.example")] };
    Holder { chain: authority.issue_server(&names, &key.public(), now()).unwrap().chain, key }
}

pub fn user(authority: &Authority, name: &str) -> Holder {
    let key = Key::generate().unwrap();
    let user = SipUser::new(name, fqdn("contoso.example")).unwrap();
    Holder { chain: authority.issue_user(&user, &key.public(), now()).unwrap().chain, key }
}

pub fn client(anchors: Anchors, holder: Option<&Holder>, at: SystemTime) -> Arc<ClientConfig> {
    client_config(anchors, Revoked::none(), holder.map(Holder::identity), clock(at)).unwrap()
}

/// What came of a handshake, seen from both ends.
pub struct Met {
    pub decision: Decision,
    pub client: ClientConnection,
    pub client_result: Result<(), rustls::Error>,
    pub server: ServerConnection,
}

pub fn source() -> SocketAddr {
    "192.0.2.7:40000".parse().unwrap()
}

pub fn meet(
    policy: &LivePolicy,
    listener: Listener,
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
    name: &str,
    at: SystemTime,
) -> Met {
    let mut client = ClientConnection::new(client, name.to_owned().try_into().unwrap()).unwrap();
    let mut server = ServerConnection::new(server).unwrap();
    let (client_result, server_result) = shake(&mut client, &mut server);
    let outcome = match &server_result {
        Ok(()) if server.is_handshaking() => Outcome::Lost("the client left"),
        Ok(()) => Outcome::Finished(&server),
        Err(error) => Outcome::Failed(error),
    };
    let decision = decide(&policy.current(), listener, source(), outcome, at);
    Met { decision, client, client_result, server }
}

/// Carries bytes between the two ends until nothing moves any more.
pub fn shake(client: &mut ClientConnection, server: &mut ServerConnection) -> (Result<(), rustls::Error>, Result<(), rustls::Error>) {
    let (mut client_result, mut server_result) = (Ok(()), Ok(()));
    loop {
        let mut moved = false;
        let mut wire = Vec::new();
        while client.wants_write() && client.write_tls(&mut wire).unwrap() > 0 {}
        moved |= !wire.is_empty();
        let mut rest = &wire[..];
        while !rest.is_empty() && server_result.is_ok() && server.read_tls(&mut rest).unwrap() > 0 {
            server_result = server.process_new_packets().map(drop);
        }
        let mut wire = Vec::new();
        while server.wants_write() && server.write_tls(&mut wire).unwrap() > 0 {}
        moved |= !wire.is_empty();
        let mut rest = &wire[..];
        while !rest.is_empty() && client_result.is_ok() && client.read_tls(&mut rest).unwrap() > 0 {
            client_result = client.process_new_packets().map(drop);
        }
        if !moved {
            return (client_result, server_result);
        }
    }
}
