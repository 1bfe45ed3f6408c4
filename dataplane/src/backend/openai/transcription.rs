//! Speech to text: `POST /v1/audio/transcriptions`, an utterance as a WAV file in a form. What a server takes is found out
//! within the turn that it refuses something in, and forgotten after a while: servers are replaced.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use reqwest::StatusCode;
use reqwest::multipart::{Form, Part};
use serde_json::Value;
use tokio::time::Instant;

use super::endpoint::{Endpoint, Refusal};
use super::{TranscriptionSettings, language, transcript};
use crate::audio::{SampleRate, wav};
use crate::backend::BackendError;
use crate::turn::transcript::TranscriptCheck;

pub(super) const ROUTE: &str = "/audio/transcriptions";

/// The longest answer. Minutes of speech are some KiB of text; verbose formats are ten times that.
const MAX_ANSWER_BYTES: usize = 1 << 20;
/// How long what was learnt of a server holds.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(30 * 60);

/// The form of the answer that a transcription is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TranscriptFormat {
    /// The one that tells how likely it is that there was no speech, and where the server refuses that, the plain one.
    #[default]
    Auto,
    /// `json`: the text.
    Json,
    /// `verbose_json`: the text, and of each segment how sure the server is.
    VerboseJson,
}

/// The transcription service.
#[derive(Debug)]
pub(super) struct Transcription {
    pub(super) endpoint: Endpoint,
    format: TranscriptFormat,
    /// Whether a server that doubts its own words is believed.
    doubting: bool,
    /// Names of the language, the likeliest first; after the last one the server finds out by itself.
    languages: Vec<String>,
    learnt: Mutex<Learnt>,
}

/// How a server is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Manner {
    verbose: bool,
    /// Which of the names; past the last one it is left out.
    language: usize,
}

/// What is known of a server.
#[derive(Debug, Default)]
struct Learnt {
    /// How it answered when it refused the first way, and when that was.
    manner: Option<(Manner, Instant)>,
    /// It has answered in the verbose form before.
    knows_verbose: bool,
}

impl Transcription {
    pub(super) fn new(endpoint: Endpoint, settings: &TranscriptionSettings) -> Self {
        let TranscriptionSettings { endpoint: _, language, language_name, format, check } = settings;
        let languages = match (language_name, language) {
            (Some(name), _) => vec![name.clone()],
            (None, Some(tag)) => language::names(tag),
            (None, None) => Vec::new(),
        };
        let doubting = *check == TranscriptCheck::Full;
        Self { endpoint, format: *format, doubting, languages, learnt: Mutex::default() }
    }

    pub(super) async fn transcribe(&self, audio: &[i16], rate: SampleRate) -> Result<String, BackendError> {
        let deadline = Instant::now() + self.endpoint.timeout;
        let first = self.manner();
        let mut manner = first;
        loop {
            let request = self.endpoint.post().multipart(self.form(audio, rate, manner));
            let response = match self.endpoint.send(request, deadline).await {
                Ok(response) => response,
                Err(refusal) => match self.otherwise(manner, &refusal) {
                    Some(next) => {
                        manner = next;
                        continue;
                    }
                    None => return Err(refusal.into()),
                },
            };
            let body = self.endpoint.body(response, MAX_ANSWER_BYTES, deadline).await?;
            match transcript::read(&body, self.doubting) {
                Ok(text) => {
                    self.learn(first, manner);
                    return Ok(text);
                }
                Err(_) if manner.verbose && self.format == TranscriptFormat::Auto => manner.verbose = false,
                Err(error) => return Err(self.endpoint.invalid(error.to_string())),
            }
        }
    }

    /// How the server is asked first.
    fn manner(&self) -> Manner {
        let learnt = self.learnt.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((manner, at)) = learnt.manner
            && at.elapsed() < FORGOTTEN_AFTER
        {
            return manner;
        }
        let verbose = match self.format {
            // Without a doubt there is no use in what it tells.
            TranscriptFormat::Auto => self.doubting,
            TranscriptFormat::Json => false,
            TranscriptFormat::VerboseJson => true,
        };
        // A field of the settings stands in place of ours: there is nothing to find out then.
        let language = if self.endpoint.extra.contains_key("language") { self.languages.len() } else { 0 };
        Manner { verbose: verbose && !self.endpoint.extra.contains_key("response_format"), language }
    }

    /// How the server is asked again after it refused `manner`; not at all where it is not that what it minds.
    fn otherwise(&self, manner: Manner, refusal: &Refusal) -> Option<Manner> {
        let status = refusal.status?;
        let refused = [StatusCode::BAD_REQUEST, StatusCode::UNSUPPORTED_MEDIA_TYPE, StatusCode::UNPROCESSABLE_ENTITY];
        let failed = [StatusCode::INTERNAL_SERVER_ERROR, StatusCode::NOT_IMPLEMENTED];
        if !refused.contains(&status) && !failed.contains(&status) {
            return None;
        }
        if refusal.speaks_of(&["language"]) && manner.language < self.languages.len() {
            return Some(Manner { language: manner.language + 1, ..manner });
        }
        let may_change = manner.verbose && self.format == TranscriptFormat::Auto;
        // Many do not say what they mind. A refused request is a lost turn anyway: asking again costs nothing.
        (may_change && (refusal.speaks_of(&["response_format", "verbose"]) || refused.contains(&status)))
            .then_some(Manner { verbose: false, ..manner })
    }

    /// Keeps in mind what the server answered, where it was not the first way that it was asked.
    fn learn(&self, first: Manner, manner: Manner) {
        let mut learnt = self.learnt.lock().unwrap_or_else(PoisonError::into_inner);
        if manner == first {
            learnt.knows_verbose |= manner.verbose;
            return;
        }
        if manner.verbose != first.verbose && std::mem::take(&mut learnt.knows_verbose) {
            // It took the form before: once may be about something else, and is not remembered.
            return;
        }
        if manner.language != first.language {
            let name = self.languages.get(manner.language).map_or("none", String::as_str);
            tracing::warn!(language = name, "the recogniser does not take the language by its first name");
        }
        if manner.verbose != first.verbose {
            tracing::info!("the recogniser does not tell how likely it is that nothing was said");
        }
        learnt.manner = Some((manner, Instant::now()));
    }

    fn form(&self, audio: &[i16], rate: SampleRate, manner: Manner) -> Form {
        let file = Part::bytes(wav::write(audio, rate))
            .file_name("speech.wav")
            .mime_str("audio/wav")
            .expect("audio/wav is a media type");
        let extra = &self.endpoint.extra;
        let engine = [
            ("model", Some(self.endpoint.model.clone())),
            ("response_format", Some(if manner.verbose { "verbose_json" } else { "json" }.to_owned())),
            ("language", self.languages.get(manner.language).cloned()),
        ];
        let mut form = Form::new();
        for (name, value) in engine {
            if let Some(value) = value.filter(|_| !extra.contains_key(name)) {
                form = form.text(name, value);
            }
        }
        for (name, value) in extra {
            let text = match value {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            form = form.text(name.clone(), text);
        }
        // Last, so that a server which reads the form as it comes knows what to do with the file.
        form.part("file", file)
    }
}
