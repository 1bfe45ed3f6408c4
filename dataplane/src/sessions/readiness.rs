//! Readiness: whether new calls should be sent here. Derived from admission; decides nothing itself.

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
    /// The port for FreeSWITCH's connections could not be opened again.
    PortClosed,
    /// Full, or was full and has not come down to the low-water mark.
    Full,
    /// Callers miss packets of the calls in progress, because they leave late.
    Late,
    /// The cores would not keep the pace of one call more.
    Busy,
}

impl NotReady {
    /// The reason as `GET /ready` names it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Draining => "draining",
            Self::Starting => "starting",
            Self::PortClosed => "port_closed",
            Self::Full => "full",
            Self::Late => "late",
            Self::Busy => "busy",
        }
    }
}

/// Whether new calls should be sent here. Clones share the switch. A backend that is away does not count: it is away for
/// the other pods too, and callers hear an apology here rather than nothing anywhere.
#[derive(Clone)]
pub struct Readiness {
    admission: Admission,
    started: Arc<AtomicBool>,
    port_closed: Arc<AtomicBool>,
}

impl Readiness {
    /// Not ready, because still starting.
    pub fn new(admission: Admission) -> Self {
        Self { admission, started: Arc::default(), port_closed: Arc::default() }
    }

    /// Says that listener and workers are up.
    pub fn set_started(&self) {
        self.started.store(true, Ordering::Release);
    }

    /// Says whether the port for calls is open, or could be.
    pub fn set_port(&self, open: bool) {
        self.port_closed.store(!open, Ordering::Release);
    }

    /// Checks now; of several reasons, the one that lasts longest.
    ///
    /// # Errors
    /// Why calls should go elsewhere.
    pub fn check(&self) -> Result<(), NotReady> {
        let state = self.admission.state();
        if state.draining {
            Err(NotReady::Draining)
        } else if !self.started.load(Ordering::Acquire) {
            Err(NotReady::Starting)
        } else if self.port_closed.load(Ordering::Acquire) {
            Err(NotReady::PortClosed)
        } else if state.active >= state.capacity || state.recovering {
            Err(NotReady::Full)
        } else if state.late {
            Err(NotReady::Late)
        } else if state.busy {
            Err(NotReady::Busy)
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::num::NonZeroU32;
    use std::time::{Duration, Instant};

    use crate::sessions::Reading;
    use crate::settings::CallLimits;

    #[test]
    fn a_pod_is_ready_once_started_and_while_there_is_room() {
        let now = Instant::now();
        let limits = CallLimits {
            max_sessions: 2,
            ready_low_water: 0,
            max_sessions_per_caller: None,
            setup_rate_per_second: None,
            max_lateness: Some(Duration::from_millis(40)),
            max_missed_percent: 1,
            max_load_percent: NonZeroU32::new(90),
        };
        let admission = Admission::new(limits, now);
        let readiness = Readiness::new(admission.clone());
        assert_eq!(readiness.check(), Err(NotReady::Starting));
        readiness.set_started();
        assert_eq!(readiness.check(), Ok(()));
        readiness.set_port(false);
        assert_eq!(readiness.check(), Err(NotReady::PortClosed));
        readiness.set_port(true);
        assert_eq!(readiness.check(), Ok(()));
        let calls = [admission.try_admit().expect("free"), admission.try_admit().expect("free")];
        assert_eq!(readiness.check(), Err(NotReady::Full));
        let [first, second] = calls;
        drop(first);
        assert_eq!(readiness.check(), Err(NotReady::Full), "a permit is free, but the mark is not reached");
        drop(second);
        assert_eq!(readiness.check(), Ok(()));
        let call = admission.try_admit().expect("free");
        admission.observe_pace(now, Reading { load: 1.0, calls: 1, ..Reading::default() });
        assert_eq!(readiness.check(), Err(NotReady::Busy));
        drop(call);
        for _ in 0..3 {
            admission.observe_pace(now, Reading { due: 100, missed: 10, ..Reading::default() });
        }
        assert_eq!(readiness.check(), Err(NotReady::Late));
        admission.start_draining();
        assert_eq!(readiness.check(), Err(NotReady::Draining));
    }
}
