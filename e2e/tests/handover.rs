//! A pod that is told to stop gives the calls that outlast its drain deadline to other pods, and ends.

use std::time::Duration;

use e2e::{OpenAiServer, PATIENCE, PodProcess, SlowTakeover, eventually, switch, voice};
use nix::sys::signal::Signal;
use sofia_dataplane::record::Ending;
use switchsim::{CallHandle, CallPlan, EndedBy, Happening, Snapshot};

#[tokio::test]
async fn a_pod_that_is_drained_while_it_takes_a_call_over_leaves_what_was_kept_as_it_is() {
    const OFFER: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 41000 RTP/AVP 0\r\na=ptime:20\r\n";
    let mut pod = PodProcess::builder().set("DRAIN_DEADLINE_SECONDS", 0).start().await;
    let call = SlowTakeover::dial(&pod.esl(), OFFER).await;
    eventually("the pod to ask", async || call.commands().contains("api uuid_getvar").then_some(())).await;
    pod.signal(Signal::SIGTERM);
    assert_eq!(pod.exit().await.code(), Some(0));
    let commands = call.commands();
    assert!(commands.contains("sofia_phone_handed_over 2"), "{commands}");
    assert!(!commands.contains(" sofia_phone_state "), "{commands}");
}

#[tokio::test]
async fn many_calls_leave_one_after_the_other_and_each_has_its_record() {
    const CALLS: usize = 40;
    const RATE: u32 = 40;
    let drained = PodProcess::builder().recording().set("DRAIN_DEADLINE_SECONDS", 0).set("RECORD_AUDIO", false);
    let drained = drained.set("SWITCH_SESSIONS_PER_SECOND", RATE).set("SILENCE_SECONDS", 0);
    let mut drained = drained.start().await;
    let next = PodProcess::builder().set("SILENCE_SECONDS", 0).start().await;
    let switch =
        switch(&[&drained.esl(), &next.esl()]).with_variable("sessions_per_second", RATE.to_string()).start().unwrap();
    let mut calls: Vec<CallHandle> = Vec::new();
    while calls.len() < CALLS {
        let call = switch.dial(CallPlan::new("15550100").unrecorded());
        if call.answered(PATIENCE).await.is_ok() {
            calls.push(call);
        }
    }
    for call in &calls {
        let greeted = |call: &Snapshot| call.agent_finished(0.0, Duration::from_millis(700));
        call.wait_until("its greeting", PATIENCE, greeted).await.unwrap();
    }
    drained.signal(Signal::SIGTERM);
    let moved = |call: &Snapshot| call.legs.len() == 2 && call.legs[1].received > 0;
    for call in &calls {
        call.wait_until("the other pod", PATIENCE, moved).await.unwrap();
    }
    assert_eq!(drained.exit().await.code(), Some(0));
    assert_eq!(drained.folder().files(".json").len(), CALLS, "the last one's too");
    let mut throttled = 0;
    for call in calls {
        call.hang_up();
        let outcome = call.outcome().await;
        assert_eq!(outcome.ended_by, EndedBy::Caller);
        throttled += outcome.count(|what| matches!(what, Happening::Throttled { .. }));
    }
    // At the pace of half the switch's sessions hardly a call meets the limit; all at once, each of them would.
    println!("{throttled} sessions refused");
    assert!(throttled < CALLS / 2, "{throttled}");
}

#[tokio::test]
async fn a_call_that_outlasts_the_drain_deadline_goes_on_with_another_pod() {
    let speech = OpenAiServer::start().await;
    let drained = PodProcess::builder().recording().set("DRAIN_DEADLINE_SECONDS", 1);
    let mut drained = speech.backend_of(drained).start().await;
    let next = speech.backend_of(PodProcess::builder()).start().await;
    let call = switch(&[&drained.esl(), &next.esl()]).start().unwrap().dial(CallPlan::new("15550100"));
    call.agent_finishes(PATIENCE).await.unwrap();
    call.say(&voice("five_five")).await;
    call.agent_finishes(PATIENCE).await.unwrap();

    drained.signal(Signal::SIGTERM);
    let status = drained.exit().await;
    assert_eq!(status.code(), Some(0), "{status}");
    assert_eq!(drained.logged("calls were handed over to other pods").unwrap()["calls"], 1);
    let moved = |call: &switchsim::Snapshot| call.legs.iter().any(|leg| leg.attempt == 2 && leg.received > 0);
    call.wait_until("the other pod", PATIENCE, moved).await.unwrap();
    next.await_metric("sofia_phone_takeovers_total", |takeovers| takeovers == 1.0).await;

    call.say(&voice("five_five")).await;
    call.agent_finishes(PATIENCE).await.unwrap();
    call.hang_up();
    let outcome = call.outcome().await;
    println!("{outcome}\nlongest gap {:.1} ms", outcome.longest_gap_ms);
    assert_eq!((outcome.attempts, outcome.legs.len()), (2, 2));
    assert_eq!(speech.spoken(), ["Hello, how can I help you?", "Answer 1.", "Answer 2."]);
    let history: Vec<String> = speech.chats()[1].iter().map(|(_, text)| text.clone()).skip(2).collect();
    assert_eq!(history, ["Hello, how can I help you?", "caller's words", "Answer 1.", "caller's words"]);
    assert_eq!(drained.record().await.ending, Ending::HandedOver);
}
