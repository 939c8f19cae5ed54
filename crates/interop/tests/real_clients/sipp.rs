//! SIPp through socat's TLS: many sign-ins, messages and calls at a fixed rate over few connections, without one failure.

use interop::{Account, Lab, Scenario, Server, Sipp, TlsTunnel, in_own_network};

const CALLERS: [&str; 5] = ["caller1", "caller2", "caller3", "caller4", "caller5"];
const CALLEES: [&str; 5] = ["callee1", "callee2", "callee3", "callee4", "callee5"];

struct Bench {
    server: Server,
    callers: Vec<Account>,
    callees: Vec<Account>,
}

impl Bench {
    fn start(lab: &Lab) -> Self {
        let server = Server::start_with_users(lab, &[&CALLERS[..], &CALLEES[..]].concat());
        let accounts = |users: [&str; 5]| users.iter().map(|user| server.account(user)).collect();
        let (callers, callees) = (accounts(CALLERS), accounts(CALLEES));
        Self { server, callers, callees }
    }

    fn tunnel(&self, lab: &Lab, port: u16) -> TlsTunnel {
        TlsTunnel::open(lab, &self.server.site(), port)
    }
}

#[test]
fn sipp_signs_users_in_at_a_fixed_rate_without_a_failure() {
    in_own_network(|lab| {
        let bench = Bench::start(lab);
        let tunnel = bench.tunnel(lab, 5080);
        let sipp = Sipp::start(lab, &tunnel, Scenario::Register, &bench.callers, &bench.callees, 200, 50);
        assert_eq!(sipp.result(lab), (200, 0));
    });
}

/// The callees sign in over one connection and wait; the callers work over another.
fn check(lab: &Lab, callee: Scenario, caller: Scenario, callers: usize, count: u32, rate: u32) {
    let bench = Bench::start(lab);
    let (near, far) = (bench.tunnel(lab, 5080), bench.tunnel(lab, 5090));
    let answering = Sipp::start(lab, &far, callee, &bench.callees, &bench.callers, 5, 50);
    answering.wait_for_messages(lab, "SIP/2.0 200", 5);
    let working = Sipp::start(lab, &near, caller, &bench.callers[..callers], &bench.callees, count, rate);
    assert_eq!(working.result(lab), (count, 0));
}

/// One user writes to five. The first message is challenged, and thereby the user is known on the connection.
#[test]
fn sipp_sends_messages_at_a_fixed_rate_without_a_failure() {
    in_own_network(|lab| check(lab, Scenario::AnswerMessages, Scenario::Message, 1, 200, 50));
}

#[test]
fn sipp_makes_calls_at_a_fixed_rate_without_a_failure() {
    in_own_network(|lab| check(lab, Scenario::AnswerCalls, Scenario::Call, 5, 100, 20));
}
