//! Where carriers send calls, by how FreeSWITCH is reached.

use std::{net::IpAddr, sync::Arc};

use k8s_openapi::api::core::v1::{LoadBalancerStatus, Pod};
use kube::ResourceExt as _;
use sofia_crds::VoiceTrunk;
use sofia_crds::spec::{NetworkType, Switch};
use sofia_crds::status::{ENTRY_POINTS_MAX, EntryPoint};

use crate::vocabulary::names;

/// What is known of where callers come in.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct EntryPointFacts<'a> {
    /// What became of FreeSWITCH's Service of type LoadBalancer.
    pub load_balancer: Option<&'a LoadBalancerStatus>,
    /// Addresses of the nodes that run FreeSWITCH; see [`node_addresses`].
    pub node_addresses: &'a [String],
}

/// Addresses of the nodes that run these pods (`status.hostIP`), each once and in an order that does not depend on the pods' names. Nodes
/// whose pod ends are left out as long as there is another.
pub fn node_addresses(pods: &[Arc<Pod>]) -> Vec<String> {
    let of = |ending: bool| -> Vec<String> {
        let pods = pods.iter().filter(|pod| pod.metadata.deletion_timestamp.is_some() == ending);
        pods.filter_map(|pod| pod.status.as_ref()?.host_ip.clone()).collect()
    };
    let mut addresses = Some(of(false)).filter(|addresses| !addresses.is_empty()).unwrap_or_else(|| of(true));
    addresses.sort_by_cached_key(|address| (address.parse::<IpAddr>().ok(), address.clone()));
    addresses.dedup();
    addresses
}

/// Everywhere that carriers can send calls; nothing until it is known.
pub(super) fn entry_points(trunk: &VoiceTrunk, facts: &EntryPointFacts<'_>) -> Vec<EntryPoint> {
    let managed = match trunk.spec.switch() {
        Switch::External(external) => {
            let address = external.entry_point_address.clone();
            return address.map(|address| EntryPoint { address, port: None }).into_iter().collect();
        }
        Switch::Managed(managed) => managed,
    };
    let network = &managed.network;
    let addresses = match (&network.external_address, network.r#type) {
        (_, NetworkType::ClusterIP) => {
            let namespace = trunk.namespace().unwrap_or_default();
            vec![format!("{}.{namespace}.svc", names::free_switch(&trunk.name_any()))]
        }
        (Some(address), NetworkType::HostNetwork | NetworkType::LoadBalancer) => vec![address.clone()],
        (None, NetworkType::HostNetwork) => facts.node_addresses.to_vec(),
        (None, NetworkType::LoadBalancer) => facts.load_balancer.map(load_balancer_addresses).unwrap_or_default(),
    };
    let port = Some(managed.sip_port);
    addresses.into_iter().take(ENTRY_POINTS_MAX).map(|address| EntryPoint { address, port }).collect()
}

/// In the order in which the cluster tells them.
fn load_balancer_addresses(status: &LoadBalancerStatus) -> Vec<String> {
    let ways = status.ingress.as_deref().unwrap_or_default();
    let set = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    ways.iter().filter_map(|way| set(&way.ip).or_else(|| set(&way.hostname))).collect()
}
