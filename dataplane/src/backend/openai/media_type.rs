//! What a speech server says that it sends: the media type of an answer and its parameters, as far as they tell how samples
//! are written. It looks into no audio; see [`super::sniff`] for that.

use crate::audio::wav::Encoding;

/// What an answer's head says of its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Declared {
    /// Nothing, or nothing that says more than "bytes" or "audio".
    Nothing,
    /// A WAV file.
    Wav,
    /// Samples without a header.
    Bare(BareSamples),
    /// Something that can't be played; what it is.
    Other(String),
}

/// How bare samples are written, as far as it was said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct BareSamples {
    /// `None`: 16 bits.
    pub(super) encoding: Option<Encoding>,
    /// Nothing tells which byte of 16 bits comes first. The standard says the higher one (RFC 2586), and few obey.
    pub(super) either_end: bool,
    /// Samples of a channel a second.
    pub(super) rate_hz: Option<u32>,
    pub(super) channels: Option<u16>,
}

/// Types of sound that can't be played, and their names.
const COMPRESSED: &[(&str, &[&str])] = &[
    ("MP3", &["audio/mpeg", "audio/mp3", "audio/x-mp3", "audio/mpeg3", "audio/x-mpeg-3", "audio/x-mpeg", "audio/mpa"]),
    ("Ogg", &["audio/ogg", "application/ogg", "video/ogg", "audio/vorbis", "audio/x-ogg"]),
    ("Opus", &["audio/opus", "audio/x-opus"]),
    ("FLAC", &["audio/flac", "audio/x-flac"]),
    ("AAC", &["audio/aac", "audio/aacp", "audio/x-aac", "audio/x-hx-aac-adts", "audio/mp4a-latm"]),
    ("MP4", &["audio/mp4", "video/mp4", "audio/m4a", "audio/x-m4a"]),
    ("WebM", &["audio/webm", "video/webm", "audio/x-matroska", "video/x-matroska"]),
    ("AMR", &["audio/amr", "audio/amr-wb", "audio/3gpp"]),
    ("AIFF", &["audio/aiff", "audio/x-aiff"]),
    ("CAF", &["audio/x-caf"]),
    ("G.722", &["audio/g722"]),
];

/// Reads the value of a `Content-Type` header.
pub(super) fn declared(value: &str) -> Declared {
    let mut parts = value.split(';');
    let media_type = parts.next().unwrap_or_default().trim().to_ascii_lowercase();
    let parameters: Vec<(String, String)> = parts
        .filter_map(|part| part.split_once('='))
        .map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim().trim_matches('"').to_ascii_lowercase()))
        .collect();
    if let Some((name, _)) = COMPRESSED.iter().find(|(_, types)| types.contains(&media_type.as_str())) {
        return Declared::Other((*name).to_owned());
    }
    let telephone =
        |encoding| BareSamples { encoding: Some(encoding), rate_hz: Some(8_000), channels: Some(1), either_end: false };
    let bare = match media_type.as_str() {
        "audio/wav" | "audio/x-wav" | "audio/wave" | "audio/vnd.wave" | "audio/x-pn-wav" => return Declared::Wav,
        "audio/pcm" | "audio/x-pcm" | "audio/raw" | "audio/x-raw" | "audio/lpcm" | "audio/x-lpcm" | "audio/pcm16"
        | "audio/s16le" | "audio/x-s16le" | "audio/linear16" => BareSamples::default(),
        "audio/l16" | "audio/x-l16" => BareSamples { either_end: true, ..BareSamples::default() },
        "audio/l24" => BareSamples { encoding: Some(Encoding::Signed24BigEndian), ..BareSamples::default() },
        "audio/l8" => BareSamples { encoding: Some(Encoding::Unsigned8), ..BareSamples::default() },
        "audio/basic" | "audio/pcmu" | "audio/mulaw" | "audio/x-mulaw" | "audio/ulaw" | "audio/x-ulaw" => {
            telephone(Encoding::Ulaw)
        }
        "audio/pcma" | "audio/alaw" | "audio/x-alaw" | "audio/x-alaw-basic" => telephone(Encoding::Alaw),
        "" | "application/octet-stream" | "binary/octet-stream" => {
            // Bytes, of which only parameters may tell more.
            let bare = with_parameters(BareSamples::default(), &parameters);
            let told = bare.rate_hz.is_some() || bare.encoding.is_some();
            return if told { Declared::Bare(bare) } else { Declared::Nothing };
        }
        other if other.starts_with("audio/") => return Declared::Nothing,
        other => return Declared::Other(other.chars().filter(|c| c.is_ascii_graphic()).take(80).collect()),
    };
    Declared::Bare(with_parameters(bare, &parameters))
}

fn with_parameters(mut bare: BareSamples, parameters: &[(String, String)]) -> BareSamples {
    for (name, value) in parameters {
        match name.as_str() {
            "rate" | "samplerate" | "sample_rate" | "sample-rate" | "sampling_rate" | "sampling-rate" => {
                bare.rate_hz = value.parse().ok().or(bare.rate_hz);
            }
            "channels" | "channel" | "channel_count" => bare.channels = value.parse().ok().or(bare.channels),
            "endianness" | "endian" | "byte-order" | "byteorder" => {
                bare.either_end = false;
                if value.starts_with("big") {
                    bare.encoding = Some(Encoding::Signed16BigEndian);
                }
            }
            "encoding" | "codec" | "format" | "sample_format" | "sample-format" => {
                if let Some((encoding, either_end)) = encoding_named(value) {
                    bare.encoding = Some(encoding);
                    bare.either_end = either_end && bare.either_end;
                }
            }
            "bits" | "bit_depth" | "bit-depth" | "bitdepth" | "bits_per_sample" | "bits-per-sample" => {
                bare.encoding = match (value.as_str(), bare.encoding) {
                    ("8", None) => Some(Encoding::Unsigned8),
                    ("24", None) => Some(Encoding::Signed24),
                    ("32", None) => Some(Encoding::Signed32),
                    (_, encoding) => encoding,
                };
            }
            _ => {}
        }
    }
    bare
}

/// The names that encodings have in parameters, and whether the order of their bytes is left open.
fn encoding_named(name: &str) -> Option<(Encoding, bool)> {
    Some(match name {
        "s16le" | "pcm_s16le" | "signed16le" => (Encoding::Signed16, false),
        "pcm" | "linear16" | "pcm16" | "lpcm" | "s16" | "signed-integer" | "signed-int" => (Encoding::Signed16, true),
        "s16be" | "pcm_s16be" => (Encoding::Signed16BigEndian, false),
        "s24le" | "pcm_s24le" => (Encoding::Signed24, false),
        "s32le" | "pcm_s32le" => (Encoding::Signed32, false),
        "f32le" | "pcm_f32le" | "float32" | "f32" | "float" => (Encoding::Float32, false),
        "f64le" | "pcm_f64le" | "float64" => (Encoding::Float64, false),
        "mulaw" | "mu-law" | "ulaw" | "pcm_mulaw" | "pcmu" => (Encoding::Ulaw, false),
        "alaw" | "a-law" | "pcm_alaw" | "pcma" => (Encoding::Alaw, false),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bare(value: &str) -> BareSamples {
        match declared(value) {
            Declared::Bare(bare) => bare,
            other => panic!("{value}: {other:?}"),
        }
    }

    #[test]
    fn what_can_be_played_is_told_from_what_cannot() {
        assert_eq!(declared("audio/x-wav; codec=pcm"), Declared::Wav);
        for nothing in ["", "application/octet-stream", "audio/x-unheard-of", "audio/*"] {
            assert_eq!(declared(nothing), Declared::Nothing, "{nothing}");
        }
        let others = [
            ("audio/mpeg", "MP3"),
            ("Audio/MPEG; bitrate=64", "MP3"),
            ("audio/ogg; codecs=opus", "Ogg"),
            ("audio/flac", "FLAC"),
            ("audio/aac", "AAC"),
            ("video/webm", "WebM"),
            ("application/json; charset=utf-8", "application/json"),
            ("text/html", "text/html"),
        ];
        for (value, name) in others {
            assert_eq!(declared(value), Declared::Other(name.to_owned()), "{value}");
        }
    }

    #[test]
    fn parameters_tell_how_bare_samples_are_written() {
        let l16 = bare("audio/L16; rate=24000; channels=1");
        assert_eq!((l16.encoding, l16.either_end, l16.rate_hz, l16.channels), (None, true, Some(24_000), Some(1)));
        let gemini = bare("audio/L16;codec=pcm;rate=24000");
        assert_eq!((gemini.encoding, gemini.either_end), (Some(Encoding::Signed16), true));
        let big = bare("audio/l16;rate=16000;endianness=big-endian");
        assert_eq!((big.encoding, big.either_end), (Some(Encoding::Signed16BigEndian), false));
        let pcm = bare("audio/pcm;rate=\"22050\";channels=2;foo");
        assert_eq!((pcm.encoding, pcm.either_end, pcm.rate_hz, pcm.channels), (None, false, Some(22_050), Some(2)));
        assert_eq!(bare("audio/pcm; encoding=pcm_f32le; sample_rate=44100").encoding, Some(Encoding::Float32));
        assert_eq!(bare("audio/pcm; bits=24").encoding, Some(Encoding::Signed24));
        assert_eq!(bare("audio/pcm; rate=fast").rate_hz, None);
        assert_eq!(bare("application/octet-stream; rate=8000").rate_hz, Some(8_000));
        let basic = bare("audio/basic");
        assert_eq!((basic.encoding, basic.rate_hz), (Some(Encoding::Ulaw), Some(8_000)));
        assert_eq!(bare("audio/PCMA; rate=16000").rate_hz, Some(16_000));
    }
}
