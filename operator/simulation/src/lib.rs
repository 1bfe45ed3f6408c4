//! A day of calls against a model of Kubernetes, to see what the operator's decisions come to: for its tests, and for `cargo run --release -p
//! sofia-operator --example simulate`. Talks to no cluster, and has no part in the operator's work.
//!
//! The model does what decides who goes: Deployment and ReplicaSet controllers with Kubernetes' own order of deletion, rolling
//! updates, readiness that is seen late, pods that take time to start, nodes that are drained, pods that drain themselves and
//! hand calls over at their deadline. Time goes in steps of ten seconds. What it leaves out: bandwidth and processor time, the
//! scheduler's reasons, and calls' set-up, so that a call is refused only when no pod has room.

mod calls;
mod cluster;
mod day;
mod report;
mod trunk;

pub use calls::{Calls, Lengths, poisson};
pub use cluster::{Cluster, ModelPod, STEP_SECONDS, Tally, time_of};
pub use day::{Day, Picture, run};
pub use trunk::{Chance, Plan, Trunk};
