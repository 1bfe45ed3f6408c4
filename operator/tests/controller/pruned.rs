//! What is no longer wanted goes; what is not the trunk's stays.

use serde_json::json;

use crate::support::{
    api::Fault,
    world::{NAMESPACE, World},
};

#[tokio::test]
async fn the_autoscaler_goes_with_its_mode_and_those_of_others_stay() {
    let world = World::start();
    let theirs = json!({ "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "metadata": { "name": "theirs", "namespace": NAMESPACE, "labels": {
            "app.kubernetes.io/managed-by": "sofia-phone-operator", "app.kubernetes.io/instance": "main" } }, "spec": {} });
    world.api.put("autoscaling", "horizontalpodautoscalers", theirs);
    world.apply("main", json!({ "scaling": { "mode": "HorizontalPodAutoscaler" } }));
    let autoscaler = |world: &World| world.get("autoscaling", "horizontalpodautoscalers", "main-dataplane");
    world.until("there is an autoscaler", |world| autoscaler(world).is_some()).await;
    world.until_ready("main").await;
    world.apply("main", json!({ "scaling": { "mode": "Operator" } }));
    world.until("the autoscaler is gone", |world| autoscaler(world).is_none()).await;
    world.until_settled().await;
    assert!(world.get("autoscaling", "horizontalpodautoscalers", "theirs").is_some());
}

#[tokio::test]
async fn a_delete_that_meets_another_object_is_asked_again_of_what_is_there_then() {
    let world = World::start();
    world.apply("main", json!({ "scaling": { "mode": "HorizontalPodAutoscaler" } }));
    world.until_ready("main").await;
    world.until_settled().await;
    let conflict = Fault::status(409, "Conflict", "the uid in the precondition does not match");
    world.api.fail(1, conflict, |asked| asked.verb == "delete");
    world.apply("main", json!({}));
    world
        .until("the delete was asked again", |world| {
            world.get("autoscaling", "horizontalpodautoscalers", "main-dataplane").is_none()
        })
        .await;
    let deletes = world.api.writes().iter().filter(|asked| asked.verb == "delete").count();
    assert!(deletes >= 2);
}
