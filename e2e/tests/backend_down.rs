//! Nobody answers at the speech backend: callers hear an apology, never nothing, and the backend is left alone for a
//! while.

use e2e::{PATIENCE, PodProcess, likeness, switch, voice};
use sofia_dataplane::backend::apology;
use switchsim::CallPlan;

#[tokio::test]
async fn callers_hear_an_apology_and_the_circuits_open() {
    let nobody = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}/v1", listener.local_addr().unwrap())
    };
    let pod = PodProcess::builder().recording().set("BACKEND", "openai").set("CIRCUIT_FAILURES", 1);
    let pod = ["TRANSCRIPTION", "GENERATION", "SPEECH"]
        .into_iter()
        .fold(pod, |pod, stage| pod.set(&format!("{stage}_URL"), &nobody))
        .start()
        .await;
    // The backend's absence is told, and is no reason to restart the pod or to send calls away.
    let health = pod.get("/health").await;
    assert_eq!((health.status, pod.get("/ready").await.status), (200, 200), "{}", health.body);
    pod.await_metric("sofia_phone_component_health{component=\"backend\"}", |works| works == 0.0).await;

    let call = switch(&[&pod.esl()]).start().unwrap().dial(CallPlan::new("15550100"));
    call.agent_finishes(PATIENCE).await.unwrap();
    call.say(&voice("five_five")).await;
    call.agent_finishes(PATIENCE).await.unwrap();
    let status = pod.status().await;
    println!("{}", status["backend"]);
    let circuits = status["backend"]["circuits"].as_array().unwrap();
    let open = |stage: &str| circuits.iter().any(|circuit| circuit["stage"] == stage && circuit["state"] == "open");
    assert!(open("speak") && open("transcribe") && !open("generate"), "{circuits:?}");
    call.hang_up();
    let outcome = call.outcome().await;
    println!("{outcome}");

    let heard = likeness(&apology::bundled().samples, &outcome.heard);
    println!("the apology: {heard:.3} like what was heard");
    assert!(heard > 0.9);
    assert_eq!((outcome.attempts, outcome.legs[0].lost), (1, 0));
    let record = pod.record().await;
    let stages: Vec<&str> = record.errors.iter().map(|error| error.stage.as_str()).collect();
    assert_eq!(stages, ["speak", "transcribe"], "{:?}", record.errors);
    assert!(pod.metric("sofia_phone_backend_errors_total").await >= 2.0);
    assert!(pod.metric("sofia_phone_apologies_total").await >= 2.0);
}
