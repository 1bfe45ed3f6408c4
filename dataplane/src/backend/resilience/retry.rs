//! When to try again: exponential back-off with jitter. Pure arithmetic; it never sleeps, draws or counts by itself.

use std::str::FromStr;
use std::time::Duration;

/// How often and after which pauses a failed request is sent again. The only retry policy of the engine: backends and
/// the delivery of records use it alike.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RetryPolicy {
    /// How often a request is sent at most, the first time included. 0 counts as 1.
    pub attempts: u32,
    /// The pause before the second attempt, before jitter.
    pub base_delay: Duration,
    /// What each further pause is multiplied by.
    pub multiplier: f64,
    /// The longest pause that the back-off itself asks for. A server's `Retry-After` may ask for more.
    pub cap: Duration,
    /// The share of a pause that is left to chance, 0 to 1: a pause lies between `(1 - jitter)` of it and all of it, so
    /// that calls that failed together do not come back together.
    pub jitter: f64,
}

impl RetryPolicy {
    /// Three attempts, 200 ms apart and doubling: what a caller bears without a remark.
    pub const DEFAULT: Self = Self {
        attempts: 3,
        base_delay: Duration::from_millis(200),
        multiplier: 2.0,
        cap: Duration::from_secs(2),
        jitter: 0.5,
    };

    /// Five attempts in quick succession, for a backend of one's own that drops single requests.
    pub const AGGRESSIVE: Self = Self {
        attempts: 5,
        base_delay: Duration::from_millis(100),
        multiplier: 1.5,
        cap: Duration::from_secs(1),
        jitter: 0.5,
    };

    /// Two attempts, half a second apart, for a backend that is paid or rate-limited by the request.
    pub const CONSERVATIVE: Self = Self {
        attempts: 2,
        base_delay: Duration::from_millis(500),
        multiplier: 2.0,
        cap: Duration::from_secs(5),
        jitter: 0.5,
    };

    /// The pause before the next attempt, or `None` when there is to be none.
    ///
    /// - `failures`: how many attempts have failed so far, at least 1.
    /// - `retry_after`: what the server asked for; never undercut.
    /// - `remaining`: the time to the deadline. A pause that would not end before it is not begun: the asker learns of the
    ///   failure now instead of then.
    /// - `random`: drawn evenly from [0, 1).
    #[must_use]
    pub fn next_delay(
        &self,
        failures: u32,
        retry_after: Option<Duration>,
        remaining: Duration,
        random: f64,
    ) -> Option<Duration> {
        if failures >= self.attempts {
            return None;
        }
        let delay = self.backoff(failures, random).max(retry_after.unwrap_or_default());
        (delay < remaining).then_some(delay)
    }

    /// The pause that the back-off alone asks for after `failures` failed attempts (at least 1), `random` from [0, 1).
    #[must_use]
    pub fn backoff(&self, failures: u32, random: f64) -> Duration {
        let exponent = i32::try_from(failures.saturating_sub(1)).unwrap_or(i32::MAX);
        let grown = self.base_delay.as_secs_f64() * self.multiplier.max(0.0).powi(exponent);
        let full = grown.min(self.cap.as_secs_f64());
        let kept = 1.0 - self.jitter.clamp(0.0, 1.0) * random.clamp(0.0, 1.0);
        // Settings come from outside: a multiplier of NaN or infinity falls back to the cap.
        Duration::try_from_secs_f64(full * kept).unwrap_or(self.cap).min(self.cap)
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// A name that is no retry policy's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("retry policy {0:?} is unknown: expected default, aggressive or conservative")]
pub struct UnknownRetryPolicy(String);

impl FromStr for RetryPolicy {
    type Err = UnknownRetryPolicy;

    /// Reads `default`, `aggressive` or `conservative`, in any case.
    fn from_str(name: &str) -> Result<Self, UnknownRetryPolicy> {
        match name.trim().to_ascii_lowercase().as_str() {
            "default" => Ok(Self::DEFAULT),
            "aggressive" => Ok(Self::AGGRESSIVE),
            "conservative" => Ok(Self::CONSERVATIVE),
            _ => Err(UnknownRetryPolicy(name.chars().take(40).collect())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LONG: Duration = Duration::from_secs(3600);

    fn schedule(policy: RetryPolicy, random: f64) -> Vec<u128> {
        (1..).map_while(|failures| policy.next_delay(failures, None, LONG, random)).map(|d| d.as_millis()).collect()
    }

    #[test]
    fn each_policy_has_its_schedule() {
        assert_eq!(schedule(RetryPolicy::DEFAULT, 0.0), [200, 400]);
        assert_eq!(schedule(RetryPolicy::AGGRESSIVE, 0.0), [100, 150, 225, 337]);
        assert_eq!(schedule(RetryPolicy::CONSERVATIVE, 0.0), [500]);
        assert_eq!(schedule(RetryPolicy::DEFAULT, 0.5), [150, 300]);
    }

    #[test]
    fn a_server_that_says_when_is_obeyed_up_to_the_deadline() {
        let policy = RetryPolicy::DEFAULT;
        let asked = Some(Duration::from_secs(3));
        assert_eq!(policy.next_delay(1, asked, LONG, 0.0), asked);
        assert_eq!(policy.next_delay(1, asked, Duration::from_secs(3), 0.0), None);
        // It may not make the pauses shorter either.
        let soon = Some(Duration::ZERO);
        assert_eq!(policy.next_delay(1, soon, LONG, 0.0), Some(Duration::from_millis(200)));
    }

    #[test]
    fn names_are_read_in_any_case_and_others_are_named_in_the_error() {
        assert_eq!("Aggressive".parse(), Ok(RetryPolicy::AGGRESSIVE));
        assert_eq!(" conservative ".parse(), Ok(RetryPolicy::CONSERVATIVE));
        assert_eq!("default".parse(), Ok(RetryPolicy::default()));
        let error = "eager".parse::<RetryPolicy>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "retry policy \"eager\" is unknown: expected default, aggressive or conservative"
        );
    }

    proptest! {
        #[test]
        fn a_pause_is_within_its_jitter_and_never_above_the_cap(
            attempts in 0u32..50,
            base_ms in 0u64..10_000,
            multiplier in 0.0f64..10.0,
            cap_ms in 0u64..60_000,
            jitter in 0.0f64..=1.0,
            failures in 1u32..60,
            random in 0.0f64..1.0,
        ) {
            let policy = RetryPolicy {
                attempts,
                base_delay: Duration::from_millis(base_ms),
                multiplier,
                cap: Duration::from_millis(cap_ms),
                jitter,
            };
            let full = policy.backoff(failures, 0.0);
            let delay = policy.backoff(failures, random);
            prop_assert!(delay <= full && full <= policy.cap);
            prop_assert!(delay.as_secs_f64() >= full.as_secs_f64() * (1.0 - jitter) - 1e-6);
            prop_assert_eq!(policy.next_delay(failures, None, LONG, random).is_some(), failures < attempts);
        }

        #[test]
        fn no_settings_panic_and_no_pause_outlives_the_deadline(
            multiplier in proptest::num::f64::ANY,
            jitter in proptest::num::f64::ANY,
            random in proptest::num::f64::ANY,
            failures in any::<u32>(),
            remaining_ms in 0u64..100_000,
            asked_ms in proptest::option::of(any::<u64>()),
        ) {
            let policy = RetryPolicy { attempts: u32::MAX, multiplier, jitter, ..RetryPolicy::DEFAULT };
            let remaining = Duration::from_millis(remaining_ms);
            let asked = asked_ms.map(Duration::from_millis);
            if let Some(delay) = policy.next_delay(failures, asked, remaining, random) {
                prop_assert!(delay < remaining);
                prop_assert!(delay >= asked.unwrap_or_default());
            }
        }
    }
}
