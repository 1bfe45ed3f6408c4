//! The adaptive differential coders of the two sub-bands (G.722 §3.2–3.6 and §4.1–4.3). Names in capitals in comments are
//! the recommendation's blocks.

/// Low band, decision levels of the 6-bit quantiser, in units of the scale factor's 4096th (table 4).
const LOW_DECISIONS: [i32; 29] = [
    35, 72, 110, 150, 190, 233, 276, 323, 370, 422, 473, 530, 587, 650, 714, 786, 858, 940, 1023, 1121, 1219, 1339,
    1458, 1612, 1765, 1980, 2195, 2557, 2919,
];
/// Low band, output levels of the 6-bit quantiser by magnitude, smallest first; codes 0 to 3 of the line are not sent in
/// this mode and mean the smallest level too.
const LOW_LEVELS: [i32; 30] = [
    136, 432, 728, 1040, 1360, 1688, 2032, 2400, 2776, 3168, 3576, 4008, 4464, 4944, 5456, 6000, 6576, 7192, 7856,
    8576, 9360, 10232, 11192, 12280, 13512, 14984, 16704, 19008, 21904, 24808,
];
/// Low band, output levels of the 4 upper bits, which alone steer the prediction.
const LOW_PREDICTION_LEVELS: [i32; 16] =
    [0, -20456, -12896, -8968, -6288, -4240, -2584, -1200, 20456, 12896, 8968, 6288, 4240, 2584, 1200, 0];
/// Low band, change of the logarithmic scale factor by the same 4 bits.
const LOW_SCALE_STEPS: [i32; 16] = [-60, 3042, 1198, 538, 334, 172, 58, -30, 3042, 1198, 538, 334, 172, 58, -30, -60];
const LOW_SCALE_MAX: i32 = 18432;
/// High band, output levels of the 2-bit quantiser.
const HIGH_LEVELS: [i32; 4] = [-7408, -1616, 7408, 1616];
/// High band, the one decision level.
const HIGH_DECISION: i32 = 564;
/// High band, change of the logarithmic scale factor.
const HIGH_SCALE_STEPS: [i32; 4] = [798, -214, 798, -214];
const HIGH_SCALE_MAX: i32 = 22528;

/// `2048 · 2^(n/32)`, rounded: the fraction of the antilogarithm (table 6).
const ANTILOGARITHM: [i32; 32] = [
    2048, 2093, 2139, 2186, 2233, 2282, 2332, 2383, 2435, 2489, 2543, 2599, 2656, 2714, 2774, 2834, 2896, 2960, 3025,
    3091, 3158, 3228, 3298, 3371, 3444, 3520, 3597, 3676, 3756, 3838, 3922, 4008,
];

/// How many decision levels a quotient has passed, so that the encoder needs no search.
static LOW_PASSED: [u8; LOW_DECISIONS[28] as usize + 1] = low_passed();
/// Output levels of the 6-bit quantiser by code.
static LOW_CODE_LEVELS: [i32; 64] = low_code_levels();
/// Codes of the 6-bit quantiser by the number of decision levels passed, positive and negative.
static LOW_CODES: [[u8; 30]; 2] = low_codes();

const fn low_passed() -> [u8; LOW_DECISIONS[28] as usize + 1] {
    let mut table = [0; LOW_DECISIONS[28] as usize + 1];
    let (mut quotient, mut passed) = (0, 0);
    while quotient < table.len() {
        if quotient as i32 == LOW_DECISIONS[passed as usize] {
            passed += 1;
        }
        table[quotient] = passed;
        quotient += 1;
    }
    table
}

const fn low_codes() -> [[u8; 30]; 2] {
    let mut codes = [[0; 30]; 2];
    let mut n = 0;
    while n < 30 {
        codes[0][n] = 61 - n as u8;
        // The two smallest negative levels wear the codes that are left over above the positive ones.
        codes[1][n] = if n < 2 { 63 - n as u8 } else { 33 - n as u8 };
        n += 1;
    }
    codes
}

const fn low_code_levels() -> [i32; 64] {
    let mut levels = [-LOW_LEVELS[0]; 64];
    let codes = low_codes();
    let mut n = 0;
    while n < 30 {
        levels[codes[0][n] as usize] = LOW_LEVELS[n];
        levels[codes[1][n] as usize] = -LOW_LEVELS[n];
        n += 1;
    }
    levels
}

/// A value limited to 16 bits, as the recommendation's operators do.
#[inline]
fn saturate(value: i32) -> i32 {
    value.clamp(-32_768, 32_767)
}

/// The adaptive step of a quantiser: SCALEL, SCALEH with LOGSCL, LOGSCH.
#[derive(Debug)]
struct Scale {
    logarithm: i32,
    factor: i32,
}

impl Scale {
    /// `exponent` is the bias of the antilogarithm: 8 in the low band, 10 in the high.
    #[inline]
    fn adapt(&mut self, step: i32, max: i32, exponent: i32) {
        self.logarithm = (((self.logarithm * 127) >> 7) + step).clamp(0, max);
        let fraction = ANTILOGARITHM[((self.logarithm >> 6) & 31) as usize];
        let shift = exponent - (self.logarithm >> 11);
        self.factor = if shift < 0 { fraction << -shift } else { fraction >> shift } << 2;
    }
}

/// Two poles and six zeros that follow the signal, both ends alike (§3.6).
#[derive(Debug, Default)]
struct Predictor {
    /// Pole coefficients, and the two latest reconstructed samples.
    poles: [i32; 2],
    reconstructed: [i32; 2],
    /// Zero coefficients, and the six latest quantised differences.
    zeros: [i32; 6],
    differences: [i32; 6],
    /// The two latest partly reconstructed samples, of which only the signs matter.
    partial: [i32; 2],
    /// The zeros' part of the prediction, and the whole prediction of the next sample.
    zero_estimate: i32,
    estimate: i32,
}

impl Predictor {
    /// Takes the quantised difference of this sample and predicts the next.
    #[inline]
    fn adapt(&mut self, difference: i32) {
        // RECONS, PARREC.
        let reconstructed = saturate(self.estimate + difference);
        let partial = saturate(self.zero_estimate + difference);
        let agrees = self.partial.map(|past| (past < 0) == (partial < 0));

        // UPPOL2.
        let first = saturate(self.poles[0] << 2);
        let first = if agrees[0] { -first } else { first }.min(32_767);
        let leak = if agrees[1] { 128 } else { -128 };
        let second = (leak + (first >> 7) + ((self.poles[1] * 32_512) >> 15)).clamp(-12_288, 12_288);
        // UPPOL1, kept where the pair of poles is stable.
        let step = if agrees[0] { 192 } else { -192 };
        let bound = saturate(15_360 - second);
        let first = saturate(step + ((self.poles[0] * 32_640) >> 15)).clamp(-bound, bound);
        self.poles = [first, second];

        // UPZERO, DELAYA, FILTEZ in one pass.
        let step = if difference == 0 { 0 } else { 128 };
        for (zero, past) in self.zeros.iter_mut().zip(&self.differences) {
            let step = if (*past < 0) == (difference < 0) { step } else { -step };
            *zero = saturate(step + ((*zero * 32_640) >> 15));
        }
        self.differences.copy_within(0..5, 1);
        self.differences[0] = difference;
        let sum: i32 =
            self.zeros.iter().zip(&self.differences).map(|(zero, past)| (zero * saturate(past * 2)) >> 15).sum();
        self.zero_estimate = saturate(sum);

        // FILTEP, PREDIC.
        self.partial = [partial, self.partial[0]];
        self.reconstructed = [reconstructed, self.reconstructed[0]];
        let [newest, older] = self.reconstructed.map(|sample| saturate(sample * 2));
        let pole_estimate = saturate(((first * newest) >> 15) + ((second * older) >> 15));
        self.estimate = saturate(pole_estimate + self.zero_estimate);
    }
}

/// 0 to 4 kHz, six bits a sample.
#[derive(Debug)]
pub(super) struct LowBand {
    scale: Scale,
    predictor: Predictor,
}

impl Default for LowBand {
    fn default() -> Self {
        Self { scale: Scale { logarithm: 0, factor: 32 }, predictor: Predictor::default() }
    }
}

impl LowBand {
    /// A 15-bit sample to its code.
    #[inline]
    pub(super) fn encode(&mut self, sample: i32) -> u8 {
        // SUBTRA, QUANTL. A magnitude is the one's complement of a negative difference.
        let difference = saturate(sample - self.predictor.estimate);
        let (magnitude, negative) = if difference < 0 { (!difference, 1) } else { (difference, 0) };
        // The decision levels passed are those with `(level * factor) >> 12 <= magnitude`, solved for the level. The factor
        // is never below 32.
        let quotient = (((magnitude + 1) << 12) - 1) / self.scale.factor;
        let passed = LOW_PASSED[(quotient as usize).min(LOW_PASSED.len() - 1)];
        let code = LOW_CODES[negative][usize::from(passed)];
        self.adapt(code);
        code
    }

    /// A code to a 15-bit sample.
    #[inline]
    pub(super) fn decode(&mut self, code: u8) -> i32 {
        // INVQBL, LIMIT.
        let difference = (self.scale.factor * LOW_CODE_LEVELS[usize::from(code & 63)]) >> 15;
        let sample = (self.predictor.estimate + difference).clamp(-16_384, 16_383);
        self.adapt(code);
        sample
    }

    #[inline]
    fn adapt(&mut self, code: u8) {
        // INVQAL: without the two lowest bits, which the other modes give away to data.
        let upper = usize::from((code & 63) >> 2);
        let difference = (self.scale.factor * LOW_PREDICTION_LEVELS[upper]) >> 15;
        self.scale.adapt(LOW_SCALE_STEPS[upper], LOW_SCALE_MAX, 8);
        self.predictor.adapt(difference);
    }
}

/// 4 to 8 kHz, two bits a sample.
#[derive(Debug)]
pub(super) struct HighBand {
    scale: Scale,
    predictor: Predictor,
}

impl Default for HighBand {
    fn default() -> Self {
        Self { scale: Scale { logarithm: 0, factor: 8 }, predictor: Predictor::default() }
    }
}

impl HighBand {
    /// A 15-bit sample to its code.
    #[inline]
    pub(super) fn encode(&mut self, sample: i32) -> u8 {
        // SUBTRA, QUANTH.
        let difference = saturate(sample - self.predictor.estimate);
        let magnitude = if difference < 0 { !difference } else { difference };
        let large = magnitude >= (HIGH_DECISION * self.scale.factor) >> 12;
        let code = match (difference < 0, large) {
            (true, true) => 0,
            (true, false) => 1,
            (false, true) => 2,
            (false, false) => 3,
        };
        self.adapt(code);
        code
    }

    /// A code to a 15-bit sample.
    #[inline]
    pub(super) fn decode(&mut self, code: u8) -> i32 {
        let estimate = self.predictor.estimate;
        let difference = self.adapt(code);
        (estimate + difference).clamp(-16_384, 16_383)
    }

    /// Gives the quantised difference.
    #[inline]
    fn adapt(&mut self, code: u8) -> i32 {
        // INVQAH.
        let code = usize::from(code & 3);
        let difference = (self.scale.factor * HIGH_LEVELS[code]) >> 15;
        self.scale.adapt(HIGH_SCALE_STEPS[code], HIGH_SCALE_MAX, 10);
        self.predictor.adapt(difference);
        difference
    }
}
