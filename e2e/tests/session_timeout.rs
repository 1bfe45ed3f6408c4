//! A call that reaches its longest duration is said goodbye to, and ended.

use std::sync::Arc;
use std::time::Duration;

use e2e::{Folder, PATIENCE, ScriptedBackend, settings, switch};
use sofia_dataplane::Pod;
use sofia_dataplane::record::Ending;
use switchsim::{CallPlan, EndedBy};

#[tokio::test]
async fn a_call_ends_with_a_goodbye_when_its_time_is_up() {
    let (outcome, ending, turns) = call_to("15550100").await;
    assert_eq!((outcome.ended_by, outcome.cause.name(), outcome.attempts), (EndedBy::Switch, "NORMAL_CLEARING", 1));
    assert_eq!(ending, Ending::TimeLimit);
    assert!(turns.last().is_some_and(|said| said.ends_with("Thank you for calling. Goodbye.")), "{turns:?}");
}

#[tokio::test]
async fn an_echo_test_ends_when_its_time_is_up() {
    let (outcome, ending, _) = call_to("9999").await;
    assert_eq!((outcome.ended_by, outcome.cause.name(), outcome.attempts), (EndedBy::Switch, "NORMAL_CLEARING", 1));
    assert_eq!(ending, Ending::TimeLimit);
}

async fn call_to(number: &str) -> (switchsim::CallOutcome, Ending, Vec<String>) {
    let folder = Folder::new();
    let mut settings = settings(&[("RECORD_DIR", folder.path().to_str().unwrap())]);
    // The environment knows whole minutes only.
    settings.session_timeout = Duration::from_secs(2);
    let pod = Pod::start_with(settings, Arc::new(ScriptedBackend::new(|_, _| Vec::new()))).await.unwrap();
    let plan = CallPlan::new(number).wait_for_hangup().step_timeout(PATIENCE);
    let outcome = switch(&[&pod.esl_address().to_string()]).start().unwrap().call(plan).await;
    println!("{outcome}");
    assert_eq!(outcome.script_error, None);
    let record = folder.records(1).await.remove(0);
    let turns = record.turns.iter().map(|turn| turn.heard_text.clone()).collect();
    (outcome, record.ending, turns)
}
