//! Tells admission how late the media workers' packets leave: a few reads of the workers' own counters every quarter of a
//! second. Costs the packet path nothing and decides nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::MissedTickBehavior;

use crate::metrics::{PacingCounts, WorkerCounters};
use crate::sessions::{Admission, READING_INTERVAL};

/// The share of packets that a reading speaks of.
const SHARE: f64 = 0.99;

/// One reading after the other.
struct Readings {
    workers: Vec<(Arc<WorkerCounters>, PacingCounts)>,
}

impl Readings {
    fn new(counters: Vec<Arc<WorkerCounters>>) -> Self {
        Self { workers: counters.into_iter().map(|counters| (Arc::clone(&counters), counters.pacing())).collect() }
    }

    /// How late packets left since the last reading, by the worker that is worst: a new call may come to any of them.
    fn next(&mut self, now: Instant) -> Duration {
        let of_one = |(counters, seen): &mut (Arc<WorkerCounters>, PacingCounts)| {
            let earlier = std::mem::replace(seen, counters.pacing());
            seen.since(&earlier).quantile(SHARE).max(counters.stalled_for(now))
        };
        self.workers.iter_mut().map(of_one).max().unwrap_or_default()
    }
}

/// Watches for as long as it is polled. `limit` is for the log.
pub(super) async fn watch(counters: Vec<Arc<WorkerCounters>>, admission: Admission, limit: Option<Duration>) {
    let mut readings = Readings::new(counters);
    let mut ticks = tokio::time::interval(READING_INTERVAL);
    // A reading speaks of the time since the last one, however long that was: none is to be made up for.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let now = Instant::now();
        match admission.observe_lateness(now, readings.next(now)) {
            Some(true) => tracing::warn!(
                lateness_ms = admission.lateness().as_millis() as u64,
                limit_ms = limit.map(|limit| limit.as_millis() as u64),
                calls = admission.state().active,
                "packets leave late: no new calls until they leave in time; calls in progress go on"
            ),
            Some(false) => tracing::info!("packets leave in time again: calls are taken"),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reading_is_the_worst_workers_and_speaks_of_nothing_before_the_last() {
        let counters: Vec<_> = (0..2).map(|_| Arc::new(WorkerCounters::new())).collect();
        counters[0].observe_pacing(Duration::from_millis(40));
        let now = Instant::now();
        let mut readings = Readings::new(counters.clone());
        assert_eq!(readings.next(now), Duration::ZERO, "that was before the first");
        counters[0].observe_pacing(Duration::from_micros(300));
        counters[1].observe_pacing(Duration::from_millis(15));
        let reading = readings.next(now);
        assert!(reading > Duration::from_millis(10) && reading <= Duration::from_millis(20), "{reading:?}");
        assert_eq!(readings.next(now), Duration::ZERO);
    }

    #[test]
    fn a_worker_that_is_stuck_is_late() {
        let counters = Arc::new(WorkerCounters::new());
        counters.beat();
        let mut readings = Readings::new(vec![Arc::clone(&counters)]);
        assert!(readings.next(Instant::now() + Duration::from_secs(3)) > Duration::from_secs(1));
    }
}
