//! Voice activity: whether each 16 ms of the caller are speech. An energy gate in front spares the neural network
//! (`earshot`) whatever is no louder than the line's own noise. Never decides where an utterance begins or ends: that is
//! endpointing's.

use std::fmt;

use earshot::Detector;

use super::pcm;

/// Samples in a frame: 16 ms at 16 kHz, which is what the network was trained on.
const FRAME: usize = 256;
/// The network sees three frames at once. When the gate opens it is shown the two that it missed, so that it does not
/// take the splice for an onset.
const MISSED: usize = 2;
/// Frames for which the gate stays open after the last loud one, 128 ms: weak ends of words, gaps of plosives.
const HANGOVER: u8 = 8;
/// The noise floor is never taken to be above this, so that a loud steady noise cannot shut the gate on speech.
const HIGHEST_FLOOR_DBFS: f32 = -35.0;
/// The share of the way to a quieter frame's level that the floor goes at once.
const FLOOR_FALL: f32 = 0.2;
/// The share of the way to a louder one's, if the network calls it no voice: 300 ms to learn a new noise.
const FLOOR_RISE: f32 = 0.05;

/// Thresholds of the [`VoiceDetector`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VoiceSettings {
    /// From this score on, 0 to 1, a frame begins voice.
    pub on: f32,
    /// Below this score voice ends. Not above `on`.
    pub off: f32,
    /// Frames quieter than this are never voice. Above idle A-law (-72 dBFS) and most comfort noise, below the weakest
    /// speech on a telephone (some -45 dBFS).
    pub gate_dbfs: f32,
    /// Nor are frames that are not at least so many dB above the line's own noise.
    pub gate_margin_db: f32,
}

impl Default for VoiceSettings {
    /// 0.5 on, 0.35 off; -60 dBFS, 4 dB.
    fn default() -> Self {
        Self { on: 0.5, off: 0.35, gate_dbfs: -60.0, gate_margin_db: 4.0 }
    }
}

/// The verdict on 16 ms.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VoiceFrame {
    /// How sure the network is of voice, 0 to 1; 0 where the gate was shut.
    pub score: f32,
    /// The level, without any constant offset, in dBFS; -120 for digital silence.
    pub energy_dbfs: f32,
    /// Whether this is voice, with hysteresis.
    pub voiced: bool,
}

/// Follows one stream. About 11 KiB, on the heap.
pub struct VoiceDetector {
    settings: VoiceSettings,
    network: Box<Detector>,
    /// The frame that fills up, after the frames that the network missed, the oldest first.
    frames: Box<[f32; (MISSED + 1) * FRAME]>,
    filled: usize,
    /// How many of the missed frames are still to be shown.
    missed: usize,
    floor_dbfs: f32,
    open_for: u8,
    voiced: bool,
    skipped: u64,
    total: u64,
}

impl fmt::Debug for VoiceDetector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VoiceDetector")
            .field("floor_dbfs", &self.floor_dbfs)
            .field("voiced", &self.voiced)
            .field("skipped", &self.skipped)
            .field("total", &self.total)
            .finish_non_exhaustive()
    }
}

impl VoiceDetector {
    /// A detector that has heard nothing.
    #[must_use]
    pub fn new(settings: VoiceSettings) -> Self {
        Self {
            settings,
            network: Detector::default_boxed(),
            frames: Box::new([0.0; (MISSED + 1) * FRAME]),
            filled: 0,
            missed: 0,
            floor_dbfs: settings.gate_dbfs,
            open_for: 0,
            voiced: false,
            skipped: 0,
            total: 0,
        }
    }

    /// Takes the next samples at 16 kHz, any number, and calls `on_frame` for each 16 ms that they complete.
    pub fn push(&mut self, mut pcm_16k: &[f32], mut on_frame: impl FnMut(VoiceFrame)) {
        while !pcm_16k.is_empty() {
            let (part, rest) = pcm_16k.split_at(pcm_16k.len().min(FRAME - self.filled));
            let start = MISSED * FRAME + self.filled;
            for (kept, sample) in self.frames[start..start + part.len()].iter_mut().zip(part) {
                // The network insists on [-1, 1]; a resampler may ring beyond.
                *kept = if sample.is_nan() { 0.0 } else { sample.clamp(-1.0, 1.0) };
            }
            self.filled += part.len();
            pcm_16k = rest;
            if self.filled == FRAME {
                self.filled = 0;
                on_frame(self.judge());
            }
        }
    }

    /// Whether the latest frame was voice.
    #[must_use]
    pub const fn is_voiced(&self) -> bool {
        self.voiced
    }

    /// How many frames the gate kept from the network, and how many there were.
    #[must_use]
    pub const fn skipped_of(&self) -> (u64, u64) {
        (self.skipped, self.total)
    }

    /// Forgets everything but the settings, as if new.
    pub fn reset(&mut self) {
        self.network.reset();
        self.frames.fill(0.0);
        self.filled = 0;
        self.missed = 0;
        self.floor_dbfs = self.settings.gate_dbfs;
        self.open_for = 0;
        self.voiced = false;
        self.skipped = 0;
        self.total = 0;
    }

    fn judge(&mut self) -> VoiceFrame {
        self.total += 1;
        let energy_dbfs = level_dbfs(&self.frames[MISSED * FRAME..]);
        let loud = energy_dbfs >= self.settings.gate_dbfs.max(self.floor_dbfs + self.settings.gate_margin_db);
        self.open_for = if loud { HANGOVER } else { self.open_for.saturating_sub(1) };
        let score = if self.open_for > 0 { self.ask() } else { self.skip() };
        self.voiced = score >= if self.voiced { self.settings.off } else { self.settings.on };

        let step = if energy_dbfs < self.floor_dbfs {
            FLOOR_FALL
        } else if self.voiced {
            0.0
        } else {
            FLOOR_RISE
        };
        self.floor_dbfs += (energy_dbfs - self.floor_dbfs) * step;
        self.floor_dbfs = self.floor_dbfs.min(HIGHEST_FLOOR_DBFS);
        VoiceFrame { score, energy_dbfs, voiced: self.voiced }
    }

    fn ask(&mut self) -> f32 {
        let first = MISSED - self.missed;
        self.missed = 0;
        self.frames[first * FRAME..].chunks_exact(FRAME).fold(0.0, |_, frame| self.network.predict_f32(frame))
    }

    fn skip(&mut self) -> f32 {
        self.skipped += 1;
        self.missed = (self.missed + 1).min(MISSED);
        self.frames.copy_within(FRAME.., 0);
        0.0
    }
}

/// The level of a frame around its own mean: some gateways send a constant offset, which is no sound.
fn level_dbfs(frame: &[f32]) -> f32 {
    let (sum, squares) = frame.as_chunks::<8>().0.iter().fold(([0.0_f32; 8], [0.0_f32; 8]), |(mut s, mut q), chunk| {
        for lane in 0..8 {
            s[lane] += chunk[lane];
            q[lane] += chunk[lane] * chunk[lane];
        }
        (s, q)
    });
    let mean = sum.iter().sum::<f32>() / FRAME as f32;
    pcm::mean_square_dbfs(squares.iter().sum::<f32>() / FRAME as f32 - mean * mean)
}

#[cfg(test)]
mod tests;
