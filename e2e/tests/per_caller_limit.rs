//! One caller's number may have so many calls at a time, and no more.

use std::time::Duration;

use e2e::{PATIENCE, PodProcess, switch};
use nix::sys::signal::Signal;
use switchsim::{CallHandle, CallPlan, EndedBy, Snapshot, Switch};

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

#[tokio::test]
async fn callers_who_were_talking_are_taken_over_whatever_the_limit_is() {
    let lost = PodProcess::builder().set("MAX_SESSIONS_PER_CALLER", 2).start().await;
    let next = PodProcess::builder().set("MAX_SESSIONS_PER_CALLER", 2).start().await;
    // A PBX: one number for all its calls.
    let switch = switch(&[&lost.esl(), &next.esl()]).start().unwrap();
    let elsewhere = e2e::switch(&[&next.esl()]).start().unwrap();
    let mut calls = Vec::new();
    for switch in [&switch, &switch, &elsewhere, &elsewhere] {
        calls.push(answered(switch, "+15550001").await);
    }
    for call in &calls {
        // From then on there is something to take over.
        let greeted = |call: &Snapshot| call.agent_finished(0.0, Duration::from_millis(700));
        call.wait_until("its greeting", PATIENCE, greeted).await.unwrap();
    }
    lost.signal(Signal::SIGKILL);
    next.await_metric("sofia_phone_sessions_active", |active| active == 4.0).await;
    next.await_metric("sofia_phone_takeovers_total", |takeovers| takeovers == 2.0).await;
    assert!(!elsewhere.call(CallPlan::new("15550100").from("+15550001")).await.answered, "a new call is one too many");
    for call in calls {
        call.hang_up();
        assert_eq!(call.outcome().await.ended_by, EndedBy::Caller);
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
