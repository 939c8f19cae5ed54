//! One binding: a contact, the flow that leads to it, and what a request finds there.

use std::time::{Duration, Instant};

use sip::Uri;

use crate::{
    Flow,
    contact::{Asked, Order},
    user::unescaped,
};

/// One address of a user, and the flow that leads there.
pub(crate) struct Binding {
    pub(crate) contact: Box<str>,
    pub(crate) instance: Option<Box<str>>,
    pub(crate) call_id: Box<str>,
    pub(crate) user_agent: Box<str>,
    pub(crate) path: Box<[String]>,
    pub(crate) flow: Flow,
    pub(crate) expires_at: Instant,
    /// Grows with every REGISTER that touches a binding: which one is newer.
    pub(crate) bound: u64,
    pub(crate) cseq: u32,
    /// 0 when not outbound.
    pub(crate) reg_id: u32,
    pub(crate) q: u16,
}

impl Binding {
    pub(crate) fn new(asked: &Asked<'_>, order: &Order<'_>, flow: Flow, bound: u64, now: Instant) -> Self {
        Self {
            contact: asked.uri.text.into(),
            instance: asked.instance.map(Into::into),
            call_id: order.call_id.into(),
            user_agent: order.user_agent.into(),
            path: order.path.clone().into(),
            flow,
            expires_at: now + Duration::from_secs(asked.expires.into()),
            bound,
            cseq: order.cseq,
            reg_id: asked.reg_id,
            q: asked.q,
        }
    }

    /// The same binding, told again; what did not change is not written again.
    pub(crate) fn refresh(&mut self, asked: &Asked<'_>, order: &Order<'_>, flow: Flow, bound: u64, now: Instant) {
        keep(&mut self.contact, asked.uri.text);
        keep(&mut self.call_id, order.call_id);
        keep(&mut self.user_agent, order.user_agent);
        if self.instance.as_deref() != asked.instance {
            self.instance = asked.instance.map(Into::into);
        }
        if *self.path != *order.path {
            self.path = order.path.clone().into();
        }
        self.flow = flow;
        self.expires_at = now + Duration::from_secs(asked.expires.into());
        self.bound = bound;
        self.cseq = order.cseq;
        self.reg_id = asked.reg_id;
        self.q = asked.q;
    }

    /// Whether `asked` speaks of this binding: by instance and reg-id when it is outbound (RFC 5626 §6),
    /// else by the URI (RFC 3261 §10.3). Removal by URI removes outbound bindings too.
    pub(crate) fn is_meant_by(&self, asked: &Asked<'_>) -> bool {
        let same_uri = || *self.contact == *asked.uri.text || Uri::parse(&self.contact).is_some_and(|uri| uri.same_as(&asked.uri));
        if asked.reg_id != 0 {
            return self.reg_id == asked.reg_id && self.is_of(asked.instance);
        }
        (self.reg_id == 0 || asked.expires == 0) && same_uri()
    }

    /// Whether it belongs to this instance. URNs of phones are UUIDs, compared without case (RFC 9562 §4).
    pub(crate) fn is_of(&self, instance: Option<&str>) -> bool {
        self.instance.as_deref().zip(instance).is_some_and(|(ours, theirs)| ours.eq_ignore_ascii_case(theirs))
    }

    /// Whether `gr`, as it stands in a Request-URI, is the public GRUU's of this binding (RFC 5627 §5.1).
    pub(crate) fn is_named_by(&self, gr: &str) -> bool {
        self.gr().is_some_and(|urn| {
            let theirs = unescaped(gr).map(|byte| byte.map(|b| b.to_ascii_lowercase()));
            theirs.eq(urn.bytes().map(|b| Some(b.to_ascii_lowercase())))
        })
    }

    pub(crate) fn is_alive(&self, now: Instant) -> bool {
        now < self.expires_at
    }

    pub(crate) fn expires_in(&self, now: Instant) -> Duration {
        self.expires_at.saturating_duration_since(now)
    }

    /// The contact as a Request-URI: without what RFC 3261 §19.1.1 forbids there, `?headers` (a Route in
    /// them would steer the request) and `method`.
    pub(crate) fn request_uri(&self) -> String {
        let Some(uri) = Uri::parse(&self.contact) else { return self.contact.to_string() };
        let text = uri.headers.map_or(uri.text, |headers| &uri.text[..uri.text.len() - headers.len() - 1]);
        if !uri.params.has("method") {
            return text.to_owned();
        }
        let mut out = text[..text.len() - uri.params.as_str().len()].to_owned();
        for (name, value) in uri.params.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("method")) {
            out.extend([";", name]);
            out.extend(value.into_iter().flat_map(|value| ["=", value]));
        }
        out
    }

    /// The value of `gr=` for this binding, if its URN can stand in a URI as it is (RFC 5627 §3.1).
    pub(crate) fn gr(&self) -> Option<&str> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.!~*'()[]/:&+$".contains(&b);
        self.instance.as_deref().filter(|urn| urn.bytes().all(plain))
    }
}

fn keep(old: &mut Box<str>, new: &str) {
    if **old != *new {
        *old = new.into();
    }
}

/// Where a request for a user may go.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Target {
    /// The Request-URI to put there.
    pub uri: String,
    /// The connection that leads there. Contacts are never dialled.
    pub flow: Flow,
    /// Preference, 0 to 1000.
    pub q: u16,
    /// Route values to put in front, in order (RFC 3327 §5.2).
    pub path: Vec<String>,
    /// The phone's URN, without angle brackets, if it told one.
    pub instance: Option<String>,
    /// Whether the phone keeps several flows (RFC 5626).
    pub outbound: bool,
    /// An earlier target leads to the same instance: try this one only when that failed with 430, 408 or
    /// a dead flow (RFC 5626 §7), or one phone would ring twice.
    pub alternative: bool,
}

/// A binding as `verbund status` shows it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Registration {
    /// Whose: `sip:alice@verbund.test`.
    pub aor: String,
    /// The Contact URI as it was told.
    pub contact: String,
    /// The connection.
    pub flow: Flow,
    /// Time left.
    pub expires_in: Duration,
    /// What the phone calls itself; empty when it did not say.
    pub user_agent: String,
}
