//! What is received of one RTP stream: sequence validation, loss, jitter and change of source (RFC 3550 §A.1, A.3, A.8).
//! Never reorders or plays anything: that is [`super::jitter`].

use std::time::{Duration, Instant};

use super::packet::RtpPacket;
use super::rtcp::{NtpTime, ReportBlock};
use super::{clock_duration, clock_units, sequence_distance};

/// A step forward of this many packets or more is a restart of the numbering, not a loss (RFC 3550 §A.1).
const MAX_DROPOUT: u16 = 3000;
/// A packet this far behind, or less, is reordered; further behind, the numbering restarted (RFC 3550 §A.1).
const MAX_MISORDER: u16 = 100;
/// The second packet of a new source must follow its first within this many sequence numbers.
const MAX_PROBATION_STEP: i16 = 20;
/// A change of transit time beyond this is another clock behind the same source, not jitter.
const MAX_TRANSIT_CHANGE: Duration = Duration::from_secs(1);
/// Extended sequence numbers start one cycle up, so that a packet reordered before the first has a place.
const FIRST_CYCLE: u32 = 1 << 16;

/// What [`Source::push`] makes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// The next packet of the stream, or a reordered one.
    Accepted,
    /// The first packet of a stream: of the call, of a new source, or after its numbering restarted.
    NewStream,
    /// A packet that came before; drop it.
    Duplicate,
    /// The first packet of what may be a new stream; drop it, the next one decides.
    Probation,
}

impl Arrival {
    /// Whether the packet should be played: it belongs to the stream, and is not a duplicate.
    pub fn is_accepted(self) -> bool {
        matches!(self, Arrival::Accepted | Arrival::NewStream)
    }
}

/// A call's reception figures, across all sources that the stream had.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ReceiveQuality {
    /// Packets received, without duplicates.
    pub received: u64,
    /// Packets that never came.
    pub lost: u64,
    /// Packets that came too late to be played ([`Source::note_late`]).
    pub late: u64,
    /// Packets that came more than once.
    pub duplicate: u64,
    /// Packets that came after a later one.
    pub reordered: u64,
    /// Interarrival jitter now, in milliseconds (RFC 3550 §6.4.1).
    pub jitter_ms: f32,
    /// Changes of the synchronisation source.
    pub ssrc_changes: u32,
}

/// The receiving side of one stream.
///
/// The peer is known by its address, so the first packet of the call is believed at once. Another source, or a wild
/// jump of the sequence, must show a second packet that follows its first: a stray packet changes nothing.
#[derive(Debug)]
pub struct Source {
    clock_hz: u32,
    epoch: Instant,
    stream: Option<Stream>,
    /// SSRC and sequence number of a packet of another source, until the next packet.
    candidate: Option<(u32, u16)>,
    totals: ReceiveQuality,
}

/// The state of one source: RFC 3550's `source` structure and a window of what has been received.
#[derive(Debug)]
struct Stream {
    ssrc: u32,
    /// Lowest and highest sequence numbers, extended by the count of wraps.
    base: u32,
    highest: u32,
    /// Bit `i`: `highest - i` has been received.
    window: u128,
    /// Where a restarted numbering must go on to be believed.
    expected_after_jump: Option<u16>,
    unique: u32,
    duplicates: u32,
    reordered: u32,
    expected_at_report: u32,
    received_at_report: u32,
    last_transit: Option<u32>,
    /// Jitter in 1/16 of a clock unit.
    jitter_16: u32,
    last_sender_report: Option<(u32, Instant)>,
}

impl Source {
    /// A stream whose RTP clock runs at `clock_hz` (8,000 for G.722 too); `now` is the origin of arrival times.
    pub fn new(clock_hz: u32, now: Instant) -> Self {
        Source {
            clock_hz: clock_hz.max(1),
            epoch: now,
            stream: None,
            candidate: None,
            totals: ReceiveQuality::default(),
        }
    }

    /// Counts an audio packet that arrived at `now`.
    #[inline]
    pub fn push(&mut self, now: Instant, packet: &RtpPacket<'_>) -> Arrival {
        let arrival = self.classify(packet);
        if arrival.is_accepted() {
            let arrived = clock_units(now.saturating_duration_since(self.epoch), self.clock_hz) as u32;
            let limit = clock_units(MAX_TRANSIT_CHANGE, self.clock_hz) as u32;
            if let Some(stream) = &mut self.stream {
                stream.update_jitter(arrived.wrapping_sub(packet.timestamp()), limit);
            }
        }
        arrival
    }

    /// Counts a packet whose timestamp doesn't tell when it was sent, such as a telephone event, which keeps the
    /// timestamp of its start: as [`push`](Self::push), but without jitter.
    pub fn push_event(&mut self, packet: &RtpPacket<'_>) -> Arrival {
        self.classify(packet)
    }

    /// Counts a packet that the jitter buffer refused as too late.
    pub fn note_late(&mut self) {
        self.totals.late += 1;
    }

    /// The synchronisation source in use.
    pub fn ssrc(&self) -> Option<u32> {
        self.stream.as_ref().map(|stream| stream.ssrc)
    }

    /// Notes a sender report of `ssrc` that arrived at `now`, for LSR and DLSR of our reports.
    pub fn on_sender_report(&mut self, now: Instant, ssrc: u32, ntp: NtpTime) {
        if let Some(stream) = self.stream.as_mut().filter(|stream| stream.ssrc == ssrc) {
            stream.last_sender_report = Some((ntp.middle(), now));
        }
    }

    /// The report block for our next RTCP report; the loss fraction counts from one call to the next. `None` before
    /// the first packet.
    pub fn report(&mut self, now: Instant) -> Option<ReportBlock> {
        self.stream.as_mut().map(|stream| stream.report(now))
    }

    /// The figures so far.
    pub fn quality(&self) -> ReceiveQuality {
        let mut quality = self.totals;
        if let Some(stream) = &self.stream {
            stream.add_to(&mut quality);
            let jitter = clock_duration(u64::from(stream.jitter_16), self.clock_hz.saturating_mul(16));
            quality.jitter_ms = jitter.as_secs_f32() * 1000.0;
        }
        quality
    }

    #[inline]
    fn classify(&mut self, packet: &RtpPacket<'_>) -> Arrival {
        let (ssrc, sequence) = (packet.ssrc(), packet.sequence());
        match &mut self.stream {
            Some(stream) if stream.ssrc == ssrc => {
                // A live source keeps its place: two senders that interleave don't take turns.
                self.candidate = None;
                let arrival = stream.classify(sequence);
                if arrival == Arrival::NewStream {
                    self.restart(ssrc, sequence);
                }
                arrival
            }
            Some(_) => {
                let follows = self.candidate.is_some_and(|(candidate, first)| {
                    candidate == ssrc && (1..=MAX_PROBATION_STEP).contains(&sequence_distance(first, sequence))
                });
                if !follows {
                    self.candidate = Some((ssrc, sequence));
                    return Arrival::Probation;
                }
                self.candidate = None;
                self.totals.ssrc_changes += 1;
                self.restart(ssrc, sequence);
                Arrival::NewStream
            }
            None => {
                self.restart(ssrc, sequence);
                Arrival::NewStream
            }
        }
    }

    fn restart(&mut self, ssrc: u32, sequence: u16) {
        if let Some(old) = self.stream.replace(Stream::new(ssrc, sequence)) {
            old.add_to(&mut self.totals);
        }
    }
}

impl Stream {
    fn new(ssrc: u32, sequence: u16) -> Self {
        let first = FIRST_CYCLE + u32::from(sequence);
        Stream {
            ssrc,
            base: first,
            highest: first,
            window: 1,
            expected_after_jump: None,
            unique: 1,
            duplicates: 0,
            reordered: 0,
            expected_at_report: 0,
            received_at_report: 0,
            last_transit: None,
            jitter_16: 0,
            last_sender_report: None,
        }
    }

    /// RFC 3550 §A.1, `update_seq`, with a window that tells duplicates from reordered packets.
    #[inline]
    fn classify(&mut self, sequence: u16) -> Arrival {
        let ahead = sequence.wrapping_sub(self.highest as u16);
        if ahead == 0 {
            self.duplicates += 1;
            return Arrival::Duplicate;
        }
        if ahead < MAX_DROPOUT {
            self.highest = self.highest.wrapping_add(u32::from(ahead));
            self.window = self.window.checked_shl(u32::from(ahead)).unwrap_or(0) | 1;
            self.unique += 1;
            self.expected_after_jump = None;
            return Arrival::Accepted;
        }
        let behind = sequence_distance(sequence, self.highest as u16).unsigned_abs();
        if ahead <= u16::MAX - MAX_MISORDER {
            // Far off: two packets in a row say that the sender restarted its numbering.
            if self.expected_after_jump == Some(sequence) {
                return Arrival::NewStream;
            }
            self.expected_after_jump = Some(sequence.wrapping_add(1));
            return Arrival::Probation;
        }
        let bit = 1 << behind;
        if self.window & bit != 0 {
            self.duplicates += 1;
            return Arrival::Duplicate;
        }
        self.window |= bit;
        self.unique += 1;
        self.reordered += 1;
        self.base = self.base.min(self.highest - u32::from(behind));
        Arrival::Accepted
    }

    /// RFC 3550 §A.8, in integers.
    #[inline]
    fn update_jitter(&mut self, transit: u32, limit: u32) {
        if let Some(last) = self.last_transit.replace(transit) {
            let change = (transit.wrapping_sub(last) as i32).unsigned_abs();
            if change <= limit {
                self.jitter_16 = self.jitter_16 + change - ((self.jitter_16 + 8) >> 4);
            }
        }
    }

    fn expected(&self) -> u32 {
        self.highest.wrapping_sub(self.base).wrapping_add(1)
    }

    /// RFC 3550 §A.3. Duplicates count as received there, so that the loss may be negative.
    fn report(&mut self, now: Instant) -> ReportBlock {
        let expected = self.expected();
        let received = self.unique.wrapping_add(self.duplicates);
        let expected_since = expected.wrapping_sub(self.expected_at_report);
        let lost_since = i64::from(expected_since) - i64::from(received.wrapping_sub(self.received_at_report));
        self.expected_at_report = expected;
        self.received_at_report = received;
        let fraction_lost = match u64::try_from(lost_since) {
            Ok(lost) if expected_since > 0 => (lost * 256 / u64::from(expected_since)).min(255) as u8,
            _ => 0,
        };
        let (last_sender_report, delay_since_last_sender_report) = match self.last_sender_report {
            Some((middle, at)) => (middle, clock_units(now.saturating_duration_since(at), 65_536) as u32),
            None => (0, 0),
        };
        ReportBlock {
            ssrc: self.ssrc,
            fraction_lost,
            cumulative_lost: expected.wrapping_sub(received) as i32,
            highest_sequence: self.highest.wrapping_sub(FIRST_CYCLE),
            jitter: self.jitter_16 >> 4,
            last_sender_report,
            delay_since_last_sender_report,
        }
    }

    fn add_to(&self, totals: &mut ReceiveQuality) {
        totals.received += u64::from(self.unique);
        totals.lost += u64::from(self.expected().saturating_sub(self.unique));
        totals.duplicate += u64::from(self.duplicates);
        totals.reordered += u64::from(self.reordered);
    }
}

#[cfg(test)]
mod tests {
    use super::super::packet::RtpHeader;
    use super::*;

    /// A source and packets for it: arrivals and timestamps 20 ms apart at 8 kHz.
    struct Fixture {
        source: Source,
        start: Instant,
    }

    impl Fixture {
        fn new() -> Self {
            let start = Instant::now();
            Fixture { source: Source::new(8000, start), start }
        }

        fn push(&mut self, ssrc: u32, sequence: u16) -> Arrival {
            self.push_at(ssrc, sequence, u64::from(sequence) * 20)
        }

        fn push_at(&mut self, ssrc: u32, sequence: u16, at_ms: u64) -> Arrival {
            let timestamp = u32::from(sequence) * 160;
            let bytes = RtpHeader { payload_type: 0, marker: false, sequence, timestamp, ssrc }.to_bytes();
            self.source.push(self.start + Duration::from_millis(at_ms), &RtpPacket::parse(&bytes).unwrap())
        }
    }

    #[test]
    fn the_first_packet_is_believed_at_once() {
        let mut fixture = Fixture::new();
        assert_eq!(fixture.push(1, 500), Arrival::NewStream);
        assert_eq!(fixture.push(1, 501), Arrival::Accepted);
        assert_eq!(fixture.source.ssrc(), Some(1));
    }

    #[test]
    fn lost_reordered_and_duplicate_packets_are_counted_apart() {
        let mut fixture = Fixture::new();
        for sequence in [10, 11, 14, 13, 13, 14, 15] {
            fixture.push(1, sequence);
        }
        fixture.source.note_late();
        let quality = fixture.source.quality();
        assert_eq!((quality.received, quality.lost, quality.duplicate, quality.late), (5, 1, 2, 1));
        assert_eq!(quality.reordered, 1);
    }

    #[test]
    fn a_packet_before_the_first_is_no_negative_loss() {
        let mut fixture = Fixture::new();
        assert_eq!(fixture.push(1, 0), Arrival::NewStream);
        assert_eq!(fixture.push(1, 65_535), Arrival::Accepted);
        assert_eq!(fixture.push(1, 1), Arrival::Accepted);
        let quality = fixture.source.quality();
        assert_eq!((quality.received, quality.lost), (3, 0));
    }

    #[test]
    fn the_sequence_wraps() {
        let mut fixture = Fixture::new();
        for sequence in [65_534, 65_535, 0, 1, 3] {
            assert!(fixture.push(1, sequence).is_accepted());
        }
        let report = fixture.source.report(fixture.start).unwrap();
        assert_eq!(report.highest_sequence, 0x1_0003);
        assert_eq!(report.cumulative_lost, 1);
    }

    #[test]
    fn a_stray_jump_is_dropped_and_a_restarted_numbering_is_followed() {
        let mut fixture = Fixture::new();
        fixture.push(1, 10);
        assert_eq!(fixture.push(1, 40_000), Arrival::Probation);
        assert_eq!(fixture.push(1, 11), Arrival::Accepted);
        assert_eq!(fixture.push(1, 30_000), Arrival::Probation);
        assert_eq!(fixture.push(1, 30_001), Arrival::NewStream);
        assert_eq!(fixture.push(1, 30_002), Arrival::Accepted);
        let quality = fixture.source.quality();
        assert_eq!((quality.received, quality.lost, quality.ssrc_changes), (4, 0, 0));
    }

    #[test]
    fn a_new_source_takes_over_with_its_second_packet() {
        let mut fixture = Fixture::new();
        fixture.push(1, 10);
        fixture.push(1, 12);
        assert_eq!(fixture.push(2, 700), Arrival::Probation);
        assert_eq!(fixture.push(2, 701), Arrival::NewStream);
        assert_eq!(fixture.push(2, 702), Arrival::Accepted);
        let quality = fixture.source.quality();
        assert_eq!((quality.received, quality.lost, quality.ssrc_changes), (4, 1, 1));
        assert_eq!(fixture.source.report(fixture.start).unwrap().ssrc, 2);
    }

    #[test]
    fn a_stranger_between_the_packets_of_a_live_source_never_takes_over() {
        let mut fixture = Fixture::new();
        for i in 0..50 {
            assert!(fixture.push(1, i).is_accepted());
            assert_eq!(fixture.push(2, 900 + i), Arrival::Probation);
        }
        assert_eq!(fixture.source.quality().ssrc_changes, 0);
    }

    #[test]
    fn jitter_follows_the_arrivals_and_forgives_a_jump_of_the_clock() {
        let mut fixture = Fixture::new();
        for sequence in 0..500 {
            fixture.push(1, sequence);
        }
        assert_eq!(fixture.source.quality().jitter_ms, 0.0);
        for sequence in 500..1000 {
            fixture.push_at(1, sequence, u64::from(sequence) * 20 + u64::from(sequence % 2) * 10);
        }
        let jitter = fixture.source.quality().jitter_ms;
        assert!((9.0..=10.5).contains(&jitter), "{jitter}");
        for sequence in 1000..1500 {
            fixture.push_at(1, sequence, 60_000 + u64::from(sequence) * 20);
        }
        assert!(fixture.source.quality().jitter_ms < 0.5);
    }

    #[test]
    fn an_event_counts_without_jitter() {
        let mut fixture = Fixture::new();
        fixture.push(1, 0);
        for sequence in 1..20 {
            let header = RtpHeader { payload_type: 101, marker: false, sequence, timestamp: 160, ssrc: 1 };
            assert_eq!(fixture.source.push_event(&RtpPacket::parse(&header.to_bytes()).unwrap()), Arrival::Accepted);
        }
        fixture.push(1, 20);
        let quality = fixture.source.quality();
        assert_eq!((quality.received, quality.lost, quality.jitter_ms), (21, 0, 0.0));
    }

    #[test]
    fn the_loss_fraction_counts_from_report_to_report() {
        let mut fixture = Fixture::new();
        assert_eq!(fixture.source.report(fixture.start), None);
        (0..100).filter(|sequence| sequence % 4 != 1).for_each(|sequence| {
            fixture.push(1, sequence);
        });
        let first = fixture.source.report(fixture.start).unwrap();
        assert_eq!((first.fraction_lost, first.cumulative_lost), (64, 25));
        (100..200).for_each(|sequence| {
            fixture.push(1, sequence);
        });
        let second = fixture.source.report(fixture.start).unwrap();
        assert_eq!((second.fraction_lost, second.cumulative_lost), (0, 25));
    }

    #[test]
    fn a_report_tells_when_the_last_sender_report_came() {
        let mut fixture = Fixture::new();
        fixture.push(1, 0);
        fixture.source.on_sender_report(fixture.start, 9, NtpTime::from_bits(1 << 16));
        assert_eq!(fixture.source.report(fixture.start).unwrap().last_sender_report, 0);
        fixture.source.on_sender_report(fixture.start, 1, NtpTime::from_bits(0xabcd_1234_5678_0000));
        let report = fixture.source.report(fixture.start + Duration::from_millis(1500)).unwrap();
        assert_eq!(report.last_sender_report, 0x1234_5678);
        assert_eq!(report.delay_since_last_sender_report, 98_304);
    }
}
