//! A conversation as the messages of a chat completion, in the one form that the templates of all models take: user and
//! assistant in turn, the user first and last, nothing empty. It leaves out nothing of what was said by itself.

use std::mem;

use serde_json::{Value, json};

use crate::turn::history::{Message, Role};

/// Stands for the caller where the agent speaks first. Brackets are taken out of spoken words, so nobody can say it.
const CONNECTED: &str = "[The call is connected.]";
/// Stands for the caller where the agent spoke last.
const SILENT: &str = "[The caller has said nothing.]";

/// Where the prompt stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PromptPlace {
    /// First, as a message of the system.
    System,
    /// First, as a message of the developer, which newer models take in its place.
    Developer,
    /// Before the caller's first words, in the same message.
    User,
}

/// What the messages are made of.
#[derive(Debug, Clone, Default)]
pub(super) struct Conversation {
    /// Instructions; empty for none.
    pub(super) prompt: String,
    /// What was said, oldest first.
    pub(super) said: Vec<Message>,
}

impl Conversation {
    /// The conversation `history` with its newest words, `text`. Instructions in the midst of it go to the others.
    pub(super) fn new(prompt: &str, history: &[Message], text: &str) -> Self {
        let mut conversation = Self { prompt: prompt.trim().to_owned(), said: Vec::with_capacity(history.len() + 3) };
        for message in history {
            match message.role {
                Role::System => join(&mut conversation.prompt, "\n\n", message.content.trim()),
                role => conversation.push(role, &message.content),
            }
        }
        conversation.push(Role::User, text);
        if conversation.said.first().is_none_or(|first| first.role != Role::User) {
            let connected = Message { role: Role::User, content: CONNECTED.to_owned() };
            conversation.said.insert(0, connected);
        }
        if conversation.said.last().is_some_and(|last| last.role != Role::User) {
            conversation.push(Role::User, SILENT);
        }
        conversation
    }

    /// Adds what one side said. What it says twice in a row is one message.
    pub(super) fn push(&mut self, role: Role, text: &str) {
        let text = text.trim();
        match self.said.last_mut() {
            _ if text.is_empty() => {}
            Some(last) if last.role == role => join(&mut last.content, "\n", text),
            _ => self.said.push(Message { role, content: text.to_owned() }),
        }
    }

    /// The last `keep` messages, or one less so that the user's is the first; `None` where there are no more than that.
    pub(super) fn recent(&self, keep: usize) -> Option<Self> {
        let skipped = self.said.len().checked_sub(keep).filter(|skipped| *skipped > 0)?;
        let said = self.said[skipped..].iter().skip_while(|message| message.role != Role::User);
        Some(Self { prompt: self.prompt.clone(), said: said.cloned().collect() })
    }

    /// The messages of the request.
    pub(super) fn messages(&self, place: PromptPlace) -> Vec<Value> {
        let mut messages = Vec::with_capacity(self.said.len() + 1);
        let mut before = String::new();
        if !self.prompt.is_empty() {
            match place {
                PromptPlace::System => messages.push(message("system", &self.prompt)),
                PromptPlace::Developer => messages.push(message("developer", &self.prompt)),
                PromptPlace::User => before.clone_from(&self.prompt),
            }
        }
        for Message { role, content } in &self.said {
            let role = if *role == Role::Assistant { "assistant" } else { "user" };
            let mut text = mem::take(&mut before);
            join(&mut text, "\n\n", content);
            messages.push(message(role, &text));
        }
        messages
    }
}

fn message(role: &str, content: &str) -> Value {
    json!({ "role": role, "content": content })
}

fn join(text: &mut String, between: &str, more: &str) {
    if !text.is_empty() && !more.is_empty() {
        text.push_str(between);
    }
    text.push_str(more);
}

#[cfg(test)]
mod tests {
    use super::*;
    use PromptPlace::{Developer, System, User};
    use proptest::prelude::*;

    fn said(role: Role, content: &str) -> Message {
        Message { role, content: content.to_owned() }
    }

    #[test]
    fn of_a_long_conversation_the_last_part_begins_with_the_user_too() {
        let history: Vec<Message> =
            (0..20).map(|n| said(if n % 2 == 0 { Role::User } else { Role::Assistant }, &format!("{n}"))).collect();
        let conversation = Conversation::new("Be brief.", &history, "20");
        for (keep, first) in [(9, "12"), (8, "14"), (3, "18"), (1, "20")] {
            let recent = conversation.recent(keep).expect("shorter");
            let messages = recent.messages(System);
            assert_eq!(messages[1], json!({ "role": "user", "content": first }), "{keep}");
            assert_eq!(messages.last().unwrap()["content"], "20");
        }
        assert!(conversation.recent(21).is_none() && conversation.recent(usize::MAX).is_none());
    }

    #[test]
    fn the_greeting_is_told_behind_a_marked_beginning() {
        let conversation =
            Conversation::new("Be brief.", &[said(Role::Assistant, "Ada's Bikes, hello.")], "Are you open?");
        let expected = json!([
            { "role": "system", "content": "Be brief." },
            { "role": "user", "content": "[The call is connected.]" },
            { "role": "assistant", "content": "Ada's Bikes, hello." },
            { "role": "user", "content": "Are you open?" },
        ]);
        assert_eq!(json!(conversation.messages(System)), expected);
        assert_eq!(conversation.messages(Developer)[0], json!({ "role": "developer", "content": "Be brief." }));
    }

    #[test]
    fn the_prompt_can_stand_in_the_callers_first_message_or_be_left_out() {
        let conversation = Conversation::new("Be brief.", &[], "Hello?");
        assert_eq!(json!(conversation.messages(User)), json!([{ "role": "user", "content": "Be brief.\n\nHello?" }]));
        for place in [System, Developer, User] {
            let without = Conversation::new("  ", &[], "Hello?").messages(place);
            assert_eq!(json!(without), json!([{ "role": "user", "content": "Hello?" }]));
        }
    }

    #[test]
    fn what_one_side_says_twice_is_one_message_and_what_is_empty_is_none() {
        let history = [
            said(Role::User, "I want"),
            said(Role::User, "[DTMF: 1]"),
            said(Role::System, "The shop is closed."),
            said(Role::Assistant, "Yes?"),
            said(Role::Assistant, " "),
            said(Role::Assistant, "I am listening."),
        ];
        let conversation = Conversation::new("Be brief.", &history, "");
        let expected = json!([
            { "role": "system", "content": "Be brief.\n\nThe shop is closed." },
            { "role": "user", "content": "I want\n[DTMF: 1]" },
            { "role": "assistant", "content": "Yes?\nI am listening." },
            { "role": "user", "content": "[The caller has said nothing.]" },
        ]);
        assert_eq!(json!(conversation.messages(System)), expected);
    }

    proptest! {
        #[test]
        fn every_template_takes_every_conversation_and_no_word_is_lost(
            history in proptest::collection::vec((0u8..3, "[a-z ]{0,8}"), 0..12), text in "[a-z ]{0,8}", prompt in "[a-z ]{0,8}",
            place in prop_oneof![Just(System), Just(Developer), Just(User)],
        ) {
            let roles = [Role::System, Role::User, Role::Assistant];
            let history: Vec<Message> =
                history.into_iter().map(|(role, content)| said(roles[usize::from(role)], &content)).collect();
            let messages = Conversation::new(&prompt, &history, &text).messages(place);
            let whole = json!(messages).to_string();
            let spoken = history.iter().map(|message| &*message.content).chain([&*text, &*prompt]);
            for word in spoken.map(str::trim).filter(|word| !word.is_empty()) {
                prop_assert!(whole.contains(word));
            }
            let roles: Vec<&str> = messages.iter().filter_map(|message| message["role"].as_str()).collect();
            let turns = if matches!(roles[0], "system" | "developer") { &roles[1..] } else { &roles[..] };
            for (at, role) in turns.iter().enumerate() {
                prop_assert_eq!(*role, ["user", "assistant"][at % 2]);
            }
            prop_assert_eq!(turns.len() % 2, 1);
            prop_assert!(messages.iter().all(|message| !message["content"].as_str().unwrap_or_default().trim().is_empty()));
        }
    }
}
