//! The running server: SIP for clients and for servers, HTTPS and the admin socket, from the first connection to the last.

use std::{
    net::SocketAddr,
    num::NonZeroU32,
    process,
    sync::Arc,
    time::{Instant, SystemTime},
};

use ::authority::Authority;
use anyhow::{Context as _, bail};
use member::{About as Said, Agent, Member, ShownCertificate};
use net::{Dialler, Gate, Handle, Limits};
use node::{Node, Secrets, Settings};
use rustls::time_provider::DefaultTimeProvider;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::{mpsc, watch},
    task::JoinHandle,
};
use topology::ServerLimits;
use trust::{
    Listener, LivePolicy,
    tls::{ServerIdentity, link_config, web_config},
};
use web::{About, Published, Site, admin, control::MemberListeners};

use super::{
    Seat, Start,
    desk::Desk,
    door::Door,
    figures,
    renewal::Renewal,
    staples::{Source, Staples},
    tasks::Tasks,
};
use crate::{
    organisation::{self, Layout},
    ports::Ports,
};

/// Exit code of a process that was told twice to end, as shells have it for SIGINT.
const FORCED: i32 = 130;

/// Serves until SIGTERM or SIGINT; `ready` is called when everyone can connect.
///
/// # Errors
/// A listener or the admin socket cannot be had, or the signalling core failed.
pub(super) async fn serve(start: Start, ports: Ports, ready: impl FnOnce(&Start) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let mut signals = Signals::new()?;
    let metrics = web::metrics::install()?;
    let identity = ServerIdentity::new(start.certificate.chain.clone(), &start.certificate.key)?;
    let policy = LivePolicy::new(start.holdings.policy(SystemTime::now())?);
    let socket = admin::Socket::bind(start.layout.data()).await?;
    let clock = || Arc::new(DefaultTimeProvider);
    let gates = vec![
        (ports.sip, Gate::new(Listener::Clients, Arc::clone(&identity), Arc::clone(&policy), clock())?),
        (ports.servers, Gate::new(Listener::Servers, Arc::clone(&identity), Arc::clone(&policy), clock())?),
    ];
    let dialler = Dialler::new(Arc::clone(&identity), Arc::clone(&policy), clock())?;
    let server = net::Server::on(gates, Some(dialler), limits(start.holdings.topology().limits()), node(&start)?)?;
    let handle = server.handle();
    let member = member(&start, Arc::clone(&policy), handle.clone());
    let door = Arc::new(Door::new(Arc::clone(&policy), member.epoch()));
    let links = link_config(Arc::clone(&identity), Arc::clone(&policy), clock())?;
    let place = Place::of(&start, &member);
    let desk = Arc::new(Desk::of(&start, handle.clone(), Arc::clone(&identity), Arc::clone(&member), &place, Arc::clone(&door)));
    let (renew, renew_asked) = mpsc::channel(1);
    let renewal = Arc::new(Renewal::of(&start, &place, Arc::clone(&identity), Arc::clone(&member)));

    let (end, ended) = watch::channel(false);
    // Those that are told to end, and those that are only stopped.
    let (mut rest, mut upkeep) = (Tasks::default(), Tasks::default());
    let core = tokio::spawn(server.run());
    let site = site(&start, &place, &member, Arc::clone(&desk), metrics);
    let shelf: Arc<dyn Published> = Arc::clone(&site.published);
    let tls = web_config(Arc::clone(&identity), policy, clock())?;
    let https = tokio::net::TcpListener::from_std(ports.https)?;
    rest.spawn("HTTPS", web::serve(https, web::Door { tls, gate: Some(door) }, site, web::Limits::HTTPS, end_of(ended.clone())));
    if let Some(http) = ports.http {
        let http = tokio::net::TcpListener::from_std(http)?;
        rest.spawn("HTTP", web::serve_public_http(http, Arc::clone(&shelf), web::Limits::PUBLIC_HTTP, end_of(ended.clone())));
    }
    rest.spawn("the admin socket", admin::serve(socket, Arc::clone(&desk) as Arc<dyn admin::Admin>, web::Limits::ADMIN, end_of(ended)));
    upkeep.spawn("the renewal of the certificate", Arc::clone(&renewal).run(renew_asked));
    upkeep.spawn("the count of figures", figures::publish(handle.clone()));
    let staples = Staples { identity: Arc::clone(&identity), member: Arc::clone(&member), source: source(&place, shelf, &links) };
    upkeep.spawn("the care of staples", staples.run(renewal.replaced()));
    match &place {
        Place::Authority(authority) => {
            authority.moved(start.taken.listeners()).await?;
            authority.recovered_if_alone().await?;
            upkeep.spawn("the replacement of the CA", Arc::clone(authority).carry_on());
            upkeep.spawn("the authority's upkeep", Arc::clone(authority).keep_fresh());
        }
        Place::Member(address) => {
            upkeep.spawn("the line to the authority", agent(&start, *address, &member, links, renew, &identity).run())
        }
    }

    let store = start.store.clone();
    ready(&start)?;
    // Passwords are in memory as long as they are to be told, no longer.
    drop(start);
    let result = until_told(&mut signals, core, [&mut rest, &mut upkeep], &renewal, || handle.shutdown()).await;
    let _ = end.send(true);
    upkeep.abort();
    tokio::select! {
        // Nothing is entered into the audit log any more once its end is signed.
        () = async { tokio::join!(rest.all(), upkeep.all()); } => {}
        () = signals.told_to_end() => process::exit(FORCED),
    }
    if let Place::Authority(authority) = &place
        && let Err(error) = authority.last_checkpoint(SystemTime::now()).await
    {
        tracing::warn!(%error, "the end of the audit log was not signed");
    }
    store.close().await;
    tracing::info!("ended in order");
    result
}

/// What this server is in its organisation, running.
pub(super) enum Place {
    Authority(Arc<Authority>),
    /// Where the authority was when it joined.
    Member(SocketAddr),
}

impl Place {
    fn of(start: &Start, member: &Arc<Member>) -> Self {
        match &start.seat {
            Seat::Authority(ca) => {
                let copy = start.layout.file(Layout::TOPOLOGY);
                let authority = Authority::new(Arc::clone(ca), start.store.clone(), Arc::clone(member), start.domain.as_str(), copy);
                let restored = start.layout.file(Layout::RESTORED);
                if restored.exists() {
                    authority.recover(restored);
                }
                Self::Authority(authority)
            }
            Seat::Member(address) => Self::Member(*address),
        }
    }
}

fn member(start: &Start, policy: Arc<LivePolicy>, handle: Handle) -> Arc<Member> {
    let holdings = start.holdings.clone();
    let member = Member::new(start.server_name.clone(), start.domain.as_str(), holdings, policy, handle, start.store.clone());
    let layout = start.layout.clone();
    let member = member.telling_roots(move |roots| organisation::show_roots(&layout, roots));
    member.show(shown(&start.certificate.facts));
    Arc::new(member)
}

/// What the authority is told of a certificate that this server shows.
pub(super) fn shown(facts: &pki::CertificateFacts) -> ShownCertificate {
    ShownCertificate { serial: facts.serial.to_string(), not_after: admin::rfc3339(facts.not_after) }
}

/// Who says that our certificate is good.
fn source(place: &Place, shelf: Arc<dyn Published>, links: &Arc<rustls::ClientConfig>) -> Source {
    match place {
        Place::Authority(_) => Source::Ours(shelf),
        Place::Member(address) => Source::Authority(Arc::clone(links), *address),
    }
}

fn agent(
    start: &Start,
    authority: SocketAddr,
    member: &Arc<Member>,
    tls: Arc<rustls::ClientConfig>,
    renew: mpsc::Sender<()>,
    identity: &Arc<ServerIdentity>,
) -> Agent {
    let taken = start.taken;
    let listeners = MemberListeners { sip: Some(taken.sip), servers: Some(taken.servers), https: Some(taken.https) };
    Agent::new(Arc::clone(member), Said { listeners, authority }, tls, renew, Arc::clone(identity))
}

/// Runs until a signal says otherwise, then until every SIP connection was told. A process in which something has ended by itself
/// is half a server that says it is well: it ends, and whoever started it starts a whole one.
async fn until_told(
    signals: &mut Signals,
    mut core: JoinHandle<()>,
    [rest, upkeep]: [&mut Tasks; 2],
    renewal: &Renewal,
    shutdown: impl FnOnce(),
) -> anyhow::Result<()> {
    loop {
        tokio::select! {
            biased;
            _ = &mut core => bail!("the signalling core ended by itself: look at the log, and report this as a fault of verbund"),
            what = rest.ended() => bail!("{what}: look at the log, and report this as a fault of verbund"),
            what = upkeep.ended() => bail!("{what}: look at the log, and report this as a fault of verbund"),
            told = signals.next() => match told {
                Told::Reload => renewal.reload().await,
                Told::End => break,
            },
        }
    }
    tracing::info!("told to end; once more ends at once");
    shutdown();
    tokio::select! {
        _ = core => Ok(()),
        () = signals.told_to_end() => process::exit(FORCED),
    }
}

async fn end_of(mut ended: watch::Receiver<bool>) {
    // A sender that is gone is an end too.
    let _ = ended.wait_for(|ended| *ended).await;
}

/// What a signal asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Told {
    End,
    Reload,
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    reload: Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            reload: listen(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.terminate.recv() => Told::End,
            _ = self.interrupt.recv() => Told::End,
            _ = self.reload.recv() => Told::Reload,
        }
    }

    async fn told_to_end(&mut self) {
        while self.next().await != Told::End {}
    }
}

/// The bounds of the rim, as far as the topology has a word in them.
fn limits(said: ServerLimits) -> Limits {
    let of = |said: Option<NonZeroU32>, usual: usize| said.and_then(|said| usize::try_from(said.get()).ok()).unwrap_or(usual);
    Limits {
        connections_max: of(said.connections, Limits::DEFAULT.connections_max),
        connections_per_source_max: of(said.connections_per_source, Limits::DEFAULT.connections_per_source_max),
        ..Limits::DEFAULT
    }
}

fn node(start: &Start) -> anyhow::Result<Node> {
    let (directory, homes) = member::directory(&start.holdings)?;
    let settings = Settings {
        topology: Arc::clone(start.holdings.topology()),
        domain: start.domain.to_string(),
        name: start.server_name.clone(),
        port: start.taken.sip.port(),
        servers_port: Some(start.taken.servers.port()),
        also_named: vec![start.site.local_address().ip().to_string()],
        limits: node::Limits::default(),
    };
    let secrets = Secrets { proxy: pki::random()?.into(), challenger: pki::random()?.into() };
    let now = Instant::now();
    let mut node = Node::new(settings, directory, &secrets, now);
    node.set_homes(homes, now);
    Ok(node)
}

fn site(start: &Start, place: &Place, member: &Arc<Member>, health: Arc<Desk>, metrics: web::metrics::Metrics) -> Site {
    let site = &start.site;
    let sip = format!("{}:{}", site.server_name, site.sip.port());
    let (published, authority): (Arc<dyn Published>, _) = match place {
        Place::Authority(authority) => {
            let desk = web::Desk {
                name: start.server_name.clone(),
                port: start.taken.https.port(),
                enrolment: Arc::clone(authority) as _,
                control: Arc::clone(authority) as _,
            };
            (Arc::clone(authority) as _, Some(desk))
        }
        Place::Member(_) => (Arc::new(Shown(Arc::clone(member))), None),
    };
    Site {
        about: About { domain: site.domain.to_string(), server_name: site.server_name.to_string(), sip },
        published,
        health,
        metrics,
        authority,
    }
}

/// What a member shows to everyone: what it holds, as it was signed.
struct Shown(Arc<Member>);

impl Published for Shown {
    fn root_pem(&self) -> String {
        self.0.holdings().bundle().roots_pem()
    }

    fn bundle(&self) -> Option<String> {
        Some(self.0.holdings().bundle_text().text.clone())
    }
}
