//! The pod's settings: read once at start from the environment, checked together, plain values afterwards. Never reads the
//! environment later, and never keeps a value that it could not make sense of.
//!
//! [`VARIABLES`] is the table of everything that can be set. A file `.env` in the working directory fills in what the real
//! environment leaves open.

mod error;
mod reader;
mod table;
mod types;

#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use crate::backend::Secret;
pub use crate::backend::openai::{Thoughts, TranscriptFormat};
use crate::esl::DestinationKind;
pub use crate::turn::tool::Transfers;
pub use crate::turn::transcript::TranscriptCheck;
pub use crate::worker::InbandKeys;
pub use error::{SettingsError, SettingsErrors};
use reader::{PREFIX, Reader};
pub use table::{VARIABLES, Values, Variable, markdown_table};
pub use types::{
    BackendKind, CallLimits, CodecName, Endpoint, Environment, LostWordsPhrase, PromptRole, RetryKind, SpeechFormat,
    TranscriptionLanguage,
};

/// Most media workers: more cores than that share the work of no pod.
const MAX_WORKERS: usize = 64;
/// Most names of destinations: the model reads all of them with each request.
const MAX_NAMES: usize = 100;

/// All settings. The table of [`VARIABLES`] says what each means to who sets it.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the pod runs.
    pub environment: Environment,
    /// Whether debug logging was asked for; [`Self::log_filter`] has it worked in.
    pub debug: bool,

    /// Where FreeSWITCH's connections are taken. Port 0: any free one.
    pub esl: SocketAddr,
    /// What FreeSWITCH must present, if anything.
    pub esl_token: Option<Secret>,

    /// Address on which the workers' ports are bound.
    pub rtp_host: IpAddr,
    /// Address to give in answers; `None`: the local address of the call's ESL connection.
    pub rtp_address: Option<IpAddr>,
    /// First worker's port, even; worker n has `rtp_start_port + 2 n`, which stays below 65536. 0: any free ones.
    pub rtp_start_port: u16,
    /// Media workers, 1 to 64.
    pub rtp_workers: usize,
    /// Codecs that may be answered, best first, each once, never empty.
    pub codecs: Vec<CodecName>,
    /// When keys are looked for in the sound.
    pub inband_keys: InbandKeys,
    /// Longest wait for a late packet.
    pub jitter_max: Duration,

    /// How many calls, and how fast.
    pub limits: CallLimits,
    /// Longest call.
    pub session_timeout: Duration,
    /// How long calls run on after a drain began.
    pub drain_deadline: Duration,
    /// Sessions that the switch begins in a second.
    pub switch_sessions_per_second: u32,

    /// Filter directives for `tracing_subscriber::EnvFilter`, known to parse.
    pub log_filter: String,
    /// File that gets the log too.
    pub log_file: Option<PathBuf>,
    /// Whether the log is JSON.
    pub json_logs: bool,
    /// Whether callers' numbers are shown in full, in logs, status and records.
    pub log_caller_numbers: bool,

    /// Where the admin server listens; `None`: not at all. Port 0: any free one.
    pub health: Option<SocketAddr>,
    /// Bearer token of the admin server's verbs.
    pub admin_token: Option<Secret>,

    /// Which backend answers.
    pub backend: BackendKind,
    /// Speech-to-text of [`BackendKind::OpenAi`].
    pub transcription: Endpoint,
    /// The language that it is told.
    pub transcription_language: TranscriptionLanguage,
    /// The form of its answers.
    pub transcription_format: TranscriptFormat,
    /// Language model of [`BackendKind::OpenAi`].
    pub generation: Endpoint,
    /// How the language model's thoughts are told from its answer.
    pub generation_thoughts: Thoughts,
    /// Text-to-speech of [`BackendKind::OpenAi`].
    pub speech: Endpoint,
    /// The agent's voice.
    pub speech_voice: String,
    /// What text-to-speech is asked for.
    pub speech_format: SpeechFormat,
    /// Rate of [`SpeechFormat::Pcm`], in Hz: 8000, 16000, 24000 or 48000.
    pub speech_pcm_rate_hz: u32,
    /// How failed backend requests are repeated.
    pub retry_policy: RetryKind,
    /// Failures in a row that open a circuit.
    pub circuit_failures: u32,
    /// The share of failed requests that opens one too, in percent; `None`: no share does.
    pub circuit_share_percent: Option<u32>,
    /// How long a circuit stays open.
    pub circuit_open: Duration,
    /// Successes in a row that close it again.
    pub circuit_successes: u32,
    /// The mock's delay to a transcript.
    pub mock_transcribe_delay: Duration,
    /// The mock's delay to the first word.
    pub mock_generate_delay: Duration,
    /// The mock's delay to the first sound.
    pub mock_speak_delay: Duration,

    /// What the agent says first; `None`: it waits for the caller.
    pub greeting: Option<String>,
    /// Instructions for the language model; `None`: it gets none.
    pub prompt: Option<String>,
    /// Whose message they are.
    pub prompt_role: PromptRole,
    /// Language tag.
    pub language: String,
    /// What the agent says before it hangs up by itself.
    pub goodbye: Option<String>,
    /// What the agent says before a transfer that the model did not announce.
    pub transfer_phrase: Option<String>,
    /// What the agent says when this pod takes a call over.
    pub takeover_phrase: Option<String>,
    /// What the agent says when the caller's last words were lost with another pod; `None`: nothing.
    pub lost_words_phrase: Option<LostWordsPhrase>,
    /// Dialplan context in which transfers look for their destination.
    pub transfer_context: String,
    /// To what kinds of destinations the model may transfer callers.
    pub transfers: Transfers,
    /// Names of destinations, which the model is told.
    pub transfer_names: Vec<String>,
    /// What a silent caller is asked.
    pub silence_prompt: Option<String>,
    /// Silence before that; `None`: silence is let be.
    pub silence: Option<Duration>,
    /// How often a silent caller is asked.
    pub max_silence_prompts: u32,
    /// Shortest speech that counts.
    pub min_speech: Duration,
    /// What is taken for nothing said.
    pub transcript_check: TranscriptCheck,
    /// The same while the agent waits for an answer.
    pub short_answer: Duration,
    /// Silence that ends a turn.
    pub end_silence: Duration,
    /// Speech that is transcribed while it goes on, because the agent waits for its end; zero: never.
    pub speech_check: Duration,
    /// Speech over the agent that interrupts it; `None`: nothing does.
    pub barge_in: Option<Duration>,
    /// Least words that interrupt it for good.
    pub barge_in_words: u32,
    /// Further phrases, separated by commas, that do not interrupt it; `None`: all that is said does.
    pub backchannels: Option<String>,
    /// Whether the agent's echo is told from the caller.
    pub echo_guard: bool,
    /// WAV file of the apology; `None`: the bundled one.
    pub apology_file: Option<PathBuf>,

    /// Name of the pod in call records.
    pub pod_name: Option<String>,
    /// Folder for call records.
    pub record_dir: Option<PathBuf>,
    /// URL to which call records are posted.
    pub record_url: Option<String>,
    /// Bearer token for that URL.
    pub record_token: Option<Secret>,
    /// Whether records include the audio.
    pub record_audio: bool,
    /// Dialled number that is the echo test.
    pub echo_number: Option<String>,

    /// What the reader noticed that is not wrong enough to stop: unknown names, open doors. To be logged at start.
    pub warnings: Vec<String>,
}

impl Settings {
    /// Reads the process's environment and, for what that leaves open, a file `.env` in the working directory.
    ///
    /// # Errors
    /// All that is wrong, at once; the process should end with exit status 78 (`EX_CONFIG` of sysexits).
    pub fn load() -> Result<Self, SettingsErrors> {
        let mut vars = read_dotenv(Path::new(".env"))?;
        // Later ones win in the reader. Values that are not UTF-8 come out as something that no rule takes, or as text.
        vars.extend(
            std::env::vars_os()
                .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned())),
        );
        Self::from_vars(vars)
    }

    /// Reads settings from name and value pairs, of which only names beginning with `SOFIA_PHONE_` matter; of the same name
    /// twice the later one counts, and an empty value is no value. Touches no environment, only the files that values name.
    ///
    /// # Errors
    /// All that is wrong, at once.
    pub fn from_vars(vars: impl IntoIterator<Item = (String, String)>) -> Result<Self, SettingsErrors> {
        let mut reader = Reader::new(vars);
        let settings = Self::read(&mut reader);
        if reader.errors.is_empty() { Ok(settings) } else { Err(SettingsErrors(reader.errors)) }
    }

    fn read(r: &mut Reader) -> Self {
        let debug = r.switch("SOFIA_PHONE_DEBUG");
        let health_check = r.switch("SOFIA_PHONE_HEALTH_CHECK");
        let health = SocketAddr::new(r.address("SOFIA_PHONE_HEALTH_HOST"), r.port("SOFIA_PHONE_HEALTH_PORT"));
        let barge_in = r.choice("SOFIA_PHONE_BARGE_IN", &[("enabled", true), ("disabled", false)]);
        let backchannels = r.choice("SOFIA_PHONE_BACKCHANNELS", &[("ignore", true), ("interrupt", false)]);
        let backchannel_words = r.text("SOFIA_PHONE_BACKCHANNEL_WORDS").unwrap_or_default();
        let barge_in_after = r.milliseconds("SOFIA_PHONE_BARGE_IN_MS");
        let mut settings = Self {
            environment: r.choice(
                "SOFIA_PHONE_ENV",
                &[("production", Environment::Production), ("development", Environment::Development)],
            ),
            debug,
            esl: SocketAddr::new(r.address("SOFIA_PHONE_ESL_HOST"), r.port("SOFIA_PHONE_ESL_PORT")),
            esl_token: r.secret("SOFIA_PHONE_ESL_TOKEN"),
            rtp_host: r.address("SOFIA_PHONE_RTP_HOST"),
            rtp_address: r.custom("SOFIA_PHONE_RTP_ADDRESS", |text| match text {
                "auto" => Some(None),
                // The unspecified address can be bound, but nobody can send to it.
                _ => text.parse().ok().filter(|address: &IpAddr| !address.is_unspecified()).map(Some),
            }),
            rtp_start_port: r.custom("SOFIA_PHONE_RTP_START_PORT", |text| {
                text.parse().ok().filter(|port: &u16| *port == 0 || (*port >= 1024 && port.is_multiple_of(2)))
            }),
            rtp_workers: r.custom("SOFIA_PHONE_RTP_WORKERS", |text| match text {
                "auto" => Some(std::thread::available_parallelism().map_or(1, NonZeroUsize::get).min(MAX_WORKERS)),
                _ => text.parse().ok().filter(|workers| (1..=MAX_WORKERS).contains(workers)),
            }),
            codecs: r.custom("SOFIA_PHONE_CODECS", parse_codecs),
            inband_keys: r.choice(
                "SOFIA_PHONE_INBAND_DTMF",
                &[("auto", InbandKeys::Auto), ("enabled", InbandKeys::Enabled), ("disabled", InbandKeys::Disabled)],
            ),
            jitter_max: r.milliseconds("SOFIA_PHONE_JITTER_MAX_MS"),
            limits: read_limits(r),
            session_timeout: read_session_timeout(r),
            drain_deadline: r.seconds("SOFIA_PHONE_DRAIN_DEADLINE_SECONDS"),
            switch_sessions_per_second: r.count("SOFIA_PHONE_SWITCH_SESSIONS_PER_SECOND"),
            log_filter: read_log_filter(r, debug),
            log_file: r.path("SOFIA_PHONE_LOG_FILE"),
            json_logs: r.switch("SOFIA_PHONE_JSON_LOGS"),
            log_caller_numbers: r.switch("SOFIA_PHONE_LOG_CALLER_NUMBERS"),
            health: health_check.then_some(health),
            admin_token: r.secret("SOFIA_PHONE_ADMIN_TOKEN"),
            backend: r.choice("SOFIA_PHONE_BACKEND", &[("mock", BackendKind::Mock), ("openai", BackendKind::OpenAi)]),
            transcription: read_endpoint(r, "TRANSCRIPTION"),
            transcription_language: r.custom("SOFIA_PHONE_TRANSCRIPTION_LANGUAGE", parse_transcription_language),
            transcription_format: r.choice(
                "SOFIA_PHONE_TRANSCRIPTION_FORMAT",
                &[
                    ("auto", TranscriptFormat::Auto),
                    ("json", TranscriptFormat::Json),
                    ("verbose_json", TranscriptFormat::VerboseJson),
                ],
            ),
            generation: read_endpoint(r, "GENERATION"),
            generation_thoughts: r.choice(
                "SOFIA_PHONE_GENERATION_THOUGHTS",
                &[("auto", Thoughts::Auto), ("first", Thoughts::First), ("marked", Thoughts::Marked)],
            ),
            speech: read_endpoint(r, "SPEECH"),
            speech_voice: r.text("SOFIA_PHONE_SPEECH_VOICE").unwrap_or_default(),
            speech_format: r
                .choice("SOFIA_PHONE_SPEECH_FORMAT", &[("wav", SpeechFormat::Wav), ("pcm", SpeechFormat::Pcm)]),
            speech_pcm_rate_hz: r.choice(
                "SOFIA_PHONE_SPEECH_PCM_RATE",
                &[("8000", 8000), ("16000", 16_000), ("24000", 24_000), ("48000", 48_000)],
            ),
            retry_policy: r.choice(
                "SOFIA_PHONE_RETRY_POLICY",
                &[
                    ("default", RetryKind::Default),
                    ("aggressive", RetryKind::Aggressive),
                    ("conservative", RetryKind::Conservative),
                ],
            ),
            circuit_failures: r.count("SOFIA_PHONE_CIRCUIT_FAILURES"),
            circuit_share_percent: Some(r.count("SOFIA_PHONE_CIRCUIT_SHARE_PERCENT")).filter(|share| *share > 0),
            circuit_open: r.seconds("SOFIA_PHONE_CIRCUIT_OPEN_SECONDS"),
            circuit_successes: r.count("SOFIA_PHONE_CIRCUIT_SUCCESSES"),
            mock_transcribe_delay: r.milliseconds("SOFIA_PHONE_MOCK_TRANSCRIBE_DELAY_MS"),
            mock_generate_delay: r.milliseconds("SOFIA_PHONE_MOCK_GENERATE_DELAY_MS"),
            mock_speak_delay: r.milliseconds("SOFIA_PHONE_MOCK_SPEAK_DELAY_MS"),
            greeting: r.text_or_none("SOFIA_PHONE_GREETING"),
            prompt: r.text_or_none("SOFIA_PHONE_PROMPT"),
            prompt_role: r.choice(
                "SOFIA_PHONE_PROMPT_ROLE",
                &[
                    ("auto", PromptRole::Auto),
                    ("system", PromptRole::System),
                    ("developer", PromptRole::Developer),
                    ("user", PromptRole::User),
                ],
            ),
            language: r.custom("SOFIA_PHONE_LANGUAGE", parse_language),
            goodbye: r.text_or_none("SOFIA_PHONE_GOODBYE"),
            transfer_phrase: r.text_or_none("SOFIA_PHONE_TRANSFER_PHRASE"),
            takeover_phrase: r.text_or_none("SOFIA_PHONE_TAKEOVER_PHRASE"),
            lost_words_phrase: r.text_or_none("SOFIA_PHONE_LOST_WORDS_PHRASE").map(|text| {
                if text.eq_ignore_ascii_case("auto") { LostWordsPhrase::Auto } else { LostWordsPhrase::Text(text) }
            }),
            transfer_context: r.custom("SOFIA_PHONE_TRANSFER_CONTEXT", parse_context),
            transfer_names: r.custom("SOFIA_PHONE_TRANSFER_NAMES", parse_names),
            transfers: r.choice(
                "SOFIA_PHONE_TRANSFER_DESTINATIONS",
                &[
                    ("none", Transfers::Nobody),
                    ("numbers", Transfers::Numbers),
                    ("names", Transfers::Names),
                    ("addresses", Transfers::Addresses),
                ],
            ),
            silence_prompt: r.text_or_none("SOFIA_PHONE_SILENCE_PROMPT"),
            silence: Some(r.seconds("SOFIA_PHONE_SILENCE_SECONDS")).filter(|silence| !silence.is_zero()),
            max_silence_prompts: r.count("SOFIA_PHONE_MAX_SILENCE_PROMPTS"),
            min_speech: r.milliseconds("SOFIA_PHONE_MIN_SPEECH_MS"),
            transcript_check: r.choice(
                "SOFIA_PHONE_TRANSCRIPT_CHECK",
                &[("full", TranscriptCheck::Full), ("marks", TranscriptCheck::Marks), ("none", TranscriptCheck::None)],
            ),
            short_answer: r.milliseconds("SOFIA_PHONE_SHORT_ANSWER_MS"),
            end_silence: r.milliseconds("SOFIA_PHONE_END_SILENCE_MS"),
            speech_check: r.milliseconds("SOFIA_PHONE_SPEECH_CHECK_MS"),
            barge_in: barge_in.then_some(barge_in_after),
            barge_in_words: r.count("SOFIA_PHONE_BARGE_IN_WORDS"),
            backchannels: backchannels.then_some(backchannel_words),
            echo_guard: r.choice("SOFIA_PHONE_ECHO_GUARD", &[("enabled", true), ("disabled", false)]),
            apology_file: r.readable_file("SOFIA_PHONE_APOLOGY_FILE"),
            pod_name: r.text("SOFIA_PHONE_POD_NAME"),
            record_dir: r.path("SOFIA_PHONE_RECORD_DIR"),
            record_url: r.url("SOFIA_PHONE_RECORD_URL"),
            record_token: r.secret("SOFIA_PHONE_RECORD_TOKEN"),
            record_audio: r.switch("SOFIA_PHONE_RECORD_AUDIO"),
            echo_number: r.custom("SOFIA_PHONE_ECHO_NUMBER", parse_echo_number),
            warnings: Vec::new(),
        };
        settings.check_together(r);
        r.warn_of_unknown_names();
        settings.warnings = std::mem::take(&mut r.warnings);
        settings
    }

    /// What single variables can't tell.
    fn check_together(&self, r: &mut Reader) {
        if let Some(health) = self.health
            && health.port() == self.esl.port()
            && health.port() != 0
            && (health.ip() == self.esl.ip() || health.ip().is_unspecified() || self.esl.ip().is_unspecified())
        {
            let port = health.port().to_string();
            r.wrong("SOFIA_PHONE_HEALTH_PORT", Some(&port), "another port than SOFIA_PHONE_ESL_PORT");
        }
        let last_port = usize::from(self.rtp_start_port) + 2 * (self.rtp_workers - 1);
        if last_port > usize::from(u16::MAX) {
            let port = self.rtp_start_port.to_string();
            let expected = format!("room for {} workers' ports, two each, up to 65535", self.rtp_workers);
            r.wrong("SOFIA_PHONE_RTP_START_PORT", Some(&port), expected);
        }
        if let Some(dir) = self.record_dir.as_ref().filter(|dir| dir.exists() && !dir.is_dir()) {
            r.wrong("SOFIA_PHONE_RECORD_DIR", Some(&dir.to_string_lossy()), "a folder, not a file");
        }
        if let Some(file) = self.log_file.as_ref().filter(|file| file.is_dir()) {
            r.wrong("SOFIA_PHONE_LOG_FILE", Some(&file.to_string_lossy()), "a file, not a folder");
        }
        self.check_backend(r);
        let calls = self.limits.max_sessions as u64;
        if 2 * calls > u64::from(self.switch_sessions_per_second) {
            r.warnings.push(format!(
                "SOFIA_PHONE_MAX_SESSIONS is {calls}: if this pod is lost FreeSWITCH needs {} sessions at once, and begins {} a second \
                 (SOFIA_PHONE_SWITCH_SESSIONS_PER_SECOND). Callers wait for seconds, some may be cut; raise its sessions-per-second, or have \
                 more and smaller pods",
                2 * calls,
                self.switch_sessions_per_second,
            ));
        }
        if self.environment == Environment::Production {
            if self.esl_token.is_none() {
                let warning = "SOFIA_PHONE_ESL_TOKEN is not set: whoever reaches the ESL port may bring calls";
                r.warnings.push(warning.to_owned());
            }
            if self.health.is_some() && self.admin_token.is_none() {
                let warning = "SOFIA_PHONE_ADMIN_TOKEN is not set: POST /drain and DELETE /sessions/{id} are refused";
                r.warnings.push(warning.to_owned());
            }
        }
    }

    fn check_backend(&self, r: &mut Reader) {
        let endpoints =
            [("TRANSCRIPTION", &self.transcription), ("GENERATION", &self.generation), ("SPEECH", &self.speech)];
        for (stage, endpoint) in endpoints {
            let name = format!("{PREFIX}{stage}_URL");
            match self.backend {
                // A URL that was given and is wrong has been named already.
                BackendKind::OpenAi if endpoint.url.is_none() && !r.is_set(&name) => {
                    r.wrong(&name, None, "a URL, because SOFIA_PHONE_BACKEND is openai");
                }
                BackendKind::Mock if endpoint.url.is_some() => {
                    r.warnings.push(format!("{name} is not used: SOFIA_PHONE_BACKEND is mock"));
                }
                BackendKind::OpenAi | BackendKind::Mock => {}
            }
        }
    }
}

fn read_endpoint(r: &mut Reader, stage: &str) -> Endpoint {
    Endpoint {
        url: r.url(&format!("{PREFIX}{stage}_URL")),
        model: r.text(&format!("{PREFIX}{stage}_MODEL")).unwrap_or_default(),
        api_key: r.secret(&format!("{PREFIX}{stage}_API_KEY")),
        extra: r.json_object(&format!("{PREFIX}{stage}_EXTRA")),
        timeout: r.seconds(&format!("{PREFIX}{stage}_TIMEOUT_SECONDS")),
    }
}

/// In seconds, or in minutes where only those are set.
fn read_session_timeout(r: &mut Reader) -> Duration {
    let seconds = r.seconds("SOFIA_PHONE_SESSION_TIMEOUT_SECONDS");
    let minutes = Duration::from_mins(r.integer("SOFIA_PHONE_SESSION_TIMEOUT"));
    let in_minutes = r.is_set("SOFIA_PHONE_SESSION_TIMEOUT") && !r.is_set("SOFIA_PHONE_SESSION_TIMEOUT_SECONDS");
    if in_minutes { minutes } else { seconds }
}

fn read_limits(r: &mut Reader) -> CallLimits {
    const LOW_WATER: &str = "SOFIA_PHONE_READY_LOW_WATER";
    let max_sessions = r.count("SOFIA_PHONE_MAX_SESSIONS") as usize;
    let ready_low_water = r.custom(LOW_WATER, |text| match text.strip_suffix('%') {
        // Even at 100 % one permit must come free: at the capacity itself the pod would never have been not ready.
        Some(percent) => {
            let percent: usize = percent.trim().parse().ok().filter(|percent| *percent <= 100)?;
            Some((max_sessions * percent / 100).min(max_sessions - 1))
        }
        None => text.parse().ok().filter(|count| *count < max_sessions),
    });
    CallLimits {
        max_sessions,
        ready_low_water,
        max_sessions_per_caller: NonZeroUsize::new(r.count("SOFIA_PHONE_MAX_SESSIONS_PER_CALLER") as usize),
        setup_rate_per_second: NonZeroU32::new(r.count("SOFIA_PHONE_SETUP_RATE_PER_SECOND")),
        max_lateness: Some(r.milliseconds("SOFIA_PHONE_MAX_LATENESS_MS")).filter(|limit| !limit.is_zero()),
        max_missed_percent: r.count("SOFIA_PHONE_MAX_MISSED_PERCENT"),
        max_load_percent: NonZeroU32::new(r.count("SOFIA_PHONE_MAX_LOAD_PERCENT")),
    }
}

/// The log's target for what was said.
const TRANSCRIPT: &str = crate::call::TRANSCRIPT;
/// The libraries beneath say much at debug that tells nothing about calls.
const DEBUG_FILTER: &str = "debug,h2=info,hyper=info,hyper_util=info,reqwest=info,rustls=info";

fn read_log_filter(r: &mut Reader, debug: bool) -> String {
    let filter = r.custom("SOFIA_PHONE_LOG_LEVEL", |text| {
        let bounded = text.len() <= 1000;
        (bounded && tracing_subscriber::EnvFilter::try_new(text).is_ok() && all_levels_are_words(text))
            .then(|| text.to_owned())
    });
    let filter = if debug { DEBUG_FILTER.to_owned() } else { filter };
    // What callers say is logged when it is asked for by name, not whenever somebody looks closer.
    if filter.contains(TRANSCRIPT) { filter } else { format!("{filter},{TRANSCRIPT}=off") }
}

/// The filter's own grammar takes any lone word for a module's name, so `inof` would silently log that module at all
/// levels and everything else not at all.
fn all_levels_are_words(directives: &str) -> bool {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    directives.split(',').map(str::trim).all(|directive| {
        directive.contains(['=', ':', '[']) || LEVELS.iter().any(|level| level.eq_ignore_ascii_case(directive))
    })
}

fn parse_codecs(text: &str) -> Option<Vec<CodecName>> {
    let mut codecs = Vec::new();
    for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        let (_, codec) = CodecName::ALL.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(word))?;
        if codecs.contains(&codec) {
            return None;
        }
        codecs.push(codec);
    }
    (!codecs.is_empty()).then_some(codecs)
}

fn parse_language(text: &str) -> Option<String> {
    let subtags_fit = text
        .split('-')
        .all(|subtag| (1..=8).contains(&subtag.len()) && subtag.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    let primary_is_word = text
        .split('-')
        .next()
        .is_some_and(|primary| primary.len() >= 2 && primary.bytes().all(|byte| byte.is_ascii_alphabetic()));
    (text.len() <= 35 && subtags_fit && primary_is_word).then(|| text.to_owned())
}

/// A name of a language is whatever the recogniser knows it by: `no`, `zh-TW`, `norwegian`.
fn parse_transcription_language(text: &str) -> Option<TranscriptionLanguage> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_ ".contains(&byte);
    match text.to_ascii_lowercase().as_str() {
        "conversation" => Some(TranscriptionLanguage::Conversation),
        "auto" => Some(TranscriptionLanguage::Open),
        _ => ((2..=35).contains(&text.len()) && text.bytes().all(plain))
            .then(|| TranscriptionLanguage::Named(text.to_owned())),
    }
}

/// A word that can stand in an ESL command line.
fn parse_context(text: &str) -> Option<String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    ((1..=64).contains(&text.len()) && text.bytes().all(plain)).then(|| text.to_owned())
}

/// Names that can be destinations, in their order.
fn parse_names(text: &str) -> Option<Vec<String>> {
    if text.eq_ignore_ascii_case("none") {
        return Some(Vec::new());
    }
    let name = |text: &str| (DestinationKind::of(text)? == DestinationKind::Name).then(|| text.to_owned());
    let names = text.split(',').map(str::trim).filter(|text| !text.is_empty());
    names.map(name).collect::<Option<Vec<_>>>().filter(|names| names.len() <= MAX_NAMES)
}

fn parse_echo_number(text: &str) -> Option<Option<String>> {
    if text.eq_ignore_ascii_case("none") {
        return Some(None);
    }
    let dialable = |byte: u8| byte.is_ascii_alphanumeric() || b"+*#".contains(&byte);
    (text.len() <= 32 && text.bytes().all(dialable)).then(|| Some(text.to_owned()))
}

/// The variables of a `.env` file; none when there is no such file.
fn read_dotenv(path: &Path) -> Result<Vec<(String, String)>, SettingsErrors> {
    let unreadable = |error: dotenvy::Error| {
        let expected = format!("NAME=value lines ({})", describe(&error));
        SettingsErrors(vec![SettingsError::new(&path.to_string_lossy(), None, expected)])
    };
    match dotenvy::from_path_iter(path) {
        Ok(pairs) => pairs.collect::<Result<_, _>>().map_err(unreadable),
        Err(error) if error.not_found() => Ok(Vec::new()),
        Err(error) => Err(unreadable(error)),
    }
}

/// What is wrong with a `.env` file, without the line itself, which may hold a secret.
fn describe(error: &dotenvy::Error) -> String {
    match error {
        dotenvy::Error::LineParse(_, position) => format!("a line does not parse at character {position}"),
        dotenvy::Error::Io(error) => error.to_string(),
        _ => "it can't be read".to_owned(),
    }
}
