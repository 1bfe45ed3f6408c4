//! The codecs that a leg can speak: names and clocks for the offer/answer, and frame encoders and decoders. Never looks
//! at RTP headers, never resamples: a codec speaks at its own [`Codec::audio_rate`].

pub(in crate::audio) mod g711;
mod g722;
mod l16;

use super::SampleRate;

/// An audio codec, as an SDP offer can name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    /// G.711 µ-law, 8 kHz, 64 kbit/s.
    Pcmu,
    /// G.711 A-law, 8 kHz, 64 kbit/s.
    Pcma,
    /// G.722 mode 1, 16 kHz, 64 kbit/s.
    G722,
    /// Linear 16-bit big-endian samples, one channel, at any carried rate (RFC 3551 §4.5.11).
    L16(SampleRate),
}

impl Codec {
    /// The rate of the samples that the decoder gives and the encoder takes.
    #[must_use]
    pub const fn audio_rate(self) -> SampleRate {
        match self {
            Self::Pcmu | Self::Pcma => SampleRate::Hz8000,
            Self::G722 => SampleRate::Hz16000,
            Self::L16(rate) => rate,
        }
    }

    /// The RTP timestamp clock, in hertz: what stands behind the slash in `a=rtpmap`.
    ///
    /// For G.722 it is 8000 although the audio has 16 kHz: an error in RFC 1890 that RFC 3551 §4.5.2 keeps for
    /// compatibility.
    #[must_use]
    pub const fn rtp_clock_hz(self) -> u32 {
        match self {
            Self::G722 => 8_000,
            _ => self.audio_rate().hz(),
        }
    }

    /// The encoding name of `a=rtpmap` (RFC 3551 §6). Names in offers are to be compared without case.
    #[must_use]
    pub const fn encoding_name(self) -> &'static str {
        match self {
            Self::Pcmu => "PCMU",
            Self::Pcma => "PCMA",
            Self::G722 => "G722",
            Self::L16(_) => "L16",
        }
    }

    /// The payload type that RFC 3551 §6 table 4 binds to the codec, `None` where it is always dynamic. L16 has static
    /// types for 44.1 kHz only, which is not carried.
    #[must_use]
    pub const fn static_payload_type(self) -> Option<u8> {
        match self {
            Self::Pcmu => Some(0),
            Self::Pcma => Some(8),
            Self::G722 => Some(9),
            Self::L16(_) => None,
        }
    }

    /// How many samples at [`Self::audio_rate`] a payload of `payload_bytes` decodes to. A trailing part of a sample is
    /// not counted.
    #[must_use]
    pub const fn samples_in(self, payload_bytes: usize) -> usize {
        match self {
            Self::Pcmu | Self::Pcma => payload_bytes,
            Self::G722 => payload_bytes * 2,
            Self::L16(_) => payload_bytes / 2,
        }
    }

    /// How many RTP timestamp units a payload of `payload_bytes` lasts.
    #[must_use]
    pub const fn timestamp_units_in(self, payload_bytes: usize) -> u32 {
        match self {
            Self::G722 => payload_bytes as u32,
            _ => self.samples_in(payload_bytes) as u32,
        }
    }
}

/// Turns one leg's payloads into samples. Holds the codec's memory, so one decoder serves one direction of one leg.
#[derive(Debug)]
pub struct Decoder {
    codec: Codec,
    /// Only G.722 has any state; boxed so that the common codecs cost a pointer.
    g722: Option<Box<g722::Decoder>>,
}

impl Decoder {
    /// A decoder in its start state.
    #[must_use]
    pub fn new(codec: Codec) -> Self {
        Self { codec, g722: (codec == Codec::G722).then(Box::default) }
    }

    /// The codec that is decoded.
    #[must_use]
    pub const fn codec(&self) -> Codec {
        self.codec
    }

    /// Appends [`Codec::samples_in`] samples in [-1, 1] to `out`. Any bytes are a valid payload; of L16, a trailing odd
    /// byte is dropped.
    pub fn decode(&mut self, payload: &[u8], out: &mut Vec<f32>) {
        match (self.codec, &mut self.g722) {
            (Codec::Pcmu, _) => g711::decode_ulaw(payload, out),
            (Codec::Pcma, _) => g711::decode_alaw(payload, out),
            (Codec::L16(_), _) => l16::decode(payload, out),
            (Codec::G722, decoder) => decoder.get_or_insert_default().decode(payload, out),
        }
    }
}

/// Turns samples into one leg's payloads. Holds the codec's memory, so one encoder serves one direction of one leg.
#[derive(Debug)]
pub struct Encoder {
    codec: Codec,
    g722: Option<Box<g722::Encoder>>,
}

impl Encoder {
    /// An encoder in its start state.
    #[must_use]
    pub fn new(codec: Codec) -> Self {
        Self { codec, g722: (codec == Codec::G722).then(Box::default) }
    }

    /// The codec that is encoded.
    #[must_use]
    pub const fn codec(&self) -> Codec {
        self.codec
    }

    /// Appends the payload of `pcm`, samples at [`Codec::audio_rate`]; what lies outside [-1, 1] is clipped, NaN is
    /// silence. G.722 makes one byte of two samples: of an odd block the last sample waits for the next call.
    pub fn encode(&mut self, pcm: &[f32], out: &mut Vec<u8>) {
        match (self.codec, &mut self.g722) {
            (Codec::Pcmu, _) => g711::encode_ulaw(pcm, out),
            (Codec::Pcma, _) => g711::encode_alaw(pcm, out),
            (Codec::L16(_), _) => l16::encode(pcm, out),
            (Codec::G722, encoder) => encoder.get_or_insert_default().encode(pcm, out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALL: [Codec; 7] = [
        Codec::Pcmu,
        Codec::Pcma,
        Codec::G722,
        Codec::L16(SampleRate::Hz8000),
        Codec::L16(SampleRate::Hz16000),
        Codec::L16(SampleRate::Hz24000),
        Codec::L16(SampleRate::Hz48000),
    ];

    #[test]
    fn a_frame_of_20_ms_has_the_bytes_and_timestamps_that_the_wire_expects() {
        let frames = ALL.map(|codec| {
            let pcm = vec![0.1; codec.audio_rate().hz() as usize / 50];
            let (mut payload, mut back) = (Vec::new(), Vec::new());
            Encoder::new(codec).encode(&pcm, &mut payload);
            Decoder::new(codec).decode(&payload, &mut back);
            assert_eq!(back.len(), pcm.len());
            (payload.len(), codec.timestamp_units_in(payload.len()))
        });
        assert_eq!(frames, [(160, 160), (160, 160), (160, 160), (320, 160), (640, 320), (960, 480), (1920, 960)]);
    }

    #[test]
    fn the_clock_of_g722_is_the_wrong_one_that_everybody_uses() {
        assert_eq!((Codec::G722.rtp_clock_hz(), Codec::G722.audio_rate().hz()), (8_000, 16_000));
        assert_eq!(Codec::G722.static_payload_type(), Some(9));
    }

    proptest! {
        #[test]
        fn any_payload_decodes_to_what_its_length_says(
            codec in prop::sample::select(ALL.to_vec()),
            payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..1500), 1..4),
        ) {
            let mut decoder = Decoder::new(codec);
            for payload in payloads {
                let mut out = Vec::new();
                decoder.decode(&payload, &mut out);
                prop_assert_eq!(out.len(), codec.samples_in(payload.len()));
                prop_assert!(out.iter().all(|sample| (-1.0..=1.0).contains(sample)));
            }
        }

        #[test]
        fn any_samples_encode(
            codec in prop::sample::select(ALL.to_vec()),
            pcm in prop::collection::vec(any::<f32>(), 0..1000),
        ) {
            let mut out = Vec::new();
            Encoder::new(codec).encode(&pcm, &mut out);
            // G.722 keeps an odd sample back.
            prop_assert_eq!(codec.samples_in(out.len()), if codec == Codec::G722 { pcm.len() & !1 } else { pcm.len() });
        }
    }
}
