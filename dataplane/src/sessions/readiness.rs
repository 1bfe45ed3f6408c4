//! Readiness: whether new calls should be sent here. Derived from the permits and a few switches; decides nothing itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::admission::Admission;

/// Why no calls should be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotReady {
    /// Being emptied.
    Draining,
    /// Not everything is up yet.
    Starting,
    /// Full, or was full and has not come down to the low-water mark.
    Full,
    /// The speech backend can't be reached.
    Backend,
}

impl NotReady {
    /// The reason as `GET /ready` names it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Draining => "draining",
            Self::Starting => "starting",
            Self::Full => "full",
            Self::Backend => "backend",
        }
    }
}

/// Whether new calls should be sent here. Clones share the switches.
#[derive(Clone)]
pub struct Readiness {
    admission: Admission,
    switches: Arc<Switches>,
}

struct Switches {
    started: AtomicBool,
    backend: AtomicBool,
}

impl Readiness {
    /// Not ready, because still starting; the backend is taken for good until someone says otherwise.
    pub fn new(admission: Admission) -> Self {
        Self {
            admission,
            switches: Arc::new(Switches { started: AtomicBool::new(false), backend: AtomicBool::new(true) }),
        }
    }

    /// Says that listener and workers are up.
    pub fn set_started(&self) {
        self.switches.started.store(true, Ordering::Release);
    }

    /// Says whether the backend can be reached.
    pub fn set_backend(&self, reachable: bool) {
        self.switches.backend.store(reachable, Ordering::Release);
    }

    /// Checks now; of several reasons, the one that lasts longest.
    ///
    /// # Errors
    /// Why calls should go elsewhere.
    pub fn check(&self) -> Result<(), NotReady> {
        let state = self.admission.state();
        if state.draining {
            Err(NotReady::Draining)
        } else if !self.switches.started.load(Ordering::Acquire) {
            Err(NotReady::Starting)
        } else if !state.accepting || state.recovering {
            Err(NotReady::Full)
        } else if !self.switches.backend.load(Ordering::Acquire) {
            Err(NotReady::Backend)
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::time::Instant;

    use crate::settings::CallLimits;

    #[test]
    fn a_pod_is_ready_once_started_and_while_there_is_room_and_a_backend() {
        let now = Instant::now();
        let limits = CallLimits {
            max_sessions: 2,
            ready_low_water: 0,
            max_sessions_per_caller: None,
            setup_rate_per_second: None,
        };
        let admission = Admission::new(limits, now);
        let readiness = Readiness::new(admission.clone());
        assert_eq!(readiness.check(), Err(NotReady::Starting));
        readiness.set_started();
        assert_eq!(readiness.check(), Ok(()));
        readiness.set_backend(false);
        assert_eq!(readiness.check(), Err(NotReady::Backend));
        readiness.set_backend(true);
        let calls = [admission.try_admit(now).expect("free"), admission.try_admit(now).expect("free")];
        assert_eq!(readiness.check(), Err(NotReady::Full));
        let [first, second] = calls;
        drop(first);
        assert_eq!(readiness.check(), Err(NotReady::Full), "a permit is free, but the mark is not reached");
        drop(second);
        assert_eq!(readiness.check(), Ok(()));
        admission.start_draining();
        assert_eq!(readiness.check(), Err(NotReady::Draining));
    }
}
