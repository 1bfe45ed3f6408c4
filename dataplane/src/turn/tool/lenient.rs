//! Objects that are almost JSON: Python's and JavaScript's ways of writing them, and trailing commas. Whole objects
//! only: one that breaks off could be half a telephone number.

use serde_json::{Map, Value};

/// How deep objects may be nested.
const MAX_DEPTH: usize = 8;

/// The object that `text` is; `None` where it is none. Values without quotes are text as they stand, so that `+49` and
/// `007` stay what they are. A text without braces is read as the inside of some.
pub(super) fn object(text: &str) -> Option<Value> {
    let mut reader = Reader { rest: text.trim() };
    let value = if reader.takes('{') {
        reader.members(Some('}'), MAX_DEPTH)?
    } else if text.contains('=') {
        reader.members(None, MAX_DEPTH)?
    } else {
        return None;
    };
    reader.rest.trim_end_matches(';').trim().is_empty().then_some(value)
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    /// Passes white space, and then `c` if it comes.
    fn takes(&mut self, c: char) -> bool {
        self.rest = self.rest.trim_start();
        match self.rest.strip_prefix(c) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// Keys and values up to `end`, or to the end of the text.
    fn members(&mut self, end: Option<char>, depth: usize) -> Option<Value> {
        let depth = depth.checked_sub(1)?;
        let mut object = Map::new();
        loop {
            if self.over(end) {
                return Some(Value::Object(object));
            }
            let key = self.quoted().unwrap_or_else(|| Some(self.word(|c| c.is_alphanumeric() || "_-".contains(c))))?;
            if key.is_empty() || !(self.takes(':') || self.takes('=')) {
                return None;
            }
            self.takes('>');
            let value = self.value(depth)?;
            // The same key twice is two readings.
            if object.insert(key, value).is_some() || !(self.takes(',') || self.over_soon(end)) {
                return None;
            }
        }
    }

    fn value(&mut self, depth: usize) -> Option<Value> {
        if self.takes('{') {
            return self.members(Some('}'), depth);
        }
        if self.takes('[') {
            return self.items(depth);
        }
        if let Some(text) = self.quoted() {
            return text.map(Value::String);
        }
        let word = self.word(|c| !",}])\"'\n".contains(c));
        match word.trim() {
            "" => None,
            "null" | "None" | "undefined" => Some(Value::Null),
            "true" | "True" => Some(Value::Bool(true)),
            "false" | "False" => Some(Value::Bool(false)),
            word => Some(Value::String(word.to_owned())),
        }
    }

    fn items(&mut self, depth: usize) -> Option<Value> {
        let depth = depth.checked_sub(1)?;
        let mut items = Vec::new();
        while !self.takes(']') {
            items.push(self.value(depth)?);
            if !self.takes(',') && !self.rest.trim_start().starts_with(']') {
                return None;
            }
        }
        Some(Value::Array(items))
    }

    fn over(&mut self, end: Option<char>) -> bool {
        match end {
            Some(end) => self.takes(end),
            None => self.rest.trim_start().is_empty(),
        }
    }

    fn over_soon(&self, end: Option<char>) -> bool {
        let rest = self.rest.trim_start();
        end.map_or(rest.is_empty(), |end| rest.starts_with(end))
    }

    fn word(&mut self, is_in: impl Fn(char) -> bool) -> String {
        self.rest = self.rest.trim_start();
        let end = self.rest.find(|c| !is_in(c)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word.to_owned()
    }

    /// A text in quotes: `None` where there are none, `Some(None)` where they are not closed.
    fn quoted(&mut self) -> Option<Option<String>> {
        self.rest = self.rest.trim_start();
        let quote = self.rest.chars().next().filter(|c| matches!(c, '"' | '\'' | '`'))?;
        let mut text = String::new();
        let mut chars = self.rest[1..].char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                c if c == quote => {
                    self.rest = &self.rest[1 + at + 1..];
                    return Some(Some(text));
                }
                '\\' => match chars.next() {
                    Some((_, 'n')) => text.push('\n'),
                    Some((_, 't')) => text.push('\t'),
                    Some((_, c)) if !c.is_alphanumeric() => text.push(c),
                    // Numbered characters and the like: no destination needs them.
                    _ => return Some(None),
                },
                c => text.push(c),
            }
        }
        Some(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn near_json_is_read() {
        let table = [
            ("{'to': '+1 202'}", json!({ "to": "+1 202" })),
            ("{to: +1202, keep: 007,}", json!({ "to": "+1202", "keep": "007" })),
            ("{\"a\": \"b\",}", json!({ "a": "b" })),
            ("{'a': None, 'b': True, c: [1, 'x',], }", json!({ "a": null, "b": true, "c": ["1", "x"] })),
            ("to=\"100\", why='it\\'s late'", json!({ "to": "100", "why": "it's late" })),
            ("{\"to\" => \"100\"};", json!({ "to": "100" })),
            ("{a: {b: {}}}", json!({ "a": { "b": {} } })),
        ];
        for (text, expected) in table {
            assert_eq!(object(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_breaks_off_or_has_two_readings_is_not_read() {
        let deep = "{a:".repeat(5_000);
        for text in [
            "{'to': '+1202",
            "{to: 1",
            "{to: 1}}",
            "{to: '1' to: '2'}",
            "{a: 1, a: 2}",
            "{'a' 1}",
            "{: 1}",
            "{'a': }",
            "to",
            "",
            "{",
            "[",
            "{a: [1}",
            "{a: '\\u0031'}",
            &deep,
        ] {
            assert_eq!(object(text), None, "{text:.40}");
        }
    }
}
