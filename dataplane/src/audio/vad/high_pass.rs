//! The high-pass before voice activity: engines, wind and the hum of mains lie below any voice on a telephone, and would hold
//! the energy gate open. What the caller is recorded with, and what goes to the backend, does not pass it.

/// How much of a sample's distance from its predecessor is kept, 100 Hz at 16 kHz: `exp(-2π · 100 / 16000)`.
const KEPT: f32 = 0.961_496_2;
/// Samples that are filtered at a time.
const LANES: usize = 8;

/// `KEPT` to the powers of 1 to 8.
const POWERS: [f32; LANES] = {
    let mut powers = [KEPT; LANES];
    let mut lane = 1;
    while lane < LANES {
        powers[lane] = powers[lane - 1] * KEPT;
        lane += 1;
    }
    powers
};

/// Two equal sections of first order: 12 dB an octave below 100 Hz.
#[derive(Debug, Clone, Default)]
pub(super) struct HighPass {
    sections: [Section; 2],
    /// The stream's first sample is where it has always been: an offset is no step.
    begun: bool,
}

/// `y[n] = x[n] - x[n-1] + KEPT · y[n-1]`.
#[derive(Debug, Clone, Copy, Default)]
struct Section {
    input: f32,
    output: f32,
}

impl HighPass {
    /// Filters `input` into `out`, both equally long; what comes out lies in [-1, 1], as the network insists. Whatever is no
    /// number is silence.
    pub(super) fn process(&mut self, input: &[f32], out: &mut [f32]) {
        if self.begun && self.is_at_rest() && input.iter().all(|sample| *sample == 0.0) {
            return out.fill(0.0);
        }
        for (kept, sample) in out.iter_mut().zip(input) {
            // A resampler may ring beyond full scale.
            let sample = if sample.is_nan() { 0.0 } else { *sample };
            *kept = sample.clamp(-1.0, 1.0);
        }
        if let (false, Some(first)) = (self.begun, out.first()) {
            self.begun = true;
            self.sections[0].input = *first;
        }
        for section in &mut self.sections {
            section.process(out);
        }
        for sample in out {
            *sample = sample.clamp(-1.0, 1.0);
        }
    }

    /// Whether what it still holds is far below the last bit of any line.
    fn is_at_rest(&self) -> bool {
        self.sections.iter().all(|section| section.input == 0.0 && section.output.abs() < 1e-7)
    }
}

impl Section {
    fn process(&mut self, samples: &mut [f32]) {
        let (chunks, rest) = samples.as_chunks_mut::<LANES>();
        for chunk in chunks {
            let mut sums = *chunk;
            for lane in (1..LANES).rev() {
                sums[lane] -= sums[lane - 1];
            }
            sums[0] -= self.input;
            self.input = chunk[LANES - 1];
            // Each output is a sum over all inputs before it. Pairs, pairs of pairs and so on, instead of one by one.
            for (distance, power) in [(1, POWERS[0]), (2, POWERS[1]), (4, POWERS[3])] {
                for lane in (distance..LANES).rev() {
                    sums[lane] += power * sums[lane - distance];
                }
            }
            for (lane, power) in POWERS.iter().enumerate() {
                sums[lane] += power * self.output;
            }
            self.output = sums[LANES - 1];
            *chunk = sums;
        }
        for sample in rest {
            let output = *sample - self.input + KEPT * self.output;
            self.input = *sample;
            self.output = output;
            *sample = output;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gain_db(hz: f32) -> f32 {
        let tone: Vec<f32> =
            (0..16_000).map(|n| 0.5 * (n as f32 * hz * std::f32::consts::TAU / 16_000.0).sin()).collect();
        let mut out = vec![0.0; tone.len()];
        HighPass::default().process(&tone, &mut out);
        let power = |samples: &[f32]| samples[8_000..].iter().map(|sample| sample * sample).sum::<f32>();
        10.0 * (power(&out) / power(&tone)).log10()
    }

    #[test]
    fn rumble_is_taken_away_and_voices_are_left_alone() {
        assert!(gain_db(25.0) < -20.0, "{} dB", gain_db(25.0));
        assert!(gain_db(50.0) < -12.0);
        assert!(gain_db(200.0) > -2.5);
        for hz in [400.0, 1_000.0, 3_400.0] {
            assert!(gain_db(hz).abs() < 0.6, "{hz} Hz: {} dB", gain_db(hz));
        }
    }

    #[test]
    fn a_constant_offset_is_silence_and_cutting_makes_no_difference_that_matters() {
        let input: Vec<f32> = (0..1_600).map(|n| 0.3 + 0.2 * (n as f32 * 0.3).sin()).collect();
        let (mut whole, mut parts) = (vec![0.0; 1_600], vec![0.0; 1_600]);
        HighPass::default().process(&input, &mut whole);
        let mut filter = HighPass::default();
        for (input, out) in input.chunks(77).zip(parts.chunks_mut(77)) {
            filter.process(input, out);
        }
        assert!(whole.iter().zip(&parts).all(|(one, other)| (one - other).abs() < 1e-5));
        let mean = whole[800..].iter().sum::<f32>() / 800.0;
        assert!(mean.abs() < 0.01, "{mean}");
    }
}
