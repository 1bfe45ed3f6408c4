//! Whether the caller holds. Nothing tells the pod: leg C has no media of its own, and a telephone that is muted, or suppresses silence,
//! sends as little as one that holds. So while nothing comes the switch is asked, again and again, how the caller's leg stands. It decides
//! when to ask and what an answer means; it neither asks nor reads a clock.

use std::time::{Duration, Instant};

/// From one answer to the next question.
const AGAIN: Duration = Duration::from_secs(4);

/// The watch of one call.
#[derive(Debug, Default)]
pub(super) struct HoldWatch {
    /// Whether anything ever came.
    heard: bool,
    /// Whether nothing comes.
    silent: bool,
    held: bool,
    next: Option<Instant>,
}

impl HoldWatch {
    /// The first packet has come from the caller.
    pub(super) const fn packets_came(&mut self) {
        self.heard = true;
    }

    /// Nothing comes from the caller any more: the switch is to be asked now.
    pub(super) const fn packets_stopped(&mut self, now: Instant) {
        self.silent = true;
        self.next = Some(now);
    }

    /// Packets come again. Whether the caller had held.
    pub(super) fn packets_resumed(&mut self) -> bool {
        self.silent = false;
        self.next = None;
        std::mem::take(&mut self.held)
    }

    /// When the switch is to be asked.
    pub(super) const fn poll_timeout(&self) -> Option<Instant> {
        self.next
    }

    /// Whether to ask now; then the answer is to come to [`Self::answered`].
    pub(super) fn asks(&mut self, now: Instant) -> bool {
        let due = self.next.is_some_and(|next| next <= now);
        if due {
            self.next = None;
        }
        due
    }

    /// How the caller's leg stands, or that the switch does not say: then a caller of whom nothing comes any more is taken to hold, because
    /// one who holds must not be hung up on for their silence; one who was never heard may still hear. `Some` when they hold, or do not any more, and it was not known.
    pub(super) fn answered(&mut self, now: Instant, state: Result<&str, &str>) -> Option<bool> {
        if !self.silent {
            return None;
        }
        self.next = Some(now + AGAIN);
        let holds = match state {
            Ok("HELD") => true,
            Ok("ACTIVE") => false,
            Ok(_) | Err(_) => self.heard,
        };
        (std::mem::replace(&mut self.held, holds) != holds).then_some(holds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn while_nothing_comes_the_switch_is_asked_again_and_again() {
        let now = Instant::now();
        let mut watch = HoldWatch::default();
        assert!(!watch.asks(now));
        watch.packets_stopped(now);
        assert!(watch.asks(now));
        assert!(!watch.asks(now), "one question at a time");
        assert_eq!(watch.answered(now, Ok("ACTIVE")), None, "muted");
        assert!(!watch.asks(now + AGAIN / 2));
        assert!(watch.asks(now + AGAIN));
        assert_eq!(watch.answered(now, Ok("HELD")), Some(true), "and now held");
        assert_eq!(watch.answered(now, Ok("HELD")), None);
        assert_eq!(watch.answered(now, Ok("ACTIVE")), Some(false), "back, and still muted");
        assert_eq!(watch.answered(now, Ok("HELD")), Some(true));
        assert!(watch.packets_resumed());
        assert_eq!(watch.poll_timeout(), None);
        watch.packets_stopped(now);
        assert!(!watch.packets_resumed());
    }

    #[test]
    fn where_the_switch_does_not_say_the_caller_is_taken_to_hold() {
        let now = Instant::now();
        for nothing in [Err("-ERR"), Ok(""), Ok("${Channel-Call-State}")] {
            let mut watch = HoldWatch::default();
            watch.packets_stopped(now);
            assert_eq!(watch.answered(now, nothing), None, "never heard");
            watch.packets_came();
            assert_eq!(watch.answered(now, nothing), Some(true));
        }
    }

    #[test]
    fn an_answer_that_comes_after_the_packets_means_nothing() {
        let now = Instant::now();
        let mut watch = HoldWatch::default();
        watch.packets_stopped(now);
        assert!(watch.asks(now));
        assert!(!watch.packets_resumed());
        assert_eq!(watch.answered(now, Ok("HELD")), None);
        assert_eq!(watch.poll_timeout(), None);
    }
}
