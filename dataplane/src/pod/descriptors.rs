//! Whether the process may open as many files and sockets as its calls need: raised at the start where it can be, told where not.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Descriptors of a call that talks: its connection, and those of the requests and of the recording.
const A_CALL: u64 = 5;
/// Those of the pod itself, and of connections that bring no call.
const BESIDE: u64 = 256;

/// What is to be done about a limit.
#[derive(Debug, PartialEq, Eq)]
struct Plan {
    /// The soft limit that is to be set, if it is another.
    raise_to: Option<u64>,
    /// What is missing then.
    missing: u64,
}

fn needed(calls: usize) -> u64 {
    (calls as u64).saturating_mul(A_CALL).saturating_add(BESIDE)
}

fn plan(needed: u64, soft: u64, hard: u64) -> Plan {
    let reached = soft.max(needed.min(hard));
    Plan { raise_to: (reached > soft).then_some(reached), missing: needed.saturating_sub(reached) }
}

/// Sees to it that `calls` calls have the descriptors that they need, as far as that can be.
pub(super) fn provide_for(calls: usize) {
    let needed = needed(calls);
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return };
    let Plan { raise_to, missing } = plan(needed, soft, hard);
    let raised = raise_to.map(|limit| (limit, setrlimit(Resource::RLIMIT_NOFILE, limit, hard)));
    match raised {
        Some((limit, Ok(()))) => tracing::info!(from = soft, to = limit, "the limit of open files was raised"),
        Some((_, Err(error))) => tracing::warn!(
            "expected to raise the limit of open files (RLIMIT_NOFILE) from {soft} to {needed} for {calls} calls, came: {error}"
        ),
        None => {}
    }
    if missing > 0 {
        tracing::warn!(
            "expected a limit of open files (RLIMIT_NOFILE) of {needed} or more for SOFIA_PHONE_MAX_SESSIONS={calls}, came {}: some calls \
             will fail for want of descriptors; raise the limit (ulimit -n, LimitNOFILE=) or lower the number of calls",
            needed - missing
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_raised_as_far_as_it_is_needed_and_allowed() {
        assert_eq!(needed(100), 756);
        assert_eq!(plan(756, 1_024, 4_096), Plan { raise_to: None, missing: 0 }, "enough");
        assert_eq!(plan(2_756, 1_024, 4_096), Plan { raise_to: Some(2_756), missing: 0 });
        assert_eq!(plan(9_000, 1_024, 4_096), Plan { raise_to: Some(4_096), missing: 4_904 });
        assert_eq!(plan(9_000, 4_096, 4_096), Plan { raise_to: None, missing: 4_904 });
        assert_eq!(plan(9_000, u64::MAX, u64::MAX), Plan { raise_to: None, missing: 0 }, "no limit");
        assert_eq!(needed(usize::MAX), u64::MAX);
    }
}
