//! A stand-in for FreeSWITCH and its callers. It reads the same `freeswitch.xml`, takes calls from a script or a load
//! profile, connects out over ESL as FreeSWITCH does (checked against recordings of a real one), sends and receives RTP,
//! retries and takes over as the dialplan says, and reports what a caller would have heard.
//!
//! It speaks no SIP: a call begins with [`Switch::dial`], at the point where a real FreeSWITCH has read the caller's INVITE.
//!
//! As a process of its own it takes FreeSWITCH's place in a pod ([`server`]): started under the name `freeswitch` with
//! FreeSWITCH's options, commanded by `fs_cli`, with callers placed in it over HTTP ([`control`]).
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use switchsim::{CallPlan, Clip, SwitchBuilder};
//!
//! let switch = SwitchBuilder::demo()?.with_esl_hosts(&["127.0.0.1:8084"]).start()?;
//! let hello = Clip::from_wav("hello.wav")?;
//! let outcome = switch.call(CallPlan::new("15550100").from("+15550001").wait_for_agent().say(&hello).wait_for_agent()).await;
//! assert!(outcome.answered && outcome.agent_speech.len() >= 2);
//! # Ok(()) }
//! ```

#![deny(missing_docs)]

mod call;
mod cause;
mod channel;
mod commands;
mod config;
pub mod control;
mod dialplan;
mod esl;
mod handle;
pub mod load;
mod masked;
mod media;
mod millis;
mod plan;
pub mod pod;
mod report;
mod run_state;
mod script;
mod sdp;
pub mod server;
mod stats;
mod switch;
mod throttle;
mod timeline;
pub mod voices;

pub use cause::Cause;
pub use config::ConfigError;
pub use handle::{CallHandle, CallView, Progress, Snapshot, WaitError};
pub use media::{Burst, Clip, ClipError, Gap, HeardDigit, Impairments, LegReport, PumpReport};
pub use plan::{CallPlan, OfferKind, Step};
pub use report::{CallOutcome, EndedBy, Happening, TimelineEvent};
pub use script::ScriptError;
pub use stats::{Histogram, Spread};
pub use switch::{StartError, Switch, SwitchBuilder};
