//! Comfort noise (RFC 3389): the noise that the far end wants to be heard while it sends nothing. Only the level of a
//! silence descriptor is used; its spectrum (reflection coefficients) is not, since what the noise goes to is a voice
//! detector and a record, not an ear.

use super::pcm;

/// The loudest noise that is made, in dB below overload: a descriptor that asks for more is broken or hostile.
const LOUDEST: u8 = 30;
/// From this level on, 16-bit samples hold nothing but zeros.
const INAUDIBLE: u8 = 96;

/// A generator of white noise at the level that silence descriptors set; silent until the first one.
///
/// The same seed and the same calls give the same samples.
#[derive(Debug, Clone)]
pub struct ComfortNoise {
    state: u64,
    amplitude: f32,
    target: f32,
}

impl ComfortNoise {
    /// A silent generator. Different calls should have different seeds.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        // Zero is the one state that the generator never leaves.
        Self { state: seed | 1, amplitude: 0.0, target: 0.0 }
    }

    /// Takes the payload of a silence descriptor: its first octet is the noise level, 0 to 127 dB below overload
    /// (RFC 3389 §3.1). An empty payload changes nothing.
    pub fn update(&mut self, payload: &[u8]) {
        let Some(level) = payload.first() else { return };
        let level = (level & 0x7f).max(LOUDEST);
        // Of uniform noise in [-a, a] the root mean square is a / √3.
        self.target = if level >= INAUDIBLE { 0.0 } else { pcm::amplitude(-f32::from(level)) * 3.0_f32.sqrt() };
    }

    /// Appends `samples` samples of noise. A new level is reached without a step, over this block.
    pub fn fill(&mut self, samples: usize, out: &mut Vec<f32>) {
        if self.amplitude == 0.0 && self.target == 0.0 {
            out.resize(out.len() + samples, 0.0);
            return;
        }
        let slope = (self.target - self.amplitude) / samples.max(1) as f32;
        for _ in 0..samples {
            self.amplitude += slope;
            out.push(self.amplitude * self.uniform());
        }
        if samples > 0 {
            self.amplitude = self.target;
        }
    }

    /// A number in [-1, 1): Marsaglia's xorshift64, of which the upper half is good enough for noise.
    fn uniform(&mut self) -> f32 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        (self.state >> 32) as u32 as i32 as f32 / 2_147_483_648.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level_dbfs(samples: &[f32]) -> f32 {
        pcm::mean_square_dbfs(samples.iter().map(|sample| sample * sample).sum::<f32>() / samples.len() as f32)
    }

    #[test]
    fn noise_has_the_level_that_the_descriptor_says() {
        for level in [40, 55, 70] {
            let mut noise = ComfortNoise::new(7);
            noise.update(&[level, 1, 2, 3]);
            let mut out = Vec::new();
            noise.fill(160, &mut out);
            out.clear();
            noise.fill(16_000, &mut out);
            assert!((level_dbfs(&out) + f32::from(level)).abs() < 0.3);
        }
    }

    #[test]
    fn a_descriptor_that_asks_for_thunder_gets_a_breeze() {
        let mut noise = ComfortNoise::new(7);
        noise.update(&[0x80]);
        let mut out = Vec::new();
        noise.fill(16_000, &mut out);
        assert!(level_dbfs(&out) < -29.5);
    }

    #[test]
    fn there_is_silence_until_a_descriptor_comes() {
        let mut noise = ComfortNoise::new(7);
        noise.update(&[]);
        let mut out = Vec::new();
        noise.fill(160, &mut out);
        assert_eq!(out, [0.0; 160]);
    }

    #[test]
    fn the_same_seed_gives_the_same_noise() {
        let make = |seed| {
            let mut noise = ComfortNoise::new(seed);
            noise.update(&[50]);
            let mut out = Vec::new();
            noise.fill(100, &mut out);
            out
        };
        assert_eq!(make(3), make(3));
        assert_ne!(make(3), make(5));
    }
}
