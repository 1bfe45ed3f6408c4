//! Faults of a stream's parts: what keeps a panic in one of them to the stream that met it, and where tests put one in. It
//! mends nothing.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// The parts of a worker that work for one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Open,
    Rtp,
    Rtcp,
    Instruct,
    Serve,
    Report,
    Goodbye,
    /// Nobody's: what goes wrong here ends the worker.
    Round,
}

/// Does a part's work. `None`: it panicked, which is a bug of ours; the stream is broken and has to go.
pub(super) fn kept_to_one<R>(work: impl FnOnce() -> R) -> Option<R> {
    catch_unwind(AssertUnwindSafe(work)).ok()
}

/// Where a part would go wrong; only tests make it.
#[inline(always)]
pub(super) fn may_strike(part: Part) {
    #[cfg(test)]
    if injected::STRIKES.get() == Some(part) {
        panic!("a test wants {part:?} to fail");
    }
    let _ = part;
}

#[cfg(test)]
pub(super) mod injected {
    use std::cell::Cell;

    use super::Part;

    thread_local! {
        pub(in super::super) static STRIKES: Cell<Option<Part>> = const { Cell::new(None) };
    }
}
