//! Brings what was heard and what was said at the same time together, for the recording: both at 16 kHz, in pieces of
//! equal length. It keeps at most a moment of either.

use std::time::Duration;

use crate::audio::{Resampler, SampleRate, pcm};

/// Samples of one side that may wait for the other: a second. Only a stream whose one direction has stopped gets there.
const MOST_WAITING: usize = 16_000;
/// The longest standstill that is made up for with silence, so that sound and marks stay together.
const LONGEST_SILENCE: Duration = Duration::from_secs(30);
/// Samples of a piece: 100 ms, so that a recording costs ten messages a second.
const PIECE: usize = 1_600;

/// The two sides of one stream.
pub(super) struct Pairing {
    caller: Vec<i16>,
    agent: Vec<i16>,
    /// Samples that may wait beyond [`MOST_WAITING`], because a standstill was made up for.
    silence: usize,
    to_engine: Resampler,
    scratch: Vec<f32>,
}

impl Pairing {
    pub(super) fn new(leg: SampleRate) -> Self {
        Self {
            caller: Vec::new(),
            agent: Vec::new(),
            silence: 0,
            to_engine: Resampler::new(leg, SampleRate::Hz16000),
            scratch: Vec::new(),
        }
    }

    /// The caller's next samples, at 16 kHz.
    pub(super) fn heard(&mut self, frame: &[f32]) {
        pcm::to_i16(frame, &mut self.caller);
        keep_newest(&mut self.caller, self.silence);
    }

    /// The agent's next samples, at the leg's rate.
    pub(super) fn said(&mut self, frame: &[f32]) {
        self.scratch.clear();
        self.to_engine.process(frame, &mut self.scratch);
        pcm::to_i16(&self.scratch, &mut self.agent);
        keep_newest(&mut self.agent, self.silence);
    }

    /// The caller was not listened to for so long: the worker stood still. It did not speak either, so as much of
    /// [`Self::said_nothing`] follows before the next piece is taken.
    pub(super) fn heard_nothing(&mut self, time: Duration) {
        self.silence = add_silence(&mut self.caller, time);
    }

    /// Nothing was said to the caller for so long, for the same reason.
    pub(super) fn said_nothing(&mut self, time: Duration) {
        self.silence = self.silence.max(add_silence(&mut self.agent, time));
    }

    /// The next piece of both, caller first, once there is enough.
    pub(super) fn next(&mut self) -> Option<(Vec<i16>, Vec<i16>)> {
        if self.caller.len().min(self.agent.len()) < PIECE {
            self.silence = 0;
            return None;
        }
        Some((self.caller.drain(..PIECE).collect(), self.agent.drain(..PIECE).collect()))
    }
}

fn add_silence(side: &mut Vec<i16>, time: Duration) -> usize {
    let samples = SampleRate::Hz16000.samples(time.min(LONGEST_SILENCE));
    side.resize(side.len() + samples, 0);
    samples
}

fn keep_newest(side: &mut Vec<i16>, beyond: usize) {
    let surplus = side.len().saturating_sub(MOST_WAITING + beyond);
    side.drain(..surplus);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_come_out_in_pieces_of_equal_length() {
        let mut pairing = Pairing::new(SampleRate::Hz8000);
        for _ in 0..10 {
            pairing.heard(&[0.5; 320]);
            pairing.said(&[0.25; 160]);
        }
        let mut pieces = 0;
        while let Some((caller, agent)) = pairing.next() {
            assert_eq!((caller.len(), agent.len()), (PIECE, PIECE));
            pieces += 1;
        }
        assert_eq!(pieces, 2);
    }

    #[test]
    fn a_standstill_is_as_long_in_the_recording_as_it_was() {
        let mut pairing = Pairing::new(SampleRate::Hz16000);
        let mut recorded = (Vec::new(), Vec::new());
        for at in 0..100 {
            pairing.heard(&[0.5; 320]);
            if at == 50 {
                pairing.heard_nothing(Duration::from_secs(5));
                pairing.said_nothing(Duration::from_secs(5));
            }
            pairing.said(&[0.25; 320]);
            while let Some((caller, agent)) = pairing.next() {
                recorded.0.extend(caller);
                recorded.1.extend(agent);
            }
        }
        let second = 16_000;
        for side in [&recorded.0, &recorded.1] {
            assert_eq!(side.len(), 7 * second);
            let silence = side.iter().filter(|sample| **sample == 0).count();
            assert!(silence.abs_diff(5 * second) < 100, "{silence}");
            assert!(side[5 * second / 2] == 0 && side[13 * second / 2] != 0);
        }
    }

    #[test]
    fn a_side_whose_other_has_stopped_does_not_grow() {
        let mut pairing = Pairing::new(SampleRate::Hz16000);
        for _ in 0..1_000 {
            pairing.heard(&[0.5; 320]);
        }
        assert_eq!(pairing.caller.len(), MOST_WAITING);
        assert!(pairing.next().is_none());
    }
}
