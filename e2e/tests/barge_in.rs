//! The caller speaks over the agent: the agent falls silent and the rest of the answer is never spoken. A cough only
//! pauses it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use e2e::{PATIENCE, PodProcess, ScriptedBackend, level_dbfs, likeness, settings, switch, voice};
use sofia_dataplane::Pod;
use sofia_dataplane::backend::{ReplyPart, VoiceBackend, clips};
use sofia_dataplane::record::MarkKind;
use switchsim::{CallPlan, Clip, Happening};

/// The last sentence of the mock's first answer, as it is spoken.
fn last_sentence() -> Vec<i16> {
    let sentence = "Please hold while I try to locate the person you are calling";
    clips::bundled().sentence(sentence).expect("the mock has a recording of it").samples.to_vec()
}

#[tokio::test]
async fn a_caller_who_speaks_over_the_agent_silences_it_and_the_rest_is_never_spoken() {
    let pod = PodProcess::builder().recording().start().await;
    let call = switch(&[&pod.esl()]).start().unwrap().dial(CallPlan::new("15550100"));
    call.agent_finishes(PATIENCE).await.unwrap();
    call.say(&voice("go_forward")).await;
    let speaks = call.agent_speaks(PATIENCE).await.unwrap();

    let interruption = voice("go_somewhere");
    call.start_saying(&interruption);
    let silenced =
        call.wait_until("the agent to fall silent", interruption.duration(), |call| !call.agent_speaks).await.unwrap();
    let said = speaks.timeline.len();
    let began = silenced.timeline[said..].iter().find(|event| matches!(event.what, Happening::Said { .. })).unwrap();
    let fell_silent_ms = silenced.agent_speech.last().unwrap().end_ms;
    let quiet = interruption.samples().chunks(320).take_while(|frame| level_dbfs(frame) < -40.0).count() * 20;
    println!(
        "the agent was silent {:.0} ms after the caller's first sound",
        fell_silent_ms - began.at_ms - quiet as f64
    );

    // The interruption is answered in its turn.
    pod.await_metric("sofia_phone_turns_total", |turns| turns == 2.0).await;
    call.agent_finishes(PATIENCE).await.unwrap();
    assert_eq!(pod.metric("sofia_phone_barge_ins_total").await, 1.0);
    assert_eq!(pod.metric("sofia_phone_barge_in_false_alarms_total").await, 0.0);
    call.hang_up();
    let outcome = call.outcome().await;
    println!("{outcome}");

    let spoken = likeness(&last_sentence(), &outcome.heard);
    println!("what was cut off: {spoken:.3} like anything that was heard");
    assert!(spoken < 0.85);
    let record = pod.record().await;
    let turn = &record.turns[1];
    assert!(turn.interrupted && turn.heard_text.len() < turn.agent_text.len(), "{turn:?}");
    assert!(record.marks.iter().any(|mark| mark.kind == MarkKind::BargeIn), "{:?}", record.marks);
    assert!(!record.turns[2].interrupted, "{:?}", record.turns[2]);
}

#[tokio::test]
async fn the_next_answer_is_asked_for_with_what_the_caller_heard_a_word_more_or_less() {
    const SENTENCE: &str =
        "It costs forty euros a month and you can cancel it by letter or on our page at the end of any quarter.";
    const A_CHARACTER: Duration = Duration::from_millis(60);
    let histories = Arc::new(Mutex::new(Vec::new()));
    let asked = Arc::clone(&histories);
    let backend = ScriptedBackend::new(move |_, history| {
        asked.lock().unwrap().push(history.to_vec());
        vec![ReplyPart::Text(SENTENCE.to_owned())]
    });
    let backend: Arc<dyn VoiceBackend> = Arc::new(backend.speaking_at(A_CHARACTER));
    let greeting = "Good morning, this is the library. What can I do for you?";
    let pod = Pod::start_with(settings(&[("GREETING", greeting)]), backend).await.unwrap();
    let call = switch(&[&pod.esl_address().to_string()]).start().unwrap().dial(CallPlan::new("15550100"));
    call.agent_finishes(PATIENCE).await.unwrap();
    call.say(&voice("go_forward")).await;
    call.agent_speaks(PATIENCE).await.unwrap();
    // A third of it: none of what follows leans on how exactly.
    tokio::time::sleep(A_CHARACTER * SENTENCE.len() as u32 / 3).await;
    call.say(&voice("go_somewhere")).await;
    e2e::eventually("the second answer to be asked for", async || (histories.lock().unwrap().len() == 2).then_some(()))
        .await;
    call.hang_up();
    let outcome = call.outcome().await;
    pod.drain();
    pod.stop().await;

    // The greeting, the part of the first answer that was heard, and what there was of the second.
    assert!(outcome.agent_speech.len() >= 2, "{outcome}");
    let heard_ms = outcome.agent_speech[1].end_ms - outcome.agent_speech[1].start_ms;
    println!("heard {heard_ms} ms of {:?}", A_CHARACTER * SENTENCE.len() as u32);
    let share = heard_ms / (A_CHARACTER.as_millis() as f64 * SENTENCE.len() as f64);
    assert!((0.2..0.7).contains(&share), "{outcome}");
    let words = SENTENCE[..(SENTENCE.len() as f64 * share) as usize].split_whitespace().count();
    let history = histories.lock().unwrap()[1].clone();
    let told = history.last().expect("the answer that was interrupted").content.trim_end_matches('…').trim().to_owned();
    assert!(SENTENCE.starts_with(&told), "{history:?}");
    let said = told.split_whitespace().count();
    assert!(said.abs_diff(words) <= 1, "the caller heard {words} words or so, the model is told of {said}: {told}");
}

#[tokio::test]
async fn a_cough_over_the_agent_pauses_it_and_then_it_says_all_it_had_to_say() {
    let pod = PodProcess::builder().recording().start().await;
    let call = switch(&[&pod.esl()]).start().unwrap().dial(CallPlan::new("15550100"));
    call.agent_finishes(PATIENCE).await.unwrap();
    call.say(&voice("go_forward")).await;
    call.agent_speaks(PATIENCE).await.unwrap();

    call.say(&cough()).await;
    call.wait_until("the agent to pause", PATIENCE, |call| !call.agent_speaks).await.unwrap();
    pod.await_metric("sofia_phone_barge_in_false_alarms_total", |alarms| alarms == 1.0).await;
    call.agent_finishes(PATIENCE).await.unwrap();
    assert_eq!(pod.metric("sofia_phone_barge_ins_total").await, 0.0);
    call.hang_up();
    let outcome = call.outcome().await;
    println!("{outcome}");

    let spoken = likeness(&last_sentence(), &outcome.heard);
    println!("the last sentence: {spoken:.3} like what was heard");
    assert!(spoken > 0.9);
    let record = pod.record().await;
    let turn = &record.turns[1];
    assert!(!turn.interrupted && turn.heard_text == turn.agent_text, "{turn:?}");
    let kinds: Vec<MarkKind> = record.marks.iter().map(|mark| mark.kind).collect();
    assert!(kinds.contains(&MarkKind::BargeIn) && kinds.contains(&MarkKind::FalseAlarm), "{kinds:?}");
}

/// The loudest 220 ms of somebody's speech: too short for a word, long enough to be taken for the beginning of one.
fn cough() -> Clip {
    const LENGTH: usize = 16 * 220;
    let voice = voice("go_forward");
    let loudness = |part: &[i16]| part.iter().map(|sample| i64::from(*sample).pow(2)).sum::<i64>();
    let loudest = voice.samples().windows(LENGTH).step_by(160).max_by_key(|part| loudness(part)).unwrap();
    Clip::from_samples(loudest.to_vec())
}
