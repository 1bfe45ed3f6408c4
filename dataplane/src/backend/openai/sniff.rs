//! What a speech server really sends, by the first bytes. Bare samples have no mark of their own, so only what samples can't
//! be by chance counts: names of four letters, a page of text, several frames of MPEG audio one behind the other.

/// So many bytes tell all marks but those of MPEG audio.
const HEAD_BYTES: usize = 16;
/// Frames of MPEG audio in a row that are no chance.
const FRAMES: usize = 3;
/// Longest frame of MPEG audio that speech comes in, in bytes: layer 2 at 384 kbit/s and 32 kHz; two channels of AAC have 1,536 (ISO 13818-7).
/// Samples that look like a longer one would hold the answer up until so many more had come.
const LONGEST_FRAME: usize = 1_729;

/// What the first bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sniffed {
    /// Too few bytes to tell.
    NeedsMore,
    /// The start of a WAV file.
    Wav,
    /// Something else that has a name.
    Named(&'static str),
    /// Nothing that has a mark: samples, perhaps.
    Unmarked,
}

/// Looks at the first bytes of a body, which has `ended` or has not. Some KiB are always enough.
pub(super) fn sniff(head: &[u8], ended: bool) -> Sniffed {
    if let Some(marked) = marked(head) {
        return marked;
    }
    if head.len() < HEAD_BYTES && !ended {
        return Sniffed::NeedsMore;
    }
    if is_text(head) {
        return Sniffed::Named(match head.trim_ascii_start() {
            [b'{' | b'[', ..] => "JSON",
            [b'<', ..] => "HTML",
            _ => "text",
        });
    }
    mpeg(head, ended)
}

/// The name that the very first bytes suggest, where it's known that they are no samples.
pub(super) fn guess(head: &[u8]) -> &'static str {
    match head {
        [0xFF, 0xF0 | 0xF1 | 0xF8 | 0xF9, ..] => "AAC",
        [0xFF, 0xE0..=0xFF, ..] => "MP3",
        [b'{' | b'[', ..] => "JSON",
        [b'<', ..] => "HTML",
        _ => "something else",
    }
}

fn marked(head: &[u8]) -> Option<Sniffed> {
    Some(Sniffed::Named(match head {
        [b'R', b'I', b'F', b'F', ..] | [b'R', b'F', b'6', b'4', ..] | [b'B', b'W', b'6', b'4', ..] => {
            return Some(Sniffed::Wav);
        }
        [b'R', b'I', b'F', b'X', ..] => "WAV with the big end first",
        [b'I', b'D', b'3', ..] => "MP3",
        [b'O', b'g', b'g', b'S', ..] => "Ogg",
        [b'f', b'L', b'a', b'C', ..] => "FLAC",
        [0x1A, 0x45, 0xDF, 0xA3, ..] => "WebM",
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => "MP4",
        [b'A', b'D', b'I', b'F', ..] => "AAC",
        [0x30, 0x26, 0xB2, 0x75, 0x8E, 0x66, 0xCF, 0x11, ..] => "WMA",
        [b'#', b'!', b'A', b'M', b'R', ..] => "AMR",
        [b'F', b'O', b'R', b'M', ..] => "AIFF",
        [b'c', b'a', b'f', b'f', ..] => "CAF",
        [b'.', b's', b'n', b'd', ..] => "AU",
        [0x1F, 0x8B, 0x08, ..] => "gzip",
        _ => return None,
    }))
}

/// As samples, text would be eight or more loud ones without a single sign change; an answer that is as short as that is no
/// speech anyway.
fn is_text(head: &[u8]) -> bool {
    let head = head.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(head);
    let head = &head[..head.len().min(HEAD_BYTES)];
    let printable = |byte: &u8| matches!(byte, b' '..=b'~' | b'\n' | b'\r' | b'\t');
    !head.trim_ascii().is_empty() && head.iter().all(printable)
}

/// MPEG audio has a mark of eleven bits a frame, which samples around zero have too: -1 is `FF FF`. So the next frames must
/// stand where the first one ends, and be of its kind.
fn mpeg(head: &[u8], ended: bool) -> Sniffed {
    let (mut at, mut kind) = (0, None);
    for found in 0..FRAMES {
        let Some(header) = head.get(at..at + 6) else {
            return match kind {
                Some((name, _)) if ended && found + 1 >= FRAMES => Sniffed::Named(name),
                _ if ended => Sniffed::Unmarked,
                _ => Sniffed::NeedsMore,
            };
        };
        match frame(header) {
            Some((name, signature, length))
                if length <= LONGEST_FRAME && *kind.get_or_insert((name, signature)) == (name, signature) =>
            {
                at += length;
            }
            _ => return Sniffed::Unmarked,
        }
    }
    kind.map_or(Sniffed::Unmarked, |(name, _)| Sniffed::Named(name))
}

/// Name, kind and length of the frame that these six bytes begin (ISO 11172-3, 13818-3, 13818-7; MPEG 2.5 as is usual).
fn frame(header: &[u8]) -> Option<(&'static str, [u8; 2], usize)> {
    const LAYER_3: [[u32; 16]; 2] = [
        [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0],
        [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0],
    ];
    const LAYER_2: [u32; 16] = [0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 0];
    let [0xFF, second, third, fourth, fifth, sixth] = *header else { return None };
    if second & 0xE0 != 0xE0 {
        return None;
    }
    let (version, layer) = (second >> 3 & 3, second >> 1 & 3);
    if layer == 0 {
        // ADTS: version 1 is none, frequencies above 12 are none.
        let length = usize::from(fourth & 3) << 11 | usize::from(fifth) << 3 | usize::from(sixth >> 5);
        let valid = second & 0xF6 == 0xF0 && third >> 2 & 15 <= 12 && length > 7;
        return valid.then_some(("AAC", [second & 0xFE, third & 0xFC], length));
    }
    let rate = [44_100, 48_000, 32_000, 0][usize::from(third >> 2 & 3)];
    let (is_first, rate) = match version {
        0 => (false, rate / 4),
        2 => (false, rate / 2),
        3 => (true, rate),
        _ => return None,
    };
    let bit_rate = usize::from(third >> 4);
    let (kilobits, samples) = match (layer, is_first) {
        (1, true) => (LAYER_3[0][bit_rate], 1_152),
        (1, false) => (LAYER_3[1][bit_rate], 576),
        (2, true) => (LAYER_2[bit_rate], 1_152),
        (2, false) => (LAYER_3[1][bit_rate], 1_152),
        _ => return None,
    };
    if rate == 0 || kilobits == 0 {
        return None;
    }
    let length = (samples / 8 * kilobits * 1_000 / rate) as usize + usize::from(third >> 1 & 1);
    Some(("MP3", [second & 0xFE, third & 0x0C], length))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Frames of MPEG 2 layer 3, 64 kbit/s, 24 kHz, as speech servers send them.
    fn mp3(frames: usize) -> Vec<u8> {
        let mut frame = [0x55; 192];
        frame[..4].copy_from_slice(&[0xFF, 0xF3, 0x84, 0xC4]);
        frame.repeat(frames)
    }

    #[test]
    fn marks_that_no_samples_have_are_named() {
        let cases: [(&[u8], Sniffed); 13] = [
            (b"\x30\x26\xB2\x75\x8E\x66\xCF\x11\xA6", Sniffed::Named("WMA")),
            (b"RIFF\0\0\0\0WAVE", Sniffed::Wav),
            (b"ID3\x04\0\0\0\0\0\0", Sniffed::Named("MP3")),
            (b"OggS\0\x02", Sniffed::Named("Ogg")),
            (b"fLaC\0\0\0\x22", Sniffed::Named("FLAC")),
            (b"\x1A\x45\xDF\xA3\x9F", Sniffed::Named("WebM")),
            (b"\0\0\0\x20ftypM4A ", Sniffed::Named("MP4")),
            (b"{\"error\": \"no such voice\"}", Sniffed::Named("JSON")),
            (b"<!DOCTYPE html><html>", Sniffed::Named("HTML")),
            (b"Internal Server Error", Sniffed::Named("text")),
            (b"RIFX\0\0\0\0WAVE", Sniffed::Named("WAV with the big end first")),
            (&[0; 16], Sniffed::Unmarked),
            (b"\x12", Sniffed::NeedsMore),
        ];
        for (head, expected) in cases {
            assert_eq!(sniff(head, false), expected, "{head:02x?}");
        }
    }

    #[test]
    fn frames_of_mpeg_audio_in_a_row_are_told_as_soon_as_they_are_there() {
        let mp3 = mp3(4);
        assert_eq!(sniff(&mp3, false), Sniffed::Named("MP3"));
        assert_eq!(sniff(&mp3[..389], false), Sniffed::NeedsMore, "two frames and a half header");
        assert_eq!(sniff(&mp3[..384], true), Sniffed::Named("MP3"), "a body of two frames");
        let adts = [0xFF, 0xF1, 0x50, 0x80, 0x02, 0x1F, 0xFC, 0, 1, 2, 3, 4, 5, 6, 7, 8].repeat(4);
        assert_eq!(sniff(&adts, false), Sniffed::Named("AAC"));
    }

    #[test]
    fn samples_that_begin_like_a_frame_are_samples() {
        let mut like_mp3 = mp3(1);
        like_mp3.extend([0x10, 0x00].repeat(300));
        assert_eq!(sniff(&like_mp3, false), Sniffed::Unmarked);
        // As a frame of AAC it would be of eight kilobytes.
        let like_aac: Vec<u8> = std::iter::once(-1_793_i16).chain([-2_061; 400]).flat_map(i16::to_le_bytes).collect();
        assert_eq!(sniff(&like_aac, false), Sniffed::Unmarked);
        for sample in [-1_i16, -2, -257, -1_025, -3_073] {
            let bytes: Vec<u8> = (0..400).flat_map(|n| (sample + n % 3).to_le_bytes()).collect();
            assert_eq!(sniff(&bytes, false), Sniffed::Unmarked, "{sample}");
        }
    }

    proptest! {
        #[test]
        fn a_few_kib_are_always_enough_and_no_bytes_panic(
            mut bytes in proptest::collection::vec(any::<u8>(), 4096),
            synced in any::<bool>(),
        ) {
            if synced {
                bytes[0] = 0xFF;
                bytes[1] |= 0xE0;
            }
            for end in 0..64 {
                sniff(&bytes[..end], false);
                sniff(&bytes[..end], true);
            }
            prop_assert_ne!(sniff(&bytes, true), Sniffed::NeedsMore);
        }

        #[test]
        fn speech_never_has_a_name(
            start in -3_000_i32..3_000,
            steps in proptest::collection::vec(-400_i32..400, 2_000),
        ) {
            let mut level = start;
            let bytes: Vec<u8> = steps
                .iter()
                .flat_map(|step| {
                    level = (level + step).clamp(-30_000, 30_000);
                    (level as i16).to_le_bytes()
                })
                .collect();
            prop_assert_eq!(sniff(&bytes, false), Sniffed::Unmarked);
        }
    }
}
