//! Real phones and tools against a running `verbund`: how each program is driven, and what it says back.
//!
//! What must hold is written in `tests/real_clients`; nothing here judges. Start with [`in_own_network`], which gives every test
//! a loopback, names and ports of its own, then [`Server`]. Every wait is for an event and ends after [`PATIENCE`] with a panic
//! that names what did not come: these are tests, and a panic is how a test says no.

mod baresip;
mod capture;
mod enrolling;
mod forger;
mod hosts;
mod kamailio;
mod lab;
mod libre;
mod linphone;
mod names;
mod namespace;
mod openssl;
mod pjsip;
mod process;
mod s_client;
mod script;
mod server;
mod sipp;
mod tone;

use std::time::{Duration, Instant};

pub use baresip::{Baresip, Media};
pub use capture::{Capture, Wire, entropy_of};
pub use enrolling::{Enroller, Enrolling, Fetched, NotFetched, Ticket};
pub use forger::{Forged, Forger, signed};
pub use hosts::{Host, Network};
pub use kamailio::Kamailio;
pub use lab::Lab;
pub use libre::Libre;
pub use linphone::Linphone;
pub use namespace::in_own_network;
pub use openssl::{Handshake, Impostor, https_get};
pub use pjsip::Pjsip;
pub use process::Program;
pub use s_client::{SClient, Shown, keeping, offering};
pub use script::{Event, Script};
pub use server::{Account, Server, Site, Status, program};
pub use sipp::{Scenario, Sipp, TlsTunnel};
pub use tone::{Heard, write_tone};

/// How long a test waits for any one event. Generous, because machines are slow; no wait is expected to last this long.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// How often a condition that cannot be subscribed to is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Waits until `look` finds something.
///
/// # Panics
/// After [`PATIENCE`], naming `what` did not come.
pub fn wait_until<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    within(PATIENCE, look).unwrap_or_else(|| panic!("waited {} s in vain: {what}", PATIENCE.as_secs()))
}

/// What `look` finds within `patience`, or `None`.
fn within<T>(patience: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + patience;
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if Instant::now() >= end {
            return None;
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}
