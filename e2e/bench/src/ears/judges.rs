//! Who judges: our detector, WebRTC's four modes and Silero's, each as verdicts on a grid of 16 ms.

use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use sofia_dataplane::audio::{VoiceDetector, VoiceSettings};
use webrtc_vad::{SampleRate, Vad, VadMode};

/// Samples of a verdict at 16 kHz.
pub(super) const FRAME: usize = 256;
/// Samples that Silero judges at once.
const WINDOW: usize = 512;

pub(super) const WEBRTC: [(&str, VadMode); 4] = [
    ("WebRTC 0", VadMode::Quality),
    ("WebRTC 1", VadMode::LowBitrate),
    ("WebRTC 2", VadMode::Aggressive),
    ("WebRTC 3", VadMode::VeryAggressive),
];

/// As a call has it: 20 ms at a time.
pub(super) fn ours(settings: VoiceSettings, audio: &[f32]) -> Vec<bool> {
    let mut detector = VoiceDetector::new(settings);
    let mut verdicts = Vec::with_capacity(audio.len() / FRAME);
    for block in audio.chunks(320) {
        detector.push(block, |frame| verdicts.push(frame.voiced));
    }
    verdicts
}

/// How sure our network is of each frame.
pub(super) fn our_scores(audio: &[f32]) -> Vec<f32> {
    let mut detector = VoiceDetector::new(VoiceSettings::default());
    let mut scores = Vec::with_capacity(audio.len() / FRAME);
    for block in audio.chunks(320) {
        detector.push(block, |frame| scores.push(frame.score));
    }
    scores
}

fn integers(audio: &[f32]) -> Vec<i16> {
    audio.iter().map(|sample| (sample * 32_767.0) as i16).collect()
}

/// The verdict on the latest 10 ms that were whole at the end of each of our frames.
pub(super) fn webrtc(mode: &VadMode, audio: &[f32]) -> Vec<bool> {
    let mode = match mode {
        VadMode::Quality => VadMode::Quality,
        VadMode::LowBitrate => VadMode::LowBitrate,
        VadMode::Aggressive => VadMode::Aggressive,
        VadMode::VeryAggressive => VadMode::VeryAggressive,
    };
    let mut vad = Vad::new_with_rate_and_mode(SampleRate::Rate16kHz, mode);
    let samples = integers(audio);
    let each: Vec<bool> = samples.chunks_exact(160).map(|frame| vad.is_voice_segment(frame).unwrap_or(false)).collect();
    (1..=audio.len() / FRAME)
        .map(|end| each.get((end * FRAME / 160).saturating_sub(1)).copied().unwrap_or(false))
        .collect()
}

/// Silero's probabilities of voice, one for each 32 ms of each stream. It is asked in a process of its own, in the Python
/// environment that `setup.sh` makes.
pub(super) fn silero(streams: &[&[f32]]) -> Result<Vec<Vec<f32>>> {
    let home = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let python = home.join(".venv/bin/python");
    ensure!(python.exists(), "not installed: {} is missing", python.display());
    let folder = std::env::temp_dir().join(format!("bench-silero-{}", std::process::id()));
    std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let answer = ask_silero(&python, &home.join("silero.py"), &folder, streams);
    let _ = std::fs::remove_dir_all(&folder);
    answer
}

fn ask_silero(
    python: &PathBuf,
    script: &PathBuf,
    folder: &std::path::Path,
    streams: &[&[f32]],
) -> Result<Vec<Vec<f32>>> {
    let (heard, said) = (folder.join("heard"), folder.join("said"));
    let mut file = std::io::BufWriter::new(std::fs::File::create(&heard).context("a file for Silero")?);
    for stream in streams {
        file.write_all(&(stream.len() as u32).to_le_bytes())?;
        for sample in *stream {
            file.write_all(&sample.to_le_bytes())?;
        }
    }
    file.flush()?;
    drop(file);
    let status = Command::new(python).arg(script).arg(&heard).arg(&said).status().context("Silero's process")?;
    ensure!(status.success(), "Silero's process ended with {status}");
    let bytes = std::fs::read(&said).context("what Silero said")?;
    let mut all = bytes.as_chunks::<4>().0.iter().map(|four| f32::from_le_bytes(*four));
    streams
        .iter()
        .map(|stream| {
            let scores: Vec<f32> = all.by_ref().take(stream.len() / WINDOW).collect();
            ensure!(
                scores.len() == stream.len() / WINDOW,
                "Silero judged {} windows of {}",
                scores.len(),
                stream.len() / WINDOW
            );
            Ok(scores)
        })
        .collect()
}

/// Its usual thresholds: on from 0.5, off below 0.35. What is known at the end of each of our frames.
pub(super) fn with_hysteresis(scores: &[f32], on: f32, off: f32, frames: usize) -> Vec<bool> {
    let mut voiced = false;
    let each: Vec<bool> = scores
        .iter()
        .map(|score| {
            voiced = *score >= if voiced { off } else { on };
            voiced
        })
        .collect();
    on_frames(&each, frames)
}

/// What is known of each 32 ms, at the end of each of our frames.
pub(super) fn on_frames<T: Copy + Default>(windows: &[T], frames: usize) -> Vec<T> {
    (1..=frames)
        .map(|end| (end * FRAME / WINDOW).checked_sub(1).and_then(|at| windows.get(at)).copied().unwrap_or_default())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_counts_once_it_is_whole() {
        assert_eq!(with_hysteresis(&[0.6, 0.4, 0.2], 0.5, 0.35, 7), [false, true, true, true, true, false, false]);
    }

    #[test]
    fn everybody_judges_the_same_frames() {
        let audio = vec![0.01; 16_000];
        assert_eq!(ours(VoiceSettings::default(), &audio).len(), 62);
        assert_eq!(webrtc(&WEBRTC[3].1, &audio).len(), 62);
    }
}
