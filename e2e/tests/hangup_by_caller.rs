//! The caller hangs up: the permit is free at once and the record says so.

use e2e::{PATIENCE, PodProcess, switch};
use sofia_dataplane::record::Ending;
use switchsim::{CallPlan, EndedBy};

#[tokio::test]
async fn the_callers_permit_is_free_for_the_next_call() {
    let pod = PodProcess::builder().recording().set("MAX_SESSIONS", 1).start().await;
    let switch = switch(&[&pod.esl()]).start().unwrap();
    // In the middle of a word of the agent's.
    let first = switch.call(CallPlan::new("15550100").wait_for_speech().hang_up()).await;
    assert_eq!((first.ended_by, first.cause.name()), (EndedBy::Caller, "NORMAL_CLEARING"));
    assert_eq!((first.script_error.as_deref(), first.attempts), (None, 1));

    pod.await_empty().await;
    pod.await_metric("sofia_phone_ready", |ready| ready == 1.0).await;
    let second = switch.dial(CallPlan::new("15550100").from("+15550002"));
    second.agent_speaks(PATIENCE).await.unwrap();
    second.hang_up();
    assert_eq!(second.outcome().await.attempts, 1);
    for record in pod.folder().records(2).await {
        assert_eq!(record.ending, Ending::CallerHungUp, "{record:?}");
        assert_eq!(record.hangup_cause.as_deref(), Some("NORMAL_CLEARING"), "{record:?}");
    }
    assert_eq!(pod.metric("sofia_phone_sessions_total{outcome=\"caller_hung_up\"}").await, 2.0);
}

#[tokio::test]
async fn a_caller_who_gives_up_before_the_answer_leaves_nothing_behind() {
    let pod = PodProcess::builder().set("MAX_SESSIONS", 1).start().await;
    let switch = switch(&[&pod.esl()]).start().unwrap();
    let call = switch.dial(CallPlan::new("15550100"));
    call.hang_up();
    call.outcome().await;
    pod.await_empty().await;
    let next = switch.dial(CallPlan::new("15550100"));
    next.agent_speaks(PATIENCE).await.unwrap();
    next.hang_up();
    next.outcome().await;
}
