//! What is left of a dialogue that met a fault: it does nothing, and waits for the leg to be left.

use std::task::{Context, Poll};
use std::time::Instant;

use super::{Desk, Dialogue, Happening, Wish};

/// No dialogue.
pub(in crate::call) struct Nothing;

impl Dialogue for Nothing {
    fn handle(&mut self, _: Instant, _: Happening, _: &mut Desk) {}

    fn poll_backend(&mut self, _: &mut Context<'_>, _: &mut Desk) -> Poll<()> {
        Poll::Pending
    }

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    fn handle_timeout(&mut self, _: Instant, _: &mut Desk) {}

    fn poll_wish(&mut self, _: &mut Desk) -> Option<Wish> {
        None
    }
}
