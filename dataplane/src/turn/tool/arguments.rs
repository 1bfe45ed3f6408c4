//! Arguments of function calls as models and their servers write them: JSON, and what comes near it. Where two readings
//! are possible there is none: a caller must not be connected to a guess.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::ToolError;
use super::lenient;
use super::name::canonical_name;

/// How often arguments may be wrapped: a fence around text around an object around arguments is four.
const MAX_LAYERS: usize = 8;
/// Keys under which the whole object of arguments is sometimes found once more.
const WRAPPERS: [&str; 8] = ["arguments", "args", "parameters", "params", "input", "kwargs", "properties", "function"];
/// Keys that name the function where a call is found in the place of its arguments.
const NAMES: [&str; 3] = ["name", "tool", "function"];
/// What stands for no arguments.
const NOTHING: [&str; 4] = ["null", "none", "undefined", "nil"];

/// The arguments of one call. A value that came without a key has an empty one.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Arguments(Map<String, Value>);

impl Arguments {
    /// Reads the arguments of the function `tool` out of `text`, of whose arguments `known` is the keys.
    ///
    /// Taken besides a JSON object: nothing at all, a code fence around it, JSON in a string (once or more often), the
    /// object once more under a key such as `arguments`, single quotes, trailing commas, keys without quotes,
    /// `key="value"`, and a lone value.
    pub(super) fn read(tool: &str, known: &[&str], text: &str) -> Result<Self, ToolError> {
        let text = bare(text);
        if is_nothing(text) {
            return Ok(Self::default());
        }
        match json(text) {
            Some(value) => Self::unwrap(tool, known, value, MAX_LAYERS),
            // A lone value without quotes. What has signs of JSON in it was meant to be some, and may be cut off.
            None if !text.contains(['{', '}', '[', ']', '"', ':', '=', ',']) => Ok(Self::lone(text)),
            None => Err(ToolError::NotAnObject),
        }
    }

    fn unwrap(tool: &str, known: &[&str], value: Value, layers: usize) -> Result<Self, ToolError> {
        let layers = layers.checked_sub(1).ok_or(ToolError::NotAnObject)?;
        match value {
            Value::Null => Ok(Self::default()),
            Value::String(text) => {
                let text = bare(&text);
                if is_nothing(text) {
                    return Ok(Self::default());
                }
                match json(text) {
                    Some(inner @ (Value::Object(_) | Value::Array(_) | Value::String(_))) => {
                        Self::unwrap(tool, known, inner, layers)
                    }
                    // As it is written: a number would lose its leading zeros.
                    _ => Ok(Self::lone(text)),
                }
            }
            Value::Object(mut object) => {
                let named = NAMES.iter().filter_map(|key| object.get(*key)?.as_str()).find_map(canonical_name);
                if named.is_some_and(|named| named != tool) {
                    return Err(ToolError::Contradiction);
                }
                if !object.keys().any(|key| known.contains(&&*plain(key))) {
                    let wrapper = WRAPPERS.iter().find(|key| match object.get(**key) {
                        Some(Value::Object(_)) => true,
                        Some(Value::String(text)) => text.contains('{'),
                        Some(Value::Null) => named.is_some(),
                        _ => false,
                    });
                    if let Some(inner) = wrapper.and_then(|key| object.remove(*key)) {
                        return Self::unwrap(tool, known, inner, layers);
                    }
                }
                Ok(Self(object))
            }
            Value::Array(mut items) if items.len() <= 1 => {
                items.pop().map_or_else(|| Ok(Self::default()), |item| Self::unwrap(tool, known, item, layers))
            }
            Value::Array(_) => Err(ToolError::NotAnObject),
            scalar @ (Value::Bool(_) | Value::Number(_)) => Ok(Self(Map::from_iter([(String::new(), scalar)]))),
        }
    }

    fn lone(text: &str) -> Self {
        Self(Map::from_iter([(String::new(), Value::String(text.to_owned()))]))
    }

    /// The text of the argument that the schema calls `keys[0]` and models also call by the other `keys`.
    ///
    /// # Errors [`ToolError::MissingArgument`] where it is not there or no text; [`ToolError::Contradiction`] where
    /// several keys hold different texts, none of them the schema's own.
    pub(super) fn text(&self, keys: &[&'static str]) -> Result<String, ToolError> {
        let missing = || ToolError::MissingArgument { name: keys[0] };
        let mut found: Option<String> = None;
        for (key, value) in &self.0 {
            let key = plain(key);
            let Some(text) = scalar(value).filter(|_| key.is_empty() || keys.contains(&&*key)) else { continue };
            if key == keys[0] {
                return Ok(text);
            }
            match &found {
                Some(other) if *other != text => return Err(ToolError::Contradiction),
                _ => found = Some(text),
            }
        }
        found.ok_or_else(missing)
    }
}

/// A key without what only looks different: `Phone-Number` is `phonenumber`.
fn plain(key: &str) -> String {
    key.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// A value as text; nothing where there is none in it.
fn scalar(value: &Value) -> Option<String> {
    /// Above it not every whole number is itself as a 64-bit float.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match value {
        Value::String(text) => Some(text.trim().to_owned()).filter(|text| !is_nothing(text)),
        Value::Number(number) if number.is_u64() => Some(number.to_string()),
        Value::Number(number) => number
            .as_f64()
            .filter(|number| (0.0..EXACT).contains(number) && number.fract() == 0.0)
            .map(|number| format!("{number:.0}")),
        // Keys one by one, or one value in brackets.
        Value::Array(items) => {
            items.iter().map(|item| if item.is_array() { None } else { scalar(item) }).collect::<Option<String>>()
        }
        _ => None,
    }
    .filter(|text| !text.is_empty())
}

pub(super) fn is_nothing(text: &str) -> bool {
    text.trim().is_empty() || NOTHING.iter().any(|word| word.eq_ignore_ascii_case(text.trim()))
}

/// `text` without white space, a code fence or backquotes around it.
fn bare(text: &str) -> &str {
    let mut text = text.trim().trim_start_matches('\u{feff}');
    if let Some(fenced) = text.strip_prefix("```") {
        let language = fenced.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(fenced.len());
        text = fenced[language..].trim();
        text = text.strip_suffix("```").unwrap_or(text).trim();
    }
    text.trim_matches('`').trim()
}

fn json(text: &str) -> Option<Value> {
    // The reader behind it goes as deep as the text does; arguments of ours are flat.
    if text.bytes().filter(|b| matches!(b, b'{' | b'[')).count() > 64 {
        return None;
    }
    serde_json::from_str(text)
        .ok()
        .or_else(|| repeated(text))
        .or_else(|| unclosed(text))
        .or_else(|| lenient::object(&straight_quotes(text)))
}

/// One object, told several times: servers that send the arguments in pieces, and at the end once more as a whole.
fn repeated(text: &str) -> Option<Value> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    let first = values.next()?.ok().filter(Value::is_object)?;
    values.all(|value| value.is_ok_and(|value| value == first)).then_some(first)
}

/// An object of which only the brace is missing: the last text has its end, so nothing of it is.
fn unclosed(text: &str) -> Option<Value> {
    text.ends_with('"').then(|| serde_json::from_str(&format!("{text}}}")).ok()).flatten()
}

/// Typographic quotes as plain ones.
fn straight_quotes(text: &str) -> Cow<'_, str> {
    if !text.contains(['“', '”', '„', '‘', '’']) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.replace(['“', '”', '„'], "\"").replace(['‘', '’'], "'"))
}
