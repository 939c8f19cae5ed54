//! What is fetched from the authority where its line does not bring it: revocation lists and the trust bundle.
//!
//! After a separation that was longer than lists live nobody is believed, the authority neither, so no line to it can be had: what
//! would end that must come another way. Lists and bundle are signed, so they prove themselves, whoever hands them over (as at a
//! join); they are taken like all others, and from then on everything is judged strictly again. Nothing is said on this connection,
//! and nothing else that comes over it is believed.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use pki::{DOCUMENT_BYTES_MAX, REVOCATION_LIST_BYTES_MAX, Revocation, Urls};
use rustls::time_provider::DefaultTimeProvider;
use trust::tls::client_config;
use web::{
    client::{CallError, Target},
    control::Update,
};

use crate::{Holdings, Member};

/// Where the bundle is.
const BUNDLE_PATH: &str = "/.well-known/verbund/bundle";
/// The shortest and the longest pause between two questions, whatever the bundle says of its `refresh`.
const REFRESH_MIN: Duration = Duration::from_mins(1);
const REFRESH_MAX: Duration = Duration::from_hours(1);

/// Why nothing could be fetched.
#[derive(Debug, thiserror::Error)]
pub enum CatchUpFault {
    /// Nobody could be reached, or who was reached is not the authority.
    #[error(transparent)]
    Call(#[from] CallError),
    /// There is no TLS to ask with.
    #[error(transparent)]
    Tls(#[from] trust::tls::TlsFault),
    /// What is held cannot be used.
    #[error(transparent)]
    Refused(#[from] crate::Refused),
    /// It has none.
    #[error("{server} shows neither revocation lists nor a trust bundle: is it the authority, and of this version?")]
    Nothing {
        /// Who was asked.
        server: String,
    },
}

/// Where the authority may be: by the topology in force, then where it was when this server joined. An address says where to go,
/// never whom to trust (P16), so a second one weakens nothing, and one wrong entry in a topology is not for ever.
#[must_use]
pub fn authority_addresses(holdings: &Holdings, joined_at: SocketAddr) -> Vec<SocketAddr> {
    let mut addresses: Vec<SocketAddr> = holdings.topology().authority().listeners().https.into_iter().collect();
    if !addresses.contains(&joined_at) {
        addresses.push(joined_at);
    }
    addresses
}

/// How long who is not told of news waits before it asks for them again.
pub(crate) fn refresh(holdings: &Holdings) -> Duration {
    holdings.bundle().refresh.clamp(REFRESH_MIN, REFRESH_MAX)
}

/// Fetches revocation lists and the bundle from the authority, and takes what is news.
///
/// # Errors
/// No address of the authority answers with any of it. What is held stays.
pub async fn catch_up(member: &Member, joined_at: SocketAddr) -> Result<(), CatchUpFault> {
    let mut fault = None;
    for address in authority_addresses(&member.holdings(), joined_at) {
        match catch_up_at(member, address).await {
            Ok(()) => return Ok(()),
            Err(error) => fault = Some(error),
        }
    }
    fault.map_or(Ok(()), Err)
}

async fn catch_up_at(member: &Member, address: SocketAddr) -> Result<(), CatchUpFault> {
    let held = member.holdings();
    let authority = target(&held, address)?;
    let mut found = fetch_lists(member, &authority).await?;
    // After the lists: by them it is judged who signed it. Where the CA was replaced meanwhile, it is the one that leads there.
    let path = format!("{BUNDLE_PATH}?after={}", held.bundle().sequence);
    if let Some(document) = get(&authority, &path, DOCUMENT_BYTES_MAX).await?.and_then(|text| String::from_utf8(text).ok()) {
        found = true;
        if held.bundle_text().text != document {
            take(member, Update::Bundle { document }).await;
        }
    }
    if member.holdings().bundle().issuing != held.bundle().issuing {
        fetch_lists(member, &authority).await?;
    }
    if found { Ok(()) } else { Err(CatchUpFault::Nothing { server: authority.authority() }) }
}

/// Whether there were any.
async fn fetch_lists(member: &Member, authority: &Target) -> Result<bool, CallError> {
    let mut found = false;
    for path in list_paths(&member.holdings()) {
        let Some(der) = get(authority, &path, REVOCATION_LIST_BYTES_MAX).await? else { continue };
        found = true;
        if !member.holdings().lists().iter().any(|held| held.as_der() == der) {
            take(member, Update::RevocationLists { lists: vec![der] }).await;
        }
    }
    Ok(found)
}

fn list_paths(holdings: &Holdings) -> Vec<String> {
    holdings.bundle().list_issuers().map(|issuer| Urls::list_path(issuer)).collect()
}

/// The authority by its root and its name, and not by a certificate that is known to be revoked; how old that knowledge is, is not
/// asked here, for it is what is fetched.
fn target(holdings: &Holdings, address: SocketAddr) -> Result<Target, CatchUpFault> {
    let anchors = holdings.bundle().anchors().map_err(crate::Refused::from)?;
    let tls = client_config(anchors, Revocation::known(holdings.lists().clone()), None, Arc::new(DefaultTimeProvider))?;
    Ok(Target { address, name: holdings.topology().authority().fqdn().clone(), port: address.port(), tls })
}

async fn get(authority: &Target, path: &str, bytes_max: usize) -> Result<Option<Vec<u8>>, CallError> {
    let response = authority.get_up_to(path, bytes_max).await?;
    Ok(response.status.is_success().then_some(response.body))
}

/// A refusal is told by the member itself, and the rest may be better.
async fn take(member: &Member, update: Update) {
    if let Ok(taken) = member.take(&update, SystemTime::now()).await {
        tracing::info!(server = %member.name(), trust = taken.changed.trust, "fetched from the authority what its line did not bring");
    }
}
