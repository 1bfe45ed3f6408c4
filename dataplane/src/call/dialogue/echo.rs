//! The echo test: the media worker sends the caller's sound back, and nothing is left to do but to watch the time, which goes on
//! over all the pods that the call visits.

use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::{Desk, Dialogue, Happening, Wish};
use crate::call::state::{self, Body};
use crate::turn::conversation::EndReason;

/// How often it is kept how long the call has lasted: a lost pod takes so much of it along.
const KEPT_EVERY: Duration = Duration::from_secs(15);

/// The dialogue of an echo test.
pub(in crate::call) struct Echo {
    longest: Duration,
    began: Instant,
    /// How long the call had lasted on other pods.
    lasted_before: Duration,
    /// What the pod before this one has kept is still to come, and stays until then.
    awaits: bool,
    /// When it is kept next.
    keep_at: Instant,
    wish: Option<Wish>,
}

/// What the next pod needs of an echo test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::call) struct SavedEcho {
    /// How long the call had lasted, in milliseconds.
    #[serde(default)]
    pub(in crate::call) elapsed_ms: u64,
}

impl Body for SavedEcho {
    const KIND: &'static str = "echo";

    fn fitted(&self, _: usize) -> Self {
        self.clone()
    }
}

impl Echo {
    /// An echo that began then, and lasts no longer than `longest` on all pods together. `awaits`: what the pod before this one left is
    /// still to come.
    pub(in crate::call) fn new(began: Instant, longest: Duration, awaits: bool) -> Self {
        Self { longest, began, lasted_before: Duration::ZERO, awaits, keep_at: began + KEPT_EVERY, wish: None }
    }

    fn lasted(&self, now: Instant) -> Duration {
        self.lasted_before.saturating_add(now.saturating_duration_since(self.began))
    }

    fn ends_at(&self) -> Instant {
        self.began + self.longest.saturating_sub(self.lasted_before)
    }

    fn keep(&mut self, now: Instant) {
        self.keep_at = now + KEPT_EVERY;
        if self.awaits {
            return;
        }
        let elapsed_ms = u64::try_from(self.lasted(now).as_millis()).unwrap_or(u64::MAX);
        self.wish = Some(Wish::Keep(state::write(&SavedEcho { elapsed_ms })));
    }
}

impl Dialogue for Echo {
    fn handle(&mut self, now: Instant, happening: Happening, desk: &mut Desk) {
        match happening {
            Happening::TakenOver { left, .. } => {
                self.awaits = false;
                match state::read_left::<SavedEcho>(left) {
                    Ok(Some(saved)) => self.lasted_before = Duration::from_millis(saved.elapsed_ms),
                    // Older releases kept nothing of an echo: its time begins anew.
                    Ok(None) => {}
                    Err(error) => desk.journal.error(now, "takeover", &error.to_string()),
                }
            }
            Happening::Answered | Happening::HandOver => self.keep(now),
            Happening::Stop(reason) => self.wish = Some(Wish::HangUp(reason)),
            _ => {}
        }
    }

    fn poll_backend(&mut self, _: &mut Context<'_>, _: &mut Desk) -> Poll<()> {
        Poll::Pending
    }

    fn poll_timeout(&self) -> Option<Instant> {
        Some(self.ends_at().min(self.keep_at))
    }

    fn handle_timeout(&mut self, now: Instant, _: &mut Desk) {
        if now >= self.ends_at() {
            self.wish = Some(Wish::HangUp(EndReason::MaxDuration));
        } else if now >= self.keep_at {
            self.keep(now);
        }
    }

    fn poll_wish(&mut self, _: &mut Desk) -> Option<Wish> {
        self.wish.take()
    }
}
