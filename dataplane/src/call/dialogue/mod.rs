//! The kinds of conversation that a call can hold, each behind [`Dialogue`]: it is told what happens on the call, works
//! with the call's media and journal, and says what is to become of the leg. It never sees the switch.

mod echo;
mod nothing;
mod turns;

use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::journal::Journal;
use crate::sessions::{SessionEntries, SessionGuard, SessionState};
use crate::turn::conversation::EndReason;
use crate::worker::{MediaEvent, StreamHandle};

pub(super) use echo::Echo;
#[cfg(test)]
pub(super) use echo::SavedEcho;
pub(super) use nothing::Nothing;
pub(crate) use turns::VoicePace;
pub(super) use turns::{Shared, Turns};

/// What a dialogue works with: the call's media, its journal, and its place on the pod's list.
pub(super) struct Desk {
    pub(super) stream: StreamHandle,
    pub(super) journal: Journal,
    pub(super) session: SessionGuard,
}

/// What happened on the call.
#[derive(Debug)]
pub(super) enum Happening {
    /// What the pod before this one left. Where there may have been such a pod, once, and before [`Happening::Answered`]; until then
    /// nothing is to be kept in its place.
    TakenOver {
        /// `None` where it left nothing; or why that can't be known.
        left: Result<Option<String>, String>,
        /// For how long the caller had heard nothing of it when the switch gave it up.
        silent: Duration,
        /// Whether a pod before this one has answered the caller.
        talking: bool,
        /// The caller is back from a transfer that failed: why, in words.
        returned: Option<&'static str>,
    },
    /// The call is answered and audio flows. Nothing is said before.
    Answered,
    /// Something in the media. What is the same for every kind (keys, packets that stop) is in the journal already.
    Media(MediaEvent),
    /// The caller holds, or does not any more.
    Held(bool),
    /// A transfer succeeded.
    Transferred,
    /// A transfer failed; the caller is still here.
    TransferFailed,
    /// The caller is gone.
    HungUp,
    /// Another pod goes on with the call: what it needs is to be kept, and the dialogue ends here.
    HandOver,
    /// Something outside ends the call: hang up now, for this reason.
    Stop(EndReason),
}

/// What is to become of the leg.
#[derive(Debug)]
pub(super) enum Wish {
    /// Keep this where the next pod finds it; it replaces what was kept before.
    Keep(String),
    /// End the call.
    HangUp(EndReason),
    /// Connect the caller elsewhere; answered with [`Happening::Transferred`] or [`Happening::TransferFailed`].
    Transfer(String),
}

/// One call's conversation, of whatever kind.
///
/// After each call of a method that takes the desk, wishes are drained. Its requests and connections are its own, and
/// end with it. A panic in it is a bug of ours, and costs the caller a moment: another pod goes on from what was last kept.
pub(super) trait Dialogue: Send {
    /// Takes in what happened.
    fn handle(&mut self, now: Instant, happening: Happening, desk: &mut Desk);

    /// Waits for whatever answers the caller, and takes in what came of it. Pending for ever where nothing does.
    fn poll_backend(&mut self, context: &mut Context<'_>, desk: &mut Desk) -> Poll<()>;

    /// When to call [`Self::handle_timeout`] if nothing happens before.
    fn poll_timeout(&self) -> Option<Instant>;

    /// Tells the time, when [`Self::poll_timeout`] has passed.
    fn handle_timeout(&mut self, now: Instant, desk: &mut Desk);

    /// What is to become of the leg next.
    fn poll_wish(&mut self, desk: &mut Desk) -> Option<Wish>;

    /// As what the session is shown; `None`: as the switch has it.
    fn session_state(&self) -> Option<SessionState> {
        None
    }

    /// Whether nobody is speaking or being answered just now: a good moment to give the call to another pod.
    fn is_between_turns(&self) -> bool {
        true
    }

    /// Adds how much it holds.
    fn count(&self, _: &mut SessionEntries) {}

    /// Why it is over, once it is.
    fn end_reason(&self) -> Option<EndReason> {
        None
    }
}
