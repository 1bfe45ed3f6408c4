//! Keeps a failing backend from failing the call: deadlines, retries, circuit breakers and fallbacks around any
//! [`VoiceBackend`]. Never changes an answer, and never repeats one of which a part was already delivered.
//!
//! Order of the layers, outermost first: fallback → breaker → deadline → retry → backend. So a breaker counts calls that
//! failed in spite of their retries, an open one costs no time, and each fallback has a deadline of its own.

pub mod breaker;
mod circuits;
mod guarded;
pub mod observer;
pub mod retry;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::time::{Instant, timeout};
use tracing::warn;

pub use breaker::{BreakerSettings, CircuitBreaker, CircuitState, Verdict};
pub use circuits::Circuits;
pub use observer::{Adaptation, BackendObserver, NoObserver};
pub use retry::{RetryPolicy, UnknownRetryPolicy};

use super::{BackendError, BackendErrorKind, ReplyStream, SessionInfo, SpeechStream, Stage, VoiceBackend};
use crate::audio::{SampleRate, Samples};
use crate::turn::history::Message;
use guarded::{Call, Guarded, Started};

/// How long a reachability check may take.
const HEALTH_DEADLINE: Duration = Duration::from_secs(5);

/// The limits that [`Resilient`] sets around a backend.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ResilienceSettings {
    /// How a failed attempt is repeated.
    pub retry: RetryPolicy,
    /// The longest wait for a transcript, retries included.
    pub transcribe_deadline: Duration,
    /// The longest wait for the first words of a reply, retries included.
    pub generate_deadline: Duration,
    /// The longest wait for the first sound of a sentence, retries included.
    pub speak_deadline: Duration,
    /// The longest wait between two pieces of a reply or a sentence. Counts only while the next piece is being waited
    /// for, not while playback holds the stream back.
    pub idle_timeout: Duration,
    /// When a stage's circuit opens and closes.
    pub breaker: BreakerSettings,
}

impl Default for ResilienceSettings {
    /// 30 s for the model, 10 s for each of the speech stages and between pieces.
    fn default() -> Self {
        Self {
            retry: RetryPolicy::DEFAULT,
            transcribe_deadline: Duration::from_secs(10),
            generate_deadline: Duration::from_secs(30),
            speak_deadline: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(10),
            breaker: BreakerSettings::default(),
        }
    }
}

impl ResilienceSettings {
    /// The deadline of `stage`: to its answer, for streams to their first item.
    #[must_use]
    pub const fn deadline(&self, stage: Stage) -> Duration {
        match stage {
            Stage::Transcribe => self.transcribe_deadline,
            Stage::Generate => self.generate_deadline,
            Stage::Speak => self.speak_deadline,
        }
    }
}

/// Draws evenly from [0, 1).
type Random = Arc<dyn Fn() -> f64 + Send + Sync>;

/// Any backend, and optionally others to turn to, with deadlines, retries and circuit breakers.
///
/// [`VoiceBackend::generate`] and [`VoiceBackend::speak`] return once the first item is there, so that everything before
/// it can be retried; a stream that has begun is passed on as it is, and its failure is the asker's to cover.
///
/// When every backend failed, the error is the first that is not [`BackendErrorKind::CircuitOpen`].
pub struct Resilient {
    settings: ResilienceSettings,
    random: Random,
    circuits: Arc<Circuits>,
    /// In the order in which they are asked; never empty.
    backends: Vec<Arc<Guarded>>,
}

impl Resilient {
    /// Guards `backend`, with circuits that nobody else knows. `name` stands for it in logs and errors.
    #[must_use]
    pub fn new(
        name: impl Into<String>,
        backend: Arc<dyn VoiceBackend>,
        settings: ResilienceSettings,
        observer: Arc<dyn BackendObserver>,
    ) -> Self {
        Self::sharing(&Arc::new(Circuits::new(settings.breaker)), name, backend, settings, observer)
    }

    /// The same, with the circuits of its endpoints: others may ask these too.
    #[must_use]
    pub fn sharing(
        circuits: &Arc<Circuits>,
        name: impl Into<String>,
        backend: Arc<dyn VoiceBackend>,
        settings: ResilienceSettings,
        observer: Arc<dyn BackendObserver>,
    ) -> Self {
        let primary = Arc::new(Guarded::new(name.into(), backend, circuits, observer));
        let circuits = Arc::clone(circuits);
        Self { settings, random: Arc::new(rand::random::<f64>), circuits, backends: vec![primary] }
    }

    /// Adds a backend that is asked when all before it failed, with deadlines of its own, and circuits where it asks other
    /// endpoints.
    #[must_use]
    pub fn with_fallback(
        mut self,
        name: impl Into<String>,
        backend: Arc<dyn VoiceBackend>,
        observer: Arc<dyn BackendObserver>,
    ) -> Self {
        self.backends.push(Arc::new(Guarded::new(name.into(), backend, &self.circuits, observer)));
        self
    }

    /// Draws jitter from `random`, evenly from [0, 1), instead of the thread's generator.
    #[must_use]
    pub fn with_random(mut self, random: impl Fn() -> f64 + Send + Sync + 'static) -> Self {
        self.random = Arc::new(random);
        self
    }

    /// The state of every circuit: the backend's name, the stage, the state.
    pub fn circuits(&self) -> impl Iterator<Item = (&str, Stage, CircuitState)> {
        let now = Instant::now().into_std();
        self.backends.iter().flat_map(move |guarded| {
            Stage::ALL.map(|stage| (guarded.name.as_str(), stage, guarded.breaker(stage).state(now)))
        })
    }

    async fn first_answer<'a, T: Send>(
        &'a self,
        stage: Stage,
        attempt: impl Fn(&'a dyn VoiceBackend) -> BoxFuture<'a, Result<T, BackendError>> + Send + Sync,
    ) -> Result<(T, Call), BackendError> {
        let mut failed: Option<BackendError> = None;
        for (index, guarded) in self.backends.iter().enumerate() {
            match guarded.call(stage, &self.settings, &self.random, &attempt).await {
                Ok(answer) => return Ok(answer),
                Err(error) => {
                    if let Some(next) = self.backends.get(index + 1) {
                        warn!(backend = %guarded.name, next = %next.name, %stage, %error, "falling back");
                    }
                    // What really happened tells more than that a breaker remembers it.
                    failed = Some(match failed {
                        Some(earlier) if earlier.kind() != BackendErrorKind::CircuitOpen => earlier,
                        _ => error,
                    });
                }
            }
        }
        Err(failed.expect("there is at least the primary backend, and it failed"))
    }
}

#[async_trait]
impl VoiceBackend for Resilient {
    async fn transcribe(&self, audio: &[i16], rate: SampleRate) -> Result<String, BackendError> {
        let (text, mut call) =
            self.first_answer(Stage::Transcribe, |backend| backend.transcribe(audio, rate).boxed()).await?;
        call.settle(Ok(()));
        Ok(text)
    }

    async fn generate(
        &self,
        text: &str,
        session: &SessionInfo,
        history: &[Message],
    ) -> Result<ReplyStream, BackendError> {
        let (reply, call) = self
            .first_answer(Stage::Generate, |backend| generate_first(backend, text, session, history).boxed())
            .await?;
        Ok(reply.watch(call, self.settings.idle_timeout))
    }

    async fn speak(&self, text: &str) -> Result<SpeechStream, BackendError> {
        let ((rate, speech), call) =
            self.first_answer(Stage::Speak, |backend| speak_first(backend, text).boxed()).await?;
        Ok(SpeechStream { rate, chunks: speech.watch(call, self.settings.idle_timeout) })
    }

    /// Reachable when any of the backends is; otherwise the primary's error. Leaves breakers and figures alone.
    async fn health(&self) -> Result<(), BackendError> {
        let mut failed: Option<BackendError> = None;
        for guarded in &self.backends {
            let error = match timeout(HEALTH_DEADLINE, guarded.backend.health()).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) => error,
                Err(_) => {
                    BackendError::timeout(format!("no sign of life within {HEALTH_DEADLINE:?}")).at(&*guarded.name)
                }
            };
            failed.get_or_insert(error);
        }
        Err(failed.expect("there is at least the primary backend, and it failed"))
    }
}

async fn generate_first(
    backend: &dyn VoiceBackend,
    text: &str,
    session: &SessionInfo,
    history: &[Message],
) -> Result<Started<super::ReplyPart>, BackendError> {
    Started::first_of(backend.generate(text, session, history).await?).await
}

async fn speak_first(backend: &dyn VoiceBackend, text: &str) -> Result<(SampleRate, Started<Samples>), BackendError> {
    let speech = backend.speak(text).await?;
    Ok((speech.rate, Started::first_of(speech.chunks).await?))
}

#[cfg(test)]
mod tests;
