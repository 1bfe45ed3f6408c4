//! How an API server brings a patch into an object: JSON merge patch (RFC 7396) and server-side apply.

use serde_json::{Map, Value};

/// Brings a merge patch in.
pub fn merge(live: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *live = patch.clone();
        return;
    };
    if !live.is_object() {
        *live = Value::Object(Map::new());
    }
    let live = live.as_object_mut().expect("just made one");
    for (field, value) in patch {
        if value.is_null() {
            live.remove(field);
        } else {
            merge(live.entry(field.clone()).or_insert(Value::Null), value);
        }
    }
}

/// Brings an applied configuration in: what its manager applied `before` and does not any more goes, what others set stays.
pub fn apply(live: &mut Value, before: Option<&Value>, desired: &Value, field: &str) {
    match (live, desired) {
        (Value::Object(live), Value::Object(desired)) => {
            for (name, before) in before.and_then(Value::as_object).into_iter().flatten() {
                if !desired.contains_key(name) && live.get_mut(name).is_some_and(|live| take_away(live, before)) {
                    live.remove(name);
                }
            }
            for (name, desired) in desired {
                let earlier = before.and_then(|before| before.get(name));
                match live.get_mut(name) {
                    Some(live) => apply(live, earlier, desired, name),
                    None => {
                        live.insert(name.clone(), desired.clone());
                    }
                }
            }
        }
        (Value::Array(live), Value::Array(desired)) if key(field).is_some() => {
            let find = |items: &[Value], wanted: &Value| items.iter().position(|item| same(field, item, wanted));
            let earlier = before.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            live.retain(|item| find(earlier, item).is_none() || find(desired, item).is_some());
            for item in desired {
                match find(live, item) {
                    Some(index) => {
                        let earlier = find(earlier, item).map(|index| &earlier[index]);
                        apply(&mut live[index], earlier, item, "");
                    }
                    None => live.push(item.clone()),
                }
            }
        }
        (live, desired) => *live = desired.clone(),
    }
}

/// Takes what was applied out of an object; whether nothing is left of it.
fn take_away(live: &mut Value, before: &Value) -> bool {
    let (Value::Object(live), Value::Object(before)) = (live, before) else { return true };
    for (name, before) in before {
        if live.get_mut(name).is_some_and(|live| take_away(live, before)) {
            live.remove(name);
        }
    }
    live.is_empty()
}

/// By what the entries of a list are told apart; nothing for lists that are taken as a whole.
fn key(field: &str) -> Option<&'static [&'static str]> {
    match field {
        "containers" | "initContainers" | "env" | "volumes" | "imagePullSecrets" => Some(&["name"]),
        "ports" => Some(&["containerPort", "port", "protocol"]),
        "volumeMounts" => Some(&["mountPath"]),
        "ownerReferences" => Some(&["uid"]),
        "conditions" => Some(&["type"]),
        _ => None,
    }
}

fn same(field: &str, one: &Value, other: &Value) -> bool {
    key(field).is_some_and(|key| key.iter().all(|part| one.get(*part) == other.get(*part)))
}
