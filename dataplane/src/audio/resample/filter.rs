//! The tables of the polyphase converter: which filter a pair of rates gets, computed once a process and shared by every
//! call. Never holds a call's samples.

use std::f64::consts::PI;
use std::sync::OnceLock;
use std::time::Duration;

use crate::audio::SampleRate;

/// Stop-band attenuation that the windows are designed for: what is to be ≤ −60 dB, with a margin for rounding.
const ATTENUATION_DB: f64 = 66.0;

/// A low-pass filter, cut into one row of coefficients for each place that an output sample can have between two input
/// samples.
#[derive(Debug)]
pub(super) struct Filter {
    /// `phases` rows of `taps` coefficients, in the order in which an output sample sums them up, see [`Filter::strands`].
    coefficients: Box<[f32]>,
    taps: usize,
    /// The reduced ratio: `phases` output samples take the time of `advance` input samples.
    phases: usize,
    advance: usize,
    /// `advance / phases` and its remainder.
    whole_step: usize,
    part_step: usize,
}

impl Filter {
    /// The filter from one rate to another, different one.
    pub(super) fn of(from: SampleRate, to: SampleRate) -> &'static Self {
        static FILTERS: [[OnceLock<Filter>; 4]; 4] = [const { [const { OnceLock::new() }; 4] }; 4];
        FILTERS[from as usize][to as usize].get_or_init(|| Self::design(from, to))
    }

    /// Row lengths are about the shortest, in steps of 16, with which the pair holds its band (see [`pass_hz`]) and keeps
    /// what would fold or mirror *into the band* at −60 dB; the delay is half a row, 1 to 2.5 ms. Into 8 kHz they are
    /// longer, since G.711 goes on to an ear: there, nothing may fold below 3800 Hz.
    fn design(from: SampleRate, to: SampleRate) -> Self {
        use SampleRate::{Hz8000, Hz16000, Hz24000, Hz48000};
        let taps = match (from, to) {
            (Hz8000, _) => 32,
            (Hz16000, Hz8000) => 80,
            (Hz24000, Hz8000) => 112,
            (Hz48000, Hz8000) => 240,
            (Hz16000 | Hz24000, _) => 48,
            (Hz48000, _) => 96,
        };
        let divisor = greatest_common_divisor(from.hz(), to.hz());
        let phases = (to.hz() / divisor) as usize;
        let advance = (from.hz() / divisor) as usize;

        // Kaiser's design formulas, at the rate of the imagined common multiple.
        let length = taps * phases;
        let common_hz = f64::from(from.hz()) * phases as f64;
        let transition_hz = (ATTENUATION_DB - 7.95) / (14.36 * (length - 1) as f64) * common_hz;
        let cutoff = (pass_hz(from.min(to)) + transition_hz / 2.0) / common_hz;
        let shape = 0.1102 * (ATTENUATION_DB - 8.7);
        let centre = (length - 1) as f64 / 2.0;
        let prototype: Vec<f64> = (0..length)
            .map(|n| {
                let offset = n as f64 - centre;
                let edge = offset / centre;
                sinc(2.0 * cutoff * offset) * bessel_i0(shape * (1.0 - edge * edge).max(0.0).sqrt())
            })
            .collect();

        let mut coefficients = Vec::with_capacity(length);
        for phase in 0..phases {
            let mut row: Vec<f64> = prototype.iter().skip(phase).step_by(phases).copied().collect();
            // Each row passes a constant unchanged, or the rows' differences would be heard as a tone.
            let gain: f64 = row.iter().sum();
            row.reverse();
            let strand = |strand: usize| row.iter().skip(strand).step_by(advance);
            coefficients.extend((0..advance).flat_map(strand).map(|coefficient| (coefficient / gain) as f32));
        }
        let (whole_step, part_step) = (advance / phases, advance % phases);
        Self { coefficients: coefficients.into(), taps, phases, advance, whole_step, part_step }
    }

    /// How many input samples an output sample is made of.
    pub(super) fn taps(&self) -> usize {
        self.taps
    }

    /// How many output samples there are in a period, after which the places repeat.
    pub(super) fn phases(&self) -> usize {
        self.phases
    }

    /// How many input samples there are in a period.
    pub(super) fn advance(&self) -> usize {
        self.advance
    }

    /// The coefficients of `phase`, strand by strand: those for the input samples 0, [`Filter::advance`], twice that and so
    /// on, counted from the oldest that the output sample is made of, then those for 1, 1 + advance and so on.
    #[inline]
    pub(super) fn strands(&self, phase: usize) -> impl Iterator<Item = &[f32]> {
        let mut row = &self.coefficients[phase * self.taps..(phase + 1) * self.taps];
        (0..self.advance).map(move |strand| {
            let (now, later) = row.split_at((self.taps - strand).div_ceil(self.advance));
            row = later;
            now
        })
    }

    /// Where the output sample after the one at (`skip`, `phase`) lies. Without a division.
    #[inline]
    pub(super) fn step(&self, skip: usize, phase: usize) -> (usize, usize) {
        let (skip, phase) = (skip + self.whole_step, phase + self.part_step);
        if phase < self.phases { (skip, phase) } else { (skip + 1, phase - self.phases) }
    }

    /// How many output samples `inputs` more samples complete.
    pub(super) fn outputs(&self, inputs: usize, skip: usize, phase: usize) -> usize {
        ((inputs.saturating_sub(skip)) * self.phases).saturating_sub(phase).div_ceil(self.advance)
    }

    /// Where the output sample `outputs` after the one at (`skip`, `phase`) lies.
    pub(super) fn jump(&self, outputs: usize, skip: usize, phase: usize) -> (usize, usize) {
        let place = phase + outputs * self.advance;
        (skip + place / self.phases, place % self.phases)
    }

    /// The group delay of the whole filter, the same at every frequency since it is symmetric.
    pub(super) fn delay(&self, from: SampleRate) -> Duration {
        let centre = (self.taps * self.phases - 1) as f64 / 2.0;
        Duration::from_secs_f64(centre / (f64::from(from.hz()) * self.phases as f64))
    }
}

/// Where the roll-off begins. The bands to keep are 3400 Hz at 8 kHz and 7000 Hz at 16 kHz (ITU-T G.712, G.722), the same
/// share of the rate above; it begins a little below, where it costs less than 0.1 dB at the band's edge, to end sooner.
fn pass_hz(narrower: SampleRate) -> f64 {
    match narrower {
        SampleRate::Hz8000 => 3_330.0,
        SampleRate::Hz16000 => 6_850.0,
        SampleRate::Hz24000 | SampleRate::Hz48000 => 10_300.0,
    }
}

fn sinc(x: f64) -> f64 {
    if x == 0.0 { 1.0 } else { (PI * x).sin() / (PI * x) }
}

/// The modified Bessel function of the first kind and order zero, by its power series; 32 terms settle it for the
/// arguments of any window.
fn bessel_i0(x: f64) -> f64 {
    let quarter = x * x / 4.0;
    let mut term = 1.0;
    (1..32).fold(1.0, |sum, k| {
        term *= quarter / f64::from(k * k);
        sum + term
    })
}

fn greatest_common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_of_rates_has_one_table_for_all_calls() {
        let first = Filter::of(SampleRate::Hz8000, SampleRate::Hz16000);
        let second = Filter::of(SampleRate::Hz8000, SampleRate::Hz16000);
        assert!(std::ptr::eq(first, second));
    }

    #[test]
    fn counting_outputs_and_stepping_through_them_agree() {
        for from in SampleRate::ALL {
            for to in SampleRate::ALL.into_iter().filter(|to| *to != from) {
                let filter = Filter::of(from, to);
                let (mut skip, mut phase) = (0, 0);
                for inputs in [1, 0, 2, 7, 160, 3] {
                    let outputs = filter.outputs(inputs, skip, phase);
                    let jumped = filter.jump(outputs, skip, phase);
                    for _ in 0..outputs {
                        assert!(skip < inputs);
                        (skip, phase) = filter.step(skip, phase);
                    }
                    assert!(skip >= inputs);
                    assert_eq!(jumped, (skip, phase));
                    skip -= inputs;
                }
            }
        }
    }
}
