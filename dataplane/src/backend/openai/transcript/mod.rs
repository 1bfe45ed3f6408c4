//! What a recogniser answered, in whatever form: the JSON of the route, JSON of other makers, plain text, subtitles, events,
//! a line of JSON after the other. The bytes decide, not what the head of the answer calls them. Sans-IO.

mod collect;
mod confidence;

use serde_json::{Deserializer, Value};

use self::collect::Collected;
use super::reply::SseParser;

/// Why an answer is not a transcript. Says nothing of what is in it: that may be a caller's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unreadable {
    /// It is of a kind that holds no transcript.
    #[error("expected a transcript, came {0}")]
    Kind(&'static str),
    /// The server says that it failed.
    #[error("expected a transcript, came an error{}", Reason(.0))]
    Failed(Option<String>),
}

struct Reason<'a>(&'a Option<String>);

impl std::fmt::Display for Reason<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.as_ref().map_or(Ok(()), |reason| write!(f, ": {reason}"))
    }
}

/// The text in `body`; empty when there is none because nothing was said. Segments of which the server itself says that
/// there was no speech are left out where `doubting`.
pub(super) fn read(body: &[u8], doubting: bool) -> Result<String, Unreadable> {
    let text = decoded(body)?;
    let text = text.trim();
    match text.bytes().next() {
        None => Ok(String::new()),
        Some(b'{' | b'[' | b'"') => match json(text) {
            Some(values) => values.into_iter().try_fold(Collected::new(doubting), Collected::take)?.finish(),
            // `[Music]` is no JSON, and no broken JSON either.
            None if is_broken_json(text) => Err(Unreadable::Kind("JSON that can't be read")),
            None => Ok(text.to_owned()),
        },
        Some(b'<') if is_markup(text) => Err(Unreadable::Kind("a page of HTML or XML")),
        _ if is_events(text) => events(text, doubting),
        _ if text == "null" => Ok(String::new()),
        _ => Ok(without_times(text)),
    }
}

/// UTF-8, UTF-16 with its mark, or what is left of either.
fn decoded(body: &[u8]) -> Result<String, Unreadable> {
    let wide = |read: fn([u8; 2]) -> u16, bytes: &[u8]| {
        let (pairs, _) = bytes.as_chunks::<2>();
        let units: Vec<u16> = pairs.iter().map(|pair| read(*pair)).collect();
        String::from_utf16_lossy(&units)
    };
    let text = match body {
        [0xEF, 0xBB, 0xBF, rest @ ..] => String::from_utf8_lossy(rest).into_owned(),
        [0xFF, 0xFE, rest @ ..] => wide(u16::from_le_bytes, rest),
        [0xFE, 0xFF, rest @ ..] => wide(u16::from_be_bytes, rest),
        _ => match std::str::from_utf8(body) {
            Ok(text) => text.to_owned(),
            // Latin-1, as servers of the old kind send it: a few letters are not UTF-8. Sound, or a picture, has more.
            Err(_) if body.iter().filter(|byte| !byte.is_ascii()).count() * 4 <= body.len() => {
                body.iter().map(|byte| char::from(*byte)).collect()
            }
            Err(_) => return Err(Unreadable::Kind("bytes that are no text")),
        },
    };
    let is_text = |c: char| !c.is_control() || c.is_whitespace();
    if text.chars().all(is_text) { Ok(text) } else { Err(Unreadable::Kind("bytes that are no text")) }
}

/// One value, or one after the other: lines of JSON.
fn json(text: &str) -> Option<Vec<Value>> {
    Deserializer::from_str(text).into_iter().collect::<Result<_, _>>().ok()
}

/// Whether a text that is no JSON was meant to be some: a bracket's remark has neither quotes nor colons behind them.
fn is_broken_json(text: &str) -> bool {
    let rest = text.get(1..).unwrap_or_default().trim_start();
    match text.as_bytes().first() {
        Some(b'{') => rest.starts_with('"') || rest.is_empty(),
        Some(b'[') => rest.starts_with(['{', '"']) || rest.is_empty(),
        // Words in quotes.
        _ => false,
    }
}

fn is_markup(text: &str) -> bool {
    let head: String = text.chars().take(14).flat_map(char::to_lowercase).collect();
    ["<!doctype", "<html", "<head", "<body", "<?xml", "<h1", "<p>", "<div", "<error", "<center"]
        .iter()
        .any(|tag| head.starts_with(tag))
}

fn is_events(text: &str) -> bool {
    ["data:", "event:", "id:", "retry:", ":"].iter().any(|field| text.starts_with(field))
        && text.lines().any(|line| line.starts_with("data:"))
}

fn events(text: &str, doubting: bool) -> Result<String, Unreadable> {
    let mut parser = SseParser::default();
    let mut collected = Some(Collected::new(doubting));
    let mut failed = None;
    let mut take = |_name: &str, data: &str| {
        let data = data.trim();
        if data.is_empty() || data == "[DONE]" || failed.is_some() {
            return;
        }
        let value = serde_json::from_str(data).unwrap_or_else(|_| Value::String(data.to_owned()));
        match collected.take().map(|so_far| so_far.take(value)) {
            Some(Ok(more)) => collected = Some(more),
            Some(Err(error)) => failed = Some(error),
            None => {}
        }
    };
    let parsed = parser.push(text.as_bytes(), &mut take).and_then(|()| parser.finish(&mut take));
    if parsed.is_err() {
        return Err(Unreadable::Kind("an event that is too long"));
    }
    match (failed, collected) {
        (Some(error), _) => Err(error),
        (None, Some(collected)) => collected.finish(),
        (None, None) => Ok(String::new()),
    }
}

/// Subtitles (SRT, WebVTT) without numbers, times and head: a server that was told to answer in such may do so.
fn without_times(text: &str) -> String {
    // Whisper's own third form.
    if let Some(rows) = text.strip_prefix("start\tend\ttext") {
        let words = |row: &str| Some(row.splitn(3, '\t').nth(2)?.trim().to_owned());
        return rows.lines().filter_map(words).collect::<Vec<_>>().join(" ");
    }
    if !text.contains("-->") {
        return text.to_owned();
    }
    let is_time = |line: &str| line.contains("-->") && !line.starts_with('[');
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let mut kept = Vec::new();
    for (index, line) in lines.iter().copied().enumerate() {
        let is_number = line.bytes().all(|byte| byte.is_ascii_digit());
        let before_time = lines.get(index + 1).copied().is_some_and(is_time);
        let is_head = index == 0 && line.starts_with("WEBVTT");
        let is_frame = is_time(line) || is_head || (is_number && before_time);
        if !line.is_empty() && !is_frame {
            kept.push(line);
        }
    }
    kept.join(" ")
}

#[cfg(test)]
mod tests;
