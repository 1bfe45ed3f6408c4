//! The controller against a cluster in memory, a scenario a file.

#[path = "../support/mod.rs"]
mod support;

mod applied;
mod deletion;
mod faults;
mod fleet;
mod gateways;
mod idle;
mod interrupted;
mod pruned;
mod rbac;
mod secrets;
mod several;
mod wrong;
