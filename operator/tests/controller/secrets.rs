//! Secrets that are missing are told, and do no harm; secrets that were made once stay as they are.

use serde_json::json;

use crate::support::world::{NAMESPACE, World};

fn with_carrier() -> serde_json::Value {
    json!({ "freeSwitch": { "gateways": [{ "name": "carrier", "proxy": "sip.example.com", "username": "sofia",
        "passwordSecretRef": { "name": "carrier", "key": "password" } }] } })
}

#[tokio::test]
async fn a_missing_secret_is_told_others_go_on_and_it_heals_by_itself() {
    let world = World::start();
    world.apply("main", with_carrier());
    world.apply("other", json!({}));
    world.until("what is missing is told", |world| world.is_because("main", "Degraded", "MissingSecret")).await;
    world.until_ready("other").await;
    let [_, _, message] = world.condition("main", "Degraded").expect("it is told");
    assert!(
        message.contains("carrier") && message.contains("spec.freeSwitch.gateways[0].passwordSecretRef"),
        "{message}"
    );
    assert_eq!(world.get("apps", "deployments", "main-dataplane"), None);
    world.secret("carrier", "passwort", "hush");
    world.until("the key is told", |world| world.is_because("main", "Degraded", "MissingSecretKey")).await;
    world.secret("carrier", "password", "hush");
    world.until_ready("main").await;
    assert!(world.is("main", "Degraded", "False"));
    let told = world.told();
    assert_eq!(told.iter().filter(|reason| *reason == "MissingSecret").count(), 1, "{told:?}");
    assert!(told.contains(&"Recovered".to_owned()), "{told:?}");
}

#[tokio::test]
async fn a_secret_that_vanishes_stops_nothing_that_runs() {
    let world = World::start();
    world.secret("carrier", "password", "hush");
    let mut spec = with_carrier();
    spec["scaling"] = json!({ "mode": "Operator", "bufferSessions": 10 });
    world.apply("main", spec);
    world.until_ready("main").await;
    assert!(world.api.delete("", "secrets", NAMESPACE, "carrier"));
    world.until("what is missing is told", |world| world.is_because("main", "Degraded", "MissingSecret")).await;
    for (_, address) in world.pods("main") {
        world.fleet.calls(address, 90);
    }
    world.until("the data plane grows all the same", |world| world.replicas("main") == Some(3)).await;
}

#[tokio::test]
async fn a_secret_that_is_gone_when_the_operator_starts_stops_no_drain_and_no_scaling() {
    let mut world = World::start();
    world.secret("carrier", "password", "hush");
    let mut spec = with_carrier();
    spec["scaling"] = json!({ "mode": "Operator", "bufferSessions": 10 });
    world.apply("main", spec);
    world.until_ready("main").await;
    world.stop_operator().await;
    assert!(world.api.delete("", "secrets", NAMESPACE, "carrier"));
    world.start_operator();
    world.until("what is missing is told", |world| world.is_because("main", "Degraded", "MissingSecret")).await;
    let config =
        |world: &World| world.get("", "secrets", "main-freeswitch-config").map(|secret| secret["data"].clone());
    let configured = config(&world);
    for (_, address) in world.pods("main") {
        world.fleet.calls(address, 90);
    }
    world.until("the data plane grows all the same", |world| world.replicas("main") == Some(3)).await;
    let least_ready =
        |world: &World| world.get("policy", "poddisruptionbudgets", "main-dataplane")?["spec"]["minAvailable"].as_u64();
    world.until("the budget follows", |world| least_ready(world) == Some(2)).await;
    assert!(world.api.change("", "nodes", "", "node-1", &json!({ "spec": { "unschedulable": true } })));
    world.until("its pods are drained all the same", |world| !world.fleet.drains().is_empty()).await;
    assert!(!world.fleet.drains()[0].token.is_empty(), "by the token that the pods have");
    assert_eq!(config(&world), configured, "nothing is built from what is not known");
    // Whoever drains a node for ever makes work for ever.
    assert!(world.api.change("", "nodes", "", "node-1", &json!({ "spec": { "unschedulable": false } })));
    world.until_settled().await;
    world.api.forget_asked();
    world.passes(10).await;
    assert_eq!(world.api.writes(), []);
    world.secret("carrier", "password", "hush");
    world.until("it heals", |world| world.is("main", "Degraded", "False")).await;
}

#[tokio::test]
async fn a_change_that_names_a_missing_secret_waits_and_the_last_spec_runs_on() {
    let world = World::start();
    world.apply("main", json!({ "scaling": { "bufferSessions": 10 } }));
    world.until_ready("main").await;
    let mut spec = with_carrier();
    spec["scaling"] = json!({ "maxReplicas": 2 });
    world.apply("main", spec);
    world.until("what is missing is told", |world| world.is_because("main", "Degraded", "MissingSecret")).await;
    for (_, address) in world.pods("main") {
        world.fleet.calls(address, 90);
    }
    world.until("the data plane grows all the same", |world| world.replicas("main") == Some(3)).await;
    world.secret("carrier", "password", "hush");
    world.until("it heals", |world| world.is("main", "Degraded", "False")).await;
    world.until("the new spec is in force", |world| world.told().contains(&"DrainBegan".to_owned())).await;
}

#[tokio::test]
async fn another_password_reaches_freeswitch() {
    let world = World::start();
    world.secret("carrier", "password", "first");
    world.apply("main", with_carrier());
    world.until_ready("main").await;
    let config =
        |world: &World| world.get("", "secrets", "main-freeswitch-config").map(|secret| secret["data"].clone());
    let before = config(&world);
    world.secret("carrier", "password", "second");
    world.until("the configuration changes", |world| config(world) != before).await;
}

#[tokio::test]
async fn tokens_are_made_once_and_survive_the_operator() {
    let mut world = World::start();
    world.apply("main", json!({}));
    world.until_ready("main").await;
    let tokens = |world: &World| {
        ["main-internal", "main-esl"].map(|name| world.get("", "secrets", name).map(|secret| secret["data"].clone()))
    };
    let made = tokens(&world);
    world.stop_operator().await;
    world.start_operator();
    world.passes(10).await;
    assert_eq!(tokens(&world), made);
}

#[tokio::test]
async fn nothing_secret_is_told() {
    let world = World::start();
    world.secret("carrier", "password", "hush-hush");
    world.apply("main", with_carrier());
    world.until_ready("main").await;
    world.until_settled().await;
    let mut shown: Vec<serde_json::Value> = world.api.all("events.k8s.io", "events");
    for (group, resource) in
        [("sofia-phone.io", "voicetrunks"), ("apps", "deployments"), ("", "services"), ("", "pods")]
    {
        shown.extend(world.api.all(group, resource));
    }
    let decode = |text: &str| {
        use base64::Engine as _;
        String::from_utf8(base64::engine::general_purpose::STANDARD.decode(text).expect("base64")).expect("text")
    };
    let internal = world.get("", "secrets", "main-internal").expect("it is there");
    let mut secrets = vec!["hush-hush".to_owned()];
    secrets.extend(
        internal["data"].as_object().expect("data").values().map(|value| decode(value.as_str().expect("text"))),
    );
    for object in shown {
        let text = object.to_string();
        assert!(secrets.iter().all(|secret| !text.contains(secret)), "{}", object["kind"]);
    }
}
