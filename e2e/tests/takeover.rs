//! A pod is lost in the middle of a conversation: the next pod goes on with it, and knows all that was said.

use e2e::{OpenAiServer, PATIENCE, PodProcess, eventually, likeness, switch, voice};
use nix::sys::signal::Signal;
use sofia_dataplane::backend::clips;
use sofia_dataplane::call::{STATE_VARIABLE, state};
use sofia_dataplane::record::{Ending, RecordingNote, Turn};
use sofia_dataplane::turn::state::SavedState;
use switchsim::{CallHandle, CallOutcome, CallPlan, Happening, Snapshot};

#[tokio::test]
async fn the_conversation_goes_on_when_its_pod_is_killed() {
    let outcome = a_conversation_that_loses_its_pod(Signal::SIGKILL).await;
    assert!(!outcome.timeline.iter().any(|event| event.what == Happening::MediaTimeout));
    // The switch's own steps are four ticks of 20 ms; the machine's load is not this test's matter.
    assert!(outcome.longest_gap_ms < 2_000.0, "{outcome}");
}

#[tokio::test]
async fn the_conversation_goes_on_when_its_pod_hangs() {
    let outcome = a_conversation_that_loses_its_pod(Signal::SIGSTOP).await;
    assert!(outcome.timeline.iter().any(|event| event.what == Happening::MediaTimeout));
    assert!(outcome.longest_gap_ms < 4_000.0, "{outcome}");
}

#[tokio::test]
async fn an_answer_that_was_being_spoken_is_spoken_to_its_end_by_the_next_pod() {
    let lost = PodProcess::start().await;
    let next = PodProcess::builder().recording().start().await;
    let call = switch(&[&lost.esl(), &next.esl()]).start().unwrap().dial(CallPlan::new("15550100"));
    call.agent_finishes(PATIENCE).await.unwrap();
    call.say(&voice("five_five")).await;
    call.agent_speaks(PATIENCE).await.unwrap();
    eventually("a half-heard answer to be kept", async || {
        let kept = state::read::<SavedState>(&call.variable(STATE_VARIABLE)?).expect("pods keep what pods can read");
        kept.reply.filter(|reply| !reply.heard.is_empty() && !reply.rest.is_empty())
    })
    .await;
    lost.signal(Signal::SIGKILL);

    call.wait_until("another pod", PATIENCE, taken_over).await.unwrap();
    call.agent_finishes(PATIENCE).await.unwrap();
    call.hang_up();
    let outcome = call.outcome().await;
    println!("{outcome}");
    let sentence = "Please hold while I try to locate the person you are calling";
    let spoken = likeness(&clips::bundled().sentence(sentence).unwrap().samples, &outcome.heard);
    println!("the last sentence: {spoken:.3} like what was heard");
    assert!(spoken > 0.9);
    let record = next.record().await;
    let said: Vec<&str> = record.turns.iter().map(|turn| turn.heard_text.as_str()).collect();
    println!("the next pod's turns: {:?}", record.turns);
    assert!(said.iter().any(|said| said.ends_with(&format!("{sentence}."))), "{said:?}");
    assert!(said.iter().all(|said| !said.contains("how can I help")), "no second greeting: {said:?}");
}

#[tokio::test]
async fn a_call_that_loses_its_pod_has_the_record_and_the_sound_of_both_and_each_page_leads_to_the_other() {
    let records = e2e::Folder::new();
    let folder = records.path().to_str().unwrap().to_owned();
    let speech = OpenAiServer::start().await;
    let pod = || speech.backend_of(PodProcess::builder()).set("RECORD_DIR", &folder);
    let (lost, next) = (pod().start().await, pod().start().await);
    let call = switch(&[&lost.esl(), &next.esl()]).start().unwrap().dial(CallPlan::new("15550100"));
    call.agent_finishes(PATIENCE).await.unwrap();
    ask(&call).await;
    lost.signal(Signal::SIGKILL);
    call.wait_until("another pod", PATIENCE, taken_over).await.unwrap();
    ask(&call).await;
    call.hang_up();
    call.outcome().await;

    // The pod that is left finds what the other has left, once it is certain that nobody writes to it.
    let finished = async {
        loop {
            let both = records.records(1).await;
            if both.len() == 2 && both.iter().all(|record| !record.others.is_empty()) {
                return both;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    };
    let both = tokio::time::timeout(3 * PATIENCE, finished).await.expect("the records of both pods");
    let [first, second] = <[_; 2]>::try_from(both).unwrap();
    assert_eq!((first.attempt, first.ending), (1, Ending::PodLost));
    assert_eq!((second.attempt, second.ending), (2, Ending::CallerHungUp));
    assert_eq!(first.call_id, second.call_id);
    let said = |turns: &[Turn]| turns.iter().map(|turn| turn.heard_text.clone()).collect::<Vec<_>>();
    assert_eq!(said(&first.turns), ["Hello, how can I help you?", "Answer 1."]);
    assert_eq!(said(&second.turns), ["Answer 2."]);
    let before: Vec<&str> = second.before.iter().map(|said| said.text.as_str()).collect();
    assert_eq!(before, ["Hello, how can I help you?", "caller's words", "Answer 1."]);
    for record in [&first, &second] {
        let RecordingNote::Kept { file, duration_ms, .. } = &record.recording else { panic!("{:?}", record.recording) };
        let wav = hound::WavReader::open(records.path().join(file)).unwrap();
        assert_eq!(u64::from(wav.duration()) * 1_000 / 16_000, *duration_ms);
        assert!(*duration_ms > 1_000);
        let [other] = record.others.as_slice() else { panic!("{:?}", record.others) };
        let page = std::fs::read_to_string(records.path().join(file.replace(".wav", ".html"))).unwrap();
        assert!(page.contains(&format!("href=\"{}.html\"", other.name)), "{}", other.name);
    }
    assert!(records.files(".part").is_empty(), "{:?}", records.files(".part"));
}

fn taken_over(call: &Snapshot) -> bool {
    call.legs.iter().any(|leg| leg.attempt == 2 && leg.received > 0)
}

async fn a_conversation_that_loses_its_pod(signal: Signal) -> CallOutcome {
    let speech = OpenAiServer::start().await;
    let lost = speech.backend_of(PodProcess::builder()).start().await;
    let next = speech.backend_of(PodProcess::builder()).recording().start().await;
    let call = switch(&[&lost.esl(), &next.esl()]).start().unwrap().dial(CallPlan::new("15550100"));
    call.agent_finishes(PATIENCE).await.unwrap();
    ask(&call).await;
    ask(&call).await;

    lost.signal(signal);
    call.wait_until("another pod", PATIENCE, taken_over).await.unwrap();
    next.await_metric("sofia_phone_takeovers_total", |takeovers| takeovers == 1.0).await;
    ask(&call).await;
    call.hang_up();
    let outcome = call.outcome().await;
    println!("{outcome}");
    tell_the_gap(&outcome);

    assert_eq!(outcome.attempts, 2, "{:?}", outcome.timeline);
    assert_eq!(speech.spoken(), ["Hello, how can I help you?", "Answer 1.", "Answer 2.", "Answer 3."]);
    the_model_was_told_all_that_was_said(&speech);
    let record = next.record().await;
    assert_eq!((record.call_id.as_str(), record.attempt), (outcome.uuid.as_str(), 2));
    outcome
}

async fn ask(call: &CallHandle) {
    call.say(&voice("five_five")).await;
    call.agent_finishes(PATIENCE).await.unwrap();
}

fn the_model_was_told_all_that_was_said(speech: &OpenAiServer) {
    let chats = speech.chats();
    let told: Vec<(&str, &str)> = chats[2].iter().skip(1).map(|(role, text)| (role.as_str(), text.as_str())).collect();
    let expected = [
        ("user", "[The call is connected.]"),
        ("assistant", "Hello, how can I help you?"),
        ("user", "caller's words"),
        ("assistant", "Answer 1."),
        ("user", "caller's words"),
        ("assistant", "Answer 2."),
        ("user", "caller's words"),
    ];
    assert_eq!(told, expected);
    assert_eq!(chats[2][0], chats[0][0], "the same instructions");
}

/// What the gap in the caller's audio was made of.
fn tell_the_gap(outcome: &CallOutcome) {
    let ended = outcome.timeline.iter().find(|event| matches!(event.what, Happening::LegEnded { .. })).unwrap().at_ms;
    println!("longest gap {:.1} ms; since the first leg's end:", outcome.longest_gap_ms);
    for event in &outcome.timeline {
        let tells = matches!(
            event.what,
            Happening::EslLost { .. }
                | Happening::MediaTimeout
                | Happening::LegEnded { .. }
                | Happening::LegStarted { .. }
                | Happening::EslConnected { .. }
                | Happening::LegAnswered { .. }
        );
        if tells && event.at_ms > ended - 100.0 {
            println!("  {:+8.1} ms {:?}", event.at_ms - ended, event.what);
        }
    }
}
