//! What a start says when the server is ready: one line of JSON for scripts, or one page for people.

use std::{fmt::Write as _, net::IpAddr};

use serde::Serialize;

use super::{Account, Seat, Start};
use crate::output::Paint;

/// The one line of `--json`; its keys stay as they are.
#[derive(Debug, Serialize)]
pub(super) struct Ready {
    domain: String,
    server_name: String,
    sip: String,
    /// Where other servers connect.
    servers: String,
    https: String,
    ca: String,
    data: String,
    users: Vec<User>,
}

/// `Debug` is not derived: a password is in it.
#[derive(Serialize)]
struct User {
    aor: String,
    /// `null` where it is known to nobody but the user.
    password: Option<String>,
}

impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "User({})", self.aor)
    }
}

impl Ready {
    pub(super) fn of(start: &Start) -> Self {
        let site = &start.site;
        let user = |account: &Account| User {
            aor: format!("sip:{}@{}", account.user, site.domain),
            password: account.password.as_ref().map(|password| password.expose().to_owned()),
        };
        Self {
            domain: site.domain.to_string(),
            server_name: site.server_name.to_string(),
            sip: start.taken.sip.to_string(),
            servers: start.taken.servers.to_string(),
            https: start.taken.https.to_string(),
            ca: site.ca.display().to_string(),
            data: start.layout.data().display().to_string(),
            users: start.users.iter().map(user).collect(),
        }
    }
}

// Writing to a String cannot fail, hence the results that are let go below.

/// What the next commands about this server are made of.
pub(super) struct Afterwards {
    /// This program as it was called.
    pub(super) program: String,
    /// ` --data DIR` where the directory is not the usual one, else nothing.
    pub(super) data: String,
}

impl Afterwards {
    fn command(&self, words: &str) -> String {
        format!("{} {words}{}", self.program, self.data)
    }
}

pub(super) fn for_people(start: &Start, after: &Afterwards, paint: Paint) -> String {
    let mut text = String::new();
    let (site, data) = (&start.site, start.layout.data().display());
    let verb = match (&start.seat, start.is_first) {
        (Seat::Authority(_), true) => "made and running".to_owned(),
        (Seat::Authority(_), false) => "running".to_owned(),
        (Seat::Member(_), true) => format!("joined: {} is running", site.server_name),
        (Seat::Member(_), false) => format!("served: {} is running", site.server_name),
    };
    let _ = writeln!(text, "\n{} is {verb}.\n", paint.bold(&site.domain));
    let _ = writeln!(text, "  SIP over TLS  {}  (certificate: {})", start.taken.sip, site.server_name);
    let _ = writeln!(text, "  for servers   {}  (mutual TLS)", start.taken.servers);
    let _ = writeln!(text, "  HTTPS         https://{}/  (health, metrics, ca.pem)", start.taken.https);
    let _ = writeln!(text, "  data          {data}");
    let media = if site.srtp_required { "must be encrypted (SRTP)" } else { "encrypted if both sides can" };
    let _ = writeln!(text, "  calls         {media}\n");
    users(&mut text, start, after, paint);
    phones(&mut text, start, paint);
    elsewhere(&mut text, start, paint);
    let _ = writeln!(text, "{}", paint.bold("Look after it from another terminal"));
    for words in ["status", "user add NAME", "cert show"] {
        let _ = writeln!(text, "  {}", after.command(words));
    }
    let _ = writeln!(text, "\nCtrl-C ends it in order.\n");
    text
}

/// How many users the page lists before it points to `verbund user list`.
const SHOWN_MAX: usize = 20;

fn users(text: &mut String, start: &Start, after: &Afterwards, paint: Paint) {
    let _ = writeln!(text, "{}", paint.bold("Users"));
    for account in start.users.iter().take(SHOWN_MAX) {
        let is_new = start.is_first || start.added.contains(&account.user);
        let note = match (&account.password, is_new) {
            (Some(password), true) => format!("password {}   (shown this once)", password.expose()),
            (Some(_), false) => "password in the account files".to_owned(),
            (None, _) => format!("password not known here; new one: {}", after.command(&format!("user password {}", account.user))),
        };
        let added = if start.added.contains(&account.user) { "added; " } else { "" };
        let _ = writeln!(text, "  sip:{}@{}   {added}{note}", account.user, start.site.domain);
    }
    if start.users.len() > SHOWN_MAX {
        let _ = writeln!(text, "  and {} more: {}", start.users.len() - SHOWN_MAX, after.command("user list"));
    }
    text.push('\n');
}

/// What to type to sign in from this machine.
fn phones(text: &mut String, start: &Start, paint: Paint) {
    let Some(account) = start.users.iter().find(|account| account.password.is_some()) else { return };
    let accounts = start.layout.accounts();
    let folder = accounts.folder(&account.user);
    let site = &start.site;
    let _ = writeln!(text, "{} (ready-made files for each user in {})", paint.bold("Sign in on this machine"), accounts.path().display());
    let _ = writeln!(text, "  baresip   baresip -f {}", folder.join("baresip").display());
    let _ = writeln!(text, "  Linphone  linphone --config {}", folder.join("linphonerc").display());
    let _ = writeln!(text, "            after: echo '{} {}' | sudo tee -a /etc/hosts", site.local_address().ip(), site.server_name);
    // A command-line Linphone that never ran before finds no folder of its own and gives up on TLS without a word.
    let _ = writeln!(text, "                   mkdir -p ~/.local/share/linphone ~/.config/linphone");
    let _ = writeln!(
        text,
        "  others    sip:{}@{} at {}:{} over TLS, trusting {}\n",
        account.user,
        site.domain,
        site.server_name,
        site.sip.port(),
        site.ca.display()
    );
}

/// What a phone on another machine needs.
fn elsewhere(text: &mut String, start: &Start, paint: Paint) {
    let site = &start.site;
    let _ = writeln!(text, "{}", paint.bold("Sign in from another machine"));
    if site.sip.ip().is_loopback() {
        let _ =
            writeln!(text, "  This server is reached from this machine only; start it with --listen ADDRESS:{} first.", site.sip.port());
    }
    let address = match site.sip.ip() {
        ip if ip.is_loopback() || ip.is_unspecified() => "ADDRESS".to_owned(),
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => ip.to_string(),
    };
    let _ = writeln!(text, "  name      DNS, or the line '{address} {}' in its hosts file", site.server_name);
    let _ = writeln!(text, "  trust     {} (the root certificate, nothing secret)", site.ca.display());
    let root = start.holdings.bundle().roots.first().and_then(pki::facts);
    let _ = writeln!(text, "            SHA-256 {}\n", root.map(|root| root.fingerprint.to_string()).unwrap_or_default());
}
