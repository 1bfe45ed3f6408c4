//! What stands at the beginning of a line: Markdown's signs for headings, quotes, lists, rules, fences, tables and notes.

use super::MAX_HELD_BYTES;

/// What a line begins with.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// That can't be told yet.
    Wait,
    /// A sign of so many bytes, which goes; the line may have more of them.
    Sign(usize),
    /// So many bytes that go with the rest of the line.
    Skip(usize),
    /// A row of a table, of so many bytes.
    Row(usize),
    /// Text.
    Text,
}

/// The longest sign that is looked for, in bytes. A rule may be longer; its rest is then looked at as another.
const MAX_SIGN_BYTES: usize = 80;

/// Looks at the beginning of a line, `text`, which is all that has come and is not empty; `ended` says that nothing more
/// will.
pub(super) fn look(text: &str, ended: bool) -> Line {
    let c = text.chars().next().unwrap_or_default();
    let next = text[c.len_utf8()..].chars().next();
    let wait_or = |otherwise| if next.is_none() && !ended { Line::Wait } else { otherwise };
    match c {
        ' ' | '\t' => Line::Sign(1),
        '#' => Line::Sign(1),
        '>' => match next {
            Some('=') => Line::Text,
            _ => wait_or(Line::Sign(1)),
        },
        '|' => row(text, ended),
        '`' => fence(text, '`', ended),
        '~' => fence(text, '~', ended),
        '[' => note(text, ended),
        '-' | '*' | '_' | '=' | '+' => bullet_or_rule(text, c, ended),
        '•' | '◦' | '▪' | '‣' | '·' | '●' | '○' => Line::Sign(c.len_utf8()),
        _ => Line::Text,
    }
}

fn row(text: &str, ended: bool) -> Line {
    match text.find(['\n', '\r']) {
        Some(end) if end <= MAX_HELD_BYTES => Line::Row(end),
        None if text.len() > MAX_HELD_BYTES => Line::Text,
        None if !ended => Line::Wait,
        None => Line::Row(text.len()),
        Some(_) => Line::Text,
    }
}

/// A fence with the name of a language, or none; a fence with anything else behind it is code among words.
fn fence(text: &str, sign: char, ended: bool) -> Line {
    let run = text.len() - text.trim_start_matches(sign).len();
    let info = text[run..].trim_start_matches([' ', '\t']);
    let name = info.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '+' | '-' | '.' | '#'));
    match name.chars().next() {
        _ if text.len() - name.len() > MAX_SIGN_BYTES => Line::Text,
        None if !ended => Line::Wait,
        _ if run < 3 => Line::Text,
        None | Some('\n' | '\r') => Line::Skip(text.len() - name.len()),
        Some(_) => Line::Text,
    }
}

/// `[^1]: …` and `[name]: https://…`: what a mark in the text refers to.
fn note(text: &str, ended: bool) -> Line {
    // A box to tick.
    for ticked in ["[ ] ", "[x] ", "[X] "] {
        if text.starts_with(ticked) {
            return Line::Sign(ticked.len());
        }
    }
    let Some(end) = text.find([']', '\n', '\r']) else {
        return if ended || text.len() > MAX_SIGN_BYTES { Line::Text } else { Line::Wait };
    };
    let rest = &text[end..];
    if end > MAX_SIGN_BYTES || !rest.starts_with(']') {
        return Line::Text;
    }
    match rest[1..].chars().next() {
        Some(':') if text[1..].starts_with('^') => Line::Skip(end),
        Some(':') => {
            let address = rest[2..].trim_start_matches(' ');
            if address.starts_with("http") || address.starts_with('<') {
                Line::Skip(end)
            } else if !ended && rest.len() < MAX_SIGN_BYTES && "http".starts_with(address) {
                Line::Wait
            } else {
                Line::Text
            }
        }
        None if !ended => Line::Wait,
        _ => Line::Text,
    }
}

fn bullet_or_rule(text: &str, sign: char, ended: bool) -> Line {
    let rule = text.trim_start_matches([sign, ' ', '\t', '|', ':']);
    let length = text.len() - rule.len();
    let signs = text[..length].chars().filter(|c| *c == sign).count();
    let ends = rule.is_empty() || rule.starts_with(['\n', '\r']);
    if ends && signs >= 3 && (ended || !rule.is_empty() || length > MAX_SIGN_BYTES) {
        // A rule, or what underlines a heading or the heads of a table.
        return Line::Skip(length);
    }
    if rule.is_empty() && !ended && length <= MAX_SIGN_BYTES {
        return Line::Wait;
    }
    match text[1..].chars().next() {
        Some(c) if c.is_whitespace() && matches!(sign, '-' | '*' | '+') => Line::Sign(1),
        _ => Line::Text,
    }
}
