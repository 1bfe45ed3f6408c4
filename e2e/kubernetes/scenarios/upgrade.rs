//! From the previous release's chart and CustomResourceDefinition to this one, under calls.

use e2e_kubernetes::{Namespace, helm, install_this_release, kubectl, previous_release, wait_for_operator};
use serde_json::json;
use switchsim::control::NewLoad;

#[tokio::test]
async fn the_operator_is_upgraded_under_calls() {
    let namespace = Namespace::create("upgrade").await;
    drop(helm(&["uninstall", "sofia-phone", "--wait"]).await.printed());
    drop(kubectl(&["apply", "--server-side", "--force-conflicts", "-f", &previous_release()]).await.printed());
    wait_for_operator(&namespace).await;

    let spec = json!({
        "scaling": {"mode": "Manual", "replicas": 1},
        "drain": {"deadlineSeconds": 5},
        "sessions": {"maxLatenessMilliseconds": null},
    });
    let trunk = namespace.trunk("main", spec).await;
    trunk.ready(1).await;
    let callers = trunk.callers().await;
    let load = callers.start_load(&NewLoad::new("15550100", 3)).await;
    callers.load_until(&load, "three calls", |load| load.running.answered == 3).await;

    install_this_release().await;
    wait_for_operator(&namespace).await;
    // Under the new schema: a field that the old one did not have.
    trunk.change(json!({"sessions": {"maxLatenessMilliseconds": 0}})).await;
    trunk.ready(1).await;
    let end = callers.stop_load(&load).await;
    println!(
        "{} calls, cut {}, handed over {}, lost {}",
        end.offered, end.report.cut, end.report.taken_over, end.report.lost
    );
    assert_eq!((end.report.cut, end.report.lost), (0, 0), "{:?} {:#?}", end.report.cut_causes, end.notable);
    namespace.delete().await;
}
