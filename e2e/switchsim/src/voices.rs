//! Callers' voices: recordings of people, and the words in them. Carried in the binary, so that a pod needs no files.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::media::{Clip, ClipError};

const INDEX: &str = include_str!("../../voices/index.json");
/// By name, in alphabetical order.
const RECORDINGS: [(&str, &[u8]); 7] = [
    ("amiable_woman", include_bytes!("../../voices/amiable_woman.wav")),
    ("five_five", include_bytes!("../../voices/five_five.wav")),
    ("go_forward", include_bytes!("../../voices/go_forward.wav")),
    ("go_somewhere", include_bytes!("../../voices/go_somewhere.wav")),
    ("more_respectable", include_bytes!("../../voices/more_respectable.wav")),
    ("queen_of_clubs", include_bytes!("../../voices/queen_of_clubs.wav")),
    ("seven_of_clubs", include_bytes!("../../voices/seven_of_clubs.wav")),
];

/// Read and encoded once for all callers.
static CLIPS: LazyLock<Mutex<HashMap<&'static str, Clip>>> = LazyLock::new(Mutex::default);

/// A recording of a caller.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Voice {
    /// What scripts say: `say NAME`.
    pub name: String,
    /// The words.
    pub text: String,
    /// How long it takes to say, in milliseconds.
    pub ms: f64,
}

#[derive(Deserialize)]
struct Entry {
    file: String,
    text: String,
}

fn unknown(name: &str) -> ClipError {
    ClipError::NoSuchVoice { name: name.to_owned(), known: RECORDINGS.map(|(name, _)| name).join(", ") }
}

/// The file of that name (without `.wav`).
///
/// # Errors
/// There is none.
pub fn wav(name: &str) -> Result<&'static [u8], ClipError> {
    RECORDINGS.iter().find(|(known, _)| *known == name).map(|(_, wav)| *wav).ok_or_else(|| unknown(name))
}

/// The recording of that name, ready to be said; always the same one, so that it is encoded once.
///
/// # Errors
/// There is none.
pub fn clip(name: &str) -> Result<Clip, ClipError> {
    let (name, wav) = RECORDINGS.iter().find(|(known, _)| *known == name).ok_or_else(|| unknown(name))?;
    let mut clips = CLIPS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(clip) = clips.get(name) {
        return Ok(clip.clone());
    }
    let clip = Clip::from_wav_bytes(name, wav)?;
    clips.insert(name, clip.clone());
    Ok(clip)
}

/// The words of the recording of that name.
#[must_use]
pub fn text(name: &str) -> Option<String> {
    let index: Vec<Entry> = serde_json::from_str(INDEX).ok()?;
    index.into_iter().find(|entry| entry.file.strip_suffix(".wav") == Some(name)).map(|entry| entry.text)
}

/// All recordings.
#[must_use]
pub fn all() -> Vec<Voice> {
    let voice = |(name, _): &(&str, &[u8])| {
        let ms = clip(name).ok()?.duration().as_secs_f64() * 1e3;
        Some(Voice { name: (*name).to_owned(), text: text(name)?, ms })
    };
    RECORDINGS.iter().filter_map(voice).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_voice_can_be_said_and_has_its_words() {
        let voices = all();
        assert_eq!(voices.len(), RECORDINGS.len());
        assert!(voices.iter().all(|voice| voice.ms > 500.0 && !voice.text.is_empty()), "{voices:?}");
        assert_eq!(text("go_forward").as_deref(), Some("go forward ten meters"));
    }

    #[test]
    fn a_voice_that_is_not_there_is_named_with_those_that_are() {
        let error = clip("../secret").unwrap_err().to_string();
        assert!(error.contains("../secret") && error.contains("five_five"), "{error}");
    }
}
