//! What the network sees of 16 ms: how loud each band of the telephone's is, whether there is a pitch and which, and how much of
//! the sound lies in a single tone. Looks at the frame and the one before it, and remembers nothing else.

use std::f32::consts::TAU;
use std::sync::{Arc, LazyLock};

use realfft::num_complex::Complex;
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};

use super::super::FRAME;

/// Samples that are looked at, 32 ms: the frame and the one before it.
const WINDOW: usize = 2 * FRAME;
/// Bands, equally wide on the mel scale, over what every telephone line lets through.
const BANDS: usize = 20;
const LOWEST_HZ: f32 = 100.0;
const HIGHEST_HZ: f32 = 3_800.0;
/// Bins of the spectrum, 31.25 Hz each, in which a pitch and tones are looked for: 125 to 4,000 Hz.
const VOICE_BINS: std::ops::Range<usize> = 4..128;
const BINS: usize = WINDOW / 2 + 1;
/// Lags in samples at 16 kHz among which the pitch is looked for: 400 down to 80 Hz.
const SHORTEST_LAG: usize = 40;
const LONGEST_LAG: usize = 200;
/// The lag that counts as 0 octaves: 178 Hz, between the voices of women and men.
const MIDDLE_LAG: f32 = 90.0;
/// Room for whatever the transforms need beside their input and output.
const SCRATCH: usize = 2 * WINDOW;

/// How many figures describe a frame.
pub(super) const FEATURES: usize = BANDS + 4;

/// A band's share in the bins from `first` on.
struct Band {
    first: usize,
    shares: Vec<f32>,
}

/// What all streams share.
struct Tables {
    forward: Arc<dyn RealToComplex<f32>>,
    back: Arc<dyn ComplexToReal<f32>>,
    window: [f32; WINDOW],
    /// From a bin's squared magnitude to the mean square of the sound in it.
    scale: f32,
    bands: [Band; BANDS],
    /// One over the window's own autocorrelation at each lag.
    lag_gain: [f32; LONGEST_LAG + 1 - SHORTEST_LAG],
}

static TABLES: LazyLock<Tables> = LazyLock::new(Tables::new);

impl Tables {
    fn new() -> Self {
        let mut planner = RealFftPlanner::new();
        let window: [f32; WINDOW] = std::array::from_fn(|n| 0.5 - 0.5 * (TAU * n as f32 / WINDOW as f32).cos());
        let correlation =
            |lag: usize| -> f32 { window.iter().zip(&window[lag..]).map(|(one, other)| one * other).sum() };
        let energy = correlation(0);
        let mel = |hz: f32| 2_595.0 * (1.0 + hz / 700.0).log10();
        let hz = |mel: f32| 700.0 * (10_f32.powf(mel / 2_595.0) - 1.0);
        let step = (mel(HIGHEST_HZ) - mel(LOWEST_HZ)) / (BANDS + 1) as f32;
        let edge = |n: usize| hz(mel(LOWEST_HZ) + step * n as f32);
        Self {
            forward: planner.plan_fft_forward(WINDOW),
            back: planner.plan_fft_inverse(WINDOW),
            scale: 2.0 / (energy * WINDOW as f32),
            bands: std::array::from_fn(|band| Band::between(edge(band), edge(band + 1), edge(band + 2))),
            lag_gain: std::array::from_fn(|n| energy / correlation(SHORTEST_LAG + n)),
            window,
        }
    }
}

impl Band {
    /// A triangle over `low` to `high` whose shares sum to one.
    fn between(low: f32, peak: f32, high: f32) -> Self {
        let share = |bin: usize| {
            let hz = bin as f32 * 16_000.0 / WINDOW as f32;
            ((hz - low) / (peak - low)).min((high - hz) / (high - peak)).max(0.0)
        };
        let first = (0..BINS).find(|bin| share(*bin) > 0.0).unwrap_or(0);
        let mut shares: Vec<f32> = (first..BINS).map(share).take_while(|share| *share > 0.0).collect();
        let sum: f32 = shares.iter().sum();
        shares.iter_mut().for_each(|share| *share /= sum);
        Self { first, shares }
    }
}

/// Describes `frame`, which came after `before`; both are 16 ms at 16 kHz in [-1, 1].
pub(super) fn describe(before: &[f32; FRAME], frame: &[f32; FRAME]) -> [f32; FEATURES] {
    let tables = &*TABLES;
    let mut samples = [0.0_f32; WINDOW];
    for ((sample, heard), window) in samples.iter_mut().zip(before.iter().chain(frame)).zip(&tables.window) {
        *sample = heard * window;
    }
    let mut spectrum = [Complex::new(0.0, 0.0); BINS];
    let mut scratch = [Complex::new(0.0, 0.0); SCRATCH];
    let room = &mut scratch[..tables.forward.get_scratch_len()];
    tables.forward.process_with_scratch(&mut samples, &mut spectrum, room).expect("the lengths are the plan's");

    let mut power = [0.0_f32; BINS];
    for (power, bin) in power.iter_mut().zip(&spectrum) {
        *power = bin.norm_sqr() * tables.scale;
    }
    let voice = &power[VOICE_BINS];
    let total = voice.iter().sum::<f32>() + 1e-12;
    let loudest = voice.iter().copied().fold(0.0, f32::max);

    let mut features = [0.0; FEATURES];
    for (feature, band) in features.iter_mut().zip(&tables.bands) {
        let energy: f32 = band.shares.iter().zip(&power[band.first..]).map(|(share, power)| share * power).sum();
        *feature = (energy + 1e-10).log10();
    }
    let (strength, lag) = pitch(tables, &power, &mut spectrum, &mut samples, &mut scratch);
    features[BANDS] = strength.clamp(-0.2, 1.5);
    features[BANDS + 1] = (lag as f32 / MIDDLE_LAG).log2();
    features[BANDS + 2] = (loudest / total + 1e-3).log10();
    features[BANDS + 3] = (total + 1e-10).log10();
    features
}

/// How strongly the sound repeats, 0 to some 1, and after how many samples: the highest autocorrelation, of the voice's bins alone.
fn pitch(
    tables: &Tables,
    power: &[f32; BINS],
    spectrum: &mut [Complex<f32>; BINS],
    samples: &mut [f32; WINDOW],
    scratch: &mut [Complex<f32>; SCRATCH],
) -> (f32, usize) {
    spectrum.fill(Complex::new(0.0, 0.0));
    for bin in VOICE_BINS {
        spectrum[bin].re = power[bin];
    }
    let room = &mut scratch[..tables.back.get_scratch_len()];
    tables.back.process_with_scratch(spectrum, samples, room).expect("the lengths are the plan's, the ends real");
    let whole = samples[0] + 1e-12;
    let mut best = (f32::MIN, SHORTEST_LAG);
    for ((lag, correlation), gain) in (SHORTEST_LAG..).zip(&samples[SHORTEST_LAG..=LONGEST_LAG]).zip(&tables.lag_gain) {
        let strength = correlation * gain / whole;
        if strength > best.0 {
            best = (strength, lag);
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(hz: f32, harmonics: usize, level: f32) -> ([f32; FRAME], [f32; FRAME]) {
        let at = |n: usize| {
            let phase = TAU * hz * n as f32 / 16_000.0;
            (1..=harmonics).map(|harmonic| (phase * harmonic as f32).sin()).sum::<f32>() * level
        };
        (std::array::from_fn(at), std::array::from_fn(|n| at(FRAME + n)))
    }

    #[test]
    fn a_voice_has_its_pitch() {
        for hz in [100.0, 160.0, 250.0] {
            let (before, frame) = tone(hz, 8, 0.05);
            let features = describe(&before, &frame);
            let pitch = 16_000.0 / (MIDDLE_LAG * features[BANDS + 1].exp2());
            // Two or three periods are as like each other as two that follow.
            let periods = hz / pitch;
            assert!((periods / periods.round() - 1.0).abs() < 0.03, "{hz}: {pitch}");
            assert!(features[BANDS] > 0.8, "{hz}: {}", features[BANDS]);
        }
    }

    #[test]
    fn a_tone_lies_in_one_place_and_a_voice_does_not() {
        let (before, frame) = tone(1_000.0, 1, 0.2);
        assert!(describe(&before, &frame)[BANDS + 2] > -0.35);
        let (before, frame) = tone(150.0, 12, 0.05);
        assert!(describe(&before, &frame)[BANDS + 2] < -0.8);
    }

    #[test]
    fn twenty_decibels_more_are_two_more_in_every_band() {
        let (before, frame) = tone(125.0, 25, 0.002);
        let louder = |frame: &[f32; FRAME]| frame.map(|sample| sample * 10.0);
        let (soft, loud) = (describe(&before, &frame), describe(&louder(&before), &louder(&frame)));
        for (soft, loud) in soft[..BANDS].iter().zip(&loud[..BANDS]) {
            assert!((loud - soft - 2.0).abs() < 0.05, "{soft} {loud}");
        }
    }

    #[test]
    fn silence_is_described_too() {
        let features = describe(&[0.0; FRAME], &[0.0; FRAME]);
        assert!(features.iter().all(|feature| feature.is_finite()));
    }
}
