//! How much of a sound is voice, by what makes it one: vocal folds open and close 70 to 400 times a second, so that voiced
//! speech repeats itself from period to period and noise does not. Looks at whole utterances, off the packet path; it tells
//! no words from a hum, and when speech begins or ends is not its matter ([`super::vad`]).

use std::time::Duration;

use super::SampleRate;

/// What is looked at has 4 kHz: the lower harmonics, which repeat best, and a sixteenth of the work.
const RATE_HZ: usize = 4_000;
/// Samples of a window at that rate: 25 ms, two periods of the lowest voice.
const WINDOW: usize = 100;
/// A window every 10 ms.
const STEP: usize = 40;
/// 400 Hz and 70 Hz.
const SHORTEST_PERIOD: usize = 10;
const LONGEST_PERIOD: usize = 57;
/// From this likeness on a window repeats itself. In noise of the telephone band the likeness of 48 periods is rarely above
/// 0.5.
const ALIKE: f32 = 0.6;
/// So many windows in a row with about the same period are voice; noise has such by chance, one at a time.
const RUN: usize = 4;

/// How much of `pcm`, mono at 16 kHz, is voice: steps of 10 ms in runs of at least 40 ms, of steady pitch.
#[must_use]
pub fn voiced(pcm: &[i16]) -> Duration {
    let sound = lowered(pcm);
    let (mut steps, mut run, mut last) = (0, 0_usize, None::<usize>);
    let mut at = 0;
    while at + WINDOW + LONGEST_PERIOD <= sound.len() {
        let period = period(&sound[at..at + WINDOW + LONGEST_PERIOD]);
        // A period or its double: which of them fits best changes from window to window.
        let follows = |a: usize, b: usize| {
            let (low, high) = (a.min(b), a.max(b));
            let near = |multiple: usize| (low * multiple).abs_diff(high) * 6 <= high;
            near(1) || near(2)
        };
        run = match (period, last) {
            (Some(period), Some(last)) if follows(period, last) => run + 1,
            (Some(_), _) => 1,
            (None, _) => 0,
        };
        // The run's first steps count as soon as it is long enough.
        steps += match run {
            RUN => RUN,
            longer if longer > RUN => 1,
            _ => 0,
        };
        last = period;
        at += STEP;
    }
    Duration::from_millis(10) * u32::try_from(steps).unwrap_or(u32::MAX)
}

/// The period after which the window repeats itself, if it does.
fn period(sound: &[f32]) -> Option<usize> {
    let window = &sound[..WINDOW];
    let energy: f32 = window.iter().map(|sample| sample * sample).sum();
    // Digital silence, and steps of one: G.711's idle sound.
    if energy < WINDOW as f32 * 4.0 {
        return None;
    }
    let alike = |lag: usize| {
        let later = &sound[lag..lag + WINDOW];
        let (mut product, mut power) = (0.0_f32, 0.0_f32);
        for (a, b) in window.iter().zip(later) {
            product += a * b;
            power += b * b;
        }
        product / (energy * power).sqrt().max(1.0)
    };
    let (lag, best) =
        (SHORTEST_PERIOD..=LONGEST_PERIOD).map(|lag| (lag, alike(lag))).max_by(|a, b| a.1.total_cmp(&b.1))?;
    (best >= ALIKE).then_some(lag)
}

/// At [`RATE_HZ`]: two running means of eight samples, which leave what is below 1 kHz; and without what is below 100 Hz.
fn lowered(pcm: &[i16]) -> Vec<f32> {
    const FACTOR: usize = SampleRate::Hz16000.hz() as usize / RATE_HZ;
    const MEAN: usize = 8;
    let mut first = [0.0_f32; MEAN];
    let mut second = [0.0_f32; MEAN];
    let (mut sum_first, mut sum_second, mut slow) = (0.0_f32, 0.0_f32, 0.0_f32);
    let mut lowered = Vec::with_capacity(pcm.len() / FACTOR);
    for (index, sample) in pcm.iter().enumerate() {
        let slot = index % MEAN;
        let sample = f32::from(*sample) / MEAN as f32;
        sum_first += sample - first[slot];
        first[slot] = sample;
        let mean = sum_first / MEAN as f32;
        sum_second += mean - second[slot];
        second[slot] = mean;
        if index % FACTOR == 0 {
            slow += (sum_second - slow) * 0.15;
            lowered.push(sum_second - slow);
        }
    }
    lowered
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::wav;

    fn recording(name: &str) -> Vec<i16> {
        let path = format!("{}/../e2e/voices/{name}.wav", env!("CARGO_MANIFEST_DIR"));
        let audio = wav::read(&std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))).unwrap();
        let factor = 16_000 / audio.rate.hz() as usize;
        audio.samples.iter().flat_map(|sample| std::iter::repeat_n(*sample, factor.max(1))).collect()
    }

    /// Noise of this level, in the telephone band by two crude filters, always the same.
    fn noise(samples: usize, level: f32, seed: u32) -> Vec<f32> {
        let mut state = seed;
        let (mut low, mut high) = (0.0_f32, 0.0_f32);
        (0..samples)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let white = (state >> 8) as f32 / 8_388_608.0 - 1.0;
                low += (white - low) * 0.7;
                high += (low - high) * 0.1;
                (low - high) * level
            })
            .collect()
    }

    fn ms(pcm: &[i16]) -> u64 {
        voiced(pcm).as_millis() as u64
    }

    const VOICES: [&str; 6] =
        ["go_forward", "go_somewhere", "seven_of_clubs", "five_five", "queen_of_clubs", "amiable_woman"];

    #[test]
    fn people_have_voice_and_noise_has_none() {
        for voice in VOICES {
            let pcm = recording(voice);
            println!("{voice}: {} ms of {}", ms(&pcm), pcm.len() / 16);
            assert!(ms(&pcm) >= 300, "{voice}: {} ms", ms(&pcm));
        }
        for seed in 1..=20 {
            for level in [30.0, 1_000.0, 12_000.0] {
                let pcm: Vec<i16> = noise(48_000, level, seed).iter().map(|sample| *sample as i16).collect();
                assert!(ms(&pcm) < 60, "seed {seed}, level {level}: {} ms in 3 s", ms(&pcm));
            }
        }
        assert_eq!(ms(&[0; 16_000]), 0);
        assert_eq!(ms(&[]), 0);
    }

    #[test]
    fn voice_is_found_in_noise_as_loud_as_a_bad_line_has() {
        for voice in VOICES {
            let pcm = recording(voice);
            let power = pcm.iter().map(|sample| f32::from(*sample).powi(2)).sum::<f32>() / pcm.len() as f32;
            // 10 dB weaker than the speech.
            let unit = noise(pcm.len(), 1.0, 7);
            let unit_power = unit.iter().map(|sample| sample * sample).sum::<f32>() / unit.len() as f32;
            let gain = (power / unit_power / 10.0).sqrt();
            let noisy: Vec<i16> =
                pcm.iter().zip(&unit).map(|(sample, noise)| (f32::from(*sample) + noise * gain) as i16).collect();
            println!("{voice} in noise: {} ms", ms(&noisy));
            assert!(ms(&noisy) >= 200, "{voice}: {} ms", ms(&noisy));
        }
    }
}
