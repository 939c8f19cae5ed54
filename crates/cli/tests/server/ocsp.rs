//! Whether a certificate was revoked, as OpenSSL asks the running program: over HTTP and HTTPS, and stapled to handshakes.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    path::PathBuf,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use tempfile::TempDir;

use crate::common::verbund::{PATIENCE, Verbund, ends, free_port};

/// An authority with an HTTP listener, a second server, and OpenSSL beside them.
struct Office {
    dir: TempDir,
    http: String,
    authority: Verbund,
    second: Verbund,
}

/// Which TLS, as OpenSSL calls it.
const VERSIONS: [&str; 2] = ["-tls1_2", "-tls1_3"];

impl Office {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let http = format!("127.0.0.1:{}", free_port());
        let authority = Verbund::up(&dir.path().join("authority"), &["--http", &http]);
        let string = authority.json(&["server", "add", "fe2.verbund.test"])["join"].as_str().unwrap().to_owned();
        let second = Verbund::join(&string, &dir.path().join("second"));
        Self { dir, http, authority, second }
    }

    fn of_authority(&self, file: &str) -> PathBuf {
        self.authority.data().join(file)
    }

    /// OpenSSL in a folder of ours: whether it was content, and all that it said.
    fn openssl(&self, args: &[&str]) -> (bool, String) {
        let output = ends(Command::new("openssl").args(args).current_dir(self.dir.path()));
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&said).into_owned())
    }

    /// `openssl ocsp` about a certificate of this issuer; its answer is verified by the root alone.
    fn ask(&self, issuer: &str, about: &[&str]) -> String {
        let (issuer, root) = (self.of_authority(issuer), self.of_authority("ca.pem"));
        let url = format!("http://{}/ocsp", self.http);
        let fixed = ["ocsp", "-issuer", issuer.to_str().unwrap(), "-CAfile", root.to_str().unwrap(), "-url", &url];
        let (well, said) = self.openssl(&[&fixed[..], about].concat());
        assert!(well && said.contains("Response verify OK"), "{said}");
        assert!(!said.contains("WARNING: no nonce"), "it is repeated: {said}");
        said
    }

    /// The leaf of what a server shows, in a file of its own.
    fn leaf(&self, server: &Verbund) -> String {
        let name = format!("{}.pem", server.said("server_name"));
        let chain = std::fs::read_to_string(server.data().join("server/chain.pem")).unwrap();
        let end = chain.find("-----END CERTIFICATE-----").unwrap();
        std::fs::write(self.dir.path().join(&name), format!("{}-----END CERTIFICATE-----\n", &chain[..end])).unwrap();
        name
    }

    /// What OpenSSL is told of the certificate in a handshake.
    fn stapled(&self, server: &Verbund, port: &str, version: &str) -> String {
        let (name, root) = (server.said("server_name"), self.of_authority("ca.pem"));
        let fixed = ["s_client", "-connect", server.said(port), "-servername", name, "-verify_hostname", name, "-status", version];
        let mut args = [&fixed[..], &["-CAfile", root.to_str().unwrap()]].concat();
        let data = self.second.data();
        let [chain, key] = ["server/chain.pem", "server/key.pem"].map(|file| data.join(file).to_str().unwrap().to_owned());
        // Servers show something of themselves.
        if port == "servers" {
            args.extend(["-cert", &chain, "-cert_chain", &chain, "-key", &key]);
        }
        let said = self.openssl(&args).1;
        assert!(said.contains("Verify return code: 0 (ok)"), "{said}");
        said
    }

    fn wait_for_staple(&self, server: &Verbund) {
        wait_until("an answer is sent along", || self.stapled(server, "https", "-tls1_3").contains("Cert Status: good"));
    }
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < end, "waited in vain: {what}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// One request over clear text: the head of the answer, and its body.
fn http(address: &str, request: &[u8]) -> (String, Vec<u8>) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap();
    (String::from_utf8(answer[..end].to_vec()).unwrap(), answer[end + 4..].to_vec())
}

#[test]
fn n5_openssl_hears_good_revoked_and_unknown_and_a_revocation_at_once() {
    let office = Office::new();
    let leaf = office.leaf(&office.second);
    assert!(office.ask("ca/issuing.pem", &["-cert", &leaf]).contains(&format!("{leaf}: good")));
    assert!(office.ask("ca/issuing.pem", &["-sha256", "-cert", &leaf]).contains("good"));
    assert!(office.ask("ca/issuing.pem", &["-serial", "0x47474747474747474747474747474747"]).contains(": unknown"));
    // The other CAs: the root about the issuing CA for users, and that one about what it never issued.
    let users = office.of_authority("ca/users.pem");
    assert!(office.ask("ca/root.pem", &["-cert", users.to_str().unwrap()]).contains(": good"));
    assert!(office.ask("ca/users.pem", &["-serial", &format!("0x{}", serial(&office.second))]).contains(": unknown"));
    // The certificate says itself where to ask.
    let (_, uri) = office.openssl(&["x509", "-noout", "-ocsp_uri", "-in", &leaf]);
    assert_eq!(uri.trim(), format!("http://sip.verbund.test:{}/ocsp", office.http.rsplit_once(':').unwrap().1));
    office.authority.json(&["cert", "revoke", "fe2.verbund.test"]);
    let said = office.ask("ca/issuing.pem", &["-cert", &leaf]);
    assert!(said.contains(&format!("{leaf}: revoked")) && said.contains("Revocation Time"), "{said}");
}

fn serial(server: &Verbund) -> String {
    server.certificate()["serial"].as_str().unwrap().to_owned()
}

#[test]
fn the_request_may_be_in_the_path_and_nothing_on_the_way_keeps_the_answer() {
    let office = Office::new();
    let (leaf, issuing) = (office.leaf(&office.second), office.of_authority("ca/issuing.pem"));
    let about = ["ocsp", "-issuer", issuing.to_str().unwrap(), "-cert", &leaf, "-no_nonce"];
    assert!(office.openssl(&[&about[..], &["-reqout", "request.der"]].concat()).0);
    let request = STANDARD.encode(std::fs::read(office.dir.path().join("request.der")).unwrap());
    let get = format!("GET /ocsp/{} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", request.replace('+', "%2B").replace('/', "%2F"));
    let (head, answer) = http(&office.http, get.as_bytes());
    assert!(head.starts_with("HTTP/1.1 200") && head.to_ascii_lowercase().contains("cache-control: no-store"), "{head}");
    std::fs::write(office.dir.path().join("answer.der"), answer).unwrap();
    let root = office.of_authority("ca.pem");
    let (well, said) = office.openssl(&[&about[..], &["-respin", "answer.der", "-CAfile", root.to_str().unwrap()]].concat());
    assert!(well && said.contains("Response verify OK") && said.contains(": good"), "{said}");
    let post =
        "POST /ocsp HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/ocsp-request\r\nContent-Length: 9000\r\n\r\n";
    assert!(http(&office.http, post.as_bytes()).0.starts_with("HTTP/1.1 413"), "too long");
}

#[test]
fn every_port_of_every_server_staples_in_tls_1_2_and_1_3() {
    let office = Office::new();
    for server in [&office.authority, &office.second] {
        office.wait_for_staple(server);
        for (port, version) in ["sip", "servers", "https"].into_iter().flat_map(|port| VERSIONS.map(|version| (port, version))) {
            let said = office.stapled(server, port, version);
            let name = server.said("server_name");
            assert!(
                said.contains("OCSP Response Status: successful") && said.contains("Cert Status: good"),
                "{name} {port} {version}: {said}"
            );
            assert!(said.to_lowercase().contains(&format!("serial number: {}", serial(server))), "{name}: {said}");
        }
    }
}

#[test]
fn a_server_goes_on_stapling_without_the_authority_and_serves_without_an_answer() {
    let mut office = Office::new();
    office.wait_for_staple(&office.second);
    office.authority.signal("KILL");
    office.authority.wait();
    assert!(office.stapled(&office.second, "sip", "-tls1_3").contains("Cert Status: good"));
    // A start without the authority finds no answer anywhere.
    let data = office.second.data();
    office.second.signal("TERM");
    assert!(office.second.wait().success());
    office.second = Verbund::up(&data, &[]);
    office.second.wait_for_log("no new OCSP answer");
    assert!(office.stapled(&office.second, "sip", "-tls1_2").contains("OCSP response: no response sent"));
}

#[test]
fn another_certificate_gets_an_answer_of_its_own() {
    let office = Office::new();
    office.wait_for_staple(&office.second);
    let before = serial(&office.second);
    // A new domain is in everybody's certificate.
    let text = office.authority.command(&["topology", "show"]);
    let version = office.authority.json(&["topology", "status"])[0]["topology"].as_u64().unwrap();
    let text = text.replace("domains = [\"verbund.test\"]", "domains = [\"verbund.test\", \"voice.verbund.test\"]");
    let text = text.replace(&format!("\nversion = {version}\n"), &format!("\nversion = {}\n", version + 1));
    let file = office.dir.path().join("next.toml");
    std::fs::write(&file, text).unwrap();
    office.authority.json(&["topology", "publish", file.to_str().unwrap()]);
    wait_until("another certificate", || serial(&office.second) != before);
    let now = format!("serial number: {}", serial(&office.second));
    wait_until("an answer about it", || {
        let said = office.stapled(&office.second, "sip", "-tls1_3");
        said.contains("Cert Status: good") && said.to_lowercase().contains(&now)
    });
}
