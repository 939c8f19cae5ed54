//! Linphone 5.1 (Debian's linphone-cli): belle-sip and mbedTLS, TLS 1.2 only. It checks the server's certificate and name.
//!
//! Driven through the pipe of linphone-daemon: a line goes there, an answer comes back, events are asked for.

use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command};
use std::time::Duration;

use crate::{Account, Lab, PATIENCE, Program, Site, wait_until, within, write_tone};

/// One running linphone-daemon with one account.
pub struct Linphone {
    program: Program,
    // The daemon also reads commands from here and takes its closing for "quit".
    _stdin: ChildStdin,
    pipe: UnixStream,
    dir: PathBuf,
    user: String,
}

impl Linphone {
    /// Starts the phone of `account`, which will speak a sine of `hz`. It signs in by itself; SRTP is mandatory.
    pub fn start(lab: &Lab, account: &Account, site: &Site, hz: u32) -> Self {
        let name = format!("linphone-{}", account.user);
        let dir = lab.folder(&name);
        write_tone(&dir.join("tone.wav"), hz, 60);
        lab.file(&format!("{name}/linphonerc"), &config(account, site));
        for place in [".local/share/linphone", ".config/linphone"] {
            lab.folder(&format!("{name}/{place}"));
        }
        // The daemon puts its socket into /tmp, which the test shares with the machine: the name has to be ours alone.
        let pipe_name = format!("verbund-interop-{:016x}", RandomState::new().hash_one(&name));
        let pipe_path = Path::new("/tmp").join(&pipe_name);
        let _ = fs::remove_file(&pipe_path);
        let mut command = Command::new("linphone-daemon");
        command.arg("--pipe").arg(pipe_name).arg("--config").arg(dir.join("linphonerc")).arg("--log").arg(dir.join("trace"));
        command.env("HOME", &dir).env("XDG_RUNTIME_DIR", &dir).env_remove("DISPLAY");
        let (program, stdin) = Program::start_waiting(lab, &name, &mut command);
        let pipe = wait_until("linphone-daemon's pipe", || UnixStream::connect(&pipe_path).ok());
        let _ = fs::remove_file(&pipe_path);
        pipe.set_read_timeout(Some(PATIENCE)).expect("a socket has a read timeout");
        Self { program, _stdin: stdin, pipe, dir, user: account.user.clone() }
    }

    /// Waits for the answer to its sign-in; what the daemon says if it is no.
    pub fn try_sign_in(&mut self) -> Result<(), String> {
        wait_until("the state of Linphone's sign-in", || {
            let status = self.command("register-status ALL");
            match () {
                () if status.contains("RegistrationOk") => Some(Ok(())),
                () if status.contains("RegistrationFailed") => Some(Err(status)),
                () => None,
            }
        })
    }

    /// Waits for its sign-in, which must succeed.
    pub fn sign_in(&mut self) {
        let answer = self.try_sign_in();
        assert_eq!(answer, Ok(()), "{} signs in; see {}/trace", self.user, self.dir.display());
    }

    /// Writes an instant message.
    pub fn write(&mut self, aor: &str, text: &str) {
        self.command(&format!("message {aor} {text}"));
    }

    /// Waits until `text` has arrived here: its trace shows each message that came in.
    pub fn wait_for_message(&mut self, text: &str) {
        wait_until("a message at Linphone", || self.trace().contains(text).then_some(()));
    }

    /// Calls someone; the number of the call.
    pub fn dial(&mut self, aor: &str) -> u32 {
        let answer = self.command(&format!("call {aor}"));
        number_of(&answer).unwrap_or_else(|| panic!("Linphone does not call: {answer}"))
    }

    /// Waits until it rings; the number of the call.
    pub fn wait_for_ring(&mut self) -> u32 {
        self.wait_for_state("LinphoneCallIncomingReceived")
    }

    /// Answers the call that rings.
    pub fn answer(&mut self, call: u32) {
        self.command(&format!("answer {call}"));
    }

    /// Waits until media flows, then speaks.
    pub fn wait_for_call(&mut self, call: u32) {
        self.wait_for_state("LinphoneCallStreamsRunning");
        let answer = self.command(&format!("incall-player-start {} {call}", self.dir.join("tone.wav").display()));
        assert!(answer.contains("Status: Ok"), "Linphone speaks: {answer}");
    }

    /// Ends the call.
    pub fn hang_up(&mut self, call: u32) {
        self.command(&format!("terminate {call}"));
    }

    /// Waits until the call is over.
    pub fn wait_for_call_end(&mut self) {
        self.wait_for_state("LinphoneCallEnd");
    }

    /// How many bytes of media it took for good in the calls that are over: what arrived and what SRTP could open.
    ///
    /// The daemon cannot record, so this is the nearest to hearing.
    pub fn media_bytes_taken(&self) -> u64 {
        let trace = self.trace();
        // Not its RTCP: baresip 1.0 sends the end of that unprotected.
        assert!(!trace.contains("srtp_unprotect()"), "Linphone could not open media; see {}/trace", self.dir.display());
        let taken = trace.lines().filter_map(|line| line.split_once("incoming delivered to the app"));
        taken.filter_map(|(_, rest)| rest.split_whitespace().next()?.parse::<u64>().ok()).sum()
    }

    /// Its own log: every SIP message and every TLS decision.
    pub fn trace(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.dir.join("trace")).unwrap_or_default()).into_owned()
    }

    /// Waits for a call to get into this state; the number of the call.
    fn wait_for_state(&mut self, state: &str) -> u32 {
        let found = within(PATIENCE, || {
            let event = self.command("pop-event");
            event.lines().any(|line| line.contains(state)).then(|| number_of(&event).unwrap_or_default())
        });
        found.unwrap_or_else(|| panic!("{} waited in vain for {state}; see {}/trace", self.user, self.dir.display()))
    }

    /// One command, one answer (the daemon writes each in one piece).
    fn command(&mut self, line: &str) -> String {
        let mut answer = vec![0; 65_536];
        self.pipe.write_all(format!("{line}\n").as_bytes()).expect("linphone-daemon takes commands");
        let length = self.pipe.read(&mut answer).unwrap_or_default();
        assert!(length > 0, "linphone-daemon answers {line:?}; see {}", self.program.log().display());
        String::from_utf8_lossy(&answer[..length]).into_owned()
    }
}

impl Drop for Linphone {
    fn drop(&mut self) {
        let _ = self.pipe.write_all(b"quit\n");
        within(Duration::from_secs(2), || self.program.ended());
    }
}

/// The number after `Id: `.
fn number_of(answer: &str) -> Option<u32> {
    answer.lines().find_map(|line| line.strip_prefix("Id: "))?.trim().parse().ok()
}

fn config(account: &Account, site: &Site) -> String {
    let Account { user, domain, password } = account;
    let (server, ca) = (site.authority(), site.ca.display());
    format!(
        "[sip]\nsip_port=0\nsip_tcp_port=0\nsip_tls_port=-1\nbind_address=127.0.0.1\nguess_hostname=0\n\
         contact=\"{user}\" <sip:{user}@127.0.0.1>\nauto_net_state_mon=0\nregister_only_when_network_is_up=0\n\
         root_ca={ca}\nverify_server_certs=1\nverify_server_cn=1\nmedia_encryption=srtp\nmedia_encryption_mandatory=1\n\
         use_info=0\ndefault_proxy=0\nkeepalive_period=30000\n\
         [rtp]\nbind_address=127.0.0.1\naudio_rtp_port=21000\nsymmetric=1\n\
         [net]\nmtu=1300\ndns_srv_enabled=0\n\
         [sound]\nremote_ring=\nlocal_ring=\ncapture_dev_id=\nplayback_dev_id=\nechocancellation=0\n\
         [video]\nenabled=0\ncapture=0\ndisplay=0\n\
         [auth_info_0]\nusername={user}\npasswd={password}\nrealm={domain}\ndomain={domain}\n\
         [proxy_0]\nreg_proxy=<sip:{server};transport=tls>\nreg_route=<sip:{server};transport=tls;lr>\n\
         reg_identity=sip:{user}@{domain}\nreg_expires=60\nreg_sendregister=1\npublish=0\n"
    )
}
