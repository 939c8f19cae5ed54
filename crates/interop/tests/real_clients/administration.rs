//! What an administrator does and sees while real phones are signed in.

use std::process::Command;

use interop::{Baresip, Lab, Linphone, Media, Program, Server, in_own_network, wait_until};

fn baresip(lab: &Lab, server: &Server, seat: u16, user: &str, contact: &str) -> Baresip {
    let contact = server.account(contact).aor();
    let mut phone = Baresip::start(lab, seat, &server.account(user), &server.site(), Media::Sdes, 440, &contact);
    phone.sign_in();
    phone
}

#[test]
fn status_tells_who_is_signed_in_and_how_connections_are_protected() {
    in_own_network(|lab| {
        let server = Server::start(lab);
        let _bob = baresip(lab, &server, 1, "bob", "alice");
        let mut alice = Linphone::start(lab, &server.account("alice"), &server.site(), 700);
        alice.sign_in();
        let status = server.status();
        assert_eq!(status.signed_in(), ["sip:alice@verbund.test", "sip:bob@verbund.test"], "{status}");
        let versions = ["TLS 1.2", "TLS 1.3"].map(|version| status.to_string().contains(version));
        assert_eq!(versions, [true, true], "Linphone speaks the one, baresip the other: {status}");
    });
}

#[test]
fn a_removed_user_is_cut_off_at_once_and_stays_out() {
    in_own_network(|lab| {
        let server = Server::start(lab);
        let mut alice = baresip(lab, &server, 1, "alice", "bob");
        let mut bob = baresip(lab, &server, 2, "bob", "alice");
        server.command(&["user", "remove", "alice"]);
        let status = server.status();
        assert_eq!(status.signed_in(), ["sip:bob@verbund.test"], "{status}");
        bob.dial("sip:alice@verbund.test");
        let why = bob.wait_for_call_end();
        assert!(why.starts_with("404"), "nobody is called by that name any more: {why}");
        assert!(alice.stayed_silent());
        alice.try_sign_in().expect_err("the account is gone");
    });
}

#[test]
fn a_new_password_ends_the_sessions_of_the_old_one() {
    in_own_network(|lab| {
        let server = Server::start(lab);
        let mut alice = baresip(lab, &server, 1, "alice", "bob");
        let answer = server.command(&["user", "password", "alice", "--json"]);
        assert!(server.status().signed_in().is_empty());
        alice.try_sign_in().expect_err("the old password is no longer one");
        drop(alice);
        let account = server.account("alice").with_password(&Server::password_in(&answer));
        let mut phone = Baresip::start(lab, 2, &account, &server.site(), Media::Sdes, 440, "sip:bob@verbund.test");
        phone.sign_in();
    });
}

#[test]
fn the_ready_made_account_files_sign_phones_in() {
    in_own_network(|lab| {
        let server = Server::start(lab);
        lab.plug_in_network_card();
        let accounts = server.data().join("accounts");
        let mut command = Command::new("baresip");
        let _bob = Program::start(lab, "ready-made-baresip", command.arg("-f").arg(accounts.join("bob/baresip")));
        // Without these two folders in its home Linphone opens no TLS port and cannot sign in.
        lab.folder("home/.config/linphone");
        lab.folder("home/.local/share/linphone");
        let mut command = Command::new("linphone-daemon");
        command.arg("--config").arg(accounts.join("alice/linphonerc")).env("HOME", lab.path("home"));
        let _alice = Program::start_waiting(lab, "ready-made-linphone", &mut command);
        wait_until("both phones in verbund's status", || (server.status().signed_in().len() == 2).then_some(()));
    });
}

#[test]
fn a_second_start_finds_users_passwords_and_certificates_again() {
    in_own_network(|lab| {
        let first = Server::start(lab);
        let (account, root) = (first.account("alice"), std::fs::read(first.ca()).expect("a root"));
        assert!(first.stop().success());
        let second = Server::start(lab);
        assert_eq!(second.account("alice").password, account.password);
        assert_eq!(std::fs::read(second.ca()).expect("a root"), root);
        baresip(lab, &second, 1, "alice", "bob");
    });
}
