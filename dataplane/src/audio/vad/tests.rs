mod lines;
mod turns;

use self::lines::{Sound, at_level};
use super::*;
use crate::audio::{ComfortNoise, Decoder, Encoder, codec::Codec};

fn frames(detector: &mut VoiceDetector, pcm: &[f32]) -> Vec<VoiceFrame> {
    let mut frames = Vec::new();
    detector.push(pcm, |frame| frames.push(frame));
    frames
}

fn noise(level_dbov: u8, samples: usize) -> Vec<f32> {
    let mut noise = ComfortNoise::new(11);
    noise.update(&[level_dbov]);
    let mut out = Vec::new();
    noise.fill(samples, &mut out);
    out
}

/// Four syllables a second, each a gliding vowel: a buzz at the pitch through two resonances.
fn babble(samples: usize) -> Vec<f32> {
    let mut phase = 0.0_f32;
    let mut resonators = [[0.0_f32; 2]; 3];
    (0..samples)
        .map(|n| {
            let seconds = n as f32 / 16_000.0;
            let syllable = (1.0 - (seconds * 4.0 * std::f32::consts::TAU).cos()) / 2.0;
            phase += (130.0 + 25.0 * (seconds * 5.0).sin()) / 16_000.0;
            let pulse = if phase >= 1.0 { 1.0 } else { 0.0 };
            phase = phase.fract();
            let formants = [550.0 + 200.0 * (seconds * 9.0).sin(), 1500.0 + 400.0 * (seconds * 6.0).cos(), 2600.0];
            let vowel: f32 = resonators
                .iter_mut()
                .zip(formants)
                .zip([1.0, 0.6, 0.3])
                .map(|((state, hz), gain)| {
                    let (radius, angle) = (0.975_f32, std::f32::consts::TAU * hz / 16_000.0);
                    let sample = pulse + 2.0 * radius * angle.cos() * state[0] - radius * radius * state[1];
                    *state = [sample, state[0]];
                    gain * sample
                })
                .sum();
            0.1 * syllable * vowel
        })
        .collect()
}

#[test]
fn every_16_ms_give_a_frame_however_the_stream_is_cut() {
    let pcm = babble(16_000);
    let mut detector = VoiceDetector::new(VoiceSettings::default());
    let whole = frames(&mut detector, &pcm);
    assert_eq!(whole.len(), 62);
    detector.reset();
    let parts: Vec<VoiceFrame> = pcm.chunks(320).flat_map(|block| frames(&mut detector, block)).collect();
    assert_eq!(whole, parts);
}

#[test]
fn a_voice_is_heard_in_silence_and_in_noise() {
    for level in [127, 60, 45] {
        let mut detector = VoiceDetector::new(VoiceSettings::default());
        let background = noise(level, 48_000);
        frames(&mut detector, &background[..32_000]);
        let speech: Vec<f32> = babble(16_000).iter().zip(&background).map(|(voice, noise)| voice + noise).collect();
        let voiced = frames(&mut detector, &speech).iter().filter(|frame| frame.voiced).count();
        assert!(voiced > 25, "{voiced} of 62 frames over noise of -{level} dBov");
    }
}

#[test]
fn silence_costs_no_network() {
    let mut detector = VoiceDetector::new(VoiceSettings::default());
    let silent = frames(&mut detector, &[0.0; 16_000]);
    assert!(silent.iter().all(|frame| !frame.voiced && frame.score == 0.0 && frame.energy_dbfs == -120.0));
    assert_eq!(detector.skipped_of(), (62, 62));
}

#[test]
fn idle_a_law_and_a_constant_offset_are_silence() {
    let mut idle = Vec::new();
    let mut payload = Vec::new();
    Encoder::new(Codec::Pcma).encode(&[0.0; 16_000], &mut payload);
    Decoder::new(Codec::Pcma).decode(&payload, &mut idle);
    for pcm in [idle, vec![0.02; 16_000]] {
        let mut detector = VoiceDetector::new(VoiceSettings::default());
        frames(&mut detector, &pcm);
        assert_eq!(detector.skipped_of(), (62, 62));
    }
}

#[test]
fn steady_noise_soon_costs_no_network_and_is_no_voice() {
    let mut detector = VoiceDetector::new(VoiceSettings::default());
    let heard = frames(&mut detector, &noise(48, 32_000));
    let (before, _) = detector.skipped_of();
    frames(&mut detector, &noise(48, 160_000));
    let (skipped, total) = detector.skipped_of();
    assert!(heard.iter().filter(|frame| frame.voiced).count() < 6);
    assert!(skipped - before > (total - 125) / 2, "{skipped} of {total}");
}

#[test]
fn a_score_between_the_thresholds_keeps_what_was() {
    // A detector that is on with anything and off with nothing stays on while the gate is open, and not longer.
    let settings = VoiceSettings { on: 0.0, off: 0.0, ..VoiceSettings::default() };
    let mut detector = VoiceDetector::new(settings);
    assert!(frames(&mut detector, &babble(2560)).iter().all(|frame| frame.voiced));
    let never = VoiceSettings { on: 1.1, off: 1.1, ..settings };
    let mut detector = VoiceDetector::new(never);
    assert!(frames(&mut detector, &babble(16_000)).iter().all(|frame| !frame.voiced));
}

#[test]
fn samples_beyond_full_scale_and_not_numbers_are_taken() {
    let mut detector = VoiceDetector::new(VoiceSettings::default());
    let wild = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 7.0, -7.0].repeat(200);
    let heard = frames(&mut detector, &wild);
    assert!(heard.iter().all(|frame| frame.score.is_finite() && frame.energy_dbfs.is_finite()));
}

#[test]
fn the_rumble_of_a_car_is_no_voice_and_one_is_heard_over_it() {
    let mut detector = VoiceDetector::new(VoiceSettings::default());
    let noise = at_level(&Sound::Brown.samples(160_000, 7), -40.0);
    let false_alarms = frames(&mut detector, &noise).iter().filter(|frame| frame.voiced).count();
    assert!(false_alarms < 62, "{false_alarms} of 625 frames");
    let speech: Vec<f32> = babble(16_000).iter().zip(&noise).map(|(voice, noise)| voice + noise).collect();
    let voiced = frames(&mut detector, &speech).iter().filter(|frame| frame.voiced).count();
    assert!(voiced > 25, "{voiced} of 62 frames");
}
