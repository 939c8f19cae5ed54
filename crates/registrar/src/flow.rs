//! The number of a client connection, never used twice.

use std::fmt;

/// One client connection (RFC 5626 §2). Numbers are never used twice, so what was said about a dead
/// flow cannot be believed of a new one.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Flow(pub u64);

impl fmt::Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "flow {}", self.0)
    }
}
