//! One `m=` section and its parts, as offered. Never chooses anything.

use std::fmt;
use std::net::IpAddr;

/// One `m=` section of an offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaDescription {
    /// The media kind: `audio`, `video`, `image`, …
    pub kind: String,
    /// The port; 0 refuses the media (RFC 3264 §5.1).
    pub port: u16,
    /// The transport, such as `RTP/AVP` or `RTP/SAVP`.
    pub protocol: String,
    /// The format list's first entry as it stood there; what a refusal repeats.
    pub first_format: String,
    /// RTP formats in the offerer's order of preference; entries that are no payload type are left out.
    pub formats: Vec<Format>,
    /// Where to send: the section's own `c=` line or the session's; `None` when it is missing or not an IP address.
    pub address: Option<IpAddr>,
    /// `a=rtcp` (RFC 3605): port, and address where one is given.
    pub rtcp: Option<(u16, Option<IpAddr>)>,
    /// The direction as offered.
    pub direction: Direction,
    /// `a=ptime`, milliseconds.
    pub ptime_ms: Option<u32>,
    /// `a=maxptime`, milliseconds.
    pub max_ptime_ms: Option<u32>,
    /// The suites of the `a=crypto` lines (RFC 4568), without their keys, which have no business in a log.
    pub crypto_suites: Vec<String>,
}

impl MediaDescription {
    /// The direction, with the old way to hold taken into account: address 0.0.0.0 means that nothing is to be sent there
    /// (RFC 3264 §8.4).
    pub fn effective_direction(&self) -> Direction {
        match (self.address.is_some_and(|address| address.is_unspecified()), self.direction) {
            (true, Direction::SendRecv) => Direction::SendOnly,
            (true, Direction::RecvOnly) => Direction::Inactive,
            (_, direction) => direction,
        }
    }
}

/// An RTP format: a payload type and what `a=rtpmap`, or RFC 3551's table, says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Format {
    /// The payload type, 0–127.
    pub payload_type: u8,
    /// The encoding name as offered; empty when nothing tells it.
    pub encoding: String,
    /// The RTP clock, hertz; 0 when nothing tells it.
    pub clock_hz: u32,
    /// Audio channels.
    pub channels: u8,
}

impl Format {
    /// The format that a payload type means without `a=rtpmap` (RFC 3551 §6).
    pub(super) fn of_payload_type(payload_type: u8) -> Self {
        let (encoding, clock_hz, channels) = match payload_type {
            0 => ("PCMU", 8000, 1),
            3 => ("GSM", 8000, 1),
            4 => ("G723", 8000, 1),
            8 => ("PCMA", 8000, 1),
            9 => ("G722", 8000, 1),
            10 => ("L16", 44_100, 2),
            11 => ("L16", 44_100, 1),
            13 => ("CN", 8000, 1),
            15 => ("G728", 8000, 1),
            18 => ("G729", 8000, 1),
            _ => ("", 0, 1),
        };
        Self { payload_type, encoding: encoding.to_owned(), clock_hz, channels }
    }

    /// Whether this is `encoding` at this clock in one channel; names are compared without case (RFC 4855 §3).
    pub fn is(&self, encoding: &str, clock_hz: u32) -> bool {
        self.channels == 1 && self.clock_hz == clock_hz && self.encoding.eq_ignore_ascii_case(encoding)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.encoding.as_str(), self.channels) {
            ("", _) => write!(f, "payload type {}", self.payload_type),
            (encoding, 1) => write!(f, "{encoding}/{}", self.clock_hz),
            (encoding, channels) => write!(f, "{encoding}/{}/{channels}", self.clock_hz),
        }
    }
}

/// Which way media flows, as the one who writes the description sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Both ways.
    SendRecv,
    /// It only sends.
    SendOnly,
    /// It only receives.
    RecvOnly,
    /// Neither.
    Inactive,
}

impl Direction {
    /// The same flow as the other side sees it; what an answer says (RFC 3264 §6.1).
    pub const fn mirrored(self) -> Self {
        match self {
            Self::SendRecv => Self::SendRecv,
            Self::SendOnly => Self::RecvOnly,
            Self::RecvOnly => Self::SendOnly,
            Self::Inactive => Self::Inactive,
        }
    }

    /// Whether the writer of the description sends.
    pub const fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    /// Whether the writer of the description receives.
    pub const fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }

    /// The attribute's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }

    /// The direction of an attribute's name.
    pub(super) fn from_attribute(name: &str) -> Option<Self> {
        [Self::SendRecv, Self::SendOnly, Self::RecvOnly, Self::Inactive]
            .into_iter()
            .find(|direction| direction.as_str() == name)
    }
}
