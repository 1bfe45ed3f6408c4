//! Reply to speech: `POST /v1/audio/speech`, played while it still comes.

use std::sync::Arc;

use futures_util::stream::{self, StreamExt};
use reqwest::Response;
use serde_json::{Map, json};
use tokio::time::Instant;

use super::SpeechSettings;
use super::decoder::SpeechDecoder;
use super::endpoint::{Endpoint, content_type};
use super::media_type::declared;
use crate::audio::SampleRate;
use crate::backend::{BackendError, SpeechStream};

pub(super) const ROUTE: &str = "/audio/speech";

/// What the speech service is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SpeechFormat {
    /// With a header that tells rate and width. What a server sends is believed, not what it was asked for; see
    /// [`crate::audio::wav`] for what can be read.
    #[default]
    Wav,
    /// Bare 16-bit little-endian mono samples, unless the answer's content type says how they are written; starts a little
    /// earlier on some servers.
    Pcm,
}

impl SpeechFormat {
    /// The format's name in requests.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Wav => "wav",
            Self::Pcm => "pcm",
        }
    }
}

/// The speech service.
#[derive(Debug)]
pub(super) struct Speech {
    pub(super) endpoint: Arc<Endpoint>,
    voice: String,
    format: SpeechFormat,
    pcm_rate: SampleRate,
}

impl Speech {
    pub(super) fn new(endpoint: Endpoint, settings: &SpeechSettings) -> Self {
        let SpeechSettings { endpoint: _, voice, format, pcm_rate } = settings;
        Self { endpoint: Arc::new(endpoint), voice: voice.clone(), format: *format, pcm_rate: *pcm_rate }
    }

    pub(super) async fn speak(&self, text: &str) -> Result<SpeechStream, BackendError> {
        let deadline = Instant::now() + self.endpoint.timeout;
        let body = self.endpoint.with_extra(self.request(text));
        let response = self.endpoint.send(self.endpoint.post().json(&body), deadline).await?;
        let declared = declared(content_type(&response));
        let mut source = Source {
            endpoint: Arc::clone(&self.endpoint),
            response,
            decoder: SpeechDecoder::new(self.format, self.pcm_rate, declared),
            ended: false,
        };
        // The rate stands in the header, so the stream begins with its first samples.
        let Some(first) = source.next().await? else {
            return Err(self.endpoint.invalid("expected speech, came none"));
        };
        let rate = source.decoder.rate.expect("samples came, so their rate is known");
        let rest = stream::unfold(Some(source), |source| async move {
            let mut source = source?;
            match source.next().await {
                Ok(Some(samples)) => Some((Ok(samples.into()), Some(source))),
                Ok(None) => None,
                Err(error) => Some((Err(error), None)),
            }
        });
        Ok(SpeechStream { rate, chunks: stream::once(async move { Ok(first.into()) }).chain(rest).boxed() })
    }

    fn request(&self, text: &str) -> Map<String, serde_json::Value> {
        let fields = [
            ("model", self.endpoint.model.as_str()),
            ("input", text),
            ("voice", self.voice.as_str()),
            ("response_format", self.format.as_str()),
        ];
        fields.into_iter().map(|(name, value)| (name.to_owned(), json!(value))).collect()
    }
}

/// Speech as it comes in.
struct Source {
    endpoint: Arc<Endpoint>,
    response: Response,
    decoder: SpeechDecoder,
    ended: bool,
}

impl Source {
    /// The next samples, never none at all; `None` at the end.
    async fn next(&mut self) -> Result<Option<Vec<i16>>, BackendError> {
        while !self.ended {
            let decoded = match self.endpoint.next_chunk(&mut self.response).await? {
                Some(bytes) => self.decoder.push(&bytes),
                None => {
                    self.ended = true;
                    self.decoder.finish()
                }
            };
            let samples = decoded.map_err(|error| self.endpoint.located(error))?;
            if !samples.is_empty() {
                return Ok(Some(samples));
            }
        }
        Ok(None)
    }
}
