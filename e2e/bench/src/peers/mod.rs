//! Others' resamplers behind one face, beside this project's own. Each keeps its state between blocks, as a call does. Never
//! judges them.

mod library;
mod rust;

use sofia_dataplane::audio::{Resampler, SampleRate};

/// A stream from one rate to another.
pub(crate) trait Converter {
    /// Takes a block and appends what it completes.
    fn feed(&mut self, input: &[f32], out: &mut Vec<f32>);
}

/// Opens a stream between two rates, where the resampler takes them.
type Make = dyn Fn(SampleRate, SampleRate) -> Option<Box<dyn Converter>>;

/// A resampler in one of its settings.
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    make: Box<Make>,
}

impl Peer {
    fn new<C: Converter + 'static>(
        name: &'static str,
        make: impl Fn(SampleRate, SampleRate) -> Option<C> + 'static,
    ) -> Self {
        Self { name, make: Box::new(move |from, to| make(from, to).map(|converter| Box::new(converter) as _)) }
    }

    /// A new stream; `None` where the peer refuses these rates.
    pub(crate) fn stream(&self, from: SampleRate, to: SampleRate) -> Option<Box<dyn Converter>> {
        (self.make)(from, to)
    }
}

impl Converter for Resampler {
    fn feed(&mut self, input: &[f32], out: &mut Vec<f32>) {
        self.process(input, out);
    }
}

/// This project's own, then the others that are installed; and what is missing, in words.
pub(crate) fn all() -> (Vec<Peer>, Vec<String>) {
    let mut peers = vec![Peer::new("ours", |from, to| Some(Resampler::new(from, to)))];
    peers.extend(rust::peers());
    let mut missing = Vec::new();
    for found in [library::soxr(), library::speexdsp(), library::libsamplerate()] {
        match found {
            Ok(found) => peers.extend(found),
            Err(error) => missing.push(error),
        }
    }
    (peers, missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_installed_turns_a_second_into_a_second() {
        for peer in all().0 {
            let mut stream = peer.stream(SampleRate::Hz16000, SampleRate::Hz8000).expect("common rates");
            let mut out = Vec::new();
            for _ in 0..50 {
                stream.feed(&[0.5; 320], &mut out);
            }
            assert!((7_000..=8_000).contains(&out.len()), "{}: {}", peer.name, out.len());
            assert!((out[out.len() - 1] - 0.5).abs() < 0.01, "{}: {:?}", peer.name, out.last());
        }
    }
}
