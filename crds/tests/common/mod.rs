//! A stand-in for the API server's admission of a VoiceTrunk: defaults, the schema's bounds, CEL rules.
#![allow(dead_code, reason = "each test uses its part")]

pub mod cases;

use std::sync::LazyLock;

use kube::{
    CustomResourceExt as _,
    core::cel::{RootContext, Validator, apply_defaults},
};
use regex::Regex;
use serde_json::Value;
use sofia_crds::VoiceTrunk;

/// The schema of the root object.
pub fn schema() -> &'static Value {
    static SCHEMA: LazyLock<Value> = LazyLock::new(generate);
    &SCHEMA
}

fn generate() -> Value {
    let definition = serde_json::to_value(VoiceTrunk::crd()).expect("a definition is JSON");
    definition.pointer("/spec/versions/0/schema/openAPIV3Schema").expect("the schema of the only version").clone()
}

/// A VoiceTrunk as it is stored: with the defaults in it.
pub fn stored(object: &Value) -> Value {
    // A default may itself hold objects with defaults; the API server fills those too.
    let schema = schema();
    let once = apply_defaults(schema, object);
    apply_defaults(schema, &once)
}

/// What the API server would refuse in the object (an update if there is an old one): pairs of path and message.
pub fn refusals(object: &Value, old: Option<&Value>) -> Vec<(String, String)> {
    let schema = schema();
    let (object, old) = (stored(object), old.map(stored));
    let mut refusals = Vec::new();
    check(schema, &object, "", &mut refusals);
    let root = RootContext {
        api_version: "v1alpha1".to_owned(),
        api_group: "sofia-phone.io".to_owned(),
        kind: "VoiceTrunk".to_owned(),
    };
    if let Err(errors) = Validator::new().validate_with_context(schema, &object, old.as_ref(), Some(&root)) {
        refusals.extend(errors.into_vec().into_iter().map(|error| (error.field_path, error.message)));
    }
    refusals
}

/// The bounds of the schema that a structural one may have.
fn check(schema: &Value, value: &Value, path: &str, refusals: &mut Vec<(String, String)>) {
    let mut refuse = |message: String| refusals.push((path.to_owned(), message));
    let bound = |name: &str| schema.get(name).and_then(Value::as_f64);
    if let Some(words) = schema.get("enum").and_then(Value::as_array)
        && !words.contains(value)
    {
        refuse(format!("{value} is none of {words:?}"));
    }
    match value {
        Value::Null => refuse("null".to_owned()),
        Value::Bool(_) => refuse("a truth value, of which there are none".to_owned()),
        Value::Number(number) => {
            let number = number.as_f64().expect("a number");
            let fits = bound("minimum").is_none_or(|least| number >= least)
                && bound("maximum").is_none_or(|most| number <= most)
                && bound("multipleOf").is_none_or(|unit| number % unit == 0.0);
            if !fits {
                refuse(format!("{number} is out of bounds"));
            }
        }
        Value::String(text) => {
            let length = text.chars().count() as f64;
            let fits = bound("minLength").is_none_or(|least| length >= least)
                && bound("maxLength").is_none_or(|most| length <= most);
            if !fits {
                refuse(format!("{text:?} is too short or too long"));
            }
            if let Some(pattern) = schema.get("pattern").and_then(Value::as_str)
                && !Regex::new(pattern).expect("a pattern").is_match(text)
            {
                refuse(format!("{text:?} does not match {pattern}"));
            }
        }
        Value::Array(items) => {
            let length = items.len() as f64;
            if bound("minItems").is_some_and(|least| length < least)
                || bound("maxItems").is_some_and(|most| length > most)
            {
                refuse("too few or too many items".to_owned());
            }
            for (index, item) in items.iter().enumerate() {
                check(&schema["items"], item, &format!("{path}[{index}]"), refusals);
            }
        }
        Value::Object(fields) => {
            for name in schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
            {
                if !fields.contains_key(name) {
                    refuse(format!("{name} is required"));
                }
            }
            for (name, field) in fields {
                let known =
                    schema.pointer(&format!("/properties/{name}")).or_else(|| schema.get("additionalProperties"));
                if let Some(known) = known {
                    check(known, field, &format!("{path}.{name}"), refusals);
                }
            }
        }
    }
}

/// A node of the schema and the path that leads to it.
pub struct Node {
    /// Path such as `spec.freeSwitch.gateways[]`.
    pub path: String,
    /// The schema there.
    pub schema: Value,
}

/// Every node below (and including) the one given, depth first.
pub fn nodes(path: &str, schema: &Value) -> Vec<Node> {
    let mut all = vec![Node { path: path.to_owned(), schema: schema.clone() }];
    for (name, field) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        all.extend(nodes(&format!("{path}.{name}"), field));
    }
    if let Some(items) = schema.get("items") {
        all.extend(nodes(&format!("{path}[]"), items));
    }
    if let Some(values) = schema.get("additionalProperties") {
        all.extend(nodes(&format!("{path}{{}}"), values));
    }
    all
}

/// The nodes of `spec` and `status`.
pub fn own_nodes() -> Vec<Node> {
    let schema = schema();
    let part = |name: &str| nodes(name, &schema["properties"][name]);
    part("spec").into_iter().chain(part("status")).collect()
}

/// Whether everything in the first value is in the second, which may have more: a misspelt field would be dropped.
pub fn assert_kept(given: &Value, kept: &Value, path: &str) {
    match given {
        Value::Object(fields) => {
            for (name, field) in fields {
                assert_kept(field, kept.get(name).unwrap_or(&Value::Null), &format!("{path}.{name}"));
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                assert_kept(item, kept.get(index).unwrap_or(&Value::Null), &format!("{path}[{index}]"));
            }
        }
        _ => assert_eq!(given, kept, "{path}"),
    }
}
