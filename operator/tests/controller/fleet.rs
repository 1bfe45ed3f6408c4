//! Pods go drained or not at all.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde_json::json;

use crate::support::{
    api::Fault,
    world::{NAMESPACE, World},
};

async fn with_replicas(replicas: u32) -> World {
    let world = World::start();
    world.apply("main", manual(replicas));
    world.until_ready("main").await;
    world.until("all pods are there", |world| world.pods("main").len() == replicas as usize).await;
    for (_, address) in world.pods("main") {
        world.fleet.calls(address, 5);
    }
    world.until_settled().await;
    world
}

fn manual(replicas: u32) -> serde_json::Value {
    json!({ "scaling": { "mode": "Manual", "replicas": replicas, "scaleDownStabilizationSeconds": 0 } })
}

fn annotations(world: &World, pod: &str) -> serde_json::Value {
    world.get("", "pods", pod).map(|pod| pod["metadata"]["annotations"].clone()).unwrap_or_default()
}

#[tokio::test]
async fn a_pod_is_annotated_drained_marked_and_only_then_does_the_fleet_shrink() {
    let world = with_replicas(3).await;
    world.apply("main", manual(2));
    world.until("a pod was asked to drain", |world| !world.fleet.drains().is_empty()).await;
    world.passes(20).await;
    let drains = world.fleet.drains();
    assert_eq!(drains.len(), 1, "one pod, asked once: {drains:?}");
    let internal = world.get("", "secrets", "main-internal").expect("it is there");
    let token = BASE64.decode(internal["data"]["admin-token"].as_str().expect("a token")).expect("base64");
    assert_eq!(drains[0].token.as_bytes(), token);
    assert!(drains[0].annotated, "what drains must be known to the next operator before it begins");
    assert_eq!(world.replicas("main"), Some(3), "its calls go on");
    assert!(world.is("main", "Draining", "True"));
    let pods = world.pods("main");
    let (name, address) = pods.iter().find(|(_, address)| *address == drains[0].address).expect("it is there");
    assert!(annotations(&world, name)["controller.kubernetes.io/pod-deletion-cost"].is_null());
    world.fleet.calls(*address, 0);
    world.until("the fleet has shrunk", |world| world.pods("main").len() == 2).await;
    assert!(world.pods("main").iter().all(|(other, _)| other != name), "the drained pod went, no other");
    world.until("nothing drains any more", |world| world.is("main", "Draining", "False")).await;
    let told = world.told();
    for reason in ["DrainBegan", "ScalingDown"] {
        assert!(told.contains(&reason.to_owned()), "{reason} in {told:?}");
    }
}

#[tokio::test]
async fn an_operator_that_starts_in_the_middle_of_a_drain_goes_on_with_the_same_pod() {
    let mut world = with_replicas(3).await;
    world.apply("main", manual(2));
    world.until("a pod was asked to drain", |world| !world.fleet.drains().is_empty()).await;
    world.kill_operator().await;
    world.start_operator();
    world.passes(20).await;
    let first = world.fleet.drains()[0].clone();
    assert!(world.fleet.drains().iter().all(|drain| drain.address == first.address));
    world.fleet.calls(first.address, 0);
    world.until("the fleet has shrunk", |world| world.pods("main").len() == 2).await;
    assert!(world.pods("main").iter().all(|(_, address)| *address != first.address));
}

#[tokio::test]
async fn a_pod_that_can_not_be_annotated_is_not_drained() {
    let world = with_replicas(3).await;
    world.api.fail(usize::MAX, Fault::status(500, "InternalError", "no"), |asked| {
        asked.verb == "patch" && asked.resource == "pods"
    });
    let failed = world.failed_passes();
    world.apply("main", manual(2));
    world.until("it was tried", |world| world.failed_passes() > failed).await;
    assert!(world.fleet.drains().is_empty());
    world.api.mend();
    world.until("a pod was asked to drain", |world| !world.fleet.drains().is_empty()).await;
}

#[tokio::test]
async fn calls_that_outlast_the_deadline_are_told_of_and_the_pod_goes() {
    let world = with_replicas(3).await;
    world.apply("main", manual(2));
    world.until("a pod was asked to drain", |world| !world.fleet.drains().is_empty()).await;
    world.passes(20).await;
    assert_eq!(world.replicas("main"), Some(3));
    world.advance(700);
    world.until("the fleet has shrunk", |world| world.pods("main").len() == 2).await;
    world.until("the deadline is told", |world| world.told().contains(&"DrainDeadline".to_owned())).await;
}

#[tokio::test]
async fn pods_that_do_not_answer_count_as_busy() {
    let world = with_replicas(3).await;
    world.fleet.silence(true);
    world.until("it is told", |world| world.is_because("main", "Degraded", "PodsNotReached")).await;
    world.apply(
        "main",
        json!({ "scaling": { "mode": "Operator", "minReplicas": 1, "scaleDownStabilizationSeconds": 0 } }),
    );
    world.passes(30).await;
    assert!(world.fleet.drains().is_empty());
    assert!(world.replicas("main") >= Some(3));
}

#[tokio::test]
async fn pods_on_a_cordoned_node_are_drained() {
    let world = with_replicas(2).await;
    assert!(world.api.change("", "nodes", "", "node-1", &json!({ "spec": { "unschedulable": true } })));
    world.until("its pods were asked to drain", |world| !world.fleet.drains().is_empty()).await;
}

#[tokio::test]
async fn more_calls_bring_more_pods() {
    let world = World::start();
    world.apply("main", json!({}));
    world.until_ready("main").await;
    for (_, address) in world.pods("main") {
        world.fleet.calls(address, 95);
    }
    world.until("a third pod is wanted", |world| world.replicas("main") == Some(3)).await;
    world.until("it is told", |world| world.told().contains(&"ScalingUp".to_owned())).await;
}

#[tokio::test]
async fn replicas_that_somebody_lowered_by_hand_are_put_back() {
    let world = with_replicas(3).await;
    assert!(world.api.change(
        "apps",
        "deployments",
        NAMESPACE,
        "main-dataplane",
        &json!({ "spec": { "replicas": 1 } })
    ));
    world.until("they are put back", |world| world.replicas("main") == Some(3)).await;
}

fn least_ready(world: &World) -> Option<u64> {
    world.get("policy", "poddisruptionbudgets", "main-dataplane")?["spec"]["minAvailable"].as_u64()
}

#[tokio::test]
async fn the_budget_follows_the_pods_that_shall_take_calls() {
    let world = with_replicas(2).await;
    assert_eq!(least_ready(&world), Some(1));
    world.apply("main", manual(5));
    world.until("the budget has followed", |world| least_ready(world) == Some(3)).await;
    world.until("all pods are there", |world| world.pods("main").len() == 5).await;
    for (_, address) in world.pods("main") {
        world.fleet.calls(address, 5);
    }
    // Four drain, with calls: the fifth is the only one that takes any, and may be evicted for all that.
    world.apply("main", manual(1));
    world.until("four drain", |world| world.fleet.drains().len() >= 4).await;
    world.until("the budget has followed", |world| least_ready(world) == Some(0)).await;
    assert_eq!(world.replicas("main"), Some(5), "their calls go on");
}

#[tokio::test]
async fn a_marked_pod_that_has_calls_again_loses_its_mark() {
    let world = with_replicas(3).await;
    // Nothing can be lowered or deleted: the pod stays, as it does behind one that starts.
    world.api.fail(usize::MAX, Fault::status(500, "InternalError", "no"), |asked| {
        asked.resource == "deployments" || asked.verb == "delete"
    });
    world.apply("main", manual(2));
    world.until("a pod was asked to drain", |world| !world.fleet.drains().is_empty()).await;
    let address = world.fleet.drains()[0].address;
    let name = world.pods("main").into_iter().find(|(_, other)| *other == address).expect("it is there").0;
    let mark = |world: &World| {
        let pod = world.get("", "pods", &name).expect("it is there");
        let cost = &pod["metadata"]["annotations"]["controller.kubernetes.io/pod-deletion-cost"];
        (pod["metadata"]["labels"]["sofia-phone.io/drained"].is_string(), cost.is_string())
    };
    world.fleet.calls(address, 0);
    world.until("it is marked", |world| mark(world) == (true, true)).await;
    world.fleet.restarts(address);
    world.fleet.calls(address, 4);
    world.until("the mark is gone", |world| mark(world) == (false, false)).await;
}

/// What FreeSWITCH's pod tells Cluster Autoscaler and Karpenter.
fn told(world: &World) -> (Option<String>, Option<String>) {
    let pods = world.api.all("", "pods");
    let switch = pods.iter().find(|pod| pod["metadata"]["labels"]["app.kubernetes.io/component"] == "freeswitch");
    let annotations = &switch.expect("there is one")["metadata"]["annotations"];
    let said = |key: &str| annotations[key].as_str().map(str::to_owned);
    (said("cluster-autoscaler.kubernetes.io/safe-to-evict"), said("karpenter.sh/do-not-disrupt"))
}

fn say(safe_to_evict: &str, do_not_disrupt: Option<&str>) -> (Option<String>, Option<String>) {
    (Some(safe_to_evict.to_owned()), do_not_disrupt.map(str::to_owned))
}

#[tokio::test]
async fn freeswitchs_node_is_kept_while_there_are_calls_and_let_go_later() {
    let world = World::start();
    world.apply("main", json!({}));
    world.until_ready("main").await;
    world.until_settled().await;
    assert_eq!(told(&world), (None, None), "there was no call");
    let (_, address) = world.pods("main")[0];
    world.fleet.calls(address, 1);
    world.until("its node is kept", |world| told(world) == say("false", Some("true"))).await;
    world.fleet.calls(address, 0);
    world.passes(20).await;
    assert_eq!(told(&world), say("false", Some("true")), "the last call ended a moment ago");
    world.advance(601);
    world.until("its node may go", |world| told(world) == say("true", None)).await;
    world.until_settled().await;
    world.api.forget_asked();
    world.passes(20).await;
    assert_eq!(world.api.writes(), []);
}

#[tokio::test]
async fn freeswitchs_node_is_always_kept_where_callers_know_its_address() {
    let world = World::start();
    world.apply("main", json!({ "freeSwitch": { "network": { "type": "HostNetwork" } } }));
    world
        .until("its node is kept", |world| {
            let pods = world.api.all("", "pods");
            let is_switch =
                |pod: &serde_json::Value| pod["metadata"]["labels"]["app.kubernetes.io/component"] == "freeswitch";
            pods.iter().any(is_switch) && told(world) == say("false", Some("true"))
        })
        .await;
}
