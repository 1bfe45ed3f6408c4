//! FreeSWITCH is asked for its gateways through the API server, to the loopback of its pod, whichever network that is; one that is down is told.

use e2e_kubernetes::{Namespace, Trunk, eventually, kubectl, when};
use kube::ResourceExt as _;
use serde_json::json;
use sofia_crds::status::GatewayState;

async fn states(trunk: &Trunk, expected: &[(&str, GatewayState)]) {
    eventually("the gateways to be told of", async || {
        let gateways = trunk.status().await.gateways;
        let found: Vec<_> = gateways.iter().map(|gateway| (gateway.name.as_str(), gateway.state)).collect();
        when(found == expected, &gateways)
    })
    .await;
}

#[tokio::test]
async fn a_registration_that_is_lost_is_in_the_status_and_the_conditions() {
    let namespace = Namespace::create("gateways").await;
    namespace.secret("carrier", json!({"password": "hush"})).await;
    let spec = json!({
        "scaling": {"mode": "Manual", "replicas": 1},
        "freeSwitch": {
            "gateways": [
                {"name": "carrier", "proxy": "sip.example.com", "username": "sofia", "registration": "Enabled",
                    "passwordSecretRef": {"name": "carrier", "key": "password"}},
                {"name": "pbx", "proxy": "pbx.example.com"},
            ],
        },
    });
    let trunk = namespace.trunk("main", spec).await;
    trunk.ready(1).await;
    states(&trunk, &[("carrier", GatewayState::Registered), ("pbx", GatewayState::Reachable)]).await;
    trunk.condition("Degraded", "False").await;
    let free_switch = trunk.status().await.free_switch.expect("it runs here");
    assert_eq!(free_switch.channels, Some(0));

    let pod = trunk.pods("freeswitch").await.remove(0).name_any();
    let lost = ["-n", &namespace.name, "exec", &pod, "--", "fs_cli", "-x", "sofia profile edge unregister carrier"];
    let _ = kubectl(&lost).await.printed();
    states(&trunk, &[("carrier", GatewayState::Unreachable), ("pbx", GatewayState::Reachable)]).await;
    let told = trunk.condition("Degraded", "True").await;
    assert!(told.contains("carrier") && !told.contains("pbx"), "{told}");
    namespace.delete().await;
}
