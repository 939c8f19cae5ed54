use std::{
    collections::{BTreeSet, HashMap},
    time::{Duration, Instant},
};

use sip::{Message, Name};

use crate::{
    Flow, RegisterFault, Registration, Target, UserName,
    binding::Binding,
    contact::{self, Asked, Contacts, Order},
};

/// What one user may make us keep, and for how long.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Contacts of one user, and of one REGISTER.
    pub bindings_per_user_max: usize,
    /// A Contact URI.
    pub contact_bytes_max: usize,
    /// A Call-ID.
    pub call_id_bytes_max: usize,
    /// An instance URN.
    pub instance_bytes_max: usize,
    /// All Path values of a binding together.
    pub path_bytes_max: usize,
    /// A User-Agent; longer ones are cut.
    pub user_agent_bytes_max: usize,
    /// Shorter lifetimes get 423.
    pub expires_min_secs: u32,
    /// Longer lifetimes are shortened.
    pub expires_max_secs: u32,
    /// When nothing is said.
    pub expires_default_secs: u32,
    /// How long a client that supports outbound may be silent on its flow (RFC 5626 §5.4).
    pub flow_timer_secs: u32,
}

impl Limits {
    /// Ten phones a user, an hour each.
    pub const DEFAULT: Self = Self {
        bindings_per_user_max: 10,
        contact_bytes_max: 512,
        call_id_bytes_max: 256,
        instance_bytes_max: 128,
        path_bytes_max: 1024,
        user_agent_bytes_max: 64,
        expires_min_secs: 60,
        expires_max_secs: 3600,
        expires_default_secs: 3600,
        flow_timer_secs: 120,
    };

    /// The lifetime granted for the one asked for (RFC 3261 §10.3 step 7).
    pub(crate) fn lifetime(&self, asked_secs: u32) -> Result<u32, RegisterFault> {
        if asked_secs > 0 && asked_secs < self.expires_min_secs {
            return Err(RegisterFault::TooBrief { expires_min: Duration::from_secs(self.expires_min_secs.into()) });
        }
        Ok(asked_secs.min(self.expires_max_secs))
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// What the 200 to a REGISTER says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Registered {
    /// A Contact value for each binding that the user now has.
    pub contacts: Vec<String>,
    /// The Path of this request, given back (RFC 3327 §5.3).
    pub path: Vec<String>,
    /// The Flow-Timer in seconds when an outbound binding was made: then `Require: outbound` is said too
    /// (RFC 5626 §6).
    pub flow_timer_secs: Option<u32>,
}

impl Registered {
    /// The headers of the 200, in order.
    pub fn headers(&self) -> impl Iterator<Item = (Name, std::borrow::Cow<'_, str>)> {
        let contacts = self.contacts.iter().map(|value| (Name::Contact, value.as_str().into()));
        let path = self.path.iter().map(|value| (Name::Path, value.as_str().into()));
        let outbound = self
            .flow_timer_secs
            .into_iter()
            .flat_map(|secs| [(Name::Require, "outbound".into()), (Name::FlowTimer, std::borrow::Cow::Owned(secs.to_string()))]);
        contacts.chain(path).chain(outbound).chain([(Name::Supported, "path, outbound, gruu".into())])
    }
}

/// What happened, for the metrics.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct RegistrarCounters {
    /// New bindings.
    pub bound: u64,
    /// Bindings told again.
    pub refreshed: u64,
    /// Bindings taken back by their user.
    pub removed: u64,
    /// Bindings that ran out.
    pub expired: u64,
    /// Bindings whose flow died.
    pub dropped: u64,
    /// REGISTERs that changed nothing because something was wrong with them.
    pub refused: u64,
}

/// Where each user can be reached (RFC 3261 §10, RFC 5626).
///
/// A binding belongs to the flow its last REGISTER came in on and ends with it, for a contact's address
/// is never dialled: without the flow there is no way there.
pub struct Registrar {
    domain: String,
    limits: Limits,
    users: HashMap<UserName, Bindings>,
    index: Index,
    bound: u64,
    count: usize,
    counters: RegistrarCounters,
}

#[derive(Default)]
struct Bindings {
    list: Vec<Binding>,
    /// The row of this user in [`Index::due`].
    due: Option<Instant>,
}

/// Which users are touched when a flow dies or time passes.
#[derive(Default)]
struct Index {
    flows: BTreeSet<(Flow, UserName)>,
    due: BTreeSet<(Instant, UserName)>,
}

impl Bindings {
    /// Removes what is `gone`; tells how many those were.
    fn sweep(&mut self, user: &UserName, index: &mut Index, gone: impl Fn(&Binding) -> bool) -> usize {
        let before = self.list.len();
        for at in (0..before).rev() {
            if gone(&self.list[at]) {
                let flow = self.list.remove(at).flow;
                self.leave(user, index, flow);
            }
        }
        before - self.list.len()
    }

    /// Forgets that the user is on this flow, unless another binding still is.
    fn leave(&self, user: &UserName, index: &mut Index, flow: Flow) {
        if !self.list.iter().any(|binding| binding.flow == flow) {
            index.flows.remove(&(flow, user.clone()));
        }
    }

    fn reschedule(&mut self, user: &UserName, index: &mut Index) {
        let due = self.list.iter().map(|binding| binding.expires_at).min();
        if due == self.due {
            return;
        }
        if let Some(old) = self.due {
            index.due.remove(&(old, user.clone()));
        }
        if let Some(new) = due {
            index.due.insert((new, user.clone()));
        }
        self.due = due;
    }

    /// Adds or refreshes one; `true` when it is new.
    fn put(&mut self, user: &UserName, index: &mut Index, asked: &Asked<'_>, order: &Order<'_>, at: Mark) -> bool {
        index.join(at.flow, user);
        let Some(binding) = self.list.iter_mut().find(|binding| binding.is_meant_by(asked)) else {
            self.list.push(Binding::new(asked, order, at.flow, at.bound, at.now));
            return true;
        };
        let old = binding.flow;
        binding.refresh(asked, order, at.flow, at.bound, at.now);
        self.leave(user, index, old);
        false
    }
}

impl Index {
    fn join(&mut self, flow: Flow, user: &UserName) {
        let row = (flow, user.clone());
        if !self.flows.contains(&row) {
            self.flows.insert(row);
        }
    }
}

/// When and over what a REGISTER came.
#[derive(Clone, Copy)]
struct Mark {
    flow: Flow,
    bound: u64,
    now: Instant,
}

impl Registrar {
    /// The registrar of a domain, nobody bound.
    #[must_use]
    pub fn new(domain: &str, limits: Limits) -> Self {
        Self {
            domain: domain.to_ascii_lowercase(),
            limits,
            users: HashMap::new(),
            index: Index::default(),
            bound: 0,
            count: 0,
            counters: RegistrarCounters::default(),
        }
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
        if !(to.is_sip() && to.host.is_name(&self.domain)) {
            return Err(RegisterFault::NotOurs);
        }
        if !user.owns(&to, &self.domain) {
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
        let wanted = |binding: &&Binding| binding.is_alive(now) && gr.is_none_or(|gr| binding.is_of(Some(gr)));
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

    /// Whether the user can be reached at all.
    #[must_use]
    pub fn is_bound(&self, user: &UserName, now: Instant) -> bool {
        self.users.get(user).is_some_and(|bindings| bindings.list.iter().any(|binding| binding.is_alive(now)))
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
