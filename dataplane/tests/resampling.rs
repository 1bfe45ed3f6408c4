//! What the rate conversions of the packet path do to telephone audio, measured from outside with tones, and held against
//! the project's limits: the band within ±0.5 dB, what folds or mirrors at -60 dB or below, at most 5 ms of delay.
//!
//! `cargo test --test resampling -- --nocapture` prints the table.

use std::f64::consts::TAU;
use std::time::Duration;

use sofia_dataplane::audio::{Resampler, SampleRate};

const AMPLITUDE: f64 = 0.5;
const MOST_DEVIATION_DB: f64 = 0.5;
const MOST_ALIAS_DB: f64 = -60.0;
const MOST_DELAY: Duration = Duration::from_millis(5);

/// A tone of `hz` through a fresh converter, in frames of 20 ms, without the first 100 ms.
struct Heard {
    rate_hz: f64,
    /// Index of the first sample that is kept.
    start: usize,
    samples: Vec<f64>,
}

impl Heard {
    fn tone(from: SampleRate, to: SampleRate, hz: f64) -> Self {
        let mut resampler = Resampler::new(from, to);
        let tone: Vec<f32> = (0..from.hz() / 2)
            .map(|n| (AMPLITUDE * (TAU * hz * f64::from(n) / f64::from(from.hz())).sin()) as f32)
            .collect();
        let mut out = Vec::new();
        for frame in tone.chunks(from.samples(Duration::from_millis(20))) {
            resampler.process(frame, &mut out);
        }
        let start = to.samples(Duration::from_millis(100));
        let samples = out[start..].iter().map(|sample| f64::from(*sample)).collect();
        Self { rate_hz: f64::from(to.hz()), start, samples }
    }

    /// The tone of `hz` in it: amplitude, phase in radians, and the power of all the rest. `hz` is a multiple of 10, so
    /// that 400 ms hold whole periods and the projection is exact.
    fn fit(&self, hz: f64) -> (f64, f64, f64) {
        let turn = |n: usize| TAU * hz * (self.start + n) as f64 / self.rate_hz;
        let (sine, cosine) = self.samples.iter().enumerate().fold((0.0, 0.0), |(sine, cosine), (n, sample)| {
            (sine + sample * turn(n).sin(), cosine + sample * turn(n).cos())
        });
        let (sine, cosine) = (2.0 * sine / self.samples.len() as f64, 2.0 * cosine / self.samples.len() as f64);
        let rest = self
            .samples
            .iter()
            .enumerate()
            .map(|(n, sample)| (sample - sine * turn(n).sin() - cosine * turn(n).cos()).powi(2))
            .sum::<f64>()
            / self.samples.len() as f64;
        (sine.hypot(cosine), cosine.atan2(sine), rest)
    }

    fn power(&self) -> f64 {
        self.samples.iter().map(|sample| sample * sample).sum::<f64>() / self.samples.len() as f64
    }
}

/// A power, in dB below the tone that was sent.
fn below_tone_db(power: f64) -> f64 {
    10.0 * (power / (AMPLITUDE * AMPLITUDE / 2.0)).max(1e-15).log10()
}

/// The band that a conversion has to keep: the telephone's if one side is narrow, else wideband telephony's.
fn band(from: SampleRate, to: SampleRate) -> (u32, u32) {
    if from.min(to) == SampleRate::Hz8000 { (300, 3400) } else { (50, 7000) }
}

struct Measured {
    /// Gain over the band, in dB.
    lowest_db: f64,
    highest_db: f64,
    /// What a tone of the band makes besides itself.
    image_db: f64,
    /// What a tone above the output's band makes at all, where that falls into the band.
    alias_db: Option<f64>,
    delay: Duration,
}

fn measure(from: SampleRate, to: SampleRate) -> Measured {
    let (low, high) = band(from, to);
    let (mut lowest_db, mut highest_db, mut image_db) = (f64::MAX, f64::MIN, f64::MIN);
    for hz in (low..=high).step_by(50) {
        let heard = Heard::tone(from, to, f64::from(hz));
        let (amplitude, _, rest) = heard.fit(f64::from(hz));
        let gain_db = 20.0 * (amplitude / AMPLITUDE).log10();
        lowest_db = lowest_db.min(gain_db);
        highest_db = highest_db.max(gain_db);
        image_db = image_db.max(below_tone_db(rest));
    }
    let alias_db = (to < from)
        .then(|| {
            // A tone at `to - hz` folds onto `hz`; further up it folds again and again.
            let first = to.hz() - high;
            (first..from.hz() / 2)
                .step_by(50)
                .filter(|hz| {
                    let folded = hz % to.hz();
                    (low..=high).contains(&folded.min(to.hz() - folded))
                })
                .map(|hz| below_tone_db(Heard::tone(from, to, f64::from(hz)).power()))
                .fold(f64::MIN, f64::max)
        })
        .filter(|worst| *worst > f64::MIN);
    // The phase of 50 Hz is unambiguous up to 20 ms, and a symmetric filter delays all frequencies alike.
    let (_, phase, _) = Heard::tone(from, to, 50.0).fit(50.0);
    let delay = Duration::from_secs_f64((-phase).rem_euclid(TAU) / TAU / 50.0);
    Measured { lowest_db, highest_db, image_db, alias_db, delay }
}

fn pairs() -> impl Iterator<Item = (SampleRate, SampleRate)> {
    SampleRate::ALL
        .into_iter()
        .flat_map(|from| SampleRate::ALL.into_iter().map(move |to| (from, to)))
        .filter(|(from, to)| from != to)
}

#[test]
fn every_conversion_keeps_its_band_and_nothing_else_and_is_quick() {
    println!("from → to (Hz)   band (Hz)      gain (dB)        images (dB)  aliases (dB)  delay (ms)");
    for (from, to) in pairs() {
        let (low, high) = band(from, to);
        let measured = measure(from, to);
        println!(
            "{:>5} → {:<5}    {low:>3}–{high:<4}   {:+.3} to {:+.3}    {:>7.1}      {:>7}        {:.2}",
            from.hz(),
            to.hz(),
            measured.lowest_db,
            measured.highest_db,
            measured.image_db,
            measured.alias_db.map_or("-".to_owned(), |db| format!("{db:.1}")),
            measured.delay.as_secs_f64() * 1e3,
        );
        let pair = format!("{from} to {to}");
        assert!(measured.lowest_db >= -MOST_DEVIATION_DB, "{pair}: {} dB", measured.lowest_db);
        assert!(measured.highest_db <= MOST_DEVIATION_DB, "{pair}: {} dB", measured.highest_db);
        assert!(measured.image_db <= MOST_ALIAS_DB, "{pair}: {} dB", measured.image_db);
        assert!(measured.alias_db.is_none_or(|db| db <= MOST_ALIAS_DB), "{pair}: {:?} dB", measured.alias_db);
        assert!(measured.delay <= MOST_DELAY, "{pair}: {:?}", measured.delay);
        let told = Resampler::new(from, to).delay();
        assert!(told.abs_diff(measured.delay) < Duration::from_micros(20), "{pair}: {told:?}, {:?}", measured.delay);
    }
}

#[test]
fn into_narrowband_nothing_folds_below_3800_hz() {
    for from in [SampleRate::Hz16000, SampleRate::Hz24000, SampleRate::Hz48000] {
        for hz in (4_200..from.hz() / 2).step_by(50) {
            let heard = below_tone_db(Heard::tone(from, SampleRate::Hz8000, f64::from(hz)).power());
            assert!(heard <= MOST_ALIAS_DB, "{from}: {hz} Hz came through with {heard} dB");
        }
    }
}

#[test]
fn there_and_back_again_is_the_same_speech() {
    for (narrow, wide) in pairs().filter(|(narrow, wide)| narrow < wide) {
        let (mut up, mut down) = (Resampler::new(narrow, wide), Resampler::new(wide, narrow));
        let speech: Vec<f32> = (0..narrow.hz())
            .map(|n| {
                let seconds = f64::from(n) / f64::from(narrow.hz());
                let wave: f64 = (2..16).map(|h| (TAU * 200.0 * f64::from(h) * seconds).sin() / f64::from(h)).sum();
                (0.3 * wave) as f32
            })
            .collect();
        let (mut middle, mut end) = (Vec::new(), Vec::new());
        for frame in speech.chunks(narrow.samples(Duration::from_millis(20))) {
            middle.clear();
            up.process(frame, &mut middle);
            down.process(&middle, &mut end);
        }
        assert_eq!(end.len(), speech.len());
        // The delays add up to a part of a sample: compare by level and by the tone that is left over.
        let settled = speech.len() / 2..;
        let power = |samples: &[f32]| samples.iter().map(|sample| f64::from(*sample).powi(2)).sum::<f64>();
        let change_db = 10.0 * (power(&end[settled.clone()]) / power(&speech[settled])).log10();
        assert!(change_db.abs() < 0.1, "{narrow} and {wide}: {change_db} dB");
    }
}

#[test]
fn a_tone_that_starts_and_stops_at_zero_makes_no_click() {
    for (from, to) in pairs() {
        let mut resampler = Resampler::new(from, to);
        let frame = from.samples(Duration::from_millis(20));
        // 400 Hz: whole periods in a frame, between frames of silence that take the shortcut.
        let tone: Vec<f32> =
            (0..frame).map(|n| (AMPLITUDE * (TAU * 400.0 * n as f64 / f64::from(from.hz())).sin()) as f32).collect();
        let mut out = Vec::new();
        for n in 0..30 {
            let silent = n % 6 < 3;
            resampler.process(if silent { &[0.0; 960][..frame] } else { &tone }, &mut out);
        }
        let steepest = AMPLITUDE * TAU * 400.0 / f64::from(to.hz());
        let jump = out.windows(2).map(|pair| f64::from((pair[1] - pair[0]).abs())).fold(0.0, f64::max);
        assert!(jump < 1.2 * steepest, "{from} to {to}: {jump}, the tone itself has {steepest}");
    }
}
