//! The running server: SIP, HTTPS and the admin socket, from the first connection to the last.

use std::{
    process,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use net::{Gate, Limits};
use node::{Node, Secrets, Settings};
use registrar::Directory;
use rustls::time_provider::DefaultTimeProvider;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
    task::{JoinHandle, JoinSet},
};
use topology::Topology;
use trust::{
    Listener, LivePolicy, Policy,
    tls::{ServerIdentity, web_config},
};
use web::{About, Site, admin};

use super::{Start, desk::Desk, figures, renewal::Renewal};
use crate::{organisation::Organisation, ports::Ports};

/// Exit code of a process that was told twice to end, as shells have it for SIGINT.
const FORCED: i32 = 130;

/// Serves until SIGTERM or SIGINT; `ready` is called when everyone can connect.
///
/// # Errors
/// A listener or the admin socket cannot be had, or the signalling core failed.
pub(super) async fn serve(start: Start, ports: Ports, ready: impl FnOnce(&Start) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let mut signals = Signals::new()?;
    let metrics = web::metrics::install()?;
    let organisation = &start.organisation;
    let identity = ServerIdentity::new(organisation.certificate.chain.clone(), &organisation.certificate.key)?;
    let socket = admin::Socket::bind(organisation.layout.data()).await?;
    let (sip, https) = ports.hand_over();
    let policy = policy(organisation);
    let server = net::Server::on(vec![(sip, gate(&identity, &policy)?)], None, Limits::DEFAULT, node(&start)?)?;
    let handle = server.handle();
    let desk = Arc::new(Desk::of(&start, handle.clone(), Arc::clone(&identity)));
    let renewal = Arc::new(Renewal::of(organisation, Arc::clone(&identity)));

    let (end, ended) = watch::channel(false);
    let mut rest = JoinSet::new();
    let core = tokio::spawn(server.run());
    let site = site(&start, Arc::clone(&desk), metrics);
    let tls = web_config(identity, policy, Arc::new(DefaultTimeProvider))?;
    let https = tokio::net::TcpListener::from_std(https)?;
    rest.spawn(web::serve(https, tls, site, web::Limits::HTTPS, end_of(ended.clone())));
    rest.spawn(admin::serve(socket, Arc::clone(&desk) as Arc<dyn admin::Admin>, web::Limits::ADMIN, end_of(ended)));
    let upkeep = [tokio::spawn(Arc::clone(&renewal).run()), tokio::spawn(figures::publish(handle.clone()))];

    let store = organisation.store.clone();
    ready(&start)?;
    // Passwords are in memory as long as they are to be told, no longer.
    drop(start);
    let result = until_told(&mut signals, core, &mut rest, &renewal, || handle.shutdown()).await;
    let _ = end.send(true);
    upkeep.iter().for_each(JoinHandle::abort);
    tokio::select! {
        () = async { while rest.join_next().await.is_some() {} } => {}
        () = signals.told_to_end() => process::exit(FORCED),
    }
    store.close().await;
    tracing::info!("ended in order");
    result
}

/// Runs until a signal says otherwise, then until every SIP connection was told.
async fn until_told(
    signals: &mut Signals,
    mut core: JoinHandle<()>,
    rest: &mut JoinSet<()>,
    renewal: &Renewal,
    shutdown: impl FnOnce(),
) -> anyhow::Result<()> {
    loop {
        tokio::select! {
            _ = &mut core => bail!("the signalling core ended by itself: look at the log, and report this as a fault of verbund"),
            _ = rest.join_next() => bail!("HTTPS or the admin socket ended by itself: look at the log, and report this as a fault of verbund"),
            told = signals.next() => match told {
                Told::Reload => renewal.reload(),
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

fn gate(identity: &Arc<ServerIdentity>, policy: &Arc<LivePolicy>) -> anyhow::Result<Gate> {
    Ok(Gate::new(Listener::Clients, Arc::clone(identity), Arc::clone(policy), Arc::new(DefaultTimeProvider))?)
}

/// What this server believes. No revocation lists are published yet, so whoever shows a certificate is refused
/// (row N6); phones sign in without one.
fn policy(organisation: &Organisation) -> Arc<LivePolicy> {
    LivePolicy::new(Policy {
        topology: organisation.topology.clone(),
        anchors: organisation.authority.anchors(),
        revocation: pki::Revocation::strict(pki::RevocationLists::new(), Duration::ZERO),
        issuing: organisation.authority.pinned(),
    })
}

fn node(start: &Start) -> anyhow::Result<Node> {
    let organisation = &start.organisation;
    let mut directory = Directory::new();
    for user in &organisation.users {
        directory.put(user.aor.user.clone(), user.credential.clone())?;
    }
    let topology: Topology = organisation.topology.clone();
    let settings = Settings {
        topology: Arc::new(topology),
        domain: organisation.manifest.domain.to_string(),
        name: organisation.manifest.server_name.clone(),
        port: start.sip.port(),
        servers_port: None,
        also_named: vec![start.site.local_address().ip().to_string()],
        limits: node::Limits::default(),
    };
    let secrets = Secrets { proxy: pki::random()?.into(), challenger: pki::random()?.into() };
    Ok(Node::new(settings, directory, &secrets, Instant::now()))
}

fn site(start: &Start, health: Arc<Desk>, metrics: web::metrics::Metrics) -> Site {
    let site = &start.site;
    let sip = format!("{}:{}", site.server_name, site.sip.port());
    Site {
        about: About { domain: site.domain.to_string(), server_name: site.server_name.to_string(), sip },
        root_pem: start.organisation.authority.root_pem(),
        health,
        metrics,
    }
}
