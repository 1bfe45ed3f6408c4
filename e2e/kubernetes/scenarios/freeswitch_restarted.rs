//! FreeSWITCH is drained before it is replaced; when it crashes its calls are lost and nothing else: the pods free their permits
//! at once.

use e2e_kubernetes::{Namespace, cluster_tool, eventually, when};
use k8s_openapi::api::core::v1::Pod;
use serde_json::json;
use switchsim::control::{NewCall, NewLoad};

#[tokio::test]
async fn freeswitch_is_drained_before_it_goes_and_a_crash_frees_the_permits() {
    let namespace = Namespace::create("freeswitch").await;
    let spec = json!({
        "scaling": {"mode": "Manual", "replicas": 1},
        "conversation": {"silence": {"mode": "Ignore"}},
        "drain": {"deadlineSeconds": 100},
    });
    let trunk = namespace.trunk("main", spec).await;
    trunk.ready(1).await;
    let callers = trunk.callers().await;
    let old = trunk.pods("freeswitch").await.remove(0);
    let call = callers.place_and_greet().await;
    // Holds the old FreeSWITCH until the outcome of the other one is read: it goes within a second of its last call.
    let last = callers.place_and_greet().await;

    // A changed configuration rolls FreeSWITCH: the new one is there before the old one stops taking calls.
    trunk.change(json!({"numbers": ["15550\\d+"]})).await;
    eventually("the old FreeSWITCH to refuse new calls", async || {
        let probe = callers.place(&NewCall::new("15550100").script(["hangup"])).await;
        let probe = callers.outcome(&probe).await;
        when((probe.answered, probe.sip_status) == (false, 503), probe)
    })
    .await;
    let now = callers.now(&call).await.expect("the call that was there goes on");
    assert_eq!(now.legs.len(), 1);
    let ended = callers.hang_up(&call).await;
    println!("the call of the FreeSWITCH that was drained: {ended}");
    assert_eq!(ended.packets_lost(), 0);
    callers.ask_to_hang_up(&last).await;
    let gone = |pods: &[Pod]| pods.iter().all(|pod| pod.metadata.uid != old.metadata.uid);
    eventually("the old FreeSWITCH to go once it is empty", async || {
        let pods = trunk.every_pod("freeswitch").await;
        when(gone(&pods) && pods.len() == 1, pods.len())
    })
    .await;
    trunk.ready(1).await;

    if cluster_tool().is_none() {
        println!("skipped: a FreeSWITCH of this cluster can't be killed from here");
        return namespace.delete().await;
    }
    let callers = trunk.callers().await;
    let load = callers.start_load(&NewLoad::new("15550100", 4)).await;
    callers.load_until(&load, "four calls", |load| load.running.answered == 4).await;
    eventually("the status to count the calls", async || {
        let status = trunk.status().await;
        when(status.sessions.is_some_and(|sessions| sessions.active == 4), status)
    })
    .await;
    let switch = trunk.pods("freeswitch").await.remove(0);
    trunk.harm(&switch, &["signal", "KILL"]).await;
    eventually("the pods to free their permits", async || {
        let status = trunk.status().await;
        when(status.sessions.is_some_and(|sessions| sessions.active == 0), status)
    })
    .await;
    trunk.ready(1).await;
    let restarted = trunk.pods("dataplane").await.iter().any(|pod| {
        let status = pod.status.as_ref().and_then(|status| status.container_statuses.as_ref());
        status.is_some_and(|containers| containers.iter().any(|container| container.restart_count > 0))
    });
    assert!(!restarted, "no data-plane pod is harmed");
    let again = trunk.callers().await;
    let call = again.place_and_greet().await;
    again.hang_up(&call).await;
    namespace.delete().await;
}
