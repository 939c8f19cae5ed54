//! baresip 1.0 (Debian's baresip-core), without a sound card: it speaks from a WAV file and records what it hears.
//!
//! Driven through its own control port (netstrings of JSON). This version does not check the server's certificate, so it is no
//! witness against a man in the middle; [`Libre`](crate::Libre) is.

use std::collections::VecDeque;
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::{Account, Heard, Host, LOOK_AGAIN, Lab, Program, Site, wait_until, within, write_tone};

/// How a phone protects media.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Media {
    /// SRTP with keys in the SDP (RFC 4568), and nothing else.
    Sdes,
    /// SRTP with keys from a DTLS handshake (RFC 5763).
    Dtls,
    /// Not at all.
    Clear,
}

impl Media {
    fn parameter(self) -> &'static str {
        match self {
            Self::Sdes => ";mediaenc=srtp-mand",
            Self::Dtls => ";mediaenc=dtls_srtp",
            Self::Clear => "",
        }
    }
}

/// One running baresip with one account.
pub struct Baresip {
    program: Program,
    control: TcpStream,
    unread: Vec<u8>,
    events: VecDeque<Value>,
    dir: PathBuf,
    account: Account,
    line: String,
}

impl Baresip {
    /// Where test and phone talk to each other: no part of what is tested.
    pub(crate) const CONTROL_PORTS: std::ops::RangeInclusive<u16> = 4440..=4449;

    /// Starts the phone of `account`, which will speak a sine of `hz` and write its messages to `contact`. It is not signed in yet.
    ///
    /// `seat` tells several phones of a test apart: it chooses control port and media ports.
    pub fn start(lab: &Lab, seat: u16, account: &Account, site: &Site, media: Media, hz: u32, contact: &str) -> Self {
        let desk = Desk { address: Ipv4Addr::LOCALHOST, name_server: Ipv4Addr::LOCALHOST, seat };
        Self::start_at(lab, desk, Command::new("baresip"), account, site, media, hz, contact)
    }

    /// The same on a machine of its own.
    pub fn start_on(lab: &Lab, host: &Host, account: &Account, site: &Site, hz: u32, contact: &str) -> Self {
        let desk = Desk { address: host.address(), name_server: host.name_server(), seat: 0 };
        Self::start_at(lab, desk, host.command("baresip"), account, site, Media::Sdes, hz, contact)
    }

    #[expect(clippy::too_many_arguments, reason = "each is one thing that tells two phones apart")]
    fn start_at(lab: &Lab, desk: Desk, mut command: Command, account: &Account, site: &Site, media: Media, hz: u32, contact: &str) -> Self {
        let name = format!("baresip-{}", account.user);
        let dir = lab.folder(&name);
        lab.folder(&format!("{name}/heard"));
        write_tone(&dir.join("tone.wav"), hz, 60);
        lab.file(&format!("{name}/config"), &config(&dir, &desk, &site.ca));
        lab.file(&format!("{name}/accounts"), "# The account comes over the control port, so that no event of it is missed.\n");
        lab.file(&format!("{name}/contacts"), &format!("\"peer\" <{contact}>\n"));
        lab.file(&format!("{name}/current_contact"), contact);
        let program = Program::start(lab, &name, command.arg("-s").arg("-f").arg(&dir));
        let control = wait_until("baresip's control port", || TcpStream::connect(desk.control()).ok());
        control.set_read_timeout(Some(LOOK_AGAIN)).expect("a socket has a read timeout");
        let line = format!(
            "<{};transport=tls>;auth_user={};auth_pass={};outbound=\"sip:{};transport=tls\";regint=60;answermode=manual{}",
            account.aor(),
            account.user,
            account.password,
            site.authority(),
            media.parameter(),
        );
        Self { program, control, unread: Vec::new(), events: VecDeque::new(), dir, account: account.clone(), line }
    }

    /// Signs in; the status line of the refusal if the server says no.
    pub fn try_sign_in(&mut self) -> Result<(), String> {
        let line = self.line.clone();
        self.command("uanew", &line);
        let event = self.wait_for(&["REGISTER_OK", "REGISTER_FAIL"]);
        match event["type"].as_str() {
            Some("REGISTER_OK") => Ok(()),
            _ => Err(event["param"].as_str().unwrap_or_default().to_owned()),
        }
    }

    /// Signs in, which must succeed.
    pub fn sign_in(&mut self) {
        let answer = self.try_sign_in();
        assert_eq!(answer, Ok(()), "{} signs in; see {}", self.account.aor(), self.program.log().display());
    }

    /// Opens its account without signing in: it can write and call, and is not reached.
    pub fn open_line(&mut self) {
        let line = self.line.replace("regint=60", "regint=0");
        self.command("uanew", &line);
    }

    /// Where a 302 that it got sends it: the names and ports of the servers, the best first.
    pub fn redirected_to(&self) -> Vec<(String, u16)> {
        let printed = self.program.printed();
        let answer = printed.split("SIP/2.0 302").nth(1).unwrap_or_default();
        let ways = answer.lines().find_map(|line| line.strip_prefix("Contact: ")).unwrap_or_default();
        let way = |way: &str| {
            let (name, port) = way.trim().strip_prefix("<sip:")?.split(';').next()?.rsplit_once(':')?;
            Some((name.to_owned(), port.parse().ok()?))
        };
        ways.split(',').filter_map(way).collect()
    }

    /// Writes an instant message to its contact.
    pub fn write(&mut self, text: &str) {
        self.command("message", text);
    }

    /// Waits until `text` has arrived here: its log shows each SIP message.
    pub fn wait_for_message(&mut self, text: &str) {
        self.program.wait_to_print(text);
    }

    /// Calls someone.
    pub fn dial(&mut self, aor: &str) {
        self.forget_recordings();
        self.command("dial", aor);
    }

    /// Waits until it rings.
    pub fn wait_for_ring(&mut self) {
        self.wait_for(&["CALL_INCOMING"]);
    }

    /// Answers the call that rings.
    pub fn answer(&mut self) {
        self.forget_recordings();
        self.command("accept", "");
    }

    /// Waits until the call stands.
    pub fn wait_for_call(&mut self) {
        self.wait_for(&["CALL_ESTABLISHED"]);
    }

    /// Ends the call.
    pub fn hang_up(&mut self) {
        self.command("hangup", "");
    }

    /// Waits until the call is over; why it is, in baresip's words.
    pub fn wait_for_call_end(&mut self) -> String {
        self.wait_for(&["CALL_CLOSED"])["param"].as_str().unwrap_or_default().to_owned()
    }

    /// Is nothing ringing here? Looks at what has arrived already.
    pub fn stayed_silent(&mut self) -> bool {
        self.pump();
        !self.events.iter().any(|event| event["type"] == "CALL_INCOMING")
    }

    /// Waits until this many seconds of the other's voice have arrived.
    pub fn wait_to_hear(&mut self, seconds: f64) {
        wait_until("voice in a baresip recording", || {
            self.pump();
            self.heard().filter(|heard| heard.seconds >= seconds)
        });
    }

    /// Waits until a second and more of the other's voice has arrived as a sine of `hz`.
    pub fn wait_to_hear_tone(&mut self, hz: u32) {
        wait_until("the other's tone in a baresip recording", || {
            self.pump();
            self.heard().filter(|heard| heard.seconds >= 1.0 && heard.is_tone(hz))
        });
    }

    /// What it heard in its latest call.
    pub fn heard(&self) -> Option<Heard> {
        let received = |path: &PathBuf| path.to_string_lossy().ends_with("-dec.wav");
        Heard::in_file(&self.recordings().find(received)?)
    }

    /// What it printed.
    pub fn printed(&self) -> String {
        self.program.printed()
    }

    fn recordings(&self) -> impl Iterator<Item = PathBuf> {
        fs::read_dir(self.dir.join("heard")).into_iter().flatten().flatten().map(|entry| entry.path())
    }

    /// So that what is heard in the next call is not taken from the one before.
    fn forget_recordings(&self) {
        self.recordings().for_each(|path| drop(fs::remove_file(path)));
    }

    fn command(&mut self, command: &str, params: &str) {
        let text = json!({ "command": command, "params": params }).to_string();
        let netstring = format!("{}:{text},", text.len());
        self.control.write_all(netstring.as_bytes()).expect("baresip's control port takes commands");
    }

    /// The next event of one of these types; events before it that nobody waited for are dropped.
    fn wait_for(&mut self, types: &[&str]) -> Value {
        let found = within(crate::PATIENCE, || {
            self.pump();
            let at = self.events.iter().position(|event| types.iter().any(|wanted| event["type"] == *wanted))?;
            self.events.drain(..=at).next_back()
        });
        found.unwrap_or_else(|| panic!("{} waited in vain for {types:?}; see {}", self.account.user, self.program.log().display()))
    }

    /// Takes in what has arrived on the control port.
    fn pump(&mut self) {
        let mut bytes = [0; 4096];
        match self.control.read(&mut bytes) {
            Ok(length) => self.unread.extend(&bytes[..length]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => panic!("baresip's control port broke: {error}; see {}", self.program.log().display()),
        }
        while let Some((event, length)) = netstring(&self.unread) {
            self.events.extend(event);
            self.unread.drain(..length);
        }
    }
}

impl Drop for Baresip {
    fn drop(&mut self) {
        // It unregisters and leaves; what it has not finished after that is ended with the program.
        let _ = self.control.write_all(br#"18:{"command":"quit"},"#);
        within(Duration::from_secs(2), || self.program.ended());
    }
}

/// The first whole netstring of `bytes`: its JSON (if it is some) and how long it is in all.
fn netstring(bytes: &[u8]) -> Option<(Option<Value>, usize)> {
    let colon = bytes.iter().position(|byte| *byte == b':')?;
    let length: usize = std::str::from_utf8(&bytes[..colon]).ok()?.parse().ok()?;
    let body = bytes.get(colon + 1..colon + 1 + length)?;
    (bytes.len() > colon + 1 + length).then(|| (serde_json::from_slice(body).ok(), colon + length + 2))
}

/// Where a phone stands.
struct Desk {
    address: Ipv4Addr,
    name_server: Ipv4Addr,
    /// Tells phones at the same address apart.
    seat: u16,
}

impl Desk {
    fn control(&self) -> SocketAddrV4 {
        SocketAddrV4::new(self.address, Baresip::CONTROL_PORTS.start() + self.seat)
    }
}

/// A configuration with the modules a call needs. DTLS-SRTP wants two phones of one machine on 127.0.0.1: a socket that is bound
/// to no address sends from there, and the other phone would not know it.
fn config(dir: &Path, desk: &Desk, ca: &Path) -> String {
    let (dir, ca, control) = (dir.display(), ca.display(), desk.control());
    let Desk { address, name_server, seat } = desk;
    let (first_port, last_port) = (20_000 + seat * 100, 20_098 + seat * 100);
    let modules = ["g711", "sndfile", "aufile", "aubridge", "srtp", "dtls_srtp"].map(|name| format!("module {name}.so\n")).concat();
    let applications = ["contact", "debug_cmd", "menu", "ctrl_tcp"].map(|name| format!("module_app {name}.so\n")).concat();
    format!(
        "poll_method epoll\nsip_listen {address}:0\nsip_cafile {ca}\nnet_interface {address}\ndns_server {name_server}:53\n\
         call_local_timeout 30\ncall_max_calls 2\naudio_source aufile,{dir}/tone.wav\naudio_player aubridge,voice\n\
         audio_alert aubridge,alert\nausrc_format s16\nauplay_format s16\nauenc_format s16\naudec_format s16\naudio_buffer 20-160\n\
         rtp_ports {first_port}-{last_port}\nrtp_timeout 10\njitter_buffer_delay 5-10\nringback_disabled yes\nmenu_bell no\n\
         snd_path {dir}/heard\nctrl_tcp_listen {control}\nmodule_path /usr/lib/baresip/modules\n{modules}\
         module_tmp uuid.so\nmodule_tmp account.so\n{applications}"
    )
}
