//! Whether the pod keeps its calls' pace well enough to take another one: from how late packets left lately, with hysteresis.
//! Measures nothing and reads no clock, and never asks anything of a call that is up.
//!
//! A count of calls says what a pod was sized for; lateness says what it has left when its core is shared, throttled or slower
//! than it was thought to be. Set-ups are refused long before a caller hears anything: what is late by 10 ms is still in time for
//! the jitter buffer behind it.

use std::time::{Duration, Instant};

/// How often admission is told how late packets left.
pub const READING_INTERVAL: Duration = Duration::from_millis(250);
/// Readings that count: a second's.
const READINGS: usize = 4;
/// So long packets must have left in less than half the limit before calls are taken again, beyond the second that the readings
/// reach back.
const CALM: Duration = Duration::from_secs(1);
/// So long it takes where they leave in time, but not in less than half: a pod at its limit is not to flap, nor one with a steady
/// neighbour to be shut for good.
const IN_TIME: Duration = Duration::from_secs(10);

/// The judge of a pod's lateness.
#[derive(Debug)]
pub(super) struct Lateness {
    limit: Option<Duration>,
    readings: [Duration; READINGS],
    next: usize,
    late: bool,
    in_time_since: Option<Instant>,
    calm_since: Option<Instant>,
}

impl Lateness {
    /// In time; without a limit it stays so.
    pub(super) fn new(limit: Option<Duration>) -> Self {
        Self {
            limit,
            readings: [Duration::ZERO; READINGS],
            next: 0,
            late: false,
            in_time_since: None,
            calm_since: None,
        }
    }

    /// Takes the newest reading: how late, but for one in a hundred, packets left since the last one.
    pub(super) fn observe(&mut self, now: Instant, reading: Duration) {
        self.readings[self.next] = reading;
        self.next = (self.next + 1) % READINGS;
        let (Some(limit), current) = (self.limit, self.current()) else { return };
        if current > limit {
            (self.late, self.in_time_since, self.calm_since) = (true, None, None);
        } else if self.late {
            let since = |start: &mut Option<Instant>| now.saturating_duration_since(*start.get_or_insert(now));
            let in_time = since(&mut self.in_time_since);
            let calm = if current < limit / 2 {
                since(&mut self.calm_since)
            } else {
                self.calm_since = None;
                Duration::ZERO
            };
            self.late = calm < CALM && in_time < IN_TIME;
        }
    }

    /// The second-worst of the last second's readings: a single hiccup is not lateness, a second one within a second is.
    pub(super) fn current(&self) -> Duration {
        let mut sorted = self.readings;
        sorted.sort_unstable();
        sorted[READINGS - 2]
    }

    /// Whether calls should be refused for it.
    pub(super) fn is_late(&self) -> bool {
        self.late
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;

    const LIMIT: Duration = Duration::from_millis(10);

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// What is judged after each of the readings, taken one interval apart.
    fn judged(lateness: &mut Lateness, start: Instant, readings: &[Duration]) -> Vec<bool> {
        let times = (0..).map(|at| start + READING_INTERVAL * at);
        let judge = |(now, reading): (Instant, &Duration)| {
            lateness.observe(now, *reading);
            lateness.is_late()
        };
        times.zip(readings).map(judge).collect()
    }

    #[test]
    fn one_hiccup_in_a_second_is_not_lateness_and_the_second_is() {
        let mut lateness = Lateness::new(Some(LIMIT));
        let start = Instant::now();
        let hiccups = [ms(50), ms(0), ms(0), ms(0), ms(50), ms(0), ms(50)];
        assert_eq!(judged(&mut lateness, start, &hiccups), [false, false, false, false, false, false, true]);
        assert_eq!(lateness.current(), ms(50));
    }

    #[test]
    fn calls_are_taken_again_after_two_calm_seconds_and_no_sooner() {
        let mut lateness = Lateness::new(Some(LIMIT));
        let start = Instant::now();
        assert_eq!(judged(&mut lateness, start, &[ms(20), ms(20)]), [false, true]);
        let calm = judged(&mut lateness, start + READING_INTERVAL * 2, &[ms(1); 8]);
        let back = calm.iter().position(|late| !late).expect("it comes back");
        let took = READING_INTERVAL * u32::try_from(back + 1).expect("a few");
        assert!(took >= CALM && took <= CALM * 2, "{took:?}");
        assert!(calm[back..].iter().all(|late| !late));
    }

    #[test]
    fn between_half_the_limit_and_the_whole_it_stays_for_long_and_not_for_good() {
        let start = Instant::now();
        let mut in_time = Lateness::new(Some(LIMIT));
        assert!(judged(&mut in_time, start, &[ms(9); 40]).iter().all(|late| !late));
        let mut late = Lateness::new(Some(LIMIT));
        judged(&mut late, start, &[ms(11); 4]);
        let wavering: Vec<Duration> = [ms(6), ms(6), ms(1), ms(6)].into_iter().cycle().take(60).collect();
        let after = judged(&mut late, start + ms(1_000), &wavering);
        let back = after.iter().position(|late| !late).expect("it comes back");
        let took = READING_INTERVAL * u32::try_from(back + 1).expect("a few");
        assert!(took >= IN_TIME && took <= IN_TIME * 2, "{took:?}");
        assert!(after[back..].iter().all(|late| !late));
    }

    #[test]
    fn without_a_limit_nothing_is_late() {
        let mut lateness = Lateness::new(None);
        assert!(judged(&mut lateness, Instant::now(), &[ms(50); 8]).iter().all(|late| !late));
        assert_eq!(lateness.current(), ms(50), "it is still told");
    }

    proptest! {
        #[test]
        fn it_turns_only_with_a_reason(readings in proptest::collection::vec(0_u64..30, 1..120)) {
            let mut lateness = Lateness::new(Some(LIMIT));
            let start = Instant::now();
            let mut was = false;
            for (at, reading) in readings.iter().enumerate() {
                lateness.observe(start + READING_INTERVAL * u32::try_from(at).expect("few"), ms(*reading));
                let seen = &readings[(at + 1).saturating_sub(READINGS)..=at];
                match (was, lateness.is_late()) {
                    (false, true) => prop_assert!(seen.iter().filter(|ms| **ms > 10).count() >= 2, "{seen:?}"),
                    (true, false) => prop_assert!(seen.iter().filter(|ms| **ms > 10).count() <= 1, "{seen:?}"),
                    _ => {}
                }
                was = lateness.is_late();
            }
        }
    }
}
