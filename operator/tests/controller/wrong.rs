//! VoiceTrunks that can't be carried out say why, and don't stop the others.

use serde_json::json;

use crate::support::{api::Fault, world::World};

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
