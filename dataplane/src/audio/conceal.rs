//! Packet-loss concealment: fills the hole of a lost frame with what was being said, then fades. Works on decoded samples
//! at the codec's rate and delays nothing; never guesses what the jitter buffer may still receive.
//!
//! The idea is that of ITU-T G.711 Appendix I: voiced speech repeats itself every pitch period, so the latest period is
//! repeated, joined to itself and to what comes next by short cross-fades.

use std::time::Duration;

use super::{SampleRate, pcm};

/// Pitch periods that are looked for: 400 Hz down to 66 Hz.
const SHORTEST_PERIOD: Duration = Duration::from_micros(2_500);
const LONGEST_PERIOD: Duration = Duration::from_millis(15);
/// The stretch of the latest speech that is compared with what came before it.
const TEMPLATE: Duration = Duration::from_millis(20);
/// The search compares every so many microseconds' sample: 8 kHz is enough to find a pitch.
const SEARCH_STEP: Duration = Duration::from_micros(125);
/// For so long the repetition keeps its level, then it falls to nothing until [`SILENT_AFTER`].
const FULL_FOR: Duration = Duration::from_millis(10);
/// After so much concealed speech there is silence: a longer repetition sounds like a machine.
const SILENT_AFTER: Duration = Duration::from_millis(60);
/// The cross-fade from the repetition back to what is received.
const REJOIN: Duration = Duration::from_millis(4);

/// The concealment of one stream. Feed it every good frame, ask it for every missing one.
#[derive(Debug)]
pub struct Concealer {
    rate: SampleRate,
    /// The latest samples that were received, the newest last.
    history: Box<[f32]>,
    /// One pitch period, prepared to be repeated without a seam.
    period: Vec<f32>,
    /// Where in the period the next sample is.
    position: usize,
    /// Concealed samples since the last good frame.
    concealed: usize,
}

impl Concealer {
    /// A concealer of a stream of `rate` that has heard only silence. Memory: 35 ms of samples, and a period.
    #[must_use]
    pub fn new(rate: SampleRate) -> Self {
        Self {
            rate,
            history: vec![0.0; rate.samples(TEMPLATE) + rate.samples(LONGEST_PERIOD)].into(),
            period: Vec::with_capacity(rate.samples(LONGEST_PERIOD)),
            position: 0,
            concealed: 0,
        }
    }

    /// Takes a frame that arrived. After a loss its beginning is blended with the end of the repetition, in place;
    /// otherwise it is only remembered.
    pub fn received(&mut self, frame: &mut [f32]) {
        if self.concealed > 0 && !frame.is_empty() {
            let length = self.rate.samples(REJOIN).min(frame.len());
            for (n, sample) in frame[..length].iter_mut().enumerate() {
                let share = (n + 1) as f32 / (length + 1) as f32;
                *sample = *sample * share + self.next() * (1.0 - share);
            }
            self.concealed = 0;
        }
        self.remember(frame);
    }

    /// Appends `samples` samples in place of a frame that did not arrive.
    pub fn conceal(&mut self, samples: usize, out: &mut Vec<f32>) {
        if self.concealed == 0 {
            self.prepare();
        }
        out.extend((0..samples).map(|_| self.next()));
    }

    /// Whether the stream is silent by now, since too much is missing.
    #[must_use]
    pub const fn is_exhausted(&self) -> bool {
        self.concealed >= self.rate.samples(SILENT_AFTER)
    }

    fn remember(&mut self, frame: &[f32]) {
        let length = self.history.len();
        if frame.len() >= length {
            self.history.copy_from_slice(&frame[frame.len() - length..]);
        } else {
            self.history.copy_within(frame.len().., 0);
            self.history[length - frame.len()..].copy_from_slice(frame);
        }
    }

    /// The next sample of the repetition.
    fn next(&mut self) -> f32 {
        let (full, silent) = (self.rate.samples(FULL_FOR), self.rate.samples(SILENT_AFTER));
        if self.concealed >= silent || self.period.is_empty() {
            self.concealed = self.concealed.saturating_add(1);
            return 0.0;
        }
        let gain = if self.concealed < full { 1.0 } else { (silent - self.concealed) as f32 / (silent - full) as f32 };
        let sample = self.period[self.position] * gain;
        self.position = (self.position + 1) % self.period.len();
        self.concealed += 1;
        sample
    }

    /// Cuts the latest period out of the history and makes its end meet its beginning.
    fn prepare(&mut self) {
        let period = self.find_period();
        let end = self.history.len();
        self.period.clear();
        self.period.extend_from_slice(&self.history[end - period..]);
        self.position = 0;
        // The last quarter glides into what preceded the period, which is what led up to the period's first sample.
        let blend = period / 4;
        for n in 0..blend {
            let share = (n + 1) as f32 / blend as f32;
            let before = self.history[end - period - blend + n];
            let sample = &mut self.period[period - blend + n];
            *sample = *sample * (1.0 - share) + before * share;
        }
    }

    /// The shift at which the latest speech resembles itself most, by normalised cross-correlation: coarsely at 8 kHz,
    /// then to the sample. At most 101 coarse shifts of 160 products and 11 fine ones of a full template each.
    fn find_period(&self) -> usize {
        let (shortest, longest) = (self.rate.samples(SHORTEST_PERIOD), self.rate.samples(LONGEST_PERIOD));
        let step = self.rate.samples(SEARCH_STEP).max(1);
        let template = self.rate.samples(TEMPLATE);
        if step == 1 {
            return best_shift(&self.history, template, shortest..=longest);
        }
        let mut thinned = [0.0; THINNED];
        for (place, sample) in thinned.iter_mut().zip(self.history.iter().step_by(step)) {
            *place = *sample;
        }
        let coarse = step * best_shift(&thinned, template / step, shortest / step..=longest / step);
        let around = (coarse.saturating_sub(step - 1)).max(shortest)..=(coarse + step - 1).min(longest);
        best_shift(&self.history, template, around)
    }
}

/// How many samples of the history the coarse search looks at.
const THINNED: usize = ((TEMPLATE.as_micros() + LONGEST_PERIOD.as_micros()) / SEARCH_STEP.as_micros()) as usize;

/// The shift at which the last `template` samples resemble those before them most; the longest where nothing sounds.
fn best_shift(history: &[f32], template: usize, shifts: std::ops::RangeInclusive<usize>) -> usize {
    let (start, longest) = (history.len() - template, *shifts.end());
    let now = &history[start..];
    let resemblance = |shift: usize| {
        let then = &history[start - shift..][..template];
        pcm::dot(now, then) / f32::sqrt(pcm::dot(then, then) + 1e-9)
    };
    let best = shifts
        .map(|shift| (shift, resemblance(shift)))
        .fold((longest, f32::MIN), |best, next| if next.1 > best.1 { next } else { best });
    best.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: usize = 160;

    fn voice(samples: std::ops::Range<usize>) -> Vec<f32> {
        // 125 Hz and its harmonics: a period of 64 samples at 8 kHz.
        samples
            .map(|n| {
                let phase = n as f32 / 64.0 * std::f32::consts::TAU;
                0.3 * phase.sin() + 0.2 * (2.0 * phase).sin() + 0.1 * (5.0 * phase).cos()
            })
            .collect()
    }

    fn energy(samples: &[f32]) -> f32 {
        samples.iter().map(|sample| sample * sample).sum::<f32>() / samples.len() as f32
    }

    fn steepest(samples: &[f32]) -> f32 {
        samples.windows(2).fold(0.0, |steepest, pair| f32::max(steepest, (pair[1] - pair[0]).abs()))
    }

    #[test]
    fn a_lost_frame_of_a_vowel_is_filled_with_the_vowel() {
        let mut concealer = Concealer::new(SampleRate::Hz8000);
        concealer.received(&mut voice(0..480));
        let mut filled = Vec::new();
        concealer.conceal(FRAME, &mut filled);
        // Up to where it begins to fade, the guess is what was said.
        let said = voice(480..640);
        for n in 0..80 {
            assert!((filled[n] - said[n]).abs() < 0.02, "sample {n}: {} for {}", filled[n], said[n]);
        }
        assert!(energy(&filled) > 0.5 * energy(&said));
    }

    #[test]
    fn joins_make_no_click() {
        let mut concealer = Concealer::new(SampleRate::Hz8000);
        let mut stream = voice(0..480);
        concealer.received(&mut stream);
        concealer.conceal(FRAME, &mut stream);
        // The other side goes on out of phase.
        let mut after = voice(657..657 + FRAME);
        concealer.received(&mut after);
        stream.extend(after);
        assert!(steepest(&stream) < 1.5 * steepest(&voice(0..480)));
    }

    #[test]
    fn a_long_loss_fades_to_silence_within_60_ms() {
        let mut concealer = Concealer::new(SampleRate::Hz8000);
        concealer.received(&mut voice(0..480));
        let frames: Vec<Vec<f32>> = (0..5)
            .map(|_| {
                let mut frame = Vec::new();
                concealer.conceal(FRAME, &mut frame);
                frame
            })
            .collect();
        assert!(energy(&frames[0]) > energy(&frames[1]) && energy(&frames[1]) > energy(&frames[2]));
        assert!(concealer.is_exhausted());
        assert_eq!(frames[3], [0.0; FRAME]);
        assert_eq!(frames[4], [0.0; FRAME]);
    }

    #[test]
    fn silence_is_concealed_by_silence() {
        for rate in SampleRate::ALL {
            let mut concealer = Concealer::new(rate);
            let mut out = Vec::new();
            concealer.conceal(1000, &mut out);
            assert_eq!(out, [0.0; 1000]);
        }
    }

    #[test]
    fn speech_without_loss_is_left_alone() {
        let mut concealer = Concealer::new(SampleRate::Hz16000);
        for n in 0..10 {
            let mut frame = voice(n * 320..(n + 1) * 320);
            concealer.received(&mut frame);
            assert_eq!(frame, voice(n * 320..(n + 1) * 320));
        }
    }

    #[test]
    fn the_pitch_is_found_at_every_rate() {
        for rate in SampleRate::ALL {
            let period = rate.samples(Duration::from_millis(8));
            let mut concealer = Concealer::new(rate);
            let mut voice: Vec<f32> = (0..rate.samples(Duration::from_millis(60)))
                .map(|n| {
                    let phase = n as f32 / period as f32 * std::f32::consts::TAU;
                    0.3 * phase.sin() + 0.3 * (3.0 * phase).cos()
                })
                .collect();
            concealer.received(&mut voice);
            let found = concealer.find_period();
            assert!(found.abs_diff(period) <= 1, "{rate}: {found} for {period}");
        }
    }

    #[test]
    fn odd_frame_lengths_are_taken() {
        let mut concealer = Concealer::new(SampleRate::Hz8000);
        for length in [0, 1, 7, 1000, 3] {
            concealer.received(&mut voice(0..length));
            let mut out = Vec::new();
            concealer.conceal(length, &mut out);
            assert_eq!(out.len(), length);
        }
    }
}
