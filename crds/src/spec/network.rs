//! How callers reach FreeSWITCH: the kind of network, the address that is told to them, the ports of their audio.

use std::collections::BTreeMap;

use kube::{KubeSchema, core::cel::Rule};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::pod;

/// An address range as far as a pattern can tell; whether it is one is for a rule to say.
pub(super) const CIDR: &str = r"^[0-9A-Fa-f.:]+/[0-9]+$";

/// The rule that each peer is an address range.
pub(super) fn peers() -> Rule {
    Rule::new("self.all(peer, isCIDR(peer))").message(
        "write each peer as an address range in CIDR notation, such as 203.0.113.0/24, or 203.0.113.7/32 for one address",
    )
}

/// How callers reach FreeSWITCH.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default = "Network::default")]
#[x_kube(
    validation = Rule::new("self.type != 'ClusterIP' || !has(self.externalAddress)").message(
        "leave out externalAddress with network type ClusterIP: FreeSWITCH tells its pod's address there; \
         choose HostNetwork or LoadBalancer to be reached from outside"
    ),
    validation = Rule::new(
        "self.type == 'LoadBalancer' || !(has(self.loadBalancerClass) || self.loadBalancerNodePorts == 'None' \
         || (has(self.loadBalancerSourceRanges) && size(self.loadBalancerSourceRanges) > 0))"
    )
    .message("leave out loadBalancerClass, loadBalancerSourceRanges and loadBalancerNodePorts with other types than LoadBalancer"),
    validation = Rule::new(
        "self.type != 'LoadBalancer' || oldSelf.type != 'LoadBalancer' || (has(self.loadBalancerClass) \
         ? has(oldSelf.loadBalancerClass) && self.loadBalancerClass == oldSelf.loadBalancerClass \
         : !has(oldSelf.loadBalancerClass))"
    )
    .message("change type to ClusterIP, and back, to have another loadBalancerClass: Kubernetes keeps that of a Service")
)]
pub struct Network {
    /// Way into the cluster for SIP and audio.
    pub r#type: NetworkType,

    /// IP address that callers are told to send SIP and audio to, when it is not the one that FreeSWITCH sees: the public
    /// address before a NAT. Left out: the node's address with HostNetwork, the Service's with LoadBalancer.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 45))]
    #[x_kube(validation = Rule::new("isIP(self)").message("write externalAddress as an IP address, such as 203.0.113.7"))]
    pub external_address: Option<String>,

    /// Annotations of the Service, such as those that your cloud's load balancer reads.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "pod::annotations_schema")]
    pub annotations: BTreeMap<String, String>,

    /// Class of the load balancer, where the cluster has several implementations. Kubernetes doesn't let it be changed: to do so, change
    /// type to ClusterIP and back. Left out: the cluster's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 316),
        regex(pattern = r"^([a-z0-9]([a-z0-9.-]*[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$")
    )]
    pub load_balancer_class: Option<String>,

    /// Address ranges from which the load balancer takes packets, where it can tell, in CIDR notation. They hold for signalling and audio.
    /// Left out: from everywhere; freeSwitch.allowedPeers decides about calls in any case.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), inner(length(min = 3, max = 43), regex(pattern = CIDR)))]
    #[x_kube(validation = Rule::new("self.all(range, isCIDR(range))").message(
        "write each range in CIDR notation, such as 203.0.113.0/24"
    ))]
    pub load_balancer_source_ranges: Vec<String>,

    /// Whether each port of the load balancer takes a port of every node too, of which a cluster has some 2,700 by default. Those that a
    /// Service has already are given back only when it is made anew.
    pub load_balancer_node_ports: LoadBalancerNodePorts,

    /// Whether the Service has addresses of both versions of IP. Left out: the cluster decides. FreeSWITCH itself listens on one: IPv4,
    /// or IPv6 where externalAddress is of that version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip_family_policy: Option<IpFamilyPolicy>,

    /// Transports with which the Service brings SIP, and network policies let it in; for load balancers that can't have both on one port.
    /// With HostNetwork callers reach both.
    pub sip_transport: SipTransport,
}

/// Whether a load balancer's ports take ports of the nodes.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum LoadBalancerNodePorts {
    /// They do, which most load balancers need.
    #[default]
    Allocated,
    /// They don't, for load balancers that reach the pods by themselves.
    None,
}

/// Whether a Service has addresses of both versions of IP.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum IpFamilyPolicy {
    /// Of one.
    SingleStack,
    /// Of both where the cluster has both.
    PreferDualStack,
    /// Of both; refused where the cluster has one.
    RequireDualStack,
}

impl IpFamilyPolicy {
    /// Kubernetes' word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SingleStack => "SingleStack",
            Self::PreferDualStack => "PreferDualStack",
            Self::RequireDualStack => "RequireDualStack",
        }
    }
}

/// Transports of SIP.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum SipTransport {
    /// UDP and TCP.
    #[default]
    Both,
    /// UDP alone.
    Udp,
    /// TCP alone.
    Tcp,
}

/// Way into the cluster.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum NetworkType {
    /// FreeSWITCH uses its node's network: the way for real carriers, and the only one for several FreeSWITCH pods behind
    /// public addresses. One pod a node.
    HostNetwork,
    /// A Service of type LoadBalancer brings SIP and each port of the audio.
    LoadBalancer,
    /// Reached from inside the cluster, or from a network that routes into it.
    #[default]
    ClusterIP,
}

/// UDP ports of the callers' audio, both ends included.
#[derive(KubeSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default = "RtpPortRange::default")]
#[x_kube(
    validation = Rule::new("self.start < self.end").message("set start below end"),
    validation = Rule::new("self.start % 2 == 0").message("choose an even start: RTP has the even ports, RTCP the odd ones")
)]
pub struct RtpPortRange {
    /// First port; an even one.
    #[schemars(range(min = 1024, max = 65534))]
    pub start: u16,

    /// Last port; the range includes it.
    #[schemars(range(min = 1024, max = 65535))]
    pub end: u16,
}

impl Default for RtpPortRange {
    fn default() -> Self {
        Self { start: 20000, end: 29999 }
    }
}

impl RtpPortRange {
    /// How many ports the range has; none when its ends are the wrong way round.
    pub fn ports(self) -> u32 {
        (u32::from(self.end) + 1).saturating_sub(u32::from(self.start))
    }
}
