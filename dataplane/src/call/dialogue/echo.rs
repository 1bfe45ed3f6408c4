//! The echo test: the media worker sends the caller's sound back, and nothing is left to do but to watch the time.

use std::task::{Context, Poll};
use std::time::Instant;

use super::{Desk, Dialogue, Happening, Wish};
use crate::turn::conversation::EndReason;

/// The dialogue of an echo test.
pub(in crate::call) struct Echo {
    until: Instant,
    ends: Option<EndReason>,
}

impl Echo {
    /// An echo that ends `until` then at the latest.
    pub(in crate::call) fn new(until: Instant) -> Self {
        Self { until, ends: None }
    }
}

impl Dialogue for Echo {
    fn handle(&mut self, _: Instant, happening: Happening, _: &mut Desk) {
        if let Happening::Stop(reason) = happening {
            self.ends = Some(reason);
        }
    }

    fn poll_backend(&mut self, _: &mut Context<'_>, _: &mut Desk) -> Poll<()> {
        Poll::Pending
    }

    fn poll_timeout(&self) -> Option<Instant> {
        Some(self.until)
    }

    fn handle_timeout(&mut self, now: Instant, _: &mut Desk) {
        if now >= self.until {
            self.ends = Some(EndReason::MaxDuration);
        }
    }

    fn poll_wish(&mut self, _: &mut Desk) -> Option<Wish> {
        self.ends.take().map(Wish::HangUp)
    }
}
