//! Revocation by the account that has the certificate, or by the certificate's own key (RFC 8555 §7.6).

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use pki::CertificateDer;
use serde::Deserialize;

use super::problem::{Kind, Problem};
use super::request::Received;
use super::{Acme, Shared};
use crate::enrolment::{Fault, Revoker};
use crate::jose::{Signed, Signer};

/// Reasons that a requester may give (RFC 5280 §5.3.1): unspecified, keyCompromise, affiliationChanged, superseded,
/// cessationOfOperation. The others are for CAs.
const REASONS: [u8; 5] = [0, 1, 3, 4, 5];

#[derive(Deserialize)]
struct Revocation {
    certificate: String,
    #[serde(default)]
    reason: u8,
}

pub(super) async fn revoke(State(acme): Shared, request: Request) -> Result<StatusCode, Problem> {
    let received = acme.receive(request).await?;
    let (by, message) = revoker(&acme, received).await?;
    let (certificate, reason) = wanted(&message)?;
    Arc::clone(&acme.enrolment).revoke(by, certificate, reason).await?;
    Ok(StatusCode::OK)
}

async fn revoker(acme: &Acme, received: Received) -> Result<(Revoker, Signed), Problem> {
    match &received.message.signer {
        Signer::Name(_) => {
            let authentic = acme.of_account(received).await?;
            Ok((Revoker::Account(authentic.account.id), authentic.message))
        }
        Signer::Key(_) => {
            let key = acme.of_key(&received)?;
            let (certificate, _) = wanted(&received.message)?;
            if !key.is_of_certificate(&certificate) {
                return Err(Problem::unauthorized("the message is signed by neither the account nor the certificate's key"));
            }
            // Anybody can make a certificate and sign with its key: that is no reason to remember a nonce.
            if !acme.enrolment.is_ours(&certificate).await? {
                return Err(Fault::ForeignCertificate.into());
            }
            acme.use_up(&received)?;
            Ok((Revoker::CertificateKey, received.message))
        }
    }
}

fn wanted(message: &Signed) -> Result<(CertificateDer<'static>, u8), Problem> {
    let Revocation { certificate, reason } = message.read()?;
    if !REASONS.contains(&reason) {
        return Err(Problem::new(Kind::BadRevocationReason, format!("reasons are {REASONS:?} (RFC 5280 §5.3.1)")));
    }
    let der = URL_SAFE_NO_PAD.decode(certificate).map_err(|_| Problem::malformed("certificate is one in base64url without padding"))?;
    Ok((CertificateDer::from(der), reason))
}
