//! Words that are hardly any: a "no" as the whole answer is heard; over the agent, what is too little to interrupt it leaves
//! it the floor.

use e2e::{PATIENCE, PodProcess, likeness, switch, voice};
use sofia_dataplane::backend::clips;
use sofia_dataplane::record::MarkKind;
use switchsim::{CallPlan, Clip};

/// The loudest of somebody's speech.
fn piece(length_ms: usize) -> Clip {
    let voice = voice("go_forward");
    let loudness = |part: &[i16]| part.iter().map(|sample| i64::from(*sample).pow(2)).sum::<i64>();
    let loudest = voice.samples().windows(16 * length_ms).step_by(160).max_by_key(|part| loudness(part)).unwrap();
    Clip::from_samples(loudest.to_vec())
}

#[tokio::test]
async fn a_word_of_190_ms_is_an_answer_once_the_agent_waits_for_one() {
    let pod = PodProcess::builder().recording().start().await;
    let call = switch(&[&pod.esl()]).start().unwrap().dial(CallPlan::new("15550100"));
    call.agent_finishes(PATIENCE).await.unwrap();
    call.say(&piece(190)).await;
    pod.await_metric("sofia_phone_turns_total", |turns| turns == 1.0).await;
    call.hang_up();
    call.outcome().await;
}

#[tokio::test]
async fn words_that_are_too_few_to_interrupt_pause_the_agent_and_it_says_all_it_had_to_say() {
    // The mock's transcript is a handful of words.
    let pod = PodProcess::builder().set("BARGE_IN_WORDS", 20).recording().start().await;
    let call = switch(&[&pod.esl()]).start().unwrap().dial(CallPlan::new("15550100"));
    call.agent_finishes(PATIENCE).await.unwrap();
    call.say(&voice("go_forward")).await;
    call.agent_speaks(PATIENCE).await.unwrap();

    call.say(&voice("go_somewhere")).await;
    pod.await_metric("sofia_phone_backchannels_total", |heard| heard == 1.0).await;
    call.agent_finishes(PATIENCE).await.unwrap();
    assert_eq!(pod.metric("sofia_phone_barge_ins_total").await, 0.0);
    call.hang_up();
    let outcome = call.outcome().await;
    println!("{outcome}");

    let sentence = "Please hold while I try to locate the person you are calling";
    let last = clips::bundled().sentence(sentence).expect("the mock has a recording of it").samples.to_vec();
    assert!(likeness(&last, &outcome.heard) > 0.9);
    let record = pod.record().await;
    let answered = record.turns.iter().find(|turn| !turn.agent_text.is_empty() && !turn.caller_text.is_empty());
    let answered = answered.expect("the first words were answered");
    assert!(!answered.interrupted && answered.heard_text == answered.agent_text, "{answered:?}");
    assert!(record.marks.iter().any(|mark| mark.kind == MarkKind::Backchannel), "{:?}", record.marks);
}
