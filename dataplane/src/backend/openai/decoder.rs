//! Bytes of a speech service to samples: believes what the bytes are, then what the server says that they are, then what it
//! was asked for. Sans-IO.

use std::time::Duration;

use super::media_type::{BareSamples, Declared};
use super::sniff::{Sniffed, guess, sniff};
use super::speech::SpeechFormat;
use crate::audio::SampleRate;
use crate::audio::wav::{Encoding, RawReader, WavReader};
use crate::backend::BackendError;

/// The longest speech that one text may become. Minutes would be a fault already: a text is a sentence.
const MAX_SPEECH: Duration = Duration::from_secs(300);
/// So many bytes of 16-bit samples, 11 ms at 24 kHz, mostly show which byte comes first…
const ORDER_BYTES: usize = 512;
/// …and after so many it is not waited for any longer.
const MAX_ORDER_BYTES: usize = 4096;

/// Reads one answer.
pub(super) struct SpeechDecoder {
    kind: Kind,
    format: SpeechFormat,
    pcm_rate: SampleRate,
    /// The rate, once it is known.
    pub(super) rate: Option<SampleRate>,
    samples: usize,
}

enum Kind {
    /// Too few bytes yet to tell what it is.
    Unknown {
        head: Vec<u8>,
        declared: Declared,
    },
    /// Samples of 16 bits, of which it is still open which byte comes first.
    EitherEnd {
        head: Vec<u8>,
        rate_hz: u32,
        channels: u16,
    },
    Wav(Box<WavReader>),
    Bare(Box<RawReader>),
    /// It has ended.
    Done,
}

impl SpeechDecoder {
    pub(super) const fn new(format: SpeechFormat, pcm_rate: SampleRate, declared: Declared) -> Self {
        Self { kind: Kind::Unknown { head: Vec::new(), declared }, format, pcm_rate, rate: None, samples: 0 }
    }

    /// Takes the next bytes and gives the samples that they complete.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<Vec<i16>, BackendError> {
        let mut samples = Vec::with_capacity(bytes.len() / 2 + 1);
        self.take(bytes, &mut samples)?;
        self.count(samples)
    }

    /// The bytes have ended: what was held back. An error if nothing could be made of them; half a sample is let be.
    pub(super) fn finish(&mut self) -> Result<Vec<i16>, BackendError> {
        let mut samples = Vec::new();
        self.settle(true, &mut samples)?;
        match std::mem::replace(&mut self.kind, Kind::Done) {
            Kind::Wav(reader) => {
                reader.finish(&mut samples).map_err(|error| BackendError::invalid(error.to_string()))?;
            }
            Kind::Bare(reader) => reader.finish(&mut samples),
            Kind::Unknown { .. } | Kind::EitherEnd { .. } | Kind::Done => {}
        }
        let samples = self.count(samples)?;
        if self.samples > 0 { Ok(samples) } else { Err(BackendError::invalid("expected speech, came none")) }
    }

    fn take(&mut self, bytes: &[u8], samples: &mut Vec<i16>) -> Result<(), BackendError> {
        match &mut self.kind {
            Kind::Unknown { head, .. } | Kind::EitherEnd { head, .. } => {
                head.extend_from_slice(bytes);
                return self.settle(false, samples);
            }
            Kind::Wav(reader) => {
                reader.push(bytes, samples).map_err(|error| BackendError::invalid(error.to_string()))?;
                self.rate = reader.format().map(|format| format.rate);
            }
            Kind::Bare(reader) => reader.push(bytes, samples),
            Kind::Done => {}
        }
        Ok(())
    }

    /// Decides what it is, as far as the bytes tell by now.
    fn settle(&mut self, ended: bool, samples: &mut Vec<i16>) -> Result<(), BackendError> {
        match &mut self.kind {
            Kind::Unknown { head, declared } => {
                let Some(kind) = settled(head, declared, self.format, self.pcm_rate, ended)? else { return Ok(()) };
                let head = std::mem::take(head);
                self.begin(kind);
                self.take(&head, samples)?;
                // Which byte comes first may be open still.
                if ended { self.settle(true, samples) } else { Ok(()) }
            }
            Kind::EitherEnd { head, rate_hz, channels } => {
                let Some(encoding) = byte_order(head, ended) else { return Ok(()) };
                let kind = bare(encoding, *channels, *rate_hz)?;
                let head = std::mem::take(head);
                self.begin(kind);
                self.take(&head, samples)
            }
            Kind::Wav(_) | Kind::Bare(_) | Kind::Done => Ok(()),
        }
    }

    fn begin(&mut self, kind: Kind) {
        if let Kind::Bare(reader) = &kind {
            self.rate = Some(reader.rate());
        }
        self.kind = kind;
    }

    fn count(&mut self, samples: Vec<i16>) -> Result<Vec<i16>, BackendError> {
        self.samples += samples.len();
        match self.rate {
            Some(rate) if rate.duration(self.samples) > MAX_SPEECH => {
                Err(BackendError::invalid(format!("expected speech of at most {MAX_SPEECH:?}, came more")))
            }
            _ => Ok(samples),
        }
    }
}

/// What the answer is, once the bytes tell. A WAV file is read whatever it was called, and whatever was asked for: servers
/// send WAV when asked for PCM, and its header would be heard as a click.
fn settled(
    head: &[u8],
    declared: &Declared,
    format: SpeechFormat,
    pcm_rate: SampleRate,
    ended: bool,
) -> Result<Option<Kind>, BackendError> {
    let sniffed = sniff(head, ended);
    if sniffed == Sniffed::Wav {
        return Ok(Some(Kind::Wav(Box::default())));
    }
    if let Declared::Other(name) = declared
        && (head.len() >= 4 || ended)
    {
        return Err(if name.contains('/') {
            BackendError::invalid(format!("expected audio, came {name}"))
        } else {
            unexpected(format, name)
        });
    }
    // Soft sound in eight bits may look like a page of text.
    let eight_bits =
        matches!(declared, Declared::Bare(BareSamples { encoding: Some(encoding), .. }) if encoding.bytes() == 1);
    let sniffed = if eight_bits { Sniffed::Unmarked } else { sniffed };
    match (sniffed, declared) {
        (Sniffed::NeedsMore, _) => Ok(None),
        (Sniffed::Named(name), _) => Err(unexpected(format, name)),
        (_, Declared::Bare(BareSamples { encoding, either_end, rate_hz, channels })) => {
            let rate_hz = rate_hz.unwrap_or(pcm_rate.hz());
            let channels = channels.unwrap_or(1);
            if *either_end {
                return Ok(Some(Kind::EitherEnd { head: Vec::new(), rate_hz, channels }));
            }
            bare(encoding.unwrap_or(Encoding::Signed16), channels, rate_hz).map(Some)
        }
        _ if head.is_empty() => Ok(Some(Kind::Done)),
        _ => match format {
            SpeechFormat::Pcm => bare(Encoding::Signed16, 1, pcm_rate.hz()).map(Some),
            SpeechFormat::Wav => Err(unexpected(format, guess(head))),
        },
    }
}

/// Tells the usual mistake: a server that has only compressed formats.
fn unexpected(format: SpeechFormat, came: &str) -> BackendError {
    let expected = match format {
        SpeechFormat::Wav => "WAV",
        SpeechFormat::Pcm => "PCM",
    };
    BackendError::invalid(format!("expected {expected}, came {came}"))
}

fn bare(encoding: Encoding, channels: u16, rate_hz: u32) -> Result<Kind, BackendError> {
    let reader =
        RawReader::new(encoding, channels, rate_hz).map_err(|error| BackendError::invalid(error.to_string()))?;
    Ok(Kind::Bare(Box::new(reader)))
}

/// Which byte of 16-bit samples comes first, once it shows: read the right way, sound changes little from one sample to the
/// next; the other way it jumps.
fn byte_order(head: &[u8], ended: bool) -> Option<Encoding> {
    let jumps = |read: fn([u8; 2]) -> i16| {
        let (pairs, _) = head.as_chunks::<2>();
        pairs.windows(2).map(|two| u64::from(read(two[0]).abs_diff(read(two[1])))).sum::<u64>()
    };
    let (little, big) = (jumps(i16::from_le_bytes), jumps(i16::from_be_bytes));
    if head.len() < ORDER_BYTES && !ended {
        return None;
    }
    match (little, big) {
        _ if little > 2 * big => Some(Encoding::Signed16BigEndian),
        _ if big > 2 * little => Some(Encoding::Signed16),
        // Silence, or noise. What servers send is the little end first, whatever the standard says.
        _ if head.len() >= MAX_ORDER_BYTES || ended => Some(Encoding::Signed16),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::media_type::declared;
    use super::*;
    use crate::audio::wav;
    use crate::backend::BackendErrorKind;

    fn decode(format: SpeechFormat, pieces: &[&[u8]]) -> Result<(Option<SampleRate>, Vec<i16>), BackendError> {
        decode_as("", format, pieces)
    }

    fn decode_as(
        content_type: &str,
        format: SpeechFormat,
        pieces: &[&[u8]],
    ) -> Result<(Option<SampleRate>, Vec<i16>), BackendError> {
        let mut decoder = SpeechDecoder::new(format, SampleRate::Hz24000, declared(content_type));
        let mut samples = Vec::new();
        for piece in pieces {
            samples.extend(decoder.push(piece)?);
        }
        samples.extend(decoder.finish()?);
        Ok((decoder.rate, samples))
    }

    fn ramp() -> Vec<i16> {
        (0..500).map(|i| i * 60 - 15_000).collect()
    }

    #[test]
    fn wav_and_pcm_are_read_wherever_the_bytes_are_cut() {
        let wav_bytes = wav::write(&ramp(), SampleRate::Hz16000);
        let pcm_bytes: Vec<u8> = ramp().iter().flat_map(|sample| sample.to_le_bytes()).collect();
        for cut in 1..300 {
            let (head, tail) = wav_bytes.split_at(cut);
            assert_eq!(decode(SpeechFormat::Wav, &[head, tail]).unwrap(), (Some(SampleRate::Hz16000), ramp()), "{cut}");
            let (head, tail) = pcm_bytes.split_at(cut);
            assert_eq!(decode(SpeechFormat::Pcm, &[head, tail]).unwrap(), (Some(SampleRate::Hz24000), ramp()), "{cut}");
        }
        let single: Vec<&[u8]> = pcm_bytes.chunks(1).collect();
        assert_eq!(decode(SpeechFormat::Pcm, &single).unwrap().1, ramp());
        let empty_between = [&pcm_bytes[..5], b"", &pcm_bytes[5..]];
        assert_eq!(decode(SpeechFormat::Pcm, &empty_between).unwrap().1, ramp());
    }

    #[test]
    fn a_wav_header_is_believed_even_when_pcm_was_asked_for() {
        let bytes = wav::write(&ramp(), SampleRate::Hz8000);
        assert_eq!(decode(SpeechFormat::Pcm, &[&bytes]).unwrap(), (Some(SampleRate::Hz8000), ramp()));
    }

    #[test]
    fn a_rate_that_is_not_carried_is_converted_and_nothing_of_a_short_sound_is_lost() {
        let mut bytes = wav::write(&ramp()[..40], SampleRate::Hz16000);
        bytes[24..28].copy_from_slice(&22_050_u32.to_le_bytes());
        let (rate, samples) = decode(SpeechFormat::Wav, &[&bytes]).unwrap();
        assert_eq!(rate, Some(SampleRate::Hz24000));
        assert!(samples.len() >= 40, "{}", samples.len());
    }

    #[test]
    fn a_compressed_format_is_named_in_the_error() {
        for (head, name) in
            [(&b"ID3\x04"[..], "MP3"), (b"\xFF\xFB\x90\x00", "MP3"), (b"OggS", "Ogg"), (b"{\"er", "JSON")]
        {
            let error = decode(SpeechFormat::Wav, &[head]).unwrap_err();
            assert_eq!(
                (error.kind(), error.message()),
                (BackendErrorKind::Invalid, &*format!("expected WAV, came {name}"))
            );
        }
    }

    #[test]
    fn no_speech_is_an_error() {
        for (format, bytes) in
            [(SpeechFormat::Wav, &b""[..]), (SpeechFormat::Wav, b"RIF"), (SpeechFormat::Pcm, b"\x01")]
        {
            assert_eq!(decode(format, &[bytes]).unwrap_err().kind(), BackendErrorKind::Invalid);
        }
    }

    #[test]
    fn speech_does_not_go_on_for_ever() {
        let minute = vec![1u8; 24_000 * 2 * 60];
        let five: Vec<&[u8]> = vec![&minute; 5];
        assert_eq!(decode(SpeechFormat::Pcm, &five).unwrap().1.len(), 24_000 * 300);
        let six: Vec<&[u8]> = vec![&minute; 6];
        assert_eq!(decode(SpeechFormat::Pcm, &six).unwrap_err().kind(), BackendErrorKind::Invalid);
    }

    fn le(samples: &[i16]) -> Vec<u8> {
        samples.iter().flat_map(|sample| sample.to_le_bytes()).collect()
    }

    fn be(samples: &[i16]) -> Vec<u8> {
        samples.iter().flat_map(|sample| sample.to_be_bytes()).collect()
    }

    fn tone(samples: usize) -> Vec<i16> {
        (0..samples).map(|n| (8_000.0 * (n as f32 * 0.1).sin()) as i16).collect()
    }

    #[test]
    fn what_is_compressed_is_refused_by_name_where_pcm_was_asked_for() {
        let mut mp3 = [0x55_u8; 192];
        mp3[..4].copy_from_slice(&[0xFF, 0xF3, 0x84, 0xC4]);
        let mp3 = mp3.repeat(10);
        let cases: [(&str, &[u8], &str); 9] = [
            ("", &mp3, "expected PCM, came MP3"),
            ("audio/pcm", &mp3, "expected PCM, came MP3"),
            ("audio/mpeg", &mp3, "expected PCM, came MP3"),
            ("audio/mpeg", &mp3[100..], "expected PCM, came MP3"),
            ("application/octet-stream", b"ID3\x04\0\0\0\0\0\0", "expected PCM, came MP3"),
            ("", b"OggS\0\x02\0\0\0\0\0\0", "expected PCM, came Ogg"),
            ("audio/ogg", b"OggS\0\x02\0\0\0\0\0\0", "expected PCM, came Ogg"),
            ("", b"{\"error\":\"no such voice\"}", "expected PCM, came JSON"),
            ("text/html; charset=utf-8", b"<html></html>", "expected audio, came text/html"),
        ];
        for (content_type, bytes, expected) in cases {
            for piece in [1, 3, 4096] {
                let pieces: Vec<&[u8]> = bytes.chunks(piece).collect();
                let error = decode_as(content_type, SpeechFormat::Pcm, &pieces).unwrap_err();
                assert_eq!((error.kind(), error.message()), (BackendErrorKind::Invalid, expected), "{content_type}");
            }
        }
    }

    #[test]
    fn samples_that_begin_like_mpeg_audio_play() {
        for first in [-1_i16, -1_025, -3_073, -2] {
            let samples: Vec<i16> = [first].into_iter().chain(tone(900)).collect();
            let bytes = le(&samples);
            let pieces: Vec<&[u8]> = bytes.chunks(7).collect();
            assert_eq!(decode(SpeechFormat::Pcm, &pieces).unwrap().1, samples, "{first}");
        }
    }

    #[test]
    fn the_content_type_tells_rate_channels_and_width() {
        let mono = tone(2_000);
        let stereo: Vec<i16> = mono.iter().flat_map(|sample| [*sample, *sample]).collect();
        let float: Vec<u8> = mono.iter().flat_map(|sample| (f32::from(*sample) / 32_768.0).to_le_bytes()).collect();
        let cases = [
            ("audio/L16; rate=16000; channels=1", be(&mono), SampleRate::Hz16000),
            ("audio/L16;codec=pcm;rate=16000", le(&mono), SampleRate::Hz16000),
            ("audio/l16; rate=8000; endianness=big-endian", be(&mono), SampleRate::Hz8000),
            ("audio/pcm;rate=48000;channels=2", le(&stereo), SampleRate::Hz48000),
            ("audio/pcm", le(&mono), SampleRate::Hz24000),
            ("audio/pcm; encoding=pcm_f32le; sample_rate=16000", float, SampleRate::Hz16000),
        ];
        for (content_type, bytes, rate) in cases {
            for format in [SpeechFormat::Pcm, SpeechFormat::Wav] {
                for piece in [1, 333, 100_000] {
                    let pieces: Vec<&[u8]> = bytes.chunks(piece).collect();
                    let decoded = decode_as(content_type, format, &pieces).unwrap();
                    assert_eq!(decoded, (Some(rate), mono.clone()), "{content_type}, pieces of {piece}");
                }
            }
        }
        let (rate, converted) = decode_as("audio/pcm;rate=22050", SpeechFormat::Pcm, &[&le(&mono)]).unwrap();
        assert_eq!(rate, Some(SampleRate::Hz24000));
        assert!(converted.len().abs_diff(2_000 * 24_000 / 22_050) < 200, "{}", converted.len());
        for refused in ["audio/pcm;rate=96000", "audio/L16; rate=16000; channels=6"] {
            let error = decode_as(refused, SpeechFormat::Pcm, &[&le(&mono)]).unwrap_err();
            assert!(error.message().contains("is not supported"), "{error}");
        }
    }

    #[test]
    fn telephone_samples_without_a_header_are_read_by_their_name() {
        let soft = b"~}|{zyxyz{|}~~~~".repeat(20);
        assert_eq!(decode_as("audio/basic", SpeechFormat::Pcm, &[&soft]).unwrap().1.len(), soft.len());
        let bytes = [0xFF_u8, 0x80, 0x00].repeat(100);
        let (rate, samples) = decode_as("audio/basic", SpeechFormat::Pcm, &[&bytes]).unwrap();
        assert_eq!((rate, samples.len(), &samples[..3]), (Some(SampleRate::Hz8000), 300, &[0, 32_124, -32_124][..]));
    }

    #[test]
    fn several_files_in_one_body_are_all_heard() {
        let bytes = [wav::write(&ramp(), SampleRate::Hz16000), wav::write(&ramp(), SampleRate::Hz16000)].concat();
        for format in [SpeechFormat::Wav, SpeechFormat::Pcm] {
            let (rate, samples) = decode_as("audio/mpeg", format, &[&bytes]).unwrap();
            assert_eq!((rate, samples), (Some(SampleRate::Hz16000), [ramp(), ramp()].concat()));
        }
    }
}
