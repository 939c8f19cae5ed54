//! The server's certificate stays young while the server runs: a new one at half of its life, when it was revoked or when the authority says so, and
//! the one on disk when an administrator asks for it (SIGHUP). Connections stay open, handshakes from then on show the new one.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use ::authority::Authority;
use anyhow::Context as _;
use member::Member;
use metrics::gauge;
use pki::{Fqdn, IssuerKind};
use store::Embedded;
use tokio::{
    sync::{mpsc, watch},
    time::sleep,
};
use trust::tls::ServerIdentity;
use web::admin::rfc3339;

use super::{
    Start,
    serve::{Place, shown},
};
use crate::{
    join,
    organisation::{Layout, Reason, ServerCertificate, renewal},
};

/// The clock is looked at this often: it may be set, and machines sleep.
const LOOK_EVERY: Duration = Duration::from_mins(10);
/// After a first failure it is tried again this soon, after each further one half as often, and at once when something changes.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(30);
/// Two tries are at least so far apart, whatever changes.
const TRY_PAUSE: Duration = Duration::from_secs(1);

pub(super) struct Renewal {
    layout: Layout,
    member: Arc<Member>,
    server: Fqdn,
    store: Embedded,
    identity: Arc<ServerIdentity>,
    source: Source,
    replaced: watch::Sender<()>,
}

/// Where a new certificate comes from.
enum Source {
    Ours(Arc<Authority>),
    /// The authority's, by the account that was made when this server joined.
    Authority(SocketAddr),
}

impl Renewal {
    pub(super) fn of(start: &Start, place: &Place, identity: Arc<ServerIdentity>, member: Arc<Member>) -> Self {
        let source = match place {
            Place::Authority(authority) => Source::Ours(Arc::clone(authority)),
            Place::Member(address) => Source::Authority(*address),
        };
        Self {
            layout: start.layout.clone(),
            member,
            server: start.server_name.clone(),
            store: start.store.clone(),
            identity,
            source,
            replaced: watch::Sender::new(()),
        }
    }

    /// Rings when another certificate is shown.
    pub(super) fn replaced(&self) -> watch::Receiver<()> {
        self.replaced.subscribe()
    }

    /// Replaces the certificate whenever it is time. A failure is told and tried again; half of the certificate's life is left
    /// for that.
    pub(super) async fn run(self: Arc<Self>, mut asked: mpsc::Receiver<()>) {
        let mut changed = self.member.in_force();
        let (mut wanted, mut again_after) = (false, TRY_AGAIN_AFTER);
        loop {
            if let Err(refused) = self.member.look_at_the_time(SystemTime::now()).await {
                tracing::error!(server = %self.server, %refused, "what is held cannot be looked at");
            }
            let wait = match self.renew_if(wanted, SystemTime::now()).await {
                Ok(renewed) => {
                    // Whoever asked meanwhile has what was asked for; what changed since is seen here without being asked.
                    while renewed && asked.try_recv().is_ok() {}
                    (wanted, again_after) = (false, TRY_AGAIN_AFTER);
                    LOOK_EVERY
                }
                Err(error) => {
                    tracing::error!(server = %self.server, error = format!("{error:#}"), "server certificate not renewed; it is tried again");
                    sleep(TRY_PAUSE).await;
                    // A server that was revoked by its name asks in vain, and need not ask often.
                    let longer = (again_after * 2).min(LOOK_EVERY);
                    std::mem::replace(&mut again_after, longer)
                }
            };
            self.count();
            // What was wanted and failed is wanted still.
            tokio::select! {
                Some(()) = asked.recv() => wanted = true,
                // Another name, a revocation, a list without which the authority was not believed: it is seen here, nobody has to ask.
                _ = changed.changed() => {}
                () = sleep(wait) => {}
            }
        }
    }

    /// Renews if it is wanted or due; says whether it did.
    async fn renew_if(&self, wanted: bool, now: SystemTime) -> anyhow::Result<bool> {
        if !wanted {
            let Some(reason) = self.due(now) else { return Ok(false) };
            tracing::info!(server = %self.server, %reason, "the server certificate is replaced");
        }
        self.renew(now).await?;
        Ok(true)
    }

    fn due(&self, now: SystemTime) -> Option<Reason> {
        let chain = self.identity.chain();
        let shown = chain.first().and_then(pki::facts)?;
        let holdings = self.member.holdings();
        // Taken out of the topology: there is no certificate for us any more.
        holdings.topology().server(&self.server)?;
        let issuer = holdings.bundle().issuer(IssuerKind::Servers);
        renewal(&chain, &shown, issuer, holdings.topology(), holdings.lists(), &self.server, now)
    }

    async fn renew(&self, now: SystemTime) -> anyhow::Result<()> {
        let new = match &self.source {
            Source::Ours(authority) => {
                let (ca, holdings) = (authority.ca(), self.member.holdings());
                ServerCertificate::issue(&self.layout, ca.authority(), holdings.topology(), &self.server, &self.store, now).await?
            }
            Source::Authority(address) => {
                if self.member.holdings().is_stale(now) {
                    // Without fresh lists the authority cannot be believed, and nobody else would bring them.
                    if let Err(error) = member::catch_up(&self.member, *address).await {
                        tracing::info!(server = %self.server, %error, "no fresh revocation lists before the renewal");
                    }
                }
                join::renew(&self.layout, &self.member.holdings(), *address, &self.server).await?
            }
        };
        self.show(new).await
    }

    /// Shows what lies in `server/`, if it is good; else goes on with what is shown.
    pub(super) async fn reload(&self) {
        if let Err(error) = self.show_what_lies_there().await {
            tracing::error!(server = %self.server, error = format!("{error:#}"), "certificate not read again; the old one stays");
        }
        self.count();
    }

    async fn show_what_lies_there(&self) -> anyhow::Result<()> {
        let certificate = ServerCertificate::load(&self.layout)?;
        let holdings = self.member.holdings();
        let issuer = holdings.bundle().issuer(IssuerKind::Servers);
        match certificate.renewal(issuer, holdings.topology(), holdings.lists(), &self.server, SystemTime::now()) {
            Some(reason @ (Reason::Expired | Reason::Revoked | Reason::OtherNames | Reason::OtherIssuer)) => {
                anyhow::bail!("the certificate on disk cannot be shown: {reason}")
            }
            Some(Reason::HalfLife) | None => self.show(certificate).await,
        }
    }

    async fn show(&self, certificate: ServerCertificate) -> anyhow::Result<()> {
        self.identity.replace(certificate.chain, &certificate.key).context("the new certificate cannot be shown")?;
        self.replaced.send_replace(());
        let (serial, not_after) = (&certificate.facts.serial, rfc3339(certificate.facts.not_after));
        tracing::info!(server = %self.server, %serial, not_after, "server certificate in force");
        self.member.show_another(shown(&certificate.facts), self.identity.edition()).await;
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
