//! Why there is no certificate, as the member's log has it.

use instant_acme::Error;

use super::super::{CallError, Target};

/// The longest text of a server that is repeated.
const DETAIL_CHARS_MAX: usize = 500;

/// Why there is no certificate. Holds no secret; the server's words come without control characters.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AcmeFault {
    /// What the join string has is no ticket.
    #[error("the ticket's name or key is damaged; copy the whole join string, or have another one made with `verbund server add`")]
    BadTicket,
    /// What is kept of the account is none.
    #[error("what is kept of the account at the authority is damaged; join again with a new ticket")]
    BadAccount,
    /// No connection, or no answer that is understood.
    #[error("{0}; check the authority's address, and look at its log")]
    Call(CallError),
    /// The authority says no, and why.
    #[error("{server} refuses ({kind}): {detail}")]
    Refused {
        /// Who.
        server: String,
        /// The problem type of RFC 8555 §6.7, its last part.
        kind: String,
        /// The authority's own words.
        detail: String,
    },
    /// Our authority's orders are born ready.
    #[error("the order at {server} is {status}, not ready: this is not the organisation's authority; check the authority's address")]
    NotReady {
        /// Who.
        server: String,
        /// What the order is.
        status: String,
    },
    /// It took too long in all.
    #[error("{server} issued no certificate within {seconds} s; try again, and look at its log")]
    Late {
        /// Who.
        server: String,
        /// How long we waited.
        seconds: u64,
    },
    /// What came is no ACME.
    #[error("{server} answers something that is not understood: {detail}; check that both run the same version")]
    Strange {
        /// Who.
        server: String,
        /// What is wrong with it.
        detail: String,
    },
}

/// Says who it was that failed.
pub(super) trait Context<T> {
    fn context(self, target: &Target) -> Result<T, AcmeFault>;
}

impl<T> Context<T> for Result<T, Error> {
    fn context(self, target: &Target) -> Result<T, AcmeFault> {
        self.map_err(|error| of(target, error))
    }
}

fn of(target: &Target, error: Error) -> AcmeFault {
    let server = target.authority();
    match error {
        Error::Api(problem) => {
            let kind = problem.r#type.unwrap_or_default();
            let kind = harmless(kind.rsplit(':').next().unwrap_or_default());
            AcmeFault::Refused { server, kind, detail: harmless(&problem.detail.unwrap_or_default()) }
        }
        Error::Other(error) => match error.downcast::<CallError>() {
            Ok(error) => AcmeFault::Call(*error),
            Err(error) => AcmeFault::Strange { server, detail: harmless(&error.to_string()) },
        },
        Error::Timeout(_) => AcmeFault::Late { server, seconds: super::ISSUE_DEADLINE.as_secs() },
        Error::KeyRejected => AcmeFault::BadAccount,
        error => AcmeFault::Strange { server, detail: harmless(&error.to_string()) },
    }
}

/// What a server says, fit for a log.
fn harmless(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(DETAIL_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_words_are_short_and_on_one_line() {
        assert_eq!(harmless("no\r\n\u{1b}[31mticket\0"), "no[31mticket");
        assert_eq!(harmless(&"ä".repeat(9999)).chars().count(), DETAIL_CHARS_MAX);
    }
}
