//! From digits to telephone-event packets, one a tick of the stream's own pacing. Never keeps a clock: each tick brings
//! the stream's RTP timestamp.

use std::collections::VecDeque;
use std::time::Duration;

use thiserror::Error;

use super::super::clock_units;
use super::{EventReport, REPORT_LEN, event_code};

/// Length of a tone, unless told otherwise.
pub const DEFAULT_TONE: Duration = Duration::from_millis(100);
/// Silence after a tone, unless told otherwise.
pub const DEFAULT_GAP: Duration = Duration::from_millis(60);
/// Silence for a `w` among the digits.
pub const PAUSE: Duration = Duration::from_millis(500);
/// Digits that may wait.
pub const MAX_QUEUED: usize = 64;

/// Times that the end of an event is sent (RFC 4733 §2.5.1.4).
const END_PACKETS: u32 = 3;
/// Power of the tone in −dBm0, as telephones send it.
const VOLUME: u8 = 10;

/// Why digits were not queued; none of them was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DtmfError {
    /// Not one of `0`–`9`, `*`, `#`, `A`–`D`.
    #[error("{found:?} is no DTMF digit, expected one of 0-9 * # A-D")]
    NotADigit {
        /// The character.
        found: char,
    },
    /// More digits than may wait.
    #[error("{digits} DTMF digits are too many, {room} more may wait")]
    Full {
        /// Digits given.
        digits: usize,
        /// Digits that would have been taken.
        room: usize,
    },
}

/// What a tick of the outgoing stream sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DtmfTick {
    /// No digits: audio as usual.
    Idle,
    /// The silence after a digit: no packet, the RTP clock goes on ([`RtpSender::skip`](super::super::RtpSender::skip)).
    Gap,
    /// An event packet instead of audio; the RTP clock goes on.
    Packet(DtmfPacket),
}

/// An event packet to send with [`RtpSender::event`](super::super::RtpSender::event).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DtmfPacket {
    /// The event's timestamp, the same for all its packets.
    pub timestamp: u32,
    /// Set on the event's first packet.
    pub marker: bool,
    /// The event report.
    pub payload: [u8; REPORT_LEN],
}

/// Sends queued digits, one packet a tick, in place of audio.
#[derive(Debug)]
pub struct DtmfSender {
    packet_units: u32,
    tone_units: u32,
    tone_ticks: u32,
    /// Ticks from one digit's start to the next one's.
    digit_ticks: u32,
    pause_ticks: u32,
    /// Event codes; `None` is a pause.
    queue: VecDeque<Option<u8>>,
    current: Option<Current>,
}

#[derive(Clone, Copy, Debug)]
struct Current {
    event: Option<u8>,
    timestamp: u32,
    tick: u32,
    ticks: u32,
}

impl DtmfSender {
    /// A sender at the RTP clock of `clock_hz` with one tick every `packet_time`, and the default tone and gap.
    pub fn new(clock_hz: u32, packet_time: Duration) -> Self {
        Self::with_timing(clock_hz, packet_time, DEFAULT_TONE, DEFAULT_GAP)
    }

    /// The same with a tone and a gap of one's own. A tone is at least a packet and at most 65,535 clock units long; a
    /// gap is made long enough for the repeated end packets. Both take whole ticks.
    pub fn with_timing(clock_hz: u32, packet_time: Duration, tone: Duration, gap: Duration) -> Self {
        let units = |time| u32::try_from(clock_units(time, clock_hz)).unwrap_or(u32::MAX);
        let packet_units = units(packet_time).clamp(1, u32::from(u16::MAX));
        let tone_units = units(tone).clamp(packet_units, u32::from(u16::MAX));
        let tone_ticks = tone_units.div_ceil(packet_units);
        let gap_ticks = units(gap).div_ceil(packet_units).max(END_PACKETS - 1);
        DtmfSender {
            packet_units,
            tone_units,
            tone_ticks,
            digit_ticks: tone_ticks + gap_ticks,
            pause_ticks: units(PAUSE).div_ceil(packet_units),
            queue: VecDeque::with_capacity(MAX_QUEUED),
            current: None,
        }
    }

    /// Queues digits behind those that wait; `w` is a pause of [`PAUSE`].
    ///
    /// # Errors
    ///
    /// [`DtmfError`] when one is no digit or they are too many; then none is queued.
    pub fn queue(&mut self, digits: &str) -> Result<(), DtmfError> {
        if let Some(found) = digits.chars().find(|&digit| digit != 'w' && event_code(digit).is_none()) {
            return Err(DtmfError::NotADigit { found });
        }
        let room = MAX_QUEUED - self.queue.len();
        if digits.len() > room {
            return Err(DtmfError::Full { digits: digits.len(), room });
        }
        self.queue.extend(digits.chars().map(event_code));
        Ok(())
    }

    /// What to send in this tick, at which the stream's RTP clock stands at `timestamp`.
    #[inline]
    pub fn tick(&mut self, timestamp: u32) -> DtmfTick {
        if self.current.is_none_or(|current| current.tick == current.ticks) {
            self.current = self.queue.pop_front().map(|event| {
                let ticks = if event.is_some() { self.digit_ticks } else { self.pause_ticks };
                Current { event, timestamp, tick: 0, ticks }
            });
        }
        let Some(current) = &mut self.current else { return DtmfTick::Idle };
        let tick = current.tick;
        current.tick += 1;
        let Some(event) = current.event.filter(|_| tick < self.tone_ticks + END_PACKETS - 1) else {
            return DtmfTick::Gap;
        };
        let end = tick + 1 >= self.tone_ticks;
        let duration = if end { self.tone_units } else { (tick + 1) * self.packet_units };
        let report = EventReport { event, end, volume: VOLUME, duration: duration as u16 };
        DtmfTick::Packet(DtmfPacket { timestamp: current.timestamp, marker: tick == 0, payload: report.to_bytes() })
    }

    /// Whether the next tick is [`DtmfTick::Idle`].
    pub fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.current.is_none_or(|current| current.tick == current.ticks)
    }

    /// Forgets the digits that wait; one that has begun is sent to its end.
    pub fn clear(&mut self) {
        self.queue.clear();
    }
}
