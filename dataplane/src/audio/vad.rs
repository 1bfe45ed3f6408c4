//! Voice activity: whether each 16 ms are the voice of the caller at this phone. A high-pass takes away what no voice is made of, an
//! energy gate spares the network whatever is no louder than an idle line, tones are told before it is asked, and what is far weaker
//! than the caller's own voice is the room's. Never decides where an utterance begins or ends: that is endpointing's.

mod floor;
mod high_pass;
mod near;
mod network;
mod tone;

use std::fmt;

use self::floor::NoiseFloor;
use self::high_pass::HighPass;
use self::near::Near;
use self::network::Network;
use self::tone::Tones;
use super::pcm;

/// Samples in a frame: 16 ms at 16 kHz, which is what the network was trained on.
const FRAME: usize = 256;
/// Frames for which the gate stays open after the last loud one, 256 ms: weak ends of words, gaps of plosives. Then the network forgets.
const HANGOVER: u8 = 16;

/// Thresholds of the [`VoiceDetector`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VoiceSettings {
    /// From this score on, 0 to 1, a frame begins voice.
    pub on: f32,
    /// Below this score voice ends. Not above `on`.
    pub off: f32,
    /// Frames quieter than this are never voice, nor shown to the network. Above idle A-law (-72 dBFS), below the weak sounds of the
    /// weakest speech on a telephone (some -45 dBFS).
    pub gate_dbfs: f32,
}

impl Default for VoiceSettings {
    /// 0.8 on, 0.5 off; -66 dBFS.
    fn default() -> Self {
        Self { on: 0.8, off: 0.5, gate_dbfs: -66.0 }
    }
}

/// The verdict on 16 ms.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VoiceFrame {
    /// How sure the network is of the caller's voice, 0 to 1; 0 where the gate was shut.
    pub score: f32,
    /// The level above 100 Hz in dBFS; -120 for digital silence.
    pub energy_dbfs: f32,
    /// Whether this is voice, with hysteresis.
    pub voiced: bool,
}

/// Follows one stream. About 3 KiB, on the heap.
pub struct VoiceDetector {
    settings: VoiceSettings,
    state: Box<State>,
}

struct State {
    network: Network,
    high_pass: HighPass,
    /// The frame that fills up.
    frame: [f32; FRAME],
    filled: usize,
    floor: NoiseFloor,
    near: Near,
    tones: Tones,
    open_for: u8,
    voiced: bool,
    skipped: u64,
    total: u64,
}

impl fmt::Debug for VoiceDetector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VoiceDetector")
            .field("floor_dbfs", &self.state.floor.dbfs())
            .field("voiced", &self.state.voiced)
            .field("skipped", &self.state.skipped)
            .field("total", &self.state.total)
            .finish_non_exhaustive()
    }
}

impl VoiceDetector {
    /// A detector that has heard nothing.
    #[must_use]
    pub fn new(settings: VoiceSettings) -> Self {
        Self { settings, state: Box::new(State::new(&settings)) }
    }

    /// Takes the next samples at 16 kHz, any number, and calls `on_frame` for each 16 ms that they complete.
    pub fn push(&mut self, mut pcm_16k: &[f32], mut on_frame: impl FnMut(VoiceFrame)) {
        let state = &mut *self.state;
        while !pcm_16k.is_empty() {
            let (part, rest) = pcm_16k.split_at(pcm_16k.len().min(FRAME - state.filled));
            let to = state.filled..state.filled + part.len();
            state.high_pass.process(part, &mut state.frame[to]);
            state.filled += part.len();
            pcm_16k = rest;
            if state.filled == FRAME {
                state.filled = 0;
                on_frame(state.judge(&self.settings));
            }
        }
    }

    /// Whether the latest frame was voice.
    #[must_use]
    pub const fn is_voiced(&self) -> bool {
        self.state.voiced
    }

    /// How many frames were kept from the network, and how many there were.
    #[must_use]
    pub const fn skipped_of(&self) -> (u64, u64) {
        (self.state.skipped, self.state.total)
    }

    /// Forgets everything but the settings, as if new.
    pub fn reset(&mut self) {
        *self.state = State::new(&self.settings);
    }
}

impl State {
    fn new(settings: &VoiceSettings) -> Self {
        Self {
            network: Network::new(),
            high_pass: HighPass::default(),
            frame: [0.0; FRAME],
            filled: 0,
            floor: NoiseFloor::new(settings.gate_dbfs),
            near: Near::default(),
            tones: Tones::default(),
            open_for: 0,
            voiced: false,
            skipped: 0,
            total: 0,
        }
    }

    /// Judges the frame that has just been filled, and begins the next.
    fn judge(&mut self, settings: &VoiceSettings) -> VoiceFrame {
        self.total += 1;
        let frame = &self.frame;
        let energy_dbfs = pcm::mean_square_dbfs(pcm::dot(frame, frame) / FRAME as f32);
        let idle = energy_dbfs < settings.gate_dbfs;
        self.open_for = match idle || self.floor.is_only_noise(energy_dbfs) {
            true => self.open_for.saturating_sub(1),
            false => HANGOVER,
        };
        let score = if self.open_for > 0 {
            self.network.score(frame)
        } else {
            self.skipped += 1;
            // What it knows of a noise holds when something stands out of it.
            if idle {
                self.network.reset();
            }
            0.0
        };
        let likely = score >= if self.voiced { settings.off } else { settings.on };
        let tone = self.tones.hears(frame, likely);
        let near = self.near.follow(energy_dbfs, self.floor.dbfs(), likely && !tone);
        self.voiced = likely && !tone && near;
        self.floor.follow(energy_dbfs, self.voiced);
        VoiceFrame { score, energy_dbfs, voiced: self.voiced }
    }
}

#[cfg(test)]
mod tests;
