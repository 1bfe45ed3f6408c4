//! Every CEL rule takes what it should and refuses what it should, and none is without such a case.

mod common;

use std::collections::BTreeSet;

use common::{cases::cases, refusals};
use serde_json::Value;

#[test]
fn rules_take_what_they_should() {
    for case in cases() {
        for object in &case.takes {
            assert_eq!(refusals(object, case.old.as_ref()), [], "{}: {object}", case.message);
        }
    }
}

#[test]
fn rules_refuse_what_they_should_and_say_what_to_do() {
    for case in cases() {
        for object in &case.refuses {
            let found = refusals(object, case.old.as_ref());
            let path = case.path.replace("[]", "[0]");
            let only = |(at, message): &(String, String)| *at == path && message.starts_with(case.message);
            assert!(!found.is_empty() && found.iter().all(only), "{}: {object}: {found:?}", case.message);
        }
    }
}

#[test]
fn no_rule_is_without_a_case() {
    let cases = cases();
    let root = common::Node { path: String::new(), schema: common::schema().clone() };
    let mut untested = BTreeSet::new();
    for node in common::own_nodes().into_iter().chain([root]) {
        for rule in node.schema.get("x-kubernetes-validations").and_then(Value::as_array).into_iter().flatten() {
            let message = rule["message"].as_str().expect("a message");
            if !cases.iter().any(|case| case.path == node.path && message.starts_with(case.message)) {
                untested.insert(format!("{}: {message}", node.path));
            }
        }
    }
    assert!(untested.is_empty(), "{untested:#?}");
}
