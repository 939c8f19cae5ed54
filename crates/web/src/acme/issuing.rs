//! From a certificate request to a certificate, and its handing over (RFC 8555 §7.4, §7.4.2).

use std::time::SystemTime;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use pki::{CertificateRequest, Fqdn, RequestFault, certificates_to_pem};
use serde::Deserialize;

use super::orders::{Certificate, Order, State as OrderState};
use super::problem::{Kind, Problem};
use super::request::Authentic;
use super::{Acme, Shared, ordering};
use crate::enrolment::{Account, Applicant, Fault};
use crate::handing::HandedOver;

#[derive(Deserialize)]
struct Finalize {
    csr: String,
}

/// Issues. A request that is wrong leaves the order ready for a better one; a policy that says no ends it.
pub(super) async fn finalize(State(acme): Shared, Path(id): Path<String>, request: Request) -> Result<Response, Problem> {
    let Authentic { message, account } = acme.authenticate(request).await?;
    let Finalize { csr } = message.read()?;
    let order = acme.orders.begin(&id, &account.id, SystemTime::now())?;
    // Whatever happens to this request, the order does not stay in work.
    let mut work = Work { acme: &acme, id: &id, outcome: Some(OrderState::Ready) };
    let csr = check_request(&csr, &order, &account)?;
    let issued = acme.enrolment.issue(Applicant::Account(account.id.clone()), csr).await;
    let state = match issued {
        Ok(chain) => match chain.first() {
            Some(leaf) => OrderState::Valid(Certificate { chain_pem: certificates_to_pem(&chain), leaf: leaf.clone() }),
            None => return Err(Fault::Unavailable { reason: "an empty chain was issued".into() }.into()),
        },
        Err(fault @ (Fault::BadRequest { .. } | Fault::BadPublicKey { .. } | Fault::TooMany { .. } | Fault::Unavailable { .. })) => {
            return Err(fault.into());
        }
        Err(fault) => {
            let problem = Problem::from(fault);
            work.outcome = Some(OrderState::Invalid(problem.to_json()));
            return Err(problem);
        }
    };
    work.outcome = None;
    let order = acme.orders.end(&id, state).ok_or_else(Problem::not_found)?;
    Ok(ordering::shown(&acme, StatusCode::OK, &order))
}

/// An order in work. When this is dropped, it is what `outcome` says.
struct Work<'a> {
    acme: &'a Acme,
    id: &'a str,
    outcome: Option<OrderState>,
}

impl Drop for Work<'_> {
    fn drop(&mut self) {
        if let Some(state) = self.outcome.take() {
            self.acme.orders.end(self.id, state);
        }
    }
}

/// RFC 8555 §7.4: the request asks for the order's names, no more and no fewer, and not for the account's key
/// (§11.1).
fn check_request(csr: &str, order: &Order, account: &Account) -> Result<Vec<u8>, Problem> {
    let bad = |detail: String| Problem::new(Kind::BadCsr, detail);
    let der = URL_SAFE_NO_PAD.decode(csr).map_err(|_| bad("csr is a certificate request in base64url without padding".into()))?;
    let request = CertificateRequest::from_der(&der).map_err(|fault| match &fault {
        RequestFault::KeyKind { .. } => Problem::new(Kind::BadPublicKey, fault.to_string()),
        RequestFault::TooLarge { .. } | RequestFault::Malformed { .. } | RequestFault::NoProofOfPossession => bad(fault.to_string()),
    })?;
    if account.key.is_of(request.key()) {
        return Err(Problem::new(Kind::BadPublicKey, "a certificate is issued for a key of its own, not for the account's"));
    }
    let asked = request.names().iter().map(String::as_str).chain(request.common_name());
    let mut asked = asked.map(Fqdn::parse).collect::<Result<Vec<_>, _>>().map_err(|fault| bad(fault.to_string()))?;
    let mut ordered = order.names.clone();
    asked.sort();
    asked.dedup();
    ordered.sort();
    if asked == ordered { Ok(der) } else { Err(bad("the certificate request has other names than the order".into())) }
}

/// The certificate with its chain (RFC 8555 §7.4.2). With this its ticket is burnt.
pub(super) async fn certificate(State(acme): Shared, Path(id): Path<String>, request: Request) -> Result<Response, Problem> {
    let account = acme.authenticate_reader(request).await?.account;
    let order = acme.orders.one(&id, &account.id, SystemTime::now())?;
    match order.state {
        OrderState::Valid(certificate) => {
            let enrolment = std::sync::Arc::clone(&acme.enrolment);
            let body = HandedOver::new(certificate.chain_pem, async move { enrolment.fetched(certificate.leaf).await });
            Ok(([(header::CONTENT_TYPE, "application/pem-certificate-chain")], Body::new(body)).into_response())
        }
        OrderState::Ready | OrderState::Processing | OrderState::Invalid(_) => Err(Problem::not_found()),
    }
}
