//! A minimal VoiceTrunk answers calls; kubectl shows what a person needs; deleting it leaves nothing.

use e2e_kubernetes::{Namespace, eventually, kept_conversation, kubectl, when};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret, Service, ServiceAccount};
use serde_json::json;
use switchsim::control::NewCall;

#[tokio::test]
async fn a_minimal_trunk_answers_and_deleting_it_leaves_nothing() {
    let namespace = Namespace::create("apply").await;
    let trunk = namespace.trunk("main", json!({"drain": {"deadlineSeconds": 5}})).await;
    trunk.ready(2).await;

    let callers = trunk.callers().await;
    let script = ["wait-for-agent", "say five_five", "wait-for-agent", "hangup"];
    let call = callers.place(&NewCall::new("15550100").script(script)).await;
    let heard = callers.outcome(&call).await;
    println!("{heard}");
    assert!(heard.answered && heard.script_error.is_none(), "{:#?}", heard.timeline);
    assert_eq!(heard.packets_lost(), 0);
    assert!(heard.agent_speech.len() >= 2, "a greeting and an answer: {:?}", heard.agent_speech);
    assert_eq!(kept_conversation(&heard).turn, 1);

    let echo = ["wait 500", "say five_five", "wait-for-speech", "hangup"];
    let echo = callers.place(&NewCall::new("9999").script(echo)).await;
    let echo = callers.outcome(&echo).await;
    assert!(echo.answered && echo.script_error.is_none(), "the echo test: {:#?}", echo.timeline);

    let table = kubectl(&["-n", &namespace.name, "get", "vt"]).await.printed();
    println!("{table}");
    for column in ["NAME", "READY", "SESSIONS", "CAPACITY", "PODS", "AGE", "main", "True"] {
        assert!(table.contains(column), "{column} is not in\n{table}");
    }
    let told = kubectl(&["explain", "voicetrunk.spec.drain.deadlineSeconds"]).await.printed();
    assert!(told.contains("handed over"), "{told}");
    let told = kubectl(&["-n", &namespace.name, "describe", "vt", "main"]).await.printed();
    // Reasons of conditions and of an event: the headings would be there for any object.
    for part in ["TakesCalls", "EnoughPods", "NoPodDrains", "AllWell", "Entry Point", "Created"] {
        assert!(told.contains(part), "{part} is not in\n{told}");
    }

    trunk.delete().await;
    let ours = "app.kubernetes.io/managed-by=sofia-phone-operator";
    eventually("everything of the trunk to be gone", async || {
        let pods: Vec<Pod> = namespace.list(ours).await;
        let deployments: Vec<Deployment> = namespace.list(ours).await;
        let services: Vec<Service> = namespace.list(ours).await;
        let secrets: Vec<Secret> = namespace.list(ours).await;
        let config_maps: Vec<ConfigMap> = namespace.list(ours).await;
        let accounts: Vec<ServiceAccount> = namespace.list(ours).await;
        let left = [pods.len(), deployments.len(), services.len(), secrets.len(), config_maps.len(), accounts.len()];
        when(left.iter().all(|count| *count == 0), left)
    })
    .await;
    namespace.delete().await;
}
