//! Voice activity: whether each 16 ms of the caller are speech. A high-pass takes away what no voice is made of, an energy
//! gate spares the neural network (`earshot`) whatever is no louder than the line's own noise, and a voice that goes on is
//! only looked at now and then. Never decides where an utterance begins or ends: that is endpointing's.

mod floor;
mod high_pass;

use std::fmt;

use earshot::Detector;

use self::floor::NoiseFloor;
use self::high_pass::HighPass;
use super::pcm;

/// Samples in a frame: 16 ms at 16 kHz, which is what the network was trained on.
const FRAME: usize = 256;
/// The network sees three frames at once. When it is asked again it is shown the two that it missed, so that it does not
/// take the splice for an onset.
const MISSED: usize = 2;
/// Frames for which the gate stays open after the last loud one, 128 ms: weak ends of words, gaps of plosives.
const HANGOVER: u8 = 8;
/// Voiced frames in a row, 128 ms, after which a voice is taken to go on. More than confirms a beginning or an
/// interruption.
const STEADY: u8 = 8;
/// Frames, 128 ms, for which a voice that goes on, as loud as it was, is not looked at.
const COAST: u8 = 8;
/// So far below the voice's level it may be ending, and is looked at.
const ENDING_DB: f32 = 12.0;
/// The share of the way to a louder and to a softer frame's level that the voice's level goes at once: it stays near the
/// loud sounds of the latest syllables.
const LEVEL_RISE: f32 = 0.5;
const LEVEL_FALL: f32 = 0.02;

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
    /// How sure the network is of voice, 0 to 1; 0 where the gate was shut, and what it last was where a voice goes on.
    pub score: f32,
    /// The level above 100 Hz in dBFS; -120 for digital silence.
    pub energy_dbfs: f32,
    /// Whether this is voice, with hysteresis.
    pub voiced: bool,
}

/// Follows one stream. About 11 KiB, on the heap.
pub struct VoiceDetector {
    settings: VoiceSettings,
    network: Box<Detector>,
    high_pass: HighPass,
    /// The frame that fills up and the frames before it, in turn.
    frames: Box<[[f32; FRAME]; MISSED + 1]>,
    current: usize,
    filled: usize,
    /// How many frames before the current one are still to be shown to the network.
    missed: usize,
    floor: NoiseFloor,
    open_for: u8,
    voiced: bool,
    score: f32,
    /// Level of the voice that is being heard.
    voice_dbfs: f32,
    /// Frames in a row that the network called voice, and frames since that it was not asked about.
    steady: u8,
    coasted: u8,
    skipped: u64,
    total: u64,
}

impl fmt::Debug for VoiceDetector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VoiceDetector")
            .field("floor_dbfs", &self.floor.dbfs())
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
            high_pass: HighPass::default(),
            frames: Box::new([[0.0; FRAME]; MISSED + 1]),
            current: 0,
            filled: 0,
            missed: 0,
            floor: NoiseFloor::new(settings.gate_dbfs),
            open_for: 0,
            voiced: false,
            score: 0.0,
            voice_dbfs: settings.gate_dbfs,
            steady: 0,
            coasted: 0,
            skipped: 0,
            total: 0,
        }
    }

    /// Takes the next samples at 16 kHz, any number, and calls `on_frame` for each 16 ms that they complete.
    pub fn push(&mut self, mut pcm_16k: &[f32], mut on_frame: impl FnMut(VoiceFrame)) {
        while !pcm_16k.is_empty() {
            let (part, rest) = pcm_16k.split_at(pcm_16k.len().min(FRAME - self.filled));
            self.high_pass.process(part, &mut self.frames[self.current][self.filled..self.filled + part.len()]);
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

    /// How many frames were kept from the network, and how many there were.
    #[must_use]
    pub const fn skipped_of(&self) -> (u64, u64) {
        (self.skipped, self.total)
    }

    /// Forgets everything but the settings, as if new.
    pub fn reset(&mut self) {
        *self = Self::new(self.settings);
    }

    fn judge(&mut self) -> VoiceFrame {
        self.total += 1;
        let frame = &self.frames[self.current];
        let energy_dbfs = pcm::mean_square_dbfs(pcm::dot(frame, frame) / FRAME as f32);
        let loud = energy_dbfs >= self.settings.gate_dbfs.max(self.floor.dbfs() + self.settings.gate_margin_db);
        self.open_for = if loud { HANGOVER } else { self.open_for.saturating_sub(1) };
        if self.open_for == 0 {
            self.skip();
            self.score = 0.0;
            self.steady = 0;
        } else if self.goes_on(energy_dbfs) {
            self.skip();
            self.coasted += 1;
        } else {
            self.score = self.ask();
            self.coasted = 0;
        }
        self.voiced = self.score >= if self.voiced { self.settings.off } else { self.settings.on };
        self.follow(energy_dbfs);
        self.floor.follow(energy_dbfs, self.voiced);
        VoiceFrame { score: self.score, energy_dbfs, voiced: self.voiced }
    }

    /// Whether what was voice is taken to be so still, unseen.
    fn goes_on(&self, energy_dbfs: f32) -> bool {
        self.steady >= STEADY && self.coasted < COAST && energy_dbfs >= self.voice_dbfs - ENDING_DB
    }

    fn follow(&mut self, energy_dbfs: f32) {
        if !self.voiced {
            self.steady = 0;
            return;
        }
        if self.steady == 0 {
            self.voice_dbfs = energy_dbfs;
        }
        self.steady = self.steady.saturating_add(1);
        let share = if energy_dbfs > self.voice_dbfs { LEVEL_RISE } else { LEVEL_FALL };
        self.voice_dbfs += (energy_dbfs - self.voice_dbfs) * share;
    }

    /// Shows the network the current frame and those before it that it missed.
    fn ask(&mut self) -> f32 {
        let first = self.current + self.frames.len() - self.missed;
        let shown = (first..=self.current + self.frames.len()).map(|at| &self.frames[at % (MISSED + 1)]);
        let score = shown.fold(0.0, |_, frame| self.network.predict_f32(frame));
        self.missed = 0;
        score
    }

    fn skip(&mut self) {
        self.skipped += 1;
        self.missed = (self.missed + 1).min(MISSED);
        self.current = (self.current + 1) % self.frames.len();
    }
}

#[cfg(test)]
mod tests;
