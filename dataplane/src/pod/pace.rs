//! Tells admission what the media workers do and what is left of the cores: a few reads of the workers' own counters every quarter of a
//! second. Costs the packet path nothing and decides nothing.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::time::MissedTickBehavior;

use crate::metrics::{PacingCounts, WorkerCounters, cpu_time};
use crate::sessions::{Admission, READING_INTERVAL, Reading};

/// The share of packets that lateness speaks of.
const SHARE: f64 = 0.99;
/// Packets of a call in the time of a reading, for workers that stand still and count none.
const PACKETS: u64 = (READING_INTERVAL.as_millis() / 20) as u64;

/// What was seen of a worker last.
struct Watched {
    counters: Arc<WorkerCounters>,
    pacing: PacingCounts,
    left_out: u64,
    missed: u64,
    busy: Duration,
}

/// One reading after the other.
struct Readings {
    workers: Vec<Watched>,
    cores: f64,
    at: Instant,
    cpu_time: Duration,
}

impl Readings {
    /// `cores` is what the process may use, `cpu_time` what it has used so far.
    fn new(counters: Vec<Arc<WorkerCounters>>, cores: usize, now: Instant, cpu_time: Duration) -> Self {
        let watched = |counters: Arc<WorkerCounters>| Watched {
            pacing: counters.pacing(),
            left_out: counters.packets_left_out.load(Ordering::Relaxed),
            missed: counters.packets_missed.load(Ordering::Relaxed),
            busy: counters.busy(),
            counters,
        };
        Self { workers: counters.into_iter().map(watched).collect(), cores: cores.max(1) as f64, at: now, cpu_time }
    }

    /// What happened since the last reading. Lateness and load are the worst worker's: a new call may come to any of them.
    fn next(&mut self, now: Instant, cpu_time: Duration) -> Reading {
        let passed = now.saturating_duration_since(std::mem::replace(&mut self.at, now)).as_secs_f64();
        let share = |busy: Duration| if passed > 0.0 { (busy.as_secs_f64() / passed).min(1.0) } else { 0.0 };
        let used = cpu_time.saturating_sub(std::mem::replace(&mut self.cpu_time, cpu_time));
        let mut reading = Reading { load: share(used.div_f64(self.cores)), ..Reading::default() };
        for worker in &mut self.workers {
            let Watched { counters, pacing, left_out, missed, busy } = worker;
            let now_paced = counters.pacing();
            let sent = now_paced.since(&std::mem::replace(pacing, now_paced));
            let since = |seen: &mut u64, now: u64| now.saturating_sub(std::mem::replace(seen, now));
            let left_out = since(left_out, counters.packets_left_out.load(Ordering::Relaxed));
            let was_busy = counters.busy();
            let calls = counters.calls.load(Ordering::Relaxed);
            reading.due += sent.total() + left_out;
            reading.missed += since(missed, counters.packets_missed.load(Ordering::Relaxed));
            if counters.is_stalled(now) {
                let standing = PACKETS * (calls.max(1) as u64);
                reading.due += standing;
                reading.missed += standing;
            }
            reading.calls += calls;
            reading.lateness = reading.lateness.max(sent.quantile(SHARE)).max(counters.stalled_for(now));
            reading.load = reading.load.max(share(was_busy.saturating_sub(std::mem::replace(busy, was_busy))));
        }
        reading
    }
}

/// Watches for as long as it is polled.
pub(super) async fn watch(counters: Vec<Arc<WorkerCounters>>, admission: Admission) {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut readings = Readings::new(counters, cores, Instant::now(), cpu_time());
    // Not at once: of no time at all any share may be taken.
    let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + READING_INTERVAL, READING_INTERVAL);
    // A reading speaks of the time since the last one, however long that was: none is to be made up for.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let now = Instant::now();
        let news = admission.observe_pace(now, readings.next(now, cpu_time()));
        let (pace, calls) = (admission.pace(), admission.state().active);
        match news.late {
            Some(true) => tracing::warn!(
                missed_percent = percent(pace.missed),
                lateness_ms = pace.lateness.as_millis() as u64,
                load_percent = percent(pace.load),
                calls,
                "packets leave late: no new calls until they leave in time; calls in progress go on"
            ),
            Some(false) => tracing::info!("packets leave in time again: calls are taken"),
            None => {}
        }
        match news.busy {
            Some(true) => tracing::warn!(
                load_percent = percent(pace.load),
                calls,
                "the cores carry no call more: no new ones until there is room; calls in progress go on"
            ),
            Some(false) => tracing::info!("the cores have room again: calls are taken"),
            None => {}
        }
    }
}

/// To the tenth, for people.
fn percent(share: f64) -> f64 {
    (share * 1_000.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Duration = Duration::ZERO;

    #[test]
    fn a_reading_sums_the_workers_up_and_speaks_of_nothing_before_the_last() {
        let counters: Vec<_> = (0..2).map(|_| Arc::new(WorkerCounters::new())).collect();
        counters[0].observe_pacing(Duration::from_millis(400));
        counters[0].leave_out(9);
        let now = Instant::now();
        let mut readings = Readings::new(counters.clone(), 2, now, NONE);
        assert_eq!(readings.next(now, NONE), Reading::default(), "that was before the first");
        counters[0].observe_pacing(Duration::from_micros(300));
        counters[0].leave_out(3);
        counters[1].observe_pacing(Duration::from_millis(15));
        counters[1].observe_pacing(Duration::from_millis(80));
        counters[1].calls.store(2, Ordering::Relaxed);
        let reading = readings.next(now, NONE);
        assert_eq!((reading.due, reading.missed, reading.calls), (6, 4, 2));
        assert!(reading.lateness > Duration::from_millis(20), "{reading:?}");
        assert_eq!(readings.next(now, NONE), Reading { calls: 2, ..Reading::default() });
    }

    #[test]
    fn load_is_that_of_the_busiest_of_workers_and_cores() {
        let counters: Vec<_> = (0..2).map(|_| Arc::new(WorkerCounters::new())).collect();
        let start = Instant::now();
        let mut readings = Readings::new(counters.clone(), 2, start, NONE);
        counters[1].was_busy(Duration::from_millis(200));
        let second = |at: u64| start + Duration::from_millis(250 * at);
        assert_eq!(readings.next(second(1), Duration::from_millis(100)).load, 0.8, "a worker's");
        assert_eq!(readings.next(second(2), Duration::from_millis(600)).load, 1.0, "all cores'");
        assert_eq!(readings.next(second(3), Duration::from_millis(725)).load, 0.25, "of two");
        counters[0].was_busy(Duration::from_secs(3));
        assert_eq!(readings.next(second(4), Duration::from_millis(725)).load, 1.0, "never more than all");
    }

    #[test]
    fn a_worker_that_is_stuck_has_its_callers_miss_all() {
        let counters = Arc::new(WorkerCounters::new());
        counters.beat();
        counters.calls.store(10, Ordering::Relaxed);
        let now = Instant::now();
        let mut readings = Readings::new(vec![Arc::clone(&counters)], 1, now, NONE);
        let reading = readings.next(now + Duration::from_secs(3), NONE);
        assert_eq!((reading.due, reading.missed), (PACKETS * 10, PACKETS * 10));
        assert!(reading.lateness > Duration::from_secs(1));
    }
}
