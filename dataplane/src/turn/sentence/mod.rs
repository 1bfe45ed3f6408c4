//! Cuts a streamed reply into pieces that can be spoken while the rest is still being written. It never rewords: its
//! pieces, put one after the other, are the text with its white space collapsed.
//!
//! A sentence is given out once the text behind its stop shows that it is one: "3." may become "3.5", and "Dr." wants
//! its name. Short sentences travel with the next, since a voice restarts with every piece; only the first piece of a
//! reply goes out however short it is, as the caller is waiting for it. What comes in is speakable already:
//! [`super::speakable`] sees to that.

mod script;

pub(super) use self::script::is_unspaced;
use self::script::{
    MAYBE_LAST, NEVER_LAST, is_attached, is_caseless, is_clause_end, is_closer, is_greek, is_opener, is_phrased,
    is_stop, is_wide_stop, weight,
};

/// How pieces are cut. Lengths are in characters (Unicode scalar values).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SplitSettings {
    /// Sentences shorter than this wait for the next one, except the first of a reply. Ideographs count three. Default
    /// 24.
    pub min_chars: usize,
    /// The first piece may also end at a comma once it is this long, so that speech begins earlier. Default 60.
    pub first_clause_chars: usize,
    /// Longest piece, its trailing space not counted; longer sentences are cut at a comma, else at a space. Default
    /// 200.
    pub max_chars: usize,
}

impl Default for SplitSettings {
    fn default() -> Self {
        Self { min_chars: 24, first_clause_chars: 60, max_chars: 200 }
    }
}

/// The splitter of one reply. It holds at most `max_chars` characters and one more.
#[derive(Debug, Clone)]
pub struct SentenceSplitter {
    settings: SplitSettings,
    buffer: String,
    chars: usize,
    /// Characters, ideographs counted three times.
    weight: usize,
    given: bool,
}

impl SentenceSplitter {
    /// A splitter at the beginning of a reply. A `max_chars` under 20 is taken as 20.
    pub fn new(mut settings: SplitSettings) -> Self {
        settings.max_chars = settings.max_chars.max(20);
        Self { settings, buffer: String::new(), chars: 0, weight: 0, given: false }
    }

    /// Takes the next part of the stream, however it is cut, and appends the pieces that it completes to `pieces`.
    ///
    /// A piece keeps the one space or line break that follows it, so that pieces can be put together again.
    pub fn push(&mut self, text: &str, pieces: &mut Vec<String>) {
        for c in text.chars() {
            if c.is_whitespace() {
                self.push_space(c, pieces);
            } else {
                self.push_char(c, pieces);
            }
        }
    }

    /// Gives what is left at the end of the stream; the splitter is then as new, but for the first piece's privileges.
    pub fn finish(&mut self) -> Option<String> {
        let rest = std::mem::take(&mut self.buffer);
        (self.chars, self.weight) = (0, 0);
        let rest = rest.trim_end();
        (!rest.is_empty()).then(|| {
            self.given = true;
            rest.to_owned()
        })
    }

    /// What has come but is not complete yet.
    pub fn pending(&self) -> &str {
        &self.buffer
    }

    fn push_space(&mut self, c: char, pieces: &mut Vec<String>) {
        let line_break = matches!(c, '\n' | '\r' | '\u{2028}' | '\u{2029}' | '\u{85}');
        match self.buffer.chars().next_back() {
            None => return,
            Some('\n') => return,
            Some(' ') if !line_break => return,
            Some(' ') => {
                self.buffer.pop();
            }
            Some(_) => {
                self.chars += 1;
                self.weight += 1;
            }
        }
        self.buffer.push(if line_break { '\n' } else { ' ' });
        let text = self.buffer.trim_end();
        if line_break {
            if self.long_enough(text) {
                self.cut(self.buffer.len(), pieces);
            }
        } else if matches!(stop(text), Stop::Sure | Stop::Wide) && self.long_enough(text)
            || self.ends_first_clause(text)
            || self.ends_first_phrase(text)
        {
            self.cut(self.buffer.len(), pieces);
        }
    }

    fn push_char(&mut self, c: char, pieces: &mut Vec<String>) {
        let before = self.buffer.len();
        let text = self.buffer.trim_end();
        if !text.is_empty() && self.long_enough(text) {
            let spaced = text.len() < before;
            let ends = match stop(text) {
                Stop::UnlessLower if spaced => !c.is_lowercase(),
                Stop::UnlessLower | Stop::Sure => !spaced && ends_joined(text, c),
                // "３．５" is one number.
                Stop::Wide if text.ends_with('．') && c.is_numeric() => false,
                Stop::Wide => !is_stop(c) && !is_closer(c),
                Stop::None => {
                    !self.given && self.weight >= self.settings.first_clause_chars && text.ends_with(is_clause_end)
                }
            };
            if ends {
                self.cut(before, pieces);
            }
        }
        self.buffer.push(c);
        self.chars += 1;
        self.weight += weight(c);
        if self.chars > self.settings.max_chars {
            let end = cut_point(&self.buffer, self.settings.max_chars);
            self.cut(end, pieces);
        }
    }

    fn long_enough(&self, text: &str) -> bool {
        if self.given { self.weight >= self.settings.min_chars } else { text.chars().any(char::is_alphanumeric) }
    }

    fn ends_first_clause(&self, text: &str) -> bool {
        !self.given && self.chars >= self.settings.first_clause_chars && text.ends_with([',', ';', ':', '–', '—'])
    }

    /// Where no stop is to be expected, a space between phrases will do.
    fn ends_first_phrase(&self, text: &str) -> bool {
        !self.given && self.weight >= self.settings.first_clause_chars && text.ends_with(is_phrased)
    }

    /// Gives out the buffer's first `end` bytes.
    fn cut(&mut self, end: usize, pieces: &mut Vec<String>) {
        let rest = self.buffer.split_off(end);
        let piece = std::mem::replace(&mut self.buffer, rest);
        self.chars = self.buffer.chars().count();
        self.weight = self.buffer.chars().map(weight).sum();
        self.given = true;
        pieces.push(piece);
    }
}

/// What the end of a text says about its being the end of a sentence, provided that it is not the end of the stream.
#[derive(Debug, PartialEq, Eq)]
enum Stop {
    None,
    /// A sentence, once white space follows.
    Sure,
    /// A sentence, once white space and then anything but a small letter follows: "etc. and", "p.m. We".
    UnlessLower,
    /// A sentence whatever follows: scripts that put no space behind a stop.
    Wide,
}

fn stop(text: &str) -> Stop {
    let bare = text.trim_end_matches(is_closer);
    if bare.strip_suffix([';', '\u{37E}']).is_some_and(|words| words.ends_with(is_greek)) {
        return Stop::Sure;
    }
    let Some(last) = bare.chars().next_back().filter(|c| is_stop(*c)) else { return Stop::None };
    if is_wide_stop(last) {
        return Stop::Wide;
    }
    let before = bare.trim_end_matches(is_stop);
    match &bare[before.len()..] {
        "." => full_stop(before),
        run if run.chars().all(|c| matches!(c, '.' | '…')) => Stop::UnlessLower,
        _ => Stop::Sure,
    }
}

/// Does a sentence end with `text`, which ends with a Latin stop, if `next` follows it without a space? In Latin,
/// Cyrillic and Greek it does not: "example.com", "т.е.".
fn ends_joined(text: &str, next: char) -> bool {
    let bare = text.trim_end_matches(is_closer);
    let word = bare.trim_end_matches(is_stop);
    let full_stop = bare.ends_with('.');
    let mut letters = word.chars().rev();
    let Some(last) = letters.next() else { return false };
    if is_stop(next) || is_closer(next) {
        return false;
    }
    if is_unspaced(next) {
        // "J.K.罗琳"
        let initial = last.is_ascii_alphabetic() && letters.next().is_none_or(|c| !c.is_ascii_alphabetic());
        return !(full_stop && initial);
    }
    if is_unspaced(last) {
        return !full_stop || !next.is_ascii_alphanumeric();
    }
    let long_word = letters.take_while(|c| is_caseless(*c)).count() >= 2;
    is_caseless(last) && is_caseless(next) && (!full_stop || long_word)
}

/// Judges a single full stop by the word before it.
fn full_stop(before: &str) -> Stop {
    if before.ends_with(is_unspaced) {
        return Stop::Sure;
    }
    let start = before
        .char_indices()
        .rev()
        .find(|(_, c)| c.is_whitespace() || is_opener(*c) || is_unspaced(*c))
        .map_or(0, |(at, c)| at + c.len_utf8());
    let word = &before[start..];
    let mut letters = word.chars();
    match (letters.next(), letters.next()) {
        (None, _) => return Stop::None,
        // An initial: "J. Smith". "I" is nearly always the pronoun.
        (Some(c), None) if c.is_alphabetic() => {
            return if c.is_uppercase() && c != 'I' { Stop::None } else { Stop::UnlessLower };
        }
        _ => {}
    }
    // The number of a list item: "1. First".
    if start == 0 && word.len() <= 2 && word.bytes().all(|b| b.is_ascii_digit()) {
        return Stop::None;
    }
    let lower = word.to_lowercase();
    if NEVER_LAST.contains(&lower.as_str()) {
        Stop::None
    } else if MAYBE_LAST.contains(&lower.as_str()) || word.split('.').all(|part| part.chars().count() == 1) {
        Stop::UnlessLower
    } else {
        Stop::Sure
    }
}

/// Where to cut a text of more than `max` characters that holds no end of a sentence: at the last comma or the like in
/// its second half, else at its last space, else between two characters.
fn cut_point(text: &str, max: usize) -> usize {
    let (mut clause, mut space, mut joint, mut hard) = (None, None, None, text.len());
    let mut previous = '\u{200D}';
    for (n, (at, c)) in text.char_indices().enumerate() {
        if n > max {
            break;
        }
        if c.is_whitespace() && n > 0 {
            let end = at + c.len_utf8();
            space = Some(end);
            if n >= max / 2 && matches!(previous, ',' | ';' | ':' | '–' | '—') {
                clause = Some(end);
            }
        } else if n >= max / 2 && matches!(previous, '，' | '、' | '；' | '：') {
            clause = Some(at);
        }
        if n > max / 2 && !is_attached(c) && previous != '\u{200D}' {
            joint = Some(at);
        }
        if n == max {
            hard = at;
        }
        previous = c;
    }
    clause.or(space).or(joint).unwrap_or(hard)
}

#[cfg(test)]
mod tests;
