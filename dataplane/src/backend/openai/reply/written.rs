//! Tool calls that a model wrote into its text because its server does not know the form: read here, never carried out.
//! Where a mark said that a call follows, everything that can be one is taken for one; where nothing did, only what
//! nobody would say.

use serde_json::{Map, Value};

use super::elements::elements;
use super::relaxed::Reader;

/// A tool that a model may know of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::backend::openai) struct Tool {
    /// Its name.
    pub(in crate::backend::openai) name: String,
    /// The argument that a bare value is for.
    pub(in crate::backend::openai) main_argument: Option<String>,
}

/// A call as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) name: String,
    /// As text, most often JSON.
    pub(super) arguments: String,
}

/// Most calls taken from one place.
pub(super) const MAX_CALLS: usize = 9;
/// Most brackets in one place at which a call is looked for.
const MAX_TRIES: usize = 64;
/// How deep calls may lie in lists and wrappers.
const MAX_DEPTH: usize = 4;
/// Keys that hold a call's name.
const NAMES: [&str; 9] =
    ["name", "function", "tool", "tool_name", "function_name", "recipient_name", "action", "call", "tool_call"];
/// Keys that hold a call's arguments.
const ARGUMENTS: [&str; 8] =
    ["arguments", "parameters", "args", "input", "tool_input", "action_input", "tool_parameters", "params"];
/// Keys that hold calls.
const WRAPPERS: [&str; 7] =
    ["tool_calls", "tool_call", "function_call", "function_calls", "tool_uses", "calls", "function"];
/// Keys that a call may have besides.
const BESIDE: [&str; 4] = ["type", "id", "tool_call_id", "index"];

/// The tools of a conversation.
#[derive(Debug, Clone, Default)]
pub(super) struct Tools(pub(super) Vec<Tool>);

impl Tools {
    /// The tool that a name means: whatever stands before its last dot, in whatever case, however it is hyphenated.
    pub(super) fn known(&self, name: &str) -> Option<&Tool> {
        let name = bare_name(name);
        self.0.iter().find(|tool| !name.is_empty() && bare_name(&tool.name) == name)
    }

    /// May a key begin an object that is a call?
    pub(super) fn begins_call(&self, key: &str) -> bool {
        [&NAMES[..], &ARGUMENTS, &WRAPPERS, &BESIDE].concat().contains(&key) || self.known(key).is_some()
    }

    /// The calls in the text behind a mark that says that there are some. A call that can't be read is one without a
    /// name: that there was one should not be forgotten.
    pub(super) fn marked(&self, body: &str) -> Vec<Written> {
        let mut found = Vec::new();
        for part in split_calls(body) {
            if found.len() < MAX_CALLS {
                self.marked_part(&part, &mut found);
            }
        }
        if found.is_empty() && body.chars().any(char::is_alphanumeric) {
            found.push(Written { name: String::new(), arguments: String::new() });
        }
        found
    }

    fn marked_part(&self, part: &str, found: &mut Vec<Written>) {
        let part = unfence(part);
        if part.is_empty() {
            return;
        }
        if part.contains('<') && elements(part, found) {
            return;
        }
        // Values one after the other; what stands between them is of no use.
        let (mut rest, before, mut tries) = (part, found.len(), 0);
        while let Some(at) = rest.find(['{', '[']).filter(|_| found.len() < MAX_CALLS && tries < MAX_TRIES) {
            tries += 1;
            if before == found.len() && self.head(&rest[..at], &rest[at..], found) {
                return;
            }
            let (value, behind) = match whole_value(&rest[at..]) {
                Some((value, behind)) => (Some(value), behind),
                None => match self.list(&rest[at..]) {
                    Some((calls, behind)) => {
                        found.extend(calls);
                        (None, behind)
                    }
                    None => (None, &rest[at + 1..]),
                },
            };
            if let Some(value) = value {
                self.collect(&value, true, 0, found);
            }
            rest = behind;
        }
        if before == found.len()
            && let Some((call, _)) = self.expression(part, false)
        {
            found.push(call);
        } else if before == found.len() && self.known(part).is_some() {
            found.push(Written { name: part.trim().to_owned(), arguments: "{}".to_owned() });
        }
    }

    /// `name{…}`, `name\n{…}`, `functions.name:0{…}`, `call:name{…}`, and DeepSeek's `function` before the name.
    fn head(&self, head: &str, value: &str, found: &mut Vec<Written>) -> bool {
        let head = head.trim().trim_end_matches("```json").trim_end_matches("```").trim();
        let head = head.rsplit(['\n', '>']).next().unwrap_or(head).trim();
        let head = head.strip_prefix("call:").unwrap_or(head).trim_end_matches([':', '=']);
        let word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '-' | ':');
        if head.is_empty() || !head.chars().all(word) || !value.starts_with('{') {
            return false;
        }
        let arguments = match whole_value(value) {
            Some((value, _)) => value.to_string(),
            None => return false,
        };
        // Kimi numbers its calls behind the name.
        let name = head.split(':').next().unwrap_or(head);
        found.push(Written { name: name.to_owned(), arguments });
        true
    }

    /// The calls in JSON, or what is meant as such, that nothing announced: those of tools that are known, and what
    /// has the shape of a call and no other meaning. `None` where it is something else.
    pub(super) fn bare(&self, text: &str) -> Option<Vec<Written>> {
        let mut found = Vec::new();
        let (value, rest) = match whole_value(text) {
            Some(read) => read,
            None => {
                let (calls, rest) = self.list(text)?;
                return rest.trim().is_empty().then_some(calls).filter(|calls| self.all_known(calls));
            }
        };
        (rest.trim().is_empty() && self.collect(&value, false, 0, &mut found) && !found.is_empty()).then_some(found)
    }

    /// `name(…)` with a known name: the call, and how many bytes of the text it is.
    pub(super) fn bare_expression(&self, text: &str) -> Option<(Written, usize)> {
        let (call, rest) = self.expression(text, true)?;
        Some((call, text.len() - rest.len()))
    }

    fn all_known(&self, calls: &[Written]) -> bool {
        !calls.is_empty() && calls.iter().all(|call| self.known(&call.name).is_some())
    }

    /// `[name(…), name(…)]`.
    fn list<'a>(&self, text: &'a str) -> Option<(Vec<Written>, &'a str)> {
        let mut rest = text.strip_prefix('[')?;
        let mut calls = Vec::new();
        loop {
            let (call, behind) = self.expression(rest, true)?;
            calls.push(call);
            let behind = behind.trim_start();
            if let Some(behind) = behind.strip_prefix(']') {
                return Some((calls, behind));
            }
            rest = behind.strip_prefix(',').filter(|_| calls.len() < MAX_CALLS)?;
        }
    }

    /// `name(…)`, `print(name(…))`, `name.call(…)`; with `strict` only that of a known tool with arguments that make
    /// sense. The call, and what follows it.
    fn expression<'a>(&self, text: &'a str, strict: bool) -> Option<(Written, &'a str)> {
        let mut reader = Reader::new(text);
        let name = reader.name()?;
        if !reader.rest().starts_with('(') || !reader.take("(") {
            return None;
        }
        if name == "print" {
            let (call, rest) = self.expression(reader.rest(), true)?;
            let mut reader = Reader::new(rest);
            return reader.take(")").then(|| (call, reader.rest()));
        }
        let name = name.strip_suffix(".call").unwrap_or(name);
        let tool = self.known(name);
        if strict && tool.is_none() {
            return None;
        }
        let mut pairs = reader;
        let arguments = if let Some(arguments) = pairs.pairs(")") {
            reader = pairs;
            Value::Object(arguments)
        } else {
            let value = reader.value()?;
            reader.take(",");
            if !reader.take(")") {
                return None;
            }
            match value {
                Value::Object(_) => value,
                Value::String(_) | Value::Number(_) => {
                    let main = tool?.main_argument.clone()?;
                    Value::Object(Map::from_iter([(main, value)]))
                }
                _ => return None,
            }
        };
        // A word in front of brackets may be just that.
        let missing = tool.is_some_and(|tool| tool.main_argument.is_some()) && arguments == Value::Object(Map::new());
        (!strict || !missing)
            .then(|| (Written { name: name.to_owned(), arguments: arguments.to_string() }, reader.rest()))
    }

    /// Adds the calls that `value` is, and says whether it is nothing else. With `marked` it is known to hold some.
    fn collect(&self, value: &Value, marked: bool, depth: usize, found: &mut Vec<Written>) -> bool {
        if depth > MAX_DEPTH || found.len() >= MAX_CALLS {
            return false;
        }
        match value {
            Value::Array(items) => items.iter().all(|item| self.collect(item, marked, depth + 1, found)),
            Value::Object(fields) => self.collect_object(fields, marked, depth, found),
            _ => false,
        }
    }

    fn collect_object(
        &self,
        fields: &Map<String, Value>,
        marked: bool,
        depth: usize,
        found: &mut Vec<Written>,
    ) -> bool {
        let name = NAMES.iter().find_map(|key| Some((*key, fields.get(*key)?.as_str()?)));
        let Some((name_key, name)) = name else {
            let wrapped =
                WRAPPERS.iter().find_map(|key| fields.get(*key)).filter(|inner| inner.is_object() || inner.is_array());
            if let Some(wrapped) = wrapped {
                return self.collect(wrapped, marked, depth + 1, found);
            }
            // `{"transfer": {"destination": "200"}}`
            let mut pairs = fields.iter();
            return match (pairs.next(), pairs.next()) {
                (Some((name, arguments @ Value::Object(_))), None) if self.known(name).is_some() => {
                    found.push(Written { name: name.clone(), arguments: arguments.to_string() });
                    true
                }
                _ => false,
            };
        };
        let arguments = ARGUMENTS.iter().find_map(|key| Some((*key, fields.get(*key)?)));
        let beside = |key: &String| key != name_key && !BESIDE.contains(&key.as_str());
        let others = fields.keys().filter(|key| beside(key));
        let arguments = match arguments {
            Some((key, arguments)) => {
                let alone = others.filter(|other| other.as_str() != key).count() == 0;
                if !marked && !(alone && (arguments.is_object() || self.known(name).is_some())) {
                    return false;
                }
                match arguments {
                    Value::String(text) => text.clone(),
                    Value::Null => "{}".to_owned(),
                    other => other.to_string(),
                }
            }
            None if marked || self.known(name).is_some() => {
                // The arguments may lie beside the name.
                let beside =
                    fields.iter().filter(|(key, _)| beside(key)).map(|(key, value)| (key.clone(), value.clone()));
                Value::Object(beside.collect()).to_string()
            }
            None => return false,
        };
        found.push(Written { name: name.to_owned(), arguments });
        true
    }
}

fn bare_name(name: &str) -> String {
    let name = name.trim().rsplit('.').next().unwrap_or_default();
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// A JSON value, or what is meant as one, at the front of a text, and what follows it. Brackets that the model forgot to
/// close at the very end are closed.
pub(super) fn whole_value(text: &str) -> Option<(Value, &str)> {
    let mut stream = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    if let Some(Ok(value)) = stream.next() {
        return Some((value, &text[stream.byte_offset()..]));
    }
    let mut reader = Reader::new(text);
    if let Some(value) = reader.value() {
        return Some((value, reader.rest()));
    }
    ["}", "}}", "]", "}]", "}}]"].iter().find_map(|missing| {
        let closed = format!("{}{missing}", text.trim_end());
        serde_json::from_str(&closed).ok().map(|value| (value, ""))
    })
}

/// The text without the code fence around it.
fn unfence(text: &str) -> &str {
    let text = text.trim();
    let Some(inner) = text.strip_prefix("```") else { return text };
    let inner = inner.strip_suffix("```").unwrap_or(inner);
    let info = inner.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(0);
    inner[info..].trim()
}

/// Marks between calls, or between a call's name and its arguments, that stand inside of the marks around them.
const BETWEEN: [&str; 18] = [
    ">>>",
    "<start_function_call>",
    "<end_function_call>",
    "<|tool_call:end|>",
    "[tool_calls]",
    "<tool_call>",
    "</tool_call>",
    "<function_call>",
    "</function_call>",
    "<|tool_call_begin|>",
    "<|tool_call_end|>",
    "<|tool_calls_begin|>",
    "<|tool_calls_end|>",
    "<|tool_call>",
    "<tool_call|>",
    "<|tool_call_start|>",
    "<|plugin|>",
    "<|python_tag|>",
];
/// Marks between a name and its arguments.
const SEPARATORS: [&str; 5] =
    ["<|content|>", "<|tool_call_argument_begin|>", "<|tool_sep|>", "<|tool_call:args|>", "[args]"];
/// A mark between a call's id and its name.
const AFTER_ID: &str = "<|tool_call:name|>";
/// A mark between a call's name and its id, which ends where the arguments begin.
const BEFORE_ID: &str = "[call_id]";
/// Gemma's quotes.
const QUOTES: [&str; 2] = ["<|\"|>", "<escape>"];

/// The calls of a body, each by itself, with one line feed for what separates a name from its arguments.
fn split_calls(body: &str) -> Vec<String> {
    let body = plain_bars(body);
    let mut parts = vec![String::new()];
    let mut rest = body.as_str();
    'text: while let Some(c) = rest.chars().next() {
        if matches!(c, '<' | '[' | '>') {
            for mark in BETWEEN {
                if starts_with(rest, mark) {
                    parts.push(String::new());
                    rest = &rest[mark.len()..];
                    continue 'text;
                }
            }
            for mark in SEPARATORS {
                if starts_with(rest, mark) {
                    if let Some(part) = parts.last_mut() {
                        part.push('\n');
                    }
                    rest = &rest[mark.len()..];
                    continue 'text;
                }
            }
            if starts_with(rest, AFTER_ID) {
                if let Some(part) = parts.last_mut() {
                    part.clear();
                }
                rest = &rest[AFTER_ID.len()..];
                continue;
            }
            if starts_with(rest, BEFORE_ID) {
                let id = &rest[BEFORE_ID.len()..];
                rest = id.find('[').map_or("", |at| &id[at..]);
                continue;
            }
            if let Some(behind) = QUOTES.iter().find_map(|quote| rest.strip_prefix(quote)) {
                if let Some(part) = parts.last_mut() {
                    part.push('"');
                }
                rest = behind;
                continue;
            }
        }
        if let Some(part) = parts.last_mut() {
            part.push(c);
        }
        rest = &rest[c.len_utf8()..];
    }
    parts
}

/// DeepSeek's wide bars and its blanks, as others write them.
pub(super) fn plain_bars(text: &str) -> String {
    text.replace('｜', "|").replace('▁', "_")
}

pub(super) fn starts_with(text: &str, lower: &str) -> bool {
    text.get(..lower.len()).is_some_and(|head| head.eq_ignore_ascii_case(lower))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn tools() -> Tools {
        let tool =
            |name: &str, main: Option<&str>| Tool { name: name.to_owned(), main_argument: main.map(str::to_owned) };
        Tools(vec![tool("hang_up", None), tool("transfer", Some("destination")), tool("send_dtmf", Some("digits"))])
    }

    fn calls(found: Vec<Written>) -> Vec<(String, Value)> {
        let value = |call: Written| (call.name, serde_json::from_str(&call.arguments).unwrap_or(Value::Null));
        found.into_iter().map(value).collect()
    }

    fn transfer(name: &str) -> Vec<(String, Value)> {
        vec![(name.to_owned(), json!({ "destination": "200" }))]
    }

    #[test]
    fn behind_a_mark_every_familys_form_is_read() {
        for body in [
            r#"{"name": "transfer", "arguments": {"destination": "200"}}"#,
            "\n{\"name\": \"transfer\", \"parameters\": {\"destination\": \"200\"}}\n",
            r#"{"name": "transfer", "arguments": "{\"destination\": \"200\"}"}"#,
            r#"[{"name": "transfer", "arguments": {"destination": "200"}}]"#,
            r#"[{"tool_name": "transfer", "tool_call_id": "0", "parameters": {"destination": "200"}}]"#,
            r#"{"type": "function", "function": {"name": "transfer", "arguments": {"destination": "200"}}}"#,
            r#"{"type": "function", "name": "transfer", "parameters": {"destination": "200"}}"#,
            r#"{'name': 'transfer', 'arguments': {'destination': '200'}}"#,
            r#"{"name": "transfer", "arguments": {"destination": "200"}"#,
            r#"{"name": "transfer", "destination": "200"}"#,
            "```json\n{\"name\": \"transfer\", \"arguments\": {\"destination\": \"200\"}}\n```",
            r#"transfer{"destination": "200"}"#,
            "transfer\n{\"destination\": \"200\"}",
            r#"transfer[ARGS]{"destination": "200"}"#,
            r#"transfer[CALL_ID]abc[ARGS]{"destination": "200"}"#,
            r#"transfer(destination="200")"#,
            r#"transfer.call(destination="200")"#,
            r#"[transfer(destination='200')]"#,
            r#"transfer({"destination": "200"})"#,
            r#"transfer("200")"#,
            r#"print(transfer(destination="200"))"#,
            "<function=transfer>\n<parameter=destination>\n200\n</parameter>\n</function>",
            r#"<function=transfer>{"destination": "200"}</function>"#,
            r#"<invoke name="transfer"><parameter name="destination">200</parameter></invoke>"#,
            "<｜DSML｜invoke name=\"transfer\"><｜DSML｜parameter name=\"destination\" string=\"true\">200</｜DSML｜parameter></｜DSML｜invoke>",
            "transfer\n<arg_key>destination</arg_key>\n<arg_value>200</arg_value>\n",
            "call:transfer{destination:<|\"|>200<|\"|>}",
            "call:transfer{destination:<escape>200<escape>}",
            "abc<|tool_call:name|>transfer<|tool_call:args|>{\"destination\": \"200\"}<|tool_call:end|>",
            r#"<name>transfer</name><arguments>{"destination": "200"}</arguments>"#,
            r#"<tool name="transfer"><parameter name="destination">200</parameter></tool>"#,
            "function<｜tool▁sep｜>transfer\n```json\n{\"destination\": \"200\"}\n```",
            "<｜tool▁call▁begin｜>transfer<｜tool▁sep｜>{\"destination\": \"200\"}<｜tool▁call▁end｜>",
            "<|tool_call_begin|>transfer:0<|tool_call_argument_begin|>{\"destination\": \"200\"}<|tool_call_end|>",
        ] {
            assert_eq!(calls(tools().marked(body)), transfer("transfer"), "{body}");
        }
        assert_eq!(
            calls(tools().marked("functions.transfer:0{\"destination\":\"200\"}")),
            transfer("functions.transfer")
        );
    }

    #[test]
    fn several_calls_are_read_in_order() {
        for body in [
            r#"[{"name":"send_dtmf","arguments":{"digits":"1"}},{"name":"hang_up","arguments":{}}]"#,
            r#"{"name":"send_dtmf","arguments":{"digits":"1"}}; {"name":"hang_up","arguments":{}}"#,
            r#"{"tool_calls":[{"function":{"name":"send_dtmf","arguments":"{\"digits\":\"1\"}"}},{"name":"hang_up"}]}"#,
            r#"[send_dtmf(digits="1"), hang_up()]"#,
            r#"send_dtmf[ARGS]{"digits":"1"}[TOOL_CALLS]hang_up[ARGS]{}"#,
            r#"<tool_call>{"name":"send_dtmf","arguments":{"digits":"1"}}</tool_call><tool_call>{"name":"hang_up"}</tool_call>"#,
            r#"<invoke name="send_dtmf"><parameter name="digits">1</parameter></invoke><invoke name="hang_up"></invoke>"#,
        ] {
            let names: Vec<String> = tools().marked(body).into_iter().map(|call| call.name).collect();
            assert_eq!(names, ["send_dtmf", "hang_up"], "{body}");
        }
        assert!(tools().marked(&"{\"name\":\"hang_up\"}".repeat(100)).len() <= MAX_CALLS);
    }

    #[test]
    fn a_call_that_cannot_be_read_has_no_name() {
        assert_eq!(tools().marked("please end it")[0].name, "");
        assert_eq!(tools().marked(" \n"), []);
        assert_eq!(tools().marked("hang_up")[0].name, "hang_up");
    }

    #[test]
    fn without_a_mark_only_what_has_no_other_meaning_is_a_call() {
        for text in [
            r#"{"name": "transfer", "arguments": {"destination": "200"}}"#,
            r#"{"name": "functions.transfer", "parameters": {"destination": "200"}}"#,
            r#"{"transfer": {"destination": "200"}}"#,
            r#"{"tool": "transfer", "destination": "200"}"#,
            r#"{"action": "transfer", "action_input": {"destination": "200"}}"#,
            r#"{"tool_uses": [{"recipient_name": "functions.transfer", "parameters": {"destination": "200"}}]}"#,
            r#"[transfer(destination="200")]"#,
        ] {
            let found = tools().bare(text).unwrap_or_default();
            assert_eq!(found.len(), 1, "{text}");
            assert!(tools().known(&found[0].name).is_some_and(|tool| tool.name == "transfer"), "{text}");
            assert_eq!(calls(found)[0].1, json!({ "destination": "200" }), "{text}");
        }
        // Of an unknown tool, but a call all the same.
        assert_eq!(tools().bare(r#"{"name": "launch", "arguments": {"n": 1}}"#).map(|found| found.len()), Some(1));
        for text in [
            r#"{"name": "Bellevue"}"#,
            r#"{"name": "Bellevue", "rooms": 40}"#,
            r#"{"name": "Bellevue", "parameters": {"n": 1}, "rooms": 40}"#,
            r#"{"destination": "200"}"#,
            r#"{"answer": "transfer"}"#,
            "[1]",
            "[transfer]",
            "[launch(n=1)]",
            "{}",
            "[]",
            "",
        ] {
            assert_eq!(tools().bare(text), None, "{text}");
        }
    }

    #[test]
    fn a_known_name_before_brackets_is_a_call_when_they_hold_arguments() {
        let read = |text: &str| tools().bare_expression(text).map(|(call, length)| (call.name, length));
        assert_eq!(read("hang_up() now"), Some(("hang_up".to_owned(), 9)));
        assert_eq!(read("functions.hang_up({})"), Some(("functions.hang_up".to_owned(), 21)));
        assert_eq!(read("transfer(destination=\"200\")"), Some(("transfer".to_owned(), 27)));
        assert_eq!(read("transfer(200)"), Some(("transfer".to_owned(), 13)));
        for text in ["transfer()", "transfer(see page three)", "transfer (200)", "launch()", "hang_up", "hang_up("] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(<|>|/|\\{|\\}|\\[|\\]|\\(|\\)|\"|=|:|,|name|transfer|function|parameter|arg_key|<\\|tool_call\\|>|é| ){0,30}") {
            let tools = tools();
            prop_assert!(tools.marked(&text).len() <= MAX_CALLS + 1);
            let _ = tools.bare(&text);
            let _ = tools.bare_expression(&text);
        }
    }
}
