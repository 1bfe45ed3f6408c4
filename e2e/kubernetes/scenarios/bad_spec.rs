//! What is wrong is said by the trunk itself, heals by itself when mended, and stays with the trunk that has it; callers hear an
//! apology, not silence.

use e2e_kubernetes::{Namespace, eventually, when};
use serde_json::{Value, json};
use switchsim::control::NewCall;

#[tokio::test]
async fn conditions_say_what_is_wrong_and_it_heals_when_mended() {
    let namespace = Namespace::create("bad-spec").await;
    // The good neighbour of all the bad ones.
    let good = namespace.trunk("good", small(json!({}))).await;

    let secret = namespace.trunk("secret", small(with_carrier())).await;
    let told = secret.condition("Degraded", "True").await;
    println!("missing Secret: {told}");
    assert!(told.contains("carrier") && told.contains("password"), "{told}");
    namespace.secret("carrier", json!({"wrong": "made-up-for-a-test"})).await;
    eventually("the message to name the key", async || {
        let told = secret.condition("Degraded", "True").await;
        when(told.contains("no key password") && !told.contains("made-up-for-a-test"), told)
    })
    .await;
    namespace.secret("carrier", json!({"password": "made-up-for-a-test"})).await;
    secret.ready(1).await;
    let healed = secret.condition("Degraded", "False").await;
    println!("mended: {healed}");

    let image = namespace.trunk("image", small(json!({"dataPlane": {"image": "localhost/no-such-image:1"}}))).await;
    let told = image.condition("Degraded", "True").await;
    println!("broken image: {told}");
    assert!(told.contains("no-such-image") && told.contains("dataPlane.image"), "{told}");
    image.change(json!({"dataPlane": {"image": namespace.images.data_plane}})).await;
    image.ready(1).await;

    // A regular expression of which the API server does not see that it is none: its letters are right.
    let pattern = namespace.trunk("pattern", small(json!({"numbers": ["1)|(2"]}))).await;
    let told = pattern.condition("Degraded", "True").await;
    println!("bad pattern: {told}");
    assert!(told.contains("spec.numbers[0]"), "{told}");
    pattern.change(json!({"numbers": ["100"]})).await;
    pattern.ready(1).await;

    good.ready(1).await;
    namespace.delete().await;
}

#[tokio::test]
async fn callers_of_a_backend_that_is_down_hear_an_apology() {
    let namespace = Namespace::create("backend-down").await;
    let down = json!({"url": "http://127.0.0.1:9/v1"});
    let backends = json!({"openAI": {"transcription": down, "generation": down, "speech": down}});
    let trunk = namespace.trunk("main", small(json!({"backends": backends}))).await;
    trunk.ready(1).await;
    let callers = trunk.callers().await;
    let script = ["wait-for-agent", "say five_five", "wait-for-agent", "hangup"];
    let call = callers.place(&NewCall::new("15550100").script(script)).await;
    let heard = callers.outcome(&call).await;
    println!("{heard}");
    assert!(heard.answered && heard.script_error.is_none(), "{:#?}", heard.timeline);
    // Any speech would be heard so; that it was the apology, the pod says.
    assert!(!heard.agent_speech.is_empty(), "something is said");
    let pod = trunk.pods("dataplane").await.remove(0);
    let metrics = namespace.ask_pod(&pod, "metrics").await;
    let apologies = metrics.lines().find_map(|line| line.strip_prefix("sofia_phone_apologies_total ")?.parse().ok());
    assert!(apologies.is_some_and(|count: f64| count >= 1.0), "{metrics}");
    namespace.delete().await;
}

fn small(mut spec: Value) -> Value {
    spec["scaling"] = json!({"mode": "Manual", "replicas": 1});
    spec["drain"] = json!({"deadlineSeconds": 2});
    spec
}

fn with_carrier() -> Value {
    let secret = json!({"name": "carrier", "key": "password"});
    let carrier =
        json!({"name": "carrier", "proxy": "127.0.0.1:5099", "username": "sofia", "passwordSecretRef": secret});
    json!({"freeSwitch": {"gateways": [carrier]}})
}
