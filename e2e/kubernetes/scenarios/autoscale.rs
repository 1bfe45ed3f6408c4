//! The fleet follows its calls, by the operator itself and by a plain HorizontalPodAutoscaler over the operator's own metrics API;
//! pods that go are drained first, so no call is cut.

use e2e_kubernetes::{Namespace, Trunk, eventually, when};
use serde_json::{Value, json};
use switchsim::EndedBy;
use switchsim::control::NewLoad;

#[tokio::test]
async fn the_operator_follows_the_load() {
    follows_the_load("autoscale-operator", "Operator").await;
}

#[tokio::test]
async fn a_horizontal_pod_autoscaler_follows_the_load() {
    follows_the_load("autoscale-hpa", "HorizontalPodAutoscaler").await;
}

async fn follows_the_load(scenario: &str, mode: &str) {
    let namespace = Namespace::create(scenario).await;
    let trunk = namespace.trunk("main", spec(mode)).await;
    trunk.ready(1).await;
    let callers = trunk.callers().await;

    let load = NewLoad { rate: 5.0, ..NewLoad::new("15550100", 2) };
    let load = callers.start_load(&load).await;
    callers.load_until(&load, "two calls", |load| load.running.answered == 2).await;
    callers.set_level(&load, 10).await;
    has_pods(&trunk, "the fleet to grow", |pods| pods >= 3).await;
    callers.load_until(&load, "ten calls", |load| load.running.answered == 10).await;

    callers.set_level(&load, 1).await;
    has_pods(&trunk, "the fleet to shrink", |pods| pods == 1).await;
    let end = callers.stop_load(&load).await;
    println!(
        "{mode}: {} calls offered, {} answered, refused {:?}, cut {}, taken over {}, packets lost {}, gaps {:?}",
        end.offered,
        end.report.answered,
        end.report.refused,
        end.report.cut,
        end.report.taken_over,
        end.report.lost,
        end.report.gaps
    );
    let cut = end.notable.iter().filter(|call| call.answered && call.ended_by == EndedBy::Switch);
    let cut: Vec<_> =
        cut.map(|call| format!("{:?}", call.timeline.iter().rev().take(60).collect::<Vec<_>>())).collect();
    assert_eq!(end.report.cut, 0, "{:?}, the newest first: {cut:?}", end.report.cut_causes);
    assert_eq!(end.report.lost, 0);
    namespace.delete().await;
}

fn spec(mode: &str) -> Value {
    json!({
        "sessions": {"maxPerPod": 6},
        "conversation": {"silence": {"mode": "Ignore"}},
        "scaling": {
            "mode": mode, "minReplicas": 1, "maxReplicas": 4, "replicas": 1, "targetSessionsPerPod": 4, "bufferSessions": 0,
            "scaleUpStabilizationSeconds": 0, "scaleDownStabilizationSeconds": 5,
        },
        "drain": {"deadlineSeconds": 10},
    })
}

async fn has_pods(trunk: &Trunk, what: &str, wanted: impl Fn(u32) -> bool) {
    eventually(what, async || {
        let status = trunk.status().await;
        when(wanted(status.replicas), status)
    })
    .await;
}
