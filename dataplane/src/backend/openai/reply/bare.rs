//! Calls that no mark announces: JSON in the midst of a text, in a code fence, or a tool's name with arguments behind
//! it. A text with brackets in it is a text until it can be nothing else than a call, and is held back no longer than
//! it may become one.

use serde_json::{Map, Value};

use super::relaxed::Reader;
use super::written::{Tools, Written, starts_with};

/// The longest text that may become a call, in bytes. A real one is a hundred or so.
const MAX_BARE_BYTES: usize = 4 << 10;
/// The longest first line of a code fence.
const MAX_INFO_BYTES: usize = 40;
/// What models write in front of a tool's name.
const PREFIXES: [&str; 6] = ["functions.", "function.", "tools.", "tool.", "default_api.", "api."];
/// Kinds of code fences that hold calls.
const CALL_FENCES: [&str; 8] =
    ["tool_call", "tool_calls", "tool_code", "tool_use", "function_call", "function_calls", "tool", "function"];

/// What stands at the front of a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Bare {
    /// So many bytes of text.
    Plain(usize),
    /// That can't be told yet.
    Wait,
    /// Calls in so many bytes.
    Calls { length: usize, calls: Vec<Written> },
}

/// Looks at the front of `text`, which is all that has come and is not empty; `ended` says that nothing more will.
/// `before` is the character before it.
pub(super) fn look(text: &str, before: Option<char>, tools: &Tools, ended: bool) -> Bare {
    let c = text.chars().next().unwrap_or_default();
    let plain = Bare::Plain(c.len_utf8());
    let at_line = matches!(before, None | Some('\n' | '\r'));
    let at_word = !before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | '.'));
    if at_word && let Some(found) = labelled(text, at_line, tools, ended) {
        return found.into_bare();
    }
    let found = match c {
        '{' | '[' => value(text, tools, ended),
        '<' => element(text, tools, ended),
        '`' if before == Some('`') => None,
        '`' => fence(text, tools, ended),
        c if c.is_alphabetic() && at_word => {
            return match expression(text, tools, ended) {
                Some(found) => found.into_bare(),
                // No tool's name: the whole word is text.
                None => Bare::Plain(word_length(text)),
            };
        }
        _ => None,
    };
    found.map_or(plain, |found| found.into_bare())
}

enum Found {
    Wait,
    Calls(usize, Vec<Written>),
}

impl Found {
    fn into_bare(self) -> Bare {
        match self {
            Self::Wait => Bare::Wait,
            Self::Calls(length, calls) => Bare::Calls { length, calls },
        }
    }
}

/// A call with a word in front that says that it is one: Command R's "Action: ```json [{…}] ```", Firefunction's
/// `functools[{…}]`, `to=functions.name {…}`, and "Action: name", "Action Input: {…}" in two lines. What has the word and no
/// call behind it is text.
fn labelled(text: &str, at_line: bool, tools: &Tools, ended: bool) -> Option<Found> {
    const LABELS: [&str; 3] = [ACTION, "functools", "to="];
    const ACTION: &str = "action:";
    let label = LABELS.iter().find(|label| {
        let known = text.len().min(label.len());
        text.is_char_boundary(known) && text[..known].eq_ignore_ascii_case(&label[..known])
    })?;
    if text.len() <= label.len() {
        return (!ended).then_some(Found::Wait);
    }
    let behind = text[label.len()..].trim_start();
    let at = text.len() - behind.len();
    if at - label.len() > MAX_INFO_BYTES {
        return None;
    }
    let found = match behind.chars().next() {
        None => (!ended).then_some(Found::Wait),
        Some('{' | '[') => value(behind, tools, ended),
        Some('`') => fence(behind, tools, ended),
        Some(_) if *label == ACTION && at_line => two_lines(behind, tools, ended),
        Some(_) if *label == ACTION => None,
        Some(_) => expression(behind, tools, ended),
    };
    match found? {
        Found::Wait => Some(Found::Wait),
        Found::Calls(length, calls) => Some(Found::Calls(at + length, calls)),
    }
}

/// `name`, and in the next line "Action Input:" and the arguments, if there are any.
fn two_lines(text: &str, tools: &Tools, ended: bool) -> Option<Found> {
    const INPUT: &str = "action input:";
    let name = &text[..name_length(text)];
    let behind = text[name.len()..].trim_start();
    if !may_be_name(name, tools) || text.len() > MAX_BARE_BYTES {
        return None;
    }
    if !ended && (behind.is_empty() || starts_with(INPUT, &behind.to_ascii_lowercase())) {
        return Some(Found::Wait);
    }
    let tool = tools.known(name)?;
    let call = |arguments: String| vec![Written { name: tool.name.clone(), arguments }];
    if !starts_with(behind, INPUT) {
        return text[name.len()..]
            .trim_start_matches(' ')
            .starts_with(['\n', '('])
            .then(|| expression(text, tools, ended))
            .flatten()
            .or_else(|| Some(Found::Calls(name.len(), call("{}".to_owned()))));
    }
    let input = &behind[INPUT.len()..];
    let end = match input.trim_start().chars().next() {
        Some('{') => input.find('{').and_then(|at| Some(at + balanced(&input[at..])?)),
        _ => input.trim_start().find(['\n', '\r']).map(|end| end + input.len() - input.trim_start().len()),
    };
    let end = match end {
        Some(end) => end,
        None if ended => input.len(),
        None => return Some(Found::Wait),
    };
    let arguments = match (Reader::new(input[..end].trim()).value(), &tool.main_argument) {
        (Some(Value::Object(arguments)), _) => Value::Object(arguments).to_string(),
        (_, Some(main)) => {
            let value = input[..end].trim().trim_matches(['"', '\'']).to_owned();
            Value::Object(Map::from_iter([(main.clone(), Value::String(value))])).to_string()
        }
        (_, None) => "{}".to_owned(),
    };
    Some(Found::Calls(text.len() - input.len() + end, call(arguments)))
}

fn word_length(text: &str) -> usize {
    text.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(text.len())
}

/// JSON, or a list of expressions.
fn value(text: &str, tools: &Tools, ended: bool) -> Option<Found> {
    if !may_be_value(text, tools) {
        return None;
    }
    match balanced(text) {
        Some(length) if length > MAX_BARE_BYTES => None,
        Some(length) if is_whole_call(&text[1..length - 1], tools) => Some(Found::Calls(
            length,
            vec![Written { name: text[1..length - 1].to_owned(), arguments: "{}".to_owned() }],
        )),
        Some(length) => tools.bare(&text[..length]).map(|calls| Found::Calls(length, calls)),
        None if ended && text.len() <= MAX_BARE_BYTES => tools.bare(text).map(|calls| Found::Calls(text.len(), calls)),
        None => (text.len() <= MAX_BARE_BYTES).then_some(Found::Wait),
    }
}

/// May a text that begins with a bracket become a call, as far as its beginning tells?
fn may_be_value(text: &str, tools: &Tools) -> bool {
    let inner = text[1..].trim_start();
    match (text.as_bytes()[0], inner.chars().next()) {
        (_, None) => true,
        (b'[', Some('{')) => may_be_value(inner, tools),
        (b'[', Some(c)) if c.is_alphabetic() => {
            let name = &inner[..name_length(inner)];
            match inner[name.len()..].chars().next() {
                None => may_be_name(name, tools),
                Some('(') => tools.known(name).is_some() && may_be_name(name, tools),
                // `[hang_up]`
                Some(']') => is_whole_call(name, tools),
                Some(_) => false,
            }
        }
        (b'{', Some(quote @ ('"' | '\''))) => match inner[1..].split_once(quote) {
            Some((key, _)) => tools.begins_call(key),
            None => inner.len() < MAX_INFO_BYTES,
        },
        _ => false,
    }
}

/// Is this the name of a tool that takes nothing, in letters that no word has?
fn is_whole_call(name: &str, tools: &Tools) -> bool {
    name.contains('_') && tools.known(name).is_some_and(|tool| tool.main_argument.is_none())
}

/// A name, with what may stand before it.
fn name_length(text: &str) -> usize {
    text.find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '.' | '-'))).unwrap_or(text.len())
}

/// May a name that has not ended become that of a tool?
fn may_be_name(name: &str, tools: &Tools) -> bool {
    let lower = name.to_lowercase();
    let name = PREFIXES.iter().find_map(|prefix| lower.strip_prefix(prefix)).unwrap_or(&lower);
    let letters = |name: &str| name.chars().filter(|c| c.is_alphanumeric()).collect::<String>();
    PREFIXES.iter().any(|prefix| prefix.starts_with(&lower))
        || tools.0.iter().any(|tool| letters(&tool.name).starts_with(&letters(name)) && !name.contains('.'))
}

/// `name(…)` or `name {…}` of a known tool.
fn expression(text: &str, tools: &Tools, ended: bool) -> Option<Found> {
    let length = name_length(text);
    let (name, rest) = text.split_at(length);
    if rest.is_empty() {
        return (!ended && may_be_name(name, tools)).then_some(Found::Wait);
    }
    if tools.known(name).is_none() || !may_be_name(name, tools) {
        return None;
    }
    let behind = rest.trim_start_matches([' ', ':']);
    if rest.len() - behind.len() >= MAX_INFO_BYTES {
        return None;
    }
    match behind.chars().next() {
        Some('(') if behind.len() == rest.len() => match balanced(behind) {
            Some(length) if length > MAX_BARE_BYTES => None,
            Some(_) => tools.bare_expression(text).map(|(call, length)| Found::Calls(length, vec![call])),
            None => (!ended && behind.len() <= MAX_BARE_BYTES).then_some(Found::Wait),
        },
        Some('{') => match balanced(behind) {
            Some(end) if end > MAX_BARE_BYTES => None,
            Some(end) => {
                let arguments = &behind[..end];
                let read = Reader::new(arguments).value()?;
                let call = Written { name: name.to_owned(), arguments: read.to_string() };
                Some(Found::Calls(text.len() - behind.len() + end, vec![call]))
            }
            None => (!ended && behind.len() <= MAX_BARE_BYTES).then_some(Found::Wait),
        },
        None if !ended => Some(Found::Wait),
        _ => None,
    }
}

/// `<name/>`, `<name></name>`, `<name><key>value</key></name>` or `<name>{…}</name>` of a known tool.
fn element(text: &str, tools: &Tools, ended: bool) -> Option<Found> {
    let inner = &text[1..];
    let name = &inner[..name_length(inner)];
    let behind = &inner[name.len()..];
    if behind.is_empty() {
        return (!ended && may_be_name(name, tools)).then_some(Found::Wait);
    }
    if name.is_empty() || tools.known(name).is_none() || !may_be_name(name, tools) {
        return None;
    }
    let call = |arguments: Map<String, Value>| {
        vec![Written { name: name.to_owned(), arguments: Value::Object(arguments).to_string() }]
    };
    let mut attributes_given = Map::new();
    let mut trimmed = behind.trim_start_matches(' ');
    if trimmed.len() < behind.len() && trimmed.starts_with(char::is_alphabetic) {
        let Some(end) = trimmed.find('>') else {
            return (!ended && behind.len() <= MAX_BARE_BYTES).then_some(Found::Wait);
        };
        let (pairs, slash) = trimmed[..end].strip_suffix('/').map_or((&trimmed[..end], 0), |pairs| (pairs, 1));
        let pairs = attributes(pairs)?;
        if slash == 1 {
            return Some(Found::Calls(text.len() - trimmed.len() + end + 1, call(pairs)));
        }
        attributes_given = pairs;
        trimmed = &trimmed[end..];
    }
    match trimmed.chars().next() {
        _ if behind.len() - trimmed.len() > MAX_BARE_BYTES => return None,
        None => return (!ended).then_some(Found::Wait),
        Some('/') if trimmed.starts_with("/>") => {
            return Some(Found::Calls(text.len() - trimmed.len() + 2, call(Map::new())));
        }
        Some('/') if trimmed.len() == 1 => return (!ended).then_some(Found::Wait),
        Some('>') => {}
        Some(_) => return None,
    }
    let body = &trimmed[1..];
    let close = format!("</{name}>");
    let (body, length) = match body.find(&close) {
        Some(end) => (&body[..end], text.len() - body.len() + end + close.len()),
        None if ended => (body, text.len()),
        None => return (text.len() <= MAX_BARE_BYTES).then_some(Found::Wait),
    };
    if length > MAX_BARE_BYTES {
        return None;
    }
    if let Some(Value::Object(arguments)) = Reader::new(body).value() {
        return Some(Found::Calls(length, call(arguments)));
    }
    let mut arguments = attributes_given;
    let only = body.trim();
    if let Some(main) = tools.known(name).and_then(|tool| tool.main_argument.clone())
        && !only.is_empty()
        && !only.contains(['<', '{', '['])
    {
        arguments.insert(main, Value::String(only.to_owned()));
    }
    let mut rest = body;
    while let Some((key, value)) = rest.split_once('<').and_then(|(_, rest)| rest.split_once('>')) {
        let (value, behind) = value.split_once('<').unwrap_or((value, ""));
        arguments.insert(key.trim().to_owned(), Value::String(value.trim().to_owned()));
        rest = behind.split_once('>').map_or("", |(_, behind)| behind);
    }
    Some(Found::Calls(length, call(arguments)))
}

/// `key="value" key='value'`, and nothing else.
fn attributes(text: &str) -> Option<Map<String, Value>> {
    let mut pairs = Map::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (key, behind) = rest.split_once('=')?;
        let quote = behind.chars().next().filter(|c| matches!(c, '"' | '\''))?;
        let (value, behind) = behind[1..].split_once(quote)?;
        pairs.insert(key.trim().to_owned(), Value::String(value.to_owned()));
        rest = behind.trim_start();
    }
    Some(pairs)
}

/// A code fence that holds a call and nothing else.
fn fence(text: &str, tools: &Tools, ended: bool) -> Option<Found> {
    const FENCE: &str = "```";
    let Some(inner) = text.strip_prefix(FENCE) else {
        return (!ended && FENCE.starts_with(text)).then_some(Found::Wait);
    };
    let info_end = inner.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(inner.len());
    let (info, body) = (inner[..info_end].to_lowercase(), inner[info_end..].trim_start());
    let of_calls = CALL_FENCES.contains(&info.as_str());
    let name = &body[..name_length(body)];
    let possible = match body.chars().next() {
        _ if inner.len() - body.len() > MAX_INFO_BYTES => false,
        None => true,
        _ if of_calls => true,
        Some('{' | '[') => may_be_value(body, tools),
        Some(_) if name.len() < body.len() => tools.known(name).is_some() && may_be_name(name, tools),
        Some(_) => may_be_name(name, tools),
    };
    if !possible {
        return None;
    }
    let (body, length) = match body.find(FENCE) {
        Some(end) => (&body[..end], text.len() - body.len() + end + FENCE.len()),
        None if ended => (body, text.len()),
        // A fence that ends in the next piece may have begun to.
        None => return (text.len() <= MAX_BARE_BYTES).then_some(Found::Wait),
    };
    if length > MAX_BARE_BYTES {
        return None;
    }
    let body = body.trim();
    if of_calls {
        return Some(Found::Calls(length, tools.marked(body)));
    }
    let calls = tools.bare(body).or_else(|| {
        tools.bare_expression(body).filter(|(_, length)| *length == body.len()).map(|(call, _)| vec![call])
    });
    calls.map(|calls| Found::Calls(length, calls))
}

/// How many bytes there are up to the bracket that closes the first one.
fn balanced(text: &str) -> Option<usize> {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if in_string => escaped = true,
            '"' => in_string = !in_string,
            _ if in_string => {}
            '{' | '[' | '(' => depth += 1,
            '}' | ']' | ')' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
    }
    None
}
