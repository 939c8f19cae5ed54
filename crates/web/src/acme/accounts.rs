//! Accounts: made with a ticket, read, given up, moved to another key (RFC 8555 §7.3).

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::problem::{Kind, Problem};
use super::request::{Authentic, Received, check_state};
use super::{Acme, Shared};
use crate::enrolment::{Account, AccountState, Fault, Ticket, TicketId};
use crate::jose::{AccountKey, Signed, Signer};

/// RFC 8555 §7.3. Contacts are not kept: the topology knows who runs a server.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct NewAccount {
    only_return_existing: bool,
    external_account_binding: Option<Value>,
}

/// Makes an account, or finds that of the key.
pub(super) async fn new_account(State(acme): Shared, request: Request) -> Result<Response, Problem> {
    let received = acme.receive(request).await?;
    let key = acme.of_key(&received)?;
    let wanted: NewAccount = received.message.read()?;
    if let Some(account) = acme.enrolment.account_of(&key).await? {
        check_state(&account)?;
        acme.use_up(&received)?;
        return Ok(shown(&acme, StatusCode::OK, &account));
    }
    if wanted.only_return_existing {
        return Err(Fault::NoAccount.into());
    }
    let binding = wanted.external_account_binding.ok_or_else(|| {
        let detail = "an account needs a ticket (external account binding); have one made with `verbund server add`";
        Problem::new(Kind::ExternalAccountRequired, detail)
    })?;
    let ticket = bound_ticket(&acme, binding, &received, &key).await?;
    acme.use_up(&received)?;
    let account = acme.enrolment.create_account(ticket.id, key).await?;
    Ok(shown(&acme, StatusCode::CREATED, &account))
}

/// The ticket that vouches for the key (RFC 8555 §7.3.4). Whoever cannot sign with the ticket's key does not learn
/// whether there is such a ticket; whoever can, learns why it does not count (row N33).
async fn bound_ticket(acme: &Acme, binding: Value, outer: &Received, key: &AccountKey) -> Result<Ticket, Problem> {
    let invalid = || Problem::unauthorized("the external account binding is not signed with the key of a ticket");
    let inner = Signed::from_value(binding)?;
    if inner.algorithm != "HS256" {
        return Err(Problem::malformed("the external account binding is signed by HS256"));
    }
    if inner.nonce.is_some() || inner.url != outer.message.url {
        return Err(Problem::malformed("the external account binding has the URL of the message around it, and no nonce"));
    }
    let Signer::Name(name) = &inner.signer else {
        return Err(Problem::malformed("the external account binding names its ticket by kid"));
    };
    let id = TicketId::parse(name).map_err(|_| invalid())?;
    let ticket = acme.enrolment.ticket(&id).await?.ok_or_else(invalid)?;
    if !inner.is_signed_with(&ticket.key) {
        return Err(invalid());
    }
    let bound: Map<String, Value> = inner.read()?;
    if AccountKey::read(&bound).ok().as_ref() != Some(key) {
        return Err(Problem::malformed("the external account binding is for another key than the one that signed the message"));
    }
    ticket.check()?;
    Ok(ticket)
}

/// What an account's owner may change.
#[derive(Deserialize)]
struct Change {
    status: Option<String>,
}

/// Reads an account, or gives it up (RFC 8555 §7.3.2, §7.3.6).
pub(super) async fn account(State(acme): Shared, Path(id): Path<String>, request: Request) -> Result<Response, Problem> {
    let Authentic { message, account } = acme.authenticate(request).await?;
    if account.id.as_str() != id {
        return Err(Problem::unauthorized("this account is another's"));
    }
    if message.payload.is_empty() {
        return Ok(shown(&acme, StatusCode::OK, &account));
    }
    let Change { status } = message.read()?;
    match status.as_deref() {
        None => Ok(shown(&acme, StatusCode::OK, &account)),
        Some("deactivated") => {
            let account = acme.enrolment.deactivate_account(account.id).await?;
            Ok(shown(&acme, StatusCode::OK, &account))
        }
        Some(_) => Err(Problem::malformed("the only status that can be asked for is deactivated")),
    }
}

/// What the inner message of a key change says (RFC 8555 §7.3.5).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct KeyChange {
    account: String,
    old_key: Map<String, Value>,
}

/// Moves an account to another key: both keys sign (RFC 8555 §7.3.5).
pub(super) async fn key_change(State(acme): Shared, request: Request) -> Result<Response, Problem> {
    let Authentic { message, account } = acme.authenticate(request).await?;
    let inner = Signed::parse(&message.payload)?;
    let key = new_key(&acme, &message, &inner, &account)?;
    if let Some(other) = acme.enrolment.account_of(&key).await? {
        return Err(Problem::conflict(Fault::KeyInUse.to_string(), acme.urls.account(&other.id)));
    }
    let account = acme.enrolment.change_key(account.id, key).await?;
    Ok(shown(&acme, StatusCode::OK, &account))
}

fn new_key(acme: &Acme, outer: &Signed, inner: &Signed, account: &Account) -> Result<AccountKey, Problem> {
    let Signer::Key(key) = &inner.signer else {
        return Err(Problem::malformed("the inner message has its new key in it (jwk)"));
    };
    if inner.nonce.is_some() || inner.url != outer.url {
        return Err(Problem::malformed("the inner message has the URL of the message around it, and no nonce"));
    }
    if !inner.is_signed_by(key) {
        return Err(Problem::unauthorized("the inner message is not signed by the new key"));
    }
    let change: KeyChange = inner.read()?;
    let same_account = acme.urls.account_in(&change.account).as_ref() == Some(&account.id);
    let same_key = AccountKey::read(&change.old_key).ok().as_ref() == Some(&account.key);
    if same_account && same_key {
        return Ok(key.clone());
    }
    Err(Problem::malformed("the inner message names another account or another old key"))
}

fn shown(acme: &Arc<Acme>, status: StatusCode, account: &Account) -> Response {
    let word = match account.state {
        AccountState::Valid => "valid",
        AccountState::Deactivated => "deactivated",
        AccountState::Revoked => "revoked",
    };
    let object = json!({ "status": word, "contact": [], "termsOfServiceAgreed": true, "orders": acme.orders_url(account) });
    (status, [(header::LOCATION, acme.urls.account(&account.id))], Json(object)).into_response()
}
