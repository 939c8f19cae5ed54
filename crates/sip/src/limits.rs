//! How large a message may be.

/// How large a message may be. Everything a peer can make grow has a limit with a name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Start line and headers, in bytes. At most 65,535: spans are 16 bits wide.
    pub head_bytes_max: u16,
    /// Body, in bytes.
    pub body_bytes_max: u32,
    /// Header fields (lines, folded ones count once).
    pub fields_max: u16,
}

impl Limits {
    /// What a server accepts: four times what the largest real phone was seen to send.
    pub const DEFAULT: Self = Self { head_bytes_max: 32 * 1024, body_bytes_max: 256 * 1024, fields_max: 256 };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}
