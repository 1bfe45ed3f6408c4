//! Layers of the network: plain arithmetic over arrays, written so that the compiler can use vector registers.

/// Hands out the weights in the order in which they lie in the file: `f32`, little-endian.
pub(super) struct Reader {
    bytes: &'static [u8],
}

impl Reader {
    pub(super) const fn new(bytes: &'static [u8]) -> Self {
        Self { bytes }
    }

    pub(super) fn array<const N: usize>(&mut self) -> [f32; N] {
        std::array::from_fn(|_| {
            let (weight, rest) = self.bytes.split_first_chunk().expect("the file holds all weights: a test reads them");
            self.bytes = rest;
            f32::from_le_bytes(*weight)
        })
    }

    pub(super) fn rows<const ROWS: usize, const N: usize>(&mut self) -> Box<[[f32; N]; ROWS]> {
        Box::new(std::array::from_fn(|_| self.array()))
    }

    pub(super) fn finish(self) {
        assert!(self.bytes.is_empty(), "the file holds nothing else: a test reads it");
    }
}

/// `inputs · weights + bias`: a row of weights for each input.
pub(super) struct Linear<const INPUTS: usize, const OUTPUTS: usize> {
    weights: Box<[[f32; OUTPUTS]; INPUTS]>,
    bias: [f32; OUTPUTS],
}

impl<const INPUTS: usize, const OUTPUTS: usize> Linear<INPUTS, OUTPUTS> {
    pub(super) fn read(reader: &mut Reader) -> Self {
        Self { weights: reader.rows(), bias: reader.array() }
    }

    pub(super) fn apply(&self, inputs: &[f32; INPUTS]) -> [f32; OUTPUTS] {
        let mut outputs = self.bias;
        for (input, row) in inputs.iter().zip(self.weights.iter()) {
            for (output, weight) in outputs.iter_mut().zip(row) {
                *output += input * weight;
            }
        }
        outputs
    }
}

/// A gated recurrent unit of as many inputs as outputs. Its three gates: update, reset, candidate.
pub(super) struct Gru<const UNITS: usize> {
    input: [Linear<UNITS, UNITS>; 3],
    state: [Linear<UNITS, UNITS>; 3],
}

impl<const UNITS: usize> Gru<UNITS> {
    pub(super) fn read(reader: &mut Reader) -> Self {
        let mut gates = || std::array::from_fn(|_| Linear::read(reader));
        Self { input: gates(), state: gates() }
    }

    pub(super) fn step(&self, inputs: &[f32; UNITS], state: &mut [f32; UNITS]) {
        let gate = |n: usize| (self.input[n].apply(inputs), self.state[n].apply(state));
        let ((update, update_of), (reset, reset_of), (candidate, candidate_of)) = (gate(0), gate(1), gate(2));
        for (n, state) in state.iter_mut().enumerate() {
            let kept = sigmoid(update[n] + update_of[n]);
            let shown = sigmoid(reset[n] + reset_of[n]);
            let new = tanh(candidate[n] + shown * candidate_of[n]);
            *state = new + kept * (*state - new);
        }
    }
}

/// The hyperbolic tangent to within 0.0001: the seventh convergent of its continued fraction, which needs no exponential and so
/// runs on as many lanes as a vector has.
#[inline]
pub(super) fn tanh(x: f32) -> f32 {
    let x = if x > 4.97 { 4.97 } else { x };
    let x = if x < -4.97 { -4.97 } else { x };
    let square = x * x;
    let above = x * (135_135.0 + square * (17_325.0 + square * (378.0 + square)));
    let below = 135_135.0 + square * (62_370.0 + square * (3_150.0 + square * 28.0));
    above / below
}

/// `1 / (1 + exp(-x))` to within 0.0001.
#[inline]
pub(super) fn sigmoid(x: f32) -> f32 {
    0.5 + 0.5 * tanh(0.5 * x)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_cuts_are_near() {
        for n in -2_000..=2_000 {
            let x = n as f32 / 100.0;
            assert!((tanh(x) - x.tanh()).abs() < 1.5e-4, "{x}");
            assert!((sigmoid(x) - 1.0 / (1.0 + (-x).exp())).abs() < 1e-4, "{x}");
            assert!(tanh(x).abs() <= 1.0001);
        }
    }
}
