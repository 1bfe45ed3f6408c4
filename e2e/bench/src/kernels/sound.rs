//! What the parts are measured on: the recorded callers, and noises that are made here, the same in each run.

use std::f32::consts::TAU;
use std::path::PathBuf;

use anyhow::{Context, Result};
use sofia_dataplane::audio::{Codec, Decoder, Encoder, Resampler, SampleRate};

/// The callers that speak, all of `e2e/voices`.
const VOICES: [&str; 7] = [
    "go_forward",
    "go_somewhere",
    "seven_of_clubs",
    "five_five",
    "queen_of_clubs",
    "amiable_woman",
    "more_respectable",
];

/// Where a recorded caller lies.
pub(crate) fn voice_file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../voices").join(format!("{name}.wav"))
}

/// Each recorded caller, 16 kHz.
pub(crate) fn recordings() -> Result<Vec<Vec<f32>>> {
    VOICES.into_iter().map(recording).collect()
}

/// All recorded callers one after the other, 16 kHz.
pub(super) fn speech() -> Result<Vec<f32>> {
    Ok(recordings()?.concat())
}

/// The recorded callers with a second of silence before each, 16 kHz.
pub(super) fn speech_with_pauses() -> Result<Vec<f32>> {
    let mut all = Vec::new();
    for name in VOICES {
        all.resize(all.len() + 16_000, 0.0);
        all.extend(recording(name)?);
    }
    Ok(all)
}

fn recording(name: &str) -> Result<Vec<f32>> {
    let path = voice_file(name);
    let mut reader = hound::WavReader::open(&path).with_context(|| path.display().to_string())?;
    anyhow::ensure!(reader.spec().sample_rate == 16_000, "{}: expected 16 kHz", path.display());
    let samples = reader.samples::<i16>().map(|sample| Ok(f32::from(sample?) / 32_768.0));
    samples.collect::<Result<_>>().with_context(|| path.display().to_string())
}

/// At another rate, as a call would have it.
pub(crate) fn at(rate: SampleRate, audio_16k: &[f32]) -> Vec<f32> {
    let mut out = Vec::new();
    Resampler::new(SampleRate::Hz16000, rate).process(audio_16k, &mut out);
    out
}

/// As it comes over a telephone line: through PCMU and back to 16 kHz.
pub(super) fn over_the_line(audio_16k: &[f32]) -> Vec<f32> {
    over_the_line_8k(&at(SampleRate::Hz8000, audio_16k))
}

/// The same, of what is at 8 kHz already.
pub(crate) fn over_the_line_8k(audio_8k: &[f32]) -> Vec<f32> {
    let (mut payload, mut heard, mut out) = (Vec::new(), Vec::new(), Vec::new());
    Encoder::new(Codec::Pcmu).encode(audio_8k, &mut payload);
    Decoder::new(Codec::Pcmu).decode(&payload, &mut heard);
    Resampler::new(SampleRate::Hz8000, SampleRate::Hz16000).process(&heard, &mut out);
    out
}

/// A noise that lines and rooms have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Noise {
    /// Equal at all frequencies.
    White,
    /// Falling with frequency, as ventilation and traffic do.
    Brown,
    /// 50 Hz and its harmonics.
    Hum,
    /// 425 Hz, a second of every five: the tone of ringing in most of Europe.
    Ringing,
}

impl Noise {
    pub(super) const ALL: [Self; 4] = [Self::White, Self::Brown, Self::Hum, Self::Ringing];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::White => "white noise",
            Self::Brown => "brown noise",
            Self::Hum => "mains hum",
            Self::Ringing => "ringing tone",
        }
    }

    /// So many samples at 16 kHz, with this root mean square.
    pub(super) fn samples(self, count: usize, rms: f32) -> Vec<f32> {
        let mut random: u32 = 0x1234_5678;
        let mut brown = 0.0_f32;
        let mut out: Vec<f32> = (0..count)
            .map(|at| {
                random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let white = (random >> 8) as f32 / 8_388_608.0 - 1.0;
                let phase = |hz: f64| (TAU * (at as f64 * hz / 16_000.0).fract() as f32).sin();
                match self {
                    Self::White => white,
                    Self::Brown => {
                        brown = 0.98 * brown + white;
                        brown
                    }
                    Self::Hum => (1..20).map(|n| phase(50.0 * f64::from(n)) / n as f32).sum(),
                    Self::Ringing if at % 80_000 < 16_000 => phase(425.0),
                    Self::Ringing => 0.0,
                }
            })
            .collect();
        let gain = rms / root_mean_square(&out).max(1e-9);
        out.iter_mut().for_each(|sample| *sample *= gain);
        out
    }
}

/// The root mean square.
pub(super) fn root_mean_square(samples: &[f32]) -> f32 {
    let energy: f64 = samples.iter().map(|sample| f64::from(*sample).powi(2)).sum();
    (energy / samples.len().max(1) as f64).sqrt() as f32
}

/// Walks through a recording frame by frame, for ever.
pub(super) struct Frames<'a> {
    samples: &'a [f32],
    length: usize,
    at: usize,
}

impl<'a> Frames<'a> {
    pub(super) fn new(samples: &'a [f32], length: usize) -> Self {
        Self { samples, length, at: 0 }
    }

    pub(super) fn next(&mut self) -> &'a [f32] {
        if self.at + self.length > self.samples.len() {
            self.at = 0;
        }
        let frame = &self.samples[self.at..self.at + self.length];
        self.at += self.length;
        frame
    }
}
