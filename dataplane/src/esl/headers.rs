//! The `Name: value` lines of a message or event, decoded once into one buffer. Never splits or interprets values.

use std::fmt;

/// How names and values stand on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// As they are: a message's own headers.
    Plain,
    /// Percent-encoded: an event's headers, and the channel's data in the reply to `connect`.
    Percent,
}

/// Headers in wire order, duplicates kept.
///
/// All text lies in one buffer, because an event has some 150 headers and most are never looked at. Bytes that are
/// not UTF-8 after decoding become U+FFFD. `Debug` shows only how many there are: values hold callers' numbers and
/// tokens, which do not belong in a log.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers {
    text: String,
    fields: Vec<Field>,
}

/// Where a header lies in the text: its name begins where the header before it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Field {
    name_end: usize,
    value_end: usize,
}

impl Headers {
    /// No headers, with room for `bytes` of text in `fields` headers.
    pub(super) fn with_capacity(bytes: usize, fields: usize) -> Self {
        Self { text: String::with_capacity(bytes), fields: Vec::with_capacity(fields) }
    }

    /// Appends a header as it stands on the wire. `scratch` is reused between calls.
    pub(super) fn push(&mut self, name: &[u8], value: &[u8], encoding: Encoding, scratch: &mut Vec<u8>) {
        push_text(&mut self.text, name, encoding, scratch);
        let name_end = self.text.len();
        push_text(&mut self.text, value, encoding, scratch);
        self.fields.push(Field { name_end, value_end: self.text.len() });
    }

    /// The value of the first header with this name; ASCII case does not matter, because FreeSWITCH's own case varies
    /// between its modules.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(candidate, _)| candidate.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// All headers, in wire order, as name and value.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut start = 0;
        self.fields.iter().map(move |field| {
            let name = &self.text[start..field.name_end];
            start = field.value_end;
            (name, &self.text[field.name_end..field.value_end])
        })
    }

    /// How many headers there are, duplicates counted.
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Headers({})", self.fields.len())
    }
}

/// Cuts a line, without its line feed, into name and value: a trailing carriage return and the blanks after the colon
/// are dropped. `None` when there is no colon or no name.
pub(super) fn split_line(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let colon = line.iter().position(|&byte| byte == b':')?;
    if colon == 0 {
        return None;
    }
    Some((&line[..colon], line[colon + 1..].trim_ascii_start()))
}

fn push_text(text: &mut String, raw: &[u8], encoding: Encoding, scratch: &mut Vec<u8>) {
    if encoding == Encoding::Plain || !raw.contains(&b'%') {
        text.push_str(&String::from_utf8_lossy(raw));
        return;
    }
    scratch.clear();
    percent_decode(raw, scratch);
    text.push_str(&String::from_utf8_lossy(scratch));
}

/// Undoes percent-encoding. A `%` that two hexadecimal digits don't follow stays as it is, and so does `+`: FreeSWITCH
/// writes a blank as `%20`.
fn percent_decode(raw: &[u8], out: &mut Vec<u8>) {
    let mut rest = raw;
    while let Some(at) = rest.iter().position(|&byte| byte == b'%') {
        out.extend_from_slice(&rest[..at]);
        match rest.get(at + 1..at + 3).and_then(hex_byte) {
            Some(byte) => {
                out.push(byte);
                rest = &rest[at + 3..];
            }
            None => {
                out.push(b'%');
                rest = &rest[at + 1..];
            }
        }
    }
    out.extend_from_slice(rest);
}

fn hex_byte(digits: &[u8]) -> Option<u8> {
    let digit = |byte: u8| (byte as char).to_digit(16);
    Some((digit(digits[0])? * 16 + digit(digits[1])?) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(raw: &[u8]) -> String {
        let mut headers = Headers::default();
        headers.push(b"n", raw, Encoding::Percent, &mut Vec::new());
        headers.get("n").expect("just pushed").to_owned()
    }

    #[test]
    fn percent_encoding_is_undone() {
        assert_eq!(decoded(b"%2B1555%20x%0D%0A"), "+1555 x\r\n");
        assert_eq!(decoded("gr%C3%BC%c3%9fe".as_bytes()), "grüße");
    }

    #[test]
    fn a_percent_sign_that_encodes_nothing_is_kept() {
        for raw in ["100%", "%", "%2", "%zz", "%%", "a%2gb", "%+1"] {
            assert_eq!(decoded(raw.as_bytes()), raw);
        }
    }

    #[test]
    fn a_plus_is_not_a_blank() {
        assert_eq!(decoded(b"+1%2B1"), "+1+1");
    }

    #[test]
    fn bytes_that_are_no_utf8_become_the_replacement_character() {
        assert_eq!(decoded(b"a%FFb"), "a\u{FFFD}b");
        assert_eq!(decoded(b"a\xFFb"), "a\u{FFFD}b");
    }

    #[test]
    fn names_are_found_in_any_case_and_the_first_of_duplicates_wins() {
        let mut headers = Headers::default();
        let mut scratch = Vec::new();
        headers.push(b"Unique-ID", b"1", Encoding::Plain, &mut scratch);
        headers.push(b"unique-id", b"2", Encoding::Plain, &mut scratch);
        assert_eq!(headers.get("UNIQUE-id"), Some("1"));
        assert_eq!(headers.get("Unique"), None);
        assert_eq!(headers.iter().collect::<Vec<_>>(), [("Unique-ID", "1"), ("unique-id", "2")]);
    }

    #[test]
    fn debug_output_shows_no_values() {
        let mut headers = Headers::default();
        headers.push(b"variable_sip_h_X-Sofia-Token", b"secret", Encoding::Plain, &mut Vec::new());
        assert_eq!(format!("{headers:?}"), "Headers(1)");
    }

    #[test]
    fn lines_are_split_at_the_first_colon() {
        assert_eq!(split_line(b"A: b:c\r"), Some((&b"A"[..], &b"b:c"[..])));
        assert_eq!(split_line(b"A:"), Some((&b"A"[..], &b""[..])));
        assert_eq!(split_line(b": b"), None);
        assert_eq!(split_line(b"GET / HTTP/1.1"), None);
    }
}
