//! Many calls on one pod at a time: each is answered, greeted and recorded as if it were alone, and when they are over
//! nothing of them is left. Prints what a call costs; asserts no times.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use e2e::{PATIENCE, PodProcess, Usage, eventually, likeness, settings, switch, voice};
use futures_util::StreamExt;
use sofia_dataplane::Pod;
use sofia_dataplane::audio::SampleRate;
use sofia_dataplane::backend::{
    BackendError, MockBackend, MockSettings, ReplyStream, SessionInfo, SpeechStream, VoiceBackend, clips,
};
use sofia_dataplane::record::CallRecord;
use sofia_dataplane::turn::history::Message;
use switchsim::{CallHandle, CallOutcome, CallPlan, EndedBy, Switch};

/// How long the calls' cost is measured.
const MEASURED: Duration = Duration::from_secs(4);
/// All calls at once have to share two cores with whoever else works there.
const LONG: Duration = Duration::from_secs(60);
/// Which call ends early, and which one speaks.
const LEAVER: usize = 0;
const TALKER: usize = 1;

fn number(at: usize) -> String {
    format!("+1555{at:07}")
}

async fn dial(switch: &Switch, count: usize) -> Vec<CallHandle> {
    let mut calls = Vec::with_capacity(count);
    for at in 0..count {
        let plan = CallPlan::new("15550100").from(number(at)).answer_timeout(LONG).step_timeout(LONG);
        calls.push(switch.dial(plan));
        tokio::time::sleep(Duration::from_millis(15)).await;
    }
    calls
}

/// Waits until each call was greeted to the end, and returns how often the agent spoke in it.
async fn greeted(calls: &[CallHandle]) -> Vec<usize> {
    let mut bursts = Vec::with_capacity(calls.len());
    for (at, call) in calls.iter().enumerate() {
        let heard = call.wait_until("its greeting", LONG, |call| call.agent_finished(0.0, Duration::from_millis(700)));
        bursts.push(heard.await.unwrap_or_else(|error| panic!("call {at}: {error}")).agent_speech.len());
    }
    bursts
}

/// The records of so many calls, once they are there.
async fn records(pod: &PodProcess, count: usize) -> Vec<CallRecord> {
    eventually(&format!("{count} records"), async || {
        let files = pod.folder().files(".json");
        let read = |file: &PathBuf| serde_json::from_slice(&std::fs::read(file).ok()?).ok();
        let records: Vec<CallRecord> = files.iter().filter_map(read).collect();
        (records.len() >= count).then_some(records)
    })
    .await
}

async fn isolated_calls(pod: &PodProcess, records_before: usize, count: usize) -> usize {
    let switch = switch(&[&pod.esl()]).start().unwrap();
    // Whatever is made once is made by the first call.
    switch.call(CallPlan::new("15550100").wait_for_speech()).await;
    pod.await_empty().await;
    let records_before = records(pod, records_before + 1).await.len();
    let before = Usage::of(pod.id());

    let calls = dial(&switch, count).await;
    // One hangs up in the middle of its greeting; one speaks later and is answered.
    calls[LEAVER].wait_until("the beginning of its greeting", LONG, |call| call.agent_speaks).await.unwrap();
    calls[LEAVER].hang_up();
    let spoken = greeted(&calls[LEAVER + 1..]).await;
    assert_eq!(pod.metric("sofia_phone_sessions_active").await as usize, count - 1, "all others at a time");
    assert_eq!(pod.status().await["sessions"]["active"].as_u64(), Some(count as u64 - 1));
    calls[TALKER].say(&voice("five_five")).await;
    let answered =
        calls[TALKER].wait_until("an answer among many", LONG, |call| call.agent_speech.len() > spoken[TALKER - 1]);
    answered.await.unwrap();
    let start = Usage::of(pod.id());
    tokio::time::sleep(MEASURED).await;
    let end = Usage::of(pod.id());

    calls.iter().for_each(CallHandle::hang_up);
    let mut outcomes = Vec::with_capacity(count);
    for call in calls {
        outcomes.push(call.outcome().await);
    }
    each_was_a_call_of_its_own(&outcomes);
    pod.await_empty().await;
    assert_eq!(pod.status().await["sessions"]["active"].as_u64(), Some(0));
    let records = records(pod, records_before + count).await;
    let callers: HashSet<&str> = records.iter().map(|record| record.caller.as_str()).collect();
    let ids: HashSet<&str> = records.iter().map(|record| record.call_id.as_str()).collect();
    assert!(outcomes.iter().all(|outcome| ids.contains(outcome.uuid.as_str())), "each call has its record");
    assert!((0..count).all(|at| callers.contains(number(at).as_str())), "under its own caller's number");
    assert_eq!(records.len(), records_before + count);
    eventually("descriptors to be back to the start", async || {
        (Usage::of(pod.id()).descriptors <= before.descriptors).then_some(())
    })
    .await;
    figures(&outcomes, &before, &start, &end, Usage::of(pod.id()).rss_bytes, &switch);
    records.len()
}

fn each_was_a_call_of_its_own(outcomes: &[CallOutcome]) {
    let greeting = clips::bundled().greeting();
    assert_eq!(greeting.rate, SampleRate::Hz16000, "the stand-in hears at 16 kHz");
    let mut least = 1.0_f64;
    for (at, outcome) in outcomes.iter().enumerate() {
        assert_eq!((outcome.answered, outcome.attempts, outcome.ended_by), (true, 1, EndedBy::Caller), "{outcome}");
        let leg = &outcome.legs[0];
        assert_eq!((leg.streams, leg.foreign, leg.malformed), (1, 0, 0), "{leg:?}");
        if at != LEAVER {
            least = least.min(likeness(&greeting.samples, &outcome.heard));
        }
    }
    println!("the greeting that was heard is at least {least:.3} like the one that was to be said");
    assert!(least > 0.85);
}

fn figures(outcomes: &[CallOutcome], before: &Usage, start: &Usage, end: &Usage, rss_after: u64, switch: &Switch) {
    let count = outcomes.len();
    let share = (end.cpu - start.cpu).as_secs_f64() / (end.at - start.at).as_secs_f64();
    let (received, lost) = outcomes
        .iter()
        .map(|outcome| (outcome.packets_received(), outcome.packets_lost()))
        .fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    let mut p50: Vec<f64> = outcomes.iter().map(|outcome| outcome.pacing.p50_ms).collect();
    let mut p99: Vec<f64> = outcomes.iter().map(|outcome| outcome.pacing.p99_ms).collect();
    p50.sort_by(f64::total_cmp);
    p99.sort_by(f64::total_cmp);
    println!(
        "{count} calls: {:.3} % of a core each ({:.1} % in all), {:.0} KiB each ({} MiB before, \
         {} MiB with them, {} MiB after), \
         {} descriptors before, {} with them",
        share * 100.0 / count as f64,
        share * 100.0,
        end.rss_bytes.saturating_sub(before.rss_bytes) as f64 / 1_024.0 / count as f64,
        before.rss_bytes >> 20,
        end.rss_bytes >> 20,
        rss_after >> 20,
        before.descriptors,
        end.descriptors,
    );
    println!(
        "packets from the pod: {received}, lost {lost}; pacing error of the median call: p50 {:.2} ms, p99 {:.2} ms; \
         of the worst: p99 {:.2} ms; \
         the stand-in's own lateness: p99 {:.2} ms",
        p50[count / 2],
        p99[count / 2],
        p99[count - 1],
        switch.pump_report().lateness.p99_ms,
    );
    assert_eq!(lost, 0, "no sequence number is left out");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thirty_calls_and_then_a_hundred_and_twenty_leave_nothing_behind() {
    let pod = PodProcess::builder()
        .recording()
        .set("LOG_CALLER_NUMBERS", true)
        .set("MAX_SESSIONS", 200)
        .set("CODECS", "PCMU")
        .set("SILENCE_SECONDS", 0)
        .start()
        .await;
    let records = isolated_calls(&pod, 0, 30).await;
    isolated_calls(&pod, records, 120).await;
}

/// Never answers one caller, and everybody else at once.
struct StuckForOne {
    mock: MockBackend,
    stuck: String,
}

#[async_trait]
impl VoiceBackend for StuckForOne {
    async fn transcribe(&self, audio: &[i16], rate: SampleRate) -> Result<String, BackendError> {
        self.mock.transcribe(audio, rate).await
    }

    async fn generate(
        &self,
        text: &str,
        session: &SessionInfo,
        history: &[Message],
    ) -> Result<ReplyStream, BackendError> {
        if session.caller == self.stuck {
            return Ok(futures_util::stream::pending().boxed());
        }
        self.mock.generate(text, session, history).await
    }

    async fn speak(&self, text: &str) -> Result<SpeechStream, BackendError> {
        self.mock.speak(text).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_whose_backend_is_stuck_is_the_only_one_that_waits() {
    const CALLS: usize = 8;
    const STUCK: usize = 3;
    let backend = StuckForOne { mock: MockBackend::new(MockSettings::INSTANT), stuck: number(STUCK) };
    let pod =
        Pod::start_with(settings(&[("CODECS", "PCMU"), ("GENERATION_TIMEOUT_SECONDS", "600")]), Arc::new(backend))
            .await
            .unwrap();
    let switch = switch(&[&pod.esl_address().to_string()]).start().unwrap();
    let calls = dial(&switch, CALLS).await;
    let spoken = greeted(&calls).await;
    let speech = voice("go_forward");
    for call in &calls {
        call.start_saying(&speech);
    }
    for (at, call) in calls.iter().enumerate().filter(|(at, _)| *at != STUCK) {
        let answered = call.wait_until("an answer", LONG, |call| call.agent_speech.len() > spoken[at]);
        answered.await.unwrap_or_else(|error| panic!("call {at}: {error}"));
    }
    // The stuck one still has its packets: silence, but no hole.
    let stuck = calls[STUCK].snapshot();
    assert_eq!(stuck.agent_speech.len(), spoken[STUCK], "{stuck:?}");
    let more = stuck.packets_received + 50;
    calls[STUCK].wait_until("packets of the stuck call", PATIENCE, |call| call.packets_received >= more).await.unwrap();
    calls.iter().for_each(CallHandle::hang_up);
    for call in calls {
        let outcome = call.outcome().await;
        assert_eq!((outcome.packets_lost(), outcome.ended_by), (0, EndedBy::Caller), "{outcome}");
    }
    assert!(switch.idle(PATIENCE).await);
    pod.drain();
    pod.stop().await;
}
