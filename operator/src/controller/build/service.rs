//! Services: SIP (and with a load balancer the callers' audio) towards FreeSWITCH, calls from FreeSWITCH towards the pods, and the
//! pods' names. The audio between FreeSWITCH and the pods never goes through one.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{Service, ServicePort, ServiceSpec},
    apimachinery::pkg::util::intstr::IntOrString,
};
use sofia_crds::spec::{EslService, EslServiceType, FreeSwitch, LoadBalancerNodePorts, NetworkType, SipTransport};

use super::{
    labels::{self, Component},
    metadata::Context,
    names, pod,
};

/// Where callers find FreeSWITCH.
///
/// With HostNetwork it is a ClusterIP Service too, for callers within the cluster: a headless one would do, but a Service can't go
/// from one to the other, and so the network's type could not be changed.
pub(super) fn free_switch(context: &Context<'_>, free_switch: &FreeSwitch) -> Service {
    let network = &free_switch.network;
    let balanced = network.r#type == NetworkType::LoadBalancer;
    let sip =
        sip_transports(network.sip_transport).iter().map(|(name, protocol)| port(name, protocol, free_switch.sip_port));
    let mut ports: Vec<ServicePort> = sip.collect();
    if balanced {
        let range = free_switch.rtp_port_range;
        ports.extend((range.start..=range.end).map(|number| port(&format!("rtp-{number}"), "UDP", number)));
    }
    Service {
        metadata: context.annotated(Component::FreeSwitch, names::free_switch(context.name), &network.annotations),
        spec: Some(ServiceSpec {
            // `Local` keeps the callers' addresses, by which FreeSWITCH decides whether it takes a call.
            external_traffic_policy: balanced.then(|| "Local".to_owned()),
            load_balancer_class: network.load_balancer_class.clone().filter(|_| balanced),
            load_balancer_source_ranges: pod::some_unless_empty(network.load_balancer_source_ranges.clone())
                .filter(|_| balanced),
            // Said only where it is not Kubernetes' own default.
            allocate_load_balancer_node_ports: (balanced
                && network.load_balancer_node_ports == LoadBalancerNodePorts::None)
                .then_some(false),
            ip_family_policy: network.ip_family_policy.map(|policy| policy.as_str().to_owned()),
            ..spec(context, Component::FreeSwitch, if balanced { "LoadBalancer" } else { "ClusterIP" }, ports)
        }),
        status: None,
    }
}

/// Where FreeSWITCH finds the data plane: pods that take a call now. One of the operator's reaches it within the cluster, an external
/// one as its `eslService` says.
pub(super) fn esl(context: &Context<'_>, external: Option<&EslService>) -> Service {
    let none = BTreeMap::new();
    let (balanced, annotations) = external
        .map_or((false, &none), |service| (service.r#type == EslServiceType::LoadBalancer, &service.annotations));
    Service {
        metadata: context.annotated(Component::DataPlane, names::esl(context.name), annotations),
        spec: Some(ServiceSpec {
            // `Local` keeps FreeSWITCH's address, by which the network policy lets it in.
            external_traffic_policy: balanced.then(|| "Local".to_owned()),
            ..spec(
                context,
                Component::DataPlane,
                if balanced { "LoadBalancer" } else { "ClusterIP" },
                vec![port("esl", "TCP", names::ESL_PORT)],
            )
        }),
        status: None,
    }
}

/// Where FreeSWITCH finds a pod for a caller whose pod was lost or drained: any pod, as one that takes no new calls may have a permit left.
/// It has an address of its own, behind which each connection goes to another pod: the addresses behind a name come in one order, so that
/// one pod that is going away would be met again and again.
pub(super) fn takeover(context: &Context<'_>) -> Service {
    Service {
        metadata: context.metadata(Component::DataPlane, names::takeover(context.name)),
        spec: Some(ServiceSpec {
            publish_not_ready_addresses: Some(true),
            ..spec(context, Component::DataPlane, "ClusterIP", vec![port("esl", "TCP", names::ESL_PORT)])
        }),
        status: None,
    }
}

/// Every data-plane pod by name, also those that are full or draining: their figures count.
pub(super) fn pods(context: &Context<'_>) -> Service {
    Service {
        metadata: context.metadata(Component::DataPlane, names::pods(context.name)),
        spec: Some(ServiceSpec {
            cluster_ip: Some("None".to_owned()),
            publish_not_ready_addresses: Some(true),
            ..spec(context, Component::DataPlane, "ClusterIP", vec![port("admin", "TCP", names::ADMIN_PORT)])
        }),
        status: None,
    }
}

/// Names and protocols of the ports for SIP.
pub(super) fn sip_transports(transport: SipTransport) -> &'static [(&'static str, &'static str)] {
    const BOTH: [(&str, &str); 2] = [("sip-udp", "UDP"), ("sip-tcp", "TCP")];
    match transport {
        SipTransport::Both => &BOTH,
        SipTransport::Udp => &[BOTH[0]],
        SipTransport::Tcp => &[BOTH[1]],
    }
}

fn spec(context: &Context<'_>, component: Component, kind: &str, ports: Vec<ServicePort>) -> ServiceSpec {
    ServiceSpec {
        type_: Some(kind.to_owned()),
        selector: Some(labels::selector(context.name, component)),
        ports: Some(ports),
        ..ServiceSpec::default()
    }
}

fn port(name: &str, protocol: &str, number: u16) -> ServicePort {
    ServicePort {
        name: Some(name.to_owned()),
        protocol: Some(protocol.to_owned()),
        port: number.into(),
        target_port: Some(IntOrString::Int(number.into())),
        ..ServicePort::default()
    }
}
