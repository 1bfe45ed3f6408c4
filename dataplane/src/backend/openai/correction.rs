//! A reply whose function calls can't be carried out as they stand: the model is told why and asked once more, within
//! the same reply, so that a caller who has heard "I am connecting you" is connected, or hears that it is not possible.

use std::fmt::Write as _;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use tokio::time::timeout;

use super::messages::Conversation;
use crate::backend::{BackendError, BackendErrorKind, ReplyPart, ReplyStream};
use crate::turn::history::Role;
use crate::turn::tool::{Destinations, RefusedCall, ToolCall, ToolError, tool_definitions};

/// How much of what the model has said so far it is told again, in characters.
const MAX_SAID_CHARS: usize = 4_000;
/// How long a reply that has begun is silent at most while its second half is waited for.
const SIGN_OF_LIFE: Duration = Duration::from_secs(4);

/// What the model is to be told.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Correction {
    /// What it had said before.
    said: String,
    refused: Vec<RefusedCall>,
}

impl Correction {
    /// Adds the correction to the conversation, in roles that every template has: what the agent said, and a note in
    /// brackets, which a caller can't speak.
    pub(super) fn append_to(&self, conversation: &mut Conversation, destinations: &Destinations) {
        if self.is_empty() {
            return;
        }
        conversation.push(Role::Assistant, &self.said);
        conversation.push(Role::User, &self.note(destinations));
    }

    /// Whether there is nothing to tell: the model said nothing at all, and is asked the same again.
    pub(super) fn is_empty(&self) -> bool {
        self.refused.is_empty()
    }

    fn note(&self, destinations: &Destinations) -> String {
        let mut note = String::from("[");
        for RefusedCall { name, arguments, error } in &self.refused {
            let (name, arguments) = (unbracketed(name), unbracketed(arguments));
            let _ = write!(note, "Your call of the function {name} with {arguments} was not carried out: {error}. ");
            let _ = match error {
                ToolError::UnknownTool => {
                    let names: Vec<&str> = tool_definitions(destinations).iter().map(|tool| tool.name).collect();
                    write!(note, "The functions are {}. ", names.join(", "))
                }
                ToolError::Destination | ToolError::DestinationKind => {
                    write!(note, "A destination is this: {}. ", destinations.describe())
                }
                _ => Ok(()),
            };
        }
        note.push_str(
            "Call the function again as it should be, or tell the caller that it is not possible. Do not repeat what you have said.]",
        );
        note
    }
}

/// In one line and without what marks a note.
fn unbracketed(text: &str) -> String {
    let plain = |c: char| match c {
        '[' => '(',
        ']' => ')',
        c if c.is_control() => ' ',
        c => c,
    };
    text.chars().map(plain).collect()
}

/// Asks the model once more.
pub(super) type AskAgain = Box<dyn FnOnce(Correction) -> BoxFuture<'static, Result<ReplyStream, BackendError>> + Send>;

struct Watch {
    reply: ReplyStream,
    destinations: Destinations,
    /// `None` once it was used.
    ask_again: Option<AskAgain>,
    correction: Correction,
    /// The model has decided how the call ends: nothing that it asked for besides matters.
    decided: bool,
    /// Whether anything came of the reply that is read now.
    answered: bool,
    /// Whether it was read to its end.
    ended: bool,
    /// Whether any part of it, or of the one before, was passed on.
    begun: bool,
}

/// `reply` with what was refused of it corrected by one more question, or told to the asker where that did not help.
pub(super) fn corrected(reply: ReplyStream, destinations: Destinations, ask_again: AskAgain) -> ReplyStream {
    let watch = Watch {
        reply,
        destinations,
        ask_again: Some(ask_again),
        correction: Correction::default(),
        decided: false,
        answered: false,
        ended: false,
        begun: false,
    };
    stream::unfold(Some(watch), |watch| async move {
        let mut watch = watch?;
        match watch.next().await {
            Some(Ok(part)) => Some((Ok(part), Some(watch))),
            Some(Err(error)) => Some((Err(error), None)),
            None => None,
        }
    })
    .boxed()
}

impl Watch {
    async fn next(&mut self) -> Option<Result<ReplyPart, BackendError>> {
        loop {
            if !self.ended {
                // A second answer may take as long as a first one; whoever watches for stalls is told that it is waited for.
                let waits = if self.begun && self.ask_again.is_none() { SIGN_OF_LIFE } else { Duration::MAX };
                let Ok(part) = timeout(waits, self.reply.next()).await else {
                    return Some(Ok(ReplyPart::Text(String::new())));
                };
                match part {
                    Some(Ok(part)) => match self.take(part) {
                        Some(part) => {
                            self.begun = true;
                            return Some(Ok(part));
                        }
                        None => continue,
                    },
                    // Some servers notice a wrong call only after they have begun to answer with a success.
                    Some(Err(error)) if error.kind() == BackendErrorKind::Rejected && self.may_ask_the_same() => {
                        self.ended = true;
                    }
                    Some(Err(error)) => return Some(Err(error)),
                    None => self.ended = true,
                }
                if !self.correction.refused.is_empty() && !self.decided && !self.correction.said.trim().is_empty() {
                    // A line that is over is spoken while the model is asked again, and the next begins anew.
                    return Some(Ok(ReplyPart::Text("\n".to_owned())));
                }
            }
            if (self.correction.refused.is_empty() || self.decided) && !self.may_ask_the_same() {
                return self.over();
            }
            let ask_again = self.ask_again.take()?;
            self.reply = stream::once(ask_again(std::mem::take(&mut self.correction))).try_flatten().boxed();
            (self.answered, self.ended) = (false, false);
        }
    }

    /// Whether nothing has come of the reply, neither words nor calls, which would leave the caller in silence: some models answer so
    /// now and then (all of it a thought, filtered, cut off before the first word), and with words the next time.
    fn may_ask_the_same(&self) -> bool {
        self.ask_again.is_some() && !self.answered
    }

    /// A second reply that says nothing would leave the caller in silence, or with a promise.
    fn over(&mut self) -> Option<Result<ReplyPart, BackendError>> {
        let silent = self.ask_again.is_none() && !std::mem::replace(&mut self.answered, true);
        silent.then(|| Err(BackendError::invalid("expected words or a function call, came neither, twice")))
    }

    fn take(&mut self, part: ReplyPart) -> Option<ReplyPart> {
        let part = match part {
            ReplyPart::Tool(call) => match self.destinations.kinds.check(&call) {
                Ok(()) => ReplyPart::Tool(call),
                Err(error) => {
                    let destination = if let ToolCall::Transfer { destination } = &call { &**destination } else { "" };
                    ReplyPart::Refused(RefusedCall::new(call.name(), destination, error))
                }
            },
            part => part,
        };
        match &part {
            ReplyPart::Text(text) => {
                self.answered |= !text.trim().is_empty();
                let room = MAX_SAID_CHARS.saturating_sub(self.correction.said.chars().count());
                self.correction.said.extend(text.chars().take(room));
            }
            ReplyPart::Pause => {}
            ReplyPart::TakenBack => {
                self.answered = false;
                self.correction = Correction::default();
            }
            ReplyPart::Tool(call) => {
                self.answered = true;
                self.decided |= matches!(call, ToolCall::HangUp | ToolCall::Transfer { .. });
            }
            ReplyPart::Refused(refused) => {
                self.answered = true;
                tracing::warn!(error = %refused.error, "the model called a function wrongly");
                if self.ask_again.is_some() {
                    self.correction.refused.push(refused.clone());
                    return None;
                }
                if self.decided {
                    return None;
                }
            }
        }
        Some(part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::openai::messages::PromptPlace;
    use crate::turn::history::Message;
    use crate::turn::tool::Transfers;
    use futures_util::FutureExt;
    use std::sync::{Arc, Mutex};

    fn text(text: &str) -> ReplyPart {
        ReplyPart::Text(text.to_owned())
    }

    fn transfer(to: &str) -> ReplyPart {
        ReplyPart::Tool(ToolCall::Transfer { destination: to.to_owned() })
    }

    fn refused(name: &str) -> ReplyPart {
        ReplyPart::Refused(RefusedCall::new(name, r#"{"to":"the [boss]"}"#, ToolError::Destination))
    }

    fn reply(parts: &[ReplyPart]) -> ReplyStream {
        stream::iter(parts.iter().cloned().map(Ok).collect::<Vec<_>>()).boxed()
    }

    /// What becomes of a reply, and of the one to the correction if there is one.
    async fn corrected_by(
        first: &[ReplyPart],
        second: &[ReplyPart],
    ) -> (Result<Vec<ReplyPart>, BackendError>, Vec<Correction>) {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (log, second) = (Arc::clone(&asked), reply(second));
        let ask_again: AskAgain = Box::new(move |correction| {
            log.lock().unwrap().push(correction);
            async move { Ok(second) }.boxed()
        });
        let parts = corrected(reply(first), Transfers::Names.into(), ask_again).try_collect().await;
        (parts, std::mem::take(&mut *asked.lock().unwrap()))
    }

    #[tokio::test]
    async fn a_promise_is_kept_by_the_second_answer() {
        let (parts, asked) =
            corrected_by(&[text("I am connecting you."), refused("transfer")], &[transfer("1001")]).await;
        assert_eq!(parts.unwrap(), [text("I am connecting you."), text("\n"), transfer("1001")]);
        assert_eq!(asked.len(), 1);
        assert_eq!(asked[0].said, "I am connecting you.");
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_answer_that_takes_its_time_is_no_stall() {
        let slow = stream::once(async {
            tokio::time::sleep(Duration::from_secs(25)).await;
            Ok(transfer("1001"))
        });
        let ask_again: AskAgain = Box::new(move |_| async move { Ok(slow.boxed()) }.boxed());
        let mut reply =
            corrected(reply(&[text("One moment."), refused("transfer")]), Transfers::Names.into(), ask_again);
        let mut parts = Vec::new();
        while let Some(part) = timeout(Duration::from_secs(10), reply.next()).await.expect("a sign of life") {
            parts.push(part.unwrap());
        }
        assert_eq!(parts.last(), Some(&transfer("1001")));
    }

    #[tokio::test]
    async fn a_second_wrong_call_is_told_and_not_asked_for_again() {
        let (parts, asked) = corrected_by(&[refused("transfer")], &[refused("transfer")]).await;
        assert_eq!((parts.unwrap(), asked.len()), (vec![refused("transfer")], 1));
    }

    #[tokio::test]
    async fn a_second_answer_of_nothing_is_an_error() {
        let (parts, asked) = corrected_by(&[text("One moment."), refused("transfer")], &[text(" ")]).await;
        assert!(parts.is_err());
        assert_eq!(asked.len(), 1);
    }

    #[tokio::test]
    async fn what_the_trunk_has_no_rule_for_is_refused() {
        let (parts, asked) = corrected_by(&[transfer("anna@example.com")], &[text("That is not possible.")]).await;
        assert_eq!(parts.unwrap(), [text("That is not possible.")]);
        assert_eq!(asked[0].refused[0].error, ToolError::DestinationKind);
    }

    #[tokio::test]
    async fn a_call_that_ends_is_not_kept_up_by_a_wrong_call_beside() {
        let (parts, asked) = corrected_by(&[refused("note"), ReplyPart::Tool(ToolCall::HangUp)], &[]).await;
        assert_eq!((parts.unwrap(), asked.len()), (vec![ReplyPart::Tool(ToolCall::HangUp)], 0));
    }

    #[tokio::test]
    async fn a_reply_without_wrong_calls_passes_as_it_is() {
        let parts = [text("Good"), text(" day."), transfer("1001")];
        assert_eq!(corrected_by(&parts, &[]).await, (Ok(parts.to_vec()), vec![]));
    }

    #[tokio::test]
    async fn a_model_that_says_nothing_is_asked_the_same_once_more() {
        for nothing in [&[][..], &[text(" \n")], &[text("Hm."), ReplyPart::TakenBack]] {
            let (parts, asked) = corrected_by(nothing, &[text("Good day.")]).await;
            assert_eq!(parts.unwrap().last(), Some(&text("Good day.")), "{nothing:?}");
            assert!(asked.len() == 1 && asked[0].is_empty(), "{asked:?}");
            let mut conversation = Conversation::new("", &[], "Hello?");
            let before = conversation.messages(PromptPlace::System);
            asked[0].append_to(&mut conversation, &Transfers::Numbers.into());
            assert_eq!(conversation.messages(PromptPlace::System), before);
        }
        let (parts, asked) = corrected_by(&[], &[]).await;
        assert_eq!((parts.unwrap_err().kind(), asked.len()), (BackendErrorKind::Invalid, 1));
    }

    #[tokio::test]
    async fn a_refusal_that_comes_in_the_stream_before_any_word_is_asked_again_once() {
        let run = |first: Vec<Result<ReplyPart, BackendErrorKind>>| async move {
            let first = first.into_iter().map(|part| part.map_err(|kind| BackendError::new(kind, "no")));
            let ask_again: AskAgain = Box::new(|_| async { Ok(reply(&[text("Good day.")])) }.boxed());
            let reply = corrected(stream::iter(first.collect::<Vec<_>>()).boxed(), Transfers::Names.into(), ask_again);
            reply.try_collect::<Vec<_>>().await.map_err(|error| error.kind())
        };
        let (refused, down) = (BackendErrorKind::Rejected, BackendErrorKind::Unavailable);
        assert_eq!(run(vec![Err(refused)]).await, Ok(vec![text("Good day.")]));
        assert_eq!(run(vec![Ok(text("One")), Err(refused)]).await, Err(refused), "somebody has heard of it");
        assert_eq!(run(vec![Err(down)]).await, Err(down), "that is for the retries");
    }

    #[test]
    fn the_model_is_told_in_roles_that_every_template_has() {
        let mut conversation =
            Conversation::new("", &[Message { role: Role::Assistant, content: "Hello.".to_owned() }], "Sales.");
        let ReplyPart::Refused(call) = refused("transfer\n") else { unreachable!("made so above") };
        let correction = Correction { said: "I am connecting you.".to_owned(), refused: vec![call] };
        correction.append_to(&mut conversation, &Transfers::Numbers.into());
        let messages = conversation.messages(PromptPlace::System);
        let roles: Vec<&str> = messages.iter().filter_map(|message| message["role"].as_str()).collect();
        assert_eq!(roles, ["user", "assistant", "user", "assistant", "user"]);
        assert_eq!(messages[3]["content"], "I am connecting you.");
        let note = messages[4]["content"].as_str().unwrap();
        assert!(
            note.starts_with("[Your call of the function transfer with {\"to\":\"the (boss)\"} was not carried out: "),
            "{note}"
        );
        assert!(
            note.contains("digits only")
                && note.ends_with("what you have said.]")
                && note.matches(['[', ']']).count() == 2,
            "{note}"
        );
    }
}
