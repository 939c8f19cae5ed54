//! Revocation lists that ended while no line brought newer ones: fetched from the authority, as anybody may.
//!
//! A server whose lists are stale believes nobody (row N31), so neither its authority, and could not be told newer ones for good: a
//! deadlock after every outage longer than a list lasts. Lists are signed and public. To fetch them it is enough that whoever
//! gives them proves the authority's name below our root; one who lies with a certificate that was revoked since can withhold
//! lists, which he could do anyway, but neither forge one nor give an older one than is held (row N29). Everything else waits until
//! the lists are fresh.

use std::{sync::Arc, time::SystemTime};

use pki::{Revocation, Urls};
use rustls::{ClientConfig, time_provider::DefaultTimeProvider};
use trust::tls::{TlsFault, client_config};
use web::{
    client::{CallError, Target},
    control::Update,
};

use crate::{Holdings, Member, holdings::Refused};

/// Why there are no newer lists.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RefreshFault {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("the authority has no list at {path} ({status}): is it of this version?")]
    Absent { path: String, status: u16 },
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error(transparent)]
    Tls(#[from] TlsFault),
}

/// Whether a list that is held has ended, if only just.
pub(crate) fn is_stale(holdings: &Holdings, now: SystemTime) -> bool {
    holdings.lists().iter().any(|list| list.next_update() <= now)
}

/// Fetches the list of every CA from the authority and puts them into force, whole or not at all.
pub(crate) async fn refresh(member: &Member, authority: Target, now: SystemTime) -> Result<(), RefreshFault> {
    let holdings = member.holdings();
    let authority = Target { tls: root_and_name(&holdings)?, ..authority };
    let mut lists = Vec::new();
    for issuer in holdings.bundle().list_issuers() {
        let path = Urls::list_path(issuer);
        let response = authority.get(&path).await?;
        if !response.status.is_success() {
            return Err(RefreshFault::Absent { path, status: response.status.as_u16() });
        }
        lists.push(response.body);
    }
    member.take(&Update::RevocationLists { lists }, now).await?;
    tracing::info!(server = %member.name(), "stale revocation lists were replaced by fresh ones");
    Ok(())
}

/// TLS that asks for all but revocation, and shows no certificate: what is fetched so is public and proves itself.
fn root_and_name(holdings: &Holdings) -> Result<Arc<ClientConfig>, RefreshFault> {
    let anchors = holdings.policy()?.anchors;
    Ok(client_config(anchors, Revocation::none(), None, Arc::new(DefaultTimeProvider))?)
}
