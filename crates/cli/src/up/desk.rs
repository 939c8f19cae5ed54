//! The running server as its administrator sees it: changes go to the store first, then to the signalling core.

use std::{cmp::Reverse, collections::HashMap, sync::Arc, time::SystemTime};

use ::authority::Authority;
use member::Member;
use net::Handle;
use node::{LinkState, LinkStatus};
use pki::{CertificateFacts, Fqdn};
use registrar::{Aor, Credential, Flow, UserName};
use tokio::sync::Mutex;
use trust::{DecisionRecord, tls::ServerIdentity};
use web::{
    Answer, Health,
    admin::{self, Admin, Certificate, Connection, Created, Decision, Problem, Registration, ServerLink, Status, rfc3339},
};

use super::{Start, affairs::problem, door::Door, serve::Place};
use crate::{
    accounts::{Accounts, Site},
    password::Password,
};

const DAY_SECONDS: i64 = 24 * 60 * 60;

#[derive(Clone)]
pub(super) struct Desk {
    site: Site,
    https: String,
    started: SystemTime,
    identity: Arc<ServerIdentity>,
    member: Arc<Member>,
    /// Where this server is the authority.
    authority: Option<Arc<Authority>>,
    door: Arc<Door>,
    handle: Handle,
    accounts: Accounts,
    /// One change at a time, so that store, core and account files end with the same word.
    change: Arc<Mutex<()>>,
}

impl Desk {
    pub(super) fn of(
        start: &Start,
        handle: Handle,
        identity: Arc<ServerIdentity>,
        member: Arc<Member>,
        place: &Place,
        door: Arc<Door>,
    ) -> Self {
        let authority = match place {
            Place::Authority(authority) => Some(Arc::clone(authority)),
            Place::Member(_) => None,
        };
        Self {
            site: start.site.clone(),
            https: start.taken.https.to_string(),
            started: SystemTime::now(),
            identity,
            member,
            authority,
            door,
            handle,
            accounts: start.layout.accounts(),
            change: Arc::default(),
        }
    }

    /// The authority at work here, or where it is.
    pub(super) fn at_authority(&self) -> Result<&Arc<Authority>, Problem> {
        self.authority.as_ref().ok_or_else(|| {
            let holdings = self.member.holdings();
            let name = holdings.topology().authority().fqdn();
            Problem::not_found(
                format!("{} is a member; what concerns the whole organisation is kept by its authority, {name}", self.site.server_name),
                format!("run this command on {name}"),
            )
        })
    }

    pub(super) fn aor(&self, user: &UserName) -> Aor {
        Aor::new(user.clone(), self.site.domain.as_str())
    }

    /// The password that was chosen, or a new one, and what is kept of it.
    fn credential(&self, user: &UserName, chosen: Option<&admin::Password>) -> Result<(Password, Credential), Problem> {
        let password = match chosen {
            Some(chosen) => Password::chosen(chosen.expose()).map_err(|error| Problem::bad_request(error.to_string(), ""))?,
            None => Password::generate().map_err(|error| Problem::unavailable(error.to_string(), "try again"))?,
        };
        let credential = Credential::new(user, self.site.domain.as_str(), password.expose());
        Ok((password, credential))
    }

    async fn add(&self, user: UserName, chosen: Option<admin::Password>, pool: Option<Fqdn>) -> Result<Created, Problem> {
        let _change = self.change.lock().await;
        let authority = self.at_authority()?;
        let (password, credential) = self.credential(&user, chosen.as_ref())?;
        authority.add_user(&user, credential, pool.as_ref()).await.map_err(problem)?;
        tracing::info!(%user, "user added");
        Ok(self.created(&user, &password).await)
    }

    async fn change_password(&self, user: UserName, chosen: Option<admin::Password>) -> Result<Created, Problem> {
        let _change = self.change.lock().await;
        let authority = self.at_authority()?;
        let (password, credential) = self.credential(&user, chosen.as_ref())?;
        authority.replace_credential(&user, credential).await.map_err(problem)?;
        tracing::info!(%user, "password changed, sessions cut");
        Ok(self.created(&user, &password).await)
    }

    async fn remove(&self, user: UserName) -> Result<(), Problem> {
        let _change = self.change.lock().await;
        self.at_authority()?.remove_user(&user).await.map_err(problem)?;
        if let Err(error) = self.accounts.remove(&user) {
            tracing::warn!(%user, %error, "account files not removed");
        }
        tracing::info!(%user, "user removed, sessions cut");
        Ok(())
    }

    fn known_users(&self) -> Vec<UserName> {
        let mut users: Vec<UserName> = self.member.holdings().users().iter().map(|(name, _)| name.clone()).collect();
        users.sort();
        users
    }

    /// Account files are a convenience: without them the user is there all the same.
    async fn created(&self, user: &UserName, password: &Password) -> Created {
        let site = Site { users: self.known_users(), ..self.site.clone() };
        if let Err(error) = self.accounts.write(&site, user, password) {
            tracing::warn!(%user, error = format!("{error:#}"), "account files not written");
        }
        Created { aor: self.aor(user).to_string(), password: admin::Password::new(password.expose()) }
    }

    async fn status_now(&self) -> Status {
        let (connections, registrations) = (self.handle.connections().await, self.handle.registrations().await);
        let mut users: HashMap<Flow, Vec<String>> = HashMap::new();
        for (flow, user) in self.handle.signed_in().await {
            users.entry(flow).or_default().push(self.aor(&user).to_string());
        }
        let remotes: HashMap<Flow, String> = connections.iter().map(|one| (one.flow, one.remote.to_string())).collect();
        Status {
            domain: self.site.domain.to_string(),
            server_name: self.site.server_name.to_string(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started: rfc3339(self.started),
            sip: self.site.sip.to_string(),
            https: self.https.clone(),
            connections: connections.iter().map(|one| connection(one, users.remove(&one.flow).unwrap_or_default())).collect(),
            registrations: registrations.into_iter().map(|one| registration(one, &remotes)).collect(),
            certificates: self.certificates_now(),
            links: self.handle.with(|node, _| node.links()).await.unwrap_or_default().into_iter().map(link).collect(),
            troubles: self.authority.as_ref().map(|authority| authority.troubles()).unwrap_or_default(),
        }
    }

    fn certificates_now(&self) -> Vec<Certificate> {
        let holdings = self.member.holdings();
        let bundle = holdings.bundle();
        let roots = bundle.roots.iter().map(|root| ("root", root.clone()));
        let issuing = bundle.issuing.iter().map(|ca| {
            let name = match ca.kind {
                pki::IssuerKind::Servers => "issuing",
                pki::IssuerKind::Users => "issuing for users",
            };
            (name, ca.certificate.clone())
        });
        let server = self.identity.chain().into_iter().next().map(|leaf| (self.site.server_name.as_str(), leaf));
        let now = SystemTime::now();
        roots.chain(issuing).chain(server).filter_map(|(name, der)| Some(certificate(name, &pki::facts(&der)?, now))).collect()
    }
}

fn link(one: LinkStatus) -> ServerLink {
    let state = match one.state {
        LinkState::Connecting => "connecting",
        LinkState::Up(_) => "up",
        LinkState::Waiting(_) => "waiting",
    };
    ServerLink { server: one.server.to_string(), state: state.to_owned(), dialled: one.dialled }
}

fn connection(one: &net::Connection, users: Vec<String>) -> Connection {
    Connection {
        flow: one.flow.0,
        remote: one.remote.to_string(),
        tls_version: one.version.replace("TLSv1_", "TLS 1."),
        suite: one.suite.to_owned(),
        key_exchange: one.key_exchange.to_owned(),
        since: rfc3339(one.since),
        users,
    }
}

fn registration(one: node::Registration, remotes: &HashMap<Flow, String>) -> Registration {
    Registration {
        remote: remotes.get(&one.flow).cloned().unwrap_or_default(),
        aor: one.aor,
        contact: one.contact,
        expires_in_seconds: one.expires_in.as_secs(),
        user_agent: one.user_agent,
    }
}

pub(super) fn certificate(name: &str, facts: &CertificateFacts, now: SystemTime) -> Certificate {
    Certificate {
        name: name.to_owned(),
        serial: facts.serial.to_string(),
        issuer: facts.issuer.clone(),
        not_before: rfc3339(facts.not_before),
        not_after: rfc3339(facts.not_after),
        days_left: days_left(facts.not_after, now),
        names: facts.names.clone(),
        fingerprint: facts.fingerprint.to_string(),
    }
}

/// Whole days; negative when the end is past.
pub(super) fn days_left(end: SystemTime, now: SystemTime) -> i64 {
    let seconds = |moment: SystemTime| moment.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs().cast_signed());
    (seconds(end) - seconds(now)).div_euclid(DAY_SECONDS)
}

fn decision(record: &DecisionRecord) -> Decision {
    let contact = &record.contact;
    let tls = contact.tls.map(|tls| format!("{} {} {}", tls.version.replace("TLSv1_", "TLS 1."), tls.suite, tls.key_exchange));
    let chain: Vec<String> = record.chain.iter().map(|shown| format!("{} ({})", shown.subject, shown.fingerprint)).collect();
    let evidence = serde_json::json!({
        "rule": record.label,
        "name_asked_for": contact.sni,
        "tls": tls,
        "chain": chain,
        "anchor": record.anchor,
        "wanted": record.wanted,
        "shown": record.shown,
        "purpose": format!("{:?}", record.purpose),
        "direction": record.direction.as_str(),
        "topology_version": record.topology_version,
        "revocation_list": record.revocation_list.map(|list| serde_json::json!({
            "number": list.number,
            "made_at": rfc3339(list.this_update),
        })),
        "revoked_certificates": record.revoked,
    });
    Decision {
        at: rfc3339(record.at),
        listener: contact.listener.as_str().to_owned(),
        remote: contact.source.to_string(),
        verdict: if record.accepted() { "accepted" } else { "refused" }.to_owned(),
        reason: record.verdict.clone(),
        evidence: evidence.as_object().cloned().unwrap_or_default(),
    }
}

/// A change is carried through, though whoever asked for it is gone: a user removed from the store but not from the core would
/// stay signed in.
pub(super) fn to_the_end<T: Send + 'static>(
    change: impl Future<Output = Result<T, Problem>> + Send + 'static,
) -> Answer<'static, Result<T, Problem>> {
    web::to_the_end(change, || Problem::unavailable("the change broke off", "look at the server's log"))
}

impl Admin for Desk {
    fn status(&self) -> Answer<'_, Result<Status, Problem>> {
        Box::pin(async { Ok(self.status_now().await) })
    }

    fn users(&self) -> Answer<'_, Result<Vec<admin::User>, Problem>> {
        Box::pin(async { Ok(self.known_users().iter().map(|user| admin::User { aor: self.aor(user).to_string() }).collect()) })
    }

    fn add_user(&self, user: UserName, password: Option<admin::Password>, pool: Option<Fqdn>) -> Answer<'_, Result<Created, Problem>> {
        let desk = self.clone();
        to_the_end(async move { desk.add(user, password, pool).await })
    }

    fn set_password(&self, user: UserName, password: Option<admin::Password>) -> Answer<'_, Result<Created, Problem>> {
        let desk = self.clone();
        to_the_end(async move { desk.change_password(user, password).await })
    }

    fn remove_user(&self, user: UserName) -> Answer<'_, Result<(), Problem>> {
        let desk = self.clone();
        to_the_end(async move { desk.remove(user).await })
    }

    fn certificates(&self) -> Answer<'_, Result<Vec<Certificate>, Problem>> {
        Box::pin(async { Ok(self.certificates_now()) })
    }

    fn decisions(&self, of_each: usize) -> Answer<'_, Result<Vec<Decision>, Problem>> {
        Box::pin(async move {
            let (accepted, refused): (Vec<_>, Vec<_>) =
                self.handle.decisions(of_each).into_iter().chain(self.door.decisions(of_each)).partition(DecisionRecord::accepted);
            let newest = |mut records: Vec<DecisionRecord>| {
                records.sort_by_key(|record| Reverse(record.at));
                records.truncate(of_each);
                records
            };
            let mut all = [newest(accepted), newest(refused)].concat();
            all.sort_by_key(|record| Reverse(record.at));
            Ok(all.iter().map(decision).collect())
        })
    }

    fn authority(&self) -> Result<&dyn admin::Organisation, Problem> {
        self.at_authority()?;
        Ok(self)
    }
}

impl Health for Desk {
    fn node_answers(&self) -> Answer<'_, bool> {
        Box::pin(async { self.handle.figures().await.is_some() })
    }
}
