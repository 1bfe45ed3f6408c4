//! The table of every environment variable: names, defaults, allowed values, meaning. The reader takes defaults and ranges
//! from here and the documentation is rendered from here; nothing about a variable is written down a second time.

use std::fmt;

/// One environment variable that the pod reads.
#[derive(Debug, Clone, Copy)]
pub struct Variable {
    /// The whole name, `SOFIA_PHONE_` included.
    pub name: &'static str,
    /// What an unset (or empty) variable stands for, in the variable's own notation; empty when unset means "none".
    pub default: &'static str,
    /// Which values are taken.
    pub values: Values,
    /// What the variable does, one sentence or two.
    pub meaning: &'static str,
    /// Whether the value must never be shown.
    pub secret: bool,
}

/// The values that a variable takes; `Display` is the wording of documentation and error messages.
#[derive(Debug, Clone, Copy)]
pub enum Values {
    /// A whole number within the bounds, both included.
    Integer {
        /// The least value taken.
        min: u64,
        /// The greatest value taken.
        max: u64,
    },
    /// `true` or `false` (also `1`/`0`, `yes`/`no`, `on`/`off`).
    Switch,
    /// One word of the list, in any case.
    OneOf(&'static [&'static str]),
    /// An IP address, version 4 or 6.
    Address,
    /// An `http` or `https` URL without credentials.
    Url,
    /// Free text of at most so many bytes.
    Text {
        /// The most bytes taken.
        max_bytes: usize,
    },
    /// The path of a readable file.
    File,
    /// A path that need not exist yet.
    Path,
    /// Anything else; the words say what.
    Described(&'static str),
}

impl fmt::Display for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer { min, max } => write!(f, "{min} to {max}"),
            Self::Switch => f.write_str("true or false"),
            Self::OneOf(words) => {
                for (index, word) in words.iter().enumerate() {
                    let joint = match index {
                        0 => "",
                        last if last + 1 == words.len() => " or ",
                        _ => ", ",
                    };
                    write!(f, "{joint}{word}")?;
                }
                Ok(())
            }
            Self::Address => f.write_str("an IP address"),
            Self::Url => f.write_str("an http:// or https:// URL without user name and password"),
            Self::Text { max_bytes } => write!(f, "text of at most {max_bytes} bytes"),
            Self::File => f.write_str("the path of a readable file"),
            Self::Path => f.write_str("a path"),
            Self::Described(words) => f.write_str(words),
        }
    }
}

const fn variable(name: &'static str, default: &'static str, values: Values, meaning: &'static str) -> Variable {
    Variable { name, default, values, meaning, secret: false }
}

const fn secret(name: &'static str, meaning: &'static str) -> Variable {
    Variable { name, default: "", values: Values::Described("one line of text"), meaning, secret: true }
}

const fn secret_file(name: &'static str, meaning: &'static str) -> Variable {
    Variable { name, default: "", values: Values::File, meaning, secret: false }
}

const fn integer(min: u64, max: u64) -> Values {
    Values::Integer { min, max }
}

const EXTRA: Values = Values::Described("a JSON object of at most 4000 bytes");
const SENTENCE: Values = Values::Text { max_bytes: 1000 };
const MODEL: Values = Values::Text { max_bytes: 200 };

/// Every variable that [`super::Settings`] reads, in the order of the documentation.
pub const VARIABLES: &[Variable] = &[
    variable(
        "SOFIA_PHONE_ENV",
        "production",
        Values::OneOf(&["production", "development"]),
        "Where the pod runs. `production` warns at start of what is left open.",
    ),
    variable("SOFIA_PHONE_DEBUG", "false", Values::Switch, "Debug logging, whatever `SOFIA_PHONE_LOG_LEVEL` says."),
    variable(
        "SOFIA_PHONE_ESL_HOST",
        "0.0.0.0",
        Values::Address,
        "Address on which FreeSWITCH's connections are taken.",
    ),
    variable(
        "SOFIA_PHONE_ESL_PORT",
        "8084",
        integer(0, 65535),
        "TCP port on which FreeSWITCH's connections are taken. 0: any free one.",
    ),
    secret(
        "SOFIA_PHONE_ESL_TOKEN",
        "What FreeSWITCH must present with each call. Unset: whoever reaches the port may bring calls.",
    ),
    secret_file("SOFIA_PHONE_ESL_TOKEN_FILE", "File with the token, instead of `SOFIA_PHONE_ESL_TOKEN`."),
    variable(
        "SOFIA_PHONE_RTP_HOST",
        "0.0.0.0",
        Values::Address,
        "Address on which the media workers' UDP ports are bound.",
    ),
    variable(
        "SOFIA_PHONE_RTP_ADDRESS",
        "auto",
        Values::Described("an IP address, or auto"),
        "Address given to FreeSWITCH for the media. `auto`: the local address of the call's ESL connection.",
    ),
    variable(
        "SOFIA_PHONE_RTP_START_PORT",
        "16384",
        Values::Described("an even port from 1024 to 65534, or 0"),
        "UDP port of the first media worker; worker n has this port + 2 n. 0: any free ones.",
    ),
    variable(
        "SOFIA_PHONE_RTP_WORKERS",
        "auto",
        Values::Described("1 to 64, or auto"),
        "Media workers, each a thread with one UDP port. `auto`: one for each core the pod may use.",
    ),
    variable("SOFIA_PHONE_MAX_SESSIONS", "100", integer(1, 10_000), "Calls that the pod takes at a time."),
    variable(
        "SOFIA_PHONE_READY_LOW_WATER",
        "90%",
        Values::Described("0% to 100%, or a count below SOFIA_PHONE_MAX_SESSIONS"),
        "A pod that was full is ready again when it has this many calls or fewer.",
    ),
    variable(
        "SOFIA_PHONE_MAX_SESSIONS_PER_CALLER",
        "0",
        integer(0, 10_000),
        "Calls that one caller's number may have on this pod at a time. 0: no limit. Withheld numbers are not limited, nor calls that come \
         from another pod.",
    ),
    variable("SOFIA_PHONE_SETUP_RATE_PER_SECOND", "0", integer(0, 10_000), "New calls taken a second. 0: no limit."),
    variable(
        "SOFIA_PHONE_MAX_LATENESS_MS",
        "40",
        integer(0, 200),
        "What jitter buffers behind the pod hold: a packet that leaves later than this is missed by the caller. 0: neither missed packets \
         nor load refuse anybody.",
    ),
    variable(
        "SOFIA_PHONE_MAX_MISSED_PERCENT",
        "1",
        integer(1, 50),
        "While callers miss more of the packets than this, over five seconds and again and again, no new call is taken; calls in progress \
         are not touched.",
    ),
    variable(
        "SOFIA_PHONE_MAX_LOAD_PERCENT",
        "90",
        integer(0, 100),
        "Most that calls may take of the pod's cores, and of a media worker's time: no new call is taken that would need more. 0: nothing is \
         foretold.",
    ),
    variable("SOFIA_PHONE_SESSION_TIMEOUT_SECONDS", "1800", integer(1, 86_400), "Longest call, in seconds."),
    variable(
        "SOFIA_PHONE_SESSION_TIMEOUT",
        "30",
        integer(1, 1440),
        "The same in minutes, the older form: counts only where SOFIA_PHONE_SESSION_TIMEOUT_SECONDS is not set.",
    ),
    variable(
        "SOFIA_PHONE_DRAIN_DEADLINE_SECONDS",
        "600",
        integer(0, 86_400),
        "How long calls run on after a drain began; then they are handed over to other pods.",
    ),
    variable(
        "SOFIA_PHONE_SWITCH_SESSIONS_PER_SECOND",
        "1000",
        integer(30, 100_000),
        "Sessions that FreeSWITCH begins in a second (its `sessions-per-second`). A call that goes to another pod takes two: a pod that \
         hands its calls over takes half of them, and warns at start if its calls would need more than there are.",
    ),
    variable(
        "SOFIA_PHONE_LOG_LEVEL",
        "info",
        Values::Described(
            "a level (error, warn, info, debug, trace) or filter directives such as info,sofia_dataplane::esl=debug",
        ),
        "What is logged.",
    ),
    variable(
        "SOFIA_PHONE_LOG_FILE",
        "",
        Values::Path,
        "File that gets the log too; turned over at 100 MB or daily, kept for a week.",
    ),
    variable("SOFIA_PHONE_JSON_LOGS", "false", Values::Switch, "Log one JSON object a line."),
    variable(
        "SOFIA_PHONE_LOG_CALLER_NUMBERS",
        "false",
        Values::Switch,
        "Show callers' numbers in full in logs, status and records; masked otherwise.",
    ),
    variable(
        "SOFIA_PHONE_HEALTH_CHECK",
        "true",
        Values::Switch,
        "Serve health, readiness, metrics and status over HTTP.",
    ),
    variable("SOFIA_PHONE_HEALTH_HOST", "0.0.0.0", Values::Address, "Address of that HTTP server."),
    variable("SOFIA_PHONE_HEALTH_PORT", "8080", integer(0, 65535), "TCP port of that HTTP server. 0: any free one."),
    secret(
        "SOFIA_PHONE_ADMIN_TOKEN",
        "Bearer token for `POST /drain` and `DELETE /sessions/{id}`. Unset: both are refused.",
    ),
    secret_file("SOFIA_PHONE_ADMIN_TOKEN_FILE", "File with the token, instead of `SOFIA_PHONE_ADMIN_TOKEN`."),
    variable(
        "SOFIA_PHONE_BACKEND",
        "mock",
        Values::OneOf(&["mock", "openai"]),
        "Speech backend. `mock` is built in; `openai` is any server with the OpenAI-compatible routes.",
    ),
    variable(
        "SOFIA_PHONE_TRANSCRIPTION_URL",
        "",
        Values::Url,
        "Base URL of speech-to-text, such as `http://whisper:8000/v1`.",
    ),
    variable("SOFIA_PHONE_TRANSCRIPTION_MODEL", "whisper-1", MODEL, "Model of speech-to-text."),
    secret("SOFIA_PHONE_TRANSCRIPTION_API_KEY", "API key of speech-to-text."),
    secret_file(
        "SOFIA_PHONE_TRANSCRIPTION_API_KEY_FILE",
        "File with the key, instead of `SOFIA_PHONE_TRANSCRIPTION_API_KEY`.",
    ),
    variable(
        "SOFIA_PHONE_TRANSCRIPTION_EXTRA",
        "",
        EXTRA,
        "Further fields of transcription requests, such as `{\"temperature\":0}`.",
    ),
    variable("SOFIA_PHONE_TRANSCRIPTION_TIMEOUT_SECONDS", "10", integer(1, 600), "Longest wait for a transcript."),
    variable(
        "SOFIA_PHONE_TRANSCRIPTION_LANGUAGE",
        "conversation",
        Values::Described("conversation, auto, or a name of at most 35 letters, digits, - and _"),
        "Language that speech-to-text is told. `conversation`: that of `SOFIA_PHONE_LANGUAGE`, under the name that recognisers have for \
         it (`nb` is `no`, `pt-BR` is `pt`). `auto`: none, for callers of several languages. Anything else is sent as it is.",
    ),
    variable(
        "SOFIA_PHONE_TRANSCRIPTION_FORMAT",
        "auto",
        Values::OneOf(&["auto", "json", "verbose_json"]),
        "Form of transcripts to ask for. `verbose_json` tells how likely it is that nothing was said; `auto`: that one, or `json` of a \
         server that refuses it.",
    ),
    variable(
        "SOFIA_PHONE_GENERATION_URL",
        "",
        Values::Url,
        "Base URL of the language model, such as `http://ollama:11434/v1`.",
    ),
    variable("SOFIA_PHONE_GENERATION_MODEL", "gpt-4o-mini", MODEL, "Language model."),
    secret("SOFIA_PHONE_GENERATION_API_KEY", "API key of the language model."),
    secret_file(
        "SOFIA_PHONE_GENERATION_API_KEY_FILE",
        "File with the key, instead of `SOFIA_PHONE_GENERATION_API_KEY`.",
    ),
    variable(
        "SOFIA_PHONE_GENERATION_EXTRA",
        "",
        EXTRA,
        "Further fields of requests to the language model, such as `{\"temperature\":0.3}`.",
    ),
    variable(
        "SOFIA_PHONE_GENERATION_THOUGHTS",
        "auto",
        Values::OneOf(&["auto", "first", "marked"]),
        "How a reasoning model's thoughts, which are never spoken, are told from its answer where the server leaves them in. What stands \
         between marks such as `<think>` and `</think>` is always one. `first`: every reply begins with one, marked or not (the prompt's \
         template opens it), and nothing is spoken before its end. `marked`: only what is marked is one, and replies are spoken at once. \
         `auto`: found out from the server's replies; the first may begin up to 0.7 s later for it.",
    ),
    variable("SOFIA_PHONE_GENERATION_TIMEOUT_SECONDS", "30", integer(1, 600), "Longest wait for the language model."),
    variable("SOFIA_PHONE_SPEECH_URL", "", Values::Url, "Base URL of text-to-speech, such as `http://kokoro:8880/v1`."),
    variable("SOFIA_PHONE_SPEECH_MODEL", "tts-1", MODEL, "Model of text-to-speech."),
    secret("SOFIA_PHONE_SPEECH_API_KEY", "API key of text-to-speech."),
    secret_file("SOFIA_PHONE_SPEECH_API_KEY_FILE", "File with the key, instead of `SOFIA_PHONE_SPEECH_API_KEY`."),
    variable("SOFIA_PHONE_SPEECH_EXTRA", "", EXTRA, "Further fields of speech requests, such as `{\"speed\":1.1}`."),
    variable("SOFIA_PHONE_SPEECH_TIMEOUT_SECONDS", "10", integer(1, 600), "Longest wait for speech."),
    variable("SOFIA_PHONE_SPEECH_VOICE", "alloy", MODEL, "Voice of the agent."),
    variable(
        "SOFIA_PHONE_SPEECH_FORMAT",
        "wav",
        Values::OneOf(&["wav", "pcm"]),
        "What text-to-speech is asked for. `pcm` has no header: `SOFIA_PHONE_SPEECH_PCM_RATE` says its rate.",
    ),
    variable(
        "SOFIA_PHONE_SPEECH_PCM_RATE",
        "24000",
        Values::OneOf(&["8000", "16000", "24000", "48000"]),
        "Sample rate of `pcm` speech, in Hz.",
    ),
    variable(
        "SOFIA_PHONE_RETRY_POLICY",
        "default",
        Values::OneOf(&["default", "aggressive", "conservative"]),
        "How failed backend requests are repeated.",
    ),
    variable(
        "SOFIA_PHONE_CIRCUIT_FAILURES",
        "3",
        integer(1, 1000),
        "Failures in a row, with nobody answered since the first of them was asked, after which a backend is left alone.",
    ),
    variable(
        "SOFIA_PHONE_CIRCUIT_SHARE_PERCENT",
        "50",
        integer(0, 100),
        "Share of the last 20 requests that failed after which it is left alone too, once there were 10 within a minute. 0: no share does.",
    ),
    variable("SOFIA_PHONE_CIRCUIT_OPEN_SECONDS", "30", integer(1, 3600), "How long it is left alone."),
    variable("SOFIA_PHONE_CIRCUIT_SUCCESSES", "2", integer(1, 1000), "Successes in a row that bring it back."),
    variable(
        "SOFIA_PHONE_MOCK_TRANSCRIBE_DELAY_MS",
        "120",
        integer(0, 60_000),
        "How long the mock takes to transcribe.",
    ),
    variable(
        "SOFIA_PHONE_MOCK_GENERATE_DELAY_MS",
        "250",
        integer(0, 60_000),
        "How long the mock takes to the first word.",
    ),
    variable(
        "SOFIA_PHONE_MOCK_SPEAK_DELAY_MS",
        "80",
        integer(0, 60_000),
        "How long the mock takes to the first sound.",
    ),
    variable(
        "SOFIA_PHONE_GREETING",
        "Hello, how can I help you?",
        SENTENCE,
        "What the agent says first. `none`: it waits for the caller.",
    ),
    variable(
        "SOFIA_PHONE_PROMPT",
        "You are a friendly assistant on the telephone. What you write is read out to the caller, so answer in one to three \
         short, plain sentences, without lists, links or formatting. If you did not understand, ask. Text such as [DTMF: 123#] \
         stands for keys that the caller pressed. A sentence of yours that ends in … was interrupted there.",
        Values::Text { max_bytes: 16_384 },
        "Instructions for the language model. `none`: it gets none.",
    ),
    variable(
        "SOFIA_PHONE_PROMPT_ROLE",
        "auto",
        Values::OneOf(&["auto", "system", "developer", "user"]),
        "Whose message the instructions are. `user`: they stand before the caller's first words. `auto`: the system's, or the user's where the \
         server refuses that.",
    ),
    variable(
        "SOFIA_PHONE_LANGUAGE",
        "en",
        Values::Described("a language tag such as en or pt-BR"),
        "Language of the conversation.",
    ),
    variable(
        "SOFIA_PHONE_GOODBYE",
        "Thank you for calling. Goodbye.",
        SENTENCE,
        "What the agent says before it hangs up by itself. `none`: nothing.",
    ),
    variable(
        "SOFIA_PHONE_TRANSFER_PHRASE",
        "One moment please, I am connecting you.",
        SENTENCE,
        "What the agent says before a transfer that the model did not announce. `none`: nothing.",
    ),
    variable(
        "SOFIA_PHONE_TAKEOVER_PHRASE",
        "none",
        SENTENCE,
        "What the agent says when this pod takes over a call that another one lost. `none`: it just goes on.",
    ),
    variable(
        "SOFIA_PHONE_LOST_WORDS_PHRASE",
        "auto",
        SENTENCE,
        "What the agent says, instead of that, to a caller whose last words were lost with another pod. `auto`: in the language of the \
         conversation that they were missed; where that language is not known to the agent, the silence prompt. `none`: nothing.",
    ),
    variable(
        "SOFIA_PHONE_TRANSFER_CONTEXT",
        "default",
        Values::Described("1 to 64 of the characters a-z A-Z 0-9 . _ -"),
        "Context of FreeSWITCH's dialplan in which transfers look for their destination.",
    ),
    variable(
        "SOFIA_PHONE_TRANSFER_DESTINATIONS",
        "addresses",
        Values::OneOf(&["none", "numbers", "names", "addresses"]),
        "What that context has rules for, each with those before it: telephone numbers and extensions, names, SIP addresses. The model is offered \
         no other. `none`: it can't transfer.",
    ),
    variable(
        "SOFIA_PHONE_TRANSFER_NAMES",
        "none",
        Values::Described(
            "names of 1 to 64 of the characters a-z A-Z 0-9 . _ + -, not digits alone, at most 100, separated by commas, or none",
        ),
        "Names that the context has rules for: the model is told them. `none`: it knows those that stand in the prompt.",
    ),
    variable(
        "SOFIA_PHONE_SILENCE_PROMPT",
        "Are you still there?",
        SENTENCE,
        "What the agent says to a silent caller. `none`: nothing, and nobody is hung up on for silence.",
    ),
    variable("SOFIA_PHONE_SILENCE_SECONDS", "10", integer(0, 600), "Silence before that. 0: silence is let be."),
    variable(
        "SOFIA_PHONE_MAX_SILENCE_PROMPTS",
        "3",
        integer(0, 100),
        "How often a silent caller is asked before the agent hangs up.",
    ),
    variable(
        "SOFIA_PHONE_MIN_SPEECH_MS",
        "500",
        integer(50, 5000),
        "Shortest speech that counts as the caller's turn.",
    ),
    variable(
        "SOFIA_PHONE_TRANSCRIPT_CHECK",
        "full",
        Values::OneOf(&["full", "marks", "none"]),
        "Which transcripts say that nothing was said, besides empty ones. `marks`: remarks of the recogniser, such as `[BLANK_AUDIO]` or \
         `(coughing)`. `full`: also words for which there was no voice, such as `Thank you for watching` over noise.",
    ),
    variable(
        "SOFIA_PHONE_SHORT_ANSWER_MS",
        "300",
        integer(50, 5000),
        "The same while the agent waits for an answer, which may be as short as `no`. As much as \
         `SOFIA_PHONE_MIN_SPEECH_MS` or more: no difference is made.",
    ),
    variable("SOFIA_PHONE_END_SILENCE_MS", "800", integer(100, 5000), "Silence that ends the caller's turn."),
    variable(
        "SOFIA_PHONE_SPEECH_CHECK_MS",
        "2500",
        integer(0, 60_000),
        "Speech that goes on for so long while an answer is ready, or the agent is paused for it, is transcribed as far as it \
         has come; without a word in it, the agent speaks. 0: its end is waited for.",
    ),
    variable(
        "SOFIA_PHONE_BARGE_IN",
        "enabled",
        Values::OneOf(&["enabled", "disabled"]),
        "Whether the caller may interrupt the agent.",
    ),
    variable("SOFIA_PHONE_BARGE_IN_MS", "100", integer(20, 2000), "Speech over the agent that interrupts it."),
    variable(
        "SOFIA_PHONE_BARGE_IN_WORDS",
        "0",
        integer(0, 20),
        "Least words that interrupt the agent for good; fewer pause it. `no`, `stop`, `wait` and their like always \
         interrupt. 0: any number does.",
    ),
    variable(
        "SOFIA_PHONE_BACKCHANNELS",
        "ignore",
        Values::OneOf(&["ignore", "interrupt"]),
        "What becomes of `mm-hmm`, `ja`, `d'accord` and their like over the agent: it goes on, or it stops and answers.",
    ),
    variable(
        "SOFIA_PHONE_BACKCHANNEL_WORDS",
        "",
        Values::Text { max_bytes: 16_384 },
        "Further words and phrases of that kind, separated by commas; with `!` before it one is taken out.",
    ),
    variable(
        "SOFIA_PHONE_ECHO_GUARD",
        "enabled",
        Values::OneOf(&["enabled", "disabled"]),
        "Whether the agent's own voice, come back from the caller's telephone, is told from the caller's by its level.",
    ),
    variable(
        "SOFIA_PHONE_APOLOGY_FILE",
        "",
        Values::File,
        "WAV file played when a backend fails. Unset: the bundled one.",
    ),
    variable(
        "SOFIA_PHONE_CODECS",
        "L16,G722,PCMU,PCMA",
        Values::Described("a list of L16, G722, PCMU and PCMA, best first, separated by commas"),
        "Codecs that may be answered, in the order of preference.",
    ),
    variable(
        "SOFIA_PHONE_INBAND_DTMF",
        "auto",
        Values::OneOf(&["auto", "enabled", "disabled"]),
        "Whether keys are heard in the sound too, for carriers that send no telephone-events. `auto`: until the call's first telephone-event. \
         Costs 0.005 % of a core a call.",
    ),
    variable("SOFIA_PHONE_JITTER_MAX_MS", "60", integer(20, 200), "Longest wait for a packet that is late."),
    variable("SOFIA_PHONE_RECORD_DIR", "", Values::Path, "Folder for call records. Unset: none is written there."),
    variable("SOFIA_PHONE_RECORD_URL", "", Values::Url, "URL to which call records are posted. Unset: none is posted."),
    secret("SOFIA_PHONE_RECORD_TOKEN", "Bearer token for `SOFIA_PHONE_RECORD_URL`."),
    secret_file("SOFIA_PHONE_RECORD_TOKEN_FILE", "File with the token, instead of `SOFIA_PHONE_RECORD_TOKEN`."),
    variable(
        "SOFIA_PHONE_POD_NAME",
        "",
        Values::Text { max_bytes: 253 },
        "Name of the pod in call records. Unset: records do not say which pod it was.",
    ),
    variable("SOFIA_PHONE_RECORD_AUDIO", "true", Values::Switch, "Whether call records include the audio."),
    variable(
        "SOFIA_PHONE_ECHO_NUMBER",
        "9999",
        Values::Described("at most 32 of the characters 0-9 A-Z a-z + * #, or none"),
        "Dialled number that is the echo test. `none`: there is no echo test.",
    ),
];

/// The row of a variable.
pub(super) fn lookup(name: &str) -> Option<&'static Variable> {
    VARIABLES.iter().find(|variable| variable.name == name)
}

/// The table as Markdown, one row a variable, for the documentation.
pub fn markdown_table() -> String {
    let mut table = String::from("| Variable | Default | Values | Meaning |\n|---|---|---|---|\n");
    for variable in VARIABLES {
        let default = if variable.default.is_empty() { String::new() } else { format!("`{}`", variable.default) };
        let values =
            if variable.secret { format!("{} (secret)", variable.values) } else { variable.values.to_string() };
        let cells = [format!("`{}`", variable.name), default, values, variable.meaning.to_owned()];
        for cell in cells {
            table.push_str("| ");
            table.push_str(&cell.replace('|', "\\|"));
            table.push(' ');
        }
        table.push_str("|\n");
    }
    table
}
