//! How callers reach FreeSWITCH: the kind of network, the address that is told to them, the ports of their audio.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::pod;

/// How callers reach FreeSWITCH.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default = "Network::default")]
#[x_kube(
    validation = Rule::new("self.type != 'ClusterIP' || !has(self.externalAddress)").message(
        "leave out externalAddress with network type ClusterIP: FreeSWITCH tells its pod's address there; \
         choose HostNetwork or LoadBalancer to be reached from outside"
    )
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
