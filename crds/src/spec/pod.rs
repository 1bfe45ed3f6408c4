//! What the pods' sections share: references to Secrets, and bounded schemas for Kubernetes' own types, whose derived ones
//! have no bounds.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// A Secret in the namespace of the VoiceTrunk.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretRef {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$"))]
    pub name: String,
}

/// A value in a Secret in the namespace of the VoiceTrunk.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretKeyRef {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$"))]
    pub name: String,

    /// Key of the value in the Secret.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[-._a-zA-Z0-9]+$"))]
    pub key: String,
}

/// How Kubernetes writes amounts of CPU and memory.
const QUANTITY: &str = r"^[0-9]+(\.[0-9]+)?([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]+)?$";

/// Values of labels: empty, or a name.
const LABEL_VALUE: &str = "^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$";

/// Labels: names to short values.
pub(super) fn labels_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 32,
        "additionalProperties": { "type": "string", "maxLength": 63, "pattern": LABEL_VALUE },
    })
}

/// Annotations: names to values.
pub(super) fn annotations_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 32,
        "additionalProperties": { "type": "string", "maxLength": 1024 },
    })
}

/// Requests and limits by resource. Claims of devices are not offered.
pub(super) fn resources_schema(_: &mut SchemaGenerator) -> Schema {
    let amounts = |description: &str| {
        json_schema!({
            "description": description,
            "type": "object",
            "maxProperties": 16,
            "additionalProperties": { "x-kubernetes-int-or-string": true, "maxLength": 32, "pattern": QUANTITY },
        })
    };
    json_schema!({
        "type": "object",
        "properties": {
            "requests": amounts("What is set aside for each pod, such as cpu: 500m and memory: 256Mi."),
            "limits": amounts("What a pod can't exceed. Leave cpu out: a throttled pod is heard."),
        },
    })
}

/// Taints that are tolerated.
pub(super) fn tolerations_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 32,
        "items": {
            "type": "object",
            "properties": {
                "key": {
                    "description": "Key of the taint. Left out, with operator Exists: every taint.",
                    "type": "string",
                    "maxLength": 316,
                },
                "operator": {
                    "description": "How the value is compared. Left out: Equal.",
                    "type": "string",
                    "enum": ["Exists", "Equal"],
                },
                "value": {
                    "description": "Value of the taint, with operator Equal.",
                    "type": "string",
                    "maxLength": 63,
                },
                "effect": {
                    "description": "Effect of the taint. Left out: every effect.",
                    "type": "string",
                    "enum": ["NoSchedule", "PreferNoSchedule", "NoExecute"],
                },
                "tolerationSeconds": {
                    "description": "How long a NoExecute taint is tolerated, in seconds. Left out: for ever.",
                    "type": "integer",
                    "format": "int64",
                    "minimum": 0,
                    "maximum": 31_536_000,
                },
            },
        },
    })
}
