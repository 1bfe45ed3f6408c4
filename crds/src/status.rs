//! What a `VoiceTrunk` has become. Totals only: what concerns single calls and pods is in the metrics.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::schema::structural;

/// What a VoiceTrunk has become; written by the operator.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default = "VoiceTrunkStatus::default")]
#[schemars(transform = structural)]
pub struct VoiceTrunkStatus {
    /// Generation of the spec that this status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    pub observed_generation: Option<i64>,

    /// Ready (callers can be answered), Available (enough pods are ready), Progressing (something is being changed),
    /// Draining (pods end while their calls run on), Degraded (something is wrong and the message says what) and
    /// BuiltInBackend (callers are answered by the built-in backend, which understands nobody).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions_schema")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,

    /// Data-plane pods.
    #[schemars(range(min = 0, max = 10000))]
    pub replicas: u32,

    /// Data-plane pods that shall take calls: those that are going are not among them.
    #[schemars(range(min = 0, max = 10000))]
    pub desired_replicas: u32,

    /// Data-plane pods that take calls now.
    #[schemars(range(min = 0, max = 10000))]
    pub ready_replicas: u32,

    /// Label selector of the data-plane pods, for autoscalers.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub selector: Option<String>,

    /// Calls, over all pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sessions: Option<SessionTotals>,

    /// Pods of FreeSWITCH. Absent for one that runs elsewhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub free_switch: Option<FreeSwitchPods>,

    /// What FreeSWITCH says of its gateways.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub gateways: Vec<GatewayStatus>,

    /// Data-plane pods that end while their calls run on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drains: Option<Drains>,

    /// Images that the pods run; several of one part while pods are replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub images: Option<Images>,

    /// Where carriers send calls: the first of entryPoints. Absent until it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entry_point: Option<EntryPoint>,

    /// Everywhere that carriers can send calls, in an order that stays: each node with a FreeSWITCH with HostNetwork, each address of
    /// a load balancer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub entry_points: Vec<EntryPoint>,
}

/// Most of [`VoiceTrunkStatus::entry_points`].
pub const ENTRY_POINTS_MAX: usize = 64;

/// Pods of FreeSWITCH.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default = "FreeSwitchPods::default")]
pub struct FreeSwitchPods {
    /// Pods of FreeSWITCH, those that end not counted.
    #[schemars(range(min = 0, max = 10000))]
    pub replicas: u32,

    /// Of those, pods that are ready.
    #[schemars(range(min = 0, max = 10000))]
    pub ready: u32,

    /// Pods that take no new calls and end when theirs have.
    #[schemars(range(min = 0, max = 10000))]
    pub draining: u32,

    /// Channels of the pods that take calls; a call has three. Absent while that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 2_147_483_647))]
    pub channels: Option<u32>,

    /// Most sessions that one of the pods began in a second of the last five minutes. Absent while that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 2_147_483_647))]
    pub sessions_per_second: Option<u32>,
}

/// What FreeSWITCH says of a gateway.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewayStatus {
    /// Its name in spec.freeSwitch.gateways.
    #[schemars(length(max = 63))]
    pub name: String,

    /// Whether calls come and go through it; with several FreeSWITCHs where it is worst.
    #[serde(default)]
    pub state: GatewayState,

    /// Since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "time_schema")]
    pub since: Option<Time>,
}

/// How FreeSWITCH stands with a gateway.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum GatewayState {
    /// FreeSWITCH could not be asked, or doesn't know the gateway yet.
    #[default]
    Unknown,
    /// The gateway has FreeSWITCH's registration.
    Registered,
    /// FreeSWITCH does not register with it; nothing speaks against it.
    Reachable,
    /// The registration has not been answered yet.
    Registering,
    /// It doesn't answer FreeSWITCH's OPTIONS.
    Unreachable,
    /// It refuses the registration, or doesn't answer it; FreeSWITCH tries again.
    Failed,
}

/// Pods that end while their calls run on.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default = "Drains::default")]
pub struct Drains {
    /// How many there are.
    #[schemars(range(min = 0, max = 10000))]
    pub pods: u32,

    /// When the time of the last of them is over. Its calls are handed over to other pods then.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "time_schema")]
    pub latest_deadline: Option<Time>,
}

/// Images that the pods run.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default = "Images::default")]
pub struct Images {
    /// Of the data plane.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), inner(length(max = 512)))]
    pub data_plane: Vec<String>,

    /// Of FreeSWITCH.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), inner(length(max = 512)))]
    pub free_switch: Vec<String>,
}

impl Images {
    /// Most of each part that are told.
    pub const MAX: usize = 8;
}

/// Calls, over all pods.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default = "SessionTotals::default")]
pub struct SessionTotals {
    /// Calls in progress.
    #[schemars(range(min = 0, max = 2_147_483_647))]
    pub active: u32,

    /// Calls that the pods which are not draining take at a time.
    #[schemars(range(min = 0, max = 2_147_483_647))]
    pub capacity: u32,
}

/// Where carriers send calls.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EntryPoint {
    /// IP address or DNS name.
    #[schemars(length(max = 253))]
    pub address: String,

    /// Port of SIP. Absent for a FreeSWITCH that runs elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<u16>,
}

/// Types of the conditions in [`VoiceTrunkStatus::conditions`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConditionType {
    /// Callers can be answered.
    Ready,
    /// Enough pods are ready.
    Available,
    /// Something is being changed.
    Progressing,
    /// Pods end while their calls run on.
    Draining,
    /// Something is wrong and the message says what.
    Degraded,
    /// Callers are answered by the built-in backend, which understands nobody.
    BuiltInBackend,
}

impl ConditionType {
    /// All types, in the order in which they are shown.
    pub const ALL: [Self; 6] =
        [Self::Ready, Self::Available, Self::Progressing, Self::Draining, Self::Degraded, Self::BuiltInBackend];

    /// The value of the condition's `type`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::Available => "Available",
            Self::Progressing => "Progressing",
            Self::Draining => "Draining",
            Self::Degraded => "Degraded",
            Self::BuiltInBackend => "BuiltInBackend",
        }
    }
}

fn time_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "format": "date-time" })
}

/// Kubernetes' conditions with the bounds that its own kinds document.
fn conditions_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 16,
        "items": {
            "type": "object",
            "required": ["type", "status", "lastTransitionTime", "reason", "message"],
            "properties": {
                "type": {
                    "description": "What the condition is about.",
                    "type": "string",
                    "maxLength": 316,
                },
                "status": {
                    "description": "Whether it holds.",
                    "type": "string",
                    "enum": ["True", "False", "Unknown"],
                },
                "observedGeneration": {
                    "description": "Generation of the spec that the condition is about.",
                    "type": "integer",
                    "format": "int64",
                    "minimum": 0,
                    "maximum": 9_007_199_254_740_991_i64,
                },
                "lastTransitionTime": {
                    "description": "When the status last changed.",
                    "type": "string",
                    "format": "date-time",
                },
                "reason": {
                    "description": "Why, in one word for programs.",
                    "type": "string",
                    "minLength": 1,
                    "maxLength": 1024,
                    "pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
                },
                "message": {
                    "description": "Why, in words for people.",
                    "type": "string",
                    "maxLength": 32768,
                },
            },
        },
    })
}
