//! What publishing would change is told before it happens.
#![allow(clippy::unwrap_used)]

use topology::{Topology, diff, plan};

const FIVE: &str = include_str!("five.toml");

/// The plan from `FIVE` to `FIVE` with these texts replaced and the version raised, without its first line.
fn check(changes: &[(&str, &str)], lines: &[&str]) {
    let mut text = FIVE.replace("version = 7", "version = 8");
    for (from, to) in changes {
        assert!(text.contains(from), "{from:?}");
        text = text.replacen(from, to, 1);
    }
    let plan = plan(&Topology::parse(FIVE).unwrap(), &Topology::parse(&text).unwrap());
    let shown = plan.to_string();
    let mut shown = shown.lines();
    assert_eq!(shown.next(), Some("version 7 -> 8"));
    assert_eq!(shown.collect::<Vec<_>>(), lines);
}

#[test]
fn nothing_is_nothing() {
    check(&[], &["nothing changes"]);
    check(&[("[\"edge\", \"media-relay\"]", "[\"media-relay\", \"edge\"] # turned round")], &["nothing changes"]);
}

#[test]
fn a_new_server_costs_nobody_a_certificate() {
    let block = "[[pool]]\nname = \"fe3.contoso.example\"\n[[pool.server]]\nfqdn = \"fe3.contoso.example\"\nroles = [\"front-end\"]\nexpected = true\n";
    let end = "servers = \"192.0.2.30:5061\"\n";
    check(&[(end, &format!("{end}{block}"))], &["+ server fe3.contoso.example (front-end) in the pool fe3.contoso.example, expected"]);
}

#[test]
fn n15_who_is_removed_is_cut_off() {
    let (head, _) = FIVE.split_at(FIVE.find("[[pool]]\nname = \"ivr").unwrap());
    let plan = plan(&Topology::parse(FIVE).unwrap(), &Topology::parse(&head.replace("version = 7", "version = 8")).unwrap());
    assert_eq!(
        plan.to_string(),
        "version 7 -> 8\n- server ivr.contoso.example\ncut off: ivr.contoso.example; every connection with it is closed on every server\n"
    );
    assert_eq!(
        serde_json::to_value(&plan).unwrap(),
        serde_json::json!({
            "from": 7, "to": 8,
            "changes": [{ "change": "server-removed", "server": "ivr.contoso.example" }],
            "cut_off": ["ivr.contoso.example"],
            "homeless": [], "reissue": [], "new_ca_for": [],
        })
    );
}

#[test]
fn a_new_domain_takes_new_certificates_and_perhaps_a_new_ca() {
    let certificates = ["sip", "fe1", "fe2", "dir1"].map(|host| format!("new certificate: {host}.contoso.example, +"));
    let lines = |domain: &str, ca: bool| {
        let mut lines = vec![format!("+ domain {domain}")];
        lines.extend(certificates.iter().map(|line| format!("{line}{domain}")));
        lines.extend(ca.then(|| format!("new issuing CAs: the present ones may not vouch for {domain}")));
        lines
    };
    for (domain, ca) in [("fabrikam.example", true), ("notcontoso.example", true), ("sales.contoso.example", false)] {
        let lines = lines(domain, ca);
        check(&[("\"contoso.test\"]", &format!("\"contoso.test\", \"{domain}\"]"))], &lines.iter().map(String::as_str).collect::<Vec<_>>());
    }
}

#[test]
fn a_domain_that_goes_takes_its_users_along() {
    check(
        &[(", \"contoso.test\"]", "]")],
        &[
            "- domain contoso.test; users have no address there any more",
            "new certificate: sip.contoso.example, -contoso.test",
            "new certificate: fe1.contoso.example, -contoso.test",
            "new certificate: fe2.contoso.example, -contoso.test",
            "new certificate: dir1.contoso.example, -contoso.test",
        ],
    );
}

#[test]
fn other_roles_and_pools_mean_other_names() {
    check(
        &[
            ("roles = [\"director\"]", "roles = [\"media-relay\"]"),
            ("next-hop = \"east.contoso.example\"  # where it passes on", ""),
            ("next-hop = \"dir1.contoso.example\"", "next-hop = \"fe1.contoso.example\""),
        ],
        &[
            "~ server dir1.contoso.example: roles director -> media-relay",
            "~ pool dir1.contoso.example: next hop east.contoso.example -> none",
            "~ pool edge1.contoso.example: next hop dir1.contoso.example -> fe1.contoso.example",
            "new certificate: dir1.contoso.example, -contoso.example -contoso.test",
        ],
    );
    check(
        &[
            ("name = \"east.contoso.example\"", "name = \"west.contoso.example\""),
            ("\"east.contoso.example\"  #", "\"west.contoso.example\"  #"),
        ],
        &[
            "~ server fe1.contoso.example: pool east.contoso.example -> west.contoso.example",
            "~ server fe2.contoso.example: pool east.contoso.example -> west.contoso.example",
            "~ pool dir1.contoso.example: next hop east.contoso.example -> west.contoso.example",
            "no home any longer: users of the pool east.contoso.example; give them another pool first",
            "new certificate: fe1.contoso.example, +west.contoso.example -east.contoso.example",
            "new certificate: fe2.contoso.example, +west.contoso.example -east.contoso.example",
        ],
    );
}

#[test]
fn moving_and_joining_and_weaker_media_are_told() {
    check(
        &[
            ("expected = true", "sip = \"192.0.2.12:5061\"\nservers = \"192.0.2.12:5062\""),
            ("192.0.2.11:5061", "192.0.2.99:5061"),
            ("http = \"192.0.2.10:80\"\n", ""),
            ("\"Contoso\"", "\"Contoso Ltd\"\nmedia = \"support\"\nlimits.connections = 500"),
        ],
        &[
            "~ server sip.contoso.example: http 192.0.2.10:80 -> none",
            "~ server fe1.contoso.example: sip 192.0.2.11:5061 -> 192.0.2.99:5061",
            "~ server fe2.contoso.example: has joined",
            "~ server fe2.contoso.example: sip none -> 192.0.2.12:5061",
            "~ server fe2.contoso.example: servers none -> 192.0.2.12:5062",
            "~ media require -> support",
            "~ limits connections as the program has it, connections-per-source as the program has it -> connections 500, connections-per-source as the program has it, from each server's next start on",
            "~ organisation \"Contoso\" -> \"Contoso Ltd\"",
        ],
    );
}

#[test]
fn two_versions_are_compared_line_by_line() {
    assert_eq!(diff(("version 7", FIVE), ("version 7", FIVE)), "");
    let new = FIVE.replace("version = 7", "version = 8").replace("servers = \"192.0.2.30:5061\"", "servers = \"192.0.2.31:5061\" # moved");
    let shown = diff(("version 7", FIVE), ("version 8", &new));
    let expected = "--- version 7\n+++ version 8\n@@ -1,5 +1,5 @@\n # The list of Contoso, as its administrator keeps it.\n-version = 7\n+version = 8\n";
    assert!(shown.starts_with(expected), "{shown}");
    let end = " roles = [\"application\"]\n-servers = \"192.0.2.30:5061\"\n+servers = \"192.0.2.31:5061\" # moved\n";
    assert!(shown.ends_with(end), "{shown}");
}
