//! Permits: a full pod refuses the next call, which another pod takes; when all are full the caller is told to come
//! back.

use e2e::{PATIENCE, PodProcess, eventually, switch};
use nix::sys::signal::Signal;
use switchsim::{CallHandle, CallPlan, Happening, Switch};

async fn answered(switch: &Switch, caller: usize) -> CallHandle {
    let call = switch.dial(CallPlan::new("15550100").from(format!("+1555000{caller}")));
    call.answered(PATIENCE).await.unwrap();
    call
}

#[tokio::test]
async fn a_full_pods_next_call_goes_to_another_and_when_all_are_full_the_caller_gets_503() {
    let first = PodProcess::builder().set("MAX_SESSIONS", 2).set("READY_LOW_WATER", 0).start().await;
    let second = PodProcess::builder().set("MAX_SESSIONS", 2).start().await;
    let switch = switch(&[&first.esl(), &second.esl()]).start().unwrap();

    let mut calls = Vec::new();
    for caller in 1..=2 {
        calls.push(answered(&switch, caller).await);
    }
    let ready = first.get("/ready").await;
    assert_eq!((ready.status, ready.json()["reason"].as_str()), (503, Some("full")));

    for caller in 3..=4 {
        let call = answered(&switch, caller).await;
        let went_on = call.snapshot();
        assert!(went_on.happened(|what| matches!(what, Happening::EslRefused { host, .. } if *host == first.esl())));
        assert!(went_on.happened(|what| matches!(what, Happening::EslConnected { host } if *host == second.esl())));
        calls.push(call);
    }
    let turned_away = switch.call(CallPlan::new("15550100").from("+15550005")).await;
    println!("{turned_away}");
    assert_eq!((turned_away.answered, turned_away.sip_status), (false, 503));
    assert_eq!(turned_away.sip_headers.get("Retry-After").map(String::as_str), Some("30"));

    // One permit is free again: calls are taken, but none is sent on purpose until the low-water mark.
    hang_up(calls.remove(0)).await;
    first.await_metric("sofia_phone_accepting", |accepting| accepting == 1.0).await;
    assert_eq!(first.get("/ready").await.status, 503);
    hang_up(calls.remove(0)).await;
    eventually("the pod to be ready again", async || (first.get("/ready").await.status == 200).then_some(())).await;

    let again = answered(&switch, 6).await;
    assert!(again.snapshot().happened(|what| matches!(what, Happening::EslConnected { host } if *host == first.esl())));
    calls.push(again);
    for call in calls {
        hang_up(call).await;
    }
    for pod in [first, second] {
        pod.await_empty().await;
    }
}

#[tokio::test]
async fn nobody_who_dials_while_a_pod_fills_up_and_drains_waits_for_a_pod_that_says_nothing() {
    const CALLERS: usize = 200;
    let small = PodProcess::builder().set("MAX_SESSIONS", 30).set("DRAIN_DEADLINE_SECONDS", 0).start().await;
    let large = PodProcess::builder().set("MAX_SESSIONS", 2 * CALLERS).start().await;
    let switch = switch(&[&small.esl(), &large.esl()]).with_variable("sessions_per_second", "10000").start().unwrap();
    let dial = |caller: usize| switch.dial(CallPlan::new("15550100").from(format!("+1556{caller:04}")).deaf());
    // All at once: the pod is full while many of them wait at its door.
    let mut calls: Vec<CallHandle> = (0..CALLERS / 2).map(dial).collect();
    for call in &calls {
        call.answered(PATIENCE).await.unwrap();
    }
    // Room for some again, and a drain while the others dial.
    for call in calls.drain(..20) {
        hang_up(call).await;
    }
    calls.extend((0..CALLERS / 2).map(dial));
    small.signal(Signal::SIGTERM);
    for call in calls {
        call.answered(PATIENCE).await.unwrap();
        call.hang_up();
        let outcome = call.outcome().await;
        assert_eq!(outcome.count(|what| *what == Happening::LegTimeout), 0, "{outcome}");
    }
    large.await_empty().await;
}

async fn hang_up(call: CallHandle) {
    call.hang_up();
    assert!(call.outcome().await.answered);
}
