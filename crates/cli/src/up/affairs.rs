//! The administrator's words to the authority: servers, topology, revocation.

use std::time::SystemTime;

use ::authority::{Fault, NewServer, Spread};
use pki::Fqdn;
use registrar::UserName;
use store::{IssuanceLedger as _, Published};
use topology::Role;
use web::{
    Answer,
    admin::{
        self, Added, CaReplacement, CaRequest, Certificate, Chain, Expiry, Judgement, LeftBehind, Moved, NewReplacement, Organisation,
        Problem, PublishedTopology, rfc3339,
    },
};

use super::{
    desk::{Desk, certificate, days_left, to_the_end},
    renewing_ca::replacement_problem,
};

/// Whose doing it is decides what the administrator is told.
pub(super) fn problem(fault: Fault) -> Problem {
    match &fault {
        Fault::Store(store::Error::UserExists(aor)) => {
            let name = aor.user.as_str();
            Problem::conflict(fault.to_string(), format!("to change the password: verbund user password {name}"))
        }
        Fault::Replacement(fault) => replacement_problem(fault),
        Fault::Store(store::Error::NoSuchUser(_)) => Problem::not_found(fault.to_string(), "verbund user list shows those there are"),
        Fault::NoSuchServer(_) | Fault::NoCertificate(_) | Fault::NoSuchPool(_) | Fault::UnknownPool { .. } => {
            Problem::not_found(fault.to_string(), "")
        }
        Fault::Topology(_)
        | Fault::Edit(_)
        | Fault::Version { .. }
        | Fault::OtherAuthority { .. }
        | Fault::OutsideCa { .. }
        | Fault::RealmLost(_)
        | Fault::Homeless { .. }
        | Fault::NoHome(_)
        | Fault::Unwritable(_)
        | Fault::OtherRoles { .. }
        | Fault::OtherPool { .. }
        | Fault::MembersRefuse(_)
        | Fault::Own(_)
        | Fault::NoName(_)
        | Fault::KeyRefused(_)
        | Fault::NotItsAddress { .. }
        | Fault::Request(_) => Problem::bad_request(fault.to_string(), ""),
        Fault::Recovering { .. } | Fault::NotRecovering => Problem::conflict(fault.to_string(), ""),
        Fault::MovesTooOften(_)
        | Fault::OtherGeneration { .. }
        | Fault::Marker { .. }
        | Fault::Gaps { .. }
        | Fault::TooManyCertificates { .. }
        | Fault::Unreachable(_)
        | Fault::Ca(_)
        | Fault::Document(_)
        | Fault::Bundle(_)
        | Fault::Ceremony(_)
        | Fault::NotTold(_)
        | Fault::ListFull { .. }
        | Fault::NotInForce(_)
        | Fault::Signed(_)
        | Fault::Randomness(_)
        | Fault::Key(_)
        | Fault::Responder(_)
        | Fault::Store(_)
        | Fault::Damaged(_) => Problem::unavailable(fault.to_string(), ""),
    }
}

fn spread(of: Spread) -> admin::Spread {
    admin::Spread {
        version: of.version,
        members: of.members,
        acknowledged: of.acknowledged,
        ms: u64::try_from(of.took.as_millis()).unwrap_or(u64::MAX),
        missing: of.missing.iter().map(Fqdn::to_string).collect(),
        revoked: of.revoked,
    }
}

fn expiry(of: &::authority::Expiry, now: SystemTime) -> Expiry {
    Expiry {
        kind: of.kind.as_str().to_owned(),
        name: of.name.clone(),
        ends: of.ends.map(rfc3339).unwrap_or_default(),
        days_left: of.ends.map(|ends| days_left(ends, now)),
        urgency: of.urgency.as_str().to_owned(),
    }
}

fn published(of: &Published, whole: bool) -> PublishedTopology {
    PublishedTopology {
        version: of.version.0,
        published_at: rfc3339(of.published_at),
        document: if whole { of.document.clone() } else { String::new() },
        signed: of.signed.clone().filter(|_| whole).unwrap_or_default(),
    }
}

fn role(text: &str) -> Result<Role, Problem> {
    let known = Role::ALL.into_iter().find(|role| role.as_str() == text && *role != Role::Authority);
    let cure = "write front-end, director, edge or application";
    known.ok_or_else(|| Problem::bad_request(format!("{text:?} is no role that a server can be added with"), cure))
}

fn member(known: &::authority::Known, in_force_here: u64, now: SystemTime) -> admin::Member {
    let in_force = known.in_force.clone().unwrap_or_default();
    let state = match (known.is_member, known.is_expected, known.is_here) {
        // Also for the moment in which it is on the line still.
        _ if known.is_revoked => "revoked",
        (false, ..) => "listed",
        (true, true, _) => "expected",
        (true, false, true) => "joined",
        (true, false, false) => "away",
    };
    admin::Member {
        name: known.name.to_string(),
        roles: known.roles.iter().map(Role::to_string).collect(),
        state: state.to_owned(),
        topology: in_force.topology,
        topology_age_seconds: known.topology_published_at.and_then(|at| now.duration_since(at).ok()).map(|age| age.as_secs()),
        lag: in_force_here.saturating_sub(in_force.topology),
        bundle: in_force.bundle,
        seen_seconds_ago: known.seen_at.and_then(|at| now.duration_since(at).ok()).map(|ago| ago.as_secs()),
        certificate_until: in_force.not_after,
        version: known.version.clone(),
        refused: in_force.refused,
    }
}

impl Desk {
    async fn ledger_now(&self, limit: usize) -> Result<Vec<Certificate>, Problem> {
        let now = SystemTime::now();
        let issued = self.at_authority()?.store().certificates(now, limit).await.map_err(|error| problem(error.into()))?;
        let facts = issued.iter().filter_map(|issued| Some((issued, pki::facts(&pki::CertificateDer::from(issued.der.as_slice()))?)));
        Ok(facts.map(|(issued, facts)| certificate(issued.role.as_str(), &facts, now)).collect())
    }
}

impl Organisation for Desk {
    fn add_server(&self, name: Fqdn, as_role: String, pool: Option<Fqdn>, new_pool: bool) -> Answer<'_, Result<Added, Problem>> {
        let desk = self.clone();
        to_the_end(async move {
            let new = NewServer { name, role: role(&as_role)?, pool, new_pool };
            let added = desk.at_authority()?.add_server(&new).await.map_err(problem)?;
            let join = admin::Password::new(added.join.expose().as_str());
            Ok(Added { join, version: added.version, expires: rfc3339(added.expires) })
        })
    }

    fn remove_server(&self, name: Fqdn) -> Answer<'_, Result<admin::Spread, Problem>> {
        let desk = self.clone();
        to_the_end(async move { desk.at_authority()?.remove_server(&name).await.map(spread).map_err(problem) })
    }

    fn publish(&self, document: String) -> Answer<'_, Result<admin::Spread, Problem>> {
        let desk = self.clone();
        to_the_end(async move { desk.at_authority()?.publish(&document).await.map(spread).map_err(problem) })
    }

    fn judge(&self, document: String) -> Answer<'_, Result<Judgement, Problem>> {
        Box::pin(async move {
            let obstacles = self.at_authority()?.obstacles_to(&document).await.map_err(problem)?;
            Ok(Judgement { obstacles: obstacles.iter().map(Fault::to_string).collect() })
        })
    }

    fn topology(&self, version: Option<u64>) -> Answer<'_, Result<PublishedTopology, Problem>> {
        Box::pin(async move {
            let found = self.at_authority()?.topology(version).await.map_err(problem)?;
            let none = || Problem::not_found("there is no such version of the topology", "verbund topology history lists those there are");
            found.map(|found| published(&found, true)).ok_or_else(none)
        })
    }

    fn history(&self, limit: usize) -> Answer<'_, Result<Vec<PublishedTopology>, Problem>> {
        Box::pin(async move {
            let history = self.at_authority()?.history(limit).await.map_err(problem)?;
            Ok(history.iter().map(|one| published(one, false)).collect())
        })
    }

    fn members(&self) -> Answer<'_, Result<Vec<admin::Member>, Problem>> {
        Box::pin(async move {
            let authority = self.at_authority()?;
            let here = authority.member().holdings().topology().version();
            let known = authority.known().await.map_err(problem)?;
            Ok(known.iter().map(|one| member(one, here, SystemTime::now())).collect())
        })
    }

    fn revoke(&self, name: String) -> Answer<'_, Result<admin::Spread, Problem>> {
        let desk = self.clone();
        to_the_end(async move { desk.at_authority()?.revoke(&name).await.map(spread).map_err(problem) })
    }

    fn replace_ca(&self, new: NewReplacement) -> Answer<'_, Result<CaReplacement, Problem>> {
        let desk = self.clone();
        to_the_end(async move { desk.begin_replacement(new).await })
    }

    fn request_ca(&self, new: NewReplacement) -> Answer<'_, Result<Vec<CaRequest>, Problem>> {
        let desk = self.clone();
        to_the_end(async move { desk.ca_requests(new).await })
    }

    fn ca_replacement(&self) -> Answer<'_, Result<Option<CaReplacement>, Problem>> {
        Box::pin(self.replacement_now())
    }

    fn give_up_ca_replacement(&self) -> Answer<'_, Result<(), Problem>> {
        let desk = self.clone();
        to_the_end(async move { desk.give_up().await })
    }

    fn go_on(&self) -> Answer<'_, Result<LeftBehind, Problem>> {
        let desk = self.clone();
        to_the_end(async move {
            let left = desk.at_authority()?.go_on().await.map_err(problem)?;
            Ok(LeftBehind { left_behind: left.iter().map(Fqdn::to_string).collect() })
        })
    }

    fn backed_up(&self, sha256: String) -> Answer<'_, Result<(), Problem>> {
        let desk = self.clone();
        to_the_end(async move { desk.at_authority()?.backed_up(sha256).await.map_err(problem) })
    }

    fn move_user(&self, user: UserName, pool: Fqdn) -> Answer<'_, Result<Moved, Problem>> {
        let desk = self.clone();
        to_the_end(async move {
            let pool = desk.at_authority()?.move_user(&user, &pool).await.map_err(problem)?;
            tracing::info!(%user, %pool, "user moved, sessions cut");
            Ok(Moved { aor: desk.aor(&user).to_string(), pool: pool.to_string() })
        })
    }

    fn sign_user(&self, user: UserName, request: String) -> Answer<'_, Result<Chain, Problem>> {
        let desk = self.clone();
        to_the_end(async move {
            let chain = desk.at_authority()?.sign_user_request(&user, &request).await.map_err(problem)?;
            Ok(Chain { chain: pki::certificates_to_pem(&chain) })
        })
    }

    fn ledger(&self, limit: usize) -> Answer<'_, Result<Vec<Certificate>, Problem>> {
        Box::pin(self.ledger_now(limit))
    }

    fn expiries(&self) -> Answer<'_, Result<Vec<Expiry>, Problem>> {
        Box::pin(async move {
            let now = SystemTime::now();
            let all = self.at_authority()?.expiries(now).await.map_err(problem)?;
            Ok(all.iter().map(|one| expiry(one, now)).collect())
        })
    }

    fn sign(&self, server: Fqdn, request: String) -> Answer<'_, Result<Chain, Problem>> {
        let desk = self.clone();
        to_the_end(async move {
            let chain = desk.at_authority()?.sign_request(&server, &request).await.map_err(problem)?;
            Ok(Chain { chain: pki::certificates_to_pem(&chain) })
        })
    }
}
