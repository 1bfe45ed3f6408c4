//! A trunk's data-plane pods as a fleet: what they say of themselves, how many there shall be, which one goes and when.
//!
//! | to find | look in |
//! |---|---|
//! | the decision, and the order in which a pod goes | [`decide`] |
//! | the order in which a decision is carried out | [`execute`] |
//! | how many pods the calls ask for | [`wish`] |
//! | why a number that jitters moves no pod | [`stabilize`] |
//! | pods on nodes that are going away | [`leaving`] |
//! | how many pods may be evicted at a time | [`eviction`] |
//! | which pods the replicas may be lowered by | [`removal`] |
//! | what is known of the fleet, from Kubernetes' objects | [`view`] |
//! | the pods' own figures, and telling them to drain | [`scrape`] |
//!
//! A day of calls against a model of Kubernetes, decided by this, is `operator/simulation`: a tool, no part of the operator.

pub mod decide;
pub mod eviction;
pub mod execute;
pub mod leaving;
pub mod removal;
pub mod scrape;
pub mod stabilize;
pub mod view;
pub mod wish;
