//! RTCP (RFC 3550 §6) between two parties: reading compound packets, writing reports, round-trip time, interval.
//! Never schedules or sends, and never allocates for what it reads: the blocks are views of the datagram.

mod parse;
#[cfg(test)]
mod tests;
mod write;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub use parse::{CanonicalNames, Compound, Packets, ReportBlocks, RtcpError, RtcpPacket, Sources};
pub use write::Report;

const TYPE_SENDER_REPORT: u8 = 200;
const TYPE_RECEIVER_REPORT: u8 = 201;
const TYPE_SOURCE_DESCRIPTION: u8 = 202;
const TYPE_BYE: u8 = 203;
const SDES_CNAME: u8 = 1;
const BLOCK_LEN: usize = 24;

/// Seconds from the NTP epoch (1900) to the Unix epoch (1970).
const NTP_UNIX_OFFSET_S: u64 = 2_208_988_800;

/// Time in the format of NTP: 32 bits of seconds since 1900 (modulo 2³²), 32 bits of fraction (RFC 3550 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NtpTime(u64);

impl NtpTime {
    /// The wall clock's time. A clock before 1970 counts as 1970.
    pub fn from_wall_clock(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let seconds = since.as_secs().wrapping_add(NTP_UNIX_OFFSET_S);
        let fraction = (u64::from(since.subsec_nanos()) << 32) / 1_000_000_000;
        NtpTime(seconds << 32 | fraction)
    }

    /// From the 64 bits of the wire.
    pub fn from_bits(bits: u64) -> Self {
        NtpTime(bits)
    }

    /// The 64 bits of the wire.
    pub fn to_bits(self) -> u64 {
        self.0
    }

    /// The middle 32 bits: units of 1/65,536 s, as in the LSR and DLSR fields of a report block.
    pub fn middle(self) -> u32 {
        (self.0 >> 16) as u32
    }
}

/// The sender's part of a sender report (RFC 3550 §6.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SenderInfo {
    /// Wall clock when the report was made.
    pub ntp: NtpTime,
    /// The same instant on the stream's RTP clock.
    pub rtp_timestamp: u32,
    /// Packets sent since the stream began.
    pub packets: u32,
    /// Payload octets sent since the stream began.
    pub octets: u32,
}

/// What one receiver reports of one source (RFC 3550 §6.4.1, report block).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReportBlock {
    /// The source that is reported on.
    pub ssrc: u32,
    /// Packets lost since the previous report, in 1/256 of those expected.
    pub fraction_lost: u8,
    /// Packets lost since the stream began; negative when duplicates outnumber losses. 24 bits on the wire.
    pub cumulative_lost: i32,
    /// Highest sequence number received, extended by the count of wraps.
    pub highest_sequence: u32,
    /// Interarrival jitter in units of the RTP clock.
    pub jitter: u32,
    /// [`NtpTime::middle`] of the last sender report received, 0 for none.
    pub last_sender_report: u32,
    /// Time from that report to this one in 1/65,536 s.
    pub delay_since_last_sender_report: u32,
}

impl ReportBlock {
    /// Round-trip time to the one who sent this block, when it arrived at `now` and reports on our stream
    /// (RFC 3550 §6.4.1, figure 2). `None` before its sender had a sender report of ours, and when a clock stepped.
    pub fn round_trip(&self, now: NtpTime) -> Option<Duration> {
        if self.last_sender_report == 0 {
            return None;
        }
        let units =
            now.middle().wrapping_sub(self.last_sender_report).wrapping_sub(self.delay_since_last_sender_report) as i32;
        let units = u64::try_from(units).ok()?;
        Some(super::clock_duration(units, 65_536))
    }
}

/// Time to the next report: 5 s, spread over half to one and a half of it, so that two parties don't fall into step
/// (RFC 3550 §6.2, which comes down to its minimum interval for two parties and a telephone call's bandwidth).
///
/// `random` is uniform in 0..1; values outside are clamped.
pub fn report_interval(random: f64) -> Duration {
    Duration::from_secs(5).mul_f64(0.5 + random.clamp(0.0, 1.0))
}
