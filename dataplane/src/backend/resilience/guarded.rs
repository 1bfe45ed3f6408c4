//! One backend behind its breakers: runs a call with deadline and retries and settles with breaker and observer. Never
//! chooses between backends; [`super::Resilient`] does.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, StreamExt};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tracing::{info, warn};

use super::breaker::{CircuitBreaker, CircuitState, Permit, Verdict};
use super::circuits::Circuits;
use super::observer::BackendObserver;
use super::{Random, ResilienceSettings};
use crate::backend::{BackendError, BackendErrorKind, Stage, VoiceBackend};

/// The longest pause that a server may ask for: who waits is at the telephone, and hears nothing meanwhile.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// A backend with what guards it.
pub(super) struct Guarded {
    pub(super) name: String,
    pub(super) backend: Arc<dyn VoiceBackend>,
    observer: Arc<dyn BackendObserver>,
    /// Indexed by [`Stage`] as in [`Stage::ALL`]; others may ask through them too.
    breakers: [Arc<CircuitBreaker>; 3],
}

impl Guarded {
    pub(super) fn new(
        name: String,
        backend: Arc<dyn VoiceBackend>,
        circuits: &Circuits,
        observer: Arc<dyn BackendObserver>,
    ) -> Self {
        let breakers = circuits.of(&*backend);
        for stage in Stage::ALL {
            observer.circuit(stage, CircuitState::Closed);
        }
        Self { name, backend, observer, breakers }
    }

    pub(super) fn breaker(&self, stage: Stage) -> &CircuitBreaker {
        &self.breakers[stage as usize]
    }

    /// Runs `attempt` until it answers, the policy gives up, or the deadline passes. The returned [`Call`] is still open:
    /// its holder reports how the answer ended.
    pub(super) async fn call<'a, T: Send>(
        self: &'a Arc<Self>,
        stage: Stage,
        settings: &ResilienceSettings,
        random: &Random,
        attempt: &(impl Fn(&'a dyn VoiceBackend) -> BoxFuture<'a, Result<T, BackendError>> + Sync),
    ) -> Result<(T, Call), BackendError> {
        let mut call = Call::admit(self, stage)?;
        let allowed = settings.deadline(stage);
        let deadline = call.started + allowed;
        let mut failures = 0;
        loop {
            let error = match timeout_at(deadline, attempt(&*self.backend)).await {
                Ok(Ok(answer)) => {
                    call.answered();
                    return Ok((answer, call));
                }
                Ok(Err(error)) => error,
                Err(_) => BackendError::timeout(format!("no answer within {allowed:?}")).at(&*self.name),
            };
            failures += 1;
            let remaining = deadline.saturating_duration_since(Instant::now());
            // A probe is to find out quickly, and others wait for it.
            let too_long = error.retry_after().is_some_and(|after| after > LONGEST_PAUSE);
            let pause = (error.is_retryable() && !call.is_probe() && !too_long)
                .then(|| settings.retry.next_delay(failures, error.retry_after(), remaining, random()))
                .flatten();
            let Some(pause) = pause else {
                call.settle(Err(error.kind()));
                return Err(error);
            };
            warn!(backend = %self.name, %stage, %error, failures, ?pause, "backend call failed, trying again");
            self.observer.retry(stage);
            sleep(pause).await;
        }
    }
}

/// A call in progress: an admission to be settled exactly once, at the latest when it is dropped.
pub(super) struct Call {
    owner: Arc<Guarded>,
    stage: Stage,
    permit: Option<Permit>,
    started: Instant,
    answered_after: Option<Duration>,
    settled: bool,
}

impl Call {
    fn admit(owner: &Arc<Guarded>, stage: Stage) -> Result<Self, BackendError> {
        let started = Instant::now();
        match owner.breaker(stage).admit(started.into_std()) {
            Ok(permit) => {
                if permit.is_probe() {
                    info!(backend = %owner.name, %stage, "probing the backend");
                    owner.observer.circuit(stage, CircuitState::HalfOpen);
                }
                let owner = Arc::clone(owner);
                Ok(Self { owner, stage, permit: Some(permit), started, answered_after: None, settled: false })
            }
            Err(wait) => {
                let kind = BackendErrorKind::CircuitOpen;
                owner.observer.call(stage, Err(kind), Duration::ZERO);
                let message = format!("{stage} failed too often of late; it is tried again in {} s", wait.as_secs());
                Err(BackendError::new(kind, message).at(&*owner.name))
            }
        }
    }

    fn is_probe(&self) -> bool {
        self.permit.as_ref().is_some_and(Permit::is_probe)
    }

    /// The answer, or a stream's first item, is here.
    fn answered(&mut self) {
        self.answered_after = Some(self.started.elapsed());
        // A stream of speech may take as long as the caller listens; others need not wait so long for the probe's result.
        if self.is_probe() {
            self.judge(Verdict::Success);
        }
    }

    /// Reports the outcome of the whole call.
    pub(super) fn settle(&mut self, outcome: Result<(), BackendErrorKind>) {
        if std::mem::replace(&mut self.settled, true) {
            return;
        }
        self.judge(outcome.map_or_else(BackendErrorKind::verdict, |()| Verdict::Success));
        let elapsed = self.answered_after.unwrap_or_else(|| self.started.elapsed());
        self.owner.observer.call(self.stage, outcome, elapsed);
    }

    fn judge(&mut self, verdict: Verdict) {
        let Some(permit) = self.permit.take() else { return };
        let now = Instant::now().into_std();
        let Some(state) = self.owner.breaker(self.stage).settle(permit, verdict, now) else { return };
        let (backend, stage) = (&self.owner.name, self.stage);
        match state {
            CircuitState::Open => warn!(%backend, %stage, "circuit opened: the backend is not asked for a while"),
            CircuitState::HalfOpen | CircuitState::Closed => info!(%backend, %stage, %state, "circuit changed"),
        }
        self.owner.observer.circuit(stage, state);
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        // A barge-in or a hang-up: the asker is gone, which is no fault of the backend.
        self.settle(if self.answered_after.is_some() { Ok(()) } else { Err(BackendErrorKind::Cancelled) });
    }
}

/// A stream whose first item has been awaited.
pub(super) struct Started<T> {
    first: Option<T>,
    rest: BoxStream<'static, Result<T, BackendError>>,
}

impl<T: Send + 'static> Started<T> {
    /// Awaits the first item, so that a failure before it can still be retried.
    pub(super) async fn first_of(mut rest: BoxStream<'static, Result<T, BackendError>>) -> Result<Self, BackendError> {
        let first = rest.next().await.transpose()?;
        Ok(Self { first, rest })
    }

    /// The whole stream, watched: no pause between two items longer than `idle`, and its end settles `call`.
    pub(super) fn watch(self, call: Call, idle: Duration) -> BoxStream<'static, Result<T, BackendError>> {
        let Some(first) = self.first else {
            let mut call = call;
            call.settle(Ok(()));
            return stream::empty().boxed();
        };
        let rest = stream::unfold(Some((self.rest, call)), move |state| async move {
            let (mut rest, mut call) = state?;
            let item = match timeout(idle, rest.next()).await {
                Ok(Some(Ok(item))) => return Some((Ok(item), Some((rest, call)))),
                Ok(Some(Err(error))) => Some(error),
                Ok(None) => None,
                Err(_) => Some(BackendError::timeout(format!("the answer stalled for {idle:?}")).at(&*call.owner.name)),
            };
            call.settle(item.as_ref().map_or(Ok(()), |error| Err(error.kind())));
            item.map(|error| (Err(error), None))
        });
        stream::once(async move { Ok(first) }).chain(rest).boxed()
    }
}
