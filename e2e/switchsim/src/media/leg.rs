//! One caller's sending side: what it says, frame by frame, with digits, hold and the simulated network. Sans-IO: time comes
//! in, packets come out; [`super::pump`] owns sockets and clock.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};
use sofia_dataplane::audio::Codec;
use tokio::sync::oneshot;

use super::clip::{Clip, Frames, RATE_HZ};
use super::rtp::{self, Packet};
use crate::sdp::AnsweredMedia;

/// Duration of a sent digit, in packets; then its end packet three times.
const DIGIT_PACKETS: u32 = 5;
const END_PACKETS: u32 = 3;
/// Packets of audio between two digits.
const DIGIT_PAUSE: u32 = 3;

/// What was agreed for a leg.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LegFormat {
    pub(crate) media: AnsweredMedia,
}

/// What the network between caller and pod does to the caller's packets; the default is nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Impairments {
    /// Share of packets that are lost, 0 to 1.
    pub loss: f64,
    /// Each packet is late by a random time up to this (as JSON in milliseconds, `jitter_ms`); order is kept.
    #[serde(rename = "jitter_ms", with = "crate::millis")]
    pub jitter: Duration,
    /// Share of packets that are overtaken by the next one, 0 to 1.
    pub reorder: f64,
    /// Share of packets that come twice, 0 to 1.
    pub duplicate: f64,
    /// How much faster than real time the caller's sampling clock runs, in parts per million.
    pub clock_drift_ppm: f64,
    /// Seed of the chance.
    pub seed: u64,
}

/// Sound that the switch itself gives to the caller.
#[derive(Debug, Clone)]
pub(crate) enum LocalSound {
    /// `echo`.
    Echo,
    /// `playback`, again and again.
    Loop(Clip),
}

struct Saying {
    clip: Clip,
    frames: Arc<Frames>,
    format: (Codec, u32),
    index: usize,
    looped: bool,
    begun: bool,
    done: Option<oneshot::Sender<()>>,
}

struct Digit {
    event: u8,
    timestamp: u32,
    packets: u32,
}

/// A packet that is to leave at `at`.
pub(crate) struct Outgoing {
    pub(crate) at: Instant,
    pub(crate) bytes: Vec<u8>,
    pub(crate) twice: bool,
}

/// What a frame came to.
pub(crate) enum Frame {
    /// These packets leave, now or later; `dropped` more were lost by the simulated network.
    Packets { dropped: u32 },
    /// On hold, or no leg.
    Nothing,
}

/// See the module.
pub(crate) struct Speaker {
    impairments: Impairments,
    dice: StdRng,
    queue: VecDeque<Saying>,
    silence: Clip,
    silent_frames: Option<((Codec, u32), Arc<Frames>)>,
    digits: VecDeque<(u8, Option<oneshot::Sender<()>>)>,
    digit: Option<Digit>,
    digit_done: Option<oneshot::Sender<()>>,
    pause: u32,
    pub(crate) held: bool,
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
    marker: bool,
    latest: Option<Instant>,
    /// Lengths of the clips whose first frame was the current one; whoever sends the frame notes and clears them.
    pub(crate) begun: Vec<Duration>,
    /// Samples of the current frame, for `echo`.
    spoken: (Option<Clip>, usize),
}

/// Codec and packet time of frames that nobody gets, while there is no leg.
const UNHEARD: (Codec, u32) = (Codec::Pcmu, 20);

impl Speaker {
    /// `silence` is shared between callers, so that it is encoded once.
    pub(crate) fn new(impairments: Impairments, silence: Clip) -> Self {
        let mut dice = StdRng::seed_from_u64(impairments.seed);
        let (ssrc, sequence, timestamp) = (dice.random(), dice.random::<u16>() >> 1, dice.random());
        Self {
            impairments,
            dice,
            queue: VecDeque::new(),
            silence,
            silent_frames: None,
            digits: VecDeque::new(),
            digit: None,
            digit_done: None,
            pause: 0,
            held: false,
            ssrc,
            sequence,
            timestamp,
            marker: true,
            latest: None,
            begun: Vec::new(),
            spoken: (None, 0),
        }
    }

    /// Time between two frames of `ptime_ms` by this caller's own clock.
    pub(crate) fn interval(&self, ptime_ms: u32) -> Duration {
        Duration::from_secs_f64(f64::from(ptime_ms) / 1e3 / (1.0 + self.impairments.clock_drift_ppm / 1e6))
    }

    /// Where in the frame grid this caller starts, so that many callers do not send at once.
    pub(crate) fn phase(&mut self) -> Duration {
        Duration::from_micros(self.dice.random_range(0..20_000))
    }

    pub(crate) fn say(&mut self, clip: Clip, looped: bool, done: Option<oneshot::Sender<()>>) {
        let frames = clip.frames(UNHEARD.0, UNHEARD.1);
        self.queue.push_back(Saying { clip, frames, format: UNHEARD, index: 0, looped, begun: false, done });
    }

    pub(crate) fn stop_saying(&mut self) {
        self.queue.clear();
    }

    /// Queues digits; `done` fires after the last one's end packets.
    pub(crate) fn dial(&mut self, digits: &str, mut done: Option<oneshot::Sender<()>>) {
        let events: Vec<u8> = digits.chars().filter_map(rtp::digit_event).collect();
        let last = events.len().saturating_sub(1);
        for (at, event) in events.into_iter().enumerate() {
            self.digits.push_back((event, if at == last { done.take() } else { None }));
        }
    }

    /// A new leg: a new stream.
    pub(crate) fn new_leg(&mut self) {
        self.ssrc = self.dice.random();
        self.sequence = self.dice.random::<u16>() >> 1;
        self.timestamp = self.dice.random();
        self.marker = true;
        self.latest = None;
    }

    /// Goes on by one frame. With a leg, its packets are appended to `out`.
    pub(crate) fn frame(&mut self, leg: Option<&LegFormat>, now: Instant, out: &mut Vec<Outgoing>) -> Frame {
        let format = leg.map_or(UNHEARD, |leg| (leg.media.codec, leg.media.ptime_ms));
        let source = self.next_payload(format);
        let Some(leg) = leg else { return Frame::Nothing };
        let (clock, ptime) = (leg.media.codec.rtp_clock_hz(), leg.media.ptime_ms);
        let timestamp = self.timestamp;
        self.timestamp = timestamp.wrapping_add(clock * ptime / 1000);
        if self.held {
            return Frame::Nothing;
        }
        let mut dropped = 0;
        if leg.media.dtmf.is_none() {
            // The pod's answer has no telephone-event: nobody would notice.
            for done in self.digits.drain(..).filter_map(|(_, done)| done) {
                let _ = done.send(());
            }
        }
        if self.digit.is_none()
            && self.pause == 0
            && let Some((event, done)) = self.digits.pop_front()
        {
            self.digit = Some(Digit { event, timestamp, packets: 0 });
            self.digit_done = done;
        }
        self.pause = self.pause.saturating_sub(1);
        if let (Some(digit), Some(dtmf)) = (&mut self.digit, leg.media.dtmf) {
            digit.packets += 1;
            let ended = digit.packets > DIGIT_PACKETS;
            let units = digit.packets.min(DIGIT_PACKETS) * ptime * dtmf.clock_hz / 1000;
            let payload = rtp::event_payload(digit.event, ended, units.min(u32::from(u16::MAX)) as u16);
            let (started, first) = (digit.timestamp, digit.packets == 1);
            for _ in 0..if ended { END_PACKETS } else { 1 } {
                let packet = self.packet(dtmf.payload_type, first, started, &payload);
                dropped += self.dispatch(packet, ptime, now, out);
            }
            if ended {
                self.digit = None;
                self.pause = DIGIT_PAUSE;
                if let Some(done) = self.digit_done.take() {
                    let _ = done.send(());
                }
            }
            return Frame::Packets { dropped };
        }
        let (frames, index) = source;
        let marker = std::mem::take(&mut self.marker);
        let packet = self.packet(leg.media.payload_type, marker, timestamp, frames.get(index).unwrap_or_default());
        dropped += self.dispatch(packet, ptime, now, out);
        Frame::Packets { dropped }
    }

    fn packet(&mut self, payload_type: u8, marker: bool, timestamp: u32, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(rtp::HEADER_BYTES + payload.len());
        let sequence = self.sequence;
        self.sequence = sequence.wrapping_add(1);
        rtp::write(&mut bytes, &Packet { payload_type, marker, sequence, timestamp, ssrc: self.ssrc, payload });
        bytes
    }

    /// The payload of this frame, as frames and index; goes on in the queue.
    fn next_payload(&mut self, format: (Codec, u32)) -> (Arc<Frames>, usize) {
        while let Some(saying) = self.queue.front_mut() {
            if saying.format != format {
                // A takeover may bring another codec in the middle of a sentence.
                let said_ms = saying.index * saying.format.1 as usize;
                saying.frames = saying.clip.frames(format.0, format.1);
                saying.index = said_ms / format.1 as usize;
                saying.format = format;
            }
            if saying.frames.get(saying.index).is_some() {
                let at = saying.index;
                saying.index += 1;
                if !std::mem::replace(&mut saying.begun, true) && !saying.looped {
                    self.begun.push(saying.clip.duration());
                }
                self.spoken = (Some(saying.clip.clone()), at * format.1 as usize * RATE_HZ as usize / 1000);
                return (saying.frames.clone(), at);
            }
            if saying.looped {
                saying.index = 0;
                if saying.frames.get(0).is_some() {
                    continue;
                }
            }
            if let Some(done) = self.queue.pop_front().and_then(|saying| saying.done) {
                let _ = done.send(());
            }
        }
        self.spoken = (None, 0);
        let frames = match &self.silent_frames {
            Some((known, frames)) if *known == format => frames.clone(),
            _ => {
                let frames = self.silence.frames(format.0, format.1);
                self.silent_frames = Some((format, frames.clone()));
                frames
            }
        };
        // An adaptive codec (G.722) takes a few frames to become silent: its first, repeated, would be a hum.
        let settled = frames.last();
        (frames, settled)
    }

    /// What was said in the current frame, 20 ms at 16 kHz.
    pub(crate) fn spoken(&self) -> Vec<i16> {
        let count = RATE_HZ as usize / 50;
        let (clip, at) = &self.spoken;
        let said = clip.as_ref().and_then(|clip| clip.samples().get(*at..)).unwrap_or_default();
        let mut frame: Vec<i16> = said.iter().take(count).copied().collect();
        frame.resize(count, 0);
        frame
    }

    /// Lets the simulated network have a packet; says how many it lost.
    fn dispatch(&mut self, bytes: Vec<u8>, ptime_ms: u32, now: Instant, out: &mut Vec<Outgoing>) -> u32 {
        let network = self.impairments;
        if network.loss > 0.0 && self.dice.random::<f64>() < network.loss {
            return 1;
        }
        let mut at = now;
        if !network.jitter.is_zero() {
            at += network.jitter.mul_f64(self.dice.random());
        }
        if network.reorder > 0.0 && self.dice.random::<f64>() < network.reorder {
            // Behind the next packet, and without holding that one up.
            at += Duration::from_millis(u64::from(ptime_ms)).mul_f64(1.5);
        } else {
            at = self.latest.map_or(at, |latest| latest.max(at));
            self.latest = Some(at);
        }
        let twice = network.duplicate > 0.0 && self.dice.random::<f64>() < network.duplicate;
        out.push(Outgoing { at, bytes, twice });
        0
    }
}

#[cfg(test)]
#[path = "leg_tests.rs"]
mod tests;
