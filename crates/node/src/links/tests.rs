//! The machine alone, without wires.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use sip::{Reply, Status};

use super::*;

const TOPOLOGY: &str = r#"
    version = 1
    organisation = "Contoso"
    domains = ["contoso.example"]
    [[pool]]
    name = "ca.contoso.example"
    server = [{ fqdn = "ca.contoso.example", roles = ["authority"], servers = "192.0.2.1:5062", https = "192.0.2.1:443" }]
    [[pool]]
    name = "fe1.contoso.example"
    server = [{ fqdn = "fe1.contoso.example", roles = ["front-end"], sip = "192.0.2.2:5061", servers = "192.0.2.2:5062" }]
    [[pool]]
    name = "fe2.contoso.example"
    server = [{ fqdn = "fe2.contoso.example", roles = ["front-end"], sip = "192.0.2.3:5061", servers = "192.0.2.3:5062" }]
    [[pool]]
    name = "fe3.contoso.example"
    server = [{ fqdn = "fe3.contoso.example", roles = ["front-end"], expected = true }]
"#;

/// What every server shows, until it has another one.
fn first() -> Shown {
    shown(0, 1)
}

fn shown(ours: u64, theirs: u8) -> Shown {
    Shown { ours, theirs: leaf(theirs) }
}

fn leaf(number: u8) -> Leaf {
    Leaf { fingerprint: Fingerprint::of(&[number]), not_before: SystemTime::UNIX_EPOCH }
}

struct Scene {
    links: Links,
    now: Instant,
    /// The connection on which a request is under way.
    busy: Option<Flow>,
}

impl Scene {
    /// fe1, which has just started.
    fn new() -> Self {
        let now = Instant::now();
        let mut scene = Self { links: Links::new(LinkLimits::DEFAULT, "fe1.contoso.example:5062".into()), now, busy: None };
        scene.publish(TOPOLOGY);
        scene
    }

    fn publish(&mut self, text: &str) {
        let topology = Topology::parse(text).unwrap();
        let place = Place::new(&topology, &name("fe1"));
        self.links.handle_topology(&topology, &place, self.now);
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.links.handle_timeout(self.now, || 7);
        let busy = self.busy;
        self.links.close_retired(self.now, |flow| Some(flow) == busy);
    }

    /// The connection that is to be opened to this server.
    #[track_caller]
    fn dialled(&mut self, server: &str) -> Flow {
        match self.links.poll_action() {
            Some(Action::Connect { flow, server: called, addresses }) => {
                assert_eq!((&*called, addresses.len(), flow.0 >> 63), (&name(server), 1, 1));
                flow
            }
            other => panic!("{other:?}"),
        }
    }

    /// The question that is asked.
    #[track_caller]
    fn asked(&mut self) -> (Flow, Message) {
        match self.links.poll_action() {
            Some(Action::Ask { flow, bytes }) => (flow, Message::parse(bytes).unwrap()),
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    fn quiet(&mut self) {
        if let Some(action) = self.links.poll_action() {
            panic!("{action:?}");
        }
    }

    fn answer(&mut self, flow: Flow, question: &Message, status: Status) -> bool {
        let answer = Message::parse(Reply::to(question, status, "t").finish()).unwrap();
        self.links.handle_message(flow, &answer, self.now)
    }

    /// A link with fe2, dialled and answered.
    fn linked(&mut self) -> Flow {
        self.pass(Duration::ZERO);
        let flow = self.dialled("fe2");
        self.links.handle_connected(flow, &name("fe2"), first(), self.now, 1).unwrap();
        let (_, question) = self.asked();
        assert!(self.answer(flow, &question, Status::OK));
        flow
    }

    fn states(&self) -> Vec<LinkState> {
        self.links.status().iter().map(|link| link.state).collect()
    }

    fn way(&mut self) -> Option<Flow> {
        self.links.way(&name("fe2"), self.now, |_| true)
    }
}

fn name(label: &str) -> Fqdn {
    format!("{label}.contoso.example").parse().unwrap()
}

#[test]
fn a_new_server_calls_those_who_are_there_and_nobody_else() {
    let mut scene = Scene::new();
    assert_eq!(scene.links.poll_timeout(), Some(scene.now));
    scene.pass(Duration::ZERO);
    scene.dialled("fe2");
    scene.quiet();
    assert_eq!(scene.links.poll_timeout(), None);
}

#[test]
fn a_connection_that_was_refused_after_it_seemed_there_was_never_up() {
    // TLS 1.3: whoever calls is done before the other side has judged. The waits grow as for any failure.
    let mut scene = Scene::new();
    let mut waits = Vec::new();
    for _ in 0..4 {
        scene.pass(scene.links.poll_timeout().map_or(Duration::ZERO, |due| due - scene.now));
        let flow = scene.dialled("fe2");
        scene.links.handle_connected(flow, &name("fe2"), first(), scene.now, 1).unwrap();
        assert_eq!(scene.states(), [LinkState::Connecting]);
        scene.asked();
        scene.links.handle_closed(flow, scene.now, 0);
        waits.push(scene.links.poll_timeout().unwrap() - scene.now);
    }
    assert_eq!(waits, [500, 1000, 2000, 4000].map(Duration::from_millis));
}

#[test]
fn an_answer_makes_a_link_and_ends_the_doubling() {
    let mut scene = Scene::new();
    let flow = scene.linked();
    assert_eq!(scene.states(), [LinkState::Up(scene.now)]);
    scene.links.handle_closed(flow, scene.now, 0);
    assert_eq!(scene.links.poll_timeout().unwrap() - scene.now, Duration::from_millis(500));
}

#[test]
fn a_connection_that_leads_to_another_server_is_none() {
    let mut scene = Scene::new();
    scene.pass(Duration::ZERO);
    let flow = scene.dialled("fe2");
    assert!(scene.links.handle_connected(flow, &name("ca"), first(), scene.now, 1).is_err());
    assert!(scene.links.handle_connected(Flow(flow.0 + 1), &name("fe2"), first(), scene.now, 1).is_err(), "nobody asked for it");
}

#[test]
fn a_connection_of_a_server_that_this_one_does_not_know_is_none() {
    let mut scene = Scene::new();
    for stranger in ["fe9", "fe1"] {
        assert!(scene.links.handle_connected(Flow(1), &name(stranger), first(), scene.now, 1).is_err(), "{stranger}");
    }
    assert!(scene.links.handle_connected(Flow(1), &name("ca"), first(), scene.now, 1).is_ok());
}

#[test]
fn only_the_answer_to_the_question_itself_is_kept_from_users() {
    let mut scene = Scene::new();
    scene.pass(Duration::ZERO);
    let flow = scene.dialled("fe2");
    scene.links.handle_connected(flow, &name("fe2"), first(), scene.now, 1).unwrap();
    let (_, question) = scene.asked();
    let other = Message::parse(Probe::new(2).request("x.example:1", &name("fe2"))).unwrap();
    assert!(!scene.answer(flow, &other, Status::OK));
    assert!(!scene.links.handle_message(flow, &question, scene.now), "a question is not an answer");
    assert!(scene.answer(flow, &question, Status::FORBIDDEN));
    assert!(!scene.answer(flow, &question, Status::FORBIDDEN), "the same again");
}

#[test]
fn whoever_says_something_is_not_asked_and_whoever_does_not_is_asked_once() {
    let mut scene = Scene::new();
    let flow = scene.linked();
    let message = Message::parse(Probe::new(9).request("fe2.contoso.example:5062", &name("fe1"))).unwrap();
    for _ in 0..5 {
        scene.pass(Duration::from_secs(9));
        scene.links.handle_message(flow, &message, scene.now);
    }
    scene.quiet();
    scene.pass(Duration::from_secs(10));
    scene.asked();
    scene.pass(Duration::from_secs(4));
    scene.quiet();
    scene.pass(Duration::from_secs(1));
    assert!(matches!(scene.links.poll_action(), Some(Action::Close { flow: closed, .. }) if closed == flow));
}

#[test]
fn what_cannot_take_more_is_no_way() {
    let mut scene = Scene::new();
    let flow = scene.linked();
    assert_eq!(scene.way(), Some(flow));
    assert_eq!(scene.links.way(&name("fe2"), scene.now, |_| false), None);
    scene.quiet();
    // A second link has room.
    scene.links.handle_connected(Flow(1), &name("fe2"), first(), scene.now, 1).unwrap();
    assert_eq!(scene.links.way(&name("fe2"), scene.now, |other| other != flow), Some(Flow(1)));
}

#[test]
fn a_link_that_is_up_is_preferred_to_one_that_is_being_made() {
    let mut scene = Scene::new();
    scene.pass(Duration::ZERO);
    let dialled = scene.dialled("fe2");
    assert_eq!(scene.way(), Some(dialled));
    scene.links.handle_connected(Flow(1), &name("fe2"), first(), scene.now, 1).unwrap();
    assert_eq!(scene.way(), Some(Flow(1)));
}

#[test]
fn nobody_is_called_right_after_a_failure_and_soon_again_when_needed() {
    let mut scene = Scene::new();
    let flow = scene.linked();
    for _ in 0..5 {
        scene.links.handle_closed(flow, scene.now, u64::MAX);
    }
    assert_eq!(scene.way(), None);
    scene.now += LinkLimits::DEFAULT.wait_when_needed;
    assert!(scene.way().is_some());
    scene.dialled("fe2");
}

#[test]
fn a_server_that_has_not_joined_cannot_be_reached() {
    let mut scene = Scene::new();
    assert_eq!(scene.links.way(&name("fe3"), scene.now, |_| true), None);
    assert_eq!(scene.links.way(&name("fe9"), scene.now, |_| true), None);
}

#[test]
fn a_server_that_moved_is_called_at_its_new_place_at_once() {
    let mut scene = Scene::new();
    let flow = scene.linked();
    scene.links.handle_closed(flow, scene.now, u64::MAX);
    scene.publish(&TOPOLOGY.replace("192.0.2.3:5062", "192.0.2.33:5062"));
    scene.pass(Duration::ZERO);
    let Some(Action::Connect { addresses, .. }) = scene.links.poll_action() else { panic!("nobody is called") };
    assert_eq!(addresses, ["192.0.2.33:5062".parse().unwrap()]);
}

#[test]
fn n15_links_with_a_server_that_is_listed_no_more_are_closed() {
    let mut scene = Scene::new();
    let flow = scene.linked();
    scene.publish(&TOPOLOGY.replace("fe2.contoso", "fe4.contoso"));
    assert!(matches!(scene.links.poll_action(), Some(Action::Close { flow: closed, .. }) if closed == flow));
    assert_eq!(scene.way(), None);
}

#[test]
fn n15_a_server_that_is_listed_no_more_itself_links_with_nobody() {
    let mut scene = Scene::new();
    let flow = scene.linked();
    scene.publish(&TOPOLOGY.replace("fe1.contoso", "fe4.contoso"));
    assert!(matches!(scene.links.poll_action(), Some(Action::Close { flow: closed, .. }) if closed == flow));
    scene.links.handle_closed(flow, scene.now, 1);
    scene.pass(Duration::from_secs(100));
    scene.quiet();
    assert!(scene.links.status().is_empty());
}

#[test]
fn nobody_is_called_after_the_end() {
    let mut scene = Scene::new();
    let flow = scene.linked();
    scene.links.handle_shutdown();
    scene.links.handle_closed(flow, scene.now, 1);
    scene.pass(Duration::from_secs(100));
    scene.quiet();
    assert_eq!(scene.links.poll_timeout(), None);
}

impl Scene {
    /// A connection that comes in and shows this certificate.
    fn comes(&mut self, flow: u64, shown: Shown) -> Flow {
        self.links.handle_connected(Flow(flow), &name("fe2"), shown, self.now, 1).unwrap();
        Flow(flow)
    }

    #[track_caller]
    fn closed(&mut self) -> Flow {
        match self.links.poll_action() {
            Some(Action::Close { flow, .. }) => {
                self.links.handle_closed(flow, self.now, 1);
                flow
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_new_certificate_of_ours_is_shown_on_a_new_link_before_the_old_one_is_closed() {
    let mut scene = Scene::new();
    let old = scene.linked();
    scene.links.handle_renewed(1, scene.now);
    assert_eq!((scene.links.outdated(), scene.links.poll_timeout()), (1, Some(scene.now)));
    scene.pass(Duration::ZERO);
    let new = scene.dialled("fe2");
    assert_eq!(scene.way(), Some(old), "the new one is not there yet");
    scene.links.handle_connected(new, &name("fe2"), shown(1, 1), scene.now, 1).unwrap();
    let (_, question) = scene.asked();
    assert_eq!(scene.way(), Some(old), "nor was it answered");
    scene.answer(new, &question, Status::OK);
    assert_eq!(scene.way(), Some(new));
    scene.quiet();
    scene.pass(LinkLimits::DEFAULT.close_after);
    assert_eq!(scene.closed(), old);
    assert_eq!(scene.links.outdated(), 0);
    scene.pass(Duration::from_millis(1));
    scene.quiet();
}

#[test]
fn an_outdated_link_is_not_closed_as_long_as_something_is_under_way_on_it() {
    let mut scene = Scene::new();
    let old = scene.linked();
    scene.busy = Some(old);
    let new = scene.comes(1, shown(0, 2));
    assert_eq!(scene.way(), Some(new), "the other end has a new certificate");
    for _ in 0..3 {
        scene.pass(LinkLimits::DEFAULT.close_after);
        scene.quiet();
    }
    scene.busy = None;
    scene.pass(LinkLimits::DEFAULT.look_again);
    assert_eq!(scene.closed(), old);
}

#[test]
fn an_outdated_link_is_better_than_none_and_a_fresh_one_is_tried_for_with_growing_patience() {
    let mut scene = Scene::new();
    let old = scene.linked();
    scene.links.handle_renewed(1, scene.now);
    let mut waits = Vec::new();
    for _ in 0..4 {
        scene.pass(Duration::ZERO);
        let failed = scene.dialled("fe2");
        scene.links.handle_closed(failed, scene.now, 0);
        assert_eq!(scene.way(), Some(old));
        let due = scene.links.servers.values().find_map(|server| server.refresh).unwrap();
        waits.push(due - scene.now);
        scene.now = due;
        scene.links.handle_message(old, &Message::parse(Probe::new(9).request("x.example:1", &name("fe1"))).unwrap(), scene.now);
    }
    assert_eq!(waits, [500, 1000, 2000, 4000].map(Duration::from_millis));
}

/// A connection may have come in with the old certificate and be told of after the new one is in place.
#[test]
fn what_counts_is_what_was_shown_not_when_it_is_told_of() {
    let mut scene = Scene::new();
    scene.links.handle_renewed(1, scene.now);
    scene.comes(1, shown(0, 1));
    assert_eq!(scene.links.outdated(), 1);
    scene.comes(2, shown(1, 1));
    assert_eq!(scene.links.outdated(), 1);
}

/// Both ends have a new certificate at the same time, and call each other: one of the two links is the right one for both.
#[test]
fn two_servers_that_renew_at_once_agree_which_link_stays() {
    let mut scene = Scene::new();
    scene.comes(1, first());
    scene.links.handle_renewed(1, scene.now);
    scene.pass(Duration::ZERO);
    let dialled = scene.dialled("fe2");
    // Theirs came in while ours was on its way, and shows both new certificates.
    let both = scene.comes(2, shown(1, 2));
    scene.links.handle_connected(dialled, &name("fe2"), shown(1, 2), scene.now, 1).unwrap();
    let (_, question) = scene.asked();
    scene.answer(dialled, &question, Status::OK);
    scene.pass(LinkLimits::DEFAULT.close_after);
    assert_eq!(scene.closed(), Flow(1));
    scene.pass(LinkLimits::DEFAULT.close_after);
    scene.quiet();
    assert_eq!((scene.links.outdated(), scene.states().len()), (0, 2));
    assert!([both, dialled].map(Some).contains(&scene.way()));
}

/// The connection of before is heard of last: it is not taken for the newer one.
#[test]
fn an_older_certificate_that_is_heard_of_late_outdates_nothing() {
    let mut scene = Scene::new();
    scene.pass(Duration::ZERO);
    let dialled = scene.dialled("fe2");
    let newer = Leaf { not_before: SystemTime::UNIX_EPOCH + Duration::from_secs(9), ..leaf(2) };
    let new = scene.comes(1, Shown { ours: 0, theirs: newer });
    scene.links.handle_connected(dialled, &name("fe2"), first(), scene.now, 1).unwrap();
    let (_, question) = scene.asked();
    scene.answer(dialled, &question, Status::OK);
    assert_eq!(scene.way(), Some(new));
    scene.pass(LinkLimits::DEFAULT.close_after);
    assert_eq!(scene.closed(), dialled);
}

#[test]
fn two_servers_that_called_each_other_at_once_keep_both_links() {
    let mut scene = Scene::new();
    scene.linked();
    scene.comes(1, first());
    scene.pass(Duration::from_secs(9));
    scene.quiet();
    assert_eq!((scene.states().len(), scene.links.outdated()), (2, 0));
}

/// A server that was put back from a backup shows an older certificate; once no link with the newer one is left, that counts.
#[test]
fn a_server_with_an_older_certificate_is_not_called_all_the_time() {
    let mut scene = Scene::new();
    let theirs = Leaf { not_before: SystemTime::UNIX_EPOCH + Duration::from_secs(9), ..leaf(2) };
    let gone = scene.comes(1, Shown { ours: 0, theirs });
    scene.comes(2, first());
    assert_eq!(scene.links.outdated(), 1, "it may have been under way for long");
    scene.links.handle_closed(gone, scene.now, 0);
    assert_eq!(scene.links.outdated(), 0);
    scene.pass(Duration::from_secs(1));
    scene.quiet();
}

/// However many certificates a server shows, its connections are bounded.
#[test]
fn a_server_that_shows_another_certificate_each_time_opens_no_more_than_twice_as_many() {
    let mut scene = Scene::new();
    let all = (1..20).map(|number| scene.links.handle_connected(Flow(number.into()), &name("fe2"), shown(0, number), scene.now, 1));
    assert_eq!(all.filter(Result::is_ok).count(), 2 * LinkLimits::DEFAULT.links_per_server_max);
}
