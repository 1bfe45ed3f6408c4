//! How deep the buffer should be: watches how long before their turn packets arrive, and says when to wait one packet
//! longer or to leave one out. Never touches a packet.

use std::time::{Duration, Instant};

/// How long the packets must have come early before one is left out.
const WINDOW: Duration = Duration::from_secs(2);
/// Packets without which a window says nothing.
const MIN_SAMPLES: u32 = 20;
/// What must stay in hand after leaving one out, whatever the network: our own tick is not exact.
const MIN_MARGIN_US: i64 = 1_000;
/// How long leaving one out waits for a moment without speech.
const MAX_SHRINK_WAIT: Duration = Duration::from_secs(1);
/// Having to wait again this soon after leaving one out was a mistake: be slower next time…
const REGRET: Duration = Duration::from_secs(10);
/// …up to this many windows…
const MAX_PATIENCE: u32 = 8;
/// …until it hasn't happened for this long.
const FORGIVEN: Duration = Duration::from_secs(60);
/// Arrivals are compared with a clock that may have jumped; beyond this they say nothing.
const PLAUSIBLE_US: i64 = 1_000_000;

#[derive(Debug)]
pub(super) struct Adaptation {
    tick_us: i64,
    max_depth_us: i64,
    last_pop: Option<Instant>,
    window: Window,
    /// The largest slack of the window before.
    previous_max_us: i64,
    last_late: Option<Instant>,
    grow: bool,
    shrink_since: Option<Instant>,
    last_shrink: Option<Instant>,
    calm_windows: u32,
    patience: u32,
}

/// How long before their turn packets came, in microseconds.
#[derive(Clone, Copy, Debug)]
struct Window {
    started: Option<Instant>,
    samples: u32,
    min_us: i64,
    max_us: i64,
}

impl Window {
    const EMPTY: Window = Window { started: None, samples: 0, min_us: i64::MAX, max_us: 0 };
}

impl Adaptation {
    pub fn new(tick: Duration, max_depth: Duration) -> Self {
        Adaptation {
            tick_us: micros(tick),
            max_depth_us: micros(max_depth),
            last_pop: None,
            window: Window::EMPTY,
            previous_max_us: 0,
            last_late: None,
            grow: false,
            shrink_since: None,
            last_shrink: None,
            calm_windows: 0,
            patience: 1,
        }
    }

    /// A tick pulls at `now`; a packet lasts `frame_us`.
    #[inline]
    pub fn on_pop(&mut self, now: Instant, frame_us: i64) {
        self.last_pop = Some(now);
        match self.window.started {
            None => self.window.started = Some(now),
            Some(started) if now.saturating_duration_since(started) >= WINDOW => self.close_window(now, frame_us),
            Some(_) => {}
        }
    }

    /// A packet arrived in time, `ticks` whole ticks after the one that is next.
    #[inline]
    pub fn on_arrival(&mut self, now: Instant, ticks: i64) {
        let Some(last_pop) = self.last_pop else { return };
        let until_pop = (self.tick_us - micros(now.saturating_duration_since(last_pop))).max(0);
        let slack = ticks * self.tick_us + until_pop;
        if slack <= PLAUSIBLE_US {
            self.window.samples += 1;
            self.window.min_us = self.window.min_us.min(slack);
            self.window.max_us = self.window.max_us.max(slack);
        }
    }

    /// A packet arrived after its turn, by no more than the buffer may be deep. One outlier is cheaper lost than waited
    /// for; the second within a window asks for a deeper buffer, if there is room.
    pub fn on_late(&mut self, now: Instant, frame_us: i64) {
        self.shrink_since = None;
        let again = self.last_late.is_some_and(|last| now.saturating_duration_since(last) < WINDOW);
        self.last_late = Some(now);
        let depth_us = self.window.max_us.max(self.previous_max_us);
        // The slack counts to the next tick, so that it may be up to a tick more than the depth.
        if again && depth_us + frame_us <= self.max_depth_us + self.tick_us {
            self.grow = true;
            self.last_late = None;
        }
    }

    /// Whether to wait one packet longer now; told once.
    pub fn take_growth(&mut self) -> bool {
        std::mem::take(&mut self.grow)
    }

    /// Whether to leave a packet out: at once if that goes unheard, or when waiting for such a moment took too long.
    pub fn should_shrink(&self, now: Instant, unheard: bool) -> bool {
        self.shrink_since.is_some_and(|since| unheard || now.saturating_duration_since(since) >= MAX_SHRINK_WAIT)
    }

    /// The buffer became deeper by `by_us`.
    pub fn on_grown(&mut self, now: Instant, by_us: i64) {
        self.shift(by_us);
        self.grow = false;
        self.shrink_since = None;
        self.calm_windows = 0;
        if let Some(since) = self.last_shrink.map(|last| now.saturating_duration_since(last)) {
            if since < REGRET {
                self.patience = (self.patience * 2).min(MAX_PATIENCE);
            } else if since > FORGIVEN {
                self.patience = 1;
            }
        }
    }

    /// The buffer became shallower by `by_us`.
    pub fn on_shrunk(&mut self, now: Instant, by_us: i64) {
        self.shift(-by_us);
        self.last_shrink = Some(now);
        self.shrink_since = None;
        self.calm_windows = 0;
        self.previous_max_us = self.window.max_us;
        self.window = Window { started: Some(now), ..Window::EMPTY };
    }

    /// The packet that was due didn't come: no time to leave one out.
    pub fn on_starved(&mut self) {
        self.shrink_since = None;
    }

    /// What was seen no longer tells anything: a new stream, or a pause.
    pub fn restart(&mut self) {
        self.window = Window::EMPTY;
        self.previous_max_us = 0;
        self.last_late = None;
        self.grow = false;
        self.shrink_since = None;
        self.calm_windows = 0;
    }

    fn close_window(&mut self, now: Instant, frame_us: i64) {
        let Window { samples, min_us, max_us, .. } = self.window;
        // The steadier the network, the less is kept in hand, so that a buffer gets back to no delay at all.
        let margin = max_us.saturating_sub(min_us).clamp(MIN_MARGIN_US, (frame_us / 4).max(MIN_MARGIN_US));
        if samples >= MIN_SAMPLES && min_us >= frame_us + margin {
            self.calm_windows += 1;
            if self.calm_windows >= self.patience {
                self.shrink_since.get_or_insert(now);
            }
        } else {
            self.calm_windows = 0;
            self.shrink_since = None;
        }
        self.previous_max_us = max_us;
        self.window = Window { started: Some(now), ..Window::EMPTY };
    }

    fn shift(&mut self, by_us: i64) {
        self.window.min_us = self.window.min_us.saturating_add(by_us);
        self.window.max_us += by_us;
        self.previous_max_us += by_us;
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
