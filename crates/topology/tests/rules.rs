//! The rules of an organisation of several servers: each with a list that keeps it and one that
//! breaks it.
#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;

use pki::Fqdn;
use topology::{Faults, Listeners, Role, Topology};

/// One of everything.
const FIVE: &str = include_str!("five.toml");

fn fqdn(text: &str) -> Fqdn {
    Fqdn::parse(text).unwrap()
}

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// `FIVE` with one text replaced has exactly these faults, by the text of their line.
fn check(from: &str, to: &str, faults: &[(&str, &str)]) {
    assert!(FIVE.contains(from), "{from:?}");
    let text = FIVE.replacen(from, to, 1);
    let shown: Vec<(String, String)> = match Topology::parse(&text) {
        Ok(_) => Vec::new(),
        Err(Faults(faults)) => faults
            .iter()
            .map(|fault| {
                let line = text.lines().nth(fault.line - 1).unwrap();
                (line.chars().skip(fault.column - 1).collect(), fault.rule.to_string())
            })
            .collect(),
    };
    let faults: Vec<_> = faults.iter().map(|(place, rule)| ((*place).to_owned(), (*rule).to_owned())).collect();
    assert_eq!(shown, faults, "{from:?} -> {to:?}");
}

#[test]
fn every_role_is_what_it_says() {
    let five = Topology::parse(FIVE).unwrap();
    let roles: Vec<_> = five.servers().map(|server| (server.fqdn().as_str(), server.roles())).collect();
    assert_eq!(
        roles,
        [
            ("sip.contoso.example", &[Role::Authority, Role::FrontEnd][..]),
            ("fe1.contoso.example", &[Role::FrontEnd]),
            ("fe2.contoso.example", &[Role::FrontEnd]),
            ("dir1.contoso.example", &[Role::Director]),
            ("edge1.contoso.example", &[Role::Edge, Role::MediaRelay]),
            ("ivr.contoso.example", &[Role::Application]),
        ]
    );
    assert_eq!(five.authority().fqdn(), &fqdn("sip.contoso.example"));
    assert_eq!(five.authority().listeners().http, Some(at("192.0.2.10:80")));
    assert!(five.pool(&fqdn("east.contoso.example")).unwrap().is_home());
    assert!(!five.pool(&fqdn("dir1.contoso.example")).unwrap().is_home(), "a director is home of nobody");
    assert_eq!(five.pool(&fqdn("fe1.contoso.example")), None, "a server is no pool");
}

#[test]
fn next_hops_lead_inwards() {
    let five = Topology::parse(FIVE).unwrap();
    let hop = |pool: &str| five.pool(&fqdn(pool)).unwrap().next_hop().cloned();
    assert_eq!(hop("edge1.contoso.example"), Some(fqdn("dir1.contoso.example")));
    assert_eq!(hop("dir1.contoso.example"), Some(fqdn("east.contoso.example")));
    assert_eq!(hop("east.contoso.example"), None);
}

#[test]
fn servers_are_reached_at_their_servers_port_and_nobody_before_it_joined() {
    let five = Topology::parse(FIVE).unwrap();
    let address = |list: &Topology, name: &str| list.server(&fqdn(name)).unwrap().server_address();
    assert_eq!(address(&five, "fe1.contoso.example"), Some(at("192.0.2.11:5062")));
    assert_eq!(address(&five, "fe2.contoso.example"), None, "expected, not there");
    assert_eq!(address(&five, "ivr.contoso.example"), Some(at("192.0.2.30:5061")));
    assert_eq!(five.server(&fqdn("contoso.example")), None, "a domain is no host");
    let joined = FIVE.replace("expected = true", "expected = true\nsip = \"192.0.2.12:5061\"\nservers = \"192.0.2.12:5062\"");
    let joined = Topology::parse(&joined).unwrap();
    assert_eq!(address(&joined, "fe2.contoso.example"), None, "still expected, whatever is written");
    assert!(joined.server(&fqdn("fe2.contoso.example")).unwrap().is_expected());
}

#[test]
fn n30_an_application_is_listed_and_no_member() {
    let five = Topology::parse(FIVE).unwrap();
    assert!(five.server(&fqdn("ivr.contoso.example")).is_some() && !five.is_member(&fqdn("ivr.contoso.example")));
    assert!(five.is_member(&fqdn("edge1.contoso.example")));
    assert!(five.is_member(&fqdn("fe2.contoso.example")), "who is expected has to fetch the list to join");
    assert!(!five.is_member(&fqdn("fe9.contoso.example")) && !five.is_member(&fqdn("east.contoso.example")));
    assert_eq!(five.members().count(), 5);
}

#[test]
fn sip_domains_are_proved_where_clients_sign_in_and_nowhere_else() {
    let five = Topology::parse(FIVE).unwrap();
    let domains = |name: &str| five.certificate_names(&fqdn(name)).unwrap().domains.len();
    assert_eq!(domains("fe1.contoso.example"), 2);
    assert_eq!(domains("fe2.contoso.example"), 2);
    assert_eq!(domains("dir1.contoso.example"), 2);
    assert_eq!(domains("edge1.contoso.example"), 0);
    assert_eq!(domains("ivr.contoso.example"), 0);
}

#[test]
fn a_name_our_ca_may_not_vouch_for_is_no_server_of_ours() {
    let outside = "lies in none of the domains (contoso.example, contoso.test), so the CA may not vouch for it; \
                   choose a name below one of them, or add its domain to domains";
    check(
        "\"ivr.contoso.example\"\nroles",
        "\"ivr.fabrikam.example\"\nroles",
        &[("\"ivr.fabrikam.example\"", &format!("ivr.fabrikam.example {outside}"))],
    );
    check(
        "\"east.contoso.example\"\n#",
        "\"eastcontoso.example\"\n#",
        &[
            ("\"eastcontoso.example\"", &format!("eastcontoso.example {outside}")),
            (
                "\"east.contoso.example\"  # where it passes on",
                "the pool dir1.contoso.example has the next hop east.contoso.example, which is neither a pool nor a server of this list",
            ),
        ],
    );
    check("\"fe1.contoso.example\"", "\"fe1.east.contoso.test\"", &[]);
}

#[test]
fn a_sip_domain_is_no_name_of_a_server() {
    check(
        "\"fe1.contoso.example\"",
        "\"contoso.test\"",
        &[(
            "\"contoso.test\"",
            "contoso.test is a SIP domain and the name of a server or pool, and every front end can prove a SIP domain; \
         give it a name below the domain",
        )],
    );
}

#[test]
fn a_next_hop_is_there_and_can_take_what_is_passed_on() {
    let edge = "next-hop = \"dir1.contoso.example\"";
    let unknown = "the pool edge1.contoso.example has the next hop dir9.contoso.example, which is neither a pool nor a server of this list";
    check(edge, "next-hop = \"dir9.contoso.example\"", &[("\"dir9.contoso.example\"", unknown)]);
    check(
        edge,
        "next-hop = \"dir9\"",
        &[("\"dir9\"", "\"dir9\" is a short name; write it in full, with its domain (fe1.contoso.example)")],
    );
    check(edge, "next-hop = \"EAST.contoso.example\"", &[]);
    check(edge, "next-hop = \"fe1.contoso.example\"", &[]);
    check(edge, "", &[]);
    let wrong = |hop: &str| {
        format!("the pool edge1.contoso.example has the next hop {hop}, which has no director or front end; choose one that has")
    };
    for hop in ["ivr.contoso.example", "edge1.contoso.example"] {
        check(edge, &format!("next-hop = \"{hop}\""), &[(&format!("\"{hop}\""), &wrong(hop))]);
    }
    let director = "next-hop = \"east.contoso.example\"  # where it passes on";
    for hop in ["dir1.contoso.example", "edge1.contoso.example"] {
        check(
            director,
            &format!("next-hop = \"{hop}\""),
            &[(
                &format!("\"{hop}\""),
                &format!("the pool dir1.contoso.example has the next hop {hop}, which has no front end; choose one that has"),
            )],
        );
    }
    check(
        "name = \"east.contoso.example\"",
        "name = \"east.contoso.example\"\nnext-hop = \"dir1.contoso.example\"",
        &[(
            "\"dir1.contoso.example\"",
            "the pool east.contoso.example has a next hop, but no director or edge that would pass anything on; remove next-hop",
        )],
    );
}

#[test]
fn an_application_is_nothing_else() {
    check(
        "[\"application\"]",
        "[\"application\", \"media-relay\"]",
        &[(
            "[\"application\", \"media-relay\"]",
            "the server ivr.contoso.example is an application and has other roles; an application has no other role and is run by its own \
         maker's program",
        )],
    );
}

#[test]
fn an_edge_holds_no_users_and_no_keys() {
    for role in ["front-end", "director"] {
        let to = format!("[\"edge\", \"{role}\"]\nsip = \"192.0.2.20:5061\"");
        check(
            "[\"edge\", \"media-relay\"]",
            &to,
            &[(
                &format!("[\"edge\", \"{role}\"]"),
                &format!(
                    "the server edge1.contoso.example is an edge and has the role {role} too; an edge holds no users and no keys of the \
                 organisation, put {role} on another server"
                ),
            )],
        );
    }
    check("[\"edge\", \"media-relay\"]", "[\"edge\"]", &[]);
    check(
        "[\"authority\", \"front-end\"]",
        "[\"authority\", \"edge\"]",
        &[(
            "[\"authority\", \"edge\"]",
            "the server sip.contoso.example is an edge and has the role authority too; an edge holds no users and no keys of the \
         organisation, put authority on another server",
        )],
    );
}

#[test]
fn a_pool_is_of_one_kind_where_its_name_says_so() {
    check(
        "roles = [\"front-end\"]\nexpected",
        "roles = [\"application\"]\nexpected",
        &[(
            "[[pool]]",
            "the pool east.contoso.example has the role application on some of its servers only; they share the pool's name, so put the \
         others into a pool of their own",
        )],
    );
    check("roles = [\"front-end\"]\nexpected", "roles = [\"media-relay\"]\nexpected", &[]);
}

#[test]
fn a_member_has_the_listeners_of_its_roles() {
    check(
        "servers = \"192.0.2.11:5062\"",
        "",
        &[(
            "[[pool.server]]",
            "the server fe1.contoso.example needs the listener servers = \"ADDRESS:PORT\", where the other servers reach it, or expected = true \
         until it has joined",
        )],
    );
    check("servers = \"192.0.2.11:5062\"", "expected = true", &[]);
    check("servers = \"192.0.2.30:5061\"", "", &[]);
    check(
        "https = \"192.0.2.10:443\"",
        "",
        &[("[[pool.server]]", "the server sip.contoso.example has the role authority and needs the listener https = \"ADDRESS:PORT\"")],
    );
    check(
        "sip = \"192.0.2.15:5061\"",
        "",
        &[("[[pool.server]]", "the server dir1.contoso.example has the role director and needs the listener sip = \"ADDRESS:PORT\"")],
    );
    check(
        "[\"authority\", \"front-end\"]",
        "[\"authority\", \"front-end\"]\nexpected = true",
        &[(
            "[[pool.server]]",
            "the server sip.contoso.example is the authority and expected = true; the authority is there first, remove expected",
        )],
    );
}

#[test]
fn p3_clear_text_is_for_the_authority_alone() {
    check(
        "servers = \"192.0.2.11:5062\"",
        "servers = \"192.0.2.11:5062\"\nhttp = \"192.0.2.11:80\"",
        &[(
            "\"192.0.2.11:80\"",
            "the server fe1.contoso.example has the listener http, which is for the authority alone (revocation lists and the root, which are \
         signed); remove it",
        )],
    );
}

#[test]
fn one_port_is_one_thing() {
    let same = |first, second| {
        format!("the server fe1.contoso.example has {first} and {second} on the same address and port; give each a port of its own")
    };
    check("servers = \"192.0.2.11:5062\"", "servers = \"192.0.2.11:5061\"", &[("\"192.0.2.11:5061\"", &same("sip", "servers"))]);
    check(
        "servers = \"192.0.2.11:5062\"",
        "servers = \"192.0.2.11:5062\"\nhttps = \"0.0.0.0:5062\"",
        &[("\"0.0.0.0:5062\"", &same("servers", "https"))],
    );
    check(
        "servers = \"192.0.2.11:5062\"",
        "servers = \"192.0.2.15:5062\"",
        &[(
            "\"192.0.2.15:5062\"",
            "the server dir1.contoso.example listens at 192.0.2.15:5062 (key servers), and so does fe1.contoso.example; give each an address \
         of its own",
        )],
    );
}

#[test]
fn nobody_is_reached_at_every_address() {
    let unreachable = |server: &str, listener: &str, address: &str| {
        format!(
            "the server {server} has {listener} = \"{address}\", where the other servers cannot reach it; write its own IP address and a port"
        )
    };
    for address in ["0.0.0.0:5062", "[::]:5062", "192.0.2.11:0"] {
        let rule = unreachable("fe1.contoso.example", "servers", address);
        check("\"192.0.2.11:5062\"", &format!("\"{address}\""), &[(&format!("\"{address}\""), &rule)]);
    }
    let rule = unreachable("sip.contoso.example", "https", "0.0.0.0:443");
    check("\"192.0.2.10:443\"", "\"0.0.0.0:443\"", &[("\"0.0.0.0:443\"", &rule)]);
    // Clients find a server by its name, so these may be anything, also twice.
    check("sip = \"192.0.2.11:5061\"", "sip = \"0.0.0.0:5061\"\nhttps = \"[::]:443\"", &[]);
}

#[test]
fn a_server_by_itself_needs_less() {
    let text = r#"version = 1
organisation = "Contoso"
domains = ["contoso.example"]
[[pool]]
name = "contoso.example"
[[pool.server]]
fqdn = "contoso.example"
roles = ["authority", "front-end"]
sip = "0.0.0.0:5061"
"#;
    let topology = Topology::parse(text).unwrap();
    assert_eq!(topology.authority().listeners(), &Listeners { sip: Some(at("0.0.0.0:5061")), ..Listeners::default() });
    assert!(Topology::parse(&text.replace("sip = \"0.0.0.0:5061\"", "servers = \"0.0.0.0:5061\"")).is_err(), "a front end needs sip");
}

#[test]
fn what_grows_has_a_limit() {
    let many: Vec<_> = (0..300).map(|number| format!("\"d{number}.example\"")).collect();
    let text = FIVE.replacen("\"contoso.test\"", &many.join(", "), 1);
    let Faults(faults) = Topology::parse(&text).unwrap_err();
    assert_eq!(faults.len(), 1);
    assert_eq!(
        faults[0].rule.to_string(),
        "the domains take more than 3072 bytes in a certificate; remove some, or divide the organisation"
    );
    let server = |number| format!("[[pool.server]]\nfqdn = \"s{number}.contoso.example\"\nroles = [\"edge\"]\nexpected = true\n");
    let with = |count| format!("{FIVE}[[pool]]\nname = \"many.contoso.example\"\n{}", (0..count).map(server).collect::<String>());
    assert!(Topology::parse(&with(Topology::SERVERS_MAX - 6)).is_ok());
    let faults = Topology::parse(&with(Topology::SERVERS_MAX - 5)).unwrap_err();
    assert_eq!(faults.to_string(), "line 1, column 1: the list has more than 1024 servers");
    let broken = with(500).replace("[\"edge\"]", "[]");
    let Faults(faults) = Topology::parse(&broken).unwrap_err();
    assert_eq!(faults.len(), Topology::FAULTS_MAX);
}

#[test]
fn a_domain_is_allowed_or_blocked_and_never_both() {
    let with = |lists: &str| format!("federation = {{ {lists} }}\ndomains = ");
    check("domains = ", &with("allowed = [\"a.example\"], blocked = [\"b.example\"]"), &[]);
    let both = "\"a.example\"] }";
    check(
        "domains = ",
        &with("allowed = [\"a.example\"], blocked = [\"A.example\"]"),
        &[("\"A.example\"] }", "the domain a.example is both allowed and blocked; take it out of one of the two lists")],
    );
    check("domains = ", &with("allowed = [\"a.example\", \"a.example\"]"), &[(both, "the domain a.example is listed twice")]);
    check(
        "domains = ",
        &with("blocked = [\"contoso.example\"]"),
        &[(
            "\"contoso.example\"] }",
            "the domain contoso.example is one of this organisation's own; only domains of others are allowed or blocked",
        )],
    );
    let many: Vec<_> = (0..=Topology::PARTNERS_MAX).map(|number| format!("\"d{number}.example\"")).collect();
    check(
        "domains = ",
        &with(&format!("blocked = [{}]", many.join(", "))),
        &[("\"d1000.example\"] }", "the list has more than 1000 domains of others")],
    );
}
