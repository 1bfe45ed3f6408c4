//! [`JitterBuffer`]: what is played at a pull. Never decides how deep it should be: that is [`super::adaptation`].

#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use super::adaptation::Adaptation;
use super::ring::{Insertion, MAX_PAYLOAD, Ring, Slot};
use super::{Frame, JitterCounters, JitterSettings, Popped, Pushed};
use crate::rtp::packet::RtpPacket;
use crate::rtp::{clock_duration, clock_units, sequence_distance, timestamp_distance};

/// An underrun longer than this is a pause: there is nothing left to conceal.
const PAUSE_AFTER: Duration = Duration::from_millis(100);
/// A packet this far behind, or further, is of a restarted numbering (RFC 3550 §A.1 has the same limit).
const MAX_BEHIND: i16 = 100;
/// A packet this far ahead, or further, can't be joined to what was played: start over.
const MAX_AHEAD: i16 = 64;

/// See the [module](super). Of fixed size: about 11 KiB, made once.
#[derive(Debug)]
pub struct JitterBuffer {
    settings: JitterSettings,
    tick_samples: u32,
    max_depth_samples: u32,
    pause_after_samples: u32,
    ring: Ring,
    adaptation: Adaptation,
    /// The source, once a packet came.
    ssrc: Option<u32>,
    /// Whether anything was pulled since the buffer last started over.
    started: bool,
    /// The sequence number after the last one played.
    next_sequence: u16,
    /// The timestamp whose turn is next.
    position: u32,
    /// Duration of an audio packet.
    frame_samples: u32,
    /// Time concealed or silent, while the position waited.
    waited_samples: u32,
    /// What came last announced a pause.
    pause_expected: bool,
    /// Bit `i`: sequence number `next_sequence + i` is not missing, though it isn't audio.
    others: u64,
    /// Bit `i`: sequence number `next_sequence - 1 - i` was here at its turn.
    history: u64,
    droppable: bool,
    counters: JitterCounters,
}

/// What a pull does, before the payload is borrowed.
enum Step {
    Play(Slot),
    Skip(Slot),
    Lost,
    Underrun,
    Silence,
    Empty,
}

impl JitterBuffer {
    /// An empty buffer.
    pub fn new(settings: JitterSettings) -> Self {
        let settings = JitterSettings {
            clock_hz: settings.clock_hz.max(1),
            octets_per_unit: settings.octets_per_unit.max(1),
            ..settings
        };
        // A quarter of the greatest signed distance leaves room for every sum of these.
        let units = |time| clock_units(time, settings.clock_hz).clamp(1, 1 << 29) as u32;
        let tick_samples = units(settings.packet_time);
        JitterBuffer {
            tick_samples,
            max_depth_samples: units(settings.max_depth),
            pause_after_samples: units(PAUSE_AFTER),
            // As many packets of 10 ms as are to wait, and two more: the one that is taken, and the one that comes.
            ring: Ring::new(units(settings.max_depth) / (settings.clock_hz / 100).min(tick_samples).max(1) + 2),
            adaptation: Adaptation::new(settings.packet_time, settings.max_depth),
            ssrc: None,
            started: false,
            next_sequence: 0,
            position: 0,
            frame_samples: tick_samples,
            waited_samples: 0,
            pause_expected: false,
            others: 0,
            history: 0,
            droppable: false,
            counters: JitterCounters::default(),
            settings,
        }
    }

    /// Takes an audio or comfort-noise packet that arrived at `now`.
    #[inline]
    pub fn push(&mut self, now: Instant, packet: &RtpPacket<'_>) -> Pushed {
        let payload = packet.payload();
        if payload.is_empty() || payload.len() > MAX_PAYLOAD {
            self.push_other(packet);
            return Pushed::Unusable;
        }
        let (sequence, timestamp) = (packet.sequence(), packet.timestamp());
        let mut ahead = sequence_distance(self.next_sequence, sequence);
        let resync = self.ssrc != Some(packet.ssrc()) || !(-MAX_BEHIND + 1..MAX_AHEAD).contains(&ahead);
        if resync {
            self.start_over(packet);
            ahead = 0;
        }
        if ahead < 0 {
            if self.started || self.ring.span(sequence) >= u32::from(self.ring.reach()) {
                return self.refuse(now, ahead, timestamp);
            }
            // Nothing was played yet, so that the stream may still begin with this one.
            self.others = self.others.checked_shl(u32::from(ahead.unsigned_abs())).unwrap_or(0);
            self.next_sequence = sequence;
            self.position = timestamp;
            ahead = 0;
        }
        if self.others & bit(ahead) != 0 {
            self.counters.duplicate += 1;
            return Pushed::Duplicate;
        }
        let is_noise = self.settings.comfort_noise == Some(packet.payload_type());
        let samples =
            if is_noise { self.tick_samples } else { (payload.len() as u32 / self.settings.octets_per_unit).max(1) };
        let slot = Slot::new(sequence, timestamp, samples, packet.payload_type(), packet.marker());
        let (others, counters, next_sequence) = (&mut self.others, &mut self.counters, self.next_sequence);
        let insertion = self.ring.insert(slot, payload, |evicted| {
            *others |= bit(sequence_distance(next_sequence, evicted));
            counters.overflowed += 1;
        });
        match insertion {
            Insertion::Stored => {}
            Insertion::Duplicate => {
                self.counters.duplicate += 1;
                return Pushed::Duplicate;
            }
            Insertion::TooOld => {
                self.counters.late += 1;
                return Pushed::Late;
            }
        }
        if self.ring.span(sequence) == 0 {
            self.pause_expected = is_noise;
        }
        if self.started && self.waited_samples == 0 {
            let early = timestamp_distance(self.position, timestamp);
            if early >= 0 {
                self.adaptation.on_arrival(now, i64::from(early as u32 / self.tick_samples));
            }
        }
        if resync { Pushed::Resynchronised } else { Pushed::Queued }
    }

    /// Notes a packet of this stream that isn't played from here, such as a telephone event: its sequence number is not
    /// missing, and the audio pauses.
    #[inline]
    pub fn push_other(&mut self, packet: &RtpPacket<'_>) {
        if self.ssrc != Some(packet.ssrc()) {
            return;
        }
        let ahead = sequence_distance(self.next_sequence, packet.sequence());
        if !(0..MAX_AHEAD).contains(&ahead) || self.ring.get(packet.sequence()).is_some() {
            return;
        }
        self.others |= bit(ahead);
        if self.ring.newest().is_none_or(|newest| sequence_distance(newest.sequence, packet.sequence()) > 0) {
            self.pause_expected = true;
        }
        // With nothing before it, it is done with, however long the event lasts.
        if self.ring.waiting() == 0 && self.started {
            self.pass_others();
        }
    }

    /// Tells whether leaving out the next packet would go unheard: the last one decoded had no speech.
    #[inline]
    pub fn droppable(&mut self, unheard: bool) {
        self.droppable = unheard;
    }

    /// Pulls what is to be played next. A tick pulls until it has a packet time of audio, or [`Popped::Empty`].
    #[inline]
    pub fn pop(&mut self, now: Instant) -> Popped<'_> {
        let samples = self.frame_samples;
        match self.step(now) {
            Step::Play(slot) => Popped::Packet(self.frame(&slot)),
            Step::Skip(slot) => Popped::Skipped(self.frame(&slot)),
            Step::Lost => Popped::Lost { samples },
            Step::Underrun => Popped::Underrun { samples },
            Step::Silence => Popped::Silence { samples },
            Step::Empty => Popped::Empty,
        }
    }

    /// The time that the packets here cover, up to the end of the newest.
    pub fn depth(&self) -> Duration {
        let units = self.ring.newest().map_or(0, |newest| {
            let ahead = timestamp_distance(self.position, newest.timestamp).max(0) as u32;
            u64::from(ahead.min(self.max_depth_samples) + newest.samples)
        });
        clock_duration(units, self.settings.clock_hz)
    }

    /// The counts so far.
    pub fn counters(&self) -> JitterCounters {
        self.counters
    }

    /// Forgets the stream; the counts stay.
    pub fn reset(&mut self) {
        self.ring.clear();
        self.ssrc = None;
        self.started = false;
        self.pause_expected = false;
        self.adaptation.restart();
    }

    #[inline]
    fn step(&mut self, now: Instant) -> Step {
        let frame_us = self.micros(self.frame_samples);
        self.adaptation.on_pop(now, frame_us);
        let Some(first) = self.ring.first(self.next_sequence) else { return self.starve() };
        self.started = true;
        if self.overflows(&first) {
            self.counters.overflowed += 1;
            self.adaptation.restart();
            self.pass(&first);
            return Step::Skip(first);
        }
        if self.adaptation.take_growth() {
            self.counters.underruns += 1;
            self.adaptation.on_grown(now, frame_us);
            return Step::Underrun;
        }
        let mut ahead = self.ahead(&first);
        // Less is no gap, more is a jump of the sender's clock.
        let gap = i64::from(self.frame_samples)..=i64::from(self.max_depth_samples);
        if gap.contains(&ahead) && self.adaptation.should_shrink(now, true) {
            // Nothing has to be left out where there is nothing.
            self.counters.skipped += 1;
            self.adaptation.on_shrunk(now, frame_us);
            self.pass_gap(first.sequence);
            ahead = self.ahead(&first);
        }
        // A hole deeper than the buffer may be is no jump, as long as missing packets account for it.
        while ahead > *gap.end() && self.is_hole(&first, ahead) {
            self.pass_gap(first.sequence);
            ahead = self.ahead(&first);
        }
        if gap.contains(&ahead) {
            return if self.pass_gap(first.sequence) { Step::Lost } else { Step::Silence };
        }
        if self.adaptation.should_shrink(now, self.droppable) && self.ring.get(first.sequence.wrapping_add(1)).is_some()
        {
            self.counters.skipped += 1;
            self.adaptation.on_shrunk(now, self.micros(first.samples));
            self.pass(&first);
            return Step::Skip(first);
        }
        self.play(now, &first, ahead);
        Step::Play(first)
    }

    /// Nothing is here.
    fn starve(&mut self) -> Step {
        if !self.started {
            return Step::Empty;
        }
        self.adaptation.on_starved();
        let paused = self.pause_expected || self.waited_samples >= self.pause_after_samples;
        let waited = if paused { self.tick_samples } else { self.frame_samples };
        self.waited_samples = self.waited_samples.saturating_add(waited).min(i32::MAX as u32);
        if paused {
            return Step::Empty;
        }
        self.counters.underruns += 1;
        Step::Underrun
    }

    /// Whether `first` would make the newest packet wait for too long.
    #[inline]
    fn overflows(&self, first: &Slot) -> bool {
        let packets = (self.max_depth_samples / self.frame_samples).min(u32::from(self.ring.reach()) - 2);
        let span = self.ring.span(first.sequence);
        if span > packets.max(1) {
            return true;
        }
        // A silence between the two takes time as well; but a jump of the sender's clock takes none.
        let Some(newest) = self.ring.newest() else { return false };
        let time = i64::from(timestamp_distance(first.timestamp, newest.timestamp));
        span > 1 && (i64::from(self.max_depth_samples) + 1..i64::from(self.settings.clock_hz)).contains(&time)
    }

    /// Plays `first`, whose turn comes in `ahead` samples, or came as many before when negative.
    #[inline]
    fn play(&mut self, now: Instant, first: &Slot, ahead: i64) {
        let max_depth = i64::from(self.max_depth_samples);
        if ahead > max_depth || ahead < -max_depth && self.waited_samples == 0 {
            self.counters.resyncs += 1;
            self.adaptation.restart();
        } else if self.waited_samples >= self.pause_after_samples {
            self.adaptation.restart();
        } else if self.waited_samples > 0 && ahead < 0 {
            let grown = self.micros(ahead.unsigned_abs().min(u64::from(self.waited_samples)) as u32);
            self.adaptation.on_grown(now, grown);
        }
        self.counters.played += 1;
        self.pass(first);
    }

    /// How long before its turn `first` is, in samples; negative when its turn has passed. What was concealed or silent
    /// while the position waited stands for what is missing before it.
    #[inline]
    fn ahead(&self, first: &Slot) -> i64 {
        i64::from(timestamp_distance(self.position, first.timestamp)) - i64::from(self.waited_samples)
    }

    /// Whether packets that are missing before `first` account for its being `ahead`.
    fn is_hole(&self, first: &Slot, ahead: i64) -> bool {
        ahead <= i64::from(self.missing_before(first.sequence)) * i64::from(self.frame_samples)
    }

    /// Passes one packet time of the gap before `sequence`. Whether a packet is given up with it: if not, the sender
    /// left the time out.
    fn pass_gap(&mut self, sequence: u16) -> bool {
        self.position = self.position.wrapping_add(self.frame_samples);
        let lost = self.missing_before(sequence) > 0;
        if lost {
            self.counters.lost += 1;
            self.next_sequence = self.next_sequence.wrapping_add(1);
            self.others >>= 1;
            self.history <<= 1;
            self.pass_others();
        }
        lost
    }

    /// Takes `first` out and makes its end the position.
    #[inline]
    fn pass(&mut self, first: &Slot) {
        self.counters.lost += u64::from(self.missing_before(first.sequence));
        self.ring.take(first.sequence);
        let steps = sequence_distance(self.next_sequence, first.sequence).max(0) as u32 + 1;
        self.history = self.history.checked_shl(steps).unwrap_or(0) | 1;
        self.others = self.others.checked_shr(steps).unwrap_or(0);
        self.next_sequence = first.sequence.wrapping_add(1);
        self.position = first.timestamp.wrapping_add(first.samples);
        self.waited_samples = 0;
        if self.settings.comfort_noise != Some(first.payload_type) {
            // Not so short that a tick would pull without end.
            self.frame_samples = first.samples.max(self.tick_samples / 4).max(1);
        }
        self.pass_others();
    }

    /// Steps over the sequence numbers of packets that aren't played from here.
    #[inline]
    fn pass_others(&mut self) {
        let steps = self.others.trailing_ones();
        if steps > 0 {
            self.others = self.others.checked_shr(steps).unwrap_or(0);
            self.history = self.history.checked_shl(steps).unwrap_or(0);
            self.next_sequence = self.next_sequence.wrapping_add(steps as u16);
        }
    }

    /// Sequence numbers before `sequence` that are neither played nor known to be something else.
    #[inline]
    fn missing_before(&self, sequence: u16) -> u32 {
        let steps = sequence_distance(self.next_sequence, sequence).clamp(0, MAX_AHEAD) as u32;
        let before = 1u64.checked_shl(steps).map_or(u64::MAX, |bit| bit - 1);
        (!self.others & before).count_ones()
    }

    /// A packet whose turn has passed.
    fn refuse(&mut self, now: Instant, ahead: i16, timestamp: u32) -> Pushed {
        if self.history & bit(-1 - ahead) != 0 {
            self.counters.duplicate += 1;
            return Pushed::Duplicate;
        }
        self.counters.late += 1;
        self.history |= bit(-1 - ahead);
        let behind = timestamp_distance(timestamp, self.position);
        if (0..=self.max_depth_samples as i32).contains(&behind) {
            let frame_us = self.micros(self.frame_samples);
            self.adaptation.on_late(now, frame_us);
        }
        Pushed::Late
    }

    fn start_over(&mut self, packet: &RtpPacket<'_>) {
        self.counters.resyncs += u64::from(self.ssrc.is_some());
        self.counters.overflowed += u64::from(self.ring.waiting());
        self.reset();
        self.ssrc = Some(packet.ssrc());
        self.next_sequence = packet.sequence();
        self.position = packet.timestamp();
        self.waited_samples = 0;
        self.others = 0;
        self.history = 0;
    }

    fn frame(&self, slot: &Slot) -> Frame<'_> {
        Frame {
            payload: self.ring.payload(slot),
            payload_type: slot.payload_type,
            marker: slot.marker,
            sequence: slot.sequence,
            timestamp: slot.timestamp,
            samples: slot.samples,
        }
    }

    #[inline]
    fn micros(&self, samples: u32) -> i64 {
        i64::from(samples) * 1_000_000 / i64::from(self.settings.clock_hz)
    }
}

/// The bit of a window for the place `at`; none outside of it.
fn bit(at: i16) -> u64 {
    u32::try_from(at).ok().and_then(|at| 1u64.checked_shl(at)).unwrap_or(0)
}
