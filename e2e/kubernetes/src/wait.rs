//! Waiting for a condition of the cluster or of a call. Never for a time.

use std::time::{Duration, Instant};

/// How long a scenario waits for what must come: far longer than it takes, because a busy machine is no fault of the product.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(250);

/// Asks `condition` until it gives `Ok`, and returns that. Its errors say what is there instead of what is waited for.
///
/// # Panics
/// After [`PATIENCE`], with what was waited for and what was there last.
pub async fn eventually<T>(what: &str, mut condition: impl AsyncFnMut() -> Result<T, String>) -> T {
    let started = Instant::now();
    loop {
        let there = match condition().await {
            Ok(found) => return found,
            Err(there) => there,
        };
        assert!(started.elapsed() < PATIENCE, "waited {PATIENCE:?} for {what}; there is {there}");
        tokio::time::sleep(POLL).await;
    }
}

/// `Ok` when `holds`, else what is there.
///
/// # Errors
/// `there` in words when it does not hold.
pub fn when(holds: bool, there: impl std::fmt::Debug) -> Result<(), String> {
    if holds { Ok(()) } else { Err(format!("{there:?}")) }
}
