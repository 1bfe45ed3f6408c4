//! What FreeSWITCH's limit of sessions a second does to callers whose pod is lost, and what the dialplan makes of it.

use std::time::Duration;

use switchsim::pod::{Behaviour, TestPod};
use switchsim::{CallHandle, CallPlan, Cause, EndedBy, Happening, Snapshot, Switch, SwitchBuilder};

/// Longer than the dialplan goes on trying, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn switch(pods: &[&TestPod], sessions_per_second: u32) -> Switch {
    let hosts: Vec<&str> = pods.iter().map(|pod| pod.address()).collect();
    let rate = sessions_per_second.to_string();
    SwitchBuilder::demo().unwrap().with_esl_hosts(&hosts).with_variable("sessions_per_second", rate).start().unwrap()
}

async fn pod(behaviour: Behaviour) -> TestPod {
    TestPod::start("127.0.0.1:0", behaviour).await.unwrap()
}

/// Callers who are talking, however often they had to dial.
async fn talking(switch: &Switch, callers: usize) -> Vec<CallHandle> {
    let mut calls = Vec::new();
    while calls.len() < callers {
        let call = switch.dial(CallPlan::new("15550100").deaf());
        if call.answered(PATIENCE).await.is_ok() {
            calls.push(call);
        }
    }
    calls
}

fn throttled(what: &Happening) -> bool {
    matches!(what, Happening::Throttled { .. })
}

/// The next pod has every caller.
async fn go_on(calls: Vec<CallHandle>) -> usize {
    let moved = |call: &Snapshot| call.legs.len() == 2 && call.legs[1].received > 0;
    for call in &calls {
        call.wait_until("the next pod", PATIENCE, moved).await.unwrap();
    }
    let mut refused = 0;
    for call in calls {
        call.hang_up();
        let outcome = call.outcome().await;
        assert_eq!(outcome.ended_by, EndedBy::Caller, "{outcome}");
        refused += outcome.count(throttled);
    }
    refused
}

#[tokio::test]
async fn twenty_callers_of_a_killed_pod_go_on_where_a_second_has_24_sessions() {
    let (lost, next) = (pod(Behaviour::Tone).await, pod(Behaviour::Tone).await);
    let calls = talking(&switch(&[&lost, &next], 24), 20).await;
    lost.kill();
    let refused = go_on(calls).await;
    println!("{refused} sessions refused");
}

#[tokio::test]
async fn four_hundred_callers_at_once_go_on_where_a_second_has_600_sessions() {
    let (lost, next) = (pod(Behaviour::Tone).await, pod(Behaviour::Tone).await);
    let switch = switch(&[&lost, &next], 600);
    let calls = talking(&switch, 400).await;
    lost.kill();
    let refused = go_on(calls).await;
    println!("{refused} sessions refused");
}

#[tokio::test]
async fn a_new_caller_for_whose_pod_there_is_no_session_hears_it_ring_a_little_longer() {
    let pod = pod(Behaviour::Tone).await;
    // Two sessions a second: the caller's own leg and leg B.
    let switch = switch(&[&pod], 3);
    let outcome = switch.call(CallPlan::new("15550100").deaf().hang_up()).await;
    assert!(outcome.count(|what| *what == Happening::Throttled { leg: 'C' }) >= 1, "{outcome}");
    // Each further second has two as well, so the next try has its leg B and its leg C.
    assert!(outcome.answered, "{outcome}");
}

#[tokio::test]
async fn with_no_session_at_all_tries_come_to_an_end() {
    let pod = pod(Behaviour::Tone).await;
    let outcome = switch(&[&pod], 2).call(CallPlan::new("15550100").deaf().hang_up()).await;
    assert_eq!((outcome.answered, outcome.sip_status), (false, 503), "{outcome}");
    assert_eq!(outcome.sip_headers.get("Retry-After").map(String::as_str), Some("30"));
}

#[tokio::test]
async fn a_caller_beyond_the_rate_is_told_to_come_back() {
    let outcome = switch(&[], 1).call(CallPlan::new("15550100")).await;
    assert_eq!((outcome.sip_status, outcome.cause), (503, Cause::SWITCH_CONGESTION));
    assert_eq!(outcome.sip_headers.get("Retry-After").map(String::as_str), Some("300"));
}
