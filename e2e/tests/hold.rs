//! The caller puts the agent on hold: the pod notices that nothing comes any more, waits, keeps sending, and goes on
//! when the caller is back.

use e2e::{PATIENCE, PodProcess, eventually, switch, voice};
use nix::sys::signal::Signal;
use switchsim::CallPlan;

#[tokio::test]
async fn the_conversation_waits_on_hold_and_goes_on_afterwards() {
    // A caller on hold is not asked whether they are there.
    let pod = PodProcess::builder().set("SILENCE_SECONDS", 5).start().await;
    let call = switch(&[&pod.esl()]).start().unwrap().dial(CallPlan::new("15550100"));
    call.agent_finishes(PATIENCE).await.unwrap();
    assert_eq!(state(&pod).await, "active");

    call.hold();
    let held = call.snapshot();
    eventually("the session to be on hold", async || (state(&pod).await == "on_hold").then_some(())).await;
    let before = call.snapshot().packets_received;
    assert!(before > held.packets_received, "a pod that falls mute would be taken for a lost one");
    call.wait_until("the silence prompt's time to pass", PATIENCE, |call| {
        call.packets_received > held.packets_received + 50 * 6
    })
    .await
    .unwrap();
    assert_eq!(state(&pod).await, "on_hold");

    call.unhold();
    eventually("the session to be active", async || (state(&pod).await == "active").then_some(())).await;
    call.say(&voice("five_five")).await;
    call.agent_speaks(PATIENCE).await.unwrap();
    call.hang_up();
    let outcome = call.outcome().await;
    println!("{outcome}");
    assert_eq!((outcome.attempts, outcome.legs[0].streams, outcome.legs[0].lost), (1, 1, 0));
    assert_eq!(pod.metric("sofia_phone_turns_total").await, 1.0);
}

#[tokio::test]
async fn a_caller_who_holds_goes_on_with_the_next_pod_whether_theirs_is_killed_or_drained() {
    for signal in [Signal::SIGKILL, Signal::SIGTERM] {
        let lost = PodProcess::builder().set("DRAIN_DEADLINE_SECONDS", 0).start().await;
        let next = PodProcess::start().await;
        let call = switch(&[&lost.esl(), &next.esl()]).start().unwrap().dial(CallPlan::new("15550100"));
        call.agent_finishes(PATIENCE).await.unwrap();
        call.hold();
        eventually("the session to be on hold", async || (state(&lost).await == "on_hold").then_some(())).await;
        lost.signal(signal);
        let moved = |call: &switchsim::Snapshot| call.legs.len() == 2 && call.legs[1].received > 0;
        call.wait_until("the next pod", PATIENCE, moved).await.unwrap();
        // Longer than the switch waits for the packets of a pod that is mute.
        let received = call.snapshot().packets_received;
        call.wait_until("packets", PATIENCE, |call| call.packets_received > received + 100).await.unwrap();

        call.unhold();
        call.say(&voice("five_five")).await;
        call.agent_speaks(PATIENCE).await.unwrap();
        call.hang_up();
        let outcome = call.outcome().await;
        println!("{signal}: {outcome}");
        assert_eq!(outcome.attempts, 2, "{signal}");
    }
}

async fn state(pod: &PodProcess) -> String {
    pod.status().await["sessions"]["list"][0]["state"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_telephone_that_sends_nothing_in_pauses_is_answered_and_is_on_hold_only_when_it_holds() {
    // The answer takes longer than packets may be missing before the switch is asked whether the caller holds.
    let pod = PodProcess::builder().set("MOCK_GENERATE_DELAY_MS", 6_000).set("SILENCE_SECONDS", 2).start().await;
    let call = switch(&[&pod.esl()]).start().unwrap().dial(CallPlan::new("15550100"));
    call.agent_finishes(PATIENCE).await.unwrap();
    call.say(&voice("five_five")).await;
    call.stop_sending();
    let answer = call.agent_speaks(PATIENCE).await.unwrap();
    assert!(pod.metric("sofia_phone_turns_total").await >= 1.0);
    assert_eq!(state(&pod).await, "active");
    // Silent, and asked whether they are there.
    let prompted = call.wait_until("a prompt behind the answer", PATIENCE, |call| {
        call.agent_speech.len() > answer.agent_speech.len() + 1
    });
    prompted.await.unwrap();

    call.hold();
    eventually("the session to be on hold", async || (state(&pod).await == "on_hold").then_some(())).await;
    call.unhold();
    call.send_again();
    eventually("the session to be active", async || (state(&pod).await == "active").then_some(())).await;
    call.hang_up();
    println!("{}", call.outcome().await);
}
