//! What a VoiceTrunk has become, from what was applied and what the cluster made of it. Pure: asks no cluster, knows no
//! clock, and never says anything secret.

mod conditions;
mod entry_point;
mod problem;
mod text;
mod trouble;
mod views;

use jiff::Timestamp;
use kube::ResourceExt as _;
use sofia_crds::VoiceTrunk;
use sofia_crds::status::{SessionTotals, VoiceTrunkStatus};

pub use entry_point::EntryPointFacts;
pub use problem::Problem;
pub use trouble::{Trouble, TroubleKind};
pub use views::{PodFacts, WorkloadView};

use super::build::labels::{self, Component};
use crate::metrics::{SwitchPods, TrunkFigures};

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
    VoiceTrunkStatus {
        observed_generation: inputs.trunk.metadata.generation,
        conditions: conditions::all(inputs, &fleet),
        replicas: inputs.data_plane.map_or(0, |workload| workload.replicas),
        ready_replicas: fleet.taking_calls,
        selector: Some(selector(&inputs.trunk.name_any())),
        sessions: inputs.data_plane.map(|_| SessionTotals { active: fleet.active, capacity: fleet.capacity }),
        entry_point: entry_point::entry_point(inputs.trunk, &inputs.entry_point),
    }
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
