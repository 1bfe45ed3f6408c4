//! The media plane: one OS thread a core, each the owner of one UDP port and of all its calls' RTP. A call's task
//! opens a stream, tells it what to play and hears what happened; neither side ever waits for the other.

#![deny(clippy::disallowed_types)]

mod event;
mod fault;
mod inbound;
mod keys;
mod outbound;
mod pacing;
mod playout;
mod quick_hash;
mod recording;
mod run;
mod sent;
mod socket;
mod stream;
mod utterance;
mod wheel;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::time::Instant;

use nix::sys::eventfd::{EfdFlags, EventFd};
use tokio::sync::{mpsc, oneshot};

use crate::audio::{SampleRate, Samples};
use crate::metrics::WorkerCounters;
use crate::turn::conversation::ClipId;

use event::Instruction;
pub use event::{
    CutClip, HeardFrame, MarkId, MediaEvent, MediaReport, RecordedFrame, StreamMode, StreamSeed, StreamSpec, Taps,
    Utterance,
};
pub use keys::InbandKeys;
use playout::Gauge;

/// Commands that may wait for a worker, which takes them all every millisecond or so.
const COMMANDS: usize = 16_384;
/// Events that may wait for a call's task. A task that lets more than these pile up is stuck.
const EVENTS: usize = 512;
/// Ports that a worker uses: RTP on the even one, RTCP on the odd one above it (RFC 3550 §11).
const PORTS_PER_WORKER: u16 = 2;

/// Names a stream within its worker, never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct StreamKey(u64);

/// What a worker is told.
enum Command {
    Open { key: StreamKey, spec: Box<StreamSpec>, gauge: Arc<Gauge>, events: mpsc::Sender<MediaEvent> },
    Instruct { key: StreamKey, instruction: Instruction },
    Close { key: StreamKey, report: Option<oneshot::Sender<MediaReport>> },
    Stop,
}

/// Why no stream could be opened, or no worker started.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// A worker's port could not be bound.
    #[error(
        "expected to bind UDP {address} for media worker {worker}, came: {source}; is another pod on this host using the port range?"
    )]
    Bind {
        /// Which worker, from 0.
        worker: usize,
        /// The address that was tried.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// A worker's thread or wake-up descriptor could not be made.
    #[error("expected to start media worker {worker}, came: {source}")]
    Start {
        /// Which worker, from 0.
        worker: usize,
        /// What the system said.
        source: io::Error,
    },
    /// The worker is gone or does not keep up with its commands.
    #[error("expected media worker {worker} to take a command, but it {}", if *.dead { "is gone" } else { "does not keep up" })]
    Unresponsive {
        /// Which worker, from 0.
        worker: usize,
        /// Whether its thread has ended.
        dead: bool,
    },
}

/// Where and how many workers run.
#[derive(Debug, Clone, Copy)]
pub struct WorkersConfig {
    /// Address on which the ports are bound.
    pub host: IpAddr,
    /// RTP port of the first worker, even; worker n has this port + 2 n. 0: any free pair for each.
    pub start_port: u16,
}

/// The media workers of a pod.
pub struct Workers {
    workers: Vec<Arc<Worker>>,
    host: IpAddr,
}

/// Taken when the process ends, by nobody who carries packets.
#[expect(clippy::disallowed_types, reason = "not on the way of a packet")]
type EndOfThread = std::sync::Mutex<Option<std::thread::JoinHandle<()>>>;

struct Worker {
    index: usize,
    port: u16,
    commands: SyncSender<Command>,
    wake: EventFd,
    streams: AtomicUsize,
    next_key: AtomicU64,
    /// Its thread has ended.
    over: AtomicBool,
    thread: EndOfThread,
}

impl Workers {
    /// Binds the ports and starts one thread for each of `counters`.
    pub fn start(config: WorkersConfig, counters: &[Arc<WorkerCounters>]) -> Result<Self, WorkerError> {
        let mut workers = Vec::with_capacity(counters.len());
        for (index, counters) in counters.iter().enumerate() {
            let (rtp, rtcp) = bind_pair(config, index)?;
            let start = |source| WorkerError::Start { worker: index, source };
            let port = rtp.local_addr().map_err(start)?.port();
            let wake =
                EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK).map_err(|e| start(e.into()))?;
            let (commands, receiver) = sync_channel(COMMANDS);
            let worker = Arc::new(Worker {
                index,
                port,
                commands,
                wake,
                streams: AtomicUsize::new(0),
                next_key: AtomicU64::new(0),
                over: AtomicBool::new(false),
                thread: EndOfThread::new(None),
            });
            let shared = (Arc::clone(&worker), Arc::clone(counters));
            let thread = std::thread::Builder::new()
                .name(format!("media-{index}"))
                .spawn(move || run::Runner::new(rtp, rtcp, receiver, shared, Instant::now).run());
            *worker.thread.lock().expect("no one holds it yet") = Some(thread.map_err(start)?);
            workers.push(worker);
        }
        Ok(Self { workers, host: config.host })
    }

    /// The RTP ports, one a worker.
    pub fn ports(&self) -> impl Iterator<Item = u16> {
        self.workers.iter().map(|worker| worker.port)
    }

    /// Whether what is sent to `remote` comes back to one of the workers' ports, RTP or RTCP. `announced` is the address that answers
    /// name, which may be none of this host's own: a balancer's, or one behind which it is translated.
    pub fn receive_at(&self, remote: SocketAddr, announced: IpAddr) -> bool {
        let ours = |rtp: u16| (rtp..=rtp.saturating_add(PORTS_PER_WORKER - 1)).contains(&remote.port());
        if !self.ports().any(ours) {
            return false;
        }
        let ip = remote.ip().to_canonical();
        let bound = self.host.to_canonical();
        // Only an address of this host can be bound; asked for where the port is one of ours, so hardly ever.
        let here = || std::net::UdpSocket::bind((ip, 0)).is_ok();
        ip == announced.to_canonical() || if bound.is_unspecified() { here() } else { ip == bound }
    }

    /// Chooses the worker with the fewest streams for a new one, and none that is gone while there is another. Its port goes into the SDP
    /// answer; [`Place::open`] then begins.
    pub fn place(&self) -> Place {
        let worker = self
            .workers
            .iter()
            .min_by_key(|worker| (worker.over.load(Ordering::Acquire), worker.streams.load(Ordering::Relaxed)))
            .expect("a pod has at least one worker");
        worker.streams.fetch_add(1, Ordering::Relaxed);
        Place { worker: Arc::clone(worker) }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        for worker in &self.workers {
            let _ = worker.tell(Command::Stop);
        }
        for worker in &self.workers {
            let thread = worker.thread.lock().expect("held for a moment only").take();
            if let Some(thread) = thread {
                let _ = thread.join();
            }
        }
    }
}

fn bind_pair(config: WorkersConfig, index: usize) -> Result<(std::net::UdpSocket, std::net::UdpSocket), WorkerError> {
    let bind = |port: u16| {
        let address = SocketAddr::new(config.host, port);
        socket::bind(address).map_err(|source| WorkerError::Bind { worker: index, address, source })
    };
    if config.start_port != 0 {
        let offset = u16::try_from(index).unwrap_or(u16::MAX).saturating_mul(PORTS_PER_WORKER);
        let port = config.start_port.saturating_add(offset);
        return Ok((bind(port)?, bind(port.saturating_add(1))?));
    }
    // Any free even port whose neighbour is free as well.
    let mut attempts = 0;
    loop {
        attempts += 1;
        let rtp = bind(0)?;
        let port = rtp.local_addr().map_or(1, |address| address.port());
        match (port % 2, bind(port.saturating_add(1))) {
            (0, Ok(rtcp)) => return Ok((rtp, rtcp)),
            (0, Err(error)) if attempts == 100 => return Err(error),
            _ => {}
        }
    }
}

impl Worker {
    fn tell(&self, command: Command) -> Result<(), WorkerError> {
        self.commands.try_send(command).map_err(|error| WorkerError::Unresponsive {
            worker: self.index,
            dead: matches!(error, TrySendError::Disconnected(_)),
        })?;
        // A counter that is already up wakes the worker as well.
        let _ = self.wake.write(1);
        Ok(())
    }
}

/// A place for one stream on a worker, given up when dropped.
pub struct Place {
    worker: Arc<Worker>,
}

impl Place {
    /// The RTP port to name in the SDP answer.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.worker.port
    }

    /// Begins to send to, and to listen for, the remote address that the offer named.
    pub fn open(self, spec: StreamSpec) -> Result<(StreamHandle, mpsc::Receiver<MediaEvent>), WorkerError> {
        let (events, receiver) = mpsc::channel(EVENTS);
        let gauge = Arc::new(Gauge::default());
        let key = StreamKey(self.worker.next_key.fetch_add(1, Ordering::Relaxed));
        self.worker.tell(Command::Open { key, spec: Box::new(spec), gauge: Arc::clone(&gauge), events })?;
        let feeder = StreamFeeder { worker: Arc::clone(&self.worker), key, gauge };
        Ok((StreamHandle { feeder, place: self, closed: false }, receiver))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.worker.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Gives a stream its clips. Cheap to clone; what it is told after the stream closed is let go.
#[derive(Clone)]
pub struct StreamFeeder {
    worker: Arc<Worker>,
    key: StreamKey,
    gauge: Arc<Gauge>,
}

impl StreamFeeder {
    /// Appends mono samples to `clip`; the first of a clip also queue it behind the others.
    pub fn play(&self, clip: ClipId, rate: SampleRate, samples: Samples) {
        self.gauge.add(rate.duration(samples.len()));
        self.instruct(Instruction::Play { clip, rate, samples, came: Instant::now() });
    }

    /// Says that all samples of `clip` were given. A clip of which this is never said is open-ended: more may come at any time, after
    /// silence too, and it ends by [`StreamHandle::clear`].
    pub fn end_clip(&self, clip: ClipId) {
        self.instruct(Instruction::EndClip { clip });
    }

    /// Says that no more samples of `clip` will come, though it is not whole. What there is of it is played, and then told as
    /// [`MediaEvent::ClipCut`].
    pub fn break_clip_off(&self, clip: ClipId) {
        self.instruct(Instruction::BreakClipOff { clip });
    }

    /// Sets a mark behind all samples of `clip` that were given so far; told as [`MediaEvent::Mark`] once they were sent, and as unplayed
    /// when they are cleared.
    pub fn mark(&self, clip: ClipId, mark: MarkId) {
        self.instruct(Instruction::Mark { clip, mark });
    }

    /// Waits while a second or more is queued, until less than half of one is.
    pub async fn room(&self) {
        self.gauge.room().await;
    }

    fn instruct(&self, instruction: Instruction) {
        if let Err(error) = self.worker.tell(Command::Instruct { key: self.key, instruction }) {
            tracing::error!(%error, "a stream could not be told what to do");
        }
    }
}

/// One call's stream, as its task holds it. Dropping it closes the stream.
pub struct StreamHandle {
    feeder: StreamFeeder,
    place: Place,
    closed: bool,
}

impl StreamHandle {
    /// The stream's feeder, for whoever brings the audio.
    #[must_use]
    pub fn feeder(&self) -> StreamFeeder {
        self.feeder.clone()
    }

    /// Goes on with what a barge-in paused.
    pub fn resume(&self) {
        self.feeder.instruct(Instruction::Resume);
    }

    /// Says whether the caller's speech may stop the agent from now on; where it may not, nothing is faded and no
    /// barge-in told.
    pub fn set_interruptible(&self, interruptible: bool) {
        self.feeder.instruct(Instruction::SetInterruptible(interruptible));
    }

    /// Asks for the newest of the utterance that goes on; told as [`MediaEvent::Glimpse`], if there is one.
    pub fn glimpse(&self) {
        self.feeder.instruct(Instruction::Glimpse);
    }

    /// Says whether the agent waits for an answer; then less speech is enough for an utterance.
    pub fn expect_answer(&self, expected: bool) {
        self.feeder.instruct(Instruction::ExpectAnswer(expected));
    }

    /// The clips that wait or are being played, and the marks in them that are not reached yet.
    #[must_use]
    pub fn entries(&self) -> (usize, usize) {
        self.feeder.gauge.entries()
    }

    /// Throws all clips up to `through` away, those too that were given but have not come yet; each that came is told
    /// as [`MediaEvent::ClipCut`], with how many of its samples nobody has heard.
    pub fn clear(&self, through: ClipId) {
        self.feeder.instruct(Instruction::Clear { through });
    }

    /// Sends keys as telephone-events. A leg that did not offer them gets none.
    pub fn send_dtmf(&self, digits: String) {
        self.feeder.instruct(Instruction::SendDtmf { digits });
    }

    /// Closes the stream and says what it measured; `None` where the worker is gone.
    pub async fn close(mut self) -> Option<MediaReport> {
        self.closed = true;
        let (report, receiver) = oneshot::channel();
        self.place.worker.tell(Command::Close { key: self.feeder.key, report: Some(report) }).ok()?;
        receiver.await.ok()
    }
}

impl Drop for StreamHandle {
    fn drop(&mut self) {
        if !self.closed {
            let _ = self.place.worker.tell(Command::Close { key: self.feeder.key, report: None });
        }
    }
}
