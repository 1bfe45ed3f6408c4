//! Bookkeeping of one outgoing RTP stream: sequence, timestamp, marker and the counts of a sender report.
//! Never paces and never sends: the worker's tick does.

use super::packet::RtpHeader;
use super::rtcp::{NtpTime, SenderInfo};

/// The state of one outgoing stream.
///
/// Every tick advances the clock exactly once: [`next`](Self::next) for a packet of audio, [`skip`](Self::skip) for
/// a tick without one (with or without an [`event`](Self::event)).
#[derive(Clone, Debug)]
pub struct RtpSender {
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
    marker: bool,
    packets: u32,
    octets: u32,
}

impl RtpSender {
    /// A stream that starts with these numbers. RFC 3550 §5.1 wants all three random.
    pub fn new(ssrc: u32, first_sequence: u16, first_timestamp: u32) -> Self {
        RtpSender { ssrc, sequence: first_sequence, timestamp: first_timestamp, marker: true, packets: 0, octets: 0 }
    }

    /// The header of the next audio packet, whose payload is `payload_len` octets for `samples` units of the RTP
    /// clock. Advances the clock by them. The marker is set on the first packet and after each gap (RFC 3551 §4.1).
    #[inline]
    pub fn next(&mut self, payload_type: u8, samples: u32, payload_len: usize) -> RtpHeader {
        let marker = std::mem::take(&mut self.marker);
        let timestamp = self.timestamp;
        self.timestamp = self.timestamp.wrapping_add(samples);
        self.header(payload_type, marker, timestamp, payload_len)
    }

    /// The header of a packet whose timestamp isn't the clock's: a telephone event keeps the timestamp of its start
    /// (RFC 4733 §2.2.1). Does not advance the clock: [`skip`](Self::skip) does, once a tick.
    pub fn event(&mut self, payload_type: u8, timestamp: u32, marker: bool, payload_len: usize) -> RtpHeader {
        self.header(payload_type, marker, timestamp, payload_len)
    }

    /// Lets `samples` units of the RTP clock pass without audio; the next audio packet carries the marker.
    #[inline]
    pub fn skip(&mut self, samples: u32) {
        self.timestamp = self.timestamp.wrapping_add(samples);
        self.marker = true;
    }

    /// The clock: the timestamp that the next audio packet will carry.
    #[inline]
    pub fn timestamp(&self) -> u32 {
        self.timestamp
    }

    /// The stream's synchronisation source.
    #[inline]
    pub fn ssrc(&self) -> u32 {
        self.ssrc
    }

    /// Packets sent; wraps as the field of the sender report does.
    #[inline]
    pub fn packets(&self) -> u32 {
        self.packets
    }

    /// Payload octets sent, headers not counted; wraps as the field of the sender report does.
    #[inline]
    pub fn octets(&self) -> u32 {
        self.octets
    }

    /// The sender's part of a sender report (RFC 3550 §6.4.1) of `now`, which the RTP clock calls `rtp_timestamp`: between two ticks it lies
    /// before the next packet's.
    pub fn info(&self, now: NtpTime, rtp_timestamp: u32) -> SenderInfo {
        SenderInfo { ntp: now, rtp_timestamp, packets: self.packets, octets: self.octets }
    }

    fn header(&mut self, payload_type: u8, marker: bool, timestamp: u32, payload_len: usize) -> RtpHeader {
        let sequence = self.sequence;
        self.sequence = sequence.wrapping_add(1);
        self.packets = self.packets.wrapping_add(1);
        self.octets = self.octets.wrapping_add(payload_len as u32);
        RtpHeader { payload_type, marker, sequence, timestamp, ssrc: self.ssrc }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequence_and_timestamp_wrap() {
        let mut sender = RtpSender::new(7, 65_535, u32::MAX - 159);
        let first = sender.next(0, 160, 160);
        let second = sender.next(0, 160, 160);
        assert_eq!((first.sequence, first.timestamp, first.ssrc), (65_535, u32::MAX - 159, 7));
        assert_eq!((second.sequence, second.timestamp), (0, 0));
    }

    #[test]
    fn the_marker_is_on_the_first_packet_and_after_a_gap() {
        let mut sender = RtpSender::new(7, 0, 0);
        assert!(sender.next(0, 160, 160).marker);
        assert!(!sender.next(0, 160, 160).marker);
        sender.skip(320);
        let resumed = sender.next(0, 160, 160);
        assert!(resumed.marker);
        assert_eq!((resumed.sequence, resumed.timestamp), (2, 640));
        assert!(!sender.next(0, 160, 160).marker);
    }

    #[test]
    fn an_event_takes_a_sequence_number_but_no_clock() {
        let mut sender = RtpSender::new(7, 0, 1000);
        sender.next(0, 160, 160);
        let event = sender.event(101, 1160, true, 4);
        assert_eq!((event.sequence, event.timestamp, event.payload_type), (1, 1160, 101));
        sender.skip(160);
        let audio = sender.next(0, 160, 160);
        assert_eq!((audio.sequence, audio.timestamp), (2, 1320));
    }

    #[test]
    fn a_sender_report_counts_packets_and_payload_octets() {
        let mut sender = RtpSender::new(7, 0, 1000);
        sender.next(0, 160, 160);
        sender.event(101, 1160, true, 4);
        let info = sender.info(NtpTime::from_bits(5), sender.timestamp());
        assert_eq!((info.packets, info.octets, info.rtp_timestamp), (2, 164, 1160));
    }
}
