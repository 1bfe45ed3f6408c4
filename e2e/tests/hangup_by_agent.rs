//! The model hangs up: the caller hears the goodbye to its end, and no other pod is tried.

use std::sync::Arc;

use e2e::{Folder, PATIENCE, ScriptedBackend, likeness, settings, switch, voice};
use sofia_dataplane::Pod;
use sofia_dataplane::backend::{ReplyPart, clips};
use sofia_dataplane::record::Ending;
use sofia_dataplane::turn::tool::ToolCall;
use switchsim::{CallPlan, EndedBy};

#[tokio::test]
async fn the_goodbye_is_heard_and_the_call_is_over() {
    let folder = Folder::new();
    let backend = ScriptedBackend::new(|_, _| {
        vec![ReplyPart::Text("Thank you for your call. Goodbye.".to_owned()), ReplyPart::Tool(ToolCall::HangUp)]
    });
    let settings = settings(&[("RECORD_DIR", folder.path().to_str().unwrap())]);
    let pod = Pod::start_with(settings, Arc::new(backend)).await.unwrap();
    let esl = pod.esl_address().to_string();

    let plan = CallPlan::new("15550100").wait_for_agent().say(&voice("five_five")).wait_for_hangup();
    let outcome = switch(&[&esl, &esl]).start().unwrap().call(plan.step_timeout(PATIENCE)).await;
    println!("{outcome}");
    assert_eq!((outcome.ended_by, outcome.cause.name()), (EndedBy::Switch, "NORMAL_CLEARING"));
    assert_eq!((outcome.script_error.as_deref(), outcome.attempts), (None, 1));
    let goodbye = clips::bundled().sentence("Goodbye").unwrap();
    let heard = likeness(&goodbye.samples, &outcome.heard);
    println!("the goodbye: {heard:.3} like what was heard");
    assert!(heard > 0.85);

    let record = folder.records(1).await.remove(0);
    assert_eq!(record.ending, Ending::AgentHungUp);
    assert_eq!(record.turns[1].heard_text, "Thank you for your call. Goodbye.");
}
