//! The member's side of ACME (RFC 8555): a certificate for a ticket, and then one after another for the account.
//!
//! The protocol is `instant-acme`'s; the HTTP below it is [`Target`], so the authority is believed for its
//! certificate only, and nobody else is ever called: an authority whose URLs lead elsewhere is refused.
//! What is issued is handed over as it came; whether it is good is judged by whoever puts it in force.

mod fault;
mod http;

use std::time::Duration;

use instant_acme::{Account, AccountCredentials, ExternalAccountKey, Identifier, NewAccount, NewOrder, Order, OrderStatus, RetryPolicy};
use pki::{Fqdn, certificates_from_pem, certificates_to_pem};
use tokio::time::timeout;
use zeroize::Zeroizing;

use self::fault::Context;
use self::http::Http;
use super::Target;
use crate::ACME_DIRECTORY_PATH;
use crate::enrolment::{TicketId, TicketKey};

pub use self::fault::AcmeFault;

/// How long an enrolment or a renewal may take in all.
const DEADLINE: Duration = Duration::from_mins(2);
/// How long the authority may take to issue.
const ISSUE_DEADLINE: Duration = Duration::from_secs(60);
/// The wait before the second look whether it has issued; each further one is twice as long.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// Room for the account's credentials as text, so that the text is never moved and leaves no copy: they have 400 bytes.
const CREDENTIALS_BYTES: usize = 4096;

/// What an enrolment gives.
pub struct Enrolled {
    /// The certificate and its chain, the leaf first, as PEM.
    pub chain_pem: String,
    /// The account, for [`renew`]: JSON with its private key in it, a secret.
    pub account: Zeroizing<String>,
}

impl std::fmt::Debug for Enrolled {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Enrolled").field("chain_pem", &self.chain_pem).finish_non_exhaustive()
    }
}

/// Makes an account with a ticket (external account binding, RFC 8555 §7.3.4) and fetches the first certificate
/// of `server` for this request (PKCS #10 in DER). With the fetching, the ticket is used up (row N33).
///
/// # Errors
/// The ticket's texts are unusable, the authority cannot be reached or refuses, or it takes too long.
pub async fn enrol(target: &Target, kid: &str, key_text: &str, server: &Fqdn, csr_der: &[u8]) -> Result<Enrolled, AcmeFault> {
    let kid = TicketId::parse(kid).map_err(|_| AcmeFault::BadTicket)?;
    let key = TicketKey::from_text(key_text).map_err(|_| AcmeFault::BadTicket)?;
    let work = async {
        let (account, credentials) = open_account(target, &kid, &key).await?;
        let account_text = to_text(&credentials)?;
        let chain_pem = certificate(target, &account, server, csr_der).await?;
        Ok(Enrolled { chain_pem, account: account_text })
    };
    in_time(target, work).await
}

/// Fetches another certificate of `server` for this request, with the account of [`Enrolled`]; the chain as PEM.
/// Also works when the certificate before has ended.
///
/// # Errors
/// The account's text is unusable, the authority cannot be reached or refuses, or it takes too long.
pub async fn renew(target: &Target, account: &str, server: &Fqdn, csr_der: &[u8]) -> Result<String, AcmeFault> {
    // What the parser says may quote the text, and the text is a secret.
    let account = at_this_port(target, account);
    let credentials: AccountCredentials = serde_json::from_str(&account).map_err(|_| AcmeFault::BadAccount)?;
    let work = async {
        let builder = Account::builder_with_http(Box::new(Http(target.clone())));
        let account = builder.from_credentials(credentials).await.context(target)?;
        certificate(target, &account, server, csr_der).await
    };
    in_time(target, work).await
}

/// An account is named by a URL, with the port at which the authority was when it was made (RFC 8555 §7.1.2). The authority may have
/// moved since: the same server is known by its name, and the URLs lead to where it is called now.
fn at_this_port(target: &Target, account: &str) -> Zeroizing<String> {
    let (of_server, here) = (format!("https://{}", target.name), http::base(target));
    // With room for longer ports, so that the text is never moved and leaves no copy.
    let mut moved = Zeroizing::new(String::with_capacity(account.len() + CREDENTIALS_BYTES));
    let mut rest = account;
    while let Some((before, after)) = rest.split_once(&of_server) {
        let path = after.trim_start_matches(|character: char| character == ':' || character.is_ascii_digit());
        moved.push_str(before);
        // Of a name that only begins like the server's nothing is changed.
        moved.push_str(if path.starts_with('/') { &here } else { &of_server });
        rest = if path.starts_with('/') { path } else { after };
    }
    moved.push_str(rest);
    moved
}

async fn in_time<T>(target: &Target, work: impl Future<Output = Result<T, AcmeFault>>) -> Result<T, AcmeFault> {
    let late = |_| AcmeFault::Late { server: target.authority(), seconds: DEADLINE.as_secs() };
    timeout(DEADLINE, work).await.map_err(late)?
}

async fn open_account(target: &Target, kid: &TicketId, key: &TicketKey) -> Result<(Account, AccountCredentials), AcmeFault> {
    let wanted = NewAccount { contact: &[], terms_of_service_agreed: true, only_return_existing: false };
    let ticket = ExternalAccountKey::new(kid.as_str().to_owned(), key.expose());
    let directory = format!("{}{ACME_DIRECTORY_PATH}", http::base(target));
    let builder = Account::builder_with_http(Box::new(Http(target.clone())));
    builder.create(&wanted, directory, Some(&ticket)).await.context(target)
}

fn to_text(credentials: &AccountCredentials) -> Result<Zeroizing<String>, AcmeFault> {
    let mut text = Zeroizing::new(Vec::with_capacity(CREDENTIALS_BYTES));
    serde_json::to_writer(&mut *text, credentials).map_err(|_| AcmeFault::BadAccount)?;
    String::from_utf8(std::mem::take(&mut *text)).map(Zeroizing::new).map_err(|_| AcmeFault::BadAccount)
}

/// RFC 8555 §7.4: order, finalization, download.
async fn certificate(target: &Target, account: &Account, server: &Fqdn, csr_der: &[u8]) -> Result<String, AcmeFault> {
    let names = [Identifier::Dns(server.to_string())];
    let mut order = account.new_order(&NewOrder::new(&names)).await.context(target)?;
    check_ready(target, &mut order)?;
    order.finalize_csr(csr_der).await.context(target)?;
    let text = match order.certificate().await.context(target)? {
        Some(text) => text,
        None => order.poll_certificate(&patience()).await.context(target)?,
    };
    let strange = |fault: pki::PemFault| AcmeFault::Strange { server: target.authority(), detail: format!("of the certificate, {fault}") };
    Ok(certificates_to_pem(&certificates_from_pem(&text).map_err(strange)?))
}

fn patience() -> RetryPolicy {
    RetryPolicy::new().initial_delay(LOOK_AGAIN).timeout(ISSUE_DEADLINE)
}

/// Our authority's orders are born ready. One that wants challenges is no authority of ours.
fn check_ready(target: &Target, order: &mut Order) -> Result<(), AcmeFault> {
    let status = order.state().status;
    match status {
        OrderStatus::Ready => Ok(()),
        OrderStatus::Pending | OrderStatus::Processing | OrderStatus::Valid | OrderStatus::Invalid => {
            Err(AcmeFault::NotReady { server: target.authority(), status: format!("{status:?}").to_lowercase() })
        }
    }
}
