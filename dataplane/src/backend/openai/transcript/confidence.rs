//! What servers of the Whisper family tell of how sure they are, and when that means that there was no speech.
//!
//! Measured with a small model (39 million parameters) on telephone audio: over silence, white and pink noise, clicks and
//! tones it gave a probability of no speech of 0.81 to 0.96, over breath 0.69 to 0.74; over speech 0.05 to 0.46, down to a
//! noise as loud as the speech, 0.68 for a single cut-off word. The mean log probability was below -0.94 for nearly all that
//! was made up, and above -1.0 for nearly all that was said.

use serde_json::{Map, Value};

use crate::turn::transcript::habits::{Habit, habit};

/// Whisper's own rule: no speech is likely, and the words are not.
const NO_SPEECH: f64 = 0.6;
const UNSURE_WORDS: f64 = -1.0;
/// From here on it takes words that the model is very sure of to believe them.
const SURELY_NO_SPEECH: f64 = 0.85;
const SURE_WORDS: f64 = -0.3;
/// What stands at the end of films is believed only where speech is likely…
const NO_SPEECH_CREDIT: f64 = 0.3;
/// …and a courtesy where it is possible.
const NO_SPEECH_COURTESY: f64 = 0.75;
/// Text that gzip makes so many times shorter is a loop: Whisper's own bound.
const LOOP_COMPRESSION: f64 = 2.4;
/// Words of a loop are unlikely ones, or there is a doubt about speech.
const LOOP_NO_SPEECH: f64 = 0.4;

/// How sure a server is of a piece of text, as far as it tells.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Confidence {
    /// The probability that there was no speech, 0 to 1.
    no_speech: Option<f64>,
    /// The mean log probability of the words.
    log_probability: Option<f64>,
    /// How many times shorter gzip makes the text.
    compression: Option<f64>,
}

impl Confidence {
    pub(super) fn of(object: &Map<String, Value>) -> Self {
        let number = |names: &[&str]| names.iter().find_map(|name| object.get(*name)).and_then(Value::as_f64);
        let probability = |number: f64| (0.0..=1.0).contains(&number);
        Self {
            no_speech: number(&["no_speech_prob", "no_speech_probability", "noSpeechProb"]).filter(|p| probability(*p)),
            log_probability: number(&["avg_logprob", "avg_log_prob", "avgLogprob"]).filter(|log| *log <= 0.0),
            compression: number(&["compression_ratio", "compressionRatio"]),
        }
    }
}

/// Whether a piece of text is speech, by what the server tells. Without that, it is.
pub(super) fn is_speech(text: &str, confidence: &Confidence) -> bool {
    let Some(no_speech) = confidence.no_speech else { return true };
    let words = confidence.log_probability;
    if no_speech >= NO_SPEECH && words.is_some_and(|words| words <= UNSURE_WORDS) {
        return false;
    }
    if no_speech >= SURELY_NO_SPEECH && words.is_none_or(|words| words < SURE_WORDS) {
        return false;
    }
    let is_loop = confidence.compression.is_some_and(|compression| compression > LOOP_COMPRESSION);
    if is_loop && (no_speech >= LOOP_NO_SPEECH || words.is_some_and(|words| words <= UNSURE_WORDS)) {
        return false;
    }
    match habit(text) {
        Some(Habit::Credit) => no_speech < NO_SPEECH_CREDIT,
        Some(Habit::Courtesy) => no_speech < NO_SPEECH_COURTESY,
        None => true,
    }
}
