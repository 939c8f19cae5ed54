//! Users: kept by the authority, told to every server; what a sign-in is checked with goes to the servers of their home only.

use std::{sync::Arc, time::SystemTime};

use member::{Homed, checks_sign_ins_of, record};
use pki::{CertificateDer, CertificateRequest, Fqdn, SipUser};
use registrar::{Aor, Credential, UserName};
use store::{Asked, Directory as _, Revision, Role};
use topology::Topology;
use web::control::{Update, UserRecord};

use crate::{Authority, Fault, administrator, documents::home_of, revoke::Holder};

impl Authority {
    fn aor(&self, user: &UserName) -> Aor {
        Aor::new(user.clone(), &self.domain)
    }

    /// Makes a user whose home is this pool, or the pool of the authority's own server.
    ///
    /// # Errors
    /// There is one already, or the pool is the home of nobody.
    pub async fn add_user(&self, user: &UserName, credential: Credential, pool: Option<&Fqdn>) -> Result<(), Fault> {
        let _change = self.change().await?;
        let now = SystemTime::now();
        let holdings = self.member.holdings();
        let pool = home(holdings.topology(), self.member.name(), pool)?;
        let store = self.store.acting_as(administrator());
        let revision = store.add_user(&self.aor(user), &credential, Some(&pool), now).await?;
        self.tell_user(holdings.topology(), user, Some(Homed { pool, credential: Some(credential) }), revision).await
    }

    /// Gives a user another password; open sessions are cut.
    ///
    /// # Errors
    /// There is no such user.
    pub async fn replace_credential(&self, user: &UserName, credential: Credential) -> Result<(), Fault> {
        let _change = self.change().await?;
        let now = SystemTime::now();
        let holdings = self.member.holdings();
        let store = self.store.acting_as(administrator());
        let revision = store.replace_credential(&self.aor(user), &credential, now).await?;
        let known = self.store.user(&self.aor(user)).await?;
        let pool = known.and_then(|known| home_of(&known, holdings.topology())).ok_or(Fault::Damaged("a user without a home"))?;
        self.tell_user(holdings.topology(), user, Some(Homed { pool, credential: Some(credential) }), revision).await
    }

    /// Takes a user out; open sessions are cut, and their certificates revoked.
    ///
    /// # Errors
    /// There is no such user.
    pub async fn remove_user(&self, user: &UserName) -> Result<(), Fault> {
        let change = self.change().await?;
        let now = SystemTime::now();
        let holdings = self.member.holdings();
        let actor = administrator();
        let revision = self.store.acting_as(actor.clone()).remove_user(&self.aor(user), now).await?;
        self.tell_user(holdings.topology(), user, None, revision).await?;
        // Were a user of this name made again, whoever kept the old key would be taken for them.
        self.take_back_all_of(&change, &self.holder(user), actor, now).await
    }

    /// Gives a user another home. Where they were at home they are signed out, and sign in again at the new one.
    ///
    /// # Errors
    /// There is no such user, or the pool is the home of nobody.
    pub async fn move_user(&self, user: &UserName, pool: &Fqdn) -> Result<Fqdn, Fault> {
        let _change = self.change().await?;
        let now = SystemTime::now();
        let holdings = self.member.holdings();
        let pool = home(holdings.topology(), self.member.name(), Some(pool))?;
        let known = self.known_user(user).await?;
        let store = self.store.acting_as(administrator());
        let revision = store.move_user(&known.aor, Some(&pool), now).await?;
        let homed = Homed { pool: pool.clone(), credential: Some(known.credential) };
        self.tell_user(holdings.topology(), user, Some(homed), revision).await?;
        Ok(pool)
    }

    /// Issues a certificate with which a user's phone signs in, for a request that an administrator carried here: the name is the
    /// user's, whatever the request says.
    ///
    /// # Errors
    /// There is no such user, they hold too many, or the request is no good.
    pub async fn sign_user_request(&self, user: &UserName, pem: &str) -> Result<Vec<CertificateDer<'static>>, Fault> {
        let request = CertificateRequest::read(pem.as_bytes())?;
        let change = self.change().await?;
        let now = SystemTime::now();
        self.known_user(user).await?;
        let holder = self.holder(user);
        self.check_room(&holder, user.as_str(), now).await?;
        self.check_key(&change, request.key()).await?;
        let domain = Fqdn::parse(&self.domain).map_err(|_| Fault::Damaged("a domain that is none"))?;
        let name = SipUser::new(user.as_str(), domain).ok_or_else(|| Fault::Unwritable(user.clone()))?;
        let issued = self.ca().authority().issue_user(&name, request.key(), now)?;
        let asked = Asked { by: Some("administrator".into()), request_sha256: Some(*request.fingerprint().as_bytes()) };
        self.record(Role::User, &issued.chain, asked, administrator(), now).await?;
        Ok(issued.chain)
    }

    /// As certificates name them.
    fn holder(&self, user: &UserName) -> Holder {
        Holder::User(format!("sip:{user}@{}", self.domain))
    }

    async fn known_user(&self, user: &UserName) -> Result<store::User, Fault> {
        let aor = self.aor(user);
        self.store.user(&aor).await?.ok_or(Fault::Store(store::Error::NoSuchUser(aor)))
    }

    /// Puts one user's change into force here, then tells members, each what it may know.
    async fn tell_user(&self, topology: &Topology, user: &UserName, homed: Option<Homed>, revision: Revision) -> Result<(), Fault> {
        let for_server = |server: &Fqdn| one_user(topology, server, user, homed.as_ref(), revision, &self.domain);
        self.member.take(&for_server(self.member.name()), SystemTime::now()).await?;
        self.hub.tell(|server| Some(Arc::new(for_server(server))));
        Ok(())
    }
}

fn one_user(
    topology: &Topology,
    server: &Fqdn,
    user: &UserName,
    homed: Option<&Homed>,
    Revision(revision): Revision,
    domain: &str,
) -> Update {
    let put: Vec<UserRecord> = homed.map(|homed| record(user, &as_told_to(topology, server, homed), domain)).into_iter().collect();
    let gone = if put.is_empty() { vec![user.to_string()] } else { Vec::new() };
    Update::Users { revision, from_scratch: false, more: false, put, gone }
}

fn as_told_to(topology: &Topology, server: &Fqdn, homed: &Homed) -> Homed {
    let checks = checks_sign_ins_of(topology, server, &homed.pool);
    Homed { pool: homed.pool.clone(), credential: homed.credential.clone().filter(|_| checks) }
}

/// The pool meant: the one named, else that of the authority's own server.
fn home(topology: &Topology, own: &Fqdn, named: Option<&Fqdn>) -> Result<Fqdn, Fault> {
    let pool = match named {
        Some(named) => topology.pool(named).or(topology.pool_of(named)).ok_or_else(|| Fault::NoSuchPool(named.clone()))?,
        None => topology.pool_of(own).filter(|pool| pool.is_home()).ok_or_else(|| Fault::NoHome(own.clone()))?,
    };
    if pool.is_home() { Ok(pool.name().clone()) } else { Err(Fault::NoSuchPool(pool.name().clone())) }
}
