//! `kubectl drain` ends by itself: the pods of the node are drained, its calls end or are handed over, and only then the pods go.

use e2e_kubernetes::{Namespace, eventually, kept_conversation, kubectl, when};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::Api;
use kube::api::ListParams;
use serde_json::json;

#[tokio::test]
async fn a_node_is_drained_without_cutting_its_calls() {
    let namespace = Namespace::create("node-drained").await;
    let nodes: Api<Node> = Api::all(namespace.client.clone());
    let count = nodes.list(&ListParams::default()).await.expect("nodes").items.len();
    if count < 2 {
        println!("skipped: a node can only be drained where there is another one; this cluster has {count}");
        return namespace.delete().await;
    }
    let spec = json!({
        "scaling": {"mode": "Manual", "replicas": 2},
        "conversation": {"silence": {"mode": "Ignore"}},
        "drain": {"deadlineSeconds": 4},
    });
    // The drain takes the pods of every trunk of this name, whatever its namespace.
    let trunk = namespace.trunk("leaving", spec).await;
    trunk.ready(2).await;
    let callers = trunk.callers().await;
    let mut calls = Vec::new();
    for _ in 0..4 {
        calls.push(callers.place_and_ask().await);
    }
    for call in &calls {
        callers.until_answered(call).await;
    }
    // FreeSWITCH holds the calls, so its node stays.
    let switch_node = node_of(&trunk.pods("freeswitch").await[0]);
    let leaving = trunk.pods("dataplane").await.iter().map(node_of).find(|node| *node != switch_node);
    let leaving = leaving.expect("the two pods are spread over the nodes");
    println!("draining {leaving}");
    let selector = format!("--pod-selector=app.kubernetes.io/instance={}", trunk.name);
    let arguments = ["drain", &leaving, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=100s", &selector];
    let drained = kubectl(&arguments).await;
    let uncordoned = kubectl(&["uncordon", &leaving]).await;
    println!("{}{}", drained.stdout, drained.stderr);
    assert!(drained.success, "kubectl drain ended by itself");
    assert!(uncordoned.success, "{uncordoned:?}");
    for call in &calls {
        let outcome = callers.hang_up(call).await;
        println!("{outcome}");
        assert!(outcome.answered && outcome.packets_lost() == 0, "{:#?}", outcome.timeline);
        let kept = kept_conversation(&outcome);
        assert_eq!(kept.turn, 1, "{kept:?}");
    }
    eventually("the fleet to be whole again", async || {
        let status = trunk.status().await;
        when(status.ready_replicas == 2, status)
    })
    .await;
    namespace.delete().await;
}

fn node_of(pod: &Pod) -> String {
    pod.spec.as_ref().and_then(|spec| spec.node_name.clone()).expect("a running pod has a node")
}
