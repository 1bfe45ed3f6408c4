//! What callers say and when: turns at fixed times that fit the mock's replies, so that no caller needs to listen, which would
//! cost the load more than it costs the data plane. Pure.

use std::time::Duration;

use sofia_dataplane::backend::{MockBackend, MockSettings, clips};
use sofia_dataplane::turn::sentence::{SentenceSplitter, SplitSettings};

/// `SOFIA_PHONE_END_SILENCE_MS`, unset.
pub(super) const END_SILENCE: Duration = Duration::from_millis(800);
/// So long after the beginning of a reply it is interrupted.
const INTO_REPLY: Duration = Duration::from_millis(1_700);
/// Between the end of a reply and the caller's next words.
const PAUSE: Duration = Duration::from_millis(900);
/// The script's long replies, of three sentences: the ones that are worth interrupting.
const LONG_REPLIES: [usize; 2] = [1, 3];
/// Turns until the mock's script begins anew.
const SCRIPT_TURNS: usize = 6;

/// Something to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Line {
    /// Since the answer.
    pub(super) at: Duration,
    /// Which of the caller's clips.
    pub(super) clip: usize,
    /// Whether the agent is speaking then.
    pub(super) interrupts: bool,
}

/// The lines of caller number `caller` until `end`; `clips` are the lengths of what can be said.
pub(super) fn lines(caller: usize, end: Duration, clips: &[Duration]) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut turn = 1;
    // Calls that began together do not speak together.
    let mut at = clips::bundled().greeting().duration() + PAUSE + Duration::from_millis(137 * (caller % 16) as u64);
    while at < end {
        let clip = (caller + turn) % clips.len();
        lines.push(Line { at, clip, interrupts: false });
        at += clips[clip] + backend_and_endpointing(turn);
        if LONG_REPLIES.contains(&((turn - 1) % SCRIPT_TURNS + 1)) {
            at += INTO_REPLY;
            turn += 1;
            let clip = (caller + turn) % clips.len();
            lines.push(Line { at, clip, interrupts: true });
            at += clips[clip] + backend_and_endpointing(turn);
        }
        at += reply(turn) + PAUSE;
        turn += 1;
    }
    lines.retain(|line| line.at < end);
    lines
}

fn backend_and_endpointing(turn: usize) -> Duration {
    // A margin for what is not the backend's.
    END_SILENCE + backend(turn) + Duration::from_millis(60)
}

/// How long the mock's reply in `turn` sounds.
fn reply(turn: usize) -> Duration {
    let bundled = clips::bundled();
    let sentences = MockBackend::reply(turn).split_inclusive(['.', '!', '?']);
    sentences.filter_map(|sentence| bundled.sentence(sentence)).map(clips::Clip::duration).sum()
}

/// How long the mock, left at its defaults, takes from the end of a turn to the first sound of its reply: transcript, first word,
/// the words until the first sentence is complete, first sound.
pub(super) fn backend(turn: usize) -> Duration {
    let pace = MockSettings::default();
    let mut splitter = SentenceSplitter::new(SplitSettings::default());
    let mut pieces = Vec::new();
    let mut words = 0;
    for word in MockBackend::reply(turn).split_inclusive(' ') {
        splitter.push(word, &mut pieces);
        if !pieces.is_empty() {
            break;
        }
        words += 1;
    }
    pace.transcribe_delay + pace.generate_delay + pace.word_interval * words + pace.speak_delay
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_has_turns_and_interruptions_in_order() {
        let clips = [Duration::from_secs(2), Duration::from_secs(3)];
        let minute = lines(5, Duration::from_secs(60), &clips);
        assert!(minute.is_sorted_by_key(|line| line.at));
        assert!(minute.iter().filter(|line| line.interrupts).count() >= 2, "{minute:?}");
        assert!(minute.len() >= 7, "{minute:?}");
    }

    #[test]
    fn the_mock_takes_longer_where_its_first_sentence_is_longer() {
        // "One moment please. " is complete with its third word, two intervals after the first.
        assert_eq!(backend(1), Duration::from_millis(120 + 250 + 2 * 15 + 80));
        assert!(backend(2) > backend(1));
    }
}
