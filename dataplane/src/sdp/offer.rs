//! Reads an offer, within limits. A line that matters and is broken is an error; an attribute that is broken or unknown
//! is as if it were not there, because offers are full of those.

use super::error::SdpError;
use super::media::{Direction, Format, MediaDescription};
use std::net::{IpAddr, SocketAddr};

/// The longest description that is read, bytes. An offer of FreeSWITCH has some 300.
pub const MAX_BYTES: usize = 64 << 10;

/// The most `m=` lines that are read.
pub const MAX_MEDIA: usize = 16;

/// The most formats of one `m=` line that are read.
pub const MAX_FORMATS: usize = 64;

const MAX_CRYPTO_SUITES: usize = 32;
const MAX_TOKEN_BYTES: usize = 64;

/// A session description as offered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// The `m=` sections, in order.
    pub media: Vec<MediaDescription>,
}

/// What stands before the first `m=` line and holds for every section that doesn't say otherwise.
#[derive(Default)]
struct SessionLevel {
    address: Option<IpAddr>,
    direction: Option<Direction>,
    ptime_ms: Option<u32>,
    max_ptime_ms: Option<u32>,
}

impl Offer {
    /// Reads a description; lines may end in CR LF or LF.
    ///
    /// # Errors
    /// What makes it unreadable. Whether it can be answered is another question.
    pub fn parse(text: &str) -> Result<Self, SdpError> {
        if text.len() > MAX_BYTES {
            return Err(SdpError::TooLong { length: text.len(), limit: MAX_BYTES });
        }
        let mut session = SessionLevel::default();
        let mut media: Vec<MediaDescription> = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let number = index + 1;
            if line.chars().any(|c| c.is_control() && c != '\t') {
                return Err(SdpError::ControlCharacter { line: number });
            }
            let line = line.trim_end();
            if number == 1 && line != "v=0" {
                return Err(SdpError::NotSdp);
            }
            match (line.split_once('='), media.last_mut()) {
                (Some(("m", value)), _) => {
                    if media.len() == MAX_MEDIA {
                        return Err(SdpError::TooManyMedia { limit: MAX_MEDIA });
                    }
                    media.push(parse_media(value, &session, number)?);
                }
                (Some(("c", value)), Some(media)) => media.address = parse_connection(value),
                (Some(("c", value)), None) => session.address = parse_connection(value),
                (Some(("a", value)), Some(media)) => media_attribute(media, value),
                (Some(("a", value)), None) => session_attribute(&mut session, value),
                _ => {}
            }
        }
        if text.is_empty() {
            return Err(SdpError::NotSdp);
        }
        Ok(Self { media })
    }

    /// Every address that RTP or RTCP would be sent to, were the section it stands in taken.
    pub fn remotes(&self) -> impl Iterator<Item = SocketAddr> {
        self.media.iter().flat_map(|section| {
            let rtcp_port = section.rtcp.map_or(section.port.saturating_add(1), |(port, _)| port);
            let rtcp = section.rtcp.and_then(|(_, address)| address).or(section.address);
            let rtp = section.address.map(|address| SocketAddr::new(address, section.port));
            rtp.into_iter().chain(rtcp.map(|address| SocketAddr::new(address, rtcp_port)))
        })
    }
}

/// `audio 23158 RTP/AVP 0 8 101 13`; the port may carry a count, `23158/2`, of which only the first port is used.
fn parse_media(value: &str, session: &SessionLevel, line: usize) -> Result<MediaDescription, SdpError> {
    let malformed = || SdpError::MalformedMedia { line };
    let mut words = value.split_ascii_whitespace();
    let mut word = || words.next().ok_or_else(malformed);
    let (kind, port, protocol, first) = (word()?, word()?, word()?, word()?);
    let port = port.split_once('/').map_or(port, |(port, _)| port);
    // These three are repeated in the answer, which the switch takes as an application's argument.
    if ![kind, protocol, first].into_iter().all(is_plain_token) {
        return Err(malformed());
    }
    let mut formats = Vec::new();
    for (index, format) in std::iter::once(first).chain(words).enumerate() {
        if index == MAX_FORMATS {
            return Err(SdpError::TooManyFormats { line, limit: MAX_FORMATS });
        }
        if let Some(payload_type) = number::<u8>(format).filter(|&payload_type| payload_type < 128) {
            formats.push(Format::of_payload_type(payload_type));
        }
    }
    Ok(MediaDescription {
        kind: kind.to_owned(),
        port: number(port).ok_or_else(malformed)?,
        protocol: protocol.to_owned(),
        first_format: first.to_owned(),
        formats,
        address: session.address,
        rtcp: None,
        direction: session.direction.unwrap_or(Direction::SendRecv),
        ptime_ms: session.ptime_ms,
        max_ptime_ms: session.max_ptime_ms,
        crypto_suites: Vec::new(),
    })
}

fn media_attribute(media: &mut MediaDescription, attribute: &str) {
    let (name, value) = attribute.split_once(':').unwrap_or((attribute, ""));
    match name {
        "rtpmap" => {
            if let Some(mapped) = parse_rtpmap(value) {
                // A payload type may stand in the list twice; the mapping then holds for both.
                media.formats.iter_mut().filter(|f| f.payload_type == mapped.payload_type).for_each(|format| {
                    format.clone_from(&mapped);
                });
            }
        }
        "ptime" => media.ptime_ms = number(value.trim()).or(media.ptime_ms),
        "maxptime" => media.max_ptime_ms = number(value.trim()).or(media.max_ptime_ms),
        "rtcp" => media.rtcp = parse_rtcp(value),
        "crypto" if media.crypto_suites.len() < MAX_CRYPTO_SUITES => {
            let suite = value.split_ascii_whitespace().nth(1);
            media.crypto_suites.extend(suite.filter(|suite| is_plain_token(suite)).map(str::to_owned));
        }
        _ => media.direction = Direction::from_attribute(name).unwrap_or(media.direction),
    }
}

fn session_attribute(session: &mut SessionLevel, attribute: &str) {
    let (name, value) = attribute.split_once(':').unwrap_or((attribute, ""));
    match name {
        "ptime" => session.ptime_ms = number(value.trim()),
        "maxptime" => session.max_ptime_ms = number(value.trim()),
        _ => session.direction = Direction::from_attribute(name).or(session.direction),
    }
}

/// `IN IP4 192.0.2.1`, a multicast address perhaps with `/ttl` behind it. A host name is no address here: nothing in this
/// module resolves names.
fn parse_connection(value: &str) -> Option<IpAddr> {
    let mut words = value.split_ascii_whitespace();
    let (Some(net), Some(family), Some(address)) = (words.next(), words.next(), words.next()) else { return None };
    let address = address.split_once('/').map_or(address, |(address, _)| address);
    if !net.eq_ignore_ascii_case("IN") {
        return None;
    }
    match family.to_ascii_uppercase().as_str() {
        "IP4" => address.parse().ok().map(IpAddr::V4),
        "IP6" => address.parse().ok().map(IpAddr::V6),
        _ => None,
    }
}

/// `53020` or `53020 IN IP4 192.0.2.1` (RFC 3605 §2.1).
fn parse_rtcp(value: &str) -> Option<(u16, Option<IpAddr>)> {
    let value = value.trim();
    let (port, connection) = value.split_once(' ').unwrap_or((value, ""));
    let port = number(port).filter(|&port| port != 0)?;
    Some((port, parse_connection(connection)))
}

/// `102 L16/16000` or `103 opus/48000/2`.
fn parse_rtpmap(value: &str) -> Option<Format> {
    let (payload_type, mapping) = value.trim().split_once(char::is_whitespace)?;
    let mut parts = mapping.trim().split('/');
    let (encoding, clock, channels) = (parts.next()?, parts.next()?, parts.next());
    if !is_plain_token(encoding) {
        return None;
    }
    Some(Format {
        payload_type: number(payload_type)?,
        encoding: encoding.to_owned(),
        clock_hz: number(clock)?,
        channels: channels.map_or(Some(1), number)?,
    })
}

/// A decimal number without sign; `str::parse` alone would take `+5`.
fn number<T: std::str::FromStr>(text: &str) -> Option<T> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

fn is_plain_token(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'/' | b'+' | b'*');
    !text.is_empty() && text.len() <= MAX_TOKEN_BYTES && text.bytes().all(plain)
}

#[cfg(test)]
mod tests;
