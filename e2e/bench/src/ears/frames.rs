//! Frames: how many of the caller's are found while so many of the others are taken for them, whatever a detector's thresholds.

use anyhow::Result;

use super::judges;
use super::scenes::sentences_in;
use super::sounds::Sound;
use super::voices::Speaker;
use crate::table::Table;

/// Samples of one of our frames at 8 kHz.
const FRAME: usize = judges::FRAME / 2;
/// Shares of the other frames that may be taken for voice.
const ALLOWED: [f32; 2] = [0.01, 0.05];
/// What is within so many dB of the caller's loudest frame is voice; what is so many below, and no gap of a word, is none.
const VOICE_DB: f32 = 25.0;
const NONE_DB: f32 = 40.0;
/// Frames around voice that are not judged where they are neither: 96 ms.
const NEAR: usize = 6;

const BEHIND: [Sound; 8] = [
    Sound::White,
    Sound::Pink,
    Sound::Brown,
    Sound::Babble(6),
    Sound::Melody,
    Sound::Strings,
    Sound::Drums,
    Sound::Lead,
];

/// The table, with so many sentences a row.
pub(super) fn table(speakers: &[Speaker], count: usize, who: &[&str]) -> Result<Table> {
    let mut head = vec!["line"];
    head.extend(who);
    let note = format!(
        "Share of the caller's frames (16 ms) that are found while 1 % / 5 % of the others are taken for voice; for WebRTC, which has \
         no score, by its best mode within that share. {count} sentences a row, over PCMU."
    );
    let mut table = Table::new("Frames: found at a share of false alarms", &note, &head);
    for sound in BEHIND {
        for db in [20.0, 10.0, 5.0] {
            let (lines, labels): (Vec<_>, Vec<_>) =
                sentences_in(sound, db, speakers, count).map(|(line, clean)| (line, label(&clean))).unzip();
            let mut cells = vec![format!("{}, {db:.0} dB weaker", sound.name())];
            for name in who {
                let found = match *name {
                    "WebRTC" => best_mode(&lines, &labels),
                    "Silero" => {
                        let streams: Vec<&[f32]> = lines.iter().map(|line| &line[..]).collect();
                        let scores = judges::silero(&streams)?;
                        let scores =
                            scores.iter().zip(&labels).map(|(each, labels)| judges::on_frames(each, labels.len()));
                        found_at(&scores.collect::<Vec<_>>(), &labels)
                    }
                    _ => found_at(&lines.iter().map(|line| judges::our_scores(line)).collect::<Vec<_>>(), &labels),
                };
                cells.push(
                    found.map(|share| share.map_or("–".into(), |share| format!("{:.0}", share * 100.0))).join(" / ")
                        + " %",
                );
            }
            table.row(cells);
        }
    }
    Ok(table)
}

/// Whether each frame is the caller's; `None` where a listener would not say.
fn label(clean: &[f32]) -> Vec<Option<bool>> {
    let powers: Vec<f32> = clean.chunks_exact(FRAME).map(|frame| frame.iter().map(|one| one * one).sum()).collect();
    let loudest = powers.iter().copied().fold(0.0, f32::max);
    let above = |db: f32| loudest * 10_f32.powf(-db / 10.0);
    let voice: Vec<bool> = powers.iter().map(|power| *power >= above(VOICE_DB)).collect();
    let near = |at: usize| voice[at.saturating_sub(NEAR)..voice.len().min(at + NEAR + 1)].contains(&true);
    let label = |at: usize| match voice[at] {
        true => Some(true),
        false if powers[at] < above(NONE_DB) && !near(at) => Some(false),
        false => None,
    };
    (0..powers.len()).map(label).collect()
}

/// The values on the caller's frames and on the others.
fn apart<T: Copy>(values: &[Vec<T>], labels: &[Vec<Option<bool>>]) -> (Vec<T>, Vec<T>) {
    let (mut voice, mut rest) = (Vec::new(), Vec::new());
    for (value, label) in values.iter().flatten().zip(labels.iter().flatten()) {
        match label {
            Some(true) => voice.push(*value),
            Some(false) => rest.push(*value),
            None => {}
        }
    }
    (voice, rest)
}

/// What is found from the score on that lets so many others through.
fn found_at(scores: &[Vec<f32>], labels: &[Vec<Option<bool>>]) -> [Option<f32>; 2] {
    let (voice, mut rest) = apart(scores, labels);
    rest.sort_by(|one, other| other.total_cmp(one));
    ALLOWED.map(|allowed| {
        let least = rest.get((rest.len() as f32 * allowed) as usize).copied()?;
        Some(voice.iter().filter(|score| **score > least).count() as f32 / voice.len().max(1) as f32)
    })
}

/// What is found by the best of WebRTC's modes that takes no more of the others for voice.
fn best_mode(lines: &[Vec<f32>], labels: &[Vec<Option<bool>>]) -> [Option<f32>; 2] {
    let share =
        |verdicts: &[bool]| verdicts.iter().filter(|voiced| **voiced).count() as f32 / verdicts.len().max(1) as f32;
    let modes: Vec<(f32, f32)> = judges::WEBRTC
        .iter()
        .map(|(_, mode)| {
            let verdicts: Vec<_> = lines.iter().map(|line| judges::webrtc(mode, line)).collect();
            let (voice, rest) = apart(&verdicts, labels);
            (share(&voice), share(&rest))
        })
        .collect();
    ALLOWED.map(|allowed| modes.iter().filter(|mode| mode.1 <= allowed).map(|mode| mode.0).reduce(f32::max))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_in_a_word_is_not_judged_and_silence_is_no_voice() {
        let clean: Vec<f32> =
            (0..40 * FRAME).map(|at| if (20..24).contains(&(at / FRAME)) { 0.5 } else { 0.0 }).collect();
        let labels = label(&clean);
        assert_eq!((labels[0], labels[22], labels[26], labels[39]), (Some(false), Some(true), None, Some(false)));
    }

    #[test]
    fn what_is_found_depends_on_how_many_others_may_be_taken_for_it() {
        let scores: Vec<f32> = (0..200).map(|at| at as f32).collect();
        let labels: Vec<_> = (0..200).map(|at| Some(at >= 100 || at == 99)).collect();
        assert_eq!(found_at(&[scores.clone()], &[labels]), [Some(1.0), Some(1.0)]);
        let labels: Vec<_> = (0..200).map(|at| Some(at % 2 == 0)).collect();
        assert_eq!(found_at(&[scores], &[labels]), [Some(0.01), Some(0.05)]);
    }
}
