//! What a stream receives: packets in any order become a steady flow of samples, one packet time after the other, with
//! holes concealed and keys told. Sans-IO: bytes and instants come in as arguments.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::event::MediaEvent;
use super::keys::{InbandKeys, SoundKeys};
use crate::audio::{Codec, ComfortNoise, Concealer, Decoder, QualityMeter, Resampler, SampleRate};
use crate::metrics::WorkerCounters;
use crate::rtp::dtmf::EventReport;
use crate::rtp::{
    Arrival, DtmfReceiver, JitterBuffer, JitterSettings, Popped, Pushed, ReceiveQuality, RtpPacket, Source,
};
use crate::sdp::NegotiatedMedia;

/// With nothing heard for so long the call is told: on hold, or a path that is dead in this direction.
/// Longer than an agent takes to answer, so that a caller whose telephone sends nothing in pauses is not taken to be on
/// hold while waiting.
pub(super) const SILENT_AFTER: Duration = Duration::from_secs(4);

/// The receiving half of a stream.
pub(super) struct Inbound {
    media: NegotiatedMedia,
    pub(super) source: Source,
    jitter: JitterBuffer,
    dtmf: Option<DtmfReceiver>,
    pub(super) keys: SoundKeys,
    decoder: Decoder,
    concealer: Concealer,
    noise: ComfortNoise,
    to_engine: Resampler,
    /// Samples at the leg's rate that no frame has taken yet: packets may be shorter or longer than a frame.
    ready: Vec<f32>,
    /// The latest frame, at the leg's rate and at the engine's.
    leg: Vec<f32>,
    engine: Vec<f32>,
    pub(super) quality: QualityMeter,
    pub(super) concealed: u64,
    pub(super) dropped: u64,
    /// When the latest packet came; `None` before the first.
    last_packet: Option<Instant>,
    opened: Instant,
    silent: bool,
    /// The caller sends silence descriptions instead of packets: RFC 3389.
    discontinuous: bool,
    counted_lost: u64,
}

impl Inbound {
    pub(super) fn new(media: &NegotiatedMedia, keys: InbandKeys, latest: Duration, seed: u32, now: Instant) -> Self {
        let rate = media.codec.audio_rate();
        let octets_per_unit = match media.codec {
            Codec::L16(_) => 2,
            Codec::Pcmu | Codec::Pcma | Codec::G722 => 1,
        };
        let jitter = JitterSettings {
            comfort_noise: media.comfort_noise,
            max_depth: latest,
            ..JitterSettings::new(media.codec.rtp_clock_hz(), media.ptime(), octets_per_unit)
        };
        Self {
            media: media.clone(),
            source: Source::new(media.codec.rtp_clock_hz(), now),
            jitter: JitterBuffer::new(jitter),
            dtmf: media.dtmf.map(|format| DtmfReceiver::new(format.clock_hz)),
            keys: SoundKeys::new(keys, rate, media.dtmf.is_some()),
            decoder: Decoder::new(media.codec),
            concealer: Concealer::new(rate),
            noise: ComfortNoise::new(u64::from(seed)),
            to_engine: Resampler::new(rate, SampleRate::Hz16000),
            ready: Vec::new(),
            leg: Vec::new(),
            engine: Vec::new(),
            quality: QualityMeter::new(SampleRate::Hz16000),
            concealed: 0,
            dropped: 0,
            last_packet: None,
            opened: now,
            silent: false,
            discontinuous: false,
            counted_lost: 0,
        }
    }

    /// The latest frame at the leg's rate.
    pub(super) fn leg_frame(&self) -> &[f32] {
        &self.leg
    }

    /// The latest frame at 16 kHz.
    pub(super) fn engine_frame(&self) -> &[f32] {
        &self.engine
    }

    pub(super) fn receive_quality(&self) -> ReceiveQuality {
        self.source.quality()
    }

    /// Reads something of each part.
    pub(super) fn look(&self) -> usize {
        let sample = |samples: &[f32]| samples.first().map_or(0, |sample| sample.to_bits() as usize);
        self.jitter.counters().played as usize
            ^ sample(&self.ready)
            ^ sample(&self.leg)
            ^ sample(&self.engine)
            ^ usize::from(self.silent)
    }

    /// Takes one datagram.
    pub(super) fn on_rtp(
        &mut self,
        now: Instant,
        datagram: &[u8],
        counters: &WorkerCounters,
        mut tell: impl FnMut(MediaEvent),
    ) {
        let Ok(packet) = RtpPacket::parse(datagram) else {
            counters.malformed.fetch_add(1, Ordering::Relaxed);
            return;
        };
        counters.packets_received.fetch_add(1, Ordering::Relaxed);
        let kind = packet.payload_type();
        let is_key = self.media.dtmf.is_some_and(|format| format.payload_type == kind);
        let arrival = if is_key { self.source.push_event(&packet) } else { self.source.push(now, &packet) };
        if !arrival.is_accepted() {
            return;
        }
        if arrival == Arrival::NewStream {
            self.jitter.reset();
            if let Some(dtmf) = &mut self.dtmf {
                dtmf.reset();
            }
        }
        match self.last_packet.replace(now) {
            None => tell(MediaEvent::FirstPacket { at: now }),
            Some(_) if self.silent => tell(MediaEvent::Resumed { at: now }),
            Some(_) => {}
        }
        self.silent = false;
        if is_key {
            self.jitter.push_other(&packet);
            if let Some(dtmf) = &mut self.dtmf {
                dtmf.push(now, &packet);
                if let Some(key) = EventReport::of_packet(&packet).and_then(EventReport::digit) {
                    self.keys.event(now, key);
                }
                tell_keys(dtmf, now, tell);
            }
            return;
        }
        let known = kind == self.media.payload_type || self.media.comfort_noise == Some(kind);
        if !known {
            // A payload type that was never negotiated still moves the sequence on.
            self.jitter.push_other(&packet);
            counters.malformed.fetch_add(1, Ordering::Relaxed);
            return;
        }
        if self.jitter.push(now, &packet) == Pushed::Late {
            self.source.note_late();
            counters.packets_late.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Makes the next frame of `duration` ready in both rates.
    pub(super) fn pull(
        &mut self,
        now: Instant,
        duration: Duration,
        droppable: bool,
        counters: &WorkerCounters,
        mut tell: impl FnMut(MediaEvent),
    ) {
        if let Some(dtmf) = &mut self.dtmf {
            tell_keys(dtmf, now, &mut tell);
        }
        self.jitter.droppable(droppable);
        let wanted = self.media.codec.audio_rate().samples(duration);
        while self.ready.len() < wanted && self.next_packet(now, counters) {}
        let missing = wanted.saturating_sub(self.ready.len());
        if missing > 0 {
            fill_pause(self.discontinuous, &mut self.noise, &mut self.concealer, missing, &mut self.ready);
        }
        self.leg.clear();
        if self.ready.len() == wanted {
            std::mem::swap(&mut self.leg, &mut self.ready);
        } else {
            self.leg.extend(self.ready.drain(..wanted));
        }
        self.keys.hear(now, &self.leg, |digit| tell(MediaEvent::Dtmf { digit }));
        self.engine.clear();
        self.to_engine.process(&self.leg, &mut self.engine);
        self.quality.push(&self.engine);
        let since = self.last_packet.unwrap_or(self.opened);
        if !self.silent && !self.discontinuous && now.saturating_duration_since(since) >= SILENT_AFTER {
            self.silent = true;
            tell(MediaEvent::Silent { since });
        }
        let lost = self.source.quality().lost;
        if lost > self.counted_lost {
            counters.packets_lost.fetch_add(lost - self.counted_lost, Ordering::Relaxed);
            self.counted_lost = lost;
        }
    }

    /// Decodes what comes next. Says whether there was anything.
    fn next_packet(&mut self, now: Instant, counters: &WorkerCounters) -> bool {
        let Self { media, jitter, decoder, concealer, noise, ready, .. } = self;
        let rate = media.codec.audio_rate();
        // The RTP clock may run slower than the samples: G.722.
        let length = |units: u32| units as usize * (rate.hz() / media.codec.rtp_clock_hz()) as usize;
        let start = ready.len();
        match jitter.pop(now) {
            Popped::Packet(packet) if packet.payload_type == media.payload_type => {
                self.discontinuous = false;
                decoder.decode(packet.payload, ready);
                concealer.received(&mut ready[start..]);
            }
            Popped::Packet(packet) => {
                self.discontinuous = true;
                noise.update(packet.payload);
                noise.fill(length(packet.samples), ready);
            }
            Popped::Skipped(packet) => {
                self.dropped += 1;
                if packet.payload_type == media.payload_type {
                    decoder.decode(packet.payload, ready);
                    ready.truncate(start);
                }
            }
            Popped::Lost { samples } | Popped::Underrun { samples } => {
                self.concealed += 1;
                counters.frames_concealed.fetch_add(1, Ordering::Relaxed);
                concealer.conceal(length(samples), ready);
            }
            Popped::Silence { samples } => fill_pause(self.discontinuous, noise, concealer, length(samples), ready),
            Popped::Empty => return false,
        }
        true
    }
}

/// The sender has nothing to say, or is not heard: its comfort noise if it described any, else what fades to silence.
fn fill_pause(
    discontinuous: bool,
    noise: &mut ComfortNoise,
    concealer: &mut Concealer,
    samples: usize,
    out: &mut Vec<f32>,
) {
    if discontinuous {
        noise.fill(samples, out);
    } else {
        concealer.conceal(samples, out);
    }
}

fn tell_keys(dtmf: &mut DtmfReceiver, now: Instant, mut tell: impl FnMut(MediaEvent)) {
    while let Some(key) = dtmf.poll(now) {
        tell(MediaEvent::Dtmf { digit: key.digit });
    }
}
