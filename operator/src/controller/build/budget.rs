//! PodDisruptionBudgets: what node autoscalers, `kubectl drain` and node upgrades may evict. They outlive the operator, so they let
//! pods go without its help, and what an evicted pod does for its calls it does by itself.

use k8s_openapi::{
    api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec},
    apimachinery::pkg::{
        apis::meta::v1::{LabelSelector, LabelSelectorRequirement},
        util::intstr::IntOrString,
    },
};

use super::{
    labels::{self, Component},
    metadata::Context,
    names,
};
use crate::fleet::eviction;

/// FreeSWITCH's pods go one by one; each ends its calls in its preStop. One that is not ready takes no calls and does not come to any
/// by being kept: where it is the only one, no budget would ever let it go.
pub(super) fn free_switch(context: &Context<'_>) -> PodDisruptionBudget {
    let spec = PodDisruptionBudgetSpec {
        max_unavailable: Some(IntOrString::Int(1)),
        selector: Some(context.selector(Component::FreeSwitch)),
        unhealthy_pod_eviction_policy: Some(ALWAYS_ALLOW.to_owned()),
        ..PodDisruptionBudgetSpec::default()
    };
    budget(context, Component::FreeSwitch, names::free_switch(context.name), spec)
}

/// So many data-plane pods as callers can spare may be evicted while they have calls; each drains as it ends. Those that bear the mark
/// of a drained pod are not counted.
///
/// It says how many must be ready and not how many may be missing: those that are missing Kubernetes counts from the Deployment's
/// replicas, and the pods that drain on top of the serving ones would use the budget up.
pub(super) fn data_plane(context: &Context<'_>) -> PodDisruptionBudget {
    let undrained =
        LabelSelectorRequirement { key: labels::DRAINED.to_owned(), operator: "DoesNotExist".to_owned(), values: None };
    let selector = LabelSelector { match_expressions: Some(vec![undrained]), ..context.selector(Component::DataPlane) };
    let percent = context.spec.drain.max_evicted_percent;
    let least = eviction::least_ready(context.inputs.data_plane_serving, percent);
    // A pod that is full is not ready, and far from unhealthy: where there are such pods, one that is not ready goes when enough others
    // are. Else those that are not ready are broken, and would be held for ever by others that are broken too; so they would be anyway
    // where no pod has to be ready.
    let holds = least > 0 && (context.inputs.crowded || percent == 0);
    let unready = if holds { IF_HEALTHY_BUDGET } else { ALWAYS_ALLOW };
    let spec = PodDisruptionBudgetSpec {
        min_available: Some(IntOrString::Int(i32::try_from(least).unwrap_or(i32::MAX))),
        selector: Some(selector),
        unhealthy_pod_eviction_policy: Some(unready.to_owned()),
        ..PodDisruptionBudgetSpec::default()
    };
    budget(context, Component::DataPlane, names::data_plane(context.name), spec)
}

const ALWAYS_ALLOW: &str = "AlwaysAllow";
const IF_HEALTHY_BUDGET: &str = "IfHealthyBudget";

fn budget(
    context: &Context<'_>,
    component: Component,
    name: String,
    spec: PodDisruptionBudgetSpec,
) -> PodDisruptionBudget {
    PodDisruptionBudget { metadata: context.metadata(component, name), spec: Some(spec), status: None }
}
