//! The echo test: what the caller says comes back, through the whole media path of the pod.

use std::time::Duration;

use e2e::{PATIENCE, PodProcess, likeness, switch, voice};
use sofia_dataplane::record::Ending;
use switchsim::CallPlan;

#[tokio::test]
async fn callers_of_9999_hear_themselves() {
    let pod = PodProcess::builder().recording().start().await;
    let caller = voice("go_somewhere");
    let call = switch(&[&pod.esl()]).start().unwrap().dial(CallPlan::new("9999"));
    call.answered(PATIENCE).await.unwrap();
    call.say(&caller).await;
    call.wait_until("the echo to end", PATIENCE, |call| {
        call.agent_quiet_for.is_some_and(|quiet| quiet > Duration::from_millis(500))
    })
    .await
    .unwrap();
    call.hang_up();
    let outcome = call.outcome().await;
    println!("{outcome}");
    let alike = likeness(caller.samples(), &outcome.heard);
    println!("what came back: {alike:.3} like what was said");
    assert!(alike > 0.95);
    assert_eq!((outcome.legs[0].lost, outcome.legs[0].streams), (0, 1));
    let record = pod.record().await;
    assert_eq!((record.ending, record.dialed.as_str(), record.turns.len()), (Ending::CallerHungUp, "9999", 0));
}
