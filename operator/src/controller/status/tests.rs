//! Each test: one situation, and what a person reads of it.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Container, LoadBalancerStatus, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde_json::{Value, json};

use super::*;
use crate::fleet::scrape::PodFigures;

/// A situation that can be changed before it is looked at; to begin with all is well: FreeSWITCH ready, two idle pods.
struct Situation {
    trunk: VoiceTrunk,
    previous: Option<VoiceTrunkStatus>,
    now: Timestamp,
    problem: Option<Problem>,
    free_switch: Option<WorkloadView>,
    data_plane: Option<WorkloadView>,
    free_switch_pods: Vec<PodFacts>,
    pods: Vec<PodFacts>,
    serving: u32,
    switch: Option<SwitchView>,
    load_balancer: Option<LoadBalancerStatus>,
    nodes: Vec<String>,
}

fn trunk(spec: Value) -> VoiceTrunk {
    serde_json::from_value(json!({
        "apiVersion": "sofia-phone.io/v1alpha1",
        "kind": "VoiceTrunk",
        "metadata": { "name": "main", "namespace": "voice", "generation": 3 },
        "spec": spec,
    }))
    .expect("a trunk")
}

fn workload(pods: u32) -> WorkloadView {
    WorkloadView {
        desired: pods,
        replicas: pods,
        updated: pods,
        ready: pods,
        observed: true,
        ..WorkloadView::default()
    }
}

fn pod(name: &str, active: u32, capacity: u32) -> PodFacts {
    let accepting = active < capacity;
    PodFacts {
        name: name.to_owned(),
        ready: accepting,
        running: true,
        figures: Some(PodFigures { active, capacity, accepting, draining: false }),
        ..PodFacts::default()
    }
}

impl Situation {
    fn well(spec: Value) -> Self {
        Self {
            trunk: trunk(spec),
            previous: None,
            now: Timestamp::from_second(1_000).expect("a time"),
            problem: None,
            free_switch: Some(workload(1)),
            data_plane: Some(workload(2)),
            free_switch_pods: Vec::new(),
            pods: vec![pod("a", 0, 100), pod("b", 3, 100)],
            serving: 2,
            switch: None,
            load_balancer: None,
            nodes: Vec::new(),
        }
    }

    fn status(&self) -> VoiceTrunkStatus {
        derive(&StatusInputs {
            trunk: &self.trunk,
            previous: self.previous.as_ref(),
            now: self.now,
            outcome: self.problem.as_ref().map_or(Ok(()), Err),
            free_switch: self.free_switch.as_ref(),
            data_plane: self.data_plane.as_ref(),
            free_switch_pods: &self.free_switch_pods,
            data_plane_pods: &self.pods,
            serving: self.serving,
            switch: self.switch.as_ref(),
            entry_point: EntryPointFacts { load_balancer: self.load_balancer.as_ref(), node_addresses: &self.nodes },
        })
    }

    fn condition(&self, kind: &str) -> Condition {
        let found = self.status().conditions.into_iter().find(|condition| condition.type_ == kind);
        found.expect("every condition is always there")
    }

    fn check(&self, kind: &str, status: &str, reason: &str) -> String {
        let condition = self.condition(kind);
        let seen = (condition.status.as_str(), condition.reason.as_str());
        assert_eq!(seen, (status, reason), "{kind}: {}", condition.message);
        condition.message
    }
}

fn well() -> Situation {
    Situation::well(json!({}))
}

fn pod_object(component: &str, status: Value) -> Pod {
    serde_json::from_value(json!({
        "metadata": { "name": "main-x", "labels": { "app.kubernetes.io/component": component } },
        "spec": { "containers": [{ "name": "main", "image": "registry.example/voice:2" }] },
        "status": status,
    }))
    .expect("a pod")
}

fn waiting(component: &str, reason: &str, message: &str) -> PodFacts {
    let state = json!({ "waiting": { "reason": reason, "message": message } });
    container(component, state, Value::Null)
}

fn container(component: &str, state: Value, last_state: Value) -> PodFacts {
    let mut status =
        json!({ "name": "main", "image": "", "imageID": "", "ready": false, "restartCount": 1, "state": state });
    if !last_state.is_null() {
        status["lastState"] = last_state;
    }
    PodFacts::of(&pod_object(component, json!({ "containerStatuses": [status] })), None)
}

fn crashed(component: &str, terminated: Value) -> PodFacts {
    container(component, json!({ "waiting": { "reason": "CrashLoopBackOff" } }), json!({ "terminated": terminated }))
}

fn two_of(trouble: PodFacts) -> Situation {
    let mut situation = well();
    situation.data_plane = Some(WorkloadView { ready: 0, ..workload(2) });
    situation.pods = vec![trouble.clone(), PodFacts { name: "main-y".to_owned(), ..trouble }];
    situation
}

#[test]
fn with_all_well_callers_are_answered_and_nothing_is_changed() {
    let situation = well();
    assert_eq!(situation.check("Ready", "True", "TakesCalls"), "a call finds a pod that takes it");
    situation.check("Available", "True", "EnoughPods");
    situation.check("Progressing", "False", "AsWanted");
    situation.check("Draining", "False", "NoPodDrains");
    situation.check("Degraded", "False", "AllWell");
    situation.check("BuiltInBackend", "True", "ForTrials");
}

#[test]
fn real_callers_on_the_built_in_backend_are_told_and_a_trial_is_left_in_peace() {
    let judged = |spec: Value, status: &str, reason: &str| {
        let situation = Situation::well(spec);
        situation.check("Degraded", "False", "AllWell");
        situation.check("BuiltInBackend", status, reason)
    };
    judged(json!({}), "True", "ForTrials");
    judged(json!({ "backends": { "mock": {} } }), "True", "ForTrials");
    let carrier = json!({ "gateways": [{ "name": "carrier", "proxy": "sip.example.com" }] });
    for free_switch in
        [carrier, json!({ "network": { "type": "HostNetwork" } }), json!({ "network": { "type": "LoadBalancer" } })]
    {
        let message = judged(json!({ "freeSwitch": free_switch }), "True", "RealCallers");
        assert!(message.contains("Set spec.backends.openAI"), "{message}");
    }
    judged(json!({ "externalFreeSwitch": { "allowedPeers": ["203.0.113.0/24"] } }), "True", "RealCallers");
    let stage = json!({ "url": "http://models:8000/v1" });
    let servers = json!({ "openAI": { "transcription": stage, "generation": stage, "speech": stage } });
    let network = json!({ "network": { "type": "HostNetwork" } });
    judged(json!({ "freeSwitch": network, "backends": servers }), "False", "OwnBackend");
}

#[test]
fn pods_of_freeswitch_are_counted_unless_it_runs_elsewhere() {
    let mut situation = well();
    situation.free_switch = Some(WorkloadView { ready: 1, ..workload(2) });
    situation.free_switch_pods = vec![PodFacts { draining: true, ..PodFacts::default() }, PodFacts::default()];
    let expected = FreeSwitchPods { replicas: 2, ready: 1, draining: 1, ..FreeSwitchPods::default() };
    assert_eq!(situation.status().free_switch, Some(expected));
    situation.trunk = trunk(json!({ "externalFreeSwitch": { "allowedPeers": ["203.0.113.0/24"] } }));
    assert_eq!(situation.status().free_switch, None);
}

#[test]
fn drains_are_told_with_the_latest_deadline_and_pods_that_go_are_not_wanted() {
    let at = |seconds: i64| Timestamp::from_second(seconds).expect("a time");
    let mut situation = Situation::well(json!({ "drain": { "deadlineSeconds": 100 } }));
    assert_eq!(situation.status().drains, Some(Drains::default()));
    assert_eq!(well().status().desired_replicas, 2);
    let draining = |name: &str, since: Option<i64>, ends: Option<i64>| PodFacts {
        draining: true,
        draining_since: since.map(at),
        ends_at: ends.map(at),
        ..pod(name, 5, 100)
    };
    // By its drain; killed before that; by Kubernetes alone; by its own word, which has no time.
    situation.pods.extend([
        draining("c", Some(1_000), None),
        draining("d", Some(1_090), Some(1_120)),
        draining("e", None, Some(1_130)),
        draining("f", None, None),
    ]);
    let drains = situation.status().drains.expect("known");
    assert_eq!((drains.pods, drains.latest_deadline), (4, Some(Time(at(1_130)))));
    situation.pods.push(draining("g", Some(1_050), Some(9_000)));
    assert_eq!(situation.status().drains.expect("known").latest_deadline, Some(Time(at(1_150))));
    assert_eq!(situation.status().desired_replicas, 2);
}

#[test]
fn images_in_use_are_told_once_each_without_those_of_sidecars() {
    let with = |image: &str| {
        let mut pod = pod_object("dataplane", json!({}));
        let containers = &mut pod.spec.as_mut().expect("a spec").containers;
        containers[0].name = "dataplane".to_owned();
        containers[0].image = Some(image.to_owned());
        let sidecar = Container { name: "proxy".to_owned(), image: Some("mesh:1".to_owned()), ..Container::default() };
        containers.insert(0, sidecar);
        PodFacts::of(&pod, None)
    };
    let mut situation = well();
    assert_eq!(situation.status().images, None);
    situation.pods = vec![with("voice:2"), with("voice:1"), with("voice:2")];
    situation.free_switch_pods = vec![PodFacts { image: Some("switch:1".to_owned()), ..PodFacts::default() }];
    let images = situation.status().images.expect("known");
    assert_eq!(
        (images.data_plane, images.free_switch),
        (vec!["voice:1".to_owned(), "voice:2".to_owned()], vec!["switch:1".to_owned()])
    );
}

#[test]
fn every_node_of_freeswitch_is_an_entry_point_in_an_order_that_stays() {
    let on = |name: &str, address: &str, ends: bool| -> Arc<Pod> {
        let mut pod = pod_object("freeswitch", json!({ "hostIP": address }));
        pod.metadata.name = Some(name.to_owned());
        pod.metadata.deletion_timestamp = ends.then(|| Timestamp::UNIX_EPOCH.into());
        Arc::new(pod)
    };
    let mut pods = vec![on("x", "192.0.2.10", false), on("a", "192.0.2.9", false), on("b", "192.0.2.9", false)];
    assert_eq!(node_addresses(&pods), ["192.0.2.9", "192.0.2.10"]);
    pods[0] = on("c", "192.0.2.10", false);
    assert_eq!(node_addresses(&pods), ["192.0.2.9", "192.0.2.10"], "another pod's name changes nothing");
    pods[0] = on("c", "192.0.2.10", true);
    assert_eq!(node_addresses(&pods), ["192.0.2.9"], "one that ends is no way in");
    assert_eq!(node_addresses(&[on("c", "192.0.2.10", true)]), ["192.0.2.10"]);

    let mut situation =
        Situation::well(json!({ "freeSwitch": { "network": { "type": "HostNetwork" }, "replicas": 2 } }));
    situation.nodes = vec!["192.0.2.9".to_owned(), "192.0.2.10".to_owned()];
    let status = situation.status();
    let addresses: Vec<&str> = status.entry_points.iter().map(|entry| entry.address.as_str()).collect();
    assert_eq!(addresses, ["192.0.2.9", "192.0.2.10"]);
    assert_eq!(status.entry_point.as_ref(), status.entry_points.first());
}

#[test]
fn totals_and_selector_are_those_of_the_data_plane() {
    let status = well().status();
    assert_eq!((status.replicas, status.ready_replicas), (2, 2));
    assert_eq!(status.sessions, Some(SessionTotals { active: 3, capacity: 200 }));
    let selector =
        "app.kubernetes.io/component=dataplane,app.kubernetes.io/instance=main,app.kubernetes.io/name=sofia-phone";
    assert_eq!(status.selector.as_deref(), Some(selector));
}

#[test]
fn status_and_conditions_name_the_generation_they_are_about() {
    let status = well().status();
    assert_eq!(status.observed_generation, Some(3));
    assert!(status.conditions.iter().all(|condition| condition.observed_generation == Some(3)));
}

#[test]
fn a_condition_keeps_its_time_while_its_status_stays() {
    let mut situation = well();
    situation.previous = Some(situation.status());
    situation.now = Timestamp::from_second(2_000).expect("a time");
    assert_eq!(Some(situation.status()), situation.previous, "later, and nothing to write");

    situation.pods = vec![pod("a", 100, 100), pod("b", 100, 100)];
    let seconds = |kind: &str| situation.condition(kind).last_transition_time.0.as_second();
    assert_eq!(seconds("Ready"), 2_000, "changed now");
    assert_eq!(seconds("Available"), 1_000, "another reason, the same status");
}

#[test]
fn a_written_status_read_back_is_derived_again_unchanged() {
    let mut situation = well();
    situation.now = "2025-03-04T05:06:07.891Z".parse().expect("a time");
    let text = serde_json::to_string(&situation.status()).expect("JSON");
    situation.previous = Some(serde_json::from_str(&text).expect("the status"));
    situation.now = "2025-03-04T05:06:09.123Z".parse().expect("a time");
    assert_eq!(Some(situation.status()), situation.previous);
}

#[test]
fn full_pods_are_told_apart_from_broken_ones() {
    let mut full = well();
    full.pods = (0..4).map(|index| pod(&format!("p{index}"), 100, 100)).collect();
    full.data_plane = Some(WorkloadView { ready: 0, ..workload(4) });
    full.serving = 4;
    let message = full.check("Ready", "False", "AllPodsFull");
    assert!(message.starts_with("all 4 pods are full: callers hear 503"), "{message}");
    full.check("Available", "True", "AllPodsFull");
    full.check("Degraded", "False", "AllWell");

    let mut broken = full;
    for pod in &mut broken.pods {
        *pod = PodFacts { name: pod.name.clone(), ..PodFacts::default() };
    }
    broken.check("Ready", "False", "NoPodReady");
    broken.check("Available", "False", "NoPodReady");
}

#[test]
fn no_condition_changes_with_each_call() {
    let conditions = |calls: [u32; 3]| {
        let mut situation = well();
        situation.pods = ["a", "b", "c"].iter().zip(calls).map(|(name, calls)| pod(name, calls, 100)).collect();
        situation.data_plane = Some(workload(3));
        situation.serving = 3;
        situation.status().conditions
    };
    assert_eq!(conditions([5, 7, 0]), conditions([90, 100, 3]));
    assert_eq!(conditions([100, 100, 3]), conditions([1, 100, 4]));
}

#[test]
fn a_pod_that_is_not_yet_below_its_low_water_mark_counts_as_full() {
    let mut situation = well();
    situation.pods = vec![PodFacts { ready: false, ..pod("a", 99, 100) }];
    situation.check("Ready", "False", "AllPodsFull");
}

#[test]
fn a_pod_without_calls_that_takes_none_is_starting_not_full() {
    let mut situation = well();
    let figures = PodFigures { active: 0, capacity: 100, accepting: false, draining: false };
    situation.pods = vec![PodFacts { ready: false, figures: Some(figures), ..pod("a", 0, 100) }];
    situation.check("Ready", "False", "NoPodReady");
}

#[test]
fn one_pod_that_takes_calls_is_enough_to_be_ready_but_not_to_be_available() {
    let mut situation = well();
    situation.pods[1] = PodFacts { name: "b".to_owned(), ..PodFacts::default() };
    situation.check("Ready", "True", "TakesCalls");
    let message = situation.check("Available", "False", "TooFewPods");
    assert_eq!(message, "1 of at least 2 pods work");
}

#[test]
fn scaling_up_is_no_outage() {
    let mut situation = well();
    situation.serving = 5;
    situation.data_plane = Some(WorkloadView { desired: 5, ..workload(2) });
    situation.check("Available", "True", "EnoughPods");
    situation.check("Progressing", "True", "Scaling");
}

#[test]
fn without_free_switch_nobody_is_answered() {
    let mut situation = well();
    situation.free_switch = Some(WorkloadView { ready: 0, ..workload(1) });
    situation.check("Ready", "False", "FreeSwitchNotReady");
    situation.check("Available", "False", "FreeSwitchNotReady");
}

#[test]
fn a_free_switch_that_runs_elsewhere_is_trusted() {
    let mut situation = Situation::well(json!({ "externalFreeSwitch": { "allowedPeers": ["203.0.113.0/24"] } }));
    situation.free_switch = None;
    situation.check("Ready", "True", "TakesCalls");
    situation.check("Progressing", "False", "AsWanted");
}

#[test]
fn of_several_free_switch_pods_one_may_be_away() {
    let mut situation = well();
    situation.free_switch = Some(WorkloadView { ready: 2, ..workload(3) });
    situation.check("Available", "True", "EnoughPods");
    situation.free_switch = Some(WorkloadView { ready: 1, ..workload(3) });
    assert_eq!(situation.check("Available", "False", "FreeSwitchMissing"), "1 of 2 pods of FreeSWITCH ready");
    situation.check("Ready", "True", "TakesCalls");
}

#[test]
fn a_trunk_scaled_to_zero_says_so() {
    let mut situation = Situation::well(json!({ "scaling": { "mode": "Manual", "replicas": 0 } }));
    situation.pods.clear();
    situation.data_plane = Some(workload(0));
    situation.serving = 0;
    assert!(situation.check("Ready", "False", "ScaledToZero").contains("spec.scaling.replicas"));
}

#[test]
fn a_new_trunk_is_starting() {
    let mut situation = well();
    (situation.free_switch, situation.data_plane) = (None, None);
    situation.pods.clear();
    situation.check("Ready", "False", "Starting");
    situation.check("Progressing", "True", "Starting");
    situation.check("Degraded", "False", "AllWell");
    assert_eq!(situation.status().sessions, None);
}

#[test]
fn a_switch_that_is_too_slow_for_the_loss_of_a_node_is_degraded_and_says_what_would_do() {
    let with = |rate: u32| {
        let mut situation = well();
        situation.trunk.spec.free_switch.get_or_insert_default().sessions_per_second = Some(rate);
        situation
    };
    // Half of ten pods with a hundred calls each, two sessions a call, within eight seconds.
    let message = with(100).check("Degraded", "True", "SessionRateTooLow");
    assert!(
        message.contains("of 500 calls") && message.contains("only 396") && message.contains("to 126 or more"),
        "{message}"
    );
    with(126).check("Degraded", "False", "AllWell");
}

#[test]
fn a_wrong_spec_is_degraded_and_what_runs_goes_on() {
    let mut situation = well();
    let wrong = sofia_crds::validate::Problem { path: "spec.numbers[0]".to_owned(), message: "no number".to_owned() };
    situation.problem = Some(Problem::InvalidSpec(vec![wrong]));
    assert_eq!(situation.check("Degraded", "True", "InvalidSpec"), "spec.numbers[0]: no number");
    situation.check("Progressing", "False", "InvalidSpec");
    situation.check("Ready", "True", "TakesCalls");
}

#[test]
fn a_wrong_spec_of_a_new_trunk_is_why_nobody_answers() {
    let mut situation = well();
    (situation.free_switch, situation.data_plane) = (None, None);
    situation.pods.clear();
    let problem =
        Problem::MissingSecret { secret: "s".to_owned(), wanted_by: "spec.records.tokenSecretRef".to_owned() };
    situation.problem = Some(problem);
    situation.check("Ready", "False", "MissingSecret");
    situation.check("Available", "False", "MissingSecret");
}

#[test]
fn an_api_that_does_not_answer_leaves_the_state_unknown() {
    let mut situation = well();
    (situation.free_switch, situation.data_plane) = (None, None);
    situation.problem =
        Some(Problem::ApiError { action: "read Deployments".to_owned(), message: "timeout".to_owned() });
    situation.check("Ready", "Unknown", "ApiError");
    situation.check("Progressing", "Unknown", "ApiError");
    situation.check("Degraded", "True", "ApiError");
}

#[test]
fn an_image_that_can_not_be_pulled_is_named_once_for_all_pods() {
    let situation = two_of(waiting("dataplane", "ImagePullBackOff", "Back-off pulling\nimage: not found"));
    let message = situation.check("Degraded", "True", "ImagePullFailed");
    assert_eq!(
        message,
        "the data plane: pod main-x (and 1 other): its image registry.example/voice:2 cannot be pulled: Back-off pulling image: \
         not found; check spec.dataPlane.image and spec.dataPlane.imagePullSecrets"
    );
    situation.check("Ready", "False", "ImagePullFailed");
}

#[test]
fn free_switchs_image_is_looked_for_in_its_own_section() {
    let mut situation = well();
    situation.free_switch = Some(WorkloadView { ready: 0, ..workload(1) });
    situation.free_switch_pods = vec![waiting("freeswitch", "InvalidImageName", "no")];
    let message = situation.check("Ready", "False", "ImagePullFailed");
    assert!(message.starts_with("FreeSWITCH: pod main-x") && message.contains("spec.freeSwitch.image"), "{message}");
}

#[test]
fn exit_status_78_means_wrong_settings() {
    let situation = two_of(crashed("dataplane", json!({ "exitCode": 78, "message": "token=hunter2" })));
    let message = situation.check("Degraded", "True", "SettingsRefused");
    assert!(message.contains("settings are wrong") && message.contains("kubectl logs --previous"), "{message}");
    assert!(!message.contains("hunter2"), "what a process wrote at its end is not repeated: {message}");
}

#[test]
fn exit_status_78_of_free_switch_is_a_crash_like_others() {
    let mut situation = well();
    situation.free_switch_pods = vec![crashed("freeswitch", json!({ "exitCode": 78 }))];
    assert!(situation.check("Degraded", "True", "CrashLoop").contains("exit status 78"));
}

#[test]
fn a_pod_without_enough_memory_is_told_where_to_raise_it() {
    let situation = two_of(crashed("dataplane", json!({ "exitCode": 137, "reason": "OOMKilled" })));
    assert!(situation.check("Degraded", "True", "OutOfMemory").contains("spec.dataPlane.resources.limits.memory"));
}

#[test]
fn a_secret_that_a_container_lacks_is_named_by_the_kubelets_words() {
    let situation = two_of(waiting("dataplane", "CreateContainerConfigError", "secret \"keys\" not found"));
    assert!(situation.check("Degraded", "True", "ContainerConfigError").contains("secret \"keys\" not found"));
}

#[test]
fn a_pod_that_no_node_takes_is_told_with_the_schedulers_words() {
    let conditions =
        json!([{ "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes" }]);
    let facts = PodFacts::of(&pod_object("dataplane", json!({ "conditions": conditions })), None);
    let message = two_of(facts).check("Degraded", "True", "Unschedulable");
    assert!(message.contains("0/3 nodes") && message.contains("spec.dataPlane.nodeSelector"), "{message}");
}

#[test]
fn a_container_that_is_being_created_is_no_trouble() {
    assert_eq!(waiting("dataplane", "ContainerCreating", "").trouble, None);
}

#[test]
fn several_troubles_are_told_together_the_most_certain_first() {
    let mut situation = two_of(crashed("dataplane", json!({ "exitCode": 1 })));
    situation.pods[1] = waiting("dataplane", "ErrImagePull", "denied");
    let message = situation.check("Degraded", "True", "ImagePullFailed");
    assert!(message.contains("denied") && message.contains("exit status 1"), "{message}");
}

#[test]
fn pods_that_can_not_be_created_are_told_with_the_reason() {
    let mut situation = well();
    situation.pods.clear();
    let refused = Some("exceeded quota: pods".to_owned());
    situation.data_plane = Some(WorkloadView { replicas: 0, ready: 0, refused_pods: refused, ..workload(2) });
    assert!(situation.check("Ready", "False", "PodsRefused").contains("exceeded quota"));
    situation.check("Degraded", "True", "PodsRefused");
}

#[test]
fn a_rollout_progresses_until_its_controller_gives_up() {
    let mut situation = well();
    situation.data_plane = Some(WorkloadView { updated: 1, replicas: 3, ..workload(2) });
    assert_eq!(
        situation.check("Progressing", "True", "RollingOut"),
        "the data plane: 1 of 2 pods of the newest revision"
    );
    situation.data_plane = Some(WorkloadView { stalled: Some("timed out".to_owned()), ..workload(2) });
    situation.check("Progressing", "False", "Stalled");
    situation.check("Degraded", "True", "Stalled");
}

#[test]
fn a_deployment_that_its_controller_has_not_seen_yet_is_rolling_out() {
    let mut situation = well();
    situation.data_plane = Some(WorkloadView { observed: false, ..workload(2) });
    situation.check("Progressing", "True", "RollingOut");
}

#[test]
fn draining_pods_are_counted_apart_and_their_calls_still_count() {
    let mut situation = well();
    situation.pods.push(PodFacts { draining: true, ready: false, ..pod("c", 7, 100) });
    let status = situation.status();
    assert_eq!(status.sessions, Some(SessionTotals { active: 10, capacity: 200 }));
    assert_eq!(status.ready_replicas, 2);
    situation.check("Draining", "True", "PodsDrain");
    situation.check("Degraded", "False", "AllWell");
}

#[test]
fn a_pod_drains_when_it_bears_the_mark_is_being_deleted_or_says_so() {
    let says = PodFigures { active: 1, capacity: 2, accepting: false, draining: true };
    let mut marked = pod_object("dataplane", json!({}));
    marked.metadata.annotations =
        Some([("sofia-phone.io/draining-since".to_owned(), "2025-01-01T00:00:00Z".to_owned())].into());
    let mut deleted = pod_object("dataplane", json!({}));
    deleted.metadata.deletion_timestamp = Some(Timestamp::UNIX_EPOCH.into());
    assert!(PodFacts::of(&marked, None).draining);
    assert!(PodFacts::of(&deleted, None).draining);
    assert!(PodFacts::of(&pod_object("dataplane", json!({})), Some(says)).draining);
    assert!(!PodFacts::of(&pod_object("dataplane", json!({})), None).draining);
}

#[test]
fn pods_that_can_not_be_asked_still_take_calls_and_are_told() {
    let mut situation = well();
    for pod in &mut situation.pods {
        pod.figures = None;
    }
    situation.check("Ready", "True", "TakesCalls");
    assert!(situation.check("Degraded", "True", "PodsNotReached").contains("network policies"));
}

#[test]
fn a_deployments_figures_conditions_and_generation_are_read() {
    let deployment = serde_json::from_value(json!({
        "metadata": { "generation": 5 },
        "spec": { "replicas": 4, "selector": {}, "template": {} },
        "status": {
            "observedGeneration": 4, "replicas": 5, "updatedReplicas": 2, "readyReplicas": 3,
            "conditions": [
                { "type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "late" },
                { "type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "quota" },
            ],
        },
    }))
    .expect("a Deployment");
    let expected = WorkloadView {
        desired: 4,
        replicas: 5,
        updated: 2,
        ready: 3,
        observed: false,
        stalled: Some("late".to_owned()),
        refused_pods: Some("quota".to_owned()),
    };
    assert_eq!(WorkloadView::of(&deployment), expected);
}

#[test]
fn the_entry_point_in_the_cluster_is_the_services_name() {
    let entry = well().status().entry_point.expect("known from the start");
    assert_eq!((entry.address.as_str(), entry.port), ("main-freeswitch.voice.svc", Some(5060)));
}

#[test]
fn the_entry_point_on_the_nodes_network_is_the_nodes_address_or_the_one_that_is_set() {
    let mut situation =
        Situation::well(json!({ "freeSwitch": { "network": { "type": "HostNetwork" }, "sipPort": 5070 } }));
    assert_eq!(situation.status().entry_point, None, "no pod has a node yet");
    situation.nodes = vec!["192.0.2.9".to_owned()];
    let entry = situation.status().entry_point.expect("known");
    assert_eq!((entry.address.as_str(), entry.port), ("192.0.2.9", Some(5070)));

    let set = json!({ "freeSwitch": { "network": { "type": "HostNetwork", "externalAddress": "203.0.113.7" } } });
    let mut situation = Situation::well(set);
    situation.nodes = vec!["192.0.2.9".to_owned()];
    assert_eq!(situation.status().entry_point.expect("known").address, "203.0.113.7");
}

#[test]
fn the_entry_point_of_a_load_balancer_is_its_address_or_name() {
    let mut situation = Situation::well(json!({ "freeSwitch": { "network": { "type": "LoadBalancer" } } }));
    assert_eq!(situation.status().entry_point, None, "pending");
    for (ingress, address) in [
        (json!([{ "ip": "198.51.100.4" }]), "198.51.100.4"),
        (json!([{ "ip": "", "hostname": "lb.example" }]), "lb.example"),
    ] {
        situation.load_balancer = serde_json::from_value(json!({ "ingress": ingress })).expect("a status");
        assert_eq!(situation.status().entry_point.expect("known").address, address);
    }
}

#[test]
fn the_entry_point_of_a_free_switch_elsewhere_is_what_the_spec_says() {
    let external = json!({ "allowedPeers": ["203.0.113.0/24"], "entryPointAddress": "sip.example" });
    let entry = Situation::well(json!({ "externalFreeSwitch": external })).status().entry_point.expect("set");
    assert_eq!((entry.address.as_str(), entry.port), ("sip.example", None));
}

#[test]
fn however_many_pods_fail_messages_stay_short() {
    let mut situation = well();
    situation.pods = (0..500)
        .map(|index| PodFacts {
            name: format!("p{index}"),
            ..waiting("dataplane", ["ErrImagePull", "CreateContainerError"][index % 2], &"x".repeat(10_000))
        })
        .collect();
    for condition in situation.status().conditions {
        assert!(condition.message.chars().count() <= 2_000, "{}: {}", condition.type_, condition.message.len());
    }
}

fn with_gateways(states: &[GatewayState]) -> Situation {
    let names = (0..).map(|index| format!("carrier-{index}"));
    let gateways = names.zip(states.iter().copied()).collect();
    Situation {
        switch: Some(SwitchView { gateways, channels: Some(6), settled: true, ..SwitchView::default() }),
        ..well()
    }
}

#[test]
fn a_carrier_that_freeswitch_has_not_is_told_with_what_to_look_at() {
    for fine in [GatewayState::Registered, GatewayState::Reachable, GatewayState::Registering, GatewayState::Unknown] {
        with_gateways(&[fine]).check("Degraded", "False", "AllWell");
    }
    let told = with_gateways(&[GatewayState::Registered, GatewayState::Failed, GatewayState::Unreachable]).check(
        "Degraded",
        "True",
        "GatewayDown",
    );
    assert!(told.contains("gateway carrier-1 does not take") && told.contains("password"), "{told}");
    assert!(told.contains("gateway carrier-2 does not answer") && !told.contains("carrier-0"), "{told}");
    let ready = with_gateways(&[GatewayState::Failed]).condition("Ready");
    assert_eq!(ready.status, "True", "callers of other carriers are answered");
}

#[test]
fn a_gateway_keeps_the_time_since_when_it_is_as_it_is() {
    let mut situation = with_gateways(&[GatewayState::Registered]);
    let first = situation.status();
    let since = |status: &VoiceTrunkStatus| (status.gateways[0].state, status.gateways[0].since.clone());
    assert_eq!(since(&first), (GatewayState::Registered, Some(Time(situation.now))));
    assert_eq!(first.free_switch.as_ref().and_then(|pods| pods.channels), Some(6));
    situation.previous = Some(first.clone());
    situation.now = Timestamp::from_second(2_000).expect("a time");
    assert_eq!(since(&situation.status()), since(&first));
    situation.switch = with_gateways(&[GatewayState::Failed]).switch;
    if let Some(switch) = &mut situation.switch {
        (switch.settled, switch.channels) = (false, None);
    }
    assert_eq!(situation.status(), first, "as by an operator that has just started");
    situation.switch = with_gateways(&[GatewayState::Failed]).switch;
    assert_eq!(since(&situation.status()), (GatewayState::Failed, Some(Time(situation.now))));
}
