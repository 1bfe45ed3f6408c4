//! Bare samples, as they stand in a WAV file's data or come without any header: bytes cut anywhere in, mono at a rate that
//! is carried out. It believes the format that it is given.

use super::convert::Converter;
use super::{Encoding, WavError, WavFormat};
use crate::audio::{SampleRate, pcm};

/// Two channels of 64 bits.
const MAX_FRAME_BYTES: usize = 16;

/// Reads samples without a header from a byte stream, cut anywhere, and gives mono samples as they come.
#[derive(Debug)]
pub struct RawReader {
    encoding: Encoding,
    frame_bytes: usize,
    rate: SampleRate,
    /// The bytes of a frame (one sample of each channel) that was cut.
    partial: [u8; MAX_FRAME_BYTES],
    partial_len: usize,
    /// Between the stream's rate and the one that is given, where they differ.
    converter: Option<Converter>,
    /// Whether any frame came.
    begun: bool,
}

impl RawReader {
    /// A reader of `channels` channels of `encoding` at `rate_hz`, which gives samples at that rate, or at the next higher
    /// one that is carried.
    ///
    /// # Errors
    ///
    /// [`WavError::UnsupportedChannels`] and [`WavError::UnsupportedRate`].
    pub fn new(encoding: Encoding, channels: u16, rate_hz: u32) -> Result<Self, WavError> {
        let format = WavFormat::new(encoding, channels, rate_hz)?;
        Ok(Self::at(format, format.rate))
    }

    /// A reader that gives samples at `rate`, whatever the format's own.
    pub(super) fn at(format: WavFormat, rate: SampleRate) -> Self {
        Self {
            encoding: format.encoding,
            frame_bytes: format.frame_bytes(),
            rate,
            partial: [0; MAX_FRAME_BYTES],
            partial_len: 0,
            converter: (format.rate_hz != rate.hz()).then(|| Converter::new(format.rate_hz, rate)),
            begun: false,
        }
    }

    /// The rate of the samples that are given.
    #[must_use]
    pub const fn rate(&self) -> SampleRate {
        self.rate
    }

    /// Takes the next bytes and appends the samples that they complete, mono, at [`Self::rate`].
    pub fn push(&mut self, mut bytes: &[u8], out: &mut Vec<i16>) {
        if self.partial_len > 0 {
            let taken = bytes.len().min(self.frame_bytes - self.partial_len);
            self.partial[self.partial_len..self.partial_len + taken].copy_from_slice(&bytes[..taken]);
            self.partial_len += taken;
            bytes = &bytes[taken..];
            if self.partial_len < self.frame_bytes {
                return;
            }
            self.partial_len = 0;
            let partial = self.partial;
            self.take_frames(&partial[..self.frame_bytes], out);
        }
        let whole = bytes.len() - bytes.len() % self.frame_bytes;
        let (frames, rest) = bytes.split_at(whole);
        self.take_frames(frames, out);
        self.partial[..rest.len()].copy_from_slice(rest);
        self.partial_len = rest.len();
    }

    /// Ends the stream: appends what the rate conversion still held back. Half a frame at the end is dropped.
    pub fn finish(self, out: &mut Vec<i16>) {
        if let Some(mut converter) = self.converter.filter(|_| self.begun) {
            converter.finish(out);
        }
    }

    fn take_frames(&mut self, frames: &[u8], out: &mut Vec<i16>) {
        let (encoding, width) = (self.encoding, self.encoding.bytes());
        self.begun |= !frames.is_empty();
        let mono = frames.chunks_exact(self.frame_bytes).map(|frame| {
            let (first, second) = frame.split_at(width);
            if second.is_empty() { encoding.read(first) } else { (encoding.read(first) + encoding.read(second)) / 2.0 }
        });
        match &mut self.converter {
            None => out.extend(mono.map(pcm::quantise)),
            Some(converter) => mono.for_each(|sample| converter.push(sample, out)),
        }
    }
}
