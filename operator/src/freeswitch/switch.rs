//! What FreeSWITCH is as a whole: its modules, limits, log, event socket, access lists. Knows nothing of calls.

use sofia_crds::spec::PORTS_PER_CALL;

use super::check;
use super::error::RenderError;
use super::xml::{Element, Value};
use super::{EVENT_SOCKET_PORT, LOOPBACK, SwitchConfig};

/// All in a stock FreeSWITCH. One that an image lacks is logged and left out: then there is no Opus, or no G.722.
const MODULES: [&str; 10] = [
    "mod_console",
    "mod_event_socket",
    "mod_sofia",
    "mod_commands",
    "mod_dptools",
    "mod_dialplan_xml",
    "mod_tone_stream",
    "mod_sndfile",
    "mod_opus",
    "mod_spandsp",
];

/// The caller's leg, the leg to the pods, and its other end.
const SESSIONS_PER_CALL: u32 = 3;
/// Of ten; speech gains nothing from more.
const OPUS_COMPLEXITY: u16 = 5;
/// Highest rate that callers are asked to send.
const OPUS_PLAYBACK_HZ: u16 = 16_000;
/// Access list of the profile that carriers reach.
pub(super) const EDGE_LIST: &str = "edge";
/// Access list of the profile that leads to the pods.
pub(super) const AGENT_LIST: &str = "agent";

pub(super) fn modules() -> Element {
    let loads = MODULES.map(|module| Element::new("load").with("module", module));
    configuration("modules.conf").child(Element::new("modules").children(loads))
}

/// To the container's log; below a notice FreeSWITCH writes applications with their data, and with it the token.
pub(super) fn console() -> Element {
    configuration("console.conf")
        .child(
            Element::new("mappings")
                .child(Element::named("map", "all").with("value", "console,notice,warning,err,crit,alert")),
        )
        .child(Element::new("settings").param("colorize", false).param("loglevel", "notice"))
}

pub(super) fn limits(config: &SwitchConfig<'_>) -> Result<Element, RenderError> {
    let ports = config.free_switch.rtp_port_range;
    let calls = ports.ports() / PORTS_PER_CALL;
    if calls == 0 {
        return Err(RenderError::new("spec.freeSwitch.rtpPortRange", "at least four ports, which a call needs"));
    }
    let settings = Element::new("settings")
        .param("max-sessions", calls * SESSIONS_PER_CALL)
        .param("sessions-per-second", config.sessions_per_second)
        .param("rtp-start-port", ports.start)
        .comment("the last port for RTP, an even one; the odd one behind it is RTCP's")
        .param("rtp-end-port", ports.end.saturating_sub(1) & !1)
        .param("loglevel", "notice")
        .comment("no command is run because a value looks like one")
        .param("api-expansion", false);
    Ok(configuration("switch.conf").child(settings))
}

pub(super) fn event_socket(config: &SwitchConfig<'_>) -> Result<Element, RenderError> {
    let password = config.event_socket_password.expose();
    check::word("the event socket's password", password)?;
    let settings = Element::new("settings")
        .param("listen-ip", LOOPBACK)
        .param("listen-port", EVENT_SOCKET_PORT)
        .param("password", password);
    Ok(configuration("event_socket.conf").child(settings))
}

pub(super) fn access_lists(config: &SwitchConfig<'_>) -> Result<Element, RenderError> {
    let mut peers = deny_others(EDGE_LIST);
    for (at, range) in config.free_switch.allowed_peers.iter().enumerate() {
        check::cidr(&format!("spec.freeSwitch.allowedPeers[{at}]"), range)?;
        peers = peers.child(allow(range.as_str()));
    }
    let own = deny_others(AGENT_LIST).child(allow(format!("{LOOPBACK}/32")));
    Ok(configuration("acl.conf").child(Element::new("network-lists").child(peers).child(own)))
}

fn deny_others(list: &'static str) -> Element {
    Element::named("list", list).with("default", "deny")
}

fn allow(range: impl Into<Value>) -> Element {
    Element::new("node").with("type", "allow").with("cidr", range)
}

/// Pods hear and speak 16 kHz, and a call is in mono: what is beyond that would only cost.
pub(super) fn opus() -> Element {
    let settings = Element::new("settings")
        .param("use-vbr", true)
        .param("complexity", OPUS_COMPLEXITY)
        .param("keep-fec-enabled", true)
        .param("maxplaybackrate", OPUS_PLAYBACK_HZ)
        .param("mono", true);
    configuration("opus.conf").child(settings)
}

/// Not used; without it FreeSWITCH warns at its start.
pub(super) fn msrp() -> Element {
    configuration("msrp.conf").child(Element::new("settings"))
}

pub(super) fn timezones() -> Element {
    configuration("timezones.conf").child(Element::new("timezones"))
}

pub(super) fn configuration(name: &'static str) -> Element {
    Element::named("configuration", name)
}
