//! Tool calls that are written as elements, each argument by itself.

use serde_json::{Map, Value};

use super::written::{MAX_CALLS, Written, whole_value};

/// Calls as elements: `<function=name><parameter=key>value</parameter></function>`,
/// `<invoke name="name"><parameter name="key">value</parameter></invoke>`, and
/// `name<arg_key>key</arg_key><arg_value>value</arg_value>`. Says whether there was one.
pub(super) fn elements(text: &str, found: &mut Vec<Written>) -> bool {
    let before = found.len();
    let mut rest = text;
    let mut call: Option<(String, Map<String, Value>, String)> = None;
    let mut key: Option<String> = None;
    let mut finish = |call: &mut Option<(String, Map<String, Value>, String)>| {
        if let Some((name, pairs, inner)) = call.take().filter(|_| found.len() < MAX_CALLS) {
            // Between the tags of a function there may be plain JSON.
            let json = whole_value(inner.trim()).filter(|(value, _)| value.is_object() && pairs.is_empty());
            let arguments = json.map_or(Value::Object(pairs), |(value, _)| value);
            found.push(Written { name, arguments: arguments.to_string() });
        }
    };
    if let Some(at) = rest.find("<arg_key>") {
        let name = rest[..at].trim();
        if !name.is_empty() && !name.contains(['<', '{']) {
            call = Some((name.to_owned(), Map::new(), String::new()));
        }
    }
    while let Some(open) = rest.find('<') {
        let (text, tag) = (&rest[..open], &rest[open + 1..]);
        let Some(end) = tag.find('>') else { break };
        let (tag, behind) = (tag[..end].trim().trim_end_matches('/'), &tag[end + 1..]);
        rest = behind;
        if let Some((_, _, inner)) = &mut call {
            inner.push_str(text);
        }
        // DeepSeek and others put a name space of their own before the tags.
        let tag = tag.rsplit_once(['|', ':']).filter(|(space, _)| !space.contains(' ')).map_or(tag, |(_, tag)| tag);
        let (word, attribute) = match tag.find(['=', ' ']) {
            Some(at) => (&tag[..at], attribute(&tag[at..])),
            None => (tag, None),
        };
        match (word, attribute) {
            ("function" | "invoke" | "tool", Some(name)) => {
                finish(&mut call);
                call = Some((name, Map::new(), String::new()));
            }
            // `<name>name</name><arguments>{…}</arguments>`
            ("name" | "tool_name", None) if call.is_none() => {
                call = Some((text_until_tag(rest), Map::new(), String::new()));
                rest = rest.find('<').map_or("", |at| &rest[at..]);
            }
            ("parameter" | "param", Some(name)) => key = Some(name),
            ("arg_key", None) => key = Some(text_until_tag(rest)),
            _ => {}
        }
        if matches!(word, "parameter" | "param" | "arg_value")
            && let Some(key) = key.take()
            && let Some((_, pairs, _)) = &mut call
        {
            pairs.insert(key, Value::String(text_until_tag(rest)));
        }
    }
    if let Some((_, _, inner)) = &mut call {
        inner.push_str(rest);
    }
    finish(&mut call);
    found.len() > before
}

/// What stands before the next tag.
fn text_until_tag(text: &str) -> String {
    text[..text.find('<').unwrap_or(text.len())].trim().to_owned()
}

/// The value of `=value` or ` name="value" …`.
fn attribute(text: &str) -> Option<String> {
    let value = text.split_once('=')?.1.trim_start();
    let value = match value.chars().next()? {
        quote @ ('"' | '\'') => value[1..].split(quote).next()?,
        _ => value.split_whitespace().next()?,
    };
    (!value.is_empty()).then(|| value.to_owned())
}
