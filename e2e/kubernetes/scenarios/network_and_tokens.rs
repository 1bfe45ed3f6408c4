//! Strangers get nowhere: without the token no call, from elsewhere no packet, and nothing secret stands where it can be read.

use e2e_kubernetes::{Namespace, eventually, kubectl, when};
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::Api;
use kube::api::LogParams;
use serde_json::json;
use switchsim::control::{NewCall, NewLoad};

#[tokio::test]
async fn a_stranger_cannot_bring_calls_and_nothing_secret_is_shown() {
    let namespace = Namespace::create("strangers").await;
    let spec = json!({"scaling": {"mode": "Manual", "replicas": 1}, "drain": {"deadlineSeconds": 2}});
    let trunk = namespace.trunk("main", spec.clone()).await;
    // Another trunk's FreeSWITCH is a pod from elsewhere: it has its own token, and its dialplan is led to the first trunk's pods.
    let stranger = namespace.trunk("stranger", spec).await;
    trunk.ready(1).await;
    stranger.ready(1).await;
    let callers = trunk.callers().await;
    let call = callers.place_and_greet().await;

    let secrets: Api<Secret> = namespace.api();
    let token = |name: &'static str| {
        let secrets = secrets.clone();
        async move {
            let secret = secrets.get(name).await.expect("the operator made it");
            String::from_utf8(secret.data.expect("it has data")["token"].0.clone()).expect("a token is text")
        }
    };
    let (own, other) = (token("main-esl").await, token("stranger-esl").await);
    assert!(own.len() >= 40 && own != other, "each trunk has its own token");

    let pod = trunk.pods("dataplane").await.remove(0);
    let address =
        pod.status.as_ref().and_then(|status| status.pod_ip.clone()).expect("a pod that is ready has an address");
    let switch = stranger.pods("freeswitch").await.remove(0).metadata.name.expect("pods have names");
    // What a FreeSWITCH says first, with a token that is right elsewhere; then a packet that no call announced (a question for a
    // file is one that busybox can send); then the admin port.
    let greeting = format!(
        "Event-Name: CHANNEL_DATA\\nUnique-ID: c\\nvariable_sip_h_X-Call-UUID: a\\n\
         variable_sip_h_X-Sofia-Token: {other}\\nContent-Type: command/reply\\nReply-Text: %%2BOK%%0A\\n\
         Socket-Mode: async\\nControl: full\\n\\n"
    );
    // The pauses: who closes its side right after the question may get no answer.
    let attempt = format!(
        "(printf '{greeting}'; sleep 2) | nc -w 10 {address} 8084; timeout 2 tftp -g -r x {address} 16384; \
         (printf 'POST /drain HTTP/1.0\\r\\n\\r\\n'; sleep 3) | nc -w 10 {address} 8080; echo tried-all"
    );
    let answer = kubectl(&["-n", &namespace.name, "exec", &switch, "--", "sh", "-c", &attempt]).await;
    // Silence from a command that did not run is no policy.
    assert!(answer.success && answer.stdout.contains("tried-all"), "{answer:?}");
    println!("the stranger heard: {:?}", answer.stdout);
    if answer.stdout.contains("connect") {
        println!(
            "network policies are not enforced here: token, source filter and admin token are what keeps strangers out"
        );
        counted(&namespace, &pod, "sofia_phone_esl_errors_total{kind=\"wrong_token\"}").await;
        counted(&namespace, &pod, "sofia_phone_rtp_packets_dropped_total{reason=\"unknown_source\"}").await;
        assert!(answer.stdout.contains("401"), "a drain without the token is refused: {answer:?}");
    } else {
        println!("network policies are enforced here");
        assert!(!answer.stdout.contains("HTTP"), "{answer:?}");
    }
    // The trunk's own call goes on, and there is no other.
    counted(&namespace, &pod, "sofia_phone_sessions_active 1").await;

    let heard = callers.hang_up(&call).await;
    assert_eq!(heard.packets_lost(), 0);
    assert!(heard.legs.iter().all(|leg| leg.foreign == 0), "{heard}");

    // A few more calls fill the logs and metrics that are searched now.
    let load = callers.start_load(&NewLoad::new("15550100", 2)).await;
    callers.load_until(&load, "two calls", |load| load.running.answered == 2).await;
    callers.stop_load(&load).await;
    let refused = callers.place(&NewCall::new("not a number; api status")).await;
    assert!(!callers.outcome(&refused).await.answered);
    let mut shown = Vec::new();
    let pods: Api<Pod> = namespace.api();
    for pod in namespace.list::<Pod>("").await {
        let name = pod.metadata.name.clone().expect("pods have names");
        // What can't be read is not searched: in nothing there is no secret.
        let log = pods.logs(&name, &LogParams::default()).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        let of_the_data_plane = name.contains("-dataplane-");
        let texts = match of_the_data_plane {
            true => vec![log, namespace.ask_pod(&pod, "status").await, pod_metrics(&namespace, &pod).await],
            false => vec![log],
        };
        assert!(!of_the_data_plane || texts.iter().all(|text| !text.is_empty()), "{name}: {texts:?}");
        shown.extend(texts);
        shown.push(serde_json::to_string(&pod).expect("a pod is JSON"));
    }
    shown.extend(namespace.events().await);
    for map in namespace.list::<ConfigMap>("").await {
        shown.push(serde_json::to_string(&map).expect("a ConfigMap is JSON"));
    }
    shown.push(
        kubectl(&["-n", &namespace.name, "get", "vt,deployments,services,networkpolicies", "-o", "json"])
            .await
            .printed(),
    );
    shown.push(
        kubectl(&["-n", "sofia-phone", "logs", "-l", "app.kubernetes.io/name=sofia-phone-operator", "--tail=-1"])
            .await
            .printed(),
    );
    for secret in namespace.list::<Secret>("app.kubernetes.io/managed-by=sofia-phone-operator").await {
        for (key, value) in secret.data.unwrap_or_default() {
            let value = String::from_utf8_lossy(&value.0).into_owned();
            // The configuration's own text is no secret; the passwords in it are tried by themselves.
            if !key.ends_with(".xml") && !key.ends_with(".conf") {
                assert!(value.len() >= 16 && shown.iter().all(|text| !text.contains(&value)), "{key} is shown");
            }
        }
    }
    let policies = namespace.list::<NetworkPolicy>("").await;
    assert!(policies.len() >= 4, "each part of both trunks has its policy: {}", policies.len());
    namespace.delete().await;
}

/// Waits until a figure of a pod is there and not 0.
async fn counted(namespace: &Namespace, pod: &Pod, figure: &str) {
    eventually(figure, async || {
        let metrics = pod_metrics(namespace, pod).await;
        let counted = metrics.lines().any(|line| line.starts_with(figure) && !line.ends_with(" 0"));
        when(counted, metrics)
    })
    .await;
}

async fn pod_metrics(namespace: &Namespace, pod: &Pod) -> String {
    namespace.ask_pod(pod, "metrics").await
}
