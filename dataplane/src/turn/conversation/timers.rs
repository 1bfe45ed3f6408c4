//! The clocks of a conversation: one deadline for each kind of waiting. It never reads the time.

use std::time::{Duration, Instant};

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Timer {
    Answer,
    Caller,
    Glimpse,
    Dtmf,
    Transcription,
    Generation,
    GenerationAll,
    Playout,
    Cut,
    Silence,
    LostWords,
    Transfer,
    Farewell,
    MaxDuration,
}

const ALL: [Timer; 14] = [
    Timer::Answer,
    Timer::Caller,
    Timer::Glimpse,
    Timer::Dtmf,
    Timer::Transcription,
    Timer::Generation,
    Timer::GenerationAll,
    Timer::Playout,
    Timer::Cut,
    Timer::Silence,
    Timer::LostWords,
    Timer::Transfer,
    Timer::Farewell,
    Timer::MaxDuration,
];

/// A wait longer than this is as good as none, and an `Instant` can carry it.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3_600);

impl Timer {
    /// A call on hold still grows older, and is not kept past its end.
    fn runs_on_hold(self) -> bool {
        matches!(self, Self::MaxDuration | Self::Farewell | Self::Answer)
    }
}

#[derive(Debug, Default)]
pub(super) struct Timers {
    at: [Option<Instant>; ALL.len()],
    held_since: Option<Instant>,
}

impl Timers {
    pub(super) fn set(&mut self, timer: Timer, now: Instant, after: Duration) {
        // A clock set during a hold starts to run at its end: it is moved with the others then.
        let from = match self.held_since {
            Some(since) if !timer.runs_on_hold() => since,
            _ => now,
        };
        self.at[timer as usize] = Some(from + after.min(LONGEST));
    }

    pub(super) fn clear(&mut self, timer: Timer) {
        self.at[timer as usize] = None;
    }

    pub(super) fn clear_all(&mut self) {
        self.at = Default::default();
    }

    pub(super) fn is_set(&self, timer: Timer) -> bool {
        self.at[timer as usize].is_some()
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.running().map(|(_, at)| at).min()
    }

    /// Takes the earliest timer that is due.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<Timer> {
        let (timer, _) = self.running().filter(|(_, at)| *at <= now).min_by_key(|(_, at)| *at)?;
        self.clear(timer);
        Some(timer)
    }

    pub(super) fn is_held(&self) -> bool {
        self.held_since.is_some()
    }

    pub(super) fn hold(&mut self, now: Instant) {
        self.held_since = Some(now);
    }

    /// Lets the clocks go on from where they stood.
    pub(super) fn unhold(&mut self, now: Instant) {
        let Some(since) = self.held_since.take() else { return };
        let held = now.saturating_duration_since(since);
        for timer in ALL.into_iter().filter(|timer| !timer.runs_on_hold()) {
            if let Some(at) = &mut self.at[timer as usize] {
                *at += held;
            }
        }
    }

    fn running(&self) -> impl Iterator<Item = (Timer, Instant)> {
        let held = self.is_held();
        ALL.into_iter()
            .filter(move |timer| !held || timer.runs_on_hold())
            .filter_map(|timer| self.at[timer as usize].map(|at| (timer, at)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_stand_still_on_hold_except_the_calls_own() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let mut timers = Timers::default();
        timers.set(Timer::Silence, start, second * 10);
        timers.set(Timer::MaxDuration, start, second * 100);
        timers.hold(start + second * 4);
        assert_eq!(timers.next(), Some(start + second * 100));
        assert_eq!(timers.take_due(start + second * 50), None);
        timers.set(Timer::Dtmf, start + second * 20, second * 2);
        timers.unhold(start + second * 50);
        assert_eq!(timers.next(), Some(start + second * 52), "two seconds from the end of the hold");
        timers.clear(Timer::Dtmf);
        assert_eq!(timers.next(), Some(start + second * 56), "the six seconds that were left");
    }

    #[test]
    fn due_timers_come_in_order_of_time() {
        let start = Instant::now();
        let mut timers = Timers::default();
        timers.set(Timer::Silence, start, Duration::from_secs(2));
        timers.set(Timer::Transfer, start, Duration::from_secs(1));
        timers.set(Timer::MaxDuration, start, Duration::MAX);
        let later = start + Duration::from_secs(5);
        assert_eq!(timers.take_due(later), Some(Timer::Transfer));
        assert_eq!(timers.take_due(later), Some(Timer::Silence));
        assert_eq!(timers.take_due(later), None);
    }
}
