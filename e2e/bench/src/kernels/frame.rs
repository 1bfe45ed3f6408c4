//! A whole frame in and out, put together from the public parts in the order in which the media worker uses them: everything
//! that a call costs but the kernel and the bookkeeping between the parts.

use std::hint::black_box;
use std::time::Instant;

use anyhow::Result;
use sofia_dataplane::audio::{
    Codec, Concealer, Decoder, Encoder, Fade, Loudness, LoudnessSettings, QualityMeter, Resampler, SampleRate,
    VoiceDetector, VoiceSettings,
};
use sofia_dataplane::rtp::{JitterBuffer, JitterSettings, Popped, RtpPacket, RtpSender, Source};

use super::packets::{PTIME, write};
use super::percent_of_core;
use super::sound::{Frames, at};
use crate::table::{Report, Table};
use crate::timing::Stopwatch;

/// One direction each way of one call.
struct Call {
    source: Source,
    jitter: JitterBuffer,
    decoder: Decoder,
    concealer: Concealer,
    to_engine: Resampler,
    heard: QualityMeter,
    voice: VoiceDetector,
    to_leg: Resampler,
    loudness: Loudness,
    fade: Fade,
    said: QualityMeter,
    encoder: Encoder,
    sender: RtpSender,
    leg: Vec<f32>,
    engine: Vec<f32>,
    out: Vec<f32>,
    payload: Vec<u8>,
    datagram: Vec<u8>,
}

impl Call {
    fn new(codec: Codec, now: Instant) -> Self {
        let rate = codec.audio_rate();
        Self {
            source: Source::new(codec.rtp_clock_hz(), now),
            jitter: JitterBuffer::new(JitterSettings::new(codec.rtp_clock_hz(), PTIME, 1)),
            decoder: Decoder::new(codec),
            concealer: Concealer::new(rate),
            to_engine: Resampler::new(rate, SampleRate::Hz16000),
            heard: QualityMeter::new(SampleRate::Hz16000),
            voice: VoiceDetector::new(VoiceSettings::default()),
            to_leg: Resampler::new(SampleRate::Hz16000, rate),
            loudness: Loudness::new(rate, LoudnessSettings::default()),
            fade: Fade::open(rate),
            said: QualityMeter::new(rate),
            encoder: Encoder::new(codec),
            sender: RtpSender::new(2, 0, 0),
            leg: Vec::new(),
            engine: Vec::new(),
            out: Vec::new(),
            payload: Vec::new(),
            datagram: Vec::new(),
        }
    }

    fn hear(&mut self, now: Instant, datagram: &[u8]) {
        let Ok(packet) = RtpPacket::parse(datagram) else { return };
        self.source.push(now, &packet);
        self.jitter.push(now, &packet);
        self.leg.clear();
        self.engine.clear();
        if let Popped::Packet(frame) = self.jitter.pop(now) {
            self.decoder.decode(frame.payload, &mut self.leg);
            self.concealer.received(&mut self.leg);
        }
        self.to_engine.process(&self.leg, &mut self.engine);
        self.heard.push(&self.engine);
        self.voice.push(&self.engine, |frame| {
            black_box(frame.voiced);
        });
    }

    fn say(&mut self, audio_16k: &[f32]) {
        self.out.clear();
        self.to_leg.process(audio_16k, &mut self.out);
        self.loudness.process(&mut self.out);
        self.fade.apply(&mut self.out);
        self.said.push(&self.out);
        self.payload.clear();
        self.encoder.encode(&self.out, &mut self.payload);
        write(&mut self.sender, &self.payload, &mut self.datagram);
        black_box(&self.datagram);
    }
}

/// What a caller sends, packet by packet, sequence numbers and timestamps running on.
struct Caller {
    payloads: Vec<Vec<u8>>,
    at: usize,
    sender: RtpSender,
    datagram: Vec<u8>,
}

impl Caller {
    fn new(codec: Codec, audio_16k: &[f32]) -> Self {
        let rate = codec.audio_rate();
        let mut encoder = Encoder::new(codec);
        let encode = |frame: &[f32]| {
            let mut payload = Vec::new();
            encoder.encode(frame, &mut payload);
            payload
        };
        let payloads = at(rate, audio_16k).chunks_exact(rate.samples(PTIME)).map(encode).collect();
        Self { payloads, at: 0, sender: RtpSender::new(1, 0, 0), datagram: Vec::new() }
    }

    fn next(&mut self) -> &[u8] {
        self.at = (self.at + 1) % self.payloads.len();
        write(&mut self.sender, &self.payloads[self.at], &mut self.datagram);
        &self.datagram
    }
}

pub(super) fn measure(report: &mut Report, stopwatch: &mut Stopwatch, speech: &[f32]) -> Result<()> {
    let mut table = Table::new(
        "A frame of 20 ms in and out",
        "All parts between a datagram in and a datagram out; the kernel's part (some 4 µs) is not in it.",
        &["leg, and who speaks", "µs", "% of a core a call"],
    );
    let silence = vec![0.0; speech.len()];
    for codec in [Codec::Pcmu, Codec::G722] {
        let cases = [
            ("both at once", speech, speech),
            ("the caller", speech, &silence),
            ("the agent", &silence, speech),
            ("nobody", &silence, &silence),
        ];
        for (who, caller, agent) in cases {
            let mut now = Instant::now();
            let (mut call, mut caller) = (Call::new(codec, now), Caller::new(codec, caller));
            let mut agent = Frames::new(agent, 320);
            let part = format!("{}, {who}", codec.encoding_name());
            let us = stopwatch.median_us(&format!("frame {part}"), || {
                now += PTIME;
                call.hear(now, caller.next());
                call.say(agent.next());
            })?;
            table.row([part, format!("{us:.2}"), format!("{:.4}", percent_of_core(us))]);
        }
    }
    report.tables.push(table);
    Ok(())
}
