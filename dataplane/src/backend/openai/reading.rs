//! A reply's body, read with the clock in hand: how long what may be a thought is held back, and how long the end of the
//! stream is waited for. What the bytes mean is [`super::reply`]'s matter.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use reqwest::Response;
use tokio::time::{Instant, timeout_at};

use super::endpoint::{Endpoint, media_type};
use super::reply::{Completion, Habit, MAX_LEAD, Reading};
use crate::backend::{BackendError, ReplyPart, ReplyStream};

/// How long the server may take to end its stream once the model has said that it stopped: figures of use come then,
/// and a connection that was read to its end can be used again.
const GRACE: Duration = Duration::from_millis(250);

/// How a model's thoughts are told from its answer. Whatever it is, what stands between the marks of a thought is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Thoughts {
    /// Whether replies begin with a thought that no mark opens is found out from the server's replies. The first reply
    /// may begin up to 0.7 s later for it.
    #[default]
    Auto,
    /// Every reply begins with a thought: nothing is spoken before the mark that ends it, or the reply's end.
    First,
    /// A thought is only what marks say is one. Replies are spoken at once.
    Marked,
}

/// What is known of how a server's replies begin.
#[derive(Debug)]
pub(super) struct Habits {
    learns: bool,
    habit: AtomicU8,
}

impl Habits {
    pub(super) fn new(thoughts: Thoughts, model: &str) -> Self {
        let habit = match thoughts {
            Thoughts::Auto if sounds_thoughtful(model) => Habit::Thought,
            Thoughts::Auto => Habit::Unknown,
            Thoughts::First => Habit::Thought,
            Thoughts::Marked => Habit::Answer,
        };
        Self { learns: thoughts == Thoughts::Auto, habit: AtomicU8::new(habit as u8) }
    }

    /// What is known now.
    pub(super) fn current(&self) -> Habit {
        [Habit::Unknown, Habit::Answer, Habit::Thought]
            .into_iter()
            .find(|habit| *habit as u8 == self.habit.load(Ordering::Relaxed))
            .unwrap_or_default()
    }

    fn learn(&self, habit: Habit) {
        if self.learns {
            self.habit.store(habit as u8, Ordering::Relaxed);
        }
    }
}

/// Models are named for it.
fn sounds_thoughtful(model: &str) -> bool {
    let model = model.to_ascii_lowercase();
    let words = || model.split(|c: char| !c.is_ascii_alphanumeric());
    let denied =
        words().any(|word| matches!(word, "no" | "non" | "nothink" | "nothinking" | "nonthinking" | "instruct"));
    !denied
        && words()
            .any(|word| matches!(word, "r1" | "think" | "thinking" | "reasoning" | "reasoner" | "qwq" | "magistral"))
}

/// The reply in `response`, which is a success.
///
/// # Errors
/// [`crate::backend::BackendErrorKind::Invalid`] for an answer that says that it is something else than text.
pub(super) fn read(
    endpoint: Arc<Endpoint>,
    response: Response,
    reading: Reading,
    habits: Arc<Habits>,
) -> Result<ReplyStream, BackendError> {
    let media_type = media_type(&response);
    // Many servers stream under another name, or without one; what it is the body tells.
    let other = ["text/html", "text/css", "audio/", "image/", "video/", "multipart/"];
    if other.iter().any(|other| media_type.starts_with(other)) {
        return Err(endpoint.invalid(format!("expected text/event-stream, came {media_type}")));
    }
    let completion = Completion::new(reading);
    let reader = Reader {
        endpoint,
        response,
        completion,
        habits,
        finished: None,
        doubtful: None,
        failed: None,
        pause_due: false,
    };
    let parts = stream::unfold(Some(reader), |reader| async move {
        let mut reader = reader?;
        match reader.next_part().await {
            Ok(Some(part)) => Some((Ok(part), Some(reader))),
            Ok(None) => None,
            Err(error) => Some((Err(reader.endpoint.located(error)), None)),
        }
    });
    Ok(parts.boxed())
}

struct Reader {
    endpoint: Arc<Endpoint>,
    response: Response,
    completion: Completion,
    habits: Arc<Habits>,
    /// When the model said that it stopped.
    finished: Option<Instant>,
    /// Since when words are held back.
    doubtful: Option<Instant>,
    /// What went wrong, once everything before it is given out.
    failed: Option<BackendError>,
    /// Words were given out behind which nothing says yet that they are whole.
    pause_due: bool,
}

impl Reader {
    async fn next_part(&mut self) -> Result<Option<ReplyPart>, BackendError> {
        loop {
            if let Some(part) = self.completion.pop() {
                self.pause_due = matches!(part, ReplyPart::Text(_));
                return Ok(Some(part));
            }
            if let Some(error) = self.failed.take() {
                return Err(error);
            }
            if self.completion.is_done() {
                return Ok(None);
            }
            let now = Instant::now();
            if self.completion.has_finished() {
                self.finished.get_or_insert(now);
                if std::mem::take(&mut self.pause_due) {
                    return Ok(Some(ReplyPart::Pause));
                }
            }
            self.doubtful = self.completion.is_doubtful().then(|| self.doubtful.unwrap_or(now));
            let grace = self.finished.map(|finished| finished + GRACE);
            let lead = self.doubtful.map(|since| since + MAX_LEAD);
            let result = if grace.is_some_and(|grace| grace <= now) {
                self.completion.close()
            } else if lead.is_some_and(|lead| lead <= now) {
                self.completion.release();
                Ok(())
            } else {
                self.take_bytes(grace.into_iter().chain(lead).min()).await
            };
            if let Err(error) = result {
                if self.completion.is_doubtful() {
                    self.completion.release();
                }
                self.failed = Some(error);
            }
            if let Some(habit) = self.completion.habit() {
                self.habits.learn(habit);
            }
        }
    }

    /// Reads on, until `deadline` if there is one.
    async fn take_bytes(&mut self, deadline: Option<Instant>) -> Result<(), BackendError> {
        let next = self.endpoint.next_chunk(&mut self.response);
        let chunk = match deadline {
            None => next.await,
            Some(deadline) => match timeout_at(deadline, next).await {
                Ok(chunk) => chunk,
                Err(_) => return Ok(()),
            },
        };
        match chunk {
            Ok(Some(bytes)) => self.completion.push(&bytes),
            Ok(None) => self.completion.finish(),
            // The reply is whole, however its connection ends.
            Err(_) if self.completion.has_finished() => self.completion.close(),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_that_is_named_for_thinking_is_taken_at_its_word() {
        for model in ["deepseek-r1:8b", "Qwen/Qwen3-30B-A3B-Thinking-2507", "qwq", "magistral-small", "phi-4-reasoning"]
        {
            assert_eq!(Habits::new(Thoughts::Auto, model).current(), Habit::Thought, "{model}");
        }
        for model in ["gpt-4o-mini", "llama3.2", "qwen3-instruct", "x-non-thinking", "command-r1234"] {
            assert_eq!(Habits::new(Thoughts::Auto, model).current(), Habit::Unknown, "{model}");
        }
    }

    #[test]
    fn only_what_is_not_set_is_learnt() {
        let table =
            [(Thoughts::Auto, Habit::Answer), (Thoughts::First, Habit::Thought), (Thoughts::Marked, Habit::Answer)];
        for (thoughts, expected) in table {
            let habits = Habits::new(thoughts, "m");
            habits.learn(Habit::Answer);
            assert_eq!(habits.current(), expected, "{thoughts:?}");
        }
    }
}
