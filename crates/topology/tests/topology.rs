//! What an administrator may write, and what every fault answers with.
#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;

use pki::Fqdn;
use topology::{Faults, Listeners, MediaPolicy, Role, Topology};

fn fqdn(text: &str) -> Fqdn {
    Fqdn::parse(text).unwrap()
}

const GOOD: &str = r#"version = 12
organisation = "Contoso"
domains = ["contoso.example", "Contoso.Test"]

[[pool]]
name = "pool.contoso.example"
[[pool.server]]
fqdn = "fe1.contoso.example"
roles = ["authority", "front-end"]
sip = "127.0.0.1:5061"
servers = "127.0.0.1:5062"
https = "127.0.0.1:8443"
[[pool.server]]
fqdn = "FE2.contoso.example"
roles = ["front-end"]
sip = "[::1]:5061"
servers = "[::1]:5062"
"#;

/// `GOOD` with one text replaced has exactly these faults.
fn check(from: &str, to: &str, faults: &[&str]) {
    assert!(GOOD.contains(from), "{from:?}");
    let shown = match Topology::parse(&GOOD.replacen(from, to, 1)) {
        Ok(_) => Vec::new(),
        Err(Faults(faults)) => faults.iter().map(ToString::to_string).collect(),
    };
    assert_eq!(shown, faults, "{from:?} -> {to:?}");
}

#[test]
fn what_is_written_is_what_it_means() {
    let topology = Topology::parse(GOOD).unwrap();
    assert_eq!((topology.version(), topology.organisation(), topology.media()), (12, "Contoso", MediaPolicy::Require));
    assert!(topology.serves(&fqdn("contoso.test")) && topology.serves(&fqdn("contoso.example")));
    assert!(!topology.serves(&fqdn("fe1.contoso.example")) && !topology.serves(&fqdn("example.test")));
    assert_eq!(topology.role_of(&fqdn("fe2.contoso.example")), [Role::FrontEnd]);
    assert_eq!(topology.role_of(&fqdn("fe3.contoso.example")), []);
    assert!(topology.server(&fqdn("fe1.contoso.example")).unwrap().has(Role::Authority));
    assert_eq!(topology.server(&fqdn("pool.contoso.example")), None, "a pool is no server");
    assert!(topology.is_ours(&fqdn("pool.contoso.example")) && topology.is_ours(&fqdn("fe2.contoso.example")));
    assert!(!topology.is_ours(&fqdn("contoso.example")) && !topology.is_ours(&fqdn("fe3.contoso.example")));
    assert_eq!(topology.servers().count(), 2);
}

#[test]
fn a_certificate_bears_what_the_topology_says() {
    let topology = Topology::parse(GOOD).unwrap();
    let names = topology.certificate_names(&fqdn("fe2.contoso.example")).unwrap();
    let dns: Vec<_> = names.dns().iter().map(Fqdn::to_string).collect();
    assert_eq!(dns, ["fe2.contoso.example", "pool.contoso.example", "contoso.example", "contoso.test"]);
    assert_eq!(topology.certificate_names(&fqdn("fe3.contoso.example")), None);
}

#[test]
fn a_server_that_serves_no_clients_bears_no_sip_domain() {
    let text = GOOD.replace(r#"["authority", "front-end"]"#, r#"["authority"]"#);
    let names = Topology::parse(&text).unwrap().certificate_names(&fqdn("fe1.contoso.example")).unwrap();
    assert_eq!(names.domains, []);
}

#[test]
fn one_server_does_everything() {
    let at = |port| Some(SocketAddr::from(([127, 0, 0, 1], port)));
    let listeners = Listeners { sip: at(5061), servers: at(5062), https: at(8443), http: at(8080) };
    let name = r#"Bücher & "Söhne" \ Co"#;
    let topology = Topology::single_server(name, &fqdn("verbund.test"), &fqdn("sip.verbund.test"), listeners).unwrap();
    assert_eq!(topology.version(), 1);
    assert_eq!(topology.organisation(), name);
    assert_eq!(topology.role_of(&fqdn("sip.verbund.test")), [Role::Authority, Role::FrontEnd]);
    assert_eq!(topology.server(&fqdn("sip.verbund.test")).unwrap().listeners(), &listeners);
    let names = topology.certificate_names(&fqdn("sip.verbund.test")).unwrap();
    assert_eq!((names.aliases, names.domains), (vec![], vec![fqdn("verbund.test")]));
}

#[test]
fn the_file_we_write_is_read_back_and_explains_itself() {
    for text in [GOOD.to_owned(), GOOD.replace("[[pool]]", "media = \"support\"\n[[pool]]")] {
        let topology = Topology::parse(&text).unwrap();
        let written = topology.to_commented_toml();
        assert_eq!(Topology::parse(&written).unwrap(), topology, "{written}");
        assert!(written.lines().filter(|line| line.starts_with('#')).count() > 8, "{written}");
    }
}

#[test]
fn a_hostile_organisation_name_cannot_write_keys_of_its_own() {
    let listeners = Listeners { sip: Some("127.0.0.1:5061".parse().unwrap()), ..Listeners::default() };
    let single = |name: &str| Topology::single_server(name, &fqdn("a.test"), &fqdn("sip.a.test"), listeners);
    assert!(single("x\"\nmedia = \"support").is_err());
    let quoted = single("x\" # '''").unwrap();
    assert_eq!((quoted.organisation(), quoted.media()), ("x\" # '''", MediaPolicy::Require));
}

#[test]
fn media_must_be_encrypted_unless_it_says_otherwise() {
    let with =
        |media: &str| Topology::parse(&GOOD.replacen("\n\n", &format!("\nmedia = \"{media}\"\n"), 1)).map(|topology| topology.media());
    assert_eq!(with("require").unwrap(), MediaPolicy::Require);
    assert_eq!(with("support").unwrap(), MediaPolicy::Support);
    assert!(with("off").is_err(), "there is no way to turn encryption off");
}

#[test]
fn unknown_keys_and_words_are_refused_where_they_stand() {
    check(
        "organisation =",
        "organization =",
        &[
            "line 2, column 1: unknown field `organization`, expected one of `version`, `organisation`, `domains`, `media`, `limits`, `federation`, `pool`",
        ],
    );
    check(
        "\"front-end\"]\nsip = \"[",
        "\"frontend\"]\nsip = \"[",
        &[
            "line 15, column 10: unknown variant `frontend`, expected one of `authority`, `front-end`, `director`, `edge`, `media-relay`, `application`",
        ],
    );
    check("\"Contoso\"", "Contoso", &["line 2, column 16: string values must be quoted, expected literal string"]);
    check("version = 12", "version = -1", &["line 1, column 11: invalid value: integer `-1`, expected u64"]);
    check("127.0.0.1:8443", "localhost:8443", &["line 12, column 9: invalid socket address syntax"]);
}

#[test]
fn every_fault_is_told_with_its_place() {
    check("version = 12", "version = 0", &["line 1, column 11: version starts at 1"]);
    check("\"Contoso\"", "\" \"", &["line 2, column 16: organisation needs a name of printable characters"]);
    check("[\"contoso.example\", \"Contoso.Test\"]", "[]", &["line 3, column 11: domains needs at least one SIP domain"]);
    check("Contoso.Test", "CONTOSO.example", &["line 3, column 31: the domain contoso.example is listed twice"]);
    check(
        "FE2.contoso.example",
        "fe1.contoso.example",
        &["line 14, column 8: the server fe1.contoso.example is listed twice; one name is one server"],
    );
    check(
        "[\"front-end\"]",
        "[]",
        &[
            "line 15, column 9: the server fe2.contoso.example has no role; give it at least one of authority, front-end, director, edge, media-relay, application",
        ],
    );
    check(
        "[\"front-end\"]",
        "[\"front-end\", \"front-end\"]",
        &["line 15, column 23: the server fe2.contoso.example has the role front-end twice"],
    );
    check(
        "[\"front-end\"]",
        "[\"authority\", \"front-end\"]",
        &[
            "line 13, column 1: the server fe2.contoso.example has the role authority and needs the listener https = \"ADDRESS:PORT\"",
            "line 15, column 9: the role authority is given to 2 servers, exactly one has it",
        ],
    );
    check(
        "[\"authority\", \"front-end\"]",
        "[\"front-end\"]",
        &["line 5, column 1: the role authority is given to 0 servers, exactly one has it"],
    );
    check(
        "sip = \"[::1]:5061\"\n",
        "",
        &["line 13, column 1: the server fe2.contoso.example has the role front-end and needs the listener sip = \"ADDRESS:PORT\""],
    );
    check(
        "127.0.0.1:8443",
        "127.0.0.1:5061",
        &["line 12, column 9: the server fe1.contoso.example has sip and https on the same address and port; give each a port of its own"],
    );
    check(
        "pool.contoso.example",
        "fe1.contoso.example",
        &[
            "line 6, column 8: fe1.contoso.example is the name of a pool and of a server; only a pool of one server may have that server's name",
        ],
    );
}

#[test]
fn names_are_checked_where_they_stand() {
    check(
        "FE2.contoso.example",
        "fe_2.contoso.example",
        &[
            "line 14, column 8: \"fe_2.contoso.example\" is not a host name: labels are letters, digits and inner hyphens (no underscore, IDN as xn--...)",
        ],
    );
    check(
        "FE2.contoso.example",
        "fe2",
        &["line 14, column 8: \"fe2\" is a short name; write it in full, with its domain (fe1.contoso.example)"],
    );
    check("FE2.contoso.example", "192.0.2.1", &["line 14, column 8: \"192.0.2.1\" is an IP address; servers are known by name only"]);
}

#[test]
fn all_faults_are_told_at_once_in_their_order() {
    let text = GOOD
        .replace("Contoso.Test", "contoso")
        .replace("FE2.contoso.example", "f_2.contoso.example")
        .replace("version = 12", "version = 0");
    let Faults(faults) = Topology::parse(&text).unwrap_err();
    assert_eq!(faults.iter().map(|fault| fault.line).collect::<Vec<_>>(), [1, 3, 14]);
}

#[test]
fn an_empty_list_trusts_nobody_and_is_refused() {
    let head: String = GOOD.lines().take(3).collect::<Vec<_>>().join("\n");
    let faults = Topology::parse(&head).unwrap_err();
    assert_eq!(faults.to_string(), "line 1, column 1: there is no [[pool]]; an organisation has at least one");
    let faults = Topology::parse(&format!("{head}\n[[pool]]\nname = \"a.contoso.test\"\n")).unwrap_err();
    assert_eq!(faults.to_string(), "line 4, column 1: the pool a.contoso.test has no [[pool.server]]");
    assert!(Topology::parse("").is_err());
}

#[test]
fn a_damaged_file_is_refused_with_a_place_inside_it() {
    let lines = GOOD.lines().count() + 1;
    for position in 0..GOOD.len() {
        for damage in ["", "\"", "é", "\n", "\u{0}", "]"] {
            let text = format!("{}{damage}{}", &GOOD[..position], &GOOD[position + 1..]);
            if let Err(Faults(faults)) = Topology::parse(&text) {
                assert!(!faults.is_empty());
                assert!(faults.iter().all(|fault| (1..=lines + 1).contains(&fault.line) && fault.column >= 1), "{text}\n{faults:?}");
            }
        }
    }
}

#[test]
fn an_endless_file_is_not_read() {
    let text = format!("{GOOD}#{}", "x".repeat(Topology::FILE_BYTES_MAX));
    assert!(Topology::parse(&text).unwrap_err().to_string().contains("more than"));
}

#[test]
fn a_mistyped_pool_is_recognised_and_another_name_is_not() {
    let five = Topology::parse(include_str!("five.toml")).unwrap();
    let like = |name: &str| five.pool_like(&fqdn(name)).map(Fqdn::as_str);
    assert_eq!(like("eats.contoso.example"), Some("east.contoso.example"));
    assert_eq!(like("east.contoso.test"), Some("east.contoso.example"));
    assert_eq!(like("edge2.contoso.example"), Some("edge1.contoso.example"));
    assert_eq!(like("voice.contoso.example"), None);
}
