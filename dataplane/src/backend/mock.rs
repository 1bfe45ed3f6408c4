//! The built-in backend: answers with bundled recordings of a person, with the pace of real services. It understands
//! nothing and says so; it exists so that a call works with no configuration, and to drive tests, demos and load.
//!
//! - `transcribe` does not recognise speech: it returns `speech 1.8 s`, or nothing for silence.
//! - `generate` goes through a small script, one entry a turn. The history tells which is next, so it needs no memory of
//!   calls and goes on at the right place after a takeover.
//! - `speak` plays the recordings of the text's sentences, and the greeting for a sentence that has none.
//!
//! The same input gives the same output, always.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::{self, BoxStream, StreamExt};

use super::clips::{self, Clip};
use super::{BackendError, ReplyPart, ReplyStream, SessionInfo, SpeechStream, Stage, VoiceBackend};
use crate::audio::{SampleRate, Samples};
use crate::turn::history::{Message, Role};
use crate::turn::tool::ToolCall;

/// What the script says, turn by turn, and then from the start again. Each sentence has a recording.
const SCRIPT: [&str; 6] = [
    "One moment please. Thank you for your patience. Please hold while I try to locate the person you are calling.",
    "Your call is now first in line. Thank you for your patience.",
    "Thank you. Please wait while I connect your call. Please hold while I try that extension.",
    "I'm sorry. Nobody is available to take your call at the moment.",
    "The number is not answering. Please try your call again later.",
    "Thank you. Your message has been saved.",
];

/// What the script says before it hangs up.
const GOODBYE: &str = "Thank you for your call. Goodbye.";

/// How much speech goes into a chunk.
const CHUNK: Duration = Duration::from_millis(200);

/// Root mean square below which an utterance counts as silence: -50 dBFS.
const SILENCE_RMS: f64 = 104.0;

/// The mock's pace and its failures. The defaults are those of good services nearby.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MockSettings {
    /// The time to a transcript.
    pub transcribe_delay: Duration,
    /// The time to the first word of a reply.
    pub generate_delay: Duration,
    /// The time between two words of a reply.
    pub word_interval: Duration,
    /// The time to the first chunk of speech.
    pub speak_delay: Duration,
    /// The time between two chunks of speech, each of 200 ms.
    pub chunk_interval: Duration,
    /// The turn, counted from 1, in which the mock says goodbye and hangs up; `None`: never. Histories are cut to the last
    /// ten turns, so a later turn than the eleventh never comes.
    pub hang_up_in_turn: Option<NonZeroU32>,
    /// Every nth transcription fails; `None`: none.
    pub fail_every_transcribe: Option<NonZeroU32>,
    /// Every nth reply fails; `None`: none.
    pub fail_every_generate: Option<NonZeroU32>,
    /// Every nth sentence fails; `None`: none.
    pub fail_every_speak: Option<NonZeroU32>,
}

impl Default for MockSettings {
    /// 120 ms to a transcript, 250 ms to a reply and 15 ms a word, 80 ms to speech and 10 ms a chunk; no failures.
    fn default() -> Self {
        Self {
            transcribe_delay: Duration::from_millis(120),
            generate_delay: Duration::from_millis(250),
            word_interval: Duration::from_millis(15),
            speak_delay: Duration::from_millis(80),
            chunk_interval: Duration::from_millis(10),
            ..Self::INSTANT
        }
    }
}

impl MockSettings {
    /// No delays and no failures.
    pub const INSTANT: Self = Self {
        transcribe_delay: Duration::ZERO,
        generate_delay: Duration::ZERO,
        word_interval: Duration::ZERO,
        speak_delay: Duration::ZERO,
        chunk_interval: Duration::ZERO,
        hang_up_in_turn: None,
        fail_every_transcribe: None,
        fail_every_generate: None,
        fail_every_speak: None,
    };

    const fn fail_every(&self, stage: Stage) -> Option<NonZeroU32> {
        match stage {
            Stage::Transcribe => self.fail_every_transcribe,
            Stage::Generate => self.fail_every_generate,
            Stage::Speak => self.fail_every_speak,
        }
    }
}

/// The built-in backend.
#[derive(Debug, Default)]
pub struct MockBackend {
    settings: MockSettings,
    /// Requests so far, indexed by [`Stage`] as in [`Stage::ALL`].
    requests: [AtomicU32; 3],
}

impl MockBackend {
    /// A mock of this pace.
    #[must_use]
    pub fn new(settings: MockSettings) -> Self {
        Self { settings, requests: Default::default() }
    }

    /// What the mock answers in `turn`, counted from 1.
    #[must_use]
    pub fn reply(turn: usize) -> &'static str {
        SCRIPT[turn.saturating_sub(1) % SCRIPT.len()]
    }

    /// Waits as a service would, and fails when it is this request's turn to.
    async fn request(&self, stage: Stage, delay: Duration) -> Result<(), BackendError> {
        let number = self.requests[stage as usize].fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        pause(delay).await;
        match self.settings.fail_every(stage) {
            Some(every) if number.is_multiple_of(every.get()) => {
                Err(BackendError::unavailable(format!("request {number} fails, as set")).at("mock"))
            }
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl VoiceBackend for MockBackend {
    async fn transcribe(&self, audio: &[i16], rate: SampleRate) -> Result<String, BackendError> {
        self.request(Stage::Transcribe, self.settings.transcribe_delay).await?;
        Ok(describe(audio, rate))
    }

    async fn generate(
        &self,
        _text: &str,
        session: &SessionInfo,
        history: &[Message],
    ) -> Result<ReplyStream, BackendError> {
        self.request(Stage::Generate, self.settings.generate_delay).await?;
        let turn = 1 + history.iter().filter(|message| message.role == Role::User).count();
        let last = self.settings.hang_up_in_turn.is_some_and(|end| turn >= end.get() as usize);
        let text = if last { GOODBYE } else { Self::reply(next_turn(history).unwrap_or(turn)) };
        tracing::debug!(session = %session.id, turn, "mock replies from its script");
        let words = text.split_inclusive(' ').map(|word| ReplyPart::Text(word.to_owned()));
        let parts = words.chain(last.then_some(ReplyPart::Tool(ToolCall::HangUp))).collect();
        Ok(paced(parts, self.settings.word_interval))
    }

    async fn speak(&self, text: &str) -> Result<SpeechStream, BackendError> {
        self.request(Stage::Speak, self.settings.speak_delay).await?;
        let clips = clips::bundled();
        let rate = clips.greeting().rate;
        let length = rate.samples(CHUNK);
        let mut chunks = VecDeque::new();
        for sentence in clips::sentences(text) {
            let Clip { samples, .. } = clips.sentence(sentence).unwrap_or(clips.greeting());
            let samples = Samples::from(Arc::clone(samples));
            // Parts of the recordings themselves: calls that speak at the same time share them.
            chunks.extend((0..samples.len()).step_by(length).map(|start| samples.part(start..start + length)));
        }
        Ok(SpeechStream { rate, chunks: paced(chunks, self.settings.chunk_interval) })
    }
}

/// The turn of the script that follows what was last said of it. A long call's history is cut, so turns can't be counted.
fn next_turn(history: &[Message]) -> Option<usize> {
    let last = history.iter().rev().find(|message| message.role == Role::Assistant)?;
    let said = clips::normalised(&last.content);
    // An interrupted reply is the beginning of its entry; one with a prompt behind it begins with its entry.
    let of_entry = |entry: &str| {
        let entry = clips::normalised(entry);
        entry.starts_with(&said) || said.starts_with(&entry)
    };
    SCRIPT.into_iter().position(of_entry).filter(|_| !said.is_empty()).map(|index| index + 2)
}

/// What there is to say of an utterance without understanding it.
fn describe(audio: &[i16], rate: SampleRate) -> String {
    let energy: f64 = audio.iter().map(|&sample| f64::from(sample).powi(2)).sum();
    if audio.is_empty() || (energy / audio.len() as f64).sqrt() < SILENCE_RMS {
        return String::new();
    }
    format!("speech {:.1} s", rate.duration(audio.len()).as_secs_f64())
}

/// The items one after another with `interval` between them.
fn paced<T: Send + 'static>(items: VecDeque<T>, interval: Duration) -> BoxStream<'static, Result<T, BackendError>> {
    let mut first = true;
    stream::unfold(items, move |mut items| {
        let wait = if std::mem::replace(&mut first, false) { Duration::ZERO } else { interval };
        async move {
            let item = items.pop_front()?;
            pause(wait).await;
            Some((Ok(item), items))
        }
    })
    .boxed()
}

/// Sleeps, but not even for a tick of the timer when there is nothing to wait for.
async fn pause(duration: Duration) {
    if !duration.is_zero() {
        tokio::time::sleep(duration).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::TryStreamExt;
    use tokio::time::Instant;

    fn instant() -> MockBackend {
        MockBackend::new(MockSettings::INSTANT)
    }

    fn message(role: Role, content: &str) -> Message {
        Message { role, content: content.to_owned() }
    }

    fn history(turns: usize) -> Vec<Message> {
        let turn = |turn| [message(Role::User, "speech 1.0 s"), message(Role::Assistant, MockBackend::reply(turn))];
        (1..=turns).flat_map(turn).collect()
    }

    async fn reply(mock: &MockBackend, turns_before: usize) -> Vec<ReplyPart> {
        let history = history(turns_before);
        mock.generate("speech 1.0 s", &SessionInfo::default(), &history).await.unwrap().try_collect().await.unwrap()
    }

    fn text(parts: &[ReplyPart]) -> String {
        parts.iter().map(|part| if let ReplyPart::Text(text) = part { text.as_str() } else { "" }).collect()
    }

    async fn spoken(text: &str) -> Vec<i16> {
        let speech = instant().speak(text).await.unwrap();
        let chunks: Vec<Samples> = speech.chunks.try_collect().await.unwrap();
        chunks.iter().flat_map(|chunk| chunk.iter().copied()).collect()
    }

    #[tokio::test]
    async fn an_utterance_is_described_not_recognised_and_silence_is_nothing() {
        let tone: Vec<i16> = (0..28_800).map(|i| if i / 20 % 2 == 0 { 3_000 } else { -3_000 }).collect();
        let mock = instant();
        assert_eq!(mock.transcribe(&tone, SampleRate::Hz16000).await.unwrap(), "speech 1.8 s");
        assert_eq!(mock.transcribe(&[20; 16_000], SampleRate::Hz16000).await.unwrap(), "");
        assert_eq!(mock.transcribe(&[], SampleRate::Hz16000).await.unwrap(), "");
    }

    #[tokio::test]
    async fn the_script_goes_on_with_each_turn_of_the_history_and_starts_again() {
        let mock = instant();
        for turn in 1..=13 {
            assert_eq!(text(&reply(&mock, turn - 1).await), MockBackend::reply(turn), "turn {turn}");
        }
        assert_eq!(MockBackend::reply(7), MockBackend::reply(1));
        assert!(reply(&mock, 0).await.len() > 10, "words come one by one");
    }

    #[test]
    fn what_was_last_said_tells_the_next_turn_even_when_the_history_was_cut() {
        let after = |said: &str| next_turn(&[message(Role::Assistant, said), message(Role::User, "hm")]);
        assert_eq!(after(MockBackend::reply(5)), Some(6));
        assert_eq!(after("The number is not…"), Some(6));
        assert_eq!(after(&format!("{} Hello? Are you there?", MockBackend::reply(6))), Some(7));
        assert_eq!(after("Hello. Thank you for your call."), None);
        assert_eq!(after("…"), None);
        assert_eq!(next_turn(&[]), None);
    }

    #[tokio::test]
    async fn it_says_goodbye_and_hangs_up_in_the_turn_that_was_set() {
        let mock = MockBackend::new(MockSettings { hang_up_in_turn: NonZeroU32::new(2), ..MockSettings::INSTANT });
        assert_eq!(text(&reply(&mock, 0).await), MockBackend::reply(1));
        let last = reply(&mock, 1).await;
        assert_eq!(text(&last), GOODBYE);
        assert_eq!(last.last(), Some(&ReplyPart::Tool(ToolCall::HangUp)));
    }

    #[test]
    fn every_sentence_of_the_script_has_its_recording() {
        for sentence in SCRIPT.into_iter().chain([GOODBYE]).flat_map(clips::sentences) {
            assert!(clips::bundled().sentence(sentence).is_some(), "{sentence}");
        }
    }

    #[tokio::test]
    async fn a_text_is_spoken_with_the_recordings_of_its_sentences() {
        let clips = clips::bundled();
        let one = spoken("Please hold while I try that extension.").await;
        assert_eq!(one[..], clips.sentence("please hold while i try that extension").unwrap().samples[..]);
        let both = spoken("Thank you for your call. Goodbye.").await;
        let goodbye = clips.sentence("Goodbye").unwrap();
        assert!(both.ends_with(&goodbye.samples) && both.len() > goodbye.samples.len());
    }

    #[tokio::test]
    async fn a_text_without_recording_is_spoken_with_the_greeting_and_no_words_with_nothing() {
        assert_eq!(spoken("Welcome to the opera").await[..], clips::bundled().greeting().samples[..]);
        assert!(spoken(" … ").await.is_empty());
    }

    #[tokio::test]
    async fn every_nth_request_fails_as_set() {
        let mock = MockBackend::new(MockSettings { fail_every_speak: NonZeroU32::new(3), ..MockSettings::INSTANT });
        let mut failed = Vec::new();
        for number in 1..=7 {
            if mock.speak("Goodbye.").await.is_err() {
                failed.push(number);
            }
        }
        assert_eq!(failed, [3, 6]);
        assert!(mock.transcribe(&[], SampleRate::Hz16000).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn it_takes_the_time_that_was_set() {
        let mock = MockBackend::default();
        let start = Instant::now();
        mock.transcribe(&[], SampleRate::Hz16000).await.unwrap();
        assert_eq!(start.elapsed(), Duration::from_millis(120));

        let start = Instant::now();
        let words = reply(&mock, 1).await.len() as u32;
        assert_eq!(start.elapsed(), Duration::from_millis(250 + 15 * u64::from(words - 1)));

        let start = Instant::now();
        let mut speech = mock.speak("Goodbye.").await.unwrap();
        assert_eq!(speech.chunks.next().await.unwrap().unwrap().len(), 3_200);
        assert_eq!(start.elapsed(), Duration::from_millis(80));
    }
}
