//! Signal processing of one call: codecs, rates, voice activity, concealment, levels, WAV. Sans-IO: samples and bytes in,
//! samples and bytes out; no sockets, clocks, tasks or locks, and no allocation once the buffers have grown.
//!
//! Samples inside this module are mono `f32` in [-1, 1]; [`pcm`] converts at the borders.

#![deny(clippy::disallowed_types)]

pub mod codec;
pub mod comfort_noise;
pub mod conceal;
pub mod fade;
pub mod keytones;
pub mod loudness;
pub mod pcm;
pub mod quality;
pub mod rate;
pub mod resample;
pub mod samples;
pub mod vad;
pub mod voicing;
pub mod wav;

pub use codec::{Codec, Decoder, Encoder};
pub use comfort_noise::ComfortNoise;
pub use conceal::Concealer;
pub use fade::Fade;
pub use keytones::KeyTones;
pub use loudness::{Loudness, LoudnessSettings};
pub use quality::{AudioQuality, QualityMeter};
pub use rate::{SampleRate, UnsupportedRate};
pub use resample::Resampler;
pub use samples::Samples;
pub use vad::{VoiceDetector, VoiceFrame, VoiceSettings};
