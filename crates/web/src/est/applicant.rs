//! Who asks: the holder of a ticket by its password, or a member by its certificate (RFC 7030 §3.2.3, §3.3.2).

use axum::http::{HeaderMap, StatusCode, header};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

use super::routes::Refused;
use crate::enrolment::{Applicant, Enrolment, TicketId};
use crate::gate::Caller;

/// The longest value of an Authorization field that is looked at.
const AUTHORIZATION_BYTES_MAX: usize = 512;

/// For a first certificate: by ticket; a member may also show its certificate. A password that is wrong is never
/// passed over because a certificate is right.
pub(super) async fn newcomer(enrolment: &dyn Enrolment, headers: &HeaderMap, caller: &Caller) -> Result<Applicant, Refused> {
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        return by_password(enrolment, value.as_bytes()).await;
    }
    let unknown = || Refused::new(StatusCode::UNAUTHORIZED, "enrol with a ticket: its name and its key as user name and password (Basic)");
    caller.member().map(|member| Applicant::Member(member.clone())).ok_or_else(unknown)
}

/// For the next certificate: by the one before (RFC 7030 §4.2.2).
pub(super) fn member(caller: &Caller) -> Result<Applicant, Refused> {
    let unknown = || Refused::new(StatusCode::FORBIDDEN, "renew with the certificate that you have; who has none enrols with a ticket");
    caller.member().map(|member| Applicant::Member(member.clone())).ok_or_else(unknown)
}

/// Whoever does not know the key does not learn whether there is such a ticket; whoever does, learns why it does
/// not count (row N33).
async fn by_password(enrolment: &dyn Enrolment, value: &[u8]) -> Result<Applicant, Refused> {
    let wrong = || Refused::new(StatusCode::UNAUTHORIZED, "this is no ticket with its key");
    let (id, key) = credentials(value).ok_or_else(wrong)?;
    let ticket = enrolment.ticket(&id).await?.filter(|ticket| ticket.key.is(&key)).ok_or_else(wrong)?;
    ticket.check()?;
    Ok(Applicant::Ticket(ticket.id))
}

/// User name and password of Basic authentication (RFC 7617 §2).
fn credentials(value: &[u8]) -> Option<(TicketId, Zeroizing<String>)> {
    let value = std::str::from_utf8(value).ok().filter(|value| value.len() <= AUTHORIZATION_BYTES_MAX)?;
    let (scheme, coded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let bytes = Zeroizing::new(STANDARD.decode(coded.trim()).ok()?);
    let (id, key) = std::str::from_utf8(&bytes).ok()?.split_once(':')?;
    Some((TicketId::parse(id).ok()?, Zeroizing::new(key.to_owned())))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: &str, wanted: Option<(&str, &str)>) {
        let read = credentials(value.as_bytes());
        assert_eq!(read.as_ref().map(|(id, key)| (id.as_str(), key.as_str())), wanted, "{value}");
    }

    #[test]
    fn a_ticket_and_its_key_are_read() {
        check(&format!("Basic {}", STANDARD.encode("t-1:key")), Some(("t-1", "key")));
        check(&format!("bAsIc  {}", STANDARD.encode("t-1:a:b")), Some(("t-1", "a:b")));
    }

    #[test]
    fn anything_else_is_nobody() {
        for value in ["", "Basic", "Basic !", "Bearer dDoy", &format!("Basic {}", STANDARD.encode("t-1")), &"Basic A".repeat(100)] {
            check(value, None);
        }
        check(&format!("Basic {}", STANDARD.encode("../x:key")), None);
    }
}
