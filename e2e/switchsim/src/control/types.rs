//! What goes over the control API, for server and client. Never acts.

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::handle::Snapshot;
use crate::load::LoadReport;
use crate::media::Impairments;
use crate::plan::{OfferKind, STEP_TIMEOUT};
use crate::report::CallOutcome;
use crate::voices::Voice;

/// A caller to be placed: see [`super`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewCall {
    /// Number to dial.
    pub to: String,
    /// The caller's number; +15550001 if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The caller's display name; the number if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The dialplan context of the call; profile `edge`'s if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    /// Where the caller calls from, for access lists and conditions; 127.0.0.1 if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_addr: Option<IpAddr>,
    /// The codecs that the caller offers, best first, such as `opus,PCMU`; `G722,PCMU,PCMA` if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub codecs: Option<String>,
    /// How they are offered; in the INVITE if not given.
    #[serde(default)]
    pub offer: OfferKind,
    /// Whether the caller requires reliable provisional responses.
    #[serde(default)]
    pub requires_100rel: bool,
    /// Steps, one a line.
    #[serde(default)]
    pub script: Vec<String>,
    /// The network between the caller and the pod.
    #[serde(default)]
    pub impairments: Impairments,
    /// Whether what is heard is kept; true if not given.
    #[serde(default = "yes")]
    pub record: bool,
    /// How long each step may wait.
    #[serde(rename = "step_timeout_ms", with = "crate::millis", default = "step_timeout")]
    pub step_timeout: Duration,
    /// How long the caller lets it ring.
    #[serde(rename = "answer_timeout_ms", with = "crate::millis", default = "step_timeout")]
    pub answer_timeout: Duration,
}

const fn yes() -> bool {
    true
}

const fn step_timeout() -> Duration {
    STEP_TIMEOUT
}

impl NewCall {
    /// A call to that number with everything as if it were not given.
    #[must_use]
    pub fn new(to: impl Into<String>) -> Self {
        Self {
            to: to.into(),
            from: None,
            name: None,
            context: None,
            network_addr: None,
            codecs: None,
            offer: OfferKind::default(),
            requires_100rel: false,
            script: Vec::new(),
            impairments: Impairments::default(),
            record: true,
            step_timeout: STEP_TIMEOUT,
            answer_timeout: STEP_TIMEOUT,
        }
    }

    /// With these steps.
    #[must_use]
    pub fn script<S: Into<String>>(mut self, steps: impl IntoIterator<Item = S>) -> Self {
        self.script = steps.into_iter().map(Into::into).collect();
        self
    }
}

/// Whether a call is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallState {
    /// No.
    Running,
    /// Yes; there is a report.
    Ended,
}

/// A call in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallBrief {
    /// Leg A's id.
    pub id: String,
    /// Whether it is over.
    pub state: CallState,
    /// Number called.
    pub to: String,
    /// Number of the caller.
    pub from: String,
}

/// A call.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CallStatus {
    /// Leg A's id.
    pub id: String,
    /// Whether it is over.
    pub state: CallState,
    /// Number called.
    pub to: String,
    /// Number of the caller.
    pub from: String,
    /// The call while it runs.
    pub now: Option<Snapshot>,
    /// The call when it is over. What was heard is not in it: `heard.wav` has that.
    pub report: Option<CallOutcome>,
}

/// How long the calls of a load last, from the answer on, in seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Length {
    /// Until the load is stopped or its level falls.
    #[default]
    Forever,
    /// All the same.
    Fixed {
        /// How long.
        seconds: f64,
    },
    /// Anything between two, evenly.
    Uniform {
        /// Shortest.
        min_seconds: f64,
        /// Longest.
        max_seconds: f64,
    },
    /// As telephone calls are taken to be: many short ones, few long ones.
    Exponential {
        /// Mean.
        mean_seconds: f64,
    },
}

/// A load to be made: see [`super`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewLoad {
    /// Number that all callers dial.
    pub to: String,
    /// How many calls are kept up.
    pub calls: usize,
    /// Most new calls a second; 10 if not given.
    #[serde(default = "default_rate")]
    pub rate: f64,
    /// How long each lasts.
    #[serde(default)]
    pub length: Length,
    /// The voice that each caller speaks with, again and again; silence if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub say: Option<String>,
    /// When the load stops by itself, in seconds; never if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// What the callers' numbers begin with, before seven digits that differ; +1555 if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_prefix: Option<String>,
    /// Where the callers call from; 127.0.0.1 if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_addr: Option<IpAddr>,
    /// The network between each caller and the pod; each has chances of its own.
    #[serde(default)]
    pub impairments: Impairments,
    /// Seed of the lengths.
    #[serde(default)]
    pub seed: u64,
}

const fn default_rate() -> f64 {
    10.0
}

impl NewLoad {
    /// So many calls to that number, for ever, silent.
    #[must_use]
    pub fn new(to: impl Into<String>, calls: usize) -> Self {
        Self {
            to: to.into(),
            calls,
            rate: default_rate(),
            length: Length::Forever,
            say: None,
            seconds: None,
            from_prefix: None,
            network_addr: None,
            impairments: Impairments::default(),
            seed: 0,
        }
    }
}

/// Another level of a running load.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewLevel {
    /// How many calls are kept up from now on.
    pub calls: usize,
    /// Most new calls a second from now on; as before if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<f64>,
}

/// How far a load is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoadState {
    /// Keeps its level.
    Running,
    /// Its callers are hanging up.
    Stopping,
    /// Every call is in the report.
    Ended,
}

/// The calls of a load that are not over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct RunningTotals {
    /// How many.
    pub calls: usize,
    /// How many of them are answered.
    pub answered: usize,
    /// Those that more than one pod served so far.
    pub taken_over: usize,
    /// Packets from pods.
    pub packets_received: u64,
    /// Packets from pods that never came, so far.
    pub packets_lost: u64,
    /// The longest time without a packet in any of them, in milliseconds.
    pub longest_gap_ms: f64,
    /// Those with such a time of 60 ms or more.
    pub calls_with_gap: usize,
}

/// A load.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LoadStatus {
    /// Its id.
    pub id: String,
    /// How far it is.
    pub state: LoadState,
    /// How many calls it keeps up.
    pub level: usize,
    /// Calls made so far, those that run among them.
    pub offered: usize,
    /// The calls that are not over.
    pub running: RunningTotals,
    /// The calls that are.
    pub report: LoadReport,
    /// The first twenty that were refused, cut or had a time without packets of 60 ms or more, whole.
    pub notable: Vec<CallOutcome>,
}

/// The whole switch.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SwitchState {
    /// `fsctl pause inbound`: new calls are refused.
    pub paused_inbound: bool,
    /// `fsctl pause outbound`, which nothing here is subject to.
    pub paused_outbound: bool,
    /// `fsctl shutdown …` was asked for.
    pub shutting_down: bool,
    /// Callers whose legs are up, loads' too.
    pub calls: usize,
    /// `show channels count`: three for each call that a pod has answered.
    pub channels: usize,
    /// Since the start, in milliseconds.
    pub uptime_ms: f64,
}

/// The id of what was made.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Created {
    pub(super) id: String,
}

/// `GET /calls`
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct CallList {
    pub(super) calls: Vec<CallBrief>,
}

/// `GET /load`
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct LoadList {
    pub(super) loads: Vec<String>,
}

/// `GET /voices`
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct VoiceList {
    pub(super) voices: Vec<Voice>,
}

/// Any answer but success.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Failure {
    pub(super) error: String,
}
