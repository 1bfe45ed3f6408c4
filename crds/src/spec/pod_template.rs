//! What a trunk adds to the pods that the operator builds. As Kubernetes writes it in a pod; what of it is taken is said by
//! [`crate::validate`].

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Affinity, EnvVar, Volume, VolumeMount};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

/// Fields of an object of Kubernetes' own.
pub type Fields = BTreeMap<String, Value>;

/// What the pods have beside what the operator gives them. Nothing in it can take the place of the operator's own: names of volumes,
/// paths and variables that it uses are refused.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default = "PodTemplate::default")]
pub struct PodTemplate {
    /// Where the pods are placed, as in a pod: nodeAffinity, podAffinity, podAntiAffinity.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "fields_schema")]
    pub affinity: Fields,

    /// How the pods are spread over the zones of nodes (topology.kubernetes.io/zone). Over nodes they are spread in any case.
    pub zone_spread: ZoneSpread,

    /// RuntimeClass of the pods. Left out: the cluster's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$"))]
    pub runtime_class_name: Option<String>,

    /// Further volumes, as in a pod; of the kinds configMap, secret, emptyDir, persistentVolumeClaim, projected, downwardAPI and csi.
    /// Names of the operator's own volumes are refused. A change in what they hold rolls no pods.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "list_schema")]
    pub volumes: Vec<Fields>,

    /// Where the container has these volumes, as in a pod. Paths in the way of the operator's own are refused.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "list_schema")]
    pub volume_mounts: Vec<Fields>,

    /// Further environment variables of the container, as in a pod. Those that the operator sets, by other fields, are refused.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "list_schema")]
    pub env: Vec<Fields>,
}

/// How pods are spread over zones.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ZoneSpread {
    /// As evenly as there is room; a pod that finds none in its zone goes to another.
    #[default]
    Preferred,
    /// Evenly; a pod that finds no room in its zone waits.
    Required,
    /// Zones are not looked at.
    Ignored,
}

impl PodTemplate {
    /// Where the pods are placed; nothing when it can't be read, which a check of the spec tells.
    pub fn affinity(&self) -> Option<Affinity> {
        Some(&self.affinity).filter(|fields| !fields.is_empty()).and_then(|fields| typed(fields).ok())
    }

    /// The further volumes, as far as they can be read.
    pub fn volumes(&self) -> Vec<Volume> {
        all(&self.volumes)
    }

    /// Where they are in the container.
    pub fn volume_mounts(&self) -> Vec<VolumeMount> {
        all(&self.volume_mounts)
    }

    /// The further variables.
    pub fn env(&self) -> Vec<EnvVar> {
        all(&self.env)
    }
}

fn all<T: DeserializeOwned>(list: &[Fields]) -> Vec<T> {
    list.iter().filter_map(|fields| typed(fields).ok()).collect()
}

/// The object of Kubernetes' own that the fields are.
///
/// # Errors
/// What was expected instead.
pub(crate) fn typed<T: DeserializeOwned>(fields: &Fields) -> Result<T, serde_json::Error> {
    serde_json::from_value(Value::Object(saying(fields).into_iter().collect()))
}

/// The fields as the API server keeps them: without those that say nothing.
pub(crate) fn saying(fields: &Fields) -> Fields {
    fields.iter().filter_map(|(name, value)| Some((name.clone(), kept(name, value)?))).collect()
}

/// What the API server keeps of a field. Else what is built would differ from what is there for ever, and be written at each pass. A label that
/// is looked for may be empty; apart from those, an empty text is none.
fn kept(name: &str, value: &Value) -> Option<Value> {
    match value {
        Value::Null => None,
        Value::Bool(false) if name == "readOnly" => None,
        Value::String(text) if text.is_empty() => None,
        Value::Array(items) if items.is_empty() => None,
        Value::Array(items) => Some(items.iter().map(|item| inner(name, item)).collect()),
        Value::Object(_) => Some(inner(name, value)),
        plain => Some(plain.clone()),
    }
}

fn inner(name: &str, value: &Value) -> Value {
    match value {
        Value::Object(fields) if name != "matchLabels" => {
            fields.iter().filter_map(|(name, value)| Some((name.clone(), kept(name, value)?))).collect()
        }
        other => other.clone(),
    }
}

fn fields_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "maxProperties": 16, "x-kubernetes-preserve-unknown-fields": true })
}

fn list_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 32,
        "items": { "type": "object", "maxProperties": 16, "x-kubernetes-preserve-unknown-fields": true },
    })
}
