//! An organisation made for a test, and the TLS configurations of its clients, good and bad.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use net::Gate;
use pki::{Anchors, Authority, CertificateDer, Fqdn, Key, Revocation, ServerNames, SipUser};
use rustls::{ClientConfig, RootCertStore, time_provider::DefaultTimeProvider};
use topology::{Listeners, Topology};
use trust::{
    Listener, LivePolicy, Policy,
    tls::{ClientIdentity, ServerIdentity, client_config},
};

/// What the server's certificate says.
pub const SERVER_NAME: &str = "sip.verbund.test";

/// An organisation of the test's own.
pub struct TestPki {
    authority: Authority,
    /// What the server shows; replaced as `trust` allows.
    pub identity: Arc<ServerIdentity>,
    policy: Arc<LivePolicy>,
}

/// A client without a certificate, in another process than the server.
pub fn client_trusting(root_hex: &str) -> Arc<ClientConfig> {
    let byte = |at: usize| u8::from_str_radix(&root_hex[at..at + 2], 16).unwrap();
    let root: Vec<u8> = (0..root_hex.len()).step_by(2).map(byte).collect();
    let anchors = Anchors::of([CertificateDer::from(root)]).unwrap();
    client_config(anchors, Revocation::none(), None, Arc::new(DefaultTimeProvider)).unwrap()
}

fn fqdn(text: &str) -> Fqdn {
    Fqdn::parse(text).unwrap()
}

impl TestPki {
    pub fn new() -> Self {
        let (domain, server) = (fqdn("verbund.test"), fqdn(SERVER_NAME));
        let now = SystemTime::now();
        let (root, authority) = Authority::create("net tests", std::slice::from_ref(&domain), now).unwrap();
        let (chain, key) = Self::server_certificate(&authority);
        let listeners = Listeners { sip: Some(([127, 0, 0, 1], 5061).into()), ..Listeners::default() };
        let topology = Topology::single_server("net tests", &domain, &server, listeners).unwrap();
        let revocation = Revocation::strict(authority.first_lists(&root, now).unwrap(), Duration::ZERO);
        let policy = LivePolicy::new(Policy { topology, anchors: authority.anchors(), revocation, issuing: authority.pinned() });
        Self { identity: ServerIdentity::new(chain, &key).unwrap(), policy, authority }
    }

    fn server_certificate(authority: &Authority) -> (Vec<CertificateDer<'static>>, Key) {
        let names = ServerNames { server: fqdn(SERVER_NAME), aliases: Vec::new(), domains: vec![fqdn("verbund.test")] };
        let key = Key::generate().unwrap();
        (authority.issue_server(&names, &key.public(), SystemTime::now()).unwrap().chain, key)
    }

    pub fn new_server_certificate(&self) -> (Vec<CertificateDer<'static>>, Key) {
        Self::server_certificate(&self.authority)
    }

    pub fn gate(&self) -> Gate {
        Gate::new(Listener::Clients, Arc::clone(&self.identity), Arc::clone(&self.policy), Arc::new(DefaultTimeProvider)).unwrap()
    }

    /// The root, for a client in another process.
    pub fn root_hex(&self) -> String {
        self.authority.root().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// A client without a certificate.
    pub fn client(&self) -> Arc<ClientConfig> {
        client_config(self.authority.anchors(), Revocation::none(), None, Arc::new(DefaultTimeProvider)).unwrap()
    }

    /// A client whose certificate names this user.
    pub fn client_of(&self, user: &str) -> Arc<ClientConfig> {
        Self::client_issued_by(&self.authority, user, self.authority.anchors())
    }

    /// A client whose certificate is another organisation's.
    pub fn client_of_a_stranger(&self) -> Arc<ClientConfig> {
        let (_, stranger) = Authority::create("strangers", &[fqdn("verbund.test")], SystemTime::now()).unwrap();
        Self::client_issued_by(&stranger, "alice", self.authority.anchors())
    }

    fn client_issued_by(authority: &Authority, user: &str, anchors: Anchors) -> Arc<ClientConfig> {
        let key = Key::generate().unwrap();
        let user = SipUser::new(user, fqdn("verbund.test")).unwrap();
        let chain = authority.issue_user(&user, &key.public(), SystemTime::now()).unwrap().chain;
        client_config(anchors, Revocation::none(), Some(ClientIdentity { chain, key: &key }), Arc::new(DefaultTimeProvider)).unwrap()
    }

    /// A client that speaks TLS 1.2 only, as Linphone and PJSIP do.
    pub fn client_of_tls12(&self) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.root().clone()).unwrap();
        let config = ClientConfig::builder_with_protocol_versions(&[&rustls::version::TLS12]);
        Arc::new(config.with_root_certificates(roots).with_no_client_auth())
    }
}
