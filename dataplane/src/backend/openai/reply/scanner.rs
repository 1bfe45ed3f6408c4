//! A reply's text as a model writes it, taken apart: what is for the caller's ear, thoughts, and calls written as text.
//! The text comes in pieces, cut anywhere, which changes nothing; what can't be told apart yet is held back, and no more
//! than that. Everything that it holds is bounded.

use super::MAX_ARGUMENT_BYTES;
use super::bare::{self, Bare};
use super::marks::{self, Look, Mark};
use super::written::{Tools, Written, starts_with};

/// The longest head of a message that is kept, in bytes.
const MAX_HEAD_BYTES: usize = 256;

/// The most bytes of text that are looked at at once.
const MAX_STEP_BYTES: usize = 1 << 10;

/// What a reply is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Item {
    /// Words for the caller.
    Text(String),
    /// A call.
    Call(Written),
    /// A thought has begun where it should: with its mark.
    Thought,
    /// A thought has ended whose beginning no mark told: all before it was one.
    ThoughtBefore,
    /// The model has said that the reply is over.
    Stop,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Text,
    /// Until any mark that ends a thought.
    Thought,
    /// Until any of these words, in small letters.
    ThoughtUntil(&'static [&'static str]),
    /// Until the end of the message (harmony).
    ThoughtMessage,
    /// Until one of these marks.
    Call {
        ends: Vec<String>,
        body: String,
    },
    /// The head of a message, until its text begins (harmony).
    Head(String),
    /// The name of a turn's role.
    Role,
    /// The name of whom a message goes to, until its line ends.
    Recipient,
    Ended,
}

/// How models begin that tell their thoughts in words, and what ends those; in small letters. What calls a function is kept.
const OPENINGS: [(&str, &[&str]); 8] = [
    ("```thinking", FENCE_END),
    ("```thought", FENCE_END),
    ("```reasoning", FENCE_END),
    ("```think", FENCE_END),
    ("here is my thought process:", &["here is my response:"]),
    ("here's my thought process:", &["here is my response:"]),
    ("here are my reasoning steps:", &["[begin final response]"]),
    (THOUGHT, THOUGHT_ENDS),
];
/// The line of a thought, also behind an answer: a play of thoughts and actions has several.
const THOUGHT: &str = "thought:";
const THOUGHT_ENDS: &[&str] = &["final answer:", "\nanswer:", "\nresponse:", ACTION];
const FENCE_END: &[&str] = &["```"];
/// Functionary's mark in front of the name of whom a message goes to.
const TO: &str = ">>>";
/// The caller's name in such marks.
const EVERYBODY: &str = "all";
/// Where a thought of the form "Thought: … Action: …" ends in a call.
const ACTION: &str = "\naction:";
/// What is left of the mark of a turn where a server takes out marks and leaves their names, or what a model writes in front
/// of its lines in a play; in small letters. The line may be another's then, which is not to be spoken.
const OWN_LABELS: [&str; 4] = ["assistant:", "assistant\n", "assistant\r", "model\n"];
/// The same of the other's turn, and of the next of its own.
const NEXT_LABELS: [&str; 4] = ["user:", "human:", "assistant:", "system:"];
/// The same right behind the last stop, or at the beginning of a line, whatever the reply began with.
const NEXT_MARKS: [&str; 5] = ["assistant\n\n", "user\n\n", "### user:", "### human:", "### instruction:"];
/// What is left of gpt-oss's marks where a server takes out those and leaves their names: "analysisWe need to …
/// assistantfinalGood day."
const BARE_ANALYSIS: &str = "analysis";
const BARE_FINAL: &[&str] = &["assistantfinal"];

/// Takes a reply's text apart.
#[derive(Debug, Default)]
pub(super) struct Scanner {
    tools: Tools,
    state: State,
    held: String,
    /// The character before what is held.
    before: Option<char>,
    /// There was a letter or a digit in this reply.
    begun: bool,
    /// There was anything but white space.
    started: bool,
    /// Calls that no mark announced. One may be an example among other words: meant is what is the last thing in a
    /// reply, or the first, in a line of its own.
    pending: Vec<Written>,
    pending_first: bool,
    harmony: bool,
    /// Words are being struck out, as HTML has it.
    struck: bool,
    /// The reply began with the name of who speaks.
    labelled: bool,
    items: Vec<Item>,
}

impl Scanner {
    pub(super) fn new(tools: Tools) -> Self {
        Self { tools, ..Self::default() }
    }

    /// Takes the next piece of the text and gives what is known of it.
    pub(super) fn push(&mut self, piece: &str) -> Vec<Item> {
        // In small steps: what is held is moved with each mark, and a reply may be nothing but marks.
        let mut items = Vec::new();
        let mut rest = piece;
        while !rest.is_empty() {
            let mut end = rest.len().min(MAX_STEP_BYTES);
            while !rest.is_char_boundary(end) {
                end += 1;
            }
            self.held.push_str(&rest[..end]);
            items.extend(self.run(false));
            rest = &rest[end..];
        }
        items
    }

    /// The text has ended, for now at least: gives what was held back. More may be pushed, as of a new reply.
    pub(super) fn finish(&mut self) -> Vec<Item> {
        self.run(true);
        if let State::Call { body, .. } = &mut self.state {
            let body = std::mem::take(body);
            self.state = State::Text;
            self.calls(&body);
        }
        self.held.clear();
        self.settle_pending();
        std::mem::take(&mut self.items)
    }

    /// Bytes that are held.
    #[cfg(test)]
    pub(super) fn held_bytes(&self) -> usize {
        let state = match &self.state {
            State::Call { body, .. } | State::Head(body) => body.len(),
            _ => 0,
        };
        self.held.len() + state
    }

    fn run(&mut self, ended: bool) -> Vec<Item> {
        loop {
            let length = self.held.len();
            let went_on = match self.state {
                State::Text => self.text(ended),
                State::ThoughtUntil(words) => self.thought_until(words),
                State::Thought | State::ThoughtMessage | State::Call { .. } | State::Head(_) => self.inside(ended),
                State::Role => self.role(),
                State::Recipient => self.recipient(ended),
                State::Ended => {
                    self.held.clear();
                    false
                }
            };
            if !went_on && self.held.len() == length || self.held.is_empty() {
                break;
            }
        }
        if ended { Vec::new() } else { std::mem::take(&mut self.items) }
    }

    /// Words for the caller, up to the next mark. Says whether the state has changed.
    fn text(&mut self, ended: bool) -> bool {
        let held = std::mem::take(&mut self.held);
        let mut at = 0;
        while let Some(c) = held[at..].chars().next() {
            let rest = &held[at..];
            if !self.begun && !c.is_whitespace() {
                match opening(rest, ended) {
                    Opening::None => {}
                    Opening::Wait => break,
                    Opening::Thought(length, until) => {
                        self.held = rest[length..].to_owned();
                        self.state = State::ThoughtUntil(until);
                        self.items.push(Item::Thought);
                        return true;
                    }
                    Opening::Label(length) => {
                        self.held = rest[length..].to_owned();
                        self.labelled = true;
                        return true;
                    }
                }
            } else if self.begun {
                if self.at_line() && starts_with(rest, THOUGHT) {
                    self.held = rest[THOUGHT.len()..].to_owned();
                    self.state = State::ThoughtUntil(THOUGHT_ENDS);
                    return true;
                }
                match self.next_turn(rest, ended) {
                    Some(true) => {
                        self.stop();
                        return true;
                    }
                    Some(false) => {}
                    None => break,
                }
            }
            if self.at_line() && c == '>' {
                if let Some(behind) = rest.strip_prefix(TO) {
                    self.held = behind.to_owned();
                    self.state = State::Recipient;
                    return true;
                }
                if !ended && TO.starts_with(rest) {
                    break;
                }
            }
            self.struck |= self.begun && starts_with(rest, "<s>");
            match marks::look(rest, ended) {
                Look::Plain => {}
                Look::Wait => break,
                Look::Mark(length, mark) => {
                    self.mark(mark, rest, length);
                    self.held = rest[length..].to_owned();
                    return true;
                }
            }
            match bare::look(rest, self.before, &self.tools, ended) {
                Bare::Plain(length) => {
                    self.emit(&rest[..length]);
                    at += length;
                }
                Bare::Wait => break,
                Bare::Calls { length, calls } => {
                    self.pending_first = !self.begun && self.pending.is_empty() || self.pending_first;
                    self.pending.extend(calls);
                    self.pending.truncate(super::MAX_TOOL_CALLS + 1);
                    at += length;
                    self.before = Some('}');
                }
            }
        }
        self.held = held[at..].to_owned();
        false
    }

    /// Does a turn begin here that is not this reply's? `None` where that can't be told yet.
    fn next_turn(&self, rest: &str, ended: bool) -> Option<bool> {
        let at_line = self.at_line();
        let behind_stop =
            self.before.is_some_and(|c| matches!(c, '.' | '!' | '?' | '…' | '"' | ')' | '。' | '！' | '？'));
        if !at_line && !behind_stop {
            return Some(false);
        }
        let labels: &[&str] = if self.labelled && at_line { &NEXT_LABELS } else { &[] };
        let mut waits = false;
        let lower = rest.to_ascii_lowercase();
        for words in NEXT_MARKS.iter().chain(labels) {
            if starts_with(rest, words) {
                return Some(true);
            }
            waits |= starts_with(words, &lower);
        }
        waits |= at_line && starts_with(THOUGHT, &lower);
        if waits && !ended { None } else { Some(false) }
    }

    fn at_line(&self) -> bool {
        matches!(self.before, None | Some('\n' | '\r'))
    }

    fn emit(&mut self, text: &str) {
        for c in text.chars() {
            if matches!(c, '\n' | '\r') {
                if self.pending_first {
                    self.settle_pending();
                }
            } else if c.is_alphanumeric() {
                self.pending.clear();
                self.begun = true;
            }
            self.before = Some(c);
        }
        // White space in front of an answer is not spoken; behind thoughts there always is some.
        let text = if self.started { text } else { text.trim_start() };
        self.started |= !text.is_empty();
        match self.items.last_mut() {
            Some(Item::Text(last)) => last.push_str(text),
            _ if text.is_empty() => {}
            _ => self.items.push(Item::Text(text.to_owned())),
        }
    }

    /// A mark in the text, at the front of `rest`.
    fn mark(&mut self, mark: Mark, rest: &str, length: usize) {
        match mark {
            Mark::Nothing | Mark::Message => {}
            Mark::Thought => {
                self.items.push(Item::Thought);
                self.state = State::Thought;
            }
            Mark::ThoughtEnd => {
                self.pending.clear();
                (self.begun, self.started) = (false, false);
                self.items.push(Item::ThoughtBefore);
            }
            Mark::Call { ends, whole } => {
                let body = if whole { rest[..length].to_owned() } else { String::new() };
                self.state = State::Call { ends, body };
            }
            // HTML's mark for what is struck out looks the same.
            Mark::Stop if rest.starts_with("</s>") && self.struck => self.struck = false,
            Mark::End if self.harmony => {}
            Mark::Turn if !self.begun => self.state = State::Role,
            Mark::From => self.state = State::Role,
            Mark::Recipient => self.state = State::Recipient,
            Mark::Stop | Mark::End | Mark::Turn => self.stop(),
            Mark::Head => {
                self.harmony = true;
                self.state = State::Head(String::new());
            }
        }
    }

    fn stop(&mut self) {
        self.state = State::Ended;
        self.settle_pending();
        self.items.push(Item::Stop);
    }

    fn settle_pending(&mut self) {
        self.pending_first = false;
        self.items.extend(self.pending.drain(..).map(Item::Call));
    }

    /// The name of a role goes, and what follows it is text.
    fn role(&mut self) -> bool {
        let end = self.held.find(|c: char| !c.is_alphabetic()).unwrap_or(self.held.len());
        self.held.drain(..end);
        if self.held.is_empty() {
            return false;
        }
        self.state = State::Text;
        true
    }

    /// The name of whom a message goes to: the caller, who hears it, or a tool.
    fn recipient(&mut self, ended: bool) -> bool {
        let end = self.held.find(['\n', '\r', '<', '{']);
        let Some(end) = end.or((ended || self.held.len() > MAX_HEAD_BYTES).then_some(self.held.len())) else {
            return false;
        };
        let name = self.held[..end].trim().to_owned();
        self.held.drain(..end);
        self.before = Some(' ');
        self.state = if name.is_empty() || name.eq_ignore_ascii_case(EVERYBODY) {
            State::Text
        } else {
            State::Call { ends: vec!["|from|".to_owned()], body: format!("{name}\n") }
        };
        true
    }

    fn thought_until(&mut self, ends: &'static [&'static str]) -> bool {
        let lower = self.held.to_ascii_lowercase();
        let first = ends.iter().filter_map(|words| Some((lower.find(words)?, *words))).min();
        if let Some((at, words)) = first {
            let end = if words == ACTION { at } else { at + words.len() };
            self.held.drain(..end);
            self.state = State::Text;
            return true;
        }
        let longest = ends.iter().map(|words| words.len()).max().unwrap_or(0);
        let mut keep = self.held.len().saturating_sub(longest);
        while !self.held.is_char_boundary(keep) {
            keep -= 1;
        }
        self.held.drain(..keep);
        false
    }

    /// Whatever is not text, up to the mark that ends it. Says whether the state has changed.
    fn inside(&mut self, ended: bool) -> bool {
        let held = std::mem::take(&mut self.held);
        let mut at = 0;
        while let Some(next) = held[at..].find(['<', '[', '◁']) {
            self.keep(&held[at..at + next]);
            at += next;
            let rest = &held[at..];
            match marks::look(rest, ended) {
                Look::Wait => {
                    self.held = rest.to_owned();
                    return false;
                }
                Look::Mark(length, mark) => {
                    at += length;
                    if self.inside_mark(mark, &rest[..length]) {
                        self.held = held[at..].to_owned();
                        return true;
                    }
                }
                Look::Plain => {
                    let length = rest.chars().next().map_or(0, char::len_utf8);
                    self.keep(&rest[..length]);
                    at += length;
                }
            }
        }
        self.keep(&held[at..]);
        false
    }

    /// What is kept of what is not text.
    fn keep(&mut self, text: &str) {
        match &mut self.state {
            State::Call { body, .. } if body.len() <= MAX_ARGUMENT_BYTES => body.push_str(text),
            State::Head(head) if head.len() <= MAX_HEAD_BYTES => head.push_str(text),
            _ => {}
        }
    }

    /// A mark where there is no text. Says whether the state has changed.
    fn inside_mark(&mut self, mark: Mark, text: &str) -> bool {
        match &mut self.state {
            State::Thought => match mark {
                Mark::ThoughtEnd => self.state = State::Text,
                Mark::Stop | Mark::Turn => self.stop(),
                _ => return false,
            },
            State::ThoughtMessage => match mark {
                Mark::End => self.state = State::Text,
                Mark::Head => self.state = State::Head(String::new()),
                Mark::Stop | Mark::Turn => self.stop(),
                _ => return false,
            },
            State::Head(head) => match mark {
                Mark::Message => {
                    let head = std::mem::take(head);
                    self.state = self.message(&head);
                }
                Mark::Stop => self.stop(),
                _ => {
                    head.push(' ');
                    return false;
                }
            },
            State::Call { ends, body } => {
                let name = marks::name_of(text, text.len());
                let over = ends.contains(&name);
                let harmony_over = self.harmony && matches!(mark, Mark::End | Mark::Head);
                if !over && !harmony_over && !matches!(mark, Mark::Stop | Mark::Turn) {
                    if body.len() <= MAX_ARGUMENT_BYTES {
                        body.push_str(text);
                    }
                    return false;
                }
                let body = std::mem::take(body);
                self.state = State::Text;
                self.calls(&body);
                match mark {
                    Mark::From => self.state = State::Role,
                    _ if over => {}
                    Mark::Stop | Mark::Turn => self.stop(),
                    Mark::Head => self.state = State::Head(String::new()),
                    _ => {}
                }
            }
            State::Text | State::ThoughtUntil(_) | State::Role | State::Recipient | State::Ended => return false,
        }
        true
    }

    /// What a message with this head is (harmony): its channel, and to whom it goes.
    fn message(&mut self, head: &str) -> State {
        if let Some((_, to)) = head.split_once("to=") {
            let name = to.split_whitespace().next().unwrap_or_default();
            return State::Call { ends: Vec::new(), body: format!("{name}\n") };
        }
        if head.contains("analysis") {
            self.items.push(Item::Thought);
            return State::ThoughtMessage;
        }
        State::Text
    }

    fn calls(&mut self, body: &str) {
        let calls = if body.len() > MAX_ARGUMENT_BYTES {
            vec![Written { name: String::new(), arguments: String::new() }]
        } else {
            self.tools.marked(body)
        };
        self.items.extend(calls.into_iter().map(Item::Call));
    }
}

enum Opening {
    None,
    Wait,
    Thought(usize, &'static [&'static str]),
    /// The name of who speaks.
    Label(usize),
}

/// How a reply begins.
fn opening(rest: &str, ended: bool) -> Opening {
    for (words, until) in OPENINGS {
        if starts_with(rest, words) {
            return Opening::Thought(words.len(), until);
        }
        if !ended && starts_with(words, &rest.to_ascii_lowercase()) {
            return Opening::Wait;
        }
    }
    for words in OWN_LABELS {
        if starts_with(rest, words) {
            return Opening::Label(words.len());
        }
        if !ended && starts_with(words, &rest.to_ascii_lowercase()) {
            return Opening::Wait;
        }
    }
    match rest.strip_prefix(BARE_ANALYSIS) {
        Some(thought) if thought.starts_with(char::is_uppercase) => Opening::Thought(BARE_ANALYSIS.len(), BARE_FINAL),
        Some("") if !ended => Opening::Wait,
        None if !ended && BARE_ANALYSIS.starts_with(rest) => Opening::Wait,
        _ => Opening::None,
    }
}
