//! Whether the pod keeps its calls' pace well enough to take another one: by what callers would hear of it, and by what is left of its
//! cores, both with hysteresis. Measures nothing and reads no clock, and never asks anything of a call that is up.
//!
//! A count of calls says what a pod was sized for. Two figures say what it has left when its core is shared, throttled or slower than it
//! was thought to be. *Missed* are packets that left so late that the jitter buffer behind the pod had nothing to play, or that were left
//! out altogether: a machine that stands still for a moment now and then makes packets late and nobody miss any. *Load* looks ahead: what
//! the calls take of the cores, and with it what one more would, so that a pod is full before anybody hears it.

use std::time::{Duration, Instant};

/// How often admission is told what the workers did.
pub const READING_INTERVAL: Duration = Duration::from_millis(250);
/// Readings that the share of missed packets is taken of: five seconds'.
const WINDOW: usize = 20;
/// In so many of them packets were missed before it counts: a host's hiccup or two are no pod's lack of cores, and turning calls away
/// would cure none.
const AGAIN: usize = 3;
/// Readings that load is the mean of: two seconds'.
const LOAD_WINDOW: usize = 8;
/// Readings that lateness is told of: a second's.
const LATENESS_WINDOW: usize = 4;
/// So long all must have been well by a margin before calls are taken again.
const CALM: Duration = Duration::from_secs(1);
/// So long it takes where it is well, but not by that margin: a pod at its limit is not to flap, nor one with a steady neighbour to be
/// shut for good.
const IN_TIME: Duration = Duration::from_secs(10);
/// Below this share of the highest load nothing is foretold: few calls cost more each than many do.
const FORETELLING: f64 = 0.5;
/// Load is well by a margin below this share of the highest.
const LOAD_MARGIN: f64 = 0.9;

/// What a pod refuses new calls for, besides its permits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PaceLimits {
    /// Most of the packets, as a share, that callers may miss.
    pub max_missed: f64,
    /// Most of the cores, as a share, that the calls may take; `None`: nothing is foretold.
    pub max_load: Option<f64>,
}

/// What the media workers did since the last look at them.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Reading {
    /// How late, but for one in a hundred, packets left, by the worker that was worst.
    pub lateness: Duration,
    /// Packets that were to be sent.
    pub due: u64,
    /// Of these the ones that left too late to be heard, or not at all.
    pub missed: u64,
    /// How busy the busiest of the workers and of the cores was, 0 to 1.
    pub load: f64,
    /// Calls that the workers carried.
    pub calls: usize,
}

/// On from when something was too much until it has been well for a while.
#[derive(Debug, Default)]
struct Latch {
    on: bool,
    in_time_since: Option<Instant>,
    calm_since: Option<Instant>,
}

impl Latch {
    fn observe(&mut self, now: Instant, too_much: bool, well: bool, calm: bool) {
        if too_much || (self.on && !well) {
            *self = Self { on: true, ..Self::default() };
        } else if self.on {
            let since = |start: &mut Option<Instant>| now.saturating_duration_since(*start.get_or_insert(now));
            let in_time = since(&mut self.in_time_since);
            let calm = if calm {
                since(&mut self.calm_since)
            } else {
                self.calm_since = None;
                Duration::ZERO
            };
            self.on = calm < CALM && in_time < IN_TIME;
        }
    }
}

/// The judge of a pod's pace.
#[derive(Debug)]
pub(super) struct Pace {
    limits: Option<PaceLimits>,
    readings: [Reading; WINDOW],
    next: usize,
    seen: usize,
    late: Latch,
    busy: Latch,
}

impl Pace {
    /// In time; without limits it stays so.
    pub(super) fn new(limits: Option<PaceLimits>) -> Self {
        Self {
            limits,
            readings: [Reading::default(); WINDOW],
            next: 0,
            seen: 0,
            late: Latch::default(),
            busy: Latch::default(),
        }
    }

    /// Takes the newest reading; `calls` are those that the pod has taken.
    pub(super) fn observe(&mut self, now: Instant, reading: Reading, calls: usize) {
        self.readings[self.next] = reading;
        self.next = (self.next + 1) % WINDOW;
        self.seen = (self.seen + 1).min(WINDOW);
        let Some(limits) = self.limits else { return };
        let missed = self.missed();
        let again = self.readings.iter().filter(|reading| reading.missed > 0).count() >= AGAIN;
        let well = missed <= limits.max_missed;
        self.late.observe(now, again && !well, well, missed <= limits.max_missed / 2.0);
        if let Some(max) = limits.max_load {
            let load = self.load_with(calls + 1, max);
            // Without a call it is not calls that take the cores.
            let none = calls == 0;
            self.busy.observe(now, load > max && !none, load <= max || none, load <= max * LOAD_MARGIN || none);
        }
    }

    /// The newest readings, the newest first.
    fn newest(&self, count: usize) -> impl Iterator<Item = &Reading> {
        (1..=count.min(self.seen)).map(|back| &self.readings[(self.next + WINDOW - back) % WINDOW])
    }

    /// The share of the packets of the last seconds that callers missed.
    pub(super) fn missed(&self) -> f64 {
        let (missed, due) =
            self.readings.iter().fold((0, 0), |(missed, due), reading| (missed + reading.missed, due + reading.due));
        if due == 0 { 0.0 } else { missed.min(due) as f64 / due as f64 }
    }

    /// How busy the cores were over the last seconds, 0 to 1.
    pub(super) fn load(&self) -> f64 {
        self.mean(|reading| reading.load)
    }

    fn mean(&self, of: impl Fn(&Reading) -> f64) -> f64 {
        let count = LOAD_WINDOW.min(self.seen);
        if count == 0 { 0.0 } else { self.newest(LOAD_WINDOW).map(of).sum::<f64>() / count as f64 }
    }

    /// How busy they would be with `calls`. What is taken in the meantime has not shown in any reading yet, so it is reckoned with what a
    /// call has cost so far.
    fn load_with(&self, calls: usize, max: f64) -> f64 {
        let (load, carried) = (self.load(), self.mean(|reading| reading.calls as f64));
        if load < max * FORETELLING || carried < 1.0 { load } else { load * calls as f64 / carried }
    }

    /// The second-worst lateness of the last second's readings: a single hiccup tells nothing of the rest.
    pub(super) fn lateness(&self) -> Duration {
        let mut sorted = [Duration::ZERO; LATENESS_WINDOW];
        sorted.iter_mut().zip(self.newest(LATENESS_WINDOW)).for_each(|(place, reading)| *place = reading.lateness);
        sorted.sort_unstable();
        sorted[LATENESS_WINDOW - 2]
    }

    /// Whether calls should be refused for what callers miss.
    pub(super) fn is_late(&self) -> bool {
        self.late.on
    }

    /// Whether calls should be refused because they would be too many for the cores.
    pub(super) fn is_busy(&self) -> bool {
        self.busy.on
    }

    /// Whether one more than `calls` would be too many, with those that were taken since the last reading.
    pub(super) fn would_be_busy(&self, calls: usize) -> bool {
        let max = self.limits.and_then(|limits| limits.max_load).filter(|_| calls > 0);
        self.busy.on || max.is_some_and(|max| self.load_with(calls + 1, max) > max)
    }
}

#[cfg(test)]
mod tests;
