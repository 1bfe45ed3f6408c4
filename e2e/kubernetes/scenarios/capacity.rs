//! Pods take calls up to their limit; a full one is passed over; when all are full the caller is told to come again later.

use e2e_kubernetes::{Namespace, eventually, when};
use serde_json::json;
use switchsim::control::{NewCall, NewLoad};

#[tokio::test]
async fn a_full_pod_is_passed_over_and_a_full_fleet_answers_503() {
    let namespace = Namespace::create("capacity").await;
    let spec = json!({
        "sessions": {"maxPerPod": 4},
        "scaling": {"mode": "Manual", "replicas": 2},
        "drain": {"deadlineSeconds": 5},
    });
    let trunk = namespace.trunk("main", spec).await;
    trunk.ready(2).await;
    let callers = trunk.callers().await;

    // Eight calls fit, wherever the Service leads each to: a pod that is full refuses, and the next try is another one.
    let load = NewLoad { rate: 4.0, ..NewLoad::new("15550100", 8) };
    let load = callers.start_load(&load).await;
    let full = callers.load_until(&load, "eight calls", |load| load.running.answered == 8).await;
    println!("8 calls up after {} offered, refused {:?}", full.offered, full.report.refused);
    eventually("no pod to be ready, since all are full", async || {
        let status = trunk.status().await;
        when(status.ready_replicas == 0 && status.replicas == 2, status)
    })
    .await;
    trunk.condition("Degraded", "False").await;
    let told = trunk.condition("Ready", "False").await;
    assert!(told.contains("full"), "{told}");

    let refused = callers.place(&NewCall::new("15550100")).await;
    let refused = callers.outcome(&refused).await;
    println!("the ninth: {refused}");
    assert_eq!((refused.answered, refused.sip_status), (false, 503));
    assert!(refused.sip_headers.contains_key("Retry-After"), "{:?}", refused.sip_headers);

    // At three of four calls a pod is below its low-water mark.
    callers.set_level(&load, 2).await;
    trunk.ready(2).await;
    let again = callers.place_and_greet().await;
    callers.hang_up(&again).await;
    let end = callers.stop_load(&load).await;
    assert_eq!((end.report.cut, end.report.lost), (0, 0), "{:?}", end.report);
    namespace.delete().await;
}
