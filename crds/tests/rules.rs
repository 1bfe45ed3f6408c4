//! Every CEL rule takes what it should and refuses what it should, and none is without such a case.

mod common;

use std::collections::BTreeSet;

use common::{
    cases::{cases, trunk},
    refusals,
};
use serde_json::{Value, json};
use sofia_crds::validate::pattern::stands_alone;

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

#[test]
fn a_number_that_means_something_else_to_freeswitch_is_refused_at_once() {
    let refused = |number: &str| !refusals(&trunk(json!({ "numbers": [number] })), None).is_empty();
    let taken = ["15550100", r"\+4930\d+", r"\d{3}", "(1|2)3", "[0-9*#]{2,5}", r"\*99\#", "(?i)sales", "x(y(z))"];
    for number in taken.into_iter().chain([r"[\]\-]1", "a.b", "1|2", "((?i)a)", "(([1-9])2)"]) {
        assert!(stands_alone(number) && !refused(number), "{number}");
    }
    let open = ["", "(a", "a)", "[a", "a]", r"a\", r"a\\", "[[a]", "[]a]", "[1[2]"];
    let other =
        ["(?R)", "(?x)1#", "(?P", "(?:1)", "((?:1))", "(*ACCEPT)", r"\Qa", r"\K1", r"(1)\1", r"\x31", r"\A1", r"\pN"];
    let foreign = ["$", "^1", "${x}", "a b", "1\n", "é", "a'b", "<", "&", "\""];
    for number in open.into_iter().chain(other).chain(foreign) {
        assert!(!stands_alone(number) || number.contains(['(', ')']), "{number}");
        assert!(refused(number), "{number}");
    }
}
