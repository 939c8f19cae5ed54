//! An OCSP answer about this server's own certificate: fetched in good time, sent along with it (RFC 6066 §8).
//!
//! It is for phones and tools that hold no revocation lists. The authority is asked as anybody may ask it, by the line that members
//! trust. When it is away, the answer that is there goes on until it ends, and then there is none: that is no failure, for whoever
//! needs to know more has lists.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, bail, ensure};
use member::{Member, jittered};
use metrics::gauge;
use ocsp::{STAPLE_BYTES_MAX, Status};
use rustls::ClientConfig;
use tokio::{sync::watch, time::sleep};
use trust::tls::ServerIdentity;
use web::{Published, client::Target};

/// The clock is looked at this often: it may be set, and machines sleep.
const LOOK_EVERY: Duration = Duration::from_mins(5);
/// After a failure it is tried again: at first this soon, at most this late.
const TRY_AGAIN_AFTER_MIN: Duration = Duration::from_secs(2);
const TRY_AGAIN_AFTER_MAX: Duration = Duration::from_mins(5);

pub(super) struct Staples {
    pub(super) identity: Arc<ServerIdentity>,
    pub(super) member: Arc<Member>,
    pub(super) source: Source,
}

/// Who answers.
pub(super) enum Source {
    /// This server itself: it is the authority.
    Ours(Arc<dyn Published>),
    /// The authority, called with this; where it was when this server joined.
    Authority(Arc<ClientConfig>, SocketAddr),
}

impl Staples {
    /// Keeps an answer that counts, until the task is ended. `replaced` rings when another certificate is shown.
    pub(super) async fn run(self, mut replaced: watch::Receiver<()>) {
        let (mut due, mut again_after) = (SystemTime::now(), TRY_AGAIN_AFTER_MIN);
        loop {
            let now = SystemTime::now();
            if now >= due {
                match self.renew(now).await {
                    Ok(until) => {
                        // At two fifths of its life, or a little later: at half of it the authority signs a new one.
                        let left = until.duration_since(now).unwrap_or_default();
                        (due, again_after) = (now + jittered(left * 2 / 5), TRY_AGAIN_AFTER_MIN);
                    }
                    Err(error) => {
                        tracing::warn!(server = %self.member.name(), error = format!("{error:#}"), "no new OCSP answer to send along; it is tried again");
                        due = now + jittered(again_after);
                        again_after = (again_after * 2).min(TRY_AGAIN_AFTER_MAX);
                    }
                }
            }
            self.count(now);
            let wait = due.duration_since(SystemTime::now()).unwrap_or_default().clamp(Duration::from_millis(100), LOOK_EVERY);
            tokio::select! {
                Ok(()) = replaced.changed() => (due, again_after) = (SystemTime::now(), TRY_AGAIN_AFTER_MIN),
                () = sleep(wait) => {}
            }
        }
    }

    /// Fetches an answer and shows it; until when it counts.
    async fn renew(&self, now: SystemTime) -> anyhow::Result<SystemTime> {
        let chain = self.identity.chain();
        let leaf = chain.first().and_then(pki::facts).context("the certificate shown cannot be read")?;
        let issuer = chain.get(1).context("the certificate shown has no issuer with it")?;
        let answer = self.ask(ocsp::request(issuer, &leaf.serial)?).await?;
        let stapled = self.identity.staple(answer, now)?;
        match stapled.status {
            Status::Good => Ok(stapled.next_update),
            Status::Revoked { at, .. } => {
                bail!("this server's certificate was revoked at {}: it has to join anew (verbund server add)", pki::rfc3339(at))
            }
            Status::Unknown => bail!("the authority did not issue the certificate number {} that is shown here", leaf.serial),
        }
    }

    async fn ask(&self, request: Vec<u8>) -> anyhow::Result<Vec<u8>> {
        let (tls, joined_at) = match &self.source {
            Source::Ours(published) => return published.ocsp(&request).await.context("nobody answers here"),
            Source::Authority(tls, joined_at) => (Arc::clone(tls), *joined_at),
        };
        let holdings = self.member.holdings();
        let authority = holdings.topology().authority();
        let address = authority.listeners().https.unwrap_or(joined_at);
        let target = Target { address, name: authority.fqdn().clone(), port: address.port(), tls };
        let response = target.post(pki::Urls::OCSP_PATH, "application/ocsp-request", request, STAPLE_BYTES_MAX).await?;
        ensure!(response.status.is_success(), "{} answers {} to an OCSP request", target.authority(), response.status);
        Ok(response.body)
    }

    fn count(&self, now: SystemTime) {
        let left = self.identity.stapled_until().and_then(|until| until.duration_since(now).ok()).unwrap_or_default();
        gauge!("verbund_ocsp_staple_left_seconds").set(left.as_secs_f64());
    }
}
