//! The variables that mod_sofia and the core give to a channel, in the order of the recordings. Never renders them.

use uuid::Uuid;

use super::event;
use crate::cause::Cause;
use crate::channel::Channel;
use crate::config::Profile;

pub(super) const USER_AGENT: &str = "FreeSWITCH-mod_sofia/1.11.3-dev+git~20260821T141014Z~cc93a683ca~64bit";

/// An identifier as sofia-sip makes them: letters and digits.
pub(super) fn sip_token(uuid: &Uuid) -> String {
    const ALPHABET: &[u8; 57] = b"23456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
    let mut bits = uuid.as_u128();
    let mut token = String::with_capacity(13);
    for _ in 0..13 {
        token.push(char::from(ALPHABET[(bits % ALPHABET.len() as u128) as usize]));
        bits /= ALPHABET.len() as u128;
    }
    token
}

/// The variables of FreeSWITCH's call record, in their order.
pub(super) fn set_report_variables(channel: &mut Channel, last_application: &str) {
    let cause = channel.cause.unwrap_or(Cause::NORMAL_CLEARING);
    let (start, answer, end) = (channel.created_us, channel.answered_us, channel.hangup_us);
    let caller = format!("\"{}\" <{}>", channel.caller_name, channel.caller_number);
    let variables = &mut channel.variables;
    let mut set = |name: &str, value: String| variables.set(name, value);
    set("hangup_cause", cause.name().to_owned());
    set("hangup_cause_q850", cause.number().to_string());
    set("digits_dialed", "none".to_owned());
    set("start_stamp", event::local_time(start));
    set("profile_start_stamp", event::local_time(start));
    if answer > 0 {
        set("answer_stamp", event::local_time(answer));
    }
    set("end_stamp", event::local_time(end));
    let mut epoch = |name: &str, us: u64| {
        set(&format!("{name}_epoch"), (us / 1_000_000).to_string());
        set(&format!("{name}_uepoch"), us.to_string());
    };
    epoch("start", start);
    epoch("profile_start", start);
    epoch("answer", answer);
    epoch("bridge", 0);
    epoch("last_hold", 0);
    for unit in ["seconds", "usec", "ms"] {
        set(&format!("hold_accum_{unit}"), "0".to_owned());
    }
    let mut epoch = |name: &str, us: u64| {
        set(&format!("{name}_epoch"), (us / 1_000_000).to_string());
        set(&format!("{name}_uepoch"), us.to_string());
    };
    epoch("resurrect", 0);
    epoch("progress", 0);
    epoch("progress_media", 0);
    epoch("end", end);
    set("last_app", last_application.to_owned());
    set("caller_id", caller);
    for (unit, divisor) in [("sec", 1_000_000), ("msec", 1_000), ("usec", 1)] {
        let between = |from: u64, to: u64| if from == 0 { 0 } else { (to / divisor).saturating_sub(from / divisor) };
        let duration = match unit {
            "sec" => "duration",
            "msec" => "mduration",
            _ => "uduration",
        };
        set(duration, between(start, end).to_string());
        set(&format!("bill{unit}"), between(answer, end).to_string());
        set(&format!("progress{unit}"), "0".to_owned());
        set(&format!("answer{unit}"), if answer == 0 { 0 } else { between(start, answer) }.to_string());
        set(&format!("wait{unit}"), "0".to_owned());
        set(&format!("progress_media{unit}"), "0".to_owned());
        set(&format!("flow_bill{unit}"), between(start, end).to_string());
    }
}

/// The variables that a call has when `socket` runs, besides those of the dialplan, in their order.
pub(crate) struct LegIdentity<'a> {
    pub(crate) session_id: u64,
    pub(crate) profile: &'a Profile,
    pub(crate) network_port: u16,
    pub(crate) max_forwards: u32,
    /// `X-Call-UUID`, `X-Attempt`, …, in the order of the bridge's brackets.
    pub(crate) sip_headers: &'a [(String, String)],
    pub(crate) offer: &'a str,
    pub(crate) codec_string: &'a str,
}

/// Gives leg C's channel the variables that mod_sofia sets for an incoming call.
pub(crate) fn set_sip_variables(channel: &mut Channel, identity: &LegIdentity<'_>) {
    let profile = identity.profile;
    let host = profile.sip_ip.to_string();
    let port = profile.sip_port.to_string();
    let network_port = identity.network_port.to_string();
    let (number, display, destination) =
        (channel.caller_number.clone(), channel.caller_name.clone(), channel.destination.clone());
    let created = channel.created_us.to_string();
    let from_tag = sip_token(&Uuid::new_v4());
    let branch = sip_token(&Uuid::new_v4());
    let from_uri = format!("{number}@{host}");
    let to_uri = format!("{destination}@{host}:{port}");
    let name = channel.name.clone();
    let quoted = display.replace('"', "\\\"");
    let fixed = [
        ("session_id", identity.session_id.to_string()),
        ("sip_from_user", number.clone()),
        ("sip_from_uri", from_uri.clone()),
        ("sip_from_host", host.clone()),
        ("video_media_flow", "disabled".to_owned()),
        ("audio_media_flow", "disabled".to_owned()),
        ("text_media_flow", "disabled".to_owned()),
        ("channel_name", name),
        ("sip_call_id", Uuid::new_v4().to_string()),
        ("sip_local_network_addr", host.clone()),
        ("sip_network_ip", host.clone()),
        ("sip_network_port", network_port.clone()),
        ("sip_invite_stamp", created),
        ("sip_received_ip", host.clone()),
        ("sip_received_port", network_port.clone()),
        ("sip_via_protocol", "udp".to_owned()),
        ("sip_from_user_stripped", number.trim_start_matches('+').to_owned()),
        ("sip_from_tag", from_tag.clone()),
        ("sofia_profile_name", profile.name.clone()),
        ("sofia_profile_url", format!("sip:mod_sofia@{host}:{port}")),
        ("recovery_profile_name", profile.name.clone()),
        ("sip_Remote-Party-ID", format!("\"{quoted}\" <sip:{from_uri}>;party=calling;screen=yes;privacy=off")),
        ("sip_cid_type", "rpid".to_owned()),
        ("sip_full_via", format!("SIP/2.0/UDP {host}:{network_port};rport={network_port};branch=z9hG4bK{branch}")),
        ("sip_from_display", display),
        ("sip_full_from", format!("\"{quoted}\" <sip:{from_uri}>;tag={from_tag}")),
        ("sip_full_to", format!("<sip:{to_uri}>")),
        ("sip_allow", "INVITE, ACK, BYE, CANCEL, OPTIONS, MESSAGE, INFO, UPDATE, REGISTER, REFER, NOTIFY".to_owned()),
        ("sip_req_user", destination.clone()),
        ("sip_req_port", port.clone()),
        ("sip_req_uri", to_uri.clone()),
        ("sip_req_host", host.clone()),
        ("sip_to_user", destination.clone()),
        ("sip_to_port", port.clone()),
        ("sip_to_uri", to_uri),
        ("sip_to_host", host.clone()),
        ("sip_contact_user", "mod_sofia".to_owned()),
        ("sip_contact_port", network_port.clone()),
        ("sip_contact_uri", format!("mod_sofia@{host}:{network_port}")),
        ("sip_contact_host", host.clone()),
        ("rtp_use_codec_string", profile.inbound_codec_string.clone()),
        ("sip_user_agent", USER_AGENT.to_owned()),
        ("sip_via_host", host.clone()),
        ("sip_via_port", network_port.clone()),
        ("sip_via_rport", network_port),
        ("max_forwards", identity.max_forwards.to_string()),
    ];
    for (name, value) in fixed {
        channel.variables.set(name, value);
    }
    for (name, value) in identity.sip_headers {
        channel.variables.set(&format!("sip_h_{name}"), value.as_str());
    }
    channel.variables.set("switch_r_sdp", identity.offer);
    channel.variables.set("ep_codec_string", identity.codec_string);
    channel.variables.set("endpoint_disposition", "RECEIVED_NOMEDIA");
}
