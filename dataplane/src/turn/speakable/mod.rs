//! Makes of what a model writes what a voice should get: without Markdown's signs, HTML's tags and entities, citation
//! marks, emoji, addresses of links and control characters; of a table its rows, each cell with its column's head.
//!
//! It runs in front of [`super::sentence`], so that the words that are spoken are also those that the history holds: the
//! model is told what was heard. Text comes in pieces, cut anywhere, which changes nothing; what may be the beginning of
//! a sign is held back until that is known, and never more than [`MAX_HELD_BYTES`]. Of formulas the signs go that
//! only set them; how they are read is the voice's matter.

mod formula;
mod inline;
mod line;
mod table;

use self::inline::Inline;
use self::line::Line;
use self::table::Table;

/// The longest text that is held back, in bytes: a row of a table, the address of a link.
pub const MAX_HELD_BYTES: usize = 2_048;
/// Characters of the last word that are remembered.
const MAX_WORD_CHARS: usize = 16;

/// Makes one stream of text speakable.
#[derive(Debug, Clone)]
pub struct Speakable {
    held: String,
    line_begins: bool,
    /// The rest of this line says nothing.
    skips_line: bool,
    table: Table,
    /// The last character given out.
    before: Option<char>,
    /// The word that is being written, or was last.
    word: String,
    /// A space that is not given out yet: it goes if a citation and then the sentence's stop follow.
    space: bool,
    /// A citation has just gone.
    cited: bool,
}

impl Default for Speakable {
    fn default() -> Self {
        Self {
            held: String::new(),
            line_begins: true,
            skips_line: false,
            table: Table::default(),
            before: None,
            word: String::new(),
            space: false,
            cited: false,
        }
    }
}

impl Speakable {
    /// Takes the next piece of a text and appends what of it can be spoken to `spoken`, with its line breaks.
    pub fn push(&mut self, text: &str, spoken: &mut String) {
        self.held.push_str(text);
        self.run(false, spoken);
    }

    /// The text has ended, or pauses: appends what was held back.
    pub fn finish(&mut self, spoken: &mut String) {
        self.run(true, spoken);
        let row = self.table.leave();
        self.give_all(&row, spoken);
        self.held.clear();
        self.space = false;
    }

    fn run(&mut self, ended: bool, spoken: &mut String) {
        let held = std::mem::take(&mut self.held);
        let mut at = 0;
        while at < held.len() {
            let rest = &held[at..];
            if self.skips_line {
                let end = rest.find(['\n', '\r']);
                self.skips_line = end.is_none();
                at += end.unwrap_or(rest.len());
            } else if self.line_begins {
                match line::look(rest, ended) {
                    Line::Wait => break,
                    Line::Sign(length) => at += length,
                    Line::Skip(length) => {
                        at += length;
                        self.skips_line = true;
                    }
                    Line::Row(length) => {
                        let row = self.table.row(&rest[..length]);
                        self.give_all(&row, spoken);
                        at += length;
                        self.line_begins = false;
                    }
                    Line::Text => {
                        let row = self.table.leave();
                        self.give_all(&row, spoken);
                        self.line_begins = false;
                    }
                }
            } else {
                let before = if self.space { Some(' ') } else { self.before };
                match inline::look(rest, before, &self.word, ended) {
                    Inline::Wait => break,
                    Inline::Char(c) => {
                        self.give(c, spoken);
                        at += c.len_utf8();
                    }
                    Inline::Nothing(length) => at += length,
                    Inline::Citation(length) => {
                        at += length;
                        self.cited = true;
                    }
                    Inline::Bar => {
                        self.space = false;
                        if self.before.is_some_and(|before| !before.is_whitespace()) {
                            self.give_all(", ", spoken);
                        }
                        at += 1;
                    }
                    Inline::Words(length, words) => {
                        self.give_all(&words, spoken);
                        at += length;
                    }
                }
            }
        }
        self.held = held[at..].to_owned();
    }

    fn give_all(&mut self, text: &str, spoken: &mut String) {
        for c in text.chars() {
            self.give(c, spoken);
        }
    }

    fn give(&mut self, c: char, spoken: &mut String) {
        if matches!(c, '\n' | '\r' | '\u{2028}' | '\u{2029}' | '\u{85}') {
            (self.line_begins, self.space, self.cited) = (true, false, false);
            if self.before.is_some_and(|before| before != '\n') {
                self.put('\n', spoken);
            }
            return;
        }
        if c.is_whitespace() {
            // Behind a stop it shows that a sentence has ended, and is not held back.
            match self.before {
                Some(before) if before.is_alphanumeric() => self.space = true,
                Some(before) if !before.is_whitespace() => self.put(' ', spoken),
                Some(_) | None => {}
            }
            return;
        }
        let closes = matches!(c, '.' | ',' | ';' | ':' | '!' | '?' | ')' | '。' | '，' | '！' | '？');
        let space = std::mem::take(&mut self.space);
        if space && !(closes && self.cited) {
            self.put(' ', spoken);
        }
        self.cited = false;
        self.put(c, spoken);
    }

    fn put(&mut self, c: char, spoken: &mut String) {
        if c.is_alphanumeric() {
            if self.before.is_none_or(|before| !before.is_alphanumeric()) {
                self.word.clear();
            }
            if self.word.chars().count() < MAX_WORD_CHARS {
                self.word.push(c);
            }
        }
        self.before = Some(c);
        spoken.push(c);
    }
}

/// The whole of `text` as a voice should get it, with its line breaks.
pub fn spoken_lines(text: &str) -> String {
    let (mut speakable, mut spoken) = (Speakable::default(), String::with_capacity(text.len()));
    speakable.push(text, &mut spoken);
    speakable.finish(&mut spoken);
    spoken
}

/// The whole of `text` as a voice should get it, on one line. Empty where nothing in it can be spoken.
pub fn speakable(text: &str) -> String {
    one_line(&spoken_lines(text))
}

/// A text that is speakable, on one line. Empty where there is no word in it.
pub fn one_line(text: &str) -> String {
    if !is_spoken(text) {
        return String::new();
    }
    let mut line = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    line
}

/// Is there anything in a text that a voice can say?
pub fn is_spoken(text: &str) -> bool {
    text.chars().any(char::is_alphanumeric)
}

#[cfg(test)]
mod tests;
