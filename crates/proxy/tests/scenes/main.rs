//! The proxy in scenes: phones as flows, time as a number.
#![allow(clippy::unwrap_used)]

mod calls;
mod scene;
