//! Leader election by a `coordination.k8s.io/v1` Lease: one replica does the work, another stands by. Fail-stop: who
//! can't renew ends before anybody else can take over. Does none of the leader's work.
//!
//! What is decided and when is in [`election`], without clock and cluster; here it is carried out. Writes are guarded
//! by `resourceVersion`, so of two replicas that try, one is told that it lost. Clocks of different machines are never
//! compared: a lease is free when this replica has watched it unchanged for as long as it says that it is valid.
//!
//! A machine that is suspended as a whole stops this clock too. Such a leader finds out on waking, when its first
//! renewal is refused.

pub mod election;
pub mod writes;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{Api, ObjectMeta, PostParams};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use election::{Election, Record, Seen, Step, Timing};

/// Exit status of a process that lost its lease: `EX_TEMPFAIL` of sysexits.h. Started again, it stands by.
pub const EXIT_LEASE_LOST: u8 = 75;

/// Why a leader must stop at once.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Lost {
    /// Someone else holds the lease.
    #[error("the lease is held by {0:?} now; ending before two replicas do the same work")]
    Taken(String),
    /// The lease could not be renewed in time.
    #[error(
        "the lease could not be renewed within {0:?}; ending before another replica takes it. Is the API server reachable?"
    )]
    NotRenewed(Duration),
}

/// A replica that wants to lead.
pub struct Candidate {
    leases: Api<Lease>,
    name: String,
    election: Election,
    jitter: fn() -> f64,
}

/// A replica that leads as long as it keeps its lease.
pub struct Leader {
    candidate: Candidate,
    /// The lease as this replica wrote it last; nothing when it must be read before it is written.
    last: Option<Lease>,
    tenure: Tenure,
}

/// Until when a leader leads, for those who work on its behalf.
#[derive(Clone, Debug)]
pub struct Tenure(Arc<Mutex<Option<Instant>>>);

impl Tenure {
    /// Whether the lease is still held at `now`. Asked before each write ([`Tenure::writes_of`]), it keeps a process that was
    /// paused from writing what another replica decides by then.
    pub fn holds(&self, now: Instant) -> bool {
        self.until().is_some_and(|until| now < until)
    }

    fn until(&self) -> Option<Instant> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, until: Option<Instant>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = until;
    }

    /// Watches over the lease from a thread of its own, which runs when the runtime's are all busy or stuck, and calls
    /// `lost` (mostly: ends the process) once it is no longer held. Given back, the lease is not lost.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn guard(&self, lost: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
        let tenure = self.clone();
        std::thread::Builder::new().name("lease-guard".to_owned()).spawn(move || {
            while let Some(until) = tenure.until() {
                let left = until.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return lost();
                }
                std::thread::sleep(left);
            }
        })?;
        Ok(())
    }
}

impl Candidate {
    /// `identity` names this replica, mostly its pod's name with something random, so that a pod started again is
    /// another one.
    pub fn new(leases: Api<Lease>, name: &str, identity: &str, timing: Timing) -> Self {
        let election = Election::new(identity, timing);
        Self { leases, name: name.to_owned(), election, jitter: rand::random::<f64> }
    }

    /// Stands by until the lease is this replica's; nothing when `stop` was cancelled before.
    pub async fn acquire(mut self, stop: &CancellationToken) -> Option<Leader> {
        loop {
            let rest = tokio::select! {
                tried = self.try_once() => match tried {
                    Tried::Acquired { lease, until } => {
                        let tenure = Tenure(Arc::new(Mutex::new(Some(until))));
                        return Some(Leader { candidate: self, last: Some(*lease), tenure });
                    }
                    Tried::Wait(rest) => rest,
                },
                () = stop.cancelled() => return None,
            };
            tokio::select! {
                () = tokio::time::sleep(rest) => {}
                () = stop.cancelled() => return None,
            }
        }
    }

    async fn try_once(&mut self) -> Tried {
        let jitter = (self.jitter)();
        let timing = self.election.timing();
        let read = within(timing.request(), self.leases.get_opt(&self.name)).await;
        let lease = match read {
            Ok(lease) => lease,
            Err(error) => {
                tracing::warn!(%error, lease = self.name, "the lease could not be read");
                return Tried::Wait(timing.pause(jitter));
            }
        };
        match self.election.observe(lease.as_ref().map(record), Instant::now(), jitter) {
            Step::Wait(rest) => Tried::Wait(rest),
            Step::Write { record, seen } => {
                let sent = Instant::now();
                let written = within(timing.request(), self.write(&record, lease)).await;
                match written {
                    Ok(lease) => {
                        let until = self.election.renewed(record, sent);
                        let was = if seen == Seen::Absent { "new" } else { "free" };
                        tracing::info!(lease = self.name, was, "this replica leads");
                        Tried::Acquired { lease: Box::new(lease), until }
                    }
                    Err(error) => {
                        tracing::debug!(%error, lease = self.name, "the lease was not acquired");
                        Tried::Wait(timing.pause(jitter))
                    }
                }
            }
        }
    }

    async fn write(&self, record: &Record, old: Option<Lease>) -> Result<Lease, kube::Error> {
        let spec = Some(spec(record, old.as_ref(), Timestamp::now()));
        match old {
            Some(old) => {
                let lease = Lease { spec, ..old };
                self.leases.replace(&self.name, &PostParams::default(), &lease).await
            }
            None => {
                let metadata = ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() };
                self.leases.create(&PostParams::default(), &Lease { metadata, spec }).await
            }
        }
    }
}

enum Tried {
    Acquired { lease: Box<Lease>, until: Instant },
    Wait(Duration),
}

impl Leader {
    /// Until when this replica leads, for those who write on its behalf.
    pub fn tenure(&self) -> Tenure {
        self.tenure.clone()
    }

    /// Renews the lease until `stop` is cancelled, then gives it back. Cancel `stop` only when the leader's work has
    /// ended.
    ///
    /// # Errors
    /// When the lease is lost: the process must end at once.
    pub async fn keep(mut self, stop: CancellationToken) -> Result<(), Lost> {
        let timing = self.candidate.election.timing();
        loop {
            tokio::select! {
                () = tokio::time::sleep(timing.retry_period) => {}
                () = stop.cancelled() => {
                    self.give_back().await;
                    return Ok(());
                }
            }
            let until = self.candidate.election.held_until();
            match tokio::time::timeout_at(until, self.renew()).await {
                Ok(Err(lost)) => return Err(lost),
                Ok(Ok(())) if Instant::now() < self.candidate.election.held_until() => {}
                Ok(Ok(())) | Err(_) => return Err(Lost::NotRenewed(timing.renew_deadline)),
            }
        }
    }

    /// Renews once; that it failed for now is no error.
    async fn renew(&mut self) -> Result<(), Lost> {
        if let Some(last) = self.last.take()
            && !self.write(Some(last)).await.is_conflict()
        {
            return Ok(());
        }
        let timing = self.candidate.election.timing();
        match within(timing.request(), self.candidate.leases.get_opt(&self.candidate.name)).await {
            Ok(Some(lease)) => {
                let holder = record(&lease).holder;
                if holder != self.candidate.election.identity() {
                    self.tenure.set(Some(Instant::now()));
                    return Err(Lost::Taken(holder));
                }
                self.write(Some(lease)).await;
            }
            // Deleted by someone: whoever creates it anew holds it.
            Ok(None) => {
                self.write(None).await;
            }
            Err(error) => tracing::warn!(%error, "the lease could not be read to renew it"),
        }
        Ok(())
    }

    async fn write(&mut self, old: Option<Lease>) -> Written {
        let record = self.candidate.election.renewal();
        let sent = Instant::now();
        match within(self.candidate.election.timing().request(), self.candidate.write(&record, old)).await {
            Ok(lease) => {
                self.last = Some(lease);
                let until = self.candidate.election.renewed(record, sent);
                self.tenure.set(Some(until));
                Written::Yes
            }
            // Someone wrote in between, or deleted it: what it says now decides.
            Err(RequestError::Kube(kube::Error::Api(status))) if matches!(status.code, 404 | 409) => Written::Conflict,
            Err(error) => {
                tracing::warn!(%error, "the lease could not be renewed");
                Written::No
            }
        }
    }

    /// Gives the lease back, so that the next replica need not wait until it runs out.
    async fn give_back(self) {
        self.tenure.set(None);
        let candidate = &self.candidate;
        let freed = async {
            let Some(lease) = candidate.leases.get_opt(&candidate.name).await? else { return Ok(()) };
            if record(&lease).holder == candidate.election.identity() {
                candidate.write(&candidate.election.release(), Some(lease)).await?;
            }
            Ok(())
        };
        if let Err(error) = within(candidate.election.timing().request(), freed).await {
            tracing::warn!(%error, "the lease could not be given back; the next replica takes it when it has run out");
        }
    }
}

/// What became of a renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Written {
    Yes,
    Conflict,
    No,
}

impl Written {
    fn is_conflict(self) -> bool {
        self == Self::Conflict
    }
}

/// Why a request brought nothing.
#[derive(Debug, thiserror::Error)]
enum RequestError {
    #[error("{0}")]
    Kube(#[from] kube::Error),
    #[error("no answer within {0:?}")]
    Late(Duration),
}

async fn within<T>(limit: Duration, request: impl Future<Output = Result<T, kube::Error>>) -> Result<T, RequestError> {
    match tokio::time::timeout(limit, request).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(RequestError::Late(limit)),
    }
}

/// What matters of a Lease.
fn record(lease: &Lease) -> Record {
    let spec = lease.spec.clone().unwrap_or_default();
    Record {
        holder: spec.holder_identity.unwrap_or_default(),
        valid: Duration::from_secs(spec.lease_duration_seconds.and_then(|s| u64::try_from(s).ok()).unwrap_or_default()),
        transitions: spec.lease_transitions.unwrap_or_default(),
        stamp: spec.renew_time.map(|MicroTime(at)| at.as_microsecond()),
    }
}

/// A Lease's spec; its times are for people and for others to see that something changed.
fn spec(record: &Record, old: Option<&Lease>, now: Timestamp) -> LeaseSpec {
    let old = old.and_then(|lease| lease.spec.clone()).unwrap_or_default();
    let same_holder = old.holder_identity.as_deref() == Some(record.holder.as_str());
    LeaseSpec {
        acquire_time: old.acquire_time.filter(|_| same_holder).or(Some(MicroTime(now))),
        holder_identity: Some(record.holder.clone()),
        lease_duration_seconds: i32::try_from(record.valid.as_secs()).ok(),
        lease_transitions: Some(record.transitions),
        renew_time: Some(MicroTime(now)),
        ..old
    }
}

#[cfg(test)]
mod tests;
