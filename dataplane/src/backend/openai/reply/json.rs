//! Finds where JSON values end in a stream of bytes, so that a value can be used as soon as it is whole: one on many
//! lines, several on one, a line each, or all in one array. It never looks into them.

use super::TooLong;

/// Splits bytes into top-level JSON objects and arrays.
#[derive(Debug, Default)]
pub(super) struct JsonSplitter {
    value: Vec<u8>,
    depth: u32,
    in_string: bool,
    escaped: bool,
}

impl JsonSplitter {
    /// Takes the next bytes, cut anywhere, and calls `on_value` with each object or array that they complete. What is
    /// neither is kept until [`Self::flush`].
    pub(super) fn push(&mut self, bytes: &[u8], limit: usize, mut on_value: impl FnMut(&str)) -> Result<(), TooLong> {
        for &byte in bytes {
            if self.value.is_empty() && (byte.is_ascii_whitespace() || matches!(byte, b',' | 0x1E)) {
                continue;
            }
            if self.value.len() >= limit {
                return Err(TooLong { limit });
            }
            self.value.push(byte);
            if self.in_string {
                match byte {
                    _ if self.escaped => self.escaped = false,
                    b'\\' => self.escaped = true,
                    b'"' => self.in_string = false,
                    _ => {}
                }
                continue;
            }
            match byte {
                b'{' | b'[' if self.depth > 0 || self.value.len() == 1 => self.depth += 1,
                b'"' if self.depth > 0 => self.in_string = true,
                b'}' | b']' if self.depth > 0 => {
                    self.depth -= 1;
                    if self.depth == 0 {
                        self.flush(&mut on_value);
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Gives out what is there, whole or not.
    pub(super) fn flush(&mut self, mut on_value: impl FnMut(&str)) {
        let value = std::mem::take(&mut self.value);
        *self = Self::default();
        if !value.is_empty() {
            on_value(&String::from_utf8_lossy(&value));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(pieces: &[&[u8]]) -> Vec<String> {
        let (mut splitter, mut values) = (JsonSplitter::default(), Vec::new());
        for piece in pieces {
            splitter.push(piece, 1_000, |value| values.push(value.to_owned())).unwrap();
        }
        splitter.flush(|value| values.push(value.to_owned()));
        values
    }

    #[test]
    fn values_end_where_their_brackets_close_wherever_they_are_cut() {
        let bytes = b"\n{\"a\":\n \"}\\\"{\"}, [1,[2]]\r\n{}{\"b\":{\"c\":[]}} tail";
        let expected = ["{\"a\":\n \"}\\\"{\"}", "[1,[2]]", "{}", "{\"b\":{\"c\":[]}}", "tail"];
        assert_eq!(values(&[bytes]), expected);
        for cut in 1..bytes.len() {
            assert_eq!(values(&[&bytes[..cut], &bytes[cut..]]), expected, "cut at {cut}");
        }
    }

    #[test]
    fn a_value_does_not_grow_without_bound() {
        let mut splitter = JsonSplitter::default();
        assert_eq!(splitter.push(&[b'['; 11], 10, |_| {}), Err(TooLong { limit: 10 }));
    }
}
