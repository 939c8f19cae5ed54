//! Programs that fetch certificates: certbot, lego, uacme (ACME), curl with openssl and strongSwan's pki (EST).
//!
//! Each enrols one server with one ticket and leaves its chain and key in files. Nothing of them is told by
//! DNS or by the system's own list of roots: both are replaced for the program's eyes, in a mount namespace.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// An authority to enrol at, and the place to work in.
pub struct Enroller<'a> {
    /// The name of the authority, as its URLs have it.
    pub authority: &'a str,
    /// Its HTTPS port, on 127.0.0.1.
    pub port: u16,
    /// Its root in PEM.
    pub root: &'a Path,
    /// A folder for what is made; it exists.
    pub dir: &'a Path,
}

/// A ticket, as `verbund server add` prints it.
#[derive(Clone, Copy, Debug)]
pub struct Ticket<'a> {
    /// Its name.
    pub kid: &'a str,
    /// Its key in base64url.
    pub key: &'a str,
}

/// What a program left.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// The certificate in PEM; from ACME with its chain.
    pub chain: PathBuf,
    /// Its private key in PEM.
    pub key: PathBuf,
}

/// Why a program fetched nothing.
#[derive(Clone, Debug)]
pub enum NotFetched {
    /// It is not installed, or may not run as it must here.
    Absent(String),
    /// It ran and failed; all it printed.
    Failed(String),
}

type Outcome = Result<Fetched, NotFetched>;

/// The kinds of programs, for tests that want each of them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Enrolling {
    /// certbot, by ACME.
    Certbot,
    /// lego, by ACME.
    Lego,
    /// uacme, by ACME.
    Uacme,
    /// curl and openssl, by EST.
    Curl,
    /// strongSwan's pki, by EST.
    StrongSwan,
}

impl Enrolling {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Certbot, Self::Lego, Self::Uacme, Self::Curl, Self::StrongSwan];

    /// Enrols `server` with `ticket`.
    ///
    /// # Errors
    /// The program is not there, or fetched nothing.
    pub fn enrol(self, at: &Enroller<'_>, ticket: Ticket<'_>, server: &str) -> Outcome {
        match self {
            Self::Certbot => at.certbot(ticket, server),
            Self::Lego => at.lego(ticket, server),
            Self::Uacme => at.uacme(ticket, server),
            Self::Curl => at.curl(ticket, server),
            Self::StrongSwan => at.strong_swan(ticket, server),
        }
    }

    /// Fetches the next certificate: by the account where there is one, by the certificate before (`now`) where
    /// there is none.
    ///
    /// # Errors
    /// The program is not there, or fetched nothing.
    pub fn renew(self, at: &Enroller<'_>, now: &Fetched, server: &str) -> Outcome {
        match self {
            Self::Certbot => at.certbot_again(server),
            Self::Lego => at.lego_again(server),
            Self::Uacme => at.uacme_issue(server),
            Self::Curl => at.curl_again(now, server),
            Self::StrongSwan => at.strong_swan_again(now, server),
        }
    }
}

impl Enroller<'_> {
    fn base(&self) -> String {
        format!("https://{}:{}", self.authority, self.port)
    }

    fn directory(&self) -> String {
        format!("{}/acme/directory", self.base())
    }

    fn est(&self, operation: &str) -> String {
        format!("{}/.well-known/est/{operation}", self.base())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    // certbot

    fn certbot_command(&self) -> Result<Command, NotFetched> {
        let mut command = self.program("certbot")?;
        command.env("REQUESTS_CA_BUNDLE", self.root);
        for option in ["--config-dir", "--work-dir", "--logs-dir"] {
            command.arg(option).arg(self.path("certbot"));
        }
        command.args(["--non-interactive", "--server", &self.directory()]);
        Ok(command)
    }

    fn certbot(&self, ticket: Ticket<'_>, server: &str) -> Outcome {
        let mut command = self.certbot_command()?;
        // It wants a way to answer challenges; there are none, so nothing listens on that port.
        command.args(["certonly", "--standalone", "--http-01-port", "5980", "--agree-tos", "--register-unsafely-without-email"]);
        command.args(["--eab-kid", ticket.kid, "--eab-hmac-key", ticket.key, "--key-type", "ecdsa", "-d", server]);
        must(&mut command)?;
        Ok(self.certbot_files(server))
    }

    fn certbot_again(&self, server: &str) -> Outcome {
        must(self.certbot_command()?.args(["renew", "--force-renewal", "--no-random-sleep-on-renew"]))?;
        Ok(self.certbot_files(server))
    }

    /// Gives a certificate of certbot's up (it says why: keyCompromise).
    ///
    /// # Errors
    /// certbot is not there, or failed.
    pub fn certbot_revoke(&self, server: &str) -> Result<(), NotFetched> {
        let mut command = self.certbot_command()?;
        command.args(["revoke", "--reason", "keycompromise", "--no-delete-after-revoke", "--cert-path"]);
        must(command.arg(self.certbot_files(server).chain)).map(drop)
    }

    fn certbot_files(&self, server: &str) -> Fetched {
        let live = self.path("certbot/live").join(server);
        Fetched { chain: live.join("fullchain.pem"), key: live.join("privkey.pem") }
    }

    // lego

    fn lego_command(&self, server: &str) -> Result<Command, NotFetched> {
        let mut command = self.program("lego")?;
        command.env("LEGO_CA_CERTIFICATES", self.root).args(["--server", &self.directory(), "--accept-tos"]);
        command.args(["--email", "nobody@verbund.test", "--key-type", "ec256", "--http", "--http.port", ":5980", "--domains", server]);
        command.arg("--path").arg(self.path("lego"));
        Ok(command)
    }

    fn lego(&self, ticket: Ticket<'_>, server: &str) -> Outcome {
        must(self.lego_command(server)?.args(["--eab", "--kid", ticket.kid, "--hmac", ticket.key, "run"]))?;
        Ok(self.lego_files(server))
    }

    fn lego_again(&self, server: &str) -> Outcome {
        // It does not start without these where the directory wants them of newcomers, and does not use them.
        let command = &mut self.lego_command(server)?;
        must(command.args(["--eab", "--kid", "none", "--hmac", "none", "renew", "--days", "3650", "--no-random-sleep"]))?;
        Ok(self.lego_files(server))
    }

    fn lego_files(&self, server: &str) -> Fetched {
        let file = |ending: &str| self.path("lego/certificates").join(format!("{server}.{ending}"));
        Fetched { chain: file("crt"), key: file("key") }
    }

    // uacme

    fn uacme_command(&self) -> Result<Command, NotFetched> {
        let mut command = self.program("uacme")?;
        command.args(["--yes", "--no-ocsp", "--type", "EC", "--acme-url", &self.directory(), "--confdir"]).arg(self.path("uacme"));
        Ok(command)
    }

    fn uacme(&self, ticket: Ticket<'_>, server: &str) -> Outcome {
        must(self.uacme_command()?.args(["--eab", &format!("{}:{}", ticket.kid, ticket.key), "new"]))?;
        self.uacme_issue(server)
    }

    fn uacme_issue(&self, server: &str) -> Outcome {
        // The hook would answer challenges; there are none.
        must(self.uacme_command()?.args(["--force", "--hook", "/bin/false", "issue", server]))?;
        let dir = self.path("uacme");
        Ok(Fetched { chain: dir.join(server).join("cert.pem"), key: dir.join("private").join(server).join("key.pem") })
    }

    // curl and openssl

    /// A key and a request, as openssl makes them; the request is DER.
    fn request(&self, folder: &str, server: &str) -> Result<(PathBuf, PathBuf), NotFetched> {
        let dir = self.path(folder);
        fs::create_dir_all(&dir).map_err(|error| NotFetched::Failed(error.to_string()))?;
        let (key, request) = (dir.join("key.pem"), dir.join("request.der"));
        let mut openssl = self.program("openssl")?;
        openssl.args(["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-outform", "DER"]);
        openssl.args(["-subj", &format!("/CN={server}"), "-addext", &format!("subjectAltName=DNS:{server}")]);
        must(openssl.arg("-keyout").arg(&key).arg("-out").arg(&request))?;
        Ok((key, request))
    }

    fn curl(&self, ticket: Ticket<'_>, server: &str) -> Outcome {
        let login = format!("{}:{}", ticket.kid, ticket.key);
        self.curl_to("curl", "simpleenroll", server, &[OsStr::new("--user"), login.as_ref()])
    }

    fn curl_again(&self, now: &Fetched, server: &str) -> Outcome {
        let (certificate, key) = (self.whole(now)?, now.key.clone());
        let shown = [OsStr::new("--cert"), certificate.as_ref(), OsStr::new("--key"), key.as_ref()];
        self.curl_to("curl-again", "simplereenroll", server, &shown)
    }

    fn curl_to(&self, folder: &str, operation: &str, server: &str, login: &[&OsStr]) -> Outcome {
        let (key, request) = self.request(folder, server)?;
        let dir = self.path(folder);
        let [coded, answer, message, chain] = ["request.b64", "answer.b64", "answer.der", "cert.pem"].map(|name| dir.join(name));
        must(self.program("openssl")?.args(["base64", "-A", "-in"]).arg(&request).arg("-out").arg(&coded))?;
        let mut curl = self.program("curl")?;
        curl.args(["--silent", "--show-error", "--fail-with-body", "--max-time", "20", "--cacert"]).arg(self.root).args(login);
        curl.args(["--header", "Content-Type: application/pkcs10", "--data-binary"]).arg(format!("@{}", coded.display()));
        curl.arg("--output").arg(&answer).arg(self.est(operation));
        must(&mut curl).map_err(|error| with_answer(error, &answer))?;
        must(self.program("openssl")?.args(["base64", "-d", "-A", "-in"]).arg(&answer).arg("-out").arg(&message))?;
        must(self.program("openssl")?.args(["pkcs7", "-inform", "DER", "-print_certs", "-in"]).arg(&message).arg("-out").arg(&chain))?;
        Ok(Fetched { chain, key })
    }

    /// A certificate and what the CA says stands above it: EST gives the one without the other.
    fn whole(&self, fetched: &Fetched) -> Result<PathBuf, NotFetched> {
        let [answer, message, above, whole] = ["ca.b64", "ca.der", "ca.pem", "whole.pem"].map(|name| self.path(name));
        let mut curl = self.program("curl")?;
        curl.args(["--silent", "--show-error", "--fail", "--max-time", "20", "--cacert"]).arg(self.root);
        must(curl.arg("--output").arg(&answer).arg(self.est("cacerts")))?;
        must(self.program("openssl")?.args(["base64", "-d", "-A", "-in"]).arg(&answer).arg("-out").arg(&message))?;
        must(self.program("openssl")?.args(["pkcs7", "-inform", "DER", "-print_certs", "-in"]).arg(&message).arg("-out").arg(&above))?;
        let text = |path: &Path| fs::read_to_string(path).map_err(|error| NotFetched::Failed(error.to_string()));
        let above = text(&above)?;
        // The root is not shown: whoever judges the chain has it.
        let issuing = above.split("subject=").filter(|part| part.contains("Issuing CA") && part.contains("BEGIN CERTIFICATE"));
        let issuing: String = issuing.filter(|part| part.lines().next().is_some_and(|subject| subject.contains("Issuing CA"))).collect();
        fs::write(&whole, format!("{}{issuing}", text(&fetched.chain)?)).map_err(|error| NotFetched::Failed(error.to_string()))?;
        Ok(whole)
    }

    // strongSwan

    fn strong_swan(&self, ticket: Ticket<'_>, server: &str) -> Outcome {
        let login = format!("{}:{}", ticket.kid, ticket.key);
        self.strong_swan_with("strongswan", server, &[OsStr::new("--userpass"), login.as_ref()])
    }

    fn strong_swan_again(&self, now: &Fetched, server: &str) -> Outcome {
        let (certificate, key) = (now.chain.clone(), now.key.clone());
        let shown = [OsStr::new("--cert"), certificate.as_ref(), OsStr::new("--key"), key.as_ref()];
        self.strong_swan_with("strongswan-again", server, &shown)
    }

    fn strong_swan_with(&self, folder: &str, server: &str, login: &[&OsStr]) -> Outcome {
        let (key, request) = self.request(folder, server)?;
        let issuing = self.path("issuing.pem");
        let mut curl = self.program("curl")?;
        curl.args(["--silent", "--show-error", "--fail", "--max-time", "20", "--cacert"]).arg(self.root);
        must(curl.arg("--output").arg(&issuing).arg(format!("{}/issuing.pem", self.base())))?;
        let mut command = self.program("pki")?;
        command.args(["--est", "--url", &self.base(), "--outform", "pem", "--in"]).arg(&request);
        command.arg("--cacert").arg(self.root).arg("--cacert").arg(&issuing).args(login);
        let said = must(&mut command)?;
        let begin = said.find("-----BEGIN").ok_or_else(|| NotFetched::Failed(said.clone()))?;
        let chain = self.path(folder).join("cert.pem");
        let end = said.rfind("-----END CERTIFICATE-----").map_or(said.len(), |at| at + "-----END CERTIFICATE-----".len());
        fs::write(&chain, format!("{}\n", &said[begin..end])).map_err(|error| NotFetched::Failed(error.to_string()))?;
        Ok(Fetched { chain, key })
    }

    /// A command that sees the authority's name on loopback and its root among those of the system.
    fn program(&self, name: &str) -> Result<Command, NotFetched> {
        let path = env::var_os("PATH").unwrap_or_default();
        let places = env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
        let program = places.map(|dir| dir.join(name)).find(|path| path.is_file());
        let program = program.ok_or_else(|| NotFetched::Absent(format!("{name} is not installed")))?;
        let hosts = self.path("hosts");
        let failed = |error: std::io::Error| NotFetched::Failed(error.to_string());
        fs::write(&hosts, format!("127.0.0.1 localhost {}\n", self.authority)).map_err(failed)?;
        let mut command = own_mounts();
        command.args(["sh", "-c", SCRIPT, "sh"]).arg(&hosts).arg(self.root).arg(program).stdin(Stdio::null());
        Ok(command)
    }
}

/// Puts two files in the place of the system's, then becomes the program. Where one is not there, none is needed.
const SCRIPT: &str = "for target in /etc/hosts /etc/ssl/certs/ca-certificates.crt; do
  if [ -e $target ]; then mount --bind \"$1\" $target || exit 125; fi
  shift
done
exec \"$@\"";

fn own_mounts() -> Command {
    let mut command = Command::new("unshare");
    let id = Command::new("id").arg("-u").output();
    if !id.is_ok_and(|output| output.stdout == b"0\n") {
        command.arg("--map-root-user");
    }
    command.args(["--mount", "--"]);
    command
}

/// Runs it, which must succeed; what it printed.
fn must(command: &mut Command) -> Result<String, NotFetched> {
    let output = command.output().map_err(|error| NotFetched::Absent(format!("{command:?} does not start: {error}")))?;
    let mut said = String::from_utf8_lossy(&output.stdout).into_owned();
    said.push_str(&String::from_utf8_lossy(&output.stderr));
    match output.status.code() {
        Some(0) => Ok(said),
        // What the script says when the kernel does not permit this.
        Some(125) => Err(NotFetched::Absent(format!("mount namespaces are not permitted here: {said}"))),
        Some(_) | None => Err(NotFetched::Failed(said)),
    }
}

/// curl keeps the server's words in the file that was to be the certificate.
fn with_answer(error: NotFetched, answer: &Path) -> NotFetched {
    match error {
        NotFetched::Failed(said) => NotFetched::Failed(format!("{said}{}", fs::read_to_string(answer).unwrap_or_default())),
        NotFetched::Absent(why) => NotFetched::Absent(why),
    }
}
