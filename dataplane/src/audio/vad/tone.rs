//! Tones: ringing, busy, keys, faxes and modems. Few sines, and nothing else: what comes next is told by what came before, to
//! the last bit of the line. A voice has a dozen harmonics and breath. Never tells which tone it is.

use super::FRAME;

/// Samples before a sample that tell it: enough for two sines and the line's own noise.
const ORDER: usize = 6;
/// Every second sample is looked at: tones of telephones lie below 3.4 kHz.
const POINTS: usize = FRAME / 2;
/// Added to the energy, so that a single sine, which two samples tell, has a solution: 60 dB below it.
const REGULAR: f32 = 1e-6;

/// Less than so much untold, in dB of the energy: a tone. Of a voice one frame in a hundred is.
const TONE_DB: f32 = -26.0;
/// Frames, 32 ms, after a tone's last whole frame: where it ends it is no sine.
const EDGE: u8 = 2;

/// Follows one stream.
#[derive(Debug, Clone, Default)]
pub(super) struct Tones {
    /// Tones in a row, as far as they count, and frames since.
    run: u8,
    edge: u8,
}

impl Tones {
    /// Takes the next frame; gives whether it is a tone, or the end of one. What is not `likely` a voice is not looked at.
    pub(super) fn hears(&mut self, frame: &[f32; FRAME], likely: bool) -> bool {
        if likely && untold_db(frame) < TONE_DB {
            self.run = self.run.saturating_add(1);
            // A voice may be a sine for a frame.
            self.edge = if self.run > 1 { EDGE } else { 0 };
            return true;
        }
        self.run = 0;
        self.edge = self.edge.saturating_sub(1);
        self.edge > 0
    }
}

/// How much of a frame is not told by what came before, in dB of its energy: -26 and less for tones, seldom for a voice.
fn untold_db(frame: &[f32; FRAME]) -> f32 {
    let mut points = [0.0_f32; POINTS];
    for (point, pair) in points.iter_mut().zip(frame.as_chunks::<2>().0) {
        *point = pair[0];
    }
    let mut products = products(&points);
    let energy = products[ORDER][ORDER];
    if energy <= 1e-9 {
        return 0.0;
    }
    for (at, row) in products.iter_mut().enumerate().take(ORDER) {
        row[at] += energy * REGULAR;
    }
    10.0 * (eliminate(&mut products) / energy).max(1e-6).log10()
}

/// The products of the frame with itself, shifted: row and column `ORDER` are the sample that is told, the others those
/// before it, the nearest first.
fn products(points: &[f32; POINTS]) -> [[f32; ORDER + 1]; ORDER + 1] {
    let at = |shift: usize| if shift == 0 { ORDER } else { shift - 1 };
    let mut products = [[0.0; ORDER + 1]; ORDER + 1];
    for apart in 0..=ORDER {
        let mut sum = crate::audio::pcm::dot(&points[ORDER..], &points[ORDER - apart..POINTS - apart]);
        for shift in 0..=ORDER - apart {
            let (one, other) = (at(shift), at(shift + apart));
            products[one][other] = sum;
            products[other][one] = sum;
            // The next pair has one product more at the beginning and one less at the end.
            if shift < ORDER - apart {
                sum += points[ORDER - 1 - shift] * points[ORDER - 1 - shift - apart]
                    - points[POINTS - 1 - shift] * points[POINTS - 1 - shift - apart];
            }
        }
    }
    products
}

/// Takes from the last row what the rows before it tell, and gives what is left of its energy.
fn eliminate(products: &mut [[f32; ORDER + 1]; ORDER + 1]) -> f32 {
    for known in 0..ORDER {
        let row = products[known];
        if row[known] <= 0.0 {
            continue;
        }
        for next in products.iter_mut().skip(known + 1) {
            let share = next[known] / row[known];
            for (value, known) in next.iter_mut().zip(row).skip(known) {
                *value -= share * known;
            }
        }
    }
    products[ORDER][ORDER]
}
