//! A trusted application of another maker: Kamailio with a certificate of the organisation, listed in the topology or not.

use std::net::SocketAddrV4;

use interop::{Account, Baresip, Forged, Forger, Kamailio, Lab, Network, Server, Shown, in_own_network, signed, wait_until};

const ALICE_HZ: u32 = 440;
const BOB_HZ: u32 = 1000;
const APPLICATION: &str = "app.verbund.test";

/// An organisation of one server on the machine `sip`; Kamailio's machine is `app`, two phones stand on desks.
struct Scene<'l> {
    lab: &'l Lab,
    network: Network,
    server: Server,
}

impl<'l> Scene<'l> {
    fn new(lab: &'l Lab) -> Self {
        let network = Network::of(lab, &["sip", "app", "desk1", "desk2"]);
        let passphrase = ("VERBUND_CA_PASSPHRASE_FILE", Forger::passphrase(lab));
        let server = Server::up_on_with(lab, network.host("sip"), &passphrase);
        Self { lab, network, server }
    }

    /// Lists Kamailio with the address that it listens at, and has a certificate issued to it.
    fn list_application(&self) -> Shown {
        self.server.add_server(APPLICATION, &["--role", "application"]);
        let (line, address) = (format!("fqdn = \"{APPLICATION}\"\n"), self.network.host("app").address());
        self.server.publish(self.lab, &line, &format!("{line}servers = \"{address}:{}\"\n", Kamailio::PORT));
        signed(self.lab, &self.server, APPLICATION)
    }

    fn kamailio(&self, shown: &Shown) -> Kamailio {
        let site = self.server.servers_site();
        let address = SocketAddrV4::new(self.network.host("sip").address(), site.port);
        Kamailio::start_on(self.lab, self.network.host("app"), shown, &site, address)
    }

    fn phone(&self, user: &str, desk: &str, hz: u32, contact: &str) -> (Account, Baresip) {
        let account = self.server.account(user);
        let mut phone = Baresip::start_on(self.lab, self.network.host(desk), &account, &self.server.site(), hz, contact);
        phone.sign_in();
        (account, phone)
    }
}

#[test]
fn p6_kamailio_on_the_list_is_served_without_a_challenge_and_reached() {
    in_own_network(|lab| {
        let scene = Scene::new(lab);
        let mut kamailio = scene.kamailio(&scene.list_application());
        let (alice_account, mut alice) = scene.phone("alice", "desk1", ALICE_HZ, &format!("sip:bob@{APPLICATION}"));
        let (bob_account, mut bob) = scene.phone("bob", "desk2", BOB_HZ, &format!("sip:echo@{APPLICATION}"));

        // By itself, for itself and for a user: nobody asks it for a password.
        let news = format!("sip:news@{APPLICATION}");
        assert_eq!(kamailio.writes(&news, None, &alice_account.aor(), "here is the news"), 200, "{}", kamailio.logged());
        alice.wait_for_message("here is the news");
        assert_eq!(kamailio.writes(&bob_account.aor(), Some(&bob_account.aor()), &alice_account.aor(), "for bob"), 200);
        alice.wait_for_message("for bob");
        // Whom it cannot speak for, it does not.
        let stranger = "sip:president@evil.example";
        assert_eq!(kamailio.writes(stranger, None, &alice_account.aor(), "a lie"), 403);
        assert_eq!(kamailio.writes(&news, Some(stranger), &alice_account.aor(), "a lie"), 403);
        assert_eq!(kamailio.writes("sip:bot@app2.verbund.test", None, &alice_account.aor(), "a lie"), 403);
        assert!(!alice.printed().contains("a lie"));

        // A user writes to one of its names: it hears who that is from the server, not from the phone.
        bob.write("are you there?");
        wait_until("the message at Kamailio", || kamailio.logged().contains("RECEIVED MESSAGE sip:echo@app").then_some(()));
        assert!(kamailio.logged().contains("asserted=<sip:bob@verbund.test> from=sip.verbund.test"), "{}", kamailio.logged());
        // A message and a call through it, from phone to phone.
        alice.write("by way of the application");
        bob.wait_for_message("by way of the application");
        alice.dial(&format!("sip:bob@{APPLICATION}"));
        bob.wait_for_ring();
        bob.answer();
        alice.wait_for_call();
        bob.wait_for_call();
        alice.wait_to_hear_tone(BOB_HZ);
        bob.wait_to_hear_tone(ALICE_HZ);
        bob.hang_up();
        alice.wait_for_call_end();
        assert!(kamailio.logged().contains("RECEIVED BYE"), "the call went through it to its end: {}", kamailio.logged());
    });
}

#[test]
fn n15_kamailio_taken_off_the_list_is_cut_off_and_refused() {
    in_own_network(|lab| {
        let scene = Scene::new(lab);
        let mut kamailio = scene.kamailio(&scene.list_application());
        let (alice_account, mut alice) = scene.phone("alice", "desk1", ALICE_HZ, &format!("sip:echo@{APPLICATION}"));
        let news = format!("sip:news@{APPLICATION}");
        assert_eq!(kamailio.writes(&news, None, &alice_account.aor(), "listed"), 200, "{}", kamailio.logged());
        alice.wait_for_message("listed");
        let (sip, app) = (scene.network.host("sip"), scene.network.host("app"));
        assert!(sip.connections_with(app) > 0);
        scene.server.command(&["topology", "remove", APPLICATION]);
        wait_until("its connections are gone", || (sip.connections_with(app) == 0).then_some(()));
        assert!(kamailio.writes(&news, None, &alice_account.aor(), "removed") >= 400);
        assert!(scene.server.refused("revoked") > 0, "{}", scene.server.logged());
        alice.write("nobody is there");
        wait_until("the refusal at alice's", || alice.printed().contains("SIP/2.0 4").then_some(()));
        assert!(!alice.printed().contains("removed") && !kamailio.logged().contains("nobody is there"));
    });
}

#[test]
fn n1_kamailio_with_a_certificate_of_our_ca_and_no_entry_is_refused() {
    in_own_network(|lab| {
        let scene = Scene::new(lab);
        let thief = Forger::with_key_of(lab, &scene.server);
        let forged = Forged { subject: APPLICATION, names: "DNS:app.verbund.test", ..Forged::GOOD };
        let mut kamailio = scene.kamailio(&thief.forge_with_chain("app", &forged));
        let alice = scene.server.account("alice").aor();
        assert!(kamailio.writes(&format!("sip:news@{APPLICATION}"), None, &alice, "unlisted") >= 400);
        assert!(scene.server.refused("not_in_topology") > 0, "{}", scene.server.logged());
        // What it lacks is the entry and nothing else.
        scene.list_application();
        assert_eq!(kamailio.writes(&format!("sip:news@{APPLICATION}"), None, &alice, "listed"), 480, "alice has no phone");
    });
}
