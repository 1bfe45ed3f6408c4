use super::*;
use std::collections::VecDeque;
use std::sync::Mutex;

use futures_util::{StreamExt, stream};

use crate::backend::ReplyPart;

/// What a scripted backend does with one request.
#[derive(Debug, Clone, Copy)]
enum Does {
    Answers,
    Fails(BackendErrorKind),
    /// Never answers.
    Hangs,
    /// Answers with one item and fails then.
    BreaksOff,
    /// Answers with one item and never goes on.
    Stalls,
}

/// A backend that does what its script says, request by request, and answers when that has ended.
#[derive(Default)]
struct Scripted {
    script: Mutex<VecDeque<Does>>,
    asked: Mutex<Vec<Instant>>,
}

impl Scripted {
    fn new(script: impl IntoIterator<Item = Does>) -> Arc<Self> {
        Arc::new(Self { script: Mutex::new(script.into_iter().collect()), asked: Mutex::default() })
    }

    fn requests(&self) -> usize {
        self.asked.lock().unwrap().len()
    }

    async fn items<T: Send + 'static>(
        &self,
        item: T,
    ) -> Result<stream::BoxStream<'static, Result<T, BackendError>>, BackendError> {
        self.asked.lock().unwrap().push(Instant::now());
        let does = self.script.lock().unwrap().pop_front().unwrap_or(Does::Answers);
        let first = stream::iter([Ok(item)]);
        match does {
            Does::Answers => Ok(first.boxed()),
            Does::Fails(kind) => Err(BackendError::new(kind, "as scripted")),
            Does::Hangs => std::future::pending().await,
            Does::BreaksOff => Ok(first.chain(stream::iter([Err(BackendError::unavailable("broke off"))])).boxed()),
            Does::Stalls => Ok(first.chain(stream::pending()).boxed()),
        }
    }
}

#[async_trait]
impl VoiceBackend for Scripted {
    async fn transcribe(&self, _: &[i16], _: SampleRate) -> Result<String, BackendError> {
        self.items("words".to_owned()).await?.next().await.expect("there is an item")
    }

    async fn generate(&self, _: &str, _: &SessionInfo, _: &[Message]) -> Result<ReplyStream, BackendError> {
        self.items(ReplyPart::Text("words".to_owned())).await
    }

    async fn speak(&self, _: &str) -> Result<SpeechStream, BackendError> {
        Ok(SpeechStream { rate: SampleRate::Hz16000, chunks: self.items(Samples::from(vec![0; 160])).await? })
    }

    async fn health(&self) -> Result<(), BackendError> {
        self.items(()).await.map(drop)
    }
}

#[derive(Debug, PartialEq, Clone, Copy)]
enum Heard {
    Call(Stage, Result<(), BackendErrorKind>, Duration),
    Retry(Stage),
    Circuit(Stage, CircuitState),
}

#[derive(Default)]
struct Recorder(Mutex<Vec<Heard>>);

impl Recorder {
    /// What was heard since the last time, without the closed circuits of the start.
    fn heard(&self) -> Vec<Heard> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

impl BackendObserver for Recorder {
    fn call(&self, stage: Stage, outcome: Result<(), BackendErrorKind>, elapsed: Duration) {
        self.0.lock().unwrap().push(Heard::Call(stage, outcome, elapsed));
    }

    fn retry(&self, stage: Stage) {
        self.0.lock().unwrap().push(Heard::Retry(stage));
    }

    fn circuit(&self, stage: Stage, state: CircuitState) {
        self.0.lock().unwrap().push(Heard::Circuit(stage, state));
    }
}

const UNAVAILABLE: BackendErrorKind = BackendErrorKind::Unavailable;
/// How often a call is tried that may pass, and how long that takes.
const ATTEMPTS: usize = RetryPolicy::DEFAULT.attempts as usize;
const TRIED_FOR: Duration = ms(600);

fn guarded(backend: &Arc<Scripted>) -> (Resilient, Arc<Recorder>) {
    let recorder = Arc::new(Recorder::default());
    let backend = Resilient::new("scripted", Arc::clone(backend) as _, ResilienceSettings::default(), recorder.clone())
        .with_random(|| 0.0);
    recorder.heard();
    (backend, recorder)
}

async fn transcribe(backend: &Resilient) -> Result<String, BackendErrorKind> {
    backend.transcribe(&[], SampleRate::Hz16000).await.map_err(|error| error.kind())
}

async fn generate(backend: &Resilient) -> Result<ReplyStream, BackendErrorKind> {
    backend.generate("", &SessionInfo::default(), &[]).await.map_err(|error| error.kind())
}

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_may_pass_is_retried_with_growing_pauses() {
    let scripted = Scripted::new([Does::Fails(UNAVAILABLE), Does::Fails(BackendErrorKind::Timeout)]);
    let (backend, recorder) = guarded(&scripted);
    let start = Instant::now();
    assert_eq!(transcribe(&backend).await, Ok("words".to_owned()));
    let asked: Vec<Duration> = scripted.asked.lock().unwrap().iter().map(|at| *at - start).collect();
    assert_eq!(asked, [ms(0), ms(200), ms(600)]);
    let stage = Stage::Transcribe;
    assert_eq!(recorder.heard(), [Heard::Retry(stage), Heard::Retry(stage), Heard::Call(stage, Ok(()), ms(600))]);
}

#[tokio::test(start_paused = true)]
async fn a_refused_request_is_not_sent_again() {
    for kind in [BackendErrorKind::Rejected, BackendErrorKind::Invalid] {
        let scripted = Scripted::new([Does::Fails(kind)]);
        let (backend, _) = guarded(&scripted);
        assert_eq!(transcribe(&backend).await, Err(kind));
        assert_eq!(scripted.requests(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_says_when_is_obeyed_unless_that_is_too_late() {
    let limited = |seconds| BackendErrorKind::RateLimited { retry_after: Some(Duration::from_secs(seconds)) };
    let scripted = Scripted::new([Does::Fails(limited(4)), Does::Fails(limited(7))]);
    let (backend, _) = guarded(&scripted);
    let start = Instant::now();
    assert_eq!(transcribe(&backend).await, Err(limited(7)), "10 s are over by then");
    assert_eq!(start.elapsed(), Duration::from_secs(4));
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_no_caller_would_wait_for_is_not_made() {
    let limited = BackendErrorKind::RateLimited { retry_after: Some(Duration::from_secs(6)) };
    let scripted = Scripted::new([Does::Fails(limited)]);
    let (backend, _) = guarded(&scripted);
    let start = Instant::now();
    assert_eq!(transcribe(&backend).await, Err(limited));
    assert_eq!((start.elapsed(), scripted.requests()), (Duration::ZERO, 1));
}

#[tokio::test(start_paused = true)]
async fn each_stage_has_its_deadline() {
    let scripted = Scripted::new([Does::Hangs; 3]);
    let (backend, recorder) = guarded(&scripted);
    let start = Instant::now();
    assert_eq!(transcribe(&backend).await, Err(BackendErrorKind::Timeout));
    assert_eq!(start.elapsed(), Duration::from_secs(10));
    assert_eq!(generate(&backend).await.err(), Some(BackendErrorKind::Timeout));
    assert_eq!(start.elapsed(), Duration::from_secs(40));
    let error = backend.speak("").await.unwrap_err();
    assert_eq!(error.to_string(), "timeout: no answer within 10s (scripted)");
    assert_eq!(start.elapsed(), Duration::from_secs(50));
    assert_eq!(scripted.requests(), 3, "no time is left to try again");
    let timeout = Err(BackendErrorKind::Timeout);
    assert_eq!(recorder.heard()[2], Heard::Call(Stage::Speak, timeout, Duration::from_secs(10)));
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_stalls_is_ended_with_an_error() {
    let scripted = Scripted::new([Does::Stalls]);
    let (backend, recorder) = guarded(&scripted);
    let reply: Vec<_> = generate(&backend).await.unwrap().collect().await;
    assert_eq!(reply.len(), 2);
    assert_eq!(reply[1].as_ref().unwrap_err().kind(), BackendErrorKind::Timeout);
    assert_eq!(recorder.heard(), [Heard::Call(Stage::Generate, Err(BackendErrorKind::Timeout), ms(0))]);
}

#[tokio::test(start_paused = true)]
async fn a_listener_that_takes_its_time_is_no_stall() {
    let (backend, recorder) = guarded(&Scripted::new([]));
    let mut speech = backend.speak("").await.unwrap();
    assert!(speech.chunks.next().await.unwrap().is_ok());
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(speech.chunks.next().await.is_none());
    assert_eq!(recorder.heard(), [Heard::Call(Stage::Speak, Ok(()), ms(0))]);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_has_begun_is_not_begun_again() {
    let scripted = Scripted::new([Does::BreaksOff]);
    let (backend, recorder) = guarded(&scripted);
    let reply: Vec<_> = generate(&backend).await.unwrap().collect().await;
    assert_eq!(reply[0].as_ref().unwrap(), &ReplyPart::Text("words".to_owned()));
    assert_eq!(reply[1].as_ref().unwrap_err().kind(), UNAVAILABLE);
    assert_eq!((reply.len(), scripted.requests()), (2, 1));
    assert_eq!(recorder.heard(), [Heard::Call(Stage::Generate, Err(UNAVAILABLE), ms(0))]);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_fails_before_its_first_item_is_begun_again() {
    struct FailsLate(Arc<Scripted>);
    #[async_trait]
    impl VoiceBackend for FailsLate {
        async fn transcribe(&self, audio: &[i16], rate: SampleRate) -> Result<String, BackendError> {
            self.0.transcribe(audio, rate).await
        }
        async fn generate(&self, a: &str, b: &SessionInfo, c: &[Message]) -> Result<ReplyStream, BackendError> {
            let inner = self.0.generate(a, b, c).await;
            Ok(inner.unwrap_or_else(|error| stream::iter([Err(error)]).boxed()))
        }
        async fn speak(&self, text: &str) -> Result<SpeechStream, BackendError> {
            self.0.speak(text).await
        }
    }
    let scripted = Scripted::new([Does::Fails(UNAVAILABLE)]);
    let late = Arc::new(FailsLate(Arc::clone(&scripted)));
    let backend = Resilient::new("late", late, ResilienceSettings::default(), Arc::new(NoObserver));
    let reply: Vec<_> = generate(&backend).await.unwrap().collect().await;
    assert!(reply.len() == 1 && reply[0].is_ok(), "{reply:?}");
    assert_eq!(scripted.requests(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_call_is_cancelled_and_says_nothing_about_the_backend() {
    let fails = |calls: usize| std::iter::repeat_n(Does::Fails(UNAVAILABLE), calls * ATTEMPTS);
    let scripted = Scripted::new(fails(2).chain([Does::Hangs]).chain(fails(1)));
    let (backend, recorder) = guarded(&scripted);
    for _ in 0..2 {
        transcribe(&backend).await.unwrap_err();
    }
    recorder.heard();
    assert!(tokio::time::timeout(ms(500), transcribe(&backend)).await.is_err());
    assert_eq!(recorder.heard(), [Heard::Call(Stage::Transcribe, Err(BackendErrorKind::Cancelled), ms(500))]);
    transcribe(&backend).await.unwrap_err();
    assert!(recorder.heard().contains(&Heard::Circuit(Stage::Transcribe, CircuitState::Open)), "the third in a row");
}

#[tokio::test(start_paused = true)]
async fn a_stream_dropped_by_its_listener_is_a_success() {
    let (backend, recorder) = guarded(&Scripted::new([Does::Stalls]));
    let mut reply = generate(&backend).await.unwrap();
    assert!(reply.next().await.unwrap().is_ok());
    drop(reply);
    assert_eq!(recorder.heard(), [Heard::Call(Stage::Generate, Ok(()), ms(0))]);
}

#[tokio::test(start_paused = true)]
async fn three_failed_calls_open_the_circuit_of_their_stage_alone_and_two_probes_close_it() {
    let scripted = Scripted::new([Does::Fails(UNAVAILABLE); 3 * ATTEMPTS]);
    let (backend, recorder) = guarded(&scripted);
    let stage = Stage::Transcribe;
    for _ in 0..3 {
        assert_eq!(transcribe(&backend).await, Err(UNAVAILABLE));
    }
    let failed = Heard::Call(stage, Err(UNAVAILABLE), TRIED_FOR);
    let mut heard = recorder.heard();
    heard.retain(|heard| !matches!(heard, Heard::Retry(_)));
    assert_eq!(heard, [failed, failed, Heard::Circuit(stage, CircuitState::Open), failed]);
    assert_eq!(transcribe(&backend).await, Err(BackendErrorKind::CircuitOpen));
    assert_eq!(recorder.heard(), [Heard::Call(stage, Err(BackendErrorKind::CircuitOpen), ms(0))]);
    assert_eq!(scripted.requests(), 3 * ATTEMPTS, "an open circuit asks nobody");
    assert!(generate(&backend).await.is_ok());
    recorder.heard();

    tokio::time::advance(Duration::from_secs(30)).await;
    assert!(transcribe(&backend).await.is_ok());
    assert!(transcribe(&backend).await.is_ok());
    assert!(recorder.heard().contains(&Heard::Circuit(stage, CircuitState::Closed)));
    assert!(backend.circuits().all(|(_, _, state)| state == CircuitState::Closed));
}

#[tokio::test(start_paused = true)]
async fn answers_that_cannot_be_read_and_requests_that_are_too_many_take_the_backend_from_nobody() {
    let limited = BackendErrorKind::RateLimited { retry_after: None };
    for (kind, asked) in [(BackendErrorKind::Invalid, 1), (BackendErrorKind::Rejected, 1), (limited, ATTEMPTS)] {
        let scripted = Scripted::new(vec![Does::Fails(kind); 8 * asked]);
        let (backend, recorder) = guarded(&scripted);
        for _ in 0..8 {
            assert_eq!(transcribe(&backend).await, Err(kind));
        }
        assert!(transcribe(&backend).await.is_ok(), "{kind}");
        assert!(!recorder.heard().iter().any(|heard| matches!(heard, Heard::Circuit(..))), "{kind}");
    }
}

#[tokio::test(start_paused = true)]
async fn calls_that_hang_while_others_are_answered_take_the_backend_from_nobody() {
    let scripted = Scripted::new([Does::Hangs; 5]);
    let (backend, _) = guarded(&scripted);
    let (hanging, answered) = tokio::join!(
        futures_util::future::join_all((0..5).map(|_| transcribe(&backend))),
        futures_util::future::join_all((0..20).map(|_| transcribe(&backend))),
    );
    assert!(hanging.iter().all(|result| *result == Err(BackendErrorKind::Timeout)));
    assert!(answered.iter().all(Result::is_ok));
    assert!(backend.circuits().all(|(_, _, state)| state == CircuitState::Closed));
}

#[tokio::test(start_paused = true)]
async fn a_probe_is_not_retried_and_a_streams_probe_is_over_with_its_first_item() {
    let mut script = vec![Does::Fails(UNAVAILABLE); 3 * ATTEMPTS];
    script.extend([Does::Fails(UNAVAILABLE), Does::Stalls]);
    let scripted = Scripted::new(script);
    let (backend, recorder) = guarded(&scripted);
    for _ in 0..3 {
        assert!(generate(&backend).await.is_err());
    }
    tokio::time::advance(Duration::from_secs(30)).await;
    recorder.heard();
    assert_eq!(generate(&backend).await.err(), Some(UNAVAILABLE));
    assert_eq!(scripted.requests(), 3 * ATTEMPTS + 1);
    let stage = Stage::Generate;
    assert_eq!(
        recorder.heard(),
        [
            Heard::Circuit(stage, CircuitState::HalfOpen),
            Heard::Circuit(stage, CircuitState::Open),
            Heard::Call(stage, Err(UNAVAILABLE), ms(0)),
        ]
    );
    tokio::time::advance(Duration::from_secs(30)).await;
    let still_talking = generate(&backend).await.unwrap();
    assert!(generate(&backend).await.is_ok(), "the next probe need not wait for the end of the first's stream");
    drop(still_talking);
    assert!(backend.circuits().all(|(_, _, state)| state == CircuitState::Closed));
}

#[tokio::test(start_paused = true)]
async fn the_fallback_answers_when_the_primary_does_not_and_at_once_when_its_circuit_is_open() {
    let primary = Scripted::new([Does::Hangs; 3]);
    let secondary = Scripted::new([]);
    let (backend, _) = guarded(&primary);
    let backend = backend.with_fallback("second", Arc::clone(&secondary) as _, Arc::new(NoObserver));
    let start = Instant::now();
    for call in 1..=3 {
        assert!(transcribe(&backend).await.is_ok());
        assert_eq!(start.elapsed(), Duration::from_secs(10 * call));
    }
    assert!(transcribe(&backend).await.is_ok());
    assert_eq!(start.elapsed(), Duration::from_secs(30));
    assert_eq!((primary.requests(), secondary.requests()), (3, 4));
}

#[tokio::test(start_paused = true)]
async fn when_all_fail_the_error_tells_what_happened_rather_than_that_a_circuit_is_open() {
    let primary = Scripted::new([Does::Fails(UNAVAILABLE); 3 * ATTEMPTS]);
    let secondary = Scripted::new([Does::Fails(BackendErrorKind::Rejected); 4]);
    let (backend, _) = guarded(&primary);
    let backend = backend.with_fallback("second", secondary as _, Arc::new(NoObserver));
    for _ in 0..3 {
        assert_eq!(transcribe(&backend).await, Err(UNAVAILABLE));
    }
    assert_eq!(transcribe(&backend).await, Err(BackendErrorKind::Rejected));
}

#[tokio::test(start_paused = true)]
async fn health_is_that_of_any_backend_and_has_a_deadline() {
    let primary = Scripted::new([Does::Hangs, Does::Hangs]);
    let (backend, recorder) = guarded(&primary);
    assert_eq!(backend.health().await.unwrap_err().kind(), BackendErrorKind::Timeout);
    let backend = backend.with_fallback("second", Scripted::new([]) as _, Arc::new(NoObserver));
    assert_eq!(backend.health().await, Ok(()));
    assert_eq!(recorder.heard(), [], "health is no call");
}

#[tokio::test(start_paused = true)]
async fn an_empty_reply_is_a_reply() {
    struct Silent;
    #[async_trait]
    impl VoiceBackend for Silent {
        async fn transcribe(&self, _: &[i16], _: SampleRate) -> Result<String, BackendError> {
            Ok(String::new())
        }
        async fn generate(&self, _: &str, _: &SessionInfo, _: &[Message]) -> Result<ReplyStream, BackendError> {
            Ok(stream::empty().boxed())
        }
        async fn speak(&self, _: &str) -> Result<SpeechStream, BackendError> {
            Ok(SpeechStream { rate: SampleRate::Hz8000, chunks: stream::empty().boxed() })
        }
    }
    let recorder = Arc::new(Recorder::default());
    let backend = Resilient::new("silent", Arc::new(Silent), ResilienceSettings::default(), recorder.clone());
    recorder.heard();
    assert_eq!(generate(&backend).await.unwrap().count().await, 0);
    assert_eq!(recorder.heard(), [Heard::Call(Stage::Generate, Ok(()), ms(0))]);
    assert_eq!(backend.speak("").await.unwrap().rate, SampleRate::Hz8000);
}

/// A backend at an endpoint that others ask too.
struct At(&'static str, Arc<Scripted>);

#[async_trait]
impl VoiceBackend for At {
    async fn transcribe(&self, audio: &[i16], rate: SampleRate) -> Result<String, BackendError> {
        self.1.transcribe(audio, rate).await
    }

    async fn generate(
        &self,
        text: &str,
        session: &SessionInfo,
        history: &[Message],
    ) -> Result<ReplyStream, BackendError> {
        self.1.generate(text, session, history).await
    }

    async fn speak(&self, text: &str) -> Result<SpeechStream, BackendError> {
        self.1.speak(text).await
    }

    fn endpoint(&self, _: Stage) -> Option<String> {
        Some(self.0.to_owned())
    }
}

#[tokio::test(start_paused = true)]
async fn backends_at_one_endpoint_find_out_together_that_it_is_down() {
    let settings = ResilienceSettings::default();
    let circuits = Arc::new(Circuits::new(settings.breaker));
    let at = |endpoint, does: Does| {
        let scripted = Scripted::new([does; 30]);
        let backend = Arc::new(At(endpoint, Arc::clone(&scripted)));
        (Resilient::sharing(&circuits, endpoint, backend, settings, Arc::new(NoObserver)), scripted)
    };
    let (sales, _) = at("https://one.example/v1", Does::Fails(BackendErrorKind::Unavailable));
    let (support, asked) = at("https://one.example/v1", Does::Answers);
    let (elsewhere, _) = at("https://other.example/v1", Does::Answers);
    for _ in 0..3 {
        sales.transcribe(&[], SampleRate::Hz16000).await.expect_err("it is down");
    }
    let error = support.transcribe(&[], SampleRate::Hz16000).await.expect_err("it is known to be down");
    assert_eq!((error.kind(), asked.requests()), (BackendErrorKind::CircuitOpen, 0));
    support.speak("a sentence").await.expect("another stage of it has not failed");
    elsewhere.transcribe(&[], SampleRate::Hz16000).await.expect("another endpoint is not concerned");
}
