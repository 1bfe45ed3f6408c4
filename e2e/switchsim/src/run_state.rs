//! Whether the switch takes calls and whether it is to end: what `fsctl` changes. Never ends anything itself.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use tokio::sync::watch;

/// What was asked of the whole switch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Nothing.
    Run,
    /// `fsctl shutdown elegant`: no new calls, and the end when the last one is over.
    Elegant,
    /// `fsctl shutdown asap`: the end as soon as there is no call, new ones until then.
    Asap,
    /// `fsctl shutdown`: calls are hung up.
    Now,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct RunState {
    pub(crate) started: Instant,
    paused_inbound: AtomicBool,
    paused_outbound: AtomicBool,
    stop: watch::Sender<Stop>,
}

impl RunState {
    pub(crate) fn new(started: Instant) -> Self {
        Self {
            started,
            paused_inbound: AtomicBool::new(false),
            paused_outbound: AtomicBool::new(false),
            stop: watch::Sender::new(Stop::Run),
        }
    }

    pub(crate) fn pause_inbound(&self, paused: bool) {
        self.paused_inbound.store(paused, Ordering::Relaxed);
    }

    pub(crate) fn pause_outbound(&self, paused: bool) {
        self.paused_outbound.store(paused, Ordering::Relaxed);
    }

    pub(crate) fn paused_inbound(&self) -> bool {
        self.paused_inbound.load(Ordering::Relaxed)
    }

    pub(crate) fn paused_outbound(&self) -> bool {
        self.paused_outbound.load(Ordering::Relaxed)
    }

    pub(crate) fn stop(&self, stop: Stop) {
        self.stop.send_replace(stop);
    }

    pub(crate) fn stopping(&self) -> Stop {
        *self.stop.borrow()
    }

    pub(crate) fn watch_stop(&self) -> watch::Receiver<Stop> {
        self.stop.subscribe()
    }

    /// A new call from outside is answered with 503; so is leg C's INVITE, which comes from this switch itself.
    pub(crate) fn refuses_inbound(&self) -> bool {
        self.paused_inbound() || matches!(self.stopping(), Stop::Elegant | Stop::Now)
    }
}
