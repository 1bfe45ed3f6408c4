//! What is kept of a call while it runs: times, words and figures, for the record, the metrics and the log. It watches
//! and never decides.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::backend::Stage;
use crate::metrics::{AudioFault, Metrics, TurnStage};
use crate::record::{
    AudioFigures, CallRecord, Delivery, Ending, Going, Latencies, MarkKind, Privacy, RtpFigures, Side, StereoRecorder,
    Turn, mask_keys,
};
use crate::sessions::SessionEntries;
use crate::turn::conversation::{ClipId, EndReason, Mark, TurnId};
use crate::turn::history::Role;
use crate::turn::state::SavedState;
use crate::worker::{MediaReport, Utterance};

/// Where what was said is logged. Off unless asked for
/// (`SOFIA_PHONE_LOG_LEVEL=info,sofia_dataplane::transcript=debug`): callers' words are their own.
pub const TRANSCRIPT: &str = "sofia_dataplane::transcript";

/// Turns that are open at a time. More of them than can be heard and answered together are over, whatever is still to come.
const OPEN_TURNS: usize = 16;

/// A call with fewer packets, some four seconds, is too short to be judged by them.
const MANY_PACKETS: u64 = 200;

/// Who and what a call is, as the switch told.
pub(super) struct CallIdentity {
    pub(super) call_id: String,
    pub(super) caller: String,
    pub(super) caller_name: String,
    pub(super) dialed: String,
    pub(super) attempt: u32,
    pub(super) pod: Option<String>,
    pub(super) privacy: Privacy,
}

/// The caller's speech that no turn has taken up yet.
#[derive(Clone, Copy)]
struct Heard {
    started: Instant,
    ended: Instant,
    decided: Instant,
}

/// A turn while it lasts.
#[derive(Default)]
struct OpenTurn {
    turn: Turn,
    ended: Option<Instant>,
    /// The stages' ends so far: decided, transcribed, first token, first audio, first packet.
    stages: [Option<Instant>; 5],
}

/// The journal of one call.
pub(super) struct Journal {
    record: CallRecord,
    metrics: Arc<Metrics>,
    began: Instant,
    heard: Option<Heard>,
    turns: BTreeMap<TurnId, OpenTurn>,
    /// The newest turn that is in the record already: what comes later of it, or of one before it, is not noted.
    settled: Option<TurnId>,
    /// The turn of each clip that is not over yet, and when the clip began to be heard.
    clips: HashMap<ClipId, (Option<TurnId>, Option<Instant>)>,
    /// When the agent was faded out; `None` while it may be heard.
    paused: Option<Instant>,
    /// The agent's words outside of turns, the greeting first.
    unprompted: u32,
    /// The record as far as the call went, for those who find it if this pod is lost.
    going: Option<Going>,
}

impl Journal {
    pub(super) fn new(identity: &CallIdentity, metrics: Arc<Metrics>, began: Instant) -> Self {
        let CallIdentity { call_id, caller, caller_name, dialed, attempt, pod, privacy } = identity;
        let mut record = CallRecord::new(call_id, caller, dialed, Timestamp::now(), *privacy);
        record.name_caller(caller_name);
        record.attempt = *attempt;
        record.pod.clone_from(pod);
        Self {
            record,
            metrics,
            began,
            heard: None,
            turns: BTreeMap::new(),
            settled: None,
            clips: HashMap::new(),
            paused: None,
            unprompted: 0,
            going: None,
        }
    }

    /// Tells how much it holds.
    pub(super) fn count(&self, entries: &mut SessionEntries) {
        entries.journal_turns = self.turns.len();
        entries.journal_clips = self.clips.len();
        let CallRecord { turns, marks, errors, speech, .. } = &self.record;
        entries.record = turns.len() + marks.len() + errors.len() + speech.caller.len() + speech.agent.len();
    }

    pub(super) fn call_id(&self) -> &str {
        &self.record.call_id
    }

    /// Milliseconds on the call's axis.
    fn at(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.began).as_millis()).unwrap_or(u64::MAX)
    }

    pub(super) fn agent(&mut self, name: &str) {
        self.record.agent = Some(name.to_owned());
    }

    pub(super) fn codec(&mut self, codec: &str) {
        self.record.codec = Some(codec.to_owned());
    }

    pub(super) fn answered(&mut self, now: Instant) {
        self.record.answered_at = Some(Timestamp::now());
        self.mark(now, MarkKind::Answered, "");
    }

    pub(super) fn mark(&mut self, at: Instant, kind: MarkKind, detail: &str) {
        let at = self.at(at);
        self.record.mark(at, kind, detail);
    }

    pub(super) fn keys(&mut self, now: Instant, kind: MarkKind, keys: &str) {
        let at = self.at(now);
        self.record.mark_keys(at, kind, keys);
    }

    pub(super) fn error(&mut self, now: Instant, stage: &str, message: &str) {
        tracing::warn!(call = self.call_id(), stage, message, "something went wrong in a call");
        let at = self.at(now);
        self.record.add_error(at, stage, message);
    }

    /// The caller has finished speaking.
    pub(super) fn utterance(&mut self, utterance: &Utterance, now: Instant) {
        let (start, end) = (self.at(utterance.started), self.at(utterance.ended));
        self.record.add_caller_speech(start, end);
        self.record.mark(end, MarkKind::SpeechEnd, "");
        self.heard = Some(Heard { started: utterance.started, ended: utterance.ended, decided: now });
        tracing::debug!(call = self.call_id(), start_ms = start, end_ms = end, "the caller spoke");
    }

    /// The utterance that was just heard belongs to `turn`.
    pub(super) fn transcribing(&mut self, turn: TurnId) {
        let Some(Heard { started, ended, decided }) = self.heard.take() else { return };
        let (started_ms, speech_ended_ms) = (self.at(started), self.at(ended));
        let Some(open) = self.open(turn) else { return };
        if open.turn.speech_ended_ms.is_none() {
            // A turn begins with the caller's first sound, not when it was known to be one.
            open.turn.started_ms = started_ms;
        }
        open.turn.speech_ended_ms = Some(speech_ended_ms);
        open.ended = Some(ended);
        open.stages = [Some(decided), None, None, None, None];
    }

    /// The turn, begun if it was not; `None` where it was over long ago.
    fn open(&mut self, turn: TurnId) -> Option<&mut OpenTurn> {
        if self.settled.is_some_and(|settled| turn <= settled) && !self.turns.contains_key(&turn) {
            return None;
        }
        self.turns.entry(turn).or_default().turn.index = turn.0;
        self.settle(turn);
        self.turns.get_mut(&turn)
    }

    /// Moves turns that are over into the record, the oldest first, for what is open shall not grow with the call. One whose answer is being
    /// heard, over however many of the caller's "mm-hmm"s, stays as long as there are others.
    fn settle(&mut self, newest: TurnId) {
        while self.turns.len() > OPEN_TURNS {
            let heard = |turn: &TurnId| self.clips.values().any(|(of, _)| *of == Some(*turn));
            let others = || self.turns.keys().copied().filter(|turn| *turn != newest);
            let Some(oldest) = others().find(|turn| !heard(turn)).or_else(|| others().next()) else { return };
            let Some(OpenTurn { mut turn, .. }) = self.turns.remove(&oldest) else { return };
            turn.ended_ms = turn.ended_ms.max(turn.speech_ended_ms.unwrap_or(turn.started_ms));
            self.record.add_turn(turn);
            self.settled = self.settled.max(Some(oldest));
        }
    }

    /// A stage of a turn is over: 1 transcribed, 2 first token. Only the first time counts.
    pub(super) fn stage(&mut self, turn: TurnId, stage: Stage, now: Instant) {
        let index = match stage {
            Stage::Transcribe => 1,
            Stage::Generate => 2,
            Stage::Speak => 3,
        };
        if let Some(open) = self.turns.get_mut(&turn) {
            open.stages[index].get_or_insert(now);
        }
    }

    /// The agent is going to say `text`.
    pub(super) fn speaking(&mut self, turn: Option<TurnId>, clip: ClipId, text: &str) {
        self.clips.insert(clip, (turn, None));
        if let Some(open) = turn.and_then(|turn| self.turns.get_mut(&turn)) {
            append(&mut open.turn.agent_text, text);
        }
    }

    /// The first audio of a clip came.
    pub(super) fn speech_began(&mut self, clip: ClipId, at: Instant) {
        if let Some((Some(turn), _)) = self.clips.get(&clip) {
            self.stage(*turn, Stage::Speak, at);
        }
    }

    /// The first packet of a clip left, `waited` after its first audio had come.
    pub(super) fn clip_started(&mut self, clip: ClipId, at: Instant, waited: Duration) {
        self.unpaused();
        self.metrics.turn_stage(TurnStage::Playout, waited);
        let Some((turn, started)) = self.clips.get_mut(&clip) else { return };
        *started = Some(at);
        let Some(open) = turn.and_then(|turn| self.turns.get_mut(&turn)) else { return };
        if open.stages[4].is_some() {
            return;
        }
        // The worker's word may be here before that of the one who fed it.
        open.stages[3].get_or_insert(at.checked_sub(waited).unwrap_or(at));
        open.stages[4] = Some(at);
        let latencies = open.latencies();
        open.turn.latencies = latencies;
        for (stage, took) in [
            (TurnStage::Transcribe, latencies.transcribe_ms),
            (TurnStage::GenerateFirstToken, latencies.first_token_ms),
            (TurnStage::SpeakFirstAudio, latencies.first_audio_ms),
            (TurnStage::Total, latencies.total_ms),
        ] {
            if let Some(took) = took {
                self.metrics.turn_stage(stage, Duration::from_millis(took.into()));
            }
        }
        self.metrics.turns.inc();
        tracing::info!(
            call = self.record.call_id,
            turn = open.turn.index,
            at_ms = u64::try_from(at.saturating_duration_since(self.began).as_millis()).unwrap_or(u64::MAX),
            endpointing_ms = latencies.endpointing_ms,
            transcribe_ms = latencies.transcribe_ms,
            first_token_ms = latencies.first_token_ms,
            first_audio_ms = latencies.first_audio_ms,
            first_packet_ms = latencies.first_packet_ms,
            total_ms = latencies.total_ms,
            "the agent answered"
        );
    }

    /// A clip is over, heard whole or not.
    pub(super) fn clip_over(&mut self, clip: ClipId, now: Instant) {
        let Some((turn, Some(started))) = self.clips.remove(&clip) else { return };
        let (start, end) = (self.at(started), self.at(self.paused.unwrap_or(now)));
        self.record.add_agent_speech(start, end);
        if let Some(open) = turn.and_then(|turn| self.turns.get_mut(&turn)) {
            open.turn.ended_ms = end;
        }
    }

    /// A clip will never be heard.
    pub(super) fn clip_gone(&mut self, clip: ClipId) {
        self.clips.remove(&clip);
    }

    /// All clips were cleared: of those that had begun to be heard the media tell the end.
    pub(super) fn cleared(&mut self) {
        self.clips.retain(|_, (_, started)| started.is_some());
    }

    /// The caller spoke over the agent, which was faded out.
    pub(super) fn paused(&mut self, at: Instant) {
        self.paused = Some(at);
        self.mark(at, MarkKind::BargeIn, "");
    }

    /// The agent may be heard again.
    pub(super) fn unpaused(&mut self) {
        self.paused = None;
    }

    /// What the conversation itself has to tell.
    pub(super) fn conversation(&mut self, now: Instant, mark: &Mark) {
        let at_ms = self.at(now);
        match mark {
            Mark::Started { takeovers } if *takeovers > 0 => self.mark(now, MarkKind::TakenOver, ""),
            Mark::TurnStarted { turn } => {
                let known = self.turns.contains_key(turn);
                if let Some(open) = self.open(*turn)
                    && !known
                {
                    // Of a turn that is keyed, not spoken, this is when the caller was done.
                    (open.turn.started_ms, open.ended) = (at_ms, Some(now));
                }
            }
            Mark::CallerSaid { turn, text } => {
                let text = mask_keys(text, self.record.privacy);
                tracing::debug!(target: TRANSCRIPT, call = self.call_id(), at_ms, turn = turn.0, text, "caller said");
                if let Some(open) = self.open(*turn) {
                    open.turn.caller_text = text;
                }
                self.keep();
            }
            Mark::AgentSaid { turn, text } => {
                tracing::debug!(target: TRANSCRIPT, call = self.call_id(), at_ms, turn = turn.map(|turn| turn.0), text, "agent said");
                self.agent_said(*turn, text, at_ms);
                self.keep();
            }
            // The media told that one, with its time.
            Mark::BargeIn | Mark::ReplyAudible { .. } | Mark::Started { .. } => {}
            Mark::Interrupted { turn } => {
                self.metrics.barge_ins.inc();
                tracing::info!(call = self.call_id(), at_ms, "the caller interrupted the agent");
                if let Some(open) = turn.and_then(|turn| self.turns.get_mut(&turn)) {
                    open.turn.interrupted = true;
                }
            }
            Mark::Backchannel { turn, text } => {
                self.metrics.backchannels.inc();
                let text = mask_keys(text, self.record.privacy);
                if let Some(open) = self.open(*turn) {
                    open.turn.caller_text = text;
                }
                tracing::debug!(call = self.call_id(), at_ms, "the caller listens; the agent goes on");
                self.mark(now, MarkKind::Backchannel, "");
            }
            Mark::FalseAlarm => {
                self.metrics.barge_in_false_alarms.inc();
                tracing::debug!(call = self.call_id(), at_ms, "what seemed to be speech was none");
                self.mark(now, MarkKind::FalseAlarm, "");
            }
            Mark::Failed { step, failure } => {
                tracing::warn!(call = self.call_id(), at_ms, ?step, ?failure, "a step of a turn failed");
            }
            Mark::Apology => {
                self.metrics.apologies.inc();
                self.mark(now, MarkKind::Apology, "");
            }
            Mark::SilencePrompt { .. } => self.mark(now, MarkKind::SilencePrompt, ""),
            Mark::Tool { turn, call } => {
                tracing::info!(
                    call = self.call_id(),
                    at_ms,
                    turn = turn.0,
                    tool = call.name(),
                    "the model used a tool"
                );
            }
            Mark::ToolRefused { turn, reason } => {
                tracing::warn!(
                    call = self.call_id(),
                    at_ms,
                    turn = turn.0,
                    reason,
                    "the model asked for what it may not"
                );
                self.record.add_error(at_ms, "tool", reason);
            }
            Mark::OnHold { held } => {
                self.mark(now, if *held { MarkKind::Hold } else { MarkKind::Unhold }, "");
            }
            Mark::Ended { .. } => {}
        }
    }

    fn agent_said(&mut self, turn: Option<TurnId>, text: &str, at_ms: u64) {
        // What was cut off was over when it was faded out, not when that was known to be for good.
        let over_ms = self.paused.map_or(at_ms, |paused| self.at(paused));
        if let Some(open) = turn.and_then(|turn| self.turns.get_mut(&turn)) {
            append(&mut open.turn.heard_text, text);
            open.turn.ended_ms = open.turn.ended_ms.max(over_ms);
            return;
        }
        // The greeting and the agent's other own phrases: turns in which the caller has no part.
        let started_ms = self.record.speech.agent.last().map_or(at_ms, |span| span.start_ms);
        self.record.add_turn(Turn {
            index: self.unprompted,
            started_ms,
            ended_ms: at_ms,
            agent_text: text.to_owned(),
            heard_text: text.to_owned(),
            ..Turn::default()
        });
    }

    /// A recorder for the call, whose first frame is now.
    pub(super) fn recorder(&mut self, records: &Delivery, now: Instant) -> StereoRecorder {
        self.going = records.going(self.record.clone());
        records.recorder(&self.record, self.at(now))
    }

    /// What the pods before this one had heard and said.
    pub(super) fn took_over(&mut self, saved: &SavedState) {
        for message in &saved.history {
            let by = match message.role {
                Role::User => Side::Caller,
                Role::Assistant => Side::Agent,
                Role::System => continue,
            };
            self.record.add_before(by, &mask_keys(&message.content, self.record.privacy));
        }
        if let Some(reply) = saved.reply.as_ref().filter(|reply| !reply.heard.is_empty()) {
            self.record.add_before(Side::Agent, &reply.heard);
        }
        if !saved.unanswered.is_empty() {
            self.record.add_before(Side::Caller, &mask_keys(&saved.unanswered, self.record.privacy));
        }
        self.keep();
    }

    /// The call is that far.
    fn keep(&self) {
        if let Some(going) = &self.going {
            let mut record = self.record.clone();
            for open in self.turns.values() {
                record.add_turn(open.turn.clone());
            }
            going.update(record);
        }
    }

    /// Notes what the media measured.
    pub(super) fn media(&mut self, report: &MediaReport) {
        let millis = |duration: Duration| duration.as_secs_f32() * 1_000.0;
        let MediaReport { receive, heard, spoken, .. } = report;
        self.record.rtp = Some(RtpFigures {
            received: receive.received,
            lost: receive.lost,
            late: receive.late,
            duplicate: receive.duplicate,
            reordered: receive.reordered,
            jitter_ms: receive.jitter_ms,
            concealed: report.frames_concealed,
            dropped: report.frames_dropped,
            sent: report.packets_sent,
            pacing_p50_ms: millis(report.pacing_p50),
            pacing_p99_ms: millis(report.pacing_p99),
            remote_loss: report.remote_loss,
            round_trip_ms: report.round_trip.map(millis),
        });
        let figures = |audio: &crate::audio::AudioQuality| AudioFigures {
            rms_dbfs: audio.rms_dbfs,
            peak_dbfs: audio.peak_dbfs,
            clipped_ratio: audio.clipped_ratio,
            silent_ratio: audio.silent_ratio,
        };
        self.record.caller_audio = Some(figures(heard));
        self.record.agent_audio = Some(figures(spoken));
        self.count_faults(report);
    }

    fn count_faults(&self, report: &MediaReport) {
        let MediaReport { receive, heard, packets_sent, .. } = report;
        self.metrics.rtp_jitter.observe(f64::from(receive.jitter_ms) / 1_000.0);
        let unplayed = receive.lost.saturating_add(receive.late) as f64;
        let faults = [
            (AudioFault::OneWay, receive.received == 0 && *packets_sent > MANY_PACKETS),
            (AudioFault::Silent, receive.received > MANY_PACKETS && heard.silent_ratio > 0.999),
            (AudioFault::Clipped, heard.clipped_ratio > 0.01),
            (AudioFault::Lossy, receive.received > MANY_PACKETS && unplayed / receive.received as f64 > 0.03),
        ];
        for (fault, _) in faults.into_iter().filter(|(_, there)| *there) {
            tracing::warn!(call = self.call_id(), fault = fault.as_str(), "the call's audio had a fault");
            self.metrics.audio_fault(fault);
        }
    }

    /// The record, complete but for its recording. `cause` is the switch's name for why it ended the leg.
    pub(super) fn close(mut self, reason: EndReason, cause: Option<String>, now: Instant) -> CallRecord {
        if let Some(going) = self.going.take() {
            going.over();
        }
        let clips: Vec<ClipId> = self.clips.keys().copied().collect();
        for clip in clips {
            self.clip_over(clip, now);
        }
        let end = self.at(now);
        for (_, open) in std::mem::take(&mut self.turns) {
            let mut turn = open.turn;
            if turn.ended_ms == 0 {
                turn.ended_ms = end;
            }
            self.record.add_turn(turn);
        }
        self.record.hangup_cause = cause;
        self.record.close(Timestamp::now(), ending(reason));
        self.record
    }
}

impl OpenTurn {
    fn latencies(&self) -> Latencies {
        let millis = |from: Option<Instant>, to: Option<Instant>| {
            Some(u32::try_from(to?.saturating_duration_since(from?).as_millis()).unwrap_or(u32::MAX))
        };
        // A stage that was skipped begins where the one before it ended.
        let begins = |stage: usize| self.stages[..stage].iter().rev().find_map(|end| *end).or(self.ended);
        let took = |stage: usize| millis(begins(stage), self.stages[stage]);
        Latencies {
            endpointing_ms: millis(self.ended, self.stages[0]),
            transcribe_ms: took(1),
            first_token_ms: took(2),
            first_audio_ms: took(3),
            first_packet_ms: took(4),
            total_ms: millis(self.ended, self.stages[4]),
        }
    }
}

fn append(text: &mut String, more: &str) {
    if !text.is_empty() && !text.ends_with(char::is_whitespace) {
        text.push(' ');
    }
    text.push_str(more);
}

fn ending(reason: EndReason) -> Ending {
    match reason {
        EndReason::CallerHungUp => Ending::CallerHungUp,
        EndReason::AgentHungUp => Ending::AgentHungUp,
        EndReason::Transferred => Ending::Transferred,
        EndReason::MaxDuration => Ending::TimeLimit,
        EndReason::CallerSilent => Ending::CallerSilent,
        EndReason::HandedOver => Ending::HandedOver,
        EndReason::Stopped => Ending::Administrator,
        EndReason::NotAnswered => Ending::NotAnswered,
        EndReason::SwitchLost => Ending::SwitchLost,
        EndReason::BackendFailed | EndReason::MediaLost | EndReason::Error => Ending::Failed,
    }
}

#[cfg(test)]
mod tests;
