//! A VoiceTrunk that is deleted takes its objects along, and nothing comes back.

use serde_json::json;

use crate::support::world::{NAMESPACE, World};

#[tokio::test]
async fn nothing_is_made_again_after_a_trunk_is_deleted() {
    let world = World::start();
    world.apply("main", json!({}));
    world.apply("other", json!({}));
    world.until_ready("main").await;
    world.until_ready("other").await;
    world.until_settled().await;
    world.api.forget_asked();
    assert!(world.api.delete("sofia-phone.io", "voicetrunks", NAMESPACE, "main"));
    world.until("it is forgotten", |world| world.forgotten() == 1).await;
    world.passes(20).await;
    assert_eq!(world.api.writes(), []);
    assert_eq!(world.get("apps", "deployments", "main-dataplane"), None);
    assert!(world.get("apps", "deployments", "other-dataplane").is_some());
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
