//! PodDisruptionBudgets: what `kubectl drain` and node upgrades may evict.

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

/// FreeSWITCH's pods go one by one; each ends its calls in its preStop.
pub(super) fn free_switch(context: &Context<'_>) -> PodDisruptionBudget {
    budget(context, Component::FreeSwitch, names::free_switch(context.name), 1, context.selector(Component::FreeSwitch))
}

/// No data-plane pod is evicted before it is drained: the budget allows none, and does not count those that bear the mark of a drained
/// one. The operator drains the pods of a cordoned node, so an eviction that is refused at first succeeds in the end.
pub(super) fn data_plane(context: &Context<'_>) -> PodDisruptionBudget {
    let undrained =
        LabelSelectorRequirement { key: labels::DRAINED.to_owned(), operator: "DoesNotExist".to_owned(), values: None };
    let selector = LabelSelector { match_expressions: Some(vec![undrained]), ..context.selector(Component::DataPlane) };
    budget(context, Component::DataPlane, names::data_plane(context.name), 0, selector)
}

fn budget(
    context: &Context<'_>,
    component: Component,
    name: String,
    max_unavailable: i32,
    selector: LabelSelector,
) -> PodDisruptionBudget {
    PodDisruptionBudget {
        metadata: context.metadata(component, name),
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(max_unavailable)),
            selector: Some(selector),
            // Not `AlwaysAllow`: a data-plane pod that is full is not ready, and far from unhealthy.
            unhealthy_pod_eviction_policy: Some("IfHealthyBudget".to_owned()),
            ..PodDisruptionBudgetSpec::default()
        }),
        status: None,
    }
}
