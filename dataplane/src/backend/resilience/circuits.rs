//! The circuits of a process: one for each endpoint and stage, shared by all that ask it, so that what one agent's calls
//! find out about a server is known to the others'. It asks nothing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::breaker::{BreakerSettings, CircuitBreaker};
use crate::backend::{Stage, VoiceBackend};

/// The circuits. As many as there are endpoints in the settings.
#[derive(Debug)]
pub struct Circuits {
    settings: BreakerSettings,
    by_endpoint: Mutex<HashMap<(Stage, String), Arc<CircuitBreaker>>>,
}

impl Circuits {
    /// No circuits yet; they open and close by `settings`.
    #[must_use]
    pub fn new(settings: BreakerSettings) -> Self {
        Self { settings, by_endpoint: Mutex::default() }
    }

    /// The circuit of `stage` at `endpoint`, closed if nobody has asked for it before.
    #[must_use]
    pub fn at(&self, stage: Stage, endpoint: String) -> Arc<CircuitBreaker> {
        let mut circuits = self.by_endpoint.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(circuits.entry((stage, endpoint)).or_insert_with(|| Arc::new(CircuitBreaker::new(self.settings))))
    }

    /// The circuits of a backend's stages, as in [`Stage::ALL`]. A stage that names no endpoint has one to itself.
    pub(super) fn of(&self, backend: &dyn VoiceBackend) -> [Arc<CircuitBreaker>; 3] {
        Stage::ALL.map(|stage| match backend.endpoint(stage) {
            Some(endpoint) => self.at(stage, endpoint),
            None => Arc::new(CircuitBreaker::new(self.settings)),
        })
    }
}
