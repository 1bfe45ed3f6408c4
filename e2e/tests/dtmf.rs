//! Keys: the caller's reach the model, the model's reach the caller's side.

use std::sync::Arc;
use std::time::Duration;

use e2e::{OpenAiServer, PATIENCE, PodProcess, ScriptedBackend, settings, switch, voice};
use sofia_dataplane::Pod;
use sofia_dataplane::backend::ReplyPart;
use sofia_dataplane::record::MarkKind;
use sofia_dataplane::turn::tool::ToolCall;
use switchsim::{CallPlan, Clip};

#[tokio::test]
async fn the_callers_keys_are_answered_like_words() {
    let speech = OpenAiServer::start().await;
    let pod = speech.backend_of(PodProcess::builder().recording()).start().await;
    let call = switch(&[&pod.esl()]).start().unwrap().dial(CallPlan::new("15550100"));
    call.agent_finishes(PATIENCE).await.unwrap();
    call.dtmf("12A#").await;
    call.agent_finishes(PATIENCE).await.unwrap();
    call.hang_up();
    call.outcome().await;

    let chats = speech.chats();
    assert_eq!(chats.len(), 1);
    assert_eq!(chats[0].last(), Some(&("user".to_owned(), "[DTMF: 12A#]".to_owned())));
    assert_eq!(speech.transcriptions(), 0, "keys are no speech");
    assert_eq!(pod.metric("sofia_phone_dtmf_received_total").await, 4.0);
    let record = pod.record().await;
    let keys: Vec<&str> =
        record.marks.iter().filter(|mark| mark.kind == MarkKind::Dtmf).map(|mark| mark.detail.as_str()).collect();
    // Four presses, none told: keys may be somebody's PIN.
    assert_eq!(keys, ["•", "•", "•", "•"]);
}

#[tokio::test]
async fn keys_that_are_in_the_sound_alone_are_answered_like_words_and_are_no_speech() {
    let speech = OpenAiServer::start().await;
    let pod = speech.backend_of(PodProcess::builder()).start().await;
    let call = switch(&[&pod.esl()]).start().unwrap().dial(CallPlan::new("15550100"));
    call.agent_finishes(PATIENCE).await.unwrap();
    // 4, 0 and #, 120 ms each.
    let mut sound = Vec::new();
    for pair in [[770.0, 1_209.0], [941.0, 1_336.0], [941.0, 1_477.0]] {
        sound.extend_from_slice(Clip::tones(&pair, Duration::from_millis(120)).samples());
        sound.extend_from_slice(Clip::silence(Duration::from_millis(120)).samples());
    }
    call.say(&Clip::from_samples(sound)).await;
    call.agent_finishes(PATIENCE).await.unwrap();
    call.hang_up();
    call.outcome().await;

    let chats = speech.chats();
    assert_eq!(chats.last().and_then(|chat| chat.last()), Some(&("user".to_owned(), "[DTMF: 40#]".to_owned())));
    assert_eq!(speech.transcriptions(), 0, "keys are no speech");
    assert_eq!(pod.metric("sofia_phone_dtmf_received_total").await, 3.0);
}

#[tokio::test]
async fn the_models_keys_are_sent_to_the_other_end() {
    let backend = ScriptedBackend::new(|_, _| {
        let keys = ToolCall::SendDtmf { digits: "42#".to_owned() };
        vec![ReplyPart::Text("One moment please.".to_owned()), ReplyPart::Tool(keys)]
    });
    let pod = Pod::start_with(settings(&[]), Arc::new(backend)).await.unwrap();
    let call = switch(&[&pod.esl_address().to_string()]).start().unwrap().dial(CallPlan::new("15550100"));
    call.agent_finishes(PATIENCE).await.unwrap();
    call.say(&voice("five_five")).await;
    call.wait_until("the keys", PATIENCE, |call| call.digits == "42#").await.unwrap();
    call.hang_up();
    let outcome = call.outcome().await;
    assert_eq!(
        (outcome.digits().as_str(), outcome.legs[0].lost, outcome.legs[0].malformed),
        ("42#", 0, 0),
        "{outcome}"
    );
}
