//! What the caller hears: decodes the pod's audio, lays it on one time axis over all legs, and notes when the agent speaks.
//! Never sends.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use sofia_dataplane::audio::{Codec, Decoder, Resampler, SampleRate};

use super::clip::RATE_HZ;
use super::rtp::Packet;

/// Louder than this is speech (or a tone), quieter is silence or comfort noise; dB below full scale.
const VOICE_DBFS: f32 = -45.0;
/// A pause inside a sentence is shorter than this.
const HANGOVER: Duration = Duration::from_millis(300);
/// Where RTP time and arrival differ by more, the stream is anchored anew.
const REANCHOR: i64 = RATE_HZ as i64 / 5;
/// Longest recording, in samples: half an hour.
const MAX_SAMPLES: usize = 30 * 60 * RATE_HZ as usize;
/// Longest list of bursts.
const MAX_BURSTS: usize = 10_000;

/// A stretch of agent speech, in milliseconds since the call was dialled.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Burst {
    /// When its first loud packet came.
    pub start_ms: f64,
    /// When its last loud packet came.
    pub end_ms: f64,
}

#[derive(Debug)]
struct Voice {
    codec: Codec,
    decoder: Decoder,
    resampler: Resampler,
    /// SSRC, timestamp and position of the first packet since the last anchoring.
    anchor: Option<(u32, u32, i64)>,
}

/// The ear of one caller.
#[derive(Debug)]
pub(crate) struct Listener {
    epoch: Instant,
    record: bool,
    samples: Vec<i16>,
    voice: Option<Voice>,
    bursts: Vec<Burst>,
    last_loud: Option<Instant>,
    decoded: Vec<f32>,
    resampled: Vec<f32>,
}

impl Listener {
    /// `record`: keep the samples, not only when there was speech.
    pub(crate) fn new(epoch: Instant, record: bool) -> Self {
        Self {
            epoch,
            record,
            samples: Vec::new(),
            voice: None,
            bursts: Vec::new(),
            last_loud: None,
            decoded: Vec::new(),
            resampled: Vec::new(),
        }
    }

    /// Another leg, another stream.
    pub(crate) fn new_leg(&mut self) {
        self.voice = None;
    }

    pub(crate) fn on_audio(&mut self, packet: &Packet<'_>, codec: Codec, arrival: Instant) {
        let voice = match &mut self.voice {
            Some(voice) if voice.codec == codec => voice,
            other => other.insert(Voice {
                codec,
                decoder: Decoder::new(codec),
                resampler: Resampler::new(codec.audio_rate(), SampleRate::Hz16000),
                anchor: None,
            }),
        };
        self.decoded.clear();
        voice.decoder.decode(packet.payload, &mut self.decoded);
        if is_loud(&self.decoded) {
            self.loud(arrival);
        }
        if !self.record {
            return;
        }
        self.resampled.clear();
        let voice = self.voice.as_mut().expect("set above");
        voice.resampler.process(&self.decoded, &mut self.resampled);
        let arrived_at = position(self.epoch, arrival);
        let at = match voice.anchor {
            Some((ssrc, timestamp, base)) if ssrc == packet.ssrc => {
                let units = i64::from(packet.timestamp.wrapping_sub(timestamp) as i32);
                base + units * i64::from(RATE_HZ) / i64::from(codec.rtp_clock_hz())
            }
            _ => i64::MAX,
        };
        let at = if at.abs_diff(arrived_at) > REANCHOR.unsigned_abs() {
            voice.anchor = Some((packet.ssrc, packet.timestamp, arrived_at));
            arrived_at
        } else {
            at
        };
        let pcm = super::clip::to_i16(&self.resampled);
        self.place(at, &pcm);
    }

    /// Audio made by the switch itself: echo, tones, files.
    pub(crate) fn on_local(&mut self, pcm: &[i16], now: Instant) {
        let floats: Vec<f32> = pcm.iter().map(|sample| f32::from(*sample) / 32_768.0).collect();
        if is_loud(&floats) {
            self.loud(now);
        }
        if self.record {
            // Frames follow each other: what is late by a timer's wobble is not to leave a click.
            let end = self.samples.len() as i64;
            let at = position(self.epoch, now);
            self.place(if at.abs_diff(end) < REANCHOR.unsigned_abs() { end } else { at }, pcm);
        }
    }

    fn place(&mut self, at: i64, pcm: &[i16]) {
        let Ok(at) = usize::try_from(at) else { return };
        if at + pcm.len() > MAX_SAMPLES {
            return;
        }
        if self.samples.len() < at + pcm.len() {
            self.samples.resize(at + pcm.len(), 0);
        }
        self.samples[at..at + pcm.len()].copy_from_slice(pcm);
    }

    fn loud(&mut self, at: Instant) {
        let ms = at.saturating_duration_since(self.epoch).as_secs_f64() * 1e3;
        let continues = self.last_loud.is_some_and(|last| at.saturating_duration_since(last) < HANGOVER);
        self.last_loud = Some(self.last_loud.map_or(at, |last| last.max(at)));
        if let Some(burst) = self.bursts.last_mut().filter(|_| continues) {
            burst.end_ms = burst.end_ms.max(ms);
        } else if self.bursts.len() < MAX_BURSTS {
            self.bursts.push(Burst { start_ms: ms, end_ms: ms });
        }
    }

    pub(crate) fn bursts(&self) -> &[Burst] {
        &self.bursts
    }

    /// How long nothing loud was heard, `None` before the first loud packet.
    pub(crate) fn quiet_for(&self, now: Instant) -> Option<Duration> {
        self.last_loud.map(|last| now.saturating_duration_since(last))
    }

    pub(crate) fn is_speaking(&self, now: Instant) -> bool {
        self.quiet_for(now).is_some_and(|quiet| quiet < HANGOVER)
    }

    pub(crate) fn take_samples(&mut self) -> Vec<i16> {
        std::mem::take(&mut self.samples)
    }
}

fn position(epoch: Instant, at: Instant) -> i64 {
    (at.saturating_duration_since(epoch).as_micros() * u128::from(RATE_HZ) / 1_000_000) as i64
}

fn is_loud(pcm: &[f32]) -> bool {
    let threshold = 10_f32.powf(VOICE_DBFS / 10.0);
    !pcm.is_empty() && pcm.iter().map(|sample| sample * sample).sum::<f32>() / pcm.len() as f32 > threshold
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::clip::Clip;

    fn packets(clip: &Clip, first_timestamp: u32, ssrc: u32) -> Vec<(u32, Vec<u8>, u32)> {
        let frames = clip.frames(Codec::G722, 20);
        let timestamps = (0..).map(|at| first_timestamp + at * 160);
        timestamps
            .zip((0..).map_while(|at| frames.get(at).map(<[u8]>::to_vec)))
            .map(|(at, bytes)| (at, bytes, ssrc))
            .collect()
    }

    fn hear(listener: &mut Listener, epoch: Instant, start: Duration, packets: &[(u32, Vec<u8>, u32)]) {
        for (at, (timestamp, payload, ssrc)) in packets.iter().enumerate() {
            let packet = Packet {
                payload_type: 9,
                marker: false,
                sequence: at as u16,
                timestamp: *timestamp,
                ssrc: *ssrc,
                payload,
            };
            listener.on_audio(&packet, Codec::G722, epoch + start + Duration::from_millis(20) * at as u32);
        }
    }

    #[test]
    fn a_takeover_leaves_a_gap_of_its_own_length() {
        let epoch = Instant::now();
        let mut listener = Listener::new(epoch, true);
        let clip = Clip::tone(440.0, Duration::from_millis(200));
        hear(&mut listener, epoch, Duration::from_millis(100), &packets(&clip, 1_000, 1));
        listener.new_leg();
        hear(&mut listener, epoch, Duration::from_millis(1_000), &packets(&clip, 77, 2));
        let samples = listener.take_samples();
        assert_eq!(samples.len(), 16 * 1_200);
        assert!(samples[16 * 300..16 * 1_000].iter().all(|sample| *sample == 0), "silence between the legs");
        assert_eq!(listener.bursts().len(), 2);
        assert!((listener.bursts()[1].start_ms - 1_000.0).abs() < 1.0);
    }

    #[test]
    fn silence_is_no_speech() {
        let epoch = Instant::now();
        let mut listener = Listener::new(epoch, true);
        hear(&mut listener, epoch, Duration::ZERO, &packets(&Clip::silence(Duration::from_millis(100)), 0, 1));
        assert!(listener.bursts().is_empty());
        assert!(!listener.is_speaking(epoch));
    }

    #[test]
    fn a_timestamp_from_nowhere_does_not_grow_the_recording() {
        let epoch = Instant::now();
        let mut listener = Listener::new(epoch, true);
        let clip = Clip::tone(440.0, Duration::from_millis(20));
        hear(&mut listener, epoch, Duration::ZERO, &packets(&clip, 0, 1));
        hear(&mut listener, epoch, Duration::from_millis(20), &packets(&clip, 2_000_000_000, 1));
        assert_eq!(listener.take_samples().len(), 640);
    }
}
