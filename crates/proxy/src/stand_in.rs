//! Until `topology` is there.
#![allow(missing_docs)]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum MediaPolicy {
    Require,
    Support,
}
