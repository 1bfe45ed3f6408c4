//! A recogniser's remark is not what a caller said: no turn comes of it, and an agent that was interrupted goes on.

use std::sync::Arc;

use e2e::{PATIENCE, ScriptedBackend, eventually, likeness, settings, switch, voice};
use sofia_dataplane::Pod;
use sofia_dataplane::backend::{ReplyPart, VoiceBackend, clips};
use switchsim::CallPlan;

const ANSWER: &str =
    "Thank you. Your message has been saved. Please hold while I try to locate the person you are calling.";

fn answering(transcripts: &[&str]) -> Arc<ScriptedBackend> {
    let backend = ScriptedBackend::new(|_, _| vec![ReplyPart::Text(ANSWER.to_owned())]);
    Arc::new(backend.hearing(transcripts.iter().copied()))
}

#[tokio::test]
async fn remarks_of_the_recogniser_make_no_turn_and_are_left_out_of_what_was_said() {
    let backend = answering(&["[BLANK_AUDIO]", " (coughing) Five, five, please. [Music]"]);
    let pod = Pod::start_with(settings(&[]), Arc::clone(&backend) as Arc<dyn VoiceBackend>).await.unwrap();
    let call = switch(&[&pod.esl_address().to_string()]).start().unwrap().dial(CallPlan::new("15550100"));
    call.agent_finishes(PATIENCE).await.unwrap();
    call.say(&voice("five_five")).await;
    eventually("the first utterance to be heard", async || (backend.unheard() == 1).then_some(())).await;
    call.say(&voice("five_five")).await;
    call.agent_speaks(PATIENCE).await.unwrap();
    call.hang_up();
    call.outcome().await;
    assert_eq!(backend.asked(), ["Five, five, please."]);
    pod.drain();
    pod.stop().await;
}

#[tokio::test]
async fn an_agent_that_a_remark_interrupted_says_all_that_it_had_to_say() {
    let backend = answering(&["Hello?", "(speaking in foreign language)"]);
    let pod = Pod::start_with(settings(&[]), Arc::clone(&backend) as Arc<dyn VoiceBackend>).await.unwrap();
    let call = switch(&[&pod.esl_address().to_string()]).start().unwrap().dial(CallPlan::new("15550100"));
    call.agent_finishes(PATIENCE).await.unwrap();
    call.say(&voice("five_five")).await;
    call.agent_speaks(PATIENCE).await.unwrap();
    call.say(&voice("five_five")).await;
    call.agent_finishes(PATIENCE).await.unwrap();
    call.hang_up();
    let outcome = call.outcome().await;
    assert_eq!(backend.asked(), ["Hello?"]);
    let last = clips::bundled().sentence("Please hold while I try to locate the person you are calling").unwrap();
    let spoken = likeness(&last.samples, &outcome.heard);
    println!("the last sentence: {spoken:.3} like what was heard");
    assert!(spoken > 0.9, "{outcome}");
    pod.drain();
    pod.stop().await;
}
