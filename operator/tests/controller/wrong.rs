//! VoiceTrunks that can't be carried out say why, and don't stop the others.

use serde_json::json;

use crate::support::{
    api::Fault,
    world::{NAMESPACE, World},
};

#[tokio::test]
async fn an_invalid_spec_is_told_changes_nothing_and_heals() {
    let world = World::start();
    world.apply("main", json!({}));
    world.until_ready("main").await;
    world.until_settled().await;
    world.api.forget_asked();
    world.apply("main", json!({ "numbers": ["("] }));
    world.until("it is told", |world| world.is_because("main", "Degraded", "InvalidSpec")).await;
    let [_, _, message] = world.condition("main", "Degraded").expect("it is told");
    assert!(message.contains("spec.numbers[0]"), "{message}");
    world.passes(10).await;
    let touched = |resource: &str| world.api.writes().iter().any(|asked| asked.resource == resource);
    assert!(!touched("deployments") && !touched("secrets"));
    world.apply("main", json!({}));
    world.until("it is right again", |world| world.is("main", "Degraded", "False")).await;
}

/// Specs that can't be carried out: one that no rule of the API server's catches, and one that doesn't parse.
fn broken_specs() -> [serde_json::Value; 2] {
    [
        json!({ "numbers": ["("], "scaling": { "maxReplicas": 1, "minReplicas": 1 } }),
        json!({ "sessions": { "maxPerPod": "many" } }),
    ]
}

#[tokio::test]
async fn a_broken_spec_stops_no_drain_and_no_scaling() {
    for broken in broken_specs() {
        let world = World::start();
        world.apply("main", json!({ "scaling": { "bufferSessions": 10 } }));
        world.until_ready("main").await;
        looked_after(&world, broken).await;
    }
}

#[tokio::test]
async fn nor_does_it_for_an_operator_that_starts_then() {
    for broken in broken_specs() {
        let mut world = World::start();
        world.apply("main", json!({ "scaling": { "bufferSessions": 10 } }));
        world.until_ready("main").await;
        world.stop_operator().await;
        world.apply("main", broken.clone());
        world.start_operator();
        looked_after(&world, broken).await;
    }
}

/// Gives a trunk this spec, then load, then a node that is drained.
async fn looked_after(world: &World, broken: serde_json::Value) {
    world.apply("main", broken);
    world.until("it is told", |world| world.is_because("main", "Degraded", "InvalidSpec")).await;
    for (_, address) in world.pods("main") {
        world.fleet.calls(address, 90);
    }
    world.until("the data plane grows all the same", |world| world.replicas("main") == Some(3)).await;
    world.until("the new pod is there", |world| world.pods("main").len() == 3).await;
    let least_ready =
        |world: &World| world.get("policy", "poddisruptionbudgets", "main-dataplane")?["spec"]["minAvailable"].as_u64();
    world.until("the budget follows", |world| least_ready(world) == Some(2)).await;
    assert!(world.api.change("", "nodes", "", "node-1", &json!({ "spec": { "unschedulable": true } })));
    world.until("its pods are drained all the same", |world| !world.fleet.drains().is_empty()).await;
    assert!(world.is_because("main", "Degraded", "InvalidSpec"), "it is told as long as it is so");
}

#[tokio::test]
async fn with_a_broken_spec_what_was_built_stays_and_is_put_back() {
    let world = World::start();
    world.apply("main", json!({ "numbers": ["100"] }));
    world.until_ready("main").await;
    world.until_settled().await;
    let template = |world: &World| {
        let deployment = world.get("apps", "deployments", "main-dataplane").expect("it is there");
        deployment["spec"]["template"].clone()
    };
    let before = template(&world);
    world.apply("main", json!({ "numbers": ["("], "conversation": { "prompt": "Another." } }));
    world.until("it is told", |world| world.is_because("main", "Degraded", "InvalidSpec")).await;
    assert!(world.api.delete("", "services", NAMESPACE, "main-pods"));
    world.until("it is made again", |world| world.get("", "services", "main-pods").is_some()).await;
    assert_eq!(template(&world), before);
}

#[tokio::test]
async fn an_object_that_does_not_parse_stops_no_other_and_says_so() {
    let world = World::start();
    world.apply("broken", json!({ "sessions": { "maxPerPod": "many" } }));
    world.apply("main", json!({}));
    world.until_ready("main").await;
    world.until("it is told", |world| world.is_because("broken", "Degraded", "InvalidSpec")).await;
    world.until_settled().await;
    world.api.forget_asked();
    world.passes(30).await;
    assert_eq!(world.api.writes(), []);
    world.apply("broken", json!({}));
    world.until_ready("broken").await;
}

#[tokio::test]
async fn a_broken_object_that_was_there_before_the_operator_is_told_of_once() {
    let mut world = World::empty();
    world.apply("broken", json!({ "sessions": { "maxPerPod": "many" } }));
    world.start_operator();
    world.until("it is told", |world| world.is_because("broken", "Degraded", "InvalidSpec")).await;
    world.stop_operator().await;
    world.api.forget_asked();
    world.start_operator();
    world.passes(10).await;
    assert_eq!(world.api.writes(), []);
}

#[tokio::test]
async fn a_namespace_that_ends_is_no_problem_of_the_trunk() {
    let world = World::start();
    let fault = Fault::Status {
        code: 403,
        reason: "Forbidden",
        message: "unable to create new content in namespace telephony because it is being terminated",
        retry_after_seconds: 0,
        cause: Some("NamespaceTerminating"),
    };
    world.api.fail(usize::MAX, fault, |asked| asked.verb == "patch" && asked.subresource.is_none());
    world.apply("main", json!({}));
    world.passes(20).await;
    assert_eq!(world.failed_passes(), 0);
    assert!(world.is("main", "Degraded", "False"));
    assert_eq!(world.told(), [] as [String; 0]);
}
