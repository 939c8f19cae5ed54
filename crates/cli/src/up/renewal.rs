//! The server's certificate stays young while the server runs: a new one at half of its life or when the authority says so, and
//! the one on disk when an administrator asks for it (SIGHUP). Connections stay open, handshakes from then on show the new one.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::Context as _;
use authority::Ca;
use member::Member;
use metrics::gauge;
use pki::Fqdn;
use store::Embedded;
use tokio::{sync::mpsc, time::sleep};
use trust::tls::ServerIdentity;
use web::admin::rfc3339;

use super::{Seat, Start};
use crate::{
    join,
    organisation::{Layout, Reason, ServerCertificate, renewal},
};

/// The clock is looked at this often: it may be set, and machines sleep.
const LOOK_EVERY: Duration = Duration::from_mins(10);
/// After a failure it is tried again this soon.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(30);

pub(super) struct Renewal {
    layout: Layout,
    member: Arc<Member>,
    server: Fqdn,
    store: Embedded,
    identity: Arc<ServerIdentity>,
    source: Source,
}

/// Where a new certificate comes from.
enum Source {
    Ours(Arc<Ca>),
    /// The authority's, by the account that was made when this server joined.
    Authority(SocketAddr),
}

impl Renewal {
    pub(super) fn of(start: &Start, identity: Arc<ServerIdentity>, member: Arc<Member>) -> Self {
        let source = match &start.seat {
            Seat::Authority(ca) => Source::Ours(Arc::clone(ca)),
            Seat::Member(address) => Source::Authority(*address),
        };
        Self { layout: start.layout.clone(), member, server: start.server_name.clone(), store: start.store.clone(), identity, source }
    }

    /// Replaces the certificate whenever it is time. A failure is told and tried again; half of the certificate's life is left
    /// for that.
    pub(super) async fn run(self: Arc<Self>, mut asked: mpsc::Receiver<()>) {
        let mut changed = self.member.in_force();
        let mut wanted = false;
        loop {
            let renewed = if wanted { self.renew(SystemTime::now()).await } else { self.renew_if_due(SystemTime::now()).await };
            let failed = renewed.is_err();
            let wait = match renewed {
                Ok(()) => {
                    wanted = false;
                    LOOK_EVERY
                }
                Err(error) => {
                    tracing::error!(server = %self.server, error = format!("{error:#}"), "server certificate not renewed; it is tried again");
                    TRY_AGAIN_AFTER
                }
            };
            self.count();
            // What was wanted and failed is wanted still.
            tokio::select! {
                Some(()) = asked.recv() => wanted = true,
                // Nobody asks where this is the authority: it sees for itself. What failed may succeed by fresher lists.
                _ = changed.changed(), if self.is_ours() || failed => {}
                // Servers that started together do not all come at the same moment.
                () = sleep(member::jittered(wait)) => {}
            }
        }
    }

    fn is_ours(&self) -> bool {
        matches!(self.source, Source::Ours(_))
    }

    async fn renew_if_due(&self, now: SystemTime) -> anyhow::Result<()> {
        let chain = self.identity.chain();
        let Some(shown) = chain.first().and_then(pki::facts) else { return Ok(()) };
        let holdings = self.member.holdings();
        if holdings.topology().server(&self.server).is_none() {
            // Taken out: there is no certificate for us any more.
            return Ok(());
        }
        let issuing = holdings.bundle().issuing.iter().map(|ca| &ca.certificate);
        match renewal(&chain, &shown, issuing, holdings.topology(), &self.server, now) {
            None => Ok(()),
            Some(reason) => {
                tracing::info!(server = %self.server, %reason, "the server certificate is replaced");
                self.renew(now).await
            }
        }
    }

    async fn renew(&self, now: SystemTime) -> anyhow::Result<()> {
        let new = match &self.source {
            Source::Ours(ca) => {
                let holdings = self.member.holdings();
                ServerCertificate::issue(&self.layout, ca.authority(), holdings.topology(), &self.server, &self.store, now).await?
            }
            Source::Authority(address) => join::renew(&self.layout, &self.member.holdings(), *address, &self.server).await?,
        };
        self.show(new)
    }

    /// Shows what lies in `server/`, if it is good; else goes on with what is shown.
    pub(super) fn reload(&self) {
        let loaded = ServerCertificate::load(&self.layout).and_then(|certificate| {
            let holdings = self.member.holdings();
            let issuing = holdings.bundle().issuing.iter().map(|ca| &ca.certificate);
            let reason = certificate.renewal(issuing, holdings.topology(), &self.server, SystemTime::now());
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
        self.identity.replace(certificate.chain, &certificate.key).context("the new certificate cannot be shown")?;
        let (serial, not_after) = (&certificate.facts.serial, rfc3339(certificate.facts.not_after));
        tracing::info!(server = %self.server, %serial, not_after, "server certificate in force");
        Ok(())
    }

    fn count(&self) {
        let Some(shown) = self.identity.chain().first().and_then(pki::facts) else { return };
        let holdings = self.member.holdings();
        let bundle = holdings.bundle();
        let issuing = bundle.issuing.first().and_then(|ca| pki::facts(&ca.certificate));
        for (name, facts) in [("server", Some(shown)), ("issuing", issuing), ("root", bundle.roots.first().and_then(pki::facts))] {
            gauge!("verbund_certificate_expiry_seconds", "name" => name).set(seconds(facts.map(|facts| facts.not_after)));
        }
        let first_list = holdings.lists().iter().map(pki::RevocationList::next_update).min();
        let ends = [("bundle", Some(bundle.valid_until)), ("topology", Some(holdings.held_topology().valid_until)), ("lists", first_list)];
        for (name, ends) in ends {
            gauge!("verbund_document_expiry_seconds", "name" => name).set(seconds(ends));
        }
        self.warn_of_stale_lists(&holdings);
    }

    /// Row N31: what is believed for the time of grace only is announced for as long as that lasts.
    fn warn_of_stale_lists(&self, holdings: &member::Holdings) {
        let now = SystemTime::now();
        for list in holdings.lists().iter().filter(|list| list.next_update() < now) {
            let (issuer, number, ended) = (list.issuer_text(), list.number(), rfc3339(list.next_update()));
            let until = rfc3339(list.next_update() + member::GRACE);
            tracing::error!(
                server = %self.server, issuer, number, ended, believed_until = until,
                "a revocation list is stale: bring back the line to the authority, or servers are refused"
            );
        }
    }
}

/// Since 1970, as figures have it; 0 where there is no such moment.
fn seconds(moment: Option<SystemTime>) -> f64 {
    moment.and_then(|moment| moment.duration_since(SystemTime::UNIX_EPOCH).ok()).unwrap_or_default().as_secs_f64()
}
