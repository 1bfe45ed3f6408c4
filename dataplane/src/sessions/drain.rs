//! Emptying the pod: no new calls, those in progress run on until a deadline, then each is asked to hand itself over to
//! another pod. Cuts no call itself.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::admission::Admission;
use super::handover::Handover;

/// How long calls have to hand themselves over: one after the other, in seven seconds at most. Saving a conversation on the switch and
/// closing a socket takes milliseconds; who needs longer is stuck.
const HANDOVER_TIME: Duration = Duration::from_secs(10);

/// How a drain came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DrainOutcome {
    /// Every call ended by itself.
    Emptied,
    /// At the deadline so many calls were handed over.
    HandedOver {
        /// Calls there were at the deadline.
        calls: usize,
    },
    /// So many calls did not go even then.
    Stuck {
        /// Calls that are left.
        calls: usize,
    },
}

struct Shared {
    admission: Admission,
    deadline: Duration,
    handover_time: Duration,
    started: OnceLock<Instant>,
    requested: CancellationToken,
    handover: Handover,
}

/// Coordinates the drain. Clones are the same drain.
#[derive(Clone)]
pub struct Drain {
    shared: Arc<Shared>,
}

impl Drain {
    /// Not draining; once started, calls have `deadline` to end by themselves.
    pub fn new(admission: Admission, deadline: Duration, handover: Handover) -> Self {
        Self::with_handover_time(admission, deadline, handover, HANDOVER_TIME)
    }

    fn with_handover_time(
        admission: Admission,
        deadline: Duration,
        handover: Handover,
        handover_time: Duration,
    ) -> Self {
        Self {
            shared: Arc::new(Shared {
                admission,
                deadline,
                handover_time,
                started: OnceLock::new(),
                requested: CancellationToken::new(),
                handover,
            }),
        }
    }

    /// Begins the drain: from here on the pod takes no call and is not ready. Says whether that is news; what started once
    /// keeps its deadline.
    pub fn start(&self, now: Instant) -> bool {
        let news = self.shared.started.set(now).is_ok();
        self.shared.admission.start_draining();
        self.shared.requested.cancel();
        news
    }

    /// Whether a drain has begun.
    pub fn is_draining(&self) -> bool {
        self.shared.started.get().is_some()
    }

    /// Time until the deadline; `None` when not draining.
    pub fn remaining(&self, now: Instant) -> Option<Duration> {
        let started = *self.shared.started.get()?;
        Some((started + self.shared.deadline).saturating_duration_since(now))
    }

    /// Waits until a drain begins, by whomever.
    pub async fn started(&self) {
        self.shared.requested.cancelled().await;
    }

    /// Begins at the deadline: each call then saves its state and closes its ESL connection without hanging up, when its turn comes, so
    /// that the switch brings the caller to another pod.
    pub fn handover(&self) -> &Handover {
        &self.shared.handover
    }

    /// Waits for a drain to begin and then for the pod to be empty; tells the calls to hand over when the deadline passes.
    /// One task of the pod runs this to its end and then stops the process.
    pub async fn run(&self) -> DrainOutcome {
        self.started().await;
        if self.emptied_within(self.remaining(Instant::now()).unwrap_or_default()).await {
            return DrainOutcome::Emptied;
        }
        let calls = self.shared.admission.state().active;
        self.shared.handover.begin(Instant::now(), calls);
        if self.emptied_within(self.shared.handover_time).await {
            DrainOutcome::HandedOver { calls }
        } else {
            DrainOutcome::Stuck { calls: self.shared.admission.state().active }
        }
    }

    async fn emptied_within(&self, time: Duration) -> bool {
        let mut watch = self.shared.admission.watch();
        // The sender lives in the admission that this drain holds, so an error of the watch can't be.
        tokio::time::timeout(time, watch.wait_for(|state| state.active == 0)).await.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::sessions::Refusal;
    use crate::settings::CallLimits;

    const NEVER: Duration = Duration::from_secs(3600);

    fn handover() -> Handover {
        Handover::new(1_000)
    }

    fn admission() -> Admission {
        let limits = CallLimits {
            max_sessions: 5,
            ready_low_water: 4,
            max_sessions_per_caller: None,
            setup_rate_per_second: None,
            max_lateness: None,
            max_missed_percent: 1,
            max_load_percent: None,
        };
        Admission::new(limits, Instant::now())
    }

    #[tokio::test]
    async fn an_empty_pod_is_drained_at_once() {
        let drain = Drain::new(admission(), NEVER, handover());
        assert!(drain.start(Instant::now()));
        assert_eq!(drain.run().await, DrainOutcome::Emptied);
        assert!(!drain.handover().has_begun());
    }

    #[tokio::test]
    async fn calls_in_progress_run_on_and_new_ones_are_refused() {
        let admission = admission();
        let drain = Drain::new(admission.clone(), NEVER, handover());
        let now = Instant::now();
        let call = admission.try_admit().expect("free");
        drain.start(now);
        assert_eq!(admission.try_admit().expect_err("draining"), Refusal::Draining);
        let running = tokio::spawn({
            let drain = drain.clone();
            async move { drain.run().await }
        });
        tokio::task::yield_now().await;
        assert!(!running.is_finished());
        drop(call);
        assert_eq!(running.await.expect("no panic"), DrainOutcome::Emptied);
        assert!(!drain.handover().has_begun());
    }

    #[tokio::test]
    async fn at_the_deadline_calls_are_told_to_hand_over() {
        let admission = admission();
        let drain = Drain::new(admission.clone(), Duration::ZERO, handover());
        for call in 0..3 {
            let permit = admission.try_admit().expect("free");
            let mut departure = drain.handover().departure(&call.to_string());
            tokio::spawn(async move {
                departure.due(call > 0).await;
                drop(permit);
            });
        }
        drain.start(Instant::now());
        assert_eq!(drain.run().await, DrainOutcome::HandedOver { calls: 3 });
    }

    #[tokio::test]
    async fn a_call_that_does_not_even_hand_over_does_not_keep_the_pod() {
        let admission = admission();
        let drain = Drain::with_handover_time(admission.clone(), Duration::ZERO, handover(), Duration::ZERO);
        let _stuck = admission.try_admit().expect("free");
        drain.start(Instant::now());
        assert_eq!(drain.run().await, DrainOutcome::Stuck { calls: 1 });
    }

    #[tokio::test]
    async fn a_second_start_keeps_the_first_deadline() {
        let drain = Drain::new(admission(), Duration::from_secs(60), handover());
        let now = Instant::now();
        assert_eq!(drain.remaining(now), None);
        assert!(drain.start(now));
        assert!(!drain.start(now + Duration::from_secs(30)));
        assert_eq!(drain.remaining(now + Duration::from_secs(40)), Some(Duration::from_secs(20)));
        assert_eq!(drain.remaining(now + Duration::from_secs(100)), Some(Duration::ZERO));
    }

    #[tokio::test]
    async fn whoever_waits_for_the_drain_is_told() {
        let drain = Drain::new(admission(), NEVER, handover());
        let waiting = tokio::spawn({
            let drain = drain.clone();
            async move { drain.started().await }
        });
        assert!(!drain.is_draining());
        drain.start(Instant::now());
        waiting.await.expect("no panic");
        assert!(drain.is_draining());
    }
}
