//! The media thread: every caller's socket, one clock. Sends each caller's frame when it is due, hands what arrives to the
//! call's monitor, notices a mute pod. Never waits for a call's task, and takes no lock but the call's own.
//!
//! A caller who listens is told of each packet when it comes. A deaf one, of which there are many at a time, looks into its socket
//! once a frame: the kernel has noted when each packet came, and neither this thread nor the pod, on whose time a packet is
//! delivered on this machine, pays for a wake-up a packet.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt};
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use super::clip::{Clip, RATE_HZ};
use super::leg::{Frame, Impairments, LegFormat, LocalSound, Outgoing, Speaker};
use super::monitor::{Monitor, Observed, Sent};
use crate::report::Happening;
use crate::stats::{Histogram, Spread};
use crate::timeline::Timeline;

/// epoll's name for the wake-up descriptor; callers count from 1.
const WAKE: u64 = 0;
/// Datagrams read from one listening caller's socket before the others get their turn, while this thread is behind. Otherwise one:
/// there is seldom a second, epoll tells of it again, and asking would cost a system call.
const READS_WHEN_BEHIND: usize = 8;
/// Datagrams that a deaf caller reads at most at a frame. A pod sends one in that time.
const READS_A_FRAME: usize = 16;
/// Datagrams that are still read when a leg is over.
const LAST_READS: usize = 64;
/// So late a frame means that this thread is behind.
const BEHIND: Duration = Duration::from_millis(5);
/// A packet's time stamp that is older is taken for a clock that was set.
const MAX_AGE: Duration = Duration::from_secs(10);
/// Frames that are later than this are left out instead of being sent in a burst: the machine slept.
const MAX_CATCH_UP: Duration = Duration::from_millis(200);
/// Timers are kept to the millisecond; what is due within half of one is due.
const SLACK: Duration = Duration::from_micros(500);

/// What the media thread tells a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MediaEvent {
    /// No RTP on leg B for its `media_timeout`.
    Timeout,
}

/// A leg B that was answered.
pub(crate) struct NewLeg {
    pub(crate) attempt: u32,
    pub(crate) socket: UdpSocket,
    pub(crate) format: LegFormat,
    pub(crate) media_timeout: Option<Duration>,
    pub(crate) events: mpsc::UnboundedSender<MediaEvent>,
}

/// What a call asks of the media thread.
pub(crate) enum Order {
    Add {
        monitor: Arc<Monitor>,
        timeline: Arc<Timeline>,
        impairments: Impairments,
    },
    Attach(Box<NewLeg>),
    Detach,
    Say {
        clip: Clip,
        looped: bool,
        done: Option<oneshot::Sender<()>>,
    },
    StopSaying,
    Dial {
        digits: String,
        done: Option<oneshot::Sender<()>>,
    },
    Hold(bool),
    /// Sends nothing, or again; what comes is heard.
    Mute(bool),
    Local(Option<LocalSound>),
    /// `removed` fires when the caller's report is final.
    Remove {
        removed: oneshot::Sender<()>,
    },
}

/// How well the media thread kept its own time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct PumpReport {
    /// How late packets left, against the caller's own clock.
    pub lateness: Spread,
    /// Frames left out because they were later than 200 ms.
    pub skipped_frames: u64,
    /// CPU time of the thread, in seconds.
    pub cpu_s: f64,
}

#[derive(Default)]
struct Figures {
    lateness: Histogram,
    skipped: u64,
    cpu: Duration,
}

/// The way to the media thread; the thread ends when this is dropped.
pub(crate) struct Pump {
    orders: Option<Sender<(u64, Order)>>,
    wake: Arc<EventFd>,
    figures: Arc<Mutex<Figures>>,
    thread: Option<JoinHandle<()>>,
}

impl Pump {
    pub(crate) fn start() -> io::Result<Self> {
        let wake = Arc::new(EventFd::from_value_and_flags(0, EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)?);
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(&wake, EpollEvent::new(EpollFlags::EPOLLIN, WAKE))?;
        let (orders, receiver) = channel();
        let figures = Arc::new(Mutex::new(Figures::default()));
        let (wake_too, figures_too) = (wake.clone(), figures.clone());
        let thread = std::thread::Builder::new().name("switchsim-media".to_owned()).spawn(move || {
            let worker = Worker {
                epoll,
                wake: wake_too,
                orders: receiver,
                callers: HashMap::new(),
                due: BinaryHeap::new(),
                serial: 0,
                figures: figures_too,
                outgoing: Vec::new(),
                silence: Clip::silence(Duration::from_millis(200)),
                behind: false,
            };
            worker.run();
        })?;
        Ok(Self { orders: Some(orders), wake, figures, thread: Some(thread) })
    }

    /// Orders are carried out in order, within a millisecond.
    pub(crate) fn order(&self, caller: u64, order: Order) {
        if let Some(orders) = &self.orders {
            // The thread ends only with this handle; a full counter of wake-ups wakes as well.
            let _ = orders.send((caller, order));
            let _ = self.wake.write(1);
        }
    }

    pub(crate) fn report(&self) -> PumpReport {
        let figures = self.figures.lock().unwrap_or_else(PoisonError::into_inner);
        PumpReport {
            lateness: figures.lateness.summary(),
            skipped_frames: figures.skipped,
            cpu_s: figures.cpu.as_secs_f64(),
        }
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        self.orders = None;
        let _ = self.wake.write(1);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Leg {
    socket: UdpSocket,
    format: LegFormat,
    media_timeout: Option<Duration>,
    events: mpsc::UnboundedSender<MediaEvent>,
    last_heard: Instant,
    timed_out: bool,
    /// Tells delayed packets of an earlier leg from this one's.
    generation: u64,
}

struct Caller {
    monitor: Arc<Monitor>,
    timeline: Arc<Timeline>,
    speaker: Speaker,
    /// Whether it looks into its socket at its frames, and not when epoll says so.
    deaf: bool,
    leg: Option<Leg>,
    local: Option<LocalSound>,
    local_at: usize,
    generation: u64,
}

enum Task {
    Frame { caller: u64 },
    Packet { caller: u64, generation: u64, packet: Outgoing },
}

/// Ordered by time, then by age.
struct Due {
    at: Instant,
    serial: u64,
    task: Task,
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}
impl Eq for Due {}
impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.serial).cmp(&(other.at, other.serial))
    }
}

struct Worker {
    epoll: Epoll,
    wake: Arc<EventFd>,
    orders: Receiver<(u64, Order)>,
    callers: HashMap<u64, Caller>,
    due: BinaryHeap<Reverse<Due>>,
    serial: u64,
    figures: Arc<Mutex<Figures>>,
    outgoing: Vec<Outgoing>,
    silence: Clip,
    behind: bool,
}

impl Worker {
    fn run(mut self) {
        let mut ready = vec![EpollEvent::empty(); 1024];
        let mut cpu_read = Instant::now();
        loop {
            if !self.take_orders() {
                return;
            }
            let now = Instant::now();
            self.behind = self.due.peek().is_some_and(|Reverse(due)| due.at + BEHIND < now);
            while let Some(Reverse(due)) = self.due.peek() {
                if due.at > now + SLACK {
                    break;
                }
                let Some(Reverse(due)) = self.due.pop() else { break };
                self.run_task(due);
            }
            if now.saturating_duration_since(cpu_read) > Duration::from_millis(500) {
                cpu_read = now;
                if let Ok(cpu) = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID) {
                    self.figures.lock().unwrap_or_else(PoisonError::into_inner).cpu = cpu.into();
                }
            }
            let wait = self.due.peek().map_or(Duration::from_millis(100), |Reverse(due)| {
                due.at.saturating_duration_since(Instant::now() + SLACK)
            });
            let timeout = EpollTimeout::try_from(wait.as_micros().div_ceil(1000) as i32).unwrap_or(EpollTimeout::ZERO);
            let count = match self.epoll.wait(&mut ready, timeout) {
                Ok(count) => count,
                Err(nix::errno::Errno::EINTR) => 0,
                // The descriptor is this thread's own and open: nothing else can fail here.
                Err(_) => return,
            };
            for event in &ready[..count] {
                match event.data() {
                    WAKE => {
                        let _ = self.wake.read();
                    }
                    caller => self.receive(caller),
                }
            }
        }
    }

    fn schedule(&mut self, at: Instant, task: Task) {
        self.serial += 1;
        self.due.push(Reverse(Due { at, serial: self.serial, task }));
    }

    /// False when the handle is gone.
    fn take_orders(&mut self) -> bool {
        loop {
            match self.orders.try_recv() {
                Ok((caller, order)) => self.obey(caller, order),
                Err(std::sync::mpsc::TryRecvError::Empty) => return true,
                Err(std::sync::mpsc::TryRecvError::Disconnected) => return false,
            }
        }
    }

    fn obey(&mut self, id: u64, order: Order) {
        if let Order::Add { monitor, timeline, impairments } = order {
            let mut speaker = Speaker::new(impairments, self.silence.clone());
            let first = Instant::now() + speaker.phase();
            let deaf = monitor.lock().listener.is_none();
            let caller =
                Caller { monitor, timeline, speaker, deaf, leg: None, local: None, local_at: 0, generation: 0 };
            self.callers.insert(id, caller);
            self.schedule(first, Task::Frame { caller: id });
            return;
        }
        let Some(caller) = self.callers.get_mut(&id) else { return };
        match order {
            Order::Add { .. } => {}
            Order::Attach(leg) => {
                caller.receive(LAST_READS);
                let watched = !caller.deaf;
                let added = if watched {
                    self.epoll.add(&leg.socket, EpollEvent::new(EpollFlags::EPOLLIN, id))
                } else {
                    Ok(())
                };
                // Not worth a failed call: arrival is then measured a little late.
                let _ = setsockopt(&leg.socket, sockopt::ReceiveTimestampns, &true);
                if added.is_err() {
                    return;
                }
                let now = Instant::now();
                caller.generation += 1;
                caller.speaker.new_leg();
                let local = leg.socket.local_addr().map_or_else(|_| String::new(), |address| address.to_string());
                caller.monitor.lock().attach(leg.attempt, local, leg.format, now);
                caller.leg = Some(Leg {
                    socket: leg.socket,
                    format: leg.format,
                    media_timeout: leg.media_timeout,
                    events: leg.events,
                    last_heard: now,
                    timed_out: false,
                    generation: caller.generation,
                });
            }
            Order::Detach => {
                caller.receive(LAST_READS);
                caller.leg = None;
                caller.monitor.lock().detach();
            }
            Order::Say { clip, looped, done } => caller.speaker.say(clip, looped, done),
            Order::StopSaying => caller.speaker.stop_saying(),
            Order::Dial { digits, done } => caller.speaker.dial(&digits, done),
            Order::Hold(held) => {
                caller.speaker.held = held;
                caller.monitor.lock().audible = !held;
            }
            Order::Mute(muted) => caller.speaker.held = muted,
            Order::Local(sound) => {
                caller.local = sound;
                caller.local_at = 0;
            }
            Order::Remove { removed } => {
                caller.receive(LAST_READS);
                caller.monitor.lock().detach();
                self.callers.remove(&id);
                // A call that does not wait is none of this thread's business.
                let _ = removed.send(());
            }
        }
    }

    fn run_task(&mut self, due: Due) {
        match due.task {
            Task::Frame { caller } => self.frame(caller, due.at),
            Task::Packet { caller, generation, packet } => {
                let Some(caller) = self.callers.get(&caller) else { return };
                if let Some(leg) = caller.leg.as_ref().filter(|leg| leg.generation == generation) {
                    let mut observed = caller.monitor.lock();
                    observed.on_released();
                    send(leg, &packet, &mut observed);
                }
            }
        }
    }

    fn frame(&mut self, id: u64, due: Instant) {
        let Some(caller) = self.callers.get_mut(&id) else { return };
        let now = Instant::now();
        let format = caller.leg.as_ref().map(|leg| leg.format);
        let interval = caller.speaker.interval(format.map_or(20, |format| format.media.ptime_ms));
        let mut next = due + interval;
        let late = now.saturating_duration_since(due);
        let skip = late > MAX_CATCH_UP;
        if skip {
            next = now + interval;
        }
        if caller.deaf {
            caller.receive(READS_A_FRAME);
        }
        if let Some(leg) = &mut caller.leg {
            let muted = leg.media_timeout.is_some_and(|limit| now.saturating_duration_since(leg.last_heard) > limit);
            if muted && !leg.timed_out {
                leg.timed_out = true;
                // A call that is already over has dropped its end.
                let _ = leg.events.send(MediaEvent::Timeout);
            }
        }
        let frame = caller.speaker.frame(format.as_ref(), now, &mut self.outgoing);
        for said in caller.speaker.begun.drain(..) {
            caller.timeline.note_at(now, Happening::Said { ms: said.as_secs_f64() * 1e3 });
        }
        caller.play_local(now);
        let generation = caller.generation;
        let mut delayed = Vec::new();
        if let (Frame::Packets { dropped }, Some(leg)) = (frame, &caller.leg) {
            let mut observed = caller.monitor.lock();
            (0..dropped).for_each(|_| observed.on_sent(Sent::Dropped));
            for packet in self.outgoing.drain(..) {
                if packet.at <= now {
                    send(leg, &packet, &mut observed);
                } else {
                    observed.on_held_back();
                    delayed.push(packet);
                }
            }
            drop(observed);
            let mut figures = self.figures.lock().unwrap_or_else(PoisonError::into_inner);
            figures.lateness.add(late);
            figures.skipped += u64::from(skip);
        }
        for packet in delayed {
            self.schedule(packet.at, Task::Packet { caller: id, generation, packet });
        }
        self.schedule(next, Task::Frame { caller: id });
    }

    fn receive(&mut self, id: u64) {
        let most = if self.behind { READS_WHEN_BEHIND } else { 1 };
        if let Some(caller) = self.callers.get_mut(&id) {
            caller.receive(most);
        }
    }
}

impl Caller {
    /// Takes what has come, `most` datagrams at most.
    fn receive(&mut self, most: usize) {
        let Some(leg) = &mut self.leg else { return };
        let mut buffer = [0; 2048];
        for _ in 0..most {
            let Some((length, source, arrival)) = read(&leg.socket, &mut buffer) else { return };
            let mut observed = self.monitor.lock();
            if source != Some(leg.format.media.remote) {
                observed.on_foreign();
            } else if observed.on_datagram(&buffer[..length], arrival) {
                leg.last_heard = arrival.max(leg.last_heard);
            }
            drop(observed);
            self.timeline.ring();
        }
    }

    /// Gives the caller the switch's own sound, a frame's worth.
    fn play_local(&mut self, now: Instant) {
        let frame = match &self.local {
            None => return,
            Some(LocalSound::Echo) => self.speaker.spoken(),
            Some(LocalSound::Loop(clip)) => {
                let samples = clip.samples();
                let count = RATE_HZ as usize / 50;
                let at = self.local_at;
                self.local_at += count;
                if samples.is_empty() {
                    return;
                } else {
                    (at..at + count).map(|at| samples[at % samples.len()]).collect()
                }
            }
        };
        let mut observed = self.monitor.lock();
        let audible = observed.audible;
        if let Some(listener) = observed.listener.as_mut().filter(|_| audible) {
            listener.on_local(&frame, now);
        }
    }
}

fn send(leg: &Leg, packet: &Outgoing, observed: &mut Observed) {
    for _ in 0..if packet.twice { 2 } else { 1 } {
        observed.on_sent(match leg.socket.send_to(&packet.bytes, leg.format.media.remote) {
            Ok(_) => Sent::Wire,
            Err(_) => Sent::Failed,
        });
    }
}

/// One datagram, its sender, and when the kernel got it: this thread may have been busy since.
fn read(socket: &UdpSocket, buffer: &mut [u8]) -> Option<(usize, Option<SocketAddr>, Instant)> {
    let mut slices = [IoSliceMut::new(buffer)];
    let mut control = nix::cmsg_space!(TimeSpec);
    let message =
        recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut slices, Some(&mut control), MsgFlags::MSG_DONTWAIT).ok()?;
    let now = Instant::now();
    let stamp = message.cmsgs().ok().and_then(|mut messages| {
        messages.find_map(|message| match message {
            ControlMessageOwned::ScmTimestampns(stamp) => Some(Duration::from(stamp)),
            _ => None,
        })
    });
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    let age = stamp.and_then(|stamp| since_epoch.checked_sub(stamp)).filter(|age| *age < MAX_AGE);
    let arrival = age.and_then(|age| now.checked_sub(age)).unwrap_or(now);
    let source = message.address.and_then(|address| {
        let v4 = address.as_sockaddr_in().map(|address| SocketAddr::from((address.ip(), address.port())));
        v4.or_else(|| address.as_sockaddr_in6().map(|address| SocketAddr::from((address.ip(), address.port()))))
    });
    Some((message.bytes, source, arrival))
}

#[cfg(test)]
#[path = "pump_tests.rs"]
mod tests;
