//! What a VoiceTrunk has become, from what was applied and what the cluster made of it. Pure: asks no cluster, knows no
//! clock, and never says anything secret.

mod conditions;
mod entry_point;
mod problem;
mod text;
mod trouble;
mod views;

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt as _;
use sofia_crds::VoiceTrunk;
use sofia_crds::spec::Switch;
use sofia_crds::status::{
    Drains, FreeSwitchPods, GatewayState, GatewayStatus, Images, SessionTotals, VoiceTrunkStatus,
};

pub use conditions::REAL_CALLERS;
pub use entry_point::{EntryPointFacts, node_addresses};
pub use problem::Problem;
pub use trouble::{Trouble, TroubleKind};
pub use views::{PodFacts, WorkloadView};

use super::look::SwitchView;
use crate::metrics::{SwitchPods, TrunkFigures};
use crate::vocabulary::labels::{self, Component};

/// What a status is derived from.
#[derive(Clone, Copy, Debug)]
pub struct StatusInputs<'a> {
    /// The trunk, with its name, namespace and generation.
    pub trunk: &'a VoiceTrunk,
    /// The status as it is, whose times of transition are kept; mostly the trunk's own.
    pub previous: Option<&'a VoiceTrunkStatus>,
    /// Now.
    pub now: Timestamp,
    /// Why the trunk's objects could not be brought to what its spec asks for, if they could not.
    pub outcome: Result<(), &'a Problem>,
    /// FreeSWITCH's Deployment. Nothing before it exists, when it could not be read, and with a FreeSWITCH that runs
    /// elsewhere.
    pub free_switch: Option<&'a WorkloadView>,
    /// The data plane's Deployment. Nothing before it exists, and when it could not be read.
    pub data_plane: Option<&'a WorkloadView>,
    /// The pods of FreeSWITCH.
    pub free_switch_pods: &'a [PodFacts],
    /// The pods of the data plane, those that Kubernetes is ending included.
    pub data_plane_pods: &'a [PodFacts],
    /// Data-plane pods that shall serve (`Decision.serving`); less than the Deployment's replicas while pods drain.
    pub serving: u32,
    /// What FreeSWITCH said of itself; nothing of one that runs elsewhere.
    pub switch: Option<&'a SwitchView>,
    /// What is known of where callers come in.
    pub entry_point: EntryPointFacts<'a>,
}

/// The calls and pods of a trunk in sum; those of FreeSWITCH where it is run here.
pub fn trunk_figures(
    pods: &[PodFacts],
    workload: Option<&WorkloadView>,
    free_switch: Option<&[PodFacts]>,
) -> TrunkFigures {
    let free_switch = free_switch.map(|pods| {
        pods.iter().fold(SwitchPods::default(), |mut sum, pod| {
            let of_its_state = match (pod.draining, pod.ready) {
                (true, _) => &mut sum.draining,
                (false, true) => &mut sum.ready,
                (false, false) => &mut sum.not_ready,
            };
            *of_its_state += 1;
            sum
        })
    });
    TrunkFigures { free_switch, ..views::Fleet::of(pods, workload).figures() }
}

/// Derives the whole status. The same inputs give an equal status, whatever the time, once it has been written.
pub fn derive(inputs: &StatusInputs<'_>) -> VoiceTrunkStatus {
    let fleet = views::Fleet::of(inputs.data_plane_pods, inputs.data_plane);
    let entry_points = entry_point::entry_points(inputs.trunk, &inputs.entry_point);
    VoiceTrunkStatus {
        observed_generation: inputs.trunk.metadata.generation,
        conditions: conditions::all(inputs, &fleet),
        replicas: inputs.data_plane.map_or(0, |workload| workload.replicas),
        desired_replicas: inputs.data_plane.map_or(0, |_| inputs.serving),
        ready_replicas: fleet.taking_calls,
        selector: Some(selector(&inputs.trunk.name_any())),
        sessions: inputs.data_plane.map(|_| SessionTotals { active: fleet.active, capacity: fleet.capacity }),
        free_switch: free_switch_pods(inputs),
        gateways: gateways(inputs),
        drains: inputs.data_plane.map(|_| drains(inputs, &fleet)),
        images: images(inputs),
        entry_point: entry_points.first().cloned(),
        entry_points,
    }
}

fn free_switch_pods(inputs: &StatusInputs<'_>) -> Option<FreeSwitchPods> {
    let Switch::Managed(_) = inputs.trunk.spec.switch() else { return None };
    let workload = inputs.free_switch?;
    let settled = inputs.switch.filter(|switch| switch.settled);
    let before = inputs.previous.and_then(|previous| previous.free_switch);
    let draining = inputs.free_switch_pods.iter().filter(|pod| pod.draining).count();
    Some(FreeSwitchPods {
        replicas: workload.replicas,
        ready: workload.ready,
        draining: u32::try_from(draining).unwrap_or(u32::MAX),
        channels: match settled {
            Some(switch) => switch.channels,
            None => before.and_then(|before| before.channels),
        },
        sessions_per_second: match settled {
            Some(switch) => switch.rate.map(|rate| rate.peak),
            None => before.and_then(|before| before.sessions_per_second),
        },
    })
}

/// Each since it has its state, which stands until every FreeSWITCH was looked at.
fn gateways(inputs: &StatusInputs<'_>) -> Vec<GatewayStatus> {
    let before = inputs.previous.map(|previous| previous.gateways.as_slice()).unwrap_or_default();
    let now = Timestamp::from_second(inputs.now.as_second()).unwrap_or(inputs.now);
    let Some(switch) = inputs.switch else { return Vec::new() };
    let of = |(name, state): &(String, GatewayState)| {
        let known = before.iter().find(|gateway| gateway.name == *name);
        match known.filter(|known| !switch.settled || known.state == *state) {
            Some(known) => known.clone(),
            None => GatewayStatus { name: name.clone(), state: *state, since: Some(Time(now)) },
        }
    };
    switch.gateways.iter().map(of).collect()
}

/// A pod's time is over by the deadline of its drain, or when Kubernetes ends it, whichever comes first.
fn drains(inputs: &StatusInputs<'_>, fleet: &views::Fleet) -> Drains {
    let allowed = SignedDuration::from_secs(inputs.trunk.spec.drain.deadline_seconds.into());
    let deadline = |pod: &PodFacts| {
        let by_drain = pod.draining_since.and_then(|since| since.checked_add(allowed).ok());
        by_drain.into_iter().chain(pod.ends_at).min()
    };
    let latest = inputs.data_plane_pods.iter().filter(|pod| pod.draining).filter_map(deadline).max();
    // The API has whole seconds; with more, what is read back would differ from what was written.
    let whole = latest.map(|time| Time(Timestamp::from_second(time.as_second()).unwrap_or(time)));
    Drains { pods: fleet.draining, latest_deadline: whole }
}

fn images(inputs: &StatusInputs<'_>) -> Option<Images> {
    let of = |pods: &[PodFacts]| {
        let used: BTreeSet<&String> = pods.iter().filter_map(|pod| pod.image.as_ref()).collect();
        used.into_iter().filter(|image| image.len() <= 512).take(Images::MAX).cloned().collect()
    };
    let images = Images { data_plane: of(inputs.data_plane_pods), free_switch: of(inputs.free_switch_pods) };
    (images != Images::default()).then_some(images)
}

/// The data-plane pods' selector as autoscalers read it: `key=value,key=value`.
fn selector(trunk: &str) -> String {
    let pairs: Vec<String> = labels::selector(trunk, Component::DataPlane)
        .into_iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    pairs.join(",")
}

#[cfg(test)]
mod tests;
