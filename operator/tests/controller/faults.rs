//! An API server that fails: it is told, it is tried again with pauses, and it comes right.

use std::time::Duration;

use serde_json::json;

use crate::support::{api::Fault, requests::Asked, world::World};

fn writes_deployments(asked: &Asked) -> bool {
    asked.verb == "patch" && asked.resource == "deployments"
}

async fn comes_right_after(fault: Fault, times: usize) -> World {
    let world = World::start();
    world.api.fail(times, fault, |asked| asked.writes() && asked.resource != "events");
    world.apply("main", json!({}));
    world.until_ready("main").await;
    world.until_settled().await;
    assert!(world.is("main", "Degraded", "False"));
    world
}

#[tokio::test]
async fn a_conflict_is_looked_at_again() {
    comes_right_after(Fault::status(409, "Conflict", "the object has been modified"), 5).await;
}

#[tokio::test]
async fn an_internal_error_is_survived() {
    let world = comes_right_after(Fault::status(500, "InternalError", "etcd is tired"), 30).await;
    assert!(world.failed_passes() > 0);
}

#[tokio::test]
async fn a_connection_that_breaks_is_survived() {
    comes_right_after(Fault::Reset, 10).await;
}

#[tokio::test]
async fn an_answer_that_is_lost_is_survived_and_nothing_is_made_twice() {
    let world = comes_right_after(Fault::ResetAfter, 10).await;
    assert_eq!(world.api.all("", "secrets").len(), 3);
}

#[tokio::test]
async fn an_api_server_that_is_slow_is_waited_for() {
    comes_right_after(Fault::Slow(Duration::from_millis(50)), 10).await;
}

#[tokio::test]
async fn an_api_server_that_is_busy_is_left_alone_as_long_as_it_asks() {
    let (code, reason) = (429, "TooManyRequests");
    let fault = Fault::Status { code, reason, message: "busy", retry_after_seconds: 1, cause: None };
    comes_right_after(fault, 10).await;
}

#[tokio::test]
async fn a_missing_permission_is_told_with_what_it_is_needed_for() {
    let world = World::start();
    let message = "deployments.apps \"main-dataplane\" is forbidden: User \"operator\" cannot patch resource";
    world.api.fail(usize::MAX, Fault::status(403, "Forbidden", message), writes_deployments);
    world.apply("main", json!({}));
    world.until("it is told", |world| world.is_because("main", "Degraded", "Forbidden")).await;
    let [_, _, message] = world.condition("main", "Degraded").expect("it is told");
    assert!(message.contains("apply Deployment main-dataplane"), "{message}");
    world.api.mend();
    world.until_ready("main").await;
}

#[tokio::test]
async fn a_quota_is_told_apart_from_a_missing_permission() {
    let world = World::start();
    let message = "services \"main-esl\" is forbidden: exceeded quota: services";
    world.api.fail(usize::MAX, Fault::status(403, "Forbidden", message), |asked| {
        asked.verb == "patch" && asked.resource == "services"
    });
    world.apply("main", json!({}));
    world.until("it is told", |world| world.is_because("main", "Degraded", "Refused")).await;
    assert_eq!(world.get("apps", "deployments", "main-dataplane"), None);
    world.api.mend();
    world.until_ready("main").await;
}

#[tokio::test]
async fn a_trunk_whose_writes_fail_does_not_hold_up_another() {
    let world = World::start();
    world.api.fail(usize::MAX, Fault::status(500, "InternalError", "no"), |asked| {
        asked.writes() && asked.name.as_deref().is_some_and(|name| name.starts_with("bad-"))
    });
    world.apply("bad", json!({}));
    world.apply("good", json!({}));
    world.until_ready("good").await;
    world.until("the failure is told", |world| world.is_because("bad", "Degraded", "ApiError")).await;
}
