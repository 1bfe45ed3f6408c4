//! How late packets left, as a histogram small enough to be kept for every call. It measures and never corrects.

use std::time::Duration;

/// Upper bounds of the buckets, in microseconds; what is later than the last is in a bucket of its own.
const BOUNDS_US: [u32; 15] =
    [50, 100, 200, 300, 500, 750, 1_000, 1_500, 2_000, 3_000, 5_000, 10_000, 20_000, 50_000, 100_000];

/// Counts of sending times against schedule.
#[derive(Debug, Clone, Default)]
pub(super) struct Pacing {
    counts: [u32; BOUNDS_US.len() + 1],
}

impl Pacing {
    pub(super) fn observe(&mut self, error: Duration) {
        let micros = u32::try_from(error.as_micros()).unwrap_or(u32::MAX);
        let bucket = BOUNDS_US.partition_point(|bound| *bound < micros);
        self.counts[bucket] = self.counts[bucket].saturating_add(1);
    }

    /// The upper bound of the bucket in which the quantile `q` (0 to 1) lies; zero before the first packet.
    pub(super) fn quantile(&self, q: f64) -> Duration {
        let total: u64 = self.counts.iter().map(|count| u64::from(*count)).sum();
        let rank = (total as f64 * q).ceil() as u64;
        let mut seen = 0;
        for (count, bound) in self.counts.iter().zip(BOUNDS_US.iter().chain([&u32::MAX])) {
            seen += u64::from(*count);
            if seen >= rank && seen > 0 {
                return Duration::from_micros(u64::from(*bound.min(&1_000_000)));
            }
        }
        Duration::ZERO
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_the_bounds_of_their_buckets() {
        let mut pacing = Pacing::default();
        assert_eq!(pacing.quantile(0.5), Duration::ZERO);
        for _ in 0..98 {
            pacing.observe(Duration::from_micros(70));
        }
        pacing.observe(Duration::from_millis(4));
        pacing.observe(Duration::from_secs(2));
        assert_eq!(pacing.quantile(0.5), Duration::from_micros(100));
        assert_eq!(pacing.quantile(0.99), Duration::from_millis(5));
        assert_eq!(pacing.quantile(1.0), Duration::from_secs(1), "beyond the scale");
    }
}
