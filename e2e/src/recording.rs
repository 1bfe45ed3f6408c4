//! Reads the stereo recordings that pods leave, and compares sound with sound.

use std::path::Path;

/// Samples of the frames in which levels are compared: 20 ms at 16 kHz.
const FRAME: usize = 320;

/// A recording with two sides.
#[derive(Debug, Clone)]
pub struct Recording {
    /// Samples a second.
    pub rate_hz: u32,
    /// The left channel: the caller.
    pub caller: Vec<i16>,
    /// The right channel: the agent.
    pub agent: Vec<i16>,
}

impl Recording {
    /// Reads a WAV file of two channels, 16 bit.
    ///
    /// # Panics
    /// When it is no such file.
    #[must_use]
    pub fn read(path: &Path) -> Self {
        let mut reader = hound::WavReader::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let spec = reader.spec();
        assert_eq!((spec.channels, spec.bits_per_sample), (2, 16), "{}", path.display());
        let samples: Vec<i16> = reader.samples().collect::<Result<_, _>>().expect("the samples can be read");
        let side = |offset: usize| samples.iter().skip(offset).step_by(2).copied().collect();
        Self { rate_hz: spec.sample_rate, caller: side(0), agent: side(1) }
    }
}

/// Root mean square of the samples, in dB below full scale; -120 for none or silence.
#[must_use]
pub fn level_dbfs(samples: &[i16]) -> f64 {
    let energy: f64 = samples.iter().map(|sample| (f64::from(*sample) / 32_768.0).powi(2)).sum();
    (10.0 * (energy / samples.len().max(1) as f64).log10()).max(-120.0)
}

/// How much two sounds at 16 kHz are alike, wherever `part` begins in `whole`: the best correlation of their loudness
/// from frame to frame, 1 for the same (however loud), about 0 for strangers. Codecs, gain and small shifts change it
/// little.
#[must_use]
pub fn likeness(part: &[i16], whole: &[i16]) -> f64 {
    let (part, whole) = (envelope(part), envelope(whole));
    if part.is_empty() || whole.len() < part.len() {
        return 0.0;
    }
    whole.windows(part.len()).map(|window| correlation(&part, window)).fold(0.0, f64::max)
}

/// Loudness of each frame, with silence at one floor: in decibels, as ears compare.
fn envelope(samples: &[i16]) -> Vec<f64> {
    samples.chunks_exact(FRAME).map(|frame| level_dbfs(frame).max(-60.0)).collect()
}

fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let (mean_a, mean_b) = (mean(a), mean(b));
    let (mut product, mut square_a, mut square_b) = (0.0, 0.0, 0.0);
    for (a, b) in a.iter().zip(b) {
        product += (a - mean_a) * (b - mean_b);
        square_a += (a - mean_a).powi(2);
        square_b += (b - mean_b).powi(2);
    }
    if square_a == 0.0 || square_b == 0.0 { 0.0 } else { product / (square_a * square_b).sqrt() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::voice;

    #[test]
    fn a_voice_is_like_itself_and_unlike_others() {
        let voice_a = voice("go_forward");
        let quieter: Vec<i16> = voice_a.samples().iter().map(|sample| sample / 3).collect();
        let mut whole = vec![0; 12_345];
        whole.extend(quieter);
        whole.extend([0; 16_000]);
        assert!(likeness(voice_a.samples(), &whole) > 0.9);
        assert!(likeness(voice("five_five").samples(), &whole) < 0.8);
    }
}
