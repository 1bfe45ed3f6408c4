//! The agent's side of a stream: clips in their order, at whatever rate they come, turned into samples at the leg's
//! rate, a frame at a time. It pauses with a fade when the caller interrupts. It never looks at packets or clocks.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use super::event::{CutClip, MarkId};
use crate::audio::{Fade, Loudness, LoudnessSettings, Resampler, SampleRate, Samples, fade, pcm};
use crate::turn::conversation::ClipId;

/// How long it takes to come back after a false alarm.
const FADE_IN: Duration = Duration::from_millis(20);
/// Samples are turned to the leg's rate in steps of this length, so that no more than two frames are ever committed.
const STEP: Duration = Duration::from_millis(10);
/// Marks that may wait in a clip. Whoever sets more is told of the surplus at once, as not played.
const MARKS: usize = 1_024;

/// How much waits in a stream's playout: the worker writes it, and the one who feeds the stream waits on it.
#[derive(Debug, Default)]
pub(super) struct Gauge {
    queued_us: AtomicU64,
    clips: AtomicUsize,
    marks: AtomicUsize,
    /// Told when [`Gauge::LOW`] is reached from above.
    drained: Notify,
}

impl Gauge {
    /// Feeding stops above this: what is to come waits with the backend, whose connection holds it back.
    pub(super) const HIGH: Duration = Duration::from_secs(1);
    /// Feeding goes on below this.
    pub(super) const LOW: Duration = Duration::from_millis(500);

    pub(super) fn add(&self, queued: Duration) {
        self.queued_us.fetch_add(queued.as_micros() as u64, Ordering::AcqRel);
    }

    fn take(&self, played: Duration) {
        let low = Self::LOW.as_micros() as u64;
        let played = played.as_micros() as u64;
        let before = self
            .queued_us
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |queued| Some(queued.saturating_sub(played)))
            .unwrap_or_else(|queued| queued);
        if before >= low && before.saturating_sub(played) < low {
            self.drained.notify_waiters();
        }
    }

    fn holds(&self, clips: &VecDeque<Clip>) {
        self.clips.store(clips.len(), Ordering::Relaxed);
        self.marks.store(clips.iter().map(|clip| clip.marks.len()).sum(), Ordering::Relaxed);
    }

    /// The clips that wait or are being played, and the marks in them.
    pub(super) fn entries(&self) -> (usize, usize) {
        (self.clips.load(Ordering::Relaxed), self.marks.load(Ordering::Relaxed))
    }

    /// Returns at once while little is queued; above [`Gauge::HIGH`] it waits until [`Gauge::LOW`] is reached.
    pub(super) async fn room(&self) {
        if self.queued_us.load(Ordering::Acquire) <= Self::HIGH.as_micros() as u64 {
            return;
        }
        loop {
            let drained = self.drained.notified();
            if self.queued_us.load(Ordering::Acquire) < Self::LOW.as_micros() as u64 {
                return;
            }
            drained.await;
        }
    }
}

/// What became of a clip.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum ClipChange {
    Started(ClipId),
    Ended { clip: ClipId, length: Duration },
    Cut(CutClip),
    Mark { clip: ClipId, mark: MarkId, played: bool },
}

/// What is known of a clip's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rest {
    /// More may come.
    Open,
    /// All has come.
    Complete,
    /// What is missing will not come.
    BrokenOff,
}

struct Clip {
    id: ClipId,
    rate: SampleRate,
    chunks: VecDeque<Samples>,
    /// Samples of the first chunk that are played already.
    offset: usize,
    played: usize,
    came: usize,
    rest: Rest,
    started: bool,
    /// Marks, and behind how many of the samples they stand.
    marks: VecDeque<(usize, MarkId)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Playing,
    /// The fade-out is under way; what is played is still heard.
    Fading,
    Paused,
}

/// The queue of clips of one stream.
pub(super) struct Playout {
    leg: SampleRate,
    clips: VecDeque<Clip>,
    state: State,
    fade: Fade,
    resampler: Resampler,
    loudness: Loudness,
    gauge: Arc<Gauge>,
    /// Clips up to this one are not wanted any more.
    cleared: Option<ClipId>,
    /// Samples at the leg's rate, ready to be sent.
    ready: Vec<f32>,
    scratch: Vec<f32>,
}

impl Playout {
    pub(super) fn new(leg: SampleRate, gauge: Arc<Gauge>) -> Self {
        Self {
            leg,
            clips: VecDeque::new(),
            state: State::Playing,
            fade: Fade::open(leg),
            resampler: Resampler::new(leg, leg),
            loudness: Loudness::new(leg, LoudnessSettings::default()),
            gauge,
            cleared: None,
            ready: Vec::new(),
            scratch: Vec::new(),
        }
    }

    /// Appends samples to clip `id`, which is queued behind the others when it is new. Says whether it is.
    pub(super) fn push(&mut self, id: ClipId, rate: SampleRate, samples: Samples) -> bool {
        if self.cleared.is_some_and(|cleared| id <= cleared) {
            self.gauge.take(rate.duration(samples.len()));
            return false;
        }
        if let Some(clip) = self.clips.iter_mut().find(|clip| clip.id == id) {
            clip.came += samples.len();
            clip.chunks.push_back(samples);
            return false;
        }
        self.clips.push_back(Clip {
            id,
            rate,
            came: samples.len(),
            chunks: VecDeque::from([samples]),
            offset: 0,
            played: 0,
            rest: Rest::Open,
            started: false,
            marks: VecDeque::new(),
        });
        self.gauge.holds(&self.clips);
        true
    }

    /// All samples of clip `id` have come.
    pub(super) fn complete(&mut self, id: ClipId) {
        self.close(id, Rest::Complete);
    }

    /// No more samples of clip `id` will come, though it is not whole.
    pub(super) fn break_off(&mut self, id: ClipId) {
        self.close(id, Rest::BrokenOff);
    }

    fn close(&mut self, id: ClipId, rest: Rest) {
        if let Some(clip) = self.clips.iter_mut().find(|clip| clip.id == id) {
            clip.rest = rest;
        }
    }

    /// Sets a mark behind what has come of clip `id`. Of a clip that is not there (any more, or yet) nothing is left to be played.
    pub(super) fn mark(&mut self, id: ClipId, mark: MarkId, mut change: impl FnMut(ClipChange)) {
        let cleared = self.cleared.is_some_and(|cleared| id <= cleared);
        match self.clips.iter_mut().find(|clip| clip.id == id) {
            Some(clip) if clip.marks.len() < MARKS => clip.marks.push_back((clip.came, mark)),
            Some(_) => change(ClipChange::Mark { clip: id, mark, played: false }),
            None => change(ClipChange::Mark { clip: id, mark, played: !cleared }),
        }
        self.gauge.holds(&self.clips);
    }

    /// Whether the next frame will carry a clip's sound.
    pub(super) fn is_audible(&self) -> bool {
        self.state != State::Paused && (!self.ready.is_empty() || self.clips.front().is_some_and(Clip::has_samples))
    }

    /// Fades out over the coming frames and then stands still.
    pub(super) fn pause(&mut self) {
        if self.state == State::Playing {
            self.state = State::Fading;
            self.fade.fade_out(fade::BARGE_IN);
        }
    }

    /// Goes on where [`Playout::pause`] stopped.
    pub(super) fn resume(&mut self) {
        if self.state != State::Playing {
            self.state = State::Playing;
            self.fade.fade_in(FADE_IN);
        }
    }

    /// Throws all clips away, telling of each how much of it was sent, and those up to `through` that come later, too.
    pub(super) fn clear(&mut self, through: ClipId, mut change: impl FnMut(ClipChange)) {
        // What is ready is a step or two at most, of the clip that is being played but for its beginning.
        let mut ready = self.ready.len();
        for mut clip in self.clips.drain(..) {
            self.gauge.take(clip.duration(clip.came - clip.played));
            let unsent = std::mem::take(&mut ready) * clip.rate.hz() as usize / self.leg.hz() as usize;
            clip.played = clip.played.saturating_sub(unsent);
            clip.tell_marks(false, &mut change);
            change(ClipChange::Cut(clip.cut()));
        }
        self.gauge.holds(&self.clips);
        self.cleared = Some(through);
        self.ready.clear();
        self.resampler.reset();
        self.resume();
    }

    /// Fills `frame` (samples at the leg's rate) with what comes next, silence where nothing does. Says whether there
    /// was any sound.
    pub(super) fn fill(&mut self, frame: &mut [f32], mut change: impl FnMut(ClipChange)) -> bool {
        if self.state == State::Paused {
            frame.fill(0.0);
            return false;
        }
        if !self.clips.is_empty() {
            while self.ready.len() < frame.len() && self.step(&mut change) {}
            self.gauge.holds(&self.clips);
        }
        let sounding = self.ready.len().min(frame.len());
        frame[..sounding].copy_from_slice(&self.ready[..sounding]);
        frame[sounding..].fill(0.0);
        self.ready.drain(..sounding);
        if sounding > 0 || self.state == State::Fading {
            self.fade.apply(frame);
        }
        if self.state == State::Fading && self.fade.is_silent() {
            self.state = State::Paused;
        }
        sounding > 0
    }

    /// Makes up to [`STEP`] of the first clip ready. Says whether there may be more to do.
    fn step(&mut self, change: &mut impl FnMut(ClipChange)) -> bool {
        let Some(clip) = self.clips.front_mut() else { return false };
        clip.tell_marks(true, change);
        if !clip.has_samples() {
            // What the filter still holds of the clip comes out with the next clip's first samples, or is too little
            // to be missed.
            match clip.rest {
                Rest::Open => return false,
                Rest::Complete => change(ClipChange::Ended { clip: clip.id, length: clip.duration(clip.came) }),
                Rest::BrokenOff => change(ClipChange::Cut(clip.cut())),
            }
            self.clips.pop_front();
            return true;
        }
        if !clip.started {
            clip.started = true;
            change(ClipChange::Started(clip.id));
            if self.resampler.from() != clip.rate {
                self.resampler = Resampler::new(clip.rate, self.leg);
            }
        }
        self.scratch.clear();
        let wanted = clip.rate.samples(STEP);
        while self.scratch.len() < wanted {
            let Some(chunk) = clip.chunks.front() else { break };
            let rest = &chunk[clip.offset..];
            let taken = rest.len().min(wanted - self.scratch.len());
            pcm::to_f32(&rest[..taken], &mut self.scratch);
            clip.offset += taken;
            if clip.offset == chunk.len() {
                clip.chunks.pop_front();
                clip.offset = 0;
            }
        }
        clip.played += self.scratch.len();
        self.gauge.take(clip.duration(self.scratch.len()));
        let start = self.ready.len();
        self.resampler.process(&self.scratch, &mut self.ready);
        self.loudness.process(&mut self.ready[start..]);
        true
    }
}

impl Clip {
    fn has_samples(&self) -> bool {
        self.played < self.came
    }

    fn duration(&self, samples: usize) -> Duration {
        self.rate.duration(samples)
    }

    /// Tells of the marks that were reached, and of all others too where they never will be.
    fn tell_marks(&mut self, goes_on: bool, change: &mut impl FnMut(ClipChange)) {
        while let Some((at, mark)) = self.marks.front().copied() {
            let played = at <= self.played;
            if goes_on && !played {
                return;
            }
            self.marks.pop_front();
            change(ClipChange::Mark { clip: self.id, mark, played });
        }
    }

    fn cut(&self) -> CutClip {
        let &Self { id, rate, played, came, rest, .. } = self;
        CutClip { clip: id, rate, played, came, complete: rest == Rest::Complete }
    }
}
