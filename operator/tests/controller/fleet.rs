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
