//! Reply to speech: `POST /v1/audio/speech`, played while it still comes.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use reqwest::Response;
use serde_json::{Map, json};
use tokio::time::Instant;

use super::SpeechSettings;
use super::endpoint::{Endpoint, media_type};
use crate::audio::SampleRate;
use crate::audio::wav::WavReader;
use crate::backend::{BackendError, SpeechStream};

pub(super) const ROUTE: &str = "/audio/speech";

/// The longest speech that one text may become. Minutes would be a fault already: a text is a sentence.
const MAX_SPEECH: Duration = Duration::from_secs(300);

/// What the speech service is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SpeechFormat {
    /// With a header that tells rate and width. What a server sends is believed, not what it was asked for.
    #[default]
    Wav,
    /// Bare 16-bit little-endian mono samples; starts a little earlier on some servers.
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
        let media_type = media_type(&response);
        if media_type.starts_with("text/") || media_type == "application/json" {
            return Err(self.endpoint.invalid(format!("expected audio, came {media_type}")));
        }
        let mut source = Source {
            endpoint: Arc::clone(&self.endpoint),
            response,
            decoder: SpeechDecoder::new(self.format, self.pcm_rate),
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

/// Bytes of a speech service to samples. Sans-IO.
struct SpeechDecoder {
    kind: Kind,
    /// The rate, once it is known.
    rate: Option<SampleRate>,
    samples: usize,
}

enum Kind {
    /// Too few bytes yet to tell what it is.
    Unknown {
        head: Vec<u8>,
        format: SpeechFormat,
        pcm_rate: SampleRate,
    },
    Wav(Box<WavReader>),
    /// With the first byte of a sample that was cut.
    Pcm {
        odd: Option<u8>,
    },
}

impl SpeechDecoder {
    const fn new(format: SpeechFormat, pcm_rate: SampleRate) -> Self {
        Self { kind: Kind::Unknown { head: Vec::new(), format, pcm_rate }, rate: None, samples: 0 }
    }

    fn push(&mut self, bytes: &[u8]) -> Result<Vec<i16>, BackendError> {
        let mut samples = Vec::with_capacity(bytes.len() / 2 + 1);
        match &mut self.kind {
            Kind::Unknown { head, format, pcm_rate } => {
                head.extend_from_slice(bytes);
                if head.len() < 4 {
                    return Ok(samples);
                }
                let head = std::mem::take(head);
                // Servers send WAV when asked for PCM, and call it so: its header would be heard as a click.
                self.kind = match format {
                    _ if head.starts_with(b"RIFF") => Kind::Wav(Box::default()),
                    SpeechFormat::Pcm => {
                        self.rate = Some(*pcm_rate);
                        Kind::Pcm { odd: None }
                    }
                    SpeechFormat::Wav => return Err(unknown_format(&head)),
                };
                return self.push(&head);
            }
            Kind::Wav(reader) => {
                reader.push(bytes, &mut samples).map_err(|error| BackendError::invalid(error.to_string()))?;
                self.rate = reader.format().map(|format| format.rate);
            }
            Kind::Pcm { odd } => {
                let mut bytes = bytes;
                if let (Some(low), Some((&high, rest))) = (*odd, bytes.split_first()) {
                    samples.push(i16::from_le_bytes([low, high]));
                    *odd = None;
                    bytes = rest;
                }
                let (pairs, rest) = bytes.as_chunks::<2>();
                samples.extend(pairs.iter().map(|&pair| i16::from_le_bytes(pair)));
                *odd = rest.first().copied().or(*odd);
            }
        }
        self.samples += samples.len();
        match self.rate {
            Some(rate) if rate.duration(self.samples) > MAX_SPEECH => {
                Err(BackendError::invalid(format!("expected speech of at most {MAX_SPEECH:?}, came more")))
            }
            _ => Ok(samples),
        }
    }

    /// The bytes have ended: what was held back. An error if nothing could be made of them; half a sample is let be.
    fn finish(&mut self) -> Result<Vec<i16>, BackendError> {
        let mut samples = Vec::new();
        if let Kind::Wav(reader) = &mut self.kind {
            std::mem::take(&mut **reader)
                .finish(&mut samples)
                .map_err(|error| BackendError::invalid(error.to_string()))?;
        }
        self.samples += samples.len();
        if self.samples > 0 { Ok(samples) } else { Err(BackendError::invalid("expected speech, came none")) }
    }
}

/// Tells the usual mistake: a server that has only compressed formats.
fn unknown_format(head: &[u8]) -> BackendError {
    let name = match head {
        [b'I', b'D', b'3', ..] | [0xFF, 0xE0..=0xFF, ..] => "MP3",
        [b'O', b'g', b'g', b'S', ..] => "Ogg",
        [b'f', b'L', b'a', b'C', ..] => "FLAC",
        [b'{' | b'[', ..] => "JSON",
        _ => "something else",
    };
    BackendError::invalid(format!("expected WAV, came {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::wav;
    use crate::backend::BackendErrorKind;

    fn decode(format: SpeechFormat, pieces: &[&[u8]]) -> Result<(Option<SampleRate>, Vec<i16>), BackendError> {
        let mut decoder = SpeechDecoder::new(format, SampleRate::Hz24000);
        let mut samples = Vec::new();
        for piece in pieces {
            samples.extend(decoder.push(piece)?);
        }
        samples.extend(decoder.finish()?);
        Ok((decoder.rate, samples))
    }

    fn ramp() -> Vec<i16> {
        (0..500).map(|i| i * 60 - 15_000).collect()
    }

    #[test]
    fn wav_and_pcm_are_read_wherever_the_bytes_are_cut() {
        let wav_bytes = wav::write(&ramp(), SampleRate::Hz16000);
        let pcm_bytes: Vec<u8> = ramp().iter().flat_map(|sample| sample.to_le_bytes()).collect();
        for cut in 1..300 {
            let (head, tail) = wav_bytes.split_at(cut);
            assert_eq!(decode(SpeechFormat::Wav, &[head, tail]).unwrap(), (Some(SampleRate::Hz16000), ramp()), "{cut}");
            let (head, tail) = pcm_bytes.split_at(cut);
            assert_eq!(decode(SpeechFormat::Pcm, &[head, tail]).unwrap(), (Some(SampleRate::Hz24000), ramp()), "{cut}");
        }
        let single: Vec<&[u8]> = pcm_bytes.chunks(1).collect();
        assert_eq!(decode(SpeechFormat::Pcm, &single).unwrap().1, ramp());
        let empty_between = [&pcm_bytes[..5], b"", &pcm_bytes[5..]];
        assert_eq!(decode(SpeechFormat::Pcm, &empty_between).unwrap().1, ramp());
    }

    #[test]
    fn a_wav_header_is_believed_even_when_pcm_was_asked_for() {
        let bytes = wav::write(&ramp(), SampleRate::Hz8000);
        assert_eq!(decode(SpeechFormat::Pcm, &[&bytes]).unwrap(), (Some(SampleRate::Hz8000), ramp()));
    }

    #[test]
    fn a_rate_that_is_not_carried_is_converted_and_nothing_of_a_short_sound_is_lost() {
        let mut bytes = wav::write(&ramp()[..40], SampleRate::Hz16000);
        bytes[24..28].copy_from_slice(&22_050_u32.to_le_bytes());
        let (rate, samples) = decode(SpeechFormat::Wav, &[&bytes]).unwrap();
        assert_eq!(rate, Some(SampleRate::Hz24000));
        assert!(samples.len() >= 40, "{}", samples.len());
    }

    #[test]
    fn a_compressed_format_is_named_in_the_error() {
        for (head, name) in
            [(&b"ID3\x04"[..], "MP3"), (b"\xFF\xFB\x90\x00", "MP3"), (b"OggS", "Ogg"), (b"{\"er", "JSON")]
        {
            let error = decode(SpeechFormat::Wav, &[head]).unwrap_err();
            assert_eq!(
                (error.kind(), error.message()),
                (BackendErrorKind::Invalid, &*format!("expected WAV, came {name}"))
            );
        }
    }

    #[test]
    fn no_speech_is_an_error() {
        for (format, bytes) in
            [(SpeechFormat::Wav, &b""[..]), (SpeechFormat::Wav, b"RIF"), (SpeechFormat::Pcm, b"\x01")]
        {
            assert_eq!(decode(format, &[bytes]).unwrap_err().kind(), BackendErrorKind::Invalid);
        }
    }

    #[test]
    fn speech_does_not_go_on_for_ever() {
        let minute = vec![1u8; 24_000 * 2 * 60];
        let five: Vec<&[u8]> = vec![&minute; 5];
        assert_eq!(decode(SpeechFormat::Pcm, &five).unwrap().1.len(), 24_000 * 300);
        let six: Vec<&[u8]> = vec![&minute; 6];
        assert_eq!(decode(SpeechFormat::Pcm, &six).unwrap_err().kind(), BackendErrorKind::Invalid);
    }
}
