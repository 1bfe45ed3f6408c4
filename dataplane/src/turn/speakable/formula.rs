//! Formulas as models set them (LaTeX): `$x = 5$`, `\\(x\\)`, `\\frac{1}{2}`. The signs that only set them go, those that mean something
//! become the characters that voices know.

use super::inline::{Inline, waits};
use super::{one_line, spoken_lines};

/// The longest formula between dollars, and the longest argument of a command, in bytes.
const MAX_FORMULA_BYTES: usize = 200;
/// Commands whose argument is spoken as it is.
const PLAIN: [&str; 9] = ["text", "mathrm", "mathbf", "mathit", "textbf", "textit", "boxed", "operatorname", "mathbb"];
const FRACTIONS: [&str; 3] = ["frac", "dfrac", "tfrac"];
/// Commands that are one character.
const SIGNS: [(&str, &str); 28] = [
    ("times", "×"),
    ("cdot", "×"),
    ("div", "÷"),
    ("pm", "±"),
    ("leq", "≤"),
    ("le", "≤"),
    ("geq", "≥"),
    ("ge", "≥"),
    ("neq", "≠"),
    ("ne", "≠"),
    ("approx", "≈"),
    ("infty", "∞"),
    ("circ", "°"),
    ("degree", "°"),
    ("rightarrow", "→"),
    ("to", "→"),
    ("pi", "π"),
    ("alpha", "α"),
    ("beta", "β"),
    ("gamma", "γ"),
    ("mu", "µ"),
    ("sum", "∑"),
    ("ldots", "…"),
    ("dots", "…"),
    ("left", ""),
    ("right", ""),
    ("quad", " "),
    ("qquad", " "),
];

/// What begins with a backslash: a command, a bracket around a formula, an escaped sign.
pub(super) fn command(text: &str, ended: bool) -> Option<Inline> {
    let rest = &text[1..];
    match rest.chars().next()? {
        // Around a formula.
        '(' | ')' | '[' | ']' => return Some(Inline::Nothing(2)),
        ',' | ';' => return Some(Inline::Words(2, " ".to_owned())),
        c if c.is_ascii_punctuation() => return Some(Inline::Nothing(1)),
        c if !c.is_ascii_alphabetic() => return None,
        _ => {}
    }
    let Some(end) = rest.find(|c: char| !c.is_ascii_alphabetic()) else {
        let begins = |known: &str| known.starts_with(rest);
        let known = PLAIN.iter().chain(&FRACTIONS).any(|name| begins(name))
            || SIGNS.iter().any(|(name, _)| begins(name))
            || begins("sqrt");
        return match SIGNS.iter().find(|(name, _)| *name == rest) {
            Some((_, sign)) if ended => Some(Inline::Words(text.len(), (*sign).to_owned())),
            _ if known && !ended => Some(Inline::Wait),
            _ => None,
        };
    };
    let (name, behind) = (&rest[..end], &rest[end..]);
    if let Some((_, sign)) = SIGNS.iter().find(|(known, _)| *known == name) {
        return Some(Inline::Words(1 + end, (*sign).to_owned()));
    }
    let fraction = FRACTIONS.contains(&name);
    if !fraction && name != "sqrt" && !PLAIN.contains(&name) {
        return None;
    }
    let wait = || waits(text, ended, 3 * MAX_FORMULA_BYTES);
    let Some(first) = argument(behind) else { return behind.starts_with('{').then(wait).flatten() };
    let words = |inner: &str| one_line(&spoken_lines(inner));
    let length = 1 + end + first.len() + 2;
    if !fraction {
        let sign = if name == "sqrt" { "√" } else { "" };
        return Some(Inline::Words(length, format!("{sign}{}", words(first))));
    }
    let behind = &behind[first.len() + 2..];
    match argument(behind) {
        Some(second) => Some(Inline::Words(length + second.len() + 2, format!("{}/{}", words(first), words(second)))),
        None if behind.is_empty() || behind.starts_with('{') => wait(),
        None => None,
    }
}

/// What stands in the braces at the front of a text.
fn argument(text: &str) -> Option<&str> {
    let mut depth = 0_usize;
    for (at, c) in text.char_indices().take_while(|(at, _)| *at < MAX_FORMULA_BYTES) {
        match c {
            '{' => depth += 1,
            '}' if depth == 1 => return Some(&text[1..at]),
            '}' => depth = depth.checked_sub(1)?,
            _ if depth == 0 => return None,
            _ => {}
        }
    }
    None
}

/// `$x = 5$` and `$$`: a formula, unless the sign is that of money.
pub(super) fn between_dollars(text: &str, ended: bool) -> Option<Inline> {
    let inner = &text[1..];
    match inner.chars().next() {
        Some('$') => return Some(Inline::Nothing(2)),
        None => return waits(text, ended, 1),
        Some(c) if c.is_whitespace() => return None,
        Some(_) => {}
    }
    if is_money(inner) {
        return None;
    }
    match inner.find(['$', '\n']) {
        Some(end) if end < MAX_FORMULA_BYTES && inner[end..].starts_with('$') && is_formula(&inner[..end]) => {
            Some(Inline::Words(end + 2, one_line(&spoken_lines(&inner[..end]))))
        }
        Some(_) => None,
        None if ends_a_sentence(inner) => None,
        None => waits(text, ended, MAX_FORMULA_BYTES),
    }
}

/// What no formula does.
fn ends_a_sentence(inner: &str) -> bool {
    inner.contains([',', '?', '!']) || inner.contains(". ")
}

/// A number, and then no sign that reckons with it.
fn is_money(inner: &str) -> bool {
    const RECKONS: [char; 12] = ['+', '-', '*', '/', '=', '<', '>', '^', '_', '\\', '×', '$'];
    let behind = inner.trim_start_matches(|c: char| c.is_ascii_digit() || matches!(c, '.' | ','));
    let mut signs = behind.chars().filter(|c| *c != ' ');
    match (behind.len() < inner.len(), signs.next()) {
        (true, Some('$')) => false,
        // From so much money to so much.
        (true, Some(sign)) => !RECKONS.contains(&sign) || signs.next() == Some('$'),
        _ => false,
    }
}

fn is_formula(inner: &str) -> bool {
    let letter = inner.chars().count() == 1 && inner.chars().all(char::is_alphabetic);
    !inner.ends_with(char::is_whitespace)
        && !ends_a_sentence(inner)
        && (letter || inner.contains(['=', '+', '\\', '^', '_', '*', '/', '<', '>', '{', '-']))
}
