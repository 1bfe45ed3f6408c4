//! FreeSWITCH's limit of sessions a second (`sessions-per-second`). Reads no clock: `now` is an argument.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// What FreeSWITCH takes where its configuration says nothing.
pub(crate) const DEFAULT_RATE: u32 = 30;

/// Sessions that may still begin in the current second. Every request counts: legs of callers and legs to pods, and those that are
/// refused too. Of a rate of 24 a second 23 sessions come: `switch_core_session_request_uuid` counts before it looks.
#[derive(Debug)]
pub(crate) struct Throttle {
    rate: i64,
    start: Instant,
    current: Mutex<Second>,
}

#[derive(Debug)]
struct Second {
    number: u64,
    left: i64,
}

impl Throttle {
    /// Whose seconds are counted from `start`, as FreeSWITCH's are from its own: the last one's rest is lost, and nothing is spread.
    pub(crate) fn new(rate: u32, start: Instant) -> Self {
        let rate = i64::from(rate);
        Self { rate, start, current: Mutex::new(Second { number: 0, left: rate }) }
    }

    /// Asks for a session.
    pub(crate) fn takes(&self, now: Instant) -> bool {
        let number = now.saturating_duration_since(self.start).as_secs();
        let mut second = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if number > second.number {
            *second = Second { number, left: self.rate };
        }
        second.left -= 1;
        second.left > 0
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_second_has_one_session_less_than_its_rate_and_what_is_refused_changes_nothing() {
        let start = Instant::now();
        let throttle = Throttle::new(24, start);
        let taken = |at: Duration, of: usize| (0..of).filter(|_| throttle.takes(start + at)).count();
        assert_eq!(taken(Duration::ZERO, 20), 20);
        assert_eq!(taken(Duration::from_millis(999), 100), 3);
        assert_eq!(taken(Duration::from_secs(1), 100), 23);
        assert_eq!(taken(Duration::from_millis(4_500), 1), 1);
        assert_eq!(taken(Duration::from_secs(3), 100), 22, "a clock that is read late is still that second's");
    }
}
