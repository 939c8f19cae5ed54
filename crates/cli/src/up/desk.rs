//! The running server as its administrator sees it: changes go to the store first, then to the signalling core.

use std::{collections::HashMap, sync::Arc, time::SystemTime};

use net::Handle;
use pki::{CertificateDer, CertificateFacts};
use registrar::{Aor, Credential, Flow, UserName};
use store::{Directory as _, Embedded};
use tokio::sync::Mutex;
use trust::{DecisionRecord, tls::ServerIdentity};
use web::{
    Answer, Health,
    admin::{self, Admin, Certificate, Connection, Created, Decision, Problem, Registration, Status, rfc3339},
};

use super::Start;
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
    root: CertificateDer<'static>,
    issuing: CertificateDer<'static>,
    identity: Arc<ServerIdentity>,
    store: Embedded,
    handle: Handle,
    accounts: Accounts,
    /// One change at a time, so that store, core and account files end with the same word.
    change: Arc<Mutex<()>>,
}

impl Desk {
    pub(super) fn of(start: &Start, handle: Handle, identity: Arc<ServerIdentity>) -> Self {
        let organisation = &start.organisation;
        Self {
            site: start.site.clone(),
            https: start.https.to_string(),
            started: SystemTime::now(),
            root: organisation.authority.root().clone(),
            issuing: organisation.authority.issuing().clone(),
            identity,
            store: organisation.store.clone(),
            handle,
            accounts: organisation.layout.accounts(),
            change: Arc::default(),
        }
    }

    fn aor(&self, user: &UserName) -> Aor {
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

    async fn add(&self, user: UserName, chosen: Option<admin::Password>) -> Result<Created, Problem> {
        let _change = self.change.lock().await;
        let (password, credential) = self.credential(&user, chosen.as_ref())?;
        self.store.add_user(&self.aor(&user), &credential, None, SystemTime::now()).await.map_err(problem)?;
        if !self.handle.put_user(user.clone(), credential).await {
            self.store.remove_user(&self.aor(&user), SystemTime::now()).await.map_err(problem)?;
            return Err(Problem::unavailable(format!("there is no room for another user, {user} was not added"), "remove one first"));
        }
        tracing::info!(%user, "user added");
        Ok(self.created(&user, &password).await)
    }

    async fn change_password(&self, user: UserName, chosen: Option<admin::Password>) -> Result<Created, Problem> {
        let _change = self.change.lock().await;
        let (password, credential) = self.credential(&user, chosen.as_ref())?;
        self.store.replace_credential(&self.aor(&user), &credential, SystemTime::now()).await.map_err(problem)?;
        self.handle.put_user(user.clone(), credential).await;
        tracing::info!(%user, "password changed, sessions cut");
        Ok(self.created(&user, &password).await)
    }

    async fn remove(&self, user: UserName) -> Result<(), Problem> {
        let _change = self.change.lock().await;
        self.store.remove_user(&self.aor(&user), SystemTime::now()).await.map_err(problem)?;
        self.handle.remove_user(user.clone()).await;
        if let Err(error) = self.accounts.remove(&user) {
            tracing::warn!(%user, %error, "account files not removed");
        }
        tracing::info!(%user, "user removed, sessions cut");
        Ok(())
    }

    /// Account files are a convenience: without them the user is there all the same.
    async fn created(&self, user: &UserName, password: &Password) -> Created {
        let users = self.store.users().await.unwrap_or_default().into_iter().map(|user| user.aor.user).collect();
        let site = Site { users, ..self.site.clone() };
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
            links: Vec::new(),
        }
    }

    fn certificates_now(&self) -> Vec<Certificate> {
        let server = self.identity.chain().into_iter().next();
        let all = [("root", Some(self.root.clone())), ("issuing", Some(self.issuing.clone())), (self.site.server_name.as_str(), server)];
        let now = SystemTime::now();
        all.into_iter().filter_map(|(name, der)| Some(certificate(name, &der.as_ref().and_then(pki::facts)?, now))).collect()
    }
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

fn certificate(name: &str, facts: &CertificateFacts, now: SystemTime) -> Certificate {
    let seconds = |moment: SystemTime| moment.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs().cast_signed());
    Certificate {
        name: name.to_owned(),
        serial: facts.serial.to_string(),
        issuer: facts.issuer.clone(),
        not_before: rfc3339(facts.not_before),
        not_after: rfc3339(facts.not_after),
        days_left: (seconds(facts.not_after) - seconds(now)).div_euclid(DAY_SECONDS),
        names: facts.names.clone(),
        fingerprint: facts.fingerprint.to_string(),
    }
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

/// Whose doing it is decides what the administrator is told to do.
fn problem(error: store::Error) -> Problem {
    match &error {
        store::Error::UserExists(aor) => {
            let name = aor.user.as_str();
            Problem::conflict(error.to_string(), format!("to change the password: verbund user password {name}"))
        }
        store::Error::NoSuchUser(_) => Problem::not_found(error.to_string(), "verbund user list shows those there are"),
        _ => Problem::unavailable(error.to_string(), ""),
    }
}

/// A change begun is carried through, though whoever asked for it is gone: a user removed from the store but not from the
/// core would stay signed in.
fn to_the_end<T: Send + 'static>(change: impl Future<Output = Result<T, Problem>> + Send + 'static) -> Answer<'static, Result<T, Problem>> {
    let change = tokio::spawn(change);
    Box::pin(async { change.await.unwrap_or_else(|_| Err(Problem::unavailable("the change broke off", "look at the server's log"))) })
}

impl Admin for Desk {
    fn status(&self) -> Answer<'_, Result<Status, Problem>> {
        Box::pin(async { Ok(self.status_now().await) })
    }

    fn users(&self) -> Answer<'_, Result<Vec<admin::User>, Problem>> {
        Box::pin(async {
            let users = self.store.users().await.map_err(problem)?;
            Ok(users.into_iter().map(|user| admin::User { aor: user.aor.to_string() }).collect())
        })
    }

    fn add_user(
        &self,
        user: UserName,
        password: Option<admin::Password>,
        _pool: Option<pki::Fqdn>,
    ) -> Answer<'_, Result<Created, Problem>> {
        let desk = self.clone();
        to_the_end(async move { desk.add(user, password).await })
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

    fn decisions(&self, limit: usize) -> Answer<'_, Result<Vec<Decision>, Problem>> {
        Box::pin(async move { Ok(self.handle.decisions(limit).iter().map(decision).collect()) })
    }

    fn authority(&self) -> Result<&dyn admin::Organisation, Problem> {
        Err(Problem::not_found("this server is no authority yet", ""))
    }
}

impl Health for Desk {
    fn node_answers(&self) -> Answer<'_, bool> {
        Box::pin(async { self.handle.figures().await.is_some() })
    }
}
