//! G.722 at 64 kbit/s (ITU-T G.722, mode 1): 16 kHz speech as two sub-bands of adaptive differential samples, six bits
//! for 0–4 kHz and two for 4–8 kHz. Arithmetic is the recommendation's integer arithmetic to the bit, since both ends
//! must predict the same. No other mode, no packing of fewer bits.

mod band;
mod filterbank;

use self::band::{HighBand, LowBand};
use self::filterbank::{Analysis, Synthesis};
use crate::audio::pcm;

/// Turns pairs of samples at 16 kHz into octets.
#[derive(Debug, Default)]
pub(super) struct Encoder {
    analysis: Analysis,
    low: LowBand,
    high: HighBand,
    /// The first sample of a pair whose second has not come yet.
    waiting: Option<i16>,
}

impl Encoder {
    /// Appends an octet for every two samples.
    pub(super) fn encode(&mut self, pcm: &[f32], out: &mut Vec<u8>) {
        for sample in pcm {
            let sample = pcm::quantise(*sample);
            match self.waiting.take() {
                None => self.waiting = Some(sample),
                Some(first) => {
                    let (low, high) = self.analysis.split(first, sample);
                    out.push((self.high.encode(high) << 6) | self.low.encode(low));
                }
            }
        }
    }
}

/// Turns octets into pairs of samples at 16 kHz.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    synthesis: Synthesis,
    low: LowBand,
    high: HighBand,
}

impl Decoder {
    /// Appends two samples for every octet.
    pub(super) fn decode(&mut self, payload: &[u8], out: &mut Vec<f32>) {
        out.reserve(payload.len() * 2);
        for octet in payload {
            let low = self.low.decode(octet & 0x3f);
            let high = self.high.decode(octet >> 6);
            out.extend(self.synthesis.join(low, high).map(pcm::widen));
        }
    }
}

#[cfg(test)]
mod tests;
