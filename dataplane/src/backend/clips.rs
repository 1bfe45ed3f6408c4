//! The recordings that come with the program: real speech of a person, with the words that it says. Only holds them;
//! who plays which is decided elsewhere.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde::Deserialize;

use crate::audio::{SampleRate, wav};

/// The longest recording that is taken from a file.
const MAX_CLIP: Duration = Duration::from_secs(60);
/// The largest file: [`MAX_CLIP`] of 48 kHz stereo in 32 bits, and some headers.
const MAX_FILE_BYTES: u64 = 24 << 20;

const INDEX: &str = include_str!("../../assets/agent/clips.json");

macro_rules! embedded {
    ($($file:literal),* $(,)?) => {
        [$(($file, include_bytes!(concat!("../../assets/agent/", $file)) as &[u8])),*]
    };
}

const FILES: [(&str, &[u8]); 12] = embedded![
    "greeting.wav",
    "apology.wav",
    "silence_prompt.wav",
    "goodbye.wav",
    "reply_saved.wav",
    "reply_moment.wav",
    "reply_extension.wav",
    "reply_locate.wav",
    "reply_connect.wav",
    "reply_unavailable.wav",
    "reply_first_in_line.wav",
    "reply_later.wav",
];

/// A recording and its words. Cloning shares the samples.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clip {
    /// What is said.
    pub text: String,
    /// The rate of `samples`.
    pub rate: SampleRate,
    /// Mono PCM.
    pub samples: Arc<[i16]>,
}

impl Clip {
    /// Reads a whole WAV file from memory; more channels are mixed to one.
    ///
    /// # Errors
    /// [`ClipError::Wav`] when it is no WAV that the engine reads, [`ClipError::Length`] when it is empty or longer
    /// than 60 s. `path` only names the file in errors.
    pub fn from_wav(text: &str, bytes: &[u8], path: &Path) -> Result<Self, ClipError> {
        let wav::WavAudio { rate, samples } =
            wav::read(bytes).map_err(|source| ClipError::Wav { path: path.to_owned(), source })?;
        let duration = rate.duration(samples.len());
        if samples.is_empty() || duration > MAX_CLIP {
            return Err(ClipError::Length { path: path.to_owned(), duration });
        }
        Ok(Self { text: text.to_owned(), rate, samples: samples.into() })
    }

    /// Reads a WAV file.
    ///
    /// # Errors
    /// As [`Clip::from_wav`], and [`ClipError::Io`] when the file can't be read.
    pub fn from_wav_file(text: &str, path: &Path) -> Result<Self, ClipError> {
        let io = |source| ClipError::Io { path: path.to_owned(), source };
        let mut bytes = Vec::new();
        File::open(path).map_err(io)?.take(MAX_FILE_BYTES).read_to_end(&mut bytes).map_err(io)?;
        Self::from_wav(text, &bytes, path)
    }

    /// How long it plays.
    #[must_use]
    pub fn duration(&self) -> Duration {
        self.rate.duration(self.samples.len())
    }

    /// The recording cut at its longest pause, if its text has two sentences; whole otherwise. The agent speaks sentence
    /// by sentence, and each is to be found by itself.
    fn sentences(&self) -> Vec<Self> {
        let texts: Vec<&str> = sentences(&self.text).collect();
        match texts[..] {
            [first, second] => {
                let cut = longest_pause(&self.samples, self.rate);
                let part = |text: &str, samples: &[i16]| Self {
                    text: text.to_owned(),
                    rate: self.rate,
                    samples: samples.into(),
                };
                vec![part(first, &self.samples[..cut]), part(second, &self.samples[cut..])]
            }
            _ => vec![self.clone()],
        }
    }
}

/// Why a recording can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ClipError {
    /// The file can't be read.
    #[error("recording {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is no WAV that the engine reads.
    #[error("recording {}: {source}", path.display())]
    Wav {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: wav::WavError,
    },
    /// It is empty or too long to be kept in memory.
    #[error("recording {}: expected some speech of at most 60 s, came {duration:?}", path.display())]
    Length {
        /// The file.
        path: PathBuf,
        /// How long it is.
        duration: Duration,
    },
}

/// What a bundled recording is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClipRole {
    /// The first words to a caller.
    Greeting,
    /// Something failed.
    Apology,
    /// The caller has said nothing.
    SilencePrompt,
    /// The last words.
    Goodbye,
    /// An answer of the mock.
    Reply,
}

/// The bundled recordings.
#[derive(Debug)]
pub struct Clips {
    all: Vec<(ClipRole, Clip)>,
    /// By [`normalised`] sentence.
    sentences: HashMap<String, Clip>,
}

#[derive(Deserialize)]
struct IndexEntry {
    file: String,
    text: String,
    role: ClipRole,
}

/// The bundled recordings; decoded when they are first asked for.
#[must_use]
pub fn bundled() -> &'static Clips {
    static CLIPS: OnceLock<Clips> = OnceLock::new();
    CLIPS.get_or_init(|| Clips::read().expect("the bundled recordings do not change, and a test reads them"))
}

impl Clips {
    fn read() -> Result<Self, Box<dyn std::error::Error>> {
        let entries: Vec<IndexEntry> = serde_json::from_str(INDEX)?;
        let mut clips = Self { all: Vec::with_capacity(entries.len()), sentences: HashMap::new() };
        for IndexEntry { file, text, role } in entries {
            let (_, bytes) = FILES.iter().find(|(name, _)| *name == file).ok_or("a recording is not embedded")?;
            let clip = Clip::from_wav(&text, bytes, Path::new(&file))?;
            for sentence in clip.sentences() {
                clips.sentences.entry(normalised(&sentence.text)).or_insert(sentence);
            }
            clips.all.push((role, clip));
        }
        Ok(clips)
    }

    /// The recordings made for `role`, in the order of the index; at least one of each.
    pub fn of(&self, role: ClipRole) -> impl Iterator<Item = &Clip> {
        self.all.iter().filter(move |(its, _)| *its == role).map(|(_, clip)| clip)
    }

    /// The recording that covers a failure.
    #[must_use]
    pub fn apology(&self) -> &Clip {
        self.first(ClipRole::Apology)
    }

    /// The first words to a caller.
    #[must_use]
    pub fn greeting(&self) -> &Clip {
        self.first(ClipRole::Greeting)
    }

    /// The recording of one sentence, whatever its case and punctuation.
    #[must_use]
    pub fn sentence(&self, text: &str) -> Option<&Clip> {
        self.sentences.get(&normalised(text))
    }

    fn first(&self, role: ClipRole) -> &Clip {
        self.of(role).next().expect("each role has a recording, and a test counts them")
    }
}

/// `text` cut behind each `.`, `!` and `?`; pieces without a word are left out.
pub(super) fn sentences(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive(['.', '!', '?']).map(str::trim).filter(|piece| piece.chars().any(char::is_alphanumeric))
}

/// Words in lower case with one space between them, so that typography makes no difference.
pub(super) fn normalised(text: &str) -> String {
    let word =
        |word: &str| word.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect::<String>();
    let words: Vec<String> = text.split_whitespace().map(word).filter(|word| !word.is_empty()).collect();
    words.join(" ")
}

/// The middle of the longest run of quiet 10 ms windows, in samples; silence at either end does not count.
fn longest_pause(samples: &[i16], rate: SampleRate) -> usize {
    /// Mean square of a quiet window: an amplitude of 200, -44 dBFS, well under the recordings' softest sounds.
    const QUIET: u64 = 200 * 200;
    let window = rate.samples(Duration::from_millis(10));
    let quiet: Vec<bool> = samples
        .chunks(window)
        .map(|chunk| {
            let energy: u64 = chunk.iter().map(|&s| u64::from(s.unsigned_abs()).pow(2)).sum();
            energy < QUIET * chunk.len() as u64
        })
        .collect();
    let (mut longest, mut start) = (0..0, None);
    for (index, &is_quiet) in quiet.iter().enumerate() {
        match (is_quiet, start) {
            (true, None) => start = Some(index),
            (false, Some(from)) => {
                if from > 0 && index - from > longest.len() {
                    longest = from..index;
                }
                start = None;
            }
            _ => {}
        }
    }
    (longest.start + longest.end) / 2 * window
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bundled_recording_is_readable_named_and_neither_empty_nor_long() {
        let clips = bundled();
        assert_eq!(clips.all.len(), FILES.len());
        for (_, clip) in &clips.all {
            assert_eq!(clip.rate, SampleRate::Hz16000, "{}", clip.text);
            assert!(clip.duration() >= Duration::from_secs(1), "{}", clip.text);
            assert!(clip.duration() <= Duration::from_secs(6), "{}", clip.text);
        }
        for role in [ClipRole::Greeting, ClipRole::Apology, ClipRole::SilencePrompt, ClipRole::Goodbye, ClipRole::Reply]
        {
            assert!(clips.of(role).count() >= 1, "{role:?}");
        }
    }

    #[test]
    fn each_sentence_of_a_recording_is_found_by_itself_and_together_they_are_all_of_it() {
        let clips = bundled();
        for (_, clip) in &clips.all {
            let parts = clip.sentences();
            assert_eq!(parts.len(), sentences(&clip.text).count(), "{}", clip.text);
            let joined: Vec<i16> = parts.iter().flat_map(|part| part.samples.iter().copied()).collect();
            assert_eq!(joined[..], clip.samples[..], "{}", clip.text);
            for part in &parts {
                assert!(part.duration() >= Duration::from_millis(400), "{} lasts {:?}", part.text, part.duration());
                assert!(clips.sentence(&part.text).is_some(), "{}", part.text);
            }
        }
    }

    #[test]
    fn typography_makes_no_difference() {
        let clips = bundled();
        assert!(clips.sentence("  please TRY again!  ").is_some());
        assert!(clips.sentence("I’m sorry").is_some());
        assert!(clips.sentence("Please try it again.").is_none());
    }

    #[test]
    fn a_recording_without_sound_is_refused() {
        let error = Clip::from_wav("", b"RIFF", Path::new("x.wav")).unwrap_err();
        assert!(error.to_string().starts_with("recording x.wav: "), "{error}");
    }
}
