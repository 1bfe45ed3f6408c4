//! Limits of calls, records of them, and how pods end without cutting them.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::pod::SecretKeyRef;

/// Limits of calls.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default = "Sessions::default")]
pub struct Sessions {
    /// Calls that a pod takes at a time. A full pod is not ready and refuses further ones, which go to other pods.
    #[schemars(range(min = 1, max = 10000))]
    pub max_per_pod: u32,

    /// Calls that one caller's number may have on a pod at a time. Withheld numbers are not limited. Left out: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10000))]
    pub max_per_caller: Option<u32>,

    /// Longest call, in seconds.
    #[schemars(range(min = 60, max = 86400))]
    pub max_duration_seconds: u32,

    /// New calls that a pod takes a second. Left out: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10000))]
    pub setup_rate_per_second: Option<u32>,

    /// What the jitter buffers of callers' telephones hold: a packet that leaves a pod later than this is missed. 0: a pod takes calls as
    /// long as it has permits, whatever callers miss and however busy its cores are. Left out: 40.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 200))]
    pub max_lateness_milliseconds: Option<u32>,

    /// While callers miss more of a pod's packets than this, in percent, it takes no new call: its cores have too little left, however few
    /// calls it has. Calls that are up are not touched. Left out: 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 50))]
    pub max_missed_percent: Option<u32>,

    /// Most that calls may take of a pod's cores, in percent: it takes no call that would need more, before anybody misses anything.
    /// 0: nothing is foretold. Left out: 90.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub max_load_percent: Option<u32>,
}

impl Default for Sessions {
    fn default() -> Self {
        Self {
            max_per_pod: 100,
            max_per_caller: None,
            max_duration_seconds: 1800,
            setup_rate_per_second: None,
            max_lateness_milliseconds: None,
            max_missed_percent: None,
            max_load_percent: None,
        }
    }
}

/// Where call records go: who called and when, the turns, latencies, the quality of the audio and why the call ended.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Records {
    /// URL to which each call's record is posted, such as https://records.example.com/calls.
    #[schemars(length(min = 8, max = 2048), regex(pattern = r"^https?://[^\s@]+$"))]
    #[x_kube(validation = Rule::new("isURL(self)").message("write url as http(s)://host[:port]/path, such as https://records.example.com/calls"))]
    pub url: String,

    /// Secret with the bearer token of that URL, in the namespace of the VoiceTrunk. Left out: requests carry none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_secret_ref: Option<SecretKeyRef>,

    /// Whether records include what was said as a stereo WAV. Mind the law of recording calls where you are.
    #[serde(default)]
    pub audio: RecordAudio,
}

/// Whether call records include the audio.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum RecordAudio {
    /// Records are without audio.
    #[default]
    Excluded,
    /// Records include it, caller left, agent right.
    Included,
}

/// How pods end without cutting calls.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default = "Drain::default")]
#[x_kube(
    validation = Rule::new("!has(self.gracePeriodSeconds) || self.deadlineSeconds + 15 <= self.gracePeriodSeconds").message(
        "raise gracePeriodSeconds to at least deadlineSeconds + 15, or leave it out: \
         a pod needs the time between to hand its calls over"
    )
)]
pub struct Drain {
    /// How long the calls of a pod that ends run on, in seconds; what is left then is handed over to other pods, which
    /// callers hear as a short silence.
    #[schemars(range(min = 0, max = 86400))]
    pub deadline_seconds: u32,

    /// How long Kubernetes lets a pod end before it kills it, in seconds (terminationGracePeriodSeconds of the pods). Left
    /// out: deadlineSeconds and 60 more.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 15, max = 86460))]
    pub grace_period_seconds: Option<u32>,

    /// How many of the pods that take calls may be evicted at a time, in percent, rounded up to whole pods: by node
    /// autoscalers, which look before they choose a node, and by kubectl drain. An evicted pod ends as any other: its calls
    /// run on to the deadline, and another pod takes its place at once. 0: none but those that the operator has drained;
    /// node autoscalers then leave a node with such pods alone.
    #[schemars(range(min = 0, max = 100))]
    pub max_evicted_percent: u32,
}

impl Default for Drain {
    fn default() -> Self {
        // With the minute to hand over, ten minutes: more is not given to a pod by node autoscalers that nobody told otherwise.
        Self { deadline_seconds: 540, grace_period_seconds: None, max_evicted_percent: 25 }
    }
}

impl Drain {
    /// The pods' `terminationGracePeriodSeconds`: what the spec says, else a minute above the deadline.
    pub fn grace_period_seconds(&self) -> u32 {
        self.grace_period_seconds.unwrap_or(self.deadline_seconds.saturating_add(60))
    }
}
