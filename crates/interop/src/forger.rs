//! Certificates that the product would never issue, made with OpenSSL: by the organisation's own issuing CA, as if its key had
//! been stolen, by a CA that nobody knows of below its root, or by a CA of nobody.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::must_run;
use crate::{Lab, Server, Shown};

/// What the CA's keys of a [`Forger::passphrase`] server are encrypted with.
const PASSPHRASE: &str = "known to this test only";

/// Somebody with a CA's key.
pub struct Forger {
    dir: PathBuf,
}

/// What a forged certificate says, and how strong it is.
pub struct Forged<'a> {
    /// The common name.
    pub subject: &'a str,
    /// The subject alternative names as OpenSSL writes them (`DNS:a.example`); none if empty.
    pub names: &'a str,
    /// The extended key usages as OpenSSL writes them.
    pub purposes: &'a str,
    /// From when and until when it is valid, as `YYYYMMDDHHMMSSZ`.
    pub valid: [&'a str; 2],
    /// The holder's fresh key as `openssl req -newkey` takes it, with its options.
    pub key: &'a str,
    /// What is signed is hashed by this, as OpenSSL names it.
    pub digest: &'a str,
}

impl Forged<'_> {
    /// Nothing is wrong with it, but that it names nobody.
    pub const GOOD: Forged<'static> =
        Forged { subject: "", names: "", purposes: Self::SERVER, valid: Self::NOW, key: Self::P256, digest: "sha256" };
    /// A time that is over.
    pub const LONG_AGO: [&'static str; 2] = ["20240101000000Z", "20240201000000Z"];
    /// A time that has not come.
    pub const FAR_AHEAD: [&'static str; 2] = ["20480101000000Z", "20480201000000Z"];
    /// A time in which these tests run.
    pub const NOW: [&'static str; 2] = ["20250101000000Z", "20290101000000Z"];
    /// What every server's certificate is good for.
    pub const SERVER: &'static str = "serverAuth, clientAuth";
    /// A key as our own are.
    pub const P256: &'static str = "ec -pkeyopt ec_paramgen_curve:P-256";
    /// A key that was strong once.
    pub const RSA_1024: &'static str = "rsa:1024";
}

impl Forger {
    /// A file with a passphrase for `VERBUND_CA_PASSPHRASE_FILE`: a server that is made with it has CA keys that
    /// [`Forger::with_key_of`] can read.
    pub fn passphrase(lab: &Lab) -> PathBuf {
        let path = lab.file("ca-passphrase", PASSPHRASE);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("a file of ours has a mode");
        path
    }

    /// The thief of the issuing CA for servers of `server`.
    pub fn with_key_of(lab: &Lab, server: &Server) -> Self {
        Self::thief(lab, server, "issuing")
    }

    /// The thief of the issuing CA for users.
    pub fn with_users_key_of(lab: &Lab, server: &Server) -> Self {
        Self::thief(lab, server, "users")
    }

    /// The thief of the root.
    pub fn with_roots_key_of(lab: &Lab, server: &Server) -> Self {
        Self::thief(lab, server, "root")
    }

    fn thief(lab: &Lab, server: &Server, of: &str) -> Self {
        let dir = lab.folder(&format!("thief-{of}"));
        let ca = server.data().join("ca");
        fs::copy(ca.join(format!("{of}.pem")), dir.join("ca.pem")).expect("the issuing certificate can be read");
        let mut open = Command::new("openssl");
        open.args(["pkey", "-passin", &format!("pass:{PASSPHRASE}"), "-in"]).arg(ca.join(format!("{of}.key")));
        must_run(open.arg("-out").arg(dir.join("ca.key")));
        Self::in_dir(dir)
    }

    /// A CA of nobody. It calls itself what the organisation's CA is called.
    pub fn stranger(lab: &Lab, server: &Server) -> Self {
        let dir = lab.folder("stranger");
        let issuing = server.data().join("ca/issuing.pem");
        let subject = must_run(Command::new("openssl").args(["x509", "-noout", "-subject", "-nameopt", "compat", "-in"]).arg(issuing));
        let subject = subject.trim().trim_start_matches("subject=").trim();
        let subject = if subject.starts_with('/') { subject.to_owned() } else { format!("/{}", subject.replace(", ", "/")) };
        let mut make = Command::new("openssl");
        make.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "9", "-subj", &subject]);
        must_run(make.args(["-keyout", "ca.key", "-out", "ca.pem"]).current_dir(&dir));
        Self::in_dir(dir)
    }

    fn in_dir(dir: PathBuf) -> Self {
        for (name, content) in [("index", ""), ("serial", "4A00000000000000000000000000F001\n"), ("ca.conf", CONFIGURATION)] {
            fs::write(dir.join(name), content).unwrap_or_else(|error| panic!("{name} cannot be written: {error}"));
        }
        Self { dir }
    }

    /// The same, for programs that want certificate and chain in one file.
    pub fn forge_with_chain(&self, name: &str, what: &Forged<'_>) -> Shown {
        let shown = self.forge(name, what);
        let read = |path: &Path| fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        fs::write(&shown.certificate, read(&shown.certificate) + &read(&shown.chain)).expect("the folder can be written");
        shown
    }

    /// Makes one and its key; `name` is that of the files.
    pub fn forge(&self, name: &str, what: &Forged<'_>) -> Shown {
        let Forged { subject, names, purposes, valid, key, digest } = what;
        request(&self.dir, name, subject, key);
        let names = if names.is_empty() { String::new() } else { format!("subjectAltName = {names}\n") };
        let extensions = format!(
            "basicConstraints = critical, CA:FALSE\nkeyUsage = critical, digitalSignature\nauthorityKeyIdentifier = keyid\n\
             subjectKeyIdentifier = hash\nextendedKeyUsage = {purposes}\n{names}"
        );
        self.sign(name, &extensions, valid, digest);
        Shown {
            certificate: self.dir.join(format!("{name}.pem")),
            key: self.dir.join(format!("{name}.key")),
            chain: self.dir.join("ca.pem"),
        }
    }

    /// A CA for servers below this one, with a key like that and hashed so: what the thief of a root can make, and no list of
    /// revoked certificates was ever made for it.
    pub fn ca_below(&self, lab: &Lab, name: &str, key: &str, digest: &str) -> Self {
        request(&self.dir, name, name, key);
        let extensions = "basicConstraints = critical, CA:TRUE, pathlen:0\nkeyUsage = critical, keyCertSign, cRLSign\n\
             authorityKeyIdentifier = keyid\nsubjectKeyIdentifier = hash\nextendedKeyUsage = serverAuth, clientAuth\n";
        self.sign(name, extensions, &Forged::NOW, digest);
        let dir = lab.folder(&format!("below-{name}"));
        for end in ["pem", "key"] {
            fs::copy(self.dir.join(format!("{name}.{end}")), dir.join(format!("ca.{end}"))).expect("the folder can be written");
        }
        Self::in_dir(dir)
    }

    /// Signs the request of that name.
    fn sign(&self, name: &str, extensions: &str, [from, until]: &[&str; 2], digest: &str) {
        fs::write(self.dir.join(format!("{name}.ext")), extensions).expect("the folder can be written");
        let mut sign = Command::new("openssl");
        sign.args(["ca", "-batch", "-notext", "-config", "ca.conf", "-startdate", from, "-enddate", until, "-md", digest]);
        sign.args(["-in", &format!("{name}.csr"), "-out", &format!("{name}.pem"), "-extfile", &format!("{name}.ext")]);
        must_run(sign.current_dir(&self.dir));
    }
}

/// A certificate for a listed server that runs no program of ours: the key and the request are OpenSSL's, the certificate is the
/// organisation's (`verbund server sign`).
pub fn signed(lab: &Lab, server: &Server, name: &str) -> Shown {
    let dir = lab.folder("signed");
    let request = request(&dir, name, name, Forged::P256);
    let pem = server.command(&["server", "sign", name, &request.display().to_string()]);
    let certificate = dir.join(format!("{name}.pem"));
    fs::write(&certificate, pem).expect("the folder can be written");
    Shown { chain: certificate.clone(), certificate, key: dir.join(format!("{name}.key")) }
}

/// A fresh key and a request with it.
fn request(dir: &Path, name: &str, subject: &str, key: &str) -> PathBuf {
    let request = dir.join(format!("{name}.csr"));
    let mut make = Command::new("openssl");
    make.args(["req", "-new", "-newkey"]).args(key.split(' ')).args(["-nodes", "-subj", &format!("/CN={subject}")]);
    make.args(["-addext", &format!("subjectAltName = DNS:{subject}")]);
    must_run(make.arg("-keyout").arg(dir.join(format!("{name}.key"))).arg("-out").arg(&request));
    request
}

/// What `openssl ca` needs to sign anything that is asked of it.
const CONFIGURATION: &str = "[ca]\ndefault_ca = any\n[any]\ndatabase = index\nserial = serial\nnew_certs_dir = .\ncertificate = ca.pem\n\
    private_key = ca.key\ndefault_md = sha256\npolicy = anything\nunique_subject = no\nemail_in_dn = no\n[anything]\ncommonName = supplied\n";
