//! From the rates that speech synthesisers like (22.05, 44.1 kHz …) to one that is carried, with `rubato`: such ratios have
//! no small table. Off the packet path; see [`crate::audio::resample`] for what is on it.

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{
    Async, FixedAsync, Indexing, Resampler as _, SincInterpolationParameters, SincInterpolationType, WindowFunction,
};

use crate::audio::{SampleRate, pcm};

/// Input samples a step: 3 ms at 22.05 kHz.
const STEP: usize = 64;
/// With these, images of speech stay 70 dB below it and the pass band reaches 0.9 of the file's.
const TAPS: usize = 64;
const OVERSAMPLING: usize = 64;

/// Converts one stream upwards from a rate that is not carried.
#[derive(Debug)]
pub(super) struct Converter {
    resampler: Async<f32>,
    input: [f32; STEP],
    filled: usize,
    output: Box<[f32]>,
    /// Output samples of the filter's start that are still to be dropped, so that no delay shows.
    dropping: usize,
}

impl Converter {
    pub(super) fn new(from_hz: u32, to: SampleRate) -> Self {
        let parameters = SincInterpolationParameters::new(TAPS, WindowFunction::Blackman)
            .oversampling_factor(OVERSAMPLING)
            .interpolation(SincInterpolationType::Linear);
        let ratio = f64::from(to.hz()) / f64::from(from_hz);
        let resampler = Async::new_sinc(ratio, 1.0, &parameters, STEP, 1, FixedAsync::Input)
            .expect("the ratio is finite and positive, the step is not zero");
        let output = vec![0.0; resampler.output_frames_max()].into();
        let dropping = resampler.output_delay();
        Self { resampler, input: [0.0; STEP], filled: 0, output, dropping }
    }

    /// Takes a sample and appends what it completes.
    pub(super) fn push(&mut self, sample: f32, out: &mut Vec<i16>) {
        self.input[self.filled] = sample;
        self.filled += 1;
        if self.filled == STEP {
            self.step(STEP, out);
        }
    }

    /// Ends the stream: what the filter holds is pushed out by silence.
    pub(super) fn finish(&mut self, out: &mut Vec<i16>) {
        let tail = (self.filled + TAPS / 2).div_ceil(STEP);
        for _ in 0..tail {
            let filled = self.filled;
            self.step(filled, out);
        }
    }

    fn step(&mut self, filled: usize, out: &mut Vec<i16>) {
        self.filled = 0;
        let frames = self.output.len();
        let input = InterleavedSlice::new(&self.input[..], 1, STEP).expect("one channel of as many frames as samples");
        let mut output = InterleavedSlice::new_mut(&mut self.output[..], 1, frames)
            .expect("one channel of as many frames as samples");
        let (_, written) = self
            .resampler
            .process_into_buffer(&input, &mut output, Some(&Indexing::new().partial_len(filled)))
            .expect("the buffers have the sizes that the resampler asked for");
        let dropped = self.dropping.min(written);
        self.dropping -= dropped;
        out.extend(self.output[dropped..written].iter().map(|sample| pcm::quantise(*sample)));
    }
}
