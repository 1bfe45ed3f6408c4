//! A token bucket that bounds how fast calls are taken. Reads no clock: `now` is an argument.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

/// Lets through `rate` calls a second on average and as many at once after a quiet second.
#[derive(Debug)]
pub struct TokenBucket {
    /// Time that one token takes to grow.
    interval: Duration,
    /// A full bucket, as the time it takes to fill.
    full: Duration,
    /// What the bucket holds, as the time it took to grow: exact, where fractions of tokens would drift.
    level: Duration,
    filled_at: Instant,
}

impl TokenBucket {
    /// A full bucket of `rate_per_second` tokens.
    pub fn new(rate_per_second: NonZeroU32, now: Instant) -> Self {
        let interval = Duration::from_secs(1) / rate_per_second.get();
        let full = interval * rate_per_second.get();
        Self { interval, full, level: full, filled_at: now }
    }

    /// Takes a token if there is one. A `now` before an earlier one counts as that earlier one.
    pub fn try_take(&mut self, now: Instant) -> bool {
        let grown = now.saturating_duration_since(self.filled_at);
        self.filled_at += grown;
        self.level = self.level.saturating_add(grown).min(self.full);
        match self.level.checked_sub(self.interval) {
            Some(rest) => {
                self.level = rest;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;

    fn bucket(rate: u32, now: Instant) -> TokenBucket {
        TokenBucket::new(NonZeroU32::new(rate).expect("rates in tests are not zero"), now)
    }

    #[test]
    fn a_full_bucket_gives_one_seconds_worth_and_no_more() {
        let now = Instant::now();
        let mut bucket = bucket(5, now);
        assert_eq!((0..20).filter(|_| bucket.try_take(now)).count(), 5);
    }

    #[test]
    fn tokens_grow_back_evenly() {
        let start = Instant::now();
        let mut bucket = bucket(4, start);
        while bucket.try_take(start) {}
        assert!(!bucket.try_take(start + Duration::from_millis(249)));
        assert!(bucket.try_take(start + Duration::from_millis(250)));
        assert!(!bucket.try_take(start + Duration::from_millis(251)));
    }

    #[test]
    fn time_that_steps_back_gives_nothing_twice() {
        let start = Instant::now();
        let later = start + Duration::from_secs(1);
        let mut bucket = bucket(1, start);
        assert!(bucket.try_take(start));
        assert!(bucket.try_take(later));
        assert!(!bucket.try_take(start));
        assert!(!bucket.try_take(later));
    }

    proptest! {
        #[test]
        fn never_more_than_the_rate_and_one_burst(rate in 1_u32..2000, steps in proptest::collection::vec(0_u64..50_000, 1..200)) {
            let start = Instant::now();
            let mut bucket = bucket(rate, start);
            let mut now = start;
            let mut taken = 0_u64;
            for micros in steps {
                now += Duration::from_micros(micros);
                taken += u64::from(bucket.try_take(now));
            }
            let allowed = u64::from(rate) + (now - start).as_micros() as u64 * u64::from(rate) / 1_000_000 + 1;
            prop_assert!(taken <= allowed, "{taken} of {allowed}");
        }
    }
}
