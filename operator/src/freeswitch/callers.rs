//! What callers bring along, made fit for the legs that lead to the pods: codecs, names, keys for SRTP, hold. Each is an extension or a
//! variable of leg A before the first bridge, and lasts through takeovers. Never decides whether a call is taken.

use sofia_crds::spec::{Acceptance, Codec, Srtp};

use super::SwitchConfig;
use super::dialplan::{action, said, variable};
use super::error::RenderError;
use super::xml::Element;

/// Variable of leg A: what leg B offers to the pod.
pub(super) const CODECS: &str = "sofia_phone_codecs";
/// Variable of leg A: whether the pod is shown the caller's own number and name, or has to ask leg A for them.
pub(super) const CALLER: &str = "sofia_phone_caller";

/// What of a number does not get through From, Remote-Party-ID and back.
const ODD_NUMBER: &str = r"[^0-9A-Za-z+*#._~-]|^[\s\S]{65}";
/// The same of a name, which may have blanks, punctuation and letters of any script: FreeSWITCH decodes `%` once more on the way, breaks
/// the header at quotes and brackets and cuts it at slashes and colons; a line feed in it would be a header of the caller's own.
/// Backslashes and dollars are written as numbers, since FreeSWITCH reads expressions for variables first.
const ODD_NAME: &str = r"[\x00-\x1f\x22\x24%/:<>@\x5c\x5e\x7b-\x7d\x7f]|^[\s\S]{161}";
/// What leg B presents then; to FreeSWITCH and to the pods this is a caller whose number is withheld.
const INSTEAD: &str = "anonymous";
/// The caller's SDP, for conditions only.
const OFFER: &str = "switch_r_sdp";
/// Whether the caller's audio is encrypted.
const SECURITY: &str = "rtp_secure_media_inbound";
const FORBIDDEN: &str = "forbidden";

/// The extensions that every call runs through first.
pub(super) fn extensions(config: &SwitchConfig<'_>) -> Result<Vec<Element>, RenderError> {
    let SwitchConfig { codecs, free_switch, .. } = config;
    let mut extensions = vec![every_caller(codecs, free_switch.srtp)?];
    // FreeSWITCH negotiates no L16 with callers.
    let straight = codecs.iter().enumerate().filter(|(_, codec)| **codec != Codec::L16);
    extensions.extend(straight.map(|(at, codec)| straight_through(*codec, &codecs[at..])));
    if free_switch.srtp != Srtp::Required && free_switch.interop.crypto_in_avp == Acceptance::Accepted {
        extensions.push(crypto_in_avp());
    }
    extensions.push(odd("odd-number", "caller_id_number", ODD_NUMBER, "effective_caller_id_number"));
    extensions.push(odd("odd-name", "caller_id_name", ODD_NAME, "effective_caller_id_name"));
    Ok(extensions)
}

/// Left alone, leg B would offer what the caller offered, and at a takeover the caller's codec only, whatever the pods speak.
fn every_caller(codecs: &[Codec], srtp: Srtp) -> Result<Element, RenderError> {
    if codecs.is_empty() {
        return Err(RenderError::new("spec.dataPlane.codecs", "at least one codec"));
    }
    let mut condition = action(Element::new("condition"), "set", format!("{CODECS}={}", list(codecs)));
    condition = action(condition, "set", format!("{CALLER}=presented"));
    let security = match srtp {
        Srtp::Disabled => FORBIDDEN,
        Srtp::Optional => "optional",
        Srtp::Required => "mandatory",
    };
    condition = action(condition, "set", format!("{SECURITY}={security}"));
    // Else music that is set for all would be played to the pod, which hears a caller who never stops.
    condition = action(condition, "set", "hold_music=silence");
    Ok(continued("every-caller").child(condition))
}

/// The caller's codec first, then those that pods like less: a pod takes what it likes best, and that is to be this one.
fn straight_through(codec: Codec, codecs: &[Codec]) -> Element {
    let name = codec.name();
    let condition = variable("ep_codec_string", format!(r"^[^.,]+\.{name}(?:[@,~]|\z)"));
    continued(format!("codec-{name}")).child(action(condition, "set", format!("{CODECS}={}", list(codecs))))
}

/// Keys in an offer of plain RTP. FreeSWITCH refuses such an offer, or answers it without audio when it may encrypt: so it may not.
fn crypto_in_avp() -> Element {
    let set = |data: String| Element::new("anti-action").with("application", "set").with("data", data);
    let plain = variable(OFFER, "RTP/SAVP")
        .child(set("rtp_allow_crypto_in_avp=true".to_owned()))
        .child(set(format!("{SECURITY}={FORBIDDEN}")));
    continued("crypto-in-avp").child(variable(OFFER, "a=crypto:")).child(plain)
}

fn odd(extension: &'static str, field: &'static str, expression: &'static str, instead: &str) -> Element {
    let condition = action(said(field, expression), "set", format!("{instead}={INSTEAD}"));
    continued(extension).child(action(condition, "set", format!("{CALLER}=replaced")))
}

/// SRTP on the legs of callers who bring no offer, which FreeSWITCH answers before the dialplan: an offer of both kinds would be two
/// streams, which few take.
pub(super) fn security_of_late_offers(srtp: Srtp) -> String {
    let security = if srtp == Srtp::Required { "mandatory" } else { FORBIDDEN };
    format!("{SECURITY}={security}")
}

/// As FreeSWITCH names them. Without its rate, L16 would be narrowband.
pub(super) fn switch_name(codec: Codec) -> &'static str {
    match codec {
        Codec::L16 => "L16@16000h",
        Codec::G722 | Codec::Pcmu | Codec::Pcma => codec.name(),
    }
}

/// With a separator of its own: a comma would end the variable in the bridge's brackets.
fn list(codecs: &[Codec]) -> String {
    codecs.iter().fold("^^".to_owned(), |list, codec| format!("{list}:{}", switch_name(*codec)))
}

fn continued(name: impl Into<super::xml::Value>) -> Element {
    Element::named("extension", name).with("continue", true)
}
