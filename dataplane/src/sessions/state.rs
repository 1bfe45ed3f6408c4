//! The states of a session and the steps between them. Holds no session.

use std::fmt;

use serde::Serialize;

/// Where a session is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionState {
    /// Has a permit; not answered yet.
    Created,
    /// Answered: caller and agent talk.
    Active,
    /// The caller put the call on hold.
    OnHold,
    /// The call is being handed to another destination.
    Transferring,
    /// Hanging up, or being handed over to another pod.
    Ending,
    /// Over.
    Ended,
    /// Failed; over as soon as it is cleaned up.
    Error,
}

impl SessionState {
    /// Every state.
    pub const ALL: [Self; 7] =
        [Self::Created, Self::Active, Self::OnHold, Self::Transferring, Self::Ending, Self::Ended, Self::Error];

    /// The state's name in status, records and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Active => "active",
            Self::OnHold => "on_hold",
            Self::Transferring => "transferring",
            Self::Ending => "ending",
            Self::Ended => "ended",
            Self::Error => "error",
        }
    }

    /// Whether a session may step from here to `next`. Staying is always allowed: switches repeat their events.
    pub const fn may_become(self, next: Self) -> bool {
        use SessionState::{Active, Created, Ended, Ending, Error, OnHold, Transferring};
        matches!(
            (self, next),
            (Created, Created | Active | Ending | Ended | Error)
                | (Active, Active | OnHold | Transferring | Ending | Ended | Error)
                | (OnHold, OnHold | Active | Transferring | Ending | Ended | Error)
                // A transfer that was refused leaves the caller with the agent.
                | (Transferring, Transferring | Active | Ending | Ended | Error)
                | (Ending, Ending | Ended | Error)
                | (Error, Error | Ended)
                | (Ended, Ended)
        )
    }
}

impl fmt::Display for SessionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A step that the life of a session does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a session that is {from} can't become {to}")]
pub struct IllegalTransition {
    /// The state that it stays in.
    pub from: SessionState,
    /// The state that was asked for.
    pub to: SessionState,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leaves_ended_and_everything_can_reach_it() {
        for state in SessionState::ALL {
            assert_eq!(SessionState::Ended.may_become(state), state == SessionState::Ended, "{state}");
            assert!(state.may_become(SessionState::Ended), "{state}");
        }
    }

    #[test]
    fn a_call_that_was_answered_is_never_new_again_and_an_ending_one_never_active_again() {
        for state in SessionState::ALL.into_iter().filter(|state| *state != SessionState::Created) {
            assert!(!state.may_become(SessionState::Created), "{state}");
        }
        for state in [SessionState::Ending, SessionState::Error] {
            assert!(!state.may_become(SessionState::Active), "{state}");
        }
        assert!(!SessionState::Created.may_become(SessionState::OnHold));
        assert!(SessionState::Transferring.may_become(SessionState::Active), "a refused transfer");
    }

    #[test]
    fn names_are_the_same_in_json_and_in_logs() {
        for state in SessionState::ALL {
            assert_eq!(serde_json::to_string(&state).expect("plain"), format!("\"{state}\""));
        }
    }
}
