//! From the previous release's chart and CustomResourceDefinition to this one, under calls; with E2E_FORMER from its operator and data plane too.

use e2e_kubernetes::{
    Namespace, OPERATOR_NAMESPACE, eventually, helm, install_this_release, kubectl, previous_release,
    previous_release_is_built, wait_for_operator, when,
};
use k8s_openapi::api::core::v1::Pod;
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

    // A FreeSWITCH that another operator builds differently is replaced as well: its calls are given the time to end by themselves.
    let deadline_seconds = if previous_release_is_built() { 100 } else { 2 };
    let spec = json!({
        "scaling": {"mode": "Manual", "replicas": 1},
        "drain": {"deadlineSeconds": deadline_seconds},
        // Whatever the operator brings along.
        "dataPlane": {"image": null},
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
    let images = |pods: &[Pod]| -> Vec<String> {
        let containers = pods.iter().filter_map(|pod| pod.spec.as_ref()).flat_map(|pod| &pod.containers);
        containers.filter_map(|container| container.image.clone()).collect()
    };
    eventually("a pod with this release's data plane", async || {
        let found = images(&trunk.pods("dataplane").await);
        when(found.contains(&namespace.images.data_plane), found)
    })
    .await;
    namespace.say("the data plane is rolled out");
    let mut end = None;
    if previous_release_is_built() {
        end = Some(callers.stop_load(&load).await);
    }
    // Under the new schema: a field that the old one did not have.
    trunk.change(json!({"sessions": {"maxLatenessMilliseconds": 0}})).await;
    trunk.ready(1).await;
    namespace.say("and has rolled a setting out");
    let end = match end {
        Some(end) => end,
        None => callers.stop_load(&load).await,
    };
    println!(
        "{} calls, cut {}, handed over {}, lost {}",
        end.offered, end.report.cut, end.report.taken_over, end.report.lost
    );
    assert_eq!((end.report.cut, end.report.lost), (0, 0), "{:?} {:#?}", end.report.cut_causes, end.notable);
    let callers = trunk.callers().await;
    let call = callers.place_and_greet().await;
    callers.hang_up(&call).await;
    namespace.delete().await;
}
