//! What was said in a call, as the language model is told it: bounded, and of the agent only what the caller really
//! heard. It never holds the system prompt, which belongs to the call's settings.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::sentence::is_unspaced;

/// Messages kept; the oldest go first.
pub const MAX_MESSAGES: usize = 50;
/// Turns sent to the model; a turn is what the caller said and what the agent answered.
pub const MAX_TURNS_SENT: usize = 10;
/// Longest message, in characters. Merging can exceed it: then the oldest text goes.
pub const MAX_MESSAGE_CHARS: usize = 4_000;
/// Ends what the agent said where it was interrupted, so that the model knows that the caller did not hear the rest.
pub const INTERRUPTED: &str = "…";

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The prompt.
    System,
    /// The caller.
    User,
    /// The agent.
    Assistant,
}

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Who said it.
    pub role: Role,
    /// What was said.
    pub content: String,
}

/// The messages of one call, oldest first. Roles alternate: what one side says twice in a row is one message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    messages: VecDeque<Message>,
}

impl History {
    /// No messages.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes messages from elsewhere, in order, under this history's bounds. System messages and empty ones are left
    /// out.
    pub fn from_messages(messages: impl IntoIterator<Item = Message>) -> Self {
        let mut history = Self::new();
        for message in messages {
            if message.role != Role::System {
                history.push(message.role, &message.content);
            }
        }
        history
    }

    /// Adds what the caller said. While the agent has not answered, it goes to the same message.
    pub fn push_user(&mut self, text: &str) {
        self.push(Role::User, text);
    }

    /// Adds what the caller heard the agent say.
    pub fn push_assistant(&mut self, text: &str) {
        self.push(Role::Assistant, text);
    }

    /// Says `better` where the caller's last message ends with `known`; else as a word of theirs.
    pub(crate) fn retell(&mut self, known: &str, better: &str) {
        if let Some(last) = self.messages.back_mut()
            && last.role == Role::User
            && let Some(before) = last.content.strip_suffix(known)
        {
            last.content = format!("{before}{better}");
            return keep_newest_chars(&mut last.content);
        }
        self.push_user(better);
    }

    fn push(&mut self, role: Role, text: &str) {
        let text = text.trim();
        if text.is_empty() {
            return;
        }
        match self.messages.back_mut() {
            Some(last) if last.role == role => {
                last.content.push(' ');
                last.content.push_str(text);
                keep_newest_chars(&mut last.content);
            }
            _ => {
                let mut content = text.to_owned();
                keep_newest_chars(&mut content);
                self.messages.push_back(Message { role, content });
                if self.messages.len() > MAX_MESSAGES {
                    self.messages.pop_front();
                }
            }
        }
    }

    /// The messages, oldest first.
    pub fn messages(&self) -> impl DoubleEndedIterator<Item = &Message> + ExactSizeIterator {
        self.messages.iter()
    }

    /// How many messages there are: at most [`MAX_MESSAGES`].
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// Has nothing been said yet?
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// What the caller said and was not answered: the last message, if it is the caller's.
    pub fn unanswered(&self) -> Option<&str> {
        self.messages.back().filter(|last| last.role == Role::User).map(|last| last.content.as_str())
    }

    /// What to send with the unanswered message: the newest [`MAX_TURNS_SENT`] turns before it. What was said before
    /// the caller's first words (the greeting) goes along while there are fewer turns than that.
    pub fn before_unanswered(&self) -> Vec<Message> {
        let end = self.messages.len() - usize::from(self.unanswered().is_some());
        let oldest_turn = self
            .messages
            .iter()
            .enumerate()
            .take(end)
            .rev()
            .filter(|(_, message)| message.role == Role::User)
            .nth(MAX_TURNS_SENT - 1)
            .map_or(0, |(at, _)| at);
        self.messages.range(oldest_turn..end).cloned().collect()
    }
}

fn keep_newest_chars(text: &mut String) {
    if let Some((first_kept, _)) = text.char_indices().rev().nth(MAX_MESSAGE_CHARS - 1) {
        text.drain(..first_kept);
    }
}

/// The part of a text that was heard when `heard` (0 to 1) of its audio was played, cut at the end of the last whole
/// word; scripts without spaces are cut between letters. The share of audio is taken for the share of characters, which
/// is off by a word or so.
///
/// Anything that is not a number counts as nothing heard.
pub fn heard_part(text: &str, heard: f32) -> &str {
    let text = text.trim();
    if heard.is_nan() || heard <= 0.0 {
        return "";
    }
    if heard >= 1.0 {
        return text;
    }
    let chars = text.chars().count();
    let limit = (chars as f64 * f64::from(heard)).floor() as usize;
    let mut border = 0;
    let mut previous: Option<char> = None;
    for (n, (at, c)) in text.char_indices().enumerate() {
        if n > limit {
            break;
        }
        if c.is_whitespace() || is_unspaced(c) || previous.is_some_and(is_unspaced) {
            border = at;
        }
        previous = Some(c);
    }
    text[..border].trim_end()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_one_side_says_twice_is_one_message() {
        let mut history = History::new();
        history.push_assistant("Hello.");
        history.push_user("I want");
        history.push_user("a table");
        assert_eq!(history.len(), 2);
        assert_eq!(history.unanswered(), Some("I want a table"));
        history.push_user("  ");
        assert_eq!(history.unanswered(), Some("I want a table"));
    }

    #[test]
    fn fifty_messages_are_kept_and_ten_turns_are_sent() {
        let mut history = History::new();
        history.push_assistant("Hello.");
        for n in 0..40 {
            history.push_user(&format!("question {n}"));
            history.push_assistant(&format!("answer {n}"));
        }
        history.push_user("the last");
        assert_eq!(history.len(), MAX_MESSAGES);
        let sent = history.before_unanswered();
        assert_eq!(sent.len(), 20);
        assert_eq!(sent[0].content, "question 30");
        assert_eq!(sent[19].content, "answer 39");
    }

    #[test]
    fn the_greeting_is_sent_while_the_call_is_young() {
        let mut history = History::new();
        history.push_assistant("Hello.");
        history.push_user("Hi");
        assert_eq!(history.before_unanswered(), [Message { role: Role::Assistant, content: "Hello.".into() }]);
    }

    #[test]
    fn only_whole_words_were_heard() {
        let text = "We are open from nine to five.";
        assert_eq!(heard_part(text, 0.5), "We are open");
        assert_eq!(heard_part(text, 0.01), "");
        assert_eq!(heard_part(text, 1.0), text);
        assert_eq!(heard_part(text, -1.0), "");
        assert_eq!(heard_part(text, f32::NAN), "");
        assert_eq!(heard_part("我们九点开门", 0.5), "我们九");
        assert_eq!(heard_part("", 0.5), "");
    }

    #[test]
    fn a_message_is_bounded() {
        let mut history = History::new();
        for _ in 0..10 {
            history.push_user(&"é".repeat(1_000));
        }
        assert_eq!(history.unanswered().map(|text| text.chars().count()), Some(MAX_MESSAGE_CHARS));
    }

    proptest! {
        #[test]
        fn a_heard_part_is_the_beginning_of_the_text(text in "\\PC{0,80}", heard in any::<f32>()) {
            let part = heard_part(&text, heard);
            prop_assert!(text.trim().starts_with(part));
        }

        #[test]
        fn roles_alternate_whatever_is_said(said in prop::collection::vec((any::<bool>(), "[a-z ]{0,20}"), 0..200)) {
            let mut history = History::new();
            for (caller, text) in said {
                if caller { history.push_user(&text) } else { history.push_assistant(&text) }
                prop_assert!(history.len() <= MAX_MESSAGES);
            }
            let roles: Vec<Role> = history.messages().map(|message| message.role).collect();
            prop_assert!(roles.windows(2).all(|pair| pair[0] != pair[1]));
            prop_assert!(history.before_unanswered().len() <= 2 * MAX_TURNS_SENT + 1);
        }
    }
}
