//! Where the audio of one file ends in a stream of several. Servers that make speech sentence by sentence write one whole
//! WAV file after the other, and the lengths in their headers say little: those of a streaming writer are placeholders,
//! those of a careless one count the whole answer, and what should be padded is not. So the next file is found by how it
//! begins: eight bytes, which no audio has by chance.

/// `RIFF`, a length, `WAVE`.
const FILE_BYTES: usize = 12;
/// A chunk's name and its length.
const CHUNK_BYTES: usize = 8;
/// Chunks behind the audio that hold none: titles, padding, marks.
const OTHER_CHUNKS: [&[u8; 4]; 14] = [
    b"LIST", b"JUNK", b"junk", b"PAD ", b"FLLR", b"id3 ", b"ID3 ", b"bext", b"cue ", b"smpl", b"iXML", b"_PMX",
    b"PEAK", b"afsp",
];
/// The longest of these that is believed: name and length are forty-odd bits, which no audio has by chance either.
const MAX_OTHER_BYTES: u32 = 1 << 16;

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Boundary {
    /// Another file begins here.
    File {
        /// Where.
        at: usize,
    },
    /// A chunk without audio begins here.
    Chunk {
        /// Where.
        at: usize,
    },
    /// Neither, in what is there. The bytes from here on may be the start of one.
    None {
        /// Where they begin; the end where there are none.
        safe: usize,
    },
}

/// Looks for the first boundary in `bytes`; for chunks only where the audio's length is not known.
pub(super) fn find(bytes: &[u8], chunks: bool) -> Boundary {
    let mut safe = None;
    for at in 0..bytes.len() {
        let rest = &bytes[at..];
        let begins_file = begins(rest, [b"RIFF", b"RF64", b"BW64"].as_slice());
        let begins_chunk = chunks && begins(rest, &OTHER_CHUNKS);
        if begins_file {
            match rest.get(8..FILE_BYTES) {
                Some(form) if form == b"WAVE" => return Boundary::File { at },
                Some(_) => {}
                None if b"WAVE".starts_with(rest.get(8..).unwrap_or_default()) => safe = safe.or(Some(at)),
                None => {}
            }
        }
        if begins_chunk {
            match rest.get(4..CHUNK_BYTES) {
                Some(length) if length_of(length) <= MAX_OTHER_BYTES => {
                    // An earlier place that may yet turn out to be one comes first.
                    return safe.map_or(Boundary::Chunk { at }, |safe| Boundary::None { safe });
                }
                Some(_) => {}
                None => safe = safe.or(Some(at)),
            }
        }
    }
    Boundary::None { safe: safe.unwrap_or(bytes.len()) }
}

/// Whether `bytes` begins with one of the names, or with as much of one as there is.
fn begins(bytes: &[u8], names: &[&[u8; 4]]) -> bool {
    let head = &bytes[..bytes.len().min(4)];
    names.iter().any(|name| name.starts_with(head))
}

fn length_of(bytes: &[u8]) -> u32 {
    bytes.try_into().map_or(u32::MAX, u32::from_le_bytes)
}
