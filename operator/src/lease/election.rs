//! Who leads, decided from what was seen of the lease and when. Knows no cluster and no clock: the time is an argument.
//!
//! The safety of it: a leader counts its time from *before* it sent a renewal, and stops after `renew_deadline`.
//! Another replica counts from *after* it saw that renewal, and waits for the longer `lease_duration`. So the first has
//! stopped before the second begins, as long as their clocks run at about the same speed.

use std::time::Duration;

use tokio::time::Instant;

/// How long what takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// How long others wait after a renewal before they take the lease; whole seconds.
    pub lease_duration: Duration,
    /// How long after its last renewal a leader stops.
    pub renew_deadline: Duration,
    /// Pause between two renewals, and between two looks at the lease.
    pub retry_period: Duration,
}

/// Why timings can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimingError {
    /// The leader would stop after another one began.
    #[error(
        "expected a renew deadline shorter than the lease duration, so that a leader ends before another begins; \
         came {renew:?} and {lease:?}"
    )]
    DeadlineTooLong {
        /// The renew deadline.
        renew: Duration,
        /// The lease duration.
        lease: Duration,
    },
    /// One slow answer would cost the lease.
    #[error(
        "expected a renew deadline of at least twice the retry period, so that a renewal can be tried twice; \
         came {renew:?} and {retry:?}"
    )]
    RetriesTooRare {
        /// The renew deadline.
        renew: Duration,
        /// The retry period.
        retry: Duration,
    },
    /// Leases have whole seconds.
    #[error("expected a lease duration of whole seconds, at least one; came {0:?}")]
    NotWholeSeconds(Duration),
}

impl Timing {
    /// Checks that the timings keep two replicas from leading at a time.
    ///
    /// # Errors
    /// See [`TimingError`].
    pub fn checked(self) -> Result<Self, TimingError> {
        let Self { lease_duration: lease, renew_deadline: renew, retry_period: retry } = self;
        if lease.as_secs() == 0 || lease.subsec_nanos() != 0 {
            return Err(TimingError::NotWholeSeconds(lease));
        }
        if renew >= lease {
            return Err(TimingError::DeadlineTooLong { renew, lease });
        }
        if retry.is_zero() || renew < retry * 2 {
            return Err(TimingError::RetriesTooRare { renew, retry });
        }
        Ok(self)
    }

    /// Pause until the next look, a little different each time so that replicas don't stay in step; `jitter` from 0 to
    /// 1.
    pub fn pause(&self, jitter: f64) -> Duration {
        self.retry_period.mul_f64(1.0 + 0.5 * jitter.clamp(0.0, 1.0))
    }

    /// How long one request may take: a second try must fit before the deadline.
    pub fn request(&self) -> Duration {
        self.renew_deadline / 2
    }
}

/// What a lease says. Two equal ones mean that nobody renewed in between.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Who holds it; empty: nobody.
    pub holder: String,
    /// How long after a renewal the holder counts as gone.
    pub valid: Duration,
    /// How often it changed hands.
    pub transitions: i32,
    /// The holder's own time of the renewal, microseconds. Compared for equality only: clocks differ.
    pub stamp: Option<i64>,
}

/// In which state a lease was found that can be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// There is none.
    Absent,
    /// Nobody holds it, or its holder did not renew it in time.
    Free,
    /// It is this replica's already: an earlier write went through although its answer was lost.
    Own,
}

/// What a candidate shall do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Look again after this pause.
    Wait(Duration),
    /// Write this record, guarded by the version that was seen.
    Write {
        /// What shall be written.
        record: Record,
        /// What it replaces.
        seen: Seen,
    },
}

/// One replica's part in the election.
#[derive(Clone, Debug)]
pub struct Election {
    identity: String,
    timing: Timing,
    observed: Option<(Record, Instant)>,
    held_until: Option<Instant>,
}

impl Election {
    /// A replica that has seen nothing yet.
    pub fn new(identity: &str, timing: Timing) -> Self {
        Self { identity: identity.to_owned(), timing, observed: None, held_until: None }
    }

    /// Its timings.
    pub fn timing(&self) -> Timing {
        self.timing
    }

    /// Its name in the lease.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// Takes note of what the lease says at `now`, and decides. `jitter` from 0 to 1.
    pub fn observe(&mut self, record: Option<Record>, now: Instant, jitter: f64) -> Step {
        let Some(record) = record else {
            self.observed = None;
            return Step::Write { record: self.own(0), seen: Seen::Absent };
        };
        let since = match &self.observed {
            Some((before, since)) if *before == record => *since,
            _ => now,
        };
        self.observed = Some((record.clone(), since));
        if record.holder == self.identity {
            return Step::Write { record: self.own(record.transitions), seen: Seen::Own };
        }
        // A holder that says too little, or is set up otherwise, gets at least what this replica would ask for itself.
        let runs_out = since + record.valid.max(self.timing.lease_duration);
        if record.holder.is_empty() || runs_out <= now {
            return Step::Write { record: self.own(record.transitions.saturating_add(1)), seen: Seen::Free };
        }
        Step::Wait(self.timing.pause(jitter))
    }

    /// Takes note that `record` was written by a request that was sent at `sent`; gives until when this replica leads.
    pub fn renewed(&mut self, record: Record, sent: Instant) -> Instant {
        self.observed = Some((record, sent));
        let until = sent + self.timing.renew_deadline;
        self.held_until = Some(until);
        until
    }

    /// Until when this replica leads.
    ///
    /// # Panics
    /// Before the first [`Self::renewed`].
    pub fn held_until(&self) -> Instant {
        self.held_until.expect("only a replica that acquired the lease renews it")
    }

    /// What a leader writes to renew.
    pub fn renewal(&self) -> Record {
        self.own(self.observed.as_ref().map_or(0, |(record, _)| record.transitions))
    }

    /// What a leader writes to give the lease back.
    pub fn release(&self) -> Record {
        Record { holder: String::new(), valid: Duration::from_secs(1), ..self.renewal() }
    }

    fn own(&self, transitions: i32) -> Record {
        Record { holder: self.identity.clone(), valid: self.timing.lease_duration, transitions, stamp: None }
    }
}

#[cfg(test)]
mod tests;
