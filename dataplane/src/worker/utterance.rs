//! Keeps the caller's audio: a little of it while nobody speaks, all of it from there on when somebody does. It counts
//! samples and never judges what they are.

use std::time::Duration;

use crate::audio::{SampleRate, pcm};

/// Silence that is left at the end of an utterance: recognisers take an abrupt end badly.
const TAIL: Duration = Duration::from_millis(200);
/// An utterance's memory grows by so many samples, a second: most are a few seconds long, and doubling would keep up to
/// twice what was said.
const STEP: usize = 16_000;

/// The audio of the utterance that is being spoken, or that may begin, at 16 kHz.
pub(super) struct Capture {
    /// What was heard last while nobody spoke.
    idle: Ring,
    /// The utterance that is being spoken.
    spoken: Option<Vec<i16>>,
}

impl Capture {
    /// Keeps `before` of audio while nobody speaks: the pre-roll and what it takes to notice speech.
    pub(super) fn new(before: Duration) -> Self {
        Self { idle: Ring::new(SampleRate::Hz16000.samples(before)), spoken: None }
    }

    pub(super) fn push(&mut self, frame: &[f32]) {
        let Some(spoken) = &mut self.spoken else { return self.idle.push(frame) };
        if spoken.capacity() - spoken.len() < frame.len() {
            spoken.reserve_exact(STEP.max(frame.len()));
        }
        pcm::to_i16(frame, spoken);
    }

    /// Speech was noticed: keeps all from `before` ago on.
    pub(super) fn begin(&mut self, before: Duration) {
        let (older, newer) = self.idle.newest(SampleRate::Hz16000.samples(before));
        let mut spoken = Vec::with_capacity(older.len() + newer.len() + STEP);
        spoken.extend_from_slice(older);
        spoken.extend_from_slice(newer);
        self.spoken = Some(spoken);
        // What belongs to one utterance belongs to no other.
        self.idle.clear();
    }

    /// The newest of what is being said, at most so much of it.
    pub(super) fn peek(&self, most: Duration) -> Option<Vec<i16>> {
        let spoken = self.spoken.as_ref()?;
        Some(spoken[spoken.len().saturating_sub(SampleRate::Hz16000.samples(most))..].to_vec())
    }

    /// The speech is over and was followed by `silence`, most of which is cut away.
    pub(super) fn finish(&mut self, silence: Duration) -> Vec<i16> {
        let surplus = SampleRate::Hz16000.samples(silence.saturating_sub(TAIL));
        let mut spoken = self.spoken.take().unwrap_or_default();
        spoken.truncate(spoken.len().saturating_sub(surplus));
        spoken.shrink_to_fit();
        spoken
    }

    /// It was no speech after all.
    pub(super) fn discard(&mut self) {
        if let Some(spoken) = self.spoken.take() {
            self.idle.refill(&spoken);
        }
    }
}

/// The newest samples, as many as it has places.
struct Ring {
    samples: Box<[i16]>,
    /// Where the next sample goes.
    at: usize,
    held: usize,
}

impl Ring {
    fn new(places: usize) -> Self {
        Self { samples: vec![0; places].into(), at: 0, held: 0 }
    }

    fn push(&mut self, frame: &[f32]) {
        let mut frame = &frame[frame.len().saturating_sub(self.samples.len())..];
        self.held = (self.held + frame.len()).min(self.samples.len());
        while !frame.is_empty() {
            let free = &mut self.samples[self.at..];
            let (now, later) = frame.split_at(frame.len().min(free.len()));
            for (place, sample) in free.iter_mut().zip(now) {
                *place = pcm::quantise(*sample);
            }
            self.at = (self.at + now.len()) % self.samples.len();
            frame = later;
        }
    }

    /// The newest `wanted` samples, or as many as there are, in two pieces.
    fn newest(&self, wanted: usize) -> (&[i16], &[i16]) {
        let wanted = wanted.min(self.held);
        let newer = wanted.min(self.at);
        let older = wanted - newer;
        (&self.samples[self.samples.len() - older..], &self.samples[self.at - newer..self.at])
    }

    fn refill(&mut self, samples: &[i16]) {
        let newest = &samples[samples.len().saturating_sub(self.samples.len())..];
        self.samples[..newest.len()].copy_from_slice(newest);
        self.held = newest.len();
        self.at = newest.len() % self.samples.len().max(1);
    }

    fn clear(&mut self) {
        self.at = 0;
        self.held = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    /// Frames of 20 ms, each of one value: 1, 2, 3 and so on.
    fn frames(numbers: std::ops::RangeInclusive<i16>) -> impl Iterator<Item = [f32; 320]> {
        numbers.map(|number| [pcm::widen(number); 320])
    }

    fn numbers(pcm: &[i16]) -> Vec<(i16, usize)> {
        pcm.chunk_by(|one, other| one == other).map(|run| (run[0], run.len())).collect()
    }

    #[test]
    fn a_silent_call_keeps_a_little_and_a_speaking_one_all() {
        let mut capture = Capture::new(ms(50));
        frames(1..=1_000).for_each(|frame| capture.push(&frame));
        assert_eq!(capture.idle.samples.len(), 800);
        capture.begin(ms(50));
        frames(1_001..=1_100).for_each(|frame| capture.push(&frame));
        let pcm = capture.finish(ms(800));
        // 200 ms of the silence stay.
        assert_eq!(pcm.len(), 800 + 100 * 320 - 600 * 16);
        assert_eq!(numbers(&pcm)[..4], [(998, 160), (999, 320), (1_000, 320), (1_001, 320)]);
        assert_eq!(pcm.capacity(), pcm.len(), "no more memory goes to the backend than was said");
    }

    #[test]
    fn what_is_being_said_can_be_looked_at_and_goes_on() {
        let mut capture = Capture::new(ms(50));
        frames(1..=10).for_each(|frame| capture.push(&frame));
        assert_eq!(capture.peek(ms(1_000)), None);
        capture.begin(ms(20));
        frames(11..=13).for_each(|frame| capture.push(&frame));
        let peeked = capture.peek(ms(40)).expect("somebody speaks");
        assert_eq!(numbers(&peeked), [(12, 320), (13, 320)]);
        assert_eq!(numbers(&capture.finish(Duration::ZERO)), [(10, 320), (11, 320), (12, 320), (13, 320)]);
    }

    #[test]
    fn an_utterance_never_begins_in_the_one_before() {
        let mut capture = Capture::new(ms(100));
        frames(1..=10).for_each(|frame| capture.push(&frame));
        capture.begin(ms(20));
        frames(11..=15).for_each(|frame| capture.push(&frame));
        capture.finish(Duration::ZERO);
        frames(16..=17).for_each(|frame| capture.push(&frame));
        capture.begin(ms(100));
        assert_eq!(numbers(&capture.finish(Duration::ZERO)), [(16, 320), (17, 320)]);
    }

    #[test]
    fn what_was_no_speech_is_let_go_and_may_still_come_before_speech() {
        let mut capture = Capture::new(ms(100));
        frames(1..=3).for_each(|frame| capture.push(&frame));
        capture.begin(ms(20));
        frames(4..=500).for_each(|frame| capture.push(&frame));
        capture.discard();
        assert!(capture.spoken.is_none());
        frames(501..=502).for_each(|frame| capture.push(&frame));
        capture.begin(ms(100));
        let expected: Vec<_> = (498..=502).map(|number| (number, 320)).collect();
        assert_eq!(numbers(&capture.finish(Duration::ZERO)), expected);
    }

    #[test]
    fn a_capture_without_room_for_what_came_before_keeps_what_comes() {
        let mut capture = Capture::new(Duration::ZERO);
        frames(1..=3).for_each(|frame| capture.push(&frame));
        capture.begin(ms(40));
        frames(4..=4).for_each(|frame| capture.push(&frame));
        assert_eq!(numbers(&capture.finish(Duration::ZERO)), [(4, 320)]);
    }
}
