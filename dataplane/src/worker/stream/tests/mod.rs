//! A stream against a simulated network and a simulated clock: minutes of a call in milliseconds of a test. Time is a
//! number here; nothing sleeps.

mod dialogue;
mod echo;
mod network;
mod pacing;
mod turns;

use std::collections::VecDeque;
use std::net::SocketAddr;

use super::super::event::{StreamSeed, Taps};
use super::super::keys::InbandKeys;
use super::*;
use crate::audio::{Codec, Decoder, Encoder, SampleRate, VoiceSettings};
use crate::rtp::{RtpHeader, RtpPacket};
use crate::sdp::{Direction, DtmfFormat, NegotiatedMedia};
use crate::turn::endpointing::EndpointingSettings;

/// The far end's numbers: both wrap soon.
const FAR_SSRC: u32 = 0x00c0_ffee;
const FAR_SEQUENCE: u16 = 65_000;
const FAR_TIMESTAMP: u32 = u32::MAX - 50_000;
/// Ours too.
const SEED: StreamSeed = StreamSeed { ssrc: 0x5eed, sequence: 65_500, timestamp: u32::MAX - 20_000 };
const AUDIO: u8 = 96;
const EVENT: u8 = 101;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A packet that the stream sent.
#[derive(Debug)]
struct Sent {
    at: Duration,
    payload_type: u8,
    marker: bool,
    sequence: u16,
    timestamp: u32,
    payload: Vec<u8>,
}

/// A stream with its far end. Times count from the moment at which the stream was opened.
struct Simulation {
    stream: Stream,
    events: mpsc::Receiver<MediaEvent>,
    counters: WorkerCounters,
    start: Instant,
    now: Duration,
    next: Duration,
    arrivals: VecDeque<(Duration, Vec<u8>)>,
    sent: Vec<Sent>,
    told: Vec<(Duration, MediaEvent)>,
    media: NegotiatedMedia,
}

fn media(codec: Codec, ptime_ms: u32) -> NegotiatedMedia {
    let remote: SocketAddr = "192.0.2.1:4000".parse().expect("an address");
    NegotiatedMedia {
        codec,
        payload_type: AUDIO,
        remote,
        remote_rtcp: SocketAddr::new(remote.ip(), 4001),
        ptime_ms,
        dtmf: Some(DtmfFormat { payload_type: EVENT, clock_hz: codec.rtp_clock_hz() }),
        comfort_noise: None,
        direction: Direction::SendRecv,
    }
}

impl Simulation {
    fn new(media: NegotiatedMedia, mode: StreamMode) -> Self {
        Self::tapped(media, mode, Taps::default())
    }

    fn tapped(media: NegotiatedMedia, mode: StreamMode, taps: Taps) -> Self {
        let start = Instant::now();
        let (events, receiver) = mpsc::channel(512);
        let spec = StreamSpec {
            media: media.clone(),
            mode,
            endpointing: EndpointingSettings::default(),
            voice: VoiceSettings::default(),
            inband_keys: InbandKeys::Auto,
            jitter_max: ms(60),
            taps,
            seed: SEED,
            cname: "pod".to_owned(),
        };
        let first = ms(7);
        Self {
            stream: Stream::new(spec, Arc::new(Gauge::default()), events, start, start + first),
            events: receiver,
            counters: WorkerCounters::new(),
            start,
            now: Duration::ZERO,
            next: first,
            arrivals: VecDeque::new(),
            sent: Vec::new(),
            told: Vec::new(),
            media,
        }
    }

    fn conversation(codec: Codec, ptime_ms: u32) -> Self {
        Self::new(media(codec, ptime_ms), StreamMode::Conversation)
    }

    /// What the far end sends, in order of arrival.
    fn arrive(&mut self, arrivals: impl IntoIterator<Item = (Duration, Vec<u8>)>) {
        self.arrivals.extend(arrivals);
        self.arrivals.make_contiguous().sort_by_key(|(at, _)| *at);
    }

    /// Lets time pass: packets come, and the stream is served whenever it wants to be.
    fn run_until(&mut self, until: Duration) {
        loop {
            let arrival = self.arrivals.front().map(|(at, _)| *at).filter(|at| *at <= self.next);
            let at = arrival.unwrap_or(self.next).max(self.now);
            if at > until {
                break;
            }
            self.now = at;
            let now = self.start + at;
            if arrival.is_some() {
                let (_, datagram) = self.arrivals.pop_front().expect("it was just looked at");
                self.stream.on_rtp(now, &datagram, &self.counters);
            } else {
                self.serve();
            }
            self.take_events();
        }
        self.now = self.now.max(until);
    }

    fn serve(&mut self) {
        let (mut outbox, mut reports) = (Outbox::default(), Outbox::default());
        let served = self.stream.serve(self.start + self.now, &mut outbox, &mut reports, &self.counters);
        for (to, datagram) in outbox.take() {
            assert_eq!(to, self.media.remote);
            let packet = RtpPacket::parse(&datagram).expect("the stream sends RTP");
            assert_eq!(packet.ssrc(), SEED.ssrc);
            self.sent.push(Sent {
                at: self.now,
                payload_type: packet.payload_type(),
                marker: packet.marker(),
                sequence: packet.sequence(),
                timestamp: packet.timestamp(),
                payload: packet.payload().to_vec(),
            });
        }
        // What is overdue is served in the next slot of the worker's wheel.
        let next = served.next.saturating_duration_since(self.start);
        self.next = if next <= self.now { self.now + ms(1) } else { next };
    }

    fn take_events(&mut self) {
        while let Ok(event) = self.events.try_recv() {
            self.told.push((self.now, event));
        }
    }

    /// The worker's thread does not run for so long.
    fn stall(&mut self, for_so_long: Duration) {
        self.now += for_so_long;
    }

    fn instruct(&mut self, instruction: Instruction) {
        if let Some(due) = self.stream.instruct(self.start + self.now, instruction) {
            self.next = self.next.min(due.saturating_duration_since(self.start));
        }
        self.take_events();
    }

    fn play(&mut self, clip: u32, rate: SampleRate, samples: &[i16]) {
        let came = self.start + self.now;
        self.instruct(Instruction::Play { clip: ClipId(clip), rate, samples: samples.into(), came });
        self.instruct(Instruction::EndClip { clip: ClipId(clip) });
    }

    /// Which of the packets sent so far carried sound, telephone-events not counted.
    fn sounding(&self) -> Vec<bool> {
        let (mut decoder, mut pcm) = (Decoder::new(self.media.codec), Vec::new());
        let loud = |packet: &Sent| {
            pcm.clear();
            if packet.payload_type == AUDIO {
                decoder.decode(&packet.payload, &mut pcm);
            }
            pcm.iter().any(|sample| sample.abs() > 0.01)
        };
        self.sent.iter().map(loud).collect()
    }

    /// When events for which `matches` says something were told, and what it says of them.
    fn told<T>(&self, matches: impl Fn(&MediaEvent) -> Option<T>) -> Vec<(Duration, T)> {
        self.told.iter().filter_map(|(at, event)| Some((*at, matches(event)?))).collect()
    }

    fn keys(&self) -> String {
        self.told(|event| if let MediaEvent::Dtmf { digit } = event { Some(*digit) } else { None })
            .iter()
            .map(|(_, key)| key)
            .collect()
    }

    /// That the packets sent have consecutive sequence numbers and, apart from keys and what came right after a pause,
    /// consecutive timestamps.
    fn assert_consecutive(&self) {
        let units = self.media.codec.rtp_clock_hz() * self.media.ptime_ms / 1_000;
        for pair in self.sent.windows(2) {
            let [before, packet] = pair else { continue };
            assert_eq!(packet.sequence, before.sequence.wrapping_add(1), "{before:?} {packet:?}");
            if before.payload_type == AUDIO && packet.payload_type == AUDIO {
                assert_eq!(packet.timestamp, before.timestamp.wrapping_add(units), "{before:?} {packet:?}");
                assert!(!packet.marker, "a marker without a pause: {packet:?}");
            }
        }
        assert!(self.sent[0].marker, "a stream begins with a marker");
    }
}

/// The `index`-th audio packet of the far end.
fn far_packet(media: &NegotiatedMedia, index: u32, payload: &[u8]) -> Vec<u8> {
    let units = media.codec.rtp_clock_hz() * media.ptime_ms / 1_000;
    let header = RtpHeader {
        payload_type: AUDIO,
        marker: index == 0,
        sequence: FAR_SEQUENCE.wrapping_add(index as u16),
        timestamp: FAR_TIMESTAMP.wrapping_add(index.wrapping_mul(units)),
        ssrc: FAR_SSRC,
    };
    let mut bytes = header.to_bytes().to_vec();
    bytes.extend_from_slice(payload);
    bytes
}

/// `samples` at 16 kHz as the far end's packets, one each packet time from `from` on.
fn far_speech(media: &NegotiatedMedia, first: u32, from: Duration, samples: &[i16]) -> Vec<(Duration, Vec<u8>)> {
    let (mut encoder, mut resampler) =
        (Encoder::new(media.codec), crate::audio::Resampler::new(SampleRate::Hz16000, media.codec.audio_rate()));
    let frame = SampleRate::Hz16000.samples(media.ptime());
    let packet = |(index, chunk): (u32, &[i16])| {
        let (mut pcm, mut leg, mut payload) = (Vec::new(), Vec::new(), Vec::new());
        crate::audio::pcm::to_f32(chunk, &mut pcm);
        resampler.process(&pcm, &mut leg);
        encoder.encode(&leg, &mut payload);
        (from + media.ptime() * index, far_packet(media, first + index, &payload))
    };
    (0..).zip(samples.chunks_exact(frame)).map(packet).collect()
}

/// A recording of the project's callers, at 16 kHz.
fn voice(file: &str) -> Vec<i16> {
    let path = format!("{}/../e2e/voices/{file}", env!("CARGO_MANIFEST_DIR"));
    let mut wav = hound::WavReader::open(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    assert_eq!((wav.spec().sample_rate, wav.spec().channels), (16_000, 1), "{path}");
    wav.samples().map(|sample| sample.expect("a whole file")).collect()
}

/// A steady tone, loud enough for every codec.
fn tone(rate: SampleRate, duration: Duration) -> Vec<i16> {
    let step = 440.0 * std::f32::consts::TAU / rate.hz() as f32;
    (0..rate.samples(duration)).map(|n| ((n as f32 * step).sin() * 9_000.0) as i16).collect()
}
