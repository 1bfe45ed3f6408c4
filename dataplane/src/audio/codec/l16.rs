//! L16: 16-bit linear samples in network byte order (RFC 3551 §4.5.11). One channel only.

use crate::audio::pcm;

pub(super) fn decode(payload: &[u8], out: &mut Vec<f32>) {
    let (samples, _) = payload.as_chunks::<2>();
    out.extend(samples.iter().map(|bytes| pcm::widen(i16::from_be_bytes(*bytes))));
}

pub(super) fn encode(pcm: &[f32], out: &mut Vec<u8>) {
    out.extend(pcm.iter().flat_map(|sample| pcm::quantise(*sample).to_be_bytes()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_big_endian() {
        let mut payload = Vec::new();
        encode(&[0.5, -1.0], &mut payload);
        assert_eq!(payload, [0x40, 0x00, 0x80, 0x00]);
        let mut samples = Vec::new();
        decode(&payload, &mut samples);
        assert_eq!(samples, [0.5, -1.0]);
    }

    #[test]
    fn half_a_sample_at_the_end_is_dropped() {
        let mut samples = Vec::new();
        decode(&[0x40, 0x00, 0x12], &mut samples);
        assert_eq!(samples, [0.5]);
    }
}
