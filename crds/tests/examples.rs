//! The examples are admitted as they are, and what a manifest leaves out is filled in alike by the API server and by the
//! types.

mod common;

use common::{assert_kept, cases::trunk, refusals, stored};
use kube::CustomResourceExt as _;
use serde_json::{Value, json};
use sofia_crds::{
    VoiceTrunk, VoiceTrunkSpec,
    spec::{BackendKind, Codec, NetworkType, ScalingMode, Switch},
    validate::validate,
};

const MINIMAL: &str = include_str!("../examples/minimal.yaml");
const OPEN_AI: &str = include_str!("../examples/openai.yaml");
const FULL: &str = include_str!("../examples/full.yaml");
const EXTERNAL: &str = include_str!("../examples/external-freeswitch.yaml");

fn parse(yaml: &str) -> (Value, VoiceTrunk) {
    let value: Value = serde_saphyr::from_str(yaml).expect("YAML");
    let typed = serde_json::from_value(value.clone()).expect("a VoiceTrunk");
    (value, typed)
}

#[test]
fn the_examples_are_admitted_and_valid() {
    for yaml in [MINIMAL, OPEN_AI, FULL, EXTERNAL] {
        let (value, typed) = parse(yaml);
        assert_eq!(refusals(&value, None), [], "{yaml}");
        assert_eq!(validate(&typed.spec), [], "{yaml}");
    }
}

#[test]
fn nothing_in_the_examples_is_unknown() {
    for yaml in [MINIMAL, OPEN_AI, FULL, EXTERNAL] {
        let (value, typed) = parse(yaml);
        let kept = serde_json::to_value(&typed.spec).expect("a spec is JSON");
        assert_kept(&value["spec"], &kept, "spec");
    }
}

#[test]
fn the_full_example_has_every_field_of_a_trunk_that_runs_freeswitch() {
    let (value, _) = parse(FULL);
    for node in common::own_nodes() {
        let path = node.path.trim_end_matches("{}");
        let elsewhere = ["spec.externalFreeSwitch", "spec.backends.mock", "status"];
        if elsewhere.iter().any(|prefix| path.starts_with(prefix)) {
            continue;
        }
        let pointer = format!("/{}", path.replace("[]", "/0").replace('.', "/"));
        assert!(value.pointer(&pointer).is_some(), "the example has no {path}");
    }
}

#[test]
fn the_api_server_and_the_types_fill_in_the_same_defaults() {
    for spec in [
        json!({}),
        json!({ "freeSwitch": {}, "backends": { "mock": {} } }),
        json!({ "freeSwitch": { "network": { "type": "HostNetwork" }, "gateways": [{ "name": "a", "proxy": "b" }] } }),
        json!({ "externalFreeSwitch": { "allowedPeers": ["10.0.0.0/8"] }, "scaling": { "maxReplicas": 50 } }),
        json!({ "records": { "url": "http://records/calls" }, "conversation": { "silence": { "mode": "Ignore" } } }),
        parse(OPEN_AI).0["spec"].clone(),
    ] {
        let by_schema = stored(&trunk(spec.clone()))["spec"].clone();
        let typed: VoiceTrunkSpec = serde_json::from_value(spec).expect("a spec");
        let by_types = serde_json::to_value(typed).expect("a spec is JSON");
        assert_eq!(by_schema, by_types);
    }
}

#[test]
fn an_empty_spec_runs_freeswitch_and_a_mock_backend() {
    let spec: VoiceTrunkSpec = serde_json::from_value(json!({})).expect("a spec");
    assert_eq!(spec, VoiceTrunkSpec::default());
    let Switch::Managed(freeswitch) = spec.switch() else { panic!("expected a FreeSWITCH that is run here") };
    assert_eq!((freeswitch.replicas, freeswitch.sip_port), (1, 5060));
    assert_eq!(freeswitch.network.r#type, NetworkType::ClusterIP);
    assert!(matches!(spec.backends().kind(), Some(BackendKind::Mock(_))));
    assert_eq!(spec.data_plane.codecs, [Codec::L16, Codec::G722, Codec::Pcmu, Codec::Pcma]);
    assert_eq!(spec.scaling.mode, ScalingMode::Operator);
    assert_eq!((spec.scaling.replicas, spec.scaling.min_replicas, spec.scaling.max_replicas), (2, 2, 10));
    assert_eq!((spec.sessions.max_per_pod, spec.target_sessions_per_pod()), (100, 70));
    assert_eq!((spec.drain.deadline_seconds, spec.drain.grace_period_seconds()), (540, 600));
    assert_eq!(spec.drain.max_evicted_percent, 25);
    assert_eq!((spec.calls_lost_at_once(freeswitch), spec.sessions_per_second(freeswitch)), (500, 2000));
}

#[test]
fn a_spec_that_was_kept_with_the_names_of_before_is_still_read() {
    let before = json!({
        "externalFreeSwitch": { "peers": ["192.0.2.0/24"] },
        "backends": { "openAi": parse(OPEN_AI).0["spec"]["backends"]["openAI"] },
    });
    let spec: VoiceTrunkSpec = serde_json::from_value(before).expect("a spec");
    let Switch::External(external) = spec.switch() else { panic!("expected a FreeSWITCH that runs elsewhere") };
    assert_eq!(external.allowed_peers, ["192.0.2.0/24"]);
    assert!(matches!(spec.backends().kind(), Some(BackendKind::OpenAi(_))));
    let written = serde_json::to_value(&spec).expect("a spec is JSON");
    assert!(written["externalFreeSwitch"]["allowedPeers"].is_array() && written["backends"]["openAI"].is_object());
}

#[test]
fn kubectl_get_all_shows_trunks() {
    let names = VoiceTrunk::crd().spec.names;
    assert_eq!(names.categories, Some(vec!["sofia-phone".to_owned(), "all".to_owned()]));
}

#[test]
fn freeswitch_begins_as_many_sessions_as_the_loss_of_half_the_pods_takes() {
    let rate = |spec: serde_json::Value| {
        let spec: VoiceTrunkSpec = serde_json::from_value(spec).expect("a spec");
        let Switch::Managed(freeswitch) = spec.switch() else { panic!("expected a FreeSWITCH that is run here") };
        spec.sessions_per_second(freeswitch)
    };
    let pods =
        |most: u32, calls: u32| json!({ "scaling": { "maxReplicas": most }, "sessions": { "maxPerPod": calls } });
    assert_eq!([rate(pods(2, 100)), rate(pods(3, 100)), rate(pods(12, 100))], [1000, 1000, 2000]);
    assert_eq!(rate(pods(20, 250)), 8000, "5,000 sessions and some");
    // A FreeSWITCH has no more calls than its ports allow.
    assert_eq!(rate(pods(1000, 10_000)), 8000);
    assert_eq!(rate(json!({ "freeSwitch": { "sessionsPerSecond": 45 } })), 45);
}

#[test]
fn what_is_out_of_bounds_is_refused() {
    for (spec, path) in [
        (json!({ "sessions": { "maxPerPod": 0 } }), ".spec.sessions.maxPerPod"),
        (json!({ "sessions": { "maxDurationSeconds": 59 } }), ".spec.sessions.maxDurationSeconds"),
        (json!({ "scaling": { "mode": "Automatic" } }), ".spec.scaling.mode"),
        (json!({ "dataPlane": { "codecs": ["OPUS"] } }), ".spec.dataPlane.codecs[0]"),
        (json!({ "dataPlane": { "codecs": [] } }), ".spec.dataPlane.codecs"),
        (json!({ "conversation": { "language": "english!" } }), ".spec.conversation.language"),
        (
            json!({ "freeSwitch": { "resources": { "limits": { "memory": "a lot" } } } }),
            ".spec.freeSwitch.resources.limits.memory",
        ),
        (json!({ "records": { "url": "https://user:secret@records" } }), ".spec.records.url"),
        (json!({ "numbers": ["\"><action/>"] }), ".spec.numbers[0]"),
    ] {
        let found = refusals(&trunk(spec), None);
        assert!(found.iter().any(|(at, _)| at == path), "{path}: {found:?}");
    }
}
