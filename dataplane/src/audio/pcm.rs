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

/// One sample of [`to_i16`].
#[inline]
#[must_use]
pub fn quantise(sample: f32) -> i16 {
    let scaled = sample * FULL_SCALE;
    // `f32::round` is a library call on the baseline x86-64; the cast truncates, clips and maps NaN to 0.
    (scaled + 0.5_f32.copysign(scaled)) as i16
}

/// One sample of [`to_f32`].
#[inline]
#[must_use]
pub(crate) fn widen(sample: i16) -> f32 {
    f32::from(sample) / FULL_SCALE
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
