//! Why a REGISTER changed nothing, and how that is answered.

use std::time::Duration;

use sip::{Name, Status};

/// Why a REGISTER changed nothing. Each has one status, and one header where the standard wants it.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum RegisterFault {
    /// To is not an address of this domain (RFC 3261 §10.3 step 5).
    #[error("the address in To is not of this domain")]
    NotOurs,
    /// To is an address of somebody else (step 4): nobody registers for others here.
    #[error("a user registers their own address only")]
    NotYours,
    /// A header is missing or breaks its grammar.
    #[error("{0}")]
    Message(#[from] sip::Fault),
    /// Contact cannot be read or breaks a rule; the words say which.
    #[error("{0}")]
    Contact(&'static str),
    /// A value is longer than we keep.
    #[error("the {name} of this REGISTER is longer than {bytes_max} bytes")]
    TooLong {
        /// Which header.
        name: Name,
        /// The limit.
        bytes_max: usize,
    },
    /// The user would have more bindings than a user may.
    #[error("a user has at most {bindings_max} contacts; remove one first")]
    TooManyBindings {
        /// The limit.
        bindings_max: usize,
    },
    /// The lifetime asked for is too short (step 7).
    #[error("a registration lasts {} s at least", expires_min.as_secs())]
    TooBrief {
        /// The least.
        expires_min: Duration,
    },
    /// A newer REGISTER of the same Call-ID was there first (step 7).
    #[error("a REGISTER with this Call-ID and a higher CSeq was answered before")]
    OutOfOrder,
    /// Require names what we do not know.
    #[error("these extensions are not supported: {tags}")]
    Unsupported {
        /// The tags, for the Unsupported header.
        tags: String,
    },
    /// Somebody on the way added Path, and the client does not understand it (RFC 3327 §5.3).
    #[error("a Path was added on the way, and the client does not support that")]
    PathNotSupported,
    /// There is a hop between the client and us that does not keep flows (RFC 5626 §6).
    #[error("the first hop does not support outbound")]
    FirstHopLacksOutbound,
}

impl RegisterFault {
    /// What is answered.
    #[must_use]
    pub fn status(&self) -> Status {
        match self {
            Self::NotOurs => Status::NOT_FOUND,
            Self::NotYours | Self::TooManyBindings { .. } => Status::FORBIDDEN,
            Self::Message(fault) => fault.status(),
            Self::Contact(_) | Self::TooLong { .. } => Status::BAD_REQUEST,
            Self::TooBrief { .. } => Status::INTERVAL_TOO_BRIEF,
            Self::OutOfOrder => Status::SERVER_INTERNAL_ERROR,
            Self::Unsupported { .. } => Status::BAD_EXTENSION,
            Self::PathNotSupported => Status::EXTENSION_REQUIRED,
            Self::FirstHopLacksOutbound => Status::FIRST_HOP_LACKS_OUTBOUND,
        }
    }

    /// The header that tells the client what would have been right.
    #[must_use]
    pub fn header(&self) -> Option<(Name, String)> {
        match self {
            Self::TooBrief { expires_min } => Some((Name::MinExpires, expires_min.as_secs().to_string())),
            Self::Unsupported { tags } => Some((Name::Unsupported, tags.clone())),
            Self::PathNotSupported => Some((Name::Require, "path".to_owned())),
            _ => None,
        }
    }
}
