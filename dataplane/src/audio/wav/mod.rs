//! WAV: reading it as it streams out of speech synthesisers, and writing what recognisers take. Input is hostile: headers
//! may lie, stop anywhere or never come. Never holds more than a header's bytes, and needs no file. [`RawReader`] reads the
//! same samples where no header stands before them.

mod boundary;
mod convert;
mod header;
mod raw;
mod sample;

use self::boundary::Boundary;
use self::header::{Header, Progress};
pub use self::raw::RawReader;
pub use self::sample::Encoding;
use super::SampleRate;

const LOWEST_RATE_HZ: u32 = 8_000;
const HIGHEST_RATE_HZ: u32 = 48_000;

/// What a WAV stream's header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WavFormat {
    /// Samples of a channel a second, in the file.
    pub rate_hz: u32,
    /// The rate of the samples that [`WavReader`] gives: the file's, or the next higher one that is carried.
    pub rate: SampleRate,
    /// 1 or 2; two are mixed to one.
    pub channels: u16,
    /// How a sample is written.
    pub encoding: Encoding,
}

impl WavFormat {
    /// # Errors
    ///
    /// [`WavError::UnsupportedChannels`] and [`WavError::UnsupportedRate`].
    fn new(encoding: Encoding, channels: u16, rate_hz: u32) -> Result<Self, WavError> {
        if !(1..=2).contains(&channels) {
            return Err(WavError::UnsupportedChannels { channels });
        }
        if !(LOWEST_RATE_HZ..=HIGHEST_RATE_HZ).contains(&rate_hz) {
            return Err(WavError::UnsupportedRate { hz: rate_hz });
        }
        let rate = SampleRate::ALL.into_iter().find(|rate| rate.hz() >= rate_hz).unwrap_or(SampleRate::Hz48000);
        Ok(Self { rate_hz, rate, channels, encoding })
    }

    /// Bytes of one sample of each channel.
    const fn frame_bytes(&self) -> usize {
        self.encoding.bytes() * self.channels as usize
    }
}

/// Why a byte stream is not taken for WAV audio. After an error the reader stays where it is and gives it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WavError {
    /// The stream does not begin with `RIFF … WAVE`.
    #[error("not a WAV stream: expected RIFF and WAVE, found {found:02x?} at byte {at}")]
    NotWav {
        /// The four bytes that were found.
        found: [u8; 4],
        /// Where they stood.
        at: usize,
    },
    /// The `data` chunk came before any `fmt ` chunk.
    #[error("WAV audio comes before its format")]
    FormatMissing,
    /// The `fmt ` chunk is too short to hold a format, or contradicts itself.
    #[error("WAV format chunk is malformed: {reason}")]
    MalformedFormat {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Neither integer nor float samples, nor G.711.
    #[error(
        "WAV encoding {tag:#06x} with {bits} bits is not supported: expected 8, 16, 24 or 32-bit PCM, 32 or 64-bit float, \
         µ-law or A-law"
    )]
    UnsupportedEncoding {
        /// The format tag, of the sub-format in an extensible format.
        tag: u16,
        /// Bits a sample.
        bits: u16,
    },
    /// Neither mono nor stereo.
    #[error("WAV with {channels} channels is not supported: expected 1 or 2")]
    UnsupportedChannels {
        /// The number of channels.
        channels: u16,
    },
    /// A rate that nothing that speaks would have.
    #[error("WAV rate {hz} Hz is not supported: expected 8000 to 48000 Hz (8000, 16000, 24000 and 48000 unconverted)")]
    UnsupportedRate {
        /// The rate, in hertz.
        hz: u32,
    },
    /// So much came without any audio that none will.
    #[error("no WAV audio in the first {bytes} bytes")]
    NoAudio {
        /// How much was looked through.
        bytes: u64,
    },
    /// The stream ended before its audio began.
    #[error("WAV stream ended within its header, after {bytes} bytes")]
    Truncated {
        /// How much came.
        bytes: u64,
    },
}

/// Reads WAV from a byte stream, cut anywhere, and gives mono samples as they come.
///
/// A data length of 0 or one from 2 GiB up means "until the stream ends": so do servers write that stream what they have
/// not yet synthesised. Several files may follow one another; their audio is joined, at the rate of the first. Memory is
/// bounded whatever comes.
#[derive(Debug)]
pub struct WavReader {
    part: Part,
    /// What the first header said.
    format: Option<WavFormat>,
    /// Bytes that are not used yet: of a header, or such as may be the start of another file.
    pending: Vec<u8>,
    /// Bytes of all headers up to the latest audio.
    header_bytes: u64,
    /// The error that ended it, if any.
    failed: Option<WavError>,
}

#[derive(Debug)]
enum Part {
    Header(Header),
    Audio {
        reader: Box<RawReader>,
        /// Bytes of audio that are still to come; `None` until the file ends.
        remaining: Option<u64>,
    },
}

impl Default for WavReader {
    fn default() -> Self {
        Self::new()
    }
}

impl WavReader {
    /// A reader at the start of a stream.
    #[must_use]
    pub const fn new() -> Self {
        Self { part: Part::Header(Header::new(0)), format: None, pending: Vec::new(), header_bytes: 0, failed: None }
    }

    /// What the first header said, once it has been read.
    #[must_use]
    pub const fn format(&self) -> Option<WavFormat> {
        self.format
    }

    /// Takes the next bytes of the stream and appends the samples that they complete, mono, at [`WavFormat::rate`]. What
    /// stands behind the audio and is not another file is ignored.
    ///
    /// # Errors
    ///
    /// Whatever [`WavError`] says, as soon as the bytes show it.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<i16>) -> Result<(), WavError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        self.pending.extend_from_slice(bytes);
        self.advance(out).inspect_err(|error| self.failed = Some(*error))
    }

    /// Ends the stream: appends what was held back. Half a sample at the end is dropped, and so is another file of which
    /// only the header came.
    ///
    /// # Errors
    ///
    /// [`WavError::Truncated`] if no audio had begun, or the error that [`Self::push`] gave.
    pub fn finish(self, out: &mut Vec<i16>) -> Result<WavFormat, WavError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        match self.part {
            Part::Header(header) => self.format.ok_or(WavError::Truncated { bytes: header.seen() }),
            Part::Audio { mut reader, mut remaining } => {
                reader.push(within(&mut remaining, &self.pending), out);
                reader.finish(out);
                Ok(self.format.expect("the header that came before the audio said it"))
            }
        }
    }

    fn advance(&mut self, out: &mut Vec<i16>) -> Result<(), WavError> {
        loop {
            match &mut self.part {
                Part::Header(header) => {
                    let mut rest = &self.pending[..];
                    let progress = header.advance(&mut rest)?;
                    let taken = self.pending.len() - rest.len();
                    self.pending.drain(..taken);
                    let Progress::Audio { format, length } = progress else { return Ok(()) };
                    self.header_bytes = header.seen();
                    let rate = self.format.get_or_insert(format).rate;
                    self.part = Part::Audio { reader: Box::new(RawReader::at(format, rate)), remaining: length };
                }
                Part::Audio { reader, remaining } => {
                    let boundary = boundary::find(&self.pending, remaining.is_none());
                    let (Boundary::File { at } | Boundary::Chunk { at } | Boundary::None { safe: at }) = boundary;
                    reader.push(within(remaining, &self.pending[..at]), out);
                    self.pending.drain(..at);
                    match boundary {
                        Boundary::None { .. } => return Ok(()),
                        // From here to the next file there is nothing to hear.
                        Boundary::Chunk { .. } => *remaining = Some(0),
                        Boundary::File { .. } => {
                            let next = Part::Header(Header::new(self.header_bytes));
                            if let Part::Audio { reader, .. } = std::mem::replace(&mut self.part, next) {
                                reader.finish(out);
                            }
                        }
                    }
                }
            }
        }
    }
}

/// What of `bytes` is audio, of which so much remains.
fn within<'a>(remaining: &mut Option<u64>, bytes: &'a [u8]) -> &'a [u8] {
    let Some(remaining) = remaining else { return bytes };
    let taken = bytes.len().min(usize::try_from(*remaining).unwrap_or(usize::MAX));
    *remaining -= taken as u64;
    &bytes[..taken]
}

/// A whole WAV file's audio, mono.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WavAudio {
    /// The rate of `samples`.
    pub rate: SampleRate,
    /// One channel.
    pub samples: Vec<i16>,
}

/// Reads a whole WAV file that lies in memory: a bundled prompt, a greeting from a volume.
///
/// # Errors
///
/// Those of [`WavReader`].
pub fn read(file: &[u8]) -> Result<WavAudio, WavError> {
    let mut samples = Vec::new();
    let mut reader = WavReader::new();
    reader.push(file, &mut samples)?;
    let format = reader.finish(&mut samples)?;
    Ok(WavAudio { rate: format.rate, samples })
}

/// Writes a whole WAV file of 16-bit mono samples: 44 bytes of header, then the samples.
///
/// A file cannot hold more than 4 GiB; of more samples (12 hours at 48 kHz) the lengths in the header are the largest
/// that there are, which readers take for a stream.
#[must_use]
pub fn write(samples: &[i16], rate: SampleRate) -> Vec<u8> {
    let data_bytes = u32::try_from(samples.len() * 2).unwrap_or(u32::MAX);
    let mut file = Vec::with_capacity(44 + samples.len() * 2);
    file.extend(b"RIFF");
    file.extend(data_bytes.saturating_add(36).to_le_bytes());
    file.extend(b"WAVEfmt ");
    file.extend(16_u32.to_le_bytes());
    file.extend(header::TAG_PCM.to_le_bytes());
    file.extend(1_u16.to_le_bytes());
    file.extend(rate.hz().to_le_bytes());
    file.extend((rate.hz() * 2).to_le_bytes());
    file.extend(2_u16.to_le_bytes());
    file.extend(16_u16.to_le_bytes());
    file.extend(b"data");
    file.extend(data_bytes.to_le_bytes());
    file.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
    file
}

#[cfg(test)]
mod tests;
