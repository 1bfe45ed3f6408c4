//! `rubato` in the two ways that suit calls: its FFT converter on 20 ms blocks, and its sinc converter as an exact polyphase
//! filter, with the lengths that hold the telephone band.

use std::time::Duration;

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Async, Fft, FixedAsync, FixedSync, SincInterpolationParameters, SincInterpolationType, WindowFunction};
use sofia_dataplane::audio::SampleRate;

use super::{Converter, Peer};

/// Blocks of this length are what a call has.
const BLOCK: Duration = Duration::from_millis(20);

struct Rubato<R> {
    resampler: R,
    /// A block may bring some samples more than the ratio says.
    room: usize,
}

impl<R: rubato::Resampler<f32>> Converter for Rubato<R> {
    fn feed(&mut self, input: &[f32], out: &mut Vec<f32>) {
        let start = out.len();
        out.resize(start + self.room, 0.0);
        let source = InterleavedSlice::new(input, 1, input.len()).expect("one channel of so many samples");
        let mut sink =
            InterleavedSlice::new_mut(&mut out[start..], 1, self.room).expect("one channel of so many samples");
        let done = self.resampler.process_into_buffer(&source, &mut sink, None);
        out.truncate(start + done.map_or(0, |(_, written)| written));
    }
}

fn room(to: SampleRate) -> usize {
    to.samples(BLOCK) + 64
}

fn sinc(from: SampleRate, to: SampleRate) -> Option<Rubato<Async<f32>>> {
    let (taps, steps) = match (from.hz(), to.hz()) {
        (8_000, to) => (64, to / 8_000),
        (16_000, 8_000) | (48_000, 16_000) => (96, 1),
        (24_000, 8_000) => (144, 1),
        (24_000, 16_000) => (48, 2),
        (48_000, 8_000) => (288, 1),
        (_, to) => (64, to / 8_000),
    };
    let parameters = SincInterpolationParameters::new(taps, WindowFunction::Hann2)
        .oversampling_factor(steps as usize)
        .interpolation(SincInterpolationType::Nearest);
    let ratio = f64::from(to.hz()) / f64::from(from.hz());
    let resampler = Async::new_sinc(ratio, 1.0, &parameters, from.samples(BLOCK), 1, FixedAsync::Input).ok()?;
    Some(Rubato { resampler, room: room(to) })
}

fn fft(from: SampleRate, to: SampleRate) -> Option<Rubato<Fft<f32>>> {
    let resampler = Fft::new(from.hz() as usize, to.hz() as usize, from.samples(BLOCK), 1, FixedSync::Both).ok()?;
    Some(Rubato { resampler, room: room(to) })
}

pub(super) fn peers() -> Vec<Peer> {
    vec![Peer::new("rubato sinc", sinc), Peer::new("rubato FFT", fft)]
}
