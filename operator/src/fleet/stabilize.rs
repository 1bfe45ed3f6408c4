//! What was wanted during a while, so that a number that jitters moves no pod: more are added when more were wanted all the time,
//! fewer when fewer were. Remembers only the extremes, so that an hour costs no more than a minute.

use std::collections::VecDeque;

use jiff::{SignedDuration, Timestamp};

use super::wish::Estimate;

/// The extremes of the estimates of a while.
#[derive(Clone, Debug, Default)]
pub struct Stabilizer {
    /// Least numbers, each lower than those after it.
    least: VecDeque<(Timestamp, u32)>,
    /// Greatest numbers, each higher than those after it.
    most: VecDeque<(Timestamp, u32)>,
}

impl Stabilizer {
    /// Takes an estimate of `now` and says how many there shall be of the `current` ones.
    ///
    /// Both directions as the HorizontalPodAutoscaler has them: up to the least number that was wanted in the window `up`, down
    /// to the greatest of the window `down`. The first number that is known is the current one: what was wanted before is not
    /// known, so that a window passes before anything goes.
    pub fn settle(
        &mut self,
        now: Timestamp,
        current: u32,
        estimate: Estimate,
        up: SignedDuration,
        down: SignedDuration,
    ) -> u32 {
        if self.least.is_empty() {
            self.least.push_back((now, current));
            self.most.push_back((now, current));
        }
        let least = extreme(&mut self.least, now, estimate.least, up, |earlier, later| earlier >= later);
        let most = extreme(&mut self.most, now, estimate.most, down, |earlier, later| earlier <= later);
        if least > current {
            least
        } else if most < current {
            most
        } else {
            current
        }
    }

    /// Forgets what was wanted: somebody else sets the number.
    pub fn clear(&mut self) {
        self.least.clear();
        self.most.clear();
    }

    /// How many numbers are remembered.
    pub fn len(&self) -> usize {
        self.least.len() + self.most.len()
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Adds a number and gives the extreme of the window. What `beaten` says is no extreme any more once a later number is there.
fn extreme(
    numbers: &mut VecDeque<(Timestamp, u32)>,
    now: Timestamp,
    number: u32,
    window: SignedDuration,
    beaten: impl Fn(u32, u32) -> bool,
) -> u32 {
    // A decision asked for twice adds the same number twice, which changes nothing.
    while numbers.back().is_some_and(|&(_, earlier)| beaten(earlier, number)) {
        numbers.pop_back();
    }
    numbers.push_back((now, number));
    while numbers.len() > 1 && numbers.front().is_some_and(|&(time, _)| now.duration_since(time) >= window) {
        numbers.pop_front();
    }
    // The last number stays whatever its age, so there is one.
    numbers.front().map_or(number, |&(_, extreme)| extreme)
}

#[cfg(test)]
mod tests {
    use super::*;

    const UP: SignedDuration = SignedDuration::from_secs(60);
    const DOWN: SignedDuration = SignedDuration::from_secs(300);

    fn settle(stabilizer: &mut Stabilizer, second: i64, current: u32, wanted: u32) -> u32 {
        let now = Timestamp::from_second(second).expect("a time");
        stabilizer.settle(now, current, Estimate { least: wanted, most: wanted }, UP, DOWN)
    }

    #[test]
    fn fewer_are_wanted_for_a_whole_window_before_any_goes() {
        let mut stabilizer = Stabilizer::default();
        for second in [0, 100, 200, 299] {
            assert_eq!(settle(&mut stabilizer, second, 5, 3), 5, "at {second} s");
        }
        assert_eq!(settle(&mut stabilizer, 300, 5, 3), 3);
    }

    #[test]
    fn the_greatest_number_of_the_window_stays() {
        let mut stabilizer = Stabilizer::default();
        settle(&mut stabilizer, 0, 5, 2);
        settle(&mut stabilizer, 200, 5, 4);
        settle(&mut stabilizer, 250, 5, 1);
        assert_eq!(settle(&mut stabilizer, 400, 5, 2), 4);
        assert_eq!(settle(&mut stabilizer, 500, 4, 2), 2);
    }

    #[test]
    fn more_are_wanted_for_a_whole_window_before_any_comes() {
        let mut stabilizer = Stabilizer::default();
        settle(&mut stabilizer, 0, 3, 3);
        assert_eq!(settle(&mut stabilizer, 10, 3, 6), 3);
        assert_eq!(settle(&mut stabilizer, 50, 3, 4), 3);
        assert_eq!(settle(&mut stabilizer, 60, 3, 9), 4, "the least of the window");
        assert_eq!(settle(&mut stabilizer, 110, 4, 9), 9);
    }

    #[test]
    fn what_is_not_known_moves_nothing() {
        let mut stabilizer = Stabilizer::default();
        for second in 0..1000 {
            let now = Timestamp::from_second(second).expect("a time");
            let estimate = Estimate { least: 2, most: 9 };
            assert_eq!(stabilizer.settle(now, 5, estimate, SignedDuration::ZERO, SignedDuration::ZERO), 5);
        }
    }

    #[test]
    fn an_hour_of_noise_is_remembered_by_its_extremes() {
        let mut stabilizer = Stabilizer::default();
        for second in 0..10_000_i64 {
            let noise = u32::try_from(second * 7919 % 13).expect("small");
            settle(&mut stabilizer, second, 50, 50 + noise);
        }
        assert!(stabilizer.len() <= 2 * 13, "{}", stabilizer.len());
    }
}
