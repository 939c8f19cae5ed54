//! Whatever happens in whatever order: nothing is left behind, and every question gets one answer.

use std::collections::HashMap;

use proptest::prelude::*;
use proxy::{Flow, Target};
use sip::Message;

use crate::scene::{Ask, Scene, plan, response, user};

const PLACES: usize = 5;

#[derive(Clone, Debug)]
enum Step {
    /// Somebody asks for the devices at some places, with their preferences.
    Ask {
        from: usize,
        method: usize,
        devices: Vec<(usize, u16)>,
    },
    /// A device answers something it got.
    Answer {
        which: usize,
        code: u16,
    },
    /// Somebody answers what was sent to another.
    Forge {
        which: usize,
        from: usize,
        code: u16,
    },
    Cancel {
        which: usize,
    },
    Repeat {
        which: usize,
    },
    Acknowledge {
        which: usize,
    },
    Close {
        place: usize,
    },
    Pass {
        seconds: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let codes = prop::sample::select(vec![100_u16, 180, 183, 200, 200, 202, 302, 401, 404, 407, 480, 486, 487, 487, 503, 600, 603]);
    let devices = prop::collection::vec((0..PLACES, prop::sample::select(vec![1000_u16, 500])), 0..5);
    prop_oneof![
        4 => (0..PLACES, 0..4_usize, devices).prop_map(|(from, method, devices)| Step::Ask { from, method, devices }),
        12 => (any::<prop::sample::Index>(), codes.clone()).prop_map(|(i, code)| Step::Answer { which: i.index(1 << 16), code }),
        1 => (0..1_usize << 16, 0..PLACES, codes).prop_map(|(which, from, code)| Step::Forge { which, from, code }),
        2 => (0..1_usize << 16).prop_map(|which| Step::Cancel { which }),
        1 => (0..1_usize << 16).prop_map(|which| Step::Repeat { which }),
        2 => (0..1_usize << 16).prop_map(|which| Step::Acknowledge { which }),
        1 => (0..PLACES).prop_map(|place| Step::Close { place }),
        2 => prop::sample::select(vec![1_u64, 10, 29, 33, 100, 200]).prop_map(|seconds| Step::Pass { seconds }),
    ]
}

/// Final answers to one request: those with 2xx, and the others.
#[derive(Clone, Copy, Debug, Default)]
struct Finals {
    yes: usize,
    no: usize,
}

struct World {
    scene: Scene,
    /// Which connection stands at a place now.
    flows: Vec<Flow>,
    next_flow: u64,
    asked: Vec<(Flow, Ask)>,
    sent: Vec<(Flow, Message)>,
    finals: HashMap<(Flow, String), Finals>,
    closed: Vec<Flow>,
    cancels: u32,
}

impl World {
    fn new() -> Self {
        let flows: Vec<Flow> = (1..=PLACES as u64).map(Flow).collect();
        let next_flow = PLACES as u64 + 1;
        let scene = Scene::with(|settings| settings.media = proxy::MediaPolicy::Support);
        Self { scene, flows, next_flow, asked: vec![], sent: vec![], finals: HashMap::new(), closed: vec![], cancels: 0 }
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Ask { from, method, devices } => self.ask(*from, ["INVITE", "MESSAGE", "BYE", "INVITE"][*method], devices),
            Step::Answer { which, code } if !self.sent.is_empty() => {
                let (flow, request) = self.sent[which % self.sent.len()].clone();
                self.answer(flow, &request, *code);
            }
            Step::Forge { which, from, code } if !self.sent.is_empty() => {
                let request = self.sent[which % self.sent.len()].1.clone();
                self.answer(self.flows[*from], &request, *code);
            }
            Step::Cancel { which } if !self.asked.is_empty() => self.cancel(which % self.asked.len()),
            Step::Repeat { which } if !self.asked.is_empty() => self.say(which % self.asked.len(), |ask| ask.clone()),
            Step::Acknowledge { which } if !self.asked.is_empty() => self.say(which % self.asked.len(), |ask| ask.hop("ACK")),
            Step::Close { place } => {
                self.closed.push(self.flows[*place]);
                self.scene.close(self.flows[*place]);
                self.flows[*place] = Flow(self.next_flow);
                self.next_flow += 1;
            }
            Step::Pass { seconds } => self.scene.pass(*seconds),
            _ => {}
        }
        self.collect();
    }

    fn ask(&mut self, from: usize, method: &'static str, devices: &[(usize, u16)]) {
        let mut ask = if method == "INVITE" { Ask::invite() } else { Ask::new(method) };
        ask.call_id = format!("call-{}", self.asked.len());
        ask.via = format!("SIP/2.0/TLS phone.invalid;branch=z9hG4bK-{}", self.asked.len());
        let target = |(place, q): &(usize, u16)| Target {
            hop: locate::NextHop::Flow(self.flows[*place]),
            uri: format!("sip:bob@192.0.2.{place}"),
            q: *q,
            path: vec![],
            user: Some(user("bob")),
            reached_as: None,
            otherwise: Vec::new(),
        };
        let targets: Vec<_> = devices.iter().map(target).collect();
        let flow = self.flows[from];
        let request = self.scene.ask(flow, &ask);
        self.scene.proxy.forward(request, plan(&targets), self.scene.now);
        self.finals.insert((flow, format!("{} {method}", ask.call_id)), Finals::default());
        self.asked.push((flow, ask));
    }

    fn answer(&mut self, flow: Flow, request: &Message, code: u16) {
        if !self.closed.contains(&flow) {
            let text = response(request, &format!("{code} Word"), &format!("tag-{}", flow.0), "", "");
            assert!(self.scene.hear(flow, &text).is_none());
        }
    }

    fn cancel(&mut self, which: usize) {
        let (flow, ask) = self.asked[which].clone();
        if !self.closed.contains(&flow) {
            self.cancels += 1;
            assert!(self.scene.hear(flow, &ask.hop("CANCEL").text()).is_none());
        }
    }

    /// A request that must not open anything new: a repeat of one under way, or an ACK.
    fn say(&mut self, which: usize, what: impl Fn(&Ask) -> Ask) {
        let (flow, ask) = self.asked[which].clone();
        if !self.closed.contains(&flow) {
            // One that is over is handed out as new; the node would decide, here it is dropped.
            let _ = self.scene.hear(flow, &what(&ask).text());
        }
    }

    fn collect(&mut self) {
        while let Some((flow, bytes)) = self.scene.proxy.poll_output() {
            let message = Message::parse(bytes).unwrap();
            message.validate().unwrap();
            assert!(!self.closed.contains(&flow) || message.is_request(), "an answer to a dead connection");
            match message.status() {
                None => {
                    if !matches!(message.method(), "ACK" | "CANCEL" | "BYE") || message.call_id().is_ok_and(|id| self.began_with_bye(id)) {
                        self.sent.push((flow, message));
                    }
                }
                Some(status) if status.is_final() && message.method() != "CANCEL" => self.count(flow, &message),
                Some(status) if status.is_final() => self.cancels -= 1,
                Some(_) => {}
            }
        }
    }

    fn began_with_bye(&self, call_id: &str) -> bool {
        self.asked.iter().any(|(_, ask)| ask.call_id == call_id && ask.method == "BYE")
    }

    fn count(&mut self, flow: Flow, message: &Message) {
        let key = (flow, format!("{} {}", message.call_id().unwrap(), message.method()));
        let finals = self.finals.get_mut(&key).expect("an answer to a question that was asked");
        if message.status().unwrap().is_success() {
            finals.yes += 1;
        } else {
            finals.no += 1;
        }
    }

    fn check_end(&mut self, repeats: bool) {
        self.scene.pass(24 * 3600);
        self.collect();
        assert!(self.scene.proxy.is_idle(), "{} left", self.scene.proxy.transactions());
        assert_eq!(self.scene.proxy.poll_timeout(), None);
        assert_eq!(self.cancels, 0, "each CANCEL is answered once");
        for ((flow, what), finals) in &self.finals {
            let one = match what.ends_with("INVITE") {
                // RFC 3261 §16.7: every 2xx to an INVITE passes; a failure is repeated to who repeats.
                true => (finals.yes > 0) != (finals.no > 0) && (finals.no <= 1 || repeats),
                false => finals.yes + finals.no == 1,
            };
            assert!(one || self.closed.contains(flow), "{what} of {flow:?}: {finals:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_interleaving_leaves_anything_behind_or_a_question_without_its_one_answer(steps in prop::collection::vec(step(), 1..120)) {
        let mut world = World::new();
        for step in &steps {
            world.take(step);
        }
        world.check_end(steps.iter().any(|step| matches!(step, Step::Repeat { .. })));
    }
}
