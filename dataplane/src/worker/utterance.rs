//! Keeps the caller's audio: a little of it while nobody speaks, all of it from there on when somebody does. It counts
//! samples and never judges what they are.

use std::time::Duration;

use crate::audio::{SampleRate, pcm};

/// Silence that is left at the end of an utterance: recognisers take an abrupt end badly.
const TAIL: Duration = Duration::from_millis(200);

/// The audio of the utterance that is being spoken, or that may begin, at 16 kHz.
pub(super) struct Capture {
    pcm: Vec<i16>,
    /// Samples kept while nobody speaks.
    idle: usize,
    speaking: bool,
}

impl Capture {
    /// Keeps `before` of audio while nobody speaks: the pre-roll and what it takes to notice speech.
    pub(super) fn new(before: Duration) -> Self {
        Self { pcm: Vec::new(), idle: SampleRate::Hz16000.samples(before), speaking: false }
    }

    pub(super) fn push(&mut self, frame: &[f32]) {
        // Moved down once for each `idle` of audio, not once a frame.
        if !self.speaking && self.pcm.len() + frame.len() > 2 * self.idle {
            let surplus = (self.pcm.len() + frame.len()).saturating_sub(self.idle).min(self.pcm.len());
            self.pcm.drain(..surplus);
        }
        pcm::to_i16(frame, &mut self.pcm);
    }

    /// Speech was noticed: keeps all from `before` ago on.
    pub(super) fn begin(&mut self, before: Duration) {
        self.speaking = true;
        let surplus = self.pcm.len().saturating_sub(SampleRate::Hz16000.samples(before));
        self.pcm.drain(..surplus);
    }

    /// The speech is over and was followed by `silence`, most of which is cut away.
    pub(super) fn finish(&mut self, silence: Duration) -> Vec<i16> {
        self.speaking = false;
        let surplus = SampleRate::Hz16000.samples(silence.saturating_sub(TAIL));
        let mut pcm = std::mem::take(&mut self.pcm);
        pcm.truncate(pcm.len().saturating_sub(surplus));
        pcm
    }

    /// It was no speech after all.
    pub(super) fn discard(&mut self) {
        self.speaking = false;
        // An utterance's worth of memory is not kept for a call that is silent.
        self.pcm = self.pcm.split_off(self.pcm.len().saturating_sub(self.idle));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: [f32; 320] = [0.25; 320];

    #[test]
    fn a_silent_call_keeps_a_little_and_a_speaking_one_all() {
        let mut capture = Capture::new(Duration::from_millis(400));
        for _ in 0..1_000 {
            capture.push(&FRAME);
            assert!(capture.pcm.len() <= 2 * 6_400);
        }
        capture.begin(Duration::from_millis(400));
        assert_eq!(capture.pcm.len(), 6_400);
        for _ in 0..100 {
            capture.push(&FRAME);
        }
        let pcm = capture.finish(Duration::from_millis(800));
        assert_eq!(pcm.len(), 6_400 + 100 * 320 - 600 * 16, "200 ms of the silence stay");
        assert!(capture.pcm.is_empty());
    }

    #[test]
    fn what_was_no_speech_is_let_go() {
        let mut capture = Capture::new(Duration::from_millis(400));
        capture.begin(Duration::from_millis(400));
        for _ in 0..500 {
            capture.push(&FRAME);
        }
        capture.discard();
        assert_eq!(capture.pcm.len(), 6_400);
        assert!(capture.pcm.capacity() <= 2 * 6_400);
    }
}
