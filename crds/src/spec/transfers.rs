//! Where the agent may transfer callers, and what becomes of a transfer that fails.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::NUMBER_PATTERN;

/// Where the agent may transfer callers. The language model is offered to transfer only as far as this allows; whatever a caller talks it
/// into, no other number is called at your cost.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default = "Transfers::default")]
pub struct Transfers {
    /// Whether the agent may transfer callers.
    pub mode: TransferMode,

    /// To whom. With externalFreeSwitch, whose own dialplan decides, left out: to whom conversation.transferDestinations says.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    pub destinations: Vec<TransferDestination>,

    /// Name of the gateway by which transferred calls go out. Left out: the first of freeSwitch.gateways.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"))]
    pub gateway: Option<String>,

    /// Number that whoever is called sees, for carriers that take calls from their own customers' numbers only. Left out: the caller's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32), regex(pattern = r"^\+?[0-9]+$"))]
    pub caller_id: Option<String>,

    /// What becomes of a caller whose transfer fails: nobody answers, the line is busy, or the carrier refuses.
    pub on_failure: TransferFailure,

    /// How long the other side may ring, in seconds. Then the transfer has failed.
    #[schemars(range(min = 5, max = 300))]
    pub timeout_seconds: u32,
}

impl Default for Transfers {
    fn default() -> Self {
        Self {
            mode: TransferMode::default(),
            destinations: Vec::new(),
            gateway: None,
            caller_id: None,
            on_failure: TransferFailure::default(),
            timeout_seconds: 30,
        }
    }
}

/// Whether the agent may transfer callers.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum TransferMode {
    /// The model is not offered to.
    #[default]
    Disabled,
    /// To the destinations that are listed.
    Enabled,
}

/// Somebody to whom callers may be transferred.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.name) || self.number.matches('^[+]?[0-9A-Za-z*#]+$')")
        .message("write the number of a destination that has a name as it is dialled, without patterns"),
    validation = Rule::new("has(self.name) || !''.matches('^(?:' + self.number + ')$')").message(
        r"write number as a regular expression that matches no empty text, such as \+4930555\d{3}, or give it a name"
    )
)]
pub struct TransferDestination {
    /// Name that the model may use in place of the number, such as reception. The model is told it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[A-Za-z][A-Za-z0-9._-]*$"))]
    pub name: Option<String>,

    /// Number to call. Without a name, a regular expression that a whole number must match, such as \+4930555\d{3}.
    #[schemars(length(min = 1, max = 128), regex(pattern = NUMBER_PATTERN))]
    pub number: String,
}

/// What becomes of a caller whose transfer fails.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum TransferFailure {
    /// The caller is back with the agent, who knows what was said and that the transfer failed.
    #[default]
    Return,
    /// The call ends.
    HangUp,
}
