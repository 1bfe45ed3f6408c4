//! From the previous release's chart and CustomResourceDefinition to this one, under calls.

use e2e_kubernetes::{
    Namespace, OPERATOR_NAMESPACE, helm, install_this_release, kubectl, previous_release, wait_for_operator,
};
use serde_json::json;
use switchsim::control::NewLoad;

#[tokio::test]
async fn the_operator_is_upgraded_under_calls() {
    let namespace = Namespace::create("upgrade").await;
    drop(helm(&["uninstall", "sofia-phone", "--wait"]).await.printed());
    // The operator's permissions went with it, so it could not give its lease back: its successor would wait for that to end.
    drop(kubectl(&["--namespace", OPERATOR_NAMESPACE, "delete", "lease", "--all"]).await.printed());
    drop(kubectl(&["apply", "--server-side", "--force-conflicts", "-f", &previous_release()]).await.printed());
    wait_for_operator(&namespace).await;
    namespace.say("the previous release is installed");

    let spec = json!({
        "scaling": {"mode": "Manual", "replicas": 1},
        "drain": {"deadlineSeconds": 2},
        "sessions": {"maxLatenessMilliseconds": null},
    });
    let trunk = namespace.trunk("main", spec).await;
    trunk.ready(1).await;
    let callers = trunk.callers().await;
    let load = callers.start_load(&NewLoad::new("15550100", 3)).await;
    callers.load_until(&load, "three calls", |load| load.running.answered == 3).await;
    namespace.say("three calls are up");

    install_this_release().await;
    wait_for_operator(&namespace).await;
    namespace.say("this release is installed");
    // Under the new schema: a field that the old one did not have.
    trunk.change(json!({"sessions": {"maxLatenessMilliseconds": 0}})).await;
    trunk.ready(1).await;
    namespace.say("and has rolled a setting out");
    let end = callers.stop_load(&load).await;
    println!(
        "{} calls, cut {}, handed over {}, lost {}",
        end.offered, end.report.cut, end.report.taken_over, end.report.lost
    );
    assert_eq!((end.report.cut, end.report.lost), (0, 0), "{:?} {:#?}", end.report.cut_causes, end.notable);
    namespace.delete().await;
}
