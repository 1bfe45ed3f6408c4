//! An operator that ends in the middle of its work leaves nothing undone for the next one.

use std::time::Duration;

use serde_json::json;

use crate::support::{api::Fault, world::World};

#[tokio::test]
async fn an_operator_that_ends_mid_write_is_carried_on_by_the_next() {
    let mut world = World::start();
    world.api.fail(usize::MAX, Fault::Slow(Duration::from_secs(3600)), |asked| {
        asked.verb == "patch" && asked.resource == "networkpolicies"
    });
    world.apply("main", json!({}));
    world
        .until("it is in the middle", |world| {
            world.api.writes().iter().any(|asked| asked.resource == "networkpolicies")
        })
        .await;
    world.kill_operator().await;
    let tokens = |world: &World| world.get("", "secrets", "main-internal").map(|secret| secret["data"].clone());
    let made = tokens(&world);
    assert!(made.is_some());
    assert_eq!(world.get("apps", "deployments", "main-dataplane"), None);
    world.api.mend();
    world.start_operator();
    world.until_ready("main").await;
    assert_eq!(tokens(&world), made);
}

#[tokio::test]
async fn an_operator_that_is_told_to_stop_ends_the_write_that_it_began() {
    let mut world = World::start();
    world.api.fail(1, Fault::Slow(Duration::from_millis(200)), |asked| {
        asked.resource == "serviceaccounts" && asked.writes()
    });
    world.apply("main", json!({}));
    world
        .until("it is in the middle", |world| {
            world.api.writes().iter().any(|asked| asked.resource == "serviceaccounts")
        })
        .await;
    world.stop_operator().await;
    assert!(world.get("", "serviceaccounts", "main-freeswitch").is_some());
    world.api.forget_asked();
    tokio::task::yield_now().await;
    assert_eq!(world.api.asked(), []);
}
