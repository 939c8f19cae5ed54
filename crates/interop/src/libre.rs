//! A current baresip (libre 4.10, PyPI's baresip-python): it checks the server's certificate, chain and name.

use crate::{Account, Event, Heard, Lab, Script, Site};

/// One phone of this kind.
pub struct Libre {
    script: Script,
}

impl Libre {
    /// A phone that only signs in, waits for the server's answer and signs out.
    pub fn sign_in(lab: &Lab, account: &Account, site: &Site) -> Result<(), String> {
        let mut phone = Self::start(lab, account, site, &[]);
        let answer = phone.script.wait_for("signed-in");
        phone.script.wait_for_end();
        match answer["ok"].as_bool() {
            Some(true) => Ok(()),
            _ => Err(answer["why"].to_string() + &phone.script.complaints()),
        }
    }

    /// A phone that signs in and answers one call, speaking a sine of `hz`.
    pub fn answering(lab: &Lab, account: &Account, site: &Site, hz: u32) -> Self {
        Self::start(lab, account, site, &["--answer", "--tone", &hz.to_string()]).signed_in()
    }

    /// A phone that signs in and calls `aor`, speaking a sine of `hz`; it hangs up when it has heard enough.
    pub fn calling(lab: &Lab, account: &Account, site: &Site, hz: u32, aor: &str) -> Self {
        Self::start(lab, account, site, &["--call", aor, "--tone", &hz.to_string()]).signed_in()
    }

    /// Waits until the call stands.
    pub fn wait_for_call(&mut self) {
        self.script.wait_for("established");
    }

    /// Waits for its recording: what it heard, and how libre says that media was protected.
    pub fn heard(&mut self) -> Heard {
        let event = self.script.wait_for("heard");
        let file = event["file"].as_str().expect("a recording has a name");
        Heard::in_file(file.as_ref()).unwrap_or_else(|| panic!("nothing was heard: {event}"))
    }

    fn start(lab: &Lab, account: &Account, site: &Site, role: &[&str]) -> Self {
        let name = format!("libre-{}", account.user);
        let ca = site.ca.display().to_string();
        let recording = lab.path(&format!("{name}.wav")).display().to_string();
        let mut arguments = vec!["--user", &account.user, "--domain", &account.domain, "--password", &account.password];
        let server = site.authority();
        arguments.extend(["--server", &server, "--ca", &ca, "--recording", &recording]);
        arguments.extend(role);
        Self { script: Script::start(lab, &name, "libre.py", &arguments) }
    }

    fn signed_in(mut self) -> Self {
        let event: Event = self.script.wait_for("signed-in");
        assert_eq!(event["ok"], true, "libre signs in: {event} {}", self.script.complaints());
        self
    }
}
