//! Do these credentials prove who sent the request? Challenges are made here, answers judged (RFC 7616, 8760).
//!
//! The hashing is `digest`'s, the rate of guessing `throttle`'s; what the client is told is the caller's choice.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use aws_lc_rs::hmac;
use sip::{Host, Message, Name, Status, Uri};

use crate::{
    Credential, Directory, Flow, Source, ThrottleLimits, UserName,
    digest::{self, Algorithm, Answer, Reading},
    nonce::Nonce,
    replay::Replays,
    throttle::Throttle,
};

/// How long a nonce is good for. An answer to an older one gets `stale=true`, and the client tries
/// again without asking its user.
pub const NONCE_LIFETIME: Duration = Duration::from_secs(300);

/// Nonces in use at one time, over all flows: about 3 MB.
const NONCES_IN_USE_MAX: usize = 65_536;

/// Why a request did not prove who sent it. What the client is told is chosen by the caller, and the
/// same for a wrong password as for a user who does not exist.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Denied {
    /// No credentials for our realm: challenge.
    #[error("the request carries no credentials for this domain")]
    NoCredentials,
    /// The password is right, but the nonce is too old, of another connection, or used: challenge with
    /// `stale=true`.
    #[error("the nonce is no longer good; the client has to answer a new one")]
    Stale,
    /// Wrong password, or no such user: 403.
    #[error("the user name or the password is wrong")]
    Wrong,
    /// Too many wrong guesses; nothing was looked at. 503 with Retry-After.
    #[error("too many wrong passwords; the next try is possible in {} s", retry_after.as_secs())]
    Throttled {
        /// How long to wait, whole seconds, at least one.
        retry_after: Duration,
    },
    /// Not an answer to a challenge of ours: 400. The words may be told.
    #[error("malformed digest: {0}")]
    Malformed(&'static str),
}

/// What to answer so that the client can prove who it is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Challenge {
    /// 401 to a REGISTER, 407 to everything else.
    pub status: Status,
    /// `WWW-Authenticate` or `Proxy-Authenticate`.
    pub name: Name,
    /// One header value an algorithm, in the order in which they must stand (RFC 8760 §2.1).
    pub values: Vec<String>,
}

/// What happened, for the metrics.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(missing_docs, reason = "the names are those of the cases of `Denied`")]
pub struct ChallengerCounters {
    pub challenged: u64,
    pub accepted: u64,
    pub stale: u64,
    pub wrong: u64,
    pub throttled: u64,
    pub malformed: u64,
}

/// Digest sign-in (RFC 7616, 8760): makes challenges, and reads answers.
///
/// The relay attack on digest (a stranger passes our challenge on to a user's phone and its answer back
/// to us) is why `uri=` must name us: a phone signs what it believes to talk to. `uri=` need not be the
/// Request-URI: phones write the latter as they know it, and some the address they connected to.
/// That one answer serves one request only is the work of the nonce, which belongs to one flow, and of
/// its count. So nothing but `uri=` is hashed, and nothing but it has to be compared.
pub struct Challenger {
    nonce_key: hmac::Key,
    nobody_key: hmac::Key,
    realm: String,
    domains: Vec<String>,
    names: Vec<String>,
    addresses: Vec<IpAddr>,
    start: Instant,
    number: u64,
    replays: Replays,
    throttle: Throttle,
    counters: ChallengerCounters,
}

impl Challenger {
    /// Signs users of `domain` in. `also_named` are the host names and address literals under which
    /// clients reach this server besides the domain: its own FQDN, its listen address. The key must be
    /// random and may live as short as the process: its end makes every nonce stale, no more.
    #[must_use]
    pub fn new(key: &[u8; 32], domain: &str, also_named: &[&str], limits: ThrottleLimits, now: Instant) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        let derive = |purpose: &[u8]| hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&key, purpose).as_ref());
        let start_number = hmac::sign(&key, b"first number");
        let realm = domain.to_ascii_lowercase();
        let (mut names, mut addresses) = (Vec::new(), Vec::new());
        for host in also_named {
            match host.trim_matches(['[', ']']).parse::<IpAddr>() {
                Ok(address) => addresses.push(address),
                Err(_) => names.push(host.to_ascii_lowercase()),
            }
        }
        Self {
            nonce_key: derive(b"nonce"),
            nobody_key: derive(b"nobody"),
            domains: vec![realm.clone()],
            realm,
            names,
            addresses,
            start: now,
            // Not from zero, so that a nonce does not tell how many there were.
            number: start_number.as_ref()[..6].iter().fold(0, |number, byte| number << 8 | u64::from(*byte)),
            replays: Replays::new(NONCES_IN_USE_MAX),
            throttle: Throttle::new(limits),
            counters: ChallengerCounters::default(),
        }
    }

    /// The domains that clients know us by from now on. The realm stays: passwords are digested with it.
    pub fn set_domains(&mut self, domains: Vec<String>) {
        self.domains = domains;
    }

    /// The realm, which is the domain.
    #[must_use]
    pub fn realm(&self) -> &str {
        &self.realm
    }

    /// What happened so far.
    #[must_use]
    pub fn counters(&self) -> ChallengerCounters {
        self.counters
    }

    /// A challenge for this request, good on this flow only. The same for every user, whether there is
    /// one or not.
    ///
    /// SHA-256 stands first, then MD5. A client that announces no extension (`Supported`) is older than
    /// SHA-256 in SIP: it gets MD5 first, because many such read the first challenge only (SIPp 3.6), and a
    /// phone among them, one that names itself, gets MD5 alone, because some give up on an unknown algorithm
    /// wherever it stands (libre 1.x). Why this costs little is told in docs/decisions/0003.
    pub fn challenge(&mut self, request: &Message, flow: Flow, stale: bool, now: Instant) -> Challenge {
        self.number += 1;
        self.counters.challenged += 1;
        let nonce = Nonce { made: self.seconds(now), number: self.number }.seal(&self.nonce_key, flow);
        let value = |algorithm: Algorithm| {
            let stale = if stale { ", stale=true" } else { "" };
            format!("Digest realm=\"{}\", nonce=\"{nonce}\", algorithm={}, qop=\"auth\"{stale}", self.realm, algorithm.as_str())
        };
        let algorithms: &[Algorithm] = match (request.first(Name::Supported), request.first(Name::UserAgent)) {
            (Some(_), _) => &[Algorithm::Sha256, Algorithm::Md5],
            (None, Some(_)) => &[Algorithm::Md5],
            (None, None) => &[Algorithm::Md5, Algorithm::Sha256],
        };
        let values = algorithms.iter().map(|algorithm| value(*algorithm)).collect();
        let (status, name, _) = roles(request);
        Challenge { status, name, values }
    }

    /// Whose request this is.
    ///
    /// # Errors
    /// It does not prove it; see [`Denied`].
    pub fn check(
        &mut self,
        request: &Message,
        directory: &Directory,
        flow: Flow,
        source: IpAddr,
        now: Instant,
    ) -> Result<UserName, Denied> {
        let verdict = self.judge(request, directory, flow, source.into(), now);
        match &verdict {
            Ok(_) => self.counters.accepted += 1,
            Err(Denied::NoCredentials) => {}
            Err(Denied::Stale) => self.counters.stale += 1,
            Err(Denied::Wrong) => self.counters.wrong += 1,
            Err(Denied::Throttled { .. }) => self.counters.throttled += 1,
            Err(Denied::Malformed(_)) => self.counters.malformed += 1,
        }
        verdict
    }

    fn judge(&mut self, request: &Message, directory: &Directory, flow: Flow, source: Source, now: Instant) -> Result<UserName, Denied> {
        let answer = self.answer_in(request, source)?;
        let user = UserName::parse(answer.username).ok();
        let wait = self.throttle.wait(user.as_ref(), source, now);
        if !wait.is_zero() {
            return Err(Denied::Throttled { retry_after: Duration::from_secs((wait + Duration::from_nanos(999_999_999)).as_secs()) });
        }
        // The password comes before the nonce: a guess on a nonce that is no good is a guess all the same.
        let Some(user) = self.proves(&answer, user.clone(), directory, request.method()) else {
            self.throttle.handle_wrong(user, source, now);
            return Err(Denied::Wrong);
        };
        let oldest = self.seconds(now).saturating_sub(u32::try_from(NONCE_LIFETIME.as_secs()).unwrap_or(u32::MAX));
        let nonce = Nonce::open(answer.nonce, &self.nonce_key, flow).filter(|nonce| nonce.made >= oldest).ok_or(Denied::Stale)?;
        if !self.replays.admit(nonce, answer.nonce_count, oldest) {
            return Err(Denied::Stale);
        }
        self.throttle.handle_right(&user, source, now);
        Ok(user)
    }

    /// The first credentials for our realm; other schemes and realms are other servers' (RFC 3261 §22.3).
    fn answer_in<'m>(&self, request: &'m Message, source: Source) -> Result<Answer<'m>, Denied> {
        let (_, _, credentials) = roles(request);
        for text in request.all(credentials) {
            match digest::read(text, &self.realm) {
                Reading::NotForUs => {}
                Reading::Malformed(why) => return Err(Denied::Malformed(why)),
                Reading::Answer(answer) if self.is_us(answer.uri, source) => return Ok(answer),
                Reading::Answer(_) => return Err(Denied::Malformed("the uri of the digest does not name this server")),
            }
        }
        Err(Denied::NoCredentials)
    }

    /// On one machine any loopback address is us: phones without TLS reach us through a helper beside
    /// them (socat, stunnel) and sign its address. A stranger's packets do not come from there.
    fn is_us(&self, uri: &str, source: Source) -> bool {
        let ours = |address: IpAddr| self.addresses.contains(&address) || address.is_loopback() && source.is_loopback();
        Uri::parse(uri).filter(Uri::is_sip).is_some_and(|uri| match uri.host {
            Host::Name(_) => self.domains.iter().chain(&self.names).any(|name| uri.host.is_name(name)),
            Host::V4(address) => ours(address.into()),
            Host::V6(address) => ours(address.into()),
        })
    }

    /// A user who does not exist has an HA1 too, one that nobody knows: the same work in the same time,
    /// and no answer that differs.
    fn proves(&self, answer: &Answer<'_>, user: Option<UserName>, directory: &Directory, method: &str) -> Option<UserName> {
        let nobody = self.nobody(answer.username);
        let known = user.as_ref().and_then(|user| directory.credential(user));
        let right = answer.is_of(known.unwrap_or(&nobody).ha1(answer.algorithm), method);
        user.filter(|_| right && known.is_some())
    }

    fn nobody(&self, username: &str) -> Credential {
        let tag = hmac::sign(&self.nobody_key, username.as_bytes());
        let (mut md5, mut sha256) = ([0; 16], [0; 32]);
        md5.copy_from_slice(&tag.as_ref()[..16]);
        sha256.copy_from_slice(tag.as_ref());
        Credential::from_bytes(md5, sha256)
    }

    /// The user was removed or has a new password: what their old one earned is forgotten.
    pub fn forget(&mut self, user: &UserName) {
        self.throttle.forget(user);
    }

    fn seconds(&self, now: Instant) -> u32 {
        u32::try_from(now.saturating_duration_since(self.start).as_secs()).unwrap_or(u32::MAX)
    }
}

/// We are registrar to a REGISTER and proxy to the rest (RFC 3261 §22.1): status, challenge, credentials.
fn roles(request: &Message) -> (Status, Name, Name) {
    if request.method() == "REGISTER" {
        (Status::UNAUTHORIZED, Name::WwwAuthenticate, Name::Authorization)
    } else {
        (Status::PROXY_AUTHENTICATION_REQUIRED, Name::ProxyAuthenticate, Name::ProxyAuthorization)
    }
}
