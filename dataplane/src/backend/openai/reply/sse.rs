//! Server-sent events, as far as streamed completions need them (WHATWG HTML, section 9.2.6): bytes in, cut anywhere, the
//! data of events out. It never looks into the data but for where a JSON value in it ends: by the standard an event
//! ends with a blank line, but some servers leave that out, or send it with the next event.

use super::TooLong;
use super::json::JsonSplitter;

/// The longest line that is taken, in bytes. A completion's chunk is some hundred bytes; a tool call's whole arguments in
/// one chunk some thousands.
pub(super) const MAX_LINE_BYTES: usize = 256 << 10;
/// The longest name of an event that is kept.
const MAX_NAME_BYTES: usize = 64;

/// Splits a stream of bytes into events.
#[derive(Debug, Default)]
pub(in super::super) struct SseParser {
    line: Vec<u8>,
    /// The `event` field of the event so far.
    name: String,
    /// The `data` lines of the event so far.
    data: JsonSplitter,
    has_data: bool,
    /// The last byte was a carriage return; a line feed right behind it belongs to the same line end.
    after_cr: bool,
    after_first_line: bool,
    /// A line has come that an event stream has.
    is_one: bool,
}

impl SseParser {
    /// Whether any of what came belongs to an event stream, be it a comment.
    pub(super) fn is_one(&self) -> bool {
        self.is_one
    }

    /// Takes the next bytes and calls `on_event` with name and data of each event that they complete. The name is empty
    /// where the event has none.
    pub(in super::super) fn push(
        &mut self,
        mut bytes: &[u8],
        mut on_event: impl FnMut(&str, &str),
    ) -> Result<(), TooLong> {
        if self.after_cr && !bytes.is_empty() {
            bytes = bytes.strip_prefix(b"\n").unwrap_or(bytes);
            self.after_cr = false;
        }
        while let Some(end) = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            self.extend_line(&bytes[..end])?;
            self.end_line(&mut on_event)?;
            let rest = &bytes[end + 1..];
            bytes = match bytes[end] {
                b'\r' if rest.is_empty() => {
                    self.after_cr = true;
                    rest
                }
                b'\r' => rest.strip_prefix(b"\n").unwrap_or(rest),
                _ => rest,
            };
        }
        self.extend_line(bytes)
    }

    /// The stream has ended: delivers the event that no blank line closed. The standard drops it, but some servers leave
    /// the last blank line out.
    pub(in super::super) fn finish(&mut self, mut on_event: impl FnMut(&str, &str)) -> Result<(), TooLong> {
        self.end_line(&mut on_event)?;
        self.dispatch(&mut on_event);
        Ok(())
    }

    fn extend_line(&mut self, bytes: &[u8]) -> Result<(), TooLong> {
        if self.line.len() + bytes.len() > MAX_LINE_BYTES {
            return Err(TooLong { limit: MAX_LINE_BYTES });
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    fn end_line(&mut self, on_event: &mut impl FnMut(&str, &str)) -> Result<(), TooLong> {
        if !std::mem::replace(&mut self.after_first_line, true) && self.line.starts_with(b"\xEF\xBB\xBF") {
            self.line.drain(..3);
        }
        if self.line.is_empty() {
            self.dispatch(on_event);
            return Ok(());
        }
        // Comments (an empty field name) and the fields `id` and `retry` carry nothing for completions.
        let colon = self.line.iter().position(|&byte| byte == b':');
        let (field, value) = match colon {
            Some(colon) => (&self.line[..colon], &self.line[colon + 1..]),
            None => (&self.line[..], &[][..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        self.is_one |= matches!(field, b"" | b"data" | b"event" | b"id" | b"retry");
        match field {
            b"data" => {
                let (data, name) = (&mut self.data, &self.name);
                // The lines of one event are one text.
                if self.has_data {
                    data.push(b"\n", MAX_LINE_BYTES, |text| on_event(name, text))?;
                }
                data.push(value, MAX_LINE_BYTES, |text| on_event(name, text))?;
                self.has_data |= !value.is_empty();
            }
            b"event" if value.len() <= MAX_NAME_BYTES => self.name = String::from_utf8_lossy(value).trim().to_owned(),
            _ => {}
        }
        self.line.clear();
        Ok(())
    }

    fn dispatch(&mut self, on_event: &mut impl FnMut(&str, &str)) {
        let (has_data, name) = (std::mem::take(&mut self.has_data), std::mem::take(&mut self.name));
        self.data.flush(|text| on_event(&name, text));
        if !has_data && !name.is_empty() {
            on_event(&name, "");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn named(pieces: &[&[u8]]) -> Vec<(String, String)> {
        let mut parser = SseParser::default();
        let mut events = Vec::new();
        let mut take = |name: &str, data: &str| events.push((name.to_owned(), data.to_owned()));
        for piece in pieces {
            parser.push(piece, &mut take).unwrap();
        }
        parser.finish(&mut take).unwrap();
        events
    }

    fn events(pieces: &[&[u8]]) -> Vec<String> {
        named(pieces).into_iter().map(|(_, data)| data).collect()
    }

    #[test]
    fn events_are_read_whatever_the_line_ends() {
        for text in ["data: a\n\ndata:b\n\n", "data: a\r\n\r\ndata:b\r\n\r\n", "data: a\r\rdata:b\r\r"] {
            assert_eq!(events(&[text.as_bytes()]), ["a", "b"], "{text:?}");
        }
    }

    #[test]
    fn comments_other_fields_and_a_byte_order_mark_are_passed_over() {
        let text = "\u{feff}: keep-alive\n\nid: 7\nretry: 10\ndata: a\ndatabase: b\n\n:\n\n";
        assert_eq!(events(&[text.as_bytes()]), ["a"]);
    }

    #[test]
    fn an_event_has_its_name_with_data_or_without() {
        let pair = |name: &str, data: &str| (name.to_owned(), data.to_owned());
        let text = b"event: error\ndata: {}\n\nevent: done\n\ndata: a\n\n";
        assert_eq!(named(&[text]), [pair("error", "{}"), pair("done", ""), pair("", "a")]);
    }

    #[test]
    fn a_value_is_given_out_with_its_line_and_not_with_the_blank_one() {
        let (mut parser, mut events) = (SseParser::default(), Vec::new());
        parser.push(b"data: {\"a\":\ndata: 1}\ndata: {}\n", |_, data| events.push(data.to_owned())).unwrap();
        assert_eq!(events, ["{\"a\":\n1}", "{}"]);
        parser.push(b"\ndata: [DONE]\n", |_, data| events.push(data.to_owned())).unwrap();
        assert_eq!(events.last().map(String::as_str), Some("[DONE]"));
    }

    #[test]
    fn an_event_without_its_blank_line_is_delivered_at_the_end() {
        assert_eq!(events(&[b"data: a\n\ndata: [DONE]"]), ["a", "[DONE]"]);
        assert_eq!(events(&[b"data: a\n\n"]), ["a"]);
    }

    #[test]
    fn neither_a_line_nor_an_event_grows_without_bound() {
        let too_long = Err(TooLong { limit: MAX_LINE_BYTES });
        let mut parser = SseParser::default();
        parser.push(&vec![b'x'; MAX_LINE_BYTES], |_, _| {}).unwrap();
        assert_eq!(parser.push(b"x", |_, _| {}), too_long);

        let mut parser = SseParser::default();
        let line = format!("data: {}\n", "x".repeat(60_000));
        let result = (0..10).try_for_each(|_| parser.push(line.as_bytes(), |_, _| {}));
        assert_eq!(result, too_long);
    }

    proptest! {
        #[test]
        fn where_the_bytes_are_cut_makes_no_difference(
            lines in proptest::collection::vec(("(data: |data:|: |event: |)[{}\"a-zé ]{0,6}", "\n|\r\n|\r"), 0..30),
            cuts in proptest::collection::vec(0usize..200, 0..20),
        ) {
            let text: String = lines.iter().map(|(line, end)| format!("{line}{end}")).collect();
            let bytes = text.as_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
            prop_assert_eq!(named(&pieces), named(&[bytes]));
        }

        #[test]
        fn no_bytes_panic(pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..50), 0..20)) {
            let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
            events(&pieces);
        }
    }
}
