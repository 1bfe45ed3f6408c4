//! NetworkPolicies: who may reach FreeSWITCH and the data plane.
//!
//! Only what comes in is ruled. What goes out is left open: the pods need backends and record servers at URLs that anyone may choose,
//! DNS, carriers, and callers' telephones wherever they are; a list of all those would be wrong somewhere, and a call without sound is
//! the sign of it.

use k8s_openapi::{
    api::networking::v1::{
        IPBlock, NetworkPolicy, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec,
    },
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};
use sofia_crds::spec::{FreeSwitch, NetworkType, Switch};

use super::{
    labels::{Component, METRICS_ACCESS, NAMESPACE_NAME},
    metadata::Context,
    names, pod, service,
};

/// Calls from the allowed peers, audio from whom the spec says, or everyone, and from the data plane. Nothing for FreeSWITCH on the node's
/// network, which no policy reaches: its own list of peers decides there.
pub(super) fn free_switch(context: &Context<'_>, free_switch: &FreeSwitch) -> Option<NetworkPolicy> {
    let kind = free_switch.network.r#type;
    if kind == NetworkType::HostNetwork {
        return None;
    }
    let transports = service::sip_transports(free_switch.network.sip_transport);
    let sip = transports.iter().map(|(_, protocol)| port(protocol, free_switch.sip_port)).collect();
    let range = free_switch.rtp_port_range;
    let audio = ports("UDP", range.start, range.end);
    let peers = |ranges: &[String]| -> Vec<NetworkPolicyPeer> {
        let mut peers: Vec<_> = ranges.iter().map(|range| block(range)).collect();
        if kind == NetworkType::ClusterIP && !peers.is_empty() {
            // With some network plug-ins a block of addresses stands for hosts outside the cluster only. Callers within it are let
            // through to FreeSWITCH's own list of peers, which goes by address in any case.
            peers.push(NetworkPolicyPeer {
                namespace_selector: Some(LabelSelector::default()),
                ..NetworkPolicyPeer::default()
            });
        }
        peers
    };
    let calls = rule(peers(&free_switch.allowed_peers), sip);
    // Carriers send audio from other addresses than their signalling. FreeSWITCH takes it only on ports that a call has.
    let callers_audio = rule(peers(&free_switch.media_peers), vec![audio.clone()]);
    let agents_audio = rule(vec![pods_of(context, Component::DataPlane)], vec![audio]);
    let name = names::free_switch(context.name);
    Some(policy(context, Component::FreeSwitch, name, vec![calls, callers_audio, agents_audio]))
}

/// Calls and audio from FreeSWITCH; figures and drain for the operator; metrics for namespaces that are marked for it.
pub(super) fn data_plane(context: &Context<'_>) -> NetworkPolicy {
    let last_audio_port = names::RTP_START_PORT + 2 * names::RTP_WORKERS_MAX - 1;
    let calls = vec![port("TCP", names::ESL_PORT), ports("UDP", names::RTP_START_PORT, last_audio_port)];
    let switches = match context.spec.switch() {
        Switch::External(external) => external.allowed_peers.iter().map(|peer| block(peer)).collect(),
        // From a node's address, which may be any: the token on each call and the pods' check of each packet's source stand guard.
        Switch::Managed(managed) if managed.network.r#type == NetworkType::HostNetwork => Vec::new(),
        Switch::Managed(_) => vec![pods_of(context, Component::FreeSwitch)],
    };
    let readers = vec![operator(context), namespaces(METRICS_ACCESS, "true")];
    let ingress = vec![rule(switches, calls), rule(readers, vec![port("TCP", names::ADMIN_PORT)])];
    policy(context, Component::DataPlane, names::data_plane(context.name), ingress)
}

fn operator(context: &Context<'_>) -> NetworkPolicyPeer {
    let release = context.inputs.release;
    NetworkPolicyPeer {
        pod_selector: Some(LabelSelector {
            match_labels: Some(release.operator_labels.clone()),
            ..LabelSelector::default()
        }),
        ..namespaces(NAMESPACE_NAME, &release.operator_namespace)
    }
}

fn namespaces(label: &str, value: &str) -> NetworkPolicyPeer {
    NetworkPolicyPeer {
        namespace_selector: Some(LabelSelector {
            match_labels: Some([(label.to_owned(), value.to_owned())].into()),
            ..LabelSelector::default()
        }),
        ..NetworkPolicyPeer::default()
    }
}

fn pods_of(context: &Context<'_>, component: Component) -> NetworkPolicyPeer {
    NetworkPolicyPeer { pod_selector: Some(context.selector(component)), ..NetworkPolicyPeer::default() }
}

fn block(cidr: &str) -> NetworkPolicyPeer {
    NetworkPolicyPeer {
        ip_block: Some(IPBlock { cidr: cidr.to_owned(), except: None }),
        ..NetworkPolicyPeer::default()
    }
}

/// An empty list of peers is everyone.
fn rule(from: Vec<NetworkPolicyPeer>, ports: Vec<NetworkPolicyPort>) -> NetworkPolicyIngressRule {
    NetworkPolicyIngressRule { from: pod::some_unless_empty(from), ports: Some(ports) }
}

fn port(protocol: &str, number: u16) -> NetworkPolicyPort {
    NetworkPolicyPort {
        protocol: Some(protocol.to_owned()),
        port: Some(IntOrString::Int(number.into())),
        end_port: None,
    }
}

fn ports(protocol: &str, first: u16, last: u16) -> NetworkPolicyPort {
    NetworkPolicyPort { end_port: Some(last.into()), ..port(protocol, first) }
}

fn policy(
    context: &Context<'_>,
    component: Component,
    name: String,
    ingress: Vec<NetworkPolicyIngressRule>,
) -> NetworkPolicy {
    NetworkPolicy {
        metadata: context.metadata(component, name),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(context.selector(component)),
            policy_types: Some(vec!["Ingress".to_owned()]),
            ingress: Some(ingress),
            egress: None,
        }),
    }
}
