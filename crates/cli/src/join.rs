//! `verbund join`: one string, and this machine is a server of the organisation.
//!
//! The root is believed because its fingerprint stands in the string; everything else is believed because of the root. The key is
//! made here and stays here (P5).

use std::{
    env,
    io::{self, Write as _},
    net::SocketAddr,
    os::unix::process::CommandExt as _,
    process::Command,
    sync::Arc,
    time::SystemTime,
};

use anyhow::{Context as _, bail, ensure};
use member::{Believed, Holdings, JoinString};
use pki::{Anchors, Bundle, Fqdn, Key, Revocation, RevocationList, RevocationLists};
use rustls::{ClientConfig, time_provider::DefaultTimeProvider};
use trust::tls::{ClientIdentity, client_config};
use web::{
    client::{Target, acme, root::fetch_root},
    control::{ControlClient, Held, Hello, MemberListeners, Update},
};
use zeroize::Zeroizing;

use crate::{
    args, log,
    organisation::{
        self, Found, Layout, ServerCertificate,
        membership::{Joined, MemberManifest},
    },
    ports::{Ports, Taken},
    secrets, up,
};

/// Joins, then serves until SIGTERM or Ctrl-C.
///
/// # Errors
/// The string is no good, the authority is not there or not the one meant, or says no. Nothing is left behind then.
pub(crate) fn run(data: &args::Data, args: &args::Join) -> anyhow::Result<()> {
    log::start(args.serving.log_format)?;
    let is_usual = data.data.is_none();
    let data = up::data_dir(data)?;
    let string: JoinString = read(args.string.as_deref())?.parse()?;
    up::block_on(async {
        match organisation::find(&data)? {
            Found::Nothing => {}
            Found::Member(_) => bail!("{} is that of a server that has joined already: start it with `verbund up`", data.display()),
            Found::Organisation(_) => {
                bail!("{} is that of an organisation's authority: choose another directory with --data", data.display())
            }
        }
        // Whoever is in the way is told of before the ticket is used.
        let ports = Ports::take(args.serving.listeners(None), None)?;
        let joined = join(&string, ports.taken).await?;
        let lock = organisation::make_member(&data, &joined).await?;
        let taken = ports.taken;
        drop(ports);
        let serving = args.serving.at(taken);
        let (start, ports) = up::member_start(&data, &serving, lock, true).await?;
        up::serve(start, ports, args.serving.json, is_usual).await
    })
}

/// The string itself, or a line of standard input.
fn read(string: Option<&str>) -> anyhow::Result<Zeroizing<String>> {
    match string {
        Some(string) if string != "-" => {
            out_of_sight(string)?;
            Ok(Zeroizing::new(string.to_owned()))
        }
        Some(_) | None => secrets::line("Join string: ", JoinString::BYTES_MAX).context("no join string: give it as the argument"),
    }
}

/// Arguments can be seen by everybody on this machine, and whoever sees the string first can use it: this process begins anew
/// with the string on its standard input. Returns where that cannot be; the string is good all the same.
fn out_of_sight(string: &str) -> anyhow::Result<()> {
    let (reader, mut writer) = io::pipe().context("cannot make a pipe")?;
    writer.write_all(string.as_bytes())?;
    drop(writer);
    let arguments = env::args_os().skip(1).map(|argument| if argument == *string { "-".into() } else { argument });
    let error = Command::new(env::current_exe()?).args(arguments).stdin(reader).exec();
    tracing::debug!(%error, "the join string can be seen among this machine's processes");
    Ok(())
}

fn tls(anchors: Anchors, revocation: Revocation, identity: Option<ClientIdentity<'_>>) -> anyhow::Result<Arc<ClientConfig>> {
    Ok(client_config(anchors, revocation, identity, Arc::new(DefaultTimeProvider))?)
}

async fn join(string: &JoinString, taken: Taken) -> anyhow::Result<Joined> {
    let root_pem = fetch_root(string.address, &string.authority, string.root).await?;
    let anchors = Anchors::from_pem(&root_pem)?;
    let target = |tls| Target { address: string.address, name: string.authority.clone(), port: string.address.port(), tls };
    // Before the lists are known, the authority's own certificate can only be believed by its root and name.
    let anonymous = target(tls(anchors.clone(), Revocation::none(), None)?);
    let trust = first_trust(&anonymous, string).await?;
    let checked = target(tls(anchors, Revocation::strict(trust.lists.clone(), member::GRACE), None)?);
    let key = Key::generate()?;
    let request = pki::certificate_request(&key, std::slice::from_ref(&string.server))?;
    let enrolled = acme::enrol(&checked, &string.kid, &string.key, &string.server, &request).await?;
    let chain = pki::certificates_from_pem(&enrolled.chain_pem)?;
    let identity = ClientIdentity { chain, key: &key };
    let mutual = target(tls(trust.bundle.anchors()?, Revocation::strict(trust.lists.clone(), member::GRACE), Some(identity))?);
    let (holdings, users_domain) = first_holdings(mutual, string, &trust, taken).await?;
    // The one that passwords were digested with; a topology may list several, in any order.
    let domain = users_domain.or_else(|| holdings.topology().domains().first().cloned()).context("the topology lists no domain")?;
    let manifest = MemberManifest { domain, server_name: string.server.clone(), authority: string.address };
    let root_pem = trust.bundle.roots_pem();
    Ok(Joined { manifest, root_pem, chain_pem: enrolled.chain_pem, key, account: enrolled.account, holdings })
}

/// What can be believed with nothing but the root.
struct Trust {
    bundle: Bundle,
    text: Believed,
    lists: RevocationLists,
    ders: Vec<Vec<u8>>,
}

async fn first_trust(authority: &Target, string: &JoinString) -> anyhow::Result<Trust> {
    let now = SystemTime::now();
    let text = String::from_utf8(get(authority, "/.well-known/verbund/bundle").await?).context("the trust bundle is no text")?;
    let (bundle, _) = Bundle::read_pinned(&text, string.root, now)?;
    let issuers: Vec<_> = bundle.list_issuers().cloned().collect();
    let (mut lists, mut ders) = (RevocationLists::new(), Vec::new());
    for issuer in &issuers {
        let der = get(authority, &pki::Urls::list_path(issuer)).await?;
        lists.take(RevocationList::read(&der, &issuers)?, now)?;
        ders.push(der);
    }
    Ok(Trust { bundle, text: Believed { text, at: now }, lists, ders })
}

async fn get(authority: &Target, path: &str) -> anyhow::Result<Vec<u8>> {
    let response = authority.get(path).await?;
    ensure!(
        response.status.is_success(),
        "{} has no {path} ({}): is it the authority, and of this version?",
        authority.authority(),
        response.status
    );
    Ok(response.body)
}

/// The topology and the users, told to whoever is a member: this server is one from here on. With the domain of the users, if there are
/// any.
async fn first_holdings(authority: Target, string: &JoinString, trust: &Trust, taken: Taken) -> anyhow::Result<(Holdings, Option<Fqdn>)> {
    let client = ControlClient::connect(authority).await?;
    let listeners = MemberListeners { sip: Some(taken.sip), servers: Some(taken.servers), https: Some(taken.https) };
    client.hello(&Hello { version: env!("CARGO_PKG_VERSION").to_owned(), listeners }).await?;
    let mut feed = client.feed(&Held { bundle: trust.bundle.sequence, ..Held::default() }).await?;
    let (mut holdings, mut domain): (Option<Holdings>, Option<Fqdn>) = (None, None);
    loop {
        let update = feed.next().await?;
        let now = SystemTime::now();
        if let Update::Users { put, .. } = &update
            && let Some(first) = put.first()
        {
            domain = Some(Fqdn::parse(&first.domain).context("the authority's directory of users names a domain that is none")?);
        }
        match (&mut holdings, &update) {
            (None, Update::Topology { document }) => {
                let topology = Believed { text: document.clone(), at: now };
                holdings = Some(Holdings::begin(string.root, trust.text.clone(), &trust.ders, topology)?);
            }
            (None, _) => {}
            (Some(holdings), update) => {
                holdings.take(update, now)?;
            }
        }
        if let (Some(holdings), Update::Users { more: false, .. }) = (&mut holdings, &update) {
            return Ok((holdings.clone(), domain));
        }
    }
}

/// A new certificate for a new key, by the account that was made when this server joined; also when the old one has ended.
///
/// # Errors
/// The authority is not there, says no, or a file cannot be written: the old certificate stays.
pub(crate) async fn renew(layout: &Layout, holdings: &Holdings, joined_at: SocketAddr, server: &Fqdn) -> anyhow::Result<ServerCertificate> {
    let tls = tls(holdings.bundle().anchors()?, holdings.revocation(), None)?;
    let name = holdings.topology().authority().fqdn();
    let account = crate::files::read_private(&layout.file(Layout::ACCOUNT))?;
    let key = Key::generate()?;
    let request = pki::certificate_request(&key, std::slice::from_ref(server))?;
    let mut failed = None;
    for address in member::authority_addresses(holdings, joined_at) {
        let target = Target { address, name: name.clone(), port: address.port(), tls: Arc::clone(&tls) };
        match acme::renew(&target, &account, server, &request).await {
            Ok(chain) => return ServerCertificate::keep(layout, &chain, key),
            // Somebody else may be there: the next address is no worse.
            Err(fault) => failed = Some(fault),
        }
    }
    Err(failed.map_or_else(|| anyhow::anyhow!("the authority has no address"), anyhow::Error::from))
}

impl args::Serving {
    /// The same, on the addresses that were taken.
    fn at(&self, taken: Taken) -> Self {
        Self {
            listen: Some(taken.sip),
            servers: Some(taken.servers),
            https: Some(taken.https),
            json: self.json,
            log_format: self.log_format,
        }
    }
}
