use super::*;

fn round_trip(pcm: &[f32]) -> Vec<f32> {
    let (mut payload, mut out) = (Vec::new(), Vec::new());
    Encoder::default().encode(pcm, &mut payload);
    Decoder::default().decode(&payload, &mut out);
    out
}

/// The filter banks of both ends delay by this many samples together.
const DELAY: usize = 22;

/// Signal to noise ratio in dB, after the codec has settled.
fn snr_db(pcm: &[f32], out: &[f32]) -> f32 {
    let settled = 800..pcm.len() - DELAY;
    let signal: f32 = pcm[settled.clone()].iter().map(|sample| sample * sample).sum();
    let noise: f32 = settled.map(|n| (pcm[n] - out[n + DELAY]).powi(2)).sum();
    10.0 * (signal / noise).log10()
}

/// A voiced sound: harmonics of a gliding pitch up to 7 kHz, falling by the 9 dB an octave of average speech, in syllables.
fn speech_like() -> Vec<f32> {
    let mut phase = 0.0_f32;
    (0..32_000)
        .map(|n| {
            let seconds = n as f32 / 16_000.0;
            let pitch_hz = 120.0 + 30.0 * (seconds * 3.0).sin();
            phase = (phase + pitch_hz / 16_000.0).fract();
            let syllable = 0.55 - 0.45 * (seconds * 4.0 * std::f32::consts::TAU).cos();
            let harmonics = (7000.0 / pitch_hz) as i32;
            let wave: f32 =
                (1..=harmonics).map(|h| (std::f32::consts::TAU * phase * h as f32).sin() / (h as f32).powf(1.5)).sum();
            0.2 * syllable * wave
        })
        .collect()
}

#[test]
fn speech_comes_through_with_20_db_of_signal_to_noise() {
    let speech = speech_like();
    let snr = snr_db(&speech, &round_trip(&speech));
    assert!(snr >= 20.0, "{snr} dB");
}

#[test]
fn tones_over_the_whole_band_come_through() {
    for (hz, least_db) in [(50.0, 30.0), (300.0, 30.0), (1000.0, 30.0), (3000.0, 25.0), (5000.0, 10.0), (7000.0, 10.0)]
    {
        let tone: Vec<f32> =
            (0..16_000).map(|n| 0.3 * (std::f32::consts::TAU * hz * n as f32 / 16_000.0).sin()).collect();
        let snr = snr_db(&tone, &round_trip(&tone));
        assert!(snr >= least_db, "{hz} Hz: {snr} dB");
    }
}

#[test]
fn silence_stays_near_silent() {
    let out = round_trip(&[0.0; 3200]);
    assert!(out.iter().all(|sample| sample.abs() < 1e-3));
}

#[test]
fn an_odd_sample_waits_for_its_partner() {
    let speech = speech_like();
    let (mut whole, mut parts) = (Vec::new(), Vec::new());
    Encoder::default().encode(&speech, &mut whole);
    let mut encoder = Encoder::default();
    speech.chunks(33).for_each(|block| encoder.encode(block, &mut parts));
    assert_eq!(whole.len(), speech.len() / 2);
    assert_eq!(whole, parts);
}

#[test]
fn full_scale_square_waves_are_clipped_and_do_not_wrap() {
    let square: Vec<f32> = (0..3200).map(|n| if n / 40 % 2 == 0 { 1.0 } else { -1.0 }).collect();
    let out = round_trip(&square);
    // In the middle of a half wave the sign is right, whatever the codec's overshoot.
    let wrong = (1000..3000).filter(|n| n % 40 == 20 && square[*n] * out[n + DELAY] < 0.0).count();
    assert_eq!(wrong, 0);
}
