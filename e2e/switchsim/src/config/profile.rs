//! SIP profiles and their gateways, as `sofia.conf` has them. Never listens: a server does, if there is one.

use std::net::IpAddr;

use roxmltree::Node;

use super::ConfigError;
use super::xml::{Param, all, attribute, bad, descendants, line, params};
use crate::sdp::OfferedCodec;

/// A SIP profile: one listening address and what calls through it get.
#[derive(Debug, Clone)]
pub struct Profile {
    /// Its name in dial strings.
    pub name: String,
    /// The dialplan context of calls that arrive here.
    pub context: String,
    /// SIP address.
    pub sip_ip: IpAddr,
    /// SIP port.
    pub sip_port: u16,
    /// Address offered for RTP.
    pub rtp_ip: IpAddr,
    /// What legs out of this profile offer, best first.
    pub outbound_codecs: Vec<OfferedCodec>,
    /// `inbound-codec-prefs` as written: shown to the pod as `rtp_use_codec_string`.
    pub inbound_codec_string: String,
    /// The access lists for calls that arrive here; one that allows is enough. Empty: everybody may call.
    pub inbound_acls: Vec<String>,
    /// Calls that arrive here bypass media: the pod's own SDP is the answer.
    pub bypass_media: bool,
    /// Session timers: they would end a bypassed channel.
    pub session_timers: bool,
    /// `rtp-timer-name=soft`: without it audio does not come back after hold.
    pub soft_timer: bool,
    /// Callers without an offer are answered with one (`enable-3pcc`).
    pub late_offers: bool,
    /// Callers that require reliable provisional responses are taken (`enable-100rel`).
    pub reliable_provisional: bool,
    /// Keys by SIP INFO are taken beside those in the RTP (`liberal-dtmf`).
    pub liberal_dtmf: bool,
    /// Payload type of telephone-event at 8 kHz.
    pub dtmf_payload_type: u8,
    /// Names of the gateways of this profile.
    pub gateways: Vec<String>,
    /// Those of them that register.
    pub registering: Vec<String>,
}

/// Reads a `<profile>`.
pub(super) fn read(node: Node<'_, '_>, modules: &[&str]) -> Result<Profile, ConfigError> {
    let name = attribute(node, "name")?;
    // A profile may hold gateways and domains with parameters of their own.
    let node_settings = node
        .children()
        .find(|child| child.has_tag_name("settings"))
        .ok_or_else(|| ConfigError::Missing { what: format!("<settings> of profile {name:?}") })?;
    let settings = params(node_settings);
    let need = |param: &str| {
        settings.get(param).ok_or_else(|| ConfigError::Missing { what: format!("{param} of profile {name:?}") })
    };
    let flag = |param: &str, default: bool| settings.get(param).map_or(default, Param::is_true);
    let sip_ip: IpAddr = need("sip-ip")?.parse("sip-ip", "an IP address")?;
    let rtp_ip = settings.get("rtp-ip").map_or(Ok(sip_ip), |value| value.parse("rtp-ip", "an IP address"))?;
    let bypass_media = flag("inbound-bypass-media", false);
    check_external(settings.get("ext-sip-ip"), "ext-sip-ip")?;
    let external = check_external(settings.get("ext-rtp-ip"), "ext-rtp-ip")?;
    if let Some(address) = external.filter(|address| bypass_media && *address != rtp_ip) {
        // Legs out of the profile that leads to the pods would offer that address in place of their own.
        return Err(ConfigError::Unsupported {
            line: settings["ext-rtp-ip"].line,
            what: format!("ext-rtp-ip={address} on profile {name:?}, which leads to the pods"),
        });
    }
    let codecs = settings.get("outbound-codec-prefs").or_else(|| settings.get("codec-prefs"));
    let has = |module: &str| modules.contains(&module);
    let outbound_codecs = codecs.map_or_else(
        || OfferedCodec::list("PCMU,PCMA"),
        |value| {
            // A codec whose module is not loaded is left out of the offer without a word.
            let known = OfferedCodec::list(value.value).into_iter();
            known.filter(|codec| codec.module().is_none_or(has)).collect()
        },
    );
    let gateways = descendants(node, "gateway").map(read_gateway).collect::<Result<Vec<_>, _>>()?;
    Ok(Profile {
        name: name.to_owned(),
        context: settings.get("context").map_or("default", |value| value.value).to_owned(),
        sip_ip,
        sip_port: settings.get("sip-port").map_or(Ok(5060), |value| value.parse("sip-port", "a port"))?,
        rtp_ip,
        outbound_codecs,
        inbound_codec_string: settings.get("inbound-codec-prefs").map_or("PCMU,PCMA", |value| value.value).to_owned(),
        inbound_acls: all(node_settings, "apply-inbound-acl").map(|value| value.value.trim().to_owned()).collect(),
        bypass_media,
        session_timers: flag("enable-timer", true),
        late_offers: flag("enable-3pcc", false),
        reliable_provisional: flag("enable-100rel", false),
        liberal_dtmf: flag("liberal-dtmf", false),
        soft_timer: settings.get("rtp-timer-name").is_some_and(|value| value.value == "soft"),
        dtmf_payload_type: settings
            .get("rfc2833-pt")
            .map_or(Ok(101), |value| value.parse("rfc2833-pt", "a payload type"))?,
        registering: gateways.iter().filter(|(_, registers)| *registers).map(|(name, _)| name.clone()).collect(),
        gateways: gateways.into_iter().map(|(name, _)| name).collect(),
    })
}

/// Where the switch says it is to peers outside. Callers of this stand-in are inside it, so it changes nothing for them.
/// Returns the address that is offered whoever the peer is.
fn check_external(param: Option<&Param<'_>>, what: &str) -> Result<Option<IpAddr>, ConfigError> {
    let Some(param) = param else { return Ok(None) };
    let value = param.value.trim();
    if matches!(value, "auto" | "auto-nat") {
        return Ok(None);
    }
    match value.split_once(':') {
        Some(("host" | "stun", name)) if !name.is_empty() => Ok(None),
        Some(("autonat", address)) if address.parse::<IpAddr>().is_ok() => Ok(None),
        _ => param.parse(what, "an IP address, auto, auto-nat, autonat:ADDRESS, host:NAME or stun:NAME").map(Some),
    }
}

/// Its name, and whether it registers.
fn read_gateway(node: Node<'_, '_>) -> Result<(String, bool), ConfigError> {
    let name = attribute(node, "name")?;
    let settings = params(node);
    let registers = settings.get("register").is_none_or(Param::is_true);
    for needed in ["username", "password"] {
        if registers && !settings.contains_key(needed) {
            let what = format!("line {}: {needed} of gateway {name:?}, which registers", line(node));
            return Err(ConfigError::Missing { what });
        }
    }
    if name.is_empty() || name.contains(['/', '@', ' ']) {
        return Err(bad(line(node), "gateway", name, "a name without slash, at sign and space"));
    }
    Ok((name.to_owned(), registers))
}
