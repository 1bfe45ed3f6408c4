//! Nothing is written when nothing changed.

use serde_json::json;

use crate::support::world::World;

#[tokio::test]
async fn a_hundred_passes_without_news_write_nothing() {
    let world = World::start();
    world.apply("main", json!({}));
    world.until_ready("main").await;
    world.until_settled().await;
    world.api.forget_asked();
    world.passes(100).await;
    assert_eq!(world.api.writes(), []);
    // What the trunk refers to is read now and then, and nothing else.
    let others: Vec<_> = world.api.asked().into_iter().filter(|asked| asked.resource != "secrets").collect();
    assert_eq!(others, []);
}

#[tokio::test]
async fn an_operator_that_starts_anew_only_reads() {
    let mut world = World::start();
    world.apply("main", json!({ "scaling": { "mode": "HorizontalPodAutoscaler" } }));
    world.until_ready("main").await;
    world.until_settled().await;
    world.stop_operator().await;
    world.api.forget_asked();
    world.start_operator();
    world.passes(20).await;
    assert_eq!(world.api.writes(), []);
}

#[tokio::test]
async fn watches_that_end_and_begin_again_cause_no_write() {
    let world = World::start();
    world.apply("main", json!({}));
    world.until_ready("main").await;
    world.until_settled().await;
    world.api.forget_asked();
    world.api.end_watches(true);
    let lists = |world: &World| world.api.asked().iter().filter(|asked| asked.verb == "list").count();
    world.until("everything is listed anew", |world| lists(world) >= 11).await;
    world.passes(20).await;
    assert_eq!(world.api.writes(), []);
    world.apply("main", json!({ "conversation": { "greeting": "Hello" } }));
    world.until("the watches bring news again", |world| !world.api.writes().is_empty()).await;
}

#[tokio::test]
async fn sums_of_calls_are_written_when_they_change_and_rest_when_they_do_not() {
    let world = World::start();
    world.apply("main", json!({}));
    world.until_ready("main").await;
    let active = |world: &World| {
        world
            .get("sofia-phone.io", "voicetrunks", "main")
            .and_then(|trunk| trunk["status"]["sessions"]["active"].as_u64())
    };
    world.until("no calls are told", |world| active(world) == Some(0)).await;
    let (_, address) = world.pods("main")[0];
    world.fleet.calls(address, 7);
    world.until("seven calls are told", |world| active(world) == Some(7)).await;
}
