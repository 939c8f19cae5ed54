//! Where a request goes: to a device here, to a server of the user's home pool, to an application, along a dialog.

use std::{collections::HashMap, sync::Arc, time::Instant};

use locate::{Destination, NextHop, Unroutable};
use pki::Fqdn;
use proxy::{End, Forward, Leg, Target};
use registrar::{Flow, UserName};
use sip::{Message, Name, Status, Uri};

use crate::{
    answer::Answer,
    decide::{ALLOW, Asked, Caller, Decision, refuse},
    node::Node,
};

/// A request's way, before it is known which links are open.
pub(crate) struct Journey {
    /// What is said of its sender, and the devices that are reached from here.
    pub(crate) plan: Forward,
    /// The servers it goes to as well.
    pub(crate) stops: Vec<Stop>,
}

/// One server out of several that do equally well, the best first.
pub(crate) struct Stop {
    pub(crate) any_of: Vec<Arc<Fqdn>>,
    /// The Request-URI it gets.
    pub(crate) uri: String,
}

/// Whom a Request-URI names.
pub(crate) enum Address {
    /// This server itself.
    Here,
    /// A user, perhaps one certain device of theirs (RFC 5627).
    User { user: UserName, instance: Option<String> },
    /// A trusted application, which knows what the rest means.
    Application(Fqdn),
    /// Another server, which has nothing to say to users.
    Elsewhere,
}

/// Which servers serve a user.
pub(crate) enum Home<'n> {
    /// This one, and the others of its pool.
    Here,
    /// Those of another pool.
    Pool(&'n Fqdn),
    /// Nobody: there is no such user.
    Nowhere,
}

/// Methods that create a dialog, so that we must stay on its way (RFC 3261 §16.6 step 4, 6665, 3515).
const DIALOG_METHODS: [&str; 3] = ["INVITE", "SUBSCRIBE", "REFER"];

impl Node {
    /// Where a user has their home. Whom this server was given a password for and no home is at home here.
    pub(crate) fn home_of(&self, user: &UserName) -> Home<'_> {
        match self.homes.get(user) {
            Some(pool) if self.place.pool.as_ref() == Some(pool) => Home::Here,
            Some(pool) => Home::Pool(pool),
            None if self.directory.contains(user) => Home::Here,
            None => Home::Nowhere,
        }
    }

    pub(crate) fn address_of(&self, flow: Flow, request: &Message) -> Asked<Address> {
        let Ok(uri) = request.request_uri() else { return refuse(Status::BAD_REQUEST) };
        let here = match locate::destination(&self.topology, &uri) {
            Ok(Destination::Application(name)) => return Ok(Address::Application(name)),
            Ok(Destination::Domain(_)) => true,
            Ok(Destination::Server(name)) => self.place.is_named(&name),
            // The very address that this phone reached is us, whatever our name is.
            Err(Unroutable::Address(_)) if self.is_reached_at(flow, &uri.host) => true,
            Err(unroutable) => return Err(Decision::Answer(Answer::warned(unroutable.status(), self.name(), unroutable))),
        };
        if uri.user.is_none() {
            return Ok(if here { Address::Here } else { Address::Elsewhere });
        }
        let Some(user) = UserName::of(&uri) else { return refuse(Status::NOT_FOUND) };
        Ok(Address::User { user, instance: uri.params.value("gr").map(str::to_owned) })
    }

    fn is_reached_at(&self, flow: Flow, host: &sip::Host<'_>) -> bool {
        let local = self.sessions.get(&flow).map(|session| session.local);
        match host {
            sip::Host::V4(address) => local == Some((*address).into()),
            sip::Host::V6(address) => local == Some((*address).into()),
            sip::Host::Name(_) => false,
        }
    }

    /// A request outside a dialog goes where its Request-URI says.
    pub(crate) fn decide_for_address(&mut self, flow: Flow, caller: Caller, request: &Message, now: Instant) -> Asked<Decision> {
        if request.method() == "NOTIFY" {
            // RFC 6665 §4.1.3: without a subscription there is nothing to tell. Phones obey such a one as if their server
            // had sent it: they restart, or show messages that nobody left.
            return refuse(Status::CALL_DOES_NOT_EXIST);
        }
        let record_route = DIALOG_METHODS.contains(&request.method());
        match self.address_of(flow, request)? {
            Address::Application(name) => {
                let stop = Stop { any_of: vec![Arc::new(name)], uri: request.request_uri_text().to_owned() };
                Ok(self.journey(flow, caller, Vec::new(), vec![stop], record_route))
            }
            _ if request.method() == "PUBLISH" => refuse(Status::BAD_EVENT),
            Address::Here => Err(Decision::Answer(Answer::new(Status::METHOD_NOT_ALLOWED).with(Name::Allow, ALLOW))),
            Address::Elsewhere => refuse(Status::NOT_FOUND),
            Address::User { user, instance } => {
                let (devices, stops) = self.places_of(&caller, &user, instance.as_deref(), request, now)?;
                if devices.is_empty() && stops.is_empty() {
                    return refuse(Status::TEMPORARILY_UNAVAILABLE);
                }
                Ok(self.journey(flow, caller, devices, stops, record_route))
            }
        }
    }

    /// Where a user is reached: on devices connected here and over the other servers of this pool, or over one of the servers
    /// of their home pool.
    fn places_of(
        &self,
        caller: &Caller,
        user: &UserName,
        instance: Option<&str>,
        request: &Message,
        now: Instant,
    ) -> Asked<(Vec<Target>, Vec<Stop>)> {
        match self.home_of(user) {
            Home::Nowhere => refuse(Status::NOT_FOUND),
            Home::Here => {
                let devices = self.devices(user, instance, now);
                // One certain device is in one place only.
                let is_found = instance.is_some() && !devices.is_empty();
                let stops = if caller.is_mate || is_found { Vec::new() } else { self.mates(user, request) };
                Ok((devices, stops))
            }
            // A front end sends to the user's home by itself: one of us is not up to date, and what it vouches for would count
            // there from itself only.
            Home::Pool(_) if caller.is_front_end(&self.place.homes) => refuse(Status::LOOP_DETECTED),
            Home::Pool(pool) => {
                let any_of = self.servers_of(pool, user);
                if any_of.is_empty() {
                    return Err(Decision::Answer(self.unreachable()));
                }
                Ok((Vec::new(), vec![Stop { any_of, uri: self.uri_for(user, request) }]))
            }
        }
    }

    /// The other servers of this pool, each of which may have a phone of the user's. Whoever cannot be reached is taken to have
    /// none: a call must not wait for a server that is gone.
    fn mates(&self, user: &UserName, request: &Message) -> Vec<Stop> {
        let linked = self.place.mates.iter().filter(|mate| self.links.is_up(mate));
        linked.map(|mate| Stop { any_of: vec![Arc::clone(mate)], uri: self.uri_for(user, request) }).collect()
    }

    /// The servers of a home pool: those that can be reached at once before others, and all requests for one user in the same
    /// order, so that none overtakes another.
    fn servers_of(&self, pool: &Fqdn, user: &UserName) -> Vec<Arc<Fqdn>> {
        let mut servers = self.place.homes.get(pool).cloned().unwrap_or_default();
        if servers.len() > 1 {
            let first = user.as_str().bytes().fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
            let at = first % servers.len();
            servers.rotate_left(at);
            servers.sort_by_key(|server| (!self.links.is_up(server), !self.links.is_linked(server)));
        }
        servers
    }

    /// What a server is asked for: the user under a name that means the same everywhere. An address of ours would not.
    fn uri_for(&self, user: &UserName, request: &Message) -> String {
        let uri = request.request_uri().ok();
        match uri.filter(|uri| matches!(locate::destination(&self.topology, uri), Ok(Destination::Domain(_)))) {
            Some(uri) => uri.text.to_owned(),
            None => format!("sip:{user}@{}", self.domain()),
        }
    }

    pub(crate) fn unreachable(&self) -> Answer {
        let why = "no server of the user's home pool can be reached";
        Answer::warned(Status::SERVICE_UNAVAILABLE, self.name(), why).with(Name::RetryAfter, "5")
    }

    fn journey(&self, flow: Flow, caller: Caller, targets: Vec<Target>, stops: Vec<Stop>, record_route: bool) -> Decision {
        let Caller { end, asserted, .. } = caller;
        let plan = Forward { targets, caller: Some(end), asserted: Some(asserted), reached_as: self.reached_on(flow), record_route };
        Decision::Forward(Journey { plan, stops })
    }

    fn target(&self, user: &UserName, flow: Flow, uri: String, q: u16, path: Vec<String>) -> Target {
        let (hop, reached_as) = (NextHop::Flow(flow), self.reached_on(flow));
        Target { hop, uri, q, path, user: Some(user.clone()), reached_as, otherwise: Vec::new() }
    }

    fn reached_on(&self, flow: Flow) -> Option<Arc<str>> {
        self.sessions.get(&flow).map(|session| Arc::clone(&session.reached_as))
    }

    fn devices(&self, user: &UserName, instance: Option<&str>, now: Instant) -> Vec<Target> {
        let targets = self.registrar.targets(user, instance, now);
        // A second way to the same phone would make it ring twice.
        let first_ways = targets.into_iter().filter(|target| !target.alternative);
        first_ways.map(|t| self.target(user, t.flow, t.uri, t.q, t.path)).collect()
    }

    /// A request inside a dialog goes where the token says, from its one end to its other, and nobody else may use it.
    pub(crate) fn decide_in_dialog(
        &mut self,
        flow: Flow,
        caller: Caller,
        from: &Leg,
        to: &Leg,
        request: &Message,
        now: Instant,
    ) -> Asked<Decision> {
        if from.end != caller.end {
            return Err(Decision::Answer(self.not_yours()));
        }
        if request.method() == "NOTIFY" && !self.proxy.is_asked_for(request) {
            // As outside a dialog: of what nobody asked for, nobody is to be told.
            return refuse(Status::CALL_DOES_NOT_EXIST);
        }
        match &to.end {
            End::User(user) => match self.device_in_dialog(user, to.flow, request, now) {
                Some(target) => Ok(self.journey(flow, caller, vec![target], Vec::new(), false)),
                None => refuse(Status::FLOW_FAILED),
            },
            // Whichever link there is with it by now: the name counts.
            End::Server(server) => {
                let stop = Stop { any_of: vec![Arc::clone(server)], uri: request.request_uri_text().to_owned() };
                Ok(self.journey(flow, caller, Vec::new(), vec![stop], false))
            }
        }
    }

    /// The other end's device: over the connection the dialog began on, or over the one it has come back with.
    fn device_in_dialog(&self, user: &UserName, flow: Flow, request: &Message, now: Instant) -> Option<Target> {
        let uri = request.request_uri().ok()?;
        let ours = locate::serves(&self.topology, &uri);
        if let Some(instance) = uri.params.value("gr").filter(|_| ours) {
            return self.devices(user, Some(instance), now).into_iter().next();
        }
        if !ours && self.session_has(flow, user) {
            return Some(self.target(user, flow, uri.text.to_owned(), 1000, Vec::new()));
        }
        let mut devices = self.devices(user, None, now);
        let same = |device: &Target| device.hop == NextHop::Flow(flow) || Uri::parse(&device.uri).is_some_and(|it| it.same_as(&uri));
        if let Some(at) = devices.iter().position(same) {
            return Some(devices.swap_remove(at));
        }
        // Phones that come back often write another port into their contact; if it is the only one, it is that one.
        if devices.len() == 1 { devices.pop() } else { None }
    }

    /// Puts connections to the names: each stop becomes a target on a link, and the servers left over take its place should it
    /// fail. Fewer targets than stops when servers cannot be reached.
    pub(crate) fn reach(&mut self, journey: Journey, size: usize, now: Instant) -> Forward {
        let Journey { mut plan, stops } = journey;
        for Stop { any_of, uri } in stops {
            let mut servers = any_of.into_iter();
            let way = |node: &mut Self, name: &Arc<Fqdn>| node.way(name, size, now);
            let Some((name, flow)) = servers.find_map(|name| way(self, &name).map(|flow| (name, flow))) else { continue };
            let (hop, otherwise) = (NextHop::Server { name, flow }, servers.collect());
            plan.targets.push(Target { hop, uri, q: 1000, path: Vec::new(), user: None, reached_as: None, otherwise });
        }
        plan
    }

    /// A connection to this server that can take so many bytes, if it can be reached.
    pub(crate) fn way(&mut self, server: &Fqdn, size: usize, now: Instant) -> Option<Flow> {
        let proxy = &self.proxy;
        let flow = self.links.way(server, now, |flow| proxy.has_room(flow, size));
        self.obey_links(now);
        flow
    }
}

impl Caller {
    /// Whether it is a server where users have their home.
    fn is_front_end(&self, homes: &HashMap<Fqdn, Vec<Arc<Fqdn>>>) -> bool {
        match &self.end {
            End::User(_) => false,
            End::Server(name) => homes.values().any(|servers| servers.contains(name)),
        }
    }
}
