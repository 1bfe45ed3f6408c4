//! What goes into a conversation and what comes out of it: plain values, shared with the driver and the call's record.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::turn::{history::Message, state::SavedState, tool::ToolCall};

/// Numbers the turns of a call, across pods: what the caller said and what came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TurnId(pub u32);

/// Numbers the clips of a call on one pod: pieces of the agent's speech, a sentence or so each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ClipId(pub u32);

/// Why a backend could not do what was asked: as much as a dialogue needs to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// Nothing came in time.
    Timeout,
    /// It cannot be reached, or is overloaded.
    Unavailable,
    /// It refused the request.
    Rejected,
    /// It was not asked: it has failed too often just now.
    CircuitOpen,
    /// The model wants something done that can't be.
    Misused,
    /// Anything else, an empty reply among it.
    Other,
}

/// What failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Speech to text.
    Transcribe,
    /// Text to text.
    Generate,
    /// Text to speech, or playing it.
    Speak,
    /// Connecting the caller elsewhere.
    Transfer,
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// The call is answered and audio flows. Nothing is said before.
    Answered,
    /// The caller has begun to speak.
    SpeechStarted,
    /// What had begun was too short to be speech.
    SpeechDiscarded,
    /// What has begun is short, and silence has followed it for some time: it will likely be discarded.
    SpeechFaltered,
    /// It goes on all the same.
    SpeechResumed,
    /// The caller has finished speaking. Where [`Action::Transcribe`] follows, it means this utterance's audio; where
    /// it does not, the audio is to be dropped.
    Utterance {
        /// Speech in it.
        speech: Duration,
        /// When the caller stopped: before the silence that showed it.
        ended_at: Instant,
    },
    /// The caller speaks over the agent. The media plane has faded the agent out and paused its queue by itself;
    /// exactly one of [`Action::ResumePlayback`] and [`Action::ClearPlayback`] follows, sooner or later, unless the
    /// call ends.
    BargeIn,
    /// An utterance has been transcribed; empty where nothing was said.
    Transcribed {
        /// The turn of the [`Action::Transcribe`].
        turn: TurnId,
        /// What was said.
        result: Result<String, Failure>,
    },
    /// More of a reply.
    Reply {
        /// The turn of the [`Action::Generate`].
        turn: TurnId,
        /// Its next words; they may end anywhere.
        text: String,
    },
    /// The model calls a tool.
    ReplyTool {
        /// The turn of the [`Action::Generate`].
        turn: TurnId,
        /// What it asks for; checked again here.
        call: ToolCall,
    },
    /// What has come of a reply is whole, and need not wait for more.
    ReplyPaused {
        /// The turn of the [`Action::Generate`].
        turn: TurnId,
    },
    /// All that came of a reply so far was a thought and no answer.
    ReplyTakenBack {
        /// The turn of the [`Action::Generate`].
        turn: TurnId,
    },
    /// The model calls a tool in a way in which it can't be carried out, and telling it so did not help.
    ReplyRefused {
        /// The turn of the [`Action::Generate`].
        turn: TurnId,
        /// Why: of [`crate::turn::tool::ToolError`]'s making, without words of anybody's.
        reason: String,
    },
    /// A reply is complete, or will not be.
    ReplyEnded {
        /// The turn of the [`Action::Generate`].
        turn: TurnId,
        /// Whether it is complete.
        result: Result<(), Failure>,
    },
    /// A clip's first frame has left.
    ClipStarted {
        /// Which.
        clip: ClipId,
    },
    /// A clip was played to its end.
    ClipEnded {
        /// Which.
        clip: ClipId,
    },
    /// A clip was cut off, after [`Action::ClearPlayback`]. Due for the clip that had started; others need none.
    ClipCut {
        /// Which.
        clip: ClipId,
        /// How much of its audio was played, 0 to 1; reckoned, where its length is not known yet.
        heard: f32,
    },
    /// A clip broke off: what there was of it was played, and the rest can't be made.
    ClipBrokeOff {
        /// Which.
        clip: ClipId,
        /// How much of what it was to be was played, 0 to 1.
        heard: f32,
        /// Why.
        failure: Failure,
    },
    /// A clip could not be made. It is out of the queue.
    ClipFailed {
        /// Which.
        clip: ClipId,
        /// Why.
        failure: Failure,
    },
    /// The caller pressed a key: `0`–`9`, `*`, `#`, `A`–`D`; others are ignored.
    Dtmf {
        /// The key.
        digit: char,
    },
    /// The caller put the call on hold. Every clock but the call's own stands still, and nothing new is spoken.
    Hold,
    /// The caller is back.
    Unhold,
    /// A transfer succeeded.
    Transferred,
    /// A transfer failed; the caller is still here.
    TransferFailed,
    /// The caller is gone.
    CallerHungUp,
    /// The pod gives its calls away: the state is saved, and the conversation ends here without hanging up.
    HandOver,
    /// Something outside the conversation ends it: hang up now, for this reason.
    Stop {
        /// Why.
        reason: EndReason,
    },
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Transcribe the utterance that was just given in; answer with [`Input::Transcribed`].
    Transcribe {
        /// Its turn.
        turn: TurnId,
    },
    /// Transcribe what came so far of the utterance that goes on, and let it go on; answer with [`Input::Transcribed`].
    /// It is never cancelled: an answer that comes too late is ignored.
    Glimpse {
        /// A turn that will be none.
        turn: TurnId,
    },
    /// Ask the model; answer with [`Input::Reply`], [`Input::ReplyTool`] and at last [`Input::ReplyEnded`].
    Generate {
        /// Its turn.
        turn: TurnId,
        /// What the caller said and has no answer to yet.
        text: String,
        /// What was said before, oldest first, without `text` and without the prompt.
        history: Vec<Message>,
    },
    /// Make speech of this text and play it after everything queued so far. Several are given at once, so that the next
    /// can be made while one is played.
    Speak {
        /// The turn that it answers; `None` for the agent's own phrases.
        turn: Option<TurnId>,
        /// Its number, greater than any before.
        clip: ClipId,
        /// What to say: one line, never empty.
        text: String,
    },
    /// Play the pre-rendered apology after everything queued so far.
    PlayApology {
        /// Its number, greater than any before.
        clip: ClipId,
    },
    /// Stop transcribing and generating for this turn. Its answers may come late all the same: they are ignored. Clips
    /// are not touched, be they of this turn or not: only [`Action::ClearPlayback`] stops those.
    Cancel {
        /// The turn.
        turn: TurnId,
    },
    /// Go on playing where [`Input::BargeIn`] paused.
    ResumePlayback,
    /// Drop this clip, which has not begun to be heard: one before it failed. It is not answered.
    DropClip {
        /// Which.
        clip: ClipId,
    },
    /// Drop every clip that was given so far, the one being played and those still being made too, and lift the pause
    /// if there is one. Answer with [`Input::ClipCut`] for the clip that had started.
    ClearPlayback,
    /// Keep this where the next pod finds it; it replaces the one before.
    SaveState(Box<SavedState>),
    /// End the call. The last action but for marks.
    HangUp {
        /// Why.
        cause: EndReason,
    },
    /// Connect the caller elsewhere; answer with [`Input::Transferred`], [`Input::TransferFailed`] or
    /// [`Input::CallerHungUp`], which then counts as transferred.
    Transfer {
        /// Where to; checked by [`ToolCall::validate`] and [`crate::turn::tool::Transfers::check`].
        destination: String,
    },
    /// Send these keys to the caller's side.
    SendDtmf {
        /// Keys, and `w` for half a second's pause.
        digits: String,
    },
    /// Nothing to do: something for the log, the metrics or the record.
    Mark(Mark),
}

/// Something worth recording.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "mark", rename_all = "snake_case")]
pub enum Mark {
    /// The conversation has begun.
    Started {
        /// How many pods had it before.
        takeovers: u32,
    },
    /// The caller has said or keyed something.
    TurnStarted {
        /// The turn's number.
        turn: TurnId,
    },
    /// What the caller said or keyed, as the model gets it.
    CallerSaid {
        /// The turn.
        turn: TurnId,
        /// The words.
        text: String,
    },
    /// What the caller heard the agent say, apologies excepted.
    AgentSaid {
        /// The turn that it answered.
        turn: Option<TurnId>,
        /// The words; they end in [`crate::turn::history::INTERRUPTED`] where they were cut off.
        text: String,
    },
    /// The first words of a reply are audible.
    ReplyAudible {
        /// The turn.
        turn: TurnId,
        /// Milliseconds since the caller stopped speaking: how fast the agent seems to them. `None` after a takeover.
        #[serde(skip_serializing_if = "Option::is_none")]
        latency_ms: Option<u64>,
    },
    /// The caller speaks over the agent.
    BargeIn,
    /// The agent was stopped for good.
    Interrupted {
        /// The turn that it was answering.
        turn: Option<TurnId>,
    },
    /// The caller showed over the agent that they listen; the agent goes on. It is not in the history.
    Backchannel {
        /// The turn that would have been.
        turn: TurnId,
        /// The words.
        text: String,
    },
    /// What seemed to be speech was none.
    FalseAlarm,
    /// Something failed.
    Failed {
        /// What.
        step: Step,
        /// How.
        failure: Failure,
    },
    /// The agent apologises.
    Apology,
    /// A silent caller is asked whether they are there.
    SilencePrompt {
        /// Counts from one.
        number: u32,
    },
    /// The model used a tool.
    Tool {
        /// The turn.
        turn: TurnId,
        /// What it asked for.
        call: ToolCall,
    },
    /// The model asked for what it may not.
    ToolRefused {
        /// The turn.
        turn: TurnId,
        /// Why it was refused.
        reason: String,
    },
    /// The caller put the call on hold, or came back.
    OnHold {
        /// Whether it is on hold now.
        held: bool,
    },
    /// The conversation is over.
    Ended {
        /// Why.
        reason: EndReason,
    },
}

/// Why a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// The caller hung up.
    CallerHungUp,
    /// The model hung up.
    AgentHungUp,
    /// The caller was connected elsewhere.
    Transferred,
    /// The call reached its longest duration.
    MaxDuration,
    /// The caller said nothing, however often they were asked.
    CallerSilent,
    /// The backend failed too often in a row.
    BackendFailed,
    /// Another pod goes on with it.
    HandedOver,
    /// An administrator ended it.
    Stopped,
    /// It was never answered.
    NotAnswered,
    /// The media between the switch and this pod were lost; another pod goes on.
    MediaLost,
    /// The switch's connection was lost.
    SwitchLost,
    /// Something went wrong inside; another pod goes on.
    Error,
}

impl EndReason {
    /// As in records and metric labels: the name in snake_case.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CallerHungUp => "caller_hung_up",
            Self::AgentHungUp => "agent_hung_up",
            Self::Transferred => "transferred",
            Self::MaxDuration => "max_duration",
            Self::CallerSilent => "caller_silent",
            Self::BackendFailed => "backend_failed",
            Self::HandedOver => "handed_over",
            Self::Stopped => "stopped",
            Self::NotAnswered => "not_answered",
            Self::MediaLost => "media_lost",
            Self::SwitchLost => "switch_lost",
            Self::Error => "error",
        }
    }

    /// Was it an end that nobody wanted?
    pub fn is_error(self) -> bool {
        matches!(self, Self::BackendFailed | Self::NotAnswered | Self::MediaLost | Self::SwitchLost | Self::Error)
    }
}

/// What a conversation is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Not answered yet.
    Created,
    /// The greeting is being made or played.
    Greeting,
    /// It is the caller's turn.
    Listening,
    /// The caller speaks, or presses keys.
    CallerSpeaking,
    /// What they said is being transcribed.
    Transcribing,
    /// An answer is being written and none of it is on its way to the caller yet.
    Thinking,
    /// Speech is being made or played.
    Speaking,
    /// The caller speaks over the agent, which holds its tongue until it is known what they said.
    Interrupted,
    /// The last words.
    Closing,
    /// The caller is being connected elsewhere.
    Transferring,
    /// It is over.
    Ended,
}
