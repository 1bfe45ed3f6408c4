//! A pod that is told to stop gives the calls that outlast its drain deadline to other pods, and ends.

use e2e::{OpenAiServer, PATIENCE, PodProcess, switch, voice};
use nix::sys::signal::Signal;
use sofia_dataplane::record::Ending;
use switchsim::CallPlan;

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
