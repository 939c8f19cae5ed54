//! A network of its own for each test: loopback, ports, /etc/hosts and processes that no other test sees.
//!
//! The test runs itself a second time under unshare(1). So tests may run side by side, use the ports and names that people use,
//! and leave nothing behind: when the inner test ends, the kernel ends whatever it had started.

use std::env;
use std::fs::File;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use crate::lab::{Lab, profile_dir, target_dir};
use crate::names;
use crate::process::{Program, must_run, run};
use crate::script::python;

/// Set for the inner run.
const INSIDE: &str = "INTEROP_INSIDE";
/// Path of the verbund program under test; without it the tests build one.
pub(crate) const VERBUND_BIN: &str = "VERBUND_BIN";
/// Set by `cargo xtask test`, which has installed everything: then a missing program is a failure.
const REQUIRED: &str = "INTEROP_REQUIRED";
/// No test takes this long.
const TEST_SECONDS_MAX: Duration = Duration::from_secs(150);
/// Each of them is in a Debian package that `cargo xtask test` installs.
const PROGRAMS: [&str; 10] = ["ip", "unshare", "baresip", "linphone-daemon", "sipp", "tshark", "socat", "openssl", "curl", "kamailio"];
/// Where servers are, which is not in everybody's PATH.
const SERVERS_DIR: &str = "/usr/sbin";

/// Runs `test` in namespaces of its own: network, mounts and processes. The test's name is the one of the function around it.
///
/// Where the kernel does not permit that, or programs are missing, the test is passed over with one line, except where everything
/// must be there: under `CI=true`, and for programs under `cargo xtask test`.
pub fn in_own_network<T: FnOnce(&Lab)>(test: T) {
    let name = name_of::<T>();
    if env::var_os(INSIDE).is_some() {
        return inside(name, test);
    }
    let in_ci = env::var("CI").is_ok_and(|value| value == "true");
    match unfit() {
        None => outside(name),
        Some(Unfit::Programs(why)) if !in_ci && env::var_os(REQUIRED).is_none() => pass_over(name, &why),
        Some(Unfit::Kernel(why)) if !in_ci => pass_over(name, &why),
        Some(Unfit::Kernel(why) | Unfit::Programs(why)) => panic!("{why}"),
    }
}

/// Why real clients cannot run here.
#[derive(Clone)]
enum Unfit {
    Programs(String),
    Kernel(String),
}

fn unfit() -> Option<Unfit> {
    static ANSWER: OnceLock<Option<Unfit>> = OnceLock::new();
    ANSWER.get_or_init(|| missing_programs().map(Unfit::Programs).or_else(|| forbidden().map(Unfit::Kernel))).clone()
}

fn missing_programs() -> Option<String> {
    let path = env::var_os("PATH").unwrap_or_default();
    let dirs: Vec<PathBuf> = env::split_paths(&path).chain([SERVERS_DIR.into()]).collect();
    let there = |program: &&str| dirs.iter().any(|dir| dir.join(program).is_file());
    let mut missing: Vec<String> = PROGRAMS.iter().filter(|program| !there(program)).map(|program| (*program).to_owned()).collect();
    if !python().is_file() {
        missing.push(python().display().to_string());
    }
    (!missing.is_empty()).then(|| format!("not installed: {} (`cargo xtask test` installs them)", missing.join(" ")))
}

fn forbidden() -> Option<String> {
    let (good, said) = run(own_namespaces().arg("true"));
    (!good).then(|| format!("namespaces are not permitted here: {}", said.trim()))
}

#[expect(clippy::print_stderr, reason = "someone reads the test run and must know what was not tested")]
fn pass_over(name: &str, why: &str) {
    eprintln!("{name}: passed over, {why}");
}

/// `unshare` with namespaces of its own, for root and for others (who become root of a user namespace).
fn own_namespaces() -> Command {
    let mut command = Command::new("unshare");
    if !am_root() {
        command.arg("--map-root-user");
    }
    command.args(["--net", "--mount", "--pid", "--fork", "--kill-child", "--"]);
    command
}

fn am_root() -> bool {
    run(Command::new("id").arg("-u")).1.trim() == "0"
}

/// Runs this test once more, inside, and says how that went.
fn outside(name: &str) {
    let lab = Lab::fresh(name);
    let mut command = own_namespaces();
    command.arg(env::current_exe().expect("a running program has a path"));
    command.args(["--exact", name, "--nocapture", "--test-threads=1"]).env(INSIDE, "1").env(VERBUND_BIN, verbund());
    let mut inner = Program::start(&lab, "test", &mut command);
    let status = inner.wait_for_end_within(TEST_SECONDS_MAX);
    let said = inner.printed();
    // "1 passed" too: a name that matches no test would otherwise succeed.
    if !status.success() || !said.contains("1 passed") {
        let lines: Vec<&str> = said.lines().collect();
        panic!("{}\nlogs (/mnt above): {}", lines[lines.len().saturating_sub(40)..].join("\n"), lab.dir().display());
    }
}

fn inside(name: &str, test: impl FnOnce(&Lab)) {
    let lab = Lab::open(name).mounted();
    must_run(Command::new("ip").args(["link", "set", "lo", "up"]));
    bind(&lab.file(names::FILE, &names::hosts()), "/etc/hosts");
    bind(&lab.file(names::SERVERS_FILE, &names::servers(Ipv4Addr::LOCALHOST)), "/etc/resolv.conf");
    names::answer();
    test(&lab);
}

/// Puts `file` in the place of a system file, for this test's eyes only.
fn bind(file: &Path, target: &str) {
    if Path::new(target).exists() {
        must_run(Command::new("mount").args(["--bind", &file.display().to_string(), target]));
    }
}

/// The program under test. It is built once for all tests unless someone (xtask) says where it is.
fn verbund() -> String {
    static PATH: OnceLock<String> = OnceLock::new();
    PATH.get_or_init(|| env::var(VERBUND_BIN).unwrap_or_else(|_| build_verbund())).clone()
}

fn build_verbund() -> String {
    // Cargo's own lock makes several test programs wait for each other here. The whole workspace is named so that the features of
    // shared dependencies are those of the test run and nothing is built twice.
    let mut cargo = Command::new(env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()));
    cargo.args(["build", "--quiet", "--workspace", "--bin", "verbund"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    cargo.arg("--target-dir").arg(target_dir()).stdin(Stdio::null());
    if profile_dir().ends_with("release") {
        cargo.arg("--release");
    }
    let lock = File::create(target_dir().join(".interop-build")).expect("the target folder can be written");
    lock.lock().expect("a file can be locked");
    must_run(&mut cargo);
    profile_dir().join("verbund").display().to_string()
}

/// The name libtest knows the calling test by: the closure's type is `program::module::test::{{closure}}`.
fn name_of<T>() -> &'static str {
    let path = std::any::type_name::<T>();
    let path = path.strip_suffix("::{{closure}}").unwrap_or(path);
    path.split_once("::").map_or(path, |(_program, name)| name)
}
