//! Audio that a caller says: loaded or made once, encoded once for each codec, shared between calls. Never paced here.

use std::collections::HashMap;
use std::f32::consts::TAU;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sofia_dataplane::audio::{Codec, Encoder, Resampler, SampleRate};

/// The rate of everything that a caller says and hears, in hertz.
pub const RATE_HZ: u32 = 16_000;
/// Longest clip, in samples: ten minutes.
const MAX_SAMPLES: usize = 10 * 60 * RATE_HZ as usize;

/// Why a WAV file cannot be said.
#[derive(Debug, thiserror::Error)]
pub enum ClipError {
    /// Not readable as WAV.
    #[error("{path}: {source}")]
    Wav {
        /// The file.
        path: String,
        /// What is wrong with it.
        source: hound::Error,
    },
    /// A rate that is not resampled.
    #[error("{path}: {hz} Hz; expected 8000, 16000, 24000 or 48000")]
    Rate {
        /// The file.
        path: String,
        /// Its rate.
        hz: u32,
    },
    /// No recording with that name comes with this crate.
    #[error("there is no voice {name:?}; expected one of {known}")]
    NoSuchVoice {
        /// As asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// Too long to be a test's speech.
    #[error("{path}: longer than ten minutes")]
    TooLong {
        /// The file.
        path: String,
    },
}

/// One codec's payloads of equal size, back to back.
#[derive(Debug)]
pub(crate) struct Frames {
    bytes: Vec<u8>,
    frame_bytes: usize,
}

impl Frames {
    /// The last frame's place: where an encoder that began with the first has settled.
    pub(crate) fn last(&self) -> usize {
        (self.bytes.len() / self.frame_bytes).saturating_sub(1)
    }

    pub(crate) fn get(&self, index: usize) -> Option<&[u8]> {
        self.bytes.get(index * self.frame_bytes..(index + 1) * self.frame_bytes)
    }
}

#[derive(Debug)]
struct Inner {
    samples: Vec<i16>,
    encoded: Mutex<HashMap<(Codec, u32), Arc<Frames>>>,
}

/// A piece of mono audio at 16 kHz; cheap to clone.
#[derive(Debug, Clone)]
pub struct Clip(Arc<Inner>);

impl Clip {
    /// Mono samples at 16 kHz.
    #[must_use]
    pub fn from_samples(samples: Vec<i16>) -> Self {
        Self(Arc::new(Inner { samples, encoded: Mutex::default() }))
    }

    /// Reads a WAV file: 16-bit or float, any number of channels (the first is taken), 8, 16, 24 or 48 kHz.
    ///
    /// # Errors
    /// See [`ClipError`].
    pub fn from_wav(path: impl AsRef<Path>) -> Result<Self, ClipError> {
        let name = path.as_ref().display().to_string();
        match hound::WavReader::open(path.as_ref()) {
            Ok(reader) => Self::read(&name, reader),
            Err(source) => Err(ClipError::Wav { path: name, source }),
        }
    }

    /// Reads a WAV file that is in memory; `name` is for errors.
    ///
    /// # Errors
    /// See [`ClipError`].
    pub fn from_wav_bytes(name: &str, bytes: &[u8]) -> Result<Self, ClipError> {
        match hound::WavReader::new(bytes) {
            Ok(reader) => Self::read(name, reader),
            Err(source) => Err(ClipError::Wav { path: name.to_owned(), source }),
        }
    }

    fn read(name: &str, mut reader: hound::WavReader<impl std::io::Read>) -> Result<Self, ClipError> {
        let wav = |source| ClipError::Wav { path: name.to_owned(), source };
        let spec = reader.spec();
        let rate = SampleRate::try_from(spec.sample_rate)
            .map_err(|_| ClipError::Rate { path: name.to_owned(), hz: spec.sample_rate })?;
        if reader.duration() as usize / (spec.sample_rate as usize / 1000) > MAX_SAMPLES / (RATE_HZ as usize / 1000) {
            return Err(ClipError::TooLong { path: name.to_owned() });
        }
        let step = usize::from(spec.channels.max(1));
        let pcm: Vec<f32> = match spec.sample_format {
            hound::SampleFormat::Float => {
                reader.samples::<f32>().step_by(step).collect::<Result<_, _>>().map_err(wav)?
            }
            hound::SampleFormat::Int => {
                let scale = (1_u64 << spec.bits_per_sample.saturating_sub(1)) as f32;
                let samples = reader.samples::<i32>().step_by(step);
                samples.map(|sample| sample.map(|value| value as f32 / scale)).collect::<Result<_, _>>().map_err(wav)?
            }
        };
        Ok(Self::from_samples(to_i16(&resampled(&pcm, rate, SampleRate::Hz16000))))
    }

    /// A sine at half of full scale.
    #[must_use]
    pub fn tone(hz: f32, duration: Duration) -> Self {
        Self::tones(&[hz], duration)
    }

    /// A sum of sines, together at half of full scale.
    #[must_use]
    pub fn tones(hz: &[f32], duration: Duration) -> Self {
        let count = samples_in(duration).min(MAX_SAMPLES);
        let level = 16_384.0 / hz.len().max(1) as f32;
        let sample = |at: usize| {
            // Whole periods are taken off before f32 loses them.
            hz.iter()
                .map(|hz| (TAU * ((at as f64 * f64::from(*hz) / f64::from(RATE_HZ)).fract() as f32)).sin() * level)
                .sum::<f32>()
        };
        Self::from_samples((0..count).map(|at| sample(at) as i16).collect())
    }

    /// Silence.
    #[must_use]
    pub fn silence(duration: Duration) -> Self {
        Self::from_samples(vec![0; samples_in(duration).min(MAX_SAMPLES)])
    }

    /// The samples, at 16 kHz.
    #[must_use]
    pub fn samples(&self) -> &[i16] {
        &self.0.samples
    }

    /// How long it takes to say.
    #[must_use]
    pub fn duration(&self) -> Duration {
        Duration::from_micros(self.0.samples.len() as u64 * 1_000_000 / u64::from(RATE_HZ))
    }

    /// The clip as payloads of `ptime_ms`, the last one filled up with silence; encoded at the first use.
    pub(crate) fn frames(&self, codec: Codec, ptime_ms: u32) -> Arc<Frames> {
        let mut cache = self.0.encoded.lock().unwrap_or_else(PoisonError::into_inner);
        cache.entry((codec, ptime_ms)).or_insert_with(|| Arc::new(encode(&self.0.samples, codec, ptime_ms))).clone()
    }
}

fn samples_in(duration: Duration) -> usize {
    (duration.as_micros() * u128::from(RATE_HZ) / 1_000_000) as usize
}

fn encode(samples: &[i16], codec: Codec, ptime_ms: u32) -> Frames {
    let frame_in = (RATE_HZ * ptime_ms / 1000) as usize;
    let mut pcm: Vec<f32> = samples.iter().map(|sample| f32::from(*sample) / 32_768.0).collect();
    pcm.resize(samples.len().div_ceil(frame_in) * frame_in, 0.0);
    let rate = codec.audio_rate();
    let audio = resampled(&pcm, SampleRate::Hz16000, rate);
    let mut bytes = Vec::new();
    Encoder::new(codec).encode(&audio, &mut bytes);
    let frame_bytes = match codec {
        Codec::Pcmu | Codec::Pcma | Codec::G722 => 8 * ptime_ms as usize,
        Codec::L16(rate) => 2 * (rate.hz() * ptime_ms / 1000) as usize,
    };
    Frames { bytes, frame_bytes }
}

/// Resamples all at once and takes the resampler's delay off again, so that the length is exact.
fn resampled(pcm: &[f32], from: SampleRate, to: SampleRate) -> Vec<f32> {
    if from == to {
        return pcm.to_vec();
    }
    let wanted = (pcm.len() as u64 * u64::from(to.hz()) / u64::from(from.hz())) as usize;
    let mut resampler = Resampler::new(from, to);
    let delay = to.samples(resampler.delay());
    let mut out = Vec::with_capacity(wanted + to.hz() as usize / 10);
    resampler.process(pcm, &mut out);
    // Enough silence to push out what the filter still holds, whatever its block length.
    resampler.process(&vec![0.0; from.hz() as usize / 10], &mut out);
    out.drain(..delay.min(out.len()));
    out.resize(wanted, 0.0);
    out
}

pub(crate) fn to_i16(pcm: &[f32]) -> Vec<i16> {
    pcm.iter().map(|sample| (sample * 32_767.0).round() as i16).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clip_becomes_whole_frames_of_every_codec() {
        let clip = Clip::tone(440.0, Duration::from_millis(90));
        for (codec, bytes) in [(Codec::Pcmu, 160), (Codec::G722, 160), (Codec::L16(SampleRate::Hz16000), 640)] {
            let frames = clip.frames(codec, 20);
            assert_eq!(frames.get(4).map(<[u8]>::len), Some(bytes), "{codec:?}");
            assert!(frames.get(5).is_none(), "{codec:?}");
        }
    }

    #[test]
    fn the_last_frame_of_silence_is_silence_however_often_it_is_heard() {
        for codec in [Codec::Pcmu, Codec::Pcma, Codec::G722, Codec::L16(SampleRate::Hz16000)] {
            let frames = Clip::silence(Duration::from_millis(200)).frames(codec, 20);
            let mut decoder = sofia_dataplane::audio::Decoder::new(codec);
            let mut heard = Vec::new();
            for _ in 0..100 {
                decoder.decode(frames.get(frames.last()).unwrap(), &mut heard);
            }
            let loudest = heard.iter().fold(0.0_f32, |loudest, sample| loudest.max(sample.abs()));
            assert!(loudest < 0.001, "{codec:?}: {loudest}");
        }
    }

    #[test]
    fn encoding_is_done_once() {
        let clip = Clip::silence(Duration::from_secs(1));
        assert!(Arc::ptr_eq(&clip.frames(Codec::Pcmu, 20), &clip.frames(Codec::Pcmu, 20)));
    }

    #[test]
    fn a_clip_knows_its_duration() {
        assert_eq!(Clip::tone(440.0, Duration::from_millis(1_500)).duration(), Duration::from_millis(1_500));
    }
}
