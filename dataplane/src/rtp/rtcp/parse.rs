//! Reading compound RTCP packets: validated once, then walked without failing. Never keeps state between datagrams.

use thiserror::Error;

use super::{
    BLOCK_LEN, NtpTime, ReportBlock, SDES_CNAME, SenderInfo, TYPE_BYE, TYPE_RECEIVER_REPORT, TYPE_SENDER_REPORT,
    TYPE_SOURCE_DESCRIPTION,
};

/// Why a datagram is not a compound RTCP packet. `offset` is where the offending packet begins in the datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RtcpError {
    /// Fewer octets than a packet's header, or none at all.
    #[error("RTCP packet at octet {offset} has {len} octets, expected at least 4")]
    TooShort {
        /// Start of the packet.
        offset: usize,
        /// Octets left.
        len: usize,
    },
    /// The version field is not 2.
    #[error("RTCP version {found} at octet {offset}, expected 2")]
    Version {
        /// Start of the packet.
        offset: usize,
        /// The version field, 0–3.
        found: u8,
    },
    /// The length field points beyond the datagram.
    #[error("RTCP packet at octet {offset} announces {announced} octets, {len} are left")]
    Length {
        /// Start of the packet.
        offset: usize,
        /// Octets that the packet claims.
        announced: usize,
        /// Octets left.
        len: usize,
    },
    /// The padding count is zero, more than the packet, or on a packet that isn't the last.
    #[error("RTCP padding of {padding} octets in the packet at octet {offset}")]
    Padding {
        /// Start of the packet.
        offset: usize,
        /// The count in the packet's last octet.
        padding: u8,
    },
    /// The packet is shorter than the blocks that its count announces.
    #[error("RTCP packet of type {packet_type} at octet {offset} is too short for {count} entries")]
    Truncated {
        /// Start of the packet.
        offset: usize,
        /// RTCP packet type.
        packet_type: u8,
        /// Entries announced.
        count: u8,
    },
}

/// A validated compound packet; borrows the datagram. Packets of unknown types are skipped.
///
/// Accepts reduced-size RTCP too (RFC 5506): the first packet need not be a report.
#[derive(Clone, Copy, Debug)]
pub struct Compound<'a> {
    bytes: &'a [u8],
}

impl<'a> Compound<'a> {
    /// Validates every packet of the datagram (RFC 3550 §A.2).
    ///
    /// # Errors
    ///
    /// [`RtcpError`] names the first packet that is wrong; then none of the datagram should be believed.
    pub fn parse(datagram: &'a [u8]) -> Result<Self, RtcpError> {
        let mut rest = datagram;
        loop {
            let offset = datagram.len() - rest.len();
            rest = split(rest, offset)?.1;
            if rest.is_empty() {
                return Ok(Compound { bytes: datagram });
            }
        }
    }

    /// The packets of known types, in order.
    pub fn packets(&self) -> Packets<'a> {
        Packets { rest: self.bytes }
    }
}

/// Iterator over the packets of a [`Compound`].
#[derive(Clone, Debug)]
pub struct Packets<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Packets<'a> {
    type Item = RtcpPacket<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.rest.is_empty() {
            let (packet, rest) = split(self.rest, 0).expect("Compound::parse split the same bytes");
            self.rest = rest;
            if packet.is_some() {
                return packet;
            }
        }
        None
    }
}

/// One packet of a compound.
#[derive(Clone, Copy, Debug)]
pub enum RtcpPacket<'a> {
    /// A sender report (RFC 3550 §6.4.1).
    SenderReport {
        /// Who reports.
        ssrc: u32,
        /// What it has sent.
        info: SenderInfo,
        /// What it has received.
        blocks: ReportBlocks<'a>,
    },
    /// A receiver report (RFC 3550 §6.4.2).
    ReceiverReport {
        /// Who reports.
        ssrc: u32,
        /// What it has received.
        blocks: ReportBlocks<'a>,
    },
    /// Source descriptions (RFC 3550 §6.5); only canonical names are read.
    SourceDescription(CanonicalNames<'a>),
    /// Sources that leave (RFC 3550 §6.6).
    Bye {
        /// Those who leave.
        sources: Sources<'a>,
        /// The reason given, not validated as UTF-8.
        reason: Option<&'a [u8]>,
    },
}

/// Iterator over report blocks.
#[derive(Clone, Copy, Debug)]
pub struct ReportBlocks<'a> {
    bytes: &'a [u8],
}

impl Iterator for ReportBlocks<'_> {
    type Item = ReportBlock;

    fn next(&mut self) -> Option<ReportBlock> {
        let (block, rest) = self.bytes.split_first_chunk::<BLOCK_LEN>()?;
        self.bytes = rest;
        Some(ReportBlock {
            ssrc: word(block, 0),
            fraction_lost: block[4],
            // 24 bits, signed: shifted up to 32 and back for the sign.
            cumulative_lost: (word(block, 4) << 8) as i32 >> 8,
            highest_sequence: word(block, 8),
            jitter: word(block, 12),
            last_sender_report: word(block, 16),
            delay_since_last_sender_report: word(block, 20),
        })
    }
}

/// Iterator over `(ssrc, CNAME)` of a source description; names are not validated as UTF-8.
///
/// Ends early at an item that runs out of its packet.
#[derive(Clone, Copy, Debug)]
pub struct CanonicalNames<'a> {
    body: &'a [u8],
    chunks_left: u8,
}

impl<'a> Iterator for CanonicalNames<'a> {
    type Item = (u32, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        while self.chunks_left > 0 {
            self.chunks_left -= 1;
            let chunk = self.body;
            let (ssrc, mut rest) = chunk.split_first_chunk::<4>()?;
            let mut name = None;
            loop {
                match *rest {
                    [0, ..] => {
                        // The chunk is padded with at least one zero octet to the next 32-bit boundary.
                        let used = (chunk.len() - rest.len() + 1).next_multiple_of(4);
                        self.body = chunk.get(used..).unwrap_or_default();
                        break;
                    }
                    [kind, len, ref value @ ..] if value.len() >= usize::from(len) => {
                        let (value, after) = value.split_at(usize::from(len));
                        if kind == SDES_CNAME {
                            name = name.or(Some(value));
                        }
                        rest = after;
                    }
                    _ => {
                        self.chunks_left = 0;
                        break;
                    }
                }
            }
            if let Some(name) = name {
                return Some((u32::from_be_bytes(*ssrc), name));
            }
        }
        None
    }
}

/// Iterator over the sources of a BYE.
#[derive(Clone, Copy, Debug)]
pub struct Sources<'a> {
    bytes: &'a [u8],
}

impl Iterator for Sources<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        let (ssrc, rest) = self.bytes.split_first_chunk::<4>()?;
        self.bytes = rest;
        Some(u32::from_be_bytes(*ssrc))
    }
}

/// Splits the first packet from `bytes`; `None` for one of an unknown type.
fn split(bytes: &[u8], offset: usize) -> Result<(Option<RtcpPacket<'_>>, &[u8]), RtcpError> {
    let len = bytes.len();
    let [first, packet_type, length_high, length_low, ..] = *bytes else {
        return Err(RtcpError::TooShort { offset, len });
    };
    if first >> 6 != 2 {
        return Err(RtcpError::Version { offset, found: first >> 6 });
    }
    let announced = (usize::from(u16::from_be_bytes([length_high, length_low])) + 1) * 4;
    let (packet, rest) = bytes.split_at_checked(announced).ok_or(RtcpError::Length { offset, announced, len })?;
    let mut body = &packet[4..];
    if first & 0x20 != 0 {
        let padding = packet[announced - 1];
        let kept = body.len().checked_sub(usize::from(padding));
        body = match kept {
            Some(kept) if padding > 0 && rest.is_empty() => &body[..kept],
            _ => return Err(RtcpError::Padding { offset, padding }),
        };
    }
    let count = first & 0x1f;
    let parsed = match packet_type {
        TYPE_SENDER_REPORT => sender_report(body, count),
        TYPE_RECEIVER_REPORT => receiver_report(body, count),
        TYPE_SOURCE_DESCRIPTION => Some(RtcpPacket::SourceDescription(CanonicalNames { body, chunks_left: count })),
        TYPE_BYE => bye(body, count),
        _ => return Ok((None, rest)),
    };
    match parsed {
        Some(parsed) => Ok((Some(parsed), rest)),
        None => Err(RtcpError::Truncated { offset, packet_type, count }),
    }
}

fn sender_report(body: &[u8], count: u8) -> Option<RtcpPacket<'_>> {
    let (head, rest) = body.split_first_chunk::<24>()?;
    let info = SenderInfo {
        ntp: NtpTime::from_bits(u64::from(word(head, 4)) << 32 | u64::from(word(head, 8))),
        rtp_timestamp: word(head, 12),
        packets: word(head, 16),
        octets: word(head, 20),
    };
    Some(RtcpPacket::SenderReport { ssrc: word(head, 0), info, blocks: blocks(rest, count)? })
}

fn receiver_report(body: &[u8], count: u8) -> Option<RtcpPacket<'_>> {
    let (ssrc, rest) = body.split_first_chunk::<4>()?;
    Some(RtcpPacket::ReceiverReport { ssrc: u32::from_be_bytes(*ssrc), blocks: blocks(rest, count)? })
}

fn bye(body: &[u8], count: u8) -> Option<RtcpPacket<'_>> {
    let (sources, rest) = body.split_at_checked(usize::from(count) * 4)?;
    let reason = rest.split_first().and_then(|(&len, text)| text.get(..usize::from(len)));
    Some(RtcpPacket::Bye { sources: Sources { bytes: sources }, reason })
}

fn blocks(bytes: &[u8], count: u8) -> Option<ReportBlocks<'_>> {
    Some(ReportBlocks { bytes: bytes.get(..usize::from(count) * BLOCK_LEN)? })
}

/// The 32-bit word at `at`. `N` is the block's length, which every caller's `at` is within.
fn word<const N: usize>(bytes: &[u8; N], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
