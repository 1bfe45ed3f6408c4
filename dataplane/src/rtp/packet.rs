//! The RTP packet on the wire (RFC 3550 §5.1): a validated view for reading, a header for writing.
//! Never copies a payload and never judges whether a packet belongs to a stream: that is [`super::source`].

use thiserror::Error;

/// Octets of the fixed part of an RTP header.
pub const HEADER_LEN: usize = 12;

/// Why a datagram is not an RTP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RtpError {
    /// Fewer octets than the fixed header has.
    #[error("RTP packet of {len} octets, expected at least 12")]
    TooShort {
        /// Octets in the datagram.
        len: usize,
    },
    /// The version field is not 2: not RTP at all (STUN, DTLS, noise).
    #[error("RTP version {found}, expected 2")]
    Version {
        /// The version field, 0–3.
        found: u8,
    },
    /// The list of contributing sources ends beyond the datagram.
    #[error("RTP packet of {len} octets ends within its {csrc_count} contributing sources")]
    ContributingSources {
        /// Entries that the header announces.
        csrc_count: u8,
        /// Octets in the datagram.
        len: usize,
    },
    /// The header extension ends beyond the datagram.
    #[error("RTP packet of {len} octets ends within its header extension")]
    Extension {
        /// Octets in the datagram.
        len: usize,
    },
    /// The padding count is zero, or more than what follows the header.
    #[error("RTP padding of {padding} octets in {available} octets of payload")]
    Padding {
        /// The count in the last octet.
        padding: u8,
        /// Octets after the header.
        available: usize,
    },
}

/// Whether a datagram is RTCP rather than RTP when both share a port (RFC 5761 §4).
///
/// RTCP packet types 192–223 stand where RTP has its marker bit and payload types 64–95, which RTP does not use then.
#[inline]
pub fn is_rtcp(datagram: &[u8]) -> bool {
    matches!(datagram, [first, 192..=223, ..] if first >> 6 == 2)
}

/// A validated view of one RTP packet; borrows the datagram.
#[derive(Clone, Copy, Debug)]
pub struct RtpPacket<'a> {
    header: &'a [u8; HEADER_LEN],
    extension: Option<(u16, &'a [u8])>,
    payload: &'a [u8],
}

impl<'a> RtpPacket<'a> {
    /// Validates version, contributing sources, extension and padding, so that the accessors can't fail.
    ///
    /// # Errors
    ///
    /// [`RtpError`] names the part that doesn't fit into the datagram.
    #[inline]
    pub fn parse(datagram: &'a [u8]) -> Result<Self, RtpError> {
        let len = datagram.len();
        let (header, mut rest) = datagram.split_first_chunk::<HEADER_LEN>().ok_or(RtpError::TooShort { len })?;
        let version = header[0] >> 6;
        if version != 2 {
            return Err(RtpError::Version { found: version });
        }
        let csrc_count = header[0] & 0x0f;
        if csrc_count > 0 {
            rest = rest.get(usize::from(csrc_count) * 4..).ok_or(RtpError::ContributingSources { csrc_count, len })?;
        }
        let mut extension = None;
        if header[0] & 0x10 != 0 {
            let (head, after) = rest.split_first_chunk::<4>().ok_or(RtpError::Extension { len })?;
            let words = usize::from(u16::from_be_bytes([head[2], head[3]]));
            let (body, after) = after.split_at_checked(words * 4).ok_or(RtpError::Extension { len })?;
            extension = Some((u16::from_be_bytes([head[0], head[1]]), body));
            rest = after;
        }
        if header[0] & 0x20 != 0 {
            let available = rest.len();
            let padding = rest.last().copied().unwrap_or(0);
            if padding == 0 || usize::from(padding) > available {
                return Err(RtpError::Padding { padding, available });
            }
            rest = &rest[..available - usize::from(padding)];
        }
        Ok(RtpPacket { header, extension, payload: rest })
    }

    /// The sequence number.
    #[inline]
    pub fn sequence(&self) -> u16 {
        u16::from_be_bytes([self.header[2], self.header[3]])
    }

    /// The RTP timestamp: the first sample's instant, in units of the payload's RTP clock.
    #[inline]
    pub fn timestamp(&self) -> u32 {
        u32::from_be_bytes([self.header[4], self.header[5], self.header[6], self.header[7]])
    }

    /// The synchronisation source.
    #[inline]
    pub fn ssrc(&self) -> u32 {
        u32::from_be_bytes([self.header[8], self.header[9], self.header[10], self.header[11]])
    }

    /// The marker bit: for audio, the first packet after a silence (RFC 3551 §4.1).
    #[inline]
    pub fn marker(&self) -> bool {
        self.header[1] & 0x80 != 0
    }

    /// The payload type, 0–127.
    #[inline]
    pub fn payload_type(&self) -> u8 {
        self.header[1] & 0x7f
    }

    /// The payload, without extension and padding; may be empty.
    #[inline]
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// The header extension (RFC 3550 §5.3.1): its profile-defined identifier and its body in whole 32-bit words.
    #[inline]
    pub fn extension(&self) -> Option<(u16, &'a [u8])> {
        self.extension
    }

    /// The fixed header, without contributing sources and extension.
    #[inline]
    pub fn header(&self) -> RtpHeader {
        RtpHeader {
            payload_type: self.payload_type(),
            marker: self.marker(),
            sequence: self.sequence(),
            timestamp: self.timestamp(),
            ssrc: self.ssrc(),
        }
    }
}

/// The header of an outgoing packet: version 2, no contributing sources, no extension, no padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RtpHeader {
    /// Payload type, 0–127; only the low 7 bits are written.
    pub payload_type: u8,
    /// Marker bit.
    pub marker: bool,
    /// Sequence number.
    pub sequence: u16,
    /// RTP timestamp in units of the payload's RTP clock.
    pub timestamp: u32,
    /// Synchronisation source.
    pub ssrc: u32,
}

impl RtpHeader {
    /// The header as it goes onto the wire.
    #[inline]
    pub fn to_bytes(self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[0] = 2 << 6;
        bytes[1] = u8::from(self.marker) << 7 | self.payload_type & 0x7f;
        bytes[2..4].copy_from_slice(&self.sequence.to_be_bytes());
        bytes[4..8].copy_from_slice(&self.timestamp.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.ssrc.to_be_bytes());
        bytes
    }

    /// Appends the header to `out`; the payload is appended after it.
    #[inline]
    pub fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_bytes());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn datagram(first: u8, rest: &[u8]) -> Vec<u8> {
        let mut bytes = vec![first, 0x80, 0x12, 0x34, 0, 0, 0, 160, 0xde, 0xad, 0xbe, 0xef];
        bytes.extend_from_slice(rest);
        bytes
    }

    #[test]
    fn a_plain_packet_gives_its_fields() {
        let bytes = datagram(0x80, &[1, 2, 3]);
        let packet = RtpPacket::parse(&bytes).unwrap();
        assert_eq!(packet.sequence(), 0x1234);
        assert_eq!(packet.timestamp(), 160);
        assert_eq!(packet.ssrc(), 0xdead_beef);
        assert!(packet.marker());
        assert_eq!(packet.payload_type(), 0);
        assert_eq!(packet.payload(), [1, 2, 3]);
        assert_eq!(packet.extension(), None);
    }

    #[test]
    fn contributing_sources_extension_and_padding_are_not_payload() {
        let bytes = datagram(0xb1, &[9, 9, 9, 9, 0xbe, 0xde, 0, 1, 7, 7, 7, 7, 42, 0, 2]);
        let packet = RtpPacket::parse(&bytes).unwrap();
        assert_eq!(packet.payload(), [42]);
        assert_eq!(packet.extension(), Some((0xbede, &[7, 7, 7, 7][..])));
    }

    #[test]
    fn what_does_not_fit_is_named() {
        assert_eq!(RtpPacket::parse(&[0x80; 11]).unwrap_err(), RtpError::TooShort { len: 11 });
        assert_eq!(RtpPacket::parse(&datagram(0x40, &[])).unwrap_err(), RtpError::Version { found: 1 });
        assert_eq!(
            RtpPacket::parse(&datagram(0x82, &[0; 7])).unwrap_err(),
            RtpError::ContributingSources { csrc_count: 2, len: 19 }
        );
        assert_eq!(RtpPacket::parse(&datagram(0x90, &[0, 0])).unwrap_err(), RtpError::Extension { len: 14 });
        assert_eq!(
            RtpPacket::parse(&datagram(0x90, &[0, 0, 255, 255, 1])).unwrap_err(),
            RtpError::Extension { len: 17 }
        );
        assert_eq!(
            RtpPacket::parse(&datagram(0xa0, &[1, 5])).unwrap_err(),
            RtpError::Padding { padding: 5, available: 2 }
        );
        assert_eq!(RtpPacket::parse(&datagram(0xa0, &[])).unwrap_err(), RtpError::Padding { padding: 0, available: 0 });
    }

    #[test]
    fn rtcp_is_told_from_rtp_on_one_port() {
        assert!(is_rtcp(&[0x80, 200, 0, 6]));
        assert!(is_rtcp(&[0x81, 203, 0, 1]));
        assert!(!is_rtcp(&datagram(0x80, &[])));
        assert!(!is_rtcp(&[0x80, 0x80 | 101, 0, 0]));
        assert!(!is_rtcp(&[0x00, 200, 0, 6]));
        assert!(!is_rtcp(&[0x80]));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), first in any::<u8>()) {
            let mut bytes = bytes;
            if let Some(octet) = bytes.first_mut() {
                *octet = 0x80 | first & 0x3f;
            }
            is_rtcp(&bytes);
            if let Ok(packet) = RtpPacket::parse(&bytes) {
                prop_assert!(packet.payload().len() + HEADER_LEN <= bytes.len());
            }
        }

        #[test]
        fn what_is_written_is_read_back(
            payload_type in 0u8..128, marker: bool, sequence: u16, timestamp: u32, ssrc: u32,
            payload in proptest::collection::vec(any::<u8>(), 0..100),
        ) {
            let header = RtpHeader { payload_type, marker, sequence, timestamp, ssrc };
            let mut bytes = Vec::new();
            header.write(&mut bytes);
            bytes.extend_from_slice(&payload);
            let packet = RtpPacket::parse(&bytes).unwrap();
            prop_assert_eq!(packet.header(), header);
            prop_assert_eq!(packet.payload(), &payload[..]);
        }
    }
}
