//! HorizontalPodAutoscaler, in the mode of that name.

use k8s_openapi::{
    api::autoscaling::v2::{
        CrossVersionObjectReference, HPAScalingRules, HorizontalPodAutoscaler, HorizontalPodAutoscalerBehavior,
        HorizontalPodAutoscalerSpec, MetricIdentifier, MetricSpec, MetricTarget, PodsMetricSource,
    },
    apimachinery::pkg::api::resource::Quantity,
};
use kube::Resource;
use sofia_crds::VoiceTrunk;

use super::{labels::Component, metadata::Context, names};

/// Name of the metric that says how many calls a pod has.
const SESSIONS_METRIC: &str = "sofia_phone_sessions_active";

/// An autoscaler of the calls per pod. It scales the VoiceTrunk, not the Deployment: the operator carries its wish out, drain first.
pub(super) fn data_plane(context: &Context<'_>) -> HorizontalPodAutoscaler {
    let scaling = &context.spec.scaling;
    let target = MetricTarget {
        type_: "AverageValue".to_owned(),
        average_value: Some(Quantity(context.spec.target_sessions_per_pod().to_string())),
        ..MetricTarget::default()
    };
    let sessions =
        PodsMetricSource { metric: MetricIdentifier { name: SESSIONS_METRIC.to_owned(), selector: None }, target };
    let rules = |seconds: u32| HPAScalingRules {
        stabilization_window_seconds: Some(clamped(seconds)),
        ..HPAScalingRules::default()
    };
    HorizontalPodAutoscaler {
        metadata: context.metadata(Component::DataPlane, names::data_plane(context.name)),
        spec: Some(HorizontalPodAutoscalerSpec {
            scale_target_ref: CrossVersionObjectReference {
                api_version: Some(VoiceTrunk::api_version(&()).into_owned()),
                kind: VoiceTrunk::kind(&()).into_owned(),
                name: context.name.to_owned(),
            },
            min_replicas: Some(clamped(scaling.min_replicas)),
            max_replicas: clamped(scaling.max_replicas),
            metrics: Some(vec![MetricSpec { type_: "Pods".to_owned(), pods: Some(sessions), ..MetricSpec::default() }]),
            behavior: Some(HorizontalPodAutoscalerBehavior {
                scale_up: Some(rules(scaling.scale_up_stabilization_seconds)),
                scale_down: Some(rules(scaling.scale_down_stabilization_seconds)),
            }),
        }),
        status: None,
    }
}

/// The number as the Kubernetes API takes it. The schema of a VoiceTrunk keeps all of them far below the bound.
fn clamped(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
