//! A circuit breaker: stops asking a backend that keeps failing, and finds out with single probes when it is back. Sans-IO:
//! `now` is an argument, and it never asks anything itself.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// When a circuit opens and closes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerSettings {
    /// So many failed calls in a row open the circuit. 0 counts as 1.
    pub failures_to_open: u32,
    /// How long an open circuit refuses every call before it lets a probe through.
    pub open_for: Duration,
    /// So many probes in a row must succeed to close it. 0 counts as 1.
    pub successes_to_close: u32,
}

impl Default for BreakerSettings {
    /// 3 failures open it for 30 s; 2 successes close it.
    fn default() -> Self {
        Self { failures_to_open: 3, open_for: Duration::from_secs(30), successes_to_close: 2 }
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
    /// The backend failed.
    Failure,
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
}

#[derive(Debug)]
enum State {
    Closed { failures: u32 },
    Open { until: Instant },
    HalfOpen { successes: u32, probing: bool },
}

impl CircuitBreaker {
    /// A closed circuit.
    #[must_use]
    pub const fn new(settings: BreakerSettings) -> Self {
        Self { settings, inner: Mutex::new(Inner { state: State::Closed { failures: 0 }, epoch: 0 }) }
    }

    /// Asks leave for one call.
    ///
    /// # Errors
    /// How long until asking again makes sense; zero while another call probes.
    pub fn admit(&self, now: Instant) -> Result<Permit, Duration> {
        let mut inner = self.lock();
        match &mut inner.state {
            State::Closed { .. } => {}
            State::Open { until } if now < *until => return Err(*until - now),
            State::Open { .. } => inner.change(State::HalfOpen { successes: 0, probing: true }),
            State::HalfOpen { probing: true, .. } => return Err(Duration::ZERO),
            State::HalfOpen { probing, .. } => *probing = true,
        }
        let probe = matches!(inner.state, State::HalfOpen { .. });
        Ok(Permit { probe, epoch: inner.epoch })
    }

    /// Tells how an admitted call came out. Returns the new state if that changed it.
    pub fn settle(&self, permit: Permit, verdict: Verdict, now: Instant) -> Option<CircuitState> {
        let mut inner = self.lock();
        if permit.epoch != inner.epoch {
            return None;
        }
        match (&mut inner.state, verdict) {
            (State::Closed { failures }, Verdict::Success) => *failures = 0,
            (State::Closed { failures }, Verdict::Failure) => {
                *failures += 1;
                if *failures >= self.settings.failures_to_open {
                    return Some(self.open(&mut inner, now));
                }
            }
            (State::HalfOpen { successes, probing }, Verdict::Success) => {
                *probing = false;
                *successes += 1;
                if *successes >= self.settings.successes_to_close {
                    inner.change(State::Closed { failures: 0 });
                    return Some(CircuitState::Closed);
                }
            }
            (State::HalfOpen { .. }, Verdict::Failure) => return Some(self.open(&mut inner, now)),
            (State::HalfOpen { probing, .. }, Verdict::Abandoned) => *probing = false,
            (State::Closed { .. }, Verdict::Abandoned) | (State::Open { .. }, _) => {}
        }
        None
    }

    /// What the circuit lets through now.
    #[must_use]
    pub fn state(&self, now: Instant) -> CircuitState {
        match self.lock().state {
            State::Closed { .. } => CircuitState::Closed,
            State::Open { until } if now < until => CircuitState::Open,
            State::Open { .. } | State::HalfOpen { .. } => CircuitState::HalfOpen,
        }
    }

    fn open(&self, inner: &mut Inner, now: Instant) -> CircuitState {
        inner.change(State::Open { until: now + self.settings.open_for });
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
    use Verdict::{Abandoned, Failure, Success};
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
        fn it_never_locks_up(steps in proptest::collection::vec((0u64..40, 0u8..3), 0..200)) {
            let breaker = CircuitBreaker::new(BreakerSettings::default());
            let mut now = Instant::now();
            for (pause_s, verdict) in steps {
                now += Duration::from_secs(pause_s);
                if let Ok(permit) = breaker.admit(now) {
                    breaker.settle(permit, [Success, Failure, Abandoned][verdict as usize], now);
                }
            }
            prop_assert!(breaker.admit(now + Duration::from_secs(30)).is_ok());
        }
    }
}
