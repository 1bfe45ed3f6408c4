//! From the spec to the data plane's settings: environment variables, and the files that hold its secrets. What a variable means is
//! in docs/settings.md. A setting that the spec leaves out stays unset here, so that its default is written in one place.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    EnvVar, EnvVarSource, KeyToPath, ObjectFieldSelector, SecretProjection, VolumeProjection,
};
use serde_json::Value;
use sofia_crds::spec::{
    Backchannels, BackendKind, Backends, BargeInMode, CallerNumbers, Codec, Conversation, EchoGuard, InbandDtmf,
    LogLevel, OpenAiBackend, PromptRole, RecordAudio, Records, RetryPolicy, SecretKeyRef, SilenceMode, SpeechFormat,
    Switch, Thoughts, TranscriptCheck, TranscriptFormat, TransferDestination, TransferDestinations, TransferMode,
};

use super::{BuildError, metadata::Context, names};
use crate::freeswitch::TRANSFER_CONTEXT;

/// Where the volume with the files is mounted.
pub(super) const SECRETS_PATH: &str = "/etc/sofia-phone/secrets";

/// The settings of the data-plane pods.
#[derive(Debug, Default)]
pub(super) struct Environment {
    /// In the order of docs/settings.md, more or less.
    pub variables: Vec<EnvVar>,
    /// What the volume at [`SECRETS_PATH`] is made of.
    pub files: Vec<VolumeProjection>,
}

/// The settings of the trunk's data-plane pods.
pub(super) fn data_plane(context: &Context<'_>) -> Result<Environment, BuildError> {
    let spec = context.spec;
    let mut environment = Environment::default();
    environment.pod(context);
    environment.tokens(context);
    environment.sessions(context);
    environment.backends(spec.backends())?;
    environment.conversation(&spec.conversation);
    environment.records(spec.records.as_ref());
    environment.set("ECHO_NUMBER", or_none(&spec.echo_number));
    Ok(environment)
}

impl Environment {
    fn pod(&mut self, context: &Context<'_>) {
        let data_plane = &context.spec.data_plane;
        self.set("ESL_PORT", names::ESL_PORT);
        self.set("HEALTH_PORT", names::ADMIN_PORT);
        self.set("RTP_START_PORT", names::RTP_START_PORT);
        self.set("JSON_LOGS", true);
        self.set(
            "LOG_LEVEL",
            match data_plane.log_level {
                LogLevel::Error => "error",
                LogLevel::Warn => "warn",
                LogLevel::Info => "info",
                LogLevel::Debug => "debug",
                LogLevel::Trace => "trace",
            },
        );
        self.set("LOG_CALLER_NUMBERS", data_plane.caller_numbers == CallerNumbers::Full);
        self.set("CODECS", data_plane.codecs.iter().map(|codec: &Codec| codec.name()).collect::<Vec<_>>().join(","));
        let inband = data_plane.inband_dtmf;
        self.set_some("INBAND_DTMF", (inband != InbandDtmf::default()).then(|| inband.word()));
        self.variables.push(EnvVar {
            name: variable("POD_NAME"),
            value_from: Some(EnvVarSource {
                field_ref: Some(ObjectFieldSelector {
                    api_version: Some("v1".to_owned()),
                    field_path: "metadata.name".to_owned(),
                }),
                ..EnvVarSource::default()
            }),
            ..EnvVar::default()
        });
    }

    fn tokens(&mut self, context: &Context<'_>) {
        let (secret, key) = esl_token(context);
        self.file("ESL_TOKEN_FILE", "esl-token", &secret, &key);
        self.file("ADMIN_TOKEN_FILE", "admin-token", &names::internal(context.name), names::ADMIN_TOKEN_KEY);
    }

    fn sessions(&mut self, context: &Context<'_>) {
        let sessions = &context.spec.sessions;
        self.set("MAX_SESSIONS", sessions.max_per_pod);
        self.set_some("MAX_SESSIONS_PER_CALLER", sessions.max_per_caller);
        self.set_some("SETUP_RATE_PER_SECOND", sessions.setup_rate_per_second);
        self.set_some("MAX_LATENESS_MS", sessions.max_lateness_milliseconds);
        self.set_some("MAX_MISSED_PERCENT", sessions.max_missed_percent);
        self.set_some("MAX_LOAD_PERCENT", sessions.max_load_percent);
        self.set("SESSION_TIMEOUT_SECONDS", sessions.max_duration_seconds);
        // In minutes, as a data plane of an earlier release reads it, which the spec may name. Later ones go by the seconds.
        self.set("SESSION_TIMEOUT", sessions.max_duration_seconds.div_ceil(60));
        self.set("DRAIN_DEADLINE_SECONDS", context.spec.drain.deadline_seconds);
        if let Switch::Managed(free_switch) = context.spec.switch() {
            self.set("SWITCH_SESSIONS_PER_SECOND", context.spec.sessions_per_second(free_switch));
        }
        // Also for an external FreeSWITCH: its context `default` may lead anywhere.
        self.set("TRANSFER_CONTEXT", TRANSFER_CONTEXT);
        let kinds = transfer_destinations(context);
        self.set("TRANSFER_DESTINATIONS", kinds);
        let names = names_of_destinations(context);
        if kinds == "names" && !names.is_empty() {
            self.set("TRANSFER_NAMES", names.join(","));
        }
    }

    fn backends(&mut self, backends: &Backends) -> Result<(), BuildError> {
        match backends.kind().ok_or(BuildError::Backends)? {
            BackendKind::Mock(mock) => {
                self.set("BACKEND", "mock");
                self.set("MOCK_TRANSCRIBE_DELAY_MS", mock.transcribe_delay_milliseconds);
                self.set("MOCK_GENERATE_DELAY_MS", mock.generate_delay_milliseconds);
                self.set("MOCK_SPEAK_DELAY_MS", mock.speak_delay_milliseconds);
            }
            BackendKind::OpenAi(open_ai) => self.open_ai(open_ai),
        }
        self.set(
            "RETRY_POLICY",
            match backends.retry_policy {
                RetryPolicy::Default => "default",
                RetryPolicy::Aggressive => "aggressive",
                RetryPolicy::Conservative => "conservative",
            },
        );
        self.set("CIRCUIT_FAILURES", backends.circuit_breaker.failures);
        self.set("CIRCUIT_SHARE_PERCENT", backends.circuit_breaker.failure_percent);
        self.set("CIRCUIT_OPEN_SECONDS", backends.circuit_breaker.open_seconds);
        self.set("CIRCUIT_SUCCESSES", backends.circuit_breaker.successes);
        Ok(())
    }

    fn open_ai(&mut self, OpenAiBackend { transcription, generation, speech }: &OpenAiBackend) {
        self.set("BACKEND", "openai");
        self.stage(&Stage {
            name: "TRANSCRIPTION",
            url: &transcription.url,
            model: &transcription.model,
            api_key: transcription.api_key_secret_ref.as_ref(),
            timeout_seconds: transcription.timeout_seconds,
            parameters: &transcription.parameters,
        });
        self.set_some("TRANSCRIPTION_LANGUAGE", transcription.language.as_deref());
        self.set(
            "TRANSCRIPTION_FORMAT",
            match transcription.response_format {
                TranscriptFormat::Auto => "auto",
                TranscriptFormat::Json => "json",
                TranscriptFormat::VerboseJson => "verbose_json",
            },
        );
        self.stage(&Stage {
            name: "GENERATION",
            url: &generation.url,
            model: &generation.model,
            api_key: generation.api_key_secret_ref.as_ref(),
            timeout_seconds: generation.timeout_seconds,
            parameters: &generation.parameters,
        });
        self.set(
            "GENERATION_THOUGHTS",
            match generation.thoughts {
                Thoughts::Auto => "auto",
                Thoughts::First => "first",
                Thoughts::Marked => "marked",
            },
        );
        self.set(
            "PROMPT_ROLE",
            match generation.prompt_role {
                PromptRole::Auto => "auto",
                PromptRole::System => "system",
                PromptRole::Developer => "developer",
                PromptRole::User => "user",
            },
        );
        self.stage(&Stage {
            name: "SPEECH",
            url: &speech.url,
            model: &speech.model,
            api_key: speech.api_key_secret_ref.as_ref(),
            timeout_seconds: speech.timeout_seconds,
            parameters: &speech.parameters,
        });
        self.set("SPEECH_VOICE", &speech.voice);
        self.set(
            "SPEECH_FORMAT",
            match speech.format {
                SpeechFormat::Wav => "wav",
                SpeechFormat::Pcm => "pcm",
            },
        );
        self.set("SPEECH_PCM_RATE", speech.pcm_rate_hertz);
    }

    fn stage(&mut self, stage: &Stage<'_>) {
        let name = stage.name;
        self.set(&format!("{name}_URL"), stage.url);
        self.set(&format!("{name}_MODEL"), stage.model);
        self.set(&format!("{name}_TIMEOUT_SECONDS"), stage.timeout_seconds);
        if let Some(key) = stage.api_key {
            let file = format!("{}-api-key", name.to_ascii_lowercase());
            self.file(&format!("{name}_API_KEY_FILE"), &file, &key.name, &key.key);
        }
        if !stage.parameters.is_empty() {
            let json = serde_json::to_string(stage.parameters).expect("a map from text to JSON is JSON");
            self.set(&format!("{name}_EXTRA"), json);
        }
    }

    fn conversation(&mut self, conversation: &Conversation) {
        self.sentence("GREETING", conversation.greeting.as_deref());
        self.sentence("PROMPT", conversation.prompt.as_deref());
        self.set("LANGUAGE", &conversation.language);
        self.sentence("GOODBYE", conversation.goodbye.as_deref());
        self.sentence("TRANSFER_PHRASE", conversation.transfer_phrase.as_deref());
        self.sentence("TAKEOVER_PHRASE", conversation.takeover_phrase.as_deref());
        self.sentence("LOST_WORDS_PHRASE", conversation.lost_words_phrase.as_deref());
        self.set("MIN_SPEECH_MS", conversation.endpointing.min_speech_milliseconds);
        self.set(
            "TRANSCRIPT_CHECK",
            match conversation.transcript_check {
                TranscriptCheck::Full => "full",
                TranscriptCheck::Marks => "marks",
                TranscriptCheck::None => "none",
            },
        );
        self.set("SHORT_ANSWER_MS", conversation.endpointing.short_answer_milliseconds);
        self.set("END_SILENCE_MS", conversation.endpointing.end_silence_milliseconds);
        self.set("SPEECH_CHECK_MS", conversation.endpointing.speech_check_milliseconds);
        self.set(
            "BARGE_IN",
            match conversation.barge_in.mode {
                BargeInMode::Enabled => "enabled",
                BargeInMode::Disabled => "disabled",
            },
        );
        self.set("BARGE_IN_MS", conversation.barge_in.speech_milliseconds);
        self.set("BARGE_IN_WORDS", conversation.barge_in.min_words);
        self.set(
            "BACKCHANNELS",
            match conversation.barge_in.backchannels {
                Backchannels::Ignore => "ignore",
                Backchannels::Interrupt => "interrupt",
            },
        );
        if !conversation.barge_in.backchannel_words.is_empty() {
            self.set("BACKCHANNEL_WORDS", conversation.barge_in.backchannel_words.join(","));
        }
        self.set(
            "ECHO_GUARD",
            match conversation.barge_in.echo_guard {
                EchoGuard::Enabled => "enabled",
                EchoGuard::Disabled => "disabled",
            },
        );
        let silence = &conversation.silence;
        self.sentence("SILENCE_PROMPT", silence.prompt.as_deref());
        self.set(
            "SILENCE_SECONDS",
            match silence.mode {
                SilenceMode::Ask => silence.after_seconds,
                SilenceMode::Ignore => 0,
            },
        );
        self.set("MAX_SILENCE_PROMPTS", silence.max_prompts);
    }

    fn records(&mut self, records: Option<&Records>) {
        // Set in any case: the data plane's own default includes the audio.
        self.set("RECORD_AUDIO", records.is_some_and(|records| records.audio == RecordAudio::Included));
        let Some(records) = records else { return };
        self.set("RECORD_URL", &records.url);
        if let Some(SecretKeyRef { name, key }) = &records.token_secret_ref {
            self.file("RECORD_TOKEN_FILE", "record-token", name, key);
        }
    }

    /// A sentence of the agent: absent is the data plane's own, empty is none.
    fn sentence(&mut self, name: &str, sentence: Option<&str>) {
        self.set_some(name, sentence.map(or_none));
    }

    fn set_some(&mut self, name: &str, value: Option<impl ToString>) {
        if let Some(value) = value {
            self.set(name, value);
        }
    }

    fn set(&mut self, name: &str, value: impl ToString) {
        // The kubelet puts variables in place of `$(NAME)` and one `$` in place of two: a text with dollars in it would not arrive as
        // it was written.
        let value = value.to_string().replace('$', "$$");
        self.variables.push(EnvVar { name: variable(name), value: Some(value), ..EnvVar::default() });
    }

    /// A setting that is the path of a file, with the value of a key of a Secret in it.
    fn file(&mut self, name: &str, file: &str, secret: &str, key: &str) {
        self.set(name, format!("{SECRETS_PATH}/{file}"));
        self.files.push(VolumeProjection {
            secret: Some(SecretProjection {
                name: secret.to_owned(),
                items: Some(vec![KeyToPath { key: key.to_owned(), path: file.to_owned(), mode: None }]),
                optional: None,
            }),
            ..VolumeProjection::default()
        });
    }
}

/// To what kinds of destinations the model may transfer: what it is told, but none that the context of transfers has no rules for. A model
/// that is offered what leads nowhere would lose callers with a promise.
fn transfer_destinations(context: &Context<'_>) -> &'static str {
    let spec = context.spec;
    let allowed = match (spec.transfers.mode, spec.switch()) {
        (TransferMode::Disabled, _) => TransferDestinations::None,
        (TransferMode::Enabled, Switch::External(_)) => TransferDestinations::Addresses,
        (TransferMode::Enabled, Switch::Managed(free_switch)) => match &spec.transfers.destinations[..] {
            _ if free_switch.gateways.is_empty() => TransferDestinations::None,
            [] => TransferDestinations::None,
            all if all.iter().any(has_letters) => TransferDestinations::Names,
            _ => TransferDestinations::Numbers,
        },
    };
    let rank = |kind| match kind {
        TransferDestinations::None => (0, "none"),
        TransferDestinations::Numbers => (1, "numbers"),
        TransferDestinations::Names => (2, "names"),
        TransferDestinations::Addresses => (3, "addresses"),
        TransferDestinations::Auto => (4, ""),
    };
    rank(allowed).min(rank(spec.conversation.transfer_destinations)).1
}

/// Whom the model may name, by the spec.
fn names_of_destinations<'a>(context: &Context<'a>) -> Vec<&'a str> {
    context.spec.transfers.destinations.iter().filter_map(|destination| destination.name.as_deref()).collect()
}

/// Whether a destination is, or may be, called by a name.
fn has_letters(destination: &TransferDestination) -> bool {
    let mut letters = destination.number.chars();
    let mut of_the_number = || loop {
        match letters.next() {
            None => return false,
            // A class of characters such as \d, or a mark that stands for itself.
            Some('\\') => drop(letters.next()),
            Some(letter) if letter.is_ascii_alphabetic() => return true,
            Some(_) => {}
        }
    };
    destination.name.is_some() || of_the_number()
}

/// Where what FreeSWITCH presents with each call is kept: the name of the Secret and the key in it.
pub(super) fn esl_token(context: &Context<'_>) -> (String, String) {
    let users = match context.spec.switch() {
        Switch::Managed(_) => None,
        Switch::External(external) => external.esl_token_secret_ref.as_ref(),
    };
    users.map_or_else(
        || (names::esl(context.name), names::TOKEN_KEY.to_owned()),
        |SecretKeyRef { name, key }| (name.clone(), key.clone()),
    )
}

/// What the three stages of a reply have in common.
struct Stage<'a> {
    name: &'static str,
    url: &'a str,
    model: &'a str,
    api_key: Option<&'a SecretKeyRef>,
    timeout_seconds: u32,
    parameters: &'a BTreeMap<String, Value>,
}

fn variable(name: &str) -> String {
    format!("SOFIA_PHONE_{name}")
}

/// The data plane can't tell an empty variable from an unset one; the word `none` stands for empty there.
fn or_none(text: &str) -> &str {
    if text.trim().is_empty() { "none" } else { text }
}
