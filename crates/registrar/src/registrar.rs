//! The bindings of all users: changed by REGISTER, asked by requests, ended by time and by the death of a flow.
//! Who sent the REGISTER was settled before, by `Challenger` or a certificate.

use std::{collections::HashMap, time::Instant};

use sip::Message;

use crate::{
    Flow, Limits, RegisterFault, Registered, RegistrarCounters, Registration, Target, UserName,
    binding::Binding,
    bindings::{Bindings, Index, Mark},
    contact::{self, Asked, Contacts, Order},
};

/// Where each user can be reached (RFC 3261 §10, RFC 5626).
///
/// A binding belongs to the flow its last REGISTER came in on and ends with it, for a contact's address
/// is never dialled: without the flow there is no way there.
pub struct Registrar {
    domain: String,
    /// Those whose addresses of record are ours.
    domains: Vec<String>,
    limits: Limits,
    users: HashMap<UserName, Bindings>,
    index: Index,
    bound: u64,
    count: usize,
    counters: RegistrarCounters,
}

impl Registrar {
    /// The registrar of a domain, nobody bound. It is the one that we write.
    #[must_use]
    pub fn new(domain: &str, limits: Limits) -> Self {
        let domain = domain.to_ascii_lowercase();
        Self {
            domains: vec![domain.clone()],
            domain,
            limits,
            users: HashMap::new(),
            index: Index::default(),
            bound: 0,
            count: 0,
            counters: RegistrarCounters::default(),
        }
    }

    /// The domains in which every user has an address from now on: the same user in each.
    pub fn set_domains(&mut self, domains: Vec<String>) {
        self.domains = domains;
    }

    /// Does what a REGISTER of the signed-in `user` asks, all of it or nothing.
    ///
    /// # Errors
    /// Nothing was changed; see [`RegisterFault`].
    pub fn register(&mut self, request: &Message, user: &UserName, flow: Flow, now: Instant) -> Result<Registered, RegisterFault> {
        let result = self.obey(request, user, flow, now);
        self.counters.refused += u64::from(result.is_err());
        result
    }

    fn obey(&mut self, request: &Message, user: &UserName, flow: Flow, now: Instant) -> Result<Registered, RegisterFault> {
        let to = request.to()?.uri;
        let Some(domain) = self.domains.iter().find(|domain| to.is_sip() && to.host.is_name(domain)) else {
            return Err(RegisterFault::NotOurs);
        };
        if !user.owns(&to, domain) {
            return Err(RegisterFault::NotYours);
        }
        let order = contact::read(request, &self.limits)?;
        self.expire(user, now);
        self.permit(user, &order)?;
        self.bound += 1;
        self.apply(user, &order, Mark { flow, bound: self.bound, now });
        Ok(self.answer(user, order, now))
    }

    /// RFC 3261 §10.3 steps 6 and 7, and the number of bindings.
    fn permit(&self, user: &UserName, order: &Order<'_>) -> Result<(), RegisterFault> {
        let held = self.users.get(user).map_or(&[][..], |bindings| &bindings.list);
        let late = |binding: &Binding| *binding.call_id == *order.call_id && order.cseq <= binding.cseq;
        let asked = match &order.contacts {
            Contacts::Query => return Ok(()),
            Contacts::All if held.iter().any(late) => return Err(RegisterFault::OutOfOrder),
            Contacts::All => return Ok(()),
            Contacts::These(asked) => asked,
        };
        let means = |binding: &Binding| asked.iter().any(|asked| binding.is_meant_by(asked));
        if held.iter().any(|binding| late(binding) && means(binding)) {
            return Err(RegisterFault::OutOfOrder);
        }
        let kept = held.iter().filter(|binding| !asked.iter().any(|asked| asked.expires == 0 && binding.is_meant_by(asked))).count();
        let new = asked.iter().filter(|asked| asked.expires != 0 && !held.iter().any(|binding| binding.is_meant_by(asked))).count();
        if kept + new > self.limits.bindings_per_user_max {
            return Err(RegisterFault::TooManyBindings { bindings_max: self.limits.bindings_per_user_max });
        }
        Ok(())
    }

    fn apply(&mut self, user: &UserName, order: &Order<'_>, at: Mark) {
        let asked = match &order.contacts {
            Contacts::Query => return,
            Contacts::All => {
                self.counters.removed += self.sweep(user, |_| true) as u64;
                return;
            }
            Contacts::These(asked) => asked,
        };
        let (removals, puts): (Vec<&Asked<'_>>, Vec<&Asked<'_>>) = asked.iter().partition(|asked| asked.expires == 0);
        if !removals.is_empty() {
            self.counters.removed += self.sweep(user, |binding| removals.iter().any(|asked| binding.is_meant_by(asked))) as u64;
        }
        if puts.is_empty() {
            return;
        }
        if !self.users.contains_key(user) {
            self.users.insert(user.clone(), Bindings::default());
        }
        let Some(bindings) = self.users.get_mut(user) else { return };
        for asked in puts {
            let new = bindings.put(user, &mut self.index, asked, order, at);
            self.count += usize::from(new);
            self.counters.bound += u64::from(new);
            self.counters.refreshed += u64::from(!new);
        }
        bindings.reschedule(user, &mut self.index);
    }

    fn answer(&self, user: &UserName, order: Order<'_>, now: Instant) -> Registered {
        let held = self.users.get(user).map_or(&[][..], |bindings| &bindings.list);
        let contacts = held.iter().map(|binding| self.contact_value(user, binding, order.gruu, now)).collect();
        let outbound =
            matches!(&order.contacts, Contacts::These(asked) if asked.iter().any(|asked| asked.reg_id != 0 && asked.expires != 0));
        Registered { contacts, path: order.path, flow_timer_secs: outbound.then_some(self.limits.flow_timer_secs) }
    }

    fn contact_value(&self, user: &UserName, binding: &Binding, gruu: bool, now: Instant) -> String {
        use std::fmt::Write as _;
        let mut out = String::with_capacity(binding.contact.len() + 160);
        // Writing into a String cannot fail.
        let _ = write!(out, "<{}>;expires={}", binding.contact, binding.expires_in(now).as_secs());
        if binding.q != 1000 {
            let _ = write!(out, ";q=0.{:03}", binding.q);
        }
        if let Some(urn) = &binding.instance {
            let _ = write!(out, ";+sip.instance=\"<{urn}>\"");
        }
        if binding.reg_id != 0 {
            let _ = write!(out, ";reg-id={}", binding.reg_id);
        }
        if let Some(gr) = binding.gr().filter(|_| gruu) {
            let _ = write!(out, ";pub-gruu=\"sip:{user}@{};gr={gr}\"", self.domain);
        }
        out
    }

    /// Where a request for this user goes, best first. With `gr`, the value of that parameter of the
    /// Request-URI, only to that phone (RFC 5627 §5.1).
    ///
    /// Sorted by q, then by how new the binding is; see [`Target::alternative`].
    #[must_use]
    pub fn targets(&self, user: &UserName, gr: Option<&str>, now: Instant) -> Vec<Target> {
        let Some(bindings) = self.users.get(user) else { return Vec::new() };
        let wanted = |binding: &&Binding| binding.is_alive(now) && gr.is_none_or(|gr| binding.is_named_by(gr));
        let mut alive: Vec<&Binding> = bindings.list.iter().filter(wanted).collect();
        alive.sort_by_key(|binding| std::cmp::Reverse((binding.q, binding.bound)));
        let target = |(at, binding): (usize, &&Binding)| Target {
            uri: binding.request_uri(),
            flow: binding.flow,
            q: binding.q,
            path: binding.path.to_vec(),
            instance: binding.instance.as_deref().map(str::to_owned),
            outbound: binding.reg_id != 0,
            alternative: alive[..at].iter().any(|earlier| earlier.is_of(binding.instance.as_deref())),
        };
        alive.iter().enumerate().map(target).collect()
    }

    /// The flow died: so do its bindings. Tells how many.
    pub fn drop_flow(&mut self, flow: Flow) -> usize {
        let first = (flow, UserName::lowest());
        let users: Vec<UserName> = self.index.flows.range(first..).take_while(|row| row.0 == flow).map(|row| row.1.clone()).collect();
        let dropped = users.iter().map(|user| self.sweep(user, |binding| binding.flow == flow)).sum();
        self.counters.dropped += dropped as u64;
        dropped
    }

    /// The user is no more: nor are their bindings. Tells how many.
    pub fn drop_user(&mut self, user: &UserName) -> usize {
        let dropped = self.sweep(user, |_| true);
        self.counters.dropped += dropped as u64;
        dropped
    }

    /// Drops what has run out.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some((_, user)) = self.index.due.first().filter(|row| row.0 <= now).cloned() {
            self.expire(&user, now);
        }
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.index.due.first().map(|row| row.0)
    }

    /// All bindings, by user.
    #[must_use]
    pub fn registrations(&self, now: Instant) -> Vec<Registration> {
        let mut rows: Vec<Registration> = Vec::with_capacity(self.count);
        for (user, bindings) in &self.users {
            rows.extend(bindings.list.iter().filter(|binding| binding.is_alive(now)).map(|binding| Registration {
                aor: format!("sip:{user}@{}", self.domain),
                contact: binding.contact.to_string(),
                flow: binding.flow,
                expires_in: binding.expires_in(now),
                user_agent: binding.user_agent.to_string(),
            }));
        }
        rows.sort_by(|a, b| (&a.aor, a.flow, &a.contact).cmp(&(&b.aor, b.flow, &b.contact)));
        rows
    }

    /// How many bindings there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// What happened so far.
    #[must_use]
    pub fn counters(&self) -> RegistrarCounters {
        self.counters
    }

    fn expire(&mut self, user: &UserName, now: Instant) {
        if self.users.get(user).is_some_and(|bindings| bindings.due.is_some_and(|due| due <= now)) {
            self.counters.expired += self.sweep(user, |binding| !binding.is_alive(now)) as u64;
        }
    }

    /// Removes bindings of one user and keeps every index true.
    fn sweep(&mut self, user: &UserName, gone: impl Fn(&Binding) -> bool) -> usize {
        let Some(bindings) = self.users.get_mut(user) else { return 0 };
        let removed = bindings.sweep(user, &mut self.index, gone);
        bindings.reschedule(user, &mut self.index);
        if bindings.list.is_empty() {
            self.users.remove(user);
        }
        self.count -= removed;
        removed
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;

    use super::*;

    /// What the indexes forget to forget cannot be seen from outside, and would grow for ever.
    #[test]
    fn the_indexes_hold_nothing_that_is_over() {
        let (mut registrar, user, now) = (Registrar::new("verbund.test", Limits::DEFAULT), UserName::parse("a").unwrap(), Instant::now());
        let register = |registrar: &mut Registrar, cseq: u32, flow, contact: &str| {
            let text = format!(
                "REGISTER sip:verbund.test SIP/2.0\r\nTo: <sip:a@verbund.test>\r\nCall-ID: x\r\nCSeq: {cseq} REGISTER\r\n\
                 Contact: {contact}\r\nContent-Length: 0\r\n\r\n"
            );
            registrar.register(&Message::parse(Bytes::from(text)).unwrap(), &user, Flow(flow), now).unwrap();
            (registrar.index.flows.len(), registrar.index.due.len())
        };
        assert_eq!(register(&mut registrar, 1, 1, "<sip:a@192.0.2.1>, <sip:b@192.0.2.1>"), (1, 1));
        assert_eq!(register(&mut registrar, 2, 2, "<sip:a@192.0.2.1>;expires=60"), (2, 1), "b is still on the first flow");
        assert_eq!(register(&mut registrar, 3, 2, "<sip:b@192.0.2.1>"), (1, 1));
        assert_eq!(register(&mut registrar, 4, 2, "<sip:b@192.0.2.1>;expires=0"), (1, 1));
        registrar.handle_timeout(now + Duration::from_secs(60));
        assert!(registrar.users.is_empty() && registrar.index.flows.is_empty() && registrar.index.due.is_empty());
    }
}
