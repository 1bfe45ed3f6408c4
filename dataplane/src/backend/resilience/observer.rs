//! Where the figures about backend calls go. Only tells; what is done with them is the observer's affair.

use std::time::Duration;

use super::CircuitState;
use crate::backend::{BackendErrorKind, Stage};

/// What was done otherwise so that a language model answered all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Adaptation {
    /// It was asked without functions, so that it could neither end nor transfer the call, nor send keys.
    WithoutTools,
    /// The server does not stream: the reply was asked for as a whole.
    Whole,
    /// The prompt went before the caller's first words, not to the system.
    PromptInUser,
    /// It was asked the same again, since nothing came of its answer: its server threw away a function call that it had written
    /// wrongly, or there was not a word in it.
    Repeated,
    /// It was told only the last of what was said, since all of it was more than it can read.
    Shortened,
    /// It was told why its function call was not carried out, and asked again.
    Corrected,
}

impl Adaptation {
    /// Every one of them.
    pub const ALL: [Self; 6] =
        [Self::WithoutTools, Self::PromptInUser, Self::Whole, Self::Repeated, Self::Shortened, Self::Corrected];

    /// The name in metrics and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WithoutTools => "without_tools",
            Self::PromptInUser => "prompt_in_user",
            Self::Whole => "whole",
            Self::Repeated => "repeated",
            Self::Shortened => "shortened",
            Self::Corrected => "corrected",
        }
    }
}

/// Hears of every call to one backend. Called on the call's task: an implementation counts and returns.
///
/// A fallback backend has an observer of its own, so an implementation that tells backends apart is made once for each.
pub trait BackendObserver: Send + Sync + 'static {
    /// A call came to its end.
    ///
    /// `outcome` is that of the whole call after its retries, and for a stream that of the whole stream; a stream dropped
    /// after it had begun is a success, a call dropped before its answer [`BackendErrorKind::Cancelled`], a call refused
    /// by the breaker [`BackendErrorKind::CircuitOpen`]. `elapsed` is the time to the answer, for streams to their first
    /// item, or to the failure if there was none.
    fn call(&self, stage: Stage, outcome: Result<(), BackendErrorKind>, elapsed: Duration) {
        let _ = (stage, outcome, elapsed);
    }

    /// An attempt failed and another follows.
    fn retry(&self, stage: Stage) {
        let _ = stage;
    }

    /// A language model answered, or is asked once more, otherwise than was meant first. Once a turn for each way.
    fn adapted(&self, how: Adaptation) {
        let _ = how;
    }

    /// The stage's circuit is in `state` now. May repeat a state.
    fn circuit(&self, stage: Stage, state: CircuitState) {
        let _ = (stage, state);
    }
}

/// Hears everything and does nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoObserver;

impl BackendObserver for NoObserver {}
