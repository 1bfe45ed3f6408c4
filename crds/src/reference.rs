//! The reference of `VoiceTrunk` as Markdown, drawn from its schema, so that it says what the API server enforces. Never adds
//! a fact of its own beyond the frame around the tables.

use std::fmt::Write as _;

use kube::CustomResourceExt as _;
use serde_json::{Map, Value};

use crate::VoiceTrunk;

/// What stands before the tables.
const FRAME: &str = "\
<!-- Generated from the types in crds/src by `crdgen --update`; not edited by hand. -->
# VoiceTrunk

A telephone line answered by voice agents. `apiVersion: sofia-phone.io/v1alpha1`, `kind: VoiceTrunk`, short name `vt`, namespaced. Its name has at
most 40 lower-case letters, digits and hyphens, a letter first, because its Services and pods are named after it.

`spec: {}` is a whole one: FreeSWITCH and two pods that answer with the built-in backend. Samples to start from are in
[`config/samples`](../config/samples); [kubernetes.md](kubernetes.md) says how to run it. `kubectl explain vt.spec.scaling` shows the same
descriptions on the terminal.

The API server refuses what is out of bounds or breaks a rule, with the message given here. Durations have their unit in their name.
";

/// The reference, one Markdown document.
///
/// # Panics
/// Never: the definition that the types generate has one version with a schema.
pub fn markdown() -> String {
    let definition = serde_json::to_value(VoiceTrunk::crd()).expect("a definition is JSON");
    let version = &definition["spec"]["versions"][0];
    let schema = &version["schema"]["openAPIV3Schema"];
    let mut text = FRAME.to_owned();
    for part in ["spec", "status"] {
        section(&mut text, part, &schema["properties"][part]);
    }
    columns(&mut text, version);
    text
}

/// A heading, the description, a table of the fields, the rules; then the same for each field that is an object.
fn section(text: &mut String, path: &str, schema: &Value) {
    let Some(fields) = fields(schema) else { return };
    let _ = write!(text, "\n## {path}\n\n");
    let description = paragraphs(schema);
    if !description.is_empty() {
        let _ = write!(text, "{}\n\n", description.join("\n\n"));
    }
    text.push_str("| Field | Type | Default | Meaning |\n|---|---|---|---|\n");
    for (name, field) in fields {
        let below = format!("{path}.{name}{}", element_mark(field));
        let shown = if fields_of_element(field).is_some() {
            format!("[`{name}`](#{})", anchor(&below))
        } else {
            format!("`{name}`")
        };
        let default = default_of(schema, name, field);
        let _ = writeln!(text, "| {shown} | {} | {default} | {} |", type_of(field), paragraphs(field).join("<br>"));
    }
    let rules = rules(schema);
    if !rules.is_empty() {
        text.push_str("\nRules:\n\n");
        for rule in rules {
            let _ = writeln!(text, "- {rule}");
        }
    }
    for (name, field) in fields {
        section(text, &format!("{path}.{name}{}", element_mark(field)), element(field));
    }
}

/// What `kubectl get vt` shows.
fn columns(text: &mut String, version: &Value) {
    text.push_str("\n## kubectl get vt\n\n| Column | Meaning | From |\n|---|---|---|\n");
    for column in version["additionalPrinterColumns"].as_array().into_iter().flatten() {
        let word = |key: &str| column[key].as_str().unwrap_or_default();
        let wide = if column["priority"].as_i64().unwrap_or_default() > 0 { " (with `-o wide`)" } else { "" };
        let meaning = Some(word("description")).filter(|meaning| !meaning.is_empty()).unwrap_or("When it was created");
        let _ = writeln!(text, "| {}{wide} | {} | `{}` |", word("name"), escaped(meaning), word("jsonPath"));
    }
    let scale = &version["subresources"]["scale"];
    let path = |key: &str| scale[key].as_str().unwrap_or_default().trim_start_matches('.').to_owned();
    let _ = write!(
        text,
        "\nThe scale subresource, for `kubectl scale` and autoscalers, writes `{}` and reads `{}` and `{}`.\n",
        path("specReplicasPath"),
        path("statusReplicasPath"),
        path("labelSelectorPath"),
    );
}

fn fields(schema: &Value) -> Option<&Map<String, Value>> {
    schema.get("properties").and_then(Value::as_object)
}

/// The schema of a list's items, of any other field the field's own.
fn element(field: &Value) -> &Value {
    field.get("items").unwrap_or(field)
}

fn element_mark(field: &Value) -> &'static str {
    if field.get("items").is_some() { "[]" } else { "" }
}

fn fields_of_element(field: &Value) -> Option<&Map<String, Value>> {
    fields(element(field))
}

/// The anchor that renderers of Markdown make of a heading: lower case, without punctuation.
fn anchor(heading: &str) -> String {
    heading.chars().filter(|letter| letter.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// The type with its bounds, in words.
fn type_of(field: &Value) -> String {
    let number = |key: &str| field.get(key).and_then(Value::as_f64);
    let range = |least: &str, most: &str| match (number(least), number(most)) {
        (Some(least), Some(most)) if least > 0.0 => format!("{least} to {most}"),
        (_, Some(most)) => format!("at most {most}"),
        (_, None) => String::new(),
    };
    if let Some(words) = field.get("enum").and_then(Value::as_array) {
        return words.iter().map(|word| format!("`{}`", plain(word))).collect::<Vec<_>>().join(", ");
    }
    if field.get("x-kubernetes-int-or-string").is_some() {
        return "quantity".to_owned();
    }
    match field.get("type").and_then(Value::as_str).unwrap_or_default() {
        "string" if field["format"] == "date-time" => "time".to_owned(),
        "string" => format!("string ({} characters)", range("minLength", "maxLength")),
        "integer" => {
            let most = number("maximum").unwrap_or(f64::MAX);
            // The bound of what a number of that size can hold says nothing to a reader.
            if most >= f64::from(i32::MAX) {
                return "integer".to_owned();
            }
            format!("integer, {} to {most}", number("minimum").unwrap_or_default())
        }
        "array" => {
            let bounds = range("minItems", "maxItems");
            if fields_of_element(field).is_some() {
                return format!("list of objects ({bounds})");
            }
            format!("list ({bounds}) of {}", type_of(element(field)))
        }
        "object" if fields(field).is_some() => "object".to_owned(),
        "object" => match field.get("additionalProperties") {
            Some(values) => format!("map ({} entries) to {}", range("minProperties", "maxProperties"), type_of(values)),
            None => format!("any fields ({})", range("minProperties", "maxProperties")),
        },
        other => other.to_owned(),
    }
}

fn default_of(schema: &Value, name: &str, field: &Value) -> String {
    let required =
        schema.get("required").and_then(Value::as_array).is_some_and(|names| names.iter().any(|n| n == name));
    match field.get("default") {
        // Those of the fields below say the same, one by one.
        Some(Value::Object(_)) => String::new(),
        Some(Value::Array(items)) => {
            items.iter().map(|item| format!("`{}`", plain(item))).collect::<Vec<_>>().join(", ")
        }
        Some(Value::String(text)) if text.is_empty() => "empty".to_owned(),
        Some(value) => format!("`{}`", plain(value)),
        None if required => "required".to_owned(),
        None => String::new(),
    }
}

/// A value as a manifest would have it: whole numbers without a fraction, texts without quotes.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.as_f64().map_or_else(|| number.to_string(), |number| number.to_string()),
        other => other.to_string(),
    }
}

/// The description's paragraphs; the words of an enumeration are one each.
fn paragraphs(schema: &Value) -> Vec<String> {
    let description = schema.get("description").and_then(Value::as_str).unwrap_or_default();
    let words: Vec<&str> =
        schema.get("enum").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    let paragraph = |line: &str| match line.split_once(": ") {
        Some((word, meaning)) if words.contains(&word) => format!("`{word}`: {}", escaped(meaning)),
        _ => escaped(line),
    };
    description.lines().map(paragraph).collect()
}

fn rules(schema: &Value) -> Vec<String> {
    let own = |schema: &Value, name: &str| -> Vec<String> {
        let rules = schema.get("x-kubernetes-validations").and_then(Value::as_array);
        let messages = rules.into_iter().flatten().filter_map(|rule| rule["message"].as_str());
        messages.map(|message| format!("{name}{}", escaped(message))).collect()
    };
    let mut all = own(schema, "");
    for (name, field) in fields(schema).into_iter().flatten() {
        // An object's own rules stand in its own section.
        if fields(field).is_none() {
            all.extend(own(field, &format!("`{name}`: ")));
        }
    }
    all
}

/// Text in which nothing is taken for Markdown or ends a table's cell. Addresses become code, so that they are no links.
fn escaped(text: &str) -> String {
    let word = |word: &str| {
        if word.starts_with("http://") || word.starts_with("https://") {
            let address = word.trim_end_matches(['.', ',', ';', ':']);
            return format!("`{address}`{}", &word[address.len()..]);
        }
        let mut safe = String::with_capacity(word.len());
        for letter in word.chars() {
            if matches!(letter, '\\' | '|' | '<' | '*' | '`') {
                safe.push('\\');
            }
            safe.push(letter);
        }
        safe
    };
    text.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_would_be_markdown_is_escaped() {
        assert_eq!(escaped(r"such as \+4930\d+ or a|b"), r"such as \\+4930\\d+ or a\|b");
        assert_eq!(escaped("as http://whisper:8000/v1. A key"), "as `http://whisper:8000/v1`. A key");
    }

    #[test]
    fn bounds_are_told_in_words() {
        for (schema, words) in [
            (json!({ "type": "integer", "minimum": 0, "maximum": 600 }), "integer, 0 to 600"),
            (json!({ "type": "integer", "minimum": 0, "maximum": 2_147_483_647 }), "integer"),
            (json!({ "type": "string", "maxLength": 32 }), "string (at most 32 characters)"),
            (json!({ "type": "string", "enum": ["A", "B"] }), "`A`, `B`"),
            (json!({ "type": "array", "maxItems": 8, "items": { "properties": {} } }), "list of objects (at most 8)"),
        ] {
            assert_eq!(type_of(&schema), words);
        }
    }
}
