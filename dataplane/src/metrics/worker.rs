//! What media workers count, and the sums of it. Counting takes no lock and no allocation: it is on the packet path.

#![deny(clippy::disallowed_types)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use prometheus::core::{Collector, Desc};
use prometheus::proto::{Bucket, Counter, Histogram, LabelPair, Metric, MetricFamily, MetricType};

/// Upper bounds of the pacing buckets, in milliseconds; beyond the last there is one more bucket.
pub const PACING_BOUNDS_MS: [f64; 9] = [0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0];

/// What a jitter buffer behind the pod holds, where nothing else is said.
const PLAYOUT: Duration = Duration::from_millis(40);
/// A worker without calls says once a second that it is alive; one that is silent for longer is held up.
const IDLE_BEAT: Duration = Duration::from_millis(1_100);

/// The counts of one media worker, written by its thread and read by scrapes. All only grow; `Relaxed` suffices, as no
/// count tells anything about another.
#[derive(Debug)]
pub struct WorkerCounters {
    /// RTP packets that came from a known source and could be parsed.
    pub packets_received: AtomicU64,
    /// RTP packets that the system took for sending.
    pub packets_sent: AtomicU64,
    /// Packets that callers sent and that never came, by sequence numbers.
    pub packets_lost: AtomicU64,
    /// Packets that came after their place in the audio had passed, and were thrown away.
    pub packets_late: AtomicU64,
    /// Datagrams from addresses that no call announced, thrown away.
    pub unknown_source: AtomicU64,
    /// Datagrams of known sources that are not RTP or RTCP, thrown away.
    pub malformed: AtomicU64,
    /// Packets that the system did not take for sending.
    pub send_errors: AtomicU64,
    /// Frames made up by concealment, because their packet was missing.
    pub frames_concealed: AtomicU64,
    /// Rounds that took longer than a frame, so that packets left late.
    pub tick_overruns: AtomicU64,
    /// Packets that left too late for the jitter buffer behind the pod, or not at all.
    pub packets_missed: AtomicU64,
    /// Of these the ones that did not leave at all: after a standstill they are left out.
    pub packets_left_out: AtomicU64,
    /// Calls that the worker carries.
    pub calls: AtomicUsize,
    /// Addresses by which it knows their packets.
    pub addresses: AtomicUsize,
    /// Entries in the wheel that says which call is due.
    pub scheduled: AtomicUsize,
    busy_ns: AtomicU64,
    playout: Duration,
    pacing: [AtomicU64; PACING_BOUNDS_MS.len() + 1],
    pacing_sum_ns: AtomicU64,
    epoch: Instant,
    last_beat_ms: AtomicU64,
}

impl Default for WorkerCounters {
    fn default() -> Self {
        Self::new()
    }
}

impl WorkerCounters {
    /// All at zero; the heart has just beaten.
    pub fn new() -> Self {
        Self {
            packets_received: AtomicU64::new(0),
            packets_sent: AtomicU64::new(0),
            packets_lost: AtomicU64::new(0),
            packets_late: AtomicU64::new(0),
            unknown_source: AtomicU64::new(0),
            malformed: AtomicU64::new(0),
            send_errors: AtomicU64::new(0),
            frames_concealed: AtomicU64::new(0),
            tick_overruns: AtomicU64::new(0),
            packets_missed: AtomicU64::new(0),
            packets_left_out: AtomicU64::new(0),
            calls: AtomicUsize::new(0),
            addresses: AtomicUsize::new(0),
            scheduled: AtomicUsize::new(0),
            busy_ns: AtomicU64::new(0),
            playout: PLAYOUT,
            pacing: Default::default(),
            pacing_sum_ns: AtomicU64::new(0),
            epoch: Instant::now(),
            last_beat_ms: AtomicU64::new(0),
        }
    }

    /// The same for jitter buffers that hold so much.
    pub fn with_playout(playout: Duration) -> Self {
        Self { playout, ..Self::new() }
    }

    /// Counts one packet by how far from its due time it left.
    pub fn observe_pacing(&self, error: Duration) {
        let milliseconds = error.as_secs_f64() * 1e3;
        let bucket = PACING_BOUNDS_MS.partition_point(|bound| *bound < milliseconds);
        self.pacing[bucket].fetch_add(1, Ordering::Relaxed);
        let nanoseconds = u64::try_from(error.as_nanos()).unwrap_or(u64::MAX);
        self.pacing_sum_ns.fetch_add(nanoseconds, Ordering::Relaxed);
        if error > self.playout {
            self.packets_missed.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts packets that are left out because the worker stood still when they were due.
    pub fn leave_out(&self, packets: u64) {
        self.packets_missed.fetch_add(packets, Ordering::Relaxed);
        self.packets_left_out.fetch_add(packets, Ordering::Relaxed);
    }

    /// Counts time in which the worker had something to do; standing still in the middle of it is part of it.
    pub fn was_busy(&self, busy: Duration) {
        self.busy_ns.fetch_add(u64::try_from(busy.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// All such time since the start.
    pub fn busy(&self) -> Duration {
        Duration::from_nanos(self.busy_ns.load(Ordering::Relaxed))
    }

    /// Whether the worker is behind with a round by more than jitter buffers hold.
    pub fn is_stalled(&self, now: Instant) -> bool {
        self.stalled_for(now) > self.playout
    }

    /// How late packets left since the start, to be compared with an earlier look.
    pub fn pacing(&self) -> PacingCounts {
        PacingCounts(std::array::from_fn(|bucket| self.pacing[bucket].load(Ordering::Relaxed)))
    }

    /// How far the worker is behind with a round that has not ended yet: what a worker that is held up for long cannot count,
    /// because nothing leaves meanwhile.
    pub fn stalled_for(&self, now: Instant) -> Duration {
        self.silent_for(now).saturating_sub(IDLE_BEAT)
    }

    /// Says that the worker is alive; each of its rounds does.
    pub fn beat(&self) {
        self.last_beat_ms.store(self.milliseconds(Instant::now()), Ordering::Relaxed);
    }

    /// Time since the last beat.
    pub fn silent_for(&self, now: Instant) -> Duration {
        Duration::from_millis(self.milliseconds(now).saturating_sub(self.last_beat_ms.load(Ordering::Relaxed)))
    }

    fn milliseconds(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.epoch).as_millis()).unwrap_or(u64::MAX)
    }
}

/// How many packets left how late, by the buckets of [`PACING_BOUNDS_MS`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PacingCounts([u64; PACING_BOUNDS_MS.len() + 1]);

impl PacingCounts {
    /// What came since an earlier look at the same worker.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self(std::array::from_fn(|bucket| self.0[bucket].saturating_sub(earlier.0[bucket])))
    }

    /// How many packets there are in all.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// The lateness that the share `quantile` (0 to 1) of the packets does not exceed; within a bucket they are taken for evenly
    /// spread. Zero where there are none, and never more than the last bound.
    #[must_use]
    pub fn quantile(&self, quantile: f64) -> Duration {
        let total = self.total();
        let rank = total as f64 * quantile;
        let (mut below, mut lower_ms) = (0.0, 0.0);
        for (count, upper_ms) in self.0.iter().zip(PACING_BOUNDS_MS) {
            let count = *count as f64;
            if count > 0.0 && below + count >= rank {
                let ms = lower_ms + (upper_ms - lower_ms) * ((rank - below) / count).clamp(0.0, 1.0);
                return Duration::from_secs_f64(ms / 1e3);
            }
            below += count;
            lower_ms = upper_ms;
        }
        if total == 0 { Duration::ZERO } else { Duration::from_secs_f64(lower_ms / 1e3) }
    }
}

/// A count of the worker's, by reference.
type Count = fn(&WorkerCounters) -> &AtomicU64;

/// Families with one series each.
const PLAIN: [(&str, &str, Count); 8] = [
    ("sofia_phone_rtp_packets_received_total", "RTP packets received.", |counters| &counters.packets_received),
    ("sofia_phone_rtp_packets_sent_total", "RTP packets sent.", |counters| &counters.packets_sent),
    ("sofia_phone_rtp_packets_lost_total", "RTP packets that never came.", |counters| &counters.packets_lost),
    ("sofia_phone_rtp_packets_late_total", "RTP packets that came too late to be heard.", |counters| {
        &counters.packets_late
    }),
    ("sofia_phone_rtp_send_errors_total", "RTP packets that could not be sent.", |counters| &counters.send_errors),
    ("sofia_phone_rtp_frames_concealed_total", "Frames made up for missing packets.", |counters| {
        &counters.frames_concealed
    }),
    (
        "sofia_phone_rtp_packets_missed_total",
        "RTP packets that left too late for the callers' jitter buffers, or not at all.",
        |counters| &counters.packets_missed,
    ),
    ("sofia_phone_media_overruns_total", "Rounds of media workers that took longer than a frame.", |counters| {
        &counters.tick_overruns
    }),
];

/// The series of `sofia_phone_rtp_packets_dropped_total`.
const DROPPED: [(&str, Count); 2] =
    [("unknown_source", |counters| &counters.unknown_source), ("malformed", |counters| &counters.malformed)];
const DROPPED_NAME: &str = "sofia_phone_rtp_packets_dropped_total";
const DROPPED_HELP: &str = "Datagrams thrown away unheard, by why.";
const PACING_NAME: &str = "sofia_phone_rtp_pacing_error_seconds";
const PACING_HELP: &str = "How far from their due times packets left.";

/// Sums the workers' counts up at each scrape.
pub(super) struct WorkerCollector {
    workers: Vec<Arc<WorkerCounters>>,
    descriptions: Vec<Desc>,
}

impl WorkerCollector {
    pub(super) fn new(workers: Vec<Arc<WorkerCounters>>) -> Self {
        let describe = |name: &str, help: &str, labels: &[&str]| {
            let labels = labels.iter().map(|label| (*label).to_owned()).collect();
            Desc::new(name.to_owned(), help.to_owned(), labels, Default::default())
                .expect("names are constants and valid")
        };
        let mut descriptions: Vec<Desc> = PLAIN.iter().map(|(name, help, _)| describe(name, help, &[])).collect();
        descriptions.push(describe(DROPPED_NAME, DROPPED_HELP, &["reason"]));
        descriptions.push(describe(PACING_NAME, PACING_HELP, &[]));
        Self { workers, descriptions }
    }

    fn sum(&self, count: impl Fn(&WorkerCounters) -> &AtomicU64) -> u64 {
        self.workers.iter().map(|worker| count(worker).load(Ordering::Relaxed)).sum()
    }

    fn pacing(&self) -> Histogram {
        let mut histogram = Histogram::default();
        let mut cumulative = 0;
        let mut buckets = Vec::with_capacity(PACING_BOUNDS_MS.len());
        for (index, bound) in PACING_BOUNDS_MS.iter().enumerate() {
            cumulative += self.sum(|worker| &worker.pacing[index]);
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(bound / 1e3);
            bucket.set_cumulative_count(cumulative);
            buckets.push(bucket);
        }
        histogram.set_bucket(buckets);
        histogram.set_sample_count(cumulative + self.sum(|worker| &worker.pacing[PACING_BOUNDS_MS.len()]));
        histogram.set_sample_sum(self.sum(|worker| &worker.pacing_sum_ns) as f64 / 1e9);
        histogram
    }
}

impl Collector for WorkerCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let plain = PLAIN
            .iter()
            .map(|(name, help, count)| family(name, help, MetricType::COUNTER, vec![counter(self.sum(count), vec![])]));
        let dropped = DROPPED.iter().map(|(reason, count)| {
            let mut label = LabelPair::default();
            label.set_name("reason".to_owned());
            label.set_value((*reason).to_owned());
            counter(self.sum(count), vec![label])
        });
        let mut pacing = Metric::default();
        pacing.set_histogram(self.pacing());
        plain
            .chain([family(DROPPED_NAME, DROPPED_HELP, MetricType::COUNTER, dropped.collect())])
            .chain([family(PACING_NAME, PACING_HELP, MetricType::HISTOGRAM, vec![pacing])])
            .collect()
    }
}

fn counter(value: u64, labels: Vec<LabelPair>) -> Metric {
    let mut counter = Counter::default();
    counter.set_value(value as f64);
    let mut metric = Metric::from_label(labels);
    metric.set_counter(counter);
    metric
}

fn family(name: &str, help: &str, kind: MetricType, metrics: Vec<Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(kind);
    family.set_metric(metrics);
    family
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::metrics::Metrics;

    #[test]
    fn a_scrape_sums_the_workers_up() {
        let workers: Vec<_> = (0..2).map(|_| Arc::new(WorkerCounters::new())).collect();
        let metrics = Metrics::new(workers.clone(), Instant::now());
        workers[0].packets_received.fetch_add(50, Ordering::Relaxed);
        workers[1].packets_received.fetch_add(7, Ordering::Relaxed);
        workers[1].unknown_source.fetch_add(3, Ordering::Relaxed);
        workers[0].observe_pacing(Duration::from_micros(400));
        workers[1].observe_pacing(Duration::from_micros(500));
        workers[1].observe_pacing(Duration::from_millis(80));
        let text = metrics.scrape(Instant::now());
        for line in [
            "sofia_phone_rtp_packets_received_total 57",
            "sofia_phone_rtp_packets_dropped_total{reason=\"unknown_source\"} 3",
            "sofia_phone_rtp_packets_dropped_total{reason=\"malformed\"} 0",
            "sofia_phone_rtp_pacing_error_seconds_bucket{le=\"0.00025\"} 0",
            "sofia_phone_rtp_pacing_error_seconds_bucket{le=\"0.0005\"} 2",
            "sofia_phone_rtp_pacing_error_seconds_bucket{le=\"0.05\"} 2",
            "sofia_phone_rtp_pacing_error_seconds_bucket{le=\"+Inf\"} 3",
            "sofia_phone_rtp_pacing_error_seconds_count 3",
            "sofia_phone_rtp_pacing_error_seconds_sum 0.0809",
        ] {
            assert!(text.lines().any(|written| written == line), "{line} is missing in\n{text}");
        }
    }

    #[test]
    fn lateness_is_told_of_what_came_since_the_last_look() {
        let counters = WorkerCounters::new();
        assert_eq!(counters.pacing().quantile(0.99), Duration::ZERO, "nothing was sent");
        (0..100).for_each(|_| counters.observe_pacing(Duration::from_millis(30)));
        let earlier = counters.pacing();
        assert!(earlier.quantile(0.99) > Duration::from_millis(20));
        (0..990).for_each(|_| counters.observe_pacing(Duration::from_micros(800)));
        (0..10).for_each(|_| counters.observe_pacing(Duration::from_millis(9)));
        let since = counters.pacing().since(&earlier);
        assert!(since.quantile(0.5) <= Duration::from_millis(1), "{since:?}");
        assert_eq!(since.quantile(0.99), Duration::from_millis(1), "one in a hundred may be later");
        assert!(since.quantile(0.995) > Duration::from_millis(5), "{since:?}");
        counters.observe_pacing(Duration::from_secs(3));
        assert_eq!(counters.pacing().quantile(1.0), Duration::from_millis(50), "the scale ends there");
    }

    #[test]
    fn what_leaves_too_late_for_a_jitter_buffer_or_not_at_all_is_missed() {
        let counters = WorkerCounters::with_playout(Duration::from_millis(60));
        for ms in [0, 15, 40, 60, 61, 300] {
            counters.observe_pacing(Duration::from_millis(ms));
        }
        counters.leave_out(5);
        let missed = counters.packets_missed.load(Ordering::Relaxed);
        assert_eq!((missed, counters.packets_left_out.load(Ordering::Relaxed), counters.pacing().total()), (7, 5, 6));
        let workers = vec![Arc::new(counters)];
        let text = Metrics::new(workers, Instant::now()).scrape(Instant::now());
        assert!(text.contains("sofia_phone_rtp_packets_missed_total 7"), "{text}");
    }

    #[test]
    fn a_worker_that_is_held_up_is_late_though_nothing_leaves() {
        let counters = WorkerCounters::new();
        counters.beat();
        let now = Instant::now();
        assert_eq!(
            counters.stalled_for(now + Duration::from_millis(900)),
            Duration::ZERO,
            "an idle one sleeps for a second"
        );
        assert!(counters.stalled_for(now + Duration::from_secs(2)) > Duration::from_millis(800));
    }

    #[test]
    fn a_worker_that_stops_beating_is_silent_for_as_long() {
        let counters = WorkerCounters::new();
        counters.beat();
        let now = Instant::now();
        assert!(counters.silent_for(now) < Duration::from_secs(60));
        assert!(counters.silent_for(now + Duration::from_secs(100)) >= Duration::from_secs(100));
        assert_eq!(counters.silent_for(now.checked_sub(Duration::from_secs(1)).unwrap_or(now)), Duration::ZERO);
    }
}
