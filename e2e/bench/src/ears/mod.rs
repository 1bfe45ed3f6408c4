//! Ears: how turns go in noise, in babble, with music and tones, beside what WebRTC's and Silero's detectors would make of the same
//! lines. Many lines, in virtual time.

mod frames;
mod judges;
mod random;
mod scenes;
mod sounds;
mod turns;
mod voices;

use anyhow::Result;
use sofia_dataplane::audio::VoiceSettings;

use self::scenes::{Kind, Row};
use self::turns::{Outcome, outcome};
use crate::table::{Report, Table, Verdict};

/// Measures, with so many scenes a row.
pub(crate) fn measure(report: &mut Report, count: usize) -> Result<()> {
    let (speakers, synthesised) = voices::all()?;
    if !synthesised {
        report
            .circumstances
            .push("espeak-ng is not installed: the recorded callers are the only voices in the turns".into());
    }
    let rows = scenes::all(&speakers, count);
    let mut who: Vec<&str> = vec!["ours"];
    who.extend(judges::WEBRTC.iter().map(|(name, _)| *name));
    let mut outcomes: Vec<Vec<Outcome>> = rows
        .iter()
        .map(|row| {
            let mut judged = vec![judge(row, |audio| judges::ours(VoiceSettings::default(), audio))];
            judged.extend(judges::WEBRTC.iter().map(|(_, mode)| judge(row, |audio| judges::webrtc(mode, audio))));
            judged
        })
        .collect();
    match with_silero(&rows) {
        Ok(all) => {
            who.insert(1, "Silero");
            outcomes.iter_mut().zip(all).for_each(|(outcomes, silero)| outcomes.insert(1, silero));
        }
        Err(error) => report.circumstances.push(format!("Silero's detector was not compared: {error:#}")),
    }
    goals(report, &rows, &outcomes);
    let scored: Vec<&str> =
        ["ours", "Silero", "WebRTC"].into_iter().filter(|name| *name != "Silero" || who.contains(name)).collect();
    let tables = [
        (
            Kind::Sentence,
            "Turns: a sentence, answered",
            "Share answered within 0.25 s of the end silence after the last word; seconds later than that, median and 95th percentile; \
             sentences cut / false utterances.",
        ),
        (
            Kind::Greeted,
            "Turns: a silent caller, greeted for 3 s",
            "Sound from the first packet on, 9 s; tones, music and the like at −14 to −32 dBFS. Share greeted in one piece / without any utterance.",
        ),
        (
            Kind::Interruption,
            "Turns: interruptions",
            "A sentence over the agent: share that interrupts, seconds from the first sound to the decision, median and 95th percentile, \
             false interruptions.",
        ),
    ];
    for (kind, title, note) in tables {
        let mut head = vec!["line"];
        head.extend(&who);
        let note = format!("{note} {count} lines a row, over PCMU, recorded callers and speech of eleven languages.");
        let mut table = Table::new(title, &note, &head);
        for (row, outcomes) in rows.iter().zip(&outcomes).filter(|(row, _)| row.kind == kind) {
            let mut cells = vec![row.name.clone()];
            cells.extend(outcomes.iter().map(|outcome| outcome.text(kind)));
            table.row(cells);
        }
        report.tables.push(table);
    }
    report.tables.push(frames::table(&speakers, count, &scored)?);
    Ok(())
}

fn judge(row: &Row, verdicts: impl Fn(&[f32]) -> Vec<bool>) -> Outcome {
    let all: Vec<Vec<bool>> = row.scenes.iter().map(|scene| verdicts(&scene.audio)).collect();
    outcome(row, &all)
}

fn with_silero(rows: &[Row]) -> Result<Vec<Outcome>> {
    let streams: Vec<&[f32]> = rows.iter().flat_map(|row| &row.scenes).map(|scene| &scene.audio[..]).collect();
    let mut scores = judges::silero(&streams)?.into_iter();
    Ok(rows
        .iter()
        .map(|row| {
            let verdicts: Vec<Vec<bool>> = row
                .scenes
                .iter()
                .zip(scores.by_ref())
                .map(|(scene, scores)| judges::with_hysteresis(&scores, 0.5, 0.35, scene.audio.len() / judges::FRAME))
                .collect();
            outcome(row, &verdicts)
        })
        .collect())
}

/// Where the best of the others is better, by more than one scene.
fn goals(report: &mut Report, rows: &[Row], outcomes: &[Vec<Outcome>]) {
    let mut worse: Vec<String> = Vec::new();
    let mut count = 0;
    for (row, outcomes) in rows.iter().zip(outcomes) {
        count += 1;
        let best = outcomes[1..].iter().map(|other| other.well).max().unwrap_or(0);
        if outcomes[0].well + 1 < best {
            worse.push(format!("{} ({} of {}, best {best})", row.name, outcomes[0].well, outcomes[0].scenes));
        }
    }
    report.goal(
        "turns: no worse than the best of WebRTC's modes and Silero",
        "every line",
        if worse.is_empty() { format!("all {count}") } else { format!("all but {}", worse.join("; ")) },
        Verdict::of(worse.is_empty()),
        "sentences answered in time, greetings in one piece, interruptions heard; one line of a row more or less is the same",
    );
}
