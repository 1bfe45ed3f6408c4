//! Brings the speech of backends to one level, whatever voice or engine speaks, and keeps peaks below full scale. Delays
//! nothing and never looks ahead; slow enough that no breath is heard swelling.

use super::{SampleRate, pcm};
use std::time::Duration;

/// The block over which a level is measured and the gain moves in a straight line.
const BLOCK: Duration = Duration::from_millis(10);
/// Blocks quieter than this do not count as speech: pauses and breath must not pull the gain up.
const GATE_DBFS: f32 = -50.0;
/// So far below the running level, a block is a pause too, or the noise of the recording.
const GATE_BELOW_SPEECH_DB: f32 = 20.0;
/// Speech that the level estimate remembers.
const MEMORY: Duration = Duration::from_secs(3);
/// Speech that is heard before the gain moves at all: one loud vowel is not a level.
const PATIENCE: Duration = Duration::from_millis(200);
/// How fast the gain moves up, and down. Slower than syllables by far.
const RISE_DB_PER_SECOND: f32 = 6.0;
const FALL_DB_PER_SECOND: f32 = 20.0;
/// The time in which the limiter lets go.
const RELEASE: Duration = Duration::from_millis(80);

/// What to aim at.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LoudnessSettings {
    /// The level that speech shall have while it sounds, in dBFS of its root mean square.
    pub target_dbfs: f32,
    /// The largest amplification and the largest attenuation, in dB.
    pub max_gain_db: f32,
    /// Where the limiter holds peaks, in dBFS.
    pub ceiling_dbfs: f32,
}

impl Default for LoudnessSettings {
    /// -20 dBFS, ±12 dB, peaks at -1 dBFS.
    fn default() -> Self {
        Self { target_dbfs: -20.0, max_gain_db: 12.0, ceiling_dbfs: -1.0 }
    }
}

/// The level control of one speaker. Keep one for a whole call: what it learnt from one reply serves the next.
#[derive(Debug, Clone)]
pub struct Loudness {
    settings: LoudnessSettings,
    ceiling: f32,
    block: usize,
    filled: usize,
    energy: f32,
    /// Mean square of the speech so far, over at most [`MEMORY`], and how many blocks it is the mean of.
    speech_power: f32,
    speech_blocks: f32,
    gain_db: f32,
    /// The gain now, and what is added to it each sample until the block ends.
    gain: f32,
    slope: f32,
    /// The limiter's own gain, and what remains of its reduction after a sample.
    limit: f32,
    release: f32,
}

impl Loudness {
    /// A level control for a stream of `rate`, which begins at unity gain.
    #[must_use]
    pub fn new(rate: SampleRate, settings: LoudnessSettings) -> Self {
        Self {
            settings,
            ceiling: pcm::amplitude(settings.ceiling_dbfs),
            block: rate.samples(BLOCK),
            filled: 0,
            energy: 0.0,
            speech_power: 0.0,
            speech_blocks: 0.0,
            gain_db: 0.0,
            gain: 1.0,
            slope: 0.0,
            limit: 1.0,
            release: (-1.0 / rate.samples(RELEASE) as f32).exp(),
        }
    }

    /// The gain that is applied now, in dB, without the limiter's part.
    #[must_use]
    pub const fn gain_db(&self) -> f32 {
        self.gain_db
    }

    /// Levels the next samples of the stream, in place. No sample that comes out is beyond the ceiling.
    pub fn process(&mut self, mut samples: &mut [f32]) {
        while !samples.is_empty() {
            let length = samples.len().min(self.block - self.filled);
            let (part, rest) = samples.split_at_mut(length);
            let (energy, peak) = pcm::energy_and_peak(part);
            self.energy += energy;
            self.apply(part, peak);
            self.filled += length;
            if self.filled == self.block {
                self.close_block();
            }
            samples = rest;
        }
    }

    fn apply(&mut self, part: &mut [f32], peak: f32) {
        let largest_gain = self.gain.max(self.gain + self.slope * part.len() as f32);
        if self.limit == 1.0 && peak * largest_gain <= self.ceiling {
            // Each gain from where the part began, not from the gain before it: none waits for another.
            let (gain, slope) = (self.gain, self.slope);
            self.gain += slope * part.len() as f32;
            for (place, sample) in part.iter_mut().enumerate() {
                *sample *= gain + slope * (place as i32 + 1) as f32;
            }
            return;
        }
        for sample in part {
            self.gain += self.slope;
            let levelled = *sample * self.gain;
            self.limit = 1.0 - (1.0 - self.limit) * self.release;
            if levelled.abs() * self.limit > self.ceiling {
                // At once, since nothing is held back to prepare for it.
                self.limit = self.ceiling / levelled.abs();
            }
            // Rounding and NaN end here too.
            *sample = (levelled * self.limit).max(-self.ceiling).min(self.ceiling);
        }
        if self.limit > 0.999 {
            self.limit = 1.0;
        }
    }

    fn close_block(&mut self) {
        let power = self.energy / self.block as f32;
        self.filled = 0;
        self.energy = 0.0;
        self.gain = pcm::amplitude(self.gain_db);
        self.slope = 0.0;

        let level = pcm::mean_square_dbfs(power);
        let pause = self.speech_blocks > 0.0 && level < pcm::mean_square_dbfs(self.speech_power) - GATE_BELOW_SPEECH_DB;
        if level < GATE_DBFS || pause || !power.is_finite() {
            return;
        }
        // A plain mean at first, so that the level is known soon; a leaky one later, so that it can change.
        self.speech_blocks = (self.speech_blocks + 1.0).min(blocks(MEMORY));
        self.speech_power += (power - self.speech_power) / self.speech_blocks;
        if self.speech_blocks < blocks(PATIENCE) {
            return;
        }
        let wanted = (self.settings.target_dbfs - pcm::mean_square_dbfs(self.speech_power))
            .clamp(-self.settings.max_gain_db, self.settings.max_gain_db);
        let seconds = BLOCK.as_secs_f32();
        self.gain_db += (wanted - self.gain_db).clamp(-FALL_DB_PER_SECOND * seconds, RISE_DB_PER_SECOND * seconds);
        self.slope = (pcm::amplitude(self.gain_db) - self.gain) / self.block as f32;
    }
}

const fn blocks(duration: Duration) -> f32 {
    (duration.as_millis() / BLOCK.as_millis()) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: SampleRate = SampleRate::Hz16000;

    /// Syllables of 200 ms with pauses of 100 ms, at `dbfs` while they sound.
    fn speech(dbfs: f32, seconds: usize) -> Vec<f32> {
        let amplitude = pcm::amplitude(dbfs) * 2.0_f32.sqrt();
        (0..16_000 * seconds).map(|n| if n % 4800 < 3200 { amplitude * (n as f32 * 0.1).sin() } else { 0.0 }).collect()
    }

    /// The level of the syllables in the last second.
    fn level_dbfs(samples: &[f32]) -> f32 {
        let end = &samples[samples.len() - 16_000..];
        let sounding: Vec<f32> = end.iter().copied().filter(|sample| *sample != 0.0).collect();
        pcm::mean_square_dbfs(sounding.iter().map(|sample| sample * sample).sum::<f32>() / sounding.len() as f32)
    }

    fn levelled(dbfs: f32) -> Vec<f32> {
        let mut samples = speech(dbfs, 6);
        let mut loudness = Loudness::new(RATE, LoudnessSettings::default());
        samples.chunks_mut(320).for_each(|block| loudness.process(block));
        samples
    }

    #[test]
    fn quiet_and_loud_speakers_end_at_the_same_level() {
        for dbfs in [-30.0, -24.0, -20.0, -14.0, -10.0] {
            let level = level_dbfs(&levelled(dbfs));
            assert!((level + 20.0).abs() < 1.0, "{dbfs} dBFS became {level} dBFS");
        }
    }

    #[test]
    fn a_whisper_gets_no_more_than_the_largest_gain() {
        let level = level_dbfs(&levelled(-45.0));
        assert!((level + 33.0).abs() < 1.0, "{level} dBFS");
    }

    #[test]
    fn pauses_do_not_pump() {
        let mut loudness = Loudness::new(RATE, LoudnessSettings::default());
        loudness.process(&mut speech(-26.0, 6));
        let before = loudness.gain_db();
        // Two seconds of the recording's own noise.
        let mut noise: Vec<f32> = (0..32_000).map(|n| 0.001 * (n as f32 * 1.7).sin()).collect();
        loudness.process(&mut noise);
        assert_eq!(loudness.gain_db(), before);
        // Within the rhythm of speech the gain stands still, too.
        let mut gains = Vec::new();
        for block in speech(-26.0, 3).chunks_mut(160) {
            loudness.process(block);
            gains.push(loudness.gain_db());
        }
        let (low, high) =
            gains.iter().fold((f32::MAX, f32::MIN), |(low, high), gain| (low.min(*gain), high.max(*gain)));
        assert!(high - low < 0.3, "{low}..{high} dB");
    }

    #[test]
    fn no_peak_passes_the_ceiling() {
        let settings = LoudnessSettings::default();
        let mut loudness = Loudness::new(RATE, settings);
        loudness.process(&mut speech(-32.0, 6));
        assert!(loudness.gain_db() > 10.0);
        let mut shout = speech(-3.0, 1);
        shout.extend([f32::INFINITY, f32::NAN, -1.0]);
        loudness.process(&mut shout);
        let ceiling = pcm::amplitude(settings.ceiling_dbfs);
        assert!(shout.iter().all(|sample| sample.abs() <= ceiling));
    }

    #[test]
    fn the_gain_never_jumps() {
        let mut samples: Vec<f32> = vec![0.05; 48_000];
        let mut loudness = Loudness::new(RATE, LoudnessSettings::default());
        samples.chunks_mut(111).for_each(|block| loudness.process(block));
        assert!(samples.windows(2).all(|pair| (pair[1] - pair[0]).abs() < 1e-4));
    }

    #[test]
    fn speech_at_the_target_passes_untouched() {
        let before = speech(-20.0, 3);
        let mut after = before.clone();
        Loudness::new(RATE, LoudnessSettings::default()).process(&mut after);
        let worst = before.iter().zip(&after).fold(0.0_f32, |worst, (a, b)| worst.max((a - b).abs()));
        assert!(worst < 0.02, "{worst}");
    }
}
