//! The server's end of TLS.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use arc_swap::{ArcSwap, ArcSwapOption};
use ocsp::{StapleFault, Stapled, Status, read_staple};
use pki::{CertificateDer, Key};
use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs::sign::any_supported_type},
    server::{ClientHello, NoServerSessionStorage, ResolvesServerCert},
    sign::CertifiedKey,
};
use rustls_pki_types::PrivateKeyDer;
use zeroize::Zeroize as _;

use super::{
    Clock, TlsFault, VERSIONS, provider,
    verifier::{Verifier, system_time},
};
use crate::{Listener, LivePolicy};

/// What this server shows of itself: one certificate with its key, on every port. It can be
/// replaced at any time; handshakes from then on show the new one, open connections stay.
///
/// With it goes an OCSP answer that says it was not revoked, while there is one ([`staple`](Self::staple)).
///
/// The name a client asks for (SNI) selects nothing: a client that asks for a name which the
/// certificate lacks, or for none (it dialled an address), gets the same certificate, the same
/// checks, and judges the name itself (row N35: no name leads to something weaker).
///
/// One that was [withdrawn](Self::withdraw) is shown to nobody who comes, until it is replaced.
pub struct ServerIdentity {
    shown: ArcSwap<Shown>,
    /// What was shown when it was withdrawn; another one is not meant.
    withdrawn: ArcSwapOption<CertifiedKey>,
    edition: AtomicU64,
}

struct Shown {
    bare: Arc<CertifiedKey>,
    stapled: Option<WithStaple>,
}

/// The same certificate with an answer about it, and until when that counts.
struct WithStaple {
    certified: Arc<CertifiedKey>,
    until: SystemTime,
}

impl Shown {
    fn bare(certified: CertifiedKey) -> Self {
        Self { bare: Arc::new(certified), stapled: None }
    }
}

impl ServerIdentity {
    /// Starts with this chain (the leaf first) and its key.
    ///
    /// # Errors
    /// The key is not that of the leaf.
    pub fn new(chain: Vec<CertificateDer<'static>>, key: &Key) -> Result<Arc<Self>, TlsFault> {
        let shown = ArcSwap::from_pointee(Shown::bare(certified(chain, key)?));
        Ok(Arc::new(Self { shown, withdrawn: ArcSwapOption::empty(), edition: AtomicU64::new(0) }))
    }

    /// Shows another chain from now on. If it does not fit its key, the old one stays. What was stapled to the old one goes.
    ///
    /// # Errors
    /// The key is not that of the leaf.
    pub fn replace(&self, chain: Vec<CertificateDer<'static>>, key: &Key) -> Result<(), TlsFault> {
        self.shown.store(Arc::new(Shown::bare(certified(chain, key)?)));
        // Only now: whoever reads the number before a handshake must not take an older certificate for a newer one.
        self.edition.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    /// Counts what is shown: a handshake that begins now shows this edition, or one that came since.
    pub fn edition(&self) -> u64 {
        self.edition.load(Ordering::SeqCst)
    }

    /// This chain was revoked: while it is the one to be shown, every handshake fails at our port. Clients that know no
    /// revocation lists, as most phones, would believe it for as long as it lasts.
    pub fn withdraw(&self, chain: &[CertificateDer<'_>]) {
        let shown = self.current();
        if shown.cert == chain {
            self.withdrawn.store(Some(shown));
        }
    }

    fn is_withdrawn(&self) -> bool {
        self.withdrawn.load().as_ref().is_some_and(|withdrawn| Arc::ptr_eq(withdrawn, &self.shown.load().bare))
    }

    /// Sends this OCSP answer (RFC 6960, in DER) along to whoever asks for one (RFC 6066 §8), until it ends; then nothing is sent,
    /// which is better than something that does not count. Only one that says that our certificate is good is ever sent: one that
    /// says otherwise takes away what was sent before. Returns what it says.
    ///
    /// # Errors
    /// It counts for nothing; what was sent before is sent still.
    pub fn staple(&self, answer: Vec<u8>, now: SystemTime) -> Result<Stapled, StapleFault> {
        let shown = self.shown.load_full();
        let (leaf, issuer) = (shown.bare.cert.first().and_then(pki::facts), shown.bare.cert.get(1));
        let (Some(leaf), Some(issuer)) = (leaf, issuer) else { return Err(StapleFault::OtherCertificate) };
        let read = read_staple(&answer, issuer, &leaf.serial, now)?;
        let stapled = match read.status {
            Status::Good => {
                let certified = Arc::new(CertifiedKey { ocsp: Some(answer), ..CertifiedKey::clone(&shown.bare) });
                Some(WithStaple { certified, until: read.next_update })
            }
            Status::Revoked { .. } | Status::Unknown => None,
        };
        // A certificate that took its place meanwhile is another one.
        let new = Arc::new(Shown { bare: Arc::clone(&shown.bare), stapled });
        self.shown.compare_and_swap(&shown, new);
        Ok(read)
    }

    /// Until when the answer counts that is sent along, if one is.
    pub fn stapled_until(&self) -> Option<SystemTime> {
        self.shown.load().stapled.as_ref().map(|stapled| stapled.until)
    }

    /// Without an answer: those who are called look at none.
    pub(super) fn current(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.shown.load().bare)
    }

    /// With the answer that counts at this moment.
    fn at(&self, now: SystemTime) -> Arc<CertifiedKey> {
        let shown = self.shown.load();
        let stapled = shown.stapled.as_ref().filter(|stapled| now < stapled.until);
        Arc::clone(stapled.map_or(&shown.bare, |stapled| &stapled.certified))
    }

    /// The name of the CA that issued what is shown now, in DER; nothing if that cannot be read.
    fn issuer(&self) -> Vec<Vec<u8>> {
        self.shown.load().bare.cert.first().and_then(pki::IssuerName::of).map(|issuer| issuer.to_der()).into_iter().collect()
    }

    /// The chain shown now, the leaf first.
    pub fn chain(&self) -> Vec<CertificateDer<'static>> {
        self.shown.load().bare.cert.clone()
    }
}

impl std::fmt::Debug for ServerIdentity {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("ServerIdentity(..)")
    }
}

/// An identity on a port, which knows the time: an answer that has ended is not sent.
#[derive(Debug)]
struct OnPort {
    identity: Arc<ServerIdentity>,
    clock: Clock,
}

impl ResolvesServerCert for OnPort {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        if self.identity.is_withdrawn() {
            return None;
        }
        Some(match self.clock.current_time() {
            Some(now) => self.identity.at(system_time(now)),
            None => self.identity.current(),
        })
    }
}

/// A chain and its key as rustls wants them, checked to belong together. The key's octets are wiped
/// once the TLS library has read them.
pub(super) fn certified(chain: Vec<CertificateDer<'static>>, key: &Key) -> Result<CertifiedKey, TlsFault> {
    let mut octets = PrivateKeyDer::Pkcs8(key.to_der()?);
    let signing_key = any_supported_type(&octets);
    octets.zeroize();
    let certified = CertifiedKey::new(chain, signing_key.map_err(TlsFault::Identity)?);
    certified.keys_match().map_err(TlsFault::Identity)?;
    Ok(certified)
}

/// TLS for SIP on a port of this kind. A certificate is asked for on every port, and demanded on
/// a server port; whatever is shown is judged by the policy in force at that moment.
///
/// # Errors
/// The TLS library lacks what is needed.
pub fn server_config(
    listener: Listener,
    identity: Arc<ServerIdentity>,
    policy: Arc<LivePolicy>,
    clock: Clock,
) -> Result<Arc<ServerConfig>, TlsFault> {
    Ok(Arc::new(config(listener, identity, policy, clock)?))
}

/// TLS for HTTPS, HTTP/2 or 1.1. A certificate is asked for, so that servers of the organisation can
/// prove themselves, and whatever is shown is judged: browsers and tools show none. The hint names the
/// issuing CA of servers only, so a browser does not offer its user's certificate.
///
/// # Errors
/// The TLS library lacks what is needed.
pub fn web_config(identity: Arc<ServerIdentity>, policy: Arc<LivePolicy>, clock: Clock) -> Result<Arc<ServerConfig>, TlsFault> {
    let mut config = config(Listener::Web, identity, policy, clock)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn config(listener: Listener, identity: Arc<ServerIdentity>, policy: Arc<LivePolicy>, clock: Clock) -> Result<ServerConfig, TlsFault> {
    let provider = provider();
    let hints = match listener {
        Listener::Clients | Listener::Servers => policy.current().anchors.subjects(),
        // The root vouches for users too, and theirs shall not be offered: our own issuer's name instead.
        Listener::Web => identity.issuer(),
    };
    let verifier = Verifier::new(listener, policy, provider.signature_verification_algorithms, hints);
    let builder = builder(provider, Arc::clone(&clock))?.with_client_cert_verifier(Arc::new(verifier));
    Ok(without_resumption(builder.with_cert_resolver(Arc::new(OnPort { identity, clock }))))
}

type Builder = rustls::ConfigBuilder<ServerConfig, rustls::WantsVerifier>;

fn builder(provider: Arc<CryptoProvider>, clock: Clock) -> Result<Builder, TlsFault> {
    ServerConfig::builder_with_details(provider, clock).with_protocol_versions(VERSIONS).map_err(TlsFault::Library)
}

/// No session outlives its decision: no tickets (1.3), no tickets and no session ids (1.2).
fn without_resumption(mut config: ServerConfig) -> ServerConfig {
    config.send_tls13_tickets = 0;
    config.max_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.max_early_data_size = 0;
    // Ours is the better order: post-quantum first, AES-256 first.
    config.ignore_client_order = true;
    config
}
