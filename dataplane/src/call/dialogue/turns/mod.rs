//! The pipeline of turns: the caller's speech is transcribed, a model answers the words, a voice speaks the answer. It
//! carries what happens to the [`Conversation`] and does what that says; what is said, and when, is decided there.

mod requests;
mod speech;
mod spoken;

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{Desk, Dialogue, Happening, Wish};
use crate::backend::clips::Clip;
use crate::backend::{BackendError, BackendErrorKind, ReplyPart, SessionInfo, Stage};
use crate::call::agent::TurnsProfile;
use crate::call::journal::{CallIdentity, Journal};
use crate::call::state::{self, Body};
use crate::metrics::Metrics;
use crate::record::MarkKind;
use crate::sessions::{SessionEntries, SessionState};
use crate::turn::conversation::{
    Action, ClipId, Conversation, ConversationSettings, EndReason, Failure, Input, Mark, Phase, TurnId,
};
use crate::turn::state::SavedState;
use crate::turn::transcript::Judge;
use crate::worker::{MediaEvent, StreamFeeder, Utterance};
use requests::{Answer, Requests};
use speech::Voice;
use spoken::Spoken;
pub(crate) use spoken::VoicePace;

/// What all dialogues of turns of a pod share.
pub(in crate::call) struct Shared {
    pub(in crate::call) apology: Clip,
    pub(in crate::call) metrics: Arc<Metrics>,
}

/// No sentence is played for so long.
const LONGEST_SENTENCE: Duration = Duration::from_secs(60);

/// What is known of the pod before this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Before {
    /// What it left is being read.
    Awaited,
    /// All that there is to know.
    Known,
    /// It has left something that can't be had, or can't be read here. Another pod may.
    Unread,
}

/// The dialogue of turns of one call.
pub(in crate::call) struct Turns {
    conversation: Conversation,
    before: Before,
    requests: Requests,
    judge: Judge,
    answers: mpsc::Receiver<Answer>,
    voice: Voice,
    spoken: Spoken,
    pace: Arc<VoicePace>,
    /// A clip has failed, and the next one is fed when it is known which of them are still wanted.
    speech_waits: bool,
    apology: Clip,
    metrics: Arc<Metrics>,
    /// The utterance that the conversation was just told of.
    utterance: Option<Utterance>,
    /// The turn for which part of an utterance was asked for, until it comes.
    glimpse: Option<TurnId>,
    /// The newest clip that was asked for.
    newest_clip: ClipId,
    interruptible: bool,
    answer_expected: bool,
    /// The voice's requests end with it; the others own themselves.
    _voice_ends: DropGuard,
}

/// There was something of the pod before this one, which can't be had or read here.
struct Unread;

impl Turns {
    /// A dialogue that has not begun, of the call of that identity, whose agent is heard through `feeder`. `awaits`: what
    /// the pod before this one left is still to come.
    pub(in crate::call) fn new(
        profile: &TurnsProfile,
        identity: &CallIdentity,
        Shared { apology, metrics }: Shared,
        awaits: bool,
        feeder: StreamFeeder,
        now: Instant,
    ) -> Self {
        let TurnsProfile { conversation, transcripts, backend, pace } = profile;
        let settings = ConversationSettings {
            call_id: identity.call_id.clone(),
            caller: identity.caller.clone(),
            ..conversation.clone()
        };
        let info = Arc::new(SessionInfo {
            id: settings.call_id.clone(),
            caller: settings.caller.clone(),
            dialed: identity.dialed.clone(),
            language: settings.language.clone(),
            prompt: settings.prompt.clone(),
        });
        // Not under the session's own token: a call that is asked to end still says goodbye.
        let token = CancellationToken::new();
        let (requests, answers) = Requests::new(Arc::clone(backend), info);
        let voice = Voice::new(Arc::clone(backend), feeder, requests.answers(), token.clone());
        Self {
            conversation: Conversation::new(settings, now),
            before: if awaits { Before::Awaited } else { Before::Known },
            requests,
            judge: Judge::new(*transcripts),
            answers,
            voice,
            spoken: Spoken::default(),
            pace: Arc::clone(pace),
            speech_waits: false,
            apology,
            metrics,
            utterance: None,
            glimpse: None,
            newest_clip: ClipId(0),
            interruptible: true,
            answer_expected: false,
            _voice_ends: token.drop_guard(),
        }
    }

    fn tell(&mut self, input: Input) {
        self.conversation.handle(Instant::now(), input);
    }

    fn on_media(&mut self, now: Instant, event: MediaEvent, journal: &mut Journal) {
        match event {
            MediaEvent::SpeechStarted { at } => {
                journal.mark(at, MarkKind::SpeechStart, "");
                self.tell(Input::SpeechStarted);
            }
            MediaEvent::SpeechDiscarded { .. } => self.tell(Input::SpeechDiscarded),
            MediaEvent::SpeechFaltered => self.tell(Input::SpeechFaltered),
            MediaEvent::SpeechResumed => self.tell(Input::SpeechResumed),
            MediaEvent::BargeIn { at } => {
                journal.paused(at);
                self.tell(Input::BargeIn);
            }
            MediaEvent::Utterance(utterance) => {
                journal.utterance(&utterance, now);
                let (speech, ended_at) = (utterance.speech, utterance.ended);
                self.utterance = Some(utterance);
                self.tell(Input::Utterance { speech, ended_at });
            }
            MediaEvent::Glimpse(utterance) => {
                if let Some(turn) = self.glimpse.take() {
                    self.requests.transcribe(turn, utterance);
                }
            }
            MediaEvent::ClipStarted { clip, at, waited } => {
                journal.clip_started(clip, at, waited);
                self.tell(Input::ClipStarted { clip });
            }
            MediaEvent::ClipEnded { clip, at, length } => {
                journal.clip_over(clip, at);
                self.spoken.ended(clip, length, &self.pace);
                self.tell(Input::ClipEnded { clip });
            }
            MediaEvent::ClipCut(cut) => {
                // Why a clip broke off was said before its end was played, but on another way.
                while let Ok(answer) = self.answers.try_recv() {
                    self.on_answer(answer, journal);
                }
                let clip = cut.clip;
                journal.clip_over(clip, now);
                match self.spoken.cut(&cut, &self.pace) {
                    (heard, None) => self.tell(Input::ClipCut { clip, heard }),
                    (heard, Some(failure)) => {
                        self.tell(Input::ClipBrokeOff { clip, heard, failure });
                        self.speech_waits = true;
                    }
                }
            }
            MediaEvent::Dtmf { digit } => self.tell(Input::Dtmf { digit }),
            MediaEvent::FirstPacket { .. }
            | MediaEvent::Silent { .. }
            | MediaEvent::Resumed { .. }
            | MediaEvent::Recorded(_)
            // Turns set none.
            | MediaEvent::Mark { .. }
            | MediaEvent::KeysUnsent
            | MediaEvent::Failed => {}
        }
    }

    fn on_answer(&mut self, answer: Answer, journal: &mut Journal) {
        let now = Instant::now();
        match answer {
            Answer::Transcribed { turn, sound, result } => {
                journal.stage(turn, Stage::Transcribe, now);
                let result = result
                    .map(|transcript| self.judge.said(&transcript, sound))
                    .map_err(|error| failed(Stage::Transcribe, &error, journal));
                self.tell(Input::Transcribed { turn, result });
            }
            Answer::Reply { turn, part } => {
                journal.stage(turn, Stage::Generate, now);
                self.tell(match part {
                    ReplyPart::Text(text) => Input::Reply { turn, text },
                    ReplyPart::Tool(call) => Input::ReplyTool { turn, call },
                    ReplyPart::Pause => Input::ReplyPaused { turn },
                    ReplyPart::TakenBack => Input::ReplyTakenBack { turn },
                    ReplyPart::Refused(call) => Input::ReplyRefused { turn, reason: call.error.to_string() },
                });
            }
            Answer::ReplyEnded { turn, result } => {
                let result = result.map_err(|error| failed(Stage::Generate, &error, journal));
                self.tell(Input::ReplyEnded { turn, result });
            }
            Answer::SpeechBegan { clip, at } => journal.speech_began(clip, at),
            Answer::SpeechFailed { clip, queued, error } => {
                let failure = failed(Stage::Speak, &error, journal);
                if queued {
                    // What there is of it is played, and the media tell its end.
                    self.spoken.broke_off(clip, failure);
                } else {
                    journal.clip_gone(clip);
                    self.tell(Input::ClipFailed { clip, failure });
                    self.speech_waits = true;
                }
            }
        }
    }

    /// Does what the conversation asks for, or passes on what is for the leg.
    fn perform(&mut self, action: Action, desk: &mut Desk) -> Option<Wish> {
        let now = Instant::now();
        let Desk { stream, journal, session } = desk;
        match action {
            Action::Transcribe { turn } => {
                journal.transcribing(turn);
                if let Some(utterance) = self.utterance.take() {
                    self.requests.transcribe(turn, utterance);
                }
            }
            Action::Glimpse { turn } => {
                self.glimpse = Some(turn);
                stream.glimpse();
            }
            Action::Generate { turn, text, history } => self.requests.generate(turn, text, history),
            Action::Speak { turn, clip, text } => {
                self.newest_clip = clip;
                journal.speaking(turn, clip, &text);
                self.spoken.speaking(clip, &text);
                self.voice.speak(clip, text);
            }
            Action::PlayApology { clip } => {
                self.newest_clip = clip;
                journal.speaking(None, clip, &self.apology.text);
                self.voice.play(clip, self.apology.rate, Arc::clone(&self.apology.samples));
            }
            Action::Cancel { turn } => self.requests.cancel(turn),
            Action::ResumePlayback => {
                journal.unpaused();
                stream.resume();
            }
            Action::DropClip { clip } => {
                journal.clip_gone(clip);
                self.voice.drop_clip(clip);
            }
            Action::ClearPlayback => {
                journal.cleared();
                self.voice.clear();
                stream.clear(self.newest_clip);
            }
            Action::SaveState(mut state) => {
                state.kept_at_ms = unix_ms();
                if let Some(pace) = self.spoken.chars_per_minute(&self.pace) {
                    state.chars_per_minute = pace;
                }
                return self.supersedes(&state).then(|| Wish::Keep(state::write(&*state)));
            }
            Action::HangUp { cause } => return Some(Wish::HangUp(cause)),
            Action::Transfer { destination } => return Some(Wish::Transfer(destination)),
            Action::SendDtmf { digits } => {
                journal.keys(now, MarkKind::DtmfSent, &digits);
                stream.send_dtmf(digits);
            }
            Action::Mark(mark) => {
                if let Mark::TurnStarted { .. } = mark {
                    session.count_turn();
                }
                journal.conversation(now, &mark);
            }
        }
        None
    }

    /// Whether `state` is worth more than what leg A holds: what could not be read here stays until there is something of
    /// the caller's to put in its place.
    fn supersedes(&mut self, state: &SavedState) -> bool {
        match self.before {
            Before::Awaited => false,
            Before::Known => true,
            Before::Unread => {
                let kept = state.has_callers_words();
                if kept {
                    self.before = Before::Known;
                }
                kept
            }
        }
    }

    /// Goes on from what the pod before this one has left.
    fn resume(
        &mut self,
        now: Instant,
        left: Result<Option<String>, String>,
        silent: Duration,
        returned: Option<&'static str>,
        journal: &mut Journal,
    ) -> Result<(), Unread> {
        match state::read_left::<SavedState>(left) {
            Ok(Some(saved)) => {
                journal.took_over(&saved);
                if let Some(pace) = saved.chars_per_second() {
                    self.spoken.was_heard_at(pace);
                }
                let played_since = age(saved.kept_at_ms).saturating_sub(silent);
                self.conversation =
                    Conversation::resume(self.conversation.settings().clone(), saved, played_since, now);
                // No pod was lost where a transfer has failed.
                if returned.is_none() {
                    self.metrics.takeovers.inc();
                }
            }
            // The other pod was lost before there was anything to keep.
            Ok(None) => {}
            Err(error) => {
                self.before = Before::Unread;
                self.metrics.takeover_failed(error.reason());
                journal.error(now, "takeover", &error.to_string());
                return Err(Unread);
            }
        }
        self.before = Before::Known;
        Ok(())
    }

    /// Tells the media what the conversation wants of them just now.
    fn adjust(&mut self, desk: &Desk) {
        let interruptible = self.conversation.interruptible();
        if interruptible != self.interruptible {
            self.interruptible = interruptible;
            desk.stream.set_interruptible(interruptible);
        }
        let answer_expected = self.conversation.expects_answer();
        if answer_expected != self.answer_expected {
            self.answer_expected = answer_expected;
            desk.stream.expect_answer(answer_expected);
        }
    }
}

impl Dialogue for Turns {
    fn handle(&mut self, now: Instant, happening: Happening, desk: &mut Desk) {
        match happening {
            Happening::TakenOver { left, silent, talking, returned } => {
                let resumed = self.resume(now, left, silent, returned, &mut desk.journal);
                if resumed.is_err() && talking {
                    self.conversation.goes_on_unknown();
                }
                if let Some(why) = returned {
                    self.conversation.came_back(why);
                }
            }
            Happening::Answered => self.tell(Input::Answered),
            Happening::Media(event) => self.on_media(now, event, &mut desk.journal),
            Happening::Held(true) => self.tell(Input::Hold),
            Happening::Held(false) => self.tell(Input::Unhold),
            Happening::Transferred => self.tell(Input::Transferred),
            Happening::TransferFailed => self.tell(Input::TransferFailed),
            Happening::HungUp => self.tell(Input::CallerHungUp),
            Happening::HandOver => self.tell(Input::HandOver),
            Happening::Stop(reason) => self.tell(Input::Stop { reason }),
        }
    }

    fn poll_backend(&mut self, context: &mut Context<'_>, desk: &mut Desk) -> Poll<()> {
        match self.answers.poll_recv(context) {
            Poll::Ready(Some(answer)) => {
                self.on_answer(answer, &mut desk.journal);
                Poll::Ready(())
            }
            // Senders are held here as well, so the channel does not close.
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.conversation.poll_timeout()
    }

    fn handle_timeout(&mut self, now: Instant, _: &mut Desk) {
        self.conversation.handle_timeout(now);
    }

    fn poll_wish(&mut self, desk: &mut Desk) -> Option<Wish> {
        while let Some(action) = self.conversation.poll_action() {
            if let Some(wish) = self.perform(action, desk) {
                return Some(wish);
            }
        }
        if std::mem::take(&mut self.speech_waits) {
            self.voice.go_on();
        }
        self.adjust(desk);
        None
    }

    fn session_state(&self) -> Option<SessionState> {
        Some(self.conversation.session_state())
    }

    fn is_between_turns(&self) -> bool {
        self.conversation.phase() == Phase::Listening
    }

    fn count(&self, entries: &mut SessionEntries) {
        self.conversation.count(entries);
        entries.clips = self.spoken.clips();
        entries.voice = self.voice.waiting();
        entries.requests = self.requests.open();
        entries.answers = self.answers.len();
    }

    fn end_reason(&self) -> Option<EndReason> {
        self.conversation.end_reason()
    }
}

/// Now, in milliseconds since the Unix epoch.
fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// How long ago that was; zero where it can't be: another node's clock is another clock.
fn age(kept_at_ms: u64) -> Duration {
    let age = Duration::from_millis(unix_ms().saturating_sub(kept_at_ms));
    if kept_at_ms == 0 || age > LONGEST_SENTENCE { Duration::ZERO } else { age }
}

impl Body for SavedState {
    const KIND: &'static str = "turns";

    fn fitted(&self, room: usize) -> Self {
        self.fitted(room)
    }
}

/// Notes an error of the backend, and makes of it as much as a conversation needs to know.
fn failed(stage: Stage, error: &BackendError, journal: &mut Journal) -> Failure {
    let failure = match error.kind() {
        BackendErrorKind::Timeout => Failure::Timeout,
        BackendErrorKind::Unavailable | BackendErrorKind::RateLimited { .. } => Failure::Unavailable,
        BackendErrorKind::Rejected => Failure::Rejected,
        BackendErrorKind::CircuitOpen => Failure::CircuitOpen,
        BackendErrorKind::Invalid | BackendErrorKind::Cancelled => Failure::Other,
    };
    journal.error(Instant::now(), stage.as_str(), &error.to_string());
    failure
}
