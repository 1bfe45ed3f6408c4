//! A cluster in memory for the controller's scenarios: an API server with its faults, the controllers that make pods, and pods that
//! answer. Checks nothing itself.

pub mod api;
pub mod cluster;
pub mod fleet;
pub mod merge;
pub mod requests;
pub mod world;
