//! The pods that hold the conversations.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ResourceRequirements, Toleration};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    pod::{self, SecretRef},
    pod_template::PodTemplate,
};

/// Pods that hold the conversations.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default = "DataPlane::default")]
pub struct DataPlane {
    /// Image of the data plane. Left out: the one of this release of the operator.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512), regex(pattern = r"^\S+$"))]
    pub image: Option<String>,

    /// Secrets of type kubernetes.io/dockerconfigjson with which the image is pulled.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub image_pull_secrets: Vec<SecretRef>,

    /// CPU and memory of each pod. The pod runs one media worker for each core that it may use.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "pod::resources_schema")]
    pub resources: Option<ResourceRequirements>,

    /// What the pods log.
    pub log_level: LogLevel,

    /// How callers' numbers appear in logs, status and records.
    pub caller_numbers: CallerNumbers,

    /// Codecs between FreeSWITCH and the pods. A caller's own codec goes straight through if it is among them; for all other
    /// callers, those with Opus above all, FreeSWITCH converts to the first.
    #[schemars(length(min = 1, max = 4))]
    #[x_kube(validation = Rule::new("self.all(codec, self.exists_one(other, other == codec))").message("name each codec once"))]
    pub codecs: Vec<Codec>,

    /// Whether keys are heard in the sound too, for carriers that send no telephone-events (RFC 4733).
    pub inband_dtmf: InbandDtmf,

    /// Labels that a node must have to run the pods.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "pod::labels_schema")]
    pub node_selector: BTreeMap<String, String>,

    /// Taints of nodes that the pods may run on all the same.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "pod::tolerations_schema")]
    pub tolerations: Vec<Toleration>,

    /// PriorityClass of the pods: those of a higher one displace others when nodes are full.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$"))]
    pub priority_class_name: Option<String>,

    /// Labels of the pods, beside the operator's own.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "pod::labels_schema")]
    pub pod_labels: BTreeMap<String, String>,

    /// Annotations of the pods, such as those that a service mesh or a network of your own reads.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "pod::annotations_schema")]
    pub pod_annotations: BTreeMap<String, String>,

    /// What the pods have beside what the operator gives them: placement, volumes, variables.
    pub pod_template: PodTemplate,
}

impl Default for DataPlane {
    fn default() -> Self {
        Self {
            image: None,
            image_pull_secrets: Vec::new(),
            resources: None,
            log_level: LogLevel::default(),
            caller_numbers: CallerNumbers::default(),
            codecs: vec![Codec::L16, Codec::G722, Codec::Pcmu, Codec::Pcma],
            inband_dtmf: InbandDtmf::default(),
            node_selector: BTreeMap::new(),
            tolerations: Vec::new(),
            priority_class_name: None,
            pod_labels: BTreeMap::new(),
            pod_annotations: BTreeMap::new(),
            pod_template: PodTemplate::default(),
        }
    }
}

/// What is logged, from least to most.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogLevel {
    /// What went wrong.
    Error,
    /// Also what looks wrong.
    Warn,
    /// Also the beginning and the end of each call.
    #[default]
    Info,
    /// Also what happens within a call.
    Debug,
    /// Everything.
    Trace,
}

/// How callers' numbers appear.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum CallerNumbers {
    /// Most digits are hidden.
    #[default]
    Masked,
    /// All digits are shown.
    Full,
}

/// Whether keys are heard in the sound.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum InbandDtmf {
    /// Until a call's first telephone-event.
    #[default]
    Auto,
    /// All the time; a key that comes as both is one.
    Enabled,
    /// Never.
    Disabled,
}

impl InbandDtmf {
    /// The word of the data plane's settings.
    pub fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Enabled => "enabled",
            Self::Disabled => "disabled",
        }
    }
}

/// An audio codec.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Codec {
    /// Uncompressed, 16 kHz: best sound and least work, 256 kbit/s.
    L16,
    /// Wideband, 64 kbit/s; FreeSWITCH needs mod_spandsp for it.
    G722,
    /// G.711 µ-law, 64 kbit/s.
    #[serde(rename = "PCMU")]
    Pcmu,
    /// G.711 A-law, 64 kbit/s.
    #[serde(rename = "PCMA")]
    Pcma,
}

impl Codec {
    /// The codec's name in SDP and in the data plane's settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::L16 => "L16",
            Self::G722 => "G722",
            Self::Pcmu => "PCMU",
            Self::Pcma => "PCMA",
        }
    }
}
