//! Which calls the pod has, may take and must let go: admission, readiness, the list of sessions, drain. Never touches a
//! call's media or conversation; calls are told what to do through tokens and watched values.
//!
//! [`Admission`]'s permits are the truth of how many calls there are; readiness follows them, and a drain is over when the
//! last one is back. A pod whose packets leave late has fewer calls than permits and takes none all the same.

mod admission;
mod drain;
mod entries;
mod handover;
mod pace;
mod rate;
mod readiness;
mod registry;
mod state;

pub use admission::{Admission, AdmissionState, PaceFigures, PaceNews, Permit, Refusal};
pub use drain::{Drain, DrainOutcome};
pub use entries::{PodEntries, SessionEntries, WorkerEntries};
pub use handover::{Departure, Handover};
pub use pace::{PaceLimits, READING_INTERVAL, Reading};
pub use rate::TokenBucket;
pub use readiness::{NotReady, Readiness};
pub use registry::{DuplicateSession, NewSession, Registry, SessionGuard, SessionHandle, SessionSnapshot};
pub use state::{IllegalTransition, SessionState};
