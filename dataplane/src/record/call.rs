//! The record of one call, as JSON. Plain data and its bounds; it never measures, judges or writes anything by itself.
//!
//! # Schema, version 1
//!
//! Every time on the call's axis is in whole milliseconds since [`CallRecord::started_at`], the moment at which this pod
//! took the call; wall-clock times are RFC 3339 in UTC. What is not known is left out or `null`; lists are always there.
//! A reader ignores fields that it does not know: fields are added without a new version, and none changes its meaning
//! within one.
//!
//! ```json
//! {
//!   "schema": 1,
//!   "call_id": "0b8f…", "attempt": 1, "agent": "agent", "pod": "sofia-data-plane-7c9…",
//!   "caller": "+491…78", "caller_name": "…", "dialed": "1000", "codec": "G722",
//!   "started_at": "2025-11-22T12:03:14.120Z", "answered_at": "…", "ended_at": "…",
//!   "ending": "caller_hung_up", "hangup_cause": "NORMAL_CLEARING",
//!   "turns": [{
//!     "index": 1, "started_ms": 3120, "speech_ended_ms": 4890, "ended_ms": 8210,
//!     "caller_text": "go forward ten meters", "agent_text": "One moment please. …", "heard_text": "One moment please.",
//!     "interrupted": true,
//!     "latencies": {"endpointing_ms": 800, "transcribe_ms": 140, "first_token_ms": 210, "first_audio_ms": 95,
//!                   "first_packet_ms": 4, "total_ms": 1249}
//!   }],
//!   "marks": [{"at_ms": 6900, "kind": "barge_in"}, {"at_ms": 9100, "kind": "dtmf", "detail": "•"}],
//!   "speech": {"caller": [{"start_ms": 3120, "end_ms": 4890}], "agent": [{"start_ms": 610, "end_ms": 2900}]},
//!   "rtp": {"received": 1502, "lost": 3, "late": 1, "jitter_ms": 0.8, "concealed": 4, "sent": 1499, "…": 0},
//!   "caller_audio": {"rms_dbfs": -24.1, "peak_dbfs": -6.0, "clipped_ratio": 0.0, "silent_ratio": 0.55},
//!   "agent_audio": {"…": 0},
//!   "recording": {"state": "kept", "file": "20251122T120314Z-0b8f.wav", "duration_ms": 30040, "bytes": 1922604},
//!   "waveform": {"rate_hz": 16000, "bucket_samples": 320, "caller": "<base64>", "agent": "<base64>"},
//!   "errors": [{"at_ms": 5000, "stage": "speak", "message": "…"}],
//!   "truncated": false, "privacy": "masked",
//!   "before": [{"by": "caller", "text": "…"}],
//!   "others": [{"attempt": 1, "started_at": "…", "name": "20251122T120214Z-0b8f"}]
//! }
//! ```

use std::borrow::Cow;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::names::{Privacy, mask_digits};
use super::waveform::Waveform;
use crate::telemetry::shown_number;

/// The version of the schema that this module writes.
pub const SCHEMA_VERSION: u32 = 1;
/// The longest list of a record; what comes after is left out, and [`CallRecord::truncated`] says so.
pub const MAX_ENTRIES: usize = 4_000;
/// The longest text of a record, in characters; longer ones end in `…`.
pub const MAX_TEXT_CHARS: usize = 8_000;

/// One call, as one pod saw it. A call that another pod took over has a record of each, told apart by
/// [`CallRecord::attempt`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CallRecord {
    /// [`SCHEMA_VERSION`] of the writer.
    pub schema: u32,
    /// The switch's id of the call.
    pub call_id: String,
    /// 1 for the pod that answered, one more for each takeover.
    pub attempt: u32,
    /// The name of the agent that the caller talked with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// The pod that carried it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
    /// Who called, masked unless [`Privacy::Shown`] was asked for.
    pub caller: String,
    /// What the caller is called, as it came; empty without a name, and unless [`Privacy::Shown`] was asked for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub caller_name: String,
    /// What was dialled.
    pub dialed: String,
    /// The codec of the leg by its RTP encoding name, once it was agreed on.
    #[serde(default)]
    pub codec: Option<String>,
    /// When this pod took the call: 0 on the call's axis.
    pub started_at: Timestamp,
    /// When this pod answered, or resumed, the call.
    #[serde(default)]
    pub answered_at: Option<Timestamp>,
    /// When it ended here.
    pub ended_at: Timestamp,
    /// Why it ended here.
    pub ending: Ending,
    /// The switch's name for why the leg ended, such as `NORMAL_CLEARING` or `MEDIA_TIMEOUT`, where it told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hangup_cause: Option<String>,
    /// What was said before this pod took the call over, as far as the one before had kept it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub before: Vec<Said>,
    /// The conversation, in order.
    #[serde(default)]
    pub turns: Vec<Turn>,
    /// What happened, in order of time.
    #[serde(default)]
    pub marks: Vec<Mark>,
    /// When each side spoke.
    #[serde(default)]
    pub speech: Speech,
    /// How the packets travelled.
    #[serde(default)]
    pub rtp: Option<RtpFigures>,
    /// What was heard of the caller.
    #[serde(default)]
    pub caller_audio: Option<AudioFigures>,
    /// What was sent to the caller.
    #[serde(default)]
    pub agent_audio: Option<AudioFigures>,
    /// What became of the recording.
    #[serde(default)]
    pub recording: RecordingNote,
    /// The outline of both sides' sound, for the page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waveform: Option<Waveform>,
    /// What went wrong, in order of time.
    #[serde(default)]
    pub errors: Vec<ErrorEntry>,
    /// Whether a list or a text was longer than a record holds.
    #[serde(default)]
    pub truncated: bool,
    /// How callers and keys are shown.
    #[serde(default)]
    pub privacy: Privacy,
    /// Records of the same call by the other pods that had it, in order of time, as far as they lie beside this one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<OtherRecord>,
}

/// Who says something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The caller.
    Caller,
    /// The agent.
    Agent,
}

/// Something that was said, without its time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// By whom.
    pub by: Side,
    /// The words: the caller's as they were recognised, the agent's as far as they were heard.
    pub text: String,
}

/// Another pod's record of the same call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OtherRecord {
    /// Its [`CallRecord::attempt`].
    pub attempt: u32,
    /// When that pod took the call.
    pub started_at: Timestamp,
    /// The name of its files, without `.json`, `.html` or `.wav`.
    pub name: String,
}

/// Why a call ended on a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// The caller hung up.
    CallerHungUp,
    /// The agent said goodbye.
    AgentHungUp,
    /// The agent connected the caller to somebody else.
    Transferred,
    /// The caller said nothing for too long.
    CallerSilent,
    /// The call reached its longest duration.
    TimeLimit,
    /// An administrator ended it.
    Administrator,
    /// Another pod took it over: this one was drained.
    HandedOver,
    /// The pod was lost with the call; another one may have gone on with it.
    PodLost,
    /// The switch went away.
    SwitchLost,
    /// No audio could be agreed on, or the call was never answered.
    NotAnswered,
    /// A fault.
    Failed,
}

impl Ending {
    /// As a sentence of plain words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::CallerHungUp => "The caller hung up",
            Self::AgentHungUp => "The agent hung up",
            Self::Transferred => "Transferred",
            Self::CallerSilent => "The caller was silent for too long",
            Self::TimeLimit => "The call reached its time limit",
            Self::Administrator => "Ended by an administrator",
            Self::HandedOver => "Handed over to another pod",
            Self::PodLost => "The pod was lost",
            Self::SwitchLost => "The connection to the switch was lost",
            Self::NotAnswered => "Never answered",
            Self::Failed => "Ended by a fault",
        }
    }

    /// Whether this is how a call should end.
    #[must_use]
    pub const fn is_regular(self) -> bool {
        !matches!(self, Self::PodLost | Self::SwitchLost | Self::NotAnswered | Self::Failed)
    }
}

/// One exchange: what the caller said and what the agent answered. The greeting is a turn without the caller's part.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Turn {
    /// From 0, the greeting.
    pub index: u32,
    /// When the turn began: with the caller's first sound, or the agent's where the caller said nothing.
    pub started_ms: u64,
    /// When the caller stopped speaking, by the endpointing's reckoning: where [`Self::latencies`] begin.
    #[serde(default)]
    pub speech_ended_ms: Option<u64>,
    /// When the turn was over: the agent had finished or was interrupted.
    pub ended_ms: u64,
    /// The caller's words as they were recognised.
    #[serde(default)]
    pub caller_text: String,
    /// The agent's words as they were generated.
    #[serde(default)]
    pub agent_text: String,
    /// The agent's words that the caller really heard.
    #[serde(default)]
    pub heard_text: String,
    /// Whether the caller cut the agent short.
    #[serde(default)]
    pub interrupted: bool,
    /// How long the caller waited, and for what.
    #[serde(default)]
    pub latencies: Latencies,
}

/// The wait between the caller's last sound and the agent's first, cut where the work passes from one stage to the
/// next: the stages follow each other without gap, so together they are the total. A stage that did not happen, or was
/// cut off, is `None`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Latencies {
    /// From the last sound to the decision that the caller is done: the silence that was waited for.
    #[serde(default)]
    pub endpointing_ms: Option<u32>,
    /// From there to the transcript.
    #[serde(default)]
    pub transcribe_ms: Option<u32>,
    /// From there to the model's first word.
    #[serde(default)]
    pub first_token_ms: Option<u32>,
    /// From there to the first audio of the first sentence: the sentence written and its synthesis begun.
    #[serde(default)]
    pub first_audio_ms: Option<u32>,
    /// From there to the first packet with it.
    #[serde(default)]
    pub first_packet_ms: Option<u32>,
    /// From the last sound to that packet.
    #[serde(default)]
    pub total_ms: Option<u32>,
}

impl Latencies {
    /// The stages in order, with their names in plain words.
    #[must_use]
    pub const fn stages(&self) -> [(&'static str, Option<u32>); 5] {
        [
            ("Endpointing", self.endpointing_ms),
            ("Transcribe", self.transcribe_ms),
            ("First token", self.first_token_ms),
            ("First audio", self.first_audio_ms),
            ("First packet", self.first_packet_ms),
        ]
    }
}

/// Something that happened at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// When.
    pub at_ms: u64,
    /// What.
    pub kind: MarkKind,
    /// More of it, where there is more.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

/// What a [`Mark`] marks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MarkKind {
    /// The call was answered.
    Answered,
    /// This pod took the call over from another.
    TakenOver,
    /// The caller began to speak.
    SpeechStart,
    /// The caller stopped speaking.
    SpeechEnd,
    /// The caller interrupted the agent.
    BargeIn,
    /// What looked like speech was none; the agent went on.
    FalseAlarm,
    /// The caller showed that they listen; the agent went on.
    Backchannel,
    /// The caller pressed a key.
    Dtmf,
    /// The agent sent keys.
    DtmfSent,
    /// The call was put on hold.
    Hold,
    /// It was taken off hold.
    Unhold,
    /// The caller's packets stopped coming.
    PacketsStopped,
    /// They came again.
    PacketsResumed,
    /// The apology was played: the backend had failed.
    Apology,
    /// A silent caller was spoken to.
    SilencePrompt,
    /// The agent began a transfer.
    Transfer,
    /// What a newer writer knows and this reader does not.
    #[serde(other)]
    Other,
}

impl MarkKind {
    /// In plain words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Answered => "Answered",
            Self::TakenOver => "Taken over from another pod",
            Self::SpeechStart => "Caller begins to speak",
            Self::SpeechEnd => "Caller stops speaking",
            Self::BargeIn => "Caller interrupts",
            Self::FalseAlarm => "False alarm: no speech, the agent goes on",
            Self::Backchannel => "Caller listens, the agent goes on",
            Self::Dtmf => "Keys pressed",
            Self::DtmfSent => "Keys sent",
            Self::Hold => "On hold",
            Self::Unhold => "Off hold",
            Self::PacketsStopped => "No packets from the caller",
            Self::PacketsResumed => "Packets again",
            Self::Apology => "Apology played",
            Self::SilencePrompt => "Silence prompt",
            Self::Transfer => "Transfer",
            Self::Other => "Other",
        }
    }
}

/// A stretch of time on the call's axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// Its begin.
    pub start_ms: u64,
    /// Its end, not before the begin.
    pub end_ms: u64,
}

/// When each side spoke.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Speech {
    /// The caller, by the endpointing's reckoning.
    #[serde(default)]
    pub caller: Vec<Span>,
    /// The agent: while its clips were sent.
    #[serde(default)]
    pub agent: Vec<Span>,
}

/// How a call's packets travelled.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RtpFigures {
    /// Packets that came.
    pub received: u64,
    /// Packets that never came.
    pub lost: u64,
    /// Packets that came too late to be played.
    pub late: u64,
    /// Packets that came twice.
    pub duplicate: u64,
    /// Packets that came after a later one.
    pub reordered: u64,
    /// Interarrival jitter in milliseconds, RFC 3550 §6.4.1.
    pub jitter_ms: f32,
    /// Frames made up for packets that did not come in time.
    pub concealed: u64,
    /// Frames thrown away to keep the delay bounded.
    pub dropped: u64,
    /// Packets sent.
    pub sent: u64,
    /// Deviation of sending times from the schedule: half of the packets kept within this, in milliseconds.
    pub pacing_p50_ms: f32,
    /// 99 of 100 packets kept within this, in milliseconds.
    pub pacing_p99_ms: f32,
    /// The share of our packets that the far end missed, 0 to 1, where its RTCP told.
    pub remote_loss: Option<f32>,
    /// Round-trip time in milliseconds, where RTCP told.
    pub round_trip_ms: Option<f32>,
}

impl RtpFigures {
    /// The share of the caller's packets that could not be played, lost or late, 0 to 1.
    #[must_use]
    pub fn unplayed_ratio(&self) -> f32 {
        let expected = self.received.saturating_add(self.lost);
        if expected == 0 { 0.0 } else { (self.lost.saturating_add(self.late) as f64 / expected as f64) as f32 }
    }
}

/// What can be told of one side's sound.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct AudioFigures {
    /// Level of what was not silence, in dBFS.
    pub rms_dbfs: f32,
    /// The largest magnitude, in dBFS.
    pub peak_dbfs: f32,
    /// The share of samples at the limit, 0 to 1.
    pub clipped_ratio: f32,
    /// The share of time that was silent, 0 to 1.
    pub silent_ratio: f32,
}

/// What became of the recording.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum RecordingNote {
    /// None was asked for.
    #[default]
    Off,
    /// It is beside the record, or came with it.
    Kept {
        /// Its file name.
        file: String,
        /// How long it is.
        duration_ms: u64,
        /// How large it is, in bytes.
        bytes: u64,
    },
    /// It was begun and given up.
    Dropped {
        /// Why.
        reason: String,
    },
}

/// Something that went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorEntry {
    /// When.
    pub at_ms: u64,
    /// Where: `transcribe`, `generate`, `speak`, `media`, `switch`, …
    pub stage: String,
    /// What, without secrets.
    pub message: String,
}

impl CallRecord {
    /// The record of a call that this pod has just taken; `ended_at` is `started_at` until [`Self::close`].
    #[must_use]
    pub fn new(call_id: &str, caller: &str, dialed: &str, started_at: Timestamp, privacy: Privacy) -> Self {
        let mut truncated = false;
        Self {
            schema: SCHEMA_VERSION,
            call_id: bounded(call_id, &mut truncated),
            attempt: 1,
            agent: None,
            pod: None,
            caller: bounded(&caller_shown(caller, privacy), &mut truncated),
            caller_name: String::new(),
            dialed: bounded(dialed, &mut truncated),
            codec: None,
            started_at,
            answered_at: None,
            ended_at: started_at,
            ending: Ending::Failed,
            hangup_cause: None,
            before: Vec::new(),
            turns: Vec::new(),
            marks: Vec::new(),
            speech: Speech::default(),
            rtp: None,
            caller_audio: None,
            agent_audio: None,
            recording: RecordingNote::Off,
            waveform: None,
            errors: Vec::new(),
            truncated,
            privacy,
            others: Vec::new(),
        }
    }

    /// Notes the caller's name, if the record's privacy allows it.
    pub fn name_caller(&mut self, name: &str) {
        if self.privacy == Privacy::Shown {
            self.caller_name = bounded(name, &mut self.truncated);
        }
    }

    /// Adds what was said before this pod took the call over.
    pub fn add_before(&mut self, by: Side, text: &str) {
        let text = bounded(text, &mut self.truncated);
        push(&mut self.before, Said { by, text }, &mut self.truncated);
    }

    /// Adds a mark.
    pub fn mark(&mut self, at_ms: u64, kind: MarkKind, detail: &str) {
        let detail = bounded(detail, &mut self.truncated);
        push(&mut self.marks, Mark { at_ms, kind, detail }, &mut self.truncated);
    }

    /// Adds a mark of keys pressed or sent, masked as the record's privacy asks.
    pub fn mark_keys(&mut self, at_ms: u64, kind: MarkKind, keys: &str) {
        let shown = mask_digits(keys, self.privacy);
        self.mark(at_ms, kind, &shown);
    }

    /// Adds a turn.
    pub fn add_turn(&mut self, mut turn: Turn) {
        for text in [&mut turn.caller_text, &mut turn.agent_text, &mut turn.heard_text] {
            *text = bounded(text, &mut self.truncated);
        }
        push(&mut self.turns, turn, &mut self.truncated);
    }

    /// Adds a stretch of the caller's speech; one that begins where the last ended lengthens that.
    pub fn add_caller_speech(&mut self, start_ms: u64, end_ms: u64) {
        join(&mut self.speech.caller, start_ms, end_ms, &mut self.truncated);
    }

    /// Adds a stretch of the agent's speech; one that begins where the last ended lengthens that.
    pub fn add_agent_speech(&mut self, start_ms: u64, end_ms: u64) {
        join(&mut self.speech.agent, start_ms, end_ms, &mut self.truncated);
    }

    /// Adds an error. `message` must be free of secrets already.
    pub fn add_error(&mut self, at_ms: u64, stage: &str, message: &str) {
        let entry = ErrorEntry {
            at_ms,
            stage: bounded(stage, &mut self.truncated),
            message: bounded(message, &mut self.truncated),
        };
        push(&mut self.errors, entry, &mut self.truncated);
    }

    /// Notes the end, and brings lists into order of time.
    pub fn close(&mut self, ended_at: Timestamp, ending: Ending) {
        self.ended_at = ended_at.max(self.started_at);
        self.ending = ending;
        self.turns.sort_by_key(|turn| (turn.started_ms, turn.index));
        self.marks.sort_by_key(|mark| mark.at_ms);
        self.errors.sort_by_key(|error| error.at_ms);
        self.speech.caller.sort_by_key(|span| span.start_ms);
        self.speech.agent.sort_by_key(|span| span.start_ms);
    }

    /// How long the call was with this pod, in milliseconds.
    #[must_use]
    pub fn duration_ms(&self) -> u64 {
        u64::try_from(self.ended_at.duration_since(self.started_at).as_millis()).unwrap_or(0)
    }

    /// The median wait of the turns that have one, in milliseconds: the lower of the middle two for an even count.
    #[must_use]
    pub fn median_wait_ms(&self) -> Option<u32> {
        let mut waits: Vec<u32> = self.turns.iter().filter_map(|turn| turn.latencies.total_ms).collect();
        waits.sort_unstable();
        waits.get(waits.len().saturating_sub(1) / 2).copied()
    }
}

/// The number as the log would show it; empty when it is withheld.
fn caller_shown(caller: &str, privacy: Privacy) -> Cow<'_, str> {
    if caller.trim().is_empty() { "".into() } else { shown_number(caller, privacy == Privacy::Shown) }
}

fn bounded(text: &str, truncated: &mut bool) -> String {
    match text.char_indices().nth(MAX_TEXT_CHARS) {
        None => text.to_owned(),
        Some((cut, _)) => {
            *truncated = true;
            format!("{}…", &text[..cut])
        }
    }
}

fn push<T>(list: &mut Vec<T>, item: T, truncated: &mut bool) {
    if list.len() < MAX_ENTRIES {
        list.push(item);
    } else {
        *truncated = true;
    }
}

fn join(list: &mut Vec<Span>, start_ms: u64, end_ms: u64, truncated: &mut bool) {
    let end_ms = end_ms.max(start_ms);
    match list.last_mut() {
        Some(last) if last.start_ms <= start_ms && start_ms <= last.end_ms => last.end_ms = last.end_ms.max(end_ms),
        _ => push(list, Span { start_ms, end_ms }, truncated),
    }
}

#[cfg(test)]
mod tests;
