//! PJSIP 2.15 (PyPI's pjsua2-python), TLS 1.2 only: both phones in one process, where they may share one TLS connection.

use crate::{Account, Event, Heard, Lab, Script, Site};

/// A process with one or two phones of this kind.
pub struct Pjsip {
    script: Script,
}

impl Pjsip {
    /// One phone that only signs in: the status code of the answer (0: there was none) and its reason.
    pub fn sign_in(lab: &Lab, account: &Account, site: &Site) -> (i64, String) {
        let mut phone = Self::start(lab, &[account], site);
        let event = phone.script.wait_for("signed-in");
        phone.script.wait_for_end();
        (event["code"].as_i64().unwrap_or_default(), event["reason"].to_string())
    }

    /// Two phones that sign in, write, call, hold, resume and hang up.
    pub fn conversation(lab: &Lab, caller: &Account, callee: &Account, site: &Site) -> Self {
        Self::start(lab, &[caller, callee], site)
    }

    /// The next event of this name.
    pub fn wait_for(&mut self, event: &str) -> Event {
        self.script.wait_for(event)
    }

    /// Waits for the recording that belongs to the next `heard` event: whose it is, and what it holds.
    pub fn heard(&mut self) -> (String, Heard) {
        let event = self.script.wait_for("heard");
        let text = |key: &str| event[key].as_str().unwrap_or_else(|| panic!("no {key} in {event}"));
        let heard = Heard::in_file(text("file").as_ref()).unwrap_or_else(|| panic!("nothing was heard: {event}"));
        (text("user").to_owned(), heard)
    }

    /// The sine that a phone speaks, by its place in the process.
    pub const TONES_HZ: [u32; 2] = [520, 1100];

    fn start(lab: &Lab, accounts: &[&Account], site: &Site) -> Self {
        let dir = lab.folder("pjsip").display().to_string();
        let (server, ca) = (site.authority(), site.ca.display().to_string());
        let mut arguments = vec!["--server", &server, "--ca", &ca, "--dir", &dir, "--domain", &accounts[0].domain];
        for (account, hz) in accounts.iter().zip(Self::TONES_HZ) {
            crate::write_tone(&lab.path(&format!("pjsip/{}-speaks.wav", account.user)), hz, 60);
            arguments.extend(["--account", &account.user, &account.password]);
        }
        Self { script: Script::start(lab, "pjsip-process", "pjsip.py", &arguments) }
    }
}
