//! OpenSSL's and curl's view of the server, and an impostor made with OpenSSL.

use std::net::TcpStream;
use std::process::{ChildStdin, Command};

use crate::names::SERVER_NAME;
use crate::process::{Program, must_run, run};
use crate::{Lab, Site, wait_until};

/// What `openssl s_client` saw of a handshake.
pub struct Handshake {
    text: String,
}

impl Handshake {
    /// Connects with these further options (`-tls1_1`, `-verify_hostname NAME`, …), trusting the site's roots.
    pub fn with(site: &Site, options: &[&str]) -> Self {
        let mut command = Command::new("openssl");
        command.args(["s_client", "-connect", &format!("127.0.0.1:{}", site.port), "-servername", &site.name, "-CAfile"]);
        command.arg(&site.ca).args(["-verify_return_error", "-brief"]).args(options);
        Self { text: run(&mut command).1 }
    }

    /// The protocol version that both agreed on, or `None` if there was no handshake.
    pub fn version(&self) -> Option<&str> {
        self.field("Protocol version: ")
    }

    /// The suite that both agreed on.
    pub fn suite(&self) -> Option<&str> {
        self.field("Ciphersuite: ")
    }

    /// Did the chain and the name verify?
    pub fn verified(&self) -> bool {
        self.field("Verification: ") == Some("OK")
    }

    /// All that was printed.
    pub fn text(&self) -> &str {
        &self.text
    }

    fn field(&self, name: &str) -> Option<&str> {
        self.text.lines().find_map(|line| line.strip_prefix(name))
    }
}

/// `curl https://<site>/<path>`: the status code and the body, or what curl says of the connection.
pub fn https_get(site: &Site, path: &str) -> Result<(u16, String), String> {
    let url = format!("https://{}{path}", site.authority());
    let (good, text) = run(Command::new("curl")
        .args(["--silent", "--show-error", "--max-time", "10", "--write-out", "\n%{http_code}", "--cacert"])
        .arg(&site.ca)
        .arg(url));
    if !good {
        return Err(text);
    }
    let (body, code) = text.rsplit_once('\n').expect("curl writes the code on a line of its own");
    Ok((code.parse().unwrap_or_default(), body.to_owned()))
}

/// A server that bears the right name, from the wrong certificate authority: a man in the middle who controls DNS.
pub struct Impostor {
    program: Program,
    // OpenSSL ends a connection when its own standard input ends.
    _stdin: ChildStdin,
    site: Site,
}

impl Impostor {
    const PORT: u16 = 5961;

    /// Starts it. Its site trusts whom `genuine` trusts.
    pub fn start(lab: &Lab, genuine: &Site) -> Self {
        let dir = lab.folder("impostor");
        let mut make = Command::new("openssl");
        make.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]);
        make.args(["-subj", &format!("/CN={SERVER_NAME}"), "-addext", &format!("subjectAltName=DNS:{SERVER_NAME}")]);
        must_run(make.args(["-keyout", "key.pem", "-out", "certificate.pem"]).current_dir(&dir));
        let mut serve = Command::new("openssl");
        serve.args(["s_server", "-accept", &Self::PORT.to_string(), "-cert", "certificate.pem", "-key", "key.pem", "-quiet"]);
        let (program, stdin) = Program::start_waiting(lab, "impostor-received", serve.current_dir(&dir));
        wait_until("the impostor's port", || TcpStream::connect(("127.0.0.1", Self::PORT)).ok());
        let site = Site { name: SERVER_NAME.to_owned(), port: Self::PORT, ca: genuine.ca.clone() };
        Self { program, _stdin: stdin, site }
    }

    /// Where a deceived phone connects to.
    pub fn site(&self) -> &Site {
        &self.site
    }

    /// For the counter-proof: the same for a phone that was made to trust the impostor.
    pub fn trusted_site(&self, lab: &Lab) -> Site {
        Site { ca: lab.path("impostor/certificate.pem"), ..self.site.clone() }
    }

    /// Did any SIP get there?
    pub fn received_sip(&self) -> bool {
        self.program.printed().contains("SIP/2.0")
    }
}
