//! Carriers that FreeSWITCH registers with or sends calls to.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::pod::SecretKeyRef;

/// A carrier that FreeSWITCH registers with or sends calls to.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.registration != 'Enabled' || (has(self.username) && has(self.passwordSecretRef))")
        .message("set username and passwordSecretRef, without which there is no registration, or set registration to Disabled"),
    validation = Rule::new("!has(self.passwordSecretRef) || has(self.username)")
        .message("set the username that the password belongs to")
)]
pub struct Gateway {
    /// Name of the gateway in FreeSWITCH, logs and metrics.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"))]
    pub name: String,

    /// Host of the carrier, with or without a port: sip.example.com or sip.example.com:5060. An
    /// IPv6 address is written in brackets.
    #[schemars(
        length(min = 1, max = 259),
        regex(pattern = r"^([0-9A-Za-z]([0-9A-Za-z.-]*[0-9A-Za-z])?|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?$")
    )]
    pub proxy: String,

    /// How SIP is carried to it.
    #[serde(default)]
    pub transport: GatewayTransport,

    /// User name for registration and for the carrier's challenges.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[^\s<>&]+$"))]
    pub username: Option<String>,

    /// Secret with the password, in the namespace of the VoiceTrunk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_secret_ref: Option<SecretKeyRef>,

    /// Realm of the carrier's challenges. Left out: the host of proxy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[^\s<>&]+$"))]
    pub realm: Option<String>,

    /// Domain in the From header of calls sent to it. Left out: the host of proxy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[0-9A-Za-z.-]+$"))]
    pub from_domain: Option<String>,

    /// Whether FreeSWITCH registers with the carrier, so that the carrier knows where to send calls.
    #[serde(default)]
    pub registration: Registration,

    /// How long a registration is asked to last, in seconds.
    #[serde(default = "default_registration_seconds")]
    #[schemars(range(min = 60, max = 86400))]
    pub registration_seconds: u32,

    /// How often the carrier is asked (OPTIONS) whether it is there, in seconds. 0: never.
    #[serde(default = "default_ping_seconds")]
    #[schemars(range(min = 0, max = 3600))]
    pub ping_seconds: u32,
}

fn default_registration_seconds() -> u32 {
    3600
}

fn default_ping_seconds() -> u32 {
    30
}

/// How SIP is carried to a gateway.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum GatewayTransport {
    /// SIP over UDP.
    #[default]
    Udp,
    /// SIP over TCP.
    Tcp,
    /// SIP over TLS.
    Tls,
}

/// Whether FreeSWITCH registers with a gateway.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Registration {
    /// The carrier knows the address by itself, or only takes calls.
    #[default]
    Disabled,
    /// FreeSWITCH registers and renews; needs username and passwordSecretRef.
    Enabled,
}
