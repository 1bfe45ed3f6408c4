//! What the pod sends, as a decoder sees it that knows nothing of this project: a call with greeting, answers, an
//! interruption and keys both ways is captured on loopback and judged by `tshark`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use e2e::{Capture, Captured, PATIENCE, ScriptedBackend, settings, skipped, switch, voice};
use sofia_dataplane::Pod;
use sofia_dataplane::backend::ReplyPart;
use sofia_dataplane::turn::tool::ToolCall;
use switchsim::{CallOutcome, CallPlan};

/// RTP clock units of a packet of PCMU, 20 ms.
const UNITS: u32 = 160;
const PCMU: u32 = 0;
const EVENT: u32 = 101;
const KEYS: &str = "12#";
const CALLERS_KEYS: &str = "159*";

/// Answers with a sentence first, and presses keys; every later answer is long enough to be interrupted.
fn backend() -> ScriptedBackend {
    let answers = AtomicUsize::new(0);
    ScriptedBackend::new(move |_, _| {
        let sentence = ReplyPart::Text("Please hold while I try to locate the person you are calling. ".to_owned());
        if answers.fetch_add(1, Ordering::Relaxed) > 0 {
            return vec![sentence; 2];
        }
        vec![sentence, ReplyPart::Tool(ToolCall::SendDtmf { digits: KEYS.to_owned() })]
    })
}

async fn a_call_with_everything(pod: &Pod) -> CallOutcome {
    let switch = switch(&[&pod.esl_address().to_string()]).start().unwrap();
    let call = switch.dial(CallPlan::new("15550100"));
    call.agent_finishes(PATIENCE).await.unwrap();
    call.say(&voice("go_forward")).await;
    call.wait_until("the pod's keys", PATIENCE, |call| call.digits == KEYS).await.unwrap();
    call.dtmf(CALLERS_KEYS).await;
    // The caller's keys are a turn too; its answer is interrupted.
    let spoken = call.snapshot().agent_speech.len();
    let answered =
        call.wait_until("an answer to keys", PATIENCE, |call| call.agent_speech.len() > spoken && call.agent_speaks);
    answered.await.unwrap();
    let spoken = call.snapshot().agent_speech.len();
    call.say(&voice("go_somewhere")).await;
    let answered = call.wait_until("an answer to the interruption", PATIENCE, |call| call.agent_speech.len() > spoken);
    answered.await.unwrap();
    call.agent_finishes(PATIENCE).await.unwrap();
    call.hang_up();
    call.outcome().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tshark_finds_no_fault_in_a_call_with_speech_interruption_and_keys() {
    let variables = [("CODECS", "PCMU"), ("MIN_SPEECH_MS", "300")];
    let pod = Pod::start_with(settings(&variables), Arc::new(backend())).await.unwrap();
    // The worker's port is not known before a call's answer names it.
    let rtp = media_port(&pod).await;
    let capture = match Capture::start(&[rtp, rtp + 1]).await {
        Ok(capture) => capture,
        Err(why) => return skipped(&why),
    };
    let outcome = a_call_with_everything(&pod).await;
    println!("{outcome}");
    pod.drain();
    pod.stop().await;
    let captured = capture.finish().await;
    assert_eq!(captured.dropped, None, "the capture is whole");

    let packets = from_the_pod(&captured, rtp);
    // Some may have been under way when the caller hung up.
    let unheard = packets.len() as u64 - outcome.packets_received();
    assert!(packets.len() > 500 && unheard < 10, "{} packets, {unheard} of them unheard", packets.len());
    the_streams_are_without_fault(&captured, rtp);
    sequence_clock_and_markers_are_right(&packets);
    keys_are_events_that_tshark_can_read(&packets);
    reports_say_what_was_sent(&captured, rtp, &packets);
    assert_eq!(outcome.digits(), KEYS);
}

async fn media_port(pod: &Pod) -> u16 {
    let switch = switch(&[&pod.esl_address().to_string()]).start().unwrap();
    let call = switch.dial(CallPlan::new("9999"));
    call.answered(PATIENCE).await.unwrap();
    call.hang_up();
    let outcome = call.outcome().await;
    outcome.legs[0].remote.rsplit(':').next().and_then(|port| port.parse().ok()).expect("an address with a port")
}

/// A packet as tshark decoded it.
#[derive(Debug, Clone, Copy)]
struct Packet {
    at_s: f64,
    sequence: u16,
    timestamp: u32,
    marker: bool,
    payload_type: u32,
    /// Event code, whether it is the end, duration.
    event: Option<(u32, bool, u32)>,
}

fn is_set(field: &str) -> bool {
    matches!(field, "1" | "True")
}

fn from_the_pod(captured: &Captured, rtp: u16) -> Vec<Packet> {
    let names = [
        "frame.time_relative",
        "rtp.seq",
        "rtp.timestamp",
        "rtp.marker",
        "rtp.p_type",
        "rtpevent.event_id",
        "rtpevent.end_of_event",
        "rtpevent.duration",
    ];
    let packet = |row: Vec<String>| {
        let number =
            |at: usize| row[at].parse::<u32>().unwrap_or_else(|error| panic!("{}: {error}: {row:?}", names[at]));
        Packet {
            at_s: row[0].parse().expect("a time"),
            sequence: number(1) as u16,
            timestamp: number(2),
            marker: is_set(&row[3]),
            payload_type: number(4),
            event: (!row[5].is_empty()).then(|| (number(5), is_set(&row[6]), number(7))),
        }
    };
    captured.fields(&format!("rtp && udp.srcport=={rtp}"), &names).into_iter().map(packet).collect()
}

/// The table of `rtp,streams`: one stream each way, nothing lost.
fn the_streams_are_without_fault(captured: &Captured, rtp: u16) {
    let table = captured.tshark(&["-q", "-z", "rtp,streams"]);
    println!("{table}");
    let streams: Vec<&str> = table.lines().filter(|line| line.contains(" 0x")).collect();
    let [_, _] = streams[..] else { panic!("expected a stream each way, came {streams:?}") };
    for stream in &streams {
        // … packets, lost (share), …
        let (before, _) = stream.split_once(" (").expect("the share of lost packets in parentheses");
        let lost = before.split_whitespace().last();
        assert_eq!(lost, Some("0"), "{stream}");
    }
    let pods = streams.iter().find(|stream| stream.split_whitespace().nth(3) == Some(&rtp.to_string()));
    let pods = pods.expect("the pod's port is the source of one of them");
    assert!(pods.contains("g711U"), "{pods}");
    let malformed = captured.fields("_ws.malformed", &["frame.number"]);
    assert!(malformed.is_empty(), "{malformed:?}");
}

fn sequence_clock_and_markers_are_right(packets: &[Packet]) {
    assert!(packets[0].marker, "a stream begins with a marker: {:?}", packets[0]);
    let (mut jumps, mut latest_audio) = (0, packets[0]);
    for pair in packets.windows(2) {
        let [before, packet] = *pair else { continue };
        assert_eq!(packet.sequence, before.sequence.wrapping_add(1), "{before:?} {packet:?}");
        assert!([PCMU, EVENT].contains(&packet.payload_type), "{packet:?}");
        if packet.payload_type == EVENT {
            continue;
        }
        // From the audio before it, the clock has gone on by one packet time for each packet between, keys included.
        let step = packet.timestamp.wrapping_sub(latest_audio.timestamp);
        let between = u32::from(packet.sequence.wrapping_sub(latest_audio.sequence));
        latest_audio = packet;
        assert_eq!(step % UNITS, 0, "{before:?} {packet:?}");
        assert!(step >= between * UNITS, "{before:?} {packet:?}");
        let paused = step > UNITS;
        assert_eq!(
            packet.marker, paused,
            "the marker tells of a pause of audio, and of nothing else: {before:?} {packet:?}"
        );
        jumps += usize::from(step > between * UNITS);
    }
    let (first, last) = (packets[0], packets[packets.len() - 1]);
    let clock_s = f64::from(last.timestamp.wrapping_sub(first.timestamp)) / 8_000.0;
    let wire_s = last.at_s - first.at_s;
    println!(
        "{} packets: {clock_s:.3} s by their clock, {wire_s:.3} s on the wire, {jumps} jumps after a stall",
        packets.len()
    );
}

fn keys_are_events_that_tshark_can_read(packets: &[Packet]) {
    let events: Vec<&Packet> = packets.iter().filter(|packet| packet.payload_type == EVENT).collect();
    let keys: Vec<&[&Packet]> = events.chunk_by(|a, b| a.timestamp == b.timestamp).collect();
    let codes: Vec<u32> = keys.iter().map(|packets| packets[0].event.expect("an event").0).collect();
    assert_eq!(codes, [1, 2, 11], "{KEYS}");
    for key in keys {
        let ends = key.iter().filter(|packet| packet.event.is_some_and(|(_, end, _)| end)).count();
        assert_eq!(ends, 3, "the end of an event is sent three times: {key:?}");
        assert!(key[0].marker && !key[1..].iter().any(|packet| packet.marker), "{key:?}");
        let durations: Vec<u32> = key.iter().filter_map(|packet| packet.event).map(|(.., duration)| duration).collect();
        assert!(
            durations.is_sorted() && durations[0] == UNITS && durations[durations.len() - 1] == 800,
            "{durations:?}"
        );
        // It begins where the clock of the audio before it stood.
        let first = packets.iter().position(|packet| packet.sequence == key[0].sequence).expect("it is one of them");
        let before =
            packets[..first].iter().rfind(|packet| packet.payload_type == PCMU).expect("audio before the keys");
        let between = u32::from(key[0].sequence.wrapping_sub(before.sequence));
        assert_eq!(key[0].timestamp.wrapping_sub(before.timestamp), between * UNITS, "{key:?}");
    }
}

/// RTCP, on the port above: sender reports that count what tshark counted, and a goodbye.
fn reports_say_what_was_sent(captured: &Captured, rtp: u16, packets: &[Packet]) {
    let rows = captured.fields(
        &format!("rtcp && udp.srcport=={}", rtp + 1),
        &["rtcp.pt", "rtcp.sender.packetcount", "rtcp.timestamp.rtp"],
    );
    println!("RTCP of the pod (first packet's type, packets, clock): {rows:?}");
    let last = rows.last().expect("the last word of a stream is a report");
    assert_eq!(last[0], "200", "a sender report comes first: {last:?}");
    assert_eq!(last[1], packets.len().to_string(), "it counts the packets that were sent");
}
