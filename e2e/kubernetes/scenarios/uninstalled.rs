//! The operator is uninstalled while calls are up. What it leaves behind holds nothing: calls go on, a node can be drained, and trunk and
//! namespace can be deleted.

use e2e_kubernetes::{
    Namespace, OPERATOR_NAMESPACE, eventually, helm, install_this_release, kept_conversation, kubectl,
    wait_for_operator, when,
};
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::Api;
use kube::api::ListParams;
use serde_json::json;

#[tokio::test]
async fn what_is_left_behind_holds_neither_node_nor_namespace() {
    let namespace = Namespace::create("uninstalled").await;
    let spec = json!({
        "scaling": {"mode": "Manual", "replicas": 2},
        "conversation": {"silence": {"mode": "Ignore"}},
        "drain": {"deadlineSeconds": 4},
    });
    let trunk = namespace.trunk("orphan", spec).await;
    trunk.ready(2).await;
    let callers = trunk.callers().await;
    let mut calls = Vec::new();
    for _ in 0..4 {
        calls.push(callers.place_and_ask().await);
    }
    for call in &calls {
        callers.until_answered(call).await;
    }

    drop(helm(&["uninstall", "sofia-phone", "--wait"]).await.printed());
    let left: Vec<Pod> = Api::namespaced(namespace.client.clone(), OPERATOR_NAMESPACE)
        .list(&ListParams::default())
        .await
        .expect("a list")
        .items;
    assert!(left.iter().all(|pod| pod.metadata.deletion_timestamp.is_some()), "nobody looks after the trunk");
    let served =
        kubectl(&["get", "apiservices", "v1beta2.custom.metrics.k8s.io", "--ignore-not-found", "-o=name"]).await;
    assert_eq!(served.printed(), "", "an API that nobody serves would keep namespaces from ending");
    let budgets: Vec<PodDisruptionBudget> = namespace.list("").await;
    assert_eq!(budgets.len(), 2, "the budgets stay");
    namespace.say("the operator is gone");

    drain_a_node(&namespace, &trunk).await;
    for call in &calls {
        let outcome = callers.hang_up(call).await;
        println!("{outcome}");
        assert!(outcome.answered && outcome.packets_lost() == 0, "{:#?}", outcome.timeline);
        assert_eq!(kept_conversation(&outcome).turn, 1, "{outcome}");
    }

    trunk.delete().await;
    let deleted = kubectl(&["delete", "namespace", &namespace.name, "--timeout=100s"]).await;
    assert!(deleted.success, "{}{}", deleted.stdout, deleted.stderr);
    namespace.say("trunk and namespace are gone");
    install_this_release().await;
    wait_for_operator(&namespace).await;
}

/// `kubectl drain` of the node without FreeSWITCH ends by itself.
async fn drain_a_node(namespace: &Namespace, trunk: &e2e_kubernetes::Trunk) {
    let nodes: Api<Node> = Api::all(namespace.client.clone());
    let count = nodes.list(&ListParams::default()).await.expect("nodes").items.len();
    if count < 2 {
        return println!("skipped: a node can only be drained where there is another one; this cluster has {count}");
    }
    let node_of = |pod: &Pod| pod.spec.as_ref().and_then(|spec| spec.node_name.clone()).expect("it has a node");
    let switch_node = node_of(&trunk.pods("freeswitch").await[0]);
    let leaving = trunk.pods("dataplane").await.iter().map(node_of).find(|node| *node != switch_node);
    let leaving = leaving.expect("the two pods are spread over the nodes");
    let selector = format!("--pod-selector=app.kubernetes.io/instance={}", trunk.name);
    let arguments = ["drain", &leaving, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=100s", &selector];
    let drained = kubectl(&arguments).await;
    let uncordoned = kubectl(&["uncordon", &leaving]).await;
    println!("{}{}", drained.stdout, drained.stderr);
    assert!(drained.success, "kubectl drain ended without the operator");
    assert!(uncordoned.success, "{uncordoned:?}");
    eventually("two pods elsewhere to be ready", async || {
        let pods = trunk.pods("dataplane").await;
        let ready = |pod: &&Pod| {
            let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
            conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
        };
        when(pods.iter().filter(ready).count() == 2, pods.len())
    })
    .await;
    namespace.say("a node is drained");
}
