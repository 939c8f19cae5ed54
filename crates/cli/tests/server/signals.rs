//! What the server does when a signal comes.

use std::{fs, net::TcpStream};

use crate::common::{phone::Phone, verbund::Verbund};

#[test]
fn sigterm_tells_connections_flushes_state_and_exits_with_0() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let server = Verbund::up(&data, &[]);
    let mut alice = Phone::signed_in(&server, "alice");
    let address = server.said("sip").to_owned();
    let status = server.stop();
    assert_eq!(status.code(), Some(0));
    // What the server last said may be a request or response; then the connection has ended.
    while alice.next().is_some() {}
    assert!(TcpStream::connect(address).is_err());
    assert!(!data.join("admin.sock").exists());
    assert!(!data.join("state.sqlite-wal").exists(), "the log is folded in");
}

#[test]
fn sighup_reads_the_certificate_again() {
    let dir = tempfile::tempdir().unwrap();
    let server = Verbund::up(&dir.path().join("data"), &[]);
    let mut alice = Phone::signed_in(&server, "alice");
    server.signal("HUP");
    server.wait_for_log("server certificate in force");
    // A damaged one is not taken.
    fs::write(server.data().join("server/chain.pem"), "nonsense").unwrap();
    server.signal("HUP");
    server.wait_for_log("the old one stays");
    assert_eq!(alice.register(600), 200, "open connections stay");
    Phone::signed_in(&server, "bob");
    assert_eq!(server.stop().code(), Some(0));
}
