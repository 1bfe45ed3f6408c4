//! What the driver can ask of the switch during a call. Nothing here waits: the outcome comes as an event.

use super::{Outbound, Phase};
use crate::esl::cause::HangupCause;
use crate::esl::command::{Command, CommandError};
use std::fmt;
use std::time::Instant;

/// Names a request whose outcome comes as an event; unique within its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(u32);

/// The commands of a session, as errors and events name them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CommandKind {
    /// `connect`.
    Connect,
    /// `linger`.
    Linger,
    /// `myevents`.
    MyEvents,
    /// `set` of the SDP answer.
    SetSdp,
    /// `answer`.
    Answer,
    /// `hangup`.
    HangUp,
    /// `exit`.
    Exit,
    /// `api uuid_setvar` on leg A.
    SetVariable,
    /// `api uuid_getvar` on leg A.
    GetVariable,
    /// `api eval` of leg A's call state.
    CallState,
    /// `api uuid_transfer` of leg A.
    Transfer,
    /// Any other `api` command.
    Api,
}

impl fmt::Display for CommandKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "connect",
            Self::Linger => "linger",
            Self::MyEvents => "myevents",
            Self::SetSdp => "set switch_m_sdp",
            Self::Answer => "answer",
            Self::HangUp => "hangup",
            Self::Exit => "exit",
            Self::SetVariable => "uuid_setvar",
            Self::GetVariable => "uuid_getvar",
            Self::CallState => "eval",
            Self::Transfer => "uuid_transfer",
            Self::Api => "api",
        })
    }
}

/// Why a request was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// An argument cannot be sent.
    #[error(transparent)]
    Argument(#[from] CommandError),
    /// The call is not in the state for it: not offered yet, answered already, hung up, or closed.
    #[error("the call is not in a state for {0}")]
    WrongState(CommandKind),
    /// The dialplan did not name the caller's channel (`X-Call-UUID`).
    #[error("leg A is not known")]
    NoLegA,
    /// Too many commands without a reply, or events that were not taken.
    #[error("too many requests are outstanding")]
    QueueFull,
}

impl Outbound {
    /// Answers the call with this SDP: `set` and `answer`, in one write.
    ///
    /// # Errors
    /// When the call is not just offered, or the SDP has something in it that no SDP of ours has.
    pub fn answer(&mut self, now: Instant, sdp: &str) -> Result<(), RequestError> {
        if self.phase != Phase::Offered {
            return Err(RequestError::WrongState(CommandKind::Answer));
        }
        let set = Command::set_local_sdp(sdp)?;
        self.check_room(2)?;
        self.send(now, CommandKind::SetSdp, None, &set);
        self.send(now, CommandKind::Answer, None, &Command::answer());
        self.phase = Phase::Answering;
        Ok(())
    }

    /// Hangs leg C up, answered or not. `NORMAL_CLEARING` ends the caller's call; with any other cause the dialplan may
    /// try another pod.
    ///
    /// # Errors
    /// When there is no call, or it has ended.
    pub fn hang_up(&mut self, now: Instant, cause: HangupCause) -> Result<(), RequestError> {
        if !(Phase::Offered..Phase::HungUp).contains(&self.phase) {
            return Err(RequestError::WrongState(CommandKind::HangUp));
        }
        self.check_room(1)?;
        self.send(now, CommandKind::HangUp, None, &Command::hang_up(cause));
        Ok(())
    }

    /// Leaves the call without hanging it up: the dialplan goes on, and another pod takes the caller over. The session
    /// ends with [`OutboundEvent::Disconnected`](super::OutboundEvent::Disconnected).
    ///
    /// # Errors
    /// When there is no call yet, or the session is over.
    pub fn leave(&mut self, now: Instant) -> Result<(), RequestError> {
        self.check_connected(CommandKind::Exit)?;
        self.check_room(1)?;
        self.send(now, CommandKind::Exit, None, &Command::exit());
        Ok(())
    }

    /// Sets a variable of leg A, where it outlives this pod; the outcome is an [`OutboundEvent::ApiResult`](super::OutboundEvent::ApiResult).
    ///
    /// # Errors
    /// As [`Command::uuid_setvar`], or when leg A is not known.
    pub fn set_leg_a_variable(&mut self, now: Instant, name: &str, value: &str) -> Result<RequestId, RequestError> {
        let command = Command::uuid_setvar(self.known_leg_a()?, name, value)?;
        self.request(now, CommandKind::SetVariable, &command)
    }

    /// Reads a variable of leg A, such as the state that the pod before this one left there when
    /// [`attempt`](crate::esl::ChannelData::attempt) is above 1; the outcome is an [`OutboundEvent::VariableRead`](super::OutboundEvent::VariableRead).
    ///
    /// # Errors
    /// As [`Command::uuid_getvar`], or when leg A is not known.
    pub fn get_leg_a_variable(&mut self, now: Instant, name: &str) -> Result<RequestId, RequestError> {
        let command = Command::uuid_getvar(self.known_leg_a()?, name)?;
        self.request(now, CommandKind::GetVariable, &command)
    }

    /// Asks how leg A stands: `HELD` when the caller holds, of which nothing else tells leg C. The outcome is an
    /// [`OutboundEvent::ApiResult`](super::OutboundEvent::ApiResult).
    ///
    /// # Errors
    /// As [`Command::call_state`], or when leg A is not known.
    pub fn get_leg_a_call_state(&mut self, now: Instant) -> Result<RequestId, RequestError> {
        let command = Command::call_state(self.known_leg_a()?)?;
        self.request(now, CommandKind::CallState, &command)
    }

    /// Transfers leg A; leg C ends with it. The outcome is an [`OutboundEvent::ApiResult`](super::OutboundEvent::ApiResult).
    ///
    /// # Errors
    /// As [`Command::uuid_transfer`], or when leg A is not known.
    pub fn transfer(&mut self, now: Instant, destination: &str, context: &str) -> Result<RequestId, RequestError> {
        let command = Command::uuid_transfer(self.known_leg_a()?, destination, context)?;
        self.request(now, CommandKind::Transfer, &command)
    }

    /// Runs any other API command; the outcome is an [`OutboundEvent::ApiResult`](super::OutboundEvent::ApiResult).
    ///
    /// # Errors
    /// As [`Command::api`].
    pub fn api(&mut self, now: Instant, command: &str, arguments: &str) -> Result<RequestId, RequestError> {
        let command = Command::api(command, arguments)?;
        self.request(now, CommandKind::Api, &command)
    }

    fn request(&mut self, now: Instant, what: CommandKind, command: &Command) -> Result<RequestId, RequestError> {
        self.check_connected(what)?;
        self.check_room(1)?;
        let request = RequestId(self.next_request);
        self.next_request = self.next_request.wrapping_add(1);
        self.send(now, what, Some(request), command);
        Ok(request)
    }

    fn known_leg_a(&self) -> Result<&str, RequestError> {
        self.leg_a().ok_or(RequestError::NoLegA)
    }

    fn check_connected(&self, what: CommandKind) -> Result<(), RequestError> {
        if matches!(self.phase, Phase::Connecting | Phase::Closed) {
            return Err(RequestError::WrongState(what));
        }
        Ok(())
    }

    /// Every pending command makes at most one event, so bounding their sum bounds both queues.
    fn check_room(&self, commands: usize) -> Result<(), RequestError> {
        if self.pending.len() + self.events.len() + commands > self.settings.max_outstanding {
            return Err(RequestError::QueueFull);
        }
        Ok(())
    }
}
