//! Several servers that share users, and a director before them, with real phones: who is lost, what goes on, who finds home.

use std::time::{Duration, Instant};

use interop::{Account, Baresip, Host, Lab, Network, Server, Site, in_own_network, wait_until};

const DESKS: [&str; 3] = ["desk1", "desk2", "desk3"];
const HZ: [u32; 3] = [440, 1000, 700];
const POOL: &str = "east.verbund.test";
/// Connections between two servers, whoever opened them.
const LINKS_MAX: usize = 4;

/// The authority on `sip`, home of carla; a director on `dir1`; `fe1` and `fe2` are one pool, home of anna and bert.
struct Scene<'l> {
    lab: &'l Lab,
    network: Network,
    authority: Server,
    director: Server,
    pool: Vec<Server>,
}

impl<'l> Scene<'l> {
    fn new(lab: &'l Lab) -> Self {
        let network = Network::of(lab, &[&["sip", "dir1", "fe1", "fe2"], &DESKS[..]].concat());
        let authority = Server::up_on(lab, network.host("sip"));
        let join = |name: &str, more: &[&str]| {
            let host = network.host(name);
            Server::join_on(lab, host, &authority.add_server(&host.fqdn(), more))
        };
        let director = join("dir1", &["--role", "director"]);
        let pool = vec![join("fe1", &["--pool", POOL, "--new-pool"]), join("fe2", &["--pool", POOL])];
        let scene = Self { lab, network, authority, director, pool };
        for server in scene.pool.iter().chain([&scene.authority, &scene.director]) {
            wait_until("links with all others", || (server.links_up().len() == 3).then_some(()));
        }
        scene
    }

    fn host(&self, name: &str) -> &Host {
        self.network.host(name)
    }

    /// A user, known to all servers.
    fn user(&self, name: &str, pool: &str) -> Account {
        let account = self.authority.add_user(name, pool);
        wait_until("nothing lags", || self.servers().all(|server| server.command(&["user", "list"]).contains(name)).then_some(()));
        account
    }

    fn servers(&self) -> impl Iterator<Item = &Server> {
        self.pool.iter().chain([&self.authority, &self.director])
    }

    /// A phone on that desk, not signed in; its contact is `contact`.
    fn phone(&self, account: &Account, site: &Site, desk: usize, contact: &str) -> Baresip {
        let contact = format!("sip:{contact}@{}", account.domain);
        Baresip::start_on(self.lab, self.host(DESKS[desk - 1]), account, site, HZ[desk - 1], &contact)
    }

    fn signed_in(&self, account: &Account, server: &Server, desk: usize, contact: &str) -> Baresip {
        let mut phone = self.phone(account, &server.site(), desk, contact);
        phone.sign_in();
        phone
    }
}

fn talk(caller: (&mut Baresip, u32), callee: (&mut Baresip, u32), to: &Account) {
    let ((caller, caller_hz), (callee, callee_hz)) = (caller, callee);
    caller.dial(&to.aor());
    callee.wait_for_ring();
    callee.answer();
    caller.wait_for_call();
    callee.wait_for_call();
    caller.wait_to_hear_tone(callee_hz);
    callee.wait_to_hear_tone(caller_hz);
}

fn hang_up(one: &mut Baresip, other: &mut Baresip) {
    one.hang_up();
    one.wait_for_call_end();
    other.wait_for_call_end();
}

/// baresip does not follow a redirection by itself, so it is led; that it is sent the right way is what is shown.
#[test]
fn a_director_leads_a_phone_home_and_passes_on_what_it_sends() {
    in_own_network(|lab| {
        let scene = Scene::new(lab);
        let (anna_account, bert_account) = (scene.user("anna", POOL), scene.user("bert", POOL));
        let door = scene.director.site();
        let mut lost = scene.phone(&anna_account.with_password("guessed"), &door, 1, "bert");
        let refusal = lost.try_sign_in().expect_err("a wrong password");
        assert!(refusal.starts_with("401") || refusal.starts_with("403"), "{refusal}");
        assert!(lost.redirected_to().is_empty(), "a stranger is told nothing");
        drop(lost);
        let mut lost = scene.phone(&anna_account, &door, 1, "bert");
        let answer = lost.try_sign_in().expect_err("nobody has their home at a director");
        assert!(answer.starts_with("302"), "{answer}");
        let ways = lost.redirected_to();
        let names = ["fe1", "fe2"].map(|name| (scene.host(name).fqdn(), 5061));
        assert_eq!(ways, names, "both servers of her home pool");
        drop(lost);
        let (name, port) = ways[1].clone();
        let mut anna = scene.phone(&anna_account, &Site { name, port, ..door.clone() }, 1, "bert");
        anna.sign_in();

        // Bert's phone knows the director only: what it sends gets to anna's home pool, and what comes back to it.
        let mut bert = scene.phone(&bert_account, &door, 2, "anna");
        bert.open_line();
        bert.write("through the director");
        anna.wait_for_message("through the director");
        talk((&mut bert, HZ[1]), (&mut anna, HZ[0]), &anna_account);
        assert!(anna.printed().contains("P-Asserted-Identity: <sip:bert@verbund.test>"), "the director vouches for him");
        hang_up(&mut anna, &mut bert);
        assert!(scene.director.status().signed_in().is_empty(), "a director is home of nobody");
    });
}

#[test]
#[expect(clippy::print_stderr, reason = "the figures are for whoever runs the test")]
fn a_server_of_a_pool_is_lost_and_the_other_takes_its_place() {
    in_own_network(|lab| {
        let mut scene = Scene::new(lab);
        let (anna_account, bert_account, carla_account) =
            (scene.user("anna", POOL), scene.user("bert", POOL), scene.user("carla", "sip.verbund.test"));
        let anna = scene.signed_in(&anna_account, &scene.pool[0], 1, "carla");
        let mut bert = scene.signed_in(&bert_account, &scene.pool[1], 2, "carla");
        let mut carla = scene.signed_in(&carla_account, &scene.authority, 3, "bert");
        talk((&mut carla, HZ[2]), (&mut bert, HZ[1]), &bert_account);
        let lost = scene.pool.remove(0);
        let killed = Instant::now();
        lost.kill();

        // Requests of another server go on to the one that lives, at once, and a call over it is not disturbed.
        carla.write("to the one that lives");
        bert.wait_for_message("to the one that lives");
        eprintln!("a message to the pool arrives {:?} after one of its servers was killed", killed.elapsed());
        hang_up(&mut bert, &mut carla);
        carla.dial(&anna_account.aor());
        let why = carla.wait_for_call_end();
        assert!(why.starts_with("480"), "her phone is nowhere now: {why}");
        drop(anna);
        let mut anna = scene.signed_in(&anna_account, &scene.pool[0], 1, "carla");
        talk((&mut carla, HZ[2]), (&mut anna, HZ[0]), &anna_account);
        anna.write("here I am again");
        carla.wait_for_message("here I am again");
        hang_up(&mut carla, &mut anna);

        comes_back(lab, &mut scene);
        let dialled = scene.authority.logged().matches("server not reached").count();
        assert!(dialled >= 2, "it is called again until it is there: {dialled}");
        talk((&mut anna, HZ[0]), (&mut carla, HZ[2]), &carla_account);
    });
}

/// `fe1` starts again: all are linked with it, by few connections, and it was not called more often than the waits allow.
#[expect(clippy::print_stderr, reason = "the figures are for whoever runs the test")]
fn comes_back(lab: &Lab, scene: &mut Scene<'_>) {
    let fe1 = scene.host("fe1").fqdn();
    let back = Server::up_on(lab, scene.host("fe1"));
    let began = Instant::now();
    for server in [&scene.authority, &scene.director, &scene.pool[0]] {
        wait_until("a link with the one that is back", || server.links_up().contains(&fe1).then_some(()));
    }
    eprintln!("all are linked with it again {:?} after its start", began.elapsed());
    let names = ["sip", "dir1", "fe1", "fe2"];
    for (one, other) in names.iter().flat_map(|one| names.iter().map(move |other| (*one, *other))).filter(|(one, other)| one != other) {
        let links = scene.host(one).links_with(scene.host(other));
        assert!((1..=LINKS_MAX).contains(&links), "{links} links between {one} and {other}");
    }
    scene.pool.insert(0, back);
}

#[test]
fn who_cannot_be_reached_is_called_with_growing_patience() {
    in_own_network(|lab| {
        let mut scene = Scene::new(lab);
        let failures = |scene: &Scene<'_>| scene.director.logged().matches("server not reached").count();
        let before = failures(&scene);
        scene.pool.remove(0).kill();
        // The waits double from a second on, each cut by up to a half: in eight seconds there are three to five calls.
        std::thread::sleep(Duration::from_secs(8));
        let count = failures(&scene) - before;
        assert!((2..=6).contains(&count), "{count} calls in 8 s: {}", scene.director.logged());
    });
}
