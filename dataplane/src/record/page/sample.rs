//! A call to look at, made of the bundled voices: for tests.

use std::io::Cursor;

use crate::record::call::*;
use crate::record::names::Privacy;
use crate::record::stereo::RECORDING_RATE_HZ;
use crate::record::waveform::PeakTrack;

const GREETING: &[u8] = include_bytes!("../../../assets/agent/greeting.wav");
const MOMENT: &[u8] = include_bytes!("../../../assets/agent/reply_moment.wav");
const EXTENSION: &[u8] = include_bytes!("../../../assets/agent/reply_extension.wav");
const CONNECT: &[u8] = include_bytes!("../../../assets/agent/reply_connect.wav");
const GOODBYE: &[u8] = include_bytes!("../../../assets/agent/goodbye.wav");
const GO_FORWARD: &[u8] = include_bytes!("../../../../e2e/voices/go_forward.wav");
const GO_SOMEWHERE: &[u8] = include_bytes!("../../../../e2e/voices/go_somewhere.wav");
const SEVEN: &[u8] = include_bytes!("../../../../e2e/voices/seven_of_clubs.wav");
const FIVE: &[u8] = include_bytes!("../../../../e2e/voices/five_five.wav");

/// When the recording begins on the call's axis.
const OFFSET_MS: u64 = 160;
/// How long the call is.
const TOTAL_MS: u64 = 36_400;

fn clip(wav: &[u8]) -> Vec<i16> {
    let mut reader = hound::WavReader::new(Cursor::new(wav)).expect("a bundled clip is a WAV");
    assert_eq!(reader.spec().sample_rate, RECORDING_RATE_HZ);
    reader.samples().map(|sample| sample.expect("a bundled clip is whole")).collect()
}

fn index(at_ms: u64) -> usize {
    usize::try_from((at_ms - OFFSET_MS) * 16).expect("a sample call is short")
}

fn ms(samples: usize) -> u64 {
    samples as u64 / 16
}

/// Puts a clip at `at_ms`, faded out after `heard_ms` where it is cut; returns when its speech was.
fn put(side: &mut [i16], wav: &[u8], at_ms: u64, heard_ms: Option<u64>) -> (u64, u64) {
    let mut samples = clip(wav);
    if let Some(heard_ms) = heard_ms {
        samples.truncate(heard_ms as usize * 16);
        let fade = samples.len().saturating_sub(640);
        for (n, sample) in samples[fade..].iter_mut().enumerate() {
            *sample = (i32::from(*sample) * (640 - n as i32) / 640) as i16;
        }
    }
    let start = index(at_ms);
    side[start..start + samples.len()].copy_from_slice(&samples);
    (at_ms + 60, at_ms + ms(samples.len()) - if heard_ms.is_some() { 0 } else { 90 })
}

fn waits(endpointing: u32, transcribe: u32, first_token: u32, first_audio: u32, first_packet: u32) -> Latencies {
    Latencies {
        endpointing_ms: Some(endpointing),
        transcribe_ms: Some(transcribe),
        first_token_ms: Some(first_token),
        first_audio_ms: Some(first_audio),
        first_packet_ms: Some(first_packet),
        total_ms: Some(endpointing + transcribe + first_token + first_audio + first_packet),
    }
}

/// The record of the sample call.
pub(in crate::record) fn record() -> CallRecord {
    call().0
}

/// The sample call: its record, the caller's samples and the agent's.
pub(in crate::record) fn call() -> (CallRecord, Vec<i16>, Vec<i16>) {
    let mut caller = vec![0_i16; index(TOTAL_MS)];
    let mut agent = caller.clone();
    // A quiet room behind the caller.
    let mut noise = 1_u32;
    for sample in &mut caller {
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *sample = (noise >> 24) as i16 / 8 - 16;
    }
    let begun = "2025-11-22T12:03:14.12Z".parse().expect("a timestamp");
    let mut record =
        CallRecord::new("0b8f7c1e-5a52-4d0a-9f5c-2f8f6f2f1a77", "+4915112345678", "1000", begun, Privacy::Masked);
    record.pod = Some("sofia-main-data-plane-7c9d5b6f4-x2v8q".to_owned());
    record.codec = Some("PCMU".to_owned());
    record.answered_at = Some("2025-11-22T12:03:14.28Z".parse().expect("a timestamp"));
    record.mark(160, MarkKind::Answered, "");

    let greeting = put(&mut agent, GREETING, 420, None);
    record.add_agent_speech(greeting.0, greeting.1);
    record.add_turn(Turn {
        index: 0,
        started_ms: 420,
        ended_ms: greeting.1,
        agent_text: "Hello. Thank you for your call.".to_owned(),
        heard_text: "Hello. Thank you for your call.".to_owned(),
        ..Turn::default()
    });

    let said = put(&mut caller, GO_FORWARD, 3_500, None);
    let said = (said.0 + 90, said.1 - 60);
    record.add_caller_speech(said.0, said.1);
    let latencies = waits(800, 142, 236, 118, 4);
    let answer_ms = said.1 + u64::from(latencies.total_ms.unwrap_or(0));
    let heard = put(&mut agent, MOMENT, answer_ms, Some(1_860));
    record.add_agent_speech(heard.0, heard.1);
    record.mark(heard.1 - 60, MarkKind::BargeIn, "");
    record.add_turn(Turn {
        index: 1,
        started_ms: said.0,
        speech_ended_ms: Some(said.1),
        ended_ms: heard.1,
        caller_text: "go forward ten meters".to_owned(),
        agent_text: "One moment please. Thank you for your patience.".to_owned(),
        heard_text: "One moment please.".to_owned(),
        interrupted: true,
        latencies,
    });

    let said = put(&mut caller, GO_SOMEWHERE, heard.1 - 310, None);
    let said = (said.0 + 90, said.1 - 60);
    record.add_caller_speech(said.0, said.1);
    let latencies = waits(800, 161, 1_204, 140, 4);
    let answer_ms = said.1 + u64::from(latencies.total_ms.unwrap_or(0));
    let heard = put(&mut agent, EXTENSION, answer_ms, None);
    record.add_agent_speech(heard.0, heard.1);
    record.add_turn(Turn {
        index: 2,
        started_ms: said.0,
        speech_ended_ms: Some(said.1),
        ended_ms: heard.1,
        caller_text: "go somewhere and do something".to_owned(),
        agent_text: "Please hold while I try that extension.".to_owned(),
        heard_text: "Please hold while I try that extension.".to_owned(),
        latencies,
        ..Turn::default()
    });
    record.add_error(said.1 + 1_100, "generate", "no answer within 1 s; sent again");
    record.mark_keys(heard.1 + 700, MarkKind::Dtmf, "4");
    record.mark_keys(heard.1 + 1_050, MarkKind::Dtmf, "2");
    record.mark(heard.1 + 1_600, MarkKind::Hold, "");
    record.mark(heard.1 + 3_900, MarkKind::Unhold, "");
    let after_hold = heard.1 + 4_300;
    record.mark(after_hold, MarkKind::FalseAlarm, "");

    let said = put(&mut caller, SEVEN, after_hold + 900, None);
    let said = (said.0 + 90, said.1 - 60);
    record.add_caller_speech(said.0, said.1);
    let latencies = waits(800, 97, 188, 92, 3);
    let answer_ms = said.1 + u64::from(latencies.total_ms.unwrap_or(0));
    let heard = put(&mut agent, CONNECT, answer_ms, None);
    record.add_agent_speech(heard.0, heard.1);
    record.add_turn(Turn {
        index: 3,
        started_ms: said.0,
        speech_ended_ms: Some(said.1),
        ended_ms: heard.1,
        caller_text: "seven of clubs".to_owned(),
        agent_text: "Thank you. Please wait while I connect your call.".to_owned(),
        heard_text: "Thank you. Please wait while I connect your call.".to_owned(),
        latencies,
        ..Turn::default()
    });

    let said = put(&mut caller, FIVE, heard.1 + 500, None);
    let said = (said.0 + 90, said.1 - 60);
    record.add_caller_speech(said.0, said.1);
    let latencies = waits(800, 88, 174, 90, 4);
    let answer_ms = said.1 + u64::from(latencies.total_ms.unwrap_or(0));
    let heard = put(&mut agent, GOODBYE, answer_ms, None);
    record.add_agent_speech(heard.0, heard.1);
    record.add_turn(Turn {
        index: 4,
        started_ms: said.0,
        speech_ended_ms: Some(said.1),
        ended_ms: heard.1,
        caller_text: "five five".to_owned(),
        agent_text: "Thank you for your call. Goodbye.".to_owned(),
        heard_text: "Thank you for your call. Goodbye.".to_owned(),
        latencies,
        ..Turn::default()
    });

    record.rtp = Some(RtpFigures {
        received: 1_809,
        lost: 3,
        late: 1,
        jitter_ms: 0.7,
        concealed: 4,
        sent: 1_812,
        pacing_p50_ms: 0.06,
        pacing_p99_ms: 0.41,
        remote_loss: Some(0.0),
        round_trip_ms: Some(38.0),
        ..RtpFigures::default()
    });
    let sound = AudioFigures { rms_dbfs: -20.4, peak_dbfs: -3.5, clipped_ratio: 0.0, silent_ratio: 0.71 };
    record.caller_audio = Some(sound);
    record.agent_audio = Some(AudioFigures { rms_dbfs: -19.8, peak_dbfs: -5.0, silent_ratio: 0.64, ..sound });
    let mut peaks = PeakTrack::new(RECORDING_RATE_HZ);
    peaks.push(&caller, &agent);
    record.waveform = peaks.finish(OFFSET_MS);
    record.close("2025-11-22T12:03:50.52Z".parse().expect("a timestamp"), Ending::AgentHungUp);
    (record, caller, agent)
}
