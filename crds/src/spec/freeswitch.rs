//! FreeSWITCH: the one that the operator runs, and the one that runs elsewhere.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ResourceRequirements, Toleration};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    gateway::Gateway,
    network::{self, Network, NetworkType, RtpPortRange},
    pod::{self, SecretKeyRef, SecretRef},
    pod_template::PodTemplate,
};

/// FreeSWITCH, run by the operator.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default = "FreeSwitch::default")]
#[x_kube(
    validation = Rule::new("self.network.type != 'LoadBalancer' || self.replicas == 1").message(
        "set replicas to 1 with network type LoadBalancer: a load balancer may bring a call's audio to another FreeSWITCH \
         than its signalling; use HostNetwork for several"
    ),
    validation = Rule::new(
        "self.network.type != 'LoadBalancer' || self.rtpPortRange.end - self.rtpPortRange.start < 1000"
    )
    .message(
        "narrow rtpPortRange to at most 1000 ports (4 a call) with network type LoadBalancer, such as 20000 to 20399: \
         each becomes a port of the Service"
    ),
    validation = Rule::new("!has(self.network.externalAddress) || self.replicas <= 1").message(
        "set replicas to 1, or leave out network.externalAddress: the address can belong to one FreeSWITCH only"
    ),
    validation = Rule::new("self.sipPort < self.rtpPortRange.start || self.sipPort > self.rtpPortRange.end")
        .message("choose a sipPort outside rtpPortRange")
)]
pub struct FreeSwitch {
    /// Image of FreeSWITCH; any stock one with mod_sofia, mod_event_socket and mod_dialplan_xml, with fs_cli and a shell. Left
    /// out: the one that the operator was installed with.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512), regex(pattern = r"^\S+$"))]
    pub image: Option<String>,

    /// Secrets of type kubernetes.io/dockerconfigjson with which the image is pulled.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub image_pull_secrets: Vec<SecretRef>,

    /// How many FreeSWITCH pods there are. Each has its own calls; size it apart from the data plane.
    #[schemars(range(min = 1, max = 50))]
    pub replicas: u32,

    /// How callers reach FreeSWITCH.
    pub network: Network,

    /// Port on which SIP is taken, UDP and TCP.
    #[schemars(range(min = 1, max = 65535))]
    pub sip_port: u16,

    /// UDP ports of the callers' audio. A call needs four.
    pub rtp_port_range: RtpPortRange,

    /// Address ranges from which calls are taken, in CIDR notation: those of your carriers and PBXs. Left out: the private
    /// ranges. 0.0.0.0/0 and ::/0 let the whole Internet in.
    #[schemars(
        length(min = 1, max = 100),
        inner(length(min = 3, max = 43), regex(pattern = network::CIDR))
    )]
    #[x_kube(validation = network::peers())]
    pub allowed_peers: Vec<String>,

    /// Address ranges from which network policies let the callers' audio in, in CIDR notation; carriers often send it from others than
    /// their signalling. Left out: from everywhere, since FreeSWITCH takes what belongs to a call. Without effect with HostNetwork.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), inner(length(min = 3, max = 43), regex(pattern = network::CIDR)))]
    #[x_kube(validation = network::peers())]
    pub media_peers: Vec<String>,

    /// Carriers that FreeSWITCH registers with or sends calls to. The first one takes the calls that the agent transfers, unless
    /// transfers.gateway names another.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub gateways: Vec<Gateway>,

    /// Encryption of the callers' audio (SRTP with keys in SDP).
    pub srtp: Srtp,

    /// Habits of carriers and telephones that FreeSWITCH takes, each of which can be turned off.
    pub interop: Interop,

    /// Sessions that each FreeSWITCH begins in a second (its sessions-per-second). A new call takes three and one whose pod was lost two;
    /// who finds none left waits a second or two and tries again, a caller who was talking ten times. Left out: as many as the
    /// calls of half of scaling.maxReplicas take, which a lost node may have had, and some for new calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 30, max = 100_000))]
    pub sessions_per_second: Option<u32>,

    /// CPU and memory of each FreeSWITCH pod. A call takes about 1 % of a core; with Opus about 5 %.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "pod::resources_schema")]
    pub resources: Option<ResourceRequirements>,

    /// Labels that a node must have to run FreeSWITCH.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "pod::labels_schema")]
    pub node_selector: BTreeMap<String, String>,

    /// Taints of nodes that FreeSWITCH may run on all the same. Left out those of nodes that don't answer
    /// (node.kubernetes.io/not-ready and node.kubernetes.io/unreachable): for 15 seconds, then another one is started.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "pod::tolerations_schema")]
    pub tolerations: Vec<Toleration>,

    /// PriorityClass of FreeSWITCH: pods of a higher one displace others when nodes are full. Give it at least the one of the data plane:
    /// with FreeSWITCH its calls end.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$"))]
    pub priority_class_name: Option<String>,

    /// Labels of FreeSWITCH's pods, beside the operator's own.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "pod::labels_schema")]
    pub pod_labels: BTreeMap<String, String>,

    /// Annotations of FreeSWITCH's pods, such as those that a service mesh or a network of your own reads.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "pod::annotations_schema")]
    pub pod_annotations: BTreeMap<String, String>,

    /// What FreeSWITCH's pods have beside what the operator gives them: placement, volumes, variables.
    pub pod_template: PodTemplate,

    /// When Karpenter and the Cluster Autoscaler may take a node with FreeSWITCH on it away. Left out: WhenIdle; Never with
    /// network type HostNetwork, where callers come in at that node's address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_removal: Option<NodeRemoval>,
}

impl FreeSwitch {
    /// When node autoscalers may take its node: what the spec says, else what the network allows.
    pub fn node_removal(&self) -> NodeRemoval {
        self.node_removal.unwrap_or(match self.network.r#type {
            NetworkType::HostNetwork => NodeRemoval::Never,
            NetworkType::LoadBalancer | NetworkType::ClusterIP => NodeRemoval::WhenIdle,
        })
    }
}

/// When node autoscalers may take a node with FreeSWITCH on it away.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NodeRemoval {
    /// When the trunk has had no call for ten minutes. A call that comes all the same has until the drain deadline to end.
    WhenIdle,
    /// Not at all.
    Never,
}

impl Default for FreeSwitch {
    fn default() -> Self {
        Self {
            image: None,
            image_pull_secrets: Vec::new(),
            replicas: 1,
            network: Network::default(),
            sip_port: 5060,
            rtp_port_range: RtpPortRange::default(),
            allowed_peers: ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"].map(str::to_owned).to_vec(),
            media_peers: Vec::new(),
            gateways: Vec::new(),
            srtp: Srtp::default(),
            interop: Interop::default(),
            sessions_per_second: None,
            resources: None,
            node_selector: BTreeMap::new(),
            tolerations: Vec::new(),
            priority_class_name: None,
            pod_labels: BTreeMap::new(),
            pod_annotations: BTreeMap::new(),
            pod_template: PodTemplate::default(),
            node_removal: None,
        }
    }
}

/// Encryption of the callers' audio.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Srtp {
    /// Calls with SRTP are refused.
    Disabled,
    /// The caller decides.
    #[default]
    Optional,
    /// Calls without SRTP are refused.
    Required,
}

/// Habits of carriers and telephones, each taken unless turned off.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default = "Interop::default")]
pub struct Interop {
    /// Calls that bring no offer (an INVITE without SDP), as some PBXs and carriers send them. Such a call is answered at once, before
    /// a pod has it.
    pub late_offer: Acceptance,

    /// Callers that ask for reliable provisional responses (100rel, PRACK).
    pub reliable_provisional: Acceptance,

    /// Keys that come as SIP INFO. Turn it off if a telephone that sends each key in both ways is heard twice.
    pub info_keys: InfoKeys,

    /// Keys for SRTP in an offer of plain RTP (a=crypto with RTP/AVP), which many telephones send for SRTP if the other side has it.
    /// Such a call is not encrypted; with srtp Required it is refused.
    pub crypto_in_avp: Acceptance,
}

/// What becomes of a call with such a habit.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Acceptance {
    /// It is taken.
    #[default]
    Accepted,
    /// It is refused.
    Refused,
}

/// What becomes of keys that come as SIP INFO.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum InfoKeys {
    /// The agent gets them as any others.
    #[default]
    Accepted,
    /// Nobody gets them.
    Ignored,
}

/// FreeSWITCH that runs elsewhere. Its dialplan calls the socket application with the address of the ESL Service, and it
/// must reach the data-plane pods' own addresses for the audio.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExternalFreeSwitch {
    /// Address ranges from which FreeSWITCH connects to the pods and sends them audio, in CIDR notation.
    #[schemars(
        length(min = 1, max = 100),
        inner(length(min = 3, max = 43), regex(pattern = network::CIDR))
    )]
    #[x_kube(validation = network::peers())]
    // The alias: as the first specs that stand on Deployments have it.
    #[serde(alias = "peers")]
    pub allowed_peers: Vec<String>,

    /// Address at which that FreeSWITCH takes calls, as an IP address or a DNS name; only shown in the status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[0-9A-Za-z.:-]+$"))]
    pub entry_point_address: Option<String>,

    /// Service at which FreeSWITCH finds the data plane (port 8084, TCP).
    #[serde(default)]
    pub esl_service: EslService,

    /// Secret whose value FreeSWITCH presents with each call, so that nobody else brings calls to the pods. Left out: the
    /// operator makes one, in the Secret of the trunk's name with -esl behind it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub esl_token_secret_ref: Option<SecretKeyRef>,
}

/// Service at which an external FreeSWITCH finds the data plane.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default = "EslService::default")]
pub struct EslService {
    /// Type of the Service.
    pub r#type: EslServiceType,

    /// Annotations of the Service, such as those that your cloud's load balancer reads.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "pod::annotations_schema")]
    pub annotations: BTreeMap<String, String>,
}

/// Type of the Service at which an external FreeSWITCH finds the data plane.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum EslServiceType {
    /// Reached from inside the cluster, or from a network that routes into it.
    #[default]
    ClusterIP,
    /// Reached from outside by a load balancer.
    LoadBalancer,
}
