//! What FreeSWITCH says of its gateways is in the trunk's status.

use serde_json::{Value, json};
use sofia_operator::switch::GatewayState;

use crate::support::world::World;

fn gateway(world: &World) -> Value {
    world
        .get("sofia-phone.io", "voicetrunks", "main")
        .map(|trunk| trunk["status"]["gateways"][0].clone())
        .unwrap_or_default()
}

#[tokio::test]
async fn a_registration_that_fails_is_in_the_status_until_it_succeeds() {
    let world = World::start();
    world.secret("carrier", "password", "hush");
    world.fleet.gateways(GatewayState::Registered);
    let gateways = json!([{ "name": "carrier", "proxy": "sip.example.com", "username": "sofia",
        "passwordSecretRef": { "name": "carrier", "key": "password" } }]);
    world.apply("main", json!({ "freeSwitch": { "gateways": gateways } }));
    world.until_ready("main").await;
    world.until("it is registered", |world| gateway(world)["state"] == "Registered").await;
    assert_eq!(gateway(&world)["name"], "carrier");

    world.fleet.gateways(GatewayState::Failed);
    world.until("it is told", |world| world.is("main", "Degraded", "True")).await;
    world.until("in which state it is", |world| gateway(world)["state"] == "Failed").await;
    assert!(world.is("main", "Ready", "True"), "others' callers are answered");

    world.fleet.gateways(GatewayState::Registered);
    world.until("it is right again", |world| world.is("main", "Degraded", "False")).await;
    assert!(world.fleet.passwords().iter().all(|password| password.len() > 16), "with the event socket's own");
}

#[tokio::test]
async fn a_freeswitch_that_is_not_seen_costs_its_trunk_nothing() {
    let world = World::start();
    world.apply("main", json!({ "freeSwitch": { "gateways": [{ "name": "carrier", "proxy": "sip.example.com" }] } }));
    world.until_ready("main").await;
    world.until("nothing is known", |world| gateway(world)["state"] == "Unknown").await;
    assert!(world.is("main", "Degraded", "False"));
}
