//! One call's leg on the switch, from the answer to its end: what the switch is asked for, what it told, and where the
//! call stands with it. It knows nothing of what is talked about.

use std::time::{Duration, Instant};

use super::connection::Connection;
use super::{HANDED_OVER_VARIABLE, STATE_VARIABLE};
use crate::esl::{CommandKind, EslError, HangupCause, OutboundEvent, RequestError, RequestId};
use crate::turn::conversation::EndReason;

/// How long a call that is to end, or to be handed over, waits for the switch.
const FAREWELL: Duration = Duration::from_secs(2);

/// How a call stands with the switch.
#[derive(Debug, Clone, Copy)]
enum Stand {
    /// It runs.
    Running,
    /// The switch was told to end it, or to keep its state; over at the latest then.
    Leaving { reason: EndReason, until: Instant },
    /// Over.
    Over(EndReason),
}

/// What the switch told of the leg.
#[derive(Debug)]
pub(super) enum LegEvent {
    /// It is answered; audio flows.
    Answered,
    /// What the pod before this one left on leg A; `None` where it left nothing. Only after [`Leg::read_state`].
    StateRead(Result<Option<String>, String>),
    /// What was to be kept on leg A is there, or is not.
    Kept(Result<(), String>),
    /// The outcome of [`Leg::transfer`].
    Transferred(Result<(), String>),
    /// The switch did not take a command.
    Refused {
        /// Which.
        what: CommandKind,
        /// Its words.
        text: String,
    },
    /// The leg has ended.
    HungUp {
        /// The switch's name for the reason.
        cause: String,
    },
    /// The connection is lost, with an error where it was not merely closed.
    Lost(Option<EslError>),
}

/// One call's leg.
pub(super) struct Leg {
    connection: Connection,
    call_id: String,
    /// Which of the call's legs to a pod it is, from 1.
    attempt: u32,
    answered: bool,
    /// The state that the pod before this one left is being read.
    reading: Option<RequestId>,
    /// What was last kept on leg A for the next pod and is still on its way to the switch.
    saving: Option<RequestId>,
    transfer: Option<RequestId>,
    stand: Stand,
}

impl Leg {
    /// The leg of a connection over which an answer was sent.
    pub(super) fn new(connection: Connection, call_id: String, attempt: u32) -> Self {
        Self {
            connection,
            call_id,
            attempt,
            answered: false,
            reading: None,
            saving: None,
            transfer: None,
            stand: Stand::Running,
        }
    }

    /// Sends what waits, as far as the socket takes it at once.
    pub(super) fn push(&mut self) {
        self.connection.push();
    }

    /// What the switch tells next. Can be abandoned without losing anything. After [`LegEvent::Lost`] there is nothing.
    pub(super) async fn next(&mut self) -> LegEvent {
        loop {
            let event = self.connection.next().await;
            if let Some(event) = self.take_in(event) {
                return event;
            }
        }
    }

    fn take_in(&mut self, event: OutboundEvent) -> Option<LegEvent> {
        Some(match event {
            OutboundEvent::Answered => {
                self.answered = true;
                LegEvent::Answered
            }
            OutboundEvent::VariableRead { request, result } if self.reading == Some(request) => {
                self.reading = None;
                LegEvent::StateRead(result)
            }
            OutboundEvent::ApiResult { request, result } if self.saving == Some(request) => {
                self.saving = None;
                // Kept or not: nothing better can be done now than to give the call away.
                if let Stand::Leaving { reason: EndReason::HandedOver, .. } = self.stand {
                    self.stand = Stand::Over(EndReason::HandedOver);
                }
                LegEvent::Kept(result.map(drop))
            }
            OutboundEvent::ApiResult { request, result } if self.transfer == Some(request) => {
                self.transfer = None;
                LegEvent::Transferred(result.map(drop))
            }
            OutboundEvent::CommandFailed { what, text } => LegEvent::Refused { what, text },
            OutboundEvent::HungUp { cause } => LegEvent::HungUp { cause },
            OutboundEvent::Disconnected => LegEvent::Lost(None),
            OutboundEvent::Failed(error) => LegEvent::Lost(Some(error)),
            OutboundEvent::VariableRead { .. }
            | OutboundEvent::ApiResult { .. }
            | OutboundEvent::Lingering { .. }
            | OutboundEvent::Offered(_) => return None,
        })
    }

    /// Whether there may have been a pod before this one.
    pub(super) fn is_taken_over(&self) -> bool {
        self.attempt > 1
    }

    /// Asks for what the pod before this one left.
    pub(super) fn read_state(&mut self) {
        self.reading = self.connection.outbound.get_leg_a_variable(Instant::now(), STATE_VARIABLE).ok();
    }

    /// Whether the answer to [`Self::read_state`] is still to come.
    pub(super) fn is_reading(&self) -> bool {
        self.reading.is_some()
    }

    /// Whether audio flows.
    pub(super) fn is_answered(&self) -> bool {
        self.answered
    }

    /// Keeps what the next pod needs on leg A; it takes the place of what was there.
    pub(super) fn keep(&mut self, state: &str) {
        self.set(STATE_VARIABLE, state);
    }

    fn set(&mut self, variable: &str, value: &str) {
        match self.connection.outbound.set_leg_a_variable(Instant::now(), variable, value) {
            Ok(request) => self.saving = Some(request),
            Err(error) => {
                // Without leg A there is nowhere to keep it; the call itself is not harmed.
                tracing::debug!(call = self.call_id, variable, %error, "nothing was kept for the next pod");
                self.saving = None;
            }
        }
    }

    /// Connects the caller to `destination`, looked for in the dialplan's `context`; the outcome is
    /// [`LegEvent::Transferred`].
    pub(super) fn transfer(&mut self, destination: &str, context: &str) -> Result<(), RequestError> {
        self.transfer = Some(self.connection.outbound.transfer(Instant::now(), destination, context)?);
        Ok(())
    }

    /// Hangs up.
    pub(super) fn hang_up(&mut self, reason: EndReason) {
        if !self.is_running() {
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

    /// Tells the switch that the call is given away on purpose, which is no failed attempt.
    pub(super) fn announce_handover(&mut self) {
        self.set(HANDED_OVER_VARIABLE, &self.attempt.to_string());
    }

    /// From here on the leg is only waited for: until what was kept is there, or the switch ends it by itself.
    pub(super) fn leave(&mut self, reason: EndReason) {
        self.stand = Stand::Leaving { reason, until: Instant::now() + FAREWELL };
    }

    /// Leaves at once where nothing is on its way to leg A any more.
    pub(super) fn leave_if_kept(&mut self) {
        if let (Stand::Leaving { reason, .. }, None) = (self.stand, self.saving) {
            self.stand = Stand::Over(reason);
        }
    }

    /// The switch has nothing more to say about this call. The first reason that there was for its end stands.
    pub(super) fn is_gone(&mut self, reason: EndReason) {
        self.stand = Stand::Over(match self.stand {
            Stand::Leaving { reason, .. } | Stand::Over(reason) => reason,
            Stand::Running => reason,
        });
    }

    /// Whether nothing has been done yet to end it.
    pub(super) fn is_running(&self) -> bool {
        matches!(self.stand, Stand::Running)
    }

    /// Why it is over, once it is.
    pub(super) fn over(&self) -> Option<EndReason> {
        match self.stand {
            Stand::Over(reason) => Some(reason),
            Stand::Running | Stand::Leaving { .. } => None,
        }
    }

    /// When the switch is no longer waited for.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.stand {
            Stand::Leaving { until, .. } => Some(until),
            Stand::Running | Stand::Over(_) => None,
        }
    }
}
