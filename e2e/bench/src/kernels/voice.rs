//! Voice activity: what it costs, and how often it is right, beside WebRTC's detector. Right is what the clean recording's level
//! says, before noise and line.

use std::hint::black_box;

use anyhow::{Context, Result};
use sofia_dataplane::audio::{VoiceDetector, VoiceSettings};
use webrtc_vad::{SampleRate, Vad, VadMode};

use super::percent_of_core;
use super::sound::{Frames, Noise, over_the_line, root_mean_square, speech_with_pauses};
use crate::table::{Report, Table, Verdict};
use crate::timing::{Run, Stopwatch};

/// The grid on which verdicts are compared: it divides both detectors' frames, 16 and 10 ms.
const GRID: usize = 32;
/// A stretch within so many dB of the loudest speech is speech; softer than the second it is none; between them nobody is judged.
const SPEECH_DB: f32 = -30.0;
const NO_SPEECH_DB: f32 = -45.0;
/// How long a detector may go on after speech, and how late it may be: half of it on either side, in grid steps.
const SLACK: usize = 32;
/// A pod's gate that digital silence does not shut.
const NEVER_SHUT: VoiceSettings = VoiceSettings { on: 0.8, off: 0.5, gate_dbfs: -1_000.0 };

const WEBRTC: [&str; 4] = ["WebRTC 0", "WebRTC 1", "WebRTC 2", "WebRTC 3"];

fn mode(number: usize) -> VadMode {
    match number {
        0 => VadMode::Quality,
        1 => VadMode::LowBitrate,
        2 => VadMode::Aggressive,
        _ => VadMode::VeryAggressive,
    }
}

fn integers(audio: &[f32]) -> Vec<i16> {
    audio.iter().map(|sample| (sample * 32_767.0) as i16).collect()
}

/// A verdict for each grid step.
fn ours(settings: VoiceSettings, audio: &[f32]) -> Vec<bool> {
    let mut verdicts = Vec::new();
    VoiceDetector::new(settings).push(audio, |frame| verdicts.extend([frame.voiced; 256 / GRID]));
    verdicts
}

fn webrtc(number: usize, audio: &[f32]) -> Vec<bool> {
    let mut vad = Vad::new_with_rate_and_mode(SampleRate::Rate16kHz, mode(number));
    let frames = integers(audio);
    frames.chunks_exact(160).flat_map(|frame| [vad.is_voice_segment(frame).unwrap_or(false); 160 / GRID]).collect()
}

/// What is right: `None` where nobody is judged.
fn truth(clean: &[f32]) -> Vec<Option<bool>> {
    let levels: Vec<f32> = clean.chunks_exact(GRID * 5).map(root_mean_square).collect();
    let loudest = levels.iter().copied().fold(1e-9, f32::max);
    let mut right: Vec<Option<bool>> = levels
        .iter()
        .flat_map(|level| {
            let db = 20.0 * (level / loudest).max(1e-9).log10();
            let verdict = if db > SPEECH_DB {
                Some(true)
            } else if db < NO_SPEECH_DB {
                Some(false)
            } else {
                None
            };
            [verdict; 5]
        })
        .collect();
    let spoken: Vec<bool> = right.iter().map(|verdict| *verdict == Some(true)).collect();
    for (at, verdict) in right.iter_mut().enumerate() {
        let near = &spoken[at.saturating_sub(SLACK)..spoken.len().min(at + SLACK)];
        if *verdict == Some(false) && near.contains(&true) {
            *verdict = None;
        }
    }
    right
}

/// Shares in percent: of speech found, of no speech called speech; NaN where there is none.
fn score(verdicts: &[bool], right: &[Option<bool>]) -> (f64, f64) {
    let share = |wanted: bool| {
        let judged = verdicts.iter().zip(right).filter(|(_, right)| **right == Some(wanted));
        let (mut voiced, mut all) = (0_u32, 0_u32);
        judged.for_each(|(verdict, _)| {
            voiced += u32::from(*verdict);
            all += 1;
        });
        f64::from(voiced) / f64::from(all) * 100.0
    };
    (share(true), share(false))
}

fn agreement(one: &[bool], other: &[bool]) -> f64 {
    let same = one.iter().zip(other).filter(|(one, other)| one == other).count();
    same as f64 / one.len().min(other.len()).max(1) as f64 * 100.0
}

struct Scene {
    name: String,
    audio: Vec<f32>,
    right: Vec<Option<bool>>,
}

fn scenes() -> Result<Vec<Scene>> {
    let clean = speech_with_pauses().context("the recorded callers")?;
    let right = truth(&clean);
    let level = {
        let spoken: Vec<f32> = clean.iter().copied().filter(|sample| sample.abs() > 0.01).collect();
        root_mean_square(&spoken)
    };
    let mut scenes = vec![Scene { name: "speech".into(), audio: over_the_line(&clean), right: right.clone() }];
    for noise in [Noise::White, Noise::Brown] {
        for ratio_db in [20.0_f32, 10.0] {
            let added = noise.samples(clean.len(), level * 10_f32.powf(-ratio_db / 20.0));
            let mixed: Vec<f32> = clean.iter().zip(&added).map(|(one, other)| one + other).collect();
            let name = format!("speech, {} {ratio_db:.0} dB below", noise.name());
            scenes.push(Scene { name, audio: over_the_line(&mixed), right: right.clone() });
        }
    }
    for noise in Noise::ALL {
        let audio = over_the_line(&noise.samples(20 * 16_000, 0.01));
        let right = vec![Some(false); audio.len() / GRID];
        scenes.push(Scene { name: format!("{} alone, −40 dBFS", noise.name()), audio, right });
    }
    Ok(scenes)
}

pub(super) fn measure(report: &mut Report, stopwatch: &mut Stopwatch, speech: &[f32]) -> Result<()> {
    match scenes() {
        Ok(scenes) => report.tables.push(rightness(&scenes)),
        Err(error) => report.circumstances.push(format!("voice activity was not judged: {error:#}")),
    }
    let costs = cost(report_goal(report), stopwatch, speech)?;
    report.tables.push(costs);
    Ok(())
}

/// Gives the goal's line back to be filled once the cost is known.
fn report_goal(report: &mut Report) -> impl FnMut(f64, f64) + '_ {
    |speech_us, silence_us| {
        report.goal(
            "voice activity, % of a core a call",
            "≤ 0.04",
            format!("{:.4} while the caller speaks, {:.4} in silence", percent_of_core(speech_us), percent_of_core(silence_us)),
            Verdict::of(percent_of_core(speech_us) <= 0.04),
            "20 ms of recorded speech over PCMU without pauses; published: earshot 0.03 % by itself, Silero ONNX 0.26 %",
        );
    }
}

fn rightness(scenes: &[Scene]) -> Table {
    let mut table = Table::new(
        "Voice activity: how often it is right",
        "Recorded callers and made noise, over PCMU. Found: speech called speech; false: no speech called speech, in percent of the \
         time. Right is what the clean recording's level says, 64 ms around speech left out. Agrees: same verdict as ours.",
        &["sound", "who", "found %", "false %", "agrees %"],
    );
    for Scene { name, audio, right } in scenes {
        let own = ours(VoiceSettings::default(), audio);
        let mut add = |who: &str, verdicts: &[bool]| {
            let (found, wrong) = score(verdicts, right);
            let figure = |value: f64| if value.is_nan() { "–".to_owned() } else { format!("{value:.1}") };
            table.row([name.clone(), who.to_owned(), figure(found), figure(wrong), figure(agreement(verdicts, &own))]);
        };
        add("ours", &own);
        add("ours, no gate", &ours(NEVER_SHUT, audio));
        for (number, who) in WEBRTC.iter().enumerate() {
            add(who, &webrtc(number, audio));
        }
    }
    table
}

fn cost(mut goal: impl FnMut(f64, f64), stopwatch: &mut Stopwatch, speech: &[f32]) -> Result<Table> {
    let mut table = Table::new(
        "Voice activity: what it costs",
        "20 ms at 16 kHz; medians, all taking turns.",
        &["sound", "who", "µs", "% of a core a call"],
    );
    let line = over_the_line(speech);
    let noise = over_the_line(&Noise::White.samples(speech.len(), 0.01));
    let silence = over_the_line(&vec![0.0; speech.len()]);
    let mut own = Vec::new();
    for (name, audio) in [("speech", &line), ("white noise", &noise), ("silence", &silence)] {
        let pcm = integers(audio);
        let detectors = [VoiceSettings::default(), NEVER_SHUT].map(VoiceDetector::new);
        let mut runs: Vec<Run<'_>> = Vec::new();
        for mut detector in detectors {
            let mut frames = Frames::new(audio, 320);
            runs.push(Box::new(move || {
                detector.push(black_box(frames.next()), |frame| {
                    black_box(frame);
                })
            }));
        }
        let mut vad = Vad::new_with_rate_and_mode(SampleRate::Rate16kHz, mode(2));
        let mut at = 0;
        let pcm = &pcm;
        runs.push(Box::new(move || {
            at = if at + 640 > pcm.len() { 0 } else { at + 320 };
            for frame in pcm[at..at + 320].chunks_exact(160) {
                black_box(vad.is_voice_segment(black_box(frame)).is_ok());
            }
        }));
        let times = stopwatch.race_us(&format!("voice activity {name}"), runs)?;
        own.push(times[0]);
        for (who, us) in ["ours", "ours, no gate", "WebRTC 2"].iter().zip(&times) {
            table.row([name.to_owned(), (*who).to_owned(), format!("{us:.2}"), format!("{:.4}", percent_of_core(*us))]);
        }
    }
    goal(own[0], own[2]);
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_between_words_is_not_judged_and_silence_far_from_them_is() {
        let mut clean = vec![0.0; 16_000];
        clean.extend([0.5; 3_200]);
        clean.extend([0.0; 640]);
        let right = truth(&clean);
        assert_eq!(right[0], Some(false));
        assert_eq!(right[16_000 / GRID + 10], Some(true));
        assert_eq!(right[right.len() - 1], None);
    }

    #[test]
    fn shares_are_of_what_is_judged() {
        let right = [Some(true), Some(true), Some(false), None];
        assert_eq!(score(&[true, false, true, true], &right), (50.0, 100.0));
        assert!(score(&[true], &[None]).0.is_nan());
    }
}
