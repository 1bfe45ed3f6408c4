//! From small manifests: what the operator reads of a pod, a Deployment, a node.

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::*;

const NOW: &str = "2026-11-22T15:10:00Z";

fn object<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("a valid object")
}

/// A pod that runs and is ready, with changes in the manner of a merge patch.
fn pod(changes: Value) -> Pod {
    let mut pod = json!({
        "metadata": {
            "name": "main-dataplane-1",
            "creationTimestamp": "2026-11-22T15:00:00Z",
            "annotations": { "sofia-phone.io/configuration-hash": "new" },
            "labels": {},
        },
        "spec": { "nodeName": "node-1", "containers": [{ "name": "injected" }, { "name": "dataplane" }] },
        "status": {
            "phase": "Running",
            "podIP": "10.0.0.7",
            "conditions": [{ "type": "PodScheduled", "status": "True" }, { "type": "Ready", "status": "True" }],
            "containerStatuses": [{
                "name": "dataplane", "image": "", "imageID": "", "ready": true, "restartCount": 0,
                "state": { "running": { "startedAt": "2026-11-22T15:00:09Z" } },
            }],
        },
    });
    merge(&mut pod, changes);
    object(pod)
}

fn merge(value: &mut Value, changes: Value) {
    match (value, changes) {
        (Value::Object(value), Value::Object(changes)) => {
            for (key, change) in changes {
                merge(value.entry(key).or_insert(Value::Null), change);
            }
        }
        (value, change) => *value = change,
    }
}

fn deployment(changes: Value) -> Deployment {
    let mut deployment = json!({
        "metadata": { "generation": 7 },
        "spec": {
            "replicas": 4,
            "selector": {},
            "template": { "metadata": { "annotations": { "sofia-phone.io/configuration-hash": "new" } } },
        },
        "status": { "observedGeneration": 7, "replicas": 4, "updatedReplicas": 4, "availableReplicas": 1 },
    });
    merge(&mut deployment, changes);
    object(deployment)
}

fn observe(spec: Value, deployment: Option<&Deployment>, pods: &[Pod]) -> FleetView {
    let observed = Observed {
        now: NOW.parse().expect("a time"),
        spec: &object(spec),
        deployment,
        leaving_nodes: &BTreeSet::from(["node-2".to_owned()]),
        figures: &BTreeMap::from([("main-dataplane-1".to_owned(), FIGURES)]),
    };
    observed.fleet(pods)
}

const FIGURES: PodFigures = PodFigures { active: 3, capacity: 100, accepting: true, draining: false };

fn seen(changes: Value) -> PodView {
    let view = observe(json!({}), Some(&deployment(json!({}))), &[pod(changes)]);
    view.pods.into_iter().next().expect("the pod is there")
}

#[test]
fn a_ready_pod_is_seen_as_it_is() {
    let expected = PodView {
        name: "main-dataplane-1".to_owned(),
        created: "2026-11-22T15:00:00Z".parse().expect("a time"),
        started: Some("2026-11-22T15:00:09Z".parse().expect("a time")),
        running: true,
        standing: Standing::Ready,
        terminating: false,
        node_leaving: false,
        current_revision: true,
        draining_since: None,
        marked: false,
        figures: Some(FIGURES),
    };
    assert_eq!(seen(json!({})), expected);
}

#[test]
fn a_pod_stands_where_the_replica_set_ranks_it() {
    let not_ready = json!([{ "type": "Ready", "status": "False" }]);
    for (changes, standing) in [
        (json!({ "spec": { "nodeName": null }, "status": { "phase": "Pending" } }), Standing::Unscheduled),
        (json!({ "status": { "phase": "Pending" } }), Standing::Pending),
        (json!({ "status": null }), Standing::Pending),
        (json!({ "status": { "phase": "Unknown" } }), Standing::Unknown),
        (json!({ "status": { "conditions": not_ready } }), Standing::NotReady),
        (json!({ "status": { "conditions": null } }), Standing::NotReady),
    ] {
        assert_eq!(seen(changes.clone()).standing, standing, "{changes}");
    }
}

#[test]
fn a_pod_runs_when_the_data_planes_own_container_does() {
    let waiting = |name: &str| {
        let state = json!({ "waiting": { "reason": "CrashLoopBackOff" } });
        json!([{ "name": name, "image": "", "imageID": "", "ready": false, "restartCount": 3, "state": state }])
    };
    for name in ["dataplane", "injected"] {
        let view = seen(json!({ "status": { "containerStatuses": waiting(name) } }));
        assert!(!view.running && view.started.is_none(), "{name}");
    }
}

#[test]
fn the_marks_of_a_drain_are_read() {
    let since = |text: &str| {
        seen(json!({ "metadata": { "annotations": { "sofia-phone.io/draining-since": text } } })).draining_since
    };
    assert_eq!(since("2026-11-22T15:05:00Z"), Some("2026-11-22T15:05:00Z".parse().expect("a time")));
    assert_eq!(
        since("yesterday"),
        Some(NOW.parse().expect("a time")),
        "somebody's odd text is a drain that begins now"
    );
    let marked = |label: &str, cost: &str| {
        let annotations = json!({ "controller.kubernetes.io/pod-deletion-cost": cost });
        let labels = json!({ "sofia-phone.io/drained": label });
        seen(json!({ "metadata": { "annotations": annotations, "labels": labels } })).marked
    };
    assert!(marked("true", "-1000"));
    assert!(!marked("true", "") && !marked("true", "5") && !marked("false", "-1000"), "both parts must be there");
}

#[test]
fn a_pod_of_another_configuration_is_of_an_older_revision() {
    let other = json!({ "metadata": { "annotations": { "sofia-phone.io/configuration-hash": "old" } } });
    assert!(!seen(other).current_revision);
    let restarted = json!({ "spec": { "template": { "metadata": { "annotations": {
        "kubectl.kubernetes.io/restartedAt": "2026-11-22T15:30:00Z" } } } } });
    let view = observe(json!({}), Some(&deployment(restarted)), &[pod(json!({}))]);
    assert!(!view.pods[0].current_revision, "made before somebody had the pods restarted");
    assert!(seen(json!({ "spec": { "nodeName": "node-2" } })).node_leaving);
}

#[test]
fn pods_that_have_ended_are_no_pods_and_those_being_ended_are() {
    let count = |changes| observe(json!({}), None, &[pod(changes)]).pods.len();
    assert_eq!(count(json!({ "status": { "phase": "Failed" } })), 0);
    assert_eq!(count(json!({ "status": { "phase": "Succeeded" } })), 0);
    assert!(seen(json!({ "metadata": { "deletionTimestamp": "2026-11-22T15:20:00Z" } })).terminating);
    let overdue = json!({ "metadata": { "deletionTimestamp": "2026-11-22T15:09:29Z" } });
    assert_eq!(count(overdue), 0, "its node is gone");
}

#[test]
fn a_rollout_lasts_while_there_are_older_pods_or_the_change_was_not_seen() {
    assert!(!is_rolling_out(&deployment(json!({}))), "that pods are full and not available is none");
    assert!(is_rolling_out(&deployment(json!({ "metadata": { "generation": 8 } }))));
    assert!(is_rolling_out(&deployment(json!({ "status": { "updatedReplicas": 3 } }))));
    assert!(is_rolling_out(&deployment(json!({ "status": null }))));
    assert!(!is_rolling_out(&deployment(json!({ "spec": { "replicas": 9 } }))), "pods that can't be made are none");
}

#[test]
fn the_spec_says_who_sets_the_number_of_pods() {
    let wish = |spec| observe(spec, None, &[]).wish;
    assert_eq!(wish(json!({})), Wish::Sessions { min: 2, max: 10, target: 70, buffer: 10 });
    assert_eq!(wish(json!({ "scaling": { "mode": "Manual", "replicas": 0 } })), Wish::Replicas(0));
    let autoscaled = |replicas: u32| {
        wish(
            json!({ "scaling": { "mode": "HorizontalPodAutoscaler", "replicas": replicas, "minReplicas": 3, "maxReplicas": 6 } }),
        )
    };
    assert_eq!([0, 4, 9].map(autoscaled), [3, 4, 6].map(Wish::Replicas));
    let view = observe(json!({ "drain": { "deadlineSeconds": 90 } }), Some(&deployment(json!({}))), &[]);
    assert_eq!((view.drain_deadline, view.replicas), (SignedDuration::from_secs(90), Some(4)));
}

#[test]
fn a_node_leaves_when_it_is_cordoned_or_an_autoscaler_says_so() {
    let leaving = |spec: Value| is_leaving(&object(json!({ "spec": spec })));
    assert!(leaving(json!({ "unschedulable": true })));
    assert!(leaving(json!({ "taints": [{ "key": "karpenter.sh/disrupted", "effect": "NoSchedule" }] })));
    assert!(!leaving(json!({ "taints": [{ "key": "dedicated", "value": "voice", "effect": "NoSchedule" }] })));
    assert!(!leaving(json!({})) && !is_leaving(&Node::default()));
}

#[test]
fn a_pod_is_asked_at_its_own_address_once_it_runs() {
    assert_eq!(address(&pod(json!({}))), Some("10.0.0.7".parse().expect("an address")));
    let ipv6 = json!({ "status": { "podIP": "fd00::7" } });
    assert_eq!(address(&pod(ipv6)), Some("fd00::7".parse().expect("an address")));
    for changes in [json!({ "podIP": null }), json!({ "podIP": "" }), json!({ "containerStatuses": null })] {
        assert_eq!(address(&pod(json!({ "status": changes }))), None);
    }
}

#[test]
fn the_totals_count_every_call_and_the_room_of_the_pods_that_serve() {
    let mut view = observe(json!({}), None, &[pod(json!({}))]);
    let serving = view.pods[0].clone();
    let full = PodFigures { active: 100, accepting: false, ..FIGURES };
    let since = Some(view.now);
    let draining =
        PodView { draining_since: since, figures: Some(PodFigures { draining: true, ..full }), ..serving.clone() };
    view.pods.extend([
        PodView { figures: Some(full), ..serving.clone() },
        draining.clone(),
        PodView { terminating: true, ..draining },
        PodView { figures: None, ..serving },
    ]);
    assert_eq!(totals(&view), Totals { active: 303, capacity: 200, replicas: 4, ready: 1, draining: 2 });
}
