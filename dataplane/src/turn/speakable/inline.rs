//! What stands among words: signs of Markdown and HTML, citations, entities, addresses, emoji.

use super::{MAX_HELD_BYTES, formula, one_line, spoken_lines};

/// What the front of a text is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Inline {
    /// That can't be told yet.
    Wait,
    /// A character to speak.
    Char(char),
    /// So many bytes that are not spoken.
    Nothing(usize),
    /// So many bytes that tell where something is from.
    Citation(usize),
    /// The bar between two cells of a table that is no other.
    Bar,
    /// So many bytes, and what is spoken for them.
    Words(usize, String),
}

/// The longest entity, in bytes.
const MAX_ENTITY_BYTES: usize = 12;
/// The longest citation mark, in bytes.
const MAX_MARK_BYTES: usize = 80;
/// The longest tag, in bytes.
const MAX_TAG_BYTES: usize = 512;
/// The longest path of an address that is spoken.
const MAX_PATH_BYTES: usize = 30;

/// Looks at the front of `text`, which is all that has come and is not empty; `ended` says that nothing more will.
/// `before` is the character before it, `word` the word.
pub(super) fn look(text: &str, before: Option<char>, word: &str, ended: bool) -> Inline {
    let c = text.chars().next().unwrap_or_default();
    let next = text[c.len_utf8()..].chars().next();
    let unknown = next.is_none() && !ended;
    let found = match c {
        '[' => bracket(text, 0, word, ended),
        '!' if next == Some('[') => bracket(text, 1, word, ended),
        '!' if unknown => Some(Inline::Wait),
        '(' if next == Some('[') => cited_links(text, ended),
        '(' if unknown => Some(Inline::Wait),
        '【' => mark(text, '】', ended),
        CITES => private_mark(text, ended),
        '<' => tag(text, ended),
        '&' => entity(text, ended),
        '_' if unknown => Some(Inline::Wait),
        '_' if is_word(before) && is_word(next) => None,
        '*' if unknown => Some(Inline::Wait),
        '*' if before.is_some_and(|c| c.is_ascii_digit()) && next.is_some_and(|c| c.is_ascii_digit()) => {
            Some(Inline::Words(1, "×".to_owned()))
        }
        '`' => code(text, ended),
        '*' | '_' => Some(Inline::Nothing(1)),
        '~' if unknown => Some(Inline::Wait),
        '~' if next == Some('~') => Some(Inline::Nothing(2)),
        '|' => Some(Inline::Bar),
        '\\' if unknown => Some(Inline::Wait),
        '\\' => formula::command(text, ended),
        '$' => formula::between_dollars(text, ended),
        'h' | 'H' if !is_word(before) => address(text, ended),
        c if c.is_whitespace() => None,
        '\u{E000}'..='\u{F8FF}' => Some(Inline::Nothing(c.len_utf8())),
        c if c.is_control() || is_emoji(c) || is_invisible(c) => Some(Inline::Nothing(c.len_utf8())),
        _ => None,
    };
    found.unwrap_or(Inline::Char(c))
}

fn is_word(c: Option<char>) -> bool {
    c.is_some_and(char::is_alphanumeric)
}

pub(super) fn waits(text: &str, ended: bool, limit: usize) -> Option<Inline> {
    (!ended && text.len() <= limit).then_some(Inline::Wait)
}

enum Link<'a> {
    None,
    Wait,
    /// So many bytes, with this label.
    Whole(usize, &'a str),
}

/// `[label](address)` or `[label][reference]`.
fn link(text: &str, ended: bool) -> Link<'_> {
    let wait_or_none = |so_far: &str| if ended || so_far.len() > MAX_HELD_BYTES { Link::None } else { Link::Wait };
    let Some(end) = text[1..].find(['[', ']', '\n']).map(|end| end + 1) else { return wait_or_none(text) };
    if end > MAX_HELD_BYTES || !text[end..].starts_with(']') {
        return Link::None;
    }
    let (label, rest) = (&text[1..end], &text[end + 1..]);
    let close = match rest.chars().next() {
        Some('(') => ')',
        Some('[') => ']',
        None => return wait_or_none(text),
        Some(_) => return Link::None,
    };
    match rest.find([close, '\n']) {
        Some(at) if end + 1 + at > MAX_HELD_BYTES || !rest[at..].starts_with(close) => Link::None,
        // `[1][2]` are two marks.
        Some(_) if close == ']' && is_citation(label) => Link::None,
        Some(at) => Link::Whole(end + 1 + at + close.len_utf8(), label),
        None => wait_or_none(text),
    }
}

/// What begins with a square bracket, behind `skip` bytes: a link, whose label is spoken, a citation, or just that.
fn bracket(text: &str, skip: usize, word: &str, ended: bool) -> Option<Inline> {
    let inner = &text[skip..];
    match link(inner, ended) {
        // "[1](https://…)" is a citation too.
        Link::Whole(length, label) if is_citation(label) => Some(Inline::Citation(skip + length)),
        Link::Whole(length, label) => Some(Inline::Words(skip + length, one_line(&spoken_lines(label)))),
        Link::Wait => Some(Inline::Wait),
        Link::None => {
            let end = inner[1..].find(['[', ']', '\n'])? + 1;
            if end > MAX_MARK_BYTES || !inner[end..].starts_with(']') {
                return None;
            }
            let label = &inner[1..end];
            // "Press [1]" is none.
            if skip == 0 && is_citation(label) {
                let pressed = label.bytes().all(|b| b.is_ascii_digit()) && names_a_key(word);
                let words = label.to_owned();
                return Some(if pressed { Inline::Words(end + 1, words) } else { Inline::Citation(end + 1) });
            }
            None
        }
    }
}

/// `1`, `1, 2`, `1-3`, `^note`, `1†source`, `source`.
fn is_citation(label: &str) -> bool {
    let numbers = label.chars().all(|c| c.is_ascii_digit() || matches!(c, ',' | ' ' | '-' | '–'));
    let digits = label.chars().filter(char::is_ascii_digit).count();
    (numbers && (1..=12).contains(&digits) && label.split([',', ' ', '-', '–']).all(|number| number.len() <= 3))
        || label.starts_with('^')
        || label.contains('†')
        || ["source", "sources", "citation needed", "ref"].iter().any(|word| label.eq_ignore_ascii_case(word))
}

/// The word before a number in brackets that makes it a key to press: in the languages of [`crate::turn::sentence`].
fn names_a_key(word: &str) -> bool {
    const WORDS: [&str; 30] = [
        "press", "key", "keys", "dial", "enter", "type", "option", "number", "button", "choose", "select", "or",
        "taste", "drücken", "wählen", "ziffer", "nummer", "oder", "appuyez", "touche", "tapez", "marque", "pulse",
        "oprima", "tecla", "opción", "tasto", "prema", "toets", "druk",
    ];
    WORDS.contains(&word.to_lowercase().as_str())
}

/// `([source](address))`, with one link or several: nothing of it is spoken.
fn cited_links(text: &str, ended: bool) -> Option<Inline> {
    let mut at = 1;
    loop {
        match link(&text[at..], ended) {
            Link::None => return None,
            Link::Wait => return waits(text, ended, MAX_HELD_BYTES),
            Link::Whole(length, _) => at += length,
        }
        at += text[at..].len() - text[at..].trim_start_matches([',', ';', ' ']).len();
        match text[at..].chars().next() {
            Some(')') => return Some(Inline::Citation(at + 1)),
            Some('[') => {}
            Some(_) => return None,
            None => return waits(text, ended, MAX_HELD_BYTES),
        }
    }
}

/// `【4†source】`
fn mark(text: &str, close: char, ended: bool) -> Option<Inline> {
    match text.find(close) {
        Some(end) if end <= MAX_MARK_BYTES => {
            let label = &text['【'.len_utf8()..end];
            let cites = is_citation(label) || label.bytes().all(|b| b.is_ascii_digit() || b == b':');
            cites.then_some(Inline::Citation(end + close.len_utf8()))
        }
        Some(_) => None,
        None => waits(text, ended, MAX_MARK_BYTES),
    }
}

/// OpenAI's marks around a citation, in characters for private use: begin, `cite`, a bar, and what is cited.
const CITES: char = '\u{E200}';
const CITED: char = '\u{E201}';

fn private_mark(text: &str, ended: bool) -> Option<Inline> {
    match text.find([CITED, '\n']) {
        Some(end) if end <= MAX_TAG_BYTES && text[end..].starts_with(CITED) => {
            Some(Inline::Citation(end + CITED.len_utf8()))
        }
        Some(_) => Some(Inline::Nothing(CITES.len_utf8())),
        None => waits(text, ended, MAX_TAG_BYTES).or(Some(Inline::Nothing(CITES.len_utf8()))),
    }
}

/// Elements that begin a new line.
const BLOCKS: [&str; 20] = [
    "br",
    "p",
    "li",
    "ul",
    "ol",
    "div",
    "tr",
    "td",
    "th",
    "table",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "hr",
    "blockquote",
    "pre",
    "dt",
];
/// A tag, a comment, or an address in angle brackets.
fn tag(text: &str, ended: bool) -> Option<Inline> {
    let inner = &text[1..];
    match inner.chars().next() {
        None => return waits(text, ended, 1),
        Some(c) if c.is_ascii_alphabetic() || matches!(c, '/' | '!') => {}
        Some(_) => return None,
    }
    let Some(end) = inner.find(['>', '<', '\n']) else { return waits(text, ended, MAX_TAG_BYTES) };
    if end > MAX_TAG_BYTES || !inner[end..].starts_with('>') {
        return None;
    }
    let (inner, length) = (&inner[..end], end + 2);
    if inner.starts_with("http://") || inner.starts_with("https://") || inner.contains('@') && !inner.contains(' ') {
        return Some(Inline::Words(length, spoken_address(inner)));
    }
    if inner.starts_with('!') {
        return Some(Inline::Nothing(length));
    }
    let name = inner.trim_start_matches('/').split([' ', '/', '\t']).next().unwrap_or_default().to_ascii_lowercase();
    // What stands in these is for machines.
    if matches!(name.as_str(), "script" | "style") && !inner.starts_with('/') {
        let close = format!("</{name}");
        let behind = &text[length..];
        return match behind.to_ascii_lowercase().find(&close) {
            Some(at) => Some(Inline::Nothing(length + at)),
            None => waits(text, ended, MAX_HELD_BYTES).or(Some(Inline::Nothing(text.len()))),
        };
    }
    if BLOCKS.contains(&name.as_str()) {
        return Some(Inline::Words(length, "\n".to_owned()));
    }
    // Command R's `<co: 0>` around what it cites.
    let cites =
        name == "co:" && inner.chars().all(|c| c.is_ascii_digit() || matches!(c, '/' | 'c' | 'o' | ':' | ',' | ' '));
    let alone = cites || !inner.trim_end_matches('/').contains(char::is_whitespace);
    let plausible = name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | ':' | '.'));
    (plausible && (alone || inner.contains('='))).then_some(Inline::Nothing(length))
}

/// `&amp;`, `&#39;`, `&#x27;`
fn entity(text: &str, ended: bool) -> Option<Inline> {
    let name = &text[1..];
    let end = match name.find(|c: char| !(c.is_ascii_alphanumeric() || c == '#')) {
        Some(end) => end,
        None => return waits(text, ended, MAX_ENTITY_BYTES),
    };
    if end == 0 || end > MAX_ENTITY_BYTES || !name[end..].starts_with(';') {
        return None;
    }
    let (name, length) = (&name[..end], end + 2);
    let number = name.strip_prefix('#').and_then(|digits| match digits.strip_prefix(['x', 'X']) {
        Some(hex) => u32::from_str_radix(hex, 16).ok(),
        None => digits.parse().ok(),
    });
    let c = match number {
        Some(number) => char::from_u32(number).filter(|c| !c.is_control())?,
        None => named(name)?,
    };
    Some(Inline::Words(length, if is_emoji(c) || is_invisible(c) { String::new() } else { c.to_string() }))
}

/// The entities that are met in text (HTML, section 13.5).
fn named(name: &str) -> Option<char> {
    const NAMED: [(&str, char); 44] = [
        ("amp", '&'),
        ("lt", '<'),
        ("gt", '>'),
        ("quot", '"'),
        ("apos", '\''),
        ("nbsp", ' '),
        ("ensp", ' '),
        ("emsp", ' '),
        ("thinsp", ' '),
        ("ndash", '–'),
        ("mdash", '—'),
        ("hellip", '…'),
        ("lsquo", '‘'),
        ("rsquo", '’'),
        ("ldquo", '“'),
        ("rdquo", '”'),
        ("sbquo", '‚'),
        ("bdquo", '„'),
        ("laquo", '«'),
        ("raquo", '»'),
        ("euro", '€'),
        ("pound", '£'),
        ("yen", '¥'),
        ("cent", '¢'),
        ("deg", '°'),
        ("times", '×'),
        ("divide", '÷'),
        ("plusmn", '±'),
        ("frac12", '½'),
        ("frac14", '¼'),
        ("copy", '©'),
        ("reg", '®'),
        ("trade", '™'),
        ("sect", '§'),
        ("auml", 'ä'),
        ("ouml", 'ö'),
        ("uuml", 'ü'),
        ("Auml", 'Ä'),
        ("Ouml", 'Ö'),
        ("Uuml", 'Ü'),
        ("szlig", 'ß'),
        ("eacute", 'é'),
        ("egrave", 'è'),
        ("ntilde", 'ñ'),
    ];
    NAMED.iter().find(|(known, _)| *known == name).map(|(_, c)| *c)
}

/// Backticks, and the name of a language behind a fence that begins among words.
fn code(text: &str, ended: bool) -> Option<Inline> {
    let run = text.len() - text.trim_start_matches('`').len();
    let rest = &text[run..];
    let name = rest.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '+' | '-' | '#'));
    let length = rest.len() - name.len();
    match name.chars().next() {
        None if run < 3 && !rest.is_empty() => Some(Inline::Nothing(run)),
        None if !ended && length <= MAX_ENTITY_BYTES => Some(Inline::Wait),
        Some('\n' | '\r') if run >= 3 && length <= MAX_ENTITY_BYTES => Some(Inline::Nothing(run + length)),
        _ => Some(Inline::Nothing(run)),
    }
}

/// `https://www.example.com/path?query`: a person says where it leads, not how.
fn address(text: &str, ended: bool) -> Option<Inline> {
    let scheme = ["https://", "http://"].into_iter().find_map(|scheme| {
        let head = text.get(..scheme.len().min(text.len()))?;
        scheme.get(..head.len())?.eq_ignore_ascii_case(head).then_some(head.len() == scheme.len())
    })?;
    if !scheme {
        return waits(text, ended, MAX_HELD_BYTES);
    }
    let end = text.find(|c: char| c.is_whitespace() || matches!(c, '<' | '>' | '"' | '|' | '`') || !c.is_ascii());
    let end = match end {
        Some(end) => end.min(MAX_HELD_BYTES),
        None if text.len() > MAX_HELD_BYTES => MAX_HELD_BYTES,
        None if ended => text.len(),
        None => return Some(Inline::Wait),
    };
    let mut url = text[..end].trim_end_matches(['.', ',', ';', ':', '!', '?', '*', '_', '\'']);
    if url.ends_with(')') && !url.contains('(') {
        url = url.trim_end_matches([')', '.', ',', '*']);
    }
    Some(Inline::Words(url.len(), spoken_address(url)))
}

fn spoken_address(url: &str) -> String {
    let url = url.split_once("://").map_or(url, |(_, rest)| rest);
    let url = url.strip_prefix("mailto:").unwrap_or(url);
    let url = url.strip_prefix("www.").unwrap_or(url);
    let url = url.split(['?', '#']).next().unwrap_or_default().trim_end_matches('/');
    let (host, path) = url.split_once('/').unwrap_or((url, ""));
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '.');
    if !path.is_empty() && path.len() <= MAX_PATH_BYTES && path.chars().all(plain) {
        format!("{host}/{path}")
    } else {
        host.to_owned()
    }
}

fn is_emoji(c: char) -> bool {
    matches!(u32::from(c),
        0x200D | 0x20E3 | 0x2190..=0x21FF | 0x2300..=0x23FF | 0x25A0..=0x27BF | 0x2B00..=0x2BFF | 0xFE00..=0xFE0F
        | 0x1F000..=0x1FAFF | 0xE0020..=0xE007F)
}

/// Characters of no width, which a voice may stumble over.
fn is_invisible(c: char) -> bool {
    matches!(u32::from(c), 0xAD | 0x061C | 0x180E | 0x200B | 0x200E | 0x200F | 0x202A..=0x202E | 0x2060..=0x2069 | 0xFEFF | 0xFFFC | 0xFFFD)
}
