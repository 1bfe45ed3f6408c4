//! A worker's rounds, one by one, with a clock that the test moves.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::sync::mpsc::sync_channel;

use nix::sys::eventfd::{EfdFlags, EventFd};
use tokio::sync::mpsc;

use super::super::event::{Instruction, MediaEvent, StreamMode, StreamSeed, StreamSpec, Taps};
use super::super::fault::injected::STRIKES;
use super::super::keys::InbandKeys;
use super::super::playout::Gauge;
use super::super::{EndOfThread, Worker, WorkersConfig, bind_pair};
use super::*;
use crate::audio::{Codec, SampleRate, VoiceSettings};
use crate::rtp::{RtpSender, rtcp::Report};
use crate::sdp::{Direction, NegotiatedMedia};
use crate::turn::conversation::ClipId;
use crate::turn::endpointing::EndpointingSettings;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A worker whose rounds the test makes, and the far end of its streams.
struct Rounds {
    now: Rc<Cell<Instant>>,
    runner: Runner<Box<dyn Fn() -> Instant>>,
    worker: Arc<Worker>,
    counters: Arc<WorkerCounters>,
}

/// One call on it.
struct Call {
    key: StreamKey,
    events: mpsc::Receiver<MediaEvent>,
    rtp: UdpSocket,
    rtcp: UdpSocket,
    sender: RtpSender,
}

impl Rounds {
    fn new() -> Self {
        let now = Rc::new(Cell::new(Instant::now()));
        let config = WorkersConfig { host: [127, 0, 0, 1].into(), start_port: 0 };
        let (rtp, rtcp) = bind_pair(config, 0).expect("free ports");
        let (commands, receiver) = sync_channel(64);
        let worker = Arc::new(Worker {
            index: 0,
            port: rtp.local_addr().expect("a bound socket").port(),
            commands,
            wake: EventFd::from_flags(EfdFlags::EFD_NONBLOCK).expect("a descriptor"),
            streams: AtomicUsize::new(0),
            next_key: AtomicU64::new(0),
            over: AtomicBool::new(false),
            thread: EndOfThread::new(None),
        });
        let counters = Arc::new(WorkerCounters::new());
        let clock = Rc::clone(&now);
        let shared = (Arc::clone(&worker), Arc::clone(&counters));
        let runner =
            Runner::new(rtp, rtcp, receiver, shared, Box::new(move || clock.get()) as Box<dyn Fn() -> Instant>);
        Self { now, runner, worker, counters }
    }

    fn round(&mut self) {
        assert!(self.runner.take_commands());
        self.runner.receive();
        self.runner.serve();
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now.get() + time;
        while self.now.get() < end {
            self.now.set(self.now.get() + ms(1));
            self.round();
        }
    }

    fn open(&mut self, key: u64) -> Call {
        let local = || {
            let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
            socket.set_nonblocking(true).expect("a socket can be non-blocking");
            socket
        };
        let (rtp, rtcp) = (local(), local());
        let spec = StreamSpec {
            media: NegotiatedMedia {
                codec: Codec::Pcmu,
                payload_type: 0,
                remote: rtp.local_addr().expect("a bound socket"),
                remote_rtcp: rtcp.local_addr().expect("a bound socket"),
                ptime_ms: 20,
                dtmf: None,
                comfort_noise: None,
                direction: Direction::SendRecv,
            },
            mode: StreamMode::Conversation,
            endpointing: EndpointingSettings::default(),
            voice: VoiceSettings::default(),
            inband_keys: InbandKeys::Auto,
            jitter_max: ms(60),
            taps: Taps::default(),
            seed: StreamSeed { ssrc: 1, sequence: 1, timestamp: 1 },
            cname: "pod".to_owned(),
        };
        let (sender, events) = mpsc::channel(512);
        let key = StreamKey(key);
        self.tell(Command::Open { key, spec: Box::new(spec), gauge: Arc::new(Gauge::default()), events: sender });
        Call { key, events, rtp, rtcp, sender: RtpSender::new(7, 1, 1) }
    }

    fn tell(&self, command: Command) {
        self.worker.tell(command).expect("a worker that takes commands");
    }

    fn play(&self, call: &Call, clip: u32, length: Duration) {
        let rate = SampleRate::Hz8000;
        let samples = vec![3_000_i16; rate.samples(length)].into();
        let (key, clip) = (call.key, ClipId(clip));
        self.tell(Command::Instruct {
            key,
            instruction: Instruction::Play { clip, rate, samples, came: self.now.get() },
        });
        self.tell(Command::Instruct { key, instruction: Instruction::EndClip { clip } });
    }
}

impl Call {
    /// A packet of the caller's, and their report, as they stand in the worker's sockets now.
    fn send(&mut self, worker: &Rounds) {
        let (mut packet, mut report) = (Vec::new(), Vec::new());
        self.sender.next(0, 160, 160).write(&mut packet);
        packet.extend([0xff; 160]);
        Report { ssrc: 7, sender: None, blocks: &[], canonical_name: "caller", bye: false }.write(&mut report);
        let port = worker.worker.port;
        self.rtp.send_to(&packet, ("127.0.0.1", port)).expect("loopback takes a packet");
        self.rtcp.send_to(&report, ("127.0.0.1", port + 1)).expect("loopback takes a packet");
    }

    /// How many packets came since the last time.
    fn received(&self) -> usize {
        let mut datagram = [0; 2_048];
        std::iter::from_fn(|| self.rtp.recv(&mut datagram).ok()).count()
    }

    fn told(&mut self) -> Vec<MediaEvent> {
        std::iter::from_fn(|| self.events.try_recv().ok()).collect()
    }

    fn failed(&mut self) -> bool {
        self.told().iter().any(|event| matches!(event, MediaEvent::Failed))
    }
}

#[test]
fn a_stream_is_in_the_wheel_once_however_many_of_its_replies_began_after_silence() {
    let mut rounds = Rounds::new();
    let mut call = rounds.open(1);
    rounds.pass(ms(50));
    let mut started = 0;
    for clip in 1..=1_000 {
        // Anywhere between two beats.
        rounds.pass(ms(41 + u64::from(clip % 19)));
        rounds.play(&call, clip, ms(10));
        started += call.told().iter().filter(|event| matches!(event, MediaEvent::ClipStarted { .. })).count();
        let waiting = rounds.runner.wheel.len();
        assert!(waiting <= 4, "{waiting} entries after {clip} replies");
    }
    rounds.pass(ms(100));
    started += call.told().iter().filter(|event| matches!(event, MediaEvent::ClipStarted { .. })).count();
    assert_eq!((started, rounds.runner.wheel.len()), (1_000, 1));
    assert!(rounds.counters.packets_sent.load(Ordering::Relaxed) > 2_000);
}

#[test]
fn a_replys_first_packet_leaves_in_the_round_in_which_it_came() {
    let mut rounds = Rounds::new();
    let call = rounds.open(1);
    for clip in 1..40 {
        rounds.pass(ms(60 + u64::from(clip)));
        rounds.play(&call, clip, ms(10));
        let before = rounds.counters.packets_sent.load(Ordering::Relaxed);
        rounds.round();
        assert_eq!(rounds.counters.packets_sent.load(Ordering::Relaxed), before + 1, "reply {clip}");
    }
}

/// What is left of two calls when a part fails while it works for the first of them.
fn strike(part: Part) {
    let mut rounds = Rounds::new();
    let mut other = rounds.open(2);
    let mut struck = rounds.open(1);
    rounds.pass(ms(40));
    let (report, mut measured) = tokio::sync::oneshot::channel();
    match part {
        Part::Open => {
            STRIKES.set(Some(part));
            struck = rounds.open(3);
        }
        Part::Rtp | Part::Rtcp => struck.send(&rounds),
        Part::Instruct => rounds.play(&struck, 1, ms(100)),
        Part::Report | Part::Goodbye => rounds.tell(Command::Close { key: struck.key, report: Some(report) }),
        Part::Serve | Part::Round => {}
    }
    STRIKES.set(Some(part));
    if part == Part::Serve {
        // Only the first that is due.
        let due = rounds.runner.wheel.next_due().expect("two streams");
        rounds.now.set(due);
    }
    for _ in 0..2_000 {
        rounds.runner.take_commands();
        rounds.runner.receive();
        if part == Part::Serve {
            rounds.runner.serve();
        }
        if rounds.runner.streams.len() < 2 || part == Part::Open {
            break;
        }
        std::thread::yield_now();
    }
    STRIKES.set(None);
    let (survivor, gone) = if struck.failed() || matches!(part, Part::Report | Part::Goodbye) {
        (&mut other, struck.key)
    } else {
        assert!(other.failed(), "{part:?}: the call is told");
        (&mut struck, other.key)
    };
    assert!(!rounds.runner.streams.contains_key(&gone), "{part:?}: it is gone");
    survivor.received();
    rounds.pass(ms(200));
    assert!((9..=11).contains(&survivor.received()), "{part:?}: the others' packets leave as before");
    assert!(!survivor.failed(), "{part:?}");
    if part == Part::Goodbye {
        assert!(measured.try_recv().is_ok(), "what was measured is told without it");
    }
    assert!(!rounds.worker.over.load(Ordering::Acquire));
}

#[test]
fn a_fault_in_any_part_that_works_for_a_stream_ends_that_stream_alone() {
    for part in [Part::Open, Part::Rtp, Part::Rtcp, Part::Instruct, Part::Serve, Part::Report, Part::Goodbye] {
        strike(part);
    }
}

#[test]
fn a_worker_whose_rounds_fail_tells_its_calls_and_is_known_to_be_gone() {
    let mut rounds = Rounds::new();
    let mut call = rounds.open(1);
    rounds.pass(ms(40));
    let Rounds { runner, worker, .. } = rounds;
    STRIKES.set(Some(Part::Round));
    let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| runner.run()));
    STRIKES.set(None);
    assert!(ended.is_err() && worker.over.load(Ordering::Acquire));
    assert!(call.failed());
    let late = Command::Instruct { key: StreamKey(1), instruction: Instruction::Resume };
    assert!(matches!(worker.tell(late), Err(super::super::WorkerError::Unresponsive { dead: true, .. })));
}
