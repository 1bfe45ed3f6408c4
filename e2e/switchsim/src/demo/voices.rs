//! What the caller of the demo says: two of the voices that the binary carries, less the silence around the words.

use std::io::Cursor;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use switchsim::{Clip, voices};

/// Samples a second of every recording here.
const RATE_HZ: u32 = 16_000;
/// Samples of the frames by which a voice is looked for: 20 ms.
const FRAME: usize = 320;
/// Root mean square above which a frame is a voice, of 32,768: -35 dBFS, well above the rooms of the recordings.
const VOICE_RMS: f64 = 583.0;
/// What is left of the silence around the words.
const MARGIN: Duration = Duration::from_millis(150);

const RECORDINGS: [&str; 2] = ["go_forward", "seven_of_clubs"];

/// A phrase of a caller.
pub struct Phrase {
    /// The words.
    pub words: String,
    /// The sound.
    pub clip: Clip,
    /// The silence before the first word.
    pub lead_in: Duration,
}

/// The phrases of the demo, in their order.
///
/// # Errors
/// A recording, or the index of their words, is not as it should be.
pub fn phrases() -> Result<[Phrase; 2]> {
    let phrase = |name: &str| -> Result<Phrase> {
        let words = voices::text(name).context("not in voices/index.json")?;
        let reader = hound::WavReader::new(Cursor::new(voices::wav(name)?))?;
        let spec = reader.spec();
        ensure!((spec.channels, spec.sample_rate) == (1, RATE_HZ), "expected mono at {RATE_HZ} Hz, came {spec:?}");
        let samples = reader.into_samples::<i16>().collect::<Result<Vec<_>, _>>()?;
        let (clip, lead_in) = trimmed(&samples).context("no voice in it")?;
        Ok(Phrase { words, clip, lead_in })
    };
    let [first, second] = RECORDINGS.map(|recording| phrase(recording).with_context(|| recording));
    Ok([first?, second?])
}

fn trimmed(samples: &[i16]) -> Option<(Clip, Duration)> {
    let voiced = |frame: &[i16]| {
        let energy: f64 = frame.iter().map(|sample| f64::from(*sample).powi(2)).sum();
        energy > VOICE_RMS.powi(2) * FRAME as f64
    };
    let first = samples.chunks_exact(FRAME).position(voiced)? * FRAME;
    let last = samples.chunks_exact(FRAME).rposition(voiced)? * FRAME + FRAME;
    let margin = MARGIN.as_millis() as usize * RATE_HZ as usize / 1_000;
    let (start, end) = (first.saturating_sub(margin), samples.len().min(last + margin));
    let lead_in = Duration::from_millis((first - start) as u64 * 1_000 / u64::from(RATE_HZ));
    Some((Clip::from_samples(samples[start..end].to_vec()), lead_in))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_phrases_are_there_with_their_words() {
        let [first, second] = phrases().expect("they are in the binary");
        assert_eq!(first.words, "go forward ten meters");
        assert_eq!(second.words, "seven of clubs");
        for phrase in [first, second] {
            assert!(phrase.clip.duration() > Duration::from_secs(1), "{}", phrase.words);
            assert!(phrase.lead_in <= MARGIN, "{}", phrase.words);
        }
    }

    #[test]
    fn silence_has_no_words() {
        assert!(trimmed(&[0; 16_000]).is_none());
    }
}
