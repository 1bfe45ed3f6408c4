//! A pod is lost in mid-conversation: its callers hear a short silence, and another pod goes on with what was said.

use e2e_kubernetes::{Callers, Namespace, Trunk, kept_conversation};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::DeleteParams;
use serde_json::json;
use switchsim::{CallOutcome, Snapshot};

/// Callers of each way to lose a pod.
const CALLERS: usize = 6;

#[tokio::test]
async fn the_conversation_survives_a_pod_that_is_killed_one_that_hangs_and_one_whose_network_is_gone() {
    let namespace = Namespace::create("pod-killed").await;
    let spec = json!({
        "scaling": {"mode": "Manual", "replicas": 3},
        "conversation": {"silence": {"mode": "Ignore"}},
        "drain": {"deadlineSeconds": 5},
    });
    let trunk = namespace.trunk("main", spec).await;
    trunk.ready(3).await;
    let callers = trunk.callers().await;
    // The goals are of an idle machine; here the median is held to them, and each call to what a caller would wait for.
    lose(&trunk, &callers, "killed", &["signal", "KILL"], 250.0).await;
    lose(&trunk, &callers, "stopped", &["signal", "STOP"], 2_500.0).await;
    lose(&trunk, &callers, "without network", &["network", "off"], 2_500.0).await;
    namespace.delete().await;
}

async fn lose(trunk: &Trunk, callers: &Callers, how: &str, harm: &[&str], goal_ms: f64) {
    let mut calls = Vec::new();
    for _ in 0..CALLERS {
        calls.push(callers.place_and_ask().await);
    }
    let mut pods = Vec::new();
    for call in &calls {
        let now = callers.until_answered(call).await;
        pods.push(remote_host(&now));
    }
    // The pod with the most of them.
    let lost = pods.iter().max_by_key(|pod| pods.iter().filter(|other| other == pod).count()).expect("there are calls");
    let lost_pod = trunk.pod_at(lost).await;
    trunk.harm(&lost_pod, harm).await;

    let mut gaps = Vec::new();
    for (call, pod) in calls.iter().zip(&pods) {
        if pod != lost {
            let outcome = callers.hang_up(call).await;
            assert_eq!(outcome.attempts, 1, "a call of another pod notices nothing: {outcome}");
            continue;
        }
        callers
            .until(call, "another pod", |call| call.legs.iter().any(|leg| leg.attempt >= 2 && leg.received > 25))
            .await;
        let outcome = callers.hang_up(call).await;
        the_conversation_is_whole(&outcome);
        gaps.push(outcome.longest_gap_ms);
    }
    gaps.sort_by(f64::total_cmp);
    let (median, longest) = (gaps[gaps.len() / 2], gaps[gaps.len() - 1]);
    println!("{how}: {} calls went on, silent for {median:.0} ms (median), {longest:.0} ms (longest)", gaps.len());
    assert!(median <= goal_ms, "{how}: {gaps:?}");
    assert!(longest <= goal_ms + 5_000.0, "{how}: {gaps:?}");
    // Kubernetes restarts a container that died. One that hangs fails its liveness probe; waiting for that is not this test's matter.
    let name = lost_pod.metadata.name.expect("pods have names");
    let pods: Api<Pod> = trunk.namespace.api();
    let deleted = pods.delete(&name, &DeleteParams::default().grace_period(0)).await;
    assert!(deleted.is_ok(), "{deleted:?}");
    trunk.ready(3).await;
}

fn remote_host(call: &Snapshot) -> String {
    let remote = &call.legs.last().expect("an answered call has a leg").remote;
    remote.rsplit_once(':').expect("host:port").0.trim_matches(['[', ']']).to_owned()
}

fn the_conversation_is_whole(call: &CallOutcome) {
    assert!(call.answered && call.attempts >= 2, "{call}");
    let kept = kept_conversation(call);
    assert_eq!((kept.turn, kept.takeovers), (1, 1), "{kept:?}");
    assert!(kept.history.len() >= 3, "greeting, question and answer: {:?}", kept.history);
}
