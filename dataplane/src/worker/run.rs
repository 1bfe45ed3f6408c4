//! A worker's thread: it waits, takes commands, reads packets, serves the streams that are due and sends what they
//! made. It is the only owner of its sockets and of its streams, so the packet path takes no lock.

use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;

use super::event::MediaEvent;
use super::quick_hash::QuickHash;
use super::socket::{Outbox, RtpSocket, canonical};
use super::stream::{Served, Stream};
use super::wheel::Wheel;
use super::{Command, StreamKey, Worker};
use crate::metrics::WorkerCounters;
use crate::rtp::packet::is_rtcp;

/// With fewer streams than this a packet wakes the worker at once. With more, packets are read when a stream is due,
/// every two milliseconds at the most: a batch then serves many, and nothing waits longer for it.
const FEW_STREAMS: usize = 16;
/// How long an idle worker sleeps before it shows that it lives.
const IDLE: Duration = Duration::from_secs(1);
/// Batches read in a row before streams are served again.
const BATCHES: usize = 64;
/// A packet that leaves so late is late for its own frame: the worker does not keep up, or was not let run.
const OVERRUN: Duration = Duration::from_millis(20);
/// Streams that are looked at together before they are served: more would push each other out again.
const WARMED: usize = 8;
/// Longest RTCP packet that is read, in bytes.
const RTCP_BYTES: usize = 1_500;

pub(super) struct Runner {
    rtp: RtpSocket,
    rtcp: UdpSocket,
    commands: Receiver<Command>,
    worker: Arc<Worker>,
    counters: Arc<WorkerCounters>,
    streams: HashMap<StreamKey, Box<Stream>, QuickHash>,
    by_rtp: HashMap<SocketAddr, StreamKey, QuickHash>,
    by_rtcp: HashMap<SocketAddr, StreamKey, QuickHash>,
    wheel: Wheel<StreamKey>,
    outbox: Outbox,
    /// RTCP goes out of its own socket, one by one: a packet a call every few seconds.
    reports: Outbox,
    due: Vec<StreamKey>,
    served: Vec<(StreamKey, Instant)>,
}

impl Runner {
    /// To be called on the worker's own thread: the sockets' batches cannot move between threads.
    pub(super) fn new(
        rtp: UdpSocket,
        rtcp: UdpSocket,
        commands: Receiver<Command>,
        (worker, counters): (Arc<Worker>, Arc<WorkerCounters>),
    ) -> Self {
        Self {
            rtp: RtpSocket::new(rtp),
            rtcp,
            commands,
            worker,
            counters,
            streams: HashMap::default(),
            by_rtp: HashMap::default(),
            by_rtcp: HashMap::default(),
            wheel: Wheel::new(Instant::now()),
            outbox: Outbox::default(),
            reports: Outbox::default(),
            due: Vec::new(),
            served: Vec::new(),
        }
    }

    pub(super) fn run(mut self) {
        loop {
            self.counters.beat();
            let woken = self.wait();
            if !self.take_commands() {
                return;
            }
            self.receive();
            self.serve();
            self.counters.was_busy(woken.elapsed());
        }
    }

    /// Sleeps until a stream is due, a command comes or, while there are few streams, a packet. Says when it woke.
    fn wait(&mut self) -> Instant {
        let now = Instant::now();
        let until = self.wheel.next_due().map_or(IDLE, |due| due.saturating_duration_since(now)).min(IDLE);
        let mut fds = [
            PollFd::new(self.worker.wake.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.rtp.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.rtcp.as_fd(), PollFlags::POLLIN),
        ];
        let watched = if (1..FEW_STREAMS).contains(&self.streams.len()) { fds.len() } else { 1 };
        // An error here is EINTR, which is as good as a wake-up.
        if ppoll(&mut fds[..watched], Some(TimeSpec::from_duration(until)), None).is_ok_and(|ready| ready > 0) {
            let _ = self.worker.wake.read();
        }
        Instant::now()
    }

    /// Does all that waits to be done. Says whether to go on.
    fn take_commands(&mut self) -> bool {
        loop {
            match self.commands.try_recv() {
                Ok(Command::Open { key, spec, gauge, events }) => {
                    let now = Instant::now();
                    let first = self.wheel.best_phase(now, spec.media.ptime());
                    let stream = Stream::new(*spec, gauge, events, now, first);
                    // A switch reuses a port only when the call that had it is over, so the newer call is right.
                    self.by_rtp.insert(stream.remote(), key);
                    self.by_rtcp.insert(stream.remote_rtcp(), key);
                    self.wheel.insert(first, key);
                    self.streams.insert(key, Box::new(stream));
                    self.counters.calls.store(self.streams.len(), Ordering::Relaxed);
                }
                Ok(Command::Instruct { key, instruction }) => {
                    let now = Instant::now();
                    let Some(stream) = self.streams.get_mut(&key) else { continue };
                    if let Some(due) = stream.instruct(now, instruction) {
                        self.wheel.insert(due, key);
                        // Not at the next slot but now: a reply's first frame waits for nothing.
                        if due <= now {
                            self.due.push(key);
                        }
                    }
                }
                Ok(Command::Close { key, report }) => {
                    if let Some(stream) = self.remove(key)
                        && let Some(report) = report
                    {
                        let _ = report.send(stream.report());
                    }
                }
                Ok(Command::Stop) | Err(TryRecvError::Disconnected) => return false,
                Err(TryRecvError::Empty) => return true,
            }
        }
    }

    fn remove(&mut self, key: StreamKey) -> Option<Box<Stream>> {
        let mut stream = self.streams.remove(&key)?;
        self.counters.calls.store(self.streams.len(), Ordering::Relaxed);
        for (addresses, address) in [(&mut self.by_rtp, stream.remote()), (&mut self.by_rtcp, stream.remote_rtcp())] {
            if addresses.get(&address) == Some(&key) {
                addresses.remove(&address);
            }
        }
        if let Some(goodbye) = stream.goodbye() {
            let _ = self.rtcp.send_to(&goodbye, stream.remote_rtcp());
        }
        Some(stream)
    }

    fn receive(&mut self) {
        let Self { rtp, rtcp, streams, by_rtp, by_rtcp, counters, .. } = self;
        if streams.is_empty() {
            return;
        }
        let now = Instant::now();
        for _ in 0..BATCHES {
            let received = rtp.receive(|datagrams| {
                let mut keys = [None; RtpSocket::BATCH];
                for (key, (from, _)) in keys.iter_mut().zip(datagrams) {
                    *key = by_rtp.get(from).copied();
                }
                warm(streams, keys.iter().flatten());
                for (key, (_, datagram)) in keys.iter().zip(datagrams) {
                    let Some(stream) = key.and_then(|key| streams.get_mut(&key)) else {
                        counters.unknown_source.fetch_add(1, Ordering::Relaxed);
                        continue;
                    };
                    // RTCP on the RTP port (RFC 5761) is told apart by its packet type.
                    if is_rtcp(datagram) {
                        stream.on_rtcp(now, datagram);
                    } else {
                        stream.on_rtp(now, datagram, counters);
                    }
                }
            });
            // A socket that cannot be read shows itself by its silence: streams tell their calls when nothing comes.
            if received.unwrap_or(0) < RtpSocket::BATCH {
                break;
            }
        }
        let mut datagram = [0; RTCP_BYTES];
        for _ in 0..BATCHES {
            let Ok((length, from)) = rtcp.recv_from(&mut datagram) else { break };
            if let Some(stream) = by_rtcp.get(&canonical(from)).and_then(|key| streams.get_mut(key)) {
                stream.on_rtcp(now, &datagram[..length]);
            } else {
                counters.unknown_source.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn serve(&mut self) {
        self.wheel.take_due(Instant::now(), &mut self.due);
        let mut due = std::mem::take(&mut self.due);
        for (at, key) in due.iter().enumerate() {
            if at % WARMED == 0 {
                warm(&self.streams, due[at..].iter().take(WARMED));
            }
            let Some(stream) = self.streams.get_mut(key) else { continue };
            let now = Instant::now();
            // A panic in here is a bug of ours, and it ends the one call that met it.
            let served = catch_unwind(AssertUnwindSafe(|| {
                stream.serve(now, &mut self.outbox, &mut self.reports, &self.counters)
            }));
            match served {
                Ok(Served { sent_for, next }) => {
                    self.wheel.insert(next, *key);
                    if let Some(due) = sent_for {
                        self.served.push((*key, due));
                    }
                    // The first do not wait for the last of a long round.
                    if self.outbox.len() >= RtpSocket::BATCH {
                        self.flush();
                    }
                }
                Err(_) => {
                    tracing::error!(
                        worker = self.worker.index,
                        "a stream failed by a fault in its processing and was closed"
                    );
                    stream.tell(MediaEvent::Failed);
                    self.remove(*key);
                }
            }
        }
        due.clear();
        self.due = due;
        self.flush();
        for (to, report) in self.reports.packets() {
            // RTCP is best effort; the far end may not listen for it.
            let _ = self.rtcp.send_to(report, to);
        }
        self.reports.clear();
    }

    /// Sends what the streams served so far have written, and measures how late that was.
    fn flush(&mut self) {
        let flushed = self.rtp.flush(&mut self.outbox);
        self.counters.packets_sent.fetch_add(flushed.sent, Ordering::Relaxed);
        self.counters.send_errors.fetch_add(flushed.failed, Ordering::Relaxed);
        if self.served.is_empty() {
            return;
        }
        let now = Instant::now();
        for (key, due) in self.served.drain(..) {
            let error = now.saturating_duration_since(due);
            self.counters.observe_pacing(error);
            if error > OVERRUN {
                self.counters.tick_overruns.fetch_add(1, Ordering::Relaxed);
            }
            if let Some(stream) = self.streams.get_mut(&key) {
                stream.paced(error);
            }
        }
    }
}

/// Looks at streams that are about to be worked on. With hundreds of calls none of a stream's state is in the cache when its turn comes;
/// asked for one after the other here, all of it comes at the same time, and nobody waits for each.
fn warm<'a>(streams: &HashMap<StreamKey, Box<Stream>, QuickHash>, keys: impl Iterator<Item = &'a StreamKey>) {
    let seen = keys.filter_map(|key| streams.get(key)).fold(0, |seen, stream| seen ^ stream.look());
    std::hint::black_box(seen);
}
