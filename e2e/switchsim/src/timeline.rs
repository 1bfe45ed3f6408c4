//! What happened in one call, in order, and the bell that rings when something changes. Shared by the call's tasks, its handle
//! and the media thread, which rings for packets only while somebody listens. Never waits.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use crate::report::{Happening, TimelineEvent};

/// Longest timeline of a call: a pod that floods commands is not to fill the memory.
const MAX_TIMELINE: usize = 10_000;

/// See the module.
#[derive(Debug)]
pub(crate) struct Timeline {
    /// The call's name in the log.
    call: u64,
    epoch: Instant,
    events: Mutex<Vec<TimelineEvent>>,
    changed: Notify,
    listeners: AtomicUsize,
}

impl Timeline {
    /// Of the call that is dialled at `epoch`.
    pub(crate) fn new(call: u64, epoch: Instant) -> Self {
        Self { call, epoch, events: Mutex::default(), changed: Notify::new(), listeners: AtomicUsize::new(0) }
    }

    /// Notes what happens now.
    pub(crate) fn note(&self, what: Happening) {
        self.note_at(Instant::now(), what);
    }

    /// Notes what happened at `at`, a moment ago.
    pub(crate) fn note_at(&self, at: Instant, what: Happening) {
        tracing::debug!(call = self.call, ?what);
        let at_ms = at.saturating_duration_since(self.epoch).as_secs_f64() * 1e3;
        let mut events = self.events();
        if events.len() < MAX_TIMELINE {
            events.push(TimelineEvent { at_ms, what });
        }
        drop(events);
        self.ring();
    }

    /// What happened so far.
    pub(crate) fn events(&self) -> MutexGuard<'_, Vec<TimelineEvent>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something of the call changed that is no event of its own. Costs next to nothing while nobody listens.
    pub(crate) fn ring(&self) {
        if self.listeners.load(Ordering::Acquire) > 0 {
            self.changed.notify_waiters();
        }
    }

    /// Listens for changes until dropped.
    pub(crate) fn listen(&self) -> Listening<'_> {
        self.listeners.fetch_add(1, Ordering::AcqRel);
        Listening(self)
    }
}

/// Somebody who wants to know of changes.
pub(crate) struct Listening<'a>(&'a Timeline);

impl Listening<'_> {
    /// The next change. Make it, enable it, look at the call, and only then wait: what changes meanwhile is not missed.
    pub(crate) fn next(&self) -> Notified<'_> {
        self.0.changed.notified()
    }
}

impl Drop for Listening<'_> {
    fn drop(&mut self) {
        self.0.listeners.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::sync::Arc;

    #[tokio::test]
    async fn a_change_between_the_look_and_the_wait_is_not_missed() {
        let timeline = Arc::new(Timeline::new(1, Instant::now()));
        let listening = timeline.listen();
        let mut next = std::pin::pin!(listening.next());
        next.as_mut().enable();
        timeline.note(Happening::CallerHungUp);
        next.await;
        assert_eq!(timeline.events().len(), 1);
    }

    #[test]
    fn what_happened_a_moment_ago_bears_its_own_time() {
        let epoch = Instant::now();
        let timeline = Timeline::new(1, epoch);
        timeline.note_at(epoch + std::time::Duration::from_millis(40), Happening::Held);
        assert!((timeline.events()[0].at_ms - 40.0).abs() < 1e-6);
    }
}
