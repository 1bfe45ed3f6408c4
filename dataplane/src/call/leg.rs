//! One call's leg on the switch, from the answer to its end: what the switch is asked for, what it told, and where the
//! call stands with it. It knows nothing of what is talked about.

use std::time::{Duration, Instant};

use super::connection::Connection;
use super::{HANDED_OVER_VARIABLE, STATE_VARIABLE};
use crate::esl::{CommandKind, EslError, HangupCause, OutboundEvent, RequestError, RequestId};
use crate::turn::conversation::EndReason;

/// How long a call that is to end, or to be handed over, waits for the switch.
const FAREWELL: Duration = Duration::from_secs(2);
/// Where the switch keeps on leg A why the leg before this one ended.
const CAUSE_VARIABLE: &str = "last_bridge_hangup_cause";
/// How long the switch waits for a pod's next packet: `media_timeout` in its dialplan.
const MEDIA_TIMEOUT: Duration = Duration::from_secs(1);
/// Longer names of causes are cut, in characters; there is none.
const LONGEST_CAUSE: usize = 64;

/// How a call stands with the switch.
#[derive(Debug, Clone, Copy)]
enum Stand {
    /// It runs.
    Running,
    /// The switch ends it: it was told to, or does so by itself. Over at the latest then.
    Ending { reason: EndReason, until: Instant },
    /// It is left without hanging up, as soon as what the next pod needs is kept; at the latest then.
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
    /// How the caller's leg stands, as the switch names it. Only after [`Leg::ask_call_state`].
    CallState(Result<String, String>),
    /// The switch did not take a command.
    Refused {
        /// Which.
        what: CommandKind,
        /// Its words.
        text: String,
    },
    /// The leg has ended.
    HungUp {
        /// What that says of the call, where nothing is known of its end here.
        reason: EndReason,
        /// The switch's name for it.
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
    /// Reading it has failed once.
    read_failed: bool,
    /// Why the pod before this one was left is being read.
    reading_cause: Option<RequestId>,
    /// It had fallen silent.
    left_for_silence: bool,
    /// What was last kept on leg A for the next pod and is still on its way to the switch.
    saving: Option<RequestId>,
    /// Leg A says that attempts are to be counted anew.
    counted_anew: bool,
    transfer: Option<RequestId>,
    asking_state: Option<RequestId>,
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
            read_failed: false,
            reading_cause: None,
            left_for_silence: false,
            saving: None,
            counted_anew: false,
            transfer: None,
            asking_state: None,
            stand: Stand::Running,
        }
    }

    /// Sends what waits, as far as the socket takes it at once.
    pub(super) fn push(&mut self) {
        self.connection.push();
    }

    /// How many commands the switch has not answered yet.
    pub(super) fn unanswered(&self) -> usize {
        self.connection.outbound.unanswered()
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
                // That it was not given does not say that there is none.
                if result.is_err() && !std::mem::replace(&mut self.read_failed, true) {
                    self.read_state();
                    if self.is_reading() {
                        return None;
                    }
                }
                LegEvent::StateRead(result)
            }
            OutboundEvent::VariableRead { request, result } if self.reading_cause == Some(request) => {
                self.reading_cause = None;
                self.left_for_silence = result.is_ok_and(|cause| cause.as_deref() == Some("MEDIA_TIMEOUT"));
                return None;
            }
            OutboundEvent::ApiResult { request, result } if self.saving == Some(request) => {
                self.saving = None;
                // Kept or not: nothing better can be done now than to give the call away.
                if let Stand::Leaving { reason, .. } = self.stand {
                    self.stand = Stand::Over(reason);
                }
                LegEvent::Kept(result.map(drop))
            }
            OutboundEvent::ApiResult { request, result } if self.transfer == Some(request) => {
                self.transfer = None;
                LegEvent::Transferred(result.map(drop))
            }
            OutboundEvent::ApiResult { request, result } if self.asking_state == Some(request) => {
                self.asking_state = None;
                LegEvent::CallState(result)
            }
            OutboundEvent::CommandFailed { what, text } => LegEvent::Refused { what, text },
            OutboundEvent::HungUp { cause } => {
                let cause: String = cause.chars().take(LONGEST_CAUSE).collect();
                LegEvent::HungUp { reason: reason_of(&cause), cause }
            }
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

    /// Asks for what the pod before this one left, and why it was left.
    pub(super) fn read_state(&mut self) {
        // Answers come in the order of questions: this one is there when the state is.
        self.reading_cause = self.connection.outbound.get_leg_a_variable(Instant::now(), CAUSE_VARIABLE).ok();
        self.reading = self.connection.outbound.get_leg_a_variable(Instant::now(), STATE_VARIABLE).ok();
    }

    /// Whether the answer to [`Self::read_state`] is still to come.
    pub(super) fn is_reading(&self) -> bool {
        self.reading.is_some()
    }

    /// For how long the caller had heard nothing of the pod before this one when the switch left it.
    pub(super) fn silent_before(&self) -> Duration {
        if self.left_for_silence { MEDIA_TIMEOUT } else { Duration::ZERO }
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

    /// No pod goes on with this call: what was said is not for leg A's last event. Where the caller is sent elsewhere, and may come back, the
    /// dialplan takes it away.
    fn forget(&mut self) {
        // A leg that is gone has forgotten it.
        let _ = self.connection.outbound.set_leg_a_variable(Instant::now(), STATE_VARIABLE, "");
    }

    /// Connects the caller to `destination`, looked for in the dialplan's `context`; the outcome is
    /// [`LegEvent::Transferred`].
    pub(super) fn transfer(&mut self, destination: &str, context: &str) -> Result<(), RequestError> {
        if std::mem::take(&mut self.counted_anew) {
            // A caller who comes back from there has lost no pod.
            self.set(HANDED_OVER_VARIABLE, "");
        }
        self.transfer = Some(self.connection.outbound.transfer(Instant::now(), destination, context)?);
        Ok(())
    }

    /// Asks how the caller's leg stands; the outcome is [`LegEvent::CallState`].
    pub(super) fn ask_call_state(&mut self) -> Result<(), RequestError> {
        self.asking_state = Some(self.connection.outbound.get_leg_a_call_state(Instant::now())?);
        Ok(())
    }

    /// Ends the call for the caller as well, on purpose. For a fault of ours it is never ended: then it is left.
    pub(super) fn hang_up(&mut self, reason: EndReason) {
        if !self.is_running() {
            return;
        }
        if matches!(reason, EndReason::MediaLost | EndReason::Error) {
            return self.leave(reason);
        }
        // A call that could not be answered may fare better with another pod; all others are over for the caller as
        // well.
        let cause = if reason == EndReason::NotAnswered {
            HangupCause::NormalTemporaryFailure
        } else {
            self.forget();
            HangupCause::NormalClearing
        };
        self.stand = match self.connection.outbound.hang_up(Instant::now(), cause) {
            Ok(()) => Stand::Ending { reason, until: Instant::now() + FAREWELL },
            Err(_) => Stand::Over(reason),
        };
    }

    /// Tells the switch that whatever becomes of this leg, the attempts before it have not failed: the call is given away on purpose, or has
    /// gone well for long.
    pub(super) fn count_anew(&mut self) {
        self.counted_anew = true;
        self.set(HANDED_OVER_VARIABLE, &self.attempt.to_string());
    }

    /// The switch ends the leg by itself, soon.
    pub(super) fn await_end(&mut self, reason: EndReason) {
        if self.is_running() {
            self.stand = Stand::Ending { reason, until: Instant::now() + FAREWELL };
        }
    }

    /// Leaves without hanging up, so that the switch brings the caller to another pod: at once, or when what is on its
    /// way to leg A has come there.
    pub(super) fn leave(&mut self, reason: EndReason) {
        self.stand = match self.saving {
            Some(_) => Stand::Leaving { reason, until: Instant::now() + FAREWELL },
            None => Stand::Over(reason),
        };
    }

    /// The switch has nothing more to say about this call. The first reason that there was for its end stands.
    pub(super) fn is_gone(&mut self, reason: EndReason) {
        self.stand = Stand::Over(match self.stand {
            Stand::Ending { reason, .. } | Stand::Leaving { reason, .. } | Stand::Over(reason) => reason,
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
            Stand::Running | Stand::Ending { .. } | Stand::Leaving { .. } => None,
        }
    }

    /// When the switch is no longer waited for.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.stand {
            Stand::Ending { until, .. } | Stand::Leaving { until, .. } => Some(until),
            Stand::Running | Stand::Over(_) => None,
        }
    }
}

/// What a hang-up that nobody here asked for says of the call. A cause that says nothing clear is taken for the caller's.
fn reason_of(cause: &str) -> EndReason {
    use HangupCause as Cause;
    match HangupCause::from_name(cause) {
        // The switch has heard nothing of this pod for too long, and goes on to the next.
        Some(Cause::MediaTimeout) => EndReason::MediaLost,
        Some(Cause::BlindTransfer | Cause::AttendedTransfer | Cause::PickedOff) => EndReason::Transferred,
        Some(Cause::AllottedTimeout) => EndReason::MaxDuration,
        Some(Cause::ManagerRequest) => EndReason::Stopped,
        Some(
            Cause::Crash
            | Cause::SystemShutdown
            | Cause::SwitchCongestion
            | Cause::NormalCircuitCongestion
            | Cause::NormalTemporaryFailure
            | Cause::NetworkOutOfOrder
            | Cause::DestinationOutOfOrder
            | Cause::ServiceUnavailable
            | Cause::RecoveryOnTimerExpire
            | Cause::ProtocolError
            | Cause::Interworking,
        ) => EndReason::SwitchLost,
        _ => EndReason::CallerHungUp,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_hang_up_that_may_be_the_callers_is_taken_for_one() {
        for (cause, reason) in [
            ("NORMAL_CLEARING", EndReason::CallerHungUp),
            ("ORIGINATOR_CANCEL", EndReason::CallerHungUp),
            ("A_CAUSE_OF_ANOTHER_RELEASE", EndReason::CallerHungUp),
            ("MEDIA_TIMEOUT", EndReason::MediaLost),
            ("ATTENDED_TRANSFER", EndReason::Transferred),
            ("MANAGER_REQUEST", EndReason::Stopped),
            ("SYSTEM_SHUTDOWN", EndReason::SwitchLost),
            ("NORMAL_TEMPORARY_FAILURE", EndReason::SwitchLost),
        ] {
            assert_eq!(reason_of(cause), reason, "{cause}");
        }
    }
}
