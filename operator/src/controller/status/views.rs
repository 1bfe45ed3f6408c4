//! What a status needs to know of Deployments and pods, and the sums over a fleet.

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;

use super::text::foreign;
use super::trouble::Trouble;
use crate::fleet::scrape::PodFigures;
use crate::metrics::TrunkFigures;
use crate::vocabulary::labels;

/// A Deployment, as far as a status tells of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkloadView {
    /// Pods that it shall have.
    pub desired: u32,
    /// Pods that it has.
    pub replicas: u32,
    /// Pods of its newest revision.
    pub updated: u32,
    /// Pods that are ready. Full data-plane pods are not.
    pub ready: u32,
    /// Whether its controller has seen its newest spec; until then the figures are of an older one.
    pub observed: bool,
    /// Why a rollout goes no further, when its controller gave up waiting.
    pub stalled: Option<String>,
    /// Why pods can't be created: a quota, pod security, an admission webhook.
    pub refused_pods: Option<String>,
}

impl WorkloadView {
    /// Takes what matters from a Deployment.
    pub fn of(deployment: &Deployment) -> Self {
        let status = deployment.status.clone().unwrap_or_default();
        let condition = |wanted: &str, value: &str| {
            status
                .conditions
                .iter()
                .flatten()
                .find(|condition| condition.type_ == wanted && condition.status == value)
                .map(|condition| {
                    (condition.reason.as_deref(), foreign(condition.message.as_deref().unwrap_or_default()))
                })
        };
        Self {
            desired: count(deployment.spec.as_ref().map_or(Some(1), |spec| spec.replicas.or(Some(1)))),
            replicas: count(status.replicas),
            updated: count(status.updated_replicas),
            ready: count(status.ready_replicas),
            observed: status.observed_generation >= deployment.metadata.generation,
            stalled: condition("Progressing", "False")
                .filter(|(reason, _)| *reason == Some("ProgressDeadlineExceeded"))
                .map(|(_, message)| message),
            refused_pods: condition("ReplicaFailure", "True").map(|(_, message)| message),
        }
    }

    /// Whether pods of an older revision are still to be replaced.
    pub fn rolling_out(&self) -> bool {
        !self.observed || self.updated < self.replicas || self.replicas > self.desired
    }

    /// Whether pods are still to be created.
    pub fn growing(&self) -> bool {
        !self.observed || self.replicas < self.desired
    }
}

fn count(value: Option<i32>) -> u32 {
    value.and_then(|value| u32::try_from(value).ok()).unwrap_or_default()
}

/// A pod, as far as a status tells of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodFacts {
    /// Its name.
    pub name: String,
    /// Whether Kubernetes holds it for ready and so sends it calls.
    pub ready: bool,
    /// Whether its containers have started and none of its own probes said that it is broken.
    pub running: bool,
    /// Whether it ends once its calls have: it was asked to drain, or Kubernetes is ending it.
    pub draining: bool,
    /// Since when it drains, as the operator wrote it on the pod.
    pub draining_since: Option<Timestamp>,
    /// When Kubernetes ends it, if it is being deleted.
    pub ends_at: Option<Timestamp>,
    /// The image of its own container.
    pub image: Option<String>,
    /// What it says of itself; nothing when it could not be asked, and always for FreeSWITCH.
    pub figures: Option<PodFigures>,
    /// What keeps it from working.
    pub trouble: Option<Trouble>,
}

impl PodFacts {
    /// Takes what matters from a pod; `figures` are what it said of itself.
    pub fn of(pod: &Pod, figures: Option<PodFigures>) -> Self {
        let status = pod.status.as_ref();
        let ready = status
            .and_then(|status| status.conditions.as_ref())
            .is_some_and(|conditions| conditions.iter().any(|c| c.type_ == "Ready" && c.status == "True"));
        let containers = status.and_then(|status| status.container_statuses.as_deref()).unwrap_or_default();
        let running = !containers.is_empty()
            && containers.iter().all(|container| container.state.as_ref().is_some_and(|state| state.running.is_some()));
        let draining = pod.metadata.deletion_timestamp.is_some()
            || pod.annotations().contains_key(labels::DRAINING_SINCE)
            || figures.is_some_and(|figures| figures.draining);
        let since = pod.annotations().get(labels::DRAINING_SINCE);
        Self {
            name: pod.name_any(),
            ready,
            running,
            draining,
            draining_since: since.and_then(|text| text.parse().ok()),
            ends_at: pod.metadata.deletion_timestamp.as_ref().map(|time| time.0),
            image: own_image(pod),
            figures,
            trouble: Trouble::of(pod),
        }
    }
}

/// The image of the container that has the component's name, or of the first: others are brought in by webhooks.
fn own_image(pod: &Pod) -> Option<String> {
    let containers = &pod.spec.as_ref()?.containers;
    let component = pod.labels().get(labels::COMPONENT);
    let own = containers.iter().find(|container| Some(&container.name) == component).or(containers.first());
    own?.image.clone()
}

/// The data-plane pods in sum.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fleet {
    /// Pods that do not drain.
    pub serving: u32,
    /// Of those, pods that take the next call.
    pub taking_calls: u32,
    /// Of those, pods that work and take no further call: full, or not yet below their low-water mark again.
    pub full: u32,
    /// Of those, pods that are ready and could not be asked.
    pub silent: u32,
    /// Pods that end once their calls have.
    pub draining: u32,
    /// Calls in progress, draining pods included.
    pub active: u32,
    /// Calls that the pods which do not drain take at a time.
    pub capacity: u32,
}

impl Fleet {
    /// Sums up. A pod that Kubernetes holds for ready and that could not be asked counts as taking calls: its own
    /// kubelet asked it. Without any pod known, the Deployment's word counts.
    pub(super) fn of(pods: &[PodFacts], workload: Option<&WorkloadView>) -> Self {
        let mut fleet = Self::default();
        for pod in pods {
            if let Some(figures) = pod.figures {
                fleet.active = fleet.active.saturating_add(figures.active);
            }
            if pod.draining {
                fleet.draining += 1;
                continue;
            }
            fleet.serving += 1;
            match pod.figures {
                Some(figures) => {
                    fleet.capacity = fleet.capacity.saturating_add(figures.capacity);
                    if pod.ready && figures.accepting {
                        fleet.taking_calls += 1;
                    } else if pod.running && figures.active > 0 {
                        fleet.full += 1;
                    }
                }
                None => {
                    fleet.taking_calls += u32::from(pod.ready);
                    fleet.silent += u32::from(pod.ready);
                }
            }
        }
        if let (true, Some(workload)) = (pods.is_empty(), workload) {
            fleet.serving = workload.replicas;
            fleet.taking_calls = workload.ready;
        }
        fleet
    }

    /// As figures of a trunk.
    pub(super) fn figures(&self) -> TrunkFigures {
        TrunkFigures {
            active: self.active,
            capacity: self.capacity,
            accepting: self.taking_calls,
            full: self.full,
            draining: self.draining,
            not_working: self.serving.saturating_sub(self.working()),
            free_switch: None,
        }
    }

    /// Pods that do their work, whether they take a further call or not.
    pub(super) fn working(&self) -> u32 {
        self.taking_calls + self.full
    }
}
