//! WAV: reading it as it streams out of speech synthesisers, and writing what recognisers take. Input is hostile: headers
//! may lie, stop anywhere or never come. Never holds more than a header's bytes, and needs no file.

mod convert;
mod header;

use self::convert::Converter;
use self::header::{Header, Progress, Sample};
use super::{SampleRate, pcm};

/// What a WAV stream's header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WavFormat {
    /// Samples of a channel a second, in the file.
    pub rate_hz: u32,
    /// The rate of the samples that [`WavReader`] gives: the file's, or the next higher one that is carried.
    pub rate: SampleRate,
    /// 1 or 2; two are mixed to one.
    pub channels: u16,
    /// Width of a sample: 8, 16, 24 or 32.
    pub bits: u16,
    /// Whether samples are floats instead of integers.
    pub float: bool,
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
    /// Neither integer nor float samples.
    #[error(
        "WAV encoding {tag:#06x} with {bits} bits is not supported: expected 8, 16, 24 or 32-bit PCM or 32-bit float"
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
/// not yet synthesised. Memory is bounded whatever comes.
#[derive(Debug)]
pub struct WavReader {
    header: Header,
    /// The error that ended it, if any.
    failed: Option<WavError>,
    audio: Option<Audio>,
}

#[derive(Debug)]
struct Audio {
    format: WavFormat,
    sample: Sample,
    /// Bytes of audio that are still to come; `None` until the stream ends.
    remaining: Option<u64>,
    /// The bytes of a frame (one sample of each channel) that was cut.
    partial: [u8; header::MAX_FRAME_BYTES],
    partial_len: usize,
    /// Between a rate that is not carried and the next higher one.
    converter: Option<Converter>,
}

impl Default for WavReader {
    fn default() -> Self {
        Self::new()
    }
}

impl WavReader {
    /// A reader at the start of a stream.
    #[must_use]
    pub fn new() -> Self {
        Self { header: Header::new(), failed: None, audio: None }
    }

    /// What the header said, once it has been read.
    #[must_use]
    pub fn format(&self) -> Option<WavFormat> {
        self.audio.as_ref().map(|audio| audio.format)
    }

    /// Takes the next bytes of the stream and appends the samples that they complete, mono, at [`WavFormat::rate`]. What
    /// stands behind the audio is ignored.
    ///
    /// # Errors
    ///
    /// Whatever [`WavError`] says, as soon as the bytes show it.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<i16>) -> Result<(), WavError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        self.advance(bytes, out).inspect_err(|error| self.failed = Some(*error))
    }

    /// Ends the stream: appends what the rate conversion still held back. Half a sample at the end is dropped.
    ///
    /// # Errors
    ///
    /// [`WavError::Truncated`] if no audio had begun, or the error that [`Self::push`] gave.
    pub fn finish(mut self, out: &mut Vec<i16>) -> Result<WavFormat, WavError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let Some(audio) = &mut self.audio else {
            return Err(WavError::Truncated { bytes: self.header.seen() });
        };
        if let Some(converter) = &mut audio.converter {
            converter.finish(out);
        }
        Ok(audio.format)
    }

    fn advance(&mut self, mut bytes: &[u8], out: &mut Vec<i16>) -> Result<(), WavError> {
        while self.audio.is_none() {
            match self.header.advance(&mut bytes)? {
                Progress::NeedsMore => return Ok(()),
                Progress::Audio { format, sample, length } => {
                    let converter =
                        (format.rate_hz != format.rate.hz()).then(|| Converter::new(format.rate_hz, format.rate));
                    self.audio = Some(Audio {
                        format,
                        sample,
                        remaining: length,
                        partial: [0; header::MAX_FRAME_BYTES],
                        partial_len: 0,
                        converter,
                    });
                }
            }
        }
        if let Some(audio) = &mut self.audio {
            audio.read(bytes, out);
        }
        Ok(())
    }
}

impl Audio {
    fn read(&mut self, mut bytes: &[u8], out: &mut Vec<i16>) {
        if let Some(remaining) = &mut self.remaining {
            let taken = bytes.len().min(usize::try_from(*remaining).unwrap_or(usize::MAX));
            *remaining -= taken as u64;
            bytes = &bytes[..taken];
        }
        let frame_bytes = self.sample.bytes() * usize::from(self.format.channels);
        if self.partial_len > 0 {
            let taken = bytes.len().min(frame_bytes - self.partial_len);
            self.partial[self.partial_len..self.partial_len + taken].copy_from_slice(&bytes[..taken]);
            self.partial_len += taken;
            bytes = &bytes[taken..];
            if self.partial_len < frame_bytes {
                return;
            }
            self.partial_len = 0;
            let partial = self.partial;
            self.take_frames(&partial[..frame_bytes], frame_bytes, out);
        }
        let whole = bytes.len() - bytes.len() % frame_bytes;
        let (frames, rest) = bytes.split_at(whole);
        self.take_frames(frames, frame_bytes, out);
        self.partial[..rest.len()].copy_from_slice(rest);
        self.partial_len = rest.len();
    }

    fn take_frames(&mut self, frames: &[u8], frame_bytes: usize, out: &mut Vec<i16>) {
        let (sample, width) = (self.sample, self.sample.bytes());
        let mono = frames.chunks_exact(frame_bytes).map(|frame| {
            let (first, second) = frame.split_at(width);
            if second.is_empty() { sample.read(first) } else { (sample.read(first) + sample.read(second)) / 2.0 }
        });
        match &mut self.converter {
            None => out.extend(mono.map(pcm::quantise)),
            Some(converter) => mono.for_each(|sample| converter.push(sample, out)),
        }
    }
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
