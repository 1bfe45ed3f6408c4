//! Server-sent events, as far as streamed completions need them (WHATWG HTML, section 9.2.6): bytes in, cut anywhere, the
//! `data` of events out. Sans-IO; it never looks into the data.

/// The longest line that is taken, in bytes. A completion's chunk is some hundred bytes; a tool call's whole arguments in
/// one chunk some thousands.
pub(super) const MAX_LINE_BYTES: usize = 256 << 10;

/// An event or line that grew past [`MAX_LINE_BYTES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected events of at most {MAX_LINE_BYTES} bytes, came a longer one")]
pub(super) struct EventTooLong;

/// Splits a stream of bytes into events.
#[derive(Debug, Default)]
pub(super) struct SseParser {
    line: Vec<u8>,
    /// The `data` lines of the event so far, each with a line feed behind it.
    data: Vec<u8>,
    has_data: bool,
    /// The last byte was a carriage return; a line feed right behind it belongs to the same line end.
    after_cr: bool,
    after_first_line: bool,
}

impl SseParser {
    /// Takes the next bytes and calls `on_event` with the data of each event that they complete.
    pub(super) fn push(&mut self, mut bytes: &[u8], mut on_event: impl FnMut(&str)) -> Result<(), EventTooLong> {
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
    pub(super) fn finish(&mut self, mut on_event: impl FnMut(&str)) -> Result<(), EventTooLong> {
        self.end_line(&mut on_event)?;
        self.dispatch(&mut on_event);
        Ok(())
    }

    fn extend_line(&mut self, bytes: &[u8]) -> Result<(), EventTooLong> {
        if self.line.len() + bytes.len() > MAX_LINE_BYTES {
            return Err(EventTooLong);
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    fn end_line(&mut self, on_event: &mut impl FnMut(&str)) -> Result<(), EventTooLong> {
        if !std::mem::replace(&mut self.after_first_line, true) && self.line.starts_with(b"\xEF\xBB\xBF") {
            self.line.drain(..3);
        }
        if self.line.is_empty() {
            self.dispatch(on_event);
            return Ok(());
        }
        // Comments (an empty field name) and the fields `event`, `id` and `retry` carry nothing for completions.
        let colon = self.line.iter().position(|&byte| byte == b':');
        let (field, value) = match colon {
            Some(colon) => (&self.line[..colon], &self.line[colon + 1..]),
            None => (&self.line[..], &[][..]),
        };
        if field == b"data" {
            let value = value.strip_prefix(b" ").unwrap_or(value);
            if self.data.len() + value.len() > MAX_LINE_BYTES {
                return Err(EventTooLong);
            }
            self.data.extend_from_slice(value);
            self.data.push(b'\n');
            self.has_data = true;
        }
        self.line.clear();
        Ok(())
    }

    fn dispatch(&mut self, on_event: &mut impl FnMut(&str)) {
        if std::mem::replace(&mut self.has_data, false) {
            self.data.pop();
            on_event(&String::from_utf8_lossy(&self.data));
        }
        self.data.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn events(pieces: &[&[u8]]) -> Vec<String> {
        let mut parser = SseParser::default();
        let mut events = Vec::new();
        for piece in pieces {
            parser.push(piece, |data| events.push(data.to_owned())).unwrap();
        }
        parser.finish(|data| events.push(data.to_owned())).unwrap();
        events
    }

    #[test]
    fn events_are_read_whatever_the_line_ends() {
        for text in ["data: a\n\ndata:b\n\n", "data: a\r\n\r\ndata:b\r\n\r\n", "data: a\r\rdata:b\r\r"] {
            assert_eq!(events(&[text.as_bytes()]), ["a", "b"], "{text:?}");
        }
    }

    #[test]
    fn comments_other_fields_and_a_byte_order_mark_are_passed_over() {
        let text = "\u{feff}: keep-alive\n\nevent: x\nid: 7\nretry: 10\ndata: a\ndatabase: b\n\n:\n\n";
        assert_eq!(events(&[text.as_bytes()]), ["a"]);
    }

    #[test]
    fn only_one_space_is_taken_from_the_front_and_lines_of_one_event_are_joined() {
        assert_eq!(events(&[b"data:  two\ndata\ndata: c\n\n"]), [" two\n\nc"]);
    }

    #[test]
    fn an_event_without_its_blank_line_is_delivered_at_the_end() {
        assert_eq!(events(&[b"data: a\n\ndata: [DONE]"]), ["a", "[DONE]"]);
        assert_eq!(events(&[b"data: a\n\n"]), ["a"]);
    }

    #[test]
    fn neither_a_line_nor_an_event_grows_without_bound() {
        let mut parser = SseParser::default();
        parser.push(&vec![b'x'; MAX_LINE_BYTES], |_| {}).unwrap();
        assert_eq!(parser.push(b"x", |_| {}), Err(EventTooLong));

        let mut parser = SseParser::default();
        let line = format!("data: {}\n", "x".repeat(60_000));
        let result = (0..10).try_for_each(|_| parser.push(line.as_bytes(), |_| {}));
        assert_eq!(result, Err(EventTooLong));
    }

    proptest! {
        #[test]
        fn where_the_bytes_are_cut_makes_no_difference(
            lines in proptest::collection::vec(("(data: |data:|: |event: |)[a-zé ]{0,6}", "\n|\r\n|\r"), 0..30),
            cuts in proptest::collection::vec(0usize..200, 0..20),
        ) {
            let text: String = lines.iter().map(|(line, end)| format!("{line}{end}")).collect();
            let bytes = text.as_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
            prop_assert_eq!(events(&pieces), events(&[bytes]));
        }

        #[test]
        fn no_bytes_panic(pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..50), 0..20)) {
            let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
            events(&pieces);
        }
    }
}
