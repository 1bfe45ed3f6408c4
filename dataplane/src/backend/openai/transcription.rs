//! Speech to text: `POST /v1/audio/transcriptions`, an utterance as a WAV file in a form.

use reqwest::multipart::{Form, Part};
use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;

use super::endpoint::Endpoint;
use crate::audio::{SampleRate, wav};
use crate::backend::BackendError;

pub(super) const ROUTE: &str = "/audio/transcriptions";

/// The longest answer. Minutes of speech are some KiB of text; verbose formats are ten times that.
const MAX_ANSWER_BYTES: usize = 1 << 20;

#[derive(Deserialize)]
struct Transcript {
    text: String,
}

/// The transcription service.
#[derive(Debug)]
pub(super) struct Transcription {
    pub(super) endpoint: Endpoint,
    /// ISO 639-1, or nothing to let the server find out.
    language: Option<String>,
}

impl Transcription {
    pub(super) fn new(endpoint: Endpoint, language: Option<&str>) -> Self {
        // The route takes the language alone, without a region.
        let language = language.and_then(|tag| tag.split(['-', '_']).next()).filter(|tag| !tag.is_empty());
        Self { endpoint, language: language.map(str::to_ascii_lowercase) }
    }

    pub(super) async fn transcribe(&self, audio: &[i16], rate: SampleRate) -> Result<String, BackendError> {
        let deadline = Instant::now() + self.endpoint.timeout;
        let request = self.endpoint.post().multipart(self.form(audio, rate));
        let response = self.endpoint.send(request, deadline).await?;
        let body = self.endpoint.body(response, MAX_ANSWER_BYTES, deadline).await?;
        let transcript: Transcript = serde_json::from_slice(&body)
            .map_err(|_| self.endpoint.invalid("expected JSON with a text, came something else"))?;
        Ok(transcript.text.trim().to_owned())
    }

    fn form(&self, audio: &[i16], rate: SampleRate) -> Form {
        let file = Part::bytes(wav::write(audio, rate))
            .file_name("speech.wav")
            .mime_str("audio/wav")
            .expect("audio/wav is a media type");
        let extra = &self.endpoint.extra;
        let engine = [
            ("model", Some(self.endpoint.model.clone())),
            ("response_format", Some("json".to_owned())),
            ("language", self.language.clone()),
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
