//! One caller's number may have so many calls at a time, and no more.

use e2e::{PATIENCE, PodProcess, switch};
use switchsim::{CallHandle, CallPlan, Switch};

const REFUSED: &str = "sofia_phone_calls_refused_total{reason=\"caller_limit\"}";

#[tokio::test]
async fn a_callers_second_call_is_refused_and_others_are_not_harmed() {
    let pod = PodProcess::builder().set("MAX_SESSIONS_PER_CALLER", 1).start().await;
    let switch = switch(&[&pod.esl()]).start().unwrap();
    let first = answered(&switch, "+15550001").await;

    let second = switch.call(CallPlan::new("15550100").from("+15550001")).await;
    println!("{second}");
    assert!(!second.answered);
    assert!(pod.metric(REFUSED).await >= 1.0);
    // Nobody knows who callers without a number are: they are not one caller.
    let mut calls = vec![first];
    for caller in ["+15550002", "anonymous", "anonymous"] {
        calls.push(answered(&switch, caller).await);
    }
    pod.await_metric("sofia_phone_sessions_active", |active| active == 4.0).await;

    hang_up(calls.remove(0)).await;
    pod.await_metric("sofia_phone_sessions_active", |active| active == 3.0).await;
    calls.push(answered(&switch, "+15550001").await);
    for call in calls {
        hang_up(call).await;
    }
}

async fn answered(switch: &Switch, caller: &str) -> CallHandle {
    let call = switch.dial(CallPlan::new("15550100").from(caller));
    call.answered(PATIENCE).await.unwrap();
    call
}

async fn hang_up(call: CallHandle) {
    call.hang_up();
    call.outcome().await;
}
