//! Calls of one pod, and how they arrive and how long they last. Only how many end when is kept, not the calls themselves.

use rand::{Rng, RngExt as _};

use crate::cluster::STEP_SECONDS;

/// The longest call, in steps: an hour.
const LONGEST: usize = 3600 / STEP_SECONDS;

/// The calls in progress of one pod, by the step in which they end.
#[derive(Clone, Debug)]
pub struct Calls {
    ends: Vec<u32>,
    active: u32,
}

impl Default for Calls {
    fn default() -> Self {
        Self { ends: vec![0; LONGEST + 1], active: 0 }
    }
}

impl Calls {
    /// Calls in progress.
    pub fn active(&self) -> u32 {
        self.active
    }

    /// A call begins, or comes over, that ends in step `end`; at most an hour from now.
    pub fn begin(&mut self, end: usize) {
        let slots = self.ends.len();
        self.ends[end % slots] += 1;
        self.active += 1;
    }

    /// Ends the calls that are to end in step `now`.
    pub fn end(&mut self, now: usize) {
        let slots = self.ends.len();
        self.active -= std::mem::take(&mut self.ends[now % slots]);
    }

    /// Takes all calls away, as the steps in which they end. Those of step `now` must have ended.
    pub fn take(&mut self, now: usize) -> Vec<usize> {
        let slots = self.ends.len();
        let mut ends = Vec::new();
        for end in now + 1..now + slots {
            let calls = std::mem::take(&mut self.ends[end % slots]);
            ends.extend(std::iter::repeat_n(end, calls as usize));
        }
        self.active = 0;
        ends
    }
}

/// How long calls last: lognormally distributed, as telephone calls about are, an hour at most.
#[derive(Clone, Copy, Debug)]
pub struct Lengths {
    /// Mean, before the hour cuts the longest.
    pub mean_seconds: f64,
    /// Standard deviation of the logarithm. With 1, one call in 23 is longer than ten minutes when the mean is three.
    pub sigma: f64,
}

impl Lengths {
    /// The length of a call in steps, at least one.
    pub fn draw(&self, random: &mut impl Rng) -> usize {
        let (radius, angle) = (1.0 - random.random::<f64>(), random.random::<f64>());
        // Box and Muller's way to a normal distribution from two uniform ones.
        let normal = (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos();
        let seconds = (self.mean_seconds.ln() - self.sigma * self.sigma / 2.0 + self.sigma * normal).exp();
        // Saturates at both ends.
        ((seconds / STEP_SECONDS as f64).round() as usize).clamp(1, LONGEST)
    }
}

/// A number of independent events of which `mean` are expected, by Knuth's method: it counts how many uniform numbers can be
/// multiplied.
pub fn poisson(mut mean: f64, random: &mut impl Rng) -> u32 {
    let mut events = 0;
    // Sums of such numbers are such numbers; in pieces, the product does not vanish.
    while mean > 0.0 {
        let limit = (-mean.min(16.0)).exp();
        mean -= 16.0;
        let mut product: f64 = random.random();
        while product > limit {
            events += 1;
            product *= random.random::<f64>();
        }
    }
    events
}

#[cfg(test)]
mod tests {
    use super::*;

    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    #[test]
    fn calls_end_in_their_step_and_those_taken_away_keep_theirs() {
        let mut calls = Calls::default();
        for end in [101, 102, 102, 460] {
            calls.begin(end);
        }
        calls.end(101);
        assert_eq!(calls.active(), 3);
        assert_eq!(calls.take(101), [102, 102, 460]);
        assert_eq!(calls.active(), 0);
    }

    #[test]
    fn draws_have_the_means_they_should_have() {
        let mut random = StdRng::seed_from_u64(1);
        let lengths = Lengths { mean_seconds: 180.0, sigma: 1.0 };
        let mean = |sum: f64| sum / 100_000.0;
        let seconds = mean((0..100_000).map(|_| (lengths.draw(&mut random) * STEP_SECONDS) as f64).sum());
        assert!((170.0..190.0).contains(&seconds), "{seconds}");
        for expected in [0.3, 7.0, 50.0] {
            let events = mean((0..100_000).map(|_| f64::from(poisson(expected, &mut random))).sum());
            assert!((events / expected - 1.0).abs() < 0.02, "{events} instead of {expected}");
        }
    }
}
