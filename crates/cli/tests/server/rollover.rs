//! The root of an organisation is replaced under everybody's feet: real processes, real traffic, and an authority that is killed in
//! the middle.

use std::{
    io::Read as _,
    net::TcpStream,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _};
use serde_json::Value;
use tempfile::TempDir;

use crate::common::{
    phone::{Phone, SDP},
    verbund::{Verbund, complaint, ends, free_port, program},
};

/// How long a whole replacement may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(180);

/// An authority and two servers that joined it.
struct Network {
    dir: TempDir,
    authority: Verbund,
    others: Vec<Verbund>,
}

fn add(authority: &Verbund, name: &str) -> String {
    authority.json(&["server", "add", name])["join"].as_str().unwrap().to_owned()
}

impl Network {
    fn new(servers: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let authority = Verbund::up(&dir.path().join("authority"), &[]);
        let join = |name: &&str| Verbund::join(&add(&authority, &format!("{name}.verbund.test")), &dir.path().join(name));
        let others = servers.iter().map(join).collect();
        Self { dir, authority, others }
    }

    /// A user at home on one of the other servers, signed in there.
    fn user(&self, server: usize, name: &str) -> Phone {
        let home = &self.others[server];
        let made = self.authority.json(&["user", "add", name, "--pool", home.said("server_name")]);
        wait_until("a server knows its user", || home.command(&["user", "list"]).contains(name));
        let mut phone = Phone::connect(home, name, made["password"].as_str().unwrap());
        assert_eq!(phone.register(600), 200, "{name} signs in at home");
        phone
    }

    fn status(&self) -> Value {
        self.authority.json(&["ca", "rollover", "status"])
    }

    fn is_over(&self) -> bool {
        self.status().is_null()
    }

    /// Every server's roots, as it says itself.
    fn roots(&self) -> Vec<Vec<String>> {
        let of = |server: &Verbund| {
            let all = server.json(&["cert", "show"]);
            let roots = all.as_array().unwrap().iter().filter(|one| one["name"] == "root");
            roots.map(|root| root["fingerprint"].as_str().unwrap().to_owned()).collect()
        };
        std::iter::once(&self.authority).chain(&self.others).map(of).collect()
    }

    /// The authority dies and is started again where it was.
    fn kill_authority(&mut self) {
        let data = self.authority.data();
        let (sip, https) = (self.authority.said("sip").to_owned(), self.authority.said("https").to_owned());
        self.authority.signal("KILL");
        self.authority.wait();
        self.authority = Verbund::up_at(&data, &["--listen", &sip, "--https", &https]);
    }
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < end, "waited in vain: {what}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// One writes all the time, the other answers; how many messages there were, and those that did not arrive.
fn traffic(writer: &mut Phone, reader: &mut Phone, is_over: &AtomicBool) -> (usize, Vec<u16>) {
    let to = reader.aor();
    thread::scope(|scope| {
        let reading = scope.spawn(move || {
            let mut read = 0;
            loop {
                let message = reader.next_request();
                reader.answer(&message, "200 OK", "", "");
                read += 1;
                if String::from_utf8_lossy(message.as_bytes()).ends_with("the last one") {
                    return read;
                }
            }
        });
        let (mut sent, mut lost) = (0, Vec::new());
        while !is_over.load(Ordering::Relaxed) {
            sent += 1;
            match writer.write(&to, "hello") {
                200 => {}
                status => lost.push(status),
            }
            thread::sleep(Duration::from_millis(5));
        }
        while writer.write(&to, "the last one") != 200 {}
        assert_eq!(reading.join().unwrap(), sent + 1 - lost.len(), "what was written was read, once");
        (sent, lost)
    })
}

#[test]
fn p9_a_root_is_replaced_under_traffic_and_no_message_call_or_connection_is_lost() {
    let mut network = Network::new(&["fe2", "fe3"]);
    let (mut carla, mut dora) = (network.user(0, "carla"), network.user(1, "dora"));
    let (mut erna, mut alice) = (network.user(0, "erna"), Phone::signed_in(&network.authority, "alice"));
    let early = add(&network.authority, "fe4.verbund.test");
    let kept = network.dir.path().join("of-the-old-root");
    std::fs::create_dir(&kept).unwrap();
    for file in ["server/chain.pem", "server/key.pem", "ca.pem"] {
        let from = network.others[0].data().join(file);
        std::fs::copy(&from, kept.join(from.file_name().unwrap())).unwrap();
    }
    // A call that lasts longer than the old root.
    alice.invite("sip:erna@verbund.test", SDP);
    let invite = erna.next_request();
    erna.answer(&invite, "200 OK", "Content-Type: application/sdp\r\n", SDP);
    let answer = alice.final_response();
    let call = alice.establish(&answer);
    assert_eq!(erna.next_request().method(), "ACK");

    let before = network.roots();
    let is_over = Arc::new(AtomicBool::new(false));
    let (sent, lost) = thread::scope(|scope| {
        let writing = scope.spawn(|| traffic(&mut carla, &mut dora, &is_over));
        let begun = network.authority.json(&["ca", "rollover", "start"]);
        assert_eq!(begun["what"], "root", "{begun}");
        let (code, said) = complaint(&network.authority.try_command(&["ca", "issuing", "renew"]));
        assert!(code == 1 && said.contains("under way"), "{said}");
        wait_until("the root is replaced", || network.is_over());
        is_over.store(true, Ordering::Relaxed);
        writing.join().unwrap()
    });
    let logs = || std::iter::once(&network.authority).chain(&network.others).map(Verbund::log).collect::<Vec<_>>().join("\n\n");
    assert!(lost.is_empty(), "{} of {sent} messages: {lost:?}\n{}", lost.len(), logs());
    assert!(sent > 100, "{sent} messages");
    thread::scope(|scope| {
        let ending = scope.spawn(|| {
            let bye = erna.next_request();
            assert_eq!(bye.method(), "BYE");
            erna.answer(&bye, "200 OK", "", "");
        });
        assert_eq!(alice.hang_up(&call), 200);
        ending.join().unwrap();
    });
    for server in std::iter::once(&network.authority).chain(&network.others) {
        assert!(!server.log().contains("open connections judged again"), "no connection was cut: {}", server.log());
    }

    let after = network.roots();
    assert!(after.iter().all(|roots| roots == &after[0] && roots.len() == 1) && after[0] != before[0], "{after:?}");
    nobody_believes(&network, &kept);
    let (code, said) =
        complaint(&ends(program().args(["join", &early, "--json", "--data"]).arg(network.dir.path().join("early")).args(ports())));
    assert!(code == 1 && said.contains("have a new join string made"), "{said}");
    network.others.push(Verbund::join(&add(&network.authority, "fe5.verbund.test"), &network.dir.path().join("fe5")));
    everything_works_after_a_start(&mut network);
}

fn ports() -> [String; 4] {
    ["--listen".into(), format!("127.0.0.1:{}", free_port()), "--https".into(), format!("127.0.0.1:{}", free_port())]
}

/// A certificate of the old root opens no door, though its time is not over.
fn nobody_believes(network: &Network, kept: &Path) {
    for server in std::iter::once(&network.authority).chain(&network.others) {
        let said = knock(server, &server.data().join("ca.pem"), kept);
        assert!(said.is_err(), "{} serves a certificate of the old root", server.said("server_name"));
        server.wait_for_log("peer refused");
        let verify = |chain: PathBuf, root: PathBuf| {
            let output = ends(program().args(["cert", "verify"]).arg(chain).arg("--root").arg(root));
            output.status.code()
        };
        let (root, chain) = (server.data().join("ca.pem"), server.data().join("server/chain.pem"));
        assert_eq!(verify(kept.join("chain.pem"), root.clone()), Some(1));
        assert_eq!(verify(chain.clone(), root), Some(0));
        // Who knows the old root only is led by the link.
        assert_eq!(verify(chain, kept.join("ca.pem")), Some(0));
    }
}

/// Connects to the port for servers with a chain and a key from a folder; an error if that does not do.
fn knock(server: &Verbund, roots: &Path, folder: &Path) -> std::io::Result<()> {
    let mut store = RootCertStore::empty();
    for root in CertificateDer::pem_file_iter(roots).unwrap() {
        store.add(root.unwrap()).unwrap();
    }
    let chain = CertificateDer::pem_file_iter(folder.join("chain.pem")).unwrap().map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(folder.join("key.pem")).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(store).with_client_auth_cert(chain, key).unwrap();
    let name = ServerName::try_from(server.said("server_name").to_owned()).unwrap();
    let tcp = TcpStream::connect(server.said("servers"))?;
    tcp.set_read_timeout(Some(Duration::from_secs(1)))?;
    let mut stream = StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), tcp);
    match stream.read(&mut [0; 64]) {
        Ok(0) => Err(std::io::ErrorKind::UnexpectedEof.into()),
        Ok(_) => Ok(()),
        // It waits for what we have to say.
        Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => Ok(()),
        Err(error) => Err(error),
    }
}

fn everything_works_after_a_start(network: &mut Network) {
    let start = |server: Verbund| {
        let data = server.data();
        let listeners = ["sip", "https"].map(|key| server.said(key).to_owned());
        assert_eq!(server.stop().code(), Some(0));
        Verbund::up_at(&data, &["--listen", &listeners[0], "--https", &listeners[1]])
    };
    let others = std::mem::take(&mut network.others);
    let dir = tempfile::tempdir().unwrap();
    let spare = Verbund::up(&dir.path().join("spare"), &[]);
    network.authority = start(std::mem::replace(&mut network.authority, spare));
    network.others = others.into_iter().map(start).collect();
    let (mut frank, mut greta) = (network.user(0, "frank"), network.user(network.others.len() - 1, "greta"));
    wait_until("the servers have found each other", || {
        let links = network.others[0].json(&["status"])["links"].clone();
        links.as_array().unwrap().iter().filter(|link| link["state"] == "up").count() >= network.others.len()
    });
    let (sent, lost) = traffic(&mut frank, &mut greta, &AtomicBool::new(true));
    assert_eq!((sent, lost), (0, Vec::new()));
}

#[test]
fn an_authority_that_is_killed_in_every_phase_goes_on_where_it_was() {
    let mut network = Network::new(&["fe2"]);
    let before = network.roots();
    // Held up, so that it is there to be killed.
    network.others[0].signal("STOP");
    let mut begun = program();
    begun.args(["ca", "rollover", "start", "--json", "--data"]).arg(network.authority.data());
    // The answer may be lost with the authority.
    let starting = thread::spawn(move || drop(ends(&mut begun)));
    network.authority.wait_for_log("a replacement of the CA has begun");
    network.kill_authority();
    starting.join().unwrap();
    wait_until("it has gone on", || network.status()["phase"] == "distributing");
    network.kill_authority();
    assert_eq!(network.status()["phase"], "distributing");
    network.others[0].signal("CONT");
    for phase in ["renewing", "dropping", "done"] {
        network.authority.wait_for_log(&format!("phase=\"{phase}\""));
        network.kill_authority();
    }
    wait_until("the root is replaced", || network.is_over());
    wait_until("everybody has the new root alone", || {
        let after = network.roots();
        after.iter().all(|roots| roots == &after[0] && roots.len() == 1) && after[0] != before[0]
    });
    wait_until("the log is signed by the new side", || network.authority.try_command(&["audit", "verify"]).status.success());
    assert!(!network.authority.data().join("ca/next").exists());
    everything_works_after_a_start(&mut network);
}

#[test]
fn a_server_that_does_not_answer_is_waited_for_by_name_and_the_replacement_can_be_given_up() {
    let network = Network::new(&["fe2"]);
    let before = network.roots();
    network.others[0].signal("STOP");
    network.authority.json(&["ca", "rollover", "start"]);
    let status = network.status();
    assert_eq!((&status["phase"], &status["members"]), (&"distributing".into(), &serde_json::json!(["fe2.verbund.test"])), "{status}");
    let text = network.authority.command(&["ca", "rollover", "status"]);
    assert!(text.contains("waits for fe2.verbund.test"), "{text}");
    // Phones get both roots as long as both count.
    assert_eq!(std::fs::read_to_string(network.authority.data().join("ca.pem")).unwrap().matches("BEGIN CERTIFICATE").count(), 2);
    network.authority.json(&["ca", "rollover", "abort"]);
    assert!(network.is_over());
    network.others[0].signal("CONT");
    wait_until("nothing has changed", || network.roots() == before);
}

/// Copies a data directory, the socket aside.
fn copy_all(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    std::fs::set_permissions(to, std::fs::metadata(from).unwrap().permissions()).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        match path.is_dir() {
            true => copy_all(&path, &target),
            false if path.is_file() => drop(std::fs::copy(&path, &target).unwrap()),
            false => {}
        }
    }
}

/// A server put back from a backup of before the root was replaced: neither end believes the other.
struct Restored {
    network: Network,
    ports: [String; 2],
    data: PathBuf,
}

impl Restored {
    fn new() -> Self {
        let mut network = Network::new(&["fe2"]);
        let second = network.others.remove(0);
        let (data, backup) = (second.data(), network.dir.path().join("backup"));
        let ports = ["sip", "https"].map(|key| second.said(key).to_owned());
        assert_eq!(second.stop().code(), Some(0));
        copy_all(&data, &backup);
        network.others.push(Verbund::up_at(&data, &["--listen", &ports[0], "--https", &ports[1]]));
        network.authority.json(&["ca", "rollover", "start"]);
        wait_until("the root is replaced", || network.is_over());
        assert_eq!(network.others.remove(0).stop().code(), Some(0));
        std::fs::remove_dir_all(&data).unwrap();
        copy_all(&backup, &data);
        Self { network, ports, data }
    }

    fn start(&mut self) {
        self.network.others.push(Verbund::up_at(&self.data, &["--listen", &self.ports[0], "--https", &self.ports[1]]));
    }
}

#[test]
fn p9_a_server_that_was_away_while_the_root_was_replaced_finds_its_way_back_by_itself() {
    let mut restored = Restored::new();
    restored.start();
    let network = &restored.network;
    wait_until("it has the new root alone", || network.roots().iter().all(|roots| roots == &network.roots()[0] && roots.len() == 1));
    wait_until("it is on the line with a certificate of the new root", || {
        let members = network.authority.json(&["topology", "status"]);
        let second = members.as_array().unwrap().iter().find(|member| member["name"] == "fe2.verbund.test").cloned().unwrap();
        second["state"] == "joined"
            && second["lag"] == 0
            && network.others[0].certificate()["issuer"] == network.authority.certificate()["issuer"]
    });
}

#[test]
fn n29_a_server_without_a_way_back_is_told_to_join_anew_and_believes_nobody_meanwhile() {
    let mut restored = Restored::new();
    // As after an emergency: the old root's word leads nowhere.
    let data = restored.network.authority.data();
    let ports = ["sip", "https"].map(|key| restored.network.authority.said(key).to_owned());
    restored.network.authority.signal("TERM");
    restored.network.authority.wait();
    rusqlite::Connection::open(data.join("state.sqlite")).unwrap().execute("DELETE FROM bridge", []).unwrap();
    restored.network.authority = Verbund::up_at(&data, &["--listen", &ports[0], "--https", &ports[1]]);
    restored.start();
    let second = &restored.network.others[0];
    second.wait_for_log("join anew");
    let roots = restored.network.roots();
    assert!(roots[0] != roots[1] && roots[1].len() == 1, "{roots:?}");
}

#[test]
fn a_root_that_was_made_here_is_replaced_by_one_that_stays_offline_and_that_one_renews_the_issuing_cas() {
    let network = Network::new(&["fe2"]);
    let dir = network.dir.path();
    std::fs::write(dir.join("passphrase"), "correct horse battery staple").unwrap();
    let ca = |line: &str| {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(dir.join("passphrase"), std::fs::Permissions::from_mode(0o600)).unwrap();
        let output = ends(program().current_dir(dir).arg("ca").args(line.split(' ')));
        assert!(output.status.success(), "{line}: {output:?}");
    };
    ca("root init --out safe --organisation verbund.test --generation 2 --passphrase-file passphrase");
    let before = network.roots();
    let folder = |name: &str| dir.join(name).display().to_string();
    network.authority.json(&["ca", "rollover", "request", "--out", &folder("asked")]);
    ca("root sign asked/servers.request asked/users.request --root safe --out signed --passphrase-file passphrase");
    network.authority.json(&["ca", "rollover", "start", "--root-key", "offline", "--signed", &folder("signed")]);
    wait_until("the root is replaced", || network.is_over());
    assert!(network.roots().iter().all(|roots| roots.len() == 1 && roots[0] != before[0][0]));
    assert!(!network.authority.data().join("ca/root.key").exists(), "the key of the old root is not in the place of the new one's");
    let (code, said) = complaint(&network.authority.try_command(&["ca", "issuing", "renew"]));
    assert!(code == 1 && said.contains("ca issuing request"), "{said}");
    // The offline root renews the issuing CAs.
    let issuer = network.others[0].certificate()["issuer"].clone();
    network.authority.json(&["ca", "issuing", "request", "--out", &folder("again")]);
    ca("root sign again/servers.request again/users.request --root safe --out renewed --passphrase-file passphrase");
    network.authority.json(&["ca", "issuing", "renew", "--signed", &folder("renewed")]);
    wait_until("the issuing CAs are replaced", || network.is_over());
    assert_ne!(network.others[0].certificate()["issuer"], issuer);
    assert!(network.authority.json(&["audit", "list"]).to_string().contains("ca-replacement"), "the log tells of it");
}
