//! Several operators, operators with few rights, and kinds that come and go.

use serde_json::json;

use crate::support::world::{NAMESPACE, World};

fn with_class(world: &World, name: &str, class: &str) {
    world.api.put(
        "sofia-phone.io",
        "voicetrunks",
        json!({ "apiVersion": "sofia-phone.io/v1alpha1", "kind": "VoiceTrunk", "spec": {}, "metadata": {
            "name": name, "namespace": NAMESPACE, "labels": { "sofia-phone.io/operator-class": class } } }),
    );
}

#[tokio::test]
async fn an_operator_leaves_the_trunks_of_others_alone() {
    for (class, own, other) in [(None, "plain", "theirs"), (Some("blue"), "theirs", "plain")] {
        let mut world = World::empty();
        world.class = class.map(str::to_owned);
        with_class(&world, "theirs", "blue");
        with_class(&world, "third", "green");
        world.apply("plain", json!({}));
        world.start_operator();
        world.until_ready(own).await;
        world.passes(10).await;
        for name in [other, "third"] {
            assert_eq!(world.get("apps", "deployments", &format!("{name}-dataplane")), None);
            let trunk = world.get("sofia-phone.io", "voicetrunks", name).expect("it is there");
            assert!(trunk["status"].is_null(), "{name}");
        }
    }
}

#[tokio::test]
async fn a_trunk_that_is_given_to_another_operator_is_left_as_it_is() {
    let world = World::start();
    world.apply("main", json!({}));
    world.until_ready("main").await;
    let blue = json!({ "metadata": { "labels": { "sofia-phone.io/operator-class": "blue" } } });
    assert!(world.api.change("sofia-phone.io", "voicetrunks", NAMESPACE, "main", &blue));
    world.until("it is forgotten", |world| world.forgotten() == 1).await;
    world.apply("other", json!({}));
    world.until_ready("other").await;
    assert!(world.api.delete("", "services", NAMESPACE, "main-pods"));
    world.passes(10).await;
    assert_eq!(world.get("", "services", "main-pods"), None, "it is the other one's to mend");
    assert!(world.get("apps", "deployments", "main-dataplane").is_some());
}

#[tokio::test]
async fn without_rights_in_the_cluster_all_but_cordons_is_looked_after() {
    let mut world = World::empty();
    world.nodes = false;
    world.start_operator();
    world.apply("main", json!({}));
    world.until_ready("main").await;
    for (_, address) in world.pods("main") {
        world.fleet.calls(address, 95);
    }
    world.until("the data plane grows", |world| world.replicas("main") == Some(3)).await;
    assert!(world.api.asked().iter().all(|asked| asked.resource != "nodes"));
}

#[tokio::test]
async fn pod_monitors_are_made_when_their_kind_comes_and_missed_by_nobody_when_it_goes() {
    let world = World::start();
    world.apply("main", json!({}));
    world.until_ready("main").await;
    let monitor = |world: &World| world.get("monitoring.coreos.com", "podmonitors", "main-dataplane");
    assert_eq!(monitor(&world), None);
    world.api.with_pod_monitors();
    world.until("there is one", |world| monitor(world).is_some()).await;
    world.api.without_pod_monitors();
    world.apply("main", json!({ "conversation": { "greeting": "Hello" } }));
    for (_, address) in world.pods("main") {
        world.fleet.calls(address, 95);
    }
    world.until("the data plane grows", |world| world.replicas("main") == Some(3)).await;
    world.until_settled().await;
    assert!(world.is("main", "Degraded", "False"), "{:?}", world.condition("main", "Degraded"));
    assert_eq!(world.failed_passes(), 0);
}
