//! A call that runs allocates nothing on its packets' way in and out: memory that is asked for per frame is a cost on every
//! call, and a lock between threads. Real sockets and a real worker; the allocations of the whole process are counted, and
//! this file's own loop makes none.

use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use sofia_dataplane::audio::{Codec, Encoder, Resampler, SampleRate, Samples, VoiceSettings, wav};
use sofia_dataplane::metrics::WorkerCounters;
use sofia_dataplane::rtp::RtpSender;
use sofia_dataplane::sdp::{Direction, NegotiatedMedia};
use sofia_dataplane::turn::conversation::ClipId;
use sofia_dataplane::turn::endpointing::EndpointingSettings;
use sofia_dataplane::worker::{
    InbandKeys, MediaEvent, StreamFeeder, StreamMode, StreamSeed, StreamSpec, Taps, Workers, WorkersConfig,
};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<std::alloc::System> = &INSTRUMENTED_SYSTEM;

const PTIME: Duration = Duration::from_millis(20);
/// Frames until every buffer of a stream has its size, the jitter buffer's slots among them.
const SETTLING: u32 = 50;
/// Frames of a stretch that is watched, and how many stretches there are: a machine that is busy loses packets, and a hole is
/// no steady call. What allocates in each frame does so in each stretch.
const STRETCH: u32 = 50;
const STRETCHES: u32 = 3;
/// Frames from one short reply to the next, and how many replies there are: each begins after silence.
const REPLY: u32 = 4;
const REPLIES: u32 = 20;
/// By then the worker has done what takes it a second.
const PATIENCE: Duration = Duration::from_secs(60);

/// The far end of one stream, with everything that it will send ready to be sent.
struct FarEnd {
    socket: UdpSocket,
    packets: Vec<Vec<u8>>,
    counters: Arc<WorkerCounters>,
    next: usize,
    start: Instant,
}

impl FarEnd {
    /// Sends so many frames, each at its time, and waits until the worker has read them and sent as many.
    fn converse(&mut self, frames: u32) {
        let sent_before = self.counters.packets_sent.load(Ordering::Relaxed);
        let mut datagram = [0; 2_048];
        for _ in 0..frames {
            std::thread::sleep((self.start + PTIME * self.next as u32).saturating_duration_since(Instant::now()));
            self.socket.send(&self.packets[self.next]).expect("loopback takes a packet");
            self.next += 1;
            while self.socket.recv(&mut datagram).is_ok() {}
        }
        while self.counters.packets_received.load(Ordering::Relaxed) < self.next as u64
            || self.counters.packets_sent.load(Ordering::Relaxed) < sent_before + u64::from(frames)
        {
            assert!(self.start.elapsed() < PATIENCE, "the worker neither reads nor sends");
            std::thread::yield_now();
        }
    }
}

/// The packets that carry `audio`, at 16 kHz.
fn packets(codec: Codec, audio: &[f32]) -> Vec<Vec<u8>> {
    let (mut sender, mut encoder) = (RtpSender::new(7, 1, 1), Encoder::new(codec));
    let mut resampler = Resampler::new(SampleRate::Hz16000, codec.audio_rate());
    let packet = |frame: &[f32]| {
        let (mut leg, mut payload, mut datagram) = (Vec::new(), Vec::new(), Vec::new());
        resampler.process(frame, &mut leg);
        encoder.encode(&leg, &mut payload);
        sender.next(0, codec.timestamp_units_in(payload.len()), payload.len()).write(&mut datagram);
        datagram.extend_from_slice(&payload);
        datagram
    };
    audio.chunks_exact(320).map(packet).collect()
}

/// Talks to a stream of a worker of its own, whose agent plays what `feed` gives it, and says how many allocations were made
/// in the stretch with the fewest.
fn allocations(codec: Codec, caller: &[f32], feed: impl FnOnce(&StreamFeeder)) -> usize {
    allocations_after(0, codec, caller, feed)
}

/// The same, where so many replies come before each stretch, every one after silence; they themselves are not counted.
fn allocations_after(replies: u32, codec: Codec, caller: &[f32], feed: impl FnOnce(&StreamFeeder)) -> usize {
    let counters = Arc::new(WorkerCounters::new());
    let config = WorkersConfig { host: [127, 0, 0, 1].into(), start_port: 0 };
    let workers = Workers::start(config, &[Arc::clone(&counters)]).expect("free ports");
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    socket.set_nonblocking(true).expect("a socket can be non-blocking");
    let remote = socket.local_addr().expect("a bound socket");
    let place = workers.place();
    socket.connect(("127.0.0.1", place.port())).expect("loopback");
    let spec = StreamSpec {
        media: NegotiatedMedia {
            codec,
            payload_type: 0,
            remote,
            remote_rtcp: remote,
            ptime_ms: 20,
            dtmf: None,
            comfort_noise: None,
            direction: Direction::SendRecv,
        },
        mode: StreamMode::Conversation,
        endpointing: EndpointingSettings::default(),
        voice: VoiceSettings::default(),
        inband_keys: InbandKeys::Auto,
        jitter_max: Duration::from_millis(60),
        taps: Taps::default(),
        seed: StreamSeed { ssrc: 1, sequence: 1, timestamp: 1 },
        cname: "pod".to_owned(),
    };
    let (stream, mut events) = place.open(spec).expect("a worker that has just started");
    feed(&stream.feeder());
    let packets = packets(codec, caller);
    let mut far = FarEnd { socket, packets, counters, next: 0, start: Instant::now() };
    far.converse(SETTLING);
    let feeder = stream.feeder();
    let word: Samples = vec![3_000; SampleRate::Hz16000.samples(PTIME)].into();
    let mut ended = 0;
    let stretch = |at: u32| {
        for reply in 0..replies {
            let clip = ClipId(at * replies + reply + 2);
            feeder.play(clip, SampleRate::Hz16000, word.clone());
            feeder.end_clip(clip);
            far.converse(REPLY);
            while let Ok(event) = events.try_recv() {
                ended += u32::from(matches!(event, MediaEvent::ClipEnded { .. }));
            }
        }
        assert!(ended >= (at * replies + replies).saturating_sub(1), "{ended} replies were said");
        let region = Region::new(ALLOCATOR);
        far.converse(STRETCH);
        let change = region.change();
        change.allocations + change.reallocations
    };
    (0..STRETCHES).map(stretch).min().expect("there are some")
}

/// Quiet noise, as a line has it: not so still that work is left out.
fn noise(frames: u32) -> Vec<f32> {
    let mut random = 1_u32;
    let mut sample = || {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (random >> 8) as f32 / 8_388_608.0 - 1.0
    };
    (0..frames * 320).map(|_| 0.02 * sample()).collect()
}

fn speech(frames: u32) -> Vec<f32> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../e2e/voices/amiable_woman.wav");
    let bytes = std::fs::read(path).expect("the project's recordings");
    let audio = wav::read(&bytes).expect("a recording is a WAV file");
    let samples = audio.samples.iter().map(|sample| f32::from(*sample) / 32_768.0);
    samples.collect::<Vec<_>>().repeat(8)[..(frames * 320) as usize].to_vec()
}

/// One test, since what others do meanwhile would be counted too.
#[test]
fn a_steady_call_allocates_nothing() {
    let frames = SETTLING + STRETCH * STRETCHES;
    let reply: Samples = speech(frames + 50).iter().map(|sample| (sample * 32_768.0) as i16).collect::<Vec<_>>().into();
    for codec in [Codec::Pcmu, Codec::G722] {
        let listening = allocations(codec, &noise(frames), |feeder| {
            feeder.play(ClipId(1), SampleRate::Hz16000, reply.clone());
        });
        assert_eq!(listening, 0, "{codec:?}: the agent speaks and the caller's line is noisy");
        let frames_with_replies = frames + STRETCHES * REPLIES * REPLY;
        let answering = allocations_after(REPLIES, codec, &noise(frames_with_replies), |_| {});
        assert_eq!(
            answering, 0,
            "{codec:?}: {REPLIES} replies began after silence, and what they left behind costs nothing"
        );
        let speaking = allocations(codec, &speech(frames), |_| {});
        // What is said is kept, and room for it is made a second at a time.
        assert!(speaking <= 2, "{codec:?}: {speaking} allocations while the caller speaks for a second");
    }
}
