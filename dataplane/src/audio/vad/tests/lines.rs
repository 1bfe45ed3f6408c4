//! Lines to listen to: recorded callers, and sounds that are made here, all as they come through PCMU. The same in each run.

use std::f32::consts::TAU;

use crate::audio::{Codec, Decoder, Encoder, Resampler, SampleRate, pcm};

pub(super) const HZ: usize = 16_000;

/// Samples, 40 ms, over which it is told where a caller begins and ends.
const STEP: usize = 640;

/// Recorded callers, women and men, one sentence each.
pub(super) const CALLERS: [&str; 6] =
    ["go_forward", "seven_of_clubs", "five_five", "queen_of_clubs", "amiable_woman", "go_somewhere"];

/// One recorded caller at 16 kHz, from the first sound to the last.
pub(super) fn caller(name: &str) -> Vec<f32> {
    let path = format!("{}/../e2e/voices/{name}.wav", env!("CARGO_MANIFEST_DIR"));
    let mut reader = hound::WavReader::open(path).expect("the recording is in the repository");
    let all: Vec<f32> =
        reader.samples::<i16>().map(|sample| pcm::widen(sample.expect("the recording is whole"))).collect();
    // Their rooms are some 30 dB weaker than they.
    let powers: Vec<f32> = all.chunks_exact(STEP).map(|step| pcm::dot(step, step)).collect();
    let least = powers.iter().copied().fold(0.0, f32::max) * 0.004;
    let first = powers.iter().position(|power| *power > least).unwrap_or(0);
    let last = powers.iter().rposition(|power| *power > least).unwrap_or(0);
    all[first * STEP..(last + 1) * STEP].to_vec()
}

/// With this level in dBFS; for speech, see [`at_speech_level`].
pub(super) fn at_level(samples: &[f32], dbfs: f32) -> Vec<f32> {
    scaled(samples, dbfs, pcm::dot(samples, samples) / samples.len() as f32)
}

/// With this level where it is spoken, pauses left out.
pub(super) fn at_speech_level(samples: &[f32], dbfs: f32) -> Vec<f32> {
    let powers: Vec<f32> = samples.chunks_exact(160).map(|step| pcm::dot(step, step) / 160.0).collect();
    let least = powers.iter().copied().fold(0.0, f32::max) * 0.003;
    let spoken: Vec<f32> = powers.into_iter().filter(|power| *power >= least).collect();
    scaled(samples, dbfs, spoken.iter().sum::<f32>() / spoken.len() as f32)
}

fn scaled(samples: &[f32], dbfs: f32, power: f32) -> Vec<f32> {
    let gain = pcm::amplitude(dbfs) / power.sqrt();
    samples.iter().map(|sample| sample * gain).collect()
}

/// Through PCMU and back to 16 kHz.
pub(super) fn over_the_line(audio: &[f32]) -> Vec<f32> {
    let (mut narrow, mut payload, mut heard, mut out) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    Resampler::new(SampleRate::Hz16000, SampleRate::Hz8000).process(audio, &mut narrow);
    Encoder::new(Codec::Pcmu).encode(&narrow, &mut payload);
    Decoder::new(Codec::Pcmu).decode(&payload, &mut heard);
    Resampler::new(SampleRate::Hz8000, SampleRate::Hz16000).process(&heard, &mut out);
    out
}

/// What is no caller's voice.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Sound {
    White,
    Pink,
    Brown,
    /// All recorded callers but one at once, over and over.
    BabbleWithout(&'static str),
    /// These tones together, so long on and so long off.
    Tones(&'static [f32], f32, f32),
    /// One key after the other.
    Keys,
    /// 300 bits a second.
    Modem,
    Typing,
    Breath,
    /// A beat with a bass.
    Drums,
    /// Chords that swell.
    Strings,
    /// Notes that are struck and fade.
    Piano,
}

impl Sound {
    pub(super) fn samples(self, count: usize, seed: u32) -> Vec<f32> {
        let mut random = Random(seed.wrapping_mul(2_654_435_761).wrapping_add(12_345));
        let tone = |seconds: f32, hz: f32| (seconds * hz * TAU).sin();
        match self {
            Self::White => (0..count).map(|_| random.next()).collect(),
            Self::Pink => {
                let mut states = [0.0_f32; 9];
                (0..count)
                    .map(|_| {
                        let white = random.next();
                        for (octave, state) in states.iter_mut().enumerate() {
                            let share = 0.75 / 2_f32.powi(octave as i32);
                            *state += (white * 2_f32.powf(octave as f32 * 0.5) - *state) * share;
                        }
                        states.iter().sum()
                    })
                    .collect()
            }
            Self::Brown => {
                let mut state = 0.0;
                (0..count)
                    .map(|_| {
                        state = 0.98 * state + random.next();
                        state
                    })
                    .collect()
            }
            Self::BabbleWithout(silent) => {
                let mut out = vec![0.0; count];
                for name in CALLERS.iter().chain(&["more_respectable"]).filter(|name| **name != silent) {
                    let voice = at_speech_level(&caller(name), -20.0);
                    let from = (random.next().abs() * voice.len() as f32) as usize;
                    out.iter_mut().enumerate().for_each(|(at, sample)| *sample += voice[(from + at) % voice.len()]);
                }
                out
            }
            Self::Tones(tones, on, off) => seconds(count)
                .map(|at| if at % (on + off) < on { tones.iter().map(|hz| tone(at, *hz)).sum() } else { 0.0 })
                .collect(),
            Self::Keys => {
                let keys = [(697.0, 1_209.0), (770.0, 1_477.0), (852.0, 1_336.0), (941.0, 1_336.0)];
                let key = |at: f32| keys[(at / 0.3) as usize % keys.len()];
                seconds(count)
                    .map(|at| if at % 0.3 < 0.15 { tone(at, key(at).0) + tone(at, key(at).1) } else { 0.0 })
                    .collect()
            }
            Self::Modem => {
                let mut turn = 0.0_f32;
                seconds(count)
                    .map(|at| {
                        let bit = (at * 300.0) as u32;
                        turn += if bit.wrapping_mul(2_654_435_761) >> 31 == 1 { 1_650.0 } else { 1_850.0 } / HZ as f32;
                        turn = turn.fract();
                        (turn * TAU).sin()
                    })
                    .collect()
            }
            Self::Typing => struck(count, 0.17, |_, at| random.next() * (-at * 170.0).exp()),
            Self::Breath => {
                let mut mean = 0.0;
                seconds(count)
                    .map(|at| {
                        let noise = random.next();
                        mean += 0.4 * (noise - mean);
                        mean * ((at % 1.7) / 0.9 * std::f32::consts::PI).sin().max(0.0)
                            * if at % 1.7 < 0.9 { 1.0 } else { 0.0 }
                    })
                    .collect()
            }
            Self::Drums => struck(count, 0.22, |beat, at| {
                let drum = match beat % 4 {
                    0 => 2.0 * tone(at, 55.0) * (-at * 14.0).exp(),
                    2 => 0.8 * random.next() * (-at * 22.0).exp(),
                    _ => 0.25 * random.next() * (-at * 80.0).exp(),
                };
                let bass = [110.0, 110.0, 164.0, 146.0][beat / 8 % 4];
                drum + (1..6).map(|n| tone(at, bass * n as f32) / n as f32).sum::<f32>() * 0.4 * (-at * 6.0).exp()
            }),
            Self::Strings => struck(count, 1.5, |chord, at| {
                let root = [220.0, 174.6, 196.0, 261.6][chord % 4];
                let voices = [1.0, 1.26, 1.498, 2.0].map(|interval| {
                    let hz = root * interval;
                    (1..8)
                        .map(|n| (n as f32 * (hz * at + 0.16 * (at * 5.5 * TAU).sin() / TAU) * TAU).sin() / n as f32)
                        .sum::<f32>()
                });
                voices.iter().sum::<f32>() * (at / 0.2).min(1.0) * ((1.5 - at) / 0.2).min(1.0)
            }),
            Self::Piano => struck(count, 0.25, |note, at| {
                let hz = 220.0 * [1.0, 1.498, 1.26, 2.0, 1.335, 1.682, 1.122, 1.888][note * 5 % 8];
                (1..8).map(|n| tone(at, hz * n as f32) * (-at * (2.0 + n as f32)).exp() / n as f32).sum()
            }),
        }
    }
}

fn seconds(count: usize) -> impl Iterator<Item = f32> {
    (0..count).map(|at| at as f32 / HZ as f32)
}

/// Something that begins anew each `apart` seconds: its number and the seconds since.
fn struck(count: usize, apart: f32, mut sound: impl FnMut(usize, f32) -> f32) -> Vec<f32> {
    seconds(count).map(|at| sound((at / apart) as usize, at % apart)).collect()
}

struct Random(u32);

impl Random {
    /// In [-1, 1).
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.0 >> 8) as f32 / 8_388_608.0 - 1.0
    }
}
