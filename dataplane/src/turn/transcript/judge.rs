//! Whether a transcript was said at all: words and sound together, over the utterances of one call.

use std::time::Duration;

use super::habits::{Habit, habit, plain, repetitions};
use super::marks;

/// Voice in an utterance below this is none: what noise has by chance.
const NO_VOICE: Duration = Duration::from_millis(60);
/// People speak up to some 25 letters a second, of which a half or more is voice; nobody gets 60 into a second of voice…
const LETTERS_A_SECOND: f64 = 60.0;
/// …but short texts and what is whispered or lost are given this much.
const LETTERS_GRANTED: f64 = 40.0;
/// Half as fast, and with nothing granted, where something else speaks against the words.
const DOUBTED_LETTERS_A_SECOND: f64 = 30.0;
/// A recogniser that is caught in a loop writes the same at least so often.
const LOOP: usize = 4;

/// What is taken for nothing said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum TranscriptCheck {
    /// Remarks of the recogniser, and words for which there was no voice.
    #[default]
    Full,
    /// Remarks only.
    Marks,
    /// Only a transcript without any text.
    None,
}

/// What an utterance sounds like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sound {
    /// Voice in it, as its periods show ([`crate::audio::voicing`]).
    pub voiced: Duration,
}

/// Judges the transcripts of one call.
#[derive(Debug, Default)]
pub struct Judge {
    check: TranscriptCheck,
    /// What the recogniser wrote last, in letters only.
    last: String,
}

impl Judge {
    /// A judge who has read nothing yet.
    #[must_use]
    pub const fn new(check: TranscriptCheck) -> Self {
        Self { check, last: String::new() }
    }

    /// What was said, by a recogniser's `transcript` of `sound`; empty for nothing.
    ///
    /// Words alone never decide. What recognisers write over noise is dropped where there was no voice, or too little to
    /// say it; anything else where it could not have been said in so little voice, where it is a loop over little voice, or
    /// where the recogniser wrote the very same before and there is as good as no voice again.
    #[must_use]
    pub fn said(&mut self, transcript: &str, sound: Sound) -> String {
        if self.check == TranscriptCheck::None {
            return transcript.trim().to_owned();
        }
        let said = marks::said(transcript);
        if self.check == TranscriptCheck::Marks || said.is_empty() {
            return said;
        }
        let plain = plain(&said);
        let again = plain == self.last;
        let made_up = is_made_up(&said, &plain, again, sound.voiced);
        self.last = plain;
        if made_up { String::new() } else { said }
    }
}

fn is_made_up(said: &str, plain: &str, again: bool, voiced: Duration) -> bool {
    let letters = letters(plain);
    let doubted = letters > voiced.as_secs_f64() * DOUBTED_LETTERS_A_SECOND;
    let no_voice = voiced < NO_VOICE;
    match habit(said) {
        Some(Habit::Credit) if doubted => return true,
        Some(Habit::Courtesy) if no_voice => return true,
        _ => {}
    }
    (repetitions(plain) >= LOOP && doubted)
        || (again && no_voice)
        || letters > LETTERS_GRANTED + voiced.as_secs_f64() * LETTERS_A_SECOND
}

/// How many letters of an alphabet a text is as long as, spoken: a syllable or a figure is several.
fn letters(plain: &str) -> f64 {
    let weight = |c: char| match c {
        ' ' => 0.0,
        '\u{3040}'..='\u{30FF}' => 2.0,
        '\u{3400}'..='\u{9FFF}' | '\u{AC00}'..='\u{D7AF}' => 3.0,
        c if c.is_numeric() => 3.0,
        _ => 1.0,
    };
    plain.chars().map(weight).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sound(voiced_ms: u64) -> Sound {
        Sound { voiced: Duration::from_millis(voiced_ms) }
    }

    fn judge() -> Judge {
        Judge::new(TranscriptCheck::Full)
    }

    #[test]
    fn what_recognisers_make_up_is_nothing_where_there_was_no_voice() {
        for text in
            ["Thank you for watching.", "Thank you.", "you", "ご視聴ありがとうございました", "Продолжение следует..."]
        {
            assert_eq!(judge().said(text, sound(0)), "", "{text}");
            assert_eq!(judge().said(text, sound(1_300)), text, "{text}: somebody did say it");
        }
        assert_eq!(judge().said("Thank you for watching.", sound(250)), "", "too little voice for so much");
    }

    #[test]
    fn a_caller_who_says_thank_you_is_heard_every_time() {
        let mut judge = judge();
        for _ in 0..3 {
            assert_eq!(judge.said("Thank you.", sound(250)), "Thank you.");
        }
    }

    #[test]
    fn the_same_words_again_over_no_voice_are_nothing() {
        let mut judge = judge();
        assert_eq!(judge.said("The weather is nice.", sound(20)), "The weather is nice.", "whispered, perhaps");
        assert_eq!(judge.said("the weather is nice", sound(30)), "");
        assert_eq!(judge.said("The weather is nice!", sound(0)), "");
        assert_eq!(judge.said("The weather is nice.", sound(700)), "The weather is nice.");
        assert_eq!(judge.said("Something else.", sound(0)), "Something else.");
    }

    #[test]
    fn a_loop_over_little_voice_is_nothing_and_a_caller_may_repeat_themselves() {
        let text = "I'm going to go. ".repeat(6);
        assert_eq!(judge().said(&text, sound(300)), "");
        assert_eq!(judge().said("No, no, no, no, no!", sound(900)), "No, no, no, no, no!");
    }

    #[test]
    fn more_words_than_anybody_could_say_in_so_little_voice_are_nothing() {
        let story = "This is a story about a man who lived in a house by the sea and never went out.";
        assert_eq!(judge().said(story, sound(100)), "");
        assert_eq!(judge().said(story, sound(2_500)), story);
    }

    #[test]
    fn remarks_are_dropped_whatever_the_sound_and_the_check_can_be_turned_down() {
        assert_eq!(judge().said("[BLANK_AUDIO]", sound(2_000)), "");
        let mut marks = Judge::new(TranscriptCheck::Marks);
        assert_eq!(marks.said("(coughs) Thank you for watching.", sound(0)), "Thank you for watching.");
        let mut none = Judge::new(TranscriptCheck::None);
        assert_eq!(none.said(" (coughs) ", sound(0)), "(coughs)");
    }
}
