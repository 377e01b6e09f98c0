//! File descriptors: each connection takes one, each request under way another, and without any the ledger cannot write.

/// What the gateway itself may have open: ledger, audit trail, database, listeners.
const OWN: u64 = 64;
/// A client's connection, and one to an upstream.
const EACH: u64 = 2;

/// Raises this process's limit as far as it may, and tells how many connections fit below it, beside what the gateway
/// itself needs.
pub(super) fn connections_max(wanted: usize) -> usize {
    let Some(limit) = raised() else {
        return wanted;
    };
    let fit = fit(wanted, limit);
    // A few less than wanted need nobody's attention.
    if fit < wanted / 2 {
        tracing::warn!(
            "at most {fit} connections at a time, as this process may open {limit} files: `ulimit -n` (or LimitNOFILE) \
             gives room for `server.connections_max: {wanted}`"
        );
    }
    fit
}

/// How many of the wanted connections fit.
fn fit(wanted: usize, limit: u64) -> usize {
    let room = limit.saturating_sub(OWN) / EACH;
    // With too few even for itself, the gateway tries all the same: one at a time.
    usize::try_from(room).map_or(wanted, |room| wanted.min(room.max(1)))
}

#[cfg(unix)]
fn raised() -> Option<u64> {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};

    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
    match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
        Ok(()) => Some(hard),
        // Some systems announce a limit that they do not grant.
        Err(_) => Some(soft),
    }
}

#[cfg(not(unix))]
fn raised() -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_room_for_the_ledger() {
        assert_eq!(fit(10_000, 1_048_576), 10_000);
        assert_eq!(fit(10_000, 1_024), 480);
        assert_eq!(fit(10, 1_024), 10);
        assert_eq!(fit(10, 64), 1);
    }

    #[test]
    fn the_limit_is_raised() {
        let fits = connections_max(10);
        assert!((1..=10).contains(&fits));
    }
}
