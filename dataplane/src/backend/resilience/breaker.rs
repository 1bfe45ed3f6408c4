//! A circuit breaker: stops asking a backend that answers nobody, and finds out with single probes when it is back.
//! Sans-IO: `now` is an argument, and it never asks anything itself.
//!
//! What opens a circuit is that the backend is down for everybody. One breaker sees the calls of all callers, so a few
//! failures in a row say little by themselves: with a hundred calls at a time, three that fail together are three of a
//! hundred. It opens on either of
//!
//! 1. so many calls in a row that failed and nobody who was answered since the first of them was asked: how a dead
//!    server looks, to one caller or to hundreds;
//! 2. a share of the last calls that failed: how a server looks that now and then lets one through;
//! 3. nothing but answers that can't be read, so many that it can't be one caller's turn: how a wrong URL or a wrong
//!    proxy looks.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How many of the last calls are remembered.
const WINDOW: usize = 20;
/// Fewer than so many say nothing about a share.
const ENOUGH: usize = 10;
/// Older outcomes say nothing about now.
const LASTING: Duration = Duration::from_secs(60);
/// So many times [`BreakerSettings::failures_to_open`] unreadable answers with no readable one between them open the
/// circuit.
const UNREADABLE_FACTOR: u32 = 4;

/// When a circuit opens and closes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerSettings {
    /// So many failed calls in a row open the circuit, if nobody was answered since the first of them was asked. 0
    /// counts as 1.
    pub failures_to_open: u32,
    /// The share of the last 20 calls, in percent, that opens it too when so many failed: of at least 10, none older
    /// than a minute. Above 100: no share does.
    pub share_to_open_percent: u32,
    /// How long an open circuit refuses every call before it lets a probe through.
    pub open_for: Duration,
    /// So many probes in a row must succeed to close it. 0 counts as 1.
    pub successes_to_close: u32,
}

impl Default for BreakerSettings {
    /// 3 failures, or half of the last calls, open it for 30 s; 2 successes close it.
    fn default() -> Self {
        Self {
            failures_to_open: 3,
            share_to_open_percent: 50,
            open_for: Duration::from_secs(30),
            successes_to_close: 2,
        }
    }
}

/// What a circuit lets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CircuitState {
    /// Everything.
    Closed,
    /// One call at a time, to find out whether the backend is back.
    HalfOpen,
    /// Nothing.
    Open,
}

impl CircuitState {
    /// The state's name in metrics, logs and records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::HalfOpen => "half_open",
            Self::Open => "open",
        }
    }
}

impl fmt::Display for CircuitState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How an admitted call came out, as far as it concerns the backend's health.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The backend answered, if only with a refusal of this one request.
    Success,
    /// The backend failed: no answer, or that it is at fault.
    Failure,
    /// An answer came that can't be read. The fault may lie in this one question.
    Unreadable,
    /// Nothing was learnt: the call was given up before it was answered.
    Abandoned,
}

/// Leave to ask the backend once. Must be given back with [`CircuitBreaker::settle`]: a probe that is never settled
/// would keep the circuit from closing.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub struct Permit {
    probe: bool,
    epoch: u64,
    /// How many calls had been answered when this one was asked.
    answered_before: u64,
}

impl Permit {
    /// Whether this call is the probe of a half-open circuit.
    #[must_use]
    pub const fn is_probe(&self) -> bool {
        self.probe
    }
}

/// The circuit of one stage of one backend, shared by all calls.
#[derive(Debug)]
pub struct CircuitBreaker {
    settings: BreakerSettings,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    state: State,
    /// Counts changes of state, so that a call which was admitted before one is not taken for news after it.
    epoch: u64,
    /// Counts the calls that were answered, of all times.
    answered: u64,
}

#[derive(Debug)]
enum State {
    Closed(Watch),
    /// `unreadable`: it was answers that can't be read that opened it.
    Open {
        until: Instant,
        unreadable: bool,
    },
    HalfOpen {
        successes: u32,
        probing: bool,
        unreadable: bool,
    },
}

/// What a closed circuit has seen.
#[derive(Debug, Default)]
struct Watch {
    /// Failures in a row of calls since whose asking nobody was answered.
    row: u32,
    /// Unreadable answers since the last readable one.
    unreadable: u32,
    /// When the last calls came out, and whether they failed.
    last: VecDeque<(Instant, bool)>,
}

impl Watch {
    fn remember(&mut self, failed: bool, now: Instant) {
        while self.last.len() >= WINDOW || self.last.front().is_some_and(|(at, _)| now.duration_since(*at) > LASTING) {
            self.last.pop_front();
        }
        self.last.push_back((now, failed));
    }

    /// The share of the last calls that failed, in percent; 0 while they are too few.
    fn share_percent(&self) -> usize {
        let failed = self.last.iter().filter(|(_, failed)| *failed).count();
        if self.last.len() < ENOUGH { 0 } else { failed * 100 / self.last.len() }
    }
}

impl CircuitBreaker {
    /// A closed circuit.
    #[must_use]
    pub fn new(settings: BreakerSettings) -> Self {
        let inner = Inner { state: State::Closed(Watch::default()), epoch: 0, answered: 0 };
        Self { settings, inner: Mutex::new(inner) }
    }

    /// Asks leave for one call.
    ///
    /// # Errors
    /// How long until asking again makes sense; zero while another call probes.
    pub fn admit(&self, now: Instant) -> Result<Permit, Duration> {
        let mut inner = self.lock();
        match &mut inner.state {
            State::Closed(_) => {}
            State::Open { until, .. } if now < *until => return Err(*until - now),
            State::Open { unreadable, .. } => {
                let unreadable = *unreadable;
                inner.change(State::HalfOpen { successes: 0, probing: true, unreadable });
            }
            State::HalfOpen { probing: true, .. } => return Err(Duration::ZERO),
            State::HalfOpen { probing, .. } => *probing = true,
        }
        let probe = matches!(inner.state, State::HalfOpen { .. });
        Ok(Permit { probe, epoch: inner.epoch, answered_before: inner.answered })
    }

    /// Tells how an admitted call came out. Returns the new state if that changed it.
    pub fn settle(&self, permit: Permit, verdict: Verdict, now: Instant) -> Option<CircuitState> {
        let mut inner = self.lock();
        if permit.epoch != inner.epoch {
            return None;
        }
        if verdict == Verdict::Success {
            inner.answered += 1;
        }
        let nobody_answered = inner.answered == permit.answered_before;
        let BreakerSettings { failures_to_open, share_to_open_percent, .. } = self.settings;
        match (&mut inner.state, verdict) {
            (State::Closed(watch), Verdict::Success) => {
                (watch.row, watch.unreadable) = (0, 0);
                watch.remember(false, now);
            }
            (State::Closed(watch), Verdict::Failure) => {
                watch.row += u32::from(nobody_answered);
                watch.remember(true, now);
                let share = watch.share_percent();
                if nobody_answered && watch.row >= failures_to_open || share >= (share_to_open_percent as usize).max(1)
                {
                    return Some(self.open(&mut inner, false, now));
                }
            }
            (State::Closed(watch), Verdict::Unreadable) => {
                watch.unreadable += 1;
                if watch.unreadable >= failures_to_open.max(1).saturating_mul(UNREADABLE_FACTOR) {
                    return Some(self.open(&mut inner, true, now));
                }
            }
            (State::HalfOpen { successes, probing, .. }, Verdict::Success) => {
                *probing = false;
                *successes += 1;
                if *successes >= self.settings.successes_to_close {
                    inner.change(State::Closed(Watch::default()));
                    return Some(CircuitState::Closed);
                }
            }
            (State::HalfOpen { unreadable, .. }, Verdict::Failure) => {
                let unreadable = *unreadable;
                return Some(self.open(&mut inner, unreadable, now));
            }
            (State::HalfOpen { unreadable: true, .. }, Verdict::Unreadable) => {
                return Some(self.open(&mut inner, true, now));
            }
            (State::HalfOpen { probing, .. }, Verdict::Unreadable | Verdict::Abandoned) => *probing = false,
            (State::Closed(_), Verdict::Abandoned) | (State::Open { .. }, _) => {}
        }
        None
    }

    /// What the circuit lets through now.
    #[must_use]
    pub fn state(&self, now: Instant) -> CircuitState {
        match self.lock().state {
            State::Closed(_) => CircuitState::Closed,
            State::Open { until, .. } if now < until => CircuitState::Open,
            State::Open { .. } | State::HalfOpen { .. } => CircuitState::HalfOpen,
        }
    }

    fn open(&self, inner: &mut Inner, unreadable: bool, now: Instant) -> CircuitState {
        inner.change(State::Open { until: now + self.settings.open_for, unreadable });
        CircuitState::Open
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing panics while it is held, and every write leaves a whole state behind.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn change(&mut self, state: State) {
        self.state = state;
        self.epoch += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use CircuitState::{Closed, HalfOpen, Open};
    use Verdict::{Abandoned, Failure, Success, Unreadable};
    use proptest::prelude::*;

    /// One call at `at_s` seconds: `None` when it is to be refused, else its verdict; then the state expected after it.
    type Step = (u64, Option<Verdict>, CircuitState);

    fn run(steps: &[Step]) {
        let start = Instant::now();
        let breaker = CircuitBreaker::new(BreakerSettings::default());
        for (index, &(at_s, verdict, expected)) in steps.iter().enumerate() {
            let now = start + Duration::from_secs(at_s);
            match (breaker.admit(now), verdict) {
                (Ok(permit), Some(verdict)) => {
                    breaker.settle(permit, verdict, now);
                }
                (Err(_), None) => {}
                (admitted, _) => panic!("step {index}: {admitted:?}, expected verdict {verdict:?}"),
            }
            assert_eq!(breaker.state(now), expected, "after step {index}");
        }
    }

    #[test]
    fn three_failures_in_a_row_open_it_for_30_s_and_two_successes_close_it() {
        run(&[
            (0, Some(Failure), Closed),
            (1, Some(Failure), Closed),
            (2, Some(Failure), Open),
            (3, None, Open),
            (31, None, Open),
            (32, Some(Success), HalfOpen),
            (33, Some(Success), Closed),
            (34, Some(Failure), Closed),
        ]);
    }

    #[test]
    fn a_success_between_failures_starts_the_count_anew() {
        run(&[
            (0, Some(Failure), Closed),
            (0, Some(Failure), Closed),
            (0, Some(Success), Closed),
            (0, Some(Failure), Closed),
            (0, Some(Failure), Closed),
            (0, Some(Failure), Open),
        ]);
    }

    /// `count` calls asked at `now` and not settled yet.
    fn asked(breaker: &CircuitBreaker, count: usize, now: Instant) -> Vec<Permit> {
        (0..count).map(|_| breaker.admit(now).unwrap()).collect()
    }

    #[test]
    fn failures_in_a_row_among_many_calls_that_are_answered_open_nothing() {
        let start = Instant::now();
        let breaker = CircuitBreaker::new(BreakerSettings::default());
        // Three hang for ten seconds; everybody else is answered in the meantime, and then they fail together.
        let hanging = asked(&breaker, 3, start);
        for permit in asked(&breaker, 97, start) {
            breaker.settle(permit, Success, start + Duration::from_secs(1));
        }
        let now = start + Duration::from_secs(10);
        for permit in hanging {
            assert_eq!(breaker.settle(permit, Failure, now), None);
        }
        assert_eq!(breaker.state(now), Closed);
    }

    #[test]
    fn a_dead_server_opens_it_with_the_third_failure_however_many_were_answered_before() {
        let start = Instant::now();
        let breaker = CircuitBreaker::new(BreakerSettings::default());
        for permit in asked(&breaker, 100, start) {
            breaker.settle(permit, Success, start);
        }
        let states = asked(&breaker, 100, start).into_iter().map(|permit| breaker.settle(permit, Failure, start));
        assert_eq!(states.take(3).collect::<Vec<_>>(), [None, None, Some(Open)]);
    }

    #[test]
    fn a_server_that_fails_every_other_time_opens_it_once_there_are_enough_to_tell() {
        let start = Instant::now();
        let breaker = CircuitBreaker::new(BreakerSettings::default());
        let mut opened = None;
        for n in 0..20 {
            let Ok(permit) = breaker.admit(start) else { break };
            if breaker.settle(permit, if n % 2 == 0 { Success } else { Failure }, start).is_some() {
                opened = Some(n + 1);
                break;
            }
        }
        assert_eq!(opened, Some(10));
    }

    #[test]
    fn a_share_that_is_small_or_old_or_switched_off_opens_nothing() {
        let start = Instant::now();
        let run = |settings: BreakerSettings, every: u64, pause: Duration| {
            let breaker = CircuitBreaker::new(settings);
            let mut now = start;
            (0..200u64).all(|n| {
                now += pause;
                let permit = breaker.admit(now).unwrap();
                breaker.settle(permit, if n % every == 0 { Failure } else { Success }, now).is_none()
            })
        };
        let settings = BreakerSettings::default();
        assert!(run(settings, 3, Duration::ZERO), "a third");
        assert!(run(settings, 2, Duration::from_secs(10)), "no ten within a minute");
        assert!(!run(settings, 2, Duration::from_secs(1)));
        assert!(run(BreakerSettings { share_to_open_percent: 101, ..settings }, 2, Duration::from_secs(1)));
    }

    #[test]
    fn unreadable_answers_open_it_only_when_there_are_no_others() {
        let now = Instant::now();
        let breaker = CircuitBreaker::new(BreakerSettings::default());
        let ask = |verdict| breaker.settle(breaker.admit(now).unwrap(), verdict, now);
        for _ in 0..11 {
            assert_eq!(ask(Unreadable), None);
        }
        assert_eq!(ask(Success), None);
        for _ in 0..11 {
            assert_eq!(ask(Unreadable), None);
        }
        assert_eq!(ask(Unreadable), Some(Open));
        // Still so when it is probed: left alone once more.
        let later = now + Duration::from_secs(30);
        assert_eq!(breaker.settle(breaker.admit(later).unwrap(), Unreadable, later), Some(Open));
    }

    #[test]
    fn an_unreadable_answer_of_a_server_that_was_down_neither_opens_nor_closes_it() {
        run(&[
            (0, Some(Failure), Closed),
            (0, Some(Failure), Closed),
            (0, Some(Failure), Open),
            (30, Some(Unreadable), HalfOpen),
            (30, Some(Success), HalfOpen),
            (30, Some(Success), Closed),
        ]);
    }

    #[test]
    fn a_call_given_up_changes_nothing() {
        run(&[
            (0, Some(Failure), Closed),
            (0, Some(Failure), Closed),
            (0, Some(Abandoned), Closed),
            (0, Some(Failure), Open),
            (30, Some(Abandoned), HalfOpen),
            (30, Some(Success), HalfOpen),
            (30, Some(Success), Closed),
        ]);
    }

    #[test]
    fn a_failed_probe_opens_it_for_another_30_s() {
        run(&[
            (0, Some(Failure), Closed),
            (0, Some(Failure), Closed),
            (0, Some(Failure), Open),
            (30, Some(Success), HalfOpen),
            (31, Some(Failure), Open),
            (60, None, Open),
            (61, Some(Success), HalfOpen),
            (61, Some(Success), Closed),
        ]);
    }

    fn opened(start: Instant) -> CircuitBreaker {
        let breaker = CircuitBreaker::new(BreakerSettings::default());
        for _ in 0..3 {
            let permit = breaker.admit(start).unwrap();
            breaker.settle(permit, Failure, start);
        }
        breaker
    }

    #[test]
    fn only_one_probe_is_out_at_a_time() {
        let start = Instant::now();
        let breaker = opened(start);
        assert_eq!(breaker.admit(start + Duration::from_secs(10)), Err(Duration::from_secs(20)));
        let now = start + Duration::from_secs(30);
        let probe = breaker.admit(now).unwrap();
        assert!(probe.is_probe());
        assert_eq!(breaker.admit(now), Err(Duration::ZERO));
        breaker.settle(probe, Success, now);
        assert!(breaker.admit(now).is_ok());
    }

    #[test]
    fn a_call_from_before_the_circuit_opened_says_nothing_afterwards() {
        let start = Instant::now();
        let breaker = CircuitBreaker::new(BreakerSettings::default());
        let late: Vec<Permit> = (0..5).map(|_| breaker.admit(start).unwrap()).collect();
        let mut late = late.into_iter();
        for _ in 0..3 {
            breaker.settle(late.next().unwrap(), Failure, start);
        }
        let now = start + Duration::from_secs(30);
        let probe = breaker.admit(now).unwrap();
        assert_eq!(breaker.settle(late.next().unwrap(), Success, now), None);
        assert_eq!(breaker.settle(late.next().unwrap(), Failure, now), None);
        assert_eq!(breaker.state(now), HalfOpen);
        assert_eq!(breaker.admit(now), Err(Duration::ZERO), "the probe is still out");
        breaker.settle(probe, Success, now);
    }

    #[test]
    fn each_change_is_told_once() {
        let start = Instant::now();
        let breaker = opened(start);
        let now = start + Duration::from_secs(31);
        let first = breaker.admit(now).unwrap();
        assert_eq!(breaker.settle(first, Success, now), None);
        let second = breaker.admit(now).unwrap();
        assert_eq!(breaker.settle(second, Success, now), Some(Closed));
    }

    proptest! {
        /// Whatever happens, a circuit that is asked again after its pause lets a call through as long as no probe is out.
        #[test]
        fn it_never_locks_up(steps in proptest::collection::vec((0u64..40, 0u8..4), 0..200)) {
            let breaker = CircuitBreaker::new(BreakerSettings::default());
            let mut now = Instant::now();
            for (pause_s, verdict) in steps {
                now += Duration::from_secs(pause_s);
                if let Ok(permit) = breaker.admit(now) {
                    breaker.settle(permit, [Success, Failure, Unreadable, Abandoned][verdict as usize], now);
                }
            }
            prop_assert!(breaker.admit(now + Duration::from_secs(30)).is_ok());
        }
    }
}
