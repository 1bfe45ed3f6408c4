//! Leads one call from its answer to its end: it carries what happens on the leg and in the media to the call's dialogue,
//! and what the dialogue wants to the leg. What is said, and when, is decided there.
//!
//! A fault of ours, in the media or in the dialogue, ends no call: the leg is left without hanging up, and the switch
//! brings the caller to another pod, which goes on from what was kept.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use tokio::sync::mpsc;

use super::agent::{AgentProfile, DialogueProfile};
use super::connection::{Connection, until};
use super::dialogue::{Desk, Dialogue, Echo, Happening, Nothing, Shared, Turns, Wish};
use super::hold::HoldWatch;
use super::journal::{CallIdentity, Journal};
use super::leg::{Leg, LegEvent};
use super::{Begun, Calls, Origin};
use crate::record::{MarkKind, StereoRecorder};
use crate::sessions::{Permit, SessionEntries, SessionState};
use crate::turn::conversation::EndReason;
use crate::worker::{InbandKeys, MediaEvent};

/// A panic in a dialogue: a bug of ours.
struct Fault;

/// One call.
pub(super) struct Driver<'a> {
    calls: &'a Calls,
    agent: Arc<AgentProfile>,
    identity: CallIdentity,
    leg: Leg,
    dialogue: Box<dyn Dialogue>,
    desk: Desk,
    events: mpsc::Receiver<MediaEvent>,
    /// Nothing will come of the media any more.
    deaf: bool,
    hold: HoldWatch,
    /// The switch's name for why it ended the leg.
    cause: Option<String>,
    recorder: Option<StereoRecorder>,
    began: Instant,
    comes_from: Origin,
    /// When the losses before this pod count no more, if the call goes well until then.
    settles_at: Option<Instant>,
}

impl<'a> Driver<'a> {
    /// On the heap: a task keeps room for each place that its state moves through, and this is most of a call's.
    pub(super) fn new(calls: &'a Calls, connection: Connection, begun: Begun, began: Instant) -> Box<Self> {
        let Begun { identity, session, media, stream, events, agent, comes_from } = begun;
        let now = Instant::now();
        let mut leg = Leg::new(connection, identity.call_id.clone(), identity.attempt);
        if leg.is_taken_over() {
            leg.read_state();
        }
        let dialogue: Box<dyn Dialogue> = match &agent.dialogue {
            DialogueProfile::Echo { max_duration } => Box::new(Echo::new(began, *max_duration, leg.is_reading())),
            DialogueProfile::Turns(turns) => {
                let shared = Shared { apology: calls.parts.apology.clone(), metrics: Arc::clone(&calls.parts.metrics) };
                Box::new(Turns::new(turns, &identity, shared, leg.is_reading(), stream.feeder(), now))
            }
        };
        let mut journal = Journal::new(&identity, Arc::clone(&calls.parts.metrics), began);
        journal.agent(&agent.name);
        journal.codec(media.codec.encoding_name());
        tracing::info!(
            call = identity.call_id,
            caller = %crate::telemetry::shown_number(&identity.caller, calls.config.privacy == crate::record::Privacy::Shown),
            dialed = identity.dialed,
            attempt = identity.attempt,
            agent = agent.name,
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
        let desk = Desk { stream, journal, session };
        Box::new(Self {
            calls,
            agent,
            identity,
            leg,
            dialogue,
            desk,
            events,
            deaf: false,
            hold: HoldWatch::default(),
            cause: None,
            recorder,
            began,
            comes_from,
            settles_at: None,
        })
    }

    /// Runs the call to its end and hands its record over.
    pub(super) async fn run(mut self: Box<Self>, permit: Permit) {
        let mut departure = self.calls.parts.handover.departure(&self.identity.call_id);
        let ending = self.desk.session.end_requested().clone();
        let mut only_recorded = false;
        let reason = loop {
            self.act();
            // Frames for the recording come fifty times a second, and change nothing of it.
            if !std::mem::take(&mut only_recorded) {
                self.count();
            }
            self.leg.push();
            if let Some(reason) = self.leg.over() {
                break reason;
            }
            let running = self.leg.is_running();
            let gone_at = self.leg.deadline();
            let told_at = self.dialogue.poll_timeout();
            let between_turns = self.dialogue.is_between_turns();
            let (dialogue, desk) = (&mut self.dialogue, &mut self.desk);
            let answered = poll_fn(|context| match guarded(|| dialogue.poll_backend(context, desk)) {
                Ok(polled) => polled.map(Ok),
                Err(fault) => Poll::Ready(Err(fault)),
            });
            tokio::select! {
                event = self.leg.next() => self.on_leg(event),
                event = self.events.recv(), if !self.deaf => {
                    only_recorded = matches!(event, Some(MediaEvent::Recorded(_)));
                    self.on_media(event);
                }
                answered = answered => if let Err(fault) = answered { self.broken(fault) },
                () = until(told_at), if running => {
                    self.ask(|dialogue, desk| dialogue.handle_timeout(Instant::now(), desk));
                }
                () = until(self.settles_at), if running => {
                    self.settles_at = None;
                    self.leg.count_anew();
                }
                () = until(self.hold.poll_timeout()), if running => self.ask_whether_held(),
                // A switch that does not answer is not waited for.
                () = until(gone_at), if !running => self.leg.is_gone(EndReason::SwitchLost),
                () = departure.due(between_turns), if running => {
                    self.leg.count_anew();
                    self.give_away(EndReason::HandedOver);
                }
                () = ending.cancelled(), if running => self.tell(Happening::Stop(EndReason::Stopped)),
            }
        };
        Box::pin(self.finish(reason, permit)).await;
    }

    fn tell(&mut self, happening: Happening) {
        self.ask(|dialogue, desk| dialogue.handle(Instant::now(), happening, desk));
    }

    /// Has the dialogue do something. `None` where it met a fault.
    fn ask<T>(&mut self, work: impl FnOnce(&mut dyn Dialogue, &mut Desk) -> T) -> Option<T> {
        let Self { dialogue, desk, .. } = self;
        guarded(|| work(&mut **dialogue, desk)).map_err(|fault| self.broken(fault)).ok()
    }

    /// Nobody knows what a dialogue would do that has met a fault of ours: the next pod goes on from what was last kept.
    fn broken(&mut self, Fault: Fault) {
        self.dialogue = Box::new(Nothing);
        self.desk.journal.error(
            Instant::now(),
            "dialogue",
            "the dialogue failed by a fault in it; another pod goes on",
        );
        if self.leg.is_running() {
            self.leg.leave(EndReason::Error);
        }
    }

    fn on_leg(&mut self, event: LegEvent) {
        let now = Instant::now();
        match event {
            LegEvent::Answered => {
                self.desk.journal.answered(now);
                // The first loss is counted anew by the switch itself.
                self.settles_at = self.leg.is_taken_over().then(|| now + self.calls.config.settled_after);
                self.set_state(SessionState::Active);
                self.begin_talking();
            }
            // A call that is given away before it was known here goes as it came.
            LegEvent::StateRead(_) if !self.leg.is_running() => {}
            LegEvent::StateRead(result) => {
                let Origin { talking, returned } = self.comes_from;
                if returned.is_some() {
                    self.calls.parts.metrics.transfers_returned.inc();
                }
                let silent = self.leg.silent_before();
                self.tell(Happening::TakenOver { left: result, silent, talking, returned });
                self.begin_talking();
            }
            LegEvent::Kept(Ok(())) => {}
            LegEvent::Kept(Err(text)) => {
                self.switch_error(&format!("expected what the next pod needs to be kept, came: {text}"));
            }
            LegEvent::Transferred(Ok(())) => {
                self.desk.journal.mark(now, MarkKind::Transfer, "");
                self.tell(Happening::Transferred);
            }
            LegEvent::Transferred(Err(text)) => {
                self.switch_error(&format!("expected the call to be transferred, came: {text}"));
                self.tell(Happening::TransferFailed);
            }
            LegEvent::CallState(state) => {
                self.call_state(now, state.as_deref().map_err(String::as_str));
            }
            LegEvent::Refused { what, text } => {
                self.switch_error(&format!("expected the switch to take `{what}`, came: {text}"));
                if !self.leg.is_answered() {
                    self.leg.hang_up(EndReason::NotAnswered);
                }
            }
            LegEvent::HungUp { reason, cause } => {
                self.tell(Happening::HungUp);
                self.cause = Some(cause);
                self.gone(reason);
            }
            LegEvent::Lost(error) => {
                if let Some(error) = error {
                    self.calls.parts.metrics.esl_error(error.kind());
                    self.switch_error(&error.to_string());
                }
                self.gone(EndReason::SwitchLost);
            }
        }
    }

    /// What is the same for every dialogue is done here, the rest there.
    fn on_media(&mut self, event: Option<MediaEvent>) {
        let now = Instant::now();
        let journal = &mut self.desk.journal;
        let Some(event) = event else {
            self.deaf = true;
            journal.error(now, "media", "expected the media worker to carry the call to its end, but it let it go");
            return self.without_media(EndReason::MediaLost);
        };
        match event {
            MediaEvent::Recorded(frame) => {
                if let Some(recorder) = &mut self.recorder {
                    recorder.push(&frame.caller, &frame.agent);
                }
                return;
            }
            MediaEvent::Failed => {
                self.deaf = true;
                journal.error(now, "media", "the stream failed by a fault in its processing");
                return self.without_media(EndReason::Error);
            }
            MediaEvent::Dtmf { digit } => {
                self.calls.parts.metrics.dtmf_received.inc();
                journal.keys(now, MarkKind::Dtmf, digit.encode_utf8(&mut [0; 4]));
            }
            MediaEvent::FirstPacket { .. } => self.hold.packets_came(),
            MediaEvent::KeysUnsent => journal.error(
                now,
                "keys",
                "expected keys to be sent, but the leg has no telephone-event, or too many wait already",
            ),
            MediaEvent::Silent { since } => {
                journal.mark(since, MarkKind::PacketsStopped, "");
                self.hold.packets_stopped(now);
            }
            MediaEvent::Resumed { at } => {
                journal.mark(at, MarkKind::PacketsResumed, "");
                if self.hold.packets_resumed() {
                    self.tell(Happening::Held(false));
                }
            }
            _ => {}
        }
        self.tell(Happening::Media(event));
    }

    fn ask_whether_held(&mut self) {
        let now = Instant::now();
        if self.hold.asks(now)
            && let Err(error) = self.leg.ask_call_state()
        {
            self.call_state(now, Err(&error.to_string()));
        }
    }

    fn call_state(&mut self, now: Instant, state: Result<&str, &str>) {
        if let Some(held) = self.hold.answered(now, state) {
            self.tell(Happening::Held(held));
        }
    }

    /// Does all that the dialogue asks for.
    fn act(&mut self) {
        self.carry_out();
        if let Some(reason) = self.dialogue.end_reason() {
            // Over for the dialogue: transferred, say.
            self.leg.await_end(reason);
        }
        if let Some(state) = self.dialogue.session_state() {
            self.set_state(state);
        }
    }

    /// Tells who watches the pod how much the call holds.
    fn count(&self) {
        let (media_clips, media_marks) = self.desk.stream.entries();
        let commands = self.leg.unanswered();
        let mut entries = SessionEntries { media_clips, media_marks, commands, ..SessionEntries::default() };
        self.desk.journal.count(&mut entries);
        self.dialogue.count(&mut entries);
        self.desk.session.set_entries(entries);
    }

    fn carry_out(&mut self) {
        while let Some(wish) = self.ask(|dialogue, desk| dialogue.poll_wish(desk)).flatten() {
            match wish {
                Wish::Keep(state) => self.leg.keep(&state),
                Wish::HangUp(reason) => self.leg.hang_up(reason),
                Wish::Transfer(destination) => self.transfer(&destination),
            }
        }
    }

    /// The dialogue begins once the call is answered and what there was of it before is known.
    fn begin_talking(&mut self) {
        if self.leg.is_running() && self.leg.is_answered() && !self.leg.is_reading() {
            self.tell(Happening::Answered);
        }
    }

    fn transfer(&mut self, destination: &str) {
        if let Err(error) = self.leg.transfer(destination, &self.agent.transfer_context) {
            self.switch_error(&format!("the call could not be transferred: {error}"));
            self.tell(Happening::TransferFailed);
        }
    }

    /// Gives the call to another pod: keeps its state and leaves without hanging up.
    fn give_away(&mut self, reason: EndReason) {
        self.tell(Happening::HandOver);
        self.carry_out();
        if self.leg.is_running() {
            self.leg.leave(reason);
        }
    }

    /// The caller can't be heard any more, nor spoken to: by no fault of theirs.
    fn without_media(&mut self, reason: EndReason) {
        if self.leg.is_running() {
            self.give_away(reason);
        }
    }

    /// The switch has nothing more to say about this call.
    fn gone(&mut self, reason: EndReason) {
        self.carry_out();
        self.leg.is_gone(match self.dialogue.end_reason() {
            // That is what it makes of any hang-up.
            None | Some(EndReason::CallerHungUp) => reason,
            Some(known) => known,
        });
    }

    fn switch_error(&mut self, text: &str) {
        self.desk.journal.error(Instant::now(), "switch", text);
    }

    fn set_state(&self, state: SessionState) {
        // A step that a session's life does not have changes nothing; the dialogue may be ahead of the switch.
        let _ = self.desk.session.set_state(state);
    }

    /// Lets go of everything at once that another call could use, then brings the record where it belongs.
    async fn finish(self: Box<Self>, reason: EndReason, permit: Permit) {
        let Self { calls, identity, leg, dialogue, desk, cause, recorder, began, .. } = *self;
        let Desk { stream, mut journal, session } = desk;
        // Ends all requests of the call.
        drop(dialogue);
        let _ = session.set_state(if reason.is_error() { SessionState::Error } else { SessionState::Ended });
        // Closing the connection is what lets the switch go on with a call that is handed over.
        drop(leg);
        let report = stream.close().await;
        drop(session);
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
            cause,
            seconds = began.elapsed().as_secs_f32(),
            packets_received = report.as_ref().map(|report| report.receive.received),
            packets_lost = report.as_ref().map(|report| report.receive.lost),
            packets_sent = report.as_ref().map(|report| report.packets_sent),
            "a call ended"
        );
        let record = journal.close(reason, cause, Instant::now());
        if let Some(records) = &calls.parts.records {
            // A queue that is full has been logged and counted.
            let _ = records.submit(record, recorder);
        }
        // Last: a pod whose last permit is back waits for the records that it knows of, and ends.
        drop(permit);
    }
}

/// Runs a dialogue's work so that a panic in it becomes a fault of that one call.
fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, Fault> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|_| Fault)
}

#[cfg(test)]
mod tests;
