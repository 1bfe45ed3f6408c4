//! From telephone-event packets to key presses. Never reports a press twice, whatever is lost, doubled or reordered.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::super::packet::RtpPacket;
use super::super::{clock_duration, timestamp_distance};
use super::{EventReport, REPORT_LEN};

/// An event without news for this long has ended, its end packets lost. Senders report every 50 ms or sooner
/// (RFC 4733 §2.5.1.2), so at least two reports were lost as well.
const LOST_END: Duration = Duration::from_millis(150);
/// Reports read from one packet that packs several events (RFC 4733 §2.5.1.5).
const MAX_REPORTS: usize = 4;
/// Digits waiting to be polled; more are dropped.
const MAX_READY: usize = 16;
/// Events whose timestamps are remembered, to know their late packets.
const REMEMBERED: usize = 16;
/// The duration at which a long event goes on in a new segment (RFC 4733 §2.5.1.3).
const SEGMENT: i32 = 0xffff;
/// A packet is late, rather than of a restarted clock, if its event is at most this much older than the newest…
const LATE_TIMESTAMPS_S: u32 = 10;
/// …and the newest was heard of at most this long ago.
const LATE_ARRIVAL: Duration = Duration::from_secs(2);

/// One press of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DtmfDigit {
    /// `0`–`9`, `*`, `#`, `A`–`D`.
    pub digit: char,
    /// How long it was pressed, as far as was heard.
    pub duration: Duration,
    /// The tone's power in −dBm0, 0–63.
    pub volume: u8,
}

/// Makes [`DtmfDigit`]s of telephone-event packets. An event is known by its timestamp.
#[derive(Debug)]
pub struct DtmfReceiver {
    clock_hz: u32,
    active: Option<Event>,
    /// The last events reported, the newest at the back.
    reported: VecDeque<Event>,
    ready: VecDeque<DtmfDigit>,
}

#[derive(Clone, Copy, Debug)]
struct Event {
    report: EventReport,
    digit: char,
    /// Timestamp of the current segment.
    timestamp: u32,
    /// Duration of the segments before, in clock units.
    earlier_segments: u64,
    last_heard: Instant,
}

impl DtmfReceiver {
    /// A receiver for events at the RTP clock of `clock_hz`, as negotiated for the telephone-event payload type.
    pub fn new(clock_hz: u32) -> Self {
        DtmfReceiver {
            clock_hz: clock_hz.max(1),
            active: None,
            reported: VecDeque::with_capacity(REMEMBERED),
            ready: VecDeque::with_capacity(MAX_READY),
        }
    }

    /// Takes a telephone-event packet that arrived at `now`. What isn't an event of a digit is ignored.
    pub fn push(&mut self, now: Instant, packet: &RtpPacket<'_>) {
        let mut timestamp = packet.timestamp();
        for bytes in packet.payload().chunks_exact(REPORT_LEN).take(MAX_REPORTS) {
            let report = EventReport::from_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
            // A duration of zero is a state, which no digit has (RFC 4733 §2.3.5).
            if let Some(digit) = report.digit().filter(|_| report.duration > 0) {
                self.hear(Event { report, digit, timestamp, earlier_segments: 0, last_heard: now }, packet.marker());
            }
            timestamp = timestamp.wrapping_add(u32::from(report.duration));
        }
    }

    /// The next press that has ended, by its end packet, by the next event, or by silence until `now`.
    pub fn poll(&mut self, now: Instant) -> Option<DtmfDigit> {
        if self.poll_timeout().is_some_and(|at| at <= now) {
            self.finish();
        }
        self.ready.pop_front()
    }

    /// When [`poll`](Self::poll) should be called though no packet came.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.active.map(|event| event.last_heard + LOST_END)
    }

    /// Forgets all, for a new source with timestamps of its own. An event in progress ends.
    pub fn reset(&mut self) {
        self.finish();
        self.reported.clear();
    }

    fn hear(&mut self, heard: Event, marker: bool) {
        let Some(active) = &mut self.active else {
            if !self.is_known(&heard, marker) {
                self.begin(heard);
            }
            return;
        };
        if active.timestamp == heard.timestamp || active.is_continued_by(&heard, marker) {
            // Another event at the same instant can't be: the first heard stands.
            if active.digit != heard.digit {
                return;
            }
            if active.timestamp != heard.timestamp {
                active.next_segment(&heard);
            }
            active.report.duration = active.report.duration.max(heard.report.duration);
            active.last_heard = heard.last_heard;
            if heard.report.end {
                self.finish();
            }
        } else if !active.makes_late(&heard, self.clock_hz) {
            self.finish();
            if !self.is_known(&heard, marker) {
                self.begin(heard);
            }
        }
    }

    fn begin(&mut self, event: Event) {
        self.active = Some(event);
        if event.report.end {
            self.finish();
        }
    }

    fn finish(&mut self) {
        let Some(event) = self.active.take() else { return };
        if self.reported.len() == REMEMBERED {
            self.reported.pop_front();
        }
        self.reported.push_back(event);
        if self.ready.len() < MAX_READY {
            let units = event.earlier_segments + u64::from(event.report.duration);
            let duration = clock_duration(units, self.clock_hz);
            self.ready.push_back(DtmfDigit { digit: event.digit, duration, volume: event.report.volume });
        }
    }

    /// Whether `heard` is of an event that was reported, or late for it.
    fn is_known(&mut self, heard: &Event, marker: bool) -> bool {
        if self.reported.iter().any(|event| event.timestamp == heard.timestamp) {
            return true;
        }
        let Some(last) = self.reported.back_mut() else { return false };
        if last.is_continued_by(heard, marker) {
            // It was given up during an outage and goes on: still the same press.
            last.next_segment(heard);
            return true;
        }
        last.makes_late(heard, self.clock_hz)
    }
}

impl Event {
    /// Whether `heard` is the next segment of this long event.
    fn is_continued_by(&self, heard: &Event, marker: bool) -> bool {
        !marker && self.digit == heard.digit && timestamp_distance(self.timestamp, heard.timestamp) == SEGMENT
    }

    fn next_segment(&mut self, heard: &Event) {
        self.timestamp = heard.timestamp;
        self.earlier_segments += u64::from(u16::MAX);
        self.report.duration = heard.report.duration;
        self.last_heard = heard.last_heard;
    }

    /// Whether `heard` belongs to an event before this one.
    fn makes_late(&self, heard: &Event, clock_hz: u32) -> bool {
        let older = i64::from(timestamp_distance(heard.timestamp, self.timestamp));
        (1..=i64::from(clock_hz) * i64::from(LATE_TIMESTAMPS_S)).contains(&older)
            && heard.last_heard.saturating_duration_since(self.last_heard) <= LATE_ARRIVAL
    }
}
