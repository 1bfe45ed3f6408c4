//! The two SIP profiles: `edge`, where carriers and callers arrive, and `agent`, over which FreeSWITCH calls itself so that a
//! pod gets a leg of its own. Never says what becomes of a call: see [`super::dialplan`].

use std::net::IpAddr;

use sofia_crds::spec::{Acceptance, Codec, GatewayTransport, InfoKeys};

use super::error::RenderError;
use super::switch::{AGENT_LIST, EDGE_LIST, configuration};
use super::xml::{Element, Value};
use super::{
    AGENT_CONTEXT, AGENT_SIP_PORT, EDGE_CONTEXT, EDGE_PROFILE, LOOPBACK, RUN_FOLDER, SwitchConfig, callers, check,
    gateways,
};

/// Says what answers, and not which release of what.
const USER_AGENT: &str = "Sofia Phone";
/// Address that FreeSWITCH finds by itself: the pod's, or the node's with its network.
const LOCAL_V4: Value = Value::Global("local_ip_v4");
/// The same for IPv6.
const LOCAL_V6: Value = Value::Global("local_ip_v6");
/// Payload type of telephone-event.
const DTMF_PAYLOAD_TYPE: u16 = 101;
/// INVITEs whose call is still being set up; more get 503 at once.
const MAX_PROCEEDING: u32 = 1000;

pub(super) fn sofia(config: &SwitchConfig<'_>) -> Result<Element, RenderError> {
    let profiles = Element::new("profiles").child(edge(config)?).child(agent(config));
    let global = Element::new("global_settings").param("log-level", 0_u16);
    Ok(configuration("sofia.conf").child(global).child(profiles))
}

fn edge(config: &SwitchConfig<'_>) -> Result<Element, RenderError> {
    let spec = config.free_switch;
    let external = match &spec.network.external_address {
        Some(text) => Some((check::external_address("spec.freeSwitch.network.externalAddress", text)?, text.as_str())),
        None => None,
    };
    // Callers are told one address, so the sockets behind it are of the same IP version.
    let own = if matches!(external, Some((IpAddr::V6(_), _))) { LOCAL_V6 } else { LOCAL_V4 };
    let mut settings = Element::new("settings")
        .param("context", EDGE_CONTEXT)
        .param("sip-ip", own.clone())
        .param("rtp-ip", own)
        .param("sip-port", port(spec.sip_port)?);
    if let Some((_, address)) = external {
        settings = settings.param("ext-sip-ip", address).param("ext-rtp-ip", address);
    }
    settings = common(settings)
        .comment("carriers' own addresses belong into this list too: whoever is not in it gets 403")
        .param("apply-inbound-acl", EDGE_LIST)
        .comment("nobody registers here, and a caller cannot send the call elsewhere (REFER)")
        .param("disable-register", true)
        .param("disable-transfer", true)
        .param("sip-options-respond-503-on-busy", true)
        .param("max-proceeding", MAX_PROCEEDING)
        .comment("habits of carriers and telephones: no offer in the INVITE, PRACK, keys by INFO")
        .param("enable-3pcc", spec.interop.late_offer == Acceptance::Accepted)
        .param("enable-100rel", spec.interop.reliable_provisional == Acceptance::Accepted)
        .param("liberal-dtmf", spec.interop.info_keys == InfoKeys::Accepted)
        .param("inbound-codec-prefs", "OPUS,G722,PCMU,PCMA")
        .param("outbound-codec-prefs", "PCMU,PCMA");
    if spec.gateways.iter().any(|gateway| gateway.transport == GatewayTransport::Tls) {
        settings = settings
            .comment("for gateways with TLS; FreeSWITCH makes a certificate of its own")
            .param("tls", true)
            .param("tls-sip-port", spec.sip_port.checked_add(1).ok_or_else(wrong_port)?)
            .param("tls-version", "tlsv1.2")
            .param("tls-cert-dir", RUN_FOLDER);
    }
    let mut profile = Element::named("profile", EDGE_PROFILE);
    if !spec.gateways.is_empty() {
        profile = profile.child(gateways::gateways(config)?);
    }
    Ok(profile.child(settings))
}

fn agent(config: &SwitchConfig<'_>) -> Element {
    let codecs = codecs(config.codecs);
    let settings = Element::new("settings")
        .param("context", AGENT_CONTEXT)
        .param("sip-ip", LOOPBACK)
        .param("rtp-ip", LOCAL_V4)
        .param("sip-port", AGENT_SIP_PORT);
    let settings = common(settings)
        .comment("nobody but this FreeSWITCH may reach a pod, and a re-INVITE (session timer) would end the call")
        .param("apply-inbound-acl", AGENT_LIST)
        .param("enable-timer", false)
        .param("disable-register", true)
        .param("disable-transfer", true)
        .comment("the pod's SDP is the answer")
        .param("inbound-bypass-media", true)
        .param("inbound-codec-prefs", codecs.as_str())
        .param("outbound-codec-prefs", codecs);
    Element::named("profile", AGENT_CONTEXT).child(settings)
}

fn common(settings: Element) -> Element {
    settings
        .param("user-agent-string", USER_AGENT)
        .param("sip-trace", false)
        .comment("without it audio does not come back after hold")
        .param("rtp-timer-name", "soft")
        .param("auth-calls", false)
        .param("manage-presence", false)
        .param("inbound-late-negotiation", true)
        .param("rfc2833-pt", DTMF_PAYLOAD_TYPE)
}

fn codecs(codecs: &[Codec]) -> String {
    codecs.iter().map(|codec| callers::switch_name(*codec)).collect::<Vec<_>>().join(",")
}

fn port(port: u16) -> Result<u16, RenderError> {
    if port == 0 { Err(wrong_port()) } else { Ok(port) }
}

fn wrong_port() -> RenderError {
    RenderError::new("spec.freeSwitch.sipPort", "a port from 1 to 65534, so that TLS can have the next one")
}
