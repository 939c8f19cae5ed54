//! How many connections this process may hold: each is an open file.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Open files kept for everything that is not a SIP connection: listeners, HTTPS, the store, logs.
const RESERVED: u64 = 256;

/// Raises the process's limit of open files as far as it may, and says how many of `wanted` connections fit. Without
/// this a server started from a shell (1,024 files) would stop accepting long before its own limit.
pub(crate) fn room_for(wanted: usize) -> usize {
    let needed = wanted as u64 + RESERVED;
    let limit = getrlimit(Resource::Nofile);
    let raised = limit.maximum.map_or(needed, |most| most.min(needed));
    let current = match limit.current {
        Some(current) if current < raised => {
            let tried = setrlimit(Resource::Nofile, Rlimit { current: Some(raised), maximum: limit.maximum });
            if tried.is_ok() { raised } else { current }
        }
        Some(current) => current,
        None => needed,
    };
    let room = usize::try_from(current.saturating_sub(RESERVED)).unwrap_or(usize::MAX).min(wanted).max(1);
    if room < wanted {
        tracing::warn!(
            connections_max = room,
            wanted,
            open_files = current,
            "fewer connections than wanted: raise the limit of open files (ulimit -n)"
        );
    }
    room
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_is_never_more_than_wanted_and_never_nothing() {
        assert_eq!(room_for(10), 10);
        assert!(room_for(usize::MAX / 2) >= 1);
    }
}
