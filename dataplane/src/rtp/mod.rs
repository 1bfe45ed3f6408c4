//! RTP and RTCP (RFC 3550) for one audio stream each way: packets, statistics, playout, telephone events.
//! Never touches a socket or a clock: bytes and [`std::time::Instant`]s come in as arguments, random offsets too.
//!
//! A received datagram takes this way through the parts:
//!
//! 1. [`packet::is_rtcp`] parts RTCP from RTP; RTCP goes to [`rtcp::Compound::parse`].
//! 2. [`RtpPacket::parse`] validates once; the view borrows the datagram.
//! 3. [`Source::push`] ([`Source::push_event`] for telephone events) keeps the statistics and says whether the packet
//!    belongs to the stream at all.
//! 4. By payload type: telephone events go to [`DtmfReceiver::push`] and, for their sequence number, to
//!    [`JitterBuffer::push_other`]; audio and comfort noise go to [`JitterBuffer::push`].
//! 5. Each tick pulls from [`JitterBuffer::pop`] until it has one packet time of audio.
//!
//! An outgoing packet takes its header from [`RtpSender`], and its payload from an encoder or from [`DtmfSender`].
//!
//! Nothing here allocates per packet: every buffer is made with the stream, or has grown once it has held the longest packet.

#![deny(clippy::disallowed_types)]

pub mod dtmf;
pub mod jitter;
pub mod packet;
pub mod rtcp;
pub mod sender;
pub mod source;

#[cfg(test)]
pub(crate) mod network;

pub use dtmf::{DtmfDigit, DtmfReceiver, DtmfSender};
pub use jitter::{JitterBuffer, JitterSettings, Popped, Pushed};
pub use packet::{RtpError, RtpHeader, RtpPacket};
pub use sender::RtpSender;
pub use source::{Arrival, ReceiveQuality, Source};

/// How far `to` lies after `from` on the circle of 16-bit sequence numbers; negative when it lies before.
fn sequence_distance(from: u16, to: u16) -> i16 {
    to.wrapping_sub(from) as i16
}

/// How far `to` lies after `from` on the circle of 32-bit RTP timestamps; negative when it lies before.
fn timestamp_distance(from: u32, to: u32) -> i32 {
    to.wrapping_sub(from) as i32
}

/// `duration` in units of a clock of `clock_hz`, rounded down.
fn clock_units(duration: std::time::Duration, clock_hz: u32) -> u64 {
    let hz = u64::from(clock_hz);
    let fraction = u64::from(duration.subsec_nanos()) * hz / 1_000_000_000;
    duration.as_secs().saturating_mul(hz).saturating_add(fraction)
}

/// The time that `units` of a clock of `clock_hz` take; `clock_hz` must not be 0.
fn clock_duration(units: u64, clock_hz: u32) -> std::time::Duration {
    let hz = u64::from(clock_hz);
    std::time::Duration::new(units / hz, ((units % hz) * 1_000_000_000 / hz) as u32)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn distances_cross_the_wrap() {
        assert_eq!(sequence_distance(65_535, 2), 3);
        assert_eq!(sequence_distance(2, 65_535), -3);
        assert_eq!(timestamp_distance(u32::MAX - 79, 80), 160);
        assert_eq!(timestamp_distance(80, u32::MAX - 79), -160);
    }

    #[test]
    fn clock_units_and_durations_agree() {
        assert_eq!(clock_units(Duration::from_millis(20), 8000), 160);
        assert_eq!(clock_duration(160, 8000), Duration::from_millis(20));
        assert_eq!(clock_units(Duration::from_secs(86_400), 48_000), 4_147_200_000);
    }
}
