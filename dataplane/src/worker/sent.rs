//! How loud what is sent is, in frames as long as the voice detector's. It measures and decides nothing.

use std::time::Duration;

use crate::audio::{SampleRate, pcm};

/// Gathers what is sent, packet by packet, into frames.
pub(super) struct SentLevels {
    /// Samples of a frame, at the leg's rate.
    frame: usize,
    filled: usize,
    energy: f32,
}

impl SentLevels {
    pub(super) fn new(leg: SampleRate, frame: Duration) -> Self {
        Self { frame: leg.samples(frame), filled: 0, energy: 0.0 }
    }

    /// Takes what was sent next and gives the level, in dBFS, of each frame that it completes.
    pub(super) fn push(&mut self, mut samples: &[f32], mut on_frame: impl FnMut(f32)) {
        while !samples.is_empty() {
            let (part, rest) = samples.split_at(samples.len().min(self.frame - self.filled));
            self.energy += pcm::dot(part, part);
            self.filled += part.len();
            samples = rest;
            if self.filled == self.frame {
                on_frame(pcm::mean_square_dbfs(self.energy / self.frame as f32));
                (self.filled, self.energy) = (0, 0.0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_of_any_length_become_frames_of_one_length() {
        for (rate, packet) in [(SampleRate::Hz8000, 80), (SampleRate::Hz8000, 160), (SampleRate::Hz16000, 960)] {
            let mut levels = SentLevels::new(rate, Duration::from_millis(16));
            let mut heard = Vec::new();
            for _ in 0..rate.samples(Duration::from_millis(480)) / packet {
                levels.push(&vec![0.1; packet], |dbfs| heard.push(dbfs));
            }
            assert_eq!(heard.len(), 30);
            assert!(heard.iter().all(|dbfs| (dbfs + 20.0).abs() < 0.01), "{heard:?}");
        }
    }

    #[test]
    fn silence_is_as_the_voice_detector_names_it() {
        let mut levels = SentLevels::new(SampleRate::Hz8000, Duration::from_millis(16));
        levels.push(&[0.0; 128], |dbfs| assert_eq!(dbfs, -120.0));
    }
}
