//! A backend that speaks to any server with the OpenAI-compatible HTTP routes: hosted ones, Ollama, vLLM, llama.cpp, whisper
//! servers, Kokoro and the like. Each of the three services has its own server. It never retries; [`super::Resilient`]
//! does.

mod client;
mod correction;
mod decoder;
mod endpoint;
mod form;
mod generation;
mod language;
mod media_type;
mod messages;
mod reading;
mod reply;
mod sniff;
mod speech;
mod transcript;
mod transcription;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::future::try_join3;

pub use client::{HttpClients, HttpSettings, install_tls_provider};
pub use endpoint::EndpointSettings;
pub use form::PromptRole;
pub use generation::ToolUse;
pub use reading::Thoughts;
pub use speech::SpeechFormat;
pub use transcription::TranscriptFormat;

use super::resilience::{BackendObserver, NoObserver};
use super::{BackendError, ReplyPart, ReplyStream, SessionInfo, SpeechStream, Stage, VoiceBackend};
use crate::audio::SampleRate;
use crate::turn::history::Message;
use crate::turn::tool::Destinations;
use crate::turn::transcript::TranscriptCheck;
use endpoint::Endpoint;
use generation::Generation;
use reply::{Completion, Habit, Reading};
use speech::Speech;
use transcription::Transcription;

/// What the backend is made from. The URLs have no default: nobody's voice is sent anywhere unasked.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct OpenAiSettings {
    /// Speech to text.
    pub transcription: TranscriptionSettings,
    /// Text to reply.
    pub generation: GenerationSettings,
    /// Reply to speech.
    pub speech: SpeechSettings,
    /// How connections are made.
    pub http: HttpSettings,
}

/// The service of `/v1/audio/transcriptions`.
#[derive(Debug, Clone, PartialEq)]
pub struct TranscriptionSettings {
    /// Where it is.
    pub endpoint: EndpointSettings,
    /// The language that callers speak, as a BCP 47 tag, of which the language itself is sent, under the name that
    /// recognisers have for it; `None`, and a tag that leaves it open (`und`, `mul`, `auto`), lets the server find out.
    pub language: Option<String>,
    /// What is sent as the language in place of that, as it is.
    pub language_name: Option<String>,
    /// The form of the answer that is asked for.
    pub format: TranscriptFormat,
    /// With [`TranscriptCheck::Full`] words are left out of which the server itself says that there was no speech.
    pub check: TranscriptCheck,
}

impl Default for TranscriptionSettings {
    /// `whisper-1` within 10 s, in whatever language is heard.
    fn default() -> Self {
        Self {
            endpoint: EndpointSettings::new("", "whisper-1", Duration::from_secs(10)),
            language: None,
            language_name: None,
            format: TranscriptFormat::Auto,
            check: TranscriptCheck::Full,
        }
    }
}

/// The service of `/v1/chat/completions`.
#[derive(Debug, Clone, PartialEq)]
pub struct GenerationSettings {
    /// Where it is.
    pub endpoint: EndpointSettings,
    /// Whether the model is offered tools.
    pub tools: ToolUse,
    /// To what kinds of destinations it may transfer callers.
    pub destinations: Destinations,
    /// Where the prompt goes.
    pub prompt_role: PromptRole,
    /// How the model's thoughts are told from its answer.
    pub thoughts: Thoughts,
}

impl Default for GenerationSettings {
    /// `gpt-4o-mini` within 30 s, with tools if the server takes them, and the prompt where it does; whether it thinks is
    /// found out.
    fn default() -> Self {
        Self {
            endpoint: EndpointSettings::new("", "gpt-4o-mini", Duration::from_secs(30)),
            tools: ToolUse::Auto,
            destinations: Destinations::default(),
            prompt_role: PromptRole::Auto,
            thoughts: Thoughts::Auto,
        }
    }
}

/// The service of `/v1/audio/speech`.
#[derive(Debug, Clone, PartialEq)]
pub struct SpeechSettings {
    /// Where it is.
    pub endpoint: EndpointSettings,
    /// The voice's name, as the server knows it.
    pub voice: String,
    /// What is asked for.
    pub format: SpeechFormat,
    /// The rate of [`SpeechFormat::Pcm`], which has no header to tell.
    pub pcm_rate: SampleRate,
}

impl Default for SpeechSettings {
    /// `tts-1` with the voice `alloy` within 10 s, as WAV; PCM is taken for 24 kHz.
    fn default() -> Self {
        Self {
            endpoint: EndpointSettings::new("", "tts-1", Duration::from_secs(10)),
            voice: "alloy".to_owned(),
            format: SpeechFormat::Wav,
            pcm_rate: SampleRate::Hz24000,
        }
    }
}

/// Why a backend can't be set up. Holds no URL, which may hold credentials.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    /// A service's URL leads nowhere.
    #[error("{stage}: URL: {reason}")]
    Url {
        /// The service.
        stage: Stage,
        /// What is wrong with it.
        reason: String,
    },
    /// A service's key can't be sent in a header.
    #[error("{stage}: API key: expected printable ASCII, came other characters")]
    ApiKey {
        /// The service.
        stage: Stage,
    },
    /// The authorities to trust can't be read.
    #[error("certificate authorities {}: {reason}", path.display())]
    CaFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// TLS can't be set up; most often because the system has no certificate authorities.
    #[error("HTTP client: {0}")]
    Client(String),
}

/// Tells the time.
type Clock = Arc<dyn Fn() -> Instant + Send + Sync>;

/// The OpenAI-compatible backend.
pub struct OpenAiBackend {
    transcription: Transcription,
    generation: Arc<Generation>,
    speech: Speech,
}

impl fmt::Debug for OpenAiBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenAiBackend")
            .field("transcription", &self.transcription)
            .field("generation", &self.generation.endpoint)
            .field("speech", &self.speech)
            .finish()
    }
}

impl OpenAiBackend {
    /// Checks the settings; connects to nothing yet.
    ///
    /// # Errors
    /// The first thing that is wrong with the settings.
    pub fn new(settings: &OpenAiSettings) -> Result<Self, SetupError> {
        Self::observed(settings, Arc::new(NoObserver), Instant::now)
    }

    /// The same, with an observer for what is done otherwise than was meant first, and a clock for what is learnt of a
    /// server and forgotten again.
    ///
    /// # Errors
    /// The first thing that is wrong with the settings.
    pub fn observed(
        settings: &OpenAiSettings,
        observer: Arc<dyn BackendObserver>,
        clock: impl Fn() -> Instant + Send + Sync + 'static,
    ) -> Result<Self, SetupError> {
        Self::sharing(&HttpClients::default(), settings, observer, clock)
    }

    /// The same, over connections that other backends use too.
    ///
    /// # Errors
    /// The first thing that is wrong with the settings.
    pub fn sharing(
        clients: &HttpClients,
        settings: &OpenAiSettings,
        observer: Arc<dyn BackendObserver>,
        clock: impl Fn() -> Instant + Send + Sync + 'static,
    ) -> Result<Self, SetupError> {
        let OpenAiSettings { transcription, generation, speech, http } = settings;
        let resolve = |stage, endpoint: &EndpointSettings, route| endpoint::resolve(stage, &endpoint.url, route);
        let transcription_url = resolve(Stage::Transcribe, &transcription.endpoint, transcription::ROUTE)?;
        let generation_url = resolve(Stage::Generate, &generation.endpoint, generation::ROUTE)?;
        let speech_url = resolve(Stage::Speak, &speech.endpoint, speech::ROUTE)?;
        let client = clients.client(http, &[&transcription_url, &generation_url, &speech_url])?;
        let endpoint = |stage, url, settings| Endpoint::new(client.clone(), stage, url, settings);
        Ok(Self {
            transcription: Transcription::new(
                endpoint(Stage::Transcribe, transcription_url, &transcription.endpoint)?,
                transcription,
            ),
            generation: Arc::new(Generation::new(
                endpoint(Stage::Generate, generation_url, &generation.endpoint)?,
                generation,
                observer,
                Arc::new(clock),
            )),
            speech: Speech::new(endpoint(Stage::Speak, speech_url, &speech.endpoint)?, speech),
        })
    }
}

/// What the backend makes of a recorded answer of `/v1/chat/completions`, which came in these pieces: for finding out what of
/// it would be spoken. The telephone's tools count as offered, and of the server it is not known whether it thinks.
///
/// # Errors
/// As the reply's stream would end with one; what came before is lost.
pub fn read_recorded<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<ReplyPart>, BackendError> {
    let mut completion =
        Completion::new(Reading { tools: generation::tools(&Destinations::default()), habit: Habit::Unknown });
    pieces.into_iter().try_for_each(|piece| completion.push(piece))?;
    completion.finish()?;
    Ok(std::iter::from_fn(|| completion.pop()).collect())
}

#[async_trait]
impl VoiceBackend for OpenAiBackend {
    async fn transcribe(&self, audio: &[i16], rate: SampleRate) -> Result<String, BackendError> {
        self.transcription.transcribe(audio, rate).await
    }

    async fn generate(
        &self,
        text: &str,
        session: &SessionInfo,
        history: &[Message],
    ) -> Result<ReplyStream, BackendError> {
        self.generation.generate(text, session, history).await
    }

    async fn speak(&self, text: &str) -> Result<SpeechStream, BackendError> {
        self.speech.speak(text).await
    }

    /// The route without credentials and query, and the model: behind one gateway, models fail one by one.
    fn endpoint(&self, stage: Stage) -> Option<String> {
        Some(match stage {
            Stage::Transcribe => self.transcription.endpoint.name(),
            Stage::Generate => self.generation.endpoint.name(),
            Stage::Speak => self.speech.endpoint.name(),
        })
    }

    /// Asks each server for its models; whatever it answers but a failure of its own or a refused key will do.
    async fn health(&self) -> Result<(), BackendError> {
        try_join3(
            self.transcription.endpoint.health(transcription::ROUTE),
            self.generation.endpoint.health(generation::ROUTE),
            self.speech.endpoint.health(speech::ROUTE),
        )
        .await?;
        Ok(())
    }
}
