//! The network that tells a voice near the telephone from everything else: other people's voices behind it, noise, music, tones,
//! breath, clicks. Trained for telephones (see e2e/bench/network); about 13,000 weights, one pass for each 16 ms.
//!
//! Its shape: the described frame, through a layer of 32, then two gated recurrent units of 32 each, whose states together make the
//! score. It remembers some seconds, so it knows what lay behind the voice before it spoke.

mod features;
mod layer;

use std::sync::LazyLock;

use self::features::FEATURES;
use self::layer::{Gru, Linear, Reader};
use super::FRAME;

/// Units of each layer.
const UNITS: usize = 32;

/// The network as it was trained.
struct Weights {
    mean: [f32; FEATURES],
    /// One over the spread.
    gain: [f32; FEATURES],
    enter: Linear<FEATURES, UNITS>,
    first: Gru<UNITS>,
    second: Gru<UNITS>,
    leave: [f32; 2 * UNITS],
    bias: f32,
}

static WEIGHTS: LazyLock<Weights> = LazyLock::new(|| {
    let mut reader = Reader::new(include_bytes!("weights.bin"));
    let weights = Weights {
        mean: reader.array(),
        gain: reader.array(),
        enter: Linear::read(&mut reader),
        first: Gru::read(&mut reader),
        second: Gru::read(&mut reader),
        leave: reader.array(),
        bias: reader.array::<1>()[0],
    };
    reader.finish();
    weights
});

/// What the network knows of one stream. About 1.3 KiB.
#[derive(Clone)]
pub(super) struct Network {
    before: [f32; FRAME],
    first: [f32; UNITS],
    second: [f32; UNITS],
}

impl Network {
    /// One that has heard nothing.
    pub(super) fn new() -> Self {
        Self { before: [0.0; FRAME], first: [0.0; UNITS], second: [0.0; UNITS] }
    }

    /// Forgets what it has heard: where it was not asked, its stream begins anew.
    pub(super) fn reset(&mut self) {
        *self = Self::new();
    }

    /// How sure it is of a voice near the telephone in the next 16 ms at 16 kHz, 0 to 1. Takes samples in [-1, 1].
    pub(super) fn score(&mut self, frame: &[f32; FRAME]) -> f32 {
        let weights = &*WEIGHTS;
        let mut described = features::describe(&self.before, frame);
        self.before = *frame;
        for ((feature, mean), gain) in described.iter_mut().zip(&weights.mean).zip(&weights.gain) {
            *feature = (*feature - mean) * gain;
        }
        let entered = weights.enter.apply(&described).map(layer::tanh);
        weights.first.step(&entered, &mut self.first);
        weights.second.step(&self.first, &mut self.second);
        let states = self.first.iter().chain(&self.second);
        layer::sigmoid(states.zip(&weights.leave).map(|(state, weight)| state * weight).sum::<f32>() + weights.bias)
    }
}

#[cfg(test)]
mod tests;
