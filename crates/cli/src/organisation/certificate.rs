//! The server's certificate: issued, kept with its key, replaced in time.

use std::{fs, path::Path, time::SystemTime};

use anyhow::Context as _;
use pki::{Authority, CertificateDer, CertificateFacts, Fqdn, Key, RevocationLists};
use store::{Embedded, IssuanceLedger as _};
use topology::Topology;
use zeroize::Zeroizing;

use super::Layout;
use crate::files::{self, Readers};

/// How much of its life sooner than at half of it a certificate may be replaced, as a part.
const JITTER_PART: u32 = 10;

/// The server's chain and the key of its leaf.
pub(crate) struct ServerCertificate {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: Key,
    pub(crate) facts: CertificateFacts,
}

/// Why a server certificate is to be replaced.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum Reason {
    #[error("it expired")]
    Expired,
    #[error("it was revoked")]
    Revoked,
    #[error("half of its life is over")]
    HalfLife,
    #[error("the topology gives the server other names by now")]
    OtherNames,
    #[error("another issuing CA has taken the place of its own")]
    OtherIssuer,
}

impl ServerCertificate {
    /// Reads chain and key and checks that they belong together. Where a power cut came between the two, what was to take their
    /// place is read and put there.
    ///
    /// # Errors
    /// A file is unreadable, or open to others, or does not fit the other.
    pub(crate) fn load(layout: &Layout) -> anyhow::Result<Self> {
        let next = layout.file(Layout::SERVER_NEXT);
        match Self::read(layout) {
            Err(_) if next.exists() => {
                let text = files::read_private(&next)?;
                let key = Key::from_pem(&text).with_context(|| next.display().to_string())?;
                Self::keep(layout, &pki::certificates_to_pem(&pki::certificates_from_pem(&text)?), key)
            }
            // Of an interrupted start of a renewal, which begins anew when it is due: it must not undo what an administrator puts here.
            Ok(read) => remove(&next).map(|()| read),
            Err(error) => Err(error),
        }
    }

    fn read(layout: &Layout) -> anyhow::Result<Self> {
        let key = files::read_private(&layout.file(Layout::SERVER_KEY))?;
        let key = Key::from_pem(&key).with_context(|| layout.file(Layout::SERVER_KEY).display().to_string())?;
        let path = layout.file(Layout::SERVER_CHAIN);
        let chain = pki::certificates_from_pem(&files::read(&path)?).with_context(|| path.display().to_string())?;
        Self::of(chain, key).with_context(|| path.display().to_string())
    }

    fn of(chain: Vec<CertificateDer<'static>>, key: Key) -> anyhow::Result<Self> {
        let facts = chain.first().and_then(pki::facts).context("this is no certificate")?;
        // The one check that key and leaf belong together lies where they are used.
        trust::tls::ServerIdentity::new(chain.clone(), &key)?;
        Ok(Self { chain, key, facts })
    }

    /// Puts a chain into place, with its key. Two files cannot be replaced at once, so both are written into one before: whenever the
    /// power is cut, the old pair is there or the new one (the key's old certificate is of no use, and nobody would issue another).
    ///
    /// # Errors
    /// They do not belong together, or a file cannot be written.
    pub(crate) fn keep(layout: &Layout, chain_pem: &str, key: Key) -> anyhow::Result<Self> {
        let new = Self::of(pki::certificates_from_pem(chain_pem)?, key)?;
        let (next, key_pem) = (layout.file(Layout::SERVER_NEXT), new.key.to_pem()?);
        let both = Zeroizing::new([key_pem.expose(), chain_pem].concat());
        files::write(&next, both.as_bytes(), Readers::Owner)?;
        files::write(&layout.file(Layout::SERVER_KEY), key_pem.expose(), Readers::Owner)?;
        files::write(&layout.file(Layout::SERVER_CHAIN), chain_pem, Readers::Everyone)?;
        remove(&next)?;
        Ok(new)
    }

    /// Issues a certificate for a new key, enters it into the ledger, and only then puts it into place.
    ///
    /// # Errors
    /// The CA does not issue (its time is over), or a file or the ledger cannot be written.
    pub(crate) async fn issue(
        layout: &Layout,
        authority: &Authority,
        topology: &Topology,
        server: &Fqdn,
        store: &Embedded,
        now: SystemTime,
    ) -> anyhow::Result<Self> {
        let names = topology.certificate_names(server).with_context(|| format!("the topology does not list {server}"))?;
        let key = Key::generate()?;
        let issued = authority.issue_server(&names, &key.public(), now)?;
        let entry = issued.chain.first().and_then(|leaf| store::Issued::read(store::Role::Server, leaf));
        store.record_issued(&entry.context("the certificate just issued cannot be read")?, now).await?;
        files::make_dir(&layout.file("server"))?;
        Self::keep(layout, &issued.chain_pem(), key)
    }

    /// Why it is to be replaced, if it is.
    pub(crate) fn renewal(
        &self,
        issuer: Option<&CertificateDer<'static>>,
        topology: &Topology,
        lists: &RevocationLists,
        server: &Fqdn,
        now: SystemTime,
    ) -> Option<Reason> {
        renewal(&self.chain, &self.facts, issuer, topology, lists, server, now)
    }
}

/// Why a server certificate with this chain is to be replaced, if it is; `issuer` is the CA that issues to servers now.
pub(crate) fn renewal(
    chain: &[CertificateDer<'static>],
    facts: &CertificateFacts,
    issuer: Option<&CertificateDer<'static>>,
    topology: &Topology,
    lists: &RevocationLists,
    server: &Fqdn,
    now: SystemTime,
) -> Option<Reason> {
    let wanted = topology.certificate_names(server).map(|names| names.dns().iter().map(Fqdn::to_string).collect::<Vec<_>>());
    let shown: Vec<&String> = facts.names.iter().filter(|name| !name.contains(':')).collect();
    if now > facts.not_after {
        Some(Reason::Expired)
    } else if is_revoked(chain, facts, lists) {
        Some(Reason::Revoked)
    } else if issuer.is_none() || chain.get(1) != issuer {
        Some(Reason::OtherIssuer)
    } else if wanted.is_none_or(|wanted| wanted.iter().collect::<Vec<_>>() != shown) {
        Some(Reason::OtherNames)
    } else if now >= renew_at(facts) {
        Some(Reason::HalfLife)
    } else {
        None
    }
}

fn remove(path: &Path) -> anyhow::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// One certificate may be revoked and its holder be a server of the organisation all the same: then nobody believes it until it has
/// another one. A server that was revoked by its name has no account any more, and gets none.
fn is_revoked(chain: &[CertificateDer<'static>], facts: &CertificateFacts, lists: &RevocationLists) -> bool {
    let issuer = chain.get(1).and_then(pki::facts).map(|issuer| issuer.public_key_fingerprint());
    lists.iter().any(|list| Some(list.issuer_key()) == issuer && list.contains(&facts.serial))
}

/// At half of its life, and up to a tenth of the life sooner: servers that joined on one day shall not all come at one moment. Never
/// later, for the other half is what an outage may last. The serial number decides: it is random, and the same after a restart.
fn renew_at(facts: &CertificateFacts) -> SystemTime {
    let life = facts.not_after.duration_since(facts.not_before).unwrap_or_default();
    let dice = facts.serial.as_bytes().last().copied().unwrap_or_default();
    pki::renew_at(facts.not_before, facts.not_after) - life / JITTER_PART * u32::from(dice) / u32::from(u8::MAX)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use pki::{Issued, RevocationReason, RevokedCertificate, Root};
    use topology::Listeners;

    use super::*;

    const SERVER: &str = "sip.verbund.test";

    struct World {
        root: Root,
        ca: Authority,
        topology: Topology,
        _dir: tempfile::TempDir,
        layout: Layout,
    }

    fn fqdn(name: &str) -> Fqdn {
        Fqdn::parse(name).unwrap()
    }

    impl World {
        fn new() -> Self {
            let (root, ca) = Authority::create("Verbund", &[fqdn("verbund.test")], SystemTime::now()).unwrap();
            let [sip, servers, https] = [5061, 5062, 8443].map(|port| Some(([127, 0, 0, 1], port).into()));
            let listeners = Listeners { sip, servers, https, ..Listeners::default() };
            let topology = Topology::single_server("Verbund", &fqdn("verbund.test"), &fqdn(SERVER), listeners).unwrap();
            let dir = tempfile::tempdir().unwrap();
            let layout = Layout::of(dir.path());
            files::make_dir(&layout.file("server")).unwrap();
            Self { root, ca, topology, _dir: dir, layout }
        }

        fn issue(&self) -> (Issued, Key) {
            let key = Key::generate().unwrap();
            (self.ca.issue_server(&self.topology.certificate_names(&fqdn(SERVER)).unwrap(), &key.public(), SystemTime::now()).unwrap(), key)
        }

        fn keep(&self) -> ServerCertificate {
            let (issued, key) = self.issue();
            ServerCertificate::keep(&self.layout, &issued.chain_pem(), key).unwrap()
        }

        /// As a renewal leaves the directory that a power cut ends after so many of its three files.
        fn cut_off_after(&self, written: usize) -> pki::Serial {
            let (issued, key) = self.issue();
            let (key, chain) = (key.to_pem().unwrap().expose().to_owned(), issued.chain_pem());
            let files = [(Layout::SERVER_NEXT, format!("{key}{chain}")), (Layout::SERVER_KEY, key), (Layout::SERVER_CHAIN, chain)];
            for (name, content) in files.iter().take(written) {
                files::write(&self.layout.file(name), content, Readers::Owner).unwrap();
            }
            issued.serial
        }

        fn load(&self) -> anyhow::Result<ServerCertificate> {
            let loaded = ServerCertificate::load(&self.layout);
            if loaded.is_ok() {
                assert!(!self.layout.file(Layout::SERVER_NEXT).exists(), "nothing is left to be mistaken for news");
            }
            loaded
        }

        fn reason(&self, certificate: &ServerCertificate, revoked: &[&pki::Serial], now: SystemTime) -> Option<Reason> {
            let revoked: Vec<_> = revoked
                .iter()
                .map(|serial| RevokedCertificate { serial: (*serial).clone(), at: now, reason: RevocationReason::Unspecified })
                .collect();
            let mut lists = RevocationLists::new();
            let issuers = [self.ca.issuing().clone(), self.ca.root().clone()];
            for der in [self.ca.servers().revocation_list(&revoked, 1, now), self.root.revocation_list(&[], 1, now)] {
                lists.take(pki::RevocationList::read(&der.unwrap(), &issuers).unwrap(), now).unwrap();
            }
            certificate.renewal(Some(self.ca.issuing()), &self.topology, &lists, &fqdn(SERVER), now)
        }
    }

    #[test]
    fn wherever_a_power_cut_ends_a_renewal_the_old_pair_is_there_or_the_new_one() {
        for (written, is_new) in [(0, false), (1, false), (2, true), (3, true)] {
            let world = World::new();
            let old = world.keep().facts.serial;
            let new = world.cut_off_after(written);
            let wanted = if is_new { new } else { old };
            assert_eq!(world.load().unwrap().facts.serial, wanted, "{written} files");
            // What was healed stays so.
            assert_eq!(world.load().unwrap().facts.serial, wanted, "{written} files");
        }
    }

    #[test]
    fn what_an_administrator_puts_there_is_not_undone_by_a_remainder() {
        let world = World::new();
        let remainder = world.cut_off_after(1);
        let wanted = world.keep().facts.serial;
        world.cut_off_after(1);
        assert_eq!(world.load().unwrap().facts.serial, wanted);
        assert_ne!(world.load().unwrap().facts.serial, remainder);
    }

    #[test]
    fn a_pair_that_does_not_fit_and_nothing_to_heal_it_by_is_told() {
        let world = World::new();
        world.keep();
        let other = Key::generate().unwrap();
        files::write(&world.layout.file(Layout::SERVER_KEY), other.to_pem().unwrap().expose(), Readers::Owner).unwrap();
        assert!(world.load().is_err());
        files::write(&world.layout.file(Layout::SERVER_NEXT), "nonsense", Readers::Owner).unwrap();
        assert!(world.load().is_err());
    }

    #[test]
    fn a_revoked_certificate_is_replaced_at_once_and_somebody_elses_revocation_is_nothing() {
        let world = World::new();
        let (certificate, now) = (world.keep(), SystemTime::now());
        let other = world.issue().0.serial;
        assert_eq!(world.reason(&certificate, &[], now), None);
        assert_eq!(world.reason(&certificate, &[&other], now), None);
        assert_eq!(world.reason(&certificate, &[&other, &certificate.facts.serial], now), Some(Reason::Revoked));
    }

    #[test]
    fn certificates_of_one_day_are_not_replaced_at_one_moment_and_none_after_half_its_life() {
        let world = World::new();
        let moments: Vec<Duration> = (0..40)
            .map(|_| {
                let ServerCertificate { facts, .. } = world.keep();
                let life = facts.not_after.duration_since(facts.not_before).unwrap();
                let moment = renew_at(&facts).duration_since(facts.not_before).unwrap();
                assert!(moment <= life / 2 && moment >= life * 2 / 5, "{moment:?} of {life:?}");
                moment
            })
            .collect();
        let (first, last) = (moments.iter().min().unwrap(), moments.iter().max().unwrap());
        assert!(*last - *first > Duration::from_hours(2), "they come one after the other");
    }
}
