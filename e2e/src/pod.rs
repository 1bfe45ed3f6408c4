//! What a pod inside the test's own process needs: its settings, and a backend that answers what the test wants.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use sofia_dataplane::Settings;
use sofia_dataplane::audio::SampleRate;
use sofia_dataplane::backend::{
    BackendError, MockBackend, MockSettings, ReplyPart, ReplyStream, SessionInfo, SpeechStream, VoiceBackend,
};
use sofia_dataplane::turn::history::Message;

/// The settings of a pod on free ports of loopback, with one media worker; `variables`, named without their
/// `SOFIA_PHONE_`, go before.
///
/// # Panics
/// When they do not make settings.
#[must_use]
pub fn settings(variables: &[(&str, &str)]) -> Settings {
    let local = [
        ("ENV", "development"),
        ("ESL_HOST", "127.0.0.1"),
        ("ESL_PORT", "0"),
        ("RTP_HOST", "127.0.0.1"),
        ("RTP_START_PORT", "0"),
        ("RTP_WORKERS", "1"),
        // Tests run beside each other on machines that are busy.
        ("MAX_LATENESS_MS", "0"),
        ("HEALTH_HOST", "127.0.0.1"),
        ("HEALTH_PORT", "0"),
    ];
    let all = local.iter().chain(variables).map(|(name, value)| (format!("SOFIA_PHONE_{name}"), (*value).to_owned()));
    Settings::from_vars(all).unwrap_or_else(|errors| panic!("{errors}"))
}

/// From the caller's newest words, and the conversation before them, to the reply.
type Answer = dyn Fn(&str, &[Message]) -> Vec<ReplyPart> + Send + Sync;

/// A backend that answers every turn as a test says, in the mock's voice, at once. What callers say is "words", where the
/// test says nothing else.
pub struct ScriptedBackend {
    voice: MockBackend,
    answer: Box<Answer>,
    asked: Mutex<Vec<String>>,
    transcripts: Mutex<VecDeque<String>>,
    /// The time that a character of speech takes, where it is not the mock's voice that speaks.
    a_character: Option<Duration>,
}

impl ScriptedBackend {
    /// `answer` gets the caller's newest words and the conversation before them.
    pub fn new(answer: impl Fn(&str, &[Message]) -> Vec<ReplyPart> + Send + Sync + 'static) -> Self {
        Self {
            voice: MockBackend::new(MockSettings::INSTANT),
            answer: Box::new(answer),
            asked: Mutex::default(),
            transcripts: Mutex::default(),
            a_character: None,
        }
    }

    /// Takes the next utterances for these.
    #[must_use]
    pub fn hearing<'a>(self, transcripts: impl IntoIterator<Item = &'a str>) -> Self {
        let transcripts = Mutex::new(transcripts.into_iter().map(str::to_owned).collect());
        Self { transcripts, ..self }
    }

    /// Speaks with a voice that takes so long for each character, and gives its sound away as fast as it is taken.
    #[must_use]
    pub fn speaking_at(self, a_character: Duration) -> Self {
        Self { a_character: Some(a_character), ..self }
    }

    /// How many of the transcripts of [`Self::hearing`] are still to come.
    #[must_use]
    pub fn unheard(&self) -> usize {
        self.transcripts.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// What it was asked so far, of all calls.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl VoiceBackend for ScriptedBackend {
    async fn transcribe(&self, _audio: &[i16], _rate: SampleRate) -> Result<String, BackendError> {
        let transcript = self.transcripts.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        Ok(transcript.unwrap_or_else(|| "words".to_owned()))
    }

    async fn generate(
        &self,
        text: &str,
        _session: &SessionInfo,
        history: &[Message],
    ) -> Result<ReplyStream, BackendError> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(text.to_owned());
        Ok(stream::iter((self.answer)(text, history).into_iter().map(Ok)).boxed())
    }

    async fn speak(&self, text: &str) -> Result<SpeechStream, BackendError> {
        let Some(a_character) = self.a_character else { return self.voice.speak(text).await };
        let rate = SampleRate::Hz16000;
        let length = rate.samples(a_character * text.chars().count() as u32);
        let wave = |at: usize| ((at as f32 * 220.0 * std::f32::consts::TAU / 16_000.0).sin() * 8_000.0) as i16;
        let piece = rate.samples(Duration::from_millis(20));
        let pieces = (0..length)
            .step_by(piece)
            .map(move |from| Ok((from..length.min(from + piece)).map(wave).collect::<Vec<i16>>().into()));
        Ok(SpeechStream { rate, chunks: stream::iter(pieces).boxed() })
    }
}
