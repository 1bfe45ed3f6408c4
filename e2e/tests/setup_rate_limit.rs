//! Calls that come faster than a pod takes them go to another pod.

use e2e::{PATIENCE, PodProcess, switch};
use switchsim::{CallPlan, Happening};

#[tokio::test]
async fn calls_above_the_set_up_rate_go_to_another_pod() {
    let slow = PodProcess::builder().set("SETUP_RATE_PER_SECOND", 1).start().await;
    let other = PodProcess::start().await;
    let switch = switch(&[&slow.esl(), &other.esl()]).start().unwrap();
    let calls: Vec<_> =
        (0..6).map(|caller| switch.dial(CallPlan::new("15550100").from(format!("+1555000{caller}")))).collect();
    for call in &calls {
        call.answered(PATIENCE).await.unwrap();
    }
    let refused = slow.metric("sofia_phone_calls_refused_total{reason=\"rate_limited\"}").await;
    let taken = slow.metric("sofia_phone_sessions_active").await;
    println!("of 6 calls at once {taken} were taken, {refused} refused");
    assert!(taken >= 1.0 && refused >= 1.0 && taken + refused == 6.0);
    assert_eq!(other.metric("sofia_phone_sessions_active").await, refused);
    for call in calls {
        let connected = |what: &Happening| matches!(what, Happening::EslConnected { host } if *host == other.esl());
        let elsewhere = call.snapshot().happened(connected);
        call.hang_up();
        let outcome = call.outcome().await;
        assert_eq!(outcome.attempts, if elsewhere { 2 } else { 1 }, "{outcome}");
    }
}
