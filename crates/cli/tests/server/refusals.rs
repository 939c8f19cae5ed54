//! What strangers, applications and liars get from running servers: nothing (rows N12, N29, N30, N31).

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::Path,
    process::Command,
    sync::Arc,
    time::Duration,
};

use pki::{Anchors, Key, Revocation};
use rustls::time_provider::DefaultTimeProvider;
use serde_json::Value;
use trust::tls::{ClientIdentity, client_config};
use web::{
    client::Target,
    control::{ControlClient, ControlError, Held, InForce, Update},
};

use crate::{
    common::{
        clock::program_ahead_by,
        phone::Phone,
        verbund::{PATIENCE, Verbund},
    },
    network::wait_until,
};

#[test]
fn n12_clear_text_on_any_port_is_closed_without_a_word_and_nothing_of_it_is_parsed() {
    let dir = tempfile::tempdir().unwrap();
    let server = Verbund::up(&dir.path().join("data"), &[]);
    let said = ["OPTIONS sip:verbund.test SIP/2.0\r\nContent-Length: 0\r\n\r\n", "GET / HTTP/1.1\r\nHost: sip.verbund.test\r\n\r\n"];
    for (port, words) in ["sip", "servers", "https"].iter().flat_map(|port| said.map(|words| (port, words))) {
        let mut stream = TcpStream::connect(server.said(port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(words.as_bytes()).unwrap();
        let mut heard = Vec::new();
        // A reset is an end too.
        let _ = stream.read_to_end(&mut heard);
        // A TLS alert (RFC 8446 §6) is all that may come.
        assert!(heard.is_empty() || (heard[0] == 21 && heard.len() == 7), "{port}: {:?}", String::from_utf8_lossy(&heard));
    }
    Phone::signed_in(&server, "alice");
}

/// The authority's HTTPS as somebody with this certificate sees it, or without one.
fn door(server: &Verbund, identity: Option<ClientIdentity<'_>>) -> Target {
    let anchors = Anchors::from_pem(&fs::read_to_string(server.data().join("ca.pem")).unwrap()).unwrap();
    let tls = client_config(anchors, Revocation::none(), identity, Arc::new(DefaultTimeProvider)).unwrap();
    let address = server.said("https").parse().unwrap();
    Target { address, name: "sip.verbund.test".parse().unwrap(), port: 8443, tls }
}

/// What is said to whoever asks for the feed: the first thing of it, or the status of a refusal.
fn asks_for_the_feed(target: Target) -> Result<Update, u16> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let refused = |error| match error {
        ControlError::Refused { status, .. } => status.as_u16(),
        other => panic!("{other}"),
    };
    runtime.block_on(async {
        let client = ControlClient::connect(target).await.unwrap();
        assert_eq!(client.ack(&InForce::default()).await.map_err(refused).is_ok(), client.feed(&Held::default()).await.is_ok());
        let mut feed = client.feed(&Held::default()).await.map_err(refused)?;
        Ok(feed.next().await.unwrap())
    })
}

#[test]
fn n30_neither_strangers_nor_applications_are_told_the_list() {
    let Pair { dir, authority, member } = Pair::new();
    authority.json(&["server", "add", "app.verbund.test", "--role", "application"]);
    let key = Key::generate().unwrap();
    let request = dir.path().join("app.csr");
    fs::write(&request, pki::certificate_request_pem(&key, &["app.verbund.test".parse().unwrap()]).unwrap()).unwrap();
    let chain = authority.command(&["server", "sign", "app.verbund.test", request.to_str().unwrap()]);
    let chain = pki::certificates_from_pem(&chain).unwrap();
    assert_eq!(asks_for_the_feed(door(&authority, None)), Err(403));
    assert_eq!(asks_for_the_feed(door(&authority, Some(ClientIdentity { chain, key: &key }))), Err(403));
    // And who may: the member, by the certificate that it has.
    let read = |name: &str| fs::read_to_string(member.data().join("server").join(name)).unwrap();
    let (chain, key) = (pki::certificates_from_pem(&read("chain.pem")).unwrap(), Key::from_pem(&read("key.pem")).unwrap());
    assert!(matches!(asks_for_the_feed(door(&authority, Some(ClientIdentity { chain, key: &key }))), Ok(Update::Bundle { .. })));
}

/// An authority and a member; the member stays up.
struct Pair {
    dir: tempfile::TempDir,
    authority: Verbund,
    member: Verbund,
}

impl Pair {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let authority = Verbund::up(&dir.path().join("authority"), &[]);
        let string = authority.json(&["server", "add", "fe2.verbund.test"])["join"].as_str().unwrap().to_owned();
        let member = Verbund::join(&string, &dir.path().join("member"));
        Self { dir, authority, member }
    }
}

fn copy_dir(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
}

/// Publishes the topology in force with this change, in this version.
fn publish(authority: &Verbund, dir: &Path, version: u64, from: &str, to: &str) {
    let shown = authority.json(&["topology", "show"]);
    let old = shown["version"].as_u64().unwrap();
    let text = shown["document"].as_str().unwrap().replacen(&format!("version = {old}"), &format!("version = {version}"), 1);
    assert!(text.contains(from), "{text}");
    let file = dir.join("next.toml");
    fs::write(&file, text.replacen(from, to, 1)).unwrap();
    authority.json(&["topology", "publish", file.to_str().unwrap()]);
}

fn fe2(authority: &Verbund) -> Value {
    let members = authority.json(&["topology", "status"]);
    members.as_array().unwrap().iter().find(|member| member["name"] == "fe2.verbund.test").cloned().unwrap()
}

#[test]
fn n29_a_list_that_follows_another_one_is_refused_and_its_authority_hears_why() {
    let Pair { dir, authority, member } = Pair::new();
    wait_until("the member has what there is", || fe2(&authority)["lag"] == 0);
    let (data, addresses) = (authority.data(), ["sip", "https"].map(|key| authority.said(key).to_owned()));
    let before = authority.json(&["topology", "show"])["version"].as_u64().unwrap();
    assert_eq!(authority.stop().code(), Some(0));
    // Somebody keeps a copy, and starts it again after more was published.
    let copy = dir.path().join("copy");
    copy_dir(&data, &copy);
    let start = |data: &Path| Verbund::up_at(data, &["--listen", &addresses[0], "--https", &addresses[1]]);
    let authority = start(&data);
    publish(&authority, dir.path(), before + 1, "media = \"require\"", "media = \"support\"");
    wait_until("the member has the true one", || fe2(&authority)["topology"] == before + 1);
    assert_eq!(authority.stop().code(), Some(0));
    // Before a member could tell it what there is by now: an authority that is behind takes that up.
    let (member_data, member_at) = (member.data(), ["sip", "https"].map(|key| member.said(key).to_owned()));
    assert_eq!(member.stop().code(), Some(0));
    let liar = start(&copy);
    publish(&liar, dir.path(), before + 1, "media = \"require\"", "media = \"require\" # another one");
    let member = Verbund::up_at(&member_data, &["--listen", &member_at[0], "--https", &member_at[1]]);
    wait_until("the member is on the line", || fe2(&liar)["state"] == "joined");
    // What follows that one does not follow what the member has, though the number does.
    publish(&liar, dir.path(), before + 2, "# another one", "# one that follows it");
    let mut refused = Value::Null;
    wait_until("the refusal is told", || {
        refused = fe2(&liar)["refused"][0].clone();
        refused["document"] == "topology"
    });
    assert!(refused["reason"].as_str().unwrap().contains("topology"), "{refused}");
    assert!(liar.command(&["topology", "status"]).contains("fe2.verbund.test refused the topology"), "people see it too");
    assert!(member.log().contains("the last good one stays in force"));
    assert_eq!(fe2(&liar)["topology"], before + 1);
    // A version that does not pretend to follow directly is taken, and the alarm is over.
    publish(&liar, dir.path(), before + 4, "# one that follows it", "# a third");
    wait_until("the member has it", || fe2(&liar)["topology"] == before + 4 && fe2(&liar)["refused"].is_null());
}

#[test]
fn n31_with_stale_lists_servers_refuse_each_other_and_phones_are_served() {
    // Four days and half a day of grace are over, and the authority does not come back.
    let ahead = Duration::from_hours(5 * 24);
    let Pair { dir, authority, member } = Pair::new();
    let string = authority.json(&["server", "add", "fe3.verbund.test"])["join"].as_str().unwrap().to_owned();
    let third = Verbund::join(&string, &dir.path().join("third"));
    let made = authority.json(&["user", "add", "carla", "--pool", "fe2.verbund.test"]);
    wait_until("the member knows carla", || member.command(&["user", "list"]).contains("carla"));
    assert_eq!(authority.stop().code(), Some(0));
    let again = |server: Verbund| {
        let (data, sip, https) = (server.data(), server.said("sip").to_owned(), server.said("https").to_owned());
        assert_eq!(server.stop().code(), Some(0));
        Verbund::up_by(program_ahead_by(ahead), &data, &["--listen", &sip, "--https", &https])
    };
    let (member, third) = (again(member), again(third));
    wait_until("the reason is in the log", || {
        member.log().contains("stale_revocation_list") || third.log().contains("stale_revocation_list")
    });
    std::thread::sleep(Duration::from_millis(500));
    for server in [&member, &third] {
        let links = server.json(&["status"])["links"].clone();
        assert!(links.as_array().unwrap().iter().all(|link| link["state"] != "up"), "{links}");
    }
    let mut phone = Phone::connect(&member, "carla", made["password"].as_str().unwrap());
    assert_eq!(phone.register(600), 200);
}
