//! A small organisation for tests: its CA, its topology, its clock, and handshakes in memory.
#![allow(clippy::unwrap_used, dead_code, unreachable_pub)]

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use pki::{
    Anchors, Authority, CertificateDer, Fingerprint, Fqdn, IssuerKind, IssuerName, Key, PinnedIssuer, Revocation, RevocationList,
    RevocationLists, RevocationReason, RevokedCertificate, Root, Serial, ServerNames, SipUser, sign_revocation_list,
};
use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, SanType};
use rustls::{
    ClientConfig, ClientConnection, ServerConfig, ServerConnection,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    pki_types::UnixTime,
};
use topology::Topology;
use trust::{
    Decision, Listener, LivePolicy, Policy, Refusal,
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
        servers = "127.0.0.1:5071"
        https = "127.0.0.1:8443"
        [[pool.server]]
        fqdn = "fe2.contoso.example"
        roles = ["front-end"]
        sip = "127.0.0.1:5062"
        servers = "127.0.0.1:5072"
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
    pub root: Root,
    pub authority: Authority,
    pub policy: Arc<LivePolicy>,
    pub identity: Arc<ServerIdentity>,
}

impl World {
    pub fn new() -> Self {
        let (root, authority) = Authority::create("Contoso", &[fqdn("contoso.example")], now()).unwrap();
        let revocation = Revocation::strict(authority.first_lists(&root, now()).unwrap(), GRACE);
        let policy = Policy { topology: topology(), anchors: authority.anchors(), revocation, issuing: authority.pinned() };
        let fe1 = server(&authority, "fe1.contoso.example");
        let identity = ServerIdentity::new(fe1.chain, &fe1.key).unwrap();
        Self { root, authority, policy: LivePolicy::new(policy), identity }
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
    client_config(anchors, Revocation::none(), holder.map(Holder::identity), clock(at)).unwrap()
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

/// How long a list is believed after its time, in these tests: as long as any certificate lasts here.
pub const GRACE: Duration = Revocation::GRACE_MAX;

impl World {
    /// Takes a certificate out of service: the issuing CA's next list has it.
    pub fn revoke(&self, holder: &Holder) {
        let policy = Policy::clone(&self.policy.current());
        self.policy.replace(revoking(policy, &self.authority, holder));
    }
}

/// The policy with the next list of the holder's CA, which revokes this certificate and those before.
pub fn revoking(mut policy: Policy, authority: &Authority, holder: &Holder) -> Policy {
    let issuer = IssuerName::of(&holder.chain[0]).unwrap();
    let serial = pki::facts(&holder.chain[0]).unwrap().serial;
    let mut lists = policy.revocation.lists().clone();
    let held = lists.iter().find(|list| *list.issuer() == issuer).unwrap();
    let entry = |serial: &Serial| RevokedCertificate { serial: serial.clone(), at: now(), reason: RevocationReason::KeyCompromise };
    let revoked: Vec<_> = held.serials().chain([&serial]).map(entry).collect();
    let ca = authority.issuing_authorities().find(|ca| ca.certificate() == &holder.chain[1]).unwrap();
    let der = ca.revocation_list_until(&revoked, held.number() + 1, now(), held.next_update()).unwrap();
    lists.take(RevocationList::read(&der, &holder.chain[1..]).unwrap(), now()).unwrap();
    policy.revocation = Revocation::strict(lists, GRACE);
    policy
}

/// A CA that issues whatever it is asked for: for certificates that ours refuses to make.
pub struct Ca {
    root: CertificateDer<'static>,
    root_key: Key,
    issuing: CertificateDer<'static>,
    params: CertificateParams,
    key: Key,
}

impl Ca {
    pub fn new() -> Self {
        let [root_key, key] = [(); 2].map(|()| Key::generate().unwrap());
        let mut root = params("Careless Root");
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let mut issuing = params("Careless Issuing");
        issuing.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let issuing_der = issuing.signed_by(&key, &Issuer::from_params(&root, &root_key)).unwrap().der().clone();
        let root = root.self_signed(&root_key).unwrap().der().clone();
        Self { root, root_key, issuing: issuing_der, params: issuing, key }
    }

    pub fn anchors(&self) -> Anchors {
        Anchors::of([self.root.clone()]).unwrap()
    }

    /// The policy, with this CA in place of ours.
    pub fn policy(&self, mut policy: Policy) -> Policy {
        let issuers = [self.root.clone(), self.issuing.clone()];
        let mut lists = RevocationLists::new();
        for (ca, key) in [(&self.root, &self.root_key), (&self.issuing, &self.key)] {
            let der = sign_revocation_list(ca, key, &[], 1, now(), now() + Duration::from_hours(96)).unwrap();
            lists.take(RevocationList::read(&der, &issuers).unwrap(), now()).unwrap();
        }
        policy.anchors = self.anchors();
        policy.revocation = Revocation::strict(lists, GRACE);
        policy.issuing = [IssuerKind::Servers, IssuerKind::Users]
            .map(|kind| PinnedIssuer { fingerprint: Fingerprint::of(&self.issuing), kind })
            .to_vec();
        policy
    }

    pub fn leaf(&self, names: &[&str], purpose: ExtendedKeyUsagePurpose) -> CertificateParams {
        let mut params = params("fe1.contoso.example");
        params.extended_key_usages = vec![purpose];
        params.subject_alt_names = names.iter().map(|name| SanType::DnsName((*name).try_into().unwrap())).collect();
        params
    }

    pub fn issue(&self, params: &CertificateParams) -> Holder {
        let key = Key::generate().unwrap();
        let leaf = params.signed_by(&key, &Issuer::from_params(&self.params, &self.key)).unwrap().der().clone();
        Holder { chain: vec![leaf, self.issuing.clone()], key }
    }
}

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

/// A client as lax as some phones are: believes any server, keeps sessions, and may hold a chain
/// whose key it does not have.
pub fn lax_client(version: &'static rustls::SupportedProtocolVersion, holder: Option<Holder>) -> Arc<ClientConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone()).with_protocol_versions(&[version]).unwrap();
    let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(Lax));
    Arc::new(match holder {
        None => builder.with_no_client_auth(),
        Some(Holder { chain, key }) => {
            let key = provider.key_provider.load_private_key(rustls::pki_types::PrivateKeyDer::Pkcs8(key.to_der().unwrap())).unwrap();
            builder.with_client_cert_resolver(Arc::new(Held(Arc::new(rustls::sign::CertifiedKey::new(chain, key)))))
        }
    })
}

#[derive(Debug)]
struct Held(Arc<rustls::sign::CertifiedKey>);

impl rustls::client::ResolvesClientCert for Held {
    fn resolve(&self, _hints: &[&[u8]], _schemes: &[rustls::SignatureScheme]) -> Option<Arc<rustls::sign::CertifiedKey>> {
        Some(self.0.clone())
    }
    fn has_certs(&self) -> bool {
        true
    }
}

#[derive(Debug)]
struct Lax;

impl ServerCertVerifier for Lax {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &rustls::pki_types::ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }
    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }
    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        vec![rustls::SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}

/// The same key once more.
pub fn copy(key: &Key) -> Key {
    Key::from_pem(key.to_pem().unwrap().expose()).unwrap()
}

/// What our client found, out of the error that rustls returns.
pub fn refusal_of(error: &rustls::Error) -> Refusal {
    trust::tls::refusal_of(error)
}

impl World {
    /// The same organisation, but its certificates come from this CA.
    pub fn of(ca: &Ca) -> Self {
        let world = Self::new();
        let policy = ca.policy(Policy::clone(&world.policy.current()));
        world.policy.replace(policy);
        world
    }

    /// What somebody believes who has not heard of any revocation.
    pub fn unrevoked(&self) -> Policy {
        let mut policy = Policy::clone(&self.policy.current());
        policy.revocation = Revocation::strict(self.authority.first_lists(&self.root, now()).unwrap(), GRACE);
        policy
    }

    /// Publishes a topology without this server: another one has its place.
    pub fn remove(&self, name: &str) {
        let mut policy = Policy::clone(&self.policy.current());
        let version = policy.topology.version();
        let text = policy.topology.to_commented_toml().replace(&format!("version = {version}"), &format!("version = {}", version + 1));
        policy.topology = Topology::parse(&text.replace(name, &format!("not-{name}"))).unwrap();
        self.policy.replace(policy);
    }
}
