//! The quadrature mirror filters that split speech into two half-band signals and join them again (G.722 §3.1 and §4.4).

/// Samples that a sum looks at; a multiple of 8, for the vector registers' sake.
const WINDOW: usize = 16;
/// Every second of the 24 coefficients, from the first, after four zeros. The filter is symmetric: the ones between are the
/// same backwards.
const FORWARDS: [i16; WINDOW] = [0, 0, 0, 0, 3, -11, 12, 32, -210, 951, 3876, -805, 362, -156, 53, -11];
const BACKWARDS: [i16; WINDOW] = [0, 0, 0, 0, -11, 53, -156, 362, -805, 3876, 951, -210, 32, 12, -11, 3];

/// The latest samples of one phase (every second sample), twice, so that they always lie in one piece.
#[derive(Debug, Default)]
struct Phase([i16; 2 * WINDOW]);

impl Phase {
    /// Puts `sample` at place `at` of the ring and gives the filtered sum over it and those before it.
    #[inline]
    fn push(&mut self, at: usize, sample: i16, coefficients: &[i16; WINDOW]) -> i32 {
        (self.0[at], self.0[at + WINDOW]) = (sample, sample);
        let oldest_first = &self.0[at + 1..at + 1 + WINDOW];
        oldest_first.iter().zip(coefficients).map(|(x, c)| i32::from(*x) * i32::from(*c)).sum()
    }
}

/// The memory of either filter.
#[derive(Debug, Default)]
struct Filter {
    even: Phase,
    odd: Phase,
    next: usize,
}

impl Filter {
    /// Takes in a pair and gives the sums of both phases.
    #[inline]
    fn push(&mut self, even: i16, odd: i16) -> (i32, i32) {
        let at = self.next % WINDOW;
        self.next = at + 1;
        (self.even.push(at, even, &FORWARDS), self.odd.push(at, odd, &BACKWARDS))
    }
}

/// Splits pairs of samples into one sample of each band.
#[derive(Debug, Default)]
pub(super) struct Analysis(Filter);

impl Analysis {
    /// The next pair of samples, as a 15-bit sample of the lower and one of the higher band.
    #[inline]
    pub(super) fn split(&mut self, first: i16, second: i16) -> (i32, i32) {
        let (even, odd) = self.0.push(first, second);
        ((odd + even) >> 14, (odd - even) >> 14)
    }
}

/// Joins samples of the two bands into pairs of samples.
#[derive(Debug, Default)]
pub(super) struct Synthesis(Filter);

impl Synthesis {
    /// One 15-bit sample of each band, as the next pair of samples.
    #[inline]
    pub(super) fn join(&mut self, low: i32, high: i32) -> [i16; 2] {
        // Sum and difference of 15-bit numbers have 16.
        let (even, odd) = self.0.push((low + high) as i16, (low - high) as i16);
        [odd >> 11, even >> 11].map(|sample| sample.clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16)
    }
}
