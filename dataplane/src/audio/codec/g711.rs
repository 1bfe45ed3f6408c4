//! G.711 (ITU-T G.711, 11/88): µ-law and A-law. Has no state and never fails: each octet is a sample.

use crate::audio::pcm;

/// Added to magnitudes of 16-bit samples, so that µ-law's segments begin at powers of two.
const ULAW_BIAS: u32 = 132;
/// The largest magnitude of a 16-bit sample that µ-law tells from the ones below.
const ULAW_CLIP: u32 = 32_635;
/// A-law inverts every second bit on the wire, to keep the line's timing alive in silence.
const ALAW_EVEN_BITS: u8 = 0x55;

static ULAW: [f32; 256] = table(true);
static ALAW: [f32; 256] = table(false);

const fn table(ulaw: bool) -> [f32; 256] {
    let mut table = [0.0; 256];
    let mut code = 0;
    while code < 256 {
        let sample = if ulaw { ulaw_to_linear(code as u8) } else { alaw_to_linear(code as u8) };
        table[code] = sample as f32 / 32_768.0;
        code += 1;
    }
    table
}

/// The value at the decoder's output (G.711 table 2), scaled to 16 bits.
const fn ulaw_to_linear(code: u8) -> i32 {
    let code = !code;
    let (segment, step) = ((code >> 4) & 7, (code & 15) as i32);
    let magnitude = (((step << 3) + ULAW_BIAS as i32) << segment) - ULAW_BIAS as i32;
    if code & 0x80 == 0 { magnitude } else { -magnitude }
}

/// The value at the decoder's output (G.711 table 1), scaled to 16 bits.
const fn alaw_to_linear(code: u8) -> i32 {
    let code = code ^ ALAW_EVEN_BITS;
    let (segment, step) = ((code >> 4) & 7, (code & 15) as i32);
    // Half a step is added: the middle of the interval. The first two segments have the same step.
    let magnitude = match segment {
        0 => (step << 4) + 8,
        _ => ((step << 4) + 264) << (segment - 1),
    };
    if code & 0x80 != 0 { magnitude } else { -magnitude }
}

// A float has the segment in its exponent and the step in the bits that follow: the encoders take them from there, as many
// samples at a time as a vector holds, where counting leading zeros would go one by one.

/// Exponent and the four bits behind it of a float of at least 128, counted from those of 128.
#[inline]
fn segment_and_step(magnitude: i32) -> i32 {
    ((magnitude as f32).to_bits() >> 19) as i32 - ((127 + 7) << 4)
}

#[inline]
fn linear_to_ulaw(sample: i16) -> u8 {
    let wide = i32::from(sample);
    let magnitude = wide.abs().min(ULAW_CLIP as i32) + ULAW_BIAS as i32;
    let sign = (wide >> 24) as u8 & 0x80;
    !(segment_and_step(magnitude) as u8 | sign)
}

#[inline]
fn linear_to_alaw(sample: i16) -> u8 {
    let wide = i32::from(sample);
    // A-law has no zero: -1 lies as far below the middle as 0 above. Hence the one's complement.
    let magnitude = wide ^ (wide >> 31);
    let sign = !(wide >> 24) as u8 & 0x80;
    // The first segment's steps are as wide as the second's.
    let code = if magnitude < 256 { magnitude >> 4 } else { segment_and_step(magnitude) };
    (code as u8 | sign) ^ ALAW_EVEN_BITS
}

/// One sample.
#[inline]
pub(in crate::audio) fn ulaw(code: u8) -> f32 {
    ULAW[usize::from(code)]
}

/// One sample.
#[inline]
pub(in crate::audio) fn alaw(code: u8) -> f32 {
    ALAW[usize::from(code)]
}

pub(super) fn decode_ulaw(payload: &[u8], out: &mut Vec<f32>) {
    out.extend(payload.iter().map(|code| ULAW[usize::from(*code)]));
}

pub(super) fn decode_alaw(payload: &[u8], out: &mut Vec<f32>) {
    out.extend(payload.iter().map(|code| ALAW[usize::from(*code)]));
}

pub(super) fn encode_ulaw(pcm: &[f32], out: &mut Vec<u8>) {
    out.extend(pcm.iter().map(|sample| linear_to_ulaw(pcm::quantise(*sample))));
}

pub(super) fn encode_alaw(pcm: &[f32], out: &mut Vec<u8>) {
    out.extend(pcm.iter().map(|sample| linear_to_alaw(pcm::quantise(*sample))));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A segment of the tables of G.711: its lowest decision value, its step, both in 16-bit units.
    type Segment = (i32, i32);

    /// Table 2a: decision values 0, 1, 3, 5 … 31, 35 … 8159 of a 14-bit scale.
    fn ulaw_decisions() -> Vec<i32> {
        let mut decisions = vec![0];
        let segments: [Segment; 8] = std::array::from_fn(|s| (4 * ((32 << s) - 33), 8 << s));
        for (s, (start, step)) in segments.into_iter().enumerate() {
            decisions.extend((0..16).filter(|n| s > 0 || *n > 0).map(|n| start + n * step));
        }
        decisions
    }

    /// Table 1a: decision values 0, 2, 4 … 4032 of a 13-bit scale.
    fn alaw_decisions() -> Vec<i32> {
        let mut decisions: Vec<i32> = (0..16).map(|n| n * 16).collect();
        for s in 1..8 {
            decisions.extend((0..16).map(|n| (128 << s) + n * (8 << s)));
        }
        decisions
    }

    /// The number of the interval that holds `magnitude`, found by looking through the table.
    fn interval(decisions: &[i32], magnitude: i32) -> u8 {
        (decisions.iter().rposition(|decision| *decision <= magnitude).expect("the first is 0")) as u8
    }

    #[test]
    fn every_sample_is_encoded_as_the_tables_of_the_recommendation_say() {
        let (ulaw, alaw) = (ulaw_decisions(), alaw_decisions());
        assert_eq!((ulaw.len(), alaw.len()), (128, 128));
        for sample in i16::MIN..=i16::MAX {
            let wide = i32::from(sample);
            let expected = !(interval(&ulaw, wide.abs()) | if wide < 0 { 0x80 } else { 0 });
            assert_eq!(linear_to_ulaw(sample), expected, "µ-law of {sample}");
            let (magnitude, sign) = if wide < 0 { (-wide - 1, 0) } else { (wide, 0x80) };
            assert_eq!(linear_to_alaw(sample), (interval(&alaw, magnitude) | sign) ^ 0x55, "A-law of {sample}");
        }
    }

    #[test]
    fn a_decoded_sample_lies_in_the_middle_of_its_interval() {
        let (ulaw, alaw) = (ulaw_decisions(), alaw_decisions());
        for n in 1..127 {
            assert_eq!(ulaw_to_linear(!(n as u8)), (ulaw[n] + ulaw[n + 1]) / 2, "µ-law {n}");
            assert_eq!(alaw_to_linear((n as u8 | 0x80) ^ 0x55), (alaw[n] + alaw[n + 1]) / 2, "A-law {n}");
        }
        assert_eq!(ulaw_to_linear(0xff), 0);
        assert_eq!(alaw_to_linear(0xd5), 8);
        // The outermost values of both laws, in the 14 and 13 bits of the recommendation.
        assert_eq!(ulaw_to_linear(0x80), 8031 * 4);
        assert_eq!(alaw_to_linear(0xaa), 4032 * 8);
    }

    #[test]
    fn an_encoded_decoded_code_is_the_same_code_but_for_minus_zero() {
        let codes: Vec<u8> = (0..=255).collect();
        let (mut samples, mut back) = (Vec::new(), Vec::new());
        decode_alaw(&codes, &mut samples);
        encode_alaw(&samples, &mut back);
        assert_eq!(codes, back);

        samples.clear();
        back.clear();
        decode_ulaw(&codes, &mut samples);
        encode_ulaw(&samples, &mut back);
        for (code, again) in codes.into_iter().zip(back) {
            // µ-law alone has two zeros, and linear samples only one.
            assert_eq!(again, if code == 0x7f { 0xff } else { code });
        }
    }
}
