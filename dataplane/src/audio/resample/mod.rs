//! Conversion between the four carried rates on the packet path. Keeps its state from block to block, so the block
//! lengths never show in the output; never changes pitch or speed to follow a drifting clock.
//!
//! A rational polyphase filter: every output sample is the sum of the latest input, weighted by one row of a table that all
//! calls share. The rows are as short as the band to be kept allows, so that what surrounds a sum costs as much as the sum
//! itself: many output samples of one row are therefore summed up side by side, which fills vector registers on any
//! target and needs no sum across one. `rubato`'s asynchronous converter works out each sample's place in its table anew
//! (20 ms from 8 to 16 kHz take it five to eight times as long), and its synchronous one delays by 10 ms. It serves the
//! rates that are not carried, off the packet path: [`super::wav`].

mod filter;

use std::time::Duration;

use self::filter::Filter;
use super::SampleRate;

/// Most input samples that are taken in one go. Longer blocks are cut, so this bounds the memory of a converter, and a
/// frame of 20 ms at 24 kHz is still one go.
const STRIDE: usize = 480;

/// Output samples that are summed up side by side: as many as the registers of the smallest machine hold, then fewer for
/// the rest of a block.
const WIDE: usize = 32;
const NARROW: usize = 8;

/// Most samples that a conversion looks at in one go: [`STRIDE`] and the past of the longest row, in six strands.
const SPAN: usize = STRIDE + 240 + 6;

/// Converts one mono stream from one [`SampleRate`] to another.
///
/// Any block length goes: after `n` samples in all, exactly `⌈n · to / from⌉` samples have come out, the same ones
/// however the `n` were cut into blocks. Nothing waits for a full block. Per converter: 2 to 3 KiB, allocated once.
#[derive(Debug)]
pub struct Resampler {
    from: SampleRate,
    to: SampleRate,
    /// `None` between equal rates, which are copied.
    conversion: Option<Conversion>,
}

#[derive(Debug)]
struct Conversion {
    filter: &'static Filter,
    /// The last `taps - 1` input samples, then room for [`STRIDE`] new ones.
    window: Box<[f32]>,
    /// Input samples, counted from the next one, until the newest that the next output sample uses.
    skip: usize,
    /// Row of the next output sample.
    phase: usize,
    /// How many samples at the end of the past are exactly zero, saturating at `taps - 1`.
    zeros: usize,
}

impl Resampler {
    /// A converter whose past is silence. The first converter of a pair in the process computes the pair's table.
    #[must_use]
    pub fn new(from: SampleRate, to: SampleRate) -> Self {
        let conversion = (from != to).then(|| {
            let filter = Filter::of(from, to);
            let past = filter.taps() - 1;
            Conversion { filter, window: vec![0.0; past + STRIDE].into(), skip: 0, phase: 0, zeros: past }
        });
        Self { from, to, conversion }
    }

    /// The rate of the input.
    #[must_use]
    pub const fn from(&self) -> SampleRate {
        self.from
    }

    /// The rate of the output.
    #[must_use]
    pub const fn to(&self) -> SampleRate {
        self.to
    }

    /// Converts `input` and appends to `out` every output sample that it completes. Silence that follows silence costs
    /// next to nothing.
    pub fn process(&mut self, input: &[f32], out: &mut Vec<f32>) {
        match &mut self.conversion {
            None => out.extend_from_slice(input),
            Some(conversion) => {
                for block in input.chunks(STRIDE) {
                    conversion.process(block, out);
                }
            }
        }
    }

    /// How much later the output's content is than the input's: the filter's group delay. Nothing else delays.
    #[must_use]
    pub fn delay(&self) -> Duration {
        match &self.conversion {
            None => Duration::ZERO,
            Some(conversion) => conversion.filter.delay(self.from),
        }
    }

    /// Forgets the past, as if new.
    pub fn reset(&mut self) {
        if let Some(conversion) = &mut self.conversion {
            conversion.window.fill(0.0);
            conversion.skip = 0;
            conversion.phase = 0;
            conversion.zeros = conversion.filter.taps() - 1;
        }
    }
}

impl Conversion {
    /// `block` has at most [`STRIDE`] samples.
    fn process(&mut self, block: &[f32], out: &mut Vec<f32>) {
        let past = self.filter.taps() - 1;
        let outputs = self.filter.outputs(block.len(), self.skip, self.phase);
        let start = out.len();
        out.resize(start + outputs, 0.0);

        let trailing_zeros = block.iter().rev().take_while(|sample| **sample == 0.0).count();
        if self.zeros == past && trailing_zeros == block.len() {
            // The window holds only zeros and would only be overwritten by zeros.
            (self.skip, self.phase) = self.filter.jump(outputs, self.skip, self.phase);
        } else {
            self.window[past..past + block.len()].copy_from_slice(block);
            self.sum_up(past + block.len(), &mut out[start..]);
            self.window.copy_within(block.len()..block.len() + past, 0);
            self.zeros = if trailing_zeros == block.len() { self.zeros + trailing_zeros } else { trailing_zeros };
            self.zeros = self.zeros.min(past);
        }
        self.skip -= block.len();
    }

    /// Makes the output samples that the first `held` samples of the window complete.
    fn sum_up(&mut self, held: usize, mut out: &mut [f32]) {
        let filter = self.filter;
        let mut unravelled = [0.0; SPAN];
        let strands = Strands::of(&self.window[..held], filter.advance(), &mut unravelled);
        let (mut skip, mut phase) = (self.skip, self.phase);
        // Up to the beginning of a period, whole periods, and what is left of one.
        while phase != 0 && !out.is_empty() {
            let (first, rest) = out.split_at_mut(1);
            first[0] = strands.sums::<1>(filter, phase, skip)[0];
            out = rest;
            (skip, phase) = filter.step(skip, phase);
        }
        let (periods, mut rest) = out.split_at_mut(out.len() - out.len() % filter.phases());
        let begin = skip;
        for place in 0..filter.phases().min(periods.len()) {
            strands.fill(filter, phase, skip, place, periods);
            (skip, phase) = filter.step(skip, phase);
        }
        (skip, phase) = filter.jump(periods.len(), begin, 0);
        while !rest.is_empty() {
            let (first, later) = rest.split_at_mut(1);
            first[0] = strands.sums::<1>(filter, phase, skip)[0];
            rest = later;
            (skip, phase) = filter.step(skip, phase);
        }
        (self.skip, self.phase) = (skip, phase);
    }
}

/// Samples unravelled into strands, each of every so manieth sample: the samples that stand at the same place of
/// successive periods lie side by side.
struct Strands<'a> {
    samples: &'a [f32],
    count: usize,
    /// Of a strand.
    length: usize,
}

impl<'a> Strands<'a> {
    fn of(window: &'a [f32], count: usize, unravelled: &'a mut [f32; SPAN]) -> Self {
        let length = window.len().div_ceil(count);
        // A period of any two carried rates has 1, 2, 3 or 6 input samples.
        match count {
            1 => return Self { samples: window, count, length },
            2 => unravel::<2>(window, unravelled, length),
            3 => unravel::<3>(window, unravelled, length),
            _ => unravel::<6>(window, unravelled, length),
        }
        Self { samples: unravelled, count, length }
    }

    /// The samples from the one at `at` of the window on, of its own strand.
    #[inline]
    fn from(&self, at: usize) -> &[f32] {
        let (place, strand) = (at / self.count, at % self.count);
        &self.samples[strand * self.length..(strand + 1) * self.length][place..]
    }

    /// The output samples at `place` of each period in `out`, the first of which begins at `at` of the window.
    fn fill(&self, filter: &Filter, phase: usize, mut at: usize, place: usize, out: &mut [f32]) {
        let step = filter.phases();
        let (wide, rest) = out.split_at_mut(out.len() - out.len() % (WIDE * step));
        for block in wide.chunks_exact_mut(WIDE * step) {
            spread(self.sums::<WIDE>(filter, phase, at), block, place, step);
            at += WIDE * self.count;
        }
        let (narrow, rest) = rest.split_at_mut(rest.len() - rest.len() % (NARROW * step));
        for block in narrow.chunks_exact_mut(NARROW * step) {
            spread(self.sums::<NARROW>(filter, phase, at), block, place, step);
            at += NARROW * self.count;
        }
        for block in rest.chunks_exact_mut(step) {
            spread(self.sums::<1>(filter, phase, at), block, place, step);
            at += self.count;
        }
    }

    /// The output samples of one phase in as many successive periods. Each is summed up in the same order, however many
    /// are at a time: block lengths must not show in the output, not even in its last bit.
    #[inline]
    fn sums<const PERIODS: usize>(&self, filter: &Filter, phase: usize, at: usize) -> [f32; PERIODS] {
        let mut sums = [0.0; PERIODS];
        for (strand, coefficients) in filter.strands(phase).enumerate() {
            let samples = self.from(at + strand);
            debug_assert!(samples.len() + 1 >= coefficients.len() + PERIODS);
            for (coefficient, samples) in coefficients.iter().zip(samples.windows(PERIODS)) {
                for (sum, sample) in sums.iter_mut().zip(samples) {
                    *sum += coefficient * sample;
                }
            }
        }
        sums
    }
}

/// Puts every `COUNT`th sample into one strand, those behind them into the next; strands begin `length` apart.
fn unravel<const COUNT: usize>(window: &[f32], out: &mut [f32; SPAN], length: usize) {
    let (rounds, rest) = window.as_chunks::<COUNT>();
    for (number, strand) in out.chunks_exact_mut(length).take(COUNT).enumerate() {
        for (place, round) in strand.iter_mut().zip(rounds) {
            *place = round[number];
        }
        if let (Some(place), Some(sample)) = (strand.get_mut(rounds.len()), rest.get(number)) {
            *place = *sample;
        }
    }
}

/// Puts `sums` at `place` of every `step` samples.
#[inline]
fn spread<const COUNT: usize>(sums: [f32; COUNT], out: &mut [f32], place: usize, step: usize) {
    for (sample, sum) in out.iter_mut().skip(place).step_by(step).zip(sums) {
        *sample = sum;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pairs() -> impl Iterator<Item = (SampleRate, SampleRate)> {
        SampleRate::ALL.into_iter().flat_map(|from| SampleRate::ALL.into_iter().map(move |to| (from, to)))
    }

    fn rate() -> impl Strategy<Value = SampleRate> {
        prop::sample::select(SampleRate::ALL.to_vec())
    }

    #[test]
    fn every_frame_gives_a_whole_frame() {
        for (from, to) in pairs() {
            for ms in [10, 20, 30, 60] {
                let frame = Duration::from_millis(ms);
                let mut resampler = Resampler::new(from, to);
                let input = vec![0.5; from.samples(frame)];
                for _ in 0..5 {
                    let mut out = Vec::new();
                    resampler.process(&input, &mut out);
                    assert_eq!(out.len(), to.samples(frame), "{from} to {to}, {ms} ms");
                }
            }
        }
    }

    #[test]
    fn a_constant_stays_what_it_is() {
        for (from, to) in pairs() {
            let mut out = Vec::new();
            Resampler::new(from, to).process(&vec![0.5; from.hz() as usize / 10], &mut out);
            let settled = &out[out.len() / 2..];
            assert!(settled.iter().all(|sample| (sample - 0.5).abs() < 1e-5), "{from} to {to}");
        }
    }

    #[test]
    fn silence_after_sound_rings_out_and_then_stays_exactly_zero() {
        for (from, to) in pairs() {
            let mut resampler = Resampler::new(from, to);
            let mut out = Vec::new();
            resampler.process(&[1.0; 100], &mut out);
            resampler.process(&vec![0.0; from.hz() as usize / 50], &mut out);
            out.clear();
            resampler.process(&vec![0.0; from.hz() as usize / 50], &mut out);
            assert!(out.iter().all(|sample| *sample == 0.0), "{from} to {to}");
        }
    }

    #[test]
    fn a_reset_converter_is_as_new() {
        let input: Vec<f32> = (0..777).map(|n| (n as f32 * 0.3).sin()).collect();
        for (from, to) in pairs() {
            let (mut fresh, mut used) = (Vec::new(), Vec::new());
            Resampler::new(from, to).process(&input, &mut fresh);
            let mut resampler = Resampler::new(from, to);
            resampler.process(&input[..101], &mut used);
            resampler.reset();
            used.clear();
            resampler.process(&input, &mut used);
            assert_eq!(fresh, used, "{from} to {to}");
        }
    }

    proptest! {
        #[test]
        fn block_lengths_never_show_in_the_output(
            from in rate(),
            to in rate(),
            cuts in prop::collection::vec(0_usize..500, 1..20),
            quiet in 0_usize..4000,
        ) {
            // Sound, a stretch of silence long enough for the shortcut, sound again.
            let length: usize = cuts.iter().sum();
            let input: Vec<f32> = (0..length)
                .map(|n| if (quiet..quiet + 600).contains(&n) { 0.0 } else { (n as f32 * 0.7).sin() })
                .collect();
            let mut whole = Vec::new();
            Resampler::new(from, to).process(&input, &mut whole);
            let mut resampler = Resampler::new(from, to);
            let (mut parts, mut rest) = (Vec::new(), &input[..]);
            for cut in cuts {
                let (block, after) = rest.split_at(cut);
                resampler.process(block, &mut parts);
                rest = after;
            }
            prop_assert_eq!(whole.len(), (length * to.hz() as usize).div_ceil(from.hz() as usize));
            prop_assert_eq!(whole, parts);
        }
    }
}
