//! From HTTP requests to questions of the [`Admin`], and back. Whatever is not understood exactly is refused.

use std::sync::Arc;

use axum::body::to_bytes;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::IntoResponse;
use axum::routing::{delete, get, post, put};
use axum::{Json, Router};
use pki::Fqdn;
use registrar::UserName;
use serde::de::DeserializeOwned;

use super::{
    Added, Admin, AuditLink, AuditVerdict, BackupNote, CaReplacement, CaRequest, Certificate, Chain, Created, DECISIONS_DEFAULT,
    DECISIONS_MAX, Decision, Document, Expiry, Judgement, LeftBehind, Member, Moved, NOTED_MAX, NewHome, NewPassword, NewReplacement,
    NewServer, NewUser, Noted, Problem, PublishedTopology, Revocation, Spread, Status, User, VERSION,
};
use crate::{Limits, connection};

/// The longest document: a topology in JSON's spelling.
const DOCUMENT_BYTES_MAX: usize = 8 << 20;
/// The longest list of noted ends of the audit log.
const NOTED_BYTES_MAX: usize = NOTED_MAX * 128;

#[derive(Clone)]
struct Desk {
    admin: Arc<dyn Admin>,
    body_bytes_max: usize,
}

pub(super) fn router(admin: Arc<dyn Admin>, limits: Limits) -> Router {
    let late = |status| Problem::new(status, "this took too long", "look at the server's log").into_response();
    let routes = Router::new()
        .route("/status", get(status))
        .route("/users", get(users).post(add_user))
        .route("/users/{name}", delete(remove_user))
        .route("/users/{name}/password", put(set_password))
        .route("/users/{name}/pool", put(move_user))
        .route("/users/{name}/certificate", post(sign_user))
        .route("/certificates", get(certificates))
        .route("/decisions", get(decisions))
        .route("/servers", get(members).post(add_server))
        .route("/servers/{name}", delete(remove_server))
        .route("/servers/{name}/certificate", post(sign))
        .route("/topology", get(topology).post(publish))
        .route("/topology/judgement", post(judge))
        .route("/topology/history", get(history))
        .route("/topology/{version}", get(topology_at))
        .route("/ledger", get(ledger))
        .route("/expiries", get(expiries))
        .route("/revocations", post(revoke))
        .route("/ca/replacement", get(ca_replacement).post(replace_ca).delete(give_up_ca_replacement))
        .route("/ca/requests", post(request_ca))
        .route("/recovery", post(go_on))
        .route("/backups", post(backed_up))
        .route("/audit", get(audit))
        .route("/audit/verification", post(verify_audit));
    Router::new()
        .nest(VERSION, routes)
        .fallback(|| async { Problem::not_found("there is nothing at this path", "are command and server of the same version?") })
        .method_not_allowed_fallback(|| async {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "this method does nothing here", "are command and server of the same version?")
        })
        .with_state(Desk { admin, body_bytes_max: limits.body_bytes_max })
        .layer(middleware::from_fn(move |request: Request, next: Next| connection::within(limits, late, request, next)))
}

async fn status(State(desk): State<Desk>) -> Result<Json<Status>, Problem> {
    desk.admin.status().await.map(Json)
}

async fn users(State(desk): State<Desk>) -> Result<Json<Vec<User>>, Problem> {
    desk.admin.users().await.map(Json)
}

async fn add_user(State(desk): State<Desk>, request: Request) -> Result<(StatusCode, Json<Created>), Problem> {
    let NewUser { name, password, pool } = read(request, desk.body_bytes_max).await?;
    let pool = pool.map(|pool| host_name(&pool)).transpose()?;
    let created = desk.admin.add_user(user_name(&name)?, password, pool).await?;
    Ok((StatusCode::CREATED, Json(created)))
}

async fn remove_user(State(desk): State<Desk>, Path(name): Path<String>) -> Result<StatusCode, Problem> {
    desk.admin.remove_user(user_name(&name)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn set_password(State(desk): State<Desk>, Path(name): Path<String>, request: Request) -> Result<Json<Created>, Problem> {
    let name = user_name(&name)?;
    let NewPassword { password } = read(request, desk.body_bytes_max).await?;
    desk.admin.set_password(name, password).await.map(Json)
}

async fn move_user(State(desk): State<Desk>, Path(name): Path<String>, request: Request) -> Result<Json<Moved>, Problem> {
    let name = user_name(&name)?;
    let NewHome { pool } = read(request, desk.body_bytes_max).await?;
    desk.admin.authority()?.move_user(name, host_name(&pool)?).await.map(Json)
}

async fn sign_user(State(desk): State<Desk>, Path(name): Path<String>, request: Request) -> Result<Json<Chain>, Problem> {
    let name = user_name(&name)?;
    let Document { document } = read(request, DOCUMENT_BYTES_MAX).await?;
    desk.admin.authority()?.sign_user(name, document).await.map(Json)
}

async fn certificates(State(desk): State<Desk>) -> Result<Json<Vec<Certificate>>, Problem> {
    desk.admin.certificates().await.map(Json)
}

async fn decisions(State(desk): State<Desk>, request: Request) -> Result<Json<Vec<Decision>>, Problem> {
    let limit = limit(request.uri().query())?;
    desk.admin.decisions(limit).await.map(Json)
}

async fn members(State(desk): State<Desk>) -> Result<Json<Vec<Member>>, Problem> {
    desk.admin.authority()?.members().await.map(Json)
}

async fn add_server(State(desk): State<Desk>, request: Request) -> Result<(StatusCode, Json<Added>), Problem> {
    let NewServer { name, role, pool, new_pool } = read(request, desk.body_bytes_max).await?;
    let pool = pool.map(|pool| host_name(&pool)).transpose()?;
    let added = desk.admin.authority()?.add_server(host_name(&name)?, role, pool, new_pool).await?;
    Ok((StatusCode::CREATED, Json(added)))
}

async fn remove_server(State(desk): State<Desk>, Path(name): Path<String>) -> Result<Json<Spread>, Problem> {
    desk.admin.authority()?.remove_server(host_name(&name)?).await.map(Json)
}

async fn sign(State(desk): State<Desk>, Path(name): Path<String>, request: Request) -> Result<Json<Chain>, Problem> {
    let name = host_name(&name)?;
    let Document { document } = read(request, DOCUMENT_BYTES_MAX).await?;
    desk.admin.authority()?.sign(name, document).await.map(Json)
}

async fn topology(State(desk): State<Desk>) -> Result<Json<PublishedTopology>, Problem> {
    desk.admin.authority()?.topology(None).await.map(Json)
}

async fn topology_at(State(desk): State<Desk>, Path(version): Path<u64>) -> Result<Json<PublishedTopology>, Problem> {
    desk.admin.authority()?.topology(Some(version)).await.map(Json)
}

async fn publish(State(desk): State<Desk>, request: Request) -> Result<Json<Spread>, Problem> {
    let Document { document } = read(request, DOCUMENT_BYTES_MAX).await?;
    desk.admin.authority()?.publish(document).await.map(Json)
}

async fn judge(State(desk): State<Desk>, request: Request) -> Result<Json<Judgement>, Problem> {
    let Document { document } = read(request, DOCUMENT_BYTES_MAX).await?;
    desk.admin.authority()?.judge(document).await.map(Json)
}

async fn history(State(desk): State<Desk>, request: Request) -> Result<Json<Vec<PublishedTopology>>, Problem> {
    let limit = limit(request.uri().query())?;
    desk.admin.authority()?.history(limit).await.map(Json)
}

async fn ledger(State(desk): State<Desk>, request: Request) -> Result<Json<Vec<Certificate>>, Problem> {
    let limit = limit(request.uri().query())?;
    desk.admin.authority()?.ledger(limit).await.map(Json)
}

async fn expiries(State(desk): State<Desk>) -> Result<Json<Vec<Expiry>>, Problem> {
    desk.admin.authority()?.expiries().await.map(Json)
}

async fn revoke(State(desk): State<Desk>, request: Request) -> Result<Json<Spread>, Problem> {
    let Revocation { name } = read(request, desk.body_bytes_max).await?;
    desk.admin.authority()?.revoke(name).await.map(Json)
}

async fn ca_replacement(State(desk): State<Desk>) -> Result<Json<Option<CaReplacement>>, Problem> {
    desk.admin.authority()?.ca_replacement().await.map(Json)
}

async fn replace_ca(State(desk): State<Desk>, request: Request) -> Result<(StatusCode, Json<CaReplacement>), Problem> {
    let new: NewReplacement = read(request, DOCUMENT_BYTES_MAX).await?;
    Ok((StatusCode::CREATED, Json(desk.admin.authority()?.replace_ca(new).await?)))
}

async fn request_ca(State(desk): State<Desk>, request: Request) -> Result<Json<Vec<CaRequest>>, Problem> {
    let new: NewReplacement = read(request, desk.body_bytes_max).await?;
    desk.admin.authority()?.request_ca(new).await.map(Json)
}

async fn give_up_ca_replacement(State(desk): State<Desk>) -> Result<StatusCode, Problem> {
    desk.admin.authority()?.give_up_ca_replacement().await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn go_on(State(desk): State<Desk>) -> Result<Json<LeftBehind>, Problem> {
    desk.admin.authority()?.go_on().await.map(Json)
}

async fn backed_up(State(desk): State<Desk>, request: Request) -> Result<StatusCode, Problem> {
    let BackupNote { sha256 } = read(request, desk.body_bytes_max).await?;
    if sha256.len() != 64 || !sha256.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(Problem::bad_request("this is no SHA-256", "write it in 64 hexadecimal digits"));
    }
    desk.admin.authority()?.backed_up(sha256).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn audit(State(desk): State<Desk>, request: Request) -> Result<Json<Vec<AuditLink>>, Problem> {
    let limit = limit(request.uri().query())?;
    desk.admin.authority()?.audit(limit).await.map(Json)
}

async fn verify_audit(State(desk): State<Desk>, request: Request) -> Result<Json<AuditVerdict>, Problem> {
    let Noted { heads } = read(request, NOTED_BYTES_MAX).await?;
    if heads.len() > NOTED_MAX {
        return Err(Problem::bad_request(format!("more than {NOTED_MAX} ends of the log"), "give the newest ones"));
    }
    desk.admin.authority()?.verify_audit(heads).await.map(Json)
}

fn host_name(text: &str) -> Result<Fqdn, Problem> {
    Fqdn::parse(text).map_err(|fault| Problem::bad_request(format!("{text:?} cannot be a server's name"), fault.to_string()))
}

fn user_name(text: &str) -> Result<UserName, Problem> {
    // The text is the caller's own; it is quoted so that nothing in it reaches a terminal raw.
    UserName::parse(text).map_err(|fault| Problem::bad_request(format!("{text:?} cannot be a user's name"), fault.to_string()))
}

fn limit(query: Option<&str>) -> Result<usize, Problem> {
    let Some(query) = query else { return Ok(DECISIONS_DEFAULT) };
    let number = query.strip_prefix("limit=").and_then(|number| number.parse().ok());
    number
        .filter(|number| (1..=DECISIONS_MAX).contains(number))
        .ok_or_else(|| Problem::bad_request(format!("{query:?} is no limit"), format!("write limit=N, with N from 1 to {DECISIONS_MAX}")))
}

/// A JSON body that says exactly what it must, no more.
async fn read<T: DeserializeOwned>(request: Request, bytes_max: usize) -> Result<T, Problem> {
    if !is_json(request.headers()) {
        let cure = "send JSON, with Content-Type: application/json";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "the body is not said to be JSON", cure));
    }
    let body = to_bytes(request.into_body(), bytes_max).await.map_err(|_| {
        let error = format!("the body is longer than {bytes_max} bytes, or broke off");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, error, "send less")
    })?;
    // serde's words name the field and the place, and never repeat a value of a string field.
    serde_json::from_slice(&body).map_err(|error| Problem::bad_request(format!("the body is not what this wants: {error}"), ""))
}

fn is_json(headers: &HeaderMap) -> bool {
    let media_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    media_type.and_then(|value| value.split(';').next()).is_some_and(|value| value.trim().eq_ignore_ascii_case("application/json"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(query: Option<&str>, wanted: Option<usize>) {
        assert_eq!(limit(query).ok(), wanted, "{query:?}");
    }

    #[test]
    fn a_limit_is_a_number_in_bounds_and_nothing_else() {
        check(None, Some(DECISIONS_DEFAULT));
        check(Some("limit=7"), Some(7));
        check(Some("limit=10000"), Some(10_000));
        for query in ["", "limit=0", "limit=10001", "limit=-1", "limit=7&x=1", "limit=7 OR 1=1", "x=7", "limit=99999999999999999999"] {
            check(Some(query), None);
        }
    }
}
