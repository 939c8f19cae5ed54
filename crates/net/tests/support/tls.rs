//! An organisation made for a test: its CA, its policy, its clock, and the TLS configurations of its clients, good and bad.

use std::{
    fmt::Write as _,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, SystemTime},
};

use net::{Dialler, Gate};
use pki::{
    Anchors, Authority, CertificateDer, Fqdn, IssuerName, Key, Revocation, RevocationList, RevocationReason, RevokedCertificate, Root,
    ServerNames, SipUser,
};
use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, Issuer, SanType};
use rustls::{
    ClientConfig, RootCertStore, SupportedProtocolVersion,
    pki_types::{PrivateKeyDer, UnixTime},
    time_provider::TimeProvider,
};
use topology::Topology;
use trust::{
    Listener, LivePolicy, Policy,
    tls::{ClientIdentity, Clock, ServerIdentity, client_config},
};

/// What the server's certificate says.
pub const SERVER_NAME: &str = "sip.verbund.test";
/// How many other servers are listed: `fe1.verbund.test` and so on.
pub const OTHER_SERVERS: usize = 20;

/// The system's time, set back or forward.
#[derive(Debug, Default)]
pub struct TestClock(AtomicI64);

impl TestClock {
    pub fn go_forward(&self, time: Duration) {
        self.0.fetch_add(time.as_secs().cast_signed(), Ordering::Relaxed);
    }

    pub fn now(&self) -> SystemTime {
        SystemTime::now() + Duration::from_secs(self.0.load(Ordering::Relaxed).cast_unsigned())
    }
}

impl TimeProvider for TestClock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(self.now().duration_since(SystemTime::UNIX_EPOCH).unwrap()))
    }
}

/// A chain and its key.
pub struct Holder {
    pub chain: Vec<CertificateDer<'static>>,
    pub key: Key,
}

impl Holder {
    pub fn identity(&self) -> Arc<ServerIdentity> {
        ServerIdentity::new(self.chain.clone(), &self.key).unwrap()
    }
}

/// An organisation of the test's own.
pub struct TestPki {
    root: Root,
    authority: Authority,
    /// What the server shows; replaced as `trust` allows.
    pub identity: Arc<ServerIdentity>,
    pub policy: Arc<LivePolicy>,
    pub clock: Arc<TestClock>,
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

/// A client without a certificate, in another process than the server.
pub fn client_trusting(root_hex: &str) -> Arc<ClientConfig> {
    let anchors = Anchors::of([CertificateDer::from(unhex(root_hex))]).unwrap();
    client_config(anchors, Revocation::none(), None, Arc::new(TestClock::default())).unwrap()
}

/// A server that calls, in another process than the one that is called.
pub fn link_trusting(root_hex: &str, chain_hex: &[&str], key_hex: &str) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(unhex(root_hex))).unwrap();
    let chain = chain_hex.iter().map(|der| CertificateDer::from(unhex(der))).collect();
    let key = PrivateKeyDer::Pkcs8(unhex(key_hex).into());
    Arc::new(ClientConfig::builder().with_root_certificates(roots).with_client_auth_cert(chain, key).unwrap())
}

pub fn fqdn(text: &str) -> Fqdn {
    Fqdn::parse(text).unwrap()
}

/// The list with the server itself and all others but `missing`.
fn topology(version: u64, missing: &[&str]) -> Topology {
    let mut text = format!("version = {version}\norganisation = \"net tests\"\ndomains = [\"verbund.test\"]\n");
    let others = (1..=OTHER_SERVERS).map(|number| format!("fe{number}.verbund.test"));
    for (number, name) in std::iter::once(SERVER_NAME.to_owned()).chain(others).enumerate() {
        let roles = if number == 0 { "\"authority\", \"front-end\"" } else { "\"front-end\"" };
        let https = if number == 0 { "https = \"127.0.0.1:8443\"\n" } else { "" };
        if !missing.contains(&&*name) {
            writeln!(text, "[[pool]]\nname = \"{name}\"\n[[pool.server]]\nfqdn = \"{name}\"\nroles = [{roles}]").unwrap();
            writeln!(text, "sip = \"127.0.0.1:{}\"\nservers = \"127.0.0.1:{}\"\n{https}", 5000 + number, 6000 + number).unwrap();
        }
    }
    Topology::parse(&text).unwrap()
}

impl TestPki {
    pub fn new() -> Self {
        let (now, clock) = (SystemTime::now(), Arc::new(TestClock::default()));
        // Old enough to have issued what has ended by now.
        let (root, authority) = Authority::create("net tests", &[fqdn("verbund.test")], now - Duration::from_hours(24 * 30)).unwrap();
        let own = server_of(&authority, SERVER_NAME, now);
        let policy = LivePolicy::new(Policy {
            topology: topology(1, &[]),
            anchors: authority.anchors(),
            revocation: Revocation::strict(authority.first_lists(&root, now).unwrap(), Duration::ZERO),
            issuing: authority.pinned(),
        });
        Self { root, authority, identity: own.identity(), policy, clock }
    }

    pub fn new_server_certificate(&self) -> (Vec<CertificateDer<'static>>, Key) {
        let Holder { chain, key } = self.server(SERVER_NAME);
        (chain, key)
    }

    fn clock(&self) -> Clock {
        Arc::clone(&self.clock) as Clock
    }

    /// The port for clients.
    pub fn gate(&self) -> Gate {
        Gate::new(Listener::Clients, Arc::clone(&self.identity), Arc::clone(&self.policy), self.clock()).unwrap()
    }

    /// The port for servers, of a server that shows `identity`.
    pub fn gate_for_servers(&self, identity: Arc<ServerIdentity>) -> Gate {
        Gate::new(Listener::Servers, identity, Arc::clone(&self.policy), self.clock()).unwrap()
    }

    /// How a server that shows `identity` calls others.
    pub fn dialler(&self, identity: Arc<ServerIdentity>) -> Dialler {
        Dialler::new(identity, Arc::clone(&self.policy), self.clock()).unwrap()
    }

    /// The root, for a client in another process.
    pub fn root_hex(&self) -> String {
        hex(self.authority.root())
    }

    /// A client without a certificate.
    pub fn client(&self) -> Arc<ClientConfig> {
        self.config(None)
    }

    fn config(&self, holder: Option<&Holder>) -> Arc<ClientConfig> {
        let identity = holder.map(|holder| ClientIdentity { chain: holder.chain.clone(), key: &holder.key });
        client_config(self.authority.anchors(), Revocation::none(), identity, self.clock()).unwrap()
    }

    /// A client that shows this.
    pub fn client_with(&self, holder: &Holder) -> Arc<ClientConfig> {
        self.config(Some(holder))
    }

    /// A client whose certificate names this user.
    pub fn client_of(&self, user: &str) -> Arc<ClientConfig> {
        self.client_with(&self.user(user))
    }

    /// A client whose certificate is another organisation's.
    pub fn client_of_a_stranger(&self) -> Arc<ClientConfig> {
        self.client_with(&user_of(&stranger(), "alice", SystemTime::now()))
    }

    /// A certificate of a listed server, or of one that might be.
    pub fn server(&self, name: &str) -> Holder {
        server_of(&self.authority, name, SystemTime::now())
    }

    /// The same, issued then.
    pub fn server_since(&self, name: &str, then: SystemTime) -> Holder {
        server_of(&self.authority, name, then)
    }

    /// A server's certificate of another organisation.
    pub fn foreign_server(&self, name: &str) -> Holder {
        server_of(&stranger(), name, SystemTime::now())
    }

    pub fn user(&self, user: &str) -> Holder {
        user_of(&self.authority, user, SystemTime::now())
    }

    /// A certificate of our own CA for servers that it would never issue: `names` as they stand, for any purpose.
    pub fn misissued(&self, names: &[&str], purpose: ExtendedKeyUsagePurpose) -> Holder {
        let ca = Key::from_pem(self.authority.key_pem().unwrap().expose()).unwrap();
        let issuer = Issuer::from_ca_cert_der(self.authority.issuing(), &ca).unwrap();
        let key = Key::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "fe1.verbund.test");
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![rcgen::KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![purpose];
        params.subject_alt_names = names.iter().map(|name| SanType::DnsName((*name).try_into().unwrap())).collect();
        let now = self.clock.now();
        params.not_before = (now - Duration::from_hours(1)).into();
        params.not_after = (now + Duration::from_hours(24)).into();
        let leaf = params.signed_by(&key, &issuer).unwrap().der().clone();
        Holder { chain: vec![leaf, self.authority.issuing().clone()], key }
    }

    /// Clients that speak one version only and would resume a session if they were offered one.
    pub fn resuming_client(&self, version: &'static SupportedProtocolVersion, holder: Option<&Holder>) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.root().clone()).unwrap();
        let builder = ClientConfig::builder_with_protocol_versions(&[version]).with_root_certificates(roots);
        Arc::new(match holder {
            None => builder.with_no_client_auth(),
            Some(Holder { chain, key }) => {
                builder.with_client_auth_cert(chain.clone(), PrivateKeyDer::Pkcs8(key.to_der().unwrap())).unwrap()
            }
        })
    }

    /// A client that speaks TLS 1.2 only, as Linphone and PJSIP do.
    pub fn client_of_tls12(&self) -> Arc<ClientConfig> {
        self.resuming_client(&rustls::version::TLS12, None)
    }

    fn change(&self, change: impl FnOnce(&mut Policy)) {
        let mut policy = Policy::clone(&self.policy.current());
        change(&mut policy);
        self.policy.replace(policy);
    }

    /// Takes servers off the list; those that were off it before come back.
    pub fn delist(&self, missing: &[&str]) {
        self.change(|policy| policy.topology = topology(policy.topology.version() + 1, missing));
    }

    /// Takes a certificate out of service, besides those that are.
    pub fn revoke(&self, holder: &Holder) {
        let (issuer, now) = (IssuerName::of(&holder.chain[0]).unwrap(), self.clock.now());
        let serial = pki::facts(&holder.chain[0]).unwrap().serial;
        self.change(|policy| {
            let mut lists = policy.revocation.lists().clone();
            let held = lists.iter().find(|list| *list.issuer() == issuer).unwrap();
            let entry =
                |serial: &pki::Serial| RevokedCertificate { serial: serial.clone(), at: now, reason: RevocationReason::KeyCompromise };
            let revoked: Vec<_> = held.serials().chain([&serial]).map(entry).collect();
            let ca = self.authority.issuing_authorities().find(|ca| ca.certificate() == &holder.chain[1]).unwrap();
            let der = ca.revocation_list(&revoked, held.number() + 1, now).unwrap();
            lists.take(RevocationList::read(&der, &holder.chain[1..]).unwrap(), now).unwrap();
            policy.revocation = Revocation::strict(lists, Duration::ZERO);
        });
    }

    /// The lists of this moment, as the authority signs them from time to time; nothing is revoked.
    pub fn renew_lists(&self) {
        let lists = self.authority.first_lists(&self.root, self.clock.now()).unwrap();
        self.change(|policy| policy.revocation = Revocation::strict(lists, Duration::ZERO));
    }
}

fn stranger() -> Authority {
    Authority::create("strangers", &[fqdn("verbund.test")], SystemTime::now()).unwrap().1
}

fn server_of(authority: &Authority, name: &str, now: SystemTime) -> Holder {
    let names = ServerNames { server: fqdn(name), aliases: Vec::new(), domains: vec![fqdn("verbund.test")] };
    let key = Key::generate().unwrap();
    Holder { chain: authority.issue_server(&names, &key.public(), now).unwrap().chain, key }
}

fn user_of(authority: &Authority, user: &str, now: SystemTime) -> Holder {
    let key = Key::generate().unwrap();
    let user = SipUser::new(user, fqdn("verbund.test")).unwrap();
    Holder { chain: authority.issue_user(&user, &key.public(), now).unwrap().chain, key }
}
