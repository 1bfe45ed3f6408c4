//! Keys in the sound itself: the pairs of tones of ITU-T Q.23, told from speech, music and other tones by rules after Q.24. For legs whose
//! carrier sends no telephone-events. It hears; what is done with a key, and whether an event told it already, others decide.
//!
//! Sound is looked at in steps of 5 ms. Of each the eight tones' phasors are taken; four of them together, 20 ms, tell which pair is there,
//! how far each tone is off its frequency (by how its phase moves), how strong both are, and how much of all sound they make up.

use std::collections::VecDeque;
use std::f32::consts::TAU;
use std::sync::LazyLock;

use super::SampleRate;

const ROWS_HZ: [f32; 4] = [697.0, 770.0, 852.0, 941.0];
const COLUMNS_HZ: [f32; 4] = [1209.0, 1336.0, 1477.0, 1633.0];
const KEYS: [[char; 4]; 4] = [['1', '2', '3', 'A'], ['4', '5', '6', 'B'], ['7', '8', '9', 'C'], ['*', '0', '#', 'D']];
const TONES: usize = 8;

/// What is listened to: 8 kHz hold all tones and their second harmonics.
const RATE_HZ: f32 = 8_000.0;
/// Samples of a step: 5 ms.
const STEP: usize = 40;
/// Steps that are judged together.
const WINDOW: usize = 4;
/// Steps in a row that must hold the same pair: with the window's own length a tone of some 35 ms. Q.24 wants 40 ms heard and 20 ms not.
const HITS: u32 = 4;
/// A tone has ended after so many steps without it of which so many were quiet: pauses of 40 ms part two presses, holes of 10 ms don't.
const MISSES: u32 = 7;
const QUIET: u32 = 5;
/// Or after so many, whatever is heard instead.
const GONE: u32 = 20;
/// Quiet is so much less power than the tone had: 8 dB.
const QUIET_RATIO: f32 = 0.16;
/// The weakest tone of a pair, as power of full scale: −38 dB.
const WEAKEST: f32 = 1.6e-4;
/// A tone may be off by so much of its frequency: between the ±1.5 % that have to be heard and the ±3.5 % that must not.
const OFF: f32 = 0.025;
/// The column may be stronger than the row by so much, or weaker: +4 and −8 dB, and a margin for what codecs do to them.
const COLUMN_STRONGER: f32 = 3.6;
const COLUMN_WEAKER: f32 = 9.0;
/// The pair makes up so much of all sound at least: noise 15 dB weaker leaves 97 %; voices have harmonics.
const DOMINANCE: f32 = 0.86;

/// What is looked at closely: a pair that is off its frequencies by 2.5 % shows a quarter of its power at them.
const ROUGHLY: f32 = 0.15;

/// The tones' oscillators over a step.
struct Oscillators {
    cos: [[f32; TONES]; STEP],
    sin: [[f32; TONES]; STEP],
    /// What turns a tone's phasor back by so many steps.
    back: [[Complex; TONES]; WINDOW],
}

static OSCILLATORS: LazyLock<Oscillators> = LazyLock::new(|| {
    let phase = |tone: usize, sample: usize| TAU * frequency(tone) * sample as f32 / RATE_HZ;
    Oscillators {
        cos: std::array::from_fn(|sample| std::array::from_fn(|tone| phase(tone, sample).cos())),
        sin: std::array::from_fn(|sample| std::array::from_fn(|tone| phase(tone, sample).sin())),
        back: std::array::from_fn(|steps| {
            std::array::from_fn(|tone| {
                let (sin, cos) = phase(tone, STEP * steps).sin_cos();
                (cos, -sin)
            })
        }),
    }
});

fn frequency(tone: usize) -> f32 {
    if tone < ROWS_HZ.len() { ROWS_HZ[tone] } else { COLUMNS_HZ[tone - ROWS_HZ.len()] }
}

type Complex = (f32, f32);

fn product(a: Complex, b: Complex) -> Complex {
    (a.0 * b.0 - a.1 * b.1, a.0 * b.1 + a.1 * b.0)
}

fn conjugate(a: Complex) -> Complex {
    (a.0, -a.1)
}

fn sum(a: Complex, b: Complex) -> Complex {
    (a.0 + b.0, a.1 + b.1)
}

fn norm(a: Complex) -> f32 {
    a.0 * a.0 + a.1 * a.1
}

/// One step: the phasor of each tone from the step's beginning, and the sum of squares.
#[derive(Clone, Copy, Default)]
struct Step {
    tones: [Complex; TONES],
    energy: f32,
}

/// A press in progress.
struct Press {
    key: char,
    /// Energy of a step of it.
    energy: f32,
    misses: u32,
    quiet: u32,
}

/// Listens to one stream for keys.
pub struct KeyTones {
    oscillators: &'static Oscillators,
    /// Samples of the stream for each one that is listened to.
    ratio: usize,
    /// Samples of the stream that make up the next one: see [`Self::slow_down`].
    earlier: f32,
    gathered: VecDeque<f32>,
    step: [f32; STEP],
    filled: usize,
    steps: [Step; WINDOW],
    seen: usize,
    candidate: Option<char>,
    hits: u32,
    press: Option<Press>,
}

impl KeyTones {
    /// Listens to samples at `rate`, a multiple of 8 kHz.
    pub fn new(rate: SampleRate) -> Self {
        let ratio = (rate.hz() / 8_000).max(1) as usize;
        Self {
            oscillators: &OSCILLATORS,
            ratio,
            earlier: 0.0,
            gathered: VecDeque::with_capacity(ratio),
            step: [0.0; STEP],
            filled: 0,
            steps: [Step::default(); WINDOW],
            seen: 0,
            candidate: None,
            hits: 0,
            press: None,
        }
    }

    /// Takes the next samples, −1 to 1, of any number; `told` gets each key when its press has ended.
    pub fn process(&mut self, samples: &[f32], mut told: impl FnMut(char)) {
        for &sample in samples {
            let Some(sample) = self.slow_down(sample) else { continue };
            self.step[self.filled] = sample;
            self.filled += 1;
            if self.filled == STEP {
                self.filled = 0;
                self.steps.rotate_left(1);
                self.steps[WINDOW - 1] = self.analyse();
                self.seen = (self.seen + 1).min(WINDOW);
                if let Some(key) = self.advance() {
                    told(key);
                }
            }
        }
    }

    /// Whether what was heard last is, or may be the beginning of, a key.
    pub fn is_key(&self) -> bool {
        self.press.is_some() || self.hits > 0
    }

    /// Whether it is one, beyond doubt.
    pub fn is_pressed(&self) -> bool {
        self.press.is_some()
    }

    /// A sample at 8 kHz, now and then. Means of neighbouring samples, twice over, keep what would be folded into the tones' band 20 dB down.
    fn slow_down(&mut self, sample: f32) -> Option<f32> {
        if self.ratio == 1 {
            return Some(sample);
        }
        let mean = (self.earlier + sample) / 2.0;
        self.earlier = sample;
        self.gathered.push_back(mean);
        if self.gathered.len() < self.ratio {
            return None;
        }
        let mean = self.gathered.iter().sum::<f32>() / self.ratio as f32;
        self.gathered.clear();
        Some(mean)
    }

    fn analyse(&self) -> Step {
        let (mut real, mut imaginary) = ([0.0; TONES], [0.0; TONES]);
        let mut energy = 0.0;
        for ((&sample, cos), sin) in self.step.iter().zip(&self.oscillators.cos).zip(&self.oscillators.sin) {
            energy += sample * sample;
            for tone in 0..TONES {
                real[tone] += sample * cos[tone];
                imaginary[tone] -= sample * sin[tone];
            }
        }
        Step { tones: std::array::from_fn(|tone| (real[tone], imaginary[tone])), energy }
    }

    /// Judges the last 20 ms, and says which press has ended by them.
    fn advance(&mut self) -> Option<char> {
        let heard = if self.seen == WINDOW { self.judge() } else { None };
        let newest = self.steps[WINDOW - 1].energy;
        let Some(press) = &mut self.press else {
            self.consider(heard);
            return None;
        };
        if heard == Some(press.key) {
            (press.misses, press.quiet, self.candidate, self.hits) = (0, 0, None, 0);
            press.energy = press.energy.max(newest);
            return None;
        }
        press.misses += 1;
        press.quiet += u32::from(newest < press.energy * QUIET_RATIO);
        let (key, over) = (press.key, (press.misses >= MISSES && press.quiet >= QUIET) || press.misses >= GONE);
        if over {
            self.press = None;
        }
        // Another key right behind it ends it too.
        let before = self.press.is_some();
        let pressed = self.consider(heard);
        (over || (before && pressed)).then_some(key)
    }

    /// Counts how often in a row a pair was heard; says whether that makes a press.
    fn consider(&mut self, heard: Option<char>) -> bool {
        self.hits = match heard {
            None => 0,
            Some(_) if heard == self.candidate => self.hits + 1,
            Some(_) => 1,
        };
        self.candidate = heard;
        let Some(key) = heard.filter(|_| self.hits >= HITS) else { return false };
        let energy = self.steps[WINDOW - 1].energy;
        self.press = Some(Press { key, energy, misses: 0, quiet: 0 });
        (self.candidate, self.hits) = (None, 0);
        true
    }

    /// The pair of which the window is full, if it is.
    fn judge(&self) -> Option<char> {
        let power = self.steps.iter().map(|step| step.energy).sum::<f32>() / (STEP * WINDOW) as f32;
        if power < WEAKEST * 2.0 {
            return None;
        }
        let samples = (STEP * WINDOW) as f32;
        let strength: [f32; TONES] = std::array::from_fn(|tone| 2.0 * norm(self.together(tone)) / (samples * samples));
        let strongest = |tones: std::ops::Range<usize>| {
            tones.max_by(|a, b| strength[*a].total_cmp(&strength[*b])).expect("there are tones")
        };
        let (row, column) = (strongest(0..TONES / 2), strongest(TONES / 2..TONES));
        // Most of all sound is done with here: even a pair that is off by all it may be shows that much at its frequencies.
        if strength[row] + strength[column] < power * ROUGHLY {
            return None;
        }
        let (low, high) = (self.power_of(row)?, self.power_of(column)?);
        let fits = low.min(high) >= WEAKEST
            && high <= low * COLUMN_STRONGER
            && low <= high * COLUMN_WEAKER
            && low + high >= power * DOMINANCE;
        fits.then(|| KEYS[row][column - TONES / 2])
    }

    /// The power of a tone near its frequency; `None` where the nearest is too far off.
    fn power_of(&self, tone: usize) -> Option<f32> {
        let off_hz = self.off_by(tone);
        if off_hz.abs() > frequency(tone) * OFF {
            return None;
        }
        // A tone that is off turns within a step too, which makes it look weaker.
        let turned = std::f32::consts::PI * off_hz * STEP as f32 / RATE_HZ;
        let droop = 1.0 - turned * turned / 6.0;
        let samples = (STEP * WINDOW) as f32;
        let turn_back = |step: usize| {
            let (sin, cos) = (TAU * off_hz * (STEP * step) as f32 / RATE_HZ).sin_cos();
            product(self.turned_back(step, tone, step), (cos, -sin))
        };
        let together = (0..WINDOW).map(turn_back).fold((0.0, 0.0), sum);
        Some(2.0 * norm(together) / (samples * samples * droop * droop))
    }

    /// How far from its own frequency a tone is, hertz, by how its phase moves from the window's first half to its second: ±50.
    fn off_by(&self, tone: usize) -> f32 {
        let half = |first: usize| sum(self.steps[first].tones[tone], self.turned_back(first + 1, tone, 1));
        let (first, second) = (half(0), half(WINDOW / 2));
        let (cos, sin) = product(product(second, conjugate(first)), self.oscillators.back[WINDOW / 2][tone]);
        let seconds = (STEP * WINDOW / 2) as f32 / RATE_HZ;
        sin.atan2(cos) / (TAU * seconds)
    }

    /// The window's phasor of a tone.
    fn together(&self, tone: usize) -> Complex {
        (0..WINDOW).map(|step| self.turned_back(step, tone, step)).fold((0.0, 0.0), sum)
    }

    /// A step's phasor of a tone, turned back by so many steps.
    fn turned_back(&self, step: usize, tone: usize, back: usize) -> Complex {
        product(self.steps[step].tones[tone], self.oscillators.back[back][tone])
    }
}

#[cfg(test)]
mod tests;
