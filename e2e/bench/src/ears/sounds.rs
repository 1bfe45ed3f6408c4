//! What is no caller's voice: noises, six people talking at once, music, a telephone's tones, keys, breath and coughs. 8 kHz, of
//! any level.

use std::f32::consts::TAU;

use super::random::Random;
use super::voices::{HZ, Speaker, at_speech_level};

/// Something that is not the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sound {
    White,
    Pink,
    Brown,
    /// So many people talk at once, none of them the caller.
    Babble(usize),
    Ringing,
    Busy,
    Dialling,
    Keys,
    FaxCalling,
    FaxAnswering,
    Modem,
    Information,
    Clicks,
    Breath,
    Coughs,
    Melody,
    Strings,
    Drums,
    Lead,
}

impl Sound {
    pub(super) const ALONE: [Self; 15] = [
        Self::Ringing,
        Self::Busy,
        Self::Dialling,
        Self::Keys,
        Self::FaxCalling,
        Self::FaxAnswering,
        Self::Modem,
        Self::Information,
        Self::Clicks,
        Self::Breath,
        Self::Coughs,
        Self::Melody,
        Self::Strings,
        Self::Drums,
        Self::Lead,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::White => "white noise",
            Self::Pink => "pink noise",
            Self::Brown => "brown noise",
            Self::Babble(1) => "another voice",
            Self::Babble(_) => "babble of six",
            Self::Ringing => "ringing",
            Self::Busy => "busy",
            Self::Dialling => "dial tone",
            Self::Keys => "key tones",
            Self::FaxCalling => "fax, calling",
            Self::FaxAnswering => "fax, answering",
            Self::Modem => "modem, V.21",
            Self::Information => "special information tone",
            Self::Clicks => "typing",
            Self::Breath => "breath",
            Self::Coughs => "coughs",
            Self::Melody => "music, piano",
            Self::Strings => "music, strings",
            Self::Drums => "music, drums",
            Self::Lead => "music, a sung lead",
        }
    }

    /// So many samples. `others` are who may talk.
    pub(super) fn samples(self, count: usize, random: &mut Random, others: &[&Speaker]) -> Vec<f32> {
        match self {
            Self::White => (0..count).map(|_| random.sample()).collect(),
            Self::Pink => pink(count, random),
            Self::Brown => brown(count, random),
            Self::Babble(voices) => babble(count, random, others, voices),
            Self::Ringing => in_rhythm(count, random.one_of(&RINGING)),
            Self::Busy => in_rhythm(count, random.one_of(&BUSY)),
            Self::Dialling => in_rhythm(count, random.one_of(&DIALLING)),
            Self::Keys => keys(count, random),
            Self::FaxCalling => in_rhythm(count, &Signal { tones: &[1_100.0], rhythm: &[0.5, 3.0] }),
            Self::FaxAnswering => in_rhythm(count, &Signal { tones: &[2_100.0], rhythm: &[3.0, 1.0] }),
            Self::Modem => modem(count, random),
            Self::Information => information(count),
            Self::Clicks => clicks(count, random),
            Self::Breath => breath(count, random),
            Self::Coughs => coughs(count, random),
            Self::Melody => melody(count, random),
            Self::Strings => strings(count, random),
            Self::Drums => drums(count, random),
            Self::Lead => lead(count, random),
        }
    }
}

fn seconds(at: usize) -> f32 {
    at as f32 / HZ as f32
}

fn samples_in(seconds: f32) -> usize {
    (seconds * HZ as f32) as usize
}

/// Adds what `sound` gives for each moment since `from`, for `length`, as far as there is room.
fn add(out: &mut [f32], from: usize, length: usize, mut sound: impl FnMut(f32) -> f32) {
    let to = out.len().min(from + length);
    for (at, sample) in out[from.min(to)..to].iter_mut().enumerate() {
        *sample += sound(seconds(at));
    }
}

/// The sum of first-order noises, an octave apart.
fn pink(count: usize, random: &mut Random) -> Vec<f32> {
    let mut states = [0.0_f32; 8];
    (0..count)
        .map(|_| {
            let white = random.sample();
            for (octave, state) in states.iter_mut().enumerate() {
                let kept = 1.0 - 1.5 / 2_f32.powi(octave as i32 + 1);
                *state =
                    kept * *state + white * (1.0 - kept).sqrt() * (1.0 - kept).sqrt() * 2_f32.powf(octave as f32 * 0.5);
            }
            states.iter().sum()
        })
        .collect()
}

fn brown(count: usize, random: &mut Random) -> Vec<f32> {
    let mut state = 0.0;
    (0..count)
        .map(|_| {
            state = 0.98 * state + random.sample();
            state
        })
        .collect()
}

fn babble(count: usize, random: &mut Random, others: &[&Speaker], voices: usize) -> Vec<f32> {
    let mut out = vec![0.0; count];
    let first = random.below(others.len());
    for voice in 0..voices {
        let Some(speaker) = others.get((first + voice) % others.len().max(1)) else { continue };
        // Each is somewhere in the middle of it.
        let mut skip = random.below(3 * HZ);
        let mut at = 0;
        while at < count {
            let said = at_speech_level(random.one_of::<Vec<f32>>(speaker), -20.0);
            let pause = samples_in(random.between(0.05, 0.3));
            for sample in said.into_iter().chain(std::iter::repeat_n(0.0, pause)) {
                if skip > 0 {
                    skip -= 1;
                } else if at < count {
                    out[at] += sample;
                    at += 1;
                }
            }
        }
    }
    out
}

/// Tones together, on and off for these seconds in turn.
struct Signal {
    tones: &'static [f32],
    rhythm: &'static [f32],
}

/// Europe, North America, the United Kingdom.
const RINGING: [Signal; 3] = [
    Signal { tones: &[425.0], rhythm: &[1.0, 4.0] },
    Signal { tones: &[440.0, 480.0], rhythm: &[2.0, 4.0] },
    Signal { tones: &[400.0, 450.0], rhythm: &[0.4, 0.2, 0.4, 2.0] },
];
const BUSY: [Signal; 3] = [
    Signal { tones: &[425.0], rhythm: &[0.5, 0.5] },
    Signal { tones: &[480.0, 620.0], rhythm: &[0.5, 0.5] },
    Signal { tones: &[425.0], rhythm: &[0.24, 0.24] },
];
const DIALLING: [Signal; 2] =
    [Signal { tones: &[425.0], rhythm: &[60.0, 0.1] }, Signal { tones: &[350.0, 440.0], rhythm: &[60.0, 0.1] }];

fn in_rhythm(count: usize, signal: &Signal) -> Vec<f32> {
    let round: f32 = signal.rhythm.iter().sum();
    (0..count)
        .map(|at| {
            let mut left = seconds(at) % round;
            let part = signal.rhythm.iter().position(|part| {
                left -= part;
                left < 0.0
            });
            let on = part.is_some_and(|part| part % 2 == 0);
            if on { signal.tones.iter().map(|hz| (seconds(at) * hz * TAU).sin()).sum() } else { 0.0 }
        })
        .collect()
}

fn keys(count: usize, random: &mut Random) -> Vec<f32> {
    let mut out = vec![0.0; count];
    let mut at = samples_in(0.3);
    while at < count {
        let row: f32 = *random.one_of(&[697.0, 770.0, 852.0, 941.0]);
        let column: f32 = *random.one_of(&[1_209.0, 1_336.0, 1_477.0]);
        let length = samples_in(random.between(0.06, 0.35));
        add(&mut out, at, length, |t| (t * row * TAU).sin() + (t * column * TAU).sin());
        at += length + samples_in(random.between(0.08, 0.9));
    }
    out
}

/// 300 bits a second between 1650 and 1850 Hz: the flags before a fax, or its data.
fn modem(count: usize, random: &mut Random) -> Vec<f32> {
    let flags = random.below(2) == 0;
    let bits: Vec<bool> = (0..count * 300 / HZ + 2)
        .map(|bit| if flags { !matches!(bit % 8, 0 | 7) } else { random.below(2) == 0 })
        .collect();
    let mut phase = 0.0_f32;
    (0..count)
        .map(|at| {
            phase += if bits[at * 300 / HZ] { 1_650.0 } else { 1_850.0 } / HZ as f32;
            phase = phase.fract();
            if seconds(at) % 2.0 < 1.3 { (phase * TAU).sin() } else { 0.0 }
        })
        .collect()
}

fn information(count: usize) -> Vec<f32> {
    let mut out = vec![0.0; count];
    for round in 0..count / (5 * HZ) + 1 {
        for (part, hz) in [950.0_f32, 1_400.0, 1_800.0].into_iter().enumerate() {
            add(&mut out, round * 5 * HZ + part * HZ / 3, HZ / 3, |t| (t * hz * TAU).sin());
        }
    }
    out
}

fn clicks(count: usize, random: &mut Random) -> Vec<f32> {
    let mut out = vec![0.0; count];
    let mut at = samples_in(0.2);
    while at < count {
        let damping = random.between(100.0, 300.0);
        add(&mut out, at, HZ / 30, |t| random.sample() * (-t * damping).exp());
        at += samples_in(random.between(0.08, 0.4));
    }
    out
}

/// A resonance that noise or a buzz goes through.
struct Resonance([f32; 2]);

impl Resonance {
    fn pass(&mut self, sample: f32, hz: f32, radius: f32) -> f32 {
        let [one, two] = self.0;
        let out = sample + 2.0 * radius * (hz / HZ as f32 * TAU).cos() * one - radius * radius * two;
        self.0 = [out, one];
        out
    }
}

fn breath(count: usize, random: &mut Random) -> Vec<f32> {
    let mut out = vec![0.0; count];
    let mut at = samples_in(0.5);
    while at < count {
        let length = random.between(0.5, 1.2);
        let hz = random.between(900.0, 1_700.0);
        let mut throat = Resonance([0.0; 2]);
        add(&mut out, at, samples_in(length), |t| {
            throat.pass(random.sample(), hz, 0.8) * (t / length * std::f32::consts::PI).sin().max(0.0).powf(1.5)
        });
        at += samples_in(length + random.between(0.3, 1.5));
    }
    out
}

fn coughs(count: usize, random: &mut Random) -> Vec<f32> {
    let mut out = vec![0.0; count];
    let mut at = samples_in(0.6);
    while at < count {
        for _ in 0..=random.below(2) {
            let (length, pitch, hz) =
                (random.between(0.12, 0.25), random.between(150.0, 400.0), random.between(600.0, 1_300.0));
            let mut throat = Resonance([0.0; 2]);
            add(&mut out, at, samples_in(length), |t| {
                let rough = (t * pitch * TAU + random.sample()).sin().signum() * 0.4 + random.sample();
                throat.pass(rough, hz, 0.9) * (-t / 0.07).exp() * (t / 0.008).min(1.0)
            });
            at += samples_in(length + 0.08);
        }
        at += samples_in(random.between(1.5, 3.0));
    }
    out
}

const SCALE: [f32; 8] = [0.0, 2.0, 4.0, 5.0, 7.0, 9.0, 11.0, 12.0];

fn note(base_hz: f32, semitones: f32) -> f32 {
    base_hz * 2_f32.powf(semitones / 12.0)
}

/// Struck strings: many partials, the higher the shorter.
fn melody(count: usize, random: &mut Random) -> Vec<f32> {
    let mut out = vec![0.0; count];
    let mut at = 0;
    while at < count {
        let hz = note(220.0, *random.one_of(&SCALE) + 12.0 * random.below(2) as f32);
        add(&mut out, at, HZ, |t| {
            (1..8).map(|n| (-t * (2.0 + n as f32)).exp() * (t * hz * n as f32 * TAU).sin() / n as f32).sum()
        });
        at += samples_in(*random.one_of(&[0.15, 0.25, 0.5]));
    }
    out
}

/// Bowed strings: chords that swell, with a vibrato.
fn strings(count: usize, random: &mut Random) -> Vec<f32> {
    let mut out = vec![0.0; count];
    let mut at = 0;
    while at < count {
        let root = random.below(12) as f32;
        let length = *random.one_of(&[1.0, 1.5, 2.0]);
        for interval in [0.0, 4.0, 7.0, 12.0] {
            let hz = note(165.0, root + interval);
            let place = random.unit();
            add(&mut out, at, samples_in(length + 0.2), |t| {
                let swell = (t / 0.15).min(1.0) * ((length + 0.2 - t) / 0.2).clamp(0.0, 1.0);
                let turn = hz * t + 0.004 * hz / 5.5 * (t * 5.5 * TAU).sin() + place;
                swell
                    * (1..10)
                        .filter(|n| hz * (*n as f32) < 3_800.0)
                        .map(|n| (turn * n as f32 * TAU).sin() / n as f32)
                        .sum::<f32>()
            });
        }
        at += samples_in(length);
    }
    out
}

fn drums(count: usize, random: &mut Random) -> Vec<f32> {
    let mut out = vec![0.0; count];
    let beat = samples_in(random.between(0.19, 0.26));
    for (number, at) in (0..count).step_by(beat).enumerate() {
        match number % 4 {
            0 => add(&mut out, at, HZ / 4, |t| 2.0 * ((60.0 * t - (-t * 30.0).exp()) * TAU).sin() * (-t * 14.0).exp()),
            2 => add(&mut out, at, HZ / 4, |t| 0.8 * random.sample() * (-t * 22.0).exp()),
            _ => {}
        }
        add(&mut out, at, HZ / 10, |t| 0.25 * random.sample() * (-t * 80.0).exp());
        let hz = [110.0, 110.0, 164.0, 146.0][number / 8 % 4];
        add(&mut out, at, HZ / 4, |t| {
            0.4 * (1..6).map(|n| (t * hz * n as f32 * TAU).sin() / n as f32).sum::<f32>() * (-t * 6.0).exp()
        });
    }
    out
}

/// A saw that glides from note to note with a vibrato, as a singer or a saxophone does.
fn lead(count: usize, random: &mut Random) -> Vec<f32> {
    let (mut phase, mut pitch, mut loud) = (0.0_f32, 196.0_f32, 0.0_f32);
    let (mut hz, mut left, mut rest) = (196.0, 0, 0);
    (0..count)
        .map(|at| {
            if left == 0 {
                hz = note(196.0, *random.one_of(&SCALE));
                left = samples_in(*random.one_of(&[0.3, 0.45, 0.6, 0.9]));
                rest = left / 12;
            }
            left -= 1;
            pitch += (hz - pitch) * 0.01;
            loud += (if left > rest { 1.0 } else { 0.0 } - loud) * 0.02;
            phase = (phase + pitch * (1.0 + 0.008 * (seconds(at) * 5.5 * TAU).sin()) / HZ as f32).fract();
            loud * (1..14)
                .filter(|n| pitch * (*n as f32) < 3_800.0)
                .map(|n| (phase * n as f32 * TAU).sin() / n as f32)
                .sum::<f32>()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sound_is_heard_and_is_the_same_each_time() {
        let someone: Speaker = vec![(0..HZ).map(|at| (at as f32 * 0.1).sin()).collect()];
        let others = [&someone];
        for sound in Sound::ALONE.into_iter().chain([Sound::White, Sound::Pink, Sound::Brown, Sound::Babble(6)]) {
            let made = |number| sound.samples(3 * HZ, &mut Random::of(sound.name(), number), &others);
            let samples = made(1);
            assert_eq!(samples.len(), 3 * HZ);
            assert_eq!(samples, made(1), "{}", sound.name());
            assert!(samples.iter().all(|sample| sample.is_finite()), "{}", sound.name());
            assert!(samples.iter().any(|sample| sample.abs() > 0.01), "{}", sound.name());
        }
    }
}
