//! The server's certificate stays young while the server runs: a new one at half of its life, and the one on
//! disk when an administrator asks for it (SIGHUP). Connections stay open, handshakes from then on show the new one.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use metrics::gauge;
use pki::{Authority, Fqdn};
use store::Embedded;
use tokio::time::sleep;
use topology::Topology;
use trust::tls::ServerIdentity;
use web::admin::rfc3339;

use crate::organisation::{Layout, Organisation, Reason, ServerCertificate};

/// The clock is looked at this often: it may be set, and machines sleep.
const LOOK_EVERY: Duration = Duration::from_mins(10);

pub(super) struct Renewal {
    layout: Layout,
    authority: Arc<Authority>,
    topology: Topology,
    server: Fqdn,
    store: Embedded,
    identity: Arc<ServerIdentity>,
}

impl Renewal {
    pub(super) fn of(organisation: &Organisation, identity: Arc<ServerIdentity>) -> Self {
        Self {
            layout: organisation.layout.clone(),
            authority: Arc::clone(&organisation.authority),
            topology: organisation.topology.clone(),
            server: organisation.manifest.server_name.clone(),
            store: organisation.store.clone(),
            identity,
        }
    }

    /// Replaces the certificate whenever it is time. A failure is told and tried again at the next look; half of
    /// the certificate's life is left for that.
    pub(super) async fn run(self: Arc<Self>) {
        loop {
            if let Err(error) = self.renew_if_due(SystemTime::now()).await {
                tracing::error!(server = %self.server, error = format!("{error:#}"), "server certificate not renewed; it is tried again");
            }
            self.count();
            sleep(LOOK_EVERY).await;
        }
    }

    async fn renew_if_due(&self, now: SystemTime) -> anyhow::Result<()> {
        let Some(shown) = self.identity.chain().first().and_then(pki::facts) else { return Ok(()) };
        if now < pki::renew_at(shown.not_before, shown.not_after) {
            return Ok(());
        }
        let new = ServerCertificate::issue(&self.layout, &self.authority, &self.topology, &self.server, &self.store, now).await?;
        self.show(new)
    }

    /// Shows what lies in `server/`, if it is good; else goes on with what is shown.
    pub(super) fn reload(&self) {
        let loaded = ServerCertificate::load(&self.layout).and_then(|certificate| {
            let reason = certificate.renewal(&self.authority, &self.topology, &self.server, SystemTime::now());
            match reason {
                Some(reason @ (Reason::Expired | Reason::OtherNames | Reason::OtherIssuer)) => {
                    anyhow::bail!("the certificate on disk cannot be shown: {reason}")
                }
                Some(Reason::HalfLife) | None => self.show(certificate),
            }
        });
        if let Err(error) = loaded {
            tracing::error!(server = %self.server, error = format!("{error:#}"), "certificate not read again; the old one stays");
        }
        self.count();
    }

    fn show(&self, certificate: ServerCertificate) -> anyhow::Result<()> {
        self.identity.replace(certificate.chain, &certificate.key)?;
        let (serial, not_after) = (&certificate.facts.serial, rfc3339(certificate.facts.not_after));
        tracing::info!(server = %self.server, %serial, not_after, "server certificate in force");
        Ok(())
    }

    fn count(&self) {
        let Some(shown) = self.identity.chain().first().and_then(pki::facts) else { return };
        let certificates =
            [("server", Some(shown)), ("issuing", pki::facts(self.authority.issuing())), ("root", pki::facts(self.authority.root()))];
        for (name, facts) in certificates {
            let ends = facts.and_then(|facts| facts.not_after.duration_since(SystemTime::UNIX_EPOCH).ok());
            gauge!("verbund_certificate_expiry_seconds", "name" => name).set(ends.unwrap_or_default().as_secs_f64());
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::path::Path;

    use store::IssuanceLedger as _;
    use topology::{Listeners, MediaPolicy};

    use super::*;
    use crate::organisation::{self, Plan};

    const DAY: Duration = Duration::from_hours(24);

    async fn organisation(data: &Path) -> Organisation {
        let listeners = Listeners { sip: Some("127.0.0.1:5061".parse().unwrap()), ..Listeners::default() };
        let plan = Plan { domain: Fqdn::parse("verbund.test").unwrap(), listeners, media: MediaPolicy::Require, users: Vec::new() };
        let lock = organisation::make(data, &plan, SystemTime::now()).await.unwrap();
        Organisation::open(data, lock, SystemTime::now()).await.unwrap()
    }

    /// Looks at the certificate `after` so long; whether another one is shown then, on disk and in the ledger.
    async fn check(after: Duration, renewed: bool) {
        let dir = tempfile::tempdir().unwrap();
        let organisation = organisation(&dir.path().join("data")).await;
        let certificate = &organisation.certificate;
        let identity = ServerIdentity::new(certificate.chain.clone(), &certificate.key).unwrap();
        let renewal = Renewal::of(&organisation, Arc::clone(&identity));
        renewal.renew_if_due(SystemTime::now() + after).await.unwrap();
        let shown = identity.chain().first().and_then(pki::facts).unwrap();
        assert_eq!(shown.serial != certificate.facts.serial, renewed);
        let on_disk = ServerCertificate::load(&organisation.layout).unwrap();
        assert_eq!(on_disk.facts.serial, shown.serial);
        assert!(organisation.store.certificate(&shown.serial).await.unwrap().is_some(), "it is in the ledger");
        organisation.store.close().await;
    }

    #[tokio::test]
    async fn a_certificate_is_replaced_at_half_of_its_life() {
        check(4 * DAY, true).await;
    }

    #[tokio::test]
    async fn a_young_certificate_is_kept() {
        check(3 * DAY, false).await;
    }

    #[tokio::test]
    async fn what_lies_on_disk_is_shown_when_asked_for_and_only_if_it_is_good() {
        let dir = tempfile::tempdir().unwrap();
        let organisation = organisation(&dir.path().join("data")).await;
        let (layout, server, now) = (&organisation.layout, &organisation.manifest.server_name, SystemTime::now());
        let certificate = &organisation.certificate;
        let identity = ServerIdentity::new(certificate.chain.clone(), &certificate.key).unwrap();
        let renewal = Renewal::of(&organisation, Arc::clone(&identity));
        let (authority, topology, store) = (&organisation.authority, &organisation.topology, &organisation.store);
        let new = ServerCertificate::issue(layout, authority, topology, server, store, now).await.unwrap();
        renewal.reload();
        assert_eq!(identity.chain(), new.chain);
        // One of somebody else's CA, for the same names.
        let (_, other) = Authority::create("other", organisation.authority.domains(), now).unwrap();
        ServerCertificate::issue(layout, &other, topology, server, store, now).await.unwrap();
        renewal.reload();
        assert_eq!(identity.chain(), new.chain);
        store.close().await;
    }
}
