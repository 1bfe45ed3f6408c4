//! Waiting for a condition. Never for a time.

use std::time::{Duration, Instant};

/// How long a test waits for what must come: far longer than it takes, because a busy machine is no fault of the pod.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(10);

/// Asks `condition` until it gives something, and returns that.
///
/// # Panics
/// After [`PATIENCE`], naming `what` was waited for.
pub async fn eventually<T>(what: &str, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = condition().await {
            return found;
        }
        assert!(started.elapsed() < PATIENCE, "waited {PATIENCE:?} for {what}, in vain");
        tokio::time::sleep(POLL).await;
    }
}
