//! RFC 5626 and 5627: a binding belongs to a flow, a phone to an instance.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::Instant;

use common::{DOMAIN, register, request, start, user};
use registrar::{Flow, Limits, RegisterFault, Registered, Registrar, Target};
use sip::Status;

const A: &str = "urn:uuid:00000000-0000-1000-8000-aaaaaaaaaaaa";
const B: &str = "urn:uuid:00000000-0000-1000-8000-bbbbbbbbbbbb";
const OUTBOUND: &str = "Supported: path, outbound, gruu";

struct Desk {
    registrar: Registrar,
    now: Instant,
    cseq: u32,
}

impl Desk {
    fn new() -> Self {
        Self { registrar: Registrar::new(DOMAIN, Limits::DEFAULT), now: start(), cseq: 0 }
    }

    fn register(&mut self, flow: u64, lines: &[&str]) -> Result<Registered, RegisterFault> {
        self.cseq += 1;
        self.registrar.register(&register(self.cseq, lines), &user("alice"), Flow(flow), self.now)
    }

    fn targets(&self, gr: Option<&str>) -> Vec<Target> {
        self.registrar.targets(&user("alice"), gr, self.now)
    }

    /// Flow of each target, best first.
    fn flows(&self) -> Vec<u64> {
        self.targets(None).iter().map(|target| target.flow.0).collect()
    }
}

fn contact(uri: &str, instance: &str, reg_id: &str) -> String {
    format!("Contact: <sip:{uri}>;+sip.instance=\"<{instance}>\"{reg_id}")
}

#[test]
fn a_flow_that_dies_takes_its_bindings_with_it() {
    let mut desk = Desk::new();
    desk.register(1, &["Contact: <sip:a@192.0.2.4>, <sip:b@192.0.2.4>"]).unwrap();
    desk.register(2, &["Contact: <sip:c@192.0.2.4>"]).unwrap();
    assert_eq!(desk.registrar.drop_flow(Flow(3)), 0);
    assert_eq!(desk.registrar.drop_flow(Flow(1)), 2);
    assert_eq!(desk.flows(), [2]);
    assert_eq!(desk.registrar.drop_flow(Flow(1)), 0);
    assert_eq!(desk.registrar.counters().dropped, 2);
}

#[test]
fn a_flow_that_dies_takes_the_bindings_of_every_user_on_it_and_no_others() {
    let mut desk = Desk::new();
    for (name, flow) in [("alice", 1), ("bob", 1), ("carol", 2), ("dave", 1)] {
        let request = request("REGISTER", name, name, 1, &["Contact: <sip:x@192.0.2.4>"]);
        desk.registrar.register(&request, &user(name), Flow(flow), desk.now).unwrap();
    }
    assert_eq!(desk.registrar.drop_flow(Flow(1)), 3);
    assert_eq!(desk.registrar.targets(&user("carol"), None, desk.now).len(), 1);
    assert_eq!(desk.registrar.len(), 1);
}

#[test]
fn a_refresh_over_a_new_flow_moves_the_binding() {
    let mut desk = Desk::new();
    desk.register(1, &["Contact: <sip:a@192.0.2.4>"]).unwrap();
    desk.register(2, &["Contact: <sip:a@192.0.2.4>"]).unwrap();
    assert_eq!(desk.flows(), [2]);
    assert_eq!(desk.registrar.drop_flow(Flow(1)), 0, "the old flow's end must not hurt the new one");
    assert_eq!(desk.flows(), [2]);
}

#[test]
fn an_outbound_binding_is_replaced_by_instance_and_reg_id_whatever_its_contact() {
    let mut desk = Desk::new();
    let first = desk.register(1, &[OUTBOUND, &contact("a@192.0.2.4:1000", A, ";reg-id=1")]).unwrap();
    assert_eq!(first.flow_timer_secs, Some(120));
    let headers: Vec<String> = first.headers().map(|(name, value)| format!("{name}: {value}")).collect();
    assert!(headers.contains(&"Require: outbound".to_owned()) && headers.contains(&"Flow-Timer: 120".to_owned()), "{headers:?}");
    desk.register(2, &[OUTBOUND, &contact("a@192.0.2.4:2000", &A.to_uppercase().replace("URN:UUID", "urn:uuid"), ";reg-id=1")]).unwrap();
    let targets = desk.targets(None);
    assert_eq!(targets.len(), 1);
    assert_eq!((targets[0].uri.as_str(), targets[0].flow, targets[0].outbound), ("sip:a@192.0.2.4:2000", Flow(2), true));
    assert_eq!(desk.registrar.drop_flow(Flow(1)), 0);
}

#[test]
fn several_flows_of_one_phone_are_alternatives_of_each_other() {
    let mut desk = Desk::new();
    desk.register(1, &[OUTBOUND, &contact("a@192.0.2.4", A, ";reg-id=1")]).unwrap();
    desk.register(2, &[OUTBOUND, &contact("a@192.0.2.4", A, ";reg-id=2")]).unwrap();
    desk.register(3, &[OUTBOUND, &contact("b@192.0.2.4", B, ";reg-id=1")]).unwrap();
    desk.register(4, &["Contact: <sip:c@192.0.2.4>"]).unwrap();
    let seen: Vec<(u64, bool)> = desk.targets(None).iter().map(|target| (target.flow.0, target.alternative)).collect();
    assert_eq!(seen, [(4, false), (3, false), (2, false), (1, true)]);
    desk.registrar.drop_flow(Flow(2));
    let seen: Vec<(u64, bool)> = desk.targets(None).iter().map(|target| (target.flow.0, target.alternative)).collect();
    assert_eq!(seen, [(4, false), (3, false), (1, false)]);
}

#[test]
fn reg_id_counts_only_with_support_and_an_instance() {
    for lines in [["Supported: path", &contact("a@192.0.2.4", A, ";reg-id=1")], [OUTBOUND, "Contact: <sip:a@192.0.2.4>;reg-id=1"]] {
        let mut desk = Desk::new();
        let registered = desk.register(1, &lines).unwrap();
        assert_eq!(registered.flow_timer_secs, None);
        assert!(!desk.targets(None)[0].outbound);
        assert!(!registered.contacts[0].contains("reg-id"));
    }
}

#[test]
fn a_reg_id_is_a_positive_number_and_alone_in_its_request() {
    for bad in ["0", "2147483648", "-1", "x", ""] {
        let fault = Desk::new().register(1, &[OUTBOUND, &contact("a@192.0.2.4", A, &format!(";reg-id={bad}"))]).unwrap_err();
        assert_eq!(fault.status(), Status::BAD_REQUEST, "{bad}");
    }
    let two = [contact("a@192.0.2.4", A, ";reg-id=1"), contact("b@192.0.2.4", A, ";reg-id=2")];
    assert_eq!(Desk::new().register(1, &[OUTBOUND, &two[0], &two[1]]).unwrap_err().status(), Status::BAD_REQUEST);
}

#[test]
fn an_instance_is_a_urn_in_quotes_and_brackets() {
    for bad in ["urn:uuid:1", "\"urn:uuid:1\"", "\"<>\"", "\"<urn:a b>\"", "\"<urn:\\\">\"", "<urn:uuid:1>"] {
        let line = format!("Contact: <sip:a@192.0.2.4>;+sip.instance={bad}");
        assert_eq!(Desk::new().register(1, &[&line]).unwrap_err().status(), Status::BAD_REQUEST, "{bad}");
    }
}

#[test]
fn an_outbound_phone_signs_off_by_its_reg_id_or_by_its_contact() {
    for sign_off in [contact("other@192.0.2.4", A, ";reg-id=1;expires=0"), "Contact: <sip:a@192.0.2.4>;expires=0".to_owned()] {
        let mut desk = Desk::new();
        desk.register(1, &[OUTBOUND, &contact("a@192.0.2.4", A, ";reg-id=1")]).unwrap();
        let registered = desk.register(1, &[OUTBOUND, &sign_off]).unwrap();
        assert!(desk.registrar.is_empty(), "{sign_off}");
        assert_eq!(registered.flow_timer_secs, None);
    }
}

#[test]
fn behind_a_proxy_the_first_hop_must_keep_flows() {
    let via = "Via: SIP/2.0/TLS 192.0.2.9;branch=z9hG4bKx";
    let contact = contact("a@192.0.2.4", A, ";reg-id=1");
    let mut desk = Desk::new();
    let fault = desk.register(1, &[OUTBOUND, via, "Path: <sip:p.verbund.test;lr>", &contact]).unwrap_err();
    assert_eq!(fault.status(), Status::FIRST_HOP_LACKS_OUTBOUND);
    assert_eq!(desk.register(1, &[OUTBOUND, via, &contact]).unwrap_err().status(), Status::FIRST_HOP_LACKS_OUTBOUND);
    desk.register(1, &[OUTBOUND, via, "Path: <sip:q.verbund.test;lr>, <sip:p.verbund.test;lr;ob>", &contact]).unwrap();
}

#[test]
fn a_gruu_leads_to_exactly_its_phone() {
    let mut desk = Desk::new();
    let registered = desk.register(1, &["Supported: gruu", &contact("a@192.0.2.4", A, "")]).unwrap();
    assert_eq!(
        registered.contacts,
        [format!("<sip:a@192.0.2.4>;expires=3600;+sip.instance=\"<{A}>\";pub-gruu=\"sip:alice@verbund.test;gr={A}\"")]
    );
    desk.register(2, &["Supported: gruu", &contact("b@192.0.2.5", B, "")]).unwrap();
    desk.register(3, &["Contact: <sip:c@192.0.2.6>"]).unwrap();
    let to = |gr: &str| desk.targets(Some(gr)).iter().map(|target| target.flow.0).collect::<Vec<_>>();
    assert_eq!(to(A), [1]);
    assert_eq!(to(B), [2]);
    assert_eq!(to(&A.replace(':', "%3A").to_uppercase()), [1], "escapes and case do not make another phone");
    assert_eq!(to("urn:uuid:00000000-0000-1000-8000-cccccccccccc"), [0u64; 0]);
    assert_eq!(to(""), [0u64; 0]);
    assert_eq!(to("%"), [0u64; 0]);
    assert!(desk.registrar.targets(&user("bob"), Some(A), desk.now).is_empty(), "a GRUU is of one user");
}

#[test]
fn a_gruu_is_given_to_who_asks_and_only_if_it_can_be_written() {
    let mut desk = Desk::new();
    assert!(!desk.register(1, &[&contact("a@192.0.2.4", A, "")]).unwrap().contacts[0].contains("gruu"));
    assert!(
        !desk.register(1, &["Supported: gruu", "Contact: <sip:b@192.0.2.4>;expires=0, <sip:x@192.0.2.9>"]).unwrap().contacts[1]
            .contains("gruu")
    );
    let odd = desk.register(1, &["Supported: gruu", &contact("o@192.0.2.4", "urn:x:a;b?c", "")]).unwrap();
    assert_eq!(odd.contacts.iter().filter(|contact| contact.contains("pub-gruu")).count(), 1, "{:?}", odd.contacts);
    assert!(desk.targets(Some("urn:x:a;b?c")).is_empty());
}
