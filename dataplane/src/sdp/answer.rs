//! The answer to an offer (RFC 3264 §6): which `m=` section and codec are taken, and what is told to the switch and to the
//! media plane. It never changes an answer later: a re-INVITE stays on the caller's leg.

use super::address::{AddressFault, Surroundings};
use super::error::AnswerError;
use super::media::{Direction, Format, MediaDescription};
use super::offer::Offer;
use super::packetisation::packet_time_ms;
use crate::audio::SampleRate;
use crate::audio::codec::Codec;
use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};

/// The default preference: wideband first.
///
/// The path between switch and pod is inside a cluster, so 256 kbit/s cost nothing there, and speech recognition gains
/// from the band above 3.4 kHz whenever the caller's leg has it. Of the two wideband codecs, L16 at 16 kHz is the engine's
/// own rate: no codec to run, no resampling, no coding loss. G.722 carries the same band at more CPU. PCMU goes before
/// PCMA as in the offers of FreeSWITCH; the two are equally good.
pub const WIDEBAND_FIRST: [Codec; 4] = [Codec::L16(SampleRate::Hz16000), Codec::G722, Codec::Pcmu, Codec::Pcma];

/// The clocks that telephone events are offered at, hertz: those of audio.
const EVENT_CLOCKS: [u32; 5] = [8_000, 16_000, 24_000, 32_000, 48_000];

/// What an answer is made from.
#[derive(Debug, Clone, Copy)]
pub struct AnswerParams<'a> {
    /// Where the media worker receives RTP, as the switch reaches it; RTCP comes to the port after it.
    pub address: SocketAddr,
    /// The codecs that may be used, best first, such as [`WIDEBAND_FIRST`]. The answerer's order decides, not the offer's.
    pub codecs: &'a [Codec],
    /// The `o=` line's session id; any number that is not used twice by the same pod at once.
    pub session_id: u64,
    /// Which of the offer's addresses media cannot be sent to from here.
    pub surroundings: Surroundings<'a>,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The description for the switch, lines ending in CR LF.
    pub sdp: String,
    /// What the media plane is to do.
    pub media: NegotiatedMedia,
}

/// What was agreed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NegotiatedMedia {
    /// The codec of both directions.
    pub codec: Codec,
    /// Its RTP payload type.
    pub payload_type: u8,
    /// Where RTP goes, and where it comes from. While the other side holds the old way it is 0.0.0.0 or `::`; then
    /// [`direction`](Self::direction) does not send.
    pub remote: SocketAddr,
    /// Where RTCP goes.
    pub remote_rtcp: SocketAddr,
    /// Duration of one packet, milliseconds: 10, 20, … 60.
    pub ptime_ms: u32,
    /// Telephone events (RFC 4733), when offered: at the codec's clock where there are any, else at their own.
    pub dtmf: Option<DtmfFormat>,
    /// The payload type of comfort noise (RFC 3389), when offered at the codec's clock.
    pub comfort_noise: Option<u8>,
    /// The direction as this pod sees it.
    pub direction: Direction,
}

impl NegotiatedMedia {
    /// Duration of one packet.
    #[must_use]
    pub fn ptime(&self) -> std::time::Duration {
        std::time::Duration::from_millis(self.ptime_ms.into())
    }
}

/// How telephone events are carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DtmfFormat {
    /// The RTP payload type.
    pub payload_type: u8,
    /// The clock that durations count in, hertz. Timestamps of what is sent are the stream's; of what is received they may be either.
    pub clock_hz: u32,
}

impl Offer {
    /// Answers the offer: the first audio section that can be taken is, all others are refused with port 0, in order.
    ///
    /// Plain RTP is taken in either profile, `RTP/AVP` or `RTP/AVPF`. `a=crypto` in such a section is an invitation that an answer may pass
    /// over, so that one is taken in plain.
    ///
    /// # Errors
    /// Why no section can be taken. Of several reasons the one that comes closest to an answer is given.
    pub fn answer(&self, params: &AnswerParams<'_>) -> Result<Answer, AnswerError> {
        let mut refusal = None;
        for (index, section) in self.media.iter().enumerate() {
            match accept(section, params) {
                Ok(media) => return Ok(Answer { sdp: write(self, index, &media, params), media }),
                Err(error) if refusal.as_ref().is_none_or(|known| closeness(&error) > closeness(known)) => {
                    refusal = Some(error);
                }
                Err(_) => {}
            }
        }
        Err(match refusal {
            None => AnswerError::NoMedia,
            Some(AnswerError::NoAudio { .. }) => {
                AnswerError::NoAudio { offered: self.media.iter().map(|section| section.kind.clone()).collect() }
            }
            Some(error) => error,
        })
    }
}

/// How far a section got before it was refused; of several refusals the furthest tells most.
fn closeness(error: &AnswerError) -> u8 {
    match error {
        AnswerError::NoMedia => 0,
        AnswerError::NoAudio { .. } => 1,
        AnswerError::Disabled => 2,
        AnswerError::UnsupportedProtocol { .. } => 3,
        AnswerError::SrtpOnly { .. } => 4,
        AnswerError::NoAddress => 5,
        AnswerError::AddressFamilyMismatch => 6,
        AnswerError::UnusableAddress { .. } => 7,
        AnswerError::NoCommonCodec { .. } => 8,
    }
}

fn accept(section: &MediaDescription, params: &AnswerParams<'_>) -> Result<NegotiatedMedia, AnswerError> {
    if !section.kind.eq_ignore_ascii_case("audio") {
        return Err(AnswerError::NoAudio { offered: vec![section.kind.clone()] });
    }
    if section.port == 0 {
        return Err(AnswerError::Disabled);
    }
    match section.protocol.to_ascii_uppercase().as_str() {
        "RTP/AVP" | "RTP/AVPF" => {}
        secure if secure.contains("SAVP") => {
            return Err(AnswerError::SrtpOnly { suites: section.crypto_suites.clone() });
        }
        _ => return Err(AnswerError::UnsupportedProtocol { protocol: section.protocol.clone() }),
    }
    let remote = remote_address(section, params)?;
    let (codec, payload_type) = choose_codec(&section.formats, params.codecs)?;
    let clock_hz = codec.rtp_clock_hz();
    let companion = |encoding: &str| section.formats.iter().find(|format| format.is(encoding, clock_hz));
    Ok(NegotiatedMedia {
        codec,
        payload_type,
        remote,
        remote_rtcp: remote_rtcp(remote, section.rtcp, &params.surroundings),
        ptime_ms: packet_time_ms(section.ptime_ms, section.max_ptime_ms, codec),
        dtmf: choose_events(&section.formats, clock_hz),
        comfort_noise: companion("CN").map(|format| format.payload_type),
        direction: section.effective_direction().mirrored(),
    })
}

/// How keys are carried: at the codec's clock, as RFC 4733 §2.1 wants it. Some offer wideband audio and keys at 8 kHz alone; a key is known
/// by its packets having one timestamp, whatever clock that is of, so these are taken at their own clock rather than lost.
fn choose_events(formats: &[Format], clock_hz: u32) -> Option<DtmfFormat> {
    let at = |clock_hz| formats.iter().find(|format| format.is("telephone-event", clock_hz));
    let at_any =
        || formats.iter().find(|format| EVENT_CLOCKS.into_iter().any(|clock| format.is("telephone-event", clock)));
    let format = at(clock_hz).or_else(|| at(8_000)).or_else(at_any)?;
    Some(DtmfFormat { payload_type: format.payload_type, clock_hz: format.clock_hz })
}

/// The first of our codecs that is offered, and the payload type that the offer gives it.
fn choose_codec(formats: &[Format], codecs: &[Codec]) -> Result<(Codec, u8), AnswerError> {
    let offered = |codec: &Codec| {
        let format = formats.iter().find(|format| format.is(codec.encoding_name(), codec.rtp_clock_hz()))?;
        Some((*codec, format.payload_type))
    };
    codecs
        .iter()
        .find_map(offered)
        .ok_or_else(|| AnswerError::NoCommonCodec { offered: formats.iter().map(ToString::to_string).collect() })
}

/// Where media goes. An IPv4 address is one, also where it is written as IPv6 (RFC 4291 §2.5.5.2).
fn remote_address(section: &MediaDescription, params: &AnswerParams<'_>) -> Result<SocketAddr, AnswerError> {
    let address = section.address.ok_or(AnswerError::NoAddress)?.to_canonical();
    let remote = SocketAddr::new(address, section.port);
    // An address that is none is a hold where the offer says so (RFC 3264 §8.4); whoever wants to be sent to has forgotten to say where,
    // and this pod's answer is its only one.
    let nowhere = address.is_unspecified() && section.direction.receives();
    let fault = params.surroundings.fault(remote).or(nowhere.then_some(AddressFault::Unspecified));
    if let Some(fault) = fault {
        return Err(AnswerError::UnusableAddress { remote, fault });
    }
    if address.is_ipv4() != params.address.is_ipv4() {
        return Err(AnswerError::AddressFamilyMismatch);
    }
    Ok(remote)
}

/// RTCP goes to the port after RTP's (RFC 3550 §11) unless `a=rtcp` says otherwise; one that cannot be sent to is as if it were not there.
fn remote_rtcp(
    rtp: SocketAddr,
    attribute: Option<(u16, Option<IpAddr>)>,
    surroundings: &Surroundings<'_>,
) -> SocketAddr {
    let usable = |remote: &SocketAddr| remote.is_ipv4() == rtp.is_ipv4() && surroundings.fault(*remote).is_none();
    let told = attribute.map(|(port, address)| {
        let address = address.map(|address| address.to_canonical()).filter(|address| !address.is_unspecified());
        let told = SocketAddr::new(address.unwrap_or(rtp.ip()), port);
        if usable(&told) { told } else { SocketAddr::new(rtp.ip(), port) }
    });
    told.filter(usable).unwrap_or_else(|| SocketAddr::new(rtp.ip(), rtp.port().checked_add(1).unwrap_or(rtp.port())))
}

fn write(offer: &Offer, taken: usize, media: &NegotiatedMedia, params: &AnswerParams<'_>) -> String {
    let ip = params.address.ip();
    let family = if ip.is_ipv4() { "IP4" } else { "IP6" };
    let id = params.session_id;
    let mut sdp =
        format!("v=0\r\no=sofia-phone {id} 1 IN {family} {ip}\r\ns=sofia-phone\r\nc=IN {family} {ip}\r\nt=0 0\r\n");
    for (index, section) in offer.media.iter().enumerate() {
        if index == taken {
            write_taken(&mut sdp, &section.protocol, media, params.address.port());
        } else {
            line(&mut sdp, format_args!("m={} 0 {} {}", section.kind, section.protocol, section.first_format));
        }
    }
    sdp
}

/// The profile is the offer's: an answer may not change it (RFC 4585 §4.1). Feedback messages are never asked for, so none are offered back.
fn write_taken(sdp: &mut String, profile: &str, media: &NegotiatedMedia, port: u16) {
    let NegotiatedMedia { codec, payload_type, dtmf, comfort_noise, direction, ptime_ms, .. } = media;
    let mut formats = payload_type.to_string();
    for companion in dtmf.map(|dtmf| dtmf.payload_type).into_iter().chain(*comfort_noise) {
        formats.push(' ');
        formats.push_str(&companion.to_string());
    }
    line(sdp, format_args!("m=audio {port} {profile} {formats}"));
    line(sdp, format_args!("a=rtpmap:{payload_type} {}/{}", codec.encoding_name(), codec.rtp_clock_hz()));
    if let Some(DtmfFormat { payload_type, clock_hz }) = dtmf {
        line(sdp, format_args!("a=rtpmap:{payload_type} telephone-event/{clock_hz}"));
        line(sdp, format_args!("a=fmtp:{payload_type} 0-15"));
    }
    if let Some(payload_type) = comfort_noise {
        line(sdp, format_args!("a=rtpmap:{payload_type} CN/{}", codec.rtp_clock_hz()));
    }
    line(sdp, format_args!("a=ptime:{ptime_ms}"));
    line(sdp, format_args!("a={}", direction.as_str()));
}

fn line(sdp: &mut String, text: std::fmt::Arguments<'_>) {
    write!(sdp, "{text}\r\n").expect("writing to a String cannot fail");
}

#[cfg(test)]
mod tests;
