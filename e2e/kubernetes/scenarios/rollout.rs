//! A new image and a changed setting roll out under calls that never stop: none is cut, and one that outlasts the drain deadline is
//! handed over with its history.

use e2e_kubernetes::{Namespace, Trunk, eventually, kept_conversation, when};
use k8s_openapi::api::apps::v1::Deployment;
use serde_json::json;
use switchsim::control::{Length, NewLoad};

#[tokio::test]
async fn an_image_and_a_setting_roll_out_under_calls() {
    let namespace = Namespace::create("rollout").await;
    let spec = json!({
        "scaling": {"mode": "Manual", "replicas": 2},
        "conversation": {"silence": {"mode": "Ignore"}},
        "drain": {"deadlineSeconds": 4},
    });
    let trunk = namespace.trunk("main", spec).await;
    trunk.ready(2).await;
    let callers = trunk.callers().await;
    let long = callers.place_and_ask().await;
    callers.until_answered(&long).await;
    let length = Length::Uniform { min_seconds: 2.0, max_seconds: 6.0 };
    let load = NewLoad { rate: 4.0, length, ..NewLoad::new("15550100", 6) };
    let load = callers.start_load(&load).await;
    callers.load_until(&load, "six calls", |load| load.running.answered >= 6).await;

    trunk.change(json!({"dataPlane": {"image": namespace.images.data_plane_next}})).await;
    rolled_out(&trunk).await;
    let call = callers
        .until(&long, "the long call to be handed over", |call| {
            call.legs.last().is_some_and(|leg| leg.attempt >= 2 && leg.received > 25)
        })
        .await;
    println!("the long call is on its pod number {}, longest gap {:.0} ms", call.legs.len(), call.longest_gap_ms);

    trunk.change(json!({"conversation": {"greeting": "Good day."}})).await;
    rolled_out(&trunk).await;
    let end = callers.stop_load(&load).await;
    let long = callers.hang_up(&long).await;
    println!(
        "{} calls offered, {} answered, refused {:?}, cut {}, taken over {}, packets lost {}, gaps of 60 ms and more {:?}",
        end.offered,
        end.report.answered,
        end.report.refused,
        end.report.cut,
        end.report.taken_over,
        end.report.lost,
        end.report.gaps
    );
    println!("the long call: {long}");
    assert_eq!(end.report.cut, 0, "{:?} {:#?}", end.report.cut_causes, end.notable);
    assert!(end.report.refused.is_empty(), "{:?} {:#?}", end.report.refused, end.notable);
    assert_eq!(end.report.lost + long.packets_lost(), 0);
    let kept = kept_conversation(&long);
    assert!(kept.takeovers >= 1 && kept.turn == 1 && kept.history.len() >= 3, "{kept:?}");
    let handed_over = long.gaps.iter().map(|gap| gap.ms).fold(0.0, f64::max);
    assert!(handed_over <= 1_000.0, "goal 250 ms: {:?}", long.gaps);
    namespace.delete().await;
}

/// Waits until every pod is of the newest revision and the old ones are gone.
async fn rolled_out(trunk: &Trunk) {
    let generation = trunk.api().get(&trunk.name).await.expect("the trunk is there").metadata.generation;
    eventually("the rollout to end", async || {
        let status = trunk.status().await;
        when(status.observed_generation == generation, &status)?;
        let deployments: Vec<Deployment> = trunk.namespace.list("app.kubernetes.io/component=dataplane").await;
        let deployment = deployments.first().ok_or("no Deployment")?;
        let now = deployment.status.clone().unwrap_or_default();
        let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas);
        let settled = now.observed_generation == deployment.metadata.generation
            && now.updated_replicas == wanted
            && now.replicas == wanted
            && now.ready_replicas == wanted;
        when(settled, &now)?;
        let pods = trunk.every_pod("dataplane").await;
        when(i32::try_from(pods.len()).ok() == wanted, format!("{} pods", pods.len()))
    })
    .await;
}
