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
