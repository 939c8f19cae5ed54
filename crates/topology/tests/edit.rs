//! Our commands change single lines of an administrator's file and leave the rest alone.
#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;

use pki::Fqdn;
use topology::{
    Listeners, Role, Topology,
    edit::{EditFault, NewServer, add_server, rebase, remove_server, set_listeners},
};

const FIVE: &str = include_str!("five.toml");

fn fqdn(text: &str) -> Fqdn {
    Fqdn::parse(text).unwrap()
}

fn at(text: &str) -> Option<SocketAddr> {
    Some(text.parse().unwrap())
}

fn new(name: &str, role: Role, pool: Option<&str>) -> NewServer {
    NewServer { name: fqdn(name), roles: vec![role], pool: pool.map(fqdn), listeners: Listeners::default(), expected: true }
}

/// `FIVE` with these texts replaced and the version raised, and not a byte else.
fn check(changed: Result<String, EditFault>, changes: &[(&str, &str)]) {
    let mut expected = FIVE.replace("version = 7", "version = 8");
    for (from, to) in changes {
        assert_eq!(expected.matches(from).count(), 1, "{from:?}");
        expected = expected.replace(from, to);
    }
    assert_eq!(changed.unwrap_or_else(|fault| panic!("{fault}")), expected);
    assert_eq!(Topology::parse(&expected).unwrap().version(), 8);
}

/// The last lines of the pool in the east.
const EAST_END: &str = "expected = true\n";
/// The last line.
const END: &str = "servers = \"192.0.2.30:5061\"\n";

const FE3: &str = r#"
[[pool.server]]
fqdn = "fe3.contoso.example"
roles = ["front-end"]
# Added, but not joined yet.
expected = true
"#;

#[test]
fn a_new_front_end_gets_a_pool_of_its_own_name() {
    let pool = format!("{END}\n[[pool]]\nname = \"fe3.contoso.example\"\n{FE3}");
    check(add_server(FIVE, &new("fe3.contoso.example", Role::FrontEnd, None)), &[(END, &pool)]);
}

#[test]
fn a_new_server_joins_the_pool_that_was_named() {
    let added = add_server(FIVE, &new("fe3.contoso.example", Role::FrontEnd, Some("east.contoso.example")));
    let pool = Topology::parse(added.as_ref().unwrap()).unwrap().pool(&fqdn("east.contoso.example")).cloned().unwrap();
    assert_eq!(pool.servers().len(), 3);
    check(added, &[(EAST_END, &format!("{EAST_END}{FE3}"))]);
}

#[test]
fn a_pool_that_is_new_is_made() {
    let added = add_server(FIVE, &new("fe3.contoso.example", Role::FrontEnd, Some("west.contoso.example"))).unwrap();
    let pool = Topology::parse(&added).unwrap().pool(&fqdn("west.contoso.example")).cloned().unwrap();
    assert_eq!(pool.servers()[0].fqdn(), &fqdn("fe3.contoso.example"));
}

#[test]
fn an_application_may_be_there_already() {
    let listeners = Listeners { servers: at("192.0.2.40:5061"), ..Listeners::default() };
    let application = NewServer { listeners, expected: false, ..new("bot.contoso.example", Role::Application, None) };
    let added = Topology::parse(&add_server(FIVE, &application).unwrap()).unwrap();
    let bot = added.server(&fqdn("bot.contoso.example")).unwrap();
    assert_eq!(bot.server_address(), at("192.0.2.40:5061"));
}

#[test]
fn what_cannot_be_added_says_why() {
    let fault = |name: &str, role, pool| add_server(FIVE, &new(name, role, pool)).unwrap_err().to_string();
    assert_eq!(
        fault("fe1.contoso.example", Role::FrontEnd, None),
        "fe1.contoso.example is listed already; choose another name, or remove it first"
    );
    assert_eq!(
        fault("fe3.contoso.example", Role::FrontEnd, Some("fe1.contoso.example")),
        "fe1.contoso.example is a server and no pool; its pool is east.contoso.example"
    );
    assert_eq!(
        fault("fe3.fabrikam.example", Role::FrontEnd, Some("east.contoso.example")),
        "the change would leave a topology with faults:\nline 35, column 8: fe3.fabrikam.example lies in none of the domains \
         (contoso.example, contoso.test), so the CA may not vouch for it; choose a name below one of them, or add its domain to domains"
    );
    assert!(fault("bot.contoso.example", Role::Application, Some("east.contoso.example")).contains("others into a pool of their own"));
    assert!(fault("b.contoso.example", Role::Authority, None).contains("given to 2 servers"));
    let broken = add_server("version = 0", &new("a.test", Role::FrontEnd, None)).unwrap_err().to_string();
    assert!(broken.starts_with("the topology has faults already, correct them first:\nline 1, column 1: missing field"), "{broken}");
}

#[test]
fn a_server_without_a_port_for_servers_has_to_get_one_before_others_come() {
    let single = Topology::single_server(
        "Contoso",
        &fqdn("a.test"),
        &fqdn("sip.a.test"),
        Listeners { sip: at("192.0.2.1:5061"), ..Listeners::default() },
    );
    let text = single.unwrap().to_commented_toml();
    let fault = add_server(&text, &new("fe2.a.test", Role::FrontEnd, None)).unwrap_err().to_string();
    assert!(fault.contains("the server sip.a.test needs the listener servers"), "{fault}");
    let listeners = Listeners { sip: at("192.0.2.1:5061"), servers: at("192.0.2.1:5062"), https: at("192.0.2.1:443"), http: None };
    let text = set_listeners(&text, &fqdn("sip.a.test"), &listeners, true).unwrap();
    assert!(add_server(&text, &new("fe2.a.test", Role::FrontEnd, None)).is_ok());
}

#[test]
fn who_joins_says_where_it_listens() {
    let listeners = Listeners { sip: at("192.0.2.12:5061"), servers: at("192.0.2.12:5062"), https: at("[2001:db8::12]:443"), http: None };
    let lines = "sip = \"192.0.2.12:5061\"\nservers = \"192.0.2.12:5062\"\nhttps = \"[2001:db8::12]:443\"\n";
    let joined = set_listeners(FIVE, &fqdn("fe2.contoso.example"), &listeners, true);
    let server = Topology::parse(joined.as_ref().unwrap()).unwrap().server(&fqdn("fe2.contoso.example")).cloned().unwrap();
    assert!(!server.is_expected());
    assert_eq!(server.listeners(), &listeners);
    check(joined, &[(EAST_END, lines)]);
    check(set_listeners(FIVE, &fqdn("fe2.contoso.example"), &listeners, false), &[(EAST_END, &format!("{lines}{EAST_END}"))]);
}

#[test]
fn who_moves_keeps_the_words_around_its_listeners() {
    let words = FIVE.replace("sip = \"192.0.2.11:5061\"", "  # rack 4\n  sip   = '192.0.2.11:5061'   # left port");
    let listeners = Listeners { sip: at("192.0.2.99:5061"), servers: at("192.0.2.99:5062"), ..Listeners::default() };
    let moved = set_listeners(&words, &fqdn("fe1.contoso.example"), &listeners, true).unwrap();
    assert!(moved.contains("  # rack 4\n  sip   = \"192.0.2.99:5061\"   # left port\nservers = \"192.0.2.99:5062\"\n"), "{moved}");
}

#[test]
fn a_listener_that_is_gone_leaves_the_administrators_remark() {
    let words = FIVE.replace("http = \"192.0.2.10:80\"", "# HTTPS.\nhttp = \"192.0.2.10:80\" # for printers");
    let mut listeners = *Topology::parse(FIVE).unwrap().authority().listeners();
    listeners.http = None;
    let gone = set_listeners(&words, &fqdn("sip.contoso.example"), &listeners, true).unwrap();
    assert!(gone.contains("https = \"192.0.2.10:443\"\n# HTTPS.\n# for printers\n"), "{gone}");
    let plain = words.replace(" # for printers", "");
    let gone = set_listeners(&plain, &fqdn("sip.contoso.example"), &listeners, true).unwrap();
    assert!(gone.contains("https = \"192.0.2.10:443\"\n\n[[pool]]"), "our own explanation goes with its key: {gone}");
}

#[test]
fn a_server_is_removed_with_its_entry_and_what_is_said_about_it() {
    let fe2 = r#"
# ordered, comes in spring
[[pool.server]]
fqdn = "fe2.contoso.example"
roles = ["front-end"]
expected = true
"#;
    check(remove_server(FIVE, &fqdn("fe2.contoso.example")), &[(fe2, "")]);
    let ivr = r#"
[[pool]]
name = "ivr.contoso.example"
[[pool.server]]
fqdn = "ivr.contoso.example"
roles = ["application"]
servers = "192.0.2.30:5061"
"#;
    check(remove_server(FIVE, &fqdn("ivr.contoso.example")), &[(ivr, "")]);
}

#[test]
fn who_cannot_be_removed_is_said_with_the_cure() {
    let fault = |name: &str| remove_server(FIVE, &fqdn(name)).unwrap_err().to_string();
    assert_eq!(
        fault("sip.contoso.example"),
        "sip.contoso.example is the authority, which holds the CA and this list; give that role to another server first"
    );
    assert_eq!(
        fault("fe9.contoso.example"),
        "the topology lists no server named fe9.contoso.example; see the list with `verbund topology show`"
    );
    assert!(
        fault("dir1.contoso.example").contains("the pool edge1.contoso.example has the next hop dir1.contoso.example, which is neither")
    );
    assert_eq!(remove_server(FIVE, &fqdn("east.contoso.example")).unwrap_err(), EditFault::NotListed(fqdn("east.contoso.example")));
}

#[test]
fn lines_end_as_they_did() {
    let windows = FIVE.replace('\n', "\r\n");
    let added = add_server(&windows, &new("fe3.contoso.example", Role::FrontEnd, Some("east.contoso.example"))).unwrap();
    assert_eq!(added.matches('\n').count(), added.matches("\r\n").count());
    assert!(added.contains("expected = true\r\n\r\n[[pool.server]]\r\nfqdn = \"fe3.contoso.example\"\r\n"), "{added}");
    let unfinished = FIVE.trim_end();
    let added = add_server(unfinished, &new("fe3.contoso.example", Role::FrontEnd, None)).unwrap();
    assert!(added.contains("servers = \"192.0.2.30:5061\"\n\n[[pool]]\n"), "{added}");
}

#[test]
fn entries_are_indented_like_their_neighbours() {
    let indented = FIVE.replace("[[pool.server]]\nfqdn", "    [[pool.server]]\n    fqdn");
    let added = add_server(&indented, &new("fe3.contoso.example", Role::FrontEnd, Some("east.contoso.example"))).unwrap();
    assert!(added.contains("\n    [[pool.server]]\n    fqdn = \"fe3.contoso.example\"\n    roles"), "{added}");
}

#[test]
fn entries_in_braces_are_left_alone_and_that_is_said() {
    let braces = r#"version = 1
organisation = "Contoso"
domains = ["contoso.example"]
[[pool]]
name = "sip.contoso.example"
server = [{ fqdn = "sip.contoso.example", roles = ["authority"], servers = "192.0.2.1:5062", https = "192.0.2.1:443" }]
"#;
    assert!(Topology::parse(braces).is_ok());
    assert_eq!(add_server(braces, &new("fe3.contoso.example", Role::FrontEnd, None)).unwrap_err(), EditFault::Inline);
}

#[test]
fn the_version_is_raised_or_the_change_refused() {
    let last = FIVE.replace("version = 7", "version = 9223372036854775807");
    assert_eq!(add_server(&last, &new("fe3.contoso.example", Role::FrontEnd, None)).unwrap_err(), EditFault::LastVersion);
    let remarked = FIVE.replace("version = 7", "version=7 # never by hand");
    assert!(remove_server(&remarked, &fqdn("ivr.contoso.example")).unwrap().contains("\nversion=8 # never by hand\n"));
}

/// `text` with this server at this address, in one more edition.
fn moved(text: &str, server: &str, ip: &str) -> String {
    let listeners = Listeners { sip: at(&format!("{ip}:5061")), servers: at(&format!("{ip}:5062")), ..Listeners::default() };
    set_listeners(text, &fqdn(server), &listeners, true).unwrap()
}

/// An edit of `FIVE` with these texts replaced, as version 8.
fn edit(changes: &[(&str, &str)]) -> String {
    changes.iter().fold(FIVE.replace("version = 7", "version = 8"), |text, (from, to)| text.replace(from, to))
}

const FE1_SIP: &str = "sip = \"192.0.2.11:5061\"";
const FE1_SERVERS: &str = "servers = \"192.0.2.11:5062\"";

#[test]
fn an_edit_is_not_lost_because_servers_moved_or_joined_meanwhile() {
    // Moved twice, so that a listener stands elsewhere in the text; and another one joined.
    let away = set_listeners(
        FIVE,
        &fqdn("fe1.contoso.example"),
        &Listeners { sip: at("192.0.2.77:5061"), servers: at("192.0.2.77:5062"), https: at("192.0.2.77:443"), ..Listeners::default() },
        true,
    );
    let current = moved(&moved(&away.unwrap(), "fe1.contoso.example", "192.0.2.12"), "fe2.contoso.example", "192.0.2.13");
    assert_eq!(Topology::parse(&current).unwrap().version(), 10);
    let offered = edit(&[("# ordered, comes in spring", "# it is here")]);
    let merged = rebase(FIVE, &offered, &current).unwrap().unwrap();
    assert!(merged.contains("# it is here") && merged.contains("version = 11\n"), "{merged}");
    let (merged, current) = (Topology::parse(&merged).unwrap(), Topology::parse(&current).unwrap());
    assert!(merged.servers().eq(current.servers()));
}

#[test]
fn what_an_edit_says_of_a_server_counts_more_than_what_that_says_of_itself() {
    let listeners = |text: &str, name: &str| *Topology::parse(text).unwrap().server(&fqdn(name)).unwrap().listeners();
    let current = moved(FIVE, "fe1.contoso.example", "192.0.2.12");
    let merged = |changes: &[(&str, &str)]| rebase(FIVE, &edit(changes), &current).unwrap().unwrap();
    // It is listed elsewhere; it is taken out; its new address is given to another server.
    let elsewhere = merged(&[(FE1_SIP, "sip = \"192.0.2.14:5061\"")]);
    assert_eq!(listeners(&elsewhere, "fe1.contoso.example").sip, at("192.0.2.14:5061"));
    let removed = remove_server(FIVE, &fqdn("fe1.contoso.example")).unwrap();
    let removed = rebase(FIVE, &removed, &current).unwrap().unwrap();
    assert!(Topology::parse(&removed).unwrap().server(&fqdn("fe1.contoso.example")).is_none());
    let taken = merged(&[("192.0.2.15:", "192.0.2.12:")]);
    assert_eq!(listeners(&taken, "fe1.contoso.example"), listeners(FIVE, "fe1.contoso.example"));
    assert_eq!(listeners(&taken, "dir1.contoso.example").sip, at("192.0.2.12:5061"));
}

#[test]
fn what_another_person_changed_meanwhile_is_not_passed_over() {
    let offered = edit(&[(FE1_SERVERS, "servers = \"192.0.2.11:5099\"")]);
    let remark = edit(&[("# ordered, comes in spring", "# never mind")]);
    let added = add_server(FIVE, &new("fe3.contoso.example", Role::FrontEnd, None)).unwrap();
    let removed = remove_server(FIVE, &fqdn("ivr.contoso.example")).unwrap();
    for current in [remark, added, removed].map(|text| moved(&text, "fe1.contoso.example", "192.0.2.12")) {
        assert_eq!(rebase(FIVE, &offered, &current), Ok(None));
    }
}
