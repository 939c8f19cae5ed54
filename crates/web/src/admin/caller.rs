//! Who administers: for the audit log, which is to name a person and not a door.
//!
//! The kernel says whose the process at the other end of the admin socket is, and with which account that person came to this
//! machine, which `sudo` does not change. The name goes with the task that does what was asked, and with what that task has carried
//! through ([`to_the_end`](crate::to_the_end)).

use std::fs;

use tokio::net::unix::UCred;
use tokio::task::futures::TaskLocalFuture;

/// Where the names of local accounts are.
const ACCOUNTS: &str = "/etc/passwd";
/// What the kernel says of a process that nobody came to this machine for.
const NOBODY: u32 = u32::MAX;

tokio::task_local! {
    static CALLER: String;
}

/// The administrator for whom the running task works, like `anna (uid 1000)`.
pub fn caller() -> String {
    CALLER.try_with(Clone::clone).unwrap_or_else(|_| "unknown".to_owned())
}

/// Whoever runs this process: for commands that need no server.
pub fn local_user() -> String {
    let uid = fs::metadata("/proc/self").map(|facts| std::os::unix::fs::MetadataExt::uid(&facts));
    uid.map_or_else(|_| "unknown".to_owned(), |uid| named(uid, login_of("self")))
}

/// Work that is done for the process at the other end of a socket.
pub(crate) fn for_caller<F: Future>(peer: &UCred, work: F) -> TaskLocalFuture<String, F> {
    let login = peer.pid().and_then(|pid| login_of(&pid.to_string()));
    CALLER.scope(named(peer.uid(), login), work)
}

/// Work that is done for whom the running task works.
pub(crate) fn as_caller<F: Future>(work: F) -> TaskLocalFuture<String, F> {
    CALLER.scope(caller(), work)
}

/// The account that somebody came to this machine with, whatever account the process has by now (Linux audit).
fn login_of(process: &str) -> Option<u32> {
    let text = fs::read_to_string(format!("/proc/{process}/loginuid")).ok()?;
    text.trim().parse().ok().filter(|login| *login != NOBODY)
}

fn named(uid: u32, login: Option<u32>) -> String {
    let accounts = fs::read_to_string(ACCOUNTS).unwrap_or_default();
    let account = account(&accounts, uid);
    match login.filter(|login| *login != uid) {
        Some(login) => format!("{account}, logged in as {}", self::account(&accounts, login)),
        None => account,
    }
}

fn account(accounts: &str, uid: u32) -> String {
    let has_it = |line: &&str| line.split(':').nth(2).and_then(|field| field.parse().ok()) == Some(uid);
    let name = accounts.lines().find(has_it).and_then(|line| line.split(':').next());
    let is_plain = |name: &&str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.$".contains(&byte));
    match name.filter(is_plain) {
        Some(name) => format!("{name} (uid {uid})"),
        // Kept somewhere else than here (LDAP); the number says who.
        None => format!("uid {uid}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "root:x:0:0:root:/root:/bin/sh\nanna:x:1000:1000::/home/anna:/bin/sh\nb\u{1b}b:x:7:7::/:/bin/sh\nhalf:x\n";

    #[track_caller]
    fn check(uid: u32, wanted: &str) {
        assert_eq!(account(FILE, uid), wanted);
    }

    #[test]
    fn an_account_is_called_by_its_name_and_number() {
        check(0, "root (uid 0)");
        check(1000, "anna (uid 1000)");
        check(7, "uid 7");
        check(4711, "uid 4711");
    }

    #[test]
    fn who_became_root_is_named_too() {
        assert!(named(0, Some(0)).ends_with("(uid 0)"));
        assert!(named(0, Some(4_000_000_000)).ends_with(", logged in as uid 4000000000"));
    }

    #[tokio::test]
    async fn the_name_goes_with_the_work_and_not_with_others() {
        assert_eq!(caller(), "unknown");
        let inner = CALLER.scope("anna".into(), async { tokio::spawn(as_caller(async { caller() })).await.ok() });
        assert_eq!(inner.await.as_deref(), Some("anna"));
        assert_eq!(tokio::spawn(async { caller() }).await.ok().as_deref(), Some("unknown"));
    }
}
