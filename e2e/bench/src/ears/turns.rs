//! Turns: what becomes of a whole scene when a detector's verdicts go through the pod's endpointing. Virtual time: nothing waits.

use std::time::Duration;

use sofia_dataplane::turn::endpointing::{EndpointEvent, Endpointer, EndpointingSettings};

use super::judges::FRAME;
use super::scenes::{GREETING, Kind, Row, Scene};

/// Seconds of a frame.
const STEP: f32 = FRAME as f32 / 16_000.0;
/// An answer is in time that begins no more than this before or after the end silence has passed since the last word.
const IN_TIME: f32 = 0.25;

/// What endpointing made of one scene, with the second at which each came.
#[derive(Debug, Default, PartialEq)]
struct Turns {
    ended: Vec<f32>,
    barged_in: Vec<f32>,
    /// An utterance was open when the scene was over.
    open: bool,
}

fn turns(verdicts: &[bool], kind: Kind) -> Turns {
    let mut endpointer = Endpointer::new(EndpointingSettings::default());
    let mut turns = Turns::default();
    for (number, voiced) in verdicts.iter().enumerate() {
        let now = (number + 1) as f32 * STEP;
        let audible = match kind {
            Kind::Sentence => false,
            Kind::Greeted => now < GREETING,
            Kind::Interruption => now > 1.0,
        };
        match endpointer.push(Duration::from_micros((STEP * 1e6) as u64), *voiced, audible) {
            Some(EndpointEvent::SpeechEnded { .. }) => turns.ended.push(now),
            Some(EndpointEvent::BargeIn) => turns.barged_in.push(now),
            _ => {}
        }
    }
    turns.open = endpointer.is_speech();
    turns
}

/// How a detector did in a row.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Outcome {
    pub(super) scenes: usize,
    /// Answered in time; or greeted in one piece; or interrupted at all.
    pub(super) well: usize,
    /// Scenes without an utterance.
    pub(super) quiet: usize,
    /// Utterances that were none.
    pub(super) false_utterances: usize,
    /// Sentences that were answered in their middle.
    pub(super) cut: usize,
    /// Seconds after the right moment; infinite where it never came.
    pub(super) late: Vec<f32>,
}

impl Outcome {
    fn count(&mut self, kind: Kind, scene: &Scene, turns: &Turns) {
        self.scenes += 1;
        self.quiet += usize::from(turns.ended.is_empty() && !turns.open);
        let (start, end) = scene.speech;
        match kind {
            Kind::Greeted => {
                self.well += usize::from(turns.barged_in.is_empty());
                self.false_utterances += turns.ended.len() + usize::from(turns.open);
            }
            Kind::Interruption => {
                let late = turns.barged_in.iter().find(|at| **at > start - 0.05).map_or(f32::INFINITY, |at| at - start);
                self.false_utterances += turns.barged_in.iter().filter(|at| **at <= start - 0.05).count();
                self.well += usize::from(late.is_finite());
                self.late.push(late);
            }
            Kind::Sentence => {
                let after: Vec<f32> = turns.ended.iter().copied().filter(|at| *at >= end + 0.5).collect();
                let before = turns.ended.iter().filter(|at| **at < start + 0.3).count();
                let cut = turns.ended.len() - after.len() - before;
                let end_silence = EndpointingSettings::default().end_silence.as_secs_f32();
                let late = after.first().map_or(f32::INFINITY, |at| at - end - end_silence);
                self.false_utterances += before + after.len().saturating_sub(1);
                self.cut += usize::from(cut > 0);
                self.well += usize::from(cut == 0 && late.abs() <= IN_TIME);
                self.late.push(late);
            }
        }
    }

    /// The share of scenes that went well, in percent.
    pub(super) fn well_percent(&self) -> f32 {
        self.well as f32 / self.scenes.max(1) as f32 * 100.0
    }

    pub(super) fn quiet_percent(&self) -> f32 {
        self.quiet as f32 / self.scenes.max(1) as f32 * 100.0
    }

    /// Of a hundred scenes, so many are not later.
    pub(super) fn late(&self, percent: usize) -> f32 {
        let mut late = self.late.clone();
        late.sort_by(f32::total_cmp);
        late.get((late.len() * percent / 100).min(late.len().saturating_sub(1))).copied().unwrap_or(f32::NAN)
    }

    /// For a cell of a table.
    pub(super) fn text(&self, kind: Kind) -> String {
        let seconds = |late: f32| if late.is_finite() { format!("{late:+.2}") } else { "never".to_owned() };
        match kind {
            Kind::Greeted => format!("{:.0} / {:.0} %", self.well_percent(), self.quiet_percent()),
            Kind::Interruption => {
                format!(
                    "{:.0} %, {:.3}, {:.3}, {}",
                    self.well_percent(),
                    self.late(50),
                    self.late(95),
                    self.false_utterances
                )
            }
            Kind::Sentence => format!(
                "{:.0} %, {}, {}, {}/{}",
                self.well_percent(),
                seconds(self.late(50)),
                seconds(self.late(95)),
                self.cut,
                self.false_utterances
            ),
        }
    }
}

/// What becomes of a row's scenes with these verdicts, a list for each scene.
pub(super) fn outcome(row: &Row, verdicts: &[Vec<bool>]) -> Outcome {
    let mut outcome = Outcome::default();
    for (scene, verdicts) in row.scenes.iter().zip(verdicts) {
        outcome.count(row.kind, scene, &turns(verdicts, row.kind));
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(kind: Kind, speech: (f32, f32)) -> Row {
        Row { name: String::new(), kind, scenes: vec![Scene { audio: Vec::new(), speech }] }
    }

    fn verdicts(voiced: impl Fn(f32) -> bool) -> Vec<Vec<bool>> {
        vec![(0..500).map(|number| voiced(number as f32 * STEP)).collect()]
    }

    #[test]
    fn a_sentence_is_answered_in_time_or_late_or_cut_or_never() {
        let row = row(Kind::Sentence, (1.0, 3.0));
        let right = outcome(&row, &verdicts(|at| (1.0..3.0).contains(&at)));
        assert_eq!((right.well, right.cut, right.false_utterances), (1, 0, 0));
        assert!(right.late(50).abs() < 0.05, "{}", right.late(50));
        let late = outcome(&row, &verdicts(|at| (1.0..4.0).contains(&at)));
        assert!(late.well == 0 && (late.late(95) - 1.0).abs() < 0.05);
        let never = outcome(&row, &verdicts(|at| at > 1.0));
        assert!(never.late(50).is_infinite());
        let cut = outcome(&row, &verdicts(|at| (1.0..1.5).contains(&at) || (2.6..3.0).contains(&at)));
        assert_eq!((cut.well, cut.cut), (0, 1));
    }

    #[test]
    fn a_greeting_is_whole_without_voice_in_it_and_an_interruption_is_counted_from_the_first_word() {
        let greeted = row(Kind::Greeted, (0.0, 0.0));
        let silent = outcome(&greeted, &verdicts(|_| false));
        assert_eq!((silent.well, silent.quiet), (1, 1));
        let broken = outcome(&greeted, &verdicts(|_| true));
        assert_eq!((broken.well, broken.quiet, broken.false_utterances), (0, 0, 1));
        let interrupted = outcome(&row(Kind::Interruption, (2.0, 4.0)), &verdicts(|at| (2.0..4.0).contains(&at)));
        assert!((0.09..0.15).contains(&interrupted.late(95)), "{}", interrupted.late(95));
    }
}
