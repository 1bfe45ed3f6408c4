//! The recording that covers a failure: in memory from the start, so that it plays when nothing else answers. Asks no
//! backend and reads no file after the start.

use std::path::Path;

use super::clips::{self, Clip, ClipError};

/// The apology to play: the WAV file at `replacement`, or the bundled recording when there is none.
///
/// # Errors
/// [`ClipError`] when the replacement can't be read, is no WAV, or is too long. Meant to end the start of the process:
/// an apology that is found missing when it is needed would be silence.
pub fn load(replacement: Option<&Path>) -> Result<Clip, ClipError> {
    match replacement {
        Some(path) => Clip::from_wav_file(&bundled().text, path),
        None => Ok(bundled().clone()),
    }
}

/// The apology that comes with the program.
#[must_use]
pub fn bundled() -> &'static Clip {
    clips::bundled().apology()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::SampleRate;

    #[test]
    fn the_apology_is_there_without_any_file() {
        let clip = load(None).unwrap();
        assert_eq!(clip.rate, SampleRate::Hz16000);
        assert!(clip.duration().as_secs() >= 1 && !clip.text.is_empty());
    }

    #[test]
    fn a_replacement_that_cannot_be_read_is_named() {
        let error = load(Some(Path::new("no/such/apology.wav"))).unwrap_err().to_string();
        assert!(error.contains("no/such/apology.wav"), "{error}");
    }
}
