//! A password on its way between the command and the server; it is kept nowhere.

use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

/// A user's password: not printable by accident, wiped when dropped.
#[derive(Clone, Deserialize, Serialize)]
#[serde(transparent)]
pub struct Password(String);

impl Password {
    /// Takes the text as it is; whether it is good enough is decided by the server.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl Drop for Password {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}
