//! Several servers of one organisation, each a process of its own that knew nothing but a join string.

use std::{
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::common::{
    phone::{Phone, SDP},
    verbund::{PATIENCE, Verbund, complaint, ends, free_port, program},
};

/// An authority that is a front end too, and a second front end.
pub(crate) struct Network {
    pub(crate) dir: TempDir,
    pub(crate) authority: Verbund,
    pub(crate) second: Verbund,
    /// The string that the second joined with.
    string: String,
}

fn add(authority: &Verbund, name: &str) -> String {
    authority.json(&["server", "add", name])["join"].as_str().unwrap().to_owned()
}

impl Network {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let authority = Verbund::up(&dir.path().join("authority"), &[]);
        let string = add(&authority, "fe2.verbund.test");
        let second = Verbund::join(&string, &dir.path().join("second"));
        Self { dir, authority, second, string }
    }

    /// A user at home on the second server, signed in there.
    fn carla(&self) -> Phone {
        let made = self.authority.json(&["user", "add", "carla", "--pool", "fe2.verbund.test"]);
        wait_until("the second server knows carla", || self.second.command(&["user", "list"]).contains("carla"));
        let mut phone = Phone::connect(&self.second, "carla", made["password"].as_str().unwrap());
        assert_eq!(phone.register(600), 200, "carla signs in at home");
        phone
    }

    /// The same topology under the next number.
    fn publish_again(&self) -> Value {
        let text = self.authority.command(&["topology", "show"]);
        let version = self.authority.json(&["topology", "status"])[0]["topology"].as_u64().unwrap();
        let file = self.dir.path().join("again.toml");
        std::fs::write(&file, text.replace(&format!("\nversion = {version}\n"), &format!("\nversion = {}\n", version + 1))).unwrap();
        self.authority.json(&["topology", "publish", file.to_str().unwrap()])
    }

    fn member(&self, name: &str) -> Value {
        let members = self.authority.json(&["topology", "status"]);
        members.as_array().unwrap().iter().find(|member| member["name"] == name).cloned().unwrap_or_default()
    }
}

pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < end, "waited in vain: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// A join that must fail; what it complains of.
fn refused(string: &str, data: &std::path::Path) -> String {
    let (sip, https) = (format!("127.0.0.1:{}", free_port()), format!("127.0.0.1:{}", free_port()));
    let output = ends(program().args(["join", string, "--json", "--listen", &sip, "--https", &https, "--data"]).arg(data));
    let (code, said) = complaint(&output);
    assert_eq!(code, 1, "{said}");
    assert!(!data.join("member.toml").exists(), "nothing is left behind");
    said
}

#[test]
fn p9_a_server_joins_with_one_string_and_users_of_both_write_and_call() {
    let network = Network::new();
    assert_eq!(network.second.said("server_name"), "fe2.verbund.test");
    let (mut carla, mut alice) = (network.carla(), Phone::signed_in(&network.authority, "alice"));
    let request = |phone: &mut Phone| phone.next_request();
    // A message each way, over the link between the servers.
    for (from, to) in [(true, "sip:carla@verbund.test"), (false, "sip:alice@verbund.test")] {
        let (writer, reader) = if from { (&mut alice, &mut carla) } else { (&mut carla, &mut alice) };
        let reading = thread::scope(|scope| {
            let reading = scope.spawn(move || {
                let message = request(reader);
                reader.answer(&message, "200 OK", "", "");
                message
            });
            assert_eq!(writer.write(to, "hello"), 200);
            reading.join().unwrap()
        });
        let asserted = reading.first(sip::Name::PAssertedIdentity).unwrap().to_owned();
        assert!(asserted.contains(if from { "sip:alice@verbund.test" } else { "sip:carla@verbund.test" }), "{asserted}");
    }
    // A call, ended by the caller.
    alice.invite("sip:carla@verbund.test", SDP);
    let invite = carla.next_request();
    carla.answer(&invite, "200 OK", "Content-Type: application/sdp\r\n", SDP);
    let answer = alice.final_response();
    assert_eq!(answer.status().unwrap().code(), 200);
    let call = alice.establish(&answer);
    assert_eq!(carla.next_request().method(), "ACK");
    thread::scope(|scope| {
        let ending = scope.spawn(|| {
            let bye = carla.next_request();
            assert_eq!(bye.method(), "BYE");
            carla.answer(&bye, "200 OK", "", "");
        });
        assert_eq!(alice.hang_up(&call), 200);
        ending.join().unwrap();
    });
}

#[test]
fn n5_a_revoked_server_is_cut_off_and_cannot_come_back_by_itself() {
    let network = Network::new();
    wait_until("a link between the servers", || network.authority.json(&["status"])["links"][0]["state"] == "up");
    let revoked = network.authority.json(&["cert", "revoke", "fe2.verbund.test"]);
    assert_eq!((&revoked["members"], &revoked["acknowledged"]), (&1.into(), &1.into()), "{revoked}");
    network.authority.wait_for_log("was revoked");
    wait_until("no link is up", || {
        let status = network.authority.json(&["status"]);
        status["links"].as_array().unwrap().iter().all(|link| link["state"] != "up")
    });
    let decisions = network.authority.json(&["decisions"]);
    let refused = decisions.as_array().unwrap().iter().any(|one| one["verdict"] == "refused" && one["evidence"]["rule"] == "revoked");
    assert!(refused, "the reason is on record");
}

/// A phone knows no revocation lists: it would stay with a server that nobody else speaks to.
#[test]
fn n5_a_revoked_server_sends_its_phones_away_and_lets_none_in_also_after_a_start() {
    let mut network = Network::new();
    let mut carla = network.carla();
    let mut alice = Phone::signed_in(&network.authority, "alice");
    network.authority.json(&["cert", "revoke", "fe2.verbund.test"]);
    assert!(carla.next().is_none(), "her connection is ended");
    let is_let_in = |server: &Verbund| Phone::try_connect(server, "carla", "", "fe2.verbund.test").is_ok();
    assert!(!is_let_in(&network.second));
    network.second.wait_for_log("serves nobody");
    let data = network.second.data();
    network.second.signal("KILL");
    network.second.wait();
    network.second = Verbund::up(&data, &[]);
    network.second.wait_for_log("serves nobody");
    wait_until("nobody is let in after a start either", || !is_let_in(&network.second));
    assert_eq!(alice.register(600), 200, "the others go on");
}

#[test]
fn n5_a_server_that_loses_one_certificate_gets_another_by_its_account() {
    let network = Network::new();
    let before = network.second.certificate()["serial"].as_str().unwrap().to_owned();
    network.authority.json(&["cert", "revoke", &before]);
    wait_until("another certificate", || network.second.certificate()["serial"] != before.as_str());
    wait_until("a link between the servers", || network.authority.json(&["status"])["links"][0]["state"] == "up");
    let (mut carla, mut alice) = (network.carla(), Phone::signed_in(&network.authority, "alice"));
    thread::scope(|scope| {
        let reading = scope.spawn(|| {
            let message = carla.next_request();
            carla.answer(&message, "200 OK", "", "");
        });
        assert_eq!(alice.write("sip:carla@verbund.test", "welcome back"), 200);
        reading.join().unwrap();
    });
}

#[test]
fn n5_nobody_waits_for_a_revoked_server_until_it_joins_anew() {
    let mut network = Network::new();
    wait_until("it is on the line", || network.member("fe2.verbund.test")["state"] == "joined");
    network.authority.json(&["cert", "revoke", "fe2.verbund.test"]);
    assert_eq!(network.member("fe2.verbund.test")["state"], "revoked");
    let published = network.publish_again();
    assert_eq!((&published["members"], &published["acknowledged"]), (&1.into(), &1.into()), "{published}");
    network.second.signal("TERM");
    network.second.wait();
    network.second = Verbund::join(&add(&network.authority, "fe2.verbund.test"), &network.dir.path().join("anew"));
    network.second.wait_for_log("the line to the authority is there");
    assert_eq!(network.member("fe2.verbund.test")["state"], "joined");
    // On a busy machine it may be slow, but it is waited for.
    wait_until("it acknowledges", || {
        let published = network.publish_again();
        assert_eq!(published["members"], 2, "{published}");
        published["acknowledged"] == 2
    });
}

#[test]
fn a_server_one_certificate_of_which_is_revoked_has_another_at_once() {
    let network = Network::new();
    wait_until("a link between the servers", || network.authority.json(&["status"])["links"][0]["state"] == "up");
    let revoked = network.second.certificate()["serial"].as_str().unwrap().to_owned();
    network.authority.json(&["cert", "revoke", &revoked]);
    wait_until("it shows another one", || network.second.certificate()["serial"] != revoked.as_str());
    network.authority.json(&["user", "add", "dora", "--pool", "fe2.verbund.test"]);
    wait_until("it is on the line again", || network.second.command(&["user", "list"]).contains("dora"));
    wait_until("and so is the link", || network.authority.json(&["status"])["links"][0]["state"] == "up");
    assert!(network.second.log().contains("it was revoked"), "{}", network.second.log());
}

#[test]
fn a_server_whose_certificate_is_damaged_has_a_new_one_at_its_start_or_says_what_to_do() {
    let mut network = Network::new();
    wait_until("the second server is on the line", || network.second.log().contains("the line to the authority is there"));
    let data = network.second.data();
    let other = tempfile::tempdir().unwrap();
    let place = Verbund::up(&other.path().join("other"), &[]);
    assert_eq!(std::mem::replace(&mut network.second, place).stop().code(), Some(0));
    std::fs::write(data.join("server/key.pem"), pki::Key::generate().unwrap().to_pem().unwrap().expose()).unwrap();
    network.second = Verbund::up(&data, &[]);
    wait_until("a link between the servers", || network.authority.json(&["status"])["links"][0]["state"] == "up");
    // The same without the authority.
    let place = Verbund::up(&other.path().join("other 2"), &[]);
    assert_eq!(std::mem::replace(&mut network.second, place).stop().code(), Some(0));
    std::fs::write(data.join("server/chain.pem"), "nonsense").unwrap();
    network.authority.signal("KILL");
    network.authority.wait();
    let said = crate::common::verbund::refused(&data, &[]);
    assert!(said.contains("chain.pem") && said.contains("start again when the authority is there"), "{said}");
}

#[test]
fn n15_a_server_taken_out_of_the_topology_is_cut_off_though_its_certificate_is_good() {
    let network = Network::new();
    wait_until("a link between the servers", || network.authority.json(&["status"])["links"][0]["state"] == "up");
    network.authority.json(&["topology", "remove", "fe2.verbund.test"]);
    network.authority.wait_for_log("not_in_topology");
    assert!(network.authority.json(&["status"])["links"].as_array().unwrap().is_empty());
}

#[test]
fn a_user_who_moves_is_signed_out_at_the_old_home_and_signs_in_at_the_new_one() {
    let network = Network::new();
    let mut carla = network.carla();
    let moved = network.authority.json(&["user", "move", "carla", "--pool", "sip.verbund.test"]);
    assert_eq!((&moved["aor"], &moved["pool"]), (&"sip:carla@verbund.test".into(), &"sip.verbund.test".into()));
    while carla.next().is_some() {}
    let password = network.authority.json(&["user", "password", "carla"])["password"].as_str().unwrap().to_owned();
    let mut carla = Phone::connect(&network.authority, "carla", &password);
    assert_eq!(carla.register(600), 200, "at home now");
    // Whoever is at home elsewhere still reaches her.
    let reading = thread::spawn(move || {
        let message = carla.next_request();
        carla.answer(&message, "200 OK", "", "");
    });
    let made = network.authority.json(&["user", "add", "dora", "--pool", "fe2.verbund.test"]);
    wait_until("the second server knows dora", || network.second.command(&["user", "list"]).contains("dora"));
    let mut dora = Phone::connect(&network.second, "dora", made["password"].as_str().unwrap());
    assert_eq!((dora.register(600), dora.write("sip:carla@verbund.test", "hello")), (200, 200));
    reading.join().unwrap();
    for (args, word) in [(["nobody", "sip.verbund.test"], "nobody"), (["carla", "fe9.verbund.test"], "no pool fe9.verbund.test")] {
        let (code, said) = complaint(&network.authority.try_command(&["user", "move", args[0], "--pool", args[1]]));
        assert!(code == 1 && said.contains(word), "{said}");
    }
}

#[test]
fn n33_a_join_string_is_good_once_and_for_one_organisation() {
    let network = Network::new();
    let dir = network.dir.path();
    let used = refused(&network.string, &dir.join("third"));
    assert!(used.contains("ticket"), "{used}");
    let cut = refused(&network.string[..network.string.len() - 9], &dir.join("third"));
    assert!(cut.contains("damaged"), "{cut}");
    let other = Verbund::up(&dir.join("other"), &[]);
    let foreign = refused(&with_address_of(&add(&network.authority, "fe3.verbund.test"), &other), &dir.join("third"));
    assert!(foreign.contains("root"), "{foreign}");
}

#[test]
fn n33_a_join_string_is_not_to_be_seen_among_the_processes() {
    let network = Network::new();
    let arguments = std::fs::read_to_string(format!("/proc/{}/cmdline", network.second.pid())).unwrap();
    assert!(arguments.contains("join"), "{arguments}");
    assert!(!arguments.contains("verbund-join:"), "{arguments}");
}

/// The same string, leading to somebody else: what a liar in the DNS or on the way could do.
fn with_address_of(string: &str, other: &Verbund) -> String {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    let (prefix, coded) = string.rsplit_once(':').unwrap();
    let mut parts: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(coded).unwrap()).unwrap();
    parts["address"] = other.said("https").into();
    format!("{prefix}:{}", URL_SAFE_NO_PAD.encode(parts.to_string()))
}

#[test]
fn members_go_on_without_the_authority_and_catch_up() {
    let mut network = Network::new();
    let data = network.authority.data();
    let mut carla = network.carla();
    let (sip, https) = (network.authority.said("sip").to_owned(), network.authority.said("https").to_owned());
    network.authority.signal("KILL");
    network.authority.wait();
    // The second server serves its own, also after a start of its own.
    carla.register(0);
    let second = network.second.data();
    assert_eq!(
        std::mem::replace(&mut network.second, Verbund::up_at(&data, &["--listen", &sip, "--https", &https])).stop().code(),
        Some(0)
    );
    let authority = std::mem::replace(&mut network.second, Verbund::up(&second, &[]));
    network.authority = authority;
    assert_eq!(network.second.said("server_name"), "fe2.verbund.test");
    network.authority.json(&["user", "add", "dora", "--pool", "fe2.verbund.test"]);
    wait_until("the second server has caught up", || network.second.command(&["user", "list"]).contains("dora"));
    wait_until("nothing lags", || network.member("fe2.verbund.test")["lag"] == 0);
}

#[test]
fn what_concerns_the_organisation_is_told_to_be_elsewhere_by_a_member() {
    let network = Network::new();
    let (code, said) = complaint(&network.second.try_command(&["user", "add", "erna"]));
    assert_eq!(code, 1);
    assert!(said.contains("sip.verbund.test"), "{said}");
}

/// Which connections are open, by the numbers that are never used twice.
fn flows(server: &Verbund) -> Vec<u64> {
    let status = server.json(&["status"]);
    status["connections"].as_array().unwrap().iter().map(|one| one["flow"].as_u64().unwrap()).collect()
}

/// Gives every server another certificate, by a domain that all of them have to prove from now on.
fn publish_a_domain(network: &Network) {
    let text = network.authority.command(&["topology", "show"]);
    let old = "domains = [\"verbund.test\"]";
    assert!(text.contains(old), "{text}");
    let version = network.authority.json(&["topology", "status"])[0]["topology"].as_u64().unwrap();
    let text = text.replace(old, "domains = [\"verbund.test\", \"voice.verbund.test\"]");
    let text = text.replace(&format!("\nversion = {version}\n"), &format!("\nversion = {}\n", version + 1));
    let file = network.dir.path().join("next.toml");
    std::fs::write(&file, text).unwrap();
    network.authority.json(&["topology", "publish", file.to_str().unwrap()]);
}

#[test]
fn certificates_are_replaced_and_no_connection_is_lost() {
    let network = Network::new();
    let (mut carla, mut alice) = (network.carla(), Phone::signed_in(&network.authority, "alice"));
    wait_until("a link between the servers", || network.authority.json(&["status"])["links"][0]["state"] == "up");
    let servers = [&network.authority, &network.second];
    let (serials, before) = (servers.map(|server| server.certificate()["serial"].clone()), servers.map(flows));
    publish_a_domain(&network);
    for (server, old) in servers.iter().zip(&serials) {
        wait_until("another certificate is shown", || server.certificate()["serial"] != *old);
    }
    // Old and new overlap: whoever connected by the old one stays, whoever comes now sees the new one.
    for (server, before) in servers.iter().zip(&before) {
        let now = flows(server);
        assert!(!before.is_empty() && before.iter().all(|flow| now.contains(flow)), "{before:?} became {now:?}");
    }
    thread::scope(|scope| {
        let reading = scope.spawn(|| {
            let message = carla.next_request();
            carla.answer(&message, "200 OK", "", "");
        });
        assert_eq!(alice.write("sip:carla@verbund.test", "still there?"), 200);
        reading.join().unwrap();
    });
    Phone::signed_in(&network.authority, "bob");
}

#[test]
fn a_new_domain_is_in_every_certificate_without_a_restart() {
    let network = Network::new();
    publish_a_domain(&network);
    for server in [&network.authority, &network.second] {
        wait_until("the certificate has the new domain", || server.certificate()["names"].to_string().contains("\"voice.verbund.test\""));
    }
}
