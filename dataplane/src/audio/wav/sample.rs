//! How single samples are written in files and streams, and reading them.

use crate::audio::codec::g711;
use crate::audio::pcm;

/// How one sample of one channel is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// 8 bits, silence at 128.
    Unsigned8,
    /// 16 bits, little end first.
    Signed16,
    /// 16 bits, big end first: `audio/L16` (RFC 2586).
    Signed16BigEndian,
    /// 24 bits, little end first.
    Signed24,
    /// 24 bits, big end first: `audio/L24` (RFC 3190).
    Signed24BigEndian,
    /// 32 bits, little end first.
    Signed32,
    /// 32 bits, little end first, full scale at 1.
    Float32,
    /// 64 bits, little end first, full scale at 1.
    Float64,
    /// G.711 µ-law.
    Ulaw,
    /// G.711 A-law.
    Alaw,
}

impl Encoding {
    /// Bytes of a sample: 1 to 8.
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            Self::Unsigned8 | Self::Ulaw | Self::Alaw => 1,
            Self::Signed16 | Self::Signed16BigEndian => 2,
            Self::Signed24 | Self::Signed24BigEndian => 3,
            Self::Signed32 | Self::Float32 => 4,
            Self::Float64 => 8,
        }
    }

    /// Whether samples are floats instead of integers.
    #[must_use]
    pub const fn is_float(self) -> bool {
        matches!(self, Self::Float32 | Self::Float64)
    }

    /// Reads one sample from exactly [`Self::bytes`] bytes.
    pub(super) fn read(self, bytes: &[u8]) -> f32 {
        match (self, bytes) {
            (Self::Unsigned8, [a]) => (f32::from(*a) - 128.0) / 128.0,
            (Self::Ulaw, [a]) => g711::ulaw(*a),
            (Self::Alaw, [a]) => g711::alaw(*a),
            (Self::Signed16, [a, b]) | (Self::Signed16BigEndian, [b, a]) => pcm::widen(i16::from_le_bytes([*a, *b])),
            (Self::Signed24, [a, b, c]) | (Self::Signed24BigEndian, [c, b, a]) => {
                i32::from_le_bytes([0, *a, *b, *c]) as f32 / 2_147_483_648.0
            }
            (Self::Signed32, [a, b, c, d]) => i32::from_le_bytes([*a, *b, *c, *d]) as f32 / 2_147_483_648.0,
            (Self::Float32, [a, b, c, d]) => bounded(f32::from_le_bytes([*a, *b, *c, *d])),
            (Self::Float64, [a, b, c, d, e, f, g, h]) => {
                bounded(f64::from_le_bytes([*a, *b, *c, *d, *e, *f, *g, *h]) as f32)
            }
            _ => 0.0,
        }
    }
}

/// A filter behind would smear one NaN over many samples.
fn bounded(sample: f32) -> f32 {
    if sample.is_nan() { 0.0 } else { sample.clamp(-1.0, 1.0) }
}
