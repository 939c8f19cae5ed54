//! What the real-client tests need from outside: Debian packages and two PyPI packages.

use anyhow::bail;

use crate::shell::{command, output_of, root, say, step, succeeds, target};

/// Debian 12's names. The phones, tools and servers first, then the programs that fetch certificates, then what leads them.
const DEBIAN: [&str; 21] = [
    "baresip-core",
    "linphone-cli",
    "sip-tester",
    "tshark",
    "socat",
    "kamailio",
    "kamailio-tls-modules",
    "certbot",
    "lego",
    "uacme",
    "strongswan-pki",
    "libstrongswan-standard-plugins",
    "openssl",
    "curl",
    "ca-certificates",
    "iproute2",
    "mount",
    "util-linux",
    "procps",
    "python3-venv",
    "softhsm2",
];

/// Sees to it that everything is there: installs what is missing if it may, else names it.
pub(crate) fn ensure() -> anyhow::Result<()> {
    debian(&DEBIAN)?;
    python()
}

/// libFuzzer is C++.
pub(crate) fn ensure_fuzzing() -> anyhow::Result<()> {
    if succeeds(&mut command("c++ --version")) { Ok(()) } else { debian(&["g++"]) }
}

fn debian(packages: &[&str]) -> anyhow::Result<()> {
    let missing: Vec<&str> = packages.iter().copied().filter(|package| !installed(package)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names = missing.join(" ");
    let Some(apt) = apt() else {
        bail!("Debian packages are missing; as root: apt-get install {names}");
    };
    // Noninteractive also answers tshark's question (who may capture) with its default: root only.
    step("list of Debian packages", &mut command(&format!("{apt} -q -o DPkg::Lock::Timeout=300 update")))?;
    let install = format!("{apt} install -q -y --no-install-recommends -o DPkg::Lock::Timeout=300 {names}");
    step(&format!("Debian packages: {names}"), &mut command(&install))
}

fn installed(package: &str) -> bool {
    let state = output_of(&mut command(&format!("dpkg-query --show --showformat=${{db:Status-Status}} {package}")));
    state.is_ok_and(|state| state == "installed")
}

/// How apt-get is run here, if it may be run at all without asking anyone.
fn apt() -> Option<&'static str> {
    let root = output_of(&mut command("id -u")).is_ok_and(|id| id.trim() == "0");
    if !succeeds(&mut command("apt-get --version")) {
        None
    } else if root {
        Some("env DEBIAN_FRONTEND=noninteractive apt-get")
    } else if succeeds(&mut command("sudo -n true")) {
        Some("sudo -n env DEBIAN_FRONTEND=noninteractive apt-get")
    } else {
        None
    }
}

/// The phones that are Python libraries, in a folder of their own below target/.
fn python() -> anyhow::Result<()> {
    let venv = target().join("interop-venv");
    let python = venv.join("bin/python");
    let wanted = std::fs::read_to_string(root().join("crates/interop/py/requirements.txt"))?;
    let has = output_of(&mut command(&format!("{} -m pip --disable-pip-version-check freeze", python.display()))).unwrap_or_default();
    let missing = wanted.lines().any(|line| !line.starts_with('#') && !has.lines().any(|other| other == line));
    if !missing {
        return Ok(());
    }
    say("== PyPI packages of the real-client tests");
    // Debian's own Python, which the Debian packages above made fit for this; another one first in PATH may lack what it needs.
    step("a folder for them", &mut command(&format!("/usr/bin/python3 -m venv --clear {}", venv.display())))?;
    let install = "-m pip --quiet --disable-pip-version-check install --only-binary :all: -r crates/interop/py/requirements.txt";
    step("libre and PJSIP from PyPI", &mut command(&format!("{} {install}", python.display())))
}
