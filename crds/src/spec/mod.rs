//! What a `VoiceTrunk` asks for. Each module has the types of one section, their defaults (in `Default`, the only place
//! where they are written) and the CEL rules between their fields.

mod backends;
mod conversation;
mod data_plane;
mod freeswitch;
mod gateway;
mod network;
mod open_ai;
mod pod;
mod pod_template;
mod scaling;
mod sessions;
mod text;
mod transfers;

use std::sync::LazyLock;

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

pub use backends::{BackendKind, Backends, CircuitBreaker, MockBackend, RetryPolicy};
pub use conversation::{
    Backchannels, BargeIn, BargeInMode, Conversation, EchoGuard, Endpointing, Silence, SilenceMode, TranscriptCheck,
    TransferDestinations,
};
pub use data_plane::{CallerNumbers, Codec, DataPlane, InbandDtmf, LogLevel};
pub use freeswitch::{
    Acceptance, EslService, EslServiceType, ExternalFreeSwitch, FreeSwitch, InfoKeys, Interop, NodeRemoval, Srtp,
};
pub use gateway::{Gateway, GatewayTransport, Registration};
pub use network::{IpFamilyPolicy, LoadBalancerNodePorts, Network, NetworkType, RtpPortRange, SipTransport};
pub use open_ai::{
    Generation, OpenAiBackend, PromptRole, Speech, SpeechFormat, Thoughts, TranscriptFormat, Transcription,
};
pub use pod::{SecretKeyRef, SecretRef};
pub use pod_template::{Fields, PodTemplate, ZoneSpread};
pub(crate) use pod_template::{saying, typed};
pub use scaling::{Scaling, ScalingMode};
pub use sessions::{Drain, RecordAudio, Records, Sessions};
pub use transfers::{TransferDestination, TransferFailure, TransferMode, Transfers};

use crate::{schema::structural, status::VoiceTrunkStatus};

/// What [`crate::validate::pattern::stands_alone`] takes, but for parentheses that don't match, which a rule of `numbers` finds: plain
/// characters; a backslash before one of those or before d, w, b, s; brackets without a bracket in them; no `(?` but `(?i)`, no `(*`.
const NUMBER_PATTERN: &str = concat!(
    r"^([)0-9A-Za-z+*#_.,?|{}-]",
    r"|\\[dDwWbBsS+*#_.,?|()\[\]{}-]",
    r"|\[([0-9A-Za-z+*#_.,?|(){}-]|\\[dDwWbBsS+*#_.,?|()\[\]{}-])+\]",
    r"|\(+(\?i\)|[)0-9A-Za-z+#_.,|{}-]|\\[dDwWbBsS+*#_.,?|()\[\]{}-]",
    r"|\[([0-9A-Za-z+*#_.,?|(){}-]|\\[dDwWbBsS+*#_.,?|()\[\]{}-])+\]))+$",
);

/// The telephone line that a VoiceTrunk asks for. Everything has a default: an empty spec runs FreeSWITCH and a fleet that
/// answers every call with the built-in mock backend.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "sofia-phone.io",
    version = "v1alpha1",
    kind = "VoiceTrunk",
    plural = "voicetrunks",
    shortname = "vt",
    category = "sofia-phone",
    category = "all",
    namespaced,
    doc = "A telephone line answered by voice agents: FreeSWITCH, a fleet of data-plane pods, and the speech backend that \
           callers talk to.",
    status = "VoiceTrunkStatus",
    derive = "PartialEq",
    derive = "Default",
    scale(
        spec_replicas_path = ".spec.scaling.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#,
        description = "Whether callers can be answered"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].reason"#,
        description = "Why they can or can't be"
    ),
    printcolumn(
        name = "Degraded",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Degraded")].reason"#,
        description = "What is wrong that does not go away by waiting; AllWell when nothing is"
    ),
    printcolumn(
        name = "Sessions",
        type_ = "integer",
        json_path = ".status.sessions.active",
        description = "Calls in progress"
    ),
    printcolumn(
        name = "Capacity",
        type_ = "integer",
        json_path = ".status.sessions.capacity",
        description = "Calls that the ready pods take at a time"
    ),
    printcolumn(name = "Pods", type_ = "integer", json_path = ".status.replicas", description = "Data-plane pods"),
    printcolumn(
        name = "Draining",
        type_ = "integer",
        json_path = ".status.drains.pods",
        description = "Data-plane pods that end while their calls run on"
    ),
    printcolumn(
        name = "FreeSWITCH",
        type_ = "integer",
        json_path = ".status.freeSwitch.ready",
        description = "FreeSWITCH pods that are ready"
    ),
    printcolumn(
        name = "Address",
        type_ = "string",
        json_path = ".status.entryPoint.address",
        description = "Where carriers send calls",
        priority = 1
    ),
    printcolumn(
        name = "Scaling",
        type_ = "string",
        json_path = ".spec.scaling.mode",
        description = "Who sets the number of pods",
        priority = 1
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("self.metadata.name.size() <= 40 && self.metadata.name.matches('^[a-z][a-z0-9-]*$')").message(
        "name the VoiceTrunk with at most 40 lower-case letters, digits and hyphens, a letter first: \
         its Services and pods are named after it"
    )
)]
#[serde(rename_all = "camelCase", default = "VoiceTrunkSpec::default")]
#[schemars(transform = structural)]
#[x_kube(
    validation = Rule::new("!(has(self.freeSwitch) && has(self.externalFreeSwitch))")
        .message("set freeSwitch to have FreeSWITCH run here, or externalFreeSwitch to use one that runs elsewhere, not both"),
    validation = Rule::new("!(has(self.externalFreeSwitch) && has(self.numbers) && size(self.numbers) > 0)")
        .message("leave out numbers with externalFreeSwitch: the dialplan of that FreeSWITCH chooses the calls it sends here"),
    validation = Rule::new("has(self.externalFreeSwitch) == has(oldSelf.externalFreeSwitch)")
        .message(
            "a VoiceTrunk keeps the kind of FreeSWITCH that it began with, since the exchange would cut its calls: \
             create a second VoiceTrunk, move the numbers to it, then delete this one"
        )
        .reason(Reason::FieldValueForbidden),
    validation = Rule::new(
        "!has(self.scaling.targetSessionsPerPod) || self.scaling.targetSessionsPerPod <= self.sessions.maxPerPod"
    )
    .message("lower scaling.targetSessionsPerPod to at most sessions.maxPerPod, or leave it out to have 70 % of that"),
    validation = Rule::new(
        "self.transfers.mode == 'Disabled' || has(self.externalFreeSwitch) \
         || (has(self.freeSwitch) && has(self.freeSwitch.gateways) && size(self.freeSwitch.gateways) > 0)"
    )
    .message("add the gateway by which transferred calls go out to freeSwitch.gateways, or set transfers.mode to Disabled"),
    validation = Rule::new(
        "self.transfers.mode == 'Disabled' || has(self.externalFreeSwitch) \
         || (has(self.transfers.destinations) && size(self.transfers.destinations) > 0)"
    )
    .message("list in transfers.destinations to whom callers may be transferred"),
    validation = Rule::new(
        "!has(self.transfers.gateway) || (has(self.freeSwitch) && has(self.freeSwitch.gateways) \
         && self.freeSwitch.gateways.exists(gateway, gateway.name == self.transfers.gateway))"
    )
    .message("set transfers.gateway to the name of one of freeSwitch.gateways, or leave it out to have the first"),
    validation = Rule::new(
        "!has(self.externalFreeSwitch) || !(has(self.transfers.gateway) || has(self.transfers.callerId) \
         || (has(self.transfers.destinations) && size(self.transfers.destinations) > 0))"
    )
    .message("leave out transfers.destinations, gateway and callerId with externalFreeSwitch, whose own dialplan decides")
)]
pub struct VoiceTrunkSpec {
    /// Dialled numbers that the agent answers, as regular expressions that a whole number must match, such as \+4930\d+;
    /// other numbers get 404. Left out: every number is answered.
    /// Not with externalFreeSwitch, whose own dialplan chooses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 100),
        inner(length(min = 1, max = 128), regex(pattern = NUMBER_PATTERN))
    )]
    #[x_kube(validation = Rule::new("self.all(number, !''.matches('^(?:' + number + ')$'))").message(
        r"write each number as a regular expression that matches no empty text, such as \+4930\d+; leave numbers out to answer all"
    ))]
    pub numbers: Vec<String>,

    /// Number that is the echo test: the caller hears themselves through the whole media path. Empty: there is none.
    #[schemars(length(max = 32), regex(pattern = r"^[0-9A-Za-z+*#]*$"))]
    pub echo_number: String,

    /// FreeSWITCH, run by the operator. Left out, without externalFreeSwitch: one with all defaults.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub free_switch: Option<FreeSwitch>,

    /// FreeSWITCH that runs elsewhere and connects to the data plane from there; then none is run here. Can't be exchanged
    /// for freeSwitch later, nor the other way round.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_free_switch: Option<ExternalFreeSwitch>,

    /// Pods that hold the conversations.
    pub data_plane: DataPlane,

    /// Speech backend that callers talk to: exactly one kind. Left out: mock, which is built in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backends: Option<Backends>,

    /// Limits of calls.
    pub sessions: Sessions,

    /// How the agent speaks and listens.
    pub conversation: Conversation,

    /// Where the agent may transfer callers. Left out: nowhere.
    pub transfers: Transfers,

    /// Where call records go. Left out: none are made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub records: Option<Records>,

    /// How many data-plane pods there are.
    pub scaling: Scaling,

    /// How pods end without cutting calls.
    pub drain: Drain,
}

impl Default for VoiceTrunkSpec {
    fn default() -> Self {
        Self {
            numbers: Vec::new(),
            echo_number: "9999".to_owned(),
            free_switch: None,
            external_free_switch: None,
            data_plane: DataPlane::default(),
            backends: None,
            sessions: Sessions::default(),
            conversation: Conversation::default(),
            transfers: Transfers::default(),
            records: None,
            scaling: Scaling::default(),
            drain: Drain::default(),
        }
    }
}

/// Ports of FreeSWITCH that a call takes: two legs with RTP, each with a port for RTP and one for RTCP.
pub const PORTS_PER_CALL: u32 = 4;

/// Which FreeSWITCH takes a trunk's calls.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Switch<'a> {
    /// One that the operator runs.
    Managed(&'a FreeSwitch),
    /// One that runs elsewhere.
    External(&'a ExternalFreeSwitch),
}

impl VoiceTrunkSpec {
    /// Which FreeSWITCH takes the calls; one with all defaults when the spec names none. Of both, which the API server
    /// refuses, the external one counts: it is the one that can't be left out by accident.
    pub fn switch(&self) -> Switch<'_> {
        static DEFAULT: LazyLock<FreeSwitch> = LazyLock::new(FreeSwitch::default);
        match (&self.external_free_switch, &self.free_switch) {
            (Some(external), _) => Switch::External(external),
            (None, Some(managed)) => Switch::Managed(managed),
            (None, None) => Switch::Managed(&DEFAULT),
        }
    }

    /// The speech backend; the mock when the spec names none.
    pub fn backends(&self) -> &Backends {
        static DEFAULT: LazyLock<Backends> = LazyLock::new(Backends::mock);
        self.backends.as_ref().unwrap_or(&DEFAULT)
    }

    /// Calls of one FreeSWITCH that may lose their pods at once: those of half the pods, which a lost node may have had, as far as
    /// FreeSWITCH has ports for so many.
    pub fn calls_lost_at_once(&self, free_switch: &FreeSwitch) -> u32 {
        let pods = self.scaling.max_replicas.div_ceil(2);
        self.sessions.max_per_pod.saturating_mul(pods).min(free_switch.rtp_port_range.ports() / PORTS_PER_CALL)
    }

    /// `sessions-per-second` of each FreeSWITCH: what the spec says, else two sessions for each call that may lose its pod at once and
    /// three for each of two hundred new ones, in steps of which each is twice the one before, so that a few pods more or less change
    /// nothing in FreeSWITCH's configuration.
    pub fn sessions_per_second(&self, free_switch: &FreeSwitch) -> u32 {
        free_switch.sessions_per_second.unwrap_or_else(|| {
            let needed = self.calls_lost_at_once(free_switch) * 2 + 600;
            needed.div_ceil(1000).next_power_of_two() * 1000
        })
    }

    /// Calls that a pod shall have on average: what the spec says, else 70 % of what a pod takes, at least one.
    pub fn target_sessions_per_pod(&self) -> u32 {
        self.scaling
            .target_sessions_per_pod
            .unwrap_or_else(|| (self.sessions.max_per_pod.saturating_mul(7) / 10).max(1))
    }
}
