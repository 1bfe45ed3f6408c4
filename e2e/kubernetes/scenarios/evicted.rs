//! Pods with calls are evicted as node autoscalers do it: the budget says beforehand that it lets one go, no node is cordoned, and nobody
//! asked the operator. The calls go on, and a second pod is not let go before the first one is replaced.

use std::collections::BTreeMap;

use e2e_kubernetes::{Callers, Namespace, Trunk, eventually, kept_conversation, when};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::Api;
use kube::api::EvictParams;
use serde_json::json;
use switchsim::control::{Length, NewLoad};

/// More than the pods of the scenario have together when one is evicted and another starts.
const CALLERS: usize = 4;

#[tokio::test]
async fn a_pod_with_calls_is_evicted_and_none_is_cut() {
    let namespace = Namespace::create("evicted").await;
    let spec = json!({
        "scaling": {"mode": "Manual", "replicas": 2},
        "conversation": {"silence": {"mode": "Ignore"}},
        "drain": {"deadlineSeconds": 6},
    });
    let trunk = namespace.trunk("main", spec).await;
    trunk.ready(2).await;
    let callers = trunk.callers().await;
    let mut calls = Vec::new();
    for _ in 0..CALLERS {
        calls.push(callers.place_and_ask().await);
    }
    for call in &calls {
        callers.until_answered(call).await;
    }
    let length = Length::Uniform { min_seconds: 2.0, max_seconds: 6.0 };
    let load = callers.start_load(&NewLoad { rate: 4.0, length, ..NewLoad::new("15550100", 6) }).await;
    callers.load_until(&load, "six calls", |load| load.running.answered >= 6).await;

    // What they look at before they choose a node.
    allowed(&trunk, 1).await;
    node_is_kept(&trunk, "FreeSWITCH has calls").await;
    let [first, second] = <[Pod; 2]>::try_from(trunk.pods("dataplane").await).expect("two pods");
    evict(&trunk, &first).await.expect("the budget lets a pod with calls go");
    let refused = evict(&trunk, &second).await.expect_err("one of two pods is left to take calls");
    assert!(matches!(&refused, kube::Error::Api(status) if status.code == 429), "{refused}");
    namespace.say("one pod is evicted, another one is refused");
    // As they do: asked for again until it is let go.
    eventually("the second pod to be let go", async || evict(&trunk, &second).await.map_err(|error| error.to_string()))
        .await;
    namespace.say("the second one is evicted too");
    gone(&trunk, &[first, second]).await;
    trunk.ready(2).await;
    allowed(&trunk, 1).await;

    let end = callers.stop_load(&load).await;
    println!(
        "{} calls offered, {} answered, refused {:?}, cut {}, taken over {}, packets lost {}",
        end.offered, end.report.answered, end.report.refused, end.report.cut, end.report.taken_over, end.report.lost
    );
    assert_eq!((end.report.cut, end.report.lost), (0, 0), "{:?} {:#?}", end.report.cut_causes, end.notable);
    assert!(end.report.refused.is_empty(), "{:?} {:#?}", end.report.refused, end.notable);
    they_went_on(&callers, &calls).await;
    namespace.delete().await;
}

#[tokio::test]
async fn the_only_pod_is_evicted_and_its_call_goes_on_in_the_next_one() {
    let namespace = Namespace::create("evicted-alone").await;
    let spec = json!({
        "scaling": {"mode": "Manual", "replicas": 1},
        "conversation": {"silence": {"mode": "Ignore"}},
        "drain": {"deadlineSeconds": 20},
    });
    let trunk = namespace.trunk("main", spec).await;
    trunk.ready(1).await;
    let callers = trunk.callers().await;
    let call = callers.place_and_ask().await;
    callers.until_answered(&call).await;
    allowed(&trunk, 1).await;
    let pod = trunk.pods("dataplane").await.remove(0);
    evict(&trunk, &pod).await.expect("the budget lets the only pod go");
    gone(&trunk, &[pod]).await;
    trunk.ready(1).await;
    they_went_on(&callers, &[call]).await;
    namespace.delete().await;
}

/// Asks the API server to evict a pod; its budget decides.
async fn evict(trunk: &Trunk, pod: &Pod) -> kube::Result<()> {
    let pods: Api<Pod> = trunk.namespace.api();
    let name = pod.metadata.name.as_deref().expect("pods have names");
    pods.evict(name, &EvictParams::default()).await.map(drop)
}

/// Waits until the budget of the data plane says that so many pods may be evicted.
async fn allowed(trunk: &Trunk, pods: i32) {
    let budgets: Api<PodDisruptionBudget> = trunk.namespace.api();
    eventually("the budget to let a pod go", async || {
        let budget = budgets.get(&format!("{}-dataplane", trunk.name)).await.map_err(|error| error.to_string())?;
        let status = budget.status.unwrap_or_default();
        when(status.disruptions_allowed == pods, status)
    })
    .await;
}

/// Waits until FreeSWITCH's pod says that its node must stay.
async fn node_is_kept(trunk: &Trunk, why: &str) {
    eventually(&format!("the node to be kept: {why}"), async || {
        let annotations: BTreeMap<String, String> =
            trunk.pods("freeswitch").await.remove(0).metadata.annotations.unwrap_or_default();
        let says = |key: &str, value: &str| annotations.get(key).is_some_and(|there| there == value);
        let kept = says("karpenter.sh/do-not-disrupt", "true")
            && says("cluster-autoscaler.kubernetes.io/safe-to-evict", "false");
        when(kept, &annotations)
    })
    .await;
}

/// Waits until these pods have ended.
async fn gone(trunk: &Trunk, pods: &[Pod]) {
    eventually("the evicted pods to end", async || {
        let there = trunk.every_pod("dataplane").await;
        let left = |pod: &&Pod| pods.iter().any(|other| other.metadata.uid == pod.metadata.uid);
        when(
            !there.iter().any(|pod| left(&pod)),
            there.iter().filter(left).map(|pod| &pod.metadata.name).collect::<Vec<_>>(),
        )
    })
    .await;
}

/// The callers of these calls hang up, and each has lost nothing: neither a packet of what they said nor the conversation.
async fn they_went_on(callers: &Callers, calls: &[String]) {
    for call in calls {
        let outcome = callers.hang_up(call).await;
        println!("{outcome}");
        assert!(outcome.answered && outcome.attempts >= 2, "{:#?}", outcome.timeline);
        assert_eq!(outcome.packets_lost(), 0, "{:#?}", outcome.timeline);
        let kept = kept_conversation(&outcome);
        assert!(kept.turn == 1 && kept.takeovers >= 1 && kept.history.len() >= 3, "{kept:?}");
    }
}
