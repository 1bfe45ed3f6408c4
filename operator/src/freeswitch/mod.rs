//! FreeSWITCH's whole configuration in one file, from a `VoiceTrunk`. Pure; talks to no FreeSWITCH.
//!
//! A call is three channels: A, the caller's, on profile `edge`; B, A's bridge, out of profile `agent` and in again as C, which
//! a data-plane pod holds over outbound ESL. `docs/freeswitch.md` says why.
//!
//! | to find | look in |
//! |---|---|
//! | modules, limits, log, event socket, access lists | `switch.rs` |
//! | SIP profiles | `profiles.rs` |
//! | carriers | `gateways.rs` |
//! | who is answered, takeovers, transfers | `dialplan.rs` |
//! | callers' codecs, names, keys for SRTP, hold | `callers.rs` |
//! | what a value may consist of | `check.rs` |
//! | escaping | `xml.rs` |
//!
//! What the configuration leaves to the cluster: callers reach profile `edge` by IPv4, unless `externalAddress` is an IPv6
//! address; RTP to the pods is IPv4, so a cluster without IPv4 needs an external FreeSWITCH. With TLS the certificate of a
//! gateway is not checked, since a stock image has no list of authorities where FreeSWITCH looks for one.

mod callers;
mod check;
mod dialplan;
mod error;
mod gateways;
mod profiles;
mod switch;
mod transfers;
mod xml;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use sofia_crds::spec::{Codec, FreeSwitch, Transfers};

pub use error::RenderError;

use crate::secret_text::SecretText;
use xml::Element;

/// Global variable that has new calls refused while it is `true`: how FreeSWITCH is drained. Calls that are up go on, from pod to pod too.
pub const DRAINING_VARIABLE: &str = "sofia_phone_draining";
/// SIP profile at which callers arrive, and that registers with carriers.
pub const EDGE_PROFILE: &str = "edge";
/// Port of the event socket on loopback, for fs_cli.
pub const EVENT_SOCKET_PORT: u16 = 8021;
/// Context to which pods transfer callers: the data plane's `SOFIA_PHONE_TRANSFER_CONTEXT`.
pub const TRANSFER_CONTEXT: &str = "transfer";
/// How often a call is tried with pods until it is answered.
pub const ATTEMPTS: u32 = 5;
/// How often a caller who was talking is, from the first loss on and anew after each handover: some ten seconds, in which a pod that is
/// alone has started again.
pub const TAKEOVER_ATTEMPTS: u32 = 9;

/// Profile and context of calls from outside.
const EDGE_CONTEXT: &str = "edge";
/// Context of a caller's leg between two pods.
const AFTER_CONTEXT: &str = "edge-after";
/// Profile and context of the pods' legs.
const AGENT_CONTEXT: &str = "agent";
/// SIP port of the profile `agent`, on loopback.
pub(crate) const AGENT_SIP_PORT: u16 = 5080;
const LOOPBACK: &str = "127.0.0.1";
/// A folder of the container that FreeSWITCH may write to.
const RUN_FOLDER: &str = "/var/freeswitch/run";

/// What `freeswitch.xml` is rendered from.
#[derive(Clone, Debug)]
pub struct SwitchConfig<'a> {
    /// FreeSWITCH's section of the spec.
    pub free_switch: &'a FreeSwitch,
    /// Sessions that it begins in a second.
    pub sessions_per_second: u32,
    /// `spec.numbers`.
    pub numbers: &'a [String],
    /// `spec.transfers`.
    pub transfers: &'a Transfers,
    /// `spec.echoNumber`.
    pub echo_number: &'a str,
    /// Codecs towards the pods, best first.
    pub codecs: &'a [Codec],
    /// Host name of the ESL Service: pods that take new calls.
    pub esl_host: &'a str,
    /// The same for callers whose pod was lost: pods that take no new calls may still take over. Where FreeSWITCH can't reach those it is
    /// the ESL Service's.
    pub takeover_host: &'a str,
    /// Its port.
    pub esl_port: u16,
    /// What is presented with each call.
    pub esl_token: &'a SecretText,
    /// Password of the event socket on loopback.
    pub event_socket_password: &'a SecretText,
    /// Passwords of the gateways, by name.
    pub gateway_passwords: &'a BTreeMap<String, SecretText>,
}

/// `freeswitch.xml`, for `freeswitch -conf FOLDER`. It holds the passwords of the gateways and the ESL token: it belongs into
/// a Secret.
///
/// # Errors
/// The first value that FreeSWITCH would take for something else than itself. Of a spec that was validated these are few: a
/// number pattern with `(?…)` other than `(?i)` or with a construct that FreeSWITCH reads differently, a user name with a
/// colon or quotes, a password of several lines.
pub fn render(config: &SwitchConfig<'_>) -> Result<String, RenderError> {
    let configuration = Element::named("section", "configuration")
        .child(switch::modules())
        .child(switch::console())
        .child(switch::limits(config)?)
        .child(switch::event_socket(config)?)
        .child(switch::access_lists(config)?)
        .child(switch::opus())
        .child(switch::msrp())
        .child(profiles::sofia(config)?)
        .child(switch::timezones());
    let dialplan = Element::named("section", "dialplan").children(dialplan::contexts(config)?);
    Element::new("document")
        .with("type", "freeswitch/xml")
        .child(global(callers::security_of_late_offers(config.free_switch.srtp)))
        .child(configuration)
        .child(dialplan)
        .child(Element::named("section", "directory"))
        .into_document()
}

/// A global variable, which channels have unless they say otherwise: `name=value`.
fn global(assignment: String) -> Element {
    Element::new("X-PRE-PROCESS").with("cmd", "set").with("data", assignment)
}

/// `fs_cli.conf`, with which probes and the drain hook reach the event socket without a password among their arguments.
///
/// # Errors
/// A password that the file cannot hold.
pub fn render_fs_cli(config: &SwitchConfig<'_>) -> Result<String, RenderError> {
    let password = config.event_socket_password.expose();
    check::word("the event socket's password", password)?;
    Ok(format!(
        "[default]\nhost => {LOOPBACK}\nport => {EVENT_SOCKET_PORT}\npassword => {password}\nquiet => true\n\
         no-history-file => true\n"
    ))
}
