//! What can be wrong with a message, in words for an administrator and as a status for the sender.

use std::fmt;

use crate::{Name, Status};

/// What is wrong with a message, where, and what a server answers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Fault {
    /// The rule that was broken.
    pub reason: Reason,
    /// The byte at which it was noticed, counted from the start of the message.
    pub at: usize,
}

/// The rules a message can break. The words are for the administrator who reads `verbund sip lint`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// Start line and headers exceed [`Limits::head_bytes_max`](crate::Limits).
    #[error("start line and headers are larger than the limit")]
    HeadTooLarge,
    /// More fields than [`Limits::fields_max`](crate::Limits).
    #[error("more header fields than the limit")]
    TooManyFields,
    /// Body exceeds [`Limits::body_bytes_max`](crate::Limits).
    #[error("the body is larger than the limit")]
    BodyTooLarge,
    /// A line ends in LF alone, or CR stands without LF.
    #[error("a line must end with CR LF; a bare CR or LF stands here")]
    BareLineEnd,
    /// A continuation line holds only white space: to some readers it ends the head (row N37).
    #[error("a continuation line holds only white space, which some take for the end of the headers")]
    BlankFold,
    /// A NUL byte outside a quoted pair (RFC 3261 §25.1).
    #[error("a NUL byte stands here")]
    Nul,
    /// The head is not UTF-8 (RFC 3261 §7).
    #[error("start line and headers must be UTF-8")]
    NotUtf8,
    /// Neither a request line nor a status line.
    #[error("the first line is neither a request line nor a status line")]
    StartLine,
    /// `SIP/` followed by another version than 2.0.
    #[error("only SIP/2.0 is spoken here")]
    Version,
    /// The status code is not three digits from 100 to 699.
    #[error("the status code must be three digits from 100 to 699")]
    StatusCode,
    /// A header line without a name, or with spaces inside it, or without a colon.
    #[error("a header line must be a name, a colon and a value")]
    HeaderLine,
    /// The input ended before the empty line.
    #[error("the empty line that ends the headers is missing")]
    Unterminated,
    /// `Content-Length` is not a plain decimal number.
    #[error("Content-Length must be a decimal number")]
    ContentLength,
    /// `Content-Length` is there more than once.
    #[error("Content-Length stands there twice")]
    ContentLengthTwice,
    /// A stream needs `Content-Length` to find the end of the body (RFC 3261 §18.3).
    #[error("Content-Length is missing, and on a stream nothing else tells where the message ends")]
    ContentLengthMissing,
    /// Fewer bytes than `Content-Length` says.
    #[error("the body is shorter than Content-Length says")]
    BodyShort,
    /// A header every message needs is not there (RFC 3261 §8.1.1).
    #[error("the {0} header is missing")]
    Missing(Name),
    /// A header that may stand once stands there twice (RFC 3261 §7.3.1).
    #[error("the {0} header stands there more than once")]
    Twice(Name),
    /// The header's value breaks its grammar.
    #[error("the {0} header is malformed")]
    Malformed(Name),
    /// A number in the header is outside what the standard allows.
    #[error("a number in the {0} header is out of range")]
    OutOfRange(Name),
    /// The Request-URI breaks the grammar, or carries headers (RFC 3261 §19.1.1).
    #[error("the Request-URI is malformed")]
    RequestUri,
    /// The method in CSeq is not the request's.
    #[error("the method in CSeq differs from the request's method")]
    MethodMismatch,
}

impl Fault {
    pub(crate) fn new(reason: Reason, at: usize) -> Self {
        Self { reason, at }
    }

    /// What a server answers to a request with this fault.
    #[must_use]
    pub fn status(&self) -> Status {
        match self.reason {
            Reason::Version => Status::VERSION_NOT_SUPPORTED,
            Reason::BodyTooLarge | Reason::HeadTooLarge | Reason::TooManyFields => Status::MESSAGE_TOO_LARGE,
            _ => Status::BAD_REQUEST,
        }
    }

    /// Line and column of the fault in `text`, both from 1; the column counts bytes.
    #[must_use]
    pub fn place(&self, text: &[u8]) -> (usize, usize) {
        let before = &text[..self.at.min(text.len())];
        let line = memchr::memchr_iter(b'\n', before).count() + 1;
        let column = before.len() - memchr::memrchr(b'\n', before).map_or(0, |lf| lf + 1) + 1;
        (line, column)
    }
}

impl std::error::Error for Fault {}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (at byte {})", self.reason, self.at)
    }
}
