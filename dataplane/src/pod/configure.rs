//! From the settings to what each part is configured with. It translates and decides nothing; the settings were
//! checked when they were read.

use std::sync::Arc;
use std::time::Duration;

use super::PodError;
use crate::admin::{BackendStatus, CircuitStatus};
use crate::audio::{Codec, SampleRate, VoiceSettings};
use crate::backend::openai::{EndpointSettings, HttpSettings, OpenAiSettings, PromptRole, SpeechFormat};
use crate::backend::resilience::{Adaptation, BackendObserver, BreakerSettings, CircuitState};
use crate::backend::{
    BackendErrorKind, BackendSettings, BackendsSettings, MockSettings, ResilienceSettings, Resilient, RetryPolicy,
    SetupError, SharedEndpoints, Stage, VoiceBackend, build,
};
use crate::call::CallsConfig;
use crate::call::agent::{AgentProfile, Agents, DialogueProfile, TurnsProfile};
use crate::esl::{OutboundSettings, Token};
use crate::metrics::{CircuitLevel, Metrics};
use crate::record::{Delivery, DeliverySettings, PostTarget, Privacy};
use crate::settings::{
    self, BackendKind, CodecName, Endpoint, LostWordsPhrase, RetryKind, Settings, TranscriptionLanguage,
};
use crate::turn::backchannel::Backchannels;
use crate::turn::conversation::{ConversationSettings, Interruptions, Limits};
use crate::turn::endpointing::EndpointingSettings;
use crate::turn::lost_words;
use crate::turn::tool::Destinations;

/// The channel variable that carries the shared token: the dialplan sends it from leg A to leg C as a SIP header of
/// the switch's own call to itself.
const TOKEN_VARIABLE: &str = "sip_h_X-Sofia-Token";
/// No limit that a call reaches: what "let silence be" means to a timer.
const NEVER: Duration = Duration::from_secs(365 * 24 * 3_600);

/// Longer than a call lasts whose pods fail one after the other for one reason.
const SETTLED: Duration = Duration::from_secs(30);

/// The name of the agent that the settings describe, and of the echo test.
const AGENT: &str = "agent";
const ECHO: &str = "echo";

/// A share of failures that there never is.
const NO_SHARE: u32 = 101;

/// `backend` answers the calls of the one agent that the settings describe.
pub(super) fn calls(settings: &Settings, backend: Arc<dyn VoiceBackend>) -> CallsConfig {
    CallsConfig {
        outbound: OutboundSettings {
            // A switch answers within a millisecond; whoever says nothing holds a permit meanwhile.
            handshake_timeout: Duration::from_secs(2),
            token: settings.esl_token.as_ref().map(|token| Token::new(TOKEN_VARIABLE, token.expose())),
            ..OutboundSettings::default()
        },
        codecs: codecs(&settings.codecs),
        rtp_address: settings.rtp_address,
        inband_keys: settings.inband_keys,
        jitter_max: settings.jitter_max,
        settled_after: SETTLED,
        agents: agents(settings, backend),
        privacy: privacy(settings),
        pod: settings.pod_name.clone(),
    }
}

fn agents(settings: &Settings, backend: Arc<dyn VoiceBackend>) -> Agents {
    let profile = |name: &str, dialogue| AgentProfile {
        name: name.to_owned(),
        dialogue,
        endpointing: EndpointingSettings {
            min_speech: settings.min_speech,
            short_answer: settings.short_answer,
            end_silence: settings.end_silence,
            barge_in_after: settings.barge_in,
            echo_guard: settings.echo_guard,
            ..EndpointingSettings::default()
        },
        voice: VoiceSettings::default(),
        transfer_context: settings.transfer_context.clone(),
    };
    let turns = TurnsProfile {
        conversation: conversation(settings),
        transcripts: settings.transcript_check,
        backend,
        pace: Arc::default(),
    };
    let agents = Agents::new(profile(AGENT, DialogueProfile::Turns(Box::new(turns))));
    match &settings.echo_number {
        Some(number) => {
            let echo = DialogueProfile::Echo { max_duration: settings.session_timeout };
            agents.with(number.clone(), profile(ECHO, echo))
        }
        None => agents,
    }
}

fn privacy(settings: &Settings) -> Privacy {
    if settings.log_caller_numbers { Privacy::Shown } else { Privacy::Masked }
}

/// L16 at 16 kHz before 8 kHz: an offer that has both is wideband.
fn codecs(names: &[CodecName]) -> Vec<Codec> {
    let codecs = |name: &CodecName| match name {
        CodecName::L16 => vec![Codec::L16(SampleRate::Hz16000), Codec::L16(SampleRate::Hz8000)],
        CodecName::G722 => vec![Codec::G722],
        CodecName::Pcmu => vec![Codec::Pcmu],
        CodecName::Pcma => vec![Codec::Pcma],
    };
    names.iter().flat_map(codecs).collect()
}

fn conversation(settings: &Settings) -> ConversationSettings {
    let interruptions = if settings.barge_in.is_some() { Interruptions::Allowed } else { Interruptions::Deferred };
    let backchannels = match &settings.backchannels {
        Some(words) => Backchannels::default().with(words),
        None => Backchannels::none(),
    };
    ConversationSettings {
        backchannels: Arc::new(backchannels.with_min_words(settings.barge_in_words as usize)),
        min_speech: settings.min_speech,
        glimpse_after: settings.speech_check,
        language: settings.language.clone(),
        prompt: settings.prompt.clone().unwrap_or_default(),
        greeting: settings.greeting.clone().unwrap_or_default(),
        silence_prompt: settings.silence_prompt.clone().unwrap_or_default(),
        goodbye: settings.goodbye.clone().unwrap_or_default(),
        transfer_phrase: settings.transfer_phrase.clone().unwrap_or_default(),
        transfers: settings.transfers,
        takeover_phrase: settings.takeover_phrase.clone(),
        lost_words_phrase: match &settings.lost_words_phrase {
            None => String::new(),
            Some(LostWordsPhrase::Text(text)) => text.clone(),
            Some(LostWordsPhrase::Auto) => lost_words::phrase(&settings.language)
                .map(str::to_owned)
                .or_else(|| settings.silence_prompt.clone())
                .unwrap_or_default(),
        },
        interruptions,
        // Nobody is hung up on for silence who was never asked.
        silence_prompt_after: settings.silence_prompt.as_ref().and(settings.silence).unwrap_or(NEVER),
        max_silence_prompts: settings.max_silence_prompts,
        max_duration: settings.session_timeout,
        limits: Limits::above(settings.transcription.timeout, settings.generation.timeout, settings.speech.timeout),
        ..ConversationSettings::default()
    }
}

pub(super) fn backend(settings: &Settings, metrics: &Arc<Metrics>) -> Result<Resilient, SetupError> {
    let primary = match settings.backend {
        BackendKind::Mock => BackendSettings::Mock(MockSettings {
            transcribe_delay: settings.mock_transcribe_delay,
            generate_delay: settings.mock_generate_delay,
            speak_delay: settings.mock_speak_delay,
            ..MockSettings::default()
        }),
        BackendKind::OpenAi => BackendSettings::OpenAi(Box::new(openai(settings))),
    };
    let settings = BackendsSettings { primary, fallbacks: Vec::new(), resilience: resilience(settings) };
    let endpoints = SharedEndpoints::new(settings.resilience.breaker);
    build(&settings, &endpoints, |_| observer(metrics))
}

pub(super) fn guard(settings: &Settings, metrics: &Arc<Metrics>, backend: Arc<dyn VoiceBackend>) -> Resilient {
    Resilient::new("custom", backend, resilience(settings), observer(metrics))
}

fn openai(settings: &Settings) -> OpenAiSettings {
    let endpoint = |endpoint: &Endpoint| EndpointSettings {
        api_key: endpoint.api_key.clone(),
        extra: endpoint.extra.clone(),
        ..EndpointSettings::new(endpoint.url.clone().unwrap_or_default(), &*endpoint.model, endpoint.timeout)
    };
    let mut openai = OpenAiSettings::default();
    openai.transcription.endpoint = endpoint(&settings.transcription);
    match &settings.transcription_language {
        TranscriptionLanguage::Conversation => openai.transcription.language = Some(settings.language.clone()),
        TranscriptionLanguage::Open => {}
        TranscriptionLanguage::Named(name) => openai.transcription.language_name = Some(name.clone()),
    }
    openai.transcription.format = settings.transcription_format;
    openai.transcription.check = settings.transcript_check;
    openai.generation.endpoint = endpoint(&settings.generation);
    openai.generation.thoughts = settings.generation_thoughts;
    openai.generation.destinations =
        Destinations { kinds: settings.transfers, names: settings.transfer_names.as_slice().into() };
    openai.generation.prompt_role = match settings.prompt_role {
        settings::PromptRole::Auto => PromptRole::Auto,
        settings::PromptRole::System => PromptRole::System,
        settings::PromptRole::Developer => PromptRole::Developer,
        settings::PromptRole::User => PromptRole::User,
    };
    openai.speech.endpoint = endpoint(&settings.speech);
    openai.speech.voice.clone_from(&settings.speech_voice);
    openai.speech.format = match settings.speech_format {
        settings::SpeechFormat::Wav => SpeechFormat::Wav,
        settings::SpeechFormat::Pcm => SpeechFormat::Pcm,
    };
    openai.speech.pcm_rate =
        SampleRate::try_from(settings.speech_pcm_rate_hz).expect("the settings take supported rates only");
    openai
}

fn resilience(settings: &Settings) -> ResilienceSettings {
    ResilienceSettings {
        retry: match settings.retry_policy {
            RetryKind::Default => RetryPolicy::DEFAULT,
            RetryKind::Aggressive => RetryPolicy::AGGRESSIVE,
            RetryKind::Conservative => RetryPolicy::CONSERVATIVE,
        },
        transcribe_deadline: settings.transcription.timeout,
        generate_deadline: settings.generation.timeout,
        speak_deadline: settings.speech.timeout,
        breaker: BreakerSettings {
            failures_to_open: settings.circuit_failures,
            share_to_open_percent: settings.circuit_share_percent.unwrap_or(NO_SHARE),
            open_for: settings.circuit_open,
            successes_to_close: settings.circuit_successes,
        },
        ..ResilienceSettings::default()
    }
}

/// `None` where nobody wants records.
pub(super) fn records(settings: &Settings) -> Result<Option<Delivery>, PodError> {
    if settings.record_dir.is_none() && settings.record_url.is_none() {
        return Ok(None);
    }
    let url: Option<reqwest::Url> = settings.record_url.as_deref().and_then(|url| url.parse().ok());
    let client = HttpSettings::default().client(url.as_ref())?;
    let delivery = DeliverySettings {
        folder: settings.record_dir.clone(),
        post: settings.record_url.as_ref().map(|url| PostTarget::new(url.clone(), settings.record_token.clone())),
        audio: settings.record_audio,
        ..DeliverySettings::default()
    };
    Ok(Some(Delivery::start(delivery, client)?))
}

/// What the backend does, as figures.
struct Observer(Arc<Metrics>);

fn observer(metrics: &Arc<Metrics>) -> Arc<dyn BackendObserver> {
    Arc::new(Observer(Arc::clone(metrics)))
}

impl BackendObserver for Observer {
    fn call(&self, stage: Stage, outcome: Result<(), BackendErrorKind>, _elapsed: Duration) {
        if let Err(kind) = outcome
            && kind != BackendErrorKind::Cancelled
        {
            self.0.backend_error(stage.as_str(), kind.as_str());
        }
    }

    fn retry(&self, stage: Stage) {
        self.0.backend_retry(stage.as_str());
    }

    fn adapted(&self, how: Adaptation) {
        self.0.model_adapted(how);
    }
}

pub(super) fn backend_status(
    settings: &Settings,
    backend: Arc<Resilient>,
) -> Arc<dyn Fn() -> BackendStatus + Send + Sync> {
    let kind = settings.backend.as_str();
    Arc::new(move || BackendStatus {
        kind,
        circuits: backend
            .circuits()
            .map(|(backend, stage, state)| CircuitStatus {
                backend: backend.to_owned(),
                stage: stage.as_str(),
                state: match state {
                    CircuitState::Closed => CircuitLevel::Closed,
                    CircuitState::HalfOpen => CircuitLevel::HalfOpen,
                    CircuitState::Open => CircuitLevel::Open,
                },
            })
            .collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(variables: &[(&str, &str)]) -> Settings {
        let named = variables.iter().map(|(name, value)| (format!("SOFIA_PHONE_{name}"), (*value).to_owned()));
        Settings::from_vars(named).unwrap_or_else(|errors| panic!("{errors}"))
    }

    #[test]
    fn a_backend_that_may_take_long_is_waited_for_as_long_as_it_may() {
        let long = settings(&[
            ("TRANSCRIPTION_TIMEOUT_SECONDS", "120"),
            ("GENERATION_TIMEOUT_SECONDS", "240"),
            ("SPEECH_TIMEOUT_SECONDS", "60"),
        ]);
        let limits = conversation(&long).limits;
        let seconds = Duration::from_secs;
        assert!(limits.transcribe > seconds(120) && limits.generate > seconds(240) && limits.clip_start > seconds(60));
        assert_eq!(conversation(&settings(&[])).limits, Limits::default());
    }

    #[test]
    fn a_caller_whom_nobody_asks_is_not_hung_up_on_for_silence() {
        assert_eq!(conversation(&settings(&[("SILENCE_PROMPT", "none")])).silence_prompt_after, NEVER);
        assert!(conversation(&settings(&[])).silence_prompt_after < NEVER);
    }
}
