//! Orders, and their authorizations and challenges, which are born valid (RFC 8555 §7.4, §7.5).

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use pki::Fqdn;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use super::orders::{Order, State as OrderState};
use super::problem::{Kind, Problem};
use super::{Acme, Shared, path};
use crate::admin::rfc3339;
use crate::enrolment::Applicant;

/// The most names of one order.
const NAMES_MAX: usize = 100;
/// The longest name of a certificate that is replaced.
const REPLACES_CHARS_MAX: usize = 200;

/// RFC 8555 §7.4, RFC 9773 §5.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NewOrder {
    identifiers: Vec<Identifier>,
    not_before: Option<IgnoredAny>,
    not_after: Option<IgnoredAny>,
    profile: Option<IgnoredAny>,
    replaces: Option<String>,
}

#[derive(Deserialize)]
struct Identifier {
    #[serde(rename = "type")]
    kind: String,
    value: String,
}

pub(super) async fn new_order(State(acme): Shared, request: Request) -> Result<Response, Problem> {
    let authentic = acme.authenticate(request).await?;
    let wanted: NewOrder = authentic.message.read()?;
    check_wishes(&wanted)?;
    let names = names(&wanted.identifiers)?;
    let account = authentic.account.id;
    acme.pace.order(&account, Instant::now()).map_err(Problem::rate_limited)?;
    acme.enrolment.authorize(&Applicant::Account(account.clone()), &names).await?;
    let order = acme.orders.add(account, names, wanted.replaces, SystemTime::now())?;
    Ok(shown(&acme, StatusCode::CREATED, &order))
}

/// The life of a certificate and what is in it is decided here, not by who asks.
fn check_wishes(wanted: &NewOrder) -> Result<(), Problem> {
    if wanted.not_before.is_some() || wanted.not_after.is_some() {
        return Err(Problem::malformed("notBefore and notAfter cannot be chosen"));
    }
    if wanted.profile.is_some() {
        return Err(Problem::new(Kind::InvalidProfile, "there are no profiles to choose from"));
    }
    let harmless = |text: &String| text.len() <= REPLACES_CHARS_MAX && text.is_ascii();
    if wanted.replaces.as_ref().is_none_or(harmless) { Ok(()) } else { Err(Problem::malformed("replaces names no certificate")) }
}

fn names(identifiers: &[Identifier]) -> Result<Vec<Fqdn>, Problem> {
    if identifiers.is_empty() || identifiers.len() > NAMES_MAX {
        return Err(Problem::malformed(format!("an order has 1 to {NAMES_MAX} names")));
    }
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for identifier in identifiers {
        match name(identifier) {
            Ok(name) if good.contains(&name) => {}
            Ok(name) => good.push(name),
            Err(kind) => bad.push((kind, identifier.value.chars().filter(|character| !character.is_control()).take(255).collect())),
        }
    }
    if bad.is_empty() { Ok(good) } else { Err(Problem::of_names("certificates are for DNS names of hosts, without wildcard", bad)) }
}

fn name(identifier: &Identifier) -> Result<Fqdn, Kind> {
    if identifier.kind != "dns" {
        return Err(Kind::UnsupportedIdentifier);
    }
    Fqdn::parse(&identifier.value).map_err(|_| Kind::RejectedIdentifier)
}

/// The URLs of an account's orders (RFC 8555 §7.1.2.1).
pub(super) async fn orders(State(acme): Shared, Path(id): Path<String>, request: Request) -> Result<Response, Problem> {
    let account = acme.authenticate_reader(request).await?.account;
    if account.id.as_str() != id {
        return Err(Problem::unauthorized("these orders are another account's"));
    }
    let ids = acme.orders.of_account(&account.id, SystemTime::now());
    let urls: Vec<_> = ids.iter().map(|id| acme.urls.one(path::ORDER, id)).collect();
    Ok(Json(json!({ "orders": urls })).into_response())
}

pub(super) async fn order(State(acme): Shared, Path(id): Path<String>, request: Request) -> Result<Response, Problem> {
    let account = acme.authenticate_reader(request).await?.account;
    let order = acme.orders.one(&id, &account.id, SystemTime::now())?;
    Ok(shown(&acme, StatusCode::OK, &order))
}

/// RFC 8555 §7.5. It cannot be given up: the order ends soon enough.
pub(super) async fn authorization(
    State(acme): Shared,
    Path((id, number)): Path<(String, usize)>,
    request: Request,
) -> Result<Response, Problem> {
    let account = acme.authenticate_reader(request).await?.account;
    let order = acme.orders.one(&id, &account.id, SystemTime::now())?;
    let name = order.names.get(number).ok_or_else(Problem::not_found)?;
    let object = json!({
        "status": "valid",
        "expires": rfc3339(order.expires()),
        "identifier": { "type": "dns", "value": name.as_str() },
        "challenges": [challenge_object(&acme, &order, number)],
    });
    Ok(Json(object).into_response())
}

/// RFC 8555 §7.5.1: whoever answers a challenge hears that it was met already.
pub(super) async fn challenge(
    State(acme): Shared,
    Path((id, number)): Path<(String, usize)>,
    request: Request,
) -> Result<Response, Problem> {
    let account = acme.authenticate(request).await?.account;
    let order = acme.orders.one(&id, &account.id, SystemTime::now())?;
    order.names.get(number).ok_or_else(Problem::not_found)?;
    let up = format!("<{}>;rel=\"up\"", acme.urls.one(path::AUTHORIZATION, &format!("{id}/{number}")));
    let mut response = Json(challenge_object(&acme, &order, number)).into_response();
    if let Ok(up) = HeaderValue::from_str(&up) {
        response.headers_mut().append(header::LINK, up);
    }
    Ok(response)
}

/// Clients want one challenge at least, and a token that is base64url even where nobody looks at it.
fn challenge_object(acme: &Acme, order: &Order, number: usize) -> Value {
    json!({
        "type": "http-01",
        "status": "valid",
        "validated": rfc3339(order.made),
        "url": acme.urls.one(path::CHALLENGE, &format!("{}/{number}", order.id)),
        "token": order.id,
    })
}

pub(super) fn shown(acme: &Arc<Acme>, status: StatusCode, order: &Order) -> Response {
    let authorization = |number| acme.urls.one(path::AUTHORIZATION, &format!("{}/{number}", order.id));
    let identifiers: Vec<_> = order.names.iter().map(|name| json!({ "type": "dns", "value": name.as_str() })).collect();
    let mut object = json!({
        "status": order.status(),
        "expires": rfc3339(order.expires()),
        "identifiers": identifiers,
        "authorizations": (0..order.names.len()).map(authorization).collect::<Vec<_>>(),
        "finalize": acme.urls.one(path::FINALIZE, &order.id),
    });
    if let Some(replaces) = &order.replaces {
        object["replaces"] = json!(replaces);
    }
    match &order.state {
        OrderState::Ready | OrderState::Processing => {}
        OrderState::Valid(_) => object["certificate"] = json!(acme.urls.one(path::CERTIFICATE, &order.id)),
        OrderState::Invalid(error) => object["error"] = error.clone(),
    }
    (status, [(header::LOCATION, acme.urls.one(path::ORDER, &order.id))], Json(object)).into_response()
}
