//! A pod that is held up refuses new calls, which go elsewhere, keeps those that it has, takes over those whose pod was lost, and takes
//! new calls again when it is in time again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::Duration;

use e2e::{PATIENCE, PodProcess, eventually, switch};
use nix::sys::signal::Signal;
use switchsim::{CallPlan, Happening, Progress};

/// Longer than any limit that can be set, and than a machine that is merely busy holds a process up.
const STOPPED: Duration = Duration::from_millis(120);
const RUNNING: Duration = Duration::from_millis(80);

/// Stops a pod again and again for a moment, as a neighbour or a processor quota would.
struct HeldUp {
    over: Arc<AtomicBool>,
    pulses: Option<JoinHandle<()>>,
}

impl HeldUp {
    fn begin(pod: &Arc<PodProcess>) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let (pod, told) = (Arc::clone(pod), Arc::clone(&over));
        let pulses = spawn(move || {
            while !told.load(Ordering::Relaxed) {
                pod.signal(Signal::SIGSTOP);
                sleep(STOPPED);
                pod.signal(Signal::SIGCONT);
                sleep(RUNNING);
            }
        });
        Self { over, pulses: Some(pulses) }
    }
}

impl Drop for HeldUp {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        // It ends with the pod running, whatever the test came to.
        let _ = self.pulses.take().map(JoinHandle::join);
    }
}

#[tokio::test]
async fn a_pod_that_is_held_up_takes_no_call_until_it_is_in_time_and_loses_none() {
    let held = Arc::new(PodProcess::builder().set("MAX_LATENESS_MS", 40).start().await);
    let other = PodProcess::start().await;
    let switch = switch(&[&held.esl(), &other.esl()]).start().unwrap();
    let connected_to = |pod: &PodProcess| {
        let esl = pod.esl();
        move |what: &Happening| matches!(what, Happening::EslConnected { host } if *host == esl)
    };

    let first = switch.dial(CallPlan::new("15550100").from("+15550001"));
    let up = first.answered(PATIENCE).await.unwrap();
    assert!(up.happened(connected_to(&held)));
    let pulses = HeldUp::begin(&held);
    held.await_metric("sofia_phone_late", |late| late == 1.0).await;
    let ready = held.get("/ready").await;
    println!("{}", ready.body);
    assert_eq!((ready.status, ready.json()["reason"].as_str()), (503, Some("late")));
    assert!(held.metric("sofia_phone_media_lateness_seconds").await > 0.04);
    let sessions = &held.status().await["sessions"];
    assert_eq!(
        (&sessions["late"], &sessions["accepting"], &sessions["active"]),
        (&true.into(), &false.into(), &1.into())
    );

    let second = switch.dial(CallPlan::new("15550100").from("+15550002"));
    let elsewhere = second.answered(PATIENCE).await.unwrap();
    assert!(elsewhere.happened(connected_to(&other)));
    assert_eq!(held.metric("sofia_phone_calls_refused_total{reason=\"late\"}").await, 1.0);
    let heard = first.snapshot().packets_received;
    first.wait_until("more of the first call", PATIENCE, |call| call.packets_received > heard + 20).await.unwrap();

    // Who was talking is taken all the same: late is better than cut off.
    other.signal(Signal::SIGKILL);
    let moved = |call: &switchsim::Snapshot| call.legs.last().is_some_and(|leg| leg.attempt == 3 && leg.received > 20);
    second.wait_until("the pod that is held up", PATIENCE, moved).await.unwrap();
    assert!(second.snapshot().happened(connected_to(&held)));
    assert_eq!(held.metric("sofia_phone_late").await, 1.0);

    drop(pulses);
    eventually("the pod to be ready again", async || (held.get("/ready").await.status == 200).then_some(())).await;
    let third = switch.dial(CallPlan::new("15550100").from("+15550003"));
    assert!(third.answered(PATIENCE).await.unwrap().happened(connected_to(&held)));
    assert_eq!(first.snapshot().progress, Progress::Answered, "the call that was up stayed so");
    for (call, legs) in [(first, 1), (second, 2), (third, 1)] {
        call.hang_up();
        let outcome = call.outcome().await;
        assert_eq!(outcome.legs.len(), legs, "{outcome}");
    }
    held.await_empty().await;
}
