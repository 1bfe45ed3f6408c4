//! From the schemas that `schemars` derives to what Kubernetes takes and people read. Never adds a constraint of its own.
//!
//! `schemars` speaks JSON Schema 2020-12; an API server wants a structural OpenAPI v3 schema. kube rewrites most of it; this
//! does the rest: no field is nullable (the API server then drops a `null` and applies the default, as for any built-in
//! kind), integer formats are the ones that it knows, and descriptions are running text that keeps the meaning of each
//! word of an enumeration.

use schemars::{Schema, transform::transform_subschemas};
use serde_json::{Map, Value};

/// Rewrites a schema and everything below it. To be applied once, at the top of `spec` and of `status`.
pub(crate) fn structural(schema: &mut Schema) {
    transform_subschemas(&mut structural, schema);
    let Some(object) = schema.as_object_mut() else { return };
    drop_null(object);
    join_lines(object);
    flatten_enumeration(object);
    rename_integer_format(object);
}

/// `Option<T>` comes as `type: [T, null]`, `enum: […, null]` or `anyOf: [T, null]`; `T` alone is meant.
fn drop_null(object: &mut Map<String, Value>) {
    object.remove("nullable");
    if let Some(Value::Array(words)) = object.get_mut("enum") {
        words.retain(|word| !word.is_null());
    }
    if let Some(Value::Array(types)) = object.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            object.insert("type".to_owned(), only);
        }
    }
    let is_null =
        |schema: &Value| schema.get("type").is_some_and(|name| name == "null") || schema.get("nullable").is_some();
    let inner = match object.get("anyOf").and_then(Value::as_array).map(Vec::as_slice) {
        Some([Value::Object(inner), null]) if is_null(null) => inner.clone(),
        _ => return,
    };
    object.remove("anyOf");
    for (key, value) in inner {
        // The field's own description says more than its type's.
        object.entry(key).or_insert(value);
    }
}

/// Line ends inside a paragraph are the source file's, not the reader's.
fn join_lines(object: &mut Map<String, Value>) {
    if let Some(Value::String(text)) = object.get_mut("description") {
        let paragraphs: Vec<String> = text
            .split("\n\n")
            .map(|paragraph| paragraph.split_whitespace().collect::<Vec<_>>().join(" "))
            .filter(|paragraph| !paragraph.is_empty())
            .collect();
        *text = paragraphs.join("\n");
    }
}

/// An enumeration whose words are documented comes as `oneOf` of single words. `enum` is all that a structural schema has,
/// so the words' meanings move to the description.
fn flatten_enumeration(object: &mut Map<String, Value>) {
    let Some(variants) = object.get("oneOf").and_then(Value::as_array) else { return };
    let mut words = Vec::new();
    let mut meanings = Vec::new();
    for variant in variants {
        let Some(word) = variant.get("const").and_then(Value::as_str) else { return };
        if let Some(meaning) = variant.get("description").and_then(Value::as_str) {
            meanings.push(format!("{word}: {meaning}"));
        }
        words.push(Value::from(word));
    }
    object.remove("oneOf");
    object.insert("type".to_owned(), "string".into());
    object.insert("enum".to_owned(), words.into());
    let description = object.get("description").and_then(Value::as_str).unwrap_or_default();
    let text = format!("{description}\n{}", meanings.join("\n"));
    object.insert("description".to_owned(), text.trim().into());
}

/// OpenAPI has no unsigned formats; what an unsigned number can't be is said by `minimum`.
fn rename_integer_format(object: &mut Map<String, Value>) {
    if let Some(Value::String(format)) = object.get_mut("format") {
        match format.as_str() {
            "uint8" | "uint16" | "uint32" => "int32".clone_into(format),
            "uint64" => "int64".clone_into(format),
            _ => {}
        }
    }
}
