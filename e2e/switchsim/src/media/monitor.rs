//! What the media thread observed of one call, shared with the call's handle. Never touches a socket.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::leg::LegFormat;
use super::listener::{Burst, Listener};
use super::rtp::{self, Packet};
use crate::stats::{Histogram, Reception, Spread};

/// Gaps from here on are listed.
pub(crate) const NOTABLE_GAP: Duration = Duration::from_millis(60);
const MAX_LISTED: usize = 1_000;

/// A time without RTP from any pod, between two packets.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Gap {
    /// When it began, in milliseconds since the call was dialled.
    pub at_ms: f64,
    /// How long it was, in milliseconds.
    pub ms: f64,
}

/// A digit that the pod sent.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct HeardDigit {
    /// Which.
    pub digit: char,
    /// When its first packet came, in milliseconds since the call was dialled.
    pub at_ms: f64,
}

/// One leg B: one attempt on one pod.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LegReport {
    /// 1 for the first.
    pub attempt: u32,
    /// Where this switch listened.
    pub local: String,
    /// Where the pod said that it is.
    pub remote: String,
    /// Codec, with its audio rate.
    pub codec: String,
    /// Packet time, in milliseconds.
    pub ptime_ms: u32,
    /// Packets to the pod, less those that the simulated network lost.
    pub sent: u64,
    /// Packets that the simulated network lost.
    pub dropped: u64,
    /// Packets that the simulated network still held back (jitter, reordering): on their way while the leg lasts, never
    /// delivered once it is over. The pod misses those of them that a later packet overtook, so it counts as lost no more than
    /// `dropped + undelivered`.
    pub undelivered: u64,
    /// Packets that the operating system did not take.
    pub send_errors: u64,
    /// Packets from the pod.
    pub received: u64,
    /// Missing sequence numbers.
    pub lost: u64,
    /// Packets that came behind a later one.
    pub reordered: u64,
    /// Packets that came again.
    pub duplicated: u64,
    /// Packets from another address than the answer's, not heard.
    pub foreign: u64,
    /// Packets that are no RTP, or of a payload type that was not agreed.
    pub malformed: u64,
    /// Distinct SSRCs in a row; 1 unless the pod restarted its stream.
    pub streams: u32,
    /// Interarrival jitter (RFC 3550 §6.4.1), in milliseconds.
    pub jitter_ms: f64,
    /// How far the time between neighbouring packets was off from what their timestamps say.
    pub pacing: Spread,
    /// From the answer to the pod's first packet, in milliseconds.
    pub first_packet_ms: Option<f64>,
    /// Longest time without a packet, in milliseconds.
    pub longest_gap_ms: f64,
}

#[derive(Debug)]
struct Current {
    report: LegReport,
    reception: Reception,
    format: LegFormat,
    attached: Instant,
    last_packet: Option<Instant>,
    digit_timestamp: Option<u32>,
}

impl Current {
    fn report(&self) -> LegReport {
        LegReport {
            received: self.reception.received,
            lost: self.reception.lost_so_far(),
            reordered: self.reception.reordered,
            duplicated: self.reception.duplicated,
            streams: self.reception.streams,
            jitter_ms: self.reception.jitter_ms(),
            pacing: self.reception.pacing.summary(),
            ..self.report.clone()
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Observed {
    epoch: Instant,
    finished: Vec<LegReport>,
    current: Option<Current>,
    pub(crate) pacing: Histogram,
    pub(crate) listener: Option<Listener>,
    pub(crate) gaps: Vec<Gap>,
    pub(crate) longest_gap: Duration,
    last_packet: Option<Instant>,
    pub(crate) digits: Vec<HeardDigit>,
    /// Whether what comes in reaches the caller: not on hold.
    pub(crate) audible: bool,
}

/// What became of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sent {
    Wire,
    Dropped,
    Failed,
}

impl Observed {
    fn ms(&self, at: Instant) -> f64 {
        at.saturating_duration_since(self.epoch).as_secs_f64() * 1e3
    }

    pub(crate) fn attach(&mut self, attempt: u32, local: String, format: LegFormat, now: Instant) {
        self.detach();
        let codec = format.media.codec;
        if let Some(listener) = &mut self.listener {
            listener.new_leg();
        }
        self.current = Some(Current {
            report: LegReport {
                attempt,
                local,
                remote: format.media.remote.to_string(),
                codec: format!("{}/{}", codec.encoding_name(), codec.audio_rate().hz()),
                ptime_ms: format.media.ptime_ms,
                sent: 0,
                dropped: 0,
                undelivered: 0,
                send_errors: 0,
                received: 0,
                lost: 0,
                reordered: 0,
                duplicated: 0,
                foreign: 0,
                malformed: 0,
                streams: 0,
                jitter_ms: 0.0,
                pacing: Spread::default(),
                first_packet_ms: None,
                longest_gap_ms: 0.0,
            },
            reception: Reception::default(),
            format,
            attached: now,
            last_packet: None,
            digit_timestamp: None,
        });
    }

    pub(crate) fn detach(&mut self) {
        if let Some(current) = self.current.take() {
            self.pacing.merge(&current.reception.pacing);
            self.finished.push(current.report());
        }
    }

    pub(crate) fn on_sent(&mut self, sent: Sent) {
        if let Some(current) = &mut self.current {
            match sent {
                Sent::Wire => current.report.sent += 1,
                Sent::Dropped => current.report.dropped += 1,
                Sent::Failed => current.report.send_errors += 1,
            }
        }
    }

    /// The simulated network keeps a packet for later.
    pub(crate) fn on_held_back(&mut self) {
        if let Some(current) = &mut self.current {
            current.report.undelivered += 1;
        }
    }

    /// The packet leaves; what becomes of it is [`Self::on_sent`]'s.
    pub(crate) fn on_released(&mut self) {
        if let Some(current) = &mut self.current {
            current.report.undelivered = current.report.undelivered.saturating_sub(1);
        }
    }

    pub(crate) fn on_foreign(&mut self) {
        if let Some(current) = &mut self.current {
            current.report.foreign += 1;
        }
    }

    /// A datagram from the pod's address. False if it is not what was agreed.
    pub(crate) fn on_datagram(&mut self, datagram: &[u8], arrival: Instant) -> bool {
        let Some(current) = &mut self.current else { return false };
        let media = current.format.media;
        let packet = rtp::parse(datagram);
        let is_digit = |packet: &Packet<'_>| media.dtmf.is_some_and(|dtmf| dtmf.payload_type == packet.payload_type);
        let Some(packet) = packet.filter(|packet| packet.payload_type == media.payload_type || is_digit(packet)) else {
            current.report.malformed += 1;
            return false;
        };
        let digit = is_digit(&packet);
        current.reception.on_packet(&packet, arrival, media.codec.rtp_clock_hz(), !digit);
        let since_answer = arrival.saturating_duration_since(current.attached);
        current.report.first_packet_ms.get_or_insert(since_answer.as_secs_f64() * 1e3);
        if let Some(last) = current.last_packet {
            let gap_ms = arrival.saturating_duration_since(last).as_secs_f64() * 1e3;
            current.report.longest_gap_ms = current.report.longest_gap_ms.max(gap_ms);
        }
        current.last_packet = Some(arrival);
        let new_digit = match rtp::read_event(packet.payload) {
            Some((symbol, ..)) if digit && current.digit_timestamp != Some(packet.timestamp) => {
                current.digit_timestamp = Some(packet.timestamp);
                Some(symbol)
            }
            _ => None,
        };
        let at_ms = self.ms(arrival);
        if let Some(symbol) = new_digit.filter(|_| self.digits.len() < MAX_LISTED) {
            self.digits.push(HeardDigit { digit: symbol, at_ms });
        }
        if let Some(last) = self.last_packet {
            let gap = arrival.saturating_duration_since(last);
            self.longest_gap = self.longest_gap.max(gap);
            if gap >= NOTABLE_GAP && self.gaps.len() < MAX_LISTED {
                let gap = Gap { at_ms: self.ms(last), ms: gap.as_secs_f64() * 1e3 };
                self.gaps.push(gap);
            }
        }
        self.last_packet = Some(arrival);
        if let (true, false, Some(listener)) = (self.audible, digit, &mut self.listener) {
            listener.on_audio(&packet, media.codec, arrival);
        }
        true
    }

    pub(crate) fn legs(&self) -> Vec<LegReport> {
        self.finished.iter().cloned().chain(self.current.as_ref().map(Current::report)).collect()
    }

    pub(crate) fn received(&self) -> u64 {
        let current = self.current.as_ref().map_or(0, |current| current.reception.received);
        self.finished.iter().map(|leg| leg.received).sum::<u64>() + current
    }

    /// Legs that were answered so far.
    pub(crate) fn leg_count(&self) -> usize {
        self.finished.len() + usize::from(self.current.is_some())
    }

    /// Packets from pods that never came, so far.
    pub(crate) fn lost(&self) -> u64 {
        let current = self.current.as_ref().map_or(0, |current| current.reception.lost_so_far());
        self.finished.iter().map(|leg| leg.lost).sum::<u64>() + current
    }

    pub(crate) fn bursts(&self) -> &[Burst] {
        self.listener.as_ref().map_or(&[], Listener::bursts)
    }
}

/// Shared between the media thread and the call.
#[derive(Debug)]
pub(crate) struct Monitor(Mutex<Observed>);

impl Monitor {
    pub(crate) fn new(epoch: Instant, listener: Option<Listener>) -> Self {
        Self(Mutex::new(Observed {
            epoch,
            finished: Vec::new(),
            current: None,
            pacing: Histogram::default(),
            listener,
            gaps: Vec::new(),
            longest_gap: Duration::ZERO,
            last_packet: None,
            digits: Vec::new(),
            audible: true,
        }))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Observed> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
