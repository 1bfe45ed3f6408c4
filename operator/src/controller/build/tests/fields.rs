//! No field of a VoiceTrunk is ignored: each one that is changed changes an object.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use sofia_crds::{VoiceTrunkSpec, validate::validate};

use super::{Fixture, Manifest, repository_file};
use crate::vocabulary::labels::LAST_SPEC;

/// Words that enumerations may have in place of the one that is there.
const WORDS: &[&str] = &[
    "Developer",
    "Marked",
    "Addresses",
    "Tcp",
    "Disabled",
    "Enabled",
    "Required",
    "Debug",
    "Full",
    "Wav",
    "Pcm",
    "Json",
    "Marks",
    "Aggressive",
    "Ignore",
    "Interrupt",
    "HangUp",
    "Included",
    "Manual",
    "ClusterIP",
    "L16",
    "PCMA",
    "NoSchedule",
    "Exists",
    "203.0.113.9",
    "192.0.2.0/25",
    "https://other.example.com/v1",
    "900m",
    "WhenIdle",
    "Accepted",
    "Refused",
    "Allocated",
    "Preferred",
    "SingleStack",
    "spare",
];

/// What nothing is built from, and who reads it instead.
const READ_ELSEWHERE: [&str; 7] = [
    // Whoever looks up the password, which changes an object when it is another one.
    "/freeSwitch/gateways/0/passwordSecretRef/name",
    "/freeSwitch/gateways/0/passwordSecretRef/key",
    // The decision about the number of pods.
    "/scaling/replicas",
    "/scaling/bufferSessions",
    // Only in the mode in which it is not read.
    "/scaling/mode",
    // The marks on FreeSWITCH's pods.
    "/freeSwitch/nodeRemoval",
    // The status.
    "/externalFreeSwitch/entryPointAddress",
];

/// Paths of all leaves of a value.
fn leaves(value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                leaves(value, &format!("{path}/{}", key.replace('~', "~0").replace('/', "~1")), found);
            }
        }
        Value::Array(list) => {
            for (index, value) in list.iter().enumerate() {
                leaves(value, &format!("{path}/{index}"), found);
            }
        }
        _ => found.push(path.to_owned()),
    }
}

/// Other values that may fit in place of one.
fn others(value: &Value) -> Vec<Value> {
    match value {
        Value::Number(number) => match number.as_i64() {
            Some(number) => vec![json!(number + 60), json!(number - 60), json!(8000)],
            None => vec![json!(0.5)],
        },
        Value::Bool(truth) => vec![json!(!truth)],
        Value::String(text) => WORDS.iter().copied().map(Value::from).chain([json!(format!("{text}0"))]).collect(),
        _ => Vec::new(),
    }
}

/// The objects without the annotation that holds the whole spec: it says of no field that anybody reads it.
fn without_spec(mut manifests: Vec<Manifest>) -> Vec<Manifest> {
    for manifest in &mut manifests {
        if let Some(annotations) = manifest.value["metadata"]["annotations"].as_object_mut() {
            annotations.remove(LAST_SPEC);
        }
    }
    manifests
}

/// Changes each leaf in every way that gives another spec which can be built; tells the leaves without an effect, and those for which no
/// other value was found.
fn unheard(spec: &Value) -> (BTreeSet<String>, BTreeSet<String>) {
    let before = Fixture::of(spec.clone());
    let built = without_spec(before.manifests());
    let password = before.referenced.gateway_passwords["carrier"].clone();
    let mut paths = Vec::new();
    leaves(spec, "", &mut paths);
    let (mut without_effect, mut untried) = (BTreeSet::new(), BTreeSet::new());
    for path in paths {
        let mut tried = false;
        for other in others(spec.pointer(&path).expect("the path of a leaf")) {
            let mut changed = spec.clone();
            *changed.pointer_mut(&path).expect("the path of a leaf") = other;
            let Ok(parsed) = serde_json::from_value::<VoiceTrunkSpec>(changed) else { continue };
            if parsed == before.trunk.spec || !validate(&parsed).is_empty() {
                continue;
            }
            let mut after = before.clone();
            let gateways = parsed.free_switch.iter().flat_map(|one| &one.gateways);
            after.referenced.gateway_passwords = gateways.map(|one| (one.name.clone(), password.clone())).collect();
            after.trunk.spec = parsed;
            if let Ok(objects) = after.build() {
                tried = true;
                if without_spec(objects.manifests()) == built {
                    without_effect.insert(path.clone());
                }
            }
        }
        if !tried {
            untried.insert(path);
        }
    }
    (without_effect, untried)
}

fn example(file: &str) -> Value {
    let trunk: Value = serde_saphyr::from_str(&repository_file(&format!("crds/examples/{file}"))).expect("YAML");
    trunk["spec"].clone()
}

/// Each field is heard in one of these specs, since some fit beside certain others only.
fn assert_heard(specs: &[Value]) {
    let (without_effect, untried): (Vec<_>, Vec<_>) = specs.iter().map(unheard).unzip();
    let silent: Vec<_> =
        without_effect.iter().flatten().filter(|path| !READ_ELSEWHERE.contains(&path.as_str())).collect();
    assert!(silent.is_empty(), "these fields change nothing: {silent:?}");
    let untried = untried.into_iter().reduce(|all, more| &all & &more).unwrap_or_default();
    assert!(untried.is_empty(), "no other value was found for {untried:?}: add one to WORDS");
}

#[test]
fn every_field_of_a_trunk_with_freeswitch_changes_an_object() {
    let mut spec = example("full.yaml");
    // The mode in which the bounds of scaling are in an object.
    spec["scaling"]["mode"] = json!("HorizontalPodAutoscaler");
    let mut for_good = spec.clone();
    for section in ["freeSwitch", "dataPlane"] {
        // Only with the effect that is there.
        for_good[section]["tolerations"][0].as_object_mut().expect("a toleration").remove("tolerationSeconds");
    }
    // A volume's name and its mount's are the same, so one can be another only where there is a second volume.
    let (mut two_volumes, mut mounted_other) = (spec.clone(), spec.clone());
    for section in ["freeSwitch", "dataPlane"] {
        for spec in [&mut two_volumes, &mut mounted_other] {
            let volumes = spec[section]["podTemplate"]["volumes"].as_array_mut().expect("volumes");
            volumes.push(json!({ "name": "spare", "emptyDir": {} }));
        }
        mounted_other[section]["podTemplate"]["volumeMounts"][0]["name"] = json!("spare");
    }
    assert_heard(&[spec, for_good, two_volumes, mounted_other]);
}

#[test]
fn every_field_of_a_trunk_with_an_external_freeswitch_changes_an_object() {
    let mut spec = example("external-freeswitch.yaml");
    spec["backends"]["mock"] = json!({
        "transcribeDelayMilliseconds": 1,
        "generateDelayMilliseconds": 2,
        "speakDelayMilliseconds": 3,
    });
    assert_heard(&[spec]);
}

#[test]
fn the_mode_of_scaling_decides_whether_there_is_an_autoscaler() {
    let count = |mode: &str| {
        let fixture = Fixture::of(json!({ "scaling": { "mode": mode } }));
        fixture.objects().horizontal_pod_autoscalers.len()
    };
    assert_eq!(["Operator", "HorizontalPodAutoscaler", "Manual"].map(count), [0, 1, 0]);
}
