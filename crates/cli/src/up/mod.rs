//! `verbund up`: an organisation is found or made, and its server runs until it is told to end.

mod affairs;
mod desk;
mod door;
mod figures;
mod renewal;
mod renewing_ca;
mod serve;
mod staples;
mod summary;
mod tasks;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use anyhow::{Context as _, anyhow, ensure};
use authority::Ca;
use member::Holdings;
use pki::Fqdn;
use registrar::UserName;
use store::Embedded;
use topology::{Listeners, MediaPolicy};

use crate::{
    accounts::Site,
    args::{self, Media},
    log,
    organisation::{self, CaKeys, Found, Layout, Membership, Organisation, Plan, ServerCertificate},
    output::{self, Paint},
    password::Password,
    ports::{Ports, Taken},
};

/// What a newcomer gets without asking.
const DOMAIN_DEFAULT: &str = "verbund.test";
const USERS_DEFAULT: [&str; 2] = ["alice", "bob"];

/// What a start found or made.
pub(crate) struct Start {
    layout: Layout,
    domain: Fqdn,
    server_name: Fqdn,
    store: Embedded,
    certificate: ServerCertificate,
    holdings: Holdings,
    seat: Seat,
    /// Where it is served.
    taken: Taken,
    /// Whether this start made the organisation, or joined it.
    is_first: bool,
    /// Users whose password is known: made now, or read back from their account files.
    users: Vec<Account>,
    /// Users whom this start added to an organisation that was there.
    added: Vec<UserName>,
    site: Site,
}

/// What this server is in its organisation.
pub(crate) enum Seat {
    /// The authority, with the CA.
    Authority(Arc<Ca>),
    /// A server that has joined; where the authority's HTTPS was then.
    Member(SocketAddr),
}

/// A user for the summary.
pub(crate) struct Account {
    user: UserName,
    /// `None` where the account file is gone or the password was changed since.
    password: Option<Password>,
}

/// Brings the organisation up, or the server that joined one, and serves until SIGTERM or Ctrl-C.
///
/// # Errors
/// One line that says what is in the way; nothing was destroyed.
pub(crate) fn run(data: &args::Data, args: &args::Up) -> anyhow::Result<()> {
    log::start(args.serving.log_format)?;
    let is_usual = data.data.is_none();
    let data = data_dir(data)?;
    block_on(async {
        let (start, ports) = start(&data, args).await?;
        serve(start, ports, args.serving.json, is_usual).await
    })
}

/// Runs asynchronous work on all cores.
pub(crate) fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start the runtime")?.block_on(work)
}

/// Serves what was started.
///
/// # Errors
/// A listener or the admin socket cannot be had, or the signalling core failed.
pub(crate) async fn serve(start: Start, ports: Ports, json: bool, is_usual: bool) -> anyhow::Result<()> {
    let store = start.store.clone();
    organisation::or_close(&store, serve::serve(start, ports, |start| announce(json, is_usual, start))).await
}

/// Says that the server is ready: one line for scripts, or a page for people.
fn announce(json: bool, is_usual: bool, start: &Start) -> anyhow::Result<()> {
    if json {
        return output::say_json(&summary::Ready::of(start));
    }
    // `cargo run` starts a program that no search path knows.
    let program = std::env::args().next().unwrap_or_else(|| "verbund".to_owned());
    let data = if is_usual { String::new() } else { format!(" --data {}", start.layout.data().display()) };
    let after = summary::Afterwards { program, data };
    output::say(summary::for_people(start, &after, Paint::for_stdout()))
}

/// The data directory: what was said, or the place the desktop standard has for it.
///
/// # Errors
/// Nothing was said and there is no home.
pub(crate) fn data_dir(data: &args::Data) -> anyhow::Result<PathBuf> {
    let absolute = |path: PathBuf| std::path::absolute(&path).with_context(|| format!("cannot use {}", path.display()));
    if let Some(data) = &data.data {
        return absolute(data.clone());
    }
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    // The XDG base directory specification wants relative paths ignored.
    let shared = variable("XDG_DATA_HOME").filter(|path| path.is_absolute());
    let shared = shared.or_else(|| variable("HOME").map(|home| home.join(".local/share")));
    absolute(shared.ok_or_else(|| anyhow!("there is no HOME to keep the data in: say where with --data DIR"))?.join("verbund"))
}

async fn start(data: &Path, args: &args::Up) -> anyhow::Result<(Start, Ports)> {
    let now = SystemTime::now();
    match organisation::find(data)? {
        Found::Nothing => first_start(data, args, now).await,
        Found::Organisation(lock) => later_start(data, args, lock, now).await,
        Found::Member(lock) => {
            ensure!(
                args.domain.is_none() && args.users.is_empty() && args.media.is_none() && args.ca_keys.is_none(),
                "{} is that of a server that has joined: domain, users, media policy and CA are the authority's, leave them out",
                data.display()
            );
            member_start(data, &args.serving, lock, false).await
        }
    }
}

/// A server that has joined starts from what it holds.
///
/// # Errors
/// What it holds is not whole, or a port cannot be had.
pub(crate) async fn member_start(
    data: &Path,
    serving: &args::Serving,
    lock: store::Lock,
    is_first: bool,
) -> anyhow::Result<(Start, Ports)> {
    let membership = Membership::open(data, lock).await?;
    let store = membership.store.clone();
    let taken = async {
        let listed = membership.holdings.topology().server(&membership.manifest.server_name).map(|server| *server.listeners());
        Ok(Ports::take(serving.listeners(None), listed)?)
    };
    let ports = organisation::or_close(&store, taken).await?;
    let Membership { layout, manifest, store, certificate, holdings } = membership;
    let site = Site {
        domain: manifest.domain.clone(),
        server_name: manifest.server_name.clone(),
        sip: ports.taken.sip,
        ca: layout.ca(),
        users: Vec::new(),
        srtp_required: holdings.topology().media() == MediaPolicy::Require,
    };
    let start = Start {
        layout,
        domain: manifest.domain,
        server_name: manifest.server_name,
        store,
        certificate,
        holdings,
        seat: Seat::Member(manifest.authority),
        taken: ports.taken,
        is_first,
        users: Vec::new(),
        added: Vec::new(),
        site,
    };
    Ok((start, ports))
}

async fn first_start(data: &Path, args: &args::Up, now: SystemTime) -> anyhow::Result<(Start, Ports)> {
    let ports = Ports::take(args.listeners(), None)?;
    let plan = plan(args, &ports)?;
    let lock = organisation::make(data, &plan, now).await?;
    tracing::info!(domain = %plan.domain, data = %data.display(), "organisation made");
    let organisation = Organisation::open(data, lock, now).await?;
    Ok((Start::of(organisation, ports.taken, true, Vec::new()), ports))
}

fn plan(args: &args::Up, ports: &Ports) -> anyhow::Result<Plan> {
    let domain = args.domain.clone().map_or_else(|| pki::Fqdn::parse(DOMAIN_DEFAULT), Ok)?;
    let mut users: Vec<UserName> = Vec::new();
    for user in &args.users {
        if !users.contains(user) {
            users.push(user.clone());
        }
    }
    if users.is_empty() {
        users = USERS_DEFAULT.iter().map(|name| UserName::parse(name)).collect::<Result<_, _>>()?;
    }
    Ok(Plan {
        domain,
        listeners: ports.taken.listeners(),
        media: args.media.map_or(MediaPolicy::Require, policy),
        users,
        ca_keys: args.ca_keys(),
    })
}

fn policy(media: Media) -> MediaPolicy {
    match media {
        Media::Require => MediaPolicy::Require,
        Media::Support => MediaPolicy::Support,
    }
}

async fn later_start(data: &Path, args: &args::Up, lock: store::Lock, now: SystemTime) -> anyhow::Result<(Start, Ports)> {
    let mut organisation = Organisation::open(data, lock, now).await?;
    let store = organisation.store.clone();
    let settled = async {
        check_settled(data, args, &organisation)?;
        let listed = organisation.topology().server(&organisation.manifest.server_name).map(|server| *server.listeners());
        let ports = Ports::take(args.listeners(), listed)?;
        Ok((ports, organisation.add_missing(&args.users, now).await?))
    };
    let (ports, added) = organisation::or_close(&store, settled).await?;
    Ok((Start::of(organisation, ports.taken, false, added), ports))
}

/// What a first start settled is not changed by a later one.
fn check_settled(data: &Path, args: &args::Up, organisation: &Organisation) -> anyhow::Result<()> {
    let domain = &organisation.manifest.domain;
    if let Some(wanted) = args.domain.as_ref().filter(|wanted| *wanted != domain) {
        return Err(anyhow!(
            "{} belongs to the domain {domain}, not to {wanted}: leave --domain out, or choose another directory with --data",
            data.display()
        ));
    }
    ensure!(
        args.ca_keys.is_none(),
        "{} has a CA already, and where its keys are was settled when it was made: leave --ca-keys out",
        data.display()
    );
    let media = organisation.topology().media();
    ensure!(
        args.media.is_none_or(|wanted| policy(wanted) == media),
        "the media policy of {domain} is {}: to change it, publish a topology with another `media` (verbund topology show, then verbund \
         topology publish), and leave --media out",
        media.as_str()
    );
    Ok(())
}

impl Start {
    fn of(organisation: Organisation, taken: Taken, is_first: bool, added: Vec<(UserName, Password)>) -> Self {
        let site = organisation.site(taken.sip);
        let accounts = organisation.layout.accounts();
        let mut users = Vec::new();
        for user in &organisation.users {
            let name = &user.aor.user;
            let new = added.iter().find(|(added, _)| added == name).map(|(_, password)| Password::read_back(password.expose()));
            let is_new = new.is_some();
            let password = new.or_else(|| accounts.read_back(&organisation.manifest.domain, name, &user.credential));
            if let Some(password) = password.as_ref().filter(|_| is_new || !accounts.are_current(&site, name))
                && let Err(error) = accounts.write(&site, name, password)
            {
                tracing::warn!(user = %name, error = format!("{error:#}"), "account files not written");
            }
            users.push(Account { user: name.clone(), password });
        }
        let added = added.into_iter().map(|(user, _)| user).collect();
        let Organisation { layout, manifest, ca, holdings, store, certificate, .. } = organisation;
        Self {
            layout,
            domain: manifest.domain,
            server_name: manifest.server_name,
            store,
            certificate,
            holdings,
            seat: Seat::Authority(ca),
            taken,
            is_first,
            users,
            added,
            site,
        }
    }
}

impl args::Serving {
    /// What was asked for.
    pub(crate) fn listeners(&self, http: Option<SocketAddr>) -> Listeners {
        Listeners { sip: self.listen, servers: self.servers, https: self.https, http }
    }
}

impl args::Up {
    fn listeners(&self) -> Listeners {
        self.serving.listeners(self.http)
    }

    fn ca_keys(&self) -> Option<CaKeys> {
        self.ca_keys.clone().map(|uri| CaKeys { uri, exist: self.ca_keys_exist })
    }
}
