//! A worker's thread: it waits, takes commands, reads packets, serves the streams that are due and sends what they
//! made. It is the only owner of its sockets and of its streams, so the packet path takes no lock.

use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;

use super::event::MediaEvent;
use super::fault::{Part, kept_to_one, may_strike};
use super::quick_hash::QuickHash;
use super::socket::{Outbox, RtpSocket, canonical};
use super::stream::{Served, Stream, tell};
use super::wheel::{SlotNumber, Wheel};
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

/// A stream, and for when it is in the wheel: of its entries, one for each time at which it was moved forward, only that one counts.
struct Carried {
    stream: Box<Stream>,
    scheduled: SlotNumber,
}

type Streams = HashMap<StreamKey, Carried, QuickHash>;

/// `C` tells the time.
pub(super) struct Runner<C> {
    clock: C,
    rtp: RtpSocket,
    rtcp: UdpSocket,
    commands: Receiver<Command>,
    worker: Arc<Worker>,
    counters: Arc<WorkerCounters>,
    streams: Streams,
    by_rtp: HashMap<SocketAddr, StreamKey, QuickHash>,
    by_rtcp: HashMap<SocketAddr, StreamKey, QuickHash>,
    wheel: Wheel<StreamKey>,
    outbox: Outbox,
    /// RTCP goes out of its own socket, one by one: a packet a call every few seconds.
    reports: Outbox,
    due: Vec<(SlotNumber, StreamKey)>,
    served: Vec<(StreamKey, Instant)>,
    /// Streams that failed while packets were read, to be buried after that.
    failed: Vec<(StreamKey, Box<Stream>)>,
}

impl<C: Fn() -> Instant> Runner<C> {
    /// To be called on the worker's own thread: the sockets' batches cannot move between threads.
    pub(super) fn new(
        rtp: UdpSocket,
        rtcp: UdpSocket,
        commands: Receiver<Command>,
        (worker, counters): (Arc<Worker>, Arc<WorkerCounters>),
        clock: C,
    ) -> Self {
        let wheel = Wheel::new(clock());
        Self {
            clock,
            rtp: RtpSocket::new(rtp),
            rtcp,
            commands,
            worker,
            counters,
            streams: HashMap::default(),
            by_rtp: HashMap::default(),
            by_rtcp: HashMap::default(),
            wheel,
            outbox: Outbox::default(),
            reports: Outbox::default(),
            due: Vec::new(),
            served: Vec::new(),
            failed: Vec::new(),
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
            self.counters.was_busy((self.clock)().saturating_duration_since(woken));
        }
    }

    /// Sleeps until a stream is due, a command comes or, while there are few streams, a packet. Says when it woke.
    fn wait(&mut self) -> Instant {
        let now = (self.clock)();
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
        (self.clock)()
    }

    /// Does all that waits to be done. Says whether to go on.
    fn take_commands(&mut self) -> bool {
        may_strike(Part::Round);
        loop {
            match self.commands.try_recv() {
                Ok(Command::Open { key, spec, gauge, events }) => {
                    let now = (self.clock)();
                    let first = self.wheel.best_phase(now, spec.media.ptime());
                    let call = events.clone();
                    let Some(stream) = kept_to_one(|| Box::new(Stream::new(*spec, gauge, events, now, first))) else {
                        self.mourn();
                        tell(&call, MediaEvent::Failed);
                        continue;
                    };
                    // A switch reuses a port only when the call that had it is over, so the newer call is right.
                    self.by_rtp.insert(stream.remote(), key);
                    self.by_rtcp.insert(stream.remote_rtcp(), key);
                    let scheduled = self.wheel.insert(first, key);
                    self.streams.insert(key, Carried { stream, scheduled });
                    self.tell_size();
                }
                Ok(Command::Instruct { key, instruction }) => {
                    let now = (self.clock)();
                    let Some(Carried { stream, scheduled }) = self.streams.get_mut(&key) else { continue };
                    match kept_to_one(|| stream.instruct(now, instruction)) {
                        // Not at the next slot but now: a reply's first frame waits for nothing.
                        Some(Some(due)) if due <= now => {
                            *scheduled = self.wheel.slot_for(due);
                            self.due.push((*scheduled, key));
                        }
                        Some(Some(due)) if self.wheel.slot_for(due) < *scheduled => {
                            *scheduled = self.wheel.insert(due, key);
                        }
                        Some(_) => {}
                        None => self.fail(key),
                    }
                }
                Ok(Command::Close { key, report }) => {
                    if let Some(Carried { stream, .. }) = self.streams.remove(&key) {
                        let stream = self.let_go(key, stream);
                        if let (Some(report), Some(measured)) = (report, kept_to_one(|| stream.report())) {
                            let _ = report.send(measured);
                        }
                    }
                }
                Ok(Command::Stop) | Err(TryRecvError::Disconnected) => return false,
                Err(TryRecvError::Empty) => return true,
            }
        }
    }

    /// Closes a stream that failed, and tells its call.
    fn fail(&mut self, key: StreamKey) {
        if let Some(Carried { stream, .. }) = self.streams.remove(&key) {
            self.bury(key, stream);
        }
    }

    fn bury(&mut self, key: StreamKey, stream: Box<Stream>) {
        self.mourn();
        stream.tell(MediaEvent::Failed);
        self.let_go(key, stream);
    }

    fn mourn(&self) {
        tracing::error!(worker = self.worker.index, "a stream failed by a fault in its processing and was closed");
    }

    /// Forgets a stream that is out of the map already, and says goodbye for it.
    fn let_go(&mut self, key: StreamKey, mut stream: Box<Stream>) -> Box<Stream> {
        for (addresses, address) in [(&mut self.by_rtp, stream.remote()), (&mut self.by_rtcp, stream.remote_rtcp())] {
            if addresses.get(&address) == Some(&key) {
                addresses.remove(&address);
            }
        }
        self.tell_size();
        if let Some(Some(goodbye)) = kept_to_one(|| stream.goodbye((self.clock)())) {
            let _ = self.rtcp.send_to(&goodbye, stream.remote_rtcp());
        }
        stream
    }

    fn tell_size(&self) {
        self.counters.calls.store(self.streams.len(), Ordering::Relaxed);
        self.counters.addresses.store(self.by_rtp.len() + self.by_rtcp.len(), Ordering::Relaxed);
    }

    fn receive(&mut self) {
        if self.streams.is_empty() {
            return;
        }
        let now = (self.clock)();
        let Self { rtp, rtcp, streams, by_rtp, by_rtcp, counters, failed, .. } = self;
        for _ in 0..BATCHES {
            let received = rtp.receive(|datagrams| {
                let mut keys = [None; RtpSocket::BATCH];
                for (key, (from, _)) in keys.iter_mut().zip(datagrams) {
                    *key = by_rtp.get(from).copied();
                }
                warm(streams, keys.iter().flatten());
                for (key, (_, datagram)) in keys.iter().zip(datagrams) {
                    let Some((key, carried)) = key.and_then(|key| Some((key, streams.get_mut(&key)?))) else {
                        counters.unknown_source.fetch_add(1, Ordering::Relaxed);
                        continue;
                    };
                    let stream = &mut carried.stream;
                    // RTCP on the RTP port (RFC 5761) is told apart by its packet type.
                    let taken = kept_to_one(|| {
                        if is_rtcp(datagram) {
                            stream.on_rtcp(now, datagram);
                        } else {
                            stream.on_rtp(now, datagram, counters);
                        }
                    });
                    if taken.is_none() {
                        failed.extend(streams.remove(&key).map(|carried| (key, carried.stream)));
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
            let key = by_rtcp.get(&canonical(from)).copied();
            let Some((key, carried)) = key.and_then(|key| Some((key, streams.get_mut(&key)?))) else {
                counters.unknown_source.fetch_add(1, Ordering::Relaxed);
                continue;
            };
            if kept_to_one(|| carried.stream.on_rtcp(now, &datagram[..length])).is_none() {
                failed.extend(streams.remove(&key).map(|carried| (key, carried.stream)));
            }
        }
        while let Some((key, stream)) = self.failed.pop() {
            self.bury(key, stream);
        }
    }

    fn serve(&mut self) {
        self.wheel.take_due((self.clock)(), &mut self.due);
        let mut due = std::mem::take(&mut self.due);
        for (at, (slot, key)) in due.iter().enumerate() {
            if at % WARMED == 0 {
                warm(&self.streams, due[at..].iter().take(WARMED).map(|(_, key)| key));
            }
            let Some(Carried { stream, scheduled }) = self.streams.get_mut(key) else { continue };
            if slot != scheduled {
                // It was moved forward since.
                continue;
            }
            let now = (self.clock)();
            match kept_to_one(|| stream.serve(now, &mut self.outbox, &mut self.reports, &self.counters)) {
                Some(Served { sent_for, next }) => {
                    *scheduled = self.wheel.insert(next, *key);
                    if let Some(due) = sent_for {
                        self.served.push((*key, due));
                    }
                    // The first do not wait for the last of a long round.
                    if self.outbox.len() >= RtpSocket::BATCH {
                        self.flush();
                    }
                }
                None => self.fail(*key),
            }
        }
        due.clear();
        self.due = due;
        self.counters.scheduled.store(self.wheel.len(), Ordering::Relaxed);
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
        let now = (self.clock)();
        for (key, due) in self.served.drain(..) {
            let error = now.saturating_duration_since(due);
            self.counters.observe_pacing(error);
            if error > OVERRUN {
                self.counters.tick_overruns.fetch_add(1, Ordering::Relaxed);
            }
            if let Some(carried) = self.streams.get_mut(&key) {
                carried.stream.paced(error);
            }
        }
    }
}

impl<C> Drop for Runner<C> {
    /// A worker that is gone gets no more calls, and those that it had are told.
    fn drop(&mut self) {
        self.worker.over.store(true, Ordering::Release);
        if std::thread::panicking() {
            tracing::error!(worker = self.worker.index, calls = self.streams.len(), "a media worker ended by a fault");
        }
        for Carried { stream, .. } in self.streams.values() {
            stream.tell(MediaEvent::Failed);
        }
    }
}

/// Looks at streams that are about to be worked on. With hundreds of calls none of a stream's state is in the cache when its turn comes;
/// asked for one after the other here, all of it comes at the same time, and nobody waits for each.
fn warm<'a>(streams: &Streams, keys: impl Iterator<Item = &'a StreamKey>) {
    let seen = keys.filter_map(|key| streams.get(key)).fold(0, |seen, carried| seen ^ carried.stream.look());
    std::hint::black_box(seen);
}

#[cfg(test)]
mod tests;
