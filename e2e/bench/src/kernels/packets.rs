//! RTP, jitter buffer, codecs and levels: what a packet costs before and after its sound.

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::Result;
use sofia_dataplane::audio::{
    Codec, ComfortNoise, Concealer, Decoder, Encoder, Loudness, LoudnessSettings, QualityMeter, SampleRate, pcm,
};
use sofia_dataplane::rtp::{JitterBuffer, JitterSettings, RtpPacket, RtpSender, Source};

use super::percent_of_core;
use super::sound::{Frames, at};
use crate::table::{Report, Table};
use crate::timing::Stopwatch;

pub(super) const PTIME: Duration = Duration::from_millis(20);

pub(super) fn measure(report: &mut Report, stopwatch: &mut Stopwatch, speech: &[f32]) -> Result<()> {
    let mut table = Table::new(
        "Parts of the packet path",
        "One frame of 20 ms of recorded speech; medians.",
        &["part", "µs", "% of a core a call"],
    );
    let mut add = |part: &str, run: &mut dyn FnMut()| {
        let us = stopwatch.median_us(part, run)?;
        table.row([part.to_owned(), format!("{us:.3}"), format!("{:.4}", percent_of_core(us))]);
        anyhow::Ok(())
    };

    let mut sender = RtpSender::new(1, 0, 0);
    let payload = [0x55_u8; 160];
    let mut datagram = Vec::with_capacity(200);
    add("RTP header and payload written", &mut || write(&mut sender, black_box(&payload), &mut datagram))?;
    add("RTP packet parsed", &mut || {
        black_box(RtpPacket::parse(black_box(&datagram)).is_ok());
    })?;
    let start = Instant::now();
    let (mut source, mut now) = (Source::new(8_000, start), start);
    add("RTP statistics, a packet", &mut || {
        write(&mut sender, &payload, &mut datagram);
        now += PTIME;
        if let Ok(packet) = RtpPacket::parse(&datagram) {
            black_box(source.push(now, &packet));
        }
    })?;
    let mut jitter = JitterBuffer::new(JitterSettings::new(8_000, PTIME, 1));
    add("jitter buffer, a packet in and out", &mut || {
        write(&mut sender, &payload, &mut datagram);
        now += PTIME;
        if let Ok(packet) = RtpPacket::parse(&datagram) {
            jitter.push(now, &packet);
        }
        black_box(jitter.pop(now));
    })?;

    let codecs =
        [Codec::Pcmu, Codec::Pcma, Codec::G722, Codec::L16(SampleRate::Hz16000), Codec::L16(SampleRate::Hz8000)];
    for codec in codecs {
        let rate = codec.audio_rate();
        let audio = at(rate, speech);
        let mut frames = Frames::new(&audio, rate.samples(PTIME));
        let (mut encoder, mut bytes) = (Encoder::new(codec), Vec::with_capacity(4_096));
        let name = format!("{}/{}", codec.encoding_name(), rate.hz());
        add(&format!("{name} encoded"), &mut || {
            bytes.clear();
            encoder.encode(black_box(frames.next()), &mut bytes);
        })?;
        let (mut decoder, mut out) = (Decoder::new(codec), Vec::with_capacity(4_096));
        add(&format!("{name} decoded"), &mut || {
            out.clear();
            decoder.decode(black_box(&bytes), &mut out);
        })?;
    }

    let narrow = at(SampleRate::Hz8000, speech);
    let (mut frames, mut wide) = (Frames::new(&narrow, 160), Frames::new(speech, 320));
    let mut block = vec![0.0; 160];
    let mut concealer = Concealer::new(SampleRate::Hz8000);
    add("concealment, a packet that came", &mut || {
        block.copy_from_slice(frames.next());
        concealer.received(black_box(&mut block));
    })?;
    let mut out = Vec::with_capacity(1_024);
    add("concealment, a packet lost and one that came", &mut || {
        out.clear();
        concealer.conceal(160, &mut out);
        block.copy_from_slice(frames.next());
        concealer.received(black_box(&mut block));
    })?;
    let mut loudness = Loudness::new(SampleRate::Hz8000, LoudnessSettings::default());
    add("loudness of replies, 8 kHz", &mut || {
        block.copy_from_slice(frames.next());
        loudness.process(black_box(&mut block));
    })?;
    let mut meter = QualityMeter::new(SampleRate::Hz8000);
    add("level meter, 8 kHz", &mut || meter.push(black_box(frames.next())))?;
    let mut meter = QualityMeter::new(SampleRate::Hz16000);
    add("level meter, 16 kHz", &mut || meter.push(black_box(wide.next())))?;
    let mut noise = ComfortNoise::new(3);
    noise.update(&[50]);
    add("comfort noise, 8 kHz", &mut || {
        out.clear();
        noise.fill(160, &mut out);
    })?;
    let mut integers = Vec::with_capacity(1_024);
    add("samples to 16 bits, 16 kHz", &mut || {
        integers.clear();
        pcm::to_i16(black_box(wide.next()), &mut integers);
    })?;
    report.tables.push(table);
    Ok(())
}

/// A datagram with the next header.
pub(super) fn write(sender: &mut RtpSender, payload: &[u8], datagram: &mut Vec<u8>) {
    datagram.clear();
    sender.next(0, 160, payload.len()).write(datagram);
    datagram.extend_from_slice(payload);
}
