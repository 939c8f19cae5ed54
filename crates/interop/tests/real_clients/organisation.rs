//! An organisation of four servers on four machines, each joined by a string and nothing else, and phones on machines of their own.

use std::thread;
use std::time::{Duration, Instant};

use interop::{Account, Baresip, Host, Lab, Network, PATIENCE, Scenario, Server, Sipp, TlsTunnel, in_own_network, wait_until};

/// What each phone speaks.
const HZ: [u32; 4] = [440, 1000, 700, 1300];
const SERVERS: [&str; 4] = ["sip", "fe1", "fe2", "fe3"];
const DESKS: [&str; 4] = ["desk1", "desk2", "desk3", "desk4"];
/// Within this long nothing of a revoked server is connected anywhere (row N5).
const CUT_WITHIN: Duration = Duration::from_secs(1);

/// The authority on the machine `sip`, front ends on `fe1`, `fe2` and `fe3`.
struct Organisation<'l> {
    lab: &'l Lab,
    network: Network,
    authority: Option<Server>,
    front_ends: Vec<Server>,
}

impl<'l> Organisation<'l> {
    fn new(lab: &'l Lab) -> Self {
        let network = Network::of(lab, &[SERVERS, DESKS].concat());
        let authority = Server::up_on(lab, network.host("sip"));
        let join = |name: &&str| {
            let host = network.host(name);
            Server::join_on(lab, host, &authority.add_server(&host.fqdn(), &[]))
        };
        let front_ends = SERVERS[1..].iter().map(join).collect();
        Self { lab, network, authority: Some(authority), front_ends }
    }

    fn authority(&self) -> &Server {
        self.authority.as_ref().expect("the authority runs")
    }

    /// `fe1` is 1.
    fn front_end(&self, number: usize) -> &Server {
        &self.front_ends[number - 1]
    }

    fn host(&self, name: &str) -> &Host {
        self.network.host(name)
    }

    /// A user at home on that front end, and a phone on that desk, signed in there, that writes to `contact`.
    fn phone(&self, user: &str, front_end: usize, desk: usize, contact: &str) -> (Account, Baresip) {
        let server = self.front_end(front_end);
        let account = self.authority().add_user(user, server.said("server_name"));
        wait_until("the user is known at home", || server.command(&["user", "list"]).contains(user).then_some(()));
        let mut phone = self.phone_of(&account, front_end, desk, contact);
        phone.sign_in();
        (account, phone)
    }

    fn phone_of(&self, account: &Account, front_end: usize, desk: usize, contact: &str) -> Baresip {
        let host = self.host(DESKS[desk - 1]);
        let contact = format!("sip:{contact}@{}", account.domain);
        Baresip::start_on(self.lab, host, account, &self.front_end(front_end).site(), HZ[desk - 1], &contact)
    }

    /// Every server has its links with every other.
    fn wait_for_links(&self) {
        for server in self.front_ends.iter().chain(&self.authority) {
            wait_until("links with all others", || (server.links_up().len() == SERVERS.len() - 1).then_some(()));
        }
    }

    /// The front ends that do not have the authority's newest topology in force.
    fn lags(&self) -> Vec<String> {
        let members = self.authority().json(&["topology", "status"]);
        let members = members.as_array().expect("members are listed").iter();
        let up_to_date =
            |name: &str| members.clone().any(|member| member["name"] == name && member["state"] == "joined" && member["lag"] == 0);
        let names = self.front_ends.iter().map(|server| server.said("server_name").to_owned());
        names.filter(|name| !up_to_date(name)).collect()
    }

    /// Which machines of servers still have a connection with that one, seen from their side.
    fn connected_with(&self, gone: &Host) -> Vec<&str> {
        let others = SERVERS.into_iter().filter(|name| *name != gone.name());
        others.filter(|name| self.host(name).connections_with(gone) > 0).collect()
    }
}

fn talk(caller: &mut Baresip, callee: &mut Baresip, to: &Account) {
    caller.dial(&to.aor());
    callee.wait_for_ring();
    callee.answer();
    caller.wait_for_call();
    callee.wait_for_call();
}

/// What `what` took until it was so.
fn measured(what: &str, mut is_so: impl FnMut() -> bool) -> Duration {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "waited in vain: {what}");
        thread::sleep(Duration::from_millis(5));
    }
    began.elapsed()
}

/// A second and more of each one's voice arrives at the other after this moment, as the kernel and as the recordings have it.
fn media_goes_on(organisation: &Organisation<'_>, phones: &mut [(&mut Baresip, usize)]) {
    for (phone, desk) in phones {
        let host = organisation.host(DESKS[*desk - 1]);
        let (datagrams, seconds) = (host.datagrams_received(), phone.heard().map_or(0.0, |heard| heard.seconds));
        phone.wait_to_hear(seconds + 1.5);
        let more = host.datagrams_received() - datagrams;
        assert!(more >= 50, "a voice is 50 packets a second; {more} came in one and a half");
    }
}

#[test]
#[expect(clippy::print_stderr, reason = "the figures are for whoever runs the test")]
fn n5_a_server_is_revoked_during_a_call_of_others_and_only_its_connections_end() {
    in_own_network(|lab| {
        let organisation = Organisation::new(lab);
        let (_, mut anna) = organisation.phone("anna", 1, 1, "bert");
        let (bert_account, mut bert) = organisation.phone("bert", 2, 2, "anna");
        let (carla_account, mut carla) = organisation.phone("carla", 3, 3, "anna");
        organisation.wait_for_links();
        anna.write("across the organisation");
        bert.wait_for_message("across the organisation");
        carla.write("before the end");
        anna.wait_for_message("before the end");
        talk(&mut anna, &mut bert, &bert_account);
        anna.wait_to_hear_tone(HZ[1]);
        bert.wait_to_hear_tone(HZ[0]);
        for phone in [&anna, &bert] {
            assert!(phone.printed().contains("SRTP is Enabled"), "the call is encrypted");
        }

        let gone = organisation.host("fe3");
        assert_eq!(organisation.connected_with(gone), ["sip", "fe1", "fe2"], "all are linked with all");
        let desk = organisation.host("desk3");
        // What a look at the kernel's tables costs on a busy machine is not the servers' doing.
        let look = measured("a look", || !organisation.connected_with(gone).is_empty());
        assert_eq!(desk.connections_with(gone), 1, "carla is signed in there");
        let (revoked, servers, phones) = thread::scope(|scope| {
            let revoking = scope.spawn(|| organisation.authority().json(&["cert", "revoke", &gone.fqdn()]));
            let servers =
                scope.spawn(|| measured("no server is connected with the revoked one", || organisation.connected_with(gone).is_empty()));
            let phones = measured("no phone is connected with it", || desk.connections_with(gone) == 0);
            (revoking.join().expect("the command ends"), servers.join().expect("measured"), phones)
        });
        eprintln!("{revoked}; no server is connected with it after {servers:?}, no phone after {phones:?} (a look takes {look:?})");
        let latest = CUT_WITHIN + look * 3;
        assert!(servers < latest && phones < latest, "servers {servers:?}, phones {phones:?}, a look {look:?}");
        // The revoked one is not counted: it has nothing to say any more.
        assert_eq!((&revoked["members"], &revoked["acknowledged"]), (&3.into(), &3.into()), "{revoked}");

        media_goes_on(&organisation, &mut [(&mut anna, 1), (&mut bert, 2)]);
        anna.write("we go on");
        bert.wait_for_message("we go on");
        anna.hang_up();
        anna.wait_for_call_end();
        bert.wait_for_call_end();
        // It does not come back, and nobody is served over it.
        anna.dial(&carla_account.aor());
        let why = anna.wait_for_call_end();
        assert!(why.starts_with("503"), "{why}");
        assert!(carla.stayed_silent());
        for server in [organisation.authority(), organisation.front_end(1), organisation.front_end(2)] {
            assert!(server.refused("revoked") > 0, "the reason is on record: {}", server.logged());
        }
    });
}

#[test]
fn p9_the_authority_is_lost_and_everything_goes_on_until_it_comes_back() {
    in_own_network(|lab| {
        let mut organisation = Organisation::new(lab);
        let (anna_account, mut anna) = organisation.phone("anna", 1, 1, "bert");
        let (bert_account, mut bert) = organisation.phone("bert", 2, 2, "anna");
        let (carla_account, mut carla) = organisation.phone("carla", 3, 3, "anna");
        organisation.wait_for_links();
        talk(&mut anna, &mut bert, &bert_account);
        anna.wait_to_hear_tone(HZ[1]);
        organisation.authority.take().expect("the authority runs").kill();

        media_goes_on(&organisation, &mut [(&mut anna, 1), (&mut bert, 2)]);
        anna.hang_up();
        bert.wait_for_call_end();
        // New sign-ins and new calls, also to one who was not in the call.
        bert.sign_in();
        talk(&mut carla, &mut bert, &bert_account);
        carla.wait_to_hear_tone(HZ[1]);
        bert.wait_to_hear_tone(HZ[2]);
        carla.hang_up();
        bert.wait_for_call_end();
        carla.write("nobody is missed");
        anna.wait_for_message("nobody is missed");
        // A server that starts anew asks nobody: it has what it needs.
        let fe3 = organisation.front_ends.pop().expect("fe3 runs");
        fe3.kill();
        organisation.front_ends.push(Server::up_on(lab, organisation.host("fe3")));
        drop(carla);
        let mut carla = organisation.phone_of(&carla_account, 3, 3, "anna");
        carla.sign_in();
        wait_until("fe3's links with the others", || (organisation.front_end(3).links_up().len() == 2).then_some(()));
        talk(&mut carla, &mut anna, &anna_account);
        carla.hang_up();
        anna.wait_for_call_end();

        organisation.authority = Some(Server::up_on(lab, organisation.host("sip")));
        let (dora_account, mut dora) = organisation.phone("dora", 2, 4, "anna");
        organisation.authority().add_server("fe4.verbund.test", &[]);
        wait_until("nothing lags behind the authority", || organisation.lags().is_empty().then_some(()));
        talk(&mut anna, &mut dora, &dora_account);
        dora.wait_to_hear_tone(HZ[0]);
    });
}

/// What the hostile phone says of the victim is taken out at its own server; the other one believes the server, and hears who it is.
#[test]
fn n16_a_phone_that_claims_to_be_a_user_of_another_server_is_known_for_who_it_is() {
    in_own_network(|lab| {
        let organisation = Organisation::new(lab);
        let (_, _victim) = organisation.phone("victim", 2, 1, "bert");
        let (bert_account, mut bert) = organisation.phone("bert", 2, 2, "victim");
        let mallory = organisation.authority().add_user("mallory", organisation.front_end(1).said("server_name"));
        let home = organisation.front_end(1);
        wait_until("mallory is known at home", || home.command(&["user", "list"]).contains("mallory").then_some(()));
        let tunnel = TlsTunnel::open(lab, &home.site(), 5080);
        let sipp = Sipp::start(lab, &tunnel, Scenario::Forge, &[mallory], std::slice::from_ref(&bert_account), 1, 1);
        bert.wait_for_message("asserted");
        assert_eq!(sipp.result(lab), (1, 0), "each claim is answered as it must be");
        let printed = bert.printed();
        let message = printed.split("MESSAGE sip:bert").nth(1).expect("the message");
        assert!(message.contains("P-Asserted-Identity: <sip:mallory@verbund.test>"), "{message}");
        for text in ["victim@", "claimed"] {
            assert!(!message.contains(text), "{text} got to bert: {message}");
        }
    });
}
