//! The chunks before a WAV stream's audio, read as they come. Never keeps a chunk that it does not need: those are counted
//! off and dropped.

use super::sample::Encoding;
use super::{WavError, WavFormat};

/// Format tags (RFC 2361, and Microsoft's `WAVEFORMATEXTENSIBLE`).
pub(super) const TAG_PCM: u16 = 0x0001;
const TAG_FLOAT: u16 = 0x0003;
const TAG_ALAW: u16 = 0x0006;
const TAG_ULAW: u16 = 0x0007;
const TAG_EXTENSIBLE: u16 = 0xfffe;
/// What follows the tag in an extensible format's sub-format for it to be a tag at all.
const SUBFORMAT_TAIL: [u8; 14] = [0, 0, 0, 0, 0x10, 0, 0x80, 0, 0, 0xaa, 0, 0x38, 0x9b, 0x71];

/// So much of a format chunk can hold anything of interest: `WAVEFORMATEXTENSIBLE`.
const FORMAT_BYTES: usize = 40;
/// So much may stand before the audio: titles, even a picture, but no flood.
const MAX_BYTES_BEFORE_AUDIO: u64 = 1 << 20;
/// From here on, lengths of the audio are placeholders of a streaming writer.
const UNKNOWN_LENGTH: u32 = 0x7fff_0000;

/// How far the header has been read.
#[derive(Debug)]
pub(super) enum Progress {
    /// The bytes are used up.
    NeedsMore,
    /// Audio follows, of `length` bytes if that is known.
    Audio { format: WavFormat, length: Option<u64> },
}

/// Reads up to the first byte of audio.
#[derive(Debug)]
pub(super) struct Header {
    part: Part,
    /// The bytes of the current part, so far.
    buffer: [u8; FORMAT_BYTES],
    filled: usize,
    format: Option<WavFormat>,
    seen: u64,
}

#[derive(Debug, Clone, Copy)]
enum Part {
    /// `RIFF`, a length, `WAVE`.
    Riff,
    /// A chunk's name and length.
    ChunkStart,
    /// The first so many bytes of the format chunk, and how many follow that are of no interest.
    Format { kept: usize, rest: u64 },
    /// So many bytes of no interest.
    Skip { left: u64 },
}

impl Header {
    /// At the start of a file, with `seen` bytes of other files' headers before it.
    pub(super) const fn new(seen: u64) -> Self {
        Self { part: Part::Riff, buffer: [0; FORMAT_BYTES], filled: 0, format: None, seen }
    }

    /// How many bytes were taken, of this header and those before.
    pub(super) const fn seen(&self) -> u64 {
        self.seen
    }

    /// Takes from the front of `bytes` what belongs to the header.
    pub(super) fn advance(&mut self, bytes: &mut &[u8]) -> Result<Progress, WavError> {
        loop {
            let complete = match self.part {
                Part::Riff => self.fill(bytes, 12),
                Part::ChunkStart => self.fill(bytes, 8),
                Part::Format { kept, .. } => self.fill(bytes, kept),
                Part::Skip { left } => {
                    let taken = left.min(bytes.len() as u64);
                    *bytes = &bytes[taken as usize..];
                    self.seen += taken;
                    self.part = Part::Skip { left: left - taken };
                    left == taken
                }
            };
            if self.seen > MAX_BYTES_BEFORE_AUDIO {
                return Err(WavError::NoAudio { bytes: self.seen });
            }
            if !complete {
                return Ok(Progress::NeedsMore);
            }
            self.filled = 0;
            self.part = match self.part {
                Part::Riff => {
                    // The latter two hold lengths of 64 bits in a chunk that is passed over.
                    expect(&self.buffer, 0, &[b"RIFF", b"RF64", b"BW64"])?;
                    expect(&self.buffer, 8, &[b"WAVE"])?;
                    Part::ChunkStart
                }
                Part::ChunkStart => match self.chunk() {
                    ([b'd', b'a', b't', b'a'], length) => {
                        let format = self.format.ok_or(WavError::FormatMissing)?;
                        let length = (1..UNKNOWN_LENGTH).contains(&length).then_some(u64::from(length));
                        return Ok(Progress::Audio { format, length });
                    }
                    ([b'f', b'm', b't', b' '], length) => {
                        let kept = (length as usize).min(FORMAT_BYTES);
                        Part::Format { kept, rest: padded(length) - kept as u64 }
                    }
                    (_, length) => Part::Skip { left: padded(length) },
                },
                Part::Format { kept, rest } => {
                    self.format = Some(parse_format(&self.buffer[..kept])?);
                    Part::Skip { left: rest }
                }
                Part::Skip { .. } => Part::ChunkStart,
            };
        }
    }

    /// Whether the buffer holds `wanted` bytes by now.
    fn fill(&mut self, bytes: &mut &[u8], wanted: usize) -> bool {
        let (taken, rest) = bytes.split_at(bytes.len().min(wanted - self.filled));
        self.buffer[self.filled..self.filled + taken.len()].copy_from_slice(taken);
        self.filled += taken.len();
        self.seen += taken.len() as u64;
        *bytes = rest;
        self.filled == wanted
    }

    /// Name and length of the chunk that begins.
    fn chunk(&self) -> ([u8; 4], u32) {
        (u32_at(&self.buffer, 0).to_le_bytes(), u32_at(&self.buffer, 4))
    }
}

/// Chunks begin at even places.
const fn padded(length: u32) -> u64 {
    length as u64 + (length & 1) as u64
}

fn expect(buffer: &[u8], at: usize, wanted: &[&[u8; 4]]) -> Result<(), WavError> {
    let found = u32_at(buffer, at).to_le_bytes();
    if wanted.contains(&&found) { Ok(()) } else { Err(WavError::NotWav { found, at }) }
}

fn parse_format(chunk: &[u8]) -> Result<WavFormat, WavError> {
    if chunk.len() < 16 {
        return Err(WavError::MalformedFormat { reason: "shorter than 16 bytes" });
    }
    let mut tag = u16_at(chunk, 0);
    let channels = u16_at(chunk, 2);
    let rate_hz = u32_at(chunk, 4);
    let frame_bytes = u16_at(chunk, 12);
    let bits = u16_at(chunk, 14);
    if tag == TAG_EXTENSIBLE {
        match chunk.get(24..40) {
            None => return Err(WavError::MalformedFormat { reason: "extensible, but without its extension" }),
            Some(subformat) if subformat[2..] == SUBFORMAT_TAIL => tag = u16_at(subformat, 0),
            Some(_) => return Err(WavError::UnsupportedEncoding { tag, bits }),
        }
    }
    let encoding = match (tag, bits) {
        (TAG_PCM, 8) => Encoding::Unsigned8,
        (TAG_PCM, 16) => Encoding::Signed16,
        (TAG_PCM, 24) => Encoding::Signed24,
        (TAG_PCM, 32) => Encoding::Signed32,
        (TAG_FLOAT, 32) => Encoding::Float32,
        (TAG_FLOAT, 64) => Encoding::Float64,
        (TAG_ALAW, 8) => Encoding::Alaw,
        (TAG_ULAW, 8) => Encoding::Ulaw,
        _ => return Err(WavError::UnsupportedEncoding { tag, bits }),
    };
    let format = WavFormat::new(encoding, channels, rate_hz)?;
    // 24 bits can be written in four bytes; nobody does, but reading it as three would be noise at full volume.
    if usize::from(frame_bytes) != format.frame_bytes() {
        return Err(WavError::MalformedFormat { reason: "block alignment contradicts channels and bits" });
    }
    Ok(format)
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
