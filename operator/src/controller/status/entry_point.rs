//! Where carriers send calls, by how FreeSWITCH is reached.

use k8s_openapi::api::core::v1::LoadBalancerStatus;
use kube::ResourceExt as _;
use sofia_crds::VoiceTrunk;
use sofia_crds::spec::{NetworkType, Switch};
use sofia_crds::status::EntryPoint;

use crate::controller::build::names;

/// What is known of where callers come in.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct EntryPointFacts<'a> {
    /// What became of FreeSWITCH's Service of type LoadBalancer.
    pub load_balancer: Option<&'a LoadBalancerStatus>,
    /// Address of the node that runs the first FreeSWITCH pod, by name (`status.hostIP`).
    pub first_node_address: Option<&'a str>,
}

/// Where carriers send calls; nothing until it is known.
pub(super) fn entry_point(trunk: &VoiceTrunk, facts: &EntryPointFacts<'_>) -> Option<EntryPoint> {
    let managed = match trunk.spec.switch() {
        Switch::External(external) => {
            return external.entry_point_address.clone().map(|address| EntryPoint { address, port: None });
        }
        Switch::Managed(managed) => managed,
    };
    let network = &managed.network;
    let address = match network.r#type {
        NetworkType::ClusterIP => {
            let namespace = trunk.namespace().unwrap_or_default();
            Some(format!("{}.{namespace}.svc", names::free_switch(&trunk.name_any())))
        }
        NetworkType::HostNetwork => {
            network.external_address.clone().or_else(|| facts.first_node_address.map(str::to_owned))
        }
        NetworkType::LoadBalancer => {
            network.external_address.clone().or_else(|| facts.load_balancer.and_then(load_balancer_address))
        }
    };
    address.map(|address| EntryPoint { address, port: Some(managed.sip_port) })
}

fn load_balancer_address(status: &LoadBalancerStatus) -> Option<String> {
    let ways = status.ingress.as_deref().unwrap_or_default();
    let set = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    ways.iter().find_map(|way| set(&way.ip).or_else(|| set(&way.hostname)))
}
