//! The generated schema is one that an API server takes and that bounds everything.

mod common;

use common::{own_nodes, schema};
use kube::core::cel::{compile_schema, estimate_rule_cost};
use serde_json::Value;

#[test]
fn the_manifest_beside_the_types_is_not_stale() {
    let generated = sofia_crds::manifest::yaml().expect("the definition is YAML");
    let stored = include_str!("../voicetrunk.yaml");
    assert!(generated == stored, "voicetrunk.yaml is stale: run crdgen with its path");
}

#[test]
fn every_field_says_what_it_is_for() {
    for node in own_nodes() {
        let is_element = node.path.ends_with("[]") || node.path.ends_with("{}");
        let description = node.schema.get("description").and_then(Value::as_str).unwrap_or_default();
        assert!(is_element || description.len() > 10, "{} has no description", node.path);
        assert!(!description.contains('`') && !description.contains("[["), "{} has Markdown in it", node.path);
    }
}

#[test]
fn the_schema_is_structural_and_nothing_in_it_is_nullable() {
    for node in own_nodes() {
        let int_or_string = node.schema.get("x-kubernetes-int-or-string").is_some();
        let type_name = node.schema.get("type").and_then(Value::as_str);
        assert!(type_name.is_some() != int_or_string, "{} has the type {type_name:?}", node.path);
        for keyword in ["oneOf", "anyOf", "allOf", "not", "$ref", "const", "definitions"] {
            assert!(node.schema.get(keyword).is_none(), "{} has {keyword}", node.path);
        }
        // kube makes the whole status nullable, as an object without one has none.
        let nullable = node.schema.get("nullable").is_some();
        assert!(!nullable || node.path == "status", "{} is nullable", node.path);
        let formats = [None, Some("int32"), Some("int64"), Some("date-time")];
        assert!(formats.contains(&node.schema.get("format").and_then(Value::as_str)), "{} has a format", node.path);
    }
}

#[test]
fn everything_is_bounded_so_that_rules_cost_little() {
    for node in own_nodes() {
        let has = |keyword: &str| node.schema.get(keyword).is_some();
        let bounded = match node.schema.get("type").and_then(Value::as_str) {
            Some("string") => has("maxLength") || has("enum") || node.schema["format"] == "date-time",
            Some("array") => has("maxItems") && has("items"),
            Some("integer") => has("minimum") && has("maximum"),
            Some("object") => has("properties") != has("maxProperties"),
            None => has("maxLength"),
            Some(other) => panic!("{} is of the type {other}", node.path),
        };
        assert!(bounded, "{} has no bounds", node.path);
    }
}

#[test]
fn words_of_enumerations_are_in_pascal_case_and_there_are_no_booleans() {
    for node in own_nodes() {
        assert_ne!(node.schema.get("type"), Some(&Value::from("boolean")), "{}", node.path);
        for word in node.schema.get("enum").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
            let plain = word.starts_with(|first: char| first.is_ascii_uppercase())
                && word.chars().all(|letter| letter.is_ascii_alphanumeric());
            assert!(plain, "{} has the word {word}", node.path);
        }
    }
}

#[test]
fn rules_say_what_to_do_and_cost_little() {
    let mut nodes = own_nodes();
    nodes.push(common::Node { path: String::new(), schema: schema().clone() });
    let mut rules = 0;
    for node in nodes {
        for rule in node.schema.get("x-kubernetes-validations").and_then(Value::as_array).into_iter().flatten() {
            rules += 1;
            let message = rule["message"].as_str().unwrap_or_else(|| panic!("{rule} has no message"));
            assert!(!message.contains('\n') && message.len() > 15, "{message}");
            let expression = rule["rule"].as_str().expect("a rule");
            // The name's length is bounded by Kubernetes itself, not by this schema.
            if !node.path.is_empty() {
                let warnings = estimate_rule_cost(expression, &compile_schema(&node.schema));
                assert!(warnings.is_empty(), "{}: {warnings:?}", node.path);
            }
        }
    }
    assert!(rules > 20, "only {rules} rules were found");
}

#[test]
fn lists_whose_items_have_names_are_merged_by_name() {
    let schema = schema();
    for (pointer, key) in [
        ("/properties/spec/properties/freeSwitch/properties/gateways", "name"),
        ("/properties/spec/properties/freeSwitch/properties/imagePullSecrets", "name"),
        ("/properties/spec/properties/dataPlane/properties/imagePullSecrets", "name"),
        ("/properties/status/properties/conditions", "type"),
    ] {
        let list = schema.pointer(pointer).unwrap_or_else(|| panic!("there is no {pointer}"));
        assert_eq!(list["x-kubernetes-list-type"], "map", "{pointer}");
        assert_eq!(list["x-kubernetes-list-map-keys"], Value::from(vec![key]), "{pointer}");
        let required = list["items"]["required"].as_array().expect("required fields");
        assert!(required.contains(&key.into()), "{pointer}");
    }
}
