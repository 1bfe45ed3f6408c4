//! A VoiceTrunk that is deleted takes its objects along, and nothing comes back.

use std::time::Duration;

use serde_json::json;

use crate::support::{
    api::Fault,
    world::{NAMESPACE, World},
};

#[tokio::test]
async fn nothing_is_made_again_after_a_trunk_is_deleted() {
    let world = World::start();
    world.apply("main", json!({}));
    world.apply("other", json!({}));
    world.until_ready("main").await;
    world.until_ready("other").await;
    world.until_settled().await;
    assert!(world.api.delete("sofia-phone.io", "voicetrunks", NAMESPACE, "main"));
    world.until("it is forgotten", |world| world.forgotten() == 1).await;
    // What a pass wrote before the news of the deletion came has an owner that is no more.
    world.api.collect_garbage();
    world.api.forget_asked();
    world.passes(20).await;
    assert_eq!(world.api.writes(), []);
    assert_eq!(world.get("apps", "deployments", "main-dataplane"), None);
    assert!(world.get("apps", "deployments", "other-dataplane").is_some());
}

#[tokio::test]
async fn a_pass_that_waits_for_an_answer_ends_with_its_trunk() {
    let world = World::start();
    world.api.fail(1, Fault::Slow(Duration::from_secs(3600)), |asked| {
        asked.verb == "patch" && asked.resource == "networkpolicies"
    });
    world.apply("main", json!({}));
    let in_the_middle = |world: &World| world.api.writes().iter().any(|asked| asked.resource == "networkpolicies");
    world.until("it is in the middle", in_the_middle).await;
    assert!(world.api.delete("sofia-phone.io", "voicetrunks", NAMESPACE, "main"));
    world.until("it is forgotten", |world| world.forgotten() == 1).await;
    world.apply("main", json!({}));
    world.until_ready("main").await;
}

#[tokio::test]
async fn a_trunk_that_is_being_deleted_is_left_alone() {
    let world = World::start();
    world.apply("main", json!({}));
    world.until_ready("main").await;
    world.until_settled().await;
    let ending =
        json!({ "metadata": { "deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["foregroundDeletion"] } });
    assert!(world.api.change("sofia-phone.io", "voicetrunks", NAMESPACE, "main", &ending));
    world.passes(1).await;
    world.api.forget_asked();
    assert!(world.api.delete("", "services", NAMESPACE, "main-esl"));
    world.passes(1).await;
    assert_eq!(world.api.writes(), []);
    assert_eq!(world.get("", "services", "main-esl"), None);
}

#[tokio::test]
async fn a_trunk_that_is_made_again_under_its_old_name_gets_new_tokens() {
    let world = World::start();
    world.apply("main", json!({}));
    world.until_ready("main").await;
    let token =
        |world: &World| world.get("", "secrets", "main-internal").map(|secret| secret["data"]["admin-token"].clone());
    let first = token(&world);
    assert!(world.api.delete("sofia-phone.io", "voicetrunks", NAMESPACE, "main"));
    world.apply("main", json!({}));
    world.until_ready("main").await;
    assert!(token(&world).is_some());
    assert_ne!(token(&world), first);
}
