//! A stand-in for FreeSWITCH and its callers. It reads the same `freeswitch.xml`, takes calls from a script or a load
//! profile, connects out over ESL as FreeSWITCH does (checked against recordings of a real one), sends and receives RTP,
//! retries and takes over as the dialplan says, and reports what a caller would have heard.
//!
//! It speaks no SIP: a call begins with [`Switch::dial`], at the point where a real FreeSWITCH has read the caller's INVITE.
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
mod config;
mod dialplan;
mod esl;
mod handle;
pub mod load;
mod media;
mod plan;
pub mod pod;
mod report;
mod script;
mod sdp;
mod stats;
mod switch;

pub use cause::Cause;
pub use config::ConfigError;
pub use handle::{CallHandle, Progress, Snapshot, WaitError};
pub use media::{Burst, Clip, ClipError, Gap, HeardDigit, Impairments, LegReport, PumpReport};
pub use plan::{CallPlan, Step};
pub use report::{CallOutcome, EndedBy, Happening, TimelineEvent};
pub use script::ScriptError;
pub use stats::{Histogram, Spread};
pub use switch::{StartError, Switch, SwitchBuilder};
