//! Sample formats at the borders of the media plane: `i16` to and from backends and records, `f32` in [-1, 1] inside.
//! Never changes a level: full scale stays full scale.

/// Full scale of `i16` as a float: what -1.0 stands for.
const FULL_SCALE: f32 = 32_768.0;

/// Appends `samples` as floats, `i16::MIN` becoming -1.0. Exact: [`to_i16`] gives back the same samples.
pub fn to_f32(samples: &[i16], out: &mut Vec<f32>) {
    out.extend(samples.iter().map(|sample| f32::from(*sample) / FULL_SCALE));
}

/// Appends `samples` as integers, rounded to the nearest; what lies outside [-1, 1) is clipped, NaN becomes 0.
pub fn to_i16(samples: &[f32], out: &mut Vec<i16>) {
    out.extend(samples.iter().map(|sample| quantise(*sample)));
}

/// One sample of [`to_i16`]; of two integers as near, the even one.
#[inline]
#[must_use]
pub fn quantise(sample: f32) -> i16 {
    /// Added to a float in the range of `i16`, it leaves the nearest integer in the lowest bits: a float of that size has
    /// none to spare for a fraction. Casts and `f32::round` do the same one sample at a time, this does as many as a
    /// vector holds.
    const TO_INTEGER: f32 = 12_582_912.0;
    let scaled = sample * FULL_SCALE;
    let scaled = if scaled.is_nan() { 0.0 } else { scaled };
    let scaled = if scaled > 32_767.0 { 32_767.0 } else { scaled };
    let scaled = if scaled < -FULL_SCALE { -FULL_SCALE } else { scaled };
    (scaled + TO_INTEGER).to_bits() as i16
}

/// One sample of [`to_f32`].
#[inline]
#[must_use]
pub(crate) fn widen(sample: i16) -> f32 {
    f32::from(sample) / FULL_SCALE
}

/// The sum of the squares and the largest magnitude, NaN left out of the latter.
#[must_use]
pub(crate) fn energy_and_peak(samples: &[f32]) -> (f32, f32) {
    let (chunks, rest) = samples.as_chunks::<8>();
    let (mut energy, mut peak) = ([0.0_f32; 8], [0.0_f32; 8]);
    for chunk in chunks {
        for lane in 0..8 {
            energy[lane] += chunk[lane] * chunk[lane];
            let magnitude = chunk[lane].abs();
            peak[lane] = if magnitude > peak[lane] { magnitude } else { peak[lane] };
        }
    }
    for (lane, sample) in rest.iter().enumerate() {
        energy[lane] += sample * sample;
        peak[lane] = peak[lane].max(sample.abs());
    }
    (energy.iter().sum(), peak.into_iter().fold(0.0, f32::max))
}

/// The sum of the products of two equally long slices: in so many partial sums that vector registers can be used without
/// reordering any of them.
#[inline]
#[must_use]
pub(crate) fn dot(one: &[f32], other: &[f32]) -> f32 {
    const LANES: usize = 16;
    let (ones, last_ones) = one.as_chunks::<LANES>();
    let (others, last_others) = other.as_chunks::<LANES>();
    let mut sums = [0.0_f32; LANES];
    for (ones, others) in ones.iter().zip(others) {
        for lane in 0..LANES {
            sums[lane] += ones[lane] * others[lane];
        }
    }
    let last: f32 = last_ones.iter().zip(last_others).map(|(one, other)| one * other).sum();
    sums.iter().sum::<f32>() + last
}

/// The level of a mean square in dBFS, where a full-scale sine is -3.01 dBFS and digital silence is -120 dBFS.
#[must_use]
pub(crate) fn mean_square_dbfs(mean_square: f32) -> f32 {
    10.0 * mean_square.max(1e-12).log10()
}

/// An amplitude factor of so many decibels.
#[must_use]
pub(crate) fn amplitude(db: f32) -> f32 {
    10.0_f32.powf(db / 20.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_integer_sample_survives_the_way_through_floats() {
        let all: Vec<i16> = (i16::MIN..=i16::MAX).collect();
        let (mut floats, mut back) = (Vec::new(), Vec::new());
        to_f32(&all, &mut floats);
        to_i16(&floats, &mut back);
        assert_eq!(all, back);
        assert!(floats.iter().all(|sample| (-1.0..1.0).contains(sample)));
    }

    #[test]
    fn what_is_out_of_range_is_clipped_and_not_wrapped() {
        let mut out = Vec::new();
        to_i16(&[1.0, 7.5, -7.5, f32::INFINITY, f32::NEG_INFINITY, f32::NAN], &mut out);
        assert_eq!(out, [i16::MAX, i16::MAX, i16::MIN, i16::MAX, i16::MIN, 0]);
    }

    #[test]
    fn samples_are_rounded_to_the_nearest() {
        let step = 1.0 / FULL_SCALE;
        let mut out = Vec::new();
        to_i16(&[0.4 * step, 0.6 * step, -0.4 * step, -0.6 * step], &mut out);
        assert_eq!(out, [0, 1, 0, -1]);
    }
}
