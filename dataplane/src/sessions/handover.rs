//! When each call of a pod that is drained leaves it: not all in one moment, which would need more sessions of the switch than a second
//! has, and between two turns where it can. Reads no clock in what it decides.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

use tokio::sync::watch;

/// Sessions of the switch that a call needs to come to another pod: legs B and C.
const SESSIONS_PER_TAKEOVER: u32 = 2;
/// Of the switch's sessions: the rest is for new calls and other pods.
const SHARE: u32 = 2;
/// Between two calls that leave, where the switch has sessions enough.
const PACE: Duration = Duration::from_millis(20);
/// The last call's turn to leave comes so long after the first one's at most.
const LONGEST: Duration = Duration::from_secs(5);
/// How long a call whose turn it is to leave goes on with what is being said.
const PATIENCE: Duration = Duration::from_secs(2);

/// A handover that has begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Begun {
    at: Instant,
    spread: Duration,
}

impl Begun {
    /// When a call leaves that stands at `share` (0 to 1) of all.
    fn leaves(self, share: f64, between_turns: bool) -> Instant {
        let turn = self.at + self.spread.mul_f64(share.clamp(0.0, 1.0));
        if between_turns { turn } else { turn + PATIENCE }
    }
}

/// The time in which `calls` leave for a switch that begins so many sessions a second.
fn spread(calls: usize, sessions_per_second: u32) -> Duration {
    let calls = u32::try_from(calls).unwrap_or(u32::MAX);
    let sessions = f64::from(calls) * f64::from(SESSIONS_PER_TAKEOVER * SHARE);
    let needed = Duration::from_secs_f64(sessions / f64::from(sessions_per_second.max(1)));
    PACE.saturating_mul(calls).max(needed).min(LONGEST)
}

/// Tells calls when to leave. Clones are the same handover.
#[derive(Debug, Clone)]
pub struct Handover {
    begun: watch::Sender<Option<Begun>>,
    sessions_per_second: u32,
}

impl Handover {
    /// None so far, to a switch that begins so many sessions a second.
    pub fn new(sessions_per_second: u32) -> Self {
        Self { begun: watch::Sender::new(None), sessions_per_second }
    }

    /// From now on calls leave; there are so many.
    pub fn begin(&self, now: Instant, calls: usize) {
        self.begun.send_replace(Some(Begun { at: now, spread: spread(calls, self.sessions_per_second) }));
    }

    /// Whether it has begun.
    pub fn has_begun(&self) -> bool {
        self.begun.borrow().is_some()
    }

    /// Where a call of that id stands among those that leave.
    pub fn departure(&self, call_id: &str) -> Departure {
        let mut hasher = DefaultHasher::new();
        call_id.hash(&mut hasher);
        Departure { begun: self.begun.subscribe(), share: hasher.finish() as f64 / u64::MAX as f64 }
    }
}

/// One call's leave.
#[derive(Debug)]
pub struct Departure {
    begun: watch::Receiver<Option<Begun>>,
    share: f64,
}

impl Departure {
    /// Returns when the call is to leave; `between_turns`: nobody speaks, and nothing is about to be said. May be dropped and asked
    /// again at any time.
    pub async fn due(&mut self, between_turns: bool) {
        let begun = match self.begun.wait_for(Option::is_some).await {
            Ok(begun) => *begun,
            // The pod is gone, and the call with it.
            Err(_) => None,
        };
        match begun {
            Some(begun) => tokio::time::sleep_until(begun.leaves(self.share, between_turns).into()).await,
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_call_leaves_at_once_and_many_leave_over_seconds() {
        assert!(spread(1, 1_000) < Duration::from_millis(50));
        assert_eq!(spread(100, 1_000), Duration::from_secs(2));
        assert_eq!(spread(100, 100), Duration::from_secs(4), "two sessions each, of half the switch's");
        assert_eq!(spread(10_000, 1_000), LONGEST);
        assert_eq!(spread(usize::MAX, 0), LONGEST);
    }

    #[test]
    fn calls_leave_one_after_the_other_whatever_their_ids_look_like() {
        let handover = Handover::new(1_000);
        let shares: Vec<f64> = (0..1_000).map(|call| handover.departure(&format!("call-{call}")).share).collect();
        for tenth in 0..10 {
            let (from, to) = (f64::from(tenth) / 10.0, f64::from(tenth + 1) / 10.0);
            let leave = shares.iter().filter(|share| (from..to).contains(*share)).count();
            assert!((50..=150).contains(&leave), "{leave} of 1,000 between {from} and {to}");
        }
    }

    #[test]
    fn a_call_in_the_middle_of_a_turn_stays_a_little_longer() {
        let at = Instant::now();
        let begun = Begun { at, spread: Duration::from_secs(4) };
        assert_eq!(begun.leaves(0.5, true), at + Duration::from_secs(2));
        assert_eq!(begun.leaves(0.5, false), at + Duration::from_secs(4));
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_leaves_before_it_begins() {
        let handover = Handover::new(1_000);
        let mut departure = handover.departure("call");
        assert!(tokio::time::timeout(Duration::from_secs(3_600), departure.due(true)).await.is_err());
        assert!(!handover.has_begun());
        handover.begin(tokio::time::Instant::now().into_std(), 1);
        departure.due(false).await;
        assert!(handover.has_begun());
    }
}
