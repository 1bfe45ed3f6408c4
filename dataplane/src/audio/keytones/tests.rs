use super::*;

use std::path::Path;

use proptest::prelude::*;

use crate::audio::{Codec, Concealer, Decoder, Encoder};

const ALL: &str = "123A456B789C*0#D";

/// A press as it is generated.
#[derive(Clone, Copy)]
struct Tones {
    rate: SampleRate,
    /// Of the row, and of the column against it, decibels.
    level_dbfs: f32,
    twist_db: f32,
    /// Off the frequencies, as a share of them.
    row_off: f32,
    column_off: f32,
    tone_ms: u32,
    pause_ms: u32,
}

const PLAIN: Tones = Tones {
    rate: SampleRate::Hz8000,
    level_dbfs: -12.0,
    twist_db: 0.0,
    row_off: 0.0,
    column_off: 0.0,
    tone_ms: 60,
    pause_ms: 60,
};

fn decibels(db: f32) -> f32 {
    10_f32.powf(db / 20.0)
}

impl Tones {
    fn length(&self, ms: u32) -> usize {
        (self.rate.hz() * ms / 1_000) as usize
    }

    /// A pause, then the keys, each with its pause behind it. `shift` samples before all moves them against the steps.
    fn keys(&self, keys: &str, shift: usize) -> Vec<f32> {
        let mut samples = vec![0.0; self.length(50) + shift];
        // The level is of a tone's power: a sine of full scale has −3 dB.
        let row_amplitude = decibels(self.level_dbfs) * std::f32::consts::SQRT_2;
        for key in keys.chars() {
            let at = ALL.find(key).expect("a key");
            let rows = ROWS_HZ[at / 4] * (1.0 + self.row_off);
            let columns = COLUMNS_HZ[at % 4] * (1.0 + self.column_off);
            let wave = |hz: f32, n: usize| (TAU * hz * n as f32 / self.rate.hz() as f32).sin();
            let both = |n| row_amplitude * (wave(rows, n) + decibels(self.twist_db) * wave(columns, n));
            samples.extend((0..self.length(self.tone_ms)).map(both));
            samples.extend(std::iter::repeat_n(0.0, self.length(self.pause_ms)));
        }
        samples
    }
}

/// Noise that is the same in every run: uniform, of this power.
fn noise(dbfs: f32, seed: u64) -> impl FnMut() -> f32 {
    let amplitude = decibels(dbfs) * 3_f32.sqrt();
    let mut state = seed | 1;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        amplitude * ((state >> 40) as f32 / (1_u64 << 23) as f32 - 1.0)
    }
}

fn heard(rate: SampleRate, samples: &[f32]) -> String {
    let mut tones = KeyTones::new(rate);
    let mut keys = String::new();
    // In the pieces in which a stream has them.
    for frame in samples.chunks(rate.hz() as usize / 50) {
        tones.process(frame, |key| keys.push(key));
    }
    tones.process(&vec![0.0; rate.hz() as usize / 5], |key| keys.push(key));
    keys
}

fn keys_of(tones: Tones) -> String {
    heard(tones.rate, &tones.keys(ALL, 0))
}

#[test]
fn all_keys_are_heard_at_both_rates_and_wherever_they_begin() {
    for rate in [SampleRate::Hz8000, SampleRate::Hz16000] {
        for shift in 0..80 {
            let tones = Tones { rate, ..PLAIN };
            assert_eq!(heard(rate, &tones.keys(ALL, shift)), ALL, "{rate:?} {shift}");
        }
    }
}

#[test]
fn forty_milliseconds_of_tone_and_of_pause_are_enough_and_twenty_are_not() {
    for shift in 0..40 {
        let short = Tones { tone_ms: 41, pause_ms: 41, ..PLAIN };
        assert_eq!(heard(short.rate, &short.keys("1590DD", shift)), "1590DD", "{shift}");
        let too_short = Tones { tone_ms: 23, ..PLAIN };
        assert_eq!(heard(too_short.rate, &too_short.keys(ALL, shift)), "", "{shift}");
    }
}

#[test]
fn a_hole_of_ten_milliseconds_does_not_part_a_press_and_one_key_twice_is_two() {
    let tones = Tones { tone_ms: 100, ..PLAIN };
    let mut samples = tones.keys("5", 0);
    let hole = tones.length(50) + tones.length(45);
    samples[hole..hole + tones.length(10)].fill(0.0);
    assert_eq!(heard(tones.rate, &samples), "5");
    assert_eq!(heard(tones.rate, &tones.keys("555", 0)), "555");
}

#[test]
fn levels_and_twists_of_telephones_are_heard_and_others_are_not() {
    for level_dbfs in [-6.0, -10.0, -20.0, -30.0, -36.0] {
        assert_eq!(keys_of(Tones { level_dbfs, ..PLAIN }), ALL, "{level_dbfs} dB");
    }
    assert_eq!(keys_of(Tones { level_dbfs: -55.0, ..PLAIN }), "");
    for twist_db in [-8.0, -4.0, 0.0, 4.0] {
        assert_eq!(keys_of(Tones { twist_db, level_dbfs: -15.0, ..PLAIN }), ALL, "{twist_db} dB");
    }
    for twist_db in [-14.0, 10.0] {
        assert_eq!(keys_of(Tones { twist_db, level_dbfs: -15.0, ..PLAIN }), "", "{twist_db} dB");
    }
}

#[test]
fn tones_off_by_one_and_a_half_percent_are_heard_and_by_three_and_a_half_are_not() {
    for (row_off, column_off) in [(0.015, 0.015), (-0.015, -0.015), (0.015, -0.015), (-0.015, 0.015)] {
        for shift in [0, 13, 27] {
            let tones = Tones { row_off, column_off, ..PLAIN };
            assert_eq!(heard(tones.rate, &tones.keys(ALL, shift)), ALL, "{row_off} {column_off}");
        }
    }
    for off in [0.035, -0.035, 0.05, -0.05] {
        assert_eq!(keys_of(Tones { row_off: off, ..PLAIN }), "", "row {off}");
        assert_eq!(keys_of(Tones { column_off: off, ..PLAIN }), "", "column {off}");
    }
}

#[test]
fn noise_15_db_weaker_is_no_hindrance() {
    for seed in 1..6 {
        let tones = Tones { tone_ms: 50, pause_ms: 50, level_dbfs: -20.0, ..PLAIN };
        let mut hiss = noise(-20.0 + 3.0 - 15.0, seed);
        let samples: Vec<f32> = tones.keys(ALL, 0).iter().map(|sample| sample + hiss()).collect();
        assert_eq!(heard(tones.rate, &samples), ALL, "{seed}");
    }
}

#[test]
fn keys_pass_every_codec_and_the_loss_of_packets() {
    for codec in [Codec::Pcmu, Codec::Pcma, Codec::G722, Codec::L16(SampleRate::Hz16000)] {
        let rate = codec.audio_rate();
        let tones = Tones { rate, tone_ms: 100, pause_ms: 100, ..PLAIN };
        for lost_every in [u32::MAX, 20] {
            let (mut encoder, mut decoder, mut concealer) =
                (Encoder::new(codec), Decoder::new(codec), Concealer::new(rate));
            let (mut payload, mut samples) = (Vec::new(), Vec::new());
            let frame = rate.hz() as usize / 50;
            for (at, piece) in (1_u32..).zip(tones.keys(ALL, 0).chunks_exact(frame)) {
                payload.clear();
                encoder.encode(piece, &mut payload);
                let start = samples.len();
                if at % lost_every == 0 {
                    concealer.conceal(frame, &mut samples);
                } else {
                    decoder.decode(&payload, &mut samples);
                    concealer.received(&mut samples[start..]);
                }
            }
            assert_eq!(heard(rate, &samples), ALL, "{codec:?}, one packet of {lost_every} lost");
        }
    }
}

#[test]
fn a_key_shows_while_it_is_pressed() {
    let tones = Tones { tone_ms: 100, ..PLAIN };
    let samples = tones.keys("7", 0);
    let mut listening = KeyTones::new(tones.rate);
    let (lead, end) = (tones.length(50), tones.length(150));
    let mut shown = 0;
    for (at, step) in samples.chunks_exact(STEP).enumerate() {
        listening.process(step, |_| {});
        let within = (lead + tones.length(25)..end).contains(&(at * STEP));
        assert!(!within || listening.is_key(), "{at}");
        shown += usize::from(listening.is_key());
    }
    assert!(shown * STEP < tones.length(150), "and not for long behind it");
}

#[test]
fn other_tones_are_no_keys() {
    // Dial, ringing, busy, special information, fax, modem, a whistle.
    let signals: [&[f32]; 8] = [
        &[350.0, 440.0],
        &[440.0, 480.0],
        &[480.0, 620.0],
        &[425.0],
        &[1_100.0],
        &[2_100.0],
        &[950.0, 1_400.0, 1_800.0],
        &[1_000.0],
    ];
    for tones in signals {
        let wave = |n: usize| tones.iter().map(|hz| (TAU * hz * n as f32 / 8_000.0).sin()).sum::<f32>() * 0.2;
        assert_eq!(heard(SampleRate::Hz8000, &(0..16_000).map(wave).collect::<Vec<_>>()), "", "{tones:?}");
    }
    let mut hiss = noise(-20.0, 7);
    assert_eq!(heard(SampleRate::Hz8000, &(0..800_000).map(|_| hiss()).collect::<Vec<_>>()), "");
}

#[test]
fn no_voice_is_heard_as_keys() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../e2e/voices");
    let mut seconds = 0.0;
    for file in std::fs::read_dir(folder).expect("the callers' recordings").flatten() {
        let Ok(mut wav) = hound::WavReader::open(file.path()) else { continue };
        let voice: Vec<f32> = wav.samples::<i16>().flatten().map(|sample| f32::from(sample) / 32_768.0).collect();
        // Slower and faster, so that one recording is many voices; louder and softer.
        for percent in (60..=170).step_by(5) {
            let speed = percent as f32 / 100.0;
            let at = |n: usize| {
                let place = n as f32 * speed;
                let (index, part) = (place as usize, place.fract());
                voice[index] * (1.0 - part) + voice[index + 1] * part
            };
            let length = ((voice.len() - 2) as f32 / speed) as usize;
            for gain in [1.0, 3.0] {
                let samples: Vec<f32> = (0..length).map(|n| (at(n) * gain).clamp(-1.0, 1.0)).collect();
                assert_eq!(heard(SampleRate::Hz16000, &samples), "", "{:?} at {percent} %, gain {gain}", file.path());
                seconds += samples.len() as f64 / 16_000.0;
            }
        }
    }
    println!("{seconds:.0} s of voices");
    assert!(seconds > 600.0, "{seconds}");
}

proptest! {
    #[test]
    fn whatever_is_heard_is_finite_work(samples in proptest::collection::vec(-2.0_f32..2.0, 0..4_000), rate in 0..2_usize) {
        let rate = [SampleRate::Hz8000, SampleRate::Hz16000][rate];
        prop_assert!(heard(rate, &samples).len() <= samples.len() / 300 + 1);
    }
}
