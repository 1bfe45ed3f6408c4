//! The model transfers the caller: the announcement is heard, the switch is told, and the pod is rid of the call.

use std::sync::Arc;

use e2e::{Folder, PATIENCE, ScriptedBackend, settings, switch, voice};
use sofia_dataplane::Pod;
use sofia_dataplane::backend::ReplyPart;
use sofia_dataplane::record::{Ending, MarkKind};
use sofia_dataplane::turn::tool::ToolCall;
use switchsim::{CallPlan, Happening, Progress};

#[tokio::test]
async fn the_caller_is_connected_to_where_the_model_says() {
    let folder = Folder::new();
    let backend = ScriptedBackend::new(|_, _| {
        let text = "Please wait while I connect your call.".to_owned();
        vec![ReplyPart::Text(text), ReplyPart::Tool(ToolCall::Transfer { destination: "2000".to_owned() })]
    });
    let folder_name = folder.path().to_str().unwrap();
    let settings = settings(&[("RECORD_DIR", folder_name), ("TRANSFER_CONTEXT", "transfer")]);
    let pod = Pod::start_with(settings, Arc::new(backend)).await.unwrap();
    let call = switch(&[&pod.esl_address().to_string()]).start().unwrap().dial(CallPlan::new("15550100"));
    call.agent_finishes(PATIENCE).await.unwrap();
    call.say(&voice("five_five")).await;
    let transferred = |what: &Happening| match what {
        Happening::Transferred { destination, context } => destination == "2000" && context == "transfer",
        _ => false,
    };
    call.wait_until("the transfer", PATIENCE, |call| call.happened(transferred)).await.unwrap();

    let record = folder.records(1).await.remove(0);
    assert_eq!(record.ending, Ending::Transferred);
    assert_eq!(record.turns[1].heard_text, "Please wait while I connect your call.");
    assert!(record.marks.iter().any(|mark| mark.kind == MarkKind::Transfer), "{:?}", record.marks);
    // The pod is out of it, the caller is not.
    assert_eq!(call.snapshot().progress, Progress::Answered);
    call.hang_up();
    let outcome = call.outcome().await;
    assert_eq!(outcome.attempts, 1, "{outcome}");
}

#[tokio::test]
async fn an_address_reaches_the_dialplan_as_it_is_and_where_none_leads_the_caller_is_told() {
    for (destinations, led) in [("addresses", true), ("numbers", false)] {
        let folder = Folder::new();
        let backend = ScriptedBackend::new(|_, _| {
            let call = ToolCall::Transfer { destination: "sip:anna@example.com".to_owned() };
            vec![ReplyPart::Text("Please wait while I connect your call.".to_owned()), ReplyPart::Tool(call)]
        });
        let folder_name = folder.path().to_str().unwrap();
        let settings = settings(&[
            ("RECORD_DIR", folder_name),
            ("TRANSFER_CONTEXT", "transfer"),
            ("TRANSFER_DESTINATIONS", destinations),
        ]);
        let pod = Pod::start_with(settings, Arc::new(backend)).await.unwrap();
        let call = switch(&[&pod.esl_address().to_string()]).start().unwrap().dial(CallPlan::new("15550100"));
        call.agent_finishes(PATIENCE).await.unwrap();
        call.say(&voice("five_five")).await;
        let transferred = |what: &Happening| matches!(what, Happening::Transferred { destination, .. } if destination == "sip:anna@example.com");
        if led {
            call.wait_until("the transfer", PATIENCE, |call| call.happened(transferred)).await.unwrap();
        } else {
            call.agent_finishes(PATIENCE).await.unwrap();
            call.hang_up();
        }
        let record = folder.records(1).await.remove(0);
        let apologised = record.marks.iter().any(|mark| mark.kind == MarkKind::Apology);
        assert_eq!((record.ending == Ending::Transferred, apologised), (led, !led), "{:?}", record.marks);
        call.hang_up();
    }
}
