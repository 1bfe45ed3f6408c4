//! How much of the agent's words a caller has heard of a clip that was cut: a sentence is cut off while most of it is still with the
//! backend, so its length is reckoned from how fast the voice has spoken so far. It decides nothing.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::turn::conversation::{CHARS_PER_SECOND, ClipId, Failure};
use crate::worker::CutClip;

/// Clips whose length in letters is known: more than can be out at a time.
const CLIPS: usize = 64;
/// Speech by which a pace is judged: the most recent of it.
const MEMORY: Duration = Duration::from_secs(300);
/// With less than this nothing is known of a pace.
const ENOUGH: Duration = Duration::from_secs(1);
/// As so much speech counts what another pod has learnt: a sentence or two here, by another voice perhaps, outweigh it.
const KNOWN_BEFORE: Duration = Duration::from_secs(3);

/// How fast a voice speaks, in characters by milliseconds; shared by all that hear it. Text and speech in one word: they belong together.
#[derive(Debug, Default)]
pub(crate) struct VoicePace(AtomicU64);

impl VoicePace {
    /// A clip of so many characters has been heard from its beginning to its end.
    fn heard(&self, chars: usize, length: Duration) {
        let learn = |known: u64| {
            let (mut chars_so_far, mut ms_so_far) = (known >> 32, known & u64::from(u32::MAX));
            if ms_so_far >= MEMORY.as_millis() as u64 {
                (chars_so_far, ms_so_far) = (chars_so_far / 2, ms_so_far / 2);
            }
            // A clip of hours is none; below that neither half overflows.
            let ms = length.min(Duration::from_secs(3_600)).as_millis() as u64;
            Some((chars_so_far + chars.min(1 << 20) as u64) << 32 | (ms_so_far + ms))
        };
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, learn);
    }

    /// Characters a second, once enough was heard.
    fn chars_per_second(&self) -> Option<f32> {
        let known = self.0.load(Ordering::Relaxed);
        let (chars, ms) = (known >> 32, known & u64::from(u32::MAX));
        (chars > 0 && ms >= ENOUGH.as_millis() as u64).then(|| chars as f32 * 1_000.0 / ms as f32)
    }
}

/// What one call's clips say, as long as they may still be cut.
#[derive(Debug, Default)]
pub(super) struct Spoken {
    pace: VoicePace,
    clips: VecDeque<(ClipId, usize)>,
    /// Clips that broke off and are still being played as far as they came.
    broken: VecDeque<(ClipId, Failure)>,
}

impl Spoken {
    /// Clip `clip` is to say `text`.
    pub(super) fn speaking(&mut self, clip: ClipId, text: &str) {
        if self.clips.len() == CLIPS {
            self.clips.pop_front();
        }
        self.clips.push_back((clip, text.trim().chars().count()));
    }

    /// It was heard whole.
    pub(super) fn ended(&mut self, clip: ClipId, length: Duration, voice: &VoicePace) {
        let chars = self.take(clip);
        if chars > 0 {
            self.pace.heard(chars, length);
            voice.heard(chars, length);
        }
    }

    /// The rest of it will not come.
    pub(super) fn broke_off(&mut self, clip: ClipId, failure: Failure) {
        if self.broken.len() == CLIPS {
            self.broken.pop_front();
        }
        self.broken.push_back((clip, failure));
    }

    /// It was cut: how much of it was heard, 0 to 1, and why the rest of it never came, if that is so. `voice` is what is known from other
    /// calls.
    pub(super) fn cut(&mut self, cut: &CutClip, voice: &VoicePace) -> (f32, Option<Failure>) {
        let chars = self.take(cut.clip);
        let came = cut.came_for().as_secs_f32();
        let whole = if cut.complete {
            came
        } else {
            let pace = self.pace.chars_per_second().or_else(|| voice.chars_per_second()).unwrap_or(CHARS_PER_SECOND);
            came.max(chars as f32 / pace)
        };
        let heard = if whole > 0.0 { cut.played_for().as_secs_f32() / whole } else { 0.0 };
        let at = self.broken.iter().position(|(clip, _)| *clip == cut.clip);
        (heard, at.and_then(|at| self.broken.remove(at)).map(|(_, failure)| failure))
    }

    /// Another pod has heard this call's voice at that pace, in characters a second: that is what is known until it was heard here too.
    pub(super) fn was_heard_at(&mut self, pace: f32) {
        self.pace.heard((pace * KNOWN_BEFORE.as_secs_f32()) as usize, KNOWN_BEFORE);
    }

    /// How fast the voice speaks, where that is known.
    pub(super) fn chars_per_minute(&self, voice: &VoicePace) -> Option<u64> {
        let pace = self.pace.chars_per_second().or_else(|| voice.chars_per_second());
        pace.map(|pace| (pace * 60.0).round() as u64)
    }

    /// How many clips it knows of.
    pub(super) fn clips(&self) -> usize {
        self.clips.len() + self.broken.len()
    }

    /// Its length in characters, which nobody asks for again.
    fn take(&mut self, clip: ClipId) -> usize {
        let at = self.clips.iter().position(|(known, _)| *known == clip);
        at.and_then(|at| self.clips.remove(at)).map_or(0, |(_, chars)| chars)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::SampleRate;
    use crate::turn::history::heard_part;

    const SENTENCE: &str = "It costs forty euros a month, and you can cancel at the end of any quarter by letter.";

    fn cut(clip: u32, played_ms: usize, came_ms: usize, complete: bool) -> CutClip {
        let rate = SampleRate::Hz16000;
        CutClip { clip: ClipId(clip), rate, played: played_ms * 16, came: came_ms * 16, complete }
    }

    /// The time that `text` takes at so many characters a second, in milliseconds.
    fn takes(text: &str, pace: f32) -> usize {
        (text.chars().count() as f32 / pace * 1_000.0) as usize
    }

    #[test]
    fn a_sentence_that_is_cut_at_a_third_was_heard_by_a_third_at_any_pace_of_the_voice() {
        for pace in [9.0_f32, 14.0, 21.0] {
            let (mut spoken, voice) = (Spoken::default(), VoicePace::default());
            spoken.speaking(ClipId(1), "Hello, this is the library. How can I help you?");
            spoken.ended(ClipId(1), Duration::from_secs_f32(47.0 / pace), &voice);
            spoken.speaking(ClipId(2), SENTENCE);
            let played = takes(SENTENCE, pace) / 3;
            // A second more than was played had come: what came is no measure of the whole.
            let (heard, failure) = spoken.cut(&cut(2, played, played + 1_000, false), &voice);
            assert!((heard - 1.0 / 3.0).abs() < 0.02, "{pace}: {heard}");
            let words = heard_part(SENTENCE, heard).split_whitespace().count();
            assert!(words.abs_diff(SENTENCE.split_whitespace().count() / 3) <= 1, "{pace}: {words}");
            assert_eq!(failure, None);
        }
    }

    #[test]
    fn the_first_words_of_a_call_are_judged_by_what_other_calls_heard_of_the_voice() {
        let voice = VoicePace::default();
        let mut other = Spoken::default();
        other.speaking(ClipId(1), SENTENCE);
        other.ended(ClipId(1), Duration::from_secs(9), &voice);
        let mut spoken = Spoken::default();
        spoken.speaking(ClipId(1), SENTENCE);
        let a_minute = (SENTENCE.chars().count() as f32 / 9.0 * 60.0).round() as u64;
        assert_eq!(spoken.chars_per_minute(&voice), Some(a_minute));
        assert_eq!(spoken.chars_per_minute(&VoicePace::default()), None);
        let (heard, _) = spoken.cut(&cut(1, 3_000, 4_000, false), &voice);
        assert!((heard - 1.0 / 3.0).abs() < 0.01, "{heard}");
    }

    #[test]
    fn the_pace_that_another_pod_has_learnt_is_known_from_the_first_word_on_and_gives_way_to_what_is_heard_here() {
        let (mut spoken, voice) = (Spoken::default(), VoicePace::default());
        spoken.was_heard_at(21.0);
        spoken.speaking(ClipId(1), SENTENCE);
        let played = takes(SENTENCE, 21.0) / 3;
        let (heard, _) = spoken.cut(&cut(1, played, played + 100, false), &voice);
        assert!((heard - 1.0 / 3.0).abs() < 0.02, "{heard}");
        for clip in 2..12 {
            spoken.speaking(ClipId(clip), SENTENCE);
            spoken.ended(ClipId(clip), Duration::from_secs_f32(SENTENCE.chars().count() as f32 / 9.0), &voice);
        }
        assert!((530..570).contains(&spoken.chars_per_minute(&voice).expect("it was heard")), "nine a second");
    }

    #[test]
    fn what_has_come_whole_needs_no_reckoning_and_is_never_shorter_than_what_came() {
        let (mut spoken, voice) = (Spoken::default(), VoicePace::default());
        spoken.speaking(ClipId(1), SENTENCE);
        assert_eq!(spoken.cut(&cut(1, 1_000, 4_000, true), &voice).0, 0.25);
        spoken.speaking(ClipId(2), "Yes.");
        assert_eq!(spoken.cut(&cut(2, 1_000, 4_000, false), &voice).0, 0.25, "a slow voice");
        assert_eq!(spoken.cut(&cut(3, 0, 0, false), &voice).0, 0.0, "nobody knows it");
    }

    #[test]
    fn what_broke_off_is_cut_for_that_reason_once() {
        let (mut spoken, voice) = (Spoken::default(), VoicePace::default());
        spoken.speaking(ClipId(1), SENTENCE);
        spoken.broke_off(ClipId(1), Failure::Timeout);
        let (heard, failure) = spoken.cut(&cut(1, 300, 300, false), &voice);
        assert!(heard < 0.1, "{heard}");
        assert_eq!(failure, Some(Failure::Timeout));
        assert_eq!(spoken.cut(&cut(1, 300, 300, false), &voice).1, None);
    }

    #[test]
    fn a_pace_follows_the_voice_and_never_overflows() {
        let voice = VoicePace::default();
        for _ in 0..1_000 {
            voice.heard(usize::MAX, Duration::from_secs(1_000_000));
        }
        for _ in 0..1_000 {
            voice.heard(100, Duration::from_secs(10));
        }
        let pace = voice.chars_per_second().expect("enough was heard");
        assert!((pace - 10.0).abs() < 1.0, "{pace}");
    }
}
