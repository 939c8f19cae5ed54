//! The way back to an authority whose CA was replaced while this server was away.
//!
//! Neither end believes the other then, so nothing that is said on a connection counts. The bundles that lead over a replacement,
//! and the revocation lists of its CAs, are signed and for everybody: they prove themselves, whoever hands them out.

use std::time::SystemTime;

use pki::{CertificateDer, Urls};
use web::{
    client::{
        Target,
        root::{RootFault, fetch_signed},
    },
    control::Update,
};

use crate::{Member, Refused};

/// What became of looking for it.
#[derive(Debug)]
pub(crate) enum WayBack {
    /// Nothing newer is offered: the reason why there is no line is another one.
    None,
    /// A newer bundle was believed; whether it names other CAs.
    Found { others: bool },
    /// A newer one is offered, and does not follow from what is held (row N29).
    Broken(Refused),
}

/// Takes the next bundle that the server at `target` offers to everybody, if it follows from the one held.
///
/// # Errors
/// It is not there, or has no such thing.
pub(crate) async fn find(member: &Member, target: &Target) -> Result<WayBack, RootFault> {
    let held = member.holdings();
    let path = format!("/.well-known/verbund/bundle?after={}", held.bundle().sequence);
    let Some(text) = fetch_signed(target.address, &target.name, &path).await? else { return Ok(WayBack::None) };
    // Those that are held may have run out meanwhile, and then nobody is believed, nor who signed the bundle.
    fetch_lists(member, target, held.bundle().list_issuers()).await;
    let document = String::from_utf8_lossy(&text).into_owned();
    if let Err(refused) = member.take(&Update::Bundle { document }, SystemTime::now()).await {
        return Ok(WayBack::Broken(refused));
    }
    fetch_lists(member, target, member.holdings().bundle().list_issuers()).await;
    Ok(WayBack::Found { others: member.holdings().bundle().issuing != held.bundle().issuing })
}

/// Each by itself: one that is missing or refused leaves the others good, and is told where it is refused.
async fn fetch_lists(member: &Member, target: &Target, issuers: impl Iterator<Item = &CertificateDer<'static>>) {
    for issuer in issuers {
        if let Ok(Some(list)) = fetch_signed(target.address, &target.name, &Urls::list_path(issuer)).await {
            let _ = member.take(&Update::RevocationLists { lists: vec![list] }, SystemTime::now()).await;
        }
    }
}
