//! The beginning of a reply, while it may be a thought that no mark opens: the template of some models opens it in the
//! prompt, so that only `</think>` comes, and all before it was a thought. The words alone do not tell.
//!
//! What tells is what the server did before ([`Habit`]). Of a server that is not known yet, the first reply is held
//! back: until a mark that ends a thought, the reply's end, a sign that the server tells thoughts apart, or, for who waits
//! at the telephone, until [`super::MAX_LEAD`] after its first words, unless it begins as only a thought does.

use super::scanner::Item;

/// What is known of how a server's replies begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::backend::openai) enum Habit {
    /// Nothing.
    #[default]
    Unknown,
    /// With the answer, or with a thought that a mark opens.
    Answer,
    /// With a thought that no mark opens.
    Thought,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// What comes passes.
    Open,
    /// Held back, but not for long.
    Doubtful,
    /// Held back for as long as it takes.
    Held,
}

/// Holds back the beginning of a reply while it may be a thought.
#[derive(Debug)]
pub(super) struct Lead {
    state: State,
    items: Vec<Item>,
    /// The first words, in small letters, as far as they say whether this is a thought.
    words: String,
}

/// Bytes of first words that are looked at.
const MAX_WORDS_BYTES: usize = 80;

impl Lead {
    pub(super) fn new(habit: Habit) -> Self {
        let state = match habit {
            Habit::Answer => State::Open,
            Habit::Unknown => State::Doubtful,
            Habit::Thought => State::Held,
        };
        Self { state, items: Vec::new(), words: String::new() }
    }

    /// Takes what comes, and gives what passes.
    pub(super) fn push(&mut self, items: impl IntoIterator<Item = Item>, out: &mut Vec<Item>) {
        for item in items {
            match item {
                Item::ThoughtBefore => {
                    self.items.clear();
                    self.state = State::Open;
                    out.push(Item::ThoughtBefore);
                }
                // The model marks its thoughts itself.
                Item::Thought if self.state == State::Doubtful || self.items.is_empty() => {
                    self.open(out);
                    out.push(Item::Thought);
                }
                Item::Stop => {
                    self.open(out);
                    out.push(Item::Stop);
                }
                item if self.state == State::Open => out.push(item),
                item => {
                    if let Item::Text(text) = &item {
                        self.look_at(text);
                    }
                    self.items.push(item);
                }
            }
        }
    }

    fn look_at(&mut self, text: &str) {
        if self.state == State::Doubtful && self.words.len() < MAX_WORDS_BYTES {
            self.words.push_str(&text.to_lowercase());
            if begins_as_a_thought(self.words.trim_start()) {
                self.state = State::Held;
            }
        }
    }

    /// Is something held back that may pass when time does?
    pub(super) fn is_doubtful(&self) -> bool {
        self.state == State::Doubtful && !self.items.is_empty()
    }

    /// What is held back is no thought, as far as anybody can tell.
    pub(super) fn open(&mut self, out: &mut Vec<Item>) {
        self.state = State::Open;
        out.append(&mut self.items);
    }

    /// The server tells thoughts apart by itself.
    pub(super) fn told_apart(&mut self, out: &mut Vec<Item>) {
        self.open(out);
    }

    /// The reply has ended, or was `cut` off: a thought that was not finished is no answer.
    pub(super) fn finish(&mut self, cut: bool, out: &mut Vec<Item>) {
        if cut && self.state == State::Held {
            self.items.clear();
        }
        self.open(out);
    }
}

/// Reasoning models talk about the caller, or to themselves. An answer that begins so by chance is late, once.
fn begins_as_a_thought(words: &str) -> bool {
    const BEGINNINGS: [&str; 26] = [
        "okay, so ",
        "okay, the ",
        "okay, let",
        "okay, i need",
        "ok, so ",
        "ok, the ",
        "ok, let",
        "alright, so ",
        "alright, the ",
        "alright, let",
        "the user",
        "the caller",
        "user ",
        "we need to",
        "we have to",
        "we should",
        "i need to",
        "i should",
        "let me think",
        "let's think",
        "let's see",
        "hmm",
        "so the user",
        "so, the user",
        "first, i",
        "thinking process",
    ];
    const CHINESE: [&str; 6] = ["嗯", "用户", "好的，用户", "好，用户", "首先，用户", "我需要"];
    BEGINNINGS.iter().chain(&CHINESE).any(|beginning| words.starts_with(beginning))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Item {
        Item::Text(text.to_owned())
    }

    fn push(lead: &mut Lead, items: impl IntoIterator<Item = Item>) -> Vec<Item> {
        let mut out = Vec::new();
        lead.push(items, &mut out);
        out
    }

    #[test]
    fn a_server_that_never_thinks_is_not_held_up() {
        let mut lead = Lead::new(Habit::Answer);
        assert_eq!(push(&mut lead, [text("The user")]), [text("The user")]);
        assert!(!lead.is_doubtful());
    }

    #[test]
    fn an_unknown_servers_words_wait_for_a_sign() {
        let mut lead = Lead::new(Habit::Unknown);
        assert_eq!(push(&mut lead, [text("Good")]), []);
        assert!(lead.is_doubtful());
        assert_eq!(push(&mut lead, [Item::ThoughtBefore, text("day.")]), [Item::ThoughtBefore, text("day.")]);

        let mut lead = Lead::new(Habit::Unknown);
        assert_eq!(
            push(&mut lead, [text("Good"), Item::Thought, text("day.")]),
            [text("Good"), Item::Thought, text("day.")]
        );

        let (mut lead, mut out) = (Lead::new(Habit::Unknown), Vec::new());
        push(&mut lead, [text("Good")]);
        lead.told_apart(&mut out);
        assert_eq!(out, [text("Good")]);
    }

    #[test]
    fn what_begins_as_a_thought_waits_for_its_end() {
        let mut lead = Lead::new(Habit::Unknown);
        push(&mut lead, [text("Okay, the us"), text("er wants")]);
        assert!(!lead.is_doubtful(), "no time will let it pass");
        let mut out = Vec::new();
        lead.finish(false, &mut out);
        assert_eq!(out.len(), 2, "it was an answer after all");
    }

    #[test]
    fn a_thought_that_was_cut_off_is_no_answer() {
        let (mut lead, mut out) = (Lead::new(Habit::Thought), Vec::new());
        push(&mut lead, [text("Hm.")]);
        lead.finish(true, &mut out);
        assert_eq!(out, []);
    }
}
