//! Proof 3: `openssl s_client` comes to the servers' port of a running server with every kind of certificate that must not be
//! believed. It is refused, the reason is on record, and the other eighty connections notice nothing (row N34). The finer kinds
//! (rows N6, N14, N36) have tests of their own below.

use std::path::{Path, PathBuf};
use std::process::Command;

use interop::{Forged, Forger, Impostor, Lab, SClient, Server, Shown, Site, in_own_network, keeping, offering, signed, wait_until};

pub(crate) const VERSIONS: [&str; 2] = ["-tls1_2", "-tls1_3"];
/// OpenSSL itself is to hold nothing back for being weak.
const UNSCRUPULOUS: [&str; 2] = ["-cipher", "ALL:@SECLEVEL=0"];
/// Listed applications, each with as many connections as one server may have.
const APPLICATIONS: usize = 20;
const CONNECTIONS_EACH: usize = 4;

/// An organisation of one server, whose CA's keys a thief can read.
pub(crate) fn organisation(lab: &Lab) -> Server {
    let mut command = Command::new(interop::program());
    command.env("VERBUND_CA_PASSPHRASE_FILE", Forger::passphrase(lab));
    Server::start_by(lab, command, &["alice"])
}

/// Lists an application and has a certificate issued to it, for a key that OpenSSL made.
pub(crate) fn application(lab: &Lab, server: &Server, name: &str) -> Shown {
    server.add_server(name, &["--role", "application"]);
    signed(lab, server, name)
}

/// The eighty others: real TLS clients on the servers' port, each with a certificate of a listed server.
struct Eighty {
    clients: Vec<SClient>,
    round: usize,
}

impl Eighty {
    fn connect(lab: &Lab, server: &Server) -> Self {
        let shown: Vec<Shown> = (1..=APPLICATIONS).map(|number| application(lab, server, &format!("app{number}.verbund.test"))).collect();
        let mut all = Vec::new();
        for (number, connection) in (1..=CONNECTIONS_EACH).flat_map(|each| (1..=APPLICATIONS).map(move |number| (number, each))) {
            let (name, version) = (format!("app{number}-{connection}"), VERSIONS[connection % 2]);
            all.push(SClient::connect(lab, &name, &server.servers_site(), Some(&shown[number - 1]), &[version]));
        }
        let mut eighty = Self { clients: all, round: 0 };
        eighty.all_answer("connecting");
        eighty
    }

    /// Not one is gone, and each is answered. So none is silent for as long as a server takes for dead.
    fn all_answer(&mut self, after: &str) {
        self.round += 1;
        let question = |number| self.round * 1000 + number;
        self.clients.iter_mut().enumerate().for_each(|(number, client)| client.ask(question(number)));
        let mut answered = 0;
        for (number, client) in self.clients.iter_mut().enumerate() {
            assert!(client.hears_answer(question(number)), "connection {number} of 80 after {after}: {}", client.printed());
            answered += 1;
        }
        assert_eq!(answered, 80);
    }
}

/// One who must be refused, for one of these reasons.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) shown: Option<Shown>,
    pub(crate) reasons: &'static [&'static str],
}

/// Comes with it in both versions of TLS.
fn check(lab: &Lab, server: &Server, case: &Case) {
    check_at(lab, server, &server.servers_site(), case);
}

/// The same, asking for the server by the name of this site.
pub(crate) fn check_at(lab: &Lab, server: &Server, site: &Site, case: &Case) {
    for version in VERSIONS {
        let name = format!("{}{version}", case.name);
        // Of one second, those who were let in may stand first.
        let newest = || server.decisions().into_iter().find(|one| one["verdict"] == "refused");
        let before = newest().map(|decision| decision["remote"].clone());
        let mut client = SClient::connect(lab, &name, site, case.shown.as_ref(), &[&[version], &UNSCRUPULOUS[..]].concat());
        client.say("OPTIONS sip:sip.verbund.test SIP/2.0\r\nCall-ID: refused\r\n");
        let printed = client.wait_for_end();
        assert!(printed.contains("alert"), "{name} is told: {printed}");
        assert!(!printed.contains("SIP/2.0 "), "{name} is not answered: {printed}");
        let decision = wait_until("a new refusal", || newest().filter(|one| before.as_ref() != Some(&one["remote"])));
        assert!(is_refusal_of(&decision, case), "{name}: {decision}");
        let rule = decision["evidence"]["rule"].as_str().unwrap_or_default();
        assert!(server.logged().contains(&format!("reason=\"{rule}\"")), "{name}: {rule} is in the log");
    }
}

fn is_refusal_of(decision: &serde_json::Value, case: &Case) -> bool {
    let rule = decision["evidence"]["rule"].as_str().unwrap_or_default();
    decision["verdict"] == "refused" && decision["listener"] == "servers" && case.reasons.contains(&rule)
}

#[test]
fn n34_openssl_is_refused_with_every_bad_certificate_and_eighty_others_go_on() {
    in_own_network(|lab| {
        let server = organisation(lab);
        let mut eighty = Eighty::connect(lab, &server);
        let (thief, stranger) = (Forger::with_key_of(lab, &server), Forger::stranger(lab, &server));
        let listed = "app1.verbund.test";
        let good = Forged { subject: listed, names: "DNS:app1.verbund.test", ..Forged::GOOD };
        let forged = |name, what: Forged<'_>| Some(thief.forge(name, &what));
        let revoked = application(lab, &server, "revoked.verbund.test");
        let removed = application(lab, &server, "removed.verbund.test");
        server.command(&["cert", "revoke", "revoked.verbund.test"]);
        server.command(&["topology", "remove", "removed.verbund.test"]);
        let alice = Forged { subject: "alice", names: "URI:sip:alice@verbund.test", purposes: "clientAuth", ..good };
        let user = Forger::with_users_key_of(lab, &server).forge("alice", &alice);
        let delisted = Forged { subject: "removed.verbund.test", names: "DNS:removed.verbund.test", ..good };
        let cases = [
            Case { name: "n11-none", shown: None, reasons: &["no_certificate"] },
            Case { name: "n2-foreign", shown: Some(stranger.forge("foreign", &good)), reasons: &["unknown_issuer", "bad_signature"] },
            Case { name: "n3-expired", shown: forged("expired", Forged { valid: Forged::LONG_AGO, ..good }), reasons: &["expired"] },
            Case { name: "n4-early", shown: forged("early", Forged { valid: Forged::FAR_AHEAD, ..good }), reasons: &["not_yet_valid"] },
            Case { name: "n5-revoked", shown: Some(revoked), reasons: &["revoked"] },
            Case { name: "n5-removed", shown: Some(removed), reasons: &["revoked"] },
            Case { name: "n1-delisted", shown: forged("delisted", delisted), reasons: &["not_in_topology"] },
            Case {
                name: "n10-wildcard",
                shown: forged("wildcard", Forged { names: "DNS:*.verbund.test", ..good }),
                reasons: &["wildcard"],
            },
            Case { name: "n9-common-name", shown: forged("common-name", Forged { names: "", ..good }), reasons: &["no_identity"] },
            Case {
                name: "n7-wrong-purpose",
                shown: forged("wrong-purpose", Forged { purposes: "clientAuth", ..good }),
                reasons: &["wrong_purpose"],
            },
            Case { name: "n11-user", shown: Some(user), reasons: &["user_on_server_port", "wrong_purpose", "not_pinned"] },
        ];
        for case in &cases {
            check(lab, &server, case);
            eighty.all_answer(case.name);
        }
        // The counter-proof: the thief's certificates are refused for what is wrong with them and for nothing else.
        let shown = thief.forge("nothing-wrong", &Forged { purposes: "serverAuth", names: "DNS:app21.verbund.test", ..good });
        server.add_server("app21.verbund.test", &["--role", "application"]);
        for (number, version) in VERSIONS.into_iter().enumerate() {
            let mut client = SClient::connect(lab, &format!("good{version}"), &server.servers_site(), Some(&shown), &[version]);
            assert!(client.is_answered(number), "{}", client.printed());
        }
    });
}

/// Refused is each of these, and nothing but what is wrong with it stands in its way: `good` is let in.
fn only_these_are_refused(lab: &Lab, server: &Server, cases: &[Case], good: &[Shown]) {
    cases.iter().for_each(|case| check(lab, server, case));
    for (number, shown) in good.iter().enumerate() {
        for version in VERSIONS {
            let name = format!("good-{number}{version}");
            let mut client = SClient::connect(lab, &name, &server.servers_site(), Some(shown), &[version]);
            assert!(client.is_answered(number), "{name}: {}", client.printed());
        }
    }
}

#[test]
fn n6_below_a_ca_that_publishes_no_revocation_list_nobody_is_believed() {
    in_own_network(|lab| {
        let server = organisation(lab);
        server.add_server("app1.verbund.test", &["--role", "application"]);
        let good = Forged { subject: "app1.verbund.test", names: "DNS:app1.verbund.test", ..Forged::GOOD };
        // Everything about it is as it should be, up to the organisation's own root.
        let unheard_of = Forger::with_roots_key_of(lab, &server).ca_below(lab, "unheard-of", Forged::P256, "sha256");
        let case = Case { name: "n6-no-list", shown: Some(unheard_of.forge("below", &good)), reasons: &["no_revocation_list"] };
        only_these_are_refused(lab, &server, &[case], &[Forger::with_key_of(lab, &server).forge("listed", &good)]);
    });
}

#[test]
fn n14_openssl_is_refused_with_weak_keys_and_signatures_anywhere_in_the_chain() {
    in_own_network(|lab| {
        let server = organisation(lab);
        server.add_server("app1.verbund.test", &["--role", "application"]);
        let good = Forged { subject: "app1.verbund.test", names: "DNS:app1.verbund.test", ..Forged::GOOD };
        let (thief, root) = (Forger::with_key_of(lab, &server), Forger::with_roots_key_of(lab, &server));
        let leaf = |name, what| Some(thief.forge(name, &what));
        let below = |name, key, digest| Some(root.ca_below(lab, name, key, digest).forge(name, &good));
        // There is no ECDSA with MD5, so an RSA key signs that.
        let rsa = root.ca_below(lab, "ca-rsa", "rsa:2048", "sha256");
        let md5 = Some(rsa.forge("md5", &Forged { digest: "md5", ..good }));
        let reasons: &[&str] = &["weak"];
        let cases = [
            Case { name: "n14-key", shown: leaf("rsa-1024", Forged { key: Forged::RSA_1024, ..good }), reasons },
            Case { name: "n14-sha1", shown: leaf("sha1", Forged { digest: "sha1", ..good }), reasons },
            Case { name: "n14-md5", shown: md5, reasons },
            Case { name: "n14-key-of-ca", shown: below("ca-rsa-1024", Forged::RSA_1024, "sha256"), reasons },
            Case { name: "n14-sha1-of-ca", shown: below("ca-sha1", Forged::P256, "sha1"), reasons },
        ];
        let strong = thief.forge("rsa-2048", &Forged { key: "rsa:2048", ..good });
        only_these_are_refused(lab, &server, &cases, &[strong]);
    });
}

#[test]
fn n36_openssl_is_refused_with_a_name_in_any_other_spelling_and_every_name_is_looked_at() {
    in_own_network(|lab| {
        let server = organisation(lab);
        server.add_server("app1.verbund.test", &["--role", "application"]);
        server.add_server("app2.verbund.test", &["--role", "application"]);
        let thief = Forger::with_key_of(lab, &server);
        let named = |name: &str, names: &str| thief.forge(name, &Forged { subject: "app1.verbund.test", names, ..Forged::GOOD });
        let spelt = |name, names, reasons| Case { name, shown: Some(named(name, names)), reasons };
        let cases = [
            spelt("n36-dot", "DNS:app1.verbund.test.", &["not_acceptable"]),
            spelt("n36-address", "IP:127.0.0.1", &["name_constraint"]),
            spelt("n36-mail", "email:app1@verbund.test", &["no_identity"]),
            spelt("n36-domain", "URI:sip:app1.verbund.test", &["not_in_topology"]),
            spelt("n36-user", "URI:sip:alice@app1.verbund.test", &["user_on_server_port"]),
            spelt("n36-host-as-user", "URI:sip:app1.verbund.test@verbund.test", &["user_on_server_port"]),
            spelt("n36-sips", "URI:sips:app1.verbund.test", &["no_identity"]),
            spelt("n36-https", "URI:https://app1.verbund.test/", &["no_identity"]),
            spelt("n36-idn", "DNS:xn--app1-0ra.verbund.test", &["not_in_topology"]),
            spelt("n36-longer", "DNS:app1.verbund.test.verbund.test", &["not_in_topology"]),
            spelt("n36-two-servers", "DNS:app1.verbund.test, DNS:app2.verbund.test", &["several_servers"]),
        ];
        let good = ["DNS:APP1.Verbund.TEST", "URI:urn:x:y, DNS:nobody.verbund.test, URI:sip:verbund.test, DNS:app2.verbund.test"];
        let good: Vec<Shown> = good.iter().zip(["upper-case", "last-of-many"]).map(|(names, name)| named(name, names)).collect();
        only_these_are_refused(lab, &server, &cases, &good);
    });
}

#[test]
fn one_server_has_four_connections_and_no_fifth() {
    in_own_network(|lab| {
        let server = organisation(lab);
        let (one, other) = (application(lab, &server, "app1.verbund.test"), application(lab, &server, "app2.verbund.test"));
        let connect = |name: &str, shown| SClient::connect(lab, name, &server.servers_site(), Some(shown), &[]);
        let mut four: Vec<SClient> = (1..=CONNECTIONS_EACH).map(|number| connect(&format!("one-{number}"), &one)).collect();
        assert!(four.iter_mut().zip(1..).all(|(client, number)| client.is_answered(number)));
        let mut fifth = connect("one-5", &one);
        fifth.wait_for_end();
        assert!(!fifth.printed().contains("SIP/2.0 "));
        // Whose it is counts, not where it comes from.
        assert!(connect("other", &other).is_answered(6));
        assert!(four.iter_mut().zip(7..).all(|(client, number)| client.is_answered(number)), "the four are not disturbed");
        drop(four.pop());
        wait_until("a place for another one", || connect("one-again", &one).is_answered(99).then_some(()));
    });
}

/// What a client remembers: tickets of TLS 1.2, session identifiers of TLS 1.2, tickets of TLS 1.3.
const MEMORIES: [&str; 3] = ["-tls1_2", "-tls1_2,-no_ticket", "-tls1_3"];

/// A session that another server handed out, in this version: `SClient` does take such a one up again where it may.
fn session_of_another(lab: &Lab, other: &Site, version: &str) -> PathBuf {
    let file = lab.path(&format!("elsewhere{version}.session"));
    let connect = |name: &str, more: &[String]| {
        let options: Vec<&str> = version.split(',').chain(more.iter().map(String::as_str)).collect();
        SClient::connect(lab, &format!("{name}{version}"), other, None, &options)
    };
    let mut first = connect("elsewhere-first", &keeping(&file));
    assert_eq!(first.resumed(), Some(false), "{}", first.printed());
    wait_until("a session", || file.metadata().is_ok_and(|file| file.len() > 0).then_some(()));
    // s_server serves one at a time, and forgets the sessions of those who leave without a word.
    first.leave();
    let mut second = connect("elsewhere-second", &offering(&file));
    assert_eq!(second.resumed(), Some(true), "{}", second.printed());
    file
}

/// One who is let in at first, at this port.
struct Once<'a> {
    name: &'a str,
    site: Site,
    shown: &'a Shown,
}

impl Once<'_> {
    fn connect(&self, lab: &Lab, round: &str, version: &str, session: &[String]) -> SClient {
        let options: Vec<&str> = version.split(',').chain(session.iter().map(String::as_str)).collect();
        SClient::connect(lab, &format!("{}-{round}{version}", self.name), &self.site, Some(self.shown), &options)
    }

    /// It is served, and given nothing that it could come back with; what it has from elsewhere makes no difference.
    fn is_given_no_session(&self, lab: &Lab, version: &str, elsewhere: &Path) {
        let file = lab.path(&format!("{}{version}.session", self.name));
        let mut first = self.connect(lab, "first", version, &keeping(&file));
        assert_eq!((first.resumed(), first.is_answered(1)), (Some(false), true), "{}", first.printed());
        assert!(!file.exists(), "{} was given a session", self.name);
        let mut second = self.connect(lab, "second", version, &offering(elsewhere));
        assert_eq!((second.resumed(), second.is_answered(2)), (Some(false), true), "{}", second.printed());
    }

    /// It is not served, whatever session it offers.
    fn is_refused(&self, lab: &Lab, version: &str, elsewhere: &Path) {
        let mut client = self.connect(lab, "late", version, &offering(elsewhere));
        assert_ne!(client.resumed(), Some(true), "{}", client.printed());
        assert!(!client.is_answered(3), "{}", client.printed());
        client.wait_for_end();
    }
}

#[test]
fn n5_no_session_of_before_revives_who_is_revoked_removed_or_expired() {
    in_own_network(|lab| {
        let server = organisation(lab);
        let impostor = Impostor::start(lab, &server.site());
        let elsewhere = MEMORIES.map(|version| session_of_another(lab, &impostor.trusted_site(lab), version));
        let (revoked, removed) = (application(lab, &server, "app1.verbund.test"), application(lab, &server, "app2.verbund.test"));
        let users = Forger::with_users_key_of(lab, &server);
        let user = Forged { subject: "alice", names: "URI:sip:alice@verbund.test", purposes: "clientAuth", ..Forged::GOOD };
        let alice = users.forge("alice", &user);
        let late = [
            Once { name: "revoked", site: server.servers_site(), shown: &revoked },
            Once { name: "removed", site: server.servers_site(), shown: &removed },
            Once { name: "alice", site: server.site(), shown: &alice },
        ];
        for (version, elsewhere) in MEMORIES.into_iter().zip(&elsewhere) {
            late.iter().for_each(|once| once.is_given_no_session(lab, version, elsewhere));
        }
        server.command(&["cert", "revoke", "app1.verbund.test"]);
        server.command(&["topology", "remove", "app2.verbund.test"]);
        server.command(&["user", "remove", "alice"]);
        let servers = Forger::with_key_of(lab, &server);
        let ended = Forged { valid: Forged::LONG_AGO, ..user };
        let server_ended = Forged { subject: "sip.verbund.test", names: "DNS:sip.verbund.test", purposes: Forged::SERVER, ..ended };
        let (ended, server_ended) = (users.forge("ended", &ended), servers.forge("ended", &server_ended));
        let expired = [
            Once { name: "expired-user", site: server.site(), shown: &ended },
            Once { name: "expired-server", site: server.servers_site(), shown: &server_ended },
        ];
        for (version, elsewhere) in MEMORIES.into_iter().zip(&elsewhere) {
            late.iter().chain(&expired).for_each(|once| once.is_refused(lab, version, elsewhere));
        }
        assert!(server.refused("revoked") >= 6 && server.refused("expired") >= 6, "{}", server.logged());
    });
}
