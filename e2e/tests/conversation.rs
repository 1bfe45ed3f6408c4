//! A whole conversation: the caller is greeted, speaks, is answered, hangs up, and what is kept of the call agrees
//! with what was heard.

use e2e::{Folder, PATIENCE, PodProcess, Recording, likeness, switch, voice};
use sofia_dataplane::record::{Ending, RecordingNote};
use switchsim::{CallPlan, EndedBy};

#[tokio::test]
async fn a_caller_is_greeted_speaks_and_is_answered_and_the_record_tells_the_same() {
    let pod = PodProcess::builder().recording().start().await;
    let caller = voice("go_forward");
    let switch = switch(&[&pod.esl()]).start().unwrap();

    let call = switch.dial(CallPlan::new("15550100").from("+4915112345678"));
    call.agent_finishes(PATIENCE).await.unwrap();
    let greeted = call.snapshot().agent_speech.len();
    call.say(&caller).await;
    call.agent_finishes(PATIENCE).await.unwrap();
    call.hang_up();
    let outcome = call.outcome().await;
    println!("{outcome}");

    assert_eq!((outcome.answered, outcome.attempts, outcome.ended_by), (true, 1, EndedBy::Caller));
    assert!(greeted >= 1 && outcome.agent_speech.len() > greeted, "{:?}", outcome.agent_speech);
    let leg = &outcome.legs[0];
    assert_eq!((leg.codec.as_str(), leg.lost, leg.streams, leg.malformed), ("G722/16000", 0, 1, 0), "{leg:?}");

    let record = pod.record().await;
    assert_eq!(record.call_id, outcome.uuid);
    assert_eq!((record.ending, record.attempt, record.dialed.as_str()), (Ending::CallerHungUp, 1, "15550100"));
    assert_eq!(record.turns.len(), 2, "{:?}", record.turns);
    assert_eq!(record.turns[0].agent_text, "Hello, how can I help you?");
    let turn = &record.turns[1];
    assert!(turn.caller_text.contains("speech 2."), "{turn:?}");
    assert!(Some(turn.started_ms) < turn.speech_ended_ms, "{turn:?}");
    assert_eq!((turn.heard_text.as_str(), turn.interrupted), (turn.agent_text.as_str(), false), "{turn:?}");
    assert!(turn.latencies.total_ms.is_some(), "{turn:?}");
    println!("latencies: {:?}", turn.latencies);
    assert_eq!(record.speech.caller.len(), 1, "{:?}", record.speech);
    let rtp = record.rtp.unwrap();
    assert_eq!(rtp.lost, 0, "{rtp:?}");
    assert!(rtp.received <= outcome.packets_sent() && outcome.packets_received() <= rtp.sent, "{rtp:?}");

    the_files_hold_the_conversation(pod.folder(), &outcome.heard, caller.samples());
    let RecordingNote::Kept { duration_ms, .. } = record.recording else { panic!("{:?}", record.recording) };
    println!("recording: {duration_ms} ms of a call of {} ms", record.duration_ms());
    assert!(duration_ms <= record.duration_ms() + 100 && duration_ms + 500 >= record.duration_ms());
}

/// The caller is on the left, the agent on the right, neither leaks into the other, and the page can be looked at.
fn the_files_hold_the_conversation(folder: &Folder, heard: &[i16], said: &[i16]) {
    let recordings = folder.files(".wav");
    let [file] = recordings.as_slice() else { panic!("expected one recording, came {recordings:?}") };
    let recording = Recording::read(file);
    assert_eq!(recording.rate_hz, 16_000);
    let (own, other) = (likeness(said, &recording.caller), likeness(said, &recording.agent));
    println!("the caller's words: {own:.3} like the left side, {other:.3} like the right");
    assert!(own > 0.9 && other < 0.8);
    let agent = likeness(&recording.agent[..recording.agent.len() - 16_000], heard);
    println!("the agent's side: {agent:.3} like what the caller heard");
    assert!(agent > 0.9);

    let pages = folder.files(".html");
    let [page] = pages.as_slice() else { panic!("expected one page, came {pages:?}") };
    let page = std::fs::read_to_string(page).unwrap();
    assert!(page.contains("Hello, how can I help you?") && page.contains("The caller hung up"));
}
