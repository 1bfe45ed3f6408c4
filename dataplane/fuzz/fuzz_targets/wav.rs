//! WAV from a speech backend, one file or several, cut in two ways: neither may panic, both must give the same audio.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sofia_dataplane::audio::wav::{WavError, WavFormat, WavReader};

fn read<'a>(chunks: impl Iterator<Item = &'a [u8]>) -> (Vec<i16>, Result<WavFormat, WavError>) {
    let mut reader = WavReader::new();
    let mut samples = Vec::new();
    for chunk in chunks {
        if let Err(error) = reader.push(chunk, &mut samples) {
            return (samples, Err(error));
        }
    }
    let end = reader.finish(&mut samples);
    (samples, end)
}

fuzz_target!(|input: (u8, &[u8])| {
    let (size, bytes) = input;
    let whole = read(std::iter::once(bytes));
    let cut = read(bytes.chunks(usize::from(size) + 1));
    assert_eq!(whole.0, cut.0);
    assert_eq!(whole.1.is_ok(), cut.1.is_ok());
    // The highest rate that is carried is six times the lowest, and each file may end in the tail of a rate conversion, for
    // which a header of 44 bytes came.
    assert!(whole.0.len() <= bytes.len() * 24 + 1_000, "{} samples of {} bytes", whole.0.len(), bytes.len());
});
