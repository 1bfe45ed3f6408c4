//! From Kubernetes' objects and the pods' figures to what a decision is made from. Pure; whatever is missing or odd in an object
//! reads as "not so", never as an error: pods are not the operator's own.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ContainerStateRunning, Node, Pod},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use sofia_crds::VoiceTrunkSpec;
use sofia_crds::spec::{Scaling, ScalingMode};

use super::decide::{FleetView, PodView, Standing, Wish};
use super::scrape::PodFigures;
use crate::vocabulary::labels::{self, Component};

/// Taints by which node autoscalers announce that a node goes away: Cluster Autoscaler, Karpenter, and Kubernetes' own for nodes
/// that are out of service.
const LEAVING_TAINTS: [&str; 3] =
    ["ToBeDeletedByClusterAutoscaler", "karpenter.sh/disrupted", "node.kubernetes.io/out-of-service"];

/// A pod that outlives the end that Kubernetes set it by so much is on a node that does not answer any more; its calls have been
/// taken over.
const END_MARGIN: SignedDuration = SignedDuration::from_secs(30);

/// What is known of a trunk's fleet.
#[derive(Clone, Copy, Debug)]
pub struct Observed<'a> {
    /// Now.
    pub now: Timestamp,
    /// What the trunk asks for.
    pub spec: &'a VoiceTrunkSpec,
    /// The data plane's Deployment, if it exists.
    pub deployment: Option<&'a Deployment>,
    /// Names of the nodes that are going away; see [`is_leaving`].
    pub leaving_nodes: &'a BTreeSet<String>,
    /// What the pods said of themselves, by their names; those that could not be asked are absent.
    pub figures: &'a BTreeMap<String, PodFigures>,
}

/// Sums over a fleet, for the trunk's status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Calls in progress, over all pods.
    pub active: u32,
    /// Calls that the pods which are not draining take at a time.
    pub capacity: u32,
    /// Pods, those that Kubernetes is ending not counted.
    pub replicas: u32,
    /// Pods that take a call now.
    pub ready: u32,
    /// Pods that run their last calls, whoever drains them.
    pub draining: u32,
}

impl Observed<'_> {
    /// The fleet, from its pods.
    pub fn fleet<'p>(&self, pods: impl IntoIterator<Item = &'p Pod>) -> FleetView {
        let seconds = |seconds: u32| SignedDuration::from_secs(i64::from(seconds));
        let Scaling { scale_up_stabilization_seconds, scale_down_stabilization_seconds, .. } = self.spec.scaling;
        FleetView {
            now: self.now,
            wish: wish(self.spec),
            max_per_pod: self.spec.sessions.max_per_pod,
            scale_up_stabilization: seconds(scale_up_stabilization_seconds),
            scale_down_stabilization: seconds(scale_down_stabilization_seconds),
            drain_deadline: seconds(self.spec.drain.deadline_seconds),
            replicas: self.deployment.map(replicas),
            rolling_out: self.deployment.is_some_and(is_rolling_out),
            pods: pods.into_iter().filter_map(|pod| self.pod(pod)).collect(),
        }
    }

    /// A pod, unless it has ended: such pods count for nobody, though their objects may be there for long.
    fn pod(&self, pod: &Pod) -> Option<PodView> {
        let name = pod.metadata.name.clone()?;
        if is_over(pod, self.now) {
            return None;
        }
        let state = running_state(pod);
        let terminating = pod.metadata.deletion_timestamp.is_some();
        let node = node_name(pod);
        let annotation = |key| annotation(&pod.metadata, key);
        Some(PodView {
            created: pod.metadata.creation_timestamp.as_ref().map_or(self.now, |time| time.0),
            started: state.map(|state| state.started_at.as_ref().map_or(self.now, |time| time.0)),
            running: node.is_some() && state.is_some(),
            standing: standing(pod),
            terminating,
            node_leaving: node.is_some_and(|node| self.leaving_nodes.contains(node)),
            current_revision: labels::OF_TEMPLATES.iter().all(|key| annotation(key) == self.template_annotation(key)),
            draining_since: annotation(labels::DRAINING_SINCE).map(|time| time.parse().unwrap_or(self.now)),
            marked: is_marked(pod),
            figures: self.figures.get(&name).copied(),
            name,
        })
    }

    /// An annotation that the Deployment gives new pods.
    fn template_annotation(&self, key: &str) -> Option<&str> {
        let template = &self.deployment?.spec.as_ref()?.template;
        annotation(template.metadata.as_ref()?, key)
    }
}

/// The sums over a fleet.
pub fn totals(view: &FleetView) -> Totals {
    view.pods.iter().fold(Totals::default(), |mut totals, pod| {
        let figures = pod.figures.unwrap_or_default();
        let draining = figures.draining || pod.draining_since.is_some();
        totals.active = totals.active.saturating_add(figures.active);
        totals.draining += u32::from(draining || pod.terminating);
        if !pod.terminating {
            totals.replicas += 1;
            if !draining {
                totals.capacity = totals.capacity.saturating_add(figures.capacity);
                totals.ready += u32::from(figures.accepting);
            }
        }
        totals
    })
}

/// Whether a node is going away: cordoned, or about to be removed by an autoscaler.
pub fn is_leaving(node: &Node) -> bool {
    node.spec.as_ref().is_some_and(|spec| {
        let tainted = || spec.taints.iter().flatten().any(|taint| LEAVING_TAINTS.contains(&taint.key.as_str()));
        spec.unschedulable == Some(true) || tainted()
    })
}

/// The address at which a pod can be asked: it has one, and its container runs.
pub fn address(pod: &Pod) -> Option<IpAddr> {
    running_state(pod)?;
    pod.status.as_ref()?.pod_ip.as_ref()?.parse().ok()
}

/// Whether a Deployment is in the middle of a rollout: it has not seen its last change, or has pods of an older revision. Pods
/// that are not available say nothing of it, since full pods are not ready.
pub fn is_rolling_out(deployment: &Deployment) -> bool {
    let Some(status) = &deployment.status else { return true };
    let unseen = status.observed_generation < deployment.metadata.generation;
    unseen || status.replicas.unwrap_or(0) > status.updated_replicas.unwrap_or(0)
}

fn wish(spec: &VoiceTrunkSpec) -> Wish {
    let Scaling { mode, replicas, min_replicas: min, max_replicas: max, buffer_sessions: buffer, .. } = spec.scaling;
    match mode {
        ScalingMode::Operator => Wish::Sessions { min, max, target: spec.target_sessions_per_pod(), buffer },
        // The autoscaler keeps to its bounds too, but not before it has been made and has looked for the first time.
        ScalingMode::HorizontalPodAutoscaler => Wish::Replicas(replicas.max(min).min(max)),
        ScalingMode::Manual => Wish::Replicas(replicas),
    }
}

fn replicas(deployment: &Deployment) -> u32 {
    // Kubernetes' default is one.
    deployment.spec.as_ref().and_then(|spec| spec.replicas).map_or(1, |replicas| u32::try_from(replicas).unwrap_or(0))
}

fn is_over(pod: &Pod, now: Timestamp) -> bool {
    let ended = matches!(phase(pod), "Succeeded" | "Failed");
    // The deletion timestamp is when the pod's grace ends.
    let end = pod.metadata.deletion_timestamp.as_ref();
    ended || end.is_some_and(|end| now.duration_since(end.0) > END_MARGIN)
}

fn standing(pod: &Pod) -> Standing {
    if node_name(pod).is_none() {
        return Standing::Unscheduled;
    }
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let mut ready = conditions.filter(|condition| condition.type_ == "Ready" && condition.status == "True");
    match phase(pod) {
        "Running" if ready.next().is_some() => Standing::Ready,
        "Running" => Standing::NotReady,
        "Unknown" => Standing::Unknown,
        _ => Standing::Pending,
    }
}

/// Whether both parts of the mark are there: the label by which the disruption budget lets go, and the cost by which the
/// ReplicaSet picks.
fn is_marked(pod: &Pod) -> bool {
    let label = pod.metadata.labels.as_ref().and_then(|labels| labels.get(labels::DRAINED));
    let cost = annotation(&pod.metadata, labels::POD_DELETION_COST).and_then(|cost| cost.parse::<i32>().ok());
    label.is_some_and(|label| label == "true") && cost.is_some_and(|cost| cost < 0)
}

fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}

fn node_name(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref()?.node_name.as_deref().filter(|node| !node.is_empty())
}

/// How the data plane's container runs, if it does; by its name, since others may have been injected beside it.
fn running_state(pod: &Pod) -> Option<&ContainerStateRunning> {
    let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
    statuses.iter().find(|status| status.name == Component::DataPlane.as_str())?.state.as_ref()?.running.as_ref()
}

fn annotation<'a>(metadata: &'a ObjectMeta, key: &str) -> Option<&'a str> {
    metadata.annotations.as_ref()?.get(key).map(String::as_str)
}

#[cfg(test)]
mod tests;
