//! Leads one call from its answer to its end: it carries what happens (on the switch, in the media, at the backend) to
//! the conversation, and does what the conversation says. What is said, and when, is decided there.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::connection::{Connection, until};
use super::journal::{CallIdentity, Journal};
use super::requests::{Answer, Requests};
use super::speech::Voice;
use super::{Begun, Calls, HANDED_OVER_VARIABLE, STATE_VARIABLE};
use crate::backend::{BackendError, BackendErrorKind, ReplyPart, SessionInfo, Stage};
use crate::esl::{HangupCause, OutboundEvent, RequestId};
use crate::record::{MarkKind, StereoRecorder};
use crate::sessions::{Permit, SessionGuard, SessionState};
use crate::turn::conversation::{Action, ClipId, Conversation, EndReason, Failure, Input, Mark, TurnId};
use crate::turn::state::SavedState;
use crate::turn::transcript::Judge;
use crate::worker::{InbandKeys, MediaEvent, StreamHandle, StreamMode, Utterance};

/// How long a call that is to end, or to be handed over, waits for the switch.
const FAREWELL: Duration = Duration::from_secs(2);

/// How a call stands.
enum Stand {
    /// It runs.
    Running,
    /// The switch was told to end it, or to keep its state; over at the latest then.
    Leaving { reason: EndReason, until: Instant },
    /// Over.
    Over(EndReason),
}

/// One call.
pub(super) struct Driver<'a> {
    calls: &'a Calls,
    connection: Connection,
    identity: CallIdentity,
    session: SessionGuard,
    stream: StreamHandle,
    events: mpsc::Receiver<MediaEvent>,
    /// `None`: the echo test.
    conversation: Option<Conversation>,
    requests: Requests,
    judge: Judge,
    answers: mpsc::Receiver<Answer>,
    voice: Voice,
    /// All of the call's requests stand under it.
    token: CancellationToken,
    journal: Journal,
    recorder: Option<StereoRecorder>,
    /// The utterance that the conversation was just told of.
    utterance: Option<Utterance>,
    /// The turn for which part of an utterance was asked for, until it comes.
    glimpse: Option<TurnId>,
    /// The newest clip that was asked for.
    newest_clip: ClipId,
    interruptible: bool,
    answer_expected: bool,
    answered: bool,
    heard_packets: bool,
    /// The state that the pod before this one left is being read.
    reading_state: Option<RequestId>,
    /// What was last kept on leg A for the next pod and is still on its way to the switch.
    saving: Option<RequestId>,
    transfer: Option<RequestId>,
    stand: Stand,
    began: Instant,
}

impl<'a> Driver<'a> {
    /// On the heap: a task keeps room for each place that its state moves through, and this is most of a call's.
    pub(super) fn new(calls: &'a Calls, mut connection: Connection, begun: Begun, began: Instant) -> Box<Self> {
        let Begun { identity, session, media, stream, events, mode } = begun;
        let now = Instant::now();
        let mut settings = calls.config.conversation.clone();
        settings.call_id.clone_from(&identity.call_id);
        settings.caller.clone_from(&identity.caller);
        let info = Arc::new(SessionInfo {
            id: identity.call_id.clone(),
            caller: identity.caller.clone(),
            dialed: identity.dialed.clone(),
            language: settings.language.clone(),
            prompt: settings.prompt.clone(),
        });
        // Not under the session's own token: a call that is asked to end still says goodbye.
        let token = CancellationToken::new();
        let (requests, answers) = Requests::new(Arc::clone(&calls.parts.backend), info, token.clone());
        let voice = Voice::new(Arc::clone(&calls.parts.backend), stream.feeder(), requests.answers(), token.clone());
        let conversation = (mode == StreamMode::Conversation).then(|| Conversation::new(settings, now));
        let reading_state = (identity.attempt > 1 && conversation.is_some())
            .then(|| connection.outbound.get_leg_a_variable(now, STATE_VARIABLE).ok())
            .flatten();
        let mut journal = Journal::new(&identity, Arc::clone(&calls.parts.metrics), began);
        journal.codec(media.codec.encoding_name());
        tracing::info!(
            call = identity.call_id,
            caller = %crate::telemetry::shown_number(&identity.caller, calls.config.privacy == crate::record::Privacy::Shown),
            dialed = identity.dialed,
            attempt = identity.attempt,
            codec = media.codec.encoding_name(),
            keys = media.dtmf.map(|dtmf| format!("telephone-event/{}", dtmf.clock_hz)),
            "a call begins"
        );
        if media.dtmf.is_none() {
            let heard =
                if calls.config.inband_keys == InbandKeys::Disabled { "not heard" } else { "heard in the sound only" };
            tracing::warn!(
                call = identity.call_id,
                keys = heard,
                "the offer has no telephone-event: keys cannot be sent"
            );
        }
        let recorder = calls.parts.records.as_ref().map(|records| journal.recorder(records, now));
        Box::new(Self {
            calls,
            connection,
            identity,
            session,
            stream,
            events,
            conversation,
            requests,
            judge: Judge::new(calls.config.transcripts),
            answers,
            voice,
            token,
            journal,
            recorder,
            utterance: None,
            glimpse: None,
            newest_clip: ClipId(0),
            interruptible: true,
            answer_expected: false,
            answered: false,
            heard_packets: false,
            reading_state,
            saving: None,
            transfer: None,
            stand: Stand::Running,
            began,
        })
    }

    /// Runs the call to its end and hands its record over.
    pub(super) async fn run(mut self: Box<Self>, permit: Permit) {
        let handover = self.calls.parts.handover.clone();
        let ending = self.session.end_requested().clone();
        let limit = self.began + self.calls.config.conversation.max_duration;
        let reason = loop {
            self.act();
            self.connection.push();
            let deadline = match &self.stand {
                Stand::Over(reason) => break *reason,
                Stand::Leaving { until, .. } => Some(*until),
                // A conversation watches its own time.
                Stand::Running if self.conversation.is_none() => Some(limit),
                Stand::Running => None,
            };
            let running = matches!(self.stand, Stand::Running);
            tokio::select! {
                event = self.connection.next() => self.on_switch(event),
                Some(event) = self.events.recv() => self.on_media(event),
                Some(answer) = self.answers.recv() => self.on_answer(answer),
                () = until(self.conversation.as_ref().and_then(Conversation::poll_timeout)), if running => {
                    if let Some(conversation) = &mut self.conversation {
                        conversation.handle_timeout(Instant::now());
                    }
                }
                () = until(deadline) => match self.stand {
                    Stand::Leaving { reason, .. } => self.stand = Stand::Over(reason),
                    _ => self.hang_up(EndReason::MaxDuration),
                },
                () = handover.cancelled(), if running => self.hand_over(),
                () = ending.cancelled(), if running => self.stop(EndReason::Stopped),
            }
        };
        Box::pin(self.finish(reason, permit)).await;
    }

    fn converse(&mut self, input: Input) {
        if let Some(conversation) = &mut self.conversation {
            conversation.handle(Instant::now(), input);
        }
    }

    fn on_switch(&mut self, event: OutboundEvent) {
        let now = Instant::now();
        match event {
            OutboundEvent::Answered => {
                self.answered = true;
                self.journal.answered(now);
                self.set_state(SessionState::Active);
                self.begin_talking();
            }
            OutboundEvent::VariableRead { request, result } if self.reading_state == Some(request) => {
                self.reading_state = None;
                self.resume(result.ok().flatten());
                self.begin_talking();
            }
            OutboundEvent::ApiResult { request, result } => self.on_api_result(request, result),
            OutboundEvent::CommandFailed { what, text } => {
                self.journal.error(now, "switch", &format!("expected the switch to take `{what}`, came: {text}"));
                if !self.answered {
                    self.hang_up(EndReason::NotAnswered);
                }
            }
            OutboundEvent::HungUp { cause } => {
                tracing::debug!(call = self.identity.call_id, cause, "the switch hung up");
                self.converse(Input::CallerHungUp);
                self.over(EndReason::CallerHungUp);
            }
            OutboundEvent::Disconnected => self.over(EndReason::SwitchLost),
            OutboundEvent::Failed(error) => {
                self.calls.parts.metrics.esl_error(error.kind());
                self.journal.error(now, "switch", &error.to_string());
                self.over(EndReason::SwitchLost);
            }
            OutboundEvent::VariableRead { .. } | OutboundEvent::Lingering { .. } | OutboundEvent::Offered(_) => {}
        }
    }

    fn on_api_result(&mut self, request: RequestId, result: Result<String, String>) {
        let now = Instant::now();
        if self.saving == Some(request) {
            self.saving = None;
            if let Err(text) = &result {
                self.journal.error(
                    now,
                    "switch",
                    &format!("expected what the next pod needs to be kept, came: {text}"),
                );
            }
            // Kept or not: nothing better can be done now than to give the call away.
            if let Stand::Leaving { reason: EndReason::HandedOver, .. } = self.stand {
                self.stand = Stand::Over(EndReason::HandedOver);
            }
        } else if self.transfer == Some(request) {
            self.transfer = None;
            match result {
                Ok(_) => {
                    self.journal.mark(now, MarkKind::Transfer, "");
                    self.converse(Input::Transferred);
                }
                Err(text) => {
                    self.journal.error(now, "switch", &format!("expected the call to be transferred, came: {text}"));
                    self.converse(Input::TransferFailed);
                }
            }
        }
    }

    fn on_media(&mut self, event: MediaEvent) {
        let now = Instant::now();
        match event {
            MediaEvent::FirstPacket { .. } => self.heard_packets = true,
            MediaEvent::SpeechStarted { at } => {
                self.journal.mark(at, MarkKind::SpeechStart, "");
                self.converse(Input::SpeechStarted);
            }
            MediaEvent::SpeechDiscarded { .. } => self.converse(Input::SpeechDiscarded),
            MediaEvent::SpeechFaltered => self.converse(Input::SpeechFaltered),
            MediaEvent::SpeechResumed => self.converse(Input::SpeechResumed),
            MediaEvent::BargeIn { at } => {
                self.journal.paused(at);
                self.converse(Input::BargeIn);
            }
            MediaEvent::Utterance(utterance) => {
                self.journal.utterance(&utterance, now);
                let (speech, ended_at) = (utterance.speech, utterance.ended);
                self.utterance = Some(utterance);
                self.converse(Input::Utterance { speech, ended_at });
            }
            MediaEvent::Glimpse(utterance) => {
                if let Some(turn) = self.glimpse.take() {
                    self.requests.glimpse(turn, utterance);
                }
            }
            MediaEvent::ClipStarted { clip, at, waited } => {
                self.journal.clip_started(clip, at, waited);
                self.converse(Input::ClipStarted { clip });
            }
            MediaEvent::ClipEnded { clip, at } => {
                self.journal.clip_over(clip, at);
                self.converse(Input::ClipEnded { clip });
            }
            MediaEvent::ClipCut { clip, played, came } => {
                self.journal.clip_over(clip, now);
                let heard = if came.is_zero() { 0.0 } else { played.as_secs_f32() / came.as_secs_f32() };
                self.converse(Input::ClipCut { clip, heard });
            }
            MediaEvent::Dtmf { digit } => {
                self.calls.parts.metrics.dtmf_received.inc();
                self.journal.keys(now, MarkKind::Dtmf, digit.encode_utf8(&mut [0; 4]));
                self.converse(Input::Dtmf { digit });
            }
            MediaEvent::Silent { since } => {
                self.journal.mark(since, MarkKind::PacketsStopped, "");
                // A caller who was never heard may still hear; one who was is on hold, or gone without a word.
                if self.heard_packets {
                    self.converse(Input::Hold);
                }
            }
            MediaEvent::Resumed { at } => {
                self.journal.mark(at, MarkKind::PacketsResumed, "");
                self.converse(Input::Unhold);
            }
            MediaEvent::Recorded(frame) => {
                if let Some(recorder) = &mut self.recorder {
                    recorder.push(&frame.caller, &frame.agent);
                }
            }
            MediaEvent::Failed => {
                self.journal.error(now, "media", "the stream failed by a fault in its processing");
                self.stop(EndReason::Error);
            }
        }
    }

    fn on_answer(&mut self, answer: Answer) {
        let now = Instant::now();
        match answer {
            Answer::Transcribed { turn, sound, result } => {
                self.journal.stage(turn, Stage::Transcribe, now);
                let result = result
                    .map(|transcript| self.judge.said(&transcript, sound))
                    .map_err(|error| self.failed(Stage::Transcribe, &error));
                self.converse(Input::Transcribed { turn, result });
            }
            Answer::Reply { turn, part } => {
                self.journal.stage(turn, Stage::Generate, now);
                self.converse(match part {
                    ReplyPart::Text(text) => Input::Reply { turn, text },
                    ReplyPart::Tool(call) => Input::ReplyTool { turn, call },
                    ReplyPart::Pause => Input::ReplyPaused { turn },
                    ReplyPart::TakenBack => Input::ReplyTakenBack { turn },
                    ReplyPart::Refused(call) => Input::ReplyRefused { turn, reason: call.error.to_string() },
                });
            }
            Answer::ReplyEnded { turn, result } => {
                let result = result.map_err(|error| self.failed(Stage::Generate, &error));
                self.converse(Input::ReplyEnded { turn, result });
            }
            Answer::SpeechBegan { clip, at } => self.journal.speech_began(clip, at),
            Answer::SpeechFailed { clip, queued, error } => {
                let failure = self.failed(Stage::Speak, &error);
                // What was queued of it is played, and the media tell its end.
                if !queued {
                    self.converse(Input::ClipFailed { clip, failure });
                }
            }
        }
    }

    fn failed(&mut self, stage: Stage, error: &BackendError) -> Failure {
        let failure = match error.kind() {
            BackendErrorKind::Timeout => Failure::Timeout,
            BackendErrorKind::Unavailable | BackendErrorKind::RateLimited { .. } => Failure::Unavailable,
            BackendErrorKind::Rejected => Failure::Rejected,
            BackendErrorKind::CircuitOpen => Failure::CircuitOpen,
            BackendErrorKind::Invalid | BackendErrorKind::Cancelled => Failure::Other,
        };
        self.journal.error(Instant::now(), stage.as_str(), &error.to_string());
        failure
    }

    /// Does all that the conversation asks for.
    fn act(&mut self) {
        while let Some(action) = self.conversation.as_mut().and_then(Conversation::poll_action) {
            self.perform(action);
        }
        let Some(conversation) = &self.conversation else { return };
        if let (Some(reason), Stand::Running) = (conversation.end_reason(), &self.stand) {
            // Over for the conversation: transferred, say. The switch ends the leg by itself, soon.
            self.stand = Stand::Leaving { reason, until: Instant::now() + FAREWELL };
        }
        let interruptible = conversation.interruptible();
        if interruptible != self.interruptible {
            self.interruptible = interruptible;
            self.stream.set_interruptible(interruptible);
        }
        let answer_expected = conversation.expects_answer();
        if answer_expected != self.answer_expected {
            self.answer_expected = answer_expected;
            self.stream.expect_answer(answer_expected);
        }
        let state = conversation.session_state();
        self.set_state(state);
    }

    fn perform(&mut self, action: Action) {
        let now = Instant::now();
        match action {
            Action::Transcribe { turn } => {
                self.journal.transcribing(turn);
                if let Some(utterance) = self.utterance.take() {
                    self.requests.transcribe(turn, utterance);
                }
            }
            Action::Glimpse { turn } => {
                self.glimpse = Some(turn);
                self.stream.glimpse();
            }
            Action::Generate { turn, text, history } => self.requests.generate(turn, text, history),
            Action::Speak { turn, clip, text } => {
                self.newest_clip = clip;
                self.journal.speaking(turn, clip, &text);
                self.voice.speak(clip, text);
            }
            Action::PlayApology { clip } => {
                self.newest_clip = clip;
                let apology = &self.calls.parts.apology;
                self.journal.speaking(None, clip, &apology.text);
                self.voice.play(clip, apology.rate, Arc::clone(&apology.samples));
            }
            Action::Cancel { turn } => self.requests.cancel(turn),
            Action::ResumePlayback => {
                self.journal.unpaused();
                self.stream.resume();
            }
            Action::ClearPlayback => {
                self.voice.clear();
                self.stream.clear(self.newest_clip);
            }
            Action::SaveState(state) => self.keep(STATE_VARIABLE, &state),
            Action::HangUp { cause } => self.hang_up(cause),
            Action::Transfer { destination } => self.transfer_to(&destination),
            Action::SendDtmf { digits } => {
                self.journal.keys(now, MarkKind::DtmfSent, &digits);
                self.stream.send_dtmf(digits);
            }
            Action::Mark(mark) => {
                if let Mark::TurnStarted { .. } = mark {
                    self.session.count_turn();
                }
                self.journal.conversation(now, &mark);
            }
        }
    }

    /// The conversation begins once the call is answered and what there was of it before is known.
    fn begin_talking(&mut self) {
        if self.answered && self.reading_state.is_none() {
            self.converse(Input::Answered);
        }
    }

    /// Goes on from what the pod before this one has left.
    fn resume(&mut self, state: Option<String>) {
        let now = Instant::now();
        let Some(settings) = self.conversation.as_ref().map(|conversation| conversation.settings().clone()) else {
            return;
        };
        self.calls.parts.metrics.takeovers.inc();
        match state.as_deref().map(SavedState::decode) {
            Some(Ok(saved)) => self.conversation = Some(Conversation::resume(settings, saved, now)),
            Some(Err(error)) => self.journal.error(now, "takeover", &error.to_string()),
            // The other pod was lost before there was anything to keep.
            None => {}
        }
    }

    /// Keeps a value on leg A for the next pod.
    fn keep(&mut self, variable: &str, value: &str) {
        match self.connection.outbound.set_leg_a_variable(Instant::now(), variable, value) {
            Ok(request) => self.saving = Some(request),
            Err(error) => {
                // Without leg A there is nowhere to keep it; the call itself is not harmed.
                tracing::debug!(call = self.identity.call_id, variable, %error, "nothing was kept for the next pod");
                self.saving = None;
            }
        }
    }

    fn transfer_to(&mut self, destination: &str) {
        let context = &self.calls.config.transfer_context;
        match self.connection.outbound.transfer(Instant::now(), destination, context) {
            Ok(request) => self.transfer = Some(request),
            Err(error) => {
                self.journal.error(Instant::now(), "switch", &format!("the call could not be transferred: {error}"));
                self.converse(Input::TransferFailed);
            }
        }
    }

    fn hang_up(&mut self, reason: EndReason) {
        if !matches!(self.stand, Stand::Running) {
            return;
        }
        // A call that could not be answered may fare better with another pod; all others are over for the caller as
        // well.
        let cause = if reason == EndReason::NotAnswered {
            HangupCause::NormalTemporaryFailure
        } else {
            HangupCause::NormalClearing
        };
        self.stand = match self.connection.outbound.hang_up(Instant::now(), cause) {
            Ok(()) => Stand::Leaving { reason, until: Instant::now() + FAREWELL },
            Err(_) => Stand::Over(reason),
        };
    }

    /// Ends the call for a reason that lies outside the conversation.
    fn stop(&mut self, reason: EndReason) {
        if self.conversation.is_some() {
            self.converse(Input::Stop { reason });
        } else {
            self.hang_up(reason);
        }
    }

    /// Gives the call to another pod: keeps its state and leaves without hanging up.
    fn hand_over(&mut self) {
        self.keep(HANDED_OVER_VARIABLE, &self.identity.attempt.to_string());
        self.converse(Input::HandOver);
        self.stand = Stand::Leaving { reason: EndReason::HandedOver, until: Instant::now() + FAREWELL };
        self.act();
        if self.saving.is_none() {
            self.stand = Stand::Over(EndReason::HandedOver);
        }
    }

    /// The switch has nothing more to say about this call.
    fn over(&mut self, reason: EndReason) {
        self.act();
        let known = self.conversation.as_ref().and_then(Conversation::end_reason);
        self.stand = Stand::Over(match self.stand {
            Stand::Leaving { reason, .. } | Stand::Over(reason) => reason,
            Stand::Running => known.unwrap_or(reason),
        });
    }

    fn set_state(&self, state: SessionState) {
        // A step that a session's life does not have changes nothing; the conversation may be ahead of the switch.
        let _ = self.session.set_state(state);
    }

    /// Lets go of everything at once that another call could use, then brings the record where it belongs.
    async fn finish(self: Box<Self>, reason: EndReason, permit: Permit) {
        let Self { calls, connection, identity, session, stream, token, mut journal, recorder, began, .. } = *self;
        token.cancel();
        let _ = session.set_state(if reason.is_error() { SessionState::Error } else { SessionState::Ended });
        // Closing the connection is what lets the switch go on with a call that is handed over.
        drop(connection);
        let report = stream.close().await;
        drop(session);
        drop(permit);
        let metrics = &calls.parts.metrics;
        metrics.session_ended(reason.as_str(), began.elapsed());
        if reason == EndReason::HandedOver {
            metrics.handovers.inc();
        }
        if let Some(report) = &report {
            journal.media(report);
        }
        tracing::info!(
            call = identity.call_id,
            reason = reason.as_str(),
            seconds = began.elapsed().as_secs_f32(),
            packets_received = report.as_ref().map(|report| report.receive.received),
            packets_lost = report.as_ref().map(|report| report.receive.lost),
            packets_sent = report.as_ref().map(|report| report.packets_sent),
            "a call ended"
        );
        let record = journal.close(reason, Instant::now());
        if let Some(records) = &calls.parts.records {
            // A queue that is full has been logged and counted.
            let _ = records.submit(record, recorder);
        }
    }
}
