//! From an HTTP request to a message that its account signed, for this URL, now and once (RFC 8555 §6.2 to §6.5).

use std::time::{Instant, SystemTime};

use axum::extract::Request;
use axum::http::{StatusCode, header};

use super::nonces::Nonce;
use super::problem::{Kind, Problem};
use super::{Acme, path};
use crate::connection;
use crate::enrolment::{Account, AccountState, Fault};
use crate::jose::{AccountKey, Algorithm, Signed, Signer};

/// The longest message: a certificate request of the largest size, coded twice.
const MESSAGE_BYTES_MAX: usize = 48 * 1024;

/// A message that came to the URL it says, with a nonce that counts. Its signature was not checked yet.
pub(super) struct Received {
    pub(super) message: Signed,
    nonce: Nonce,
}

/// A message that its account signed.
pub(super) struct Authentic {
    pub(super) message: Signed,
    pub(super) account: Account,
}

impl Acme {
    /// Reads a message and checks all but its signature.
    pub(super) async fn receive(&self, request: Request) -> Result<Received, Problem> {
        check_media_type(&request)?;
        let url = self.urls.of(request.uri().path());
        let body = connection::body(request, MESSAGE_BYTES_MAX).await.map_err(|_| {
            let detail = format!("the message is longer than {MESSAGE_BYTES_MAX} bytes, or broke off");
            Problem::new(Kind::Other(StatusCode::PAYLOAD_TOO_LARGE), detail)
        })?;
        let message = Signed::parse(&body)?;
        if Algorithm::named(&message.algorithm).is_none() {
            return Err(Problem::new(Kind::BadSignatureAlgorithm, format!("signatures are made by {}", Algorithm::NAMES.join(", "))));
        }
        // RFC 8555 §6.4.
        if message.url.as_deref() != Some(&url) {
            return Err(Problem::unauthorized(format!("the message was signed for another URL than this one, {url}")));
        }
        let nonce = message.nonce.as_deref().ok_or_else(|| Problem::malformed("the protected header has no nonce"))?;
        let nonce = self.nonces.read(nonce, SystemTime::now()).ok_or_else(bad_nonce)?;
        Ok(Received { message, nonce })
    }

    /// Reads a message that an account signed, known by its URL (`kid`).
    pub(super) async fn authenticate(&self, request: Request) -> Result<Authentic, Problem> {
        let received = self.receive(request).await?;
        self.of_account(received).await
    }

    /// POST-as-GET (RFC 8555 §6.3): such a message says nothing.
    pub(super) async fn authenticate_reader(&self, request: Request) -> Result<Authentic, Problem> {
        let authentic = self.authenticate(request).await?;
        if authentic.message.payload.is_empty() {
            return Ok(authentic);
        }
        Err(Problem::malformed("this can only be read: the payload is to be empty (POST-as-GET)"))
    }

    /// Checks that an account signed this.
    pub(super) async fn of_account(&self, received: Received) -> Result<Authentic, Problem> {
        let Signer::Name(url) = &received.message.signer else {
            return Err(Problem::malformed("the account is to be named by its URL (kid)"));
        };
        let id = self.urls.account_in(url).ok_or_else(no_account)?;
        let account = self.enrolment.account(&id).await?.ok_or_else(no_account)?;
        self.check_signature(&received, &account.key)?;
        check_state(&account)?;
        self.pace.request(&account.id, Instant::now()).map_err(Problem::rate_limited)?;
        self.use_up(&received)?;
        Ok(Authentic { message: received.message, account })
    }

    /// The key in the message that signed it (`jwk`).
    pub(super) fn of_key(&self, received: &Received) -> Result<AccountKey, Problem> {
        let Signer::Key(key) = &received.message.signer else {
            return Err(Problem::malformed("the key is to be in the message (jwk)"));
        };
        self.check_signature(received, key)?;
        Ok(key.clone())
    }

    fn check_signature(&self, received: &Received, key: &AccountKey) -> Result<(), Problem> {
        if received.message.is_signed_by(key) {
            return Ok(());
        }
        Err(Problem::unauthorized("the signature is not that of the key, or not by its algorithm"))
    }

    /// A message counts once. Only those of members are remembered.
    pub(super) fn use_up(&self, received: &Received) -> Result<(), Problem> {
        if self.nonces.consume(received.nonce, SystemTime::now()) { Ok(()) } else { Err(bad_nonce()) }
    }

    /// The URL of an account's list of orders.
    pub(super) fn orders_url(&self, account: &Account) -> String {
        self.urls.one(path::ORDERS, account.id.as_str())
    }
}

/// RFC 8555 §7.3.6: an account that was closed can do nothing.
pub(super) fn check_state(account: &Account) -> Result<(), Problem> {
    match account.state {
        AccountState::Valid => Ok(()),
        AccountState::Deactivated | AccountState::Revoked => Err(Fault::AccountClosed { member: account.member.clone() }.into()),
    }
}

fn no_account() -> Problem {
    Fault::NoAccount.into()
}

fn bad_nonce() -> Problem {
    Problem::new(Kind::BadNonce, "the nonce is not ours, too old or used; take the one of this answer")
}

fn check_media_type(request: &Request) -> Result<(), Problem> {
    let media_type = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    match media_type.and_then(|value| value.split(';').next()) {
        Some(value) if value.trim().eq_ignore_ascii_case("application/jose+json") => Ok(()),
        Some(_) | None => {
            Err(Problem::new(Kind::Other(StatusCode::UNSUPPORTED_MEDIA_TYPE), "messages are application/jose+json (RFC 8555 §6.2)"))
        }
    }
}
