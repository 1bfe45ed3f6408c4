//! Values as language models write them when they mean JSON: with single quotes, bare keys, Python's constants, a comma
//! too many. Reads arguments of calls only, where what is meant is known; never a protocol.

use serde_json::{Map, Number, Value};

/// How deep values may lie in values.
const MAX_DEPTH: usize = 8;

/// Reads from the front of a text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { rest: text }
    }

    /// What has not been read.
    pub(super) fn rest(&self) -> &'a str {
        self.rest
    }

    /// Takes white space, then `text` if it is next.
    pub(super) fn take(&mut self, text: &str) -> bool {
        self.rest = self.rest.trim_start();
        match self.rest.strip_prefix(text) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// A name: letters, digits and `_ . - :`, as many as there are; `None` for none.
    pub(super) fn name(&mut self) -> Option<&'a str> {
        self.rest = self.rest.trim_start();
        let end =
            self.rest.find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '.' | '-'))).unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(end);
        self.rest = rest;
        (!name.is_empty()).then_some(name)
    }

    /// A value: an object, an array, a text in quotes of either kind, a number or a constant.
    pub(super) fn value(&mut self) -> Option<Value> {
        self.value_at(0)
    }

    fn value_at(&mut self, depth: usize) -> Option<Value> {
        if depth > MAX_DEPTH {
            return None;
        }
        if self.take("{") {
            return self.pairs_at("}", depth + 1).map(Value::Object);
        }
        if self.take("[") {
            let mut items = Vec::new();
            while !self.take("]") {
                items.push(self.value_at(depth + 1)?);
                if !self.take(",") && !self.rest.trim_start().starts_with(']') {
                    return None;
                }
            }
            return Some(Value::Array(items));
        }
        match self.rest.chars().next()? {
            '"' | '\'' => self.text().map(Value::String),
            _ => self.bare(),
        }
    }

    /// Pairs up to `end`: `key: value` or `key=value`, with commas between.
    pub(super) fn pairs(&mut self, end: &str) -> Option<Map<String, Value>> {
        self.pairs_at(end, 0)
    }

    fn pairs_at(&mut self, end: &str, depth: usize) -> Option<Map<String, Value>> {
        let mut pairs = Map::new();
        while !self.take(end) {
            self.rest = self.rest.trim_start();
            let key = match self.rest.chars().next()? {
                '"' | '\'' => self.text()?,
                _ => self.name()?.to_owned(),
            };
            if !self.take(":") && !self.take("=") {
                return None;
            }
            self.rest = self.rest.trim_start();
            let value = self.value_at(depth + 1)?;
            pairs.insert(key, value);
            if !self.take(",") && !self.rest.trim_start().starts_with(end) {
                return None;
            }
        }
        Some(pairs)
    }

    /// A text in quotes.
    fn text(&mut self) -> Option<String> {
        let mut chars = self.rest.chars();
        let quote = chars.next()?;
        let mut text = String::new();
        loop {
            match chars.next()? {
                c if c == quote => break,
                '\\' => match chars.next()? {
                    'n' => text.push('\n'),
                    't' => text.push('\t'),
                    'r' => text.push('\r'),
                    'u' => {
                        let digits: String = chars.by_ref().take(4).collect();
                        text.push(u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32)?);
                    }
                    c => text.push(c),
                },
                c => text.push(c),
            }
        }
        self.rest = chars.as_str();
        Some(text)
    }

    /// A number or a constant.
    fn bare(&mut self) -> Option<Value> {
        let end =
            self.rest.find(|c: char| !(c.is_alphanumeric() || matches!(c, '+' | '-' | '.'))).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        match word {
            "true" | "True" => Some(Value::Bool(true)),
            "false" | "False" => Some(Value::Bool(false)),
            "null" | "None" => Some(Value::Null),
            // "+4930…" and "0049…" are no numbers: as such they would lose what they begin with.
            _ if word.starts_with('+') || (word.len() > 1 && word.starts_with('0') && !word.starts_with("0.")) => {
                word.strip_prefix('+').unwrap_or(word).bytes().all(|b| b.is_ascii_digit()).then(|| word.into())
            }
            _ => word.parse::<Number>().ok().map(Value::Number),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_means_json_is_read_as_it() {
        let table = [
            (r#"{"a": [1, "b", null], "c": {"d": true}}"#, json!({ "a": [1, "b", null], "c": { "d": true } })),
            ("{'name': 'it\\'s', 'x': None, 'y': True,}", json!({ "name": "it's", "x": null, "y": true })),
            ("{destination: \"200\", n=3}", json!({ "destination": "200", "n": 3 })),
            ("\"\\u00e9\\n\"", json!("é\n")),
            ("+4930123", json!("+4930123")),
            ("0049", json!("0049")),
            ("-1.5", json!(-1.5)),
            ("[]", json!([])),
        ];
        for (text, expected) in table {
            assert_eq!(Reader::new(text).value(), Some(expected), "{text}");
        }
        for text in ["", "{", "{a}", "{a: }", "[1 2]", "'open", "word", "{\"a\" 1}", "++1", &"[".repeat(50)] {
            assert_eq!(Reader::new(text).value(), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_json_that_is_not_deep_is_read(text in "[a-zé\\\\\"' ]{0,9}", number in any::<i32>()) {
            let value = json!({ "a": [text, number], "b": { "c": null } });
            prop_assert_eq!(Reader::new(&value.to_string()).value(), Some(value));
        }

        #[test]
        fn no_text_panics(text in "[\\[\\]{}:,='\"\\\\ua1 é+.-]{0,40}") {
            let _ = Reader::new(&text).value();
        }
    }
}
