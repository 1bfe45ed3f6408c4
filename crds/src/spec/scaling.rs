//! How many data-plane pods there are, and who says so.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Pods of a trunk that says nothing about it: two, because a call survives the loss of its pod only where there is
/// another one.
const DEFAULT_REPLICAS: u32 = 2;

/// How many data-plane pods there are.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default = "Scaling::default")]
#[x_kube(
    validation = Rule::new("self.minReplicas <= self.maxReplicas")
        .message("raise maxReplicas to at least minReplicas, or lower minReplicas"),
    // Back to the default is allowed: it is what taking the field out of a manifest does.
    validation = Rule::new(format!(
        "self.mode != 'Operator' || oldSelf.mode != 'Operator' || self.replicas == oldSelf.replicas || self.replicas == {DEFAULT_REPLICAS}"
    ))
    .message(
        "set mode to Manual (or HorizontalPodAutoscaler) to scale by replicas, kubectl scale or an autoscaler; \
         in mode Operator the operator sets the number of pods, between minReplicas and maxReplicas"
    )
    .reason(Reason::FieldValueForbidden)
)]
pub struct Scaling {
    /// Who sets the number of pods. Whoever it is, pods are drained before they go.
    pub mode: ScalingMode,

    /// Number of pods in the modes Manual and HorizontalPodAutoscaler; what kubectl scale and autoscalers write. Leave it
    /// out of manifests that are applied again and again, or they undo each other.
    #[schemars(range(min = 0, max = 1000))]
    pub replicas: u32,

    /// Least number of pods in the modes Operator and HorizontalPodAutoscaler. With 2 or more, calls survive the loss of a
    /// pod.
    #[schemars(range(min = 1, max = 1000))]
    pub min_replicas: u32,

    /// Greatest number of pods in the modes Operator and HorizontalPodAutoscaler.
    #[schemars(range(min = 1, max = 1000))]
    pub max_replicas: u32,

    /// Calls that a pod shall have on average in the modes Operator and HorizontalPodAutoscaler. Left out: 70 % of
    /// sessions.maxPerPod.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10000))]
    pub target_sessions_per_pod: Option<u32>,

    /// Calls for which there is always room beyond those in progress, in mode Operator: what may come in while a pod
    /// starts.
    #[schemars(range(min = 0, max = 100000))]
    pub buffer_sessions: u32,

    /// How long more pods must have been wanted before they are added, in seconds.
    #[schemars(range(min = 0, max = 3600))]
    pub scale_up_stabilization_seconds: u32,

    /// How long fewer pods must have been wanted before any is drained, in seconds.
    #[schemars(range(min = 0, max = 3600))]
    pub scale_down_stabilization_seconds: u32,
}

impl Default for Scaling {
    fn default() -> Self {
        Self {
            mode: ScalingMode::default(),
            replicas: DEFAULT_REPLICAS,
            min_replicas: DEFAULT_REPLICAS,
            max_replicas: 10,
            target_sessions_per_pod: None,
            buffer_sessions: 10,
            scale_up_stabilization_seconds: 0,
            scale_down_stabilization_seconds: 300,
        }
    }
}

/// Who sets the number of pods.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ScalingMode {
    /// The operator, from the pods' own figures: enough for the calls in progress and bufferSessions more at
    /// targetSessionsPerPod each.
    #[default]
    Operator,
    /// A HorizontalPodAutoscaler that the operator makes. It needs a server of the custom metrics API: the operator itself
    /// (the chart's value customMetrics.enabled), or a metrics adapter.
    HorizontalPodAutoscaler,
    /// You, by replicas or kubectl scale, or any autoscaler of your own that targets the VoiceTrunk.
    Manual,
}
