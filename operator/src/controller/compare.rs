//! Whether an object in the cluster is as it was asked for: what was asked for must be there, what the API server or others added
//! doesn't matter. Pure; writes nothing.

use serde_json::Value;

use super::build::kind::Kind;

/// Whether everything in `desired` is in `live`. Amounts of CPU and memory count by value: `1000m` is `1`.
pub fn contains(kind: Kind, live: &Value, desired: &Value) -> bool {
    matches(kind, "", "", live, desired)
}

fn matches(kind: Kind, parent: &str, field: &str, live: &Value, desired: &Value) -> bool {
    match (live, desired) {
        (Value::Object(live), Value::Object(desired)) => desired.iter().all(|(name, desired)| match live.get(name) {
            Some(live) => matches(kind, field, name, live, desired),
            // The API server drops what says nothing.
            None => says_nothing(desired),
        }),
        (Value::Array(live), Value::Array(desired)) => {
            let found = |desired: &Value| live.iter().any(|live| matches(kind, parent, field, live, desired));
            if is_shared(kind, field) {
                desired.iter().all(found)
            } else {
                live.len() == desired.len()
                    && live.iter().zip(desired).all(|(live, desired)| matches(kind, parent, field, live, desired))
            }
        }
        (Value::String(live), Value::String(desired)) => {
            live == desired || (is_amount(parent, field) && same_amount(live, desired))
        }
        (Value::Number(live), Value::Number(desired)) => live == desired || live.as_f64() == desired.as_f64(),
        _ => live == desired,
    }
}

fn says_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(fields) => fields.values().all(says_nothing),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

/// Whether a list is one to which others may add entries of their own: those that the API merges by a key. In a NetworkPolicy every list
/// is taken as a whole: what is added there lets somebody in.
fn is_shared(kind: Kind, field: &str) -> bool {
    const SHARED: [&str; 12] = [
        "containers",
        "env",
        "finalizers",
        "hostAliases",
        "imagePullSecrets",
        "initContainers",
        "ownerReferences",
        "ports",
        "secrets",
        "topologySpreadConstraints",
        "volumeMounts",
        "volumes",
    ];
    kind != Kind::NetworkPolicy && SHARED.contains(&field)
}

fn is_amount(parent: &str, field: &str) -> bool {
    matches!(parent, "limits" | "requests") || matches!(field, "averageValue" | "divisor" | "sizeLimit")
}

fn same_amount(one: &str, other: &str) -> bool {
    matches!((amount(one), amount(other)), (Some(one), Some(other)) if one == other)
}

/// A quantity as Kubernetes writes it (`250m`, `1Gi`, `2e3`), in billionths; nothing when it isn't one or exceeds what fits.
fn amount(text: &str) -> Option<i128> {
    const BILLIONTHS: i128 = 1_000_000_000;
    let digits = text.find(|c: char| !c.is_ascii_digit() && !matches!(c, '.' | '+' | '-')).unwrap_or(text.len());
    let (number, suffix) = text.split_at(digits);
    let (numerator, denominator) = match suffix {
        "" => (1, 1),
        "n" => (1, BILLIONTHS),
        "u" => (1, 1_000_000),
        "m" => (1, 1_000),
        "k" => (1_000, 1),
        "M" => (1_000_000, 1),
        "G" => (BILLIONTHS, 1),
        "T" => (1_000_000_000_000, 1),
        "P" => (1_000_000_000_000_000, 1),
        "E" => (1_000_000_000_000_000_000, 1),
        "Ki" => (1 << 10, 1),
        "Mi" => (1 << 20, 1),
        "Gi" => (1 << 30, 1),
        "Ti" => (1 << 40, 1),
        "Pi" => (1 << 50, 1),
        "Ei" => (1 << 60, 1),
        exponent => {
            let exponent: i32 = exponent.strip_prefix(['e', 'E'])?.parse().ok()?;
            let power = 10_i128.checked_pow(exponent.unsigned_abs())?;
            if exponent < 0 { (1, power) } else { (power, 1) }
        }
    };
    let (negative, number) = match number.strip_prefix('-') {
        Some(number) => (true, number),
        None => (false, number.strip_prefix('+').unwrap_or(number)),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if !whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let scale = 10_i128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let value: i128 = format!("{whole}{fraction}").parse().ok()?;
    let billionths = value.checked_mul(numerator)?.checked_mul(BILLIONTHS)? / denominator / scale;
    Some(if negative { -billionths } else { billionths })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn defaults_of_the_api_server_and_fields_of_others_do_not_matter() {
        let desired = json!({ "spec": { "containers": [{ "name": "a", "env": [] }], "labels": { "x": "1" } } });
        let live = json!({ "spec": {
            "containers": [{ "name": "a", "imagePullPolicy": "Always" }, { "name": "sidecar" }],
            "labels": { "x": "1", "theirs": "2" }, "restartPolicy": "Always",
        } });
        assert!(contains(Kind::Deployment, &live, &desired));
    }

    #[test]
    fn a_changed_or_missing_field_is_seen() {
        let desired = json!({ "spec": { "replicas": 2, "template": { "image": "x" } } });
        assert!(!contains(
            Kind::Deployment,
            &json!({ "spec": { "replicas": 3, "template": { "image": "x" } } }),
            &desired
        ));
        assert!(!contains(Kind::Deployment, &json!({ "spec": { "replicas": 2, "template": {} } }), &desired));
    }

    #[test]
    fn the_order_of_arguments_counts() {
        let desired = json!({ "args": ["-a", "-b"] });
        assert!(!contains(Kind::Deployment, &json!({ "args": ["-b", "-a"] }), &desired));
        assert!(!contains(Kind::Deployment, &json!({ "args": ["-a", "-b", "-c"] }), &desired));
    }

    #[test]
    fn an_entry_that_somebody_added_to_a_network_policy_is_seen() {
        let desired = json!({ "ingress": [{ "ports": [{ "port": 1 }] }] });
        let live = json!({ "ingress": [{ "ports": [{ "port": 1 }, { "port": 2 }] }] });
        assert!(!contains(Kind::NetworkPolicy, &live, &desired));
        assert!(contains(
            Kind::Service,
            &json!({ "ports": [{ "port": 1 }, { "port": 2 }] }),
            &json!({ "ports": [{ "port": 1 }] })
        ));
    }

    #[test]
    fn amounts_count_by_value_where_amounts_are_meant() {
        let amounts = |cpu: &str| json!({ "resources": { "requests": { "cpu": cpu } } });
        assert!(contains(Kind::Deployment, &amounts("1"), &amounts("1000m")));
        assert!(!contains(Kind::Deployment, &amounts("1"), &amounts("1100m")));
        assert!(!contains(Kind::Deployment, &json!({ "value": "1" }), &json!({ "value": "1000m" })));
    }

    #[test]
    fn quantities_are_read_as_kubernetes_writes_them() {
        let same =
            [("1Gi", "1024Mi"), ("0.5", "500m"), ("2e3", "2k"), ("1.5Gi", "1536Mi"), ("1E", "1000P"), ("5e-1", "500m")];
        for (one, other) in same {
            assert!(same_amount(one, other), "{one} {other}");
        }
        for wrong in ["", "Gi", "1X", "--1", "1.2.3", "1e99", "e", "é"] {
            assert_eq!(amount(wrong), None, "{wrong}");
        }
    }
}
