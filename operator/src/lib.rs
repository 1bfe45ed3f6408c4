//! The operator of Sofia Phone: turns `VoiceTrunk`s into FreeSWITCH and fleets of data-plane pods, and moves those fleets
//! without cutting calls.
//!
//! Where what is done:
//!
//! | to find | look in |
//! |---|---|
//! | how one VoiceTrunk becomes objects | [`controller`]: dereference → validate → build → apply → status |
//! | where a kind of object is built | `controller/build/`, a file a kind |
//! | FreeSWITCH's configuration and dialplan | [`freeswitch`] |
//! | how many pods there shall be and which one goes | [`fleet`] |
//! | how FreeSWITCH is asked for its gateways and channels | [`switch`] |
//! | names, labels and annotations of a trunk's objects | [`vocabulary`] |
//! | leader election | [`lease`] |
//! | the operator's own HTTP | [`server`], [`custom_metrics`] |

pub mod args;
pub mod controller;
pub mod custom_metrics;
pub mod fleet;
pub mod freeswitch;
pub mod lease;
pub mod metrics;
pub mod release;
mod seats;
pub mod secret_text;
pub mod server;
pub mod switch;
pub mod telemetry;
pub mod vocabulary;
