//! What a VoiceTrunk asks for comes to be, and stays so.

use serde_json::{Value, json};

use crate::support::world::{NAMESPACE, World};

fn names(world: &World, group: &str, resource: &str) -> Vec<String> {
    let all = world.api.all(group, resource);
    all.iter().map(|object| object["metadata"]["name"].as_str().unwrap_or_default().to_owned()).collect()
}

#[tokio::test]
async fn a_new_trunk_gets_all_its_objects_and_becomes_ready() {
    let world = World::start();
    world.apply("main", json!({}));
    world.until_ready("main").await;
    assert_eq!(names(&world, "apps", "deployments"), ["main-dataplane", "main-freeswitch"]);
    assert_eq!(names(&world, "", "secrets"), ["main-esl", "main-freeswitch-config", "main-internal"]);
    assert_eq!(names(&world, "", "services"), ["main-esl", "main-freeswitch", "main-pods", "main-takeover"]);
    let trunk = world.get("sofia-phone.io", "voicetrunks", "main").expect("it is there");
    assert_eq!(trunk["status"]["observedGeneration"], 1);
    assert_eq!(trunk["status"]["replicas"], 2);
    assert_eq!(trunk["status"]["sessions"]["capacity"], 200);
    for (group, resource) in
        [("apps", "deployments"), ("", "secrets"), ("", "services"), ("policy", "poddisruptionbudgets")]
    {
        for object in world.api.all(group, resource) {
            assert_eq!(object["metadata"]["ownerReferences"][0]["uid"], trunk["metadata"]["uid"]);
        }
    }
    world.until("its creation is told", |world| world.told().contains(&"Created".to_owned())).await;
}

#[tokio::test]
async fn a_trunk_is_not_ready_before_its_pods_are() {
    let world = World::start();
    world.cluster.set_ready(false);
    world.apply("main", json!({}));
    world.until("it is told that it is not ready", |world| world.is("main", "Ready", "False")).await;
    world.until_settled().await;
    assert!(world.is("main", "Ready", "False"));
    world.cluster.set_ready(true);
    world.until_ready("main").await;
}

#[tokio::test]
async fn another_greeting_changes_the_data_planes_template_and_nothing_else() {
    let world = World::start();
    world.apply("main", json!({}));
    world.until_ready("main").await;
    world.until_settled().await;
    let before = world.get("apps", "deployments", "main-dataplane").expect("it is there");
    world.api.forget_asked();
    world.apply("main", json!({ "conversation": { "greeting": "Good day" } }));
    world
        .until("the greeting is in the template", |world| {
            world
                .get("apps", "deployments", "main-dataplane")
                .is_some_and(|after| after.to_string().contains("Good day"))
        })
        .await;
    world.until_settled().await;
    let after = world.get("apps", "deployments", "main-dataplane").expect("it is there");
    assert_ne!(before["spec"]["template"], after["spec"]["template"]);
    assert_eq!(before["spec"]["replicas"], after["spec"]["replicas"]);
    let mut written: Vec<String> = world
        .api
        .writes()
        .iter()
        .filter(|asked| asked.resource != "voicetrunks" && asked.resource != "events")
        .map(|asked| format!("{} {} {}", asked.verb, asked.resource, asked.name.as_deref().unwrap_or_default()))
        .collect();
    written.dedup();
    assert_eq!(written, ["patch deployments main-dataplane"]);
}

#[tokio::test]
async fn what_others_set_on_an_object_is_left_alone() {
    let world = World::start();
    world.apply("main", json!({}));
    world.until_ready("main").await;
    let theirs = json!({ "metadata": { "annotations": { "example.com/team": "voice" } }, "spec": { "paused": false } });
    assert!(world.api.change("apps", "deployments", NAMESPACE, "main-dataplane", &theirs));
    world.until_settled().await;
    world.apply("main", json!({ "conversation": { "greeting": "Good day" } }));
    world
        .until("the greeting is in the template", |world| {
            world
                .get("apps", "deployments", "main-dataplane")
                .is_some_and(|after| after.to_string().contains("Good day"))
        })
        .await;
    world.until_settled().await;
    let after = world.get("apps", "deployments", "main-dataplane").expect("it is there");
    assert_eq!(after["metadata"]["annotations"]["example.com/team"], "voice");
    assert_eq!(after["spec"]["paused"], false);
}

#[tokio::test]
async fn what_the_trunk_no_longer_asks_for_leaves_the_object() {
    let world = World::start();
    world.apply("main", json!({ "dataPlane": { "nodeSelector": { "disk": "fast" } } }));
    world.until_ready("main").await;
    let selector = |world: &World| -> Value {
        let deployment = world.get("apps", "deployments", "main-dataplane").expect("it is there");
        deployment["spec"]["template"]["spec"]["nodeSelector"]["disk"].clone()
    };
    assert_eq!(selector(&world), "fast");
    world.apply("main", json!({}));
    world.until("the selector is gone", |world| selector(world).is_null()).await;
}

#[tokio::test]
async fn what_somebody_changed_is_put_back() {
    let world = World::start();
    world.apply("main", json!({}));
    world.until_ready("main").await;
    world.until_settled().await;
    let port = |world: &World| {
        world.get("", "services", "main-esl").map(|service| service["spec"]["ports"][0]["port"].clone())
    };
    let good = port(&world);
    let mut service = world.get("", "services", "main-esl").expect("it is there");
    service["spec"]["ports"][0]["port"] = json!(1);
    world.api.put("", "services", service);
    world
        .until("the port is put back", |world| {
            let service = world.get("", "services", "main-esl").expect("it is there");
            service["spec"]["ports"]
                .as_array()
                .is_some_and(|ports| ports.iter().any(|p| Some(&p["port"]) == good.as_ref()))
        })
        .await;
    let drifted = json!({ "spec": { "template": { "spec": { "containers": [{ "name": "other", "image": "x" }] } } } });
    assert!(world.api.change("apps", "deployments", NAMESPACE, "main-dataplane", &drifted));
    world
        .until("the container is put back", |world| {
            let deployment = world.get("apps", "deployments", "main-dataplane").expect("it is there");
            deployment.to_string().contains("example.com/sofia-dataplane:0.1.0")
        })
        .await;
}

#[tokio::test]
async fn labels_and_owners_that_somebody_took_away_are_put_back() {
    let world = World::start();
    world.apply("main", json!({}));
    world.until_ready("main").await;
    world.until_settled().await;
    let gone = json!({ "metadata": { "labels": { "app.kubernetes.io/managed-by": null } } });
    assert!(world.api.change("", "secrets", NAMESPACE, "main-esl", &gone));
    let orphaned = json!({ "metadata": { "ownerReferences": null } });
    assert!(world.api.change("policy", "poddisruptionbudgets", NAMESPACE, "main-dataplane", &orphaned));
    world
        .until("both are put back", |world| {
            let secret = world.get("", "secrets", "main-esl").expect("it is there");
            let budget = world.get("policy", "poddisruptionbudgets", "main-dataplane").expect("it is there");
            secret["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "sofia-phone-operator"
                && budget["metadata"]["ownerReferences"].is_array()
        })
        .await;
}

#[tokio::test]
async fn an_object_of_somebody_else_with_a_name_that_is_needed_is_not_taken() {
    let world = World::start();
    world.secret("main-esl", "token", "theirs");
    world.apply("main", json!({}));
    world.until("the name is told to be taken", |world| world.is_because("main", "Degraded", "NameTaken")).await;
    let secret = world.get("", "secrets", "main-esl").expect("it is there");
    assert!(secret["metadata"]["ownerReferences"].is_null());
    assert_eq!(world.get("apps", "deployments", "main-dataplane"), None);
    assert!(world.api.delete("", "secrets", NAMESPACE, "main-esl"));
    world.until_ready("main").await;
    assert!(world.is("main", "Degraded", "False"));
}

#[tokio::test]
async fn a_front_door_that_is_closed_is_in_the_figures() {
    let world = World::start();
    world.apply("main", json!({}));
    world.until_ready("main").await;
    let free_switch = |world: &World| world.passes.figures.lock().expect("figures").get("main")?.free_switch;
    let says = |world: &World, kind: &str| {
        let all = world.passes.conditions.lock().expect("conditions");
        all.get("main").and_then(|all| all.iter().find(|said| said[0] == kind).map(|said| said[1].clone()))
    };
    world.until("it is counted", |world| free_switch(world).is_some_and(|pods| pods.ready == 1)).await;
    assert_eq!(says(&world, "Ready").as_deref(), Some("True"));
    world.cluster.set_ready(false);
    world.until("it is counted", |world| free_switch(world).is_some_and(|pods| pods.not_ready == 1)).await;
    world.until("the condition is told", |world| says(world, "Ready").as_deref() == Some("False")).await;
}
