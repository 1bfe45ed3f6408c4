//! The body of an answer as events, whatever its head says that it is: servers send event streams as
//! `application/json`, whole completions as `text/event-stream`, and a JSON value a line as either. The first byte
//! tells.

use super::json::JsonSplitter;
use super::sse::SseParser;
use super::{MAX_REPLY_BYTES, TooLong};

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Splits a body into events.
#[derive(Debug)]
pub(super) enum Frames {
    /// Nothing but white space has come.
    Unknown(Vec<u8>),
    /// Server-sent events.
    Events(SseParser),
    /// JSON values one after the other; also just one.
    Values(JsonSplitter),
}

impl Default for Frames {
    fn default() -> Self {
        Self::Unknown(Vec::new())
    }
}

impl Frames {
    /// Takes the next bytes and calls `on_event` with name (most often none) and data of each event that they complete.
    pub(super) fn push(&mut self, bytes: &[u8], mut on_event: impl FnMut(&str, &str)) -> Result<(), TooLong> {
        match self {
            Self::Events(parser) => parser.push(bytes, on_event),
            Self::Values(splitter) => splitter.push(bytes, MAX_REPLY_BYTES, |value| on_event("", value)),
            Self::Unknown(held) => {
                held.extend_from_slice(bytes);
                let text = held.strip_prefix(BYTE_ORDER_MARK).unwrap_or(held);
                let Some(&first) = text.iter().find(|byte| !byte.is_ascii_whitespace()) else { return Ok(()) };
                if BYTE_ORDER_MARK.starts_with(held) {
                    return Ok(());
                }
                let held = std::mem::take(held);
                *self = match first {
                    b'{' | b'[' => Self::Values(JsonSplitter::default()),
                    _ => Self::Events(SseParser::default()),
                };
                let mark = matches!(self, Self::Values(_)) && held.starts_with(BYTE_ORDER_MARK);
                self.push(if mark { &held[BYTE_ORDER_MARK.len()..] } else { &held }, on_event)
            }
        }
    }

    /// Whether what came is neither events nor JSON, as far as it can be told: a page, a line of text.
    pub(super) fn is_something_else(&self) -> bool {
        matches!(self, Self::Events(parser) if !parser.is_one())
    }

    /// The body has ended: delivers what nothing closed.
    pub(super) fn finish(&mut self, mut on_event: impl FnMut(&str, &str)) -> Result<(), TooLong> {
        match self {
            Self::Unknown(_) => Ok(()),
            Self::Events(parser) => parser.finish(on_event),
            Self::Values(splitter) => {
                splitter.flush(|value| on_event("", value));
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_byte_tells_what_a_body_is_wherever_it_is_cut() {
        let table: [(&str, &[&str]); 6] = [
            ("data: {}\n\ndata: [DONE]\n\n", &["{}", "[DONE]"]),
            ("\u{feff}\n: hello\n\ndata: {}\n\n", &["{}"]),
            ("\u{feff}{\n \"a\": 1\n}\n", &["{\n \"a\": 1\n}"]),
            (" \r\n{\"a\":1}\n{\"b\":2}\n[DONE]\n", &["{\"a\":1}", "{\"b\":2}", "[DONE]"]),
            ("[{},\n{}]", &["[{},\n{}]"]),
            ("\u{feff}", &[]),
        ];
        for (text, expected) in table {
            let bytes = text.as_bytes();
            for cut in 0..=bytes.len() {
                let (mut frames, mut events) = (Frames::default(), Vec::new());
                for piece in [&bytes[..cut], &bytes[cut..]] {
                    frames.push(piece, |_, data| events.push(data.to_owned())).unwrap();
                }
                frames.finish(|_, data| events.push(data.to_owned())).unwrap();
                assert_eq!(events, expected, "{text:?} cut at {cut}");
            }
        }
    }
}
